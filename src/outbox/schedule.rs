//! Decides what an answer means and when to try again. Pure: the time and the dice are arguments.
//!
//! Two lanes: a fast one for a hiccup, a slow one so that a backend's redeploy loses nothing, then the dead
//! letters. The delays of the fast lane are fully jittered; those of the slow lane are lengthened by up to a
//! tenth, so that what failed together does not come back together and no lane is shorter than it says.

use amn_core::timestamp::Timestamp;

use crate::outbox::retry_after::RetryAfter;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The longest we let a receiver put us off: a day, as the slow lane's longest step.
const RETRY_AFTER_MAX_MS: u64 = 24 * HOUR;

/// When to try again, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub fast_retries: u32,
    pub fast_base_ms: u64,
    pub fast_cap_ms: u64,
    pub slow_ms: Vec<u64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            fast_retries: 3,
            fast_base_ms: 500,
            fast_cap_ms: 10 * SECOND,
            slow_ms: vec![MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR],
        }
    }
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status {
        code: u16,
        retry_after: Option<RetryAfter>,
    },
    /// No whole answer within the time-out, body included.
    TimedOut,
    /// No connection, or it broke.
    Unreachable,
    /// Our own guard would not let us go there, or the row of the endpoint does not parse.
    Refused,
}

/// What must happen to a delivery now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Retry {
        at: Timestamp,
    },
    Dead {
        reason: DeadReason,
    },
    /// 410: the receiver asks for no more of anything.
    DeadAndPause,
}

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// The receiver said that this will never do.
    Rejected,
    /// Every retry was used.
    Exhausted,
}

impl DeadReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
        }
    }
}

impl Schedule {
    /// Attempts in all: the first, the fast lane and the slow lane.
    #[must_use]
    pub fn attempts_max(&self) -> u32 {
        let slow = u32::try_from(self.slow_ms.len()).unwrap_or(u32::MAX);
        1_u32.saturating_add(self.fast_retries).saturating_add(slow)
    }

    /// Judges the answer to attempt number `attempt` (the first is 1).
    #[must_use]
    pub fn classify(&self, answer: Answer, attempt: u32, now: Timestamp, dice: u64) -> Verdict {
        match answer {
            Answer::Status { code: 200..=299, .. } => Verdict::Delivered,
            Answer::Status { code: 410, .. } => Verdict::DeadAndPause,
            Answer::Status { code: 408 | 425 | 429, retry_after } => self.again(attempt, now, dice, retry_after),
            Answer::Status { code: 400..=499, .. } => Verdict::Dead { reason: DeadReason::Rejected },
            // A redirect is not followed, but may be a proxy's maintenance page: like a server error.
            Answer::Status { retry_after, .. } => self.again(attempt, now, dice, retry_after),
            Answer::TimedOut | Answer::Unreachable | Answer::Refused => self.again(attempt, now, dice, None),
        }
    }

    fn again(&self, attempt: u32, now: Timestamp, dice: u64, asked: Option<RetryAfter>) -> Verdict {
        let Some(delay) = self.delay_ms(attempt, dice) else {
            return Verdict::Dead { reason: DeadReason::Exhausted };
        };
        // Never sooner than the schedule says, never later than a day.
        let asked = asked.map_or(0, |asked| asked.millis_from(now).min(RETRY_AFTER_MAX_MS));
        let delay = i64::try_from(delay.max(asked)).unwrap_or(i64::MAX);
        Verdict::Retry { at: Timestamp::from_millis(now.millis().saturating_add(delay)) }
    }

    /// How long to wait after attempt number `attempt` failed; `None` where it was the last.
    #[must_use]
    pub fn delay_ms(&self, attempt: u32, dice: u64) -> Option<u64> {
        let failed = attempt.saturating_sub(1);
        if failed < self.fast_retries {
            let doubled = self.fast_base_ms.saturating_mul(1_u64.checked_shl(failed).unwrap_or(u64::MAX));
            return Some(below_or_equal(doubled.min(self.fast_cap_ms), dice));
        }
        let step = *self.slow_ms.get(usize::try_from(failed.saturating_sub(self.fast_retries)).ok()?)?;
        Some(step.saturating_add(below_or_equal(step / 10, dice)))
    }
}

