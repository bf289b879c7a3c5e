//! The only place where tasks start: each with a name and a declared policy for its end.
//!
//! Law: the exit code tells the truth. Stopping has two steps: *soft* (take nothing new, finish what
//! is in flight) and *hard* (everything is dropped where it waits). Who loses power instead loses
//! nothing either: every decision is one transaction.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::{ExitCode, Termination};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::telemetry::metric;

/// What is in flight gets this long after the first signal: an attempt lasts at most 5 s, a decision
/// far less, and orchestrators kill after 30 s by default.
pub const GRACE: Duration = Duration::from_secs(10);

/// After the hard stop every task is dropped at its next await; one that takes longer is stuck.
const DROP_WITHIN: Duration = Duration::from_secs(2);

/// What a task ends with. It is logged here once, and nowhere else.
pub type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// What the end of a task means. Valid for an end before the stop; afterwards a task is meant to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It must not end: start it again, however it ended, after a pause.
    Restart(Backoff),
    /// It must not end, and the daemon is no good without it.
    StopProcess,
    /// It may end well; where it fails, the process stops.
    Once,
}

/// The pause before a restart: doubled each time, back to the first after a healthy run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// Half a second is nothing beside a block time; half a minute keeps a broken task from filling the log.
    pub const USUAL: Self = Self { first: Duration::from_millis(500), longest: Duration::from_secs(30) };
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, and everything in flight was finished.
    Clean = 0,
    /// A task that must not end ended, or work was cut off.
    Failed = 1,
    /// The configuration is wrong; nothing was started.
    Config = 2,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Tells a task when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    /// Waits until intake must end. A task then finishes what it holds and returns.
    pub async fn requested(&self) {
        self.soft.cancelled().await;
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// The soft token itself, for libraries that take one.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.soft
    }

    /// Asks the process to stop, as the first signal does.
    pub fn request(&self) {
        self.soft.cancel();
    }

    /// Sleeps, or returns early with `false` when a stop is requested.
    pub async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => false,
            () = sleep(pause) => true,
        }
    }
}

/// Starts tasks. Cheap to clone, so that a task can start others with a policy of their own.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: Stop,
    failed: Arc<AtomicBool>,
    running: Arc<Mutex<BTreeMap<u64, String>>>,
}

impl Tasks {
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Starts a task. `make` is called again for each restart, so it holds what must outlive one run.
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
    pub fn start<Make, Run>(&self, name: impl Into<String>, policy: Policy, make: Make)
    where
        Make: FnMut(Stop) -> Run + Send + 'static,
        Run: Future<Output = Ended> + Send + 'static,
    {
        let name = name.into();
        let (tasks, hard) = (self.clone(), self.stop.hard.clone());
        let token = self.tracker.token();
        tokio::spawn(async move {
            let _token = token; // Counts as running until this block ends.
            let key = tasks.enter(&name);
            tokio::select! {
                biased;
                () = hard.cancelled() => tasks.failed.store(true, Ordering::SeqCst), // Cut off.
                () = tasks.keep(&name, policy, make) => {}
            }
            tasks.running().remove(&key);
        });
    }

    /// Runs the task until it may end. Ends: on a good end of `Once`, on a failure that stops the
    /// process, and at the first end after the stop was requested.
    async fn keep<Make, Run>(&self, name: &str, policy: Policy, mut make: Make)
    where
        Make: FnMut(Stop) -> Run,
        Run: Future<Output = Ended>,
    {
        let mut pause = Duration::ZERO;
        loop {
            let started = Instant::now();
            let end = run_once(&mut make, &self.stop).await;
            if self.stop.is_requested() {
                if end != End::Returned {
                    self.failed.store(true, Ordering::SeqCst);
                    error!(task = name, "task {name} {end} while stopping");
                }
                return;
            }
            match policy {
                Policy::Once if end == End::Returned => return,
                Policy::Restart(backoff) => {
                    pause = next_pause(backoff, pause, started.elapsed());
                    metrics::counter!(metric::TASK_RESTARTS, "task" => name.to_owned()).increment(1);
                    warn!(task = name, "task {name} {end}; starting it again in {pause:?}");
                    if !self.stop.sleep(pause).await {
                        return;
                    }
                }
                Policy::Once | Policy::StopProcess => {
                    self.failed.store(true, Ordering::SeqCst);
                    error!(task = name, "task {name} {end}; stopping the process");
                    self.stop.request();
                    return;
                }
            }
        }
    }

