//! Classic operations: what arrived is what operation and result say, both under the header's hash.

use std::sync::Arc;

use stellar_xdr::{
    AccountMergeResult, AllowTrustResult, Asset, ClawbackResult, ContractEvent, ContractEventBody, ContractEventType,
    ContractEventV0, ContractId, CreateAccountResult, ExtensionPoint, Hash, Int128Parts, Memo, Operation,
    OperationBody, OperationResult, OperationResultTr as Result, PathPaymentStrictReceiveResult,
    PathPaymentStrictSendResult, PaymentResult, ScAddress, ScMap, ScMapEntry, ScString, ScSymbol, ScVal,
    SetTrustLineFlagsResult,
};

use super::Listed;
use super::reading::{Arrival, Reading, Spot};
use crate::address::{Party, Place};
use crate::asset;
use crate::evidence::Success;
use crate::reference;

/// The flag of a trust line that lets its holder pay.
const AUTHORIZED: u32 = 1;

/// Money that a classic operation moved.
struct Paid<'a> {
    from: Party,
    to: Party,
    asset: &'a Asset,
    amount: i64,
}

/// Reads one operation of a transaction that succeeded.
pub fn read(
    reading: &mut Reading<'_>,
    success: &Success<'_>,
    index: usize,
    operation: &Operation,
    result: &OperationResult,
) {
    let spot = Spot { tx: success.hash, operation: index, event: None };
    let OperationResult::OpInner(result) = result else { return };
    if let Some(paid) = paid(success, operation, result) {
        credit(reading, success, spot, &paid);
    }
    match (&operation.body, result) {
        (OperationBody::Clawback(op), Result::Clawback(ClawbackResult::Success)) => {
            let from = Party::from(&op.from).place;
            if let Some(listed) = listed(reading, &op.asset).filter(|_| reading.watched(&from)) {
                reading.take_back(&listed, spot, from, i128::from(op.amount));
            }
        }
        (OperationBody::SetTrustLineFlags(op), Result::SetTrustLineFlags(SetTrustLineFlagsResult::Success))
            if op.clear_flags & AUTHORIZED != 0 =>
        {
            frozen(reading, success, &Place::account(&op.trustor), &asset::sep11(&op.asset));
        }
        (OperationBody::AllowTrust(op), Result::AllowTrust(AllowTrustResult::Success))
            if op.authorize & AUTHORIZED == 0 =>
        {
            let issuer = success.source_of(operation).place.spell();
            frozen(reading, success, &Place::account(&op.trustor), &format!("an asset of {issuer}"));
        }
        _ => {}
    }
}

fn listed(reading: &Reading<'_>, asset: &Asset) -> Option<Arc<Listed>> {
    reading.registry.classic.get(asset).cloned()
}

/// The issuer no longer lets one of our addresses move what it holds: nothing is taken yet, and it may be.
fn frozen(reading: &mut Reading<'_>, success: &Success<'_>, holder: &Place, asset: &str) {
    if reading.watched(holder) {
        let detail = format!("the issuer withdrew the authorization to hold {asset}");
        reading.observe("authorization_withdrawn", success.hash, Some(holder), detail);
    }
}

/// What an operation paid to whom, if it pays at all.
fn paid<'a>(success: &Success<'_>, operation: &'a Operation, result: &'a Result) -> Option<Paid<'a>> {
    let from = success.source_of(operation);
    let (to, asset, amount) = match (&operation.body, result) {
        (OperationBody::Payment(op), Result::Payment(PaymentResult::Success)) => {
            (Party::from(&op.destination), &op.asset, op.amount)
        }
        (
            OperationBody::PathPaymentStrictReceive(op),
            Result::PathPaymentStrictReceive(PathPaymentStrictReceiveResult::Success(result)),
        ) => (Party::from(&op.destination), &op.dest_asset, result.last.amount),
        // What was sent is fixed; what arrived is what the last trade gave.
        (
            OperationBody::PathPaymentStrictSend(op),
            Result::PathPaymentStrictSend(PathPaymentStrictSendResult::Success(result)),
        ) => (Party::from(&op.destination), &op.dest_asset, result.last.amount),
        (OperationBody::CreateAccount(op), Result::CreateAccount(CreateAccountResult::Success)) => {
            (Party { place: Place::account(&op.destination), id: None }, &Asset::Native, op.starting_balance)
        }
        (OperationBody::AccountMerge(to), Result::AccountMerge(AccountMergeResult::Success(balance))) => {
            (Party::from(to), &Asset::Native, *balance)
        }
        _ => return None,
    };
    // Money that comes back to where it left pays nobody.
    (from.place != to.place).then_some(Paid { from, to, asset, amount })
}

