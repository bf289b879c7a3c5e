//! One chain, the nodes that serve it, each of an operator of its own, and a source that reads them by a clock that
//! stands still: nobody is chosen for being quick.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use amn_core::block::{Block, Hash, Height, NetworkId, Operator};
use amn_core::source::{ChainSource as _, Position, Segment, SourceError, Watch, WatchVersion};
use amn_rpc::{EndpointConfig, Pool, PoolSettings, VirtualTime};
use amn_ton::address::Account;
use amn_ton::networks::TonNetwork;
use amn_ton::source::{TONAPI, TONCENTER_V2, TONCENTER_V3, TonSource};
use amn_ton::testkit::{History, Letter, Life, Made, Minter, Node, Outcome, text};

use crate::support::{PAYER, SHOP, mainnet};

/// How an operator can be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// toncenter: an index, and a node.
    Both,
    Index,
    Node,
    Tonapi,
}

pub struct Stand {
    pub history: Arc<Mutex<History>>,
    pub nodes: Vec<Node>,
    pub speaks: Vec<Speaks>,
    pub network: TonNetwork,
    pub clock: VirtualTime,
    pub source: TonSource,
    pub shop: Mutex<Life>,
    /// Whom we look for.
    pub watch: Watch,
    pub on: Mutex<Position>,
}

/// One operator, `a`, for each way to be asked, in this order. Ten masterchain blocks are closed, and we stand on the
/// last.
pub async fn stand(operators: &[Speaks]) -> Stand {
    let network = mainnet();
    let mut history = History::new(network.global_id);
    history.minters = network.registry.jettons.values().map(|jetton| Minter::of(jetton, 6)).collect();
    history.pass(10);
    let tip = history.head();
    let history = Arc::new(Mutex::new(history));
    let mut nodes = Vec::new();
    for _ in operators {
        nodes.push(Node::share(history.clone()).await.unwrap());
    }
    let clock = VirtualTime::at(Duration::ZERO);
    let source = source(&nodes, operators, &network, &clock);
    let on = Mutex::new(Position { tip, checkpoint: Vec::new() });
    let shop = Mutex::new(Life::of(SHOP));
    let (speaks, watch) = (operators.to_vec(), watching([SHOP]));
    Stand { history, nodes, speaks, network, clock, source, shop, watch, on }
}

/// toncenter and tonapi, as most will have it.
pub async fn two() -> Stand {
    stand(&[Speaks::Both, Speaks::Tonapi]).await
}

/// A watch as the source wants it.
pub fn watching(accounts: impl IntoIterator<Item = Account>) -> Watch {
    let mut watch = Watch::with_addresses(WatchVersion(1));
    accounts.into_iter().for_each(|account| watch.insert(&account.raw(), true));
    watch
}

/// A new source on these nodes: nothing is remembered.
pub fn source(nodes: &[Node], speaks: &[Speaks], network: &TonNetwork, clock: &VirtualTime) -> TonSource {
    let mut endpoints = Vec::new();
    for ((node, speaks), operator) in nodes.iter().zip(speaks).zip(["a", "b", "c", "d"]) {
        let kinds: &[(&str, String)] = &match speaks {
            Speaks::Both => vec![(TONCENTER_V3, node.v3()), (TONCENTER_V2, node.v2())],
            Speaks::Index => vec![(TONCENTER_V3, node.v3())],
            Speaks::Node => vec![(TONCENTER_V2, node.v2())],
            Speaks::Tonapi => vec![(TONAPI, node.tonapi())],
        };
        for (kind, url) in kinds {
            let name = if *kind == TONCENTER_V2 && *speaks == Speaks::Both {
                format!("{operator}2")
            } else {
                operator.to_owned()
            };
            let mut config = EndpointConfig::new(name, url.as_str(), Operator::new(operator));
            (*kind).clone_into(&mut config.kind);
            endpoints.push(config);
        }
    }
    let settings = PoolSettings { time: clock.time(), ..PoolSettings::default() };
    let pool = Pool::new_with(NetworkId::new("own"), endpoints, settings).unwrap();
    TonSource::new(pool, network.clone())
}

