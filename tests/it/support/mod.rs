//! What the stories are told with.

pub mod database;
pub mod fake_chain;
pub mod gate;
pub mod outbox;
pub mod play;
pub mod receiver;
pub mod scene;
