//! What one operator can do wrong, and what comes of it: nothing false has two words, and nothing true is lost.

use std::sync::Arc;

use amn_core::source::{ChainSource as _, Position, SourceError};
use amn_ton::testkit::{Fault, Letter, Made, Outcome, Reply, text};

use super::stand::{Speaks, Stand, paid, seen, stand, two};
use crate::support::{PAYER, SHOP};

const TON: u128 = 1_000_000_000;

/// What looks come to, until we stand at the head or nothing moves any more however long it takes.
async fn patiently(stand: &Stand) -> Vec<amn_core::source::Segment> {
    let (head, mut segments) = (stand.history().head().height, Vec::new());
    for _ in 0..20 {
        if stand.on.lock().unwrap().tip.height >= head {
            break;
        }
        match stand.look().await {
            Ok(segment) => segments.push(segment),
            Err(_) => stand.wait(),
        }
    }
    segments
}

/// Another newest transaction of the shop, as only a liar has it.
fn forged(stand: &Stand, nanotons: u128) -> Arc<Made> {
    let mut life = stand.shop.lock().unwrap().clone();
    let mut history = stand.history().clone();
    let letter = Letter::from(PAYER, nanotons).saying(text("never"));
    Arc::new(history.receive(&mut life, &letter, Outcome::Accepted))
}

fn amounts(segments: &[amn_core::source::Segment]) -> Vec<u128> {
    paid(segments).into_iter().map(|paid| paid.0).collect()
}

#[tokio::test]
async fn an_index_that_keeps_back_the_newest_transaction_is_overtaken_by_another_operator() {
    let stand = stand(&[Speaks::Both, Speaks::Tonapi, Speaks::Tonapi]).await;
    stand.pay_now(TON, "seen");
    stand.catch_up().await.unwrap();
    stand.nodes[0].fault(Fault::Withheld(SHOP));
    let kept_back = stand.pay_now(2 * TON, "kept back");
    let mut found = Vec::new();
    for _ in 0..8 {
        stand.pass(1);
        found.extend(patiently(&stand).await);
        stand.wait();
    }
    let told = paid(&found);
    assert_eq!(told.iter().map(|paid| paid.0).collect::<Vec<_>>(), [2 * TON]);
    assert_eq!(told[0].3, ["b", "c"]);
    assert!(seen(&found).contains(&("found_late".to_owned(), Some(kept_back.at.hash))));
    assert!(!stand.distrusted("a").is_empty());
    assert!(stand.distrusted("b").is_empty() && stand.distrusted("c").is_empty());
}

#[tokio::test]
async fn of_two_operators_the_one_that_keeps_something_back_costs_no_payment() {
    let stand = two().await;
    stand.pay_now(TON, "seen");
    stand.catch_up().await.unwrap();
    stand.nodes[0].fault(Fault::Withheld(SHOP));
    stand.pay_now(2 * TON, "kept back");
    let mut found = Vec::new();
    for _ in 0..6 {
        stand.pass(1);
        found.extend(patiently(&stand).await);
        stand.wait();
    }
    let told = paid(&found);
    assert_eq!((told.len(), told[0].0, told[0].3.clone()), (1, 2 * TON, vec!["b".to_owned()]), "on one word");
    stand.nodes[0].heal();
    for _ in 0..3 {
        stand.pass(1);
        assert_eq!(paid(&patiently(&stand).await), [], "told once");
    }
    let tx = found.iter().flat_map(|one| &one.blocks).find(|block| !block.transfers.is_empty()).unwrap();
    let asked = [(tx.transfers[0].id, tx.header.at)];
    let proven = stand.source.prove(&asked).await.unwrap();
    assert_eq!(proven[0].2.operators.len(), 2, "asked again, both have it");
}

#[tokio::test]
async fn the_second_operator_keeping_back_costs_some_seconds_and_nothing_else() {
    let stand = two().await;
    stand.nodes[1].fault(Fault::Withheld(SHOP));
    stand.pay_now(TON, "kept back by b");
    assert!(matches!(stand.look().await, Err(SourceError::NotYet(_))));
    stand.nodes[1].heal();
    assert_eq!(paid(&patiently(&stand).await)[0].3, ["a", "b"]);
    assert!(stand.trusted());
}

