//! A network is followed ledger by ledger, and costs little.

use amn_core::block::{Height, Inclusion};
use amn_core::source::{ChainSource as _, Coverage, SourceError};

use super::stand::*;
use crate::scene::SHOP;

#[tokio::test]
async fn a_payment_is_read_proven_and_vouched_for_by_two_operators() {
    let stand = stand(2, 0).await;
    let closed = stand.pay(25_000_000);
    let head = stand.source.head().await.unwrap();
    assert_eq!((head.tip.at, head.finalized, head.safe), (closed.at, Some(closed.at), Some(closed.at)));
    let segment = stand.on(1_010).await.unwrap();
    assert_eq!((segment.parent, segment.tip.at, segment.coverage), (stand.at(1_010), closed.at, Coverage::Linked));
    assert_eq!(segment.operators, operators(&["a", "b"]));
    assert_eq!(segment.read_by.as_ref().unwrap().as_str(), "a");
    let block = &segment.blocks[0];
    assert_eq!(block.evidence.inclusion, Inclusion::Proven);
    assert_eq!(block.evidence.attestations, Some(0));
    let transfer = &block.transfers[0];
    assert_eq!((transfer.amount.units(), &transfer.to), (25_000_000, &SHOP.spell()));
    let vouchers = stand.source.vouch(&segment.tip).await.unwrap();
    assert!(vouchers.iter().all(|voucher| voucher.block == closed.at) && vouchers.len() == 2);
}

#[tokio::test]
async fn a_ledger_costs_one_question_for_the_tip_and_one_for_the_ledger_of_each_of_two_operators() {
    let stand = stand(3, 0).await;
    stand.on(1_009).await.unwrap();
    for node in &stand.nodes {
        node.take_traffic();
    }
    for _ in 0..5 {
        let on = stand.source.head().await.unwrap().tip.at;
        stand.pay(7_000_000);
        for node in &stand.nodes {
            node.take_traffic();
        }
        let head = stand.source.head().await.unwrap();
        let segment = stand.standing_on(on, head.tip.at.height).await.unwrap();
        stand.source.vouch(&segment.tip).await.unwrap();
        stand.source.header_at(segment.tip.at.height).await.unwrap();
        let [a, b, c] = [0, 1, 2].map(|node: usize| stand.nodes[node].take_traffic());
        assert_eq!((a.questions["getHealth"], a.questions["getLedgers"], a.requests), (1, 1, 2));
        assert_eq!((b.questions["getHealth"], b.questions["getLedgers"], b.requests), (1, 1, 2));
        assert_eq!((c.questions["getHealth"], c.requests), (1, 1), "two are enough");
        // Where nothing is new, one small question.
        stand.source.head().await.unwrap();
        stand.source.vouch(&segment.tip).await.unwrap();
        let [a, b, c] = [0, 1, 2].map(|node: usize| stand.nodes[node].take_traffic());
        assert_eq!((a.questions["getHealth"], a.requests, b.requests, c.requests), (1, 1, 0, 0));
    }
}

#[tokio::test]
async fn catching_up_reads_pages_that_follow_one_another_and_never_asks_beyond_the_newest() {
    let stand = stand(2, 0).await;
    stand.pay(5_000_000);
    stand.pass(30);
    stand.pay(6_000_000);
    let asked = std::sync::Arc::new(std::sync::Mutex::new(0));
    for node in &stand.nodes {
        let asked = asked.clone();
        node.script(Some(std::sync::Arc::new(move |method, params, reply| {
            if method == "getLedgers" {
                let limit = params["pagination"]["limit"].as_u64().unwrap();
                let last = params["startLedger"].as_u64().unwrap() + limit - 1;
                let mut most = asked.lock().unwrap();
                *most = last.max(*most);
                assert!((1..=8).contains(&limit));
            }
            reply
        })));
    }
    let mut on = stand.at(1_001);
    let mut blocks = Vec::new();
    let head = stand.source.head().await.unwrap().tip.at;
    while on != head {
        let segment = stand.standing_on(on, head.height).await.unwrap();
        assert_eq!(segment.parent, on);
        on = segment.tip.at;
        blocks.extend(segment.blocks);
    }
    assert_eq!((blocks.len(), paid(&blocks)), (41, vec![5_000_000, 6_000_000]));
    assert_eq!(*asked.lock().unwrap(), head.height.0);
    let calls = stand.nodes[0].calls("getLedgers");
    assert_eq!(calls, 6, "the head, and five pages before it");
    let beyond = stand.standing_on(on, Height(on.height.0 + 5)).await;
    assert!(matches!(beyond, Err(SourceError::NotYet(_))), "{beyond:?}");
    assert_eq!(*asked.lock().unwrap(), head.height.0);
}

#[tokio::test]
async fn one_ledger_is_read_once_more_from_somebody_else() {
    let stand = stand(2, 2).await;
    let closed = stand.pay(7_000_000);
    stand.pass(4);
    let segment = stand.on(1_010).await.unwrap();
    let read_by = segment.read_by.as_ref();
    for turn in 0..4 {
        let block = stand.source.reread(closed.at.height, read_by, turn, &shop()).await.unwrap();
        assert_eq!((block.header.at, &block.evidence.operators), (closed.at, &operators(&["b"])));
        assert_eq!((paid(std::slice::from_ref(&block)), block.evidence.attestations), (vec![7_000_000], Some(2)));
    }
    let at = segment.tip.at;
    assert!(matches!(stand.source.balances(&[], at).await, Err(SourceError::Unsupported(_))));
    assert!(matches!(stand.source.internal_transfers(&[], at).await, Err(SourceError::Unsupported(_))));
}
