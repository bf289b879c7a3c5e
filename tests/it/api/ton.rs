//! Intents on TON over HTTP and in SQL: every form of an address, what tells payments apart, and what the payer is told.

use std::collections::BTreeSet;

use amn_ton::address::{Account, Realm};
use amn_ton::reference;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::real::{Bad, Real};
use super::stand::{Answer, OPERATOR, Stand};

const TON: &str = "tvm:-239/slip44:607";
const USDT: &str = "tvm:-239/jetton:0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe";
const SHOP: Account = Account::new(0, [0x51; 32]);

/// The main network, asked of nodes that nobody needs here.
const CONFIG: &str = r#"
environment = "development"
[[networks.ton-mainnet.endpoints]]
name = "a2"
kind = "toncenter-v2"
operator = "a"
url = "http://127.0.0.1:9/api/v2"
[[networks.ton-mainnet.endpoints]]
name = "a3"
kind = "toncenter-v3"
operator = "a"
url = "http://127.0.0.1:9/api/v3"
[[networks.ton-mainnet.endpoints]]
name = "b"
kind = "tonapi"
operator = "b"
url = "http://127.0.0.2:9/v2"
"#;

const REAL: Real = Real {
    network: "ton-mainnet",
    config: CONFIG,
    terms: || {
        json!({
            "tenant": "seller", "network": "ton-mainnet", "asset": TON, "due": "2550000000",
            "address": SHOP.spell(Realm::Mainnet).as_str(),
        })
    },
};

async fn made(stand: &Stand, more: Value) -> Value {
    REAL.made(stand, more).await
}

async fn create(stand: &Stand, more: Value) -> Answer {
    REAL.create(stand, more).await
}

fn shop() -> String {
    SHOP.spell(Realm::Mainnet).to_string()
}

fn comment(intent: &Value) -> &str {
    intent["reference"].as_str().unwrap().strip_prefix("text:").unwrap()
}

#[tokio::test]
async fn an_intent_is_given_a_comment_of_its_own_and_its_payer_is_told_all_there_is() {
    let stand = REAL.stand().await;
    let intent = made(&stand, json!({})).await;
    let comment = comment(&intent);
    assert!(comment.len() == 16 && comment.bytes().all(|b| b.is_ascii_digit()), "every keyboard has it: {comment}");
    assert_eq!(
        intent["pay_to"],
        json!({ "address": shop(), "memo": { "type": "text", "value": comment }, "muxed_address": null })
    );
    assert!(shop().starts_with("UQ"), "money must not come back from a wallet that is not deployed yet");
    assert_eq!(intent["payment_uri"], format!("ton://transfer/{}?amount=2550000000&text={comment}", shop()));
    let usdt = made(&stand, json!({ "asset": USDT, "due": "25500000", "reference": "text:order 17" })).await;
    assert_eq!(
        usdt["payment_uri"],
        format!(
            "ton://transfer/{}?jetton=EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs&amount=25500000&text=order%2017",
            shop()
        )
    );
    let binary = made(&stand, json!({ "reference": "bin:00FF" })).await;
    assert_eq!(
        (&binary["reference"], &binary["payment_uri"]),
        (&json!("bin:00ff"), &Value::Null),
        "no link can say it"
    );
    assert_eq!(binary["pay_to"]["memo"], json!({ "type": "binary", "value": "00ff" }));
    let number = made(&stand, json!({ "asset": USDT, "reference": "query:7" })).await;
    assert_eq!(number["pay_to"]["memo"], json!({ "type": "query_id", "value": "7" }));
    let alone = made(&stand, json!({ "address": "0:".to_owned() + &"61".repeat(32), "reference": "none" })).await;
    assert_eq!((&alone["reference"], &alone["pay_to"]["memo"]), (&Value::Null, &Value::Null));
    assert!(!alone["payment_uri"].as_str().unwrap().contains("text="), "{alone}");
}

#[tokio::test]
async fn an_address_in_any_form_is_one_address() {
    let stand = REAL.stand().await;
    let raw = SHOP.to_string();
    let bounceable = SHOP.bounceable(Realm::Mainnet);
    let standard = bounceable.replace('-', "+").replace('_', "/");
    for (place, form) in
        [raw.clone(), raw.to_uppercase(), bounceable, standard, format!(" {raw} ")].into_iter().enumerate()
    {
        let intent = made(&stand, json!({ "address": form, "reference": format!("text:{place}") })).await;
        assert_eq!(intent["address"], shop(), "{form}");
    }
    let watched: Vec<String> =
        sqlx::query_scalar("select distinct address from amn.watch").fetch_all(stand.pool()).await.unwrap();
    assert_eq!(watched, [shop()]);
    let taken = create(&stand, json!({ "address": raw, "reference": "text:0" })).await;
    assert_eq!((taken.status, taken.code()), (409, "address_taken"), "{}", taken.text);
    for form in [shop(), SHOP.to_string(), SHOP.bounceable(Realm::Mainnet)] {
        let list = format!("/v1/intents?network=ton-mainnet&address={form}");
        let found = stand.get(&list).key(OPERATOR).send().await;
        assert_eq!(found.body["data"].as_array().map(Vec::len), Some(5), "{form}: {}", found.text);
    }
}

