//! One account's chain: what a node can say of it, and what comes of each.

use amn_core::block::Hash;
use amn_ton::address::Account;
use amn_ton::evidence::{Cursor, Descent, Lie, Stretch, agree};
use amn_ton::testkit::{Letter, Life, Made, Outcome, text};
use amn_ton::transaction::{Ending, Link, Transaction, TransactionError};

use crate::support::*;

/// So many payments of the shop, oldest first.
fn payments(count: usize) -> Vec<Made> {
    let mut life = Life::of(SHOP);
    let pay = |life: &mut Life, index: usize| {
        life.receive(&Letter::from(PAYER, 1_000_000_000).saying(text(&format!("order {index}"))), Outcome::Accepted)
    };
    (0..count).map(|index| pay(&mut life, index)).collect()
}

fn after(made: &Made) -> Cursor {
    Cursor { at: made.at, gone: false }
}

/// Goes down from the newest of these, which a node gave.
fn descend(head: Link, until: Option<Cursor>, newest_first: &[&Made]) -> Result<Option<Stretch>, Lie> {
    let mut descent = Descent::begin(SHOP, head, until)?.expect("a head that is not behind");
    for made in newest_first {
        descent.take(&made.bytes())?;
    }
    Ok(descent.finish())
}

#[test]
fn from_the_head_down_to_where_we_stood_nothing_is_missing() {
    let made = payments(5);
    let newest_first: Vec<_> = made.iter().rev().collect();
    let stretch = descend(made[4].at, Some(after(&made[1])), &newest_first[..3]).unwrap().unwrap();
    let found: Vec<_> = stretch.transactions.iter().map(|one| one.at).collect();
    assert_eq!(found, [made[2].at, made[3].at, made[4].at], "oldest first");
    assert!(!stretch.reborn);
    // Down to the first transaction of its life, where nothing was known of it.
    let all = descend(made[4].at, None, &newest_first).unwrap().unwrap();
    assert_eq!(all.transactions.len(), 5);
    // Nothing new: the head is where we stand.
    assert_eq!(descend(made[4].at, Some(after(&made[4])), &[]).unwrap().unwrap().transactions.len(), 0);
    // What a node gives beyond the end of the way is not looked at.
    assert_eq!(descend(made[4].at, Some(after(&made[2])), &newest_first).unwrap().unwrap().transactions.len(), 2);
}

#[test]
fn a_stretch_with_a_page_missing_is_not_done_and_says_what_it_wants() {
    let made = payments(5);
    assert!(descend(made[4].at, Some(after(&made[0])), &[&made[4], &made[3]]).unwrap().is_none());
    let mut descent = Descent::begin(SHOP, made[4].at, Some(after(&made[0]))).unwrap().unwrap();
    descent.take(&made[4].bytes()).unwrap();
    assert_eq!(descent.wanted(), Some(made[3].at));
    assert_eq!(descent.account(), SHOP);
}

#[test]
fn a_node_that_lags_is_asked_again_and_called_no_liar() {
    let made = payments(3);
    assert!(Descent::begin(SHOP, made[0].at, Some(after(&made[2]))).unwrap().is_none());
}

