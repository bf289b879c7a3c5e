//! Finds the money in a ledger that was verified. Pure: what is not on the allow-list is not money.
//!
//! A classic payment is what its operation and its result say, both committed to by the header; the events that
//! a node shows beside it are compared and never credited. A contract's payment is the event of a listed
//! contract, committed to by the call's result. Only what succeeded pays. An event that does not parse is put
//! aside by itself. What a ledger cannot prove is recorded for a person and credited to nobody.

mod claim;
mod classic;
mod event;
mod reading;
mod said;

use std::collections::HashMap;
use std::sync::Arc;

use amn_core::block::{AssetId, Block, Evidence, Inclusion};
use amn_core::money::Amount;
use amn_core::source::Watch;
use stellar_xdr::{Asset, OperationBody};

use crate::evidence::Verified;
use reading::Reading;

pub use event::{Moved, Said, decode_event};

/// An asset that is credited, as the decoder needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub asset: AssetId,
    pub min_amount: Amount,
    /// Whether it is the network's own money.
    pub native: bool,
    pub contract: [u8; 32],
    /// As its contract's events name it; `None` for a token that is only a contract.
    pub sep11: Option<String>,
}

/// What is money on one network.
#[derive(Clone, Debug)]
pub struct Registry {
    /// CAIP-2, for naming assets that are not listed.
    pub chain: String,
    pub classic: HashMap<Asset, Arc<Listed>>,
    pub contracts: HashMap<[u8; 32], Arc<Listed>>,
}

impl Registry {
    /// A network without any asset.
    #[must_use]
    pub fn new(chain: &str) -> Self {
        Self { chain: chain.to_owned(), classic: HashMap::new(), contracts: HashMap::new() }
    }
}

/// What a verified ledger holds for us, in the order of application.
#[must_use]
pub fn block(registry: &Registry, watch: &Watch, ledger: &Verified) -> Block {
    let mut reading = Reading::new(registry, watch);
    for applied in &ledger.applied {
        let Some(success) = applied.success() else { continue };
        if let Some((committed, computed)) = applied.rewritten() {
            let detail = format!("its events hash to {computed}, its result commits to {committed}: not credited");
            reading.observe("events_unproven", applied.hash, None, detail);
        }
        for (index, (operation, result)) in success.operations.iter().zip(success.results).enumerate() {
            match &operation.body {
                OperationBody::InvokeHostFunction(_) => {
                    event::read(&mut reading, &success, index);
                    said::read(&mut reading, watch, &success, index);
                }
                OperationBody::CreateClaimableBalance(_) | OperationBody::ClaimClaimableBalance(_) => {
                    claim::read(&mut reading, &success, index, operation, result);
                }
                _ => classic::read(&mut reading, &success, index, operation, result),
            }
        }
    }
    Block {
        header: ledger.header,
        transfers: reading.transfers,
        takebacks: reading.takebacks,
        contract_events: reading.contract_events,
        observations: reading.observations,
        // Whoever read it adds the operator; who attests it is known when there are ledgers above it.
        evidence: Evidence { inclusion: Inclusion::Proven, attestations: Some(0), ..Evidence::default() },
    }
}
