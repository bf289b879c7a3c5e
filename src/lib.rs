//! The body of amn-scanner: it loads, asks, writes and tells. What it decides is decided in `amn_core`.

pub mod api;
pub mod clock;
pub mod outbox;
pub mod store;
