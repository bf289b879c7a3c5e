//! What the ledger says of a covered block, for whoever reads it once more; and what that showed, counted.

use std::collections::BTreeSet;

use amn_core::block::{Block, BlockHash, BlockRef, Hash, Height, Kind, NetworkId, Operator, Transfer};
use amn_core::source::Coverage;
use amn_core::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::StoreError;
use super::row::{Place, height, moment, timestamp};

/// The covered stretch that holds a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub coverage: Coverage,
    /// Who it was read from, where that is known and was one.
    pub read_by: Option<Operator>,
    pub read_at: Timestamp,
}

/// Where the ledger of a network begins and ends. The beginning itself was never read.
pub async fn ledger(pool: &PgPool, network: &NetworkId) -> Result<Option<(Height, Height)>, StoreError> {
    let row = sqlx::query!("select start_height, tip_height from amn.network where id = $1", network.as_str())
        .fetch_optional(pool)
        .await?;
    let Some((start, tip)) = row.and_then(|row| row.start_height.zip(row.tip_height)) else { return Ok(None) };
    let at = |column| Place { table: "network", id: network }.at(column);
    Ok(Some((at("start_height").height(start)?, at("tip_height").height(tip)?)))
}

/// Whether this daemon is the one that follows the network.
pub async fn leads(pool: &PgPool, network: &NetworkId, holder: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    let leads = sqlx::query_scalar!(
        r#"select exists (select 1 from amn.lease where network_id = $1 and holder = $2 and until >= $3) as "leads!""#,
        network.as_str(),
        holder,
        moment(now),
    )
    .fetch_one(pool)
    .await?;
    Ok(leads)
}

/// The stretch that holds a height; `None` below the ledger, in its first block and above the tip.
pub async fn stretch_at(pool: &PgPool, network: &NetworkId, at: Height) -> Result<Option<Stretch>, StoreError> {
    let row = sqlx::query!(
        r#"
        select to_height, coverage, read_by, read_at
        from amn.segment
        where network_id = $1 and from_height <= $2
        order by from_height desc
        limit 1
        "#,
        network.as_str(),
        height(at),
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row.filter(|row| row.to_height >= height(at) && row.coverage != "checkpoint") else {
        return Ok(None);
    };
    let coverage = match row.coverage.as_str() {
        "linked" => Coverage::Linked,
        "listed" => Coverage::Listed,
        other => return Err(Place { table: "segment", id: network }.wrong("coverage", other).into()),
    };
    let read_by = row.read_by.map(Operator::new);
    Ok(Some(Stretch { coverage, read_by, read_at: timestamp(row.read_at) }))
}

/// The hash of our block at a height, where the ledger still has it: in a header, at the end of a stretch, or with
/// a deposit that is in it.
pub async fn hash_at(pool: &PgPool, network: &NetworkId, at: Height) -> Result<Option<BlockHash>, StoreError> {
    let hash = sqlx::query_scalar!(
        r#"
        select h.hash as "hash!: Vec<u8>" from (
          (select hash from amn.header where network_id = $1 and height = $2)
          union all
          (select tip_hash from amn.segment where network_id = $1 and to_height = $2)
          union all
          (select block_hash from amn.deposit
            where network_id = $1 and block_height = $2 and status in ('seen', 'settled') and kind <> 'internal')
        ) h
        limit 1
        "#,
        network.as_str(),
        height(at),
    )
    .fetch_optional(pool)
    .await?;
    hash.map(|hash| Ok(Place { table: "header", id: &at }.hash("hash", &hash)?)).transpose()
}

/// Whether native money is watched for at all.
pub async fn any_native(pool: &PgPool, network: &NetworkId) -> Result<bool, StoreError> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from amn.watch where network_id = $1 and native) as "any!""#,
        network.as_str()
    )
    .fetch_one(pool)
    .await?;
    Ok(any)
}

/// A block as it was read once more, against the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Transfers that the block was read for the first time.
    pub watched: u64,
    /// Which of the block's transfers were watched for and are not in the ledger, by their place.
    pub missing: Vec<usize>,
    /// Deposits of the ledger that the block does not hold.
    pub unfounded: Vec<String>,
}

