-- A restored database must not send yesterday's mail again: the database knows where it lives and how far it has come, and the
-- data folder of every machine knows how far it was.

-- Where this database lies: the system identifier of its cluster, where this user may read it, and its own oid there. A dump that is
-- restored finds itself at another place than the one it names.
create function poststelle.place() returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare cluster text := '';
begin
  begin
    select system_identifier::text into cluster from pg_control_system();
  exception when insufficient_privilege then null;
  end;
  return cluster || '/' || (select oid from pg_database where datname = current_database());
end $$;

create table poststelle.installation (
  one boolean primary key default true check (one),
  -- the same in every copy and backup of it
  id uuid not null default gen_random_uuid(),
  -- raised while mail is sent, and never lowered
  epoch bigint not null default 1,
  place text not null,
  fenced_at timestamptz,
  fence_reason text check (fence_reason in ('place', 'epoch', 'manual')),
  check ((fenced_at is null) = (fence_reason is null))
);
insert into poststelle.installation (place) values (poststelle.place());

revoke all on function poststelle.place() from public;
