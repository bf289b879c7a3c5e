//! Lies about where the chain ends, and how far it is final.

use alloy_primitives::B256;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::{Lie, Tell, forge};
use crate::torture::scene::{number, printed};
use crate::torture::{Question, Scene};

const BY_NUMBER: &[&str] = &["eth_getBlockByNumber"];
const HEAD: &[&str] = &["eth_getBlockByNumber", "eth_blockNumber"];

/// How far behind a stale head is: more than any honest node.
const STALE: u64 = 8;
/// How far above the chain an invented head is.
const FUTURE: u64 = 1_000_000;

pub(super) const LIES: &[Lie] = lies! {
    "stale-head", "The head is eight blocks old, and nothing above it is known.", HEAD,
        Tell::Asking(|_, asked, honest, scene| stale(asked, honest, scene, 0).boxed());
    "old-head-by-turns", "Every second time the head is eight blocks old.", HEAD,
        Tell::Asking(|_, asked, honest, scene| {
            if scene.nth % 2 == 0 { std::future::ready(honest).boxed() } else { older(asked, honest, scene, STALE).boxed() }
        });
    "head-stands-still", "The head is always the first block.", HEAD,
        Tell::Asking(|_, asked, honest, scene| older(asked, honest, scene, u64::MAX).boxed());
    "future-head", "A head a million blocks above the chain, with a hash that fits.", HEAD,
        Tell::Alone(|_, asked, honest| {
            let Some(number) = number(&honest) else { return tagged(asked, "latest", honest, |b| raised(b, FUTURE)) };
            printed(number + FUTURE)
        });
    "rival-head", "The head is a block that somebody else might have made.", BY_NUMBER,
        Tell::Alone(|_, asked, honest| tagged(asked, "latest", honest, forge::rival));
    "no-head", "There is no head.", BY_NUMBER, Tell::Alone(|_, asked, b| tagged(asked, "latest", b, |_| Value::Null));
    "list-for-a-head", "A list in the place of the head.", BY_NUMBER,
        Tell::Alone(|_, asked, b| tagged(asked, "latest", b, |_| json!([])));
    "finalized-above-head", "The final block is above the head.", BY_NUMBER,
        Tell::Alone(|_, asked, b| tagged(asked, "finalized", b, |b| raised(b, FUTURE)));
    "finalized-is-head", "The head is called final, and safe.", BY_NUMBER,
        Tell::Asking(|_, asked, honest, scene| called(asked, honest, scene, &["safe", "finalized"], 0).boxed());
    "finalized-on-another-branch", "The final block is one that somebody else might have made.", BY_NUMBER,
        Tell::Alone(|_, asked, b| tagged(asked, "finalized", b, forge::rival));
    "finalized-goes-back", "The final block is eight blocks older than it was.", BY_NUMBER,
        Tell::Asking(|_, asked, honest, scene| called(asked, honest, scene, &["finalized"], STALE + 8).boxed());
    "safe-below-finalized", "The safe block is the first one, below the final one.", BY_NUMBER,
        Tell::Asking(|_, asked, honest, scene| called(asked, honest, scene, &["safe"], u64::MAX).boxed());
    "safe-is-head", "The head is called safe.", BY_NUMBER,
        Tell::Asking(|_, asked, honest, scene| called(asked, honest, scene, &["safe"], 0).boxed());
    "no-tags", "Nothing is safe or final.", BY_NUMBER,
        Tell::Alone(|_, asked, b| {
            if asked.params[0] == "safe" || asked.params[0] == "finalized" { Value::Null } else { b }
        });
};

/// Changes the block of a tag only.
fn tagged(asked: &Question, tag: &str, block: Value, change: impl FnOnce(Value) -> Value) -> Value {
    if asked.params[0] == tag { change(block) } else { block }
}

/// The block as it might stand so much higher.
fn raised(mut block: Value, by: u64) -> Value {
    if let Some(height) = number(&block["number"]) {
        block["number"] = printed(height + by);
        block["parentHash"] = json!(B256::repeat_byte(0x0f));
    }
    forge::sealed(block)
}

/// The head of so many blocks ago, by tag and by count.
async fn older(asked: &Question, honest: Value, scene: &Scene, back: u64) -> Value {
    let Ok(head) = scene.head().await else { return honest };
    let then = head.saturating_sub(back);
    match asked.method.as_str() {
        "eth_blockNumber" => printed(then),
        _ if asked.params[0] == "latest" => {
            scene.ask_upstream("eth_getBlockByNumber", json!([printed(then), asked.params[1]])).await.unwrap_or(honest)
        }
        _ => honest,
    }
}

/// The same, and no block above that head is known; tags above it neither.
async fn stale(asked: &Question, honest: Value, scene: &Scene, more: u64) -> Value {
    let Ok(head) = scene.head().await else { return honest };
    let then = head.saturating_sub(STALE + more);
    if number(&asked.params[0]).is_some_and(|height| height > then) {
        return Value::Null;
    }
    older(asked, honest, scene, STALE + more).await
}

/// The block so far below the head, for these tags.
async fn called(asked: &Question, honest: Value, scene: &Scene, tags: &[&str], back: u64) -> Value {
    if !asked.params[0].as_str().is_some_and(|tag| tags.contains(&tag)) {
        return honest;
    }
    let Ok(head) = scene.head().await else { return honest };
    let params = json!([printed(head.saturating_sub(back)), asked.params[1]]);
    scene.ask_upstream("eth_getBlockByNumber", params).await.unwrap_or(honest)
}
