//! When faults strike, and that everything else passes unharmed.

use serde_json::{Value, json};

use super::{ask, faced, post, question, read};

/// What a face says to the same questions, in the same order.
async fn run(seed: u64, rules: &[&str]) -> Vec<String> {
    let (_node, face) = faced(20, seed, rules).await;
    let mut said = Vec::new();
    for _ in 0..3 {
        for height in 1..=20 {
            let asked = question("eth_getBlockReceipts", json!([format!("{height:#x}")]));
            said.push(format!("{:?}", post(&face.url(), &asked).await.map_err(|_| "broken")));
        }
    }
    said
}

#[tokio::test]
async fn without_rules_a_face_says_what_the_node_says() {
    let (node, face) = faced(5, 1, &[]).await;
    for (method, params) in [
        ("eth_chainId", json!([])),
        ("eth_getBlockByNumber", json!(["0x3", true])),
        ("eth_getLogs", json!([{ "fromBlock": "0x1", "toBlock": "0x5" }])),
        ("eth_noSuchThing", json!([])),
    ] {
        let (_, behind) = post(&node.url(), &question(method, params.clone())).await.unwrap();
        assert_eq!(ask(&face, method, params).await, serde_json::from_str::<Value>(&behind).unwrap(), "{method}");
    }
    let counts = face.counts();
    assert_eq!(counts.asked["eth_getLogs"], 1);
    assert!(counts.struck.is_empty(), "{counts:?}");
}

