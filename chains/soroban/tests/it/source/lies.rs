//! Ledgers that are not what they say: named, refused, and read from somebody else.

use amn_core::block::BlockRef;
use amn_core::source::{ChainSource as _, Position, SourceError};
use amn_soroban::testkit::tamper::{ALL, Must, Victim, victim};
use amn_soroban::testkit::{Fault, Node, Token};
use stellar_xdr::Asset;

use super::stand::*;
use crate::scene::{ESCROW, PAYER, SHOP};
use crate::support::watch;

#[tokio::test]
async fn what_stands_beside_a_ledger_must_not_contradict_it() {
    for (fault, why) in [
        (Fault::HashOfOther(1_008), "the hash beside ledger 1008"),
        (Fault::HeaderOfOther(1_008), "the header beside ledger 1008"),
        (Fault::NotBase64(1_008), "no base64"),
    ] {
        let stand = stand(2, 0).await;
        stand.nodes[0].fault(fault.clone());
        let segment = stand.on(1_005).await.unwrap();
        assert_eq!((segment.tip.at, segment.read_by.unwrap().as_str()), (stand.at(1_010), "b"));
        assert!(stand.distrusted("a").contains(why), "{fault:?}: {}", stand.distrusted("a"));
    }
    for fault in [Fault::Stale(1_008), Fault::SequenceOfOther(1_008), Fault::OtherTime(1_008)] {
        let stand = stand(2, 0).await;
        stand.nodes[0].fault(fault.clone());
        let mut on = stand.at(1_005);
        while on != stand.at(1_010) {
            on = stand.standing_on(on, stand.at(1_010).height).await.unwrap().tip.at;
        }
        assert!(stand.trusted(), "{fault:?}: a hole, or a field that nobody reads");
    }
}

/// The ledgers above `from`, read as a follower would that tries a few times; and what they pay, by amount.
async fn follow(stand: &Stand, from: u32, to: u32, name: &str) -> (BlockRef, Vec<u128>) {
    let (mut on, end) = (stand.at(from), stand.at(to));
    let mut amounts = Vec::new();
    for _ in 0..4 {
        let position = Position { tip: on, checkpoint: Vec::new() };
        match stand.source.segment(&position, end.height, None, &watch([SHOP, ESCROW])).await {
            Ok(segment) => {
                on = segment.tip.at;
                amounts.extend(paid(&segment.blocks));
            }
            Err(SourceError::Malformed(_) | SourceError::NotYet(_)) => {}
            Err(other) => panic!("{name}: {other}"),
        }
        if on == end {
            break;
        }
    }
    (on, amounts)
}

#[tokio::test]
async fn whatever_one_does_to_a_ledger_nobody_is_paid_by_it_and_the_other_is_read() {
    let mut seen = 0;
    let mut stand = stand(2, 0).await;
    let contract = *stand.network.registry.contracts.iter().find(|(_, listed)| listed.native).unwrap().0;
    let token = Token { contract, name: Some("native".to_owned()) };
    let of = Victim { payer: PAYER, shop: SHOP, escrow: ESCROW, asset: Asset::Native, token, amount: 9_000_000 };
    let closed = stand.history().close(&victim(&of));
    stand.pass(1);
    let (tip, honest) = follow(&stand, 1_010, 1_012, "honest").await;
    assert_eq!((tip, honest.len()), (stand.at(1_012), 9));
    for tamper in ALL.iter() {
        let name = tamper.name;
        if tamper.apply(&closed.bytes(), stand.network.network_id).is_none() {
            continue;
        }
        seen += 1;
        stand.source = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
        stand.nodes[0].heal();
        stand.nodes[0].fault(Fault::Tampered(1_011, tamper));
        let (tip, amounts) = follow(&stand, 1_010, 1_012, name).await;
        match tamper.must {
            Must::Refused(_) => {
                assert_eq!((tip, amounts), (stand.at(1_012), honest.clone()), "{name}");
                // Another sequence is a hole in the page, and no more than that.
                assert!(!stand.distrusted("a").is_empty() || name.starts_with("sequence"), "{name}");
            }
            Must::Harmless(_) => assert_eq!((tip, amounts), (stand.at(1_012), honest.clone()), "{name}"),
            // Another ledger than the network's. It may be that nobody can tell here, and nothing moves.
            Must::Disowned(_) => assert!(amounts.is_empty() || amounts == honest, "{name}: {amounts:?}"),
        }
    }
    assert!(seen >= 30, "only {seen} ways change this ledger");
}

