//! What a node says of its history, in three dialects: what each calls things, where it writes numbers as words, and how
//! it says no.

mod tonapi;
mod v2;
mod v3;

use serde_json::{Value, json};

use super::fault::Fault;
use super::view::View;
use crate::address::{Account, Realm};

/// What a node was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is counted under: the dialect and the question, nothing that varies. `v3/blocks`,
    /// `tonapi/blockchain/masterchain/{n}/transactions`.
    pub route: String,
    /// The question's own path.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    /// Of a POST; null otherwise.
    pub body: Value,
}

impl Asked {
    /// A parameter's value; where it is there several times, the first.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that may be there several times, or hold several values.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).flat_map(|(_, value)| value.split(','))
    }

    /// A number.
    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Reply> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.refused(&format!("{name}: {text:?} is no number")))
    }

    /// That a question makes no sense, in the dialect's words.
    fn refused(&self, what: &str) -> Reply {
        match self.route.split('/').next() {
            Some("v2") => v2::error(422, what),
            Some("v3") => v3::error(422, what),
            _ => tonapi::error(400, what),
        }
    }
}

/// What a node says to one question.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An HTTP status and JSON.
    Json(u16, Value),
    /// An HTTP status and any body.
    Text(u16, String),
    /// Nothing, ever.
    Silence,
}

impl View<'_> {
    pub fn answer(&self, asked: &Asked) -> Reply {
        if let Some(no) = self.faults.iter().find_map(|fault| no(asked, fault)) {
            return no;
        }
        let answer = match asked.route.split_once('/') {
            Some(("v2", method)) => self.v2(method, asked),
            Some(("v3", method)) => self.v3(method, asked),
            Some(("tonapi", _)) => self.tonapi(asked),
            _ => Err(Reply::Text(404, "404 page not found".to_owned())),
        };
        answer.unwrap_or_else(|no| no)
    }

    /// Rows as they leave the node: cut to a page, shuffled, doubled, or none at all.
    fn page<T: Clone>(&self, mut rows: Vec<T>, offset: usize, limit: usize) -> Vec<T> {
        let mut most = limit;
        for fault in self.faults {
            match fault {
                Fault::SilentEmpty => return Vec::new(),
                Fault::PagesOf(less) => most = most.min(*less),
                _ => {}
            }
        }
        let shifted = offset > 0 && self.suffers(|fault| matches!(fault, Fault::PageShifted));
        rows.drain(..(offset - usize::from(shifted)).min(rows.len()));
        rows.truncate(most);
        for fault in self.faults {
            match fault {
                // No chance in it: the halves change places.
                Fault::OutOfOrder => {
                    let half = rows.len() / 2;
                    rows.rotate_left(half);
                }
                Fault::Doubled => rows.extend(rows.first().cloned()),
                _ => {}
            }
        }
        rows
    }
}

/// The fault's own answer, where it has one.
fn no(asked: &Asked, fault: &Fault) -> Option<Reply> {
    let dialect = asked.route.split('/').next().unwrap_or_default();
    Some(match (fault, dialect) {
        (Fault::TooManyRequests { .. }, "v2" | "v3") => {
            Reply::Json(429, json!({ "ok": false, "result": "Ratelimit exceed", "code": 429 }))
        }
        (Fault::TooManyRequests { .. }, _) => Reply::Json(429, json!({ "error": "rate limit: free tier" })),
        (Fault::Internal(what), "v2") => v2::error(500, what),
        (Fault::Internal(what), "v3") => v3::error(500, what),
        (Fault::Internal(what), _) => tonapi::error(500, what),
        (Fault::NodeTimeout, "v2") => v2::error(542, "LITE_SERVER_NETWORK: timeout for adnl query query"),
        (Fault::NodeTimeout, _) => Reply::Text(542, String::new()),
        (Fault::GatewayTimeout, _) => {
            Reply::Text(504, "<html><head><title>504 Gateway Time-out</title></head></html>".to_owned())
        }
        (Fault::Html, _) => {
            Reply::Text(200, "<!DOCTYPE html><html><body>Checking your browser</body></html>".to_owned())
        }
        _ => return None,
    })
}

/// An account of any spelling, of any realm.
fn account(asked: &Asked, text: &str) -> Result<Account, Reply> {
    crate::address::parse(text, Realm::Testnet).map_err(|_| asked.refused(&format!("{text:?} is no address")))
}
