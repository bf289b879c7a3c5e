//! toncenter v3: an index in a database. It lists by the thousand and gives no cells, and what it does not have yet it
//! answers with an empty list and "200 OK".

mod accounts;

use amn_core::block::{BlockRef, Height};
use amn_core::timestamp::Timestamp;
use amn_rpc::Endpoint;
use serde::Deserialize;
use serde_json::json;

use super::wire::{HexShard, Number, Text, WireAccount, WireHash, read};
use super::{Content, Named, Row, height, seqno, stack};
use crate::address::Account;
use crate::source::trouble::Trouble;
use crate::transaction::Link;

pub(super) use accounts::{at, by_hash, heads, last_at_or_below, named};

/// Rows in one answer: the most it gives.
const PAGE: usize = 1_000;

/// Blocks of one second that may come before the one asked for: a network that made more than these would be faster
/// than any.
const OF_ONE_SECOND: usize = 24;

/// Transactions that one look at one account, or at one block, takes at most: 50 and 30 times the fullest seen. Beyond
/// it nobody would wait for the last page.
const TRANSACTIONS_MAX: usize = 50 * PAGE;

/// A row of `blocks`.
#[derive(Deserialize, Debug)]
struct WireBlock {
    workchain: Number,
    #[serde(default)]
    shard: Option<HexShard>,
    seqno: Number,
    root_hash: WireHash,
    #[serde(default)]
    global_id: Option<Number>,
    gen_utime: Number,
    end_lt: Number,
    tx_count: Number,
}

/// A masterchain block, with what only an index says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Indexed {
    pub row: Row,
    /// No transaction that it commits has a logical time above this one.
    pub end_lt: u64,
    pub transactions: u64,
}

impl WireBlock {
    fn indexed(&self) -> Result<Indexed, Trouble> {
        if self.workchain.0 != -1 {
            return Err(Trouble::Failed(format!("a block of workchain {} for the masterchain's", self.workchain.0)));
        }
        let global_id = self.global_id.and_then(|id| i32::try_from(id.0).ok());
        Ok(Indexed {
            row: Row {
                at: BlockRef { height: height(self.seqno)?, hash: self.root_hash.0 },
                time: Timestamp::from_seconds(self.gen_utime.0),
                global_id,
            },
            end_lt: self.end_lt.count("a logical time")?,
            transactions: self.tx_count.count("a number of transactions")?,
        })
    }
}

#[derive(Deserialize)]
struct WireBlocks {
    blocks: Vec<WireBlock>,
}

#[derive(Deserialize)]
struct WireReach {
    first: Option<WireBlock>,
    last: WireBlock,
}

#[derive(Deserialize)]
struct WireTransactions<'a> {
    #[serde(borrow)]
    transactions: Vec<WireTransaction<'a>>,
}

#[derive(Deserialize)]
struct WireTransaction<'a> {
    account: WireAccount,
    hash: WireHash,
    lt: Number,
    #[serde(default)]
    mc_block_seqno: Option<Number>,
    #[serde(default)]
    prev_trans_hash: Option<WireHash>,
    #[serde(default)]
    prev_trans_lt: Option<Number>,
    #[serde(default)]
    emulated: bool,
    #[serde(borrow, default)]
    finality: Option<Text<'a>>,
}

impl WireTransaction<'_> {
    /// Whether the network has committed it. What is only expected is shown beside, in newer versions.
    fn is_committed(&self) -> bool {
        !self.emulated && self.finality.as_ref().is_none_or(|finality| finality == "finalized")
    }

    fn named(&self) -> Result<Named, Trouble> {
        Ok(Named {
            account: self.account.0,
            at: Link { lt: self.lt.count("a logical time")?, hash: self.hash.0 },
            height: self.mc_block_seqno.map(height).transpose()?,
        })
    }
}

pub(super) async fn head(endpoint: &Endpoint) -> Result<Row, Trouble> {
    let answer = endpoint.get("masterchainInfo", &["masterchainInfo"], &[]).await?;
    Ok(read::<WireReach>(answer.raw())?.last.indexed()?.row)
}

