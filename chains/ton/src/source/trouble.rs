//! What went wrong at one endpoint, named by what is to be done next.

use amn_core::block::{BlockRef, Hash};
use amn_rpc::RpcError;

use crate::address::Account;
use crate::evidence::Lie;
use crate::transaction::TransactionError;

/// Why one endpoint gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Another block is at this height, by its word.
    Forked(BlockRef),
    /// It has not got there: wait.
    NotYet(String),
    /// By its own word it must have it, and it does not give it: wait, or ask another.
    Lacks(String),
    /// It has thrown it away: ask another.
    Pruned(String),
    /// Every node that could have it has thrown it away: halt.
    Gone(String),
    /// It cannot be asked such a thing.
    Unsupported(String),
    /// It contradicted itself or a proven fact: leave it.
    Lie(String),
    /// It has another transaction at this logical time than the one it was asked for. One of both is a lie, and this
    /// alone does not say whose.
    Contradicts { account: Account, lt: u64, asked: Hash, given: Hash },
    /// Operators contradict each other, and nobody can tell who is right.
    Disagree(String),
    /// Garbage, or a format newer than this binary: who else says the same tells which.
    Undecodable(String),
    /// Ask for less.
    TooMuch(String),
    /// It took its time to say that it cannot: ask for less, or another.
    TimedOut(String),
    /// It did not answer, or with what is no answer.
    Failed(String),
    /// It asked to be left alone for a while, and was not asked: what it said before stands.
    LeftAlone(String),
}

impl From<Lie> for Trouble {
    fn from(lie: Lie) -> Self {
        match lie {
            Lie::NoTransaction(error) => error.into(),
            lie => Self::Lie(lie.to_string()),
        }
    }
}

impl From<TransactionError> for Trouble {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::OfOther { .. } => Self::Lie(error.to_string()),
            TransactionError::Cell(_) => Self::Undecodable(error.to_string()),
        }
    }
}

impl From<RpcError> for Trouble {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::NotYet(why) => Self::NotYet(why),
            RpcError::Pruned(why) => Self::Pruned(why),
            RpcError::Unsupported(why) => Self::Unsupported(why),
            RpcError::Split { .. } => Self::TooMuch("it cannot answer so much at once".to_owned()),
            RpcError::CoolDown { .. } => Self::LeftAlone(error.to_string()),
            RpcError::TryOther { timed_out: true, detail } => Self::TimedOut(detail),
            other => Self::Failed(other.to_string()),
        }
    }
}
