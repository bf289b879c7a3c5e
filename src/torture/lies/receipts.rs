//! Lies in the receipts of a block: what moved, to whom, how much, and whether it moved at all.

use alloy_primitives::{Address, B256, Bloom, BloomInput, U256};
use serde_json::{Value, json};

use super::{Aim, Lie, Tell};
use crate::torture::scene::{number, printed};
use crate::torture::{Question, Scene};

const RECEIPTS: &[&str] = &["eth_getBlockReceipts"];
const BLOCK_AND_RECEIPTS: &[&str] = &["eth_getBlockByNumber", "eth_getBlockByHash", "eth_getBlockReceipts"];

/// `Transfer(address,address,uint256)`.
pub(super) const TRANSFER: B256 = amn_evm::decode::TRANSFER;

pub(super) const LIES: &[Lie] = lies! {
    "invented-log", "A payment that was never sent is added to a receipt.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| { invent(aim, receipt, at); }));
    "invented-log-with-bloom", "An invented payment, with the receipt's bloom to match.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            invent(aim, receipt, at);
            bloom_again(receipt);
        }));
    "invented-receipt", "A receipt of a transaction that never was, with a payment in it.", RECEIPTS,
        Tell::Alone(|aim, _, mut all| {
            paying_in(aim, &mut all, |list, at, log| {
                let mut receipt = list[at].clone();
                receipt["transactionHash"] = json!(B256::repeat_byte(0x66));
                receipt["transactionIndex"] = printed(list.len() as u64);
                pay_thief(aim, &mut receipt["logs"][log]);
                receipt["logs"].as_array_mut().into_iter().flatten().for_each(no_place);
                list.push(receipt);
            });
            all
        });
    "altered-amount", "A payment is a thousand times larger.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| { grow(&mut receipt["logs"][at]); }));
    "moved-recipient", "A payment goes to somebody else.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            receipt["logs"][at]["topics"][2] = json!(aim.thief.into_word());
        }));
    "moved-token", "Worthless tokens are told as the token that counts.", RECEIPTS,
        Tell::Alone(|aim, _, mut all| {
            let Some(token) = aim.token else { return all };
            for log in logs(&mut all).filter(|log| topic(log, 2) == Some(aim.thief.into_word())) {
                log["address"] = json!(token);
            }
            all
        });
    "moved-to-worthless-token", "A payment is told as one of a token that does not count.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            receipt["logs"][at]["address"] = json!(Address::repeat_byte(0x99));
        }));
    "removed-log", "A payment is left out; the receipt's bloom still shows it.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| { remove(receipt, "logs", at); }));
    "removed-log-and-bloom", "A payment is left out, and the receipt's bloom made to match.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            remove(receipt, "logs", at);
            bloom_again(receipt);
        }));
    "removed-all-logs", "Every receipt is there, and none has a log.", RECEIPTS,
        Tell::Alone(|_, _, mut all| {
            for receipt in list(&mut all) {
                receipt["logs"] = json!([]);
                bloom_again(receipt);
            }
            all
        });
    "removed-receipt", "The receipt of a payment is left out.", RECEIPTS,
        Tell::Alone(|aim, _, mut all| {
            paying_in(aim, &mut all, |list, at, _| drop(list.remove(at)));
            all
        });
    "removed-with-consistent-count", "The first transaction is left out of the block and of its receipts.",
        BLOCK_AND_RECEIPTS,
        Tell::Alone(|_, asked, mut answer| {
            if asked.method == "eth_getBlockReceipts" {
                drop_first(&mut answer);
                for (at, receipt) in list(&mut answer).iter_mut().enumerate() {
                    receipt["transactionIndex"] = printed(at as u64);
                    receipt["logs"].as_array_mut().into_iter().flatten().for_each(no_place);
                }
            } else {
                drop_first(&mut answer["transactions"]);
            }
            answer
        });
    "duplicated-log", "A payment is told twice in its receipt.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            let mut again = receipt["logs"][at].clone();
            no_place(&mut again);
            receipt["logs"].as_array_mut().into_iter().for_each(|logs| logs.push(again.clone()));
        }));
    "duplicated-receipt", "The receipt of a payment is there twice.", RECEIPTS,
        Tell::Alone(|aim, _, mut all| {
            paying_in(aim, &mut all, |list, at, _| { let again = list[at].clone(); list.push(again); });
            all
        });
    "receipt-in-anothers-place", "The receipt of a payment stands in the place of another, which is gone.", RECEIPTS,
        Tell::Alone(|aim, _, mut all| {
            paying_in(aim, &mut all, |list, at, _| {
                let other = if at == 0 { list.len() - 1 } else { 0 };
                let mut copy = list[at].clone();
                for field in ["transactionHash", "transactionIndex"] {
                    copy[field] = list[other][field].clone();
                }
                copy["logs"].as_array_mut().into_iter().flatten().for_each(no_place);
                list[other] = copy;
            });
            all
        });
    "swapped-receipts", "Two receipts change places.", RECEIPTS,
        Tell::Alone(|_, _, mut all| {
            if let Some(list) = all.as_array_mut().filter(|list| list.len() > 1) { list.swap(0, 1) }
            all
        });
    "receipts-of-another-block", "The receipts are those of the last block that had any.", RECEIPTS,
        Tell::Asking(|_, asked, honest, scene| Box::pin(of_another(asked, honest, scene, false)));
    "relabelled-receipts", "The receipts of another block, with the hash and number of the one asked for.", RECEIPTS,
        Tell::Asking(|_, asked, honest, scene| Box::pin(of_another(asked, honest, scene, true)));
    "failure-told-as-success", "A failed transaction succeeded, and paid.", RECEIPTS,
        Tell::Alone(|aim, _, mut all| {
            let Some(pattern) = logs(&mut all).find(|log| topic(log, 0) == Some(TRANSFER)).cloned() else { return all };
            for receipt in list(&mut all).iter_mut().filter(|receipt| receipt["status"] == "0x0") {
                receipt["status"] = json!("0x1");
                let mut log = pattern.clone();
                for field in ["transactionHash", "transactionIndex"] {
                    log[field] = receipt[field].clone();
                }
                pay_thief(aim, &mut log);
                log["logIndex"] = Value::Null;
                receipt["logs"] = json!([log]);
                bloom_again(receipt);
            }
            all
        });
    "success-told-as-failure", "The transaction of a payment failed.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, _| { receipt["status"] = json!("0x0"); }));
    "success-without-status", "A receipt in the form of before Byzantium, with a state's root in place of the status.",
        RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            grow(&mut receipt["logs"][at]);
            receipt["root"] = json!(B256::repeat_byte(1));
        }));
    "shifted-log-index", "Logs are numbered a thousand higher than they stand.", RECEIPTS,
        Tell::Alone(|_, _, mut all| {
            for log in logs(&mut all) {
                log["logIndex"] = printed(number(&log["logIndex"]).unwrap_or_default() + 1_000);
            }
            all
        });
    "log-index-goes-back", "Every log of the block has the same number.", RECEIPTS,
        Tell::Alone(|_, _, mut all| {
            logs(&mut all).for_each(|log| log["logIndex"] = json!("0x0"));
            all
        });
    "wrong-transaction-in-receipt", "A receipt bears the name of another transaction.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, _| {
            receipt["transactionHash"] = json!(B256::repeat_byte(0x67));
        }));
    "wrong-transaction-in-log", "A log bears the name of another transaction than its receipt.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            receipt["logs"][at]["transactionHash"] = json!(B256::repeat_byte(0x67));
        }));
    "wrong-block-in-log", "A log bears the hash of another block than its receipt.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            receipt["logs"][at]["blockHash"] = json!(B256::repeat_byte(0x67));
        }));
    "removed-true", "A log is marked as removed.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| { receipt["logs"][at]["removed"] = json!(true); }));
    "nft-told-as-money", "The transfer of a collectible is told with the shape of money.", RECEIPTS,
        Tell::Alone(|_, _, mut all| {
            for log in logs(&mut all) {
                let Some(topics) = log["topics"].as_array_mut().filter(|topics| topics.len() == 4) else { continue };
                let id = topics.pop().unwrap_or_default();
                log["data"] = id;
            }
            all
        });
    "longer-data", "A payment has a word more than the event has.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            let data = receipt["logs"][at]["data"].as_str().unwrap_or("0x").to_owned();
            receipt["logs"][at]["data"] = json!(format!("{data}{:064x}", 1));
        }));
    "shorter-data", "A payment has a byte less than the event has.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| {
            let data = receipt["logs"][at]["data"].as_str().unwrap_or("0x0000").to_owned();
            receipt["logs"][at]["data"] = json!(data.get(..data.len().saturating_sub(2)).unwrap_or("0x"));
        }));
    "huge-amount", "A payment of all there can be.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| { receipt["logs"][at]["data"] = word(U256::MAX); }));
    "negative-amount", "A payment whose amount is no number.", RECEIPTS,
        Tell::Alone(|aim, _, all| paying(aim, all, |receipt, at| { receipt["logs"][at]["data"] = json!("-0x1"); }));
    "receipts-null", "There are no receipts of a block that has transactions.", RECEIPTS,
        Tell::Alone(|_, _, all| if all.as_array().is_some_and(|list| !list.is_empty()) { Value::Null } else { all });
    "receipts-empty", "The list of receipts is empty.", RECEIPTS, Tell::Alone(|_, _, _| json!([]));
    "receipts-with-holes", "Every second receipt is null.", RECEIPTS,
        Tell::Alone(|_, _, mut all| {
            list(&mut all).iter_mut().skip(1).step_by(2).for_each(|receipt| *receipt = Value::Null);
            all
        });
    "false-names", "Every transaction bears a false name, in the block and in its receipts; whole ones are refused.",
        BLOCK_AND_RECEIPTS,
        Tell::Alone(|_, asked, mut answer| {
            let renamed = |name: &Value| {
                let name: B256 = name.as_str().and_then(|name| name.parse().ok()).unwrap_or_default();
                json!(alloy_primitives::keccak256(name))
            };
            if asked.method == "eth_getBlockReceipts" {
                for receipt in list(&mut answer) {
                    receipt["transactionHash"] = renamed(&receipt["transactionHash"]);
                    let name = receipt["transactionHash"].clone();
                    receipt["logs"].as_array_mut().into_iter().flatten().for_each(|log| log["transactionHash"] = name.clone());
                }
            } else if asked.params[1] == true && answer["transactions"].as_array().is_some_and(|all| !all.is_empty()) {
                return Value::Null;
            } else {
                for name in list(&mut answer["transactions"]) {
                    *name = renamed(name);
                }
            }
            answer
        });
};

