//! Asks the configured nodes where they stand: a command has no follower of its own to know it from.

use std::time::Duration;

use amn_core::block::NetworkId;
use amn_rpc::{Endpoint, RpcError};
use amn_scanner::networks::{Networks, Served};
use futures_util::future::join_all;

/// A person waits for the table; who is slower than this is shown as silent.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Asks every endpoint of those networks for its head, all at once; what they say stays in their health.
pub async fn ask_heads(networks: &Networks, asked: impl Fn(&NetworkId) -> bool) {
    let asked = networks.iter().filter(|(id, _)| asked(id));
    let all: Vec<_> =
        asked.flat_map(|(_, served)| served.pool.endpoints().iter().map(move |endpoint| (served, endpoint))).collect();
    join_all(all.into_iter().map(async |(served, endpoint)| drop(head(served, endpoint).await))).await;
}

/// The height of an endpoint's head.
pub async fn head(served: &Served, endpoint: &Endpoint) -> Result<u64, RpcError> {
    let asked = tokio::time::timeout(PATIENCE, served.head_of(endpoint)).await;
    asked.map_err(|_| RpcError::TryOther {
        timed_out: true,
        detail: format!("nothing within {} s", PATIENCE.as_secs()),
    })?
}
