-- Intents on Stellar: an account is shared as a rule, so an intent there gets a number of its own where the caller names
-- no reference; what could never be paid is refused. See docs/decisions/0034-whose-account-it-is.md.
--
-- reference => null     on a Stellar account: as 'fresh'; everywhere else: as 'none'
-- reference => 'fresh'  a number that no intent at this address ever had (Stellar)
-- reference => 'none'   the intent owns the address alone
-- reference => 'id:…'   and whatever else the family writes
--
-- Errors as before, and: AMN07 bad reference

-- The number follows from the intent's id, so that a recorded story gives the same one again. 53 bits, the highest set:
-- wallets written in JavaScript round above, and no number is so low that a person would have chosen it.
create function amn.fresh_number(id uuid, attempt integer) returns bigint language sql immutable strict as $$
  select ('x' || substr(encode(sha256(convert_to(id::text || ' ' || attempt, 'UTF8')), 'hex'), 1, 13))::bit(52)::bigint
    | (1::bigint << 52)
$$;

-- Whether bytes are a text in UTF-8.
create function amn.is_utf8(bytes bytea) returns boolean language plpgsql immutable strict as $$
begin
  perform convert_from(bytes, 'UTF8');
  return true;
exception when others then
  return false;
end $$;

-- Why the text is no reference of Stellar; null where it is one. Its spelling must be the one that is matched on chain.
create function amn.stellar_reference_trouble(address text, reference text) returns text language plpgsql immutable strict as $$
declare
  kind text := split_part(reference, ':', 1);
  value text := substr(reference, length(split_part(reference, ':', 1)) + 2);
  -- A control character in hexadecimal UTF-8: U+0000 to U+001F, U+007F to U+009F.
  control text := '^([0-9a-f]{2})*([01][0-9a-f]|7f|c2[89][0-9a-f])';
  fits boolean;
begin
  if address like 'C%' and kind <> 'id' then
    return 'a payment to a contract carries no memo: its reference is a number, id:<number>';
  end if;
  fits := case kind
    -- Of 20 digits, the order of the text is that of the number.
    when 'id' then value ~ '^(0|[1-9][0-9]{0,18})$'
      or (value ~ '^1[0-9]{19}$' and value collate "C" <= '18446744073709551615')
    when 'text' then octet_length(value) between 1 and 28 and encode(convert_to(value, 'UTF8'), 'hex') !~ control
    -- Only for bytes that text: cannot spell.
    when 'text-hex' then
      case when value ~ '^([0-9a-f]{2}){1,28}$' then value ~ control or not amn.is_utf8(decode(value, 'hex')) else false end
    when 'hash' then value ~ '^[0-9a-f]{64}$'
    when 'return' then value ~ '^[0-9a-f]{64}$'
    else false
  end;
  return case when not fits then 'a reference is id:<number>, text:<up to 28 bytes>, text-hex:<hexadecimal digits>, hash:<64 hexadecimal digits> or return:<64 hexadecimal digits>' end;
end $$;

create or replace function amn.create_intent(
  tenant text,
  network text,
  asset text,
  due numeric,
  address text,
  reference text default null,
  tolerance numeric default 0,
  expires_at timestamptz default null,
  require jsonb default '{}',
  metadata jsonb default '{}',
  since_height bigint default null,
  allow_reuse boolean default false,
  id uuid default gen_random_uuid(),
  derivation_index bigint default null,
  created_at timestamptz default now()
) returns uuid language plpgsql security definer set search_path = amn, pg_temp as $$
#variable_conflict use_variable
declare
  net amn.network;
  kind amn.asset;
  key text := case when address like '0x%' then lower(address) else address end;
  held amn.watch;
  first_height bigint;
  fresh boolean;
  trouble text;
