//! The stream tells of what happens from now on to the accounts it was asked for.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use amn_rpc::{Announcing, Doorbell, Secret, install_crypto};
use amn_ton::testkit::Fault;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Scene;

/// Nothing here takes longer than some milliseconds; this only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

async fn rings(bell: &Notify) {
    timeout(PATIENCE, bell.notified()).await.expect("the bell did not ring");
}

async fn wired(scene: &Scene) -> (Arc<Notify>, JoinSet<std::convert::Infallible>) {
    install_crypto();
    let bell = Arc::new(Notify::new());
    let subscribe = r#"{"operation":"subscribe","id":"1","types":["account_state_change"],"addresses":["-1:5555555555555555555555555555555555555555555555555555555555555555"],"min_finality":"finalized"}"#;
    let doorbell = Doorbell::new(&NetworkId::new("ton"), "a", Secret::new(scene.node.streaming()))
        .announcing(Announcing { subscribe, sign: "\"type\"" })
        .with_backoff(Duration::from_millis(2), Duration::from_millis(20));
    let mut tasks = JoinSet::new();
    tasks.spawn(doorbell.ring(bell.clone()));
    rings(&bell).await;
    (bell, tasks)
}

#[tokio::test]
async fn a_bell_rings_for_every_block_whose_configuration_is_listened_to() {
    let scene = Scene::paid(1).await;
    let (bell, _tasks) = wired(&scene).await;
    let three = async {
        for _ in 0..3 {
            scene.node.history().close();
            // The line may not be subscribed yet, and tells of nothing before.
            while timeout(Duration::from_millis(100), bell.notified()).await.is_err() {
                scene.node.history().close();
            }
        }
    };
    timeout(PATIENCE, three).await.expect("it rings no more");
}

#[tokio::test]
async fn noise_before_the_word_and_a_line_that_is_cut_off_after_it_are_lived_through() {
    let scene = Scene::paid(1).await;
    scene.node.fault_on("streaming", Fault::Noise);
    scene.node.fault_on("streaming", Fault::CutOff);
    let (bell, _tasks) = wired(&scene).await;
    let four = async {
        while scene.node.calls("streaming") < 4 {
            scene.node.history().close();
            let _ = timeout(Duration::from_millis(20), bell.notified()).await;
        }
    };
    timeout(PATIENCE, four).await.expect("it does not come back");
}
