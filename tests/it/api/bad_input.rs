//! What comes of bad input: status, code and words, as a table; and that each answer is a whole problem document.

use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{OPERATOR, Stand, TIP, USDC, new_intent};

/// A body of a good intent but for one field.
fn but(field: &str, value: Value) -> String {
    let mut body = new_intent(1);
    body[field] = value;
    body.to_string()
}

fn without(field: &str) -> String {
    let mut body = new_intent(1);
    body.as_object_mut().unwrap().remove(field);
    body.to_string()
}

fn posts() -> Vec<(&'static str, String)> {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    vec![
        ("no body", String::new()),
        ("not JSON", "intent please".to_owned()),
        ("cut off", r#"{"network":"base","#.to_owned()),
        ("two documents", format!("{}{{}}", new_intent(1))),
        ("an array", "[]".to_owned()),
        ("a number", "7".to_owned()),
        ("null", "null".to_owned()),
        ("deeper than any honest body", deep),
        ("an unknown field", but("amount", json!("1"))),
        ("an unknown field within", but("require", json!({ "confirmation": 3 }))),
        ("a field twice", new_intent(1).to_string().replacen('{', r#"{"due":"1","#, 1)),
        ("no network", without("network")),
        ("no due", without("due")),
        ("no asset", without("asset")),
        ("no tenant from an operator", without("tenant")),
        ("no address and no xpub", without("address")),
        ("an unserved network", but("network", json!("moonbase"))),
        ("a network of another type", but("network", json!(8453))),
        ("an unlisted asset", but("asset", json!("eip155:8453/erc20:0x0000000000000000000000000000000000000001"))),
        ("an asset of another network", but("asset", json!(USDC.replace("8453", "56")))),
        ("due as a number", but("due", json!(25_000_000))),
        ("due as a fraction", but("due", json!("25.5"))),
        ("due below zero", but("due", json!("-1"))),
        ("due zero", but("due", json!("0"))),
        ("due with a leading zero", but("due", json!("025"))),
        ("due in hexadecimal", but("due", json!("0x10"))),
        ("due past 128 bits", but("due", json!("340282366920938463463374607431768211456"))),
        ("tolerance as large as due", but("tolerance", json!("25000000"))),
        ("an address too short", but("address", json!("0x1234"))),
        ("an empty address", but("address", json!(""))),
        ("an address with U+0000", but("address", json!("0x\u{0}"))),
        ("an empty reference", but("reference", json!(""))),
        ("a reference the network cannot carry", but("reference", json!("order 17"))),
        ("an endless reference", but("reference", json!("a".repeat(5_000)))),
        ("expired at once", but("expires_at", json!("2026-11-21T09:29:59Z"))),
        ("milliseconds for seconds", but("expires_at", json!("2082-01-01T00:00:00Z"))),
        ("a time without zone", but("expires_at", json!("2026-11-21T10:30:00"))),
        ("a time as a number", but("expires_at", json!(1_795_253_400))),
        ("no confirmations", but("require", json!({ "confirmations": 0 }))),
        ("endless confirmations", but("require", json!({ "confirmations": u64::MAX }))),
        ("negative seconds", but("require", json!({ "seconds": -1 }))),
        ("an unknown tag", but("require", json!({ "tag": "latest" }))),
        ("metadata as text", but("metadata", json!("order 17"))),
        ("metadata too large", but("metadata", json!({ "note": "x".repeat(8_192) }))),
        ("metadata too large as stored", but("metadata", json!({ "list": vec![1; 2_000] }))),
        ("metadata with a fraction", but("metadata", json!({ "price": 1.5 }))),
        ("metadata with U+0000 in a name", but("metadata", json!({ "a\u{0}": 1 }))),
        ("a height before the ledger", but("since_height", json!("999"))),
        ("a height above the tip", but("since_height", json!((TIP + 2).to_string()))),
        ("a height past 64 bits", but("since_height", json!("18446744073709551616"))),
        ("a height as a number", but("since_height", json!(TIP))),
        ("a tenant with a slash", but("tenant", json!("a/b"))),
        ("several at once", {
            let mut body = new_intent(1);
            body["reference"] = json!("?");
            body["expires_at"] = json!("2020-01-01T00:00:00Z");
            body["metadata"] = json!({ "half": 0.5 });
            body.to_string()
        }),
    ]
}

type Other = (&'static str, Method, &'static str, Option<Value>);

fn others() -> Vec<Other> {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let policy = |policy: Value| Some(policy);
    vec![
        ("an unknown path", get.clone(), "/v1/intent", None),
        ("a path with dots", get.clone(), "/v1/../../etc/passwd", None),
        ("a wrong method", put.clone(), "/v1/intents", None),
        ("a wrong method on an id", delete.clone(), "/v1/intents/pi_01JD0000000000000000000000", None),
        ("an id of another kind", get.clone(), "/v1/intents/dep_01JD0000000000000000000000", None),
        ("an id too short", get.clone(), "/v1/intents/pi_1", None),
        ("an id of nobody", get.clone(), "/v1/intents/pi_01JD0000000000000000000000", None),
        ("a deposit of nobody", get.clone(), "/v1/deposits/dep_01JD0000000000000000000000", None),
        ("a path that is not UTF-8", get.clone(), "/v1/intents/%ff", None),
        ("an unknown parameter", get.clone(), "/v1/intents?state=awaiting", None),
        ("a parameter twice", get.clone(), "/v1/intents?limit=1&limit=2", None),
        ("an unknown status", get.clone(), "/v1/intents?status=paid", None),
        ("a page of none", get.clone(), "/v1/intents?limit=0", None),
        ("a page too large", get.clone(), "/v1/intents?limit=201", None),
        ("a limit that is no number", get.clone(), "/v1/intents?limit=ten", None),
        ("a forged cursor", get.clone(), "/v1/intents?cursor=AAAA", None),
        ("a cursor that is no base64", get.clone(), "/v1/intents?cursor=%22", None),
        ("an address without its network", get.clone(), "/v1/intents?address=0x1", None),
        ("U+0000 in a parameter", get.clone(), "/v1/intents?network=a%00b", None),
        ("a tx that is no hash", get.clone(), "/v1/deposits?tx=0x12", None),
        ("a yes that is no boolean", get.clone(), "/v1/deposits?matched=yes", None),
        (
            "a body for a command without one",
            post.clone(),
            "/v1/intents/pi_01JD0000000000000000000000/cancel",
            Some(json!({ "why": 1 })),
        ),
        (
            "an assignment to no intent",
            post.clone(),
            "/v1/deposits/dep_01JD0000000000000000000000/assign",
            Some(json!({})),
        ),
        (
            "a rescan of no network",
            post.clone(),
            "/v1/networks/moonbase/rescans",
            policy(json!({ "from": "1", "to": "2" })),
        ),
        ("rescans of no network", get.clone(), "/v1/networks/moonbase/rescans", None),
        ("a rescan upside down", post.clone(), "/v1/networks/base/rescans", policy(json!({ "from": "2", "to": "1" }))),
        ("a rescan by numbers", post.clone(), "/v1/networks/base/rescans", policy(json!({ "from": 1, "to": 2 }))),
        ("a rescan without an end", post.clone(), "/v1/networks/base/rescans", policy(json!({ "from": "1" }))),
        (
            "a rescan below the ledger",
            post.clone(),
            "/v1/networks/base/rescans",
            policy(json!({ "from": "1000", "to": "2000" })),
        ),
        (
            "a rescan above the tip",
            post.clone(),
            "/v1/networks/base/rescans",
            policy(json!({ "from": "1001", "to": "38124097" })),
        ),
        (
            "a rescan of a height that no chain has",
            post.clone(),
            "/v1/networks/base/rescans",
            policy(json!({ "from": "1001", "to": "18446744073709551616" })),
        ),
        ("a node of no network", post.clone(), "/v1/networks/moonbase/endpoints/alpha-1/reset", None),
        ("a node of nobody", post.clone(), "/v1/networks/base/endpoints/omega/reset", None),
        (
            "a trust that is no boolean",
            post.clone(),
            "/v1/networks/base/endpoints/alpha-1/reset",
            Some(json!({ "trust": "yes" })),
        ),
        (
            "a reset that asks for more",
            post.clone(),
            "/v1/networks/base/endpoints/alpha-1/reset",
            Some(json!({ "forgive": true })),
        ),
        ("thresholds of no network", get.clone(), "/v1/networks/moonbase/thresholds", None),
        ("thresholds that ask nothing", put.clone(), "/v1/networks/base/thresholds", policy(json!({ "require": {} }))),
        (
            "thresholds that ask an operator alone",
            put.clone(),
            "/v1/networks/base/thresholds",
            policy(json!({ "require": { "operators": 2 } })),
        ),
        (
            "a tier for an unlisted asset",
            put.clone(),
            "/v1/networks/base/thresholds",
            policy(json!({
                "require": { "confirmations": 1 }, "tiers": [{ "asset": "DOGE", "at_least": "1", "require": {} }],
            })),
        ),
        (
            "a tier by a number",
            put.clone(),
            "/v1/networks/base/thresholds",
            policy(json!({
                "require": { "confirmations": 1 }, "tiers": [{ "at_least": 1000, "require": {} }],
            })),
        ),
        ("a private key for an xpub", put.clone(), "/v1/tenants/seller-7", Some(json!({ "xpub": "xprv9s21ZrQH143K" }))),
        ("an xpub that is none", put.clone(), "/v1/tenants/seller-7", Some(json!({ "xpub": "zpub" }))),
        ("an index past the last", put, "/v1/tenants/seller-7", Some(json!({ "first_index": 2_147_483_648_u32 }))),
        ("a key of no scopes", post.clone(), "/v1/keys", Some(json!({ "name": "n", "scopes": [] }))),
        ("a key of an unknown scope", post, "/v1/keys", Some(json!({ "name": "a b", "scopes": ["root"] }))),
        ("a key that is no UUID", delete.clone(), "/v1/keys/1", None),
        ("a key of nobody", delete, "/v1/keys/00000000-0000-0000-0000-000000000000", None),
    ]
}

#[tokio::test]
async fn every_bad_request_is_told_what_is_wrong_with_it() {
    let stand = Stand::new().await;
    let mut table = String::new();
    for (what, body) in posts() {
        let answer = stand.post("/v1/intents").key(OPERATOR).text(body).send().await;
        whole(&answer);
        line(&mut table, what, &answer.body);
    }
    for (what, method, path, body) in others() {
        let call = stand.call(method, path).key(OPERATOR);
        let answer = if let Some(body) = body { call.json(&body).send().await } else { call.send().await };
        whole(&answer);
        line(&mut table, what, &answer.body);
    }
    insta::assert_snapshot!(table);
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from amn.intent) + (select count(*) from amn.watch) + (select count(*) from amn.api_key)",
    )
    .fetch_one(stand.pool())
    .await
    .unwrap();
    assert_eq!(left, 0, "nothing came of any of them");
}

