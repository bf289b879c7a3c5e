//! When the chain no longer holds the block we stand on: find where it left us, and read the branch it took.

use std::collections::BTreeSet;

use amn_core::block::{BlockRef, Header, Height};
use amn_core::engine::{Effect, HaltReason, Input, REMEMBERED_HEADERS_MAX};
use amn_core::source::{ChainSource, Coverage, Head, Position, Segment, SourceError};

use super::{Follower, Outcome, Trouble};
use crate::store::network;

impl<S: ChainSource> Follower<S> {
    /// A head at or below our tip that is not on our chain is a branch; one that is on it is a node that lags.
    pub(super) async fn compare_shorter(&mut self, tip: Header, head: &Head) -> Result<Outcome, Trouble> {
        let headers = self.parts.desk.headers().await?;
        match headers.get(&head.tip.at.height) {
            Some(ours) if ours.at == head.tip.at => Ok(Outcome::Idle),
            Some(_) => self.fork(head).await,
            None if self.known.as_ref().is_some_and(|k| k.accept_fork.is_some()) => self.fork(head).await,
            None => {
                let text = format!(
                    "the head {} lies below what we remember; our tip is {}",
                    head.tip.at.height, tip.at.height
                );
                Err(SourceError::NotYet(text).into())
            }
        }
    }

    /// Finds the fork, reads the new branch to its head, asks who stands behind it, and decides.
    pub(super) async fn fork(&mut self, head: &Head) -> Result<Outcome, Trouble> {
        let Some(tip) = self.known.as_ref().and_then(|k| k.tip) else { return Ok(Outcome::Advanced) };
        let headers = self.parts.desk.headers().await?;
        let ours: Vec<BlockRef> = headers.range(..=head.tip.at.height).map(|(_, header)| header.at).collect();
        let Some(fork) = self.highest_held(&ours).await? else { return self.below_memory(tip, head).await };
        if fork == tip.at {
            return Ok(Outcome::Advanced); // The chain holds our tip after all.
        }
        if tip.at.height.above(fork.height) > REMEMBERED_HEADERS_MAX {
            let detail = format!(
                "the chain of {} {} left us at {}, {} blocks below our tip; one decision undoes at most {REMEMBERED_HEADERS_MAX}",
                head.tip.at.height,
                head.tip.at.hash,
                fork.height,
                tip.at.height.above(fork.height)
            );
            return Ok(self.stop_for(HaltReason::ForkTooDeep, detail).await?);
        }
        let by = self.read_branch(tip.at.height, fork, head).await?;
        self.replace(fork, by).await
    }

    /// The chain left us below every header we remember: halts, unless a person accepted a block of it. Then the fork
    /// is looked for among the ends of covered stretches, and its header is remembered again.
    async fn below_memory(&mut self, tip: Header, head: &Head) -> Result<Outcome, Trouble> {
        let of = format!("{} {}", head.tip.at.height, head.tip.at.hash);
        let Some(accepted) = self.known.as_ref().and_then(|k| k.accept_fork) else {
            let detail = format!("no remembered block of ours is on the chain of {of}");
            // One liar must not stop a network: it halts when as many stand behind the branch as could move us.
            let asked = usize::try_from(self.parts.desk.facts().rewind_operators).unwrap_or(usize::MAX);
            if asked > 1 {
                let vouchers = self.parts.source.vouch(&head.tip).await?;
                let behind: BTreeSet<_> =
                    vouchers.iter().filter(|v| v.block == head.tip.at).map(|v| &v.operator).collect();
                // The one that was read is among them where it vouches, and else makes one more.
                if behind.len() + 1 < asked {
                    return Err(SourceError::NotYet(format!("{detail}, and nobody else stands behind it")).into());
                }
            }
            return Ok(self.stop_for(HaltReason::ForkTooDeep, detail).await?);
        };
        let (lowest, highest) = (tip.at.height.back(REMEMBERED_HEADERS_MAX), tip.at.height.min(head.tip.at.height));
        let ends = network::ends(&self.parts.pool, &self.network(), lowest, highest).await?;
        let Some(fork) = self.highest_held(&ends).await? else {
            let detail = format!(
                "no stretch of ours that ends within {REMEMBERED_HEADERS_MAX} blocks of our tip is on the chain of {of}"
            );
            return Ok(self.stop_for(HaltReason::ForkTooDeep, detail).await?);
        };
        let by = self.read_branch(tip.at.height, fork, head).await?;
        if by.tip.at.hash != accepted && by.blocks.iter().all(|block| block.header.at.hash != accepted) {
            let detail = format!("the chain of {of} parts from ours at {} and does not hold {accepted}", fork.height);
            return Ok(self.stop_for(HaltReason::ForkTooDeep, detail).await?);
        }
        let header = self.parts.source.header_at(fork.height).await?;
        if header.at == fork && self.parts.desk.recall(&header).await? {
            return self.replace(fork, by).await;
        }
        self.known = None; // Something else came first: look anew.
        Ok(Outcome::Advanced)
    }

