//! A chain that is only observed: its receipts are under no root we trust, so that two operators must read the same.

use std::sync::Arc;

use amn_core::block::{Height, Inclusion};
use amn_core::source::{ChainSource as _, Segment, SourceError, Watch, WatchVersion};
use amn_evm::networks::EvmNetwork;
use amn_evm::receipts::Codec;
use amn_evm::source::EvmSource;
use amn_evm::testkit::{Call, History, Node, Script};
use serde_json::json;

use crate::reading::{at, devnet, lying, source_of, standing_on};
use crate::support::{SHOP, TOKEN};

fn observed() -> EvmNetwork {
    let mut network = devnet();
    network.codec = Codec::Observe;
    Arc::make_mut(&mut network.facts).policy.require.operators = Some(2);
    network
}

/// As a chain does whose receipts are hashed in a way we do not know.
fn strange() -> Script {
    lying("eth_getBlockReceipts", |_, receipts| receipts[0]["cumulativeGasUsed"] = json!("0x1"))
}

fn strange_and_larger() -> Script {
    lying("eth_getBlockReceipts", |_, receipts| {
        receipts[0]["cumulativeGasUsed"] = json!("0x1");
        receipts[0]["logs"][0]["data"] = json!(format!("0x{:064x}", 25_000));
    })
}

/// A payment of 25 to the shop in block 1, as these nodes tell it.
async fn told(scripts: &[Option<Script>]) -> (EvmSource, Result<Segment, SourceError>) {
    let mut history = History::new(31337);
    history.extend(&[Call::token(TOKEN, SHOP, 25)]);
    let mut nodes = Vec::new();
    for script in scripts {
        let node = Node::serve(history.clone()).await.unwrap();
        node.script(script.clone());
        nodes.push(node);
    }
    let source = source_of(observed(), &nodes.iter().collect::<Vec<_>>());
    let mut watch = Watch::new(WatchVersion(1));
    watch.insert(SHOP.as_slice(), false);
    let segment = source.segment(&standing_on(at(&history, 0)), Height(1), None, &watch).await;
    (source, segment)
}

fn distrusted(source: &EvmSource) -> Vec<bool> {
    source.pool().endpoints().iter().map(|endpoint| endpoint.distrusted().is_some()).collect()
}

#[tokio::test]
async fn an_amount_that_one_operator_says_and_another_refutes_by_the_root_is_a_lie() {
    let (source, segment) = told(&[Some(strange_and_larger()), None]).await;
    let block = &segment.unwrap().blocks[0];
    assert_eq!((block.transfers[0].amount.units(), block.evidence.inclusion), (25, Inclusion::Reported));
    assert_eq!(distrusted(&source), [true, false]);
}

#[tokio::test]
async fn where_no_root_shows_it_two_operators_that_differ_credit_nothing() {
    let (source, segment) = told(&[Some(strange_and_larger()), Some(strange())]).await;
    let Err(SourceError::Malformed(why)) = &segment else { panic!("{segment:?}") };
    assert!(why.contains("differ: the money in block 1"), "{why}");
    assert_eq!(distrusted(&source), [false, false], "nobody can tell who is right");
}

#[tokio::test]
async fn who_is_alone_against_two_is_distrusted_wherever_it_stands() {
    for place in 0..3 {
        let mut scripts = vec![Some(strange()), Some(strange())];
        scripts.insert(place, Some(strange_and_larger()));
        let (source, segment) = told(&scripts).await;
        assert_eq!(segment.unwrap().blocks[0].transfers[0].amount.units(), 25);
        // Asked last, it is not needed.
        assert_eq!(distrusted(&source)[place], place < 2, "{place}");
    }
}
