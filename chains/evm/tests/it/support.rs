//! Real data where it is present, and short ways to say what a test is about.

use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes, U256};
use amn_core::money::Amount;
use amn_core::source::{Watch, WatchVersion};
use amn_evm::decode::{Listed, Registry, TRANSFER};
use amn_evm::wire::{Quantity, WireLog, WireReceipt};
use serde_json::Value;

/// A file of real chain data; `None`, and the reason is printed, where it is not on this machine.
pub fn real(file: &str) -> Option<Value> {
    let folder = std::env::var_os("AMN_REAL_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/real")), PathBuf::from);
    let path = folder.join("evm").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) => {
            println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
            None
        }
    }
}

/// A watch on these addresses, for tokens and native money.
pub fn watch(addresses: &[Address]) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for address in addresses {
        watch.insert(address.as_slice(), true);
    }
    watch
}

pub const TOKEN: Address = Address::repeat_byte(0x70);
pub const TOKEN_PROXY_AT: Address = Address::repeat_byte(0x71);
pub const NATIVE_PROXY_AT: Address = Address::repeat_byte(0x72);
pub const PAYER: Address = Address::repeat_byte(0x11);
pub const SHOP: Address = Address::repeat_byte(0x22);

/// One token with a minimum of 10, one proxy of each kind.
pub fn registry() -> Registry {
    let listed = |name: &str| Listed { asset: amn_core::block::AssetId::new(name), min_amount: Amount::new(10) };
    Registry {
        native: listed("native"),
        tokens: [(TOKEN, listed("token"))].into(),
        token_proxies: [TOKEN_PROXY_AT].into(),
        native_proxies: [NATIVE_PROXY_AT].into(),
    }
}

pub fn topic(address: Address) -> B256 {
    address.into_word()
}

pub fn log(address: Address, topics: Vec<B256>, data: Vec<u8>) -> WireLog {
    WireLog {
        address,
        topics,
        data: Bytes::from(data),
        block_hash: None,
        block_number: None,
        transaction_hash: None,
        transaction_index: None,
        log_index: None,
        removed: false,
    }
}

pub fn transfer(token: Address, to: Address, value: U256) -> WireLog {
    log(token, vec![TRANSFER, topic(PAYER), topic(to)], value.to_be_bytes_vec())
}

pub fn receipt(logs: Vec<WireLog>) -> WireReceipt {
    WireReceipt {
        transaction_hash: B256::repeat_byte(0xee),
        transaction_index: Quantity(0),
        block_hash: B256::repeat_byte(0xbb),
        block_number: Quantity(7),
        kind: Some(Quantity(2)),
        status: Some(Quantity(1)),
        root: None,
        cumulative_gas_used: Quantity(21_000),
        logs_bloom: None,
        logs,
        deposit_nonce: None,
        deposit_receipt_version: None,
    }
}