impl Stand {
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    pub fn pass(&self, blocks: u32) {
        self.history().pass(blocks);
    }

    /// The shop is paid so many nanotons, in the next block.
    pub fn pay(&self, nanotons: u128, comment: &str) -> Made {
        let letter = Letter::from(PAYER, nanotons).saying(text(comment));
        self.history().receive(&mut self.shop.lock().unwrap(), &letter, Outcome::Accepted)
    }

    /// The same in a block of its own.
    pub fn pay_now(&self, nanotons: u128, comment: &str) -> Made {
        let made = self.pay(nanotons, comment);
        self.history().close();
        made
    }

    /// One look: the next stretch, from which the next look goes on.
    pub async fn look(&self) -> Result<Segment, SourceError> {
        let head = self.source.head().await?.tip.at.height;
        let on = self.on.lock().unwrap().clone();
        if on.tip.height >= head {
            return Err(SourceError::NotYet(format!("nothing above {}", on.tip.height)));
        }
        let segment = self.source.segment(&on, head, Some(head), &self.watch).await?;
        assert_eq!(segment.parent, on.tip);
        *self.on.lock().unwrap() = Position { tip: segment.tip.at, checkpoint: segment.checkpoint.clone() };
        Ok(segment)
    }

    /// Looks until we stand at this height.
    pub async fn follow(&self, to: Height) -> Result<Vec<Segment>, SourceError> {
        let mut segments = Vec::new();
        while self.on.lock().unwrap().tip.height < to {
            segments.push(self.look().await?);
        }
        Ok(segments)
    }

    /// Looks until we stand at the history's head.
    pub async fn catch_up(&self) -> Result<Vec<Segment>, SourceError> {
        let to = self.history().head().height;
        self.follow(to).await
    }

    /// Why an endpoint is distrusted; empty where it is not.
    pub fn distrusted(&self, name: &str) -> String {
        let endpoints = self.source.pool().endpoints();
        endpoints.iter().find(|one| one.name() == name).unwrap().distrusted().unwrap_or_default()
    }

    pub fn trusted(&self) -> bool {
        self.source.pool().endpoints().iter().all(|endpoint| endpoint.distrusted().is_none())
    }

    /// Longer than anything is waited for.
    pub fn wait(&self) {
        self.clock.advance(Duration::from_secs(30));
    }

    /// A source that remembers nothing, as after a restart.
    pub fn restart(&mut self) {
        self.source = source(&self.nodes, &self.speaks, &self.network, &self.clock);
    }
}

/// What was paid, as (amount, comment, height, who says so).
pub fn paid(segments: &[Segment]) -> Vec<(u128, String, u64, Vec<String>)> {
    let blocks = segments.iter().flat_map(|segment| &segment.blocks);
    blocks.flat_map(|block| block.transfers.iter().map(move |transfer| (block, transfer))).map(row).collect()
}

fn row((block, transfer): (&Block, &amn_core::block::Transfer)) -> (u128, String, u64, Vec<String>) {
    let said = transfer.reference.as_ref().map_or("", |reference| reference.as_str());
    let who = names(&block.evidence.operators);
    (transfer.amount.to_string().parse().unwrap(), said.to_owned(), block.header.at.height.0, who)
}

pub fn names(operators: &BTreeSet<Operator>) -> Vec<String> {
    operators.iter().map(ToString::to_string).collect()
}

/// The words of observations, with their transactions.
pub fn seen(segments: &[Segment]) -> Vec<(String, Option<Hash>)> {
    let blocks = segments.iter().flat_map(|segment| &segment.blocks);
    blocks.flat_map(|block| &block.observations).map(|seen| (seen.kind.clone(), seen.tx)).collect()
}
