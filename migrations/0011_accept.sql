-- How outgoing mail is accepted: strict addresses, clean headers, one way in for all forms. docs/sql.md explains what applications
-- see. What is given in parts is a draft until it is composed, before its first attempt.

-- null until the message was composed
alter table poststelle.outbound_messages alter column size_bytes drop not null;
alter table poststelle.outbound_messages alter column sha256 drop not null;
alter table poststelle.outbound_messages add constraint outbound_messages_composed check ((size_bytes is null) = (sha256 is null));

-- What was submitted in parts, until it is composed. Bcc is not in it.
create table poststelle.outbound_drafts (
  message_id bigint primary key references poststelle.outbound_messages on delete cascade,
  -- fixed at acceptance like the Message-ID: the composed bytes are the same whenever they are made
  dated_at timestamptz not null,
  parts jsonb not null
);
create table poststelle.outbound_draft_attachments (
  message_id bigint not null references poststelle.outbound_drafts on delete cascade,
  ordinal integer not null,
  chunk integer not null,
  bytes bytea not null,
  primary key (message_id, ordinal, chunk)
);
do $$
begin
  alter table poststelle.outbound_draft_attachments alter column bytes set compression lz4;
  alter table poststelle.outbound_drafts alter column parts set compression lz4;
exception when feature_not_supported then
  alter table poststelle.outbound_draft_attachments alter column bytes set storage external;
end $$;

create function poststelle.refuse(reason text) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = 'invalid_parameter_value', message = reason;
end $$;

-- What a caller wrote, in an error message: quoted, cut, without control characters.
create function poststelle.shown(given text) returns text
  language sql immutable set search_path = pg_catalog, pg_temp
  return coalesce(quote_literal(regexp_replace(left(given, 200), '[\u0001-\u001f\u007f-\u009f\u2028\u2029]', '?', 'g')), 'null');

