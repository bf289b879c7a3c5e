//! What is on its way to webhook endpoints, what was tried, and what was given up.

use amn_core::id::{EndpointId, EventId, IntentId};
use amn_core::timestamp::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::row::{Place, RowError, moment, timestamp};

/// How many live endpoints a tenant has, or the operator. Whoever counts too waits until this transaction ends,
/// so that two requests never pass the bound together.
pub async fn count_locked(db: &mut PgConnection, tenant: Option<&str>) -> Result<i64, sqlx::Error> {
    // Not the tenant's row: inserts of endpoints share that one, and two that both want more would stand for ever.
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('amn.endpoint ' || $1::text, 0))",
        tenant.unwrap_or("")
    )
    .execute(&mut *db)
    .await?;
    sqlx::query_scalar!(
        r#"select count(*) as "count!"
        from amn.endpoint
        where coalesce(tenant_id, '') = $1 and deleted_at is null"#,
        tenant.unwrap_or("")
    )
    .fetch_one(db)
    .await
}

/// An event on its way to one endpoint.
#[derive(Debug)]
pub struct Delivery {
    pub number: i64,
    pub event: EventId,
    pub kind: String,
    pub endpoint: EndpointId,
    pub endpoint_paused: bool,
    pub intent: Option<IntentId>,
    pub sequence: Option<u64>,
    pub generation: i32,
    pub attempts: i32,
    pub next_at: Timestamp,
    pub first_attempt_at: Option<Timestamp>,
}

struct DeliveryRow {
    id: i64,
    event_id: Uuid,
    event: String,
    endpoint_id: Uuid,
    paused: bool,
    intent_id: Option<Uuid>,
    sequence: Option<i64>,
    generation: i32,
    attempts: i32,
    next_at: time::OffsetDateTime,
    first_attempt_at: Option<time::OffsetDateTime>,
}

impl DeliveryRow {
    fn delivery(self) -> Result<Delivery, RowError> {
        let place = Place { table: "delivery", id: &self.id };
        Ok(Delivery {
            sequence: self.sequence.map(|n| place.count("sequence", n)).transpose()?,
            number: self.id,
            event: EventId(self.event_id.as_u128()),
            kind: self.event,
            endpoint: EndpointId(self.endpoint_id.as_u128()),
            endpoint_paused: self.paused,
            intent: self.intent_id.map(|id| IntentId(id.as_u128())),
            generation: self.generation,
            attempts: self.attempts,
            next_at: timestamp(self.next_at),
            first_attempt_at: self.first_attempt_at.map(timestamp),
        })
    }
}

/// Which deliveries or dead letters a page shows.
#[derive(Debug, Default)]
pub struct Filter {
    pub tenant: Option<String>,
    pub endpoint: Option<EndpointId>,
    pub event: Option<EventId>,
}

impl Filter {
    fn endpoint(&self) -> Option<Uuid> {
        self.endpoint.map(|id| Uuid::from_u128(id.0))
    }

    fn event(&self) -> Option<Uuid> {
        self.event.map(|id| Uuid::from_u128(id.0))
    }
}

/// What is pending, oldest first.
pub async fn deliveries(pool: &PgPool, filter: &Filter, after: i64, limit: i64) -> Result<Vec<Delivery>, StoreError> {
    let rows = sqlx::query_as!(
        DeliveryRow,
        r#"select d.id, d.event_id, e.event, d.endpoint_id, w.status = 'paused' as "paused!", d.intent_id, d.sequence,
          d.generation, d.attempts, d.next_at, d.first_attempt_at
        from amn.delivery d
        join amn.event e on e.id = d.event_id
        join amn.endpoint w on w.id = d.endpoint_id
        where d.id > $1
          and ($2::text is null or w.tenant_id = $2)
          and ($3::uuid is null or d.endpoint_id = $3)
          and ($4::uuid is null or d.event_id = $4)
        order by d.id
        limit $5"#,
        after,
        filter.tenant.as_deref(),
        filter.endpoint(),
        filter.event(),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(DeliveryRow::delivery).collect::<Result<_, _>>()?)
}

