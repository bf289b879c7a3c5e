//! An issuer takes money back that was settled: the backend hears of it, and where one cannot tell whose it was, a
//! person does.

use amn_soroban::testkit::{Tx, muxed, plain};
use serde_json::json;

use super::ground::{self, ESCROW, ISSUER, OTHER, PAYER, SHOP, WHOLE};
use super::play::{Setting, StellarPlay};

#[tokio::test]
async fn a_settled_deposit_that_its_issuer_claws_back_is_told_as_reversed_and_paying_again_confirms_again() {
    let play = StellarPlay::with(Setting::default()).await;
    let escrow = json!({"asset": ground::asset("USD"), "address": ESCROW.spell().as_str()});
    let intent = play.intent(escrow).await;
    let pay = || Tx::of(PAYER).call(vec![ground::token().transfer(PAYER, ESCROW, WHOLE.into())]);
    play.close(&[pay()]);
    play.quiet().await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);

    play.close(&[Tx::of(ISSUER).call(vec![ground::token().clawback(ESCROW, WHOLE.into())])]);
    play.quiet().await;
    let told = play.bodies(&intent);
    let reversed = told.last().unwrap();
    assert_eq!((&reversed["event"], &reversed["reason"]), (&json!("payment.reversed"), &json!("taken_back")));
    assert_eq!((&reversed["intent"]["settled"], &reversed["intent"]["received"]), (&json!("0"), &json!("0")));
    assert_eq!(reversed["deposits"][0]["status"], "reversed");
    assert_ne!(reversed["intent"]["status"], "confirmed");

    play.close(&[pay()]);
    play.quiet().await;
    let events = play.told(&intent);
    assert_eq!(events[2..], ["payment.reversed", "payment.detected", "payment.confirmed"]);
    assert_eq!(play.now(&intent).await["settled"], WHOLE.to_string());
}

#[tokio::test]
async fn a_classic_clawback_of_more_than_the_newest_deposit_reverses_as_many_as_it_took() {
    let play = StellarPlay::with(Setting::default()).await;
    let intent = play.exclusive("USD", SHOP).await;
    for _ in 0..3 {
        play.close(&[Tx::of(PAYER).pay(plain(SHOP), &ground::usd(), WHOLE / 2)]);
    }
    play.quiet().await;
    assert_eq!(play.now(&intent).await["settled"], (WHOLE / 2 * 3).to_string());
    play.close(&[Tx::of(ISSUER).claw_back(plain(SHOP), &ground::usd(), WHOLE / 2 + 1)]);
    // What somebody else lost is none of ours.
    play.close(&[Tx::of(ISSUER).claw_back(plain(OTHER), &ground::usd(), WHOLE)]);
    play.quiet().await;
    let now = play.now(&intent).await;
    assert_eq!(now["settled"], (WHOLE / 2).to_string(), "{now}");
    let reversed = play.told(&intent).iter().filter(|event| *event == "payment.reversed").count();
    assert_eq!(reversed, 2);
}

#[tokio::test]
async fn a_clawback_that_failed_and_one_of_another_asset_with_the_same_code_take_nothing() {
    let play = StellarPlay::with(Setting::default()).await;
    let intent = play.exclusive("USD", SHOP).await;
    play.close(&[Tx::of(PAYER).pay(plain(SHOP), &ground::usd(), WHOLE)]);
    play.quiet().await;
    let fake = amn_soroban::asset::classic("USD", OTHER.spell().as_str()).unwrap();
    play.close(&[
        Tx::of(ISSUER).claw_back(plain(SHOP), &ground::usd(), WHOLE).fails(),
        Tx::of(OTHER).claw_back(plain(SHOP), &fake, WHOLE),
    ]);
    play.quiet().await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
}

#[tokio::test]
async fn whose_money_was_taken_from_a_shared_account_is_for_a_person_to_say() {
    let play = StellarPlay::with(Setting::default()).await;
    let mut intents = Vec::new();
    for number in [7, 8] {
        let terms = json!({"asset": ground::asset("USD"), "reference": format!("id:{number}")});
        intents.push(play.intent(terms).await);
        play.close(&[Tx::of(PAYER).pay(muxed(SHOP, number), &ground::usd(), WHOLE)]);
    }
    play.quiet().await;
    play.close(&[Tx::of(ISSUER).claw_back(plain(SHOP), &ground::usd(), WHOLE)]);
    play.quiet().await;
    for intent in &intents {
        assert_eq!(play.told(intent), ["payment.detected", "payment.confirmed"], "nobody's money is guessed at");
    }
    let log = play.log();
    let said = |line: &&str| line.contains("takeback_at_shared_address") && line.contains(SHOP.spell().as_str());
    assert!(log.lines().any(|line| said(&line)), "{log}");
}

#[tokio::test]
async fn an_account_that_may_no_longer_pay_is_named() {
    let play = StellarPlay::with(Setting::default()).await;
    let intent = play.exclusive("USD", SHOP).await;
    play.close(&[Tx::of(PAYER).pay(plain(SHOP), &ground::usd(), WHOLE)]);
    play.close(&[Tx::of(ISSUER).withdraw_authorization(SHOP, &ground::usd())]);
    play.quiet().await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
    let named = "select count(*) from amn.observation where kind = 'authorization_withdrawn'";
    assert_eq!(play.db.count(named).await, 1);
}
