//! Accounts as the index knows them: where each stands, and what it did by name.

use amn_core::block::Hash;
use amn_rpc::Endpoint;
use serde::Deserialize;

use super::{PAGE, TRANSACTIONS_MAX, WireTransactions};
use crate::address::{Account, Realm};
use crate::source::ask::wire::{self, Number, WireAccount, WireHash, read};
use crate::source::ask::{End, Named};
use crate::source::trouble::Trouble;
use crate::transaction::Link;

/// Accounts in one question. In the short form of 48 letters they make an address of 57 KB; one of more than 64 KB
/// cannot be written.
const HEADS_PAGE: usize = 1_000;

#[derive(Deserialize)]
struct WireAccounts {
    accounts: Vec<WireState>,
}

#[derive(Deserialize)]
struct WireState {
    address: Option<WireAccount>,
    last_transaction_hash: Option<WireHash>,
    last_transaction_lt: Option<Number>,
}

/// An account it does not list never had a transaction, or it has not seen it: both read the same, and who compares
/// with another operator finds out.
pub(in crate::source::ask) async fn heads(
    endpoint: &Endpoint,
    accounts: &[Account],
) -> Result<Vec<Option<Link>>, Trouble> {
    let mut heads = Vec::with_capacity(accounts.len());
    let mut size = HEADS_PAGE;
    while let Some(rest) = accounts.get(heads.len()..).filter(|rest| !rest.is_empty()) {
        let part = rest.get(..size).unwrap_or(rest);
        match heads_page(endpoint, part).await {
            Ok(said) => heads.extend(said),
            // A gateway before it that takes shorter addresses only.
            Err(Trouble::TooMuch(_)) if part.len() > 1 => size = part.len().div_ceil(2),
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(heads)
}

async fn heads_page(endpoint: &Endpoint, accounts: &[Account]) -> Result<Vec<Option<Link>>, Trouble> {
    let written: Vec<String> = accounts.iter().map(short).collect();
    let limit = accounts.len().to_string();
    let mut asked = vec![("include_boc", "false"), ("limit", limit.as_str())];
    asked.extend(written.iter().map(|account| ("address", account.as_str())));
    let answer = endpoint.get("accountStates", &["accountStates"], &asked).await?;
    read_heads(answer.raw(), accounts)
}

/// The shortest form; for whichever network it is written, it is the same account.
pub(super) fn short(account: &Account) -> String {
    account.bounceable(Realm::Mainnet)
}

pub(super) fn read_heads(body: &[u8], accounts: &[Account]) -> Result<Vec<Option<Link>>, Trouble> {
    let states = read::<WireAccounts>(body)?.accounts;
    let mut said = std::collections::HashMap::with_capacity(states.len());
    for state in &states {
        let Some(WireAccount(account)) = state.address else { continue };
        let link = match (state.last_transaction_lt, state.last_transaction_hash) {
            (None | Some(Number(0)), _) => None,
            (Some(lt), Some(WireHash(hash))) => Some(Link { lt: lt.count("a logical time")?, hash }),
            (Some(lt), None) => {
                return Err(Trouble::Failed(format!("{account} at {} without a hash", lt.0)));
            }
        };
        if said.insert(account, link).is_some_and(|before| before != link) {
            return Err(Trouble::Lie(format!("it says twice where {account} stands, and not the same")));
        }
    }
    Ok(accounts.iter().map(|account| said.get(account).copied().flatten()).collect())
}

/// By logical time and not by offset: pages by offset shift when something is written between them.
pub(in crate::source::ask) async fn named(
    endpoint: &Endpoint,
    account: &Account,
    above_lt: u64,
) -> Result<Vec<Named>, Trouble> {
    let mut found = Vec::new();
    let mut above = above_lt;
    loop {
        let (who, start, limit) = (short(account), above.saturating_add(1).to_string(), PAGE.to_string());
        let asked = [("account", who.as_str()), ("start_lt", &*start), ("sort", "asc"), ("limit", &*limit)];
        let answer = endpoint.get("transactions", &["transactions"], &asked).await?;
        let page = of_account(answer.raw(), account, above, u64::MAX)?;
        found.extend(page.named);
        match page.last_lt {
            Some(last) if page.rows >= PAGE => above = last,
            _ => return Ok(found),
        }
        if found.len() >= TRANSACTIONS_MAX {
            return Err(Trouble::TooMuch(format!(
                "{account} has over {TRANSACTIONS_MAX} transactions above {above_lt}"
            )));
        }
    }
}

/// Transactions of one account from one answer.
pub(super) struct OfAccount {
    /// Committed ones, oldest first.
    pub named: Vec<Named>,
    /// How many there were, committed or not.
    pub rows: usize,
    pub last_lt: Option<u64>,
}

/// Oldest first, each on the one before it: what was left out between two of them is noticed.
pub(super) fn of_account(body: &[u8], account: &Account, above: u64, to: u64) -> Result<OfAccount, Trouble> {
    let mut transactions = read::<WireTransactions<'_>>(body)?.transactions;
    transactions.sort_by_key(|transaction| transaction.lt);
    let rows = transactions.len();
    let mut named: Vec<Named> = Vec::with_capacity(rows);
    let mut last_lt = None;
    for transaction in &transactions {
        let one = transaction.named()?;
        if one.account != *account {
            return Err(Trouble::Lie(format!("asked for {account}, it gave a transaction of {}", one.account)));
        }
        if one.at.lt <= above || one.at.lt > to {
            return Err(Trouble::Failed(format!("asked for {account} from {above} to {to}, it gave {}", one.at.lt)));
        }
        last_lt = Some(one.at.lt);
        if !transaction.is_committed() {
            continue;
        }
        if let Some(before) = named.last() {
            if before.at.lt == one.at.lt {
                return Err(Trouble::Lie(format!("it gives two transactions of {account} at {}", one.at.lt)));
            }
            let on = transaction.prev_trans_lt.zip(transaction.prev_trans_hash).filter(|(lt, _)| lt.0 > 0);
            let stands =
                on.is_none_or(|(lt, WireHash(hash))| lt.count("").ok() == Some(before.at.lt) && hash == before.at.hash);
            if !stands {
                let (lt, next) = (before.at.lt, one.at.lt);
                return Err(Trouble::Lacks(format!("what {account} did between {lt} and {next} is missing")));
            }
        }
        named.push(one);
    }
    Ok(OfAccount { named, rows, last_lt })
}

/// The last transaction that this block or one below it committed.
pub(in crate::source::ask) async fn last_at_or_below(
    endpoint: &Endpoint,
    account: &Account,
    end: End,
) -> Result<Option<Named>, Trouble> {
    // Those it commits are not after it; some that are not after it are committed by the next.
    let mut to = end.lt;
    for _ in 0..LOOKS_BACK {
        let (who, end_lt, limit) = (short(account), to.to_string(), LOOK_BACK.to_string());
        let asked = [("account", who.as_str()), ("end_lt", &*end_lt), ("sort", "desc"), ("limit", &*limit)];
        let answer = endpoint.get("transactions", &["transactions"], &asked).await?;
        let page = of_account(answer.raw(), account, 0, to)?;
        let below = page.named.iter().rev().find(|one| one.height.is_some_and(|at| at <= end.height));
        if let Some(found) = below {
            return Ok(Some(*found));
        }
        if page.rows < LOOK_BACK {
            return Ok(None);
        }
        let first = read::<WireTransactions<'_>>(answer.raw())?.transactions.iter().map(|one| one.lt).min();
        to = first.unwrap_or_default().count("a logical time")?.saturating_sub(1);
    }
    Err(Trouble::TooMuch(format!("none of the last transactions of {account} was committed by {}", end.height)))
}

/// A shard's block is committed a few masterchain blocks after it was made: an account does not do more in that time.
const LOOK_BACK: usize = 20;
const LOOKS_BACK: usize = 50;

/// The transaction at a logical time.
pub(in crate::source::ask) async fn at(
    endpoint: &Endpoint,
    account: &Account,
    lt: u64,
) -> Result<Option<Named>, Trouble> {
    let (who, lt_text) = (short(account), lt.to_string());
    let asked = [("account", who.as_str()), ("start_lt", &*lt_text), ("end_lt", &*lt_text), ("limit", "10")];
    let answer = endpoint.get("transactions", &["transactions"], &asked).await?;
    let page = of_account(answer.raw(), account, lt.saturating_sub(1), lt)?;
    Ok(page.named.first().copied())
}

pub(in crate::source::ask) async fn by_hash(endpoint: &Endpoint, hash: Hash) -> Result<Option<Named>, Trouble> {
    let text = wire::base64_of(&hash);
    let asked = [("hash", text.as_str()), ("limit", "10")];
    let answer = endpoint.get("transactions", &["transactions"], &asked).await?;
    read_by_hash(answer.raw(), hash)
}

pub(super) fn read_by_hash(body: &[u8], hash: Hash) -> Result<Option<Named>, Trouble> {
    let transactions = read::<WireTransactions<'_>>(body)?.transactions;
    let Some(found) = transactions.iter().find(|one| one.is_committed()) else { return Ok(None) };
    let named = found.named()?;
    if named.at.hash != hash {
        return Err(Trouble::Lie(format!("asked for the transaction {hash}, it gave {}", named.at.hash)));
    }
    Ok(Some(named))
}