/// Compares a block of ours with the ledger. Only what it was read for counts: transfers to addresses that its
/// stretch was read or read again for, in assets that were listed then; `candidates` are the places of those that
/// may be money at all.
pub async fn compare(
    pool: &PgPool,
    network: &NetworkId,
    block: &Block,
    candidates: &[usize],
    native: bool,
) -> Result<Compared, StoreError> {
    let at = block.header.at;
    let held = held(pool, network, at, native).await?;
    // A name with two contents is somebody's lie, and shown as unfounded below: it is no money that was missed.
    let known = |transfer: &Transfer| held.iter().any(|row| row.is(transfer) || (row.live && row.is_named(transfer)));
    let mut compared = Compared::default();
    for place in watched_for(pool, network, at.height, &block.transfers, candidates).await? {
        compared.watched += 1;
        if !block.transfers.get(place).is_some_and(known) {
            compared.missing.push(place);
        }
    }
    // A deposit that was undone need not be there; one that is live must.
    let there = |row: &&Held| !row.live || block.transfers.iter().any(|transfer| row.is(transfer));
    compared.unfounded = held.iter().filter(|row| !there(row)).map(|row| row.id.clone()).collect();
    Ok(compared)
}

/// A deposit of ours in a block, whatever became of it.
#[derive(Debug)]
struct Held {
    id: String,
    tx: Hash,
    kind: Kind,
    index: u32,
    asset: String,
    to: String,
    amount: String,
    live: bool,
}

impl Held {
    /// The reference is left out: it may be read by a payment proxy that was configured later.
    fn is(&self, transfer: &Transfer) -> bool {
        self.is_named(transfer)
            && self.asset == transfer.asset.as_str()
            && self.to == key(transfer)
            && self.amount == transfer.amount.to_string()
    }

    fn is_named(&self, transfer: &Transfer) -> bool {
        self.tx == transfer.id.tx && self.kind == transfer.id.kind && self.index == transfer.id.index
    }
}

/// How the database compares addresses: hexadecimal ones in any case.
fn key(transfer: &Transfer) -> String {
    let text = transfer.to.as_str();
    if text.starts_with("0x") { text.to_ascii_lowercase() } else { text.to_owned() }
}

/// Deposits of kinds that a block shows by itself, in assets that are still listed.
async fn held(pool: &PgPool, network: &NetworkId, at: BlockRef, native: bool) -> Result<Vec<Held>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select d.id, d.tx_hash as "tx_hash!: Vec<u8>", d.kind, d.index_in_tx, d.asset_id, d.amount::text as "amount!",
          case when d.to_address like '0x%' then lower(d.to_address) else d.to_address end as "to!",
          d.status in ('seen', 'settled') and d.kind <> 'proxy' as "live!"
        from amn.deposit d
        join amn.asset a on a.network_id = d.network_id and a.id = d.asset_id and a.listed
        where d.network_id = $1 and d.block_height = $2 and d.block_hash = $3::bytea
          and (d.kind in ('token', 'proxy') or (d.kind = 'native' and $4))
        "#,
        network.as_str(),
        height(at.height),
        at.hash.0.as_slice() as _,
        native,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let cell = |column| Place { table: "deposit", id: &row.id }.at(column);
            Ok(Held {
                tx: cell("tx_hash").hash(&row.tx_hash)?,
                kind: cell("kind").word(&row.kind)?,
                index: cell("index_in_tx").count(row.index_in_tx.into())?,
                id: row.id.to_string(),
                asset: row.asset_id,
                to: row.to,
                amount: row.amount,
                live: row.live,
            })
        })
        .collect()
}