    async fn replace(&mut self, fork: BlockRef, mut by: Segment) -> Result<Outcome, Trouble> {
        for voucher in self.parts.source.vouch(&by.tip).await? {
            if voucher.block == by.tip.at {
                by.operators.insert(voucher.operator);
            }
        }
        let effects = self.decide(&Input::Replace { fork, by }).await?;
        if effects.iter().any(|e| matches!(e, Effect::Halt(_))) {
            return Ok(Outcome::Halted);
        }
        if effects.iter().any(|e| matches!(e, Effect::Rewind { .. })) {
            return Ok(Outcome::Advanced);
        }
        Ok(Outcome::Waiting(SourceError::NotYet("a branch that waits for agreement".into())))
    }

    /// The highest of our blocks, lowest first, that the chain still holds: doubling steps back, then halving.
    async fn highest_held(&mut self, ours: &[BlockRef]) -> Result<Option<BlockRef>, SourceError> {
        let mut step = 1;
        let mut above = ours.len(); // Nothing at or above this index is held.
        let mut held = None;
        while above > 0 {
            let at = above.saturating_sub(step);
            if self.holds(ours, at).await? {
                held = Some(at);
                break;
            }
            above = at;
            step *= 2;
        }
        let Some(mut low) = held else { return Ok(None) };
        while low + 1 < above {
            let middle = low.midpoint(above);
            if self.holds(ours, middle).await? {
                low = middle;
            } else {
                above = middle;
            }
        }
        Ok(ours.get(low).copied())
    }

    async fn holds(&self, ours: &[BlockRef], index: usize) -> Result<bool, SourceError> {
        let Some(ours) = ours.get(index) else { return Ok(false) };
        Ok(self.header_near(ours.height).await?.at == *ours)
    }

    /// The branch from the fork to its head, whole: a decision needs all of it at once. Where the head is further above
    /// our tip than we remember, as after a long sleep, what is left of the way is read as any chain that grew.
    async fn read_branch(&mut self, tip: Height, fork: BlockRef, head: &Head) -> Result<Segment, Trouble> {
        let up_to = head.tip.at.height.min(Height(tip.0.saturating_add(REMEMBERED_HEADERS_MAX)));
        let mut whole: Option<Segment> = None;
        let mut on = Position { tip: fork, checkpoint: Vec::new() };
        while on.tip.height < up_to {
            let part = match self.parts.source.segment(&on, up_to, None, &self.watch).await {
                // It moved again while we read: look anew.
                Err(SourceError::Forked(at)) => {
                    return Err(SourceError::NotYet(format!("the branch moved again at {}", at.height)).into());
                }
                other => other?,
            };
            on = Position { tip: part.tip.at, checkpoint: part.checkpoint.clone() };
            whole = Some(match whole {
                None => part,
                Some(mut so_far) => {
                    so_far.blocks.extend(part.blocks);
                    so_far.tip = part.tip;
                    so_far.checkpoint = part.checkpoint;
                    so_far.operators = so_far.operators.intersection(&part.operators).cloned().collect();
                    so_far.watched = so_far.watched.min(part.watched);
                    so_far.read_by = so_far.read_by.filter(|by| part.read_by.as_ref() == Some(by));
                    so_far
                }
            });
        }
        let branch = whole.ok_or_else(|| SourceError::NotYet("the branch has no block above the fork".into()))?;
        debug_assert_eq!(branch.coverage, Coverage::Linked, "a branch is read block by block");
        Ok(branch)
    }
}
