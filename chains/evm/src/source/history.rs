//! History at or below `finalized`: ranges name the blocks that matter, and only those are read.
//!
//! The first block of a range must stand on ours, and the last must be the same at a second operator.
//! A block that matters is proven on its own header and receipts. That a range leaves nothing out is
//! the one thing here that rests on the node's word.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::B256;
use amn_core::block::{Block, BlockRef, Height, Operator};
use amn_core::source::{Coverage, Segment, Watch};
use amn_rpc::{Endpoint, RpcError};
use serde_json::json;

use super::EvmSource;
use super::ask::Ask;
use super::in_turn::in_turn;
use super::names::names;
use super::near::why_nothing;
use super::range::{self, Contracts, Hit};
use super::trouble::Trouble;
use crate::evidence::Lie;

/// Blocks of one segment: what is read again after a crash, and what is held before it is written.
const SEGMENT_BLOCKS_MAX: u64 = 2_000;
/// Blocks of one segment that hold something for us: each is read whole.
/// More would be decided and written in one go, while nothing is read.
const SEGMENT_HITS_MAX: usize = 200;
/// Questions for logs under way at once: enough to hide a distance of 20 ms to the node.
const RANGES_AT_A_TIME: usize = 4;
/// Blocks that matter, read at once.
const HITS_AT_A_TIME: usize = 8;
/// The widest span we ask for: no provider allows more without a contract.
const RANGE_BLOCKS_MAX: u64 = 10_000;
/// Blocks compared at a time: their headers are in memory together.
const COMPARED_AT_A_TIME: usize = 50;
/// An answer larger than this halves the next question: four of them are in memory at a time, and the
/// largest body the road takes is about twice this.
const ANSWER_BYTES_MAX: usize = 16 << 20;

impl EvmSource {
    /// The chain on `on` up to `end` as one endpoint has it, only the blocks that matter listed.
    pub(super) async fn history(
        &self,
        ask: &Ask<'_>,
        on: BlockRef,
        end: Height,
        watch: &Watch,
    ) -> Result<Segment, Trouble> {
        let from = on.height.next();
        let end = end.min(Height(on.height.0.saturating_add(SEGMENT_BLOCKS_MAX)));
        let Some(first) = ask.header(from).await? else {
            return Err(Trouble::Pruned(format!("it has no block {from}, which is final")));
        };
        if first.wire.parent_hash.0 != on.hash.0 {
            return Err(why_nothing(ask, on).await);
        }
        self.headers_hold(ask, &[&first]).await?;
        let hits = self.hits(ask, from.0, end.0, watch).await?;
        let (end, hits) = match hits.get(SEGMENT_HITS_MAX) {
            Some(_) => (Height(hits[SEGMENT_HITS_MAX - 1].height), &hits[..SEGMENT_HITS_MAX]),
            None => (end, &hits[..]),
        };
        let Some(tip) = ask.header(end).await? else {
            return Err(Trouble::Pruned(format!("it has no block {end}, which is final")));
        };
        self.headers_hold(ask, &[&tip]).await?;
        let tip = tip.header();
        let (mut blocks, mut known) = (Vec::with_capacity(hits.len()), Vec::with_capacity(hits.len() + 1));
        let mut trouble = None;
        let asked = hits.iter().copied().map(|hit| self.hit(ask, hit, watch));
        in_turn(asked.collect(), HITS_AT_A_TIME, |read| match read {
            Ok((block, named)) => {
                known.push(Known { at: block.header.at, names: Some(named) });
                blocks.push(block);
                true
            }
            Err(why) => {
                trouble = Some(why);
                false
            }
        })
        .await;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if known.last().is_none_or(|last| last.at != tip.at) {
            known.push(Known { at: tip.at, names: None });
        }
        // After what the endpoint contradicts by itself, what others contradict.
        let agreeing = self.second_opinion(ask, &known).await?;
        for block in &mut blocks {
            block.evidence.operators.extend(agreeing.iter().cloned());
        }
        let operators = std::iter::once(ask.endpoint.operator().clone()).chain(agreeing).collect();
        Ok(Segment {
            parent: on,
            blocks,
            tip,
            coverage: Coverage::Listed,
            watched: watch.version,
            operators,
            read_by: Some(ask.endpoint.operator().clone()),
            checkpoint: Vec::new(),
        })
    }

