//! What nodes say at the tip, and what they say wrong: nothing is skipped, nothing is taken for nothing, and what
//! cannot be read stops us instead of being passed over.

use amn_core::id::IntentId;
use amn_scanner::follower::Outcome;
use amn_soroban::testkit::{Dialect, Fault, Node, Tx, plain};
use stellar_xdr::{Asset, Memo};

use super::ground::{self, PAYER, SHOP, WHOLE};
use super::scene::{StellarScene, endpoint};

struct Tip {
    scene: StellarScene,
    /// Of one history.
    nodes: [Node; 2],
    intent: IntentId,
}

impl Tip {
    async fn new() -> Self {
        let mut history = ground::history();
        history.pass(12);
        let first = Node::serve(history).await.unwrap();
        let second = Node::share(first.history.clone()).await.unwrap();
        let nodes = [first, second];
        let endpoints = nodes.iter().zip(["a", "b"]).map(|(node, name)| endpoint(name, &node.url(), name)).collect();
        let mut scene = StellarScene::reading(ground::network(ground::TWO), None, endpoints).await;
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

    async fn confirmed(&mut self, what: &str) {
        self.scene.reaches(self.tip().into()).await;
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
            tip.nodes[troubled].heal();
            tip.nodes[0].history().pass(1);
            tip.confirmed(&what).await;
            assert_eq!(tip.scene.distrusted(), [None, None], "{what}: trouble is no lie");
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
            tip.scene.catch_up().await;
        }
        assert_eq!(tip.scene.db.halted().await, None, "{what}");
        for node in &tip.nodes {
            node.heal();
        }
        tip.nodes[0].history().pass(1);
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

/// What makes a ledger unreadable for this binary.
fn unreadable(height: u32) -> [Fault; 4] {
    [Fault::Undecodable(height), Fault::NotBase64(height), Fault::Endless(height), Fault::Newer(height)]
}

#[tokio::test]
async fn a_ledger_that_no_operator_gives_readably_halts_loudly_and_is_read_when_one_does() {
    for number in 0..4 {
        let mut tip = Tip::new().await;
        let fault = unreadable(tip.paying())[number].clone();
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
        for node in &tip.nodes {
            node.heal();
        }
        tip.scene.resume().await;
        tip.confirmed(&format!("{fault:?}")).await;
    }
}

#[tokio::test]
async fn a_ledger_that_one_operator_gives_unreadably_is_read_from_another() {
    for number in 0..4 {
        for troubled in 0..2 {
            let mut tip = Tip::new().await;
            let fault = unreadable(tip.paying())[number].clone();
            tip.nodes[troubled].fault(fault.clone());
            tip.pay();
            tip.scene.reaches(tip.tip().into()).await;
            assert_eq!(tip.scene.db.halted().await, None, "{fault:?} by {troubled}");
            let events = tip.scene.db.events(tip.intent).await;
            assert_eq!(events.first().map(String::as_str), Some("payment.detected"), "{fault:?} by {troubled}");
        }
    }
}

#[tokio::test]
async fn nodes_that_come_back_as_another_network_are_a_hard_stop() {
    let mut tip = Tip::new().await;
    for node in &tip.nodes {
        node.fault(Fault::Queue);
    }
    tip.scene.catch_up().await;
    for node in &tip.nodes {
        node.heal();
        node.fault(Fault::Passphrase("Test SDF Network ; September 2015".to_owned()));
    }
    tip.pay();
    let stood = tip.scene.db.tip().await;
    let mut last = Outcome::Idle;
    for _ in 0..5 {
        last = tip.scene.catch_up().await;
    }
    assert_eq!(tip.scene.db.tip().await, stood, "{last:?}: nothing of another network is read");
    assert_eq!(tip.scene.db.deposits().await, 0);
}
