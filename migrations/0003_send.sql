-- The sending half: accepted messages, their recipients, and every attempt.

create table poststelle.outbound_messages (
  id bigint generated always as identity primary key,
  account_id bigint not null references poststelle.accounts on delete restrict,
  state text not null default 'queued' check (state in
    ('scheduled', 'queued', 'sending', 'deferred', 'held', 'uncertain', 'sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled')),
  hold_reason text,
  envelope_from text not null,
  internet_message_id text not null,
  subject text,
  size_bytes bigint not null,
  sha256 bytea not null,
  idempotency_key text,
  -- of what the application submitted: the same key with other content is refused
  request_sha256 bytea not null,
  priority smallint not null default 0,
  created_at timestamptz not null default now(),
  -- null: nothing happens by itself any more
  next_attempt_at timestamptz,
  expires_at timestamptz not null,
  attempts integer not null default 0,
  -- an uncertain attempt was followed by another: the recipients may have two copies
  repeated boolean not null default false,
  finished_at timestamptz,
  last_reply text,
  last_flag text,
  check ((state = 'held') = (hold_reason is not null)),
  check ((state in ('sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled')) = (finished_at is not null)),
  check (state not in ('scheduled', 'queued', 'deferred') or next_attempt_at is not null)
);
create unique index outbound_messages_idempotency on poststelle.outbound_messages (account_id, idempotency_key)
  where idempotency_key is not null;
create index outbound_messages_due on poststelle.outbound_messages (account_id, next_attempt_at)
  where state in ('scheduled', 'queued', 'deferred', 'uncertain') and next_attempt_at is not null;
create index outbound_messages_order on poststelle.outbound_messages (account_id, priority desc, next_attempt_at, id)
  where state in ('scheduled', 'queued', 'deferred', 'uncertain') and next_attempt_at is not null;
create index outbound_messages_sending on poststelle.outbound_messages (account_id) where state = 'sending';
create index outbound_messages_open on poststelle.outbound_messages (account_id, created_at) where finished_at is null;
create index outbound_messages_by_account on poststelle.outbound_messages (account_id, id);

create table poststelle.outbound_bodies (
  message_id bigint not null references poststelle.outbound_messages on delete cascade,
  chunk integer not null,
  bytes bytea not null,
  primary key (message_id, chunk)
);
do $$
begin
  alter table poststelle.outbound_bodies alter column bytes set compression lz4;
exception when feature_not_supported then -- a server built without lz4; its pglz costs four times the CPU of everything else
  alter table poststelle.outbound_bodies alter column bytes set storage external;
end $$;

create table poststelle.outbound_recipients (
  message_id bigint not null references poststelle.outbound_messages on delete cascade,
  ordinal integer not null,
  address text not null,
  state text not null default 'pending' check (state in ('pending', 'accepted', 'deferred', 'rejected', 'bounced')),
  reply_code integer,
  enhanced_code text,
  reply text,
  flag text,
  updated_at timestamptz not null default now(),
  primary key (message_id, ordinal),
  unique (message_id, address)
);

create table poststelle.delivery_attempts (
  message_id bigint not null references poststelle.outbound_messages on delete cascade,
  number integer not null,
  started_at timestamptz not null default now(),
  -- committed as 'handing_over' before the final dot may leave; everything before it can be repeated freely
  phase text not null default 'claimed' check (phase in ('claimed', 'handing_over', 'done')),
  finished_at timestamptz,
  outcome text check (outcome in ('sent', 'partial', 'failed', 'deferred', 'uncertain', 'returned')),
  -- where the dialogue stood when it ended
  step text,
  reply text,
  flag text,
  transcript text,
  primary key (message_id, number),
  check ((finished_at is null) = (outcome is null))
);
