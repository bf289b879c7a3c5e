//! Intents on Stellar over HTTP: whose account it is, what tells payments apart, and what the payer is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use amn_scanner::clock::SeededIds;
use amn_soroban::address::{Place, muxed};
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::real::{Bad, Real};
use super::stand::{Answer, OPERATOR, Stand};

const XLM: &str = "stellar:testnet/slip44:148";
const USDC: &str = "stellar:testnet/asset:USDC-GBBD47IF6LWK7P7MDEVSCWR7DPUWV3NY3DTQEVFL4NAT4AQH3ZLLFLA5";
const SHOP: Place = Place::Account([0x51; 32]);
const ESCROW: Place = Place::Contract([0xe5; 32]);

/// The test network, asked of nodes that nobody needs here.
const CONFIG: &str = r#"
environment = "development"
[[networks.stellar-testnet.endpoints]]
name = "a"
operator = "a"
url = "http://127.0.0.1:9"
[[networks.stellar-testnet.endpoints]]
name = "b"
operator = "b"
url = "http://127.0.0.1:9"
"#;

const REAL: Real = Real {
    network: "stellar-testnet",
    config: CONFIG,
    terms: || {
        json!({
            "tenant": "seller", "network": "stellar-testnet", "asset": XLM, "due": "25500000",
            "address": SHOP.spell().as_str(),
        })
    },
};

async fn stand() -> Stand {
    REAL.stand().await
}

async fn create(stand: &Stand, more: Value) -> Answer {
    REAL.create(stand, more).await
}

async fn made(stand: &Stand, more: Value) -> Value {
    REAL.made(stand, more).await
}

