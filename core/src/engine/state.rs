//! What is known when a decision is taken, and what each effect makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::block::{Address, BlockHash, BlockRef, Evidence, Header, Height, Operator};
use crate::confirmation::{Known, Policy, Require, View};
use crate::contract::{Listener, Sighting};
use crate::deposit::{Deposit, DepositStatus, Owner, Unmatched};
use crate::engine::{Effect, Halt};
use crate::event::EventKind;
use crate::id::{DepositId, IntentId, SightingId};
use crate::intent::{Intent, Sums};
use crate::matching::Watched;
use crate::network::SharedFacts;
use crate::timestamp::Timestamp;

/// Headers we keep below `finalized`, so that a fork that crosses it can be named and not only feared.
pub const KEPT_BELOW_FINALIZED: u64 = 128;

/// Headers we keep above `finalized`: Base needs 6,000, Arbitrum 4,300; beyond the bound we halt.
pub const REMEMBERED_HEADERS_MAX: u64 = 20_000;

/// Without a notion of finality, headers of the last two hours of chain time are remembered.
pub const REMEMBERED_WITHOUT_FINALITY_SECONDS: u64 = 7_200;

/// The headers of our chain that we remember; sparse where a stretch was only listed.
///
/// The base is shared, because thousands of headers do not change from one decision to the next.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    base: Arc<BTreeMap<Height, Header>>,
    /// Of the base, only headers up to here count.
    cut: Option<Height>,
    added: BTreeMap<Height, Header>,
}

impl Headers {
    #[must_use]
    pub fn new(base: Arc<BTreeMap<Height, Header>>) -> Self {
        Self { base, cut: None, added: BTreeMap::new() }
    }

    /// One shared map again, so that the next decision starts from it. Cheap where nobody else holds the base.
    #[must_use]
    pub fn into_base(self) -> Arc<BTreeMap<Height, Header>> {
        let Self { mut base, cut, added } = self;
        if cut.is_some() || !added.is_empty() {
            let whole = Arc::make_mut(&mut base);
            if let Some(cut) = cut {
                whole.split_off(&cut.next());
            }
            whole.extend(added);
        }
        base
    }

    #[must_use]
    pub fn get(&self, height: Height) -> Option<&Header> {
        self.added.get(&height).or_else(|| self.base.get(&height).filter(|_| self.cut.is_none_or(|cut| height <= cut)))
    }

    /// Newest first, from `height` downwards.
    pub fn down_from(&self, height: Height) -> impl Iterator<Item = &Header> {
        let base_top = self.cut.map_or(height, |cut| cut.min(height));
        // Whatever was added stands above the cut, so the two never interleave.
        self.added.range(..=height).rev().chain(self.base.range(..=base_top).rev()).map(|(_, header)| header)
    }

    /// The lowest height from which every header up to the newest is remembered and linked.
    #[must_use]
    pub fn linked_down_to(&self) -> Option<Height> {
        let mut down = self.down_from(Height(u64::MAX));
        let newest = down.next()?;
        let linked =
            |above: &Header, below: &Header| below.at.height.next() == above.at.height && below.at.hash == above.parent;
        let lowest = down
            .scan(newest, |above, below| linked(above, below).then(|| *above = below).map(|()| below))
            .last()
            .unwrap_or(newest);
        Some(lowest.at.height)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.down_from(Height(u64::MAX)).count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.down_from(Height(u64::MAX)).next().is_none()
    }

    fn push(&mut self, header: Header) {
        // Keep the two apart: what is added covers the base from its height on.
        self.added.insert(header.at.height, header);
    }

    fn rewind(&mut self, to: Height) {
        self.cut = Some(self.cut.map_or(to, |cut| cut.min(to)));
        self.added.split_off(&to.next());
    }

