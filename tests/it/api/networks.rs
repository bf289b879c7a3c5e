//! Networks and their thresholds over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{NOW, OPERATOR, Stand, USDC};

#[tokio::test]
async fn a_network_is_ready_until_it_lags_behind_its_own_block_time() {
    let stand = Stand::new().await;
    let base = async |stand: &Stand| {
        let ready = stand.get("/readyz").send().await;
        (ready.status, ready.body["networks"][0]["status"].as_str().unwrap().to_owned())
    };
    let at = |seconds: i64| stand.clock.set(amn_core::timestamp::Timestamp::from_seconds(NOW + seconds));
    assert_eq!(base(&stand).await, (200, "ok".to_owned()));
    // The tip is two seconds old; ten blocks of two seconds and thirty seconds are in order.
    at(48);
    assert_eq!(base(&stand).await, (200, "ok".to_owned()));
    at(49);
    assert_eq!(base(&stand).await, (503, "lagging".to_owned()));
    let network = stand.get("/v1/networks/base").key(OPERATOR).send().await;
    assert_eq!(network.body["lag_seconds"], 51);
    assert_eq!(network.body["lag_allowed_seconds"], 50);
    // A clock that runs behind the chain is no lag.
    at(-3_600);
    assert_eq!(base(&stand).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_halted_network_and_one_without_a_tip_are_not_ready_and_say_why() {
    let stand = Stand::new().await;
    sqlx::query(
        "update amn.network set halt_reason = 'fork_too_deep', halt_detail = '21 blocks', halted_at = now() where id = 'bsc'",
    )
    .execute(stand.pool())
    .await
    .unwrap();
    let ready = stand.get("/ready").send().await;
    assert_eq!((ready.status, &ready.body["status"]), (503, &json!("not_ready")));
    assert_eq!(ready.body["networks"][1]["status"], "halted");
    assert_eq!(ready.body["networks"][1]["halt"]["reason"], "fork_too_deep");
    sqlx::query(
        "update amn.network set halt_reason = null, halted_at = null, start_height = null, tip_height = null,
        tip_hash = null, tip_parent = null, tip_time = null where id = 'bsc'",
    )
    .execute(stand.pool())
    .await
    .unwrap();
    let ready = stand.get("/ready").send().await;
    assert_eq!((ready.status, &ready.body["networks"][1]["status"]), (503, &json!("starting")));
    let all = stand.get("/v1/networks").key(OPERATOR).send().await;
    assert_eq!(all.body["data"][1]["lag_seconds"], Value::Null);
    assert_eq!(all.body["data"][0]["endpoints"][0]["shown_url"], "https://base.alpha.example");
}

#[tokio::test]
async fn thresholds_change_at_once_audited_and_move_the_revision() {
    let stand = Stand::new().await;
    let revision = async || -> i64 {
        sqlx::query_scalar("select revision from amn.network where id = 'base'").fetch_one(stand.pool()).await.unwrap()
    };
    let path = "/v1/networks/base/thresholds";
    let before = stand.get(path).key(OPERATOR).send().await;
    assert_eq!(before.body["effective"]["require"]["tag"], "safe");
    assert_eq!(before.body["override"], Value::Null);
    let policy = json!({
        "require": { "confirmations": 64, "operators": 2 },
        "tiers": [{ "asset": USDC, "at_least": "10000000000", "require": { "tag": "finalized" } }],
    });
    let put = stand.call(Method::PUT, path).key(OPERATOR).json(&policy).send().await;
    assert_eq!((put.status, &put.body["effective"]["require"]["confirmations"]), (200, &json!(64)));
    assert_eq!(put.body["effective"]["require"]["tag"], Value::Null, "an override replaces, it does not add");
    assert_eq!(put.body["override"]["actor"], "operator");
    assert_eq!(put.body["file"], before.body["file"]);
    assert_eq!(revision().await, 1);
    let back = stand.call(Method::DELETE, path).key(OPERATOR).send().await;
    assert_eq!((back.status, &back.body["effective"]), (200, &before.body["effective"]));
    assert_eq!(revision().await, 2);
    let audit: Vec<(String, String)> =
        sqlx::query_as("select action, subject from amn.audit order by id").fetch_all(stand.pool()).await.unwrap();
    assert_eq!(audit, vec![("thresholds.put".to_owned(), "base".to_owned()); 2]);
}

#[tokio::test]
async fn a_tenant_reads_thresholds_and_never_writes_them() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let path = "/v1/networks/base/thresholds";
    assert_eq!(stand.get(path).key(&key).send().await.status, 200);
    let put = stand.call(Method::PUT, path).key(&key).json(&json!({ "require": { "confirmations": 1 } })).send().await;
    assert_eq!((put.status, put.code()), (403, "forbidden"));
}
