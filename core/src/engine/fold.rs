//! Folds what happened into effects, block by block. Each effect is applied to a working copy as soon
//! as it is listed, so that the next decision sees it.

use std::collections::BTreeSet;

use crate::block::{Block, BlockRef, Evidence, Header, Height, Observation, Transfer, TransferId};
use crate::confirmation::{Policy, is_settled};
use crate::deposit::{Deposit, DepositStatus, Owner, Settlement, digest};
use crate::engine::state::{KEPT_BELOW_FINALIZED, REMEMBERED_HEADERS_MAX, REMEMBERED_WITHOUT_FINALITY_SECONDS, State};
use crate::engine::{Alarm, Effect, Halt};
use crate::event::{
    Body, CONTRACT_VERSION, DEPOSITS_LISTED_MAX, DepositView, Event, EventKind, IntentView, NetworkView, bytes,
};
use crate::id::{DepositId, EventId, IntentId};
use crate::intent::{End, Intent, Status};
use crate::matching;
use crate::source::{Coverage, Segment, WatchVersion};

/// Headers are forgotten in batches, so that most decisions delete nothing.
const FORGET_BATCH: u64 = 64;

/// A decision being taken.
pub(super) struct Fold {
    pub state: State,
    pub effects: Vec<Effect>,
    /// Deposits of a dead branch that the new branch holds further up: neither undone nor judged yet.
    pub limbo: BTreeSet<DepositId>,
    /// The watch set that the stretch at hand was read with: newer intents may have money in it that
    /// nobody looked for, so none of them expires by it.
    watched: Option<WatchVersion>,
    /// Blocks that we stand on already are being read again.
    rescan: bool,
}

impl Fold {
    pub fn new(state: &State) -> Self {
        Self { state: state.clone(), effects: Vec::new(), limbo: BTreeSet::new(), watched: None, rescan: false }
    }

    pub fn emit(&mut self, effect: Effect) {
        self.state.apply(&effect);
        self.effects.push(effect);
    }

    pub fn alarm(&mut self, kind: &'static str, detail: String) {
        self.emit(Effect::Alarm(Alarm { kind, detail }));
    }

    pub fn start(&mut self, at: Header) {
        if self.state.standing.tip.is_none() {
            self.emit(Effect::Start { at });
            self.emit(Effect::Mark { safe: Some(at.at), finalized: Some(at.at) });
        }
    }

    /// The chain grew. A stretch that does not stand on our tip changes nothing: it was read before, or
    /// another decision came first.
    pub fn extend(&mut self, segment: &Segment) {
        let stands = self.state.standing.tip.is_some_and(|tip| tip.at == segment.parent);
        if !stands || segment.tip.at.height <= segment.parent.height {
            return;
        }
        if let Err(why) = well_formed(segment) {
            return self.alarm("malformed_segment", why);
        }
        self.grow(segment);
    }

    /// Applies a stretch that was checked.
    pub fn grow(&mut self, segment: &Segment) {
        let linked = segment.coverage == Coverage::Linked;
        self.watched = Some(segment.watched);
        if !linked {
            self.unlink();
        }
        for block in &segment.blocks {
            let operators = if linked {
                // Whoever gave the end of a linked stretch gave each block of it.
                block.evidence.operators.union(&segment.operators).cloned().collect()
            } else {
                BTreeSet::new()
            };
            self.emit(Effect::Advance { header: block.header, operators });
            self.block(block, linked);
        }
        if !linked {
            self.emit(Effect::Advance { header: segment.tip, operators: segment.operators.clone() });
            self.settle();
            self.expire();
        }
        self.emit(Effect::Cover {
            parent: segment.parent,
            tip: segment.tip,
            coverage: segment.coverage,
            watched: segment.watched,
            checkpoint: segment.checkpoint.clone(),
        });
        self.forget();
    }

