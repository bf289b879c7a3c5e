//! A stage for plays with real engines: a chain in a box, contracts to pay with, a receiver that checks
//! signatures, and the daemon in a process of its own. The demo, the benchmarks and the tests play here.

pub mod anvil;
pub mod contracts;
pub mod process;
pub mod receiver;

/// What went wrong behind the scenes, in words for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StageError(pub String);

impl StageError {
    pub fn because(what: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}
