//! Who nodes are, where the head is, and what jettons' masters say.

use amn_core::source::{ChainSource as _, SourceError};
use amn_ton::address::Account;
use amn_ton::testkit::Fault;

use super::stand::{Speaks, paid, stand, two};

const TON: u128 = 1_000_000_000;

fn usdt(decimals: &std::collections::BTreeMap<amn_core::block::AssetId, u8>) -> Option<u8> {
    decimals.iter().find(|(asset, _)| asset.as_str().contains("/jetton:")).map(|(_, decimals)| *decimals)
}

#[tokio::test]
async fn a_node_of_the_test_network_is_left_out_and_where_all_are_the_network_stops() {
    let stand = two().await;
    stand.nodes[1].fault(Fault::GlobalId(-3));
    assert_eq!(stand.source.probe().await.unwrap().chain, "tvm:-239");
    assert!(stand.distrusted("b").contains("tvm:-3"), "{}", stand.distrusted("b"));
    stand.nodes[0].fault(Fault::GlobalId(-3));
    let mut again = stand;
    again.restart();
    let error = again.source.probe().await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("tvm:-3")), "{error:?}");
}

#[tokio::test]
async fn each_kind_of_node_says_its_network_again_when_it_comes_back() {
    for speaks in [Speaks::Index, Speaks::Node, Speaks::Tonapi] {
        let stand = stand(&[speaks, Speaks::Tonapi]).await;
        stand.source.pool().endpoints()[0].distrust("for a test");
        stand.source.pool().endpoints()[0].reconsider();
        stand.source.head().await.unwrap();
        assert_eq!(stand.distrusted("a"), "");
        stand.source.pool().endpoints()[0].distrust("for a test");
        stand.source.pool().endpoints()[0].reconsider();
        stand.nodes[0].fault(Fault::GlobalId(-3));
        stand.source.head().await.unwrap();
        assert!(stand.distrusted("a").contains("tvm:-3"));
    }
}

#[tokio::test]
async fn the_masters_say_their_decimals_and_operators_that_differ_stop_the_network() {
    let stand = two().await;
    assert_eq!(usdt(&stand.source.probe().await.unwrap().decimals), Some(6));
    stand.nodes[1].fault(Fault::Decimals(9));
    let error = stand.source.probe().await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Unsupported(why) if why.contains("6 decimals") && why.contains("9 decimals"))
    );
    stand.nodes[0].fault(Fault::Decimals(9));
    assert_eq!(usdt(&stand.source.probe().await.unwrap().decimals), Some(9), "whoever asked compares it with the file");
    stand.nodes.iter().for_each(|node| {
        node.heal();
        node.fault(Fault::NoDecimals);
    });
    assert_eq!(usdt(&stand.source.probe().await.unwrap().decimals), Some(6), "the file's");
}

#[tokio::test]
async fn a_wallet_that_does_not_follow_stops_the_network_with_both_answers() {
    let (stand, other) = (two().await, Account::new(0, [9; 32]));
    stand.nodes.iter().for_each(|node| node.fault(Fault::WalletIs(other)));
    let error = stand.source.probe().await.unwrap_err();
    let said = other.to_string();
    assert!(
        matches!(&error, SourceError::Unsupported(why) if why.contains(&said) && why.contains("0:981a2d9d")),
        "{error:?}"
    );
    stand.nodes[0].heal();
    let error = stand.source.probe().await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("operators differ")), "{error:?}");
}

#[tokio::test]
async fn a_watched_owners_wallet_is_compared_once_it_is_known_who_is_watched() {
    let stand = two().await;
    stand.source.probe().await.unwrap();
    stand.nodes[1].fault(Fault::WalletUnder(Account::new(0, [9; 32])));
    stand.pay_now(TON, "paid");
    let error = stand.look().await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("wallet")), "{error:?}");
}

#[tokio::test]
async fn the_head_is_what_two_operators_have_and_never_goes_back() {
    let stand = two().await;
    stand.pass(10);
    stand.nodes[1].fault(Fault::Behind(3));
    let height = |head: amn_core::source::Head| head.tip.at.height.0;
    let newest = stand.history().head().height.0;
    assert_eq!(height(stand.source.head().await.unwrap()), newest - 3);
    stand.nodes[1].heal();
    stand.nodes[0].fault(Fault::Backward(3));
    let mut before = 0;
    for _ in 0..8 {
        stand.pass(1);
        let Ok(head) = stand.source.head().await else { continue };
        assert!(height(head.clone()) >= before, "{head:?} after {before}");
        before = height(head);
    }
    assert!(before > newest);
}

#[tokio::test]
async fn a_claim_far_ahead_of_all_others_leads_nobody_astray() {
    let stand = two().await;
    stand.nodes[0].fault(Fault::Ahead(1_000_000));
    stand.pay_now(TON, "paid");
    for _ in 0..4 {
        stand.pass(1);
        drop(stand.look().await);
        stand.wait();
    }
    let head = stand.source.head().await.unwrap();
    assert!(head.tip.at.height <= stand.history().head().height);
    stand.nodes[0].heal();
    stand.catch_up().await.unwrap();
    assert!(stand.trusted());
}

#[tokio::test]
async fn a_second_operator_that_stands_still_holds_nobody_for_long() {
    let stand = two().await;
    stand.pay_now(TON, "first");
    stand.catch_up().await.unwrap();
    let still = u32::try_from(stand.history().head().height.0).unwrap();
    stand.nodes[1].fault(Fault::Stalled(still));
    stand.pay_now(2 * TON, "second");
    let mut found = Vec::new();
    for _ in 0..6 {
        stand.pass(1);
        if let Ok(segment) = stand.look().await {
            found.push(segment);
        }
        stand.wait();
    }
    let told = paid(&found);
    assert_eq!((told.len(), told[0].0, told[0].3.clone()), (1, 2 * TON, vec!["a".to_owned()]));
    stand.nodes[1].heal();
    let block = found.iter().flat_map(|one| &one.blocks).find(|block| !block.transfers.is_empty()).unwrap();
    let proven = stand.source.prove(&[(block.transfers[0].id, block.header.at)]).await.unwrap();
    assert_eq!(proven[0].2.operators.len(), 2);
}

#[tokio::test]
async fn an_index_that_was_asked_too_often_is_waited_for_and_not_replaced_by_whole_blocks() {
    let stand = two().await;
    stand.pay_now(TON, "first");
    stand.catch_up().await.unwrap();
    stand.pay_now(2 * TON, "second");
    let head = stand.source.head().await.unwrap().tip.at.height;
    stand.nodes[0].fault(Fault::TooManyRequests { retry_after: Some(2) });
    stand.nodes[1].take_traffic();
    let on = stand.on.lock().unwrap().clone();
    for _ in 0..3 {
        let error = stand.source.segment(&on, head, None, &stand.watch).await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable(_)), "{error:?}");
    }
    assert_eq!(stand.nodes[1].calls("tonapi/blockchain/masterchain"), 0);
    stand.nodes[0].heal();
    stand.wait();
    assert_eq!(paid(&stand.catch_up().await.unwrap()).len(), 1);
}
