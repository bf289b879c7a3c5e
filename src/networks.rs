//! The networks this daemon serves: the one place where chain families are told apart.
//!
//! What only one family knows is in a room of its own: [`evm`], [`soroban`], [`ton`]. Next: [`source`].

mod asked;
mod endpoints;
pub mod evm;
mod file;
mod listening;
pub mod soroban;
pub mod source;
pub mod ton;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{Address, Inclusion, NetworkId, Reference};
use amn_core::confirmation::Require;
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts, SharedFacts};
use amn_core::source::{ChainSource, Identity, SourceError};
use amn_evm::networks::EvmNetwork;
use amn_evm::source::EvmSource;
use amn_rpc::config::PoolSettings;
use amn_rpc::{Pool, Recorder, Road, Time};
use amn_soroban::source::SorobanSource;
use amn_ton::source::TonSource;
use serde_json::Value;

use self::file::AsRead;
use self::source::Source;
use crate::api::chains::ToPay;
use crate::config::{self, QuietPoll};
use crate::follower::pace::Rhythm;
use crate::store::contracts::listeners::Wish;

/// The polling interval where none is configured: a quarter of the block time, within these bounds. Below
/// the first a node sees nothing but us; above the second a payer waits for no reason.
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(2);
/// TON's public APIs sell questions by the second, ten of them in the smallest plan with a key, and a look takes up to
/// three of the first operator: at every quarter of a block, forty a second would be asked.
const POLL_SOLD: Duration = Duration::from_secs(1);

/// A network as configured.
#[derive(Debug, Clone)]
pub struct Served {
    pub facts: SharedFacts,
    pub config: config::Network,
    pub pool: Pool,
    /// Where its exchanges are written down, if they are.
    pub tape: Option<Arc<Recorder>>,
    /// How many organisations may attest a block.
    pub attesters: u32,
    /// Who listens to which of its contracts.
    wishes: Vec<Wish>,
    kind: Kind,
}

/// What only its family knows of a network.
#[derive(Debug, Clone)]
pub enum Kind {
    Evm(Box<EvmNetwork>),
    /// With what it remembers of its nodes: everybody who reads the network shares it.
    Soroban(SorobanSource),
    /// The same.
    Ton(TonSource),
}

/// All networks of the configuration that are enabled.
#[derive(Debug, Clone, Default)]
pub struct Networks(BTreeMap<NetworkId, Served>);

impl Networks {
    /// Reads the files of all enabled networks and builds their pools; every problem at once, each with its place.
    pub fn build(config: &config::Config) -> Result<Self, Vec<String>> {
        Self::build_at(config, &Time::real())
    }

    /// As [`Self::build`], with pools that know the time from this clock.
    pub fn build_at(config: &config::Config, time: &Time) -> Result<Self, Vec<String>> {
        Self::build_on(config, time, |_| Ok(Road::Live))
    }

