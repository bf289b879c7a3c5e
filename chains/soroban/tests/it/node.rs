//! The node of the testkit says what stellar-rpc says, and each of its faults does what its name says.

use amn_soroban::testkit::{History, Node};
use serde_json::{Value, json};

use crate::http::ask;

const PASSPHRASE: &str = "A network of the tests ; November 2026";

async fn node(ledgers: u32) -> Node {
    let mut history = History::new(PASSPHRASE, 30);
    history.pass(ledgers);
    Node::serve(history).await.unwrap()
}

#[tokio::test]
async fn a_history_is_served_page_by_page() {
    let node = node(5).await;
    let health = ask(&node, "getHealth", &json!({})).await;
    assert_eq!((&health["status"], &health["oldestLedger"]), (&json!("healthy"), &json!(1_001)));
    assert_eq!(health["latestLedger"], 1_005);
    let network = ask(&node, "getNetwork", &Value::Null).await;
    assert_eq!((&network["passphrase"], &network["protocolVersion"]), (&json!(PASSPHRASE), &json!(30)));
    let page = ask(&node, "getLedgers", &json!({ "startLedger": 1_002, "pagination": { "limit": 2 } })).await;
    let sequences: Vec<_> = page["ledgers"].as_array().unwrap().iter().map(|one| &one["sequence"]).collect();
    assert_eq!(sequences, [&json!(1_002), &json!(1_003)]);
    assert_eq!(page["cursor"], "1003");
}
