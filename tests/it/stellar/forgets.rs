//! Nodes that forget history while we catch up: others serve it; where none has it any more the network halts, loudly,
//! and goes on when it is back. No ledger is ever skipped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use amn_core::id::IntentId;
use amn_rpc::EndpointConfig;
use amn_scanner::follower::Outcome;
use amn_soroban::testkit::lake::{self, Shape};
use amn_soroban::testkit::{Dialect, Fault, History, Node, Tx, plain};
use stellar_xdr::{Asset, Memo};
use tempfile::TempDir;

use super::ground::{self, PAYER, SHOP, WHOLE};
use super::scene::{StellarScene, endpoint};

/// Ledgers that close while nobody looks; some pages of them.
const MISSED: u64 = 60;

/// Two nodes with a history each, a scene that has followed both to their beginning, and sixty ledgers to catch up
/// with: every third pays an intent.
struct Missed {
    scene: StellarScene,
    nodes: [Node; 2],
    intents: Vec<IntentId>,
    tip: u64,
}

impl Missed {
    async fn new() -> Self {
        Self::beside(&[]).await
    }

    /// The same with data lakes.
    async fn beside(lakes: &[EndpointConfig]) -> Self {
        let mut history = ground::history();
        history.pass(3);
        let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
        let endpoints = nodes.iter().zip(["a", "b"]).map(|(node, name)| endpoint(name, &node.url(), name)).collect();
        let mut scene = StellarScene::waiting(ground::network(ground::TWO), None, endpoints, lakes).await;
        scene.catch_up().await;
        let mut intents = Vec::new();
        for number in 0..MISSED / 3 {
            intents.push(scene.intent("XLM", SHOP, Some(&format!("id:{number}")), WHOLE).await);
        }
        for number in 0..MISSED {
            let memo = Memo::Id(number / 3);
            let pay = Tx::of(PAYER).memo(memo).pay(plain(SHOP), &Asset::Native, WHOLE);
            history.close(if number % 3 == 2 { std::slice::from_ref(&pay) } else { &[] });
        }
        let tip = history.tip().unwrap().at.height.0;
        for node in &nodes {
            *node.history() = history.clone();
        }
        Self { scene, nodes, intents, tip }
    }

    /// The oldest ledger that we have not read.
    fn next(&self) -> u32 {
        u32::try_from(self.tip - MISSED + 1).unwrap()
    }

    async fn everything_is_confirmed(&mut self, what: &str) {
        self.scene.reaches(self.tip).await;
        for (number, intent) in self.intents.iter().enumerate() {
            let events = self.scene.db.events(*intent).await;
            assert_eq!(events, ["payment.detected", "payment.confirmed"], "{what}: payment {number}");
        }
        assert_eq!(self.scene.db.deposits().await, i64::try_from(self.intents.len()).unwrap(), "{what}");
    }
}

/// The node forgets all but its newest five ledgers once it has given so many pages.
fn forgets_after(node: &Node, pages: u64) {
    let (history, given) = (Arc::clone(&node.history), AtomicU64::new(0));
    node.script(Some(Arc::new(move |method, params, honest| {
        let wanted = params["pagination"]["limit"].as_u64().unwrap_or_default();
        if method == "getLedgers" && wanted > 1 && given.fetch_add(1, Ordering::Relaxed) + 1 == pages {
            forget(&mut history.lock().unwrap());
        }
        honest
    })));
}

fn forget(history: &mut History) {
    let tip = u32::try_from(history.tip().unwrap().at.height.0).unwrap();
    history.forget_below(tip - 4);
}

#[tokio::test]
async fn what_one_node_forgets_while_we_catch_up_is_read_from_the_other() {
    for pages in [1, 2, 3] {
        for forgetful in 0..2 {
            let what = format!("node {forgetful} after {pages} pages");
            let mut missed = Missed::new().await;
            forgets_after(&missed.nodes[forgetful], pages);
            missed.everything_is_confirmed(&what).await;
            assert_eq!(missed.scene.distrusted(), [None, None], "{what}: forgetting is no lie");
            assert_eq!(missed.scene.db.halted().await, None, "{what}");
        }
    }
}

