//! What only Stellar networks know: their files, addresses with a number inside, memos, and payment links.

use std::collections::BTreeMap;

use amn_core::block::{Address, Hash, Height, Kind, NetworkId, Reference, TxHash};
use amn_core::explained::{Explained, Move};
use amn_core::money::Amount;
use amn_core::network::Asset;
use amn_core::source::{ChainSource as _, SourceError, Watch};
use amn_rpc::config::JSON_RPC;
use amn_rpc::{Endpoint, Pool, RpcError};
use amn_soroban::address::{self, Place};
use amn_soroban::networks::{ClassicEntry, ContractKey, HashKey, SorobanNetwork, TokenEntry};
use amn_soroban::reference::{self, Parsed};
use amn_soroban::source::SorobanSource;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::chains::{Memo, ToPay};
use crate::config::{self, DATA_LAKE};

pub(super) const ENDPOINT_KINDS: &[&str] = &[JSON_RPC, DATA_LAKE];

/// Whether a network's file is of this family: its chain says so.
pub(super) fn speaks_of(text: &str) -> bool {
    let file: Option<toml::Table> = text.parse().ok();
    match file {
        Some(file) => {
            let chain = file.get("chain").and_then(toml::Value::as_str);
            chain.is_some_and(|chain| chain.starts_with("stellar:")) || file.contains_key("passphrase")
        }
        // It does not read: told by the reader of the family it seems to be of.
        None => text.lines().any(|line| line.trim_start().starts_with("passphrase")),
    }
}

/// The network of that file, with what the configuration adds to it.
pub(super) fn read(
    id: &NetworkId,
    network: &config::Network,
    file: &str,
    text: &str,
) -> Result<SorobanNetwork, String> {
    let soroban = SorobanNetwork::parse(id, file, text).map_err(|error| error.to_string())?;
    if let Some(proxy) = network.proxies.first() {
        return Err(format!("{}: payment proxies are for EVM networks", proxy.place));
    }
    if let Some(jetton) = network.jettons.first() {
        return Err(format!("{}: jettons are TON's; a Stellar network's are its assets and tokens", jetton.place));
    }
    if network.balance_check.is_some() {
        return Err("balance_check is for EVM networks: on Stellar every arrival is in the ledger itself".to_owned());
    }
    if let Some(of) = network.endpoints.iter().find(|of| of.ws.is_some()) {
        return Err(format!("endpoint {}: ws: Stellar nodes announce nothing; leave it out", of.name));
    }
    let mut with = soroban;
    for asset in &network.assets {
        let entry = ClassicEntry {
            symbol: asset.symbol.clone(),
            code: asset.code.clone(),
            issuer: asset.issuer.clone(),
            contract: contract(&asset.contract).map_err(|what| format!("{}: {what}", asset.place))?,
            min_amount: asset.min_amount,
        };
        with = with.with_assets(&asset.place, &[entry], &[]).map_err(|error| error.to_string())?;
    }
    for token in &network.tokens {
        let at = |what: String| format!("{}: {what}", token.place);
        let wasm = token.wasm_hash.ok_or_else(|| {
            at("wasm_hash must be given: a contract can change its code, and the code that was looked at is pinned"
                .to_owned())
        })?;
        let entry = TokenEntry {
            symbol: token.symbol.clone(),
            contract: contract(&token.address).map_err(at)?,
            decimals: token.decimals,
            wasm_hash: HashKey(wasm.0),
            min_amount: token.min_amount,
        };
        with = with.with_assets(&token.place, &[], &[entry]).map_err(|error| error.to_string())?;
    }
    Ok(with)
}

fn contract(text: &str) -> Result<ContractKey, String> {
    match address::parse(text) {
        Ok(address::Party { place: Place::Contract(id), id: None }) => Ok(ContractKey(id)),
        _ => Err(format!("a contract is C and 55 letters and digits; got {text:?}")),
    }
}

/// The contract that is listened to.
pub(super) fn parse_contract(text: &str) -> Result<Address, String> {
    contract(text).map(|ContractKey(id)| Place::Contract(id).spell())
}

pub(super) fn raw(address: &Address) -> Option<Vec<u8>> {
    address::raw(address).map(|raw| raw.to_vec())
}

