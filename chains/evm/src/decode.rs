//! Reads payments out of receipts and transactions. Pure: what is not on the allow-list is not money.
//!
//! A token pays by its own `Transfer` of the exact ERC-20 shape. A native payment is the value of a
//! successful transaction. A fee proxy adds a reference to a token's own `Transfer`, and is itself the
//! credit only for native money, where the proxy is allow-listed. Every transfer is credited once.

mod log;
mod reference;

pub use log::{Decoded, NATIVE_PROXY, TOKEN_PROXY, TRANSFER, decode_log};
pub use reference::{ReferenceError, reference_key};

use std::collections::{HashMap, HashSet};

use alloy_primitives::{Address as Raw, B256, U256};
use amn_core::block::{Address, AssetId, Hash, Kind, Observation, Reference, Transfer, TransferId};
use amn_core::money::Amount;
use amn_core::source::Watch;

use crate::address::spell;
use crate::wire::{WholeTransaction, WireReceipt, WireTransaction};

/// Observations of one block that are kept: a spammer must not fill our tables with them.
const OBSERVATIONS_PER_BLOCK_MAX: usize = 100;

/// Arbitrum transactions that move no money to their `to`: submissions of retryables, internal ones.
const MOVES_NOTHING: [u64; 2] = [0x69, 0x6a];

/// An asset that is credited, as the decoder needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub asset: AssetId,
    pub min_amount: Amount,
}

/// What is money on one network, and which proxies are believed.
#[derive(Clone, Debug)]
pub struct Registry {
    pub native: Listed,
    pub tokens: HashMap<Raw, Listed>,
    pub token_proxies: HashSet<Raw>,
    pub native_proxies: HashSet<Raw>,
}

/// What a block holds for us, in the order of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub transfers: Vec<Transfer>,
    pub observations: Vec<Observation>,
}

impl Reading {
    fn observe(&mut self, kind: &str, tx: B256, to: Option<Address>, detail: String) {
        if self.observations.len() < OBSERVATIONS_PER_BLOCK_MAX {
            self.observations.push(Observation { kind: kind.to_owned(), tx: Some(Hash(tx.0)), to, detail });
        }
    }

    /// Adds a payment, unless it is dust or larger than 128 bits. Says where it stands.
    fn credit(&mut self, listed: &Listed, paid: &Paid) -> Option<usize> {
        let Paid { tx, kind, index, from, to, value } = *paid;
        let address = spell(to.0.0);
        let Ok(units) = u128::try_from(value) else {
            self.observe("unrepresentable", tx, Some(address), format!("{} of {value} exceeds 128 bits", listed.asset));
            return None;
        };
        let amount = Amount::new(units);
        if amount.is_zero() || amount < listed.min_amount {
            self.observe("dust", tx, Some(address), format!("{amount} of {}", listed.asset));
            return None;
        }
        self.transfers.push(Transfer {
            id: TransferId { tx: Hash(tx.0), kind, index: u32::try_from(index).ok()? },
            asset: listed.asset.clone(),
            from: Some(spell(from.0.0)),
            to: address,
            reference: None,
            amount,
        });
        Some(self.transfers.len() - 1)
    }

    /// Gives a payment its reference: the keccak of its bytes, as the chain shows it and as intents are
    /// stored.
    fn refer(&mut self, place: Option<usize>, reference: B256) {
        if let Some(transfer) = place.and_then(|place| self.transfers.get_mut(place)) {
            transfer.reference = Some(Reference::new(Hash(reference.0).to_string()));
        }
    }
}

/// Money that moved, before it is known whether it counts.
#[derive(Clone, Copy)]
struct Paid {
    tx: B256,
    kind: Kind,
    index: usize,
    from: Raw,
    to: Raw,
    value: U256,
}

