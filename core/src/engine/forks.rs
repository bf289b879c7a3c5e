//! When the chain leaves us, and what the network says of its own blocks.

use std::collections::BTreeMap;

use crate::block::{BlockRef, Header, Transfer, TransferId};
use crate::deposit::{Deposit, DepositStatus};
use crate::engine::fold::{Fold, well_formed};
use crate::engine::{Effect, Halt, HaltReason};
use crate::source::{Segment, Voucher};

impl Fold {
    /// One decision: what is mined again in the new branch moves without an alarm, the rest is undone.
    ///
    /// The source calls this only when `by` reaches the new branch's head. A branch that is shorter
    /// than ours, that would undo anything settled, or that a person accepted, needs the agreement of
    /// several operators: until then nothing moves.
    pub fn replace(&mut self, fork: BlockRef, by: &Segment) {
        let Some(tip) = self.state.standing.tip else { return };
        let Some(fork_header) = self.state.headers.get(fork.height).copied().filter(|h| h.at == fork) else {
            return; // Another decision came first.
        };
        let ours = |at: BlockRef| self.state.headers.get(at.height).is_some_and(|h| h.at == at);
        if by.parent != fork || fork.height >= tip.at.height || ours(by.tip.at) {
            return; // Not another branch: a node that lags behind ours has merely less of it.
        }
        if let Err(why) = well_formed(by) {
            return self.alarm("malformed_segment", why);
        }
        let shared = by.blocks.iter().take_while(|block| ours(block.header.at)).count();
        if let Some(last) = shared.checked_sub(1).and_then(|last| by.blocks.get(last)) {
            // The branches part further up than was said: what is below stays untouched.
            let parent = last.header.at;
            let blocks = by.blocks.get(shared..).unwrap_or_default().to_vec();
            return self.replace(parent, &Segment { parent, blocks, ..by.clone() });
        }
        let accepted =
            self.state.standing.accept_fork.is_some_and(|hash| {
                by.blocks.iter().any(|block| block.header.at.hash == hash) || by.tip.at.hash == hash
            });
        let agreed = by.operators.len() >= usize::try_from(self.state.facts.rewind_operators).unwrap_or(usize::MAX);
        let crosses = self.state.standing.finalized.is_some_and(|finalized| fork.height < finalized.height);
        if (self.state.facts.instant_finality || crosses) && !accepted {
            // One liar must not stop a network: it halts when as many stand behind the branch as could move us.
            if !agreed {
                let operators = by.operators.len();
                let detail = format!(
                    "{}; it is below finalized, and {operators} operators stand behind it",
                    describe(fork, tip, by)
                );
                return self.alarm("fork_awaits_agreement", detail);
            }
            if crosses {
                return self.halt(Halt { reason: HaltReason::ForkBelowFinalized, detail: describe(fork, tip, by) });
            }
            let detail = format!("block {} has another hash above {}", fork.height.next(), fork.hash);
            return self.halt(Halt { reason: HaltReason::LyingOperator, detail });
        }

        let again: BTreeMap<TransferId, &Transfer> =
            by.blocks.iter().flat_map(|b| &b.transfers).map(|t| (t.id, t)).collect();
        let mut dropped: Vec<Deposit> =
            self.state.deposits.values().filter(|d| d.is_live() && d.block.height > fork.height).cloned().collect();
        dropped.sort_by_key(Deposit::place);
        let (moved, undone): (Vec<Deposit>, Vec<Deposit>) =
            dropped.into_iter().partition(|d| again.get(&d.transfer.id).is_some_and(|t| t.same_content(&d.transfer)));

        let (said_again, unsaid) = self.sightings_of_branch(fork.height, by);

        let undoes_settled = undone.iter().any(|d| d.status == DepositStatus::Settled)
            || unsaid.iter().any(|(_, status)| *status == DepositStatus::Settled);
        let shorter = by.tip.at.height < tip.at.height;
        // A person names the branch, and operators must still agree that it is there.
        if (shorter || undoes_settled || accepted) && !agreed {
            let why = match (undoes_settled, shorter) {
                (true, _) => "would undo what has settled",
                (false, true) => "is shorter than ours",
                (false, false) => "was accepted by a person",
            };
            let detail =
                format!("{}; it {why}, and {} operators stand behind it", describe(fork, tip, by), by.operators.len());
            return self.alarm("fork_awaits_agreement", detail);
        }

        self.emit(Effect::Rewind { to: fork_header, from: tip, onto: by.tip.at, accepted });
        self.limbo.extend(moved.iter().map(|d| d.id));
        self.unheard.extend(said_again);
        for deposit in undone {
            // A name that returns with other content is undone here and recorded as another occurrence there.
            self.undo(deposit.id, Some("reorganized"));
        }
        for (sighting, _) in unsaid {
            self.undo_sighting(sighting);
        }
        self.grow(by);
        // Whatever the new branch did not take up after all is off the chain.
        for deposit in std::mem::take(&mut self.limbo) {
            self.undo(deposit, Some("reorganized"));
        }
        for sighting in std::mem::take(&mut self.unheard) {
            self.undo_sighting(sighting);
        }
    }

    /// What the network says of its own blocks settles only what we stand on.
    pub fn finality(&mut self, safe: Option<BlockRef>, finalized: Option<BlockRef>, vouchers: &[Voucher]) {
        for voucher in vouchers {
            self.vouch(voucher);
        }
        let ours = |fold: &Self, block: Option<BlockRef>| {
            block.filter(|b| fold.state.headers.get(b.height).is_some_and(|h| h.at == *b))
        };
        for block in [safe, finalized].into_iter().flatten() {
            if self.state.headers.get(block.height).is_some_and(|h| h.at.hash != block.hash) {
                self.alarm("tagged_on_other_branch", format!("{} {}", block.height, block.hash));
            }
        }
        let standing = &self.state.standing;
        // Finality never goes back; `safe` may, and then touches only what has not settled.
        let finalized = ours(self, finalized)
            .filter(|new| standing.finalized.is_none_or(|old| new.height > old.height))
            .or(standing.finalized);
        let safe = ours(self, safe).or(standing.safe);
        if finalized != standing.finalized || safe != standing.safe {
            self.emit(Effect::Mark { safe, finalized });
        }
        self.settle();
        self.expire();
    }

    fn vouch(&mut self, voucher: &Voucher) {
        let (operator, at) = (&voucher.operator, voucher.block);
        match self.state.headers.get(at.height).map(|ours| ours.at) {
            Some(ours) if ours != at => {
                let detail = format!("{operator} has {} at {}, we have {}", at.hash, at.height, ours.hash);
                self.alarm("operators_disagree", detail);
            }
            Some(_) if self.state.standing.vouchers.get(operator).is_none_or(|known| known.height < at.height) => {
                self.emit(Effect::Vouch { operator: operator.clone(), at });
            }
            // Known already, above our tip, or older than we remember: it says nothing that matters.
            _ => {}
        }
    }
}

fn describe(fork: BlockRef, tip: Header, by: &Segment) -> String {
    format!(
        "the chain left us at {} {}: our tip {} {}, its tip {} {}",
        fork.height, fork.hash, tip.at.height, tip.at.hash, by.tip.at.height, by.tip.at.hash
    )
}
