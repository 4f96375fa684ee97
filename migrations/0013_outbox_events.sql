-- What becomes of outbound mail, as events with a cursor; and what received mail says of it: bounces, and proof that a message
-- whose outcome was unknown was taken.

-- Rows outlive their messages. Whoever writes one leaves the position open, so that no lock of a long transaction is in anybody's
-- way; positions are given to what is committed, by one process at a time.
create table poststelle.outbound_events (
  id bigint generated always as identity primary key,
  position bigint,
  at timestamptz not null default now(),
  account_id bigint not null,
  message_id bigint not null,
  event text not null check (event in
    ('deferred', 'delayed', 'uncertain', 'sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled', 'held', 'released')),
  -- of the message, once the event had happened
  state text not null,
  -- one recipient is meant, and not the whole message
  ordinal integer,
  recipient text,
  reply text,
  flag text,
  attempts integer not null,
  check ((ordinal is null) = (recipient is null))
);
create sequence poststelle.outbox_position;
create unique index outbound_events_position on poststelle.outbound_events (position) where position is not null;
create index outbound_events_open on poststelle.outbound_events (id) where position is null;
-- a message is late once
create unique index outbound_events_delayed on poststelle.outbound_events (message_id) where event = 'delayed';

create function poststelle.note_outbound_event() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into poststelle.outbound_events (account_id, message_id, event, state, reply, flag, attempts)
    values (new.account_id, new.id,
      case when new.state in ('queued', 'scheduled') or old.state = 'held' and new.state in ('deferred', 'uncertain') then 'released'
        else new.state end,
      new.state, new.last_reply, new.last_flag, new.attempts);
  if new.state = 'deferred' and new.created_at < now() - interval '4 hours' and exists (select from poststelle.delivery_attempts a
      where a.message_id = new.id and a.number = 1 and a.started_at < now() - interval '4 hours') then
    insert into poststelle.outbound_events (account_id, message_id, event, state, reply, flag, attempts)
      values (new.account_id, new.id, 'delayed', new.state, new.last_reply, new.last_flag, new.attempts)
      on conflict (message_id) where event = 'delayed' do nothing;
  end if;
  return null;
end $$;
-- a claim, and what is given back, are no events and cost nothing here
create trigger outbound_messages_event after update of state on poststelle.outbound_messages
  for each row when (old.state <> new.state and new.state <> 'sending'
    and (new.state not in ('queued', 'scheduled') or old.state = 'held'))
  execute function poststelle.note_outbound_event();

create function poststelle.note_bounce() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into poststelle.outbound_events (account_id, message_id, event, state, ordinal, recipient, reply, flag, attempts)
    select m.account_id, m.id, 'bounced', m.state, new.ordinal, new.address, new.reply, new.flag, m.attempts
    from poststelle.outbound_messages m where m.id = new.message_id;
  return null;
end $$;
create trigger outbound_recipients_bounce after update of state on poststelle.outbound_recipients
  for each row when (old.state <> new.state and new.state = 'bounced')
  execute function poststelle.note_bounce();

-- Gives positions to the committed events that have none, in the order of their ids, and rings poststelle_outbox with the last one.
-- Two processes at once: one does it, the other returns at once. Null: nothing was done.
create function poststelle.number_outbound_events(max_rows integer) returns bigint
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare last_position bigint;
begin
  if not exists (select from poststelle.outbound_events where position is null)
      -- 'OUTB' and 'POSI' in ASCII
      or not pg_try_advisory_xact_lock(1330992194, 1347375945) then
    return null;
  end if;
  -- a statement of its own: what the former holder of the lock has numbered is seen
  with open as (
    select id from poststelle.outbound_events where position is null order by id limit max_rows
  ), numbered as (
    update poststelle.outbound_events e set position = n.position
    from (select id, nextval('poststelle.outbox_position') as position from open) n
    where e.id = n.id
    returning e.position
  )
  select max(position) into last_position from numbered;
  if last_position is not null then
    perform pg_notify('poststelle_outbox', last_position::text);
  end if;
  return last_position;
end $$;

create view poststelle.outbox_events as
  select e.position, e.at, a.email as account, e.account_id, e.message_id, m.idempotency_key, e.event, e.state, e.recipient, e.reply,
    e.flag, e.attempts
  from poststelle.outbound_events e
    left join poststelle.accounts a on a.id = e.account_id
    left join poststelle.outbound_messages m on m.id = e.message_id
  where e.position is not null;

-- Events behind `cursor`, in their order: the last row's position is the next cursor. 0 begins at the beginning.
create function poststelle.outbox_since(cursor bigint, max_rows integer default 100) returns setof poststelle.outbox_events
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.* from poststelle.outbox_events e where e.position > coalesce(outbox_since.cursor, 0)
  order by e.position limit greatest(0, least(coalesce(outbox_since.max_rows, 100), 10000))
$$;

-- why the catalogue says that the mail was refused; null: it does not know
alter table poststelle.delivery_reports add column flag text;

create index outbound_messages_uncertain on poststelle.outbound_messages (internet_message_id) where state = 'uncertain';

