//! The questions we put to one endpoint, whichever of the three APIs it speaks, with answers that were checked for
//! being answers to them.
//!
//! Nothing here remembers, compares two endpoints or decides; what it refuses to call an answer is written in
//! `docs/decisions/0042-an-empty-list-is-no-answer.md`. An empty list is never "nothing": it is [`Trouble::NotYet`],
//! [`Trouble::Lacks`] or [`Trouble::Pruned`], or it was counted against what the block says it holds.

mod stack;
mod tonapi;
mod v2;
mod v3;
mod walk;
mod wire;

#[cfg(test)]
mod canned;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::timestamp::Timestamp;
use amn_rpc::Endpoint;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::trouble::Trouble;
use crate::address::Account;
use crate::transaction::{Link, Transaction};

pub(crate) use stack::JettonSaid;
pub(crate) use v2::is_not_there;

/// What an endpoint's `kind` says in a configuration: which API it speaks.
pub const TONCENTER_V2: &str = "toncenter-v2";
/// See [`TONCENTER_V2`].
pub const TONCENTER_V3: &str = "toncenter-v3";
/// See [`TONCENTER_V2`].
pub const TONAPI: &str = "tonapi";
/// All of them.
pub const KINDS: [&str; 3] = [TONCENTER_V2, TONCENTER_V3, TONAPI];

/// Which API an endpoint speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// A node behind HTTP: raw cells, one account or one block a request.
    ToncenterV2,
    /// An index in a database: a thousand accounts or blocks a request, and no raw cells.
    ToncenterV3,
    /// An index that gives raw cells.
    Tonapi,
}

impl Dialect {
    /// `None` where its kind is none of ours.
    pub(crate) fn of(endpoint: &Endpoint) -> Option<Self> {
        match endpoint.kind() {
            TONCENTER_V2 => Some(Self::ToncenterV2),
            TONCENTER_V3 => Some(Self::ToncenterV3),
            TONAPI => Some(Self::Tonapi),
            _ => None,
        }
    }

    /// Whether it gives transactions as the cells they were committed as.
    pub(crate) const fn gives_cells(self) -> bool {
        matches!(self, Self::ToncenterV2 | Self::Tonapi)
    }

    /// Whether it says in one request where a thousand accounts stand.
    pub(crate) const fn in_bulk(self) -> bool {
        matches!(self, Self::ToncenterV3)
    }
}

/// A block of the masterchain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub at: BlockRef,
    pub time: Timestamp,
    /// The network's number, where it says it.
    pub global_id: Option<i32>,
}

/// Where a masterchain block ends: no transaction that it commits has a later logical time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub height: Height,
    pub lt: u64,
}

/// A transaction by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub account: Account,
    pub at: Link,
    /// The masterchain block that committed it, where it says it.
    pub height: Option<Height>,
}

/// All transactions of one masterchain block and of the shard blocks it commits.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Whole(Vec<Transaction>),
    /// By name alone: the cells are somebody else's to give.
    Names(Vec<Named>),
}

/// The newest shard blocks that a masterchain block commits: where the walk down from the next one's ends.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tips {
    blocks: Vec<v2::BlockId>,
}

/// One endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub endpoint: &'a Arc<Endpoint>,
}

