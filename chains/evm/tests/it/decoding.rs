//! What counts as a payment, and what only looks like one.

use alloy_primitives::{Address, B256, U256, keccak256};
use amn_core::block::Kind;
use amn_core::money::Amount;
use amn_evm::decode::{self, NATIVE_PROXY, Reading, TOKEN_PROXY, TRANSFER, reference_key};
use amn_evm::wire::{Quantity, WholeTransaction, WireLog, WireTransaction};

use crate::support::*;

fn read(logs: Vec<WireLog>) -> Reading {
    decode::block(&registry(), &watch(&[SHOP]), &[], &[receipt(logs)])
}

fn kinds(reading: &Reading) -> Vec<&str> {
    reading.observations.iter().map(|seen| seen.kind.as_str()).collect()
}

fn words(words: &[U256]) -> Vec<u8> {
    words.iter().flat_map(U256::to_be_bytes::<32>).collect()
}

fn word(address: Address) -> U256 {
    U256::from_be_bytes(topic(address).0)
}

fn token_proxy(token: Address, to: Address, amount: u64, reference: B256) -> WireLog {
    let data = words(&[word(token), word(to), U256::from(amount), U256::from(1), word(PAYER)]);
    log(TOKEN_PROXY_AT, vec![TOKEN_PROXY, reference], data)
}

#[test]
fn a_listed_tokens_transfer_to_a_watched_address_is_a_payment() {
    let other = transfer(TOKEN, PAYER, U256::from(99));
    let reading = read(vec![other, transfer(TOKEN, SHOP, U256::from(25))]);
    let [paid] = reading.transfers.as_slice() else { panic!("{reading:?}") };
    assert_eq!((paid.id.kind, paid.id.index, paid.amount), (Kind::Token, 1, Amount::new(25)));
    assert_eq!(paid.to.as_str(), "0x2222222222222222222222222222222222222222");
    assert_eq!(paid.reference, None);
    assert!(reading.observations.is_empty());
}

#[test]
fn a_token_that_is_not_listed_pays_nobody() {
    let fake = Address::repeat_byte(0x66);
    let native_log = "0xfffffffffffffffffffffffffffffffffffffffe".parse().unwrap(); // EIP-7708
    let reading = read(vec![transfer(fake, SHOP, U256::from(25)), transfer(native_log, SHOP, U256::from(25))]);
    assert_eq!(reading, Reading::default());
}

#[test]
fn what_has_transfers_topic_in_another_shape_pays_nobody_and_is_noted_for_listed_tokens() {
    let nft = |at| log(at, vec![TRANSFER, topic(PAYER), topic(SHOP), B256::with_last_byte(7)], Vec::new());
    assert_eq!(read(vec![nft(Address::repeat_byte(0x66))]), Reading::default());
    let dirty = log(TOKEN, vec![TRANSFER, B256::repeat_byte(1), topic(SHOP)], words(&[U256::from(25)]));
    let long = log(TOKEN, vec![TRANSFER, topic(PAYER), topic(SHOP)], words(&[U256::from(25), U256::ZERO]));
    let unindexed = log(TOKEN, vec![TRANSFER], words(&[word(PAYER), word(SHOP), U256::from(25)]));
    let reading = read(vec![nft(TOKEN), dirty, long, unindexed]);
    assert!(reading.transfers.is_empty());
    assert_eq!(kinds(&reading), ["malformed_transfer"; 3]);
}

#[test]
fn zero_and_dust_are_counted_and_not_credited() {
    let reading = read(vec![transfer(TOKEN, SHOP, U256::ZERO), transfer(TOKEN, SHOP, U256::from(9))]);
    assert!(reading.transfers.is_empty());
    assert_eq!(kinds(&reading), ["dust", "dust"]);
}

#[test]
fn an_amount_beyond_128_bits_is_noted_and_never_cut_down() {
    let reading = read(vec![transfer(TOKEN, SHOP, U256::from(1) << 128)]);
    assert!(reading.transfers.is_empty());
    assert_eq!(kinds(&reading), ["unrepresentable"]);
    let largest = read(vec![transfer(TOKEN, SHOP, U256::from(u128::MAX))]);
    assert_eq!(largest.transfers[0].amount, Amount::MAX);
}

#[test]
fn a_removed_log_and_a_log_of_a_failed_transaction_pay_nobody() {
    let removed = WireLog { removed: true, ..transfer(TOKEN, SHOP, U256::from(25)) };
    assert_eq!(read(vec![removed]), Reading::default());
    let mut failed = receipt(vec![transfer(TOKEN, SHOP, U256::from(25))]);
    failed.status = Some(Quantity(0));
    assert_eq!(decode::block(&registry(), &watch(&[SHOP]), &[], &[failed]), Reading::default());
}

#[test]
fn a_fee_proxy_gives_the_tokens_own_transfer_its_reference_and_adds_no_money() {
    let reference = keccak256(0xa009_8add_01ac_c736_u64.to_be_bytes());
    let reading = read(vec![transfer(TOKEN, SHOP, U256::from(25)), token_proxy(TOKEN, SHOP, 25, reference)]);
    let [paid] = reading.transfers.as_slice() else { panic!("{reading:?}") };
    assert_eq!((paid.id.kind, paid.id.index), (Kind::Token, 0));
    assert_eq!(paid.reference, Some(reference_key("a0098add01acc736").unwrap()));
}

