//! Invented histories: a chain that grows and forks, a backend that asks, a scanner that reads late,
//! twice or partly, and what the engine made of it, step by step. Begin in `plan`, then `world`.

mod again;
pub mod facts;
pub mod plan;
pub mod truth;
pub mod world;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How often each kind of thing happened over all histories of this process, and how often it could not.
static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

pub fn count(what: &'static str) {
    *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
}

pub fn counts() -> BTreeMap<&'static str, u64> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
