//! Confirmation policies: the one of the network's file, and an operator's override.

use amn_core::confirmation::Policy;
use amn_core::timestamp::Timestamp;
use sqlx::PgPool;

use super::StoreError;
use super::row::{Place, moment, timestamp};

/// A network's policy and where it comes from.
#[derive(Debug)]
pub struct Thresholds {
    pub file: Policy,
    /// The newest change by an operator; a change to `None` went back to the file.
    pub changed: Option<Change>,
}

#[derive(Debug)]
pub struct Change {
    pub policy: Option<Policy>,
    pub actor: String,
    pub at: Timestamp,
}

impl Thresholds {
    /// The policy in force.
    #[must_use]
    pub fn effective(&self) -> &Policy {
        self.changed.as_ref().and_then(|change| change.policy.as_ref()).unwrap_or(&self.file)
    }
}

pub async fn get(pool: &PgPool, network: &str) -> Result<Option<Thresholds>, StoreError> {
    let row = sqlx::query!(
        r#"select n.policy as file, o.policy as "policy?", o.actor as "actor?", o.at as "at?"
        from amn.network n
        left join lateral (
          select policy, actor, at from amn.policy_override where network_id = n.id order by id desc limit 1
        ) o on true
        where n.id = $1"#,
        network
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    // A network that never started has no policy yet.
    let file = match row.file {
        serde_json::Value::Object(fields) if fields.is_empty() => Policy::default(),
        file => Place { table: "network", id: &network }.json("policy", file)?,
    };
    let place = Place { table: "policy_override", id: &network };
    let policy = row.policy.map(|policy| place.json("policy", policy)).transpose()?;
    let changed = row.actor.zip(row.at).map(|(actor, at)| Change { policy, actor, at: timestamp(at) });
    Ok(Some(Thresholds { file, changed }))
}

/// Writes an override, or takes it back; `false` where there is no such network.
///
/// It is a decision: the revision moves, so that whoever decided under the old policy reads it again.
pub async fn put(
    pool: &PgPool,
    network: &str,
    policy: Option<&Policy>,
    actor: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let there =
        sqlx::query!("update amn.network set revision = revision + 1 where id = $1", network).execute(&mut *tx).await?;
    if there.rows_affected() == 0 {
        return Ok(false);
    }
    let policy = policy.map(|policy| serde_json::to_value(policy).unwrap_or_default());
    sqlx::query!(
        "insert into amn.policy_override (network_id, policy, actor, at)
        values ($1, $2, $3, $4)",
        network,
        policy,
        actor,
        moment(now)
    )
    .execute(&mut *tx)
    .await?;
    let detail = serde_json::json!({ "policy": policy });
    super::read::audit(&mut tx, now, actor, "thresholds.put", network, &detail).await?;
    tx.commit().await?;
    Ok(true)
}
