//! A source before nodes that serve, lag, fork, refuse and lie.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use amn_core::block::{BlockRef, Header, Height, Inclusion, Kind, NetworkId, Operator, TransferId};
use amn_core::money::Amount;
use amn_core::source::{ChainSource as _, Coverage, Position, SourceError};
use amn_evm::networks::{Contract, EvmNetwork, TokenEntry};
use amn_evm::source::EvmSource;
use amn_evm::testkit::{Call, History, Node, Reply, Script};
use amn_rpc::{EndpointConfig, Pool};
use serde_json::{Value, json};

use crate::support::{PAYER, SHOP, TOKEN, real, watch};

const CHAIN: u64 = 31337;

pub fn devnet() -> EvmNetwork {
    let token =
        TokenEntry { symbol: "TST".to_owned(), address: Contract(TOKEN), decimals: 6, min_amount: Amount::new(1) };
    EvmNetwork::shipped("devnet").unwrap().unwrap().with_tokens("test", &[token]).unwrap()
}

/// A source on these nodes, each run by an operator of its own: a, b, c …
pub fn source_of(network: EvmNetwork, nodes: &[&Node]) -> EvmSource {
    let endpoints = nodes.iter().zip('a'..).map(|(node, name)| {
        EndpointConfig::new(name.to_string(), node.url().as_str(), Operator::new(name.to_string()))
    });
    EvmSource::new(Pool::new(NetworkId::new("devnet"), endpoints.collect()).unwrap(), network)
}

pub fn source(nodes: &[&Node]) -> EvmSource {
    source_of(devnet(), nodes)
}

/// Two empty blocks, then a block that pays the shop 25.
fn paid() -> History {
    let mut history = History::new(CHAIN);
    history.decimals.insert(TOKEN, 6);
    history.extend(&[]);
    history.extend(&[Call::native(PAYER, 5)]);
    history.extend(&[Call::token(TOKEN, PAYER, 7), Call::token(TOKEN, SHOP, 25)]);
    history
}

pub fn at(history: &History, height: u64) -> BlockRef {
    history.blocks[&height].at
}

pub fn standing_on(tip: BlockRef) -> Position {
    Position { tip, checkpoint: Vec::new() }
}

pub fn operators(names: &[&str]) -> std::collections::BTreeSet<Operator> {
    names.iter().map(Operator::new).collect()
}

/// Lets the node change its answer to one method, parsed.
pub fn lying(method: &'static str, change: impl Fn(&Value, &mut Value) + Send + Sync + 'static) -> Script {
    Arc::new(move |called, params, honest| match honest {
        Reply::Result(text) if called == method => {
            let mut result: Value = serde_json::from_str(&text).unwrap();
            change(params, &mut result);
            Reply::Result(result.to_string())
        }
        honest => honest,
    })
}

pub fn distrusted(source: &EvmSource) -> Vec<Option<String>> {
    source.pool().endpoints().iter().map(|endpoint| endpoint.distrusted()).collect()
}

#[tokio::test]
async fn a_payment_near_the_tip_is_read_and_proven() {
    let history = paid();
    let node = Node::serve(history.clone()).await.unwrap();
    let source = source(&[&node]);
    let segment = source.segment(&standing_on(at(&history, 0)), Height(99), None, &watch(&[SHOP])).await.unwrap();
    assert_eq!((segment.coverage, segment.tip.at, segment.blocks.len()), (Coverage::Linked, at(&history, 3), 3));
    let block = &segment.blocks[2];
    assert_eq!(block.evidence.inclusion, Inclusion::Proven);
    assert_eq!(block.evidence.operators, operators(&["a"]));
    let [payment] = block.transfers.as_slice() else { panic!("{block:?}") };
    assert_eq!((payment.amount, payment.id.kind, payment.id.index), (Amount::new(25), Kind::Token, 0));
    assert_eq!(node.calls("eth_getBlockReceipts"), 1, "blooms show that the other blocks hold nothing");
}

