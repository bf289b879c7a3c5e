//! What was found: sentences with a code to branch on, and the rows behind them.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Value, json};

use crate::cli::show::{Page, text};

/// Everything that is known of what was asked about.
#[derive(Debug, Default)]
pub struct Report {
    subject: (&'static str, String),
    findings: Vec<Value>,
    /// Rows by kind: deposits, events, intents, moves, networks, observations, watches.
    rows: BTreeMap<&'static str, Vec<Value>>,
}

impl Report {
    pub fn about(&mut self, kind: &'static str, what: &impl Display) {
        self.subject = (kind, what.to_string());
    }

    /// One sentence, under a code that is added and never renamed.
    pub fn say(&mut self, code: &'static str, network: &str, words: impl Into<String>) {
        let finding = json!({ "code": code, "network": network, "words": words.into() });
        // What holds of several deposits is said once.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub fn row(&mut self, kind: &'static str, row: Value) {
        let rows = self.rows.entry(kind).or_default();
        if !rows.contains(&row) {
            rows.push(row);
        }
    }

    /// Whether a network's standing at a height is there already.
    pub fn stands(&self, network: &str, height: Option<u64>) -> bool {
        let height = height.map(|height| height.to_string());
        let rows = self.rows.get("networks").map_or(&[][..], Vec::as_slice);
        rows.iter().any(|row| row["id"] == network && row["height"].as_str() == height.as_deref())
    }

    /// Whether a row of that id is there already.
    pub fn has(&self, kind: &str, id: &str) -> bool {
        self.rows.get(kind).is_some_and(|rows| rows.iter().any(|row| row["id"] == id))
    }

    pub fn json(&self) -> Value {
        let mut all = json!({
            "findings": self.findings,
            "subject": { "kind": self.subject.0, "value": self.subject.1 },
        });
        for kind in ["contract_events", "deposits", "events", "intents", "moves", "networks", "observations", "watches"]
        {
            all[kind] = self.rows.get(kind).cloned().unwrap_or_default().into();
        }
        all
    }

    pub fn draw(&self, page: &mut Page) {
        for finding in &self.findings {
            page.line(text(&finding["words"]));
        }
        let of = |kind: &str| self.rows.get(kind).map_or(&[][..], Vec::as_slice);
        terms(page, of("deposits"));
        draw(page, of("events"), ["EVENT", "ID", "AT", "DELIVERED", "PENDING", "DEAD", "LAST ERROR"], |event| {
            ["event", "id", "at", "delivered", "pending", "dead", "last_error"].map(|field| text(&event[field]))
        });
        draw(page, of("moves"), ["MOVES", "KIND", "TO", "ASSET", "NETWORK"], |moved| {
            let asset = moved["asset"].as_str().or(moved["contract"].as_str()).unwrap_or_default();
            let field = |name: &str| text(&moved[name]);
            [field("shown"), field("kind"), field("to"), asset.to_owned(), field("network")]
        });
        draw(page, of("watches"), ["WATCHED", "NETWORK", "SINCE", "NATIVE", "READ AGAIN", "INTENT"], |watch| {
            let again = watch["backfill"].as_array();
            let again = again.map_or_else(String::new, |ends| format!("{} to {}", text(&ends[0]), text(&ends[1])));
            let field = |name: &str| text(&watch[name]);
            [field("address"), field("network"), field("since"), field("native"), again, field("intent")]
        });
        draw(page, of("networks"), ["NETWORK", "STATUS", "TIP", "LAG", "BLOCK", "READ AS", "READ AT"], |network| {
            let covered = &network["covered"];
            [
                text(&network["id"]),
                text(&network["status"]),
                text(&network["tip"]["height"]),
                network["lag_seconds"].as_u64().map_or_else(String::new, |lag| format!("{lag} s")),
                text(&network["height"]),
                covered["coverage"].as_str().unwrap_or("").to_owned(),
                text(&covered["read_at"]),
            ]
        });
        draw(page, of("contract_events"), ["CONTRACT EVENT", "STATUS", "TENANT", "BLOCK", "DATA"], |said| {
            let data: String = text(&said["data"]).chars().take(100).collect();
            [text(&said["id"]), text(&said["status"]), text(&said["tenant"]), text(&said["block"]["height"]), data]
        });
        draw(page, of("observations"), ["OBSERVED", "NETWORK", "TO", "DETAIL"], |seen| {
            ["kind", "network", "to", "detail"].map(|field| text(&seen[field]))
        });
    }
}

fn draw<const N: usize>(page: &mut Page, rows: &[Value], heads: [&str; N], row: impl Fn(&Value) -> [String; N]) {
    if !rows.is_empty() {
        page.line("");
        page.table(heads, &rows.iter().map(row).collect::<Vec<_>>(), "");
    }
}

/// The terms of every deposit, met and missing, with its evidence.
fn terms(page: &mut Page, deposits: &[Value]) {
    for deposit in deposits {
        page.line("");
        let operators: Vec<_> = deposit["operators"].as_array().into_iter().flatten().map(text).collect();
        page.line(format!(
            "{} {} in block {} {}: inclusion {}, operators {}",
            text(&deposit["id"]),
            text(&deposit["status"]),
            text(&deposit["block"]["height"]),
            text(&deposit["block"]["hash"]),
            text(&deposit["evidence"]["inclusion"]),
            if operators.is_empty() { "none".to_owned() } else { operators.join(" ") },
        ));
        let rows: Vec<_> = deposit["terms"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|term| {
                let state = if term["met"] == true { "met" } else { "missing" };
                [text(&term["term"]), text(&term["required"]), text(&term["actual"]), state.to_owned()]
            })
            .collect();
        page.table(["TERM", "REQUIRED", "ACTUAL", "STATUS"], &rows, "the policy names no term");
    }
}
