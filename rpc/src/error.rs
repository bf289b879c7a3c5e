//! What went wrong, named by what the caller must do next.

use std::time::Duration;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Ask another node: this one did not answer, or is not well.
    #[error("no answer: {detail}")]
    TryOther {
        /// It took too long: for a range of logs, a smaller one may help.
        timed_out: bool,
        detail: String,
    },
    /// Leave this node alone that long: its rate limit, our bill, or its load.
    #[error("leave alone for {} s: {detail}", .wait.as_secs())]
    CoolDown { wait: Duration, detail: String },
    /// Ask for less. The node is well; `hint` is the range that it says would work, if it says one:
    /// use it only where it is strictly smaller than the one refused.
    #[error("ask for less (hint {hint:?})")]
    Split { hint: Option<(u64, u64)> },
    /// Wait: the node has not got there yet.
    #[error("not yet: {0}")]
    NotYet(String),
    /// Look elsewhere for this piece of history: the node has thrown it away.
    #[error("pruned: {0}")]
    Pruned(String),
    /// Do without: the node does not have this method, tag or kind of question.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// Tell the operator: the key is wrong or missing.
    #[error("credentials refused: {0}")]
    Credentials(String),
    /// Mend our request: every node would refuse it.
    #[error("rejected, code {code}: {message}")]
    Rejected { code: i64, message: String },
    /// Trust nothing of this answer: it is not what was asked for.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl RpcError {
    /// Whether another node may do better with the same question.
    pub fn another_may_do_better(&self) -> bool {
        !matches!(self, Self::Split { .. } | Self::Rejected { .. })
    }

    /// The kind of error in a word, for counting: what has to be done about it.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::TryOther { timed_out: true, .. } => "timed_out",
            Self::TryOther { .. } => "try_other",
            Self::CoolDown { .. } => "cool_down",
            Self::Split { .. } => "split",
            Self::NotYet(_) => "not_yet",
            Self::Pruned(_) => "pruned",
            Self::Unsupported(_) => "unsupported",
            Self::Credentials(_) => "credentials",
            Self::Rejected { .. } => "rejected",
            Self::Malformed(_) => "malformed",
        }
    }

    pub fn timed_out(&self) -> bool {
        matches!(self, Self::TryOther { timed_out: true, .. })
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(crate) fn try_other(detail: impl Into<String>) -> Self {
        Self::TryOther { timed_out: false, detail: detail.into() }
    }
}

/// Why a configured endpoint cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("network {0} has no endpoints")]
    NoEndpoints(String),
    #[error("endpoint {0}: two endpoints bear this name")]
    NameTaken(String),
    #[error("endpoint {name}: {what}")]
    Endpoint { name: String, what: String },
}