#[tokio::test]
async fn native_money_and_proxies_are_read_with_whole_transactions() {
    let mut network = devnet();
    let proxy = Address::repeat_byte(0x72);
    network.registry.native_proxies.insert(proxy);
    let mut history = History::new(CHAIN);
    let reference = B256::repeat_byte(5);
    history.extend(&[
        Call::native(SHOP, 5),
        Call::native(SHOP, 6).failing(),
        Call::through_native_proxy(proxy, SHOP, 8, reference),
    ]);
    let node = Node::serve(history.clone()).await.unwrap();
    let source = source_of(network, &[&node]);
    let segment = source.segment(&standing_on(at(&history, 0)), Height(9), None, &watch(&[SHOP])).await.unwrap();
    let block = &segment.blocks[0];
    let paid: Vec<_> = block.transfers.iter().map(|t| (t.id.kind, t.amount.units())).collect();
    assert_eq!(paid, [(Kind::Native, 5), (Kind::Proxy, 8)]);
    assert_eq!(block.evidence.inclusion, Inclusion::Proven);
}

#[tokio::test]
async fn who_changes_a_block_is_distrusted_and_the_next_is_asked_in_the_same_call() {
    let amount = lying("eth_getBlockReceipts", |_, receipts| {
        receipts[1]["logs"][0]["data"] = json!(format!("0x{:064x}", 25_000));
    });
    let dropped = lying("eth_getBlockReceipts", |_, receipts| {
        receipts[1]["logs"].as_array_mut().unwrap().clear();
    });
    let invented = lying("eth_getBlockReceipts", |_, receipts| {
        let mut log = receipts[1]["logs"][0].clone();
        log["logIndex"] = json!("0x2");
        receipts[1]["logs"].as_array_mut().unwrap().push(log);
    });
    let short = lying("eth_getBlockReceipts", |_, receipts| drop(receipts.as_array_mut().unwrap().pop()));
    let header = lying("eth_getBlockByNumber", |_, block| block["gasUsed"] = json!("0x1"));
    let no_bloom = lying("eth_getBlockByNumber", |_, block| {
        block["logsBloom"] = json!(format!("0x{}", "0".repeat(512)));
    });
    for script in [amount, dropped, invented, short, header, no_bloom] {
        let history = paid();
        let (liar, honest) = (Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap());
        liar.script(Some(script));
        let source = source(&[&liar, &honest]);
        let on = standing_on(at(&history, 0));
        let segment = source.segment(&on, Height(99), None, &watch(&[SHOP])).await.unwrap();
        assert_eq!(segment.operators, operators(&["b"]));
        assert_eq!(segment.blocks[2].transfers[0].amount, Amount::new(25));
        let reasons = distrusted(&source);
        let [Some(reason), None] = reasons.as_slice() else { panic!("the liar is believed: {reasons:?}") };
        println!("distrusted: {reason}");
        honest.script(Some(Arc::new(|_, _, _| Reply::Status(503, String::new()))));
        let alone = source.segment(&on, Height(99), None, &watch(&[SHOP])).await.unwrap_err();
        assert!(matches!(alone, SourceError::Unavailable(_)), "{alone}");
    }
}

