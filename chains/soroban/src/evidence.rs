//! What a ledger proves of itself. Pure: a ledger in, the same ledger with proof or a named contradiction out.
//!
//! The header's hash covers the set of transactions and their results; the result of a contract call covers
//! its events. Nothing covers the events of classic operations, balances, or what an entry changed from: those
//! are hearsay and nobody is credited for them. That the hash is the network's own is shown by who else gives
//! it, and by validators who built on it: [`Attestations`].

mod attestation;
pub(crate) mod commitment;

pub use attestation::{Attestations, Attester, COUNTED_ABOVE};

use std::collections::HashMap;

use amn_core::block::{BlockRef, Hash, Header, TxHash};
use stellar_xdr::{
    ContractEvent, FeeBumpTransactionInnerTx, InnerTransactionResultResult, InvokeHostFunctionResult,
    LedgerEntryChange, Memo, Operation, OperationBody, OperationResult, OperationResultTr, ScVal, StellarValueExt,
    TransactionEnvelope, TransactionMeta, TransactionResult, TransactionResultResult,
};

use crate::address::{Party, Place};
use crate::ledger::{Ledger, milliseconds};
use crate::networks::SorobanNetwork;

/// From this protocol on no node rewrites the events of a contract call; before, one that was told to show old
/// events in the new form did, and its events no longer match what the ledger committed to (CAP-67).
const EVENTS_NEVER_REWRITTEN: u32 = 23;

/// A contradiction inside one ledger, or with the one before it. Whoever said it is not believed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    #[error("ledger {sequence} hashes to {computed}, not to {said} as it claims")]
    HeaderHash { sequence: u32, said: Hash, computed: Hash },
    #[error("this ledger stands on {} {}, not on {} {}", .said.height, .said.hash, .expected.height, .expected.hash)]
    Unlinked { expected: BlockRef, said: BlockRef },
    #[error("ledger {sequence} closed at {seconds} s and at {milliseconds} ms")]
    CloseTime { sequence: u32, seconds: u64, milliseconds: u64 },
    #[error("the transactions of ledger {sequence} hash to {computed}, its header commits to {header}")]
    TransactionSet { sequence: u32, header: Hash, computed: Hash },
    #[error("ledger {sequence} agreed on no transactions and shows {shown}")]
    NotEmpty { sequence: u32, shown: usize },
    #[error("the transactions of ledger {sequence} were made for another ledger than the one it stands on")]
    SetOfOtherParent { sequence: u32 },
    #[error("the results of ledger {sequence} hash to {computed}, its header commits to {header}")]
    Results { sequence: u32, header: Hash, computed: Hash },
    #[error("ledger {sequence} has {transactions} transactions and {results} results")]
    ResultCount { sequence: u32, transactions: usize, results: usize },
    #[error(
        "ledger {sequence} has a result for {transaction}, which it does not hold, or holds once and results in twice"
    )]
    ResultOfOther { sequence: u32, transaction: Hash },
    #[error("ledger {sequence} holds {transaction} twice")]
    Repeated { sequence: u32, transaction: Hash },
    #[error("the result of {transaction} is about another kind of transaction, or about another one inside it")]
    ResultOfOtherKind { transaction: Hash },
    #[error("{transaction} has {operations} operations and {results} results of them")]
    OperationCount { transaction: Hash, operations: usize, results: usize },
    #[error("the events of {transaction} hash to {computed}, its result commits to {committed}")]
    Events { transaction: Hash, committed: Hash, computed: Hash },
    #[error("ledger {sequence} names {validator} as the validator of its value, who did not sign it")]
    ValueSignature { sequence: u32, validator: String },
}

impl Lie {
    /// Its name in one word: for a log's field, a metric's label, a table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::HeaderHash { .. } => "header_hash",
            Self::Unlinked { .. } => "unlinked",
            Self::CloseTime { .. } => "close_time",
            Self::TransactionSet { .. } => "transaction_set",
            Self::NotEmpty { .. } => "not_empty",
            Self::SetOfOtherParent { .. } => "set_of_other_parent",
            Self::Results { .. } => "results",
            Self::ResultCount { .. } => "result_count",
            Self::ResultOfOther { .. } => "result_of_other",
            Self::Repeated { .. } => "repeated",
            Self::ResultOfOtherKind { .. } => "result_of_other_kind",
            Self::OperationCount { .. } => "operation_count",
            Self::Events { .. } => "events",
            Self::ValueSignature { .. } => "value_signature",
        }
    }
}

