//! One case for each wording that a provider is known to use.

use super::*;

const LOGS: &str = "eth_getLogs";

fn judge(method: &str, status: u16, error: &str) -> RpcError {
    error_object(method, status, None, &Bytes::copy_from_slice(error.as_bytes()))
}

fn of(code: i64, message: &str) -> RpcError {
    judge(LOGS, 200, &serde_json::json!({ "code": code, "message": message }).to_string())
}

#[test]
fn a_range_that_is_too_large_is_split_and_not_blamed_on_the_node() {
    let alchemy = "You can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range should work: [0x10, 0x19]";
    let cases = [
        (-32600, alchemy, Some((0x10, 0x19))),
        (-32602, alchemy, Some((0x10, 0x19))),
        (-32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.", None),
        (
            -32602,
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0x1, 0x2]",
            Some((1, 2)),
        ),
        (-32602, "this block range should work: [0x19, 0x10]", None),
        (-32005, "query returned more than 10000 results. Try with this block range [0xA1, 0xB2].", Some((0xa1, 0xb2))),
        (-32602, "range 1000000 exceeds limit of 10000", None),
        (-32005, "query timeout exceeded", None),
        (-32005, "query duration limit of 10s exceeded", None),
        (-32614, "eth_getLogs is limited to a 10,000 range", None),
        (-32614, "eth_getLogs is limited to a 5 range", None),
        (35, "ranges over 10000 blocks are not supported on freetier", None),
        (-32600, "block range is too wide", None),
        (-32600, "query exceeds max results", None),
        (-32600, "maximum [from, to] blocks distance: 3000", None),
        (-32000, "maximum block range: 50000", None),
        (-32000, "exceed maximum block range: 5000", None),
        (-32000, "block range too large", None),
        (-32020, "backend response too large", None),
        (-32602, "query exceeds max block range 100000", None),
        (-32602, "query exceeds max results 20000, retry with the range 100-150", Some((100, 150))),
        (-32008, "Response is too big", None),
        (-32000, "eth_getLogs range is too large, max is 1k blocks", None),
        (-32000, "eth_getLogs is limited to 1024 block range", None),
        (-32000, "Block range limit exceeded.", None),
        (-32602, "please limit the query to at most 1000 blocks", None),
        (-32000, "logs matched by query exceeds limit of 10000", None),
        (-32000, "Please specify less number of address", None),
        (-32602, "exceed max addresses or topics per search position", None),
        (-32000, "too many filters, current limit is 20", None),
        (-32005, "limit exceeded", None),
    ];
    for (code, message, hint) in cases {
        assert_eq!(of(code, message), RpcError::Split { hint }, "{code} {message}");
    }
}

#[test]
fn a_hint_may_stand_in_the_data() {
    let error = r#"{"code":-32005,"message":"query returned more than 10000 results","data":{"from":"0x64","limit":10000,"to":"0xc8"}}"#;
    assert_eq!(judge(LOGS, 200, error), RpcError::Split { hint: Some((100, 200)) });
}

#[test]
fn rates_and_bills_are_cooled_down_for() {
    let cases = [
        (-32005, "project ID request rate exceeded", RATE_WAIT),
        (-32005, "something unheard of", RATE_WAIT),
        (-32005, "daily request count exceeded, request rate limited", COOL_DOWN_MAX),
        (-32016, "over rate limit", RATE_WAIT),
        (-32007, "15/second request limit reached - reduce calls per second or upgrade your account", RATE_WAIT),
        (429, "Your app has exceeded its compute units per second capacity.", RATE_WAIT),
        (-32000, "the service is under too much load", RATE_WAIT),
        (
            429,
            "Monthly capacity limit exceeded. Visit https://dashboard.example/settings/billing to upgrade",
            COOL_DOWN_MAX,
        ),
        (-32000, "upgrade at https://dashboard.example/billing", COOL_DOWN_MAX),
        (35, "you have reached the free tier", COOL_DOWN_MAX),
        (402, "no credit", COOL_DOWN_MAX),
        (-32000, "too many requests, try again in 250ms", Duration::from_millis(250)),
        (-32000, "rate limit, retry after 30 seconds", Duration::from_secs(30)),
        (-32000, "rate limit, try again in 90m", COOL_DOWN_MAX),
        (-32000, "rate limit, try again in 0s", WAIT_MIN),
    ];
    for (code, message, wait) in cases {
        let RpcError::CoolDown { wait: got, .. } = of(code, message) else {
            panic!("{code} {message}: {:?}", of(code, message))
        };
        assert_eq!(got, wait, "{code} {message}");
    }
}