fn credit(reading: &mut Reading<'_>, success: &Success<'_>, spot: Spot, paid: &Paid<'_>) {
    if !reading.watched(&paid.to.place) {
        return;
    }
    let arrival = Arrival {
        spot,
        from: Some(paid.from.place.spell()),
        to: paid.to.place,
        amount: i128::from(paid.amount),
        reference: reference::of_payment(success.memo, paid.to.id),
    };
    let Some(listed) = listed(reading, paid.asset) else {
        return reading.unlisted(&arrival, &asset::classic_id(&reading.registry.chain, paid.asset));
    };
    // What arrived is the last thing an operation tells of; trades on the way come before it.
    if let Some(said) = success.said_events(spot.operation).last()
        && *said != expected(&listed, paid, success.memo)
    {
        let detail = format!("operation {}: the event beside it tells otherwise", spot.operation);
        reading.observe("event_disagrees", spot.tx, Some(&paid.to.place), detail);
    }
    reading.credit(&listed, arrival);
}

/// The event that the network defines for this payment (CAP-67).
fn expected(listed: &Listed, paid: &Paid<'_>, memo: &Memo) -> ContractEvent {
    let address = |party: &Party| {
        let (Place::Account(key) | Place::Contract(key)) = party.place;
        let account = stellar_xdr::AccountId(stellar_xdr::PublicKey::PublicKeyTypeEd25519(stellar_xdr::Uint256(key)));
        ScVal::Address(ScAddress::Account(account))
    };
    let issuer = asset::issuer(paid.asset);
    let is_issuer = |party: &Party| issuer.is_some_and(|key| party.place == Place::Account(key));
    let (from, to) = (address(&paid.from), address(&paid.to));
    let (name, mut topics) = match (is_issuer(&paid.from), is_issuer(&paid.to)) {
        (true, false) => ("mint", vec![to]),
        (false, true) => ("burn", vec![from]),
        _ => ("transfer", vec![from, to]),
    };
    topics.insert(0, symbol(name));
    topics.push(ScVal::String(ScString(text(listed.sep11.as_deref().unwrap_or_default()))));
    let id = match (paid.to.id, memo) {
        (Some(id), _) => Some(ScVal::U64(id)),
        (None, Memo::Id(id)) => Some(ScVal::U64(*id)),
        (None, Memo::Text(text)) => {
            Some(ScVal::String(ScString(text.as_slice().to_vec().try_into().unwrap_or_default())))
        }
        (None, Memo::Hash(hash) | Memo::Return(hash)) => {
            Some(ScVal::Bytes(stellar_xdr::ScBytes(hash.0.to_vec().try_into().unwrap_or_default())))
        }
        (None, Memo::None) => None,
    };
    let amount = ScVal::I128(Int128Parts { hi: if paid.amount < 0 { -1 } else { 0 }, lo: paid.amount.cast_unsigned() });
    let data = match id.filter(|_| name != "burn") {
        None => amount,
        Some(id) => map(vec![("amount", amount), ("to_muxed_id", id)]),
    };
    ContractEvent {
        ext: ExtensionPoint::V0,
        contract_id: Some(ContractId(Hash(listed.contract))),
        type_: ContractEventType::Contract,
        body: ContractEventBody::V0(ContractEventV0 { topics: topics.try_into().unwrap_or_default(), data }),
    }
}

fn text<const N: u32>(text: &str) -> stellar_xdr::StringM<N> {
    text.try_into().unwrap_or_default()
}

fn symbol(name: &str) -> ScVal {
    ScVal::Symbol(ScSymbol(text(name)))
}

fn map(entries: Vec<(&str, ScVal)>) -> ScVal {
    let entries: Vec<_> = entries.into_iter().map(|(key, val)| ScMapEntry { key: symbol(key), val }).collect();
    ScVal::Map(Some(ScMap(entries.try_into().unwrap_or_default())))
}
