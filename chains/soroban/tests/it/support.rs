//! Real data where it is present, and short ways to say what a test is about.

use std::io::Read as _;
use std::path::PathBuf;

use amn_core::block::NetworkId;
use amn_core::source::{Watch, WatchVersion};
use amn_soroban::address::Place;
use amn_soroban::networks::SorobanNetwork;

pub use crate::readings::{in_words, listing, one_stroop};

/// A file of real chain data; `None`, and the reason is printed, where it is not on this machine.
pub fn real(file: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("AMN_REAL_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/real")), PathBuf::from);
    let path = folder.join("stellar").join(file);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
            return None;
        }
    };
    if path.extension().is_some_and(|kind| kind == "gz") {
        let mut whole = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut whole).unwrap();
        return Some(whole);
    }
    Some(bytes)
}

pub fn pubnet() -> SorobanNetwork {
    SorobanNetwork::shipped("stellar-pubnet").unwrap().unwrap()
}

/// The file of a network of one's own: its own money and nothing else.
fn text_of(passphrase: &str) -> String {
    let text = amn_soroban::networks::SHIPPED.iter().find(|(id, _)| *id == "stellar-standalone").unwrap().1;
    let standalone = SorobanNetwork::shipped("stellar-standalone").unwrap().unwrap();
    let id = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(passphrase));
    let old = stellar_strkey::Contract(*standalone.registry.contracts.keys().next().unwrap()).to_string();
    let contract = amn_soroban::asset::contract_of(id, &stellar_xdr::Asset::Native);
    text.replace(&standalone.passphrase, passphrase)
        .replace(old.as_str(), stellar_strkey::Contract(contract).to_string().as_str())
}

/// A network of one's own.
pub fn network(passphrase: &str) -> SorobanNetwork {
    SorobanNetwork::parse(&NetworkId::new("own"), "own.toml", &text_of(passphrase)).unwrap()
}

/// The same network with one organisation for each list of validators.
pub fn with_organisations(network: &SorobanNetwork, validators: &[Vec<[u8; 32]>]) -> SorobanNetwork {
    let mut text = text_of(&network.passphrase);
    for (number, keys) in validators.iter().enumerate() {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| format!("{:?}", stellar_strkey::ed25519::PublicKey(*key).to_string().as_str()))
            .collect();
        let keys = keys.join(", ");
        text = format!("{text}\n[[organisation]]\nname = \"org-{number}\"\nvalidators = [{keys}]\n");
    }
    SorobanNetwork::parse(&NetworkId::new("own"), "own.toml", &text).unwrap()
}

/// A watch on these places.
pub fn watch(places: impl IntoIterator<Item = Place>) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for place in places {
        watch.insert(&place.raw(), true);
    }
    watch
}

/// A watch on everybody these credits pay, and on everybody who did something.
pub fn everybody(found: &crate::second_reader::Found) -> Watch {
    let all = found.credits.iter().map(|credit| &credit.to).chain(&found.sources);
    watch(all.map(|address| amn_soroban::address::parse(address).unwrap().place))
}

/// An asset of a test, and its entry in a network's file.
pub fn own_asset(
    network: &SorobanNetwork,
    code: &str,
    issuer: Place,
) -> (stellar_xdr::Asset, amn_soroban::networks::ClassicEntry) {
    use amn_soroban::asset;
    let issuer = issuer.spell();
    let own = asset::classic(code, issuer.as_str()).unwrap();
    let entry = amn_soroban::networks::ClassicEntry {
        symbol: code.to_owned(),
        code: code.to_owned(),
        issuer: issuer.to_string(),
        contract: amn_soroban::networks::ContractKey(asset::contract_of(network.network_id, &own)),
        min_amount: amn_core::money::Amount::new(2),
    };
    (own, entry)
}

/// A token that is only a contract, as a network's file lists it.
pub fn token_entry(contract: [u8; 32]) -> amn_soroban::networks::TokenEntry {
    amn_soroban::networks::TokenEntry {
        symbol: "TOK".to_owned(),
        contract: amn_soroban::networks::ContractKey(contract),
        decimals: 7,
        wasm_hash: amn_soroban::networks::HashKey([0; 32]),
        min_amount: one_stroop(),
    }
}
