//! Each fault of a node does what its name says, as long as it is meant to, and nothing else.

use std::time::{Duration, Instant};

use amn_soroban::ledger::{Ledger, LedgerError};
use amn_soroban::testkit::{Dialect, Fault, History, Node, Reply, tamper};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{ask, post, refused};
use crate::node::*;
use crate::victim::Victim;

/// A node with five ledgers that does this wrong.
async fn with(fault: Fault) -> Node {
    let node = node(5).await;
    node.fault(fault);
    node
}

async fn latest(node: &Node) -> u64 {
    ask(node, "getHealth", &Value::Null).await["latestLedger"].as_u64().unwrap()
}

async fn page(node: &Node) -> Value {
    ask(node, "getLedgers", &from(1_001, 5)).await
}

fn bytes(one: &Value) -> Vec<u8> {
    STANDARD.decode(one["metadataXdr"].as_str().unwrap()).unwrap()
}

/// One question as it travels, and the answer as it arrives.
async fn raw(node: &Node, method: &str, params: Value) -> crate::http::Answer {
    post(node, json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string().as_bytes()).await
}

#[tokio::test]
async fn its_newest_ledger_is_behind_stalled_ahead_or_goes_backward() {
    let node = with(Fault::Behind(2)).await;
    assert_eq!((latest(&node).await, sequences(&page(&node).await)), (1_003, vec![1_001, 1_002, 1_003]));
    assert_eq!(refused(&node, "getLedgers", &from(1_004, 1)).await.0, -32_600);
    node.heal();
    node.fault(Fault::Stalled(1_004));
    node.history().pass(3);
    assert_eq!(latest(&node).await, 1_004);
    node.heal();
    node.fault(Fault::Ahead(2));
    assert_eq!(latest(&node).await, 1_010);
    assert_eq!(refused(&node, "getLedgers", &from(1_009, 1)).await.0, -32_600, "it does not have it");
    node.heal();
    node.fault(Fault::Backward(3));
    assert_eq!([latest(&node).await, latest(&node).await, latest(&node).await], [1_008, 1_005, 1_008]);
}

#[tokio::test]
async fn it_is_unhealthy_or_has_only_just_started() {
    let node = with(Fault::Unhealthy).await;
    let (code, message) = refused(&node, "getHealth", &Value::Null).await;
    assert!(code == -32_603 && message.contains("is too high (>30s)"), "{code} {message}");
    assert_eq!(sequences(&page(&node).await).len(), 5, "it still answers");
    node.fault(Fault::Starting);
    let (code, message) = refused(&node, "getLedgers", &from(1_001, 1)).await;
    assert!(code == -32_603 && message.contains("not initialized"), "{code} {message}");
}

#[tokio::test]
async fn it_forgets_or_says_so() {
    let node = with(Fault::Forgot(1_003)).await;
    assert_eq!(ask(&node, "getHealth", &Value::Null).await["oldestLedger"], 1_003);
    assert_eq!(refused(&node, "getLedgers", &from(1_002, 1)).await.0, -32_600);
    assert_eq!(sequences(&ask(&node, "getLedgers", &from(1_003, 1)).await), [1_003]);
    let liar = with(Fault::OldestSaid(1_004)).await;
    assert_eq!(ask(&liar, "getHealth", &Value::Null).await["oldestLedger"], 1_004);
    let page = page(&liar).await;
    assert_eq!((sequences(&page).len(), &page["oldestLedger"]), (5, &json!(1_004)), "it has them all the same");
}

#[tokio::test]
async fn every_dialect_says_in_its_own_way_that_a_ledger_is_out_of_range() {
    for (dialect, code) in [
        (Dialect::InvalidRequest, -32_600),
        (Dialect::InvalidParams, -32_602),
        (Dialect::NoMetadata, -32_602),
        (Dialect::Internal, -32_003),
    ] {
        let node = with(Fault::OutOfRange(dialect)).await;
        assert_eq!(refused(&node, "getLedgers", &from(1_006, 1)).await.0, code, "{dialect:?}");
        assert_eq!(sequences(&page(&node).await).len(), 5, "{dialect:?}");
    }
    let node = with(Fault::OutOfRange(Dialect::EmptyPage)).await;
    let empty = ask(&node, "getLedgers", &from(1_006, 1)).await;
    assert_eq!((&empty["ledgers"], &empty["cursor"]), (&json!([]), &json!("1005")));
}

