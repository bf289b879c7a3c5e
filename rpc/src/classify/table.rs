//! The table itself. The first row that fits decides, so what is more exact stands above what is vague.

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Split,
    /// Too fast: over in seconds.
    Rate,
    /// Nothing left to spend: over when somebody pays or the day ends.
    Bill,
    NotYet,
    Pruned,
    Unsupported,
    Credentials,
    Rejected,
    TryOther,
}

/// A refusal as providers word it. What is `None` or empty fits everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) code: Option<i64>,
    /// Only where this method was asked.
    pub(super) asked: Option<&'static str>,
    /// All of these occur in the message, in lower case.
    pub(super) says: &'static [&'static str],
    pub(super) means: Means,
}

const fn says(says: &'static [&'static str], means: Means) -> Row {
    Row { code: None, asked: None, says, means }
}

const fn logs(says: &'static [&'static str]) -> Row {
    Row { code: None, asked: Some("eth_getLogs"), says, means: Means::Split }
}

const fn code(code: i64, means: Means) -> Row {
    Row { code: Some(code), asked: None, says: &[], means }
}

pub(super) const ROWS: &[Row] = &[
    // Too much in one question: the node is well. Above the rates, which also speak of exceeding.
    says(&["block range should work"], Means::Split),
    says(&["with this block range"], Means::Split),
    says(&["requests with up to a", "block range"], Means::Split),
    says(&["query returned more than"], Means::Split),
    says(&["response size exceeded"], Means::Split),
    says(&["response size should not"], Means::Split),
    says(&["range", "exceeds limit"], Means::Split),
    says(&["logs matched by query exceeds"], Means::Split),
    says(&["eth_getlogs is limited to"], Means::Split),
    says(&["ranges over", "not supported"], Means::Split),
    says(&["block range is too wide"], Means::Split),
    says(&["query exceeds max"], Means::Split),
    says(&["maximum", "blocks distance"], Means::Split),
    says(&["maximum block range"], Means::Split),
    says(&["max block range"], Means::Split),
    says(&["block range too large"], Means::Split),
    says(&["range is too large"], Means::Split),
    says(&["block range limit exceeded"], Means::Split),
    says(&["block range exceeds"], Means::Split),
    says(&["response too large"], Means::Split),
    says(&["response is too big"], Means::Split),
    says(&["limit the query to at most"], Means::Split),
    says(&["specify less number of address"], Means::Split),
    says(&["addresses or topics per search position"], Means::Split),
    says(&["filters", "current limit is"], Means::Split),
    says(&["limit must not exceed"], Means::Split),
    code(-32614, Means::Split),
    // The same words mean other things for other methods.
    logs(&["query timeout"]),
    logs(&["query timed out"]),
    logs(&["query duration"]),
    // BSC's public nodes say no more than this, with the code of a rate limit.
    Row { code: Some(-32005), asked: Some("eth_getLogs"), says: &["limit exceeded"], means: Means::Split },
    // Nothing left to spend.
    says(&["monthly capacity limit"], Means::Bill),
    says(&["/billing"], Means::Bill),
    says(&["reached the free tier"], Means::Bill),
    says(&["payment required"], Means::Bill),
    says(&["daily request count exceeded"], Means::Bill),
    says(&["quota"], Means::Bill),
    code(402, Means::Bill),
    // Too fast.
    says(&["rate limit"], Means::Rate),
    says(&["rate-limit"], Means::Rate),
    says(&["ratelimit"], Means::Rate),
    says(&["rate exceeded"], Means::Rate),
    says(&["too many requests"], Means::Rate),
    says(&["too many connections"], Means::Rate),
    says(&["under too much load"], Means::Rate),
    says(&["has exceeded"], Means::Rate),
    says(&["request limit reached"], Means::Rate),
    says(&["requests per second"], Means::Rate),
    says(&["throttled"], Means::Rate),
    says(&["capacity exceeded"], Means::Rate),
    says(&["queue limit"], Means::Rate),
    // Stores of files, with a status of 503.
    says(&["reduce your request rate"], Means::Rate),
    // A TON node that is behind words it as if the block were gone.
    says(&["possibly out of sync"], Means::NotYet),
    // History that is gone. Above what is not there yet, whose words are wider.
    says(&["missing trie node"], Means::Pruned),
    says(&["pruned"], Means::Pruned),
    says(&["pruning"], Means::Pruned),
    says(&["historical state"], Means::Pruned),
    says(&["state is not available"], Means::Pruned),
    says(&["archive"], Means::Pruned),
    says(&["not in db"], Means::Pruned),
    // What a TON node that has not kept everything says in place of that, and who has not got there either.
    says(&["cannot locate transaction"], Means::Pruned),
    // And where it has another at that time.
    says(&["transaction hash mismatch"], Means::Pruned),
    code(4444, Means::Pruned),
    // Not there yet.
    says(&["header not found"], Means::NotYet),
    says(&["unknown block"], Means::NotYet),
    says(&["block not found"], Means::NotYet),
    says(&["beyond current head"], Means::NotYet),
    says(&["blockoutofrange"], Means::NotYet),
    says(&["blocks specified in filter", "cannot be found"], Means::NotYet),
    says(&["after last accepted block"], Means::NotYet),
    says(&["unfinalized data"], Means::NotYet),
    says(&["not yet available"], Means::NotYet),
    says(&["block is not applied"], Means::NotYet),
    says(&["lite_server_notready"], Means::NotYet),
    says(&["cannot find block"], Means::NotYet),
    // Above the tip or below what is kept, in the same words: the family asks for the limits before it gives up.
    says(&["start ledger", "must be between"], Means::NotYet),
    says(&["startledger must be within"], Means::NotYet),
    says(&["does not contain metadata for ledger"], Means::NotYet),
    says(&["cursor", "must be between"], Means::NotYet),
    // Not offered here.
    says(&["is not a supported"], Means::Unsupported),
    says(&["method not found"], Means::Unsupported),
    says(&["method not supported"], Means::Unsupported),
    says(&["method not available"], Means::Unsupported),
    says(&["method not allowed"], Means::Unsupported),
    says(&["method is not"], Means::Unsupported),
    says(&["unsupported method"], Means::Unsupported),
    says(&["does not exist/is not available"], Means::Unsupported),
    says(&["not available on"], Means::Unsupported),
    says(&["not whitelisted"], Means::Unsupported),
    says(&["batch", "not supported"], Means::Unsupported),
    code(-32601, Means::Unsupported),
    code(-32004, Means::Unsupported),
    // Not for us.
    says(&["api key"], Means::Credentials),
    says(&["project id"], Means::Credentials),
    says(&["unauthorized"], Means::Credentials),
    says(&["must be authenticated"], Means::Credentials),
    says(&["access denied"], Means::Credentials),
    // Every node would say the same.
    says(&["execution reverted"], Means::Rejected),
    says(&["out of gas"], Means::Rejected),
    says(&["invalid opcode"], Means::Rejected),
    // Not well.
    says(&["no backend is currently healthy"], Means::TryOther),
    says(&["timeout"], Means::TryOther),
    says(&["timed out"], Means::TryOther),
    says(&["deadline exceeded"], Means::TryOther),
    // A Stellar node that gave up on the question, with the code that others say "not found" by.
    says(&["exceeded processing limit"], Means::TryOther),
    says(&["temporary internal error"], Means::TryOther),
    says(&["since last known ledger closed is too high"], Means::TryOther),
    says(&["data stores are not initialized"], Means::TryOther),
    // Words that nobody knows: the code decides. Without a row it is the node's own trouble.
    code(429, Means::Rate),
    code(-32005, Means::Rate),
    code(-32007, Means::Rate),
    code(-32016, Means::Rate),
    code(-32001, Means::NotYet),
    code(3, Means::Rejected),
    code(-32600, Means::Rejected),
    code(-32602, Means::Rejected),
    code(-32700, Means::Rejected),
];
