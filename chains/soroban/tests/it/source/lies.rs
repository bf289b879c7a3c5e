//! Ledgers that are not what they say: named, refused, and read from somebody else.

use amn_core::source::{ChainSource as _, SourceError};
use amn_soroban::testkit::Fault;
use amn_soroban::testkit::tamper::{ALL, Must};

use super::stand::*;

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

#[tokio::test]
async fn whatever_one_does_to_a_ledger_nobody_is_paid_by_it_and_the_other_is_read() {
    let mut seen = 0;
    for tamper in ALL.iter() {
        let stand = stand(2, 0).await;
        let closed = stand.pay(9_000_000);
        stand.pass(1);
        let sequence = u32::try_from(closed.at.height.0).unwrap();
        if tamper.apply(&closed.bytes(), stand.network.network_id).is_none() {
            continue;
        }
        stand.nodes[0].fault(Fault::Tampered(sequence, tamper));
        seen += 1;
        let mut on = stand.at(sequence - 1);
        let end = stand.at(sequence + 1);
        let mut amounts = Vec::new();
        for _ in 0..4 {
            match stand.standing_on(on, end.height).await {
                Ok(segment) => {
                    on = segment.tip.at;
                    amounts.extend(paid(&segment.blocks));
                }
                Err(SourceError::Malformed(_) | SourceError::NotYet(_)) => {}
                Err(other) => panic!("{}: {other}", tamper.name),
            }
            if on == end {
                break;
            }
        }
        match tamper.must {
            Must::Refused(_) => {
                assert_eq!((on, amounts), (end, vec![9_000_000]), "{}", tamper.name);
                assert!(!stand.distrusted("a").is_empty(), "{}", tamper.name);
            }
            Must::Harmless(_) => {
                assert_eq!((on, amounts), (end, vec![9_000_000]), "{}", tamper.name);
            }
            // Two operators, two ledgers, and no validators that we know: nobody can tell, and nothing moves.
            Must::Disowned(_) => {
                let honest = amounts.is_empty() || amounts == [9_000_000];
                assert!(honest, "{}: {amounts:?}", tamper.name);
            }
        }
    }
    assert!(seen >= 15, "only {seen} ways change a plain payment");
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
        stand.nodes.iter().for_each(|node| node.heal());
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
