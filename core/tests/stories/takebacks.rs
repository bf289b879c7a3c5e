//! An issuer takes money back: whose it was, and what is told of it.

use amn_core::block::Height;
use amn_core::deposit::DepositStatus;
use amn_core::engine::{Effect, Input};
use amn_core::event::EventKind;
use amn_core::id::IntentId;
use amn_core::money::Amount;
use serde_json::Value;

use super::stage::{Stage, confirmations};
use crate::histories::facts::{Ask, PLAIN, USDC};

#[test]
fn money_taken_back_does_not_return_by_reading_its_block_again() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.pay("A0", 100);
    stage.take_back("A0", 100);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "confirmed", "reversed"]);
    let deposit = stage.only_deposit();
    let blocks = vec![stage.world.truth.at(deposit.block.height).unwrap().clone()];
    stage.tell(Input::Found { blocks, intents: vec![], contracts: vec![], through: deposit.block });
    assert_eq!(stage.heard(), [""; 0]);
    assert_eq!(stage.only_deposit().status, DepositStatus::Reversed);
}

#[test]
fn money_taken_back_in_a_later_page_of_what_is_read_again_is_not_confirmed() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.world.watch.0 += 1;
    let new = stage.world.ask(&Ask { address: "N6", ..PLAIN });
    stage.pay("N6", 100);
    stage.later(1);
    stage.take_back("N6", 100);
    stage.read_stale();
    let (from, to) = stage.state().intents[&new].backfill.unwrap();
    for (from, to) in [(from, from), (from.next(), to)] {
        let blocks: Vec<_> = (from.0..=to.0).filter_map(|h| stage.world.truth.at(Height(h)).cloned()).collect();
        let through = blocks.last().unwrap().header.at;
        stage.tell(Input::Found { blocks, intents: vec![new], contracts: vec![], through });
    }
    assert_eq!(stage.heard(), ["detected", "confirmed", "reversed"]);
    assert_eq!(stage.state().intents[&new].progress.sums.settled, Amount::ZERO);
}

#[test]
fn what_was_taken_before_a_payment_came_is_not_taken_from_it() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.world.watch.0 += 1;
    let new = stage.world.ask(&Ask { address: "N6", ..PLAIN });
    stage.take_back("N6", 100);
    stage.read_stale();
    let (from, to) = stage.state().intents[&new].backfill.unwrap();
    // It is paid, and that is read, before the past is.
    stage.pay("N6", 100);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
    let blocks: Vec<_> = (from.0..=to.0).filter_map(|h| stage.world.truth.at(Height(h)).cloned()).collect();
    let through = blocks.last().unwrap().header.at;
    stage.tell(Input::Found { blocks, intents: vec![new], contracts: vec![], through });
    assert_eq!(stage.heard(), [""; 0]);
}

#[test]
fn a_take_back_at_a_shared_address_where_all_money_is_one_intents_can_only_be_that_ones() {
    let ask = Ask { address: "S", reference: Some("7"), ..PLAIN };
    let mut stage = Stage::new(confirmations(1), &ask);
    let payment = stage.world.truth.payment("S", USDC, 100, Some("7"));
    stage.mine(vec![payment]);
    stage.take_back("S", 100);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "confirmed", "reversed"]);
}

/// The first intent of the shared address waits for `7`, the second for `8`.
fn shared() -> (Stage, IntentId, IntentId) {
    let ask = Ask { address: "S", reference: Some("7"), ..PLAIN };
    let mut stage = Stage::new(confirmations(1), &ask);
    let second = stage.world.ask(&Ask { reference: Some("8"), ..ask });
    let first = stage.intent;
    (stage, first, second)
}

impl Stage {
    fn pay_shared(&mut self, reference: &str, amount: u128) {
        let payment = self.world.truth.payment("S", USDC, amount, Some(reference));
        self.mine(vec![payment]);
    }

    /// The amounts that were undone, and the reason each was told with.
    fn undone(&self) -> Vec<(u128, String)> {
        let amounts = self.effects.iter().filter_map(|effect| match effect {
            Effect::Undo { deposit, .. } => Some(self.state().deposits[deposit].transfer.amount.units()),
            _ => None,
        });
        let reasons = self.effects.iter().filter_map(|effect| match effect {
            Effect::Announce(event)
                if matches!(event.kind, EventKind::Reversed | EventKind::Retracted | EventKind::UnmatchedReversed) =>
            {
                let body: Value = serde_json::from_slice(&event.body).unwrap();
                Some(body["reason"].as_str().unwrap().to_owned())
            }
            _ => None,
        });
        amounts.zip(reasons).collect()
    }

    fn settled(&self, intent: IntentId) -> u128 {
        self.state().intents[&intent].progress.sums.settled.units()
    }

    /// Reads heights again for an intent that came too late for them.
    fn read_again(&mut self, from: Height, to: Height, intents: Vec<IntentId>) {
        let blocks: Vec<_> = (from.0..=to.0).filter_map(|h| self.world.truth.at(Height(h)).cloned()).collect();
        let through = blocks.last().unwrap().header.at;
        self.tell(Input::Found { blocks, intents, contracts: vec![], through });
    }
}

const BY_RULE: &str = "taken_back_by_rule";

