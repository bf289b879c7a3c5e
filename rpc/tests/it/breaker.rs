//! What is left alone, for how long, and how it comes back.

use std::time::Duration;

use amn_rpc::{BreakerSettings, EndpointConfig, RpcError};
use serde_json::json;

use crate::node::{Node, Says, pool_by_hand, says_its_chain};

const SECOND: Duration = Duration::from_secs(1);

fn down() -> Says {
    Says::Http(503, "", "<html>".into())
}

fn well() -> Says {
    Says::Http(200, "", r#"{"id":$ID,"result":1}"#.into())
}

#[tokio::test]
async fn a_node_that_is_down_is_left_alone_after_five_failures_and_back_ten_seconds_after_it_is_well() {
    let (node, other) = (Node::that(down()).await, Node::that_answers("1").await);
    let (pool, clock) = pool_by_hand(vec![node.config("first"), other.config("second")]);
    let first = &pool.endpoints()[0];
    for method in ["eth_a", "eth_b", "eth_a", "eth_a", "eth_b"] {
        assert!(first.call(method, &json!([])).await.is_err());
    }
    let health = first.health();
    assert_eq!((health.breaker.state, health.breaker.closes_in_seconds), ("open", Some(10)));
    assert!(!health.usable);
    assert!(first.call("eth_a", &json!([])).await.unwrap_err().to_string().contains("left alone for 10 s"));
    assert_eq!(pool.call("eth_a", &json!([])).await.unwrap().0.name(), "second");
    assert_eq!(node.asked(), 5);

    // Still down: one probe, and ten seconds more.
    clock.advance(SECOND * 10);
    assert_eq!(first.health().breaker.state, "half_open");
    assert!(first.call("eth_a", &json!([])).await.is_err(), "only the probe may pass");
    pool.welcome_back(says_its_chain).await;
    pool.welcome_back(says_its_chain).await;
    assert_eq!(node.asked(), 6);
    assert_eq!(first.health().breaker.state, "open");

    node.now_says(well());
    clock.advance(SECOND * 10);
    pool.welcome_back(says_its_chain).await;
    assert_eq!(node.asked(), 7);
    let breaker = first.health().breaker;
    assert_eq!((breaker.state, breaker.opened), ("closed", 2));
    let times: Vec<_> = breaker.transitions.iter().map(|one| (one.from, one.to, one.times)).collect();
    let expected = [
        ("closed", "open", 1),
        ("open", "half_open", 2),
        ("half_open", "closed", 1),
        ("half_open", "open", 1),
        ("open", "closed", 0),
    ];
    assert_eq!(times, expected);
    assert!(first.call("eth_a", &json!([])).await.is_ok());
}

#[tokio::test]
async fn a_node_that_comes_back_as_another_chain_is_not_used_until_it_is_right() {
    let node = Node::that(down()).await;
    let (pool, clock) = pool_by_hand(vec![node.config("a")]);
    let endpoint = &pool.endpoints()[0];
    for method in ["eth_a", "eth_b", "eth_a", "eth_a", "eth_b"] {
        assert!(endpoint.call(method, &json!([])).await.is_err());
    }
    node.now_says(Says::Http(200, "", r#"{"id":$ID,"result":666}"#.into()));
    for _ in 0..3 {
        clock.advance(Duration::from_mins(11));
        pool.welcome_back(says_its_chain).await;
        assert_eq!(endpoint.distrusted().as_deref(), Some("it speaks of chain 666"));
        let refused = endpoint.call("eth_a", &json!([])).await.unwrap_err();
        assert!(refused.to_string().contains("it speaks of chain 666"), "{refused}");
    }
    node.now_says(well());
    pool.welcome_back(says_its_chain).await;
    assert!(endpoint.distrusted().is_some(), "its time of distrust is not over");
    clock.advance(Duration::from_mins(10));
    pool.welcome_back(says_its_chain).await;
    assert_eq!(endpoint.distrusted(), None);
    assert!(endpoint.call("eth_a", &json!([])).await.is_ok());
}

#[tokio::test]
async fn one_broken_method_leaves_the_others_and_the_endpoint_alone() {
    let node = Node::that(Says::With(|question| match question["method"].as_str() {
        Some("eth_getLogs") => {
            json!({ "id": question["id"], "error": { "code": -32603, "message": "internal error" } }).to_string()
        }
        _ => json!({ "id": question["id"], "result": 1 }).to_string(),
    }))
    .await;
    let (pool, clock) = pool_by_hand(vec![node.config("a")]);
    let endpoint = &pool.endpoints()[0];
    for _ in 0..5 {
        assert!(endpoint.call("eth_getLogs", &json!([])).await.is_err());
        assert!(endpoint.call("eth_chainId", &json!([])).await.is_ok());
    }
    let health = endpoint.health();
    assert_eq!((health.usable, health.breaker.state), (true, "closed"));
    assert_eq!(health.breaker.methods.get("eth_getLogs"), Some(&"open"));
    let asked = node.asked();
    let refused = endpoint.call("eth_getLogs", &json!([])).await.unwrap_err();
    assert!(refused.to_string().contains("internal error"), "{refused}");
    assert!(endpoint.batch(&[("eth_getLogs", json!([])), ("eth_chainId", json!([]))]).await.is_err());
    assert_eq!(node.asked(), asked, "it was asked for what is broken");
    clock.advance(SECOND * 10);
    node.now_says(well());
    assert!(endpoint.call("eth_getLogs", &json!([])).await.is_ok());
    assert!(endpoint.health().breaker.methods.is_empty());
}

#[tokio::test]
async fn failures_of_one_method_have_the_node_asked_who_it_is_and_that_decides() {
    let node = Node::that(down()).await;
    let (pool, _clock) = pool_by_hand(vec![node.config("a")]);
    let endpoint = &pool.endpoints()[0];
    for _ in 0..5 {
        assert!(endpoint.call("eth_getBlockByNumber", &json!([])).await.is_err());
    }
    assert_eq!(endpoint.health().breaker.state, "closed");
    assert!(endpoint.awaits_probe());
    pool.welcome_back(says_its_chain).await;
    assert_eq!(endpoint.health().breaker.state, "open");
    assert!(endpoint.health().breaker.methods.is_empty());
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_leaves_no_breaker_half_open() {
    let node = Node::that(Says::With(|question| match question["method"].as_str() {
        Some("eth_getLogs") => "<html>".to_owned(),
        _ => json!({ "id": question["id"], "result": 1 }).to_string(),
    }))
    .await;
    let mut config = node.config("a");
    config.breaker = BreakerSettings { failures: 1, ..config.breaker };
    let (pool, clock) = pool_by_hand(vec![config]);
    let endpoint = &pool.endpoints()[0];
    assert!(endpoint.call("eth_chainId", &json!([])).await.is_ok());
    assert!(endpoint.call("eth_getLogs", &json!([])).await.is_err());
    pool.welcome_back(says_its_chain).await;
    clock.advance(SECOND * 10);
    node.now_says(Says::Drips);
    let given_up = tokio::time::timeout(Duration::from_millis(50), endpoint.call("eth_getLogs", &json!([]))).await;
    assert!(given_up.is_err());
    node.now_says(well());
    assert!(endpoint.call("eth_getLogs", &json!([])).await.is_ok(), "the abandoned probe bars the way");
}

#[tokio::test]
async fn a_dead_node_holds_no_round_for_longer_than_a_moment() {
    let (dead, other) = (Node::that(down()).await, Node::that_answers("1").await);
    let (pool, clock) = pool_by_hand(vec![dead.config("dead"), other.config("well")]);
    pool.endpoints()[0].doubt();
    dead.now_says(Says::Drips);
    let start = std::time::Instant::now();
    pool.welcome_back(says_its_chain).await;
    pool.welcome_back(says_its_chain).await;
    assert!(start.elapsed() < SECOND * 5, "it waited for the time-out of ten seconds");
    assert_eq!(dead.asked(), 1, "the probe under way is the only one");
    clock.advance(SECOND * 100);
    pool.welcome_back(says_its_chain).await;
    assert_eq!(dead.asked(), 1);
    assert_eq!(pool.call("eth_a", &json!([])).await.unwrap().0.name(), "well");
}

#[tokio::test]
async fn a_reset_by_hand_ends_breakers_and_cool_downs_but_no_distrust() {
    let node = Node::that(Says::Http(429, "retry-after: 200\r\n", "slow down".into())).await;
    let (pool, _clock) = pool_by_hand(vec![node.config("a")]);
    let endpoint = &pool.endpoints()[0];
    assert!(matches!(endpoint.call("eth_a", &json!([])).await, Err(RpcError::CoolDown { .. })));
    node.now_says(well());
    assert!(endpoint.call("eth_a", &json!([])).await.is_err());
    endpoint.reset();
    assert!(endpoint.call("eth_a", &json!([])).await.is_ok());

    endpoint.distrust("a lie");
    endpoint.reset();
    assert!(endpoint.call("eth_a", &json!([])).await.is_err());
    endpoint.reconsider();
    assert!(endpoint.call("eth_a", &json!([])).await.is_err(), "trusted without a question");
    pool.welcome_back(says_its_chain).await;
    assert!(endpoint.call("eth_a", &json!([])).await.is_ok());
}

#[tokio::test]
async fn requests_are_counted_for_the_day() {
    let node = Node::that_answers("1").await;
    let (pool, clock) = pool_by_hand(vec![node.config("a")]);
    let endpoint = &pool.endpoints()[0];
    endpoint.call("eth_a", &json!([])).await.unwrap();
    clock.advance(Duration::from_hours(24));
    assert!(endpoint.health().requests_today.is_empty());
    endpoint.call("eth_a", &json!([])).await.unwrap();
    assert_eq!((endpoint.health().requests_today["eth_a"], endpoint.health().requests["eth_a"]), (1, 2));
}

#[tokio::test]
async fn whoever_is_below_a_height_is_not_asked_for_it_while_somebody_is_not() {
    let (low, high) = (Node::that_answers("1").await, Node::that_answers("1").await);
    let configs: Vec<EndpointConfig> = vec![low.config("low"), high.config("high")];
    let (pool, _clock) = pool_by_hand(configs);
    let names =
        |height: u64| pool.for_height(height).iter().map(|endpoint| endpoint.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(100), ["low", "high"], "nobody said anything yet");
    pool.endpoints()[0].report_head(99);
    pool.endpoints()[1].report_head(100);
    assert_eq!(names(99), ["low", "high"]);
    assert_eq!(names(100), ["high"]);
    assert_eq!(names(101), ["low", "high"], "nobody has it, or our news is old");
}
