-- What operators and applications do with the outbox: see why a message waits and when it will go, and change what becomes of it.

create or replace view poststelle.outbox as
  select m.id, a.email as account, m.account_id,
    case when w.reason is null then m.state else 'held' end as state,
    coalesce(w.reason, m.hold_reason) as hold_reason,
    m.envelope_from, m.internet_message_id as message_id, m.subject, m.size_bytes, m.idempotency_key, m.priority, m.created_at,
    case when m.next_attempt_at is null or m.state = 'held' then null when w.reason = 'rate_limit' then greatest(m.next_attempt_at, w.paused_until, l.rests_until)
      else greatest(m.next_attempt_at, w.blocked_until, w.paused_until) end as next_attempt_at,
    m.expires_at, m.attempts, m.repeated, m.finished_at, m.last_reply, m.last_flag
  from poststelle.outbound_messages m
    join poststelle.accounts a on a.id = m.account_id
    left join poststelle.lanes l on l.account_id = m.account_id and l.lane = 'send'
    left join poststelle.host_breakers h on h.host = lower(a.smtp_host) || ':' || a.smtp_port and h.direction = 'send'
    left join poststelle.send_budgets b on b.account_id = a.id
    left join poststelle.send_budgets c on c.oauth_client_id = a.oauth_client_id
    cross join lateral (select greatest(l.parked_until, h.open_until) as blocked_until,
      greatest(b.paused_until, c.paused_until) as paused_until) u
    cross join lateral (select u.blocked_until, u.paused_until,
      case when m.state not in ('queued', 'deferred') then null
        when u.blocked_until > now() then 'account_blocked'
        when not a.enabled_send then 'account_paused'
        when m.next_attempt_at <= now() and (u.paused_until > now() or (l.rests_until > now() and l.rests_for <> 'host')) then 'rate_limit'
      end as reason) w;

create view poststelle.outbox_attempts as
  select t.message_id, t.number, t.started_at, t.finished_at, t.phase, t.outcome, t.step, t.reply, t.flag, t.transcript
  from poststelle.delivery_attempts t;

-- From when on the send lane of an account may work, null where the operator has switched it off; and the time from one message to the
-- next that its rate leaves.
create function poststelle.lane_pace(account_id bigint, out free_at timestamptz, out gap interval)
  language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.enabled_send then greatest(now(), l.parked_until, l.rests_until, h.open_until,
      poststelle.send_paused_until(a.id)) end,
    coalesce(interval '1 minute' / nullif(poststelle.send_rate(a.id), 0), interval '0')
  from poststelle.accounts a
    left join poststelle.lanes l on l.account_id = a.id and l.lane = 'send'
    left join poststelle.host_breakers h on h.host = lower(a.smtp_host) || ':' || a.smtp_port and h.direction = 'send'
  where a.id = lane_pace.account_id
$$;

-- When the waiting messages of one account will go, as things stand: in the order in which they become due, and no faster than the
-- rate. None where the operator has switched off sending. One sort, however many wait.
create function poststelle.lane_etas(account_id bigint) returns table (message_id bigint, eta timestamptz)
  language sql stable set search_path = pg_catalog, pg_temp as $$
  with lane as (
    select f.free_at, f.gap from poststelle.lane_pace(lane_etas.account_id) f where f.free_at is not null
  ), waiting as (
    select m.id, greatest(m.next_attempt_at, lane.free_at) as due_at, lane.gap,
      row_number() over (order by greatest(m.next_attempt_at, lane.free_at), m.priority desc, m.next_attempt_at, m.id) - 1 as place
    from poststelle.outbound_messages m cross join lane
    where m.account_id = lane_etas.account_id and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      and m.next_attempt_at is not null
  )
  select w.id, max(w.due_at - w.place * w.gap) over (order by w.place) + w.place * w.gap from waiting w
$$;

-- Not before that, and about then, if nothing else comes between; null where nothing happens by itself: the message is finished, held,
-- uncertain for good, or of an account that an operator has paused.
create function poststelle.message_eta(id bigint) returns timestamptz
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  message record;
  lane record;
  ahead bigint;