async fn watched_for(
    pool: &PgPool,
    network: &NetworkId,
    at: Height,
    transfers: &[Transfer],
    candidates: &[usize],
) -> Result<BTreeSet<usize>, StoreError> {
    let asked: Vec<(usize, &Transfer)> =
        candidates.iter().filter_map(|place| Some((*place, transfers.get(*place)?))).collect();
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let places: Vec<i64> = asked.iter().map(|(place, _)| i64::try_from(*place).unwrap_or(i64::MAX)).collect();
    let keys: Vec<String> = asked.iter().map(|(_, transfer)| key(transfer)).collect();
    let assets: Vec<String> = asked.iter().map(|(_, transfer)| transfer.asset.to_string()).collect();
    let natives: Vec<bool> = asked.iter().map(|(_, transfer)| transfer.id.kind == Kind::Native).collect();
    let rows = sqlx::query_scalar!(
        r#"
        select t.place as "place!"
        from unnest($3::bigint[], $4::text[], $5::text[], $6::boolean[]) as t (place, key, asset, native)
        where exists (
          select 1
          from amn.segment s
          join amn.watch w on w.network_id = s.network_id and w.address_key = t.key
          join amn.intent i on i.id = w.intent_id
          join amn.asset a on a.network_id = s.network_id and a.id = t.asset and a.listed
          where s.network_id = $1
            and s.from_height = (select max(o.from_height) from amn.segment o where o.network_id = $1 and o.from_height <= $2)
            -- Read with it, or read again for it; what is still owed to a newer watch is its backfill's to find.
            and (w.version <= s.watch_version or w.since_height <= $2)
            and (w.backfill_from is null or $2 not between w.backfill_from and w.backfill_to)
            and a.since_height <= $2
            -- Native money is read until 30 days after the end; the list in memory is made anew once a day.
            and (not t.native or (w.native and (i.ended_at is null or i.ended_at > s.read_at - interval '29 days')))
        )
        order by t.place
        "#,
        network.as_str(),
        height(at),
        &places,
        &keys,
        &assets,
        &natives,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().filter_map(|place| usize::try_from(place).ok()).collect())
}

/// What one block came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub blocks: u64,
    pub transfers: u64,
    pub misses: u64,
    pub unfounded: u64,
    pub disagreements: u64,
}

/// Adds to what was measured.
pub async fn note(
    db: impl sqlx::PgExecutor<'_>,
    network: &NetworkId,
    coverage: Coverage,
    at: Height,
    tally: Tally,
    now: Timestamp,
) -> Result<(), StoreError> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query!(
        r#"
        insert into amn.recall as r
          (network_id, coverage, blocks, transfers, misses, unfounded, disagreements, last_at, last_height)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (network_id, coverage) do update
        set blocks = r.blocks + excluded.blocks, transfers = r.transfers + excluded.transfers,
          misses = r.misses + excluded.misses, unfounded = r.unfounded + excluded.unfounded,
          disagreements = r.disagreements + excluded.disagreements,
          last_at = excluded.last_at, last_height = excluded.last_height
        "#,
        network.as_str(),
        coverage.as_str(),
        count(tally.blocks),
        count(tally.transfers),
        count(tally.misses),
        count(tally.unfounded),
        count(tally.disagreements),
        moment(now),
        height(at),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was measured of a network so far, as it is shown; `None` where nothing was read once more yet.
pub async fn shown(pool: &PgPool, network: &NetworkId) -> Result<Option<Value>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select coverage, blocks, transfers, misses, unfounded, disagreements, last_at, last_height
        from amn.recall
        where network_id = $1
        order by coverage
        "#,
        network.as_str()
    )
    .fetch_all(pool)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let sum = |of: fn(&i64) -> i64, column: &[i64]| column.iter().map(of).fold(0, i64::saturating_add);
    let all = |column: Vec<i64>| sum(|n| *n, &column);
    let (transfers, misses) =
        (all(rows.iter().map(|r| r.transfers).collect()), all(rows.iter().map(|r| r.misses).collect()));
    let newest: Option<(OffsetDateTime, i64)> = rows.iter().map(|row| (row.last_at, row.last_height)).max();
    let by_coverage: serde_json::Map<String, Value> = rows
        .iter()
        .map(|row| {
            let counts = json!({
                "blocks": row.blocks, "disagreements": row.disagreements, "miss_rate_ppm": ppm(row.misses, row.transfers),
                "misses": row.misses, "transfers": row.transfers, "unfounded": row.unfounded,
            });
            (row.coverage.clone(), counts)
        })
        .collect();
    Ok(Some(json!({
        "blocks": all(rows.iter().map(|row| row.blocks).collect()),
        "by_coverage": by_coverage,
        "disagreements": all(rows.iter().map(|row| row.disagreements).collect()),
        "last_at": newest.map(|(at, _)| timestamp(at)),
        "last_height": newest.map(|(_, height)| height.to_string()),
        "miss_rate_ppm": ppm(misses, transfers),
        "misses": misses,
        "transfers": transfers,
        "unfounded": all(rows.iter().map(|row| row.unfounded).collect()),
    })))
}

/// Misses in a million transfers; `None` while nothing was compared.
fn ppm(misses: i64, transfers: i64) -> Option<i64> {
    misses.saturating_mul(1_000_000).checked_div(transfers)
}