#[test]
fn a_backoff_in_the_data_is_kept_and_bounded() {
    let wait = |seconds: &str| {
        let error = format!(
            r#"{{"code":-32005,"message":"project ID request rate exceeded","data":{{"rate":{{"backoff_seconds":{seconds}}}}}}}"#
        );
        judge("eth_call", 200, &error)
    };
    assert!(matches!(wait("30"), RpcError::CoolDown { wait, .. } if wait == Duration::from_secs(30)));
    assert!(matches!(wait("1e30"), RpcError::CoolDown { wait, .. } if wait <= COOL_DOWN_MAX));
    assert!(matches!(wait("-1"), RpcError::CoolDown { wait, .. } if wait == RATE_WAIT));
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    for (code, message) in [
        (-32000, "header not found"),
        (-32000, "unknown block"),
        (-39001, "Unknown block"),
        (-32000, "finalized block not found"),
        (-39001, "safe block not found"),
        (-32602, "block range extends beyond current head block"),
        (-32602, "BlockOutOfRangeError: block height is 5 but requested was 65535"),
        (-32000, "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found."),
        (-32001, "resource not found"),
    ] {
        assert!(matches!(of(code, message), RpcError::NotYet(_)), "{code} {message}");
    }
}

#[test]
fn what_a_node_does_not_offer_is_unsupported() {
    for (code, message) in [
        (-32601, "anything"),
        (-32601, "the method eth_getBlockReceipts does not exist/is not available"),
        (-32000, "Method not found"),
        (-32000, "method not supported"),
        (-32000, "unsupported method: eth_getBlockReceipts"),
        (35, "method is not available on freetier"),
        (-32602, "safe is not a supported block tag"),
        (-32600, "batch requests are not supported"),
    ] {
        assert!(matches!(of(code, message), RpcError::Unsupported(_)), "{code} {message}");
    }
}

#[test]
fn history_that_is_gone_is_looked_for_elsewhere() {
    for (code, message) in [
        (-32000, "missing trie node 1234 (path ) state 0x12 is not available"),
        (4444, "pruned history unavailable"),
        (-32000, "historical state not available, use an archive node"),
    ] {
        assert!(matches!(of(code, message), RpcError::Pruned(_)), "{code} {message}");
    }
}

#[test]
fn a_wrong_question_is_rejected_and_an_unwell_node_is_not_asked_again() {
    for (code, message) in
        [(-32602, "invalid argument 0"), (-32600, "x"), (3, "execution reverted"), (-32000, "execution reverted: no")]
    {
        assert!(matches!(of(code, message), RpcError::Rejected { code: got, .. } if got == code), "{code} {message}");
    }
    for (code, message) in [
        (-32603, "internal error"),
        (-32011, "no backend is currently healthy to serve traffic"),
        (-32000, "unheard of"),
        (19, "Temporary internal error. Please retry"),
    ] {
        assert!(matches!(of(code, message), RpcError::TryOther { .. }), "{code} {message}");
    }
    assert!(of(-32002, "request timed out").timed_out());
}

#[test]
fn a_timeout_of_the_query_asks_for_less_only_where_less_can_be_asked_for() {
    let error = r#"{"code":-32000,"message":"query timeout"}"#;
    assert_eq!(judge(LOGS, 200, error), RpcError::Split { hint: None });
    assert!(judge("eth_call", 200, error).timed_out());
}

#[test]
fn the_body_weighs_more_than_the_status() {
    let range = r#"{"code":-32614,"message":"eth_getLogs is limited to a 10,000 range"}"#;
    for status in [400, 413, 429, 402, 500] {
        assert_eq!(judge(LOGS, status, range), RpcError::Split { hint: None }, "{status}");
    }
    let gone = r#"{"code":-32000,"message":"header not found"}"#;
    assert!(matches!(judge(LOGS, 400, gone), RpcError::NotYet(_)));
    assert!(matches!(judge(LOGS, 429, gone), RpcError::CoolDown { .. }));
    let unknown = r#"{"code":-32600,"message":"no"}"#;
    assert!(matches!(judge(LOGS, 403, unknown), RpcError::Credentials(_)));
    assert!(matches!(judge(LOGS, 402, unknown), RpcError::CoolDown { wait, .. } if wait == COOL_DOWN_MAX));
    assert!(matches!(judge(LOGS, 400, unknown), RpcError::Rejected { .. }));
}

