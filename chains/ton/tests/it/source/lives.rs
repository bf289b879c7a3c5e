//! Accounts that begin, end, come back, are looked at for the first time, or are busier than others.

use amn_core::source::{ChainSource as _, Position, SourceError, Watch};
use amn_ton::testkit::{Fault, Letter, Life, Outcome, Payload, internal_transfer, text};

use super::stand::{Speaks, Stand, paid, seen, stand, two, watching};
use crate::support::{PAYER, SHOP, STRANGER, wallet};

const TON: u128 = 1_000_000_000;

fn amounts(segments: &[amn_core::source::Segment]) -> Vec<u128> {
    paid(segments).into_iter().map(|paid| paid.0).collect()
}

/// The shop is paid and is gone with it.
fn pay_and_go(stand: &Stand, nanotons: u128) {
    let letter = Letter::from(PAYER, nanotons).saying(text("last"));
    let mut life = stand.shop.lock().unwrap();
    stand.history().happen(&mut life, |life| life.receive_and_go(&letter, Outcome::Undeployed));
}

#[tokio::test]
async fn a_jetton_is_found_on_the_wallet_that_follows_from_its_owner() {
    let stand = two().await;
    let account = wallet(&stand.network.registry, SHOP);
    let mut life = Life::of(account);
    let body = internal_transfer(7, 190_000_000, Some(&PAYER), 0, &Payload::Inline(text("order 9")));
    let letter = Letter::from(wallet(&stand.network.registry, PAYER), TON / 20).saying(body);
    stand.history().receive(&mut life, &letter, Outcome::Accepted);
    stand.pass(1);
    let found = paid(&stand.catch_up().await.unwrap());
    assert_eq!((found.len(), found[0].0, found[0].1.as_str(), found[0].3.len()), (1, 190_000_000, "text:order 9", 2));
}

#[tokio::test]
async fn an_account_that_was_gone_and_came_back_is_followed_through_all_its_lives() {
    for speaks in [Speaks::Both, Speaks::Tonapi] {
        let stand = stand(&[speaks, Speaks::Tonapi]).await;
        stand.pay_now(TON, "first life");
        stand.catch_up().await.unwrap();
        pay_and_go(&stand, 2 * TON);
        stand.pass(1);
        stand.pay_now(3 * TON, "second life");
        pay_and_go(&stand, 4 * TON);
        stand.pass(2);
        stand.pay_now(5 * TON, "third life");
        let found = stand.catch_up().await.unwrap();
        assert_eq!(amounts(&found), [2 * TON, 3 * TON, 4 * TON, 5 * TON]);
        assert!(seen(&found).iter().any(|(kind, _)| kind == "reborn"));
        assert!(stand.trusted());
        pay_and_go(&stand, 6 * TON);
        stand.pass(1);
        stand.catch_up().await.unwrap();
        stand.pay_now(7 * TON, "fourth life");
        assert_eq!(amounts(&stand.catch_up().await.unwrap()), [7 * TON]);
    }
}

#[tokio::test]
async fn of_an_account_that_is_looked_at_for_the_first_time_only_what_lies_above_is_told() {
    let stand = two().await;
    stand.pay_now(TON, "long ago");
    stand.pay_now(2 * TON, "and again");
    let below = stand.history().head();
    stand.pay_now(3 * TON, "first");
    stand.pay_now(4 * TON, "second");
    let through = stand.history().head();
    stand.pay_now(5 * TON, "later");
    // As a backfill asks: no checkpoint, and an end below the head.
    let on = Position { tip: below, checkpoint: Vec::new() };
    let segment = stand.source.segment(&on, through.height, None, &watching([SHOP])).await.unwrap();
    assert_eq!(segment.tip.at, through);
    assert_eq!(amounts(std::slice::from_ref(&segment)), [3 * TON, 4 * TON]);
    assert_eq!(seen(&[segment]), []);
}

#[tokio::test]
async fn an_account_that_died_before_we_looked_comes_back() {
    let stand = two().await;
    pay_and_go(&stand, TON);
    stand.pass(2);
    let on = Position { tip: stand.history().head(), checkpoint: Vec::new() };
    *stand.on.lock().unwrap() = on;
    stand.pass(1);
    // Looked at, and nothing new: where its chain ended is known by name alone.
    stand.catch_up().await.unwrap();
    stand.pay_now(2 * TON, "again");
    assert_eq!(amounts(&stand.catch_up().await.unwrap()), [2 * TON]);
    assert!(stand.trusted());
}

#[tokio::test]
async fn what_nobody_showed_when_its_block_was_read_is_told_late_and_not_dropped() {
    let stand = two().await;
    stand.pay_now(TON, "before");
    stand.catch_up().await.unwrap();
    stand.nodes.iter().for_each(|node| node.fault(Fault::Withheld(SHOP)));
    let late = stand.pay_now(2 * TON, "late");
    stand.pass(2);
    assert_eq!(paid(&stand.catch_up().await.unwrap()), []);
    let stood = stand.on.lock().unwrap().tip.height;
    stand.nodes.iter().for_each(amn_ton::testkit::Node::heal);
    stand.pass(2);
    let found = stand.catch_up().await.unwrap();
    let told = paid(&found);
    assert_eq!(
        (told.len(), told[0].0, told[0].2),
        (1, 2 * TON, stood.0 + 1),
        "in the first block that it can be told in"
    );
    assert_eq!(seen(&found), [("found_late".to_owned(), Some(late.at.hash))]);
}

