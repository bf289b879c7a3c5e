//! Intents as they stand, one or a page.

use amn_core::block::{Address, AssetId, NetworkId, Reference};
use amn_core::confirmation::Require;
use amn_core::id::IntentId;
use amn_core::intent::Status;
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::After;
use crate::store::StoreError;
use crate::store::row::{Place, RowError, moment, timestamp};

/// An intent with its sums.
#[derive(Debug)]
pub struct Intent {
    pub id: IntentId,
    pub tenant: String,
    pub network: NetworkId,
    pub asset: AssetId,
    pub symbol: String,
    pub decimals: u8,
    pub address: Address,
    pub reference: Option<Reference>,
    pub due: Amount,
    pub tolerance: Amount,
    pub expires_at: Option<Timestamp>,
    pub require: Require,
    pub metadata: Value,
    pub derivation_index: Option<u64>,
    pub status: Status,
    pub received: Amount,
    pub settled: Amount,
    pub late: Amount,
    pub sequence: u64,
    pub created_at: Timestamp,
}

struct Row {
    id: Uuid,
    tenant_id: String,
    network_id: String,
    asset_id: String,
    symbol: String,
    decimals: i16,
    address: String,
    reference: Option<String>,
    due: String,
    tolerance: String,
    expires_at: Option<OffsetDateTime>,
    require: Value,
    metadata: Value,
    derivation_index: Option<i64>,
    status: String,
    received: String,
    settled: String,
    late: String,
    sequence: i64,
    created_at: OffsetDateTime,
}

impl Row {
    fn intent(self) -> Result<Intent, RowError> {
        let id = IntentId(self.id.as_u128());
        let place = Place { table: "intent", id: &id };
        Ok(Intent {
            id,
            network: NetworkId::new(self.network_id),
            asset: AssetId::new(self.asset_id),
            symbol: self.symbol,
            decimals: u8::try_from(self.decimals).map_err(|why| place.wrong("decimals", why))?,
            address: Address::new(self.address),
            reference: self.reference.map(Reference::new),
            due: place.parse("due", &self.due)?,
            tolerance: place.parse("tolerance", &self.tolerance)?,
            expires_at: self.expires_at.map(timestamp),
            require: place.json("require", self.require)?,
            metadata: self.metadata,
            derivation_index: self.derivation_index.map(|i| place.count("derivation_index", i)).transpose()?,
            status: self.status.parse().map_err(|()| place.wrong("status", &self.status))?,
            received: place.parse("received", &self.received)?,
            settled: place.parse("settled", &self.settled)?,
            late: place.parse("late", &self.late)?,
            sequence: place.count("sequence", self.sequence)?,
            created_at: timestamp(self.created_at),
            tenant: self.tenant_id,
        })
    }
}

/// The one column list; what differs is which rows, and in which order.
macro_rules! select {
    ($which:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select i.id, i.tenant_id, i.network_id, i.asset_id, a.symbol, a.decimals, i.address, i.reference,
              i.due::text as "due!", i.tolerance::text as "tolerance!", i.expires_at, i.require, i.metadata,
              i.derivation_index, i.status, i.received::text as "received!", i.settled::text as "settled!",
              i.late::text as "late!", i.sequence, i.created_at
            from amn.intent i
            join amn.asset a on a.network_id = i.network_id and a.id = i.asset_id
            "# + $which
            $(, $arg)*
        )
    };
}

pub async fn get(db: impl PgExecutor<'_>, id: IntentId) -> Result<Option<Intent>, StoreError> {
    let row = select!("where i.id = $1", Uuid::from_u128(id.0)).fetch_optional(db).await?;
    Ok(row.map(Row::intent).transpose()?)
}

/// Which intents a page shows.
#[derive(Debug, Default)]
pub struct Filter {
    pub tenant: Option<String>,
    pub network: Option<String>,
    pub status: Option<Status>,
    /// With a network: intents that watch this address now.
    pub address: Option<String>,
}

/// Newest first. Each shape of question has a statement of its own, so that each walks an index; the first page
/// goes on from the end of time, because an `or` would read every row before the cursor again.
pub async fn list(pool: &PgPool, filter: &Filter, after: Option<After>, limit: i64) -> Result<Vec<Intent>, StoreError> {
    let status = filter.status.map(Status::as_str);
    let (at, id) = (after.map(|a| moment(a.at)), after.map(|a| a.id));
    let rows = if let (Some(address), Some(network)) = (&filter.address, &filter.network) {
        select!(
            "where i.id in (
              select w.intent_id from amn.watch w
              where w.network_id = $1 and w.address_key = case when $2 like '0x%' then lower($2) else $2 end
            )
            and ($3::text is null or i.tenant_id = $3)
            and ($4::text is null or i.status = $4)
            and (i.created_at, i.id) < (coalesce($5, 'infinity'::timestamptz), coalesce($6, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
            order by i.created_at desc, i.id desc
            limit $7",
            network,
            address,
            filter.tenant.as_deref(),
            status,
            at,
            id,
            limit
        )
        .fetch_all(pool)
        .await?
    } else if let Some(tenant) = &filter.tenant {
        select!(
            "where i.tenant_id = $1
            and ($2::text is null or i.network_id = $2)
            and ($3::text is null or i.status = $3)
            and (i.created_at, i.id) < (coalesce($4, 'infinity'::timestamptz), coalesce($5, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
            order by i.created_at desc, i.id desc
            limit $6",
            tenant,
            filter.network.as_deref(),
            status,
            at,
            id,
            limit
        )
        .fetch_all(pool)
        .await?
    } else {
        select!(
            "where ($1::text is null or i.network_id = $1)
            and ($2::text is null or i.status = $2)
            and (i.created_at, i.id) < (coalesce($3, 'infinity'::timestamptz), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
            order by i.created_at desc, i.id desc
            limit $5",
            filter.network.as_deref(),
            status,
            at,
            id,
            limit
        )
        .fetch_all(pool)
        .await?
    };
    Ok(rows.into_iter().map(Row::intent).collect::<Result<_, _>>()?)
}
