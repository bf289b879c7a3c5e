//! What the stories are told with.

pub mod database;
pub mod evm_scene;
pub mod fake_chain;
pub mod outbox;
pub mod play;
pub mod receiver;
pub mod scene;
