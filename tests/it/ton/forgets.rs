//! Nodes that keep no old transactions: others serve them; where none has them any more the network halts, loudly, and
//! goes on when they are back. No payment is ever skipped.

use std::time::Duration;

use amn_rpc::EndpointConfig;
use amn_scanner::follower::Outcome;
use amn_ton::testkit::{Fault, Node};

use super::missed::Missed;
use super::scene::{Way, endpoint_of};

const BLOCKS: u32 = 60;
const INTENTS: usize = 20;

/// Past the time for which a node that failed is left alone.
const LATER: Duration = Duration::from_mins(11);

#[tokio::test]
async fn what_one_node_keeps_no_more_is_read_from_the_other() {
    for way in Way::BOTH {
        for forgetful in 0..2 {
            let what = format!("{way:?}: node {forgetful}");
            let mut missed = Missed::new(way, INTENTS).await;
            missed.nodes[forgetful].fault(Fault::NotInDatabase);
            missed.goes_on(BLOCKS);
            for _ in 0..3 {
                missed.scene.catch_up().await;
            }
            assert_eq!(missed.scene.db.halted().await, None, "{what}: {}", missed.scene.log.text());
            let distrusted = missed.scene.distrusted();
            assert!(distrusted.iter().all(Option::is_none), "{what}: forgetting is no lie: {distrusted:?}");
            missed.nodes[forgetful].heal();
            missed.scene.look_after(LATER).await;
            missed.passes();
            missed.everything_is_confirmed(&what).await;
        }
    }
}

/// Both operators have the node's own interface and no other: what it forgot is nowhere else.
fn plain(way: Way) -> impl Fn(&[Node; 2]) -> Vec<EndpointConfig> {
    move |nodes| {
        let kinds = way.dialects(0);
        let of = |(node, operator)| kinds.iter().map(move |kind| endpoint_of(node, kind, operator));
        nodes.iter().zip(["a", "b"]).flat_map(of).collect()
    }
}

#[tokio::test]
async fn what_every_node_keeps_no_more_stops_the_network_until_it_is_back_and_is_never_skipped() {
    for way in Way::BOTH {
        let mut missed = Missed::asking(plain(way), INTENTS).await;
        for node in &missed.nodes {
            node.fault(Fault::NotInDatabase);
        }
        let stood = missed.scene.db.tip().await;
        missed.goes_on(BLOCKS);
        let mut last = Outcome::Idle;
        for _ in 0..5 {
            last = missed.scene.catch_up().await;
        }
        // Where somebody may still come by it we wait, and say so; where everybody says that it is gone, we halt.
        match missed.scene.db.halted().await {
            Some((reason, detail)) => {
                assert_eq!((last, reason.as_str()), (Outcome::Halted, "pruned"), "{way:?}: {detail}");
                assert!(missed.scene.log.says(&["ERROR", "halted until a person looks", "pruned"]), "{way:?}");
                missed.scene.resume().await;
            }
            None => assert!(matches!(last, Outcome::Waiting(_)), "{way:?}: {last:?}"),
        }
        let tip = missed.scene.db.tip().await;
        assert!(tip < stood + i64::from(BLOCKS), "{way:?}: nothing is skipped: {tip}");

        for node in &missed.nodes {
            node.heal();
        }
        missed.scene.look_after(LATER).await;
        if missed.scene.db.halted().await.is_some() {
            missed.scene.resume().await;
        }
        missed.passes();
        missed.everything_is_confirmed(&format!("{way:?}")).await;
    }
}

#[tokio::test]
async fn where_an_indexer_shows_nothing_of_what_others_keep_no_more_we_wait_and_skip_nothing() {
    for way in Way::BOTH {
        let mut missed = Missed::new(way, INTENTS).await;
        for node in &missed.nodes {
            node.fault(Fault::NotInDatabase);
        }
        let stood = missed.scene.db.tip().await;
        missed.goes_on(BLOCKS);
        for _ in 0..5 {
            missed.scene.catch_up().await;
        }
        let tip = missed.scene.db.tip().await;
        assert!(tip < stood + i64::from(BLOCKS), "{way:?}: nothing is skipped: {tip}");
        for node in &missed.nodes {
            node.heal();
        }
        missed.scene.look_after(LATER).await;
        if missed.scene.db.halted().await.is_some() {
            missed.scene.resume().await;
        }
        missed.passes();
        missed.everything_is_confirmed(&format!("{way:?}")).await;
    }
}
