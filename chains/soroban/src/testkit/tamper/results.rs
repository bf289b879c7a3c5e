//! What came of each transaction: success, what a path delivered, what a merged account held.

use stellar_xdr::{
    AccountMergeResult, Hash, InnerTransactionResultResult, OperationResult, OperationResultTr,
    PathPaymentStrictReceiveResult, PathPaymentStrictSendResult, TransactionResultResult, VecM,
};

use super::Tamper;
use crate::testkit::forge::{Forged, edit};

const RESULTS: &str = "results";
const OTHER_HASH: &str = "validators sign no results, but it has another hash: the next ledger does not stand on it";

pub const ALL: &[Tamper] = &[
    Tamper::refused("failed_made_successful", RESULTS, |f, _| first(f, succeed)),
    Tamper::refused("successful_made_failed", RESULTS, |f, _| first(f, fail)),
    Tamper::refused("path_delivers_more", RESULTS, |f, _| first(f, |result| each_amount(result, |sum| *sum += 1))),
    Tamper::refused("merge_holds_more", RESULTS, |f, _| first(f, |result| each_held(result, |sum| *sum += 1))),
    Tamper::refused("fee_charged", RESULTS, |f, _| f.results(|pair| pair.result.fee_charged += 1)),
    Tamper::refused("result_renamed", RESULTS, |f, _| {
        f.processed(|list| list.iter_mut().take(1).for_each(|one| one.result.transaction_hash = Hash([1; 32])));
    }),
    Tamper::refused("result_omitted", RESULTS, |f, _| f.processed(|list| drop(list.pop()))),
    Tamper::refused("result_repeated", RESULTS, |f, _| f.processed(|list| list.extend(list.first().cloned()))),
    Tamper::refused("results_swapped", RESULTS, |f, _| {
        f.processed(|list| {
            if list.len() > 1 {
                list.swap(0, 1);
            }
        });
    }),
    Tamper::refused("names_of_results_swapped", RESULTS, |f, _| {
        f.processed(|list| {
            if let [one, other, ..] = list.as_mut_slice() {
                std::mem::swap(&mut one.result.transaction_hash, &mut other.result.transaction_hash);
            }
        });
    }),
    Tamper::refused("result_omitted_and_hashed_anew", "result_count", |f, _| {
        f.processed(|list| drop(list.pop()));
        f.recommit_results();
    }),
    Tamper::refused("result_repeated_and_hashed_anew", "result_count", |f, _| {
        f.processed(|list| list.extend(list.first().cloned()));
        f.recommit_results();
    }),
    Tamper::refused("result_renamed_and_hashed_anew", "result_of_other", |f, _| {
        f.processed(|list| list.iter_mut().take(1).for_each(|one| one.result.transaction_hash = Hash([1; 32])));
        f.recommit_results();
    }),
    Tamper::refused("result_in_place_of_another_and_hashed_anew", "result_of_other", |f, _| {
        f.processed(|list| {
            if let [one, other, ..] = list.as_mut_slice() {
                one.clone_from(other);
            }
        });
        f.recommit_results();
    }),
    Tamper::refused("results_of_operations_omitted_and_hashed_anew", "operation_count", |f, _| {
        first(f, |result| match result {
            TransactionResultResult::TxSuccess(results) if !results.is_empty() => {
                *results = VecM::default();
                true
            }
            _ => false,
        });
        f.recommit_results();
    }),
    Tamper::refused("fee_bump_result_unwrapped_and_hashed_anew", "result_of_other_kind", |f, _| {
        first(f, |result| match result {
            TransactionResultResult::TxFeeBumpInnerSuccess(inner) => {
                let InnerTransactionResultResult::TxSuccess(results) = inner.result.result.clone() else {
                    return false;
                };
                *result = TransactionResultResult::TxSuccess(results);
                true
            }
            _ => false,
        });
        f.recommit_results();
    }),
    Tamper::refused("inner_name_of_a_fee_bump_and_hashed_anew", "result_of_other_kind", |f, _| {
        first(f, |result| match result {
            TransactionResultResult::TxFeeBumpInnerSuccess(inner) => {
                inner.transaction_hash = Hash([1; 32]);
                true
            }
            _ => false,
        });
        f.recommit_results();
    }),
    Tamper::disowned("failed_made_successful_and_hashed_anew", OTHER_HASH, |f, _| {
        first(f, succeed);
        f.recommit_results();
    }),
    Tamper::disowned("successful_made_failed_and_hashed_anew", OTHER_HASH, |f, _| {
        first(f, fail);
        f.recommit_results();
    }),
    Tamper::disowned("path_delivers_more_and_hashed_anew", OTHER_HASH, |f, _| {
        first(f, |result| each_amount(result, |sum| *sum += 1_000_000_000));
        f.recommit_results();
    }),
    Tamper::disowned("results_reordered_and_hashed_anew", OTHER_HASH, |f, _| {
        f.processed(|list| list.reverse());
        f.recommit_results();
    }),
];

/// Changes the first result that can be changed so.
fn first(forged: &mut Forged, change: impl Fn(&mut TransactionResultResult) -> bool) {
    forged.processed(|list| {
        let _ = list.iter_mut().any(|one| change(&mut one.result.result.result));
    });
}

/// What failed for nothing that its operations' results show, now succeeded.
fn succeed(result: &mut TransactionResultResult) -> bool {
    match result {
        TransactionResultResult::TxFailed(results) => {
            *result = TransactionResultResult::TxSuccess(results.clone());
            true
        }
        _ => false,
    }
}

fn fail(result: &mut TransactionResultResult) -> bool {
    match result {
        TransactionResultResult::TxSuccess(results) => {
            *result = TransactionResultResult::TxFailed(results.clone());
            true
        }
        _ => false,
    }
}

/// What paths delivered.
fn each_amount(result: &mut TransactionResultResult, change: impl Fn(&mut i64)) -> bool {
    each(result, |operation| match operation {
        OperationResultTr::PathPaymentStrictSend(PathPaymentStrictSendResult::Success(success)) => {
            change(&mut success.last.amount);
            true
        }
        OperationResultTr::PathPaymentStrictReceive(PathPaymentStrictReceiveResult::Success(success)) => {
            change(&mut success.last.amount);
            true
        }
        _ => false,
    })
}

/// What merged accounts held.
fn each_held(result: &mut TransactionResultResult, change: impl Fn(&mut i64)) -> bool {
    each(result, |operation| match operation {
        OperationResultTr::AccountMerge(AccountMergeResult::Success(held)) => {
            change(held);
            true
        }
        _ => false,
    })
}

fn each(result: &mut TransactionResultResult, change: impl Fn(&mut OperationResultTr) -> bool) -> bool {
    let TransactionResultResult::TxSuccess(results) = result else { return false };
    let mut changed = false;
    edit(results, |results| {
        for one in results {
            if let OperationResult::OpInner(operation) = one {
                changed |= change(operation);
            }
        }
    });
    changed
}
