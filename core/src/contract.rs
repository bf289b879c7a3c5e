//! What contracts say that somebody watches: who wants to hear it, and each saying from the block it was seen in to
//! its settling or its undoing.
//!
//! A *contract event* is what a contract emitted on chain; a *sighting* is the row that it makes for one tenant, as a
//! transfer makes a deposit. A sighting is never deleted, and moves under the same rules as money does. Read on in
//! `engine::sightings`.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::block::{Address, BlockRef, Evidence, Height, NetworkId, TxHash};
use crate::deposit::{DepositStatus, Settlement, digest};
use crate::id::SightingId;
use crate::timestamp::Timestamp;

/// Segments of one pattern, the trailing `**` included: contracts write up to four topics, few hosts allow more.
pub const SEGMENTS_MAX: usize = 16;

/// One thing a contract emitted, as its chain committed to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContractEvent {
    pub tx: TxHash,
    /// Which operation of the transaction, from 0.
    pub operation: u32,
    /// Which event of that operation, from 0.
    pub index: u32,
    /// Its place among all contract events of its block, from 0, whatever is watched.
    pub ordinal: u32,
    pub contract: Address,
    pub topics: Vec<Topic>,
    pub data: Value,
}

/// One topic: as patterns name it, and as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// With its type, such as `symbol:funded`; `None` where no pattern can name it (a list or a map).
    pub spelled: Option<Arc<str>>,
    pub shown: Value,
}

/// Which topics are listened for, place by place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPattern {
    segments: Vec<Segment>,
    /// Whether any topics may follow, none included.
    open: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Segment {
    /// Any one topic.
    Any,
    /// The topic that is spelled so.
    Is(Arc<str>),
}

/// Why a list of texts is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("has more than {SEGMENTS_MAX} segments")]
    TooLong,
    #[error("has ** before its end; it stands for all that follows")]
    OpenInside,
    /// Its family does not read it as a value.
    #[error("{0}")]
    Literal(String),
}

/// Names a watch on a contract: a row of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContractWatch(pub u64);

/// Who hears what of a contract.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    pub watch: ContractWatch,
    pub tenant: String,
    /// Any of them.
    pub patterns: Vec<TopicPattern>,
    /// The first height that counts for it.
    pub since: Height,
}

/// A contract event that a tenant hears of once it may be believed.
#[derive(Clone, PartialEq, Debug)]
pub struct Sighting {
    pub id: SightingId,
    pub tenant: String,
    pub tx: TxHash,
    pub operation: u32,
    pub index: u32,
    /// Its place among all contract events of its block.
    pub ordinal: u32,
    pub contract: Address,
    /// A list.
    pub topics: Value,
    pub data: Value,
    pub block: BlockRef,
    pub block_time: Timestamp,
    pub status: DepositStatus,
    pub evidence: Evidence,
    /// Whether every header between it and our tip was read and linked.
    pub linked: bool,
    pub settlement: Option<Settlement>,
    /// How often its tenant was told of it: odd while it stands as told, even while it does not.
    pub told: u32,
}

impl TopicPattern {
    /// Every event, whatever its topics.
    #[must_use]
    pub const fn everything() -> Self {
        Self { segments: Vec::new(), open: true }
    }

    /// Reads `*` as any one topic, a trailing `**` as whatever follows, and all else by `literal`, which gives the
    /// one spelling of a value. No segments at all: an event without topics.
    pub fn parse(
        texts: &[impl AsRef<str>],
        literal: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, PatternError> {
        if texts.len() > SEGMENTS_MAX {
            return Err(PatternError::TooLong);
        }
        let open = texts.last().is_some_and(|last| last.as_ref() == "**");
        let fixed = texts.get(..texts.len().saturating_sub(usize::from(open))).unwrap_or_default();
        let segments = fixed.iter().map(|text| match text.as_ref() {
            "*" => Ok(Segment::Any),
            "**" => Err(PatternError::OpenInside),
            value => literal(value).map(|spelled| Segment::Is(spelled.into())).map_err(PatternError::Literal),
        });
        Ok(Self { segments: segments.collect::<Result<_, _>>()?, open })
    }

    /// The texts it is read from, each value in its one spelling.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let fixed = self.segments.iter().map(|segment| match segment {
            Segment::Any => "*",
            Segment::Is(spelled) => spelled,
        });
        fixed.chain(self.open.then_some("**")).collect()
    }

    /// Whether these topics are listened for.
    #[must_use]
    pub fn matches(&self, topics: &[Topic]) -> bool {
        let long_enough =
            if self.open { topics.len() >= self.segments.len() } else { topics.len() == self.segments.len() };
        long_enough
            && self.segments.iter().zip(topics).all(|(segment, topic)| match segment {
                Segment::Any => true,
                Segment::Is(spelled) => topic.spelled.as_ref() == Some(spelled),
            })
    }
}

