//! toncenter v3: an index in a database. Knows which masterchain block commits a transaction, has no raw cells, and says
//! nothing as gladly as something.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tycho_types::models::{BouncePhase, ComputePhase, TickTock, TxInfo};

use super::super::fault::Fault;
use super::super::getter::{self, Ended};
use super::super::history::{Block, Id, Kept, MASTERCHAIN, kept};
use super::super::shape::{self, Letter, Told, base64, hash64, upper};
use super::super::view::View;
use super::{Asked, Reply, account};
use crate::address::Account;

/// Rows of one answer, at most and where nothing is asked.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 10;

pub(super) fn error(code: u16, what: &str) -> Reply {
    Reply::Json(code, json!({ "code": code, "error": what }))
}

#[expect(clippy::unnecessary_wraps, reason = "what a question is answered with, where others are refused")]
fn found(value: Value) -> Result<Reply, Reply> {
    Ok(Reply::Json(200, value))
}

/// The part of a list that is asked for.
struct Limits {
    limit: usize,
    offset: usize,
    /// `None` where nothing is asked.
    ascending: Option<bool>,
}

impl Limits {
    fn of(asked: &Asked) -> Result<Self, Reply> {
        let limit = asked.number("limit")?.unwrap_or(LIMIT_DEFAULT).max(1);
        if limit > LIMIT_MAX {
            // The server wraps its own refusal into an error of its own.
            return Err(error(500, &format!("limit is not allowed: {limit} > {LIMIT_MAX}")));
        }
        let ascending = match asked.get("sort").map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("asc" | "a") => Some(true),
            Some("desc" | "d") => Some(false),
            Some(_) => return Err(error(422, "wrong value for sort parameter")),
        };
        Ok(Self { limit, offset: asked.number("offset")?.unwrap_or(0), ascending })
    }
}

