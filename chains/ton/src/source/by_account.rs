//! Account by account: where each stands, asked in one question, and its chain from there down to where we stood. What
//! it costs is what happened to our accounts, however many blocks the network made meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use amn_core::block::{BlockRef, Height, Operator};
use amn_core::source::{Segment, Watch};
use amn_rpc::Endpoint;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;

use super::Shared;
use super::accounts::{Cursors, Followed, Since};
use super::ask::{Ask, Dialect, End, Named, Row};
use super::chain::{Astray, Known};
use super::segment::{Found, Reading, placed};
use super::trouble::Trouble;
use crate::address::Account;
use crate::evidence::Cursor;
use crate::transaction::Link;

/// Masterchain blocks in one stretch: an hour of them is one decision, and ten requests.
const STRETCH: u64 = 10_000;

/// Accounts that are asked about at the same time: our own limits decide how fast.
const AT_ONCE: usize = 4;

/// Transactions of one account in one stretch. Of a busier one the stretch ends earlier.
const TRANSACTIONS_MAX: usize = 2_000;

/// Transactions of one account that lists of blocks may lack: whoever lacks more is not read.
const UNLISTED_MAX: usize = 32;

/// Blocks' time that a transaction is waited for that its own operator does not list, or that another does not have.
pub(crate) const WAITED_BLOCKS: u64 = 25;

/// Collators' clocks: a shard's block may say a later second than the masterchain block that commits it.
const CLOCKS_DIFFER_SECONDS: i64 = 5;

/// Where blocks end that accounts begin at, each asked once in a stretch: the same one for most accounts.
#[derive(Default)]
struct Ends(Mutex<BTreeMap<Height, Arc<OnceCell<End>>>>);

impl Ends {
    async fn of(&self, ask: &Ask<'_>, height: Height) -> Result<End, Trouble> {
        let end = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(height).or_default().clone();
        end.get_or_try_init(|| ask.end(height)).await.copied()
    }
}

/// One account that moved.
pub(crate) struct Moved {
    pub(crate) account: Account,
    pub(crate) cursor: Option<Cursor>,
    /// It was never looked at before: what lies below the stretch is not ours.
    pub(crate) fresh: bool,
    /// Oldest first, each above the cursor.
    pub(crate) names: Vec<Named>,
    /// What was read of them already.
    pub(crate) known: Known,
}

impl Shared {
    /// The blocks on `on`, and in them what happened to our accounts, as one index names it.
    pub(crate) async fn by_account(
        &self,
        by: &Arc<Endpoint>,
        on: BlockRef,
        up_to: Height,
        watch: &Watch,
        followed: &Followed,
        mut cursors: Cursors,
    ) -> Result<Segment, Trouble> {
        let ask = Ask { endpoint: by };
        let rows = self.stretch(&ask, on, up_to, STRETCH).await?;
        let Some(stands) = rows.first().copied() else { return Err(Trouble::Failed("no blocks".to_owned())) };
        let accounts: Vec<Account> = followed.accounts.iter().flat_map(|accounts| accounts.iter().copied()).collect();
        // After the blocks: so nothing in them can be newer than where the accounts are said to stand.
        let heads = if accounts.is_empty() { Vec::new() } else { ask.heads(&accounts).await? };
        if heads.len() != accounts.len() {
            return Err(Trouble::Failed(format!("{} heads for {} accounts", heads.len(), accounts.len())));
        }
        let since = Since { height: stands.at.height, time: stands.time };
        for (account, _) in accounts.iter().zip(&heads).filter(|(_, head)| head.is_none()) {
            cursors.is_unseen(*account, since);
        }
        let heads: Vec<(Account, Link)> =
            accounts.into_iter().zip(heads).filter_map(|(account, head)| Some((account, head?))).collect();
        let mut moved: Vec<(Account, Link, Option<Cursor>)> = Vec::new();
        for (account, head) in &heads {
            let cursor = cursors.get(account);
            if cursor.is_none_or(|cursor| cursor.at != *head) {
                moved.push((*account, *head, cursor));
            }
        }
        let ends = Ends::default();
        let looked = stream::iter(moved).map(async |(account, head, cursor)| {
            // An index that shows an account later than its blocks must not make us begin after its first payment.
            let since = cursors.unseen_since(&account).unwrap_or(since);
            let stands = Row { at: BlockRef { height: since.height, ..stands.at }, time: since.time, ..stands };
            self.moved(by, stands, &ends, account, head, cursor).await.map(|moved| (account, moved))
        });
        let looked: Vec<_> = looked.buffered(AT_ONCE).try_collect().await?;
        let mut moved = Vec::new();
        for (account, (cursor, names, fresh)) in looked {
            if let Some(cursor) = cursor.filter(|_| fresh) {
                cursors.set(account, cursor);
            }
            moved.push(Moved { account, cursor, fresh, names, known: Known::new() });
        }
        let rows = cut_for_the_busy(rows, &moved);
        let to = rows.last().map_or(on.height, |row| row.at.height);
        let found = stream::iter(moved).map(async |moved| self.found(by, stands, to, moved).await);
        let found: Vec<Option<Found>> = found.buffered(AT_ONCE).try_collect().await?;
        let mut found: Vec<Found> = found.into_iter().flatten().collect();
        self.overtaken(by, &rows, Some(&heads), &cursors, &mut found).await;
        let reading = Reading { by, rows, watch, followed, found, cursors };
        let segment = self.finish(reading).await?;
        self.look_elsewhere(by, watch, &heads, &segment).await;
        Ok(segment)
    }

