//! History that nodes have thrown away is looked for elsewhere, and never leapt over.

use amn_core::source::SourceError;
use amn_soroban::testkit::Fault;

use super::stand::*;

#[tokio::test]
async fn what_one_has_thrown_away_another_still_has() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Forgot(1_007));
    let segment = stand.on(1_003).await.unwrap();
    assert_eq!((heights(&segment)[0], segment.read_by.unwrap().as_str()), (1_004, "b"));
}

#[tokio::test]
async fn history_is_pruned_only_when_every_endpoint_says_so() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Forgot(1_007));
    stand.nodes[1].fault(Fault::Forgot(1_008));
    assert!(matches!(stand.on(1_003).await, Err(SourceError::Pruned(_))));
    // One of them cannot be asked: nothing is known of what it has.
    stand.source.pool().endpoints()[1].distrust("for the test");
    let error = stand.standing_on(stand.at(1_003), stand.at(1_010).height).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn what_a_node_says_of_its_oldest_ledger_is_not_believed_before_it_is_asked_for_it() {
    let stand = stand(1, 0).await;
    // As nodes do that serve what is older from a store of files.
    stand.nodes[0].fault(Fault::OldestSaid(1_009));
    assert_eq!(heights(&stand.on(1_003).await.unwrap())[0], 1_004);
}

#[tokio::test]
async fn a_node_that_forgets_while_we_catch_up_is_left_for_one_that_has_it() {
    let stand = stand(2, 0).await;
    stand.pass(40);
    let head = amn_core::source::ChainSource::head(&stand.source).await.unwrap().tip.at;
    let (mut on, mut read) = (stand.at(1_001), Vec::new());
    while on != head {
        if on.height.0 > 1_015 {
            stand.nodes[0].fault(Fault::Forgot(1_040));
        }
        let segment = stand.standing_on(on, head.height).await.unwrap();
        assert_eq!(segment.parent, on);
        on = segment.tip.at;
        read.extend(heights(&segment));
    }
    assert_eq!(read, (1_002..=1_050).collect::<Vec<_>>());
}

#[tokio::test]
async fn history_that_only_one_keeps_is_read_from_it_alone() {
    for organisations in [0, 3] {
        let stand = stand(2, organisations).await;
        stand.nodes[1].fault(Fault::Forgot(1_009));
        let segment = stand.on(1_001).await.unwrap();
        assert_eq!(segment.parent, stand.at(1_001));
        assert!(segment.operators == operators(&["a"]) || segment.tip.at.height.0 > 1_008);
    }
}

#[tokio::test]
async fn history_that_only_one_keeps_is_read_where_validators_built_on_it_however_little_it_gives_at_a_time() {
    let stand = stand(2, 3).await;
    stand.pass(20);
    stand.nodes[0].fault(Fault::PagesOf(1));
    stand.nodes[1].fault(Fault::Forgot(1_028));
    let mut on = stand.at(1_001);
    while on.height.0 < 1_020 {
        let segment = stand.standing_on(on, stand.at(1_030).height).await.unwrap();
        assert_eq!((segment.parent, segment.operators), (on, operators(&["a"])));
        on = segment.tip.at;
    }
}

#[tokio::test]
async fn a_history_that_one_alone_keeps_and_no_validators_built_on_is_not_followed() {
    let mut stand = stand(2, 3).await;
    let branch = stand.lie(0).await;
    stand.pass(40);
    branch.lock().unwrap().pass(39);
    stand.nodes[1].fault(Fault::Forgot(1_045));
    for _ in 0..3 {
        let error = stand.standing_on(stand.at(1_010), stand.at(1_050).height).await.unwrap_err();
        assert!(
            matches!(&error, SourceError::Malformed(why) if why.contains("a alone keeps ledgers 1011 to")),
            "{error}"
        );
        stand.clock.advance(std::time::Duration::from_secs(30));
    }
    // Whoever keeps the true history is followed.
    stand.nodes[1].heal();
    assert!(heights(&stand.standing_on(stand.at(1_010), stand.at(1_050).height).await.unwrap()).contains(&1_011));
}

#[tokio::test]
async fn what_nodes_keep_is_shown() {
    let stand = stand(2, 0).await;
    stand.nodes[1].fault(Fault::Forgot(1_007));
    stand.on(1_008).await.unwrap();
    let nodes = stand.source.nodes();
    assert_eq!((nodes[0].oldest_ledger, nodes[0].latest_ledger), (Some(1_001), Some(1_010)));
    assert_eq!((nodes[1].oldest_ledger, nodes[1].retention), (Some(1_007), Some(120_960)));
}
