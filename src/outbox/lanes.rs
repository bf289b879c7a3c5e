//! Who may send how much: one endpoint's slowness is its own affair. Pure.

use std::collections::HashMap;

use uuid::Uuid;

use crate::store::outbox::deliveries::Room;

/// After so many failures in a row an endpoint gets one delivery at a time, until one succeeds: the dead take
/// few of the places that the living need, and who comes back is not met by a crowd.
const FAILURES_TO_NARROW: u32 = 3;

/// Failing endpoints we remember; beyond it we forget those at rest, which only makes us less careful.
const REMEMBERED_MAX: usize = 10_000;

/// The deliveries we hold, by endpoint.
#[derive(Debug)]
pub(super) struct Lanes {
    most: u32,
    per_endpoint: u32,
    held: u32,
    lanes: HashMap<Uuid, Lane>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    held: u32,
    failures: u32,
}

impl Lanes {
    pub(super) fn new(most: u32, per_endpoint: u32) -> Self {
        Self { most: most.max(1), per_endpoint: per_endpoint.max(1), held: 0, lanes: HashMap::new() }
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

    /// The endpoints that may take less than the usual number.
    pub(super) fn rooms(&self) -> Vec<Room> {
        let width = |lane: &Lane| if lane.failures >= FAILURES_TO_NARROW { 1 } else { self.per_endpoint };
        let narrow = self.lanes.iter().filter(|(_, lane)| lane.held > 0 || lane.failures >= FAILURES_TO_NARROW);
        narrow.map(|(id, lane)| Room { endpoint: *id, free: width(lane).saturating_sub(lane.held) }).collect()
    }

    pub(super) fn take(&mut self, endpoint: Uuid) {
        self.held = self.held.saturating_add(1);
        let lane = self.lanes.entry(endpoint).or_default();
        lane.held = lane.held.saturating_add(1);
    }

    /// Gives a place back. `answered`: whether the receiver took it; `None`: it was not asked.
    pub(super) fn done(&mut self, endpoint: Uuid, answered: Option<bool>) {
        self.held = self.held.saturating_sub(1);
        let lane = self.lanes.entry(endpoint).or_default();
        lane.held = lane.held.saturating_sub(1);
        match answered {
            Some(true) => lane.failures = 0,
            Some(false) => lane.failures = lane.failures.saturating_add(1),
            None => {}
        }
        if lane.held == 0 && lane.failures == 0 {
            self.lanes.remove(&endpoint);
        }
        if self.lanes.len() > REMEMBERED_MAX {
            self.lanes.retain(|_, lane| lane.held > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_endpoint_is_narrowed_to_one_and_opens_with_its_first_success() {
        let (dead, living) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut lanes = Lanes::new(100, 8);
        for _ in 0..3 {
            lanes.take(dead);
            lanes.done(dead, Some(false));
        }
        lanes.take(living);
        let mut rooms = lanes.rooms();
        rooms.sort_by_key(|room| room.endpoint);
        assert_eq!(rooms, [Room { endpoint: dead, free: 1 }, Room { endpoint: living, free: 7 }]);
        lanes.take(dead);
        assert!(lanes.rooms().contains(&Room { endpoint: dead, free: 0 }));
        lanes.done(dead, Some(true));
        lanes.done(living, Some(true));
        assert_eq!((lanes.rooms(), lanes.free()), (vec![], 100));
        assert!(lanes.lanes.is_empty(), "nothing is remembered of those at rest");
    }

    #[test]
    fn what_is_remembered_of_failing_endpoints_is_bounded() {
        let mut lanes = Lanes::new(100, 8);
        for endpoint in 0..20_000 {
            lanes.take(Uuid::from_u128(endpoint));
            lanes.done(Uuid::from_u128(endpoint), Some(false));
        }
        assert!(lanes.lanes.len() <= REMEMBERED_MAX);
    }
}