/// A ledger whose content is what its hash says.
#[derive(Clone, Debug)]
pub struct Verified {
    pub header: Header,
    pub protocol: u32,
    /// The protocol it switches to, if it switches: the next ledger may be beyond this binary.
    pub upgrade: Option<u32>,
    /// In the order of application.
    pub applied: Vec<Applied>,
    /// Whose validator built this ledger on its parent, and so attests the parent.
    pub attester: Option<Attester>,
}

/// A transaction with its result, proven, and what applying it changed, which is proven only where it says so.
#[derive(Clone, Debug)]
pub struct Applied {
    pub hash: TxHash,
    envelope: TransactionEnvelope,
    result: TransactionResult,
    meta: TransactionMeta,
    /// What the contract call committed to and what its events hash to, where those differ.
    rewritten: Option<(Hash, Hash)>,
}

/// A transaction that did what it says.
#[derive(Clone, Copy, Debug)]
pub struct Success<'a> {
    pub hash: TxHash,
    pub source: Party,
    /// Of the transaction its payer signed, not of a fee-bump around it.
    pub memo: &'a Memo,
    pub operations: &'a [Operation],
    /// As many as operations.
    pub results: &'a [OperationResult],
    applied: &'a Applied,
}

/// Checks everything that a ledger commits to. `on` is the ledger it must stand on; `None` only where it is the
/// first that is read, named by a checkpoint.
pub fn verify(network: &SorobanNetwork, ledger: Ledger, on: Option<BlockRef>) -> Result<Verified, Lie> {
    let (at, parent, time) = (ledger.at(), ledger.parent(), ledger.time());
    let (sequence, protocol, upgrade) = (ledger.sequence(), ledger.protocol(), ledger.upgrade());
    let mut buffer = Vec::new();

    let computed = commitment::header(&ledger.entry.header, &mut buffer);
    if computed != at.hash {
        return Err(Lie::HeaderHash { sequence, said: at.hash, computed });
    }
    if let Some(on) = on.filter(|on| *on != parent) {
        return Err(Lie::Unlinked { expected: on, said: parent });
    }
    let value = &ledger.entry.header.scp_value;
    if let Some(ms) = milliseconds(value).filter(|ms| ms / 1_000 != value.close_time.0) {
        return Err(Lie::CloseTime { sequence, seconds: value.close_time.0, milliseconds: ms });
    }
    transaction_set(&ledger, &mut buffer)?;
    let results: Vec<_> = ledger.processed.iter().map(|one| &one.result).collect();
    let (header, computed) = (Hash(ledger.header().tx_set_result_hash.0), commitment::results(&results, &mut buffer));
    if header != computed {
        return Err(Lie::Results { sequence, header, computed });
    }
    let attester = attestation::of_value(network, sequence, value)?;
    let applied = join(network, ledger, &mut buffer)?;
    Ok(Verified { header: Header { at, parent: parent.hash, time }, protocol, upgrade, applied, attester })
}

/// Whether the signature under the value holds, by itself: for whoever measures.
#[cfg(feature = "testkit")]
pub(crate) fn signature_holds(network: &SorobanNetwork, header: &stellar_xdr::LedgerHeader) -> bool {
    attestation::of_value(network, header.ledger_seq, &header.scp_value).is_ok()
}

fn transaction_set(ledger: &Ledger, buffer: &mut Vec<u8>) -> Result<(), Lie> {
    let (sequence, value) = (ledger.sequence(), &ledger.header().scp_value);
    if ledger.set.parent() != ledger.header().previous_ledger_hash.0 {
        return Err(Lie::SetOfOtherParent { sequence });
    }
    let header = Hash(value.tx_set_hash.0);
    // Validators may agree that a proposed set is lost and close without it (CAP-83): its hash is zero.
    if matches!(value.ext, StellarValueExt::EmptyTxSet(_) | StellarValueExt::EmptyTxSetMs(_)) {
        let shown = ledger.set.count();
        if shown > 0 {
            return Err(Lie::NotEmpty { sequence, shown });
        }
        let zero = Hash([0; 32]);
        return if header == zero { Ok(()) } else { Err(Lie::TransactionSet { sequence, header, computed: zero }) };
    }
    let computed = commitment::set(&ledger.set, buffer);
    if computed == header { Ok(()) } else { Err(Lie::TransactionSet { sequence, header, computed }) }
}

