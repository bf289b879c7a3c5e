//! The header's bloom: what it lacks is certainly absent from the block, if the header's hash holds.

use alloy_primitives::{Address, Bloom, BloomInput};
use amn_core::source::Watch;

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
/// A contract together with the topic of its event leaves out the blocks in which nobody uses it. Where few
/// addresses are watched, each is looked for as well: a busy token is in every block, a given recipient
/// seems to be in one of ten. With a million of them one would be in every bloom, and none is looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Events whose third topic is who is paid.
    naming: Vec<(Bloom, Bloom)>,
    /// Events that say it in their data, of which a bloom knows nothing.
    silent: Vec<(Bloom, Bloom)>,
}

impl Wanted {
    /// Adds one contract and the first topic of its event, whose third topic is who is paid.
    pub fn add_naming(&mut self, contract: &[u8], topic: &[u8]) {
        self.naming.push((bits(contract), bits(topic)));
    }

    /// Adds one contract and the first topic of its event, whose topics do not say who is paid.
    pub fn add_silent(&mut self, contract: &[u8], topic: &[u8]) {
        self.silent.push((bits(contract), bits(topic)));
    }

    /// `false`: no wanted event that concerns a watched address is in a block of this bloom.
    #[must_use]
    pub fn may_be_in(&self, bloom: &Bloom, watch: &Watch) -> bool {
        let any = |pairs: &[(Bloom, Bloom)]| {
            pairs.iter().any(|(contract, topic)| bloom.contains(contract) && bloom.contains(topic))
        };
        any(&self.silent) || (any(&self.naming) && names_one(bloom, watch))
    }
}

fn bits(value: &[u8]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Raw(value));
    bloom
}

/// Whether a watched address may be among a bloom's topics.
fn names_one(bloom: &Bloom, watch: &Watch) -> bool {
    let Some(few) = watch.few() else { return true };
    few.iter().any(|raw| match <[u8; 20]>::try_from(&**raw) {
        Ok(raw) => bloom.contains_input(BloomInput::Raw(Address::from(raw).into_word().as_slice())),
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, Bytes};
    use amn_core::source::WatchVersion;

    use super::*;

    fn log(contract: u8, topics: &[B256]) -> WireLog {
        WireLog {
            address: Address::repeat_byte(contract),
            topics: topics.to_vec(),
            data: Bytes::new(),
            block_hash: None,
            block_number: None,
            transaction_hash: None,
            transaction_index: None,
            log_index: None,
            removed: false,
        }
    }

    fn paid(contract: u8, to: Address) -> WireLog {
        log(contract, &[B256::repeat_byte(2), B256::ZERO, to.into_word()])
    }

    fn watching(addresses: impl IntoIterator<Item = Address>) -> Watch {
        let mut watch = Watch::new(WatchVersion(1));
        for address in addresses {
            watch.insert(address.as_slice(), false);
        }
        watch
    }

    fn numbered(number: u64) -> Address {
        Address::left_padding_from(&number.to_be_bytes())
    }

    #[test]
    fn a_payment_is_never_missed_and_what_the_bloom_lacks_is_left_out() {
        let mut wanted = Wanted::default();
        wanted.add_naming(&[1; 20], &[2; 32]);
        wanted.add_silent(&[3; 20], &[4; 32]);
        let (ours, other) = (Address::repeat_byte(7), Address::repeat_byte(8));
        let watch = watching([Address::repeat_byte(6), ours]);
        assert!(wanted.may_be_in(&of(&[paid(9, ours), paid(1, ours)]), &watch));
        assert!(!wanted.may_be_in(&of(&[paid(1, other)]), &watch), "paid to somebody else");
        assert!(!wanted.may_be_in(&of(&[log(1, &[B256::repeat_byte(9), B256::ZERO, ours.into_word()])]), &watch));
        assert!(wanted.may_be_in(&of(&[log(3, &[B256::repeat_byte(4)])]), &watch), "its topics do not say who is paid");
        assert!(!wanted.may_be_in(&Bloom::ZERO, &watch));
        assert!(!Wanted::default().may_be_in(&of(&[paid(1, ours)]), &watch), "nothing is wanted");
    }

    #[test]
    fn among_many_addresses_none_is_left_out() {
        let mut wanted = Wanted::default();
        wanted.add_naming(&[1; 20], &[2; 32]);
        for count in [1_000, 1_024, 1_025, 5_000] {
            let watch = watching((1..=count).map(numbered));
            for number in [1, count / 2, count] {
                assert!(wanted.may_be_in(&of(&[paid(1, numbered(number))]), &watch), "{number} of {count}");
            }
            let stranger = of(&[paid(1, Address::repeat_byte(0xee))]);
            assert_eq!(wanted.may_be_in(&stranger, &watch), count > 1_024, "{count}");
        }
    }
}
