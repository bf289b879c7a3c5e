//! What receivers are told: a full snapshot, serialised once, with sorted keys and amounts as text.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::block::{NetworkId, Reference};
use crate::confirmation::{Require, View};
use crate::contract::Sighting;
use crate::deposit::{Deposit, DepositStatus};
use crate::id::{DepositId, EventId, IntentId, SightingId};
use crate::intent::{Intent, Status};
use crate::money::Amount;
use crate::network::Facts;
use crate::timestamp::Timestamp;

/// Deposits listed in one event; `deposits_total` counts all. Keeps a body under 64 KiB.
pub const DEPOSITS_LISTED_MAX: usize = 100;

/// The version of the event contract.
pub const CONTRACT_VERSION: &str = "1";

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    Detected,
    Partial,
    Confirmed,
    Overpaid,
    Expired,
    Late,
    Retracted,
    Reversed,
    Canceled,
    Unmatched,
    UnmatchedReversed,
    ContractEvent,
    ContractReversed,
    Halted,
    Resumed,
}

impl EventKind {
    /// The word in the body's `event` field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detected => "payment.detected",
            Self::Partial => "payment.partial",
            Self::Confirmed => "payment.confirmed",
            Self::Overpaid => "payment.overpaid",
            Self::Expired => "payment.expired",
            Self::Late => "payment.late",
            Self::Retracted => "payment.retracted",
            Self::Reversed => "payment.reversed",
            Self::Canceled => "payment.canceled",
            Self::Unmatched => "deposit.unmatched",
            Self::UnmatchedReversed => "deposit.reversed",
            Self::ContractEvent => "contract.event",
            Self::ContractReversed => "contract.reversed",
            Self::Halted => "network.halted",
            Self::Resumed => "network.resumed",
        }
    }
}

/// An event as committed: the bytes are what is signed and sent at every attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub id: EventId,
    pub kind: EventKind,
    /// Whose receivers hear it; `None`: the operator's own.
    pub tenant: Option<String>,
    pub intent: Option<IntentId>,
    /// 1, 2, 3 … per intent.
    pub sequence: Option<u64>,
    pub created_at: Timestamp,
    pub body: Vec<u8>,
}

// Field order is key order: every struct below lists its fields in the order of the alphabet.

#[derive(Serialize)]
pub(crate) struct Body<'a> {
    /// Absent where the event is of no contract: older bodies stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_event: Option<SightingView<'a>>,
    pub created_at: Timestamp,
    pub deposits: Vec<DepositView<'a>>,
    pub deposits_total: usize,
    pub event: &'static str,
    pub id: EventId,
    pub intent: Option<IntentView<'a>>,
    pub network: NetworkView<'a>,
    pub policy: Option<Require>,
    pub provider: &'static str,
    pub reason: Option<&'a str>,
    pub sequence: Option<u64>,
    pub version: &'static str,
}

/// A deposit as receivers and readers see it.
#[derive(Serialize, Debug)]
pub struct DepositView<'a> {
    pub amount: Amount,
    pub asset: &'a str,
    pub block: BlockView,
    pub confirmations: u64,
    pub evidence: EvidenceView,
    pub from: Option<&'a str>,
    pub id: DepositId,
    pub index: u32,
    pub kind: &'static str,
    pub late: bool,
    pub reference: Option<&'a str>,
    pub settled_at: Option<Timestamp>,
    pub status: DepositStatus,
    pub to: &'a str,
    pub tx: String,
}

/// What a contract said, as receivers see it.
#[derive(Serialize, Debug)]
pub struct SightingView<'a> {
    pub block: BlockView,
    pub confirmations: u64,
    pub contract: &'a str,
    pub data: &'a Value,
    pub evidence: EvidenceView,
    pub id: SightingId,
    pub index: u32,
    pub operation: u32,
    pub ordinal: u32,
    pub settled_at: Option<Timestamp>,
    pub status: DepositStatus,
    pub topics: &'a Value,
    pub tx: String,
}

#[derive(Serialize, Debug)]
pub struct BlockView {
    pub hash: String,
    pub height: String,
    pub time: Timestamp,
}

#[derive(Serialize, Debug)]
pub struct EvidenceView {
    pub attestations: Option<u32>,
    pub inclusion: &'static str,
    pub operators: u32,
}

/// An intent as receivers and readers see it.
#[derive(Serialize, Debug)]
pub struct IntentView<'a> {
    pub address: &'a str,
    pub asset: AssetView<'a>,
    pub due: Amount,
    pub excess: Amount,
    pub expires_at: Option<Timestamp>,
    pub id: IntentId,
    pub late: Amount,
    pub metadata: &'a BTreeMap<String, Value>,
    pub received: Amount,
    pub reference: Option<&'a str>,
    pub settled: Amount,
    pub shortfall: Amount,
    pub status: Status,
    pub tenant: &'a str,
    pub tolerance: Amount,
}

