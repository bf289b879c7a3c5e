//! Claimable balances: money that waits until its receiver takes it.
//!
//! A claim names the balance and not what is in it. That is proven only by the operation that made the balance:
//! here, where it was made in the same ledger. Of any other, entries before the change tell asset and amount,
//! and nothing commits to those; it is recorded as money without sender, for a person to assign.

use stellar_xdr::{
    Asset, ClaimClaimableBalanceResult, ClaimableBalanceId, CreateClaimableBalanceResult, LedgerEntryChange,
    LedgerEntryData, Operation, OperationBody, OperationResult, OperationResultTr,
};

use super::reading::{Arrival, Created, Reading, Spot};
use crate::asset;
use crate::evidence::Success;
use crate::reference;

pub fn read(
    reading: &mut Reading<'_>,
    success: &Success<'_>,
    index: usize,
    operation: &Operation,
    result: &OperationResult,
) {
    let source = success.source_of(operation);
    match (&operation.body, result) {
        (
            OperationBody::CreateClaimableBalance(op),
            OperationResult::OpInner(OperationResultTr::CreateClaimableBalance(CreateClaimableBalanceResult::Success(
                id,
            ))),
        ) => {
            let created = Created { by: source.place, asset: op.asset.clone(), amount: op.amount };
            reading.created.insert(id.clone(), created);
        }
        (
            OperationBody::ClaimClaimableBalance(op),
            OperationResult::OpInner(OperationResultTr::ClaimClaimableBalance(ClaimClaimableBalanceResult::Success)),
        ) if reading.watched(&source.place) => {
            let spot = Spot { tx: success.hash, operation: index, event: None };
            let reference = reference::of_payment(success.memo, None);
            let arrival = |from, amount: i64| Arrival {
                spot,
                from,
                to: source.place,
                amount: i128::from(amount),
                reference: reference.clone(),
            };
            let created = reading.created.remove(&op.balance_id);
            let proven = created.is_some();
            let held = match created {
                Some(Created { by, asset, amount }) => Some((asset, arrival(Some(by.spell()), amount))),
                None => said(success, index, &op.balance_id).map(|(asset, amount)| (asset, arrival(None, amount))),
            };
            let Some((asset, arrival)) = held else {
                let detail = format!("operation {index} claimed a balance, and nothing tells what was in it");
                return reading.observe("claim_unreadable", success.hash, Some(&source.place), detail);
            };
            match reading.registry.classic.get(&asset).cloned() {
                None => reading.unlisted(&arrival, &asset::classic_id(&reading.registry.chain, &asset)),
                Some(listed) if proven => reading.credit(&listed, arrival),
                Some(listed) => reading.record_unproven(&listed, arrival),
            }
        }
        _ => {}
    }
}

/// What a node says was in the balance before it was claimed.
fn said(success: &Success<'_>, index: usize, id: &ClaimableBalanceId) -> Option<(Asset, i64)> {
    success.said_changes(index).iter().find_map(|change| match change {
        LedgerEntryChange::State(entry) => match &entry.data {
            LedgerEntryData::ClaimableBalance(balance) if balance.balance_id == *id => {
                Some((balance.asset.clone(), balance.amount))
            }
            _ => None,
        },
        _ => None,
    })
}
