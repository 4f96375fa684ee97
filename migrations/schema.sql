CREATE SCHEMA poststelle;
CREATE FUNCTION poststelle.a_label_length(label text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.accepted_before(lane_account bigint, key text, request bytea) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.account_id(account text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare found_id bigint;
begin
  if account is null then
    select a.id into found_id from poststelle.accounts a where a.is_default;
  elsif account ~ '^[0-9]{1,18}$' then
    select a.id into found_id from poststelle.accounts a where a.id = account::bigint;
  else
    select a.id into found_id from poststelle.accounts a where lower(a.email) = lower(account);
  end if;
  if found_id is null then
    raise exception using errcode = 'no_data_found', message =
      case when account is null then 'account: no default account is set'
      else format('account: %s is not known', quote_literal(left(account, 200))) end;
  end if;
  return found_id;
end $_$;
CREATE FUNCTION poststelle.ack_inbound(id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.apply_delivery_reports(reports bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform from poststelle.outbound_messages m
    where exists (select from poststelle.delivery_reports r where r.message_id = any(reports)
      and r.outbound_message_id = m.id and r.original_message_id = m.internet_message_id)
    order by m.id for update;
  perform poststelle.take_as_sent(m.id, o.address, 'a delivery report came')
    from poststelle.delivery_reports r
      join poststelle.outbound_messages m on m.id = r.outbound_message_id and m.internet_message_id = r.original_message_id
      left join poststelle.outbound_recipients o on o.message_id = m.id and o.ordinal = r.outbound_ordinal
    where r.message_id = any(reports) and m.state = 'uncertain';
  with report as (
    select distinct on (o.message_id, o.ordinal) o.message_id, o.ordinal, r.status, r.flag,
      coalesce(r.diagnostic, 'a delivery report says that it failed') as reply
    from poststelle.delivery_reports r
      join poststelle.outbound_messages m on m.id = r.outbound_message_id and m.internet_message_id = r.original_message_id
      join poststelle.outbound_recipients o on o.message_id = m.id and o.ordinal = r.outbound_ordinal
        and lower(o.address) = lower(r.recipient)
    where r.message_id = any(reports) and r.action = 'failed' and o.state = 'accepted' and m.state <> 'cancelled'
    order by o.message_id, o.ordinal, r.message_id, r.ordinal
  ), recipient as (
    update poststelle.outbound_recipients o
    set state = 'bounced', reply_code = substring(r.reply from '^[245][0-9][0-9](?=[ -])')::integer, enhanced_code = r.status,
      reply = r.reply, flag = r.flag, updated_at = now()
    from report r where o.message_id = r.message_id and o.ordinal = r.ordinal
    returning o.message_id, o.ordinal, o.reply, o.flag
  ), message as (
    select b.message_id, (array_agg(b.reply order by b.ordinal))[1] as reply, (array_agg(b.flag order by b.ordinal))[1] as flag,
      exists (select from poststelle.outbound_recipients o where o.message_id = b.message_id and o.state = 'accepted'
        and o.ordinal <> all(array_agg(b.ordinal))) as arrived
    from recipient b group by b.message_id
  )
  update poststelle.outbound_messages m
    set state = case when b.arrived then 'partial' else 'bounced' end, last_reply = b.reply, last_flag = b.flag
    from message b where m.id = b.message_id and m.state in ('sent', 'partial');
end $$;
CREATE FUNCTION poststelle.are_letters(given text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN (NOT (EXISTS (SELECT FROM regexp_split_to_table(regexp_replace(are_letters.given, '[\u0001-\u007f]'::text, ''::text, 'g'::text), ''::text) c(c) WHERE ((c.c <> ''::text) AND (NOT ('{[170,171),[178,180),[181,182),[185,187),[188,191),[192,215),[216,247),[248,706),[710,722),[736,741),[748,749),[750,751),[768,885),[886,888),[890,894),[895,896),[902,903),[904,907),[908,909),[910,930),[931,1014),[1015,1154),[1155,1328),[1329,1367),[1369,1370),[1376,1417),[1425,1470),[1471,1472),[1473,1475),[1476,1478),[1479,1480),[1488,1515),[1519,1523),[1552,1563),[1568,1642),[1646,1748),[1749,1757),[1759,1769),[1770,1789),[1791,1792),[1808,1867),[1869,1970),[1984,2038),[2042,2043),[2045,2046),[2048,2094),[2112,2140),[2144,2155),[2160,2184),[2185,2192),[2199,2274),[2275,2404),[2406,2416),[2417,2436),[2437,2445),[2447,2449),[2451,2473),[2474,2481),[2482,2483),[2486,2490),[2492,2501),[2503,2505),[2507,2511),[2519,2520),[2524,2526),[2527,2532),[2534,2546),[2548,2554),[2556,2557),[2558,2559),[2561,2564),[2565,2571),[2575,2577),[2579,2601),[2602,2609),[2610,2612),[2613,2615),[2616,2618),[2620,2621),[2622,2627),[2631,2633),[2635,2638),[2641,2642),[2649,2653),[2654,2655),[2662,2678),[2689,2692),[2693,2702),[2703,2706),[2707,2729),[2730,2737),[2738,2740),[2741,2746),[2748,2758),[2759,2762),[2763,2766),[2768,2769),[2784,2788),[2790,2800),[2809,2816),[2817,2820),[2821,2829),[2831,2833),[2835,2857),[2858,2865),[2866,2868),[2869,2874),[2876,2885),[2887,2889),[2891,2894),[2901,2904),[2908,2910),[2911,2916),[2918,2928),[2929,2936),[2946,2948),[2949,2955),[2958,2961),[2962,2966),[2969,2971),[2972,2973),[2974,2976),[2979,2981),[2984,2987),[2990,3002),[3006,3011),[3014,3017),[3018,3022),[3024,3025),[3031,3032),[3046,3059),[3072,3085),[3086,3089),[3090,3113),[3114,3130),[3132,3141),[3142,3145),[3146,3150),[3157,3159),[3160,3163),[3164,3166),[3168,3172),[3174,3184),[3192,3199),[3200,3204),[3205,3213),[3214,3217),[3218,3241),[3242,3252),[3253,3258),[3260,3269),[3270,3273),[3274,3278),[3285,3287),[3292,3295),[3296,3300),[3302,3312),[3313,3316),[3328,3341),[3342,3345),[3346,3397),[3398,3401),[3402,3407),[3412,3428),[3430,3449),[3450,3456),[3457,3460),[3461,3479),[3482,3506),[3507,3516),[3517,3518),[3520,3527),[3530,3531),[3535,3541),[3542,3543),[3544,3552),[3558,3568),[3570,3572),[3585,3643),[3648,3663),[3664,3674),[3713,3715),[3716,3717),[3718,3723),[3724,3748),[3749,3750),[3751,3774),[3776,3781),[3782,3783),[3784,3791),[3792,3802),[3804,3808),[3840,3841),[3864,3866),[3872,3892),[3893,3894),[3895,3896),[3897,3898),[3902,3912),[3913,3949),[3953,3973),[3974,3992),[3993,4029),[4038,4039),[4096,4170),[4176,4254),[4256,4294),[4295,4296),[4301,4302),[4304,4347),[4348,4681),[4682,4686),[4688,4695),[4696,4697),[4698,4702),[4704,4745),[4746,4750),[4752,4785),[4786,4790),[4792,4799),[4800,4801),[4802,4806),[4808,4823),[4824,4881),[4882,4886),[4888,4955),[4957,4960),[4969,4989),[4992,5008),[5024,5110),[5112,5118),[5121,5741),[5743,5760),[5761,5787),[5792,5867),[5870,5881),[5888,5910),[5919,5941),[5952,5972),[5984,5997),[5998,6001),[6002,6004),[6016,6100),[6103,6104),[6108,6110),[6112,6122),[6128,6138),[6155,6158),[6159,6170),[6176,6265),[6272,6315),[6320,6390),[6400,6431),[6432,6444),[6448,6460),[6470,6510),[6512,6517),[6528,6572),[6576,6602),[6608,6619),[6656,6684),[6688,6751),[6752,6781),[6783,6794),[6800,6810),[6823,6824),[6832,6878),[6880,6892),[6912,6989),[6992,7002),[7019,7028),[7040,7156),[7168,7224),[7232,7242),[7245,7294),[7296,7307),[7312,7355),[7357,7360),[7376,7379),[7380,7419),[7424,7958),[7960,7966),[7968,8006),[8008,8014),[8016,8024),[8025,8026),[8027,8028),[8029,8030),[8031,8062),[8064,8117),[8118,8125),[8126,8127),[8130,8133),[8134,8141),[8144,8148),[8150,8156),[8160,8173),[8178,8181),[8182,8189),[8304,8306),[8308,8314),[8319,8330),[8336,8349),[8400,8433),[8450,8451),[8455,8456),[8458,8468),[8469,8470),[8473,8478),[8484,8485),[8486,8487),[8488,8489),[8490,8494),[8495,8506),[8508,8512),[8517,8522),[8526,8527),[8528,8586),[9312,9372),[9450,9472),[10102,10132),[11264,11493),[11499,11508),[11517,11518),[11520,11558),[11559,11560),[11565,11566),[11568,11624),[11631,11632),[11647,11671),[11680,11687),[11688,11695),[11696,11703),[11704,11711),[11712,11719),[11720,11727),[11728,11735),[11736,11743),[11744,11776),[11823,11824),[12293,12296),[12321,12336),[12337,12342),[12344,12349),[12353,12439),[12441,12443),[12445,12448),[12449,12539),[12540,12544),[12549,12592),[12593,12687),[12690,12694),[12704,12736),[12784,12800),[12832,12842),[12872,12880),[12881,12896),[12928,12938),[12977,12992),[13312,19904),[19968,42125),[42192,42238),[42240,42509),[42512,42540),[42560,42611),[42612,42622),[42623,42738),[42775,42784),[42786,42889),[42891,42973),[42993,43048),[43052,43053),[43056,43062),[43072,43124),[43136,43206),[43216,43226),[43232,43256),[43259,43260),[43261,43310),[43312,43348),[43360,43389),[43392,43457),[43471,43482),[43488,43519),[43520,43575),[43584,43598),[43600,43610),[43616,43639),[43642,43715),[43739,43742),[43744,43760),[43762,43767),[43777,43783),[43785,43791),[43793,43799),[43808,43815),[43816,43823),[43824,43867),[43868,43882),[43888,44011),[44012,44014),[44016,44026),[44032,55204),[55216,55239),[55243,55292),[63744,64110),[64112,64218),[64256,64263),[64275,64280),[64285,64297),[64298,64311),[64312,64317),[64318,64319),[64320,64322),[64323,64325),[64326,64434),[64467,64830),[64848,64912),[64914,64968),[65008,65020),[65024,65040),[65056,65072),[65136,65141),[65142,65277),[65296,65306),[65313,65339),[65345,65371),[65382,65471),[65474,65480),[65482,65488),[65490,65496),[65498,65501),[131072,173792),[173824,178206),[178208,183982),[183984,191457),[191472,192094),[194560,195102),[196608,201547)}'::int4multirange @> ascii(c.c)))))));
CREATE FUNCTION poststelle.attachment(message_id bigint, ordinal integer) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select coalesce(string_agg(b.bytes, ''::bytea order by b.chunk), case when exists (select from poststelle.attachments t
      where t.message_id = attachment.message_id and t.ordinal = attachment.ordinal) then ''::bytea end)
  from poststelle.attachments t join poststelle.blob_chunks b on b.blob_id = t.blob_id
  where t.message_id = attachment.message_id and t.ordinal = attachment.ordinal
$$;
CREATE TABLE poststelle.audit_log (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor_kind text NOT NULL,
    actor text NOT NULL,
    ip text,
    action text NOT NULL,
    object text DEFAULT ''::text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    reason text,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_log_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['operator'::text, 'token'::text, 'command'::text, 'system'::text, 'nobody'::text])))
);
CREATE FUNCTION poststelle.audit_hash(r poststelle.audit_log) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select sha256(r.previous_hash || convert_to(jsonb_build_array(extract(epoch from r.at), r.actor_kind, r.actor, r.ip, r.action, r.object,
    r.details, r.reason)::text, 'UTF8'))
$$;
CREATE FUNCTION poststelle.cancel_message(id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  refusal text := poststelle.change_message(id, 'cancel');
  state text;
begin
  if refusal is null or refusal = 'already' then
    return refusal is null;
  elsif refusal = 'not_found' then
    raise exception using errcode = 'no_data_found', message = format('id: there is no message %s', coalesce(id::text, 'null'));
  end if;
  select m.state into state from poststelle.outbound_messages m where m.id = id;
  raise exception using errcode = 'object_not_in_prerequisite_state', message = format('id: message %s cannot be cancelled any more: %s', id,
    case refusal
      when 'handing_over' then 'it is being handed over'
      when 'sending' then 'it is being sent'
      when 'uncertain' then 'it may have been handed over'
      else format('it is %s', state)
    end);
end $$;
CREATE FUNCTION poststelle.canonical(bytes bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN convert_to(replace(replace(replace(convert_from(bytes, 'LATIN1'::name), '
'::text, '
'::text), ''::text, '
'::text), '
'::text, '
'::text), 'LATIN1'::name);
CREATE FUNCTION poststelle.chain_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- one after the other: 'AUDI' and 'TLOG' in ASCII
  perform pg_advisory_xact_lock(1096107081, 1414287175);
  new.at := clock_timestamp();
  new.previous_hash := coalesce((select a.hash from poststelle.audit_log a order by a.id desc limit 1), '\x');
  new.hash := poststelle.audit_hash(new);
  return new;
end $$;
CREATE FUNCTION poststelle.change_message(id bigint, change text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  message poststelle.outbound_messages%rowtype;
  open_number integer;
  open_phase text;
  withdrawn boolean := false;
  new_state text;
begin
  for tries in 1 .. 10 loop
    open_number := null;
    select m.* into message from poststelle.outbound_messages m where m.id = id;
    if message.id is null then
      return 'not_found';
    end if;
    if message.state = 'sending' and change in ('hold', 'cancel') then
      -- an attempt that is past its point is not locked: whoever has it must be able to settle it
      if exists (select from poststelle.delivery_attempts t where t.message_id = id and t.finished_at is null and t.phase <> 'claimed') then
        return 'handing_over';
      end if;
      -- the attempt before its message, as whoever settles it does
      select t.number, t.phase into open_number, open_phase from poststelle.delivery_attempts t
        where t.message_id = id and t.finished_at is null for update;
      continue when open_number is null;
      if open_phase <> 'claimed' then
        return 'handing_over';
      end if;
    end if;
    select m.* into message from poststelle.outbound_messages m where m.id = id for update;
    withdrawn := message.state = 'sending' and open_number is not null;
    exit when message.state <> 'sending' or withdrawn or change not in ('hold', 'cancel');
  end loop;
  if message.state = 'sending' and not withdrawn then
    return 'sending';
  elsif change = 'resolve_sent' or change = 'resolve_resend' then
    if message.state <> 'uncertain' then
      return 'not_uncertain';
    end if;
  elsif change = 'cancel' then
    if message.finished_at is not null then
      return case message.state when 'cancelled' then 'already' else 'finished' end;
    elsif message.state = 'uncertain' or message.repeated then
      return 'uncertain';
    end if;
  elsif change = 'hold' then
    if message.finished_at is not null then
      return 'finished';
    elsif message.state = 'held' or (message.state = 'uncertain' and message.next_attempt_at is null) then
      return 'already';
    end if;
  elsif change = 'release' then
    if message.state <> 'held' then
      return case when message.finished_at is null then 'not_held' else 'finished' end;
    end if;
  elsif change = 'retry' then
    if message.state in ('scheduled', 'held', 'uncertain') then
      return message.state;
    elsif message.state in ('sent', 'bounced', 'cancelled') or (message.finished_at is not null and not exists (
        select from poststelle.outbound_recipients r where r.message_id = id and r.state in ('pending', 'deferred', 'rejected'))) then
      return 'finished';
    elsif message.finished_at is null and not exists (
        select from poststelle.accounts a where a.id = message.account_id and a.enabled_send) then
      return 'account_paused';
    end if;
  else
    raise exception using errcode = 'invalid_parameter_value', message = format('change: %s is not known', quote_nullable(change));
  end if;
  if withdrawn then
    update poststelle.delivery_attempts t set finished_at = now(), outcome = 'returned', reply = 'withdrawn'
      where t.message_id = id and t.number = open_number;
    message.attempts := message.attempts - 1;
  end if;
  if change = 'cancel' then
    update poststelle.outbound_messages m
      set state = case when exists (select from poststelle.outbound_recipients r where r.message_id = id and r.state = 'accepted')
          then 'partial' else 'cancelled' end,
        hold_reason = null, next_attempt_at = null, finished_at = now(), attempts = message.attempts
      where m.id = id;
  elsif change = 'hold' then
    if message.state = 'uncertain' or message.repeated then
      update poststelle.outbound_messages m
        set state = 'uncertain', next_attempt_at = null, attempts = message.attempts, last_flag = 'outcome_unknown'
        where m.id = id;
    else
      update poststelle.outbound_messages m set state = 'held', hold_reason = 'manual', attempts = message.attempts where m.id = id;
    end if;
  elsif change = 'release' then
    new_state := case when message.attempts = 0 and message.next_attempt_at > now() then 'scheduled' else 'queued' end;
    -- what was uncertain when a restore held it may arrive twice now
    update poststelle.outbound_messages m
      set state = new_state, hold_reason = null, next_attempt_at = case new_state when 'scheduled' then m.next_attempt_at else now() end,
        repeated = m.repeated or (message.hold_reason = 'after_restore' and message.last_flag is not distinct from 'outcome_unknown')
      where m.id = id;
  elsif change = 'retry' then
    if message.finished_at is not null then
      update poststelle.outbound_recipients r set state = 'deferred', updated_at = now()
        where r.message_id = id and r.state = 'rejected';
    end if;
    update poststelle.outbound_messages m
      set state = 'queued', next_attempt_at = now(), finished_at = null,
        attempts = case when message.finished_at is null then m.attempts else 0 end,
        expires_at = case when message.finished_at is null then m.expires_at else now() + interval '5 days' end
      where m.id = id;
  elsif change = 'resolve_sent' then
    update poststelle.outbound_recipients r
      set state = 'accepted', reply_code = null, enhanced_code = null, flag = null, reply = 'taken as handed over by an operator', updated_at = now()
      where r.message_id = id and r.state in ('pending', 'deferred');
    update poststelle.outbound_messages m
      set state = case when exists (select from poststelle.outbound_recipients r where r.message_id = id and r.state <> 'accepted')
          then 'partial' else 'sent' end,
        next_attempt_at = null, finished_at = now(), last_reply = 'taken as handed over by an operator', last_flag = null
      where m.id = id;
  else
    update poststelle.outbound_messages m set next_attempt_at = now(), repeated = true where m.id = id;
  end if;
  if change in ('retry', 'release', 'resolve_resend') then
    perform pg_notify('poststelle_bell', 'send:' || message.account_id);
  end if;
  return null;
end $$;
CREATE FUNCTION poststelle.check_address(field text, address text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if poststelle.is_plain_address(address) is not true then
    perform poststelle.refuse(format('%s: %s is not a plain e-mail address', field, poststelle.shown(address)));
  end if;
  return address;
end $$;
CREATE FUNCTION poststelle.check_keys(path text, given jsonb, allowed text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.check_submission(account text, idempotency_key text, priority integer) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.delete_message_bodies() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  delete from poststelle.message_bodies b using old_messages m where b.message_id = m.id;
  return null;
end $$;
CREATE FUNCTION poststelle.enter_message(lane_account bigint, envelope_from text, recipients text[], message_key text, subject text, size_bytes bigint, sha256 bytea, idempotency_key text, request bytea, priority integer, send_after timestamp with time zone, OUT id bigint, OUT fresh boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.field_query(field text, content text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select string_agg('''' || w || ''':*', ' & ')::tsquery from unnest(poststelle.field_words(field, content)) w $$;
CREATE FUNCTION poststelle.field_words(field text, content text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select coalesce(array_agg(distinct field || ':' || left(w, 100)), '{}')
  from regexp_split_to_table(lower(left(content, 100000)), '[^[:alnum:]]+') w where w <> '' $$;
CREATE FUNCTION poststelle.grown_rate(learned double precision, learned_at timestamp with time zone) RETURNS double precision
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select rate from (select learned * power(1.5, least(100, greatest(0, floor(extract(epoch from now() - learned_at) / 900)))) as rate) grown
  where rate < 1000
$$;
CREATE FUNCTION poststelle.header_text(path text, given jsonb, most integer) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE TABLE poststelle.accounts (
    id bigint NOT NULL,
    email text NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    provider text NOT NULL,
    pop3_host text,
    pop3_port integer,
    pop3_security text,
    pop3_username text,
    smtp_host text,
    smtp_port integer,
    smtp_security text,
    smtp_username text,
    auth_type text NOT NULL,
    oauth_client_id bigint,
    oauth_flow text,
    oauth_scope text,
    enabled_receive boolean DEFAULT true NOT NULL,
    enabled_send boolean DEFAULT true NOT NULL,
    uncertain_policy text DEFAULT 'retry_once'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    max_connections integer,
    messages_per_minute integer,
    recipients_per_day integer,
    recipients_per_message integer,
    auth_username text,
    paused_receive_by text,
    paused_receive_reason text,
    paused_receive_at timestamp with time zone,
    paused_send_by text,
    paused_send_reason text,
    paused_send_at timestamp with time zone,
    CONSTRAINT accounts_auth_type_check CHECK ((auth_type = ANY (ARRAY['password'::text, 'oauth2'::text]))),
    CONSTRAINT accounts_check CHECK (((pop3_host IS NOT NULL) OR (smtp_host IS NOT NULL))),
    CONSTRAINT accounts_check1 CHECK ((((pop3_host IS NULL) = (pop3_port IS NULL)) AND ((pop3_host IS NULL) = (pop3_security IS NULL)))),
    CONSTRAINT accounts_check2 CHECK ((((smtp_host IS NULL) = (smtp_port IS NULL)) AND ((smtp_host IS NULL) = (smtp_security IS NULL)))),
    CONSTRAINT accounts_check3 CHECK ((((auth_type = 'oauth2'::text) = (oauth_client_id IS NOT NULL)) AND ((auth_type = 'oauth2'::text) = (oauth_flow IS NOT NULL)))),
    CONSTRAINT accounts_max_connections_check CHECK (((max_connections >= 0) AND (max_connections <= 100))),
    CONSTRAINT accounts_messages_per_minute_check CHECK (((messages_per_minute >= 0) AND (messages_per_minute <= 1000000))),
    CONSTRAINT accounts_oauth_flow_check CHECK ((oauth_flow = ANY (ARRAY['password'::text, 'refresh_token'::text, 'client_credentials'::text, 'authorization_code'::text, 'device_code'::text, 'service_account'::text]))),
    CONSTRAINT accounts_pop3_port_check CHECK (((pop3_port >= 1) AND (pop3_port <= 65535))),
    CONSTRAINT accounts_pop3_security_check CHECK ((pop3_security = ANY (ARRAY['tls'::text, 'starttls'::text, 'none'::text]))),
    CONSTRAINT accounts_provider_check CHECK ((provider = ANY (ARRAY['microsoft'::text, 'google'::text, 'generic'::text]))),
    CONSTRAINT accounts_recipients_per_day_check CHECK (((recipients_per_day >= 0) AND (recipients_per_day <= 100000000))),
    CONSTRAINT accounts_recipients_per_message_check CHECK (((recipients_per_message >= 0) AND (recipients_per_message <= 100000))),
    CONSTRAINT accounts_smtp_port_check CHECK (((smtp_port >= 1) AND (smtp_port <= 65535))),
    CONSTRAINT accounts_smtp_security_check CHECK ((smtp_security = ANY (ARRAY['tls'::text, 'starttls'::text, 'none'::text]))),
    CONSTRAINT accounts_uncertain_policy_check CHECK ((uncertain_policy = ANY (ARRAY['retry_once'::text, 'hold'::text, 'retry'::text])))
);
CREATE TABLE poststelle.attachments (
    message_id bigint NOT NULL,
    ordinal integer NOT NULL,
    name text NOT NULL,
    content_type text NOT NULL,
    disposition text NOT NULL,
    content_id text,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL,
    blob_id bigint NOT NULL,
    CONSTRAINT attachments_disposition_check CHECK ((disposition = ANY (ARRAY['attachment'::text, 'inline'::text])))
);
CREATE TABLE poststelle.message_contents (
    message_id bigint NOT NULL,
    account_id bigint NOT NULL,
    "position" bigint NOT NULL,
    state text NOT NULL,
    reason text,
    parsed_at timestamp with time zone DEFAULT now() NOT NULL,
    kind text DEFAULT 'mail'::text NOT NULL,
    thread_id text,
    in_reply_to text,
    reference_ids text[] DEFAULT '{}'::text[] NOT NULL,
    body_text text,
    body_html text,
    notes text[] DEFAULT '{}'::text[] NOT NULL,
    search tsvector,
    CONSTRAINT message_contents_check CHECK (((state = 'quarantined'::text) = (reason IS NOT NULL))),
    CONSTRAINT message_contents_kind_check CHECK ((kind = ANY (ARRAY['mail'::text, 'auto_reply'::text, 'delivery_report'::text, 'disposition_report'::text, 'round_trip'::text]))),
    CONSTRAINT message_contents_state_check CHECK ((state = ANY (ARRAY['parsed'::text, 'quarantined'::text])))
);
CREATE TABLE poststelle.messages (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL,
    internet_message_id text,
    date_at timestamp with time zone,
    from_address text,
    from_name text,
    to_addresses text,
    subject text,
    complete boolean DEFAULT true NOT NULL,
    acknowledged_at timestamp with time zone
);
CREATE VIEW poststelle.inbox AS
 SELECT m.id,
    a.email AS account,
    m.account_id,
    m.received_at,
    m.date_at,
    m.from_address,
    m.from_name,
    m.to_addresses,
    m.subject,
    m.internet_message_id AS message_id,
    m.size_bytes,
    encode(m.sha256, 'hex'::text) AS sha256,
    m.complete,
    m.acknowledged_at,
    COALESCE(c.state, 'pending'::text) AS parse_state,
    c.reason AS parse_reason,
    c."position",
    c.kind,
    c.thread_id,
    c.in_reply_to,
    c.reference_ids,
    c.body_text,
    c.body_html,
    c.notes AS parse_notes,
    c.search,
    ( SELECT count(*) AS count
           FROM poststelle.attachments t
          WHERE (t.message_id = m.id)) AS attachment_count
   FROM ((poststelle.messages m
     JOIN poststelle.accounts a ON ((a.id = m.account_id)))
     LEFT JOIN poststelle.message_contents c ON ((c.message_id = m.id)));
CREATE FUNCTION poststelle.inbox_since(cursor bigint, max_rows integer DEFAULT 100) RETURNS SETOF poststelle.inbox
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select i.* from poststelle.inbox i where i.position > coalesce(inbox_since.cursor, 0) and i.kind <> 'round_trip'
  order by i.position limit greatest(0, least(coalesce(inbox_since.max_rows, 100), 10000))
$$;
CREATE FUNCTION poststelle.is_plain_address(address text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
end $_$;
CREATE FUNCTION poststelle.is_switched_off(lane text, receive boolean, send boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN (NOT CASE lane WHEN 'receive'::text THEN receive WHEN 'send'::text THEN send ELSE true END);
CREATE FUNCTION poststelle.lane_etas(account_id bigint) RETURNS TABLE(message_id bigint, eta timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  with lane as (
    select f.free_at, f.gap from poststelle.lane_pace(lane_etas.account_id) f where f.free_at is not null
  ), waiting as (
    select m.id, greatest(m.next_attempt_at, lane.free_at) as due_at, lane.gap,
      row_number() over (order by greatest(m.next_attempt_at, lane.free_at), m.priority desc, m.next_attempt_at, m.id) - 1 as place
    from poststelle.outbound_messages m cross join lane
    where m.account_id = lane_etas.account_id and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      and m.next_attempt_at is not null
  )
  select w.id, max(w.due_at - w.place * w.gap) over (order by w.place) + w.place * w.gap from waiting w
$$;
CREATE FUNCTION poststelle.lane_pace(account_id bigint, OUT free_at timestamp with time zone, OUT gap interval) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select case when a.enabled_send then greatest(now(), l.parked_until, l.rests_until, h.open_until,
      poststelle.send_paused_until(a.id)) end,
    coalesce(interval '1 minute' / nullif(poststelle.send_rate(a.id), 0), interval '0')
  from poststelle.accounts a
    left join poststelle.lanes l on l.account_id = a.id and l.lane = 'send'
    left join poststelle.host_breakers h on h.host = lower(a.smtp_host) || ':' || a.smtp_port and h.direction = 'send'
  where a.id = lane_pace.account_id
$$;
CREATE FUNCTION poststelle.look_for_evidence() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform poststelle.take_as_sent(new.id, a.email, 'a copy arrived at ' || a.email)
    from poststelle.messages c join poststelle.accounts a on a.id = c.account_id
    where c.internet_message_id = new.internet_message_id and c.received_at >= (select min(d.started_at)
      from poststelle.delivery_attempts d where d.message_id = new.id);
  perform poststelle.apply_delivery_reports(array(
    select distinct r.message_id from poststelle.delivery_reports r where r.outbound_message_id = new.id));
  return null;
end $$;
CREATE FUNCTION poststelle.message_eta(id bigint) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  message record;
  lane record;
  ahead bigint;
begin
  select m.account_id, m.state, m.priority, m.next_attempt_at into message from poststelle.outbound_messages m where m.id = id;
  if message.state = 'sending' then
    return now();
  elsif message.state is null or message.state not in ('scheduled', 'queued', 'deferred', 'uncertain') or message.next_attempt_at is null then
    return null;
  end if;
  select p.free_at, p.gap into lane from poststelle.lane_pace(message.account_id) p;
  if lane.free_at is null then
    return null;
  elsif lane.gap = interval '0' then
    return greatest(lane.free_at, message.next_attempt_at);
  elsif message.next_attempt_at > lane.free_at then
    return (select e.eta from poststelle.lane_etas(message.account_id) e where e.message_id = id);
  end if;
  -- everything ahead is due as well: its number is enough, and the index of the order has it
  select count(*) into ahead from poststelle.outbound_messages m
    where m.account_id = message.account_id and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      and m.priority > message.priority and m.next_attempt_at <= lane.free_at;
  select ahead + count(*) into ahead from poststelle.outbound_messages m
    where m.account_id = message.account_id and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      and m.priority = message.priority and (m.next_attempt_at, m.id) < (message.next_attempt_at, id);
  return lane.free_at + ahead * lane.gap;
end $$;
CREATE FUNCTION poststelle.new_message_id(lane_account bigint, sender text) RETURNS text
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN format('<%s@%s>'::text, gen_random_uuid(), COALESCE("substring"(sender, '@([A-Za-z0-9.-]+)$'::text), (SELECT "substring"(a.email, '@([A-Za-z0-9.-]+)$'::text) AS "substring" FROM poststelle.accounts a WHERE (a.id = new_message_id.lane_account)), 'poststelle.invalid'::text));
CREATE FUNCTION poststelle.note_bounce() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into poststelle.outbound_events (account_id, message_id, event, state, ordinal, recipient, reply, flag, attempts)
    select m.account_id, m.id, 'bounced', m.state, new.ordinal, new.address, new.reply, new.flag, m.attempts
    from poststelle.outbound_messages m where m.id = new.message_id;
  return null;
end $$;
CREATE FUNCTION poststelle.note_outbound_event() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into poststelle.outbound_events (account_id, message_id, event, state, reply, flag, attempts)
    values (new.account_id, new.id,
      case when new.state in ('queued', 'scheduled') or old.state = 'held' and new.state in ('deferred', 'uncertain') then 'released'
        else new.state end,
      new.state, new.last_reply, new.last_flag, new.attempts);
  if new.state = 'deferred' and new.created_at < now() - interval '4 hours' and exists (select from poststelle.delivery_attempts a
      where a.message_id = new.id and a.number = 1 and a.started_at < now() - interval '4 hours') then
    insert into poststelle.outbound_events (account_id, message_id, event, state, reply, flag, attempts)
      values (new.account_id, new.id, 'delayed', new.state, new.last_reply, new.last_flag, new.attempts)
      on conflict (message_id) where event = 'delayed' do nothing;
  end if;
  return null;
end $$;
CREATE FUNCTION poststelle.number_outbound_events(max_rows integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare last_position bigint;
begin
  if not exists (select from poststelle.outbound_events where position is null)
      -- 'OUTB' and 'POSI' in ASCII
      or not pg_try_advisory_xact_lock(1330992194, 1347375945) then
    return null;
  end if;
  -- a statement of its own: what the former holder of the lock has numbered is seen
  with open as (
    select id from poststelle.outbound_events where position is null order by id limit max_rows
  ), numbered as (
    update poststelle.outbound_events e set position = n.position
    from (select id, nextval('poststelle.outbox_position') as position from open) n
    where e.id = n.id
    returning e.position
  )
  select max(position) into last_position from numbered;
  if last_position is not null then
    perform pg_notify('poststelle_outbox', last_position::text);
  end if;
  return last_position;
end $$;
CREATE TABLE poststelle.outbound_events (
    id bigint NOT NULL,
    "position" bigint,
    at timestamp with time zone DEFAULT now() NOT NULL,
    account_id bigint NOT NULL,
    message_id bigint NOT NULL,
    event text NOT NULL,
    state text NOT NULL,
    ordinal integer,
    recipient text,
    reply text,
    flag text,
    attempts integer NOT NULL,
    CONSTRAINT outbound_events_check CHECK (((ordinal IS NULL) = (recipient IS NULL))),
    CONSTRAINT outbound_events_event_check CHECK ((event = ANY (ARRAY['deferred'::text, 'delayed'::text, 'uncertain'::text, 'sent'::text, 'partial'::text, 'failed'::text, 'expired'::text, 'bounced'::text, 'cancelled'::text, 'held'::text, 'released'::text])))
);
CREATE TABLE poststelle.outbound_messages (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    hold_reason text,
    envelope_from text NOT NULL,
    internet_message_id text NOT NULL,
    subject text,
    size_bytes bigint,
    sha256 bytea,
    idempotency_key text,
    request_sha256 bytea NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    next_attempt_at timestamp with time zone,
    expires_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    repeated boolean DEFAULT false NOT NULL,
    finished_at timestamp with time zone,
    last_reply text,
    last_flag text,
    CONSTRAINT outbound_messages_check CHECK (((state = 'held'::text) = (hold_reason IS NOT NULL))),
    CONSTRAINT outbound_messages_check1 CHECK (((state = ANY (ARRAY['sent'::text, 'partial'::text, 'failed'::text, 'expired'::text, 'bounced'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT outbound_messages_check2 CHECK (((state <> ALL (ARRAY['scheduled'::text, 'queued'::text, 'deferred'::text])) OR (next_attempt_at IS NOT NULL))),
    CONSTRAINT outbound_messages_composed CHECK (((size_bytes IS NULL) = (sha256 IS NULL))),
    CONSTRAINT outbound_messages_state_check CHECK ((state = ANY (ARRAY['scheduled'::text, 'queued'::text, 'sending'::text, 'deferred'::text, 'held'::text, 'uncertain'::text, 'sent'::text, 'partial'::text, 'failed'::text, 'expired'::text, 'bounced'::text, 'cancelled'::text])))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.05');
CREATE VIEW poststelle.outbox_events AS
 SELECT e."position",
    e.at,
    a.email AS account,
    e.account_id,
    e.message_id,
    m.idempotency_key,
    e.event,
    e.state,
    e.recipient,
    e.reply,
    e.flag,
    e.attempts
   FROM ((poststelle.outbound_events e
     LEFT JOIN poststelle.accounts a ON ((a.id = e.account_id)))
     LEFT JOIN poststelle.outbound_messages m ON ((m.id = e.message_id)))
  WHERE (e."position" IS NOT NULL);
CREATE FUNCTION poststelle.outbox_since(cursor bigint, max_rows integer DEFAULT 100) RETURNS SETOF poststelle.outbox_events
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select e.* from poststelle.outbox_events e where e.position > coalesce(outbox_since.cursor, 0)
  order by e.position limit greatest(0, least(coalesce(outbox_since.max_rows, 100), 10000))
$$;
CREATE FUNCTION poststelle.parts_address(path text, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.parts_addresses(path text, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.parts_attachment(path text, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
end $_$;
CREATE FUNCTION poststelle.parts_body(path text, given jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if jsonb_typeof(given) <> 'string' then
    perform poststelle.refuse(format('%s: is not a text', path));
  elsif octet_length(given #>> '{}') > 10485760 then
    perform poststelle.refuse(format('%s: is larger than 10 MB', path));
  end if;
  return given #>> '{}';
end $$;
CREATE FUNCTION poststelle.parts_content(path text, given jsonb) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.parts_headers(given jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
end $_$;
CREATE FUNCTION poststelle.place() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare cluster text := '';
begin
  begin
    select system_identifier::text into cluster from pg_control_system();
  exception when insufficient_privilege then null;
  end;
  return cluster || '/' || (select oid from pg_database where datname = current_database());
end $$;
CREATE FUNCTION poststelle.raw_message(id bigint) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select string_agg(b.bytes, ''::bytea order by b.chunk) from poststelle.message_bodies b
    join poststelle.messages m on m.id = b.message_id where b.message_id = raw_message.id
$$;
CREATE FUNCTION poststelle.readable(bytewise text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return convert_from(convert_to(bytewise, 'LATIN1'), 'UTF8');
exception when character_not_in_repertoire then
  return bytewise;
end $$;
CREATE FUNCTION poststelle.refuse(reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception using errcode = 'invalid_parameter_value', message = reason;
end $$;
CREATE FUNCTION poststelle.refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if tg_op = 'DELETE' and current_setting('poststelle.shortening_audit', true) = 'yes' then
    return old;
  end if;
  raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only';
end $$;
CREATE FUNCTION poststelle.search_fields(from_name text, from_address text, to_addresses text, subject text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select array_to_tsvector(poststelle.field_words('from', concat_ws(' ', from_name, from_address))
    || poststelle.field_words('to', to_addresses) || poststelle.field_words('subject', subject)) $$;
CREATE FUNCTION poststelle.send_paused_until(account_id bigint) RETURNS timestamp with time zone
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select max(b.paused_until) from poststelle.accounts a
    join poststelle.send_budgets b on b.account_id = a.id or b.oauth_client_id = a.oauth_client_id
  where a.id = send_paused_until.account_id and b.paused_until > now() and b.paused_until <= now() + interval '61 minutes'
$$;
CREATE FUNCTION poststelle.send_rate(account_id bigint) RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select least(nullif(coalesce(a.messages_per_minute, p.messages_per_minute), 0)::double precision,
    poststelle.grown_rate(b.learned_messages_per_minute, b.messages_per_minute_learned_at),
    nullif(c.messages_per_minute, 0)::double precision,
    poststelle.grown_rate(cb.learned_messages_per_minute, cb.messages_per_minute_learned_at))
  from poststelle.accounts a
    join poststelle.send_presets p on p.provider = a.provider
    left join poststelle.oauth_clients c on c.id = a.oauth_client_id
    left join poststelle.send_budgets b on b.account_id = a.id
    left join poststelle.send_budgets cb on cb.oauth_client_id = a.oauth_client_id
  where a.id = send_rate.account_id
$$;
CREATE FUNCTION poststelle.shorten_audit(before timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  last_id bigint;
  last_hash bytea;
  removed bigint;
begin
  perform pg_advisory_xact_lock(1096107081, 1414287175); -- nothing is appended meanwhile; see chain_audit
  select a.id, a.hash into last_id, last_hash from poststelle.audit_log a
    where a.id < coalesce((select min(b.id) from poststelle.audit_log b where b.at >= shorten_audit.before), 9223372036854775807)
    order by a.id desc limit 1;
  if last_id is null or (select min(a.at) from poststelle.audit_log a) > shorten_audit.before - interval '1 day' then
    return 0;
  end if;
  insert into poststelle.audit_log (actor_kind, actor, action, details) values ('system', 'retention', 'audit log shortened',
    jsonb_build_object('before', shorten_audit.before, 'last_id', last_id, 'last_hash', encode(last_hash, 'hex')));
  perform set_config('poststelle.shortening_audit', 'yes', true);
  delete from poststelle.audit_log a where a.id <= last_id;
  get diagnostics removed = row_count;
  perform set_config('poststelle.shortening_audit', '', true);
  return removed;
end $$;
CREATE FUNCTION poststelle.shown(given text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN COALESCE(quote_literal(regexp_replace("left"(given, 200), '[\u0001-\u001f\u007f-\u009f\u2028\u2029]'::text, '?'::text, 'g'::text)), 'null'::text);
CREATE FUNCTION poststelle.submit_message(account text, envelope_from text, recipients text[], raw bytea, idempotency_key text DEFAULT NULL::text, send_after timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT 0) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.submit_parts(account text, parts jsonb, idempotency_key text DEFAULT NULL::text, send_after timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT 0) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
CREATE FUNCTION poststelle.switch_lanes() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- lanes are locked by name, as everywhere
  perform from poststelle.lanes where account_id = new.id order by lane for update;
  update poststelle.lanes set switched_off = poststelle.is_switched_off(lane, new.enabled_receive, new.enabled_send)
    where account_id = new.id
      and switched_off <> poststelle.is_switched_off(lane, new.enabled_receive, new.enabled_send);
  return null;
end $$;
CREATE FUNCTION poststelle.switch_new_lane() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  select poststelle.is_switched_off(new.lane, a.enabled_receive, a.enabled_send) into new.switched_off
    from poststelle.accounts a where a.id = new.account_id;
  return new;
end $$;
CREATE FUNCTION poststelle.take_as_sent(id bigint, about text, proof text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform from poststelle.outbound_messages m where m.id = take_as_sent.id and m.state = 'uncertain' for update skip locked;
  if not found then
    return false;
  end if;
  if not exists (select from poststelle.outbound_recipients r where r.message_id = take_as_sent.id
        and r.state in ('pending', 'deferred') and lower(r.address) = lower(about))
      and (exists (select from poststelle.outbound_recipients r where r.message_id = take_as_sent.id and r.state in ('accepted', 'bounced'))
        or exists (select from poststelle.outbound_messages m join poststelle.outbound_messages other
          on other.internet_message_id = m.internet_message_id and other.id <> m.id where m.id = take_as_sent.id)) then
    return false;
  end if;
  update poststelle.outbound_recipients r
    set state = 'accepted', reply_code = null, enhanced_code = null, reply = proof, flag = null, updated_at = now()
    where r.message_id = take_as_sent.id and r.state in ('pending', 'deferred');
  update poststelle.outbound_messages m
    set state = case when exists (select from poststelle.outbound_recipients r where r.message_id = m.id and r.state in ('rejected', 'bounced'))
        then 'partial' else 'sent' end,
      finished_at = now(), next_attempt_at = null, last_reply = proof, last_flag = null
    where m.id = take_as_sent.id;
  return true;
end $$;
CREATE FUNCTION poststelle.take_copies_as_sent(account bigint, message_ids text[]) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select count(*) filter (where poststelle.take_as_sent(m.id, a.email, 'a copy arrived at ' || a.email))
  from poststelle.outbound_messages m cross join poststelle.accounts a
  where m.internet_message_id = any(message_ids) and m.state = 'uncertain' and a.id = account
$$;
CREATE FUNCTION poststelle.wire_length(domain text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
end $_$;
CREATE TABLE poststelle.account_health (
    account_id bigint NOT NULL,
    direction text NOT NULL,
    state text DEFAULT 'new'::text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    last_ok_at timestamp with time zone,
    last_run_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    first_failure_at timestamp with time zone,
    probes integer DEFAULT 0 NOT NULL,
    CONSTRAINT account_health_direction_check CHECK ((direction = ANY (ARRAY['receive'::text, 'send'::text]))),
    CONSTRAINT account_health_state_check CHECK ((state = ANY (ARRAY['new'::text, 'ok'::text, 'failing'::text, 'blocked'::text])))
);
CREATE TABLE poststelle.health_flags (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    direction text NOT NULL,
    flag text NOT NULL,
    scope text NOT NULL,
    persistence text NOT NULL,
    stage text NOT NULL,
    evidence text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    occurrences integer DEFAULT 1 NOT NULL,
    cleared_at timestamp with time zone,
    CONSTRAINT health_flags_direction_check CHECK ((direction = ANY (ARRAY['receive'::text, 'send'::text])))
);
CREATE TABLE poststelle.maildrops (
    account_id bigint NOT NULL,
    poll_interval_seconds integer DEFAULT 300 NOT NULL,
    delete_after_days integer,
    login_delay_seconds integer DEFAULT 0 NOT NULL,
    last_poll_at timestamp with time zone,
    listed_at timestamp with time zone,
    listed_count bigint,
    listed_size_bytes bigint,
    listed_last_uidl text,
    poll_interval_max_seconds integer,
    current_interval_seconds integer,
    delete_after_ack boolean DEFAULT false NOT NULL,
    first_sync text DEFAULT 'all'::text NOT NULL,
    first_sync_days integer,
    first_sync_done_at timestamp with time zone,
    max_session_messages integer DEFAULT 5000 NOT NULL,
    max_session_bytes bigint DEFAULT 524288000 NOT NULL,
    max_message_bytes bigint DEFAULT 157286400 NOT NULL,
    listed_digest bytea,
    hash_identity boolean DEFAULT false NOT NULL,
    hash_resume_after integer,
    guard text,
    guard_since timestamp with time zone,
    guard_figures jsonb,
    freshness_minutes integer,
    canary_minutes integer,
    pulse text DEFAULT ''::text NOT NULL,
    CONSTRAINT maildrops_canary_minutes_check CHECK (((canary_minutes >= 60) AND (canary_minutes <= 10080))),
    CONSTRAINT maildrops_check CHECK (((first_sync = 'last_days'::text) = (first_sync_days IS NOT NULL))),
    CONSTRAINT maildrops_check1 CHECK (((guard IS NULL) = (guard_since IS NULL))),
    CONSTRAINT maildrops_delete_after_days_check CHECK ((delete_after_days >= 0)),
    CONSTRAINT maildrops_first_sync_check CHECK ((first_sync = ANY (ARRAY['all'::text, 'from_now'::text, 'last_days'::text]))),
    CONSTRAINT maildrops_first_sync_days_check CHECK (((first_sync_days >= 1) AND (first_sync_days <= 36500))),
    CONSTRAINT maildrops_freshness_minutes_check CHECK (((freshness_minutes >= 10) AND (freshness_minutes <= 527040))),
    CONSTRAINT maildrops_guard_check CHECK ((guard = ANY (ARRAY['paused'::text, 'adopt'::text, 'reimport'::text]))),
    CONSTRAINT maildrops_max_message_bytes_check CHECK (((max_message_bytes >= 65536) AND (max_message_bytes <= 1073741824))),
    CONSTRAINT maildrops_max_session_bytes_check CHECK (((max_session_bytes >= 1048576) AND (max_session_bytes <= '107374182400'::bigint))),
    CONSTRAINT maildrops_max_session_messages_check CHECK (((max_session_messages >= 1) AND (max_session_messages <= 100000))),
    CONSTRAINT maildrops_poll_interval_max_seconds_check CHECK (((poll_interval_max_seconds >= 1) AND (poll_interval_max_seconds <= 86400))),
    CONSTRAINT maildrops_poll_interval_seconds_check CHECK (((poll_interval_seconds >= 1) AND (poll_interval_seconds <= 86400)))
);
CREATE VIEW poststelle.account_status AS
 SELECT a.id,
    a.email,
    a.label,
        CASE
            WHEN (a.pop3_host IS NULL) THEN NULL::text
            WHEN (NOT a.enabled_receive) THEN 'paused'::text
            WHEN ((r.state = ANY (ARRAY['ok'::text, 'new'::text])) AND (COALESCE(r.last_ok_at, r.since) < (now() - GREATEST('00:10:00'::interval, ('00:00:01'::interval * ((2 * GREATEST(d.poll_interval_seconds, d.current_interval_seconds, d.login_delay_seconds)))::double precision))))) THEN 'late'::text
            ELSE r.state
        END AS receive_state,
    r.since AS receive_since,
    r.last_ok_at AS receive_last_ok_at,
        CASE
            WHEN (a.smtp_host IS NULL) THEN NULL::text
            WHEN (NOT a.enabled_send) THEN 'paused'::text
            ELSE s.state
        END AS send_state,
    s.since AS send_since,
    s.last_ok_at AS send_last_ok_at,
    COALESCE(f.flags, '[]'::jsonb) AS flags,
    COALESCE(w.count, (0)::bigint) AS waiting_count,
    w.oldest_at AS waiting_oldest_at
   FROM (((((poststelle.accounts a
     JOIN poststelle.account_health r ON (((r.account_id = a.id) AND (r.direction = 'receive'::text))))
     JOIN poststelle.account_health s ON (((s.account_id = a.id) AND (s.direction = 'send'::text))))
     LEFT JOIN poststelle.maildrops d ON ((d.account_id = a.id)))
     LEFT JOIN ( SELECT f_1.account_id,
            jsonb_agg(jsonb_build_object('flag', f_1.flag, 'direction', f_1.direction, 'since', f_1.since, 'evidence', f_1.evidence) ORDER BY f_1.since, f_1.id) AS flags
           FROM poststelle.health_flags f_1
          WHERE (f_1.cleared_at IS NULL)
          GROUP BY f_1.account_id) f ON ((f.account_id = a.id)))
     LEFT JOIN ( SELECT m.account_id,
            count(*) AS count,
            min(m.created_at) AS oldest_at
           FROM poststelle.outbound_messages m
          WHERE (m.finished_at IS NULL)
          GROUP BY m.account_id) w ON ((w.account_id = a.id)));
CREATE TABLE poststelle.account_tests (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    outcome text NOT NULL,
    steps jsonb NOT NULL,
    tried_receive boolean DEFAULT false NOT NULL,
    tried_send boolean DEFAULT false NOT NULL,
    CONSTRAINT account_tests_outcome_check CHECK ((outcome = ANY (ARRAY['passed'::text, 'failed'::text, 'incomplete'::text])))
);
ALTER TABLE poststelle.account_tests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.account_tests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE poststelle.accounts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.accounts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.api_tokens (
    id bigint NOT NULL,
    label text NOT NULL,
    token_hash bytea NOT NULL,
    prefix text NOT NULL,
    role text NOT NULL,
    may_read_mail boolean DEFAULT false NOT NULL,
    may_send boolean DEFAULT false NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_tokens_role_check CHECK ((role = ANY (ARRAY['reader'::text, 'operator'::text, 'admin'::text])))
);
ALTER TABLE poststelle.api_tokens ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.api_tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE poststelle.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.blob_chunks (
    blob_id bigint NOT NULL,
    chunk integer NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY poststelle.blob_chunks ALTER COLUMN bytes SET COMPRESSION lz4;
CREATE TABLE poststelle.blob_spools (
    blob_id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE poststelle.blobs (
    id bigint NOT NULL,
    sha256 bytea NOT NULL,
    size_bytes bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE poststelle.blobs ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME poststelle.blobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.bulk_runs (
    id bigint NOT NULL,
    change text NOT NULL,
    ids bigint[] NOT NULL,
    filter text NOT NULL,
    started_by text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    done integer DEFAULT 0 NOT NULL,
    changed integer DEFAULT 0 NOT NULL,
    refused jsonb DEFAULT '{}'::jsonb NOT NULL,
    stop_asked boolean DEFAULT false NOT NULL,
    finished_at timestamp with time zone,
    error text
);
ALTER TABLE poststelle.bulk_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.bulk_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.client_breakers (
    oauth_client_id bigint NOT NULL,
    asked integer DEFAULT 0 NOT NULL,
    asked_at timestamp with time zone,
    last_ok_at timestamp with time zone,
    opened_at timestamp with time zone,
    open_until timestamp with time zone,
    probes integer DEFAULT 0 NOT NULL,
    probe_account_id bigint,
    flag text,
    scope text,
    persistence text,
    evidence text,
    CONSTRAINT client_breakers_check CHECK ((num_nonnulls(opened_at, open_until, flag, scope, persistence, evidence) = ANY (ARRAY[0, 6])))
);
CREATE TABLE poststelle.delivery_attempts (
    message_id bigint NOT NULL,
    number integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    phase text DEFAULT 'claimed'::text NOT NULL,
    finished_at timestamp with time zone,
    outcome text,
    step text,
    reply text,
    flag text,
    transcript text,
    CONSTRAINT delivery_attempts_check CHECK (((finished_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT delivery_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['sent'::text, 'partial'::text, 'failed'::text, 'deferred'::text, 'uncertain'::text, 'returned'::text]))),
    CONSTRAINT delivery_attempts_phase_check CHECK ((phase = ANY (ARRAY['claimed'::text, 'handing_over'::text, 'done'::text])))
)
WITH (fillfactor='70');
CREATE TABLE poststelle.delivery_reports (
    message_id bigint NOT NULL,
    ordinal integer NOT NULL,
    action text NOT NULL,
    recipient text NOT NULL,
    status text,
    diagnostic text,
    reporting_mta text,
    original_message_id text,
    outbound_message_id bigint,
    outbound_ordinal integer,
    flag text,
    CONSTRAINT delivery_reports_action_check CHECK ((action = ANY (ARRAY['failed'::text, 'delayed'::text, 'delivered'::text, 'relayed'::text, 'expanded'::text])))
);
CREATE TABLE poststelle.grants (
    account_id bigint NOT NULL,
    credential_sealed text NOT NULL,
    access_token_sealed text,
    access_expires_at timestamp with time zone,
    version integer DEFAULT 1 NOT NULL,
    refreshed_at timestamp with time zone,
    refusal jsonb,
    refused_at timestamp with time zone,
    granted_at timestamp with time zone,
    granted_by text,
    refresh_expires_at timestamp with time zone
);
CREATE TABLE poststelle.health_events (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    direction text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    flag text,
    evidence text,
    CONSTRAINT health_events_direction_check CHECK ((direction = ANY (ARRAY['receive'::text, 'send'::text])))
);
ALTER TABLE poststelle.health_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.health_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE poststelle.health_flags ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.health_flags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.host_breakers (
    host text NOT NULL,
    kind text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    open_until timestamp with time zone NOT NULL,
    probe_account_id bigint,
    probes integer DEFAULT 0 NOT NULL,
    flag text NOT NULL,
    evidence text NOT NULL,
    direction text NOT NULL,
    CONSTRAINT host_breakers_direction_check CHECK ((direction = ANY (ARRAY['receive'::text, 'send'::text]))),
    CONSTRAINT host_breakers_kind_check CHECK ((kind = ANY (ARRAY['login'::text, 'network'::text])))
);
CREATE TABLE poststelle.host_failures (
    host text NOT NULL,
    account_id bigint NOT NULL,
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    direction text NOT NULL,
    CONSTRAINT host_failures_direction_check CHECK ((direction = ANY (ARRAY['receive'::text, 'send'::text]))),
    CONSTRAINT host_failures_kind_check CHECK ((kind = ANY (ARRAY['login'::text, 'network'::text])))
);
CREATE VIEW poststelle.inbox_attachments AS
 SELECT t.message_id,
    t.ordinal,
    t.name,
    t.content_type,
    t.disposition,
    t.content_id,
    t.size_bytes,
    encode(t.sha256, 'hex'::text) AS sha256
   FROM poststelle.attachments t;
CREATE VIEW poststelle.inbox_delivery_reports AS
 SELECT r.message_id,
    r.ordinal,
    r.action,
    r.recipient,
    r.status,
    r.diagnostic,
    r.reporting_mta,
    r.original_message_id,
    r.outbound_message_id
   FROM poststelle.delivery_reports r;
CREATE SEQUENCE poststelle.inbox_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE poststelle.incident_accounts (
    incident_id bigint NOT NULL,
    account_id bigint NOT NULL,
    direction text NOT NULL,
    joined_at timestamp with time zone DEFAULT now() NOT NULL,
    left_at timestamp with time zone,
    CONSTRAINT incident_accounts_direction_check CHECK ((direction = ANY (ARRAY['receive'::text, 'send'::text])))
);
CREATE TABLE poststelle.incident_events (
    id bigint NOT NULL,
    incident_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    event text NOT NULL,
    accounts integer NOT NULL,
    waiting bigint NOT NULL,
    lasted_seconds bigint,
    sent_since bigint,
    CONSTRAINT incident_events_event_check CHECK ((event = ANY (ARRAY['opened'::text, 'grew'::text, 'closed'::text, 'merged'::text])))
);
ALTER TABLE poststelle.incident_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.incident_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.incidents (
    id bigint NOT NULL,
    cause text NOT NULL,
    subject_kind text NOT NULL,
    subject_key text NOT NULL,
    subject text NOT NULL,
    flag text NOT NULL,
    scope text NOT NULL,
    persistence text NOT NULL,
    evidence text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    gone_at timestamp with time zone,
    closed_at timestamp with time zone,
    merged_into bigint,
    accounts_now integer NOT NULL,
    accounts_most integer NOT NULL,
    accounts_told integer NOT NULL,
    told_at timestamp with time zone DEFAULT now() NOT NULL,
    waiting_now bigint DEFAULT 0 NOT NULL,
    waiting_most bigint DEFAULT 0 NOT NULL,
    oldest_waiting_at timestamp with time zone,
    CONSTRAINT incidents_check CHECK (((closed_at IS NULL) OR (gone_at IS NOT NULL))),
    CONSTRAINT incidents_check1 CHECK (((merged_into IS NULL) OR (closed_at IS NOT NULL))),
    CONSTRAINT incidents_subject_kind_check CHECK ((subject_kind = ANY (ARRAY['account'::text, 'client'::text, 'tenant'::text, 'host'::text, 'network'::text, 'service'::text])))
);
CREATE VIEW poststelle.incident_status AS
 SELECT i.id,
    i.flag,
    i.scope,
    i.persistence,
    i.subject_kind,
    i.subject,
    i.opened_at,
    i.gone_at,
    i.closed_at,
    i.merged_into,
    i.accounts_now AS accounts,
    i.accounts_most,
    i.waiting_now AS waiting,
    i.waiting_most,
    i.oldest_waiting_at,
    i.evidence
   FROM poststelle.incidents i;
ALTER TABLE poststelle.incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.installation (
    one boolean DEFAULT true NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    epoch bigint DEFAULT 1 NOT NULL,
    place text NOT NULL,
    fenced_at timestamp with time zone,
    fence_reason text,
    CONSTRAINT installation_check CHECK (((fenced_at IS NULL) = (fence_reason IS NULL))),
    CONSTRAINT installation_fence_reason_check CHECK ((fence_reason = ANY (ARRAY['place'::text, 'epoch'::text, 'manual'::text]))),
    CONSTRAINT installation_one_check CHECK (one)
);
CREATE TABLE poststelle.invitations (
    id bigint NOT NULL,
    token_hash bytea NOT NULL,
    operator_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);
ALTER TABLE poststelle.invitations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.invitations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.kysely_migration (
    name character varying(255) NOT NULL,
    "timestamp" character varying(255) NOT NULL
);
CREATE TABLE poststelle.kysely_migration_lock (
    id character varying(255) NOT NULL,
    is_locked integer DEFAULT 0 NOT NULL
);
CREATE TABLE poststelle.lanes (
    account_id bigint NOT NULL,
    lane text NOT NULL,
    due_at timestamp with time zone,
    dispatched_until timestamp with time zone,
    parked_until timestamp with time zone,
    lease_token uuid,
    lease_until timestamp with time zone,
    lease_worker integer,
    woken_at timestamp with time zone,
    switched_off boolean DEFAULT false NOT NULL,
    rests_until timestamp with time zone,
    rests_for text,
    ready_at timestamp with time zone GENERATED ALWAYS AS (
CASE
    WHEN ((NOT switched_off) AND (due_at IS NOT NULL)) THEN GREATEST(due_at, dispatched_until, parked_until, lease_until, rests_until)
    ELSE NULL::timestamp with time zone
END) STORED,
    CONSTRAINT lanes_check CHECK ((((lease_token IS NULL) = (lease_until IS NULL)) AND ((lease_token IS NULL) = (lease_worker IS NULL)))),
    CONSTRAINT lanes_check1 CHECK ((num_nonnulls(rests_until, rests_for) <> 1)),
    CONSTRAINT lanes_lane_check CHECK ((lane = ANY (ARRAY['receive'::text, 'send'::text, 'token'::text, 'parse'::text]))),
    CONSTRAINT lanes_rests_for_check CHECK ((rests_for = ANY (ARRAY['rate'::text, 'day'::text, 'pause'::text, 'host'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.02');
CREATE TABLE poststelle.maildrop_uidls (
    account_id bigint NOT NULL,
    uidl text NOT NULL,
    ordinal integer DEFAULT 1 NOT NULL,
    state text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea,
    message_id bigint,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    stored_at timestamp with time zone,
    deleted_at timestamp with time zone,
    listed_at timestamp with time zone DEFAULT now() NOT NULL,
    retry_at timestamp with time zone,
    gone_at timestamp with time zone,
    fingerprint bytea,
    oversize boolean DEFAULT false NOT NULL,
    CONSTRAINT maildrop_uidls_check CHECK (((state <> ALL (ARRAY['stored'::text, 'delete_intent'::text, 'deleted'::text])) OR (sha256 IS NOT NULL))),
    CONSTRAINT maildrop_uidls_check1 CHECK (((state = 'deleted'::text) = (deleted_at IS NOT NULL))),
    CONSTRAINT maildrop_uidls_check2 CHECK (((state <> ALL (ARRAY['stored'::text, 'delete_intent'::text])) OR (stored_at IS NOT NULL))),
    CONSTRAINT maildrop_uidls_check3 CHECK (((state = ANY (ARRAY['skipped'::text, 'quarantined'::text])) OR (retry_at IS NULL))),
    CONSTRAINT maildrop_uidls_check4 CHECK (((state <> ALL (ARRAY['skipped'::text, 'quarantined'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT maildrop_uidls_state_check CHECK ((state = ANY (ARRAY['listed'::text, 'stored'::text, 'skipped'::text, 'quarantined'::text, 'vanished'::text, 'delete_intent'::text, 'deleted'::text])))
);
COMMENT ON COLUMN poststelle.maildrop_uidls.size_bytes IS 'as announced by LIST; 0 where it was not announced';
CREATE TABLE poststelle.message_bodies (
    message_id bigint NOT NULL,
    chunk integer NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY poststelle.message_bodies ALTER COLUMN bytes SET COMPRESSION lz4;
CREATE VIEW poststelle.ledger_gaps AS
 SELECT u.account_id,
    a.email AS account,
    u.uidl,
    u.ordinal,
        CASE u.state
            WHEN 'listed'::text THEN 'waiting'::text
            WHEN 'vanished'::text THEN 'vanished'::text
            ELSE 'bytes_missing'::text
        END AS gap,
    u.size_bytes,
    u.listed_at,
    u.gone_at,
        CASE u.state
            WHEN 'listed'::text THEN 'it is on the server and was not retrieved yet'::text
            WHEN 'vanished'::text THEN COALESCE(u.reason, 'it left the server before it could be retrieved, and it was not we who deleted it'::text)
            ELSE 'the ledger says that it is stored, and its message has no bytes'::text
        END AS reason
   FROM (poststelle.maildrop_uidls u
     JOIN poststelle.accounts a ON ((a.id = u.account_id)))
  WHERE ((u.state = ANY (ARRAY['listed'::text, 'vanished'::text])) OR ((u.state = ANY (ARRAY['stored'::text, 'delete_intent'::text])) AND (EXISTS ( SELECT
           FROM poststelle.messages m
          WHERE ((m.id = u.message_id) AND (m.size_bytes > 0) AND (NOT (EXISTS ( SELECT
                   FROM poststelle.message_bodies b
                  WHERE (b.message_id = m.id)))))))));
CREATE TABLE poststelle.login_failures (
    key text NOT NULL,
    count integer NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    blocked_until timestamp with time zone
);
CREATE TABLE poststelle.message_spools (
    message_id bigint NOT NULL,
    account_id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE poststelle.messages ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME poststelle.messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.notify_deliveries (
    id bigint NOT NULL,
    target_id bigint NOT NULL,
    type text NOT NULL,
    payload jsonb NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    last_status integer,
    last_error text,
    CONSTRAINT notify_deliveries_check CHECK (((state = 'waiting'::text) = (finished_at IS NULL))),
    CONSTRAINT notify_deliveries_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'delivered'::text, 'dropped'::text, 'failed'::text])))
);
ALTER TABLE poststelle.notify_deliveries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.notify_deliveries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.notify_targets (
    id bigint NOT NULL,
    kind text NOT NULL,
    label text NOT NULL,
    address text NOT NULL,
    secret_sealed text,
    previous_secret_sealed text,
    previous_secret_until timestamp with time zone,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    events text[] NOT NULL,
    language text DEFAULT 'en'::text NOT NULL,
    patience_minutes integer DEFAULT 5 NOT NULL,
    digest boolean DEFAULT false NOT NULL,
    digest_on date,
    enabled boolean DEFAULT true NOT NULL,
    disabled_reason text,
    incident_cursor bigint NOT NULL,
    outbox_cursor bigint NOT NULL,
    inbox_cursor bigint NOT NULL,
    last_ok_at timestamp with time zone,
    last_error text,
    last_error_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notify_targets_kind_check CHECK ((kind = ANY (ARRAY['webhook'::text, 'mail'::text, 'command'::text, 'heartbeat'::text]))),
    CONSTRAINT notify_targets_language_check CHECK ((language = ANY (ARRAY['de'::text, 'en'::text]))),
    CONSTRAINT notify_targets_patience_minutes_check CHECK (((patience_minutes >= 0) AND (patience_minutes <= 1440)))
);
COMMENT ON COLUMN poststelle.notify_targets.address IS 'of a web hook or a heartbeat its address; of mail the relay, as host:port; of a command its name in POSTSTELLE_NOTIFY_COMMANDS';
ALTER TABLE poststelle.notify_targets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.notify_targets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.oauth_clients (
    id bigint NOT NULL,
    provider text NOT NULL,
    token_endpoint text NOT NULL,
    client_id text NOT NULL,
    client_secret_sealed text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    licences integer,
    recipients_per_day integer,
    messages_per_minute integer,
    label text DEFAULT ''::text NOT NULL,
    proof_kind text DEFAULT 'none'::text NOT NULL,
    secret_expires_at timestamp with time zone,
    secret_changed_at timestamp with time zone,
    next_secret_sealed text,
    next_proof_kind text,
    next_secret_expires_at timestamp with time zone,
    next_secret_state text,
    next_secret_evidence text,
    CONSTRAINT oauth_clients_check CHECK (((proof_kind = 'none'::text) = (client_secret_sealed IS NULL))),
    CONSTRAINT oauth_clients_check1 CHECK ((((next_secret_sealed IS NULL) = (next_proof_kind IS NULL)) AND ((next_secret_sealed IS NULL) = (next_secret_state IS NULL)))),
    CONSTRAINT oauth_clients_licences_check CHECK (((licences >= 1) AND (licences <= 10000000))),
    CONSTRAINT oauth_clients_messages_per_minute_check CHECK (((messages_per_minute >= 0) AND (messages_per_minute <= 1000000))),
    CONSTRAINT oauth_clients_next_proof_kind_check CHECK ((next_proof_kind = ANY (ARRAY['secret'::text, 'certificate'::text, 'service_account'::text]))),
    CONSTRAINT oauth_clients_next_secret_state_check CHECK ((next_secret_state = ANY (ARRAY['waiting'::text, 'refused'::text]))),
    CONSTRAINT oauth_clients_proof_kind_check CHECK ((proof_kind = ANY (ARRAY['none'::text, 'secret'::text, 'certificate'::text, 'service_account'::text]))),
    CONSTRAINT oauth_clients_provider_check CHECK ((provider = ANY (ARRAY['microsoft'::text, 'google'::text, 'generic'::text]))),
    CONSTRAINT oauth_clients_recipients_per_day_check CHECK (((recipients_per_day >= 0) AND (recipients_per_day <= 100000000)))
);
ALTER TABLE poststelle.oauth_clients ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.oauth_clients_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.operators (
    id bigint NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    may_read_mail boolean DEFAULT false NOT NULL,
    password_hash text,
    totp_sealed text,
    totp_confirmed_at timestamp with time zone,
    totp_step bigint,
    language text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_login_at timestamp with time zone,
    disabled_at timestamp with time zone,
    CONSTRAINT operators_language_check CHECK ((language = ANY (ARRAY['de'::text, 'en'::text]))),
    CONSTRAINT operators_name_check CHECK ((name ~ '^[^[:space:][:cntrl:]]{1,254}$'::text)),
    CONSTRAINT operators_role_check CHECK ((role = ANY (ARRAY['reader'::text, 'operator'::text, 'admin'::text])))
);
ALTER TABLE poststelle.operators ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.operators_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.outbound_bodies (
    message_id bigint NOT NULL,
    chunk integer NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY poststelle.outbound_bodies ALTER COLUMN bytes SET COMPRESSION lz4;
CREATE TABLE poststelle.outbound_draft_attachments (
    message_id bigint NOT NULL,
    ordinal integer NOT NULL,
    chunk integer NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY poststelle.outbound_draft_attachments ALTER COLUMN bytes SET COMPRESSION lz4;
CREATE TABLE poststelle.outbound_drafts (
    message_id bigint NOT NULL,
    dated_at timestamp with time zone NOT NULL,
    parts jsonb NOT NULL
);
ALTER TABLE ONLY poststelle.outbound_drafts ALTER COLUMN parts SET COMPRESSION lz4;
ALTER TABLE poststelle.outbound_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.outbound_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE poststelle.outbound_messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.outbound_messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.outbound_recipients (
    message_id bigint NOT NULL,
    ordinal integer NOT NULL,
    address text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    reply_code integer,
    enhanced_code text,
    reply text,
    flag text,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outbound_recipients_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'accepted'::text, 'deferred'::text, 'rejected'::text, 'bounced'::text])))
)
WITH (fillfactor='80');
CREATE TABLE poststelle.send_budgets (
    id bigint NOT NULL,
    account_id bigint,
    oauth_client_id bigint,
    messages_by_second jsonb DEFAULT '{}'::jsonb NOT NULL,
    recipients_by_hour jsonb DEFAULT '{}'::jsonb NOT NULL,
    learned_connections integer,
    connections_learned_at timestamp with time zone,
    learned_messages_per_minute double precision,
    messages_per_minute_learned_at timestamp with time zone,
    learned_recipients_per_day integer,
    recipients_per_day_learned_at timestamp with time zone,
    learned_recipients_per_message integer,
    recipients_per_message_learned_at timestamp with time zone,
    paused_until timestamp with time zone,
    pause_flag text,
    pause_evidence text,
    pauses integer DEFAULT 0 NOT NULL,
    idle_until timestamp with time zone,
    idle_worker integer,
    CONSTRAINT send_budgets_check CHECK ((num_nonnulls(account_id, oauth_client_id) = 1)),
    CONSTRAINT send_budgets_check1 CHECK ((num_nonnulls(learned_connections, connections_learned_at) <> 1)),
    CONSTRAINT send_budgets_check2 CHECK ((num_nonnulls(learned_messages_per_minute, messages_per_minute_learned_at) <> 1)),
    CONSTRAINT send_budgets_check3 CHECK ((num_nonnulls(learned_recipients_per_day, recipients_per_day_learned_at) <> 1)),
    CONSTRAINT send_budgets_check4 CHECK ((num_nonnulls(learned_recipients_per_message, recipients_per_message_learned_at) <> 1)),
    CONSTRAINT send_budgets_check5 CHECK ((num_nonnulls(paused_until, pause_flag) <> 1)),
    CONSTRAINT send_budgets_check6 CHECK ((num_nonnulls(idle_until, idle_worker) <> 1)),
    CONSTRAINT send_budgets_learned_connections_check CHECK ((learned_connections >= 1)),
    CONSTRAINT send_budgets_learned_messages_per_minute_check CHECK ((learned_messages_per_minute >= (1)::double precision)),
    CONSTRAINT send_budgets_learned_recipients_per_day_check CHECK ((learned_recipients_per_day >= 1)),
    CONSTRAINT send_budgets_learned_recipients_per_message_check CHECK ((learned_recipients_per_message >= 1))
)
WITH (fillfactor='50');
CREATE VIEW poststelle.outbox AS
 SELECT m.id,
    a.email AS account,
    m.account_id,
        CASE
            WHEN (w.reason IS NULL) THEN m.state
            ELSE 'held'::text
        END AS state,
    COALESCE(w.reason, m.hold_reason) AS hold_reason,
    m.envelope_from,
    m.internet_message_id AS message_id,
    m.subject,
    m.size_bytes,
    m.idempotency_key,
    m.priority,
    m.created_at,
        CASE
            WHEN ((m.next_attempt_at IS NULL) OR (m.state = 'held'::text)) THEN NULL::timestamp with time zone
            WHEN (w.reason = 'rate_limit'::text) THEN GREATEST(m.next_attempt_at, w.paused_until, l.rests_until)
            ELSE GREATEST(m.next_attempt_at, w.blocked_until, w.paused_until)
        END AS next_attempt_at,
    m.expires_at,
    m.attempts,
    m.repeated,
    m.finished_at,
    m.last_reply,
    m.last_flag
   FROM (((((((poststelle.outbound_messages m
     JOIN poststelle.accounts a ON ((a.id = m.account_id)))
     LEFT JOIN poststelle.lanes l ON (((l.account_id = m.account_id) AND (l.lane = 'send'::text))))
     LEFT JOIN poststelle.host_breakers h ON (((h.host = ((lower(a.smtp_host) || ':'::text) || a.smtp_port)) AND (h.direction = 'send'::text))))
     LEFT JOIN poststelle.send_budgets b ON ((b.account_id = a.id)))
     LEFT JOIN poststelle.send_budgets c ON ((c.oauth_client_id = a.oauth_client_id)))
     CROSS JOIN LATERAL ( SELECT GREATEST(l.parked_until, h.open_until) AS blocked_until,
            GREATEST(b.paused_until, c.paused_until) AS paused_until) u)
     CROSS JOIN LATERAL ( SELECT u.blocked_until,
            u.paused_until,
                CASE
                    WHEN (m.state <> ALL (ARRAY['queued'::text, 'deferred'::text])) THEN NULL::text
                    WHEN (u.blocked_until > now()) THEN 'account_blocked'::text
                    WHEN (NOT a.enabled_send) THEN 'account_paused'::text
                    WHEN ((m.next_attempt_at <= now()) AND ((u.paused_until > now()) OR ((l.rests_until > now()) AND (l.rests_for <> 'host'::text)))) THEN 'rate_limit'::text
                    ELSE NULL::text
                END AS reason) w);
CREATE VIEW poststelle.outbox_attempts AS
 SELECT t.message_id,
    t.number,
    t.started_at,
    t.finished_at,
    t.phase,
    t.outcome,
    t.step,
    t.reply,
    t.flag,
    t.transcript
   FROM poststelle.delivery_attempts t;
CREATE SEQUENCE poststelle.outbox_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE VIEW poststelle.outbox_recipients AS
 SELECT r.message_id,
    r.address,
    r.state,
    r.reply_code,
    r.enhanced_code,
    r.reply,
    r.flag,
    r.updated_at
   FROM poststelle.outbound_recipients r;
CREATE TABLE poststelle.parse_queue (
    message_id bigint NOT NULL,
    account_id bigint NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    raised_limits boolean DEFAULT false NOT NULL
);
CREATE TABLE poststelle.retention (
    one boolean DEFAULT true NOT NULL,
    received_days integer,
    sent_days integer,
    transcripts_days integer,
    audit_days integer,
    hold_reason text,
    hold_since timestamp with time zone,
    hold_by text,
    removed_received bigint DEFAULT 0 NOT NULL,
    removed_sent bigint DEFAULT 0 NOT NULL,
    removed_transcripts bigint DEFAULT 0 NOT NULL,
    removed_audit bigint DEFAULT 0 NOT NULL,
    swept_at timestamp with time zone,
    CONSTRAINT retention_audit_days_check CHECK (((audit_days >= 90) AND (audit_days <= 36500))),
    CONSTRAINT retention_check CHECK ((num_nonnulls(hold_reason, hold_since, hold_by) = ANY (ARRAY[0, 3]))),
    CONSTRAINT retention_hold_reason_check CHECK ((hold_reason <> ''::text)),
    CONSTRAINT retention_one_check CHECK (one),
    CONSTRAINT retention_received_days_check CHECK (((received_days >= 30) AND (received_days <= 36500))),
    CONSTRAINT retention_sent_days_check CHECK (((sent_days >= 30) AND (sent_days <= 36500))),
    CONSTRAINT retention_transcripts_days_check CHECK (((transcripts_days >= 1) AND (transcripts_days <= 36500)))
);
CREATE TABLE poststelle.round_trips (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    outbound_id bigint NOT NULL,
    subject text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    inbound_id bigint,
    arrived_at timestamp with time zone
);
ALTER TABLE poststelle.round_trips ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.round_trips_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.runway_warnings (
    subject text NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    threshold_days integer NOT NULL,
    warned_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE poststelle.send_budgets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.send_budgets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.send_presets (
    provider text NOT NULL,
    max_connections integer NOT NULL,
    messages_per_minute integer NOT NULL,
    recipients_per_day integer NOT NULL,
    recipients_per_message integer NOT NULL,
    CONSTRAINT send_presets_max_connections_check CHECK ((max_connections >= 0)),
    CONSTRAINT send_presets_messages_per_minute_check CHECK ((messages_per_minute >= 0)),
    CONSTRAINT send_presets_provider_check CHECK ((provider = ANY (ARRAY['microsoft'::text, 'google'::text, 'generic'::text]))),
    CONSTRAINT send_presets_recipients_per_day_check CHECK ((recipients_per_day >= 0)),
    CONSTRAINT send_presets_recipients_per_message_check CHECK ((recipients_per_message >= 0))
);
CREATE TABLE poststelle.sessions (
    id bigint NOT NULL,
    token_hash bytea NOT NULL,
    operator_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    ip text NOT NULL,
    user_agent text NOT NULL
);
ALTER TABLE poststelle.sessions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.sessions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.sign_ins (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    kind text NOT NULL,
    secret_hash bytea NOT NULL,
    verifier_sealed text,
    redirect_uri text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    outcome text,
    CONSTRAINT sign_ins_kind_check CHECK ((kind = ANY (ARRAY['link'::text, 'browser'::text, 'device'::text])))
);
ALTER TABLE poststelle.sign_ins ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.sign_ins_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE poststelle.slow_destinations (
    account_id bigint NOT NULL,
    domain text NOT NULL,
    failures integer NOT NULL,
    until timestamp with time zone,
    CONSTRAINT slow_destinations_failures_check CHECK ((failures >= 1))
);
CREATE TABLE poststelle.workers (
    id integer NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    roles text NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE poststelle.workers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME poststelle.workers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY poststelle.account_health
    ADD CONSTRAINT account_health_pkey PRIMARY KEY (account_id, direction);
ALTER TABLE ONLY poststelle.account_tests
    ADD CONSTRAINT account_tests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.api_tokens
    ADD CONSTRAINT api_tokens_token_hash_key UNIQUE (token_hash);
ALTER TABLE ONLY poststelle.attachments
    ADD CONSTRAINT attachments_pkey PRIMARY KEY (message_id, ordinal);
ALTER TABLE ONLY poststelle.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.blob_chunks
    ADD CONSTRAINT blob_chunks_pkey PRIMARY KEY (blob_id, chunk);
ALTER TABLE ONLY poststelle.blob_spools
    ADD CONSTRAINT blob_spools_pkey PRIMARY KEY (blob_id);
ALTER TABLE ONLY poststelle.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.blobs
    ADD CONSTRAINT blobs_sha256_key UNIQUE (sha256);
ALTER TABLE ONLY poststelle.bulk_runs
    ADD CONSTRAINT bulk_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.client_breakers
    ADD CONSTRAINT client_breakers_pkey PRIMARY KEY (oauth_client_id);
ALTER TABLE ONLY poststelle.delivery_attempts
    ADD CONSTRAINT delivery_attempts_pkey PRIMARY KEY (message_id, number);
ALTER TABLE ONLY poststelle.delivery_reports
    ADD CONSTRAINT delivery_reports_pkey PRIMARY KEY (message_id, ordinal);
ALTER TABLE ONLY poststelle.grants
    ADD CONSTRAINT grants_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY poststelle.health_events
    ADD CONSTRAINT health_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.health_flags
    ADD CONSTRAINT health_flags_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.host_breakers
    ADD CONSTRAINT host_breakers_pkey PRIMARY KEY (host, direction);
ALTER TABLE ONLY poststelle.host_failures
    ADD CONSTRAINT host_failures_pkey PRIMARY KEY (host, direction, account_id);
ALTER TABLE ONLY poststelle.incident_accounts
    ADD CONSTRAINT incident_accounts_pkey PRIMARY KEY (incident_id, account_id, direction);
ALTER TABLE ONLY poststelle.incident_events
    ADD CONSTRAINT incident_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.incidents
    ADD CONSTRAINT incidents_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (one);
ALTER TABLE ONLY poststelle.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.invitations
    ADD CONSTRAINT invitations_token_hash_key UNIQUE (token_hash);
ALTER TABLE ONLY poststelle.kysely_migration_lock
    ADD CONSTRAINT kysely_migration_lock_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.kysely_migration
    ADD CONSTRAINT kysely_migration_pkey PRIMARY KEY (name);
ALTER TABLE ONLY poststelle.lanes
    ADD CONSTRAINT lanes_pkey PRIMARY KEY (account_id, lane);
ALTER TABLE ONLY poststelle.login_failures
    ADD CONSTRAINT login_failures_pkey PRIMARY KEY (key);
ALTER TABLE ONLY poststelle.maildrop_uidls
    ADD CONSTRAINT maildrop_uidls_pkey PRIMARY KEY (account_id, uidl, ordinal);
ALTER TABLE ONLY poststelle.maildrops
    ADD CONSTRAINT maildrops_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY poststelle.message_bodies
    ADD CONSTRAINT message_bodies_pkey PRIMARY KEY (message_id, chunk);
ALTER TABLE ONLY poststelle.message_contents
    ADD CONSTRAINT message_contents_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY poststelle.message_contents
    ADD CONSTRAINT message_contents_position_key UNIQUE ("position");
ALTER TABLE ONLY poststelle.message_spools
    ADD CONSTRAINT message_spools_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY poststelle.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.notify_deliveries
    ADD CONSTRAINT notify_deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.notify_targets
    ADD CONSTRAINT notify_targets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.oauth_clients
    ADD CONSTRAINT oauth_clients_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.oauth_clients
    ADD CONSTRAINT oauth_clients_token_endpoint_client_id_key UNIQUE (token_endpoint, client_id);
ALTER TABLE ONLY poststelle.operators
    ADD CONSTRAINT operators_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.outbound_bodies
    ADD CONSTRAINT outbound_bodies_pkey PRIMARY KEY (message_id, chunk);
ALTER TABLE ONLY poststelle.outbound_draft_attachments
    ADD CONSTRAINT outbound_draft_attachments_pkey PRIMARY KEY (message_id, ordinal, chunk);
ALTER TABLE ONLY poststelle.outbound_drafts
    ADD CONSTRAINT outbound_drafts_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY poststelle.outbound_events
    ADD CONSTRAINT outbound_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.outbound_messages
    ADD CONSTRAINT outbound_messages_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.outbound_recipients
    ADD CONSTRAINT outbound_recipients_message_id_address_key UNIQUE (message_id, address);
ALTER TABLE ONLY poststelle.outbound_recipients
    ADD CONSTRAINT outbound_recipients_pkey PRIMARY KEY (message_id, ordinal);
ALTER TABLE ONLY poststelle.parse_queue
    ADD CONSTRAINT parse_queue_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY poststelle.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (one);
ALTER TABLE ONLY poststelle.round_trips
    ADD CONSTRAINT round_trips_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.round_trips
    ADD CONSTRAINT round_trips_subject_key UNIQUE (subject);
ALTER TABLE ONLY poststelle.runway_warnings
    ADD CONSTRAINT runway_warnings_pkey PRIMARY KEY (subject, ends_at, threshold_days);
ALTER TABLE ONLY poststelle.send_budgets
    ADD CONSTRAINT send_budgets_account_id_key UNIQUE (account_id);
ALTER TABLE ONLY poststelle.send_budgets
    ADD CONSTRAINT send_budgets_oauth_client_id_key UNIQUE (oauth_client_id);
ALTER TABLE ONLY poststelle.send_budgets
    ADD CONSTRAINT send_budgets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.send_presets
    ADD CONSTRAINT send_presets_pkey PRIMARY KEY (provider);
ALTER TABLE ONLY poststelle.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.sessions
    ADD CONSTRAINT sessions_token_hash_key UNIQUE (token_hash);
ALTER TABLE ONLY poststelle.sign_ins
    ADD CONSTRAINT sign_ins_pkey PRIMARY KEY (id);
ALTER TABLE ONLY poststelle.sign_ins
    ADD CONSTRAINT sign_ins_secret_hash_key UNIQUE (secret_hash);
ALTER TABLE ONLY poststelle.slow_destinations
    ADD CONSTRAINT slow_destinations_pkey PRIMARY KEY (account_id, domain);
ALTER TABLE ONLY poststelle.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);
CREATE INDEX account_tests_by_account ON poststelle.account_tests USING btree (account_id, at);
CREATE UNIQUE INDEX accounts_email ON poststelle.accounts USING btree (lower(email));
CREATE INDEX accounts_oauth_client ON poststelle.accounts USING btree (oauth_client_id);
CREATE UNIQUE INDEX accounts_one_default ON poststelle.accounts USING btree (is_default) WHERE is_default;
CREATE INDEX accounts_pop3_host ON poststelle.accounts USING btree (lower(pop3_host), pop3_port);
CREATE INDEX accounts_smtp_host ON poststelle.accounts USING btree (lower(smtp_host), smtp_port);
CREATE INDEX attachments_blob ON poststelle.attachments USING btree (blob_id);
CREATE INDEX audit_log_at ON poststelle.audit_log USING btree (at);
CREATE INDEX audit_log_object ON poststelle.audit_log USING btree (object, id);
CREATE INDEX bulk_runs_open ON poststelle.bulk_runs USING btree (id) WHERE (finished_at IS NULL);
CREATE INDEX delivery_attempts_started ON poststelle.delivery_attempts USING brin (started_at) WITH (autosummarize='on');
CREATE INDEX delivery_reports_outbound ON poststelle.delivery_reports USING btree (outbound_message_id) WHERE (outbound_message_id IS NOT NULL);
CREATE INDEX health_events_by_account ON poststelle.health_events USING btree (account_id, at);
CREATE UNIQUE INDEX health_flags_open ON poststelle.health_flags USING btree (account_id, direction, flag) WHERE (cleared_at IS NULL);
CREATE INDEX host_failures_by_account ON poststelle.host_failures USING btree (account_id);
CREATE INDEX incident_accounts_by_account ON poststelle.incident_accounts USING btree (account_id);
CREATE INDEX incident_accounts_now ON poststelle.incident_accounts USING btree (incident_id) WHERE (left_at IS NULL);
CREATE INDEX incident_events_by_incident ON poststelle.incident_events USING btree (incident_id, id);
CREATE INDEX incidents_closed ON poststelle.incidents USING btree (closed_at) WHERE (closed_at IS NOT NULL);
CREATE UNIQUE INDEX incidents_open ON poststelle.incidents USING btree (cause, subject_kind, subject_key) WHERE (closed_at IS NULL);
CREATE INDEX invitations_operator ON poststelle.invitations USING btree (operator_id);
CREATE INDEX lanes_leased ON poststelle.lanes USING btree (lease_worker) WHERE (lease_token IS NOT NULL);
CREATE INDEX lanes_ready ON poststelle.lanes USING btree (lane, ready_at) WHERE (ready_at IS NOT NULL);
CREATE INDEX maildrop_uidls_deletable ON poststelle.maildrop_uidls USING btree (account_id, stored_at) WHERE ((state = ANY (ARRAY['stored'::text, 'delete_intent'::text])) AND (gone_at IS NULL));
CREATE INDEX maildrop_uidls_gone ON poststelle.maildrop_uidls USING btree (account_id, fingerprint) WHERE (gone_at IS NOT NULL);
CREATE INDEX maildrop_uidls_open ON poststelle.maildrop_uidls USING btree (account_id, state) WHERE (state = ANY (ARRAY['listed'::text, 'skipped'::text, 'quarantined'::text, 'vanished'::text, 'delete_intent'::text]));
CREATE INDEX maildrop_uidls_oversize ON poststelle.maildrop_uidls USING btree (account_id) WHERE oversize;
CREATE INDEX maildrop_uidls_retry ON poststelle.maildrop_uidls USING btree (account_id, retry_at) WHERE (retry_at IS NOT NULL);
CREATE INDEX message_contents_quarantined ON poststelle.message_contents USING btree (account_id) WHERE (state = 'quarantined'::text);
CREATE INDEX message_contents_search ON poststelle.message_contents USING gin (search);
CREATE INDEX message_contents_thread ON poststelle.message_contents USING btree (account_id, thread_id);
CREATE INDEX messages_acknowledged ON poststelle.messages USING btree (acknowledged_at) WHERE (acknowledged_at IS NOT NULL);
CREATE INDEX messages_by_account ON poststelle.messages USING btree (account_id, id);
CREATE INDEX messages_by_internet_message_id ON poststelle.messages USING btree (internet_message_id);
CREATE INDEX messages_incomplete ON poststelle.messages USING btree (id) WHERE (NOT complete);
CREATE INDEX messages_received ON poststelle.messages USING brin (received_at) WITH (autosummarize='on');
CREATE INDEX messages_unacknowledged ON poststelle.messages USING btree (id) WHERE (acknowledged_at IS NULL);
CREATE INDEX notify_deliveries_by_target ON poststelle.notify_deliveries USING btree (target_id, id);
CREATE INDEX notify_deliveries_due ON poststelle.notify_deliveries USING btree (next_attempt_at) WHERE (state = 'waiting'::text);
CREATE UNIQUE INDEX operators_name ON poststelle.operators USING btree (lower(name));
CREATE INDEX outbound_events_by_message ON poststelle.outbound_events USING btree (message_id);
CREATE UNIQUE INDEX outbound_events_delayed ON poststelle.outbound_events USING btree (message_id) WHERE (event = 'delayed'::text);
CREATE INDEX outbound_events_open ON poststelle.outbound_events USING btree (id) WHERE ("position" IS NULL);
CREATE UNIQUE INDEX outbound_events_position ON poststelle.outbound_events USING btree ("position") WHERE ("position" IS NOT NULL);
CREATE INDEX outbound_messages_by_account ON poststelle.outbound_messages USING btree (account_id, id);
CREATE INDEX outbound_messages_by_message_id ON poststelle.outbound_messages USING btree (internet_message_id);
CREATE INDEX outbound_messages_cancelled ON poststelle.outbound_messages USING btree (finished_at) WHERE (state = 'cancelled'::text);
CREATE INDEX outbound_messages_deferred ON poststelle.outbound_messages USING btree (account_id, expires_at) WHERE (state = 'deferred'::text);
CREATE INDEX outbound_messages_due ON poststelle.outbound_messages USING btree (account_id, next_attempt_at) WHERE ((state = ANY (ARRAY['scheduled'::text, 'queued'::text, 'deferred'::text, 'uncertain'::text])) AND (next_attempt_at IS NOT NULL));
CREATE INDEX outbound_messages_handed_over ON poststelle.outbound_messages USING btree (finished_at) WHERE (state = ANY (ARRAY['sent'::text, 'partial'::text, 'bounced'::text]));
CREATE UNIQUE INDEX outbound_messages_idempotency ON poststelle.outbound_messages USING btree (account_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX outbound_messages_open ON poststelle.outbound_messages USING btree (account_id, created_at) INCLUDE (state, next_attempt_at) WHERE (finished_at IS NULL);
CREATE INDEX outbound_messages_order ON poststelle.outbound_messages USING btree (account_id, priority DESC, next_attempt_at, id) WHERE ((state = ANY (ARRAY['scheduled'::text, 'queued'::text, 'deferred'::text, 'uncertain'::text])) AND (next_attempt_at IS NOT NULL));
CREATE INDEX outbound_messages_refused ON poststelle.outbound_messages USING btree (finished_at) WHERE (state = ANY (ARRAY['failed'::text, 'expired'::text]));
CREATE INDEX outbound_messages_sending ON poststelle.outbound_messages USING btree (account_id) WHERE (state = 'sending'::text);
CREATE INDEX outbound_messages_uncertain ON poststelle.outbound_messages USING btree (internet_message_id) WHERE (state = 'uncertain'::text);
CREATE INDEX parse_queue_by_account ON poststelle.parse_queue USING btree (account_id, message_id);
CREATE INDEX round_trips_account ON poststelle.round_trips USING btree (account_id, started_at);
CREATE INDEX round_trips_inbound ON poststelle.round_trips USING btree (inbound_id);
CREATE INDEX round_trips_outbound ON poststelle.round_trips USING btree (outbound_id);
CREATE INDEX sessions_operator ON poststelle.sessions USING btree (operator_id) WHERE (ended_at IS NULL);
CREATE INDEX sign_ins_by_account ON poststelle.sign_ins USING btree (account_id, created_at);
CREATE TRIGGER accounts_switch_lanes AFTER UPDATE OF enabled_receive, enabled_send ON poststelle.accounts FOR EACH ROW WHEN (((old.enabled_receive <> new.enabled_receive) OR (old.enabled_send <> new.enabled_send))) EXECUTE FUNCTION poststelle.switch_lanes();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON poststelle.audit_log FOR EACH ROW EXECUTE FUNCTION poststelle.refuse_audit_change();
CREATE TRIGGER chain BEFORE INSERT ON poststelle.audit_log FOR EACH ROW EXECUTE FUNCTION poststelle.chain_audit();
CREATE TRIGGER lanes_switch BEFORE INSERT ON poststelle.lanes FOR EACH ROW EXECUTE FUNCTION poststelle.switch_new_lane();
CREATE TRIGGER messages_delete_bodies AFTER DELETE ON poststelle.messages REFERENCING OLD TABLE AS old_messages FOR EACH STATEMENT EXECUTE FUNCTION poststelle.delete_message_bodies();
CREATE TRIGGER outbound_messages_event AFTER UPDATE OF state ON poststelle.outbound_messages FOR EACH ROW WHEN (((old.state <> new.state) AND (new.state <> 'sending'::text) AND ((new.state <> ALL (ARRAY['queued'::text, 'scheduled'::text])) OR (old.state = 'held'::text)))) EXECUTE FUNCTION poststelle.note_outbound_event();
CREATE TRIGGER outbound_messages_evidence AFTER UPDATE OF state ON poststelle.outbound_messages FOR EACH ROW WHEN (((old.state <> new.state) AND (new.state = 'uncertain'::text))) EXECUTE FUNCTION poststelle.look_for_evidence();
CREATE TRIGGER outbound_recipients_bounce AFTER UPDATE OF state ON poststelle.outbound_recipients FOR EACH ROW WHEN (((old.state <> new.state) AND (new.state = 'bounced'::text))) EXECUTE FUNCTION poststelle.note_bounce();
ALTER TABLE ONLY poststelle.account_health
    ADD CONSTRAINT account_health_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.account_tests
    ADD CONSTRAINT account_tests_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.accounts
    ADD CONSTRAINT accounts_oauth_client_id_fkey FOREIGN KEY (oauth_client_id) REFERENCES poststelle.oauth_clients(id);
ALTER TABLE ONLY poststelle.attachments
    ADD CONSTRAINT attachments_blob_id_fkey FOREIGN KEY (blob_id) REFERENCES poststelle.blobs(id);
ALTER TABLE ONLY poststelle.attachments
    ADD CONSTRAINT attachments_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.client_breakers
    ADD CONSTRAINT client_breakers_oauth_client_id_fkey FOREIGN KEY (oauth_client_id) REFERENCES poststelle.oauth_clients(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.delivery_attempts
    ADD CONSTRAINT delivery_attempts_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.outbound_messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.delivery_reports
    ADD CONSTRAINT delivery_reports_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.delivery_reports
    ADD CONSTRAINT delivery_reports_outbound_message_id_fkey FOREIGN KEY (outbound_message_id) REFERENCES poststelle.outbound_messages(id) ON DELETE SET NULL;
ALTER TABLE ONLY poststelle.grants
    ADD CONSTRAINT grants_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.health_events
    ADD CONSTRAINT health_events_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.health_flags
    ADD CONSTRAINT health_flags_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.host_failures
    ADD CONSTRAINT host_failures_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.incident_accounts
    ADD CONSTRAINT incident_accounts_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.incident_accounts
    ADD CONSTRAINT incident_accounts_incident_id_fkey FOREIGN KEY (incident_id) REFERENCES poststelle.incidents(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.incident_events
    ADD CONSTRAINT incident_events_incident_id_fkey FOREIGN KEY (incident_id) REFERENCES poststelle.incidents(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.incidents
    ADD CONSTRAINT incidents_merged_into_fkey FOREIGN KEY (merged_into) REFERENCES poststelle.incidents(id) ON DELETE SET NULL;
ALTER TABLE ONLY poststelle.invitations
    ADD CONSTRAINT invitations_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES poststelle.operators(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.lanes
    ADD CONSTRAINT lanes_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.maildrop_uidls
    ADD CONSTRAINT maildrop_uidls_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.maildrops
    ADD CONSTRAINT maildrops_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.message_contents
    ADD CONSTRAINT message_contents_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.messages
    ADD CONSTRAINT messages_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.notify_deliveries
    ADD CONSTRAINT notify_deliveries_target_id_fkey FOREIGN KEY (target_id) REFERENCES poststelle.notify_targets(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.outbound_bodies
    ADD CONSTRAINT outbound_bodies_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.outbound_messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.outbound_draft_attachments
    ADD CONSTRAINT outbound_draft_attachments_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.outbound_drafts(message_id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.outbound_drafts
    ADD CONSTRAINT outbound_drafts_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.outbound_messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.outbound_messages
    ADD CONSTRAINT outbound_messages_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE RESTRICT;
ALTER TABLE ONLY poststelle.outbound_recipients
    ADD CONSTRAINT outbound_recipients_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.outbound_messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.parse_queue
    ADD CONSTRAINT parse_queue_message_id_fkey FOREIGN KEY (message_id) REFERENCES poststelle.messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.round_trips
    ADD CONSTRAINT round_trips_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.round_trips
    ADD CONSTRAINT round_trips_inbound_id_fkey FOREIGN KEY (inbound_id) REFERENCES poststelle.messages(id) ON DELETE SET NULL;
ALTER TABLE ONLY poststelle.round_trips
    ADD CONSTRAINT round_trips_outbound_id_fkey FOREIGN KEY (outbound_id) REFERENCES poststelle.outbound_messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.send_budgets
    ADD CONSTRAINT send_budgets_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.send_budgets
    ADD CONSTRAINT send_budgets_oauth_client_id_fkey FOREIGN KEY (oauth_client_id) REFERENCES poststelle.oauth_clients(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.sessions
    ADD CONSTRAINT sessions_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES poststelle.operators(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.sign_ins
    ADD CONSTRAINT sign_ins_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
ALTER TABLE ONLY poststelle.slow_destinations
    ADD CONSTRAINT slow_destinations_account_id_fkey FOREIGN KEY (account_id) REFERENCES poststelle.accounts(id) ON DELETE CASCADE;
GRANT USAGE ON SCHEMA poststelle TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.a_label_length(label text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.accepted_before(lane_account bigint, key text, request bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.account_id(account text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.ack_inbound(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.ack_inbound(id bigint) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.apply_delivery_reports(reports bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.are_letters(given text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.attachment(message_id bigint, ordinal integer) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.attachment(message_id bigint, ordinal integer) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.audit_hash(r poststelle.audit_log) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.cancel_message(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.cancel_message(id bigint) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.canonical(bytes bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.chain_audit() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.change_message(id bigint, change text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.check_address(field text, address text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.check_keys(path text, given jsonb, allowed text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.check_submission(account text, idempotency_key text, priority integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.delete_message_bodies() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.enter_message(lane_account bigint, envelope_from text, recipients text[], message_key text, subject text, size_bytes bigint, sha256 bytea, idempotency_key text, request bytea, priority integer, send_after timestamp with time zone, OUT id bigint, OUT fresh boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.field_query(field text, content text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.field_words(field text, content text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.grown_rate(learned double precision, learned_at timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.header_text(path text, given jsonb, most integer) FROM PUBLIC;
GRANT SELECT ON TABLE poststelle.inbox TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.inbox_since(cursor bigint, max_rows integer) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.inbox_since(cursor bigint, max_rows integer) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.is_plain_address(address text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.is_switched_off(lane text, receive boolean, send boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.lane_etas(account_id bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.lane_pace(account_id bigint, OUT free_at timestamp with time zone, OUT gap interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.look_for_evidence() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.message_eta(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.message_eta(id bigint) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.new_message_id(lane_account bigint, sender text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.note_bounce() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.note_outbound_event() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.number_outbound_events(max_rows integer) FROM PUBLIC;
GRANT SELECT ON TABLE poststelle.outbox_events TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.outbox_since(cursor bigint, max_rows integer) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.outbox_since(cursor bigint, max_rows integer) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.parts_address(path text, given jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.parts_addresses(path text, given jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.parts_attachment(path text, given jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.parts_body(path text, given jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.parts_content(path text, given jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.parts_headers(given jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.place() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.raw_message(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.raw_message(id bigint) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.readable(bytewise text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.refuse(reason text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.refuse_audit_change() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.search_fields(from_name text, from_address text, to_addresses text, subject text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.send_paused_until(account_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.send_paused_until(account_id bigint) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.send_rate(account_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.send_rate(account_id bigint) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.shorten_audit(before timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.shown(given text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.submit_message(account text, envelope_from text, recipients text[], raw bytea, idempotency_key text, send_after timestamp with time zone, priority integer) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.submit_message(account text, envelope_from text, recipients text[], raw bytea, idempotency_key text, send_after timestamp with time zone, priority integer) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.submit_parts(account text, parts jsonb, idempotency_key text, send_after timestamp with time zone, priority integer) FROM PUBLIC;
GRANT ALL ON FUNCTION poststelle.submit_parts(account text, parts jsonb, idempotency_key text, send_after timestamp with time zone, priority integer) TO poststelle_app;
REVOKE ALL ON FUNCTION poststelle.switch_lanes() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.switch_new_lane() FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.take_as_sent(id bigint, about text, proof text) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.take_copies_as_sent(account bigint, message_ids text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION poststelle.wire_length(domain text) FROM PUBLIC;
GRANT SELECT ON TABLE poststelle.account_status TO poststelle_app;
GRANT SELECT ON TABLE poststelle.inbox_attachments TO poststelle_app;
GRANT SELECT ON TABLE poststelle.inbox_delivery_reports TO poststelle_app;
GRANT SELECT ON TABLE poststelle.incident_status TO poststelle_app;
GRANT SELECT ON TABLE poststelle.ledger_gaps TO poststelle_app;
GRANT SELECT ON TABLE poststelle.outbox TO poststelle_app;
GRANT SELECT ON TABLE poststelle.outbox_attempts TO poststelle_app;
GRANT SELECT ON TABLE poststelle.outbox_recipients TO poststelle_app;