impl Ask<'_> {
    pub(crate) fn dialect(self) -> Result<Dialect, Trouble> {
        Dialect::of(self.endpoint).ok_or_else(|| {
            Trouble::Unsupported(format!("of a kind that no TON endpoint has: {:?}", self.endpoint.kind()))
        })
    }

    /// Its newest masterchain block, by its word: whether that is where the network is, others say. What it said a moment ago may have been newer: workers behind one address differ.
    pub(crate) async fn head(&self) -> Result<Row, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV2 => v2::head(self.endpoint).await,
            Dialect::ToncenterV3 => v3::head(self.endpoint).await,
            Dialect::Tonapi => tonapi::head(self.endpoint).await,
        }
    }

    /// The same without its time, which costs v2 a second request.
    pub(crate) async fn tip(&self) -> Result<BlockRef, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV2 => v2::tip(self.endpoint).await,
            Dialect::ToncenterV3 | Dialect::Tonapi => self.head().await.map(|row| row.at),
        }
    }

    /// The masterchain block at a height.
    pub(crate) async fn row(&self, at: Height) -> Result<Row, Trouble> {
        let row = match self.dialect()? {
            Dialect::ToncenterV2 => v2::row(self.endpoint, at).await,
            Dialect::ToncenterV3 => v3::row(self.endpoint, at).await.map(|block| block.row),
            Dialect::Tonapi => tonapi::row(self.endpoint, at).await,
        };
        match row {
            Ok(row) => {
                self.endpoint.report_block(row.at.height.0);
                Ok(row)
            }
            Err(trouble) => Err(self.why_not(at, trouble).await),
        }
    }

    /// Masterchain blocks without a gap from `from` on, at least one; they may end before `to`.
    ///
    /// `since`: when `from` was made or anything a little earlier, where that is known: it saves a request.
    pub(crate) async fn rows(&self, from: Height, to: Height, since: Option<Timestamp>) -> Result<Vec<Row>, Trouble> {
        if from > to {
            return Err(Trouble::Failed(format!("no blocks from {from} to {to} could be asked for")));
        }
        let rows = match self.dialect()? {
            Dialect::ToncenterV3 => match v3::rows(self.endpoint, from, to, since).await {
                Ok(rows) => rows,
                Err(trouble) => return Err(self.why_not(from, trouble).await),
            },
            Dialect::ToncenterV2 | Dialect::Tonapi => self.one_by_one(from, to).await?,
        };
        if let Some(last) = rows.last() {
            self.endpoint.report_block(last.at.height.0);
        }
        Ok(rows)
    }

    async fn one_by_one(&self, from: Height, to: Height) -> Result<Vec<Row>, Trouble> {
        let mut rows = vec![self.row(from).await?];
        let last = to.0.min(from.0.saturating_add(ROWS_ONE_BY_ONE));
        let dialect = self.dialect()?;
        let rest = stream::iter(from.next().0..=last).map(async |at| match dialect {
            Dialect::Tonapi => tonapi::row(self.endpoint, Height(at)).await,
            Dialect::ToncenterV2 | Dialect::ToncenterV3 => v2::row(self.endpoint, Height(at)).await,
        });
        let mut rest = std::pin::pin!(rest.buffered(ROWS_AT_ONCE));
        // What is there is an answer; why the rest is not will be asked for by whoever needs it.
        while let Some(Ok(row)) = rest.next().await {
            rows.push(row);
        }
        Ok(rows)
    }

    /// Where each of these accounts stands: its last transaction, in the same order. `None`: there never was one.
    pub(crate) async fn heads(&self, accounts: &[Account]) -> Result<Vec<Option<Link>>, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV2 => v2::heads(self.endpoint, accounts).await,
            Dialect::ToncenterV3 => v3::heads(self.endpoint, accounts).await,
            Dialect::Tonapi => tonapi::heads(self.endpoint, accounts).await,
        }
    }

    /// Every transaction of an account above a logical time, oldest first, with its height. v3 alone.
    pub(crate) async fn named(&self, account: &Account, above_lt: u64) -> Result<Vec<Named>, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV3 => v3::named(self.endpoint, account, above_lt).await,
            Dialect::ToncenterV2 | Dialect::Tonapi => Err(knows_no_heights()),
        }
    }

    /// The last transaction of an account that a masterchain block at or below `height` committed: where a cursor
    /// begins. `None`: there was none by then. v3 alone.
    pub(crate) async fn last_at_or_below(&self, account: &Account, end: End) -> Result<Option<Named>, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV3 => v3::last_at_or_below(self.endpoint, account, end).await,
            Dialect::ToncenterV2 | Dialect::Tonapi => Err(knows_no_heights()),
        }
    }

    /// Where a masterchain block ends in logical time: asked once, however many accounts begin there. v3 alone.
    pub(crate) async fn end(&self, height: Height) -> Result<End, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV3 => match v3::row(self.endpoint, height).await {
                Ok(block) => Ok(End { height, lt: block.end_lt }),
                Err(trouble) => Err(self.why_not(height, trouble).await),
            },
            Dialect::ToncenterV2 | Dialect::Tonapi => Err(knows_no_heights()),
        }
    }

    /// The cells of an account's transactions from this one on, newest first, at least this one; they may end before
    /// the way does. `until_lt`: those above it are wanted. Nothing but its cells says whether they are what they
    /// should be.
    pub(crate) async fn raw_down(
        &self,
        account: &Account,
        from: Link,
        until_lt: Option<u64>,
        most: usize,
    ) -> Result<Vec<Bytes>, Trouble> {
        let most = most.clamp(1, RAW_AT_ONCE);
        match self.dialect()? {
            Dialect::ToncenterV2 => v2::raw_down(self.endpoint, account, from, until_lt, most).await,
            Dialect::Tonapi => tonapi::raw_down(self.endpoint, account, from, until_lt, most).await,
            Dialect::ToncenterV3 => Err(gives_no_cells()),
        }
    }

    /// The cell of one transaction.
    pub(crate) async fn raw_one(&self, account: &Account, at: Link) -> Result<Bytes, Trouble> {
        let mut cells = match self.dialect()? {
            Dialect::Tonapi => vec![tonapi::raw_one(self.endpoint, at).await?],
            Dialect::ToncenterV2 | Dialect::ToncenterV3 => self.raw_down(account, at, None, 1).await?,
        };
        cells.truncate(1);
        cells.pop().ok_or_else(|| Trouble::Lacks(format!("an empty list where {account} has {}", at.lt)))
    }

    /// What a masterchain block commits of each shard. Only v2 needs it; of the others it is nothing.
    pub(crate) async fn tips(&self, at: Height) -> Result<Tips, Trouble> {
        if self.dialect()? != Dialect::ToncenterV2 {
            return Ok(Tips::default());
        }
        match walk::tips(self.endpoint, at).await {
            Ok(tips) => Ok(tips),
            Err(trouble) => Err(self.why_not(at, trouble).await),
        }
    }

    /// All that a masterchain block commits, and its shards' tips. `before`: those of the block below it; only v2
    /// needs them, and asks for them where there are none.
    pub(crate) async fn content(&self, row: &Row, before: &Tips) -> Result<(Content, Tips), Trouble> {
        let tips = self.tips(row.at.height).await?;
        let asked = match row.at.height {
            // The first block of all stands on nothing.
            Height(0) => Tips::default(),
            at if before.blocks.is_empty() => self.tips(at.back(1)).await?,
            _ => before.clone(),
        };
        self.content_between(row, &asked, &tips).await.map(|content| (content, tips))
    }

    /// The same where both tips are known, as [`Self::tips`] says them: so that many blocks are read at once.
    pub(crate) async fn content_between(&self, row: &Row, before: &Tips, tips: &Tips) -> Result<Content, Trouble> {
        let content = match self.dialect()? {
            Dialect::ToncenterV2 => walk::between(self.endpoint, row, before, tips).await,
            Dialect::ToncenterV3 => v3::content(self.endpoint, row).await,
            Dialect::Tonapi => tonapi::content(self.endpoint, row).await,
        };
        match content {
            Ok(content) => Ok(content),
            Err(trouble) => Err(self.why_not(row.at.height, trouble).await),
        }
    }

    /// Whether it has this very transaction, by its word. [`Trouble::Contradicts`] where it has another in its place.
    pub(crate) async fn has(&self, account: &Account, at: Link) -> Result<bool, Trouble> {
        let found = match self.dialect()? {
            Dialect::ToncenterV2 => return v2::has(self.endpoint, account, at).await,
            Dialect::ToncenterV3 => v3::at(self.endpoint, account, at.lt).await?.map(|named| named.at),
            Dialect::Tonapi => tonapi::at(self.endpoint, account, at.lt).await?,
        };
        match found {
            None => Ok(false),
            Some(found) if found == at => Ok(true),
            Some(found) => {
                Err(Trouble::Contradicts { account: *account, lt: at.lt, asked: at.hash, given: found.hash })
            }
        }
    }

    /// A transaction by its hash alone; `None` where it has none of it. v2 cannot look one up so.
    pub(crate) async fn by_hash(&self, hash: Hash) -> Result<Option<Named>, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV2 => {
                Err(Trouble::Unsupported("it looks transactions up by their account alone".to_owned()))
            }
            Dialect::ToncenterV3 => v3::by_hash(self.endpoint, hash).await,
            Dialect::Tonapi => tonapi::by_hash(self.endpoint, hash).await,
        }
    }

    /// What a jetton's master says of itself.
    pub(crate) async fn jetton(&self, master: &Account) -> Result<JettonSaid, Trouble> {
        stack::jetton(&self.run(master, "get_jetton_data", None).await?)
    }

    /// Which wallet a master gives an owner.
    pub(crate) async fn wallet_address(&self, master: &Account, owner: &Account) -> Result<Account, Trouble> {
        stack::account(&self.run(master, "get_wallet_address", Some(owner)).await?)
    }

    async fn run(
        &self,
        contract: &Account,
        method: &'static str,
        of: Option<&Account>,
    ) -> Result<Vec<stack::Item>, Trouble> {
        match self.dialect()? {
            Dialect::ToncenterV2 => v2::run(self.endpoint, contract, method, of).await,
            Dialect::ToncenterV3 => v3::run(self.endpoint, contract, method, of).await,
            Dialect::Tonapi => tonapi::run(self.endpoint, contract, method, of).await,
        }
    }

    /// Why it does not give a block: its words decide nothing, it is asked how far it reaches.
    async fn why_not(&self, at: Height, trouble: Trouble) -> Trouble {
        let what = match trouble {
            Trouble::NotYet(what) | Trouble::Lacks(what) | Trouble::Pruned(what) => what,
            other => return other,
        };
        let reach = match self.dialect() {
            Ok(Dialect::ToncenterV3) => v3::reach(self.endpoint).await,
            Ok(_) => self.tip().await.map(|tip| (Height(0), tip.height)),
            Err(trouble) => return trouble,
        };
        match reach {
            Ok((_, newest)) if newest < at => Trouble::NotYet(format!("its newest block is {newest}")),
            Ok((oldest, _)) if oldest > at => {
                Trouble::Pruned(format!("its oldest block is {oldest}, and {at} is next"))
            }
            Ok((_, newest)) => Trouble::Lacks(format!("its newest block is {newest}, and for {at}: {what}")),
            Err(_) => Trouble::Failed(what),
        }
    }
}

