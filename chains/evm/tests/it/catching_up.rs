//! History by ranges: split where a node asks for less, confirmed by a second operator, proven where it matters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use alloy_primitives::Address;
use amn_core::block::{Height, Inclusion};
use amn_core::money::Amount;
use amn_core::source::{ChainSource as _, Coverage, SourceError};
use amn_evm::testkit::{Call, History, Node, Reply, Script};
use serde_json::{Value, json};

use crate::reading::{at, devnet, distrusted, lying, operators, source, source_of, standing_on};
use crate::support::{PAYER, SHOP, TOKEN, watch};

/// 500 blocks of five transfers; blocks 100, 250 and 251 pay the shop.
fn long() -> History {
    // Built once: hashing is slow without optimisation.
    static LONG: LazyLock<History> = LazyLock::new(build);
    LONG.clone()
}

fn build() -> History {
    let mut history = History::new(31337);
    for height in 1..=500_u64 {
        let mut calls: Vec<_> = (0..5).map(|_| Call::token(TOKEN, PAYER, u128::from(height))).collect();
        if [100, 250, 251].contains(&height) {
            calls.insert(2, Call::token(TOKEN, SHOP, u128::from(height)));
        }
        history.extend(&calls);
    }
    history
}

/// A watch for tokens only: native money is read block by block.
fn tokens() -> amn_core::source::Watch {
    let mut watch = watch(&[]);
    watch.insert(SHOP.as_slice(), false);
    watch
}

/// Refuses ranges of more than so many blocks, as a provider words it.
fn at_most(blocks: u64, message: &'static str, refused: Arc<AtomicU64>) -> Script {
    Arc::new(move |method, params: &Value, honest| {
        if method != "eth_getLogs" {
            return honest;
        }
        let end = |name: &str| u64::from_str_radix(&params[0][name].as_str().unwrap()[2..], 16).unwrap();
        if end("toBlock") - end("fromBlock") < blocks {
            return honest;
        }
        refused.fetch_add(1, Ordering::Relaxed);
        Reply::Error(-32005, message.to_owned())
    })
}

#[tokio::test]
async fn history_is_read_by_ranges_and_only_what_matters_is_listed_and_proven() {
    let history = long();
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
    let source = source(&nodes.each_ref());
    let on = standing_on(at(&history, 0));
    let segment = source.segment(&on, Height(500), Some(Height(480)), &tokens()).await.unwrap();
    assert_eq!((segment.coverage, segment.tip.at), (Coverage::Listed, at(&history, 480)));
    assert_eq!(segment.operators, operators(&["a", "b"]));
    let paid: Vec<_> = segment.blocks.iter().map(|b| (b.header.at.height.0, b.transfers[0].amount)).collect();
    assert_eq!(paid, [100, 250, 251].map(|height| (height, Amount::new(u128::from(height)))));
    for block in &segment.blocks {
        assert_eq!(block.evidence.inclusion, Inclusion::Proven);
        assert_eq!(block.evidence.operators, operators(&["a", "b"]));
        assert_eq!(block.transfers[0].id.index, 0, "the log's place in its own transaction");
    }
    let near = source.segment(&standing_on(segment.tip.at), Height(500), Some(Height(480)), &tokens()).await.unwrap();
    assert_eq!((near.coverage, near.blocks.len()), (Coverage::Linked, 20));
}

#[tokio::test]
async fn a_refused_range_is_split_until_the_node_can_answer() {
    let history = long();
    let refused = Arc::new(AtomicU64::new(0));
    let node = Node::serve(history.clone()).await.unwrap();
    node.script(Some(at_most(60, "query returned more than 10000 results", refused.clone())));
    let source = source(&[&node]);
    for _ in 0..2 {
        let segment =
            source.segment(&standing_on(at(&history, 0)), Height(500), Some(Height(500)), &tokens()).await.unwrap();
        assert_eq!(segment.blocks.len(), 3);
        assert_eq!(segment.tip.at, at(&history, 500));
    }
    let refusals = refused.load(Ordering::Relaxed);
    assert!(refusals < 40, "{refusals} refusals: what was learned is not kept");
}