#[tokio::test]
async fn a_ledger_that_does_not_decode_here_and_decodes_elsewhere_is_its_givers_fault() {
    for fault in [Fault::Undecodable(1_008), Fault::Endless(1_008), Fault::Newer(1_008)] {
        let stand = stand(2, 0).await;
        stand.nodes[0].fault(fault.clone());
        let first = stand.on(1_005).await.unwrap();
        assert_eq!(heights(&first), [1_006, 1_007], "{fault:?}: what stands before it is good");
        let rest = stand.on(1_007).await.unwrap();
        assert_eq!((rest.tip.at, rest.read_by.as_ref().unwrap().as_str()), (stand.at(1_010), "b"));
    }
    // Where a third stands behind the second, the first is not believed again.
    let stand = stand(3, 0).await;
    stand.nodes[0].fault(Fault::Undecodable(1_008));
    stand.on(1_007).await.unwrap();
    assert!(stand.distrusted("a").contains("gave a ledger 1008 that reads"), "{}", stand.distrusted("a"));
}

#[tokio::test]
async fn a_ledger_that_decodes_nowhere_halts_the_network_as_behind_the_protocol() {
    for fault in [Fault::Undecodable(1_008), Fault::Newer(1_008)] {
        let stand = stand(2, 0).await;
        for node in &stand.nodes {
            node.fault(fault.clone());
        }
        assert_eq!(heights(&stand.on(1_005).await.unwrap()), [1_006, 1_007]);
        let error = stand.on(1_007).await.unwrap_err();
        assert!(matches!(error, SourceError::Unsupported(_)), "{error}");
        assert!(stand.trusted());
        // The binary is replaced, here: the nodes are. Nothing was lost.
        stand.nodes.iter().for_each(Node::heal);
        assert_eq!(stand.on(1_007).await.unwrap().tip.at, stand.at(1_010));
    }
}

#[tokio::test]
async fn the_only_operator_may_damage_a_ledger_twice_before_the_network_halts() {
    let stand = stand(1, 0).await;
    stand.nodes[0].fault(Fault::Undecodable(1_008));
    for _ in 0..2 {
        let error = stand.on(1_007).await.unwrap_err();
        assert!(matches!(error, SourceError::Malformed(_)), "{error}");
    }
    let error = stand.on(1_007).await.unwrap_err();
    assert!(matches!(error, SourceError::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn a_ledger_that_was_damaged_once_on_its_way_is_asked_for_again() {
    let stand = stand(1, 0).await;
    stand.nodes[0].fault_times(1, Some("getLedgers"), Fault::Undecodable(1_010));
    assert!(matches!(stand.on(1_009).await, Err(SourceError::Malformed(_))));
    assert_eq!(stand.on(1_009).await.unwrap().tip.at, stand.at(1_010));
}

#[tokio::test]
async fn a_switch_to_a_protocol_beyond_us_is_told_with_the_last_ledger_before_it() {
    let stand = stand(2, 0).await;
    stand.history().chain.upgrade = Some(31);
    stand.pass(2);
    let segment = stand.on(1_010).await.unwrap();
    assert_eq!(heights(&segment), [1_011]);
    assert_eq!(segment.blocks[0].observations[0].kind, "protocol_upgrade");
    let error = stand.on(1_011).await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("protocol 31")), "{error}");
}

#[tokio::test]
async fn ledgers_of_another_network_are_refused_though_their_hashes_hold() {
    let stand = stand(2, 0).await;
    let mut foreign = stand.history().clone();
    foreign.chain.network_id = [7; 32];
    let closed = foreign.close(&[]);
    stand.pass(1);
    stand.nodes[0].fault(Fault::Instead(1_011, closed.bytes().into()));
    let segment = stand.standing_on(stand.at(1_010), stand.at(1_011).height).await.unwrap();
    assert_eq!(segment.read_by.unwrap().as_str(), "b");
    assert!(stand.distrusted("a").contains("did not sign"), "{}", stand.distrusted("a"));
    assert!(stand.source.head().await.is_ok());
}
