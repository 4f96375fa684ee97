-- Mailboxes that are silent: after how long that is said, and mail that travels from an account to itself to see whether it comes.

alter table poststelle.maildrops
  add column freshness_minutes integer check (freshness_minutes between 10 and 527040),
  add column canary_minutes integer check (canary_minutes between 60 and 10080);

create table poststelle.round_trips (
  id bigint generated always as identity primary key,
  account_id bigint not null references poststelle.accounts on delete cascade,
  outbound_id bigint not null references poststelle.outbound_messages on delete cascade,
  -- by which it is known again: some servers replace the Message-ID
  subject text not null unique,
  started_at timestamptz not null default now(),
  inbound_id bigint references poststelle.messages on delete set null,
  arrived_at timestamptz
);
create index round_trips_account on poststelle.round_trips (account_id, started_at);
create index round_trips_outbound on poststelle.round_trips (outbound_id);
create index round_trips_inbound on poststelle.round_trips (inbound_id);

-- our own mail to ourselves is no mail for the application: it is acknowledged when it arrives
alter table poststelle.message_contents drop constraint message_contents_kind_check,
  add constraint message_contents_kind_check
    check (kind in ('mail', 'auto_reply', 'delivery_report', 'disposition_report', 'round_trip'));

create or replace function poststelle.inbox_since(cursor bigint, max_rows integer default 100) returns setof poststelle.inbox
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select i.* from poststelle.inbox i where i.position > coalesce(inbox_since.cursor, 0) and i.kind <> 'round_trip'
  order by i.position limit greatest(0, least(coalesce(inbox_since.max_rows, 100), 10000))
$$;
