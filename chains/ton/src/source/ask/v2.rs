//! toncenter v2: a node behind HTTP. It gives raw cells, one account or one block a request, and several workers that
//! are not equally far answer in turn.

mod accounts;

use std::ops::RangeInclusive;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::timestamp::Timestamp;
use amn_rpc::Endpoint;
use serde::Deserialize;
use serde_json::json;

use super::wire::{self, Number, Text, WireAccount, WireHash, bag_of_base64, read};
use super::{Row, decoded, height, seqno, stack};
use crate::address::Account;
use crate::block::BlockName;
use crate::source::trouble::Trouble;
use crate::transaction::{Link, Transaction};

pub(crate) use accounts::is_not_there;
pub(super) use accounts::{has, heads, raw_down};

/// The masterchain's one shard, as it is written here.
const WHOLE: &str = "-9223372036854775808";
const WHOLE_SHARD: u64 = 1 << 63;

/// Transactions in one answer: the most that a node gives; more would be fetched in parts behind it.
const PAGE: usize = 256;

/// Transactions of one block: 20 times the fullest seen.
const TRANSACTIONS_MAX: usize = 10_000;

/// What every answer is in.
#[derive(Deserialize)]
struct Enveloped<T> {
    ok: bool,
    result: T,
}

/// What is inside. One that says of itself that it is none was told apart by its words already.
fn opened<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Trouble> {
    let enveloped: Enveloped<T> = read(body)?;
    if enveloped.ok { Ok(enveloped.result) } else { Err(Trouble::Failed("it says that it is not well".to_owned())) }
}

/// The whole name of a block, as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct BlockId {
    pub name: BlockName,
    pub file: Hash,
}

#[derive(Deserialize)]
struct WireBlockId {
    workchain: Number,
    shard: Number,
    seqno: Number,
    root_hash: WireHash,
    file_hash: WireHash,
}

impl WireBlockId {
    fn id(&self) -> Result<BlockId, Trouble> {
        let workchain = i8::try_from(self.workchain.0)
            .map_err(|_| Trouble::Failed(format!("a block of workchain {}", self.workchain.0)))?;
        let seqno = height(self.seqno)?;
        let name = BlockName {
            workchain,
            shard: self.shard.0.cast_unsigned(),
            seqno: u32::try_from(seqno.0).unwrap_or(u32::MAX),
            root: self.root_hash.0,
        };
        Ok(BlockId { name, file: self.file_hash.0 })
    }

    /// The same where it must be one of the masterchain.
    fn of_masterchain(&self) -> Result<BlockRef, Trouble> {
        match self.workchain.0 {
            -1 => Ok(BlockRef { height: height(self.seqno)?, hash: self.root_hash.0 }),
            other => Err(Trouble::Failed(format!("a block of workchain {other} for the masterchain's"))),
        }
    }
}

#[derive(Deserialize)]
struct WireInfo {
    last: WireBlockId,
}

#[derive(Deserialize)]
struct WireHeader {
    id: WireBlockId,
    #[serde(default)]
    global_id: Option<Number>,
    gen_utime: Number,
    start_lt: Number,
    end_lt: Number,
    prev_blocks: Vec<WireBlockId>,
}

/// What a block says of itself.
#[derive(Clone, Debug)]
pub(super) struct BlockHead {
    pub id: BlockId,
    pub on: Vec<BlockId>,
    pub start_lt: u64,
    pub end_lt: u64,
    row: Row,
}

impl WireHeader {
    fn head(&self) -> Result<BlockHead, Trouble> {
        let id = self.id.id()?;
        Ok(BlockHead {
            id,
            on: self.prev_blocks.iter().map(WireBlockId::id).collect::<Result<_, _>>()?,
            start_lt: self.start_lt.count("a logical time")?,
            end_lt: self.end_lt.count("a logical time")?,
            row: Row {
                at: BlockRef { height: Height(u64::from(id.name.seqno)), hash: id.name.root },
                time: Timestamp::from_seconds(self.gen_utime.0),
                global_id: self.global_id.and_then(|id| i32::try_from(id.0).ok()),
            },
        })
    }
}

#[derive(Deserialize)]
struct WireShards {
    shards: Vec<WireBlockId>,
}

#[derive(Deserialize)]
struct WireLink {
    lt: Number,
    hash: WireHash,
}

impl WireLink {
    fn link(&self) -> Result<Link, Trouble> {
        Ok(Link { lt: self.lt.count("a logical time")?, hash: self.hash.0 })
    }
}

#[derive(Deserialize)]
struct WireTransaction<'a> {
    /// In the lists of blocks.
    #[serde(default)]
    account: Option<WireAccount>,
    /// In all lists, and in those of blocks of some versions alone.
    #[serde(default)]
    address: Option<WireAddress>,
    #[serde(borrow)]
    data: Text<'a>,
    transaction_id: WireLink,
}

