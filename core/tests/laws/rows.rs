//! Effects as rows and words: whose rows they touch, and what they say apart from the clock.

use amn_core::engine::{Effect, State};
use amn_core::event::{Event, EventKind};
use amn_core::id::IntentId;
use amn_core::timestamp::Timestamp;
use serde_json::Value;

/// The rows an effect changes, by name, and the name of the event it makes.
pub fn rows_of(effect: &Effect) -> (Vec<String>, Option<String>) {
    match effect {
        Effect::Record(d) | Effect::Place(d) => (vec![d.id.to_string()], None),
        Effect::Prove { deposit, .. }
        | Effect::Settle { deposit, .. }
        | Effect::Undo { deposit, .. }
        | Effect::Own { deposit, .. } => (vec![deposit.to_string()], None),
        Effect::Sight(sighting) => (vec![sighting.id.to_string()], None),
        Effect::SetIntent { intent, .. } => (vec![intent.to_string()], None),
        Effect::Backfilled { intents, .. } => (intents.iter().map(ToString::to_string).collect(), None),
        Effect::Announce(event) => (event.intent.iter().map(ToString::to_string).collect(), Some(event.id.to_string())),
        _ => (Vec::new(), None),
    }
}

pub fn knows(state: &State, row: &str) -> bool {
    state.intents.keys().any(|id| id.to_string() == row)
        || state.deposits.keys().any(|id| id.to_string() == row)
        || state.sightings.keys().any(|id| id.to_string() == row)
}

/// The same effect, whatever o'clock it was.
pub fn without_clock(effect: &Effect) -> Effect {
    match effect.clone() {
        Effect::Settle { deposit, mut settlement, evidence } => {
            settlement.at = Timestamp::default();
            Effect::Settle { deposit, settlement, evidence }
        }
        Effect::Place(mut deposit) => {
            if let Some(settlement) = &mut deposit.settlement {
                settlement.at = Timestamp::default();
            }
            Effect::Place(deposit)
        }
        Effect::Sight(mut sighting) => {
            if let Some(settlement) = &mut sighting.settlement {
                settlement.at = Timestamp::default();
            }
            Effect::Sight(sighting)
        }
        Effect::Announce(event) => {
            let body = blank(&event.body, &["created_at", "settled_at"]);
            Effect::Announce(Event { created_at: Timestamp::default(), body, ..event })
        }
        other => other,
    }
}

/// What an event says; one that belongs to no intent is named by its place in a decision.
pub fn event_without_free_id(effect: &Effect) -> Option<(EventKind, Option<IntentId>, Option<u64>, String)> {
    let Effect::Announce(event) = effect else { return None };
    let body = if event.intent.is_some() { event.body.clone() } else { blank(&event.body, &["id"]) };
    Some((event.kind, event.intent, event.sequence, String::from_utf8_lossy(&body).into_owned()))
}

fn blank(body: &[u8], fields: &[&str]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(body).unwrap_or_default();
    for field in fields {
        if let Some(at) = value.get_mut(*field) {
            *at = Value::Null;
        }
        let mut shown: Vec<&mut Value> = Vec::new();
        for (key, part) in value.as_object_mut().into_iter().flatten() {
            match (key.as_str(), part) {
                ("deposits", Value::Array(deposits)) => shown.extend(deposits),
                ("contract_event", said) => shown.push(said),
                _ => {}
            }
        }
        for deposit in shown {
            if *field != "id"
                && let Some(at) = deposit.get_mut(*field)
                && !at.is_null()
            {
                *at = Value::from("blank");
            }
        }
    }
    value.to_string().into_bytes()
}
