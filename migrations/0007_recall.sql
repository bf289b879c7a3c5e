-- What was read, by whom, and what reading it once more showed.

-- Who a stretch was read from, so that it can be read once more from somebody else. null: several, or unknown.
alter table amn.segment add column read_by text;

alter table amn.asset
  -- The first height that was read with this asset and with this least amount or a lower one: below it nobody looked.
  add column since_height bigint not null default 0,
  add column min_amount amn.amount;

-- What the recall auditor measured, by how the blocks were read first. Counts only grow.
create table amn.recall (
  network_id text not null references amn.network (id),
  coverage text not null check (coverage in ('linked', 'listed')),
  -- Blocks read once more and compared.
  blocks bigint not null default 0,
  -- Watched transfers in them, those that were missed among them.
  transfers bigint not null default 0,
  misses bigint not null default 0,
  -- Deposits that their block does not hold.
  unfounded bigint not null default 0,
  -- Blocks of which somebody had another at their height: neither compared nor missed.
  disagreements bigint not null default 0,
  last_at timestamptz not null,
  last_height bigint not null,
  primary key (network_id, coverage),
  check (misses <= transfers)
);

-- Covered heights to be read once more, by a person's wish or because something was missed there.
create table amn.rescan (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  from_height bigint not null,
  to_height bigint not null,
  -- Where it goes on, after a restart too; one above the end when all of it was read.
  next_height bigint not null,
  why text not null check (why in ('asked', 'missed')),
  actor text not null,
  requested_at timestamptz not null,
  finished_at timestamptz,
  failed boolean not null default false,
  -- The last trouble, or why it failed.
  trouble text,
  -- Watched transfers in what was read so far, and how many of them were not known before.
  transfers bigint not null default 0,
  found bigint not null default 0,
  check (from_height <= to_height),
  check (next_height between from_height and to_height + 1),
  -- What failed says why.
  check (not failed or (finished_at is not null and trouble is not null))
);
-- Asking twice for what is under way is asking once.
create unique index rescan_open on amn.rescan (network_id, from_height, to_height) where finished_at is null;
create index rescan_page on amn.rescan (network_id, id desc);
