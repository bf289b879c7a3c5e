//! The newest ledger, and what nodes answer to who asks for more.

use std::time::Duration;

use amn_core::block::Height;
use amn_core::source::{ChainSource as _, SourceError};
use amn_soroban::testkit::{Dialect, Fault};

use super::stand::*;

#[tokio::test]
async fn the_head_is_what_two_operators_have() {
    let stand = stand(3, 0).await;
    stand.nodes[1].fault(Fault::Behind(1));
    stand.nodes[2].fault(Fault::Behind(4));
    let head = stand.source.head().await.unwrap();
    assert_eq!(head.tip.at, stand.at(1_009), "a is one ahead of whoever else is there");
    stand.nodes[1].heal();
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
    assert!(stand.trusted());
}

#[tokio::test]
async fn a_head_far_above_all_others_is_a_claim_and_makes_no_laggards() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Ahead(4_000_000));
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
    assert_eq!(stand.source.pool().head_seen(), 1_010);
    assert_eq!(stand.on(1_005).await.unwrap().tip.at, stand.at(1_010));
}

#[tokio::test]
async fn the_head_never_goes_back_where_two_machines_answer_behind_one_name() {
    let stand = stand(1, 0).await;
    stand.nodes[0].fault(Fault::Backward(3));
    let mut seen = stand.at(1_001);
    for round in 0..12 {
        match stand.source.head().await {
            Ok(head) => {
                assert!(head.tip.at.height >= seen.height);
                seen = head.tip.at;
            }
            // The one had it, and the other was asked for it.
            Err(SourceError::NotYet(_)) => {}
            Err(other) => panic!("{other}"),
        }
        if round == 6 {
            stand.pass(1);
        }
    }
    assert!(seen.height.0 >= 1_008 && stand.trusted(), "{seen:?}");
}

#[tokio::test]
async fn a_ledger_that_is_claimed_and_not_given_is_waited_for_in_every_dialect() {
    for dialect in
        [Dialect::InvalidRequest, Dialect::InvalidParams, Dialect::NoMetadata, Dialect::Internal, Dialect::EmptyPage]
    {
        let stand = stand(1, 0).await;
        stand.nodes[0].fault(Fault::OutOfRange(dialect));
        stand.nodes[0].fault(Fault::Ahead(1));
        let error = stand.source.head().await.unwrap_err();
        assert!(matches!(error, SourceError::NotYet(_)), "{dialect:?}: {error}");
        let error = stand.standing_on(stand.at(1_010), Height(1_011)).await.unwrap_err();
        assert!(matches!(error, SourceError::NotYet(_)), "{dialect:?}: {error}");
        assert!(stand.trusted(), "{dialect:?}");
        stand.pass(1);
        stand.nodes[0].heal();
        assert_eq!(stand.on(1_010).await.unwrap().tip.at, stand.at(1_011), "{dialect:?}");
    }
}

#[tokio::test]
async fn history_that_is_gone_is_told_from_what_is_not_there_yet_in_every_dialect() {
    for dialect in
        [Dialect::InvalidRequest, Dialect::InvalidParams, Dialect::NoMetadata, Dialect::Internal, Dialect::EmptyPage]
    {
        let stand = stand(2, 0).await;
        for node in &stand.nodes {
            node.fault(Fault::OutOfRange(dialect));
            node.fault(Fault::Forgot(1_006));
        }
        let gone = stand.on(1_003).await.unwrap_err();
        assert!(matches!(gone, SourceError::Pruned(_)), "{dialect:?}: {gone}");
        let header = stand.source.header_at(Height(1_003)).await.unwrap_err();
        assert!(matches!(header, SourceError::Pruned(_)), "{dialect:?}: {header}");
        let later = stand.standing_on(stand.at(1_010), Height(1_012)).await.unwrap_err();
        assert!(matches!(later, SourceError::NotYet(_)), "{dialect:?}: {later}");
        assert_eq!(stand.on(1_005).await.unwrap().tip.at, stand.at(1_010));
        assert!(stand.trusted(), "{dialect:?}");
    }
}

