//! How many questions a network costs for each of its blocks, over the minutes just past. Pure.

use std::collections::{BTreeMap, VecDeque};

use amn_core::timestamp::Timestamp;

/// Samples are taken no closer together than this, and kept for as long: sixty at most.
const SAMPLE_EVERY_MS: i64 = 10_000;
const WINDOW_MS: i64 = 600_000;

/// What had been asked at a moment, and where the chain was.
#[derive(Debug)]
struct Sample {
    at: Timestamp,
    head: u64,
    asked: BTreeMap<String, u64>,
}

/// The questions to one network's endpoints, by name.
#[derive(Debug, Default)]
pub(super) struct Budget(VecDeque<Sample>);

impl Budget {
    /// Notes what has been asked of each endpoint since the start.
    pub(super) fn note(&mut self, at: Timestamp, head: u64, asked: BTreeMap<String, u64>) {
        let since = |sample: &Sample| at.millis().saturating_sub(sample.at.millis());
        // A clock that was set back begins anew.
        if self.0.back().is_some_and(|last| since(last) < 0) {
            self.0.clear();
        }
        if head == 0 || self.0.back().is_some_and(|last| since(last) < SAMPLE_EVERY_MS) {
            return;
        }
        self.0.retain(|sample| since(sample) <= WINDOW_MS);
        self.0.push_back(Sample { at, head, asked });
    }

    /// Hundredths of a question for each block the chain made in the window, by endpoint; `None` where it made none.
    pub(super) fn per_block(&self) -> Option<BTreeMap<String, u64>> {
        let (first, last) = self.0.front().zip(self.0.back())?;
        let blocks = last.head.checked_sub(first.head).filter(|blocks| *blocks > 0)?;
        let hundredths = |name: &String, now: u64| {
            let before = first.asked.get(name).copied().unwrap_or(0);
            now.saturating_sub(before).saturating_mul(100).checked_div(blocks).unwrap_or(0)
        };
        Some(last.asked.iter().map(|(name, now)| (name.clone(), hundredths(name, *now))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn asked(a: u64, b: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)])
    }

    #[test]
    fn questions_are_counted_for_each_block_of_the_last_ten_minutes() {
        let mut budget = Budget::default();
        assert_eq!(budget.per_block(), None);
        budget.note(at(0), 0, asked(5, 0));
        assert_eq!(budget.per_block(), None, "nobody knows a head yet");
        budget.note(at(10), 100, asked(1_000, 10));
        assert_eq!(budget.per_block(), None, "one sample is no span");
        budget.note(at(15), 101, asked(9_999, 10));
        assert_eq!(budget.per_block(), None, "too close to the one before");
        budget.note(at(20), 104, asked(1_010, 11));
        assert_eq!(budget.per_block(), Some(asked(250, 25)));
        // What was before the window counts no more.
        budget.note(at(625), 204, asked(1_110, 11));
        assert_eq!(budget.per_block(), None, "the others are too old: one sample is left");
        budget.note(at(635), 206, asked(1_111, 13));
        assert_eq!(budget.per_block(), Some(asked(50, 100)));
    }

    #[test]
    fn a_chain_that_stands_still_or_goes_back_and_a_clock_that_is_set_back_give_no_number() {
        let mut budget = Budget::default();
        budget.note(at(100), 50, asked(1, 1));
        budget.note(at(110), 50, asked(9, 9));
        assert_eq!(budget.per_block(), None);
        budget.note(at(120), 49, asked(20, 20));
        assert_eq!(budget.per_block(), None);
        budget.note(at(30), 60, asked(30, 30));
        budget.note(at(40), 61, asked(32, 30));
        assert_eq!(budget.per_block(), Some(asked(200, 0)));
    }
}
