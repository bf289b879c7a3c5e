//! From the shards' tips of one masterchain block down to those of the one before it: by the blocks that each block
//! says it stands on, so that none in between can be passed over or exchanged.
//!
//! Between two tips of a shard there may be no block, one or several; a shard may have become two, and two one. The
//! walk does not need to know: it goes on until it meets what the block below had committed.

use std::collections::HashSet;

use amn_core::block::Height;
use amn_rpc::Endpoint;
use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::v2::{self, BlockHead, BlockId, Listed};
use super::{Content, Row, Tips};
use crate::block::BlockName;
use crate::source::trouble::Trouble;
use crate::transaction::Transaction;

/// Shard blocks between two masterchain blocks. The network has some 20 at most; with the most shards it may have, 256
/// of them.
const BLOCKS_MAX: usize = 512;

/// Lists that are asked for at once: they go through the endpoint's own limits besides.
const AT_ONCE: usize = 4;

/// What a masterchain block commits of each shard.
pub(super) async fn tips(endpoint: &Endpoint, at: Height) -> Result<Tips, Trouble> {
    v2::shards(endpoint, at).await.map(|blocks| Tips { blocks })
}

/// All that a masterchain block commits, where it is known what it and the one below it commit of each shard.
pub(super) async fn between(endpoint: &Endpoint, row: &Row, before: &Tips, tips: &Tips) -> Result<Content, Trouble> {
    let (own, mut blocks) = try_join(own(endpoint, row), walked(endpoint, before, tips)).await?;
    blocks.sort_by_key(|block| block.start_lt);
    let lists = stream::iter(blocks).map(async |block| v2::transactions(endpoint, &Listed::of_head(&block)).await);
    let mut transactions = lists.buffered(AT_ONCE).try_concat().await?;
    transactions.extend(own);
    // In the order in which they were made; those of one account keep theirs.
    transactions.sort_by_key(|one| (one.at.lt, one.account));
    Ok(Content::Whole(transactions))
}

/// The masterchain's own transactions.
async fn own(endpoint: &Endpoint, row: &Row) -> Result<Vec<Transaction>, Trouble> {
    let own = v2::transactions(endpoint, &Listed::of_row(row)?).await?;
    if own.is_empty() {
        return Err(Trouble::Lacks(format!("block {} without a transaction, which no block is", row.at.height)));
    }
    Ok(own)
}

/// The blocks between what was committed before and these tips.
async fn walked(endpoint: &Endpoint, before: &Tips, tips: &Tips) -> Result<Vec<BlockHead>, Trouble> {
    let mut walk = Walk::down_to(&before.blocks);
    walk.want(&tips.blocks);
    while let Some(next) = walk.next()? {
        let head = v2::block(endpoint, &next).await?;
        walk.take(head)?;
    }
    Ok(walk.found)
}

/// The way down. Pure: what to ask for next, and whether what came can be it.
#[derive(Debug)]
struct Walk {
    known: HashSet<BlockName>,
    visited: HashSet<BlockName>,
    wanted: Vec<BlockId>,
    found: Vec<BlockHead>,
}

impl Walk {
    fn down_to(known: &[BlockId]) -> Self {
        Self {
            known: known.iter().map(|block| block.name).collect(),
            visited: HashSet::new(),
            wanted: Vec::new(),
            found: Vec::new(),
        }
    }

    fn want(&mut self, blocks: &[BlockId]) {
        for block in blocks {
            if !self.known.contains(&block.name) && self.visited.insert(block.name) {
                self.wanted.push(*block);
            }
        }
    }

    fn next(&mut self) -> Result<Option<BlockId>, Trouble> {
        let Some(next) = self.wanted.pop() else { return Ok(None) };
        if self.found.len() >= BLOCKS_MAX {
            return Err(Trouble::TooMuch(format!("over {BLOCKS_MAX} shard blocks under one masterchain block")));
        }
        let BlockName { workchain, shard, seqno, .. } = next.name;
        // Numbers grow along each line of shards: what is made after one that was committed has a higher one.
        let passed = self.known.iter().find(|known| known.seqno >= seqno && of_one_line(known, &next.name));
        if let Some(known) = passed {
            // Of two answers one may be older: a worker that is behind, or a cache.
            let why = format!("{workchain}:{shard:016x}:{seqno} passes by {:016x}:{}", known.shard, known.seqno);
            return Err(Trouble::Failed(why));
        }
        Ok(Some(next))
    }

    fn take(&mut self, head: BlockHead) -> Result<(), Trouble> {
        let BlockName { workchain, shard, seqno, .. } = head.id.name;
        for on in &head.on {
            if on.name.workchain != workchain || on.name.seqno >= seqno {
                return Err(Trouble::Lie(format!(
                    "block {workchain}:{shard:016x}:{seqno} stands on {}:{:016x}:{}",
                    on.name.workchain, on.name.shard, on.name.seqno
                )));
            }
        }
        if head.on.is_empty() && seqno > 0 {
            return Err(Trouble::Failed(format!("block {workchain}:{shard:016x}:{seqno} stands on nothing")));
        }
        self.want(&head.on.clone());
        self.found.push(head);
        Ok(())
    }
}

/// Whether one of two blocks holds accounts that the other holds: then one descends from the other.
fn of_one_line(one: &BlockName, other: &BlockName) -> bool {
    // A shard is a prefix that ends in a one.
    let last = |shard: u64| shard & shard.wrapping_neg();
    let wider = last(one.shard).max(last(other.shard));
    let beyond = wider.wrapping_shl(1).wrapping_sub(1);
    one.workchain == other.workchain && (one.shard ^ other.shard) & !beyond == 0
}

#[cfg(test)]
mod tests;
