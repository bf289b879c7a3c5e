//! Deliveries: made with their event, claimed with a lease and a fencing token, recorded by the holder.
//!
//! Claims and records commit asynchronously: what a crash of the database takes back is sent again, which
//! at-least-once allows, and no delivery waits for a disk. Events themselves are on disk before a claim sees them.

use amn_core::timestamp::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::store::row::{moment, timestamp};

/// How long a failing predecessor holds the later events of its intent.
pub const HOLD_MS: i64 = 60 * 60 * 1_000;

/// Makes a delivery for each event and each endpoint that hears it, in the transaction of the decision.
/// Answers how many were made; a repeat makes none.
///
/// Who hears an event: the endpoints of its tenant that want it (paused ones too: their deliveries wait).
/// An event without tenant (`network.*`) goes to the operator's endpoints. Money that no endpoint of its tenant
/// would hear of (`deposit.unmatched`, `deposit.reversed`) goes to the operator's as well, so that somebody does.
pub async fn enqueue(connection: &mut PgConnection, event_ids: &[Uuid], now: Timestamp) -> Result<u64, sqlx::Error> {
    let made = sqlx::query!(
        r#"
        with listening as (
          select e.id as event_id, e.intent_id, e.sequence, w.id as endpoint_id
          from amn.event e
          join amn.endpoint w on coalesce(w.tenant_id, '') = coalesce(e.tenant_id, '')
          where e.id = any($1)
            and w.deleted_at is null
            and (w.events is null or e.event = any(w.events))
        ), unheard as (
          select e.id as event_id, e.intent_id, e.sequence, w.id as endpoint_id
          from amn.event e
          join amn.endpoint w on coalesce(w.tenant_id, '') = ''
          where e.id = any($1)
            and e.tenant_id is not null
            and e.event in ('deposit.unmatched', 'deposit.reversed')
            and w.deleted_at is null
            and (w.events is null or e.event = any(w.events))
            and not exists (select from listening l where l.event_id = e.id)
        )
        insert into amn.delivery (event_id, endpoint_id, intent_id, sequence, next_at)
        select t.event_id, t.endpoint_id, t.intent_id, t.sequence, $2
        from (select * from listening union all select * from unheard) t
        -- Deliveries are claimed in the order of their ids.
        order by t.sequence, t.event_id
        on conflict (event_id, endpoint_id) do nothing
        "#,
        event_ids,
        moment(now),
    )
    .execute(connection)
    .await?;
    Ok(made.rows_affected())
}

/// Makes a delivery of one event to one endpoint, whatever it listens to.
pub async fn enqueue_to(
    executor: impl PgExecutor<'_>,
    event: Uuid,
    endpoint: Uuid,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        insert into amn.delivery (event_id, endpoint_id, intent_id, sequence, next_at)
        select e.id, $2, e.intent_id, e.sequence, $3
        from amn.event e
        where e.id = $1
        on conflict (event_id, endpoint_id) do nothing
        ",
        event,
        endpoint,
        moment(now),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many deliveries an endpoint may still take; endpoints not named take the usual number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub endpoint: Uuid,
    pub free: u32,
}

/// What one claim asks for.
#[derive(Debug)]
pub struct Claim<'a> {
    pub id: Uuid,
    pub now: Timestamp,
    pub lease_until: Timestamp,
    /// At most so many in all …
    pub most: u32,
    /// … and of one endpoint, except those in `rooms`.
    pub per_endpoint: u32,
    pub rooms: &'a [Room],
}

/// A delivery we hold until its lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub id: i64,
    pub event: Uuid,
    pub endpoint: Uuid,
    pub intent: Option<Uuid>,
    pub sequence: Option<i64>,
    pub attempts: i32,
    pub body: Vec<u8>,
    pub created_at: Timestamp,
    pub url: String,
    pub secret: String,
    pub previous_secret: Option<String>,
    pub previous_until: Option<Timestamp>,
    /// Lower events of the same intent and endpoint that must be delivered first.
    pub holders: i64,
    /// Whether it holds the later ones itself.
    pub holds: bool,
}

