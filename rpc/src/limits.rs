//! What we allow ourselves at one endpoint: requests per second, and requests at once.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::EndpointConfig;

pub(crate) struct Limits {
    limiter: Option<DefaultDirectRateLimiter>,
    burst: NonZeroU32,
    seats: Semaphore,
    /// No question waits for its turn for longer than it may take to be answered.
    patience: Duration,
}

impl Limits {
    pub(crate) fn new(config: &EndpointConfig) -> Self {
        let quota = config.max_rps.map(|rps| Quota::per_second(rps).allow_burst(config.burst.unwrap_or(rps)));
        Self {
            limiter: quota.map(RateLimiter::direct),
            burst: quota.map_or(NonZeroU32::MAX, |quota| quota.burst_size()),
            seats: Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            patience: config.timeout,
        }
    }

    /// How many questions one request may hold: providers count each question of a batch.
    pub(crate) fn batch_max(&self) -> usize {
        usize::try_from(self.burst.get()).unwrap_or(usize::MAX)
    }

    /// Waits for a seat and for our turn; `None` where that takes too long.
    pub(crate) async fn enter(&self, questions: NonZeroU32) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(self.patience, async {
            // A closed semaphore would be an error; ours is never closed.
            let seat = self.seats.acquire().await.ok()?;
            while let Some(wait) = self.wait_for(questions) {
                tokio::time::sleep(wait).await;
            }
            Some(seat)
        })
        .await
        .ok()?
    }

    fn wait_for(&self, questions: NonZeroU32) -> Option<Duration> {
        let limiter = self.limiter.as_ref()?;
        // A batch never exceeds the burst (`batch_max`), so the inner answer is always there.
        match limiter.check_n(questions.min(self.burst)) {
            Ok(Err(not_until)) => Some(not_until.wait_time_from(DefaultClock::default().now())),
            Ok(Ok(())) | Err(_) => None,
        }
    }
}
