//! Remembers which endpoint gave which block, so that a false block can be laid at its giver's door,
//! and when the head last moved, so that one who stands still does not hold us.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use amn_core::block::BlockHash;
use amn_rpc::Endpoint;
use tokio::time::Instant;

/// Blocks remembered: on Base, the fastest chain we ship, ten minutes of them.
const REMEMBERED_MAX: usize = 3_000;

#[derive(Debug, Default)]
pub(crate) struct Givers {
    blocks: Mutex<VecDeque<(BlockHash, BTreeSet<String>)>>,
}

impl Givers {
    pub(crate) fn note(&self, block: BlockHash, endpoint: &Endpoint) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest are asked for most, so the search runs from there.
        if let Some((_, names)) = blocks.iter_mut().rev().find(|(hash, _)| *hash == block) {
            if !names.contains(endpoint.name()) {
                names.insert(endpoint.name().to_owned());
            }
            return;
        }
        if blocks.len() >= REMEMBERED_MAX {
            blocks.pop_front();
        }
        blocks.push_back((block, BTreeSet::from([endpoint.name().to_owned()])));
    }

    /// The names of the endpoints that gave a block.
    pub(crate) fn of(&self, block: &BlockHash) -> BTreeSet<String> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().rev().find(|(hash, _)| hash == block).map(|(_, names)| names.clone()).unwrap_or_default()
    }
}

/// When the head last moved.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: Mutex<Option<(u64, Instant)>>,
}

impl Progress {
    /// Whether a head of this height means that nothing has moved for so long. The wait then begins
    /// anew, so that the others are asked once in that time and not at every question.
    pub(crate) fn is_stuck_at(&self, height: u64, patience: Duration) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = last.is_some_and(|(known, since)| height <= known && since.elapsed() >= patience);
        if stuck || last.is_none_or(|(known, _)| height > known) {
            *last = Some((height, Instant::now()));
        }
        stuck
    }
}
