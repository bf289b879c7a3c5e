//! What payers signed and validators agreed on: the transactions and their set.

use stellar_xdr::{
    AccountId, AlphaNum4, Asset, AssetCode4, ClawbackOp, ClawbackResult, GeneralizedTransactionSet, Hash, Memo,
    MuxedAccount, OperationBody, OperationResult, OperationResultTr, PaymentOp, PublicKey, Transaction,
    TransactionEnvelope, TransactionPhase, TransactionResultResult, TxSetComponent, Uint256, VecM,
};

use super::Tamper;
use crate::address::Place;
use crate::evidence::commitment;
use crate::testkit::chain::Validator;
use crate::testkit::forge::{Forged, edit};
use crate::testkit::transaction::{muxed, plain};

/// Nobody's account.
const LIAR: Place = Place::Account([7; 32]);

const SET: &str = "transaction_set";

pub const ALL: &[Tamper] = &[
    Tamper::refused("payment_amount", SET, |f, _| first_payment(f, |op, _| op.amount += 1)),
    Tamper::refused("payment_destination", SET, |f, _| first_payment(f, |op, _| op.destination = plain(LIAR))),
    Tamper::refused("payment_number", SET, |f, _| first_payment(f, |op, _| op.destination = with_number(op))),
    Tamper::refused("payment_asset", SET, |f, _| {
        first_payment(f, |op, _| {
            op.asset = Asset::CreditAlphanum4(AlphaNum4 {
                asset_code: AssetCode4(*b"USDC"),
                issuer: AccountId(PublicKey::PublicKeyTypeEd25519(Uint256([7; 32]))),
            });
        });
    }),
    Tamper::refused("payment_memo", SET, |f, _| first_payment(f, |_, tx| tx.memo = Memo::Id(1))),
    Tamper::refused("payment_source", SET, |f, _| first_payment(f, |_, tx| tx.source_account = plain(LIAR))),
    Tamper::refused("operation_repeated", SET, |f, _| {
        each_payment(f, 1, |tx| edit(&mut tx.operations, |operations| operations.push(operations[0].clone())));
    }),
    Tamper::refused("memos_swapped", SET, |f, _| swap(f, |tx| &mut tx.memo)),
    Tamper::refused("sources_swapped", SET, |f, _| swap(f, |tx| &mut tx.source_account)),
    Tamper::refused("destinations_swapped", SET, |f, _| swap(f, |tx| &mut tx.operations)),
    Tamper::refused("signatures_removed", SET, |f, _| {
        f.classic(|list| {
            for envelope in list {
                if let TransactionEnvelope::Tx(envelope) = envelope {
                    envelope.signatures = other_signatures(&envelope.signatures);
                }
            }
        });
    }),
    Tamper::refused("transaction_omitted", SET, |f, _| f.classic(|list| drop(list.pop()))),
    Tamper::refused("transaction_repeated", SET, |f, _| f.classic(|list| list.extend(list.first().cloned()))),
    Tamper::refused("transaction_omitted_with_its_result", SET, |f, id| {
        let mut name = None;
        f.classic(|list| name = name.take().or_else(|| list.pop()));
        let name = name.map(|envelope| commitment::transaction(id, &envelope, &mut Vec::new()).0);
        f.processed(|list| list.retain(|one| Some(one.result.transaction_hash.0) != name));
    }),
    Tamper::refused("set_reordered", SET, |f, _| f.classic(|list| list.reverse())),
    Tamper::refused("phases_reordered", SET, |f, _| f.phases(|phases| phases.reverse())),
    Tamper::refused("base_fee", SET, |f, _| {
        f.phases(|phases| {
            if let Some(TransactionPhase::V0(components)) = phases.first_mut() {
                edit(components, |components| {
                    for TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) in components {
                        component.base_fee = Some(1);
                    }
                });
            }
        });
    }),
    Tamper::refused("set_of_other_parent", "set_of_other_parent", |f, _| {
        f.set(|GeneralizedTransactionSet::V1(set)| set.previous_ledger_hash = Hash([1; 32]));
    }),
    Tamper::refused("memo_changed_and_set_hashed_anew", "value_signature", |f, _| {
        first_payment(f, |_, tx| tx.memo = Memo::Id(1));
        f.recommit_set();
    }),
    Tamper::refused("transaction_changed_and_signed_by_a_stranger", "result_of_other", |f, id| {
        first_payment(f, |op, _| op.amount += 1);
        f.recommit_set();
        f.resign(id, &Validator::new(0xee));
    }),
    Tamper::refused("transaction_omitted_and_signed_by_a_stranger", "result_count", |f, id| {
        f.classic(|list| drop(list.pop()));
        f.recommit_set();
        f.resign(id, &Validator::new(0xee));
    }),
    Tamper::refused("transaction_repeated_with_its_result_and_signed_by_a_stranger", "repeated", |f, id| {
        let mut name = None;
        f.classic(|list| {
            if let (None, Some(first)) = (name, list.first().cloned()) {
                name = Some(commitment::transaction(id, &first, &mut Vec::new()).0);
                list.push(first);
            }
        });
        f.processed(|list| {
            let again = list.iter().find(|one| Some(one.result.transaction_hash.0) == name).cloned();
            list.extend(again);
        });
        f.recommit_results();
        f.recommit_set();
        f.resign(id, &Validator::new(0xee));
    }),
    Tamper::disowned(
        "payment_changed_with_its_name_and_signed_by_a_stranger",
        "it has another hash, and its validator is nobody's",
        |f, id| {
            replace(f, id, 1, paying(|op| op.amount += 1_000_000_000));
            f.recommit_results();
            f.recommit_set();
            f.resign(id, &Validator::new(0xee));
        },
    ),
    Tamper::disowned(
        "payment_redirected_with_its_name_and_signed_by_a_stranger",
        "it has another hash, and its validator is nobody's",
        |f, id| {
            replace(f, id, 1, paying(|op| op.destination = plain(LIAR)));
            f.recommit_results();
            f.recommit_set();
            f.resign(id, &Validator::new(0xee));
        },
    ),
    Tamper::refused("payments_turned_into_clawbacks", SET, |f, id| replace(f, id, usize::MAX, taking_back)),
    Tamper::disowned(
        "payments_turned_into_clawbacks_with_their_results_and_signed_by_a_stranger",
        "it has another hash, and its validator is nobody's",
        |f, id| {
            replace(f, id, usize::MAX, taking_back);
            f.recommit_results();
            f.recommit_set();
            f.resign(id, &Validator::new(0xee));
        },
    ),
];