-- Letters, marks and digits outside of ASCII, as Unicode 17 has them, without the scripts of planes 1 and 3 and above: what
-- checkAddress of src/smtp/envelope.ts allows. Spaces, symbols, controls and what turns the reading order are not among them.
create function poststelle.are_letters(given text) returns boolean
  language sql immutable set search_path = pg_catalog, pg_temp
  return not exists (select from regexp_split_to_table(regexp_replace(given, '[\u0001-\u007f]', '', 'g'), '') c
    where c <> '' and not '{[170,171),[178,180),[181,182),[185,187),[188,191),[192,215),[216,247),[248,706),[710,722),[736,741),[748,749),[750,751),'
'[768,885),[886,888),[890,894),[895,896),[902,903),[904,907),[908,909),[910,930),[931,1014),[1015,1154),[1155,1328),[1329,1367),'
      '[1369,1370),[1376,1417),[1425,1470),[1471,1472),[1473,1475),[1476,1478),[1479,1480),[1488,1515),[1519,1523),[1552,1563),'
      '[1568,1642),[1646,1748),[1749,1757),[1759,1769),[1770,1789),[1791,1792),[1808,1867),[1869,1970),[1984,2038),[2042,2043),'
      '[2045,2046),[2048,2094),[2112,2140),[2144,2155),[2160,2184),[2185,2192),[2199,2274),[2275,2404),[2406,2416),[2417,2436),'
      '[2437,2445),[2447,2449),[2451,2473),[2474,2481),[2482,2483),[2486,2490),[2492,2501),[2503,2505),[2507,2511),[2519,2520),'
      '[2524,2526),[2527,2532),[2534,2546),[2548,2554),[2556,2557),[2558,2559),[2561,2564),[2565,2571),[2575,2577),[2579,2601),'
      '[2602,2609),[2610,2612),[2613,2615),[2616,2618),[2620,2621),[2622,2627),[2631,2633),[2635,2638),[2641,2642),[2649,2653),'
      '[2654,2655),[2662,2678),[2689,2692),[2693,2702),[2703,2706),[2707,2729),[2730,2737),[2738,2740),[2741,2746),[2748,2758),'
      '[2759,2762),[2763,2766),[2768,2769),[2784,2788),[2790,2800),[2809,2816),[2817,2820),[2821,2829),[2831,2833),[2835,2857),'
      '[2858,2865),[2866,2868),[2869,2874),[2876,2885),[2887,2889),[2891,2894),[2901,2904),[2908,2910),[2911,2916),[2918,2928),'
      '[2929,2936),[2946,2948),[2949,2955),[2958,2961),[2962,2966),[2969,2971),[2972,2973),[2974,2976),[2979,2981),[2984,2987),'
      '[2990,3002),[3006,3011),[3014,3017),[3018,3022),[3024,3025),[3031,3032),[3046,3059),[3072,3085),[3086,3089),[3090,3113),'
      '[3114,3130),[3132,3141),[3142,3145),[3146,3150),[3157,3159),[3160,3163),[3164,3166),[3168,3172),[3174,3184),[3192,3199),'
      '[3200,3204),[3205,3213),[3214,3217),[3218,3241),[3242,3252),[3253,3258),[3260,3269),[3270,3273),[3274,3278),[3285,3287),'
      '[3292,3295),[3296,3300),[3302,3312),[3313,3316),[3328,3341),[3342,3345),[3346,3397),[3398,3401),[3402,3407),[3412,3428),'
      '[3430,3449),[3450,3456),[3457,3460),[3461,3479),[3482,3506),[3507,3516),[3517,3518),[3520,3527),[3530,3531),[3535,3541),'
      '[3542,3543),[3544,3552),[3558,3568),[3570,3572),[3585,3643),[3648,3663),[3664,3674),[3713,3715),[3716,3717),[3718,3723),'
      '[3724,3748),[3749,3750),[3751,3774),[3776,3781),[3782,3783),[3784,3791),[3792,3802),[3804,3808),[3840,3841),[3864,3866),'
      '[3872,3892),[3893,3894),[3895,3896),[3897,3898),[3902,3912),[3913,3949),[3953,3973),[3974,3992),[3993,4029),[4038,4039),'
      '[4096,4170),[4176,4254),[4256,4294),[4295,4296),[4301,4302),[4304,4347),[4348,4681),[4682,4686),[4688,4695),[4696,4697),'
      '[4698,4702),[4704,4745),[4746,4750),[4752,4785),[4786,4790),[4792,4799),[4800,4801),[4802,4806),[4808,4823),[4824,4881),'
      '[4882,4886),[4888,4955),[4957,4960),[4969,4989),[4992,5008),[5024,5110),[5112,5118),[5121,5741),[5743,5760),[5761,5787),'
      '[5792,5867),[5870,5881),[5888,5910),[5919,5941),[5952,5972),[5984,5997),[5998,6001),[6002,6004),[6016,6100),[6103,6104),'
      '[6108,6110),[6112,6122),[6128,6138),[6155,6158),[6159,6170),[6176,6265),[6272,6315),[6320,6390),[6400,6431),[6432,6444),'
      '[6448,6460),[6470,6510),[6512,6517),[6528,6572),[6576,6602),[6608,6619),[6656,6684),[6688,6751),[6752,6781),[6783,6794),'
      '[6800,6810),[6823,6824),[6832,6878),[6880,6892),[6912,6989),[6992,7002),[7019,7028),[7040,7156),[7168,7224),[7232,7242),'
      '[7245,7294),[7296,7307),[7312,7355),[7357,7360),[7376,7379),[7380,7419),[7424,7958),[7960,7966),[7968,8006),[8008,8014),'
      '[8016,8024),[8025,8026),[8027,8028),[8029,8030),[8031,8062),[8064,8117),[8118,8125),[8126,8127),[8130,8133),[8134,8141),'
      '[8144,8148),[8150,8156),[8160,8173),[8178,8181),[8182,8189),[8304,8306),[8308,8314),[8319,8330),[8336,8349),[8400,8433),'
      '[8450,8451),[8455,8456),[8458,8468),[8469,8470),[8473,8478),[8484,8485),[8486,8487),[8488,8489),[8490,8494),[8495,8506),'
      '[8508,8512),[8517,8522),[8526,8527),[8528,8586),[9312,9372),[9450,9472),[10102,10132),[11264,11493),[11499,11508),[11517,11518),'
      '[11520,11558),[11559,11560),[11565,11566),[11568,11624),[11631,11632),[11647,11671),[11680,11687),[11688,11695),[11696,11703),'
      '[11704,11711),[11712,11719),[11720,11727),[11728,11735),[11736,11743),[11744,11776),[11823,11824),[12293,12296),[12321,12336),'
      '[12337,12342),[12344,12349),[12353,12439),[12441,12443),[12445,12448),[12449,12539),[12540,12544),[12549,12592),[12593,12687),'
      '[12690,12694),[12704,12736),[12784,12800),[12832,12842),[12872,12880),[12881,12896),[12928,12938),[12977,12992),[13312,19904),'
      '[19968,42125),[42192,42238),[42240,42509),[42512,42540),[42560,42611),[42612,42622),[42623,42738),[42775,42784),[42786,42889),'
      '[42891,42973),[42993,43048),[43052,43053),[43056,43062),[43072,43124),[43136,43206),[43216,43226),[43232,43256),[43259,43260),'
      '[43261,43310),[43312,43348),[43360,43389),[43392,43457),[43471,43482),[43488,43519),[43520,43575),[43584,43598),[43600,43610),'
      '[43616,43639),[43642,43715),[43739,43742),[43744,43760),[43762,43767),[43777,43783),[43785,43791),[43793,43799),[43808,43815),'
      '[43816,43823),[43824,43867),[43868,43882),[43888,44011),[44012,44014),[44016,44026),[44032,55204),[55216,55239),[55243,55292),'
      '[63744,64110),[64112,64218),[64256,64263),[64275,64280),[64285,64297),[64298,64311),[64312,64317),[64318,64319),[64320,64322),'
      '[64323,64325),[64326,64434),[64467,64830),[64848,64912),[64914,64968),[65008,65020),[65024,65040),[65056,65072),[65136,65141),'
      '[65142,65277),[65296,65306),[65313,65339),[65345,65371),[65382,65471),[65474,65480),[65482,65488),[65490,65496),[65498,65501),'
      '[131072,173792),[173824,178206),[178208,183982),[183984,191457),[191472,192094),[194560,195102),[196608,201547)}'::int4multirange @> ascii(c));

