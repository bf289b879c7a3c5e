//! What only TON networks know: their files, addresses, comments, payment links, and how their nodes are spoken to.

use std::collections::BTreeMap;

use amn_core::block::{Address, NetworkId, Reference};
use amn_core::money::Amount;
use amn_core::network::Asset;
use amn_rpc::Announcing;
use amn_ton::address::{self, Realm};
use amn_ton::networks::{JettonEntry, TonNetwork};
use amn_ton::reference::{self, Parsed};
use amn_ton::source::{KINDS, Mode, TONAPI, TONCENTER_V2, TONCENTER_V3, TonSource};
use serde_json::{Value, json};

use crate::api::chains::{Memo, ToPay};
use crate::config;

pub(super) const ENDPOINT_KINDS: &[&str] = &KINDS;

/// Both indexers speak one streaming protocol, which knows accounts and no blocks. The account that holds the network's
/// configuration runs in every masterchain block, so its transactions are the blocks' heartbeat.
pub(super) const ANNOUNCING: Announcing = Announcing {
    subscribe: r#"{"operation":"subscribe","id":"1","types":["transactions","account_state_change"],"addresses":["-1:5555555555555555555555555555555555555555555555555555555555555555"],"min_finality":"finalized"}"#,
    // What it sends by itself names its type; the answer to a question does not.
    sign: "\"type\"",
};

/// Whether a network's file is of this family: its chain says so.
pub(super) fn speaks_of(text: &str) -> bool {
    let chain = text.lines().filter_map(|line| line.trim_start().strip_prefix("chain")?.trim_start().strip_prefix('='));
    chain.into_iter().any(|said| said.trim_start().trim_start_matches(['"', '\'']).starts_with("tvm:"))
}

/// The network of that file, with what the configuration adds to it.
pub(super) fn read(id: &NetworkId, network: &config::Network, file: &str, text: &str) -> Result<TonNetwork, String> {
    let mut ton = TonNetwork::parse(id, file, text).map_err(|error| error.to_string())?;
    refuse_foreign(network)?;
    for jetton in &network.jettons {
        let entry = JettonEntry {
            symbol: jetton.symbol.clone(),
            master: jetton.master.clone(),
            decimals: jetton.decimals,
            layout: jetton.layout,
            wallet_library: jetton.wallet_library.clone(),
            wallet_code: jetton.wallet_code.clone(),
            example_owner: jetton.example_owner.clone(),
            example_wallet: jetton.example_wallet.clone(),
            min_amount: jetton.min_amount,
        };
        ton = ton.with_jettons(&jetton.place, &[entry]).map_err(|error| error.to_string())?;
    }
    endpoints_suffice(network)?;
    Ok(ton)
}

/// What other families have and this one has not.
fn refuse_foreign(network: &config::Network) -> Result<(), String> {
    if let Some(asset) = network.assets.first() {
        return Err(format!("{}: assets are Stellar's; a TON network's are its jettons", asset.place));
    }
    if let Some(token) = network.tokens.first() {
        return Err(format!("{}: tokens of a TON network are jettons: [[jettons]], with their master", token.place));
    }
    if let Some(proxy) = network.proxies.first() {
        return Err(format!("{}: payment proxies are for EVM networks", proxy.place));
    }
    if network.balance_check.is_some() {
        return Err(
            "balance_check is for EVM networks: on TON every arrival is a transaction of the account".to_owned()
        );
    }
    Ok(())
}

