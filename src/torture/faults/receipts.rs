//! What nodes do with receipts: none, too few, those of another block, and not quite what the root says.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Kind, number, put};
use crate::torture::scene::{number as read, printed};
use crate::torture::{Question, Reply, Scene, asking, plain};

const RECEIPTS: &[&str] = &["eth_getBlockReceipts"];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "null-receipts",
        says: "The receipts of a block are null, though the block is there; with calls=..2, they come the third time.",
        takes: &[],
        make: |_| Ok(plain("null-receipts", RECEIPTS, |_, honest, _| honest.map(|_| Value::Null))),
    },
    Kind {
        name: "empty-receipts",
        says: "The receipts of a block are an empty list, however many transactions it has.",
        takes: &[],
        make: |_| Ok(plain("empty-receipts", RECEIPTS, |_, honest, _| honest.map(|_| json!([])))),
    },
    Kind {
        name: "short-receipts",
        says: "So many receipts are missing at the end of a block.",
        takes: &[number("missing", 1, 100_000)],
        make: |set| {
            let missing = set.count("missing");
            Ok(plain("short-receipts", RECEIPTS, move |_, honest, _| {
                honest.map(|mut receipts| {
                    if let Some(list) = receipts.as_array_mut() {
                        list.truncate(list.len().saturating_sub(missing));
                    }
                    receipts
                })
            }))
        },
    },
    Kind {
        name: "receipts-of-other-block",
        says: "The receipts are those of a block so many below; with relabelled=1, they say they are of the one asked.",
        takes: &[number("below", 1, 1_000), number("relabelled", 0, 1)],
        make: |set| {
            let (below, relabelled) = (set.number("below"), set.number("relabelled") == 1);
            Ok(asking("receipts-of-other-block", RECEIPTS, move |asked, honest, scene| {
                async move { of_other_block(asked, honest, scene, below, relabelled).await }.boxed()
            }))
        },
    },
    Kind {
        name: "altered-receipts",
        says: "One receipt of a block is not what the header's root says.",
        takes: &[],
        make: |_| {
            Ok(plain("altered-receipts", RECEIPTS, |_, honest, dice| {
                honest.map(|mut receipts| {
                    if let Some(list) = receipts.as_array_mut().filter(|list| !list.is_empty()) {
                        let place = dice.place(list.len());
                        let gas = read(&list[place]["cumulativeGasUsed"]).unwrap_or_default();
                        put(&mut list[place], "cumulativeGasUsed", printed(gas.saturating_add(1)));
                    }
                    receipts
                })
            }))
        },
    },
    Kind {
        name: "nulls-between",
        says: "A null stands between the receipts of a block.",
        takes: &[],
        make: |_| {
            Ok(plain("nulls-between", RECEIPTS, |_, honest, dice| {
                honest.map(|mut receipts| {
                    if let Some(list) = receipts.as_array_mut() {
                        list.insert(dice.place(list.len() + 1), Value::Null);
                    }
                    receipts
                })
            }))
        },
    },
];

async fn of_other_block(asked: &Question, honest: Reply, scene: &Scene, below: u64, relabelled: bool) -> Reply {
    let Some(height) = scene.height_asked(asked).await else { return honest };
    let other = printed(height.saturating_sub(below));
    let Ok(mut receipts) = scene.ask_upstream("eth_getBlockReceipts", json!([other])).await else { return honest };
    if relabelled
        && let Ok(block) = scene.ask_upstream("eth_getBlockByNumber", json!([printed(height), false])).await
        && let Some(list) = receipts.as_array_mut()
    {
        for (place, receipt) in list.iter_mut().enumerate() {
            relabel(receipt, &block);
            if let Some(name) = block["transactions"].get(place) {
                put(receipt, "transactionHash", name.clone());
            }
            let name = receipt["transactionHash"].clone();
            for log in receipt.get_mut("logs").and_then(Value::as_array_mut).into_iter().flatten() {
                relabel(log, &block);
                put(log, "transactionHash", name.clone());
            }
        }
    }
    Reply::Result(receipts)
}

fn relabel(entry: &mut Value, block: &Value) {
    put(entry, "blockHash", block["hash"].clone());
    put(entry, "blockNumber", block["number"].clone());
}
