//! What an honest network is read as: by account, by block, near its head and far behind it.

use amn_core::block::Height;
use amn_core::source::{ChainSource as _, Coverage};
use amn_ton::source::Mode;

use super::stand::{Speaks, names, paid, seen, stand, two};

#[tokio::test]
async fn a_payment_is_found_in_its_block_with_both_operators_behind_it() {
    let stand = two().await;
    assert_eq!(stand.source.probe().await.unwrap().chain, "tvm:-239");
    stand.pass(2);
    stand.pay_now(25_000_000_000, "order 17");
    stand.pass(3);
    let height = stand.history().head().height.0 - 3;
    let segments = stand.catch_up().await.unwrap();
    let expected = (25_000_000_000, "text:order 17".to_owned(), height, vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(paid(&segments), [expected]);
    assert_eq!(stand.source.mode(), Mode::ByAccount);
    let last = segments.last().unwrap();
    assert_eq!((last.coverage, names(&last.operators)), (Coverage::Listed, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(last.tip.at, stand.history().head());
    assert!(stand.trusted());
    assert_eq!(seen(&segments), []);
}

#[tokio::test]
async fn each_kind_of_node_is_read_block_by_block_and_finds_the_same() {
    for speaks in [Speaks::Node, Speaks::Tonapi] {
        let stand = stand(&[speaks, Speaks::Tonapi]).await;
        stand.pass(2);
        stand.pay(1_000_000_000, "a");
        stand.pay_now(2_000_000_000, "b");
        stand.pay_now(3_000_000_000, "c");
        let found = paid(&stand.catch_up().await.unwrap());
        let amounts: Vec<u128> = found.iter().map(|paid| paid.0).collect();
        assert_eq!(amounts, [1_000_000_000, 2_000_000_000, 3_000_000_000]);
        assert!(found.iter().all(|paid| paid.3 == ["a", "b"]), "{found:?}");
        assert!(matches!(stand.source.mode(), Mode::ByBlock(_)));
    }
}

#[tokio::test]
async fn nothing_new_costs_one_question_and_new_blocks_without_us_five() {
    let stand = two().await;
    stand.pay_now(5_000_000_000, "before");
    stand.catch_up().await.unwrap();
    stand.nodes.iter().for_each(|node| drop(node.take_traffic()));
    stand.source.head().await.unwrap();
    assert_eq!((stand.nodes[0].take_traffic().requests, stand.nodes[1].take_traffic().requests), (1, 0));
    let mut asked = (0, 0);
    for _ in 0..10 {
        stand.pass(3);
        stand.catch_up().await.unwrap();
        asked.0 += stand.nodes[0].take_traffic().requests;
        asked.1 += stand.nodes[1].take_traffic().requests;
    }
    assert!(asked.0 <= 30 && asked.1 <= 20, "{asked:?} for ten looks");
}

#[tokio::test]
async fn thousands_of_blocks_are_one_stretch_of_few_requests() {
    let stand = two().await;
    stand.pay_now(5_000_000_000, "before");
    stand.catch_up().await.unwrap();
    stand.pass(1_100);
    stand.pay_now(6_000_000_000, "in the middle");
    stand.pass(1_299);
    stand.nodes.iter().for_each(|node| drop(node.take_traffic()));
    let segments = stand.catch_up().await.unwrap();
    assert_eq!((segments.len(), paid(&segments).len()), (1, 1));
    let asked = stand.nodes[0].take_traffic().requests + stand.nodes[1].take_traffic().requests;
    assert!(asked <= 14, "{asked} requests");
    assert_eq!(segments[0].tip.at.height, Height(stand.history().head().height.0));
}