#[tokio::test]
async fn a_hint_that_repeats_the_refused_range_does_not_trap_us() {
    let history = long();
    let node = Node::serve(history.clone()).await.unwrap();
    let message = "query exceeds max results 20000, retry with the range 1-500";
    node.script(Some(at_most(100, message, Arc::default())));
    let on = standing_on(at(&history, 0));
    let segment = source(&[&node]).segment(&on, Height(500), Some(Height(500)), &tokens()).await.unwrap();
    assert_eq!(segment.blocks.len(), 3);
}

#[tokio::test]
async fn a_node_that_refuses_even_one_block_is_left_for_another() {
    let history = long();
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
    nodes[0].script(Some(at_most(0, "query returned more than 10000 results", Arc::default())));
    let source = source(&nodes.each_ref());
    let on = standing_on(at(&history, 0));
    let segment = source.segment(&on, Height(500), Some(Height(500)), &tokens()).await.unwrap();
    assert_eq!(segment.blocks[0].evidence.operators, operators(&["a", "b"]));
    assert_eq!(distrusted(&source), [None, None], "too large is no lie");
}

#[tokio::test]
async fn what_cannot_be_in_a_range_is_a_lie_with_a_name() {
    let history = long();
    let cases: [(&str, Script); 7] = [
        ("outside", lying("eth_getLogs", |_, logs| logs[3]["blockNumber"] = json!("0xffff"))),
        ("out of order", lying("eth_getLogs", |_, logs| logs.as_array_mut().unwrap().swap(1, 9))),
        ("not asked for", lying("eth_getLogs", |_, logs| logs[3]["address"] = json!(Address::repeat_byte(9)))),
        ("removed", lying("eth_getLogs", |_, logs| logs[3]["removed"] = json!(true))),
        ("topic", lying("eth_getLogs", |_, logs| logs[3]["topics"][0] = json!(PAYER.into_word()))),
        ("do not hold", lying("eth_getLogs", |_, logs| logs[3]["topics"][2] = json!(SHOP.into_word()))),
        (
            "though it is final",
            lying("eth_getLogs", |_, logs| {
                let list = logs.as_array_mut().unwrap();
                let ours = list.iter_mut().find(|log| log["topics"][2] == json!(SHOP.into_word())).unwrap();
                ours["blockHash"] = json!(SHOP.into_word());
            }),
        ),
    ];
    for (what, script) in cases {
        let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
        nodes[0].script(Some(script));
        let source = source(&nodes.each_ref());
        let on = standing_on(at(&history, 0));
        let read = source.segment(&on, Height(500), Some(Height(500)), &tokens()).await;
        let reason = distrusted(&source)[0].clone().unwrap_or_else(|| panic!("{what}: believed"));
        assert!(reason.contains(what), "{what}: {reason}");
        // The liar was the second operator that is needed here.
        assert!(matches!(read, Err(SourceError::Malformed(_))), "{what}: {read:?}");
    }
}

