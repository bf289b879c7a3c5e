//! Answers of a node that no node should give, through the whole pipeline.

use std::fmt::Write as _;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use amn_core::block::Inclusion;
use amn_core::confirmation::Require;
use amn_core::money::Amount;
use amn_evm::networks::{Contract, EvmNetwork, TokenEntry};
use amn_evm::testkit::{Call, History, Node, Reply, Script, transfer_log};
use amn_scanner::follower::Outcome;
use serde_json::{Value, json};

use crate::support::evm_scene::{EvmScene, lying};

pub const CHAIN: u64 = 31337;
pub const TOKEN: Address = Address::repeat_byte(0x70);
pub const PAYER: Address = Address::repeat_byte(0x11);
pub const SHOP: Address = Address::repeat_byte(0x22);

/// One token; two confirmations, proven.
pub fn network() -> EvmNetwork {
    let token =
        TokenEntry { symbol: "TST".to_owned(), address: Contract(TOKEN), decimals: 6, min_amount: Amount::new(1) };
    let mut network = EvmNetwork::shipped("devnet").unwrap().unwrap().with_tokens("test", &[token]).unwrap();
    let facts = Arc::make_mut(&mut network.facts);
    facts.policy.require = Require { confirmations: Some(2), inclusion: Some(Inclusion::Proven), ..Require::default() };
    facts.policy.tiers.clear();
    facts.rewind_operators = 1;
    network
}

pub fn pay(history: &mut History) {
    history.extend(&[Call::token(TOKEN, PAYER, 7), Call::token(TOKEN, SHOP, 25)]);
}

fn always(method: &'static str, reply: Reply) -> Script {
    Arc::new(move |called, _, honest| if called == method { reply.clone() } else { honest })
}

