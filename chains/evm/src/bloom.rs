//! The header's bloom: what it lacks is certainly absent from the block, if the header's hash holds.

use alloy_primitives::{Bloom, BloomInput};

use crate::wire::WireLog;

/// The bloom of a list of logs.
#[must_use]
pub fn of(logs: &[WireLog]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        for topic in &log.topics {
            bloom.accrue(BloomInput::Raw(topic.as_slice()));
        }
    }
    bloom
}

/// Values to look for in blooms, hashed once: the bits of each.
///
/// Recipients are not among them: with a million of them, one would be in every bloom. A contract
/// together with the topic of its event is enough to leave out most blocks that hold nothing.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pairs: Vec<(Bloom, Bloom)>,
}

impl Wanted {
    /// Adds one contract and the first topic of the event it may emit.
    pub fn add(&mut self, contract: &[u8], topic: &[u8]) {
        let bits = |value: &[u8]| {
            let mut bloom = Bloom::ZERO;
            bloom.accrue(BloomInput::Raw(value));
            bloom
        };
        self.pairs.push((bits(contract), bits(topic)));
    }

    /// `false`: no log of any wanted contract and topic is in a block of this bloom.
    #[must_use]
    pub fn may_be_in(&self, bloom: &Bloom) -> bool {
        self.pairs.iter().any(|(contract, topic)| bloom.contains(contract) && bloom.contains(topic))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, Bytes};

    use super::*;

    fn log(contract: u8, topic: u8) -> WireLog {
        WireLog {
            address: Address::repeat_byte(contract),
            topics: vec![B256::repeat_byte(topic)],
            data: Bytes::new(),
            block_hash: None,
            block_number: None,
            transaction_hash: None,
            transaction_index: None,
            log_index: None,
            removed: false,
        }
    }

    #[test]
    fn a_log_is_never_missed_and_an_empty_bloom_holds_nothing() {
        let mut wanted = Wanted::default();
        wanted.add(&[1; 20], &[2; 32]);
        assert!(wanted.may_be_in(&of(&[log(9, 9), log(1, 2)])));
        assert!(!wanted.may_be_in(&of(&[log(1, 3)])), "the contract alone is not enough");
        assert!(!wanted.may_be_in(&Bloom::ZERO));
        assert!(!Wanted::default().may_be_in(&of(&[log(1, 2)])), "nothing is wanted");
    }
}
