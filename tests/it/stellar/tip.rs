//! What nodes say at the tip, and what they say wrong: nothing is skipped, nothing is taken for nothing, and what
//! cannot be read stops us instead of being passed over.

use std::time::Duration;

use amn_core::id::IntentId;
use amn_scanner::follower::Outcome;
use amn_soroban::testkit::{Dialect, Fault, Node, Tx, plain};
use stellar_xdr::{Asset, Memo};

use super::ground::{self, PAYER, SHOP, WHOLE};
use super::scene::{StellarScene, endpoint};

/// Past the time for which a liar is left out of all questions.
const DISTRUST_PASSES: Duration = Duration::from_mins(11);

struct Tip {
    scene: StellarScene,
    /// Of one history.
    nodes: [Node; 2],
    intent: IntentId,
}

impl Tip {
    async fn new() -> Self {
        Self::asking(ground::TWO).await
    }

    async fn asking(require: &str) -> Self {
        let mut history = ground::history();
        history.pass(12);
        let first = Node::serve(history).await.unwrap();
        let second = Node::share(first.history.clone()).await.unwrap();
        let nodes = [first, second];
        let endpoints = nodes.iter().zip(["a", "b"]).map(|(node, name)| endpoint(name, &node.url(), name)).collect();
        let mut scene = StellarScene::reading(ground::network(require), None, endpoints).await;
        assert_eq!(scene.catch_up().await, Outcome::Idle);
        let intent = scene.intent("XLM", SHOP, Some("id:1"), WHOLE).await;
        Self { scene, nodes, intent }
    }

    /// A ledger pays the intent, and two more close.
    fn pay(&self) {
        let pay = Tx::of(PAYER).memo(Memo::Id(1)).pay(plain(SHOP), &Asset::Native, WHOLE);
        let mut history = self.nodes[0].history();
        history.close(&[pay]);
        history.pass(2);
    }

    fn tip(&self) -> u32 {
        u32::try_from(self.nodes[0].history().tip().unwrap().at.height.0).unwrap()
    }

    /// The ledger that pays, before it has closed.
    fn paying(&self) -> u32 {
        self.tip() + 1
    }

    /// Whatever was wrong is over, and so is the time for which nobody would ask who was wrong.
    fn heals(&self) {
        for node in &self.nodes {
            node.heal();
        }
        self.nodes[0].history().pass(1);
        self.scene.time.advance(DISTRUST_PASSES);
    }

    async fn confirmed(&mut self, what: &str) {
        let tip = self.tip();
        self.scene.reaches(tip.into()).await;
        self.scene.catch_up().await;
        let events = self.scene.db.events(self.intent).await;
        assert_eq!(events, ["payment.detected", "payment.confirmed"], "{what}: {}", self.scene.log.text());
        assert_eq!(self.scene.db.deposits().await, 1, "{what}");
    }
}

/// What a node does wrong at the tip without lying about a ledger.
fn troubles() -> Vec<Fault> {
    let dialects =
        [Dialect::InvalidRequest, Dialect::InvalidParams, Dialect::NoMetadata, Dialect::Internal, Dialect::EmptyPage];
    let mut all: Vec<Fault> = dialects.into_iter().map(Fault::OutOfRange).collect();
    all.extend([
        Fault::Behind(2),
        Fault::Ahead(3),
        Fault::Backward(2),
        Fault::Unhealthy,
        Fault::Starting,
        Fault::EmptyPages,
        Fault::PagesOf(1),
        Fault::TooManyRequests { retry_after: 1 },
        Fault::Queue,
        Fault::MethodQueue,
        Fault::GatewayTimeout,
        Fault::TimesOutAbove(1),
        Fault::Error(-32_603, "internal error"),
        Fault::Truncated,
        Fault::CutOff,
    ]);
    all
}

