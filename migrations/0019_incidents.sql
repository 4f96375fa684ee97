-- Incidents: one cause over many accounts, from the first account that has it to the last that had it.

create table poststelle.incidents (
  id bigint generated always as identity primary key,
  -- what is the same cause: the flag, or 'unreachable' and 'login_refused' where a host answers now so and now so
  cause text not null,
  subject_kind text not null check (subject_kind in ('account', 'client', 'tenant', 'host', 'network', 'service')),
  subject_key text not null,
  -- the subject as people call it
  subject text not null,
  flag text not null,
  scope text not null,
  persistence text not null,
  evidence text not null,
  opened_at timestamptz not null,
  -- since when no account has it any more; it may come back before the incident is closed
  gone_at timestamptz,
  closed_at timestamptz,
  -- it was found to be part of a larger one
  merged_into bigint references poststelle.incidents on delete set null,
  accounts_now integer not null,
  accounts_most integer not null,
  -- the number that was last given away, and when
  accounts_told integer not null,
  told_at timestamptz not null default now(),
  waiting_now bigint not null default 0,
  waiting_most bigint not null default 0,
  oldest_waiting_at timestamptz,
  check (closed_at is null or gone_at is not null),
  check (merged_into is null or closed_at is not null)
);
create unique index incidents_open on poststelle.incidents (cause, subject_kind, subject_key) where closed_at is null;
create index incidents_closed on poststelle.incidents (closed_at) where closed_at is not null;

create table poststelle.incident_accounts (
  incident_id bigint not null references poststelle.incidents on delete cascade,
  account_id bigint not null references poststelle.accounts on delete cascade,
  direction text not null check (direction in ('receive', 'send')),
  joined_at timestamptz not null default now(),
  left_at timestamptz,
  primary key (incident_id, account_id, direction)
);
create index incident_accounts_now on poststelle.incident_accounts (incident_id) where left_at is null;
create index incident_accounts_by_account on poststelle.incident_accounts (account_id);

-- Append-only.
create table poststelle.incident_events (
  id bigint generated always as identity primary key,
  incident_id bigint not null references poststelle.incidents on delete cascade,
  at timestamptz not null default now(),
  event text not null check (event in ('opened', 'grew', 'closed', 'merged')),
  accounts integer not null,
  waiting bigint not null,
  -- with closed: the seconds it lasted, and how many messages that had waited were handed over since
  lasted_seconds bigint,
  sent_since bigint
);
create index incident_events_by_incident on poststelle.incident_events (incident_id, id);

-- The facts of the status: what came and went since an instant.
create index messages_received on poststelle.messages using brin (received_at) with (autosummarize = on);
create index outbound_messages_handed_over on poststelle.outbound_messages (finished_at)
  where state in ('sent', 'partial', 'bounced');

create view poststelle.incident_status as
  select i.id, i.flag, i.scope, i.persistence, i.subject_kind, i.subject, i.opened_at, i.gone_at, i.closed_at, i.merged_into,
    i.accounts_now as accounts, i.accounts_most, i.waiting_now as waiting, i.waiting_most, i.oldest_waiting_at, i.evidence
  from poststelle.incidents i;

-- An account that is polled more rarely while little comes, or because its server asks for it, is not late for that.
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
    coalesce((select jsonb_agg(jsonb_build_object('flag', f.flag, 'direction', f.direction, 'since', f.since, 'evidence', f.evidence)
      order by f.since, f.id) from poststelle.health_flags f where f.account_id = a.id and f.cleared_at is null), '[]'::jsonb) as flags,
    coalesce(w.count, 0) as waiting_count, w.oldest_at as waiting_oldest_at
  from poststelle.accounts a
    join poststelle.account_health r on r.account_id = a.id and r.direction = 'receive'
    join poststelle.account_health s on s.account_id = a.id and s.direction = 'send'
    left join poststelle.maildrops d on d.account_id = a.id
    left join (select m.account_id, count(*) as count, min(m.created_at) as oldest_at from poststelle.outbound_messages m
      where m.finished_at is null group by m.account_id) w on w.account_id = a.id;

do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    grant select on poststelle.incident_status to poststelle_app;
  end if;
end $$;
