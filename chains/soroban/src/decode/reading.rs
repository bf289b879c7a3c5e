//! What is found in one ledger, gathered under the rules that hold for every kind of arrival.

use std::collections::HashMap;
use std::sync::Arc;

use amn_core::block::{Address, AssetId, Kind, Observation, Reference, Takeback, Transfer, TransferId, TxHash};
use amn_core::contract::ContractEvent;
use amn_core::money::Amount;
use amn_core::source::Watch;
use stellar_xdr::{Asset, ClaimableBalanceId};

use super::{Listed, Registry};
use crate::address::Place;

/// Observations of one ledger that are kept: a spammer must not fill our tables with them, nor crowd out what an
/// operator must see. One transaction of the public network hands out a hundred worthless assets.
const OBSERVATIONS_MAX: usize = 100;

/// What anybody can cause at will, and how much of it is kept.
const SPAM: [&str; 2] = ["dust", "unlisted_asset"];
const SPAM_MAX: usize = 20;

pub struct Reading<'a> {
    pub registry: &'a Registry,
    watch: &'a Watch,
    pub transfers: Vec<Transfer>,
    pub takebacks: Vec<Takeback>,
    pub contract_events: Vec<ContractEvent>,
    /// Contract events so far, whoever listens.
    pub emitted: u32,
    pub observations: Vec<Observation>,
    spam: usize,
    /// Claimable balances made in this ledger: what they hold is proven while we remember it.
    pub created: HashMap<ClaimableBalanceId, Created>,
}

/// What a claimable balance was made of.
#[derive(Clone, Debug)]
pub struct Created {
    pub by: Place,
    pub asset: Asset,
    pub amount: i64,
}

/// Where in its transaction something is.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub tx: TxHash,
    pub operation: usize,
    /// Of a contract call; `None` where the operation itself is what happened.
    pub event: Option<usize>,
}

impl Spot {
    /// Its lasting number: the operation in the upper half, and in the lower zero for the operation itself or
    /// the event's place from one. `None` beyond what one transaction can hold (100 operations; 16 KiB of events).
    pub fn index(&self) -> Option<u32> {
        let event = match self.event {
            None => 0,
            Some(place) => u32::from(u16::try_from(place).ok()?.checked_add(1)?),
        };
        Some(u32::from(u16::try_from(self.operation).ok().filter(|n| *n < 0x7fff)?) << 16 | event)
    }
}

/// Money that arrived.
pub struct Arrival {
    pub spot: Spot,
    pub from: Option<Address>,
    pub to: Place,
    pub amount: i128,
    pub reference: Option<Reference>,
}

impl<'a> Reading<'a> {
    pub fn new(registry: &'a Registry, watch: &'a Watch) -> Self {
        Self {
            registry,
            watch,
            transfers: Vec::new(),
            takebacks: Vec::new(),
            contract_events: Vec::new(),
            emitted: 0,
            observations: Vec::new(),
            spam: 0,
            created: HashMap::new(),
        }
    }

    pub fn watched(&self, place: &Place) -> bool {
        self.watch.tokens(&place.raw())
    }

    /// Puts something aside that credits nobody.
    pub fn observe(&mut self, kind: &str, tx: TxHash, to: Option<&Place>, detail: String) {
        let spam = SPAM.contains(&kind);
        if (spam && self.spam >= SPAM_MAX) || self.observations.len() >= OBSERVATIONS_MAX + SPAM_MAX {
            return;
        }
        self.spam += usize::from(spam);
        let to = to.map(Place::spell);
        self.observations.push(Observation { kind: kind.to_owned(), tx: Some(tx), to, detail });
    }

    /// Money of an asset nobody listed. Anybody can make such an asset, with any code.
    pub fn unlisted(&mut self, arrival: &Arrival, asset: &AssetId) {
        let detail = format!("{} of {asset}", arrival.amount);
        self.observe("unlisted_asset", arrival.spot.tx, Some(&arrival.to), detail);
    }

    /// Credits an arrival, unless it is nothing or dust.
    pub fn credit(&mut self, listed: &Arc<Listed>, arrival: Arrival) {
        let kind = if listed.native { Kind::Native } else { Kind::Token };
        self.record(listed, arrival, kind);
    }

    /// Records an arrival that the ledger does not prove: kind and missing sender make it a person's to assign.
    pub fn record_unproven(&mut self, listed: &Arc<Listed>, arrival: Arrival) {
        self.record(listed, Arrival { from: None, ..arrival }, Kind::Internal);
    }

    fn record(&mut self, listed: &Listed, arrival: Arrival, kind: Kind) {
        let Arrival { spot, from, to, amount, reference } = arrival;
        let Some(amount) = u128::try_from(amount).ok().map(Amount::new).filter(|amount| !amount.is_zero()) else {
            return; // Zero moves nothing, and less than nothing is refused by the network itself.
        };
        if amount < listed.min_amount {
            return self.observe("dust", spot.tx, Some(&to), format!("{amount} of {}", listed.asset));
        }
        let Some(index) = spot.index() else {
            let detail = format!("{amount} of {} at {spot:?}: beyond what a transaction holds", listed.asset);
            return self.observe("unrepresentable", spot.tx, Some(&to), detail);
        };
        let transfer = Transfer {
            id: TransferId { tx: spot.tx, kind, index },
            asset: listed.asset.clone(),
            from,
            to: to.spell(),
            reference,
            amount,
        };
        self.takebacks.iter_mut().for_each(|takeback| takeback.precedes(&transfer));
        self.transfers.push(transfer);
    }

    /// Records that an issuer took money back from an address we watch.
    pub fn take_back(&mut self, listed: &Arc<Listed>, spot: Spot, from: Place, amount: i128) {
        let (Ok(amount), Some(index)) = (u128::try_from(amount), spot.index()) else { return };
        if amount == 0 {
            return;
        }
        let kind = if listed.native { Kind::Native } else { Kind::Token };
        self.takebacks.push(Takeback {
            id: TransferId { tx: spot.tx, kind, index },
            asset: listed.asset.clone(),
            from: from.spell(),
            amount: Amount::new(amount),
            later: Vec::new(),
        });
    }
}
