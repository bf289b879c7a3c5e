//! Tenants: sellers and apps, and the watch-only keys their addresses are derived from.

use amn_core::timestamp::Timestamp;
use sqlx::{PgConnection, PgPool};

use super::StoreError;
use super::row::{Place, RowError, timestamp};

/// Makes the tenant where it is new.
pub async fn ensure(db: &mut PgConnection, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("insert into amn.tenant (id) values ($1) on conflict do nothing", id).execute(db).await?;
    Ok(())
}

/// A tenant as operators see it.
#[derive(Debug)]
pub struct Tenant {
    pub id: String,
    pub xpub: Option<String>,
    /// The index the next derived address takes, unless it is taken.
    pub next_index: u32,
    pub created_at: Timestamp,
}

struct Row {
    id: String,
    xpub: Option<String>,
    next_index: i64,
    created_at: time::OffsetDateTime,
}

impl Row {
    fn tenant(self) -> Result<Tenant, RowError> {
        let next_index = index(&self.id, self.next_index)?;
        Ok(Tenant { id: self.id, xpub: self.xpub, next_index, created_at: timestamp(self.created_at) })
    }
}

fn index(id: &str, value: i64) -> Result<u32, RowError> {
    u32::try_from(value).map_err(|why| Place { table: "tenant", id: &id }.wrong("next_index", why))
}

pub async fn get(pool: &PgPool, id: &str) -> Result<Option<Tenant>, StoreError> {
    let row = sqlx::query_as!(Row, "select id, xpub, next_index, created_at from amn.tenant where id = $1", id)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(Row::tenant).transpose()?)
}

/// Tenants by name, after a given one.
pub async fn list(pool: &PgPool, after: Option<&str>, limit: i64) -> Result<Vec<Tenant>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, xpub, next_index, created_at
        from amn.tenant
        where $1::text is null or id > $1
        order by id
        limit $2"#,
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::tenant).collect::<Result<_, _>>()?)
}

/// Makes a tenant or changes its watch-only key. With another key, indexes begin at `first_index`;
/// with the same key they go on, so that no address is handed out twice.
pub async fn put(
    pool: &PgPool,
    id: &str,
    xpub: Option<&str>,
    first_index: u32,
    actor: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    ensure(&mut tx, id).await?;
    sqlx::query!(
        "update amn.tenant
        set next_index = case when xpub is not distinct from $2 then next_index else $3 end,
          xpub = $2
        where id = $1",
        id,
        xpub,
        i64::from(first_index)
    )
    .execute(&mut *tx)
    .await?;
    let detail = serde_json::json!({ "first_index": first_index, "xpub": xpub });
    super::read::audit(&mut tx, now, actor, "tenant.put", id, &detail).await?;
    tx.commit().await
}

/// The tenant's watch-only key and the index it gives next. Holds the row, so that two requests never get one index.
pub async fn lock(db: &mut PgConnection, id: &str) -> Result<Option<(String, u32)>, StoreError> {
    let row = sqlx::query!("select xpub, next_index from amn.tenant where id = $1 for no key update", id)
        .fetch_optional(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let next = index(id, row.next_index)?;
    Ok(row.xpub.map(|xpub| (xpub, next)))
}

/// Records the index that was used last, under the lock.
pub async fn used(db: &mut PgConnection, id: &str, last: u32) -> Result<(), sqlx::Error> {
    sqlx::query!("update amn.tenant set next_index = $2 where id = $1", id, i64::from(last) + 1).execute(db).await?;
    Ok(())
}
