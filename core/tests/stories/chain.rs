//! What the chain and its readers do: forks, gaps, late proof, readings that came too late.

use amn_core::block::{Height, Inclusion};
use amn_core::confirmation::{Policy, Require, Tag};
use amn_core::engine::{Command, Effect, Halt, HaltReason, Input};
use amn_core::intent::Status;
use amn_core::money::Amount;

use super::stage::{Stage, confirmations};
use crate::histories::facts::{Ask, PLAIN, USDC};

#[test]
fn a_payment_in_a_forked_block_is_retracted_and_counted_again() {
    let mut stage = Stage::new(confirmations(3), &PLAIN);
    let payment = stage.pay("A0", 100);
    stage.read();
    stage.fork(1, vec![vec![], vec![]]);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "retracted"]);
    assert_eq!(stage.status(), Status::Awaiting);
    stage.mine(vec![payment]);
    stage.read();
    stage.blocks(2);
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
    assert_eq!(stage.state().deposits.len(), 1, "one payment, one row");
}

#[test]
fn a_payment_that_only_moves_makes_no_alarm() {
    let mut stage = Stage::new(confirmations(3), &PLAIN);
    let payment = stage.pay("A0", 100);
    stage.read();
    stage.fork(1, vec![vec![], vec![payment]]);
    stage.read();
    assert_eq!(stage.heard(), ["detected"]);
    stage.blocks(1);
    assert_eq!(stage.heard(), [""; 0], "two confirmations in its new block");
    stage.blocks(1);
    assert_eq!(stage.heard(), ["confirmed"]);
}

#[test]
fn a_payment_that_moves_past_the_end_is_told_as_late() {
    let mut stage = Stage::new(confirmations(9), &Ask { expires: Some(100), ..PLAIN });
    let payment = stage.pay("A0", 100);
    stage.read();
    stage.fork(1, vec![vec![]]);
    stage.later(200);
    stage.mine(vec![payment]);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "late"]);
    assert_eq!((stage.status(), stage.sums().received), (Status::Awaiting, Amount::ZERO));
}

#[test]
fn a_move_within_time_stays_in_time_though_the_intent_has_ended() {
    let own = Require { confirmations: Some(20), ..Require::default() };
    let mut stage = Stage::new(confirmations(2), &Ask { expires: Some(300), require: own, ..PLAIN });
    let payment = stage.pay("A0", 40);
    stage.read();
    stage.later(301);
    stage.blocks(1);
    assert_eq!(stage.heard(), ["detected", "expired"], "40 of 100 does not hold the end back");
    stage.fork(3, vec![vec![], vec![payment], vec![], vec![], vec![]]);
    stage.read();
    assert_eq!(stage.heard(), [""; 0]);
    assert_eq!((stage.status(), stage.sums().received), (Status::Expired, Amount::new(40)));
}

#[test]
fn a_name_with_other_content_is_another_payment() {
    let mut stage = Stage::new(confirmations(3), &PLAIN);
    let mut payment = stage.pay("A0", 100);
    stage.read();
    payment.amount = Amount::new(60);
    stage.fork(1, vec![vec![payment], vec![]]);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "retracted", "detected"]);
    assert_eq!((stage.sums().received, stage.state().deposits.len()), (Amount::new(60), 2));
}

#[test]
fn a_deep_fork_reverses_a_confirmed_payment_once_two_operators_agree() {
    let mut stage = Stage::new(confirmations(3), &PLAIN);
    stage.pay("A0", 100);
    stage.read();
    stage.blocks(4);
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
    stage.fork(5, vec![vec![]; 7]);
    stage.read_by(1);
    assert_eq!(stage.alarms(), ["fork_awaits_agreement"]);
    assert_eq!((stage.heard(), stage.status()), (vec![], Status::Confirmed));
    stage.read_by(3);
    assert_eq!(stage.heard(), ["reversed"]);
    assert_eq!(stage.status(), Status::Reversed);
    stage.pay("A0", 100);
    stage.read();
    stage.blocks(2);
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
}

