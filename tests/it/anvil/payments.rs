//! Every way to pay what was asked for, less, more, too late, or natively.

use amn_scanner::stage::contracts;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::play::{Play, address};

/// An account key of nobody: from the public test vectors of BIP-32.
const XPUB: &str =
    "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ";

/// So many seconds of chain time from now; a block is one second.
async fn in_seconds(play: &Play, seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(play.chain.time().await.unwrap() + seconds).unwrap();
    at.format(&Rfc3339).unwrap()
}

fn last(bodies: &[Value]) -> &Value {
    bodies.last().unwrap()
}

#[tokio::test]
async fn exactly_in_two_parts_too_much_and_too_little() {
    let play = Play::new().await;
    let exact = play.intent(json!({})).await;
    let parts = play.intent(json!({})).await;
    let over = play.intent(json!({})).await;
    let more = play.intent(json!({})).await;
    let tolerant = play.intent(json!({"tolerance": "1000"})).await;
    play.pay(&exact, 1_000_000).await;
    play.pay(&parts, 400_000).await;
    play.pay(&over, 1_500_000).await;
    play.pay(&more, 1_000_000).await;
    play.pay(&tolerant, 999_000).await;
    play.mine(4).await;
    play.pay(&parts, 600_000).await;
    play.pay(&more, 7).await;
    play.mine(3).await;

    assert_eq!(play.told(&exact), ["payment.detected", "payment.confirmed"]);
    assert_eq!(play.told(&parts), ["payment.detected", "payment.partial", "payment.detected", "payment.confirmed"]);
    assert_eq!(play.bodies(&parts)[1]["intent"]["shortfall"], "600000");
    assert_eq!(last(&play.bodies(&parts))["deposits_total"], 2);
    assert_eq!(play.told(&over), ["payment.detected", "payment.confirmed", "payment.overpaid"]);
    assert_eq!(last(&play.bodies(&over))["intent"]["excess"], "500000");
    assert_eq!(
        play.told(&more),
        ["payment.detected", "payment.confirmed", "payment.detected", "payment.overpaid"],
        "an excess that comes later is told too"
    );
    assert_eq!(play.told(&tolerant), ["payment.detected", "payment.confirmed"]);
    for intent in [&exact, &parts, &over, &more, &tolerant] {
        play.balances(intent).await;
        assert_eq!(play.now(intent).await["status"], "confirmed");
    }
}

#[tokio::test]
async fn expired_paid_late_and_accepted() {
    let play = Play::new().await;
    let soon = in_seconds(&play, 2).await;
    let intent = play.intent(json!({"expires_at": soon})).await;
    let unpaid = play.intent(json!({"expires_at": soon})).await;
    // In its last second, and not enough.
    let short = play.intent(json!({"expires_at": soon})).await;
    play.mine(1).await;
    play.pay(&short, 10).await;
    play.mine(2).await;
    assert!(play.told(&intent).is_empty(), "a block past the end that is not settled ends nothing");
    play.mine(2).await;
    assert_eq!(play.told(&intent), ["payment.expired"]);
    assert_eq!(play.told(&short), ["payment.detected", "payment.partial", "payment.expired"]);

    play.pay(&intent, 1_000_000).await;
    play.mine(1).await;
    assert_eq!(play.told(&intent), ["payment.expired", "payment.late"]);
    assert_eq!(last(&play.bodies(&intent))["intent"]["late"], "1000000");
    assert_eq!(last(&play.bodies(&intent))["intent"]["received"], "0");
    play.mine(2).await;
    assert_eq!(play.told(&intent), ["payment.expired", "payment.late", "payment.late"]);
    assert_eq!(last(&play.bodies(&intent))["reason"], "settled");
    assert_eq!(play.now(&intent).await["status"], "late");

    let accepted = play.ask(&intent, "accept").await;
    assert_eq!(accepted["status"], "confirmed");
    play.mine(1).await;
    let told = play.told(&intent);
    assert_eq!(told[3..], ["payment.confirmed"]);
    assert_eq!(last(&play.bodies(&intent))["reason"], "accepted");
    assert_eq!(last(&play.bodies(&intent))["intent"]["settled"], "1000000");
    assert_eq!(play.told(&unpaid), ["payment.expired"]);
    for intent in [&intent, &unpaid, &short] {
        play.balances(intent).await;
    }
}

#[tokio::test]
async fn canceled_and_paid_all_the_same() {
    let play = Play::new().await;
    let intent = play.intent(json!({})).await;
    assert_eq!(play.ask(&intent, "cancel").await["status"], "canceled");
    play.mine(1).await;
    assert_eq!(play.told(&intent), ["payment.canceled"]);
    play.pay(&intent, 1_000_000).await;
    play.mine(3).await;
    assert_eq!(play.told(&intent), ["payment.canceled", "payment.late", "payment.late"]);
    let now = play.now(&intent).await;
    assert_eq!((&now["status"], &now["late"]), (&json!("late"), &json!("1000000")));
    play.balances(&intent).await;
}

