//! Who listens to which contract, and what contracts said: rows beside decisions, in their transaction.
//!
//! Read on in [`listeners`], where the configuration becomes rows.

pub mod listeners;

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::{Address, BlockRef, Evidence, Hash, Height, NetworkId, Operator};
use amn_core::contract::{ContractWatch, Listener, Sighting, TopicPattern};
use amn_core::deposit::Settlement;
use amn_core::engine::State;
use amn_core::id::SightingId;
use amn_core::source::WatchVersion;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::row::{Place, height, moment, timestamp, uuid};

/// Patterns as a row holds them.
pub(super) fn patterns(at: super::row::Cell<'_>, topics: serde_json::Value) -> Result<Vec<TopicPattern>, StoreError> {
    let texts: Vec<Vec<String>> = at.json(topics)?;
    // Each value was brought to its one spelling when the row was written.
    let read = |texts: &Vec<String>| TopicPattern::parse(texts, |text| Ok(text.to_owned()));
    texts.iter().map(read).collect::<Result<_, _>>().map_err(|why| at.wrong(why).into())
}

/// Who listens to these contracts now.
pub(super) async fn listening(
    db: &mut PgConnection,
    network: &NetworkId,
    contracts: &BTreeSet<Address>,
) -> Result<BTreeMap<Address, Vec<Listener>>, StoreError> {
    let names: Vec<String> = contracts.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        r#"
        select id, contract, tenant_id, topics, since_height
        from amn.contract_watch
        where network_id = $1 and contract = any($2) and active
        order by id
        "#,
        network.as_str(),
        &names,
    )
    .fetch_all(db)
    .await?;
    let mut listeners: BTreeMap<Address, Vec<Listener>> = BTreeMap::new();
    for row in rows {
        let at = |column| Place { table: "contract_watch", id: &row.id }.at(column);
        listeners.entry(Address::new(&row.contract)).or_default().push(Listener {
            watch: ContractWatch(at("id").count(row.id)?),
            patterns: patterns(at("topics"), row.topics)?,
            since: at("since_height").height(row.since_height)?,
            tenant: row.tenant_id,
        });
    }
    Ok(listeners)
}

/// What may be asked of the sightings of a network.
pub(super) struct Asked<'a> {
    pub txs: &'a BTreeSet<Hash>,
    /// Pending ones at or below.
    pub pending_up_to: Option<Height>,
    /// All above, where the chain left us.
    pub above: Option<Height>,
}

pub(super) async fn sightings(
    db: &mut PgConnection,
    network: &NetworkId,
    asked: &Asked<'_>,
) -> Result<BTreeMap<SightingId, Sighting>, StoreError> {
    let txs: Vec<Vec<u8>> = asked.txs.iter().map(|tx| tx.0.to_vec()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select c.id, c.tenant_id, c.tx_hash as "tx_hash!: Vec<u8>", c.operation, c.index_in_operation, c.ordinal, c.contract,
          c.topics, c.data, c.block_height, c.block_hash as "block_hash!: Vec<u8>", c.block_time, c.status, c.inclusion,
          c.operators, c.attestations, c.linked, c.settled_at, c.settled_tip_height,
          c.settled_tip_hash as "settled_tip_hash: Vec<u8>", c.settled_require, c.told
        from amn.contract_event c
        where c.network_id = $1 and c.id in (
          select n.id from amn.contract_event n where n.network_id = $1 and n.tx_hash = any($2)
          union all
          select n.id from amn.contract_event n where n.network_id = $1 and n.status = 'seen' and n.block_height <= $3
          union all
          select n.id from amn.contract_event n where n.network_id = $1 and n.block_height > $4
        )
        "#,
        network.as_str(),
        &txs,
        asked.pending_up_to.map_or(-1, height),
        asked.above.map_or(i64::MAX, height),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| row.parse().map(|sighting| (sighting.id, sighting))).collect()
}

struct Row {
    id: Uuid,
    tenant_id: String,
    tx_hash: Vec<u8>,
    operation: i32,
    index_in_operation: i32,
    ordinal: i32,
    contract: String,
    topics: String,
    data: String,
    block_height: i64,
    block_hash: Vec<u8>,
    block_time: time::OffsetDateTime,
    status: String,
    inclusion: String,
    operators: Vec<String>,
    attestations: Option<i32>,
    linked: bool,
    settled_at: Option<time::OffsetDateTime>,
    settled_tip_height: Option<i64>,
    settled_tip_hash: Option<Vec<u8>>,
    settled_require: Option<serde_json::Value>,
    told: i32,
}

