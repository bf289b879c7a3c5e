//! Payments on a live chain, from the intent over HTTP to the webhook that the receiver verifies.

use std::time::Duration;

use serde_json::json;

use crate::support::play::Play;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_erc20_payment_walks_from_intent_to_verified_webhook() {
    let play = Play::new().await;
    let intent = play.intent(json!({"due": "25000000"})).await;
    play.pay(&intent, 25_000_000).await;
    play.chain.mine(3).await.unwrap();
    assert!(play.receiver.until(SOON, |heard| heard.len() >= 2).await, "{:?}", play.told(&intent));
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
    let heard = play.receiver.heard();
    assert!(heard.iter().all(|h| h.signed), "every signature holds");
    let body = heard[1].json();
    assert_eq!(body["intent"]["settled"], "25000000");
    assert_eq!(body["deposits"][0]["evidence"]["inclusion"], "proven");
}
