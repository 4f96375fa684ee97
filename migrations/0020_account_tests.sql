-- What connection tests have found, the latest fifty of each account, to be compared.

create table poststelle.account_tests (
  id bigint generated always as identity primary key,
  account_id bigint not null references poststelle.accounts on delete cascade,
  at timestamptz not null default now(),
  outcome text not null check (outcome in ('passed', 'failed', 'incomplete')),
  -- one object for each step, without words: they are made in the reader's language
  steps jsonb not null,
  -- a login was tried: while the system keeps a lane parked, the operator has one try
  tried_receive boolean not null default false,
  tried_send boolean not null default false
);
create index account_tests_by_account on poststelle.account_tests (account_id, at);