#[tokio::test]
async fn the_first_payment_of_an_account_that_is_shown_later_than_its_block_is_told_and_not_dropped() {
    for restarts in [false, true] {
        let mut stand = two().await;
        stand.pass(1);
        stand.catch_up().await.unwrap();
        stand.nodes.iter().for_each(|node| node.fault(Fault::StatesBehind(3)));
        let late = stand.pay_now(2 * TON, "the first ever");
        stand.pass(1);
        assert_eq!(paid(&stand.catch_up().await.unwrap()), []);
        if restarts {
            stand.source = super::stand::source(&stand.nodes, &stand.speaks, &stand.network, &stand.clock);
        }
        stand.nodes.iter().for_each(amn_ton::testkit::Node::heal);
        stand.pass(2);
        let found = stand.catch_up().await.unwrap();
        assert_eq!(amounts(&found), [2 * TON], "restarts: {restarts}");
        assert_eq!(seen(&found), [("found_late".to_owned(), Some(late.at.hash))]);
    }
}

#[tokio::test]
async fn a_watch_on_nobody_costs_no_question_about_accounts() {
    let mut stand = two().await;
    stand.watch = watching([]);
    stand.pay_now(TON, "to whom nobody looks for");
    assert_eq!(paid(&stand.catch_up().await.unwrap()), []);
    assert_eq!(stand.nodes[0].calls("v3/accountStates"), 0);
}

#[tokio::test]
async fn an_account_busier_than_one_stretch_takes_is_read_in_several() {
    let stand = two().await;
    stand.pay_now(TON, "before");
    stand.catch_up().await.unwrap();
    for block in 0..3_u128 {
        for payment in 0..700 {
            stand.pay(TON + block * 700 + payment, "busy");
        }
        stand.history().close();
    }
    let segments = stand.catch_up().await.unwrap();
    let expected: Vec<u128> = (0..2_100).map(|payment| TON + payment).collect();
    assert_eq!(amounts(&segments), expected);
    assert!(segments.len() > 1);
}

#[tokio::test]
async fn history_that_every_node_has_thrown_away_stops_the_network_until_one_has_it_again() {
    let stand = stand(&[Speaks::Both, Speaks::Node]).await;
    stand.pay_now(TON, "before");
    stand.catch_up().await.unwrap();
    stand.pay_now(2 * TON, "thrown away");
    stand.pass(3);
    stand.nodes[1].fault(Fault::NotInDatabase);
    let on = stand.on.lock().unwrap().clone();
    assert_eq!(amounts(&stand.catch_up().await.unwrap()), [2 * TON], "one of them has it");
    *stand.on.lock().unwrap() = on;
    stand.nodes[0].fault(Fault::NotInDatabase);
    let error = stand.look().await.unwrap_err();
    assert!(matches!(error, SourceError::Pruned(_)), "{error:?}");
    stand.nodes[1].heal();
    stand.wait();
    assert_eq!(amounts(&stand.catch_up().await.unwrap()), [2 * TON]);
}

#[tokio::test]
async fn it_stops_as_well_where_an_account_was_never_looked_at() {
    let stand = stand(&[Speaks::Both, Speaks::Both]).await;
    stand.pay_now(2 * TON, "thrown away");
    stand.pass(3);
    stand.nodes.iter().for_each(|node| node.fault(Fault::NotInDatabase));
    let error = stand.look().await.unwrap_err();
    assert!(matches!(error, SourceError::Pruned(_)), "{error:?}");
}

#[tokio::test]
async fn a_transaction_is_found_and_a_block_is_read_once_more_from_another() {
    let stand = two().await;
    let made = stand.pay_now(25 * TON, "order 17");
    stand.pass(1);
    let segments = stand.catch_up().await.unwrap();
    let block = segments.iter().flat_map(|segment| &segment.blocks).next().unwrap();
    let explained = stand.source.find(made.at.hash).await.unwrap().unwrap();
    assert_eq!((explained.block, explained.moves.len()), (block.header.at, 1));
    assert_eq!(explained.moves[0].amount, (25 * TON).to_string());
    let nobodys = amn_core::block::Hash([7; 32]);
    assert_eq!(stand.source.find(nobodys).await.unwrap(), None);
    for (not_by, by) in [("a", "b"), ("b", "a")] {
        let not_by = amn_core::block::Operator::new(not_by);
        let height = block.header.at.height;
        let again = stand.source.reread(height, Some(&not_by), 0, &Watch::everything(true)).await.unwrap();
        assert_eq!((again.header, &again.transfers), (block.header, &block.transfers));
        assert_eq!(super::stand::names(&again.evidence.operators), [by]);
    }
}

#[tokio::test]
async fn a_source_that_remembers_nothing_proves_what_was_told_before() {
    let mut stand = two().await;
    stand.pay_now(TON, "paid");
    let segments = stand.catch_up().await.unwrap();
    let block = segments[0].blocks[0].clone();
    let asked = [(block.transfers[0].id, block.header.at)];
    stand.restart();
    let proven = stand.source.prove(&asked).await.unwrap();
    assert_eq!(super::stand::names(&proven[0].2.operators), ["a", "b"]);
    let foreign = amn_core::block::BlockRef { hash: amn_core::block::Hash([7; 32]), ..block.header.at };
    assert_eq!(stand.source.prove(&[(asked[0].0, foreign)]).await.unwrap(), [], "nobody has such a block");
}

#[tokio::test]
async fn a_stranger_is_no_account_of_ours() {
    let stand = two().await;
    let letter = Letter::from(PAYER, TON).saying(text("for a stranger"));
    stand.history().receive(&mut Life::of(STRANGER), &letter, Outcome::Accepted);
    stand.pass(1);
    assert_eq!(paid(&stand.catch_up().await.unwrap()), []);
}
