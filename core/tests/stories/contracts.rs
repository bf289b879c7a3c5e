//! What a contract says to whoever listens, through settling, forks and doubt.

use amn_core::block::{Evidence, Kind, TransferId};
use amn_core::confirmation::{Policy, Require};
use amn_core::engine::Input;
use serde_json::json;

use super::stage::{Stage, confirmations};
use crate::histories::facts::PLAIN;

fn stage(policy: Policy) -> Stage {
    Stage::new(policy, &PLAIN)
}

#[test]
fn a_contracts_word_is_told_once_it_may_be_believed_and_once() {
    let mut stage = stage(confirmations(3));
    let said = stage.say("K0", "symbol:funded", 25);
    stage.read();
    assert!(stage.heard().is_empty(), "one confirmation of three");
    stage.blocks(2);
    assert_eq!(stage.heard(), ["event"]);
    let body = stage.last_body();
    assert_eq!(body["event"], "contract.event");
    assert_eq!(body["contract_event"]["contract"], "K0");
    assert_eq!(body["contract_event"]["topics"], json!(["symbol:funded"]));
    assert_eq!(body["contract_event"]["data"], 25);
    assert_eq!(body["contract_event"]["tx"], said.tx.to_string());
    assert_eq!(body["contract_event"]["confirmations"], 3);
    assert_eq!(body["contract_event"]["evidence"]["operators"], 2);
    assert_eq!((&body["policy"]["confirmations"], &body["reason"]), (&json!(3), &json!(null)));
    stage.blocks(5);
    assert!(stage.heard().is_empty());
}

#[test]
fn nobody_is_told_of_what_nobody_listens_to() {
    let mut stage = stage(confirmations(1));
    stage.say("K2", "symbol:funded", 1);
    stage.say("K1", "symbol:released", 2);
    stage.read();
    assert!(stage.heard().is_empty());
    assert!(stage.state().sightings.is_empty(), "nothing is kept of it");
}

#[test]
fn what_leaves_the_chain_before_it_settled_is_never_told() {
    let mut stage = stage(confirmations(3));
    stage.say("K0", "symbol:funded", 25);
    stage.read();
    stage.fork(1, vec![Vec::new(); 4]);
    stage.read();
    assert!(stage.heard().is_empty());
}

#[test]
fn a_word_that_is_mined_again_elsewhere_moves_without_a_sound() {
    let mut stage = stage(confirmations(2));
    let said = stage.say("K0", "symbol:funded", 25);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["event"]);
    stage.world.truth.fork(2);
    stage.mine(Vec::new());
    stage.mine_saying(vec![said]);
    stage.blocks(2);
    assert!(stage.heard().is_empty(), "it stands as it was told");
}

#[test]
fn what_was_told_is_taken_back_and_told_again_when_it_returns() {
    let mut stage = stage(confirmations(2));
    let said = stage.say("K0", "symbol:funded", 25);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["event"]);
    stage.fork(2, vec![Vec::new(); 3]);
    stage.read();
    assert_eq!(stage.heard(), ["reversed"]);
    let body = stage.last_body();
    assert_eq!(body["event"], "contract.reversed");
    assert_eq!(body["reason"], "reorganized");
    assert_eq!(body["contract_event"]["status"], "reversed");
    assert_eq!(body["contract_event"]["confirmations"], 0);
    stage.mine_saying(vec![said]);
    stage.read();
    assert!(stage.heard().is_empty(), "one confirmation of two");
    stage.blocks(1);
    assert_eq!(stage.heard(), ["event"]);
}

#[test]
fn a_transaction_that_says_something_else_when_it_is_mined_again_is_told_as_another() {
    let mut stage = stage(confirmations(2));
    let said = stage.say("K0", "symbol:funded", 25);
    stage.blocks(1);
    stage.world.truth.fork(2);
    let other = amn_core::contract::ContractEvent { data: json!(26), ..said };
    stage.mine_saying(vec![other]);
    stage.blocks(2);
    assert_eq!(stage.heard(), ["event", "reversed", "event"]);
    assert_eq!(stage.last_body()["contract_event"]["data"], 26);
    assert_eq!(stage.state().sightings.len(), 2);
}

#[test]
fn one_operator_alone_undoes_nothing_that_was_told() {
    let mut stage = stage(confirmations(2));
    stage.say("K0", "symbol:funded", 25);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["event"]);
    stage.fork(2, vec![Vec::new(); 4]);
    stage.read_by(1);
    assert_eq!(stage.alarms(), ["fork_awaits_agreement"]);
    assert!(stage.heard().is_empty());
    stage.read_by(3);
    assert_eq!(stage.heard(), ["reversed"]);
}

#[test]
fn a_word_waits_for_the_validators_that_the_policy_asks_for() {
    let require = Require { attestations: Some(2), ..Require::default() };
    let mut stage = stage(Policy { require, tiers: Vec::new() });
    let said = stage.say("K0", "symbol:funded", 25);
    stage.blocks(3);
    assert!(stage.heard().is_empty());
    let block = stage.state().sightings.values().next().unwrap().block;
    let of = TransferId { tx: said.tx, kind: Kind::Token, index: 0 };
    for (attestations, heard) in [(1, &[][..]), (2, &["event"][..]), (3, &[][..])] {
        let is = Evidence { attestations: Some(attestations), ..Evidence::default() };
        stage.tell(Input::Evidence { of, block, is });
        assert_eq!(stage.heard(), heard, "{attestations} organisations signed it");
    }
    assert_eq!(stage.state().sightings.values().next().unwrap().told, 1);
}

#[test]
fn one_place_that_says_two_things_at_once_is_a_lie() {
    let mut stage = stage(confirmations(5));
    let said = stage.say("K0", "symbol:funded", 25);
    stage.mine_saying(vec![amn_core::contract::ContractEvent { data: json!(26), ..said }]);
    stage.read();
    assert_eq!(stage.alarms(), ["other_content"]);
    assert_eq!(stage.state().sightings.len(), 1);
}
