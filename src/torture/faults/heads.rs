//! What nodes do with the newest blocks: lag, stand still, go back, forget, and say that they have none.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Kind, number, put, text};
use crate::torture::scene::{number as read, printed};
use crate::torture::{Fault, Question, Reply, Scene, asking, plain};

/// More than any chain keeps above what is final.
const BLOCKS_MAX: u64 = 1_000_000;

/// Everything that shows where a node's head is.
const ABOUT_HEADS: &[&str] = &[
    "eth_blockNumber",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getTransactionReceipt",
    "eth_getTransactionByHash",
    "eth_getLogs",
];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "lagging",
        says: "The node is so many blocks behind and knows nothing above its head; ranges of logs end there silently.",
        takes: &[number("blocks", 3, BLOCKS_MAX)],
        make: |set| Ok(lagging("lagging", Lag::Behind(set.number("blocks")))),
    },
    Kind {
        name: "frozen",
        says: "The head stands still at this height; with 0, where it stood when first asked.",
        takes: &[number("height", 0, u64::MAX)],
        make: |set| {
            let first = OnceLock::new();
            if set.number("height") > 0 {
                let _ = first.set(set.number("height"));
            }
            Ok(lagging("frozen", Lag::At(Arc::new(first))))
        },
    },
    Kind {
        name: "head-goes-back",
        says: "One URL, two nodes: each time it is asked, the head is by chance up to so many blocks lower.",
        takes: &[number("blocks", 5, BLOCKS_MAX)],
        make: |set| {
            let blocks = set.number("blocks");
            Ok(asking("head-goes-back", &["eth_blockNumber", "eth_getBlockByNumber"], move |asked, honest, scene| {
                async move { behind(asked, honest, scene, blocks).await }.boxed()
            }))
        },
    },
    Kind {
        name: "ahead",
        says: "The head is said to be so many blocks higher than it is.",
        takes: &[number("blocks", 10, BLOCKS_MAX)],
        make: |set| {
            let blocks = set.number("blocks");
            Ok(plain("ahead", &["eth_blockNumber"], move |_, honest, _| {
                honest.map(|head| read(&head).map_or(head, |head| printed(head.saturating_add(blocks))))
            }))
        },
    },
    Kind {
        name: "null-at-head",
        says: "The newest blocks are null by number, though the head says they are there.",
        takes: &[number("blocks", 1, BLOCKS_MAX)],
        make: |set| {
            let blocks = set.number("blocks");
            Ok(near_head("null-at-head", &["eth_getBlockByNumber"], blocks, |_, _, _| Reply::Result(Value::Null)))
        },
    },
    Kind {
        name: "no-tag",
        says: "Blocks cannot be asked for by the tags safe and finalized.",
        takes: &[text("message", "is not a supported commitment level")],
        make: |set| {
            let message = set.text("message");
            Ok(plain("no-tag", &["eth_getBlockByNumber"], move |asked, honest, _| match asked.params[0].as_str() {
                Some(tag @ ("safe" | "finalized")) => Reply::error(-32000, format!("'{tag}' {message}")),
                _ => honest,
            }))
        },
    },
    Kind {
        name: "finalized-not-found",
        says: "The block of the tag finalized is not found.",
        takes: &[],
        make: |_| Ok(tag_not_found("finalized-not-found", "finalized")),
    },
    Kind {
        name: "safe-not-found",
        says: "The block of the tag safe is not found.",
        takes: &[],
        make: |_| Ok(tag_not_found("safe-not-found", "safe")),
    },
    Kind {
        name: "header-not-found",
        says: "Of the newest blocks it says: header not found.",
        takes: &[number("blocks", 1, BLOCKS_MAX), text("message", "header not found")],
        make: |set| {
            let message = set.text("message");
            Ok(near_head("header-not-found", ABOUT_BLOCKS, set.number("blocks"), move |_, _, _| {
                Reply::error(-32000, message.clone())
            }))
        },
    },
    Kind {
        name: "unknown-block",
        says: "Of the newest blocks it says: unknown block.",
        takes: &[number("blocks", 1, BLOCKS_MAX)],
        make: |set| {
            Ok(near_head("unknown-block", ABOUT_BLOCKS, set.number("blocks"), |_, _, _| {
                Reply::error(-32000, "unknown block")
            }))
        },
    },
    Kind {
        name: "other-chain",
        says: "The node says it is of another chain.",
        takes: &[number("id", 999, u64::MAX)],
        make: |set| {
            let id = set.number("id");
            Ok(plain("other-chain", &["eth_chainId", "net_version"], move |asked, honest, _| {
                honest.map(|_| if asked.method == "net_version" { json!(id.to_string()) } else { printed(id) })
            }))
        },
    },
    Kind {
        name: "altered-header",
        says: "A field of every header is changed and the hash is left as it was.",
        takes: &[text("field", "gasUsed")],
        make: |set| {
            let field = set.text("field");
            Ok(plain("altered-header", &["eth_getBlockByNumber", "eth_getBlockByHash"], move |_, honest, dice| {
                honest.map(|block| altered(block, &field, dice.throw()))
            }))
        },
    },
    Kind {
        name: "other-decimals",
        says: "Every token says that it has so many decimals.",
        takes: &[number("decimals", 8, 255)],
        make: |set| {
            let decimals = set.number("decimals");
            Ok(plain("other-decimals", &["eth_call"], move |asked, honest, _| {
                let calls = asked.params[0]["data"].as_str().or_else(|| asked.params[0]["input"].as_str());
                if calls == Some("0x313ce567") { Reply::Result(json!(format!("0x{decimals:064x}"))) } else { honest }
            }))
        },
    },
];

