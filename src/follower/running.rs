//! The life of a follower: look, rest as long as its pace says, look again, until it is told to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amn_core::block::BlockRef;
use amn_core::engine::Alarm;
use amn_core::source::ChainSource;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::pace::{Bells, Pace, Rest, Rhythm};
use super::{FollowError, Follower, LEASE, Outcome};
use crate::store::{StoreError, network};
use crate::supervisor::Stop;

/// How often a network that rests for long renews its lease, says how old its tip is, and looks whether something is
/// awaited by now. It asks our database, not the nodes.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Bells ring at once at several nodes, and a broken one rings without end: so many looks fit into a usual wait.
const LOOKS_PER_WAIT: u32 = 8;

/// What ended a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A node announced a head.
    Bell,
    /// Somebody within this daemon waits for a look, or something is awaited since.
    Asked,
    /// Its time was over.
    Timer,
    /// There was none: the look before left something to do.
    Going,
}

/// How a network is looked at, for those who report it. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Rest>>>);

impl Pulse {
    /// `None` until it first rested.
    #[must_use]
    pub fn rest(&self) -> Option<Rest> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, rest: Rest) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }
}

/// What a follower knows of its own pace.
#[derive(Debug)]
pub(super) struct Running {
    rhythm: Rhythm,
    /// Rung when somebody waits for a look.
    wake: Arc<Notify>,
    pulse: Pulse,
    bells: Bells,
    failures: u32,
}

impl Running {
    pub(super) fn steady(every: Duration) -> Self {
        Self {
            rhythm: Rhythm::steady(every),
            wake: Arc::default(),
            pulse: Pulse::default(),
            bells: Bells::default(),
            failures: 0,
        }
    }
}

impl<S: ChainSource> Follower<S> {
    /// Rests as this rhythm says, unless `wake` rings, and says in `pulse` how.
    #[must_use]
    pub fn at_pace(mut self, rhythm: Rhythm, wake: Arc<Notify>, pulse: Pulse) -> Self {
        self.running = Running { rhythm, wake, pulse, ..self.running };
        self
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: Stop) -> Result<(), FollowError> {
        let mut woken = Woken::Going;
        loop {
            let rest = tokio::select! {
                // A round is cut only before its commit or after it: both lose nothing.
                () = stop.requested() => break,
                rest = self.step(woken) => rest?,
            };
            woken = match rest {
                None => Woken::Going,
                Some(rest) => match self.sleep(rest, &stop).await {
                    Some(woken) => woken,
                    None => break,
                },
            };
        }
        // Another daemon need not wait for the end of a lease that nobody uses.
        let _ = network::release(&self.parts.pool, &self.network(), self.parts.holder).await;
        Ok(())
    }

    /// One round, and how long to rest after it; `None`: there is more to do at once.
    pub async fn step(&mut self, woken: Woken) -> Result<Option<Rest>, FollowError> {
        if woken == Woken::Bell {
            self.running.bells.rang();
        }
        let before = self.tip();
        let outcome = self.round().await;
        if woken == Woken::Timer && before.is_some() && self.tip() != before {
            self.running.bells.missed_news();
        }
        // Whoever moved and then had to wait has not failed.
        if matches!(outcome, Ok(Outcome::Advanced | Outcome::Idle)) || self.tip() != before {
            self.running.failures = 0;
        }
        let rest = match outcome {
            Ok(Outcome::Advanced) => return Ok(None),
            Ok(Outcome::Idle) => {
                let awaited = self.running.rhythm.quiet.is_none() || self.awaits().await;
                self.running.bells.rest(self.running.rhythm, awaited)
            }
            Ok(Outcome::Standby | Outcome::Halted) => Rest { pace: Pace::Standing, length: LEASE / 10 },
            Ok(Outcome::Waiting(why)) => {
                self.say_alarm(&Alarm { kind: "waiting_for_source", detail: why.to_string() });
                self.retry(self.running.rhythm.usual)
            }
            Err(error @ StoreError::Row(_)) => return Err(error),
            Err(error) => {
                self.known = None;
                warn!(network = %self.network(), %error, "the database did not answer; trying again");
                self.retry(Duration::from_millis(200))
            }
        };
        self.running.pulse.set(rest);
        Ok(Some(rest))
    }

    fn retry(&mut self, first: Duration) -> Rest {
        self.running.failures = self.running.failures.saturating_add(1);
        Rest { pace: Pace::Retrying, length: backoff(first, self.running.failures) }
    }

    fn tip(&self) -> Option<BlockRef> {
        self.known.as_ref().and_then(|known| known.tip).map(|tip| tip.at)
    }

    /// Whether anything is awaited of this network. Where our database does not say: yes.
    async fn awaits(&self) -> bool {
        network::awaits(&self.parts.pool, &self.network()).await.unwrap_or(true)
    }

    /// Waits until the rest is over or something rings; `None`: told to stop.
    async fn sleep(&mut self, rest: Rest, stop: &Stop) -> Option<Woken> {
        let (began, quiet) = (Instant::now(), rest.pace == Pace::Quiet);
        let end = began + rest.length;
        let mut keep = began + KEEP_EVERY;
        let (bell, wake) = (self.parts.bell.clone(), self.running.wake.clone());
        loop {
            tokio::select! {
                () = stop.requested() => return None,
                () = wake.notified() => return Some(Woken::Asked),
                () = bell.notified() => {
                    if !quiet {
                        let soonest = began + self.running.rhythm.usual / LOOKS_PER_WAIT;
                        tokio::select! {
                            () = stop.requested() => return None,
                            () = sleep_until(soonest) => return Some(Woken::Bell),
                        }
                    }
                    self.running.bells.rang();
                }
                () = sleep_until(end) => return Some(Woken::Timer),
                () = sleep_until(keep) => {
                    if rest.pace != Pace::Standing && !self.keep(quiet).await {
                        return Some(Woken::Asked);
                    }
                    keep = Instant::now() + KEEP_EVERY;
                }
            }
        }
    }

    /// Keeps the lease and the gauges of a network that rests; false where it must be looked at.
    async fn keep(&mut self, quiet: bool) -> bool {
        let leads = self.lead().await.unwrap_or(false);
        self.measure();
        !quiet || leads && !self.awaits().await
    }

    /// Brings the gauges up to date between rounds: a tip that nobody can move grows old all the same.
    pub fn measure(&self) {
        if let Some(known) = &self.known {
            self.gauge(known);
        }
    }
}

/// Twice the pause for each failure, at most half a minute: a chain that comes back is followed soon.
fn backoff(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(Duration::from_secs(30))
}
