//! What payers and people do: enough, too little, too much, too late, to nobody.

use amn_core::confirmation::{Policy, Require, Tier};
use amn_core::engine::Command;
use amn_core::intent::Status;
use amn_core::money::Amount;

use super::stage::{Stage, confirmations};
use crate::histories::facts::{Ask, OTHER, PLAIN};

#[test]
fn an_exact_payment_is_detected_and_confirmed() {
    let mut stage = Stage::new(confirmations(3), &PLAIN);
    stage.pay("A0", 100);
    stage.read();
    assert_eq!(stage.heard(), ["detected"]);
    stage.blocks(1);
    assert_eq!(stage.heard(), [""; 0]);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["confirmed"]);
    assert_eq!(stage.status(), Status::Confirmed);
}

#[test]
fn the_first_of_two_parts_is_told_as_partial_when_it_settles_alone() {
    let mut stage = Stage::new(confirmations(2), &PLAIN);
    stage.pay("A0", 40);
    stage.read();
    stage.blocks(1);
    assert_eq!(stage.heard(), ["detected", "partial"]);
    stage.pay("A0", 60);
    stage.read();
    stage.blocks(1);
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
}

#[test]
fn two_parts_in_one_block_are_confirmed_once() {
    let mut stage = Stage::new(confirmations(2), &PLAIN);
    stage.pay_all(&[("A0", 40), ("A0", 60)]);
    stage.read();
    stage.blocks(1);
    assert_eq!(stage.heard(), ["detected", "detected", "confirmed"]);
}

#[test]
fn too_much_is_told_with_the_confirmation_and_again_when_more_comes() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.pay("A0", 150);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "confirmed", "overpaid"]);
    stage.pay("A0", 10);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "overpaid"]);
    assert_eq!(stage.status(), Status::Confirmed);
}

#[test]
fn a_tolerance_works_both_ways() {
    let mut stage = Stage::new(confirmations(1), &Ask { tolerance: 5, ..PLAIN });
    stage.pay("A0", 95);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
    stage.pay("A0", 10);
    stage.read();
    assert_eq!(stage.heard(), ["detected"], "105 of 100 is within 5");
}

#[test]
fn money_after_the_end_is_late_until_a_person_accepts_it() {
    let mut stage = Stage::new(confirmations(2), &Ask { expires: Some(100), ..PLAIN });
    stage.later(101);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["expired"]);
    stage.pay("A0", 100);
    stage.read();
    stage.blocks(1);
    assert_eq!(stage.heard(), ["late", "late"], "seen and settled");
    assert_eq!((stage.status(), stage.sums().settled), (Status::Late, Amount::ZERO));
    stage.command(Command::Accept { intent: stage.intent });
    assert_eq!(stage.heard(), ["confirmed"]);
    assert_eq!(stage.sums().settled, Amount::new(100));
}

#[test]
fn too_little_in_time_expires_and_may_be_accepted_as_enough() {
    let mut stage = Stage::new(confirmations(2), &Ask { expires: Some(100), ..PLAIN });
    stage.pay("A0", 40);
    stage.read();
    stage.later(101);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["detected", "partial", "expired"]);
    stage.command(Command::Accept { intent: stage.intent });
    assert_eq!(stage.heard(), ["confirmed"]);
    assert_eq!(stage.status(), Status::Confirmed);
}

#[test]
fn pending_money_in_time_holds_the_end_back() {
    let own = Require { confirmations: Some(20), ..Require::default() };
    let mut stage = Stage::new(confirmations(2), &Ask { expires: Some(100), require: own, ..PLAIN });
    stage.pay("A0", 100);
    stage.read();
    stage.later(101);
    stage.blocks(17);
    assert_eq!(stage.heard(), ["detected"], "the end has passed and enough is on its way");
    stage.blocks(1);
    assert_eq!(stage.heard(), ["confirmed"]);
}

#[test]
fn money_for_a_canceled_intent_is_late() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.command(Command::Cancel { intent: stage.intent });
    assert_eq!(stage.heard(), ["canceled"]);
    stage.pay("A0", 100);
    stage.read();
    assert_eq!(stage.heard(), ["late", "late"]);
    assert_eq!(stage.status(), Status::Late);
    assert!(stage.refused(Command::Cancel { intent: stage.intent }));
}

#[test]
fn an_end_that_finds_late_money_says_so() {
    // The last event of an intent is its whole truth: it must not end on `expired` or `canceled`.
    let mut stage = Stage::new(confirmations(3), &Ask { expires: Some(100), ..PLAIN });
    stage.later(101);
    stage.pay("A0", 100);
    stage.read();
    assert_eq!((stage.heard(), stage.status()), (vec!["late".to_owned()], Status::Awaiting));
    stage.command(Command::Cancel { intent: stage.intent });
    assert_eq!((stage.heard(), stage.status()), (vec!["canceled".to_owned(), "late".to_owned()], Status::Late));
    assert_eq!(stage.last_body()["intent"]["status"], "late");
}

#[test]
fn money_for_nobody_is_told_when_it_settles_and_can_be_assigned_and_unassigned() {
    let mut stage = Stage::new(confirmations(2), &Ask { address: "S", reference: Some("a"), ..PLAIN });
    stage.pay("S", 100);
    stage.read();
    assert_eq!(stage.heard(), [""; 0]);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["unmatched"]);
    let deposit = stage.only_deposit().id;
    stage.command(Command::Assign { deposit, intent: stage.intent });
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
    stage.command(Command::Unassign { deposit });
    assert_eq!(stage.heard(), ["reversed"]);
    assert_eq!(stage.status(), Status::Reversed);
}

#[test]
fn another_asset_pays_nobody_and_cannot_be_assigned() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.pay_in("A0", OTHER, 100);
    stage.read();
    assert_eq!(stage.heard(), ["unmatched"]);
    assert!(stage.refused(Command::Assign { deposit: stage.only_deposit().id, intent: stage.intent }));
}

#[test]
fn a_tier_reached_by_the_second_payment_holds_the_first_one_too() {
    let tier = Tier { asset: None, at_least: Amount::new(500), require: confirmations(6).require };
    let policy = Policy { tiers: vec![tier], ..confirmations(3) };
    let mut stage = Stage::new(policy, &Ask { due: 100, ..PLAIN });
    stage.pay("A0", 100);
    stage.read();
    stage.pay("A0", 400);
    stage.read();
    stage.blocks(3);
    assert_eq!(stage.heard(), ["detected", "detected"], "five confirmations of six");
    stage.blocks(1);
    assert_eq!(stage.heard(), ["confirmed"], "the first alone: the second has five");
    stage.blocks(1);
    assert_eq!(stage.heard(), ["overpaid"]);
}
