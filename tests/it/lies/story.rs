//! One lie told in one place: the chain goes on, the follower follows, and what came of it is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use amn_core::id::IntentId;
use amn_evm::testkit::{Call, History, Made, Node, Reply, Script};
use amn_rpc::{EndpointConfig, VirtualTime};
use amn_scanner::follower::Outcome;
use amn_scanner::store;
use amn_scanner::torture::{Face, OpenFace, Rule, lies};
use serde_json::{Value, json};

use super::ground::{self, INNER, LOOT, PATIENT_SHOP, QUIET, THIEF};
use crate::auditor::scene::auditor;
use crate::support::evm_scene::{EvmScene, endpoint};

/// Where the liar stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand {
    FirstOfThree,
    LastOfThree,
    OneOfTwo,
}

impl Stand {
    pub const ALL: [Self; 3] = [Self::FirstOfThree, Self::LastOfThree, Self::OneOfTwo];
}

/// What is being read while the lie is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Payments of tokens at the tip.
    Tokens,
    /// Native payments besides.
    Native,
    /// Payments in eighty blocks of history.
    History,
    /// Balances, and traces where they grew.
    Balances,
}

/// How a lie is told.
#[derive(Clone, Copy)]
pub enum Liar {
    /// Answers are changed by the lie of that name.
    Answers(&'static str),
    /// The node has a chain of its own, made when the payments are.
    Chain(fn(&mut History)),
    /// The same by two endpoints of the operator.
    Twins(fn(&mut History)),
}

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub says: &'static str,
    pub liar: Liar,
    pub story: Story,
    /// It lies from before the ledger begins.
    pub from_the_start: bool,
    /// No hash tells it from the truth at first: it may be detected, and must be retracted.
    pub may_be_detected: bool,
    /// Nobody can see it, and nobody needs to.
    pub harmless: bool,
    /// A payment stays away until the auditor looks.
    pub hides: bool,
}

/// What came of a lie.
#[derive(Debug)]
pub struct Came {
    pub told: String,
    /// What must not be; empty where all is well.
    pub wrong: Vec<String>,
}

/// Looks of the auditor in which each of some hundred blocks is drawn at least once.
const LOOKS_MAX: usize = 1_000;

/// A step of the chain in the time of the machine: long enough that a head that stands still is noticed.
const STEP: Duration = Duration::from_secs(4);

pub async fn play(case: Case, stand: Stand) -> Came {
    let mut play = Play::begin(case, stand).await;
    match case.story {
        Story::History => play.history().await,
        Story::Tokens | Story::Native | Story::Balances => play.tip().await,
    }
    play.end().await
}

struct Play {
    case: Case,
    stand: Stand,
    honest: Node,
    _other: Node,
    face: OpenFace,
    own: Option<Node>,
    scene: EvmScene,
    time: VirtualTime,
    paid: Vec<(IntentId, u128)>,
    bait: IntentId,
    quiet: IntentId,
    last: Outcome,
    wrong: Vec<String>,
    /// Why the daemon would not start.
    refused: Option<String>,
}

impl Play {
    async fn begin(case: Case, stand: Stand) -> Self {
        let honest = Node::serve(ground::beginning()).await.unwrap();
        let other = Node::share(honest.history.clone()).await.unwrap();
        honest.script(Some(tracing(&honest)));
        other.script(Some(tracing(&honest)));
        let own = match case.liar {
            Liar::Answers(_) => None,
            Liar::Chain(_) | Liar::Twins(_) => Some(Node::serve(ground::beginning()).await.unwrap()),
        };
        let behind = own.as_ref().map_or(honest.url(), Node::url);
        let face = Face::before(&behind, None, 7).unwrap().open().await.unwrap();
        let endpoints = endpoints(case, stand, &face, [&honest, &other]);
        let native = matches!(case.story, Story::Native | Story::Balances);
        // Under it every node is as quick as the others: who is asked first follows from the order alone.
        let time = VirtualTime::at(Duration::from_secs(1_800_000_000));
        let balance_check = (case.story == Story::Balances).then_some(2);
        let mut scene = EvmScene::waiting(ground::network(), None, endpoints, balance_check, time.time()).await;
        let (mut wrong, mut refused) = (Vec::new(), None);
        if case.from_the_start {
            begin_to_lie(case, &face, own.as_ref());
        }
        // Who the chain is, as the daemon asks before it begins.
        let identity = {
            use amn_core::source::ChainSource as _;
            amn_evm::source::EvmSource::new(scene.pool.clone(), scene.network.clone()).probe().await
        };
        match identity {
            Ok(identity) if identity.decimals.values().all(|decimals| *decimals == 6) => {}
            Err(why) if stand == Stand::OneOfTwo => refused = Some(format!("the network does not start: {why}")),
            other => wrong.push(format!("the identity is {other:?}")),
        }
        scene.catch_up().await;
        scene.catch_up().await;
        let mut paid = Vec::new();
        for (symbol, to, amount) in ground::honest(native) {
            let require = if to == PATIENT_SHOP { json!({"tag": "finalized"}) } else { json!({}) };
            paid.push((intent(&scene, symbol, to, amount, &require, None).await, amount));
        }
        let bait = intent(&scene, if native { "ETH" } else { "TST" }, THIEF, LOOT, &json!({}), None).await;
        if native {
            intent(&scene, "ETH", INNER, 50, &json!({}), None).await;
        }
        let quiet = intent(&scene, "TST", QUIET, 5, &json!({}), Some(86_400)).await;
        let last = scene.catch_up().await;
        if case.story == Story::Balances {
            // So that there is a balance to compare the next one with.
            let mut history = honest.history();
            history.pass(4);
            (history.safe, history.finalized) = (Some(5), Some(4));
            drop(history);
            scene.catch_up().await;
            scene.catch_up().await;
        }
        Self { case, stand, honest, _other: other, face, own, scene, time, paid, bait, quiet, last, wrong, refused }
    }

