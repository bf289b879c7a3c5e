//! Real ledgers: what they commit to, whom they pay, who attests them, and what nobody can know from them.

use std::collections::BTreeSet;

use amn_core::block::{Inclusion, Kind};
use amn_soroban::decode;
use amn_soroban::evidence::{Attestations, Lie, Verified, verify};
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::SorobanNetwork;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stellar_xdr::{Frame, LedgerCloseMeta, Limited, Limits, ReadXdr, WriteXdr};

use crate::second_reader;
use crate::support::*;

const LEDGERS: [(&str, u32); 3] = [("57500008", 22), ("63092988", 26), ("63092990", 26)];

fn load(name: &str) -> Option<Vec<u8>> {
    real(&format!("pubnet-ledger-{name}.xdr.gz"))
}

fn parsed(bytes: &[u8]) -> LedgerCloseMeta {
    LedgerCloseMeta::from_xdr(bytes, Limits { depth: 500, len: bytes.len() }).unwrap()
}

#[test]
fn every_real_ledger_is_proven_from_its_own_header_and_signed_by_an_organisation_we_know() {
    for (name, protocol) in LEDGERS {
        let Some(bytes) = load(name) else { return };
        let ledger = Ledger::decode(&bytes).unwrap();
        assert_eq!(
            (ledger.sequence().to_string().as_str(), ledger.protocol(), ledger.upgrade()),
            (name, protocol, None)
        );
        let (at, parent) = (ledger.at(), ledger.parent());
        let verified = verify(&pubnet(), ledger, Some(parent)).unwrap();
        assert_eq!((verified.header.at, verified.header.parent), (at, parent.hash));
        let attester = verified.attester.unwrap();
        assert!(attester.organisation.is_some(), "{name}: {:?}", attester.validator);
    }
}

#[test]
fn every_payment_of_the_real_ledgers_is_credited_with_what_its_result_says_and_nothing_else_is() {
    let (mut kinds, mut claims): (BTreeSet<&str>, usize) = (BTreeSet::new(), 0);
    for (name, _) in LEDGERS {
        let Some(bytes) = load(name) else { return };
        let found = second_reader::read(&parsed(&bytes), pubnet().network_id);
        let network = listing(pubnet(), &found);
        let verified = verify(&network, Ledger::decode(&bytes).unwrap(), None).unwrap();
        let block = decode::block(&network.registry, &everybody(&found), &verified);

        let (unproven, proven): (Vec<_>, Vec<_>) =
            block.transfers.iter().partition(|transfer| transfer.id.kind == Kind::Internal);
        let mut credited: Vec<_> = proven.into_iter().map(in_words).collect();
        let mut expected = found.credits.clone();
        credited.sort();
        expected.sort();
        assert_eq!(credited.len(), expected.len(), "{name}");
        for (credited, expected) in credited.iter().zip(&expected) {
            assert_eq!(credited, expected, "{name}");
        }
        println!(
            "{name}: {:?}, {} calls, {} failed, {} unproven claims",
            found.counts,
            found.calls,
            found.failed,
            unproven.len()
        );
        assert!(found.failed > 50, "{name}: failed transactions are there to be passed over");
        kinds.extend(found.counts.keys());
        for transfer in &unproven {
            assert_eq!((transfer.from.as_ref(), block.evidence_of(transfer).inclusion), (None, Inclusion::Reported));
        }
        // The events beside classic payments tell the same, and no event of a listed contract is odd.
        let seen = |kind: &str| block.observations.iter().filter(|seen| seen.kind == kind).count();
        let (unlisted, rewritten) = (seen("unlisted_asset"), seen("events_unproven"));
        assert_eq!(block.observations.len(), unlisted + rewritten, "{name}: {:?}", block.observations);
        // Every asset that pays is listed; a claim names none, and what it is said to hold is nobody's credit.
        assert_eq!(found.counts.get("claim").copied().unwrap_or_default(), unproven.len() + unlisted, "{name}");
        claims += unproven.len() + unlisted;
        let names: BTreeSet<_> = block.transfers.iter().map(|transfer| transfer.id).collect();
        assert_eq!(names.len(), block.transfers.len(), "{name}: no two payments share a name");
    }
    assert!(claims > 0, "a claim is recorded, and pays nobody");
    assert_eq!(kinds, ["claim", "create", "event", "merge", "path_receive", "path_send", "payment"].into());
}

