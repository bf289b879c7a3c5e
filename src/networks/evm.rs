//! What only EVM networks know: their files, addresses, and payment links.

use amn_core::block::{Address, Hash, Height, NetworkId, TxHash};
use amn_core::money::Amount;
use amn_core::network::Asset;
use amn_evm::header;
use amn_evm::networks::{Contract, EvmNetwork, TokenEntry};
use amn_evm::xpub::Xpub;
use amn_rpc::config::JSON_RPC;
use amn_rpc::{Endpoint, Pool, RpcError};
use serde_json::{Value, json};

use crate::api::chains::ToPay;
use crate::config;

pub(super) const ENDPOINT_KINDS: &[&str] = &[JSON_RPC];

/// The network of that file, with what the configuration adds to it.
pub(super) fn read(id: &NetworkId, network: &config::Network, file: &str, text: &str) -> Result<EvmNetwork, String> {
    let mut evm = EvmNetwork::parse(id, file, text).map_err(|error| error.to_string())?;
    if let Some(asset) = network.assets.first() {
        return Err(format!("{}: assets are Stellar's; an EVM network's are its tokens", asset.place));
    }
    if let Some(jetton) = network.jettons.first() {
        return Err(format!("{}: jettons are TON's; an EVM network's are its tokens", jetton.place));
    }
    let mut tokens = Vec::new();
    for token in &network.tokens {
        if token.wasm_hash.is_some() {
            return Err(format!("{}: wasm_hash is for tokens of Stellar networks", token.place));
        }
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

pub(super) fn raw(address: &Address) -> Option<Vec<u8>> {
    // Written by SQL, an address may come in any case; its checksum was its writer's to check.
    let lower = address.as_str().to_ascii_lowercase();
    amn_evm::address::parse(&lower).ok().map(|(_, raw)| raw.to_vec())
}

pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    amn_evm::address::parse(text).map(|(address, _)| address).map_err(|error| error.to_string())
}

pub(super) fn derive(xpub: &str, index: u32) -> Result<Address, String> {
    Xpub::parse(xpub).and_then(|xpub| xpub.address(index)).map_err(|error| error.to_string())
}

pub(super) fn facts(network: &EvmNetwork) -> Value {
    json!({ "chain_id": network.chain_id })
}

pub(super) fn to_pay(network: &EvmNetwork, asset: &Asset, to: &Address, amount: Amount) -> ToPay {
    let uri = amn_evm::address::payment_uri(network.chain_id, &asset.id, to, Some(amount));
    ToPay { uri: Some(uri), ..ToPay::default() }
}

pub(super) async fn head_of(endpoint: &Endpoint) -> Result<u64, RpcError> {
    quantity(&endpoint.call("eth_blockNumber", &json!([])).await?.parse::<String>()?)
}

/// A number as nodes write it.
pub fn quantity(text: &str) -> Result<u64, RpcError> {
    amn_evm::wire::quantity(text).ok_or_else(|| RpcError::Malformed("not a number".to_owned()))
}

pub(super) async fn hash_at(endpoint: &Endpoint, height: Height) -> Result<Option<Hash>, RpcError> {
    let params = json!([format!("{:#x}", height.0), false]);
    let answer = endpoint.call("eth_getBlockByNumber", &params).await?;
    if answer.is_null() {
        return Ok(None);
    }
    let block = header::check(answer.raw(), false).map_err(|error| RpcError::Malformed(error.to_string()))?;
    Ok(Some(Hash(block.wire.hash.0)))
}

pub(super) async fn waits(pool: &Pool, tx: TxHash) -> Result<bool, RpcError> {
    let (_, answer) = pool.call("eth_getTransactionByHash", &json!([tx])).await?;
    Ok(!answer.is_null())
}
