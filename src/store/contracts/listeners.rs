//! Whoever listens to contracts, as the configuration says: each wish a row, found again at every start.

use amn_core::block::{Address, Height, NetworkId};
use amn_core::contract::{ContractWatch, TopicPattern};
use amn_core::timestamp::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

use super::patterns;
use crate::store::StoreError;
use crate::store::row::{Place, height, moment};

/// A wish to hear of what a contract says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub contract: Address,
    pub patterns: Vec<TopicPattern>,
    pub tenant: String,
    /// `None`: from the tip on when it was first wished for.
    pub since: Option<Height>,
    /// Where it is written, for problems that only the database can find.
    pub place: String,
}

/// Why a wish cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Change the configuration: what is wished for was never covered.
    #[error("{place}: since = {since} must lie above {start}, where the ledger of {network} begins")]
    BeforeTheLedger { place: String, since: Height, start: Height, network: NetworkId },
    /// Name where the ledger begins: it has none yet, and would begin at the head of its chain.
    #[error(
        "{place}: since = {since} lies in the past of {network}, which has no ledger yet: name a start = {{ height, hash }} below it in [networks.{network}]"
    )]
    NoLedger { place: String, since: Height, network: NetworkId },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ListenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes the wishes of a network its listeners: new ones begin at the tip or where they say, those that are no longer
/// wished for hear nothing new. Under the network's row lock, so that what is covered stays so meanwhile. `begins`: where
/// its ledger will begin, if it has not begun and that is configured.
pub async fn register(
    pool: &PgPool,
    network: &NetworkId,
    wishes: &[Wish],
    begins: Option<Height>,
    now: Timestamp,
) -> Result<(), ListenError> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query!(
        "select start_height, tip_height, listens from amn.network where id = $1 for update",
        network.as_str()
    )
    .fetch_one(&mut *tx)
    .await?;
    if wishes.is_empty() && !row.listens {
        return Ok(());
    }
    let at = |column| Place { table: "network", id: network }.at(column);
    let start = row.start_height.map(|start| at("start_height").height(start)).transpose().map_err(StoreError::from)?;
    let tip = row.tip_height.map(|tip| at("tip_height").height(tip)).transpose().map_err(StoreError::from)?;
    sqlx::query!("update amn.network set listens = true where id = $1", network.as_str()).execute(&mut *tx).await?;
    let mut kept = Vec::new();
    for wish in wishes {
        let (place, network) = (wish.place.clone(), network.clone());
        match (wish.since, start.or(begins)) {
            (Some(since), Some(start)) if since <= start => {
                return Err(ListenError::BeforeTheLedger { place, since, start, network });
            }
            (Some(since), None) => return Err(ListenError::NoLedger { place, since, network }),
            _ => {}
        }
        kept.push(listen(&mut tx, &network, tip, wish, now).await?);
    }
    sqlx::query!(
        r#"
        update amn.contract_watch
        set active = false, backfill_from = null, backfill_to = null
        where network_id = $1 and active and id <> all($2)
        "#,
        network.as_str(),
        &kept,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// One wish, as a row. One that is met already goes on as it was, and further back where it asks for that.
async fn listen(
    db: &mut PgConnection,
    network: &NetworkId,
    tip: Option<Height>,
    wish: &Wish,
    now: Timestamp,
) -> Result<i64, StoreError> {
    crate::store::tenants::ensure(&mut *db, &wish.tenant).await?;
    let topics = serde_json::json!(wish.patterns.iter().map(TopicPattern::texts).collect::<Vec<_>>());
    let mut digest = Sha256::new();
    for part in [wish.contract.as_str(), &wish.tenant, &topics.to_string()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let name: [u8; 32] = digest.finalize().into();
    let next = tip.map_or(Height(0), Height::next);
    let first = wish.since.unwrap_or(next);
    // What lies below the tip was covered without it.
    let owed = tip.filter(|tip| first <= *tip);
    let row = sqlx::query!(
        r#"
        with numbered as (
          update amn.network n
          set watch_version = n.watch_version + 1
          where n.id = $1 and not exists (
            select from amn.contract_watch w where w.network_id = $1 and w.name = $4::bytea and w.active
          )
          returning n.watch_version
        ), made as (
          insert into amn.contract_watch as w (
            network_id, contract, tenant_id, name, topics, version, since_height, backfill_from, backfill_to, created_at
          )
          select $1, $2, $3, $4::bytea, $5, numbered.watch_version, $6, $7, $8, $9 from numbered
          -- It was wished for before and then no longer: what was said meanwhile nobody listened to.
          on conflict (network_id, name) do update
          set active = true, version = excluded.version, since_height = excluded.since_height,
            backfill_from = excluded.backfill_from, backfill_to = excluded.backfill_to
          returning w.id
        ), lengthened as (
          update amn.contract_watch w
          set since_height = $6,
            backfill_from = case when $8 is null then w.backfill_from else $6 end,
            backfill_to = case when $8 is null then w.backfill_to else greatest(w.backfill_to, least(w.since_height - 1, $8)) end
          where w.network_id = $1 and w.name = $4::bytea and w.active and $10 and $6 < w.since_height
          returning w.id
        )
        select id as "id!" from made
        union
        select id from amn.contract_watch w where w.network_id = $1 and w.name = $4::bytea
        "#,
        network.as_str(),
        wish.contract.as_str(),
        wish.tenant,
        name.as_slice() as _,
        topics,
        height(first),
        owed.map(|_| height(first)),
        owed.map(height),
        moment(now),
        wish.since.is_some(),
    )
    .fetch_one(db)
    .await?;
    Ok(row.id)
}

/// A listener whose past must be read again.
#[derive(Debug)]
pub struct Backfill {
    pub watch: ContractWatch,
    pub contract: Address,
    pub patterns: Vec<TopicPattern>,
    pub from: Height,
    pub to: Height,
}

/// Listeners with something to read again, those that reach furthest back first; at most `limit`.
pub async fn backfills(pool: &PgPool, network: &NetworkId, limit: i64) -> Result<Vec<Backfill>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select id, contract, topics, backfill_from as "backfill_from!", backfill_to as "backfill_to!"
        from amn.contract_watch
        where network_id = $1 and backfill_from is not null
        order by backfill_from
        limit $2
        "#,
        network.as_str(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let at = |column| Place { table: "contract_watch", id: &row.id }.at(column);
            Ok(Backfill {
                watch: ContractWatch(at("id").count(row.id)?),
                patterns: patterns(at("topics"), row.topics)?,
                from: at("backfill_from").height(row.backfill_from)?,
                to: at("backfill_to").height(row.backfill_to)?,
                contract: Address::new(&row.contract),
            })
        })
        .collect()
}
