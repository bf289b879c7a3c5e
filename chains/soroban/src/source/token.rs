//! What tokens that are only contracts say of themselves, asked for at start: which code they run, which must be the
//! one the network's file pins, and their decimals. No ledger we read commits to it, so operators must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amn_core::block::{AssetId, Operator};
use amn_core::source::SourceError;
use amn_rpc::Endpoint;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;
use stellar_xdr::{
    ContractDataDurability, ContractExecutable, ContractId, Hash, LedgerEntryData, LedgerKey, LedgerKeyContractData,
    Limits, ReadXdr, ScAddress, ScMap, ScVal, WriteXdr,
};

use super::Shared;
use super::ask::base64_of;
use super::trouble::{Trouble, Verdict};
use super::wire::WireEntries;
use crate::ledger::DEPTH_MAX;

/// Bytes of a contract's own entry: the network itself allows 64 KiB.
const ENTRY_MAX: usize = 128 << 10;

pub type Decimals = BTreeMap<AssetId, u8>;

/// The decimals of every asset: seven for classic ones, by the protocol; for the others, what their contracts say.
pub async fn decimals(
    source: &Shared,
    nodes: Vec<&Arc<Endpoint>>,
    mut verdict: Verdict,
) -> Result<Decimals, SourceError> {
    let network = &source.network;
    let mut all: Decimals = network.facts.assets.iter().map(|asset| (asset.id.clone(), CLASSIC)).collect();
    if network.wasm.is_empty() {
        return Ok(all);
    }
    let asked = join_all(nodes.iter().map(|endpoint| said(source, endpoint))).await;
    let mut camps: BTreeMap<Decimals, BTreeSet<&Operator>> = BTreeMap::new();
    let mut said = Vec::new();
    for (endpoint, answer) in nodes.into_iter().zip(asked) {
        match answer {
            Ok(decimals) => {
                camps.entry(decimals.clone()).or_default().insert(endpoint.operator());
                said.push((endpoint, decimals));
            }
            Err(trouble) => verdict.add(endpoint, trouble),
        }
    }
    let most = camps.values().map(BTreeSet::len).max();
    let mut largest = camps.iter().filter(|(_, operators)| Some(operators.len()) == most);
    let Some((agreed, _)) = largest.next() else { return Err(source.error(verdict, amn_core::block::Height(0))) };
    if largest.next().is_some() {
        let text = "operators differ about the decimals of the tokens".to_owned();
        return Err(SourceError::Unsupported(text));
    }
    for (endpoint, _) in said.iter().filter(|(_, other)| other != agreed) {
        endpoint.distrust("alone about the decimals of the tokens");
    }
    all.extend(agreed.clone());
    Ok(all)
}

/// Decimals of every classic asset.
const CLASSIC: u8 = 7;

/// What one endpoint says of all tokens.
async fn said(source: &Shared, endpoint: &Arc<Endpoint>) -> Result<Decimals, Trouble> {
    let network = &source.network;
    let mut decimals = Decimals::new();
    for (contract, pinned) in &network.wasm {
        let Some(listed) = network.registry.contracts.get(contract) else { continue };
        let name = &listed.asset;
        let key = STANDARD.encode(key_of(*contract));
        let answer = endpoint.call("getLedgerEntries", &json!({ "keys": [key] })).await?;
        let entries: WireEntries<'_> = answer.parse_borrowed()?;
        let entry = entries.entries.unwrap_or_default().into_iter().find(|entry| entry.key == key);
        let entry = entry.ok_or_else(|| Trouble::Unsupported(format!("{name} is no contract there")))?;
        let bytes = base64_of(&entry.xdr, ENTRY_MAX, 0)?;
        let data = LedgerEntryData::from_xdr(&bytes, Limits { depth: DEPTH_MAX, len: bytes.len() })
            .map_err(|error| Trouble::Failed(format!("the entry of {name} does not decode: {error}")))?;
        decimals.insert(name.clone(), of_contract(name, &data, contract, pinned)?);
    }
    Ok(decimals)
}

/// The key of what a contract is: its code, and what it keeps with it.
fn key_of(contract: [u8; 32]) -> Vec<u8> {
    let key = LedgerKey::ContractData(LedgerKeyContractData {
        contract: ScAddress::Contract(ContractId(Hash(contract))),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
    });
    // Writing to memory what was just made cannot fail; an empty key finds nothing.
    key.to_xdr(Limits::none()).unwrap_or_default()
}

fn of_contract(name: &AssetId, data: &LedgerEntryData, contract: &[u8; 32], pinned: &[u8; 32]) -> Result<u8, Trouble> {
    let instance = match data {
        LedgerEntryData::ContractData(entry) if entry.contract == ScAddress::Contract(ContractId(Hash(*contract))) => {
            match &entry.val {
                ScVal::ContractInstance(instance) => instance,
                _ => return Err(Trouble::Lie(format!("the entry of {name} is no contract"))),
            }
        }
        _ => return Err(Trouble::Lie(format!("the entry of {name} is another's"))),
    };
    match &instance.executable {
        ContractExecutable::Wasm(code) if code.0 == *pinned => {}
        ContractExecutable::Wasm(code) => {
            let (runs, pins) = (amn_core::block::Hash(code.0), amn_core::block::Hash(*pinned));
            return Err(Trouble::Unsupported(format!("{name} runs the code {runs}, its entry pins {pins}")));
        }
        ContractExecutable::ExternalRef(_) => {
            return Err(Trouble::Unsupported(format!("{name} runs code that another contract may exchange")));
        }
        ContractExecutable::StellarAsset => {
            return Err(Trouble::Unsupported(format!("{name} is the contract of a classic asset: list it as one")));
        }
    }
    let metadata = instance.storage.as_ref().and_then(|storage| member(storage, "METADATA"));
    match metadata {
        Some(ScVal::Map(Some(metadata))) => match member(metadata, "decimal") {
            Some(ScVal::U32(decimal)) => u8::try_from(*decimal)
                .map_err(|_| Trouble::Unsupported(format!("{name} has {decimal} decimals: no token has so many"))),
            _ => Err(Trouble::Unsupported(format!("{name} keeps no number of decimals where tokens keep it"))),
        },
        _ => Err(Trouble::Unsupported(format!("{name} keeps no decimals where tokens keep them"))),
    }
}

fn member<'a>(map: &'a ScMap, name: &str) -> Option<&'a ScVal> {
    let named = |key: &ScVal| matches!(key, ScVal::Symbol(symbol) if symbol.0.as_slice() == name.as_bytes());
    map.0.iter().find(|entry| named(&entry.key)).map(|entry| &entry.val)
}
