//! Nodes that lie, stall, flood and spy.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use amn_rpc::{Answer, RpcError};
use serde_json::json;

use crate::listener::Listener;
use crate::node::{Node, Says, pool};

async fn ask(says: Says) -> Result<Answer, RpcError> {
    ask_for("eth_getBlockReceipts", says).await
}

async fn ask_for(method: &'static str, says: Says) -> Result<Answer, RpcError> {
    let node = Node::that(says).await;
    let mut config = node.config("a");
    config.body_max = 64 << 10;
    pool(vec![config]).endpoints()[0].call(method, &json!([])).await
}

fn long_result() -> String {
    format!(r#"{{"id":$ID,"result":"{}"}}"#, "x".repeat(100 << 10))
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_by_its_announced_length() {
    let raw = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n{".to_vec();
    let start = Instant::now();
    assert!(matches!(ask(Says::Raw(raw)).await, Err(RpcError::Malformed(_))));
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for the body");
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_while_it_comes() {
    let node = Node::that(Says::Floods).await;
    let mut config = node.config("a");
    config.body_max = 1 << 20;
    let start = Instant::now();
    let refused = pool(vec![config]).endpoints()[0].call("eth_chainId", &json!([])).await;
    assert!(matches!(refused, Err(RpcError::Malformed(_))), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "the time-out ended it, not the cap");
    // What the socket buffers of both sides hold beside what was read.
    assert!(node.flooded.load(Ordering::SeqCst) < 32 << 20);
}

#[tokio::test]
async fn a_page_of_logs_over_the_cap_asks_for_a_smaller_page() {
    let says = || Says::Http(200, "", long_result());
    assert_eq!(ask_for("eth_getLogs", says()).await.unwrap_err(), RpcError::Split { hint: None });
    assert!(matches!(ask_for("eth_getBlockReceipts", says()).await, Err(RpcError::Malformed(_))));
}

/// A gzip member of `size` spaces, stored in deflate blocks of a run: built by hand, so that no packer is needed.
fn gzip_of_spaces(runs: usize) -> Vec<u8> {
    // Fixed Huffman block: literal ' ', then matches of length 258 at distance 1.
    struct Bits(Vec<u8>, u32);
    impl Bits {
        fn put(&mut self, bit: u32) {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= u8::try_from(bit << (self.1 % 8)).unwrap();
            self.1 += 1;
        }
        fn code(&mut self, value: u32, bits: u32) {
            (0..bits).rev().for_each(|n| self.put(value >> n & 1));
        }
    }
    let mut deflate = Bits(Vec::new(), 0);
    for bit in [1, 1, 0] {
        deflate.put(bit);
    }
    deflate.code(0x30 + u32::from(b' '), 8);
    for _ in 0..runs {
        deflate.code(0b1100_0101, 8);
        deflate.code(0, 5);
    }
    deflate.code(0, 7);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(deflate.0);
    // Checksum and length stay wrong: nobody may read as far as that.
    gzip.extend([0; 8]);
    gzip
}

#[tokio::test]
async fn the_cap_counts_inflated_bytes() {
    let gzip = gzip_of_spaces(4_000);
    assert!(gzip.len() < 10_000, "the bomb is larger than the cap: {}", gzip.len());
    let mut raw = Vec::new();
    write!(raw, "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", gzip.len()).unwrap();
    raw.extend(gzip);
    let Err(RpcError::Malformed(why)) = ask(Says::Raw(raw)).await else { panic!("not refused") };
    assert!(why.contains("over 65536 bytes"), "{why}");
}

#[tokio::test]
async fn bytes_that_are_not_gzip_are_malformed() {
    let raw = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 20\r\n\r\nthis is plainly text".to_vec();
    assert!(matches!(ask(Says::Raw(raw)).await, Err(RpcError::Malformed(_))));
}

#[tokio::test]
async fn a_dripping_body_is_cut_by_the_time_out() {
    let node = Node::that(Says::Drips).await;
    let mut config = node.config("a");
    config.timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = pool(vec![config]).endpoints()[0].call("eth_chainId", &json!([])).await.unwrap_err();
    assert!(error.timed_out(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Node::that_answers(r#""0x1""#).await;
    let location: &'static str =
        Box::leak(format!("location: http://127.0.0.1:{}/\r\n", elsewhere.port).into_boxed_str());
    for status in [301, 302, 307, 308] {
        assert!(matches!(ask(Says::Http(status, location, String::new())).await, Err(RpcError::TryOther { .. })));
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_reply_to_another_question_is_malformed() {
    let replies =
        [r#"{"id":4711,"result":"0x1"}"#, r#"{"result":"0x1"}"#, r#"{"id":"$ID","result":"0x1"}"#, r#"{"id":$ID}"#];
    for body in replies {
        assert!(matches!(ask(Says::Http(200, "", body.into())).await, Err(RpcError::Malformed(_))), "{body}");
    }
}

#[tokio::test]
async fn a_truncated_reply_is_malformed_and_a_broken_connection_is_another_nodes_turn() {
    let cut = Says::Http(200, "", r#"{"id":$ID,"result":[{"address":"0x1"#.into());
    assert!(matches!(ask(cut).await, Err(RpcError::Malformed(_))));
    for broken in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"id\":1",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000\r\n\r\n",
        "SSH-2.0-nothing\r\n",
    ] {
        let error = ask(Says::Breaks(broken)).await.unwrap_err();
        assert!(matches!(error, RpcError::TryOther { timed_out: false, .. }), "{broken:?}: {error}");
    }
}

#[tokio::test]
async fn the_error_of_a_refused_connection_does_not_show_where_it_went() {
    let node = Node::that_answers("1").await;
    let gone = node.config("a");
    drop(node);
    tokio::task::yield_now().await;
    let error = pool(vec![gone]).endpoints()[0].call("eth_chainId", &json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::TryOther { .. }), "{error}");
    assert!(!error.to_string().contains("sekret") && !error.to_string().contains("/v2"), "{error}");
}

#[tokio::test]
async fn an_error_body_weighs_the_same_under_any_status() {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32005,"message":"query returned more than 10000 results. Try with this block range [0x1, 0x2]."}}"#;
    for status in [200, 400, 402, 413, 429, 500] {
        let error = ask_for("eth_getLogs", Says::Http(status, "", body.into())).await.unwrap_err();
        assert_eq!(error, RpcError::Split { hint: Some((1, 2)) }, "{status}");
    }
    let gone = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"header not found"}}"#;
    assert!(matches!(ask(Says::Http(400, "", gone.into())).await, Err(RpcError::NotYet(_))));
    let bill = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}"#;
    assert!(matches!(ask(Says::Http(402, "", bill.into())).await, Err(RpcError::CoolDown { .. })));
}

#[tokio::test]
async fn a_key_is_never_shown() {
    const KEY: &str = "sekret0123456789";
    let log = Listener::default();
    let _listening = tracing::subscriber::set_default(log.clone());
    let echo = format!(r#"{{"id":$ID,"error":{{"code":-32000,"message":"invalid project id {KEY}"}}}}"#);
    let node = Node::that(Says::Http(401, "", echo)).await;
    let mut config = node.config("a");
    config.ws = Some(format!("ws://127.0.0.1:{}/{KEY}", node.port).into());
    config.headers = vec![("authorization".into(), format!("Bearer {KEY}").into())];
    let config_shown = format!("{config:?}");
    let pool = pool(vec![config]);
    let endpoint = &pool.endpoints()[0];
    let error = endpoint.call("eth_chainId", &json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Credentials(_)), "{error:?}");
    endpoint.distrust(format!("said {KEY}"));
    let shown = format!("{error} {error:?} {pool:?} {endpoint:?} {:?} {:?}", endpoint.health(), endpoint.doorbell());
    let bell = endpoint.doorbell().unwrap().with_backoff(Duration::from_millis(1), Duration::from_millis(1));
    let told = async {
        while !log.heard.lock().unwrap().contains("doorbell of a") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = bell.ring(std::sync::Arc::default()) => {}
        told = tokio::time::timeout(Duration::from_secs(10), told) => told.expect("the bell never told of its loss"),
    }
    let logged = log.heard.lock().unwrap().clone();
    assert!(logged.contains("is distrusted"), "{logged}");
    let seen = [config_shown, shown, logged, serde_json::to_string(&endpoint.health()).unwrap()].join("\n");
    assert!(!seen.contains(KEY), "{seen}");
    assert_eq!(endpoint.shown_url(), "http://127.0.0.1");
    // The node itself does get it.
    assert!(node.heard.lock().unwrap().contains(&format!("authorization: Bearer {KEY}")));
}
