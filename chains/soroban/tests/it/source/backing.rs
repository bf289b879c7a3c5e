//! A forged child of the true tip proves itself in every respect: nothing moves onto it all the same.

use std::time::Duration;

use amn_core::block::BlockRef;
use amn_core::source::{ChainSource as _, Segment, SourceError};
use amn_soroban::testkit::Fault;

use super::stand::*;

#[tokio::test]
async fn one_of_three_who_forges_a_ledger_is_outvoted() {
    for liar in 0..3 {
        let mut stand = stand(3, 0).await;
        let branch = stand.lie(liar).await;
        stand.pay(5_000_000);
        let segment = tried(&stand, 1_010).await.unwrap();
        assert_eq!((segment.tip.at, paid(&segment.blocks)), (stand.at(1_011), vec![5_000_000]), "liar {liar}");
        assert_eq!(segment.operators.len(), 2);
        let vouchers = stand.source.vouch(&segment.tip).await.unwrap();
        let behind = vouchers.iter().filter(|voucher| voucher.block == segment.tip.at).count();
        assert!(behind >= 2, "liar {liar}");
        // Whoever asks hears who lied.
        assert!(stand.source.arbitrate(segment.tip.at).await);
        let name = ["a", "b", "c"][liar];
        assert!(stand.distrusted(name).contains("1011"), "liar {liar}: {:?}", stand.distrusted(name));
        drop(branch);
    }
}

/// As a follower does: again, where it did not come to anything.
async fn tried(stand: &Stand, on: u32) -> Result<Segment, SourceError> {
    let mut segment = stand.on(on).await;
    for _ in 0..3 {
        if segment.is_ok() {
            break;
        }
        segment = stand.on(on).await;
    }
    segment
}

#[tokio::test]
async fn of_two_who_differ_nobody_is_believed_until_validators_built_on_one_ledger() {
    for liar in 0..2 {
        let mut stand = stand(2, 3).await;
        let branch = stand.lie(liar).await;
        stand.pay(5_000_000);
        let false_tip = branch.lock().unwrap().ledgers[&1_011].at;
        for _ in 0..3 {
            let error = stand.on(1_010).await.unwrap_err();
            assert!(matches!(error, SourceError::Malformed(_)), "{error}");
        }
        assert!(stand.trusted(), "nobody can tell who is right");
        // Both go on; validators build on the true one alone.
        stand.pass(3);
        branch.lock().unwrap().pass(3);
        let segment = tried(&stand, 1_010).await.unwrap_or_else(|error| panic!("liar {liar}: {error}"));
        assert_eq!((segment.blocks[0].header.at, paid(&segment.blocks)), (stand.at(1_011), vec![5_000_000]));
        assert!(!stand.source.arbitrate(false_tip).await);
        assert!(!stand.source.arbitrate(false_tip).await);
        let name = ["a", "b"][liar];
        assert!(stand.distrusted(name).contains("validators of org-"), "liar {liar}: {:?}", stand.distrusted(name));
        assert!(stand.distrusted(["b", "a"][liar]).is_empty());
    }
}

#[tokio::test]
async fn where_no_validators_are_known_two_who_differ_stop_everything_and_are_told() {
    for liar in 0..2 {
        let mut stand = stand(2, 0).await;
        let branch = stand.lie(liar).await;
        stand.pay(5_000_000);
        for _ in 0..5 {
            let error = stand.on(1_010).await.unwrap_err();
            assert!(matches!(error, SourceError::Malformed(_)), "{error}");
            stand.clock.advance(Duration::from_secs(10));
            stand.pass(1);
            branch.lock().unwrap().pass(1);
        }
        assert!(stand.trusted());
    }
}