impl View<'_> {
    pub(super) fn v3(&self, method: &str, asked: &Asked) -> Result<Reply, Reply> {
        match method {
            "masterchainInfo" => self.v3_info(),
            "blocks" => self.v3_blocks(asked),
            "masterchainBlockShards" => self.v3_shards(asked),
            "transactionsByMasterchainBlock" => self.v3_of_block(asked),
            "transactions" => self.v3_transactions(asked),
            "accountStates" => self.v3_states(asked),
            "runGetMethod" => self.v3_run(asked),
            _ => Err(error(404, &format!("Cannot GET /api/v3/{method}"))),
        }
    }

    fn v3_info(&self) -> Result<Reply, Reply> {
        let (Some(head), Some(first)) = (self.head(), self.all().next()) else {
            return Err(error(500, "no rows in result set"));
        };
        let mut last = self.row(&head.block);
        if let Some(said) = self.said() {
            last["seqno"] = said.seqno.into();
        }
        found(json!({ "last": last, "first": self.row(&first.block) }))
    }

    fn v3_blocks(&self, asked: &Asked) -> Result<Reply, Reply> {
        let limits = Limits::of(asked)?;
        let shard = asked
            .get("shard")
            .map(|text| shape::shard_of_digits(text).ok_or_else(|| error(422, "shard")))
            .transpose()?;
        let (workchain, seqno): (Option<i8>, Option<u32>) = (asked.number("workchain")?, asked.number("seqno")?);
        let height: Option<u32> = asked.number("mc_seqno")?;
        let (from, to): (Option<u64>, Option<u64>) = (asked.number("start_lt")?, asked.number("end_lt")?);
        let (since, until): (Option<u32>, Option<u32>) = (asked.number("start_utime")?, asked.number("end_utime")?);
        let hash = |name| asked.get(name).map(|text| shape::hash_of(text).ok_or_else(|| error(422, name))).transpose();
        let (root, file) = (hash("root_hash")?, hash("file_hash")?);
        let committed = match height {
            Some(height) => self.committed(height).map(|block| vec![block]).unwrap_or_default(),
            None => self.all().collect(),
        };
        let mut rows: Vec<_> = committed
            .into_iter()
            .flat_map(|committed| committed.blocks())
            .filter(|block| {
                workchain.is_none_or(|wanted| wanted == block.id.workchain)
                    && shard.is_none_or(|wanted| wanted == block.id.shard)
                    && seqno.is_none_or(|wanted| wanted == block.id.seqno)
                    // Both bounds are of where a block begins.
                    && from.is_none_or(|from| from <= block.start_lt)
                    && to.is_none_or(|to| block.start_lt <= to)
                    && since.is_none_or(|since| since <= block.time)
                    && until.is_none_or(|until| block.time <= until)
            })
            .filter(|block| {
                (root.is_none() && file.is_none()) || {
                    let id = self.shown(block).id;
                    root.is_none_or(|wanted| wanted == id.root) && file.is_none_or(|wanted| wanted == id.file)
                }
            })
            .collect();
        // Where no order is asked for there is none: here, as the table happens to lie.
        if let Some(ascending) = limits.ascending {
            rows.sort_by_key(|block| (block.time, -block.id.workchain, block.id.shard.cast_signed(), block.id.seqno));
            if !ascending {
                rows.reverse();
            }
        }
        let rows = self.page(rows, limits.offset, limits.limit);
        found(json!({ "blocks": rows.iter().map(|block| self.row(&self.shown(block))).collect::<Vec<_>>() }))
    }

    fn v3_shards(&self, asked: &Asked) -> Result<Reply, Reply> {
        let limits = Limits::of(asked)?;
        let height = asked.number("seqno")?.ok_or_else(|| error(422, "seqno is required"))?;
        let Some(committed) = self.committed(height) else { return Err(error(404, "blocks not found")) };
        let rows: Vec<Value> = committed.blocks().map(|block| self.row(&self.shown(block))).collect();
        found(json!({ "blocks": self.page(rows, limits.offset, limits.limit) }))
    }

    fn v3_of_block(&self, asked: &Asked) -> Result<Reply, Reply> {
        let limits = Limits::of(asked)?;
        let height: u32 = asked.number("seqno")?.ok_or_else(|| error(422, "seqno is required"))?;
        let rows = self.v3_committed(height)?;
        self.v3_list(rows, &limits)
    }

    /// What a masterchain block commits. One that is not there commits nothing.
    fn v3_committed(&self, height: u32) -> Result<Vec<Arc<Kept>>, Reply> {
        match self.committed(height) {
            Some(committed) => Ok(committed.blocks().flat_map(|block| self.inside(block)).collect()),
            None if self.suffers(|fault| matches!(fault, Fault::UnknownIsAnError)) => {
                Err(error(404, &format!("masterchain block {height} not found")))
            }
            None => Ok(Vec::new()),
        }
    }

    fn v3_transactions(&self, asked: &Asked) -> Result<Reply, Reply> {
        let limits = Limits::of(asked)?;
        let accounts: Vec<Account> = asked.all("account").map(|text| account(asked, text)).collect::<Result<_, _>>()?;
        let hashes: Vec<_> = asked
            .all("hash")
            .map(|text| shape::hash_of(text).ok_or_else(|| error(422, "hash")))
            .collect::<Result<_, _>>()?;
        let (from, to, at): (Option<u64>, Option<u64>, Option<u64>) =
            (asked.number("start_lt")?, asked.number("end_lt")?, asked.number("lt")?);
        let height: Option<u32> = asked.number("mc_seqno")?;
        let rows: Vec<_> = if !hashes.is_empty() {
            hashes.iter().filter_map(|hash| self.by_hash(hash)).collect()
        } else if !accounts.is_empty() {
            accounts.iter().flat_map(|account| self.life(account).into_iter().chain(self.expected(account))).collect()
        } else if let Some(height) = height {
            self.v3_committed(height)?
        } else {
            self.history.accounts().flat_map(|account| self.life(account)).collect()
        };
        let rows = rows.into_iter().filter(|kept| {
            (accounts.is_empty() || accounts.contains(&kept.account))
                && from.is_none_or(|from| from <= kept.at.lt)
                && to.is_none_or(|to| kept.at.lt <= to)
                && at.is_none_or(|at| at == kept.at.lt)
                && height.is_none_or(|height| height == kept.height)
        });
        self.v3_list(rows.collect(), &limits)
    }

    /// What of an account is shown though the network has not committed it.
    fn expected(&self, account: &Account) -> Vec<Arc<Kept>> {
        let of = |fault: &Fault| match fault {
            Fault::Expected { account: of, made } if of == account => Some(kept(*of, &made.cell)),
            _ => None,
        };
        self.faults.iter().filter_map(of).collect()
    }

    fn v3_list(&self, mut rows: Vec<Arc<Kept>>, limits: &Limits) -> Result<Reply, Reply> {
        let ascending = limits.ascending.unwrap_or(false);
        // By logical time, the newest first unless asked; accounts of one time in the order of their names.
        rows.sort_by_key(|kept| (kept.at.lt, upper(&kept.account)));
        if !ascending {
            rows.reverse();
        }
        let rows = self.page(rows, limits.offset, limits.limit);
        found(
            json!({ "transactions": rows.iter().map(|kept| self.v3_told(kept)).collect::<Vec<_>>(), "address_book": {} }),
        )
    }

    fn v3_told(&self, kept: &Kept) -> Value {
        let mut value = told(kept);
        for fault in self.faults {
            match fault {
                Fault::Height(hash, height) if *hash == kept.at.hash => value["mc_block_seqno"] = (*height).into(),
                Fault::Expected { made, .. } if made.at == kept.at => {
                    value["mc_block_seqno"] = Value::Null;
                    value["emulated"] = true.into();
                    value["finality"] = "pending".into();
                }
                _ => {}
            }
        }
        value
    }

    fn v3_states(&self, asked: &Asked) -> Result<Reply, Reply> {
        let accounts: Vec<Account> = asked.all("address").map(|text| account(asked, text)).collect::<Result<_, _>>()?;
        if accounts.is_empty() {
            return Err(error(422, "address of account is required"));
        }
        // In the order of the table, and only those it has.
        let mut sorted = accounts;
        sorted.sort_unstable();
        sorted.dedup();
        let rows: Vec<Value> =
            sorted.iter().filter_map(|account| self.newest(account).map(|newest| state(account, &newest))).collect();
        found(json!({ "accounts": self.page(rows, 0, LIMIT_MAX), "address_book": {}, "metadata": {} }))
    }

    fn v3_run(&self, asked: &Asked) -> Result<Reply, Reply> {
        let contract = account(asked, asked.body["address"].as_str().unwrap_or_default())?;
        let owner = asked.body["stack"][0]["value"].as_str().and_then(shape::cell_of);
        let owner = owner.and_then(|cell| Account::load(&mut cell.as_slice().ok()?).ok().flatten());
        let ended = self.ask(&contract, asked.body["method"].as_str().unwrap_or_default(), owner);
        // A contract that is not there answers with a code of its own, like one without such a method.
        let ended = ended.unwrap_or(Ended { code: -13, stack: Vec::new() });
        let stack = ended.stack.iter().map(|value| match value {
            getter::Value::Number(number) => json!({ "type": "num", "value": number_of(*number) }),
            getter::Value::Cell(cell) => json!({ "type": "cell", "value": shape::bag64(cell) }),
            getter::Value::Slice(cell) => json!({ "type": "slice", "value": shape::bag64(cell) }),
        });
        found(json!({ "gas_used": 3143, "exit_code": ended.code, "stack": stack.collect::<Vec<_>>() }))
    }

    fn row(&self, block: &Block) -> Value {
        let masterchain = block.id.workchain == -1;
        let name = |id: &Id| name(id.workchain, id.shard, id.seqno);
        json!({
            "workchain": block.id.workchain,
            "shard": format!("{:016X}", block.id.shard),
            "seqno": block.id.seqno,
            "root_hash": hash64(&block.id.root),
            "file_hash": hash64(&block.id.file),
            "global_id": self.global_id(),
            "version": 0,
            "after_merge": block.on.len() > 1,
            "before_split": false,
            "after_split": block.after_split,
            "want_merge": !masterchain,
            "want_split": false,
            "key_block": false,
            "vert_seqno_incr": false,
            "flags": 1,
            "gen_utime": block.time.to_string(),
            "start_lt": block.start_lt.to_string(),
            "end_lt": block.end_lt.to_string(),
            "validator_list_hash_short": 0,
            "gen_catchain_seqno": 0,
            "min_ref_mc_seqno": block.master.0,
            "prev_key_block_seqno": 0,
            "vert_seqno": 1,
            "master_ref_seqno": if masterchain { 0 } else { block.master.0 },
            "rand_seed": base64(&[0; 32]),
            "created_by": base64(&[0; 32]),
            "tx_count": self.count(block),
            "masterchain_block_ref": super::v3::name(-1, MASTERCHAIN, block.height),
            "prev_blocks": block.on.iter().map(name).collect::<Vec<_>>(),
        })
    }
}