/// An M… or W… address is its account or contract, and the number in it the reference.
pub(super) fn parse_address(text: &str) -> Result<(Address, Option<Reference>), String> {
    let party = address::parse(text).map_err(|error| error.to_string())?;
    Ok((party.place.spell(), party.id.map(reference::of_id)))
}

pub(super) fn parse_reference(text: &str) -> Result<Reference, String> {
    reference::parse(text).map(|parsed| parsed.spell()).map_err(|error| error.to_string())
}

/// Accounts are shared as a rule: each costs a reserve. A contract is made for its deal.
pub(super) fn is_account(to: &Address) -> bool {
    matches!(address::parse(to.as_str()), Ok(address::Party { place: Place::Account(_), .. }))
}

/// A payment to a contract carries no memo: the network forbids it since protocol 25.
pub(super) fn unpayable(to: &Address, reference: &Reference) -> Option<String> {
    let is_number = matches!(reference::parse(reference.as_str()), Ok(Parsed::Id(_)));
    (!is_account(to) && !is_number).then(|| {
        "a payment to a contract carries no memo: its reference is a number, id:<number>, which goes into the address \
         (W…)"
            .to_owned()
    })
}

/// Who the network is, whose word counts on it, and where its past lies; of URLs no more than the host.
pub(super) fn facts(network: &SorobanNetwork, config: &config::Network) -> Value {
    let lakes = config
        .endpoints
        .iter()
        .filter(|of| of.is_lake())
        .map(|of| json!({ "name": of.name, "operator": of.operator, "shown_url": of.url.to_string() }));
    json!({
        "lakes": lakes.collect::<Vec<_>>(),
        "organisations": network.organisations.names(),
        "passphrase": network.passphrase,
        "protocol_max": amn_soroban::ledger::PROTOCOL_MAX,
    })
}

/// What each endpoint last said of itself.
pub(super) fn reach(source: &SorobanSource) -> BTreeMap<String, Value> {
    let said = source.nodes().into_iter().map(|node| {
        let said = json!({
            "latest": node.latest_ledger, "oldest": node.oldest_ledger, "protocol": node.protocol,
            "retention": node.retention,
        });
        (node.endpoint, said)
    });
    said.collect()
}

pub(super) fn to_pay(
    network: &SorobanNetwork,
    asset: &Asset,
    to: &Address,
    reference: Option<&Reference>,
    amount: Amount,
) -> ToPay {
    let place = address::parse(to.as_str()).ok().map(|party| party.place);
    let said = reference.and_then(|reference| reference::parse(reference.as_str()).ok());
    let muxed = match (place, &said) {
        (Some(place), Some(Parsed::Id(id))) => Some(address::muxed(place, *id)),
        _ => None,
    };
    let memo = said.filter(|_| matches!(place, Some(Place::Account(_)))).as_ref().map(memo);
    let uri = address::payment_uri(&network.passphrase, asset, to, Some(amount), reference);
    ToPay { muxed_address: muxed, memo, uri }
}

/// A memo as wallets ask for it.
fn memo(said: &Parsed) -> Memo {
    let (kind, value) = match said {
        Parsed::Id(id) => ("id", id.to_string()),
        Parsed::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ("text", text.to_owned()),
            // No wallet's field takes these bytes: whoever pays them has a program.
            Err(_) => ("text-hex", hex::encode(bytes)),
        },
        Parsed::Hash(hash) => ("hash", hex::encode(hash)),
        Parsed::Return(hash) => ("return", hex::encode(hash)),
    };
    Memo { kind, value }
}

/// What a node says of its own standing.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub latest_ledger: u64,
    pub oldest_ledger: u64,
}

/// Asks a node how far its ledgers reach. One that is behind answers with an error.
pub async fn health(endpoint: &Endpoint) -> Result<Health, RpcError> {
    endpoint.call("getHealth", &json!({})).await?.parse()
}

pub(super) async fn head_of(endpoint: &Endpoint) -> Result<u64, RpcError> {
    Ok(health(endpoint).await?.latest_ledger)
}

/// One ledger, as a node hands it over.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handed {
    pub sequence: u64,
    pub hash: Hash,
    pub metadata_xdr: String,
}