#[test]
fn references_of_real_payments_are_of_every_kind() {
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for (name, _) in LEDGERS {
        let Some(bytes) = load(name) else { return };
        let found = second_reader::read(&parsed(&bytes), pubnet().network_id);
        kinds.extend(found.credits.iter().map(|credit| credit.reference.split(':').next().unwrap().to_owned()));
    }
    for kind in ["", "id", "text"] {
        assert!(kinds.contains(kind), "{kind:?} is not among {kinds:?}");
    }
}

#[test]
fn the_events_that_a_node_rewrote_in_ledger_57500008_are_named_and_credited_to_nobody() {
    let Some(bytes) = load("57500008") else { return };
    let found = second_reader::read(&parsed(&bytes), pubnet().network_id);
    let network = listing(pubnet(), &found);
    let verified = verify(&network, Ledger::decode(&bytes).unwrap(), None).unwrap();
    let rewritten: Vec<_> = verified.applied.iter().filter(|applied| applied.rewritten().is_some()).collect();
    let [one] = rewritten.as_slice() else { panic!("{} calls differ from their commitment", rewritten.len()) };
    assert!(one.hash.to_string().starts_with("0x32766f4f"), "{}", one.hash);
    assert_eq!(one.success().unwrap().contract_events(0), None);
    let calls = verified.applied.iter().filter_map(|applied| applied.success()?.contract_events(0)).count();
    assert_eq!((calls + 1, found.calls), (36, 36));
    // Everybody whom any event of the call names is watched, and still gets nothing.
    let mut watch = everybody(&found);
    for event in one.success().unwrap().said_events(0) {
        if let decode::Said::Arrived(moved) = decode::decode_event(event) {
            watch.insert(&moved.to.unwrap().place.raw(), true);
        }
    }
    let block = decode::block(&network.registry, &watch, &verified);
    assert!(block.transfers.iter().all(|transfer| transfer.id.tx != one.hash));
    let seen = block.observations.iter().find(|seen| seen.kind == "events_unproven").unwrap();
    assert_eq!(seen.tx, Some(one.hash));
}

#[test]
fn from_protocol_23_on_a_call_whose_events_differ_refuses_the_whole_ledger() {
    let Some(bytes) = load("57500008") else { return };
    // The same ledger, were it of today: its header says so, and is hashed anew.
    let LedgerCloseMeta::V1(mut v1) = parsed(&bytes) else { panic!("the form of protocol 22") };
    v1.ledger_header.header.ledger_version = 23;
    let header = v1.ledger_header.header.to_xdr(Limits::none()).unwrap();
    v1.ledger_header.hash = stellar_xdr::Hash(<sha2::Sha256 as sha2::Digest>::digest(header).into());
    let forged = LedgerCloseMeta::V1(v1).to_xdr(Limits::none()).unwrap();
    let lie = verify(&pubnet(), Ledger::decode(&forged).unwrap(), None).unwrap_err();
    assert!(matches!(lie, Lie::Events { .. }), "{lie}");
}

/// The ledgers of a stream as stellar-core writes it.
fn stream(file: &str) -> Option<Vec<Ledger>> {
    let bytes = real(file)?;
    let limits = Limits { depth: 500, len: bytes.len() * 2 };
    let frames = Frame::<LedgerCloseMeta>::read_xdr_iter(&mut Limited::new(bytes.as_slice(), limits))
        .map(|frame| Ledger::decode(&frame.unwrap().0.to_xdr(Limits::none()).unwrap()).unwrap())
        .collect();
    Some(frames)
}