/// The receipts of the block below that has some, in place of the ones asked for.
async fn of_another(asked: &Question, honest: Value, scene: &Scene, relabelled: bool) -> Value {
    let Some(height) = scene.height_asked(asked).await else { return honest };
    for below in (0..height).rev().take(16) {
        let Ok(mut other) = scene.ask_upstream("eth_getBlockReceipts", json!([printed(below)])).await else {
            return honest;
        };
        if list(&mut other).is_empty() {
            continue;
        }
        if relabelled {
            let place = honest[0].clone();
            for receipt in list(&mut other) {
                for field in ["blockHash", "blockNumber"] {
                    receipt[field] = place[field].clone();
                    let logs = receipt["logs"].as_array_mut().into_iter().flatten();
                    logs.for_each(|log| log[field] = place[field].clone());
                }
            }
        }
        return other;
    }
    honest
}

/// Changes the first receipt that holds a payment the lie is about: given the receipt and the place of the log.
fn paying(aim: &Aim, mut all: Value, change: impl FnOnce(&mut Value, usize)) -> Value {
    paying_in(aim, &mut all, |list, at, log| change(&mut list[at], log));
    all
}

fn paying_in(aim: &Aim, all: &mut Value, change: impl FnOnce(&mut Vec<Value>, usize, usize)) {
    let Some(list) = all.as_array_mut() else { return };
    let found = list.iter().enumerate().find_map(|(at, receipt)| {
        let logs = receipt["logs"].as_array()?;
        Some((at, logs.iter().position(|log| is_payment(aim, log))?))
    });
    if let Some((at, log)) = found {
        change(list, at, log);
    }
}

