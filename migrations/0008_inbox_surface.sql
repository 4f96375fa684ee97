-- What the business application reads of received mail. docs/sql.md explains every column; these names are a contract.

-- what an application has still to do: few among many, and asked for again and again
create index messages_unacknowledged on poststelle.messages (id) where acknowledged_at is null;

-- columns are only added behind the others
create or replace view poststelle.inbox as
  select m.id, a.email as account, m.account_id, m.received_at, m.date_at, m.from_address, m.from_name, m.to_addresses, m.subject,
    m.internet_message_id as message_id, m.size_bytes, encode(m.sha256, 'hex') as sha256,
    m.complete, m.acknowledged_at, coalesce(c.state, 'pending') as parse_state, c.reason as parse_reason, c.position, c.kind,
    c.thread_id, c.in_reply_to, c.reference_ids, c.body_text, c.body_html, c.notes as parse_notes, c.search,
    (select count(*) from poststelle.attachments t where t.message_id = m.id) as attachment_count
  from poststelle.messages m join poststelle.accounts a on a.id = m.account_id
    left join poststelle.message_contents c on c.message_id = m.id;

create view poststelle.inbox_attachments as
  select t.message_id, t.ordinal, t.name, t.content_type, t.disposition, t.content_id, t.size_bytes, encode(t.sha256, 'hex') as sha256
  from poststelle.attachments t;

create view poststelle.inbox_delivery_reports as
  select r.message_id, r.ordinal, r.action, r.recipient, r.status, r.diagnostic, r.reporting_mta, r.original_message_id,
    r.outbound_message_id
  from poststelle.delivery_reports r;

-- Messages that became ready behind `cursor`, in that order: the last row's position is the next cursor. 0 begins at the beginning.
-- Positions are given under one lock and become visible in their order: a row committed late is never skipped.
create function poststelle.inbox_since(cursor bigint, max_rows integer default 100) returns setof poststelle.inbox
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select i.* from poststelle.inbox i where i.position > coalesce(inbox_since.cursor, 0)
  order by i.position limit greatest(0, least(coalesce(inbox_since.max_rows, 100), 10000))
$$;

-- The application has dealt with this message. true: only now; false: it had said so before.
create function poststelle.ack_inbound(id bigint) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update poststelle.messages m set acknowledged_at = now() where m.id = ack_inbound.id and m.acknowledged_at is null;
  if found then
    return true;
  end if;
  if not exists (select from poststelle.messages m where m.id = ack_inbound.id) then
    raise exception using errcode = 'no_data_found', message = format('id: there is no message %s', coalesce(ack_inbound.id::text, 'null'));
  end if;
  return false;
end $$;

-- The bytes of one attachment; null when there is no such attachment.
create function poststelle.attachment(message_id bigint, ordinal integer) returns bytea
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(string_agg(b.bytes, ''::bytea order by b.chunk), case when exists (select from poststelle.attachments t
      where t.message_id = attachment.message_id and t.ordinal = attachment.ordinal) then ''::bytea end)
  from poststelle.attachments t join poststelle.blob_chunks b on b.blob_id = t.blob_id
  where t.message_id = attachment.message_id and t.ordinal = attachment.ordinal
$$;

revoke all on function poststelle.inbox_since(bigint, integer), poststelle.ack_inbound(bigint), poststelle.attachment(bigint, integer)
  from public;
do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    grant select on poststelle.inbox_attachments, poststelle.inbox_delivery_reports, poststelle.ledger_gaps to poststelle_app;
    grant execute on function poststelle.inbox_since(bigint, integer), poststelle.ack_inbound(bigint),
      poststelle.attachment(bigint, integer) to poststelle_app;
  end if;
end $$;
