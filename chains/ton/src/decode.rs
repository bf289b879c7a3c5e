//! Finds the money in transactions that were linked. Pure: what is not on the allow-list is not money.
//!
//! A payment is judged on the transaction of the account that received it, by its phases. Native money is the value of
//! a message that was put on the balance and stayed. A jetton is what its owner's wallet, an address we work out
//! ourselves, was told and accepted; that the owner was told too, or that a payer's own transaction went well, means
//! nothing. Nothing that arrived is dropped for what it says: what no intent can ask for is told apart by its hash.

mod reading;
mod token;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use amn_core::block::{AssetId, Block, Evidence, Header, Inclusion, Kind};
use amn_core::money::Amount;
use amn_core::source::Watch;

use crate::address::{Account, Realm};
use crate::jetton::{self, WalletForm};
use crate::reference::{self, Said};
use crate::transaction::{Arrived, Course, Message, Transaction};
use reading::{Arrival, Reading};

/// An asset that is credited, as the decoder needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub asset: AssetId,
    pub min_amount: Amount,
}

/// A jetton of the allow-list.
#[derive(Clone, Debug)]
pub struct Jetton {
    pub master: Account,
    pub form: WalletForm,
    pub listed: Listed,
    /// An owner whose wallet the master is asked for, to compare it with the one that follows from the form.
    pub example: Account,
}

/// What is money on one network.
#[derive(Clone, Debug)]
pub struct Registry {
    /// How addresses are written there.
    pub realm: Realm,
    pub native: Listed,
    /// By their masters, in one order: what is asked of nodes about them is asked alike each time.
    pub jettons: BTreeMap<Account, Arc<Jetton>>,
}

/// The wallets of those we watch, worked out from the allow-list.
#[derive(Clone, Debug, Default)]
pub struct Wallets(HashMap<Account, Wallet>);

/// Whose wallet an account is.
#[derive(Clone, Debug)]
pub struct Wallet {
    pub owner: Account,
    pub jetton: Arc<Jetton>,
}

impl Wallets {
    /// The wallets of these owners, one for each jetton of the registry.
    #[must_use]
    pub fn of(registry: &Registry, owners: impl IntoIterator<Item = Account>) -> Self {
        let mut wallets = Self::default();
        for owner in owners {
            wallets.add(registry, owner);
        }
        wallets
    }

    /// Adds the wallets of one more owner.
    pub fn add(&mut self, registry: &Registry, owner: Account) {
        for jetton in registry.jettons.values() {
            if let Some(wallet) = jetton.form.wallet(&jetton.master, &owner) {
                self.0.insert(wallet, Wallet { owner, jetton: jetton.clone() });
            }
        }
    }

    #[must_use]
    pub fn get(&self, account: &Account) -> Option<&Wallet> {
        self.0.get(account)
    }

    /// The accounts to follow beside the owners' own.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.0.keys()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What linked transactions of one masterchain block hold for us, in the order of the chain.
#[must_use]
pub fn block(
    registry: &Registry,
    wallets: &Wallets,
    watch: &Watch,
    header: Header,
    transactions: &[Transaction],
) -> Block {
    let mut reading = Reading::new(registry, watch);
    let mut ordered: Vec<_> = transactions.iter().collect();
    ordered.sort_by_key(|transaction| (transaction.at.lt, transaction.account));
    for transaction in ordered {
        match &transaction.arrived {
            Arrived::Nothing => {}
            Arrived::Unreadable => unreadable(&mut reading, wallets, transaction),
            Arrived::Message(message) => {
                match wallet_of(registry, wallets, transaction, message) {
                    // What a wallet is sent to work with is no payment, whoever watches it.
                    Some(wallet) => token::read(&mut reading, &wallet, transaction, message),
                    None => native(&mut reading, transaction, message),
                }
            }
        }
    }
    Block {
        header,
        transfers: reading.transfers,
        takebacks: reading.takebacks,
        contract_events: Vec::new(),
        observations: reading.observations,
        // Whoever read it adds the operators.
        evidence: Evidence { inclusion: Inclusion::Proven, ..Evidence::default() },
    }
}

/// Whose wallet the account is: worked out before, or from the state that the message brought along.
fn wallet_of(registry: &Registry, wallets: &Wallets, transaction: &Transaction, message: &Message) -> Option<Wallet> {
    let account = &transaction.account;
    if let Some(wallet) = wallets.get(account) {
        return Some(wallet.clone());
    }
    let state = message.init.as_ref().filter(|_| message.operation() == Some(jetton::INTERNAL_TRANSFER))?;
    registry.jettons.values().find_map(|jetton| {
        let owner = jetton.form.owner_by_state(&jetton.master, account, state)?;
        Some(Wallet { owner, jetton: jetton.clone() })
    })
}

fn unreadable(reading: &mut Reading<'_>, wallets: &Wallets, transaction: &Transaction) {
    let owner = wallets.get(&transaction.account).map_or(transaction.account, |wallet| wallet.owner);
    if reading.watched(&owner) {
        let detail = format!("the message that started it cannot be read, at {}", transaction.account);
        reading.observe("unreadable_message", transaction.hash(), &owner, detail);
    }
}

/// Native money on the account itself.
fn native(reading: &mut Reading<'_>, transaction: &Transaction, message: &Message) {
    let (to, hash, amount) = (transaction.account, transaction.hash(), message.value);
    if !reading.watched(&to) {
        return;
    }
    let phases = match transaction.course {
        Course::Ordinary(phases) => phases,
        Course::Other => return,
        Course::Unreadable => {
            let detail = format!("{amount} nanotons arrived, and what became of them cannot be read");
            return reading.observe("unreadable_course", hash, &to, detail);
        }
    };
    let operation = message.operation();
    if operation == Some(jetton::NOTIFICATION) {
        return token::heed(reading, transaction, message);
    }
    if !reading.watched_native(&to) || message.from == Some(to) {
        return;
    }
    if message.bounced {
        let detail = format!("{amount} nanotons that were sent from here came back");
        return reading.observe("bounced", hash, &to, detail);
    }
    if operation == Some(jetton::EXCESSES) {
        return reading.observe("excesses", hash, &to, format!("{amount} nanotons left of fees came back"));
    }
    if phases.sent_back || !phases.credited {
        return reading.observe("sent_back", hash, &to, format!("{amount} nanotons went back to their sender"));
    }
    let said = message.body().map_or(Said::Reference(reference::unreadable(message.hash)), reference::of_payload);
    let reference = match said {
        Said::Nothing => None,
        Said::Reference(reference) | Said::Operation(_, reference) => Some(reference),
    };
    // An account that answers, or hands on, does not keep what came; a signed order to a wallet pays nobody either.
    if transaction.sent > 0 {
        let detail = format!("{amount} nanotons came, and {} messages went out for them", transaction.sent);
        return reading.observe("handed_on", hash, &to, detail);
    }
    let native = &reading.registry.native;
    reading.credit(native, Kind::Native, Arrival { tx: hash, from: message.from, to, amount, reference });
}
