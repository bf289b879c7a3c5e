//! The heads that the endpoints of a network claim, and how far each is behind.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A head, and when it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    height: u64,
    at: Instant,
}

/// The highest head each endpoint claimed. The highest of all goes back only when the one who claimed it is
/// distrusted.
#[derive(Debug)]
pub(crate) struct Heads {
    claims: Mutex<Vec<Option<Claim>>>,
    block_time: Option<Duration>,
}

impl Heads {
    pub(crate) fn new(endpoints: usize, block_time: Option<Duration>) -> Self {
        Self { claims: Mutex::new(vec![None; endpoints]), block_time: block_time.filter(|time| !time.is_zero()) }
    }

    pub(crate) fn claim(&self, place: usize, height: u64, at: Instant) {
        if let Some(claim) = self.claims().get_mut(place)
            && claim.is_none_or(|before| before.height <= height)
        {
            *claim = Some(Claim { height, at });
        }
    }

    /// A liar's head would make laggards of all others for ever.
    pub(crate) fn forget(&self, place: usize) {
        if let Some(claim) = self.claims().get_mut(place) {
            *claim = None;
        }
    }

    pub(crate) fn best(&self) -> u64 {
        self.claims().iter().flatten().map(|claim| claim.height).max().unwrap_or(0)
    }

    /// How many blocks a head that was heard then is behind the best one. Whoever was not asked for a while is
    /// taken to have gone on meanwhile: it is no laggard for our not asking.
    pub(crate) fn lag_of(&self, head: u64, heard: Instant) -> u64 {
        let claims = self.claims();
        let Some(best) = claims.iter().flatten().max_by_key(|claim| (claim.height, std::cmp::Reverse(claim.at))) else {
            return 0;
        };
        let unheard = best.at.saturating_duration_since(heard);
        let gone_on = self.block_time.map_or(0, |time| unheard.as_micros() / time.as_micros().max(1));
        best.height.saturating_sub(head).saturating_sub(u64::try_from(gone_on).unwrap_or(u64::MAX))
    }

    fn claims(&self) -> MutexGuard<'_, Vec<Option<Claim>>> {
        // Numbers are no worse for a panic elsewhere.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_best_head_goes_back_only_with_the_one_who_claimed_it() {
        let (heads, now) = (Heads::new(2, None), Instant::now());
        heads.claim(0, 100, now);
        heads.claim(1, 120, now);
        heads.claim(1, 90, now);
        heads.claim(7, 999, now);
        assert_eq!(heads.best(), 120);
        heads.forget(1);
        assert_eq!(heads.best(), 100);
    }

    #[test]
    fn who_was_not_asked_is_no_laggard_for_that() {
        let (heads, then) = (Heads::new(2, Some(SECOND * 2)), Instant::now());
        heads.claim(0, 100, then);
        heads.claim(1, 130, then + SECOND * 60);
        assert_eq!(heads.lag_of(100, then), 0, "30 blocks in 60 s");
        assert_eq!(heads.lag_of(90, then), 10);
        assert_eq!(heads.lag_of(100, then + SECOND * 60), 30);
        assert_eq!(Heads::new(1, Some(SECOND)).lag_of(0, then), 0, "nobody said anything yet");
        let plain = Heads::new(2, None);
        plain.claim(1, 130, then + SECOND * 60);
        assert_eq!(plain.lag_of(100, then), 30);
    }
}