impl Row {
    fn parse(self) -> Result<Sighting, StoreError> {
        let id = SightingId(self.id.as_u128());
        let at = |column| Place { table: "contract_event", id: &id }.at(column);
        let settlement = match (self.settled_at, self.settled_require) {
            (Some(when), Some(require)) => Some(Settlement {
                at: timestamp(when),
                tip: at("settled_tip_height")
                    .block(self.settled_tip_height, self.settled_tip_hash.as_deref())?
                    .ok_or_else(|| at("settled_tip_hash").wrong("missing"))?,
                require: at("settled_require").json(require)?,
            }),
            _ => None,
        };
        Ok(Sighting {
            id,
            tenant: self.tenant_id,
            tx: at("tx_hash").hash(&self.tx_hash)?,
            operation: at("operation").count(self.operation.into())?,
            index: at("index_in_operation").count(self.index_in_operation.into())?,
            ordinal: at("ordinal").count(self.ordinal.into())?,
            contract: Address::new(&self.contract),
            topics: serde_json::from_str(&self.topics).map_err(|why| at("topics").wrong(why))?,
            data: serde_json::from_str(&self.data).map_err(|why| at("data").wrong(why))?,
            block: BlockRef {
                height: at("block_height").height(self.block_height)?,
                hash: at("block_hash").hash(&self.block_hash)?,
            },
            block_time: timestamp(self.block_time),
            status: at("status").word(&self.status)?,
            evidence: Evidence {
                inclusion: at("inclusion").word(&self.inclusion)?,
                operators: self.operators.iter().map(Operator::new).collect(),
                attestations: self.attestations.map(|n| at("attestations").count(n.into())).transpose()?,
            },
            linked: self.linked,
            settlement,
            told: at("told").count(self.told.into())?,
        })
    }
}

/// Writes sightings as a decision left them.
pub(super) async fn write(db: &mut PgConnection, after: &State, ids: &BTreeSet<SightingId>) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<&Sighting> = ids.iter().filter_map(|id| after.sightings.get(id)).collect();
    // What is off the chain first: another word may stand in its place now, and no place says two things.
    rows.sort_by_key(|sighting| sighting.is_live());
    let json: Vec<serde_json::Value> = rows.iter().map(|sighting| row(sighting)).collect();
    let done = sqlx::query!(
        r#"
        insert into amn.contract_event as c (
          id, network_id, tenant_id, tx_hash, operation, index_in_operation, ordinal, contract, topics, data,
          block_height, block_hash, block_time, status, inclusion, operators, attestations, linked,
          settled_at, settled_tip_height, settled_tip_hash, settled_require, told, seen_at, changed_at
        )
        select n.id, $2, n.tenant_id, decode(n.tx_hash, 'hex'), n.operation, n.index_in_operation, n.ordinal, n.contract,
          n.topics, n.data, n.block_height, decode(n.block_hash, 'hex'), n.block_time, n.status, n.inclusion,
          array(select jsonb_array_elements_text(n.operators)), n.attestations, n.linked, n.settled_at,
          n.settled_tip_height, decode(n.settled_tip_hash, 'hex'), n.settled_require, n.told, $3, $3
        from jsonb_to_recordset($1) as n (
          id uuid, tenant_id text, tx_hash text, operation integer, index_in_operation integer, ordinal integer, contract text,
          topics text, data text, block_height bigint, block_hash text, block_time timestamptz, status text, inclusion text,
          operators jsonb, attestations integer, linked boolean, settled_at timestamptz, settled_tip_height bigint,
          settled_tip_hash text, settled_require jsonb, told integer
        )
        on conflict (id) do update
        set ordinal = excluded.ordinal, block_height = excluded.block_height, block_hash = excluded.block_hash,
          block_time = excluded.block_time, status = excluded.status, inclusion = excluded.inclusion,
          operators = excluded.operators, attestations = excluded.attestations, linked = excluded.linked,
          settled_at = excluded.settled_at, settled_tip_height = excluded.settled_tip_height,
          settled_tip_hash = excluded.settled_tip_hash, settled_require = excluded.settled_require,
          told = excluded.told, changed_at = excluded.changed_at
        "#,
        serde_json::Value::Array(json),
        after.facts.id.as_str(),
        moment(after.now),
    )
    .execute(db)
    .await?;
    super::write::all_written("contract_event", done.rows_affected(), rows.len())
}