    fn enter(&self, name: &str) -> u64 {
        let mut running = self.running();
        let key = running.last_key_value().map_or(0, |(last, _)| last.wrapping_add(1));
        running.insert(key, name.to_owned());
        key
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one run of a task ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Returned,
    Failed(String),
    Panicked,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("returned"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            // The panic's own words were logged with their place when it happened.
            Self::Panicked => f.write_str("panicked"),
        }
    }
}

async fn run_once<Make, Run>(make: &mut Make, stop: &Stop) -> End
where
    Make: FnMut(Stop) -> Run,
    Run: Future<Output = Ended>,
{
    // Unwind safety: a task that panicked is dropped whole, and what it shares is behind locks.
    let run = async { make(stop.clone()).await };
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(Ok(())) => End::Returned,
        Ok(Err(why)) => End::Failed(with_sources(why.as_ref())),
        Err(_) => End::Panicked,
    }
}

/// The error and what caused it, on one line.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A run longer than the longest pause was healthy: its end is news, not a repetition.
fn next_pause(backoff: Backoff, last: Duration, ran: Duration) -> Duration {
    if last.is_zero() || ran > backoff.longest {
        return backoff.first;
    }
    last.saturating_mul(2).min(backoff.longest)
}

/// Owns the life of the process, from the first task to the exit code.
#[derive(Debug)]
pub struct Supervisor {
    tasks: Tasks,
}

impl Default for Supervisor {
    fn default() -> Self {
        let stop = Stop { soft: CancellationToken::new(), hard: CancellationToken::new() };
        Self {
            tasks: Tasks {
                tracker: TaskTracker::new(),
                stop,
                failed: Arc::new(AtomicBool::new(false)),
                running: Arc::default(),
            },
        }
    }
}

impl Supervisor {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What starts tasks; hand clones to whoever must.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Runs until a signal or a task asks for the end, and says how it ended. The first signal stops
    /// softly, the second hard; so does the end of [`GRACE`].
    pub async fn run(self, mut signals: mpsc::Receiver<Signal>) -> Exit {
        let Tasks { tracker, stop, failed, running } = self.tasks;
        tokio::select! {
            () = stop.soft.cancelled() => {}
            signal = next_signal(&mut signals) => info!("{signal}: stopping; what is in flight has {GRACE:?}"),
        }
        stop.soft.cancel();
        tracker.close();
        let cut_off = tokio::select! {
            biased;
            () = tracker.wait() => None,
            signal = next_signal(&mut signals) => Some(format!("{signal} again")),
            () = sleep(GRACE) => Some(format!("{GRACE:?} have passed")),
        };
        if let Some(why) = cut_off {
            let names = names_of(&running);
            warn!("{why}: dropping what still runs: {names}");
            stop.hard.cancel();
            if timeout(DROP_WITHIN, tracker.wait()).await.is_err() {
                failed.store(true, Ordering::SeqCst);
            }
        }
        if failed.load(Ordering::SeqCst) { Exit::Failed } else { Exit::Clean }
    }
}

/// What still runs. Its own function, so that the lock is gone before anything is waited for: every
/// task that ends takes it.
fn names_of(running: &Mutex<BTreeMap<u64, String>>) -> String {
    let names = running.lock().unwrap_or_else(PoisonError::into_inner);
    names.values().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A wish from outside to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The next signal. Where nobody can send one any more it waits for ever: silence is not a wish to stop.
async fn next_signal(signals: &mut mpsc::Receiver<Signal>) -> Signal {
    match signals.recv().await {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

/// The signals of this process, for [`Supervisor::run`]. Call it before any task starts.
#[expect(clippy::disallowed_methods, reason = "must outlive every task, the supervisor's own wait included")]
pub fn signals() -> std::io::Result<mpsc::Receiver<Signal>> {
    // Two signals are all we act on; a third changes nothing.
    let (send, receive) = mpsc::channel(2);
    for (kind, name) in [(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)] {
        let (mut stream, send) = (signal(kind)?, send.clone());
        tokio::spawn(async move {
            // Ends when nobody listens any more.
            while stream.recv().await.is_some() && send.send(name).await.is_ok() {}
        });
    }
    Ok(receive)
}

#[cfg(test)]
mod tests;
