//! The laws, as judges of a step. They recount from the truth and from deposits, not from the engine's sums.

mod absurd;
mod ends;
mod heard;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::{BlockRef, Height, TransferId};
use amn_core::confirmation::{Known, terms};
use amn_core::deposit::{Deposit, DepositStatus};
use amn_core::engine::{Command, Effect, Input, State};
use amn_core::event::EventKind;
use amn_core::id::IntentId;
use amn_core::intent::{Status, Sums};
use amn_core::money::Amount;
use proptest::prelude::*;
use serde_json::Value;

use crate::Verdict;
use crate::histories::count;
use crate::histories::facts::{FAKE, USDC};
use crate::histories::world::{Step, World};

pub use absurd::absurd;
pub use ends::{calm_down, end, leaves_what_settled, read_to_the_end, same_but_headers};
pub use heard::{heard_once, nothing_is_unheard, told_in_order, unheard_for_a_reason};
pub use rows::{event_without_free_id, knows, rows_of, without_clock};

/// What the histories must come to, or the laws are held over nothing.
pub const EVERY_KIND: [&str; 60] = [
    "accepted a fork",
    "a name with other content",
    "backfill",
    "contract.event",
    "contract.reversed",
    "deep fork",
    "deposit.reversed",
    "deposit.unmatched",
    "dust",
    "effect: backfilled",
    "effect: halt",
    "effect: own",
    "effect: place",
    "effect: prove",
    "effect: record",
    "effect: resume",
    "effect: rewind",
    "effect: set policy",
    "effect: settle",
    "effect: undo",
    "expired",
    "finality of a dead branch",
    "fork",
    "fork below finalized",
    "fork_awaits_agreement",
    "halted for a fork",
    "heard",
    "heard and retracted",
    "heard and reversed",
    "heard and settled",
    "intent in the middle",
    "left out",
    "linked segment",
    "listed segment",
    "lying voucher",
    "moved",
    "network.halted",
    "network.resumed",
    "operators_disagree",
    "payment.canceled",
    "payment.confirmed",
    "payment.detected",
    "payment.expired",
    "payment.late",
    "payment.overpaid",
    "payment.partial",
    "payment.retracted",
    "payment.reversed",
    "refused command",
    "replace",
    "rescan",
    "rescan found",
    "rescan_on_other_branch",
    "return to a dead branch",
    "settled by word",
    "tagged_on_other_branch",
    "takeback",
    "takeback_at_shared_address",
    "taken back by rule",
    "unlisted asset",
];

/// Each live deposit is a transfer of a block we stand on, and no transfer is two live deposits.
pub fn counted_once(world: &World) -> Verdict {
    let ours: BTreeMap<Height, _> = world.ours().map(|block| (block.header.at.height, block)).collect();
    let mut seen: BTreeSet<TransferId> = BTreeSet::new();
    for deposit in world.state.deposits.values().filter(|d| d.is_live()) {
        prop_assert!(seen.insert(deposit.transfer.id), "{} counts twice", deposit.id);
        let block = ours.get(&deposit.block.height).filter(|b| b.header.at == deposit.block);
        let Some(block) = block else {
            return Err(TestCaseError::fail(format!("{} counts in a block we do not stand on", deposit.id)));
        };
        prop_assert!(block.transfers.contains(&deposit.transfer), "{} counts and is not there", deposit.id);
        prop_assert_eq!(block.header.time, deposit.block_time);
    }
    Ok(())
}

/// The other way round: each payment of a block we stand on is a live deposit.
pub fn nothing_is_missed(world: &World) -> Verdict {
    let owed: Vec<_> =
        world.state.intents.values().filter_map(|i| i.backfill.map(|range| (&i.terms.address, range))).collect();
    for block in world.ours() {
        let height = block.header.at.height;
        for transfer in &block.transfers {
            let watched = world.since.get(&transfer.to).is_some_and(|since| height >= *since);
            let read = !owed.iter().any(|(to, (a, b))| **to == transfer.to && (*a..=*b).contains(&height));
            let dust = transfer.asset.as_str() == FAKE || transfer.amount < Amount::new(2);
            let dust = dust
                && !(transfer.amount == Amount::new(1)
                    && transfer.asset.as_str() != USDC
                    && transfer.asset.as_str() != FAKE);
            let left_out = world.left_out.contains(&transfer.id);
            if !watched || !read || dust || left_out || world.taken.contains(&transfer.to) {
                continue;
            }
            let live = world
                .state
                .deposits
                .values()
                .any(|d| d.is_live() && d.block == block.header.at && d.transfer == *transfer);
            prop_assert!(live, "{transfer:?} at {height} is not a live deposit");
        }
    }
    Ok(())
}