#[test]
fn a_reversal_that_leaves_enough_is_told_and_changes_no_status() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.pay("A0", 100);
    stage.pay("A0", 40);
    stage.read();
    assert_eq!(stage.heard(), ["detected", "confirmed", "detected", "overpaid"]);
    stage.fork(1, vec![vec![], vec![]]);
    stage.read();
    assert_eq!(stage.heard(), ["reversed"]);
    assert_eq!((stage.status(), stage.sums().settled), (Status::Confirmed, Amount::new(100)));
}

#[test]
fn a_lagging_node_is_no_fork() {
    // Two nodes that lag behind vouch for less of our own chain: that undoes nothing.
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.blocks(5);
    stage.pay("A0", 100);
    stage.read();
    stage.heard();
    let tip = stage.tip();
    let fork = stage.world.truth.at(tip.back(4)).map(|b| b.header.at).unwrap();
    let by = stage.world.segment(tip.back(3), tip.back(2), 3, true, false, false);
    stage.tell(Input::Replace { fork, by });
    assert_eq!((stage.heard(), stage.tip(), stage.status()), (vec![], tip, Status::Confirmed));
}

#[test]
fn a_dust_limit_that_rises_does_not_strand_what_was_counted() {
    let mut stage = Stage::new(confirmations(3), &PLAIN);
    let payment = stage.pay("A0", 100);
    stage.read();
    let mut facts = (*stage.state().facts).clone();
    facts.assets.iter_mut().for_each(|asset| asset.min_amount = Amount::new(1_000));
    stage.world.state.facts = std::sync::Arc::new(facts);
    stage.fork(1, vec![vec![payment], vec![]]);
    stage.read();
    let deposit = stage.only_deposit();
    assert_eq!(Some(deposit.block), stage.world.truth.at(deposit.block.height).map(|b| b.header.at));
    stage.blocks(1);
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
}

#[test]
fn an_intent_inserted_between_read_and_commit_and_paid_in_that_very_block_does_not_expire_unread() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.world.watch.0 += 1;
    let new = stage.world.ask(&Ask { address: "N6", expires: Some(60), ..PLAIN });
    stage.pay("N6", 100);
    stage.later(100);
    stage.later(100);
    // Read with the watch set from before the intent; its end passes in the same stretch.
    stage.read_stale();
    assert_eq!(stage.heard(), [""; 0]);
    assert_eq!(stage.state().intents[&new].progress.status, Status::Awaiting);
    let (from, to) = stage.state().intents[&new].backfill.unwrap();
    let blocks: Vec<_> = (from.0..=to.0).filter_map(|h| stage.world.truth.at(Height(h)).cloned()).collect();
    let through = blocks.last().unwrap().header.at;
    stage.tell(Input::Found { blocks, intents: vec![new], contracts: vec![], through });
    assert_eq!(stage.heard(), ["detected", "confirmed"]);
    assert_eq!(stage.state().intents[&new].backfill, None);
}

#[test]
fn a_reading_of_a_branch_we_left_covers_nothing() {
    let mut stage = Stage::new(confirmations(1), &PLAIN);
    stage.world.watch.0 += 1;
    let new = stage.world.ask(&Ask { address: "N6", ..PLAIN });
    stage.blocks_unread(1);
    stage.read_stale();
    let through = stage.world.truth.head().header.at;
    let payment = stage.world.truth.payment("N6", USDC, 100, None);
    stage.fork(1, vec![vec![payment], vec![]]);
    stage.read_stale();
    // What was read again before the fork found nothing, and says nothing of the branch we are on.
    stage.tell(Input::Found { blocks: vec![], intents: vec![new], contracts: vec![], through });
    assert_eq!(stage.alarms(), ["rescan_on_other_branch"]);
    assert!(stage.state().intents[&new].backfill.is_some());
}

#[test]
fn whoever_vouches_above_a_listed_gap_says_nothing_of_what_is_below_it() {
    let two = Policy { require: Require { operators: Some(2), ..Require::default() }, tiers: vec![] };
    let mut stage = Stage::new(two, &PLAIN);
    stage.pay("A0", 100);
    stage.read_by(1);
    assert_eq!(stage.heard(), ["detected"]);
    stage.blocks_unread(4);
    let (tip, head) = (stage.tip(), stage.world.truth.head().header.at.height);
    let listed = stage.world.segment(tip.next(), head, 3, true, true, false);
    stage.tell(Input::Extend(listed));
    assert_eq!(stage.heard(), [""; 0], "nobody linked the listed tip to the payment");
    let deposit = stage.only_deposit();
    let is = stage.world.evidence(deposit.block.hash, 2, true);
    stage.tell(Input::Evidence { of: deposit.transfer.id, block: deposit.block, is });
    assert_eq!(stage.heard(), ["confirmed"], "a second operator named its very block");
}

