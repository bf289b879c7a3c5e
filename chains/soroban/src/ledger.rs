//! One closed ledger as a node hands it over, read within bounds and believed in nothing yet.
//!
//! Reading tells what is said; [`crate::evidence::verify`] tells whether it can be true.

mod batch;

pub use batch::Batch;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::timestamp::Timestamp;
use stellar_xdr::{
    GeneralizedTransactionSet, LedgerCloseMeta, LedgerHeader, LedgerHeaderHistoryEntry, LedgerUpgrade, Limits, ReadXdr,
    StellarValue, StellarValueExt, TransactionEnvelope, TransactionMeta, TransactionPhase, TransactionResultPair,
    TransactionSet, TxSetComponent, VecM,
};

/// The newest protocol whose ledgers this binary reads. A newer one may move money in ways it does not see.
pub const PROTOCOL_MAX: u32 = 30;

/// How deep values may nest: a contract's values reach 400; each level costs some hundred bytes of stack.
pub const DEPTH_MAX: u32 = 500;

/// Bytes of one ledger. The public network's have 1 to 3 MiB; its limits on transactions keep them below 10.
pub const BYTES_MAX: usize = 16 << 20;

/// Memory that reading a ledger may take at most, in bytes for each byte of it. The worst is a list of
/// empty results, 192 bytes in memory for 4 read, while the list doubles from one place in memory to another.
pub const MEMORY_PER_BYTE: usize = 160;

/// Why bytes are not a ledger this binary reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("a ledger of {0} bytes; at most {BYTES_MAX} are read")]
    TooLarge(usize),
    /// Garbage, or a format newer than this binary: who else says the same tells which.
    #[error("the ledger does not decode: {0}")]
    Undecodable(String),
    #[error("ledger {sequence} speaks protocol {protocol}; this binary reads up to {PROTOCOL_MAX}")]
    Protocol { sequence: u32, protocol: u32 },
    /// One of another height than the place it is found at.
    #[error("ledger {found} stands where ledger {expected} belongs")]
    OutOfPlace { expected: u32, found: u32 },
}

impl LedgerError {
    /// Its name in one word: for a log's field, a metric's label, a table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Undecodable(_) => "undecodable",
            Self::Protocol { .. } => "protocol",
            Self::OutOfPlace { .. } => "out_of_place",
        }
    }
}

/// A closed ledger as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) entry: LedgerHeaderHistoryEntry,
    pub(crate) set: TxSet,
    pub(crate) processed: Vec<Processed>,
}

/// The transactions that validators agreed on, in either of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TxSet {
    Plain(TransactionSet),
    Generalized(GeneralizedTransactionSet),
}

/// A transaction's result and what applying it is said to have changed, in the order of application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Processed {
    pub(crate) result: TransactionResultPair,
    pub(crate) meta: TransactionMeta,
}

impl Ledger {
    /// Reads a ledger of any of the three forms. Whatever the bytes are, it takes at most
    /// [`MEMORY_PER_BYTE`] times their number in memory.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let meta = LedgerCloseMeta::from_xdr(bytes, limits(bytes)?).map_err(undecodable)?;
        Self::of(meta)
    }

    /// Reads a file of a data lake, already decompressed: one or more ledgers (SEP-54). Each has the bounds of a
    /// ledger; see [`Batch`] for reading only some.
    pub fn decode_batch(bytes: &[u8]) -> Result<Vec<Self>, LedgerError> {
        Batch::open(bytes)?.collect()
    }

    fn of(meta: LedgerCloseMeta) -> Result<Self, LedgerError> {
        let (entry, set, processed) = match meta {
            LedgerCloseMeta::V0(v0) => (v0.ledger_header, TxSet::Plain(v0.tx_set), processed(v0.tx_processing)),
            LedgerCloseMeta::V1(v1) => (v1.ledger_header, TxSet::Generalized(v1.tx_set), processed(v1.tx_processing)),
            LedgerCloseMeta::V2(v2) => {
                let processed = Vec::from(v2.tx_processing)
                    .into_iter()
                    .map(|one| Processed { result: one.result, meta: one.tx_apply_processing })
                    .collect();
                (v2.ledger_header, TxSet::Generalized(v2.tx_set), processed)
            }
        };
        let ledger = Self { entry, set, processed };
        if ledger.protocol() > PROTOCOL_MAX {
            return Err(LedgerError::Protocol { sequence: ledger.sequence(), protocol: ledger.protocol() });
        }
        Ok(ledger)
    }

    #[must_use]
    pub fn header(&self) -> &LedgerHeader {
        &self.entry.header
    }

    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.header().ledger_seq
    }

    /// The ledger by height and by the hash it claims.
    #[must_use]
    pub fn at(&self) -> BlockRef {
        BlockRef { height: Height(u64::from(self.sequence())), hash: Hash(self.entry.hash.0) }
    }

    /// The ledger it claims to stand on.
    #[must_use]
    pub fn parent(&self) -> BlockRef {
        BlockRef { height: self.at().height.back(1), hash: Hash(self.header().previous_ledger_hash.0) }
    }

    #[must_use]
    pub fn protocol(&self) -> u32 {
        self.header().ledger_version
    }

    /// When it closed: to the millisecond from protocol 30 on.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        close_time(&self.header().scp_value)
    }

    /// The protocol that this ledger switches to, if it switches. An upgrade that does not decode is one
    /// this binary does not know.
    #[must_use]
    pub fn upgrade(&self) -> Option<u32> {
        let upgrades = self.header().scp_value.upgrades.iter();
        upgrades
            .filter_map(|upgrade| {
                let bytes = upgrade.0.as_slice();
                match LedgerUpgrade::from_xdr(bytes, Limits { depth: DEPTH_MAX, len: bytes.len() }) {
                    Ok(LedgerUpgrade::Version(version)) => Some(version),
                    Ok(_) => None,
                    Err(_) => Some(u32::MAX),
                }
            })
            .max()
    }
}

