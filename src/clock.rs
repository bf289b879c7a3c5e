//! Time and chance, as things that are handed in: a test says what o'clock it is and what the dice show.
//!
//! Law: nothing else in the daemon reads a wall clock or makes an id (`clippy.toml` refuses it). No wall
//! clock ever expires or settles a payment; chain time does.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use amn_core::timestamp::Timestamp;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use uuid::Uuid;

/// Says what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Makes ids and draws chance.
pub trait Ids: fmt::Debug + Send + Sync {
    /// A fresh UUID v7 as 128 bits. Ids of one process rise, so rows sort by birth.
    fn next(&self) -> u128;

    /// Fills the bytes with chance good enough for a secret.
    fn fill(&self, bytes: &mut [u8]);
}

/// A number from 0 up to, not including, `bound` (0 where the bound is 0): the jitter of retries.
pub fn below(ids: &dyn Ids, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    ids.fill(&mut bytes);
    // The bias of a remainder is below 2^-40 for any delay we draw; jitter does not care.
    u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let millis = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A machine that woke before 1970 still gets an ordered time.
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Timestamp::from_millis(millis)
    }
}

/// The system's chance.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn next(&self) -> u128 {
        Uuid::now_v7().as_u128()
    }

    fn fill(&self, bytes: &mut [u8]) {
        // A system without randomness cannot make a secret: to go on would mean guessable keys.
        SysRng.try_fill_bytes(bytes).expect("the operating system gives random bytes");
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.millis()))
    }

    /// Moves the clock by so many milliseconds; a negative number turns it back, as real clocks do.
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The same ids and the same chance for the same seed.
#[derive(Debug)]
pub struct SeededIds {
    born: u64,
    made: AtomicU64,
    dice: Mutex<StdRng>,
}

impl SeededIds {
    /// Ids that carry the time `born`, so that they do not depend on when the test runs.
    #[must_use]
    pub fn new(seed: u64, born: Timestamp) -> Self {
        Self {
            born: born.millis().unsigned_abs(),
            made: AtomicU64::new(0),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }
}

impl Ids for SeededIds {
    fn next(&self) -> u128 {
        let serial = self.made.fetch_add(1, Ordering::SeqCst);
        let mut chance = [0; 10];
        self.fill(&mut chance);
        // The serial stands before the chance, so that ids rise within the one millisecond they share.
        chance[..6].copy_from_slice(&serial.to_be_bytes()[2..]);
        uuid::Builder::from_unix_timestamp_millis(self.born, &chance).into_uuid().as_u128()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_ids_rise_are_version_7_and_repeat() {
        let born = Timestamp::from_seconds(1_795_253_352);
        let draw = |seed| {
            let ids = SeededIds::new(seed, born);
            (0..300).map(|_| ids.next()).collect::<Vec<_>>()
        };
        let ids = draw(7);
        assert!(ids.is_sorted_by(|a, b| a < b), "ids of one process rise");
        assert!(ids.iter().all(|id| Uuid::from_u128(*id).get_version_num() == 7));
        assert_eq!(ids, draw(7));
        assert_ne!(ids, draw(8));
    }

    #[test]
    fn system_ids_rise() {
        let ids: Vec<_> = (0..1_000).map(|_| SystemIds.next()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_test_clock_moves_only_when_told() {
        let clock = TestClock::at(Timestamp::from_seconds(100));
        clock.advance(1_500);
        assert_eq!(clock.now(), Timestamp::from_millis(101_500));
        clock.advance(-500);
        assert_eq!(clock.now(), Timestamp::from_seconds(101));
    }

    #[test]
    fn jitter_stays_below_its_bound() {
        let ids = SeededIds::new(1, Timestamp::from_seconds(0));
        let drawn: Vec<_> = (0..1_000).map(|_| below(&ids, 10)).collect();
        assert!(drawn.iter().all(|n| *n < 10));
        assert!((0..10).all(|n| drawn.contains(&n)), "every value is possible");
        assert_eq!(below(&ids, 0), 0);
    }
}
