//! Whom to ask first. Pure, and in whole numbers: the same standings give the same order.
//!
//! First those that are not behind, of these those that are well, of these the lower `order` of the configuration,
//! and of these whoever costs less waiting. We stay with the one in use unless another is clearly better, and at most
//! one such change is made in a minute: one branch is seen through one pair of eyes, and two equals do not alternate.

use std::time::Duration;

/// Blocks behind the best head that are no lag, where the block time is not known: honest nodes of one network differ
/// by a second or so, five blocks at 200 ms.
const LAG_BLOCKS: u64 = 5;
/// How far honest nodes of one network are apart, at most.
const LAG_TIME: Duration = Duration::from_secs(2);
/// One block apart are two nodes that are asked while a block comes; the other is for one that is a little slow.
const LAG_BLOCKS_MIN: u64 = 2;
/// However short the blocks are.
const LAG_BLOCKS_MAX: u64 = 20;
/// So many failures among a thousand requests make an endpoint unwell: one of four costs more than any distance does.
const UNWELL_PERMILLE: u32 = 250;
/// What one failed request costs beside its own time: the question is asked again elsewhere.
const FAILURE_COSTS_MILLIS: u64 = 1_000;
/// A block of lag within the tolerated: so little that one or two of them move us nowhere, because two nodes that are
/// asked at different moments are that far apart.
const BLOCK_OF_LAG_COSTS_MILLIS: u64 = 20;
/// A node that we never heard counts as slow as this: it is tried only where the known ones are worse.
const STRANGER_MILLIS: u64 = 1_000;
/// Round trips to one node vary by about this much.
const NOTICEABLE_MILLIS: u64 = 50;
/// See the module.
pub(crate) const STAY: Duration = Duration::from_mins(1);

/// What is known of an endpoint that may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where it stands in the configuration: decides between equals.
    pub(crate) place: usize,
    pub(crate) order: u32,
    pub(crate) lag: u64,
    /// More than what is tolerated on its network.
    pub(crate) behind: bool,
    pub(crate) error_permille: u32,
    pub(crate) latency: Option<Duration>,
}

impl Candidate {
    /// What no speed makes good.
    fn class(&self) -> (bool, bool, u32) {
        (self.behind, self.error_permille >= UNWELL_PERMILLE, self.order)
    }