#[tokio::test]
async fn of_many_intents_at_once_on_one_address_no_two_share_a_comment() {
    let stand = REAL.stand().await;
    let over_http = (0..20).map(|_| create(&stand, json!({})));
    let over_sql = (0..20).map(async |_| {
        sqlx::query_scalar::<_, Uuid>("select amn.create_intent('seller', 'ton-mainnet', $1, 1, $2)")
            .bind(TON)
            .bind(shop())
            .fetch_one(stand.pool())
            .await
            .unwrap()
    });
    let (answers, _) = tokio::join!(join_all(over_http), join_all(over_sql));
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let references: Vec<String> =
        sqlx::query_scalar("select reference from amn.watch").fetch_all(stand.pool()).await.unwrap();
    let different: BTreeSet<_> = references.iter().collect();
    assert_eq!((references.len(), different.len()), (40, 40));
    for reference in &references {
        assert_eq!(reference::parse(reference).unwrap().spell().as_str(), reference, "as it is matched on chain");
    }
}

#[tokio::test]
async fn a_comment_that_was_ever_used_is_not_drawn_again() {
    let stand = REAL.stand().await;
    let id = Uuid::from_u128(7);
    let drawn = async |attempt: i32| -> i64 {
        let draw = sqlx::query_scalar("select amn.fresh_number($1, $2)").bind(id).bind(attempt);
        draw.fetch_one(stand.pool()).await.unwrap()
    };
    // Somebody named the very comment by hand.
    made(&stand, json!({ "reference": format!("text:{}", drawn(0).await) })).await;
    let again = sqlx::query("select amn.create_intent('seller', 'ton-mainnet', $1, 1, $2, id => $3)");
    again.bind(TON).bind(shop()).bind(id).execute(stand.pool()).await.unwrap();
    let given: String = sqlx::query_scalar("select reference from amn.intent where id = $1")
        .bind(id)
        .fetch_one(stand.pool())
        .await
        .unwrap();
    assert_eq!(given, format!("text:{}", drawn(1).await));
}

#[tokio::test]
async fn an_address_may_be_an_intents_alone_when_it_says_so() {
    let stand = REAL.stand().await;
    let alone = made(&stand, json!({ "reference": "none" })).await;
    assert_eq!(alone["reference"], Value::Null);
    for more in [json!({}), json!({ "reference": "text:7" }), json!({ "reference": "none" })] {
        let refused = create(&stand, more).await;
        assert_eq!((refused.status, refused.code()), (409, "address_taken"), "{}", refused.text);
    }
}

fn bad() -> Vec<Bad> {
    let for_tests = SHOP.spell(Realm::Testnet).to_string();
    let wrong_reference = "a reference is text:<up to 256 bytes>";
    vec![
        (
            "an address of another chain than TON",
            json!({ "address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" }),
            422,
            "bad_address",
            "address",
            "an address is 48 letters and digits (UQ…, EQ…) or raw, 0:<64 hexadecimal digits>",
        ),
        (
            "an address with a letter mistyped",
            json!({ "address": shop().replacen("UQBR", "UQBS", 1) }),
            422,
            "bad_address",
            "address",
            "\"UQBSU",
        ),
        (
            "an address marked for test networks",
            json!({ "address": for_tests }),
            422,
            "bad_address",
            "address",
            "\"0QBR",
        ),
        (
            "an address in a workchain that is not there",
            json!({ "address": format!("1:{}", "51".repeat(32)) }),
            422,
            "bad_address",
            "address",
            "there is no workchain 1",
        ),
        (
            "a comment without its kind",
            json!({ "reference": "order 17" }),
            422,
            "invalid_terms",
            "reference",
            wrong_reference,
        ),
        ("a comment of blanks", json!({ "reference": "text:  " }), 422, "invalid_terms", "reference", wrong_reference),
        (
            "a comment of 257 bytes",
            json!({ "reference": format!("text:{}", "x".repeat(257)) }),
            422,
            "invalid_terms",
            "reference",
            wrong_reference,
        ),
        (
            "a text that would be a binary comment",
            json!({ "reference": "text-hex:ff01" }),
            422,
            "invalid_terms",
            "reference",
            wrong_reference,
        ),
        (
            "a binary comment of half a byte",
            json!({ "reference": "bin:abc" }),
            422,
            "invalid_terms",
            "reference",
            wrong_reference,
        ),
        (
            "a number of zero",
            json!({ "asset": USDT, "reference": "query:0" }),
            422,
            "invalid_terms",
            "reference",
            wrong_reference,
        ),
        (
            "a number for native money",
            json!({ "reference": "query:7" }),
            422,
            "invalid_terms",
            "reference",
            "a payment of TON carries no number",
        ),
        (
            "a payload that no intent can wait for",
            json!({ "reference": format!("encrypted:{}", "00".repeat(32)) }),
            422,
            "invalid_terms",
            "reference",
            wrong_reference,
        ),
        (
            "a jetton of another master",
            json!({ "asset": format!("tvm:-239/jetton:0:{}", "07".repeat(32)) }),
            422,
            "unknown_asset",
            "asset",
            "ton-mainnet does not list it",
        ),
        (
            "attestations, of which TON has none",
            json!({ "require": { "attestations": 1 } }),
            422,
            "invalid_terms",
            "require.attestations",
            "never met: 0 organisations of this network attest",
        ),
    ]
}

