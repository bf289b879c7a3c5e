//! Remembers when the head last moved, so that one who stands still does not hold us, and what was given a moment
//! ago, so that it is not asked for again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use amn_core::block::{BlockRef, Height};
use amn_rpc::{Answer, Endpoint};
use tokio::time::Instant;

/// When the head last moved.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: Mutex<Option<(u64, Instant)>>,
}

impl Progress {
    /// Whether a head of this height means that nothing has moved for so long. The wait then begins
    /// anew, so that the others are asked once in that time and not at every question.
    pub(crate) fn is_stuck_at(&self, height: u64, patience: Duration, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck =
            last.is_some_and(|(known, since)| height <= known && now.saturating_duration_since(since) >= patience);
        if stuck || last.is_none_or(|(known, _)| height > known) {
            *last = Some((height, now));
        }
        stuck
    }
}

/// What endpoints gave a moment ago. Each is as good as the same question asked again, and a request less.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    head: Mutex<Option<Given<Answer>>>,
    /// And whether it was said already.
    read: Mutex<Option<Given<bool>>>,
}

#[derive(Debug)]
struct Given<T> {
    /// The endpoint's name.
    by: String,
    block: BlockRef,
    what: T,
}

impl Recent {
    /// This block, with the names of its transactions, is the head of an endpoint.
    pub(crate) fn keep_head(&self, by: &Endpoint, block: BlockRef, answer: Answer) {
        *lock(&self.head) = Some(Given { by: by.name().to_owned(), block, what: answer });
    }

    /// The head of an endpoint as it gave it last, where it stands at this height.
    pub(crate) fn head(&self, of: &Endpoint, at: Height) -> Option<Answer> {
        let head = lock(&self.head);
        head.as_ref().filter(|head| head.by == of.name() && head.block.height == at).map(|head| head.what.clone())
    }

    /// What an endpoint called its head at this height, where it was another block.
    pub(crate) fn other_head(&self, of: &Endpoint, than: BlockRef) -> Option<BlockRef> {
        let head = lock(&self.head);
        let there = head.as_ref().filter(|head| head.by == of.name() && head.block.height == than.height)?;
        Some(there.block).filter(|there| *there != than)
    }

    /// This block was read from an endpoint and stands on all that was read before.
    pub(crate) fn keep_read(&self, by: &Endpoint, block: BlockRef) {
        *lock(&self.read) = Some(Given { by: by.name().to_owned(), block, what: false });
    }

    /// Who gave this block a moment ago. Said once: whoever asks again wants to hear whether it still holds.
    pub(crate) fn take_reader(&self, block: BlockRef) -> Option<String> {
        let mut read = lock(&self.read);
        let read = read.as_mut().filter(|read| read.block == block && !read.what)?;
        read.what = true;
        Some(read.by.clone())
    }

    /// Who gave this block, if it was the last that was read.
    pub(crate) fn reader(&self, block: BlockRef) -> Option<String> {
        lock(&self.read).as_ref().filter(|read| read.block == block).map(|read| read.by.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
