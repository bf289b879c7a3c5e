//! Questions by REST go the same road: limits, breakers, meanings.

use std::time::Duration;

use amn_rpc::RpcError;
use serde_json::json;

use crate::node::{Node, Says, pool};

async fn ask(says: Says) -> Result<serde_json::Value, RpcError> {
    let node = Node::that(says).await;
    let answer = pool(vec![node.config("a")]).endpoints()[0].get("getShards", &["getShards"], &[("seqno", "7")]).await;
    answer.map(|answer| answer.parse().unwrap())
}

fn says(status: u16, body: &str) -> Says {
    Says::Http(status, "", body.to_owned())
}

#[tokio::test]
async fn the_path_and_the_query_are_added_to_the_address_of_the_endpoint() {
    let node = Node::that(says(200, r#"{"ok":true,"result":{"shards":[1]}}"#)).await;
    let pool = pool(vec![node.config("a")]);
    let endpoint = &pool.endpoints()[0];
    let answer = endpoint.get("getShards", &["api v2", "getShards"], &[("seqno", "7"), ("a", "b&c")]).await.unwrap();
    assert_eq!(answer.parse::<serde_json::Value>().unwrap()["result"]["shards"], json!([1]));
    let heard = node.heard.lock().unwrap().clone();
    assert!(heard.starts_with("GET /v2/sekret0123456789/api%20v2/getShards?seqno=7&a=b%26c HTTP/1.1"), "{heard}");
    endpoint.post("estimate", &["estimate"], &json!({ "a": 1 })).await.unwrap();
    assert!(node.heard.lock().unwrap().starts_with("POST /v2/sekret0123456789/estimate HTTP/1.1"));
    let requests = endpoint.health().requests;
    assert_eq!((requests["getShards"], requests["estimate"]), (1, 1));
}

#[tokio::test]
async fn a_status_says_what_to_do() {
    let cool = Says::Http(429, "retry-after: 7\r\n", r#"{"ok":false,"result":"Ratelimit exceed","code":429}"#.into());
    assert!(matches!(ask(cool).await, Err(RpcError::CoolDown { wait, .. }) if wait == Duration::from_secs(7)));
    assert!(matches!(ask(says(404, r#"{"error":"block not found"}"#)).await, Err(RpcError::NotYet(_))));
    assert!(matches!(ask(says(404, "")).await, Err(RpcError::NotYet(_))));
    assert!(matches!(
        ask(says(422, r#"{"ok":false,"error":"wrong seqno","code":422}"#)).await,
        Err(RpcError::Rejected { code: 422, .. })
    ));
    assert!(matches!(ask(says(401, r#"{"ok":false,"error":"x","code":401}"#)).await, Err(RpcError::Credentials(_))));
    assert!(matches!(ask(says(405, "")).await, Err(RpcError::Unsupported(_))));
    for status in [500, 502, 504, 542] {
        assert!(matches!(ask(says(status, "{}")).await, Err(RpcError::TryOther { .. })), "{status}");
    }
    assert!(ask(says(504, "")).await.unwrap_err().timed_out());
}

#[tokio::test]
async fn a_refusal_may_hide_behind_a_status_of_200() {
    let hidden = |body: &str| ask(says(200, body));
    assert!(matches!(
        hidden(r#"{"ok":false,"result":"Ratelimit exceed","code":429}"#).await,
        Err(RpcError::CoolDown { .. })
    ));
    assert!(matches!(
        hidden(r#"{"ok":false,"error":"LITE_SERVER_NOTREADY: block is not applied","code":500}"#).await,
        Err(RpcError::NotYet(_))
    ));
    assert!(matches!(
        hidden(r#"{"ok":false,"error":"LITE_SERVER_UNKNOWN: cannot find transaction: lt not in db","code":500}"#).await,
        Err(RpcError::Pruned(_))
    ));
    assert!(matches!(hidden(r#"{"ok":false,"error":"","code":500}"#).await, Err(RpcError::TryOther { .. })));
    assert!(hidden(r#"{"error":"a word in an answer","ok":true}"#).await.is_ok());
}

#[tokio::test]
async fn what_is_no_json_or_nests_without_end_is_malformed() {
    for body in ["<html>", "", "{", r#"{"a":1} {"#, &"[".repeat(100_000)] {
        assert!(matches!(ask(says(200, body)).await, Err(RpcError::Malformed(_))), "{}", &body[..body.len().min(20)]);
    }
}
