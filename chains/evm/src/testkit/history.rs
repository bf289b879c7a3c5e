//! Builds blocks: from what is paid to the JSON that a node would print, hashes included.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::root::ordered_trie_root_encoded;
use amn_core::block::{BlockRef, Hash, Height};
use serde_json::{Value, json};

use crate::bloom;
use crate::decode::{NATIVE_PROXY, TOKEN_PROXY, TRANSFER};
use crate::header;
use crate::receipts::{self, Codec};
use crate::transactions;
use crate::wire::{Quantity, WholeTransaction, WireHeader, WireLog, WireReceipt};

/// One transaction: who calls whom with what value, and the logs it leaves.
#[derive(Clone, Debug)]
pub struct Call {
    pub from: Address,
    pub to: Address,
    pub value: U256,
    pub succeeds: bool,
    pub logs: Vec<WireLog>,
}

impl Call {
    /// Pays `amount` of a token.
    #[must_use]
    pub fn token(token: Address, to: Address, amount: u128) -> Self {
        Self::with_logs(token, vec![transfer_log(token, to, U256::from(amount))])
    }

    /// Pays the network's own money.
    #[must_use]
    pub fn native(to: Address, amount: u128) -> Self {
        Self { value: U256::from(amount), to, ..Self::with_logs(to, Vec::new()) }
    }

    /// Pays a token through a fee proxy, with the keccak of a reference.
    #[must_use]
    pub fn through_token_proxy(proxy: Address, token: Address, to: Address, amount: u128, reference: B256) -> Self {
        let words = [U256::from_be_bytes(token.into_word().0), U256::from_be_bytes(to.into_word().0)];
        let data = words.into_iter().chain([U256::from(amount), U256::ZERO, U256::ZERO]);
        let event = log(proxy, vec![TOKEN_PROXY, reference], data);
        Self::with_logs(proxy, vec![transfer_log(token, to, U256::from(amount)), event])
    }

    /// Pays the network's own money through a fee proxy.
    #[must_use]
    pub fn through_native_proxy(proxy: Address, to: Address, amount: u128, reference: B256) -> Self {
        let data = [U256::from_be_bytes(to.into_word().0), U256::from(amount), U256::ZERO, U256::ZERO];
        let logs = vec![log(proxy, vec![NATIVE_PROXY, reference], data.into_iter())];
        Self { value: U256::from(amount), ..Self::with_logs(proxy, logs) }
    }

    /// Calls a contract that leaves these logs.
    #[must_use]
    pub fn with_logs(to: Address, logs: Vec<WireLog>) -> Self {
        Self { from: Address::repeat_byte(0x11), to, value: U256::ZERO, succeeds: true, logs }
    }

    /// The same call, reverted: its logs are gone.
    #[must_use]
    pub fn failing(mut self) -> Self {
        self.succeeds = false;
        self.logs.clear();
        self
    }
}

/// A token's transfer event.
#[must_use]
pub fn transfer_log(token: Address, to: Address, value: U256) -> WireLog {
    log(token, vec![TRANSFER, Address::repeat_byte(0x11).into_word(), to.into_word()], [value].into_iter())
}

fn log(address: Address, topics: Vec<B256>, words: impl Iterator<Item = U256>) -> WireLog {
    let data: Vec<u8> = words.flat_map(|word| word.to_be_bytes::<32>()).collect();
    WireLog {
        address,
        topics,
        data: Bytes::from(data),
        block_hash: None,
        block_number: None,
        transaction_hash: None,
        transaction_index: None,
        log_index: None,
        removed: false,
    }
}

/// One block as a node would print it.
#[derive(Clone, Debug)]
pub struct Made {
    pub at: BlockRef,
    pub parent: B256,
    pub timestamp: u64,
    /// With whole transactions.
    pub whole: String,
    /// With the names of transactions.
    pub named: String,
    pub receipts: String,
    /// Every log: its contract, its first topic, its JSON.
    pub logs: Vec<(Address, B256, String)>,
}

/// A chain that exists only here. Blocks of abandoned branches stay known by their hash.
#[derive(Clone, Debug)]
pub struct History {
    pub chain_id: u64,
    pub codec: Codec,
    pub blocks: BTreeMap<u64, Made>,
    pub known: HashMap<B256, Made>,
    pub safe: Option<u64>,
    pub finalized: Option<u64>,
    pub decimals: HashMap<Address, u8>,
    pub balances: HashMap<Address, U256>,
    /// Makes the blocks of one branch differ from those of another with the same payments.
    pub branch: u64,
    /// Where the next block stands.
    parent: (u64, B256, u64),
}

impl History {
    /// A chain whose first block will stand on this one, which is not served itself.
    #[must_use]
    pub fn on(chain_id: u64, parent: BlockRef, parent_time: u64) -> Self {
        Self {
            chain_id,
            codec: Codec::Eth,
            blocks: BTreeMap::new(),
            known: HashMap::new(),
            safe: None,
            finalized: None,
            decimals: HashMap::new(),
            balances: HashMap::new(),
            branch: 0,
            parent: (parent.height.0, B256::from(parent.hash.0), parent_time),
        }
    }

