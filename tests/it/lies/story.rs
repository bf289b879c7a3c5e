//! One lie told in one place: the chain goes on, the follower follows, and what came of it is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use amn_core::id::IntentId;
use amn_evm::testkit::{Call, History, Node};
use amn_rpc::VirtualTime;
use amn_scanner::follower::Outcome;
use amn_scanner::torture::{Face, OpenFace};
use serde_json::json;

use super::ground::{self, INNER, LOOT, PATIENT_SHOP, QUIET, THIEF};
use super::stage::{begin_to_lie, endpoints, intent, tracing};
use crate::auditor::scene::auditor;
use crate::support::evm_scene::EvmScene;

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
    pub shows: Shows,
}

/// How a lie shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Before anything comes of it.
    AtOnce,
    /// No hash tells it from the truth at first: it may be detected, and must be retracted.
    InTheEnd,
    /// Nobody can see it, and nobody needs to.
    Never,
    /// A payment stays away until the auditor looks.
    ToTheAuditor,
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
    // It holds the whole house.
    Box::pin(play.end()).await
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
        let time = VirtualTime::at(Duration::from_hours(500_000));
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
            {
                let mut history = honest.history();
                history.pass(4);
                (history.safe, history.finalized) = (Some(5), Some(4));
            }
            scene.catch_up().await;
            scene.catch_up().await;
        }
        Self { case, stand, honest, _other: other, face, own, scene, time, paid, bait, quiet, last, wrong, refused }
    }

    fn may_be_detected(&self) -> bool {
        self.case.shows == Shows::InTheEnd
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
        if self.case.shows == Shows::ToTheAuditor && self.stand != Stand::LastOfThree {
            if self.scene.deposits().await == 3 {
                self.wrong.push("it hid nothing".to_owned());
            } else {
                self.audit().await;
            }
            "the auditor: alarm `payment_missed`".clone_into(&mut told);
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
        if told.is_empty() && self.case.shows != Shows::Never && self.stand != Stand::LastOfThree {
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
        let fine = events.is_empty() || (self.may_be_detected() && (retracted || !at_the_end));
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
            self.may_be_detected() && (what.ends_with("retracted") || !at_the_end && what.ends_with("seen"))
        };
        let unheard_of = false_ones.iter().filter(|(what, _)| !allowed(what));
        let unheard_of: Vec<String> = unheard_of.map(|(what, count)| format!("{count} times {what}")).collect();
        self.wrong.extend(unheard_of);
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
            let undone = events.contains(&"payment.reversed") || (events.len() != 2 && !self.may_be_detected());
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
