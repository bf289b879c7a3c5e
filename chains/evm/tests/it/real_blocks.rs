//! Real blocks of four chains: what they commit to, what they pay, and what a liar would change.

use std::collections::HashSet;

use alloy_primitives::Address;
use amn_core::block::{Inclusion, NetworkId};
use amn_core::source::{Watch, WatchVersion};
use amn_evm::decode::{self, Decoded, decode_log};
use amn_evm::evidence::{self, Lie, Shown};
use amn_evm::header::{self, HeaderError};
use amn_evm::networks::{EvmNetwork, SHIPPED};
use amn_evm::receipts::Codec;
use amn_evm::wire::{self, WireBody, WireReceipt, WireTransaction};
use serde_json::{Value, json};

use crate::support::real;

struct Block {
    header: header::Checked,
    transactions: Vec<WireTransaction>,
    receipts: Vec<WireReceipt>,
}

fn parse(block: &Value, receipts: &Value) -> Block {
    let block = serde_json::to_vec(block).unwrap();
    Block {
        header: header::check(&block, true).unwrap(),
        transactions: wire::parse::<WireBody>("the block", &block).unwrap().transactions,
        receipts: wire::parse_receipts(&serde_json::to_vec(receipts).unwrap()).unwrap(),
    }
}

fn load(name: &str) -> Option<(Value, Value)> {
    Some((real(&format!("{name}.block.json"))?, real(&format!("{name}.receipts.json"))?))
}

fn prove(codec: Codec, block: &Block) -> Result<Shown, Lie> {
    evidence::prove(codec, &block.header, &block.transactions, &block.receipts)
}

/// Everybody whom a listed token pays in the block.
fn everybody(block: &Block) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for log in block.receipts.iter().flat_map(|receipt| &receipt.logs) {
        if let Decoded::Transfer { to, .. } | Decoded::OddTransfer { to: Some(to) } = decode_log(log) {
            watch.insert(to.as_slice(), true);
        }
    }
    watch
}

fn ethereum() -> EvmNetwork {
    EvmNetwork::shipped("ethereum").unwrap().unwrap()
}

#[test]
fn every_real_block_is_proven_against_its_own_hash() {
    for (name, codec, transactions) in [
        ("ethereum-1000000", Codec::Eth, Inclusion::Proven),
        // Only the names of its transactions are published.
        ("ethereum-21925176", Codec::Eth, Inclusion::Reported),
        ("arbitrum-150000000", Codec::Arbitrum, Inclusion::Proven),
        ("polygon-50000000", Codec::Eth, Inclusion::Proven),
    ] {
        let Some((block, receipts)) = load(name) else { return };
        let block = parse(&block, &receipts);
        let shown = prove(codec, &block).unwrap();
        assert_eq!((shown.receipts, shown.transactions), (Inclusion::Proven, transactions), "{name}");
    }
}

#[test]
fn an_observed_chain_proves_nothing_even_where_it_could() {
    let Some((block, receipts)) = load("polygon-50000000") else { return };
    let mut block = parse(&block, &receipts);
    let shown = prove(Codec::Observe, &block).unwrap();
    assert_eq!((shown.receipts, shown.receipts_differ), (Inclusion::Reported, false));
    let mut state_sync = block.receipts[563].clone();
    state_sync.transaction_index.0 = 564;
    block.receipts.push(state_sync);
    assert!(!prove(Codec::Observe, &block).unwrap().receipts_differ, "the receipt no root covers is left out");
    assert!(matches!(prove(Codec::Eth, &block), Err(Lie::ReceiptCount { .. })));
}

#[test]
fn a_forged_optimism_header_does_not_hash_to_its_name() {
    let (Some(genuine), Some(tampered)) =
        (real("optimism-genuine.header.json"), real("optimism-tampered-receipts-root.header.json"))
    else {
        return;
    };
    assert!(header::check(&serde_json::to_vec(&genuine).unwrap(), true).unwrap().recomputed);
    let error = header::check(&serde_json::to_vec(&tampered).unwrap(), true).unwrap_err();
    assert!(matches!(error, HeaderError::Lie(Lie::HeaderHash { .. })), "{error}");
}

#[test]
fn a_header_with_a_field_we_do_not_know_degrades_and_is_said() {
    let Some(mut genuine) = real("optimism-genuine.header.json") else { return };
    genuine["zkRoot"] = json!("0x01");
    let known = header::check(&serde_json::to_vec(&genuine).unwrap(), true).unwrap();
    assert!(known.recomputed, "a field beside the hash changes nothing");
    genuine["gasUsed"] = json!("0x1");
    let checked = header::check(&serde_json::to_vec(&genuine).unwrap(), true).unwrap();
    assert!(!checked.recomputed);
    assert_eq!(checked.unknown_fields, ["zkRoot"]);
    assert_eq!(
        evidence::prove_transactions(Codec::Op, &checked, &[]),
        Ok(Inclusion::Reported),
        "what does not recompute proves nothing"
    );
}

