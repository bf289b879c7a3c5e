//! What contracts say: seen as it stands on our chain, told once it may be believed, in order, and told when undone.

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::Height;
use amn_core::confirmation::{Known, terms};
use amn_core::contract::{ContractEvent, Sighting};
use amn_core::deposit::DepositStatus;
use amn_core::engine::{Effect, Input};
use amn_core::event::EventKind;
use proptest::prelude::*;
use serde_json::Value;

use super::walk;
use crate::Verdict;
use crate::histories::count;
use crate::histories::world::{Step, World, spot};

/// Each live sighting is an event of a block we stand on, and no event is two live sightings of one tenant.
pub fn heard_once(world: &World) -> Verdict {
    let ours: BTreeMap<Height, _> = world.ours().map(|block| (block.header.at.height, block)).collect();
    let mut seen = BTreeSet::new();
    for sighting in world.state.sightings.values().filter(|s| s.is_live()) {
        prop_assert!(seen.insert((&sighting.tenant, sighting.spot())), "{} is heard twice", sighting.id);
        let block = ours.get(&sighting.block.height).filter(|b| b.header.at == sighting.block);
        let Some(block) = block else {
            return Err(TestCaseError::fail(format!("{} is heard in a block we do not stand on", sighting.id)));
        };
        let there = |event: &&ContractEvent| event.data == sighting.data && event.shown() == sighting.topics;
        let event = block.contract_events.iter().filter(|e| spot(e) == sighting.spot()).find(there);
        let Some(event) = event else {
            return Err(TestCaseError::fail(format!("{} is heard and was not said", sighting.id)));
        };
        prop_assert_eq!(&event.contract, &sighting.contract);
        prop_assert_eq!(event.ordinal, sighting.ordinal);
        prop_assert_eq!(block.header.time, sighting.block_time);
    }
    Ok(())
}

/// The other way round: each event of a block we stand on is heard by each tenant that listens to it.
pub fn nothing_is_unheard(world: &World) -> Verdict {
    let start = world.ours().last().map_or(Height(0), |block| block.header.at.height);
    for block in world.ours().filter(|block| block.header.at.height > start) {
        for event in block.contract_events.iter().filter(|event| !world.unsaid.contains(&spot(event))) {
            let listeners = world.state.listeners.get(&event.contract).map_or(&[][..], Vec::as_slice);
            for listener in listeners.iter().filter(|l| l.hears(event, block.header.at.height)) {
                let heard = |s: &Sighting| {
                    s.is_live() && s.tenant == listener.tenant && s.block == block.header.at && s.is_of(event)
                };
                let all = world.state.sightings.values().filter(|s| heard(s)).count();
                prop_assert!(all == 1, "{event:?} at {} is heard {all} times", block.header.at.height);
            }
        }
    }
    Ok(())
}

