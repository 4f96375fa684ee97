-- Messages given in parts: each part is checked where it is named, and nothing is taken apart that was not given apart.

-- Text for a header field: no control characters, and no word so long that its line cannot be folded.
create function poststelle.header_text(path text, given jsonb, most integer) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare value text := given #>> '{}';
begin
  if jsonb_typeof(given) <> 'string' then
    perform poststelle.refuse(format('%s: is not a text', path));
  end if;
  if value ~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]' then
    perform poststelle.refuse(format('%s: contains a line break or another control character', path));
  end if;
  if length(value) > most then
    perform poststelle.refuse(format('%s: is longer than %s characters', path, most));
  end if;
  if exists (select from string_to_table(value, ' ') w where length(w) > 900) then
    perform poststelle.refuse(format('%s: contains a word of more than 900 characters', path));
  end if;
  return value;
end $$;

create function poststelle.check_keys(path text, given jsonb, allowed text[]) returns void
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare unknown_key text;
begin
  if jsonb_typeof(given) is distinct from 'object' then
    perform poststelle.refuse(format('%s: is not an object', path));
  end if;
  select k into unknown_key from jsonb_object_keys(given) k where k <> all (allowed) order by k limit 1;
  if unknown_key is not null then
    perform poststelle.refuse(format('%s: %s is not known; possible are %s', path, poststelle.shown(unknown_key), array_to_string(allowed, ', ')));
  end if;
end $$;

