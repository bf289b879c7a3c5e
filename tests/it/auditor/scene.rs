//! A network whose history was read from a node that left something out.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use amn_core::block::{BlockRef, Height, Inclusion};
use amn_core::confirmation::Require;
use amn_core::id::{EndpointId, IntentId};
use amn_core::timestamp::Timestamp;
use amn_evm::networks::EvmNetwork;
use amn_evm::source::EvmSource;
use amn_evm::testkit::{Call, History, Node, Script};
use amn_scanner::auditor::{Auditor, Outcome, Parts};
use amn_scanner::clock::SeededIds;
use amn_scanner::outbox::signature::{SECRET_BYTES, Secret};
use amn_scanner::store::decide::Desk;
use amn_scanner::store::outbox::endpoints::{self, NewEndpoint};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::sync::Notify;

use crate::bad_input::answers::{CHAIN, PAYER, SHOP, TOKEN, network};
use crate::support::evm_scene::{EvmScene, lying};

/// Blocks of the history: as few as are read as a range. The payment is in one in the middle.
pub const BLOCKS: u64 = 100;
pub const PAID: u64 = 40;
/// More than one in an hour, so that each look has one due.
const HOURLY: u32 = 3_600;
const MINUTE: i64 = 60_000;

/// Both operators must stand behind what is credited.
pub fn strict() -> EvmNetwork {
    let mut network = network();
    let facts = Arc::make_mut(&mut network.facts);
    facts.policy.require = Require {
        confirmations: Some(2),
        inclusion: Some(Inclusion::Proven),
        operators: Some(2),
        ..Require::default()
    };
    facts.rewind_operators = 2;
    network
}

/// A chain with payments to others in every block, final up to its last ten.
pub fn history() -> History {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    for height in 1..=BLOCKS {
        let other = Call::token(TOKEN, PAYER, u128::from(height));
        let ours = Call::token(TOKEN, SHOP, 25);
        history.extend(&if height == PAID { vec![other, ours] } else { vec![other] });
    }
    history.finalized = Some(BLOCKS - 10);
    history.safe = Some(BLOCKS - 5);
    history
}

/// Leaves the logs of payments to an address out of ranges, and of nothing else.
pub fn omitting(to: Address) -> Script {
    lying("eth_getLogs", move |_, logs| {
        let to = to.into_word();
        let names = |log: &Value| log["topics"][2].as_str().and_then(|topic| topic.parse::<B256>().ok()) == Some(to);
        logs.as_array_mut().unwrap().retain(|log| !names(log));
    })
}

pub struct Audit {
    pub scene: EvmScene,
    pub a: Node,
    pub b: Node,
    pub intent: IntentId,
    pub auditor: Auditor<EvmSource>,
}

impl Audit {
    /// The history was read from a, which left the payment out; b is honest. a no longer lies, unless it goes on.
    pub fn of_a_missed_payment() -> LocalBoxFuture<'static, Self> {
        let missed = async {
            let audit = Self::of(Some(omitting(SHOP))).await;
            assert_eq!(audit.scene.events(audit.intent).await, Vec::<String>::new(), "it was missed");
            audit
        };
        missed.boxed_local()
    }

    /// The history was read from a, as this script has it.
    pub fn of(script: Option<Script>) -> LocalBoxFuture<'static, Self> {
        Self::begin(script).boxed_local()
    }

    async fn begin(script: Option<Script>) -> Self {
        let (a, b) = (Node::serve(history()).await.unwrap(), Node::serve(history()).await.unwrap());
        a.script(script);
        let start = first(&a);
        let mut scene = EvmScene::on(strict(), Some(start), &[&a, &b]).await;
        let intent = scene.intent("TST", SHOP, 25).await;
        scene.catch_up().await;
        assert_eq!(scene.tip().await, i64::try_from(BLOCKS).unwrap());
        let listed = "select count(*) from amn.segment where coverage = 'listed' and read_by = 'a'";
        assert_eq!(scene.count(listed).await, 1, "history is read as ranges, and by whom is known");
        let auditor = auditor(&scene, 7, HOURLY);
        Self { scene, a, b, intent, auditor }
    }

    /// A receiver of the seller's events; nothing is sent to it here.
    pub async fn listen(&self) {
        let secret = Secret::from_chance(&[7; SECRET_BYTES]);
        let url = "https://seller.example/hook";
        let new = NewEndpoint { id: EndpointId(1), tenant: Some("seller"), url, events: None, secret: &secret };
        let mut db = self.scene.db.pool.acquire().await.unwrap();
        endpoints::create(&mut db, &new, Timestamp::from_seconds(1_800_000_000)).await.unwrap();
    }

    /// An auditor that was started anew, with these dice.
    pub fn restart(&mut self, seed: u64, hourly: u32) {
        self.auditor = auditor(&self.scene, seed, hourly);
    }

    /// The next look, a minute later, by whoever leads.
    pub async fn look(&mut self) -> Outcome {
        self.scene.clock.advance(MINUTE);
        // The follower renews its lease.
        self.scene.follower.round().await.unwrap();
        self.auditor.look().await.unwrap()
    }

    /// Looks until one comes to what is waited for.
    pub async fn until(&mut self, what: impl Fn(&Outcome) -> bool) -> Outcome {
        let mut seen = Vec::new();
        for _ in 0..3_000 {
            let outcome = self.look().await;
            if what(&outcome) {
                return outcome;
            }
            seen.push(outcome);
        }
        panic!("it never comes: {:?}\n{}", &seen[seen.len() - 20..], self.scene.log.text());
    }

    /// Looks until nothing is due, without audits.
    pub async fn rescan_all(&mut self) -> Vec<Outcome> {
        self.restart(1, 0);
        let mut seen = Vec::new();
        loop {
            match self.look().await {
                Outcome::Idle => return seen,
                outcome => seen.push(outcome),
            }
            assert!(seen.len() < 200, "{seen:?}");
        }
    }

    pub async fn counted(&self, column: &'static str) -> i64 {
        let sql = match column {
            "blocks" => "select coalesce(sum(blocks), 0)::bigint from amn.recall",
            "transfers" => "select coalesce(sum(transfers), 0)::bigint from amn.recall",
            "misses" => "select coalesce(sum(misses), 0)::bigint from amn.recall",
            "unfounded" => "select coalesce(sum(unfounded), 0)::bigint from amn.recall",
            _ => "select coalesce(sum(disagreements), 0)::bigint from amn.recall",
        };
        self.scene.count(sql).await
    }
}

/// An auditor of the scene, by the one who leads it.
pub fn auditor(scene: &EvmScene, seed: u64, hourly: u32) -> Auditor<EvmSource> {
    Auditor::new(Parts {
        source: EvmSource::new(scene.pool.clone(), scene.network.clone()),
        desk: Desk::new(scene.db.pool.clone(), scene.network.facts.clone()),
        pool: scene.db.pool.clone(),
        clock: scene.clock.clone(),
        ids: Arc::new(SeededIds::new(seed, Timestamp::from_seconds(0))),
        told: Arc::new(Notify::new()),
        holder: scene.holder,
        raw: |address| amn_evm::address::parse(address.as_str()).ok().map(|(_, raw)| raw.to_vec()),
        blocks_per_hour: hourly,
    })
}

fn first(node: &Node) -> BlockRef {
    let at = node.history().blocks[&0].at;
    assert_eq!(at.height, Height(0));
    at
}
