//! What daemons say of their nodes, and what they are told about them: the one road between a command and a daemon.

use amn_core::block::NetworkId;
use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::StoreError;
use super::read::audit;
use super::row::{moment, timestamp};

/// What one daemon says of the nodes of a network.
#[derive(Debug, Clone)]
pub struct Told {
    pub daemon: Uuid,
    pub at: Timestamp,
    pub report: Value,
}

/// Says what this daemon knows, in the place of what it said before.
pub async fn tell(
    pool: &PgPool,
    daemon: Uuid,
    now: Timestamp,
    reports: &[(NetworkId, Value)],
) -> Result<(), StoreError> {
    let networks: Vec<String> = reports.iter().map(|(network, _)| network.to_string()).collect();
    let reports: Vec<Value> = reports.iter().map(|(_, report)| report.clone()).collect();
    sqlx::query!(
        r#"
        insert into amn.pool_report (network_id, daemon, at, report)
        select network_id, $1, $2, report
        from unnest($3::text[], $4::jsonb[]) as told (network_id, report)
        on conflict (network_id, daemon) do update set at = excluded.at, report = excluded.report
        "#,
        daemon,
        moment(now),
        &networks,
        &reports,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What is said of a network by whoever follows it; where nobody does, by whoever spoke last.
pub async fn told(pool: &PgPool, network: &NetworkId) -> Result<Option<Told>, StoreError> {
    let row = sqlx::query!(
        r#"
        select r.daemon, r.at, r.report
        from amn.pool_report r
        left join amn.lease l on l.network_id = r.network_id and l.holder = r.daemon
        where r.network_id = $1
        order by l.holder is null, r.at desc
        limit 1
        "#,
        network.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Told { daemon: row.daemon, at: timestamp(row.at), report: row.report }))
}

/// Forgets daemons that are silent since `before`.
pub async fn forget(pool: &PgPool, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("delete from amn.pool_report where at < $1", moment(before)).execute(pool).await?;
    sqlx::query!("delete from amn.endpoint_reset where at < $1", moment(before)).execute(pool).await?;
    Ok(())
}

/// A wish that an endpoint be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    pub id: i64,
    pub network: NetworkId,
    pub endpoint: String,
    /// Whether a distrusted one may prove itself at once.
    pub trust: bool,
}

/// Asks all daemons for a reset, audited; its number.
pub async fn ask_reset(
    pool: &PgPool,
    network: &NetworkId,
    endpoint: &str,
    trust: bool,
    actor: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let mut tx = pool.begin().await?;
    let id = sqlx::query_scalar!(
        "insert into amn.endpoint_reset (network_id, endpoint, trust, at) values ($1, $2, $3, $4) returning id",
        network.as_str(),
        endpoint,
        trust,
        moment(now),
    )
    .fetch_one(&mut *tx)
    .await?;
    let detail = serde_json::json!({ "endpoint": endpoint, "trust": trust });
    audit(&mut tx, now, actor, "endpoint.reset", network.as_str(), &detail).await?;
    tx.commit().await?;
    Ok(id)
}

/// The resets that this daemon has not obeyed yet, oldest first, for the networks it serves. They are few: whoever
/// asks takes back what nobody obeys.
pub async fn resets(pool: &PgPool, daemon: Uuid, networks: &[String]) -> Result<Vec<Reset>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select id, network_id, endpoint, trust
        from amn.endpoint_reset
        where network_id = any($2) and not $1 = any(obeyed_by)
        order by id
        limit 100
        "#,
        daemon,
        networks,
    )
    .fetch_all(pool)
    .await?;
    let reset = |row: &str| NetworkId::new(row);
    Ok(rows
        .into_iter()
        .map(|row| Reset { id: row.id, network: reset(&row.network_id), endpoint: row.endpoint, trust: row.trust })
        .collect())
}

/// Says that this daemon did it.
pub async fn obeyed(pool: &PgPool, daemon: Uuid, reset: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "update amn.endpoint_reset set obeyed_by = array_append(obeyed_by, $1) where id = $2 and not $1 = any(obeyed_by)",
        daemon,
        reset,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How many daemons have obeyed a reset.
pub async fn obeyed_by(pool: &PgPool, reset: i64) -> Result<usize, StoreError> {
    let daemons = sqlx::query_scalar!(
        r#"select cardinality(obeyed_by) as "daemons!" from amn.endpoint_reset where id = $1"#,
        reset,
    )
    .fetch_optional(pool)
    .await?;
    Ok(daemons.and_then(|daemons| usize::try_from(daemons).ok()).unwrap_or(0))
}

/// Takes a reset back that no daemon has obeyed, and says so in the audit log; false where one just did.
pub async fn take_back(pool: &PgPool, reset: i64, actor: &str, now: Timestamp) -> Result<bool, StoreError> {
    let mut tx = pool.begin().await?;
    let gone = sqlx::query!(
        "delete from amn.endpoint_reset where id = $1 and cardinality(obeyed_by) = 0 returning network_id, endpoint",
        reset,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = gone else { return Ok(false) };
    let detail = serde_json::json!({ "endpoint": row.endpoint });
    audit(&mut tx, now, actor, "endpoint.reset.taken_back", &row.network_id, &detail).await?;
    tx.commit().await?;
    Ok(true)
}
