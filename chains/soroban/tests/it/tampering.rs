//! One change to a real ledger after another: what the ledger commits to is refused, and named. What it does not
//! commit to is in the room next door, `uncommitted.rs`. Wrong credits: none.

use amn_soroban::address::Place;
use amn_soroban::evidence::{Lie, verify};
use amn_soroban::ledger::{Ledger, LedgerError};
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::{Chain, Tx, Validator, Value, plain};
use stellar_xdr::*;

use amn_soroban::testkit::forge::{Forged, edit, set_amount, succeeded};
use crate::support::*;
use crate::victim::{Outcome, Victim};

/// Nobody's account.
const LIAR: Place = Place::Account([7; 32]);

/// A contradiction of this kind, and no other.
macro_rules! refused {
    ($outcome:expr, $kind:pat) => {{
        let outcome = $outcome;
        assert!(matches!(&outcome, Outcome::Refused($kind)), "{}: {outcome:?}", stringify!($kind));
    }};
}

/// The first payment in the set whose transaction succeeds or not; its place does not matter.
fn first_payment(forged: &mut Forged, change: impl Fn(&mut Transaction)) {
    let mut done = false;
    forged.classic(|list| {
        for envelope in list.iter_mut().filter(|_| !done) {
            if let TransactionEnvelope::Tx(envelope) = envelope
                && matches!(envelope.tx.operations[0].body, OperationBody::Payment(_))
            {
                done = true;
                change(&mut envelope.tx);
                return;
            }
        }
    });
    assert!(done, "a payment in the set");
}

fn first_op(tx: &mut Transaction, change: impl FnOnce(&mut PaymentOp)) {
    edit(&mut tx.operations, |operations| {
        let OperationBody::Payment(op) = &mut operations[0].body else { panic!("a payment") };
        change(op);
    });
}

#[test]
fn what_a_payer_signed_cannot_be_changed() {
    let Some(victim) = Victim::load() else { return };
    let payment = |change: fn(&mut Transaction)| victim.change(|forged| first_payment(forged, change));
    refused!(payment(|tx| first_op(tx, |op| op.amount += 1)), Lie::TransactionSet { .. });
    refused!(payment(|tx| first_op(tx, |op| op.destination = plain(LIAR))), Lie::TransactionSet { .. });
    refused!(
        payment(|tx| first_op(tx, |op| op.asset = Asset::CreditAlphanum4(AlphaNum4 {
            asset_code: AssetCode4(*b"USDC"),
            issuer: AccountId(PublicKey::PublicKeyTypeEd25519(Uint256([7; 32]))),
        }))),
        Lie::TransactionSet { .. }
    );
    refused!(payment(|tx| tx.memo = Memo::Id(1)), Lie::TransactionSet { .. });
    refused!(payment(|tx| tx.source_account = plain(LIAR)), Lie::TransactionSet { .. });
    refused!(
        payment(|tx| edit(&mut tx.operations, |operations| operations.push(operations[0].clone()))),
        Lie::TransactionSet { .. }
    );
    // The memos of two payments, swapped.
    refused!(
        victim.change(|forged| {
            let mut memos = Vec::new();
            let memo = |envelope: &TransactionEnvelope| match envelope {
                TransactionEnvelope::Tx(envelope) if envelope.tx.memo != Memo::None => Some(envelope.tx.memo.clone()),
                _ => None,
            };
            forged.classic(|list| memos.extend(list.iter().filter_map(memo)));
            let mut memos: Vec<_> = memos.into_iter().rev().collect();
            forged.classic(|list| {
                for envelope in list.iter_mut() {
                    if let TransactionEnvelope::Tx(envelope) = envelope
                        && envelope.tx.memo != Memo::None
                    {
                        envelope.tx.memo = memos.remove(0);
                    }
                }
            });
        }),
        Lie::TransactionSet { .. }
    );
    // Its signatures are under the same hash.
    refused!(
        victim.change(|forged| forged.classic(|list| {
            if let Some(TransactionEnvelope::Tx(envelope)) =
                list.iter_mut().find(|one| matches!(one, TransactionEnvelope::Tx(_)))
            {
                envelope.signatures = VecM::default();
            }
        })),
        Lie::TransactionSet { .. }
    );
}