begin
  if due is null or due <= 0 or due <> trunc(due) or tolerance is null or tolerance < 0 or tolerance >= due or tolerance <> trunc(tolerance) then
    raise exception 'due is a positive count of smallest units and tolerance a smaller one; got % and %', due, tolerance using errcode = 'AMN05';
  end if;

  insert into amn.tenant (id) values (tenant) on conflict do nothing;

  -- Under the network's row lock, so that watches become visible in the order of their versions, and no decision is half way.
  update amn.network n set watch_version = n.watch_version + 1 where n.id = network returning n.* into net;
  if net.id is null then
    raise exception 'there is no network %', network using errcode = 'AMN01';
  end if;
  select * into kind from amn.asset a where a.network_id = network and a.id = asset and a.listed;
  if kind.id is null then
    raise exception 'network % lists no asset %', network, asset using errcode = 'AMN02';
  end if;
  if address is null or (net.family = 'evm' and address !~ '^0x[0-9a-fA-F]{40}$') then
    raise exception 'not an address of network %: %', network, address using errcode = 'AMN03';
  end if;
  if net.family = 'soroban' and address !~ '^[GC][A-Z2-7]{55}$' then
    raise exception 'not an account (G…) or contract (C…) of network %: %; the number of a muxed address (M…, W…) is a reference, id:<number>', network, left(address, 80)
      using errcode = 'AMN03';
  end if;

  fresh := reference = 'fresh' or (reference is null and net.family = 'soroban' and address like 'G%');
  if fresh and net.family <> 'soroban' then
    raise exception 'fresh references are for Stellar networks; % is of another family', network using errcode = 'AMN07';
  end if;
  if fresh or reference = 'none' then
    reference := null;
  end if;
  trouble := case when net.family = 'soroban' then amn.stellar_reference_trouble(address, reference) end;
  if trouble is not null then
    raise exception '%; got %', trouble, left(reference, 100) using errcode = 'AMN07';
  end if;
  if fresh then
    -- Under the network's row lock: two intents at once never draw one number. A key is reserved for ever, so a number that
    -- was used is not drawn again. One attempt in four quadrillion repeats a number: three in a row are a broken draw.
    for attempt in 0..2 loop
      reference := 'id:' || amn.fresh_number(id, attempt);
      exit when not exists (
        select 1 from amn.watch w where w.network_id = network and w.address_key = key and w.reference = create_intent.reference
      );
    end loop;
  end if;

  first_height := coalesce(since_height, net.tip_height + 1, 0);
  if net.start_height is not null and first_height <= net.start_height then
    raise exception 'since_height % is not above %, where the ledger of % begins', first_height, net.start_height, network using errcode = 'AMN06';
  end if;
  if net.tip_height is not null and first_height > net.tip_height + 1 then
    raise exception 'since_height % lies above the tip % of %', first_height, net.tip_height, network using errcode = 'AMN06';
  end if;

  -- An intent without reference owns its address alone.
  select w.* into held from amn.watch w
  where w.network_id = network and w.address_key = key
    and (w.reference = coalesce(reference, '') or w.reference = '' or reference is null)
  order by w.reference = coalesce(reference, '') desc limit 1;
  if held.id is not null then
    if not allow_reuse or held.reference <> coalesce(reference, '') or held.tenant_id <> tenant then
      raise exception 'address % with reference % is reserved by another intent', address, coalesce(reference, '(none)') using errcode = 'AMN04';
    end if;
    -- Reuse needs 30 days after the end of the intent that had it; a confirmed one counts as live.
    if not exists (
      select 1 from amn.intent i where i.id = held.intent_id
        and i.status in ('expired', 'canceled') and i.ended_at < created_at - interval '30 days'
    ) then
      raise exception 'address % may be reused 30 days after the end of its intent', address using errcode = 'AMN04';
    end if;
  end if;

  insert into amn.intent (id, tenant_id, network_id, asset_id, address, reference, due, tolerance, expires_at, require, metadata, derivation_index, created_at)
  values (id, tenant, network, asset, address, reference, due, tolerance, expires_at, require, metadata, derivation_index, created_at);

  if held.id is not null then
    update amn.watch w set intent_id = id, version = net.watch_version, since_height = first_height, native = w.native or kind.native,
      balance = null, balance_height = null, balance_time = null,
      backfill_from = case when first_height <= net.tip_height then first_height end,
      backfill_to = case when first_height <= net.tip_height then net.tip_height end
    where w.id = held.id;
  else
    insert into amn.watch (network_id, address, reference, tenant_id, intent_id, version, since_height, backfill_from, backfill_to, native, created_at)
    values (network, address, coalesce(reference, ''), tenant, id, net.watch_version, first_height,
      case when first_height <= net.tip_height then first_height end,
      case when first_height <= net.tip_height then net.tip_height end,
      kind.native, created_at);
  end if;
  return id;
end $$;

revoke all on function amn.fresh_number from public;
revoke all on function amn.is_utf8 from public;
revoke all on function amn.stellar_reference_trouble from public;
