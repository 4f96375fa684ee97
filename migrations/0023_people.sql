-- Who may look and act, and what was done: operators and their sessions, tokens of programs, the audit log, runs over many messages.
-- Applications have no right to any of it.

create table poststelle.operators (
  id bigint generated always as identity primary key,
  name text not null check (name ~ '^[^[:space:][:cntrl:]]{1,254}$'),
  role text not null check (role in ('reader', 'operator', 'admin')),
  -- texts, attachments and raw bytes of messages
  may_read_mail boolean not null default false,
  -- argon2id, in the form of the PHC string; null: invited, and has not chosen one yet
  password_hash text,
  totp_sealed text,
  totp_confirmed_at timestamptz,
  -- of the last code that was taken: none is taken twice
  totp_step bigint,
  language text check (language in ('de', 'en')),
  created_at timestamptz not null default now(),
  last_login_at timestamptz,
  disabled_at timestamptz
);
create unique index operators_name on poststelle.operators (lower(name));

-- One-time links: the first one, without an operator, makes the first administrator.
create table poststelle.invitations (
  id bigint generated always as identity primary key,
  token_hash bytea not null unique,
  operator_id bigint references poststelle.operators on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index invitations_operator on poststelle.invitations (operator_id);

create table poststelle.sessions (
  id bigint generated always as identity primary key,
  token_hash bytea not null unique,
  operator_id bigint not null references poststelle.operators on delete cascade,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  ip text not null,
  user_agent text not null
);
create index sessions_operator on poststelle.sessions (operator_id) where ended_at is null;

-- Refused logins, by name and by address.
create table poststelle.login_failures (
  key text primary key,
  count integer not null,
  seen_at timestamptz not null,
  blocked_until timestamptz
);

create table poststelle.api_tokens (
  id bigint generated always as identity primary key,
  label text not null,
  token_hash bytea not null unique,
  -- the first characters, by which people know it again
  prefix text not null,
  role text not null check (role in ('reader', 'operator', 'admin')),
  may_read_mail boolean not null default false,
  may_send boolean not null default false,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz
);

-- Append-only. Each row's hash covers the one before: a row that was changed or taken out is found.
create table poststelle.audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor_kind text not null check (actor_kind in ('operator', 'token', 'command', 'system', 'nobody')),
  actor text not null,
  ip text,
  action text not null,
  object text not null default '',
  details jsonb not null default '{}',
  reason text,
  previous_hash bytea not null,
  hash bytea not null
);
create index audit_log_at on poststelle.audit_log (at);
create index audit_log_object on poststelle.audit_log (object, id);

create function poststelle.audit_hash(r poststelle.audit_log) returns bytea
  language sql stable set search_path = pg_catalog, pg_temp as $$
  select sha256(r.previous_hash || convert_to(jsonb_build_array(extract(epoch from r.at), r.actor_kind, r.actor, r.ip, r.action, r.object,
    r.details, r.reason)::text, 'UTF8'))
$$;

create function poststelle.chain_audit() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- one after the other: 'AUDI' and 'TLOG' in ASCII
  perform pg_advisory_xact_lock(1096107081, 1414287175);
  new.at := clock_timestamp();
  new.previous_hash := coalesce((select a.hash from poststelle.audit_log a order by a.id desc limit 1), '\x');
  new.hash := poststelle.audit_hash(new);
  return new;
end $$;
create trigger chain before insert on poststelle.audit_log for each row execute function poststelle.chain_audit();

create function poststelle.refuse_audit_change() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only';
end $$;
create trigger append_only before update or delete on poststelle.audit_log
  for each row execute function poststelle.refuse_audit_change();

-- One change of many messages that somebody asked for: the ids are fixed when it begins.
create table poststelle.bulk_runs (
  id bigint generated always as identity primary key,
  change text not null,
  ids bigint[] not null,
  filter text not null,
  started_by text not null,
  started_at timestamptz not null default now(),
  done integer not null default 0,
  changed integer not null default 0,
  -- reason -> count
  refused jsonb not null default '{}',
  stop_asked boolean not null default false,
  finished_at timestamptz,
  error text
);
create index bulk_runs_open on poststelle.bulk_runs (id) where finished_at is null;

-- The last 48 polls, the newest last: '+' brought mail, '.' nothing, 'x' failed.
alter table poststelle.maildrops add column pulse text not null default '';

-- Why somebody has switched a lane off; gone when it is on again.
alter table poststelle.accounts
  add column paused_receive_by text,
  add column paused_receive_reason text,
  add column paused_receive_at timestamptz,
  add column paused_send_by text,
  add column paused_send_reason text,
  add column paused_send_at timestamptz;

-- For the figures of the pages, hour by hour.
create index outbound_messages_refused on poststelle.outbound_messages (finished_at) where state in ('failed', 'expired');
create index messages_incomplete on poststelle.messages (id) where not complete;

revoke all on function poststelle.audit_hash(poststelle.audit_log), poststelle.chain_audit(), poststelle.refuse_audit_change() from public;