    /// The block we stand on and those above it, without a gap; at least one above.
    pub(crate) async fn stretch(
        &self,
        ask: &Ask<'_>,
        on: BlockRef,
        up_to: Height,
        most: u64,
    ) -> Result<Vec<Row>, Trouble> {
        let to = up_to.min(Height(on.height.0.saturating_add(most)));
        let rows = self.rows(ask, on.height, to, None).await?;
        match rows.as_slice() {
            [first, ..] if first.at != on => Err(Trouble::Forked(on)),
            [_, _, ..] => Ok(rows),
            _ => Err(Trouble::NotYet(format!("its newest block is {}", on.height))),
        }
    }

    /// What happened to an account since we looked, by name; and where we stood, if that had to be found out.
    async fn moved(
        &self,
        by: &Arc<Endpoint>,
        on: Row,
        ends: &Ends,
        account: Account,
        head: Link,
        cursor: Option<Cursor>,
    ) -> Result<(Option<Cursor>, Vec<Named>, bool), Trouble> {
        let ask = Ask { endpoint: by };
        let (cursor, fresh) = match cursor {
            Some(cursor) => (Some(cursor), false),
            None => match self.begin(by, on, ends, account, head).await? {
                // Nothing has happened to it since.
                Some(cursor) if cursor.at == head => return Ok((Some(cursor), Vec::new(), true)),
                cursor => (cursor, true),
            },
        };
        match cursor {
            // A machine that lags: where the account stood before.
            Some(cursor) if head.lt < cursor.at.lt => return Ok((Some(cursor), Vec::new(), fresh)),
            // Its chain leads elsewhere, as will be found.
            Some(cursor) if head.lt == cursor.at.lt && head.hash != cursor.at.hash => {
                return Ok((Some(cursor), vec![Named { account, at: head, height: None }], fresh));
            }
            _ => {}
        }
        let mut names = ask.named(&account, cursor.map_or(0, |cursor| cursor.at.lt)).await?;
        names.sort_unstable_by_key(|named| named.at.lt);
        match names.iter().find(|named| named.at.lt >= head.lt) {
            Some(named) if named.at.lt == head.lt && named.at != head => {
                return Err(Trouble::Lie(format!(
                    "it has two transactions of {account} at {}: {} and {}",
                    head.lt, head.hash, named.at.hash
                )));
            }
            // It says that the account stands there, and does not list it: an index writes its tables one by one.
            None if self.waited(account, head) => names.push(Named { account, at: head, height: None }),
            Some(_) | None => {}
        }
        if fresh {
            names.retain(|named| named.height.is_none_or(|height| height > on.at.height));
        }
        Ok((cursor, names, fresh))
    }