/// Gives each result its transaction, by hash: the set and the order of application differ.
fn join(network: &SorobanNetwork, ledger: Ledger, buffer: &mut Vec<u8>) -> Result<Vec<Applied>, Lie> {
    let (sequence, protocol) = (ledger.sequence(), ledger.protocol());
    let envelopes = ledger.set.into_envelopes();
    let (transactions, results) = (envelopes.len(), ledger.processed.len());
    if transactions != results {
        return Err(Lie::ResultCount { sequence, transactions, results });
    }
    let mut by_hash = HashMap::with_capacity(transactions);
    for envelope in envelopes {
        let hash = commitment::transaction(network.network_id, &envelope, buffer);
        if by_hash.insert(hash, envelope).is_some() {
            return Err(Lie::Repeated { sequence, transaction: hash });
        }
    }
    let mut all = Vec::with_capacity(results);
    for one in ledger.processed {
        let hash = Hash(one.result.transaction_hash.0);
        let envelope = by_hash.remove(&hash).ok_or(Lie::ResultOfOther { sequence, transaction: hash })?;
        let mut applied = Applied { hash, envelope, result: one.result.result, meta: one.meta, rewritten: None };
        applied.check_shape(network.network_id, buffer)?;
        if let Some((committed, computed)) = applied.events_differ(buffer) {
            if protocol >= EVENTS_NEVER_REWRITTEN {
                return Err(Lie::Events { transaction: hash, committed, computed });
            }
            applied.rewritten = Some((committed, computed));
        }
        all.push(applied);
    }
    Ok(all)
}

impl Applied {
    /// What it did; `None` where it failed, and so did nothing but pay its fee.
    #[must_use]
    pub fn success(&self) -> Option<Success<'_>> {
        let results = match &self.result.result {
            TransactionResultResult::TxSuccess(results) => results,
            TransactionResultResult::TxFeeBumpInnerSuccess(inner) => match &inner.result.result {
                InnerTransactionResultResult::TxSuccess(results) => results,
                _ => return None,
            },
            _ => return None,
        };
        let (source, memo, operations) = parts(&self.envelope);
        Some(Success { hash: self.hash, source, memo, operations, results: results.as_slice(), applied: self })
    }

    /// What the call committed to and what its events hash to, where a node rewrote them.
    #[must_use]
    pub fn rewritten(&self) -> Option<(Hash, Hash)> {
        self.rewritten
    }

    /// A result is of the kind of its transaction, about the transaction inside it, and about each operation.
    fn check_shape(&self, network_id: [u8; 32], buffer: &mut Vec<u8>) -> Result<(), Lie> {
        let transaction = self.hash;
        let bumped = match &self.result.result {
            TransactionResultResult::TxFeeBumpInnerSuccess(inner)
            | TransactionResultResult::TxFeeBumpInnerFailed(inner) => Some(Hash(inner.transaction_hash.0)),
            _ => None,
        };
        let fits = match (&self.envelope, bumped) {
            (TransactionEnvelope::TxFeeBump(envelope), Some(said)) => {
                let FeeBumpTransactionInnerTx::Tx(inner) = &envelope.tx.inner_tx;
                commitment::inner(network_id, inner, buffer) == said
            }
            (TransactionEnvelope::TxFeeBump(_), None) => !matches!(
                self.result.result,
                TransactionResultResult::TxSuccess(_) | TransactionResultResult::TxFailed(_)
            ),
            (_, bumped) => bumped.is_none(),
        };
        if !fits {
            return Err(Lie::ResultOfOtherKind { transaction });
        }
        match self.success() {
            Some(success) if success.operations.len() != success.results.len() => {
                let (operations, results) = (success.operations.len(), success.results.len());
                Err(Lie::OperationCount { transaction, operations, results })
            }
            _ => Ok(()),
        }
    }

    /// The hash a successful contract call committed to and the one its events have, where those differ.
    fn events_differ(&self, buffer: &mut Vec<u8>) -> Option<(Hash, Hash)> {
        let success = self.success()?;
        success.results.iter().enumerate().find_map(|(operation, result)| {
            let OperationResult::OpInner(OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(
                hash,
            ))) = result
            else {
                return None;
            };
            let (returned, events) = self.contract_meta(operation);
            let computed = commitment::events(returned, events, buffer);
            (hash.0 != computed.0).then_some((Hash(hash.0), computed))
        })
    }

    /// What each contract call that succeeded is hashed over.
    #[cfg(feature = "testkit")]
    pub(crate) fn committed_calls(&self) -> Vec<(Option<ScVal>, Vec<ContractEvent>)> {
        let Some(success) = self.success() else { return Vec::new() };
        let called = |result: &OperationResult| {
            matches!(
                result,
                OperationResult::OpInner(OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(_)))
            )
        };
        let calls = (0..success.results.len()).filter(|operation| success.results.get(*operation).is_some_and(called));
        calls
            .map(|operation| self.contract_meta(operation))
            .map(|(returned, events)| (returned.cloned(), events.to_vec()))
            .collect()
    }

    /// What a contract call is said to have returned, and its events.
    fn contract_meta(&self, operation: usize) -> (Option<&ScVal>, &[ContractEvent]) {
        match &self.meta {
            TransactionMeta::V3(meta) if operation == 0 => match &meta.soroban_meta {
                Some(soroban) => (Some(&soroban.return_value), soroban.events.as_slice()),
                None => (None, &[]),
            },
            TransactionMeta::V4(meta) => {
                let returned = meta.soroban_meta.as_ref().and_then(|soroban| soroban.return_value.as_ref());
                (returned, meta.operations.get(operation).map_or(&[], |operation| operation.events.as_slice()))
            }
            _ => (None, &[]),
        }
    }
}

