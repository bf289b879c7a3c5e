//! What watched contracts say, through the follower and the database: heard once, told once, whoever restarts or
//! reads again.

use amn_core::block::{Address, Height};
use amn_core::contract::TopicPattern;
use amn_core::engine::Input;
use amn_core::source::{ChainSource as _, Position, Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use amn_scanner::store::contracts::listeners::{self, ListenError, Wish};
use amn_scanner::store::decide::Desk;
use amn_scanner::store::outbox::feed;
use serde_json::{Value, json};

use crate::support::fake_chain::{pays, says};
use crate::support::scene::{Scene, catch_up};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn wish(contract: &str, tenant: &str, topics: &[&[&str]]) -> Wish {
    let pattern = |texts: &&[&str]| TopicPattern::parse(texts, |text| Ok(text.to_owned())).unwrap();
    Wish {
        contract: Address::new(contract),
        patterns: topics.iter().map(pattern).collect(),
        tenant: tenant.to_owned(),
        since: None,
        place: "amn.toml:7".to_owned(),
    }
}

fn everything(contract: &str, tenant: &str) -> Wish {
    wish(contract, tenant, &[&["**"]])
}

async fn listen(scene: &Scene, wishes: &[Wish]) {
    listeners::register(scene.pool(), &scene.network(), wishes, None, NOW).await.unwrap();
}

/// What was told, in the order of the feed: to whom, what, and the data.
async fn told(scene: &Scene) -> Vec<(String, String, Value)> {
    feed::number(scene.pool(), 500).await.unwrap();
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "select coalesce(tenant_id, ''), body from amn.event where event like 'contract.%' order by tenant_id, feed_number",
    )
    .fetch_all(scene.pool())
    .await
    .unwrap();
    let said = |(tenant, body): (String, Vec<u8>)| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let event = body["event"].as_str().unwrap().to_owned();
        (tenant, event, body["contract_event"]["data"].clone())
    };
    rows.into_iter().map(said).collect()
}

fn event(tenant: &str, data: Value) -> (String, String, Value) {
    (tenant.to_owned(), "contract.event".to_owned(), data)
}

fn reversed(tenant: &str, data: Value) -> (String, String, Value) {
    (tenant.to_owned(), "contract.reversed".to_owned(), data)
}

