//! What every story needs.

pub mod database;
