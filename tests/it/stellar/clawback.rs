//! An issuer takes money back that was settled: the backend hears of it, and where only a rule tells whose it was, a
//! person hears of it too.

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
async fn what_is_taken_from_a_shared_account_is_reversed_by_rule_and_a_person_hears_of_it() {
    let play = StellarPlay::with(Setting::default()).await;
    let mut intents = Vec::new();
    for (number, more) in [(7, 5), (8, 0), (9, 0), (10, 9)] {
        let (asset, due) = (ground::asset("USD"), (WHOLE + more).to_string());
        let terms = json!({"asset": asset, "due": due, "reference": format!("id:{number}")});
        intents.push(play.intent(terms).await);
        play.close(&[Tx::of(PAYER).pay(muxed(SHOP, number), &ground::usd(), WHOLE + more)]);
    }
    play.quiet().await;
    // Two have paid exactly that: it was the newest of them, though another is newer still.
    play.close(&[Tx::of(ISSUER).claw_back(plain(SHOP), &ground::usd(), WHOLE)]);
    play.quiet().await;
    let untouched = |at: usize| play.told(&intents[at]) == ["payment.detected", "payment.confirmed"];
    assert!(untouched(0) && untouched(1) && untouched(3));
    let told = play.bodies(&intents[2]);
    let reversed = told.last().unwrap();
    assert_eq!((&reversed["event"], &reversed["reason"]), (&json!("payment.reversed"), &json!("taken_back_by_rule")));
    assert_eq!(reversed["intent"]["settled"], "0");
    // Nobody has paid exactly that: the newest answer for it.
    play.close(&[Tx::of(ISSUER).claw_back(plain(SHOP), &ground::usd(), WHOLE + 10)]);
    play.quiet().await;
    assert!(untouched(0));
    for at in [1, 3] {
        assert_eq!(play.told(&intents[at]).last().unwrap(), "payment.reversed");
    }
    let log = play.log();
    let said = |line: &&str| line.contains("takeback_at_shared_address") && line.contains(SHOP.spell().as_str());
    assert!(log.lines().any(|line| said(&line)), "{log}");
}

#[tokio::test]
async fn a_payment_after_a_clawback_in_one_ledger_stands() {
    let play = StellarPlay::with(Setting::default()).await;
    let intent = play.exclusive("USD", SHOP).await;
    play.close(&[Tx::of(PAYER).pay(plain(SHOP), &ground::usd(), WHOLE)]);
    play.quiet().await;
    play.close(&[Tx::of(ISSUER).claw_back(plain(SHOP), &ground::usd(), WHOLE).pay(plain(SHOP), &ground::usd(), WHOLE)]);
    play.quiet().await;
    let bodies = play.bodies(&intent);
    let statuses: Vec<_> =
        bodies.last().unwrap()["deposits"].as_array().unwrap().iter().map(|d| d["status"].clone()).collect();
    assert_eq!(statuses, ["reversed", "settled"]);
    assert_eq!(play.now(&intent).await["settled"], WHOLE.to_string());
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
