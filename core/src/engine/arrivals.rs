//! Money comes, moves and goes: a transfer becomes a deposit once, however often its block is read.

use std::collections::BTreeSet;

use crate::block::{Block, BlockRef, Header, Height, Observation, Takeback, Transfer};
use crate::deposit::{Deposit, DepositStatus, Owner};
use crate::engine::Effect;
use crate::engine::fold::Fold;
use crate::event::EventKind;
use crate::id::{DepositId, IntentId};
use crate::intent::Status;
use crate::matching;

/// Deposits that an alarm names: enough to begin with, and a line stays a line.
const TAKEN_NAMED_MAX: usize = 5;

impl Fold {
    pub fn transfers(&mut self, block: &Block, linked: bool) {
        for (ordinal, transfer) in block.transfers.iter().enumerate() {
            self.transfer(block, transfer, u32::try_from(ordinal).unwrap_or(u32::MAX), linked);
        }
    }

    /// A transfer in a covered block: recorded once, however often its block is read.
    fn transfer(&mut self, block: &Block, transfer: &Transfer, ordinal: u32, linked: bool) {
        let at = block.header.at;
        let mut namesakes: Vec<Deposit> =
            self.state.deposits.values().filter(|d| d.transfer.id == transfer.id).cloned().collect();
        namesakes.sort_by_key(|d| d.occurrence);
        let same = namesakes.iter().rev().find(|d| d.transfer.same_content(transfer));
        if let Some(other) = namesakes.iter().find(|d| d.is_live() && !d.transfer.same_content(transfer)) {
            // Somebody lies: one block, or two blocks of one chain, cannot hold two contents under one name.
            return self
                .alarm("other_content", format!("{} at {} and {}", transfer.id.tx, other.block.height, at.height));
        }
        match same {
            Some(known) if known.is_live() => {
                let awaited = self.limbo.remove(&known.id);
                if known.block == at {
                    return; // Read before.
                }
                if !awaited {
                    return self.alarm(
                        "mined_twice",
                        format!("{} at {} and {}", transfer.id.tx, known.block.height, at.height),
                    );
                }
                let mut moved = Self::placed(known, block, ordinal, linked);
                moved.status = known.status;
                moved.settlement.clone_from(&known.settlement);
                moved.late = self.is_late_moved(known, block.header);
                let counted = moved.counts();
                self.emit(Effect::Place(Box::new(moved)));
                if let Some(intent) = known.intent() {
                    self.refresh(intent);
                    // A move makes no alarm, unless it changed what the money counts for.
                    if counted != known.counts() {
                        let kind = if counted { EventKind::Detected } else { EventKind::Late };
                        self.announce(intent, kind, Some("moved"));
                    }
                }
            }
            // On our chain and yet undone: its issuer took it back. Reading it again gives nothing back.
            Some(known) if self.rescan && known.block == at => {}
            Some(known) => {
                let mut back = Self::placed(known, block, ordinal, linked);
                back.late = self.is_late(&known.owner, block.header);
                let intent = back.intent();
                self.emit(Effect::Place(Box::new(back)));
                self.arrived(intent, known.id);
            }
            None if self.is_nothing(at, transfer) => {}
            None => {
                let watches = self.state.watches.get(&transfer.to).map_or(&[][..], Vec::as_slice);
                let Some((owner, tenant)) = matching::owner(transfer, watches, |id| self.state.intents.get(&id)) else {
                    return;
                };
                let occurrence = namesakes.last().map_or(0, |last| last.occurrence.saturating_add(1));
                let deposit = Deposit {
                    id: Deposit::id_of(&self.state.facts.id, &transfer.id, occurrence),
                    transfer: transfer.clone(),
                    occurrence,
                    block: at,
                    block_time: block.header.time,
                    ordinal,
                    status: DepositStatus::Seen,
                    evidence: block.evidence_of(transfer),
                    linked,
                    tenant,
                    owner,
                    assigned: false,
                    late: self.is_late(&owner, block.header),
                    accepted: false,
                    settlement: None,
                };
                let (id, intent) = (deposit.id, deposit.intent());
                self.emit(Effect::Record(Box::new(deposit)));
                self.arrived(intent, id);
            }
        }
    }

    /// Whether it is no money we ever credit; known deposits were judged when they were first seen.
    fn is_nothing(&mut self, at: BlockRef, transfer: &Transfer) -> bool {
        let Some(kind) = self.state.facts.leaves_out(transfer) else { return false };
        let observation = Observation {
            kind: kind.to_owned(),
            tx: Some(transfer.id.tx),
            to: Some(transfer.to.clone()),
            detail: format!("{} of {}", transfer.amount, transfer.asset),
        };
        self.emit(Effect::Observe { at, observation });
        true
    }

    /// A known deposit as it stands in another block: seen anew, with that block's evidence.
    fn placed(known: &Deposit, block: &Block, ordinal: u32, linked: bool) -> Deposit {
        Deposit {
            transfer: known.transfer.clone(),
            block: block.header.at,
            block_time: block.header.time,
            ordinal,
            status: DepositStatus::Seen,
            evidence: block.evidence_of(&known.transfer),
            linked,
            tenant: known.tenant.clone(),
            settlement: None,
            ..known.clone()
        }
    }

    fn is_late(&self, owner: &Owner, header: Header) -> bool {
        match owner {
            Owner::Intent(id) => self.state.intents.get(id).is_some_and(|intent| intent.is_late(header.time)),
            Owner::Nobody(_) => false,
        }
    }

