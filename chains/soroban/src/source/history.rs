//! History from data lakes: where nodes have thrown it away, and where so much is missing that files are cheaper.
//!
//! A lake is read like a node: the same proof, the same backing by somebody else, the same distrust. It is never asked
//! for a ledger that is not known to exist, so what it lacks is history that is gone.

use amn_core::block::{BlockRef, Header, Height};
use amn_core::source::{Segment, Watch};

use super::backing::Backed;
use super::page::{self, Shown, Stock, Wanted};
use super::trouble::{Trouble, Verdict};
use super::{Shared, number, settle_accounts};
use crate::lake::Lake;

/// Ledgers read from a lake at a time: four rounds of files on their way, 4 MB on the public network, and one look at
/// the nodes for the last of them. Opening them keeps other networks waiting for a third of a second.
const LAKE_PAGE: u32 = 32;

/// So far behind, lakes are asked first: for an hour and a half of the public network nodes send 1.3 GB, a lake a
/// tenth of it, and what providers count is requests to nodes.
const FAR_BEHIND: u64 = 1_000;

impl Shared {
    /// Whether the way to the head is so long that it is better read from files, where a lake has them.
    pub fn prefers_lakes(&self, on: BlockRef) -> bool {
        let head = self.memory.head().map_or(Height(0), |given| given.header.at.height);
        head.above(on.height) >= FAR_BEHIND && self.lakes().iter().any(Lake::is_promising)
    }

    /// The chain that stands on `on`, from the first lake that can show it.
    pub async fn read_on_from_lakes(
        &self,
        on: BlockRef,
        up_to: Height,
        watch: &Watch,
        verdict: &mut Verdict,
    ) -> Option<Segment> {
        for lake in self.lakes() {
            let read = async {
                let shown = self.read_lake(lake, Some(on), on.height.next(), up_to, LAKE_PAGE, watch).await?;
                let backed = self.backed(lake.endpoint(), on, &shown).await?;
                let backed = self.not_by_the_lake_alone(backed, on, up_to, &shown)?;
                Ok((shown, backed))
            };
            match Box::pin(read).await {
                Ok((shown, backed)) => {
                    lake.served();
                    let alone = backed.alone;
                    if let Some(segment) = self.segment(on, shown, backed, lake.operator(), watch) {
                        if !alone {
                            settle_accounts(verdict, &segment);
                        }
                        return Some(segment);
                    }
                }
                Err(trouble) => {
                    lake.disappointed();
                    verdict.add(lake.endpoint(), trouble);
                }
            }
        }
        None
    }

    /// Whoever writes files can write a chain of them that proves itself in every respect. Where the network names its
    /// validators, some of them must have built on it: a single node is chosen for its word, a lake for its disks.
    fn not_by_the_lake_alone(
        &self,
        backed: Backed,
        on: BlockRef,
        up_to: Height,
        shown: &Shown,
    ) -> Result<Backed, Trouble> {
        let Some(asked) = self.organisations_asked().filter(|_| backed.alone) else { return Ok(backed) };
        let count = shown.attested_to(asked);
        if count > 0 {
            return Ok(Backed { count, alone: false, ..backed });
        }
        let all = shown.blocks.len() as u64;
        let (first, last) = (on.height.next(), Height(on.height.0.saturating_add(all)));
        let what = format!("no operator and no {asked} organisations stand behind its ledgers {first} to {last}");
        // Its newest ones have nothing above them: that is where it ends.
        let ends = all < u64::from(LAKE_PAGE) && last < up_to;
        Err(if ends { Trouble::Pruned(format!("{what}, where it ends")) } else { Trouble::Disagree(what) })
    }

    /// One ledger from the first lake that has it, and who keeps that lake.
    pub async fn one_from_lakes(&self, height: Height, watch: &Watch, verdict: &mut Verdict) -> Option<(Shown, &Lake)> {
        for lake in self.lakes() {
            match self.read_lake(lake, None, height, height, 1, watch).await {
                Ok(shown) => return Some((shown, lake)),
                Err(trouble) => verdict.add(lake.endpoint(), trouble),
            }
        }
        None
    }

    /// Ledgers as a lake has them, proven, each standing on the one before.
    pub async fn read_lake(
        &self,
        lake: &Lake,
        on: Option<BlockRef>,
        first: Height,
        up_to: Height,
        at_most: u32,
        watch: &Watch,
    ) -> Result<Shown, Trouble> {
        let (first, last) = (number(first)?, number(up_to)?);
        let at_most = at_most.min(last.saturating_sub(first).saturating_add(1));
        let files = lake.files(first, last, at_most).await?;
        let wanted = Wanted {
            network: self.network.clone(),
            watch: watch.clone(),
            on,
            first,
            at_most: usize::try_from(at_most).unwrap_or(usize::MAX),
        };
        match page::read(wanted, Stock::Files(files)).await {
            // Ours was backed when it was read, and what a lake keeps never changes.
            Err(Trouble::Forked(ours)) => {
                Err(Trouble::Lie(format!("its ledger {first} does not stand on {} {}", ours.height, ours.hash)))
            }
            shown => shown,
        }
    }

    /// The header of a ledger that no node has any more.
    pub async fn header_from_lakes(&self, height: Height, verdict: &mut Verdict) -> Option<Header> {
        let (shown, _) = self.one_from_lakes(height, &Watch::default(), verdict).await?;
        shown.tip()
    }
}
