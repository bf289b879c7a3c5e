//! A scene on Stellar nodes that serve what a test makes.

use std::ops::{Deref, DerefMut};

use amn_core::block::BlockRef;
use amn_core::id::IntentId;
use amn_rpc::EndpointConfig;
use amn_soroban::address::{self, Place};
use amn_soroban::lake::Lake;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::source::SorobanSource;

pub use crate::support::evm_scene::endpoint;
use crate::support::watching::{Kin, Watching};

pub struct StellarScene {
    watching: Watching<SorobanSource>,
}

impl Deref for StellarScene {
    type Target = Watching<SorobanSource>;

    fn deref(&self) -> &Self::Target {
        &self.watching
    }
}

impl DerefMut for StellarScene {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.watching
    }
}

impl StellarScene {
    /// A network whose ledger begins at this block, or where it is final, read from these endpoints.
    pub async fn reading(network: SorobanNetwork, start: Option<BlockRef>, endpoints: Vec<EndpointConfig>) -> Self {
        let mut scene = Self::waiting(network, start, endpoints, &[]).await;
        scene.begins().await;
        scene
    }

    /// The same with data lakes beside, and its ledger has not begun.
    pub async fn waiting(
        network: SorobanNetwork,
        start: Option<BlockRef>,
        endpoints: Vec<EndpointConfig>,
        lakes: &[EndpointConfig],
    ) -> Self {
        let raw = |at: &_| address::raw(at).map(|raw| raw.to_vec());
        let kin = Kin { family: "soroban", facts: network.facts.clone(), raw };
        let watching = Watching::new(kin, start, endpoints, |pool, settings| {
            let lakes = lakes.iter().map(|lake| Lake::open(lake.clone(), settings(), &network).unwrap());
            SorobanSource::new(pool.clone(), network.clone()).with_lakes(lakes.collect())
        });
        Self { watching: watching.await }
    }

    /// Without a reference it has the address alone.
    pub async fn intent(&self, symbol: &str, to: Place, reference: Option<&str>, due: i64) -> IntentId {
        self.asks(symbol, &to.spell(), reference, i128::from(due)).await
    }
}
