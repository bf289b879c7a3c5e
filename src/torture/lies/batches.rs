//! Lies about which answer belongs to which question of a batch.

use serde_json::{Value, json};

use super::{Lie, Tell};
use crate::torture::BATCH;

const WHOLE: &[&str] = &[BATCH];

pub(super) const LIES: &[Lie] = lies! {
    "batch-swapped", "The answers of a batch go to each other's questions.", WHOLE,
        Tell::Alone(|_, _, mut all| {
            if let Some([first, .., last]) = all.as_array_mut().map(Vec::as_mut_slice) {
                std::mem::swap(&mut first["result"], &mut last["result"]);
            }
            all
        });
    "batch-one-for-all", "Every question of a batch gets the answer of the first.", WHOLE,
        Tell::Alone(|_, _, mut all| {
            let first = all[0]["result"].clone();
            all.as_array_mut().into_iter().flatten().for_each(|reply| reply["result"] = first.clone());
            all
        });
    "batch-ids-repeated", "All answers of a batch bear one id.", WHOLE,
        Tell::Alone(|_, _, mut all| {
            let id = all[0]["id"].clone();
            all.as_array_mut().into_iter().flatten().for_each(|reply| reply["id"] = id.clone());
            all
        });
    "batch-answer-missing", "The last question of a batch gets no answer.", WHOLE,
        Tell::Alone(|_, _, mut all| {
            all.as_array_mut().into_iter().for_each(|list| drop(list.pop()));
            all
        });
    "batch-answer-too-many", "A batch has an answer to a question nobody asked.", WHOLE,
        Tell::Alone(|_, _, mut all| {
            all.as_array_mut()
                .into_iter()
                .for_each(|list| list.push(json!({ "jsonrpc": "2.0", "id": 999_999_999, "result": "0x1" })));
            all
        });
    "batch-without-ids", "No answer of a batch says which question it answers.", WHOLE,
        Tell::Alone(|_, _, mut all| {
            all.as_array_mut().into_iter().flatten().for_each(|reply| reply["id"] = Value::Null);
            all
        });
    "batch-empty", "A batch has no answers.", WHOLE, Tell::Alone(|_, _, _| json!([]));
};
