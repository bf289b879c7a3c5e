//! How an endpoint stands with us. Pure: what happened and what o'clock it is come in, usability comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::error::RpcError;

/// One failure is an accident, two a coincidence; after the third in a row others go first.
const FAILURES_BEFORE_REST: u32 = 3;
/// A node that is down is asked again this often at the latest: it costs one failed call a minute.
const REST_MAX: Duration = Duration::from_mins(1);
/// No provider gets to silence us for longer than this by a header of its own.
pub(crate) const COOL_DOWN_MAX: Duration = Duration::from_mins(5);
/// Long enough that a lying node is no longer in the middle of its lie; short enough that two honest
/// operators are not turned into one for an hour by a single bad cache.
pub(crate) const DISTRUST: Duration = Duration::from_mins(10);

/// Whether an endpoint can be used, better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usability {
    Ready,
    /// Failed several times; may be tried where nothing better is there.
    Resting(Duration),
    /// Asked us to leave it alone: it is not called.
    Cooling(Duration),
    /// Was distrusted; may be asked who it is, and nothing else counts until it is trusted again.
    AwaitsProbe,
    /// Is not called.
    Distrusted(Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Distrust {
    reason: String,
    until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Standing {
    head: Option<u64>,
    failures: u32,
    resting_until: Option<Instant>,
    cooling_until: Option<Instant>,
    distrust: Option<Distrust>,
    requests: BTreeMap<&'static str, u64>,
    last_error: Option<String>,
    latency: Option<Duration>,
    went_back: u64,
}

impl Standing {
    pub(crate) fn usability(&self, now: Instant) -> Usability {
        let left = |until: Instant| Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero());
        if let Some(distrust) = &self.distrust {
            return left(distrust.until).map_or(Usability::AwaitsProbe, Usability::Distrusted);
        }
        if let Some(left) = self.cooling_until.and_then(left) {
            return Usability::Cooling(left);
        }
        self.resting_until.and_then(left).map_or(Usability::Ready, Usability::Resting)
    }

    pub(crate) fn asked(&mut self, method: &'static str) {
        *self.requests.entry(method).or_default() += 1;
    }

    /// What came of a request, and how long it took.
    pub(crate) fn answered(&mut self, error: Option<&RpcError>, took: Duration, now: Instant) {
        // An eighth of the new one: steady over some ten calls.
        self.latency = Some(self.latency.map_or(took, |old| (old * 7 + took) / 8));
        if let Some(error) = error {
            self.last_error = Some(error.to_string());
        }
        match error {
            Some(RpcError::TryOther { .. } | RpcError::Malformed(_) | RpcError::Credentials(_)) => {
                self.failures = self.failures.saturating_add(1);
                if let Some(over) = self.failures.checked_sub(FAILURES_BEFORE_REST) {
                    let rest = Duration::from_secs(1 << over.min(6)).min(REST_MAX);
                    self.resting_until = Some(now + rest);
                }
            }
            Some(RpcError::CoolDown { wait, .. }) => {
                let until = now + (*wait).min(COOL_DOWN_MAX);
                self.cooling_until = self.cooling_until.max(Some(until));
            }
            // The node is well; it is the question that it could not answer.
            None
            | Some(
                RpcError::Split { .. }
                | RpcError::NotYet(_)
                | RpcError::Pruned(_)
                | RpcError::Unsupported(_)
                | RpcError::Rejected { .. },
            ) => {
                self.failures = 0;
                self.resting_until = None;
            }
        }
    }

    /// True where this is news.
    pub(crate) fn distrust(&mut self, reason: String, now: Instant) -> bool {
        let news = self.distrust.as_ref().is_none_or(|distrust| distrust.reason != reason);
        self.distrust = Some(Distrust { reason, until: now + DISTRUST });
        // What it said of its head is no longer believed either.
        self.head = None;
        news
    }

    /// True where it was distrusted.
    pub(crate) fn trust_again(&mut self) -> bool {
        self.distrust.take().is_some()
    }

    pub(crate) fn distrusted(&self) -> Option<&str> {
        self.distrust.as_ref().map(|distrust| distrust.reason.as_str())
    }

    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The latest head it claimed; false where it is lower than the one before.
    pub(crate) fn claimed(&mut self, head: u64) -> bool {
        let forward = self.head.is_none_or(|before| before <= head);
        if !forward {
            self.went_back += 1;
        }
        self.head = Some(head);
        forward
    }

    /// A block it has shown: its head is not below.
    pub(crate) fn has(&mut self, height: u64) {
        self.head = self.head.max(Some(height));
    }

    /// How many blocks it is behind the best head; `None` where it never said.
    pub(crate) fn lag(&self, best: u64) -> Option<u64> {
        self.head.map(|head| best.saturating_sub(head))
    }

    pub(crate) fn health(&self, identity: Identity, best: u64, now: Instant) -> Health {
        let usability = self.usability(now);
        let left = |left: Duration| left.as_secs().max(1);
        Health {
            name: identity.name,
            operator: identity.operator,
            shown_url: identity.shown_url,
            usable: usability == Usability::Ready,
            head: self.head,
            lag: self.lag(best),
            heads_went_back: self.went_back,
            consecutive_failures: self.failures,
            cooling_seconds: match usability {
                Usability::Resting(wait) | Usability::Cooling(wait) | Usability::Distrusted(wait) => Some(left(wait)),
                Usability::Ready | Usability::AwaitsProbe => None,
            },
            distrusted: self.distrusted().map(str::to_owned),
            requests: self.requests.clone(),
            last_error: self.last_error.clone(),
            latency_us: self.latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// Who the endpoint is, for its health.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) operator: String,
    pub(crate) shown_url: String,
}

/// An endpoint's standing, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    pub name: String,
    pub operator: String,
    /// Scheme and host.
    pub shown_url: String,
    /// Whether it is asked now.
    pub usable: bool,
    /// The latest head it claimed.
    pub head: Option<u64>,
    /// Blocks behind the best head of the pool.
    pub lag: Option<u64>,
    /// How often it claimed a lower head than before.
    pub heads_went_back: u64,
    pub consecutive_failures: u32,
    /// Seconds until it is asked again.
    pub cooling_seconds: Option<u64>,
    pub distrusted: Option<String>,
    /// Questions asked, by method.
    pub requests: BTreeMap<&'static str, u64>,
    pub last_error: Option<String>,
    /// Moving average.
    pub latency_us: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed(standing: &mut Standing, times: u32, now: Instant) {
        for _ in 0..times {
            standing.answered(Some(&RpcError::try_other("")), SECOND, now);
        }
    }

    #[test]
    fn the_third_failure_in_a_row_rests_it_and_each_further_one_doubles_the_rest_up_to_a_minute() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        failed(&mut standing, 2, now);
        assert_eq!(standing.usability(now), Usability::Ready);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            failed(&mut standing, 1, now);
            assert_eq!(standing.usability(now), Usability::Resting(SECOND * seconds));
        }
        assert_eq!(standing.usability(now + SECOND * 60), Usability::Ready);
        standing.answered(None, SECOND, now);
        assert_eq!(standing.usability(now), Usability::Ready);
    }

    #[test]
    fn an_answer_that_the_node_cannot_help_clears_its_failures() {
        let now = Instant::now();
        for error in [
            RpcError::Split { hint: None },
            RpcError::NotYet(String::new()),
            RpcError::Pruned(String::new()),
            RpcError::Unsupported(String::new()),
            RpcError::Rejected { code: 0, message: String::new() },
        ] {
            let mut standing = Standing::default();
            failed(&mut standing, 5, now);
            standing.answered(Some(&error), SECOND, now);
            assert_eq!(standing.usability(now), Usability::Ready, "{error}");
        }
    }

    #[test]
    fn a_cool_down_is_kept_through_good_answers_and_never_exceeds_its_bound() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        let wait = |wait| RpcError::CoolDown { wait, detail: String::new() };
        standing.answered(Some(&wait(Duration::MAX)), SECOND, now);
        // Answers to questions that were on their way already.
        standing.answered(None, SECOND, now);
        standing.answered(Some(&wait(SECOND)), SECOND, now);
        assert_eq!(standing.usability(now), Usability::Cooling(COOL_DOWN_MAX));
        assert_eq!(standing.usability(now + COOL_DOWN_MAX), Usability::Ready);
    }

    #[test]
    fn reading_an_old_block_makes_no_laggard() {
        let mut standing = Standing::default();
        assert!(standing.claimed(100));
        standing.has(7);
        assert_eq!((standing.lag(100), standing.went_back), (Some(0), 0));
        standing.has(103);
        assert_eq!(standing.lag(103), Some(0));
        assert!(!standing.claimed(90), "a head that goes back is one");
    }

    #[test]
    fn distrust_ends_only_with_a_probe_after_its_time() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        assert!(standing.distrust("a lie".to_owned(), now));
        assert!(!standing.distrust("a lie".to_owned(), now), "told twice");
        assert!(standing.distrust("another lie".to_owned(), now));
        standing.answered(None, SECOND, now);
        assert_eq!(standing.usability(now), Usability::Distrusted(DISTRUST));
        assert_eq!(standing.usability(now + DISTRUST * 10), Usability::AwaitsProbe);
        assert!(standing.trust_again());
        assert_eq!(standing.usability(now), Usability::Ready);
        assert!(!standing.trust_again());
    }

    #[test]
    fn the_less_bad_comes_first() {
        let order = [
            Usability::Ready,
            Usability::Resting(SECOND),
            Usability::Resting(SECOND * 2),
            Usability::Cooling(SECOND),
            Usability::AwaitsProbe,
            Usability::Distrusted(SECOND),
        ];
        assert!(order.is_sorted());
    }
}