impl<'a> Success<'a> {
    /// The events of a contract call, proven; `None` where the operation is none, or its events are not those
    /// it committed to.
    #[must_use]
    pub fn contract_events(&self, operation: usize) -> Option<&'a [ContractEvent]> {
        let called = matches!(self.operations.get(operation)?.body, OperationBody::InvokeHostFunction(_))
            && matches!(
                self.results.get(operation)?,
                OperationResult::OpInner(OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(_)))
            );
        (called && self.applied.rewritten.is_none()).then(|| self.applied.contract_meta(operation).1)
    }

    /// The events a node says a classic operation had: hearsay, for comparison only.
    #[must_use]
    pub fn said_events(&self, operation: usize) -> &'a [ContractEvent] {
        match &self.applied.meta {
            TransactionMeta::V4(meta) => {
                meta.operations.get(operation).map_or(&[], |operation| operation.events.as_slice())
            }
            _ => &[],
        }
    }

    /// The entries a node says an operation changed: hearsay.
    #[must_use]
    pub fn said_changes(&self, operation: usize) -> &'a [LedgerEntryChange] {
        let of = |list: &'a [stellar_xdr::OperationMeta]| {
            list.get(operation).map_or(&[][..], |operation| operation.changes.0.as_slice())
        };
        match &self.applied.meta {
            TransactionMeta::V0(list) => of(list.as_slice()),
            TransactionMeta::V1(meta) => of(meta.operations.as_slice()),
            TransactionMeta::V2(meta) => of(meta.operations.as_slice()),
            TransactionMeta::V3(meta) => of(meta.operations.as_slice()),
            TransactionMeta::V4(meta) => {
                meta.operations.get(operation).map_or(&[], |operation| operation.changes.0.as_slice())
            }
        }
    }

    /// Who an operation acts for.
    #[must_use]
    pub fn source_of(&self, operation: &Operation) -> Party {
        operation.source_account.as_ref().map_or(self.source, Party::from)
    }
}

/// Source, memo and operations of the transaction that its payer signed.
fn parts(envelope: &TransactionEnvelope) -> (Party, &Memo, &[Operation]) {
    match envelope {
        TransactionEnvelope::TxV0(envelope) => {
            let source = Party { place: Place::Account(envelope.tx.source_account_ed25519.0), id: None };
            (source, &envelope.tx.memo, envelope.tx.operations.as_slice())
        }
        TransactionEnvelope::Tx(envelope) => {
            (Party::from(&envelope.tx.source_account), &envelope.tx.memo, envelope.tx.operations.as_slice())
        }
        TransactionEnvelope::TxFeeBump(envelope) => {
            let FeeBumpTransactionInnerTx::Tx(inner) = &envelope.tx.inner_tx;
            (Party::from(&inner.tx.source_account), &inner.tx.memo, inner.tx.operations.as_slice())
        }
    }
}