#[tokio::test]
async fn when_every_node_contradicts_itself_it_is_an_error_and_not_an_empty_block() {
    let history = paid();
    let node = Node::serve(history.clone()).await.unwrap();
    node.script(Some(lying("eth_getBlockReceipts", |_, receipts| drop(receipts.as_array_mut().unwrap().pop()))));
    let source = source(&[&node]);
    let error = source.segment(&standing_on(at(&history, 0)), Height(9), None, &watch(&[SHOP])).await.unwrap_err();
    assert!(matches!(error, SourceError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn a_node_that_is_behind_is_not_a_fork() {
    let history = paid();
    let mut behind = history.clone();
    behind.rewind(1);
    let (slow, fast) = (Node::serve(behind).await.unwrap(), Node::serve(history.clone()).await.unwrap());
    let on = standing_on(at(&history, 2));
    let both = source(&[&slow, &fast]);
    let segment = both.segment(&on, Height(3), None, &watch(&[SHOP])).await.unwrap();
    assert_eq!(segment.operators, operators(&["b"]));
    let alone = source(&[&slow]).segment(&on, Height(3), None, &watch(&[SHOP])).await.unwrap_err();
    assert!(matches!(alone, SourceError::NotYet(_)), "{alone}");
    let at_tip = source(&[&fast]).segment(&standing_on(at(&history, 3)), Height(3), None, &watch(&[])).await;
    assert!(matches!(at_tip, Err(SourceError::NotYet(_))), "{at_tip:?}");
}

#[tokio::test]
async fn a_chain_that_no_longer_holds_our_block_is_a_fork_at_any_length() {
    let old = paid();
    for new_length in [2, 3, 4] {
        let mut history = old.clone();
        history.rewind(1);
        history.pass(new_length - 1);
        let node = Node::serve(history).await.unwrap();
        let source = source(&[&node]);
        let on = standing_on(at(&old, 2));
        let error = source.segment(&on, Height(new_length), None, &watch(&[SHOP])).await.unwrap_err();
        assert_eq!(error, SourceError::Forked(on.tip), "the new branch ends at {new_length}");
        let header = source.header_at(Height(1)).await.unwrap();
        assert_eq!(header.at, at(&old, 1), "walking back finds the common ancestor");
    }
}

#[tokio::test]
async fn heads_are_blocks_and_never_go_back() {
    let mut history = paid();
    (history.safe, history.finalized) = (Some(2), Some(1));
    let mut behind = history.clone();
    behind.rewind(2);
    let (fast, slow) = (Node::serve(history.clone()).await.unwrap(), Node::serve(behind).await.unwrap());
    let source = source(&[&fast, &slow]);
    let head = source.head().await.unwrap();
    assert_eq!(
        (head.tip.at, head.safe, head.finalized),
        (at(&history, 3), Some(at(&history, 2)), Some(at(&history, 1)))
    );
    fast.script(Some(Arc::new(|_, _, _| Reply::Error(-32601, "the method is not available".to_owned()))));
    let head = source.head().await.unwrap();
    assert_eq!(head.tip.at, at(&history, 2), "the only one that answers");
    fast.script(None);
    assert_eq!(source.head().await.unwrap().tip.at, at(&history, 3));
}

#[tokio::test]
async fn a_node_without_tags_has_a_head_without_tags() {
    let node = Node::serve(paid()).await.unwrap();
    node.script(Some(Arc::new(|_, params: &Value, honest| match params[0].as_str() {
        Some("safe" | "finalized") => Reply::Error(-39001, "finalized block not found".to_owned()),
        _ => honest,
    })));
    let head = source(&[&node]).head().await.unwrap();
    assert_eq!((head.tip.at.height, head.safe, head.finalized), (Height(3), None, None));
}

#[tokio::test]
async fn whoever_speaks_of_another_chain_is_not_used() {
    let (right, wrong) = (Node::serve(paid()).await.unwrap(), Node::serve(History::new(5)).await.unwrap());
    let both = source(&[&wrong, &right]);
    let identity = both.probe().await.unwrap();
    assert_eq!(identity.chain, "eip155:31337");
    assert_eq!(identity.decimals.values().copied().collect::<Vec<_>>(), [6]);
    assert!(distrusted(&both)[0].as_ref().unwrap().contains("eip155:5"));
    let alone = source(&[&wrong]).probe().await.unwrap_err();
    assert!(matches!(&alone, SourceError::Unsupported(why) if why.contains("eip155:5")), "{alone}");
}

#[tokio::test]
async fn a_token_that_is_none_on_chain_stops_the_start() {
    let node = Node::serve(History::new(CHAIN)).await.unwrap();
    let error = source(&[&node]).probe().await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported(why) if why.contains("TST")), "{error}");
}

#[tokio::test]
async fn every_operator_says_what_it_has_at_a_height() {
    let history = paid();
    let mut behind = history.clone();
    behind.rewind(2);
    let mut other = history.clone();
    other.rewind(2);
    other.extend(&[]);
    let nodes = [
        Node::serve(history.clone()).await.unwrap(),
        Node::serve(behind).await.unwrap(),
        Node::serve(other.clone()).await.unwrap(),
        Node::serve(history.clone()).await.unwrap(),
    ];
    nodes[3].script(Some(Arc::new(|_, _, _| Reply::Status(503, String::new()))));
    let source = source(&nodes.each_ref());
    let tip = source.header_at(Height(3)).await.unwrap();
    let vouchers = source.vouch(&tip).await.unwrap();
    let said: Vec<_> = vouchers.iter().map(|v| (v.operator.as_str(), v.block)).collect();
    assert_eq!(said, [("a", at(&history, 3)), ("b", at(&history, 2)), ("c", at(&other, 3))]);
    assert!(distrusted(&source).iter().all(Option::is_none), "a fork at the tip condemns nobody");
}

#[tokio::test]
async fn a_self_consistent_forged_child_earns_one_operator_and_then_distrust() {
    let honest = paid();
    let mut forged = honest.clone();
    forged.rewind(2);
    forged.extend(&[Call::token(TOKEN, SHOP, 1_000_000)]);
    let (liar, b, c) = (
        Node::serve(forged.clone()).await.unwrap(),
        Node::serve(honest.clone()).await.unwrap(),
        Node::serve(honest.clone()).await.unwrap(),
    );
    let source = source(&[&liar, &b, &c]);
    let segment = source.segment(&standing_on(at(&honest, 2)), Height(3), None, &watch(&[SHOP])).await.unwrap();
    assert_eq!(segment.blocks[0].transfers[0].amount, Amount::new(1_000_000), "it proves itself");
    assert_eq!(segment.operators, operators(&["a"]), "and is one operator's word");
    let vouchers = source.vouch(&segment.tip).await.unwrap();
    assert_eq!(vouchers.iter().filter(|v| v.block == segment.tip.at).count(), 1);
    for node in [&b, &c] {
        node.history().pass(3);
    }
    assert!(!source.arbitrate(segment.tip.at).await, "two others contradict it");
    let reason = distrusted(&source)[0].clone().unwrap();
    assert!(reason.contains("insists on block 3") && reason.contains("2 operators have"), "{reason}");
    let error = source.segment(&standing_on(segment.tip.at), Height(6), None, &watch(&[SHOP])).await.unwrap_err();
    assert_eq!(error, SourceError::Forked(segment.tip.at));
}

/// Two nodes with a branch each above block 2, and a source on both.
async fn divided() -> (Node, Node, EvmSource) {
    let old = paid();
    let (left, right) = (Node::serve(old.clone()).await.unwrap(), Node::serve(old).await.unwrap());
    right.history().rewind(2);
    right.history().pass(1);
    let source = source(&[&left, &right]);
    (left, right, source)
}

#[tokio::test]
async fn who_stands_still_on_a_block_that_others_have_left_is_distrusted_and_length_decides_nothing() {
    let (still, growing, source) = divided().await;
    still.history().pass(20);
    let contested = at(&growing.history(), 3);
    assert!(!source.arbitrate(contested).await, "one against one");
    for _ in 0..3 {
        assert_eq!(distrusted(&source), [None, None]);
        growing.history().pass(1);
        source.arbitrate(contested).await;
    }
    assert!(source.arbitrate(contested).await);
    let reasons = distrusted(&source);
    let [Some(reason), None] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert!(reason.contains("insists on block 3") && reason.contains("while b goes on"), "{reason}");
}

#[tokio::test]
async fn where_both_sides_grow_or_neither_does_nobody_is_distrusted() {
    let (left, right, source) = divided().await;
    let contested = at(&left.history(), 3);
    for grows in [true, true, true, true, true, false, false, false] {
        if grows {
            left.history().pass(2);
            right.history().pass(1);
        }
        assert!(!source.arbitrate(contested).await);
    }
    assert_eq!(distrusted(&source), [None, None]);
}

#[tokio::test]
async fn who_changes_branches_with_the_others_is_read_from_again_and_was_never_distrusted() {
    let (slow, b, _) = divided().await;
    let c = Node::share(b.history.clone()).await.unwrap();
    let source = source(&[&slow, &b, &c]);
    let fork = standing_on(at(&slow.history(), 2));
    let contested = at(&slow.history(), 3);
    assert!(!source.arbitrate(contested).await, "two stand against it");
    assert_eq!(distrusted(&source), [None, None, None], "a natural fork is one block deep");
    b.history().pass(1);
    let segment = source.segment(&fork, Height(9), None, &watch(&[])).await.unwrap();
    // Which of the two is read from is a matter of how fast they are.
    assert!(
        [operators(&["b"]), operators(&["c"])].contains(&segment.operators),
        "nothing is read from who is outvoted"
    );
    b.history().pass(5);
    *slow.history() = b.history().clone();
    source.head().await.unwrap();
    assert_eq!(distrusted(&source), [None, None, None]);
    for other in [&b, &c] {
        other.script(Some(Arc::new(|_, _, _| Reply::Status(503, String::new()))));
    }
    let segment = source.segment(&fork, Height(3), None, &watch(&[])).await.unwrap();
    assert_eq!(segment.operators, operators(&["a"]), "it came round");
}

#[tokio::test]
async fn an_endpoint_that_stands_still_does_not_hold_us() {
    let history = paid();
    let mut grown = history.clone();
    grown.rewind(2);
    grown.pass(4);
    let (still, alive) = (Node::serve(history.clone()).await.unwrap(), Node::serve(grown.clone()).await.unwrap());
    let patient = source(&[&still, &alive]);
    for _ in 0..3 {
        assert_eq!(patient.head().await.unwrap().tip.at, at(&history, 3), "a block may take its time");
    }
    let mut network = devnet();
    Arc::make_mut(&mut network.facts).block_time_ms = 0;
    let source = source_of(network, &[&still, &alive]);
    assert_eq!(source.head().await.unwrap().tip.at, at(&history, 3));
    assert_eq!(source.head().await.unwrap().tip.at, at(&grown, 6));
    let on = standing_on(at(&history, 3));
    let error = source.segment(&on, Height(6), None, &watch(&[SHOP])).await.unwrap_err();
    assert_eq!(error, SourceError::Forked(on.tip));
    let there = source.header_at(Height(3)).await.unwrap();
    assert_eq!(there.at, at(&grown, 3), "one walks back along the branch that was announced");
}

#[tokio::test]
async fn evidence_is_bettered_by_reading_again() {
    let history = paid();
    let (a, b) = (Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap());
    let source = source(&[&a, &b]);
    let on = standing_on(at(&history, 0));
    let segment = source.segment(&on, Height(3), None, &watch(&[SHOP])).await.unwrap();
    let id = segment.blocks[2].transfers[0].id;
    let block = segment.tip.at;
    let unknown = TransferId { tx: amn_core::block::Hash([9; 32]), ..id };
    let gone = BlockRef { hash: amn_core::block::Hash([9; 32]), ..block };
    let proven = source.prove(&[(id, block), (unknown, block), (id, gone)]).await.unwrap();
    let [(proven_id, proven_block, evidence)] = proven.as_slice() else { panic!("{proven:?}") };
    assert_eq!((*proven_id, *proven_block), (id, block));
    assert_eq!((evidence.inclusion, evidence.operators.clone()), (Inclusion::Proven, operators(&["a", "b"])));
}

#[tokio::test]
async fn a_node_without_block_receipts_is_asked_for_each() {
    let history = paid();
    let node = Node::serve(history.clone()).await.unwrap();
    node.script(Some(Arc::new(|method, _, honest| match method {
        "eth_getBlockReceipts" => Reply::Error(-32601, "the method eth_getBlockReceipts does not exist".to_owned()),
        _ => honest,
    })));
    let on = standing_on(at(&history, 0));
    let segment = source(&[&node]).segment(&on, Height(3), None, &watch(&[SHOP])).await.unwrap();
    assert_eq!(segment.blocks[2].evidence.inclusion, Inclusion::Proven);
    assert_eq!(segment.blocks[2].transfers.len(), 1);
}

#[tokio::test]
async fn empty_receipts_of_a_block_with_transactions_are_no_answer() {
    let history = paid();
    let node = Node::serve(history.clone()).await.unwrap();
    node.script(Some(lying("eth_getBlockReceipts", |_, receipts| receipts.as_array_mut().unwrap().clear())));
    let source = source(&[&node]);
    let segment = source.segment(&standing_on(at(&history, 0)), Height(3), None, &watch(&[SHOP])).await.unwrap();
    assert_eq!(segment.tip.at, at(&history, 2), "what stands before it is whole");
    assert_eq!(distrusted(&source), [None], "nodes do this for a moment after a block appears");
    node.script(None);
    let segment = source.segment(&standing_on(at(&history, 2)), Height(3), None, &watch(&[SHOP])).await.unwrap();
    assert_eq!(segment.blocks[0].transfers.len(), 1);
}

#[tokio::test]
async fn balances_are_those_of_the_block() {
    let mut history = paid();
    history.balances.insert(SHOP, U256::from(2_000));
    let node = Node::serve(history.clone()).await.unwrap();
    let addresses = [SHOP, PAYER].map(|raw| amn_evm::address::spell(raw.0.0));
    let balances = source(&[&node]).balances(&addresses, at(&history, 3)).await.unwrap();
    assert_eq!(balances, [Amount::new(2_000), Amount::ZERO]);
    let traced = source(&[&node]).internal_transfers(&addresses, at(&history, 3)).await;
    assert!(matches!(traced, Err(SourceError::Unsupported(_))), "{traced:?}");
}

#[tokio::test]
async fn money_moved_inside_a_call_is_found_in_a_trace() {
    let mut history = History::new(CHAIN);
    let contract = Address::repeat_byte(0x55);
    history.extend(&[Call::with_logs(contract, Vec::new())]);
    let node = Node::serve(history.clone()).await.unwrap();
    node.script(Some(Arc::new(move |method, _, honest| match method {
        "debug_traceBlockByHash" => Reply::Result(
            json!([{ "result": { "type": "CALL", "from": PAYER, "to": contract, "value": "0x0", "calls": [
                { "type": "CALL", "from": contract, "to": SHOP, "value": "0x7d0", "calls": [] } ] } }])
            .to_string(),
        ),
        _ => honest,
    })));
    let shop = amn_evm::address::spell(SHOP.0.0);
    let block = source(&[&node]).internal_transfers(&[shop], at(&history, 1)).await.unwrap();
    let [moved] = block.transfers.as_slice() else { panic!("{block:?}") };
    assert_eq!((moved.amount.units(), moved.id.kind, moved.id.index), (2_000, Kind::Internal, 1));
    assert_eq!(block.evidence.inclusion, Inclusion::Reported);
}

#[tokio::test]
async fn ten_real_recipients_of_block_21925176_are_paid_exactly_and_proven() {
    let (Some(block), Some(receipts)) = (real("ethereum-21925176.block.json"), real("ethereum-21925176.receipts.json"))
    else {
        return;
    };
    let parent: B256 = block["parentHash"].as_str().unwrap().parse().unwrap();
    let checkpoint = BlockRef { height: Height(21_925_175), hash: amn_core::block::Hash(parent.0) };
    let mut history = History::on(1, checkpoint, 0);
    history.append_real(&block, &receipts).unwrap();
    history.pass(12);
    let network = EvmNetwork::shipped("ethereum").unwrap().unwrap();
    let (mut expected, mut shops) = (Vec::new(), Vec::new());
    for symbol in ["USDT", "USDC"] {
        let asset = network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap().clone();
        let contract = Address::from(amn_evm::address::contract_of(&asset.id).unwrap());
        let logs = receipts.as_array().unwrap().iter().flat_map(|receipt| receipt["logs"].as_array().unwrap());
        let paid = logs.filter_map(|log| {
            let topic = |at: usize| log["topics"].get(at)?.as_str()?.parse::<B256>().ok();
            // Approvals have the same shape.
            let to = topic(2).filter(|_| topic(0) == Some(amn_evm::decode::TRANSFER))?;
            let ours = log["address"].as_str()?.parse() == Ok(contract);
            let amount = u128::from_str_radix(log["data"].as_str()?.get(2..)?, 16).ok()?;
            (ours && amount >= asset.min_amount.units()).then(|| (Address::from_word(to), amount))
        });
        for (to, amount) in paid {
            // Five recipients of each token.
            if !shops.contains(&to) && shops.len() < if symbol == "USDT" { 5 } else { 10 } {
                shops.push(to);
            }
            expected.push((asset.id.clone(), to, amount));
        }
    }
    assert_eq!(shops.len(), 10);
    expected.retain(|(_, to, _)| shops.contains(to));
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history).await.unwrap()];
    let mut tokens_only = amn_core::source::Watch::new(amn_core::source::WatchVersion(1));
    for shop in &shops {
        tokens_only.insert(shop.as_slice(), false);
    }
    let source = source_of(network, &nodes.each_ref());
    let segment = source.segment(&standing_on(checkpoint), Height(21_925_188), None, &tokens_only).await.unwrap();
    assert_eq!(segment.blocks.len(), 13);
    let block = &segment.blocks[0];
    assert_eq!(block.evidence.inclusion, Inclusion::Proven);
    let mut credited: Vec<_> = block
        .transfers
        .iter()
        .map(|t| (t.asset.clone(), amn_evm::address::parse(t.to.as_str()).unwrap().1.into(), t.amount.units()))
        .collect();
    credited.sort();
    expected.sort();
    assert_eq!(credited, expected);
    let header = Header { ..block.header };
    let vouchers = source.vouch(&header).await.unwrap();
    assert!(vouchers.iter().all(|v| v.block == header.at) && vouchers.len() == 2);
}

