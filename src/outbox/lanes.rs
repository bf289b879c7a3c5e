//! Who may send how much: one endpoint's slowness is its own affair. Pure.
//!
//! An endpoint that fails again and again is narrowed to one delivery at a time, with a rest after each failure,
//! until one succeeds. So the dead take few of the places that the living need, their deliveries spend no
//! attempts while there is nobody, and whoever comes back is not met by a crowd.

use std::collections::HashMap;

use amn_core::timestamp::Timestamp;
use uuid::Uuid;

use crate::store::outbox::deliveries::Room;

/// Failures in a row before an endpoint is narrowed: more than one delivery has in its fast lane, so that
/// a single failing event keeps its schedule.
const FAILURES_TO_NARROW: u32 = 5;

/// The first rest, doubled with each failure up to the last: how late we may notice that it is back.
const REST_FIRST_MS: i64 = 500;
const REST_MAX_MS: i64 = 10_000;

/// Failing endpoints we remember; beyond it we forget those at rest, which only makes us less careful.
const REMEMBERED_MAX: usize = 10_000;

/// The deliveries we hold, by endpoint.
#[derive(Debug)]
pub(super) struct Lanes {
    most: u32,
    per_endpoint: u32,
    held: u32,
    by_endpoint: HashMap<Uuid, Lane>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    held: u32,
    failures: u32,
    rests_until: Option<Timestamp>,
}

impl Lanes {
    pub(super) fn new(most: u32, per_endpoint: u32) -> Self {
        Self { most: most.max(1), per_endpoint: per_endpoint.max(1), held: 0, by_endpoint: HashMap::new() }
    }

    pub(super) const fn free(&self) -> u32 {
        self.most.saturating_sub(self.held)
    }

    pub(super) const fn held(&self) -> u32 {
        self.held
    }

    pub(super) const fn per_endpoint(&self) -> u32 {
        self.per_endpoint
    }

    /// The endpoints that may take less than the usual number now.
    pub(super) fn rooms(&self, now: Timestamp) -> Vec<Room> {
        let busy = self.by_endpoint.iter().filter(|(_, lane)| lane.held > 0 || lane.failures >= FAILURES_TO_NARROW);
        busy.map(|(id, lane)| Room { endpoint: *id, free: self.width(lane, now).saturating_sub(lane.held) }).collect()
    }

    fn width(&self, lane: &Lane, now: Timestamp) -> u32 {
        match lane.rests_until {
            Some(until) if now < until => 0,
            _ if lane.failures >= FAILURES_TO_NARROW => 1,
            _ => self.per_endpoint,
        }
    }

    /// When the next rest ends.
    pub(super) fn next_rest_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.by_endpoint.values().filter_map(|lane| lane.rests_until).filter(|until| *until > now).min()
    }

    pub(super) fn take(&mut self, endpoint: Uuid) {
        self.held = self.held.saturating_add(1);
        let lane = self.by_endpoint.entry(endpoint).or_default();
        lane.held = lane.held.saturating_add(1);
    }

    /// Gives a place back. `answered`: whether the receiver is well; `None`: it was not asked.
    pub(super) fn done(&mut self, endpoint: Uuid, answered: Option<bool>, now: Timestamp) {
        self.held = self.held.saturating_sub(1);
        let lane = self.by_endpoint.entry(endpoint).or_default();
        lane.held = lane.held.saturating_sub(1);
        match answered {
            Some(true) => (lane.failures, lane.rests_until) = (0, None),
            Some(false) => {
                lane.failures = lane.failures.saturating_add(1);
                lane.rests_until =
                    rest_ms(lane.failures).map(|rest| Timestamp::from_millis(now.millis().saturating_add(rest)));
            }
            None => {}
        }
        if lane.held == 0 && lane.failures == 0 {
            self.by_endpoint.remove(&endpoint);
        }
        if self.by_endpoint.len() > REMEMBERED_MAX {
            self.by_endpoint.retain(|_, lane| lane.held > 0);
        }
    }
}

fn rest_ms(failures: u32) -> Option<i64> {
    let beyond = failures.checked_sub(FAILURES_TO_NARROW)?;
    // Past a few doublings it is the longest anyway.
    Some((REST_FIRST_MS << beyond.min(16)).min(REST_MAX_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_failing_endpoint_is_narrowed_rests_and_opens_with_its_first_success() {
        let (dead, living) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut lanes = Lanes::new(100, 8);
        for failures in 1..=5 {
            assert!(lanes.rooms(at(0)).is_empty(), "{failures} failures are not enough");
            lanes.take(dead);
            lanes.done(dead, Some(false), at(0));
        }
        lanes.take(living);
        let rooms = |lanes: &Lanes, now| {
            let mut rooms: Vec<_> = lanes.rooms(at(now)).iter().map(|room| (room.endpoint, room.free)).collect();
            rooms.sort_unstable();
            rooms
        };
        assert_eq!(rooms(&lanes, 499), [(dead, 0), (living, 7)]);
        assert_eq!(lanes.next_rest_end(at(499)), Some(at(500)));
        assert_eq!(rooms(&lanes, 500), [(dead, 1), (living, 7)]);
        assert_eq!(lanes.next_rest_end(at(500)), None);
        lanes.take(dead);
        assert_eq!(rooms(&lanes, 500), [(dead, 0), (living, 7)]);
        lanes.done(dead, Some(true), at(500));
        lanes.done(living, Some(true), at(500));
        assert_eq!((lanes.rooms(at(500)), lanes.free()), (vec![], 100));
        assert!(lanes.by_endpoint.is_empty(), "nothing is remembered of those at rest");
    }

    #[test]
    fn a_rest_doubles_up_to_its_bound() {
        let rests: Vec<_> = (4..=11).map(rest_ms).collect();
        let expected =
            [None, Some(500), Some(1_000), Some(2_000), Some(4_000), Some(8_000), Some(10_000), Some(10_000)];
        assert_eq!(rests, expected);
        assert_eq!(rest_ms(u32::MAX), Some(REST_MAX_MS));
    }

    #[test]
    fn what_is_given_back_untried_says_nothing_of_the_receiver() {
        let mut lanes = Lanes::new(100, 8);
        for _ in 0..20 {
            lanes.take(Uuid::from_u128(1));
            lanes.done(Uuid::from_u128(1), None, at(0));
        }
        assert!(lanes.by_endpoint.is_empty());
    }

    #[test]
    fn what_is_remembered_of_failing_endpoints_is_bounded() {
        let mut lanes = Lanes::new(100, 8);
        for endpoint in 0..20_000 {
            lanes.take(Uuid::from_u128(endpoint));
            lanes.done(Uuid::from_u128(endpoint), Some(false), at(0));
        }
        assert!(lanes.by_endpoint.len() <= REMEMBERED_MAX);
    }
}
