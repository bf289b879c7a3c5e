//! Reads the logs of a range without building anything: a million transfers are looked at, a few are ours.
//!
//! A log is decoded only as far as its contract, its first topic and its recipient. What it holds
//! beyond that comes from the block's own receipts, with proof. A node that leaves a log out of a range
//! cannot be caught by hashes: that is why a range is never more than a hint where blocks are.

use std::collections::HashMap;
use std::fmt;

use alloy_primitives::{Address as Raw, B256, hex};
use amn_core::source::Watch;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::trouble::Trouble;
use crate::decode::{NATIVE_PROXY, Registry, TRANSFER};
use crate::evidence::Lie;
use crate::wire::{WireError, clip, quantity};

/// The contracts whose logs are asked for. A token's fee proxy is not among them: the token's own
/// transfer names the block as well.
#[derive(Debug)]
pub(crate) struct Contracts {
    topics: HashMap<Raw, &'static B256>,
}

impl Contracts {
    pub(crate) fn of(registry: &Registry) -> Self {
        let tokens = registry.tokens.keys().map(|token| (*token, &TRANSFER));
        let proxies = registry.native_proxies.iter().map(|proxy| (*proxy, &NATIVE_PROXY));
        Self { topics: tokens.chain(proxies).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub(crate) fn addresses(&self) -> Vec<&Raw> {
        self.topics.keys().collect()
    }

    /// The topics those logs begin with.
    pub(crate) const fn topics() -> [B256; 2] {
        [TRANSFER, NATIVE_PROXY]
    }
}

/// A block that holds something for us, and the hash the range gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub height: u64,
    pub hash: B256,
}

/// The blocks of a range that hold something for us, in order.
pub(crate) fn scan(json: &[u8], from: u64, to: u64, contracts: &Contracts, watch: &Watch) -> Result<Vec<Hit>, Trouble> {
    let mut scan = Scan { from, to, contracts, watch, last: None, count: 0, hits: Vec::new(), lie: None };
    let mut reader = sonic_rs::Deserializer::from_slice(json);
    let read = (&mut scan).deserialize(&mut reader);
    if let Some(lie) = scan.lie {
        return Err(lie.into());
    }
    read.map_err(|error| {
        let why = clip(error.to_string().lines().next().unwrap_or_default());
        WireError { what: "the logs of the range", why }
    })?;
    Ok(scan.hits)
}

/// A log as it is in the answer: nothing is copied.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RangeLog<'a> {
    address: &'a str,
    #[serde(borrow)]
    topics: Topics<'a>,
    data: &'a str,
    block_number: &'a str,
    block_hash: &'a str,
    log_index: &'a str,
    #[serde(default)]
    removed: bool,
}

/// The topics of a log: four at most, and how many there are.
#[derive(Default)]
struct Topics<'a> {
    first: [&'a str; 4],
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Topics<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Topics<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of topics")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Topics<'de>, A::Error> {
                let mut topics = Topics::default();
                while let Some(place) = topics.first.get_mut(topics.count) {
                    let Some(topic) = list.next_element()? else { return Ok(topics) };
                    *place = topic;
                    topics.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    topics.count += 1;
                }
                Ok(topics)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

struct Scan<'w> {
    from: u64,
    to: u64,
    contracts: &'w Contracts,
    watch: &'w Watch,
    last: Option<(u64, u64)>,
    count: usize,
    hits: Vec<Hit>,
    lie: Option<Lie>,
}

impl Scan<'_> {
    /// Looks at one log; what is wrong with it, if anything.
    fn look(&mut self, log: &RangeLog<'_>) -> Result<(), &'static str> {
        let number = quantity(log.block_number).ok_or("has no block number")?;
        let index = quantity(log.log_index).ok_or("has no index")?;
        if number < self.from || number > self.to {
            return Err("lies outside of it");
        }
        if self.last.is_some_and(|last| last >= (number, index)) {
            return Err("is out of order");
        }
        self.last = Some((number, index));
        if log.removed {
            return Err("is marked as removed, below the final block");
        }
        let mut contract = [0; 20];
        hex::decode_to_slice(log.address, &mut contract).map_err(|_| "has no address")?;
        let asked = self.contracts.topics.get(&Raw::from(contract)).ok_or("is of a contract not asked for")?;
        let mut topic = [0; 32];
        hex::decode_to_slice(log.topics.first[0], &mut topic).map_err(|_| "has no first topic")?;
        // A contract may emit the other event too; it is not money there.
        if topic != asked.0 {
            return if topic == TRANSFER.0 || topic == NATIVE_PROXY.0 {
                Ok(())
            } else {
                Err("has a topic not asked for")
            };
        }
        let recipient = if **asked == TRANSFER {
            (log.topics.count == 3).then_some(log.topics.first[2])
        } else {
            log.data.get(..66)
        };
        if recipient.and_then(address).is_some_and(|to| self.watch.tokens(&to)) {
            let mut hash = [0; 32];
            hex::decode_to_slice(log.block_hash, &mut hash).map_err(|_| "has no block hash")?;
            let hit = Hit { height: number, hash: B256::from(hash) };
            match self.hits.last() {
                Some(known) if known.height == number && known.hash != hit.hash => {
                    return Err("gives its block two hashes");
                }
                Some(known) if known.height == number => {}
                _ => self.hits.push(hit),
            }
        }
        Ok(())
    }
}

