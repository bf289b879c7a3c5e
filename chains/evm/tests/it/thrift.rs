//! What is not asked twice, and that nothing is lost by it (decisions/0028).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::Address;
use amn_core::block::{NetworkId, Operator};
use amn_core::source::{ChainSource as _, Watch, WatchVersion};
use amn_evm::source::EvmSource;
use amn_evm::testkit::{Call, History, Node, Reply};
use amn_rpc::{EndpointConfig, Pool, PoolSettings, VirtualTime};

use crate::reading::{devnet, operators, standing_on};
use crate::support::{PAYER, SHOP, TOKEN};

/// A watch on tokens alone: native money needs whole blocks.
fn tokens_to(addresses: &[Address]) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for address in addresses {
        watch.insert(address.as_slice(), false);
    }
    watch
}

/// Two nodes of one history, whose tip pays somebody else.
async fn two() -> (Arc<Mutex<History>>, Node, Node) {
    let mut history = History::new(31337);
    history.extend(&[]);
    let shared = Arc::new(Mutex::new(history));
    let (one, two) = (Node::share(shared.clone()).await.unwrap(), Node::share(shared.clone()).await.unwrap());
    (shared, one, two)
}

/// A source on these nodes, a and b, by a clock that stands still: nobody is chosen for being quick.
fn source(nodes: [&Node; 2]) -> EvmSource {
    let endpoints = nodes.into_iter().zip(["a", "b"]);
    let endpoints = endpoints.map(|(node, name)| EndpointConfig::new(name, node.url().as_str(), Operator::new(name)));
    let settings = PoolSettings { time: VirtualTime::at(Duration::ZERO).time(), ..PoolSettings::default() };
    let pool = Pool::new_with(NetworkId::new("devnet"), endpoints.collect(), settings).unwrap();
    EvmSource::new(pool, devnet())
}

#[tokio::test]
async fn a_block_that_names_nobody_costs_one_request_of_each_operator() {
    let (history, one, two) = two().await;
    let source = source([&one, &two]);
    let watch = tokens_to(&[SHOP]);
    for (paid, receipts) in [(PAYER, 0), (SHOP, 1)] {
        let on = source.head().await.unwrap().tip.at;
        history.lock().unwrap().extend(&[Call::token(TOKEN, paid, 7)]);
        one.take_traffic();
        two.take_traffic();
        let head = source.head().await.unwrap();
        let segment = source.segment(&standing_on(on), head.tip.at.height, None, &watch).await.unwrap();
        assert_eq!((segment.parent, segment.tip, segment.blocks[0].transfers.len()), (on, head.tip, receipts));
        let vouchers = source.vouch(&segment.tip).await.unwrap();
        assert!(vouchers.iter().all(|voucher| voucher.block == head.tip.at) && vouchers.len() == 2);
        let (asked, vouched) = (one.take_traffic(), two.take_traffic());
        assert_eq!(asked.questions.get("eth_getBlockReceipts").copied().unwrap_or(0), receipts as u64);
        // The head with its marks; where something is ours, the receipts and the whole transactions that name them.
        assert_eq!(asked.requests, 1 + 2 * receipts as u64, "{asked:?}");
        assert_eq!((vouched.requests, vouched.questions["eth_getBlockByNumber"]), (1, 1), "{vouched:?}");
    }
}

#[tokio::test]
async fn whoever_was_read_from_vouches_once_and_is_asked_the_second_time() {
    let (history, one, two) = two().await;
    let source = source([&one, &two]);
    let on = source.head().await.unwrap().tip.at;
    history.lock().unwrap().pass(1);
    let head = source.head().await.unwrap();
    let segment = source.segment(&standing_on(on), head.tip.at.height, None, &tokens_to(&[SHOP])).await.unwrap();
    source.vouch(&segment.tip).await.unwrap();
    one.take_traffic();
    // Its chain has another block there by now.
    let changed = {
        let mut other = history.lock().unwrap();
        other.rewind(on.height.0);
        other.pass(1);
        other.tip().unwrap().at
    };
    let vouchers = source.vouch(&segment.tip).await.unwrap();
    assert_eq!(one.take_traffic().requests, 1);
    assert!(vouchers.iter().all(|voucher| voucher.block == changed), "{vouchers:?}");
}

#[tokio::test]
async fn the_head_of_one_endpoint_is_not_read_as_anothers() {
    let (history, one, two) = two().await;
    let source = source([&one, &two]);
    let on = source.head().await.unwrap().tip.at;
    history.lock().unwrap().extend(&[Call::token(TOKEN, SHOP, 7)]);
    let head = source.head().await.unwrap();
    // The first fails before anything is read on it.
    one.script(Some(Arc::new(|_, _, _| Reply::Status(500, String::new()))));
    let segment = source.segment(&standing_on(on), head.tip.at.height, None, &tokens_to(&[SHOP])).await.unwrap();
    assert_eq!((segment.operators, segment.blocks[0].transfers.len()), (operators(&["b"]), 1));
    assert!(two.calls("eth_getBlockByNumber") > 0, "the block was read from who answers for it");
}
