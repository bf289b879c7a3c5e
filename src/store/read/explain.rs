//! What only a person asks for: why a payment was or was not credited. Read row by row, at leisure.

use amn_core::block::{BlockHash, Hash, Operator};
use amn_core::confirmation::Require;
use amn_core::id::{DepositId, EventId, IntentId};
use amn_core::timestamp::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::row::{Place, timestamp};

/// More watches, deposits or events than a person reads; a shared address may have thousands.
pub const LISTED_MAX: i64 = 50;

/// How a height was read.
#[derive(Debug)]
pub struct Covered {
    pub from: u64,
    pub to: u64,
    /// linked, listed or checkpoint.
    pub coverage: String,
    pub watch_version: u64,
    pub read_at: Timestamp,
    /// The hash we stand on at that height, where we remember it.
    pub hash: Option<BlockHash>,
}

/// Where a network's ledger begins; `None` where it does not exist yet.
pub async fn start(pool: &PgPool, network: &str) -> Result<Option<u64>, StoreError> {
    let start = sqlx::query_scalar!("select start_height from amn.network where id = $1", network)
        .fetch_optional(pool)
        .await?
        .flatten();
    let place = Place { table: "network", id: &network };
    Ok(start.map(|height| place.count("start_height", height)).transpose()?)
}

/// The stretch that holds a height.
pub async fn covered(pool: &PgPool, network: &str, height: u64) -> Result<Option<Covered>, StoreError> {
    let at = i64::try_from(height).unwrap_or(i64::MAX);
    let row = sqlx::query!(
        r#"select s.from_height, s.to_height, s.coverage, s.watch_version, s.read_at, h.hash::bytea as "hash?"
        from amn.segment s
        left join amn.header h on h.network_id = s.network_id and h.height = $2
        where s.network_id = $1 and s.from_height <= $2 and s.to_height >= $2"#,
        network,
        at
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let place = Place { table: "segment", id: &network };
    Ok(Some(Covered {
        from: place.count("from_height", row.from_height)?,
        to: place.count("to_height", row.to_height)?,
        watch_version: place.count("watch_version", row.watch_version)?,
        hash: row.hash.map(|hash| place.hash("hash", &hash)).transpose()?,
        coverage: row.coverage,
        read_at: timestamp(row.read_at),
    }))
}

/// A watch on an address.
#[derive(Debug)]
pub struct Watch {
    pub network: String,
    pub address: String,
    pub reference: Option<String>,
    pub tenant: String,
    pub intent: IntentId,
    pub version: u64,
    /// The first height that is read for it.
    pub since: u64,
    /// What was covered without it and is being read again.
    pub backfill: Option<(u64, u64)>,
    pub native: bool,
}

/// Watches on an address, on every network; or those of an intent.
pub async fn watches(pool: &PgPool, address: Option<&str>, intent: Option<IntentId>) -> Result<Vec<Watch>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, network_id, address, reference, tenant_id, intent_id, version, since_height, backfill_from,
          backfill_to, native
        from amn.watch
        where intent_id = $2
          -- By network, because the index begins with it.
          or (network_id in (select n.id from amn.network n)
            and address_key = case when $1 like '0x%' then lower($1) else $1 end)
        order by network_id, version desc
        limit $3"#,
        address,
        intent.map(|id| Uuid::from_u128(id.0)),
        LISTED_MAX
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let place = Place { table: "watch", id: &row.id };
            let backfill = match row.backfill_from.zip(row.backfill_to) {
                Some((from, to)) => Some((place.count("backfill_from", from)?, place.count("backfill_to", to)?)),
                None => None,
            };
            Ok(Watch {
                backfill,
                version: place.count("version", row.version)?,
                since: place.count("since_height", row.since_height)?,
                network: row.network_id,
                address: row.address,
                reference: Some(row.reference).filter(|reference| !reference.is_empty()),
                tenant: row.tenant_id,
                intent: IntentId(row.intent_id.as_u128()),
                native: row.native,
            })
        })
        .collect()
}

/// The newest deposits that came to an address, on every network.
pub async fn deposits_to(pool: &PgPool, address: &str) -> Result<Vec<DepositId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "select id
        from amn.deposit
        where network_id in (select n.id from amn.network n) and lower(to_address) = lower($1)
        order by seen_at desc, id desc
        limit $2",
        address,
        LISTED_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(|id| DepositId(id.as_u128())).collect())
}

