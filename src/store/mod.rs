//! Every line of SQL, one module per aggregate: functions over a connection, no repositories.

pub mod idempotency;
pub mod intents;
pub mod keys;
pub mod outbox;
pub mod read;
pub mod row;
pub mod tenants;
pub mod thresholds;
