//! Covered heights to be read once more: asked for here, carried out by the daemon that follows the network.

use amn_core::block::{Height, NetworkId};
use amn_core::timestamp::Timestamp;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use super::StoreError;
use super::row::{Place, height, moment, timestamp};

/// Unfinished ones of a network: more are a loop that asks, not a person.
pub const OPEN_MAX: i64 = 100;

/// Finished ones that are shown.
const LISTED_MAX: i64 = 50;

/// A stretch of covered heights that is read once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescan {
    pub id: u64,
    pub network: NetworkId,
    pub from: Height,
    pub to: Height,
    /// Where it goes on.
    pub next: Height,
    pub why: String,
    pub actor: String,
    pub requested_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub failed: bool,
    pub trouble: Option<String>,
    /// Watched transfers in what was read so far.
    pub transfers: u64,
    /// Of them, those that were not known before.
    pub found: u64,
}

struct Row {
    id: i64,
    network_id: String,
    from_height: i64,
    to_height: i64,
    next_height: i64,
    why: String,
    actor: String,
    requested_at: OffsetDateTime,
    finished_at: Option<OffsetDateTime>,
    failed: bool,
    trouble: Option<String>,
    transfers: i64,
    found: i64,
}

impl Row {
    fn parse(self) -> Result<Rescan, StoreError> {
        let at = |column| Place { table: "rescan", id: &self.id }.at(column);
        Ok(Rescan {
            id: at("id").count(self.id)?,
            network: NetworkId::new(&self.network_id),
            from: at("from_height").height(self.from_height)?,
            to: at("to_height").height(self.to_height)?,
            next: at("next_height").height(self.next_height)?,
            requested_at: timestamp(self.requested_at),
            finished_at: self.finished_at.map(timestamp),
            failed: self.failed,
            transfers: at("transfers").count(self.transfers)?,
            found: at("found").count(self.found)?,
            why: self.why,
            actor: self.actor,
            trouble: self.trouble,
        })
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is on the list, or was already.
    Listed(Rescan),
    /// The ledger does not cover those heights; these it covers.
    NotCovered {
        from: Height,
        to: Height,
    },
    /// Nothing is covered yet.
    NotBegun,
    /// Too many wait already.
    Full,
    NoNetwork,
}

/// Asks for heights to be read once more. Under the network's row lock, so that what is covered stays so.
pub async fn ask(
    pool: &PgPool,
    network: &NetworkId,
    from: Height,
    to: Height,
    actor: &str,
    now: Timestamp,
) -> Result<Asked, StoreError> {
    let mut tx = pool.begin().await?;
    let row =
        sqlx::query!("select start_height, tip_height from amn.network where id = $1 for update", network.as_str())
            .fetch_optional(&mut *tx)
            .await?;
    let Some(row) = row else { return Ok(Asked::NoNetwork) };
    let Some((start, tip)) = row.start_height.zip(row.tip_height).filter(|(start, tip)| start < tip) else {
        return Ok(Asked::NotBegun);
    };
    if height(from) <= start || height(to) > tip {
        let at = |column| Place { table: "network", id: network }.at(column);
        // The first block of a ledger is where it stands; it was never read.
        return Ok(Asked::NotCovered {
            from: at("start_height").height(start)?.next(),
            to: at("tip_height").height(tip)?,
        });
    }
    let asked = open(&mut tx, network, (from, to), "asked", actor, now).await?;
    if let Asked::Listed(rescan) = &asked {
        let detail = serde_json::json!({ "from": from, "rescan": rescan.id, "to": to });
        super::read::audit(&mut tx, now, actor, "rescan", network.as_str(), &detail).await?;
    }
    tx.commit().await?;
    Ok(asked)
}

/// Puts covered heights on the list, once.
pub(crate) async fn open(
    db: &mut PgConnection,
    network: &NetworkId,
    (from, to): (Height, Height),
    why: &str,
    actor: &str,
    now: Timestamp,
) -> Result<Asked, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        insert into amn.rescan as r (network_id, from_height, to_height, next_height, why, actor, requested_at)
        select $1, $2, $3, $2, $4, $5, $6
        where (select count(*) from amn.rescan o where o.network_id = $1 and o.finished_at is null) < $7
        -- The same wish, while it is under way, is the same row.
        on conflict (network_id, from_height, to_height) where finished_at is null do update set why = r.why
        returning id, network_id, from_height, to_height, next_height, why, actor, requested_at, finished_at, failed,
          trouble, transfers, found
        "#,
        network.as_str(),
        height(from),
        height(to),
        why,
        actor,
        moment(now),
        OPEN_MAX,
    )
    .fetch_optional(db)
    .await?;
    row.map_or(Ok(Asked::Full), |row| row.parse().map(Asked::Listed))
}

