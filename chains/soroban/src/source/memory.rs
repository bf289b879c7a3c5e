//! What is remembered of the endpoints, so that it is not asked for again: how far each reaches, what it said stands
//! at a height, and how much it gives at a time. A closed ledger never changes, so what one said holds until it says
//! otherwise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amn_core::block::{Header, Height};
use amn_rpc::{Answer, Endpoint};
use tokio::time::Instant;

use super::PAGE_MAX;

/// Headers remembered of one endpoint: some pages, and what was asked about a quarrel.
const SAID_MAX: usize = 64;

/// Which ledgers an endpoint says it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    pub oldest: u32,
    pub latest: u32,
    /// How many it keeps; 0: it does not say.
    pub window: u32,
}

/// What is known of one endpoint, for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    pub range: Option<Range>,
    /// The protocol of its network, when it was last asked.
    pub protocol: Option<u32>,
    /// What another network's passphrase it gave, if it did.
    pub foreign: Option<String>,
    page: Option<Page>,
    said: BTreeMap<u64, Header>,
}

/// How many ledgers an endpoint is asked for at a time, after one time it was too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    most: u32,
    /// How often it gave as many since.
    given: u32,
}

/// So many times an endpoint must give as many as it was asked for before it is asked for one more: what it refuses
/// may cost us all its time.
const GIVEN_BEFORE_MORE: u32 = 16;

/// Bounded by the number of endpoints.
#[derive(Debug, Default)]
pub struct Memory {
    known: Mutex<BTreeMap<String, Known>>,
    head: Mutex<Option<Given>>,
    leader: Mutex<Option<(u64, Instant)>>,
    agreed: Mutex<Option<(u64, Instant)>>,
    waiting: Mutex<Option<Instant>>,
    garbled: Mutex<(Height, u32)>,
    follows: AtomicBool,
}

/// The newest ledger, as an endpoint gave it a moment ago: as good as the same question asked again.
#[derive(Clone, Debug)]
pub struct Given {
    /// The endpoint's name.
    pub by: String,
    pub header: Header,
    /// `None` where it was no good.
    pub answer: Option<Answer>,
}

impl Memory {
    pub fn known(&self, of: &Endpoint) -> Known {
        lock(&self.known).get(of.name()).cloned().unwrap_or_default()
    }

    pub fn range(&self, of: &Endpoint) -> Option<Range> {
        lock(&self.known).get(of.name())?.range
    }

    pub fn reaches(&self, of: &Endpoint, range: Range) {
        self.note(of, |known| known.range = Some(range));
    }

    pub fn speaks(&self, of: &Endpoint, protocol: u32) {
        self.note(of, |known| (known.protocol, known.foreign) = (Some(protocol), None));
    }

    pub fn is_foreign(&self, of: &Endpoint, why: &str) {
        self.note(of, |known| known.foreign = Some(why.to_owned()));
    }

    fn note(&self, of: &Endpoint, change: impl FnOnce(&mut Known)) {
        change(lock(&self.known).entry(of.name().to_owned()).or_default());
    }

    /// How many ledgers to ask an endpoint for at a time.
    pub fn page(&self, of: &Endpoint) -> u32 {
        lock(&self.known).get(of.name()).and_then(|known| known.page).map_or(PAGE_MAX, |page| page.most)
    }

    /// So many were too much for it.
    pub fn shrink(&self, of: &Endpoint, from: u32) {
        self.note(of, |known| known.page = Some(Page { most: (from / 2).max(1), given: 0 }));
    }

    /// It gave as many as it was asked for.
    pub fn grow(&self, of: &Endpoint, count: u32) {
        self.note(of, |known| {
            let Some(page) = known.page.as_mut().filter(|page| page.most <= count) else { return };
            page.given += 1;
            if page.given >= GIVEN_BEFORE_MORE {
                *page = Page { most: page.most.saturating_add(1).min(PAGE_MAX), given: 0 };
            }
        });
    }

    /// What an endpoint last said stands at a height.
    pub fn said(&self, of: &Endpoint, at: Height) -> Option<Header> {
        lock(&self.known).get(of.name())?.said.get(&at.0).copied()
    }

    /// An endpoint said that these ledgers stand there. What it said before and no longer fits is forgotten.
    pub fn says(&self, of: &Endpoint, headers: impl IntoIterator<Item = Header>) {
        self.note(of, |known| headers.into_iter().for_each(|header| known.says(header)));
    }

    /// The newest ledger that was shown, and by whom.
    pub fn head(&self) -> Option<Given> {
        lock(&self.head).clone()
    }

    pub fn keep_head(&self, by: &Endpoint, header: Header, answer: Answer) {
        *lock(&self.head) = Some(Given { by: by.name().to_owned(), header, answer: Some(answer) });
    }

    /// What was given of the newest ledger could not be used: it is asked for again.
    pub fn drop_head(&self) {
        if let Some(given) = &mut *lock(&self.head) {
            given.answer = None;
        }
    }

    /// Whether the leader's head means that nothing has moved for so long. The wait then begins anew, so that the others
    /// are asked once in that time and not at every question.
    pub fn is_stuck_at(&self, height: u64, patience: Duration, now: Instant) -> bool {
        is_still(&self.leader, height, patience, now)
    }

    /// The same of the newest ledger that two have.
    pub fn is_held_at(&self, height: u64, patience: Duration, now: Instant) -> bool {
        is_still(&self.agreed, height, patience, now)
    }

    /// Whether a second word has been waited for so long.
    pub fn waited(&self, patience: Duration, now: Instant) -> bool {
        now.saturating_duration_since(*lock(&self.waiting).get_or_insert(now)) >= patience
    }

    /// Somebody said the second word.
    pub fn heard(&self) {
        *lock(&self.waiting) = None;
    }

    /// The chain is being read on from a ledger of ours.
    pub fn follow(&self) {
        self.follows.store(true, Ordering::Relaxed);
    }

    /// Whether it was read on before: whoever has no ledger yet begins where two stand.
    pub fn follows(&self) -> bool {
        self.follows.load(Ordering::Relaxed)
    }

    /// Counts how often in a row the ledger at a height could not be read.
    pub fn garbled(&self, at: Height) -> u32 {
        let mut garbled = lock(&self.garbled);
        *garbled = if garbled.0 == at { (at, garbled.1.saturating_add(1)) } else { (at, 1) };
        garbled.1
    }
}

impl Known {
    fn says(&mut self, header: Header) {
        let height = header.at.height;
        let below = self.said.get(&height.back(1).0).is_some_and(|below| below.at.hash != header.parent);
        let above = self.said.get(&height.next().0).is_some_and(|above| above.parent != header.at.hash);
        let other = self.said.get(&height.0).is_some_and(|there| there.at != header.at);
        if other || below || above {
            self.said.clear();
        }
        self.said.insert(height.0, header);
        while self.said.len() > SAID_MAX {
            self.said.pop_first();
        }
    }
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
