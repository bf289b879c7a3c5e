//! Nodes over HTTP: whose word is shown, how long a network may be left alone, and using a node again.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{BreakerSettings, EndpointConfig, Pool};
use amn_scanner::clock::Clock as _;
use amn_scanner::daemon::nodes::Nodes;
use amn_scanner::follower::pace::{Pace, Rest};
use amn_scanner::store::{self, network};
use serde_json::{Value, json};
use uuid::Uuid;

use super::stand::{OPERATOR, Stand};

const RESET: &str = "/v1/networks/base/endpoints/alpha-1/reset";

/// A daemon that asks a node which is not there.
fn daemon(stand: &Stand, id: u128) -> Nodes {
    let mut endpoint = EndpointConfig::new("alpha-1", "http://127.0.0.1:9", Operator::new("alpha"));
    endpoint.breaker = BreakerSettings { failures: 2, open_for: Duration::from_hours(1) };
    let pool = Pool::new(NetworkId::new("base"), vec![endpoint]).unwrap();
    Nodes::new(Uuid::from_u128(id), stand.pool().clone(), stand.clock.clone(), [pool])
}

async fn base(stand: &Stand) -> Value {
    stand.get("/v1/networks/base").key(OPERATOR).send().await.body
}

#[tokio::test]
async fn the_word_of_whoever_follows_the_network_is_shown_as_long_as_it_is_fresh() {
    let stand = Stand::with(|state| state.report = Arc::new(|_| None)).await;
    let nobody = base(&stand).await;
    assert_eq!((&nobody["endpoints"], &nobody["operators"]), (&json!([]), &json!([])));
    assert_eq!((&nobody["polling"], &nobody["reported_at"]), (&Value::Null, &Value::Null));

    let (leader, other) = (daemon(&stand, 7), daemon(&stand, 8));
    let now = stand.clock.now();
    let until = amn_core::timestamp::Timestamp::from_millis(now.millis() + 10_000);
    assert!(network::lease(stand.pool(), &NetworkId::new("base"), leader.daemon, now, until).await.unwrap());
    leader.pulse(&NetworkId::new("base")).set(Rest { pace: Pace::Quiet, length: Duration::from_secs(20) });
    leader.tell().await.unwrap();
    stand.clock.advance(1_000);
    other.tell().await.unwrap();
    let shown = base(&stand).await;
    assert_eq!(shown["polling"], json!({ "interval_ms": 20_000, "pace": "quiet" }), "the leader's, though it is older");
    assert_eq!(shown["reported_at"], json!(now));
    assert_eq!(shown["endpoints"][0]["shown_url"], "http://127.0.0.1");
    assert_eq!(shown["operators"], json!([{ "endpoints": ["alpha-1"], "operator": "alpha", "said": null }]));

    // The leader is silent: what it said is shown with its age by who knows nothing itself.
    stand.clock.advance(60_000);
    assert_eq!(base(&stand).await["reported_at"], json!(now));
    let gone = store::pools::forget(stand.pool(), stand.clock.now()).await;
    gone.unwrap();
    assert_eq!(base(&stand).await["reported_at"], Value::Null);
}

#[tokio::test]
async fn a_network_that_is_left_alone_on_purpose_does_not_lag_for_it() {
    let stand = Stand::with(|state| state.report = Arc::new(|_| None)).await;
    let nodes = daemon(&stand, 7);
    // 51 seconds behind, of 50 that are in order.
    stand.clock.advance(49_000);
    let ready = async || stand.get("/readyz").send().await;
    assert_eq!(ready().await.body["networks"][0]["status"], "lagging");
    let rest = |pace, seconds| Rest { pace, length: Duration::from_secs(seconds) };
    for (pace, seconds, allowed, status) in [
        (Pace::Usual, 20, 50, "lagging"),
        (Pace::Quiet, 20, 70, "ok"),
        // Left alone because nothing answers is another matter.
        (Pace::Retrying, 30, 50, "lagging"),
    ] {
        nodes.pulse(&NetworkId::new("base")).set(rest(pace, seconds));
        nodes.tell().await.unwrap();
        let base = ready().await.body["networks"][0].clone();
        assert_eq!((&base["lag_allowed_seconds"], &base["status"]), (&json!(allowed), &json!(status)), "{pace:?}");
    }
}

