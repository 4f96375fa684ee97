-- Who has a mailbox, how it is reached, and what opens it.

create schema if not exists poststelle;

-- A running process. Its proof of life is a session advisory lock on its id: the lock goes with the connection,
-- so the leases of a killed process are free at once.
create table poststelle.workers (
  id integer generated always as identity primary key,
  host text not null,
  pid integer not null,
  roles text not null,
  version text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);

-- An app registration, shared by many accounts.
create table poststelle.oauth_clients (
  id bigint generated always as identity primary key,
  provider text not null check (provider in ('microsoft', 'google', 'generic')),
  token_endpoint text not null,
  client_id text not null,
  client_secret_sealed text, -- null: a public client
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (token_endpoint, client_id)
);

create table poststelle.accounts (
  id bigint generated always as identity primary key,
  email text not null,
  label text not null default '',
  is_default boolean not null default false,
  provider text not null check (provider in ('microsoft', 'google', 'generic')),
  pop3_host text,
  pop3_port integer check (pop3_port between 1 and 65535),
  pop3_security text check (pop3_security in ('tls', 'starttls', 'none')),
  pop3_username text,
  smtp_host text,
  smtp_port integer check (smtp_port between 1 and 65535),
  smtp_security text check (smtp_security in ('tls', 'starttls', 'none')),
  smtp_username text,
  auth_type text not null check (auth_type in ('password', 'oauth2')),
  oauth_client_id bigint references poststelle.oauth_clients,
  oauth_flow text check (oauth_flow in ('password', 'refresh_token', 'client_credentials')),
  oauth_scope text,
  -- the operator's switches; what the system parks stands in lanes.parked_until and nowhere else
  enabled_receive boolean not null default true,
  enabled_send boolean not null default true,
  uncertain_policy text not null default 'retry_once' check (uncertain_policy in ('retry_once', 'hold', 'retry')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (pop3_host is not null or smtp_host is not null),
  check ((pop3_host is null) = (pop3_port is null) and (pop3_host is null) = (pop3_security is null)),
  check ((smtp_host is null) = (smtp_port is null) and (smtp_host is null) = (smtp_security is null)),
  check ((auth_type = 'oauth2') = (oauth_client_id is not null) and (auth_type = 'oauth2') = (oauth_flow is not null))
);
create unique index accounts_email on poststelle.accounts (lower(email));
create unique index accounts_one_default on poststelle.accounts (is_default) where is_default;
create index accounts_oauth_client on poststelle.accounts (oauth_client_id);

-- What opens the mailbox, sealed; the ciphertexts are bound to table, row and column.
create table poststelle.grants (
  account_id bigint primary key references poststelle.accounts on delete cascade,
  credential_sealed text not null,
  access_token_sealed text,
  access_expires_at timestamptz,
  -- raised by every change; a refresh stores its result only over the version it started from
  version integer not null default 1,
  refreshed_at timestamptz,
  -- the first refusal is kept: a provider's later answers to a dead grant say less
  refusal jsonb,
  refused_at timestamptz
);

-- When a lane works next, who works on it now, and until when the system keeps it parked. A lane is one direction of an
-- account, or the upkeep of its token.
create table poststelle.lanes (
  account_id bigint not null references poststelle.accounts on delete cascade,
  lane text not null check (lane in ('receive', 'send', 'token')),
  due_at timestamptz,
  -- a job for this lane is on its way: no second one before this instant, even if the queue has lost the first
  dispatched_until timestamptz,
  parked_until timestamptz,
  lease_token uuid,
  lease_until timestamptz,
  lease_worker integer,
  primary key (account_id, lane),
  check ((lease_token is null) = (lease_until is null) and (lease_token is null) = (lease_worker is null))
);
create index lanes_due on poststelle.lanes (due_at) where due_at is not null;
create index lanes_leased on poststelle.lanes (lease_worker) where lease_token is not null;