/// The address in a 32-byte word; `None` where the word is no address.
fn address(word: &str) -> Option<[u8; 20]> {
    let digits = word.strip_prefix("0x").filter(|digits| digits.len() == 64)?;
    let (zeros, address) = digits.split_at_checked(24)?;
    let mut raw = [0; 20];
    hex::decode_to_slice(address, &mut raw).ok()?;
    zeros.bytes().all(|digit| digit == b'0').then_some(raw)
}

impl<'de> DeserializeSeed<'de> for &mut Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of logs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(log) = list.next_element::<RangeLog<'de>>()? {
            if let Err(what) = self.look(&log) {
                self.lie = Some(Lie::RangeLog { index: self.count, from: self.from, to: self.to, what });
                return Err(serde::de::Error::custom("a log that cannot be"));
            }
            self.count += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use amn_core::source::WatchVersion;
    use serde_json::json;

    use super::*;

    const TOKEN: Raw = Raw::repeat_byte(0x70);
    const PROXY: Raw = Raw::repeat_byte(0x72);
    const SHOP: Raw = Raw::repeat_byte(0x22);

    fn contracts() -> Contracts {
        Contracts { topics: HashMap::from([(TOKEN, &TRANSFER), (PROXY, &NATIVE_PROXY)]) }
    }

    fn watching() -> Watch {
        let mut watch = Watch::new(WatchVersion(1));
        watch.insert(SHOP.as_slice(), false);
        watch
    }

    fn log(contract: Raw, topics: &[B256], data: &str, block: u64, index: u64) -> serde_json::Value {
        json!({
            "address": contract, "topics": topics, "data": data, "blockNumber": format!("{block:#x}"),
            "blockHash": B256::with_last_byte(u8::try_from(block).unwrap_or(0)), "logIndex": format!("{index:#x}"),
            "transactionHash": B256::ZERO, "transactionIndex": "0x0", "removed": false,
        })
    }

    fn heights(logs: &[serde_json::Value]) -> Vec<u64> {
        let json = serde_json::to_vec(logs).unwrap();
        scan(&json, 1, 9, &contracts(), &watching()).unwrap().iter().map(|hit| hit.height).collect()
    }

    #[test]
    fn a_block_is_a_hit_once_and_only_for_a_watched_recipient() {
        let to = |to: Raw| [TRANSFER, B256::ZERO, to.into_word()];
        let nft = [TRANSFER, B256::ZERO, SHOP.into_word(), B256::ZERO];
        let mut dirty = SHOP.into_word();
        dirty.0[0] = 1;
        let words = format!("0x{:0>64}{}", const_hex::encode(SHOP), "0".repeat(192));
        let logs = [
            log(TOKEN, &to(TOKEN), "0x", 1, 0),
            log(TOKEN, &to(SHOP), "0x", 2, 0),
            log(TOKEN, &to(SHOP), "0x", 2, 1),
            log(TOKEN, &nft, "0x", 3, 0),
            log(TOKEN, &[TRANSFER, B256::ZERO, dirty], "0x", 4, 0),
            log(PROXY, &[NATIVE_PROXY, B256::ZERO], &words, 5, 0),
            log(PROXY, &[NATIVE_PROXY, B256::ZERO], "0xé", 6, 0),
            log(PROXY, &to(SHOP), "0x", 7, 0),
        ];
        assert_eq!(heights(&logs), [2, 5]);
    }

    #[test]
    fn what_is_no_list_of_logs_is_no_answer() {
        for json in ["", "null", "{}", "[", "[{}]", "[1]", r#"[{"address":1}]"#] {
            assert!(
                matches!(scan(json.as_bytes(), 1, 9, &contracts(), &watching()), Err(Trouble::Failed(_))),
                "{json}"
            );
        }
        assert!(heights(&[]).is_empty());
    }

    /// Prints the speed of the scan alone.
    #[test]
    #[ignore = "a measurement: cargo test --release -p amn-evm --lib -- --ignored --nocapture"]
    fn measure_the_scan() {
        let to = [TRANSFER, TOKEN.into_word(), TOKEN.into_word()];
        let logs: Vec<_> = (0..100_000).map(|index| log(TOKEN, &to, &B256::ZERO.to_string(), 5, index)).collect();
        let json = serde_json::to_vec(&logs).unwrap();
        for _ in 0..5 {
            let start = std::time::Instant::now();
            assert!(scan(&json, 1, 9, &contracts(), &watching()).unwrap().is_empty());
            let micros = start.elapsed().as_micros().max(1);
            println!("{} logs/s, {} MB/s", 100_000_000_000 / micros, json.len() as u128 / micros);
        }
    }
}