fn name(workchain: i8, shard: u64, seqno: u32) -> Value {
    json!({ "workchain": workchain, "shard": format!("{shard:016X}"), "seqno": seqno })
}

fn number_of(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}0x{:x}", number.unsigned_abs())
}

fn state(account: &Account, newest: &Kept) -> Value {
    json!({
        "address": upper(account),
        "account_state_hash": hash64(&newest.at.hash),
        "balance": "0",
        "extra_currencies": {},
        "status": shape::status(newest.ends),
        "last_transaction_hash": hash64(&newest.at.hash),
        "last_transaction_lt": newest.at.lt.to_string(),
        "contract_methods": null,
        "interfaces": null,
    })
}

fn told(kept: &Kept) -> Value {
    let told = Told::of(kept);
    json!({
        "account": upper(&kept.account),
        "hash": hash64(&kept.at.hash),
        "lt": kept.at.lt.to_string(),
        "now": kept.now,
        "mc_block_seqno": kept.height,
        "trace_id": hash64(&kept.at.hash),
        "prev_trans_hash": hash64(&kept.before.hash),
        "prev_trans_lt": kept.before.lt.to_string(),
        "orig_status": shape::status(kept.was),
        "end_status": shape::status(kept.ends),
        "total_fees": told.fees.to_string(),
        "total_fees_extra_currencies": {},
        "description": description(&told),
        "block_ref": name(kept.block.workchain, kept.block.shard, kept.block.seqno),
        "in_msg": told.arrived.as_ref().map(message),
        "out_msgs": told.sent.iter().map(message).collect::<Vec<_>>(),
        "account_state_before": null,
        "account_state_after": null,
        "emulated": false,
        "finality": "finalized",
    })
}