/// From 0 to `bound`; the bias of a remainder is far below what jitter cares for.
fn below_or_equal(bound: u64, dice: u64) -> u64 {
    bound.checked_add(1).map_or(dice, |bound| dice % bound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_253_352);

    fn status(code: u16) -> Answer {
        Answer::Status { code, retry_after: None }
    }

    #[test]
    fn every_status_means_what_the_contract_says() {
        let schedule = Schedule::default();
        for code in 100..600 {
            let verdict = schedule.classify(status(code), 1, NOW, 0);
            let expected = match code {
                200..=299 => verdict == Verdict::Delivered,
                410 => verdict == Verdict::DeadAndPause,
                408 | 425 | 429 => matches!(verdict, Verdict::Retry { .. }),
                400..=499 => verdict == Verdict::Dead { reason: DeadReason::Rejected },
                _ => matches!(verdict, Verdict::Retry { .. }),
            };
            assert!(expected, "{code} gave {verdict:?}");
        }
    }

    #[test]
    fn twelve_attempts_over_three_days_then_the_dead_letters() {
        let schedule = Schedule::default();
        assert_eq!(schedule.attempts_max(), 12);
        let delays: Vec<_> = (1..=12).map(|attempt| schedule.delay_ms(attempt, 0)).collect();
        let slow = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR].map(Some);
        assert_eq!(delays[..3], [Some(0); 3], "full jitter may be none");
        assert_eq!(delays[3..11], slow);
        assert_eq!(delays[11], None);
        let longest: Vec<_> =
            (1..=3).map(|attempt| (0..10_000).filter_map(|dice| schedule.delay_ms(attempt, dice)).max()).collect();
        assert_eq!(longest, [Some(500), Some(1_000), Some(2_000)]);
    }

    #[test]
    fn a_receiver_may_ask_for_patience_up_to_a_day_but_not_for_haste() {
        let schedule = Schedule::default();
        let at = |attempt, seconds| {
            let retry_after = Some(RetryAfter::Seconds(seconds));
            match schedule.classify(Answer::Status { code: 429, retry_after }, attempt, NOW, 0) {
                Verdict::Retry { at } => at.millis() - NOW.millis(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(at(1, 120), 120_000);
        assert_eq!(at(1, u64::MAX), 86_400_000);
        assert_eq!(at(4, 1), 60_000);
    }

    proptest! {
        #[test]
        fn a_delay_is_bounded_by_its_lane_and_lanes_never_shrink(attempt in 1_u32..20, dice: u64) {
            let schedule = Schedule::default();
            match schedule.delay_ms(attempt, dice) {
                None => prop_assert!(attempt >= schedule.attempts_max()),
                Some(delay) => {
                    prop_assert!(attempt < schedule.attempts_max());
                    let upper = |attempt| schedule.delay_ms(attempt, 0).map(|d| if attempt <= 3 { 500 << (attempt - 1) } else { d + d / 10 });
                    prop_assert!(Some(delay) <= upper(attempt));
                    if attempt > 1 {
                        prop_assert!(upper(attempt - 1) <= upper(attempt));
                    }
                }
            }
        }

        #[test]
        fn no_answer_is_retried_beyond_the_budget(code in 100_u16..600, seconds: u64, attempt: u32, dice: u64) {
            let schedule = Schedule::default();
            let answer = Answer::Status { code, retry_after: Some(RetryAfter::Seconds(seconds)) };
            if let Verdict::Retry { at } = schedule.classify(answer, attempt, NOW, dice) {
                prop_assert!(attempt < schedule.attempts_max());
                prop_assert!(at >= NOW);
                // The longest step with its jitter.
                prop_assert!(at.millis() - NOW.millis() <= 24 * 3_600_000 * 11 / 10);
            }
        }
    }
}