fn line(table: &mut String, what: &str, problem: &Value) {
    let words = |name: &str| problem[name].as_str().unwrap_or("?").to_owned();
    writeln!(table, "{what}: {} {} · {}", problem["status"], words("code"), words("detail")).unwrap();
}

/// A problem document with every field, its status the response's own.
fn whole(answer: &super::stand::Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let fields: Vec<&str> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    let all = ["code", "correlation_id", "detail", "errors", "retry_hint", "retryable", "status", "title", "type"];
    assert_eq!(fields, all);
    assert_eq!(answer.body["status"], answer.status);
    assert_eq!(answer.body["correlation_id"], answer.header("x-correlation-id"));
    assert_eq!(answer.body["retryable"] == true, !answer.body["retry_hint"].is_null());
    assert!((400..500).contains(&answer.status), "the caller's mistake, never ours: {answer:?}");
}

#[tokio::test]
async fn a_body_is_bounded_whether_its_length_is_announced_or_not() {
    let stand = Stand::new().await;
    let big = but("metadata", json!({ "note": "x".repeat(70_000) }));
    let announced = stand.post("/v1/intents").key(OPERATOR).text(big.clone()).send().await;
    assert_eq!((announced.status, announced.code()), (413, "too_large"));
    let pieces = big.into_bytes().chunks(1_000).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let chunked = stand.post("/v1/intents").key(OPERATOR).header("content-type", "application/json").raw(stream);
    let chunked = chunked.send().await;
    assert_eq!((chunked.status, chunked.code()), (413, "too_large"));
}