#[tokio::test]
async fn a_forged_newest_transaction_never_has_two_words() {
    for (liar, second) in [(0, Speaks::Tonapi), (1, Speaks::Tonapi), (0, Speaks::Node), (1, Speaks::Both)] {
        let stand = stand(&[Speaks::Both, second]).await;
        stand.pay_now(TON, "true");
        stand.catch_up().await.unwrap();
        stand.pass(1);
        let made = forged(&stand, 1_000 * TON);
        let height = u32::try_from(stand.history().head().height.0).unwrap();
        stand.nodes[liar].fault(Fault::Forged { account: SHOP, height, made });
        let mut found = Vec::new();
        for _ in 0..5 {
            stand.pass(1);
            found.extend(patiently(&stand).await);
            stand.wait();
        }
        let told: Vec<_> = paid(&found).into_iter().map(|told| (told.0, told.3)).collect();
        assert_eq!(told, [(1_000 * TON, vec![["a", "b"][liar].to_owned()])], "liar {liar}: on the liar's own word");
        // The truth goes on, and is found.
        stand.nodes[liar].heal();
        stand.pay_now(3 * TON, "true as well");
        let mut after = Vec::new();
        for _ in 0..5 {
            stand.pass(1);
            after.extend(patiently(&stand).await);
            stand.wait();
        }
        let told = paid(&after);
        assert_eq!((told.len(), told[0].0), (1, 3 * TON), "liar {liar}: {told:?}");
        assert!(stand.distrusted(if liar == 0 { "b" } else { "a" }).is_empty(), "liar {liar}");
    }
}

#[tokio::test]
async fn what_one_forged_while_nobody_else_could_be_asked_is_left_for_the_true_chain() {
    for higher in [false, true] {
        let stand = two().await;
        stand.pay_now(TON, "true");
        stand.catch_up().await.unwrap();
        stand.pass(1);
        let made = forged(&stand, 1_000 * TON);
        let height = u32::try_from(stand.history().head().height.0).unwrap();
        stand.nodes[0].fault(Fault::Forged { account: SHOP, height, made });
        stand.nodes[1].fault(Fault::Internal("down"));
        let mut found = Vec::new();
        for _ in 0..4 {
            stand.pass(1);
            found.extend(patiently(&stand).await);
            stand.wait();
        }
        let told: Vec<_> = paid(&found).into_iter().map(|told| (told.0, told.3)).collect();
        assert_eq!(told, [(1_000 * TON, vec!["a".to_owned()])]);
        if higher {
            // Two true ones: the second has a later logical time than the forged one.
            stand.pay_now(2 * TON, "while it was down");
        }
        stand.nodes.iter().for_each(amn_ton::testkit::Node::heal);
        stand.pay_now(3 * TON, "after it");
        let mut after = Vec::new();
        for _ in 0..6 {
            stand.pass(1);
            after.extend(patiently(&stand).await);
            stand.wait();
        }
        let expected = if higher { vec![2 * TON, 3 * TON] } else { vec![3 * TON] };
        assert_eq!(amounts(&after), expected);
        assert!(stand.distrusted("b").is_empty());
    }
}

#[tokio::test]
async fn another_transaction_at_the_same_logical_time_never_has_two_words() {
    for liar in [0, 1] {
        let stand = stand(&[Speaks::Both, Speaks::Tonapi, Speaks::Both]).await;
        stand.pay_now(TON, "before");
        stand.catch_up().await.unwrap();
        let instead = forged(&stand, 1_000 * TON);
        let real = stand.pay_now(2 * TON, "true");
        stand.nodes[liar].fault(Fault::Instead(real.at.hash, instead));
        let mut found = Vec::new();
        for _ in 0..5 {
            stand.pass(1);
            found.extend(patiently(&stand).await);
            stand.wait();
        }
        let two: Vec<_> = paid(&found).into_iter().filter(|told| told.3.len() > 1).collect();
        assert_eq!((two.len(), two[0].0), (1, 2 * TON), "liar {liar}: {:?}", paid(&found));
        let honest = if liar == 0 { ["b", "c"] } else { ["a", "c"] };
        assert!(honest.iter().all(|name| stand.distrusted(name).is_empty()), "liar {liar}");
    }
}

#[tokio::test]
async fn altered_and_exchanged_cells_are_their_givers_lie() {
    for cells in 0..4 {
        let stand = two().await;
        let other = stand.pay_now(TON, "one");
        let made = stand.pay_now(2 * TON, "two");
        let (fault, lie) = match cells {
            0 => (Fault::Flipped(made.at.hash), true),
            1 => (Fault::CellsOfOther(made.at.hash), true),
            2 => (Fault::CutOut(made.at.hash), false),
            _ => (Fault::Undecodable(other.at.hash), false),
        };
        stand.nodes[1].fault(fault);
        stand.pass(1);
        let found = patiently(&stand).await;
        assert_eq!(amounts(&found), [TON, 2 * TON], "cells {cells}");
        assert_eq!(!stand.distrusted("b").is_empty(), lie, "cells {cells}: {}", stand.distrusted("b"));
        assert!(stand.distrusted("a").is_empty() && stand.distrusted("a2").is_empty());
    }
}

