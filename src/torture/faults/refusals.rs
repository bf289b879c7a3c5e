//! How providers say no, in their own words: data, one row for each wording we know.

use serde_json::{Value, json};

use super::{Kind, number, text};
use crate::torture::scene::number as read;
use crate::torture::{Question, Reply, plain};

/// One refusal as it goes over the line.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// What a rule says after `error:`.
    pub name: &'static str,
    pub status: u16,
    pub code: i64,
    pub message: &'static str,
    /// JSON.
    pub data: &'static str,
    pub calls_for: CallsFor,
}

/// What a client must do about it; what it is asked for where the rule does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallsFor {
    /// Ask for a smaller range.
    Range,
    /// Leave the node alone for a while.
    Pace,
    /// Pay, or wait for another day.
    Bill,
    /// Wait for the block.
    Block,
    /// Ask another node: this one has no such block by tag, or method.
    Offer,
    /// Ask another node: history is gone here.
    History,
    /// Mend the key.
    Key,
    /// Ask another node: this one is not well.
    Health,
}

impl CallsFor {
    /// What of `amn_rpc::RpcError` is right: the word each begins with.
    #[must_use]
    pub fn understood_as(self) -> &'static [&'static str] {
        match self {
            Self::Range => &["split"],
            Self::Pace | Self::Bill => &["cool down"],
            Self::Block => &["not yet"],
            Self::Offer => &["unsupported"],
            Self::History => &["pruned"],
            Self::Key => &["credentials"],
            Self::Health => &["other"],
        }
    }

    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.understood_as()[0]
    }
}

const fn row(name: &'static str, code: i64, message: &'static str, calls_for: CallsFor) -> Refusal {
    Refusal { name, status: 200, code, message, data: "", calls_for }
}

const fn http(name: &'static str, status: u16, code: i64, message: &'static str, calls_for: CallsFor) -> Refusal {
    Refusal { status, ..row(name, code, message, calls_for) }
}