#[tokio::test]
async fn its_pages_have_holes_are_short_or_empty() {
    let node = with(Fault::Missing(1_002)).await;
    assert_eq!(sequences(&page(&node).await), [1_001, 1_003, 1_004, 1_005]);
    let node = with(Fault::PagesOf(2)).await;
    let short = page(&node).await;
    assert_eq!((sequences(&short), &short["cursor"]), (vec![1_001, 1_002], &json!("1002")));
    let node = with(Fault::EmptyPages).await;
    let empty = page(&node).await;
    assert_eq!((sequences(&empty), &empty["latestLedger"]), (vec![], &json!(1_005)));
}

#[tokio::test]
async fn the_fields_beside_a_ledger_are_those_of_another() {
    let honest = page(&node(5).await).await;
    let honest = |place: usize, field: &str| honest["ledgers"][place][field].clone();
    for (fault, field, said) in [
        (Fault::HashOfOther(1_003), "hash", honest(1, "hash")),
        (Fault::SequenceOfOther(1_003), "sequence", json!(1_004)),
        (Fault::HeaderOfOther(1_003), "headerXdr", honest(1, "headerXdr")),
        (Fault::OtherTime(1_003), "ledgerCloseTime", Value::Null),
    ] {
        let page = page(&with(fault).await).await;
        for name in ["hash", "sequence", "headerXdr", "ledgerCloseTime", "metadataXdr"] {
            let (now, then) = (&page["ledgers"][2][name], &honest(2, name));
            assert_eq!(now == then, name != field, "{field}: {name}");
            assert!(name != field || said.is_null() || *now == said, "{field}");
            assert_eq!(page["ledgers"][1][name], honest(1, name));
        }
    }
    let stale = page(&with(Fault::Stale(1_003)).await).await;
    assert_eq!(stale["ledgers"][2], stale["ledgers"][1]);
}

#[tokio::test]
async fn another_ledger_stands_in_the_place_of_one_with_its_own_fields() {
    let mut other = History::new(PASSPHRASE, 30);
    other.chain.milliseconds += 1_000;
    other.pass(3);
    let put = other.ledgers[&1_003].bytes();
    let page = page(&with(Fault::Instead(1_003, put.clone().into())).await).await;
    assert_eq!(bytes(&page["ledgers"][2]), put);
    assert_eq!(page["ledgers"][2]["hash"], other.ledgers[&1_003].at.hash.to_string()[2..]);
}

#[tokio::test]
async fn a_tampered_ledger_is_served_as_the_liar_has_it() {
    let (victim, _) = Victim::invented(30);
    let mut history = History::new(PASSPHRASE, 30);
    history.push_bytes(&victim.bytes).unwrap();
    let node = Node::serve(history).await.unwrap();
    for one in tamper::ALL.iter() {
        node.heal();
        node.fault(Fault::Tampered(1_001, one));
        let page = ask(&node, "getLedgers", &from(1_001, 1)).await;
        let expected = one.apply(&victim.bytes, victim.network.network_id).unwrap();
        assert!(bytes(&page["ledgers"][0]) == expected, "{}", one.name);
    }
}

#[tokio::test]
async fn a_ledger_is_undecodable_no_base64_longer_than_memory_or_of_a_newer_protocol() {
    let node = with(Fault::Undecodable(1_002)).await;
    assert!(matches!(Ledger::decode(&bytes(&page(&node).await["ledgers"][1])), Err(LedgerError::Undecodable(_))));
    let node = with(Fault::NotBase64(1_002)).await;
    assert!(STANDARD.decode(page(&node).await["ledgers"][1]["metadataXdr"].as_str().unwrap()).is_err());
    let node = with(Fault::Endless(1_002)).await;
    assert!(matches!(Ledger::decode(&bytes(&page(&node).await["ledgers"][1])), Err(LedgerError::Undecodable(_))));
    let node = with(Fault::Newer(1_002)).await;
    let read = Ledger::decode(&bytes(&page(&node).await["ledgers"][1]));
    assert_eq!(read.unwrap_err(), LedgerError::Protocol { sequence: 1_002, protocol: 31 });
}

#[tokio::test]
async fn it_is_of_another_network_or_speaks_another_protocol() {
    let node = with(Fault::Passphrase("Another network".to_owned())).await;
    node.fault(Fault::Protocol(31));
    let network = ask(&node, "getNetwork", &Value::Null).await;
    assert_eq!(network, json!({ "passphrase": "Another network", "protocolVersion": 31 }));
    assert_eq!(ask(&node, "getVersionInfo", &Value::Null).await["protocolVersion"], 31);
}

