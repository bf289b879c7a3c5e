//! The bell rings for heads and connections, and outlives everything that the line does.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{Announcing, Doorbell, DoorbellHealth, EndpointConfig, Secret, install_crypto};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::node::pool_by_hand;

const HEAD: &str = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":{}}}"#;
/// Nothing here takes longer than some milliseconds; this only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

async fn rings(bell: &Notify) {
    timeout(PATIENCE, bell.notified()).await.expect("the bell did not ring");
}

/// A listening node, a bell that is connected to it, and the bell's task.
async fn hung(silence: Duration) -> (TcpListener, Arc<Notify>, tokio::task::JoinHandle<std::convert::Infallible>) {
    install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("ws://{}/sekret", listener.local_addr().unwrap()));
    let bell = Arc::new(Notify::new());
    let doorbell = Doorbell::new(&NetworkId::new("devnet"), "a", url)
        .with_silence(silence)
        .with_backoff(Duration::from_millis(2), Duration::from_millis(20));
    let task = tokio::spawn(doorbell.ring(Arc::clone(&bell)));
    (listener, bell, task)
}

async fn answer_the_door(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("nobody connected").unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    let asked = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(asked.to_text().unwrap().contains(r#""eth_subscribe","params":["newHeads"]"#));
    socket
}

#[tokio::test]
async fn it_rings_on_connecting_and_on_each_head() {
    let (listener, bell, task) = hung(PATIENCE).await;
    let mut socket = answer_the_door(&listener).await;
    rings(&bell).await;
    for _ in 0..3 {
        socket.send(Message::text(HEAD)).await.unwrap();
        rings(&bell).await;
    }
    task.abort();
}

#[tokio::test]
async fn a_node_that_announces_in_other_words_is_asked_in_them_and_rings() {
    const ANNOUNCING: Announcing = Announcing { subscribe: r#"{"operation":"subscribe"}"#, sign: "\"type\"" };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = EndpointConfig::new("a", "http://127.0.0.1:1", Operator::new("a"));
    config.ws = Some(format!("ws://{}", listener.local_addr().unwrap()).into());
    config.announcing = ANNOUNCING;
    let (pool, _) = pool_by_hand(vec![config]);
    let (bell, endpoint) = (Arc::new(Notify::new()), &pool.endpoints()[0]);
    let task = tokio::spawn(endpoint.doorbell().unwrap().ring(Arc::clone(&bell)));
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    let asked = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(asked.to_text().unwrap(), ANNOUNCING.subscribe);
    rings(&bell).await;
    for said in [r#"{"id":"1","status":"subscribed"}"#, HEAD, r#"{"type":"transactions","finality":"finalized"}"#] {
        socket.send(Message::text(said)).await.unwrap();
    }
    rings(&bell).await;
    assert_eq!(endpoint.health().doorbell.unwrap().heads, 1, "neither the answer nor another's words are heads");
    task.abort();
}

#[tokio::test]
async fn a_confirmation_a_ping_and_chatter_are_no_heads() {
    let (listener, bell, task) = hung(PATIENCE).await;
    let mut socket = answer_the_door(&listener).await;
    rings(&bell).await;
    socket.send(Message::text(r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#)).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    socket.send(Message::Ping("x".into())).await.unwrap();
    // The pong comes after all of it was read.
    while !timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap().is_pong() {}
    assert!(timeout(Duration::ZERO, bell.notified()).await.is_err(), "it rang for nothing");
    task.abort();
}

#[tokio::test]
async fn it_comes_back_after_every_kind_of_loss() {
    let (listener, bell, task) = hung(PATIENCE).await;
    // Dropped without a word, closed politely, refused, answered in HTTP, flooded with one giant frame.
    drop(answer_the_door(&listener).await);
    rings(&bell).await;
    answer_the_door(&listener).await.close(None).await.unwrap();
    rings(&bell).await;
    let mut refusing = answer_the_door(&listener).await;
    refusing.send(Message::text(r#"{"id":1,"error":{"code":-32601,"message":"no"}}"#)).await.unwrap();
    rings(&bell).await;
    let (plain, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    drop(plain);
    let mut flooding = answer_the_door(&listener).await;
    rings(&bell).await;
    // The bell hangs up on it, possibly before all is sent.
    drop(flooding.send(Message::text(format!("eth_subscription{}", "x".repeat(2 << 20)))).await);
    let mut last = answer_the_door(&listener).await;
    rings(&bell).await;
    assert!(timeout(Duration::ZERO, bell.notified()).await.is_err(), "the giant frame counted as a head");
    last.send(Message::text(HEAD)).await.unwrap();
    rings(&bell).await;
    assert!(!task.is_finished());
    task.abort();
}

#[tokio::test]
async fn a_silent_line_is_a_dead_line() {
    let (listener, bell, task) = hung(Duration::from_millis(100)).await;
    let silent = answer_the_door(&listener).await;
    rings(&bell).await;
    let _second = answer_the_door(&listener).await;
    rings(&bell).await;
    drop(silent);
    task.abort();
}

/// Serves one connection with what `misbehaves` does, and waits until the bell has hung up and come back.
async fn hung_up_on(silence: Duration, misbehaves: impl AsyncFnOnce(WebSocketStream<TcpStream>)) {
    let (listener, bell, task) = hung(silence).await;
    let socket = answer_the_door(&listener).await;
    rings(&bell).await;
    let (mut again, ()) = tokio::join!(answer_the_door(&listener), misbehaves(socket));
    rings(&bell).await;
    assert!(timeout(Duration::ZERO, bell.notified()).await.is_err(), "it rang for what was no head");
    again.send(Message::text(HEAD)).await.unwrap();
    rings(&bell).await;
    task.abort();
}

#[tokio::test]
async fn endless_pings_are_no_sign_of_life() {
    hung_up_on(Duration::from_millis(200), async |mut socket| {
        while socket.send(Message::Ping("x".into())).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_talks_without_end_and_says_no_head_is_hung_up_on() {
    hung_up_on(
        PATIENCE,
        async |mut socket| {
            while socket.send(Message::text(r#"{"jsonrpc":"2.0","method":"hello"}"#)).await.is_ok() {}
        },
    )
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_line_and_no_more() {
    hung_up_on(PATIENCE, async |mut socket| {
        socket.get_mut().write_all(&[0xff; 64]).await.unwrap();
        drop(timeout(PATIENCE, socket.next()).await);
    })
    .await;
}

#[tokio::test]
async fn invented_heads_have_us_look_more_often_but_not_without_end() {
    let (listener, bell, task) = hung(PATIENCE).await;
    let mut socket = answer_the_door(&listener).await;
    rings(&bell).await;
    let start = std::time::Instant::now();
    for _ in 0..5_000 {
        socket.send(Message::text(HEAD)).await.unwrap();
    }
    let mut rung = 0_u32;
    while rung < 5 {
        rings(&bell).await;
        rung += 1;
    }
    // Between two rings there are 50 ms, and the first is at once.
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    task.abort();
}

#[tokio::test]
async fn what_the_bell_hears_is_seen_in_the_health_of_its_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = EndpointConfig::new("a", "http://127.0.0.1:1", Operator::new("a"));
    config.ws = Some(format!("ws://{}", listener.local_addr().unwrap()).into());
    let (pool, clock) = pool_by_hand(vec![config]);
    let endpoint = &pool.endpoints()[0];
    let health = || endpoint.health().doorbell.unwrap();
    assert_eq!(health(), DoorbellHealth { connected: false, heads: 0, silent_seconds: None });
    let bell = Arc::new(Notify::new());
    let task = tokio::spawn(endpoint.doorbell().unwrap().ring(Arc::clone(&bell)));
    let mut socket = answer_the_door(&listener).await;
    rings(&bell).await;
    assert!(health().connected);
    socket.send(Message::text(HEAD)).await.unwrap();
    rings(&bell).await;
    clock.advance(Duration::from_secs(7));
    assert_eq!(health(), DoorbellHealth { connected: true, heads: 1, silent_seconds: Some(7) });
    task.abort();
    drop(task.await);
    assert!(!health().connected, "nobody listens any more");
}
