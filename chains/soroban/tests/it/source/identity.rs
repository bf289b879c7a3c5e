//! Who a node is, at the start and each time it comes back.

use std::sync::Arc;
use std::time::Duration;

use amn_core::source::{ChainSource as _, SourceError};
use amn_soroban::testkit::{Fault, Reply};
use serde_json::json;
use stellar_xdr::{
    ContractDataDurability, ContractDataEntry, ContractExecutable, ContractId, ExtensionPoint, Hash, LedgerEntryData,
    Limits, ScAddress, ScContractInstance, ScMap, ScMapEntry, ScSymbol, ScVal, WriteXdr as _,
};

use super::stand::*;
use crate::support::token_entry;

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

#[tokio::test]
async fn a_protocol_beyond_this_binary_stops_us_at_the_start_where_nobody_speaks_an_older_one() {
    for operators in [1, 2, 3] {
        let stand = stand(operators, 0).await;
        // Of three, two are enough: whoever lags still speaks the older one.
        stand.nodes.iter().take(2).for_each(|node| node.fault(Fault::Protocol(31)));
        let error = stand.source.probe().await.unwrap_err();
        assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("protocol 31")), "{error}");
        let error = stand.source.head().await.unwrap_err();
        assert!(matches!(error, SourceError::Unsupported(_)), "{operators}: {error}");
        assert_eq!(stand.source.nodes()[0].protocol, Some(31));
    }
}

#[tokio::test]
async fn one_who_alone_speaks_of_a_newer_protocol_is_left_out_and_stops_nobody() {
    for liar in 0..2 {
        let stand = stand(3, 0).await;
        stand.nodes[liar].fault(Fault::Protocol(31));
        stand.source.probe().await.unwrap();
        let name = ["a", "b"][liar];
        assert!(stand.distrusted(name).contains("speaks protocol 31"), "{}", stand.distrusted(name));
        let segment = stand.on(1_005).await.unwrap();
        assert_eq!((segment.tip.at, segment.operators.len()), (stand.at(1_010), 2));
        assert!(!segment.operators.iter().any(|operator| operator.as_str() == name));
    }
}

#[tokio::test]
async fn nodes_that_come_back_with_a_newer_protocol_stop_us_and_with_an_older_one_go_on() {
    let stand = stand(2, 0).await;
    stand.source.probe().await.unwrap();
    stand.source.head().await.unwrap();
    let away = async |node: usize| {
        stand.nodes[node].fault(Fault::GatewayTimeout);
        for _ in 0..6 {
            let _unused = stand.source.head().await;
            stand.pass(1);
        }
        stand.nodes[node].heal();
        stand.nodes[node].fault(Fault::Protocol(31));
        stand.clock.advance(Duration::from_secs(11));
        let mut last = None;
        for _ in 0..3 {
            last = stand.source.head().await.err();
        }
        last
    };
    // The first is alone with it.
    let error = away(0).await;
    assert!(!matches!(error, Some(SourceError::Unsupported(_))), "{error:?}");
    assert!(stand.distrusted("a").contains("speaks protocol 31"));
    let error = away(1).await;
    assert!(matches!(&error, Some(SourceError::Unsupported(why)) if why.contains("protocol 31")), "{error:?}");
    // They were mistaken.
    stand.nodes.iter().for_each(amn_soroban::testkit::Node::heal);
    stand.clock.advance(Duration::from_secs(601));
    let mut head = stand.source.head().await;
    for _ in 0..3 {
        head = stand.source.head().await;
    }
    let newest = stand.history().tip().unwrap().at;
    assert_eq!(head.unwrap().tip.at, newest);
}

#[tokio::test]
async fn a_ledger_beyond_this_binary_halts_where_the_one_who_announced_it_was_left_out() {
    let stand = stand(2, 0).await;
    stand.nodes[0].fault(Fault::Protocol(31));
    stand.source.probe().await.unwrap();
    // The other lagged when it was asked, and now has it too.
    stand.nodes[1].fault(Fault::Newer(1_008));
    let error = stand.on(1_007).await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("a says")), "{error}");
}

/// The entry of a token's contract, as a node gives it.
fn entry_of(contract: [u8; 32], code: [u8; 32], decimal: u32) -> String {
    use base64::Engine as _;
    let symbol = |text: &str| ScVal::Symbol(ScSymbol(text.try_into().unwrap()));
    let map = |entries: Vec<ScMapEntry>| ScMap(entries.try_into().unwrap());
    let metadata = map(vec![ScMapEntry { key: symbol("decimal"), val: ScVal::U32(decimal) }]);
    let storage = map(vec![ScMapEntry { key: symbol("METADATA"), val: ScVal::Map(Some(metadata)) }]);
    let instance = ScContractInstance { executable: ContractExecutable::Wasm(Hash(code)), storage: Some(storage) };
    let data = LedgerEntryData::ContractData(ContractDataEntry {
        ext: ExtensionPoint::V0,
        contract: ScAddress::Contract(ContractId(Hash(contract))),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
        val: ScVal::ContractInstance(instance),
    });
    base64::engine::general_purpose::STANDARD.encode(data.to_xdr(Limits::none()).unwrap())
}

#[tokio::test]
async fn a_token_that_is_only_a_contract_must_run_the_code_that_is_pinned_and_says_its_decimals() {
    let contract = [0x7c; 32];
    for (code, decimal, of_b, right) in
        [([0; 32], 7, 7, true), ([0; 32], 9, 9, true), ([1; 32], 7, 7, false), ([0; 32], 7, 9, false)]
    {
        let mut stand = stand(2, 0).await;
        stand.network = stand.network.clone().with_assets("the test", &[], &[token_entry(contract)]).unwrap();
        stand.source = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
        for (node, decimal) in stand.nodes.iter().zip([decimal, of_b]) {
            let xdr = entry_of(contract, code, decimal);
            node.script(Some(Arc::new(move |method, params, reply| match method {
                "getLedgerEntries" => {
                    let entry = json!({ "key": params["keys"][0], "xdr": xdr, "lastModifiedLedgerSeq": 7 });
                    Reply::Result(json!({ "entries": [entry], "latestLedger": 1_010 }).to_string())
                }
                _ => reply,
            })));
        }
        let identity = stand.source.probe().await;
        let token = &stand.network.registry.contracts[&contract].asset;
        match identity {
            Ok(identity) => assert!(right && u32::from(identity.decimals[token]) == decimal),
            Err(error) => assert!(!right && matches!(error, SourceError::Unsupported(_)), "{error}"),
        }
    }
    // A node that cannot show it at all does not start the network.
    let mut stand = stand(1, 0).await;
    stand.network = stand.network.clone().with_assets("the test", &[], &[token_entry(contract)]).unwrap();
    stand.source = source(&stand.nodes, &stand.network, &stand.clock, |_| {});
    assert!(matches!(stand.source.probe().await, Err(SourceError::Unsupported(_))));
}