#[test]
fn block_21925176_pays_48_times_usdt_and_18_times_usdc_and_its_nfts_pay_nobody() {
    let Some((block, receipts)) = load("ethereum-21925176") else { return };
    let block = parse(&block, &receipts);
    let network = ethereum();
    let watch = everybody(&block);
    let mut registry = network.registry.clone();
    registry.tokens.values_mut().for_each(|listed| listed.min_amount = amn_core::money::Amount::ZERO);
    let reading = decode::block(&registry, &watch, &block.transactions, &block.receipts);
    let zero = reading.observations.iter().filter(|seen| seen.kind == "dust").count();
    let count = |symbol: &str| {
        let asset = network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap();
        let credited = reading.transfers.iter().filter(|t| t.asset == asset.id).count();
        let dust = reading.observations.iter().filter(|o| o.detail.contains(asset.id.as_str())).count();
        credited + dust
    };
    assert_eq!((count("USDT"), count("USDC")), (48, 18), "{zero} of them of nothing");
    let logs = || block.receipts.iter().flat_map(|receipt| &receipt.logs);
    let nfts = logs().filter(|log| matches!(decode_log(log), Decoded::OddTransfer { .. })).count();
    assert_eq!(nfts, 8);
    assert_eq!(reading.transfers.len() + zero, 66);
    let names: HashSet<_> = reading.transfers.iter().map(|t| t.id).collect();
    assert_eq!(names.len(), reading.transfers.len(), "no two payments share a name");
    let wanted = network.wanted();
    assert!(wanted.may_be_in(&block.header.wire.logs_bloom, &watch));
    assert_eq!(amn_evm::receipts::block_bloom(&block.receipts), block.header.wire.logs_bloom);
}

/// The receipt and the log of the first USDT transfer.
fn first_usdt(receipts: &Value) -> (usize, usize) {
    let usdt = "0xdac17f958d2ee523a2206206994597c13d831ec7";
    let list = receipts.as_array().unwrap();
    let place = |receipt: &Value| {
        receipt["logs"]
            .as_array()
            .unwrap()
            .iter()
            .position(|log| log["address"] == usdt && log["topics"].as_array().unwrap().len() == 3)
    };
    list.iter().enumerate().find_map(|(at, receipt)| Some((at, place(receipt)?))).unwrap()
}

#[test]
fn every_change_to_a_real_block_is_a_contradiction_with_a_name() {
    let Some((block, receipts)) = load("ethereum-21925176") else { return };
    let (at, place) = first_usdt(&receipts);
    let lie = |change: &dyn Fn(&mut Value, &mut Value)| {
        let (mut block, mut receipts) = (block.clone(), receipts.clone());
        change(&mut block, &mut receipts);
        prove(Codec::Eth, &parse(&block, &receipts)).unwrap_err()
    };
    let root = |error: Lie| assert!(matches!(error, Lie::ReceiptsRoot { .. }), "{error}");

    root(lie(&|_, r| r[at]["logs"][place]["data"] = json!(format!("0x{:064x}", 1_000_000_000_000_u64))));
    root(lie(&|_, r| drop(r[at]["logs"].as_array_mut().unwrap().remove(place))));
    root(lie(&|_, r| {
        let logs = r[at]["logs"].as_array_mut().unwrap();
        let mut invented = logs.last().unwrap().clone();
        // Keeps its place plausible, so that only the root can tell.
        invented["logIndex"] = Value::Null;
        logs.push(invented);
    }));
    root(lie(&|_, r| {
        r[at]["logs"][place]["topics"][2] = json!(Address::repeat_byte(0x22).into_word().to_string());
    }));
    root(lie(&|_, r| r[at]["status"] = json!("0x0")));

    let dropped = lie(&|_, r| drop(r.as_array_mut().unwrap().pop()));
    assert!(matches!(dropped, Lie::ReceiptCount { transactions: 202, receipts: 201 }), "{dropped}");
    let empty = lie(&|_, r| r.as_array_mut().unwrap().clear());
    assert!(matches!(empty, Lie::ReceiptCount { receipts: 0, .. }), "{empty}");
    let elsewhere = lie(&|_, r| r[5]["blockHash"] = json!(format!("0x{:064x}", 9)));
    assert!(matches!(elsewhere, Lie::ReceiptOfOtherBlock { index: 5, .. }), "{elsewhere}");
    let renamed = lie(&|_, r| r[5]["transactionHash"] = json!(format!("0x{:064x}", 9)));
    assert!(matches!(renamed, Lie::ReceiptOfOtherTransaction { index: 5, .. }), "{renamed}");
    let swapped = lie(&|_, r| r.as_array_mut().unwrap().swap(5, 6));
    assert!(matches!(swapped, Lie::ReceiptOutOfOrder { index: 5, said: 6 }), "{swapped}");
    let removed = lie(&|_, r| r[at]["logs"][place]["removed"] = json!(true));
    assert!(matches!(removed, Lie::LogOutOfPlace { .. }), "{removed}");
}

#[test]
fn a_changed_value_of_a_real_native_payment_is_a_contradiction() {
    let Some((block, receipts)) = load("ethereum-1000000") else { return };
    let mut forged = block.clone();
    forged["transactions"][0]["value"] = json!("0x1");
    let error = prove(Codec::Eth, &parse(&forged, &receipts)).unwrap_err();
    assert!(matches!(error, Lie::TransactionHash { index: 0, .. }), "{error}");
    let mut renamed = receipts.clone();
    forged = block.clone();
    forged["transactions"].as_array_mut().unwrap().swap(0, 1);
    for (at, receipt) in renamed.as_array_mut().unwrap().iter_mut().enumerate() {
        receipt["transactionHash"] = forged["transactions"][at]["hash"].clone();
        for log in receipt["logs"].as_array_mut().unwrap() {
            log["transactionHash"] = forged["transactions"][at]["hash"].clone();
        }
    }
    let error = prove(Codec::Eth, &parse(&forged, &renamed)).unwrap_err();
    assert!(matches!(error, Lie::TransactionsRoot { .. }), "{error}");
}

#[test]
fn every_shipped_codec_names_a_chain_that_was_tried_or_that_observes() {
    for (id, _) in SHIPPED {
        let network = EvmNetwork::parse(&NetworkId::new(id), id, SHIPPED.iter().find(|s| s.0 == *id).unwrap().1);
        assert!(network.unwrap().codec.proves() || *id == "polygon");
    }
}
