//! Events of contract calls: transfers and mints of listed contracts, read by their exact shape.
//!
//! Contracts of classic assets and SEP-41 tokens name the same things in two shapes (a value, or a map with the
//! receiver's number), and old ones put the administrator before the receiver. Whoever emitted an event is the
//! contract it names; an event of a contract that is not listed is not money, whatever it says.

use amn_core::block::{Address, Reference};
use stellar_xdr::{ContractEvent, ContractEventBody, ContractEventType, Int128Parts, ScAddress, ScMap, ScVal};

use super::reading::{Arrival, Reading, Spot};
use crate::address::{Party, Place, spell_sender};
use crate::asset;
use crate::evidence::Success;
use crate::reference;

/// What an event says by its shape, whoever emitted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    Arrived(Moved<'a>),
    /// An issuer took money back.
    TakenBack {
        from: Option<Party>,
        amount: i128,
        asset: Option<&'a [u8]>,
    },
    /// An issuer no longer lets a holder pay.
    Frozen {
        holder: Option<Party>,
    },
    /// It names a movement of money and does not have its shape.
    Odd {
        to: Option<Party>,
    },
    Other,
}

/// Money that a token says has moved, or come into being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved<'a> {
    pub from: Option<Address>,
    /// `None`: to a claimable balance or a pool.
    pub to: Option<Party>,
    pub amount: i128,
    pub reference: Option<Reference>,
    /// The asset's name, as the contract of a classic asset adds it.
    pub asset: Option<&'a [u8]>,
}

/// Reads the proven events of one contract call.
pub fn read(reading: &mut Reading<'_>, success: &Success<'_>, operation: usize) {
    let Some(events) = success.contract_events(operation) else { return };
    for (place, event) in events.iter().enumerate() {
        let spot = Spot { tx: success.hash, operation, event: Some(place) };
        if event.type_ == ContractEventType::Contract {
            one(reading, spot, event);
        }
    }
}

fn one(reading: &mut Reading<'_>, spot: Spot, event: &ContractEvent) {
    let Some(contract) = &event.contract_id else { return };
    let listed = reading.registry.contracts.get(&contract.0.0).cloned();
    let ours = |party: &Option<Party>, reading: &Reading<'_>| party.filter(|party| reading.watched(&party.place));
    match (decode_event(event), listed) {
        (Said::Arrived(moved), listed) => {
            let Some(to) = ours(&moved.to, reading) else { return };
            let to_itself = moved.from.as_ref().is_some_and(|from| *from == to.place.spell());
            if to_itself || moved.amount == 0 {
                return;
            }
            let Moved { from, amount, reference, asset, .. } = moved;
            let arrival = Arrival { spot, from, to: to.place, amount, reference };
            match listed {
                None => reading.unlisted(&arrival, &asset::token_id(&reading.registry.chain, contract.0.0)),
                Some(listed) if amount < 0 || !names(listed.sep11.as_deref(), asset) => {
                    odd(reading, spot, Some(&to.place));
                }
                Some(listed) => reading.credit(&listed, arrival),
            }
        }
        (Said::TakenBack { from, amount, asset }, Some(listed)) => {
            let Some(from) = ours(&from, reading) else { return };
            if amount < 0 || !names(listed.sep11.as_deref(), asset) {
                return odd(reading, spot, Some(&from.place));
            }
            reading.take_back(&listed, spot, from.place, amount);
        }
        (Said::Frozen { holder }, Some(listed)) => {
            if let Some(holder) = ours(&holder, reading) {
                let detail = format!("the issuer withdrew the authorization to hold {}", listed.asset);
                reading.observe("authorization_withdrawn", spot.tx, Some(&holder.place), detail);
            }
        }
        // Where it went cannot be read, so it may be to us.
        (Said::Odd { to: None }, Some(_)) => odd(reading, spot, None),
        (Said::Odd { to: Some(to) }, Some(_)) if reading.watched(&to.place) => odd(reading, spot, Some(&to.place)),
        _ => {}
    }
}