    /// The blocks of a range that hold something for us, asked for in spans that the node can answer.
    async fn hits(&self, ask: &Ask<'_>, from: u64, to: u64, watch: &Watch) -> Result<Vec<Hit>, Trouble> {
        if self.contracts.is_empty() || watch.is_empty() {
            return Ok(Vec::new());
        }
        let span = self.range_blocks.load(Ordering::Relaxed).max(1);
        let mut spans = Vec::new();
        let mut start = from;
        while start <= to {
            let last = to.min(start.saturating_add(span - 1));
            spans.push((start, last));
            start = last.saturating_add(1);
        }
        let (mut hits, mut trouble) = (Vec::new(), None);
        let asked = spans.into_iter().map(|(from, to)| self.span(ask, from, to, watch));
        in_turn(asked.collect(), RANGES_AT_A_TIME, |found| match found {
            Ok(found) => {
                hits.extend(found);
                // Beyond, the segment ends within what was read; the rest is asked for with the next.
                hits.len() <= SEGMENT_HITS_MAX
            }
            Err(why) => {
                trouble = Some(why);
                false
            }
        })
        .await;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        // Nothing was refused: a little more next time.
        if self.range_blocks.load(Ordering::Relaxed) == span {
            let wider = span.saturating_add(span / 8 + 1).min(RANGE_BLOCKS_MAX);
            self.range_blocks.store(wider, Ordering::Relaxed);
        }
        Ok(hits)
    }

