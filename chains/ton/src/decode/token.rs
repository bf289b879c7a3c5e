//! Jettons: what a wallet accepted is a payment to its owner; what its owner is told is only heeded.

use amn_core::block::Kind;

use super::Wallet;
use super::reading::{Arrival, Reading};
use crate::jetton;
use crate::reference;
use crate::transaction::{Course, Message, Transaction};

/// Reads a transaction of a wallet whose owner we know.
pub fn read(reading: &mut Reading<'_>, wallet: &Wallet, transaction: &Transaction, message: &Message) {
    let (owner, hash, listed) = (wallet.owner, transaction.hash(), &wallet.jetton.listed);
    if !reading.watched(&owner) {
        return;
    }
    // One of the owner's own that came back: the wallet has it again.
    if message.bounced {
        return;
    }
    let (Some(operation), Some(body)) = (message.operation(), message.body()) else { return };
    let by_master = message.from == Some(wallet.jetton.master);
    let done = match transaction.course {
        Course::Ordinary(phases) => phases.computed && phases.acted && !phases.aborted,
        Course::Other => return,
        Course::Unreadable => {
            let detail = format!("what became of an order to the wallet {} cannot be read", transaction.account);
            return reading.observe("unreadable_course", hash, &owner, detail);
        }
    };
    match operation {
        jetton::INTERNAL_TRANSFER if done => match jetton::incoming(body) {
            // From the owner to the owner: it pays nobody.
            Some(incoming) if incoming.from == Some(owner) => {}
            Some(incoming) => {
                let reference = reference::of_jetton(incoming.said, incoming.query);
                let arrival = Arrival { tx: hash, from: incoming.from, to: owner, amount: incoming.amount, reference };
                reading.credit(listed, Kind::Token, arrival);
            }
            None => {
                let detail = format!("the wallet {} accepted something without an amount", transaction.account);
                reading.observe("malformed_transfer", hash, &owner, detail);
            }
        },
        jetton::INTERNAL_TRANSFER => {
            let detail = format!("the wallet {} did not accept a transfer of {}", transaction.account, listed.asset);
            reading.observe("jetton_refused", hash, &owner, detail);
        }
        // An owner spends what is his; a master that does it takes it back.
        jetton::TRANSFER | jetton::BURN if done && by_master => {
            if let Some(amount) = jetton::ordered(body) {
                reading.take_back(listed, hash, &owner, amount);
            }
        }
        jetton::SET_STATUS
            if done && by_master && jetton::status(body).is_some_and(|status| status & jetton::LOCKED_OUT != 0) =>
        {
            let detail = format!("the master of {} locked the wallet", listed.asset);
            reading.observe("authorization_withdrawn", hash, &owner, detail);
        }
        _ => {}
    }
}

/// Somebody tells an owner of a jetton. From his own wallet it is stale news; from anybody else it is no money, however
/// alike it looks.
pub fn heed(reading: &mut Reading<'_>, transaction: &Transaction, message: &Message) {
    let owner = transaction.account;
    let genuine = reading.registry.jettons.values().any(|jetton| {
        let wallet = jetton.form.wallet(&jetton.master, &owner);
        wallet.is_some() && wallet == message.from
    });
    if genuine || message.bounced {
        return;
    }
    let teller = message.from.map_or_else(|| "nobody".to_owned(), |from| from.to_string());
    let amount = message.body().and_then(jetton::notified).map_or(0, |(_, amount, _)| amount);
    let detail = format!("{amount} of a jetton that is not listed, told by {teller}");
    reading.observe("unlisted_asset", transaction.hash(), &owner, detail);
}