pub fn sums_are_of_deposits(state: &State) -> Verdict {
    for intent in state.intents.values() {
        let of = |keep: fn(&Deposit) -> bool| -> u128 {
            let all = state.deposits.values().filter(|d| d.intent() == Some(intent.id) && keep(d));
            all.map(|d| d.transfer.amount.units()).sum()
        };
        let sums = Sums {
            received: Amount::new(of(|d| d.is_live() && (!d.late || d.accepted))),
            settled: Amount::new(of(|d| d.status == DepositStatus::Settled && (!d.late || d.accepted))),
            late: Amount::new(of(|d| d.is_live() && d.late && !d.accepted)),
        };
        prop_assert_eq!(intent.progress.sums, sums);
        prop_assert_eq!(intent.progress.status, intent.status_of(&sums));
        let enough = sums.settled >= intent.threshold();
        prop_assert!(intent.progress.status != Status::Confirmed || enough, "confirmed with too little");
        prop_assert!(intent.progress.ended.is_some() || !enough || intent.progress.status == Status::Confirmed);
    }
    Ok(())
}

/// Each effect with the state it meets.
fn walk(told: &Step, mut judge: impl FnMut(&State, &Effect) -> Verdict) -> Verdict {
    let mut state = told.before.clone();
    for effect in &told.effects {
        judge(&state, effect)?;
        state.apply(effect);
    }
    Ok(())
}

pub fn announced(world: &World, told: &Step) -> Verdict {
    let mut facts: BTreeMap<(IntentId, &str), i64> = BTreeMap::new();
    let mut last: BTreeMap<IntentId, Value> = BTreeMap::new();
    let command = matches!(told.input, Input::Command(_));
    walk(told, |state, effect| {
        let of = |id| state.deposits.get(id).and_then(Deposit::intent);
        let mut happened = |intent: Option<IntentId>, what: &'static str, by: i64| {
            if let Some(intent) = intent {
                *facts.entry((intent, what)).or_default() += by;
            }
        };
        match effect {
            Effect::Record(d) => happened(d.intent(), "arrived", 1),
            Effect::Place(d) => match state.deposits.get(&d.id) {
                Some(known) if !known.is_live() => happened(d.intent(), "arrived", 1),
                Some(known) if known.counts() != d.counts() => happened(d.intent(), "arrived", 1),
                _ => {}
            },
            Effect::Own { deposit, owner: amn_core::deposit::Owner::Intent(to), .. } if of(deposit) != Some(*to) => {
                happened(Some(*to), "arrived", 1);
            }
            Effect::Undo { deposit, status: DepositStatus::Retracted } => happened(of(deposit), "retracted", 1),
            Effect::Undo { deposit, .. } => happened(of(deposit), "reversed", 1),
            Effect::Announce(event) => {
                let Some((intent, sequence)) = event.intent.zip(event.sequence) else { return Ok(()) };
                prop_assert_eq!(sequence, state.intents[&intent].progress.sequence + 1);
                let body: Value =
                    serde_json::from_slice(&event.body).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!(&body["sequence"], &Value::from(sequence));
                let reason = body["reason"].as_str();
                match event.kind {
                    EventKind::Detected => happened(event.intent, "arrived", -1),
                    // Late money is told when it arrives, when it settles, and when an end finds it there.
                    EventKind::Late if reason != Some("settled") && !ended(told, intent) => {
                        happened(event.intent, "arrived", -1);
                    }
                    EventKind::Retracted if !command => happened(event.intent, "retracted", -1),
                    EventKind::Reversed if !command => happened(event.intent, "reversed", -1),
                    _ => {}
                }
                last.insert(intent, body);
            }
            _ => {}
        }
        Ok(())
    })?;
    for ((intent, what), open) in &facts {
        let ends = *what == "arrived" && ended(told, *intent);
        prop_assert!(*open == 0 || ends, "{intent}: {open} more {what} than told");
    }
    for intent in world.state.intents.values() {
        let before = told.before.intents.get(&intent.id).map(|i| &i.progress);
        let same = before.is_some_and(|b| (b.status, b.sums.received, b.sums.late) == status_and_sums(intent));
        let Some(body) = last.get(&intent.id) else {
            prop_assert!(same, "{} changed and nobody was told: {before:?} {:?}", intent.id, intent.progress);
            continue;
        };
        let shown = &body["intent"];
        prop_assert_eq!(&shown["status"], &Value::from(intent.progress.status.as_str()));
        prop_assert_eq!(&shown["received"], &Value::from(intent.progress.sums.received.to_string()));
        prop_assert_eq!(&shown["late"], &Value::from(intent.progress.sums.late.to_string()));
    }
    Ok(())
}

