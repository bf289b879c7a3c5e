//! The feed: committed events in one order per tenant, for receivers that catch up without us.

use amn_core::timestamp::Timestamp;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::store::row::timestamp;

/// The operator's own feed is the one of nobody.
const OPERATOR: &str = "";

/// Key of the advisory lock: the letters `amn.feed`. Whoever holds it numbers; the others have nothing to do.
const SEQUENCER_LOCK: i64 = i64::from_be_bytes(*b"amn.feed");

/// What a round of numbering came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    Events(u64),
    /// Another daemon is at it.
    Elsewhere,
}

/// Numbers up to `most` committed events, oldest first, those of one intent in their sequence. One at a time: numbers become visible in their order.
pub async fn number(pool: &PgPool, most: u32) -> Result<Numbered, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // In a statement of its own: the next one must see what the lock's last holder committed.
    let ours = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "ours!""#, SEQUENCER_LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if !ours {
        return Ok(Numbered::Elsewhere);
    }
    let numbered = sqlx::query!(
        "
        with batch as (
          select e.id, coalesce(e.tenant_id, '') as tenant_id, e.created_at, e.sequence, e.ordinal
          from amn.event e
          where e.feed_number is null
          order by e.created_at, e.sequence, e.ordinal, e.id
          limit $1
        ), placed as (
          select b.id, b.tenant_id, row_number() over (partition by b.tenant_id order by b.created_at, b.sequence, b.ordinal, b.id) as place
          from batch b
        ), counted as (
          select p.tenant_id, count(*) as count from placed p group by p.tenant_id
        ), moved as (
          insert into amn.feed as f (tenant_id, last_number)
          select c.tenant_id, c.count from counted c
          on conflict (tenant_id) do update set last_number = f.last_number + excluded.last_number
          returning f.tenant_id, f.last_number
        )
        update amn.event e
        set feed_number = m.last_number - c.count + p.place
        from placed p
        join counted c on c.tenant_id = p.tenant_id
        join moved m on m.tenant_id = p.tenant_id
        where e.id = p.id
        ",
        i64::from(most),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Numbered::Events(numbered.rows_affected()))
}

/// An event as the feed shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// The cursor to ask on from.
    pub number: i64,
    pub id: Uuid,
    pub event: String,
    /// The bytes that were signed and sent.
    pub body: Vec<u8>,
    pub created_at: Timestamp,
}

/// The next events after a cursor (0: from the first), of one tenant, or of the operator's own feed.
pub async fn page(
    executor: impl PgExecutor<'_>,
    tenant: Option<&str>,
    after: i64,
    most: u32,
) -> Result<Vec<FeedEvent>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select e.feed_number as "number!", e.id, e.event, e.body, e.created_at
        from amn.event e
        where coalesce(e.tenant_id, '') = $1
          and e.feed_number > $2
        order by e.feed_number
        limit $3
        "#,
        tenant.unwrap_or(OPERATOR),
        after,
        i64::from(most),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| FeedEvent {
            number: row.number,
            id: row.id,
            event: row.event,
            body: row.body,
            created_at: timestamp(row.created_at),
        })
        .collect())
}
