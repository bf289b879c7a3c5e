//! What people and metrics see of an endpoint. Every label in here is from a bounded set.

use std::collections::BTreeMap;

use serde::Serialize;

/// An endpoint's standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    pub name: String,
    pub operator: String,
    /// How it is spoken to: `json-rpc` and what the families know beside it.
    pub kind: String,
    /// Lower is asked first where all are well.
    pub order: u32,
    /// Scheme and host.
    pub shown_url: String,
    /// Whether it is asked now.
    pub usable: bool,
    /// Whether it is the one in use.
    pub current: bool,
    /// The latest head it claimed.
    pub head: Option<u64>,
    /// Blocks behind the best head of the pool, less those that passed while it was not asked.
    pub lag: Option<u64>,
    /// How often it claimed a lower head than before.
    pub heads_went_back: u64,
    pub consecutive_failures: u32,
    pub breaker: BreakerHealth,
    /// Failures among a thousand requests: a moving average that halves with every minute.
    pub error_rate_permille: u32,
    /// Seconds until it is asked again.
    pub cooling_seconds: Option<u64>,
    pub distrusted: Option<String>,
    /// Questions asked since the start, by method. A batch counts each of its questions, as providers do.
    pub requests: BTreeMap<&'static str, u64>,
    /// The same since midnight UTC.
    pub requests_today: BTreeMap<&'static str, u64>,
    /// Answers that were none, by what had to be done.
    pub errors: BTreeMap<&'static str, u64>,
    pub last_error: Option<String>,
    /// Moving average of its quickest method: whoever is given the heavy questions is not slow for it.
    pub latency_us: Option<u64>,
    /// `None` where it has no WebSocket.
    pub doorbell: Option<DoorbellHealth>,
}

/// See `breaker.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerHealth {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// How often it opened.
    pub opened: u64,
    /// Seconds until the probe that may close it.
    pub closes_in_seconds: Option<u64>,
    /// The methods that are not closed, and their state.
    pub methods: BTreeMap<&'static str, &'static str>,
    /// Every transition there is, with how often it happened.
    pub transitions: [Transition; 5],
}

/// How often a breaker went from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transition {
    pub from: &'static str,
    pub to: &'static str,
    pub times: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DoorbellHealth {
    pub connected: bool,
    /// Heads heard since the start.
    pub heads: u64,
    /// Since the last head; `None` before the first.
    pub silent_seconds: Option<u64>,
}

/// What an operator last said of a block of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    pub operator: String,
    /// Which of its endpoints said it.
    pub endpoint: String,
    pub height: u64,
    /// The hash it gave, as the chain writes it.
    pub hash: String,
    /// Ours at that height; `None` where it spoke of a height that we did not compare.
    pub ours: Option<String>,
    pub agrees: Option<bool>,
    pub seconds_ago: u64,
}
