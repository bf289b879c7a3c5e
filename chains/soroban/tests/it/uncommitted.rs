//! Changes that no ledger contradicts by itself: shown not to matter for a credit.

use amn_soroban::evidence::{Lie, verify};
use amn_soroban::ledger::Ledger;
use amn_soroban::testkit::{Chain, Validator};
use stellar_xdr::*;

use amn_soroban::testkit::forge::{Forged, edit, set_amount, succeeded};
use crate::support::*;
use crate::victim::{Outcome, Victim};

#[test]
fn results_forged_with_their_header_make_another_ledger_which_nobody_vouches_for() {
    let Some(victim) = Victim::load() else { return };
    // Nothing inside the ledger contradicts it: validators sign the set, not the results. It is another ledger:
    // no operator gives its hash, no signature above is about it, and the next ledger stands on the real one.
    let outcome = victim.change(|forged| {
        forged.processed(|list| {
            for one in list.iter_mut() {
                if let TransactionResultResult::TxFailed(results) = &one.result.result.result {
                    let paid = results.iter().all(|result| {
                        matches!(result, OperationResult::OpInner(OperationResultTr::Payment(PaymentResult::Success)))
                    });
                    if paid {
                        one.result.result.result = TransactionResultResult::TxSuccess(results.clone());
                    }
                }
                one.result.result.fee_charged += 1;
            }
        });
        forged.recommit_results();
    });
    let Outcome::Read(read) = outcome else { panic!("{outcome:?}") };
    assert_ne!(read.0, victim.honest.header.at);
    let mut chain = Chain::new("the network", 26);
    let (network, validator) = (network("the network"), Validator::new(1));
    let mut forged = Forged { meta: chain.close(&[], &validator).meta };
    forged.header().tx_set_result_hash = Hash([1; 32]);
    forged.recommit_results();
    forged.header().fee_pool += 1;
    forged.rehash();
    let other = verify(&network, Ledger::decode(&forged.bytes()).unwrap(), None).unwrap();
    let next = chain.close(&[], &validator);
    let lie = verify(&network, Ledger::decode(&next.bytes()).unwrap(), Some(other.header.at)).unwrap_err();
    assert!(matches!(lie, Lie::Unlinked { .. }), "{lie}");
}

#[test]
fn what_nothing_commits_to_does_not_matter_for_a_credit() {
    let Some(victim) = Victim::load() else { return };
    let mut tried = 0;
    let mut same = |what: &str, observed: bool, change: &dyn Fn(&mut Forged)| {
        let outcome = victim.change(change);
        let Outcome::Read(read) = outcome else { panic!("{what}: {outcome:?}") };
        let (at, block) = *read;
        assert_eq!(at, victim.honest.header.at, "{what}");
        assert_eq!(block.transfers, victim.honest.transfers, "{what}");
        assert_eq!(block.takebacks, victim.honest.takebacks, "{what}");
        assert_eq!(block.observations != victim.honest.observations, observed, "{what}: {:?}", block.observations);
        tried += 1;
    };
    same("amounts of events beside payments", true, &|f| {
        f.said_events(|events| events.iter_mut().for_each(|event| set_amount(event, 1)));
    });
    same("no events beside payments", false, &|f| f.said_events(Vec::clear));
    same("events of payments that were not made", true, &|f| {
        let mut invented = None;
        f.said_events(|events| invented = invented.take().or_else(|| events.first().cloned()));
        let mut invented = invented.unwrap();
        set_amount(&mut invented, 1_000_000_000);
        f.said_events(|events| events.push(invented.clone()));
    });
    same("events beside payments that tell of a contract call", true, &|f| {
        let mut moved = Vec::new();
        f.metas(|result, meta| {
            if meta.soroban_meta.is_some() && succeeded(result) {
                moved.extend(meta.operations[0].events.to_vec());
            }
        });
        f.said_events(|events| *events = moved.clone());
    });
    same("events of what failed", false, &|f| {
        let mut events = Vec::new();
        f.said_events(|said| events.extend(said.iter().cloned()));
        f.metas(|result, meta| {
            if !succeeded(result) {
                let operation = OperationMetaV2 {
                    ext: ExtensionPoint::V0,
                    changes: LedgerEntryChanges(VecM::default()),
                    events: events.iter().take(20).cloned().collect::<Vec<_>>().try_into().unwrap(),
                };
                meta.operations = vec![operation].try_into().unwrap();
            }
        });
    });
    same("the metas of classic transactions", false, &|f| {
        f.processed(|list| {
            for one in list.iter_mut() {
                if !matches!(&one.tx_apply_processing, TransactionMeta::V4(meta) if meta.soroban_meta.is_some()) {
                    one.tx_apply_processing = TransactionMeta::V0(VecM::default());
                }
            }
        });
    });
    same("what entries changed to", false, &|f| {
        f.metas(|_, meta| {
            edit(&mut meta.operations, |operations| {
                for operation in operations {
                    operation.changes = LedgerEntryChanges(VecM::default());
                }
            });
            meta.tx_changes_before = LedgerEntryChanges(VecM::default());
        });
    });
    same("what fees changed", false, &|f| {
        f.processed(|list| {
            for one in list {
                one.fee_processing = LedgerEntryChanges(VecM::default());
            }
        });
    });
    same("events of fees", false, &|f| f.metas(|_, meta| meta.events = VecM::default()));
    same("diagnostic events", false, &|f| {
        f.metas(|_, meta| {
            let Some(event) = meta.operations.first().and_then(|operation| operation.events.first().cloned()) else {
                return;
            };
            let event = DiagnosticEvent { in_successful_contract_call: true, event };
            meta.diagnostic_events = vec![event].try_into().unwrap();
        });
    });
    same("what is evicted, and how much is stored", false, &|f| {
        let LedgerCloseMeta::V2(v2) = &mut f.meta else { panic!("the newest form") };
        v2.evicted_keys = VecM::default();
        v2.total_byte_size_of_live_soroban_state += 1;
    });
    assert_eq!(tried, 11);
}
