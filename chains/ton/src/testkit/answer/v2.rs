//! toncenter v2: questions handed on to a node of the network. Has raw cells, knows nothing of masterchain blocks beside
//! their shards' tips, and pages by the account where one expects the transaction.

use std::sync::Arc;

use amn_core::block::Hash;
use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::getter::{self, Ended};
use super::super::history::{Block, Id, Kept};
use super::super::shape::{self, Letter, Told, base64, friendly, hash64, signed};
use super::super::view::View;
use super::{Asked, Reply, account};
use crate::address::Account;
use crate::transaction::Link;

/// Transactions of one account in one answer, at most and where nothing is asked.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 10;

/// Transactions of one block in one answer, at most and where nothing is asked.
const COUNT_MAX: usize = 10_000;
const COUNT_DEFAULT: usize = 40;

pub(super) fn error(code: u16, what: &str) -> Reply {
    Reply::Json(code, json!({ "ok": false, "error": what, "code": code }))
}

#[expect(clippy::unnecessary_wraps, reason = "what a question is answered with, where others are refused")]
fn found(result: &Value) -> Result<Reply, Reply> {
    Ok(Reply::Json(200, json!({ "ok": true, "result": result, "@extra": "1795285000.1234567:0:0.5" })))
}

impl View<'_> {
    pub(super) fn v2(&self, method: &str, asked: &Asked) -> Result<Reply, Reply> {
        match method {
            "getMasterchainInfo" => self.v2_info(),
            "getConsensusBlock" => found(&json!({ "consensus_block": self.reach, "timestamp": 1_795_285_000.25 })),
            "getShards" | "shards" => self.v2_shards(asked),
            "lookupBlock" => self.v2_lookup(asked),
            "getBlockHeader" => self.v2_header(asked),
            "getBlockTransactionsExt" => self.v2_of_block(asked),
            "getTransactions" => self.v2_transactions(asked),
            "getAddressInformation" => self.v2_state(asked),
            "runGetMethod" => self.v2_run(asked),
            _ => Err(Reply::Json(404, json!({ "detail": "Not Found" }))),
        }
    }

    fn v2_info(&self) -> Result<Reply, Reply> {
        let said = self.said().ok_or_else(|| error(500, "LITE_SERVER_NOTREADY: not in sync"))?;
        let nothing = Id { workchain: -1, shard: 0, seqno: 0, ..Id::default() };
        found(&json!({
            "@type": "blocks.masterchainInfo",
            "last": name(&said),
            "state_root_hash": hash64(&said.file),
            "init": name(&nothing),
        }))
    }

    fn v2_shards(&self, asked: &Asked) -> Result<Reply, Reply> {
        let seqno = asked.number("seqno")?.ok_or_else(|| error(422, "seqno: field required"))?;
        let name = Id { workchain: -1, seqno, ..Id::default() };
        let committed = self.committed(seqno).ok_or_else(|| self.v2_absent(&name))?;
        found(&json!({ "@type": "blocks.shards", "shards": committed.tips.iter().map(self::name).collect::<Vec<_>>() }))
    }

    /// What its node says of a block that it has not got to, or no longer has.
    fn v2_absent(&self, name: &Id) -> Reply {
        let (block, reach) = (shape::triple(name), self.reach);
        error(
            500,
            &if name.workchain == -1 && name.seqno > reach {
                let sync = format!("possibly out of sync: shard_client_seqno={reach} ls_seqno={reach}");
                format!("LITE_SERVER_NOTREADY: block {block} is not in db ({sync})")
            } else {
                format!("LITE_SERVER_UNKNOWN: unable to load block {block}: not in db")
            },
        )
    }

    /// The block that is asked for by name.
    fn v2_block(&self, asked: &Asked) -> Result<Block, Reply> {
        let workchain = asked.number("workchain")?.ok_or_else(|| error(422, "workchain: field required"))?;
        let shard =
            asked.get("shard").and_then(shape::shard_of_signed).ok_or_else(|| error(422, "shard: field required"))?;
        let seqno = asked.number("seqno")?.ok_or_else(|| error(422, "seqno: field required"))?;
        let block = self.block(workchain, shard, seqno).map(|block| self.shown(block));
        let absent = || self.v2_absent(&Id { workchain, shard, seqno, ..Id::default() });
        let block = block.ok_or_else(absent)?;
        let root = asked.get("root_hash").and_then(shape::hash_of);
        if root.is_some_and(|root| root != block.id.root) {
            return Err(absent());
        }
        Ok(block)
    }

    fn v2_lookup(&self, asked: &Asked) -> Result<Reply, Reply> {
        if asked.get("seqno").is_some() {
            return found(&name(&self.v2_block(asked)?.id));
        }
        let workchain: i8 = asked.number("workchain")?.ok_or_else(|| error(422, "workchain: field required"))?;
        let (lt, time): (Option<u64>, Option<u32>) = (asked.number("lt")?, asked.number("unixtime")?);
        let mut blocks = self.all().flat_map(|committed| committed.blocks());
        let block = blocks.find(|block| {
            block.id.workchain == workchain
                && lt.is_none_or(|lt| lt <= block.end_lt)
                && time.is_none_or(|time| time <= block.time)
        });
        let block = block.ok_or_else(|| self.v2_absent(&Id { workchain, ..Id::default() }))?;
        found(&name(&block.id))
    }

    fn v2_header(&self, asked: &Asked) -> Result<Reply, Reply> {
        let block = self.v2_block(asked)?;
        found(&json!({
            "@type": "blocks.header",
            "id": name(&block.id),
            "global_id": self.global_id(),
            "version": 0,
            "flags": 1,
            "after_merge": block.on.len() > 1,
            "after_split": block.after_split,
            "before_split": false,
            "want_merge": true,
            "want_split": false,
            "validator_list_hash_short": 0,
            "catchain_seqno": 0,
            "min_ref_mc_seqno": block.master.0,
            "is_key_block": false,
            "prev_key_block_seqno": 0,
            "start_lt": block.start_lt.to_string(),
            "end_lt": block.end_lt.to_string(),
            "gen_utime": block.time,
            "vert_seqno": 1,
            "prev_blocks": block.on.iter().map(name).collect::<Vec<_>>(),
        }))
    }

    fn v2_of_block(&self, asked: &Asked) -> Result<Reply, Reply> {
        let block = self.v2_block(asked)?;
        let count = asked.number("count")?.unwrap_or(COUNT_DEFAULT);
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(error(422, &format!("count: {count} is not within 1..={COUNT_MAX}")));
        }
        let mut rows = self.inside(&block);
        // As the block's own dictionary holds them: by account, and each account's by time.
        rows.sort_by_key(|kept| (kept.account, kept.at.lt));
        // The cursor is the account's bytes, and the time of its last transaction.
        let after_lt: Option<u64> = asked.number("after_lt")?.filter(|lt| *lt > 0);
        let after = asked.get("after_hash").and_then(shape::hash_of);
        if let (Some(lt), Some(Hash(id))) = (after_lt, after) {
            rows.retain(|kept| (kept.account.id, kept.at.lt) > (id, lt));
        }
        let all = rows.len();
        let never = self.suffers(|fault| matches!(fault, Fault::NeverComplete));
        let rows = if never && after_lt.is_some() { Vec::new() } else { self.page(rows, 0, count) };
        let told: Vec<_> = rows.iter().filter_map(|kept| self.v2_told(kept)).collect();
        found(&json!({
            "@type": "blocks.transactionsExt",
            "id": name(&block.id),
            "req_count": count,
            "incomplete": never || rows.len() < all,
            "transactions": told,
        }))
    }

    fn v2_transactions(&self, asked: &Asked) -> Result<Reply, Reply> {
        let of = account(asked, asked.get("address").unwrap_or_default())?;
        let limit = asked.number("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(error(422, &format!("limit: {limit} is not within 1..={LIMIT_MAX}")));
        }
        let to: u64 = asked.number("to_lt")?.unwrap_or(0);
        let life = self.life(&of);
        let from: Option<u64> = asked.number("lt")?.filter(|lt| *lt > 0);
        let hash = asked.get("hash").and_then(shape::hash_of);
        let from = match (from, hash) {
            (Some(lt), Some(hash)) => Some(Link { lt, hash }),
            (None, None) => self.v2_head(&of),
            _ => return Err(error(422, "hash: lt and hash are given together")),
        };
        let Some(from) = from else { return found(&json!([])) };
        let Some(place) = life.iter().position(|kept| kept.at == from) else {
            return Err(self.v2_not_there(&life, from));
        };
        // A walk along the chain, newest first, as far as its node has the cells.
        let upto = life.get(..=place).unwrap_or_default();
        let rows: Vec<_> = upto.iter().rev().take_while(|kept| kept.at.lt > to).cloned().collect();
        let rows = self.page(rows, 0, limit);
        let archive = asked.get("archival") == Some("true");
        let kept = archive || !self.suffers(|fault| matches!(fault, Fault::OnlyInArchive));
        let told: Vec<Value> = rows.iter().filter(|_| kept).map_while(|kept| self.v2_told(kept)).collect();
        if told.is_empty() && !rows.is_empty() {
            let lt = from.lt;
            let why = "cannot compute block with specified transaction: cannot find block";
            return Err(error(500, &format!("LITE_SERVER_UNKNOWN: {why} (0,8000000000000000) lt={lt}: lt not in db")));
        }
        found(&Value::Array(told))
    }

    /// What its node says where it is asked to begin at a transaction that it does not have.
    fn v2_not_there(&self, life: &[Arc<Kept>], from: Link) -> Reply {
        let covered = self.head().is_some_and(|head| from.lt <= head.block.end_lt);
        let why = if life.iter().any(|kept| kept.at.lt == from.lt) {
            "transaction hash mismatch"
        } else if covered {
            "cannot locate transaction in block with specified logical time"
        } else {
            "cannot compute block with specified transaction: ltdb: block not found"
        };
        error(500, &format!("LITE_SERVER_UNKNOWN: {why}"))
    }

    /// The newest transaction that a node's state of an account names: none of one that is gone.
    fn v2_head(&self, of: &Account) -> Option<Link> {
        let newest = self.newest(of)?;
        (newest.ends != tycho_types::models::AccountStatus::NotExists).then_some(newest.at)
    }

    fn v2_state(&self, asked: &Asked) -> Result<Reply, Reply> {
        let of = account(asked, asked.get("address").unwrap_or_default())?;
        let said = self.said().ok_or_else(|| error(500, "LITE_SERVER_NOTREADY: not in sync"))?;
        let head = self.v2_head(&of);
        let state = match self.newest(&of).map(|newest| newest.ends) {
            Some(tycho_types::models::AccountStatus::Active) => "active",
            Some(tycho_types::models::AccountStatus::Frozen) => "frozen",
            _ => "uninitialized",
        };
        found(&json!({
            "@type": "raw.fullAccountState",
            "balance": if head.is_some() { "1000000000" } else { "0" },
            "code": "",
            "data": "",
            "last_transaction_id": transaction_name(&head.unwrap_or(Link { lt: 0, hash: Hash([0; 32]) })),
            "block_id": name(&said),
            "frozen_hash": "",
            "sync_utime": self.head().map_or(0, |head| head.block.time),
            "@extra": "1795285000.1234567:0:0.5",
            "state": state,
        }))
    }

    fn v2_run(&self, asked: &Asked) -> Result<Reply, Reply> {
        let contract = account(asked, asked.body["address"].as_str().unwrap_or_default())?;
        let argument = &asked.body["stack"][0];
        let owner = match argument[0].as_str() {
            Some("tvm.Slice" | "tvm.Cell") => argument[1].as_str().and_then(shape::cell_of),
            _ => None,
        };
        let owner = owner.and_then(|cell| Account::load(&mut cell.as_slice().ok()?).ok().flatten());
        let ended = self.ask(&contract, asked.body["method"].as_str().unwrap_or_default(), owner);
        let ended = ended.unwrap_or(Ended { code: -13, stack: Vec::new() });
        let bytes = |cell| json!({ "bytes": shape::bag64(cell) });
        let stack = ended.stack.iter().map(|value| match value {
            getter::Value::Number(number) if *number < 0 => json!(["num", format!("-0x{:x}", number.unsigned_abs())]),
            getter::Value::Number(number) => json!(["num", format!("0x{number:x}")]),
            // A slice comes back as a cell.
            getter::Value::Cell(cell) | getter::Value::Slice(cell) => json!(["cell", bytes(cell)]),
        });
        let said = self.said().ok_or_else(|| error(500, "LITE_SERVER_NOTREADY: not in sync"))?;
        found(&json!({
            "@type": "smc.runResult",
            "gas_used": 3143,
            "stack": stack.collect::<Vec<_>>(),
            "exit_code": ended.code,
            "@extra": "1795285000.1234567:0:0.5",
            "block_id": name(&said),
            "last_transaction_id": transaction_name(&Link { lt: 0, hash: Hash([0; 32]) }),
        }))
    }

    /// A transaction with its cells; `None` where it has them not.
    fn v2_told(&self, kept: &Kept) -> Option<Value> {
        let raw = self.raw(kept)?;
        let told = Told::of(kept);
        let address = friendly(&kept.account, self.global_id());
        Some(json!({
            "@type": "raw.transaction",
            "address": { "@type": "accountAddress", "account_address": address },
            "account": shape::upper(&kept.account),
            "utime": kept.now,
            "data": base64(&raw),
            "transaction_id": transaction_name(&kept.at),
            "fee": told.fees.to_string(),
            "storage_fee": "0",
            "other_fee": told.fees.to_string(),
            "in_msg": told.arrived.as_ref().map(|letter| self.v2_message(letter)),
            "out_msgs": told.sent.iter().map(|letter| self.v2_message(letter)).collect::<Vec<_>>(),
        }))
    }

    fn v2_message(&self, letter: &Letter) -> Value {
        let party = |account: &Option<Account>| {
            account.as_ref().map_or_else(String::new, |account| friendly(account, self.global_id()))
        };
        json!({
            "@type": "raw.message",
            "hash": hash64(&letter.hash),
            "source": party(&letter.from),
            "destination": party(&letter.to),
            "value": letter.value.to_string(),
            "extra_currencies": [],
            "fwd_fee": letter.forwarding.to_string(),
            "ihr_fee": "0",
            "created_lt": letter.made.0.to_string(),
            "body_hash": base64(&letter.body.repr_hash().0),
            "msg_data": { "@type": "msg.dataRaw", "body": shape::bag64(&letter.body), "init_state": "" },
        })
    }
}

fn name(id: &Id) -> Value {
    // Of the very first block nothing is said but that it is there.
    let shard = if id.shard == 0 { "0".to_owned() } else { signed(id.shard) };
    json!({
        "@type": "ton.blockIdExt",
        "workchain": id.workchain,
        "shard": shard,
        "seqno": id.seqno,
        "root_hash": hash64(&id.root),
        "file_hash": hash64(&id.file),
    })
}

fn transaction_name(at: &Link) -> Value {
    json!({ "@type": "internal.transactionId", "lt": at.lt.to_string(), "hash": hash64(&at.hash) })
}
