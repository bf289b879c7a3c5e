//! API keys: who may call, as hashes.

use amn_core::timestamp::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use super::row::{moment, timestamp};

/// A key that is not revoked.
#[derive(Debug)]
pub struct LiveKey {
    pub id: Uuid,
    pub tenant_id: Option<String>,
    pub name: String,
    pub hash: Vec<u8>,
    pub scopes: Vec<String>,
}

/// The live key with that hash.
pub async fn find(pool: &PgPool, hash: &[u8; 32]) -> Result<Option<LiveKey>, sqlx::Error> {
    sqlx::query_as!(
        LiveKey,
        "select id, tenant_id, name, hash, scopes
        from amn.api_key
        where hash = $1 and revoked_at is null",
        &hash[..]
    )
    .fetch_optional(pool)
    .await
}

/// What is written of a new key.
#[derive(Debug)]
pub struct NewKey<'a> {
    pub id: Uuid,
    pub tenant: Option<&'a str>,
    pub name: &'a str,
    pub hash: [u8; 32],
    pub scopes: &'a [String],
}

/// Writes a key and says so in the audit log.
pub async fn create(pool: &PgPool, key: &NewKey<'_>, actor: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if let Some(tenant) = key.tenant {
        super::tenants::ensure(&mut tx, tenant).await?;
    }
    sqlx::query!(
        "insert into amn.api_key (id, tenant_id, name, hash, scopes, created_at)
        values ($1, $2, $3, $4, $5, $6)",
        key.id,
        key.tenant,
        key.name,
        &key.hash[..],
        key.scopes,
        moment(now)
    )
    .execute(&mut *tx)
    .await?;
    let detail = serde_json::json!({ "name": key.name, "scopes": key.scopes, "tenant": key.tenant });
    super::read::audit(&mut tx, now, actor, "key.create", &key.id.to_string(), &detail).await?;
    tx.commit().await
}

/// A key as people see it: never its hash.
#[derive(Debug)]
pub struct KeyRow {
    pub id: Uuid,
    pub tenant: Option<String>,
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// Keys in the order they were made, revoked ones too, after a given one.
pub async fn list(pool: &PgPool, after: Option<Uuid>, limit: i64) -> Result<Vec<KeyRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, tenant_id, name, scopes, created_at, revoked_at
        from amn.api_key
        where $1::uuid is null or id > $1
        order by id
        limit $2",
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| KeyRow {
            id: row.id,
            tenant: row.tenant_id,
            name: row.name,
            scopes: row.scopes,
            created_at: timestamp(row.created_at),
            revoked_at: row.revoked_at.map(timestamp),
        })
        .collect())
}

/// Revokes a key; `false` where there is none. Revoking again changes nothing.
pub async fn revoke(pool: &PgPool, id: Uuid, actor: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let done = sqlx::query!(
        "update amn.api_key
        set revoked_at = $2
        where id = $1 and revoked_at is null",
        id,
        moment(now)
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 1 {
        super::read::audit(&mut tx, now, actor, "key.revoke", &id.to_string(), &serde_json::json!({})).await?;
        tx.commit().await?;
        return Ok(true);
    }
    let known = sqlx::query_scalar!(r#"select exists (select 1 from amn.api_key where id = $1) as "known!""#, id)
        .fetch_one(&mut *tx)
        .await?;
    Ok(known)
}