    /// Where the chain of an account begins for us that was never looked at: at its last transaction at or below the
    /// block we stand on. `None`: there is none such.
    async fn begin(
        &self,
        by: &Arc<Endpoint>,
        on: Row,
        ends: &Ends,
        account: Account,
        head: Link,
    ) -> Result<Option<Cursor>, Trouble> {
        let ask = Ask { endpoint: by };
        let last = match ask.by_hash(head.hash).await? {
            Some(named) if named.account != account || named.at != head => {
                return Err(Trouble::Lie(format!("the last transaction of {account} is another's by its own word")));
            }
            Some(named) if named.height.is_some_and(|height| height <= on.at.height) => Some(head),
            _ => {
                let end = ends.of(&ask, on.at.height).await?;
                ask.last_at_or_below(&account, end).await?.map(|named| named.at)
            }
        };
        let Some(at) = last else { return Ok(None) };
        match self.one(by.operator(), account, at, &mut Known::new()).await {
            // Whoever would hide a payment would say that it was there before.
            Ok(read) if i64::from(read.now) > on.time.seconds().saturating_add(CLOCKS_DIFFER_SECONDS) => {
                let (height, now) = (on.at.height, read.now);
                Err(Trouble::Lie(format!(
                    "{account} had {} at {now} s, after block {height}, which has it by its word",
                    at.lt
                )))
            }
            Ok(read) => Ok(Some(Cursor::after(&read))),
            // So old that nobody keeps it: it is no payment of ours.
            Err(_) => Ok(Some(Cursor { at, gone: false })),
        }
    }

    pub(crate) fn waited(&self, account: Account, at: Link) -> bool {
        let patience = self.blocks_time(WAITED_BLOCKS);
        self.memory.waited_for(account, at.hash, patience, self.pool.time().now())
    }

    /// An account's chain from the newest of the names within the stretch down to where we stood.
    pub(crate) async fn found(
        &self,
        by: &Arc<Endpoint>,
        on: Row,
        to: Height,
        mut moved: Moved,
    ) -> Result<Option<Found>, Trouble> {
        let within = |named: &Named| named.height.is_none_or(|height| height <= to);
        let Some(last) = moved.names.iter().rposition(within) else { return Ok(None) };
        moved.names.truncate(last + 1);
        let Moved { account, mut cursor, fresh, names, mut known } = moved;
        if cursor.is_none() && fresh {
            cursor = match self.below(by, on, &names, &mut known).await {
                Ok(cursor) => cursor,
                Err(trouble) => return self.nobody_shows(by, on.at, account, &names, trouble, &BTreeSet::new()),
            };
        }
        match self.descend(by.operator(), account, &names, cursor, &mut known).await {
            Ok(way) => {
                let chain: BTreeSet<Link> = way.transactions.iter().map(|transaction| transaction.at).collect();
                if let Some(named) = names.iter().find(|named| !chain.contains(&named.at)) {
                    return Err(Trouble::Lie(format!(
                        "it lists {} {} of {account}, which is not in the account's chain",
                        named.at.lt, named.at.hash
                    )));
                }
                Ok(Some(placed(account, way, &names, on.at.height, to)))
            }
            Err(Astray::Missing(trouble, denied)) => self.nobody_shows(by, on.at, account, &names, *trouble, &denied),
            Err(Astray::Elsewhere(lie)) => {
                let (Some(cursor), Some(top)) = (cursor, names.last()) else { return Err(lie.into()) };
                self.who_has_it(by, account, cursor, top.at).await?;
                Ok(Some(Found::astray(account)))
            }
        }
    }

    /// Nobody gives the cell of a transaction that an index names. While it may still come, the stretch ends below it;
    /// where others have none such and none comes, it is no transaction.
    fn nobody_shows(
        &self,
        by: &Arc<Endpoint>,
        on: BlockRef,
        account: Account,
        names: &[Named],
        trouble: Trouble,
        denied: &BTreeSet<Operator>,
    ) -> Result<Option<Found>, Trouble> {
        let Some(top) = names.last() else { return Ok(None) };
        let others = denied.iter().any(|operator| operator != by.operator()) || self.one_is_enough();
        match trouble {
            Trouble::NotYet(_) | Trouble::Lacks(_) | Trouble::Contradicts { .. } | Trouble::Lie(_) if others => {
                let first = names.iter().find_map(|named| named.height).unwrap_or(on.height);
                if !self.waited(account, top.at) {
                    return Ok(Some(Found::held(account, first.max(on.height.next()))));
                }
                let (lt, hash) = (top.at.lt, top.at.hash);
                by.remark(&format!("it lists {lt} {hash} of {account}, whose cell nobody has"));
                Ok(None)
            }
            Trouble::Pruned(why) => {
                let givers = self.pool.endpoints().iter();
                let givers = givers.filter(|of| Dialect::of(of).is_some_and(Dialect::gives_cells)).count();
                let all = self.cells(by.operator()).len() >= givers;
                Err(if all { Trouble::Gone(why) } else { Trouble::Failed(why) })
            }
            Trouble::Lie(why) | Trouble::Undecodable(why) => Err(Trouble::Lacks(why)),
            trouble => Err(trouble),
        }
    }

