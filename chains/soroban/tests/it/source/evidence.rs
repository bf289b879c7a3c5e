//! What is known of a deposit's ledger grows with the ledgers above it.

use amn_core::block::{BlockRef, Evidence, Kind, TransferId};
use amn_core::source::{ChainSource as _, Position};

use super::stand::*;

fn deposit(stand: &Stand, at: BlockRef) -> (TransferId, BlockRef) {
    let _ = stand;
    (TransferId { tx: at.hash, kind: Kind::Native, index: 0 }, at)
}

async fn evidence(stand: &Stand, source: &amn_soroban::source::SorobanSource, at: BlockRef) -> Evidence {
    let proven = source.prove(&[deposit(stand, at)]).await.unwrap();
    assert_eq!(proven.len(), 1);
    proven.into_iter().next().unwrap().2
}

#[tokio::test]
async fn attestations_are_counted_from_the_ledgers_that_were_read_above() {
    let stand = stand(2, 4).await;
    let closed = stand.pay(5_000_000);
    let mut on = stand.on(1_010).await.unwrap().tip.at;
    assert_eq!(on, closed.at);
    for organisations in 0..=4 {
        let known = evidence(&stand, &stand.source, closed.at).await;
        assert_eq!((known.attestations, known.operators), (Some(organisations), operators(&["a", "b"])));
        stand.pass(1);
        let head = stand.source.head().await.unwrap().tip.at;
        on = stand.standing_on(on, head.height).await.unwrap().tip.at;
    }
    assert_eq!(evidence(&stand, &stand.source, closed.at).await.attestations, Some(4));
    assert_eq!(stand.source.attested_by(closed.at).len(), 4);
}

#[tokio::test]
async fn attestations_within_what_was_read_at_once_are_there_at_once() {
    let stand = stand(2, 3).await;
    stand.pay(5_000_000);
    stand.pass(5);
    let segment = stand.on(1_010).await.unwrap();
    let counts: Vec<_> = segment.blocks.iter().map(|block| block.evidence.attestations.unwrap()).collect();
    assert_eq!(counts, [3, 3, 3, 2, 1, 0]);
}

#[tokio::test]
async fn after_a_restart_the_ledgers_above_are_read_once_more_page_by_page() {
    let stand = stand(2, 3).await;
    let closed = stand.pay(5_000_000);
    stand.pass(20);
    let again = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
    assert_eq!(evidence(&stand, &again, closed.at).await.attestations, Some(3));
    let pages = stand.nodes[0].calls("getLedgers");
    assert_eq!(evidence(&stand, &again, closed.at).await.attestations, Some(3));
    assert_eq!(stand.nodes[0].calls("getLedgers"), pages, "all there are have signed");
    // The tip that we stand on after a restart is attested by the first that is read on it.
    let again = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
    let tip = stand.at(1_031);
    stand.pass(2);
    let up_to = again.head().await.unwrap().tip.at.height;
    let on = Position { tip, checkpoint: Vec::new() };
    again.segment(&on, up_to, None, &shop()).await.unwrap();
    assert_eq!(again.attested_by(tip).len(), 2);
}

#[tokio::test]
async fn a_ledger_that_is_not_the_networks_is_attested_by_nobody() {
    let stand = stand(2, 3).await;
    stand.pass(10);
    let nowhere = BlockRef { hash: amn_core::block::Hash([9; 32]), ..stand.at(1_012) };
    let known = evidence(&stand, &stand.source, nowhere).await;
    assert_eq!((known.attestations, known.operators), (Some(0), operators(&[])));
}

#[tokio::test]
async fn reading_old_ledgers_again_does_not_forget_who_attested_the_newest() {
    let stand = stand(2, 3).await;
    let closed = stand.pay(5_000_000);
    stand.pass(5);
    stand.on(1_010).await.unwrap();
    let before = stand.source.attested_by(closed.at);
    stand.on(1_002).await.unwrap();
    assert_eq!((stand.source.attested_by(closed.at), before.len()), (before.clone(), 3));
}

#[tokio::test]
async fn of_many_old_ledgers_some_are_asked_about_at_a_time_and_all_by_turns() {
    let stand = stand(2, 3).await;
    stand.pass(100);
    let deposits: Vec<_> = (1_020..1_040).map(|sequence| deposit(&stand, stand.at(sequence))).collect();
    let again = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
    stand.nodes[0].take_traffic();
    let first = again.prove(&deposits).await.unwrap();
    let asked = stand.nodes[0].take_traffic().questions["getLedgers"];
    assert!((1..=12).contains(&asked), "{asked}");
    assert_eq!(first.len(), deposits.len());
    let attested = |proven: &[(TransferId, BlockRef, Evidence)]| {
        proven.iter().filter(|(_, _, is)| is.attestations == Some(3) && is.operators.len() == 2).count()
    };
    assert_eq!(attested(&first), 4);
    for _ in 0..4 {
        again.prove(&deposits).await.unwrap();
    }
    assert_eq!(attested(&again.prove(&deposits).await.unwrap()), deposits.len());
}
