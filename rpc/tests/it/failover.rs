//! Which node is asked, and who is asked next.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{ConfigError, EndpointConfig, Pool, RpcError};
use serde_json::json;

use crate::node::{Node, Says, pool, pool_by_hand, says_its_chain};

#[tokio::test]
async fn one_call_goes_on_to_the_node_that_answers() {
    let ill = Node::that(Says::Http(502, "", "<html>".into())).await;
    let confused = Node::that_answers(r#""0x1""#).await;
    confused.now_says(Says::Http(200, "", r#"{"id":999999,"result":"0x1"}"#.into()));
    let behind = Node::that_fails(-32000, "header not found").await;
    let well = Node::that_answers(r#""0x10""#).await;
    let pool = pool(vec![ill.config("ill"), confused.config("confused"), behind.config("behind"), well.config("well")]);

    let (endpoint, answer) = pool.call("eth_blockNumber", &json!([])).await.unwrap();

    assert_eq!(endpoint.name(), "well");
    assert_eq!(answer.parse::<String>().unwrap(), "0x10");
    assert_eq!([ill.asked(), confused.asked(), behind.asked(), well.asked()], [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_question_that_every_node_would_refuse_is_asked_once() {
    let strict = Node::that_fails(-32602, "invalid argument 0").await;
    let other = Node::that_answers("1").await;
    let narrow = Node::that_fails(-32614, "eth_getLogs is limited to a 10,000 range").await;

    let rejected = pool(vec![strict.config("a"), other.config("b")]).call("eth_call", &json!([])).await.unwrap_err();
    assert!(matches!(rejected, RpcError::Rejected { code: -32602, .. }));
    let split = pool(vec![narrow.config("a"), other.config("b")]).call("eth_getLogs", &json!([])).await.unwrap_err();
    assert_eq!(split, RpcError::Split { hint: None });
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn the_most_hopeful_of_several_failures_is_told() {
    let lacking = Node::that_fails(-32601, "the method does not exist/is not available").await;
    let ill = Node::that(Says::Http(500, "", String::new())).await;
    let behind = Node::that_fails(-32000, "finalized block not found").await;

    let two = pool(vec![lacking.config("a"), ill.config("b")]).call("eth_x", &json!([])).await.unwrap_err();
    assert!(matches!(two, RpcError::TryOther { .. }), "{two}");
    let three = pool(vec![lacking.config("a"), ill.config("b"), behind.config("c")]);
    assert!(matches!(three.call("eth_x", &json!([])).await, Err(RpcError::NotYet(_))));
    let all = pool(vec![lacking.config("a")]).call("eth_x", &json!([])).await.unwrap_err();
    assert!(matches!(all, RpcError::Unsupported(_)), "{all}");
}

#[tokio::test]
async fn a_node_that_asks_to_be_left_alone_is_left_alone() {
    let busy = Node::that(Says::Http(429, "retry-after: 40\r\n", "slow down".into())).await;
    let well = Node::that_answers("1").await;
    let pool = pool(vec![busy.config("busy"), well.config("well")]);

    for _ in 0..3 {
        assert_eq!(pool.call("eth_chainId", &json!([])).await.unwrap().0.name(), "well");
    }

    assert_eq!(busy.asked(), 1);
    let health = pool.endpoints()[0].health();
    assert!((20..=40).contains(&health.cooling_seconds.unwrap()), "{health:?}");
    assert!(!health.usable);
    // Asked directly, it is not called either.
    let refused = pool.endpoints()[0].call("eth_chainId", &json!([])).await.unwrap_err();
    assert!(matches!(refused, RpcError::CoolDown { wait, .. } if wait > Duration::from_secs(20)));
    assert_eq!(busy.asked(), 1);
}

#[tokio::test]
async fn a_node_that_is_open_is_not_asked_where_nothing_better_is_there_either() {
    let ill = Node::that(Says::Http(500, "", String::new())).await;
    let alone = pool(vec![ill.config("ill")]);
    for method in ["eth_a", "eth_b", "eth_a", "eth_b", "eth_a", "eth_b"] {
        assert!(alone.call(method, &json!([])).await.is_err());
    }
    assert_eq!(ill.asked(), 5);
    let why = alone.call("eth_a", &json!([])).await.unwrap_err();
    assert!(why.to_string().contains("ill is left alone for") && why.to_string().contains("HTTP 500"), "{why}");
}

#[tokio::test]
async fn we_stay_with_the_node_that_served_us() {
    let first = Node::that(Says::Http(502, "", String::new())).await;
    let second = Node::that_answers("1").await;
    // By a clock that stands still, all are as quick as each other.
    let (pool, _clock) = pool_by_hand(vec![first.config("first"), second.config("second")]);
    assert_eq!(pool.call("eth_chainId", &json!([])).await.unwrap().0.name(), "second");
    // The first would serve again, and is no better than the second.
    first.now_says(Says::Http(200, "", r#"{"id":$ID,"result":"0x1"}"#.into()));
    assert_eq!(pool.call("eth_chainId", &json!([])).await.unwrap().0.name(), "second");
    let names: Vec<_> = pool.best().iter().map(|endpoint| endpoint.name().to_owned()).collect();
    assert_eq!(names, ["second", "first"]);
}

#[tokio::test]
async fn a_node_that_lacks_one_method_keeps_its_place_for_the_others() {
    let first = Node::that_fails(-32601, "the method does not exist/is not available").await;
    let second = Node::that_answers("1").await;
    // By a clock that stands still, all are as quick as each other.
    let (pool, _clock) = pool_by_hand(vec![first.config("first"), second.config("second")]);
    assert_eq!(pool.call("debug_x", &json!([])).await.unwrap().0.name(), "second");
    assert_eq!(pool.best()[0].name(), "first");
}

#[tokio::test]
async fn nobody_has_it_is_said_only_when_everybody_was_asked() {
    let lacking = Node::that_fails(-32601, "the method does not exist/is not available").await;
    let open = Node::that(Says::Http(500, "", String::new())).await;
    let pool = pool(vec![lacking.config("lacking"), open.config("open")]);
    for method in ["eth_x", "eth_y", "eth_x", "eth_y", "eth_x"] {
        assert!(pool.endpoints()[1].call(method, &json!([])).await.is_err());
    }
    let error = pool.call("eth_x", &json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::TryOther { .. }), "{error}");
    assert_eq!(open.asked(), 5);
}

#[tokio::test]
async fn a_laggard_goes_last_and_the_heads_of_the_pool_never_go_back() {
    let (a, b) = (Node::that_answers("1").await, Node::that_answers("1").await);
    let pool = pool(vec![a.config("a"), b.config("b")]);
    let [a, b] = [&pool.endpoints()[0], &pool.endpoints()[1]];
    a.report_head(100);
    b.report_head(104);
    assert_eq!(pool.best()[0].name(), "a");
    b.report_head(120);
    assert_eq!(pool.best()[0].name(), "b");
    b.report_head(90);
    assert_eq!(pool.head_seen(), 120);
    assert_eq!((b.health().head, b.health().lag, b.health().heads_went_back), (Some(90), Some(30), 1));
}

#[tokio::test]
async fn a_distrusted_node_is_not_called_and_its_head_counts_for_nothing() {
    let (liar, honest) = (Node::that_answers("1").await, Node::that_answers("1").await);
    let (pool, clock) = pool_by_hand(vec![liar.config("liar"), honest.config("honest")]);
    pool.endpoints()[0].report_head(u64::MAX);
    pool.endpoints()[1].report_head(7);

    pool.endpoints()[0].distrust("its receipts do not add up; key sekret0123456789");
    pool.endpoints()[0].report_head(u64::MAX);

    assert_eq!(pool.head_seen(), 7);
    assert_eq!(pool.endpoints()[0].distrusted().unwrap(), "its receipts do not add up; key ***");
    assert_eq!(pool.call("eth_chainId", &json!([])).await.unwrap().0.name(), "honest");
    assert!(pool.endpoints()[0].call("eth_chainId", &json!([])).await.is_err());
    pool.endpoints()[1].distrust("neither do these");
    assert_eq!(pool.best().len(), 1);
    assert!(pool.call("eth_chainId", &json!([])).await.is_err());
    assert_eq!([liar.asked(), honest.asked()], [0, 1]);

    clock.advance(Duration::from_mins(10));
    pool.welcome_back(says_its_chain).await;
    assert!(pool.endpoints()[0].distrusted().is_none());
    assert!(pool.endpoints()[0].call("eth_chainId", &json!([])).await.is_ok());
}

fn in_reverse(question: &serde_json::Value) -> String {
    let mut replies: Vec<_> = question
        .as_array()
        .unwrap()
        .iter()
        .map(|q| json!({ "jsonrpc": "2.0", "id": q["id"], "result": q["params"][0] }))
        .collect();
    replies.reverse();
    serde_json::to_string(&replies).unwrap()
}

fn numbers(count: u64) -> Vec<(&'static str, serde_json::Value)> {
    (0..count).map(|n| ("eth_getBlockByNumber", json!([n]))).collect()
}

async fn batch_of(pool: &Pool, count: u64) -> Vec<u64> {
    let outcomes = pool.endpoints()[0].batch(&numbers(count)).await.unwrap();
    outcomes.into_iter().map(|outcome| outcome.unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_batch_comes_back_in_order_and_in_parts() {
    let node = Node::that(Says::With(in_reverse)).await;
    let pool = pool(vec![node.config("a")]);
    assert_eq!(batch_of(&pool, 120).await, (0..120).collect::<Vec<_>>());
    assert_eq!(node.asked(), 3);
    assert_eq!(pool.endpoints()[0].health().requests["eth_getBlockByNumber"], 120);
    assert!(pool.endpoints()[0].batch(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_refuses_batches_is_asked_one_by_one() {
    let node = Node::that(Says::With(|question| match question {
        serde_json::Value::Array(_) => r#"{"id":null,"error":{"code":-32600,"message":"no batches"}}"#.to_owned(),
        one => json!({ "id": one["id"], "result": one["params"][0] }).to_string(),
    }))
    .await;
    let pool = pool(vec![node.config("a")]);
    assert_eq!(batch_of(&pool, 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(batch_of(&pool, 5).await, [0, 1, 2, 3, 4]);
    // It was asked for a batch once only.
    assert_eq!(node.asked(), 11);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved() {
    let node = Node::that(Says::With(|question| match question.as_array().map(Vec::len) {
        Some(4..) => r#"{"id":null,"error":{"code":-32602,"message":"backend response too large"}}"#.to_owned(),
        Some(_) => in_reverse(question),
        None => json!({ "id": question["id"], "result": question["params"][0] }).to_string(),
    }))
    .await;
    assert_eq!(batch_of(&pool(vec![node.config("a")]), 9).await, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn we_keep_to_our_own_rate() {
    let node = Node::that_answers("1").await;
    let mut config = node.config("a");
    (config.max_rps, config.burst) = (NonZeroU32::new(20), NonZeroU32::new(2));
    let pool = pool(vec![config]);
    let start = Instant::now();
    for _ in 0..6 {
        pool.call("eth_chainId", &json!([])).await.unwrap();
    }
    // Two at once, then one every 50 ms.
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_wrong_configuration_is_named_without_its_secrets() {
    let refused = |config: EndpointConfig| Pool::new(NetworkId::new("devnet"), vec![config]).unwrap_err();
    let config = |url: &str| EndpointConfig::new("a", url, Operator::new("o"));
    for url in ["ftp://host/sekret", "sekret", "http://", ""] {
        let error = refused(config(url));
        assert!(matches!(&error, ConfigError::Endpoint { name, .. } if name == "a"), "{url}");
        assert!(!error.to_string().contains("sekret"));
    }
    let mut bad_ws = config("http://host");
    bad_ws.ws = Some("http://host".into());
    refused(bad_ws);
    let mut bad_header = config("http://host");
    bad_header.headers = vec![("x-key".into(), "sekret\n".into())];
    assert!(!refused(bad_header).to_string().contains("sekret"));
    assert!(matches!(Pool::new(NetworkId::new("devnet"), vec![]), Err(ConfigError::NoEndpoints(_))));
    let twice = vec![config("http://host"), config("http://host")];
    assert!(matches!(Pool::new(NetworkId::new("devnet"), twice), Err(ConfigError::NameTaken(_))));
}

#[tokio::test]
async fn questions_one_after_another_share_a_connection() {
    let node = Node::that_answers("1").await;
    let pool = pool(vec![node.config("a")]);
    for _ in 0..5 {
        pool.call("eth_chainId", &json!([])).await.unwrap();
    }
    assert_eq!(node.connected.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_configured_and_nowhere_else() {
    let (node, proxy) = (Node::that_answers("1").await, Node::that_answers("2").await);
    let mut through = node.config("through");
    through.proxy = Some(format!("http://me:pa55@127.0.0.1:{}", proxy.port).into());
    let shown = format!("{through:?}");
    let pool = pool(vec![through, node.config("straight")]);
    let ask =
        async |at: usize| pool.endpoints()[at].call("eth_chainId", &json!([])).await.unwrap().parse::<u64>().unwrap();
    assert_eq!((ask(0).await, ask(1).await), (2, 1));
    let heard = proxy.heard.lock().unwrap().clone();
    assert!(heard.starts_with(&format!("POST http://127.0.0.1:{}/v2/", node.port)), "{heard}");
    assert!(heard.to_lowercase().contains("proxy-authorization: basic"), "{heard}");
    assert!(!shown.contains("pa55"));

    let refused = |proxy: &str, ws: Option<&str>| {
        let mut config = EndpointConfig::new("a", "http://host", Operator::new("o"));
        (config.proxy, config.ws) = (Some(proxy.into()), ws.map(Into::into));
        Pool::new(NetworkId::new("devnet"), vec![config]).unwrap_err().to_string()
    };
    assert!(refused("socks5://host", None).contains("proxy is not http(s)://host"));
    assert!(refused("http://host", Some("ws://host")).contains("ws cannot go through a proxy"));
}

#[tokio::test]
async fn two_endpoints_of_one_provider_are_one_operator() {
    let endpoint = |name: &str, operator: &str| EndpointConfig::new(name, "http://host", Operator::new(operator));
    let pool = pool(vec![endpoint("a", "x"), endpoint("b", "x"), endpoint("c", "y")]);
    assert_eq!(pool.operators(), 2);
}
