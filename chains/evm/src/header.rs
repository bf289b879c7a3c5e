//! Recomputes a header's hash from its fields: the one thing a node cannot argue about.
//!
//! A header that the chain says must recompute and does not is a lie, unless it carries fields this
//! binary does not know: then the chain has moved on, the evidence degrades, and it is said.

use alloy_consensus::Header as ConsensusHeader;
use alloy_primitives::B256;
use amn_core::block::{BlockRef, Hash, Header, Height};
use amn_core::timestamp::Timestamp;

use crate::evidence::Lie;
use crate::wire::{WireError, WireHeader, field_names, parse};

/// Fields that nodes print beside a header and that no hash covers.
const NOT_HASHED: &[&str] = &[
    "hash",
    "size",
    "totalDifficulty",
    "transactions",
    "uncles",
    "withdrawals",
    "author",
    // Arbitrum: copies of what mixHash and extraData hold.
    "l1BlockNumber",
    "sendCount",
    "sendRoot",
    // BSC and Base: a time finer than the header's own.
    "milliTimestamp",
    "timestampMillis",
    // Parity's and Erigon's extras.
    "sealFields",
    "blockTimestamp",
];

/// Fields that the hash covers.
const HASHED: &[&str] = &[
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
];

/// A header, and whether its hash follows from its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub wire: WireHeader,
    /// `true`: the hash was recomputed. `false`: it could not be, and why is in `unknown_fields`.
    pub recomputed: bool,
    /// Fields this binary does not know, where the hash did not recompute.
    pub unknown_fields: Vec<String>,
}

impl Checked {
    #[must_use]
    pub fn height(&self) -> Height {
        Height(self.wire.number.0)
    }

    /// The header in the words of the rules.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            at: BlockRef { height: self.height(), hash: Hash(self.wire.hash.0) },
            parent: Hash(self.wire.parent_hash.0),
            time: Timestamp::from_seconds(i64::try_from(self.wire.timestamp.0).unwrap_or(i64::MAX)),
        }
    }
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Lie(#[from] Lie),
}

/// Reads a header and recomputes its hash.
///
/// `must_recompute`: the network's codec says that every hash follows from the fields we know.
pub fn check(json: &[u8], must_recompute: bool) -> Result<Checked, HeaderError> {
    let wire: WireHeader = parse("the block", json)?;
    let computed = hash(&wire);
    if computed == wire.hash {
        return Ok(Checked { wire, recomputed: true, unknown_fields: Vec::new() });
    }
    let unknown_fields: Vec<String> = field_names(json)
        .into_iter()
        .filter(|name| !HASHED.contains(&name.as_str()) && !NOT_HASHED.contains(&name.as_str()))
        .take(8) // Enough for a person to see what changed.
        .collect();
    if must_recompute && unknown_fields.is_empty() {
        return Err(Lie::HeaderHash { said: wire.hash, computed }.into());
    }
    Ok(Checked { wire, recomputed: false, unknown_fields })
}

/// keccak of the header's RLP.
#[must_use]
pub fn hash(wire: &WireHeader) -> B256 {
    ConsensusHeader {
        parent_hash: wire.parent_hash,
        ommers_hash: wire.sha3_uncles,
        beneficiary: wire.miner,
        state_root: wire.state_root,
        transactions_root: wire.transactions_root,
        receipts_root: wire.receipts_root,
        logs_bloom: wire.logs_bloom,
        difficulty: wire.difficulty,
        number: wire.number.0,
        gas_limit: wire.gas_limit.0,
        gas_used: wire.gas_used.0,
        timestamp: wire.timestamp.0,
        extra_data: wire.extra_data.clone(),
        mix_hash: wire.mix_hash.unwrap_or_default(),
        nonce: wire.nonce.unwrap_or_default(),
        base_fee_per_gas: wire.base_fee_per_gas.map(|q| q.0),
        withdrawals_root: wire.withdrawals_root,
        blob_gas_used: wire.blob_gas_used.map(|q| q.0),
        excess_blob_gas: wire.excess_blob_gas.map(|q| q.0),
        parent_beacon_block_root: wire.parent_beacon_block_root,
        requests_hash: wire.requests_hash,
        block_access_list_hash: wire.block_access_list_hash,
        slot_number: wire.slot_number.map(|q| q.0),
    }
    .hash_slow()
}
