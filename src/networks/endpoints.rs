//! The endpoints of a network, as its pool asks them.

use std::num::NonZeroU32;

use amn_core::block::NetworkId;
use amn_rpc::config::{BreakerSettings, JSON_RPC};
use amn_rpc::{Announcing, EndpointConfig, Secret};

use crate::config;

/// How an endpoint is spoken to.
fn kind(of: &config::Endpoint) -> &str {
    of.kind.as_deref().unwrap_or(JSON_RPC)
}

/// Refuses endpoints of a kind that the family does not speak.
pub(super) fn refuse_foreign(id: &NetworkId, network: &config::Network, spoken: &[&str]) -> Result<(), String> {
    let Some(of) = network.endpoints.iter().find(|of| !spoken.contains(&kind(of))) else { return Ok(()) };
    let known: Vec<_> = spoken.iter().map(|kind| format!("{kind:?}")).collect();
    let (known, found) = (known.join(" or "), kind(of));
    Err(format!(
        "{}: [networks.{id}] endpoint {}: kind: must be {known} for a network of this family; found {found:?}",
        of.place, of.name
    ))
}

/// Those that are asked for the chain's head and all that follows.
pub(super) fn asked(network: &config::Network, announcing: Announcing) -> Vec<EndpointConfig> {
    let nodes = network.endpoints.iter().filter(|of| !of.is_lake());
    nodes.map(|of| EndpointConfig { announcing, ..endpoint(of) }).collect()
}

/// Those that hold history and nothing else, in the order in which they are asked.
pub(super) fn lakes(network: &config::Network) -> Vec<EndpointConfig> {
    let mut lakes: Vec<_> = network.endpoints.iter().filter(|of| of.is_lake()).map(endpoint).collect();
    lakes.sort_by_key(|lake| lake.order);
    lakes
}

fn endpoint(of: &config::Endpoint) -> EndpointConfig {
    let mut endpoint = EndpointConfig::new(&of.name, Secret::new(of.url.reveal().as_str()), of.operator.clone());
    kind(of).clone_into(&mut endpoint.kind);
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
