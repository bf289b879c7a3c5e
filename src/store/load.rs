//! Loads what a decision may look at: the network's row under the fence, and only the rows it names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{
    Address, AssetId, BlockRef, Evidence, Hash, Header, Height, NetworkId, Operator, Reference, Transfer, TransferId,
};
use amn_core::confirmation::Policy;
use amn_core::deposit::{Deposit, Owner, Settlement};
use amn_core::engine::{Command, Halt, HaltReason, Headers, Input, Standing, State};
use amn_core::id::{DepositId, IntentId};
use amn_core::intent::{End, Intent, Progress, Sums, Terms};
use amn_core::matching::Watched;
use amn_core::network::SharedFacts;
use amn_core::source::{Coverage, WatchVersion};
use amn_core::timestamp::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::{Place, height, moment, timestamp, uuid};
use super::{StoreError, contracts};

/// Intents ended by one decision; more than these end with the next one, a block later.
const EXPIRING_MAX: i64 = 1_000;

/// The network's row, as the fence handed it out.
pub(super) struct Row {
    pub standing: Standing,
    pub policy: Policy,
    pub chain_revision: i64,
    pub checkpoint: Vec<(String, Vec<u8>)>,
    /// Whether anybody ever listened to a contract here.
    pub listens: bool,
}

/// The columns of a network's row, for the two questions that read it.
struct NetworkRow {
    revision: i64,
    chain_revision: i64,
    tip_height: Option<i64>,
    tip_hash: Option<Vec<u8>>,
    tip_parent: Option<Vec<u8>>,
    tip_time: Option<time::OffsetDateTime>,
    safe_height: Option<i64>,
    safe_hash: Option<Vec<u8>>,
    finalized_height: Option<i64>,
    finalized_hash: Option<Vec<u8>>,
    vouchers: serde_json::Value,
    checkpoint: serde_json::Value,
    halt_reason: Option<String>,
    halt_detail: Option<String>,
    accept_fork: Option<Vec<u8>>,
    policy: serde_json::Value,
    listens: bool,
}

/// Takes the fence: the first statement of every decision. `None`: another decision came first.
pub(super) async fn fence(
    db: &mut PgConnection,
    network: &NetworkId,
    revision: u64,
) -> Result<Option<Row>, StoreError> {
    let row = sqlx::query_as!(
        NetworkRow,
        r#"
        update amn.network n
        set revision = n.revision + 1
        where n.id = $1 and n.revision = $2
        returning n.revision, n.chain_revision, n.tip_height, n.tip_hash as "tip_hash: Vec<u8>",
          n.tip_parent as "tip_parent: Vec<u8>", n.tip_time,
          n.safe_height, n.safe_hash as "safe_hash: Vec<u8>",
          n.finalized_height, n.finalized_hash as "finalized_hash: Vec<u8>",
          n.vouchers, n.checkpoint, n.halt_reason, n.halt_detail, n.accept_fork as "accept_fork: Vec<u8>",
          -- The newest override rules; one that is null gives the word back to the network's file.
          coalesce((select o.policy from amn.policy_override o where o.network_id = n.id order by o.id desc limit 1), n.policy) as "policy!",
          n.listens
        "#,
        network.as_str(),
        i64::try_from(revision).unwrap_or(i64::MAX),
    )
    .fetch_optional(&mut *db)
    .await?;
    row.map(|row| row.parse(network)).transpose()
}