#[tokio::test]
async fn bad_input_is_refused_by_field() {
    REAL.refuses(&REAL.stand().await, bad()).await;
}

/// A reference is one in SQL where the family reads it and would spell it so: what is taken is what is matched.
#[tokio::test]
async fn what_comes_by_sql_is_held_to_the_same() {
    let stand = REAL.stand().await;
    let refused = async |address: &str| REAL.refused_by_sql(&stand, address, Some("fresh")).await;
    assert_eq!(refused(&shop()).await, "");
    let other_forms = [SHOP.to_string(), SHOP.bounceable(Realm::Mainnet), SHOP.spell(Realm::Testnet).to_string()];
    for form in other_forms.iter().map(String::as_str).chain(["", "UQ", "UQBR"]) {
        assert_eq!(refused(form).await, "AMN03", "{form}");
    }
    let masterchain = Account::new(-1, [0x33; 32]).spell(Realm::Mainnet);
    assert_eq!(refused(masterchain.as_str()).await, "");

    let (full, long) = (format!("text:{}", "x".repeat(256)), format!("text:{}", "x".repeat(257)));
    let (bin_full, bin_long) = (format!("bin:{}", "ab".repeat(256)), format!("bin:{}", "ab".repeat(257)));
    let texts = [
        "text:order 17",
        "text:a:b",
        "text:caf\u{e9}",
        "text:cafe\u{301}",
        "text: a",
        "text:a ",
        "text:\u{a0}a",
        "text:a\u{3000}",
        "text:a\u{2003}b",
        "text:",
        "text: ",
        "text:a\nb",
        "text:a\u{85}b",
        "text:a\u{7f}",
        "text:\u{645}\u{631}\u{62d}\u{628}\u{627}",
        "text:\u{feff}a",
        "text:\u{212b}",
        "text:\u{1f4b0}",
        &full,
        &long,
        "text-hex:74776f0a6c696e6573",
        "text-hex:6f6b",
        "text-hex:0a6f6b",
        "text-hex:61c285",
        "text-hex:61c28562",
        "text-hex:ff01",
        "text-hex:fe",
        "text-hex:FE",
        "text-hex:c3",
        "text-hex:",
        "text-hex:abc",
        "text-hex:6501cc81",
        "bin:00",
        "bin:AB",
        "bin:",
        "bin:abc",
        &bin_full,
        &bin_long,
        "query:1",
        "query:0",
        "query:07",
        "query:+7",
        "query:18446744073709551615",
        "query:18446744073709551616",
        "query:9999999999999999999",
        "query:10000000000000000000",
        "odd:00",
        "encrypted:00",
        "id:7",
        "17",
        ":",
        "",
    ];
    for (place, text) in texts.into_iter().enumerate() {
        // Each at an address of its own: one that is taken would be refused for that.
        let mut id = [0x70; 32];
        id[0] = u8::try_from(place).unwrap();
        let to = Account::new(0, id).spell(Realm::Mainnet);
        let ours = reference::parse(text).is_ok_and(|parsed| parsed.spell().as_str() == text);
        let said = REAL.refused_by_sql_of(&stand, USDT, to.as_str(), Some(text)).await;
        assert_eq!(said, if ours { "" } else { "AMN07" }, "{text:?}");
    }
    assert_eq!(REAL.refused_by_sql(&stand, &shop(), Some("query:7")).await, "AMN07", "native money has no number");
}

#[tokio::test]
async fn a_network_shows_how_it_is_read_and_what_is_money_on_it() {
    let stand = REAL.stand().await;
    let network = stand.get("/v1/networks/ton-mainnet").key(OPERATOR).send().await;
    assert_eq!(network.status, 200, "{}", network.text);
    assert_eq!(
        network.body["facts"],
        json!({
            "addresses": "mainnet", "global_id": -239, "mode": "by_account", "mode_reason": null,
            "jettons": [{ "symbol": "USDT", "master": "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs" }],
        })
    );
    assert_eq!((&network.body["family"], &network.body["chain"]), (&json!("ton"), &json!("tvm:-239")));
}
