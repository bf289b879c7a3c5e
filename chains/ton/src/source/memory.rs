//! What is remembered of the endpoints, so that it is not asked for again: how far each has got, and which masterchain
//! blocks it gave. A masterchain block never changes, so what one said holds until it says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amn_core::block::{BlockRef, Hash, Header, Height, Operator};
use amn_core::timestamp::Timestamp;
use amn_rpc::Endpoint;
use tokio::time::Instant;

use super::Mode;
use super::ask::{Row, Tips};
use crate::address::Account;
use crate::evidence::Cursor;
use crate::transaction::Link;

/// Masterchain blocks remembered of one endpoint: a quarter of an hour of the chain, and two questions' worth.
const ROWS_MAX: usize = 2_048;

/// Accounts of which something is awaited: beyond, the oldest are asked about anew.
const WAITS_MAX: usize = 10_000;

/// What is known of one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The newest masterchain block that it gave.
    pub(crate) head: Option<Row>,
    /// What other network it is of, if it said so.
    pub(crate) foreign: Option<String>,
    rows: BTreeMap<u64, Row>,
    tips: Option<(BlockRef, Tips)>,
}

/// A later head of an account than that of whoever we read from.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    pub(crate) head: Link,
    pub(crate) by: Operator,
    /// Of an account that we have no cursor of: the last transaction that is too old to be ours.
    pub(crate) until: Option<Cursor>,
}

/// Bounded by the number of endpoints, and by the bounds above.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: Mutex<BTreeMap<String, Known>>,
    head: Mutex<Option<Header>>,
    leader: Mutex<Option<(u64, Instant)>>,
    agreed: Mutex<Option<(u64, Instant)>>,
    waiting: Mutex<Option<Instant>>,
    stands: Mutex<Option<Height>>,
    waits: Mutex<BTreeMap<(Account, Hash), Instant>>,
    ahead: Mutex<BTreeMap<Account, Ahead>>,
    placed: Mutex<BTreeMap<Hash, (Account, Link)>>,
    said: Mutex<BTreeSet<(Account, Hash)>>,
    mode: Mutex<Option<Mode>>,
    looks: Mutex<u64>,
    checked: Mutex<bool>,
}

impl Memory {
    pub(crate) fn known(&self, of: &Endpoint) -> Known {
        lock(&self.known).get(of.name()).cloned().unwrap_or_default()
    }

    fn note<T>(&self, of: &Endpoint, change: impl FnOnce(&mut Known) -> T) -> T {
        change(lock(&self.known).entry(of.name().to_owned()).or_default())
    }

    pub(crate) fn is_foreign(&self, of: &Endpoint, why: Option<String>) {
        self.note(of, |known| known.foreign = why);
    }

    /// It said that this is its newest block. Behind one address stand several machines, and some lag: the newest that
    /// it ever gave is what it has.
    pub(crate) fn reaches(&self, of: &Endpoint, row: Row) -> Row {
        self.note(of, |known| {
            known.say(std::slice::from_ref(&row));
            match &known.head {
                Some(head) if head.at.height >= row.at.height => *head,
                _ => *known.head.insert(row),
            }
        })
    }

    /// It gave these blocks. What it said before and no longer fits is forgotten.
    pub(crate) fn says(&self, of: &Endpoint, rows: &[Row]) {
        self.note(of, |known| known.say(rows));
    }

    /// What it said of these heights, from the first on and without a gap.
    pub(crate) fn rows(&self, of: &Endpoint, from: Height, to: Height) -> Vec<Row> {
        let known = lock(&self.known);
        let Some(known) = known.get(of.name()) else { return Vec::new() };
        if to < from {
            return Vec::new();
        }
        let rows = known.rows.range(from.0..=to.0);
        rows.zip(from.0..).take_while(|((height, _), next)| *height == next).map(|((_, row), _)| *row).collect()
    }

    pub(crate) fn row(&self, of: &Endpoint, at: Height) -> Option<Row> {
        lock(&self.known).get(of.name())?.rows.get(&at.0).copied()
    }

    /// What it said before is asked for anew.
    pub(crate) fn forget(&self, of: &Endpoint) {
        self.note(of, |known| *known = Known { foreign: known.foreign.take(), ..Known::default() });
    }

    /// The shard blocks on which its next block stands.
    pub(crate) fn tips(&self, of: &Endpoint, on: BlockRef) -> Tips {
        let known = lock(&self.known);
        let tips = known.get(of.name()).and_then(|known| known.tips.as_ref());
        tips.filter(|(at, _)| *at == on).map(|(_, tips)| tips.clone()).unwrap_or_default()
    }

    pub(crate) fn keep_tips(&self, of: &Endpoint, at: BlockRef, tips: Tips) {
        self.note(of, |known| known.tips = Some((at, tips)));
    }

    /// The newest block that is believed.
    pub(crate) fn head(&self) -> Option<Header> {
        *lock(&self.head)
    }

    pub(crate) fn keep_head(&self, head: Option<Header>) {
        *lock(&self.head) = head;
    }

