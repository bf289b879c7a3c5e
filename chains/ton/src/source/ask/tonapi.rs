//! tonapi: an index that gives raw cells, one thing a request.

use std::collections::HashMap;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::timestamp::Timestamp;
use amn_rpc::{Endpoint, RpcError};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::wire::{HexShard, Number, Text, WireAccount, WireHash, bag_of_hex, hex_of, read};
use super::{Content, Named, Row, decoded, height, seqno, stack};
use crate::address::Account;
use crate::source::trouble::Trouble;
use crate::transaction::Link;

/// Accounts that are asked for at once: they go through the endpoint's own limits besides.
const AT_ONCE: usize = 4;

/// Transactions of one masterchain block: some 50 times the fullest seen.
const TRANSACTIONS_MAX: u64 = 20_000;

#[derive(Deserialize)]
struct WireBlock {
    workchain_id: Number,
    #[serde(default)]
    shard: Option<HexShard>,
    seqno: Number,
    root_hash: WireHash,
    #[serde(default)]
    global_id: Option<Number>,
    gen_utime: Number,
    tx_quantity: Number,
}

impl WireBlock {
    fn row(&self) -> Result<Row, Trouble> {
        if self.workchain_id.0 != -1 {
            let given = self.workchain_id.0;
            return Err(Trouble::Failed(format!("a block of workchain {given} for the masterchain's")));
        }
        Ok(Row {
            at: BlockRef { height: height(self.seqno)?, hash: self.root_hash.0 },
            time: Timestamp::from_seconds(self.gen_utime.0),
            global_id: self.global_id.and_then(|id| i32::try_from(id.0).ok()),
        })
    }
}

#[derive(Deserialize)]
struct WireBlocks {
    blocks: Vec<WireBlock>,
}

#[derive(Deserialize)]
struct WireState {
    #[serde(default)]
    last_transaction_lt: Option<Number>,
    #[serde(default)]
    last_transaction_hash: Option<WireHash>,
}

#[derive(Deserialize)]
struct WireTransactions<'a> {
    #[serde(borrow)]
    transactions: Vec<WireTransaction<'a>>,
}

#[derive(Deserialize)]
struct WireOwner {
    address: WireAccount,
}

#[derive(Deserialize)]
struct WireTransaction<'a> {
    hash: WireHash,
    lt: Number,
    account: WireOwner,
    #[serde(borrow)]
    raw: Text<'a>,
}

impl WireTransaction<'_> {
    fn link(&self) -> Result<Link, Trouble> {
        Ok(Link { lt: self.lt.count("a logical time")?, hash: self.hash.0 })
    }
}

pub(super) async fn head(endpoint: &Endpoint) -> Result<Row, Trouble> {
    let answer = endpoint.get("masterchain-head", &["blockchain", "masterchain-head"], &[]).await?;
    read::<WireBlock>(answer.raw())?.row()
}

/// The masterchain block at a height.
pub(super) async fn row(endpoint: &Endpoint, at: Height) -> Result<Row, Trouble> {
    let name = format!("(-1,8000000000000000,{})", seqno(at)?);
    let answer = endpoint.get("blocks", &["blockchain", "blocks", &name], &[]).await?;
    read_row(answer.raw(), at)
}

fn read_row(body: &[u8], at: Height) -> Result<Row, Trouble> {
    let row = read::<WireBlock>(body)?.row()?;
    if row.at.height != at {
        return Err(Trouble::Failed(format!("asked for block {at}, it gave {}", row.at.height)));
    }
    Ok(row)
}

