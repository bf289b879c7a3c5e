//! Leaves alone what keeps failing: an endpoint, or one method of it. Pure: what happened and what o'clock it is come in.
//!
//! Closed: questions flow. Open: none do. Half open: one question, the probe, finds out whether it may be closed.
//! One method may be broken while others serve, and that opens nothing but its own breaker. So an endpoint opens only
//! when the failures in a row are of more than one method; where they are all of one, it is *suspect*, and the probe
//! of its identity says which of both it is (decisions/0017).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::BreakerSettings;

/// What a breaker says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    /// For so long.
    Open(Duration),
    /// The probe may be sent, or is under way.
    HalfOpen,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How often a breaker went from where to where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Transitions {
    pub(crate) closed_to_open: u64,
    pub(crate) open_to_half_open: u64,
    pub(crate) half_open_to_closed: u64,
    pub(crate) half_open_to_open: u64,
    /// By hand.
    pub(crate) open_to_closed: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// The probe is under way.
    Probed,
}

/// One breaker.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Breaker {
    phase: Phase,
    counts: Transitions,
}

impl Breaker {
    pub(crate) fn state(&self, now: Instant) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { until } if now < until => State::Open(until - now),
            Phase::Open { .. } | Phase::Probed => State::HalfOpen,
        }
    }

    pub(crate) const fn transitions(&self) -> Transitions {
        self.counts
    }

    /// How often it opened, after a probe that failed too.
    pub(crate) const fn opened(&self) -> u64 {
        self.counts.closed_to_open + self.counts.half_open_to_open
    }

    /// Whether a probe may be sent now: no other is under way.
    fn awaits_probe(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Open { until } if now >= until)
    }

    fn begin_probe(&mut self, now: Instant) {
        if self.awaits_probe(now) {
            self.phase = Phase::Probed;
            self.counts.open_to_half_open += 1;
        }
    }

    /// The probe went well.
    fn close(&mut self) {
        if self.phase == Phase::Probed {
            self.phase = Phase::Closed;
            self.counts.half_open_to_closed += 1;
        }
    }

    /// Failures enough, or a probe that failed. An open one stays as it is: its questions were sent before.
    fn open(&mut self, until: Instant) {
        match self.phase {
            Phase::Closed => self.counts.closed_to_open += 1,
            Phase::Probed => self.counts.half_open_to_open += 1,
            Phase::Open { .. } => return,
        }
        self.phase = Phase::Open { until };
    }

    fn reset(&mut self) {
        match std::mem::take(&mut self.phase) {
            Phase::Closed => {}
            Phase::Probed => self.counts.half_open_to_closed += 1,
            Phase::Open { .. } => self.counts.open_to_closed += 1,
        }
    }
}

/// What came of one question, as far as a breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered; or refused for what was asked, which a healthy node does.
    Served,
    Failed,
    /// It asked to be left alone, or nobody waited for the answer: that shows nothing.
    Nothing,
}

/// The breakers of one endpoint.
#[derive(Debug)]
pub(crate) struct Breakers {
    settings: BreakerSettings,
    endpoint: Breaker,
    /// Requests that failed since one was served, and the method they all asked for, where it is one.
    failures: u32,
    alike: Option<&'static str>,
    methods: BTreeMap<&'static str, Method>,
}

#[derive(Debug, Default)]
struct Method {
    failures: u32,
    breaker: Breaker,
}