/// Asks a node for one ledger; `None` where it has none of that number.
pub async fn ledger(endpoint: &Endpoint, sequence: Height) -> Result<Option<Handed>, RpcError> {
    #[derive(Deserialize)]
    struct Page {
        ledgers: Vec<Handed>,
    }
    let page = json!({ "startLedger": sequence.0, "pagination": { "limit": 1 } });
    let page: Page = endpoint.call("getLedgers", &page).await?.parse()?;
    Ok(page.ledgers.into_iter().find(|ledger| ledger.sequence == sequence.0))
}

pub(super) async fn hash_at(endpoint: &Endpoint, height: Height) -> Result<Option<Hash>, RpcError> {
    Ok(ledger(endpoint, height).await?.map(|ledger| ledger.hash))
}

/// What a transaction moved, from the ledger it is in.
pub(super) async fn explain(pool: &Pool, source: &SorobanSource, tx: TxHash) -> Result<Option<Explained>, SourceError> {
    #[derive(Deserialize)]
    struct Found {
        status: String,
        ledger: Option<u64>,
    }
    let name = json!({ "hash": hex::encode(tx.0) });
    let asked = pool.call("getTransaction", &name).await.and_then(|(_, answer)| answer.parse::<Found>());
    let found = asked.map_err(|error| SourceError::Unavailable(error.to_string()))?;
    let Some(ledger) = found.ledger.filter(|_| found.status != "NOT_FOUND") else { return Ok(None) };
    let block = source.reread(Height(ledger), None, 0, &Watch::everything(true)).await?;
    let moves = block.transfers.iter().filter(|transfer| transfer.id.tx == tx).map(|transfer| Move {
        kind: transfer.id.kind,
        index: transfer.id.index,
        contract: None,
        asset: Some(transfer.asset.clone()),
        to: transfer.to.clone(),
        amount: transfer.amount.to_string(),
        note: None,
    });
    // Of assets that are not listed, and of dust, no more is kept than a word.
    let aside = block.observations.iter().filter(|seen| seen.tx == Some(tx)).filter_map(|seen| {
        let note = match seen.kind.as_str() {
            "unlisted_asset" => "of an asset that is not listed",
            "dust" => "less than the asset's min_amount",
            "events_unproven" => "in a call whose events are under no commitment",
            _ => "not of a known shape",
        };
        let to = seen.to.clone()?;
        let (kind, amount) = (Kind::Token, String::new());
        Some(Move { kind, index: 0, contract: None, asset: None, to, amount, note: Some(note) })
    });
    let moves = moves.chain(aside).collect();
    Ok(Some(Explained { block: block.header.at, succeeded: Some(found.status == "SUCCESS"), moves }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_of_a_file_is_told_by_its_chain_even_where_it_does_not_read() {
        for (_, text) in amn_soroban::networks::SHIPPED {
            assert!(speaks_of(text));
            assert!(speaks_of(&format!("{text}\n[[[broken")));
        }
        for (_, text) in amn_evm::networks::SHIPPED {
            assert!(!speaks_of(text) && !speaks_of(&format!("{text}\n[[[broken")));
        }
    }

    #[test]
    fn a_muxed_address_is_its_account_and_a_reference() {
        let account = Place::Account([7; 32]);
        let muxed = address::muxed(account, 42);
        assert_eq!(parse_address(&muxed), Ok((account.spell(), Some(Reference::new("id:42")))));
        assert_eq!(parse_address(account.spell().as_str()), Ok((account.spell(), None)));
    }

    #[test]
    fn a_contract_is_asked_for_by_number_alone() {
        let (account, contract) = (Place::Account([7; 32]).spell(), Place::Contract([7; 32]).spell());
        for text in ["text:a", "hash:0000000000000000000000000000000000000000000000000000000000000001"] {
            assert_eq!(unpayable(&account, &Reference::new(text)), None);
            assert!(unpayable(&contract, &Reference::new(text)).unwrap().contains("id:<number>"));
        }
        assert_eq!(unpayable(&contract, &Reference::new("id:7")), None);
        assert!(is_account(&account) && !is_account(&contract));
    }
}