#[test]
fn a_status_without_json_says_what_to_do() {
    let status = |status, text: &'static str| http_status(LOGS, status, None, &Bytes::from_static(text.as_bytes()));
    assert_eq!(status(200, "<html>"), None);
    assert!(matches!(status(429, ""), Some(RpcError::CoolDown { .. })));
    assert!(matches!(status(402, ""), Some(RpcError::CoolDown { .. })));
    assert!(matches!(status(401, "Must be authenticated!"), Some(RpcError::Credentials(_))));
    assert!(matches!(status(403, "<html>"), Some(RpcError::Credentials(_))));
    assert_eq!(status(413, "<html>"), Some(RpcError::Split { hint: None }));
    assert!(matches!(status(502, "<html>"), Some(RpcError::TryOther { timed_out: false, .. })));
    assert!(matches!(status(504, "<html>"), Some(RpcError::TryOther { timed_out: true, .. })));
    assert!(matches!(status(301, ""), Some(RpcError::TryOther { .. })));
    assert!(matches!(status(400, "Monthly capacity limit exceeded"), Some(RpcError::CoolDown { .. })));
    let told = http_status(LOGS, 503, Some(Duration::from_secs(9)), &Bytes::new());
    assert!(matches!(told, Some(RpcError::CoolDown { wait, .. }) if wait == Duration::from_secs(9)));
    let greedy = http_status(LOGS, 429, Some(Duration::from_secs(1 << 40)), &Bytes::new());
    assert!(matches!(greedy, Some(RpcError::CoolDown { wait, .. }) if wait == COOL_DOWN_MAX));
}

