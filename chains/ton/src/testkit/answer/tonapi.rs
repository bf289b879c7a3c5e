//! tonapi: an index with the raw cells, whose numbers are numbers, whose hashes are hexadecimal, and which says 404 for
//! what it does not have.

use serde_json::{Value, json};
use tycho_types::models::{ComputePhase, TxInfo};

use super::super::getter;
use super::super::history::{Block, Id, Kept};
use super::super::shape::{self, Letter, Told, hex, triple};
use super::super::view::View;
use super::{Asked, Reply, account};

/// Transactions of one account in one answer, at most and where nothing is asked.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

pub(super) fn error(code: u16, what: &str) -> Reply {
    Reply::Json(code, json!({ "error": what }))
}

fn absent() -> Reply {
    error(404, "entity not found")
}

#[expect(clippy::unnecessary_wraps, reason = "what a question is answered with, where others are refused")]
fn found(value: Value) -> Result<Reply, Reply> {
    Ok(Reply::Json(200, value))
}

impl View<'_> {
    pub(super) fn tonapi(&self, asked: &Asked) -> Result<Reply, Reply> {
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["blockchain", "masterchain-head"] => {
                let head = self.head().ok_or_else(absent)?;
                let mut row = self.header(&self.shown(&head.block));
                if let Some(said) = self.said() {
                    row["seqno"] = said.seqno.into();
                }
                found(row)
            }
            ["blockchain", "masterchain", seqno, what] => self.of_masterchain(asked, seqno, what),
            ["blockchain", "blocks", id] => found(self.header(&self.shown(self.by_name(asked, id)?))),
            ["blockchain", "blocks", id, "transactions"] => {
                let mut rows = self.inside(self.by_name(asked, id)?);
                rows.sort_by_key(|kept| (kept.account, kept.at.lt));
                self.list(&rows, usize::MAX)
            }
            ["blockchain", "accounts", of] => self.account(asked, of),
            ["blockchain", "accounts", of, "transactions"] => self.of_account(asked, of),
            ["blockchain", "accounts", of, "methods", method] => self.method(asked, of, method),
            ["blockchain", "transactions", hash] => {
                let hash = shape::hash_of(hash).ok_or_else(|| error(400, "invalid hash"))?;
                let kept = self.by_hash(&hash).ok_or_else(absent)?;
                found(self.told_raw(&kept).ok_or_else(absent)?)
            }
            _ => Err(error(404, "not found")),
        }
    }

    fn of_masterchain(&self, asked: &Asked, seqno: &str, what: &str) -> Result<Reply, Reply> {
        let seqno: u32 = seqno.parse().map_err(|_| asked.refused("masterchain_seqno"))?;
        let committed = self.committed(seqno).ok_or_else(absent)?;
        match what {
            "blocks" => {
                let rows: Vec<_> = committed.blocks().map(|block| self.header(&self.shown(block))).collect();
                found(json!({ "blocks": self.page(rows, 0, usize::MAX) }))
            }
            "shards" => {
                let tips = committed.tips.iter().filter_map(|id| self.block(id.workchain, id.shard, id.seqno));
                let rows: Vec<_> = tips
                    .map(|block| json!({ "last_known_block_id": triple(&block.id), "last_known_block": self.header(block) }))
                    .collect();
                found(json!({ "shards": rows }))
            }
            "transactions" => {
                let rows: Vec<_> = committed.blocks().flat_map(|block| self.inside(block)).collect();
                self.list(&rows, usize::MAX)
            }
            _ => Err(error(404, "not found")),
        }
    }

    fn by_name(&self, asked: &Asked, id: &str) -> Result<&std::sync::Arc<Block>, Reply> {
        let wrong = || asked.refused("invalid block id");
        let inner = id.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        let parts: Vec<&str> = inner.split(',').collect();
        let [workchain, shard, seqno] = parts.as_slice() else { return Err(wrong()) };
        let (workchain, seqno) = (workchain.parse().map_err(|_| wrong())?, seqno.parse().map_err(|_| wrong())?);
        let shard = u64::from_str_radix(shard, 16).map_err(|_| wrong())?;
        self.block(workchain, shard, seqno).ok_or_else(absent)
    }

    fn account(&self, asked: &Asked, of: &str) -> Result<Reply, Reply> {
        let of = account(asked, of)?;
        let newest = self.newest(&of).filter(|kept| shape::status(kept.ends) != "nonexist").ok_or_else(absent)?;
        found(json!({
            "address": of.to_string(),
            "balance": 1_000_000_000,
            "last_transaction_lt": newest.at.lt,
            "last_transaction_hash": hex(&newest.at.hash.0),
            "status": shape::status(newest.ends),
            "storage": {
                "used_cells": 1, "used_bits": 1, "used_public_cells": 0, "last_paid": newest.now, "due_payment": 0
            },
        }))
    }

    fn of_account(&self, asked: &Asked, of: &str) -> Result<Reply, Reply> {
        let of = account(asked, of)?;
        let after: u64 = asked.number("after_lt")?.unwrap_or(0);
        let before: u64 = asked.number("before_lt")?.filter(|lt| *lt > 0).unwrap_or(1 << 62);
        let limit = asked.number("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(error(400, &format!("limit: {limit} is not within 1..={LIMIT_MAX}")));
        }
        let mut rows = self.life(&of);
        rows.retain(|kept| after < kept.at.lt && kept.at.lt < before && kept.cell.is_some());
        if asked.get("sort_order") != Some("asc") {
            rows.reverse();
        }
        self.list(&rows, limit)
    }

    fn list(&self, rows: &[std::sync::Arc<Kept>], limit: usize) -> Result<Reply, Reply> {
        let rows = self.page(rows.to_vec(), 0, limit);
        let told: Vec<Value> = rows.iter().filter_map(|kept| self.told_raw(kept)).collect();
        found(json!({ "transactions": told }))
    }

    fn method(&self, asked: &Asked, of: &str, method: &str) -> Result<Reply, Reply> {
        let contract = account(asked, of)?;
        let owner = asked.get("args").map(|text| account(asked, text)).transpose()?;
        let ended = self.ask(&contract, method, owner).ok_or_else(absent)?;
        let stack = ended.stack.iter().map(|value| match value {
            getter::Value::Number(number) if *number < 0 => {
                json!({ "type": "num", "num": format!("-0x{:x}", number.unsigned_abs()) })
            }
            getter::Value::Number(number) => json!({ "type": "num", "num": format!("0x{number:x}") }),
            // A slice comes back as a cell.
            getter::Value::Cell(cell) | getter::Value::Slice(cell) => {
                json!({ "type": "cell", "cell": hex(&shape::bag(cell)) })
            }
        });
        found(
            json!({ "success": ended.code == 0 || ended.code == 1, "exit_code": ended.code, "stack": stack.collect::<Vec<_>>() }),
        )
    }

    fn header(&self, block: &Block) -> Value {
        let master = Id { workchain: -1, seqno: block.master.0, ..Id::default() };
        json!({
            "value_flow": {},
            "workchain_id": block.id.workchain,
            "shard": format!("{:016x}", block.id.shard),
            "seqno": block.id.seqno,
            "root_hash": hex(&block.id.root.0),
            "file_hash": hex(&block.id.file.0),
            "global_id": self.global_id(),
            "version": 0,
            "after_merge": block.on.len() > 1,
            "before_split": false,
            "after_split": block.after_split,
            "want_split": false,
            "want_merge": true,
            "key_block": false,
            "gen_utime": block.time,
            "start_lt": block.start_lt,
            "end_lt": block.end_lt,
            "vert_seqno": 1,
            "gen_catchain_seqno": 0,
            "min_ref_mc_seqno": block.master.0,
            "prev_key_block_seqno": 0,
            "gen_software_version": 9,
            "gen_software_capabilities": 942,
            "master_ref": if block.id.workchain == -1 { Value::Null } else { triple(&master).into() },
            "prev_refs": block.on.iter().map(triple).collect::<Vec<_>>(),
            "in_msg_descr_length": 0,
            "out_msg_descr_length": 0,
            "rand_seed": hex(&[0; 32]),
            "created_by": hex(&[0; 32]),
            "tx_quantity": self.count(block),
        })
    }

    /// A transaction with its cells; `None` where it has them not.
    fn told_raw(&self, kept: &Kept) -> Option<Value> {
        let raw = self.raw(kept)?;
        let told = Told::of(kept);
        let (kind, credited) = match &told.info {
            Some(TxInfo::TickTock(_)) => ("TransTickTock", None),
            Some(TxInfo::Ordinary(info)) => ("TransOrd", info.credit_phase.as_ref()),
            None => ("TransOrd", None),
        };
        let mut value = json!({
            "hash": hex(&kept.at.hash.0),
            "lt": kept.at.lt,
            "account": { "address": kept.account.to_string(), "is_scam": false, "is_wallet": false },
            "success": !told.aborted(),
            "utime": kept.now,
            "orig_status": shape::status(kept.was),
            "end_status": shape::status(kept.ends),
            "total_fees": number(told.fees),
            "end_balance": 0,
            "transaction_type": kind,
            "state_update_old": hex(&[1; 32]),
            "state_update_new": hex(&[2; 32]),
            "out_msgs": told.sent.iter().map(|letter| message(letter, "int_msg")).collect::<Vec<_>>(),
            "block": triple(&kept.block),
            "aborted": told.aborted(),
            "destroyed": false,
            "raw": hex(&raw),
        });
        if kept.before.lt > 0 {
            value["prev_trans_hash"] = hex(&kept.before.hash.0).into();
            value["prev_trans_lt"] = kept.before.lt.into();
        }
        if let Some(letter) = &told.arrived {
            value["in_msg"] = message(letter, if letter.external { "ext_in_msg" } else { "int_msg" });
        }
        if let Some(credit) = credited {
            value["credit_phase"] = json!({ "fees_collected": 0, "credit": number(credit.credit.tokens.into_inner()) });
        }
        match told.compute() {
            Some(ComputePhase::Skipped(phase)) => {
                value["compute_phase"] =
                    json!({ "skipped": true, "skip_reason": format!("cskip_{}", shape::skipped(phase.reason)) });
            }
            Some(ComputePhase::Executed(phase)) => {
                value["compute_phase"] =
                    json!({ "skipped": false, "success": phase.success, "exit_code": phase.exit_code });
            }
            None => {}
        }
        Some(value)
    }
}

fn number(amount: u128) -> Value {
    u64::try_from(amount).map_or(Value::Null, Value::from)
}

fn message(letter: &Letter, kind: &str) -> Value {
    let party = |account: &crate::address::Account| json!({ "address": account.to_string(), "is_scam": false, "is_wallet": true });
    let mut value = json!({
        "msg_type": kind,
        "created_lt": letter.made.0,
        "ihr_disabled": true,
        "bounce": letter.bounce,
        "bounced": letter.bounced,
        "value": number(letter.value),
        "fwd_fee": number(letter.forwarding),
        "ihr_fee": 0,
        "import_fee": 0,
        "created_at": letter.made.1,
        "hash": hex(&letter.hash.0),
        "raw_body": hex(&shape::bag(&letter.body)),
    });
    if let Some(from) = &letter.from {
        value["source"] = party(from);
    }
    if let Some(to) = &letter.to {
        value["destination"] = party(to);
    }
    if let Some(code) = letter.opcode() {
        value["op_code"] = format!("0x{code:08x}").into();
    }
    value
}