begin
  select m.account_id, m.state, m.priority, m.next_attempt_at into message from poststelle.outbound_messages m where m.id = id;
  if message.state = 'sending' then
    return now();
  elsif message.state is null or message.state not in ('scheduled', 'queued', 'deferred', 'uncertain') or message.next_attempt_at is null then
    return null;
  end if;
  select p.free_at, p.gap into lane from poststelle.lane_pace(message.account_id) p;
  if lane.free_at is null then
    return null;
  elsif lane.gap = interval '0' then
    return greatest(lane.free_at, message.next_attempt_at);
  elsif message.next_attempt_at > lane.free_at then
    return (select e.eta from poststelle.lane_etas(message.account_id) e where e.message_id = id);
  end if;
  -- everything ahead is due as well: its number is enough, and the index of the order has it
  select count(*) into ahead from poststelle.outbound_messages m
    where m.account_id = message.account_id and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      and m.priority > message.priority and m.next_attempt_at <= lane.free_at;
  select ahead + count(*) into ahead from poststelle.outbound_messages m
    where m.account_id = message.account_id and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      and m.priority = message.priority and (m.next_attempt_at, m.id) < (message.next_attempt_at, id);
  return lane.free_at + ahead * lane.gap;
end $$;

-- Changes what becomes of one message, in the caller's transaction, or returns why not:
--   retry           a waiting message is due now; a failed, expired or partial one is tried again for the recipients that did not get it
--   hold            not sent until it is released; one of which a copy may be out is not repeated, and stays uncertain
--   release         a held message goes on
--   cancel          not sent any more
--   resolve_sent    an uncertain message is taken as handed over
--   resolve_resend  an uncertain message is sent once more
-- A message on its way is taken back as long as its final dot was not allowed to leave: the attempt is finished here, and whoever has
-- it finds that out when it asks for the final dot.
create function poststelle.change_message(id bigint, change text) returns text
  language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  message poststelle.outbound_messages%rowtype;
  open_number integer;
  open_phase text;
  withdrawn boolean := false;
  new_state text;