#[test]
fn payments_to_every_kind_of_address_in_a_stream_of_stellar_core_are_read_alike_by_both_readers() {
    let own = network("(V) (;,,;) (V)");
    let (mut places, mut references) = (BTreeSet::new(), BTreeSet::new());
    for file in ["core-sac-transfer-address-types.xdr", "core-stream-a.xdr"] {
        let (Some(bytes), Some(ledgers)) = (real(file), stream(file)) else { return };
        let limits = Limits { depth: 500, len: bytes.len() * 2 };
        let metas: Vec<_> = Frame::<LedgerCloseMeta>::read_xdr_iter(&mut Limited::new(bytes.as_slice(), limits))
            .map(|frame| frame.unwrap().0)
            .collect();
        for (meta, ledger) in metas.iter().zip(ledgers) {
            let found = second_reader::read(meta, own.network_id);
            let network = listing(own.clone(), &found);
            let verified = verify(&network, ledger, None).unwrap();
            let block = decode::block(&network.registry, &everybody(&found), &verified);
            let proven = block.transfers.iter().filter(|transfer| transfer.id.kind != Kind::Internal);
            let (mut credited, mut expected): (Vec<_>, _) = (proven.map(in_words).collect(), found.credits);
            credited.sort();
            expected.sort();
            assert_eq!(credited, expected, "{file} {}", verified.header.at.height);
            let at = |credit: &second_reader::Credit| (credit.place.1 > 0, credit.to.chars().next());
            places.extend(expected.iter().map(at));
            references.extend(expected.into_iter().map(|credit| credit.reference));
        }
    }
    println!("{places:?} {references:?}");
    assert!(places.contains(&(true, Some('C'))) && places.contains(&(true, Some('G'))), "{places:?}");
    assert!(references.iter().any(|reference| reference.starts_with("id:")), "{references:?}");
}

/// Verifies ledgers that stand on each other.
fn chain(network: &SorobanNetwork, ledgers: Vec<Ledger>) -> Vec<Verified> {
    let mut on = None;
    let verified: Vec<_> = ledgers
        .into_iter()
        .map(|ledger| {
            let verified = verify(network, ledger, on).unwrap();
            on = Some(verified.header.at);
            verified
        })
        .collect();
    verified
}

#[test]
fn the_second_testnet_ledger_attests_the_first() {
    let Some(bytes) = real("testnet-getLedgers-36233.json") else { return };
    let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let ledgers: Vec<_> = answer["GetLedgersResult"]["value"]["ledgers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ledger| Ledger::decode(&STANDARD.decode(ledger["metadataXdr"].as_str().unwrap()).unwrap()).unwrap())
        .collect();
    assert_eq!(ledgers.len(), 2);
    let network = SorobanNetwork::shipped("stellar-testnet").unwrap().unwrap();
    let verified = chain(&network, ledgers);
    let mut attestations = Attestations::default();
    for ledger in &verified {
        attestations.extend(ledger);
    }
    let (first, second) = (verified[0].header.at, verified[1].header.at);
    assert_eq!(attestations.who(first).iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["sdf"]);
    assert_eq!((attestations.of(first), attestations.of(second)), (1, 0), "nobody has built on the second yet");
}

#[test]
fn streams_of_stellar_core_are_proven_ledger_by_ledger_and_attested_by_those_above() {
    let network = network("(V) (;,,;) (V)");
    for file in ["core-stream-a.xdr", "core-sac-transfer-address-types.xdr"] {
        let Some(ledgers) = stream(file) else { return };
        let count = ledgers.len();
        let verified = chain(&network, ledgers);
        // Name the validators of the stream as two organisations, by turns of their keys.
        let keys: BTreeSet<_> =
            verified.iter().filter_map(|ledger| Some(ledger.attester.as_ref()?.validator)).collect();
        println!("{file}: {count} ledgers, {} validators", keys.len());
        assert!(count > 1 && !keys.is_empty(), "{file}");
        let network = with_organisations(&network, &keys.iter().map(|key| vec![*key]).collect::<Vec<_>>());
        let Some(ledgers) = stream(file) else { return };
        let verified = chain(&network, ledgers);
        let mut attestations = Attestations::default();
        for ledger in &verified {
            attestations.extend(ledger);
        }
        let newest = verified.len().saturating_sub(100);
        assert_eq!(attestations.of(verified[newest].header.at) as usize, keys.len(), "{file}");
        assert_eq!(attestations.of(verified[verified.len() - 1].header.at), 0);
    }
}

#[test]
fn a_ledger_that_closed_without_its_transactions_is_proven_and_attests_nothing() {
    let Some(ledgers) = stream("core-empty-tx-set.xdr") else { return };
    let network = network("(V) (;,,;) (V)");
    for ledger in ledgers {
        assert_eq!(ledger.header().scp_value.tx_set_hash.0, [0; 32]);
        let verified = verify(&network, ledger, None).unwrap();
        assert_eq!((verified.applied.len(), verified.attester), (0, None));
    }
}
