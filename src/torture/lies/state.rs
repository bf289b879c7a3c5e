//! Lies about what addresses hold, and what moved inside contract calls.

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

use super::{Lie, Tell};

const BALANCE: &[&str] = &["eth_getBalance"];
const TRACE: &[&str] = &["debug_traceBlockByHash"];

pub(super) const LIES: &[Lie] = lies! {
    "balance-larger", "The thief holds more than it was ever sent.", BALANCE,
        Tell::Alone(|aim, asked, held| {
            let of = asked.params[0].as_str().and_then(|of| of.parse::<Address>().ok());
            if of == Some(aim.thief) { json!(aim.amount) } else { held }
        });
    "balance-zero", "Nobody holds anything.", BALANCE, Tell::Alone(|_, _, _| json!("0x0"));
    "balance-huge", "Everybody holds more than there is.", BALANCE, Tell::Alone(|_, _, _| json!(U256::MAX));
    "trace-invented", "A contract's call paid the thief.", TRACE,
        Tell::Alone(|aim, _, mut all| {
            if let Some(calls) = all.pointer_mut("/0/result").and_then(Value::as_object_mut) {
                let call = json!({
                    "type": "CALL", "from": Address::repeat_byte(0x33), "to": aim.thief,
                    "value": aim.amount, "calls": [],
                });
                let nested = calls.entry("calls").or_insert(Value::Null);
                match nested.as_array_mut() {
                    Some(list) => list.push(call),
                    None => *nested = json!([call]),
                }
            }
            all
        });
};
