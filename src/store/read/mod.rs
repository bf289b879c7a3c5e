//! Reading for people and for the API: never locks, never decides.

pub mod contract_events;
pub mod deposits;
pub mod explain;
pub mod intents;
pub mod networks;
pub mod webhooks;

use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::moment;

/// Where a page went on from: the time and name of the last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub at: Timestamp,
    pub id: Uuid,
}

/// Says in the append-only log who did what.
pub async fn audit(
    db: &mut PgConnection,
    now: Timestamp,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into amn.audit (at, actor, action, subject, detail)
        values ($1, $2, $3, $4, $5)",
        moment(now),
        actor,
        action,
        subject,
        detail
    )
    .execute(db)
    .await?;
    Ok(())
}