    fn lie(&self) {
        begin_to_lie(self.case, &self.face, self.own.as_ref());
    }

    /// The chain grows block by block.
    async fn tip(&mut self) {
        self.lie();
        let native = self.case.story != Story::Tokens && self.case.story != Story::History;
        self.mine(&ground::bystanders());
        self.mine(&ground::payments(native));
        if self.case.story == Story::Balances {
            let mut history = self.honest.history();
            for (symbol, to, amount) in ground::honest(true) {
                if symbol == "ETH" {
                    history.balances.insert(to, alloy_primitives::U256::from(amount));
                }
            }
            history.balances.insert(INNER, alloy_primitives::U256::from(1));
        }
        self.catch_up().await;
        for _ in 0..6 {
            self.step().await;
        }
        self.nothing_is_final_yet().await;
        for _ in 0..4 {
            // So many that those who keep silent about what is final are no longer waited for.
            self.honest.history().pass(12);
            self.finalize();
            self.step().await;
        }
    }

    /// Eighty blocks pass while nobody looks.
    async fn history(&mut self) {
        self.lie();
        for _ in 0..4 {
            self.mine(&ground::bystanders());
        }
        self.mine(&ground::payments(false));
        self.honest.history().pass(80);
        self.finalize();
        self.catch_up().await;
        for _ in 0..4 {
            self.step().await;
            self.finalize();
        }
    }

    fn mine(&self, calls: &[Call]) {
        self.honest.history().extend(calls);
    }

    /// All but the newest two blocks are final.
    fn finalize(&self) {
        let mut history = self.honest.history();
        let tip = history.tip().unwrap().at.height.0;
        (history.safe, history.finalized) = (Some(tip - 1), Some(tip - 2));
    }

    async fn step(&mut self) {
        self.mine(&[]);
        self.time.advance(STEP);
        self.catch_up().await;
    }

    async fn catch_up(&mut self) {
        self.last = self.scene.catch_up().await;
        // A second look, as the next poll takes it.
        if matches!(self.last, Outcome::Waiting(_)) {
            self.last = self.scene.catch_up().await;
        }
    }

    /// What waits for finality is not settled before the honest chain is final.
    async fn nothing_is_final_yet(&mut self) {
        let (patient, _) = self.paid[2];
        if self.scene.status(patient).await == "confirmed" {
            self.wrong.push("settled before it was final".to_owned());
        }
    }

    async fn end(mut self) -> Came {
        self.look(false).await;
        let mut told = self.told();
        if let Some(refused) = &self.refused {
            told.clone_from(refused);
        }
        if self.case.hides && self.stand != Stand::LastOfThree {
            if self.scene.deposits().await == 3 {
                self.wrong.push("it hid nothing".to_owned());
            } else {
                self.audit().await;
            }
            told = "the auditor: alarm `payment_missed`".to_owned();
        }
        if self.stand == Stand::OneOfTwo {
            // The liar gives in, and its time of distrust passes.
            self.face.set_rules(Vec::new());
            if let Some(own) = &self.own {
                let honest = self.honest.history().clone();
                *own.history() = honest;
            }
            for _ in 0..6 {
                self.time.advance(Duration::from_mins(11));
                if let Some(own) = &self.own {
                    own.history().pass(1);
                }
                self.step().await;
                self.finalize();
            }
        }
        self.look(true).await;
        if told.is_empty() && !self.case.harmless && self.stand != Stand::LastOfThree {
            self.wrong.push(format!("nobody is told: {:?}\n{}", self.last, self.scene.log.text()));
        }
        if !self.wrong.is_empty() {
            self.wrong.push(format!("told: {told:?}, last: {:?}", self.last));
        }
        let told = if !told.is_empty() {
            told
        } else if self.was_not_asked() {
            "not asked".to_owned()
        } else {
            "nothing; nothing it said was used".to_owned()
        };
        Came { told, wrong: self.wrong }
    }