/// Reads a network's row without the fence: to know where to look, never to decide.
pub(super) async fn peek(db: impl sqlx::PgExecutor<'_>, network: &NetworkId) -> Result<Row, StoreError> {
    let row = sqlx::query_as!(
        NetworkRow,
        r#"
        select n.revision, n.chain_revision, n.tip_height, n.tip_hash as "tip_hash: Vec<u8>",
          n.tip_parent as "tip_parent: Vec<u8>", n.tip_time,
          n.safe_height, n.safe_hash as "safe_hash: Vec<u8>",
          n.finalized_height, n.finalized_hash as "finalized_hash: Vec<u8>",
          n.vouchers, n.checkpoint, n.halt_reason, n.halt_detail, n.accept_fork as "accept_fork: Vec<u8>",
          -- The newest override rules; one that is null gives the word back to the network's file.
          coalesce((select o.policy from amn.policy_override o where o.network_id = n.id order by o.id desc limit 1), n.policy) as "policy!",
          n.listens
        from amn.network n
        where n.id = $1
        "#,
        network.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.ok_or_else(|| StoreError::row("network", "id", network, "there is no such row"))?.parse(network)
}

impl NetworkRow {
    fn parse(self, network: &NetworkId) -> Result<Row, StoreError> {
        let at = |column| Place { table: "network", id: network }.at(column);
        let tip = match (self.tip_height, self.tip_hash, self.tip_parent, self.tip_time) {
            (Some(h), Some(hash), Some(parent), Some(time)) => Some(Header {
                at: BlockRef { height: at("tip_height").height(h)?, hash: at("tip_hash").hash(&hash)? },
                parent: at("tip_parent").hash(&parent)?,
                time: timestamp(time),
            }),
            _ => None,
        };
        let halted = match self.halt_reason {
            None => None,
            Some(reason) => Some(Halt {
                reason: HaltReason::ALL
                    .into_iter()
                    .find(|known| known.as_str() == reason)
                    .ok_or_else(|| at("halt_reason").wrong(&reason))?,
                detail: self.halt_detail.unwrap_or_default(),
            }),
        };
        let checkpoint: Vec<(String, String)> = at("checkpoint").json(self.checkpoint)?;
        let checkpoint = checkpoint
            .into_iter()
            .map(|(key, value)| Ok((key, hex::decode(value).map_err(|error| at("checkpoint").wrong(error))?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Row {
            standing: Standing {
                revision: at("revision").count(self.revision)?,
                tip,
                safe: at("safe_height").block(self.safe_height, self.safe_hash.as_deref())?,
                finalized: at("finalized_height").block(self.finalized_height, self.finalized_hash.as_deref())?,
                vouchers: at("vouchers").json(self.vouchers)?,
                halted,
                accept_fork: self.accept_fork.map(|bytes| at("accept_fork").hash(&bytes)).transpose()?,
            },
            policy: at("policy").json(self.policy)?,
            chain_revision: self.chain_revision,
            checkpoint,
            listens: self.listens,
        })
    }
}

/// All remembered headers of a network.
pub(super) async fn headers(
    db: impl sqlx::PgExecutor<'_>,
    network: &NetworkId,
) -> Result<Arc<BTreeMap<Height, Header>>, StoreError> {
    let rows = sqlx::query_as!(
        HeaderRow,
        r#"
        select height, hash as "hash!: Vec<u8>", parent as "parent!: Vec<u8>", time
        from amn.header
        where network_id = $1
        "#,
        network.as_str()
    )
    .fetch_all(db)
    .await?;
    let headers = rows.into_iter().map(|row| row.parse().map(|header| (header.at.height, header)));
    Ok(Arc::new(headers.collect::<Result<_, _>>()?))
}

/// A header's row, for the two questions that read it.
struct HeaderRow {
    height: i64,
    hash: Vec<u8>,
    parent: Vec<u8>,
    time: time::OffsetDateTime,
}

impl HeaderRow {
    fn parse(self) -> Result<Header, StoreError> {
        let at = |column| Place { table: "header", id: &self.height }.at(column);
        let block = BlockRef { height: at("height").height(self.height)?, hash: at("hash").hash(&self.hash)? };
        Ok(Header { at: block, parent: at("parent").hash(&self.parent)?, time: timestamp(self.time) })
    }
}

/// The one header that a command may look at: the newest settled one, by which intents expire.
pub(super) async fn settled_header(db: &mut PgConnection, state: &State) -> Result<Headers, StoreError> {
    let Some((tip, limit)) = state.standing.tip.zip(state.settled_limit()) else { return Ok(Headers::default()) };
    let asked = state.policy.require.seconds.unwrap_or(0);
    let age = i64::try_from(asked).unwrap_or(i64::MAX).saturating_mul(1_000);
    // Without an age to reach, a block whose clock ran ahead of the tip's will do as well.
    let latest = (asked > 0).then(|| moment(Timestamp::from_millis(tip.time.millis().saturating_sub(age))));
    let row = sqlx::query_as!(
        HeaderRow,
        r#"
        select height, hash as "hash!: Vec<u8>", parent as "parent!: Vec<u8>", time
        from amn.header
        where network_id = $1 and height <= $2 and ($3::timestamptz is null or time <= $3)
        order by height desc
        limit 1
        "#,
        state.facts.id.as_str(),
        height(limit),
        latest,
    )
    .fetch_optional(db)
    .await?;
    let header = row.map(HeaderRow::parse).transpose()?;
    Ok(Headers::new(Arc::new(header.into_iter().map(|header| (header.at.height, header)).collect())))
}

/// The state with nothing in it but the network itself.
pub(super) fn bare(row: &Row, facts: SharedFacts, headers: Headers, now: Timestamp) -> State {
    let mut state = State::new(facts, now);
    state.standing = row.standing.clone();
    state.policy = row.policy.clone();
    state.headers = headers;
    state
}

/// Fills the state with every row that the input names, and with what its passing of time concerns. `listens`: whether
/// anybody ever listened to a contract of the network.
pub(super) async fn fill(
    db: &mut PgConnection,
    state: &mut State,
    input: &Input,
    listens: bool,
) -> Result<(), StoreError> {
    let network = state.facts.id.clone();
    let names = Names::of(input);
    let watched = watches(db, &network, state, &names).await?;

    // What the chain's progress alone concerns: decided on a copy that holds no intents, which is cheap.
    let mut after = state.clone();
    for effect in amn_core::engine::step(&after, input).unwrap_or_default() {
        after.apply(&effect);
    }
    let pending_up_to = match input {
        // A stretch that is only listed parts everything pending from the tip: all of it is judged anew.
        Input::Extend(segment) | Input::Replace { by: segment, .. } if segment.coverage == Coverage::Listed => {
            Some(Height(u64::MAX))
        }
        _ => after.pending_up_to(),
    };
    if listens {
        if !names.contracts.is_empty() {
            state.listeners = contracts::listening(db, &network, &names.contracts).await?;
        }
        let asked = contracts::Asked { txs: &names.txs, pending_up_to, above: names.above };
        state.sightings = contracts::sightings(db, &network, &asked).await?;
    }
    let mut found = deposits_named(db, &network, &names, pending_up_to).await?;
    let mut intents: BTreeSet<IntentId> = watched.into_iter().chain(names.intents.iter().copied()).collect();
    intents.extend(found.iter().filter_map(Deposit::intent));
    if let Some(before) = after.settled_time() {
        intents.extend(expiring(db, &network, before).await?);
    }
    if !intents.is_empty() {
        let ids: Vec<Uuid> = intents.iter().map(|id| uuid(id.0)).collect();
        state.intents = self::intents(db, &network, &ids).await?;
        found.extend(deposits_of(db, &network, &ids).await?);
    }
    state.deposits = found.into_iter().map(|deposit| (deposit.id, deposit)).collect();
    Ok(())
}

/// The rows that an input names.
#[derive(Default)]
struct Names {
    /// Lower-case key to canonical address, with each reference that came with it.
    arrivals: BTreeSet<(String, Address, Option<Reference>)>,
    txs: BTreeSet<Hash>,
    takebacks: BTreeSet<String>,
    above: Option<Height>,
    intents: BTreeSet<IntentId>,
    deposits: BTreeSet<DepositId>,
    contracts: BTreeSet<Address>,
}

impl Names {
    fn of(input: &Input) -> Self {
        let mut names = Self::default();
        match input {
            Input::Extend(segment) => names.blocks(&segment.blocks),
            Input::Replace { fork, by } => {
                names.blocks(&by.blocks);
                names.above = Some(fork.height);
            }
            Input::Found { blocks, intents, .. } => {
                names.blocks(blocks);
                names.intents.extend(intents);
            }
            Input::Evidence { of, .. } => {
                names.txs.insert(of.tx);
            }
            Input::Command(Command::Cancel { intent } | Command::Accept { intent }) => {
                names.intents.insert(*intent);
            }
            Input::Command(Command::Assign { deposit, intent }) => {
                names.deposits.insert(*deposit);
                names.intents.insert(*intent);
            }
            Input::Command(Command::Unassign { deposit }) => {
                names.deposits.insert(*deposit);
            }
            Input::Command(Command::Resume { .. })
            | Input::Start(_)
            | Input::Finality { .. }
            | Input::Policy(_)
            | Input::Halt(_) => {}
        }
        names
    }

    fn blocks(&mut self, blocks: &[amn_core::block::Block]) {
        for block in blocks {
            for transfer in &block.transfers {
                self.arrivals.insert((key(&transfer.to), transfer.to.clone(), transfer.reference.clone()));
                self.txs.insert(transfer.id.tx);
            }
            for event in &block.contract_events {
                self.contracts.insert(event.contract.clone());
                self.txs.insert(event.tx);
            }
            for takeback in &block.takebacks {
                self.takebacks.insert(key(&takeback.from));
                self.arrivals.insert((key(&takeback.from), takeback.from.clone(), None));
            }
        }
    }
}

/// How the database compares addresses: hexadecimal ones in any case.
fn key(address: &Address) -> String {
    let text = address.as_str();
    if text.starts_with("0x") { text.to_ascii_lowercase() } else { text.to_owned() }
}

/// The watches that decide about each arrival: the first of its address, which says whose money it is that names
/// nobody, and the one with its reference. Two index look-ups each, however many intents are open.
async fn watches(
    db: &mut PgConnection,
    network: &NetworkId,
    state: &mut State,
    names: &Names,
) -> Result<Vec<IntentId>, StoreError> {
    if names.arrivals.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = names.arrivals.iter().map(|(key, _, _)| key.clone()).collect();
    let references: Vec<String> =
        names.arrivals.iter().map(|(_, _, r)| r.as_ref().map_or(String::new(), |r| r.as_str().to_owned())).collect();
    let rows = sqlx::query!(
        r#"
        select a.key as "key!", w.reference as "reference!", w.tenant_id as "tenant_id!", w.intent_id as "intent_id!",
          bool_or(w.reference in ('', a.reference)) as "named!"
        from unnest($2::text[], $3::text[]) as a (key, reference)
        cross join lateral (
          -- A watch that owns its address alone has the empty reference, the first of all.
          (select o.* from amn.watch o where o.network_id = $1 and o.address_key = a.key order by o.reference limit 1)
          union
          (select o.* from amn.watch o where o.network_id = $1 and o.address_key = a.key and o.reference = a.reference)
        ) w
        group by a.key, w.reference, w.tenant_id, w.intent_id
        -- However the blocks were grouped, the first watch of an address comes first.
        order by a.key, w.reference
        "#,
        network.as_str(),
        &keys,
        &references,
    )
    .fetch_all(db)
    .await?;
    let canonical: BTreeMap<&String, &Address> = names.arrivals.iter().map(|(key, to, _)| (key, to)).collect();
    let mut intents = Vec::new();
    for row in rows {
        let Some(address) = canonical.get(&row.key) else { continue };
        let intent = IntentId(row.intent_id.as_u128());
        let watch = Watched {
            reference: (!row.reference.is_empty()).then(|| Reference::new(&row.reference)),
            tenant: row.tenant_id,
            intent,
        };
        let of_address = state.watches.entry((*address).clone()).or_default();
        of_address.push(watch);
        if row.named {
            intents.push(intent);
        }
    }
    Ok(intents)
}

async fn expiring(db: &mut PgConnection, network: &NetworkId, before: Timestamp) -> Result<Vec<IntentId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"
        select i.id
        from amn.intent i
        where i.network_id = $1
          and i.open
          and i.expires_at < $2
          -- What is paid and pending stays open however long its policy takes.
          and i.received < least(coalesce(i.accepted, i.due), i.due - i.tolerance)
          -- Until the chain was read for its watch, nothing can be said of it.
          and not exists (select 1 from amn.watch w where w.intent_id = i.id and w.backfill_from is not null)
          -- Native money may have come inside a contract call: the balance is looked at first.
          and not exists (
            select 1
            from amn.watch w
            join amn.network n on n.id = w.network_id
            where w.intent_id = i.id and w.native and n.balance_check is not null
              and (w.balance_time is null or w.balance_time <= i.expires_at)
          )
        order by i.expires_at
        limit $3
        "#,
        network.as_str(),
        moment(before),
        EXPIRING_MAX,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(|id| IntentId(id.as_u128())).collect())
}

async fn intents(
    db: &mut PgConnection,
    network: &NetworkId,
    ids: &[Uuid],
) -> Result<BTreeMap<IntentId, Intent>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select i.id, i.tenant_id, i.asset_id, i.address, i.reference, i.due::text as "due!", i.tolerance::text as "tolerance!",
          i.expires_at, i.require, i.metadata, i.status, i.ended, i.accepted::text as accepted, i.was_reversed,
          i.received::text as "received!", i.settled::text as "settled!", i.late::text as "late!", i.sequence,
          w.version as "version?", w.backfill_from, w.backfill_to,
          coalesce(w.native and n.balance_check is not null and (w.balance_time is null or w.balance_time <= i.expires_at), false)
            as "unbalanced!"
        from amn.intent i
        join amn.network n on n.id = i.network_id
        left join amn.watch w on w.intent_id = i.id
        where i.network_id = $1 and i.id = any($2)
        "#,
        network.as_str(),
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut intents = BTreeMap::new();
    for row in rows {
        let id = IntentId(row.id.as_u128());
        let at = |column| Place { table: "intent", id: &id }.at(column);
        let backfill = match row.backfill_from.zip(row.backfill_to) {
            Some((from, to)) => Some((at("backfill_from").height(from)?, at("backfill_to").height(to)?)),
            // Its balance must be looked at first: nothing else that is loaded with it may end it.
            None if row.unbalanced => Some((Height(0), Height(0))),
            None => None,
        };
        let ended = match row.ended.as_deref() {
            None => None,
            Some("expired") => Some(End::Expired),
            Some("canceled") => Some(End::Canceled),
            Some(other) => return Err(at("ended").wrong(other).into()),
        };
        let intent = Intent {
            id,
            terms: Terms {
                tenant: row.tenant_id,
                asset: AssetId::new(&row.asset_id),
                address: Address::new(&row.address),
                reference: row.reference.map(Reference::new),
                due: at("due").amount(&row.due)?,
                tolerance: at("tolerance").amount(&row.tolerance)?,
                expires_at: row.expires_at.map(timestamp),
                require: at("require").json(row.require)?,
                metadata: at("metadata").json(row.metadata)?,
            },
            progress: Progress {
                status: at("status").word(&row.status)?,
                ended,
                accepted: row.accepted.map(|text| at("accepted").amount(&text)).transpose()?,
                was_reversed: row.was_reversed,
                sums: Sums {
                    received: at("received").amount(&row.received)?,
                    settled: at("settled").amount(&row.settled)?,
                    late: at("late").amount(&row.late)?,
                },
                sequence: at("sequence").count(row.sequence)?,
            },
            watch: WatchVersion(row.version.map_or(Ok(0), |v| at("version").count(v))?),
            backfill,
        };
        intents.insert(id, intent);
    }
    Ok(intents)
}

