//! How a history ends, apart from how it came there.

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::{BlockRef, Height, Kind, TransferId};
use amn_core::contract::Sighting;
use amn_core::deposit::Owner;
use amn_core::engine::{Effect, Input, State};
use amn_core::id::{IntentId, SightingId};
use amn_core::intent::{Status, Sums};

use crate::Verdict;
use crate::histories::world::{Judge, Step, World};

/// Whether this step leaves a branch on which something was decided for good: money settled or undone,
/// or a block was settled, so that intents may have expired behind it.
pub fn leaves_what_settled(step: &Step) -> bool {
    let Some(to) = step.effects.iter().find_map(|e| match e {
        Effect::Rewind { to, .. } => Some(to.at.height),
        _ => None,
    }) else {
        return false;
    };
    let settled = step.before.deposits.values().any(|d| d.settlement.is_some() && d.is_live() && d.block.height > to);
    let settled_time = step.before.settled_time();
    let told = |s: &Sighting| s.settlement.is_some() && s.is_live() && s.block.height > to;
    let settled = settled || step.before.sightings.values().any(told);
    settled || step.before.headers.down_from(Height(u64::MAX)).any(|h| h.at.height > to && Some(h.time) == settled_time)
}

/// Whatever waits is mined, and then so many empty blocks that it is deep enough for any policy.
pub fn calm_down(world: &mut World) {
    world.grow(1, 60, &[]);
    world.grow(40, 60, &[]);
}

/// Everything that is true is read, agreed, proven and called final.
pub fn read_to_the_end(world: &mut World, operators: u8, judge: Judge<'_>) -> Verdict {
    let head = world.truth.head().header.at;
    let Some(tip) = world.state.standing.tip else { return Ok(()) };
    let fork = world.state.headers.down_from(tip.at.height).find(|h| world.truth.descends(head.hash, h.at));
    let Some(fork) = fork.map(|h| h.at) else { return Ok(()) };
    if fork != head {
        let by = world.segment(fork.height.next(), head.height, operators, true, false, false);
        let input = if fork == tip.at { Input::Extend(by) } else { Input::Replace { fork, by } };
        world.tell(input, judge)?;
    }
    let money = world.state.deposits.values().map(|d| (d.transfer.id, d.block));
    let said = world.state.sightings.values().map(|s| (TransferId { tx: s.tx, kind: Kind::Token, index: 0 }, s.block));
    let places: Vec<_> = money.chain(said).collect();
    for (of, block) in places {
        let is = world.evidence(block.hash, operators, true);
        world.tell(Input::Evidence { of, block, is }, judge)?;
    }
    world.tell(Input::Finality { safe: Some(head), finalized: Some(head), vouchers: Vec::new() }, judge)
}

/// A payment as it stands: where, how far, whose, and whether in time.
pub type Payment = (BlockRef, &'static str, Owner, bool, u128);

/// What a contract said, as it stands: where, how far, and what.
pub type Said = (BlockRef, &'static str, SightingId, u32);

/// Where everybody ended: the intents, the money that is there, and what was said.
pub type End = (BTreeMap<IntentId, (Status, Sums)>, BTreeSet<Payment>, BTreeSet<Said>);

pub fn end(state: &State) -> End {
    let intents = state.intents.iter().map(|(id, intent)| (*id, (intent.progress.status, intent.progress.sums)));
    let deposits = state.deposits.values().filter(|d| d.is_live());
    let payments = deposits.map(|d| (d.block, d.status.as_str(), d.owner, d.late, d.transfer.amount.units()));
    let sightings = state.sightings.values().filter(|s| s.is_live());
    let said = sightings.map(|s| (s.block, s.status.as_str(), s.id, s.ordinal));
    (intents.collect(), payments.collect(), said.collect())
}

/// Headers are forgotten in batches: how many are left depends on how the chain was read.
pub fn same_but_headers(one: &State, other: &State) -> bool {
    let bare = |state: &State| State { headers: amn_core::engine::Headers::default(), ..state.clone() };
    bare(one) == bare(other)
}