fn row(s: &Sighting) -> serde_json::Value {
    let settlement = s.settlement.as_ref();
    serde_json::json!({
        "id": uuid(s.id.0),
        "tenant_id": s.tenant,
        "tx_hash": hex::encode(s.tx.0),
        "operation": s.operation,
        "index_in_operation": s.index,
        "ordinal": s.ordinal,
        "contract": s.contract,
        // As text within the JSON: what is in it is not looked at, whatever characters it holds.
        "topics": s.topics.to_string(),
        "data": s.data.to_string(),
        "block_height": s.block.height,
        "block_hash": hex::encode(s.block.hash.0),
        "block_time": s.block_time,
        "status": s.status,
        "inclusion": s.evidence.inclusion,
        "operators": s.evidence.operators,
        "attestations": s.evidence.attestations,
        "linked": s.linked,
        "settled_at": settlement.map(|s| s.at),
        "settled_tip_height": settlement.map(|s| s.tip.height),
        "settled_tip_hash": settlement.map(|s| hex::encode(s.tip.hash.0)),
        "settled_require": settlement.map(|s| s.require),
        "told": s.told,
    })
}

/// A stretch was covered with the watches up to a version: newer listeners have it read again.
pub(super) async fn cover(
    db: &mut PgConnection,
    network: &NetworkId,
    from: Height,
    to: Height,
    watched: WatchVersion,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        update amn.contract_watch
        set backfill_from = least(backfill_from, $2), backfill_to = greatest(backfill_to, $3)
        where network_id = $1 and version > $4 and active
        "#,
        network.as_str(),
        height(from),
        height(to),
        i64::try_from(watched.0).unwrap_or(i64::MAX),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was covered without these listeners was read for them, up to a height.
pub(super) async fn backfilled(
    db: &mut PgConnection,
    network: &NetworkId,
    watches: &[ContractWatch],
    through: Height,
) -> Result<(), StoreError> {
    if watches.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = watches.iter().map(|watch| i64::try_from(watch.0).unwrap_or(i64::MAX)).collect();
    sqlx::query!(
        r#"
        update amn.contract_watch
        set backfill_from = case when backfill_to > $3 then greatest(backfill_from, $3 + 1) end,
          backfill_to = case when backfill_to > $3 then backfill_to end
        where network_id = $1 and id = any($2) and backfill_from is not null
        "#,
        network.as_str(),
        &ids,
        height(through),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which of a block's contract events somebody listens to and has not heard. Looked at beside decisions: what is found
/// goes to the desk, which judges again.
pub async fn unheard(
    db: &mut PgConnection,
    network: &NetworkId,
    block: &amn_core::block::Block,
) -> Result<Vec<usize>, StoreError> {
    if block.contract_events.is_empty() {
        return Ok(Vec::new());
    }
    let contracts: BTreeSet<Address> = block.contract_events.iter().map(|event| event.contract.clone()).collect();
    let listeners = listening(db, network, &contracts).await?;
    let txs: BTreeSet<Hash> = block.contract_events.iter().map(|event| event.tx).collect();
    let known = sightings(db, network, &Asked { txs: &txs, pending_up_to: None, above: None }).await?;
    let at = block.header.at;
    let missing = |event: &amn_core::contract::ContractEvent| {
        let of = listeners.get(&event.contract).map_or(&[][..], Vec::as_slice);
        of.iter().filter(|listener| listener.hears(event, at.height)).any(|listener| {
            let heard = |s: &Sighting| s.tenant == listener.tenant && s.is_live() && s.block == at && s.is_of(event);
            !known.values().any(heard)
        })
    };
    let places = block.contract_events.iter().enumerate();
    Ok(places.filter(|(_, event)| missing(event)).map(|(place, _)| place).collect())
}