    /// A stretch that is only listed parts what is below it from our tip: whoever vouches for a block
    /// above the gap says nothing of a block below it, and those who vouched until now are recorded.
    fn unlink(&mut self) {
        let linked = |d: &&Deposit| d.linked && d.status == DepositStatus::Seen && !self.limbo.contains(&d.id);
        let below: Vec<Deposit> = self.state.deposits.values().filter(linked).cloned().collect();
        for mut deposit in below {
            deposit.evidence.operators = self.state.vouching(&deposit);
            deposit.linked = false;
            self.emit(Effect::Place(Box::new(deposit)));
        }
    }

    fn block(&mut self, block: &Block, linked: bool) {
        for observation in &block.observations {
            self.emit(Effect::Observe { at: block.header.at, observation: observation.clone() });
        }
        self.transfers(block, linked);
        self.takebacks(block, &BTreeSet::new());
        self.settle();
        self.expire();
    }

    /// Covered heights, read again for newer watches.
    pub fn found(&mut self, blocks: &[Block], intents: &[IntentId], through: BlockRef) {
        let Some(tip) = self.state.standing.tip else { return };
        let foreign = |at: &BlockRef| self.state.headers.get(at.height).is_some_and(|ours| ours.at != *at);
        let mut read = blocks.iter().map(|block| block.header.at).chain([through]);
        if let Some(at) = read.find(|at| at.height > tip.at.height || foreign(at)) {
            // The chain moved while it was read: nothing of this may count, and it is read again. The end
            // is checked too, because a branch where nothing was found proves nothing about ours.
            return self.alarm("rescan_on_other_branch", format!("{} {}", at.height, at.hash));
        }
        let floor = self.state.headers.linked_down_to();
        let before: BTreeSet<DepositId> = self.state.deposits.keys().copied().collect();
        self.rescan = true;
        for block in blocks {
            let linked = floor.is_some_and(|floor| block.header.at.height >= floor);
            self.transfers(block, linked);
            // What was known before has met these take-backs before.
            self.takebacks(block, &before);
        }
        self.rescan = false;
        self.emit(Effect::Backfilled { intents: intents.to_vec(), through: through.height });
        self.settle();
        self.expire();
    }

    pub fn evidence(&mut self, of: &TransferId, block: BlockRef, is: &Evidence) {
        let known = self.state.deposits.values().find(|d| d.transfer.id == *of && d.block == block && d.is_live());
        if let Some((id, both)) = known.map(|d| (d.id, d.evidence.and(is))) {
            if self.state.deposits.get(&id).is_some_and(|d| d.evidence != both) {
                self.emit(Effect::Prove { deposit: id, evidence: both });
            }
            self.settle();
        }
    }

    pub fn policy(&mut self, policy: &Policy) {
        if self.state.policy != *policy {
            self.emit(Effect::SetPolicy(policy.clone()));
        }
        self.settle();
        self.expire();
    }

    pub fn halt(&mut self, halt: Halt) {
        let reason = halt.reason.as_str();
        let detail = halt.detail.clone();
        self.emit(Effect::Halt(halt));
        self.announce_network(EventKind::Halted, &format!("{reason}: {detail}"));
    }