fn description(told: &Told) -> Value {
    let mut described = Map::new();
    match &told.info {
        Some(TxInfo::Ordinary(info)) => {
            described.insert("type".to_owned(), "ord".into());
            described.insert("destroyed".to_owned(), info.destroyed.into());
            described.insert("credit_first".to_owned(), info.credit_first.into());
            if let Some(credit) = &info.credit_phase {
                described
                    .insert("credit_ph".to_owned(), json!({ "credit": credit.credit.tokens.into_inner().to_string() }));
            }
            let bounce = info.bounce_phase.as_ref().map(|phase| match phase {
                BouncePhase::NegativeFunds => "negfunds",
                BouncePhase::NoFunds(_) => "nofunds",
                BouncePhase::Executed(_) => "ok",
            });
            if let Some(bounce) = bounce {
                described.insert("bounce".to_owned(), json!({ "type": bounce }));
            }
            if let Some(action) = &info.action_phase {
                described.insert("action".to_owned(), acted(action.success, action.valid, action.result_code));
            }
        }
        Some(TxInfo::TickTock(info)) => {
            described.insert("type".to_owned(), "tick_tock".into());
            described.insert("is_tock".to_owned(), matches!(info.kind, TickTock::Tock).into());
            described.insert("destroyed".to_owned(), info.destroyed.into());
        }
        None => {
            described.insert("type".to_owned(), "ord".into());
        }
    }
    described.insert("aborted".to_owned(), told.aborted().into());
    match told.compute() {
        Some(ComputePhase::Skipped(phase)) => {
            described
                .insert("compute_ph".to_owned(), json!({ "skipped": true, "reason": shape::skipped(phase.reason) }));
        }
        Some(ComputePhase::Executed(phase)) => {
            let phase =
                json!({ "skipped": false, "success": phase.success, "exit_code": phase.exit_code, "mode": phase.mode });
            described.insert("compute_ph".to_owned(), phase);
        }
        None => {}
    }
    Value::Object(described)
}

fn acted(success: bool, valid: bool, code: i32) -> Value {
    json!({ "success": success, "valid": valid, "no_funds": !success, "status_change": "unchanged", "result_code": code })
}

fn message(letter: &Letter) -> Value {
    let internal = |value: Value| if letter.external { Value::Null } else { value };
    json!({
        "hash": hash64(&letter.hash),
        "source": letter.from.as_ref().map(upper),
        "destination": letter.to.as_ref().map(upper),
        "value": internal(letter.value.to_string().into()),
        "value_extra_currencies": {},
        "fwd_fee": internal(letter.forwarding.to_string().into()),
        "ihr_fee": internal("0".into()),
        "extra_flags": internal("0".into()),
        "created_lt": internal(letter.made.0.to_string().into()),
        "created_at": internal(letter.made.1.to_string().into()),
        "opcode": letter.opcode().map(|code| format!("0x{code:08x}")),
        "decoded_opcode": null,
        "ihr_disabled": internal(true.into()),
        "bounce": internal(letter.bounce.into()),
        "bounced": internal(letter.bounced.into()),
        "import_fee": if letter.external { Value::from("0") } else { Value::Null },
        "message_content": {
            "hash": base64(&letter.body.repr_hash().0),
            "body": shape::bag64(&letter.body),
            "decoded": null,
        },
        "init_state": null,
    })
}