#[derive(Deserialize)]
struct WireAddress {
    account_address: WireAccount,
}

#[derive(Deserialize)]
struct WireContent<'a> {
    id: WireBlockId,
    incomplete: bool,
    #[serde(borrow)]
    transactions: Vec<WireTransaction<'a>>,
}

pub(super) async fn tip(endpoint: &Endpoint) -> Result<BlockRef, Trouble> {
    let answer = endpoint.get("getMasterchainInfo", &["getMasterchainInfo"], &[]).await?;
    opened::<WireInfo>(answer.raw())?.last.of_masterchain()
}

pub(super) async fn head(endpoint: &Endpoint) -> Result<Row, Trouble> {
    let tip = tip(endpoint).await?;
    let row = row(endpoint, tip.height).await?;
    if row.at == tip {
        Ok(row)
    } else {
        // Of its workers one says this and one says that; the next time they may agree.
        Err(Trouble::Failed(format!("it says {} and then {} of block {}", tip.hash, row.at.hash, tip.height)))
    }
}

/// The masterchain block at a height.
pub(super) async fn row(endpoint: &Endpoint, at: Height) -> Result<Row, Trouble> {
    masterchain(endpoint, at).await.map(|head| head.row)
}

/// What the masterchain block at a height says of itself.
pub(super) async fn masterchain(endpoint: &Endpoint, at: Height) -> Result<BlockHead, Trouble> {
    let asked = [("workchain", "-1"), ("shard", WHOLE), ("seqno", &seqno(at)?)];
    let answer = endpoint.get("getBlockHeader", &["getBlockHeader"], &asked).await?;
    let head = opened::<WireHeader>(answer.raw())?.head()?;
    if head.id.name.workchain != -1 || head.row.at.height != at {
        let (workchain, seqno) = (head.id.name.workchain, head.id.name.seqno);
        return Err(Trouble::Failed(format!("asked for masterchain block {at}, it gave {seqno} of {workchain}")));
    }
    Ok(head)
}

/// The words that name a block in a question.
fn words(id: &BlockId) -> [(&'static str, String); 5] {
    let BlockName { workchain, shard, seqno, root } = id.name;
    [
        ("workchain", workchain.to_string()),
        ("shard", shard.cast_signed().to_string()),
        ("seqno", seqno.to_string()),
        ("root_hash", wire::base64_of(&root)),
        ("file_hash", wire::base64_of(&id.file)),
    ]
}

fn lent<'a>(words: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    words.iter().map(|(word, value)| (*word, value.as_str())).collect()
}

/// What this block says of itself.
pub(super) async fn block(endpoint: &Endpoint, id: &BlockId) -> Result<BlockHead, Trouble> {
    let answer = endpoint.get("getBlockHeader", &["getBlockHeader"], &lent(&words(id))).await?;
    let head = opened::<WireHeader>(answer.raw())?.head()?;
    same(&id.name, &head.id.name)?;
    Ok(head)
}

fn same(asked: &BlockName, given: &BlockName) -> Result<(), Trouble> {
    if asked == given {
        return Ok(());
    }
    let BlockName { workchain, shard, seqno, root } = asked;
    Err(Trouble::Lie(format!(
        "asked for block {workchain}:{shard:016x}:{seqno} {root}, it gave {}:{:016x}:{} {}",
        given.workchain, given.shard, given.seqno, given.root
    )))
}

/// The newest shard blocks that a masterchain block commits.
pub(super) async fn shards(endpoint: &Endpoint, at: Height) -> Result<Vec<BlockId>, Trouble> {
    let answer = endpoint.get("getShards", &["getShards"], &[("seqno", &seqno(at)?)]).await?;
    let tips: Vec<BlockId> =
        opened::<WireShards>(answer.raw())?.shards.iter().map(WireBlockId::id).collect::<Result<_, _>>()?;
    if are_whole(tips.iter().map(|tip| tip.name)) {
        return Ok(tips);
    }
    Err(Trouble::Lacks(format!("the shards of block {at} do not hold every account once")))
}

/// Whether each account of the basic workchain belongs into one of these shards and into no other: a list that leaves
/// one out would leave out all that happened there.
fn are_whole(tips: impl Iterator<Item = BlockName> + Clone) -> bool {
    let shards = tips.filter(|tip| tip.workchain == 0).map(|tip| tip.shard);
    // A shard is a prefix that ends in a one: it holds as many accounts below that one as from it on.
    let range = |shard: u64| {
        let below = shard & shard.wrapping_neg();
        Some((shard.checked_sub(below)?, shard.checked_add(below.checked_sub(1)?)?))
    };
    let Some(mut ranges) = shards.map(range).collect::<Option<Vec<(u64, u64)>>>() else { return false };
    ranges.sort_unstable();
    let mut next = Some(0);
    for (first, last) in ranges {
        if next != Some(first) {
            return false;
        }
        next = last.checked_add(1);
    }
    next.is_none()
}