    fn transfers(&mut self, block: &Block, linked: bool) {
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
                    evidence: block.evidence.clone(),
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
        let kind = match self.state.facts.asset(&transfer.asset) {
            None => "unlisted_asset",
            Some(asset) if transfer.amount < asset.min_amount || transfer.amount.is_zero() => "dust",
            Some(_) => return false,
        };
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
            evidence: block.evidence.clone(),
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
        let counts = self.state.deposits.get(&deposit).is_some_and(Deposit::counts);
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
            self.announce(intent, EventKind::Late, Some("seen"));
        }
    }

    fn takebacks(&mut self, block: &Block, spared: &BTreeSet<DepositId>) {
        for takeback in &block.takebacks {
            let watches = self.state.watches.get(&takeback.from).map_or(&[][..], Vec::as_slice);
            let shared = watches.len() != 1 || watches.iter().any(|w| w.reference.is_some());
            if watches.is_empty() {
                continue;
            }
            if shared {
                // Whose money was taken from a shared address is for a person to say.
                self.alarm(
                    "takeback_at_shared_address",
                    format!("{} of {} from {}", takeback.amount, takeback.asset, takeback.from),
                );
                continue;
            }
            let mut left = takeback.amount;
            let mut newest: Vec<Deposit> = self
                .state
                .deposits
                .values()
                .filter(|d| d.is_live() && d.transfer.to == takeback.from && d.transfer.asset == takeback.asset)
                .filter(|d| !spared.contains(&d.id) && !self.limbo.contains(&d.id))
                .cloned()
                .collect();
            newest.sort_by_key(|d| std::cmp::Reverse(d.place()));
            for deposit in newest {
                if left.is_zero() {
                    break;
                }
                left = left.beyond(deposit.transfer.amount);
                self.undo(deposit.id, Some("taken_back"));
            }
        }
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

    /// Settles what now satisfies its terms, in the order of the chain, one telling per intent.
    pub fn settle(&mut self) {
        let Some(view) = self.state.view() else { return };
        let mut ready: Vec<&Deposit> = self
            .state
            .deposits
            .values()
            .filter(|d| d.status == DepositStatus::Seen && !self.limbo.contains(&d.id))
            .filter(|d| is_settled(&self.state.require_for(d), &self.state.known(d), &view))
            .collect();
        ready.sort_by_key(|d| d.place());
        let ready: Vec<(DepositId, Owner)> = ready.iter().map(|d| (d.id, d.owner)).collect();
        let mut done: BTreeSet<IntentId> = BTreeSet::new();
        for (deposit, owner) in &ready {
            match owner {
                Owner::Intent(intent) if done.insert(*intent) => {
                    let of_intent: Vec<DepositId> =
                        ready.iter().filter(|(_, o)| o == owner).map(|(id, _)| *id).collect();
                    self.settle_for(*intent, &of_intent);
                }
                Owner::Intent(_) => {}
                Owner::Nobody(why) => {
                    self.settle_one(*deposit);
                    self.announce_unmatched(*deposit, EventKind::Unmatched, why.as_str());
                }
            }
        }
    }

    pub fn settle_one(&mut self, deposit: DepositId) {
        let Some((known, tip)) = self.state.deposits.get(&deposit).zip(self.state.standing.tip) else { return };
        // The operators it settled on are part of the record.
        let evidence = Evidence { operators: self.state.vouching(known), ..known.evidence.clone() };
        let settlement = Settlement { at: self.state.now, tip: tip.at, require: self.state.require_for(known) };
        self.emit(Effect::Settle { deposit, settlement, evidence });
    }

    fn settle_for(&mut self, intent: IntentId, deposits: &[DepositId]) {
        let Some(before) = self.state.intents.get(&intent).map(|i| i.progress.clone()) else { return };
        for deposit in deposits {
            self.settle_one(*deposit);
        }
        self.refresh(intent);
        let late_ones = deposits.iter().any(|id| self.state.deposits.get(id).is_some_and(|d| !d.counts()));
        if late_ones {
            self.announce(intent, EventKind::Late, Some("settled"));
        }
        self.announce_sums(intent, &before);
    }

    /// Tells what more settled money means: enough, too much, or not enough with nothing more to come.
    pub fn announce_sums(&mut self, intent: IntentId, before: &crate::intent::Progress) {
        let Some(now) = self.state.intents.get(&intent).cloned() else { return };
        let (settled, sums) = (now.progress.sums.settled, now.progress.sums);
        if settled == before.sums.settled {
            return;
        }
        let confirmed = now.progress.status == Status::Confirmed;
        if confirmed && before.status != Status::Confirmed {
            self.announce(intent, EventKind::Confirmed, None);
        }
        let most = now.terms.due.checked_add(now.terms.tolerance);
        if confirmed && settled > before.sums.settled && most.is_some_and(|most| settled > most) {
            self.announce(intent, EventKind::Overpaid, None);
        }
        let pending = sums.received != sums.settled;
        if !confirmed && !pending && settled < now.terms.enough() && !settled.is_zero() {
            self.announce(intent, EventKind::Partial, None);
        }
    }

    /// Ends what a settled block has left behind.
    pub fn expire(&mut self) {
        let Some(settled_time) = self.state.settled_time() else { return };
        let mut over: Vec<&Intent> = self
            .state
            .intents
            .values()
            .filter(|i| i.expires_by(settled_time) && self.watched.is_none_or(|watched| i.watch <= watched))
            .collect();
        over.sort_by_key(|i| (i.terms.expires_at, i.id));
        let over: Vec<IntentId> = over.iter().map(|i| i.id).collect();
        for id in over {
            let Some(mut progress) = self.state.intents.get(&id).map(|i| i.progress.clone()) else { continue };
            progress.ended = Some(End::Expired);
            progress.was_reversed = false;
            progress.status = Status::Expired;
            self.emit(Effect::SetIntent { intent: id, progress: Box::new(progress) });
            self.announce(id, EventKind::Expired, None);
            self.refresh_ended(id);
        }
    }

    /// Brings the sums and the status of an intent up to its deposits.
    pub fn refresh(&mut self, intent: IntentId) {
        let Some(known) = self.state.intents.get(&intent) else { return };
        let sums = self.state.sums(intent);
        let mut progress = known.progress.clone();
        let next = known.status_of(&sums);
        progress.sums = sums;
        if next == Status::Reversed {
            progress.was_reversed = true;
        }
        // Money that settles at once is detected first: each move is a legal one.
        if progress.status == Status::Awaiting && next == Status::Confirmed {
            progress.status = Status::Detected;
            self.emit(Effect::SetIntent { intent, progress: Box::new(progress.clone()) });
        }
        if next == Status::Confirmed {
            progress.was_reversed = false;
        }
        progress.status = next;
        if self.state.intents.get(&intent).is_some_and(|i| i.progress != progress) {
            self.emit(Effect::SetIntent { intent, progress: Box::new(progress) });
        }
    }

    /// After an end: money that came late before the end makes it late now.
    pub fn refresh_ended(&mut self, intent: IntentId) {
        self.refresh(intent);
        if self.state.intents.get(&intent).is_some_and(|i| i.progress.status == Status::Late) {
            self.announce(intent, EventKind::Late, Some("seen"));
        }
    }

    fn forget(&mut self) {
        let Some(tip) = self.state.standing.tip else { return };
        let bound = tip.at.height.back(REMEMBERED_HEADERS_MAX);
        let below = match self.state.standing.finalized {
            Some(finalized) => finalized.height.back(KEPT_BELOW_FINALIZED).max(bound),
            None => {
                let old = |h: &&Header| tip.time.seconds_since(h.time) > REMEMBERED_WITHOUT_FINALITY_SECONDS;
                let oldest_kept = self.state.headers.down_from(tip.at.height).find(old).map(|h| h.at.height.next());
                oldest_kept.unwrap_or(Height(0)).max(bound)
            }
        };
        // The newest settled block is what intents expire by, and none is settled before it is old enough.
        let below = below.min(self.state.settled_header().map_or(Height(0), |h| h.at.height)).max(bound);
        let droppable = self.state.headers.down_from(below.back(1)).take(64).count();
        if below.0 > 0 && droppable as u64 >= FORGET_BATCH {
            self.emit(Effect::Forget { below });
        }
    }

    /// Tells of an intent: the next number, and a snapshot of everything.
    pub fn announce(&mut self, intent: IntentId, kind: EventKind, reason: Option<&str>) {
        let Some(of) = self.state.intents.get(&intent) else { return };
        let sequence = of.progress.sequence.saturating_add(1);
        let id = EventId(digest(&[b"event", &intent.0.to_be_bytes(), &sequence.to_be_bytes()]));
        let tenant = Some(of.terms.tenant.clone());
        let policy = self.state.require_of(of);
        let mut listed: Vec<&Deposit> = self.state.deposits_of(intent).collect();
        listed.sort_by_key(|d| d.place());
        let total = listed.len();
        let newest = listed.get(total.saturating_sub(DEPOSITS_LISTED_MAX)..).unwrap_or_default();
        let body = self.body(id, kind, Some(of), newest, total, Some(policy), reason, Some(sequence));
        let created_at = self.state.now;
        let event = Event { id, kind, tenant, intent: Some(intent), sequence: Some(sequence), created_at, body };
        self.emit(Effect::Announce(event));
    }

    pub fn announce_unmatched(&mut self, deposit: DepositId, kind: EventKind, reason: &str) {
        let Some(of) = self.state.deposits.get(&deposit) else { return };
        let (tenant, policy) = (Some(of.tenant.clone()), Some(self.state.require_for(of)));
        let id = self.free_id();
        let body = self.body(id, kind, None, &[of], 1, policy, Some(reason), None);
        let created_at = self.state.now;
        self.emit(Effect::Announce(Event { id, kind, tenant, intent: None, sequence: None, created_at, body }));
    }

    pub fn announce_network(&mut self, kind: EventKind, reason: &str) {
        let id = self.free_id();
        let body = self.body(id, kind, None, &[], 0, None, Some(reason), None);
        let created_at = self.state.now;
        self.emit(Effect::Announce(Event { id, kind, tenant: None, intent: None, sequence: None, created_at, body }));
    }

    /// The name of an event that belongs to no intent: its place among the effects of this revision.
    fn free_id(&self) -> EventId {
        let (network, revision) = (self.state.facts.id.as_str().as_bytes(), self.state.standing.revision);
        EventId(digest(&[b"event", network, &revision.to_be_bytes(), &self.effects.len().to_be_bytes()]))
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one body, filled in one place")]
    fn body(
        &self,
        id: EventId,
        kind: EventKind,
        intent: Option<&Intent>,
        deposits: &[&Deposit],
        deposits_total: usize,
        policy: Option<crate::confirmation::Require>,
        reason: Option<&str>,
        sequence: Option<u64>,
    ) -> Vec<u8> {
        let (state, view) = (&self.state, self.state.view());
        bytes(&Body {
            created_at: state.now,
            deposits: deposits.iter().map(|d| DepositView::new(d, state.operators(d), view.as_ref())).collect(),
            deposits_total,
            event: kind.as_str(),
            id,
            intent: intent.map(|intent| IntentView::new(intent, &state.facts)),
            network: NetworkView {
                chain: &state.facts.chain,
                id: &state.facts.id,
                tip: state.standing.tip.map(|tip| tip.at.height.to_string()),
            },
            policy,
            provider: "amn.scanner",
            reason,
            sequence,
            version: CONTRACT_VERSION,
        })
    }
}

/// Whether a stretch is what its coverage says: ordered, linked where it must be, and ending in its tip.
pub(super) fn well_formed(segment: &Segment) -> Result<(), String> {
    let mut below = segment.parent;
    for block in &segment.blocks {
        let header = &block.header;
        if header.at.height <= below.height {
            return Err(format!("block {} does not stand above {}", header.at.height, below.height));
        }
        let next = header.at.height == below.height.next();
        if segment.coverage == Coverage::Linked && !next {
            return Err(format!("a gap between {} and {}", below.height, header.at.height));
        }
        if next && header.parent != below.hash {
            return Err(format!("block {} does not stand on {}", header.at.height, below.hash));
        }
        below = header.at;
    }
    let tip = &segment.tip;
    let last = segment.blocks.last().map(|block| &block.header);
    let ends = match segment.coverage {
        _ if last == Some(tip) => true,
        Coverage::Linked => false,
        // A tip right above what is listed is linked to it; one further up stands on the word of its operators.
        Coverage::Listed => {
            tip.at.height > below.height && (tip.at.height > below.height.next() || tip.parent == below.hash)
        }
    };
    if ends { Ok(()) } else { Err(format!("the stretch ends in {} and says {}", below.height, segment.tip.at.height)) }
}