begin
  for tries in 1 .. 10 loop
    open_number := null;
    select m.* into message from poststelle.outbound_messages m where m.id = id;
    if message.id is null then
      return 'not_found';
    end if;
    if message.state = 'sending' and change in ('hold', 'cancel') then
      -- an attempt that is past its point is not locked: whoever has it must be able to settle it
      if exists (select from poststelle.delivery_attempts t where t.message_id = id and t.finished_at is null and t.phase <> 'claimed') then
        return 'handing_over';
      end if;
      -- the attempt before its message, as whoever settles it does
      select t.number, t.phase into open_number, open_phase from poststelle.delivery_attempts t
        where t.message_id = id and t.finished_at is null for update;
      continue when open_number is null;
      if open_phase <> 'claimed' then
        return 'handing_over';
      end if;
    end if;
    select m.* into message from poststelle.outbound_messages m where m.id = id for update;
    withdrawn := message.state = 'sending' and open_number is not null;
    exit when message.state <> 'sending' or withdrawn or change not in ('hold', 'cancel');
  end loop;

  if message.state = 'sending' and not withdrawn then
    return 'sending';
  elsif change = 'resolve_sent' or change = 'resolve_resend' then
    if message.state <> 'uncertain' then
      return 'not_uncertain';
    end if;
  elsif change = 'cancel' then
    if message.finished_at is not null then
      return case message.state when 'cancelled' then 'already' else 'finished' end;
    elsif message.state = 'uncertain' or message.repeated then
      return 'uncertain';
    end if;
  elsif change = 'hold' then
    if message.finished_at is not null then
      return 'finished';
    elsif message.state = 'held' or (message.state = 'uncertain' and message.next_attempt_at is null) then
      return 'already';
    end if;
  elsif change = 'release' then
    if message.state <> 'held' then
      return case when message.finished_at is null then 'not_held' else 'finished' end;
    end if;
  elsif change = 'retry' then
    if message.state in ('scheduled', 'held', 'uncertain') then
      return message.state;
    elsif message.state in ('sent', 'bounced', 'cancelled') or (message.finished_at is not null and not exists (
        select from poststelle.outbound_recipients r where r.message_id = id and r.state in ('pending', 'deferred', 'rejected'))) then
      return 'finished';
    elsif message.finished_at is null and not exists (
        select from poststelle.accounts a where a.id = message.account_id and a.enabled_send) then
      return 'account_paused';
    end if;
  else
    raise exception using errcode = 'invalid_parameter_value', message = format('change: %s is not known', quote_nullable(change));
  end if;

  if withdrawn then
    update poststelle.delivery_attempts t set finished_at = now(), outcome = 'returned', reply = 'withdrawn'
      where t.message_id = id and t.number = open_number;
    message.attempts := message.attempts - 1;
  end if;

  if change = 'cancel' then
    update poststelle.outbound_messages m
      set state = case when exists (select from poststelle.outbound_recipients r where r.message_id = id and r.state = 'accepted')
          then 'partial' else 'cancelled' end,
        hold_reason = null, next_attempt_at = null, finished_at = now(), attempts = message.attempts
      where m.id = id;
  elsif change = 'hold' then
    if message.state = 'uncertain' or message.repeated then
      update poststelle.outbound_messages m
        set state = 'uncertain', next_attempt_at = null, attempts = message.attempts, last_flag = 'outcome_unknown'
        where m.id = id;
    else
      update poststelle.outbound_messages m set state = 'held', hold_reason = 'manual', attempts = message.attempts where m.id = id;
    end if;
  elsif change = 'release' then
    new_state := case when message.attempts = 0 and message.next_attempt_at > now() then 'scheduled' else 'queued' end;
    -- what was uncertain when a restore held it may arrive twice now
    update poststelle.outbound_messages m
      set state = new_state, hold_reason = null, next_attempt_at = case new_state when 'scheduled' then m.next_attempt_at else now() end,
        repeated = m.repeated or (message.hold_reason = 'after_restore' and message.last_flag is not distinct from 'outcome_unknown')
      where m.id = id;
  elsif change = 'retry' then
    if message.finished_at is not null then
      update poststelle.outbound_recipients r set state = 'deferred', updated_at = now()
        where r.message_id = id and r.state = 'rejected';
    end if;
    update poststelle.outbound_messages m
      set state = 'queued', next_attempt_at = now(), finished_at = null,
        attempts = case when message.finished_at is null then m.attempts else 0 end,
        expires_at = case when message.finished_at is null then m.expires_at else now() + interval '5 days' end
      where m.id = id;
  elsif change = 'resolve_sent' then
    update poststelle.outbound_recipients r
      set state = 'accepted', reply_code = null, enhanced_code = null, flag = null, reply = 'taken as handed over by an operator', updated_at = now()
      where r.message_id = id and r.state in ('pending', 'deferred');
    update poststelle.outbound_messages m
      set state = case when exists (select from poststelle.outbound_recipients r where r.message_id = id and r.state <> 'accepted')
          then 'partial' else 'sent' end,
        next_attempt_at = null, finished_at = now(), last_reply = 'taken as handed over by an operator', last_flag = null
      where m.id = id;
  else
    update poststelle.outbound_messages m set next_attempt_at = now(), repeated = true where m.id = id;
  end if;
  if change in ('retry', 'release', 'resolve_resend') then
    perform pg_notify('poststelle_bell', 'send:' || message.account_id);
  end if;
  return null;
end $$;

-- Cancels a message that has not gone out; false where it was cancelled before.
create function poststelle.cancel_message(id bigint) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  refusal text := poststelle.change_message(id, 'cancel');
  state text;
begin
  if refusal is null or refusal = 'already' then
    return refusal is null;
  elsif refusal = 'not_found' then
    raise exception using errcode = 'no_data_found', message = format('id: there is no message %s', coalesce(id::text, 'null'));
  end if;
  select m.state into state from poststelle.outbound_messages m where m.id = id;
  raise exception using errcode = 'object_not_in_prerequisite_state', message = format('id: message %s cannot be cancelled any more: %s', id,
    case refusal
      when 'handing_over' then 'it is being handed over'
      when 'sending' then 'it is being sent'
      when 'uncertain' then 'it may have been handed over'
      else format('it is %s', state)
    end);
end $$;

revoke all on function poststelle.lane_pace(bigint), poststelle.lane_etas(bigint), poststelle.message_eta(bigint),
  poststelle.change_message(bigint, text), poststelle.cancel_message(bigint) from public;
do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    grant select on poststelle.outbox_attempts to poststelle_app;
    grant execute on function poststelle.message_eta(bigint), poststelle.cancel_message(bigint) to poststelle_app;
  end if;
end $$;