-- Length of an internationalised label as an A-label, its prefix included: RFC 3492, section 6.3.
create function poststelle.a_label_length(label text) returns integer
  language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
  points integer[] := array(select ascii(c) from regexp_split_to_table(label, '') with ordinality s (c, n) order by n);
  basic integer := (select count(*) from unnest(points) p where p < 128);
  handled integer := basic;
  length integer := 4 + basic + case when basic > 0 then 1 else 0 end;
  n integer := 128;
  delta bigint := 0;
  bias integer := 72;
  next_n integer;
  p integer;
  q bigint;
  k integer;
  t integer;
begin
  while handled < cardinality(points) loop
    next_n := (select min(x) from unnest(points) x where x >= n);
    delta := delta + (next_n - n)::bigint * (handled + 1);
    n := next_n;
    foreach p in array points loop
      if p < n then
        delta := delta + 1;
      elsif p = n then
        q := delta;
        k := 36;
        loop
          t := least(greatest(k - bias, 1), 26);
          length := length + 1;
          exit when q < t;
          q := (q - t) / (36 - t);
          k := k + 36;
        end loop;
        delta := case when handled = basic then delta / 700 else delta / 2 end;
        delta := delta + delta / (handled + 1);
        k := 0;
        while delta > 455 loop
          delta := delta / 35;
          k := k + 36;
        end loop;
        bias := k + 36 * delta / (delta + 38);
        delta := 0;
        handled := handled + 1;
      end if;
    end loop;
    delta := delta + 1;
    n := n + 1;
  end loop;
  return length;
end $$;

-- Octets of a domain as it goes over the wire; null where it cannot. Internationalised labels are judged more strictly than IDNA
-- does: composed characters, the first one a letter of a common script, nothing mixed with a script that runs from right to left.
create function poststelle.wire_length(domain text) returns integer
  language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
  composed text;
  label text;
  length integer := -1;
  label_length integer;
