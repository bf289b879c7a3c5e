//! What went wrong at one endpoint, and what that means when every endpoint has been asked.

use amn_core::block::BlockRef;
use amn_core::source::SourceError;
use amn_rpc::{Endpoint, RpcError};

use crate::evidence::Lie;
use crate::header::HeaderError;
use crate::wire::WireError;

/// Why one endpoint gave no answer that can be used.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It holds another block where we stand.
    Forked(BlockRef),
    NotYet(String),
    /// The same, though by its own word it must have it.
    Lacks(String),
    Pruned(String),
    Unsupported(String),
    /// It contradicted itself or a proven fact.
    Lie(String),
    /// Operators contradict each other, and nobody can tell who is right.
    Disagree(String),
    Split {
        hint: Option<(u64, u64)>,
    },
    /// It did not answer, or with what is no answer.
    Failed(String),
}

impl From<Lie> for Trouble {
    fn from(lie: Lie) -> Self {
        Self::Lie(lie.to_string())
    }
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<HeaderError> for Trouble {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Wire(error) => error.into(),
            HeaderError::Lie(lie) => lie.into(),
        }
    }
}

impl From<RpcError> for Trouble {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::NotYet(why) => Self::NotYet(why),
            RpcError::Pruned(why) => Self::Pruned(why),
            RpcError::Unsupported(why) => Self::Unsupported(why),
            RpcError::Split { hint } => Self::Split { hint },
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The troubles of one question, endpoint by endpoint. Distrusts who lied as it learns of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    forked: Option<BlockRef>,
    not_yet: Option<String>,
    pruned: Option<String>,
    unsupported: Option<String>,
    malformed: Option<String>,
    failed: Option<String>,
}

impl Verdict {
    pub(crate) fn add(&mut self, endpoint: &Endpoint, trouble: Trouble) {
        let said = |why: String| Some(format!("{}: {why}", endpoint.name()));
        match trouble {
            Trouble::Forked(block) => self.forked = Some(block),
            Trouble::NotYet(why) => self.not_yet = said(why),
            Trouble::Lacks(why) => {
                endpoint.remark(&why);
                self.not_yet = said(why);
            }
            Trouble::Pruned(why) => self.pruned = said(why),
            Trouble::Unsupported(why) => {
                endpoint.remark(&why);
                self.unsupported = said(why);
            }
            Trouble::Lie(why) => {
                endpoint.distrust(why.clone());
                self.malformed = said(why);
            }
            Trouble::Disagree(why) => {
                endpoint.remark(&why);
                self.malformed = said(why);
            }
            Trouble::Split { .. } => self.failed = said("it cannot answer even the smallest question".to_owned()),
            Trouble::Failed(why) => {
                endpoint.remark(&why);
                self.failed = said(why);
            }
        }
    }

    /// What the caller must do, all endpoints considered: what is most certain comes first.
    pub(crate) fn error(self) -> SourceError {
        if let Some(block) = self.forked {
            return SourceError::Forked(block);
        }
        let nobody = || SourceError::Unavailable("every endpoint is distrusted or unusable".to_owned());
        // A lie stands before an outage: a person must hear of it.
        let errors = [
            self.not_yet.map(SourceError::NotYet),
            self.malformed.map(SourceError::Malformed),
            self.failed.map(SourceError::Unavailable),
            self.pruned.map(SourceError::Pruned),
            self.unsupported.map(SourceError::Unsupported),
        ];
        errors.into_iter().flatten().next().unwrap_or_else(nobody)
    }

    /// Nothing, where endpoints looked and found nothing; the error where some could not look.
    pub(crate) fn empty_or_error<T: Default>(self) -> Result<T, SourceError> {
        let troubled = self.malformed.is_some()
            || self.failed.is_some()
            || self.not_yet.is_some()
            || self.pruned.is_some()
            || self.unsupported.is_some();
        if troubled { Err(self.error()) } else { Ok(T::default()) }
    }
}
