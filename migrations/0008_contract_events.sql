-- What contracts say: who listens to which, and what each was told.

-- Whether anybody ever listened to a contract here: where nobody did, no decision asks.
alter table amn.network add column listens boolean not null default false;

-- Who listens to what of a contract. Rows are made from the configuration and never deleted: one that is no longer
-- there is not active, and what it heard is still settled and told.
create table amn.contract_watch (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  contract text not null,
  tenant_id text not null references amn.tenant (id),
  -- Patterns, each a list of segments in their one spelling.
  topics jsonb not null check (jsonb_typeof(topics) = 'array'),
  -- SHA-256 of contract, tenant and topics: the lists may be longer than an index holds.
  name amn.hash not null,
  -- Its place among all watches of its network, from the same count as amn.watch.
  version bigint not null,
  -- The first height that counts for it.
  since_height bigint not null check (since_height >= 0),
  -- What was covered without it and must be read again.
  backfill_from bigint,
  backfill_to bigint,
  active boolean not null default true,
  created_at timestamptz not null,
  check ((backfill_from is null) = (backfill_to is null)),
  -- One wish, one row, however often the daemon starts.
  unique (network_id, name)
);
create unique index contract_watch_version on amn.contract_watch (network_id, version);
create index contract_watch_contract on amn.contract_watch (network_id, contract) where active;
create index contract_watch_backfill on amn.contract_watch (network_id) where backfill_from is not null;

-- What a contract said, for one tenant that listens. Never deleted.
create table amn.contract_event (
  -- Follows from what was said, where, and to whom: reading it again makes no second row.
  id uuid primary key,
  network_id text not null references amn.network (id),
  tenant_id text not null references amn.tenant (id),
  tx_hash amn.hash not null,
  operation integer not null check (operation >= 0),
  index_in_operation integer not null check (index_in_operation >= 0),
  -- Its place among all contract events of its block: it is told in this order.
  ordinal integer not null check (ordinal >= 0),
  contract text not null,
  -- JSON as it is told. Not jsonb: that refuses the character U+0000, which a contract may say.
  topics text not null,
  data text not null,
  block_height bigint not null,
  block_hash amn.hash not null,
  block_time timestamptz not null,
  status text not null check (status in ('seen', 'settled', 'retracted', 'reversed')),
  inclusion text not null check (inclusion in ('reported', 'proven')),
  operators text[] not null default '{}',
  attestations integer,
  -- Whether every header between its block and the tip was read and linked.
  linked boolean not null,
  settled_at timestamptz,
  settled_tip_height bigint,
  settled_tip_hash amn.hash,
  settled_require jsonb,
  -- How often its tenant was told: each time it settled, and each time that was undone.
  told integer not null default 0 check (told >= 0),
  seen_at timestamptz not null,
  changed_at timestamptz not null,
  check ((settled_at is null) = (settled_require is null) and (settled_at is null) = (settled_tip_height is null)),
  check (status not in ('settled', 'reversed') or settled_at is not null),
  -- Whoever was told last that it stands sees it stand, and nobody else does.
  check ((status = 'settled') = (told % 2 = 1))
);
-- One place of one transaction says one thing at a time.
create unique index contract_event_live on amn.contract_event (network_id, tenant_id, tx_hash, operation, index_in_operation)
  where status in ('seen', 'settled');
create index contract_event_tx on amn.contract_event (network_id, tx_hash);
create index contract_event_pending on amn.contract_event (network_id, block_height) where status = 'seen';
create index contract_event_block on amn.contract_event (network_id, block_height);
create index contract_event_page on amn.contract_event (seen_at, id);
create index contract_event_tenant_page on amn.contract_event (tenant_id, seen_at, id);
create trigger contract_event_is_kept before delete on amn.contract_event for each row execute function amn.refuse();
create trigger contract_event_is_kept_whole before truncate on amn.contract_event
  for each statement execute function amn.refuse();

-- What one decision of core::engine::sightings may leave behind: what comes back may settle at once.
create function amn.check_contract_event_move() returns trigger language plpgsql as $$
begin
  if new.status <> old.status and not (old.status || ' ' || new.status) in (
    'seen settled', 'seen retracted', 'settled reversed',
    'retracted seen', 'retracted settled', 'reversed seen', 'reversed settled'
  ) then
    raise exception 'amn.contract_event % may not move from % to %', old.id, old.status, new.status
      using errcode = 'AMN90';
  end if;
  if new.told < old.told then
    raise exception 'amn.contract_event % may not be told less: % to %', old.id, old.told, new.told
      using errcode = 'AMN91';
  end if;
  return new;
end $$;
create trigger contract_event_move before update on amn.contract_event
  for each row execute function amn.check_contract_event_move();

-- The order in which its network told it: the decision in the upper bits, its place in the decision in the lower 20.
-- Events of no intent have no sequence, and the feed must not shuffle what one decision told.
alter table amn.event add column ordinal bigint not null default 0;