/// Who gave the hash of a deposit's block, and the terms it settled under.
#[derive(Debug)]
pub struct Grounds {
    pub operators: Vec<Operator>,
    pub settled_tip: Option<u64>,
    pub settled_under: Option<Require>,
}

pub async fn grounds(pool: &PgPool, deposit: DepositId) -> Result<Grounds, StoreError> {
    let row = sqlx::query!(
        // As the count in `read::deposits`: who vouches for a block of our chain vouches for every linked one under it.
        r#"select d.settled_tip_height, d.settled_require,
          array(
            select unnest(d.operators)
            union
            select v.key from jsonb_each(n.vouchers) v
            where d.linked and d.status = 'seen' and (v.value ->> 'height')::bigint >= d.block_height
            order by 1
          ) as "operators!"
        from amn.deposit d
        join amn.network n on n.id = d.network_id
        where d.id = $1"#,
        Uuid::from_u128(deposit.0)
    )
    .fetch_one(pool)
    .await?;
    let place = Place { table: "deposit", id: &deposit };
    Ok(Grounds {
        operators: row.operators.iter().map(Operator::new).collect(),
        settled_tip: row.settled_tip_height.map(|height| place.count("settled_tip_height", height)).transpose()?,
        settled_under: row.settled_require.map(|require| place.json("settled_require", require)).transpose()?,
    })
}

/// Something seen that credited nobody.
#[derive(Debug)]
pub struct Observed {
    pub network: String,
    pub kind: String,
    pub height: Option<u64>,
    pub to: Option<String>,
    pub detail: String,
    pub at: Timestamp,
}

/// What was observed of a transaction.
pub async fn observed(pool: &PgPool, tx: Hash) -> Result<Vec<Observed>, StoreError> {
    let rows = sqlx::query!(
        "select id, network_id, kind, height, to_address, detail, at
        from amn.observation
        where network_id in (select n.id from amn.network n) and tx_hash = $1
        order by id desc
        limit $2",
        &tx.0[..] as _,
        LISTED_MAX
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let place = Place { table: "observation", id: &row.id };
            Ok(Observed {
                height: row.height.map(|height| place.count("height", height)).transpose()?,
                network: row.network_id,
                kind: row.kind,
                to: row.to_address,
                detail: row.detail,
                at: timestamp(row.at),
            })
        })
        .collect()
}

/// An event that was told, and what became of it.
#[derive(Debug)]
pub struct Told {
    pub id: EventId,
    pub kind: String,
    pub sequence: Option<i64>,
    pub at: Timestamp,
    pub delivered: i64,
    pub pending: i64,
    pub dead: i64,
    pub last_error: Option<String>,
}

/// The newest events of an intent; or those that tell of a deposit without one.
pub async fn told(
    pool: &PgPool,
    intent: Option<IntentId>,
    deposit: Option<DepositId>,
) -> Result<Vec<Told>, StoreError> {
    let rows = sqlx::query!(
        r#"select e.id, e.event, e.sequence, e.created_at,
          (select count(distinct a.endpoint_id) from amn.attempt a where a.event_id = e.id and a.outcome = 'delivered')
            as "delivered!",
          (select count(*) from amn.delivery p where p.event_id = e.id) as "pending!",
          (select count(*) from amn.dead_letter l where l.event_id = e.id and l.redriven_at is null) as "dead!",
          (select a.error from amn.attempt a where a.event_id = e.id order by a.id desc limit 1) as last_error
        from amn.event e
        where e.intent_id = $1
          -- No index knows what a body tells of; asked only for money without an intent, and known to be so when planned.
          or ($2::text is not null and e.intent_id is null and e.event in ('deposit.unmatched', 'deposit.reversed')
            and position($2::text in convert_from(e.body, 'UTF8')) > 0)
        order by e.created_at desc, e.sequence desc
        limit $3"#,
        intent.map(|id| Uuid::from_u128(id.0)),
        deposit.map(|id| id.to_string()),
        LISTED_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .rev()
        .map(|row| Told {
            id: EventId(row.id.as_u128()),
            kind: row.event,
            sequence: row.sequence,
            at: timestamp(row.created_at),
            delivered: row.delivered,
            pending: row.pending,
            dead: row.dead,
            last_error: row.last_error,
        })
        .collect())
}
