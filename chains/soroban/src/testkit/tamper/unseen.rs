//! What nothing commits to: whoever changes it changes no credit.

use stellar_xdr::{
    ContractEvent, DiagnosticEvent, ExtensionPoint, LedgerCloseMeta, LedgerEntryChange, LedgerEntryChanges, LedgerKey,
    LedgerKeyAccount, OperationMetaV2, TransactionEvent, TransactionEventStage, TransactionMeta, VecM,
};

use super::Tamper;
use crate::testkit::forge::{Forged, edit, set_amount, succeeded};

const COMPARED: &str = "events beside classic operations are compared and never credited";
const UNREAD: &str = "it is not read";

pub const ALL: &[Tamper] = &[
    Tamper::harmless("said_event_amounts", COMPARED, |f, _| {
        f.said_events(|events| events.iter_mut().for_each(|event| set_amount(event, 1)));
    }),
    Tamper::harmless("said_events_removed", COMPARED, |f, _| f.said_events(Vec::clear)),
    Tamper::harmless("said_events_invented", COMPARED, |f, _| {
        if let Some(mut invented) = first_said(f) {
            set_amount(&mut invented, 1_000_000_000);
            f.said_events(|events| events.push(invented.clone()));
        }
    }),
    Tamper::harmless("said_events_of_a_contract_call", COMPARED, |f, _| {
        let mut moved = Vec::new();
        f.call_events(|events| moved.extend(events.iter().cloned()));
        f.said_events(|events| events.clone_from(&moved));
    }),
    Tamper::harmless("events_of_what_failed", "what failed pays nobody", |f, _| {
        let Some(invented) = first_said(f) else { return };
        f.metas(|result, meta| {
            if !succeeded(result) {
                let operation = OperationMetaV2 {
                    ext: ExtensionPoint::V0,
                    changes: LedgerEntryChanges(VecM::default()),
                    events: vec![invented.clone()].try_into().unwrap_or_default(),
                };
                meta.operations = vec![operation].try_into().unwrap_or_default();
            }
        });
    }),
    Tamper::harmless("metas_of_classic_transactions_blanked", "operations and results say what was paid", |f, _| {
        f.processed(|list| {
            for one in list.iter_mut() {
                if !matches!(&one.tx_apply_processing, TransactionMeta::V4(meta) if meta.soroban_meta.is_some()) {
                    one.tx_apply_processing = TransactionMeta::V0(VecM::default());
                }
            }
        });
    }),
    Tamper::harmless("what_entries_changed_to", "no balance is read", |f, _| {
        f.metas(|_, meta| {
            edit(&mut meta.operations, |operations| operations.iter_mut().for_each(|one| one.changes = changes()));
            meta.tx_changes_before = changes();
        });
    }),
    Tamper::harmless("what_fees_changed", UNREAD, |f, _| {
        f.processed(|list| list.iter_mut().for_each(|one| one.fee_processing = changes()));
    }),
    Tamper::harmless("events_of_fees", UNREAD, |f, _| {
        let Some(event) = first_said(f) else { return };
        let event = TransactionEvent { stage: TransactionEventStage::BeforeAllTxs, event };
        f.metas(|_, meta| meta.events = vec![event.clone()].try_into().unwrap_or_default());
    }),
    Tamper::harmless("diagnostic_events", UNREAD, |f, _| {
        let Some(event) = first_said(f) else { return };
        let event = DiagnosticEvent { in_successful_contract_call: true, event };
        f.metas(|_, meta| meta.diagnostic_events = vec![event.clone()].try_into().unwrap_or_default());
    }),
    Tamper::harmless("how_much_is_stored", UNREAD, |f, _| {
        if let LedgerCloseMeta::V2(v2) = &mut f.meta {
            v2.evicted_keys = VecM::default();
            v2.total_byte_size_of_live_soroban_state += 1;
        }
    }),
];

/// An event that stands beside a classic operation.
fn first_said(forged: &mut Forged) -> Option<ContractEvent> {
    let mut first = None;
    forged.said_events(|events| first = first.take().or_else(|| events.first().cloned()));
    first
}

/// An account that is gone.
fn changes() -> LedgerEntryChanges {
    let account = stellar_xdr::AccountId(stellar_xdr::PublicKey::PublicKeyTypeEd25519(stellar_xdr::Uint256([7; 32])));
    let gone = LedgerEntryChange::Removed(LedgerKey::Account(LedgerKeyAccount { account_id: account }));
    LedgerEntryChanges(vec![gone].try_into().unwrap_or_default())
}