#[tokio::test]
async fn an_empty_page_below_the_newest_is_no_answer() {
    let stand = stand(3, 0).await;
    stand.nodes[0].fault_on("getLedgers", Fault::EmptyPages);
    let segment = stand.on(1_005).await.unwrap();
    assert_eq!((segment.tip.at, segment.read_by.unwrap().as_str()), (stand.at(1_010), "b"));
    for node in &stand.nodes[1..] {
        node.fault_on("getLedgers", Fault::EmptyPages);
    }
    stand.pass(1);
    let error = stand.standing_on(stand.at(1_010), Height(1_011)).await.unwrap_err();
    assert!(matches!(error, SourceError::NotYet(_)), "{error}");
}

#[tokio::test]
async fn a_page_with_a_hole_is_read_up_to_it_and_the_rest_elsewhere() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Missing(1_007));
    let first = stand.on(1_005).await.unwrap();
    assert_eq!((heights(&first), first.read_by.clone().unwrap().as_str()), (vec![1_006], "a"));
    let rest = stand.on(1_006).await.unwrap();
    assert_eq!((heights(&rest), rest.read_by.clone().unwrap().as_str()), (vec![1_007, 1_008, 1_009, 1_010], "b"));
    stand.nodes[1].fault(Fault::Missing(1_007));
    let error = stand.on(1_006).await.unwrap_err();
    assert!(matches!(error, SourceError::NotYet(_)), "a hole everywhere is waited for, never leapt: {error}");
    assert!(stand.trusted());
}

#[tokio::test]
async fn pages_that_are_cut_short_are_read_on_from_where_they_end() {
    let stand = stand(1, 0).await;
    stand.nodes[0].fault(Fault::PagesOf(2));
    let head = stand.source.head().await.unwrap().tip.at;
    let mut on = stand.at(1_001);
    let mut read = Vec::new();
    while on != head {
        let segment = stand.standing_on(on, head.height).await.unwrap();
        read.push(segment.blocks.len());
        on = segment.tip.at;
    }
    assert_eq!(read.iter().sum::<usize>(), 9);
}

#[tokio::test]
async fn who_cannot_give_many_ledgers_at_a_time_is_asked_for_fewer() {
    let stand = stand(1, 0).await;
    stand.pass(30);
    stand.nodes[0].fault(Fault::TimesOutAbove(2));
    let head = stand.source.head().await.unwrap().tip.at;
    let (mut on, mut failures) = (stand.at(1_001), 0);
    while on != head {
        match stand.standing_on(on, head.height).await {
            Ok(segment) => on = segment.tip.at,
            Err(SourceError::Unavailable(_)) => failures += 1,
            Err(other) => panic!("{other}"),
        }
        assert!(failures < 30);
    }
    // 8, 4, and from then on one more than what was given, now and then.
    assert!(failures >= 2, "{failures}");
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_asked_for_in_smaller_parts() {
    let stand = stand(1, 0).await;
    let small = source(&stand.nodes, &stand.network, &stand.clock, |config| config.body_max = 6_000);
    let head = small.head().await.unwrap().tip.at;
    let (mut on, mut pages) = (stand.at(1_001), 0);
    while on != head {
        let position = amn_core::source::Position { tip: on, checkpoint: Vec::new() };
        on = small.segment(&position, head.height, None, &shop()).await.unwrap().tip.at;
        pages += 1;
    }
    assert!((3..=9).contains(&pages), "{pages}");
    let tiny = source(&stand.nodes, &stand.network, &stand.clock, |config| config.body_max = 900);
    let position = amn_core::source::Position { tip: stand.at(1_001), checkpoint: Vec::new() };
    let error = tiny.segment(&position, Height(1_009), None, &shop()).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_node_that_stands_still_does_not_hold_us() {
    let stand = stand(3, 0).await;
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
    stand.nodes[0].fault(Fault::Stalled(1_010));
    stand.pass(3);
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010), "it may be that nothing is new");
    stand.clock.advance(Duration::from_secs(16));
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_013));
}