/// A deposit's row, for the two questions that read it.
#[expect(clippy::struct_excessive_bools, reason = "the columns of a row")]
struct DepositRow {
    id: Uuid,
    tx_hash: Vec<u8>,
    kind: String,
    index_in_tx: i32,
    occurrence: i32,
    asset_id: String,
    from_address: Option<String>,
    to_address: String,
    reference: Option<String>,
    amount: String,
    block_height: i64,
    block_hash: Vec<u8>,
    block_time: time::OffsetDateTime,
    ordinal: i32,
    status: String,
    inclusion: String,
    operators: Vec<String>,
    attestations: Option<i32>,
    linked: bool,
    tenant_id: String,
    intent_id: Option<Uuid>,
    unmatched: Option<String>,
    assigned: bool,
    late: bool,
    accepted: bool,
    settled_at: Option<time::OffsetDateTime>,
    settled_tip_height: Option<i64>,
    settled_tip_hash: Option<Vec<u8>>,
    settled_require: Option<serde_json::Value>,
}

impl DepositRow {
    fn parse(self) -> Result<Deposit, StoreError> {
        let id = DepositId(self.id.as_u128());
        let at = |column| Place { table: "deposit", id: &id }.at(column);
        let owner = match (self.intent_id, self.unmatched) {
            (Some(intent), None) => Owner::Intent(IntentId(intent.as_u128())),
            (None, Some(why)) => Owner::Nobody(at("unmatched").word(&why)?),
            _ => return Err(at("intent_id").wrong("owned by both an intent and nobody").into()),
        };
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
        Ok(Deposit {
            id,
            transfer: Transfer {
                id: TransferId {
                    tx: at("tx_hash").hash(&self.tx_hash)?,
                    kind: at("kind").word(&self.kind)?,
                    index: at("index_in_tx").count(self.index_in_tx.into())?,
                },
                asset: AssetId::new(&self.asset_id),
                from: self.from_address.map(Address::new),
                to: Address::new(&self.to_address),
                reference: self.reference.map(Reference::new),
                amount: at("amount").amount(&self.amount)?,
            },
            occurrence: at("occurrence").count(self.occurrence.into())?,
            block: BlockRef {
                height: at("block_height").height(self.block_height)?,
                hash: at("block_hash").hash(&self.block_hash)?,
            },
            block_time: timestamp(self.block_time),
            ordinal: at("ordinal").count(self.ordinal.into())?,
            status: at("status").word(&self.status)?,
            evidence: Evidence {
                inclusion: at("inclusion").word(&self.inclusion)?,
                operators: self.operators.iter().map(Operator::new).collect(),
                attestations: self.attestations.map(|n| at("attestations").count(n.into())).transpose()?,
            },
            linked: self.linked,
            tenant: self.tenant_id,
            owner,
            assigned: self.assigned,
            late: self.late,
            accepted: self.accepted,
            settlement,
        })
    }
}

