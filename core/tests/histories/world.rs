//! One network of a history: the truth, what the scanner knows of it, and everybody who acts.

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::{
    Address, AssetId, Block, BlockHash, BlockRef, Evidence, Hash, Header, Height, Inclusion, Operator, Takeback,
    Transfer, TransferId,
};
use amn_core::contract::ContractEvent;
use amn_core::deposit::DepositStatus;
use amn_core::engine::{Command, Effect, Halt, HaltReason, Input, Refusal, State, step};
use amn_core::id::IntentId;
use amn_core::matching::Watched;
use amn_core::money::Amount;
use amn_core::source::{Coverage, Segment, Voucher, WatchVersion};
use amn_core::timestamp::Timestamp;
use proptest::test_runner::TestCaseError;

use super::count;
use super::facts::{self, ADDRESSES, Ask, PLAIN, operators};
use super::plan::{Action, Fate, Pay, Plan};
use super::truth::Truth;

/// What one input made of one state.
pub struct Step {
    pub before: State,
    pub input: Input,
    pub effects: Vec<Effect>,
}

/// Where in its transaction a contract said something.
pub type Spot = (Hash, u32, u32);

pub fn spot(event: &ContractEvent) -> Spot {
    (event.tx, event.operation, event.index)
}

pub type Judge<'a> = &'a mut dyn FnMut(&World, &Step) -> Result<(), TestCaseError>;

pub struct World {
    pub name: &'static str,
    pub state: State,
    pub truth: Truth,
    pub watch: WatchVersion,
    /// The first height that each address is watched from.
    pub since: BTreeMap<Address, Height>,
    /// Which blocks each operator gave.
    pub given: BTreeMap<Operator, BTreeSet<BlockHash>>,
    /// The height the network itself called final.
    pub truth_final: Height,
    /// Addresses that an issuer ever took money back from.
    pub taken: BTreeSet<Address>,
    /// Payments that were left out of a stretch and that nobody has read since.
    pub left_out: BTreeSet<TransferId>,
    /// The same of what contracts said.
    pub unsaid: BTreeSet<Spot>,
    leave_out: bool,
    /// Commands that were refused since the last step.
    pub refused: Vec<(Input, Refusal)>,
    /// Payments that left their block and wait to be mined again.
    waiting: Vec<Transfer>,
    /// Payments that left their block for good: their names may come back with other content.
    undone: Vec<Transfer>,
    last: Option<Input>,
    numbers: u128,
}

const AMOUNTS: [u128; 10] = [0, 1, 10, 40, 60, 95, 100, 104, 150, 1_000];

impl World {
    pub fn new(name: &'static str, instant_finality: bool, policy: usize, now: Timestamp) -> Self {
        let mut state = State::new(facts::network(name, instant_finality), now);
        state.policy = facts::policy(policy);
        let truth = Truth::new();
        let mut world = Self {
            name,
            state,
            truth,
            watch: WatchVersion(1),
            since: BTreeMap::new(),
            given: BTreeMap::new(),
            truth_final: Height(super::truth::FIRST),
            taken: BTreeSet::new(),
            left_out: BTreeSet::new(),
            unsaid: BTreeSet::new(),
            leave_out: false,
            refused: Vec::new(),
            waiting: Vec::new(),
            undone: Vec::new(),
            last: None,
            numbers: 0,
        };
        for ask in facts::asks() {
            world.ask(&ask);
        }
        world.state.listeners = facts::listeners(super::truth::FIRST + 12);
        world
    }

    /// An intent comes to be; the readers know of its address from the next watch set on.
    pub fn ask(&mut self, ask: &Ask) -> IntentId {
        self.numbers += 1;
        let intent = facts::intent(self.name, self.numbers, ask, self.watch);
        let from = self.state.standing.tip.map_or(Height(0), |tip| tip.at.height.next());
        self.since.entry(intent.terms.address.clone()).or_insert(from);
        let watched = Watched {
            reference: intent.terms.reference.clone(),
            tenant: intent.terms.tenant.clone(),
            intent: intent.id,
        };
        self.state.watches.entry(intent.terms.address.clone()).or_default().push(watched);
        let id = intent.id;
        self.state.intents.insert(id, intent);
        id
    }

