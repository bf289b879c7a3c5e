//! All nodes of a network are gone for ten minutes by the clock and come back: what was missed is caught up in order,
//! and whoever asked meanwhile was told the truth.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::Address;
use amn_core::block::NetworkId;
use amn_core::timestamp::Timestamp;
use amn_evm::testkit::{Call, History, Node, Reply};
use amn_rpc::VirtualTime;
use amn_scanner::api::auth::hash_key;
use amn_scanner::api::{AppState, router};
use amn_scanner::clock::{SeededIds, TestClock};
use amn_scanner::config::Config;
use amn_scanner::daemon::nodes::Nodes;
use amn_scanner::daemon::{Door, guard_policy};
use amn_scanner::follower::{Follower, Parts, Woken};
use amn_scanner::networks::Networks;
use amn_scanner::networks::source::Source;
use amn_scanner::outbox::guard::Guard;
use amn_scanner::store;
use amn_scanner::store::decide::Desk;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::support::database::Database;

const KEY: &str = "the-operators-own-key-of-this-test";
const TOKEN: Address = Address::repeat_byte(0x70);
const NAMES: [&str; 3] = ["a", "b", "c"];
/// What each node says while it is gone: a proxy without a node, a page, a node without a chain.
const GONE: [fn() -> Reply; 3] = [
    || Reply::Status(502, "<html>bad gateway</html>".to_owned()),
    || Reply::Status(200, "<html>we are down for maintenance</html>".to_owned()),
    || Reply::Error(-32_603, "internal error".to_owned()),
];

/// A daemon but for its tasks, which the test does by hand: three nodes of three operators, a follower, an API.
struct World {
    db: Database,
    history: Arc<Mutex<History>>,
    nodes: [Node; 3],
    clock: Arc<TestClock>,
    time: VirtualTime,
    follower: Follower<Source>,
    knows: Arc<Nodes>,
    api: String,
    http: reqwest::Client,
    woken: Woken,
    /// Milliseconds of the world since it began.
    passed: u64,
    _measured: metrics::LocalRecorderGuard<'static>,
}

impl World {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut history = History::new(31_337);
        history.decimals.insert(TOKEN, 6);
        history.pass(20);
        (history.safe, history.finalized) = (Some(15), Some(10));
        let began = history.tip().unwrap().timestamp;
        let history = Arc::new(Mutex::new(history));
        let share = || Node::share(history.clone());
        let nodes = [share().await.unwrap(), share().await.unwrap(), share().await.unwrap()];
        let usual = format!(
            "environment = \"development\"\n[networks.devnet]\nquiet_poll_ms = 0\n\
             require = {{ confirmations = 3, inclusion = \"proven\", operators = 2 }}\n\
             tokens = [{{ address = \"{TOKEN}\", symbol = \"USDC\", decimals = 6 }}]\n"
        );
        let endpoint = |(node, name): (&Node, _)| {
            format!(
                "[[networks.devnet.endpoints]]\nname = \"{name}\"\noperator = \"{name}\"\nurl = \"{}\"\n",
                node.url()
            )
        };
        let text = usual + &nodes.iter().zip(NAMES).map(endpoint).collect::<String>();
        let config = Config::parse("outage.toml", &text, std::iter::empty()).unwrap();

