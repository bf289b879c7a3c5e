//! What the rules ask of a chain family: who it is, where its head is, and stretches of it that stand
//! on what we know. An error says what the caller must do next; an empty list means "I looked".

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use crate::block::{Address, AssetId, Block, BlockRef, Evidence, Header, Height, Operator, TransferId};
use crate::contract::TopicPattern;

/// Who an endpoint says it is, checked at start and each time it comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// CAIP-2, such as `eip155:8453`.
    pub chain: String,
    /// Decimals as read on chain, by asset.
    pub decimals: BTreeMap<AssetId, u8>,
}

/// The head of a chain: as blocks, never as heights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub tip: Header,
    /// `None` where the network has no such notion or the node cannot say.
    pub safe: Option<BlockRef>,
    /// Networks with instant finality say `finalized = tip`.
    pub finalized: Option<BlockRef>,
}

/// Orders watches in the sequence in which they became visible.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WatchVersion(pub u64);

/// The addresses to look for, as of a version.
///
/// It holds 64-bit fingerprints, so that a million addresses cost 16 MB. A false hit costs one row
/// look-up, because the rules match the exact address again; a miss is impossible.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    pub version: WatchVersion,
    tokens: Arc<HashSet<u64, BuildHasherDefault<DefaultHasher>>>,
    native: Arc<HashSet<u64, BuildHasherDefault<DefaultHasher>>>,
    everything: Option<Everything>,
    few: Few,
    addresses: Option<Arc<BTreeSet<Box<[u8]>>>>,
    contracts: Arc<BTreeMap<Box<[u8]>, Vec<TopicPattern>>>,
}

/// Whoever is paid, whether we know them or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Everything {
    native: bool,
}

/// The addresses themselves, while they are few.
#[derive(Clone, Debug)]
enum Few {
    These(Arc<Vec<Box<[u8]>>>),
    TooMany,
}

impl Default for Few {
    fn default() -> Self {
        Self::These(Arc::default())
    }
}

/// Beyond so many addresses one of them seems to be in every block's summary, and looking for each costs
/// more than it saves.
const FEW_MAX: usize = 1_024;

impl Watch {
    /// A watch on nothing.
    #[must_use]
    pub fn new(version: WatchVersion) -> Self {
        Self { version, ..Self::default() }
    }

    /// A watch on nothing that will hold the addresses themselves, beside their fingerprints: for a family that has to
    /// work out from each where else its money arrives. A million cost some 100 MB.
    #[must_use]
    pub fn with_addresses(version: WatchVersion) -> Self {
        Self { version, addresses: Some(Arc::default()), ..Self::default() }
    }

    /// A watch on whoever is paid: for reading a block once more without trusting any list in memory.
    /// `native`: native money too.
    #[must_use]
    pub fn everything(native: bool) -> Self {
        Self { everything: Some(Everything { native }), ..Self::default() }
    }

    /// Adds an address by its family's raw bytes (EVM: the 20 bytes).
    pub fn insert(&mut self, raw: &[u8], native: bool) {
        let print = fingerprint(raw);
        self.few.add(raw);
        // By the bytes and not by the fingerprint: two addresses that share one are both there. One address with many
        // references comes once for each of them.
        if let Some(addresses) = self.addresses.as_mut().filter(|addresses| !addresses.contains(raw)) {
            Arc::make_mut(addresses).insert(raw.into());
        }
        Arc::make_mut(&mut self.tokens).insert(print);
        if native {
            Arc::make_mut(&mut self.native).insert(print);
        }
    }

    /// Adds what is listened for at a contract, by its family's raw bytes.
    pub fn insert_contract(&mut self, raw: &[u8], patterns: &[TopicPattern]) {
        let listened = Arc::make_mut(&mut self.contracts).entry(raw.into()).or_default();
        for pattern in patterns {
            if !listened.contains(pattern) {
                listened.push(pattern.clone());
            }
        }
    }

    /// What is listened for at a contract: any of these patterns; none where nobody listens.
    #[must_use]
    pub fn contract(&self, raw: &[u8]) -> &[TopicPattern] {
        self.contracts.get(raw).map_or(&[], Vec::as_slice)
    }

