//! Who a node is, at the start and each time it comes back.

use std::time::Duration;

use amn_core::source::{ChainSource as _, SourceError};
use amn_soroban::testkit::Fault;

use super::stand::*;

const OTHER: &str = "Test SDF Network ; September 2015";

#[tokio::test]
async fn a_network_is_known_by_its_passphrase() {
    let stand = stand(2, 0).await;
    let identity = stand.source.probe().await.unwrap();
    assert_eq!(identity.chain, stand.network.facts.chain);
    assert!(identity.decimals.values().all(|decimals| *decimals == 7) && !identity.decimals.is_empty());
    assert_eq!(stand.source.nodes()[0].protocol, Some(30));
}

#[tokio::test]
async fn a_node_of_another_network_is_not_asked_and_where_all_are_that_is_the_end() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Passphrase(OTHER.to_owned()));
    stand.source.probe().await.unwrap();
    assert!(stand.distrusted("a").contains(OTHER), "{}", stand.distrusted("a"));
    assert_eq!(stand.on(1_009).await.unwrap().read_by.unwrap().as_str(), "b");
    stand.nodes[1].fault(Fault::Passphrase(OTHER.to_owned()));
    let again = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
    let error = again.probe().await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains(OTHER)), "{error}");
}

#[tokio::test]
async fn nodes_that_come_back_as_another_network_stop_us() {
    let stand = stand(1, 0).await;
    stand.source.probe().await.unwrap();
    stand.source.head().await.unwrap();
    // It goes away, and another is at its address.
    stand.nodes[0].fault(Fault::GatewayTimeout);
    for _ in 0..6 {
        stand.source.head().await.unwrap_err();
    }
    stand.nodes[0].heal();
    stand.nodes[0].fault(Fault::Passphrase(OTHER.to_owned()));
    stand.clock.advance(Duration::from_secs(11));
    let mut last = None;
    for _ in 0..3 {
        last = stand.source.head().await.err();
    }
    assert!(matches!(&last, Some(SourceError::Unsupported(why)) if why.contains(OTHER)), "{last:?}");
    // The mistake is mended.
    stand.nodes[0].heal();
    stand.clock.advance(Duration::from_secs(601));
    let mut head = stand.source.head().await;
    for _ in 0..3 {
        head = stand.source.head().await;
    }
    assert_eq!(head.unwrap().tip.at, stand.at(1_010));
}

#[tokio::test]
async fn a_node_that_does_not_say_who_it_is_is_asked_before_it_is_used() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::GatewayTimeout);
    stand.source.probe().await.unwrap();
    stand.nodes[0].heal();
    stand.nodes[0].fault(Fault::Passphrase(OTHER.to_owned()));
    for _ in 0..3 {
        assert_eq!(stand.source.head().await.unwrap().tip.at, stand.at(1_010));
    }
    assert!(stand.distrusted("a").contains(OTHER));
}
