//! One covered block, chosen by the dice, read once more from another operator and compared.
//!
//! Every other draw looks among the newest blocks, where a fault shows soonest; the rest over the whole ledger, where
//! stretches that were only listed come first: near the tip absence is proven, in a range it is a node's word.

use amn_core::block::{BlockRef, Header, Height};
use amn_core::source::{ChainSource, Coverage, Watch};
use amn_core::timestamp::Timestamp;
use metrics::counter;

use super::ours::{Whose, words};
use super::{Audited, Auditor, Outcome, Trouble};
use crate::clock::below;
use crate::store::recall::{self, Stretch, Tally};
use crate::store::rescans;
use crate::telemetry::metric;

/// What counts as new: some hours of a fast chain, a day of a slow one.
const NEWEST: u64 = 10_000;

/// Draws over the whole ledger until one falls into a listed stretch: where one block in eight is listed, most do.
const DRAWS: u32 = 8;

/// Blocks below the tip that may still leave the chain where the network names none that is final.
const UNSETTLED: u64 = 64;

/// What is read once more around a miss, each way: as much as one faulty answer can have hidden, since history is
/// read in stretches of 2,000 blocks at most.
const AROUND: u64 = 2_000;

impl<S: ChainSource> Auditor<S> {
    pub(super) fn audit_is_due(&mut self, now: Timestamp) -> bool {
        let Some(interval) = 3_600_000_i64.checked_div(self.parts.blocks_per_hour.into()) else { return false };
        let due = Timestamp::from_millis(now.millis().saturating_add(interval));
        match self.next_audit {
            // A clock that went back must not end the audit until the time it once showed.
            Some(next) if now < next && next <= due => false,
            Some(_) => {
                self.next_audit = Some(due);
                true
            }
            // Not at once after a start: there is more urgent work then.
            None => {
                self.next_audit = Some(due);
                false
            }
        }
    }

    pub(super) async fn audit(&mut self, tip: Header, finalized: Option<BlockRef>) -> Result<Outcome, Trouble> {
        let network = self.network();
        let last = finalized.map_or_else(|| tip.at.height.back(UNSETTLED), |at| at.height).min(tip.at.height);
        let Some((height, stretch)) = self.draw(last).await? else { return Ok(Outcome::Idle) };
        let watch = Watch::everything(recall::any_native(&self.parts.pool, &network).await?);
        let turn = below(&*self.parts.ids, u64::MAX);
        let read = match self.parts.source.reread(height, stretch.read_by.as_ref(), turn, &watch).await {
            Ok(block) => self.whose(&block.header, &block.evidence.operators).await.map(|whose| (block, whose)),
            Err(why) => Err(why.into()),
        };
        if let Err(Trouble::Source(_)) = &read {
            // Counted, so that an audit that never comes to anything does not look like one that finds nothing.
            self.tally(height, &stretch, Tally::default(), "unread").await?;
        }
        let (block, whose) = read?;
        if let Whose::Contested(detail) = whose {
            self.tally(height, &stretch, Tally { disagreements: 1, ..Tally::default() }, "disagreement").await?;
            self.alarm("audit_disagreement", detail);
            // Whoever is outvoted on it is left out of further questions.
            self.parts.source.arbitrate(block.header.at).await;
            return Ok(Outcome::Audited(Audited::Disagreement { height }));
        }
        let compared = self.compare(&block, &watch).await?;
        for deposit in &compared.unfounded {
            let by = words(&block.evidence.operators);
            self.alarm("deposit_not_in_block", format!("{deposit} is not in block {height} as {by} shows it"));
        }
        let mut tally = Tally {
            blocks: 1,
            transfers: compared.watched,
            unfounded: compared.unfounded.len() as u64,
            ..Tally::default()
        };
        let missed = match compared.missing.as_slice() {
            [] => None,
            missing => self.missed(&block, missing).await?,
        };
        let Some(missed) = missed else {
            if !compared.missing.is_empty() {
                let by = words(&block.evidence.operators);
                self.alarm("audit_disagreement", format!("only {by} shows more money in block {height}"));
                tally = Tally { disagreements: 1, ..Tally::default() };
                self.tally(height, &stretch, tally, "disagreement").await?;
                return Ok(Outcome::Audited(Audited::Disagreement { height }));
            }
            self.tally(height, &stretch, tally, "same").await?;
            return Ok(Outcome::Audited(Audited::Same { height, transfers: compared.watched }));
        };
        tally.misses = missed.transfers.len() as u64;
        // First what must not be forgotten: should we die here, the rescan credits what this block held.
        self.tally(height, &stretch, tally, "missed").await?;
        self.ask_around(height).await?;
        let read_by = stretch.read_by.as_ref().map_or("unknown", |by| by.as_str());
        self.say_missed(missed.header.at, missed.transfers.len(), read_by);
        self.credit(missed).await?;
        Ok(Outcome::Audited(Audited::Missed { height, misses: tally.misses }))
    }

    /// A covered height up to `last`, and how it was read.
    async fn draw(&self, last: Height) -> Result<Option<(Height, Stretch)>, Trouble> {
        let network = self.network();
        let Some((start, _)) = recall::ledger(&self.parts.pool, &network).await? else { return Ok(None) };
        let all = last.above(start);
        if all == 0 {
            return Ok(None);
        }
        let ids = &*self.parts.ids;
        let newest = below(ids, 2) == 0;
        let (span, draws) = if newest { (all.min(NEWEST), 1) } else { (all, DRAWS) };
        let mut drawn = None;
        for _ in 0..draws {
            let height = last.back(below(ids, span));
            let Some(stretch) = recall::stretch_at(&self.parts.pool, &network, height).await? else { continue };
            let listed = stretch.coverage == Coverage::Listed;
            drawn = Some((height, stretch));
            if listed {
                break;
            }
        }
        Ok(drawn)
    }

    /// Has the heights around a miss read once more.
    async fn ask_around(&mut self, height: Height) -> Result<(), Trouble> {
        let network = self.network();
        let Some((start, tip)) = recall::ledger(&self.parts.pool, &network).await? else { return Ok(()) };
        let from = height.back(AROUND).max(start.next());
        let to = Height(height.0.saturating_add(AROUND)).min(tip);
        let mut db = self.parts.pool.acquire().await.map_err(crate::store::StoreError::from)?;
        let now = self.parts.clock.now();
        let asked = rescans::open(&mut db, &network, (from, to), "missed", "recall auditor", now).await?;
        if asked == rescans::Asked::Full {
            self.alarm("rescans_full", format!("{from} to {to} around a miss is not read once more"));
        }
        Ok(())
    }

    async fn tally(&self, at: Height, stretch: &Stretch, tally: Tally, result: &'static str) -> Result<(), Trouble> {
        let (network, coverage) = (self.network(), stretch.coverage.as_str());
        let label = network.to_string();
        counter!(metric::AUDITED_BLOCKS, "network" => label.clone(), "coverage" => coverage, "result" => result)
            .increment(1);
        counter!(metric::AUDITED_TRANSFERS, "network" => label.clone(), "coverage" => coverage)
            .increment(tally.transfers);
        counter!(metric::AUDIT_MISSES, "network" => label, "coverage" => coverage).increment(tally.misses);
        if result != "unread" {
            let now = self.parts.clock.now();
            recall::note(&self.parts.pool, &network, stretch.coverage, at, tally, now).await?;
        }
        Ok(())
    }
}
