-- The ledger: where each network stands, what is watched, what was expected, what arrived, what was told.
--
-- Every decision begins with: update amn.network set revision = revision + 1 where id = $1 and revision = $2.
-- Invariants are constraints here, with their reason beside them. Heights and amounts are integers.

create schema if not exists amn;

-- A count of smallest units, as core::money::Amount: 128 bits, never negative.
create domain amn.amount as numeric(39, 0)
  check (value >= 0 and value <= 340282366920938463463374607431768211455);

create domain amn.hash as bytea check (octet_length(value) = 32);

create table amn.tenant (
  id text primary key check (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
  -- Watch-only account key that addresses are derived from; never a private key.
  xpub text check (xpub like '%pub%'),
  next_index bigint not null default 0 check (next_index between 0 and 2147483647),
  created_at timestamptz not null default now()
);

create table amn.network (
  id text primary key,
  family text not null check (family in ('evm', 'soroban', 'ton', 'fake')),
  -- CAIP-2. A network never changes the chain it speaks of.
  chain text not null,
  -- The fence: every decision adds one.
  revision bigint not null default 0,
  -- Adds one whenever remembered headers change, so that a reader may keep them in memory.
  chain_revision bigint not null default 0,
  -- The newest watch; new watches take the next number under this row's lock, so that numbers become visible in order.
  watch_version bigint not null default 0,
  -- Where the ledger begins: the checkpoint the first segment stands on.
  start_height bigint check (start_height >= 0),
  tip_height bigint check (tip_height >= start_height),
  tip_hash amn.hash,
  tip_parent amn.hash,
  tip_time timestamptz,
  safe_height bigint,
  safe_hash amn.hash,
  finalized_height bigint,
  finalized_hash amn.hash,
  -- The highest block of our chain that each operator gave: {"operator": {"height": 1, "hash": "0x…"}}.
  vouchers jsonb not null default '{}',
  checkpoint jsonb not null default '[]',
  halt_reason text,
  halt_detail text,
  halted_at timestamptz,
  -- The hash an operator of this daemon accepted as the way out of a fork halt.
  accept_fork amn.hash,
  -- The policy of the network's file, as last started with; overrides are in amn.policy_override.
  policy jsonb not null default '{}',
  block_time_ms bigint not null default 1000,
  -- Blocks between two looks at native balances; null = never, and nothing waits for one.
  balance_check bigint check (balance_check > 0),
  -- A tip is known whole or not at all.
  check ((tip_height is null) = (tip_hash is null) and (tip_height is null) = (tip_parent is null)
    and (tip_height is null) = (tip_time is null) and (tip_height is null) = (start_height is null)),
  check ((safe_height is null) = (safe_hash is null)),
  check ((finalized_height is null) = (finalized_hash is null)),
  -- A halt says why.
  check ((halt_reason is null) = (halted_at is null))
);

-- Saves double work on a network; the revision is what protects it.
create table amn.lease (
  network_id text primary key references amn.network (id),
  holder uuid not null,
  until timestamptz not null
);

create table amn.asset (
  network_id text not null references amn.network (id),
  id text not null,
  symbol text not null,
  decimals smallint not null check (decimals between 0 and 77),
  native boolean not null default false,
  listed boolean not null default true,
  primary key (network_id, id)
);

-- Headers above `finalized` and some below it, for walking back and for expiry.
create table amn.header (
  network_id text not null references amn.network (id),
  height bigint not null,
  hash amn.hash not null,
  parent amn.hash not null,
  time timestamptz not null,
  primary key (network_id, height)
);

-- Every height is accounted for: each stretch stands on the end of another.
create table amn.segment (
  network_id text not null references amn.network (id),
  from_height bigint not null,
  to_height bigint not null,
  parent_height bigint,
  parent_hash amn.hash,
  tip_hash amn.hash not null,
  coverage text not null check (coverage in ('checkpoint', 'linked', 'listed')),
  -- The watches it was read with, and whether transactions were read for native money.
  watch_version bigint not null,
  read_at timestamptz not null,
  primary key (network_id, from_height),
  unique (network_id, to_height, tip_hash),
  check (to_height >= from_height),
  -- Contiguous by constraint: a stretch begins one above a stretch that ends in its parent …
  check ((parent_height is null and coverage = 'checkpoint') or from_height = parent_height + 1),
  foreign key (network_id, parent_height, parent_hash) references amn.segment (network_id, to_height, tip_hash)
    deferrable initially deferred,
  -- … and no two stand on the same block.
  unique (network_id, parent_height)
);
-- One beginning per network.
create unique index segment_one_checkpoint on amn.segment (network_id) where parent_height is null;

create table amn.watch (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  address text not null,
  -- Hexadecimal addresses are one address in any case.
  address_key text not null generated always as (case when address like '0x%' then lower(address) else address end) stored,
  -- '' = no reference: the watch owns its address alone.
  reference text not null default '',
  tenant_id text not null references amn.tenant (id),
  intent_id uuid not null,
  version bigint not null,
  -- The first height that must be read for it.
  since_height bigint not null,
  -- What was covered without it and must be read again before it counts as covered.
  backfill_from bigint,
  backfill_to bigint,
  -- Whether transactions are read for native money arriving here.
  native boolean not null,
  -- The native balance when it was last compared with what is known, and the block it was read at.
  balance amn.amount,
  balance_height bigint,
  balance_time timestamptz,
  created_at timestamptz not null default now(),
  check ((balance is null) = (balance_height is null) and (balance is null) = (balance_time is null)),
  check ((backfill_from is null) = (backfill_to is null)),
  -- A key is reserved for ever once used; reuse points the same row at a new intent.
  unique (network_id, address_key, reference)
);
create unique index watch_version on amn.watch (network_id, version);
create index watch_backfill on amn.watch (network_id) where backfill_from is not null;
create index watch_intent on amn.watch (intent_id);

create table amn.intent (
  id uuid primary key,
  tenant_id text not null references amn.tenant (id),
  network_id text not null references amn.network (id),
  asset_id text not null,
  address text not null,
  reference text,
  due amn.amount not null check (due > 0),
  tolerance amn.amount not null default 0 check (tolerance < due),
  expires_at timestamptz,
  -- Terms of its own, AND-ed to the network's policy.
  require jsonb not null default '{}',
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object' and pg_column_size(metadata) <= 8192),
  derivation_index bigint,
  status text not null default 'awaiting'
    check (status in ('awaiting', 'detected', 'confirmed', 'expired', 'canceled', 'late', 'reversed')),
  -- Recorded facts the status is computed from.
  ended text check (ended in ('expired', 'canceled')),
  ended_at timestamptz,
  -- What had settled when a person accepted it as enough.
  accepted amn.amount,
  was_reversed boolean not null default false,
  received amn.amount not null default 0,
  settled amn.amount not null default 0,
  late amn.amount not null default 0,
  -- The last event's number; events of an intent are 1..sequence without gaps.
  sequence bigint not null default 0,
  created_at timestamptz not null default now(),
  foreign key (network_id, asset_id) references amn.asset (network_id, id),
  check ((ended is null) = (ended_at is null))
);
create index intent_expiry on amn.intent (network_id, expires_at) where status in ('awaiting', 'detected', 'reversed');
create index intent_page on amn.intent (tenant_id, created_at, id);

alter table amn.watch add foreign key (intent_id) references amn.intent (id) deferrable initially deferred;

-- The same allow-list as core::intent::Status::may_become.
create function amn.check_intent_move() returns trigger language plpgsql as $$
begin
  if new.status <> old.status and not (old.status || ' ' || new.status) in (
    'awaiting detected', 'detected confirmed', 'detected awaiting', 'awaiting expired', 'detected expired',
    'awaiting canceled', 'expired late', 'canceled late', 'late expired', 'late canceled',
    'late confirmed', 'expired confirmed', 'confirmed reversed',
    'reversed awaiting', 'reversed detected', 'reversed confirmed', 'reversed expired'
  ) then
    raise exception 'amn.intent % may not move from % to %', old.id, old.status, new.status
      using errcode = 'AMN90';
  end if;
  if new.sequence < old.sequence then
    raise exception 'amn.intent % may not lose events: % to %', old.id, old.sequence, new.sequence
      using errcode = 'AMN91';
  end if;
  return new;
end $$;
create trigger intent_move before update on amn.intent for each row execute function amn.check_intent_move();

create table amn.deposit (
  id uuid primary key,
  network_id text not null references amn.network (id),
  tx_hash amn.hash not null,
  kind text not null check (kind in ('token', 'native', 'proxy', 'internal')),
  index_in_tx integer not null check (index_in_tx >= 0),
  -- A known transfer that returns with other content is another one.
  occurrence integer not null check (occurrence >= 0),
  asset_id text not null,
  from_address text,
  to_address text not null,
  reference text,
  amount amn.amount not null,
  block_height bigint not null,
  block_hash amn.hash not null,
  block_time timestamptz not null,
  -- Its place among the transfers of its block: decisions are taken in this order.
  ordinal integer not null,
  status text not null check (status in ('seen', 'settled', 'retracted', 'reversed')),
  inclusion text not null check (inclusion in ('reported', 'proven')),
  operators text[] not null default '{}',
  attestations integer,
  -- Whether every header between its block and the tip was read and linked.
  linked boolean not null,
  tenant_id text not null references amn.tenant (id),
  intent_id uuid references amn.intent (id),
  -- Why it belongs to no intent.
  unmatched text,
  assigned boolean not null default false,
  late boolean not null default false,
  accepted boolean not null default false,
  -- Settling is a recorded fact: when, seen from which tip, under which policy.
  settled_at timestamptz,
  settled_tip_height bigint,
  settled_tip_hash amn.hash,
  settled_require jsonb,
  seen_at timestamptz not null,
  changed_at timestamptz not null,
  -- A transfer is counted once, however often we read its block.
  unique (network_id, tx_hash, kind, index_in_tx, occurrence),
  check ((intent_id is null) <> (unmatched is null)),
  check ((settled_at is null) = (settled_require is null) and (settled_at is null) = (settled_tip_height is null)),
  -- What counts as settled says since when.
  check (status not in ('settled', 'reversed') or settled_at is not null)
);
create index deposit_pending on amn.deposit (network_id, block_height) where status = 'seen';
create index deposit_block on amn.deposit (network_id, block_height);
create index deposit_intent on amn.deposit (intent_id) where intent_id is not null;
create index deposit_to on amn.deposit (network_id, lower(to_address));

create function amn.refuse() returns trigger language plpgsql as $$
begin
  raise exception '%.% is never %d', tg_table_schema, tg_table_name, lower(tg_op) using errcode = 'AMN92';
end $$;
create trigger deposit_is_kept before delete on amn.deposit for each row execute function amn.refuse();
create trigger deposit_is_kept_whole before truncate on amn.deposit for each statement execute function amn.refuse();

create table amn.event (
  id uuid primary key,
  tenant_id text references amn.tenant (id),
  network_id text references amn.network (id),
  intent_id uuid references amn.intent (id),
  sequence bigint,
  event text not null,
  -- The bytes that are signed and sent at every attempt.
  body bytea not null,
  created_at timestamptz not null,
  -- The place in its tenant's feed; given by the sequencer to committed events only, so that a cursor never skips one.
  feed_number bigint,
  -- Every change is announced once and in order.
  unique (intent_id, sequence),
  check ((intent_id is null) = (sequence is null))
);
create unique index event_feed on amn.event ((coalesce(tenant_id, '')), feed_number) where feed_number is not null;
create index event_unnumbered on amn.event (created_at, id) where feed_number is null;

create table amn.feed (
  -- '' = the operator's own feed.
  tenant_id text primary key,
  last_number bigint not null default 0
);

create table amn.reorg (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  at timestamptz not null,
  fork_height bigint not null,
  fork_hash amn.hash not null,
  old_tip_height bigint not null,
  old_tip_hash amn.hash not null,
  new_tip_height bigint not null,
  new_tip_hash amn.hash not null,
  depth bigint not null check (depth > 0)
);

-- Seen, credited to nobody, and answerable when somebody asks.
create table amn.observation (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  at timestamptz not null,
  height bigint,
  block_hash amn.hash,
  kind text not null,
  tx_hash amn.hash,
  to_address text,
  detail text not null
);
create index observation_tx on amn.observation (network_id, tx_hash);
create index observation_at on amn.observation (network_id, id desc);

create table amn.policy_override (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  -- null = back to the network's file.
  policy jsonb,
  actor text not null,
  at timestamptz not null
);
create index policy_override_newest on amn.policy_override (network_id, id desc);

create table amn.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  actor text not null,
  action text not null,
  subject text not null,
  detail jsonb not null default '{}'
);
create trigger audit_is_append_only before update or delete on amn.audit for each row execute function amn.refuse();
create trigger audit_is_kept_whole before truncate on amn.audit for each statement execute function amn.refuse();

create table amn.api_key (
  id uuid primary key,
  -- null = an operator's key, for every tenant.
  tenant_id text references amn.tenant (id),
  name text not null,
  -- SHA-256 of a key with 256 bits of chance: nothing to guess, so no slow hash is needed.
  hash bytea not null unique check (octet_length(hash) = 32),
  scopes text[] not null,
  created_at timestamptz not null,
  revoked_at timestamptz
);

create table amn.idempotency_key (
  owner text not null,
  key text not null check (length(key) between 1 and 255),
  body_hash bytea not null,
  status smallint not null,
  answer jsonb not null,
  created_at timestamptz not null,
  primary key (owner, key)
);
create index idempotency_key_age on amn.idempotency_key (created_at);
