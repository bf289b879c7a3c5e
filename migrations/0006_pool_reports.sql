-- What a daemon knows of its nodes lives in its memory. Here it says so, for commands and for other daemons; and here
-- it is told to think better of a node.

-- The newest word of each daemon on each network it serves. Overwritten every few seconds: history is in the metrics.
create table amn.pool_report (
  network_id text not null references amn.network (id),
  -- The same as the holder of the lease, where it follows the network.
  daemon uuid not null,
  at timestamptz not null,
  report jsonb not null check (jsonb_typeof(report) = 'object'),
  primary key (network_id, daemon)
) with (fillfactor = 50);

-- A wish that an endpoint be used again. Whoever made it waits for a daemon to obey, and takes it back if none does.
create table amn.endpoint_reset (
  id bigint generated always as identity primary key,
  network_id text not null references amn.network (id),
  endpoint text not null,
  -- Whether a distrusted one may prove itself at once.
  trust boolean not null,
  at timestamptz not null,
  obeyed_by uuid[] not null default '{}'
);