/// A block as its list is asked for.
pub(super) struct Listed {
    name: BlockName,
    /// Without it the node looks the block up by its number, and its answer says which one it took.
    file: Option<Hash>,
    lt: RangeInclusive<u64>,
}

impl Listed {
    /// The masterchain's block, of which nobody has said more.
    pub(super) fn of_row(row: &Row) -> Result<Self, Trouble> {
        let number = u32::try_from(row.at.height.0);
        let seqno = number.map_err(|_| Trouble::NotYet(format!("no block will ever be {}", row.at.height)))?;
        let name = BlockName { workchain: -1, shard: WHOLE_SHARD, seqno, root: row.at.hash };
        Ok(Self { name, file: None, lt: 0..=u64::MAX })
    }

    pub(super) const fn of_head(head: &BlockHead) -> Self {
        Self { name: head.id.name, file: Some(head.id.file), lt: head.start_lt..=head.end_lt }
    }

    fn words(&self) -> Vec<(&'static str, String)> {
        let file = self.file.unwrap_or(Hash([0; 32]));
        let all = words(&BlockId { name: self.name, file });
        all.into_iter().take(if self.file.is_some() { 5 } else { 3 }).collect()
    }

    fn is(&self, given: &BlockName) -> Result<(), Trouble> {
        let BlockName { root, .. } = self.name;
        if self.file.is_none() && (BlockName { root, ..*given }) == self.name && given.root != root {
            // What is at this height was not its to say: it was asked by number.
            let height = Height(u64::from(self.name.seqno));
            return Err(Trouble::Forked(BlockRef { height, hash: root }));
        }
        same(&self.name, given)
    }
}

/// All transactions of a block, each re-hashed.
pub(super) async fn transactions(endpoint: &Endpoint, block: &Listed) -> Result<Vec<Transaction>, Trouble> {
    let mut found: Vec<Transaction> = Vec::new();
    loop {
        let mut asked = block.words();
        asked.push(("count", PAGE.to_string()));
        if let Some(last) = found.last() {
            // The account's, not the transaction's: a page ends inside an account's list.
            asked.push(("after_lt", last.at.lt.to_string()));
            asked.push(("after_hash", wire::hex_of(&last.account.id)));
        }
        let answer = endpoint.get("getBlockTransactionsExt", &["getBlockTransactionsExt"], &lent(&asked)).await?;
        let (page, incomplete) = of_block(answer.raw(), block)?;
        let more = page.len();
        for transaction in page {
            let place = |one: &Transaction| (one.account, one.at.lt);
            if found.last().is_some_and(|last| place(last) >= place(&transaction)) {
                return Err(Trouble::Lacks(format!("its pages of a block overlap at {}", transaction.account)));
            }
            found.push(transaction);
        }
        if !incomplete {
            return Ok(found);
        }
        if more == 0 {
            return Err(Trouble::Lacks("a list that is not complete, and no more of it".to_owned()));
        }
        if found.len() >= TRANSACTIONS_MAX {
            return Err(Trouble::TooMuch(format!("a block of over {TRANSACTIONS_MAX} transactions")));
        }
    }
}

fn of_block(body: &[u8], block: &Listed) -> Result<(Vec<Transaction>, bool), Trouble> {
    let content: WireContent<'_> = opened(body)?;
    block.is(&content.id.id()?.name)?;
    let mut found = Vec::with_capacity(content.transactions.len());
    for one in &content.transactions {
        let address = one.address.as_ref().map(|address| address.account_address);
        let Some(WireAccount(account)) = one.account.or(address) else {
            return Err(Trouble::Failed("a transaction of a block without its account".to_owned()));
        };
        let claimed = one.transaction_id.link()?;
        if !block.name.holds(&account) || !block.lt.contains(&claimed.lt) {
            let lt = claimed.lt;
            return Err(Trouble::Lie(format!(
                "the transaction of {account} at {lt} cannot be in the block it is shown in"
            )));
        }
        found.push(decoded(account, claimed, &bag_of_base64(&one.data)?)?);
    }
    Ok((found, content.incomplete))
}

pub(super) async fn run(
    endpoint: &Endpoint,
    contract: &Account,
    method: &'static str,
    of: Option<&Account>,
) -> Result<Vec<stack::Item>, Trouble> {
    let given = match of {
        None => json!([]),
        Some(account) => json!([["tvm.Slice", stack::slice_of(account)?]]),
    };
    let body = json!({ "address": contract.to_string(), "method": method, "stack": given });
    let answer = endpoint.post("runGetMethod", &["runGetMethod"], &body).await?;
    stack::read_toncenter_v2(&opened::<stack::WireRun<'_>>(answer.raw())?)
}

#[cfg(test)]
pub(super) mod tests;
