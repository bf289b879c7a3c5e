//! What the stories are told with.

pub mod database;
pub mod outbox;
pub mod receiver;
