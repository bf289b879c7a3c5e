//! What stays true of a network: its name on chain, its assets, and the policy it ships with.

use std::sync::Arc;

use crate::block::{AssetId, NetworkId, Transfer};
use crate::confirmation::Policy;
use crate::money::Amount;

/// An asset of the registry. Only listed assets are ever credited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asset {
    pub id: AssetId,
    /// For reading; never matched on: a symbol proves nothing.
    pub symbol: String,
    /// As the registry says; must equal what the chain says, or the network does not start.
    pub decimals: u8,
    /// Smaller transfers are dust: counted, never recorded.
    pub min_amount: Amount,
    /// Whether this is the network's own money.
    pub native: bool,
}

/// The lasting facts of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub id: NetworkId,
    /// CAIP-2, such as `eip155:8453`.
    pub chain: String,
    pub assets: Vec<Asset>,
    /// The policy of the network's file.
    pub policy: Policy,
    /// Milliseconds between blocks, as the network means it; lag is measured against it.
    pub block_time_ms: u64,
    /// Operators that must agree before a shorter branch is followed or anything settled is undone.
    pub rewind_operators: u32,
    /// Whether a block is final when it exists: then a fork is never followed.
    pub instant_finality: bool,
    /// Whether nothing of what a block holds is under its hash as we read it: then whoever has a later block says
    /// nothing of a payment in it, and only operators that have the payment itself count.
    pub vouched_singly: bool,
}

/// Shared, because every decision reads it.
pub type SharedFacts = Arc<Facts>;

impl Facts {
    /// The asset of that id, if it is listed.
    #[must_use]
    pub fn asset(&self, id: &AssetId) -> Option<&Asset> {
        self.assets.iter().find(|asset| &asset.id == id)
    }

    /// Why a transfer is no money we ever credit, as a bounded word; `None` where it may be.
    #[must_use]
    pub fn leaves_out(&self, transfer: &Transfer) -> Option<&'static str> {
        match self.asset(&transfer.asset) {
            None => Some("unlisted_asset"),
            Some(asset) if transfer.amount < asset.min_amount || transfer.amount.is_zero() => Some("dust"),
            Some(_) => None,
        }
    }
}
