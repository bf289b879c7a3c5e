//! The bell rings for heads and connections, and outlives everything that the line does.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use amn_rpc::{Doorbell, Secret, install_crypto};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

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
