//! What the stories are told with.

pub mod database;
pub mod evm_scene;
pub mod fake_chain;
pub mod gate;
pub mod hangs_up;
pub mod held;
pub mod household;
pub mod kills;
pub mod liars;
pub mod outbox;
pub mod play;
pub mod receiver;
pub mod rows;
pub mod scene;
pub mod script;
pub mod told;
pub mod watching;
