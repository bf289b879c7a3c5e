//! From a body to answers: every reply belongs to exactly one question, and says one thing.

use bytes::Bytes;

use crate::answer::Answer;
use crate::envelope::{self, Envelope};
use crate::error::RpcError;
use crate::{classify, http};

/// Statuses by which servers that know no batches refuse one.
const NO_BATCHES: [u16; 5] = [400, 405, 415, 422, 501];

/// The answer to the question `id`.
pub(crate) fn one(method: &str, id: u64, http: &http::Reply) -> Result<Answer, RpcError> {
    match envelope::open(&http.body, 1) {
        Ok(Envelope::One(reply)) => read(method, id, reply, http),
        Ok(Envelope::Many(_)) => Err(by_status(method, http, "a list for a single question")),
        // A call tree is as deep as its maker paid for: that makes no liar of the node.
        Err(envelope::Fault::TooDeep) if method.starts_with("debug_") || method.starts_with("trace_") => {
            Err(RpcError::Unsupported("the trace nests deeper than we read".to_owned()))
        }
        Err(fault) => Err(by_status(method, http, fault.what())),
    }
}

/// The answer to a question by REST: the whole body, where neither its status nor it itself says that it is none.
pub(crate) fn rest(route: &str, http: &http::Reply) -> Result<Answer, RpcError> {
    let whole = envelope::bounded(&http.body);
    if let Some(refusal) = classify::rest(route, http, whole == Ok(true)) {
        return Err(refusal);
    }
    match whole {
        Ok(_) => Ok(Answer::new(http.body.clone())),
        Err(fault) => Err(malformed(fault.what())),
    }
}

/// A file: the whole body, of whatever bytes.
pub(crate) fn file(route: &str, http: &http::Reply) -> Result<Bytes, RpcError> {
    match http.status {
        200 => Ok(http.body.clone()),
        404 | 410 => Err(RpcError::NotYet(format!("HTTP {}: there is no such file", http.status))),
        // A part of a file, or nothing, where the whole was asked for.
        status @ 201..300 => Err(malformed(&format!("HTTP {status} instead of a file"))),
        _ => Err(by_status(route, http, "no file")),
    }
}

/// The answers to the questions `first_id`, `first_id + 1`, …, in their order.
pub(crate) fn many(
    methods: &[&'static str],
    first_id: u64,
    http: &http::Reply,
) -> Result<Vec<Result<Answer, RpcError>>, RpcError> {
    let replies = match envelope::open(&http.body, methods.len()) {
        Ok(Envelope::Many(replies)) => replies,
        // One error for many questions is a refusal of the batch, whichever id it picks.
        Ok(Envelope::One(envelope::Reply { error: Some(error), .. })) => {
            return Err(classify::error_object("", http.status, http.retry_after, &error));
        }
        Ok(Envelope::One(_)) => return Err(by_status("", http, "a single reply to a batch")),
        Err(_) if NO_BATCHES.contains(&http.status) => {
            return Err(RpcError::Unsupported(format!("batches: HTTP {}", http.status)));
        }
        Err(fault) => return Err(by_status("", http, fault.what())),
    };
    let mut outcomes: Vec<Option<Result<Answer, RpcError>>> = methods.iter().map(|_| None).collect();
    for reply in replies {
        let id = reply.id.as_deref().and_then(number).ok_or_else(|| malformed("a reply without an id"))?;
        let nth = id.checked_sub(first_id).and_then(|nth| usize::try_from(nth).ok());
        let slot = nth.and_then(|nth| outcomes.get_mut(nth).zip(methods.get(nth)));
        let (slot, method) = slot.ok_or_else(|| malformed("a reply to nothing that was asked"))?;
        if slot.replace(read(method, id, reply, http)).is_some() {
            return Err(malformed("two replies to one question"));
        }
    }
    let missing = || Err(malformed("no reply to this question of the batch"));
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect())
}

fn read(method: &str, id: u64, reply: envelope::Reply, http: &http::Reply) -> Result<Answer, RpcError> {
    // Gateways that refuse before they read the question do not know its id.
    let known = reply.id.as_deref().filter(|id| *id != b"null").map(number);
    match (reply.error, reply.result) {
        (Some(_), Some(result)) if result.as_ref() != b"null" => Err(malformed("both a result and an error")),
        (Some(_), _) if known.is_some_and(|known| known != Some(id)) => Err(malformed("an error for another question")),
        (Some(error), _) => Err(classify::error_object(method, http.status, http.retry_after, &error)),
        (None, None) => Err(by_status(method, http, "neither a result nor an error")),
        (None, Some(_)) if !(200..300).contains(&http.status) => {
            Err(by_status(method, http, "a result with a refusal"))
        }
        (None, Some(_)) if known.flatten() != Some(id) => Err(malformed("a result for another question")),
        (None, Some(result)) => Ok(Answer::new(result)),
    }
}

/// What a reply means that is no JSON-RPC: its status says it, and if that says that all is well, it is malformed.
fn by_status(method: &str, http: &http::Reply, what: &str) -> RpcError {
    classify::http_status(method, http.status, http.retry_after, &http.body).unwrap_or_else(|| malformed(what))
}

fn malformed(what: &str) -> RpcError {
    RpcError::malformed(what)
}

