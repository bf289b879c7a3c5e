//! Lies about native money: whole transactions as they never were sent.

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

use super::{Aim, Lie, Tell};

const BLOCK: &[&str] = &["eth_getBlockByNumber", "eth_getBlockByHash"];

pub(super) const LIES: &[Lie] = lies! {
    "native-value-altered", "A transaction moves a thousand times its value.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, more));
    "native-value-renamed", "A transaction moves a thousand times its value, and bears the name that fits.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, |tx| {
            more(tx);
            tx["hash"] = json!(alloy_primitives::B256::repeat_byte(0x68));
        }));
    "native-recipient-altered", "A transaction pays somebody else.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, |tx| tx["to"] = json!(aim.thief)));
    "native-invented", "A block holds a payment that was never sent.", BLOCK,
        Tell::Alone(|aim, _, mut b| {
            if let Some(list) = b["transactions"].as_array_mut().filter(|list| list.iter().any(Value::is_object)) {
                let mut tx = list[0].clone();
                tx["to"] = json!(aim.thief);
                tx["value"] = json!(aim.amount);
                list.push(tx);
            }
            b
        });
    "native-left-out", "A payment is left out of a block.", BLOCK,
        Tell::Alone(|aim, _, mut b| {
            b["transactions"].as_array_mut().into_iter().for_each(|list| list.retain(|tx| !pays(aim, tx)));
            b
        });
    "native-of-an-unknown-type", "A transaction of a type nobody knows moves a thousand times its value.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, |tx| {
            more(tx);
            tx["type"] = json!("0x70");
        }));
    "native-hidden-by-type", "A payment is of a type nobody knows, and moves nothing.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, |tx| {
            tx["type"] = json!("0x70");
            tx["value"] = json!("0x0");
        }));
    "native-sender-altered", "A payment comes from somebody else.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, |tx| tx["from"] = json!(aim.thief)));
    "native-value-garbage", "A transaction moves a value that is no number.", BLOCK,
        Tell::Alone(|aim, _, b| paying(aim, b, |tx| tx["value"] = json!("0xzz")));
};

/// Whether a whole transaction is a payment the lie is about.
fn pays(aim: &Aim, tx: &Value) -> bool {
    let to = tx["to"].as_str().and_then(|to| to.parse::<Address>().ok());
    to.is_some() && aim.payee.is_none_or(|payee| to == Some(payee)) && value(tx).is_some_and(|value| !value.is_zero())
}

fn value(tx: &Value) -> Option<U256> {
    tx["value"].as_str()?.parse().ok()
}

fn paying(aim: &Aim, mut block: Value, change: impl Fn(&mut Value)) -> Value {
    let list = block["transactions"].as_array_mut().into_iter().flatten();
    list.filter(|tx| pays(aim, tx)).for_each(change);
    block
}

fn more(tx: &mut Value) {
    tx["value"] = json!(value(tx).unwrap_or_default().saturating_mul(U256::from(1_000)));
}
