//! What is recorded is played again as it came, and tells nothing that is ours alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use amn_rpc::tape::EXCHANGES;
use amn_rpc::{EndpointConfig, Player, Pool, PoolSettings, Recorder, Road, RpcError, tape};
use serde_json::{Value, json};

use crate::node::{Node, Says};

const KEY: &str = "sekret0123456789";

/// One endpoint named `a`, on this road.
fn pool(config: EndpointConfig, road: Road) -> Pool {
    let settings = PoolSettings { road, ..PoolSettings::default() };
    Pool::new_with(NetworkId::new("devnet"), vec![config], settings).unwrap()
}

fn recorder(folder: &Path, bytes_max: u64) -> Arc<Recorder> {
    Recorder::begin(folder, bytes_max, || 5).unwrap()
}

fn played(folder: &Path) -> (Pool, Arc<Player>) {
    let player = Arc::new(Player::open(folder).unwrap());
    let nowhere = EndpointConfig::new("a", "http://recorded.invalid", Operator::new("a"));
    (pool(nowhere, Road::Played(player.clone())), player)
}

fn tape(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(EXCHANGES)).unwrap()
}

/// How a call ended, without what differs between two runs of anything.
fn told(answer: Result<amn_rpc::Answer, RpcError>) -> String {
    match answer {
        Ok(answer) => String::from_utf8_lossy(answer.raw()).into_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn whatever_came_is_played_as_it_came() {
    let long = format!(r#"{{"id":$ID,"result":"{}"}}"#, "x".repeat(50_000));
    let answers = [
        Says::Http(200, "", r#"{"jsonrpc":"2.0","id":$ID,"result":{"b":1,"a":[1.50,"é\u0000\"\\"]}}"#.into()),
        Says::Http(200, "", "{\"id\":$ID,\n \"result\": null}\n".into()),
        Says::Http(200, "", long),
        Says::Http(200, "", "null".into()),
        Says::Http(200, "", String::new()),
        Says::Http(429, "Retry-After: 7\r\n", r#"{"id":null,"error":{"code":-32005,"message":"too many"}}"#.into()),
        Says::Http(502, "", "<html>".into()),
        Says::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xff\xfe\x00".to_vec()),
        Says::Breaks("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
        Says::Breaks(""),
        Says::Http(200, "content-encoding: gzip\r\n", "not gzip".into()),
        Says::Floods,
    ];
    for says in answers {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::that(says).await;
        let recorder = recorder(folder.path(), tape::TAPE_BYTES_MAX);
        let mut config = node.config("a");
        config.body_max = 100_000;
        let live = told(pool(config, Road::Recorded(recorder.clone())).endpoints()[0].call("eth_x", &json!([1])).await);
        recorder.finish().unwrap();
        let (again, player) = played(folder.path());
        // The bound is ours, and the tape tells that it was met.
        let replayed = told(again.endpoints()[0].call("eth_x", &json!([1])).await);
        let bound = |text: String| text.split(" bytes").next().unwrap_or_default().replace("41943040", "100000");
        assert_eq!(bound(replayed), bound(live), "{}", tape(folder.path()));
        assert!(player.ended() && player.altered().is_empty());
        assert!(!tape(folder.path()).contains(&"x".repeat(40_000)), "long bodies stand beside");
    }
}

#[tokio::test]
async fn each_question_gets_its_answers_in_their_order_then_the_last_again_and_a_strange_one_none() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::that_answers("1").await;
    let recorder = recorder(folder.path(), tape::TAPE_BYTES_MAX);
    let live = pool(node.config("a"), Road::Recorded(recorder.clone()));
    for result in ["1", "2"] {
        let says = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#);
        node.now_says(Says::Http(200, "", says));
        recorder.look();
        live.call("eth_blockNumber", &json!([])).await.unwrap();
    }
    node.now_says(Says::With(|body| {
        let calls = body.as_array().unwrap().iter().rev();
        let replies = calls.map(|call| json!({ "id": call["id"], "result": call["params"] }));
        Value::Array(replies.collect()).to_string()
    }));
    let calls = [("eth_x", json!(["b"])), ("eth_x", json!(["b"])), ("eth_y", json!(["a"]))];
    let batch = live.endpoints()[0].batch(&calls).await.unwrap();
    assert_eq!(recorder.finish().unwrap().exchanges, 3);

    let (again, player) = played(folder.path());
    assert_eq!(player.looks(), [5, 5]);
    let ask = async || again.call("eth_blockNumber", &json!([])).await.unwrap().1.parse::<u64>().unwrap();
    assert_eq!((ask().await, ask().await, ask().await), (1, 2, 2));
    let replayed = again.endpoints()[0].batch(&calls).await.unwrap();
    let texts = |answers: Vec<Result<amn_rpc::Answer, RpcError>>| answers.into_iter().map(told).collect::<Vec<_>>();
    assert_eq!(texts(replayed), texts(batch));
    let strange = again.call("eth_blockNumber", &json!(["other"])).await.unwrap_err();
    assert!(strange.to_string().contains("not on the tape"), "{strange}");
    let played = player.played();
    assert_eq!((played.asked, played.again, played.unasked, played.missing_in_all), (5, 1, 0, 1));
    let named = played.missing.keys().next().unwrap();
    assert_eq!(named, r#"a: {"method":"eth_blockNumber","params":["other"]}"#);
}

#[tokio::test]
async fn no_address_header_or_key_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let says =
        format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32000,"message":"{KEY} abcdefabcdefabcdef"}}}}"#);
    let node = Node::that(Says::Http(403, "", says)).await;
    let recorder = recorder(folder.path(), tape::TAPE_BYTES_MAX);
    let mut config = node.config("a");
    config.headers = vec![("authorization".to_owned(), "Bearer abcdefabcdefabcdef".into())];
    let live = pool(config, Road::Recorded(recorder.clone()));
    live.call("eth_x", &json!([])).await.unwrap_err();
    node.now_says(Says::Breaks(""));
    live.endpoints()[0].call("eth_y", &json!([])).await.unwrap_err();
    live.endpoints()[0].get("masterchainInfo", &["v3", "masterchainInfo"], &[("limit", "1")]).await.unwrap_err();
    recorder.finish().unwrap();
    let text = tape(folder.path());
    for secret in [KEY, "abcdefabcdefabcdef", "127.0.0.1", &node.port.to_string()] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.contains(r#""ask":{"GET":"/v3/masterchainInfo?limit=1"}"#), "{text}");
    // The path behind the address is the same whatever the address is.
    let (again, player) = played(folder.path());
    again.endpoints()[0].get("masterchainInfo", &["v3", "masterchainInfo"], &[("limit", "1")]).await.unwrap_err();
    assert_eq!(player.played().missing_in_all, 0, "{:?}", player.played());
}

#[tokio::test]
async fn a_question_that_nobody_waited_for_to_its_end_is_on_the_tape() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::that(Says::Drips).await;
    let recorder = recorder(folder.path(), tape::TAPE_BYTES_MAX);
    let live = pool(node.config("a"), Road::Recorded(recorder.clone()));
    let params = json!([]);
    let patience = tokio::time::timeout(Duration::from_millis(100), live.call("eth_x", &params));
    assert!(patience.await.is_err());
    recorder.finish().unwrap();
    assert!(tape(folder.path()).contains("\"fault\":\"abandoned\""));
    let (again, _) = played(folder.path());
    let patience = tokio::time::timeout(Duration::from_millis(100), again.call("eth_x", &params));
    assert!(patience.await.is_err(), "nobody waits for it this time either");
}

#[tokio::test]
async fn a_full_tape_ends_and_the_calls_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::that_answers("1").await;
    let recorder = recorder(folder.path(), 1_000);
    let live = pool(node.config("a"), Road::Recorded(recorder.clone()));
    for n in 0..50 {
        live.call("eth_x", &json!([n])).await.unwrap();
    }
    let recorded = recorder.finish().unwrap();
    assert!(recorded.cut && recorded.exchanges < 20, "{recorded:?}");
    assert!(tape(folder.path()).len() <= 1_000);
    let (_, player) = played(folder.path());
    assert!(player.ended() && player.altered().is_empty());
    assert_eq!(player.exchanges() as u64, recorded.exchanges);
}

