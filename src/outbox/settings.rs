//! How much is sent at once, and how patiently: what the operator may set.

use std::time::Duration;

use super::schedule::Schedule;

/// How much is sent at once, and how patiently.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Of one attempt, body included.
    pub timeout: Duration,
    /// Deliveries held at a time, in all …
    pub concurrency: u32,
    /// … and by one endpoint.
    pub per_endpoint_concurrency: u32,
    pub schedule: Schedule,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            concurrency: 256,
            per_endpoint_concurrency: 16,
            schedule: Schedule::default(),
        }
    }
}
