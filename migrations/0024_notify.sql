-- Who is told of what happens, outside of the mail it is about: web hooks, a relay of its own for mail, a heartbeat. Each target has its
-- places in the feeds; what is under way, or could not be delivered, has a row.

create table poststelle.notify_targets (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('webhook', 'mail', 'heartbeat')),
  label text not null,
  -- the address of the hook or the heartbeat; of mail the relay, as host:port
  address text not null,
  -- of a hook: what signs; of mail: user name and password, as JSON
  secret_sealed text,
  -- of a hook whose secret was replaced: signs as well until then
  previous_secret_sealed text,
  previous_secret_until timestamptz,
  -- of mail: security, sender, recipients
  settings jsonb not null default '{}',
  events text[] not null,
  language text not null default 'en' check (language in ('de', 'en')),
  -- causes that may heal by themselves are told only when they have lasted this long
  patience_minutes integer not null default 5 check (patience_minutes between 0 and 1440),
  digest boolean not null default false,
  digest_on date,
  enabled boolean not null default true,
  disabled_reason text,
  incident_cursor bigint not null,
  outbox_cursor bigint not null,
  inbox_cursor bigint not null,
  last_ok_at timestamptz,
  last_error text,
  last_error_at timestamptz,
  created_at timestamptz not null default now()
);

create table poststelle.notify_deliveries (
  id bigint generated always as identity primary key,
  target_id bigint not null references poststelle.notify_targets on delete cascade,
  type text not null,
  payload jsonb not null,
  -- dropped: it was over before anybody had to know
  state text not null default 'waiting' check (state in ('waiting', 'delivered', 'dropped', 'failed')),
  attempts integer not null default 0,
  created_at timestamptz not null default now(),
  next_attempt_at timestamptz not null default now(),
  finished_at timestamptz,
  last_status integer,
  last_error text,
  check ((state = 'waiting') = (finished_at is null))
);
create index notify_deliveries_due on poststelle.notify_deliveries (next_attempt_at) where state = 'waiting';
create index notify_deliveries_by_target on poststelle.notify_deliveries (target_id, id);
