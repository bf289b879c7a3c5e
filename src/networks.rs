//! The networks this daemon serves: the one place where chain families are told apart.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{Address, NetworkId, Reference};
use amn_core::confirmation::Require;
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts, SharedFacts};
use amn_core::source::{ChainSource, Identity, SourceError};
use amn_evm::networks::{Contract, EvmNetwork, TokenEntry};
use amn_evm::source::EvmSource;
use amn_evm::xpub::Xpub;
use amn_rpc::config::{BreakerSettings, JSON_RPC, PoolSettings};
use amn_rpc::{EndpointConfig, Pool, Recorder, Road, Secret, Time};

use crate::config::{self, QuietPoll};
use crate::follower::pace::Rhythm;

/// The polling interval where none is configured: a quarter of the block time, within these bounds. Below
/// the first a node sees nothing but us; above the second a payer waits for no reason.
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(2);

/// A network as configured.
#[derive(Debug, Clone)]
pub struct Served {
    pub facts: SharedFacts,
    pub config: config::Network,
    pub pool: Pool,
    /// Where its exchanges are written down, if they are.
    pub tape: Option<Arc<Recorder>>,
    kind: Kind,
}

/// What only its family knows of a network.
#[derive(Debug, Clone)]
enum Kind {
    Evm(Box<EvmNetwork>),
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
        if problems.is_empty() { Ok(Self(served)) } else { Err(problems) }
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
        let mut evm = read_evm(id, network).map_err(at)?;
        let mut facts = Facts::clone(&evm.facts);
        if let Some(require) = network.require {
            facts.policy.require = require;
        }
        if let Some(tiers) = &network.tiers {
            facts.policy.tiers.clone_from(tiers);
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
        evm.facts = facts.clone();
        if let Some((of, kind)) = network.endpoints.iter().find_map(|of| foreign_kind(of).map(|kind| (of, kind))) {
            let known = format!("must be \"{JSON_RPC}\" for a network of this family; found {kind:?}");
            return Err(format!("{}: [networks.{id}] endpoint {}: kind: {known}", of.place, of.name));
        }
        let endpoints = network.endpoints.iter().map(endpoint).collect();
        let block_time = Some(Duration::from_millis(facts.block_time_ms));
        let tape = if let Road::Recorded(tape) = &road { Some(tape.clone()) } else { None };
        let settings = PoolSettings { time, block_time, road };
        let pool = Pool::new_with(id.clone(), endpoints, settings).map_err(|error| at(error.to_string()))?;
        Ok(Self { facts, config: network.clone(), pool, tape, kind: Kind::Evm(Box::new(evm)) })
    }