begin
  if octet_length(domain) = char_length(domain) then
    return case when domain ~ '^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$'
      and domain !~ '[^.]{64}' and domain !~ '(^|\.)[0-9]+$' then octet_length(domain) end;
  end if;
  composed := normalize(domain, nfc);
  if composed is not nfkc normalized or not poststelle.are_letters(composed)
    or composed ~ '[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]' and composed ~ '[^A-Za-z.\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3]'
    or composed ~ '(^|\.)([0-9]+|0[xX][0-9A-Fa-f]*)$' then
    return null;
  end if;
  foreach label in array string_to_array(lower(composed), '.') loop
    if label !~ '^[A-Za-z0-9\u0080-\U0010ffff]([A-Za-z0-9\u0080-\U0010ffff-]*[A-Za-z0-9\u0080-\U0010ffff])?$' or label ~ '^..--' then
      return null;
    end if;
    if octet_length(label) = char_length(label) then
      label_length := octet_length(label);
    elsif label ~ '[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]' and label ~ '[A-Za-z]' or label !~ ('^[A-Za-z0-9\u00c0-\u02af\u0370-\u0482'
      || '\u048a-\u0587\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u0904-\u0939\u0985-\u09b9\u0a05-\u0a39\u0a85-\u0ab9\u0b05-\u0b39'
      || '\u0b85-\u0bb9\u0c05-\u0c39\u0c85-\u0cb9\u0d05-\u0d3a\u0d85-\u0dc6\u0e01-\u0e30\u0e81-\u0eb0\u10a0-\u10ff\u1200-\u135a'
      || '\u1780-\u17b3\u1e00-\u1fff\u3005-\u3029\u3041-\u3096\u30a1-\u312f\u3400-\u9fff\uac00-\ud7a3\U00020000-\U000323af]') then
      return null;
    elsif char_length(label) > 59 then
      return null;
    else
      label_length := poststelle.a_label_length(label);
    end if;
    -- case folding of rare letters may add a little
    if label_length > (case when octet_length(label) = char_length(label) then 63 else 59 end) then
      return null;
    end if;
    length := length + 1 + label_length;
  end loop;
  return length;
end $$;

-- A mailbox as SMTP carries it: an unquoted local part and the name of a domain (RFC 5321 4.1.2, RFC 6531). What passes here passes
-- checkAddress in src/smtp/envelope.ts as well.
create function poststelle.is_plain_address(address text) returns boolean
  language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
  local_part text := split_part(address, '@', 1);
  octets integer;
begin
  if octet_length(address) > 1000 or octet_length(local_part) > 64
    or address !~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~\u0080-\U0010ffff-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~\u0080-\U0010ffff-]+)*@[^@]+$'
    or octet_length(local_part) <> char_length(local_part) and not poststelle.are_letters(local_part) then
    return false;
  end if;
  octets := octet_length(local_part) + 1 + poststelle.wire_length(split_part(address, '@', 2));
  return coalesce(octets <= 254, false);
end $$;

create or replace function poststelle.check_address(field text, address text) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if poststelle.is_plain_address(address) is not true then
    perform poststelle.refuse(format('%s: %s is not a plain e-mail address', field, poststelle.shown(address)));
  end if;
  return address;
end $$;

-- Line ends as they go over the wire: a CR and a LF alone are line ends too, everywhere.
create function poststelle.canonical(bytes bytea) returns bytea
  language sql immutable strict set search_path = pg_catalog, pg_temp
  return convert_to(replace(replace(replace(convert_from(bytes, 'LATIN1'), E'\r\n', E'\n'), E'\r', E'\n'), E'\n', E'\r\n'), 'LATIN1');