    /// Plays a whole plan; `judge` sees every step.
    pub fn play(&mut self, plan: &Plan, judge: Judge<'_>) -> Result<(), TestCaseError> {
        self.tell(Input::Start(self.truth.head().header), judge)?;
        plan.actions.iter().try_for_each(|action| self.act(action, judge))
    }

    /// One decision, applied.
    pub fn tell(&mut self, input: Input, judge: Judge<'_>) -> Result<(), TestCaseError> {
        let effects = match step(&self.state, &input) {
            Ok(effects) => effects,
            Err(why) => {
                count("refused command");
                self.refused.push((input, why));
                return Ok(());
            }
        };
        let before = self.state.clone();
        for effect in &effects {
            self.state.apply(effect);
            tally(effect);
        }
        self.state.standing.revision += 1;
        self.last = Some(input.clone());
        let verdict = judge(self, &Step { before, input, effects });
        self.refused.clear();
        verdict
    }

    fn act(&mut self, action: &Action, judge: Judge<'_>) -> Result<(), TestCaseError> {
        match action {
            Action::Grow { blocks, after, pays } => {
                self.grow(*blocks, *after, pays);
                Ok(())
            }
            Action::Takeback { to, amount } => {
                let id = self.truth.payment("issuer", facts::USDC, 1, None).id;
                let (from, amount) = (Address::new(ADDRESSES[*to]), Amount::new(AMOUNTS[*amount]));
                self.taken.insert(from.clone());
                let asset = AssetId::new(facts::USDC);
                self.truth.grow(12, Vec::new(), vec![Takeback { id, asset, from, amount, later: Vec::new() }]);
                count("takeback");
                Ok(())
            }
            Action::Fork { depth, length, after, fates, reversed, deep } => {
                self.fork(*depth, *length, *after, fates, *reversed, *deep);
                Ok(())
            }
            Action::Return { length } => {
                let keep = self.truth.dead.as_ref().map_or(0, |(keep, _)| *keep);
                if keep as u64 + super::truth::FIRST > self.truth_final.0 && self.truth.return_to_dead() {
                    self.drop_repeats();
                    (0..*length).for_each(|_| self.truth.grow(7, Vec::new(), Vec::new()));
                    count("return to a dead branch");
                }
                Ok(())
            }
            Action::Sync { .. } => self.sync(action, judge),
            Action::Finality { .. } => self.finality(action, judge),
            Action::Prove { which, proven, operators: mask } => {
                let live: Vec<_> = self.state.deposits.values().filter(|d| d.is_live()).collect();
                let Some(deposit) = pick(&live, *which) else { return skip("prove") };
                let (of, block) = (deposit.transfer.id, deposit.block);
                let is = self.evidence(block.hash, *mask, *proven);
                self.tell(Input::Evidence { of, block, is }, judge)
            }
            Action::Policy(which) => self.tell(Input::Policy(facts::policy(*which)), judge),
            Action::Cancel(which) => {
                let Some(intent) = self.pick_intent(*which) else { return skip("cancel") };
                self.tell(Input::Command(Command::Cancel { intent }), judge)
            }
            Action::Accept(which) => {
                let Some(intent) = self.pick_intent(*which) else { return skip("accept") };
                self.tell(Input::Command(Command::Accept { intent }), judge)
            }
            Action::Assign { deposit, intent } => {
                let free: Vec<_> =
                    self.state.deposits.values().filter(|d| d.intent().is_none()).map(|d| d.id).collect();
                let Some((deposit, intent)) = pick(&free, *deposit).copied().zip(self.pick_intent(*intent)) else {
                    return skip("assign");
                };
                self.tell(Input::Command(Command::Assign { deposit, intent }), judge)
            }
            Action::Unassign(which) => {
                let ours: Vec<_> = self.state.deposits.values().filter(|d| d.assigned).map(|d| d.id).collect();
                let Some(deposit) = pick(&ours, *which).copied() else { return skip("unassign") };
                self.tell(Input::Command(Command::Unassign { deposit }), judge)
            }
            Action::Ask { which, due, expires } => {
                let address = ["N6", "N7"][which % 2];
                if self.since.contains_key(&Address::new(address)) {
                    return skip("ask");
                }
                self.watch.0 += 1;
                self.ask(&Ask { address, due: AMOUNTS[*due].max(1), expires: *expires, ..PLAIN });
                count("intent in the middle");
                Ok(())
            }
            Action::Backfill { part } => self.backfill(*part, judge),
            Action::LeaveOut => {
                self.leave_out = true;
                Ok(())
            }
            Action::Rescan { back, blocks } => self.rescan(*back, *blocks, judge),
            Action::Resume { accept } => {
                let accept_fork = accept.then(|| self.truth.head().header.at.hash);
                self.tell(Input::Command(Command::Resume { accept_fork }), judge)?;
                let read =
                    Action::Sync { blocks: 40, group: 40, operators: 3, proven: true, listed: false, stale: false };
                if *accept { self.sync(&read, judge) } else { Ok(()) }
            }
            Action::Repeat => match self.last.clone() {
                Some(input) => self.tell(input, judge),
                None => skip("repeat"),
            },
            Action::Halt => {
                self.tell(Input::Halt(Halt { reason: HaltReason::Unsupported, detail: "a person looks".into() }), judge)
            }
        }
    }