/// Whether a log is a payment the lie is about.
pub(super) fn is_payment(aim: &Aim, log: &Value) -> bool {
    let contract = log["address"].as_str().and_then(|address| address.parse::<Address>().ok());
    topic(log, 0) == Some(TRANSFER)
        && aim.token.is_none_or(|token| contract == Some(token))
        && aim.payee.is_none_or(|payee| topic(log, 2) == Some(payee.into_word()))
}

pub(super) fn topic(log: &Value, place: usize) -> Option<B256> {
    log["topics"][place].as_str()?.parse().ok()
}

/// Adds a payment to the thief behind the one at this place.
fn invent(aim: &Aim, receipt: &mut Value, at: usize) {
    let mut log = receipt["logs"][at].clone();
    pay_thief(aim, &mut log);
    no_place(&mut log);
    if let Some(logs) = receipt["logs"].as_array_mut() {
        logs.push(log);
    }
}

pub(super) fn pay_thief(aim: &Aim, log: &mut Value) {
    log["topics"][2] = json!(aim.thief.into_word());
    log["data"] = word(aim.amount);
}

/// A thousand times the amount.
pub(super) fn grow(log: &mut Value) {
    let amount = log["data"].as_str().and_then(|data| data.parse::<U256>().ok()).unwrap_or_default();
    log["data"] = word(amount.saturating_mul(U256::from(1_000)));
}

/// Does not say where it stands, so that its place gives nothing away.
fn no_place(log: &mut Value) {
    for field in ["logIndex", "transactionHash", "transactionIndex"] {
        log[field] = Value::Null;
    }
}

fn remove(receipt: &mut Value, field: &str, at: usize) {
    if let Some(items) = receipt[field].as_array_mut() {
        items.remove(at);
    }
}

fn drop_first(list: &mut Value) {
    if let Some(list) = list.as_array_mut().filter(|list| !list.is_empty()) {
        list.remove(0);
    }
}

fn bloom_again(receipt: &mut Value) {
    let mut bloom = Bloom::ZERO;
    for log in receipt["logs"].as_array().into_iter().flatten() {
        let contract: Address = log["address"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        bloom.accrue(BloomInput::Raw(contract.as_slice()));
        for place in 0..4 {
            if let Some(topic) = topic(log, place) {
                bloom.accrue(BloomInput::Raw(topic.as_slice()));
            }
        }
    }
    receipt["logsBloom"] = json!(bloom);
}

fn list(all: &mut Value) -> &mut [Value] {
    all.as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

fn logs(all: &mut Value) -> impl Iterator<Item = &mut Value> {
    list(all).iter_mut().filter_map(|receipt| receipt["logs"].as_array_mut()).flatten()
}

/// A number as a word of data.
pub(super) fn word(number: U256) -> Value {
    json!(B256::from(number))
}
