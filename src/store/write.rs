//! Writes what was decided: chain position, deposits, intents and outgoing events, in the decision's transaction.

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::{BlockRef, Header, Height, NetworkId, Operator};
use amn_core::deposit::{Deposit, Owner};
use amn_core::engine::{Effect, State};
use amn_core::event::Event;
use amn_core::id::{DepositId, IntentId, SightingId};
use amn_core::intent::Status;
use amn_core::source::{Coverage, WatchVersion};
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::{height, moment, uuid};
use super::{StoreError, contracts, outbox};

/// Writes every effect; `after` is the state with all of them applied. `listens`: whether anybody ever listened to a
/// contract of the network.
pub(super) async fn write(
    db: &mut PgConnection,
    after: &State,
    effects: &[Effect],
    checkpoint: &[(String, Vec<u8>)],
    listens: bool,
) -> Result<(), StoreError> {
    let network = &after.facts.id;
    let mut touched = Touched::default();
    for effect in effects {
        touched.note(effect);
        match effect {
            Effect::Start { at } => start(db, network, at, after).await?,
            Effect::Rewind { to, from, onto, .. } => {
                // Headers listed before the rewind belong to the branch that is left.
                touched.headers.retain(|h, _| *h <= to.at.height);
                rewind(db, network, to, from, *onto, after).await?;
            }
            Effect::Cover { parent, tip, coverage, watched, read_by, .. } => {
                let how = How { coverage: *coverage, watched: *watched, read_by: read_by.as_ref() };
                cover(db, network, *parent, tip.at, how, after).await?;
                if listens {
                    contracts::cover(db, network, parent.height.next(), tip.at.height, *watched).await?;
                }
            }
            Effect::Backfilled { intents, contracts, through } => {
                backfilled(db, network, intents, *through).await?;
                contracts::backfilled(db, network, contracts, *through).await?;
            }
            Effect::Forget { below } => {
                touched.headers.retain(|h, _| *h >= *below);
                forget(db, network, *below).await?;
            }
            _ => {}
        }
    }
    headers(db, network, touched.headers.values()).await?;
    moves(db, &touched.moves).await?;
    intents(db, after, &touched.intents).await?;
    deposits(db, after, &touched.deposits).await?;
    contracts::write(db, after, &touched.sightings).await?;
    observations(db, after, effects).await?;
    standing(db, after, touched.chain, checkpoint).await?;
    events(db, after, effects).await
}

/// What the effects touch, so that each row is written once, as it is in the end.
#[derive(Default)]
struct Touched {
    headers: BTreeMap<Height, Header>,
    deposits: BTreeSet<DepositId>,
    sightings: BTreeSet<SightingId>,
    intents: BTreeSet<IntentId>,
    /// The statuses an intent passed through, in order: each move must be a legal one.
    moves: BTreeMap<IntentId, Vec<Status>>,
    chain: bool,
}

impl Touched {
    fn note(&mut self, effect: &Effect) {
        match effect {
            Effect::Start { at } => {
                self.headers.insert(at.at.height, *at);
                self.chain = true;
            }
            Effect::Advance { header, .. } => {
                self.headers.insert(header.at.height, *header);
                self.chain = true;
            }
            Effect::Rewind { .. } | Effect::Forget { .. } => self.chain = true,
            Effect::Record(deposit) | Effect::Place(deposit) => {
                self.deposits.insert(deposit.id);
            }
            Effect::Prove { deposit, .. }
            | Effect::Settle { deposit, .. }
            | Effect::Undo { deposit, .. }
            | Effect::Own { deposit, .. } => {
                self.deposits.insert(*deposit);
            }
            Effect::Sight(sighting) => {
                self.sightings.insert(sighting.id);
            }
            Effect::SetIntent { intent, progress } => {
                self.intents.insert(*intent);
                self.moves.entry(*intent).or_default().push(progress.status);
            }
            Effect::Announce(event) => self.intents.extend(event.intent),
            _ => {}
        }
    }
}

