//! What our doorbell makes of a WebSocket that fails on purpose.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use amn_rpc::Doorbell;
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::torture::{Face, OpenFace};
use tokio::sync::Notify;

use super::read;

/// No ring takes as long, on a machine that does three other things.
const PATIENCE: Duration = Duration::from_secs(30);

async fn faced(chain: &Anvil, rules: &[&str]) -> OpenFace {
    let face = Face::before(&chain.url(), Some(&chain.ws_url()), 1).unwrap().open().await.unwrap();
    face.set_rules(read(rules));
    face
}

/// Whether the bell rings after a block, having rung for its connection.
async fn rings_for_a_block(chain: &Anvil, face: &OpenFace) -> bool {
    let bell = Arc::new(Notify::new());
    let doorbell = Doorbell::new(&NetworkId::new("devnet"), "a", face.ws_url().into())
        .with_backoff(Duration::from_millis(1), Duration::from_millis(5));
    let heard = async {
        tokio::time::timeout(PATIENCE, bell.notified()).await.unwrap();
        // The subscription may still be on its way: a block now and then, until one is announced or lost.
        for _ in 0..100 {
            chain.mine(1).await.unwrap();
            if face.counts().asked.get("push").is_some_and(|pushed| *pushed > 0) {
                return tokio::time::timeout(Duration::from_millis(500), bell.notified()).await.is_ok();
            }
            drop(tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await);
        }
        panic!("nothing was ever pushed");
    };
    tokio::select! {
        heard = heard => heard,
        never = doorbell.ring(bell.clone()) => match never {},
    }
}

#[tokio::test]
async fn a_bell_rings_for_what_it_hears_and_again_after_every_loss() {
    let chain = Anvil::start(Rules::default()).await.unwrap();
    assert!(rings_for_a_block(&chain, &faced(&chain, &[]).await).await, "an honest face");
    assert!(rings_for_a_block(&chain, &faced(&chain, &["garbage-websocket"]).await).await, "it rings unread");
    assert!(rings_for_a_block(&chain, &faced(&chain, &["closing-websocket"]).await).await, "it connects again");
    assert!(rings_for_a_block(&chain, &faced(&chain, &["duplicate:methods=push"]).await).await, "and twice as well");
    let silent = faced(&chain, &["silent-websocket"]).await;
    assert!(!rings_for_a_block(&chain, &silent).await, "silence is silent");
    assert!(silent.counts().struck["silent-websocket"] > 0);
}
