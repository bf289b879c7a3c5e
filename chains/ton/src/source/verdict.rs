//! What the troubles of one question mean, once every endpoint that could be asked was.

use std::collections::BTreeSet;
use std::sync::Arc;

use amn_core::block::{BlockRef, Operator};
use amn_core::source::SourceError;
use amn_rpc::Endpoint;

use super::trouble::Trouble;

/// The troubles of one question, endpoint by endpoint. Distrusts who lied as it learns of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    asked: BTreeSet<String>,
    forked: Option<BlockRef>,
    /// Whose masterchain does not hold our block.
    pub(crate) forkers: Vec<Arc<Endpoint>>,
    unread: Vec<(Operator, String)>,
    gone: Option<String>,
    not_yet: Option<String>,
    pruned: Option<String>,
    unsupported: Option<String>,
    malformed: Option<String>,
    failed: Option<String>,
}

impl Verdict {
    pub(crate) fn add(&mut self, endpoint: &Arc<Endpoint>, trouble: Trouble) {
        self.asked.insert(endpoint.name().to_owned());
        let said = |why: String| Some(format!("{}: {why}", endpoint.name()));
        match trouble {
            Trouble::Forked(block) => {
                self.forked = Some(block);
                self.forkers.push(endpoint.clone());
            }
            Trouble::Gone(why) => self.gone = said(why),
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
            Trouble::Unsupported(why) => self.unsupported = said(why),
            Trouble::Lie(why) => {
                endpoint.distrust(why.clone());
                self.malformed = said(why);
            }
            Trouble::Disagree(why) => {
                endpoint.remark(&why);
                self.malformed = said(why);
            }
            Trouble::Contradicts { account, lt, asked, given } => {
                let why = format!("it has {given} as the transaction of {account} at {lt}, where another has {asked}");
                endpoint.remark(&why);
                self.malformed = said(why);
            }
            Trouble::Undecodable(why) => {
                endpoint.remark(&why);
                self.unread.push((endpoint.operator().clone(), format!("{}: {why}", endpoint.name())));
            }
            Trouble::TooMuch(why) | Trouble::TimedOut(why) | Trouble::Failed(why) => {
                endpoint.remark(&why);
                self.failed = said(why);
            }
            Trouble::LeftAlone(why) => self.failed = said(why),
        }
    }

    /// How many endpoints could not help.
    pub(crate) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Whether nothing is wrong with whoever was asked but that it has not got there, or that others contradict it:
    /// then asking in another way helps nobody.
    pub(crate) const fn is_mere_waiting(&self) -> bool {
        (self.gone.is_some() || self.not_yet.is_some() || self.malformed.is_some())
            && self.forked.is_none()
            && self.pruned.is_none()
            && self.failed.is_none()
            && self.unread.is_empty()
    }

    /// What the caller must do. `all`: how many endpoints there are; what makes a network halt needs the word of each.
    pub(crate) fn error(self, all: usize) -> SourceError {
        let operators: BTreeSet<&Operator> = self.unread.iter().map(|(operator, _)| operator).collect();
        if let Some((_, why)) = self.unread.first() {
            // Two who have nothing to do with each other say the same: it is this binary that cannot read it.
            return if operators.len() > 1 {
                SourceError::Unsupported(format!("{why}; another operator gives the same"))
            } else {
                SourceError::Malformed(why.clone())
            };
        }
        if let Some(block) = self.forked {
            return SourceError::Forked(block);
        }
        if let Some(why) = self.gone {
            return SourceError::Pruned(why);
        }
        let missing = all.saturating_sub(self.asked.len());
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
        let nobody = || SourceError::Unavailable("every endpoint is distrusted or unusable".to_owned());
        errors.into_iter().flatten().next().unwrap_or_else(nobody)
    }
}
