//! Payments on a live chain, from the intent over HTTP to the webhook that the receiver verifies.

mod finality;
mod internal;
mod payments;
mod reorgs;
mod running;
mod strangers;

use serde_json::json;

use crate::support::play::Play;

#[tokio::test]
async fn one_erc20_payment_walks_from_intent_to_verified_webhook() {
    let play = Play::new().await;
    let intent = play.intent(json!({"due": "25000000"})).await;
    play.pay(&intent, 25_000_000).await;
    play.mine(3).await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
    assert!(play.receiver.heard().iter().all(|heard| heard.signed), "every signature holds");
    let body = &play.bodies(&intent)[1];
    assert_eq!(body["intent"]["settled"], "25000000");
    assert_eq!(body["deposits"][0]["confirmations"], 3);
    assert_eq!(body["deposits"][0]["evidence"]["inclusion"], "proven");
    assert_eq!(body["deposits"][0]["evidence"]["operators"], 2);
    play.balances(&intent).await;
}
