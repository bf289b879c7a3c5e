//! The stage: one anvil, and what really happened on it, read from the chain itself.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use amn_core::block::{BlockRef, Hash, Height};
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts;
use serde_json::{Value, json};

use super::story::{Act, PAYERS, Payment};
use crate::support::play::free_port;

/// Seconds of chain time between blocks: Ethereum's, so that ten minutes of distrust are fifty blocks.
pub const BLOCK_SECONDS: i64 = 12;
/// Where the chain's time begins: the stage of anvil says so.
pub const BEGINNING: i64 = 1_800_000_000;

/// A payment as the chain has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mined {
    pub to: Address,
    pub amount: u128,
}

pub struct Stage {
    pub chain: Anvil,
    pub token: Address,
    payers: Vec<Address>,
    pub payees: Vec<Payee>,
    /// Every transaction that was ever mined, on whatever branch.
    pub ever: BTreeMap<B256, Mined>,
    /// Every block that was ever part of the chain.
    pub blocks: BTreeSet<B256>,
    /// The chain as it is: what each height holds.
    canonical: BTreeMap<u64, Vec<B256>>,
}

/// Where an intent is paid.
#[derive(Debug, Clone, Copy)]
pub struct Payee {
    pub address: Address,
    pub native: bool,
}

impl Stage {
    /// `native_every`: so many intents apart, one waits for native money.
    pub async fn new(intents: usize, native_every: Option<usize>) -> Self {
        // `finalized` lies 32 blocks below the head: no reorg of these stories reaches it.
        let rules = Rules { slots_in_an_epoch: 16, block_time: None };
        let chain = Anvil::start_at(free_port().await, rules).await.unwrap();
        chain.rpc("anvil_setBlockTimestampInterval", json!([BLOCK_SECONDS])).await.unwrap();
        let founder = chain.account(0).await.unwrap();
        let token = chain.deploy(founder, &contracts::token("USD Coin", "USDC", 6).unwrap()).await.unwrap();
        let mut payers = Vec::new();
        for index in 1..=PAYERS {
            let payer = chain.account(index).await.unwrap();
            chain.send(founder, token, &contracts::mint(payer, 1_000_000_000_000), 0).await.unwrap();
            payers.push(payer);
        }
        // Something final to stand on.
        chain.mine(40).await.unwrap();
        let payee = |number: usize| Payee {
            address: Address::left_padding_from(&(0xa000_0000_u64 + number as u64).to_be_bytes()),
            native: native_every.is_some_and(|every| number.is_multiple_of(every)),
        };
        let payees = (0..intents).map(payee).collect();
        let (ever, blocks, canonical) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { chain, token, payers, payees, ever, blocks, canonical }
    }

    pub async fn tip(&self) -> BlockRef {
        let block = self.chain.rpc("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
        BlockRef { height: Height(number(&block["number"])), hash: Hash(hash(&block["hash"]).0) }
    }

    /// Lets the chain do it; the transactions that are new, where they are payments that were not there before.
    pub async fn act(&mut self, act: &Act) -> Vec<B256> {
        let before = self.chain.height().await.unwrap();
        let mut sent = Vec::new();
        let changed_from = match act {
            Act::Blocks { payments, count } => {
                for payment in payments {
                    let (to, data, value) = self.call(payment);
                    let tx = self.chain.send(self.payers[payment.payer], to, &data, value).await.unwrap();
                    sent.push(tx.parse().unwrap());
                }
                self.chain.mine(1).await.unwrap();
                if *count > 1 {
                    self.chain.mine(count - 1).await.unwrap();
                }
                before + 1
            }
            Act::Reorg { depth, branch } => {
                let request = |payment: &Payment| {
                    let (to, data, value) = self.call(payment);
                    Anvil::request(self.payers[payment.payer], to, &data, value)
                };
                let branch: Vec<(Value, u64)> = branch.iter().map(|(p, offset)| (request(p), *offset)).collect();
                self.chain.reorg(*depth, &branch).await.unwrap();
                self.chain.mine(1).await.unwrap();
                before + 1 - depth
            }
        };
        self.read(changed_from).await;
        sent
    }

    fn call(&self, payment: &Payment) -> (Address, Vec<u8>, u128) {
        let payee = self.payees[payment.intent];
        if payee.native {
            (payee.address, Vec::new(), payment.amount)
        } else {
            (self.token, contracts::transfer(payee.address, payment.amount), 0)
        }
    }

    /// Reads the chain itself from a height on.
    async fn read(&mut self, from: u64) {
        self.canonical.split_off(&from);
        let heights: Vec<u64> = (from..=self.chain.height().await.unwrap()).collect();
        let asked: Vec<Value> = heights.iter().map(|height| json!([format!("{height:#x}"), true])).collect();
        let blocks = self.chain.rpc_all("eth_getBlockByNumber", &asked).await.unwrap();
        for (height, block) in heights.into_iter().zip(blocks) {
            self.blocks.insert(hash(&block["hash"]));
            let mut here = Vec::new();
            for tx in block["transactions"].as_array().unwrap() {
                let name = hash(&tx["hash"]);
                let mined = self.mined(tx);
                assert_eq!(*self.ever.entry(name).or_insert_with(|| mined.clone()), mined);
                here.push(name);
            }
            self.canonical.insert(height, here);
        }
    }

    fn mined(&self, tx: &Value) -> Mined {
        let to: Address = tx["to"].as_str().unwrap().parse().unwrap();
        if to != self.token {
            return Mined { to, amount: tx["value"].as_str().unwrap().parse::<U256>().unwrap().to() };
        }
        let input = hex::decode(tx["input"].as_str().unwrap().trim_start_matches("0x")).unwrap();
        let amount = U256::from_be_slice(&input[36..68]).to();
        Mined { to: Address::from_slice(&input[16..36]), amount }
    }

    /// Whether it is on the chain as it is now.
    pub fn holds(&self, tx: &B256) -> bool {
        self.canonical.values().any(|here| here.contains(tx))
    }

    /// What the chain itself says an intent's address holds.
    pub async fn balance(&self, payee: Payee) -> u128 {
        let shown = if payee.native {
            self.chain.rpc("eth_getBalance", json!([payee.address, "latest"])).await
        } else {
            let data = format!("0x70a08231{}", hex::encode(payee.address.into_word()));
            self.chain.rpc("eth_call", json!([{"to": self.token, "data": data}, "latest"])).await
        };
        shown.unwrap().as_str().unwrap().parse::<U256>().unwrap().to()
    }
}

fn hash(shown: &Value) -> B256 {
    shown.as_str().unwrap().parse().unwrap()
}

fn number(shown: &Value) -> u64 {
    u64::from_str_radix(shown.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