#[tokio::test]
async fn what_every_node_forgot_halts_the_network_loudly_until_history_is_back() {
    for dialect in
        [Dialect::InvalidRequest, Dialect::InvalidParams, Dialect::NoMetadata, Dialect::Internal, Dialect::EmptyPage]
    {
        let mut missed = Missed::new().await;
        let whole = missed.nodes[0].history().clone();
        for node in &missed.nodes {
            forget(&mut node.history());
            node.fault(Fault::OutOfRange(dialect));
        }
        let stood = missed.scene.db.tip().await;
        assert_eq!(missed.scene.catch_up().await, Outcome::Halted, "{dialect:?}: {}", missed.scene.log.text());
        let (reason, detail) = missed.scene.db.halted().await.unwrap();
        assert_eq!(reason, "pruned", "{dialect:?}: {detail}");
        assert!(detail.contains(&missed.next().to_string()), "{dialect:?}: it says which ledger is missing: {detail}");
        assert!(missed.scene.log.says(&["ERROR", "halted until a person looks", "pruned"]), "{dialect:?}");
        let told = missed.scene.db.count("select count(*) from amn.event where event = 'network.halted'").await;
        assert_eq!(told, 1, "{dialect:?}");
        assert_eq!(missed.scene.db.tip().await, stood, "{dialect:?}: nothing is skipped");
        // A person who resumes too early is told again.
        missed.scene.resume().await;
        assert_eq!(missed.scene.catch_up().await, Outcome::Halted, "{dialect:?}");
        assert_eq!(missed.scene.db.tip().await, stood, "{dialect:?}");

        *missed.nodes[1].history() = whole;
        missed.scene.resume().await;
        missed.everything_is_confirmed(&format!("{dialect:?}")).await;
    }
}

#[tokio::test]
async fn history_lost_in_the_middle_of_catching_up_halts_where_we_stand_and_loses_nothing() {
    let mut missed = Missed::new().await;
    let whole = missed.nodes[0].history().clone();
    for node in &missed.nodes {
        forgets_after(node, 2);
    }
    assert_eq!(missed.scene.catch_up().await, Outcome::Halted, "{}", missed.scene.log.text());
    let stood = u64::try_from(missed.scene.db.tip().await).unwrap();
    assert!(stood > u64::from(missed.next()) && stood < missed.tip - 5, "in the middle: {stood}");
    for node in &missed.nodes {
        node.script(None);
        *node.history() = whole.clone();
    }
    missed.scene.resume().await;
    missed.everything_is_confirmed("after the middle").await;
}

#[tokio::test]
async fn a_node_that_says_it_forgot_more_than_it_has_loses_us_nothing() {
    let mut missed = Missed::new().await;
    // Where old ledgers come from a data store, a node names only those it keeps itself.
    let said = missed.next() + 40;
    missed.nodes[0].fault(Fault::OldestSaid(said));
    missed.everything_is_confirmed("one says so").await;
}

#[tokio::test]
async fn what_every_node_forgot_is_read_from_a_data_lake_in_a_folder() {
    let folder = TempDir::new().unwrap();
    let lake = endpoint("lake", &format!("file://{}", folder.path().display()), "keeper");
    let mut missed = Missed::beside(&[lake]).await;
    {
        let history = missed.nodes[0].history();
        let shape = Shape { ledgers_per_batch: 4, batches_per_partition: 8 };
        lake::write(folder.path(), ground::PASSPHRASE, &lake::ledgers_of(&history), shape).unwrap();
    }
    for node in &missed.nodes {
        forget(&mut node.history());
    }
    missed.everything_is_confirmed("from the lake").await;
    assert_eq!(missed.scene.db.halted().await, None);
    assert_eq!(missed.scene.distrusted(), [None, None]);
}

#[tokio::test]
async fn a_lake_with_a_hole_where_the_nodes_forgot_halts_and_skips_nothing() {
    let folder = TempDir::new().unwrap();
    let lake = endpoint("lake", &format!("file://{}", folder.path().display()), "keeper");
    let mut missed = Missed::beside(&[lake]).await;
    let whole = missed.nodes[0].history().clone();
    let shape = Shape { ledgers_per_batch: 1, batches_per_partition: 8 };
    lake::write(folder.path(), ground::PASSPHRASE, &lake::ledgers_of(&whole), shape).unwrap();
    let hole = missed.next() + 20;
    std::fs::remove_file(folder.path().join(shape.path(hole))).unwrap();
    for node in &missed.nodes {
        forget(&mut node.history());
    }
    assert_eq!(missed.scene.catch_up().await, Outcome::Halted, "{}", missed.scene.log.text());
    let (reason, detail) = missed.scene.db.halted().await.unwrap();
    assert_eq!(reason, "pruned", "{detail}");
    // A lake is not believed alone: the last ledgers before the hole are those that two organisations have not built on.
    assert_eq!(missed.scene.db.tip().await, i64::from(hole) - 3, "up to the hole: {detail}");
    assert!(detail.contains(&(hole - 2).to_string()), "and it says where it stands: {detail}");
    lake::write(folder.path(), ground::PASSPHRASE, &lake::ledgers_of(&whole), shape).unwrap();
    missed.scene.resume().await;
    missed.everything_is_confirmed("the hole is filled").await;
}
