//! One payment from the chain to the webhook: TON with a comment that nobody chose, and what its payer and its receiver
//! are told on the way.

use amn_ton::testkit::{Letter, Outcome, text};
use serde_json::{Value, json};

use super::ground::{self, PAYER, SHOP, STALL, WHOLE, letter};
use super::play::{Setting, TonPlay};
use super::scene::Way;
use crate::cli::amn;

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

#[tokio::test]
async fn a_person_is_told_what_stands_behind_a_payment_and_how_the_network_is_read() {
    let play = TonPlay::with(Setting::default()).await;
    let config = play.dir.path().join("amn-scanner.toml");
    let shop = SHOP.to_string();
    let terms = ["--tenant", "seller", "--network", ground::NETWORK, "--asset", "TON", "--due", "1000000000"];
    let made = amn(&config, &[&["intents", "create"][..], &terms, &["--address", &shop]].concat()).await.fine();
    let said = made.lines().find_map(|line| line.strip_prefix("reference")).unwrap().trim();
    let comment = said.strip_prefix("text:").unwrap();
    assert!(made.contains("ton://transfer/UQ") && made.contains(&format!("text={comment}")), "{made}");
    play.receive(SHOP, &letter(WHOLE, comment), Outcome::Accepted);
    play.pass(10);
    let intent = json!({ "id": made.split_whitespace().find(|word| word.starts_with("pi_")).unwrap() });
    hears_that_it_is_confirmed(&play, &intent).await;
    let tx = play.bodies(&intent).pop().unwrap()["deposits"][0]["tx"].as_str().unwrap().to_owned();
    let bytes: amn_core::block::Hash = tx.parse().unwrap();
    // As an explorer of TON shows it.
    let short = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes.0);
    for name in [tx.as_str(), &short] {
        let explained = amn(&config, &["explain", name, "--json"]).await.json();
        let findings = explained["findings"].as_array().unwrap();
        let evidence = findings.iter().find(|finding| finding["code"] == "evidence");
        let words = evidence.unwrap_or_else(|| panic!("no evidence in {findings:#?}"))["words"].as_str().unwrap();
        assert!(words.contains("hashed again") && words.ends_with("the word of alpha, beta."), "{words}");
        assert_eq!(explained["moves"][0]["shown"], "1 TON", "{explained:#}");
    }
    let shown = amn(&config, &["networks", "show", ground::NETWORK]).await.fine();
    for part in ["-239", "account by account", "USD (EQ", "toncenter-v3", "tonapi"] {
        assert!(shown.contains(part), "no {part:?} in:\n{shown}");
    }
    let checked = amn(&config, &["check", "--json"]).await;
    let checks: Value = serde_json::from_str(&checked.out).unwrap();
    let said = |check: &str| {
        let found = checks["checks"].as_array().unwrap().iter().find(|line| line["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {checks:#}")).clone()
    };
    assert!(said("identity")["said"].as_str().unwrap().ends_with("tvm:-239"), "{checks:#}");
    for check in ["mode", "masters", "agreement"] {
        assert_eq!(said(check)["status"], "ok", "{checks:#}");
    }
}