    /// A chain of its own, with one empty block at height 0.
    #[must_use]
    pub fn new(chain_id: u64) -> Self {
        let mut history = Self::on(chain_id, BlockRef { height: Height(0), hash: Hash([0; 32]) }, 1_700_000_000);
        history.make(0, B256::ZERO, 1_700_000_000, &[]);
        history
    }

    /// Appends a block that was read elsewhere, as it is.
    pub fn append_real(&mut self, block: &Value, receipts: &Value) -> Option<BlockRef> {
        let header: WireHeader = serde_json::from_value(block.clone()).ok()?;
        let mut named = block.clone();
        for transaction in named.get_mut("transactions")?.as_array_mut()? {
            if let Some(name) = transaction.get("hash") {
                *transaction = name.clone();
            }
        }
        let mut logs = Vec::new();
        for log in receipts.as_array()?.iter().filter_map(|receipt| receipt.get("logs")?.as_array()).flatten() {
            let read: WireLog = serde_json::from_value(log.clone()).ok()?;
            logs.push((read.address, read.topics.first().copied().unwrap_or_default(), log.to_string()));
        }
        let (whole, named, receipts) = (block.to_string(), named.to_string(), receipts.to_string());
        let at = BlockRef { height: Height(header.number.0), hash: Hash(header.hash.0) };
        let (parent, timestamp) = (header.parent_hash, header.timestamp.0);
        Some(self.keep(Made { at, parent, timestamp, whole, named, receipts, logs }))
    }

    /// Appends a block, one second after the last, that holds these calls.
    pub fn extend(&mut self, calls: &[Call]) -> BlockRef {
        let (number, parent, time) = self.parent;
        self.make(number + 1, parent, time + 1, calls)
    }

    /// Appends so many empty blocks.
    pub fn pass(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.extend(&[]);
        }
    }

    /// Drops every block above a height; what follows is another branch.
    pub fn rewind(&mut self, to: u64) {
        self.blocks.retain(|number, _| *number <= to);
        if let Some(made) = self.blocks.get(&to) {
            self.parent = (to, B256::from(made.at.hash.0), made.timestamp);
        }
        self.branch += 1;
    }

    /// The newest block.
    #[must_use]
    pub fn tip(&self) -> Option<&Made> {
        self.blocks.last_key_value().map(|(_, made)| made)
    }

    fn keep(&mut self, made: Made) -> BlockRef {
        let hash = B256::from(made.at.hash.0);
        self.parent = (made.at.height.0, hash, made.timestamp);
        self.known.insert(hash, made.clone());
        let at = made.at;
        self.blocks.insert(at.height.0, made);
        at
    }

    fn make(&mut self, number: u64, parent: B256, timestamp: u64, calls: &[Call]) -> BlockRef {
        let whole: Vec<_> = calls.iter().enumerate().map(|(at, call)| self.transaction(number, at, call)).collect();
        let encoded: Vec<_> = whole.iter().map(|tx| transactions::encode(tx).unwrap_or_default()).collect();
        let receipts: Vec<_> = whole
            .iter()
            .zip(calls)
            .enumerate()
            .map(|(at, (tx, call))| WireReceipt {
                transaction_hash: tx.hash,
                transaction_index: Quantity(at as u64),
                block_hash: B256::ZERO,
                block_number: Quantity(number),
                kind: Some(Quantity(2)),
                status: Some(Quantity(u64::from(call.succeeds))),
                root: None,
                cumulative_gas_used: Quantity(21_000 * (at as u64 + 1)),
                logs_bloom: Some(bloom::of(&call.logs)),
                logs: call.logs.clone(),
                deposit_nonce: None,
                deposit_receipt_version: None,
            })
            .collect();
        let mut wire = WireHeader {
            hash: B256::ZERO,
            parent_hash: parent,
            sha3_uncles: alloy_consensus::EMPTY_OMMER_ROOT_HASH,
            miner: Address::ZERO,
            state_root: B256::from(U256::from(self.branch)),
            transactions_root: ordered_trie_root_encoded(&encoded),
            receipts_root: receipts::root(self.codec, &receipts),
            logs_bloom: receipts::block_bloom(&receipts),
            difficulty: U256::ZERO,
            number: Quantity(number),
            gas_limit: Quantity(30_000_000),
            gas_used: Quantity(21_000 * calls.len() as u64),
            timestamp: Quantity(timestamp),
            extra_data: Bytes::new(),
            mix_hash: Some(B256::ZERO),
            nonce: Some(alloy_primitives::B64::ZERO),
            base_fee_per_gas: Some(Quantity(1)),
            withdrawals_root: None,
            blob_gas_used: None,
            excess_blob_gas: None,
            parent_beacon_block_root: None,
            requests_hash: None,
            block_access_list_hash: None,
            slot_number: None,
        };
        wire.hash = header::hash(&wire);
        let made = print(&wire, &whole, &receipts);
        self.keep(made)
    }

    fn transaction(&self, number: u64, at: usize, call: &Call) -> WholeTransaction {
        let mut tx = WholeTransaction {
            kind: Some(Quantity(2)),
            chain_id: Some(U256::from(self.chain_id)),
            // Block and place make every transaction another, as a nonce would.
            nonce: Some(U256::from(number * 100_000 + at as u64)),
            from: call.from,
            to: Some(call.to),
            value: call.value,
            gas: Some(U256::from(100_000)),
            max_fee_per_gas: Some(U256::from(2)),
            max_priority_fee_per_gas: Some(U256::from(1)),
            input: Bytes::new(),
            access_list: Some(Vec::new()),
            y_parity: Some(U256::ZERO),
            r: Some(U256::from(1)),
            s: Some(U256::from(1)),
            ..WholeTransaction::default()
        };
        tx.hash = keccak256(transactions::encode(&tx).unwrap_or_default());
        tx
    }
}

