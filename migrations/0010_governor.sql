-- The pacing of outbound mail: limits per mailbox and app registration, what was learned of lower ones, and what went out lately.

-- What a provider admits where the operator says nothing. 0 stands for no limit, here and in every limit below.
create table poststelle.send_presets (
  provider text primary key check (provider in ('microsoft', 'google', 'generic')),
  max_connections integer not null check (max_connections >= 0),
  messages_per_minute integer not null check (messages_per_minute >= 0),
  recipients_per_day integer not null check (recipients_per_day >= 0),
  recipients_per_message integer not null check (recipients_per_message >= 0)
);
insert into poststelle.send_presets (provider, max_connections, messages_per_minute, recipients_per_day, recipients_per_message) values
  ('microsoft', 3, 30, 10000, 500),
  ('google', 3, 60, 10000, 100),
  -- a server must take 100 recipients (RFC 5321 section 4.5.3.1.8)
  ('generic', 5, 0, 0, 100);

-- null: as the provider's preset says
alter table poststelle.accounts
  add column max_connections integer check (max_connections between 0 and 100),
  add column messages_per_minute integer check (messages_per_minute between 0 and 1000000),
  add column recipients_per_day integer check (recipients_per_day between 0 and 100000000),
  add column recipients_per_message integer check (recipients_per_message between 0 and 100000);

-- shared by all accounts of the app registration; of recipients, those outside the domain of their account count
alter table poststelle.oauth_clients
  -- of the tenant: its limit of external recipients per day follows from them
  add column licences integer check (licences between 1 and 10000000),
  add column recipients_per_day integer check (recipients_per_day between 0 and 100000000),
  add column messages_per_minute integer check (messages_per_minute between 0 and 1000000);

-- What the governor knows of one mailbox or of one app registration. Learned limits are lower than the configured ones, and rise
-- again with the time since they were learned.
create table poststelle.send_budgets (
  id bigint generated always as identity primary key,
  account_id bigint unique references poststelle.accounts on delete cascade,
  oauth_client_id bigint unique references poststelle.oauth_clients on delete cascade,
  -- how many messages by second of the last minute, and recipients by hour of the last day: {"seconds or hours since 1970": count}
  messages_by_second jsonb not null default '{}',
  recipients_by_hour jsonb not null default '{}',
  learned_connections integer check (learned_connections >= 1),
  connections_learned_at timestamptz,
  learned_messages_per_minute double precision check (learned_messages_per_minute >= 1),
  messages_per_minute_learned_at timestamptz,
  learned_recipients_per_day integer check (learned_recipients_per_day >= 1),
  recipients_per_day_learned_at timestamptz,
  learned_recipients_per_message integer check (learned_recipients_per_message >= 1),
  recipients_per_message_learned_at timestamptz,
  paused_until timestamptz,
  pause_flag text,
  pause_evidence text,
  -- pauses one after the other, for the next to be longer
  pauses integer not null default 0,
  -- a connection that a worker keeps open between two turns counts as one of the mailbox
  idle_until timestamptz,
  idle_worker integer,
  check (num_nonnulls(account_id, oauth_client_id) = 1),
  check (num_nonnulls(learned_connections, connections_learned_at) <> 1),
  check (num_nonnulls(learned_messages_per_minute, messages_per_minute_learned_at) <> 1),
  check (num_nonnulls(learned_recipients_per_day, recipients_per_day_learned_at) <> 1),
  check (num_nonnulls(learned_recipients_per_message, recipients_per_message_learned_at) <> 1),
  check (num_nonnulls(paused_until, pause_flag) <> 1),
  check (num_nonnulls(idle_until, idle_worker) <> 1)
) with (fillfactor = 50); -- changed with every claim of messages: room for the new row beside the old one

-- A destination that deferred one recipient after the other: what goes only there waits.
create table poststelle.slow_destinations (
  account_id bigint not null references poststelle.accounts on delete cascade,
  domain text not null,
  -- deferrals in a row
  failures integer not null check (failures >= 1),
  -- null: not slow yet
  until timestamptz,
  primary key (account_id, domain)
);

-- The learned rate as it has risen meanwhile: by half every quarter of an hour; from a thousand on it is none.
create function poststelle.grown_rate(learned double precision, learned_at timestamptz) returns double precision
  language sql stable set search_path = pg_catalog, pg_temp as $$
  select rate from (select learned * power(1.5, least(100, greatest(0, floor(extract(epoch from now() - learned_at) / 900)))) as rate) grown
  where rate < 1000
$$;

-- Messages per minute that an account may send as things stand; null: not limited. That of its app registration is shared.
create function poststelle.send_rate(account_id bigint) returns double precision
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select least(nullif(coalesce(a.messages_per_minute, p.messages_per_minute), 0)::double precision,
    poststelle.grown_rate(b.learned_messages_per_minute, b.messages_per_minute_learned_at),
    nullif(c.messages_per_minute, 0)::double precision,
    poststelle.grown_rate(cb.learned_messages_per_minute, cb.messages_per_minute_learned_at))
  from poststelle.accounts a
    join poststelle.send_presets p on p.provider = a.provider
    left join poststelle.oauth_clients c on c.id = a.oauth_client_id
    left join poststelle.send_budgets b on b.account_id = a.id
    left join poststelle.send_budgets cb on cb.oauth_client_id = a.oauth_client_id
  where a.id = send_rate.account_id
$$;

-- Until when an account sends nothing because its server asked for less; null: it may send.
create function poststelle.send_paused_until(account_id bigint) returns timestamptz
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select max(b.paused_until) from poststelle.accounts a
    join poststelle.send_budgets b on b.account_id = a.id or b.oauth_client_id = a.oauth_client_id
  where a.id = send_paused_until.account_id and b.paused_until > now() and b.paused_until <= now() + interval '61 minutes'
$$;

revoke all on function poststelle.grown_rate(double precision, timestamptz), poststelle.send_rate(bigint),
  poststelle.send_paused_until(bigint) from public;
do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    -- the views of the application ask them
    grant execute on function poststelle.send_rate(bigint), poststelle.send_paused_until(bigint) to poststelle_app;
  end if;
end $$;

-- Hosts that mail is sent to have breakers too: an account that is well with one host may be in trouble with the other.
alter table poststelle.host_failures
  add column direction text not null default 'receive' check (direction in ('receive', 'send'));
alter table poststelle.host_failures
  alter column direction drop default,
  drop constraint host_failures_pkey,
  add primary key (host, direction, account_id);
alter table poststelle.host_breakers
  add column direction text not null default 'receive' check (direction in ('receive', 'send'));
alter table poststelle.host_breakers
  alter column direction drop default,
  drop constraint host_breakers_pkey,
  add primary key (host, direction);
create index accounts_smtp_host on poststelle.accounts (lower(smtp_host), smtp_port);

-- A lane that rests waits for its pace, or for its host; nothing is wrong with it, and no bell disturbs it.
alter table poststelle.lanes
  add column rests_until timestamptz,
  add column rests_for text check (rests_for in ('rate', 'day', 'pause', 'host')),
  add check (num_nonnulls(rests_until, rests_for) <> 1),
  drop column ready_at;
alter table poststelle.lanes add column ready_at timestamptz generated always as (case when not switched_off and due_at is not null
  then greatest(due_at, dispatched_until, parked_until, lease_until, rests_until) end) stored;
create index lanes_ready on poststelle.lanes (lane, ready_at) where ready_at is not null;