-- "a@example.com" or {"address": "a@example.com", "name": "A"}, as the latter.
create function poststelle.parts_address(path text, given jsonb) returns jsonb
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare name text;
begin
  if jsonb_typeof(given) = 'string' then
    return jsonb_build_object('address', poststelle.check_address(path, given #>> '{}'));
  end if;
  perform poststelle.check_keys(path, given, array['address', 'name']);
  if jsonb_typeof(given -> 'address') is distinct from 'string' then
    perform poststelle.refuse(format('%s.address: %s', path, case when given ? 'address' then 'is not a text' else 'is missing' end));
  end if;
  perform poststelle.check_address(path || '.address', given ->> 'address');
  name := btrim(poststelle.header_text(path || '.name', given -> 'name', 500));
  if name ~ '=\?[^? ]+\?[BbQq]\?[^?]*\?=' then
    perform poststelle.refuse(format('%s.name: contains an encoded word; give the name itself', path));
  end if;
  return jsonb_strip_nulls(jsonb_build_object('address', given -> 'address', 'name', nullif(name, '')));
end $$;

create function poststelle.parts_addresses(path text, given jsonb) returns jsonb
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if given is null then
    return '[]';
  elsif jsonb_typeof(given) <> 'array' then
    perform poststelle.refuse(format('%s: is not an array', path));
  elsif jsonb_array_length(given) > 1000 then
    perform poststelle.refuse(format('%s: more than 1000 in one message', path));
  end if;
  return coalesce((select jsonb_agg(poststelle.parts_address(format('%s[%s]', path, a.n - 1), a.value) order by a.n)
    from jsonb_array_elements(given) with ordinality a (value, n)), '[]');
end $$;

-- The header fields an application may set itself. Everything that says who, when and how the message is built is made here.
create function poststelle.parts_headers(given jsonb) returns jsonb
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  name text;
  value jsonb;
  path text;
  content text;
begin
  if given is null then
    return '{}';
  elsif jsonb_typeof(given) <> 'object' then
    perform poststelle.refuse('parts.headers: is not an object');
  end if;
  for name, value in select * from jsonb_each(given) loop
    path := format('parts.headers[%s]', poststelle.shown(name));
    if name !~* ('^(x-[a-z0-9-]{1,70}|list-(id|help|unsubscribe|unsubscribe-post|subscribe|post|owner|archive)|in-reply-to|references'
      || '|auto-submitted|importance|priority|precedence|sensitivity|keywords|comments|organization|feedback-id|content-language'
      || '|disposition-notification-to)$') then
      perform poststelle.refuse(format('%s: is not a header field that may be set; see submit_parts in docs/sql.md', path));
    end if;
    content := poststelle.header_text(path, value, 10000);
    if btrim(content) = '' then
      perform poststelle.refuse(format('%s: is empty', path));
    end if;
    if name !~* '^(x-.*|keywords|comments|organization)$' and content !~ '^[ -~]+$' then
      perform poststelle.refuse(format('%s: contains characters that are not ASCII', path));
    end if;
    if name ~* '^(in-reply-to|references)$' and content !~ '^ *<[^<> ]+>( +<[^<> ]+>)* *$' then
      perform poststelle.refuse(format('%s: is not a list of Message-IDs such as <id@domain>', path));
    end if;
    if lower(name) = 'disposition-notification-to' then
      perform poststelle.check_address(path, content);
    end if;
    if (select count(*) from jsonb_object_keys(given) k where lower(k) = lower(name)) > 1 then
      perform poststelle.refuse(format('%s: is there twice', path));
    end if;
  end loop;
  return given;
end $$;

-- One attachment without its bytes; those are what content_of gives.
create function poststelle.parts_attachment(path text, given jsonb) returns jsonb
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  content_type text;
  content_id text;
  token constant text := '[A-Za-z0-9!#$%&''*+.^_`{|}~-]+';
begin
  perform poststelle.check_keys(path, given, array['filename', 'content_type', 'content', 'content_id', 'disposition']);
  if jsonb_typeof(given -> 'content') is distinct from 'string' then
    perform poststelle.refuse(format('%s.content: %s', path, case when given ? 'content' then 'is not a text' else 'is missing' end));
  end if;
  content_type := coalesce(poststelle.header_text(path || '.content_type', given -> 'content_type', 255), 'application/octet-stream');
  if content_type !~ format('^%1$s/%1$s( *; *%1$s=(%1$s|"[^"\\]*"))*$', token) or content_type !~ '^[ -~]+$' then
    perform poststelle.refuse(format('%s.content_type: %s is not a media type such as application/pdf', path, poststelle.shown(content_type)));
  end if;
  if content_type ~* '^(multipart/|message/(?!rfc822( *;|$)))' then
    perform poststelle.refuse(format('%s.content_type: %s cannot be attached', path, poststelle.shown(content_type)));
  end if;
  content_id := poststelle.header_text(path || '.content_id', given -> 'content_id', 250);
  if content_id !~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~.@-]+$' then
    perform poststelle.refuse(format('%s.content_id: %s is not an id such as logo@example.com', path, poststelle.shown(content_id)));
  end if;
  if given ? 'disposition' and given -> 'disposition' not in ('"attachment"', '"inline"') then
    perform poststelle.refuse(format('%s.disposition: is neither attachment nor inline', path));
  end if;
  return jsonb_strip_nulls(jsonb_build_object('filename', nullif(btrim(poststelle.header_text(path || '.filename', given -> 'filename', 255)), ''),
    'content_type', content_type, 'content_id', content_id, 'disposition', given -> 'disposition'));
end $$;

create function poststelle.parts_content(path text, given jsonb) returns bytea
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare content bytea;
begin
  begin
    content := decode(given ->> 'content', 'base64');
  exception when invalid_parameter_value then
    perform poststelle.refuse(format('%s.content: is not base64', path));
  end;
  if given ->> 'content_type' ~* '^message/' then -- it is sent as it stands, not as base64: RFC 2046, section 5.2.1
    if position('\x00'::bytea in content) > 0 then
      perform poststelle.refuse(format('%s.content: a message contains a NUL character', path));
    end if;
    content := poststelle.canonical(content);
  end if;
  return content;
end $$;

create function poststelle.parts_body(path text, given jsonb) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if jsonb_typeof(given) <> 'string' then
    perform poststelle.refuse(format('%s: is not a text', path));
  elsif octet_length(given #>> '{}') > 10485760 then
    perform poststelle.refuse(format('%s: is larger than 10 MB', path));
  end if;
  return given #>> '{}';
end $$;

-- Accepts one message given in parts, in the caller's transaction, as submit_message does one that is complete. It is composed
-- before its first attempt; its Message-ID and Date are fixed here.
create function poststelle.submit_parts(
  account text, parts jsonb, idempotency_key text default null, send_after timestamptz default null, priority integer default 0
) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  lane_account bigint := poststelle.check_submission(account, idempotency_key, priority);
  given jsonb;
  draft jsonb;
  hidden jsonb;
  sender text;
  recipients text[];
  attachment jsonb;
  content bytea;
  path text;
  ordinal integer := 0;
  files jsonb[] := '{}';
  hashes bytea := '';
  octets bigint := 0;
  request bytea;
  entered record;
  known_id bigint;
begin
  if parts is null then
    perform poststelle.refuse('parts: is missing');
  end if;
  perform poststelle.check_keys('parts', parts, array['from', 'reply_to', 'to', 'cc', 'bcc', 'subject', 'text', 'html', 'headers',
    'attachments', 'envelope_from']);
  given := jsonb_strip_nulls(parts); -- null is the same as missing
  if not given ? 'from' then
    perform poststelle.refuse('parts.from: is missing');
  end if;
  hidden := poststelle.parts_addresses('parts.bcc', given -> 'bcc');
  draft := jsonb_build_object('from', poststelle.parts_address('parts.from', given -> 'from'),
    'to', poststelle.parts_addresses('parts.to', given -> 'to'), 'cc', poststelle.parts_addresses('parts.cc', given -> 'cc'),
    'headers', poststelle.parts_headers(given -> 'headers'), 'subject', poststelle.header_text('parts.subject', given -> 'subject', 998),
    'text', poststelle.parts_body('parts.text', given -> 'text'), 'html', poststelle.parts_body('parts.html', given -> 'html'),
    'reply_to', case when given ? 'reply_to' then poststelle.parts_address('parts.reply_to', given -> 'reply_to') end);
  recipients := array(select a.value ->> 'address' from jsonb_array_elements((draft -> 'to') || (draft -> 'cc') || hidden)
    with ordinality a (value, n) order by a.n);
  if cardinality(recipients) = 0 then
    perform poststelle.refuse('parts.to: at least one recipient is needed, in to, cc or bcc');
  end if;
  if cardinality(recipients) > 1000 then
    perform poststelle.refuse('parts.to: to, cc and bcc have more than 1000 recipients together');
  end if;
  if given ? 'envelope_from' and jsonb_typeof(given -> 'envelope_from') <> 'string' then
    perform poststelle.refuse('parts.envelope_from: is not a text');
  end if;
  sender := coalesce(given ->> 'envelope_from', draft #>> '{from,address}');
  if sender <> '' then
    perform poststelle.check_address('parts.envelope_from', sender);
  end if;
  if given ? 'attachments' and jsonb_typeof(given -> 'attachments') <> 'array' then
    perform poststelle.refuse('parts.attachments: is not an array');
  end if;
  if coalesce(given ->> 'text', '') = '' and coalesce(given ->> 'html', '') = ''
    and coalesce(jsonb_array_length(given -> 'attachments'), 0) = 0 then
    perform poststelle.refuse('parts.text: a text, an html or an attachment is needed');
  end if;
  if jsonb_array_length(given -> 'attachments') > 500 then
    perform poststelle.refuse('parts.attachments: more than 500 in one message');
  end if;

  for attachment in select a from jsonb_array_elements(given -> 'attachments') a loop
    path := format('parts.attachments[%s]', ordinal);
    files := array_append(files, poststelle.parts_attachment(path, attachment));
    content := poststelle.parts_content(path, attachment);
    hashes := hashes || sha256(content);
    files[ordinal + 1] := files[ordinal + 1] || jsonb_build_object('size_bytes', length(content));
    -- as base64 in lines of 76 characters; a message is not encoded
    octets := octets + (length(content) + 56) / 57 * 78 + 1024;
    ordinal := ordinal + 1;
  end loop;
  -- as quoted-printable at its worst
  octets := octets + coalesce(octet_length(given ->> 'text'), 0)::bigint * 3 + coalesce(octet_length(given ->> 'html'), 0)::bigint * 3;
  if octets > 157286400 then
    perform poststelle.refuse('parts: the message would be larger than 150 MB');
  end if;
  draft := jsonb_strip_nulls(draft) || jsonb_build_object('attachments', to_jsonb(files));

  request := sha256(convert_to(jsonb_build_array('parts', draft, hidden, sender)::text, 'UTF8') || hashes);
  if idempotency_key is not null then
    known_id := poststelle.accepted_before(lane_account, idempotency_key, request);
    if known_id is not null then
      return known_id;
    end if;
  end if;
  entered := poststelle.enter_message(lane_account, sender, recipients, poststelle.new_message_id(lane_account, draft #>> '{from,address}'),
    draft ->> 'subject', null, null, idempotency_key, request, priority, send_after);
  if not entered.fresh then
    return entered.id;
  end if;
  insert into poststelle.outbound_drafts (message_id, dated_at, parts) values (entered.id, greatest(now(), send_after), draft);
  ordinal := 0;
  for attachment in select a from jsonb_array_elements(given -> 'attachments') a loop
    content := poststelle.parts_content('parts.attachments', attachment);
    insert into poststelle.outbound_draft_attachments (message_id, ordinal, chunk, bytes)
      select entered.id, ordinal, n, substring(content from n * 262144 + 1 for 262144)
      from generate_series(0, (length(content) - 1) / 262144) n where length(content) > 0;
    ordinal := ordinal + 1;
  end loop;
  return entered.id;
end $$;

revoke all on all functions in schema poststelle from public;
do $$
begin
  if exists (select from pg_roles where rolname = 'poststelle_app') then
    grant execute on function poststelle.submit_parts(text, jsonb, text, timestamptz, integer) to poststelle_app;
  end if;
end $$;