/// The JSON of a block, as a node prints it.
fn print(wire: &WireHeader, whole: &[WholeTransaction], receipts: &[WireReceipt]) -> Made {
    let hash = wire.hash;
    let mut block = json!({
        "hash": hash, "parentHash": wire.parent_hash, "sha3Uncles": wire.sha3_uncles, "miner": wire.miner,
        "stateRoot": wire.state_root, "transactionsRoot": wire.transactions_root,
        "receiptsRoot": wire.receipts_root, "logsBloom": wire.logs_bloom, "difficulty": wire.difficulty,
        "number": wire.number, "gasLimit": wire.gas_limit, "gasUsed": wire.gas_used,
        "timestamp": wire.timestamp, "extraData": wire.extra_data, "mixHash": wire.mix_hash,
        "nonce": wire.nonce, "baseFeePerGas": wire.base_fee_per_gas, "size": "0x1", "uncles": [],
    });
    block["transactions"] = whole.iter().map(|tx| json!(tx.hash)).collect();
    let named = block.to_string();
    block["transactions"] = whole
        .iter()
        .enumerate()
        .map(|(at, tx)| {
            json!({
                "hash": tx.hash, "type": "0x2", "blockHash": hash, "blockNumber": wire.number,
                "transactionIndex": Quantity(at as u64), "chainId": tx.chain_id, "nonce": tx.nonce,
                "from": tx.from, "to": tx.to, "value": tx.value, "gas": tx.gas, "input": tx.input,
                "maxFeePerGas": tx.max_fee_per_gas, "maxPriorityFeePerGas": tx.max_priority_fee_per_gas,
                "accessList": [], "yParity": tx.y_parity, "v": tx.y_parity, "r": tx.r, "s": tx.s,
            })
        })
        .collect();
    let (mut printed, mut logs, mut index) = (String::from("["), Vec::new(), 0_u64);
    for receipt in receipts {
        let place = (hash, wire.number, receipt.transaction_hash, receipt.transaction_index);
        let own: Vec<String> = receipt.logs.iter().zip(index..).map(|(log, at)| log_json(log, place, at)).collect();
        index += own.len() as u64;
        if printed.len() > 1 {
            printed.push(',');
        }
        let _ = write!(
            printed,
            "{{\"transactionHash\":\"{}\",\"transactionIndex\":\"{:#x}\",\"blockHash\":\"{hash}\",\
             \"blockNumber\":\"{:#x}\",\"type\":\"0x2\",\"status\":\"{:#x}\",\"cumulativeGasUsed\":\"{:#x}\",\
             \"logsBloom\":\"{}\",\"logs\":[{}]}}",
            receipt.transaction_hash,
            receipt.transaction_index.0,
            wire.number.0,
            receipt.status.unwrap_or_default().0,
            receipt.cumulative_gas_used.0,
            receipt.logs_bloom.unwrap_or_default(),
            own.join(","),
        );
        for (log, json) in receipt.logs.iter().zip(own) {
            logs.push((log.address, log.topics.first().copied().unwrap_or_default(), json));
        }
    }
    printed.push(']');
    Made {
        at: BlockRef { height: Height(wire.number.0), hash: Hash(hash.0) },
        parent: wire.parent_hash,
        timestamp: wire.timestamp.0,
        whole: block.to_string(),
        named,
        receipts: printed,
        logs,
    }
}

fn log_json(log: &WireLog, place: (B256, Quantity, B256, Quantity), index: u64) -> String {
    let (block, number, transaction, at) = place;
    let topics: Vec<String> = log.topics.iter().map(|topic| format!("\"{topic}\"")).collect();
    format!(
        "{{\"address\":\"{:#x}\",\"topics\":[{}],\"data\":\"{}\",\"blockNumber\":\"{:#x}\",\
         \"transactionHash\":\"{transaction}\",\"transactionIndex\":\"{:#x}\",\"blockHash\":\"{block}\",\
         \"logIndex\":\"{index:#x}\",\"removed\":false}}",
        log.address,
        topics.join(","),
        log.data,
        number.0,
        at.0,
    )
}
