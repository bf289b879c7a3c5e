//! Endpoints, the feed, deliveries and redrive over HTTP.

use amn_core::id::{EndpointId, EventId};
use amn_scanner::store::outbox::feed;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::stand::{OPERATOR, Stand};

async fn endpoint(stand: &Stand, key: &str) -> Value {
    let made =
        stand.post("/v1/webhook-endpoints").key(key).json(&json!({ "url": "https://shop.example/h" })).send().await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

#[tokio::test]
async fn a_secret_is_shown_when_made_and_when_rotated_and_never_again() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let made = endpoint(&stand, &key).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let path = format!("/v1/webhook-endpoints/{id}");
    for path in [&path, "/v1/webhook-endpoints"] {
        let read = stand.get(path).key(&key).send().await;
        assert_eq!(read.status, 200);
        assert!(!read.text.contains(secret) && read.text.contains(id), "{}", read.text);
    }
    let rotated = stand.post(&format!("{path}/rotate")).key(&key).json(&json!({ "overlap_seconds": 60 })).send().await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert_ne!(rotated.body["secret"], secret);
    assert_eq!(rotated.body["previous_secret_until"], "2026-11-21T09:31:00Z");
    let kept: (String, Option<String>) =
        sqlx::query_as("select secret, previous_secret from amn.endpoint").fetch_one(stand.pool()).await.unwrap();
    assert_eq!((kept.0.as_str(), kept.1.as_deref()), (rotated.body["secret"].as_str().unwrap(), Some(secret)));
    let audit: String = sqlx::query_scalar("select string_agg(detail::text, ' ') from amn.audit")
        .fetch_one(stand.pool())
        .await
        .unwrap();
    assert!(!audit.contains("whsec_"), "{audit}");
}

#[tokio::test]
async fn an_endpoint_is_paused_resumed_tested_and_deleted() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let made = endpoint(&stand, &key).await;
    let path = format!("/v1/webhook-endpoints/{}", made["id"].as_str().unwrap());
    let paused = stand.post(&format!("{path}/pause")).key(&key).send().await;
    assert_eq!((paused.status, &paused.body["status"]), (200, &json!("paused")));
    let resumed = stand.post(&format!("{path}/resume")).key(&key).send().await;
    assert_eq!((&resumed.body["status"], &resumed.body["paused_reason"]), (&json!("active"), &Value::Null));

    let tested = stand.post(&format!("{path}/test")).key(&key).send().await;
    assert_eq!(tested.status, 202, "{}", tested.text);
    let event = tested.body["event"].as_str().unwrap();
    let pending = stand.get("/v1/deliveries").key(&key).send().await;
    assert_eq!(pending.body["data"][0]["event"], event);
    assert_eq!(pending.body["data"][0]["kind"], "endpoint.test");
    let of_event = stand.get(&format!("/v1/events/{event}/deliveries")).key(&key).send().await;
    assert_eq!(of_event.body["pending"].as_array().unwrap().len(), 1, "{}", of_event.text);

    let deleted = stand.call(Method::DELETE, &path).key(&key).send().await;
    assert_eq!(deleted.status, 200);
    assert_eq!(stand.get(&path).key(&key).send().await.status, 404);
    assert_eq!(stand.call(Method::DELETE, &path).key(&key).send().await.status, 404);
    let pending = stand.get("/v1/deliveries").key(&key).send().await;
    assert_eq!(pending.body["data"], json!([]));
}