    pub fn grow(&mut self, blocks: usize, after: i64, pays: &[Pay]) {
        let mut transfers = std::mem::take(&mut self.waiting);
        transfers.extend(pays.iter().map(|pay| self.pay(pay)));
        let share = transfers.len().div_ceil(blocks.max(1)).max(1);
        let mut shares = transfers.chunks(share).map(<[Transfer]>::to_vec).collect::<Vec<_>>().into_iter();
        for _ in 0..blocks {
            self.truth.grow(after, shares.next().unwrap_or_default(), Vec::new());
        }
    }

    fn pay(&mut self, pay: &Pay) -> Transfer {
        let asset = [facts::USDC, facts::OTHER, facts::FAKE][pay.asset];
        // The one who waits for the other coin is mostly paid in it.
        let asset = if ADDRESSES[pay.to] == "A5" && pay.asset == 0 { facts::OTHER } else { asset };
        let reference = [None, Some("a"), Some("b"), Some("c")][pay.reference];
        let mut new = self.truth.payment(ADDRESSES[pay.to], asset, AMOUNTS[pay.amount], reference);
        if pay.again
            && let Some(old) = self.undone.pop()
        {
            count("a name with other content");
            new.id = old.id;
        }
        new
    }

    fn fork(&mut self, depth: usize, length: usize, after: i64, fates: &[Fate], reversed: bool, deep: bool) {
        let above_final = self.truth.head().header.at.height.above(self.truth_final);
        let above_final = usize::try_from(above_final).unwrap_or(0);
        let depth = if deep { depth.max(above_final + 1) } else { depth.min(above_final) };
        if depth == 0 {
            return count("skipped: fork");
        }
        let dead = self.truth.fork(depth);
        let fork = self.truth.head().header.at.height;
        if fork < self.truth_final {
            self.truth_final = fork;
            count("fork below finalized");
        }
        count(if dead.len() > 5 { "deep fork" } else { "fork" });
        let mut new: Vec<Vec<Transfer>> = vec![Vec::new(); length];
        let mut fates = fates.iter().cycle();
        for (place, block) in dead.iter().enumerate() {
            for transfer in &block.transfers {
                let fate = *fates.next().unwrap_or(&Fate::Dropped);
                let to = match fate {
                    Fate::Moved(by) if by < 3 => place.saturating_sub(by),
                    Fate::Moved(by) => place + by,
                    _ => place,
                };
                let mut transfer = transfer.clone();
                if fate == Fate::Changed {
                    transfer.amount = Amount::new(transfer.amount.units() + 7);
                }
                match new.get_mut(to) {
                    _ if fate == Fate::Dropped => self.undone.push(transfer),
                    Some(block) => block.push(transfer),
                    None => self.waiting.push(transfer),
                }
            }
        }
        for (place, mut transfers) in new.into_iter().enumerate() {
            if reversed {
                transfers.reverse();
            }
            let takebacks = dead.get(place).map(|b| b.takebacks.clone()).unwrap_or_default();
            self.truth.grow(after, transfers, takebacks);
        }
    }

