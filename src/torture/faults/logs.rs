//! What nodes do with logs: give half a range, none of the newest block, all but one, and misplace them.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::heads::without_logs;
use super::{Kind, each_log, number, put};
use crate::torture::scene::{number as read, printed};
use crate::torture::{Dice, Fault, Question, Reply, Scene, asking, plain};

const BLOCKS_MAX: u64 = 1_000_000;
const LOGS: &[&str] = &["eth_getLogs"];
/// Where logs are printed.
const WITH_LOGS: &[&str] = &["eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt"];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "partial-range",
        says: "A range of logs that reaches the newest blocks ends before them, with status 200 and no word.",
        takes: &[number("blocks", 3, BLOCKS_MAX)],
        make: |set| Ok(before_head("partial-range", set.number("blocks"))),
    },
    Kind {
        name: "head-logs-empty",
        says: "The logs of the newest block are not there yet; with calls=..2, they are the third time.",
        takes: &[number("blocks", 1, BLOCKS_MAX)],
        make: |set| Ok(before_head("head-logs-empty", set.number("blocks"))),
    },
    Kind {
        name: "omitted-logs",
        says: "So many logs in a thousand are left out of eth_getLogs, always the same, though their block has them.",
        takes: &[number("share", 500, 1_000)],
        make: |set| {
            let share = u32::try_from(set.number("share")).unwrap_or(1_000);
            Ok(plain("omitted-logs", LOGS, move |_, honest, _| {
                honest.map(|mut logs| {
                    if let Some(list) = logs.as_array_mut() {
                        list.retain(|log| !omitted(log, share));
                    }
                    logs
                })
            }))
        },
    },
    Kind {
        name: "shifted-log-indices",
        says: "The logs of the newest blocks bear the index of their neighbour, until they are older.",
        takes: &[number("blocks", 10, BLOCKS_MAX), number("by", 1, 1_000)],
        make: |set| {
            let (blocks, by) = (set.number("blocks"), set.number("by"));
            Ok(newest_logs("shifted-log-indices", blocks, move |log, _| {
                if let Some(index) = read(&log["logIndex"]) {
                    put(log, "logIndex", printed(index.saturating_add(by)));
                }
            }))
        },
    },
    Kind {
        name: "wrong-tx-hash",
        says: "The logs of the newest blocks name a transaction that they are not of.",
        takes: &[number("blocks", 3, BLOCKS_MAX)],
        make: |set| {
            Ok(newest_logs("wrong-tx-hash", set.number("blocks"), |log, dice| {
                let name = hex::encode(dice.bytes::<32>());
                put(log, "transactionHash", json!(format!("0x{name}")));
            }))
        },
    },
    Kind {
        name: "repeated-logs",
        says: "One log of the list stands there twice.",
        takes: &[],
        make: |_| Ok(lists("repeated-logs", |list, dice| list.push(list[dice.place(list.len())].clone()))),
    },
    Kind {
        name: "reversed-logs",
        says: "The logs come from the last to the first.",
        takes: &[],
        make: |_| Ok(lists("reversed-logs", |list, _| list.reverse())),
    },
];

fn lists(name: &'static str, change: impl Fn(&mut Vec<Value>, &mut Dice) + Send + Sync + 'static) -> Arc<dyn Fault> {
    plain(name, LOGS, move |_, mut honest, dice| {
        if let Reply::Result(Value::Array(list)) = &mut honest
            && !list.is_empty()
        {
            change(list, dice);
        }
        honest
    })
}

/// Whether a log is one of those left out: it follows from the log alone, so that it is left out every time.
fn omitted(log: &Value, share: u32) -> bool {
    let part = |name: &str| log[name].as_str().unwrap_or_default().as_bytes();
    Dice::of(0, &[part("blockHash"), part("transactionHash"), part("logIndex")]).permille(share)
}

/// Logs above a height that lies so many blocks below the head are left out.
fn before_head(name: &'static str, blocks: u64) -> Arc<dyn Fault> {
    asking(name, LOGS, move |_, honest, scene| {
        async move {
            let Ok(head) = scene.head().await else { return honest };
            honest.map(|logs| without_logs(logs, |height| height.saturating_add(blocks) > head))
        }
        .boxed()
    })
}

fn newest_logs(
    name: &'static str,
    blocks: u64,
    change: impl Fn(&mut Value, &mut Dice) + Send + Sync + 'static,
) -> Arc<dyn Fault> {
    let change = Arc::new(change);
    asking(name, WITH_LOGS, move |_: &Question, honest, scene: &mut Scene| {
        let change = change.clone();
        async move {
            let Ok(head) = scene.head().await else { return honest };
            honest.map(|mut result| {
                let mut newest = |log: &mut Value| {
                    if read(&log["blockNumber"]).is_some_and(|height| height.saturating_add(blocks) > head) {
                        change(log, &mut scene.dice);
                    }
                };
                match result.get_mut("logs").and_then(Value::as_array_mut) {
                    Some(logs) => logs.iter_mut().for_each(newest),
                    None => each_log(&mut result, &mut newest),
                }
                result
            })
        }
        .boxed()
    })
}
