//! What watched contracts say in a ledger: proven, in order, matched by type, and nothing poisonous in the way.

use amn_core::block::Block;
use amn_core::source::{Watch, WatchVersion};
use amn_soroban::address::Place;
use amn_soroban::decode;
use amn_soroban::testkit::Tx;
use amn_soroban::testkit::event::{address, map, raw, string, symbol, whole};
use amn_soroban::value;
use serde_json::{Value, json};
use stellar_xdr::{ContractEvent, ContractEventType, ScVal, ScVec};

use crate::scene::*;

const THEIRS: Place = Place::Contract([0xe6; 32]);

fn listening(patterns: &[&[&str]]) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    let patterns: Vec<_> = patterns.iter().map(|texts| value::pattern(texts).unwrap()).collect();
    watch.insert_contract(&ESCROW.raw(), &patterns);
    watch
}

fn heard(scene: &mut Scene, watch: &Watch, transactions: &[Tx]) -> Block {
    let verified = scene.verified(transactions);
    decode::block(&scene.network.registry, watch, &verified)
}

fn said(block: &Block) -> Vec<(u32, Value, Value)> {
    block.contract_events.iter().map(|event| (event.ordinal, event.shown(), event.data.clone())).collect()
}

fn by(contract: Place, topics: Vec<ScVal>, data: ScVal) -> ContractEvent {
    let (Place::Contract(id) | Place::Account(id)) = contract;
    raw(Some(id), topics, data)
}

/// In the shape of a real escrow contract.
fn funded(contract: Place, invoice: &str) -> ContractEvent {
    let topics = vec![symbol("escrow_funded"), symbol("funded"), symbol(invoice), address(PAYER)];
    by(contract, topics, map(vec![("funded_amount", whole(25)), ("amount", whole(-1))]))
}

#[test]
fn an_escrows_word_is_read_with_its_topics_and_sorted_data() {
    let mut scene = scene(26);
    let watch = listening(&[&["symbol:escrow_funded", "*", "symbol:INV1001", "**"]]);
    let call =
        Tx::of(PAYER).call(vec![funded(ESCROW, "INV1000"), funded(ESCROW, "INV1001"), funded(THEIRS, "INV1001")]);
    let block = heard(&mut scene, &watch, &[call]);
    assert_eq!(
        said(&block),
        [(
            1,
            json!(["escrow_funded", "funded", "INV1001", PAYER.spell().as_str()]),
            json!({"amount": "-1", "funded_amount": "25"})
        )]
    );
    let event = &block.contract_events[0];
    assert_eq!((event.operation, event.index), (0, 1));
    assert_eq!(event.contract, ESCROW.spell());
    assert_eq!(block.evidence.inclusion, amn_core::block::Inclusion::Proven);
    assert!(block.transfers.is_empty() && block.observations.is_empty());
}

#[test]
fn a_failed_call_says_nothing() {
    let mut scene = scene(26);
    let failed = Tx::of(PAYER).call(vec![funded(ESCROW, "INV1001")]).fails();
    assert_eq!(said(&heard(&mut scene, &listening(&[&["**"]]), &[failed])), []);
}

#[test]
fn an_event_without_topics_is_heard_by_whoever_listens_to_everything_and_by_whoever_listens_to_just_that() {
    let mut scene = scene(26);
    let call =
        || Tx::of(PAYER).call(vec![by(ESCROW, Vec::new(), ScVal::U32(7)), by(ESCROW, vec![symbol("a")], ScVal::Void)]);
    let none: &[&str] = &[];
    assert_eq!(said(&heard(&mut scene, &listening(&[none]), &[call()])), [(0, json!([]), json!(7))]);
    assert_eq!(said(&heard(&mut scene, &listening(&[&["**"]]), &[call()])).len(), 2);
    assert_eq!(said(&heard(&mut scene, &listening(&[&["*"]]), &[call()])), [(1, json!(["a"]), json!(null))]);
}

#[test]
fn a_text_is_no_symbol_though_both_are_shown_alike() {
    let mut scene = scene(26);
    let call = Tx::of(PAYER).call(vec![
        by(ESCROW, vec![string("funded")], ScVal::U32(1)),
        by(ESCROW, vec![symbol("funded")], ScVal::U32(2)),
    ]);
    assert_eq!(
        said(&heard(&mut scene, &listening(&[&["symbol:funded"]]), &[call])),
        [(1, json!(["funded"]), json!(2))]
    );
}

#[test]
fn what_the_network_itself_or_nobody_says_is_not_heard() {
    let mut scene = scene(26);
    let mut system = by(ESCROW, vec![symbol("a")], ScVal::Void);
    system.type_ = ContractEventType::System;
    let nobodys = raw(None, vec![symbol("a")], ScVal::Void);
    let call = Tx::of(PAYER).call(vec![system, nobodys, by(ESCROW, vec![symbol("b")], ScVal::Void)]);
    assert_eq!(said(&heard(&mut scene, &listening(&[&["**"]]), &[call])), [(2, json!(["b"]), json!(null))]);
}

#[test]
fn a_poisonous_event_is_put_aside_by_itself_and_named_only_where_somebody_listens() {
    let mut scene = scene(26);
    let deep = (0..60).fold(ScVal::Void, |inner, _| ScVal::Vec(Some(ScVec(vec![inner].try_into().unwrap()))));
    let call = || {
        Tx::of(PAYER).call(vec![
            by(ESCROW, vec![symbol("a")], ScVal::U32(1)),
            by(ESCROW, vec![symbol("poison")], deep.clone()),
            by(THEIRS, vec![symbol("poison")], deep.clone()),
            by(ESCROW, vec![symbol("b")], ScVal::U32(2)),
        ])
    };
    let block = heard(&mut scene, &listening(&[&["**"]]), &[call()]);
    assert_eq!(said(&block), [(0, json!(["a"]), json!(1)), (3, json!(["b"]), json!(2))]);
    assert_eq!(kinds(&block), ["contract_event_unreadable"]);
    assert_eq!(block.observations[0].to, Some(ESCROW.spell()));
    let block = heard(&mut scene, &listening(&[&["symbol:b"]]), &[call()]);
    assert_eq!((said(&block).len(), kinds(&block).len()), (1, 0), "nobody listens to it");
}

#[test]
fn a_word_counts_its_place_among_all_that_was_said_whoever_listens() {
    let mut scene = scene(26);
    let calls = [
        Tx::of(PAYER).call(vec![funded(THEIRS, "A"), funded(ESCROW, "B")]),
        Tx::of(OTHER).call(vec![funded(THEIRS, "C"), funded(ESCROW, "D")]),
    ];
    let few = heard(&mut scene, &listening(&[&["*", "*", "symbol:D", "*"]]), &calls);
    let all = heard(&mut scene, &listening(&[&["**"]]), &calls);
    let ordinal = |block: &Block| block.contract_events.iter().find(|e| e.shown()[2] == "D").unwrap().ordinal;
    let places = |block: &Block| block.contract_events.iter().map(|e| e.ordinal).collect::<Vec<_>>();
    assert_eq!(places(&all), [1, 3]);
    assert!(places(&few).iter().all(|place| [1, 3].contains(place)));
    assert!([1, 3].contains(&ordinal(&all)));
}