    /// What is on the branch does not wait and was not undone.
    fn drop_repeats(&mut self) {
        let there: BTreeSet<_> = self.truth.branch.iter().flat_map(|b| &b.transfers).map(|t| t.id).collect();
        self.waiting.retain(|t| !there.contains(&t.id));
        self.undone.retain(|t| !there.contains(&t.id));
    }

    pub fn evidence(&mut self, block: BlockHash, mask: u8, proven: bool) -> Evidence {
        let operators = operators(mask);
        for operator in &operators {
            self.given.entry(operator.clone()).or_default().insert(block);
        }
        let inclusion = if proven { Inclusion::Proven } else { Inclusion::Reported };
        Evidence { inclusion, operators, attestations: None }
    }

    /// A stretch of the canonical chain, as one operator reads it and others vouch for its end.
    pub fn segment(&mut self, from: Height, to: Height, mask: u8, proven: bool, listed: bool, stale: bool) -> Segment {
        let watched = if stale { WatchVersion((self.watch.0 - 1).max(1)) } else { self.watch };
        let tip = self.truth.at(to).expect("a stretch of the chain").header;
        let parent = self.truth.at(Height(from.0 - 1)).expect("a stretch of the chain").header.at;
        let by_one = mask & mask.wrapping_neg();
        let known: BTreeSet<&Address> =
            self.state.intents.values().filter(|i| i.watch <= watched).map(|i| &i.terms.address).collect();
        let mut blocks: Vec<Block> = (from.0..=to.0).filter_map(|h| self.truth.at(Height(h)).cloned()).collect();
        for block in &mut blocks {
            block.transfers.retain(|t| known.contains(&t.to));
        }
        if listed {
            blocks.retain(|b| !b.transfers.is_empty() || !b.takebacks.is_empty() || !b.contract_events.is_empty());
        }
        for block in &mut blocks {
            block.evidence = self.evidence(block.header.at.hash, by_one, proven);
        }
        let operators = self.evidence(tip.at.hash, mask, proven).operators;
        let coverage = if listed { Coverage::Listed } else { Coverage::Linked };
        let read_by = facts::operators(by_one).pop_first();
        Segment { parent, blocks, tip, coverage, watched, operators, read_by, checkpoint: Vec::new() }
    }

    fn sync(&mut self, action: &Action, judge: Judge<'_>) -> Result<(), TestCaseError> {
        let Action::Sync { blocks, group, operators: mask, proven, listed, stale } = *action else { return Ok(()) };
        let Some(tip) = self.state.standing.tip else { return skip("sync") };
        let head = self.truth.head().header.at;
        let ours = |h: &&Header| self.truth.at(h.at.height).is_some_and(|b| b.header.at == h.at);
        let Some(fork) = self.state.headers.down_from(tip.at.height).find(ours).map(|h| h.at) else {
            count("fork deeper than we remember");
            return self.tell(Input::Halt(Halt { reason: HaltReason::ForkTooDeep, detail: String::new() }), judge);
        };
        if fork == head {
            return skip("sync");
        }
        if fork != tip.at {
            count("replace");
            let by = self.segment(fork.height.next(), head.height, mask, proven, false, stale);
            return self.tell(Input::Replace { fork, by }, judge);
        }
        let listed = listed && self.truth_final > tip.at.height;
        let limit = if listed { self.truth_final } else { head.height };
        let last = limit.min(Height(tip.at.height.0 + blocks as u64));
        let mut from = tip.at.height.next();
        while from <= last {
            let to = last.min(Height(from.0 + group as u64 - 1));
            let mask = if listed { mask | 3 } else { mask };
            count(if listed { "listed segment" } else { "linked segment" });
            let mut segment = self.segment(from, to, mask, proven, listed, stale);
            if std::mem::take(&mut self.leave_out) {
                count("left out");
                let all = segment.blocks.iter_mut().flat_map(|block| block.transfers.drain(..));
                self.left_out.extend(all.map(|transfer| transfer.id));
                let said = segment.blocks.iter_mut().flat_map(|block| block.contract_events.drain(..));
                self.unsaid.extend(said.map(|event| spot(&event)));
            }
            self.tell(Input::Extend(segment), judge)?;
            from = to.next();
        }
        Ok(())
    }

