-- Intents on TON: any address may be shared and nothing of it tells whether it is, so an intent gets a comment of its own
-- where the caller names no reference; what could never be paid is refused. See
-- docs/decisions/0044-a-comment-of-its-own.md.
--
-- reference => null     on TON: as 'fresh'; elsewhere as before
-- reference => 'fresh'  a comment of sixteen digits that no intent at this address ever had
-- reference => 'none'   the intent owns the address alone
-- reference => 'text:…' and whatever else the family writes

-- Why the text is no reference of TON; null where it is one. Its spelling must be the one that is matched on chain.
-- native: for the network's own money, whose payments carry no number.
create function amn.ton_reference_trouble(native boolean, reference text) returns text language plpgsql immutable strict as $$
declare
  kind text := split_part(reference, ':', 1);
  value text := substr(reference, length(split_part(reference, ':', 1)) + 2);
  -- A control character in hexadecimal UTF-8: U+0000 to U+001F, U+007F to U+009F.
  control text := '^([0-9a-f]{2})*([01][0-9a-f]|7f|c2[89][0-9a-f])';
  -- Blanks around a comment are nothing.
  around text := '^[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
    || '|[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$';
  said text;
  fits boolean := false;
begin
  if kind = 'query' and native then
    return 'a payment of the network''s own money carries no number: query:<number> is a jetton transfer''s';
  end if;
  case kind
    when 'text' then
      fits := octet_length(value) between 1 and 256 and encode(convert_to(value, 'UTF8'), 'hex') !~ control
        and value is nfc normalized and value !~ around;
    -- Only for bytes that text: cannot spell. A comment whose first byte is ff is a binary one.
    when 'text-hex' then
      if value ~ '^([0-9a-f]{2})+$' and length(value) <= 512 and value !~ '^ff' then
        if amn.is_utf8(decode(value, 'hex')) then
          said := convert_from(decode(value, 'hex'), 'UTF8');
          fits := value ~ control and said is nfc normalized and said !~ around;
        else
          fits := true;
        end if;
      end if;
    when 'bin' then
      fits := value ~ '^([0-9a-f]{2})+$' and length(value) <= 512;
    -- Of 20 digits, the order of the text is that of the number.
    when 'query' then
      fits := value ~ '^[1-9][0-9]{0,18}$' or (value ~ '^1[0-9]{19}$' and value collate "C" <= '18446744073709551615');
    else
      fits := false;
  end case;
  return case when not fits then 'a reference is text:<up to 256 bytes, composed, no blanks around>, text-hex:<their hexadecimal digits where text cannot spell them>, bin:<hexadecimal digits> or query:<number above zero>' end;
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

  -- The one spelling of a network's addresses, not bounceable: payments are matched by it.
  if net.family = 'ton' and address !~ (case when net.chain = 'tvm:-239' then '^U' else '^0' end || '(Q[A-D]|f[89_-])[A-Za-z0-9_-]{45}$') then
    raise exception 'not an address of network % as it is matched, % and 46 letters: %; over HTTP every form is taken', network,
      case when net.chain = 'tvm:-239' then 'UQ… (or Uf…)' else '0Q… (or 0f…)' end, left(address, 80) using errcode = 'AMN03';
  end if;

  fresh := reference = 'fresh' or (reference is null and (net.family = 'ton' or (net.family = 'soroban' and address like 'G%')));
  if fresh and net.family not in ('soroban', 'ton') then
    raise exception 'fresh references are for Stellar and TON networks; % is of another family', network using errcode = 'AMN07';
  end if;
  if fresh or reference = 'none' then
    reference := null;
  end if;
  trouble := case net.family
    when 'soroban' then amn.stellar_reference_trouble(address, reference)
    when 'ton' then amn.ton_reference_trouble(kind.native, reference)
  end;
  if trouble is not null then
    raise exception '%; got %', trouble, left(reference, 100) using errcode = 'AMN07';
  end if;
  if fresh then
    -- Under the network's row lock: two intents at once never draw one number. A key is reserved for ever, so a number that
    -- was used is not drawn again. One attempt in four quadrillion repeats a number: three in a row are a broken draw.
    for attempt in 0..2 loop
      reference := case net.family when 'ton' then 'text:' else 'id:' end || amn.fresh_number(id, attempt);
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

revoke all on function amn.ton_reference_trouble from public;
