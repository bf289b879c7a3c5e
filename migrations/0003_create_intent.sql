-- The one way an intent comes to be: the HTTP path calls it, and a backend that shares the database may call it too.
-- grant usage on schema amn, and execute on this function, to the backend's role; tables stay closed.
--
-- Errors carry a code of our own:
-- AMN01 unknown network · AMN02 unknown asset · AMN03 bad address · AMN04 key taken · AMN05 bad amount · AMN06 since out of range

create function amn.create_intent(
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

revoke all on all tables in schema amn from public;
revoke all on function amn.create_intent from public;
