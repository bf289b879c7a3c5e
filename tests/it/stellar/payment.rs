//! One payment from the ledger to the webhook: XLM by a memo that nobody chose, and what its payer and its
//! receiver are told on the way.

use amn_soroban::address::{Place, muxed};
use amn_soroban::testkit::{self, Tx, plain};
use serde_json::{Value, json};
use stellar_xdr::{Asset, Memo};

use super::ground::{self, ESCROW, OTHER, PAYER, SHOP, WHOLE};
use super::play::{Setting, StellarPlay};
use crate::cli::amn;

async fn play() -> StellarPlay {
    let require = r#"{ inclusion = "proven", operators = 2, attestations = 2 }"#;
    StellarPlay::with(Setting { require, ..Setting::default() }).await
}

fn number(intent: &Value) -> u64 {
    intent["reference"].as_str().unwrap().strip_prefix("id:").unwrap().parse().unwrap()
}

/// The ledgers that attest it close one after another.
async fn hears_that_it_is_confirmed(play: &StellarPlay, intent: &Value) {
    play.wait("the receiver hears of no confirmation", async || play.told(intent).len() > 1).await;
    assert_eq!(play.told(intent), ["payment.detected", "payment.confirmed"], "{}", play.log());
}

#[tokio::test]
async fn xlm_by_memo_is_detected_attested_confirmed_and_told_to_the_receiver() {
    let play = play().await;
    let (first, second) = (play.intent(json!({})).await, play.intent(json!({})).await);
    assert_ne!(first["reference"], second["reference"], "one account, two intents");
    // One payer writes the number as a memo, the other's wallet knows muxed addresses.
    let by_memo = Tx::of(PAYER).memo(Memo::Id(number(&first))).pay(plain(SHOP), &Asset::Native, WHOLE);
    let by_address = Tx::of(OTHER).pay(testkit::muxed(SHOP, number(&second)), &Asset::Native, WHOLE);
    play.close(&[by_memo, by_address]);
    play.caught_up().await;
    assert_eq!(play.now(&first).await["status"], "detected", "nobody has attested the newest ledger yet");
    for _ in 0..2 {
        play.close(&[]);
        play.caught_up().await;
    }
    for intent in [&first, &second] {
        hears_that_it_is_confirmed(&play, intent).await;
        let body = play.bodies(intent).pop().unwrap();
        let deposit = &body["deposits"][0];
        assert_eq!(
            (&deposit["amount"], &deposit["evidence"]),
            (&json!("10000000"), &json!({ "attestations": 2, "inclusion": "proven", "operators": 2 }))
        );
        assert_eq!((&body["intent"]["reference"], &body["intent"]["shortfall"]), (&intent["reference"], &json!("0")));
        assert_eq!(body["network"]["chain"], "stellar:stories");
    }
    let told = play.daemon.api().get(&format!("/v1/networks/{}", ground::NETWORK)).await.unwrap();
    assert_eq!(told["facts"]["passphrase"], ground::PASSPHRASE);
    play.wait("the daemon does not say how far its nodes reach", async || {
        let told = play.daemon.api().get(&format!("/v1/networks/{}", ground::NETWORK)).await.unwrap();
        told["endpoints"].as_array().unwrap().iter().all(|node| node["reach"]["oldest"] == 1_001)
    })
    .await;
}