#[tokio::test]
async fn another_tenants_endpoint_is_not_there() {
    let stand = Stand::new().await;
    let (seven, eight) = (stand.tenant("seller-7").await, stand.tenant("seller-8").await);
    let made = endpoint(&stand, &seven).await;
    let path = format!("/v1/webhook-endpoints/{}", made["id"].as_str().unwrap());
    assert_eq!(stand.get(&path).key(&eight).send().await.status, 404);
    assert_eq!(stand.call(Method::DELETE, &path).key(&eight).send().await.status, 404);
    for command in ["pause", "resume", "rotate", "test"] {
        assert_eq!(stand.post(&format!("{path}/{command}")).key(&eight).send().await.status, 404, "{command}");
    }
    let list = stand.get("/v1/webhook-endpoints").key(&eight).send().await;
    assert_eq!(list.body["data"], json!([]));
    assert_eq!(stand.get(&path).key(OPERATOR).send().await.status, 200);
    let tested = stand.post(&format!("{path}/test")).key(&seven).send().await;
    let event = tested.body["event"].as_str().unwrap();
    let of_event = stand.get(&format!("/v1/events/{event}/deliveries")).key(&eight).send().await;
    assert_eq!(of_event.status, 404);
}

#[tokio::test]
async fn a_bad_endpoint_is_refused() {
    let stand = Stand::new().await;
    let make = |body: Value| stand.post("/v1/webhook-endpoints").key(OPERATOR).json(&body).send();
    let plain = make(json!({ "url": "http://shop.example" })).await;
    assert_eq!((plain.status, plain.code(), &plain.body["errors"][0]["field"]), (422, "invalid_terms", &json!("url")));
    for (body, field) in [
        (json!({ "url": format!("https://shop.example/{}", "x".repeat(2_048)) }), "url"),
        (json!({ "url": "https://shop.example", "events": [] }), "events"),
        (json!({ "url": "https://shop.example", "events": ["payment.paid"] }), "events[0]"),
        (json!({ "url": "https://shop.example", "events": ["payment.late", "payment.late"] }), "events[1]"),
        (json!({ "url": "https://shop.example", "secret": "mine" }), "secret"),
        (json!({}), "url"),
    ] {
        let answer = make(body).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (400, &json!(field)), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_endpoints_though_it_asks_all_at_once() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let calls = (0..20).map(|_| {
        stand.post("/v1/webhook-endpoints").key(&key).json(&json!({ "url": "https://shop.example/h" })).send()
    });
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 16);
    assert!(answers.iter().all(|a| a.status == 201 || a.code() == "refused"));
}

