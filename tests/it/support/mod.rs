//! What every story needs.

pub mod database;
pub mod fake_chain;
pub mod scene;