/// Takes what is due, endpoint by endpoint, so that a long queue of one delays no other.
///
/// A delivery whose predecessor is not to be had in this claim is left; one whose predecessor is due as well is
/// taken with it and says so in `holders`: the caller sends them in order, or gives it back.
pub async fn claim(executor: impl PgExecutor<'_>, claim: &Claim<'_>) -> Result<Vec<Claimed>, sqlx::Error> {
    let endpoints: Vec<_> = claim.rooms.iter().map(|room| room.endpoint).collect();
    let free: Vec<_> = claim.rooms.iter().map(|room| i64::from(room.free)).collect();
    let young_since = moment(Timestamp::from_millis(claim.now.millis().saturating_sub(HOLD_MS)));
    let rows = sqlx::query!(
        r#"
        with recursive waiting as (
          -- Every endpoint that has deliveries, by hopping through the index: its cost is endpoints, not deliveries.
          (select d.endpoint_id from amn.delivery d order by d.endpoint_id limit 1)
          union all
          select (select d.endpoint_id from amn.delivery d where d.endpoint_id > w.endpoint_id order by d.endpoint_id limit 1)
          from waiting w
          where w.endpoint_id is not null
        ), listening as materialized (
          select w.id, coalesce(room.free, $5) as free
          from waiting
          join amn.endpoint w on w.id = waiting.endpoint_id
          left join unnest($6::uuid[], $7::bigint[]) as room (endpoint_id, free) on room.endpoint_id = w.id
          where w.status = 'active'
            and w.deleted_at is null
        ), picked as (
          select due.id, row_number() over (partition by due.endpoint_id order by due.id) as place
          from listening
          cross join lateral (
            select d.id, d.endpoint_id
            from amn.delivery d
            where d.endpoint_id = listening.id
              and d.next_at <= $2
              and (d.lease_until is null or d.lease_until <= $2)
              and not exists (
                select from amn.delivery before
                where before.endpoint_id = d.endpoint_id
                  and before.intent_id = d.intent_id
                  and before.sequence < d.sequence
                  and (before.first_attempt_at is null or before.first_attempt_at > $8)
                  -- It waits, is held, or was redriven and comes later in this very order.
                  and (before.next_at > $2 or before.lease_until > $2 or before.id > d.id)
              )
            order by d.id
            limit listening.free
            for update skip locked
          ) due
        ), taken as (
          update amn.delivery d
          set lease_until = $3, claim_id = $1
          from (select id from picked order by place, id limit $4) chosen
          where d.id = chosen.id
          returning d.id, d.event_id, d.endpoint_id, d.intent_id, d.sequence, d.attempts, d.first_attempt_at
        )
        select
          t.id as "id!", t.event_id as "event_id!", t.endpoint_id as "endpoint_id!", t.intent_id, t.sequence,
          t.attempts as "attempts!",
          e.body, e.created_at,
          w.url, w.secret, w.previous_secret, w.previous_until,
          (
            select count(*)
            from amn.delivery before
            where before.endpoint_id = t.endpoint_id
              and before.intent_id = t.intent_id
              and before.sequence < t.sequence
              and (before.first_attempt_at is null or before.first_attempt_at > $8)
          ) as "holders!",
          (t.first_attempt_at is null or t.first_attempt_at > $8) as "holds!",
          set_config('synchronous_commit', 'off', true) as "relaxed!"
        from taken t
        join amn.event e on e.id = t.event_id
        join amn.endpoint w on w.id = t.endpoint_id
        order by t.id
        "#,
        claim.id,
        moment(claim.now),
        moment(claim.lease_until),
        i64::from(claim.most),
        i64::from(claim.per_endpoint),
        &endpoints,
        &free,
        young_since,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Claimed {
            id: row.id,
            event: row.event_id,
            endpoint: row.endpoint_id,
            intent: row.intent_id,
            sequence: row.sequence,
            attempts: row.attempts,
            body: row.body,
            created_at: timestamp(row.created_at),
            url: row.url,
            secret: row.secret,
            previous_secret: row.previous_secret,
            previous_until: row.previous_until.map(timestamp),
            holders: row.holders,
            holds: row.holds,
        })
        .collect())
}

