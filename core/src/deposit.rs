//! A transfer to a watched address, from the block it was seen in to its settling or its undoing.
//! A deposit is never deleted.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::block::{BlockRef, Evidence, NetworkId, Transfer, TransferId};
use crate::confirmation::Require;
use crate::id::{DepositId, IntentId};
use crate::timestamp::Timestamp;

/// Where a deposit is; what a watched contract said moves alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DepositStatus {
    /// In a covered block. Next: settled, retracted.
    Seen,
    /// Deep enough for the policy it was decided under. Next: reversed.
    Settled,
    /// Left the canonical chain before it settled. Next: seen.
    Retracted,
    /// Left the canonical chain, or was taken back, after it settled. Next: seen.
    Reversed,
}

impl DepositStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Settled => "settled",
            Self::Retracted => "retracted",
            Self::Reversed => "reversed",
        }
    }
}

impl FromStr for DepositStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Seen, Self::Settled, Self::Retracted, Self::Reversed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// Why a deposit belongs to no intent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// The intent of this address and reference asks for another asset.
    WrongAsset,
    /// The address needs a reference to tell intents apart, and there was none.
    MissingReference,
    /// No intent has this reference.
    UnknownReference,
    /// It names two references at once: in the address, and beside it.
    ContradictoryReference,
    /// Native money moved inside a contract call, found by balance; a person decides whose it is.
    InternalTransfer,
    /// A person took it from the intent it was assigned to.
    Unassigned,
}

impl Unmatched {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongAsset => "wrong_asset",
            Self::MissingReference => "missing_reference",
            Self::UnknownReference => "unknown_reference",
            Self::ContradictoryReference => "contradictory_reference",
            Self::InternalTransfer => "internal_transfer",
            Self::Unassigned => "unassigned",
        }
    }
}

impl FromStr for Unmatched {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::WrongAsset,
            Self::MissingReference,
            Self::UnknownReference,
            Self::ContradictoryReference,
            Self::InternalTransfer,
            Self::Unassigned,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .ok_or(())
    }
}

/// Whose a deposit is. Decided once, when it is first seen; only a person changes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    Intent(IntentId),
    Nobody(Unmatched),
}

/// The recorded fact of settling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// Wall time of the decision.
    pub at: Timestamp,
    /// The tip it was decided from.
    pub tip: BlockRef,
    /// The terms in force.
    pub require: Require,
}

/// A transfer to a watched address.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent recorded facts, each a column")]
pub struct Deposit {
    pub id: DepositId,
    pub transfer: Transfer,
    /// 0 for the first content seen under this transfer's name, one more for each other content.
    pub occurrence: u32,
    pub block: BlockRef,
    pub block_time: Timestamp,
    /// Its place among the transfers of its block.
    pub ordinal: u32,
    pub status: DepositStatus,
    pub evidence: Evidence,
    /// Whether every header between it and our tip was read and linked, so that whoever vouches for
    /// a later block vouches for this one.
    pub linked: bool,
    pub tenant: String,
    pub owner: Owner,
    /// A person assigned it.
    pub assigned: bool,
    /// It came after the end of its intent.
    pub late: bool,
    /// Late, and accepted by a person.
    pub accepted: bool,
    pub settlement: Option<Settlement>,
}

impl Deposit {
    /// The name of a deposit follows from what it is, so that two daemons give one name.
    #[must_use]
    pub fn id_of(network: &NetworkId, transfer: &TransferId, occurrence: u32) -> DepositId {
        DepositId(digest(&[
            b"deposit",
            network.as_str().as_bytes(),
            &transfer.tx.0,
            transfer.kind.as_str().as_bytes(),
            &transfer.index.to_be_bytes(),
            &occurrence.to_be_bytes(),
        ]))
    }

    /// On the canonical chain, as far as we know.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.status, DepositStatus::Seen | DepositStatus::Settled)
    }

    /// Whether it counts towards what is due: in time, or accepted.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !self.late || self.accepted
    }

    #[must_use]
    pub const fn intent(&self) -> Option<IntentId> {
        match self.owner {
            Owner::Intent(id) => Some(id),
            Owner::Nobody(_) => None,
        }
    }

    /// The order in which decisions are taken: as on chain.
    #[must_use]
    pub const fn place(&self) -> (u64, u32, DepositId) {
        (self.block.height.0, self.ordinal, self.id)
    }
}

/// The first 128 bits of SHA-256 over the parts, each with its length before it.
#[must_use]
pub(crate) fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let all = hash.finalize();
    all.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}
