//! Reads covered heights again for watches that are newer than the coverage.

use amn_core::block::{Block, BlockRef, Height};
use amn_core::contract::ContractWatch;
use amn_core::engine::Input;
use amn_core::id::IntentId;
use amn_core::source::{ChainSource, Position, SourceError};
use tracing::info;

use super::{Follower, Trouble};
use crate::store::contracts::listeners;
use crate::store::network;

/// Watches served by one reading: each costs a fingerprint, and one decision must not grow without end.
const WATCHES_AT_ONCE: i64 = 5_000;

impl<S: ChainSource> Follower<S> {
    /// Reads one stretch again; `true` where there may be more to read.
    pub(super) async fn backfill(&mut self) -> Result<bool, Trouble> {
        let owed = network::backfills(&self.parts.pool, &self.network(), WATCHES_AT_ONCE).await?;
        let heard = self.unheard().await?;
        let first = owed.iter().map(|b| b.from).chain(heard.iter().map(|b| b.from)).min();
        let Some((first, tip)) = first.zip(self.known.as_ref().and_then(|k| k.tip)) else {
            return Ok(false);
        };
        let mut watch = self.parts.source.new_watch(self.watch.version);
        for new in &heard {
            if let Some(raw) = (self.parts.raw)(&new.contract) {
                watch.insert_contract(&raw, &new.patterns);
            }
        }
        for new in &owed {
            if let Some(raw) = (self.parts.raw)(&new.address) {
                watch.insert(&raw, new.native);
            }
        }
        let last = owed.iter().map(|b| b.to).chain(heard.iter().map(|b| b.to)).max();
        let last = last.unwrap_or(first).min(tip.at.height);
        let on = self.below(first).await?;
        let final_to = self.known.as_ref().and_then(|k| k.finalized).map(|f| f.height);
        let position = Position { tip: on, checkpoint: Vec::new() };
        let segment = match self.parts.source.segment(&position, last, final_to, &watch).await {
            // The chain moved below us: the fork is dealt with first, then this is read anew.
            Err(SourceError::Forked(_)) => return Ok(true),
            other => other?,
        };
        let through = segment.tip.at;
        let intents: Vec<IntentId> = owed.iter().filter(|b| b.from <= through.height).map(|b| b.intent).collect();
        let contracts: Vec<ContractWatch> =
            heard.iter().filter(|b| b.from <= through.height).map(|b| b.watch).collect();
        let blocks: Vec<Block> = segment.blocks.into_iter().filter(|b| b.header.at.height >= first).collect();
        info!(network = %self.network(), from = first.0, through = through.height.0, watches = intents.len() + contracts.len(), "read again for newer watches");
        let effects = self.decide(&Input::Found { blocks, intents, contracts, through }).await?;
        Ok(!effects.is_empty())
    }

    /// Listeners that newer heights are owed to. Where nobody listens, nobody is asked.
    async fn unheard(&self) -> Result<Vec<listeners::Backfill>, Trouble> {
        if !self.watch.any_contract() {
            return Ok(Vec::new());
        }
        Ok(listeners::backfills(&self.parts.pool, &self.network(), WATCHES_AT_ONCE).await?)
    }

    /// A block of ours below a height, from where reading again may begin.
    async fn below(&mut self, first: Height) -> Result<BlockRef, Trouble> {
        let at = Height(first.0.saturating_sub(1));
        if let Some(header) = self.parts.desk.headers().await?.get(&at) {
            return Ok(header.at);
        }
        let mut db = self.parts.pool.acquire().await.map_err(crate::store::StoreError::from)?;
        let boundary = network::boundary_at_or_below(&mut db, &self.network(), at).await?;
        boundary.ok_or_else(|| SourceError::Pruned(format!("height {first} lies before the ledger")).into())
    }
}
