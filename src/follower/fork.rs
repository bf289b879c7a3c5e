//! When the chain no longer holds the block we stand on: find where it left us, and read the branch it took.

use amn_core::block::{BlockRef, Header, Height};
use amn_core::engine::{Effect, HaltReason, Input, REMEMBERED_HEADERS_MAX};
use amn_core::source::{ChainSource, Coverage, Head, Position, Segment, SourceError};

use super::{Follower, Outcome, Trouble};

impl<S: ChainSource> Follower<S> {
    /// A head at or below our tip that is not on our chain is a branch; one that is on it is a node that lags.
    pub(super) async fn compare_shorter(&mut self, tip: Header, head: &Head) -> Result<Outcome, Trouble> {
        let headers = self.parts.desk.headers().await?;
        match headers.get(&head.tip.at.height) {
            Some(ours) if ours.at == head.tip.at => Ok(Outcome::Idle),
            Some(_) => self.fork(head).await,
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
        let Some(fork) = self.find_fork(head.tip.at.height).await? else {
            let detail =
                format!("no remembered block of ours is on the chain of {} {}", head.tip.at.height, head.tip.at.hash);
            return Ok(self.stop_for(HaltReason::ForkTooDeep, detail).await?);
        };
        if self.known.as_ref().and_then(|k| k.tip).is_some_and(|tip| tip.at == fork) {
            return Ok(Outcome::Advanced); // The chain holds our tip after all.
        }
        let mut by = self.read_branch(fork, head).await?;
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

    /// The highest remembered block that the chain still holds: doubling steps back, then halving.
    async fn find_fork(&mut self, head: Height) -> Result<Option<BlockRef>, Trouble> {
        let headers = self.parts.desk.headers().await?;
        let ours: Vec<Header> = headers.range(..=head).map(|(_, header)| *header).collect();
        let mut step = 1;
        let mut above = ours.len(); // Nothing at or above this index is held.
        let mut held = None;
        while above > 0 {
            let at = above.saturating_sub(step);
            if self.holds(&ours, at).await? {
                held = Some(at);
                break;
            }
            above = at;
            step *= 2;
        }
        let Some(mut low) = held else { return Ok(None) };
        while low + 1 < above {
            let middle = low.midpoint(above);
            if self.holds(&ours, middle).await? {
                low = middle;
            } else {
                above = middle;
            }
        }
        Ok(ours.get(low).map(|header| header.at))
    }

    async fn holds(&self, ours: &[Header], index: usize) -> Result<bool, SourceError> {
        let Some(header) = ours.get(index) else { return Ok(false) };
        Ok(self.header_near(header.at.height).await?.at == header.at)
    }

    /// The branch from the fork to its head, whole: a decision needs all of it at once.
    async fn read_branch(&mut self, fork: BlockRef, head: &Head) -> Result<Segment, Trouble> {
        let mut whole: Option<Segment> = None;
        let mut on = Position { tip: fork, checkpoint: Vec::new() };
        while on.tip.height < head.tip.at.height {
            let part = match self.parts.source.segment(&on, head.tip.at.height, None, &self.watch).await {
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
                    so_far
                }
            });
            if on.tip.height.above(fork.height) > REMEMBERED_HEADERS_MAX {
                let text = format!("the branch from {} is longer than {REMEMBERED_HEADERS_MAX} blocks", fork.height);
                return Err(SourceError::Unavailable(text).into());
            }
        }
        let branch = whole.ok_or_else(|| SourceError::NotYet("the branch has no block above the fork".into()))?;
        debug_assert_eq!(branch.coverage, Coverage::Linked, "a branch is read block by block");
        Ok(branch)
    }
}
