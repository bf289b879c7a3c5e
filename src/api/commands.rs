//! The one door from the API to decisions: everything that changes what an intent or a deposit means goes
//! through the rules, under the network's fence.

use amn_core::block::NetworkId;
use amn_core::engine::Command;
use futures_util::future::BoxFuture;

use super::problem::{Code, Problem};

/// Named by what the caller must do next.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Look again: there is no such row.
    #[error("there is no {0}")]
    NotFound(String),
    /// Do something else: the rules say no, and why.
    #[error("{reason}")]
    Refused { reason: String },
    /// Try again: other decisions came first, more often than we tried.
    #[error("other decisions came first")]
    Stale,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Takes decisions: the store in the daemon, a script in tests.
pub trait Decide: Send + Sync {
    fn command<'a>(
        &'a self,
        network: &'a NetworkId,
        command: Command,
        actor: &'a str,
    ) -> BoxFuture<'a, Result<(), CommandError>>;
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound(what) => Self::new(Code::NotFound, format!("there is no {what}")),
            CommandError::Refused { reason } => Self::new(Code::Refused, reason),
            CommandError::Stale => Self::new(Code::Stale, "other decisions on this network came first"),
            CommandError::Database(error) => error.into(),
        }
    }
}