#[test]
fn no_transaction_can_be_left_out_added_or_moved() {
    let Some(victim) = Victim::load() else { return };
    refused!(victim.change(|f| f.classic(|list| drop(list.pop()))), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.classic(|list| list.extend(list.first().cloned()))), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.classic(|list| list.reverse())), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.phases(|phases| phases.reverse())), Lie::TransactionSet { .. });
    refused!(victim.change(|f| f.processed(|list| drop(list.pop()))), Lie::Results { .. });
    refused!(victim.change(|f| f.processed(|list| list.push(list[0].clone()))), Lie::Results { .. });
    refused!(victim.change(|f| f.processed(|list| list.swap(0, 1))), Lie::Results { .. });
    // A transaction with its result, left out of both: whoever makes the results fit makes another ledger.
    refused!(
        victim.change(|f| {
            f.processed(|list| drop(list.pop()));
            f.classic(|list| drop(list.pop()));
        }),
        Lie::TransactionSet { .. }
    );
    refused!(
        victim.change(|f| f.set(|GeneralizedTransactionSet::V1(set)| set.previous_ledger_hash = Hash([1; 32]))),
        Lie::SetOfOtherParent { .. }
    );
    refused!(
        victim.change(|f| f.phases(|phases| {
            let Some(TransactionPhase::V0(components)) = phases.first_mut() else { panic!("classic first") };
            edit(components, |components| {
                let TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) = &mut components[0];
                component.base_fee = Some(1);
            });
        })),
        Lie::TransactionSet { .. }
    );
}

#[test]
fn no_result_can_be_changed() {
    let Some(victim) = Victim::load() else { return };
    let result = |change: fn(&mut TransactionResult) -> bool| {
        victim.change(|forged| {
            forged.processed(|list| {
                assert!(list.iter_mut().any(|one| change(&mut one.result.result)));
            });
        })
    };
    // Failed becomes successful, and the other way round.
    refused!(
        result(|result| match &result.result {
            TransactionResultResult::TxFailed(results) => {
                result.result = TransactionResultResult::TxSuccess(results.clone());
                true
            }
            _ => false,
        }),
        Lie::Results { .. }
    );
    refused!(
        result(|result| match &result.result {
            TransactionResultResult::TxSuccess(results) => {
                result.result = TransactionResultResult::TxFailed(results.clone());
                true
            }
            _ => false,
        }),
        Lie::Results { .. }
    );
    // More is delivered by a path.
    refused!(
        result(|result| match &mut result.result {
            TransactionResultResult::TxSuccess(results) => {
                let mut found = false;
                edit(results, |results| {
                    for one in results {
                        if let OperationResult::OpInner(OperationResultTr::PathPaymentStrictSend(
                            PathPaymentStrictSendResult::Success(success),
                        )) = one
                        {
                            success.last.amount += 1;
                            found = true;
                        }
                    }
                });
                found
            }
            _ => false,
        }),
        Lie::Results { .. }
    );
    refused!(
        result(|result| {
            result.fee_charged += 1;
            true
        }),
        Lie::Results { .. }
    );
    // The name under which a result is filed.
    refused!(
        victim.change(|f| f.processed(|list| list[0].result.transaction_hash = Hash([1; 32]))),
        Lie::Results { .. }
    );
}

#[test]
fn events_of_contract_calls_cannot_be_changed() {
    let Some(victim) = Victim::load() else { return };
    let events = |change: fn(&mut Vec<ContractEvent>)| victim.change(|forged| forged.call_events(change));
    refused!(events(|events| events.iter_mut().take(1).for_each(|event| set_amount(event, 1))), Lie::Events { .. });
    refused!(events(|events| drop(events.pop())), Lie::Events { .. });
    refused!(events(|events| events.extend(events.first().cloned())), Lie::Events { .. });
    refused!(events(|events| events.reverse()), Lie::Events { .. });
    refused!(
        events(|events| events.iter_mut().for_each(|event| event.contract_id = Some(ContractId(Hash([1; 32]))))),
        Lie::Events { .. }
    );
    refused!(events(Vec::clear), Lie::Events { .. });
    let meta = |change: fn(&mut TransactionMetaV4)| {
        victim.change(|forged| {
            forged.metas(|result, meta| {
                if meta.soroban_meta.is_some() && succeeded(result) {
                    change(meta);
                }
            });
        })
    };
    refused!(meta(|meta| meta.soroban_meta = None), Lie::Events { .. });
    refused!(
        meta(|meta| meta.soroban_meta.as_mut().unwrap().return_value = Some(ScVal::Bool(true))),
        Lie::Events { .. }
    );
    refused!(meta(|meta| meta.soroban_meta.as_mut().unwrap().return_value = None), Lie::Events { .. });
    refused!(meta(|meta| meta.operations = VecM::default()), Lie::Events { .. });
    // The whole meta of every transaction, blanked.
    refused!(
        victim.change(|f| f.processed(|list| {
            for one in list {
                one.tx_apply_processing = TransactionMeta::V0(VecM::default());
            }
        })),
        Lie::Events { .. }
    );
}