#[tokio::test]
async fn native_money_of_successful_transactions() {
    let play = Play::new().await;
    let intent = play.intent(json!({"asset": "eip155:31337/slip44:60", "due": "1000000000000000000"})).await;
    let to = address(&intent);
    play.chain.send(play.payer, to, &[], 400_000_000_000_000_000).await.unwrap();
    play.mine(1).await;
    // Two in one block, one of them with data.
    play.chain.send(play.payer, to, &[], 300_000_000_000_000_000).await.unwrap();
    play.chain.send(play.payer, to, b"thank you", 300_000_000_000_000_000).await.unwrap();
    // Reverts: it moves nothing, whatever its value says.
    play.chain.send(play.payer, play.token, b"no such call", 5).await.unwrap();
    play.mine(3).await;
    let told = play.told(&intent);
    assert_eq!(told.iter().filter(|event| *event == "payment.detected").count(), 3, "{told:?}");
    assert_eq!(told.last().unwrap(), "payment.confirmed");
    let body = play.bodies(&intent).pop().unwrap();
    assert_eq!(body["intent"]["settled"], "1000000000000000000");
    assert!(body["deposits"].as_array().unwrap().iter().all(|d| d["evidence"]["inclusion"] == "proven"), "{body}");
    play.balances(&intent).await;
}

#[tokio::test]
async fn an_address_derived_from_the_tenants_account_key() {
    let play = Play::new().await;
    let api = play.daemon.api();
    api.put("/v1/tenants/seller", json!({"xpub": XPUB})).await.unwrap();
    let first = play.intent(json!({"address": null})).await;
    let second = play.intent(json!({"address": null})).await;
    assert_eq!((&first["derivation_index"], &second["derivation_index"]), (&json!(0), &json!(1)));
    assert_ne!(first["address"], second["address"]);
    let expected = amn_evm::xpub::Xpub::parse(XPUB).unwrap().address(1).unwrap();
    assert_eq!(second["address"], expected.as_str());
    play.pay(&second, 1_000_000).await;
    play.mine(3).await;
    assert!(play.told(&first).is_empty());
    assert_eq!(play.told(&second), ["payment.detected", "payment.confirmed"]);
    play.balances(&second).await;
}

#[tokio::test]
async fn fee_proxies_pay_once_and_forgeries_pay_nobody() {
    let play = Play::new().await;
    let shared = play.fresh();
    let reference = |n: u8| [0xa0, 0, 0, 0, 0, 0, 0, n];
    let named = |n: u8| json!({"address": shared, "reference": hex::encode(reference(n))});
    let token = play.intent(named(1)).await;
    let forged = play.intent(named(2)).await;
    let mut native = named(3);
    native["asset"] = json!("eip155:31337/slip44:60");
    let native = play.intent(native).await;
    let fake = play.chain.deploy(play.payer, &contracts::Contract::FakeToken.bytecode().unwrap()).await.unwrap();
    play.caught_up().await;

    // One payment, two logs: the token's own transfer and the proxy's event.
    play.call(play.erc20_proxy, &contracts::pay_with_reference(play.token, shared, 1_000_000, &reference(1))).await;
    // The proxy believes a token that moves nothing …
    play.call(play.erc20_proxy, &contracts::pay_with_reference(fake, shared, 1_000_000, &reference(2))).await;
    // … and a proxy of nobody's list may say what it likes.
    let other = play.chain.deploy(play.payer, &contracts::Contract::EthFeeProxy.bytecode().unwrap()).await.unwrap();
    play.chain
        .send(play.payer, other, &contracts::pay_native_with_reference(shared, &reference(3)), 999)
        .await
        .unwrap();
    let paid = contracts::pay_native_with_reference(shared, &reference(3));
    play.chain.send(play.payer, play.eth_proxy, &paid, 1_000_000).await.unwrap();
    play.mine(4).await;

    assert_eq!(play.told(&token), ["payment.detected", "payment.confirmed"]);
    let body = play.bodies(&token).pop().unwrap();
    assert_eq!((&body["intent"]["settled"], &body["deposits_total"]), (&json!("1000000"), &json!(1)));
    assert!(play.told(&forged).is_empty(), "{:?}", play.told(&forged));
    assert_eq!(play.told(&native), ["payment.detected", "payment.confirmed"]);
    assert_eq!(play.bodies(&native).pop().unwrap()["intent"]["settled"], "1000000");
    assert!(play.others().is_empty(), "{:?}", play.others());
    assert_eq!(play.balance(Some(play.token), shared).await, 1_000_000);
}
