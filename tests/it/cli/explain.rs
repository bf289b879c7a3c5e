//! Why a payment was, or was not, credited: one situation after the other, on a live chain.

use std::path::PathBuf;

use amn_core::block::NetworkId;
use amn_core::network::Facts;
use amn_evm::networks::EvmNetwork;
use amn_scanner::stage::anvil::Anvil;
use amn_scanner::stage::contracts;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::amn;
use crate::support::play::{Play, address};

fn config(play: &Play) -> PathBuf {
    play.dir.path().join("amn-scanner.toml")
}

/// The explanation in JSON.
async fn explained(play: &Play, what: &str) -> Value {
    amn(&config(play), &["explain", what, "--json"]).await.json()
}

fn codes(explained: &Value) -> Vec<&str> {
    explained["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

/// The words of the finding with that code.
fn words<'a>(explained: &'a Value, code: &str) -> &'a str {
    let all = explained["findings"].as_array().unwrap();
    let found = all.iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {all:#?}"))["words"].as_str().unwrap()
}

async fn at(play: &Play, seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(play.chain.time().await.unwrap() + seconds).unwrap();
    at.format(&Rfc3339).unwrap()
}

#[tokio::test]
async fn money_that_came_is_followed_from_its_first_confirmation_to_what_was_told() {
    let play = Play::new().await;
    let intent = play.intent(json!({"due": "25000000"})).await;
    let tx = play.pay(&intent, 24_630_000).await;
    play.mine(1).await;
    let waiting = explained(&play, &tx).await;
    assert_eq!(words(&waiting, "waiting"), "It has not settled: waiting for confirmations: 1 of 3.");
    assert_eq!(words(&waiting, "underpaid"), "Underpaid by 0.37 USDC.");
    assert!(words(&waiting, "matched").contains(intent["id"].as_str().unwrap()));
    let deposit = &waiting["deposits"][0];
    assert_eq!(deposit["operators"], json!(["alpha", "beta"]), "the operators by name");
    let term = |name: &str| {
        deposit["terms"].as_array().unwrap().iter().find(|term| term["term"] == name).unwrap()["met"].clone()
    };
    assert_eq!((term("confirmations"), term("inclusion"), term("operators")), (json!(false), json!(true), json!(true)));
    assert_eq!(waiting["networks"][0]["covered"]["coverage"], "linked");

    play.mine(2).await;
    let settled = explained(&play, &tx).await;
    assert!(words(&settled, "settled").contains("under confirmations 3, inclusion proven, operators 2"));
    let told: Vec<_> = settled["events"].as_array().unwrap().iter().map(|e| (&e["event"], &e["delivered"])).collect();
    assert_eq!(told, [(&json!("payment.detected"), &json!(1)), (&json!("payment.partial"), &json!(1))]);

    // The same from the intent and from its address, and in words.
    let id = intent["id"].as_str().unwrap();
    assert_eq!(words(&explained(&play, id).await, "underpaid"), "Underpaid by 0.37 USDC.");
    let of_address = explained(&play, intent["address"].as_str().unwrap()).await;
    assert!(words(&of_address, "watched").contains("on devnet"), "{of_address}");
    assert_eq!(of_address["deposits"][0]["id"], deposit["id"]);
    let text = amn(&config(&play), &["explain", id]).await.fine();
    assert!(text.contains("Underpaid by 0.37 USDC.\n"), "{text}");
    assert!(text.contains("confirmations  3         3       met\n"), "{text}");
}

#[tokio::test]
async fn late_too_much_of_another_asset_and_undone() {
    let play = Play::new().await;
    let late = play.intent(json!({"expires_at": at(&play, 3).await})).await;
    play.mine(9).await;
    let (over, other, undone) =
        (play.intent(json!({})).await, play.intent(json!({})).await, play.intent(json!({})).await);
    let late_tx = play.pay(&late, 1_000_000).await;
    let over_tx = play.pay(&over, 1_500_000).await;
    let other_tx = play.call(play.other_token, &contracts::transfer(address(&other), 1_000_000)).await;
    play.mine(3).await;
    let undone_tx = play.pay(&undone, 1_000_000).await;
    play.mine(1).await;
    play.reorg(1, &[]).await;

    let late = explained(&play, &late_tx).await;
    assert_eq!(words(&late, "late"), "It is late by 7 s, and counts only when the intent is accepted.");
    assert_eq!(words(&explained(&play, &over_tx).await, "overpaid"), "Overpaid by 0.5 USDC.");
    let other = explained(&play, &other_tx).await;
    assert!(words(&other, "unmatched").contains("asks for another asset"), "{other}");
    assert_eq!(other["events"][0]["event"], "deposit.unmatched", "the event that tells of it is found");
    let undone = explained(&play, &undone_tx).await;
    assert!(words(&undone, "retracted").contains("left the canonical chain"), "{undone}");
}

#[tokio::test]
async fn what_is_not_there_is_explained_by_asking_the_chain() {
    let mut play = Play::new().await;
    let early = play.fresh();
    let early_tx = play.pay_to(early, 1_000_000).await;
    play.mine(2).await;
    play.intent(json!({"address": early})).await;
    let intent = play.intent(json!({})).await;
    let to = address(&intent);

    let fake = play.chain.deploy(play.payer, &contracts::token("USD Coin", "USDC", 6).unwrap()).await.unwrap();
    play.call(fake, &contracts::mint(play.payer, 5_000_000)).await;
    let fake_tx = play.call(fake, &contracts::transfer(to, 1_000_000)).await;
    let dust_tx = play.pay(&intent, 0).await;
    let stranger = play.fresh();
    let stranger_tx = play.pay_to(stranger, 1_000_000).await;
    let native_tx = play.chain.send(play.payer, to, &[], 7).await.unwrap();
    // Nobody has so much: it is mined, and fails.
    let failed_tx = play.call(play.token, &contracts::transfer(to, u128::MAX)).await;
    play.mine(1).await;

    let cases = [
        (&early_tx, "before_watch", "is watched from block"),
        (&fake_tx, "not_listed", "not a listed token"),
        (&dust_tx, "dust", "below the min_amount of 0.000001 USDC"),
        (&stranger_tx, "not_watched", "It pays 1 USDC to"),
        (&native_tx, "native_not_watched", "watched for tokens, not for native money"),
        (&failed_tx, "failed", "The transaction failed in block"),
    ];
    for (tx, code, part) in cases {
        let explained = explained(&play, tx).await;
        assert_eq!(codes(&explained), [code], "{explained}");
        assert!(words(&explained, code).contains(part), "{explained}");
    }

    let nowhere = explained(&play, &format!("0x{}", "1".repeat(64))).await;
    assert!(words(&nowhere, "unknown").starts_with("No endpoint of devnet knows this transaction"), "{nowhere}");
    let nobody = explained(&play, &play.fresh().to_string()).await;
    assert!(words(&nobody, "not_watched").starts_with("Nobody watches"), "{nobody}");
    let pooled_tx = play.pay(&intent, 1_000_000).await;
    assert_eq!(codes(&explained(&play, &pooled_tx).await), ["mempool"]);

    play.daemon.kill().await;
    play.chain.mine(2).await.unwrap();
    let ahead = explained(&play, &pooled_tx).await;
    assert!(words(&ahead, "not_covered").starts_with("Not covered yet: it is in block"), "{ahead}");
    assert!(words(&ahead, "not_covered").contains(", 1 above our tip"), "{ahead}");
    assert!(!codes(&ahead).contains(&"unexplained"), "{ahead}");
}

/// A second network, of another name, that reads the same anvil.
async fn with_mirror(play: &Play, chain: &Anvil) -> PathBuf {
    let shipped = EvmNetwork::shipped("devnet").unwrap().unwrap();
    let facts = Facts { id: NetworkId::new("mirror"), ..Facts::clone(&shipped.facts) };
    amn_scanner::store::network::register(&play.db.pool, "evm", &facts, None).await.unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/chains/evm/networks/devnet.toml");
    let path = play.dir.path().join("mirror.toml");
    let more = format!(
        "[networks.mirror]\nfile = \"{file}\"\nsingle_operator = \"accepted\"\n\
         [[networks.mirror.endpoints]]\nname = \"mirror\"\nurl = \"{}\"\noperator = \"gamma\"\n",
        chain.url()
    );
    std::fs::write(&path, std::fs::read_to_string(config(play)).unwrap() + "\n" + &more).unwrap();
    path
}

#[tokio::test]
async fn money_on_the_wrong_network_is_told_from_money_to_nobody() {
    let play = Play::new().await;
    let config = with_mirror(&play, &play.chain).await;
    let to = play.fresh();
    let made = ["intents", "create", "--tenant", "seller", "--network", "mirror", "--asset", "ETH", "--due", "7"];
    let shown = to.to_string();
    amn(&config, &[&made[..], &["--address", &shown]].concat()).await.fine();
    let tx = play.pay_to(to, 1_000_000).await;
    play.mine(1).await;
    let explained = amn(&config, &["explain", &tx, "--json"]).await.json();
    let said = words(&explained, "another_network");
    assert!(said.contains("is watched on mirror, not on devnet"), "{said}");
}