#[test]
fn on_a_shared_address_the_deposit_of_exactly_that_amount_is_taken_though_another_is_newer() {
    let (mut stage, first, second) = shared();
    stage.pay_shared("7", 100);
    stage.pay_shared("8", 150);
    stage.take_back("S", 100);
    stage.read();
    assert_eq!(stage.undone(), [(100, BY_RULE.to_owned())]);
    assert_eq!((stage.settled(first), stage.settled(second)), (0, 150));
    let alarm = stage.effects.iter().find_map(|e| if let Effect::Alarm(alarm) = e { Some(alarm) } else { None });
    let alarm = alarm.expect("a person hears of it too");
    assert!(alarm.kind == "takeback_at_shared_address" && alarm.detail.contains("dep_"), "{alarm:?}");
}

#[test]
fn of_two_deposits_of_exactly_that_amount_the_newest_is_taken_settled_or_not() {
    for confirmed in [1, 3] {
        let (mut stage, first, second) = shared();
        stage.world.state.policy = confirmations(confirmed);
        stage.pay_shared("7", 100);
        stage.blocks_unread(3);
        stage.pay_shared("8", 100);
        stage.take_back("S", 100);
        stage.read();
        assert_eq!(stage.undone(), [(100, BY_RULE.to_owned())]);
        assert_eq!((stage.settled(first), stage.settled(second)), (100, 0), "{confirmed} confirmations");
    }
}

#[test]
fn where_no_deposit_is_exactly_that_amount_the_newest_answer_for_it_until_it_is_covered() {
    let (mut stage, first, second) = shared();
    for (reference, amount) in [("7", 100), ("8", 70), ("9", 50), ("7", 40)] {
        stage.pay_shared(reference, amount);
    }
    stage.take_back("S", 110);
    stage.read();
    let told = [40, 50, 70].map(|amount| (amount, BY_RULE.to_owned()));
    assert_eq!(stage.undone(), told, "what nobody claims is money on the address too");
    assert_eq!((stage.settled(first), stage.settled(second)), (100, 0));
}

#[test]
fn more_than_is_there_takes_all_that_is_there_once() {
    let (mut stage, first, second) = shared();
    stage.pay_shared("7", 100);
    stage.pay_shared("8", 70);
    stage.take_back("S", u128::MAX);
    stage.take_back("S", 100);
    stage.read();
    assert_eq!(stage.undone().len(), 2);
    assert_eq!((stage.settled(first), stage.settled(second)), (0, 0));
}

#[test]
fn what_comes_after_a_take_back_in_one_block_was_not_there_to_be_taken() {
    for address in ["A0", "S"] {
        let (mut stage, ..) = shared();
        stage.world.ask(&PLAIN);
        let pay = |stage: &mut Stage, reference| stage.world.truth.payment(address, USDC, 100, Some(reference));
        let payments = vec![pay(&mut stage, "7"), pay(&mut stage, "8"), pay(&mut stage, "7")];
        stage.take_back(address, 100);
        // The same, in one block, with the take-back after the second payment.
        let mut block = stage.world.truth.fork(1).remove(0);
        payments.iter().skip(2).for_each(|payment| block.takebacks[0].precedes(payment));
        stage.world.truth.grow(1, payments.clone(), block.takebacks);
        stage.read();
        let live = |id| stage.state().deposits.values().any(|d| d.transfer.id == id && d.is_live());
        let still: Vec<bool> = payments.iter().map(|payment| live(payment.id)).collect();
        assert_eq!(still, [true, false, true], "{address}");
    }
}

#[test]
fn a_take_back_that_others_answered_for_is_not_taken_again_from_money_found_later() {
    let (mut stage, first, second) = shared();
    stage.world.watch.0 += 1;
    let ask = Ask { address: "S", reference: Some("9"), ..PLAIN };
    let new = stage.world.ask(&ask);
    stage.pay_shared("7", 100);
    stage.pay_shared("8", 100);
    stage.pay_shared("9", 100);
    stage.take_back("S", 100);
    // Nobody looked for the third yet: what stands in the chain for it was left out.
    let from = stage.tip().next();
    let hidden = stage.world.truth.at(Height(from.0 + 2)).unwrap().transfers[0].clone();
    let head = stage.world.truth.head().header.at.height;
    let mut segment = stage.world.segment(from, head, 3, true, false, true);
    segment.blocks.iter_mut().for_each(|block| block.transfers.retain(|t| t.id != hidden.id));
    stage.tell(Input::Extend(segment));
    assert_eq!((stage.settled(first), stage.settled(second)), (100, 0));
    let (from, to) = stage.state().intents[&new].backfill.unwrap();
    stage.read_again(from, to, vec![new]);
    assert_eq!((stage.settled(first), stage.settled(second), stage.settled(new)), (100, 0, 100));
    assert_eq!(stage.undone().len(), 1);
}

#[test]
fn a_take_back_that_nobody_met_before_is_taken_from_money_found_later() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.world.watch.0 += 1;
    let ask = Ask { address: "S", reference: Some("7"), ..PLAIN };
    let first = stage.world.ask(&ask);
    let second = stage.world.ask(&Ask { reference: Some("8"), ..ask });
    stage.pay_shared("7", 100);
    stage.pay_shared("8", 60);
    stage.take_back("S", 60);
    stage.read_stale();
    let (from, to) = stage.state().intents[&first].backfill.unwrap();
    stage.read_again(from, to, vec![first, second]);
    assert_eq!((stage.settled(first), stage.settled(second)), (100, 0));
    assert_eq!(stage.undone(), [(60, BY_RULE.to_owned())]);
}