    fn forget(&mut self, below: Height) {
        let kept = self.down_from(Height(u64::MAX)).filter(|h| h.at.height >= below).map(|h| (h.at.height, *h));
        *self = Self::new(Arc::new(kept.collect()));
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.down_from(Height(u64::MAX)).eq(other.down_from(Height(u64::MAX)))
    }
}

/// Where a network stands.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Standing {
    /// The fence under which this was read.
    pub revision: u64,
    /// The last covered block; `None` before the first.
    pub tip: Option<Header>,
    pub safe: Option<BlockRef>,
    pub finalized: Option<BlockRef>,
    /// The highest block of our chain that each operator gave.
    pub vouchers: BTreeMap<Operator, BlockRef>,
    pub halted: Option<Halt>,
    /// What a person accepted as the way out of a fork halt, until a branch that holds it is followed.
    pub accept_fork: Option<BlockHash>,
}

/// All that a decision may look at. Intents come with all of their deposits.
#[derive(Clone, PartialEq, Debug)]
pub struct State {
    /// Wall time, for `created_at` and `settled_at` only: nothing is decided by it.
    pub now: Timestamp,
    pub facts: SharedFacts,
    pub policy: Policy,
    pub standing: Standing,
    pub headers: Headers,
    pub intents: BTreeMap<IntentId, Intent>,
    pub deposits: BTreeMap<DepositId, Deposit>,
    pub watches: BTreeMap<Address, Vec<Watched>>,
    /// What contracts said to somebody, and who listens to those that are named.
    pub sightings: BTreeMap<SightingId, Sighting>,
    pub listeners: BTreeMap<Address, Vec<Listener>>,
}

impl State {
    /// A network of which nothing is known yet.
    #[must_use]
    pub fn new(facts: SharedFacts, now: Timestamp) -> Self {
        Self {
            now,
            policy: facts.policy.clone(),
            facts,
            standing: Standing::default(),
            headers: Headers::default(),
            intents: BTreeMap::new(),
            deposits: BTreeMap::new(),
            watches: BTreeMap::new(),
            sightings: BTreeMap::new(),
            listeners: BTreeMap::new(),
        }
    }