/// Deposits the input names, those above a fork, and those that the chain's progress may settle.
async fn deposits_named(
    db: &mut PgConnection,
    network: &NetworkId,
    names: &Names,
    pending_up_to: Option<Height>,
) -> Result<Vec<Deposit>, StoreError> {
    let txs: Vec<Vec<u8>> = names.txs.iter().map(|tx| tx.0.to_vec()).collect();
    let takebacks: Vec<String> = names.takebacks.iter().map(|t| t.to_ascii_lowercase()).collect();
    let ids: Vec<Uuid> = names.deposits.iter().map(|id| uuid(id.0)).collect();
    let rows = sqlx::query_as!(
        DepositRow,
        r#"
        select d.id, d.tx_hash as "tx_hash!: Vec<u8>", d.kind, d.index_in_tx, d.occurrence, d.asset_id, d.from_address, d.to_address, d.reference,
          d.amount::text as "amount!", d.block_height, d.block_hash as "block_hash!: Vec<u8>", d.block_time, d.ordinal,
          d.status, d.inclusion, d.operators, d.attestations, d.linked, d.tenant_id, d.intent_id, d.unmatched,
          d.assigned, d.late, d.accepted, d.settled_at, d.settled_tip_height,
          d.settled_tip_hash as "settled_tip_hash: Vec<u8>", d.settled_require
        from amn.deposit d
        where d.network_id = $1 and d.id in (
          select n.id from amn.deposit n where n.network_id = $1 and n.tx_hash = any($2)
          union all
          select n.id from amn.deposit n where n.network_id = $1 and n.status = 'seen' and n.block_height <= $3
          union all
          select n.id from amn.deposit n where n.network_id = $1 and n.block_height > $4
          union all
          select n.id from amn.deposit n where n.network_id = $1 and lower(n.to_address) = any($5)
          union all
          select n.id from amn.deposit n where n.id = any($6)
        )
        "#,
        network.as_str(),
        &txs,
        pending_up_to.map_or(-1, height),
        names.above.map_or(i64::MAX, height),
        &takebacks,
        &ids,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(DepositRow::parse).collect()
}

async fn deposits_of(db: &mut PgConnection, network: &NetworkId, intents: &[Uuid]) -> Result<Vec<Deposit>, StoreError> {
    let rows = sqlx::query_as!(
        DepositRow,
        r#"
        select d.id, d.tx_hash as "tx_hash!: Vec<u8>", d.kind, d.index_in_tx, d.occurrence, d.asset_id, d.from_address, d.to_address, d.reference,
          d.amount::text as "amount!", d.block_height, d.block_hash as "block_hash!: Vec<u8>", d.block_time, d.ordinal,
          d.status, d.inclusion, d.operators, d.attestations, d.linked, d.tenant_id, d.intent_id, d.unmatched,
          d.assigned, d.late, d.accepted, d.settled_at, d.settled_tip_height,
          d.settled_tip_hash as "settled_tip_hash: Vec<u8>", d.settled_require
        from amn.deposit d
        where d.network_id = $1 and d.intent_id = any($2)
        "#,
        network.as_str(),
        intents,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(DepositRow::parse).collect()
}