/// Blocks that are asked for one at a time before whoever asked may do something else.
const ROWS_ONE_BY_ONE: u64 = 31;

/// So many of them wait for each other's answers; they go through the endpoint's own limits besides.
const ROWS_AT_ONCE: usize = 8;

/// Transactions in one answer: what every version of v2 gives, some a thousand.
const RAW_AT_ONCE: usize = 100;

fn knows_no_heights() -> Trouble {
    Trouble::Unsupported("it does not say which masterchain block committed a transaction".to_owned())
}

fn gives_no_cells() -> Trouble {
    Trouble::Unsupported("it gives no transaction as its cell".to_owned())
}

/// The number that a masterchain block of this height is asked for by.
fn seqno(height: Height) -> Result<String, Trouble> {
    u32::try_from(height.0)
        .map(|seqno| seqno.to_string())
        .map_err(|_| Trouble::NotYet(format!("no block will ever have the number {height}")))
}

/// A height as a node says it.
fn height(said: wire::Number) -> Result<Height, Trouble> {
    u32::try_from(said.0)
        .map(|seqno| Height(u64::from(seqno)))
        .map_err(|_| Trouble::Failed(format!("a block with the number {}", said.0)))
}

/// A transaction from its cell, compared with what was said of it beside.
fn decoded(account: Account, claimed: Link, cell: &[u8]) -> Result<Transaction, Trouble> {
    let transaction = Transaction::decode(account.workchain, cell)?;
    if transaction.account != account {
        return Err(crate::evidence::Lie::OfOtherAccount { account, given: transaction.account }.into());
    }
    if transaction.at.lt != claimed.lt {
        let lie = crate::evidence::Lie::OfOtherTime { account, asked: claimed.lt, given: transaction.at.lt };
        return Err(lie.into());
    }
    if transaction.at.hash != claimed.hash {
        let (lt, computed) = (claimed.lt, transaction.at.hash);
        return Err(crate::evidence::Lie::Hash { account, lt, said: claimed.hash, computed }.into());
    }
    Ok(transaction)
}
