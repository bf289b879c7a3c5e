//! Native money that moves inside a contract call: no log, no transaction to the address, found by its balance.
//!
//! What is shown is the limit of decision 0007: it is reported, never proven, and a person has the last word.

use amn_scanner::stage::anvil::Rules;
use amn_scanner::stage::contracts::{self, Contract};
use serde_json::{Value, json};

use crate::support::play::{Play, Setting, address};

/// `finalized`, where balances are looked at, is two blocks below the head.
const FAST: Rules = Rules { slots_in_an_epoch: 1, block_time: None };

async fn play() -> Play {
    Play::with(Setting { rules: FAST, network: "balance_check = 1".to_owned(), ..Setting::default() }).await
}

/// Pays 600,000 for everybody to see, and 400,000 through a contract, in one block.
async fn pay(play: &Play, intent: &Value) {
    let forwarder = play.chain.deploy(play.payer, &Contract::Forwarder.bytecode().unwrap()).await.unwrap();
    play.mine(3).await;
    let to = address(intent);
    play.chain.send(play.payer, forwarder, &contracts::forward(to), 400_000).await.unwrap();
    play.chain.send(play.payer, to, &[], 600_000).await.unwrap();
    play.mine(6).await;
}

#[tokio::test]
async fn where_the_node_can_trace_it_is_detected_and_accepted_by_a_person() {
    let play = play().await;
    let intent = play.intent(json!({"asset": "eip155:31337/slip44:60", "due": "1000000"})).await;
    pay(&play, &intent).await;
    play.wait("nobody finds it", async || play.told(&intent).len() >= 3).await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.partial", "payment.detected"]);
    let body = play.bodies(&intent).pop().unwrap();
    assert_eq!((&body["intent"]["received"], &body["intent"]["settled"]), (&json!("1000000"), &json!("600000")));
    let found = body["deposits"].as_array().unwrap().iter().find(|d| d["amount"] == "400000").unwrap();
    assert_eq!(found["evidence"]["inclusion"], "reported", "nobody can prove it, so our terms are not met");
    play.mine(3).await;
    assert_eq!(play.now(&intent).await["status"], "detected");
    play.ask(&intent, "accept").await;
    play.mine(3).await;
    assert_eq!(play.told(&intent).last().unwrap(), "payment.confirmed");
    play.balances(&intent).await;
}

#[tokio::test]
async fn where_no_node_can_trace_it_is_unmatched_until_a_person_assigns_it() {
    let play = play().await;
    play.gate.refuse("trace");
    let intent = play.intent(json!({"asset": "eip155:31337/slip44:60", "due": "1000000"})).await;
    pay(&play, &intent).await;
    play.wait("nobody finds it", async || !play.others().is_empty()).await;
    let others = play.others();
    let body = &others[0];
    assert_eq!((&body["event"], &body["reason"]), (&json!("deposit.unmatched"), &json!("internal_transfer")));
    assert_eq!(body["deposits"][0]["amount"], "400000");
    assert_eq!(play.told(&intent), ["payment.detected", "payment.partial"]);
    let deposit = body["deposits"][0]["id"].as_str().unwrap();
    play.command(&format!("/v1/deposits/{deposit}/assign"), json!({"intent": intent["id"]})).await;
    play.mine(6).await;
    assert_eq!(play.told(&intent).last().unwrap(), "payment.confirmed");
    assert_eq!(play.others().len(), 1, "found once, however often it is looked for: {:?}", play.others());
    play.balances(&intent).await;
}
