//! Whether an answer has the shape that its question calls for: only such answers can be altered member by member.

use serde_json::Value;

use super::BATCH;

/// `null` fits everywhere: the node has no such thing.
pub(super) fn fits(method: &str, answer: &Value) -> bool {
    answer.is_null()
        || match method {
            "eth_getBlockByNumber" | "eth_getBlockByHash" => is_block(answer),
            "eth_getBlockReceipts" => list_of(answer, is_receipt),
            "eth_getTransactionReceipt" => is_receipt(answer),
            "eth_getLogs" => list_of(answer, is_log),
            BATCH => list_of(answer, Value::is_object),
            _ => true,
        }
}

fn is_block(value: &Value) -> bool {
    let named_or_whole = |entry: &Value| entry.is_string() || entry.is_object();
    value.is_object() && value.get("transactions").is_none_or(|list| list_of(list, named_or_whole))
}

fn is_receipt(value: &Value) -> bool {
    value.is_object() && value.get("logs").is_some_and(|logs| list_of(logs, is_log))
}

fn is_log(value: &Value) -> bool {
    value.get("topics").is_some_and(|topics| list_of(topics, Value::is_string))
}

fn list_of(value: &Value, is_one: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(is_one))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_fits_its_question_or_is_left_alone() {
        let log = json!({ "topics": ["0x1"] });
        assert!(fits("eth_getLogs", &json!([log])) && !fits("eth_getLogs", &json!([null])));
        assert!(fits("eth_getBlockReceipts", &json!([{ "logs": [log] }])));
        assert!(!fits("eth_getBlockReceipts", &json!([{ "logs": 7 }])) && !fits("eth_getBlockReceipts", &json!({})));
        assert!(fits("eth_getBlockByHash", &json!({ "transactions": ["0x1", {}] })));
        assert!(!fits("eth_getBlockByHash", &json!([])) && fits("eth_getBlockByHash", &Value::Null));
        assert!(fits(BATCH, &json!([{}])) && !fits(BATCH, &json!([7])) && fits("eth_chainId", &json!(7)));
    }
}
