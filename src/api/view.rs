//! Rows as the JSON that callers read: the objects of the event contract, with what a reader wants besides.

use amn_core::deposit::DepositStatus;
use amn_core::intent::Status;
use serde_json::{Value, json};

use super::chains::Chains;
use crate::store::read::contract_events::Said;
use crate::store::read::deposits::Deposit;
use crate::store::read::intents::Intent;

/// As in an event: the newest hundred, so that a body stays under 64 KiB.
pub const DEPOSITS_LISTED_MAX: i64 = 100;

/// An intent without its deposits, as lists show it.
pub fn intent(intent: &Intent, chains: &dyn Chains) -> Value {
    let facts = chains.facts(&intent.network);
    // What is still to pay. Nobody is invited to send what will not count.
    let left = intent.due.beyond(intent.received);
    let open = matches!(intent.status, Status::Awaiting | Status::Detected | Status::Reversed) && !left.is_zero();
    let to_pay = facts
        .as_ref()
        .and_then(|facts| facts.asset(&intent.asset))
        .filter(|_| open)
        .map(|asset| chains.to_pay(&intent.network, asset, &intent.address, intent.reference.as_ref(), left));
    json!({
        "address": intent.address.as_str(),
        "asset": { "decimals": intent.decimals, "id": intent.asset.as_str(), "symbol": intent.symbol },
        "created_at": intent.created_at,
        "derivation_index": intent.derivation_index,
        "due": intent.due,
        "excess": intent.settled.beyond(intent.due),
        "expires_at": intent.expires_at,
        "id": intent.id,
        "late": intent.late,
        "metadata": intent.metadata,
        "network": intent.network,
        "pay_to": to_pay.as_ref().map(|to_pay| {
            json!({ "address": intent.address, "memo": to_pay.memo, "muxed_address": to_pay.muxed_address })
        }),
        "payment_uri": to_pay.and_then(|to_pay| to_pay.uri),
        "received": intent.received,
        "reference": intent.reference,
        "require": intent.require,
        "sequence": intent.sequence,
        "settled": intent.settled,
        "shortfall": intent.due.beyond(intent.settled),
        "status": intent.status,
        "tenant": intent.tenant,
        "tolerance": intent.tolerance,
    })
}

/// An intent with the newest of its deposits.
pub fn intent_whole(of: &Intent, deposits: &[Deposit], total: u64, chains: &dyn Chains) -> Value {
    let mut whole = intent(of, chains);
    whole["deposits"] = deposits.iter().map(deposit).collect();
    whole["deposits_total"] = total.into();
    whole
}

/// What a contract said, with whom it is told to.
pub fn contract_event(said: &Said) -> Value {
    let live = matches!(said.status, DepositStatus::Seen | DepositStatus::Settled);
    let confirmations = said.tip.filter(|_| live).map_or(0, |tip| (tip + 1).saturating_sub(said.height));
    json!({
        "block": { "hash": said.block_hash, "height": said.height.to_string(), "time": said.block_time },
        "confirmations": confirmations,
        "contract": said.contract,
        "data": said.data,
        "evidence": {
            "attestations": said.attestations,
            "inclusion": said.inclusion,
            "operators": said.operators,
        },
        "id": said.id,
        "index": said.index,
        "network": said.network,
        "operation": said.operation,
        "ordinal": said.ordinal,
        "seen_at": said.seen_at,
        "settled_at": said.settled_at,
        "status": said.status,
        "tenant": said.tenant,
        "topics": said.topics,
        "tx": said.tx,
    })
}

/// A deposit, with whose it is.
pub fn deposit(deposit: &Deposit) -> Value {
    let live = matches!(deposit.status, DepositStatus::Seen | DepositStatus::Settled);
    let confirmations = deposit.tip.filter(|_| live).map_or(0, |tip| (tip + 1).saturating_sub(deposit.height));
    json!({
        "accepted": deposit.accepted,
        "amount": deposit.amount,
        "asset": deposit.asset,
        "assigned": deposit.assigned,
        "block": { "hash": deposit.block_hash, "height": deposit.height.to_string(), "time": deposit.block_time },
        "confirmations": confirmations,
        "evidence": {
            "attestations": deposit.attestations,
            "inclusion": deposit.inclusion,
            "operators": deposit.operators,
        },
        "from": deposit.from,
        "id": deposit.id,
        "index": deposit.index,
        "intent": deposit.intent,
        "kind": deposit.kind,
        // As in events: accepted money is no longer late.
        "late": deposit.late && !deposit.accepted,
        "network": deposit.network,
        "reference": deposit.reference,
        "seen_at": deposit.seen_at,
        "settled_at": deposit.settled_at,
        "status": deposit.status,
        "tenant": deposit.tenant,
        "to": deposit.to,
        "tx": deposit.tx,
        "unmatched": deposit.unmatched,
    })
}