/// Reads a block: receipts in order, each with its transaction where whole transactions were read.
#[must_use]
pub fn block(
    registry: &Registry,
    watch: &Watch,
    transactions: &[WireTransaction],
    receipts: &[WireReceipt],
) -> Reading {
    let mut reading = Reading::default();
    for (index, receipt) in receipts.iter().enumerate() {
        if let Some(WireTransaction::Whole(whole)) = transactions.get(index) {
            native(registry, watch, whole, receipt, &mut reading);
        }
        logs(registry, watch, receipt, &mut reading);
    }
    reading
}

/// Whether a whole transaction may pay somebody native money we wait for; its receipt has the last word.
#[must_use]
pub fn may_pay_native(watch: &Watch, tx: &WholeTransaction) -> bool {
    let moves = tx.kind.is_none_or(|kind| !MOVES_NOTHING.contains(&kind.0));
    moves && !tx.value.is_zero() && tx.to.is_some_and(|to| watch.native(to.as_slice()))
}

fn native(registry: &Registry, watch: &Watch, tx: &WholeTransaction, receipt: &WireReceipt, reading: &mut Reading) {
    let Some(to) = tx.to.filter(|_| may_pay_native(watch, tx)) else { return };
    match receipt.succeeded() {
        Some(true) => {
            let paid = Paid { tx: tx.hash, kind: Kind::Native, index: 0, from: tx.from, to, value: tx.value };
            reading.credit(&registry.native, &paid);
        }
        Some(false) => {}
        None => {
            let detail = "a receipt from before Byzantium does not say whether the payment succeeded".to_owned();
            reading.observe("status_unknown", tx.hash, Some(spell(to.0.0)), detail);
        }
    }
}

/// A token's transfer in this transaction, for the proxy events after it.
struct Moved {
    token: Raw,
    to: Raw,
    value: U256,
    /// Where it stands in the reading; `None` where it was dust.
    credited: Option<usize>,
    claimed: bool,
}

fn logs(registry: &Registry, watch: &Watch, receipt: &WireReceipt, reading: &mut Reading) {
    let tx = receipt.transaction_hash;
    // A reverted transaction has no logs; one that shows some anyway is not believed.
    if receipt.succeeded() == Some(false) {
        return;
    }
    let mut moved: Vec<Moved> = Vec::new();
    for (index, log) in receipt.logs.iter().enumerate().filter(|(_, log)| !log.removed) {
        let ours = |to: &Raw| watch.tokens(to.as_slice());
        match decode_log(log) {
            Decoded::Transfer { from, to, value } if ours(&to) => {
                let Some(listed) = registry.tokens.get(&log.address) else { continue };
                let credited = reading.credit(listed, &Paid { tx, kind: Kind::Token, index, from, to, value });
                moved.push(Moved { token: log.address, to, value, credited, claimed: false });
            }
            Decoded::OddTransfer { to: Some(to) } if ours(&to) && registry.tokens.contains_key(&log.address) => {
                let detail = format!("log {index} of {} has not the shape of an ERC-20 transfer", log.address);
                reading.observe("malformed_transfer", tx, Some(spell(to.0.0)), detail);
            }
            Decoded::TokenProxy { token, to, amount, reference }
                if ours(&to) && registry.token_proxies.contains(&log.address) =>
            {
                // The newest first: the proxy emits its event right after it moved the token.
                let backing = moved
                    .iter_mut()
                    .rev()
                    .find(|moved| !moved.claimed && (moved.token, moved.to, moved.value) == (token, to, amount));
                if let Some(backing) = backing {
                    backing.claimed = true;
                    reading.refer(backing.credited, reference);
                } else {
                    // Anybody may call the proxy with a contract that moves nothing and returns true.
                    let detail = format!("a fee proxy names {amount} of {token}, which that token did not move before");
                    reading.observe("unbacked_reference", tx, Some(spell(to.0.0)), detail);
                }
            }
            Decoded::NativeProxy { to, amount, reference }
                if ours(&to) && registry.native_proxies.contains(&log.address) =>
            {
                let paid = Paid { tx, kind: Kind::Proxy, index, from: log.address, to, value: amount };
                let credited = reading.credit(&registry.native, &paid);
                reading.refer(credited, reference);
            }
            _ => {}
        }
    }
}
