//! Says what the outbox does: counts attempts, logs what was given up, and measures what waits.

use std::time::Duration;

use amn_core::id::{EndpointId, EventId};
use amn_core::timestamp::Timestamp;
use metrics::{counter, gauge, histogram};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::store::outbox::deliveries::{self, Claimed, End};
use crate::telemetry::metric;

/// The backlog's count reads the whole table.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Measures what waits, until told to stop.
pub(super) async fn backlog(pool: &PgPool, clock: &dyn Clock, fast_attempts: u32, stop: &CancellationToken) {
    // Ends when told to stop.
    loop {
        match deliveries::backlog(pool, fast_attempts).await {
            Ok(backlog) => {
                for (lane, count) in [("fast", backlog.fast), ("slow", backlog.slow), ("paused", backlog.paused)] {
                    gauge!(metric::DELIVERIES_PENDING, "lane" => lane).set(measured(count));
                }
                let age = backlog.oldest.map_or(0, |oldest| clock.now().millis().saturating_sub(oldest.millis()));
                gauge!(metric::DELIVERIES_OLDEST).set(measured(age.max(0)) / 1_000.0);
            }
            Err(error) => warn!(%error, "the backlog is not known: {error}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(MEASURE_EVERY) => {}
        }
    }
}

/// Counts one attempt, and logs it where somebody should know.
pub(super) fn tell(delivery: &Claimed, end: &End, now: Timestamp, duration: Duration) {
    let outcome = match end {
        End::Delivered => {
            let age = now.millis().saturating_sub(delivery.created_at.millis()).max(0);
            histogram!(metric::DELIVERY_TIME).record(measured(age) / 1_000.0);
            "delivered"
        }
        End::Retry { .. } => "retry",
        End::Dead { reason, pause } => {
            let kind = if reason.starts_with("exhausted") { "exhausted" } else { "rejected" };
            counter!(metric::DEAD_LETTERS, "reason" => kind).increment(1);
            let (event, endpoint) = (EventId(delivery.event.as_u128()), EndpointId(delivery.endpoint.as_u128()));
            warn!(%event, %endpoint, reason, "event {event} is a dead letter of endpoint {endpoint}: {reason}");
            if *pause {
                info!(%endpoint, "endpoint {endpoint} answered 410 and is paused");
            }
            "dead"
        }
        End::Released => return,
    };
    counter!(metric::ATTEMPTS, "outcome" => outcome).increment(1);
    histogram!(metric::ATTEMPT_TIME).record(duration.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats; a count past 2^53 is nobody's backlog")]
fn measured(count: i64) -> f64 {
    count as f64
}