/// Its oldest and its newest masterchain block.
pub(super) async fn reach(endpoint: &Endpoint) -> Result<(Height, Height), Trouble> {
    let answer = endpoint.get("masterchainInfo", &["masterchainInfo"], &[]).await?;
    let reach: WireReach = read(answer.raw())?;
    let oldest = reach.first.as_ref().map(WireBlock::indexed).transpose()?;
    Ok((oldest.map_or(Height(0), |block| block.row.at.height), reach.last.indexed()?.row.at.height))
}

/// The block at a height. [`Trouble::Lacks`] where it gives none.
pub(super) async fn row(endpoint: &Endpoint, at: Height) -> Result<Indexed, Trouble> {
    let asked = [("workchain", "-1"), ("seqno", &seqno(at)?), ("limit", "10")];
    let answer = endpoint.get("blocks", &["blocks"], &asked).await?;
    let rows = contiguous(answer.raw(), at, at)?;
    rows.first().copied().ok_or_else(|| lacks(at))
}

fn lacks(at: Height) -> Trouble {
    Trouble::Lacks(format!("no row for block {at}"))
}

/// Blocks without a gap from `from` on. [`Trouble::Lacks`] where that one is not there.
pub(super) async fn rows(
    endpoint: &Endpoint,
    from: Height,
    to: Height,
    since: Option<Timestamp>,
) -> Result<Vec<Row>, Trouble> {
    let plain = |rows: Vec<Indexed>| rows.into_iter().map(|block| block.row).collect();
    if let Some(since) = since
        && let rows @ [_, ..] = page(endpoint, from, to, since).await?.as_slice()
    {
        return Ok(plain(rows.to_vec()));
    }
    // Nobody said when it was made, or not well enough.
    let first = row(endpoint, from).await?;
    if from == to {
        return Ok(vec![first.row]);
    }
    let rows = page(endpoint, from, to, first.row.time).await?;
    Ok(plain(if rows.is_empty() { vec![first] } else { rows }))
}

/// It lists by time and not by number: so it is asked by time, and what is not wanted is dropped.
async fn page(endpoint: &Endpoint, from: Height, to: Height, since: Timestamp) -> Result<Vec<Indexed>, Trouble> {
    let wanted = usize::try_from(to.above(from)).unwrap_or(PAGE).saturating_add(1 + OF_ONE_SECOND);
    let (since, limit) = (since.seconds().to_string(), wanted.min(PAGE).to_string());
    let asked = [("workchain", "-1"), ("start_utime", &*since), ("sort", "asc"), ("limit", &*limit)];
    let answer = endpoint.get("blocks", &["blocks"], &asked).await?;
    contiguous(answer.raw(), from, to)
}

/// The masterchain blocks of an answer from `from` on, up to the first that is missing. One without a transaction is
/// as good as missing: the network itself makes some in each.
fn contiguous(body: &[u8], from: Height, to: Height) -> Result<Vec<Indexed>, Trouble> {
    let blocks = read::<WireBlocks>(body)?.blocks;
    let mut rows = blocks.iter().map(WireBlock::indexed).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|block| block.row.at.height);
    rows.dedup();
    if let Some(at) = rows.iter().zip(rows.iter().skip(1)).find(|(one, next)| one.row.at.height == next.row.at.height) {
        return Err(Trouble::Lie(format!("it gives two blocks {} in one answer", at.0.row.at.height)));
    }
    let mut next = from;
    rows.retain(|block| {
        let fits = block.row.at.height == next && next <= to && block.transactions > 0;
        if fits {
            next = next.next();
        }
        fits
    });
    Ok(rows)
}

