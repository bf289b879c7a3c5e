//! Every row that a network has, beside what memory says it must be.

use std::collections::BTreeMap;

use amn_core::block::{BlockHash, BlockRef, Header, Height, Observation};
use amn_core::deposit::{Deposit, Owner};
use amn_core::engine::State;
use amn_core::event::Event;
use amn_core::intent::Intent;
use amn_core::source::WatchVersion;
use amn_core::timestamp::Timestamp;
use amn_scanner::store;
use serde_json::{Value, json};
use sqlx::{PgPool, Row as _};

use super::held::{Record, differ};

/// One row of JSON columns, so that a look at everything is one question.
const EVERYTHING: &str = r"
select
  (select jsonb_build_object(
    'revision', n.revision,
    'start', n.start_height,
    'tip', case when n.tip_height is not null
      then jsonb_build_array(n.tip_height, encode(n.tip_hash, 'hex'), encode(n.tip_parent, 'hex'), (1000 * extract(epoch from n.tip_time))::bigint) end,
    'safe', case when n.safe_height is not null then jsonb_build_array(n.safe_height, encode(n.safe_hash, 'hex')) end,
    'finalized', case when n.finalized_height is not null then jsonb_build_array(n.finalized_height, encode(n.finalized_hash, 'hex')) end,
    'vouchers', n.vouchers,
    'halt', case when n.halt_reason is not null then jsonb_build_array(n.halt_reason, n.halt_detail) end,
    'accept_fork', encode(n.accept_fork, 'hex'),
    'policy', coalesce((select o.policy from amn.policy_override o where o.network_id = n.id order by o.id desc limit 1), n.policy)
  ) from amn.network n where n.id = $1) as network,

  (select jsonb_agg(jsonb_build_array(h.height, encode(h.hash, 'hex'), encode(h.parent, 'hex'), (1000 * extract(epoch from h.time))::bigint) order by h.height)
    from amn.header h where h.network_id = $1) as headers,

  (select jsonb_agg(jsonb_build_object(
    'id', i.id, 'status', i.status, 'ended', i.ended, 'accepted', i.accepted::text, 'was_reversed', i.was_reversed,
    'received', i.received::text, 'settled', i.settled::text, 'late', i.late::text, 'sequence', i.sequence,
    'backfill', case when w.backfill_from is not null then jsonb_build_array(w.backfill_from, w.backfill_to) end
  ) order by i.id) from amn.intent i join amn.watch w on w.intent_id = i.id where i.network_id = $1) as intents,

  (select jsonb_agg(jsonb_build_object(
    'id', d.id, 'tx', encode(d.tx_hash, 'hex'), 'kind', d.kind, 'index', d.index_in_tx, 'occurrence', d.occurrence,
    'asset', d.asset_id, 'from', d.from_address, 'to', d.to_address, 'reference', d.reference, 'amount', d.amount::text,
    'block', jsonb_build_array(d.block_height, encode(d.block_hash, 'hex')), 'block_time', (1000 * extract(epoch from d.block_time))::bigint,
    'ordinal', d.ordinal, 'status', d.status, 'inclusion', d.inclusion, 'operators', d.operators,
    'attestations', d.attestations, 'linked', d.linked, 'tenant', d.tenant_id, 'intent', d.intent_id,
    'unmatched', d.unmatched, 'assigned', d.assigned, 'late', d.late, 'accepted', d.accepted,
    'settled', case when d.settled_at is not null then jsonb_build_array(
      (1000 * extract(epoch from d.settled_at))::bigint, d.settled_tip_height, encode(d.settled_tip_hash, 'hex'), d.settled_require) end
  ) order by d.id) from amn.deposit d where d.network_id = $1) as deposits,

  (select jsonb_agg(jsonb_build_object(
    'id', e.id, 'tenant', e.tenant_id, 'intent', e.intent_id, 'sequence', e.sequence, 'event', e.event,
    'body', convert_from(e.body, 'UTF8'), 'at', (1000 * extract(epoch from e.created_at))::bigint
  ) order by e.id) from amn.event e where e.network_id = $1 and e.id <> all($2)) as news,

  (select jsonb_agg(jsonb_build_array(s.from_height, s.to_height, s.parent_height, encode(s.parent_hash, 'hex'), encode(s.tip_hash, 'hex'),
    s.coverage, s.watch_version) order by s.from_height) from amn.segment s where s.network_id = $1) as segments,

  (select jsonb_agg(jsonb_build_array(r.fork_height, encode(r.fork_hash, 'hex'), r.old_tip_height, encode(r.old_tip_hash, 'hex'),
    r.new_tip_height, encode(r.new_tip_hash, 'hex'), r.depth) order by r.id) from amn.reorg r where r.network_id = $1) as reorgs,

  (select jsonb_agg(jsonb_build_array(o.height, encode(o.block_hash, 'hex'), o.kind, encode(o.tx_hash, 'hex'), o.to_address, o.detail) order by o.id)
    from amn.observation o where o.network_id = $1) as observations