/// What the endpoints can say together: an indexer alone shows no transaction as it was committed, and two faces of one
/// provider are one operator's word.
fn endpoints_suffice(network: &config::Network) -> Result<(), String> {
    let kind = |of: &config::Endpoint| of.kind.clone().unwrap_or_default();
    if let Some(of) = network.endpoints.iter().find(|of| of.kind.is_none()) {
        let known = known_kinds();
        return Err(format!("endpoint {}: kind: must be {known} for a network of this family; found nothing", of.name));
    }
    if !network.endpoints.is_empty() && network.endpoints.iter().all(|of| kind(of) == TONCENTER_V3) {
        return Err(format!(
            "endpoints: {TONCENTER_V3} shows no transaction as it was committed, so nothing could be proven: name a \
             {TONCENTER_V2} or {TONAPI} beside it"
        ));
    }
    let host = |of: &config::Endpoint| {
        let url = of.url.reveal();
        (url.host_str().map(str::to_ascii_lowercase), url.port_or_known_default())
    };
    for (at, of) in network.endpoints.iter().enumerate() {
        let twin = network.endpoints.iter().take(at).find(|other| host(other) == host(of));
        // A recorded scenario keeps no URLs: there all are nowhere.
        let nowhere = of.url.reveal().as_str().trim_end_matches('/') == config::scenario::NOWHERE;
        if let Some(twin) = twin.filter(|twin| twin.operator != of.operator && !nowhere) {
            return Err(format!(
                "endpoint {}: operator: {} is on the same host, so its operator is the same: {}; found {}",
                of.name, twin.name, twin.operator, of.operator
            ));
        }
    }
    Ok(())
}

fn known_kinds() -> String {
    let known: Vec<_> = ENDPOINT_KINDS.iter().map(|kind| format!("{kind:?}")).collect();
    known.join(" or ")
}

pub(super) fn raw(address: &Address) -> Option<Vec<u8>> {
    address::raw(address).map(|raw| raw.to_vec())
}

pub(super) fn parse_address(realm: Realm, text: &str) -> Result<Address, String> {
    address::parse(text, realm).map(|account| account.spell(realm)).map_err(|error| error.to_string())
}

pub(super) fn parse_reference(text: &str) -> Result<Reference, String> {
    reference::parse(text).map(|parsed| parsed.spell()).map_err(|error| error.to_string())
}

/// Native money has no number: only jetton transfers do.
pub(super) fn unpayable(asset: &Asset, reference: &Reference) -> Option<String> {
    let is_number = matches!(reference::parse(reference.as_str()), Ok(Parsed::Query(_)));
    (asset.native && is_number).then(|| {
        format!(
            "a payment of {} carries no number: query:<number> is a jetton transfer's; ask for a comment, text:<…>",
            asset.symbol
        )
    })
}

/// Who the network is, how it is read, and what is money on it.
pub(super) fn facts(source: &TonSource) -> Value {
    let network = source.network();
    let jettons = network.facts.assets.iter().filter_map(|asset| {
        let jetton = network.jetton(asset)?;
        Some(json!({ "symbol": asset.symbol, "master": jetton.master.bounceable(network.realm) }))
    });
    let (mode, why) = match source.mode() {
        Mode::ByAccount => ("by_account", None),
        Mode::ByBlock(why) => ("by_block", Some(why)),
    };
    json!({
        "addresses": match network.realm { Realm::Mainnet => "mainnet", Realm::Testnet => "testnet" },
        "global_id": network.global_id,
        "jettons": jettons.collect::<Vec<_>>(),
        "mode": mode,
        "mode_reason": why,
    })
}

/// What each endpoint last said of itself.
pub(super) fn reach(source: &TonSource) -> BTreeMap<String, Value> {
    let said = source.nodes().into_iter().map(|node| (node.endpoint, json!({ "latest": node.head })));
    said.collect()
}

pub(super) fn to_pay(
    network: &TonNetwork,
    asset: &Asset,
    to: &Address,
    reference: Option<&Reference>,
    amount: Amount,
) -> ToPay {
    let master = network.jetton(asset).map(|jetton| jetton.master);
    let memo = reference.and_then(|reference| reference::parse(reference.as_str()).ok()).as_ref().map(memo);
    let uri = address::payment_uri(network.realm, to, master.as_ref(), Some(amount), reference);
    ToPay { muxed_address: None, memo, uri }
}

/// What tells the payment apart, as wallets ask for it.
fn memo(said: &Parsed) -> Memo {
    let (kind, value) = match said {
        Parsed::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ("text", text.to_owned()),
            // No wallet's field takes these bytes: whoever pays them has a program.
            Err(_) => ("text-hex", hex::encode(bytes)),
        },
        Parsed::Binary(bytes) => ("binary", hex::encode(bytes)),
        Parsed::Query(number) => ("query_id", number.to_string()),
    };
    Memo { kind, value }
}