    /// The waiting that one question to it is expected to cost, in milliseconds.
    fn cost(&self) -> u64 {
        let latency = self.latency.map_or(STRANGER_MILLIS, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let failures = u64::from(self.error_permille).saturating_mul(FAILURE_COSTS_MILLIS) / 1_000;
        latency.saturating_add(failures).saturating_add(self.lag.saturating_mul(BLOCK_OF_LAG_COSTS_MILLIS))
    }

    /// Whether changing from `other` to this is worth it: by half and by what can be noticed.
    fn clearly_better_than(&self, other: &Self) -> bool {
        let worth = self.cost().saturating_add(self.cost() / 2).saturating_add(NOTICEABLE_MILLIS);
        worth < other.cost()
    }
}

/// The blocks behind the best head from where on an endpoint goes last are more than these.
pub(crate) fn tolerated_lag(block_time: Option<Duration>) -> u64 {
    let Some(block_time) = block_time.filter(|time| !time.is_zero()) else { return LAG_BLOCKS };
    let blocks = u64::try_from(LAG_TIME.as_micros() / block_time.as_micros().max(1)).unwrap_or(u64::MAX);
    blocks.clamp(LAG_BLOCKS_MIN, LAG_BLOCKS_MAX)
}

/// Sorts those that may be asked, best first. `current` is the place of the one in use; `settled` says that it has
/// been for long enough to be left for a better one of its class.
pub(crate) fn sort(candidates: &mut [Candidate], current: Option<usize>, settled: bool) {
    candidates.sort_unstable_by_key(|one| (one.class(), one.cost(), one.place));
    let Some(at) = candidates.iter().position(|one| Some(one.place) == current) else { return };
    let (best, used) = (candidates[0], candidates[at]);
    let stays = used.class() == best.class() && !(settled && best.clearly_better_than(&used));
    if stays {
        candidates[..=at].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn well(place: usize, millis: u64) -> Candidate {
        let latency = Some(Duration::from_millis(millis));
        Candidate { place, order: 0, lag: 0, behind: false, error_permille: 0, latency }
    }

    fn sorted(mut candidates: Vec<Candidate>, current: Option<usize>) -> Vec<usize> {
        sort(&mut candidates, current, true);
        candidates.iter().map(|one| one.place).collect()
    }

    #[test]
    fn a_laggard_goes_last_and_then_who_fails_and_then_the_configured_order_decides() {
        let laggard = Candidate { behind: true, ..well(0, 1) };
        let unwell = Candidate { error_permille: UNWELL_PERMILLE, ..well(1, 1) };
        let second = Candidate { order: 2, ..well(2, 1) };
        let first = Candidate { order: 1, ..well(3, 900) };
        assert_eq!(sorted(vec![laggard, unwell, second, first], None), [3, 2, 1, 0]);
        // Being in use does not make good what no speed does.
        assert_eq!(sorted(vec![laggard, unwell, second, first], Some(0)), [3, 2, 1, 0]);
    }

    #[test]
    fn we_stay_until_another_is_clearly_better() {
        assert_eq!(sorted(vec![well(0, 100), well(1, 40)], Some(0)), [0, 1], "40 ms are no reason");
        assert_eq!(sorted(vec![well(0, 200), well(1, 40)], Some(0)), [1, 0]);
        assert_eq!(sorted(vec![well(0, 2_000), well(1, 1_400)], Some(0)), [0, 1], "not by half");
        let failing = Candidate { error_permille: 200, ..well(0, 40) };
        assert_eq!(sorted(vec![failing, well(1, 40)], Some(0)), [1, 0]);
        let once = Candidate { error_permille: 62, ..well(0, 40) };
        assert_eq!(sorted(vec![once, well(1, 40)], Some(0)), [0, 1], "one failure is an accident");
        let a_block_behind = Candidate { lag: 1, ..well(0, 40) };
        assert_eq!(sorted(vec![a_block_behind, well(1, 40)], Some(0)), [0, 1], "it is a moment behind");
        let stranger = Candidate { latency: None, ..well(1, 0) };
        assert_eq!(sorted(vec![well(0, 900), stranger], Some(0)), [0, 1]);
        assert_eq!(sorted(vec![well(0, 3_000), stranger], Some(0)), [1, 0]);
    }

    #[test]
    fn within_a_minute_of_a_change_only_the_class_counts() {
        let mut two = vec![well(0, 2_000), well(1, 10)];
        sort(&mut two, Some(0), false);
        assert_eq!(two[0].place, 0);
        let mut two = vec![Candidate { behind: true, ..well(0, 1) }, well(1, 10)];
        sort(&mut two, Some(0), false);
        assert_eq!(two[0].place, 1);
    }

    #[test]
    fn how_much_lag_is_tolerated_follows_from_the_block_time() {
        let tolerated = |millis| tolerated_lag(Some(Duration::from_millis(millis)));
        assert_eq!([tolerated(12_000), tolerated(2_000), tolerated(250), tolerated(1)], [2, 2, 8, 20]);
        assert_eq!([tolerated(0), tolerated_lag(None)], [5, 5]);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0..3_u32, 0..12_u64, 0..1_001_u32, prop::option::of(0..20_000_u64));
        prop::collection::vec(one, 1..8).prop_map(|all| {
            let candidate = |(place, (order, lag, error_permille, latency)): (usize, (u32, u64, u32, Option<u64>))| {
                let latency = latency.map(Duration::from_millis);
                Candidate { place, order, lag, behind: lag > LAG_BLOCKS, error_permille, latency }
            };
            all.into_iter().enumerate().map(candidate).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the order in which they are looked at, whoever was chosen is chosen again, and none is lost.
        #[test]
        fn the_choice_is_a_function_of_the_standings_and_stays_where_it_is(
            (all, shuffled) in candidates().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            current in prop::option::of(0..8_usize),
            settled in any::<bool>(),
        ) {
            let (mut one, mut other) = (all.clone(), shuffled);
            sort(&mut one, current, settled);
            sort(&mut other, current, settled);
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(one.len(), all.len());
            let chosen = one[0].place;
            let mut again = all.clone();
            sort(&mut again, Some(chosen), settled);
            prop_assert_eq!(again[0].place, chosen);
            // Nobody who is behind is asked before one who is not.
            prop_assert!(one.iter().map(|one| one.behind).is_sorted());
        }
    }
}