#[tokio::test]
async fn it_has_no_time_for_whoever_asks() {
    let answer = raw(&with(Fault::TooManyRequests { retry_after: 3 }).await, "getHealth", json!({})).await;
    assert!(answer.status == 429 && answer.head.contains("retry-after: 3\r\n"), "{answer:?}");
    assert_eq!(raw(&with(Fault::Queue).await, "getHealth", json!({})).await.status, 503);
    assert_eq!(raw(&with(Fault::GatewayTimeout).await, "getHealth", json!({})).await.status, 504);
    let node = with(Fault::TimesOutAbove(2)).await;
    assert_eq!(raw(&node, "getLedgers", from(1_001, 3)).await.status, 504);
    assert_eq!(sequences(&ask(&node, "getLedgers", &from(1_001, 2)).await), [1_001, 1_002]);
    let (_, message) = refused(&with(Fault::MethodQueue).await, "getLedgers", &from(1_001, 1)).await;
    assert_eq!(message, "rpc queue for getLedgers surpassed queue limit of 1000 requests");
    let node = with(Fault::Error(-32_001, "request timed out")).await;
    assert_eq!(refused(&node, "getHealth", &Value::Null).await, (-32_001, "request timed out".to_owned()));
}

#[tokio::test]
async fn its_answers_end_in_the_middle_or_are_nothing_at_length() {
    let whole = raw(&node(5).await, "getLedgers", from(1_001, 5)).await.body;
    let cut = raw(&with(Fault::Truncated).await, "getLedgers", from(1_001, 5)).await;
    assert_eq!((cut.status, cut.body.as_slice()), (200, &whole[..whole.len() / 2]));
    assert!(cut.head.contains(&format!("content-length: {}\r\n", whole.len() / 2)), "it pretends to be whole");
    let ended = raw(&with(Fault::CutOff).await, "getLedgers", from(1_001, 5)).await;
    assert_eq!(ended.body, &whole[..whole.len() / 2]);
    assert!(ended.head.contains(&format!("content-length: {}\r\n", whole.len())), "more was announced");
    let padded = raw(&with(Fault::Padded(100_000)).await, "getHealth", json!({})).await;
    assert_eq!(padded.body, vec![b' '; 100_000]);
}

#[tokio::test]
async fn it_is_slow_or_silent() {
    let slow = Duration::from_millis(30);
    let (node, asked) = (with(Fault::Slow(slow)).await, Instant::now());
    assert_eq!(raw(&node, "getHealth", json!({})).await.status, 200);
    assert!(asked.elapsed() >= slow);
    let node = node_with_silent_health().await;
    let others = async {
        while node.calls("getHealth") == 0 {
            raw(&node, "getNetwork", json!({})).await;
        }
        // It has heard the question, and answers whatever is asked after it.
        raw(&node, "getNetwork", json!({})).await
    };
    tokio::select! {
        answer = raw(&node, "getHealth", json!({})) => panic!("it answered: {answer:?}"),
        other = others => assert_eq!(other.status, 200),
    }
}

async fn node_with_silent_health() -> Node {
    let node = node(5).await;
    node.fault_on("getHealth", Fault::Silent);
    node
}

#[tokio::test]
async fn a_fault_may_be_of_one_method_and_of_so_many_questions() {
    let node = node(5).await;
    node.fault_on("getHealth", Fault::Behind(1));
    assert_eq!((latest(&node).await, sequences(&page(&node).await).len()), (1_004, 5));
    node.heal();
    node.fault_times(2, Some("getLedgers"), Fault::EmptyPages);
    assert_eq!(latest(&node).await, 1_005);
    assert_eq!([page(&node).await, page(&node).await, page(&node).await].map(|page| sequences(&page).len()), [0, 0, 5]);
}

#[tokio::test]
async fn a_script_has_the_last_word() {
    let node = with(Fault::Behind(1)).await;
    node.script(Some(std::sync::Arc::new(|method, _, reply| match (method, &reply) {
        ("getHealth", Reply::Result(honest)) => Reply::Result(honest.replace("healthy", "sleepy")),
        _ => reply,
    })));
    let health = ask(&node, "getHealth", &Value::Null).await;
    assert_eq!((&health["status"], &health["latestLedger"]), (&json!("sleepy"), &json!(1_004)));
    node.script(None);
    assert_eq!(ask(&node, "getHealth", &Value::Null).await["status"], "healthy");
}
