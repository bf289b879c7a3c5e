//! Near the tip: every header is read, hashed and linked; receipts are read where the bloom says maybe.

use std::collections::BTreeSet;

use amn_core::block::{BlockRef, Height};
use amn_core::source::{Coverage, Segment, Watch};

use super::EvmSource;
use super::ask::{Ask, Read};
use super::in_turn::in_turn;
use super::trouble::Trouble;
use crate::evidence::Lie;

/// Headers read in one call: enough to catch up with the fastest chain, few enough to fail cheaply.
const BLOCKS_MAX: u64 = 64;
/// With whole transactions a block may be a megabyte.
const WHOLE_BLOCKS_MAX: u64 = 16;
/// Blocks whose receipts are asked for at a time.
const RECEIPTS_AT_A_TIME: usize = 4;

impl EvmSource {
    /// The chain on `on` as one endpoint has it, block by block.
    pub(super) async fn near(
        &self,
        ask: &Ask<'_>,
        on: BlockRef,
        up_to: Height,
        watch: &Watch,
    ) -> Result<Segment, Trouble> {
        let reads = self.linked(ask, on, up_to, watch.any_native()).await?;
        let mut blocks = Vec::with_capacity(reads.len());
        let mut trouble = None;
        let asked = reads.into_iter().map(|read| async move { self.named_block(ask, &read, watch).await });
        in_turn(asked.collect(), RECEIPTS_AT_A_TIME, |block| {
            match block {
                Ok(Some(block)) => {
                    blocks.push(block);
                    return true;
                }
                // Gone between two questions, or not answered: what stands before it is whole.
                Ok(None) => {}
                Err(lie @ Trouble::Lie(_)) => trouble = Some(lie),
                Err(_) if !blocks.is_empty() => {}
                Err(why) => trouble = Some(why),
            }
            false
        })
        .await;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let Some(tip) = blocks.last().map(|block| block.header) else {
            return Err(Trouble::Lacks(format!("the receipts of block {} are not there", on.height.next())));
        };
        self.recent.keep_read(ask.endpoint, tip.at);
        Ok(Segment {
            parent: on,
            blocks,
            tip,
            coverage: Coverage::Linked,
            watched: watch.version,
            operators: BTreeSet::from([ask.endpoint.operator().clone()]),
            read_by: Some(ask.endpoint.operator().clone()),
            checkpoint: Vec::new(),
        })
    }

    /// At least one block, each standing on the one before, the first on `on`.
    async fn linked(&self, ask: &Ask<'_>, on: BlockRef, up_to: Height, whole: bool) -> Result<Vec<Read>, Trouble> {
        let most = if whole { WHOLE_BLOCKS_MAX } else { BLOCKS_MAX };
        let end = up_to.0.min(on.height.0.saturating_add(most));
        // The head was given with the names of its transactions when it was asked for.
        let head = if whole { None } else { self.recent.head(ask.endpoint, Height(end)) };
        let last = end.saturating_sub(u64::from(head.is_some()));
        let mut reads = Vec::new();
        if last > on.height.0 {
            reads = ask.blocks(on.height.next().0..=last, whole).await?;
        }
        if let Some(head) = head.filter(|_| end > on.height.0) {
            // Where one in between is missing, it stands on nothing and falls away below.
            reads.extend(ask.read(Ok(head), Height(end))?);
        }
        let mut parent = on.hash.0;
        // A break in the links is a reorg between two questions: the next call meets it at its tip.
        let linked = reads.iter().take_while(|read| {
            let stands = read.header.wire.parent_hash.0 == parent;
            parent = read.header.wire.hash.0;
            stands
        });
        let count = linked.count();
        let unproven = reads.first().is_some_and(|read| !read.header.recomputed);
        reads.truncate(count);
        if reads.is_empty() {
            return Err(match why_nothing(ask, on).await {
                // It has our block, and a hash that nothing holds it to.
                Trouble::NotYet(_) | Trouble::Lacks(_) if unproven => Lie::Unlinked { height: on.height.0 + 1 }.into(),
                other => other,
            });
        }
        self.headers_hold(ask, &reads.iter().map(|read| &read.header).collect::<Vec<_>>()).await?;
        Ok(reads)
    }
}

/// Nothing stands on our tip at this endpoint: because it has another block there, or none yet.
pub(super) async fn why_nothing(ask: &Ask<'_>, on: BlockRef) -> Trouble {
    let above = |more: u64| ask.endpoint.head().is_some_and(|head| head >= on.height.0.saturating_add(more));
    match ask.header(on.height).await {
        Ok(Some(there)) if there.wire.hash.0 != on.hash.0 => Trouble::Forked(on),
        Ok(Some(_)) if above(1) => {
            Trouble::Lacks(format!("its head is above block {}, and it has none on it", on.height))
        }
        Ok(Some(_)) => Trouble::NotYet(format!("nothing stands on block {} yet", on.height)),
        Ok(None) if above(0) => {
            Trouble::Lacks(format!("its head is above block {}, which it does not have", on.height))
        }
        Ok(None) => Trouble::NotYet(format!("it has not reached block {}", on.height)),
        Err(trouble) => trouble,
    }
}