#[tokio::test]
async fn at_the_tip_nothing_is_skipped_whatever_one_node_says() {
    for fault in troubles() {
        for troubled in 0..2 {
            let what = format!("node {troubled}: {fault:?}");
            let mut tip = Tip::new().await;
            tip.nodes[troubled].fault(fault.clone());
            tip.scene.catch_up().await;
            tip.pay();
            for _ in 0..3 {
                tip.scene.catch_up().await;
            }
            assert_eq!(tip.scene.db.halted().await, None, "{what}");
            let events = tip.scene.db.events(tip.intent).await;
            assert!(events.len() <= 2, "{what}: {events:?}");
            assert_eq!(tip.scene.distrusted(), [None, None], "{what}: trouble is no lie");
            tip.heals();
            tip.confirmed(&what).await;
        }
    }
}

#[tokio::test]
async fn at_the_tip_nothing_is_skipped_whatever_all_nodes_say() {
    for fault in troubles() {
        let what = format!("{fault:?}");
        let mut tip = Tip::new().await;
        for node in &tip.nodes {
            node.fault(fault.clone());
        }
        tip.scene.catch_up().await;
        tip.pay();
        for _ in 0..3 {
            if let Outcome::Waiting(why) = tip.scene.catch_up().await {
                let twice = why.to_string().matches("leave alone").count() > 1;
                assert!(!twice, "{what}: said once: {why}");
            }
        }
        assert_eq!(tip.scene.db.halted().await, None, "{what}");
        tip.heals();
        tip.confirmed(&what).await;
    }
}

#[tokio::test]
async fn a_ledger_that_one_node_leaves_out_of_its_pages_is_read_from_the_other() {
    for asked_first in [0, 1] {
        let mut tip = Tip::new().await;
        tip.nodes[asked_first].fault(Fault::Missing(tip.paying()));
        tip.pay();
        tip.confirmed(&format!("node {asked_first}")).await;
    }
}

#[tokio::test]
async fn a_ledger_that_no_operator_gives_readably_halts_loudly_and_is_read_when_one_does() {
    for fault in [Fault::Undecodable, Fault::Endless, Fault::Newer] {
        let mut tip = Tip::new().await;
        let fault = fault(tip.paying());
        let stood = tip.scene.db.tip().await;
        for node in &tip.nodes {
            node.fault(fault.clone());
        }
        tip.pay();
        let mut last = Outcome::Idle;
        for _ in 0..3 {
            last = tip.scene.catch_up().await;
        }
        assert_eq!(last, Outcome::Halted, "{fault:?}: {}", tip.scene.log.text());
        let (reason, detail) = tip.scene.db.halted().await.unwrap();
        assert_eq!(reason, "unsupported", "{fault:?}: {detail}");
        assert!(tip.scene.log.says(&["ERROR", "halted until a person looks", "unsupported"]), "{fault:?}");
        assert_eq!(tip.scene.db.tip().await, stood, "{fault:?}: not passed over");
        assert_eq!(tip.scene.db.events(tip.intent).await, Vec::<String>::new());

        // As after an update of this binary: the same ledger, readable.
        tip.heals();
        tip.scene.resume().await;
        tip.confirmed(&format!("{fault:?}")).await;
    }
}

#[tokio::test]
async fn what_is_not_even_base64_is_a_lie_and_what_it_stands_for_is_read_when_it_is() {
    let mut tip = Tip::new().await;
    let stood = tip.scene.db.tip().await;
    for node in &tip.nodes {
        node.fault(Fault::NotBase64(tip.paying()));
    }
    tip.pay();
    for _ in 0..3 {
        assert!(matches!(tip.scene.catch_up().await, Outcome::Waiting(_)));
    }
    assert!(tip.scene.distrusted().iter().all(Option::is_some), "{:?}", tip.scene.distrusted());
    assert_eq!(tip.scene.db.tip().await, stood, "not passed over");
    tip.heals();
    tip.confirmed("readable again").await;
}

