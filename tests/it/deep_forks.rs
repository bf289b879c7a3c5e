//! Forks below everything we remember: they halt, and a person's word and the operators' agreement undo them whole.

use amn_core::block::{Hash, Height};
use amn_core::engine::{Command, REMEMBERED_HEADERS_MAX};
use amn_core::id::IntentId;
use amn_core::source::SourceError;
use amn_scanner::follower::Outcome;

use crate::support::fake_chain::pays;
use crate::support::scene::Scene;

/// A chain whose headers up to 160 are forgotten. A stretch of ours ends at 5; a payment at 10 is confirmed.
async fn forgetful() -> (Scene, IntentId) {
    let mut scene = Scene::new().await;
    scene.chain.mine_empty(5);
    scene.catch_up().await;
    // Stretches before and after a new watch are rows of their own.
    let intent = scene.intent("shop", 100).await;
    scene.chain.mine_empty(4);
    scene.chain.mine(vec![pays("a", "shop", 100)]);
    scene.chain.mine_empty(290);
    scene.catch_up().await;
    scene.chain.finalize(295, 290);
    scene.catch_up().await;
    scene.chain.mine_empty(1);
    scene.catch_up().await;
    let lowest: i64 = sqlx::query_scalar("select min(height) from amn.header").fetch_one(scene.pool()).await.unwrap();
    assert!(lowest > 100, "headers from {lowest} on are remembered");
    assert_eq!(scene.status(intent).await, "confirmed");
    (scene, intent)
}

async fn halt_detail(scene: &Scene) -> String {
    let detail: Option<String> =
        sqlx::query_scalar("select halt_detail from amn.network").fetch_one(scene.pool()).await.unwrap();
    detail.unwrap_or_default()
}

#[tokio::test]
async fn a_fork_below_what_we_remember_is_undone_whole_once_it_is_accepted() {
    let (mut scene, intent) = forgetful().await;
    scene.chain.drop_blocks(293); // Down to 8: the fork that is found is the end of a stretch, 5.
    scene.chain.mine_empty(300);
    assert_eq!(scene.catch_up().await, Outcome::Halted);
    assert!(halt_detail(&scene).await.starts_with("no remembered block of ours"));
    assert_eq!(scene.status(intent).await, "confirmed", "nothing moves without a person");

    let accept_fork = Some(scene.chain.tip().at.hash);
    scene.command(Command::Resume { accept_fork }).await.unwrap();
    assert_eq!(scene.catch_up().await, Outcome::Idle);
    assert_eq!(scene.told(intent).await.last().unwrap(), &("payment.reversed".to_owned(), "reversed".to_owned()));
    let (reorgs, tip): (i64, i64) =
        sqlx::query_as("select count(*), max(new_tip_height) from amn.reorg").fetch_one(scene.pool()).await.unwrap();
    assert_eq!((reorgs, tip), (1, 308), "one decision");
    let stretches: Vec<(i64, i64)> = sqlx::query_as("select from_height, to_height from amn.segment order by 1")
        .fetch_all(scene.pool())
        .await
        .unwrap();
    assert_eq!(stretches.last().unwrap().1, 308);
    assert!(stretches.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{stretches:?}");
    let accepted: Option<Vec<u8>> =
        sqlx::query_scalar("select accept_fork::bytea from amn.network").fetch_one(scene.pool()).await.unwrap();
    assert_eq!(accepted, None, "the word is used up");
}

#[tokio::test]
async fn an_accepted_fork_below_what_we_remember_waits_for_a_second_operator() {
    let (mut scene, intent) = forgetful().await;
    scene.chain.drop_blocks(293);
    scene.chain.mine_empty(300);
    scene.catch_up().await;
    scene.chain.lag("beta", Some(0));
    let accept_fork = Some(scene.chain.tip().at.hash);
    scene.command(Command::Resume { accept_fork }).await.unwrap();
    assert!(matches!(scene.catch_up().await, Outcome::Waiting(SourceError::NotYet(_))));
    assert_eq!(scene.status(intent).await, "confirmed");
    scene.chain.lag("beta", None);
    assert_eq!(scene.catch_up().await, Outcome::Idle);
    assert_eq!(scene.status(intent).await, "reversed");
}

#[tokio::test]
async fn one_operator_alone_halts_nothing_with_a_chain_of_its_own() {
    let (mut scene, _) = forgetful().await;
    scene.chain.lag("beta", Some(0));
    scene.chain.drop_blocks(293);
    scene.chain.mine_empty(300);
    let outcome = scene.catch_up().await;
    let Outcome::Waiting(SourceError::NotYet(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("nobody else stands behind it"), "{why}");
    assert_eq!(halt_detail(&scene).await, "");
    scene.chain.lag("beta", None);
    assert_eq!(scene.catch_up().await, Outcome::Halted);
}

#[tokio::test]
async fn another_branch_than_the_accepted_one_stays_halted() {
    let (mut scene, intent) = forgetful().await;
    scene.chain.drop_blocks(293);
    scene.chain.mine_empty(300);
    scene.catch_up().await;
    scene.command(Command::Resume { accept_fork: Some(Hash([7; 32])) }).await.unwrap();
    assert_eq!(scene.catch_up().await, Outcome::Halted);
    assert!(halt_detail(&scene).await.contains("does not hold 0x0707"), "{}", halt_detail(&scene).await);
    assert_eq!(scene.status(intent).await, "confirmed");
}

#[tokio::test]
async fn a_fork_deeper_than_one_decision_undoes_says_so_and_stays_halted() {
    let mut scene = Scene::new().await;
    let depth = REMEMBERED_HEADERS_MAX + 1;
    scene.chain.mine_empty(depth);
    scene.chain.finalize(depth, depth);
    scene.catch_up().await;
    scene.chain.drop_blocks(depth);
    scene.chain.mine_empty(depth + 1);
    assert_eq!(scene.catch_up().await, Outcome::Halted);
    let accept_fork = Some(scene.chain.tip().at.hash);
    scene.command(Command::Resume { accept_fork }).await.unwrap();
    assert_eq!(scene.catch_up().await, Outcome::Halted);
    let detail = halt_detail(&scene).await;
    assert!(detail.ends_with("20001 blocks below our tip; one decision undoes at most 20000"), "{detail}");
}

#[tokio::test]
async fn a_shallow_fork_found_after_a_long_sleep_is_followed() {
    let mut scene = Scene::new().await;
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    scene.chain.drop_blocks(1);
    // The head is further above our tip than we remember headers.
    scene.chain.mine_empty(REMEMBERED_HEADERS_MAX + 100);
    let end = scene.chain.tip().at;
    scene.chain.finalize(end.height.0, end.height.0);
    let outcome = scene.follower.round().await.unwrap();
    let tip: i64 = sqlx::query_scalar("select tip_height from amn.network").fetch_one(scene.pool()).await.unwrap();
    assert_eq!((outcome, Height(tip.unsigned_abs())), (Outcome::Advanced, Height(3 + REMEMBERED_HEADERS_MAX)));
}