#[test]
fn where_no_hash_covers_what_a_block_holds_whoever_has_a_later_one_says_nothing_of_a_payment_read_again() {
    for vouched_singly in [false, true] {
        let two = Policy { require: Require { operators: Some(2), ..Require::default() }, tiers: vec![] };
        let mut stage = Stage::new(two, &PLAIN);
        let facts = (*stage.state().facts).clone();
        stage.world.state.facts = std::sync::Arc::new(amn_core::network::Facts { vouched_singly, ..facts });
        stage.world.watch.0 += 1;
        let new = stage.world.ask(&Ask { address: "N6", ..PLAIN });
        stage.pay("N6", 100);
        stage.read_stale();
        stage.blocks(1);
        let (from, to) = stage.state().intents[&new].backfill.unwrap();
        let mut blocks: Vec<_> = (from.0..=to.0).filter_map(|h| stage.world.truth.at(Height(h)).cloned()).collect();
        for block in &mut blocks {
            block.evidence.operators.clear();
        }
        let through = blocks.last().unwrap().header.at;
        stage.tell(Input::Found { blocks, intents: vec![new], contracts: vec![], through });
        let expected: &[&str] = if vouched_singly { &["detected"] } else { &["detected", "confirmed"] };
        assert_eq!(stage.heard(), expected);
    }
}

#[test]
fn proof_that_comes_late_settles_when_it_comes() {
    let require = Require { inclusion: Some(Inclusion::Proven), ..Require::default() };
    let mut stage = Stage::new(Policy { require, tiers: vec![] }, &PLAIN);
    stage.pay("A0", 100);
    stage.read_reported();
    assert_eq!(stage.heard(), ["detected"]);
    let deposit = stage.only_deposit();
    let is = stage.world.evidence(deposit.block.hash, 0, true);
    stage.tell(Input::Evidence { of: deposit.transfer.id, block: deposit.block, is });
    assert_eq!(stage.heard(), ["confirmed"]);
}

#[test]
fn a_halted_network_settles_nothing_when_money_is_assigned() {
    let mut stage = Stage::new(confirmations(1), &Ask { address: "S", reference: Some("a"), ..PLAIN });
    let tagged = Require { tag: Some(Tag::Finalized), ..Require::default() };
    stage.tell(Input::Policy(Policy { require: tagged, tiers: vec![] }));
    stage.pay("S", 100);
    stage.read();
    stage.tell(Input::Halt(Halt { reason: HaltReason::ForkTooDeep, detail: String::new() }));
    stage.world.state.policy = confirmations(1);
    stage.command(Command::Assign { deposit: stage.only_deposit().id, intent: stage.intent });
    assert_eq!(stage.heard(), ["halted", "detected"]);
    assert!(stage.refused(Command::Resume { accept_fork: None }), "a fork is accepted by name");
}

#[test]
fn headers_stay_until_one_of_them_is_old_enough_to_expire_by() {
    // 200 ms blocks and an hour of waiting: finalized and its 128 headers are younger than that.
    let require = Require { seconds: Some(400), ..Require::default() };
    let mut stage = Stage::new(Policy { require, tiers: vec![] }, &Ask { expires: Some(1), ..PLAIN });
    for _ in 0..50 {
        stage.blocks(10);
        let head = stage.world.truth.head().header.at;
        stage.tell(Input::Finality { safe: Some(head), finalized: Some(head), vouchers: vec![] });
    }
    assert_eq!(stage.heard(), ["expired"]);
    let forgot = |e: &Effect| matches!(e, Effect::Forget { .. });
    assert!(stage.effects.iter().any(forgot), "and they do not stay for ever");
    assert!(!stage.effects.iter().any(|e| matches!(e, Effect::Alarm(_))));
}