#[tokio::test]
async fn an_end_that_no_second_operator_has_is_not_taken() {
    let history = long();
    let mut other = history.clone();
    other.rewind(300);
    other.pass(200);
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(other.clone()).await.unwrap()];
    let on = standing_on(at(&history, 0));
    let two = source(&nodes.each_ref());
    let error = two.segment(&on, Height(500), Some(Height(500)), &tokens()).await.unwrap_err();
    assert!(matches!(&error, SourceError::Malformed(why) if why.contains("final block 500")), "{error}");
    assert_eq!(distrusted(&two), [None, None], "one against one: nobody can tell");
    let silent = Node::serve(history.clone()).await.unwrap();
    silent.script(Some(Arc::new(|_, _, _| Reply::Status(503, String::new()))));
    let error = source(&[&nodes[0], &silent]).segment(&on, Height(500), Some(Height(500)), &tokens()).await;
    assert!(matches!(error, Err(SourceError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn on_a_final_block_two_operators_outweigh_one() {
    let history = long();
    let mut other = history.clone();
    other.rewind(300);
    for _ in 0..200 {
        other.extend(&[Call::token(TOKEN, SHOP, 1_000_000)]);
    }
    let honest = || Node::serve(history.clone());
    let nodes = [Node::serve(other.clone()).await.unwrap(), honest().await.unwrap(), honest().await.unwrap()];
    let on = standing_on(at(&history, 0));
    let three = source(&nodes.each_ref());
    let segment = three.segment(&on, Height(500), Some(Height(500)), &tokens()).await.unwrap();
    assert_eq!((segment.tip.at, segment.blocks.len()), (at(&history, 500), 3));
    assert!(distrusted(&three)[0].as_ref().unwrap().contains("alone against 2 operators"));
    let turned = source(&[&nodes[1], &nodes[0], &nodes[2]]);
    let segment = turned.segment(&on, Height(500), Some(Height(500)), &tokens()).await.unwrap();
    assert_eq!(segment.operators, operators(&["a", "c"]));
    assert!(distrusted(&turned)[1].as_ref().unwrap().contains("alone"));
}

#[tokio::test]
async fn false_names_in_a_final_block_are_noticed_by_the_second_operator() {
    let history = long();
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
    nodes[1].script(Some(lying("eth_getBlockByNumber", |params, block| {
        if params[0] == "0x64" {
            block["transactions"][2] = json!(PAYER.into_word());
        }
    })));
    let on = standing_on(at(&history, 0));
    let two = source(&nodes.each_ref());
    let read = two.segment(&on, Height(500), Some(Height(500)), &tokens()).await;
    // Asked in its turn, it contradicts its own receipts.
    assert!(matches!(&read, Err(SourceError::Malformed(why)) if why.contains("is named")), "{read:?}");
    assert!(distrusted(&two)[0].is_none() && distrusted(&two)[1].is_some());
}

#[tokio::test]
async fn a_range_stands_on_our_block_or_is_a_fork() {
    let history = long();
    let mut other = History::new(31337);
    other.branch = 1;
    other.pass(500);
    let node = Node::serve(history.clone()).await.unwrap();
    let on = standing_on(at(&other, 5));
    let error = source(&[&node]).segment(&on, Height(500), Some(Height(500)), &tokens()).await.unwrap_err();
    assert_eq!(error, SourceError::Forked(on.tip));
}

#[tokio::test]
async fn native_money_in_history_is_read_block_by_block() {
    let history = long();
    let node = Node::serve(history.clone()).await.unwrap();
    let on = standing_on(at(&history, 0));
    let segment = source(&[&node]).segment(&on, Height(500), Some(Height(500)), &watch(&[SHOP])).await.unwrap();
    assert_eq!(segment.coverage, Coverage::Linked);
    assert_eq!(node.calls("eth_getLogs"), 0);
}

/// Prints how fast ranges are read; asserts nothing about the speed of the machine it runs on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -p amn-evm -- --ignored --nocapture"]
async fn measure_the_reading_of_ranges() {
    let mut history = History::new(31337);
    let blocks = 2_000_u64;
    for height in 1..=blocks {
        let mut calls: Vec<_> = (0..200).map(|_| Call::token(TOKEN, PAYER, u128::from(height))).collect();
        if height % 500 == 0 {
            calls[7] = Call::token(TOKEN, SHOP, 25);
        }
        history.extend(&calls);
    }
    let on = standing_on(at(&history, 0));
    let node = Node::serve(history).await.unwrap();
    let source = source_of(devnet(), &[&node]);
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let segment = source.segment(&on, Height(blocks), Some(Height(blocks)), &tokens()).await.unwrap();
        assert_eq!(segment.blocks.len(), 4);
        let seconds = start.elapsed();
        let rate = u128::from(blocks) * 200 * 1_000 / seconds.as_millis().max(1);
        println!("{blocks} blocks of 200 in {seconds:?}: {rate} transfers/s, node included");
    }
}
