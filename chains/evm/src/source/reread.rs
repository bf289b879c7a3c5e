//! Reads one covered block once more, from somebody else, so that what was left out the first time is found.
//!
//! A range of logs rests on its node's word for what it leaves out. A block read whole does not: its receipts
//! hash to its header, its transactions to their names, and its header to its hash.

use amn_core::block::{Block, Height, Operator};
use amn_core::source::{SourceError, Watch};

use super::EvmSource;
use super::ask::Ask;
use super::trouble::{Trouble, Verdict};

impl EvmSource {
    pub(super) async fn read_once_more(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        let mut endpoints = self.endpoints();
        let first = usize::try_from(turn).unwrap_or_default().checked_rem(endpoints.len()).unwrap_or_default();
        endpoints.rotate_left(first);
        // Whoever it was read from comes last: better the same one again than nobody, the proof is its own.
        endpoints.sort_by_key(|endpoint| not_by == Some(endpoint.operator()));
        let mut verdict = Verdict::default();
        for endpoint in endpoints {
            match self.whole(&self.ask(&endpoint), height, watch).await {
                Ok(block) => return Ok(block),
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        Err(verdict.error())
    }

    /// With whole transactions, so that their names are proven by the block itself.
    async fn whole(&self, ask: &Ask<'_>, height: Height, watch: &Watch) -> Result<Block, Trouble> {
        let gone = || Trouble::Pruned(format!("it has no block {height} or no receipts of it"));
        let read = ask.block(height, true).await?.ok_or_else(gone)?;
        self.named_block(ask, &read, watch).await?.ok_or_else(gone)
    }
}
