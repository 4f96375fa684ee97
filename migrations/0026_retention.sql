-- How long what is over is kept. By default for ever; nothing is removed that somebody has still to do something about.

create table poststelle.retention (
  one boolean primary key default true check (one),
  -- days; null: for ever
  received_days integer check (received_days between 30 and 36500),
  sent_days integer check (sent_days between 30 and 36500),
  transcripts_days integer check (transcripts_days between 1 and 36500),
  audit_days integer check (audit_days between 90 and 36500),
  -- a legal hold: nothing is removed, whatever the days say
  hold_reason text check (hold_reason <> ''),
  hold_since timestamptz,
  hold_by text,
  -- removed since the installation began, and when something was last looked for
  removed_received bigint not null default 0,
  removed_sent bigint not null default 0,
  removed_transcripts bigint not null default 0,
  removed_audit bigint not null default 0,
  swept_at timestamptz,
  check (num_nonnulls(hold_reason, hold_since, hold_by) in (0, 3))
);
insert into poststelle.retention default values;

create index messages_acknowledged on poststelle.messages (acknowledged_at) where acknowledged_at is not null;
create index outbound_messages_cancelled on poststelle.outbound_messages (finished_at) where state = 'cancelled';
create index delivery_attempts_started on poststelle.delivery_attempts using brin (started_at) with (autosummarize = on);
create index outbound_events_by_message on poststelle.outbound_events (message_id);

-- The beginning of the audit log may go, never anything else of it: what is left begins with the row that names the hash before it.
create or replace function poststelle.refuse_audit_change() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' and current_setting('poststelle.shortening_audit', true) = 'yes' then
    return old;
  end if;
  raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only';
end $$;

-- Removes the entries before an instant, a day's worth at least, and says so in an entry of its own, which holds the hash of the
-- last one that went.
create function poststelle.shorten_audit(before timestamptz) returns bigint
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  last_id bigint;
  last_hash bytea;
  removed bigint;
begin
  perform pg_advisory_xact_lock(1096107081, 1414287175); -- nothing is appended meanwhile; see chain_audit
  select a.id, a.hash into last_id, last_hash from poststelle.audit_log a
    where a.id < coalesce((select min(b.id) from poststelle.audit_log b where b.at >= shorten_audit.before), 9223372036854775807)
    order by a.id desc limit 1;
  if last_id is null or (select min(a.at) from poststelle.audit_log a) > shorten_audit.before - interval '1 day' then
    return 0;
  end if;
  insert into poststelle.audit_log (actor_kind, actor, action, details) values ('system', 'retention', 'audit log shortened',
    jsonb_build_object('before', shorten_audit.before, 'last_id', last_id, 'last_hash', encode(last_hash, 'hex')));
  perform set_config('poststelle.shortening_audit', 'yes', true);
  delete from poststelle.audit_log a where a.id <= last_id;
  get diagnostics removed = row_count;
  perform set_config('poststelle.shortening_audit', '', true);
  return removed;
end $$;
revoke all on function poststelle.shorten_audit(timestamptz) from public;
