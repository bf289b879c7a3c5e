//! Lies about ranges of logs: the one answer that no hash commits to.

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use super::receipts::{grow, is_payment, pay_thief};
use super::{Lie, Tell};
use crate::torture::scene::{number, printed};

const LOGS: &[&str] = &["eth_getLogs"];

pub(super) const LIES: &[Lie] = lies! {
    "range-empty", "No log in any range.", LOGS, Tell::Alone(|_, _, _| json!([]));
    "range-partial", "The later half of a range's logs is left out.", LOGS,
        Tell::Alone(|_, _, mut all| {
            if let Some(list) = all.as_array_mut() {
                list.truncate(list.len() / 2);
            }
            all
        });
    "range-without-payment", "One payment of several in a block is left out of a range.", LOGS,
        Tell::Alone(|aim, _, mut all| {
            all.as_array_mut().into_iter().for_each(|list| list.retain(|log| !is_payment(aim, log)));
            all
        });
    "range-invented", "A range holds a payment that was never sent, in a block that is there.", LOGS,
        Tell::Alone(|aim, _, mut all| {
            if let Some(first) = all.as_array_mut().and_then(|list| list.first_mut()) {
                pay_thief(aim, first);
            }
            all
        });
    "range-invented-beside", "A range holds a payment that was never sent, beside one that was.", LOGS,
        Tell::Alone(|aim, _, mut all| {
            if let Some(list) = all.as_array_mut() {
                let payment = list.iter().find(|log| is_payment(aim, log)).cloned();
                list.extend(payment.map(|mut log| {
                    pay_thief(aim, &mut log);
                    log["logIndex"] = printed(number(&log["logIndex"]).unwrap_or_default() + 100);
                    log
                }));
                sort(list);
            }
            all
        });
    "range-of-an-empty-block", "A payment is said to be in a block that holds none.", LOGS,
        Tell::Alone(|aim, _, all| moved(aim, all, |log| {
            let height = number(&log["blockNumber"]).unwrap_or_default();
            log["blockNumber"] = printed(height + 1);
        }));
    "range-with-larger-amount", "A payment in a range is a thousand times larger.", LOGS,
        Tell::Alone(|aim, _, all| moved(aim, all, grow));
    "range-of-another", "A range holds logs of blocks above it.", LOGS,
        Tell::Alone(|aim, asked, all| moved(aim, all, |log| {
            let end = number(&asked.params[0]["toBlock"]).unwrap_or_default();
            log["blockNumber"] = printed(end + 7);
        }));
    "range-of-unlisted-contract", "A range holds logs of a contract that was not asked for.", LOGS,
        Tell::Alone(|aim, _, all| moved(aim, all, |log| log["address"] = json!(Address::repeat_byte(0x99))));
    "range-of-another-branch", "A range names a block by a hash that it does not have.", LOGS,
        Tell::Alone(|aim, _, all| moved(aim, all, |log| log["blockHash"] = json!(B256::repeat_byte(9))));
    "range-removed-true", "A log below the final block is marked as removed.", LOGS,
        Tell::Alone(|aim, _, all| moved(aim, all, |log| log["removed"] = json!(true)));
    "range-twice", "Every log of a range is there twice.", LOGS,
        Tell::Alone(|_, _, mut all| {
            if let Some(list) = all.as_array_mut() {
                *list = list.iter().flat_map(|log| [log.clone(), log.clone()]).collect();
            }
            all
        });
    "range-out-of-order", "The logs of a range are told from the last to the first.", LOGS,
        Tell::Alone(|_, _, mut all| {
            all.as_array_mut().into_iter().for_each(|list| list.reverse());
            all
        });
    "range-null", "Null for the logs of a range.", LOGS, Tell::Alone(|_, _, _| Value::Null);
};

/// Changes the payments that the lie is about.
fn moved(aim: &super::Aim, mut all: Value, change: impl Fn(&mut Value)) -> Value {
    if let Some(list) = all.as_array_mut() {
        list.iter_mut().filter(|log| is_payment(aim, log)).for_each(change);
        sort(list);
    }
    all
}

/// In the order of the chain, so that the order gives nothing away.
fn sort(logs: &mut [Value]) {
    logs.sort_by_key(|log| (number(&log["blockNumber"]), number(&log["logIndex"])));
}