    /// Whether anybody listens to any contract.
    #[must_use]
    pub fn any_contract(&self) -> bool {
        !self.contracts.is_empty()
    }

    /// Whether a token arriving at these raw bytes may concern us.
    #[must_use]
    pub fn tokens(&self, raw: &[u8]) -> bool {
        self.everything.is_some() || self.tokens.contains(&fingerprint(raw))
    }

    /// Every address by its raw bytes, while they are few: a family whose blocks have summaries may look for
    /// each. `None`: look for all of them in what the blocks hold.
    #[must_use]
    pub fn few(&self) -> Option<&[Box<[u8]>]> {
        match &self.few {
            Few::These(few) if self.everything.is_none() => Some(few),
            Few::These(_) | Few::TooMany => None,
        }
    }

    /// Every address by its raw bytes, however many, in their order. `None`: this watch was not made to hold them, or
    /// is one on whoever is paid.
    #[must_use]
    pub fn addresses(&self) -> Option<&BTreeSet<Box<[u8]>>> {
        self.addresses.as_deref().filter(|_| self.everything.is_none())
    }

    /// Whether native money arriving at these raw bytes may concern us.
    #[must_use]
    pub fn native(&self, raw: &[u8]) -> bool {
        self.every_native() || (!self.native.is_empty() && self.native.contains(&fingerprint(raw)))
    }

    /// Whether anybody waits for native money, so that transactions must be read at all.
    #[must_use]
    pub fn any_native(&self) -> bool {
        self.every_native() || !self.native.is_empty()
    }

    fn every_native(&self) -> bool {
        self.everything.is_some_and(|everything| everything.native)
    }

    /// How many addresses are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.everything.is_none() && self.tokens.is_empty() && self.contracts.is_empty()
    }
}

impl Few {
    /// By the bytes and not by the fingerprint: two addresses that share one are both looked for.
    fn add(&mut self, raw: &[u8]) {
        let Self::These(few) = self else { return };
        if few.iter().any(|known| **known == *raw) {
            return;
        }
        if few.len() < FEW_MAX {
            Arc::make_mut(few).push(raw.into());
        } else {
            *self = Self::TooMany;
        }
    }
}

fn fingerprint(raw: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(raw)
}

/// How a stretch was read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Coverage {
    /// Every header was read and linked; every block is listed.
    Linked,
    /// At or below `finalized`: only blocks that matter are listed, and two operators agreed on the
    /// hash of the end.
    Listed,
}

impl Coverage {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Listed => "listed",
        }
    }
}

/// A contiguous stretch of chain as read, oldest first, standing on `parent`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    pub parent: BlockRef,
    pub blocks: Vec<Block>,
    /// The last block, listed in `blocks` or not.
    pub tip: Header,
    pub coverage: Coverage,
    /// The watch set it was read with.
    pub watched: WatchVersion,
    /// Operators that gave the hash of `tip` as part of their chain; the one read from is among them.
    pub operators: BTreeSet<Operator>,
    /// The one it was read from, so that it can be read once more from another; `None`: from several.
    pub read_by: Option<Operator>,
    /// The family's own positions, handed back with the next question.
    pub checkpoint: Vec<(String, Vec<u8>)>,
}

/// Where we stand: what a source continues from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    pub tip: BlockRef,
    pub checkpoint: Vec<(String, Vec<u8>)>,
}

/// What one operator says of a height, for the count of agreeing operators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Voucher {
    pub operator: Operator,
    pub block: BlockRef,
}

/// Named by what the caller must do next.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SourceError {
    /// Wait: no node has it yet.
    #[error("not yet: {0}")]
    NotYet(String),
    /// Walk back: the chain no longer holds the block we stand on.
    #[error("the chain no longer holds block {} {}", .0.height, .0.hash)]
    Forked(BlockRef),
    /// Back off and try again: nobody answered.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Halt and backfill from elsewhere: the history we need is gone from every node we have.
    #[error("pruned: {0}")]
    Pruned(String),
    /// Distrust the endpoint: what it said contradicts itself or a proven fact.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Halt: this binary is behind the chain, or speaks to the wrong one.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

