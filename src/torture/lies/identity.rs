//! Lies about which chain it is and what its tokens are.

use serde_json::json;

use super::receipts::word;
use super::{Lie, Tell};
use alloy_primitives::U256;

pub(super) const LIES: &[Lie] = lies! {
    "wrong-chain", "The chain has another id.", &["eth_chainId"], Tell::Alone(|_, _, _| json!("0x5"));
    "chain-id-garbage", "The chain's id is no number.", &["eth_chainId"], Tell::Alone(|_, _, _| json!("mainnet"));
    "wrong-decimals", "Tokens have 18 decimals.", &["eth_call"],
        Tell::Alone(|_, asked, answer| {
            if asked.params[0]["data"] == DECIMALS { word(U256::from(18)) } else { answer }
        });
    "no-token", "There is no contract where a token is.", &["eth_call"], Tell::Alone(|_, _, _| json!("0x"));
};

/// `decimals()`.
const DECIMALS: &str = "0x313ce567";