fn number(intent: &Value) -> u64 {
    intent["reference"].as_str().unwrap().strip_prefix("id:").unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_intent_on_an_account_is_given_a_number_and_its_payer_is_told_all_there_is() {
    let stand = stand().await;
    let intent = made(&stand, json!({})).await;
    let number = number(&intent);
    assert!((1 << 52..1 << 53).contains(&number), "a number that every wallet can write: {number}");
    let shop = SHOP.spell();
    assert_eq!(
        intent["pay_to"],
        json!({
            "address": shop.as_str(), "memo": { "type": "id", "value": number.to_string() },
            "muxed_address": muxed(SHOP, number),
        })
    );
    assert_eq!(
        intent["payment_uri"],
        format!(
            "web+stellar:pay?destination={shop}&amount=2.55&memo={number}&memo_type=MEMO_ID\
             &network_passphrase=Test%20SDF%20Network%20%3B%20September%202015"
        )
    );
    let usdc = made(&stand, json!({ "asset": USDC, "reference": "text:order 17" })).await;
    assert_eq!(usdc["pay_to"]["memo"], json!({ "type": "text", "value": "order 17" }));
    assert_eq!(usdc["pay_to"]["muxed_address"], Value::Null, "a text is no number");
    let uri = usdc["payment_uri"].as_str().unwrap();
    assert!(uri.contains("&asset_code=USDC&asset_issuer=GBBD47IF") && uri.contains("memo=order%2017"), "{uri}");
    assert_eq!(usdc["address"], shop.as_str());
}

#[tokio::test]
async fn of_many_intents_at_once_on_one_account_no_two_share_a_number_and_neither_do_those_of_a_restart() {
    let stand = stand().await;
    let key = SHOP.spell();
    let over_http = (0..20).map(|_| create(&stand, json!({})));
    let over_sql = (0..20).map(async |_| {
        sqlx::query_scalar::<_, Uuid>("select amn.create_intent('seller', 'stellar-testnet', $1, 1, $2)")
            .bind(XLM)
            .bind(key.as_str())
            .fetch_one(stand.pool())
            .await
            .unwrap()
    });
    let (answers, _) = tokio::join!(join_all(over_http), join_all(over_sql));
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    // The daemon starts again on the same database, with other dice.
    let pool = stand.pool().clone();
    let again = Stand::with(|state| {
        state.pool = pool;
        REAL.set(state);
        state.ids = Arc::new(SeededIds::new(8, state.clock.now()));
    })
    .await;
    join_all((0..20).map(|_| made(&again, json!({})))).await;
    let references: Vec<String> =
        sqlx::query_scalar("select reference from amn.watch").fetch_all(stand.pool()).await.unwrap();
    let different: BTreeSet<_> = references.iter().collect();
    assert_eq!((references.len(), different.len()), (60, 60));
}

#[tokio::test]
async fn a_number_that_was_ever_used_is_not_drawn_again() {
    let stand = stand().await;
    let id = Uuid::from_u128(7);
    let drawn = async |attempt: i32| -> i64 {
        sqlx::query_scalar("select amn.fresh_number($1, $2)")
            .bind(id)
            .bind(attempt)
            .fetch_one(stand.pool())
            .await
            .unwrap()
    };
    // Somebody named the very number by hand, and gave the intent up.
    let by_hand = made(&stand, json!({ "reference": format!("id:{}", drawn(0).await) })).await;
    let cancel = format!("/v1/intents/{}/cancel", by_hand["id"].as_str().unwrap());
    assert_eq!(stand.post(&cancel).key(OPERATOR).send().await.status, 200);
    sqlx::query("select amn.create_intent('seller', 'stellar-testnet', $1, 1, $2, id => $3)")
        .bind(XLM)
        .bind(SHOP.spell().as_str())
        .bind(id)
        .execute(stand.pool())
        .await
        .unwrap();
    let reference: String = sqlx::query_scalar("select reference from amn.intent where id = $1")
        .bind(id)
        .fetch_one(stand.pool())
        .await
        .unwrap();
    assert_eq!(reference, format!("id:{}", drawn(1).await));
}

#[tokio::test]
async fn a_muxed_address_is_its_account_and_a_number() {
    let stand = stand().await;
    for place in [SHOP, ESCROW] {
        let address = muxed(place, 42);
        let intent = made(&stand, json!({ "address": address })).await;
        assert_eq!((&intent["address"], &intent["reference"]), (&json!(place.spell().as_str()), &json!("id:42")));
        assert_eq!(intent["pay_to"]["muxed_address"], address);
        let again = create(&stand, json!({ "address": place.spell().as_str(), "reference": "id:42" })).await;
        assert_eq!((again.status, again.code()), (409, "address_taken"), "{}", again.text);
    }
    let same = made(&stand, json!({ "address": muxed(SHOP, 43), "reference": "id:43" })).await;
    assert_eq!(same["reference"], "id:43");
}

#[tokio::test]
async fn a_contract_is_an_intents_alone_unless_it_asks_for_a_number() {
    let stand = stand().await;
    let (alone, shared) = (ESCROW.spell(), Place::Contract([0xe6; 32]));
    let first = made(&stand, json!({ "address": alone.as_str() })).await;
    assert_eq!((&first["reference"], &first["pay_to"]["memo"]), (&Value::Null, &Value::Null));
    let uri = first["payment_uri"].as_str().unwrap();
    assert!(uri.starts_with(&format!("web+stellar:pay?destination={alone}&amount=2.55&network")), "{uri}");
    let second = create(&stand, json!({ "address": alone.as_str() })).await;
    assert_eq!((second.status, second.code()), (409, "address_taken"), "{}", second.text);

    let shared_address = shared.spell();
    for _ in 0..2 {
        let intent = made(&stand, json!({ "address": shared_address.as_str(), "reference": "fresh" })).await;
        let wide = muxed(shared, number(&intent));
        assert_eq!(
            intent["pay_to"],
            json!({ "address": shared_address.as_str(), "memo": null, "muxed_address": wide }),
            "a payment to a contract carries no memo"
        );
        assert!(intent["payment_uri"].as_str().unwrap().contains(&format!("destination={wide}&")));
    }
}

#[tokio::test]
async fn an_account_may_be_an_intents_alone_when_it_says_so() {
    let stand = stand().await;
    let alone = made(&stand, json!({ "reference": "none" })).await;
    assert_eq!(alone["reference"], Value::Null);
    assert_eq!(alone["pay_to"], json!({ "address": SHOP.spell().as_str(), "memo": null, "muxed_address": null }));
    for more in [json!({}), json!({ "reference": "id:7" }), json!({ "reference": "none" })] {
        let refused = create(&stand, more).await;
        assert_eq!((refused.status, refused.code()), (409, "address_taken"), "{}", refused.text);
    }
}

fn bad() -> Vec<Bad> {
    let escrow = ESCROW.spell();
    let secret = "SBIVCUKRKFIVCUKRKFIVCUKRKFIVCUKRKFIVCUKRKFIVCUKRKFIVCRI4";
    vec![
        (
            "an address of another chain",
            json!({ "address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" }),
            422,
            "bad_address",
            "address",
            "an address is a Stellar account (G…, M…) or contract (C…, W…)",
        ),
        (
            "an address with a letter changed",
            json!({ "address": SHOP.spell().as_str().replacen("KRKF", "KRKG", 1) }),
            422,
            "bad_address",
            "address",
            "an address is a Stellar account",
        ),
        (
            "a secret key for an address",
            json!({ "address": secret }),
            422,
            "bad_address",
            "address",
            "this is a secret key, not an address",
        ),
        (
            "a muxed address and another reference",
            json!({ "address": muxed(SHOP, 7), "reference": "id:8" }),
            422,
            "invalid_terms",
            "reference",
            "the address says id:7 already",
        ),
        (
            "a muxed address that is to be alone",
            json!({ "address": muxed(SHOP, 7), "reference": "none" }),
            422,
            "invalid_terms",
            "reference",
            "the address says id:7 already",
        ),
        (
            "a number without its kind",
            json!({ "reference": "42" }),
            422,
            "invalid_terms",
            "reference",
            "a reference is id:<number>",
        ),
        (
            "a number with a zero before it",
            json!({ "reference": "id:042" }),
            422,
            "invalid_terms",
            "reference",
            "a reference is id:<number>",
        ),
        (
            "a number past 64 bits",
            json!({ "reference": "id:18446744073709551616" }),
            422,
            "invalid_terms",
            "reference",
            "a reference is id:<number>",
        ),
        (
            "a memo of 29 bytes",
            json!({ "reference": "text:aaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }),
            422,
            "invalid_terms",
            "reference",
            "text:<up to 28 bytes>",
        ),
        (
            "a memo for a contract",
            json!({ "address": escrow.as_str(), "reference": "text:order 17" }),
            422,
            "invalid_terms",
            "reference",
            "a payment to a contract carries no memo",
        ),
        ("an asset by its code alone", json!({ "asset": "USDC" }), 422, "unknown_asset", "asset", "does not list it"),
        (
            "an asset of the public network",
            json!({ "asset": "stellar:pubnet/slip44:148" }),
            422,
            "unknown_asset",
            "asset",
            "does not list it",
        ),
        (
            "more attestations than there are organisations",
            json!({ "require": { "attestations": 2 } }),
            422,
            "invalid_terms",
            "require.attestations",
            "never met: 1 organisations of this network attest",
        ),
        ("an address to be derived", json!({ "address": null }), 422, "bad_address", "address", "give an address"),
    ]
}

#[tokio::test]
async fn bad_input_is_refused_by_field_and_a_secret_is_not_repeated() {
    REAL.refuses(&stand().await, bad()).await;
}

#[tokio::test]
async fn what_comes_by_sql_is_held_to_the_same() {
    let stand = stand().await;
    let refused = async |address: &str, reference: Option<&str>| REAL.refused_by_sql(&stand, address, reference).await;
    let (shop, escrow) = (SHOP.spell(), ESCROW.spell());
    assert_eq!(refused(&muxed(SHOP, 7), None).await, "AMN03");
    assert_eq!(refused("GABC", None).await, "AMN03");
    for reference in
        ["42", "id:042", "id:18446744073709551616", "text:", "text:aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "odd:00"]
    {
        assert_eq!(refused(shop.as_str(), Some(reference)).await, "AMN07", "{reference}");
    }
    // Spellings that are never matched: the memo reads as plain text, or does not.
    for reference in ["text-hex:6f6b", "text-hex:c3a9", "text-hex:e282ac", "text:a\u{85}b", "text:a\u{7f}"] {
        assert_eq!(refused(shop.as_str(), Some(reference)).await, "AMN07", "{reference}");
    }
    for reference in ["text:caf\u{e9}", "text-hex:ff", "text-hex:c3", "text-hex:c285", "text-hex:00", "text-hex:eda080"]
    {
        assert_eq!(amn_soroban::reference::parse(reference).unwrap().spell().as_str(), reference);
        assert_eq!(refused(shop.as_str(), Some(reference)).await, "", "{reference}");
    }
    assert_eq!(refused(escrow.as_str(), Some("text:a")).await, "AMN07");
    let evm = sqlx::query("select amn.create_intent('seller', 'base', $1, 1, $2, 'fresh')")
        .bind(super::stand::ETH)
        .bind(super::stand::address(1))
        .execute(stand.pool())
        .await;
    let error = evm.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "AMN07");
}

#[tokio::test]
async fn a_network_shows_what_its_family_knows_and_no_more_of_a_url_than_its_host() {
    let stand = stand().await;
    let network = stand.get("/v1/networks/stellar-testnet").key(OPERATOR).send().await;
    assert_eq!(network.status, 200, "{}", network.text);
    let facts = &network.body["facts"];
    assert_eq!(facts["passphrase"], "Test SDF Network ; September 2015");
    assert_eq!((&facts["organisations"], &facts["lakes"]), (&json!(["sdf"]), &json!([])));
    assert_eq!(facts["protocol_max"], 30);
    assert_eq!(network.body["family"], "soroban");
}