#[tokio::test]
async fn a_batch_is_answered_question_by_question_under_the_ids_it_was_asked_with() {
    let (node, face) = faced(5, 1, &["null:methods=eth_blockNumber"]).await;
    let mut batch = vec![question("eth_chainId", json!([])), question("eth_blockNumber", json!([]))];
    batch[1]["id"] = json!("b");
    let (status, body) = post(&face.url(), &json!(batch)).await.unwrap();
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(said[0]["result"], "0x7a69");
    assert_eq!(said[1], json!({ "jsonrpc": "2.0", "id": "b", "result": null }));
    assert_eq!(node.calls("eth_chainId"), 1, "asked behind as one batch");
    assert_eq!(face.counts().asked["batch"], 1);
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_questions_and_another_seed_others() {
    let rules = ["null:chance=300", "altered-receipts:every=2", "header-not-found:blocks=3,chance=500"];
    let first = run(7, &rules).await;
    assert_eq!(first, run(7, &rules).await);
    assert_ne!(first, run(8, &rules).await);
    let nulls = first.iter().filter(|said| said.contains("null,") || said.contains("\\\"result\\\":null")).count();
    assert!((5..40).contains(&nulls), "{nulls} of 60");
}

#[tokio::test]
async fn questions_of_many_at_once_meet_the_same_faults_as_one_after_the_other() {
    let rules = ["null:chance=400"];
    let (_node, face) = faced(20, 7, &rules).await;
    let asked = |height: u64| question("eth_getBlockReceipts", json!([format!("{height:#x}")]));
    let url = face.url();
    let at_once =
        futures_util::future::join_all((1..=20).rev().map(|height| post_at(&url, height, asked(height)))).await;
    let (_node, face) = faced(20, 7, &rules).await;
    let url = face.url();
    for height in 1..=20 {
        let one = post_at(&url, height, asked(height)).await;
        assert!(at_once.contains(&one), "block {height}");
    }
}

async fn post_at(url: &str, height: u64, asked: Value) -> (u64, bool) {
    let (_, body) = post(url, &asked).await.unwrap();
    (height, body.contains("\"result\":null"))
}

#[tokio::test]
async fn a_rule_strikes_by_call_by_block_and_by_schedule() {
    let (node, face) = faced(10, 1, &["null:methods=eth_getBlockByNumber,calls=..2"]).await;
    let block = |height: u64| json!([format!("{height:#x}"), false]);
    let mut nulls = Vec::new();
    for height in [3, 3, 3, 4, 4, 4] {
        nulls.push(ask(&face, "eth_getBlockByNumber", block(height)).await["result"].is_null());
    }
    assert_eq!(nulls, [true, true, false, true, true, false], "each question is counted by itself");

    face.set_rules(read(&["null:methods=eth_getBlockByNumber+eth_getBlockByHash,at=5..7+9"]));
    let mut nulls = Vec::new();
    for height in 4..=10 {
        nulls.push(ask(&face, "eth_getBlockByNumber", block(height)).await["result"].is_null());
    }
    assert_eq!(nulls, [false, true, true, false, false, true, false]);
    let six = node.history().blocks[&6].at.hash.to_string();
    assert!(ask(&face, "eth_getBlockByHash", json!([six, false])).await["result"].is_null(), "by hash as by number");

    face.set_rules(read(&["null:heads=11..13"]));
    let mut nulls = Vec::new();
    for _ in 10..=13 {
        nulls.push(ask(&face, "eth_chainId", json!([])).await["result"].is_null());
        node.history().pass(1);
    }
    assert_eq!(nulls, [false, true, true, false]);
}

#[tokio::test]
async fn a_spell_holds_for_as_many_blocks_as_it_is_long() {
    let (node, face) = faced(0, 3, &["null:methods=eth_chainId,chance=500,spell=8"]).await;
    let mut spells = Vec::new();
    for _ in 0..16 {
        let mut struck = Vec::new();
        for _ in 0..8 {
            struck.push(ask(&face, "eth_chainId", json!([])).await["result"].is_null());
            node.history().pass(1);
        }
        assert!(struck.iter().all(|one| *one == struck[0]), "a spell does not change: {struck:?}");
        spells.push(struck[0]);
    }
    assert!(spells.contains(&true) && spells.contains(&false), "{spells:?}");
}

#[tokio::test]
async fn rules_apply_one_after_the_other_and_are_counted_where_they_changed_something() {
    let (_node, face) = faced(6, 1, &["lagging:blocks=2", "ahead:blocks=1", "null:calls=5.."]).await;
    assert_eq!(ask(&face, "eth_blockNumber", json!([])).await["result"], "0x5");
    assert_eq!(ask(&face, "eth_chainId", json!([])).await["result"], "0x7a69");
    let struck = face.counts().struck;
    assert_eq!((struck.get("lagging"), struck.get("ahead"), struck.get("null")), (Some(&1), Some(&1), None));
}

#[tokio::test]
async fn what_is_no_question_is_passed_on_by_its_path_to_the_same_host_only() {
    let (_node, face) = faced(1, 1, &["status:methods=GET,status=418,body=teapot"]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let said = client.get(format!("{}/wallet/getnowblock?visible=true", face.url())).send().await.unwrap();
    assert_eq!(said.status(), 418);
    assert_eq!(said.text().await.unwrap(), "teapot");
    assert_eq!(face.counts().asked["GET"], 1);
    face.set_rules(Vec::new());
    let said = client.delete(face.url()).send().await.unwrap();
    assert_eq!(said.status(), 405);
    // A path that is a URL of its own must not make an open relay.
    let mut socket = tokio::net::TcpStream::connect(face.url().trim_start_matches("http://")).await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    socket.write_all(b"GET http://example.org/ HTTP/1.1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
}

#[tokio::test]
async fn a_node_behind_that_is_gone_is_a_bad_gateway_and_its_address_is_not_told() {
    let face = amn_scanner::torture::Face::before("http://user:sekret@127.0.0.1:9/v2/sekret", None, 1).unwrap();
    assert!(!format!("{face:?}").contains("sekret"));
    let face = face.open().await.unwrap();
    let (status, body) = post(&face.url(), &question("eth_chainId", json!([]))).await.unwrap();
    assert_eq!(status, 502);
    assert!(body.starts_with("the node behind: ") && !body.contains("sekret"), "{body}");
}