fn status_and_sums(intent: &amn_core::intent::Intent) -> (Status, Amount, Amount) {
    (intent.progress.status, intent.progress.sums.received, intent.progress.sums.late)
}

/// Whether the intent ended in this step: then late money may be told as late once more.
fn ended(told: &Step, intent: IntentId) -> bool {
    told.effects.iter().any(|e| {
        matches!(e, Effect::Announce(event) if event.intent == Some(intent)
            && matches!(event.kind, EventKind::Expired | EventKind::Canceled))
    })
}

pub fn legal(told: &Step) -> Verdict {
    use DepositStatus::{Retracted, Reversed, Seen, Settled};
    walk(told, |state, effect| {
        match effect {
            Effect::SetIntent { intent, progress } => {
                let now = state.intents[intent].progress.status;
                let legal = now == progress.status || now.may_become(progress.status);
                prop_assert!(legal, "{now:?} may not become {:?}", progress.status);
            }
            Effect::Record(d) => {
                prop_assert_eq!(d.status, Seen);
                prop_assert!(!state.deposits.contains_key(&d.id), "recorded twice");
            }
            Effect::Place(d) => {
                let known = &state.deposits[&d.id];
                prop_assert_eq!(d.status, if known.is_live() { known.status } else { Seen });
                prop_assert!(d.transfer == known.transfer && d.owner == known.owner);
                count(if known.block == d.block { "placed" } else { "moved" });
            }
            Effect::Settle { deposit, .. } => prop_assert_eq!(state.deposits[deposit].status, Seen),
            Effect::Undo { deposit, status } => {
                let legal = [(Seen, Retracted), (Settled, Reversed)];
                prop_assert!(legal.contains(&(state.deposits[deposit].status, *status)));
            }
            _ => {}
        }
        Ok(())
    })
}

pub fn settled_by_terms(world: &World, told: &Step) -> Verdict {
    let accepted = matches!(told.input, Input::Command(Command::Accept { .. }));
    walk(told, |state, effect| {
        let Effect::Settle { deposit, settlement, .. } = effect else { return Ok(()) };
        if accepted {
            count("settled by word");
            return Ok(());
        }
        let deposit = &state.deposits[deposit];
        let view = state.view().ok_or_else(|| TestCaseError::fail("settled without a chain"))?;
        // Who really gave this block, or one that stands on it.
        let gave = |blocks: &BTreeSet<_>| blocks.iter().any(|b| world.truth.descends(*b, deposit.block));
        let operators = if settlement.require.operators.is_some() {
            u32::try_from(world.given.values().filter(|b| gave(b)).count()).unwrap_or(0)
        } else {
            0
        };
        let known = Known { operators, ..state.known(deposit) };
        for term in terms(&settlement.require, &known, &view) {
            prop_assert!(term.met, "{} settled: {term:?}", deposit.id);
        }
        let base = state.policy.require;
        prop_assert_eq!(settlement.require.and(base), settlement.require, "weaker than the policy");
        prop_assert!(state.headers.get(deposit.block.height).is_none_or(|h| h.at == deposit.block));
        Ok(())
    })
}

pub fn is_reversal(effect: &Effect) -> bool {
    matches!(effect, Effect::Undo { status: DepositStatus::Reversed, .. })
}

pub fn undone_for_a_reason(world: &World, told: &Step) -> Verdict {
    for effect in &told.effects {
        let Effect::Undo { deposit, .. } = effect else { continue };
        let known = world.state.deposits.get(deposit).or(told.before.deposits.get(deposit));
        let Some(known) = known else { return Err(TestCaseError::fail("undid what nobody knows")) };
        let blocks = match &told.input {
            Input::Extend(segment) => &segment.blocks,
            Input::Replace { by, .. } => &by.blocks,
            Input::Found { blocks, .. } => blocks,
            other => return Err(TestCaseError::fail(format!("{other:?} undoes {deposit}"))),
        };
        let taken = blocks.iter().flat_map(|b| &b.takebacks);
        let taken = taken.into_iter().any(|t| t.from == known.transfer.to && t.asset == known.transfer.asset);
        let place: Option<BlockRef> = told.before.deposits.get(deposit).map(|d| d.block);
        let left = place.is_some_and(|at| !world.ours().any(|block| block.header.at == at));
        prop_assert!(taken || left, "{deposit} was undone and is still there");
        count("undone for a reason");
    }
    Ok(())
}