/// The oldest that is not finished.
pub async fn first_open(pool: &PgPool, network: &NetworkId) -> Result<Option<Rescan>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, network_id, from_height, to_height, next_height, why, actor, requested_at, finished_at, failed,
          trouble, transfers, found
        from amn.rescan
        where network_id = $1 and finished_at is null
        order by id
        limit 1
        "#,
        network.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    row.map(Row::parse).transpose()
}

/// Those of a network, newest first: all that are under way and the last that are finished.
pub async fn list(pool: &PgPool, network: &NetworkId) -> Result<Vec<Rescan>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, network_id, from_height, to_height, next_height, why, actor, requested_at, finished_at, failed,
          trouble, transfers, found
        from amn.rescan
        where network_id = $1
        order by finished_at is null desc, id desc
        limit $2
        "#,
        network.as_str(),
        LISTED_MAX + OPEN_MAX,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

/// One of them.
pub async fn get(pool: &PgPool, network: &NetworkId, id: u64) -> Result<Option<Rescan>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id, network_id, from_height, to_height, next_height, why, actor, requested_at, finished_at, failed,
          trouble, transfers, found
        from amn.rescan
        where network_id = $1 and id = $2
        "#,
        network.as_str(),
        i64::try_from(id).unwrap_or(i64::MAX),
    )
    .fetch_optional(pool)
    .await?;
    row.map(Row::parse).transpose()
}

/// Whether any daemon follows the network, so that what is asked for is carried out.
pub async fn is_followed(pool: &PgPool, network: &NetworkId, now: Timestamp) -> Result<bool, StoreError> {
    let followed = sqlx::query_scalar!(
        r#"select exists (select 1 from amn.lease where network_id = $1 and until >= $2) as "followed!""#,
        network.as_str(),
        moment(now),
    )
    .fetch_one(pool)
    .await?;
    Ok(followed)
}

/// Notes how far it came; what is read to the end is finished.
pub async fn advance(
    pool: &PgPool,
    id: u64,
    next: Height,
    (transfers, found): (u64, u64),
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update amn.rescan
        set next_height = least($2, to_height + 1), transfers = transfers + $3, found = found + $4, trouble = null,
          finished_at = case when $2 > to_height then $5::timestamptz end
        where id = $1 and finished_at is null
        "#,
        i64::try_from(id).unwrap_or(i64::MAX),
        height(next),
        i64::try_from(transfers).unwrap_or(i64::MAX),
        i64::try_from(found).unwrap_or(i64::MAX),
        moment(now),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes why it does not go on now, or, where it `failed`, that it never will.
pub async fn trouble(pool: &PgPool, id: u64, why: &str, failed: bool, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update amn.rescan
        set trouble = $2, failed = $3, finished_at = case when $3 then $4::timestamptz end
        where id = $1 and finished_at is null
        "#,
        i64::try_from(id).unwrap_or(i64::MAX),
        why,
        failed,
        moment(now),
    )
    .execute(pool)
    .await?;
    Ok(())
}
