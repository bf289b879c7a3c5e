//! What looks like money, or is money that nobody asked for.

use amn_scanner::stage::contracts::{self, Contract};
use serde_json::json;

use crate::support::play::{Play, address};

#[tokio::test]
async fn what_only_looks_like_money_pays_nobody() {
    let play = Play::new().await;
    let intent = play.intent(json!({})).await;
    let to = address(&intent);
    let deploy = async |contract: Contract| play.chain.deploy(play.payer, &contract.bytecode().unwrap()).await.unwrap();
    let (fake, nft) = (deploy(Contract::FakeToken).await, deploy(Contract::Nft).await);
    play.call(fake, &contracts::forge(play.payer, to, 1_000_000)).await;
    play.call(nft, &contracts::mint(to, 1_000_000)).await;
    // Of the listed token, and nothing.
    play.pay(&intent, 0).await;
    // More than the payer has: the transaction fails, its logs are undone.
    play.chain.send(play.chain.account(1).await.unwrap(), play.token, &contracts::transfer(to, 1), 0).await.unwrap();
    // To somebody whom nobody watches.
    play.pay_to(play.fresh(), 1_000_000).await;
    play.mine(4).await;
    assert!(play.receiver.heard().is_empty(), "{:?}", play.receiver.heard());
    assert_eq!(play.now(&intent).await["status"], "awaiting");

    // The watch is alive all the same.
    play.pay(&intent, 1_000_000).await;
    play.mine(3).await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
    play.balances(&intent).await;
}

#[tokio::test]
async fn money_in_another_token_is_kept_and_told_when_it_settles() {
    let play = Play::new().await;
    let intent = play.intent(json!({})).await;
    play.call(play.other_token, &contracts::transfer(address(&intent), 1_000_000)).await;
    play.mine(2).await;
    assert!(play.others().is_empty(), "not before it settles");
    play.mine(1).await;
    let others = play.others();
    assert_eq!(others.len(), 1, "{others:?}");
    assert_eq!((&others[0]["event"], &others[0]["reason"]), (&json!("deposit.unmatched"), &json!("wrong_asset")));
    assert_eq!(others[0]["deposits"][0]["amount"], "1000000");
    assert!(play.told(&intent).is_empty());
    assert_eq!(play.now(&intent).await["status"], "awaiting");
}

#[tokio::test]
async fn money_without_its_reference_waits_until_a_person_assigns_it() {
    let play = Play::new().await;
    let shared = play.fresh();
    let intent = play.intent(json!({"address": shared, "reference": "a000000000000001"})).await;
    play.pay_to(shared, 1_000_000).await;
    let unknown = contracts::pay_with_reference(play.token, shared, 5, &[9; 8]);
    play.call(play.erc20_proxy, &unknown).await;
    play.mine(3).await;
    let others = play.others();
    let mut reasons: Vec<&str> = others.iter().map(|body| body["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["missing_reference", "unknown_reference"]);

    let missing = others.iter().find(|body| body["reason"] == "missing_reference").unwrap();
    let deposit = missing["deposits"][0]["id"].as_str().unwrap();
    play.command(&format!("/v1/deposits/{deposit}/assign"), json!({"intent": intent["id"]})).await;
    play.mine(1).await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
    play.balances_of(shared, &[&intent], 5).await;

    play.ask_deposit(deposit, "unassign").await;
    play.mine(1).await;
    assert_eq!(play.told(&intent).last().unwrap(), "payment.reversed");
    assert_eq!(play.now(&intent).await["status"], "reversed");
}
