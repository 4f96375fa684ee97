-- Dispatch for a hundred thousand maildrops: whatever is parked, on its way, leased or switched off, a tick reads only what is ready.

alter table poststelle.lanes
  -- somebody changed something while a session was under way: the lane is due again at its end, whatever came of it
  add column woken_at timestamptz,
  -- a copy of the operator's switch in accounts, kept by triggers
  add column switched_off boolean not null default false;
-- when the next job for the lane may be made, as things stand; null: never by itself
alter table poststelle.lanes add column ready_at timestamptz generated always as
  (case when not switched_off and due_at is not null then greatest(due_at, dispatched_until, parked_until, lease_until) end) stored;

create function poststelle.is_switched_off(lane text, receive boolean, send boolean) returns boolean
  language sql immutable set search_path = pg_catalog, pg_temp
  return not case lane when 'receive' then receive when 'send' then send when 'parse' then true else receive or send end;

create function poststelle.switch_new_lane() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  select poststelle.is_switched_off(new.lane, a.enabled_receive, a.enabled_send) into new.switched_off
    from poststelle.accounts a where a.id = new.account_id;
  return new;
end $$;
create trigger lanes_switch before insert on poststelle.lanes
  for each row execute function poststelle.switch_new_lane();

create function poststelle.switch_lanes() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- lanes are locked by name, as everywhere
  perform from poststelle.lanes where account_id = new.id order by lane for update;
  update poststelle.lanes set switched_off = poststelle.is_switched_off(lane, new.enabled_receive, new.enabled_send)
    where account_id = new.id
      and switched_off <> poststelle.is_switched_off(lane, new.enabled_receive, new.enabled_send);
  return null;
end $$;
create trigger accounts_switch_lanes after update of enabled_receive, enabled_send on poststelle.accounts
  for each row when (old.enabled_receive <> new.enabled_receive or old.enabled_send <> new.enabled_send)
  execute function poststelle.switch_lanes();

revoke execute on function poststelle.is_switched_off(text, boolean, boolean), poststelle.switch_new_lane(), poststelle.switch_lanes()
  from public;

update poststelle.lanes l set switched_off = true from poststelle.accounts a
  where a.id = l.account_id and poststelle.is_switched_off(l.lane, a.enabled_receive, a.enabled_send);

create index lanes_ready on poststelle.lanes (lane, ready_at) where ready_at is not null;
drop index poststelle.lanes_due;
-- a lane changes three times for every poll: its dead rows are taken away before the due list is full of them
alter table poststelle.lanes set (autovacuum_vacuum_scale_factor = 0.02);

-- mail that is due although no bell was heard, whatever account it is of
create index outbound_messages_wake on poststelle.outbound_messages (next_attempt_at) include (account_id)
  where state in ('scheduled', 'queued', 'deferred', 'uncertain') and next_attempt_at is not null;

revoke all on function poststelle.is_switched_off(text, boolean, boolean), poststelle.switch_new_lane(), poststelle.switch_lanes()
  from public;