    /// What the oldest of these stands on, where a chain that was never looked at begins for us. A list of a block may
    /// lack one: what happened no earlier than the block we stand on is ours, listed or not.
    pub(crate) async fn below(
        &self,
        by: &Arc<Endpoint>,
        on: Row,
        names: &[Named],
        known: &mut Known,
    ) -> Result<Option<Cursor>, Trouble> {
        let Some(first) = names.first() else { return Ok(None) };
        let mut first = self.one(by.operator(), first.account, first.at, known).await?;
        for _ in 0..UNLISTED_MAX {
            let Some(at) = first.on else { return Ok(None) };
            match self.one(by.operator(), first.account, at, known).await {
                Ok(read) if i64::from(read.now) >= on.time.seconds() => first = read,
                Ok(read) => return Ok(Some(Cursor::after(&read))),
                // So old that nobody keeps it: it is no payment of ours. Who did not answer has not said so.
                Err(Trouble::Pruned(_) | Trouble::Lacks(_) | Trouble::NotYet(_)) => {
                    return Ok(Some(Cursor { at, gone: false }));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::Lacks(format!(
            "its lists of blocks lack more than {UNLISTED_MAX} transactions of {}",
            first.account
        )))
    }

    /// The chain that an endpoint shows does not hold the transaction we stand on. Whoever is contradicted by all
    /// others is distrusted; where nobody can tell, the account waits, and a person is told.
    pub(crate) async fn who_has_it(
        &self,
        by: &Arc<Endpoint>,
        account: Account,
        ours: Cursor,
        theirs: Link,
    ) -> Result<(), Trouble> {
        let (mut with, mut against) = (BTreeSet::new(), BTreeSet::from([by.operator().clone()]));
        for endpoint in self.others(by.operator()) {
            match (Ask { endpoint: &endpoint }).has(&account, ours.at).await {
                Ok(true) => drop(with.insert(endpoint.operator().clone())),
                Ok(false) | Err(Trouble::Contradicts { .. }) => drop(against.insert(endpoint.operator().clone())),
                Err(_) => {}
            }
        }
        let (lt, hash) = (ours.at.lt, ours.at.hash);
        if with.len() >= against.len() {
            return Err(Trouble::Lie(format!(
                "its chain of {account} up to {} {} does not hold {lt} {hash}, which others have",
                theirs.lt, theirs.hash
            )));
        }
        if self.memory.is_news(account, hash) {
            let network = &self.network.facts.id;
            tracing::error!(%network, %account, lt, %hash, ?against, "the transaction {lt} {hash} of {account}, where we stand, is in no chain that is shown");
        }
        by.remark(&format!("its chain of {account} does not hold {lt} {hash}"));
        Ok(())
    }
}

/// Where an account has more transactions than are taken at once, the stretch ends below the first that is left.
fn cut_for_the_busy(mut rows: Vec<Row>, moved: &[Moved]) -> Vec<Row> {
    for moved in moved {
        let Some(left) = moved.names.get(TRANSACTIONS_MAX).copied() else { continue };
        // All of one block are taken, however many.
        let Some(height) = left.height else { continue };
        let end = moved.names.iter().position(|named| named.height >= Some(height)).unwrap_or_default();
        let last = if end > 0 { height.back(1) } else { height };
        let least = rows.get(1).map_or(last, |row| row.at.height);
        rows.retain(|row| row.at.height <= last.max(least));
    }
    rows
}