#[tokio::test]
async fn where_the_second_operator_is_away_validators_stand_in_for_it() {
    let stand = stand(2, 3).await;
    stand.nodes[1].fault(Fault::GatewayTimeout);
    stand.pay(5_000_000);
    stand.pass(4);
    let segment = stand.on(1_010).await.unwrap();
    // 1012 closes over 1011, 1013 over 1012 and so on: two organisations stand above all but the last two.
    assert_eq!((heights(&segment), paid(&segment.blocks)), (vec![1_011, 1_012, 1_013], vec![5_000_000]));
    assert_eq!(segment.operators, operators(&["a"]));
    assert_eq!(segment.blocks[0].evidence.attestations, Some(3));
    let error = stand.on(1_013).await.unwrap_err();
    assert!(matches!(error, SourceError::NotYet(_)), "{error}");
    stand.pass(1);
    assert_eq!(heights(&stand.on(1_013).await.unwrap()), [1_014]);
}

#[tokio::test]
async fn a_forged_ledger_does_not_pass_while_the_second_operator_is_away() {
    let mut stand = stand(2, 3).await;
    let branch = stand.lie(0).await;
    stand.nodes[1].fault(Fault::GatewayTimeout);
    for _ in 0..4 {
        stand.pass(1);
        branch.lock().unwrap().pass(1);
        let error = stand.on(1_010).await.unwrap_err();
        assert!(matches!(error, SourceError::NotYet(_)), "{error}");
        stand.clock.advance(Duration::from_secs(30));
    }
    stand.nodes[1].heal();
    let segment = tried(&stand, 1_010).await.unwrap();
    assert_eq!(segment.blocks[0].header.at, stand.at(1_011));
}

#[tokio::test]
async fn where_nobody_and_nothing_else_can_say_so_one_is_followed_after_a_wait() {
    let stand = stand(2, 0).await;
    stand.nodes[1].fault(Fault::GatewayTimeout);
    stand.pay(5_000_000);
    let error = stand.on(1_010).await.unwrap_err();
    assert!(matches!(error, SourceError::NotYet(_)), "{error}");
    stand.clock.advance(Duration::from_secs(16));
    let segment = stand.on(1_010).await.unwrap();
    assert_eq!((segment.operators, paid(&segment.blocks)), (operators(&["a"]), vec![5_000_000]));
}

#[tokio::test]
async fn who_has_another_ledger_below_ours_is_left_and_distrusted() {
    let stand = stand(3, 0).await;
    stand.pass(2);
    // One of them tells of a chain that parted from ours a while ago.
    let mut other = stand.history().clone();
    other.rewind(1_009);
    other.pass(3);
    let branch = amn_soroban::testkit::Node::serve(other).await.unwrap();
    let stand = Stand {
        source: source_with(&stand, &branch),
        nodes: stand.nodes,
        history: stand.history,
        network: stand.network,
        clock: stand.clock,
    };
    let segment = stand.on(1_011).await.unwrap();
    assert_eq!(segment.tip.at, stand.at(1_012));
    let why = stand.distrusted("liar");
    assert!(why.contains("does not stand on"), "{why}");
}

/// A source whose first endpoint is another node.
fn source_with(stand: &Stand, first: &amn_soroban::testkit::Node) -> amn_soroban::source::SorobanSource {
    use amn_core::block::{NetworkId, Operator};
    use amn_rpc::{EndpointConfig, Pool, PoolSettings};
    let all = std::iter::once((first, "liar")).chain(stand.nodes.iter().zip(["a", "b", "c"]));
    let endpoints = all.map(|(node, name)| EndpointConfig::new(name, node.url().as_str(), Operator::new(name)));
    let settings = PoolSettings { time: stand.clock.time(), ..PoolSettings::default() };
    let pool = Pool::new_with(NetworkId::new("own"), endpoints.collect(), settings).unwrap();
    amn_soroban::source::SorobanSource::new(pool, stand.network.clone())
}

#[tokio::test]
async fn where_nobody_stands_on_ours_we_are_told_that_the_chain_left_us() {
    let stand = stand(2, 0).await;
    let head = stand.source.head().await.unwrap().tip.at;
    let nowhere = BlockRef { hash: amn_core::block::Hash([9; 32]), ..stand.at(1_007) };
    let error = stand.standing_on(nowhere, head.height).await.unwrap_err();
    assert_eq!(error, SourceError::Forked(nowhere));
}
