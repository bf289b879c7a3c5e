//! An hour in which nobody looks: 8,800 masterchain blocks while the daemon is down, or while its nodes are.

use std::time::Duration;

use amn_scanner::follower::Outcome;
use amn_ton::testkit::Fault;

use super::missed::Missed;
use super::scene::Way;
use crate::support::kills;

/// Masterchain blocks of an hour, at two and a half a second.
const HOUR: u32 = 8_800;

/// By block each one costs a question: what `./test` has time for.
const MINUTES: u32 = 880;

const INTENTS: usize = 60;

/// The daemon sleeps through it.
async fn the_daemon_is_down(way: Way, blocks: u32) {
    let mut missed = Missed::new(way, INTENTS).await;
    missed.goes_on(blocks);
    missed.everything_is_confirmed(&format!("{way:?}: the daemon was down")).await;
    assert!(missed.scene.distrusted().iter().all(Option::is_none), "{:?}", missed.scene.distrusted());
}

/// The nodes answer nothing of use while it lasts.
async fn the_nodes_are_down(way: Way, blocks: u32) {
    let mut missed = Missed::new(way, INTENTS).await;
    let stood = missed.scene.db.tip().await;
    for (node, fault) in missed.nodes.iter().zip([Fault::GatewayTimeout, Fault::Html]) {
        node.fault(fault);
    }
    missed.goes_on(blocks);
    for _ in 0..20 {
        let came = missed.scene.look_after(Duration::from_mins(3)).await;
        assert!(matches!(came, Outcome::Waiting(_)), "{way:?}: {came:?}");
    }
    assert_eq!((missed.scene.db.tip().await, missed.scene.db.halted().await), (stood, None), "{way:?}: it waits");
    for node in &missed.nodes {
        node.heal();
    }
    missed.scene.look_after(Duration::from_mins(11)).await;
    missed.everything_is_confirmed(&format!("{way:?}: the nodes were down")).await;
    assert!(missed.scene.distrusted().iter().all(Option::is_none), "{:?}", missed.scene.distrusted());
}

#[tokio::test]
async fn nothing_of_an_hour_is_missed_while_the_daemon_is_down_by_account() {
    the_daemon_is_down(Way::ByAccount, HOUR).await;
}

#[tokio::test]
async fn nothing_is_missed_while_the_daemon_is_down_by_block() {
    the_daemon_is_down(Way::ByBlock, MINUTES).await;
}

#[tokio::test]
async fn nothing_of_an_hour_is_missed_while_the_nodes_are_down_by_account() {
    the_nodes_are_down(Way::ByAccount, HOUR).await;
}

#[tokio::test]
async fn nothing_is_missed_while_the_nodes_are_down_by_block() {
    the_nodes_are_down(Way::ByBlock, MINUTES).await;
}

#[tokio::test]
#[ignore = "minutes long: ./soak runs it"]
async fn soak_ton_an_hour_by_block() {
    if !kills::soaks() {
        return;
    }
    the_daemon_is_down(Way::ByBlock, HOUR).await;
    the_nodes_are_down(Way::ByBlock, HOUR).await;
}
