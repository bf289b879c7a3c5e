//! What a transaction moved, as one endpoint tells it to a person: nothing here is proven, and nothing credited.

use crate::block::{Address, AssetId, BlockRef, Kind};

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub block: BlockRef,
    /// `None` where the chain does not say.
    pub succeeded: Option<bool>,
    /// In the order of the chain.
    pub moves: Vec<Move>,
}

/// One movement of value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub kind: Kind,
    /// As in a transfer's id.
    pub index: u32,
    /// The contract that says so; `None` where the transaction itself does.
    pub contract: Option<Address>,
    /// The asset, where it is on the allow-list: otherwise it is no money of ours.
    pub asset: Option<AssetId>,
    pub to: Address,
    /// In smallest units; a count that may exceed 128 bits. Empty where it is not of a known shape.
    pub amount: String,
    /// What is odd about it.
    pub note: Option<&'static str>,
}