#[test]
fn an_error_of_any_shape_is_understood() {
    assert!(matches!(judge(LOGS, 200, r#""rate limited""#), RpcError::CoolDown { .. }));
    assert!(matches!(judge(LOGS, 200, r#"{"code":"-32601"}"#), RpcError::Unsupported(_)));
    assert!(matches!(judge(LOGS, 200, r#"{"message":null,"data":"header not found"}"#), RpcError::NotYet(_)));
    assert!(matches!(judge(LOGS, 200, r#"{"code":1,"data":{"message":"header not found"}}"#), RpcError::NotYet(_)));
    assert!(matches!(judge(LOGS, 200, "{}"), RpcError::TryOther { .. }));
    assert!(matches!(judge(LOGS, 200, "[1,2"), RpcError::TryOther { .. }));
    let long = format!(r#"{{"message":"{}"}}"#, "é".repeat(100_000));
    let RpcError::TryOther { detail, .. } = judge(LOGS, 200, &long) else { panic!("not understood") };
    assert!(detail.chars().count() < 300);
}

#[test]
fn an_error_of_broken_utf8_is_read_all_the_same() {
    let error = Bytes::from_static(b"{\"code\":-32000,\"message\":\"header not found \x80\",\"data\":{\"\xff\":1}}");
    assert!(matches!(error_object(LOGS, 200, None, &error), RpcError::NotYet(_)));
}

#[test]
fn the_words_of_ton_and_stellar_nodes_are_known_too() {
    let of = |code: i64, message: &str| of(code, message);
    assert!(matches!(
        of(500, "LITE_SERVER_UNKNOWN: cannot find block (0,8000000000000000,9) lt=0"),
        RpcError::NotYet(_)
    ));
    assert!(matches!(of(500, "LITE_SERVER_NOTREADY: block is not applied"), RpcError::NotYet(_)));
    assert!(matches!(of(500, "LITE_SERVER_UNKNOWN: cannot compute: lt not in db"), RpcError::Pruned(_)));
    assert!(matches!(of(429, "Ratelimit exceed"), RpcError::CoolDown { .. }));
    assert!(matches!(of(-32000, "rpc queue for getLedgers surpassed queue limit"), RpcError::CoolDown { .. }));
    for message in [
        "start ledger (9) must be between the oldest ledger: 1 and the latest ledger: 8 for this rpc instance",
        "startLedger must be within the ledger range: 1 - 8",
        "database does not contain metadata for ledger: 9",
    ] {
        assert!(matches!(of(-32600, message), RpcError::NotYet(_)), "{message}");
        assert!(matches!(of(-32602, message), RpcError::NotYet(_)), "{message}");
    }
    for message in [
        "latency (45s) since last known ledger closed is too high (>30s)",
        "data stores are not initialized: error getting latest ledger",
        "request timed out",
    ] {
        assert!(matches!(of(-32603, message), RpcError::TryOther { .. }), "{message}");
    }
    assert!(of(-32001, "timed out").timed_out());
    assert!(of(-32001, "request exceeded processing limit threshold").timed_out());
    assert!(matches!(
        of(-32003, "request failed to process due to internal issue"),
        RpcError::TryOther { timed_out: false, .. }
    ));
    assert_eq!(of(-32600, "limit must not exceed 200"), RpcError::Split { hint: None });
    assert!(matches!(of(-32601, "method not found"), RpcError::Unsupported(_)));
}

/// The three APIs of TON, as they word what they refuse: status, body, and what is to be done.
#[test]
fn the_refusals_of_ton_apis_say_what_to_do() {
    let of = |status: u16, body: &str| {
        let http = http::Reply { status, retry_after: None, body: Bytes::copy_from_slice(body.as_bytes()) };
        rest("blocks", &http, true).map_or("an answer", |error| error.class())
    };
    let v2 = |status: u16, why: &str| {
        of(status, &serde_json::json!({ "ok": false, "error": why, "code": status }).to_string())
    };
    assert_eq!(of(429, r#"{"ok": false, "result": "Ratelimit exceed", "code": 429}"#), "cool_down");
    assert_eq!(of(200, r#"{"ok": false, "result": "Ratelimit exceed", "code": 429}"#), "cool_down");
    let gone = "LITE_SERVER_UNKNOWN: cannot compute block with specified transaction: cannot find block (0,f9e03a9b2a3b7b46) lt=29652249000001: lt not in db";
    let place = "LITE_SERVER_UNKNOWN: cannot locate transaction in block with specified logical time";
    let load = "LITE_SERVER_UNKNOWN: unable to load block (0,8000000000000000,39631700):28 with specified transaction: not in db";
    for status in [200, 500, 542] {
        for why in [gone, place, load, "LITE_SERVER_UNKNOWN: transaction hash mismatch"] {
            assert_eq!(v2(status, why), "pruned", "{status} {why}");
        }
        let behind = "LITE_SERVER_NOTREADY: block (-1,8000000000000000,9) is not in db (possibly out of sync: shard_client_seqno=7 ls_seqno=8)";
        for why in [behind, "LITE_SERVER_UNKNOWN: ltdb: block not found", "LITE_SERVER_NOTREADY: not in sync"] {
            assert_eq!(v2(status, why), "not_yet", "{status} {why}");
        }
    }
    assert_eq!(v2(504, "LITE_SERVER_NETWORK: timeout for adnl query query"), "timed_out");
    assert_eq!(v2(500, "LITE_SERVER_NETWORK: timeout for adnl query query"), "timed_out");
    assert_eq!(v2(504, "liteserver did not answer"), "timed_out");
    assert_eq!(v2(500, "Received exception: KeyError"), "try_other");
    assert_eq!(v2(542, "unsupported stack entry"), "try_other");
    assert_eq!(v2(409, "the account is of another type"), "try_other");
    assert_eq!(v2(422, "Value error, incorrect address"), "rejected");
    assert_eq!(of(404, r#"{"error":"masterchain block 5 not found"}"#), "not_yet");
    assert_eq!(of(422, r#"{"error":"limit is not allowed: 1001 > 1000"}"#), "rejected");
    assert_eq!(of(500, r#"{"error":"timeout: context deadline exceeded"}"#), "timed_out");
    assert_eq!(of(500, r#"{"error":"context deadline exceeded"}"#), "timed_out");
    assert_eq!(of(500, r#"{"error":"failed to connect to database"}"#), "try_other");
    assert_eq!(of(429, r#"{"error":"rate limit: free tier"}"#), "cool_down");
    assert_eq!(of(404, r#"{"error":"entity not found"}"#), "not_yet");
    assert_eq!(of(404, r#"{"error":"not found","error_code":1}"#), "not_yet");
    assert_eq!(of(400, r#"{"error":"can't decode address"}"#), "rejected");
    assert_eq!(of(401, r#"{"error":"illegal base64 data in token"}"#), "credentials");
    assert_eq!(of(501, r#"{"error":"not implemented"}"#), "unsupported");
    for status in [413, 414, 431] {
        assert_eq!(of(status, "<html>"), "split");
    }
    assert_eq!(of(502, "<html>"), "try_other");
    assert_eq!(of(200, r#"{"ok":true,"result":{"last":{"seqno":9}}}"#), "an answer");
    assert_eq!(of(200, r#"{"transactions":[],"address_book":{}}"#), "an answer");
}