/// What became of a delivery we hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Delivered,
    Retry {
        at: Timestamp,
    },
    Dead {
        reason: String,
        pause: bool,
    },
    /// Given back untried: it costs no attempt.
    Released,
}

/// One outcome to record.
#[derive(Debug, Clone)]
pub struct Finished {
    pub id: i64,
    pub endpoint: Uuid,
    pub claim: Uuid,
    pub end: End,
    pub at: Timestamp,
    pub duration_ms: u32,
    pub status_code: Option<u16>,
    pub error: Option<String>,
    pub response: Option<String>,
}

/// Records a batch in one statement. Answers how many of them we still held: a zombie's outcome changes nothing.
pub async fn record(executor: impl PgExecutor<'_>, batch: &[Finished]) -> Result<u64, sqlx::Error> {
    let mut columns = Columns::default();
    for finished in batch {
        columns.push(finished);
    }
    let held = sqlx::query_scalar!(
        r#"
        with done as (
          select *
          from unnest(
            $1::bigint[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::boolean[],
            $7::timestamptz[], $8::int[], $9::smallint[], $10::text[], $11::text[]
          ) as done (id, claim_id, outcome, next_at, reason, pause, at, duration_ms, status_code, error, response)
        ), gone as (
          delete from amn.delivery d
          using done
          where d.id = done.id
            and d.claim_id = done.claim_id
            and done.outcome in ('delivered', 'dead')
          returning d.id, d.event_id, d.endpoint_id, d.generation, d.attempts + 1 as attempt
        ), kept as (
          update amn.delivery d
          set lease_until = null, claim_id = null,
            next_at = coalesce(done.next_at, d.next_at),
            attempts = d.attempts + (done.outcome = 'retry')::int,
            first_attempt_at = coalesce(d.first_attempt_at, case when done.outcome = 'retry' then done.at end)
          from done
          where d.id = done.id
            and d.claim_id = done.claim_id
            and done.outcome in ('retry', 'released')
          returning d.id, d.event_id, d.endpoint_id, d.generation, d.attempts as attempt
        ), held as (
          select * from gone union all select * from kept
        ), tried as (
          insert into amn.attempt (event_id, endpoint_id, generation, attempt, at, duration_ms, outcome, status_code, error, response)
          select held.event_id, held.endpoint_id, held.generation, held.attempt,
            done.at, done.duration_ms, done.outcome, done.status_code, done.error, done.response
          from held
          join done using (id)
          where done.outcome <> 'released'
        ), buried as (
          insert into amn.dead_letter (event_id, endpoint_id, generation, attempts, reason, at)
          select gone.event_id, gone.endpoint_id, gone.generation, gone.attempt, done.reason, done.at
          from gone
          join done using (id)
          where done.outcome = 'dead'
        ), paused as (
          update amn.endpoint w
          set status = 'paused', paused_reason = 'the receiver answered 410 Gone'
          where w.status = 'active'
            and w.id in (select gone.endpoint_id from gone join done using (id) where done.pause)
        )
        select count(*) as "held!" from held, set_config('synchronous_commit', 'off', true)
        "#,
        &columns.ids,
        &columns.claims,
        &columns.outcomes as &[&str],
        &columns.next_at as &[Option<time::OffsetDateTime>],
        &columns.reasons as &[Option<&str>],
        &columns.pauses,
        &columns.at,
        &columns.durations,
        &columns.status_codes as &[Option<i16>],
        &columns.errors as &[Option<&str>],
        &columns.responses as &[Option<&str>],
    )
    .fetch_one(executor)
    .await?;
    Ok(u64::try_from(held).unwrap_or(0))
}

/// A batch as the columns that `unnest` takes.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<i64>,
    claims: Vec<Uuid>,
    outcomes: Vec<&'static str>,
    next_at: Vec<Option<time::OffsetDateTime>>,
    reasons: Vec<Option<&'a str>>,
    pauses: Vec<bool>,
    at: Vec<time::OffsetDateTime>,
    durations: Vec<i32>,
    status_codes: Vec<Option<i16>>,
    errors: Vec<Option<&'a str>>,
    responses: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, finished: &'a Finished) {
        let (outcome, next_at, reason, pause) = match &finished.end {
            End::Delivered => ("delivered", None, None, false),
            End::Retry { at } => ("retry", Some(moment(*at)), None, false),
            End::Dead { reason, pause } => ("dead", None, Some(reason.as_str()), *pause),
            End::Released => ("released", None, None, false),
        };
        self.ids.push(finished.id);
        self.claims.push(finished.claim);
        self.outcomes.push(outcome);
        self.next_at.push(next_at);
        self.reasons.push(reason);
        self.pauses.push(pause);
        self.at.push(moment(finished.at));
        self.durations.push(i32::try_from(finished.duration_ms).unwrap_or(i32::MAX));
        self.status_codes.push(finished.status_code.and_then(|code| i16::try_from(code).ok()));
        self.errors.push(finished.error.as_deref());
        self.responses.push(finished.response.as_deref());
    }
}