pub(super) async fn heads(endpoint: &Endpoint, accounts: &[Account]) -> Result<Vec<Option<Link>>, Trouble> {
    stream::iter(accounts.to_vec())
        .map(async |account| one_head(endpoint, &account).await)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn one_head(endpoint: &Endpoint, account: &Account) -> Result<Option<Link>, Trouble> {
    let path = ["blockchain", "accounts", &*account.to_string()];
    match endpoint.get("accounts", &path, &[]).await {
        Ok(answer) => read_head(answer.raw()),
        // Of an account that never was there is nothing to find.
        Err(RpcError::NotYet(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_head(body: &[u8]) -> Result<Option<Link>, Trouble> {
    let state: WireState = read(body)?;
    match (state.last_transaction_lt, state.last_transaction_hash) {
        (None | Some(Number(0)), _) => Ok(None),
        (Some(lt), Some(WireHash(hash))) => Ok(Some(Link { lt: lt.count("a logical time")?, hash })),
        (Some(lt), None) => Err(Trouble::Failed(format!("an account's last transaction, at {}, without a hash", lt.0))),
    }
}

/// Transactions of an account from this logical time down. Whether its bounds belong to what they bound has changed
/// between versions: it is asked for one more on either side, and what is outside is dropped.
async fn down(
    endpoint: &Endpoint,
    account: &Account,
    from_lt: u64,
    until_lt: u64,
    most: usize,
) -> Result<Vec<(Link, Bytes)>, Trouble> {
    let (before, after) = (from_lt.saturating_add(1).to_string(), until_lt.to_string());
    // One of them may be the one beyond the upper bound.
    let limit = most.saturating_add(1).to_string();
    let asked = [("before_lt", before.as_str()), ("after_lt", &*after), ("limit", &*limit), ("sort_order", "desc")];
    let path = ["blockchain", "accounts", &*account.to_string(), "transactions"];
    let answer = endpoint.get("transactions", &path, &asked).await?;
    read_down(answer.raw(), account, from_lt, until_lt)
}

/// Newest first.
fn read_down(body: &[u8], account: &Account, from_lt: u64, until_lt: u64) -> Result<Vec<(Link, Bytes)>, Trouble> {
    let transactions = read::<WireTransactions<'_>>(body)?.transactions;
    let mut found = Vec::with_capacity(transactions.len());
    for one in &transactions {
        let (given, link) = (one.account.address.0, one.link()?);
        if given != *account {
            return Err(Trouble::Lie(format!("asked for {account}, it gave a transaction of {given}")));
        }
        if link.lt <= from_lt && link.lt > until_lt {
            found.push((link, bag_of_hex(&one.raw)?));
        }
    }
    found.sort_by_key(|(link, _)| std::cmp::Reverse(link.lt));
    Ok(found)
}

pub(super) async fn raw_down(
    endpoint: &Endpoint,
    account: &Account,
    from: Link,
    until_lt: Option<u64>,
    most: usize,
) -> Result<Vec<Bytes>, Trouble> {
    let mut found = down(endpoint, account, from.lt, until_lt.unwrap_or(0), most).await?;
    if found.first().is_none_or(|(link, _)| link.lt != from.lt) {
        return Err(Trouble::Lacks(format!("nothing where {account} should have {}", from.lt)));
    }
    found.truncate(most);
    Ok(found.into_iter().map(|(_, cell)| cell).collect())
}

pub(super) async fn raw_one(endpoint: &Endpoint, at: Link) -> Result<Bytes, Trouble> {
    let path = ["blockchain", "transactions", &*hex_of(&at.hash.0)];
    let answer = endpoint.get("transaction", &path, &[]).await?;
    let found: WireTransaction<'_> = read(answer.raw())?;
    if found.hash.0 != at.hash {
        return Err(Trouble::Lacks(format!(
            "for the transaction {}, it gave another that has a message of this name",
            at.hash
        )));
    }
    bag_of_hex(&found.raw)
}

/// The transaction at a logical time.
pub(super) async fn at(endpoint: &Endpoint, account: &Account, lt: u64) -> Result<Option<Link>, Trouble> {
    let found = down(endpoint, account, lt, lt.saturating_sub(1), 2).await?;
    let Some((link, cell)) = found.first() else { return Ok(None) };
    decoded(*account, *link, cell).map(|_| Some(*link))
}

pub(super) async fn by_hash(endpoint: &Endpoint, hash: Hash) -> Result<Option<Named>, Trouble> {
    let path = ["blockchain", "transactions", &*hex_of(&hash.0)];
    match endpoint.get("transaction", &path, &[]).await {
        Ok(answer) => read_by_hash(answer.raw(), hash),
        Err(RpcError::NotYet(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where no transaction has this hash it looks for a message that does, and gives the transaction of that.
fn read_by_hash(body: &[u8], hash: Hash) -> Result<Option<Named>, Trouble> {
    let found: WireTransaction<'_> = read(body)?;
    let (account, at) = (found.account.address.0, found.link()?);
    if at.hash != hash {
        return Ok(None);
    }
    decoded(account, at, &bag_of_hex(&found.raw)?)?;
    Ok(Some(Named { account, at, height: None }))
}

/// Everything in one masterchain block, re-hashed, and counted against what its blocks say.
pub(super) async fn content(endpoint: &Endpoint, row: &Row) -> Result<Content, Trouble> {
    let number = seqno(row.at.height)?;
    let path = ["blockchain", "masterchain", &*number, "blocks"];
    let answer = endpoint.get("masterchain-blocks", &path, &[]).await?;
    let expected = counted(answer.raw(), row)?;
    let path = ["blockchain", "masterchain", &*number, "transactions"];
    let answer = endpoint.get("masterchain-transactions", &path, &[]).await?;
    whole(answer.raw(), expected, row.at.height)
}

/// How many transactions there must be. A block that became two is listed by both of them, and counts once.
fn counted(body: &[u8], row: &Row) -> Result<u64, Trouble> {
    let at = row.at.height;
    let blocks = read::<WireBlocks>(body)?.blocks;
    let mut names = HashMap::with_capacity(blocks.len());
    let (mut own, mut sum) = (None, 0_u64);
    for block in &blocks {
        let held = block.tx_quantity.count("a number of transactions")?;
        let name = (block.workchain_id, block.shard.map(|shard| shard.0), block.seqno);
        let said = (block.root_hash.0, held);
        match names.insert(name, said) {
            None => {}
            Some(before) if before == said => continue,
            Some(_) => return Err(Trouble::Lie(format!("it lists two blocks of one name among those of {at}"))),
        }
        if block.workchain_id.0 == -1 {
            own = Some((block.row()?, held));
        }
        sum = sum.saturating_add(held);
    }
    match own {
        None => Err(Trouble::Lacks(format!("block {at} is not among those it commits"))),
        Some((own, _)) if own.at.height != at => {
            Err(Trouble::Failed(format!("asked for block {at}, it gave {}", own.at.height)))
        }
        Some((own, _)) if own.at.hash != row.at.hash => Err(Trouble::Forked(row.at)),
        Some((_, 0)) => Err(Trouble::Lacks(format!("block {at} without a transaction, which no block is"))),
        Some(_) if sum > TRANSACTIONS_MAX => Err(Trouble::TooMuch(format!("block {at} has {sum} transactions"))),
        Some(_) => Ok(sum),
    }
}

fn whole(body: &[u8], expected: u64, at: Height) -> Result<Content, Trouble> {
    let listed = read::<WireTransactions<'_>>(body)?.transactions;
    let mut names = HashMap::with_capacity(listed.len());
    let mut found = Vec::with_capacity(listed.len());
    for one in &listed {
        let (account, link) = (one.account.address.0, one.link()?);
        match names.insert((account, link.lt), link.hash) {
            None => found.push(decoded(account, link, &bag_of_hex(&one.raw)?)?),
            Some(before) if before == link.hash => {}
            Some(_) => {
                let lt = link.lt;
                return Err(Trouble::Lie(format!("it lists two transactions of {account} at {lt} in block {at}")));
            }
        }
    }
    if u64::try_from(found.len()) != Ok(expected) {
        return Err(Trouble::Lacks(format!("{} of the {expected} transactions of block {at}", found.len())));
    }
    found.sort_by_key(|one| (one.at.lt, one.account));
    Ok(Content::Whole(found))
}

pub(super) async fn run(
    endpoint: &Endpoint,
    contract: &Account,
    method: &'static str,
    of: Option<&Account>,
) -> Result<Vec<stack::Item>, Trouble> {
    let given = of.map(ToString::to_string);
    let asked: Vec<(&str, &str)> = given.iter().map(|account| ("args", account.as_str())).collect();
    let path = ["blockchain", "accounts", &*contract.to_string(), "methods", method];
    let answer = endpoint.get("methods", &path, &asked).await?;
    stack::read_tonapi(answer.raw())
}

#[cfg(test)]
pub(super) mod tests;
