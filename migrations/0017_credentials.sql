-- Sign-ins of people, and what an app registration proves itself with.

alter table poststelle.accounts drop constraint accounts_oauth_flow_check;
alter table poststelle.accounts add constraint accounts_oauth_flow_check check (oauth_flow in
  ('password', 'refresh_token', 'client_credentials', 'authorization_code', 'device_code', 'service_account'));

-- An app registration is an object of its own: what it proves itself with, until when, and what comes after that.
-- client_secret_sealed holds the secret as it is, a certificate or a service account as JSON.
alter table poststelle.oauth_clients
  add column label text not null default '',
  add column proof_kind text not null default 'none',
  add column secret_expires_at timestamptz,
  add column secret_changed_at timestamptz,
  add column next_secret_sealed text,
  add column next_proof_kind text,
  add column next_secret_expires_at timestamptz,
  -- waiting: not tried yet; refused: it was tried, and the one before stays
  add column next_secret_state text,
  add column next_secret_evidence text;
update poststelle.oauth_clients set proof_kind = 'secret', secret_changed_at = updated_at where client_secret_sealed is not null;
alter table poststelle.oauth_clients
  add check (proof_kind in ('none', 'secret', 'certificate', 'service_account')),
  add check ((proof_kind = 'none') = (client_secret_sealed is null)),
  add check (next_proof_kind in ('secret', 'certificate', 'service_account')),
  add check (next_secret_state in ('waiting', 'refused')),
  add check ((next_secret_sealed is null) = (next_proof_kind is null) and (next_secret_sealed is null) = (next_secret_state is null));

alter table poststelle.grants
  -- when somebody gave the credential, and by which flow it was born
  add column granted_at timestamptz,
  add column granted_by text,
  -- the hard end of the refresh token, where the provider tells one
  add column refresh_expires_at timestamptz;
update poststelle.grants g set granted_at = a.created_at, granted_by = coalesce(a.oauth_flow, 'password')
  from poststelle.accounts a where a.id = g.account_id;

-- A sign-in that has begun: used once, and not for long.
create table poststelle.sign_ins (
  id bigint generated always as identity primary key,
  account_id bigint not null references poststelle.accounts on delete cascade,
  -- link: an invitation the owner of the mailbox opens; browser: an authorization request on its way; device: a code typed elsewhere
  kind text not null check (kind in ('link', 'browser', 'device')),
  -- sha256 of the link's token or of the state
  secret_hash bytea not null unique,
  -- PKCE verifier and nonce, or the device code
  verifier_sealed text,
  redirect_uri text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  -- what became of it, in words for the operator
  outcome text
);
create index sign_ins_by_account on poststelle.sign_ins (account_id, created_at);
