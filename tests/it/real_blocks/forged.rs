//! A self-consistent forged child of the real tip: a header chain that proves itself, with an invented payment.

use alloy_primitives::Address;
use amn_core::id::IntentId;
use amn_evm::testkit::{Call, Node};

use super::block::{HEIGHT, Real, USDT};
use crate::support::evm_scene::EvmScene;

const SHOP: Address = Address::repeat_byte(0x22);
const INVENTED: u128 = 1_000_000;

/// A node on the real block and one child of it that pays the shop, and one on its true children.
async fn liar_and_honest(real: &Real) -> (Node, Node) {
    let (mut forged, mut honest) = (real.history(), real.history());
    forged.branch = 1;
    forged.extend(&[Call::token(USDT.parse().unwrap(), SHOP, INVENTED)]);
    honest.pass(1);
    (Node::serve(forged).await.unwrap(), Node::serve(honest).await.unwrap())
}

/// Intents for the ten real payments, and one for the invented one.
async fn intents(real: &Real, scene: &EvmScene) -> (Vec<IntentId>, IntentId) {
    (real.intents(scene).await, scene.intent("USDT", SHOP, INVENTED).await)
}

fn insists(reason: &str) {
    assert!(reason.contains(&format!("insists on block {}", HEIGHT + 1)), "{reason}");
}

#[tokio::test]
async fn a_forged_child_of_the_node_read_first_is_undone_its_giver_distrusted_and_nothing_invented_credited() {
    let Some(real) = Real::load() else { return };
    let (liar, honest) = liar_and_honest(&real).await;
    let mut scene = real.scene(&[&liar, &honest]).await;
    let (true_ones, invented) = intents(&real, &scene).await;
    scene.catch_up().await;
    assert_eq!(scene.events(invented).await, ["payment.detected"], "it proves itself, and is one operator's word");
    assert!(scene.log.says(&["operators_disagree", "b has"]), "{}", scene.log.text());
    scene.grow(&[&honest], 4).await;
    assert_eq!(scene.events(invented).await, ["payment.detected", "payment.retracted"]);
    assert_eq!(scene.status(invented).await, "awaiting");
    assert_eq!(scene.tip().await, i64::try_from(HEIGHT + 5).unwrap(), "we follow the branch that goes on");
    let reasons = scene.distrusted();
    let [Some(reason), None] = reasons.as_slice() else { panic!("{reasons:?}") };
    insists(reason);
    assert!(scene.log.says(&["WARN", "endpoint a of ethereum is distrusted", "insists on block"]));
    honest.history().pass(130);
    scene.catch_up().await;
    // The real block itself is in both chains; above it only one operator is left, and two are asked for.
    let above = "select count(*) from amn.deposit where status = 'settled' and block_height > 21925176";
    assert_eq!(scene.count(above).await, 0);
    assert_eq!(scene.events(invented).await.len(), 2);
    for (intent, (_, _, amount)) in true_ones.iter().zip(&real.paid) {
        assert_eq!(scene.bodies(*intent).await.last().unwrap()["intent"]["received"], amount.to_string());
    }
    assert_eq!(scene.tip().await, i64::try_from(HEIGHT + 135).unwrap());
}

#[tokio::test]
async fn a_forged_child_of_the_node_read_second_is_never_seen_and_its_giver_distrusted() {
    let Some(real) = Real::load() else { return };
    let (liar, honest) = liar_and_honest(&real).await;
    let mut scene = real.scene(&[&honest, &liar]).await;
    let (_, invented) = intents(&real, &scene).await;
    scene.catch_up().await;
    assert!(scene.log.says(&["operators_disagree", "b has"]), "{}", scene.log.text());
    scene.grow(&[&honest], 4).await;
    assert_eq!(scene.events(invented).await, Vec::<String>::new());
    let reasons = scene.distrusted();
    let [None, Some(reason)] = reasons.as_slice() else { panic!("{reasons:?}") };
    insists(reason);
    assert!(scene.log.says(&["WARN", "endpoint b of ethereum is distrusted", "insists on block"]));
    assert_eq!(scene.tip().await, i64::try_from(HEIGHT + 5).unwrap());
    assert_eq!(scene.settled().await, 0);
}

#[tokio::test]
async fn two_honest_operators_outweigh_a_liar_whose_branch_is_longer_and_grows_and_true_money_is_credited() {
    let Some(real) = Real::load() else { return };
    for place in 0..3 {
        let (liar, honest) = liar_and_honest(&real).await;
        liar.history().pass(20);
        let other = Node::share(honest.history.clone()).await.unwrap();
        let mut nodes = vec![&honest, &other];
        nodes.insert(place, &liar);
        let mut scene = real.scene(&nodes).await;
        let (true_ones, invented) = intents(&real, &scene).await;
        scene.catch_up().await;
        // The shared history grows once for both.
        scene.grow(&[&liar, &honest], 4).await;
        let reasons = scene.distrusted();
        let reason = reasons[place].as_deref().unwrap_or_default();
        assert!(reason.contains("insists on block") && reason.contains("2 operators have"), "{reason}");
        assert_eq!(reasons.iter().flatten().count(), 1, "{reasons:?}");
        let events = scene.events(invented).await;
        assert!(
            events.is_empty() || events == ["payment.detected", "payment.retracted"],
            "liar at {place}: {events:?}"
        );
        honest.history().pass(130);
        honest.history().finalized = Some(HEIGHT + 5);
        scene.catch_up().await;
        for intent in true_ones {
            assert_eq!(scene.status(intent).await, "confirmed", "liar at {place}");
        }
        assert_eq!(scene.status(invented).await, "awaiting");
        assert_eq!(scene.tip().await, i64::try_from(HEIGHT + 135).unwrap());
    }
}

#[tokio::test]
async fn where_two_operators_go_on_with_a_branch_each_nobody_is_believed_and_it_is_said() {
    let Some(real) = Real::load() else { return };
    for swapped in [false, true] {
        let (liar, honest) = liar_and_honest(&real).await;
        let nodes = if swapped { [&honest, &liar] } else { [&liar, &honest] };
        let mut scene = real.scene(&nodes).await;
        let (_, invented) = intents(&real, &scene).await;
        scene.catch_up().await;
        for _ in 0..8 {
            scene.grow(&[&liar, &honest], 1).await;
        }
        liar.history().pass(130);
        honest.history().pass(130);
        scene.catch_up().await;
        assert_eq!(scene.distrusted(), [None, None], "nobody can tell who is right");
        // Only what both have in common has two operators.
        assert_ne!(scene.status(invented).await, "confirmed");
        let above = "select count(*) from amn.deposit where status = 'settled' and block_height > 21925176";
        assert_eq!(scene.count(above).await, 0);
        assert!(scene.log.says(&["operators_disagree"]), "{}", scene.log.text());
    }
}

#[tokio::test]
async fn a_liar_who_calls_its_forged_child_final_does_not_halt_the_network() {
    let Some(real) = Real::load() else { return };
    let (liar, honest) = liar_and_honest(&real).await;
    liar.history().finalized = Some(HEIGHT + 1);
    liar.history().safe = Some(HEIGHT + 1);
    let mut scene = real.scene(&[&liar, &honest]).await;
    let (_, invented) = intents(&real, &scene).await;
    scene.catch_up().await;
    scene.grow(&[&honest], 5).await;
    assert_eq!(scene.events(invented).await, ["payment.detected", "payment.retracted"]);
    assert_eq!(scene.count("select count(*) from amn.network where halt_reason is not null").await, 0);
    assert_eq!(scene.tip().await, i64::try_from(HEIGHT + 6).unwrap());
}
