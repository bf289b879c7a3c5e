//! Real data where it is present, and short ways to say what a test is about.

use std::io::Read as _;
use std::path::PathBuf;

use amn_core::source::{Watch, WatchVersion};
use amn_soroban::address::Place;
use amn_soroban::networks::SorobanNetwork;

pub use crate::readings::{listing, one_stroop};

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

/// A network of one's own.
pub fn network(passphrase: &str) -> SorobanNetwork {
    amn_soroban::testkit::network("own", passphrase, &[])
}

/// The same network with one organisation for each list of validators.
pub fn with_organisations(network: &SorobanNetwork, validators: &[Vec<[u8; 32]>]) -> SorobanNetwork {
    amn_soroban::testkit::network("own", &network.passphrase, validators)
}

/// A watch on these places.
pub fn watch(places: impl IntoIterator<Item = Place>) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for place in places {
        watch.insert(&place.raw(), true);
    }
    watch
}

/// A transfer in the second reader's words.
pub fn in_words(transfer: &amn_core::block::Transfer) -> crate::second_reader::Credit {
    let asset = transfer.asset.as_str();
    let asset = match asset.split_once("/asset:").or_else(|| asset.split_once("/sep41:")) {
        Some((_, name)) => name.replacen('-', ":", 1),
        None => "native".to_owned(),
    };
    let (operation, event) = (transfer.id.index >> 16, transfer.id.index & 0xffff);
    crate::second_reader::Credit {
        tx: transfer.id.tx.to_string()[2..].to_owned(),
        place: (operation as usize, event as usize),
        to: transfer.to.to_string(),
        asset,
        amount: i128::try_from(transfer.amount.units()).unwrap(),
        reference: transfer.reference.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
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
