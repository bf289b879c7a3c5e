//! Networks as they stand: the tip, what is safe, what is final, and what halted them.

use amn_core::block::{Hash, NetworkId};
use amn_core::timestamp::Timestamp;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::store::StoreError;
use crate::store::row::{Place, RowError, timestamp};

/// A network's place in the ledger.
#[derive(Debug)]
pub struct Network {
    pub id: NetworkId,
    pub family: String,
    pub chain: String,
    pub block_time_ms: u64,
    pub tip: Option<(u64, Hash, Timestamp)>,
    pub safe: Option<(u64, Hash)>,
    pub finalized: Option<(u64, Hash)>,
    pub halt: Option<Halt>,
}

#[derive(Debug)]
pub struct Halt {
    pub reason: String,
    pub detail: Option<String>,
    pub at: Timestamp,
}

struct Row {
    id: String,
    family: String,
    chain: String,
    block_time_ms: i64,
    tip_height: Option<i64>,
    tip_hash: Option<Vec<u8>>,
    tip_time: Option<OffsetDateTime>,
    safe_height: Option<i64>,
    safe_hash: Option<Vec<u8>>,
    finalized_height: Option<i64>,
    finalized_hash: Option<Vec<u8>>,
    halt_reason: Option<String>,
    halt_detail: Option<String>,
    halted_at: Option<OffsetDateTime>,
}

impl Row {
    fn network(self) -> Result<Network, RowError> {
        let place = Place { table: "network", id: &self.id };
        let block = |name, height: Option<i64>, hash: Option<Vec<u8>>| -> Result<_, RowError> {
            let Some((height, hash)) = height.zip(hash) else { return Ok(None) };
            Ok(Some((place.count(name, height)?, place.hash(name, &hash)?)))
        };
        let tip = block("tip_height", self.tip_height, self.tip_hash)?;
        Ok(Network {
            id: NetworkId::new(&self.id),
            block_time_ms: place.count("block_time_ms", self.block_time_ms)?,
            tip: tip.zip(self.tip_time).map(|((height, hash), time)| (height, hash, timestamp(time))),
            safe: block("safe_height", self.safe_height, self.safe_hash)?,
            finalized: block("finalized_height", self.finalized_height, self.finalized_hash)?,
            halt: self.halt_reason.zip(self.halted_at).map(|(reason, at)| Halt {
                reason,
                detail: self.halt_detail,
                at: timestamp(at),
            }),
            family: self.family,
            chain: self.chain,
        })
    }
}

/// All networks the ledger knows, by name.
pub async fn list(pool: &PgPool) -> Result<Vec<Network>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, family, chain, block_time_ms, tip_height, tip_hash::bytea as tip_hash, tip_time,
          safe_height, safe_hash::bytea as safe_hash, finalized_height, finalized_hash::bytea as finalized_hash,
          halt_reason, halt_detail, halted_at
        from amn.network
        order by id"#
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::network).collect::<Result<_, _>>()?)
}