fn with_number(op: &PaymentOp) -> MuxedAccount {
    match &op.destination {
        MuxedAccount::Ed25519(Uint256(key)) => muxed(Place::Account(*key), 7),
        MuxedAccount::MuxedEd25519(account) => muxed(Place::Account(account.ed25519.0), account.id ^ 1),
    }
}

/// Without signatures where there are some, with one where there are none.
fn other_signatures(
    signatures: &VecM<stellar_xdr::DecoratedSignature, 20>,
) -> VecM<stellar_xdr::DecoratedSignature, 20> {
    if !signatures.is_empty() {
        return VecM::default();
    }
    let signature = stellar_xdr::DecoratedSignature {
        hint: stellar_xdr::SignatureHint([7; 4]),
        signature: stellar_xdr::Signature::default(),
    };
    vec![signature].try_into().unwrap_or_default()
}

/// Changes so many of the transactions whose first operation is a payment, in the order of the set.
fn each_payment(forged: &mut Forged, most: usize, mut change: impl FnMut(&mut Transaction)) {
    let mut left = most;
    forged.classic(|list| {
        for envelope in list {
            if let TransactionEnvelope::Tx(envelope) = envelope
                && matches!(envelope.tx.operations.first().map(|first| &first.body), Some(OperationBody::Payment(_)))
                && left > 0
            {
                left -= 1;
                change(&mut envelope.tx);
            }
        }
    });
}

/// Changes the first payment of the set, and the transaction around it.
fn first_payment(forged: &mut Forged, change: impl Fn(&mut PaymentOp, &mut Transaction)) {
    each_payment(forged, 1, |tx| {
        let mut whole = tx.clone();
        edit(&mut tx.operations, |operations| {
            if let Some(OperationBody::Payment(op)) = operations.first_mut().map(|first| &mut first.body) {
                change(op, &mut whole);
            }
        });
        whole.operations = tx.operations.clone();
        *tx = whole;
    });
}

/// Gives the parts of all payments to each other, last to first.
fn swap<T: Clone>(forged: &mut Forged, part: impl Fn(&mut Transaction) -> &mut T) {
    let mut parts = Vec::new();
    each_payment(forged, usize::MAX, |tx| parts.push(part(tx).clone()));
    each_payment(forged, usize::MAX, |tx| {
        if let Some(other) = parts.pop() {
            *part(tx) = other;
        }
    });
}

/// Changes a payment, and leaves it one.
fn paying(change: impl Fn(&mut PaymentOp)) -> impl Fn(&mut OperationBody) {
    move |body| {
        if let OperationBody::Payment(op) = body {
            change(op);
        }
    }
}

/// Whoever is paid loses all that was ever paid.
fn taking_back(body: &mut OperationBody) {
    if let OperationBody::Payment(PaymentOp { destination, asset, .. }) = &*body {
        let (asset, from) = (asset.clone(), destination.clone());
        *body = OperationBody::Clawback(ClawbackOp { asset, from, amount: i64::MAX });
    }
}

/// Changes so many of the payments that were made, and files their results under their new names.
fn replace(forged: &mut Forged, network_id: [u8; 32], most: usize, change: impl Fn(&mut OperationBody)) {
    let mut made = Vec::new();
    forged.results(|pair| {
        if crate::testkit::forge::succeeded(pair) {
            made.push(pair.transaction_hash.0);
        }
    });
    let (mut buffer, mut renamed) = (Vec::new(), Vec::new());
    forged.classic(|list| {
        for envelope in list {
            let old = commitment::transaction(network_id, envelope, &mut buffer).0;
            let TransactionEnvelope::Tx(inner) = &mut *envelope else { continue };
            if renamed.len() >= most || !made.contains(&old) {
                continue;
            }
            let mut changed = None;
            edit(&mut inner.tx.operations, |operations| {
                let first = operations.first_mut().map(|first| &mut first.body);
                if let Some(body) = first.filter(|body| matches!(body, OperationBody::Payment(_))) {
                    change(body);
                    changed = Some(matches!(body, OperationBody::Clawback(_)));
                }
            });
            if let Some(takes) = changed {
                renamed.push((old, commitment::transaction(network_id, envelope, &mut buffer).0, takes));
            }
        }
    });
    forged.results(|pair| {
        let Some((_, new, takes)) = renamed.iter().find(|(old, ..)| *old == pair.transaction_hash.0) else { return };
        pair.transaction_hash = Hash(*new);
        if *takes && let TransactionResultResult::TxSuccess(results) = &mut pair.result.result {
            edit(results, |results| {
                if let Some(first) = results.first_mut() {
                    *first = OperationResult::OpInner(OperationResultTr::Clawback(ClawbackResult::Success));
                }
            });
        }
    });
}
