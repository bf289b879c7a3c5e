//! Endpoints that fail, and come back: as they were, or as another chain.

use std::time::Duration;

use amn_core::block::{Height, NetworkId, Operator};
use amn_core::source::ChainSource as _;
use amn_evm::source::EvmSource;
use amn_evm::testkit::{History, Node, Reply, Script};
use amn_rpc::{EndpointConfig, Pool, PoolSettings, VirtualTime};

use crate::reading::{at, devnet, lying, standing_on};
use crate::support::{TOKEN, watch};

const SECOND: Duration = Duration::from_secs(1);

/// A source before these nodes on a clock that is moved by hand.
fn source_by_hand(nodes: &[&Node]) -> (EvmSource, VirtualTime) {
    let clock = VirtualTime::at(Duration::from_hours(500_000));
    let endpoints = nodes.iter().zip('a'..).map(|(node, name)| {
        EndpointConfig::new(name.to_string(), node.url().as_str(), Operator::new(name.to_string()))
    });
    let settings = PoolSettings { time: clock.time(), ..PoolSettings::default() };
    let pool = Pool::new_with(NetworkId::new("devnet"), endpoints.collect(), settings).unwrap();
    (EvmSource::new(pool, devnet()), clock)
}

fn down() -> Script {
    std::sync::Arc::new(|_: &str, _: &serde_json::Value, _: Reply| Reply::Status(503, "<html>".to_owned()))
}

fn of_another_chain() -> Script {
    lying("eth_chainId", |_, answer| *answer = "0x1".into())
}

fn history() -> History {
    let mut history = History::new(31337);
    history.decimals.insert(TOKEN, 6);
    history.pass(10);
    history
}

fn states(source: &EvmSource) -> Vec<&'static str> {
    source.pool().health().iter().map(|health| health.breaker.state).collect()
}

#[tokio::test]
async fn an_endpoint_that_comes_back_as_another_chain_is_not_read_until_it_is_right() {
    let (a, b) = (Node::serve(history()).await.unwrap(), Node::serve(history()).await.unwrap());
    let (source, clock) = source_by_hand(&[&a, &b]);
    source.probe().await.unwrap();
    a.script(Some(down()));
    for _ in 0..10 {
        source.head().await.unwrap();
        source.vouch(&source.head().await.unwrap().tip).await.unwrap();
    }
    assert_eq!(states(&source), ["open", "closed"]);
    let asked = a.calls("eth_getBlockByNumber");

    a.script(Some(of_another_chain()));
    for _ in 0..3 {
        clock.advance(Duration::from_mins(11));
        source.head().await.unwrap();
        let reason = source.pool().endpoints()[0].distrusted().unwrap();
        assert!(reason.contains("eip155:1, not of eip155:31337"), "{reason}");
    }
    assert_eq!(a.calls("eth_getBlockByNumber"), asked, "it was read though it is another chain");

    a.script(None);
    clock.advance(Duration::from_mins(11));
    source.head().await.unwrap();
    assert_eq!(source.pool().endpoints()[0].distrusted(), None);
    assert_eq!(source.vouch(&source.head().await.unwrap().tip).await.unwrap().len(), 2);
    assert!(a.calls("eth_getBlockByNumber") > asked);
}

#[tokio::test]
async fn an_endpoint_that_was_down_at_the_start_says_who_it_is_before_it_is_read() {
    let (a, b) = (Node::serve(history()).await.unwrap(), Node::serve(history()).await.unwrap());
    let (source, clock) = source_by_hand(&[&a, &b]);
    a.script(Some(down()));
    source.probe().await.unwrap();
    a.script(Some(of_another_chain()));
    clock.advance(SECOND * 10);
    source.head().await.unwrap();
    assert!(source.pool().endpoints()[0].distrusted().is_some());
    assert_eq!(a.calls("eth_getBlockByNumber"), 0);
}

#[tokio::test]
async fn everybody_down_is_said_at_once_and_over_with_the_next_probe() {
    let a = Node::serve(history()).await.unwrap();
    let (source, clock) = source_by_hand(&[&a]);
    source.probe().await.unwrap();
    a.script(Some(down()));
    for _ in 0..60 {
        assert!(source.head().await.is_err());
        clock.advance(SECOND);
    }
    assert_eq!(states(&source), ["open"]);
    let asked = a.calls("eth_getBlockByNumber") + a.calls("eth_chainId");
    assert!(asked < 30, "{asked} questions to a dead node in a minute");
    a.script(None);
    clock.advance(SECOND * 10);
    assert_eq!(source.head().await.unwrap().tip.at.height.0, 10);
}

#[tokio::test]
async fn who_said_what_is_remembered_for_each_operator() {
    let (a, b) = (Node::serve(history()).await.unwrap(), Node::serve(history()).await.unwrap());
    b.history().rewind(9);
    b.history().pass(1);
    let (source, clock) = source_by_hand(&[&a, &b]);
    let tip = source.header_at(Height(10)).await.unwrap();
    source.vouch(&tip).await.unwrap();
    clock.advance(SECOND * 3);
    let said = source.pool().who_said_what();
    let shown: Vec<_> = said.iter().map(|said| (said.operator.as_str(), said.height, said.agrees)).collect();
    assert_eq!(shown, [("a", 10, Some(true)), ("b", 10, Some(false))]);
    assert_eq!(said[1].ours.as_deref(), Some(tip.at.hash.to_string().as_str()));
    assert_eq!(said[1].seconds_ago, 3);
}

#[tokio::test]
async fn a_node_that_is_below_a_block_is_not_asked_for_it() {
    let (a, b) = (Node::serve(history()).await.unwrap(), Node::serve(history()).await.unwrap());
    let (source, _clock) = source_by_hand(&[&a, &b]);
    source.head().await.unwrap();
    b.history().pass(3);
    let tip = source.header_at(Height(13)).await.unwrap();
    let asked = a.calls("eth_getBlockByNumber");
    let on = standing_on(at(&a.history(), 10));
    let segment = source.segment(&on, tip.at.height, None, &watch(&[])).await.unwrap();
    assert_eq!(segment.tip.at, tip.at);
    assert_eq!(a.calls("eth_getBlockByNumber"), asked);
}
