//! Ethereum 21925176 as two honest nodes serve it, with synthetic children.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use amn_core::block::{BlockRef, Hash, Height};
use amn_core::id::IntentId;
use amn_evm::decode::TRANSFER;
use amn_evm::networks::EvmNetwork;
use amn_evm::testkit::{History, Node};
use serde_json::Value;

use crate::support::evm_scene::{EvmScene, real};

pub const HEIGHT: u64 = 21_925_176;
pub const USDT: &str = "0xdac17f958d2ee523a2206206994597c13d831ec7";
pub const USDC: &str = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";

/// The block, and what it holds.
pub struct Real {
    pub block: Value,
    pub receipts: Value,
    /// Five recipients of each of two tokens, with all that they got of it in the block.
    pub paid: Vec<(&'static str, Address, u128)>,
    /// Where the block's eight NFTs went.
    pub nft_owners: Vec<Address>,
}

impl Real {
    pub fn load() -> Option<Self> {
        let (block, receipts) = (real("ethereum-21925176.block.json")?, real("ethereum-21925176.receipts.json")?);
        let (mut sums, mut nft_owners) = (BTreeMap::<(&str, Address), u128>::new(), Vec::new());
        for log in receipts.as_array()?.iter().flat_map(|receipt| receipt["logs"].as_array().unwrap()) {
            let topics: Vec<B256> =
                log["topics"].as_array()?.iter().map(|t| t.as_str().unwrap().parse().unwrap()).collect();
            match (topics.as_slice(), log["address"].as_str()?) {
                ([topic, _, to], at) if *topic == TRANSFER && (at == USDT || at == USDC) => {
                    let symbol = if at == USDT { "USDT" } else { "USDC" };
                    let amount = u128::from_str_radix(log["data"].as_str()?.get(2..)?, 16).ok()?;
                    *sums.entry((symbol, Address::from_word(*to))).or_default() += amount;
                }
                ([topic, _, to, _], _) if *topic == TRANSFER => nft_owners.push(Address::from_word(*to)),
                _ => {}
            }
        }
        let mut paid: Vec<(&'static str, Address, u128)> = Vec::new();
        for symbol in ["USDT", "USDC"] {
            let of_token = sums.iter().filter(|((of, _), sum)| *of == symbol && **sum >= 1_000);
            let alone = |to: &Address| sums.keys().filter(|(_, other)| other == to).count() == 1;
            let five = of_token.filter(|((_, to), _)| alone(to) && !nft_owners.contains(to)).take(5);
            paid.extend(five.map(|((_, to), sum)| (symbol, *to, *sum)));
        }
        assert_eq!((paid.len(), nft_owners.len()), (10, 8));
        Some(Self { block, receipts, paid, nft_owners })
    }

    /// Its parent, which no node here serves: what the ledger begins at.
    pub fn checkpoint(&self) -> BlockRef {
        let parent: B256 = self.block["parentHash"].as_str().unwrap().parse().unwrap();
        BlockRef { height: Height(HEIGHT - 1), hash: Hash(parent.0) }
    }

    /// A chain that holds the block.
    pub fn history(&self) -> History {
        let mut history = History::on(1, self.checkpoint(), 0);
        history.append_real(&self.block, &self.receipts).unwrap();
        history
    }

    pub async fn scene(&self, nodes: &[&Node]) -> EvmScene {
        EvmScene::on(EvmNetwork::shipped("ethereum").unwrap().unwrap(), Some(self.checkpoint()), nodes).await
    }

    /// An intent for each of the ten payments, in their order.
    pub async fn intents(&self, scene: &EvmScene) -> Vec<IntentId> {
        let mut intents = Vec::new();
        for (symbol, to, amount) in &self.paid {
            intents.push(scene.intent(symbol, *to, *amount).await);
        }
        intents
    }
}

/// The shipped policy asks for two minutes of chain time; synthetic children are a second apart.
pub const CHILDREN: u64 = 125;

#[tokio::test]
async fn five_usdt_and_five_usdc_payments_are_confirmed_exactly_and_proven_by_two_and_nfts_pay_nobody() {
    let Some(real) = Real::load() else { return };
    let mut history = real.history();
    history.pass(CHILDREN);
    history.finalized = Some(HEIGHT + 1);
    let nodes = [Node::serve(history.clone()).await.unwrap(), Node::serve(history).await.unwrap()];
    let mut scene = real.scene(&nodes.each_ref()).await;
    let intents = real.intents(&scene).await;
    let mut nfts = Vec::new();
    for owner in real.nft_owners.iter().collect::<BTreeSet<_>>() {
        nfts.push(scene.intent("USDT", *owner, 1_000).await);
    }
    scene.catch_up().await;
    for (intent, (symbol, to, amount)) in intents.iter().zip(&real.paid) {
        let bodies = scene.bodies(*intent).await;
        let events: Vec<_> = bodies.iter().map(|body| body["event"].as_str().unwrap()).collect();
        assert_eq!(events.last(), Some(&"payment.confirmed"), "{symbol} to {to}: {events:?}");
        assert!(events[..events.len() - 1].iter().all(|event| *event == "payment.detected"), "{events:?}");
        let last = bodies.last().unwrap();
        assert_eq!(last["intent"]["settled"], amount.to_string(), "{symbol} to {to}");
        assert_eq!((&last["intent"]["excess"], &last["intent"]["status"]), (&"0".into(), &"confirmed".into()));
        for deposit in last["deposits"].as_array().unwrap() {
            assert_eq!(deposit["evidence"]["inclusion"], "proven");
            assert_eq!(deposit["evidence"]["operators"], 2);
            assert_eq!(deposit["block"]["hash"], real.block["hash"]);
        }
    }
    for intent in nfts {
        assert_eq!((scene.status(intent).await, scene.events(intent).await), ("awaiting".to_owned(), Vec::new()));
    }
    assert_eq!(scene.distrusted(), [None, None]);
}
