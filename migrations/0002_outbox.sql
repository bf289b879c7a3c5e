-- The outbox: an event on its way to each endpoint that wants it. Rows are made in the transaction of the decision.

create table amn.endpoint (
  id uuid primary key,
  -- null = the operator's own: networks halted and resumed, money of no tenant.
  tenant_id text references amn.tenant (id),
  url text not null,
  secret text not null,
  -- Signed with as well until then, so that a receiver can change over.
  previous_secret text,
  previous_until timestamptz,
  -- null = every event.
  events text[],
  status text not null default 'active' check (status in ('active', 'paused')),
  paused_reason text,
  created_at timestamptz not null,
  deleted_at timestamptz,
  check ((previous_secret is null) = (previous_until is null))
);
create index endpoint_tenant on amn.endpoint ((coalesce(tenant_id, ''))) where deleted_at is null;

-- Small and hot: claimed and finished by updates of columns that no index holds (HOT), deleted when delivered.
create table amn.delivery (
  id bigint generated always as identity primary key,
  event_id uuid not null references amn.event (id),
  endpoint_id uuid not null references amn.endpoint (id),
  intent_id uuid,
  sequence bigint,
  -- One more at every redrive.
  generation integer not null default 1,
  attempts integer not null default 0,
  next_at timestamptz not null,
  lease_until timestamptz,
  -- The fencing token: only its holder may record the outcome.
  claim_id uuid,
  first_attempt_at timestamptz,
  -- One row per event and endpoint: redriving what is pending changes nothing.
  unique (event_id, endpoint_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index delivery_endpoint on amn.delivery (endpoint_id, id);
create index delivery_order on amn.delivery (endpoint_id, intent_id, sequence) where intent_id is not null;

create table amn.attempt (
  id bigint generated always as identity primary key,
  event_id uuid not null references amn.event (id),
  endpoint_id uuid not null references amn.endpoint (id),
  generation integer not null,
  attempt integer not null,
  at timestamptz not null,
  duration_ms integer not null,
  outcome text not null check (outcome in ('delivered', 'retry', 'dead')),
  status_code smallint,
  -- What went wrong, in our words; never the receiver's headers.
  error text,
  -- At most 1 KiB of the answer, for the person who looks into it.
  response text
);
create index attempt_event on amn.attempt (event_id, endpoint_id);

create table amn.dead_letter (
  event_id uuid not null references amn.event (id),
  endpoint_id uuid not null references amn.endpoint (id),
  generation integer not null,
  attempts integer not null,
  reason text not null,
  at timestamptz not null,
  redriven_at timestamptz,
  primary key (event_id, endpoint_id, generation)
);
create index dead_letter_open on amn.dead_letter (at) where redriven_at is null;