";

/// Compares the whole network; the first difference is named. Events that were compared before are not read again.
pub async fn compare(pool: &PgPool, memory: &State, record: &mut Record) -> Result<(), String> {
    let row = sqlx::query(EVERYTHING)
        .bind(memory.facts.id.as_str())
        .bind(&record.read)
        .fetch_one(pool)
        .await
        .map_err(|error| error.to_string())?;
    let column = |name: &str| row.try_get::<Option<Value>, _>(name).map_err(|error| error.to_string());
    let same = |name: &str, postgres: Value, expected: Value| {
        if postgres == expected {
            return Ok(());
        }
        let rows = |value: Value| if let Value::Array(rows) = value { rows } else { vec![value] };
        Err(differ(name, &rows(postgres), &rows(expected)))
    };
    same("network", column("network")?.unwrap_or_default(), network(memory, record))?;
    let list = |name: &str| Ok::<_, String>(column(name)?.unwrap_or_else(|| json!([])));
    let headers: Vec<Value> = memory.headers.down_from(Height(u64::MAX)).map(header).collect();
    same("headers", list("headers")?, headers.into_iter().rev().collect())?;
    same("intents", list("intents")?, memory.intents.values().map(intent).collect())?;
    same("deposits", list("deposits")?, memory.deposits.values().map(deposit).collect())?;
    record.news.sort_by_key(|event| event.id);
    same("events", list("news")?, record.news.iter().map(event).collect())?;
    record.read.extend(record.news.drain(..).map(|event| store::uuid(event.id.0)));
    same("reorgs", list("reorgs")?, record.reorgs.iter().cloned().collect())?;
    same("observations", list("observations")?, record.observations.iter().cloned().collect())?;
    segments(&list("segments")?, memory, record)
}

/// The stretches stand on one another from the first block to the tip, and say how each height was read.
fn segments(rows: &Value, memory: &State, record: &Record) -> Result<(), String> {
    type Stretch = (u64, u64, Option<u64>, Option<String>, String, String, u64);
    let rows: Vec<Stretch> = serde_json::from_value(rows.clone()).map_err(|error| error.to_string())?;
    let Some(tip) = memory.standing.tip else { return Ok(()) };
    let mut covered = BTreeMap::new();
    let mut below: Option<(u64, String)> = None;
    for (from, to, parent, parent_hash, hash, coverage, watched) in &rows {
        let stands = match &below {
            None => parent.is_none() && coverage == "checkpoint" && Some(Height(*from)) == record.start && from == to,
            Some((end, end_hash)) => {
                *parent == Some(*end) && parent_hash.as_ref() == Some(end_hash) && *from == end + 1
            }
        };
        if !stands {
            return Err(format!("the stretch {from}..{to} does not stand on {below:?}"));
        }
        if coverage != "checkpoint" {
            covered.extend((*from..=*to).map(|height| (Height(height), (coverage.clone(), *watched))));
        }
        below = Some((*to, hash.clone()));
    }
    if below != Some((tip.at.height.0, hex(tip.at.hash))) {
        return Err(format!("the stretches end in {below:?}, the tip is {:?}", tip.at));
    }
    let read: BTreeMap<Height, (String, u64)> = record
        .covered
        .iter()
        .map(|(height, (how, WatchVersion(v)))| (*height, (how.as_str().to_owned(), *v)))
        .collect();
    if covered == read { Ok(()) } else { Err(differ("coverage", &Vec::from_iter(covered), &Vec::from_iter(read))) }
}

