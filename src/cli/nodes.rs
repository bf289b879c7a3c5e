//! Asks the configured nodes where they stand: a command has no follower of its own to know it from.

use std::time::Duration;

use amn_core::block::{NetworkId, TxHash};
use amn_rpc::{Endpoint, Pool, RpcError};
use amn_scanner::networks::Networks;
use futures_util::future::join_all;
use serde_json::json;

/// A person waits for the table; who is slower than this is shown as silent.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Asks every endpoint of those networks for its head, all at once; what they say stays in their health.
pub async fn ask_heads(networks: &Networks, asked: impl Fn(&NetworkId) -> bool) {
    let asked = networks.iter().filter(|(id, _)| asked(id));
    let all: Vec<_> = asked.flat_map(|(_, served)| served.pool.endpoints()).collect();
    join_all(all.into_iter().map(async |endpoint| drop(head(endpoint).await))).await;
}

/// The height of an endpoint's head.
pub async fn head(endpoint: &Endpoint) -> Result<u64, RpcError> {
    let asked = tokio::time::timeout(PATIENCE, endpoint.call("eth_blockNumber", &json!([]))).await;
    let answer = asked.map_err(|_| RpcError::TryOther {
        timed_out: true,
        detail: format!("nothing within {} s", PATIENCE.as_secs()),
    })??;
    let height = quantity(&answer.parse::<String>()?)?;
    endpoint.report_head(height);
    Ok(height)
}

/// A number as nodes write it.
pub fn quantity(text: &str) -> Result<u64, RpcError> {
    amn_evm::wire::quantity(text).ok_or_else(|| RpcError::Malformed("not a number".to_owned()))
}

/// Whether a transaction waits to be mined; `false`: no node knows it.
pub async fn waits(pool: &Pool, tx: TxHash) -> Result<bool, RpcError> {
    let (_, answer) = pool.call("eth_getTransactionByHash", &json!([tx])).await?;
    Ok(!answer.is_null())
}