    /// One span, split as often as the node asks for less. Ends because every split is strictly smaller.
    async fn span(&self, ask: &Ask<'_>, from: u64, to: u64, watch: &Watch) -> Result<Vec<Hit>, Trouble> {
        let (mut hits, mut todo) = (Vec::new(), vec![(from, to)]);
        while let Some((from, to)) = todo.pop() {
            let blocks = to - from + 1;
            match self.logs(ask, from, to, watch).await {
                Ok(found) => hits.extend(found),
                Err(Trouble::Split { hint }) if blocks > 1 => {
                    let size = smaller(blocks, hint);
                    self.range_blocks.fetch_min(size, Ordering::Relaxed);
                    let middle = from + size - 1;
                    // The later part waits below the earlier one.
                    todo.push((middle + 1, to));
                    todo.push((from, middle));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(hits)
    }

    async fn logs(&self, ask: &Ask<'_>, from: u64, to: u64, watch: &Watch) -> Result<Vec<Hit>, Trouble> {
        let filter = json!([{
            "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"),
            "address": self.contracts.addresses(), "topics": [Contracts::topics()],
        }]);
        let answer = match ask.endpoint.call("eth_getLogs", &filter).await {
            Ok(answer) => answer,
            // A body over the cap, or a node that ran out of time: less may work.
            Err(RpcError::Malformed(_)) if to > from => return Err(Trouble::Split { hint: None }),
            Err(error) if error.timed_out() && to > from => return Err(Trouble::Split { hint: None }),
            Err(error) => return Err(error.into()),
        };
        if answer.is_null() {
            return Err(Trouble::Failed("null for the logs of a range".to_owned()));
        }
        if answer.raw().len() > ANSWER_BYTES_MAX && to > from {
            self.range_blocks.fetch_min((to - from).div_ceil(2), Ordering::Relaxed);
        }
        let (contracts, watch) = (self.contracts.clone(), watch.clone());
        // Off the threads that answer others: a large page takes tens of milliseconds.
        tokio::task::spawn_blocking(move || range::scan(answer.raw(), from, to, &contracts, &watch))
            .await
            .map_err(|error| Trouble::Failed(format!("reading logs: {error}")))?
    }

    /// A block that a range named, read and proven at the endpoint that named it, and the names of its
    /// transactions, which a second operator confirms with the block.
    async fn hit(&self, ask: &Ask<'_>, hit: Hit, watch: &Watch) -> Result<(Block, B256), Trouble> {
        let gone = || Trouble::Pruned(format!("it has no block {} or no receipts of it", hit.height));
        let read = ask.block(Height(hit.height), false).await?.ok_or_else(gone)?;
        let now = read.header.wire.hash;
        if now != hit.hash {
            return Err(Lie::FinalBlockChanged { height: hit.height, earlier: hit.hash, now }.into());
        }
        self.headers_hold(ask, &[&read.header]).await?;
        let block = if self.pool.operators() < 2 {
            self.named_block(ask, &read, watch).await?.ok_or_else(gone)?
        } else {
            let told = self.block(ask, &read, watch).await?.ok_or_else(gone)?;
            self.witnessed(ask, &read, watch, told).await?
        };
        if block.transfers.is_empty() && block.observations.is_empty() {
            return Err(Lie::RangeAgainstReceipts { height: hit.height }.into());
        }
        Ok((block, names(&read.transactions)))
    }

    /// Operators besides the one read from that have the same end and the same blocks that matter.
    /// Empty only where there is no other operator at all.
    async fn second_opinion(&self, ask: &Ask<'_>, known: &[Known]) -> Result<BTreeSet<Operator>, Trouble> {
        let own = ask.endpoint.operator();
        if self.pool.operators() < 2 {
            return Ok(BTreeSet::new());
        }
        let mut against: Vec<(&Arc<Endpoint>, String)> = Vec::new();
        let mut silent = String::from("all others are distrusted");
        let others: Vec<_> = self.endpoints().into_iter().filter(|endpoint| endpoint.operator() != own).collect();
        for endpoint in &others {
            let other = self.ask(endpoint);
            match same(&other, known).await {
                Ok(None) => {
                    // Two to one: who stands alone on a final block has it wrong.
                    for (alone, what) in &against {
                        alone.distrust(format!("alone against two operators: {what}"));
                    }
                    return Ok(BTreeSet::from([endpoint.operator().clone()]));
                }
                Ok(Some(difference)) => against.push((endpoint, difference)),
                Err(Trouble::Lie(why)) => endpoint.distrust(why),
                Err(trouble) => silent = format!("{}: {trouble:?}", endpoint.name()),
            }
        }
        let operators: BTreeSet<_> = against.iter().map(|(endpoint, _)| endpoint.operator()).collect();
        match against.first() {
            None => Err(Trouble::Failed(format!("no second operator confirms a final block: {silent}"))),
            Some((_, difference)) if operators.len() > 1 && against.iter().all(|(_, what)| what == difference) => {
                Err(Trouble::Lie(format!("alone against {} operators: {difference}", operators.len())))
            }
            Some((endpoint, difference)) => {
                Err(Trouble::Disagree(format!("{} and {own} differ: {difference}", endpoint.operator())))
            }
        }
    }
}

/// A final block as one operator gave it.
struct Known {
    at: BlockRef,
    /// The names of its transactions, where they matter.
    names: Option<B256>,
}

/// How an endpoint's chain differs at the blocks that matter and at the end of a range, if it does.
async fn same(other: &Ask<'_>, known: &[Known]) -> Result<Option<String>, Trouble> {
    for chunk in known.chunks(COMPARED_AT_A_TIME) {
        let heights: Vec<_> = chunk.iter().map(|known| known.at.height).collect();
        for (read, known) in other.blocks_at(&heights).await?.into_iter().zip(chunk) {
            let Height(height) = known.at.height;
            let Some(read) = read else { return Err(Trouble::NotYet(format!("it has no block {height}"))) };
            let there = read.header.wire.hash;
            if there.0 != known.at.hash.0 {
                return Ok(Some(format!("final block {height} is {there} there, {} here", known.at.hash)));
            }
            if known.names.is_some_and(|named| named != names(&read.transactions)) {
                return Ok(Some(format!("the transactions of final block {height} have other names there")));
            }
        }
    }
    Ok(None)
}

/// The size to go on with: the node's hint where it is strictly smaller than what it refused, else half.
fn smaller(refused: u64, hint: Option<(u64, u64)>) -> u64 {
    hint.and_then(|(from, to)| to.checked_sub(from)?.checked_add(1))
        .filter(|size| *size < refused)
        .unwrap_or(refused / 2)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::smaller;

    #[test]
    fn a_hint_is_followed_only_where_it_asks_for_less() {
        assert_eq!(smaller(2_000, Some((100, 599))), 500);
        assert_eq!(smaller(2_000, Some((100, 2_099))), 1_000, "the very range that was refused");
        assert_eq!(smaller(2_000, Some((599, 100))), 1_000, "upside down");
        assert_eq!(smaller(2_000, Some((0, u64::MAX))), 1_000);
        assert_eq!(smaller(2, None), 1);
        assert_eq!(smaller(3, None), 1);
    }
}