-- What both forms of a submission have in common; returns the id of the account.
create function poststelle.check_submission(account text, idempotency_key text, priority integer) returns bigint
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare lane_account bigint := poststelle.account_id(account);
begin
  if exists (select from poststelle.accounts a where a.id = lane_account and a.smtp_host is null) then
    perform poststelle.refuse(format('account: %s has no SMTP server', quote_literal(account)));
  end if;
  if idempotency_key is not null and length(idempotency_key) not between 1 and 255 then
    perform poststelle.refuse('idempotency_key: 1 to 255 characters');
  end if;
  if priority is null or priority not between -100 and 100 then
    perform poststelle.refuse('priority: a whole number from -100 to 100');
  end if;
  return lane_account;
end $$;

-- The id under which the key was accepted before; null where it was not. The same key with other content is refused.
create function poststelle.accepted_before(lane_account bigint, key text, request bytea) returns bigint
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare known record;
begin
  select m.id, m.request_sha256 into known from poststelle.outbound_messages m
    where m.account_id = lane_account and m.idempotency_key = key;
  if known.request_sha256 <> request then
    raise exception using errcode = 'unique_violation',
      message = format('idempotency_key: %s was used for another message (id %s)', quote_literal(key), known.id);
  end if;
  return known.id;
end $$;

-- Enters a checked message with its recipients. The caller adds its bytes where `fresh`; otherwise a concurrent transaction has
-- committed the same key first.
create function poststelle.enter_message(
  lane_account bigint, envelope_from text, recipients text[], message_key text, subject text, size_bytes bigint, sha256 bytea,
  idempotency_key text, request bytea, priority integer, send_after timestamptz, out id bigint, out fresh boolean
) language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  insert into poststelle.outbound_messages as m (account_id, state, envelope_from, internet_message_id, subject, size_bytes, sha256,
      idempotency_key, request_sha256, priority, next_attempt_at, expires_at)
    values (lane_account, case when send_after > now() then 'scheduled' else 'queued' end, envelope_from, message_key, subject, size_bytes,
      sha256, idempotency_key, request, priority, greatest(now(), send_after), greatest(now(), send_after) + interval '5 days')
    on conflict do nothing
    returning m.id into id;
  fresh := id is not null;
  if not fresh then
    id := poststelle.accepted_before(lane_account, idempotency_key, request);
    return;
  end if;
  insert into poststelle.outbound_recipients (message_id, ordinal, address)
    select enter_message.id, min(r.n), r.address from unnest(recipients) with ordinality r (address, n) group by r.address;
  perform pg_notify('poststelle_bell', 'send:' || lane_account);
end $$;

-- Accepts one message for sending, in the caller's transaction: when that commits, the message is ours. Line ends become CRLF, Bcc
-- leaves the headers; a missing Message-ID or Date is added, so that a repeat is recognisable as the same message.
create or replace function poststelle.submit_message(
  account text, envelope_from text, recipients text[], raw bytea,
  idempotency_key text default null, send_after timestamptz default null, priority integer default 0
) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  lane_account bigint := poststelle.check_submission(account, idempotency_key, priority);
  body bytea;
  header_end integer;
  header text;
  line bigint;
  field text;
  added text := '';
  message_key text;
  request bytea;
  entered record;
  known_id bigint;
