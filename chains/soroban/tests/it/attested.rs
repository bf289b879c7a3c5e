//! Invented ledgers: who stands behind them, what a newer protocol brings, and what old nodes rewrote.

use amn_soroban::decode;
use amn_soroban::evidence::{Attestations, Lie, verify};
use amn_soroban::ledger::{Ledger, LedgerError};
use amn_soroban::testkit::{Chain, Tx, Validator, Value, forge, plain};

use crate::scene::*;
use crate::support::*;

#[test]
fn before_protocol_23_a_call_with_other_events_is_named_and_the_rest_of_the_ledger_counts() {
    for (protocol, refused) in [(22, false), (23, true), (30, true)] {
        let mut scene = scene(protocol);
        let (usd, token) = (scene.usd.clone(), scene.token());
        let on = scene.chain.tip;
        let pay = Tx::of(PAYER).pay(plain(SHOP), &usd, 25_000_000);
        let closed =
            scene.chain.close(&[Tx::of(PAYER).call(vec![token.transfer(PAYER, ESCROW, 5)]), pay], &scene.validator);
        let forged = forge::first_event_amount(&closed.meta, 6);
        let answer = verify(&scene.network, Ledger::decode(&forged).unwrap(), Some(on));
        if refused {
            assert!(matches!(answer, Err(Lie::Events { .. })), "protocol {protocol}");
            continue;
        }
        let block = decode::block(&scene.network.registry, &watch([SHOP, ESCROW]), &answer.unwrap());
        assert_eq!(block.transfers.len(), 1, "the payment beside it");
        assert_eq!(kinds(&block), ["events_unproven"]);
    }
}

#[test]
fn a_ledger_without_its_transactions_attests_nothing_in_either_form() {
    for protocol in [28, 30] {
        let mut scene = scene(protocol);
        scene.chain.value = Value::Empty;
        let verified = scene.verified(&[]);
        assert_eq!(verified.attester, None);
        scene.chain.value = Value::Usual;
        assert!(scene.verified(&[]).attester.is_some());
    }
    let mut unsigned = scene(19);
    unsigned.chain.value = Value::Basic;
    assert_eq!(unsigned.verified(&[]).attester, None);
}

#[test]
fn only_organisations_we_know_and_each_once_attest_the_ledgers_below() {
    let mut scene = scene(30);
    let [a1, a2, b, stranger] = [1, 2, 3, 4].map(Validator::new);
    scene.network.organisations =
        with_organisations(&network(PASSPHRASE), &[vec![a1.key(), a2.key()], vec![b.key()]]).organisations;
    let (mut attestations, mut ledgers) = (Attestations::default(), Vec::new());
    let mut close = |by: Validator, value: Value, counts: &[u32]| {
        scene.chain.value = value;
        scene.validator = by;
        let verified = scene.verified(&[]);
        attestations.extend(&verified);
        ledgers.push(verified.header.at);
        let now: Vec<_> = ledgers.iter().map(|at| attestations.of(*at)).collect();
        assert_eq!(now, counts);
    };
    close(Validator::new(1), Value::Usual, &[0]);
    close(a1, Value::Usual, &[1, 0]);
    close(a2, Value::Usual, &[1, 1, 0]);
    close(stranger, Value::Usual, &[1, 1, 0, 0]);
    close(Validator::new(3), Value::Empty, &[1, 1, 0, 0, 0]);
    close(b, Value::Usual, &[2, 2, 1, 1, 1, 0]);
}

#[test]
fn a_ledger_elsewhere_starts_the_count_of_attestations_anew() {
    let mut scene = scene(30);
    let mut attestations = Attestations::default();
    let first = scene.verified(&[]);
    let second = scene.verified(&[]);
    attestations.extend(&first);
    attestations.extend(&second);
    assert_eq!(attestations.of(first.header.at), 1);
    let mut other = Chain::new(PASSPHRASE, 30);
    other.milliseconds += 77;
    let closed = other.close(&[], &scene.validator);
    attestations.extend(&verify(&scene.network, Ledger::decode(&closed.bytes()).unwrap(), None).unwrap());
    assert_eq!(attestations.of(first.header.at), 0);
    let forged = amn_core::block::BlockRef { hash: amn_core::block::Hash([1; 32]), ..closed.at };
    assert_eq!(attestations.of(forged), 0);
}

#[test]
fn a_switch_to_a_newer_protocol_is_announced_and_its_ledgers_are_refused() {
    let mut scene = scene(30);
    scene.chain.upgrade = Some(31);
    let verified = scene.verified(&[]);
    assert_eq!((verified.protocol, verified.upgrade), (30, Some(31)));
    let closed = scene.chain.close(&[], &scene.validator);
    let error = Ledger::decode(&closed.bytes()).unwrap_err();
    assert_eq!(error, LedgerError::Protocol { sequence: 1_002, protocol: 31 });
}

#[test]
fn ledgers_of_a_file_are_those_that_it_names() {
    use stellar_xdr::{LedgerCloseMetaBatch, Limits, WriteXdr};
    let mut scene = scene(26);
    let metas: Vec<_> = (0..3).map(|_| scene.chain.close(&[], &scene.validator).meta).collect();
    let batch = |first: u32, last: u32| {
        let batch = LedgerCloseMetaBatch {
            start_sequence: first,
            end_sequence: last,
            ledger_close_metas: metas.clone().try_into().unwrap(),
        };
        Ledger::decode_batch(&batch.to_xdr(Limits::none()).unwrap()).map(|ledgers| ledgers.len())
    };
    assert_eq!(batch(1_001, 1_003), Ok(3));
    assert!(matches!(batch(1_001, 1_004), Err(LedgerError::Undecodable(_))), "one is missing");
    assert!(matches!(batch(1_000, 1_002), Err(LedgerError::OutOfPlace { .. })), "others than it says");
}
