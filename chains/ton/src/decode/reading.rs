//! What is found in one block, gathered under the rules that hold for every kind of arrival.

use amn_core::block::{Kind, Observation, Reference, Takeback, Transfer, TransferId, TxHash};
use amn_core::money::Amount;
use amn_core::source::Watch;

use super::{Listed, Registry};
use crate::address::Account;

/// Observations of one block that are kept: nobody must fill our tables with them, nor crowd out what an operator must
/// see. Three of four transactions of a real block were comments on one nanoton each.
const OBSERVATIONS_MAX: usize = 100;

/// What anybody can cause at will, and how much of it is kept.
const SPAM: [&str; 5] = ["dust", "unlisted_asset", "sent_back", "handed_on", "jetton_refused"];
const SPAM_MAX: usize = 20;

pub struct Reading<'a> {
    pub registry: &'a Registry,
    watch: &'a Watch,
    pub transfers: Vec<Transfer>,
    pub takebacks: Vec<Takeback>,
    pub observations: Vec<Observation>,
    spam: usize,
}

/// Money that arrived.
pub struct Arrival {
    pub tx: TxHash,
    pub from: Option<Account>,
    pub to: Account,
    pub amount: u128,
    pub reference: Option<Reference>,
}

/// A transaction has one message that starts it, so it has one arrival.
const INDEX: u32 = 0;

impl<'a> Reading<'a> {
    pub const fn new(registry: &'a Registry, watch: &'a Watch) -> Self {
        Self { registry, watch, transfers: Vec::new(), takebacks: Vec::new(), observations: Vec::new(), spam: 0 }
    }

    pub fn watched(&self, account: &Account) -> bool {
        self.watch.tokens(&account.raw())
    }

    pub fn watched_native(&self, account: &Account) -> bool {
        self.watch.native(&account.raw())
    }

    /// Puts something aside that credits nobody.
    pub fn observe(&mut self, kind: &str, tx: TxHash, to: &Account, detail: String) {
        let spam = SPAM.contains(&kind);
        if (spam && self.spam >= SPAM_MAX) || self.observations.len() >= OBSERVATIONS_MAX + SPAM_MAX {
            return;
        }
        self.spam += usize::from(spam);
        let to = Some(to.spell(self.registry.realm));
        self.observations.push(Observation { kind: kind.to_owned(), tx: Some(tx), to, detail });
    }

    /// Credits an arrival, unless it is nothing or dust.
    pub fn credit(&mut self, listed: &Listed, kind: Kind, arrival: Arrival) {
        let Arrival { tx, from, to, amount, reference } = arrival;
        let amount = Amount::new(amount);
        if amount < listed.min_amount || amount.is_zero() {
            return self.observe("dust", tx, &to, format!("{amount} of {}", listed.asset));
        }
        let realm = self.registry.realm;
        let transfer = Transfer {
            id: TransferId { tx, kind, index: INDEX },
            asset: listed.asset.clone(),
            from: from.map(|from| from.spell(realm)),
            to: to.spell(realm),
            reference,
            amount,
        };
        self.takebacks.iter_mut().for_each(|takeback| takeback.precedes(&transfer));
        self.transfers.push(transfer);
    }

    /// Records that whoever made a jetton took some of it back.
    pub fn take_back(&mut self, listed: &Listed, tx: TxHash, from: &Account, amount: u128) {
        if amount > 0 {
            self.takebacks.push(Takeback {
                id: TransferId { tx, kind: Kind::Token, index: INDEX },
                asset: listed.asset.clone(),
                from: from.spell(self.registry.realm),
                amount: Amount::new(amount),
                later: Vec::new(),
            });
        }
    }
}