#[test]
fn whatever_a_node_leaves_out_puts_in_or_alters_has_a_name() {
    let made = payments(5);
    let name = |outcome: Result<Option<Stretch>, Lie>| outcome.map(|_| ()).unwrap_err().name();
    let until = Some(after(&made[0]));
    // One in the middle left out.
    assert_eq!(name(descend(made[4].at, until, &[&made[4], &made[2]])), "of_other_time");
    // One put in that is not the network's: an amount altered, the same time.
    let mut other = Life::of(SHOP);
    let forged: Vec<_> =
        (0..5).map(|_| other.receive(&Letter::from(PAYER, 9_000_000_000), Outcome::Accepted)).collect();
    assert_eq!(forged[3].at.lt, made[3].at.lt);
    assert_eq!(name(descend(made[4].at, until, &[&made[4], &forged[3]])), "hash");
    // A whole chain of another's: it arrives at another transaction where ours is.
    let newest_first: Vec<_> = forged.iter().rev().collect();
    assert_eq!(name(descend(forged[4].at, until, &newest_first)), "contradicts");
    assert_eq!(name(descend(forged[0].at, until, &[])), "contradicts");
    // A chain that goes past where we stand.
    let between = Cursor { at: Link { lt: made[2].at.lt + 1, hash: Hash([7; 32]) }, gone: false };
    assert_eq!(name(descend(made[4].at, Some(between), &[&made[4], &made[3]])), "passes_by");
    // One that begins after us, though the account was there.
    let known = Cursor { at: Link { lt: 7, hash: Hash([7; 32]) }, gone: false };
    assert_eq!(name(descend(made[0].at, Some(known), &[&made[0]])), "forgets");
    // Somebody else's.
    let mut stranger = Life::of(STRANGER);
    let strange = stranger.receive(&Letter::from(PAYER, 1), Outcome::Accepted);
    assert_eq!(name(descend(strange.at, None, &[&strange])), "of_other_account");
    // Bytes that are none.
    let mut descent = Descent::begin(SHOP, made[4].at, until).unwrap().unwrap();
    assert_eq!(descent.take(&made[4].bytes()[1..]).unwrap_err().name(), "no_transaction");
}

#[test]
fn a_transaction_that_stands_on_a_later_one_is_a_lie() {
    let mut life = Life::of(SHOP);
    life.last = Some(Link { lt: u64::MAX, hash: Hash([7; 32]) });
    let made = life.receive(&Letter::from(PAYER, 1), Outcome::Accepted);
    assert_eq!(descend(made.at, None, &[&made]).map(|_| ()).unwrap_err().name(), "backwards");
}

#[test]
fn the_same_place_with_another_hash_is_a_lie_of_one_of_two() {
    let here = Link { lt: 5, hash: Hash([1; 32]) };
    assert_eq!(agree(SHOP, here, here), Ok(()));
    assert_eq!(agree(SHOP, here, Link { lt: 6, hash: Hash([2; 32]) }), Ok(()));
    let lie = agree(SHOP, here, Link { lt: 5, hash: Hash([2; 32]) }).unwrap_err();
    assert_eq!(lie, Lie::Contradicts { account: SHOP, lt: 5, ours: Hash([1; 32]), theirs: Hash([2; 32]) });
}

#[test]
fn an_account_that_was_gone_begins_anew_and_the_stretch_says_so() {
    let mut life = Life::of(SHOP);
    let letter = Letter::from(PAYER, 1_000_000_000);
    let gone = life.receive_and_go(&letter, Outcome::SentBack);
    let back = life.receive(&letter, Outcome::Undeployed);
    let transaction = Transaction::decode(0, &gone.bytes()).unwrap();
    assert_eq!(transaction.ends, Ending::Gone);
    let stretch = descend(back.at, Some(Cursor::after(&transaction)), &[&back]).unwrap().unwrap();
    assert!(stretch.reborn);
    assert_eq!(stretch.transactions.len(), 1);
}

#[test]
fn a_cursor_reads_back_from_a_checkpoint() {
    for gone in [false, true] {
        let cursor = Cursor { at: Link { lt: 0x0102_0304_0506_0708, hash: Hash([9; 32]) }, gone };
        assert_eq!(Cursor::of_bytes(&cursor.to_bytes()), Some(cursor));
    }
    assert_eq!(Cursor::of_bytes(&[0; 40]), None);
    assert_eq!(Cursor::of_bytes(&[2; 41]), None);
}

#[test]
fn a_message_to_somebody_else_starts_no_transaction_of_this_account() {
    let mut life = Life::of(SHOP);
    let made = life.receive(&Letter::from(PAYER, 1), Outcome::Accepted);
    let elsewhere = Transaction::decode(-1, &made.bytes()).unwrap_err();
    let account = Account::new(-1, SHOP.id);
    assert_eq!(elsewhere, TransactionError::OfOther { account, to: SHOP }, "whoever asked named another workchain");
}
