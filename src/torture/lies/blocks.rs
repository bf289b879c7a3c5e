//! Lies in the headers of blocks and in their lists of transactions.

use alloy_primitives::{B256, Bloom, U256};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::receipts::{grow, is_payment};
use super::{Aim, Lie, Tell, forge};
use crate::torture::scene::{number, printed};
use crate::torture::{Question, Scene};

const BLOCK: &[&str] = &["eth_getBlockByNumber", "eth_getBlockByHash"];
const BLOCK_AND_RECEIPTS: &[&str] = &["eth_getBlockByNumber", "eth_getBlockByHash", "eth_getBlockReceipts"];

pub(super) const LIES: &[Lie] = lies! {
    "wrong-parent", "A header names another parent, and keeps its hash.", BLOCK,
        Tell::Alone(|_, _, b| with(b, "parentHash", json!(B256::repeat_byte(9))));
    "wrong-time", "A header is dated a year later, and keeps its hash.", BLOCK,
        Tell::Alone(|_, _, b| later(b));
    "wrong-receipts-root", "A header commits to other receipts, and keeps its hash.", BLOCK,
        Tell::Alone(|_, _, b| with(b, "receiptsRoot", json!(B256::repeat_byte(9))));
    "zeroed-bloom", "A header shows no logs, and keeps its hash.", BLOCK,
        Tell::Alone(|_, _, b| with(b, "logsBloom", json!(Bloom::ZERO)));
    "wrong-number", "A header says that it is the next block, and keeps its hash.", BLOCK,
        Tell::Alone(|_, _, b| {
            let next = printed(number(&b["number"]).unwrap_or_default() + 1);
            with(b, "number", next)
        });
    "block-of-another-height", "The block before the one that was asked for.", BLOCK,
        Tell::Asking(|_, asked, honest, scene| another_height(asked, honest, scene).boxed());
    "hidden-by-a-new-field", "A header has a field nobody knows, so that its hash need not hold; a payment is larger.",
        BLOCK_AND_RECEIPTS,
        Tell::Alone(|aim, asked, answer| {
            if asked.method == "eth_getBlockReceipts" { larger(aim, answer) } else { new_field(answer) }
        });
    "dated-by-a-new-field", "A header has a field nobody knows, and is dated a year later.", BLOCK,
        Tell::Alone(|_, _, b| new_field(later(b)));
    "emptied-by-a-new-field", "A header has a field nobody knows; receipts have no logs and the bloom is empty.",
        BLOCK_AND_RECEIPTS,
        Tell::Alone(|_, asked, mut answer| {
            if asked.method != "eth_getBlockReceipts" {
                return new_field(with(answer, "logsBloom", json!(Bloom::ZERO)));
            }
            for receipt in answer.as_array_mut().into_iter().flatten() {
                receipt["logs"] = json!([]);
                receipt["logsBloom"] = json!(Bloom::ZERO);
            }
            answer
        });
    "linked-by-a-new-field", "A header has a field nobody knows and the hash of the true block over another parent.",
        BLOCK,
        Tell::Alone(|_, _, b| new_field(with(b, "parentHash", json!(B256::repeat_byte(9)))));
    "resealed-without-logs", "A header shows no logs and no receipts, and its hash is made to fit.",
        BLOCK_AND_RECEIPTS,
        Tell::Alone(|_, asked, answer| {
            if asked.method == "eth_getBlockReceipts" {
                return json!([]);
            }
            let mut block = with(answer, "logsBloom", json!(Bloom::ZERO));
            if block.is_object() {
                block["receiptsRoot"] = json!(EMPTY_ROOT);
                block["transactionsRoot"] = json!(EMPTY_ROOT);
                block["transactions"] = json!([]);
            }
            forge::sealed(block)
        });
    "rival-blocks", "Every block above the first is one that somebody else might have made.", BLOCK,
        Tell::Alone(|_, asked, b| {
            // By hash the true ones are still to be had.
            if asked.method == "eth_getBlockByHash" || number(&b["number"]) == Some(0) { b } else { forge::rival(b) }
        });
    "transactions-left-out", "A block names fewer transactions than it has.", BLOCK,
        Tell::Alone(|_, _, mut b| {
            b["transactions"].as_array_mut().into_iter().for_each(|list| drop(list.pop()));
            b
        });
    "transactions-invented", "A block names a transaction that it does not have.", BLOCK,
        Tell::Alone(|_, asked, mut b| {
            if let Some(list) = b["transactions"].as_array_mut() {
                let again = list.first().cloned().filter(|_| asked.params[1] == true);
                list.push(again.unwrap_or_else(|| json!(B256::repeat_byte(0x66))));
            }
            b
        });
    "null-blocks", "Blocks by number are not there, though the head is above them.", &["eth_getBlockByNumber"],
        Tell::Alone(|_, asked, b| if number(&asked.params[0]).is_some() { Value::Null } else { b });
    "empty-list-for-a-block", "A list in the place of a block.", BLOCK, Tell::Alone(|_, _, _| json!([]));
};

/// The root of a trie with nothing in it.
const EMPTY_ROOT: &str = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

/// Seconds of a year.
const YEAR: u64 = 31_536_000;

fn with(mut block: Value, field: &str, value: Value) -> Value {
    if block.is_object() {
        block[field] = value;
    }
    block
}

fn later(block: Value) -> Value {
    let time = number(&block["timestamp"]).unwrap_or_default() + YEAR;
    with(block, "timestamp", printed(time))
}

fn new_field(block: Value) -> Value {
    with(block, "shardRoot", json!(B256::repeat_byte(3)))
}

fn larger(aim: &Aim, mut receipts: Value) -> Value {
    let logs = receipts.as_array_mut().into_iter().flatten().filter_map(|receipt| receipt["logs"].as_array_mut());
    logs.flatten().filter(|log| is_payment(aim, log) && log["data"] != json!(U256::ZERO)).for_each(grow);
    receipts
}

async fn another_height(asked: &Question, honest: Value, scene: &Scene) -> Value {
    let Some(below) = number(&honest["number"]).and_then(|height| height.checked_sub(1)) else { return honest };
    let params = json!([printed(below), asked.params[1]]);
    scene.ask_upstream("eth_getBlockByNumber", params).await.unwrap_or(honest)
}