#[tokio::test]
async fn a_second_operator_that_stands_still_does_not_hold_us_for_ever() {
    for organisations in [0, 3] {
        let stand = stand(2, organisations).await;
        assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
        stand.on(1_009).await.unwrap();
        stand.nodes[1].fault(Fault::Stalled(1_010));
        stand.pass(6);
        // Where validators are known they have built on what the second lacks; else it may come.
        let head = stand.at(if organisations == 0 { 1_010 } else { 1_016 });
        assert_eq!(stand.source.head().await.unwrap().tip.at, head);
        let mut on = stand.at(1_010);
        for _ in 0..6 {
            stand.clock.advance(Duration::from_secs(16));
            let head = stand.source.head().await.unwrap().tip.at;
            if let Ok(segment) = stand.standing_on(on, head.height).await {
                assert_eq!(segment.parent, on);
                on = segment.tip.at;
            }
        }
        // Validators stand behind all but the last two; where none are known, one is followed after a wait.
        assert_eq!(on, stand.at(if organisations == 0 { 1_016 } else { 1_014 }));
    }
}

#[tokio::test]
async fn a_second_operator_that_lags_is_passed_as_far_as_validators_built() {
    let stand = stand(2, 3).await;
    stand.nodes[1].fault(Fault::Behind(4));
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_006), "a ledger begins where two stand");
    stand.on(1_005).await.unwrap();
    stand.pay(5_000_000);
    stand.pass(3);
    // Without waiting: two organisations stand above the first two, which the second has not.
    let segment = stand.on(1_010).await.unwrap();
    assert_eq!((heights(&segment), paid(&segment.blocks)), (vec![1_011, 1_012], vec![5_000_000]));
    assert_eq!(segment.operators, operators(&["a"]));
    assert!(matches!(stand.on(1_012).await, Err(SourceError::NotYet(_))));
    // One that lags less than validators need is waited for.
    stand.nodes[1].heal();
    stand.nodes[1].fault(Fault::Behind(2));
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_014), "it was shown before");
    assert_eq!(stand.on(1_010).await.unwrap().operators, operators(&["a", "b"]));
}

#[tokio::test]
async fn a_claim_beyond_the_second_operator_that_nobody_can_show_does_not_hold_us() {
    let stand = stand(2, 3).await;
    stand.on(1_009).await.unwrap();
    stand.nodes[0].fault(Fault::Ahead(5));
    for _ in 0..3 {
        assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
    }
    stand.pass(1);
    assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_011));
    assert_eq!(stand.on(1_010).await.unwrap().tip.at, stand.at(1_011));
}

#[tokio::test]
async fn what_nobody_can_show_takes_nothing_away_though_all_others_stand_still() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Ahead(1_000));
    for _ in 0..4 {
        assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
        stand.clock.advance(Duration::from_secs(16));
    }
    assert!(stand.source.pool().head_seen() < 2_000);
}

#[tokio::test]
async fn nodes_that_are_not_well_are_not_believed_to_have_nothing() {
    for fault in [Fault::Unhealthy, Fault::Starting, Fault::Queue, Fault::MethodQueue, Fault::GatewayTimeout] {
        let stand = stand(2, 0).await;
        for node in &stand.nodes {
            node.fault(fault.clone());
        }
        let error = stand.source.head().await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable(_)), "{fault:?}: {error}");
        stand.nodes[1].heal();
        stand.clock.advance(Duration::from_secs(10));
        let head = stand.source.head().await.map(|head| head.tip.at);
        assert_eq!(head, Ok(stand.at(1_010)), "{fault:?}");
    }
}
