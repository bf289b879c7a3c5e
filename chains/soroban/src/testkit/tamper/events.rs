//! What contract calls say happened: events and return values, to which the call's result commits.

use stellar_xdr::{
    ContractEvent, ContractEventBody, ContractId, Hash, InvokeHostFunctionResult, OperationResult, OperationResultTr,
    ScSymbol, ScVal, TransactionMeta, TransactionResultResult, VecM,
};

use super::Tamper;
use crate::address::Place;
use crate::evidence::commitment;
use crate::testkit::event::address;
use crate::testkit::forge::{Forged, edit, set_amount};

const EVENTS: &str = "events";

pub const ALL: &[Tamper] = &[
    Tamper::refused("call_event_amount", EVENTS, |f, _| f.call_events(|events| raise(events))),
    Tamper::refused("call_event_recipient", EVENTS, |f, _| f.call_events(redirect)),
    Tamper::refused("call_event_contract", EVENTS, |f, _| {
        f.call_events(|events| events.iter_mut().for_each(|event| event.contract_id = Some(ContractId(Hash([1; 32])))));
    }),
    Tamper::refused("call_event_removed", EVENTS, |f, _| f.call_events(|events| drop(events.pop()))),
    Tamper::refused("call_event_repeated", EVENTS, |f, _| {
        f.call_events(|events| events.extend(events.first().cloned()));
    }),
    Tamper::refused("call_events_reordered", EVENTS, |f, _| f.call_events(|events| events.reverse())),
    Tamper::refused("call_events_cleared", EVENTS, |f, _| f.call_events(Vec::clear)),
    Tamper::refused("call_meta_removed", EVENTS, |f, _| f.call_metas(|meta| meta.soroban_meta = None)),
    Tamper::refused("call_return_value", EVENTS, |f, _| {
        f.call_metas(|meta| {
            if let Some(soroban) = &mut meta.soroban_meta {
                soroban.return_value = Some(ScVal::LedgerKeyContractInstance);
            }
        });
    }),
    Tamper::refused("call_return_value_removed", EVENTS, |f, _| {
        f.call_metas(|meta| {
            if let Some(soroban) = &mut meta.soroban_meta {
                soroban.return_value = None;
            }
        });
    }),
    Tamper::refused("call_operations_removed", EVENTS, |f, _| f.call_metas(|meta| meta.operations = VecM::default())),
    Tamper::refused("all_metas_blanked", EVENTS, |f, _| {
        f.processed(|list| {
            for one in list {
                one.tx_apply_processing = TransactionMeta::V0(VecM::default());
            }
        });
    }),
    Tamper::refused("events_of_two_calls_swapped", EVENTS, |f, _| {
        let mut all = Vec::new();
        f.call_events(|events| all.push(events.clone()));
        f.call_events(|events| *events = all.pop().unwrap_or_default());
    }),
    Tamper::refused("call_event_turned_into_a_clawback", EVENTS, |f, _| f.call_events(take_back)),
    Tamper::disowned(
        "call_event_turned_into_a_clawback_and_commitment_and_hashed_anew",
        "it has another hash: the next ledger does not stand on it",
        |f, _| {
            f.call_events(take_back);
            commit(f);
        },
    ),
    Tamper::disowned(
        "call_event_amount_and_commitment_and_hashed_anew",
        "it has another hash: the next ledger does not stand on it",
        |f, _| {
            f.call_events(|events| raise(events));
            commit(f);
        },
    ),
    Tamper::disowned(
        "call_event_amount_in_a_ledger_said_to_be_old",
        "it has another hash, and in old ledgers such a call is named and pays nobody",
        |f, _| {
            f.call_events(|events| raise(events));
            f.header().ledger_version = 22;
            f.rehash();
        },
    ),
];

fn raise(events: &mut [ContractEvent]) {
    events.iter_mut().take(1).for_each(|event| set_amount(event, 999_000_000_000));
}

/// Every address in the topics becomes the liar's, but the first.
fn redirect(events: &mut Vec<ContractEvent>) {
    for event in events {
        let ContractEventBody::V0(body) = &mut event.body;
        edit(&mut body.topics, |topics| {
            let addresses = topics.iter_mut().filter(|topic| matches!(topic, ScVal::Address(_)));
            addresses.skip(1).for_each(|topic| *topic = address(Place::Account([7; 32])));
        });
    }
}

/// What is transferred to somebody is taken from him.
fn take_back(events: &mut Vec<ContractEvent>) {
    let named = |name: &str| ScVal::Symbol(ScSymbol(name.try_into().unwrap_or_default()));
    for event in events {
        let ContractEventBody::V0(body) = &mut event.body;
        edit(&mut body.topics, |topics| {
            if topics.len() > 3 && topics[0] == named("transfer") {
                topics[0] = named("clawback");
                topics.remove(1);
            }
        });
    }
}

/// Has every call commit to its events as they are now, and the header to its results.
fn commit(forged: &mut Forged) {
    forged.processed(|list| {
        for one in list {
            let TransactionMeta::V4(meta) = &one.tx_apply_processing else { continue };
            let returned = meta.soroban_meta.as_ref().and_then(|soroban| soroban.return_value.as_ref());
            let events = meta.operations.first().map_or(&[][..], |operation| operation.events.as_slice());
            let hash = commitment::events(returned, events, &mut Vec::new());
            let TransactionResultResult::TxSuccess(results) = &mut one.result.result.result else { continue };
            edit(results, |results| {
                for result in results {
                    if let OperationResult::OpInner(OperationResultTr::InvokeHostFunction(
                        InvokeHostFunctionResult::Success(committed),
                    )) = result
                    {
                        *committed = Hash(hash.0);
                    }
                }
            });
        }
    });
    forged.recommit_results();
}