    /// The word for the family in the database.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Evm(_) => "evm",
        }
    }

    /// How often the head is asked for when nothing rings.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.config
            .poll
            .unwrap_or_else(|| Duration::from_millis(self.facts.block_time_ms / 4).clamp(POLL_MIN, POLL_MAX))
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
            Kind::Evm(_) => evm_raw,
        }
    }

    /// A source that reads this network.
    #[must_use]
    pub fn source(&self) -> EvmSource {
        match &self.kind {
            Kind::Evm(network) => EvmSource::new(self.pool.clone(), (**network).clone()),
        }
    }

    /// Asks the chain who it is, and whether its assets are what the registry says.
    pub async fn identify(&self) -> Result<Identity, SourceError> {
        let identity = self.source().probe().await?;
        check_identity(&self.facts, &identity).map_err(SourceError::Unsupported)?;
        Ok(identity)
    }

    /// The address in its one canonical spelling.
    pub fn parse_address(&self, text: &str) -> Result<Address, String> {
        match self.kind {
            Kind::Evm(_) => amn_evm::address::parse(text).map(|(address, _)| address).map_err(|e| e.to_string()),
        }
    }

    /// A reference as it is matched on chain.
    pub fn parse_reference(&self, text: &str) -> Result<Reference, String> {
        match self.kind {
            Kind::Evm(_) => amn_evm::decode::reference_key(text).map_err(|e| e.to_string()),
        }
    }

    /// The receiving address of that index under a watch-only account key.
    pub fn derive(&self, xpub: &str, index: u32) -> Result<Address, String> {
        match self.kind {
            Kind::Evm(_) => Xpub::parse(xpub).and_then(|xpub| xpub.address(index)).map_err(|error| error.to_string()),
        }
    }

    /// A link a wallet can open.
    #[must_use]
    pub fn payment_uri(&self, asset: &Asset, to: &Address, amount: Amount) -> String {
        match &self.kind {
            Kind::Evm(network) => amn_evm::address::payment_uri(network.chain_id, &asset.id, to, Some(amount)),
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

fn evm_raw(address: &Address) -> Option<Vec<u8>> {
    // Written by SQL, an address may come in any case; its checksum was its writer's to check.
    let lower = address.as_str().to_ascii_lowercase();
    amn_evm::address::parse(&lower).ok().map(|(_, raw)| raw.to_vec())
}

fn read_evm(id: &NetworkId, network: &config::Network) -> Result<EvmNetwork, String> {
    let read = match &network.file {
        Some(path) => {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| format!("file {shown}: {error}"))?;
            EvmNetwork::parse(id, &shown, &text)
        }
        None => EvmNetwork::shipped(id.as_str()).ok_or_else(|| {
            let known: Vec<&str> = amn_evm::networks::SHIPPED.iter().map(|(name, _)| *name).collect();
            format!("is no network this binary ships ({}); name its file", known.join(", "))
        })?,
    };
    let mut evm = read.map_err(|error| error.to_string())?;
    let mut tokens = Vec::new();
    for token in &network.tokens {
        tokens.push(TokenEntry {
            symbol: token.symbol.clone(),
            address: contract(&token.address).map_err(|what| format!("{}: {what}", token.place))?,
            decimals: token.decimals,
            min_amount: token.min_amount,
        });
    }
    evm = evm.with_tokens(&network.place, &tokens).map_err(|error| error.to_string())?;
    for proxy in &network.proxies {
        let at = contract(&proxy.address).map_err(|what| format!("{}: {what}", proxy.place))?.0;
        match proxy.kind {
            config::ProxyKind::Erc20Fee => evm.registry.token_proxies.insert(at),
            config::ProxyKind::EthFee => evm.registry.native_proxies.insert(at),
        };
    }
    Ok(evm)
}

fn contract(text: &str) -> Result<Contract, String> {
    amn_evm::address::parse(text).map(|(_, raw)| Contract(raw.into())).map_err(|error| error.to_string())
}

/// The kind that was asked for, where the family does not speak it.
fn foreign_kind(of: &config::Endpoint) -> Option<&str> {
    of.kind.as_deref().filter(|kind| *kind != JSON_RPC)
}

fn endpoint(of: &config::Endpoint) -> EndpointConfig {
    let mut endpoint = EndpointConfig::new(&of.name, Secret::new(of.url.reveal().as_str()), of.operator.clone());
    endpoint.ws = of.ws.as_ref().map(|url| Secret::new(url.reveal().as_str()));
    endpoint.max_rps = of.max_rps.and_then(NonZeroU32::new);
    endpoint.burst = of.burst.and_then(NonZeroU32::new);
    endpoint.concurrency = of.concurrency as usize;
    endpoint.order = of.order;
    endpoint.proxy = of.proxy.as_ref().map(|url| Secret::new(url.reveal().as_str()));
    endpoint.breaker = BreakerSettings { failures: of.breaker.failures, open_for: of.breaker.open_for };
    endpoint.timeout = of.timeout;
    endpoint.connect_timeout = of.connect_timeout;
    endpoint.body_max = of.body_max.unwrap_or(endpoint.body_max);
    endpoint.headers = of.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.reveal()))).collect();
    endpoint
}