#[test]
fn a_proxy_event_without_the_tokens_transfer_before_it_pays_nobody() {
    let reference = B256::repeat_byte(5);
    let event = || token_proxy(TOKEN, SHOP, 25, reference);
    let alone = read(vec![event()]);
    assert!(alone.transfers.is_empty());
    assert_eq!(kinds(&alone), ["unbacked_reference"]);
    let after = read(vec![event(), transfer(TOKEN, SHOP, U256::from(25))]);
    assert_eq!(after.transfers[0].reference, None, "the transfer came after the event");
    let other_amount = read(vec![transfer(TOKEN, SHOP, U256::from(24)), event()]);
    assert_eq!(other_amount.transfers[0].reference, None);
    let worthless = token_proxy(Address::repeat_byte(0x66), SHOP, 25, reference);
    let forged = read(vec![transfer(TOKEN, SHOP, U256::from(25)), worthless]);
    assert_eq!(forged.transfers[0].reference, None, "the event names another token");
    let elsewhere = WireLog { address: Address::repeat_byte(0x66), ..event() };
    let unknown = read(vec![transfer(TOKEN, SHOP, U256::from(25)), elsewhere]);
    assert_eq!(unknown.transfers[0].reference, None, "the proxy is not listed");
}

#[test]
fn each_proxy_event_claims_one_transfer() {
    let (first, second) = (B256::repeat_byte(5), B256::repeat_byte(6));
    let paid = || transfer(TOKEN, SHOP, U256::from(25));
    let event = |reference| token_proxy(TOKEN, SHOP, 25, reference);
    let reading = read(vec![paid(), event(first), paid(), event(second), event(first)]);
    let references: Vec<_> = reading.transfers.iter().map(|t| t.reference.as_ref().unwrap().as_str()).collect();
    assert_eq!(references, [first.to_string(), second.to_string()]);
    assert_eq!(kinds(&reading), ["unbacked_reference"]);
}

#[test]
fn the_native_proxys_event_is_itself_the_credit() {
    let reference = B256::repeat_byte(5);
    let data = words(&[word(SHOP), U256::from(25), U256::from(1), word(PAYER)]);
    let event = |at| log(at, vec![NATIVE_PROXY, reference], data.clone());
    let reading = read(vec![event(Address::repeat_byte(0x66)), event(NATIVE_PROXY_AT)]);
    let [paid] = reading.transfers.as_slice() else { panic!("{reading:?}") };
    assert_eq!((paid.id.kind, paid.id.index, paid.asset.as_str()), (Kind::Proxy, 1, "native"));
    assert_eq!(paid.reference.as_ref().unwrap().as_str(), reference.to_string());
}

#[test]
fn a_native_payment_needs_a_successful_transaction_with_value_to_a_watched_address() {
    let pay = |status: Option<u64>, value: u64, to: Option<Address>, kind: u64| {
        let tx = WholeTransaction {
            hash: B256::repeat_byte(0xee),
            kind: Some(Quantity(kind)),
            from: PAYER,
            to,
            value: U256::from(value),
            ..WholeTransaction::default()
        };
        let mut receipt = receipt(vec![transfer(TOKEN, SHOP, U256::from(30))]);
        receipt.status = status.map(Quantity);
        decode::block(&registry(), &watch(&[SHOP]), &[WireTransaction::Whole(Box::new(tx))], &[receipt])
    };
    let both = pay(Some(1), 25, Some(SHOP), 2);
    let order: Vec<_> = both.transfers.iter().map(|t| (t.id.kind, t.id.index)).collect();
    assert_eq!(order, [(Kind::Native, 0), (Kind::Token, 0)], "the transaction's own value comes first");
    let native = |reading: &Reading| reading.transfers.iter().filter(|t| t.id.kind == Kind::Native).count();
    assert_eq!(native(&pay(Some(0), 25, Some(SHOP), 2)), 0, "failed");
    assert_eq!(native(&pay(Some(1), 0, Some(SHOP), 2)), 0, "no value");
    assert_eq!(native(&pay(Some(1), 25, None, 2)), 0, "creates a contract");
    assert_eq!(native(&pay(Some(1), 25, Some(PAYER), 2)), 0, "not watched");
    assert_eq!(native(&pay(Some(1), 25, Some(SHOP), 0x6a)), 0, "Arbitrum's internal transaction");
    assert_eq!(native(&pay(Some(1), 25, Some(SHOP), 0x7e)), 1, "a deposit from Ethereum carries value");
    let unknown = pay(None, 25, Some(SHOP), 0);
    assert_eq!((native(&unknown), kinds(&unknown)), (0, vec!["status_unknown"]));
}

#[test]
fn a_spammer_does_not_fill_our_tables() {
    let reading = read((0..5_000).map(|_| transfer(TOKEN, SHOP, U256::ZERO)).collect());
    assert_eq!(reading.observations.len(), 100);
}
