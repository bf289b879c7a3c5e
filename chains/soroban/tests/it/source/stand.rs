//! One chain, the nodes that serve it, each of an operator of its own, and a source that reads them by a clock that
//! stands still: nobody is chosen for being quick.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use amn_core::block::{Block, BlockRef, Height, NetworkId, Operator};
use amn_core::source::{ChainSource as _, Position, Segment, SourceError, Watch};
use amn_rpc::{EndpointConfig, Pool, PoolSettings, VirtualTime};
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::source::SorobanSource;
use amn_soroban::testkit::{Closed, History, Node, Tx, Validator, network, plain};
use stellar_xdr::Asset;

use crate::scene::{PASSPHRASE, PAYER, SHOP};
use crate::support::watch;

pub struct Stand {
    pub history: Arc<Mutex<History>>,
    pub nodes: Vec<Node>,
    pub network: SorobanNetwork,
    pub clock: VirtualTime,
    pub source: SorobanSource,
}

/// So many operators, `a`, `b` and so on, and so many organisations that close ledgers by turns. Ten ledgers are
/// closed, 1001 to 1010.
pub async fn stand(operators: usize, organisations: u8) -> Stand {
    let validators: Vec<Validator> = (1..=organisations.max(1)).map(Validator::new).collect();
    let keys = validators.iter().take(organisations.into()).map(|validator| vec![validator.key()]).collect::<Vec<_>>();
    let mut history = History::new(PASSPHRASE, 30).closed_by(validators);
    history.pass(10);
    let history = Arc::new(Mutex::new(history));
    let mut nodes = Vec::new();
    for _ in 0..operators {
        nodes.push(Node::share(history.clone()).await.unwrap());
    }
    let mut network = network("own", PASSPHRASE, &keys);
    let mut facts = (*network.facts).clone();
    facts.rewind_operators = 2;
    facts.policy.require.operators = Some(2);
    network.facts = facts.into();
    let clock = VirtualTime::at(Duration::ZERO);
    let source = source(&nodes, &network, &clock, |_| {});
    Stand { history, nodes, network, clock, source }
}

/// A new source on these nodes: nothing is remembered.
pub fn source(
    nodes: &[Node],
    network: &SorobanNetwork,
    clock: &VirtualTime,
    change: impl Fn(&mut EndpointConfig),
) -> SorobanSource {
    let endpoints = nodes.iter().zip(["a", "b", "c", "d"]).map(|(node, name)| {
        let mut config = EndpointConfig::new(name, node.url().as_str(), Operator::new(name));
        change(&mut config);
        config
    });
    let settings = PoolSettings { time: clock.time(), ..PoolSettings::default() };
    let pool = Pool::new_with(NetworkId::new("own"), endpoints.collect(), settings).unwrap();
    SorobanSource::new(pool, network.clone())
}

impl Stand {
    /// From now on this node has a branch of its own, from which it goes on with us: its first ledger pays the shop a
    /// million, and whoever closes its ledgers is known to nobody.
    pub async fn lie(&mut self, node: usize) -> Arc<Mutex<History>> {
        let mut branch = self.history().clone().closed_by([Validator::new(99)]);
        branch.chain.milliseconds += 500;
        branch.close(&[Tx::of(PAYER).pay(plain(SHOP), &Asset::Native, 10_000_000_000_000)]);
        let branch = Arc::new(Mutex::new(branch));
        self.nodes[node] = Node::share(branch.clone()).await.unwrap();
        self.source = source(&self.nodes, &self.network, &self.clock, |_| {});
        branch
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    pub fn pass(&self, ledgers: u32) {
        self.history().pass(ledgers);
    }

    /// Closes a ledger in which the shop is paid so many stroops.
    pub fn pay(&self, stroops: i64) -> Closed {
        self.history().close(&[Tx::of(PAYER).pay(plain(SHOP), &Asset::Native, stroops)])
    }

    pub fn at(&self, sequence: u32) -> BlockRef {
        self.history().ledgers[&sequence].at
    }

    /// What stands on this ledger, up to the head.
    pub async fn on(&self, sequence: u32) -> Result<Segment, SourceError> {
        let head = self.source.head().await?.tip.at.height;
        self.standing_on(self.at(sequence), head).await
    }

    pub async fn standing_on(&self, tip: BlockRef, up_to: Height) -> Result<Segment, SourceError> {
        let on = Position { tip, checkpoint: Vec::new() };
        self.source.segment(&on, up_to, Some(up_to), &shop()).await
    }

    /// Why an endpoint is distrusted; empty where it is not.
    pub fn distrusted(&self, name: &str) -> String {
        let endpoints = self.source.pool().endpoints();
        endpoints.iter().find(|one| one.name() == name).unwrap().distrusted().unwrap_or_default()
    }

    pub fn trusted(&self) -> bool {
        self.source.pool().endpoints().iter().all(|endpoint| endpoint.distrusted().is_none())
    }
}

pub fn shop() -> Watch {
    watch([SHOP])
}

pub fn operators(names: &[&str]) -> BTreeSet<Operator> {
    names.iter().map(Operator::new).collect()
}

pub fn heights(segment: &Segment) -> Vec<u64> {
    segment.blocks.iter().map(|block| block.header.at.height.0).collect()
}

pub fn paid(blocks: &[Block]) -> Vec<u128> {
    blocks.iter().flat_map(|block| &block.transfers).map(|transfer| transfer.amount.units()).collect()
}
