//! What o'clock it is on the road: the machine's clock, or one that a replay or a test moves by hand.
//!
//! Everything here that rests, cools down, opens, forgets or counts days asks its [`Time`]. Sleeps and the time-outs
//! of sockets are not its affair: they wait for the machine, whatever a virtual clock says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

const SECONDS_OF_A_DAY: u64 = 86_400;

/// A clock. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Time(Clock);

#[derive(Debug, Clone)]
enum Clock {
    Real,
    Virtual(VirtualTime),
}

/// A clock that stands still until it is moved. Cloning shares it.
///
/// Nothing takes time under it, so whoever reads nodes by it chooses among them without regard to their speed, and
/// chooses the same each time.
#[derive(Debug, Clone)]
pub struct VirtualTime {
    /// An instant cannot be made from a number: what has passed since is added to this one.
    base: Instant,
    /// Since 1970, where it was made.
    start: Duration,
    passed_micros: Arc<AtomicU64>,
}

impl Time {
    /// The machine's.
    #[must_use]
    pub const fn real() -> Self {
        Self(Clock::Real)
    }

    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Clock::Real => Instant::now(),
            Clock::Virtual(clock) => clock.base + clock.passed(),
        }
    }

    /// The day by UTC, counted from 1970: budgets of requests end with it.
    #[must_use]
    pub fn day(&self) -> u64 {
        let since_1970 = match &self.0 {
            Clock::Real => machine(),
            Clock::Virtual(clock) => clock.start + clock.passed(),
        };
        since_1970.as_secs() / SECONDS_OF_A_DAY
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::real()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks the machine for the date")]
fn machine() -> Duration {
    // A machine that believes to be before 1970 is in day 0: its counters merely never roll.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl VirtualTime {
    /// It shows this time, counted from 1970.
    #[must_use]
    pub fn at(since_1970: Duration) -> Self {
        Self { base: Instant::now(), start: since_1970, passed_micros: Arc::default() }
    }

    /// The clock as those see it who cannot move it.
    #[must_use]
    pub fn time(&self) -> Time {
        Time(Clock::Virtual(self.clone()))
    }

    pub fn advance(&self, by: Duration) {
        self.passed_micros.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// Moves it on to a time counted from 1970; a time that is past already does not move it back.
    pub fn advance_to(&self, since_1970: Duration) {
        self.passed_micros.fetch_max(micros(since_1970.saturating_sub(self.start)), Ordering::SeqCst);
    }

    fn passed(&self) -> Duration {
        Duration::from_micros(self.passed_micros.load(Ordering::SeqCst))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_by_hand_and_never_back() {
        let clock = VirtualTime::at(Duration::from_secs(SECONDS_OF_A_DAY - 1));
        let (time, seen_elsewhere) = (clock.time(), clock.clone().time());
        let start = time.now();
        assert_eq!((time.now(), time.day()), (start, 0));
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(seen_elsewhere.now() - start, Duration::from_millis(1_500));
        assert_eq!(time.day(), 1);
        clock.advance_to(Duration::from_secs(10));
        assert_eq!(time.day(), 1, "it went back");
        clock.advance_to(Duration::from_secs(3 * SECONDS_OF_A_DAY));
        assert_eq!(seen_elsewhere.day(), 3);
    }
}