#[derive(Serialize, Debug)]
pub struct AssetView<'a> {
    pub decimals: Option<u8>,
    pub id: &'a str,
    pub symbol: Option<&'a str>,
}

#[derive(Serialize, Debug)]
pub struct NetworkView<'a> {
    pub chain: &'a str,
    pub id: &'a NetworkId,
    pub tip: Option<String>,
}

impl<'a> DepositView<'a> {
    /// `operators`: how many distinct operators are known to have given this block's hash.
    #[must_use]
    pub fn new(deposit: &'a Deposit, operators: u32, view: Option<&View>) -> Self {
        let confirmations = view.map_or(0, |view| view.confirmations(deposit.block.height));
        Self {
            amount: deposit.transfer.amount,
            asset: deposit.transfer.asset.as_str(),
            block: BlockView {
                hash: deposit.block.hash.to_string(),
                height: deposit.block.height.to_string(),
                time: deposit.block_time,
            },
            // Off the chain there is nothing to count.
            confirmations: if deposit.is_live() { confirmations } else { 0 },
            evidence: EvidenceView {
                attestations: deposit.evidence.attestations,
                inclusion: deposit.evidence.inclusion.as_str(),
                operators,
            },
            from: deposit.transfer.from.as_ref().map(crate::block::Address::as_str),
            id: deposit.id,
            index: deposit.transfer.id.index,
            kind: deposit.transfer.id.kind.as_str(),
            late: !deposit.counts(),
            reference: deposit.transfer.reference.as_ref().map(Reference::as_str),
            settled_at: deposit.settlement.as_ref().map(|s| s.at),
            status: deposit.status,
            to: deposit.transfer.to.as_str(),
            tx: deposit.transfer.id.tx.to_string(),
        }
    }
}

impl<'a> SightingView<'a> {
    /// `operators`: how many distinct operators are known to have given this block's hash.
    #[must_use]
    pub fn new(sighting: &'a Sighting, operators: u32, view: Option<&View>) -> Self {
        let confirmations = view.map_or(0, |view| view.confirmations(sighting.block.height));
        Self {
            block: BlockView {
                hash: sighting.block.hash.to_string(),
                height: sighting.block.height.to_string(),
                time: sighting.block_time,
            },
            confirmations: if sighting.is_live() { confirmations } else { 0 },
            contract: sighting.contract.as_str(),
            data: &sighting.data,
            evidence: EvidenceView {
                attestations: sighting.evidence.attestations,
                inclusion: sighting.evidence.inclusion.as_str(),
                operators,
            },
            id: sighting.id,
            index: sighting.index,
            operation: sighting.operation,
            ordinal: sighting.ordinal,
            settled_at: sighting.settlement.as_ref().map(|s| s.at),
            status: sighting.status,
            topics: &sighting.topics,
            tx: sighting.tx.to_string(),
        }
    }
}

impl<'a> IntentView<'a> {
    #[must_use]
    pub fn new(intent: &'a Intent, facts: &'a Facts) -> Self {
        let (terms, sums) = (&intent.terms, &intent.progress.sums);
        let asset = facts.asset(&terms.asset);
        Self {
            address: terms.address.as_str(),
            asset: AssetView {
                decimals: asset.map(|a| a.decimals),
                id: terms.asset.as_str(),
                symbol: asset.map(|a| a.symbol.as_str()),
            },
            due: terms.due,
            excess: sums.settled.beyond(terms.due),
            expires_at: terms.expires_at,
            id: intent.id,
            late: sums.late,
            metadata: &terms.metadata,
            received: sums.received,
            reference: terms.reference.as_ref().map(Reference::as_str),
            settled: sums.settled,
            shortfall: terms.due.beyond(sums.settled),
            status: intent.progress.status,
            tenant: &terms.tenant,
            tolerance: terms.tolerance,
        }
    }
}

/// The one serialisation of a body: minified, keys sorted at every level.
pub(crate) fn bytes(body: &Body<'_>) -> Vec<u8> {
    // Infallible: text keys, no floats of ours, no custom serializer that fails.
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_level_of_metadata_too() {
        // Fails where some crate of the build turns on serde_json's `preserve_order`.
        let metadata: BTreeMap<String, Value> =
            serde_json::from_str(r#"{"z":{"b":1,"a":{"d":2,"c":3}},"order":"A-1001"}"#).unwrap();
        let text = serde_json::to_string(&metadata).unwrap();
        assert_eq!(text, r#"{"order":"A-1001","z":{"a":{"c":3,"d":2},"b":1}}"#);
    }
}
