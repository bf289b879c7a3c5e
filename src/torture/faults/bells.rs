//! What is pushed over a WebSocket, or is not.

use serde_json::json;

use super::Kind;
use crate::torture::{PUSH, Reply, plain};

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "silent-websocket",
        says: "The WebSocket takes subscriptions and then says nothing, with the connection open.",
        takes: &[],
        make: |_| Ok(plain("silent-websocket", &[PUSH], |_, _, _| Reply::Hang)),
    },
    Kind {
        name: "lossy-websocket",
        says: "Every other announcement is lost, by chance.",
        takes: &[],
        make: |_| {
            Ok(plain(
                "lossy-websocket",
                &[PUSH],
                |_, pushed, dice| {
                    if dice.permille(500) { Reply::Hang } else { pushed }
                },
            ))
        },
    },
    Kind {
        name: "closing-websocket",
        says: "The WebSocket ends where something was to be announced.",
        takes: &[],
        make: |_| Ok(plain("closing-websocket", &[PUSH], |_, _, _| Reply::Close)),
    },
    Kind {
        name: "garbage-websocket",
        says: "What is announced cannot be read.",
        takes: &[],
        make: |_| {
            Ok(plain("garbage-websocket", &[PUSH], |_, _, dice| {
                Reply::Result(json!({ "method": "eth_subscription", "params": { "result": dice.throw() } }))
            }))
        },
    },
];