impl Listener {
    /// Whether it hears of an event in a block of this height.
    #[must_use]
    pub fn hears(&self, event: &ContractEvent, at: Height) -> bool {
        at >= self.since && self.patterns.iter().any(|pattern| pattern.matches(&event.topics))
    }
}

impl ContractEvent {
    /// The topics as they are shown.
    #[must_use]
    pub fn shown(&self) -> Value {
        Value::Array(self.topics.iter().map(|topic| topic.shown.clone()).collect())
    }
}

impl Sighting {
    /// The name follows from what was said and to whom it is told, so that reading it again makes no second one,
    /// and a transaction that says something else when it is mined again makes another.
    #[must_use]
    pub fn id_of(network: &NetworkId, tenant: &str, event: &ContractEvent) -> SightingId {
        SightingId(digest(&[
            b"contract event",
            network.as_str().as_bytes(),
            tenant.as_bytes(),
            &event.tx.0,
            &event.operation.to_be_bytes(),
            &event.index.to_be_bytes(),
            event.contract.as_str().as_bytes(),
            event.shown().to_string().as_bytes(),
            event.data.to_string().as_bytes(),
        ]))
    }

    /// Where in its transaction it was said, whatever it says.
    #[must_use]
    pub const fn spot(&self) -> (TxHash, u32, u32) {
        (self.tx, self.operation, self.index)
    }

    /// Whether it is this event that it tells of.
    #[must_use]
    pub fn is_of(&self, event: &ContractEvent) -> bool {
        self.spot() == (event.tx, event.operation, event.index)
            && self.contract == event.contract
            && self.data == event.data
            && self.topics == event.shown()
    }

    /// On the canonical chain, as far as we know.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.status, DepositStatus::Seen | DepositStatus::Settled)
    }

    /// The order in which decisions are taken: as on chain.
    #[must_use]
    pub const fn place(&self) -> (u64, u32, SightingId) {
        (self.block.height.0, self.ordinal, self.id)
    }
}

impl fmt::Display for ContractWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(texts: &[&str]) -> Result<TopicPattern, PatternError> {
        TopicPattern::parse(texts, |text| {
            if text.contains(':') { Ok(text.to_owned()) } else { Err(format!("{text} is no value")) }
        })
    }

    fn topics(spelled: &[&str]) -> Vec<Topic> {
        spelled
            .iter()
            .map(|text| Topic { spelled: (!text.is_empty()).then(|| (*text).into()), shown: Value::from(*text) })
            .collect()
    }

    #[test]
    fn a_pattern_listens_place_by_place() {
        let funded = pattern(&["symbol:escrow_funded", "*", "symbol:INV1"]).unwrap();
        assert!(funded.matches(&topics(&["symbol:escrow_funded", "symbol:funded", "symbol:INV1"])));
        assert!(!funded.matches(&topics(&["symbol:escrow_funded", "symbol:funded", "symbol:INV2"])));
        assert!(!funded.matches(&topics(&["symbol:escrow_funded", "symbol:funded"])), "too few");
        assert!(!funded.matches(&topics(&["symbol:escrow_funded", "*", "symbol:INV1", "u32:1"])), "too many");
        assert!(!funded.matches(&topics(&["string:escrow_funded", "*", "symbol:INV1"])), "another type");
    }

    #[test]
    fn two_stars_at_the_end_stand_for_whatever_follows() {
        let open = pattern(&["symbol:a", "**"]).unwrap();
        assert!(open.matches(&topics(&["symbol:a"])), "nothing follows");
        assert!(open.matches(&topics(&["symbol:a", "", "u32:1"])));
        assert!(!open.matches(&topics(&[])));
        assert!(TopicPattern::everything().matches(&topics(&[])));
        assert_eq!(pattern(&["**"]).unwrap(), TopicPattern::everything());
        assert_eq!(pattern(&["**", "symbol:a"]), Err(PatternError::OpenInside));
    }

    #[test]
    fn no_segments_are_an_event_without_topics() {
        let none = pattern(&[]).unwrap();
        assert!(none.matches(&[]));
        assert!(!none.matches(&topics(&["symbol:a"])));
    }

    #[test]
    fn what_has_no_spelling_is_met_by_a_star_alone() {
        assert!(pattern(&["*"]).unwrap().matches(&topics(&[""])));
        assert!(!pattern(&["symbol:a"]).unwrap().matches(&topics(&[""])));
    }

    #[test]
    fn a_pattern_reads_back_from_its_texts() {
        for texts in [&["symbol:a", "*", "**"][..], &["*"], &["**"], &[]] {
            let read = pattern(texts).unwrap();
            assert_eq!(read.texts(), texts);
            assert_eq!(pattern(&read.texts()).unwrap(), read);
        }
        assert_eq!(pattern(&["funded"]), Err(PatternError::Literal("funded is no value".into())));
        assert_eq!(pattern(&["*"; SEGMENTS_MAX + 1]), Err(PatternError::TooLong));
    }
}
