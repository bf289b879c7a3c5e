//! Two operators, two chains: an alarm, a table that shows who said what, and nothing that settles or is reversed.

use alloy_primitives::Address;
use amn_evm::testkit::{Call, History, Node};
use amn_scanner::daemon::nodes::Nodes;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auditor::scene::strict;
use crate::bad_input::answers::{CHAIN, TOKEN};
use crate::support::evm_scene::EvmScene;

fn pays(node: &Node, to: Address) {
    node.history().extend(&[Call::token(TOKEN, to, 25)]);
}

/// What `networks` shows of each operator: its word, and the hash it gave.
fn words(nodes: &Nodes, scene: &EvmScene) -> Vec<(String, Value)> {
    let report = nodes.report(&scene.network.facts.id).unwrap();
    let words = report["operators"].as_array().unwrap().iter();
    words.map(|word| (word["operator"].as_str().unwrap().to_owned(), word["said"]["agrees"].clone())).collect()
}

#[tokio::test]
async fn operators_that_contradict_each_other_settle_nothing_reverse_nothing_and_are_shown() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (rendered, _measured) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let both = Address::repeat_byte(0x01);
    let (on_a, on_b) = (Address::repeat_byte(0x0a), Address::repeat_byte(0x0b));
    let mut history = History::new(CHAIN);
    history.pass(3);
    let (a, b) = (Node::serve(history.clone()).await.unwrap(), Node::serve(history).await.unwrap());
    let mut scene = EvmScene::on(strict(), None, &[&a, &b]).await;
    let nodes = Nodes::new(Uuid::from_u128(7), scene.db.pool.clone(), scene.clock.clone(), [scene.pool.clone()]);
    let operators = |word: &str| {
        nodes.measure();
        let sample = format!("amn_rpc_operators{{network=\"devnet\",state=\"{word}\"}} ");
        rendered.render().lines().find_map(|line| line.strip_prefix(&sample).map(str::to_owned)).unwrap()
    };
    let settled = scene.intent("TST", both, 25).await;
    let (first, second) = (scene.intent("TST", on_a, 25).await, scene.intent("TST", on_b, 25).await);
    pays(&a, both);
    pays(&b, both);
    scene.grow(&[&a, &b], 3).await;
    assert_eq!(scene.status(settled).await, "confirmed");
    assert_eq!(words(&nodes, &scene), [("a".to_owned(), json!(true)), ("b".to_owned(), json!(true))]);
    assert_eq!((operators("agree"), operators("contradict")), ("2".to_owned(), "0".to_owned()));

    // From here on each has a chain of its own, with a payment that the other does not know.
    b.history().branch += 1;
    pays(&a, on_a);
    pays(&b, on_b);
    for _ in 0..12 {
        scene.grow(&[&a, &b], 1).await;
    }
    assert!(scene.log.says(&["operators_disagree"]), "{}", scene.log.text());
    assert!(rendered.render().contains("amn_alarms_total{network=\"devnet\",kind=\"operators_disagree\"}"));
    assert_eq!(scene.settled().await, 1, "only what both have");
    assert_eq!(scene.events(settled).await, ["payment.detected", "payment.confirmed"], "nothing is reversed");
    for intent in [first, second] {
        assert!(!["confirmed", "reversed"].contains(&scene.status(intent).await.as_str()));
    }
    assert_eq!(scene.distrusted(), [None, None], "nobody can tell who is right");
    assert_eq!(scene.count("select count(*) from amn.network where halt_reason is not null").await, 0);
    let shown = words(&nodes, &scene);
    let against: Vec<&(String, Value)> = shown.iter().filter(|(_, agrees)| *agrees == json!(false)).collect();
    assert_eq!(against.len(), 1, "one of them is on our branch: {shown:?}");
    assert_eq!((operators("agree"), operators("contradict")), ("1".to_owned(), "1".to_owned()));
    let report = nodes.report(&scene.network.facts.id).unwrap();
    let said = report["operators"].as_array().unwrap().iter().find(|word| word["operator"] == against[0].0.as_str());
    let said = &said.unwrap()["said"];
    assert_ne!(said["hash"], said["ours"], "both blocks are named: {said}");

    // One of them comes round: then it settles, and the table agrees.
    let right = a.history().clone();
    *b.history() = right;
    for _ in 0..8 {
        scene.grow(&[&a, &b], 1).await;
    }
    assert_eq!(scene.status(first).await, "confirmed");
    assert_eq!(words(&nodes, &scene), [("a".to_owned(), json!(true)), ("b".to_owned(), json!(true))]);
    assert_eq!(scene.events(settled).await, ["payment.detected", "payment.confirmed"]);
    assert_ne!(scene.status(second).await, "confirmed");
}