    /// The liar goes on, and the auditor looks until it has found what was hidden.
    async fn audit(&mut self) {
        let mut auditor = auditor(&self.scene, 7, 3_600);
        for _ in 0..LOOKS_MAX {
            self.scene.clock.advance(60_000);
            self.scene.follower.round().await.unwrap();
            auditor.look().await.unwrap();
            if self.scene.log.says(&["payment_missed"]) && self.scene.deposits().await == 3 {
                self.scene.catch_up().await;
                return;
            }
        }
        self.wrong.push("the auditor does not find it".to_owned());
    }

    fn was_not_asked(&self) -> bool {
        matches!(self.case.liar, Liar::Answers(_)) && self.face.counts().struck.is_empty()
    }

    /// Looks for money that never moved; in the end, for money that did.
    async fn look(&mut self, at_the_end: bool) {
        let events = self.scene.events(self.bait).await;
        let retracted = events.chunks(2).all(|pair| pair == ["payment.detected", "payment.retracted"]);
        let fine = events.is_empty() || (self.case.may_be_detected && (retracted || !at_the_end));
        if !fine || events.iter().any(|event| event == "payment.confirmed") {
            self.wrong.push(format!("the thief: {events:?}"));
        }
        let quiet = self.scene.status(self.quiet).await;
        if quiet != "awaiting" {
            self.wrong.push(format!("who waits with time left is {quiet}"));
        }
        let mut false_ones: BTreeMap<String, i64> = BTreeMap::new();
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("select to_address, amount::text, status from amn.deposit order by seen_at, ordinal")
                .fetch_all(&self.scene.db.pool)
                .await
                .unwrap();
        let honest = ground::honest(true);
        let mut settled = Vec::new();
        for (to, amount, status) in rows {
            let to: alloy_primitives::Address = to.parse().unwrap();
            let true_one = honest.iter().any(|(_, shop, units)| *shop == to && units.to_string() == amount);
            let inner = to == INNER && amount == "1" && self.case.story == Story::Balances;
            if !true_one && !inner {
                *false_ones.entry(format!("{amount} to {to}: {status}")).or_default() += 1;
            } else if status == "settled" && !inner {
                settled.push(to);
            }
        }
        let allowed = |what: &str| {
            self.case.may_be_detected && (what.ends_with("retracted") || !at_the_end && what.ends_with("seen"))
        };
        for (what, count) in false_ones.into_iter().filter(|(what, _)| !allowed(what)) {
            self.wrong.push(format!("{count} times {what}"));
        }
        settled.sort();
        let twice = settled.windows(2).any(|two| two[0] == two[1]);
        if twice {
            self.wrong.push(format!("settled twice: {settled:?}"));
        }
        if !at_the_end {
            return;
        }
        for (intent, amount) in self.paid.clone() {
            let bodies = self.scene.bodies(intent).await;
            let events: Vec<_> = bodies.iter().map(|body| body["event"].as_str().unwrap_or_default()).collect();
            let settled = bodies.last().map(|body| body["intent"]["settled"].clone());
            let undone = events.contains(&"payment.reversed") || (events.len() != 2 && !self.case.may_be_detected);
            if events.last() != Some(&"payment.confirmed") || settled != Some(json!(amount.to_string())) || undone {
                self.wrong.push(format!("{amount}: {events:?}, settled {settled:?}"));
            }
        }
    }

    /// What ops see: who is distrusted and why; else alarms; else what `networks` shows of the endpoint.
    fn told(&self) -> String {
        let mut words = Vec::new();
        for endpoint in self.scene.pool.endpoints() {
            let health = endpoint.health();
            let liar = health.operator == "a";
            if let Some(reason) = &health.distrusted {
                words.push(format!("{}distrusted: {reason}", if liar { "" } else { "HONEST " }));
            }
        }
        let text = self.scene.log.text();
        for line in text.lines().filter(|line| line.contains("alarm: ")) {
            let kind = line.split("alarm: ").nth(1).unwrap_or_default();
            let kind = kind.split_whitespace().next().unwrap_or_default();
            let word = format!("alarm `{kind}`");
            if !words.contains(&word) {
                words.push(word);
            }
        }
        if words.is_empty() {
            for endpoint in self.scene.pool.endpoints() {
                let health = endpoint.health();
                if health.operator != "a" {
                    continue;
                }
                if health.heads_went_back > 0 {
                    words.push("`networks`: its head went back".to_owned());
                }
                if health.lag.is_some_and(|lag| lag > 0) {
                    words.push("`networks`: it lags".to_owned());
                }
                if let Some(error) = &health.last_error {
                    words.push(format!("`networks`: {error}"));
                }
            }
        }
        if words.is_empty()
            && let Outcome::Waiting(why) = &self.last
        {
            words.push(format!("alarm `waiting_for_source`: {why}"));
        }
        words.dedup();
        words.join("; ")
    }
}

