//! The real block with one receipt's amount altered, one log removed, one log invented: by one node and by both.

use amn_evm::testkit::{Node, Script};
use serde_json::{Value, json};

use super::block::{CHILDREN, HEIGHT, Real};
use crate::support::evm_scene::{EvmScene, lying};

type Change = fn(&mut Value, usize, usize);

const CHANGES: [(&str, Change); 3] = [
    ("one receipt's amount altered", |receipts, at, place| {
        receipts[at]["logs"][place]["data"] = json!(format!("0x{:064x}", 1_000_000_000_000_u64));
    }),
    ("one log removed", |receipts, at, place| {
        receipts[at]["logs"].as_array_mut().unwrap().remove(place);
    }),
    ("one log invented", |receipts, at, place| {
        let logs = receipts[at]["logs"].as_array_mut().unwrap();
        let mut invented = logs[place].clone();
        // Its place is not said, so that only the root can tell.
        invented["logIndex"] = Value::Null;
        invented["data"] = json!(format!("0x{:064x}", 1_000_000_000_000_u64));
        logs.push(invented);
    }),
];

/// Changes the payment to the first of the ten recipients.
fn script(real: &Real, change: Change) -> Script {
    let (_, to, _) = real.paid[0];
    let word = json!(to.into_word().to_string());
    let pays = |receipt: &Value| {
        let logs = receipt["logs"].as_array().unwrap();
        logs.iter().position(|log| log["topics"].get(2) == Some(&word) && log["address"] == super::block::USDT)
    };
    let place = |(at, receipt): (usize, &Value)| Some((at, pays(receipt)?));
    let (at, place) = real.receipts.as_array().unwrap().iter().enumerate().find_map(place).unwrap();
    let block = real.block["hash"].clone();
    lying("eth_getBlockReceipts", move |params, receipts| {
        if params[0] == block {
            change(receipts, at, place);
        }
    })
}

async fn two_nodes(real: &Real) -> [Node; 2] {
    let mut history = real.history();
    history.pass(CHILDREN);
    history.finalized = Some(HEIGHT + 1);
    [Node::serve(history.clone()).await.unwrap(), Node::serve(history).await.unwrap()]
}

fn is_told(scene: &EvmScene, endpoint: &str) {
    assert!(
        scene.log.says(&["WARN", &format!("endpoint {endpoint} of ethereum is distrusted"), "receipts"]),
        "{}",
        scene.log.text()
    );
}

#[tokio::test]
async fn what_one_node_changed_credits_nothing_and_it_is_distrusted_with_the_reason_in_the_log() {
    let Some(real) = Real::load() else { return };
    for (what, change) in CHANGES {
        let nodes = two_nodes(&real).await;
        nodes[0].script(Some(script(&real, change)));
        let mut scene = real.scene(&nodes.each_ref()).await;
        let intents = real.intents(&scene).await;
        let last = scene.catch_up().await;
        assert_eq!(scene.settled().await, 0, "{what}: one operator is left, and two are asked for");
        for (intent, (_, _, amount)) in intents.iter().zip(&real.paid) {
            let bodies = scene.bodies(*intent).await;
            assert!(bodies.iter().all(|body| body["event"] == "payment.detected"), "{what}: {bodies:?}");
            let received = bodies.last().map(|body| body["intent"]["received"].clone());
            assert_eq!(
                received,
                Some(json!(amount.to_string())),
                "{what}: what is detected is the true amount; {last:?}"
            );
        }
        let reasons = scene.distrusted();
        assert!(matches!(reasons.as_slice(), [Some(_), None]), "{what}: {reasons:?}");
        is_told(&scene, "a");
    }
}

#[tokio::test]
async fn what_both_nodes_changed_is_not_even_detected_and_both_are_distrusted() {
    let Some(real) = Real::load() else { return };
    for (what, change) in CHANGES {
        let nodes = two_nodes(&real).await;
        for node in &nodes {
            node.script(Some(script(&real, change)));
        }
        let mut scene = real.scene(&nodes.each_ref()).await;
        real.intents(&scene).await;
        scene.catch_up().await;
        assert_eq!(scene.deposits().await, 0, "{what}");
        assert_eq!(scene.tip().await, i64::try_from(HEIGHT - 1).unwrap(), "{what}: the block is not covered");
        assert!(scene.distrusted().iter().all(Option::is_some), "{what}: {:?}", scene.distrusted());
        is_told(&scene, "a");
        is_told(&scene, "b");
    }
}

#[tokio::test]
async fn a_node_that_nobody_read_from_changes_nothing_by_its_lies() {
    let Some(real) = Real::load() else { return };
    let nodes = two_nodes(&real).await;
    nodes[1].script(Some(script(&real, CHANGES[0].1)));
    let mut scene = real.scene(&nodes.each_ref()).await;
    let intents = real.intents(&scene).await;
    scene.catch_up().await;
    for (intent, (_, _, amount)) in intents.iter().zip(&real.paid) {
        let bodies = scene.bodies(*intent).await;
        assert_eq!(bodies.last().unwrap()["event"], "payment.confirmed");
        assert_eq!(bodies.last().unwrap()["intent"]["settled"], amount.to_string());
    }
}
