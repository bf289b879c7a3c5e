//! The rows of a network outside decisions: its registration, its lease, its watches.

use amn_core::block::{Address, Height, NetworkId};
use amn_core::contract::TopicPattern;
use amn_core::id::IntentId;
use amn_core::network::Facts;
use amn_core::source::{Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::row::{Place, height, moment};
use super::{StoreError, contracts};

/// Writes a network and its assets as configured. A network never changes the chain it speaks of.
/// `balance_check`: blocks between two looks at native balances, where they are looked at.
pub async fn register(
    pool: &PgPool,
    family: &str,
    facts: &Facts,
    balance_check: Option<u64>,
) -> Result<(), StoreError> {
    let mut tx = pool.begin().await?;
    let chain = sqlx::query_scalar!(
        r#"
        insert into amn.network (id, family, chain, policy, block_time_ms, balance_check)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (id) do update
        set policy = excluded.policy, block_time_ms = excluded.block_time_ms, balance_check = excluded.balance_check
        returning chain
        "#,
        facts.id.as_str(),
        family,
        facts.chain,
        serde_json::to_value(&facts.policy).unwrap_or_default(),
        i64::try_from(facts.block_time_ms).unwrap_or(i64::MAX),
        balance_check.and_then(|blocks| i64::try_from(blocks).ok()),
    )
    .fetch_one(&mut *tx)
    .await?;
    if chain != facts.chain {
        return Err(StoreError::row(
            "network",
            "chain",
            &facts.id,
            format!("the database knows it as {chain}, the configuration as {}", facts.chain),
        ));
    }
    let listed: Vec<String> = facts.assets.iter().map(|asset| asset.id.to_string()).collect();
    sqlx::query!(
        "update amn.asset set listed = false where network_id = $1 and id <> all($2)",
        facts.id.as_str(),
        &listed,
    )
    .execute(&mut *tx)
    .await?;
    for asset in &facts.assets {
        let decimals = sqlx::query_scalar!(
            r#"
            insert into amn.asset as a (network_id, id, symbol, decimals, native, listed, min_amount, since_height)
            select $1, $2, $3, $4, $5, true, $6::text::numeric, coalesce(n.tip_height + 1, 0) from amn.network n where n.id = $1
            on conflict (network_id, id) do update
            set symbol = excluded.symbol, listed = true, min_amount = excluded.min_amount,
              -- Nobody looked for it before, or not for so little.
              since_height = case when not a.listed or excluded.min_amount < a.min_amount then excluded.since_height else a.since_height end
            returning decimals
            "#,
            facts.id.as_str(),
            asset.id.as_str(),
            asset.symbol,
            i16::from(asset.decimals),
            asset.native,
            asset.min_amount.to_string(),
        )
        .fetch_one(&mut *tx)
        .await?;
        if decimals != i16::from(asset.decimals) {
            return Err(StoreError::row(
                "asset",
                "decimals",
                &asset.id,
                format!("the database knows {decimals}, the configuration {}", asset.decimals),
            ));
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Takes or renews the lease of a network. `false`: somebody else holds it.
///
/// Nobody holds a lease for longer than two of ours: one that says so was written by a clock that ran ahead, and
/// must not keep everybody out until that time comes.
pub async fn lease(
    pool: &PgPool,
    network: &NetworkId,
    holder: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let lease = until.millis().saturating_sub(now.millis());
    let believed = Timestamp::from_millis(until.millis().saturating_add(lease));
    let done = sqlx::query!(
        r#"
        insert into amn.lease as l (network_id, holder, until)
        values ($1, $2, $4)
        on conflict (network_id) do update set holder = excluded.holder, until = excluded.until
        where l.holder = $2 or l.until < $3 or l.until > $5
        "#,
        network.as_str(),
        holder,
        moment(now),
        moment(until),
        moment(believed),
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the lease up, so that another daemon need not wait for its end.
pub async fn release(pool: &PgPool, network: &NetworkId, holder: Uuid) -> Result<(), StoreError> {
    sqlx::query!("delete from amn.lease where network_id = $1 and holder = $2", network.as_str(), holder)
        .execute(pool)
        .await?;
    Ok(())
}

/// A watch that became visible after `since`.
#[derive(Debug)]
pub struct NewWatch {
    pub version: WatchVersion,
    /// Where money may arrive, or the contract that is listened to.
    pub address: Address,
    pub native: bool,
    /// What is listened for at a contract; none where money is watched.
    pub patterns: Vec<TopicPattern>,
}

impl NewWatch {
    /// Adds it to what is looked for; `false` where the address is none of its family.
    #[must_use]
    pub fn add_to(self, watch: &mut Watch, raw: fn(&Address) -> Option<Vec<u8>>) -> bool {
        watch.version = self.version;
        let Some(raw) = raw(&self.address) else { return false };
        if self.patterns.is_empty() {
            watch.insert(&raw, self.native);
        } else {
            watch.insert_contract(&raw, &self.patterns);
        }
        true
    }
}

/// Watches above a version, in order; at most `limit`.
pub async fn watches_above(
    pool: &PgPool,
    network: &NetworkId,
    since: WatchVersion,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<NewWatch>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select n.version as "version!", n.address as "address!", n.native as "native!", n.topics
        -- Both kinds in one statement: of two, the first would miss what the second has numbers above.
        from (
          (
            select w.version, w.address,
              -- Native money is read until 30 days after the end: it costs every block's transactions.
              w.native and (i.ended_at is null or i.ended_at > $4::timestamptz - interval '30 days') as native,
              null::jsonb as topics
            from amn.watch w
            join amn.intent i on i.id = w.intent_id
            where w.network_id = $1 and w.version > $2
            order by w.version
            limit $3
          )
          union all
          (
            -- What is no longer listened for is read on: what was heard may move with its block.
            select c.version, c.contract, false, c.topics
            from amn.contract_watch c
            where c.network_id = $1 and c.version > $2
            order by c.version
            limit $3
          )
        ) n
        order by n.version
        limit $3
        "#,
        network.as_str(),
        i64::try_from(since.0).unwrap_or(i64::MAX),
        limit,
        moment(now),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let at = |column| Place { table: "watch", id: &row.address }.at(column);
            Ok(NewWatch {
                version: WatchVersion(at("version").count(row.version)?),
                patterns: row.topics.map_or(Ok(Vec::new()), |topics| contracts::patterns(at("topics"), topics))?,
                address: Address::new(&row.address),
                native: row.native,
            })
        })
        .collect()
}

/// Whether anything is awaited of a network: an open intent, somebody who listens to a contract, a deposit that is not settled or may still be reversed
/// because its block is not final, or a watch whose past must be read. Where nothing is ever final, always.
pub async fn awaits(pool: &PgPool, network: &NetworkId) -> Result<bool, StoreError> {
    let awaited = sqlx::query_scalar!(
        r#"
        select exists (select from amn.intent where network_id = $1 and open)
          or exists (select from amn.watch where network_id = $1 and backfill_from is not null)
          or exists (select from amn.contract_watch where network_id = $1 and active)
          or exists (select from amn.contract_event where network_id = $1 and status = 'seen')
          or exists (select from amn.deposit where network_id = $1 and status = 'seen')
          or exists (
            select from amn.deposit
            where network_id = $1 and status = 'settled'
              and block_height > coalesce((select finalized_height from amn.network where id = $1), -1)
          ) as "awaited!"
        "#,
        network.as_str(),
    )
    .fetch_one(pool)
    .await?;
    Ok(awaited)
}

/// A watch whose past must be read again.
#[derive(Debug)]
pub struct Backfill {
    pub intent: IntentId,
    pub address: Address,
    pub native: bool,
    pub from: Height,
    pub to: Height,
}

/// Watches with something to read again, those that reach furthest back first; at most `limit`.
pub async fn backfills(pool: &PgPool, network: &NetworkId, limit: i64) -> Result<Vec<Backfill>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select intent_id, address, native, backfill_from as "backfill_from!", backfill_to as "backfill_to!"
        from amn.watch
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
            let at = |column| Place { table: "watch", id: &row.intent_id }.at(column);
            Ok(Backfill {
                intent: IntentId(row.intent_id.as_u128()),
                from: at("backfill_from").height(row.backfill_from)?,
                to: at("backfill_to").height(row.backfill_to)?,
                native: row.native,
                address: Address::new(&row.address),
            })
        })
        .collect()
}

/// The end of the stretch at or below a height: where reading again may begin.
pub async fn boundary_at_or_below(
    db: &mut PgConnection,
    network: &NetworkId,
    at: Height,
) -> Result<Option<amn_core::block::BlockRef>, StoreError> {
    let row = sqlx::query!(
        r#"
        select to_height, tip_hash as "tip_hash!: Vec<u8>"
        from amn.segment
        where network_id = $1 and to_height <= $2
        order by to_height desc
        limit 1
        "#,
        network.as_str(),
        height(at),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let cell = |column| Place { table: "segment", id: network }.at(column);
        Ok(amn_core::block::BlockRef {
            height: cell("to_height").height(row.to_height)?,
            hash: cell("tip_hash").hash(&row.tip_hash)?,
        })
    })
    .transpose()
}