const ABOUT_BLOCKS: &[&str] = &[
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getLogs",
    "eth_call",
    "eth_getBalance",
];

#[derive(Debug, Clone)]
enum Lag {
    Behind(u64),
    At(Arc<OnceLock<u64>>),
}

fn lagging(name: &'static str, lag: Lag) -> Arc<dyn Fault> {
    asking(name, ABOUT_HEADS, move |asked, honest, scene| {
        let lag = lag.clone();
        async move {
            let Ok(head) = scene.head().await else { return honest };
            let own = match lag {
                Lag::Behind(blocks) => head.saturating_sub(blocks),
                Lag::At(height) => head.min(*height.get_or_init(|| head)),
            };
            as_of(asked, honest, scene, own).await
        }
        .boxed()
    })
}

/// What a node whose head is `own` answers.
pub(super) async fn as_of(asked: &Question, honest: Reply, scene: &Scene, own: u64) -> Reply {
    let null = Reply::Result(Value::Null);
    match asked.method.as_str() {
        "eth_blockNumber" => Reply::Result(printed(own)),
        "eth_getBlockByNumber" | "eth_getBlockReceipts" => match asked.params[0].as_str() {
            Some("latest" | "pending") => {
                let mut params = asked.params.clone();
                params[0] = printed(own);
                scene.ask_upstream(&asked.method, params).await.map_or(null, Reply::Result)
            }
            _ => match scene.height_of(&asked.params[0]).await {
                Some(height) if height > own => null,
                _ => honest,
            },
        },
        "eth_getBlockByHash" | "eth_getTransactionReceipt" | "eth_getTransactionByHash" => {
            let height =
                honest.result().and_then(|found| read(&found["number"]).or_else(|| read(&found["blockNumber"])));
            if height.is_some_and(|height| height > own) { null } else { honest }
        }
        "eth_getLogs" => honest.map(|logs| without_logs(logs, |height| height > own)),
        _ => honest,
    }
}

async fn behind(asked: &Question, honest: Reply, scene: &mut Scene, blocks: u64) -> Reply {
    let Ok(head) = scene.head().await else { return honest };
    let own = head.saturating_sub(scene.dice.below(blocks + 1));
    as_of(asked, honest, scene, own).await
}

/// The same logs without those of certain heights.
pub(super) fn without_logs(mut logs: Value, gone: impl Fn(u64) -> bool) -> Value {
    if let Some(list) = logs.as_array_mut() {
        list.retain(|log| !read(&log["blockNumber"]).is_some_and(&gone));
    }
    logs
}

/// A fault of questions about one of the newest blocks.
pub(super) fn near_head(
    name: &'static str,
    methods: &'static [&'static str],
    blocks: u64,
    spoil: impl Fn(&Question, Reply, &mut Scene) -> Reply + Send + Sync + 'static,
) -> Arc<dyn Fault> {
    let spoil = Arc::new(spoil);
    asking(name, methods, move |asked, honest, scene| {
        let spoil = spoil.clone();
        async move { if is_near(asked, scene, blocks).await { spoil(asked, honest, scene) } else { honest } }.boxed()
    })
}

async fn is_near(asked: &Question, scene: &Scene, blocks: u64) -> bool {
    // Asked for by name, the head must be there: who asks does not know better.
    if matches!(asked.params[0].as_str(), Some("latest" | "safe" | "finalized" | "earliest")) {
        return false;
    }
    let (Ok(head), Some(height)) = (scene.head().await, scene.height_asked(asked).await) else { return false };
    height.saturating_add(blocks) > head
}

fn tag_not_found(name: &'static str, tag: &'static str) -> Arc<dyn Fault> {
    plain(name, &["eth_getBlockByNumber"], move |asked, honest, _| {
        if asked.params[0] == tag { Reply::error(-39001, format!("{tag} block not found")) } else { honest }
    })
}

/// A number is another number, any other text another text of the same length.
fn altered(mut block: Value, field: &str, throw: u64) -> Value {
    if let Some(text) = block[field].as_str() {
        let changed = match read(&block[field]) {
            Some(number) if text.len() <= 18 => format!("{:#x}", number ^ (1 + throw % 1_000)),
            _ => text
                .chars()
                .enumerate()
                .map(|(at, c)| if at + 1 == text.len() { if c == '0' { '1' } else { '0' } } else { c })
                .collect(),
        };
        put(&mut block, field, Value::String(changed));
    }
    block
}