/// Puts one event aside; everything around it is read.
fn odd(reading: &mut Reading<'_>, spot: Spot, to: Option<&Place>) {
    let detail = format!("event {} has not the shape its name promises", spot.event.unwrap_or_default());
    reading.observe("malformed_transfer", spot.tx, to, detail);
}

/// The contract of a classic asset names it in each event; another name would be a bug of ours or the network's.
fn names(listed: Option<&str>, said: Option<&[u8]>) -> bool {
    match (listed, said) {
        (Some(listed), Some(said)) => listed.as_bytes() == said,
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Reads an event by its topics and the shape of its data.
#[must_use]
pub fn decode_event(event: &ContractEvent) -> Said<'_> {
    let ContractEventBody::V0(body) = &event.body;
    let [ScVal::Symbol(name), topics @ ..] = body.topics.as_slice() else { return Said::Other };
    let (addresses, rest) = split(topics);
    let asset = match rest {
        [] => None,
        [ScVal::String(name)] => Some(name.0.as_slice()),
        _ => Some(&b""[..]), // Names no asset: whoever needs a name refuses it.
    };
    let to = |address: &ScAddress| Party::of_contract_event(address);
    // The last address is the receiver of a mint and the holder in the others: old contracts put the
    // administrator before.
    let last = addresses.last().copied();
    match name.0.as_slice() {
        b"transfer" => match (addresses.as_slice(), data(&body.data)) {
            ([from, receiver], Some((amount, muxed))) => {
                let receiver = to(receiver);
                let reference = reference::of_event(muxed, receiver.and_then(|party| party.id));
                let from = Some(spell_sender(from));
                Said::Arrived(Moved { from, to: receiver, amount, reference, asset })
            }
            _ => Said::Odd { to: addresses.get(1).copied().and_then(to) },
        },
        b"mint" => match (addresses.as_slice(), data(&body.data)) {
            ([receiver] | [_, receiver], Some((amount, muxed))) => {
                let receiver = to(receiver);
                let reference = reference::of_event(muxed, receiver.and_then(|party| party.id));
                Said::Arrived(Moved { from: None, to: receiver, amount, reference, asset })
            }
            _ => Said::Odd { to: last.and_then(to) },
        },
        b"clawback" => match (addresses.as_slice(), data(&body.data)) {
            ([holder] | [_, holder], Some((amount, _))) => Said::TakenBack { from: to(holder), amount, asset },
            _ => Said::Odd { to: last.and_then(to) },
        },
        b"set_authorized" if body.data == ScVal::Bool(false) => Said::Frozen { holder: last.and_then(to) },
        _ => Said::Other,
    }
}

/// The addresses that topics begin with, and the topics after them.
fn split(topics: &[ScVal]) -> (Vec<&ScAddress>, &[ScVal]) {
    let mut addresses = Vec::new();
    let mut rest = topics;
    while let [ScVal::Address(address), more @ ..] = rest {
        addresses.push(address);
        rest = more;
    }
    (addresses, rest)
}

/// The amount, and the receiver's number where the data is a map. A token may add keys of its own.
fn data(data: &ScVal) -> Option<(i128, Option<&ScVal>)> {
    match data {
        ScVal::I128(amount) => Some((whole(amount), None)),
        ScVal::Map(Some(ScMap(entries))) => {
            let of = |wanted: &[u8]| {
                let mut found = entries
                    .iter()
                    .filter(|entry| matches!(&entry.key, ScVal::Symbol(key) if key.0.as_slice() == wanted));
                // A key that is there twice says two things: as if it were not there.
                found.next().filter(|_| found.next().is_none()).map(|entry| &entry.val)
            };
            let Some(ScVal::I128(amount)) = of(b"amount") else { return None };
            Some((whole(amount), of(b"to_muxed_id")))
        }
        _ => None,
    }
}

fn whole(parts: &Int128Parts) -> i128 {
    i128::from(parts.hi) << 64 | i128::from(parts.lo)
}