    fn finality(&mut self, action: &Action, judge: Judge<'_>) -> Result<(), TestCaseError> {
        let Action::Finality { safe, finalized, vouchers, dead, liar } = *action else { return Ok(()) };
        let head = self.truth.head().header.at.height;
        let down = |back: u64| Height(head.0.saturating_sub(back).max(super::truth::FIRST));
        let (mut safe, mut last) = (self.truth.at(down(safe)), self.truth.at(down(finalized)));
        if dead {
            // A node that still follows the branch the chain has left.
            count("finality of a dead branch");
            let block = self.truth.dead.as_ref().and_then(|(_, blocks)| blocks.last());
            (safe, last) = (block, None);
        } else {
            self.truth_final = self.truth_final.max(down(finalized));
        }
        let (safe, finalized) = (safe.map(|b| b.header.at), last.map(|b| b.header.at));
        let at = BlockRef { height: head, hash: self.truth.head().header.at.hash };
        let behind = self.truth.at(down(2)).map_or(at, |b| b.header.at);
        let mut told: Vec<Voucher> = Vec::new();
        for (place, operator) in operators(vouchers).into_iter().enumerate() {
            let block = if place == 0 { at } else { behind };
            self.given.entry(operator.clone()).or_default().insert(block.hash);
            told.push(Voucher { operator, block });
        }
        if liar {
            count("lying voucher");
            told.push(Voucher {
                operator: Operator::new("liar"),
                block: BlockRef { height: head, hash: Hash([7; 32]) },
            });
        }
        self.tell(Input::Finality { safe, finalized, vouchers: told }, judge)
    }

    fn pick_intent(&self, which: usize) -> Option<IntentId> {
        let all: Vec<IntentId> = self.state.intents.keys().copied().collect();
        pick(&all, which).copied()
    }

    /// The blocks the scanner stands on, newest first.
    pub fn ours(&self) -> impl Iterator<Item = &Block> {
        self.state.standing.tip.into_iter().flat_map(|tip| self.truth.down_from(tip.at.hash))
    }
}

fn pick<T>(all: &[T], which: usize) -> Option<&T> {
    which.checked_rem(all.len()).and_then(|which| all.get(which))
}

#[expect(clippy::unnecessary_wraps, reason = "reads as the end of an action")]
fn skip(what: &'static str) -> Result<(), TestCaseError> {
    count(match what {
        "sync" => "skipped: sync",
        "prove" => "skipped: prove",
        "ask" => "skipped: ask",
        "unassign" => "skipped: unassign",
        "assign" => "skipped: assign",
        _ => "skipped: other",
    });
    Ok(())
}

fn tally(effect: &Effect) {
    const BY_RULE: &[u8] = b"\"taken_back_by_rule\"";
    if let Effect::Announce(event) = effect
        && event.body.windows(BY_RULE.len()).any(|part| part == BY_RULE)
    {
        count("taken back by rule");
    }
    count(match effect {
        Effect::Rewind { .. } => "effect: rewind",
        Effect::Record(_) => "effect: record",
        Effect::Place(_) => "effect: place",
        Effect::Settle { .. } => "effect: settle",
        Effect::Undo { .. } => "effect: undo",
        Effect::Own { .. } => "effect: own",
        Effect::Halt(_) => "effect: halt",
        Effect::Resume { .. } => "effect: resume",
        Effect::Backfilled { .. } => "effect: backfilled",
        Effect::Prove { .. } => "effect: prove",
        Effect::SetPolicy(_) => "effect: set policy",
        Effect::Sight(sighting) => match sighting.status {
            DepositStatus::Seen => "heard",
            DepositStatus::Settled => "heard and settled",
            DepositStatus::Retracted => "heard and retracted",
            DepositStatus::Reversed => "heard and reversed",
        },
        Effect::Alarm(alarm) => alarm.kind,
        Effect::Announce(event) => event.kind.as_str(),
        Effect::Observe { observation, .. } if observation.kind == "dust" => "dust",
        Effect::Observe { .. } => "unlisted asset",
        _ => return,
    });
}