/// When the next delivery of an active endpoint may be due, those in `except` aside; a time gone by means now.
pub async fn next_due(executor: impl PgExecutor<'_>, except: &[Uuid]) -> Result<Option<Timestamp>, sqlx::Error> {
    let due = sqlx::query_scalar!(
        r#"
        with recursive waiting as (
          (select d.endpoint_id from amn.delivery d order by d.endpoint_id limit 1)
          union all
          select (select d.endpoint_id from amn.delivery d where d.endpoint_id > w.endpoint_id order by d.endpoint_id limit 1)
          from waiting w
          where w.endpoint_id is not null
        )
        select min(soonest.at) as due
        from waiting
        join amn.endpoint w on w.id = waiting.endpoint_id
        -- One by one, so that what waits for a paused or a resting endpoint is not read.
        cross join lateral (
          select min(greatest(d.next_at, d.lease_until)) as at from amn.delivery d where d.endpoint_id = w.id
        ) soonest
        where w.status = 'active'
          and w.deleted_at is null
          and w.id <> all($1)
        "#,
        except,
    )
    .fetch_one(executor)
    .await?;
    Ok(due.map(timestamp))
}

/// What waits, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Never tried, or within the fast lane.
    pub fast: i64,
    pub slow: i64,
    /// Of endpoints that are paused.
    pub paused: i64,
    /// When the oldest event was made that an active endpoint still waits for.
    pub oldest: Option<Timestamp>,
}

/// Counts what waits. It reads the whole table, which is small: ask seldom.
pub async fn backlog(executor: impl PgExecutor<'_>, fast_attempts: u32) -> Result<Backlog, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select
          count(*) filter (where w.status = 'active' and d.attempts <= $1) as "fast!",
          count(*) filter (where w.status = 'active' and d.attempts > $1) as "slow!",
          count(*) filter (where w.status = 'paused') as "paused!",
          min(e.created_at) filter (where w.status = 'active') as oldest
        from amn.delivery d
        join amn.endpoint w on w.id = d.endpoint_id
        join amn.event e on e.id = d.event_id
        "#,
        i32::try_from(fast_attempts).unwrap_or(i32::MAX),
    )
    .fetch_one(executor)
    .await?;
    Ok(Backlog { fast: row.fast, slow: row.slow, paused: row.paused, oldest: row.oldest.map(timestamp) })
}

/// Removes attempts before a time, at most so many; how many were.
pub async fn forget_attempts(executor: impl PgExecutor<'_>, before: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        delete from amn.attempt
        where id in (select a.id from amn.attempt a where a.at < $1 order by a.id limit $2)
        "#,
        moment(before),
        most,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}