/// A delivery that was given up.
#[derive(Debug)]
pub struct DeadLetter {
    pub event: EventId,
    pub kind: String,
    pub endpoint: EndpointId,
    pub intent: Option<IntentId>,
    pub generation: i32,
    pub attempts: i32,
    pub reason: String,
    pub at: Timestamp,
    pub redriven_at: Option<Timestamp>,
}

/// The last dead letter of a page; its whole key, because many fall at one time.
#[derive(Debug, Clone, Copy)]
pub struct AfterLetter {
    pub at: Timestamp,
    pub event: EventId,
    pub endpoint: EndpointId,
    pub generation: i32,
}

/// What was given up, newest first; `open`: only what was not sent again since.
pub async fn dead_letters(
    pool: &PgPool,
    filter: &Filter,
    open: bool,
    after: Option<AfterLetter>,
    limit: i64,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select l.event_id, e.event, l.endpoint_id, e.intent_id, l.generation, l.attempts, l.reason, l.at, l.redriven_at
        from amn.dead_letter l
        join amn.event e on e.id = l.event_id
        join amn.endpoint w on w.id = l.endpoint_id
        where (not $1 or l.redriven_at is null)
          and ($2::text is null or w.tenant_id = $2)
          and ($3::uuid is null or l.endpoint_id = $3)
          and ($4::uuid is null or l.event_id = $4)
          and (l.at, l.event_id, l.endpoint_id, l.generation)
            < (coalesce($5, 'infinity'::timestamptz), coalesce($6, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid), coalesce($7, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid), coalesce($8, 2147483647))
        order by l.at desc, l.event_id desc, l.endpoint_id desc, l.generation desc
        limit $9"#,
        open,
        filter.tenant.as_deref(),
        filter.endpoint(),
        filter.event(),
        after.map(|a| moment(a.at)),
        after.map(|a| Uuid::from_u128(a.event.0)),
        after.map(|a| Uuid::from_u128(a.endpoint.0)),
        after.map(|a| a.generation),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| DeadLetter {
            event: EventId(row.event_id.as_u128()),
            kind: row.event,
            endpoint: EndpointId(row.endpoint_id.as_u128()),
            intent: row.intent_id.map(|id| IntentId(id.as_u128())),
            generation: row.generation,
            attempts: row.attempts,
            reason: row.reason,
            at: timestamp(row.at),
            redriven_at: row.redriven_at.map(timestamp),
        })
        .collect())
}

/// One try.
#[derive(Debug)]
pub struct Attempt {
    pub endpoint: EndpointId,
    pub generation: i32,
    pub attempt: i32,
    pub at: Timestamp,
    pub duration_ms: i32,
    pub outcome: String,
    pub status_code: Option<i16>,
    pub error: Option<String>,
}

/// The newest tries of one event. What the receiver answered stays in the database: it is the receiver's text.
pub async fn attempts(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Attempt>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select a.endpoint_id, a.generation, a.attempt, a.at, a.duration_ms, a.outcome, a.status_code, a.error
        from amn.attempt a
        join amn.endpoint w on w.id = a.endpoint_id
        where a.event_id = $1
          and ($2::text is null or w.tenant_id = $2)
        order by a.id desc
        limit $3"#,
        filter.event(),
        filter.tenant.as_deref(),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Attempt {
            endpoint: EndpointId(row.endpoint_id.as_u128()),
            generation: row.generation,
            attempt: row.attempt,
            at: timestamp(row.at),
            duration_ms: row.duration_ms,
            outcome: row.outcome,
            status_code: row.status_code,
            error: row.error,
        })
        .collect())
}

/// Whose event it is: `None` where there is no such event, `Some(None)` the operator's.
pub async fn event_tenant(pool: &PgPool, event: EventId) -> Result<Option<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!("select tenant_id from amn.event where id = $1", Uuid::from_u128(event.0))
        .fetch_optional(pool)
        .await
}
