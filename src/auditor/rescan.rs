//! One step of a rescan: a stretch of covered headers read and linked, each block compared, what was missed credited.

use std::time::Duration;

use amn_core::block::{BlockRef, Header, Height};
use amn_core::source::{ChainSource, Position, Segment, SourceError, Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use metrics::counter;
use tracing::{info, warn};

use super::ours::Whose;
use super::{Auditor, Outcome, Trouble, millis};
use crate::store::rescans::{self, Rescan};
use crate::store::{network, recall};
use crate::telemetry::metric;

/// Watches read in one go.
const WATCH_PAGE: i64 = 50_000;

/// The first pause after a step that failed, doubled each time up to the second.
const PAUSE: Duration = Duration::from_secs(2);
pub(super) const PAUSE_MAX: Duration = Duration::from_mins(1);

/// So often in a row may no node have a block that we stand on, before we say that none has it any more: a node that
/// only lags catches up within the pauses between, a minute in all.
const ABSENT_MAX: u32 = 5;

impl<S: ChainSource> Auditor<S> {
    pub(super) async fn rescan(&mut self, rescan: Rescan, tip: Header) -> Result<Outcome, Trouble> {
        let network = self.network();
        let now = self.parts.clock.now();
        // What is above our tip now was left by the chain since, and is read anew as it grows.
        let to = rescan.to.min(tip.at.height);
        if rescan.next > to {
            rescans::advance(&self.parts.pool, rescan.id, rescan.to.next(), (0, 0), now).await?;
            return Ok(Outcome::Rescanned { next: rescan.to.next(), found: 0 });
        }
        let read = match self.read_on(&rescan, to).await {
            Ok(read) => read,
            Err(Trouble::Source(why)) => return self.put_off(&rescan, why).await,
            Err(other) => return Err(other),
        };
        self.failures = 0;
        let through = read.tip.at.height;
        let (mut transfers, mut found) = (0, 0);
        for block in &read.blocks {
            let watch = self.watch.as_ref().map(|(_, watch)| watch.clone()).unwrap_or_default();
            let compared = self.compare(block, &watch).await?;
            transfers += compared.watched + block.contract_events.len() as u64;
            found += self.hear(block).await?;
            if compared.missing.is_empty() {
                continue;
            }
            let missed = match self.missed(block, &compared.missing).await {
                Err(Trouble::Source(why)) => return self.put_off(&rescan, why).await,
                other => other?,
            };
            let Some(missed) = missed else {
                let why = format!("operators differ on what block {} holds", block.header.at.height);
                return self.put_off(&rescan, SourceError::Unavailable(why)).await;
            };
            let read_by = recall::stretch_at(&self.parts.pool, &network, block.header.at.height).await?;
            let read_by = read_by.and_then(|stretch| stretch.read_by);
            let read_by = read_by.as_ref().map_or("unknown", |by| by.as_str());
            self.say_missed(missed.header.at, missed.transfers.len(), read_by);
            found += self.credit(missed).await?;
        }
        let label = network.to_string();
        counter!(metric::RESCANNED_BLOCKS, "network" => label.clone()).increment(through.above(rescan.next) + 1);
        counter!(metric::RESCAN_FOUND, "network" => label).increment(found);
        rescans::advance(&self.parts.pool, rescan.id, through.next(), (transfers, found), now).await?;
        if through >= rescan.to {
            let (from, to) = (rescan.from.0, rescan.to.0);
            let (transfers, found) = (rescan.transfers + transfers, rescan.found + found);
            info!(%network, from, to, transfers, found, "rescan {} is done: {found} of {transfers} were not known", rescan.id);
        }
        Ok(Outcome::Rescanned { next: through.next(), found })
    }

    /// The next stretch of the chain we stand on: linked, and its end shown to be ours, so that all of it is.
    async fn read_on(&mut self, rescan: &Rescan, to: Height) -> Result<Segment, Trouble> {
        let tip = self.below(rescan.next).await?;
        let watch = self.watch(rescan).await?;
        let position = Position { tip, checkpoint: Vec::new() };
        // Not as ranges: what a range leaves out is what is looked for.
        let segment = match self.parts.source.segment(&position, to, None, &watch).await {
            // The chain moved below us: the follower sees to it, then this is read anew.
            Err(SourceError::Forked(at)) => {
                let text = format!("the chain no longer holds block {} {}", at.height, at.hash);
                return Err(SourceError::Unavailable(text).into());
            }
            other => other?,
        };
        if let Whose::Contested(detail) = self.whose(&segment.tip, &segment.operators).await? {
            self.alarm("audit_disagreement", detail.clone());
            self.parts.source.arbitrate(segment.tip.at).await;
            return Err(SourceError::Unavailable(detail).into());
        }
        Ok(segment)
    }

    /// The block below a height: ours where the ledger has it, else the chain's, which is ours if what is linked to
    /// it turns out to be.
    async fn below(&self, first: Height) -> Result<BlockRef, Trouble> {
        let height = first.back(1);
        if let Some(hash) = recall::hash_at(&self.parts.pool, &self.network(), height).await? {
            return Ok(BlockRef { height, hash });
        }
        Ok(self.parts.source.header_at(height).await?.at)
    }

    /// What to look for: everything that is watched, native money as of when the first of the heights was read.
    async fn watch(&mut self, rescan: &Rescan) -> Result<Watch, Trouble> {
        let known = self.watch.take().filter(|(of, _)| *of == rescan.id).map(|(_, watch)| watch);
        let fresh = known.is_none();
        let mut watch = known.unwrap_or_else(|| self.parts.source.new_watch(WatchVersion(0)));
        let network = self.network();
        let read = recall::stretch_at(&self.parts.pool, &network, rescan.next).await?;
        let as_of = read.filter(|_| fresh).map_or_else(|| self.parts.clock.now(), |stretch| stretch.read_at);
        loop {
            let page = network::watches_above(&self.parts.pool, &network, watch.version, as_of, WATCH_PAGE).await?;
            let more = i64::try_from(page.len()).unwrap_or(WATCH_PAGE) >= WATCH_PAGE;
            for new in page {
                // One that is no address of the family is the follower's to say.
                let _ = new.add_to(&mut watch, self.parts.raw);
            }
            if !more {
                self.watch = Some((rescan.id, watch.clone()));
                return Ok(watch);
            }
        }
    }

    /// A step that failed is tried again later; where no node has the history any more, never.
    async fn put_off(&mut self, rescan: &Rescan, why: SourceError) -> Result<Outcome, Trouble> {
        self.failures = self.failures.saturating_add(1);
        let now = self.parts.clock.now();
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.saturating_sub(1).min(6))).min(PAUSE_MAX);
        self.not_before = Timestamp::from_millis(now.millis().saturating_add(millis(pause)));
        let gone = match &why {
            SourceError::Pruned(_) | SourceError::Unsupported(_) => true,
            SourceError::NotYet(_) => self.failures >= ABSENT_MAX,
            _ => false,
        };
        let words = if gone {
            format!("no endpoint has the history from {} on: {why}; add one that does and ask again", rescan.next)
        } else {
            why.to_string()
        };
        rescans::trouble(&self.parts.pool, rescan.id, &words, gone, now).await?;
        let network = self.network();
        if !gone {
            warn!(%network, rescan = rescan.id, why = words, "rescan {} waits: {words}", rescan.id);
            return Ok(Outcome::Waiting(why));
        }
        self.failures = 0;
        self.alarm("rescan_failed", format!("rescan {} of {} to {}: {words}", rescan.id, rescan.from, rescan.to));
        Ok(Outcome::Failed)
    }
}