impl Breakers {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        let settings = BreakerSettings { failures: settings.failures.max(1), ..settings };
        Self { settings, endpoint: Breaker::default(), failures: 0, alike: None, methods: BTreeMap::new() }
    }

    pub(crate) const fn endpoint(&self) -> &Breaker {
        &self.endpoint
    }

    /// Those methods whose breakers are not closed.
    pub(crate) fn broken(&self, now: Instant) -> impl Iterator<Item = (&'static str, State)> {
        let states = self.methods.iter().map(move |(name, method)| (*name, method.breaker.state(now)));
        states.filter(|(_, state)| *state != State::Closed)
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a question may be sent that asks for these methods; and if so, those of them that it probes.
    pub(crate) fn admit(&mut self, methods: &[&'static str], now: Instant) -> Result<Vec<&'static str>, Refused> {
        match self.endpoint.state(now) {
            State::Closed => {}
            State::Open(left) => return Err(Refused { method: None, left }),
            State::HalfOpen => return Err(Refused { method: None, left: Duration::ZERO }),
        }
        for method in methods {
            let Some(Method { breaker, .. }) = self.methods.get(method) else { continue };
            if breaker.state(now) != State::Closed && !breaker.awaits_probe(now) {
                let left = if let State::Open(left) = breaker.state(now) { left } else { Duration::ZERO };
                return Err(Refused { method: Some(method), left });
            }
        }
        let mut probed = Vec::new();
        for method in methods {
            if let Some(Method { breaker, .. }) = self.methods.get_mut(method)
                && breaker.awaits_probe(now)
            {
                breaker.begin_probe(now);
                probed.push(*method);
            }
        }
        Ok(probed)
    }

    /// What came of a request: for each method it asked for, once. `probed` is what [`Self::admit`] gave out for it.
    pub(crate) fn answered(&mut self, outcomes: &[(&'static str, Outcome)], probed: &[&'static str], now: Instant) {
        let until = now + self.settings.open_for;
        for &(name, outcome) in outcomes {
            let method = self.methods.entry(name).or_default();
            let probed = probed.contains(&name);
            match outcome {
                Outcome::Served => {
                    method.failures = 0;
                    // Only the probe closes: others may have been under way since before it opened.
                    if probed {
                        method.breaker.close();
                    }
                }
                Outcome::Failed => {
                    method.failures = method.failures.saturating_add(1);
                    if probed || method.failures >= self.settings.failures {
                        method.breaker.open(until);
                    }
                }
                Outcome::Nothing if probed => method.breaker.open(now),
                Outcome::Nothing => {}
            }
        }
        if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Served) {
            (self.failures, self.alike) = (0, None);
        } else if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Failed) {
            self.count(outcomes.iter().map(|(name, _)| *name), until);
        }
    }

    /// A request that asked for these methods failed as a whole.
    fn count(&mut self, mut methods: impl Iterator<Item = &'static str>, until: Instant) {
        let one = methods.next().filter(|one| methods.all(|other| other == *one));
        self.alike = if self.failures == 0 { one } else { self.alike.filter(|alike| one == Some(*alike)) };
        self.failures = self.failures.saturating_add(1);
        let closed = self.endpoint.phase == Phase::Closed;
        if closed && self.failures >= self.settings.failures && self.alike.is_none() {
            self.open(until);
        }
    }

    /// The methods begin anew: what they failed with was the endpoint's trouble.
    fn open(&mut self, until: Instant) {
        self.endpoint.open(until);
        self.heal_methods();
    }

    fn heal_methods(&mut self) {
        for method in self.methods.values_mut() {
            method.failures = 0;
            method.breaker.reset();
        }
    }

    /// Whether it failed often enough in a row to be open, though all of it with one method.
    fn is_suspect(&self) -> bool {
        self.endpoint.phase == Phase::Closed && self.failures >= self.settings.failures
    }

    /// Whether its identity may be probed now, by which it is closed again or proves to be dead.
    pub(crate) fn awaits_probe(&self, now: Instant) -> bool {
        self.endpoint.awaits_probe(now) || self.is_suspect()
    }

    pub(crate) fn begin_probe(&mut self, now: Instant) {
        self.endpoint.begin_probe(now);
    }

    /// How the probe of its identity ended.
    pub(crate) fn probed(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Served => {
                (self.failures, self.alike) = (0, None);
                self.endpoint.close();
            }
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.open(now + self.settings.open_for);
            }
            Outcome::Nothing if self.endpoint.phase == Phase::Probed => self.endpoint.open(now),
            Outcome::Nothing => {}
        }
    }

    /// A person says that it is well.
    pub(crate) fn reset(&mut self) {
        (self.failures, self.alike) = (0, None);
        self.endpoint.reset();
        self.heal_methods();
    }
}

/// Why a question may not be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its breaker is in the way; `None`: the endpoint's.
    pub(crate) method: Option<&'static str>,
    /// Until a probe may be sent; zero while one is under way.
    pub(crate) left: Duration,
}

#[cfg(test)]
mod tests;