/// Told when it settles and never before, by terms that hold; told when it is undone after that; each once and in the
/// order of the chain. What was never told is never taken back.
pub fn told_in_order(world: &World, told: &Step) -> Verdict {
    let mut open: Vec<(String, EventKind)> = Vec::new();
    let mut last: BTreeMap<EventKind, (u64, u32)> = BTreeMap::new();
    walk(told, |state, effect| {
        match effect {
            Effect::Sight(now) => {
                let before = state.sightings.get(&now.id);
                judge_move(before, now)?;
                let was_told = before.is_some_and(|s| s.status == DepositStatus::Settled);
                match now.status {
                    DepositStatus::Settled if !was_told => {
                        if before.is_some_and(|s| s.told > 0) {
                            count("heard again");
                        }
                        settled_by_terms(world, state, now)?;
                        open.push((now.id.to_string(), EventKind::ContractEvent));
                    }
                    DepositStatus::Reversed if was_told => {
                        open.push((now.id.to_string(), EventKind::ContractReversed));
                    }
                    _ => {}
                }
            }
            Effect::Announce(event) if matches!(event.kind, EventKind::ContractEvent | EventKind::ContractReversed) => {
                let body: Value =
                    serde_json::from_slice(&event.body).map_err(|e| TestCaseError::fail(e.to_string()))?;
                let said = &body["contract_event"];
                let id = said["id"].as_str().unwrap_or_default().to_owned();
                let expected = open.pop();
                prop_assert_eq!(expected.as_ref(), Some(&(id.clone(), event.kind)), "told otherwise than decided");
                let known = state.sightings.values().find(|s| s.id.to_string() == id);
                let Some(known) = known else { return Err(TestCaseError::fail("told of nothing")) };
                prop_assert_eq!(event.tenant.as_ref(), Some(&known.tenant));
                prop_assert_eq!(said["status"].as_str(), Some(known.status.as_str()));
                prop_assert!(body["policy"].is_object(), "an event pins its policy");
                prop_assert!(event.intent.is_none() && body["intent"].is_null());
                let place = (known.block.height.0, known.ordinal);
                // One decision may tell of several blocks, each after the other.
                let before = last.insert(event.kind, place);
                prop_assert!(before.is_none_or(|before| before <= place), "told out of order");
            }
            _ => prop_assert!(open.is_empty(), "decided and not told: {open:?}"),
        }
        Ok(())
    })?;
    prop_assert!(open.is_empty(), "decided and not told: {open:?}");
    for sighting in world.state.sightings.values() {
        let stands = sighting.status == DepositStatus::Settled;
        prop_assert_eq!(sighting.told % 2 == 1, stands, "{} was told {} times", sighting.id, sighting.told);
    }
    Ok(())
}

fn judge_move(before: Option<&Sighting>, now: &Sighting) -> Verdict {
    use DepositStatus::{Retracted, Reversed, Seen, Settled};
    let Some(before) = before else {
        prop_assert_eq!((now.status, now.told), (Seen, 0), "first seen otherwise");
        return Ok(());
    };
    let legal = [(Seen, Settled), (Seen, Retracted), (Settled, Reversed), (Retracted, Seen), (Reversed, Seen)];
    prop_assert!(
        before.status == now.status || legal.contains(&(before.status, now.status)),
        "{:?} may not become {:?}",
        before.status,
        now.status
    );
    let same = |s: &Sighting| (s.spot(), s.tenant.clone(), s.contract.clone(), s.topics.clone(), s.data.clone());
    prop_assert!(same(before) == same(now), "it says something else");
    Ok(())
}

fn settled_by_terms(world: &World, state: &amn_core::engine::State, now: &Sighting) -> Verdict {
    let settlement = now.settlement.as_ref().ok_or_else(|| TestCaseError::fail("settled without a record"))?;
    let view = state.view().ok_or_else(|| TestCaseError::fail("settled without a chain"))?;
    let gave = |blocks: &BTreeSet<_>| blocks.iter().any(|b| world.truth.descends(*b, now.block));
    let operators = if settlement.require.operators.is_some() {
        u32::try_from(world.given.values().filter(|b| gave(b)).count()).unwrap_or(0)
    } else {
        0
    };
    let known = Known { operators, ..state.known_of(now) };
    for term in terms(&settlement.require, &known, &view) {
        prop_assert!(term.met, "{} settled: {term:?}", now.id);
    }
    prop_assert_eq!(settlement.require, state.policy.require, "another policy than the network's");
    Ok(())
}

/// Why a step may undo what a contract said: its block left our chain.
pub fn unheard_for_a_reason(world: &World, told: &Step) -> Verdict {
    for effect in &told.effects {
        let Effect::Sight(now) = effect else { continue };
        if now.is_live() {
            continue;
        }
        prop_assert!(matches!(told.input, Input::Replace { .. }), "{:?} undoes what was said", told.input);
        let Some(before) = told.before.sightings.get(&now.id).map(|s| s.block) else { continue };
        let left = !world.ours().any(|block| block.header.at == before);
        prop_assert!(left, "{} was undone and is still there", now.id);
    }
    Ok(())
}