#[tokio::test]
async fn a_forked_block_moves_nobody_and_its_giver_is_distrusted_once_a_third_says_so() {
    let stand = two().await;
    stand.pass(2);
    let height = u32::try_from(stand.history().head().height.0).unwrap();
    stand.nodes[0].fault(Fault::Fork(height));
    assert!(stand.look().await.is_err());
    assert!(stand.trusted(), "nobody can tell who is right");
    drop(stand);
    for liar in 0..3 {
        let stand = super::stand::stand(&[Speaks::Both, Speaks::Tonapi, Speaks::Tonapi]).await;
        stand.pay_now(TON, "paid");
        stand.pass(2);
        let height = u32::try_from(stand.history().head().height.0).unwrap();
        stand.nodes[liar].fault(Fault::Fork(height));
        let found = patiently(&stand).await;
        assert_eq!(amounts(&found), [TON], "liar {liar}");
        assert_eq!(found.last().unwrap().tip.at, stand.history().head(), "liar {liar}");
        for (place, name) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(place == liar || stand.distrusted(name).is_empty(), "liar {liar}");
        }
    }
}

#[tokio::test]
async fn whoever_is_forked_where_we_stand_is_left_for_another() {
    let stand = stand(&[Speaks::Both, Speaks::Tonapi, Speaks::Tonapi]).await;
    stand.pass(1);
    stand.catch_up().await.unwrap();
    let stands = u32::try_from(stand.history().head().height.0).unwrap();
    let mut again = stand;
    again.restart();
    again.nodes[0].fault(Fault::Fork(stands));
    again.pay_now(TON, "paid");
    again.pass(1);
    assert_eq!(amounts(&patiently(&again).await), [TON]);
    assert!(again.distrusted("b").is_empty() && again.distrusted("c").is_empty());
}

#[tokio::test]
async fn what_an_index_leaves_out_or_counts_wrongly_is_no_block() {
    let faults: [fn(&Made, u32) -> Fault; 9] = [
        |_, height| Fault::Hole(height),
        |_, _| Fault::SilentEmpty,
        |_, _| Fault::CountsMore(1),
        |made, _| Fault::Omitted(made.at.hash),
        |_, _| Fault::Doubled,
        |_, _| Fault::OutOfOrder,
        |_, _| Fault::Backward(2),
        |_, _| Fault::StatesBehind(2),
        |_, _| Fault::Html,
    ];
    for (place, fault) in faults.iter().enumerate() {
        for by_block in [false, true] {
            let first = if by_block { Speaks::Node } else { Speaks::Both };
            let stand = stand(&[first, Speaks::Tonapi]).await;
            let made = stand.pay_now(TON, "paid");
            let height = u32::try_from(stand.history().head().height.0).unwrap();
            stand.pass(2);
            stand.nodes[0].fault(fault(&made, height));
            let mut found = patiently(&stand).await;
            stand.nodes[0].heal();
            stand.wait();
            stand.pass(1);
            found.extend(patiently(&stand).await);
            assert_eq!(amounts(&found), [TON], "fault {place}, by block: {by_block}");
            assert!(stand.distrusted("b").is_empty(), "fault {place}, by block: {by_block}");
        }
    }
}

#[tokio::test]
async fn an_index_that_says_of_a_new_payment_that_it_was_there_before_is_believed_by_nobody() {
    let stand = stand(&[Speaks::Both, Speaks::Tonapi]).await;
    stand.pay_now(TON, "long ago");
    stand.history().wait(60_000);
    stand.pass(2);
    // We begin to look here, and are paid.
    *stand.on.lock().unwrap() = Position { tip: stand.history().head(), checkpoint: Vec::new() };
    let height = stand.history().head().height.0;
    stand.history().wait(60_000);
    stand.pay_now(2 * TON, "new");
    stand.pass(2);
    let paid_in = height + 1;
    stand.nodes[0].script(Some(Arc::new(move |asked, reply| match reply {
        Reply::Json(status, mut body) if asked.route == "v3/transactions" => {
            for one in body["transactions"].as_array_mut().into_iter().flatten() {
                if one["mc_block_seqno"] == paid_in {
                    one["mc_block_seqno"] = (height - 5).into();
                }
            }
            Reply::Json(status, body)
        }
        reply => reply,
    })));
    let found = patiently(&stand).await;
    assert_eq!(amounts(&found), [2 * TON]);
    assert!(stand.distrusted("a").contains("after block"), "{}", stand.distrusted("a"));
}
