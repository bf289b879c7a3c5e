//! Every line of SQL, one module per aggregate: functions over a connection, no repositories.

pub mod outbox;
pub mod row;