        let time = VirtualTime::at(Duration::from_secs(began));
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(i64::try_from(began).unwrap())));
        let networks = Arc::new(Networks::build_at(&config, &time.time()).unwrap());
        let served = networks.get(&NetworkId::new("devnet")).unwrap();
        served.identify().await.unwrap();
        let db = Database::fresh().await;
        store::network::register(&db.pool, "evm", &served.facts, None).await.unwrap();
        let knows = Nodes::new(Uuid::from_u128(7), db.pool.clone(), clock.clone(), [served.pool.clone()]);
        let knows = Arc::new(knows);

        // Of this thread alone, as is the runtime of this test.
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let (metrics, measured) = (recorder.handle(), metrics::set_default_local_recorder(recorder));
        let parts = Parts {
            source: served.source(),
            desk: Desk::new(db.pool.clone(), served.facts.clone()),
            pool: db.pool.clone(),
            clock: clock.clone(),
            bell: Arc::new(Notify::new()),
            told: Arc::new(Notify::new()),
            holder: knows.daemon,
            poll: served.poll(),
            raw: served.raw(),
            start: None,
            balance_check: None,
        };
        let (id, rhythm) = (served.facts.id.clone(), served.rhythm());
        let follower = Follower::new(parts).at_pace(rhythm, knows.wake(&id), knows.pulse(&id));
        let api = serve(&db, &clock, &config, &networks, &knows, metrics).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let woken = Woken::Going;
        let passed = 0;
        Self { db, history, nodes, clock, time, follower, knows, api, http, woken, passed, _measured: measured }
    }

    /// Lives so many seconds: a block each, the follower looks and rests as it wants to.
    async fn live(&mut self, seconds: u64) {
        let end = self.passed + seconds * 1_000;
        while self.passed < end {
            let Some(rest) = self.follower.step(self.woken).await.unwrap() else {
                self.woken = Woken::Going;
                continue;
            };
            self.woken = Woken::Timer;
            let rest = u64::try_from(rest.length.as_millis()).unwrap().min(end - self.passed);
            self.pass(rest);
        }
    }

    /// Time passes, and the chain grows with it.
    fn pass(&mut self, millis: u64) {
        let mut history = self.history.lock().unwrap();
        history.pass((self.passed + millis) / 1_000 - self.passed / 1_000);
        self.passed += millis;
        self.clock.advance(i64::try_from(millis).unwrap());
        self.time.advance(Duration::from_millis(millis));
    }

    fn pay(&self, to: Address, amount: u128) {
        self.history.lock().unwrap().extend(&[Call::token(TOKEN, to, amount)]);
    }

    fn gone(&self, gone: bool) {
        for (node, says) in self.nodes.iter().zip(GONE) {
            node.script(gone.then(|| Arc::new(move |_: &str, _: &Value, _| says()) as _));
        }
    }

    async fn intent(&self, to: Address) -> Uuid {
        sqlx::query_scalar("select amn.create_intent('seller', 'devnet', $1, 100, $2)")
            .bind(format!("eip155:31337/erc20:{TOKEN}"))
            .bind(amn_evm::address::spell(to.0.0).as_str())
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    async fn status(&self, intent: Uuid) -> String {
        let status = sqlx::query_scalar("select status from amn.intent where id = $1").bind(intent);
        status.fetch_one(&self.db.pool).await.unwrap()
    }

    /// The events of an intent, in the order of their sequence.
    async fn told(&self, intent: Uuid) -> Vec<String> {
        let told =
            sqlx::query_scalar("select event from amn.event where intent_id = $1 order by sequence").bind(intent);
        told.fetch_all(&self.db.pool).await.unwrap()
    }

    /// The events in the order in which they were written: rows that nobody changes lie in it.
    async fn committed(&self) -> Vec<(Uuid, String)> {
        let all = "select intent_id, event from amn.event order by ctid";
        sqlx::query_as(all).fetch_all(&self.db.pool).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.api)).bearer_auth(KEY).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.get(path).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// The metrics as a scraper gets them, between two looks of the follower.
    async fn scrape(&self) -> Scraped {
        self.follower.measure();
        self.knows.measure();
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        Scraped(text)
    }

    fn asked(&self) -> BTreeMap<String, u64> {
        let report = self.knows.report(&NetworkId::new("devnet")).unwrap();
        let total = |node: &Value| node["requests"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let each = report["endpoints"].as_array().unwrap().iter();
        each.map(|node| (node["name"].as_str().unwrap().to_owned(), total(node))).collect()
    }
}

