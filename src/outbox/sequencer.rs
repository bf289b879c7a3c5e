//! Numbers committed events, so that a cursor over the feed never skips one that committed late.
//!
//! One daemon at a time does it, under an advisory lock. A number is given only to what is already visible,
//! and becomes visible before the lock is free: whoever has read up to a number has seen all below it.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::outbox::feed::{self, Numbered};
use crate::telemetry::metric;

/// Events in one transaction: enough to keep up with any chain, few enough to be quick.
pub const BATCH_MAX: u32 = 500;

/// Nobody waits for a number as for a webhook; this finds what another daemon committed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Gives committed events their place in the feed.
#[derive(Debug)]
pub struct Sequencer {
    pool: PgPool,
    wake: Arc<Notify>,
}

impl Sequencer {
    /// `wake` is this task's own: one notification wakes one waiter.
    #[must_use]
    pub const fn new(pool: PgPool, wake: Arc<Notify>) -> Self {
        Self { pool, wake }
    }

    /// Numbers until it is told to stop. Ends only then; a database that is away is asked again.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            match self.run_once().await {
                Ok(_) => gauge!(metric::EVENTS_UNNUMBERED).set(0.0),
                Err(error) => warn!(%error, "events are not numbered: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Numbers all there is; answers how many.
    pub async fn run_once(&self) -> Result<u64, sqlx::Error> {
        let mut all: u64 = 0;
        // Ends when a round was not full, or another daemon is at it.
        loop {
            let Numbered::Events(numbered) = feed::number(&self.pool, BATCH_MAX).await? else {
                return Ok(all);
            };
            all = all.saturating_add(numbered);
            if numbered < u64::from(BATCH_MAX) {
                return Ok(all);
            }
        }
    }
}