#[test]
fn no_header_can_be_forged() {
    let Some(victim) = Victim::load() else { return };
    refused!(victim.change(|f| f.entry().hash = Hash([1; 32])), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().ledger_seq += 1), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().scp_value.close_time.0 += 1), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().bucket_list_hash = Hash([1; 32])), Lie::HeaderHash { .. });
    refused!(victim.change(|f| f.header().previous_ledger_hash = Hash([1; 32])), Lie::HeaderHash { .. });
    // Hashed anew, it is another ledger, and each of its other commitments is in the way.
    let rehashed = |change: fn(&mut LedgerHeader)| {
        victim.change(|forged| {
            change(forged.header());
            forged.rehash();
        })
    };
    refused!(rehashed(|header| header.previous_ledger_hash = Hash([1; 32])), Lie::Unlinked { .. });
    refused!(rehashed(|header| header.ledger_seq += 1), Lie::Unlinked { .. });
    refused!(rehashed(|header| header.scp_value.close_time.0 += 1), Lie::ValueSignature { .. });
    refused!(rehashed(|header| header.scp_value.tx_set_hash = Hash([1; 32])), Lie::TransactionSet { .. });
    refused!(rehashed(|header| header.tx_set_result_hash = Hash([1; 32])), Lie::Results { .. });
    refused!(
        rehashed(|header| {
            let StellarValueExt::Signed(signature) = &mut header.scp_value.ext else { panic!("signed") };
            signature.signature = Signature(vec![0; 64].try_into().unwrap());
        }),
        Lie::ValueSignature { .. }
    );
    refused!(
        rehashed(|header| {
            let StellarValueExt::Signed(signature) = &mut header.scp_value.ext else { panic!("signed") };
            signature.node_id = NodeId(PublicKey::PublicKeyTypeEd25519(Uint256([1; 32])));
        }),
        Lie::ValueSignature { .. }
    );
    // A set of one's own needs a validator's signature.
    refused!(
        victim.change(|forged| {
            forged.classic(|list| drop(list.pop()));
            forged.recommit_set();
        }),
        Lie::ValueSignature { .. }
    );
    // A ledger said to be empty, whose transactions are shown all the same.
    refused!(
        rehashed(|header| {
            let StellarValueExt::Signed(signature) = header.scp_value.ext.clone() else { panic!("signed") };
            header.scp_value.ext = StellarValueExt::EmptyTxSet(StellarValueProposedValue {
                tx_set_hash: header.scp_value.tx_set_hash.clone(),
                previous_ledger_hash: header.previous_ledger_hash.clone(),
                previous_ledger_version: header.ledger_version,
                lc_value_signature: signature,
            });
            header.scp_value.tx_set_hash = Hash([0; 32]);
        }),
        Lie::NotEmpty { .. }
    );
    let outcome = rehashed(|header| header.ledger_version = 31);
    assert!(matches!(outcome, Outcome::Unreadable(LedgerError::Protocol { protocol: 31, .. })), "{outcome:?}");
}

#[test]
fn a_ledger_of_another_network_is_refused_though_all_its_hashes_hold() {
    let Some(victim) = Victim::load() else { return };
    let testnet = SorobanNetwork::shipped("stellar-testnet").unwrap().unwrap();
    let lie = verify(&testnet, Ledger::decode(&victim.bytes).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::ValueSignature { .. }), "{lie}");
    // Without signatures the names of its transactions give it away.
    let own = network("another network");
    let mut chain = Chain::new("one network", 19);
    chain.value = Value::Basic;
    let pay = Tx::of(Place::Account([1; 32])).pay(plain(Place::Account([2; 32])), &Asset::Native, 1);
    let closed = chain.close(&[pay], &Validator::new(1));
    let lie = verify(&own, Ledger::decode(&closed.bytes()).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::ResultOfOther { .. }), "{lie}");
}

#[test]
fn broken_bytes_are_no_ledger() {
    let Some(victim) = Victim::load() else { return };
    let cut = &victim.bytes[..victim.bytes.len() - 4];
    let longer = [victim.bytes.as_slice(), &[0; 4]].concat();
    for bytes in [cut, &longer, &[], b"\0\0\0\x09", &vec![0; 17 << 20]] {
        let outcome = victim.judge(bytes);
        assert!(matches!(outcome, Outcome::Unreadable(_)), "{outcome:?}");
    }
}
