-- What the pages ask often is answered out of indexes; notices go to programs as well.

-- Sender, recipients and subject are found by the beginnings of their words, over any number of messages, by the index that finds the text.

-- The words of a text, each with the field's name before it. Without positions: what is looked for is checked against the field itself.
create function poststelle.field_words(field text, content text) returns text[]
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(distinct field || ':' || left(w, 100)), '{}')
  from regexp_split_to_table(lower(left(content, 100000)), '[^[:alnum:]]+') w where w <> '' $$;

create function poststelle.search_fields(from_name text, from_address text, to_addresses text, subject text) returns tsvector
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select array_to_tsvector(poststelle.field_words('from', concat_ws(' ', from_name, from_address))
    || poststelle.field_words('to', to_addresses) || poststelle.field_words('subject', subject)) $$;

-- Every word of `content` begins one of the field's; null where there is no word in it.
create function poststelle.field_query(field text, content text) returns tsquery
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select string_agg('''' || w || ''':*', ' & ')::tsquery from unnest(poststelle.field_words(field, content)) w $$;

update poststelle.message_contents c
  set search = c.search || poststelle.search_fields(m.from_name, m.from_address, m.to_addresses, m.subject)
  from poststelle.messages m where m.id = c.message_id and c.search is not null;

-- The flags of all accounts are gathered at once.
create or replace view poststelle.account_status as
  select a.id, a.email, a.label,
    case when a.pop3_host is null then null
      when not a.enabled_receive then 'paused'
      when r.state in ('ok', 'new') and coalesce(r.last_ok_at, r.since) < now() - greatest(interval '10 minutes', interval '1 second'
        * (2 * greatest(d.poll_interval_seconds, d.current_interval_seconds, d.login_delay_seconds))) then 'late'
      else r.state end as receive_state,
    r.since as receive_since, r.last_ok_at as receive_last_ok_at,
    case when a.smtp_host is null then null when not a.enabled_send then 'paused' else s.state end as send_state,
    s.since as send_since, s.last_ok_at as send_last_ok_at,
    coalesce(f.flags, '[]'::jsonb) as flags,
    coalesce(w.count, 0) as waiting_count, w.oldest_at as waiting_oldest_at
  from poststelle.accounts a
    join poststelle.account_health r on r.account_id = a.id and r.direction = 'receive'
    join poststelle.account_health s on s.account_id = a.id and s.direction = 'send'
    left join poststelle.maildrops d on d.account_id = a.id
    left join (select f.account_id, jsonb_agg(jsonb_build_object('flag', f.flag, 'direction', f.direction, 'since', f.since, 'evidence', f.evidence)
      order by f.since, f.id) as flags from poststelle.health_flags f where f.cleared_at is null group by f.account_id) f on f.account_id = a.id
    left join (select m.account_id, count(*) as count, min(m.created_at) as oldest_at from poststelle.outbound_messages m
      where m.finished_at is null group by m.account_id) w on w.account_id = a.id;

revoke execute on function poststelle.field_words(text, text), poststelle.search_fields(text, text, text, text),
  poststelle.field_query(text, text) from public;

-- What is open is counted out of the index alone: state and due time take every change of a message to it anyway.
drop index poststelle.outbound_messages_open;
create index outbound_messages_open on poststelle.outbound_messages (account_id, created_at) include (state, next_attempt_at)
  where finished_at is null;

alter table poststelle.notify_targets drop constraint notify_targets_kind_check,
  add constraint notify_targets_kind_check check (kind in ('webhook', 'mail', 'command', 'heartbeat'));
comment on column poststelle.notify_targets.address is 'of a web hook or a heartbeat its address; of mail the relay, as host:port; of a command its name in POSTSTELLE_NOTIFY_COMMANDS';
