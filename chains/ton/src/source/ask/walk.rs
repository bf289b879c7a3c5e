//! From the shards' tips of one masterchain block down to those of the one before it: by the blocks that each block
//! says it stands on, so that none in between can be passed over or exchanged.
//!
//! Between two tips of a shard there may be no block, one or several; a shard may have become two, and two one. The
//! walk does not need to know: it goes on until it meets what the block below had committed.

use std::collections::HashSet;

use amn_core::block::Height;
use amn_rpc::Endpoint;

use super::v2::{self, BlockHead, BlockId};
use super::{Content, Row, Tips};
use crate::block::BlockName;
use crate::source::trouble::Trouble;

/// Shard blocks between two masterchain blocks. The network has some 20 at most; with the most shards it may have, 256
/// of them.
const BLOCKS_MAX: usize = 512;

/// All that a masterchain block commits, and its tips.
pub(super) async fn content(endpoint: &Endpoint, row: &Row, before: &Tips) -> Result<(Content, Tips), Trouble> {
    let at = row.at.height;
    let own = v2::masterchain(endpoint, at).await?;
    if own.id.name.root != row.at.hash {
        return Err(Trouble::Forked(row.at));
    }
    let known = match (before.blocks.is_empty(), at) {
        (true, Height(0)) => Vec::new(),
        (true, at) => named(&v2::shards(endpoint, at.back(1)).await?),
        (false, _) => before.blocks.clone(),
    };
    let tips = v2::shards(endpoint, at).await?;
    let mut blocks = between(endpoint, &known, &tips).await?;
    let mut transactions = v2::transactions(endpoint, &own).await?;
    if transactions.is_empty() {
        return Err(Trouble::Lacks(format!("block {at} without a transaction, which no block is")));
    }
    blocks.sort_by_key(|block| block.start_lt);
    for block in &blocks {
        transactions.extend(v2::transactions(endpoint, block).await?);
    }
    // In the order in which they were made; those of one account keep theirs.
    transactions.sort_by_key(|one| (one.at.lt, one.account));
    Ok((Content::Whole(transactions), Tips { blocks: named(&tips) }))
}

fn named(ids: &[BlockId]) -> Vec<BlockName> {
    ids.iter().map(|id| id.name).collect()
}

/// The blocks between what was committed before and these tips.
async fn between(endpoint: &Endpoint, known: &[BlockName], tips: &[BlockId]) -> Result<Vec<BlockHead>, Trouble> {
    let mut walk = Walk::down_to(known);
    walk.want(tips);
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
    /// The lowest number among what is known, by workchain: below it, the way has passed by.
    lowest: Vec<(i8, u32)>,
    found: Vec<BlockHead>,
}

impl Walk {
    fn down_to(known: &[BlockName]) -> Self {
        let mut lowest: Vec<(i8, u32)> = Vec::new();
        for block in known {
            match lowest.iter_mut().find(|(workchain, _)| *workchain == block.workchain) {
                Some((_, seqno)) => *seqno = block.seqno.min(*seqno),
                None => lowest.push((block.workchain, block.seqno)),
            }
        }
        Self {
            known: known.iter().copied().collect(),
            visited: HashSet::new(),
            wanted: Vec::new(),
            lowest,
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
        // What it stands on was committed by an earlier block; one below all of those is not on the way.
        if self.lowest.iter().any(|(of, lowest)| *of == workchain && seqno < *lowest) {
            // Of two answers one may be older: a worker that is behind, or a cache.
            return Err(Trouble::Failed(format!("{workchain}:{shard:016x} passes by what was committed, to {seqno}")));
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

#[cfg(test)]
mod tests;