#[tokio::test]
async fn a_node_is_used_again_when_a_daemon_obeys_and_the_audit_log_says_who_asked() {
    let stand = Stand::with(|state| state.report = Arc::new(|_| None)).await;
    let pool = {
        let mut endpoint = EndpointConfig::new("alpha-1", "http://127.0.0.1:9", Operator::new("alpha"));
        endpoint.breaker = BreakerSettings { failures: 1, open_for: Duration::from_hours(1) };
        Pool::new(NetworkId::new("base"), vec![endpoint]).unwrap()
    };
    let nodes = Nodes::new(Uuid::from_u128(7), stand.pool().clone(), stand.clock.clone(), [pool.clone()]);
    let node = &pool.endpoints()[0];
    for method in ["eth_blockNumber", "eth_chainId", "eth_getLogs"] {
        node.call(method, &json!([])).await.unwrap_err();
    }
    node.distrust("it lied");
    nodes.tell().await.unwrap();
    let before = &base(&stand).await["endpoints"][0];
    assert_eq!(before["distrusted"], "it lied");
    let left_alone = before["breaker"]["state"] == "open" || before["breaker"]["methods"] != json!({});
    assert!(left_alone, "{before:#}");

    let obeys = async || while nodes.obey().await.unwrap() == 0 {};
    let (answer, ()) = tokio::join!(stand.post(RESET).key(OPERATOR).send(), obeys());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["daemons"], &answer.body["trust"]), (&json!(1), &json!(false)));
    let after = &answer.body["endpoint"];
    assert_eq!((&after["breaker"]["state"], &after["breaker"]["methods"]), (&json!("closed"), &json!({})));
    assert_eq!(after["distrusted"], "it lied", "a reset forgives no lie");
    assert!(!node.awaits_probe());

    let trust = json!({ "trust": true });
    let (answer, ()) = tokio::join!(stand.post(RESET).key(OPERATOR).json(&trust).send(), obeys());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(node.awaits_probe(), "it may prove itself now");
    assert_eq!(nodes.obey().await.unwrap(), 0, "done once");
    let audit: Vec<(String, String, Value)> = sqlx::query_as("select actor, action, detail from amn.audit order by id")
        .fetch_all(stand.pool())
        .await
        .unwrap();
    let asked = |trust: bool| {
        ("operator".to_owned(), "endpoint.reset".to_owned(), json!({ "endpoint": "alpha-1", "trust": trust }))
    };
    assert_eq!(audit, [asked(false), asked(true)]);
}

#[tokio::test]
async fn a_reset_that_no_daemon_obeys_is_refused_and_taken_back() {
    let stand = Stand::new().await;
    let answer = stand.post(RESET).key(OPERATOR).send().await;
    assert_eq!((answer.status, answer.code()), (503, "not_ready"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("no daemon that serves base obeyed within 5s"));
    let left: i64 =
        sqlx::query_scalar("select count(*) from amn.endpoint_reset").fetch_one(stand.pool()).await.unwrap();
    assert_eq!(left, 0, "a daemon that starts tomorrow does not obey what was asked today");
    let audit: Vec<String> =
        sqlx::query_scalar("select action from amn.audit order by id").fetch_all(stand.pool()).await.unwrap();
    assert_eq!(audit, ["endpoint.reset", "endpoint.reset.taken_back"]);
}

#[tokio::test]
async fn only_an_operator_may_use_a_node_again() {
    let stand = Stand::new().await;
    let tenant = stand.tenant("seller-7").await;
    let answer = stand.post(RESET).key(&tenant).send().await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden"));
    let reader = stand.key(None, &["networks:read"]).await;
    let answer = stand.post(RESET).key(&reader).send().await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden"));
}
