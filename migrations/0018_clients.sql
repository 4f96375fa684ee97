-- One breaker for each app registration: what is wrong with the registration is found out by one account, and not by every one of
-- them. The row stays when the breaker closes: it counts what is asked without an answer.

create table poststelle.client_breakers (
  oauth_client_id bigint primary key references poststelle.oauth_clients on delete cascade,
  -- requests sent since the endpoint last answered well, and when the last of them was
  asked integer not null default 0,
  asked_at timestamptz,
  last_ok_at timestamptz,
  -- open: nobody asks before open_until, and then one account for all
  opened_at timestamptz,
  open_until timestamptz,
  probes integer not null default 0,
  probe_account_id bigint,
  -- why it is open
  flag text,
  scope text,
  persistence text,
  evidence text,
  check (num_nonnulls(opened_at, open_until, flag, scope, persistence, evidence) in (0, 6))
);

-- who signs in, where it is not the mailbox itself: a shared mailbox has no sign-in of its own
alter table poststelle.accounts add column auth_username text;

-- an idle account keeps its grant alive, also while the operator has both its directions switched off
create or replace function poststelle.is_switched_off(lane text, receive boolean, send boolean) returns boolean
  language sql immutable set search_path = pg_catalog, pg_temp
  return not case lane when 'receive' then receive when 'send' then send else true end;
update poststelle.lanes set switched_off = false where lane = 'token' and switched_off;
