//! What the daemon stands on gives way: the database goes, the disk is full, the clock jumps.

use std::str::FromStr as _;
use std::time::Duration;

use amn_evm::testkit::{History, Node};
use amn_scanner::follower::Outcome;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use super::answers::{CHAIN, SHOP, TOKEN, network, pay};
use crate::support::evm_scene::EvmScene;
use crate::support::play::Play;

const DAY: i64 = 86_400_000;
/// Longer than any backoff here.
const PATIENCE: Duration = Duration::from_mins(1);

async fn scene() -> (Node, EvmScene) {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    let node = Node::serve(history).await.unwrap();
    let scene = EvmScene::on(network(), None, &[&node]).await;
    (node, scene)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Refuses every connection to the play's database and ends those there are, or lets them in again.
async fn database(play: &Play, lets_in: bool) {
    let options = PgConnectOptions::from_str(&play.db.url).unwrap();
    let name = options.get_database().unwrap().to_owned();
    let mut admin: PgConnection = options.database("postgres").connect().await.unwrap();
    let alter = format!("alter database {name} with allow_connections {lets_in}");
    sqlx::query(AssertSqlSafe(alter)).execute(&mut admin).await.unwrap();
    if !lets_in {
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
        sqlx::query(end).bind(name).execute(&mut admin).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_goes_stops_nothing_for_good_and_what_happened_meanwhile_is_told() {
    let play = Play::new().await;
    let intent = play.intent(json!({})).await;
    until("ready", async || play.daemon.api().get("/readyz").await.is_ok()).await;
    database(&play, false).await;
    until("not ready", async || {
        play.daemon.api().get("/readyz").await.is_err_and(|error| error.to_string().contains("503"))
    })
    .await;
    play.daemon.api().get("/healthz").await.expect("alive without its database");
    let refused = play.daemon.api().get("/v1/intents").await.unwrap_err().to_string();
    assert!(refused.contains("503") && !refused.contains("amn_test"), "{refused}");
    play.pay(&intent, 1_000_000).await;
    play.chain.mine(20).await.unwrap();
    database(&play, true).await;
    until("confirmed", async || play.told(&intent) == ["payment.detected", "payment.confirmed"]).await;
    until("ready again", async || {
        play.chain.mine(1).await.unwrap();
        play.daemon.api().get("/readyz").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing_is_told_and_goes_on_when_there_is_room() {
    let (node, mut scene) = scene().await;
    let intent = scene.intent("TST", SHOP, 25).await;
    for sql in [
        "create function amn.full() returns trigger language plpgsql as $$ begin \
         raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$",
        "create trigger full_disk before insert on amn.deposit for each row execute function amn.full()",
    ] {
        sqlx::query(sql).execute(&scene.db.pool).await.unwrap();
    }
    pay(&mut node.history());
    node.history().pass(3);
    for _ in 0..3 {
        let error = scene.follower.round().await.unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        assert_eq!((scene.tip().await, scene.deposits().await), (0, 0), "nothing is covered that is not kept");
    }
    sqlx::query("drop trigger full_disk on amn.deposit").execute(&scene.db.pool).await.unwrap();
    scene.catch_up().await;
    assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_changes_no_event_and_leases_recover() {
    for jump in [DAY, -DAY] {
        let (node, mut scene) = scene().await;
        let intent = scene.intent("TST", SHOP, 25).await;
        pay(&mut node.history());
        scene.catch_up().await;
        assert_eq!(scene.events(intent).await, ["payment.detected"]);
        scene.clock.advance(jump);
        scene.catch_up().await;
        assert_eq!(scene.events(intent).await, ["payment.detected"], "no wall clock settles or expires anything");
        let mut heir = scene.another();
        assert_eq!(heir.round().await.unwrap(), Outcome::Standby, "the lease is held");
        scene.clock.advance(11_000);
        assert_ne!(heir.round().await.unwrap(), Outcome::Standby, "after a jump of {jump} ms it ends as ever");
        drop(heir);
        scene.clock.advance(11_000);
        node.history().pass(3);
        scene.catch_up().await;
        assert_eq!(scene.events(intent).await, ["payment.detected", "payment.confirmed"]);
    }
}