/// Gives the second transaction another name, in blocks and receipts alike, and names only.
fn renaming() -> Script {
    Arc::new(|method, _, honest| {
        let Reply::Result(text) = honest else { return honest };
        let mut result: Value = serde_json::from_str(&text).unwrap();
        let false_name = json!(B256::repeat_byte(0x99));
        match method {
            "eth_getBlockByNumber" => {
                for transaction in result["transactions"].as_array_mut().into_iter().flatten() {
                    *transaction = transaction.get("hash").unwrap_or(transaction).clone();
                }
                if let Some(second) = result["transactions"].get_mut(1) {
                    *second = false_name;
                }
            }
            "eth_getBlockReceipts" => {
                result[1]["transactionHash"] = false_name.clone();
                for log in result[1]["logs"].as_array_mut().unwrap() {
                    log["transactionHash"] = false_name.clone();
                }
            }
            _ => {}
        }
        Reply::Result(result.to_string())
    })
}

#[tokio::test]
async fn true_receipts_under_a_false_name_are_refuted_by_whoever_shows_whole_transactions() {
    let history = paid();
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
    nodes[0].script(Some(renaming()));
    let source = source(&nodes.each_ref());
    let mut tokens = watch(&[]);
    tokens.insert(SHOP.as_slice(), false);
    let on = standing_on(at(&history, 0));
    let segment = source.segment(&on, Height(3), None, &tokens).await.unwrap();
    let block = &segment.blocks[2];
    assert_eq!((segment.operators, block.evidence.inclusion), (operators(&["b"]), Inclusion::Proven));
    assert_ne!(block.transfers[0].id.tx, amn_core::block::Hash([0x99; 32]));
    let reason = source.pool().endpoints()[0].distrusted().unwrap();
    assert_eq!(reason, "the transactions of block 3 do not have the names it gives");
    let source = self::source(&nodes.each_ref());
    nodes[0].script(Some(lying("eth_getBlockByNumber", |params, block| {
        if let (Some(false), Some(second)) = (params[1].as_bool(), block["transactions"].get_mut(1)) {
            *second = json!(B256::repeat_byte(0x99));
        }
    })));
    let segment = source.segment(&on, Height(3), None, &tokens).await.unwrap();
    assert_eq!(segment.operators, operators(&["b"]), "receipts and block name it differently");
    assert_eq!(segment.blocks[2].evidence.inclusion, Inclusion::Proven);
}

