//! The body of amn-scanner: it loads, asks, writes and tells. What it decides is decided in `amn_core`.

pub mod api;
pub mod auditor;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod embedded;
pub mod follower;
pub mod networks;
pub mod outbox;
pub mod replay;
pub mod stage;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod testkit;
pub mod torture;
