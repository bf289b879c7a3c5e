//! What the API asks of the chain families: to read an address, to derive one, to say how it is paid.

use std::sync::Arc;

use amn_core::block::{Address, NetworkId, Reference};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

/// How a payer is told to pay, beside address and amount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToPay {
    /// The address with the reference in it (Stellar: M…, W…), for wallets that know such addresses.
    pub muxed_address: Option<String>,
    /// What the payment must carry, for those that do not.
    pub memo: Option<Memo>,
    /// A link a wallet can open; `None` where none can say it.
    pub uri: Option<String>,
}

/// A memo: its kind as wallets name it, and its value as they take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memo {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub value: String,
}

/// Implemented where families are matched, and by the tests. An `Err` is text for the caller.
pub trait Chains: Send + Sync {
    /// The networks this daemon serves.
    fn networks(&self) -> Vec<NetworkId>;
    fn facts(&self, network: &NetworkId) -> Option<Arc<Facts>>;
    /// The address in its family's canonical spelling, and the reference that may be written into it.
    fn parse_address(&self, network: &NetworkId, text: &str) -> Result<(Address, Option<Reference>), String>;
    fn parse_reference(&self, network: &NetworkId, text: &str) -> Result<Reference, String>;
    /// Why nobody can pay that asset to this address with this reference; `None` where one can.
    fn unpayable(&self, network: &NetworkId, asset: &Asset, address: &Address, reference: &Reference)
    -> Option<String>;
    /// How many organisations may attest a block; zero for families without.
    fn attesters(&self, network: &NetworkId) -> u32;
    /// What only the family knows and everybody may: shown with the network. Never a secret.
    fn family_facts(&self, network: &NetworkId) -> Value;
    /// The receiving address of that index under a watch-only account key.
    fn derive(&self, xpub: &str, index: u32) -> Result<Address, String>;
    fn to_pay(
        &self,
        network: &NetworkId,
        asset: &Asset,
        address: &Address,
        reference: Option<&Reference>,
        amount: Amount,
    ) -> ToPay;
    /// Whether we may post to this URL: https, no private hosts.
    fn vet_webhook_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>>;
}
