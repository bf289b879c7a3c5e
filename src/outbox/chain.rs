//! Puts claimed deliveries in order: what belongs to one intent and one endpoint goes out one after the other. Pure.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::store::outbox::deliveries::Claimed;

/// Deliveries that wait for each other, in their order.
pub(super) type Chain = VecDeque<Claimed>;

/// A claim in order.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    pub chains: Vec<Chain>,
    /// What must go back: a predecessor is not among what we hold.
    pub give_back: Vec<Claimed>,
}

/// Orders a claim. A delivery older than the hour waits for its predecessors but holds nobody.
pub(super) fn ordered(claimed: Vec<Claimed>) -> Ordered {
    let mut ordered = Ordered::default();
    let mut by_intent: BTreeMap<(Uuid, Uuid), Vec<Claimed>> = BTreeMap::new();
    for delivery in claimed {
        match delivery.intent {
            Some(intent) => by_intent.entry((delivery.endpoint, intent)).or_default().push(delivery),
            None => ordered.chains.push(Chain::from([delivery])),
        }
    }
    for mut group in by_intent.into_values() {
        group.sort_by_key(|delivery| delivery.sequence);
        let mut chain = Chain::new();
        let mut holding: i64 = 0;
        for delivery in group {
            if delivery.holders != holding {
                ordered.give_back.push(delivery);
            } else if delivery.holds {
                holding = holding.saturating_add(1);
                chain.push_back(delivery);
            } else if holding == 0 {
                ordered.chains.push(Chain::from([delivery]));
            } else {
                chain.push_back(delivery);
            }
        }
        if !chain.is_empty() {
            ordered.chains.push(chain);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use amn_core::timestamp::Timestamp;

    use super::*;

    fn delivery(sequence: i64, holders: i64, holds: bool) -> Claimed {
        Claimed {
            id: sequence,
            event: Uuid::from_u128(9),
            endpoint: Uuid::from_u128(1),
            intent: Some(Uuid::from_u128(2)),
            sequence: Some(sequence),
            attempts: 0,
            body: Vec::new(),
            created_at: Timestamp::from_seconds(0),
            url: String::new(),
            secret: String::new(),
            previous_secret: None,
            previous_until: None,
            holders,
            holds,
        }
    }

    fn shape(claimed: Vec<Claimed>) -> (Vec<Vec<i64>>, Vec<i64>) {
        let ordered = ordered(claimed);
        let mut chains: Vec<Vec<i64>> = ordered.chains.iter().map(|c| c.iter().map(|d| d.id).collect()).collect();
        chains.sort();
        (chains, ordered.give_back.iter().map(|d| d.id).collect())
    }

    #[test]
    fn events_of_one_intent_are_one_chain_in_their_order() {
        let claimed = vec![delivery(3, 2, true), delivery(1, 0, true), delivery(2, 1, true)];
        assert_eq!(shape(claimed), (vec![vec![1, 2, 3]], vec![]));
    }

    #[test]
    fn whoever_misses_a_predecessor_goes_back() {
        let claimed = vec![delivery(1, 0, true), delivery(3, 2, true), delivery(4, 3, true)];
        assert_eq!(shape(claimed), (vec![vec![1]], vec![3, 4]));
    }

    #[test]
    fn a_delivery_older_than_the_hour_holds_nobody() {
        let claimed = vec![delivery(1, 0, false), delivery(2, 0, true), delivery(3, 1, true)];
        assert_eq!(shape(claimed), (vec![vec![1], vec![2, 3]], vec![]));
    }

    #[test]
    fn events_of_no_intent_wait_for_nobody() {
        let alone = |id| Claimed { intent: None, sequence: None, ..delivery(id, 0, true) };
        assert_eq!(shape(vec![alone(1), alone(2)]), (vec![vec![1], vec![2]], vec![]));
    }
}
