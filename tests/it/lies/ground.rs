//! The honest chain, the network that watches it, and who is paid on it.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use amn_core::block::Inclusion;
use amn_core::confirmation::Require;
use amn_core::money::Amount;
use amn_evm::networks::{Contract, EvmNetwork, TokenEntry};
use amn_evm::testkit::{Call, History, transfer_log};
use amn_scanner::torture::lies::Aim;

pub const CHAIN: u64 = 31337;
pub const TOKEN: Address = Address::repeat_byte(0x70);
const WORTHLESS: Address = Address::repeat_byte(0x71);
const TOKEN_PROXY: Address = Address::repeat_byte(0x72);
const NATIVE_PROXY: Address = Address::repeat_byte(0x73);
const OTHER: Address = Address::repeat_byte(0x11);
/// Pays with the token.
pub const SHOP: Address = Address::repeat_byte(0x22);
/// Pays with the token through a fee proxy.
pub const PROXY_SHOP: Address = Address::repeat_byte(0x23);
/// Pays with the token, and waits until the payment is final.
pub const PATIENT_SHOP: Address = Address::repeat_byte(0x24);
/// Pays with native money.
pub const NATIVE_SHOP: Address = Address::repeat_byte(0x25);
/// Pays with native money through a fee proxy.
pub const NATIVE_PROXY_SHOP: Address = Address::repeat_byte(0x26);
/// Got one unit of native money inside of a contract's call, of fifty.
pub const INNER: Address = Address::repeat_byte(0x55);
/// Is never paid what counts.
pub const THIEF: Address = Address::repeat_byte(0x66);
/// Nobody pays it, and its time is not over.
pub const QUIET: Address = Address::repeat_byte(0x77);

/// What the thief is said to have got.
pub const LOOT: u128 = 1_000;

/// Two confirmations, proven, by two operators; two may undo what is settled.
pub fn network() -> EvmNetwork {
    let token =
        TokenEntry { symbol: "TST".to_owned(), address: Contract(TOKEN), decimals: 6, min_amount: Amount::new(1) };
    let mut network = EvmNetwork::shipped("devnet").unwrap().unwrap().with_tokens("test", &[token]).unwrap();
    network.registry.token_proxies.insert(TOKEN_PROXY);
    network.registry.native_proxies.insert(NATIVE_PROXY);
    let facts = Arc::make_mut(&mut network.facts);
    facts.policy.require = Require {
        confirmations: Some(2),
        inclusion: Some(Inclusion::Proven),
        operators: Some(2),
        ..Require::default()
    };
    facts.policy.tiers.clear();
    facts.rewind_operators = 2;
    network
}

/// Three empty blocks, the first of them final.
pub fn beginning() -> History {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    history.pass(2);
    (history.safe, history.finalized) = (Some(0), Some(0));
    history
}

/// Payments to the shops, and much that looks like payments to the thief and is none.
pub fn payments(native: bool) -> Vec<Call> {
    let reference = B256::repeat_byte(5);
    let mut unbacked = Call::through_token_proxy(TOKEN_PROXY, TOKEN, THIEF, LOOT, reference);
    unbacked.logs.remove(0);
    let mut collectible = transfer_log(TOKEN, THIEF, U256::ZERO);
    collectible.topics.push(B256::from(U256::from(LOOT)));
    collectible.data = Bytes::new();
    let mut calls = vec![
        Call::token(TOKEN, SHOP, 25),
        Call::token(TOKEN, OTHER, 7),
        Call::with_logs(TOKEN, vec![collectible]),
        Call::token(WORTHLESS, THIEF, LOOT),
        Call::token(TOKEN, THIEF, LOOT).failing(),
        Call::through_token_proxy(TOKEN_PROXY, TOKEN, PROXY_SHOP, 40, reference),
        unbacked,
        Call::token(TOKEN, PATIENT_SHOP, 30),
    ];
    if native {
        calls.extend([
            Call::native(NATIVE_SHOP, 500),
            Call::native(THIEF, LOOT).failing(),
            Call::through_native_proxy(NATIVE_PROXY, NATIVE_PROXY_SHOP, 600, reference),
        ]);
    }
    calls
}

/// A block of money that is nobody's here.
pub fn bystanders() -> Vec<Call> {
    vec![Call::token(TOKEN, OTHER, 3), Call::token(TOKEN, OTHER, 4)]
}

/// Who is paid how much of what, and confirmed in the end.
pub fn honest(native: bool) -> Vec<(&'static str, Address, u128)> {
    let tokens = [("TST", SHOP, 25), ("TST", PROXY_SHOP, 40), ("TST", PATIENT_SHOP, 30)];
    let natives = [("ETH", NATIVE_SHOP, 500), ("ETH", NATIVE_PROXY_SHOP, 600)];
    tokens.into_iter().chain(natives.into_iter().filter(|_| native)).collect()
}

/// Whom a lie is about, by its name.
pub fn aim(lie: &str) -> Aim {
    let payee = if lie.starts_with("native") { NATIVE_SHOP } else { SHOP };
    // A trace is looked at only where a balance grew.
    let thief = if lie.starts_with("trace") { INNER } else { THIEF };
    Aim { token: Some(TOKEN), payee: Some(payee), thief, amount: U256::from(LOOT) }
}
