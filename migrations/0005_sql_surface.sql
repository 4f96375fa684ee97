-- What the business application may use: functions and views, through a role that can do nothing else. docs/sql.md explains
-- every column; these names are a contract.

-- pg_temp stands last in every search_path: where it is not named, types are looked for there first, and a type of the
-- caller's own would run its checks with our rights.

do $$
begin
  create role poststelle_app nologin;
exception
  when duplicate_object or unique_violation then null; -- roles belong to the cluster: another database made it
  when insufficient_privilege then
    raise notice 'role poststelle_app was not created: this user may not create roles';
end $$;

create function poststelle.check_address(field text, address text) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if address is null or address !~ '^[^[:cntrl:][:space:]<>()\[\]\\,;:"@]{1,64}@[^[:cntrl:][:space:]<>()\[\]\\,;:"@]{1,255}$' then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('%s: %s is not a plain e-mail address', field, coalesce(quote_literal(regexp_replace(left(address, 200), '[[:cntrl:]]', '?', 'g')), 'null'));
  end if;
  return address;
end $$;

create function poststelle.account_id(account text) returns bigint
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare found_id bigint;
begin
  if account is null then
    select a.id into found_id from poststelle.accounts a where a.is_default;
  elsif account ~ '^[0-9]{1,18}$' then
    select a.id into found_id from poststelle.accounts a where a.id = account::bigint;
  else
    select a.id into found_id from poststelle.accounts a where lower(a.email) = lower(account);
  end if;
  if found_id is null then
    raise exception using errcode = 'no_data_found', message =
      case when account is null then 'account: no default account is set'
      else format('account: %s is not known', quote_literal(left(account, 200))) end;
  end if;
  return found_id;
end $$;

-- Undeclared 8-bit text, given byte by byte: UTF-8 where it is valid, else as it stands.
create function poststelle.readable(bytewise text) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return convert_from(convert_to(bytewise, 'LATIN1'), 'UTF8');
exception when character_not_in_repertoire then
  return bytewise;
end $$;

-- Accepts one message for sending, in the caller's transaction: when that commits, the message is ours. Line ends become CRLF;
-- a missing Message-ID or Date is added, so that a repeat is recognisable as the same message.
create function poststelle.submit_message(
  account text, envelope_from text, recipients text[], raw bytea,
  idempotency_key text default null, send_after timestamptz default null, priority integer default 0
) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  lane_account bigint := poststelle.account_id(account);
  body text;
  header text;
  final bytea;
  message_key text;
  request bytea;
  new_id bigint;
  known_request bytea;
  smtp_host text;
