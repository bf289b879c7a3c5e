//! Plays a tape: the n-th time a question is put to an endpoint, it gets the n-th answer that was recorded for it.
//!
//! Beyond the last recorded answer the last is given again, and a question that is not on the tape fails as if the
//! line were dead; both are counted, so that a replay can say where it left the recording.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::http::{Fault, Reply};
use crate::shown::shorten;
use crate::tape::{self, Exchange, Outcome, Tape, TapeError};

/// Different questions that are told by name when the tape does not hold them.
const MISSING_NAMED_MAX: usize = 100;

/// A tape, and how far it was played.
#[derive(Debug)]
pub struct Player {
    tape: Tape,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The answers to each question, by endpoint and question.
    queues: HashMap<(String, String), Queue>,
    missing: BTreeMap<String, u64>,
    missing_in_all: u64,
    asked: u64,
    again: u64,
}

#[derive(Debug, Default)]
struct Queue {
    answers: Vec<usize>,
    next: usize,
}

/// How the tape was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Played {
    /// Requests made.
    pub asked: u64,
    /// Requests answered by repeating the last recorded answer.
    pub again: u64,
    /// Exchanges on the tape that nobody asked for.
    pub unasked: u64,
    /// Requests that the tape does not hold, and how often each was made.
    pub missing: BTreeMap<String, u64>,
    /// All of them, those that are not named included.
    pub missing_in_all: u64,
}

impl Player {
    /// Reads the tape in this folder.
    pub fn open(folder: &Path) -> Result<Self, TapeError> {
        let tape = tape::read(folder)?;
        let mut state = State::default();
        for (index, exchange) in tape.exchanges.iter().enumerate() {
            let Exchange { endpoint, ask, .. } = exchange;
            state.queues.entry((endpoint.clone(), ask.clone())).or_default().answers.push(index);
        }
        Ok(Self { tape, state: Mutex::new(state) })
    }

    /// When the follower looked at the chain, in milliseconds since the beginning.
    pub fn looks(&self) -> &[u64] {
        &self.tape.looks
    }

    /// Lines that are not as they were recorded, by their number.
    pub fn altered(&self) -> &[usize] {
        &self.tape.altered
    }

    /// Whether the recording was ended in order.
    pub fn ended(&self) -> bool {
        self.tape.ended
    }

    pub fn exchanges(&self) -> usize {
        self.tape.exchanges.len()
    }

    pub fn played(&self) -> Played {
        let state = self.state();
        let unasked: usize = state.queues.values().map(|queue| queue.answers.len() - queue.next).sum();
        Played {
            asked: state.asked,
            again: state.again,
            unasked: u64::try_from(unasked).unwrap_or(u64::MAX),
            missing: state.missing.clone(),
            missing_in_all: state.missing_in_all,
        }
    }

    /// The next recorded answer, and how long it took. `None`: nobody waited for it to its end.
    pub(crate) fn answer(&self, endpoint: &str, ask: &Value) -> (Option<Result<Reply, Fault>>, Duration) {
        let key = (endpoint.to_owned(), ask.to_string());
        let mut state = self.state();
        state.asked += 1;
        let Some(queue) = state.queues.get_mut(&key) else {
            state.missing_in_all += 1;
            let name = format!("{endpoint}: {}", shorten(&key.1));
            if state.missing.len() < MISSING_NAMED_MAX || state.missing.contains_key(&name) {
                *state.missing.entry(name).or_default() += 1;
            }
            let detail = "not on the tape".to_owned();
            return (Some(Err(Fault::Transport { timed_out: false, detail })), Duration::ZERO);
        };
        let place = queue.next.min(queue.answers.len().saturating_sub(1));
        let index = queue.answers.get(place).copied().unwrap_or_default();
        if queue.next < queue.answers.len() {
            queue.next += 1;
        } else {
            state.again += 1;
        }
        let Exchange { took, outcome, .. } = &self.tape.exchanges[index];
        let outcome = match outcome.clone() {
            Outcome::Reply(reply) => Some(Ok(reply)),
            Outcome::Fault(fault) => Some(Err(fault)),
            Outcome::Abandoned => None,
        };
        (outcome, *took)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
