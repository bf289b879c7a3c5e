//! The ledger on a real Postgres, over an invented chain: what is read, decided and told.

use amn_core::engine::Command;
use amn_core::source::SourceError;
use amn_scanner::follower::Outcome;

use crate::support::fake_chain::pays;
use crate::support::scene::{Scene, catch_up};

#[tokio::test]
async fn a_payment_is_detected_and_then_confirmed() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected"]);

    scene.chain.mine_empty(1);
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "detected", "two confirmations of three");

    scene.chain.mine_empty(1);
    scene.catch_up().await;
    assert_eq!(scene.told(intent).await[1], ("payment.confirmed".into(), "confirmed".into()));
    let body = &scene.bodies(intent).await[1];
    assert_eq!(body["deposits"][0]["confirmations"], 3);
    assert_eq!(body["deposits"][0]["evidence"]["operators"], 2);
    assert_eq!(body["intent"]["settled"], "100");
    assert_eq!(body["sequence"], 2);
}

#[tokio::test]
async fn money_that_leaves_the_chain_is_retracted_and_counted_again_when_it_returns() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine_empty(3);
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.catch_up().await;
    scene.chain.drop_blocks(1);
    scene.chain.mine_empty(2);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.retracted"]);
    assert_eq!(scene.status(intent).await, "awaiting");
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    let events = scene.events(intent).await;
    assert_eq!(events, ["payment.detected", "payment.retracted", "payment.detected", "payment.confirmed"]);
    let deposits: i64 = sqlx::query_scalar("select count(*) from amn.deposit").fetch_one(scene.pool()).await.unwrap();
    assert_eq!(deposits, 1, "one transfer, one row");
}

#[tokio::test]
async fn a_payment_that_only_moves_makes_no_alarm() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.catch_up().await;
    scene.chain.drop_blocks(1);
    scene.chain.mine_empty(1);
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(2);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
    let body = &scene.bodies(intent).await[1];
    assert_eq!(body["deposits"][0]["block"]["height"], "2");
}

#[tokio::test]
async fn an_intent_made_between_read_and_commit_and_paid_in_that_very_block_is_not_missed() {
    let mut scene = Scene::new().await;
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    // The stretch is read with the watches of now; the intent comes before it is decided.
    let watch = amn_core::source::Watch::new(amn_core::source::WatchVersion(0));
    let on = amn_core::source::Position { tip: scene.chain.header(0).at, checkpoint: Vec::new() };
    let read = amn_core::source::ChainSource::segment(&scene.chain, &on, scene.chain.tip().at.height, None, &watch);
    let segment = read.await.unwrap();
    assert!(segment.blocks[0].transfers.is_empty(), "nobody watched when it was read");
    let intent = scene.intent_until("shop", 100, Some(2)).await;
    let mut desk = amn_scanner::store::decide::Desk::new(scene.pool().clone(), scene.facts.clone());
    let now = amn_core::timestamp::Timestamp::from_seconds(1_800_000_000);
    desk.decide(&amn_core::engine::Input::Extend(segment), now).await.unwrap();
    assert!(scene.events(intent).await.is_empty());

    scene.chain.mine_empty(6);
    scene.catch_up().await;
    assert_eq!(
        scene.events(intent).await,
        ["payment.detected", "payment.confirmed"],
        "read again before it may expire"
    );
}

#[tokio::test]
async fn an_intent_expires_only_behind_a_settled_block_and_late_money_stands_apart() {
    let mut scene = Scene::new().await;
    let intent = scene.intent_until("shop", 100, Some(2)).await;
    scene.chain.mine_empty(4); // Blocks 3 and 4 lie past the end; block 3 has two confirmations.
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "awaiting");
    scene.chain.mine_empty(1);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.expired"]);
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "late");
    scene.command(Command::Accept { intent }).await.unwrap();
    let told = scene.told(intent).await;
    assert_eq!(told.last().unwrap(), &("payment.confirmed".to_owned(), "confirmed".to_owned()));
}

#[tokio::test]
async fn a_fork_below_finalized_halts_and_goes_on_only_by_acceptance() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(5);
    scene.chain.finalize(5, 4);
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "confirmed");
    scene.chain.drop_blocks(6);
    scene.chain.mine_empty(8);
    assert_eq!(scene.catch_up().await, Outcome::Halted);
    assert_eq!(scene.status(intent).await, "confirmed", "nothing moves without a person");
    assert!(scene.command(Command::Resume { accept_fork: None }).await.is_err());
    let accept_fork = Some(scene.chain.tip().at.hash);
    scene.command(Command::Resume { accept_fork }).await.unwrap();
    assert_eq!(scene.catch_up().await, Outcome::Idle);
    assert_eq!(scene.told(intent).await.last().unwrap(), &("payment.reversed".to_owned(), "reversed".to_owned()));
    let others: Vec<String> = scene.others().await.iter().map(|b| b["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(others.len(), 2, "{others:?}");
}

#[tokio::test]
async fn a_shorter_branch_waits_until_a_second_operator_is_on_it() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(5);
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "confirmed");
    scene.chain.lag("beta", Some(0));
    scene.chain.drop_blocks(6);
    scene.chain.mine_empty(2);
    assert!(matches!(scene.catch_up().await, Outcome::Waiting(SourceError::NotYet(_))));
    assert_eq!(scene.status(intent).await, "confirmed");
    scene.chain.lag("beta", None);
    scene.catch_up().await;
    assert_eq!(scene.told(intent).await.last().unwrap().0, "payment.reversed");
}

#[tokio::test]
async fn history_below_finalized_is_read_as_ranges_and_settles_at_once() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine_empty(50);
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(100);
    scene.chain.finalize(150, 149);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
    let stretches: Vec<(String, i64, i64)> =
        sqlx::query_as("select coverage, from_height, to_height from amn.segment order by from_height")
            .fetch_all(scene.pool())
            .await
            .unwrap();
    assert_eq!(stretches[1], ("listed".into(), 1, 149));
    assert_eq!(stretches.last().unwrap().2, 151);
}

#[tokio::test]
async fn two_followers_on_one_network_tell_everything_once() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    let mut other = scene.restarted();
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(4);
    // The other stands by while the lease is held, and follows when its time is over.
    assert_eq!(other.round().await.unwrap(), Outcome::Standby);
    scene.clock.advance(60_000);
    catch_up(&mut other, &scene.clock).await;
    scene.clock.advance(60_000);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
}

#[tokio::test]
async fn a_source_that_is_away_is_waited_for_and_nothing_is_missed() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.down(Some(SourceError::Unavailable("nobody answers".into())));
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(4);
    assert!(matches!(scene.catch_up().await, Outcome::Waiting(SourceError::Unavailable(_))));
    assert!(scene.events(intent).await.is_empty());
    scene.chain.down(None);
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
}

#[tokio::test]
async fn one_operator_alone_halts_no_network_by_a_fork_below_finalized() {
    let mut scene = Scene::new().await;
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(5);
    scene.chain.finalize(5, 4);
    scene.catch_up().await;
    // The other operator says nothing of this branch.
    scene.chain.lag("beta", Some(0));
    scene.chain.drop_blocks(6);
    scene.chain.mine_empty(8);
    assert!(matches!(scene.catch_up().await, Outcome::Waiting(SourceError::NotYet(_))));
    assert_eq!(scene.status(intent).await, "confirmed");
    assert!(scene.others().await.is_empty(), "no halt was told");
}