-- What is uncertain has been taken after all, as `proof` says; `about` is the address that it speaks of, null where that is not known.
-- A copy of an earlier attempt at other recipients, or of another message with the same Message-ID, proves nothing. A message that
-- somebody else works on is left alone.
create function poststelle.take_as_sent(id bigint, about text, proof text) returns boolean
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform from poststelle.outbound_messages m where m.id = take_as_sent.id and m.state = 'uncertain' for update skip locked;
  if not found then
    return false;
  end if;
  if not exists (select from poststelle.outbound_recipients r where r.message_id = take_as_sent.id
        and r.state in ('pending', 'deferred') and lower(r.address) = lower(about))
      and (exists (select from poststelle.outbound_recipients r where r.message_id = take_as_sent.id and r.state in ('accepted', 'bounced'))
        or exists (select from poststelle.outbound_messages m join poststelle.outbound_messages other
          on other.internet_message_id = m.internet_message_id and other.id <> m.id where m.id = take_as_sent.id)) then
    return false;
  end if;
  update poststelle.outbound_recipients r
    set state = 'accepted', reply_code = null, enhanced_code = null, reply = proof, flag = null, updated_at = now()
    where r.message_id = take_as_sent.id and r.state in ('pending', 'deferred');
  update poststelle.outbound_messages m
    set state = case when exists (select from poststelle.outbound_recipients r where r.message_id = m.id and r.state in ('rejected', 'bounced'))
        then 'partial' else 'sent' end,
      finished_at = now(), next_attempt_at = null, last_reply = proof, last_flag = null
    where m.id = take_as_sent.id;
  return true;
end $$;

-- Copies of our own mail have come to an account. Returns how many messages were uncertain before.
create function poststelle.take_copies_as_sent(account bigint, message_ids text[]) returns bigint
  language sql set search_path = pg_catalog, pg_temp as $$
  select count(*) filter (where poststelle.take_as_sent(m.id, a.email, 'a copy arrived at ' || a.email))
  from poststelle.outbound_messages m cross join poststelle.accounts a
  where m.internet_message_id = any(message_ids) and m.state = 'uncertain' and a.id = account
$$;

-- What the reports in these received messages mean for our mail. Only one that knows the Message-ID is believed, and it bounces only the
-- recipient that it names. Reading a report twice changes nothing.
create function poststelle.apply_delivery_reports(reports bigint[]) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform from poststelle.outbound_messages m
    where exists (select from poststelle.delivery_reports r where r.message_id = any(reports)
      and r.outbound_message_id = m.id and r.original_message_id = m.internet_message_id)
    order by m.id for update;
  perform poststelle.take_as_sent(m.id, o.address, 'a delivery report came')
    from poststelle.delivery_reports r
      join poststelle.outbound_messages m on m.id = r.outbound_message_id and m.internet_message_id = r.original_message_id
      left join poststelle.outbound_recipients o on o.message_id = m.id and o.ordinal = r.outbound_ordinal
    where r.message_id = any(reports) and m.state = 'uncertain';
  with report as (
    select distinct on (o.message_id, o.ordinal) o.message_id, o.ordinal, r.status, r.flag,
      coalesce(r.diagnostic, 'a delivery report says that it failed') as reply
    from poststelle.delivery_reports r
      join poststelle.outbound_messages m on m.id = r.outbound_message_id and m.internet_message_id = r.original_message_id
      join poststelle.outbound_recipients o on o.message_id = m.id and o.ordinal = r.outbound_ordinal
        and lower(o.address) = lower(r.recipient)
    where r.message_id = any(reports) and r.action = 'failed' and o.state = 'accepted' and m.state <> 'cancelled'
    order by o.message_id, o.ordinal, r.message_id, r.ordinal
  ), recipient as (
    update poststelle.outbound_recipients o
    set state = 'bounced', reply_code = substring(r.reply from '^[245][0-9][0-9](?=[ -])')::integer, enhanced_code = r.status,
      reply = r.reply, flag = r.flag, updated_at = now()
    from report r where o.message_id = r.message_id and o.ordinal = r.ordinal
    returning o.message_id, o.ordinal, o.reply, o.flag
  ), message as (
    select b.message_id, (array_agg(b.reply order by b.ordinal))[1] as reply, (array_agg(b.flag order by b.ordinal))[1] as flag,
      exists (select from poststelle.outbound_recipients o where o.message_id = b.message_id and o.state = 'accepted'
        and o.ordinal <> all(array_agg(b.ordinal))) as arrived
    from recipient b group by b.message_id
  )
  update poststelle.outbound_messages m
    set state = case when b.arrived then 'partial' else 'bounced' end, last_reply = b.reply, last_flag = b.flag
    from message b where m.id = b.message_id and m.state in ('sent', 'partial');
end $$;

-- The copy, or the report, may have been faster than we were in giving up the reply.
create function poststelle.look_for_evidence() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform poststelle.take_as_sent(new.id, a.email, 'a copy arrived at ' || a.email)
    from poststelle.messages c join poststelle.accounts a on a.id = c.account_id
    where c.internet_message_id = new.internet_message_id and c.received_at >= (select min(d.started_at)
      from poststelle.delivery_attempts d where d.message_id = new.id);
  perform poststelle.apply_delivery_reports(array(
    select distinct r.message_id from poststelle.delivery_reports r where r.outbound_message_id = new.id));
  return null;
end $$;
-- behind outbound_messages_event, by its name
create trigger outbound_messages_evidence after update of state on poststelle.outbound_messages
  for each row when (old.state <> new.state and new.state = 'uncertain')
  execute function poststelle.look_for_evidence();

revoke all on function poststelle.note_outbound_event(), poststelle.note_bounce(), poststelle.number_outbound_events(integer),
  poststelle.outbox_since(bigint, integer), poststelle.take_as_sent(bigint, text, text),
  poststelle.take_copies_as_sent(bigint, text[]), poststelle.apply_delivery_reports(bigint[]), poststelle.look_for_evidence()
  from public;
do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    grant select on poststelle.outbox_events to poststelle_app;
    grant execute on function poststelle.outbox_since(bigint, integer) to poststelle_app;
  end if;
end $$;
