-- The collector: a ledger that proves no loss, policies per maildrop, the renumbering guard, and breakers per host.

-- listed: seen on the server, not retrieved yet. vanished: gone from the server before we could retrieve it. skipped: not wanted,
-- or not to be had just now; retry_at says when it is tried again, null says never by itself. quarantined: tried in vain too often.
alter table poststelle.maildrop_uidls drop constraint maildrop_uidls_state_check;
alter table poststelle.maildrop_uidls add constraint maildrop_uidls_state_check check
  (state in ('listed', 'stored', 'skipped', 'quarantined', 'vanished', 'delete_intent', 'deleted'));
-- what the server claimed in its scan listing; the size of what was stored stands in messages
comment on column poststelle.maildrop_uidls.size_bytes is 'as announced by LIST; 0 where it was not announced';
alter table poststelle.maildrop_uidls
  add column listed_at timestamptz not null default now(), -- first seen
  add column retry_at timestamptz,
  add column gone_at timestamptz, -- a complete listing lacked it, and it was not we who deleted it
  add column fingerprint bytea, -- of Message-ID, Date, From and Subject: recognises a message under another UIDL
  add column oversize boolean not null default false, -- only its headers were stored
  alter column stored_at drop not null,
  alter column stored_at drop default,
  alter column attempts set default 0;
update poststelle.maildrop_uidls set listed_at = stored_at;
update poststelle.maildrop_uidls set retry_at = now(), stored_at = null where state = 'skipped';
alter table poststelle.maildrop_uidls
  add check (state not in ('stored', 'delete_intent') or stored_at is not null),
  add check (state in ('skipped', 'quarantined') or retry_at is null),
  add check (state not in ('skipped', 'quarantined') or reason is not null);

drop index poststelle.maildrop_uidls_on_server;
drop index poststelle.maildrop_uidls_skipped;
-- what a listing is compared with is on the server as far as we know
create index maildrop_uidls_deletable on poststelle.maildrop_uidls (account_id, stored_at)
  where state in ('stored', 'delete_intent') and gone_at is null;
create index maildrop_uidls_open on poststelle.maildrop_uidls (account_id, state)
  where state in ('listed', 'skipped', 'quarantined', 'vanished', 'delete_intent');

-- what every poll asks for: of a hundred thousand rows that were left out for good, none
create index maildrop_uidls_retry on poststelle.maildrop_uidls (account_id, retry_at) where retry_at is not null;
create index maildrop_uidls_oversize on poststelle.maildrop_uidls (account_id) where oversize;

-- what a renumbered message is recognised by
create index maildrop_uidls_gone on poststelle.maildrop_uidls (account_id, fingerprint) where gone_at is not null;

alter table poststelle.maildrops
  -- set: the interval grows from poll_interval_seconds up to this while nothing arrives, and falls back when something does
  add column poll_interval_max_seconds integer check (poll_interval_max_seconds between 1 and 86400),
  add column current_interval_seconds integer,
  -- a stored copy may go from the server only after ack_inbound
  add column delete_after_ack boolean not null default false,
  add column first_sync text not null default 'all' check (first_sync in ('all', 'from_now', 'last_days')),
  add column first_sync_days integer check (first_sync_days between 1 and 36500),
  -- null: the maildrop was never listed to its end
  add column first_sync_done_at timestamptz,
  add column max_session_messages integer not null default 5000 check (max_session_messages between 1 and 100000),
  add column max_session_bytes bigint not null default 524288000 check (max_session_bytes between 1048576 and 107374182400),
  add column max_message_bytes bigint not null default 157286400 check (max_message_bytes between 65536 and 1073741824),
  -- of the UIDL reply: the same again means that nothing has to be compared
  add column listed_digest bytea,
  -- identities are hashes of the bytes, because the server has no UIDL
  add column hash_identity boolean not null default false,
  -- and the number of the message at which the last session stopped
  add column hash_resume_after integer,
  -- the renumbering guard. paused: nothing is ingested until somebody decides. adopt: unknown UIDLs are compared with vanished ones
  -- first. reimport: all unknown UIDLs are new mail.
  add column guard text check (guard in ('paused', 'adopt', 'reimport')),
  add column guard_since timestamptz,
  add column guard_figures jsonb,
  add check ((first_sync = 'last_days') = (first_sync_days is not null)),
  add check ((guard is null) = (guard_since is null));
update poststelle.maildrops set first_sync_done_at = last_poll_at;

alter table poststelle.messages
  -- false: larger than the account allows; these are its headers, the rest is on the server
  add column complete boolean not null default true,
  add column acknowledged_at timestamptz;

-- Accounts whose last session with a host failed, and how. A success deletes the row.
create table poststelle.host_failures (
  host text not null,
  account_id bigint not null references poststelle.accounts on delete cascade,
  kind text not null check (kind in ('login', 'network')),
  at timestamptz not null,
  primary key (host, account_id)
);

create index host_failures_by_account on poststelle.host_failures (account_id);

-- A host at which many accounts fail and none succeeds: one of them probes for all.
create table poststelle.host_breakers (
  host text primary key,
  kind text not null check (kind in ('login', 'network')),
  opened_at timestamptz not null,
  open_until timestamptz not null,
  -- whose session may go through meanwhile
  probe_account_id bigint,
  probes integer not null default 0,
  flag text not null,
  evidence text not null
);
create index accounts_pop3_host on poststelle.accounts (lower(pop3_host), pop3_port);

-- Every UIDL that was ever listed and is neither stored, nor deleted by us after it was stored, nor left out for a reason. Empty
-- means: nothing is missing.
create view poststelle.ledger_gaps as
  select u.account_id, a.email as account, u.uidl, u.ordinal,
    case u.state when 'listed' then 'waiting' when 'vanished' then 'vanished' else 'bytes_missing' end as gap,
    u.size_bytes, u.listed_at, u.gone_at,
    case u.state when 'listed' then 'it is on the server and was not retrieved yet'
      when 'vanished' then coalesce(u.reason, 'it left the server before it could be retrieved, and it was not we who deleted it')
      else 'the ledger says that it is stored, and its message has no bytes' end as reason
  from poststelle.maildrop_uidls u join poststelle.accounts a on a.id = u.account_id
  where u.state in ('listed', 'vanished')
    or u.state in ('stored', 'delete_intent') and exists (select from poststelle.messages m where m.id = u.message_id and m.size_bytes > 0
      and not exists (select from poststelle.message_bodies b where b.message_id = m.id));