#[tokio::test]
async fn a_ledger_that_one_operator_gives_unreadably_is_read_from_another() {
    for fault in [Fault::Undecodable, Fault::NotBase64, Fault::Endless, Fault::Newer] {
        for troubled in 0..2 {
            let mut tip = Tip::new().await;
            let paying = tip.paying();
            let fault = fault(paying);
            tip.nodes[troubled].fault(fault.clone());
            tip.pay();
            for _ in 0..3 {
                tip.nodes[0].history().pass(1);
                tip.scene.catch_up().await;
            }
            assert!(tip.scene.db.tip().await >= i64::from(paying), "{fault:?} by {troubled}: {}", tip.scene.log.text());
            assert_eq!(tip.scene.db.halted().await, None, "{fault:?} by {troubled}");
            let events = tip.scene.db.events(tip.intent).await;
            assert_eq!(events.first().map(String::as_str), Some("payment.detected"), "{fault:?} by {troubled}");
            tip.heals();
            tip.confirmed(&format!("{fault:?} by {troubled}")).await;
        }
    }
}

impl Tip {
    /// These nodes are gone until nobody asks them any more, and come back as nodes of another network.
    async fn comes_back_as_another(&mut self, which: &[usize]) {
        for node in which {
            self.nodes[*node].fault(Fault::GatewayTimeout);
        }
        for _ in 0..10 {
            self.nodes[0].history().pass(1);
            self.scene.catch_up().await;
        }
        for node in which {
            self.nodes[*node].heal();
            self.nodes[*node].fault(Fault::Passphrase("Test SDF Network ; September 2015".to_owned()));
        }
        self.pay();
        self.scene.time.advance(DISTRUST_PASSES);
    }
}

#[tokio::test]
async fn nodes_that_come_back_as_another_network_are_a_hard_stop() {
    let mut tip = Tip::new().await;
    tip.comes_back_as_another(&[0, 1]).await;
    let stood = tip.scene.db.tip().await;
    let mut last = Outcome::Idle;
    for _ in 0..5 {
        last = tip.scene.catch_up().await;
    }
    assert_eq!(last, Outcome::Halted, "{}", tip.scene.log.text());
    let (reason, detail) = tip.scene.db.halted().await.unwrap();
    assert!(reason == "unsupported" && detail.contains("Test SDF Network"), "{reason}: {detail}");
    assert_eq!((tip.scene.db.tip().await, tip.scene.db.deposits().await), (stood, 0));

    tip.heals();
    tip.scene.resume().await;
    tip.confirmed("the right network again").await;
}

#[tokio::test]
async fn one_node_that_comes_back_as_another_network_is_named_and_not_asked() {
    for changed in 0..2 {
        let mut tip = Tip::new().await;
        tip.comes_back_as_another(&[changed]).await;
        for _ in 0..3 {
            tip.nodes[0].history().pass(1);
            tip.scene.catch_up().await;
        }
        assert_eq!(tip.scene.db.halted().await, None);
        let distrusted = tip.scene.distrusted();
        let reason = distrusted[changed].as_deref().unwrap_or_default();
        assert!(reason.contains("Test SDF Network") && distrusted[1 - changed].is_none(), "{distrusted:?}");
        assert!(tip.scene.db.events(tip.intent).await.len() < 2, "one operator is left, and two are asked for");
        tip.heals();
        tip.confirmed(&format!("node {changed} is of the right network again")).await;
    }
}

#[tokio::test]
async fn a_payment_is_confirmed_in_the_look_that_reads_the_second_organisation_however_soon_that_is() {
    let mut tip = Tip::asking(r#"{ inclusion = "proven", operators = 2, attestations = 2 }"#).await;
    let pay = Tx::of(PAYER).memo(Memo::Id(1)).pay(plain(SHOP), &Asset::Native, WHOLE);
    tip.nodes[0].history().close(&[pay]);
    let newest = tip.tip();
    tip.scene.reaches(newest.into()).await;
    let mut told = Vec::new();
    // Within one interval of everything that is asked at intervals.
    for _ in 0..2 {
        tip.nodes[0].history().pass(1);
        tip.scene.look_after(Duration::from_millis(400)).await;
        assert_eq!(tip.scene.db.tip().await, i64::from(tip.tip()));
        told.push(tip.scene.db.events(tip.intent).await.len());
    }
    assert_eq!(told, [1, 2], "{}", tip.scene.log.text());
}
