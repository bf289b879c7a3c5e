//! The daemon as a process: stopped in the middle of a delivery, without its database, raced by payers.

use std::time::Duration;

use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts;
use serde_json::{Value, json};

use crate::support::play::{Play, address};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_graceful_stop_finishes_what_is_in_flight() {
    let mut play = Play::new().await;
    let intent = play.intent(json!({})).await;
    play.receiver.hold();
    play.pay(&intent, 1_000_000).await;
    play.chain.mine(1).await.unwrap();
    play.wait("nothing is sent", async || !play.receiver.heard().is_empty()).await;
    let receiver = play.receiver.clone();
    let log = play.dir.path().join("daemon.log");
    let release = async {
        // It answers only when the daemon says that it is stopping.
        let stopping = async {
            while !std::fs::read_to_string(&log).unwrap_or_default().contains("stopping") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, stopping).await.expect("it says that it is stopping");
        receiver.release();
    };
    let (code, ()) = tokio::join!(play.daemon.stop(), release);
    assert_eq!(code.unwrap(), Some(0), "{}", play.log());
    play.daemon.restart().await.unwrap();
    play.mine(2).await;
    assert_eq!(play.told(&intent), ["payment.detected", "payment.confirmed"]);
    assert_eq!(play.receiver.heard().len(), 2, "what was answered is not sent again");
}

#[tokio::test]
async fn intents_made_while_their_payments_are_mined_miss_nothing() {
    let play = Play::new().await;
    let mut made: Vec<Value> = Vec::new();
    for round in 0..30 {
        // Where the daemon stands before the payment can be mined: whichever comes first, the block is looked
        // at for it.
        let network = play.daemon.api().get("/v1/networks/devnet").await.unwrap();
        let mut asked = play.asked(json!({"since_height": network["tip"]["height"]}));
        if round % 3 == 0 {
            asked.as_object_mut().unwrap().remove("since_height");
        }
        let to = address(&asked);
        let make = async {
            let intent = play.daemon.api().post("/v1/intents", asked).await.unwrap();
            // Known before it is paid, where no height was named.
            if round % 3 == 0 {
                play.pay_to(to, 1_000_000).await;
                play.chain.mine(1).await.unwrap();
            }
            intent
        };
        let pay = async {
            if round % 3 != 0 {
                play.call(play.token, &contracts::transfer(to, 1_000_000)).await;
            }
            play.chain.mine(1).await.unwrap();
        };
        let (intent, ()) = tokio::join!(make, pay);
        made.push(intent);
    }
    play.mine(4).await;
    for (round, intent) in made.iter().enumerate() {
        assert_eq!(play.told(intent), ["payment.detected", "payment.confirmed"], "round {round}: {intent}");
        play.balances(intent).await;
    }
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_loses_nothing() {
    let mut play = Play::new().await;
    let intents = [play.intent(json!({})).await, play.intent(json!({})).await];
    play.mine(1).await;
    play.db.away(true).await;
    play.pay(&intents[0], 1_000_000).await;
    for _ in 0..3 {
        play.chain.mine(1).await.unwrap();
    }
    play.wait("it is ready without its database", async || play.daemon.api().get("/ready").await.is_err()).await;
    assert!(play.daemon.api().get("/healthz").await.is_ok(), "alive all the same");
    play.db.away(false).await;
    play.quiet().await;
    assert_eq!(play.told(&intents[0]), ["payment.detected", "payment.confirmed"]);

    // Started without it, the daemon says why it cannot run, and that it failed.
    play.daemon.kill().await;
    play.db.away(true).await;
    let refused = play.daemon.restart().await.unwrap_err().to_string();
    assert!(refused.contains("exit status: 1") && refused.contains("database"), "{refused}");
    play.db.away(false).await;
    play.pay(&intents[1], 1_000_000).await;
    play.daemon.restart().await.unwrap();
    play.mine(3).await;
    assert_eq!(play.told(&intents[1]), ["payment.detected", "payment.confirmed"]);
}

#[tokio::test]
async fn a_chain_in_a_box_leaves_nothing_on_the_disk() {
    let chain = Anvil::start(Rules::default()).await.unwrap();
    let states = chain.states().to_owned();
    // More than it keeps in memory.
    chain.rpc("anvil_mine", json!(["0x800"])).await.unwrap();
    assert!(states.is_dir(), "it is told where to lay its states down");
    drop(chain);
    assert!(!states.exists());
}