fn network(memory: &State, record: &Record) -> Value {
    let standing = &memory.standing;
    json!({
        "revision": standing.revision,
        "start": record.start,
        "tip": standing.tip.as_ref().map(header),
        "safe": standing.safe.map(block),
        "finalized": standing.finalized.map(block),
        "vouchers": standing.vouchers,
        "halt": standing.halted.as_ref().map(|halt| json!([halt.reason.as_str(), halt.detail])),
        "accept_fork": standing.accept_fork.map(hex),
        "policy": memory.policy,
    })
}

fn header(of: &Header) -> Value {
    json!([of.at.height, hex(of.at.hash), hex(of.parent), millis(of.time)])
}

fn intent(of: &Intent) -> Value {
    let progress = &of.progress;
    json!({
        "id": store::uuid(of.id.0),
        "status": progress.status,
        "ended": progress.ended.map(amn_core::intent::End::as_str),
        "accepted": progress.accepted,
        "was_reversed": progress.was_reversed,
        "received": progress.sums.received,
        "settled": progress.sums.settled,
        "late": progress.sums.late,
        "sequence": progress.sequence,
        "backfill": of.backfill.map(|(from, to)| json!([from, to])),
    })
}

fn deposit(of: &Deposit) -> Value {
    let (intent, unmatched) = match of.owner {
        Owner::Intent(id) => (Some(store::uuid(id.0)), None),
        Owner::Nobody(why) => (None, Some(why.as_str())),
    };
    let settled = of.settlement.as_ref();
    json!({
        "id": store::uuid(of.id.0),
        "tx": hex(of.transfer.id.tx),
        "kind": of.transfer.id.kind,
        "index": of.transfer.id.index,
        "occurrence": of.occurrence,
        "asset": of.transfer.asset,
        "from": of.transfer.from,
        "to": of.transfer.to,
        "reference": of.transfer.reference,
        "amount": of.transfer.amount,
        "block": block(of.block),
        "block_time": millis(of.block_time),
        "ordinal": of.ordinal,
        "status": of.status,
        "inclusion": of.evidence.inclusion,
        "operators": of.evidence.operators,
        "attestations": of.evidence.attestations,
        "linked": of.linked,
        "tenant": of.tenant,
        "intent": intent,
        "unmatched": unmatched,
        "assigned": of.assigned,
        "late": of.late,
        "accepted": of.accepted,
        "settled": settled.map(|s| json!([millis(s.at), s.tip.height, hex(s.tip.hash), s.require])),
    })
}

fn event(of: &Event) -> Value {
    json!({
        "id": store::uuid(of.id.0),
        "tenant": of.tenant,
        "intent": of.intent.map(|id| store::uuid(id.0)),
        "sequence": of.sequence,
        "event": of.kind.as_str(),
        "body": String::from_utf8_lossy(&of.body),
        "at": millis(of.created_at),
    })
}

pub fn reorg(fork: BlockRef, old: BlockRef, new: BlockRef) -> Value {
    let depth = old.height.above(fork.height);
    json!([fork.height, hex(fork.hash), old.height, hex(old.hash), new.height, hex(new.hash), depth])
}

pub fn observation(at: BlockRef, of: &Observation) -> Value {
    json!([at.height, hex(at.hash), of.kind, of.tx.map(hex), of.to, of.detail])
}

fn block(of: BlockRef) -> Value {
    json!([of.height, hex(of.hash)])
}

fn hex(of: BlockHash) -> String {
    of.to_string().trim_start_matches("0x").to_owned()
}

const fn millis(of: Timestamp) -> i64 {
    of.millis()
}