    /// Where the follower stands: the blocks above are needed next.
    pub(crate) fn stands(&self) -> Option<Height> {
        *lock(&self.stands)
    }

    pub(crate) fn stand(&self, at: Height) {
        *lock(&self.stands) = Some(at);
    }

    /// Whether the leader's head means that nothing has moved for so long. The wait then begins anew.
    pub(crate) fn is_stuck_at(&self, height: u64, patience: Duration, now: Instant) -> bool {
        is_still(&self.leader, height, patience, now)
    }

    /// The same of the newest block that two have.
    pub(crate) fn is_held_at(&self, height: u64, patience: Duration, now: Instant) -> bool {
        is_still(&self.agreed, height, patience, now)
    }

    /// Whether a second word for a masterchain block has been waited for so long.
    pub(crate) fn waited(&self, patience: Duration, now: Instant) -> bool {
        now.saturating_duration_since(*lock(&self.waiting).get_or_insert(now)) >= patience
    }

    /// Somebody said the second word.
    pub(crate) fn heard(&self) {
        *lock(&self.waiting) = None;
    }

    /// Whether this transaction has been waited for so long; the first question begins the wait.
    pub(crate) fn waited_for(&self, account: Account, tx: Hash, patience: Duration, now: Instant) -> bool {
        let mut waits = lock(&self.waits);
        let since = *waits.entry((account, tx)).or_insert(now);
        while waits.len() > WAITS_MAX {
            let Some(oldest) = waits.iter().min_by_key(|(_, since)| **since).map(|(key, _)| *key) else { break };
            waits.remove(&oldest);
        }
        now.saturating_duration_since(since) >= patience
    }

    /// Whether nobody was told yet that this transaction is not where it was: once is enough for a log.
    pub(crate) fn is_news(&self, account: Account, tx: Hash) -> bool {
        let mut said = lock(&self.said);
        said.len() < WAITS_MAX && said.insert((account, tx))
    }

    /// Somebody has a later transaction of an account.
    pub(crate) fn is_ahead(&self, account: Account, ahead: Ahead) {
        let mut all = lock(&self.ahead);
        if all.len() < WAITS_MAX {
            all.entry(account).or_insert(ahead);
        }
    }

    pub(crate) fn is_known_ahead(&self, account: &Account) -> bool {
        lock(&self.ahead).contains_key(account)
    }

    /// Whoever lacked it has it now, or it was told without.
    pub(crate) fn caught_up(&self, account: Account) {
        lock(&self.ahead).remove(&account);
    }

    pub(crate) fn ahead(&self) -> BTreeMap<Account, Ahead> {
        lock(&self.ahead).clone()
    }

    /// Where a transaction that was told is found: by its name alone some nodes cannot look it up.
    pub(crate) fn placed(&self, tx: Hash) -> Option<(Account, Link)> {
        lock(&self.placed).get(&tx).copied()
    }

    pub(crate) fn place(&self, account: Account, at: Link) {
        let mut placed = lock(&self.placed);
        placed.insert(at.hash, (account, at));
        while placed.len() > WAITS_MAX {
            placed.pop_first();
        }
    }

    pub(crate) fn mode(&self) -> Option<Mode> {
        lock(&self.mode).clone()
    }

    /// True where it changed.
    pub(crate) fn goes_by(&self, mode: Mode) -> bool {
        lock(&self.mode).replace(mode.clone()) != Some(mode)
    }

    /// Counts the looks at the tip.
    pub(crate) fn look(&self) -> u64 {
        let mut looks = lock(&self.looks);
        *looks = looks.wrapping_add(1);
        *looks
    }

    /// Whether one watched owner's wallets were compared with what the masters say.
    pub(crate) fn is_checked(&self) -> bool {
        *lock(&self.checked)
    }

    pub(crate) fn check(&self) {
        *lock(&self.checked) = true;
    }
}

impl Known {
    fn say(&mut self, rows: &[Row]) {
        for row in rows {
            if self.rows.get(&row.at.height.0).is_some_and(|there| there.at != row.at) {
                self.rows.clear();
                self.head = None;
            }
            self.rows.insert(row.at.height.0, *row);
        }
        while self.rows.len() > ROWS_MAX {
            self.rows.pop_first();
        }
    }
}

/// A masterchain block as the rules know it, above another.
pub(crate) fn header(below: &Row, row: &Row) -> Header {
    Header { at: row.at, parent: below.at.hash, time: row.time }
}

/// A masterchain block of which only the name is known.
pub(crate) fn name_only(at: BlockRef) -> Header {
    Header { at, parent: Hash([0; 32]), time: Timestamp::from_millis(0) }
}

fn is_still(last: &Mutex<Option<(u64, Instant)>>, height: u64, patience: Duration, now: Instant) -> bool {
    let mut last = lock(last);
    let still = last.is_some_and(|(known, since)| height <= known && now.saturating_duration_since(since) >= patience);
    if still || last.is_none_or(|(known, _)| height > known) {
        *last = Some((height, now));
    }
    still
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is remembered is no worse for a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
