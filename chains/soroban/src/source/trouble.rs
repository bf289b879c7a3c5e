//! What went wrong at one endpoint, and what that means when every endpoint has been asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use amn_core::block::{BlockRef, Operator};
use amn_core::source::SourceError;
use amn_rpc::{Endpoint, RpcError};

use crate::evidence::Lie;
use crate::lake::{Fault, LakeError};
use crate::ledger::LedgerError;

/// Why one endpoint gave no answer that can be used.
#[derive(Debug)]
pub enum Trouble {
    /// Its chain does not stand on our ledger.
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
    /// Garbage, or a format newer than this binary: who else says the same tells which.
    Undecodable(String),
    /// Ask for less: fewer ledgers, if there was more than one.
    TooMuch(String),
    /// The same, though not now: it took its time to say so.
    TimedOut(String),
    /// It did not answer, or with what is no answer.
    Failed(String),
    /// It asked to be left alone for a while, and was not asked: what it said before stands.
    LeftAlone(String),
}

impl From<Lie> for Trouble {
    fn from(lie: Lie) -> Self {
        Self::Lie(lie.to_string())
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::OutOfPlace { .. } => Self::Lie(error.to_string()),
            // Too large may mean that ledgers have outgrown this binary.
            LedgerError::TooLarge(_) | LedgerError::Undecodable(_) | LedgerError::Protocol { .. } => {
                Self::Undecodable(error.to_string())
            }
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        if fault.is_unreadable() { Self::Undecodable(fault.to_string()) } else { Self::Lie(fault.to_string()) }
    }
}

impl From<LakeError> for Trouble {
    fn from(error: LakeError) -> Self {
        match error {
            // It is asked for nothing but what is known to exist.
            LakeError::NotThere(why) => Self::Pruned(why),
            LakeError::Failed(why) => Self::Failed(why),
            LakeError::Foreign(why) => Self::Unsupported(why),
            LakeError::Untrue(why) => Self::Lie(why),
            LakeError::Unreadable(why) => Self::Undecodable(why),
        }
    }
}

impl From<RpcError> for Trouble {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::NotYet(why) => Self::NotYet(why),
            RpcError::Pruned(why) => Self::Pruned(why),
            RpcError::Unsupported(why) => Self::Unsupported(why),
            RpcError::Split { .. } => Self::TooMuch("it cannot answer even the smallest question".to_owned()),
            RpcError::CoolDown { .. } => Self::LeftAlone(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The troubles of one question, endpoint by endpoint. Distrusts who lied as it learns of it.
#[derive(Debug, Default)]
pub struct Verdict {
    asked: usize,
    forked: Option<BlockRef>,
    /// Whose chain does not stand on our ledger.
    pub forkers: Vec<Arc<Endpoint>>,
    /// Who gave what this binary cannot read.
    pub unread: Vec<(Arc<Endpoint>, String)>,
    not_yet: Option<String>,
    pruned: Option<String>,
    unsupported: Option<String>,
    malformed: Option<String>,
    failed: Option<String>,
}

impl Verdict {
    pub fn add(&mut self, endpoint: &Arc<Endpoint>, trouble: Trouble) {
        self.asked += 1;
        let said = |why: String| Some(format!("{}: {why}", endpoint.name()));
        match trouble {
            Trouble::Forked(block) => {
                self.forked = Some(block);
                self.forkers.push(endpoint.clone());
            }
            Trouble::NotYet(why) => self.not_yet = said(why),
            Trouble::Lacks(why) => {
                endpoint.remark(&why);
                self.not_yet = said(why);
            }
            // All of them together say what is missing.
            Trouble::Pruned(why) => {
                let before = self.pruned.take().map(|before| format!("{before}; "));
                self.pruned = Some(format!("{}{}: {why}", before.unwrap_or_default(), endpoint.name()));
            }
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
            Trouble::Undecodable(why) => {
                endpoint.remark(&why);
                self.unread.push((endpoint.clone(), why));
            }
            Trouble::TooMuch(why) | Trouble::TimedOut(why) | Trouble::Failed(why) => {
                endpoint.remark(&why);
                self.failed = said(why);
            }
            Trouble::LeftAlone(why) => self.failed = said(why),
        }
    }

    /// Whether history is what is lacking, and whoever keeps more of it may help.
    pub fn lacks_history(&self) -> bool {
        self.pruned.is_some()
    }

    /// The operators that gave what this binary cannot read.
    pub fn garblers(&self) -> BTreeSet<&Operator> {
        self.unread.iter().map(|(endpoint, _)| endpoint.operator()).collect()
    }

    /// What the caller must do. `all`: how many endpoints there are; what makes a network halt needs the word of each.
    /// `garbled`: who may have garbled what cannot be read.
    pub fn error(self, all: usize, garbled: Garbled) -> SourceError {
        let operators = self.garblers();
        let unread = self.unread.first().map(|(endpoint, why)| format!("{}: {why}", endpoint.name()));
        if let Some(why) = unread {
            return match garbled {
                // Two who have nothing to do with each other say the same: it is this binary that cannot read it.
                _ if operators.len() > 1 => SourceError::Unsupported(format!("{why}; another operator gives the same")),
                Garbled::Alone(times) if times >= GARBLED_MAX => {
                    SourceError::Unsupported(format!("{why}; the only operator gave it {times} times"))
                }
                Garbled::Announced(other) => {
                    SourceError::Unsupported(format!("{why}; {other} says that the network's protocol is newer"))
                }
                Garbled::Alone(_) | Garbled::AmongOthers => SourceError::Malformed(why),
            };
        }
        if let Some(block) = self.forked {
            return SourceError::Forked(block);
        }
        let nobody = || SourceError::Unavailable("every endpoint is distrusted or unusable".to_owned());
        let missing = all.saturating_sub(self.asked);
        let for_all = |why: String, halt: fn(String) -> SourceError| {
            if missing == 0 {
                halt(why)
            } else {
                SourceError::Unavailable(format!("{why}; the others cannot be asked now"))
            }
        };
        // A lie stands before an outage: a person must hear of it.
        let errors = [
            self.not_yet.map(SourceError::NotYet),
            self.malformed.map(SourceError::Malformed),
            self.failed.map(SourceError::Unavailable),
            self.pruned.map(|why| for_all(why, SourceError::Pruned)),
            self.unsupported.map(|why| for_all(why, SourceError::Unsupported)),
        ];
        errors.into_iter().flatten().next().unwrap_or_else(nobody)
    }
}

/// How often the same operator must give what cannot be read, where there is no other: one answer may be damaged on
/// its way.
const GARBLED_MAX: u32 = 3;

/// Who may have garbled a ledger that does not decode.
#[derive(Clone, Debug)]
pub enum Garbled {
    /// There is one operator, and it gave such a ledger so many times in a row.
    Alone(u32),
    /// Another operator, which is left out for it, spoke of a protocol beyond this binary.
    Announced(Operator),
    AmongOthers,
}