    /// As [`Self::build_at`], with a road to the nodes of each network.
    pub fn build_on(
        config: &config::Config,
        time: &Time,
        road: impl Fn(&NetworkId) -> Result<Road, String>,
    ) -> Result<Self, Vec<String>> {
        let (mut served, mut problems) = (BTreeMap::new(), Vec::new());
        for (id, network) in config.networks.iter().filter(|(_, network)| network.enabled) {
            match road(id).and_then(|road| Served::build(id, network, config.environment, road, time.clone())) {
                Ok(one) => drop(served.insert(id.clone(), one)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut networks = Self(served);
        problems.extend(networks.listen(config));
        if problems.is_empty() { Ok(networks) } else { Err(problems) }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&NetworkId, &Served)> {
        self.0.iter()
    }

    #[must_use]
    pub fn get(&self, id: &NetworkId) -> Option<&Served> {
        self.0.get(id)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Served {
    /// Reads a network's file and builds its pool.
    pub fn build(
        id: &NetworkId,
        network: &config::Network,
        environment: config::Environment,
        road: Road,
        time: Time,
    ) -> Result<Self, String> {
        let at = |problem: String| format!("{}: [networks.{id}] {problem}", network.place);
        let mut read = AsRead::read(id, network).map_err(at)?;
        let mut facts = Facts::clone(read.facts());
        if let Some(require) = network.require {
            facts.policy.require = require;
        }
        if let Some(tiers) = &network.tiers {
            facts.policy.tiers.clone_from(tiers);
        }
        let all = std::iter::once(&facts.policy.require).chain(facts.policy.tiers.iter().map(|tier| &tier.require));
        for require in all {
            read.can_meet(require).map_err(at)?;
        }
        let operators = u32::try_from(network.operators().len()).unwrap_or(u32::MAX);
        let asked = facts.policy.require.operators.unwrap_or(1).max(facts.rewind_operators);
        if operators < asked {
            if !network.single_operator_accepted && environment == config::Environment::Production {
                return Err(at(format!(
                    "its policy needs {asked} operators and its endpoints have {operators}; add an endpoint of another \
                     operator, or say single_operator = \"accepted\""
                )));
            }
            // What one operator says must do: the term would never be met.
            let held = |require: &mut Require| require.operators = require.operators.map(|n| n.min(operators.max(1)));
            held(&mut facts.policy.require);
            facts.policy.tiers.iter_mut().for_each(|tier| held(&mut tier.require));
            facts.rewind_operators = facts.rewind_operators.min(operators.max(1));
        }
        let facts = Arc::new(facts);
        read.set_facts(facts.clone());
        endpoints::refuse_foreign(id, network, read.endpoint_kinds())?;
        let block_time = Some(Duration::from_millis(facts.block_time_ms));
        let tape = if let Road::Recorded(tape) = &road { Some(tape.clone()) } else { None };
        let settings = PoolSettings { time, block_time, road };
        let pool = Pool::new_with(id.clone(), endpoints::asked(network, read.announcing()), settings.clone());
        let pool = pool.map_err(|error| at(error.to_string()))?;
        let attesters = read.attesters();
        let kind = read.over(&pool, endpoints::lakes(network), &settings).map_err(at)?;
        Ok(Self { facts, config: network.clone(), pool, tape, attesters, wishes: Vec::new(), kind })
    }

    /// What only its family knows.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The word for the family in the database.
    #[must_use]
    pub const fn family(&self) -> &'static str {
        match self.kind {
            Kind::Evm(_) => "evm",
            Kind::Soroban(_) => "soroban",
            Kind::Ton(_) => "ton",
        }
    }

    /// How often the head is asked for when nothing rings.
    #[must_use]
    pub fn poll(&self) -> Duration {
        let suiting = || {
            let least = if matches!(self.kind, Kind::Ton(_)) { POLL_SOLD } else { POLL_MIN };
            Duration::from_millis(self.facts.block_time_ms / 4).clamp(least, POLL_MAX)
        };
        self.config.poll.unwrap_or_else(suiting)
    }

    /// How often it is asked for when something rings, or nothing is awaited.
    #[must_use]
    pub fn rhythm(&self) -> Rhythm {
        let suiting = Rhythm::suiting(&self.facts, self.poll());
        match self.config.quiet_poll {
            QuietPoll::Usual => suiting,
            QuietPoll::Off => Rhythm { quiet: None, ..suiting },
            QuietPoll::Every(length) => Rhythm { quiet: Some(length.max(suiting.usual)), ..suiting },
        }
    }

    /// The raw bytes the family knows an address by.
    #[must_use]
    pub fn raw(&self) -> fn(&Address) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Evm(_) => evm::raw,
            Kind::Soroban(_) => soroban::raw,
            Kind::Ton(_) => ton::raw,
        }
    }

    /// A source that reads this network.
    #[must_use]
    pub fn source(&self) -> Source {
        match &self.kind {
            Kind::Evm(network) => Source::Evm(Box::new(EvmSource::new(self.pool.clone(), (**network).clone()))),
            Kind::Soroban(source) => Source::Soroban(Box::new(source.clone())),
            Kind::Ton(source) => Source::Ton(Box::new(source.clone())),
        }
    }

    /// Asks the chain who it is, and whether its assets are what the registry says.
    pub async fn identify(&self) -> Result<Identity, SourceError> {
        let identity = self.source().probe().await?;
        check_identity(&self.facts, &identity).map_err(SourceError::Unsupported)?;
        Ok(identity)
    }

    /// The address in its one canonical spelling, and the reference that the family may have written into it.
    pub fn parse_address(&self, text: &str) -> Result<(Address, Option<Reference>), String> {
        match &self.kind {
            Kind::Evm(_) => evm::parse_address(text).map(|address| (address, None)),
            Kind::Soroban(_) => soroban::parse_address(text),
            Kind::Ton(source) => ton::parse_address(source.network().realm, text).map(|address| (address, None)),
        }
    }

    /// A reference as it is matched on chain.
    pub fn parse_reference(&self, text: &str) -> Result<Reference, String> {
        match self.kind {
            Kind::Evm(_) => amn_evm::decode::reference_key(text).map_err(|e| e.to_string()),
            Kind::Soroban(_) => soroban::parse_reference(text),
            Kind::Ton(_) => ton::parse_reference(text),
        }
    }

    /// Why nobody can pay that asset to this address with this reference; `None` where one can.
    #[must_use]
    pub fn unpayable(&self, asset: &Asset, to: &Address, reference: &Reference) -> Option<String> {
        match self.kind {
            Kind::Evm(_) => None,
            Kind::Soroban(_) => soroban::unpayable(to, reference),
            Kind::Ton(_) => ton::unpayable(asset, reference),
        }
    }

    /// Whether an intent at this address that names no reference is given one of its own.
    #[must_use]
    pub fn gives_references(&self, to: &Address) -> bool {
        match self.kind {
            Kind::Evm(_) => false,
            Kind::Soroban(_) => soroban::is_account(to),
            // Any address can be shared, and nothing of it tells whether it is.
            Kind::Ton(_) => true,
        }
    }

    /// What the proof of a payment shows, in words, where it leads into the chain of the account that was paid.
    #[must_use]
    pub const fn account_proof(&self, inclusion: Inclusion) -> Option<&'static str> {
        match (&self.kind, inclusion) {
            (Kind::Ton(_), Inclusion::Proven) => Some(
                "Its cell was hashed again, and the transaction stands in the chain of the account that it came to",
            ),
            (Kind::Ton(_), Inclusion::Reported) => Some("It is what a node reported: its cells were not read"),
            (Kind::Evm(_) | Kind::Soroban(_), _) => None,
        }
    }

    /// What only its family knows and everybody may, for whoever looks at the network.
    #[must_use]
    pub fn family_facts(&self) -> Value {
        match &self.kind {
            Kind::Evm(network) => evm::facts(network),
            Kind::Soroban(source) => soroban::facts(source.network(), &self.config),
            Kind::Ton(source) => ton::facts(source),
        }
    }

    /// What each endpoint said of itself beside its head, by name; for families whose nodes say more.
    #[must_use]
    pub fn reach(&self) -> BTreeMap<String, Value> {
        match &self.kind {
            Kind::Evm(_) => BTreeMap::new(),
            Kind::Soroban(source) => soroban::reach(source),
            Kind::Ton(source) => ton::reach(source),
        }
    }

    /// The receiving address of that index under a watch-only account key.
    pub fn derive(&self, xpub: &str, index: u32) -> Result<Address, String> {
        match self.kind {
            Kind::Evm(_) => evm::derive(xpub, index),
            Kind::Soroban(_) | Kind::Ton(_) => {
                Err("addresses are derived for EVM networks only: name an account or a contract".into())
            }
        }
    }

    /// How a payer is told to pay: what goes where, and a link a wallet can open.
    #[must_use]
    pub fn to_pay(&self, asset: &Asset, to: &Address, reference: Option<&Reference>, amount: Amount) -> ToPay {
        match &self.kind {
            Kind::Evm(network) => evm::to_pay(network, asset, to, amount),
            Kind::Soroban(source) => soroban::to_pay(source.network(), asset, to, reference, amount),
            Kind::Ton(source) => ton::to_pay(source.network(), asset, to, reference, amount),
        }
    }
}

/// Decimals are read on chain and must agree with the file: a factor of ten to the twelfth is at stake.
fn check_identity(facts: &Facts, identity: &Identity) -> Result<(), String> {
    if identity.chain != facts.chain {
        return Err(format!("the endpoints speak of {}, the network is {}", identity.chain, facts.chain));
    }
    for asset in facts.assets.iter().filter(|asset| !asset.native) {
        match identity.decimals.get(&asset.id) {
            Some(decimals) if *decimals == asset.decimals => {}
            Some(decimals) => {
                let (id, said) = (&asset.id, asset.decimals);
                return Err(format!("{id} has {decimals} decimals on chain, the registry says {said}"));
            }
            None => return Err(format!("the chain does not say the decimals of {} ({})", asset.id, asset.symbol)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
