//! Every way to fail, seen by a client.

use std::time::{Duration, Instant};

use amn_core::block::{NetworkId, Operator};
use amn_evm::testkit::{Reply as NodeReply, Script};
use amn_rpc::{Endpoint, EndpointConfig, Pool, RpcError};
use amn_scanner::torture::{OpenFace, Question, faults};
use serde_json::{Value, json};

use super::{ask, faced, post, question, read};

/// Endpoints that lead to one face, as many as there are cases: each is asked once, so that none is remembered badly.
fn pool(face: &OpenFace, endpoints: usize) -> Pool {
    let endpoint = |place: usize| {
        let mut endpoint = EndpointConfig::new(place.to_string(), face.url(), Operator::new("a"));
        endpoint.timeout = Duration::from_millis(400);
        endpoint.body_max = 1 << 20;
        endpoint
    };
    Pool::new(NetworkId::new("devnet"), (0..endpoints).map(endpoint).collect()).unwrap()
}

/// What our own client makes of an answer: one word for what it must do next.
async fn understood(endpoint: &Endpoint, method: &'static str, params: &Value) -> &'static str {
    match endpoint.call(method, params).await {
        Ok(_) => "answer",
        Err(RpcError::TryOther { timed_out: true, .. }) => "too late",
        Err(RpcError::TryOther { .. }) => "other",
        Err(RpcError::CoolDown { .. }) => "cool down",
        Err(RpcError::Split { .. }) => "split",
        Err(RpcError::NotYet(_)) => "not yet",
        Err(RpcError::Pruned(_)) => "pruned",
        Err(RpcError::Unsupported(_)) => "unsupported",
        Err(RpcError::Credentials(_)) => "credentials",
        Err(RpcError::Rejected { .. }) => "rejected",
        Err(RpcError::Malformed(_)) => "malformed",
    }
}

#[tokio::test]
async fn a_broken_line_is_seen_for_what_it_is() {
    let cases = [
        ("drop", "other"),
        ("hang", "too late"),
        ("delay:ms=5000", "too late"),
        ("delay:ms=5", "answer"),
        ("drip:ms=200", "too late"),
        ("truncate:bytes=10", "other"),
        ("duplicate", "malformed"),
        ("garbage", "malformed"),
        ("html", "malformed"),
        ("html:status=502", "other"),
        ("empty-body", "malformed"),
        ("status:status=503", "other"),
        ("redirect", "other"),
        ("flood:bytes=3000000", "malformed"),
        ("wrong-id", "malformed"),
        ("null", "answer"),
        ("rate-limit", "cool down"),
        ("rate-limit:retry_after=7", "cool down"),
        ("error-in-200", "other"),
    ];
    let (_node, face) = faced(8, 1, &[]).await;
    let pool = pool(&face, cases.len());
    for ((rule, expected), endpoint) in cases.into_iter().zip(pool.endpoints()) {
        face.set_rules(read(&[rule]));
        assert_eq!(understood(endpoint, "eth_chainId", &json!([])).await, expected, "{rule}");
    }
}

#[tokio::test]
async fn every_provider_s_refusal_is_understood_by_our_client() {
    let range = json!([{ "fromBlock": "0x1", "toBlock": "0x8" }]);
    let (_node, face) = faced(8, 1, &[]).await;
    let pool = pool(&face, faults::refusals().count());
    let mut wrong = Vec::new();
    for (refusal, endpoint) in faults::refusals().zip(pool.endpoints()) {
        let rule = format!("error:{}", refusal.name);
        face.set_rules(read(&[&rule]));
        let understood = understood(endpoint, "eth_getLogs", &range).await;
        if !refusal.calls_for.understood_as().contains(&understood) {
            wrong.push(format!("{rule} ({}): {understood}", refusal.message));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_lagging_node_knows_nothing_above_its_head() {
    let (node, face) = faced(10, 1, &["lagging:blocks=4"]).await;
    assert_eq!(ask(&face, "eth_blockNumber", json!([])).await["result"], "0x6");
    assert_eq!(ask(&face, "eth_getBlockByNumber", json!(["latest", false])).await["result"]["number"], "0x6");
    assert!(ask(&face, "eth_getBlockByNumber", json!(["0x7", false])).await["result"].is_null());
    assert_eq!(ask(&face, "eth_getBlockReceipts", json!(["0x6"])).await["result"].as_array().unwrap().len(), 2);
    let six = node.history().blocks[&6].at.hash.to_string();
    let seven = node.history().blocks[&7].at.hash.to_string();
    assert!(ask(&face, "eth_getBlockByHash", json!([seven, false])).await["result"].is_null());
    assert!(ask(&face, "eth_getBlockReceipts", json!([seven])).await["result"].is_null());
    assert_eq!(ask(&face, "eth_getBlockByHash", json!([six, false])).await["result"]["number"], "0x6");
    let logs = ask(&face, "eth_getLogs", json!([{ "fromBlock": "0x5", "toBlock": "0xa" }])).await;
    assert_eq!(logs["result"].as_array().unwrap().len(), 4, "blocks 5 and 6, and no word of the rest");

    face.set_rules(read(&["frozen"]));
    node.history().pass(3);
    assert_eq!(ask(&face, "eth_blockNumber", json!([])).await["result"], "0xd", "where it stood when first asked");
    node.history().pass(3);
    assert_eq!(ask(&face, "eth_blockNumber", json!([])).await["result"], "0xd");
}

#[tokio::test]
async fn the_failures_of_real_nodes_are_there_by_name() {
    let (node, face) = faced(10, 5, &[]).await;
    let hash = |height: u64| node.history().blocks[&height].at.hash.to_string();
    let range = json!([{ "fromBlock": "0x1", "toBlock": "0xa" }]);
    let heights = async |rule: &str| -> Vec<u64> {
        face.set_rules(read(&[rule]));
        let said = ask(&face, "eth_getLogs", range.clone()).await;
        let number = |log: &Value| u64::from_str_radix(&log["blockNumber"].as_str().unwrap()[2..], 16).unwrap();
        said["result"].as_array().unwrap().iter().map(number).collect()
    };
    // 1: a range that crosses a lagging head, 2: the head's logs empty at first, 3: omission under the same hash.
    assert_eq!(heights("partial-range:blocks=3").await.iter().max(), Some(&7));
    assert_eq!(heights("head-logs-empty").await.iter().max(), Some(&9));
    let omitted = heights("omitted-logs:share=300").await;
    assert!((5..20).contains(&omitted.len()), "{omitted:?}");
    assert_eq!(omitted, heights("omitted-logs:share=300").await, "the same every time");
    // 4: indices that do not agree, 5: another transaction's name.
    face.set_rules(read(&["shifted-log-indices:blocks=2"]));
    let said = ask(&face, "eth_getBlockReceipts", json!([hash(10)])).await;
    assert_eq!(said["result"][0]["logs"][0]["logIndex"], "0x1");
    assert_eq!(ask(&face, "eth_getBlockReceipts", json!([hash(7)])).await["result"][0]["logs"][0]["logIndex"], "0x0");
    face.set_rules(read(&["wrong-tx-hash"]));
    let said = ask(&face, "eth_getBlockReceipts", json!([hash(10)])).await;
    assert_ne!(said["result"][0]["logs"][0]["transactionHash"], said["result"][0]["transactionHash"]);
    // 6: receipts empty or short, 7: of another block, 8: null.
    let receipts = async |rule: &str| {
        face.set_rules(read(&[rule]));
        ask(&face, "eth_getBlockReceipts", json!([hash(6)])).await["result"].clone()
    };
    assert_eq!(receipts("empty-receipts").await, json!([]));
    assert_eq!(receipts("short-receipts").await.as_array().unwrap().len(), 1);
    assert_eq!(receipts("receipts-of-other-block").await[0]["blockNumber"], "0x5");
    let relabelled = receipts("receipts-of-other-block:relabelled=1").await;
    assert_eq!(
        (&relabelled[0]["blockNumber"], &relabelled[0]["logs"][0]["blockHash"]),
        (&json!("0x6"), &json!(hash(6)))
    );
    assert_eq!(relabelled[0]["logs"][0]["data"].as_str().unwrap().chars().last(), Some('5'), "the money is of block 5");
    assert_eq!(receipts("null-receipts").await, Value::Null);
    assert_eq!(receipts("nulls-between").await.as_array().unwrap().iter().filter(|one| one.is_null()).count(), 1);
    assert_ne!(receipts("altered-receipts").await, receipts("null-receipts:chance=0").await);
    face.set_rules(read(&["null-at-head"]));
    assert!(ask(&face, "eth_getBlockByNumber", json!(["0xa", false])).await["result"].is_null());
    assert_eq!(ask(&face, "eth_getBlockByNumber", json!(["latest", false])).await["result"]["number"], "0xa");
    assert_eq!(ask(&face, "eth_getBlockByNumber", json!(["0x9", false])).await["result"]["number"], "0x9");
    // 9: what is not found, by each of its names.
    for (rule, params, words) in [
        ("header-not-found", json!(["0xa", false]), "header not found"),
        ("unknown-block", json!(["0xa", false]), "unknown block"),
        ("finalized-not-found", json!(["finalized", false]), "finalized block not found"),
        ("safe-not-found", json!(["safe", false]), "safe block not found"),
        ("no-tag", json!(["safe", false]), "is not a supported commitment level"),
    ] {
        face.set_rules(read(&[rule]));
        let said = ask(&face, "eth_getBlockByNumber", params).await;
        assert!(said["error"]["message"].as_str().unwrap().contains(words), "{said}");
    }
    // 11: the head goes back behind one URL.
    face.set_rules(read(&["head-goes-back:blocks=3"]));
    let mut heads = Vec::new();
    for _ in 0..20 {
        heads.push(ask(&face, "eth_blockNumber", json!([])).await["result"].as_str().unwrap().to_owned());
    }
    assert!(heads.windows(2).any(|pair| pair[1] < pair[0]), "{heads:?}");
    // 12: status and body that do not belong together.
    face.set_rules(read(&["error:json-in-402"]));
    let (status, body) = post(&face.url(), &question("eth_chainId", json!([]))).await.unwrap();
    assert!(status == 402 && body.contains("/billing"), "{body}");
}

#[tokio::test]
async fn lists_and_headers_are_altered_where_their_hashes_tell() {
    let (_node, face) = faced(4, 1, &["altered-header"]).await;
    let lie = ask(&face, "eth_getBlockByNumber", json!(["0x3", false])).await["result"].clone();
    face.set_rules(Vec::new());
    let truth = ask(&face, "eth_getBlockByNumber", json!(["0x3", false])).await["result"].clone();
    assert_eq!(lie["hash"], truth["hash"]);
    assert_ne!(lie["gasUsed"], truth["gasUsed"]);
    let range = json!([{ "fromBlock": "0x1", "toBlock": "0x4" }]);
    for (rule, length) in [("repeated-logs", 9), ("reversed-logs", 8), ("empty", 0)] {
        face.set_rules(read(&[rule]));
        let said = ask(&face, "eth_getLogs", range.clone()).await;
        assert_eq!(said["result"].as_array().unwrap().len(), length, "{rule}");
    }
    face.set_rules(read(&["other-chain:id=5"]));
    assert_eq!(ask(&face, "eth_chainId", json!([])).await["result"], "0x5");
    face.set_rules(read(&["range-limit:blocks=2"]));
    assert_eq!(ask(&face, "eth_getLogs", range).await["error"]["code"], -32600);
    let narrow = json!([{ "fromBlock": "0x1", "toBlock": "0x2" }]);
    assert!(ask(&face, "eth_getLogs", narrow).await["result"].is_array());
}

#[tokio::test]
async fn batches_are_refused_shortened_and_reordered() {
    let (_node, face) = faced(4, 1, &["no-batch"]).await;
    let batch: Vec<Value> = (1..=4)
        .map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_getBlockReceipts", "params": [format!("{id:#x}")] }))
        .collect();
    let ids = async |rule: &str| -> Vec<u64> {
        face.set_rules(read(&[rule]));
        let (_, body) = post(&face.url(), &json!(batch)).await.unwrap();
        let said: Value = serde_json::from_str(&body).unwrap();
        said.as_array().unwrap().iter().map(|reply| reply["id"].as_u64().unwrap()).collect()
    };
    let (_, refused) = post(&face.url(), &json!(batch)).await.unwrap();
    assert!(refused.contains("batch requests are not supported"), "{refused}");
    assert_eq!(ids("short-batch").await.len(), 3);
    let mut reordered = ids("reorder").await;
    assert_ne!(reordered, [1, 2, 3, 4]);
    reordered.sort_unstable();
    assert_eq!(reordered, [1, 2, 3, 4]);
    assert_eq!(ids("duplicate:chance=1000").await.len(), 8, "every reply of the batch came twice");
}

#[tokio::test]
async fn a_delay_is_as_long_as_it_says() {
    let (_node, face) = faced(1, 1, &["delay:ms=300"]).await;
    let asked = Instant::now();
    ask(&face, "eth_chainId", json!([])).await;
    assert!(asked.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn no_fault_stumbles_over_an_answer_of_another_shape() {
    const ODD: [&str; 7] =
        ["null", "7", "\"x\"", "[]", "{}", "[null,7,\"x\",[],{}]", "[{\"logs\":7},{\"logs\":[7]},{\"topics\":7}]"];
    let (node, face) = faced(3, 1, &[]).await;
    // Every question, also one that a fault asks by itself, gets the next of them.
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let script: Script = std::sync::Arc::new(move |_, _, _| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        NodeReply::Result(ODD[turn % ODD.len()].to_owned())
    });
    node.script(Some(script));
    let params = [json!([]), json!({}), json!([{}, 7]), json!(["0x2", true]), json!(["latest"])];
    for kind in faults::kinds() {
        face.set_rules(read(&[&format!("{}:methods=*+batch+push", kind.name)]));
        for (place, method) in
            ["eth_blockNumber", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs", "eth_call"]
                .iter()
                .enumerate()
        {
            for turn in 0..3 {
                let params = params[(place + turn) % params.len()].clone();
                // A panic would end the test.
                drop(face.answer(&Question { id: json!(1), method: (*method).to_owned(), params }).await);
            }
        }
    }
}