/// Changes the block of a height, by whichever way it is asked for.
fn block(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Script {
    lying("eth_getBlockByNumber", move |_, block| {
        if block["number"] == "0x1" {
            change(block);
        }
    })
}

fn receipts(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Script {
    lying("eth_getBlockReceipts", move |_, receipts| {
        if receipts.as_array().is_some_and(|list| list.len() == 2) {
            change(receipts);
        }
    })
}

/// The page that lists every case and what it got.
const TABLE: &str = include_str!("../../../docs/BAD-INPUT.md");

const BLOCK: &str = "eth_getBlockByNumber";
const RECEIPTS: &str = "eth_getBlockReceipts";

/// What the node says, and how.
fn cases() -> Vec<(&'static str, Script)> {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let number = |says: &'static str| block(move |b| b["timestamp"] = json!(says));
    vec![
        ("null for every block", always(BLOCK, Reply::Result("null".into()))),
        (
            "null for blocks that its head is above",
            Arc::new(|called: &str, params: &Value, honest| match params[0].as_str() {
                Some(at) if called == BLOCK && at.starts_with("0x") => Reply::Result("null".into()),
                _ => honest,
            }),
        ),
        ("an array for a block", always(BLOCK, Reply::Result("[]".into()))),
        ("a number for a block", always(BLOCK, Reply::Result("7".into()))),
        (
            "an answer to another question",
            always(RECEIPTS, Reply::Status(200, r#"{"jsonrpc":"2.0","id":99999999,"result":[]}"#.into())),
        ),
        ("an answer without id", always(RECEIPTS, Reply::Status(200, r#"{"jsonrpc":"2.0","result":[]}"#.into()))),
        ("neither result nor error", always(RECEIPTS, Reply::Status(200, r#"{"jsonrpc":"2.0"}"#.into()))),
        ("HTTP 200 and a page", always(RECEIPTS, Reply::Status(200, "<html>busy</html>".into()))),
        ("HTTP 200 and nothing", always(RECEIPTS, Reply::Status(200, String::new()))),
        ("JSON that is cut off", always(RECEIPTS, Reply::Status(200, r#"{"jsonrpc":"2.0","id":1,"resu"#.into()))),
        (
            "HTTP 200 and an error that is no object",
            always(RECEIPTS, Reply::Status(200, r#"{"id":1,"error":"busy"}"#.into())),
        ),
        ("HTTP 200 and an internal error", always(RECEIPTS, Reply::Error(-32603, "internal error".into()))),
        ("HTTP 500", always(RECEIPTS, Reply::Status(500, "oops".into()))),
        ("HTTP 503 and a page", always(RECEIPTS, Reply::Status(503, "<html>".into()))),
        ("HTTP 403", always(RECEIPTS, Reply::Status(403, "no".into()))),
        ("a body of nine megabytes", always(RECEIPTS, Reply::Result(format!("\"{}\"", "0".repeat(9 << 20))))),
        ("JSON a hundred thousand deep", always(RECEIPTS, Reply::Result(deep))),
        ("a number that is no hexadecimal", number("0xzz")),
        ("a number in decimal", number("17")),
        ("a negative number", number("-0x1")),
        ("a number past 64 bits", number("0x10000000000000000")),
        ("a hash of two bytes", block(|b| b["receiptsRoot"] = json!("0x1234"))),
        ("a header without its receipts' root", block(|b| drop(b.as_object_mut().unwrap().remove("receiptsRoot")))),
        ("a header with another parent", block(|b| b["parentHash"] = json!(B256::repeat_byte(9)))),
        ("a header with a later time", block(|b| b["timestamp"] = json!("0x7fffffff"))),
        ("an empty bloom", block(|b| b["logsBloom"] = json!(format!("0x{}", "0".repeat(512))))),
        (
            "the block of another height",
            Arc::new(|called: &str, params: &Value, honest| match (params[0].as_str(), honest) {
                (Some("0x1"), Reply::Result(text)) if called == BLOCK => {
                    Reply::Result(text.replace("\"number\":\"0x1\"", "\"number\":\"0x2\""))
                }
                (_, honest) => honest,
            }),
        ),
        ("no transactions in a block that has two", block(|b| b["transactions"] = json!([]))),
        ("null for receipts", always(RECEIPTS, Reply::Result("null".into()))),
        ("no receipts for a block with transactions", receipts(|r| r.as_array_mut().unwrap().clear())),
        ("one receipt too few", receipts(|r| drop(r.as_array_mut().unwrap().pop()))),
        (
            "one receipt twice",
            receipts(|r| {
                let twice = r[1].clone();
                r.as_array_mut().unwrap().push(twice);
            }),
        ),
        ("receipts of another block", receipts(|r| r[1]["blockHash"] = json!(B256::repeat_byte(9)))),
        ("receipts in another order", receipts(|r| r.as_array_mut().unwrap().swap(0, 1))),
        ("a receipt of another transaction", receipts(|r| r[1]["transactionHash"] = json!(B256::repeat_byte(9)))),
        ("a receipt without logs", receipts(|r| drop(r[1].as_object_mut().unwrap().remove("logs")))),
        ("a higher amount", receipts(|r| r[1]["logs"][0]["data"] = json!(format!("0x{:064x}", 2_500)))),
        ("another recipient", receipts(|r| r[0]["logs"][0]["topics"][2] = json!(SHOP.into_word()))),
        ("a failed transaction told as a success", receipts(|r| r[1]["status"] = json!("0x0"))),
        ("a log that was removed", receipts(|r| r[1]["logs"][0]["removed"] = json!(true))),
        ("a log of another block", receipts(|r| r[1]["logs"][0]["blockHash"] = json!(B256::repeat_byte(9)))),
        ("log data with half a byte", receipts(|r| r[1]["logs"][0]["data"] = json!("0x123"))),
        (
            "a fifth topic",
            receipts(|r| {
                let more = r[1]["logs"][0]["topics"][0].clone();
                let topics = r[1]["logs"][0]["topics"].as_array_mut().unwrap();
                topics.extend([more.clone(), more]);
            }),
        ),
    ]
}

#[tokio::test]
async fn no_broken_answer_is_money_each_is_told_as_documented_and_what_was_only_broken_goes_on_when_it_is_mended() {
    let (mut missing, mut wrong) = (String::new(), String::new());
    for (what, script) in cases() {
        let mut history = History::new(CHAIN);
        history.decimals.insert(TOKEN, 6);
        let node = Node::serve(history).await.unwrap();
        let mut scene = EvmScene::on(network(), None, &[&node]).await;
        let intent = scene.intent("TST", SHOP, 25).await;
        pay(&mut node.history());
        node.script(Some(script));
        node.history().pass(3);
        let outcome = scene.catch_up().await;
        let Outcome::Waiting(why) = &outcome else { panic!("{what}: {outcome:?}") };
        let distrusted = scene.distrusted().remove(0).is_some();
        let end = if distrusted { "distrusted" } else { "asked again" };
        let row = format!("| {what} | {} | {end} |", shortened(&why.to_string()));
        if !TABLE.contains(&row) {
            let _ = writeln!(missing, "{row}");
        }
        let status = scene.status(intent).await;
        if scene.deposits().await > 0 || status != "awaiting" {
            let _ = writeln!(wrong, "{what}: {status}");
        }
        if !distrusted {
            node.script(None);
            scene.catch_up().await;
            let events = scene.events(intent).await;
            if events != ["payment.detected", "payment.confirmed"] {
                let _ = writeln!(wrong, "{what}: not mended: {events:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(missing.is_empty(), "docs/BAD-INPUT.md lacks these rows:\n{missing}");
}

/// Hashes, which say nothing to a reader, as `0x…`.
fn shortened(text: &str) -> String {
    regex_lite::Regex::new("0x[0-9a-f]{64}").unwrap().replace_all(text, "0x…").replace('|', "/")
}

#[tokio::test]
async fn an_amount_past_128_bits_is_observed_and_never_credited() {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    let node = Node::serve(history).await.unwrap();
    let mut scene = EvmScene::on(network(), None, &[&node]).await;
    let intent = scene.intent("TST", SHOP, 25).await;
    for amount in [U256::MAX, U256::from(u128::MAX) + U256::from(1)] {
        node.history().extend(&[Call::with_logs(TOKEN, vec![transfer_log(TOKEN, SHOP, amount)])]);
    }
    node.history().pass(3);
    scene.catch_up().await;
    assert_eq!((scene.status(intent).await, scene.deposits().await), ("awaiting".to_owned(), 0));
    assert_eq!(scene.distrusted(), [None], "the chain holds it");
    pay(&mut node.history());
    node.history().pass(3);
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "confirmed");
}

#[tokio::test]
async fn a_head_that_goes_back_takes_nothing_back() {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    let node = Node::serve(history).await.unwrap();
    let mut scene = EvmScene::on(network(), None, &[&node]).await;
    let intent = scene.intent("TST", SHOP, 25).await;
    pay(&mut node.history());
    node.history().pass(3);
    scene.catch_up().await;
    let behind = node.history().blocks[&2].named.clone();
    node.script(Some(Arc::new(move |called, params, honest| {
        if called == BLOCK && params[0] == "latest" { Reply::Result(behind.clone()) } else { honest }
    })));
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
    assert_eq!(scene.tip().await, 4);
}

#[tokio::test]
async fn a_log_index_that_is_not_the_logs_place_names_nothing_and_the_true_amount_is_credited() {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    let node = Node::serve(history).await.unwrap();
    let mut scene = EvmScene::on(network(), None, &[&node]).await;
    let intent = scene.intent("TST", SHOP, 25).await;
    pay(&mut node.history());
    node.script(Some(receipts(|list| list[1]["logs"][0]["logIndex"] = json!("0x63"))));
    node.history().pass(3);
    scene.catch_up().await;
    let last = scene.bodies(intent).await.pop().unwrap();
    assert_eq!((&last["event"], &last["intent"]["settled"]), (&json!("payment.confirmed"), &json!("25")));
    assert_eq!(last["deposits"][0]["index"], 0);
}

/// Eleven minutes later, without waiting: the time of distrust is over.
async fn distrust_is_over() {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_mins(11)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn who_comes_back_on_another_chain_is_not_used_and_who_comes_back_honest_is() {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    let node = Node::serve(history).await.unwrap();
    let mut scene = EvmScene::on(network(), None, &[&node]).await;
    let intent = scene.intent("TST", SHOP, 25).await;
    pay(&mut node.history());
    node.history().pass(3);
    node.script(Some(receipts(|list| drop(list.as_array_mut().unwrap().pop()))));
    scene.catch_up().await;
    assert!(scene.distrusted()[0].is_some());
    node.script(None);
    node.history().chain_id = 5;
    distrust_is_over().await;
    scene.catch_up().await;
    assert!(scene.distrusted()[0].as_ref().is_some_and(|why| why.contains("eip155:5")), "{:?}", scene.distrusted());
    assert_eq!(scene.deposits().await, 0);
    node.history().chain_id = CHAIN;
    distrust_is_over().await;
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "confirmed");
    assert_eq!(scene.distrusted(), [None]);
}
