//! How far the chain is safe and final, as enough operators say it.
//!
//! A block's hash commits to nothing about finality: it is a word, and one operator's word would settle large
//! sums early. So a mark counts once as many operators say it, or one above it, as may undo what is settled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amn_core::block::{BlockRef, Height, Operator};
use amn_core::source::Head;
use amn_rpc::Endpoint;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::json;

use super::EvmSource;
use super::identity::PATIENCE;
use super::trouble::Trouble;

/// So deep one operator alone is believed while no other answers: far below where any chain we ship calls blocks
/// final, and soon enough that headers do not fill the memory.
const ALONE_BELOW: u64 = 4_096;
/// The others are asked anyway after so many blocks, in case the one that leads keeps silent about marks.
const ASK_ANYWAY: u64 = 32;

/// What each operator last said.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    of: BTreeMap<Operator, Pair>,
    /// The head when all were last asked.
    asked_at: u64,
}

impl Said {
    /// Says of the one that leads where others do not say the same.
    fn remark(&self, by: &Endpoint, own: Pair, enough: usize) {
        type Field = fn(&Pair) -> Option<BlockRef>;
        let fields: [(&str, Field); 2] = [("safe", |pair| pair.safe), ("final", |pair| pair.finalized)];
        for (word, field) in fields {
            let others: Vec<BlockRef> =
                self.of.iter().filter(|(name, _)| *name != by.operator()).filter_map(|(_, pair)| field(pair)).collect();
            let Some(highest) = others.iter().max_by_key(|block| block.height) else { continue };
            let Some(ours) = field(&own) else {
                by.remark(&format!("it calls no block {word}, others {}", highest.height));
                continue;
            };
            let passed = 1 + others.iter().filter(|other| other.height >= ours.height).count();
            if let Some(other) = others.iter().find(|other| other.height == ours.height && other.hash != ours.hash) {
                by.remark(&format!("it calls block {} {} {word}, others {}", ours.height, ours.hash, other.hash));
            } else if passed < enough {
                by.remark(&format!("it calls block {} {word}, others {}", ours.height, highest.height));
            } else if others.iter().all(|other| other.height > ours.height) {
                by.remark(&format!("it calls block {} {word}, all others one above", ours.height));
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    safe: Option<BlockRef>,
    finalized: Option<BlockRef>,
}

impl Marks {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head with its marks as they are agreed on.
pub(super) async fn agreed(source: &EvmSource, by: &Endpoint, head: Head) -> Head {
    let enough = usize::try_from(source.network.facts.rewind_operators).unwrap_or(usize::MAX);
    let enough = enough.min(source.pool.operators()).max(1);
    let own = Pair { safe: head.safe, finalized: head.finalized };
    if enough == 1 {
        return head;
    }
    let tip = head.tip.at.height;
    let ask = {
        let mut said = source.marks.said();
        said.of.insert(by.operator().clone(), own);
        let anyway = tip.0 >= said.asked_at.saturating_add(ASK_ANYWAY);
        if anyway {
            said.asked_at = tip.0;
        }
        anyway || !satisfied(&said.of, own, enough)
    };
    if ask {
        ask_others(source, by, own, enough).await;
    }
    source.marks.said().remark(by, own, enough);
    let said = source.marks.said();
    let mark = |own: Option<BlockRef>, of: fn(&Pair) -> Option<BlockRef>| {
        let agreed = highest(&said.of, of, tip, enough);
        let alone = own.filter(|own| tip.above(own.height) >= ALONE_BELOW);
        agreed.into_iter().chain(alone).max_by_key(|block| block.height)
    };
    Head { safe: mark(own.safe, |pair| pair.safe), finalized: mark(own.finalized, |pair| pair.finalized), ..head }
}

/// Whether what this one says is what enough of them say.
fn satisfied(of: &BTreeMap<Operator, Pair>, own: Pair, enough: usize) -> bool {
    let holds = |mark: Option<BlockRef>, field: fn(&Pair) -> Option<BlockRef>| {
        mark.is_none_or(|mark| {
            of.values().filter(|pair| field(pair).is_some_and(|at| at.height >= mark.height)).count() >= enough
        })
    };
    holds(own.safe, |pair| pair.safe) && holds(own.finalized, |pair| pair.finalized)
}

/// The highest block at or below the tip that enough operators name, or one above it.
fn highest(
    of: &BTreeMap<Operator, Pair>,
    field: fn(&Pair) -> Option<BlockRef>,
    tip: Height,
    enough: usize,
) -> Option<BlockRef> {
    let mut named: Vec<BlockRef> = of.values().filter_map(field).collect();
    named.sort_unstable_by_key(|block| std::cmp::Reverse(block.height));
    // From here on there are enough at or above.
    named.into_iter().skip(enough.saturating_sub(1)).find(|block| block.height <= tip)
}

async fn ask_others(source: &EvmSource, by: &Endpoint, own: Pair, enough: usize) {
    let others: Vec<Arc<Endpoint>> =
        source.everybody().into_iter().filter(|endpoint| endpoint.operator() != by.operator()).collect();
    let mut asked: FuturesUnordered<_> = others
        .iter()
        .map(async |endpoint| (endpoint, tokio::time::timeout(PATIENCE, marks_of(source, endpoint)).await))
        .collect();
    while let Some((endpoint, answer)) = asked.next().await {
        match answer {
            Ok(Ok(pair)) => {
                let mut said = source.marks.said();
                said.of.insert(endpoint.operator().clone(), pair);
                // One that says nothing is satisfied by anything.
                if own.safe.is_some() && own.finalized.is_some() && satisfied(&said.of, own, enough) {
                    break;
                }
            }
            Ok(Err(Trouble::Lie(why))) => endpoint.distrust(why),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

async fn marks_of(source: &EvmSource, endpoint: &Endpoint) -> Result<Pair, Trouble> {
    let ask = source.ask(endpoint);
    let call = |tag: &str| ("eth_getBlockByNumber", json!([tag, false]));
    let mut answers = ask.batch(&[call("safe"), call("finalized")]).await?.into_iter();
    let mut tag = || match answers.next().map(|answer| ask.read_header(answer)) {
        Some(Ok(checked)) => Ok(checked.map(|checked| checked.header().at)),
        Some(Err(lie @ Trouble::Lie(_))) => Err(lie),
        // A tag that the node does not know is no tag.
        Some(Err(_)) | None => Ok(None),
    };
    Ok(Pair { safe: tag()?, finalized: tag()? })
}

#[cfg(test)]
mod tests {
    use amn_core::block::Hash;

    use super::*;

    fn said(finalized: &[(&str, u64)]) -> BTreeMap<Operator, Pair> {
        let pair = |height: u64| {
            let at = BlockRef { height: Height(height), hash: Hash([0; 32]) };
            Pair { safe: None, finalized: Some(at) }
        };
        finalized.iter().map(|(name, height)| (Operator::new(*name), pair(*height))).collect()
    }

    fn agreed(of: &BTreeMap<Operator, Pair>, tip: u64, enough: usize) -> Option<u64> {
        highest(of, |pair| pair.finalized, Height(tip), enough).map(|block| block.height.0)
    }

    #[test]
    fn the_highest_mark_that_enough_operators_name_or_pass_is_agreed() {
        let three = said(&[("a", 90), ("b", 80), ("c", 70)]);
        assert_eq!(agreed(&three, 100, 1), Some(90));
        assert_eq!(agreed(&three, 100, 2), Some(80), "a passes it");
        assert_eq!(agreed(&three, 100, 3), Some(70));
        assert_eq!(agreed(&three, 75, 2), Some(70), "what we have not reached is not ours to mark");
        assert_eq!(agreed(&said(&[("a", 90)]), 100, 2), None);
        let own = Pair { safe: None, finalized: three[&Operator::new("a")].finalized };
        assert!(!satisfied(&three, own, 2) && satisfied(&three, own, 1));
    }
}
