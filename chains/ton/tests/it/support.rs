//! Real data where it is present, and short ways to say what a test is about.

use std::path::PathBuf;

use amn_core::block::{Block, BlockRef, Hash, Header, Height};
use amn_core::money::Amount;
use amn_core::source::{Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use amn_ton::address::Account;
use amn_ton::decode::{self, Registry, Wallets};
use amn_ton::networks::TonNetwork;
use amn_ton::testkit::Made;
use amn_ton::transaction::Transaction;

pub const SHOP: Account = Account::new(0, [1; 32]);
pub const PAYER: Account = Account::new(0, [2; 32]);
pub const STRANGER: Account = Account::new(0, [3; 32]);

/// The two real shard blocks.
pub const BLOCKS: [&str; 2] =
    ["shardblock-0-8000000000000000-57314442.hex", "shardblock-0-6000000000000000-52111590.hex"];

/// A file of real chain data; `None`, and the reason is printed, where it is not on this machine.
pub fn real_text(file: &str) -> Option<String> {
    let folder = std::env::var_os("AMN_REAL_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/real")), PathBuf::from);
    match std::fs::read_to_string(folder.join("ton").join(file)) {
        Ok(text) => Some(text),
        Err(error) => {
            println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
            None
        }
    }
}

/// The bytes of a file of hexadecimal digits.
pub fn real(file: &str) -> Option<Vec<u8>> {
    let digits = real_text(file)?;
    let pairs = digits.trim().as_bytes().chunks_exact(2);
    Some(pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect())
}

pub fn mainnet() -> TonNetwork {
    TonNetwork::shipped("ton-mainnet").unwrap().unwrap()
}

/// The main network as if nothing were too little.
pub fn down_to_one() -> Registry {
    let mut registry = mainnet().registry;
    registry.native.min_amount = Amount::new(1);
    for jetton in registry.jettons.values_mut() {
        let mut one = decode::Jetton::clone(jetton);
        one.listed.min_amount = Amount::new(1);
        *jetton = std::sync::Arc::new(one);
    }
    registry
}

/// The master of the one jetton that is listed.
pub fn usdt(registry: &Registry) -> &decode::Jetton {
    registry.jettons.values().next().unwrap()
}

/// An account's wallet of it.
pub fn wallet(registry: &Registry, owner: Account) -> Account {
    let jetton = usdt(registry);
    jetton.form.wallet(&jetton.master, &owner).unwrap()
}

pub fn watch(accounts: impl IntoIterator<Item = Account>) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for account in accounts {
        watch.insert(&account.raw(), true);
    }
    watch
}

/// A masterchain block of which nothing but its name matters.
pub fn header() -> Header {
    let at = BlockRef { height: Height(52_304_284), hash: Hash([9; 32]) };
    Header { at, parent: Hash([8; 32]), time: Timestamp::from_seconds(1_758_700_000) }
}

/// What these transactions hold for the shop, whose wallets are known.
pub fn shop_reads(registry: &Registry, made: &[(Account, &Made)]) -> Block {
    let transactions: Vec<_> =
        made.iter().map(|(account, made)| Transaction::decode(account.workchain, &made.bytes()).unwrap()).collect();
    for (transaction, (account, made)) in transactions.iter().zip(made) {
        assert_eq!((transaction.account, transaction.at), (*account, made.at), "what was made is what is read");
    }
    decode::block(registry, &Wallets::of(registry, [SHOP]), &watch([SHOP]), header(), &transactions)
}