fn processed(list: VecM<stellar_xdr::TransactionResultMeta>) -> Vec<Processed> {
    Vec::from(list).into_iter().map(|one| Processed { result: one.result, meta: one.tx_apply_processing }).collect()
}

/// No more is read than there is: what a hostile length claims is charged before memory is taken for it.
fn limits(bytes: &[u8]) -> Result<Limits, LedgerError> {
    if bytes.len() > BYTES_MAX {
        return Err(LedgerError::TooLarge(bytes.len()));
    }
    Ok(Limits { depth: DEPTH_MAX, len: bytes.len() })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err asks for")]
fn undecodable(error: stellar_xdr::Error) -> LedgerError {
    LedgerError::Undecodable(error.to_string())
}

/// Milliseconds where the value has them, whole seconds otherwise.
pub(crate) fn close_time(value: &StellarValue) -> Timestamp {
    match milliseconds(value) {
        Some(ms) => Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)),
        None => Timestamp::from_seconds(i64::try_from(value.close_time.0).unwrap_or(i64::MAX)),
    }
}

pub(crate) fn milliseconds(value: &StellarValue) -> Option<u64> {
    match &value.ext {
        StellarValueExt::SignedMs(signed) => Some(signed.close_time_ms.0),
        StellarValueExt::EmptyTxSetMs(empty) => Some(empty.close_time_ms.0),
        StellarValueExt::Basic | StellarValueExt::Signed(_) | StellarValueExt::EmptyTxSet(_) => None,
    }
}

impl TxSet {
    /// The ledger the set was made for.
    pub(crate) fn parent(&self) -> [u8; 32] {
        match self {
            Self::Plain(set) => set.previous_ledger_hash.0,
            Self::Generalized(GeneralizedTransactionSet::V1(set)) => set.previous_ledger_hash.0,
        }
    }

    /// How many transactions it shows.
    pub(crate) fn count(&self) -> usize {
        self.clone().into_envelopes().len()
    }

    /// Every transaction of every phase, stage and cluster.
    pub(crate) fn into_envelopes(self) -> Vec<TransactionEnvelope> {
        let set = match self {
            Self::Plain(set) => return Vec::from(set.txs),
            Self::Generalized(GeneralizedTransactionSet::V1(set)) => set,
        };
        let mut all = Vec::new();
        for phase in Vec::from(set.phases) {
            match phase {
                TransactionPhase::V0(components) => {
                    for TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) in Vec::from(components) {
                        all.extend(Vec::from(component.txs));
                    }
                }
                TransactionPhase::V1(parallel) => {
                    let stages = Vec::from(parallel.execution_stages).into_iter();
                    let clusters = stages.flat_map(|stage| Vec::from(stage.0));
                    all.extend(clusters.flat_map(|cluster| Vec::from(cluster.0)));
                }
            }
        }
        all
    }
}