/// Ids are ours, and we only give numbers.
fn number(id: &[u8]) -> Option<u64> {
    std::str::from_utf8(id).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn http(status: u16, body: &str) -> http::Reply {
        http::Reply { status, retry_after: None, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn ask(body: &str) -> Result<Answer, RpcError> {
        one("eth_blockNumber", 7, &http(200, body))
    }

    #[test]
    fn a_result_is_taken_only_with_the_id_that_was_asked() {
        assert_eq!(ask(r#"{"id":7,"result":"0x1"}"#).unwrap().parse::<String>(), Ok("0x1".to_owned()));
        assert!(ask(r#"{"id":7,"result":null,"error":null}"#).unwrap().is_null());
        for body in [
            r#"{"id":8,"result":"0x1"}"#,
            r#"{"id":"7","result":"0x1"}"#,
            r#"{"id":null,"result":"0x1"}"#,
            r#"{"result":"0x1"}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"error":null}"#,
            r#"{"id":7,"result":1,"error":{"code":1}}"#,
            r#"{"id":8,"error":{"code":-32000,"message":"header not found"}}"#,
            r#"[{"id":7,"result":"0x1"}]"#,
            "<html>",
            "",
        ] {
            assert!(matches!(ask(body), Err(RpcError::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn an_error_may_come_without_an_id() {
        for body in [
            r#"{"id":null,"error":{"code":-32016,"message":"over rate limit"}}"#,
            r#"{"error":{"code":-32016,"message":"over rate limit"}}"#,
            r#"{"id":7,"result":null,"error":{"code":-32016,"message":"over rate limit"}}"#,
        ] {
            assert!(matches!(ask(body), Err(RpcError::CoolDown { .. })), "{body}");
        }
    }

    #[test]
    fn a_trace_that_is_too_deep_makes_no_liar_of_the_node() {
        let deep = http(200, &format!(r#"{{"id":7,"result":{}{}}}"#, "[".repeat(900), "]".repeat(900)));
        assert!(matches!(one("debug_traceBlockByHash", 7, &deep), Err(RpcError::Unsupported(_))));
        assert!(matches!(one("eth_getLogs", 7, &deep), Err(RpcError::Malformed(_))));
    }

    #[test]
    fn a_batch_in_any_order_is_sorted_and_a_missing_reply_is_said_to_be_missing() {
        let body = r#"[{"id":12,"result":"c"},{"id":10,"result":"a"}]"#;
        let outcomes = many(&["a", "b", "c"], 10, &http(200, body)).unwrap();
        let texts: Vec<_> = outcomes.iter().map(|o| o.as_ref().ok().map(|a| a.parse::<String>().unwrap())).collect();
        assert_eq!(texts, [Some("a".to_owned()), None, Some("c".to_owned())]);
        assert!(matches!(outcomes[1], Err(RpcError::Malformed(_))));
    }

    #[test]
    fn a_batch_that_answers_something_else_is_malformed() {
        for body in [
            r#"[{"id":10,"result":"a"},{"id":10,"result":"b"}]"#,
            r#"[{"id":10,"result":"a"},{"id":99,"result":"b"}]"#,
            r#"[{"id":9,"result":"a"}]"#,
            r#"[{"result":"a"}]"#,
            r#"{"id":10,"result":"a"}"#,
            "true",
        ] {
            assert!(matches!(many(&["a", "b"], 10, &http(200, body)), Err(RpcError::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn a_refused_batch_says_why() {
        let limited = r#"{"id":null,"error":{"code":-32005,"message":"too many requests"}}"#;
        assert!(matches!(many(&["a", "b"], 1, &http(200, limited)), Err(RpcError::CoolDown { .. })));
        let refused = r#"{"id":null,"error":{"code":-32600,"message":"no"}}"#;
        assert!(matches!(many(&["a", "b"], 1, &http(200, refused)), Err(RpcError::Rejected { .. })));
        assert!(matches!(many(&["a", "b"], 1, &http(400, "<html>")), Err(RpcError::Unsupported(_))));
        assert!(matches!(many(&["a", "b"], 1, &http(413, "<html>")), Err(RpcError::Split { .. })));
        assert!(matches!(many(&["a", "b"], 1, &http(502, "<html>")), Err(RpcError::TryOther { .. })));
    }

    const WHOLE: [&str; 4] = [
        r#"{"jsonrpc":"2.0","id":7,"result":[{"address":"0xdac17f95","topics":["0xddf2","0x00"],"data":"0x01","removed":false}]}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32005,"message":"query returned more than 10000 results. Try with this block range [0x1, 0x2].","data":{"from":"0x1","to":"0x2"}}}"#,
        r#"[{"jsonrpc":"2.0","id":8,"result":null},{"jsonrpc":"2.0","id":7,"error":{"code":429,"message":"try again in 250ms"}}]"#,
        r#"{"id":7,"error":{"message":"rate limit","data":{"rate":{"backoff_seconds":3.5}}}}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever a node makes of a reply, reading it ends in an answer or an error.
        #[test]
        fn a_mutated_reply_never_panics(
            which in 0..WHOLE.len(),
            status in prop::sample::select(vec![200, 200, 200, 400, 413, 429, 500]),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..8),
        ) {
            let mut body = WHOLE[which].as_bytes().to_vec();
            for (place, byte, edit) in edits {
                let at = place.index(body.len().max(1)).min(body.len());
                match edit {
                    0 => body.truncate(at),
                    1 => body.insert(at, byte),
                    2 => body.splice(at..at, br#"[{"\\u"#.iter().copied()).for_each(drop),
                    _ => if let Some(old) = body.get_mut(at) { *old = byte },
                }
            }
            let reply = http::Reply { status, retry_after: None, body: body.into() };
            if let Ok(answer) = one("eth_getLogs", 7, &reply) {
                drop(answer.parse::<serde_json::Value>());
                drop(answer.parse_borrowed::<Vec<&str>>());
            }
            drop(many(&["eth_getLogs", "eth_call"], 7, &reply));
        }
    }
}