async fn serve(
    db: &Database,
    clock: &Arc<TestClock>,
    config: &Config,
    networks: &Arc<Networks>,
    knows: &Arc<Nodes>,
    metrics: PrometheusHandle,
) -> String {
    let guard = Guard::new(guard_policy(config));
    let door = Arc::new(Door::new(db.pool.clone(), networks.clone(), guard, clock.clone()));
    let (of, eyes) = (knows.clone(), knows.clone());
    let state = AppState {
        pool: db.pool.clone(),
        clock: clock.clone(),
        ids: Arc::new(SeededIds::new(7, Timestamp::from_seconds(1))),
        chains: door.clone(),
        decide: door,
        metrics: Arc::new(move || metrics.render()),
        daemon: knows.daemon,
        report: Arc::new(move |network| of.report(network)),
        look: Arc::new(move |network| eyes.look(network)),
        wake: Arc::new(Notify::new()),
        operator_key: Some(hash_key(KEY)),
        metrics_token: Some(hash_key(KEY)),
        request_timeout: Duration::from_secs(10),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    format!("http://{address}")
}

/// A page of metrics.
struct Scraped(String);

impl Scraped {
    /// The sample of that name with all of these labels.
    fn of(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let line = self.0.lines().find(|line| {
            line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label.as_str()))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn state(&self, endpoint: &str) -> &'static str {
        let is = |state| self.of("amn_rpc_breaker", &[("endpoint", endpoint), ("state", state)]) == Some(1.0);
        let states: Vec<_> = ["closed", "open", "half_open"].into_iter().filter(|state| is(state)).collect();
        assert_eq!(states.len(), 1, "a breaker is in one state: {states:?}");
        states[0]
    }

    fn transitions(&self, endpoint: &str, from: &str, to: &str) -> f64 {
        let labels = [("endpoint", endpoint), ("from", from), ("to", to)];
        self.of("amn_rpc_breaker_transitions_total", &labels).unwrap_or(0.0)
    }
}

#[tokio::test]
async fn ten_minutes_without_any_node_are_caught_up_in_order_and_nobody_was_told_otherwise() {
    let mut world = World::new().await;
    let to = |n: u8| Address::repeat_byte(n);
    let mut intents = Vec::new();
    for n in 1..=7 {
        intents.push(world.intent(to(n)).await);
    }
    let [settled, moved, dropped, early, late, both, never] = intents[..] else { panic!() };

    world.live(5).await;
    world.pay(to(1), 100);
    world.live(10).await;
    assert_eq!(world.status(settled).await, "confirmed");
    let fork = world.history.lock().unwrap().tip().unwrap().at.height.0;
    world.pay(to(2), 100);
    world.pay(to(3), 100);
    world.live(1).await;
    assert_eq!((world.status(moved).await, world.status(dropped).await), ("detected".into(), "detected".into()));
    let (ready, _) = world.json("/readyz").await;
    assert_eq!(ready, 200);
    let before = world.scrape().await;
    assert!(before.of("amn_network_lag_seconds", &[]).unwrap() < 5.0);
    for name in NAMES {
        assert_eq!(before.of("amn_rpc_usable", &[("endpoint", name)]), Some(1.0));
        assert_eq!(before.state(name), "closed");
    }

    // Everything goes. The chain takes another branch, on which one payment is mined again and one is not.
    world.gone(true);
    {
        let mut history = world.history.lock().unwrap();
        history.rewind(fork);
        history.extend(&[Call::token(TOKEN, to(2), 100)]);
        history.pass(2);
    }
    let left_at = world.passed;
    let asked_before = world.asked();
    let mut asked_until_now = asked_before.clone();
    for minute in 1..=10_u64 {
        match minute {
            2 => world.pay(to(4), 100),
            5 => world.pay(to(6), 40),
            6 => world.pay(to(6), 60),
            9 => world.pay(to(5), 100),
            _ => {}
        }
        world.live(60).await;
        assert_truth(&world, minute, (world.passed - left_at) / 1_000).await;
        // A probe every ten seconds and node, and what the follower tries at the ends of its rests.
        let asked = world.asked();
        for name in NAMES {
            let more = asked[name] - asked_until_now[name];
            assert!((1..=30).contains(&more), "minute {minute}: {name} was asked {more} times");
        }
        asked_until_now = asked;
    }
    let each: Vec<u64> = NAMES.iter().map(|name| asked_until_now[*name] - asked_before[*name]).collect();
    println!("questions during the outage, by node: {each:?}");

    // They come back. The longest rest of the follower, and the longest of a breaker, are over within a minute.
    let known = world.committed().await.len();
    world.gone(false);
    world.live(60).await;
    let (ready, body) = world.json("/readyz").await;
    assert_eq!((ready, &body["networks"][0]["status"]), (200, &Value::from("ok")), "{body}");
    let after = world.scrape().await;
    assert!(after.of("amn_network_lag_seconds", &[]).unwrap() < 5.0);
    for name in NAMES {
        assert_eq!((after.state(name), after.of("amn_rpc_usable", &[("endpoint", name)])), ("closed", Some(1.0)));
        assert!(after.transitions(name, "closed", "open") >= 1.0);
        assert!((1.0..=2.0).contains(&after.transitions(name, "half_open", "closed")));
    }
    assert_eq!(after.of("amn_reorgs_total", &[]), Some(1.0));

    // Complete: every height is covered, every payment told once, nothing of the branch that is gone.
    let tip = world.history.lock().unwrap().tip().unwrap().at.height.0;
    let covered: i64 =
        sqlx::query_scalar("select tip_height from amn.network").fetch_one(&world.db.pool).await.unwrap();
    assert!(u64::try_from(covered).unwrap() + 1 >= tip, "covered up to {covered} of {tip}");
    let whole = ["payment.detected", "payment.confirmed"];
    for intent in [settled, moved, early, late] {
        assert_eq!(world.status(intent).await, "confirmed");
        assert_eq!(world.told(intent).await, whole);
    }
    assert_eq!(
        world.told(both).await,
        ["payment.detected", "payment.partial", "payment.detected", "payment.confirmed"]
    );
    assert_eq!(world.told(dropped).await, ["payment.detected", "payment.retracted"]);
    assert_eq!((world.status(dropped).await, world.status(never).await), ("awaiting".into(), "awaiting".into()));
    assert!(world.told(never).await.is_empty());

    // In order: as the chain has it, the branch that was left first.
    let told = world.committed().await.split_off(known);
    let first = |intent: Uuid, event: &str| told.iter().position(|(of, told)| *of == intent && told == event).unwrap();
    let order = [
        first(dropped, "payment.retracted"),
        first(early, "payment.detected"),
        first(both, "payment.detected"),
        first(both, "payment.confirmed"),
        first(late, "payment.detected"),
        first(late, "payment.confirmed"),
    ];
    assert!(order.is_sorted(), "{told:#?}");
}

/// Whoever asks in that minute of the outage, so many seconds after its beginning, is told what is so.
async fn assert_truth(world: &World, minute: u64, seconds: u64) {
    let (alive, _) = world.json("/healthz").await;
    assert_eq!(alive, 200, "the process is well");
    let (ready, body) = world.json("/readyz").await;
    let network = &body["networks"][0];
    assert_eq!((ready, &network["status"]), (503, &Value::from("lagging")), "minute {minute}: {body}");
    assert_eq!(body["database"], "ok");
    let lag = network["lag_seconds"].as_u64().unwrap();
    assert!(lag.abs_diff(seconds) <= 6, "minute {minute}: {lag} s are said, {seconds} s have passed");
    let scraped = world.scrape().await;
    let gauge = scraped.of("amn_network_lag_seconds", &[("network", "devnet")]).unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred seconds")]
    let so = lag as f64;
    assert!((gauge - so).abs() <= 2.0, "minute {minute}: {gauge} is measured, {so} is so");
    assert_eq!(scraped.of("amn_network_halted", &[]), Some(0.0), "nothing is wrong that waiting does not mend");
    assert!(scraped.of("amn_alarms_total", &[("kind", "waiting_for_source")]).unwrap() >= 1.0);
    let (_, shown) = world.json("/v1/networks/devnet").await;
    assert_eq!(shown["polling"]["pace"], "retrying");
    for (node, name) in shown["endpoints"].as_array().unwrap().iter().zip(NAMES) {
        assert_eq!(scraped.of("amn_rpc_usable", &[("endpoint", name)]), Some(0.0), "minute {minute}: {node:#}");
        let state = scraped.state(name);
        assert!(["open", "half_open"].contains(&state), "minute {minute}: {name} is {state}");
        assert_eq!((&node["breaker"]["state"], &node["usable"]), (&Value::from(state), &Value::from(false)));
        assert!(node["distrusted"].is_null(), "who is gone has not lied: {node}");
        assert!(!node["last_error"].is_null());
    }
}
