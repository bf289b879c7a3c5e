//! One change to a ledger after another. Wrong credits: none.

use std::collections::BTreeSet;

use amn_soroban::address::Place;
use amn_soroban::evidence::{Lie, verify};
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::tamper::{self, Must};
use amn_soroban::testkit::{Chain, Tx, Validator, Value, plain};
use stellar_xdr::Asset;

use crate::support::*;
use crate::victim::{Outcome, Victim};

/// Changes the victim in every way there is; the names of those that found nothing to change.
fn tamper_with(victim: &Victim, next: Option<&[u8]>) -> Vec<&'static str> {
    let mut nothing = Vec::new();
    for one in tamper::ALL.iter() {
        let Some(bytes) = one.apply(&victim.bytes, victim.network.network_id) else {
            nothing.push(one.name);
            continue;
        };
        let outcome = victim.judge(&bytes);
        match (one.must, outcome) {
            (Must::Refused(expected), Outcome::Refused(name)) => assert_eq!(name, expected, "{}", one.name),
            (Must::Disowned(_), Outcome::Read(read)) => {
                assert_ne!(read.0, victim.honest.header.at, "{}: it is another ledger", one.name);
                // What stands on the honest one does not stand on it.
                let Some(next) = next.map(|next| Ledger::decode(next).unwrap()) else { continue };
                let lie = verify(&victim.network, next, Some(read.0)).unwrap_err();
                assert!(matches!(lie, Lie::Unlinked { .. }), "{}: {lie}", one.name);
            }
            (Must::Harmless(_), Outcome::Read(read)) => {
                let (at, block) = *read;
                assert_eq!(at, victim.honest.header.at, "{}", one.name);
                assert_eq!(block.transfers, victim.honest.transfers, "{}", one.name);
                assert_eq!(block.takebacks, victim.honest.takebacks, "{}", one.name);
            }
            (must, outcome) => panic!("{}: {must:?}, and it is {outcome:?}", one.name),
        }
    }
    nothing
}

#[test]
fn every_way_to_tamper_with_a_real_ledger_is_refused_by_name_disowned_or_harmless() {
    let Some(victim) = Victim::real() else { return };
    // Nobody merged an account in it.
    assert_eq!(tamper_with(&victim, None), ["merge_holds_more"]);
}

#[test]
fn every_way_to_tamper_with_an_invented_ledger_is_refused_by_name_disowned_or_harmless() {
    for protocol in [26, 30] {
        let (victim, next) = Victim::invented(protocol);
        assert_eq!(tamper_with(&victim, Some(&next)), [] as [&str; 0], "protocol {protocol}");
    }
}

#[test]
fn the_ways_to_tamper_are_many_and_each_has_its_own_name() {
    let names: BTreeSet<_> = tamper::ALL.iter().map(|one| one.name).collect();
    assert_eq!(names.len(), tamper::ALL.len());
    let of = |kind: fn(&Must) -> bool| tamper::ALL.iter().filter(|one| kind(&one.must)).count();
    let counted = [
        of(|must| matches!(must, Must::Refused(_))),
        of(|must| matches!(must, Must::Disowned(_))),
        of(|must| matches!(must, Must::Harmless(_))),
    ];
    println!("refused, disowned, harmless: {counted:?}");
    assert!(names.len() >= 80, "{}", names.len());
    // Every contradiction that a ledger can hold is provoked by one of them at least.
    let provoked: BTreeSet<_> = tamper::ALL
        .iter()
        .filter_map(|one| match one.must {
            Must::Refused(name) => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(provoked.len(), 14 + 3, "{provoked:?}");
}

#[test]
fn events_that_are_only_said_are_compared_where_somebody_watched_is_named() {
    let (victim, _) = Victim::invented(30);
    for (name, observed) in [
        ("said_event_amounts", true),
        ("said_events_removed", false),
        ("said_events_invented", true),
        ("said_events_of_a_contract_call", true),
        ("events_of_what_failed", false),
        ("diagnostic_events", false),
    ] {
        let bytes = tamper::named(name).apply(&victim.bytes, victim.network.network_id).unwrap();
        let Outcome::Read(read) = victim.judge(&bytes) else { panic!("{name}") };
        assert_eq!(read.1.observations.is_empty(), !observed, "{name}: {:?}", read.1.observations);
    }
}

#[test]
fn a_ledger_of_another_network_is_refused_though_all_its_hashes_hold() {
    let Some(victim) = Victim::real() else { return };
    let testnet = SorobanNetwork::shipped("stellar-testnet").unwrap().unwrap();
    let lie = verify(&testnet, Ledger::decode(&victim.bytes).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::ValueSignature { .. }), "{lie}");
    // Without signatures the names of its transactions give it away.
    let own = network("another network");
    let mut chain = Chain::new("one network", 19);
    chain.value = Value::Basic;
    let pay = Tx::of(Place::Account([1; 32])).pay(plain(Place::Account([2; 32])), &Asset::Native, 1);
    let closed = chain.close(&[pay], &Validator::new(1));
    let lie = verify(&own, Ledger::decode(&closed.bytes()).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::ResultOfOther { .. }), "{lie}");
}
