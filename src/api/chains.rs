//! What the API asks of the chain families: to read an address, to derive one, to write a payment link.

use std::sync::Arc;

use amn_core::block::{Address, NetworkId, Reference};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use futures_util::future::BoxFuture;

/// Implemented where families are matched, and by the tests. An `Err` is text for the caller.
pub trait Chains: Send + Sync {
    /// The networks this daemon serves.
    fn networks(&self) -> Vec<NetworkId>;
    fn facts(&self, network: &NetworkId) -> Option<Arc<Facts>>;
    /// The address in its family's canonical spelling.
    fn parse_address(&self, network: &NetworkId, text: &str) -> Result<Address, String>;
    fn parse_reference(&self, network: &NetworkId, text: &str) -> Result<Reference, String>;
    /// The receiving address of that index under a watch-only account key.
    fn derive(&self, xpub: &str, index: u32) -> Result<Address, String>;
    fn payment_uri(
        &self,
        network: &NetworkId,
        asset: &Asset,
        address: &Address,
        reference: Option<&Reference>,
        amount: Amount,
    ) -> String;
    /// Whether we may post to this URL: https, no private hosts.
    fn vet_webhook_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>>;
}