    /// Whether a deposit that only moved is late: by its new block, or because it came after the end.
    /// Settling is a recorded fact, and so is what had settled in time.
    fn is_late_moved(&self, known: &Deposit, header: Header) -> bool {
        let intent = known.intent().and_then(|id| self.state.intents.get(&id));
        let Some(terms) = intent.map(|intent| &intent.terms).filter(|_| known.status == DepositStatus::Seen) else {
            return known.late;
        };
        let came_after_the_end = known.late && !terms.is_past(known.block_time);
        came_after_the_end || terms.is_past(header.time)
    }

    /// A deposit of an intent is on the chain that was not before.
    pub fn arrived(&mut self, intent: Option<IntentId>, deposit: DepositId) {
        let Some(intent) = intent else { return };
        let known = self.state.deposits.get(&deposit);
        let counts = known.is_some_and(Deposit::counts);
        let mined = known.map(|deposit| deposit.block_time);
        if let Some(known) = self.state.intents.get(&intent)
            && known.progress.was_reversed
        {
            let mut progress = known.progress.clone();
            progress.was_reversed = false;
            progress.status = Status::Detected;
            progress.sums = self.state.sums(intent);
            self.emit(Effect::SetIntent { intent, progress: Box::new(progress) });
        }
        self.refresh(intent);
        if counts {
            self.announce(intent, EventKind::Detected, None);
        } else {
            // Mined in time, and found after the end was told: an end is a recorded fact, and a person accepts.
            let terms = self.state.intents.get(&intent).map(|intent| &intent.terms);
            let in_time = terms.zip(mined).is_some_and(|(terms, mined)| !terms.is_past(mined));
            let reason = if self.rescan && in_time { "found" } else { "seen" };
            self.announce(intent, EventKind::Late, Some(reason));
        }
    }

    pub fn takebacks(&mut self, block: &Block, spared: &BTreeSet<DepositId>) {
        for takeback in &block.takebacks {
            self.takeback(takeback, block.header.at.height, spared);
        }
    }

    /// An issuer took money back. Where all that is there is one owner's, it was that one's, newest first. On an address
    /// that several have money on nothing tells whose it was, and a rule does: the newest deposit of exactly that
    /// amount, else newest first until it is covered. When something settled plays no part in it, because that depends
    /// on when nodes answered: the same chain is always judged alike.
    fn takeback(&mut self, takeback: &Takeback, at: Height, spared: &BTreeSet<DepositId>) {
        let watches = self.state.watches.get(&takeback.from).map_or(&[][..], Vec::as_slice);
        if watches.is_empty() {
            return;
        }
        let shared = watches.len() != 1 || watches.iter().any(|w| w.reference.is_some());
        let mut there: Vec<Deposit> =
            self.state.deposits.values().filter(|d| self.was_there(d, takeback, at)).cloned().collect();
        there.sort_by_key(|d| std::cmp::Reverse(d.place()));
        // What is read again may have met it before and be gone by it: its owner counts still.
        let met = |d: &&Deposit| spared.contains(&d.id);
        let owners: BTreeSet<Owner> = there.iter().filter(|d| d.is_live() || met(d)).map(|d| d.owner).collect();
        let by_rule = shared && owners.len() != 1;
        let mut left = takeback.amount;
        if by_rule {
            // Whoever met it before has answered for it as far as its money goes.
            left = there.iter().filter(met).fold(left, |left, d| left.beyond(d.transfer.amount));
        }
        there.retain(|d| d.is_live() && !spared.contains(&d.id));
        if let Some(exact) = there.iter().position(|d| d.transfer.amount == left).filter(|_| by_rule) {
            there.swap(0, exact);
        }
        let mut taken = Vec::new();
        for deposit in there {
            if left.is_zero() {
                break;
            }
            left = left.beyond(deposit.transfer.amount);
            taken.push(deposit.id);
        }
        // Told by rule is not known: a person looks. Read again, and answered for before, it is no news.
        if by_rule && !(self.rescan && taken.is_empty()) {
            let names = taken.iter().take(TAKEN_NAMED_MAX).map(DepositId::to_string).collect::<Vec<_>>().join(", ");
            let Takeback { amount, asset, from, .. } = takeback;
            let detail = format!("{amount} of {asset} from {from}; by rule that is {} deposits {names}", taken.len());
            self.alarm("takeback_at_shared_address", detail);
        }
        for deposit in taken {
            self.undo(deposit, Some(if by_rule { "taken_back_by_rule" } else { "taken_back" }));
        }
    }

    /// Whether a deposit was on the address when money was taken from it: of that asset, on our chain, and not later.
    fn was_there(&self, deposit: &Deposit, takeback: &Takeback, at: Height) -> bool {
        let ours = || self.state.headers.get(deposit.block.height).is_none_or(|header| header.at == deposit.block);
        deposit.transfer.to == takeback.from
            && deposit.transfer.asset == takeback.asset
            && deposit.block.height <= at
            && !takeback.later.contains(&deposit.transfer.id)
            && !self.limbo.contains(&deposit.id)
            && (deposit.is_live() || ours())
    }

    /// A deposit is off the chain, or was taken back: tells so, except of money nobody was told of.
    pub fn undo(&mut self, deposit: DepositId, reason: Option<&str>) {
        let Some(known) = self.state.deposits.get(&deposit).cloned() else { return };
        let was_settled = known.status == DepositStatus::Settled;
        let status = if was_settled { DepositStatus::Reversed } else { DepositStatus::Retracted };
        self.emit(Effect::Undo { deposit, status });
        match known.owner {
            Owner::Intent(intent) => {
                self.refresh(intent);
                let kind = if was_settled { EventKind::Reversed } else { EventKind::Retracted };
                self.announce(intent, kind, reason);
            }
            Owner::Nobody(why) if was_settled => {
                self.announce_unmatched(deposit, EventKind::UnmatchedReversed, reason.unwrap_or(why.as_str()));
            }
            Owner::Nobody(_) => {}
        }
    }
}