async fn status(scene: &Scene) -> Vec<String> {
    sqlx::query_scalar("select status from amn.contract_event order by block_height, ordinal")
        .fetch_all(scene.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_word_is_told_when_it_settled_and_never_before_and_once() {
    let mut scene = Scene::new().await;
    listen(&scene, &[wish("K", "seller", &[&["symbol:funded", "**"]])]).await;
    scene.chain.mine_saying(Vec::new(), vec![says("a", "K", "funded", json!({"amount": "25"}))]);
    scene.chain.mine_saying(Vec::new(), vec![says("b", "K", "released", json!(1)), says("c", "L", "funded", json!(2))]);
    scene.catch_up().await;
    assert_eq!(status(&scene).await, ["seen"], "two confirmations of three");
    assert_eq!(told(&scene).await, []);
    scene.chain.mine_empty(1);
    scene.catch_up().await;
    assert_eq!(told(&scene).await, [event("seller", json!({"amount": "25"}))]);
    let body = scene.others().await.pop().unwrap();
    let said = &body["contract_event"];
    assert_eq!((&said["contract"], &said["topics"]), (&json!("K"), &json!(["funded"])));
    assert_eq!(said["evidence"], json!({"attestations": null, "inclusion": "proven", "operators": 2}));
    assert_eq!((&said["status"], &said["confirmations"]), (&json!("settled"), &json!(3)));
    assert_eq!(
        (&body["policy"]["confirmations"], &body["intent"], &body["sequence"]),
        (&json!(3), &json!(null), &json!(null))
    );
    // Another daemon, and the same one again: nothing new has happened.
    let mut restarted = scene.restarted();
    listen(&scene, &[wish("K", "seller", &[&["symbol:funded", "**"]])]).await;
    catch_up(&mut restarted, &scene.clock).await;
    scene.chain.mine_empty(3);
    catch_up(&mut restarted, &scene.clock).await;
    assert_eq!(told(&scene).await.len(), 1);
}

#[tokio::test]
async fn what_was_told_is_taken_back_when_its_block_leaves_the_chain_and_told_again_when_it_returns() {
    let mut scene = Scene::new().await;
    listen(&scene, &[everything("K", "seller")]).await;
    let word = says("a", "K", "funded", json!(25));
    scene.chain.mine_saying(Vec::new(), vec![word.clone()]);
    scene.chain.mine_empty(2);
    scene.catch_up().await;
    assert_eq!(told(&scene).await, [event("seller", json!(25))]);
    scene.chain.drop_blocks(3);
    scene.chain.mine_empty(4);
    scene.catch_up().await;
    // One operator's word undoes nothing that was told; the other has the branch, too, by now.
    assert_eq!(status(&scene).await, ["reversed"]);
    scene.chain.mine_saying(Vec::new(), vec![word]);
    scene.chain.mine_empty(2);
    scene.catch_up().await;
    let expected = [event("seller", json!(25)), reversed("seller", json!(25)), event("seller", json!(25))];
    assert_eq!(told(&scene).await, expected);
    assert_eq!(status(&scene).await, ["settled"], "it is one row through all of it");
}

#[tokio::test]
async fn a_word_counts_from_the_tip_at_which_it_was_first_listened_for_or_from_since() {
    let mut scene = Scene::new().await;
    for name in ["a", "b", "c"] {
        scene.chain.mine_saying(Vec::new(), vec![says(name, "K", name, json!(name))]);
    }
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    listen(&scene, &[everything("K", "late"), Wish { since: Some(Height(2)), ..everything("K", "early") }]).await;
    scene.catch_up().await;
    scene.chain.mine_saying(Vec::new(), vec![says("d", "K", "d", json!("d"))]);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    let heard = ["b", "c", "d"].map(|name| event("early", json!(name)));
    assert_eq!(told(&scene).await, [&heard[..], &[event("late", json!("d"))]].concat());
    // Asked for from further back: what lies between is read, and nothing is told again.
    listen(&scene, &[everything("K", "late"), Wish { since: Some(Height(1)), ..everything("K", "early") }]).await;
    scene.chain.mine_empty(1);
    scene.catch_up().await;
    let all = told(&scene).await;
    assert_eq!(all.iter().filter(|(tenant, _, _)| tenant == "early").count(), 4);
    assert_eq!(all.iter().filter(|(_, _, data)| *data == json!("a")).count(), 1);
}

#[tokio::test]
async fn what_another_daemon_covered_without_listening_is_read_again() {
    let mut scene = Scene::new().await;
    scene.chain.mine_empty(2);
    scene.catch_up().await;
    // A daemon with an older configuration reads the next blocks, after the listener was made.
    listen(&scene, &[everything("K", "seller")]).await;
    scene.chain.mine_saying(Vec::new(), vec![says("a", "K", "funded", json!(1))]);
    scene.chain.mine_empty(3);
    let mut desk = Desk::new(scene.pool().clone(), scene.facts.clone());
    let on = Position { tip: desk.standing().await.unwrap().standing.tip.unwrap().at, checkpoint: Vec::new() };
    let deaf = Watch::new(WatchVersion(0));
    let segment = scene.chain.segment(&on, scene.chain.tip().at.height, None, &deaf).await.unwrap();
    desk.decide(&Input::Extend(segment), NOW).await.unwrap();
    assert_eq!(status(&scene).await, Vec::<String>::new());
    let owed: (i64, i64) = sqlx::query_as("select backfill_from, backfill_to from amn.contract_watch")
        .fetch_one(scene.pool())
        .await
        .unwrap();
    assert_eq!(owed, (3, 6));
    scene.catch_up().await;
    assert_eq!(told(&scene).await, [event("seller", json!(1))]);
    let owed: Option<i64> =
        sqlx::query_scalar("select backfill_from from amn.contract_watch").fetch_one(scene.pool()).await.unwrap();
    assert_eq!(owed, None);
}

#[tokio::test]
async fn whoever_no_longer_listens_hears_nothing_new_and_what_was_heard_is_still_told() {
    let mut scene = Scene::new().await;
    listen(&scene, &[everything("K", "seller")]).await;
    scene.chain.mine_saying(Vec::new(), vec![says("a", "K", "funded", json!(1))]);
    scene.catch_up().await;
    listen(&scene, &[]).await;
    scene.chain.mine_saying(Vec::new(), vec![says("b", "K", "funded", json!(2))]);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    assert_eq!(told(&scene).await, [event("seller", json!(1))]);
    // Listening again begins where it begins: what was said meanwhile was said to nobody.
    listen(&scene, &[everything("K", "seller")]).await;
    scene.chain.mine_saying(Vec::new(), vec![says("c", "K", "funded", json!(3))]);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    assert_eq!(told(&scene).await, [event("seller", json!(1)), event("seller", json!(3))]);
}

#[tokio::test]
async fn each_tenant_hears_once_however_many_of_its_patterns_match_and_in_the_order_of_the_chain() {
    let mut scene = Scene::new().await;
    let narrow = wish("K", "one", &[&["symbol:x1"], &["*"]]);
    listen(&scene, &[everything("K", "one"), narrow, everything("K", "two"), everything("M", "two")]).await;
    let mut words: Vec<_> =
        (0..12).map(|n| says("a", if n % 3 == 0 { "M" } else { "K" }, &format!("x{n}"), json!(n))).collect();
    for (place, word) in words.iter_mut().enumerate() {
        word.index = u32::try_from(place).unwrap();
        word.ordinal = word.index;
    }
    scene.chain.mine_saying(vec![pays("a", "shop", 100)], words);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    let of = |tenant: &str, said: Vec<i32>| said.into_iter().map(|n| event(tenant, json!(n))).collect::<Vec<_>>();
    let expected = [of("one", vec![1, 2, 4, 5, 7, 8, 10, 11]), of("two", (0..12).collect())].concat();
    assert_eq!(told(&scene).await, expected);
}

#[tokio::test]
async fn whatever_a_contract_says_is_stored_and_told_as_it_is() {
    let mut scene = Scene::new().await;
    listen(&scene, &[everything("K", "seller")]).await;
    let poison =
        json!({"nul\u{0}": "\u{0}", "quote": "\"'\\", "wide": "\u{1f600}", "nested": [[[{"a": null}]]], "minus": -1});
    scene.chain.mine_saying(Vec::new(), vec![says("a", "K", "odd\u{0}", poison.clone())]);
    scene.chain.mine_empty(1);
    scene.catch_up().await;
    assert_eq!(status(&scene).await, ["seen"]);
    scene.chain.mine_empty(1);
    scene.catch_up().await;
    assert_eq!(told(&scene).await, [event("seller", poison)], "read from its row, and told");
}

#[tokio::test]
async fn a_wish_for_what_was_never_covered_is_refused_with_its_place() {
    let mut scene = Scene::new().await;
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    let wish = Wish { since: Some(Height(0)), ..everything("K", "seller") };
    let error = listeners::register(scene.pool(), &scene.network(), &[wish], None, NOW).await.unwrap_err();
    assert!(matches!(error, ListenError::BeforeTheLedger { .. }));
    assert_eq!(error.to_string(), "amn.toml:7: since = 0 must lie above 0, where the ledger of fake begins");
    let rows: i64 =
        sqlx::query_scalar("select count(*) from amn.contract_watch").fetch_one(scene.pool()).await.unwrap();
    assert_eq!(rows, 0, "all or nothing");
}

#[tokio::test]
async fn a_past_is_wished_for_only_where_it_is_known_to_be_covered() {
    let db = crate::support::database::Database::fresh().await;
    let facts = crate::support::fake_chain::facts("fake", crate::support::scene::usual());
    amn_scanner::store::network::register(&db.pool, "fake", &facts, None).await.unwrap();
    let wish = Wish { since: Some(Height(5)), ..everything("K", "seller") };
    let register =
        async |begins| listeners::register(&db.pool, &facts.id, std::slice::from_ref(&wish), begins, NOW).await;
    assert!(matches!(register(None).await, Err(ListenError::NoLedger { .. })), "it would begin at the head");
    assert!(matches!(register(Some(Height(5))).await, Err(ListenError::BeforeTheLedger { .. })));
    register(Some(Height(4))).await.unwrap();
    register(Some(Height(4))).await.unwrap();
}

#[tokio::test]
async fn the_schema_refuses_what_the_rules_never_do() {
    let mut scene = Scene::new().await;
    listen(&scene, &[everything("K", "seller")]).await;
    scene.chain.mine_saying(Vec::new(), vec![says("a", "K", "funded", json!(1))]);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    for wrong in [
        "delete from amn.contract_event",
        "truncate amn.contract_event",
        "update amn.contract_event set status = 'seen', told = 2, settled_at = null, settled_require = null, settled_tip_height = null",
        "update amn.contract_event set status = 'retracted', told = 2",
        "update amn.contract_event set told = 0, status = 'reversed'",
        "update amn.contract_event set told = 2",
        "update amn.contract_event set status = 'reversed'",
    ] {
        assert!(sqlx::query(wrong).execute(scene.pool()).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_network_that_is_listened_to_is_awaited() {
    let scene = Scene::new().await;
    let awaits = async || amn_scanner::store::network::awaits(scene.pool(), &scene.network()).await.unwrap();
    assert!(!awaits().await);
    listen(&scene, &[everything("K", "seller")]).await;
    assert!(awaits().await);
}