begin
  select a.smtp_host into smtp_host from poststelle.accounts a where a.id = lane_account;
  if smtp_host is null then
    raise exception using errcode = 'invalid_parameter_value', message = format('account: %s has no SMTP server', quote_literal(account));
  end if;
  if envelope_from is null then
    raise exception using errcode = 'invalid_parameter_value', message = 'envelope_from: is missing (an empty text means the null sender)';
  elsif envelope_from <> '' then
    perform poststelle.check_address('envelope_from', envelope_from);
  end if;
  if coalesce(cardinality(recipients), 0) = 0 then
    raise exception using errcode = 'invalid_parameter_value', message = 'recipients: at least one is needed';
  end if;
  if cardinality(recipients) > 1000 then
    raise exception using errcode = 'invalid_parameter_value', message = 'recipients: more than 1000 in one message';
  end if;
  perform poststelle.check_address('recipients', r) from unnest(recipients) r;
  if coalesce(length(raw), 0) = 0 then
    raise exception using errcode = 'invalid_parameter_value', message = 'raw: the message is empty';
  end if;
  if length(raw) > 157286400 then
    raise exception using errcode = 'invalid_parameter_value', message = 'raw: the message is larger than 150 MB';
  end if;
  if position('\x00'::bytea in raw) > 0 then
    raise exception using errcode = 'invalid_parameter_value', message = 'raw: the message contains a NUL character';
  end if;
  if idempotency_key is not null and length(idempotency_key) not between 1 and 255 then
    raise exception using errcode = 'invalid_parameter_value', message = 'idempotency_key: 1 to 255 characters';
  end if;
  if priority is null or priority not between -100 and 100 then
    raise exception using errcode = 'invalid_parameter_value', message = 'priority: a whole number from -100 to 100';
  end if;

  request := sha256(convert_to(jsonb_build_array(envelope_from, recipients)::text, 'UTF8') || sha256(raw));
  if idempotency_key is not null then
    select m.id, m.request_sha256 into new_id, known_request from poststelle.outbound_messages m
      where m.account_id = lane_account and m.idempotency_key = idempotency_key;
  end if;

  if new_id is null then
    body := replace(replace(replace(convert_from(raw, 'LATIN1'), E'\r\n', E'\n'), E'\r', E'\n'), E'\n', E'\r\n');
    header := E'\r\n' || split_part(body, E'\r\n\r\n', 1);
    message_key := substring(header from '(?i)\r\nmessage-id:[ \t\r\n]*(<[^<>\r\n]+>)');
    if message_key is null then
      message_key := format('<%s@%s>', gen_random_uuid(), coalesce(nullif(split_part(envelope_from, '@', 2), ''), 'poststelle.invalid'));
      body := format(E'Message-ID: %s\r\n', message_key) || body;
    end if;
    if header !~* '\r\ndate:' then
      body := format(E'Date: %s\r\n', to_char(now() at time zone 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "+0000"')) || body;
    end if;
    if right(body, 2) <> E'\r\n' then
      body := body || E'\r\n';
    end if;
    final := convert_to(body, 'LATIN1');

    insert into poststelle.outbound_messages (account_id, state, envelope_from, internet_message_id, subject, size_bytes, sha256,
        idempotency_key, request_sha256, priority, next_attempt_at, expires_at)
      values (lane_account, case when send_after > now() then 'scheduled' else 'queued' end, envelope_from, message_key,
        left(poststelle.readable(regexp_replace(substring(header from '(?i)\r\nsubject:[ \t]*([^\r]*(?:\r\n[ \t][^\r]*)*)'), '\r\n[ \t]', ' ', 'g')), 998),
        length(final), sha256(final), idempotency_key, request, priority,
        greatest(now(), send_after), greatest(now(), send_after) + interval '5 days')
      on conflict do nothing
      returning id into new_id;
    if new_id is null then -- a concurrent transaction committed the same key first
      select m.id, m.request_sha256 into new_id, known_request from poststelle.outbound_messages m
        where m.account_id = lane_account and m.idempotency_key = idempotency_key;
    end if;
  end if;

  if known_request is not null then
    if known_request <> request then
      raise exception using errcode = 'unique_violation',
        message = format('idempotency_key: %s was used for another message (id %s)', quote_literal(idempotency_key), new_id);
    end if;
    return new_id;
  end if;

  insert into poststelle.outbound_bodies (message_id, chunk, bytes)
    select new_id, n, substring(final from n * 262144 + 1 for 262144) from generate_series(0, (length(final) - 1) / 262144) n;
  insert into poststelle.outbound_recipients (message_id, ordinal, address)
    select new_id, min(r.n), r.address from unnest(recipients) with ordinality r (address, n) group by r.address;
  perform pg_notify('poststelle_bell', 'send:' || lane_account);
  return new_id;
end $$;

-- The raw bytes of one received message, exactly as the server sent them; null when there is no such message.
create function poststelle.raw_message(id bigint) returns bytea
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select string_agg(b.bytes, ''::bytea order by b.chunk) from poststelle.message_bodies b
    join poststelle.messages m on m.id = b.message_id where b.message_id = raw_message.id
$$;

create view poststelle.inbox as
  select m.id, a.email as account, m.account_id, m.received_at, m.date_at, m.from_address, m.from_name, m.to_addresses, m.subject,
    m.internet_message_id as message_id, m.size_bytes, encode(m.sha256, 'hex') as sha256
  from poststelle.messages m join poststelle.accounts a on a.id = m.account_id;

create view poststelle.outbox as
  select m.id, a.email as account, m.account_id,
    case when m.state in ('queued', 'deferred') and l.parked_until > now() then 'held'
      when m.state in ('queued', 'deferred') and not a.enabled_send then 'held' else m.state end as state,
    case when m.state in ('queued', 'deferred') and l.parked_until > now() then 'account_blocked'
      when m.state in ('queued', 'deferred') and not a.enabled_send then 'account_paused' else m.hold_reason end as hold_reason,
    m.envelope_from, m.internet_message_id as message_id, m.subject, m.size_bytes, m.idempotency_key, m.priority, m.created_at,
    case when l.parked_until > m.next_attempt_at then l.parked_until else m.next_attempt_at end as next_attempt_at,
    m.expires_at, m.attempts, m.repeated, m.finished_at, m.last_reply, m.last_flag
  from poststelle.outbound_messages m
    join poststelle.accounts a on a.id = m.account_id
    left join poststelle.lanes l on l.account_id = m.account_id and l.lane = 'send';

create view poststelle.outbox_recipients as
  select r.message_id, r.address, r.state, r.reply_code, r.enhanced_code, r.reply, r.flag, r.updated_at
  from poststelle.outbound_recipients r;

create view poststelle.account_status as
  select a.id, a.email, a.label,
    case when a.pop3_host is null then null when not a.enabled_receive then 'paused'
      when r.state = 'ok' and r.last_ok_at < now() - greatest(2 * d.poll_interval_seconds * interval '1 second', interval '10 minutes')
      then 'late' else r.state end as receive_state,
    r.since as receive_since, r.last_ok_at as receive_last_ok_at,
    case when a.smtp_host is null then null when not a.enabled_send then 'paused' else s.state end as send_state,
    s.since as send_since, s.last_ok_at as send_last_ok_at,
    coalesce((select jsonb_agg(jsonb_build_object('flag', f.flag, 'direction', f.direction, 'since', f.since, 'evidence', f.evidence)
        order by f.since, f.id) from poststelle.health_flags f where f.account_id = a.id and f.cleared_at is null), '[]') as flags,
    coalesce(w.count, 0) as waiting_count, w.oldest_at as waiting_oldest_at
  from poststelle.accounts a
    join poststelle.account_health r on r.account_id = a.id and r.direction = 'receive'
    join poststelle.account_health s on s.account_id = a.id and s.direction = 'send'
    left join poststelle.maildrops d on d.account_id = a.id
    left join (select m.account_id, count(*) as count, min(m.created_at) as oldest_at from poststelle.outbound_messages m
      where m.finished_at is null group by m.account_id) w on w.account_id = a.id;

revoke all on all functions in schema poststelle from public;
do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    grant usage on schema poststelle to poststelle_app;
    grant select on poststelle.inbox, poststelle.outbox, poststelle.outbox_recipients, poststelle.account_status to poststelle_app;
    grant execute on function poststelle.submit_message(text, text, text[], bytea, text, timestamptz, integer),
      poststelle.raw_message(bigint) to poststelle_app;
  end if;
end $$;
