//! Remembers when the head last moved, so that one who stands still does not hold us.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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
