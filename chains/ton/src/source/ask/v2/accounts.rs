//! Accounts as a node knows them: where each stands, and its transactions as cells.

use amn_rpc::{Answer, Endpoint};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::{WireLink, WireTransaction, opened};
use crate::address::Account;
use crate::source::ask::decoded;
use crate::source::ask::wire::{self, bag_of_base64};
use crate::source::trouble::Trouble;
use crate::transaction::Link;

/// Accounts that are asked for at once: they go through the endpoint's own limits besides.
const AT_ONCE: usize = 8;

#[derive(Deserialize)]
struct WireState {
    last_transaction_id: WireLink,
}

pub(in crate::source::ask) async fn heads(
    endpoint: &Endpoint,
    accounts: &[Account],
) -> Result<Vec<Option<Link>>, Trouble> {
    stream::iter(accounts.to_vec())
        .map(async |account| one_head(endpoint, &account).await)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn one_head(endpoint: &Endpoint, account: &Account) -> Result<Option<Link>, Trouble> {
    let asked = [("address", &*account.to_string())];
    let answer = endpoint.get("getAddressInformation", &["getAddressInformation"], &asked).await?;
    read_head(answer.raw())
}

pub(super) fn read_head(body: &[u8]) -> Result<Option<Link>, Trouble> {
    let link = opened::<WireState>(body)?.last_transaction_id.link()?;
    Ok((link.lt > 0).then_some(link))
}

pub(in crate::source::ask) async fn raw_down(
    endpoint: &Endpoint,
    account: &Account,
    from: Link,
    until_lt: Option<u64>,
    most: usize,
) -> Result<Vec<Bytes>, Trouble> {
    let answer = listed(endpoint, account, from, until_lt, most).await?;
    let transactions: Vec<WireTransaction<'_>> = opened(answer.raw())?;
    if transactions.is_empty() {
        return Err(Trouble::Lacks(format!("an empty list where {account} should have {}", from.lt)));
    }
    transactions.iter().take(most).map(|one| bag_of_base64(&one.data)).collect()
}

/// Transactions of an account from this one down. Who keeps all of history is slower and further behind, so it is
/// asked only where the others no longer have it.
async fn listed(
    endpoint: &Endpoint,
    account: &Account,
    from: Link,
    until_lt: Option<u64>,
    most: usize,
) -> Result<Answer, Trouble> {
    let (address, limit, lt) = (account.to_string(), most.to_string(), from.lt.to_string());
    let (hash, until) = (wire::base64_of(&from.hash), until_lt.unwrap_or(0).to_string());
    let mut asked = vec![
        ("address", address.as_str()),
        ("limit", &*limit),
        ("lt", &*lt),
        ("hash", &*hash),
        ("to_lt", &*until),
        ("archival", "false"),
    ];
    let refused = match endpoint.get("getTransactions", &["getTransactions"], &asked).await {
        Ok(answer) => return Ok(answer),
        Err(error) => Trouble::from(error),
    };
    if !matches!(refused, Trouble::Pruned(_) | Trouble::NotYet(_)) {
        return Err(refused);
    }
    asked.pop();
    asked.push(("archival", "true"));
    Ok(endpoint.get("getTransactions", &["getTransactions"], &asked).await?)
}

/// It finds a transaction by all of its name, and one that is not there it calls history that it does not have.
pub(in crate::source::ask) async fn has(endpoint: &Endpoint, account: &Account, at: Link) -> Result<bool, Trouble> {
    match listed(endpoint, account, at, None, 1).await {
        Ok(answer) => read_has(answer.raw(), account, at),
        Err(Trouble::NotYet(_) | Trouble::Lacks(_)) => Ok(false),
        // It has the block, and in it another or none; what it has thrown away reads otherwise.
        Err(Trouble::Pruned(why)) if is_not_there(&why) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// Whether a node says that it looked into the very block, and not that it has the block no more.
pub(crate) fn is_not_there(why: &str) -> bool {
    // Or has another there at that time.
    ["cannot locate transaction", "transaction hash mismatch"].iter().any(|said| why.contains(said))
}

pub(super) fn read_has(body: &[u8], account: &Account, at: Link) -> Result<bool, Trouble> {
    let transactions: Vec<WireTransaction<'_>> = opened(body)?;
    let Some(first) = transactions.first() else { return Ok(false) };
    let given = first.transaction_id.link()?;
    if given.lt != at.lt {
        return Ok(false);
    }
    if given.hash != at.hash {
        return Err(Trouble::Contradicts { account: *account, lt: at.lt, asked: at.hash, given: given.hash });
    }
    decoded(*account, given, &bag_of_base64(&first.data)?).map(|_| true)
}
