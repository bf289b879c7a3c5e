//! Requests that may be sent twice: the first answer is kept, and given again.

use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::row::moment;

/// What is known of a key.
#[derive(Debug)]
pub enum Claim {
    /// Ours until the transaction ends: do the work, then [`record`].
    Free,
    /// Done before, with the same body: give this again.
    Answered { status: u16, answer: Value },
    /// Done before, with another body.
    OtherBody,
}

/// Claims a key for this transaction. Whoever comes with the same key meanwhile waits here, then sees our answer.
pub async fn claim(db: &mut PgConnection, owner: &str, key: &str, body: &[u8; 32]) -> Result<Claim, sqlx::Error> {
    // Two numbers that collide only make two strangers wait for one another.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))", owner, key)
        .execute(&mut *db)
        .await?;
    let known = sqlx::query!(
        "select body_hash, status, answer
        from amn.idempotency_key
        where owner = $1 and key = $2",
        owner,
        key
    )
    .fetch_optional(db)
    .await?;
    Ok(match known {
        None => Claim::Free,
        Some(row) if row.body_hash != body => Claim::OtherBody,
        Some(row) => Claim::Answered { status: u16::try_from(row.status).unwrap_or(200), answer: row.answer },
    })
}

/// Keeps the answer, in the transaction that did the work.
pub async fn record(
    db: &mut PgConnection,
    owner: &str,
    key: &str,
    body: &[u8; 32],
    answer: (u16, &Value),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into amn.idempotency_key (owner, key, body_hash, status, answer, created_at)
        values ($1, $2, $3, $4, $5, $6)",
        owner,
        key,
        &body[..],
        i16::try_from(answer.0).unwrap_or(i16::MAX),
        answer.1,
        moment(now)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets answers from before; for the daemon's housekeeping. At most `limit` rows, so that no call takes long.
pub async fn forget(pool: &PgPool, before: Timestamp, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from amn.idempotency_key
        where ctid = any(array(
          select ctid from amn.idempotency_key where created_at < $1 order by created_at limit $2
        ))",
        moment(before),
        limit
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