#[tokio::test]
async fn a_contract_is_paid_at_its_wide_address_and_alone() {
    let play = play().await;
    let at = |place: Place, more: Value| {
        let mut asked = json!({ "address": place.spell().as_str(), "asset": ground::asset("USD") });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    let shared = Place::Contract([0xe6; 32]);
    let alone = play.intent(at(ESCROW, json!({}))).await;
    let numbered = play.intent(at(shared, json!({ "reference": "fresh" }))).await;
    assert_eq!(numbered["pay_to"]["muxed_address"], muxed(shared, number(&numbered)));
    let (token, amount) = (ground::token(), i128::from(WHOLE));
    let id = stellar_xdr::ScVal::U64(number(&numbered));
    let data = [token.transfer(PAYER, ESCROW, amount), token.transfer_with(PAYER, shared, amount, id)];
    play.close(&data.map(|event| Tx::of(PAYER).call(vec![event])));
    for _ in 0..2 {
        play.close(&[]);
    }
    for intent in [&alone, &numbered] {
        hears_that_it_is_confirmed(&play, intent).await;
    }
}

#[tokio::test]
async fn a_payment_that_says_two_things_is_told_as_nobodys_with_its_reason() {
    let play = play().await;
    let intent = play.intent(json!({})).await;
    let both =
        Tx::of(PAYER).memo(ground::text("thanks")).pay(testkit::muxed(SHOP, number(&intent)), &Asset::Native, WHOLE);
    play.close(&[both]);
    for _ in 0..2 {
        play.close(&[]);
    }
    let unmatched = || -> Vec<Value> {
        let told = play.receiver.delivered().into_iter().map(|heard| heard.json());
        told.filter(|body| body["event"] == "deposit.unmatched").collect()
    };
    play.wait("nobody is told of it", async || !unmatched().is_empty()).await;
    let unmatched = unmatched();
    assert_eq!((unmatched.len(), play.told(&intent)), (1, Vec::new()), "{}", play.log());
    assert_eq!(unmatched[0]["reason"], "contradictory_reference");
    assert_eq!(unmatched[0]["deposits"][0]["amount"], "10000000");
}

#[tokio::test]
async fn a_person_is_told_what_stands_behind_a_payment_and_how_far_the_nodes_reach() {
    let play = play().await;
    let config = play.dir.path().join("amn-scanner.toml");
    let create = [
        "intents",
        "create",
        "--tenant",
        "seller",
        "--network",
        ground::NETWORK,
        "--asset",
        "XLM",
        "--due",
        "10000000",
        "--address",
    ];
    let shop = SHOP.spell();
    let made = amn(&config, &[&create[..], &[shop.as_str()]].concat()).await.fine();
    let wide = made.lines().find_map(|line| line.strip_prefix("or pay to")).unwrap().trim().to_owned();
    assert!(made.contains("memo") && wide.starts_with('M') && made.contains("web+stellar:pay?"), "{made}");
    let id: u64 = match amn_soroban::address::parse(&wide).unwrap().id {
        Some(id) => id,
        None => panic!("no number in {wide}"),
    };
    let tx = Tx::of(PAYER).pay(testkit::muxed(SHOP, id), &Asset::Native, WHOLE);
    let closed = play.nodes[0].history().close(&[tx]);
    for _ in 0..2 {
        play.close(&[]);
        play.caught_up().await;
    }
    let intent = json!({ "id": made.split_whitespace().find(|word| word.starts_with("pi_")).unwrap() });
    hears_that_it_is_confirmed(&play, &intent).await;
    let name = closed.names[0].to_string();
    let explained = amn(&config, &["explain", &name, "--json"]).await.json();
    let findings = explained["findings"].as_array().unwrap();
    let words = |code: &str| {
        let found = findings.iter().find(|finding| finding["code"] == code);
        found.unwrap_or_else(|| panic!("no {code} in {findings:#?}"))["words"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        words("evidence"),
        "It is proven from the header of its own ledger; that the ledger is the network's is the word of alpha, beta, and \
         validators of 2 organisation(s) built on it: org-1, org-3."
    );
    assert_eq!(explained["moves"][0]["shown"], "1 XLM", "{explained:#}");

    // How far nodes reach is the daemon's to say, and it says it every few seconds.
    let show = async || amn(&config, &["networks", "show", ground::NETWORK]).await.fine();
    play.wait("nobody says how far the nodes reach", async || show().await.contains("1001 to 100")).await;
    let shown = show().await;
    for part in [ground::PASSPHRASE, "org-1, org-2, org-3", "1001 to 100", "; protocol 26"] {
        assert!(shown.contains(part), "no {part:?} in:\n{shown}");
    }
    let checked = amn(&config, &["check", "--json"]).await;
    let checks: Value = serde_json::from_str(&checked.out).unwrap();
    let said = |check: &str| {
        let found = checks["checks"].as_array().unwrap().iter().find(|line| line["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {checks:#}")).clone()
    };
    assert!(said("identity")["said"].as_str().unwrap().contains(ground::PASSPHRASE));
    assert_eq!(said("protocol")["said"], "26; this binary reads up to 30");
    assert!(said("newest")["said"].as_str().unwrap().contains("proves itself; its value is signed by org-"));
    assert_eq!(
        (said("retention")["status"].clone(), said("agreement")["status"].clone()),
        (json!("warn"), json!("ok"))
    );
}
