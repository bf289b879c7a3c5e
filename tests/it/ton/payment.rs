//! One payment from the chain to the webhook: TON with a comment that nobody chose, and what its payer and its receiver
//! are told on the way.

use amn_ton::testkit::{Letter, Outcome, text};
use serde_json::{Value, json};

use super::ground::{self, PAYER, SHOP, STALL, WHOLE, letter};
use super::play::{Setting, TonPlay};
use super::scene::Way;

/// The comment that the payer is told to write.
fn comment(intent: &Value) -> &str {
    intent["pay_to"]["memo"]["value"].as_str().unwrap()
}

async fn hears_that_it_is_confirmed(play: &TonPlay, intent: &Value) {
    play.wait("the receiver hears of no confirmation", async || play.told(intent).len() > 1).await;
    assert_eq!(play.told(intent), ["payment.detected", "payment.confirmed"], "{}", play.log());
}

#[tokio::test]
async fn ton_by_comment_is_detected_confirmed_and_told_to_the_receiver() {
    for way in Way::BOTH {
        let play = TonPlay::with(Setting { way, ..Setting::default() }).await;
        let (first, second) = (play.intent(json!({})).await, play.intent(json!({})).await);
        assert_ne!(comment(&first), comment(&second), "one address, two intents");
        play.receive(SHOP, &letter(WHOLE, comment(&first)), Outcome::Accepted);
        // Two shop counters share the address: the other's payer writes blanks around.
        play.receive(SHOP, &letter(WHOLE, &format!(" {} ", comment(&second))), Outcome::NoGas);
        play.pass(10);
        for intent in [&first, &second] {
            hears_that_it_is_confirmed(&play, intent).await;
            let body = play.bodies(intent).pop().unwrap();
            let deposit = &body["deposits"][0];
            assert_eq!(
                (&deposit["amount"], &deposit["evidence"]),
                (&json!("1000000000"), &json!({ "attestations": null, "inclusion": "proven", "operators": 2 })),
                "{way:?}"
            );
            let asked = (&body["intent"]["reference"], &body["intent"]["shortfall"]);
            assert_eq!(asked, (&intent["reference"], &json!("0")));
            assert_eq!(deposit["from"], ground::spell(&PAYER).as_str());
            assert_eq!(body["network"]["chain"], "tvm:-239");
        }
        let told = play.daemon.api().get(&format!("/v1/networks/{}", ground::NETWORK)).await.unwrap();
        let mode = if way == Way::ByAccount { "by_account" } else { "by_block" };
        assert_eq!(told["facts"]["mode"], mode, "{told}");
    }
}

#[tokio::test]
async fn dollars_by_comment_are_found_in_the_wallet_that_we_work_out_and_a_first_payment_stays_where_nothing_is_deployed()
 {
    let play = TonPlay::with(Setting::default()).await;
    let dollars = play.intent(json!({ "asset": ground::asset("USD") })).await;
    let stall = play.intent(json!({ "address": ground::spell(&STALL).as_str(), "reference": "none" })).await;
    play.receive(ground::wallet(&SHOP), &ground::dollars(WHOLE, comment(&dollars)), Outcome::Accepted);
    let plain = Letter::from(PAYER, u128::try_from(WHOLE).unwrap()).saying(text("for whoever stands there"));
    play.receive(STALL, &plain, Outcome::Undeployed);
    play.pass(10);
    for intent in [&dollars, &stall] {
        hears_that_it_is_confirmed(&play, intent).await;
    }
}
