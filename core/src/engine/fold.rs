//! Folds what happened into effects, block by block. Each effect is applied to a working copy as soon
//! as it is listed, so that the next decision sees it.

use std::collections::BTreeSet;

use crate::block::{Block, BlockRef, Evidence, Header, Height, TransferId};
use crate::confirmation::{Policy, is_settled};
use crate::contract::ContractWatch;
use crate::deposit::{Deposit, DepositStatus, Owner, Settlement};
use crate::engine::state::{KEPT_BELOW_FINALIZED, REMEMBERED_HEADERS_MAX, REMEMBERED_WITHOUT_FINALITY_SECONDS, State};
use crate::engine::{Alarm, Effect, Halt};
use crate::event::EventKind;
use crate::id::{DepositId, IntentId, SightingId};
use crate::intent::{End, Intent, Status};
use crate::source::{Coverage, Segment, WatchVersion};

/// Headers are forgotten in batches, so that most decisions delete nothing.
const FORGET_BATCH: u64 = 64;

/// A decision being taken.
pub(super) struct Fold {
    pub state: State,
    pub effects: Vec<Effect>,
    /// Deposits of a dead branch that the new branch holds further up: neither undone nor judged yet.
    pub limbo: BTreeSet<DepositId>,
    /// The same of what contracts said.
    pub unheard: BTreeSet<SightingId>,
    /// The watch set that the stretch at hand was read with: newer intents may have money in it that
    /// nobody looked for, so none of them expires by it.
    watched: Option<WatchVersion>,
    /// Blocks that we stand on already are being read again.
    pub rescan: bool,
}

impl Fold {
    pub fn new(state: &State) -> Self {
        Self {
            state: state.clone(),
            effects: Vec::new(),
            limbo: BTreeSet::new(),
            unheard: BTreeSet::new(),
            watched: None,
            rescan: false,
        }
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
            read_by: segment.read_by.clone(),
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
        self.unlink_sightings();
    }

    fn block(&mut self, block: &Block, linked: bool) {
        for observation in &block.observations {
            self.emit(Effect::Observe { at: block.header.at, observation: observation.clone() });
        }
        self.transfers(block, linked);
        self.takebacks(block, &BTreeSet::new());
        self.contract_events(block, linked);
        self.settle();
        self.expire();
    }

    /// Covered heights, read again.
    pub fn found(&mut self, blocks: &[Block], intents: &[IntentId], contracts: &[ContractWatch], through: BlockRef) {
        let Some(tip) = self.state.standing.tip else { return };
        let foreign = |at: &BlockRef| self.state.headers.get(at.height).is_some_and(|ours| ours.at != *at);
        let mut read = blocks.iter().map(|block| block.header.at).chain([through]);
        if let Some(at) = read.find(|at| at.height > tip.at.height || foreign(at)) {
            // The chain moved while it was read: nothing of this may count, and it is read again. The end
            // is checked too, because a branch where nothing was found proves nothing about ours.
            return self.alarm("rescan_on_other_branch", format!("{} {}", at.height, at.hash));
        }
        let floor = self.state.headers.linked_down_to().filter(|_| !self.state.facts.vouched_singly);
        let before: BTreeSet<DepositId> = self.state.deposits.keys().copied().collect();
        self.rescan = true;
        for block in blocks {
            let linked = floor.is_some_and(|floor| block.header.at.height >= floor);
            self.transfers(block, linked);
            // What was known before has met these take-backs before, unless its intent is owed this very height.
            let owed = |deposit: &Deposit| match deposit.owner {
                Owner::Intent(id) if intents.contains(&id) => {
                    let backfill = self.state.intents.get(&id).and_then(|intent| intent.backfill);
                    backfill.is_some_and(|(from, to)| (from..=to).contains(&block.header.at.height))
                }
                Owner::Intent(_) | Owner::Nobody(_) => false,
            };
            let met = |id: &&DepositId| !self.state.deposits.get(*id).is_some_and(owed);
            let spared: BTreeSet<DepositId> = before.iter().filter(met).copied().collect();
            self.takebacks(block, &spared);
            self.contract_events(block, linked);
        }
        self.rescan = false;
        // Read again for nobody in particular and found as it was known: nothing has happened.
        if !intents.is_empty() || !contracts.is_empty() {
            let (intents, contracts) = (intents.to_vec(), contracts.to_vec());
            self.emit(Effect::Backfilled { intents, contracts, through: through.height });
        }
        self.settle();
        self.expire();
    }

    pub fn evidence(&mut self, of: &TransferId, block: BlockRef, is: &Evidence) {
        let known = self.state.deposits.values().find(|d| d.transfer.id == *of && d.block == block && d.is_live());
        let known = known.map(|d| (d.id, d.evidence.and(is)));
        if let Some((id, both)) = &known
            && self.state.deposits.get(id).is_some_and(|d| d.evidence != *both)
        {
            self.emit(Effect::Prove { deposit: *id, evidence: both.clone() });
        }
        let said = self.prove_sightings(of.tx, block, is);
        if known.is_some() || said {
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
        self.settle_sightings(&view);
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
        let below = if let Some(finalized) = self.state.standing.finalized {
            finalized.height.back(KEPT_BELOW_FINALIZED).max(bound)
        } else {
            let old = |h: &&Header| tip.time.seconds_since(h.time) > REMEMBERED_WITHOUT_FINALITY_SECONDS;
            let oldest_kept = self.state.headers.down_from(tip.at.height).find(old).map(|h| h.at.height.next());
            oldest_kept.unwrap_or(Height(0)).max(bound)
        };
        // The newest settled block is what intents expire by, and none is settled before it is old enough.
        let below = below.min(self.state.settled_header().map_or(Height(0), |h| h.at.height)).max(bound);
        let droppable = self.state.headers.down_from(below.back(1)).take(64).count();
        if below.0 > 0 && droppable as u64 >= FORGET_BATCH {
            self.emit(Effect::Forget { below });
        }
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
