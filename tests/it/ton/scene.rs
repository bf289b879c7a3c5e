//! A scene on TON nodes that serve what a test makes.

use std::ops::{Deref, DerefMut};

use amn_core::block::BlockRef;
use amn_core::id::IntentId;
use amn_rpc::EndpointConfig;
use amn_ton::address::Account;
use amn_ton::networks::TonNetwork;
use amn_ton::source::TonSource;
use amn_ton::testkit::Node;

use super::ground;
use crate::support::evm_scene::endpoint;
use crate::support::watching::{Kin, Watching};

/// How accounts are followed, which follows from the dialects that nodes speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// One operator has an indexer.
    ByAccount,
    /// None has.
    ByBlock,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::ByAccount, Self::ByBlock];

    /// What an operator's node is asked in, as this way needs it. Of two operators, the first has the node's own
    /// interface, the other one of an indexer's.
    pub const fn dialects(self, operator: usize) -> &'static [&'static str] {
        match (self, operator) {
            (Self::ByAccount, 0) => &["toncenter-v3", "toncenter-v2"],
            (Self::ByAccount, _) => &["toncenter-v3", "tonapi"],
            (Self::ByBlock, 0) => &["toncenter-v2"],
            (Self::ByBlock, _) => &["tonapi"],
        }
    }
}

/// Where a node answers in a dialect.
pub fn url(node: &Node, kind: &str) -> String {
    match kind {
        "toncenter-v2" => node.v2(),
        "toncenter-v3" => node.v3(),
        "tonapi" => node.tonapi(),
        other => panic!("no dialect {other}"),
    }
}

/// An operator's node, asked in a dialect.
pub fn endpoint_of(node: &Node, kind: &str, operator: &str) -> EndpointConfig {
    let mut of = endpoint(&format!("{operator}-{kind}"), &url(node, kind), operator);
    kind.clone_into(&mut of.kind);
    of
}

/// The endpoints of several operators, a, b, c …
pub fn all(way: Way, nodes: &[&Node]) -> Vec<EndpointConfig> {
    let of = |(number, (node, name)): (usize, (&&Node, char))| {
        let kinds = way.dialects(number).iter();
        kinds.map(|kind| endpoint_of(node, kind, &name.to_string())).collect::<Vec<_>>()
    };
    nodes.iter().zip('a'..).enumerate().flat_map(of).collect()
}

pub struct TonScene {
    watching: Watching<TonSource>,
}

impl Deref for TonScene {
    type Target = Watching<TonSource>;

    fn deref(&self) -> &Self::Target {
        &self.watching
    }
}

impl DerefMut for TonScene {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.watching
    }
}

impl TonScene {
    /// A network whose ledger begins at this block, or at the newest, read from these endpoints.
    pub async fn reading(network: TonNetwork, start: Option<BlockRef>, endpoints: Vec<EndpointConfig>) -> Self {
        let mut scene = Self::waiting(network, start, endpoints).await;
        scene.begins().await;
        scene
    }

    /// The same, and its ledger has not begun.
    pub async fn waiting(network: TonNetwork, start: Option<BlockRef>, endpoints: Vec<EndpointConfig>) -> Self {
        let kin = Kin { family: "ton", facts: network.facts.clone(), raw: ground::raw };
        let watching = Watching::new(kin, start, endpoints, |pool, _| TonSource::new(pool.clone(), network)).await;
        Self { watching }
    }

    /// Without a reference it has the address alone.
    pub async fn intent(&self, symbol: &str, to: &Account, reference: Option<&str>, due: i64) -> IntentId {
        self.asks(symbol, &ground::spell(to), reference, i128::from(due)).await
    }
}