/// Events of a tenant as a decision would have written them.
async fn events(stand: &Stand, tenant: Option<&str>, count: u128) {
    for n in 0..count {
        let id = EventId(n + 1 + if tenant.is_some() { 1_000 } else { 0 });
        let body = format!(
            r#"{{"created_at":"2026-11-21T09:30:00Z","deposits":[],"deposits_total":0,"event":"network.halted","id":"{id}","intent":null,"network":null,"policy":null,"provider":"amn.scanner","reason":"n{n}","sequence":null,"version":"1"}}"#
        );
        sqlx::query("insert into amn.event (id, tenant_id, event, body, created_at) values ($1, $2, 'network.halted', $3, now())")
            .bind(Uuid::from_u128(id.0))
            .bind(tenant)
            .bind(body.into_bytes())
            .execute(stand.pool())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_feed_gives_every_numbered_event_once_in_order_as_its_stored_bytes() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    events(&stand, Some("seller-7"), 5).await;
    let empty = stand.get("/v1/events").key(&key).send().await;
    assert_eq!(
        empty.text, r#"{"data":[],"has_more":false,"next_cursor":"0"}"#,
        "an event without a number is not shown"
    );
    feed::number(stand.pool(), 100).await.unwrap();
    let (mut after, mut reasons) = ("0".to_owned(), Vec::new());
    for more in [true, true, false] {
        let page = stand.get(&format!("/v1/events?after={after}&limit=2")).key(&key).send().await;
        assert_eq!((page.status, &page.body["has_more"]), (200, &json!(more)), "{}", page.text);
        reasons.extend(page.body["data"].as_array().unwrap().iter().map(|e| e["reason"].as_str().unwrap().to_owned()));
        after = page.body["next_cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(reasons, ["n0", "n1", "n2", "n3", "n4"]);
    let body: Vec<u8> =
        sqlx::query_scalar("select body from amn.event where feed_number = 1 and tenant_id is not null")
            .fetch_one(stand.pool())
            .await
            .unwrap();
    let page = stand.get("/v1/events?limit=1").key(&key).send().await;
    assert!(page.text.contains(std::str::from_utf8(&body).unwrap()), "{}", page.text);
    // Nothing new: the same cursor again.
    let done = stand.get(&format!("/v1/events?after={after}")).key(&key).send().await;
    assert_eq!(done.body["next_cursor"], after);
}

#[tokio::test]
async fn a_feed_is_a_tenants_own_and_the_operators_is_of_nobody() {
    let stand = Stand::new().await;
    let (seven, eight) = (stand.tenant("seller-7").await, stand.tenant("seller-8").await);
    events(&stand, Some("seller-7"), 2).await;
    events(&stand, None, 1).await;
    feed::number(stand.pool(), 100).await.unwrap();
    let count = async |key: &str, query: &str| {
        let page = stand.get(&format!("/v1/events{query}")).key(key).send().await;
        page.body["data"].as_array().map(Vec::len)
    };
    assert_eq!(count(&seven, "").await, Some(2));
    assert_eq!(count(&eight, "").await, Some(0));
    assert_eq!(count(&eight, "?tenant=seller-7").await, None);
    assert_eq!(count(OPERATOR, "").await, Some(1));
    assert_eq!(count(OPERATOR, "?tenant=seller-7").await, Some(2));
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page_and_sent_again() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let made = endpoint(&stand, &key).await;
    let to: EndpointId = made["id"].as_str().unwrap().parse().unwrap();
    events(&stand, Some("seller-7"), 5).await;
    // All at one time: the cursor must tell them apart.
    sqlx::query(
        "insert into amn.dead_letter (event_id, endpoint_id, generation, attempts, reason, at)
        select id, $1, 1, 1, 'the receiver answered 400', to_timestamp(1795253000) from amn.event",
    )
    .bind(Uuid::from_u128(to.0))
    .execute(stand.pool())
    .await
    .unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/v1/dead-letters?limit=2".to_owned();
    for _ in 0..3 {
        let page = stand.get(&path).key(&key).send().await;
        assert_eq!(page.status, 200, "{}", page.text);
        seen.extend(page.body["data"].as_array().unwrap().iter().map(|l| l["event"].as_str().unwrap().to_owned()));
        path = format!("/v1/dead-letters?limit=2&cursor={}", page.body["next_cursor"].as_str().unwrap_or(""));
    }
    assert_eq!(seen.len(), 5);

    let redrive = |key: &str, body: Value| stand.post("/v1/deliveries/redrive").key(key).json(&body).send();
    let eight = stand.tenant("seller-8").await;
    let others = redrive(&eight, json!({ "endpoint": to })).await;
    assert_eq!((others.status, &others.body["redriven"]), (202, &json!(0)), "not another tenant's");
    let nothing = redrive(&key, json!({})).await;
    assert_eq!((nothing.status, nothing.code()), (400, "invalid_body"));
    let one = redrive(&key, json!({ "event": seen.first().unwrap() })).await;
    assert_eq!((one.status, &one.body["redriven"]), (202, &json!(1)), "{}", one.text);
    let all = redrive(&key, json!({ "endpoint": to })).await;
    assert_eq!(all.body, json!({ "has_more": false, "redriven": 4 }));
    let again = redrive(&key, json!({ "endpoint": to })).await;
    assert_eq!(again.body["redriven"], 0, "what is pending stays as it is");
    let left = stand.get("/v1/dead-letters").key(&key).send().await;
    assert_eq!(left.body["data"], json!([]));
    let pending = stand.get(&format!("/v1/deliveries?endpoint={to}&limit=200")).key(&key).send().await;
    let generations: Vec<&Value> = pending.body["data"].as_array().unwrap().iter().map(|d| &d["generation"]).collect();
    assert_eq!(generations, vec![&json!(2); 5]);
}