#[tokio::test]
async fn names_that_no_whole_transaction_shows_are_confirmed_by_another_operator() {
    let history = paid();
    let names_only = || {
        lying("eth_getBlockByNumber", |_, block| {
            for transaction in block["transactions"].as_array_mut().into_iter().flatten() {
                *transaction = transaction.get("hash").unwrap_or(transaction).clone();
            }
        })
    };
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history.clone()).await.unwrap()];
    nodes[0].script(Some(names_only()));
    nodes[1].script(Some(names_only()));
    let mut tokens = watch(&[]);
    tokens.insert(SHOP.as_slice(), false);
    let on = standing_on(at(&history, 0));
    let two = source(&nodes.each_ref());
    let segment = two.segment(&on, Height(3), None, &tokens).await.unwrap();
    assert_eq!(segment.blocks[2].evidence.inclusion, Inclusion::Proven);
    nodes[1].script(Some(Arc::new(|_, _, _| Reply::Status(503, String::new()))));
    let segment = source(&nodes.each_ref()).segment(&on, Height(3), None, &tokens).await.unwrap();
    assert_eq!(segment.blocks[2].evidence.inclusion, Inclusion::Reported, "nobody confirms them yet");
}

#[tokio::test]
async fn a_transaction_is_explained_whatever_it_moved() {
    let mut history = History::new(CHAIN);
    let fake = Address::repeat_byte(0x66);
    history.extend(&[Call::native(SHOP, 5), Call::token(fake, SHOP, 25), Call::token(TOKEN, SHOP, 30)]);
    let block: Value = serde_json::from_str(&history.blocks[&1].named).unwrap();
    let node = Node::serve(history.clone()).await.unwrap();
    let source = source(&[&node]);
    let mut seen = Vec::new();
    for name in block["transactions"].as_array().unwrap() {
        let explained = source.explain(name.as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(explained.block, at(&history, 1));
        let [moved] = explained.moves.as_slice() else { panic!("{explained:?}") };
        seen.push((moved.kind, moved.amount.clone(), moved.asset.is_some()));
    }
    let expected = [(Kind::Native, "5", true), (Kind::Token, "25", false), (Kind::Token, "30", true)];
    assert_eq!(seen, expected.map(|(kind, amount, listed)| (kind, amount.to_owned(), listed)));
    assert_eq!(source.explain(amn_core::block::Hash([9; 32])).await.unwrap(), None);
}
