//! What the API, and the command line through it, ask of the chain families and of the rules: answered by what is
//! served here.

use std::sync::Arc;

use amn_core::block::{Address, NetworkId, Reference};
use amn_core::engine::{Command, Refusal};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use futures_util::future::BoxFuture;
use serde_json::Value;
use sqlx::PgPool;

use crate::api::chains::{Chains, ToPay};
use crate::api::commands::{CommandError, Decide};
use crate::clock::Clock;
use crate::networks::{Networks, Served};
use crate::outbox::guard::Guard;
use crate::store::{StoreError, decide};

/// The door between the API and what it may ask for.
#[derive(Debug)]
pub struct Door {
    pool: PgPool,
    networks: Arc<Networks>,
    guard: Guard,
    clock: Arc<dyn Clock>,
}

impl Door {
    pub fn new(pool: PgPool, networks: Arc<Networks>, guard: Guard, clock: Arc<dyn Clock>) -> Self {
        Self { pool, networks, guard, clock }
    }

    fn served(&self, network: &NetworkId) -> Result<&Served, String> {
        self.networks.get(network).ok_or_else(|| format!("this daemon does not serve {network}"))
    }
}

impl Chains for Door {
    fn networks(&self) -> Vec<NetworkId> {
        self.networks.iter().map(|(id, _)| id.clone()).collect()
    }

    fn facts(&self, network: &NetworkId) -> Option<Arc<Facts>> {
        self.networks.get(network).map(|served| served.facts.clone())
    }

    fn parse_address(&self, network: &NetworkId, text: &str) -> Result<(Address, Option<Reference>), String> {
        self.served(network)?.parse_address(text)
    }

    fn parse_reference(&self, network: &NetworkId, text: &str) -> Result<Reference, String> {
        self.served(network)?.parse_reference(text)
    }

    fn unpayable(
        &self,
        network: &NetworkId,
        asset: &Asset,
        address: &Address,
        reference: &Reference,
    ) -> Option<String> {
        self.networks.get(network)?.unpayable(asset, address, reference)
    }

    fn attesters(&self, network: &NetworkId) -> u32 {
        self.networks.get(network).map_or(0, |served| served.attesters)
    }

    fn family_facts(&self, network: &NetworkId) -> Value {
        self.networks.get(network).map_or(Value::Null, Served::family_facts)
    }

    fn derive(&self, xpub: &str, index: u32) -> Result<Address, String> {
        // Account keys are EVM's so far; any EVM network derives the same address.
        let served = self.networks.iter().map(|(_, served)| served).find(|served| served.family() == "evm");
        served.ok_or("no network is served that derives addresses")?.derive(xpub, index)
    }

    fn to_pay(
        &self,
        network: &NetworkId,
        asset: &Asset,
        address: &Address,
        reference: Option<&Reference>,
        amount: Amount,
    ) -> ToPay {
        self.networks.get(network).map(|served| served.to_pay(asset, address, reference, amount)).unwrap_or_default()
    }

    fn vet_webhook_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.guard.vet(url).await.map(|_| ()).map_err(|refused| refused.to_string()) })
    }
}

impl Decide for Door {
    fn command<'a>(
        &'a self,
        network: &'a NetworkId,
        command: Command,
        actor: &'a str,
    ) -> BoxFuture<'a, Result<(), CommandError>> {
        Box::pin(async move {
            let served = self.served(network).map_err(|reason| CommandError::Refused { reason })?;
            let decided = decide::command(&self.pool, served.facts.clone(), command, actor, self.clock.now()).await;
            match decided {
                Ok(_) => Ok(()),
                Err(decide::CommandError::Refused(Refusal::NotFound(what))) => Err(CommandError::NotFound(what.into())),
                Err(decide::CommandError::Refused(Refusal::Conflict(reason))) => Err(CommandError::Refused { reason }),
                Err(decide::CommandError::Store(StoreError::Stale)) => Err(CommandError::Stale),
                Err(decide::CommandError::Store(StoreError::Database(error))) => Err(CommandError::Database(error)),
                Err(decide::CommandError::Store(error)) => {
                    Err(CommandError::Database(sqlx::Error::Decode(error.into())))
                }
            }
        })
    }
}