fn begin_to_lie(case: Case, face: &OpenFace, own: Option<&Node>) {
    match (case.liar, own) {
        (Liar::Answers(name), _) => {
            let lie = lies::named(name).unwrap_or_else(|| panic!("no lie {name}"));
            face.set_rules(vec![Rule::always(lie.about(ground::aim(name)))]);
        }
        (Liar::Chain(make) | Liar::Twins(make), Some(own)) => make(&mut own.history()),
        _ => {}
    }
}

/// The liar is operator `a`; `b` and `c` are honest.
fn endpoints(case: Case, stand: Stand, liar: &OpenFace, honest: [&Node; 2]) -> Vec<EndpointConfig> {
    let mut liars = vec![endpoint("a", &liar.url(), "a")];
    if matches!(case.liar, Liar::Twins(_)) {
        liars.push(endpoint("a2", &liar.url(), "a"));
    }
    let [b, c] = [("b", honest[0]), ("c", honest[1])].map(|(name, node)| endpoint(name, &node.url(), name));
    match stand {
        Stand::FirstOfThree => liars.into_iter().chain([b, c]).collect(),
        Stand::LastOfThree => [b, c].into_iter().chain(liars).collect(),
        Stand::OneOfTwo => liars.into_iter().chain([b]).collect(),
    }
}

/// A node that keeps old balances and traces: in the block of the payments, the first transaction paid one unit inside
/// of its call.
fn tracing(node: &Node) -> Script {
    let history = node.history.clone();
    Arc::new(move |method, params, honest| {
        let at = match method {
            "debug_traceBlockByHash" => &params[0],
            "eth_getBalance" => &params[1]["blockHash"],
            _ => return honest,
        };
        let history = history.lock().unwrap();
        let hash = at.as_str().unwrap_or_default().parse::<B256>().unwrap_or_default();
        let Some(made) = history.known.get(&hash) else { return Reply::Result("null".to_owned()) };
        let names = |made: &Made| -> Vec<Value> {
            let block: Value = serde_json::from_str(&made.named).unwrap();
            block["transactions"].as_array().unwrap().clone()
        };
        let paid = history.blocks.values().find(|made| names(made).len() > 2).map(|made| made.at.height);
        if method == "eth_getBalance" {
            let paid_by_then = paid.is_some_and(|paid| made.at.height >= paid);
            return if paid_by_then { honest } else { Reply::Result("\"0x0\"".to_owned()) };
        }
        let call = |to, value, calls: Value| json!({ "type": "CALL", "from": THIEF, "to": to, "value": value, "calls": calls });
        let inner = json!([call(INNER, "0x1", json!([]))]);
        let traces = names(made).into_iter().enumerate().map(|(at, name)| {
            let calls = if at == 0 && paid == Some(made.at.height) { inner.clone() } else { json!([]) };
            json!({ "txHash": name, "result": call(THIEF, "0x0", calls) })
        });
        Reply::Result(traces.collect::<Value>().to_string())
    })
}

async fn intent(
    scene: &EvmScene,
    symbol: &str,
    to: alloy_primitives::Address,
    due: u128,
    require: &serde_json::Value,
    seconds: Option<i64>,
) -> IntentId {
    let asset = scene.network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap();
    // The chain's clock began at 1,700,000,000.
    let expires = seconds.map(|s| store::moment(amn_core::timestamp::Timestamp::from_seconds(1_700_000_000 + s)));
    let id: uuid::Uuid = sqlx::query_scalar(
        "select amn.create_intent('seller', $1, $2, $3::text::numeric, $4, require => $5, expires_at => $6)",
    )
    .bind(scene.network.facts.id.as_str())
    .bind(asset.id.as_str())
    .bind(due.to_string())
    .bind(amn_evm::address::spell(to.0.0).as_str())
    .bind(require)
    .bind(expires)
    .fetch_one(&scene.db.pool)
    .await
    .unwrap();
    IntentId(id.as_u128())
}
