-- Health is an outcome, never a configuration.

create table poststelle.account_health (
  account_id bigint not null references poststelle.accounts on delete cascade,
  direction text not null check (direction in ('receive', 'send')),
  state text not null default 'new' check (state in ('new', 'ok', 'failing', 'blocked')),
  since timestamptz not null default now(),
  last_ok_at timestamptz,
  last_run_at timestamptz,
  failures integer not null default 0,
  first_failure_at timestamptz,
  probes integer not null default 0,
  primary key (account_id, direction)
);

create table poststelle.health_flags (
  id bigint generated always as identity primary key,
  account_id bigint not null references poststelle.accounts on delete cascade,
  direction text not null check (direction in ('receive', 'send')),
  flag text not null,
  scope text not null,
  persistence text not null,
  stage text not null,
  evidence text not null,
  since timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  occurrences integer not null default 1,
  cleared_at timestamptz
);
create unique index health_flags_open on poststelle.health_flags (account_id, direction, flag) where cleared_at is null;

create table poststelle.health_events (
  id bigint generated always as identity primary key,
  account_id bigint not null references poststelle.accounts on delete cascade,
  direction text not null check (direction in ('receive', 'send')),
  at timestamptz not null default now(),
  from_state text not null,
  to_state text not null,
  flag text,
  evidence text
);
create index health_events_by_account on poststelle.health_events (account_id, at);
