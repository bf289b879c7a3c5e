//! Who may call what, and who sees whose.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;

use super::stand::{METRICS_TOKEN, OPERATOR, Stand, new_intent};

#[tokio::test]
async fn one_tenant_never_sees_another_ones_intents() {
    let stand = Stand::new().await;
    let (seven, eight) = (stand.tenant("seller-7").await, stand.tenant("seller-8").await);
    let id = stand.intent(&seven, 1).await;
    for path in [format!("/v1/intents/{id}"), format!("/v1/intents/{}", id.to_lowercase())] {
        assert_eq!(stand.get(&path).key(&eight).send().await.status, 404);
        assert_eq!(stand.get(&path).key(&seven).send().await.status, 200);
        assert_eq!(stand.get(&path).key(OPERATOR).send().await.status, 200);
    }
    let cancel = stand.post(&format!("/v1/intents/{id}/cancel")).key(&eight).send().await;
    assert_eq!(cancel.status, 404);
    assert!(stand.decided.heard().is_empty(), "nothing was asked of the rules");
    let list = stand.get("/v1/intents").key(&eight).send().await;
    assert_eq!(list.body, json!({ "data": [], "next_cursor": null }));
    let list = stand.get("/v1/intents?tenant=seller-7").key(&eight).send().await;
    assert_eq!((list.status, list.code()), (403, "forbidden"));
    let made = stand.post("/v1/intents").key(&eight).json(&new_intent(2)).send().await;
    assert_eq!((made.status, made.code()), (403, "forbidden"), "it names seller-7");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_yours_are_told_alike() {
    let stand = Stand::new().await;
    let (seven, eight) = (stand.tenant("seller-7").await, stand.tenant("seller-8").await);
    let id = stand.intent(&seven, 1).await;
    let other = format!("{}{}", &id[..id.len() - 1], if id.ends_with('0') { '1' } else { '0' });
    let hidden = stand.get(&format!("/v1/intents/{id}")).key(&eight).send().await;
    let absent = stand.get(&format!("/v1/intents/{other}")).key(&eight).send().await;
    let plain = |text: &str, id: &str, correlation: &str| text.replace(id, "ID").replace(correlation, "CID");
    assert_eq!(
        plain(&hidden.text, &id, hidden.header("x-correlation-id")),
        plain(&absent.text, &other, absent.header("x-correlation-id"))
    );
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_no_more() {
    let stand = Stand::new().await;
    let reader = stand.key(Some("seller-7"), &["intents:read"]).await;
    assert_eq!(stand.get("/v1/intents").key(&reader).send().await.status, 200);
    let write = stand.post("/v1/intents").key(&reader).json(&new_intent(1)).send().await;
    assert_eq!((write.status, write.code()), (403, "forbidden"));
    assert_eq!(write.body["detail"], "this key lacks the scope intents:write");
    assert_eq!(stand.get("/v1/networks").key(&reader).send().await.status, 403);
}

#[tokio::test]
async fn a_key_cannot_give_more_than_it_has_nor_a_tenant_what_is_an_operators() {
    let stand = Stand::new().await;
    let maker = stand.key(None, &["keys:write", "intents:read"]).await;
    let make = |tenant: Option<&str>, scopes: &[&str]| {
        stand.post("/v1/keys").key(&maker).json(&json!({ "name": "n", "tenant": tenant, "scopes": scopes })).send()
    };
    assert_eq!(make(None, &["intents:read"]).await.status, 201);
    let more = make(None, &["intents:read", "thresholds:write"]).await;
    assert_eq!((more.status, &more.body["errors"][0]["field"]), (400, &json!("scopes[1]")));
    let tenants = make(Some("seller-7"), &["keys:write"]).await;
    assert_eq!((tenants.status, tenants.code()), (400, "invalid_body"));
    // Even where a row says so, past the API.
    let key = stand.key(Some("seller-7"), &["intents:read"]).await;
    sqlx::query("update amn.api_key set scopes = '{keys:write}' where tenant_id = 'seller-7'")
        .execute(stand.pool())
        .await
        .unwrap();
    let body = json!({ "name": "n", "scopes": ["keys:write"] });
    assert_eq!(stand.post("/v1/keys").key(&key).json(&body).send().await.status, 403);
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_from_that_moment() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let keys = stand.get("/v1/keys").key(OPERATOR).send().await;
    let text = &keys.text;
    assert!(!text.contains(&key) && !text.contains("hash"), "{text}");
    let id = keys.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(stand.get("/v1/intents").key(&key).send().await.status, 200);
    let path = format!("/v1/keys/{id}");
    assert_eq!(stand.call(reqwest::Method::DELETE, &path).key(OPERATOR).send().await.status, 200);
    let after = stand.get("/v1/intents").key(&key).send().await;
    assert_eq!((after.status, after.code(), after.header("www-authenticate")), (401, "unauthenticated", "Bearer"));
    let audit: Vec<String> =
        sqlx::query_scalar("select action from amn.audit order by id").fetch_all(stand.pool()).await.unwrap();
    assert_eq!(audit, ["key.create", "key.revoke"]);
}

#[tokio::test]
async fn every_route_but_the_open_ones_asks_for_a_key() {
    let stand = Stand::new().await;
    for route in amn_scanner::api::routes() {
        let open = route.path.starts_with("/health") || route.path.starts_with("/ready");
        let open = open || route.path == "/metrics" || route.path == "/v1/openapi.json";
        let answer = stand.call(route.method.clone(), route.path).send().await;
        assert_eq!(answer.status == 401, !open, "{route:?}: {}", answer.text);
        let forged = stand.call(route.method.clone(), route.path).key(&format!("amn_{}", "0".repeat(64))).send().await;
        assert_eq!(forged.status == 401, !open, "{route:?}: {}", forged.text);
    }
}

#[tokio::test]
async fn metrics_are_for_the_token_or_this_machine_whatever_the_headers_say() {
    let stand = Stand::new().await;
    let ask = async |peer: Option<&str>, headers: &[(&str, &str)]| {
        let mut request = Request::get("/metrics").body(Body::empty()).unwrap();
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        stand.app.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    let token = format!("Bearer {METRICS_TOKEN}");
    assert_eq!(ask(Some("127.0.0.1:1"), &[]).await, 200);
    assert_eq!(ask(Some("[::1]:1"), &[]).await, 200);
    assert_eq!(ask(Some("[::ffff:127.0.0.1]:1"), &[]).await, 200);
    assert_eq!(ask(Some("203.0.113.9:1"), &[]).await, 401);
    assert_eq!(ask(Some("203.0.113.9:1"), &[("authorization", &token)]).await, 200);
    assert_eq!(ask(Some("203.0.113.9:1"), &[("authorization", "Bearer nonsense")]).await, 401);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        assert_eq!(ask(Some("203.0.113.9:1"), &[(header, "127.0.0.1")]).await, 401, "{header}");
        assert_eq!(ask(Some("127.0.0.1:1"), &[(header, "127.0.0.1")]).await, 401, "a proxy is the peer: {header}");
    }
    assert_eq!(ask(None, &[]).await, 401, "an unknown peer is a stranger");
    let over_http = stand.get("/metrics").send().await;
    assert_eq!((over_http.status, over_http.text.as_str()), (200, "amn_up 1\n"));
}

#[tokio::test]
async fn an_api_key_does_not_open_the_metrics_nor_the_metrics_token_the_api() {
    let stand = Stand::new().await;
    assert_eq!(stand.get("/v1/intents").key(METRICS_TOKEN).send().await.status, 401);
    let answer = stand.get("/metrics").key(OPERATOR).header("x-forwarded-for", "127.0.0.1").send().await;
    assert_eq!(answer.status, 401);
}
