//! What watched contracts say: every event of a call that somebody listens for, decoded and in its place.
//!
//! An event that cannot be shown is put aside by itself and named; whatever stands around it is read.

use amn_core::block::TxHash;
use amn_core::contract::{ContractEvent, TopicPattern};
use amn_core::source::Watch;
use stellar_xdr::{ContractEvent as Emitted, ContractEventBody, ContractEventType};

use super::reading::Reading;
use crate::address::Place;
use crate::evidence::Success;
use crate::value;

/// Reads the proven events of one contract call.
pub fn read(reading: &mut Reading<'_>, watch: &Watch, success: &Success<'_>, operation: usize) {
    let Some(events) = success.contract_events(operation) else { return };
    for (index, event) in events.iter().enumerate() {
        let ordinal = reading.emitted;
        reading.emitted = reading.emitted.saturating_add(1);
        let Some(contract) = listened(event) else { continue };
        let patterns = watch.contract(&contract.raw());
        if patterns.is_empty() {
            continue;
        }
        match said(event, contract, success.hash, (operation, index), ordinal, patterns) {
            Ok(Some(said)) => reading.contract_events.push(said),
            Ok(None) => {}
            Err(why) => {
                let detail = format!("event {index} of operation {operation} cannot be told: {why}");
                reading.observe("contract_event_unreadable", success.hash, Some(&contract), detail);
            }
        }
    }
}

/// Who emitted it; events of the network itself and notes for debugging are nobody's word.
fn listened(event: &Emitted) -> Option<Place> {
    let contract = event.contract_id.as_ref().filter(|_| event.type_ == ContractEventType::Contract)?;
    Some(Place::Contract(contract.0.0))
}

fn said(
    event: &Emitted,
    contract: Place,
    tx: TxHash,
    (operation, index): (usize, usize),
    ordinal: u32,
    patterns: &[TopicPattern],
) -> Result<Option<ContractEvent>, value::Unreadable> {
    let ContractEventBody::V0(body) = &event.body;
    // A poisonous event that nobody listens for is nobody's trouble: topics are matched before data is looked at.
    let topics = value::topics(&body.topics)?;
    if !patterns.iter().any(|pattern| pattern.matches(&topics)) {
        return Ok(None);
    }
    let data = value::data(&topics, &body.data)?;
    let (Ok(operation), Ok(index)) = (u32::try_from(operation), u32::try_from(index)) else {
        return Err(value::Unreadable::TooLarge);
    };
    Ok(Some(ContractEvent { tx, operation, index, ordinal, contract: contract.spell(), topics, data }))
}