async fn start(db: &mut PgConnection, network: &NetworkId, at: &Header, after: &State) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        with begun as (
          update amn.network set start_height = $2, tip_height = $2, tip_hash = $3, tip_parent = $4, tip_time = $5 where id = $1
        )
        insert into amn.segment (network_id, from_height, to_height, tip_hash, coverage, watch_version, read_at)
        values ($1, $2, $2, $3, 'checkpoint', 0, $6)
        "#,
        network.as_str(),
        height(at.at.height),
        at.at.hash.0.as_slice() as _,
        at.parent.0.as_slice() as _,
        moment(at.time),
        moment(after.now),
    )
    .execute(&mut *db)
    .await?;
    // A watch that was made before the ledger began is covered from its beginning on.
    Ok(())
}

async fn rewind(
    db: &mut PgConnection,
    network: &NetworkId,
    to: &Header,
    from: &Header,
    onto: BlockRef,
    after: &State,
) -> Result<(), StoreError> {
    let fork = height(to.at.height);
    sqlx::query!("delete from amn.header where network_id = $1 and height > $2", network.as_str(), fork)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from amn.segment where network_id = $1 and from_height > $2", network.as_str(), fork)
        .execute(&mut *db)
        .await?;
    // A balance that was read above the fork says nothing any more.
    sqlx::query!(
        r#"
        update amn.watch
        set balance = null, balance_height = null, balance_time = null
        where network_id = $1 and balance_height > $2
        "#,
        network.as_str(),
        fork,
    )
    .execute(&mut *db)
    .await?;
    // The stretch that holds the fork ends there now.
    sqlx::query!(
        "update amn.segment set to_height = $2, tip_hash = $3 where network_id = $1 and to_height > $2",
        network.as_str(),
        fork,
        to.at.hash.0.as_slice() as _,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        r#"
        insert into amn.reorg (network_id, at, fork_height, fork_hash, old_tip_height, old_tip_hash, new_tip_height, new_tip_hash, depth)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        "#,
        network.as_str(),
        moment(after.now),
        fork,
        to.at.hash.0.as_slice() as _,
        height(from.at.height),
        from.at.hash.0.as_slice() as _,
        height(onto.height),
        onto.hash.0.as_slice() as _,
        height(Height(from.at.height.above(to.at.height))),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How a stretch was read.
#[derive(Clone, Copy)]
struct How<'a> {
    coverage: Coverage,
    watched: WatchVersion,
    read_by: Option<&'a Operator>,
}

async fn cover(
    db: &mut PgConnection,
    network: &NetworkId,
    parent: BlockRef,
    tip: BlockRef,
    how: How<'_>,
    after: &State,
) -> Result<(), StoreError> {
    let watched = i64::try_from(how.watched.0).unwrap_or(i64::MAX);
    let read_by = how.read_by.map(Operator::as_str);
    // Near the tip a stretch grows by a block at a time: the last row grows with it while it was read alike.
    let grown = sqlx::query!(
        r#"
        update amn.segment
        set to_height = $4, tip_hash = $5, read_at = $8
        where network_id = $1 and to_height = $2 and tip_hash = $3 and coverage = $6 and watch_version = $7
          and read_by is not distinct from $9
        "#,
        network.as_str(),
        height(parent.height),
        parent.hash.0.as_slice() as _,
        height(tip.height),
        tip.hash.0.as_slice() as _,
        how.coverage.as_str(),
        watched,
        moment(after.now),
        read_by,
    )
    .execute(&mut *db)
    .await?;
    if grown.rows_affected() == 0 {
        sqlx::query!(
            r#"
            insert into amn.segment (network_id, from_height, to_height, parent_height, parent_hash, tip_hash, coverage, watch_version, read_at, read_by)
            values ($1, $2::bigint + 1, $4, $2, $3, $5, $6, $7, $8, $9)
            "#,
            network.as_str(),
            height(parent.height),
            parent.hash.0.as_slice() as _,
            height(tip.height),
            tip.hash.0.as_slice() as _,
            how.coverage.as_str(),
            watched,
            moment(after.now),
            read_by,
        )
        .execute(&mut *db)
        .await?;
    }
    // Watches that became visible after this stretch was read: it must be read again for them. All of it: where it
    // lies below their first height, the chain went back since they were made, and what was mined there is news.
    sqlx::query!(
        r#"
        update amn.watch
        set backfill_from = least(backfill_from, $2), backfill_to = greatest(backfill_to, $3)
        where network_id = $1 and version > $4
        "#,
        network.as_str(),
        height(parent.height.next()),
        height(tip.height),
        watched,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn backfilled(
    db: &mut PgConnection,
    network: &NetworkId,
    intents: &[IntentId],
    through: Height,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = intents.iter().map(|id| uuid(id.0)).collect();
    sqlx::query!(
        r#"
        update amn.watch
        set backfill_from = case when backfill_to > $3 then greatest(backfill_from, $3 + 1) end,
          backfill_to = case when backfill_to > $3 then backfill_to end
        where network_id = $1 and intent_id = any($2) and backfill_from is not null
        "#,
        network.as_str(),
        &ids,
        height(through),
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn forget(db: &mut PgConnection, network: &NetworkId, below: Height) -> Result<(), StoreError> {
    sqlx::query!("delete from amn.header where network_id = $1 and height < $2", network.as_str(), height(below))
        .execute(db)
        .await?;
    Ok(())
}

async fn headers(
    db: &mut PgConnection,
    network: &NetworkId,
    headers: impl Iterator<Item = &Header> + Clone,
) -> Result<(), StoreError> {
    let heights: Vec<i64> = headers.clone().map(|h| height(h.at.height)).collect();
    if heights.is_empty() {
        return Ok(());
    }
    let hashes: Vec<Vec<u8>> = headers.clone().map(|h| h.at.hash.0.to_vec()).collect();
    let parents: Vec<Vec<u8>> = headers.clone().map(|h| h.parent.0.to_vec()).collect();
    let times: Vec<time::OffsetDateTime> = headers.map(|h| moment(h.time)).collect();
    sqlx::query!(
        r#"
        insert into amn.header (network_id, height, hash, parent, time)
        select $1, h.* from unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::timestamptz[]) as h
        on conflict (network_id, height) do nothing
        "#,
        network.as_str(),
        &heights,
        &hashes,
        &parents,
        &times,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Walks each intent through the statuses before its last, so that the schema sees every move.
async fn moves(db: &mut PgConnection, moves: &BTreeMap<IntentId, Vec<Status>>) -> Result<(), StoreError> {
    let longest = moves.values().map(Vec::len).max().unwrap_or(0);
    for wave in 0..longest {
        let (mut ids, mut statuses) = (Vec::new(), Vec::new());
        for (id, passed) in moves {
            // The last one is written with the whole row.
            if let Some(status) = passed.get(wave).filter(|_| wave + 1 < passed.len()) {
                ids.push(uuid(id.0));
                statuses.push(status.as_str().to_owned());
            }
        }
        if ids.is_empty() {
            break;
        }
        sqlx::query!(
            r#"
            update amn.intent i
            set status = m.status
            from unnest($1::uuid[], $2::text[]) as m (id, status)
            where i.id = m.id and i.status <> m.status
            "#,
            &ids,
            &statuses,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn intents(db: &mut PgConnection, after: &State, ids: &BTreeSet<IntentId>) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = ids.iter().filter_map(|id| after.intents.get(id)).collect();
    let id: Vec<Uuid> = rows.iter().map(|i| uuid(i.id.0)).collect();
    let status: Vec<String> = rows.iter().map(|i| i.progress.status.as_str().to_owned()).collect();
    let ended: Vec<Option<String>> = rows.iter().map(|i| i.progress.ended.map(|e| e.as_str().to_owned())).collect();
    let accepted: Vec<Option<String>> = rows.iter().map(|i| i.progress.accepted.map(|a| a.to_string())).collect();
    let was_reversed: Vec<bool> = rows.iter().map(|i| i.progress.was_reversed).collect();
    let received: Vec<String> = rows.iter().map(|i| i.progress.sums.received.to_string()).collect();
    let settled: Vec<String> = rows.iter().map(|i| i.progress.sums.settled.to_string()).collect();
    let late: Vec<String> = rows.iter().map(|i| i.progress.sums.late.to_string()).collect();
    let sequence: Vec<i64> = rows.iter().map(|i| i64::try_from(i.progress.sequence).unwrap_or(i64::MAX)).collect();
    let done = sqlx::query!(
        r#"
        update amn.intent i
        set status = n.status, ended = n.ended,
          ended_at = case when n.ended is null then null else coalesce(i.ended_at, $10) end,
          accepted = n.accepted::numeric, was_reversed = n.was_reversed,
          received = n.received::numeric, settled = n.settled::numeric, late = n.late::numeric, sequence = n.sequence
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::text[], $9::bigint[])
          as n (id, status, ended, accepted, was_reversed, received, settled, late, sequence)
        where i.id = n.id
        "#,
        &id,
        &status,
        &ended as &[Option<String>],
        &accepted as &[Option<String>],
        &was_reversed,
        &received,
        &settled,
        &late,
        &sequence,
        moment(after.now),
    )
    .execute(db)
    .await?;
    all_written("intent", done.rows_affected(), rows.len())
}

async fn deposits(db: &mut PgConnection, after: &State, ids: &BTreeSet<DepositId>) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows: Vec<&Deposit> = ids.iter().filter_map(|id| after.deposits.get(id)).collect();
    // One JSON array instead of thirty column arrays: a block holds few of ours, and the row stays readable.
    let json: Vec<serde_json::Value> = rows.iter().map(|d| row(d)).collect();
    let done = sqlx::query!(
        r#"
        insert into amn.deposit as d (
          id, network_id, tx_hash, kind, index_in_tx, occurrence, asset_id, from_address, to_address, reference, amount,
          block_height, block_hash, block_time, ordinal, status, inclusion, operators, attestations, linked, tenant_id,
          intent_id, unmatched, assigned, late, accepted, settled_at, settled_tip_height, settled_tip_hash, settled_require,
          seen_at, changed_at
        )
        select n.id, $2, decode(n.tx_hash, 'hex'), n.kind, n.index_in_tx, n.occurrence, n.asset_id, n.from_address, n.to_address,
          n.reference, n.amount::numeric, n.block_height, decode(n.block_hash, 'hex'), n.block_time, n.ordinal, n.status,
          n.inclusion, array(select jsonb_array_elements_text(n.operators)), n.attestations, n.linked, n.tenant_id,
          n.intent_id, n.unmatched, n.assigned, n.late, n.accepted, n.settled_at, n.settled_tip_height,
          decode(n.settled_tip_hash, 'hex'), n.settled_require, $3, $3
        from jsonb_to_recordset($1) as n (
          id uuid, tx_hash text, kind text, index_in_tx integer, occurrence integer, asset_id text, from_address text, to_address text,
          reference text, amount text, block_height bigint, block_hash text, block_time timestamptz, ordinal integer, status text,
          inclusion text, operators jsonb, attestations integer, linked boolean, tenant_id text, intent_id uuid, unmatched text,
          assigned boolean, late boolean, accepted boolean, settled_at timestamptz, settled_tip_height bigint, settled_tip_hash text,
          settled_require jsonb
        )
        on conflict (id) do update
        set block_height = excluded.block_height, block_hash = excluded.block_hash, block_time = excluded.block_time,
          ordinal = excluded.ordinal, status = excluded.status, inclusion = excluded.inclusion, operators = excluded.operators,
          attestations = excluded.attestations, linked = excluded.linked, tenant_id = excluded.tenant_id,
          intent_id = excluded.intent_id, unmatched = excluded.unmatched, assigned = excluded.assigned, late = excluded.late,
          accepted = excluded.accepted, settled_at = excluded.settled_at, settled_tip_height = excluded.settled_tip_height,
          settled_tip_hash = excluded.settled_tip_hash, settled_require = excluded.settled_require,
          from_address = excluded.from_address, changed_at = excluded.changed_at
        "#,
        serde_json::Value::Array(json),
        after.facts.id.as_str(),
        moment(after.now),
    )
    .execute(db)
    .await?;
    all_written("deposit", done.rows_affected(), rows.len())
}

fn row(d: &Deposit) -> serde_json::Value {
    let (intent, unmatched) = match d.owner {
        Owner::Intent(id) => (Some(uuid(id.0)), None),
        Owner::Nobody(why) => (None, Some(why.as_str())),
    };
    let settlement = d.settlement.as_ref();
    serde_json::json!({
        "id": uuid(d.id.0),
        "tx_hash": hex::encode(d.transfer.id.tx.0),
        "kind": d.transfer.id.kind.as_str(),
        "index_in_tx": d.transfer.id.index,
        "occurrence": d.occurrence,
        "asset_id": d.transfer.asset,
        "from_address": d.transfer.from,
        "to_address": d.transfer.to,
        "reference": d.transfer.reference,
        "amount": d.transfer.amount,
        "block_height": d.block.height,
        "block_hash": hex::encode(d.block.hash.0),
        "block_time": d.block_time,
        "ordinal": d.ordinal,
        "status": d.status,
        "inclusion": d.evidence.inclusion,
        "operators": d.evidence.operators,
        "attestations": d.evidence.attestations,
        "linked": d.linked,
        "tenant_id": d.tenant,
        "intent_id": intent,
        "unmatched": unmatched,
        "assigned": d.assigned,
        "late": d.late,
        "accepted": d.accepted,
        "settled_at": settlement.map(|s| s.at),
        "settled_tip_height": settlement.map(|s| s.tip.height),
        "settled_tip_hash": settlement.map(|s| hex::encode(s.tip.hash.0)),
        "settled_require": settlement.map(|s| s.require),
    })
}

async fn observations(db: &mut PgConnection, after: &State, effects: &[Effect]) -> Result<(), StoreError> {
    for effect in effects {
        // Dust is spam by the thousand: counted in a metric, never a row.
        if let Effect::Observe { at, observation } = effect
            && observation.kind != "dust"
        {
            sqlx::query!(
                r#"
                insert into amn.observation (network_id, at, height, block_hash, kind, tx_hash, to_address, detail)
                values ($1, $2, $3, $4, $5, $6, $7, $8)
                "#,
                after.facts.id.as_str(),
                moment(after.now),
                height(at.height),
                at.hash.0.as_slice() as _,
                observation.kind,
                observation.tx.as_ref().map(|tx| tx.0.as_slice()) as _,
                observation.to.as_ref().map(amn_core::block::Address::as_str),
                observation.detail,
            )
            .execute(&mut *db)
            .await?;
        }
    }
    Ok(())
}

async fn standing(
    db: &mut PgConnection,
    after: &State,
    chain: bool,
    checkpoint: &[(String, Vec<u8>)],
) -> Result<(), StoreError> {
    let standing = &after.standing;
    let Some(tip) = standing.tip else { return halted(db, after).await };
    let checkpoint: Vec<(&String, String)> = checkpoint.iter().map(|(key, value)| (key, hex::encode(value))).collect();
    let done = sqlx::query!(
        r#"
        update amn.network
        set chain_revision = chain_revision + $2, tip_height = $3, tip_hash = $4, tip_parent = $5, tip_time = $6,
          safe_height = $7, safe_hash = $8, finalized_height = $9, finalized_hash = $10,
          vouchers = $11, checkpoint = $12, halt_reason = $13, halt_detail = $14,
          halted_at = case when $13::text is null then null else coalesce(halted_at, $15) end,
          accept_fork = $16
        where id = $1
        "#,
        after.facts.id.as_str(),
        i64::from(chain),
        height(tip.at.height),
        tip.at.hash.0.as_slice() as _,
        tip.parent.0.as_slice() as _,
        moment(tip.time),
        standing.safe.map(|b| height(b.height)),
        standing.safe.as_ref().map(|b| b.hash.0.as_slice()) as _,
        standing.finalized.map(|b| height(b.height)),
        standing.finalized.as_ref().map(|b| b.hash.0.as_slice()) as _,
        serde_json::to_value(&standing.vouchers).unwrap_or_default(),
        serde_json::to_value(checkpoint).unwrap_or_default(),
        standing.halted.as_ref().map(|h| h.reason.as_str()),
        standing.halted.as_ref().map(|h| h.detail.as_str()),
        moment(after.now),
        standing.accept_fork.as_ref().map(|hash| hash.0.as_slice()) as _,
    )
    .execute(db)
    .await?;
    all_written("network", done.rows_affected(), 1)
}

/// A network that never began may still be halted and resumed.
async fn halted(db: &mut PgConnection, after: &State) -> Result<(), StoreError> {
    let halt = after.standing.halted.as_ref();
    sqlx::query!(
        r#"
        update amn.network
        set halt_reason = $2, halt_detail = $3, halted_at = case when $2::text is null then null else coalesce(halted_at, $4) end
        where id = $1
        "#,
        after.facts.id.as_str(),
        halt.map(|h| h.reason.as_str()),
        halt.map(|h| h.detail.as_str()),
        moment(after.now),
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn events(db: &mut PgConnection, after: &State, effects: &[Effect]) -> Result<(), StoreError> {
    let events: Vec<&Event> =
        effects.iter().filter_map(|e| if let Effect::Announce(event) = e { Some(event) } else { None }).collect();
    if events.is_empty() {
        return Ok(());
    }
    let id: Vec<Uuid> = events.iter().map(|e| uuid(e.id.0)).collect();
    let tenant: Vec<Option<String>> = events.iter().map(|e| e.tenant.clone()).collect();
    let intent: Vec<Option<Uuid>> = events.iter().map(|e| e.intent.map(|i| uuid(i.0))).collect();
    let sequence: Vec<Option<i64>> = events.iter().map(|e| e.sequence.and_then(|s| i64::try_from(s).ok())).collect();
    let kind: Vec<String> = events.iter().map(|e| e.kind.as_str().to_owned()).collect();
    let body: Vec<Vec<u8>> = events.iter().map(|e| e.body.clone()).collect();
    // A decision tells far fewer than a million events; beyond that their names order them.
    let decision = i64::try_from(after.standing.revision).unwrap_or(i64::MAX).saturating_mul(1 << 20);
    let ordinal: Vec<i64> = (0..(1_i64 << 20)).map(|place| decision.saturating_add(place)).take(events.len()).collect();
    sqlx::query!(
        r#"
        insert into amn.event (id, tenant_id, network_id, intent_id, sequence, event, body, created_at, ordinal)
        select e.id, e.tenant, $7, e.intent, e.sequence, e.kind, e.body, $8, coalesce(e.ordinal, 0)
        from unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::bytea[], $9::bigint[])
          as e (id, tenant, intent, sequence, kind, body, ordinal)
        "#,
        &id,
        &tenant as &[Option<String>],
        &intent as &[Option<Uuid>],
        &sequence as &[Option<i64>],
        &kind,
        &body,
        after.facts.id.as_str(),
        moment(after.now),
        &ordinal,
    )
    .execute(&mut *db)
    .await?;
    outbox::enqueue(db, &id, after.now).await?;
    Ok(())
}

pub(super) fn all_written(table: &'static str, rows: u64, expected: usize) -> Result<(), StoreError> {
    if rows == expected as u64 {
        return Ok(());
    }
    Err(StoreError::row(table, "*", &expected, format!("{rows} rows were written where {expected} must be")))
}