#[tokio::test]
async fn a_changed_line_is_noticed_until_it_is_sealed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::that_answers("1").await;
    let recorder = recorder(folder.path(), tape::TAPE_BYTES_MAX);
    let live = pool(node.config("a"), Road::Recorded(recorder.clone()));
    for n in 0..3 {
        live.call("eth_x", &json!([n])).await.unwrap();
    }
    recorder.finish().unwrap();
    let path = folder.path().join(EXCHANGES);
    let whole = tape(folder.path());
    // Every byte, one after the other: noticed, or refused with its line.
    for at in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        if bytes[at] == b'\n' {
            continue;
        }
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        let line = 1 + whole[..at].matches('\n').count();
        std::fs::write(&path, bytes).unwrap();
        match Player::open(folder.path()) {
            Ok(player) => assert!(player.altered().contains(&line), "byte {at} of line {line}: {:?}", player.altered()),
            Err(error) => assert!(error.to_string().contains(&format!(":{line}: ")), "byte {at}: {error}"),
        }
    }
    std::fs::write(&path, whole.replacen("\"took\":", "\"took\":9", 1)).unwrap();
    assert_eq!(Player::open(folder.path()).unwrap().altered(), [2]);
    tape::reseal(folder.path()).unwrap();
    assert!(Player::open(folder.path()).unwrap().altered().is_empty());
}
