//! What contracts said, as it stands: one by name, or a page.

use amn_core::block::{Hash, Inclusion};
use amn_core::deposit::DepositStatus;
use amn_core::id::SightingId;
use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::After;
use crate::store::StoreError;
use crate::store::row::{Place, RowError, moment, timestamp};

/// What a contract said to a tenant, with the tip it is counted from.
#[derive(Debug)]
pub struct Said {
    pub id: SightingId,
    pub tenant: String,
    pub network: String,
    pub tx: Hash,
    pub operation: u64,
    pub index: u64,
    pub ordinal: u64,
    pub contract: String,
    pub topics: Value,
    pub data: Value,
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
    tx_hash: Vec<u8>,
    operation: i32,
    index_in_operation: i32,
    ordinal: i32,
    contract: String,
    topics: String,
    data: String,
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
    fn said(self) -> Result<Said, RowError> {
        let id = SightingId(self.id.as_u128());
        let place = Place { table: "contract_event", id: &id };
        let json = |column, text: &str| serde_json::from_str(text).map_err(|why| place.wrong(column, why));
        Ok(Said {
            id,
            tx: place.hash("tx_hash", &self.tx_hash)?,
            operation: place.count("operation", self.operation.into())?,
            index: place.count("index_in_operation", self.index_in_operation.into())?,
            ordinal: place.count("ordinal", self.ordinal.into())?,
            topics: json("topics", &self.topics)?,
            data: json("data", &self.data)?,
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
            contract: self.contract,
        })
    }
}

/// The one column list; what differs is which rows, and in which order.
macro_rules! select {
    ($which:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            // Operators: as of a deposit, see `read::deposits`.
            r#"select c.id, c.tenant_id, c.network_id, c.tx_hash::bytea as "tx_hash!", c.operation, c.index_in_operation, c.ordinal,
              c.contract, c.topics, c.data, c.block_height, c.block_hash::bytea as "block_hash!", c.block_time, c.status,
              c.inclusion,
              (
                select count(*) from (
                  select unnest(c.operators)
                  union
                  select v.key from jsonb_each(n.vouchers) v
                  where c.linked and c.status = 'seen' and (v.value ->> 'height')::bigint >= c.block_height
                ) known
              ) as "operators!",
              c.attestations, c.settled_at, c.seen_at, n.tip_height as "tip_height?"
            from amn.contract_event c
            join amn.network n on n.id = c.network_id
            "# + $which
            $(, $arg)*
        )
    };
}

pub async fn get(db: impl PgExecutor<'_>, id: SightingId) -> Result<Option<Said>, StoreError> {
    let row = select!("where c.id = $1", Uuid::from_u128(id.0)).fetch_optional(db).await?;
    Ok(row.map(Row::said).transpose()?)
}

/// Which of them a page shows.
#[derive(Debug, Default)]
pub struct Filter {
    pub tenant: Option<String>,
    pub network: Option<String>,
    pub contract: Option<String>,
    pub status: Option<DepositStatus>,
    pub tx: Option<Hash>,
}

/// Newest first, by when we first saw them.
pub async fn list(pool: &PgPool, filter: &Filter, after: Option<After>, limit: i64) -> Result<Vec<Said>, StoreError> {
    let rows = select!(
        "where ($1::text is null or c.tenant_id = $1)
        and ($2::text is null or c.network_id = $2)
        and ($3::text is null or c.contract = $3)
        and ($4::text is null or c.status = $4)
        and ($5::bytea is null or c.tx_hash = $5)
        and (c.seen_at, c.id) < (coalesce($6, 'infinity'::timestamptz), coalesce($7, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
        order by c.seen_at desc, c.id desc
        limit $8",
        filter.tenant.as_deref(),
        filter.network.as_deref(),
        filter.contract.as_deref(),
        filter.status.map(DepositStatus::as_str),
        filter.tx.as_ref().map(|tx| &tx.0[..]),
        after.map(|a| moment(a.at)),
        after.map(|a| a.id),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::said).collect::<Result<_, _>>()?)
}