begin
  if envelope_from is null then
    perform poststelle.refuse('envelope_from: is missing (an empty text means the null sender)');
  elsif envelope_from <> '' then
    perform poststelle.check_address('envelope_from', envelope_from);
  end if;
  if coalesce(cardinality(recipients), 0) = 0 then
    perform poststelle.refuse('recipients: at least one is needed');
  end if;
  if cardinality(recipients) > 1000 then
    perform poststelle.refuse('recipients: more than 1000 in one message');
  end if;
  perform poststelle.check_address('recipients', r) from unnest(recipients) r;
  if coalesce(length(raw), 0) = 0 then
    perform poststelle.refuse('raw: the message is empty');
  end if;
  if length(raw) > 157286400 then
    perform poststelle.refuse('raw: the message is larger than 150 MB');
  end if;
  if position('\x00'::bytea in raw) > 0 then
    perform poststelle.refuse('raw: the message contains a NUL character');
  end if;

  request := sha256(convert_to(jsonb_build_array(envelope_from, recipients)::text, 'UTF8') || sha256(raw));
  if idempotency_key is not null then
    known_id := poststelle.accepted_before(lane_account, idempotency_key, request);
    if known_id is not null then
      return known_id;
    end if;
  end if;

  body := poststelle.canonical(raw);
  if substring(body from 1 for 2) = '\x0d0a' then
    perform poststelle.refuse('raw: it begins with an empty line; the header fields come first');
  end if;
  if substring(body from length(body) - 1) <> '\x0d0a' then
    body := body || '\x0d0a';
  end if;
  header_end := position('\x0d0a0d0a'::bytea in body);
  header_end := case when header_end > 0 then header_end + 1 else length(body) end;
  if header_end > 1048576 then
    perform poststelle.refuse('raw: the header fields are larger than 1 MB');
  end if;
  -- every line begins with what ended the one before
  header := E'\r\n' || left(convert_from(substring(body from 1 for header_end), 'LATIN1'), -2);
  select l.n into line from string_to_table(substring(header from 3), E'\r\n') with ordinality l (text, n)
    where l.text !~ '^[!-9;-~]+[ \t]*:' and (l.n = 1 or l.text !~ '^[ \t]') limit 1;
  if line is not null then
    perform poststelle.refuse(format('raw: line %s of the headers is not a header field', line));
  end if;
  header := regexp_replace(header, '\r\n(resent-)?bcc[ \t]*:[^\r]*(\r\n[ \t][^\r]*)*', '', 'gi');

  foreach field in array array['Message-ID', 'Date'] loop
    if (select count(*) from regexp_matches(header, '\r\n' || field || '[ \t]*:', 'gi')) > 1 then
      perform poststelle.refuse(format('raw: it has more than one %s header field', field));
    end if;
  end loop;
  message_key := btrim(substring(header from '(?i)\r\nmessage-id[ \t]*:([^\r]*(?:\r\n[ \t][^\r]*)*)'), E' \t\r\n');
  if coalesce(message_key, '') = '' then
    header := regexp_replace(header, '\r\nmessage-id[ \t]*:[^\r]*(\r\n[ \t][^\r]*)*', '', 'i');
    message_key := poststelle.new_message_id(lane_account, envelope_from);
    added := format(E'Message-ID: %s\r\n', message_key);
  elsif length(message_key) > 998 then
    perform poststelle.refuse('raw: the Message-ID is longer than 998 characters');
  elsif message_key !~ '^<[^<>\r\n]+>' then
    perform poststelle.refuse('raw: the Message-ID is not of the form <id@domain>');
  else
    message_key := substring(message_key from '^<[^<>\r\n]+>');
  end if;
  if header !~* '\r\ndate[ \t]*:' then
    added := format(E'Date: %s\r\n%s', to_char(greatest(now(), send_after) at time zone 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "+0000"'), added);
  end if;
  -- what follows the last header line: its line end, and all the rest
  body := convert_to(added || substring(header || E'\r\n' from 3), 'LATIN1') || substring(body from header_end + 1);

  entered := poststelle.enter_message(lane_account, envelope_from, recipients, message_key,
    left(poststelle.readable(regexp_replace(substring(header from '(?i)\r\nsubject[ \t]*:[ \t]*([^\r]*(?:\r\n[ \t][^\r]*)*)'), '\r\n[ \t]', ' ', 'g')), 998),
    length(body), sha256(body), idempotency_key, request, priority, send_after);
  if entered.fresh then
    insert into poststelle.outbound_bodies (message_id, chunk, bytes)
      select entered.id, n, substring(body from n * 262144 + 1 for 262144) from generate_series(0, (length(body) - 1) / 262144) n;
  end if;
  return entered.id;
end $$;

-- A Message-ID of ours, made of a domain that can stand in one.
create function poststelle.new_message_id(lane_account bigint, sender text) returns text
  language sql volatile set search_path = pg_catalog, pg_temp
  return format('<%s@%s>', gen_random_uuid(), coalesce(
    substring(sender from '@([A-Za-z0-9.-]+)$'),
    (select substring(a.email from '@([A-Za-z0-9.-]+)$') from poststelle.accounts a where a.id = lane_account),
    'poststelle.invalid'));

revoke all on all functions in schema poststelle from public;