#[tokio::test]
async fn a_body_is_json_by_name_and_in_utf_8() {
    let stand = Stand::new().await;
    let body = new_intent(1).to_string();
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let call = stand.post("/v1/intents").key(OPERATOR).header("content-type", media).raw(body.clone());
        let answer = call.send().await;
        assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type"), "{media}");
    }
    let latin = body.replace("A-1", "A-\u{1}").into_bytes();
    let latin: Vec<u8> = latin.into_iter().map(|b| if b == 1 { 0xE9 } else { b }).collect();
    let answer = stand.post("/v1/intents").key(OPERATOR).header("content-type", "application/json").raw(latin);
    let answer = answer.send().await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_body"), "{}", answer.text);
    let charset = stand.post("/v1/intents").key(OPERATOR).header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(charset.raw(body).send().await.status, 201);
}

#[tokio::test]
async fn headers_are_bounded_and_plain_too() {
    let stand = Stand::new().await;
    let send =
        |key: &str| stand.post("/v1/intents").key(OPERATOR).header("idempotency-key", key).json(&new_intent(1)).send();
    for key in [String::new(), "k".repeat(256), "tab\tkey".to_owned()] {
        let answer = send(&key).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_parameter"), "{key:?}");
        assert_eq!(answer.body["errors"][0]["field"], "Idempotency-Key");
    }
    for (given, kept) in [("order-17", true), ("a b", false), (&*"x".repeat(65), false), ("{}", false)] {
        let answer = stand.get("/v1/intents").key(OPERATOR).header("x-correlation-id", given).send().await;
        assert_eq!(answer.header("x-correlation-id") == given, kept, "{given}");
        assert_ne!(answer.header("x-correlation-id"), "");
    }
    for authorization in
        ["", "Basic YTpi", "Bearer", "Bearer ", "amn_1", "Bearer amn_zz", &*format!("Bearer {}", "x".repeat(4_000))]
    {
        let answer = stand.get("/v1/intents").header("authorization", authorization).send().await;
        assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{authorization:?}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let stand = Stand::new().await;
    let answer = stand.call(Method::PATCH, "/v1/intents").key(OPERATOR).send().await;
    let mut allow: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
    allow.sort_unstable();
    assert_eq!((answer.status, allow), (405, vec!["GET", "HEAD", "POST"]));
}

#[tokio::test]
async fn without_its_database_the_api_says_so_and_hides_the_rest() {
    let stand = Stand::new().await;
    assert_eq!(stand.get("/ready").send().await.status, 200);
    stand.pool().close().await;
    let alive = stand.get("/health").send().await;
    assert_eq!((alive.status, alive.body), (200, json!({ "status": "ok" })));
    let ready = stand.get("/ready").send().await;
    assert_eq!((ready.status, &ready.body["database"]), (503, &json!("unavailable")));
    let answer = stand.post("/v1/intents").key(OPERATOR).json(&new_intent(1)).send().await;
    assert_eq!((answer.status, answer.code()), (503, "database_unavailable"));
    assert_eq!((answer.body["retryable"] == true, answer.header("retry-after")), (true, "1"));
    assert!(!answer.text.contains("pool"), "{}", answer.text);
}

#[tokio::test]
async fn a_row_that_does_not_parse_is_our_failure_and_is_not_shown() {
    let stand = Stand::new().await;
    let id = stand.intent(OPERATOR, 1).await;
    sqlx::query(r#"update amn.intent set require = '{"confirmations":"many"}'"#).execute(stand.pool()).await.unwrap();
    let answer = stand.get(&format!("/v1/intents/{id}")).key(OPERATOR).send().await;
    assert_eq!((answer.status, answer.code()), (500, "internal"));
    assert!(!answer.text.contains("many"), "{}", answer.text);
}
