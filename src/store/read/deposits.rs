//! Deposits as they stand: of one intent, one by name, or a page.

use amn_core::block::{Hash, Inclusion, Kind};
use amn_core::deposit::DepositStatus;
use amn_core::id::{DepositId, IntentId};
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::After;
use crate::store::StoreError;
use crate::store::row::{Place, RowError, moment, timestamp};

/// A deposit with the tip it is counted from.
#[derive(Debug)]
pub struct Deposit {
    pub id: DepositId,
    pub tenant: String,
    pub network: String,
    pub intent: Option<IntentId>,
    pub unmatched: Option<String>,
    pub assigned: bool,
    pub late: bool,
    pub accepted: bool,
    pub asset: String,
    pub amount: Amount,
    pub from: Option<String>,
    pub to: String,
    pub reference: Option<String>,
    pub tx: Hash,
    pub kind: Kind,
    pub index: u64,
    pub height: u64,
    pub block_hash: Hash,
    pub block_time: Timestamp,
    pub status: DepositStatus,
    pub inclusion: Inclusion,
    /// Operators known to have given this block's hash, directly or by vouching for a block above it.
    pub operators: u64,
    pub attestations: Option<u64>,
    pub settled_at: Option<Timestamp>,
    pub seen_at: Timestamp,
    pub tip: Option<u64>,
}

struct Row {
    id: Uuid,
    tenant_id: String,
    network_id: String,
    intent_id: Option<Uuid>,
    unmatched: Option<String>,
    assigned: bool,
    late: bool,
    accepted: bool,
    asset_id: String,
    amount: String,
    from_address: Option<String>,
    to_address: String,
    reference: Option<String>,
    tx_hash: Vec<u8>,
    kind: String,
    index_in_tx: i32,
    block_height: i64,
    block_hash: Vec<u8>,
    block_time: OffsetDateTime,
    status: String,
    inclusion: String,
    operators: i64,
    attestations: Option<i32>,
    settled_at: Option<OffsetDateTime>,
    seen_at: OffsetDateTime,
    tip_height: Option<i64>,
}

impl Row {
    fn deposit(self) -> Result<Deposit, RowError> {
        let id = DepositId(self.id.as_u128());
        let place = Place { table: "deposit", id: &id };
        Ok(Deposit {
            id,
            intent: self.intent_id.map(|id| IntentId(id.as_u128())),
            amount: place.parse("amount", &self.amount)?,
            tx: place.hash("tx_hash", &self.tx_hash)?,
            kind: self.kind.parse().map_err(|()| place.wrong("kind", &self.kind))?,
            index: place.count("index_in_tx", self.index_in_tx.into())?,
            height: place.count("block_height", self.block_height)?,
            block_hash: place.hash("block_hash", &self.block_hash)?,
            block_time: timestamp(self.block_time),
            status: self.status.parse().map_err(|()| place.wrong("status", &self.status))?,
            inclusion: self.inclusion.parse().map_err(|()| place.wrong("inclusion", &self.inclusion))?,
            operators: place.count("operators", self.operators)?,
            attestations: self.attestations.map(|n| place.count("attestations", n.into())).transpose()?,
            settled_at: self.settled_at.map(timestamp),
            seen_at: timestamp(self.seen_at),
            tip: self.tip_height.map(|h| place.count("tip_height", h)).transpose()?,
            tenant: self.tenant_id,
            network: self.network_id,
            unmatched: self.unmatched,
            assigned: self.assigned,
            late: self.late,
            accepted: self.accepted,
            asset: self.asset_id,
            from: self.from_address,
            to: self.to_address,
            reference: self.reference,
        })
    }
}

/// The one column list; what differs is which rows, and in which order.
macro_rules! select {
    ($which:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            // As core's `vouching`: who vouches for a block of our chain vouches for every linked block under it;
            // what has settled keeps those it settled on.
            r#"select d.id, d.tenant_id, d.network_id, d.intent_id, d.unmatched, d.assigned, d.late, d.accepted, d.asset_id,
              d.amount::text as "amount!", d.from_address, d.to_address, d.reference, d.tx_hash::bytea as "tx_hash!", d.kind,
              d.index_in_tx, d.block_height, d.block_hash::bytea as "block_hash!", d.block_time, d.status, d.inclusion,
              (
                select count(*) from (
                  select unnest(d.operators)
                  union
                  select v.key from jsonb_each(n.vouchers) v
                  where d.linked and d.status = 'seen' and (v.value ->> 'height')::bigint >= d.block_height
                ) known
              ) as "operators!",
              d.attestations, d.settled_at, d.seen_at, n.tip_height as "tip_height?"
            from amn.deposit d
            join amn.network n on n.id = d.network_id
            "# + $which
            $(, $arg)*
        )
    };
}

/// The newest deposits of an intent, and how many there are.
pub async fn of_intent(pool: &PgPool, intent: IntentId, limit: i64) -> Result<(Vec<Deposit>, u64), StoreError> {
    let intent = Uuid::from_u128(intent.0);
    let rows = select!(
        "where d.intent_id = $1
        order by d.block_height desc, d.ordinal desc, d.id desc
        limit $2",
        intent,
        limit
    )
    .fetch_all(pool)
    .await?;
    let total = sqlx::query_scalar!(r#"select count(*) as "total!" from amn.deposit where intent_id = $1"#, intent)
        .fetch_one(pool)
        .await?;
    let deposits = rows.into_iter().map(Row::deposit).collect::<Result<_, _>>()?;
    Ok((deposits, u64::try_from(total).unwrap_or(0)))
}

pub async fn get(db: impl PgExecutor<'_>, id: DepositId) -> Result<Option<Deposit>, StoreError> {
    let row = select!("where d.id = $1", Uuid::from_u128(id.0)).fetch_optional(db).await?;
    Ok(row.map(Row::deposit).transpose()?)
}

/// Which deposits a page shows.
#[derive(Debug, Default)]
pub struct Filter {
    pub tenant: Option<String>,
    pub network: Option<String>,
    pub status: Option<DepositStatus>,
    pub intent: Option<IntentId>,
    /// `Some(false)`: only those that belong to no intent.
    pub matched: Option<bool>,
    pub tx: Option<Hash>,
}

/// Newest first, by when we first saw them.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<Deposit>, StoreError> {
    let rows = select!(
        "where ($1::text is null or d.tenant_id = $1)
        and ($2::text is null or d.network_id = $2)
        and ($3::text is null or d.status = $3)
        and ($4::uuid is null or d.intent_id = $4)
        and ($5::boolean is null or (d.intent_id is not null) = $5)
        and ($6::bytea is null or d.tx_hash = $6)
        and (d.seen_at, d.id) < (coalesce($7, 'infinity'::timestamptz), coalesce($8, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
        order by d.seen_at desc, d.id desc
        limit $9",
        filter.tenant.as_deref(),
        filter.network.as_deref(),
        filter.status.map(DepositStatus::as_str),
        filter.intent.map(|id| Uuid::from_u128(id.0)),
        filter.matched,
        filter.tx.as_ref().map(|tx| &tx.0[..]),
        after.map(|a| moment(a.at)),
        after.map(|a| a.id),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::deposit).collect::<Result<_, _>>()?)
}
