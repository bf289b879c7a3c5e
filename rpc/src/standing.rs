//! How an endpoint stands with us. Pure: what happened and what o'clock it is come in, usability comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Breakers, Outcome, Refused, State};
use crate::config::BreakerSettings;
use crate::error::RpcError;
use crate::health::{BreakerHealth, Transition};

/// No provider gets to silence us for longer than this by a header of its own.
pub(crate) const COOL_DOWN_MAX: Duration = Duration::from_mins(5);
/// Long enough that a lying node is no longer in the middle of its lie; short enough that two honest
/// operators are not turned into one for an hour by a single bad cache.
pub(crate) const DISTRUST: Duration = Duration::from_mins(10);
/// A failure weighs half as much after this: a node that was down this morning is no worse for it.
const ERRORS_HALVE: Duration = Duration::from_mins(1);
/// One of so many: the weight of the newest request in the error rate.
const ERRORS_WINDOW: u32 = 16;
const MILLION: u32 = 1_000_000;

/// Whether an endpoint can be used, better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usability {
    Ready,
    /// Asked us to leave it alone: it is not called.
    Cooling(Duration),
    /// Failed too often: it is not called.
    Open(Duration),
    /// May be asked who it is, and nothing else, until it said so rightly.
    AwaitsProbe,
    /// Is not called.
    Distrusted(Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Distrust {
    reason: String,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Standing {
    head: Option<(u64, Instant)>,
    breakers: Breakers,
    /// A probe of its identity is under way.
    probing: bool,
    /// It was asked who it is and did not say.
    unidentified: bool,
    cooling_until: Option<Instant>,
    distrust: Option<Distrust>,
    requests: BTreeMap<&'static str, u64>,
    today: (u64, BTreeMap<&'static str, u64>),
    errors: BTreeMap<&'static str, u64>,
    last_error: Option<String>,
    /// Of single questions, by method: a batch takes as long as its size.
    latency: BTreeMap<&'static str, Duration>,
    /// In millionths, as it was then.
    error_rate: (u32, Instant),
    went_back: u64,
}

impl Standing {
    pub(crate) fn new(breaker: BreakerSettings, now: Instant) -> Self {
        Self {
            head: None,
            breakers: Breakers::new(breaker),
            probing: false,
            unidentified: false,
            cooling_until: None,
            distrust: None,
            requests: BTreeMap::new(),
            today: (0, BTreeMap::new()),
            errors: BTreeMap::new(),
            last_error: None,
            latency: BTreeMap::new(),
            error_rate: (0, now),
            went_back: 0,
        }
    }

    pub(crate) fn usability(&self, now: Instant) -> Usability {
        let left = |until: Instant| Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero());
        if let Some(left) = self.distrust.as_ref().and_then(|distrust| left(distrust.until)) {
            return Usability::Distrusted(left);
        }
        if let Some(left) = self.cooling_until.and_then(left) {
            return Usability::Cooling(left);
        }
        match self.breakers.endpoint().state(now) {
            State::Open(left) => Usability::Open(left),
            State::Closed if self.distrust.is_none() && !self.unidentified => Usability::Ready,
            State::Closed | State::HalfOpen => Usability::AwaitsProbe,
        }
    }

    /// Whether it may be asked now who it is. Not only where it must be: one that fails with a single method is asked
    /// as well, to learn whether it is the method.
    pub(crate) fn awaits_probe(&self, now: Instant) -> bool {
        let asked_anyway = match self.usability(now) {
            Usability::AwaitsProbe => true,
            Usability::Ready => self.breakers.awaits_probe(now),
            Usability::Cooling(_) | Usability::Open(_) | Usability::Distrusted(_) => false,
        };
        asked_anyway && !self.probing
    }

    /// True where the probe may go.
    pub(crate) fn begin_probe(&mut self, now: Instant) -> bool {
        let may = self.awaits_probe(now);
        if may {
            self.probing = true;
            self.breakers.begin_probe(now);
        }
        may
    }

    /// How its probe ended: `Served` where it is who it should be. True where it was distrusted until now.
    pub(crate) fn probed(&mut self, outcome: Outcome, now: Instant) -> bool {
        self.probing = false;
        self.breakers.probed(outcome, now);
        match outcome {
            Outcome::Served => {
                self.unidentified = false;
                self.distrust.take().is_some()
            }
            Outcome::Failed | Outcome::Nothing => false,
        }
    }

    /// It is not used until it has said who it is.
    pub(crate) fn doubt(&mut self) {
        self.unidentified = true;
    }

    /// Whether questions for these methods may be sent, and which methods they probe.
    pub(crate) fn admit(&mut self, methods: &[&'static str], now: Instant) -> Result<Vec<&'static str>, Refused> {
        self.breakers.admit(methods, now)
    }

    /// Nobody waited for the answer to a question that probed these methods.
    pub(crate) fn abandoned(&mut self, probed: &[&'static str], now: Instant) {
        let outcomes: Vec<_> = probed.iter().map(|method| (*method, Outcome::Nothing)).collect();
        self.breakers.answered(&outcomes, probed, now);
    }

    /// The methods whose breakers are not closed.
    pub(crate) fn broken(&self, now: Instant) -> Vec<&'static str> {
        self.breakers.broken(now).map(|(method, _)| method).collect()
    }

    pub(crate) fn asked(&mut self, methods: &[&'static str], day: u64) {
        if self.today.0 != day {
            self.today = (day, BTreeMap::new());
        }
        for method in methods {
            *self.requests.entry(method).or_default() += 1;
            *self.today.1.entry(method).or_default() += 1;
        }
    }

    /// What came of a request, for each method it asked for, and how long it took.
    pub(crate) fn answered(
        &mut self,
        outcomes: &[(&'static str, Option<&RpcError>)],
        probed: &[&'static str],
        took: Option<Duration>,
        now: Instant,
    ) {
        if let Some(took) = took {
            self.timed(outcomes, took);
        }
        for (_, error) in outcomes {
            self.note(*error, now);
        }
        let failed = outcomes.iter().all(|(_, error)| error.is_some_and(is_trouble));
        self.rate(failed, now);
        let outcomes: Vec<_> = outcomes.iter().map(|(method, error)| (*method, outcome(*error))).collect();
        self.breakers.answered(&outcomes, probed, now);
    }

    fn timed(&mut self, outcomes: &[(&'static str, Option<&RpcError>)], took: Duration) {
        let kind = match outcomes {
            [] => return,
            [(method, _)] => method,
            // A kind of its own: whoever is only asked in batches, as for heads, is no stranger.
            _ => "batch",
        };
        // An eighth of the new one: steady over some ten calls.
        self.latency.entry(kind).and_modify(|old| *old = (*old * 7 + took) / 8).or_insert(took);
    }

    /// Remembers an error and keeps to what it asks for.
    pub(crate) fn note(&mut self, error: Option<&RpcError>, now: Instant) {
        let Some(error) = error else { return };
        self.last_error = Some(error.to_string());
        *self.errors.entry(error.class()).or_default() += 1;
        if let RpcError::CoolDown { wait, .. } = error {
            self.cooling_until = self.cooling_until.max(Some(now + (*wait).min(COOL_DOWN_MAX)));
        }
    }

    fn rate(&mut self, failed: bool, now: Instant) {
        let old = self.error_millionths(now);
        let new = if failed { MILLION / ERRORS_WINDOW } else { 0 };
        self.error_rate = (old - old / ERRORS_WINDOW + new, now);
    }

    fn error_millionths(&self, now: Instant) -> u32 {
        let (rate, then) = self.error_rate;
        let halvings = now.saturating_duration_since(then).as_secs() / ERRORS_HALVE.as_secs();
        rate.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    pub(crate) fn error_permille(&self, now: Instant) -> u32 {
        self.error_millionths(now) / 1_000
    }

    /// That of its quickest method.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency.values().min().copied()
    }

    /// True where this is news.
    pub(crate) fn distrust(&mut self, reason: String, now: Instant) -> bool {
        let news = self.distrust.as_ref().is_none_or(|distrust| distrust.reason != reason);
        self.distrust = Some(Distrust { reason, until: now + DISTRUST });
        // What it said of its head is no longer believed either.
        self.head = None;
        news
    }

    pub(crate) fn distrusted(&self) -> Option<&str> {
        self.distrust.as_ref().map(|distrust| distrust.reason.as_str())
    }

    /// A person ends the time of distrust. It is trusted when it has said who it is.
    pub(crate) fn reconsider(&mut self, now: Instant) {
        if let Some(distrust) = &mut self.distrust {
            distrust.until = now;
        }
    }

    /// A person says that it is well: it is called again at once, unless it is distrusted.
    pub(crate) fn reset(&mut self) {
        self.breakers.reset();
        self.cooling_until = None;
    }

    /// What it said was an answer, and cannot be right.
    pub(crate) fn remark(&mut self, what: String) {
        self.last_error = Some(what);
    }

    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The latest head it claimed; false where it is lower than the one before.
    pub(crate) fn claimed(&mut self, head: u64, now: Instant) -> bool {
        let forward = self.head.is_none_or(|(before, _)| before <= head);
        if !forward {
            self.went_back += 1;
        }
        self.head = Some((head, now));
        forward
    }

    /// A block it has shown: its head is not below.
    pub(crate) fn has(&mut self, height: u64, now: Instant) {
        if self.head.is_none_or(|(before, _)| before <= height) {
            self.head = Some((height, now));
        }
    }

    /// Its latest head, and when it was heard.
    pub(crate) const fn head(&self) -> Option<(u64, Instant)> {
        self.head
    }

    pub(crate) const fn went_back(&self) -> u64 {
        self.went_back
    }

    pub(crate) const fn consecutive_failures(&self) -> u32 {
        self.breakers.failures()
    }

    pub(crate) const fn requests(&self) -> &BTreeMap<&'static str, u64> {
        &self.requests
    }

    pub(crate) fn requests_of(&self, day: u64) -> BTreeMap<&'static str, u64> {
        if self.today.0 == day { self.today.1.clone() } else { BTreeMap::new() }
    }

    pub(crate) const fn errors(&self) -> &BTreeMap<&'static str, u64> {
        &self.errors
    }

    pub(crate) fn breaker(&self, now: Instant) -> BreakerHealth {
        let breaker = self.breakers.endpoint();
        let state = breaker.state(now);
        let counts = breaker.transitions();
        let transition = |from, to, times| Transition { from, to, times };
        BreakerHealth {
            state: state.name(),
            opened: breaker.opened(),
            closes_in_seconds: if let State::Open(left) = state { Some(whole_seconds(left)) } else { None },
            methods: self.breakers.broken(now).map(|(method, state)| (method, state.name())).collect(),
            transitions: [
                transition("closed", "open", counts.closed_to_open),
                transition("open", "half_open", counts.open_to_half_open),
                transition("half_open", "closed", counts.half_open_to_closed),
                transition("half_open", "open", counts.half_open_to_open),
                transition("open", "closed", counts.open_to_closed),
            ],
        }
    }
}

/// Rounded up to one: "0 seconds" would say that it is over.
pub(crate) fn whole_seconds(left: Duration) -> u64 {
    left.as_secs().max(1)
}

fn is_trouble(error: &RpcError) -> bool {
    outcome(Some(error)) != Outcome::Served
}

fn outcome(error: Option<&RpcError>) -> Outcome {
    match error {
        Some(RpcError::TryOther { .. } | RpcError::Malformed(_) | RpcError::Credentials(_)) => Outcome::Failed,
        Some(RpcError::CoolDown { .. }) => Outcome::Nothing,
        // The node is well; it is the question that it could not answer.
        None
        | Some(
            RpcError::Split { .. }
            | RpcError::NotYet(_)
            | RpcError::Pruned(_)
            | RpcError::Unsupported(_)
            | RpcError::Rejected { .. },
        ) => Outcome::Served,
    }
}

#[cfg(test)]
mod tests;