/// However often money is taken from one address in a step: without the last deposit that each time undid, what was
/// undone is no more than what was taken.
pub fn taken_no_more_than_was_taken(told: &Step) -> Verdict {
    let Input::Extend(segment) = &told.input else { return Ok(()) };
    let mut taken: BTreeMap<_, Vec<u128>> = BTreeMap::new();
    for takeback in segment.blocks.iter().flat_map(|block| &block.takebacks) {
        taken.entry((&takeback.from, &takeback.asset)).or_default().push(takeback.amount.units());
    }
    let mut undone: BTreeMap<_, Vec<u128>> = BTreeMap::new();
    walk(told, |state, effect| {
        if let Effect::Undo { deposit, .. } = effect {
            let transfer = state.deposits[deposit].transfer.clone();
            undone.entry((transfer.to, transfer.asset)).or_default().push(transfer.amount.units());
        }
        Ok(())
    })?;
    for ((from, asset), mut undone) in undone {
        let taken = taken.get(&(&from, &asset)).map_or(&[][..], Vec::as_slice);
        undone.sort_unstable_by(|a, b| b.cmp(a));
        let surely: u128 = undone.iter().skip(taken.len()).sum();
        prop_assert!(surely <= taken.iter().sum(), "{undone:?} of {asset} at {from} for {taken:?}");
        count("taken no more than was taken");
    }
    Ok(())
}

pub fn halts(_: &World, told: &Step) -> Verdict {
    let standing = &told.before.standing;
    if standing.halted.is_some() && !matches!(told.input, Input::Command(_)) {
        prop_assert!(told.effects.is_empty(), "a halted network decided {:?}", told.effects);
        return Ok(());
    }
    if let Input::Replace { fork, by } = &told.input {
        let rewound = told.effects.iter().any(|e| matches!(e, Effect::Rewind { .. }));
        let accepted = standing.accept_fork.is_some_and(|hash| by.blocks.iter().any(|b| b.header.at.hash == hash));
        let crosses = standing.finalized.is_some_and(|f| fork.height < f.height);
        if (crosses || told.before.facts.instant_finality) && rewound {
            count("accepted a fork");
            prop_assert!(accepted && by.operators.len() >= 2, "followed a fork nobody accepted");
        }
        if told.effects.iter().any(|e| matches!(e, Effect::Halt(_))) {
            count("halted for a fork");
            prop_assert!(told.effects.len() == 2, "a halt moves nothing");
        }
    }
    if let (Some(halt), Input::Command(Command::Resume { accept_fork })) = (&standing.halted, &told.input) {
        prop_assert!(!halt.reason.is_fork() || accept_fork.is_some());
    }
    Ok(())
}

pub fn expired_behind_settled(world: &World, told: &Step) -> Verdict {
    walk(told, |state, effect| {
        let Effect::Announce(event) = effect else { return Ok(()) };
        if event.kind != EventKind::Expired {
            return Ok(());
        }
        count("expired");
        let Some((intent, view)) = event.intent.and_then(|id| state.intents.get(&id)).zip(state.view()) else {
            return Err(TestCaseError::fail("nobody expired"));
        };
        prop_assert!(intent.backfill.is_none(), "expired before it was read again");
        if let Input::Extend(segment) | Input::Replace { by: segment, .. } = &told.input {
            prop_assert!(intent.watch <= segment.watched, "expired by a stretch that was not read for it");
        }
        let require = state.policy.require;
        let tip = view.tip.at.hash;
        let behind = world.truth.down_from(tip).any(|block| {
            let header = &block.header;
            let gave = |blocks: &BTreeSet<_>| blocks.iter().any(|b| world.truth.descends(*b, header.at));
            let past = intent.terms.is_past(header.time);
            let operators = || u32::try_from(world.given.values().filter(|b| gave(b)).count()).unwrap_or(0);
            past && {
                let known = Known {
                    height: header.at.height,
                    time: header.time,
                    // Blocks keep no evidence of their own: what is absent from one is proven with its reading.
                    inclusion: amn_core::block::Inclusion::Proven,
                    operators: if require.operators.is_some() { operators() } else { 0 },
                    attestations: None,
                };
                terms(&require, &known, &view).iter().all(|term| term.met)
            }
        });
        prop_assert!(behind, "{} expired and no settled block lies past its end", intent.id);
        let in_time: u128 = state
            .deposits
            .values()
            .filter(|d| d.intent() == Some(intent.id) && d.is_live() && !intent.terms.is_past(d.block_time) && !d.late)
            .map(|d| d.transfer.amount.units())
            .sum();
        prop_assert!(in_time < intent.threshold().units(), "expired though enough is there in time");
        Ok(())
    })
}