/// The ends of covered stretches within two heights, lowest first: what we stood on where headers are forgotten.
pub async fn ends(
    pool: &PgPool,
    network: &NetworkId,
    from: Height,
    to: Height,
) -> Result<Vec<amn_core::block::BlockRef>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select to_height, tip_hash as "tip_hash!: Vec<u8>"
        from amn.segment
        where network_id = $1 and to_height between $2 and $3
        order by to_height
        "#,
        network.as_str(),
        height(from),
        height(to),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let at = |column| Place { table: "segment", id: network }.at(column);
            Ok(amn_core::block::BlockRef {
                height: at("to_height").height(row.to_height)?,
                hash: at("tip_hash").hash(&row.tip_hash)?,
            })
        })
        .collect()
}

/// Pending deposits, and words of contracts, whose evidence falls short of what is asked: what to prove again. `asked`:
/// the network's own policy, with the attestations that any of its tiers asks for; an intent may ask for more.
/// At most 100 at a time; the rest has its turn when these are better known.
pub async fn short_of_evidence(
    pool: &PgPool,
    network: &NetworkId,
    asked: &amn_core::confirmation::Require,
) -> Result<Vec<(amn_core::block::TransferId, amn_core::block::BlockRef)>, StoreError> {
    let proven = asked.inclusion == Some(amn_core::block::Inclusion::Proven);
    let count = |asked: Option<u32>| asked.and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    let rows = sqlx::query!(
        r#"
        select s.id as "id!", s.tx_hash as "tx_hash!: Vec<u8>", s.kind as "kind!", s.index_in_tx as "index_in_tx!",
          s.block_height as "block_height!", s.block_hash as "block_hash!: Vec<u8>"
        from (
          select d.id, d.tx_hash, d.kind, d.index_in_tx, d.block_height, d.block_hash, d.changed_at
          from amn.deposit d
          left join amn.intent i on i.id = d.intent_id
          where d.network_id = $1 and d.status = 'seen'
            and (($2 and d.inclusion = 'reported' and d.kind <> 'internal') or (not d.linked and cardinality(d.operators) < $3)
              -- What an intent asks for by itself is asked for as well.
              or coalesce(d.attestations, 0) < greatest($4, coalesce((i.require ->> 'attestations')::integer, 0)))
          union all
          -- What is asked about a transaction is asked by any name within it.
          select c.id, c.tx_hash, 'token', 0, c.block_height, c.block_hash, c.changed_at
          from amn.contract_event c
          where c.network_id = $1 and c.status = 'seen'
            and (($2 and c.inclusion = 'reported') or (not c.linked and cardinality(c.operators) < $3)
              or coalesce(c.attestations, 0) < $4)
        ) s
        order by s.changed_at
        limit 100
        "#,
        network.as_str(),
        proven,
        count(asked.operators),
        count(asked.attestations),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let at = |column| Place { table: "deposit", id: &row.id }.at(column);
            let transfer = amn_core::block::TransferId {
                tx: at("tx_hash").hash(&row.tx_hash)?,
                kind: at("kind").word(&row.kind)?,
                index: at("index_in_tx").count(row.index_in_tx.into())?,
            };
            let block = amn_core::block::BlockRef {
                height: at("block_height").height(row.block_height)?,
                hash: at("block_hash").hash(&row.block_hash)?,
            };
            Ok((transfer, block))
        })
        .collect()
}
