//! Networks of one's own, as files: their own money and nothing else.

use amn_core::block::NetworkId;
use sha2::{Digest, Sha256};
use stellar_strkey::ed25519;
use stellar_xdr::Asset;

use crate::asset;
use crate::networks::{SHIPPED, SorobanNetwork};

/// The file of a network with this passphrase, and one organisation for each list of validators' keys.
///
/// # Panics
/// Where the binary no longer ships a network for standalone nodes.
#[must_use]
pub fn network_file(passphrase: &str, organisations: &[Vec<[u8; 32]>]) -> String {
    let shipped = |(id, text): &(&str, &'static str)| (*id == "stellar-standalone").then_some(*text);
    let standalone = SHIPPED.iter().find_map(shipped).unwrap_or_else(|| panic!("a network for standalone nodes"));
    let address = |passphrase: &str| {
        let id: [u8; 32] = Sha256::digest(passphrase).into();
        stellar_strkey::Contract(asset::contract_of(id, &Asset::Native)).to_string().as_str().to_owned()
    };
    let old = "Standalone Network ; February 2017";
    let mut text = standalone.replace(&address(old), &address(passphrase)).replace(old, passphrase);
    for (number, keys) in organisations.iter().enumerate() {
        let keys: Vec<_> =
            keys.iter().map(|key| format!("{:?}", ed25519::PublicKey(*key).to_string().as_str())).collect();
        let keys = keys.join(", ");
        text = format!("{text}\n[[organisation]]\nname = \"org-{number}\"\nvalidators = [{keys}]\n");
    }
    text
}

/// The network of such a file.
///
/// # Panics
/// Where the file is refused: two organisations with one validator, say.
#[must_use]
pub fn network(id: &str, passphrase: &str, organisations: &[Vec<[u8; 32]>]) -> SorobanNetwork {
    let text = network_file(passphrase, organisations);
    SorobanNetwork::parse(&NetworkId::new(id), &format!("{id}.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}