/// Everything in one masterchain block, counted against what its rows say.
pub(super) async fn content(endpoint: &Endpoint, row: &Row) -> Result<Content, Trouble> {
    let number = seqno(row.at.height)?;
    let asked = [("mc_seqno", number.as_str()), ("limit", "1000")];
    let answer = endpoint.get("blocks", &["blocks"], &asked).await?;
    let expected = counted(answer.raw(), row)?;
    let mut found = Vec::new();
    while found.len() < expected {
        let (offset, limit) = (found.len().to_string(), PAGE.to_string());
        let asked = [("seqno", number.as_str()), ("limit", &*limit), ("offset", &*offset), ("sort", "asc")];
        let answer =
            endpoint.get("transactionsByMasterchainBlock", &["transactionsByMasterchainBlock"], &asked).await?;
        let page = of_block(answer.raw(), row.at.height)?;
        let rows = page.len();
        found.extend(page);
        if rows < PAGE {
            break;
        }
    }
    complete(found, expected, row.at.height).map(Content::Names)
}

/// How many transactions there must be, by the rows of the block and of the shard blocks it commits.
fn counted(body: &[u8], row: &Row) -> Result<usize, Trouble> {
    let at = row.at.height;
    let blocks = read::<WireBlocks>(body)?.blocks;
    if blocks.len() >= PAGE {
        return Err(Trouble::TooMuch(format!("block {at} commits {PAGE} blocks or more")));
    }
    let mut names = std::collections::HashSet::with_capacity(blocks.len());
    let mut own = None;
    let mut sum = 0_u64;
    for block in &blocks {
        let shard = block.shard.map(|shard| shard.0);
        if !names.insert((block.workchain, shard, block.seqno)) {
            return Err(Trouble::Lie(format!("it lists one block twice among those of {at}")));
        }
        if block.workchain.0 == -1 {
            own = Some(block.indexed()?);
        }
        sum = sum.saturating_add(block.tx_count.count("a number of transactions")?);
    }
    match own {
        None => Err(lacks(at)),
        Some(own) if own.row.at.height != at => {
            Err(Trouble::Failed(format!("asked for block {at}, it gave {}", own.row.at.height)))
        }
        Some(own) if own.row.at.hash != row.at.hash => Err(Trouble::Forked(row.at)),
        Some(own) if own.transactions == 0 => {
            Err(Trouble::Lacks(format!("block {at} without a transaction, which no block is")))
        }
        Some(_) => usize::try_from(sum)
            .ok()
            .filter(|sum| *sum <= TRANSACTIONS_MAX)
            .ok_or_else(|| Trouble::TooMuch(format!("block {at} has {sum} transactions"))),
    }
}

fn of_block(body: &[u8], at: Height) -> Result<Vec<Named>, Trouble> {
    let transactions = read::<WireTransactions<'_>>(body)?.transactions;
    let mut named = Vec::with_capacity(transactions.len());
    for transaction in transactions.iter().filter(|one| one.is_committed()) {
        let one = transaction.named()?;
        if one.height != Some(at) {
            return Err(Trouble::Lie(format!("among those of block {at} it gave a transaction of {:?}", one.height)));
        }
        named.push(one);
    }
    Ok(named)
}

/// Each once, and as many as there must be: pages that shifted between two requests show themselves so.
fn complete(found: Vec<Named>, expected: usize, at: Height) -> Result<Vec<Named>, Trouble> {
    let names: std::collections::HashSet<_> = found.iter().map(|one| (one.account, one.at.lt)).collect();
    if names.len() != found.len() {
        return Err(Trouble::Lacks(format!("its pages of block {at} overlap")));
    }
    if found.len() != expected {
        let given = found.len();
        return Err(Trouble::Lacks(format!("{given} of the {expected} transactions of block {at}")));
    }
    Ok(found)
}

pub(super) async fn run(
    endpoint: &Endpoint,
    contract: &Account,
    method: &'static str,
    of: Option<&Account>,
) -> Result<Vec<stack::Item>, Trouble> {
    let given = match of {
        None => json!([]),
        Some(account) => json!([{ "type": "slice", "value": stack::slice_of(account)? }]),
    };
    let body = json!({ "address": contract.to_string(), "method": method, "stack": given });
    let answer = endpoint.post("runGetMethod", &["runGetMethod"], &body).await?;
    stack::read_toncenter_v3(answer.raw())
}

#[cfg(test)]
pub(super) mod tests;