pub(super) const TABLE: &[Refusal] = &[
    row(
        "alchemy-range",
        -32600,
        "You can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range should work: [0x0, 0x9]",
        CallsFor::Range,
    ),
    row(
        "alchemy-range-inverted",
        -32602,
        "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range should work: [0x9, 0x0]",
        CallsFor::Range,
    ),
    row(
        "alchemy-size",
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0x0, 0x1]",
        CallsFor::Range,
    ),
    Refusal {
        data: r#"{"from":"0x0","limit":10000,"to":"0x1"}"#,
        ..row(
            "infura-results",
            -32005,
            "query returned more than 10000 results. Try with this block range [0x0, 0x1].",
            CallsFor::Range,
        )
    },
    row("infura-range", -32602, "range 1000000 exceeds limit of 10000", CallsFor::Range),
    row("infura-duration", -32005, "query duration limit of 10s exceeded", CallsFor::Range),
    http("quicknode-range", 413, -32614, "eth_getLogs is limited to a 10,000 range", CallsFor::Range),
    http("quicknode-free-range", 413, -32614, "eth_getLogs is limited to a 5 range", CallsFor::Range),
    row("drpc-range", 35, "ranges over 10000 blocks are not supported on freetier", CallsFor::Range),
    row("ankr-range", -32600, "block range is too wide", CallsFor::Range),
    row("ankr-results", -32600, "query exceeds max results", CallsFor::Range),
    row("ankr-distance", -32600, "maximum [from, to] blocks distance: 3000", CallsFor::Range),
    row("publicnode-range", -32701, "maximum block range: 50000", CallsFor::Range),
    row("base-range", -32614, "block range too large", CallsFor::Range),
    row("optimism-size", -32020, "backend response too large", CallsFor::Range),
    row("reth-range", -32602, "query exceeds max block range 100000", CallsFor::Range),
    row("reth-results", -32602, "query exceeds max results 20000, retry with the range 0-1", CallsFor::Range),
    row("reth-size", -32008, "Response is too big", CallsFor::Range),
    row("merkle-range", -32000, "eth_getLogs range is too large, max is 1k blocks", CallsFor::Range),
    row("blockpi-range", -32000, "eth_getLogs is limited to 1024 block range", CallsFor::Range),
    row("chainstack-range", -32005, "Block range limit exceeded.", CallsFor::Range),
    row("coinbase-range", -32602, "please limit the query to at most 1000 blocks", CallsFor::Range),
    row("arbitrum-results", -32000, "logs matched by query exceeds limit of 10000", CallsFor::Range),
    row("addresses", -32000, "Please specify less number of address", CallsFor::Range),
    row("topics", -32602, "exceed max addresses or topics per search position", CallsFor::Range),
    row("filters", -32000, "too many filters, current limit is 20", CallsFor::Range),
    row("bsc-limit", -32005, "limit exceeded", CallsFor::Range),
    row("beyond-head", -32602, "block range extends beyond current head block", CallsFor::Block),
    http("http-429", 429, 429, "Too many requests", CallsFor::Pace),
    Refusal {
        data: r#"{"rate":{"backoff_seconds":3}}"#,
        ..http("infura-rate", 429, -32005, "project ID request rate exceeded", CallsFor::Pace)
    },
    http("alchemy-rate", 429, 429, "Your app has exceeded its compute units per second capacity.", CallsFor::Pace),
    row(
        "quicknode-rate",
        -32007,
        "50/second request limit reached - reduce calls per second or upgrade your account",
        CallsFor::Pace,
    ),
    row("base-rate", -32016, "over rate limit", CallsFor::Pace),
    row("publicnode-load", -32000, "the network is under too much load, try again", CallsFor::Pace),
    http(
        "alchemy-bill",
        429,
        429,
        "Monthly capacity limit exceeded. Visit https://dashboard.example/settings/billing to upgrade your scaling policy for continued service.",
        CallsFor::Bill,
    ),
    row("drpc-free-tier", 4, "you have reached the free tier limit", CallsFor::Bill),
    http("json-in-402", 402, -32000, "payment required: see /billing", CallsFor::Bill),
    http("json-in-413", 413, -32600, "request entity too large: block range exceeds the limit", CallsFor::Range),
    http("json-in-400", 400, -32602, "block range is too wide", CallsFor::Range),
    row("finalized-block-not-found", -39001, "finalized block not found", CallsFor::Block),
    row("safe-block-not-found", -39001, "safe block not found", CallsFor::Block),
    row("header-not-found", -32000, "header not found", CallsFor::Block),
    row("unknown-block", -32000, "unknown block", CallsFor::Block),
    row("safe-not-supported", -32000, "safe is not a supported commitment level", CallsFor::Offer),
    row("no-method", -32601, "the method eth_getBlockReceipts does not exist/is not available", CallsFor::Offer),
    row("missing-trie-node", -32000, "missing trie node 00aa (path ) state 0x00aa is not available", CallsFor::History),
    row("pruned", 4444, "pruned history unavailable", CallsFor::History),
    row("base-no-backend", -32011, "no backend is currently healthy to serve traffic", CallsFor::Health),
    http("no-key", 401, -32000, "Must be authenticated!", CallsFor::Key),
    row("wrong-key", -32000, "invalid api key", CallsFor::Key),
];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "error",
        says: "A refusal in a provider's words: error:NAME with one of the names below.",
        takes: &[text("which", "header-not-found")],
        make: |set| {
            let which = set.text("which");
            let refusal = named(&which)?;
            let methods: &[&str] = match refusal.calls_for {
                CallsFor::Range => &["eth_getLogs"],
                _ => &[],
            };
            // The name tells counts apart; the table lives as long as the program.
            Ok(plain("error", methods, move |_, _, _| refused(refusal)))
        },
    },
    Kind {
        name: "range-limit",
        says: "Ranges of logs of more blocks than this are refused, in the words of one of the names below.",
        takes: &[number("blocks", 10, u64::MAX), text("which", "alchemy-range")],
        make: |set| {
            let (blocks, refusal) = (set.number("blocks"), named(&set.text("which"))?);
            Ok(plain("range-limit", &["eth_getLogs"], move |asked, honest, _| {
                if span(asked).is_some_and(|span| span > blocks) { refused(refusal) } else { honest }
            }))
        },
    },
    Kind {
        name: "rate-limit",
        says: "Status 429, with Retry-After of so many seconds (0: without).",
        takes: &[number("retry_after", 0, 86_400)],
        make: |set| {
            let seconds = set.number("retry_after");
            Ok(plain("rate-limit", &[], move |_, _, _| Reply::Http {
                status: 429,
                headers: if seconds > 0 { vec![("retry-after".to_owned(), seconds.to_string())] } else { Vec::new() },
                body: "Too Many Requests".into(),
            }))
        },
    },
    Kind {
        name: "error-in-200",
        says: "Status 200 with an error that is no JSON-RPC.",
        takes: &[text("message", "internal server error")],
        make: |set| {
            let message = set.text("message");
            Ok(plain("error-in-200", &[], move |_, _, _| Reply::http(200, json!({ "error": message }).to_string())))
        },
    },
    Kind {
        name: "no-method",
        says: "The methods of the rule do not exist here.",
        takes: &[],
        make: |_| {
            Ok(plain("no-method", &["eth_getBlockReceipts"], |asked, _, _| {
                Reply::error(-32601, format!("the method {} does not exist/is not available", asked.method))
            }))
        },
    },
];

fn named(name: &str) -> Result<&'static Refusal, String> {
    TABLE
        .iter()
        .find(|refusal| refusal.name == name)
        .ok_or_else(|| format!("which: no refusal is named `{name}`; --list shows those there are"))
}

fn refused(refusal: &Refusal) -> Reply {
    if refusal.status == 200 {
        let data = serde_json::from_str::<Value>(refusal.data).ok();
        return Reply::Error { code: refusal.code, message: refusal.message.to_owned(), data };
    }
    let error = json!({ "code": refusal.code, "message": refusal.message });
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": error });
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply::Http { status: refusal.status, headers, body: body.to_string().into() }
}

/// How many blocks a range of logs has, where both ends are numbers.
fn span(asked: &Question) -> Option<u64> {
    let (from, to) = (read(&asked.params[0]["fromBlock"])?, read(&asked.params[0]["toBlock"])?);
    Some(to.checked_sub(from)?.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_has_a_name_of_its_own_and_data_that_reads() {
        let names: BTreeSet<_> = TABLE.iter().map(|refusal| refusal.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for refusal in TABLE.iter().filter(|refusal| !refusal.data.is_empty()) {
            assert!(serde_json::from_str::<Value>(refusal.data).is_ok(), "{}", refusal.name);
        }
    }
}
