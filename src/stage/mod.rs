//! A stage for plays with real engines: a chain in a box, contracts to pay with, a receiver that checks
//! signatures, and the daemon in a process of its own. The demo, the benchmarks and the tests play here.

pub mod anvil;
pub mod contracts;
pub mod outage;
pub mod process;
pub mod receiver;
pub mod stellar;
pub mod ton;

/// What went wrong behind the scenes, in words for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StageError(pub String);

impl StageError {
    pub fn because(what: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

/// The client that plays speak HTTP with: no proxy, and half a minute for an answer.
fn client() -> Result<reqwest::Client, StageError> {
    amn_rpc::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .map_err(|error| StageError::because("the HTTP client", error))
}
