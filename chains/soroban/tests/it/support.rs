//! Real data where it is present, and short ways to say what a test is about.

use std::io::Read as _;
use std::path::PathBuf;

use amn_core::block::NetworkId;
use amn_core::source::{Watch, WatchVersion};
use amn_soroban::address::Place;
use amn_soroban::networks::SorobanNetwork;

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

/// A network of one's own, with the assets of none but itself.
pub fn network(passphrase: &str) -> SorobanNetwork {
    let text = amn_soroban::networks::SHIPPED.iter().find(|(id, _)| *id == "stellar-standalone").unwrap().1;
    let standalone = SorobanNetwork::shipped("stellar-standalone").unwrap().unwrap();
    let id = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(passphrase));
    let old = stellar_strkey::Contract(*standalone.registry.contracts.keys().next().unwrap()).to_string();
    let contract = amn_soroban::asset::contract_of(id, &stellar_xdr::Asset::Native);
    let text = text
        .replace(&standalone.passphrase, passphrase)
        .replace(old.as_str(), stellar_strkey::Contract(contract).to_string().as_str());
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