/// Reads one network. Implemented by each chain family and by the tests' invented chain.
pub trait ChainSource: Send + Sync {
    /// A watch on nothing, of the kind this family reads by: most need fingerprints alone.
    fn new_watch(&self, version: WatchVersion) -> Watch {
        Watch::new(version)
    }

    /// Asks every endpoint who it is; fails closed where one speaks of another chain.
    fn probe(&self) -> impl Future<Output = Result<Identity, SourceError>> + Send;

    /// The head, as the best endpoint sees it. Never goes back behind one URL.
    fn head(&self) -> impl Future<Output = Result<Head, SourceError>> + Send;

    /// The block of the canonical chain at a height, for walking back and for catching up.
    fn header_at(&self, height: Height) -> impl Future<Output = Result<Header, SourceError>> + Send;

    /// The chain that stands on `on`, up to at most `up_to`; it may stop earlier, never with a gap.
    /// `final_to`: heights up to it may be read as ranges ([`Coverage::Listed`]).
    fn segment(
        &self,
        on: &Position,
        up_to: Height,
        final_to: Option<Height>,
        watch: &Watch,
    ) -> impl Future<Output = Result<Segment, SourceError>> + Send;

    /// What each operator says is at `at` (or at its own head, where that is lower), so that distinct
    /// operators of one hash can be counted. Operators that do not answer are left out.
    fn vouch(&self, at: &Header) -> impl Future<Output = Result<Vec<Voucher>, SourceError>> + Send;

    /// Operators contradict each other about this block of ours. Looks who stands where, leaves those who
    /// are outvoted out of further questions, and distrusts them once natural forks are over; where nobody
    /// can tell who is right, nothing changes. Says whether the block is the one that is believed.
    fn arbitrate(&self, contested: BlockRef) -> impl Future<Output = bool> + Send;

    /// Better evidence for transfers, and for what contracts said, whose evidence does not satisfy the policy yet.
    fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> impl Future<Output = Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError>> + Send;

    /// One block of the canonical chain read once more, whole and with proof, and whatever `watch` asks for in it:
    /// from another operator than `not_by` while one of them can give it. Which one is in its evidence. `turn`
    /// spreads the questions over the endpoints. Whether it is a block of ours is for the caller to see.
    fn reread(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> impl Future<Output = Result<Block, SourceError>> + Send;

    /// The balance of native money at each address in the state of one block, where a node can say.
    fn balances(
        &self,
        addresses: &[Address],
        at: BlockRef,
    ) -> impl Future<Output = Result<Vec<crate::money::Amount>, SourceError>> + Send;

    /// Native money that arrived at an address inside contract calls of one block, from a trace.
    /// [`SourceError::Unsupported`] where no node traces.
    fn internal_transfers(
        &self,
        addresses: &[Address],
        at: BlockRef,
    ) -> impl Future<Output = Result<Block, SourceError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_held_where_they_were_asked_for_and_each_once() {
        let mut watch = Watch::with_addresses(WatchVersion(3));
        for raw in [b"b".as_slice(), b"a", b"b"] {
            watch.insert(raw, true);
        }
        let held: Vec<&[u8]> = watch.addresses().unwrap().iter().map(AsRef::as_ref).collect();
        assert_eq!(held, [b"a", b"b"]);
        assert!(watch.tokens(b"a") && watch.version == WatchVersion(3));

        let mut fingerprints = Watch::new(WatchVersion(3));
        fingerprints.insert(b"a", true);
        assert_eq!(fingerprints.addresses(), None);
        assert_eq!(Watch::everything(true).addresses(), None, "nobody knows who is paid");
    }

    #[test]
    fn all_are_held_where_they_are_no_longer_few() {
        let mut watch = Watch::with_addresses(WatchVersion(0));
        for at in 0..=FEW_MAX {
            watch.insert(&at.to_be_bytes(), false);
        }
        assert_eq!((watch.few(), watch.addresses().map(BTreeSet::len)), (None, Some(FEW_MAX + 1)));
    }
}