    /// Where the chain stands, as far as terms care.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        self.standing.tip.map(|tip| View {
            tip,
            safe: self.standing.safe.map(|b| b.height),
            finalized: self.standing.finalized.map(|b| b.height),
        })
    }

    /// How many distinct operators are known to have given the hash of the deposit's block.
    #[must_use]
    pub fn operators(&self, deposit: &Deposit) -> u32 {
        u32::try_from(self.vouching(deposit).len()).unwrap_or(u32::MAX)
    }

    /// The operators known to have given the hash of the deposit's block: those that gave it by name, and
    /// those that gave a later block whose ancestors we linked down to it. What has settled keeps those it
    /// settled on, and what is off the chain those it had.
    #[must_use]
    pub fn vouching(&self, deposit: &Deposit) -> BTreeSet<Operator> {
        let pending = deposit.linked && deposit.status == DepositStatus::Seen;
        self.vouching_at(&deposit.evidence, deposit.block, pending)
    }

    /// The same of what a contract said.
    #[must_use]
    pub fn vouching_for(&self, sighting: &Sighting) -> BTreeSet<Operator> {
        let pending = sighting.linked && sighting.status == DepositStatus::Seen;
        self.vouching_at(&sighting.evidence, sighting.block, pending)
    }

    fn vouching_at(&self, evidence: &Evidence, block: BlockRef, pending: bool) -> BTreeSet<Operator> {
        let mut all = evidence.operators.clone();
        if pending {
            let later = self.standing.vouchers.iter().filter(|(_, at)| at.height >= block.height);
            all.extend(later.map(|(operator, _)| operator.clone()));
        }
        all
    }

    /// What is known of a deposit, as far as terms care.
    #[must_use]
    pub fn known(&self, deposit: &Deposit) -> Known {
        Known {
            height: deposit.block.height,
            time: deposit.block_time,
            inclusion: deposit.evidence.inclusion,
            operators: self.operators(deposit),
            attestations: deposit.evidence.attestations,
        }
    }

    /// What is known of what a contract said, as far as terms care.
    #[must_use]
    pub fn known_of(&self, sighting: &Sighting) -> Known {
        Known {
            height: sighting.block.height,
            time: sighting.block_time,
            inclusion: sighting.evidence.inclusion,
            operators: u32::try_from(self.vouching_for(sighting).len()).unwrap_or(u32::MAX),
            attestations: sighting.evidence.attestations,
        }
    }

    /// What an intent's money must satisfy: the tier by the larger of due and arrived, AND its own terms.
    #[must_use]
    pub fn require_of(&self, intent: &Intent) -> Require {
        let amount = intent.terms.due.max(intent.progress.sums.arrived());
        self.policy.for_amount(&intent.terms.asset, amount).and(intent.terms.require)
    }

    /// What a deposit must satisfy: its intent's terms, or those of its own amount.
    #[must_use]
    pub fn require_for(&self, deposit: &Deposit) -> Require {
        if let Some(intent) = deposit.intent().and_then(|id| self.intents.get(&id)) {
            return self.require_of(intent);
        }
        let require = self.policy.for_amount(&deposit.transfer.asset, deposit.transfer.amount);
        // No node can prove what moved inside a call; nobody is credited by it, a person is told.
        let untold = deposit.owner == Owner::Nobody(Unmatched::InternalTransfer);
        if untold { Require { inclusion: None, operators: None, ..require } } else { require }
    }

    /// The highest height whose money may settle: the count and the tag of the network's own policy, which
    /// every tier and every intent only adds to. `None`: nothing may.
    #[must_use]
    pub fn pending_up_to(&self) -> Option<Height> {
        let (view, require) = (self.view()?, self.policy.require);
        let mut limit = view.tip.at.height;
        if let Some(asked) = require.confirmations.filter(|asked| *asked > 1) {
            limit = Height(limit.next().0.checked_sub(asked)?);
        }
        match require.tag {
            Some(tag) => Some(limit.min(view.tagged(tag)?)),
            None => Some(limit),
        }
    }

    /// The time of the highest block that is itself settled under the network's policy. An intent may
    /// expire only when this lies past its end: until then an in-time block may still come.
    #[must_use]
    pub fn settled_time(&self) -> Option<Timestamp> {
        self.settled_header().map(|header| header.time)
    }

    /// The highest block that is itself settled under the network's policy.
    pub(super) fn settled_header(&self) -> Option<&Header> {
        let (view, seconds) = (self.view()?, self.policy.require.seconds.unwrap_or(0));
        self.headers.down_from(self.settled_limit()?).find(|h| view.tip.time.seconds_since(h.time) >= seconds)
    }

    /// The highest height at which a block may be settled under the network's policy, its age aside.
    #[must_use]
    pub fn settled_limit(&self) -> Option<Height> {
        let limit = self.pending_up_to()?;
        let asked = self.policy.require.operators.and_then(|asked| usize::try_from(asked).ok());
        let Some(asked) = asked.filter(|n| *n > 0) else { return Some(limit) };
        let mut heights: Vec<Height> = self.standing.vouchers.values().map(|at| at.height).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(asked.checked_sub(1)?).map(|vouched| limit.min(*vouched))
    }

    /// The deposits of an intent.
    pub fn deposits_of(&self, intent: IntentId) -> impl Iterator<Item = &Deposit> + Clone {
        self.deposits.values().filter(move |d| d.owner == Owner::Intent(intent))
    }

    /// The sums that the deposits of an intent make.
    #[must_use]
    pub fn sums(&self, intent: IntentId) -> Sums {
        Sums::of(&self.deposits_of(intent))
    }

    /// Makes of an effect what the database makes of it. Effects that only speak change nothing here.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Start { at } => {
                self.standing.tip = Some(*at);
                self.headers.push(*at);
            }
            Effect::Advance { header, operators } => {
                self.standing.tip = Some(*header);
                self.headers.push(*header);
                for operator in operators {
                    self.standing.vouchers.insert(operator.clone(), header.at);
                }
            }
            Effect::Cover { parent, tip, watched, .. } => {
                for intent in self.intents.values_mut().filter(|intent| intent.watch > *watched) {
                    let (from, to) = (parent.height.next(), tip.at.height);
                    intent.backfill = Some(intent.backfill.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
                }
            }
            Effect::Backfilled { intents, through, .. } => {
                for id in intents {
                    if let Some(intent) = self.intents.get_mut(id) {
                        let rest =
                            |(from, to): (Height, Height)| (to > *through).then(|| (from.max(through.next()), to));
                        intent.backfill = intent.backfill.and_then(rest);
                    }
                }
            }
            Effect::Rewind { to, accepted, .. } => {
                self.headers.rewind(to.at.height);
                self.standing.tip = Some(*to);
                for at in self.standing.vouchers.values_mut().filter(|at| at.height > to.at.height) {
                    *at = to.at;
                }
                self.standing.safe = self.standing.safe.filter(|safe| safe.height <= to.at.height);
                self.standing.finalized = self.standing.finalized.filter(|f| f.height <= to.at.height);
                // A word for one branch stands until it is followed, whatever shallow fork comes between.
                self.standing.accept_fork = self.standing.accept_fork.filter(|_| !accepted);
            }
            Effect::Forget { below } => self.headers.forget(*below),
            Effect::Mark { safe, finalized } => {
                self.standing.safe = *safe;
                self.standing.finalized = *finalized;
            }
            Effect::Vouch { operator, at } => {
                self.standing.vouchers.insert(operator.clone(), *at);
            }
            Effect::Record(deposit) | Effect::Place(deposit) => {
                self.deposits.insert(deposit.id, (**deposit).clone());
            }
            Effect::Prove { deposit, evidence } => {
                if let Some(deposit) = self.deposits.get_mut(deposit) {
                    deposit.evidence = evidence.clone();
                }
            }
            Effect::Settle { deposit, settlement, evidence } => {
                if let Some(deposit) = self.deposits.get_mut(deposit) {
                    deposit.status = DepositStatus::Settled;
                    deposit.settlement = Some(settlement.clone());
                    deposit.evidence = evidence.clone();
                }
            }
            Effect::Undo { deposit, status } => {
                if let Some(deposit) = self.deposits.get_mut(deposit) {
                    deposit.status = *status;
                }
            }
            Effect::Own { deposit, owner, assigned, late, accepted, tenant } => {
                if let Some(deposit) = self.deposits.get_mut(deposit) {
                    deposit.owner = *owner;
                    deposit.assigned = *assigned;
                    deposit.late = *late;
                    deposit.accepted = *accepted;
                    deposit.tenant.clone_from(tenant);
                }
            }
            Effect::SetIntent { intent, progress } => {
                if let Some(intent) = self.intents.get_mut(intent) {
                    intent.progress = (**progress).clone();
                }
            }
            Effect::Sight(sighting) => {
                self.sightings.insert(sighting.id, (**sighting).clone());
            }
            Effect::SetPolicy(policy) => self.policy = policy.clone(),
            Effect::Halt(halt) => self.standing.halted = Some(halt.clone()),
            Effect::Resume { accept_fork } => {
                self.standing.halted = None;
                self.standing.accept_fork = *accept_fork;
            }
            Effect::Announce(event) => {
                if let Some((intent, sequence)) = event.intent.zip(event.sequence)
                    && let Some(intent) = self.intents.get_mut(&intent)
                {
                    intent.progress.sequence = sequence;
                }
                debug_assert!(
                    event.kind != EventKind::Detected || event.intent.is_some(),
                    "detected is told of an intent"
                );
            }
            Effect::Observe { .. } | Effect::Alarm(_) => {}
        }
    }
}
