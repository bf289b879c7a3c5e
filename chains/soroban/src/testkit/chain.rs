//! A chain of invented ledgers: each stands on the one before, and hashes to its name.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest, Sha256};
use stellar_xdr::{
    DependentTxCluster, ExtensionPoint, GeneralizedTransactionSet, Hash, InnerTransactionResult,
    InnerTransactionResultExt, InnerTransactionResultPair, InnerTransactionResultResult, InvokeHostFunctionResult,
    LedgerCloseMeta, LedgerCloseMetaExt, LedgerCloseMetaV0, LedgerCloseMetaV1, LedgerCloseMetaV2,
    LedgerCloseValueSignature, LedgerEntryChanges, LedgerHeader, LedgerHeaderExt, LedgerHeaderHistoryEntry,
    LedgerHeaderHistoryEntryExt, LedgerUpgrade, Limits, NodeId, OperationMeta, OperationMetaV2, OperationResult,
    OperationResultTr, ParallelTxExecutionStage, ParallelTxsComponent, PublicKey, ScVal, Signature,
    SorobanTransactionMeta, SorobanTransactionMetaExt, SorobanTransactionMetaV2, StellarValue, StellarValueExt,
    StellarValueProposedMsValue, StellarValueProposedValue, StellarValueSignedMsValue, TimePoint, TimePointMs,
    TransactionEnvelope, TransactionMeta, TransactionMetaV3, TransactionMetaV4, TransactionPhase, TransactionResult,
    TransactionResultExt, TransactionResultMeta, TransactionResultMetaV1, TransactionResultPair,
    TransactionResultResult, TransactionSet, TransactionSetV1, TxSetComponent, TxSetComponentTxsMaybeDiscountedFee,
    Uint256, UpgradeType, VecM, WriteXdr,
};

use super::transaction::Tx;
use crate::evidence::commitment;
use crate::ledger::TxSet;
use amn_core::block::{BlockRef, Height};

/// A validator with an invented key.
#[derive(Debug)]
pub struct Validator(Ed25519KeyPair);

impl Validator {
    /// # Panics
    /// Never: any 32 bytes are a seed.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes are a seed"))
    }

    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> LedgerCloseValueSignature {
        let signature = self.0.sign(bytes).as_ref().to_vec();
        LedgerCloseValueSignature {
            node_id: NodeId(PublicKey::PublicKeyTypeEd25519(Uint256(self.key()))),
            signature: Signature(signature.try_into().unwrap_or_default()),
        }
    }
}

/// How the value of a ledger is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// As its protocol writes it.
    Usual,
    /// Without transactions, though some were proposed (CAP-83).
    Empty,
    /// Not signed, as the oldest are.
    Basic,
}

/// A ledger as a node hands it over.
#[derive(Clone, Debug)]
pub struct Closed {
    pub meta: LedgerCloseMeta,
    pub at: BlockRef,
    /// The names of its transactions, in the order given.
    pub names: Vec<amn_core::block::Hash>,
}

impl Closed {
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.meta.to_xdr(Limits::none()).unwrap_or_default()
    }
}

/// The chain, and how its next ledger will be closed.
#[derive(Clone, Debug)]
pub struct Chain {
    pub network_id: [u8; 32],
    pub tip: BlockRef,
    pub protocol: u32,
    /// When the tip closed.
    pub milliseconds: u64,
    /// From a ledger to the next.
    pub block_time_ms: u64,
    pub value: Value,
    /// The protocol that the next ledger switches to.
    pub upgrade: Option<u32>,
    sequence: i64,
}

impl Chain {
    /// A chain whose first ledger will stand on an invented checkpoint.
    #[must_use]
    pub fn new(passphrase: &str, protocol: u32) -> Self {
        let tip = BlockRef { height: Height(1_000), hash: amn_core::block::Hash([0xaa; 32]) };
        Self::on(passphrase, protocol, tip, 1_795_000_000_000)
    }

    /// A chain whose first ledger will stand on this one, which closed then.
    #[must_use]
    pub fn on(passphrase: &str, protocol: u32, tip: BlockRef, milliseconds: u64) -> Self {
        Self {
            network_id: Sha256::digest(passphrase).into(),
            tip,
            protocol,
            milliseconds,
            block_time_ms: 5_000,
            value: Value::Usual,
            upgrade: None,
            sequence: 0,
        }
    }

    /// Closes a ledger with these transactions, applied in this order.
    pub fn close(&mut self, transactions: &[Tx], by: &Validator) -> Closed {
        let (parts, names) = self.parts(transactions);
        let envelopes: Vec<(TransactionEnvelope, bool)> =
            parts.iter().zip(transactions).map(|(part, tx)| (part.envelope.clone(), tx.is_call())).collect();
        let set = self.set(envelopes);
        let results: Vec<TransactionResultPair> = parts.iter().map(|part| part.result.clone()).collect();
        self.milliseconds += self.block_time_ms;
        let header = self.header(&set, &results, by);
        let mut buffer = Vec::new();
        let hash = commitment::header(&header, &mut buffer);
        let entry = LedgerHeaderHistoryEntry { hash: Hash(hash.0), header, ext: LedgerHeaderHistoryEntryExt::V0 };
        self.tip = BlockRef { height: self.tip.height.next(), hash };
        if let Some(protocol) = self.upgrade.take() {
            self.protocol = protocol;
        }
        Closed { meta: meta(entry, set, parts), at: self.tip, names }
    }

    fn parts(&mut self, transactions: &[Tx]) -> (Vec<Part>, Vec<amn_core::block::Hash>) {
        let (mut parts, mut names, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        for tx in transactions {
            self.sequence += 1;
            let (envelope, inner) = tx.envelope(self.sequence);
            let name = commitment::transaction(self.network_id, &envelope, &mut buffer);
            let inner = inner.map(|inner| Hash(commitment::inner(self.network_id, &inner, &mut buffer).0));
            let result = TransactionResultPair { transaction_hash: Hash(name.0), result: result(tx, inner) };
            parts.push(Part { envelope, result, meta: transaction_meta(tx, self.protocol) });
            names.push(name);
        }
        (parts, names)
    }

    /// The set, sorted by hash as validators agree on it: not the order of application.
    fn set(&self, mut envelopes: Vec<(TransactionEnvelope, bool)>) -> TxSet {
        let previous_ledger_hash = Hash(self.tip.hash.0);
        let mut buffer = Vec::new();
        envelopes.sort_by_key(|(envelope, _)| commitment::transaction(self.network_id, envelope, &mut buffer));
        let (calls, classic): (Vec<_>, Vec<_>) = envelopes.into_iter().partition(|(_, call)| *call);
        let plain = |list: Vec<(TransactionEnvelope, bool)>| -> VecM<TransactionEnvelope> {
            list.into_iter().map(|(envelope, _)| envelope).collect::<Vec<_>>().try_into().unwrap_or_default()
        };
        if self.protocol < 20 {
            return TxSet::Plain(TransactionSet { previous_ledger_hash, txs: plain(classic) });
        }
        let component = |txs| {
            let component = TxSetComponentTxsMaybeDiscountedFee { base_fee: Some(100), txs };
            TransactionPhase::V0(list(vec![TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component)]))
        };
        let classic = component(plain(classic));
        let calls = if self.protocol >= 23 {
            // Each call in a cluster of its own, two clusters a stage.
            let clusters: Vec<_> =
                calls.into_iter().map(|(envelope, _)| DependentTxCluster(list(vec![envelope]))).collect();
            let stages: Vec<_> =
                clusters.chunks(2).map(|stage| ParallelTxExecutionStage(list(stage.to_vec()))).collect();
            TransactionPhase::V1(ParallelTxsComponent { base_fee: Some(100), execution_stages: list(stages) })
        } else {
            component(plain(calls))
        };
        let set = TransactionSetV1 { previous_ledger_hash, phases: list(vec![classic, calls]) };
        TxSet::Generalized(GeneralizedTransactionSet::V1(set))
    }

    fn header(&self, set: &TxSet, results: &[TransactionResultPair], by: &Validator) -> LedgerHeader {
        let mut buffer = Vec::new();
        let results: Vec<_> = results.iter().collect();
        let results = Hash(commitment::results(&results, &mut buffer).0);
        let set = Hash(commitment::set(set, &mut buffer).0);
        let upgrades = self.upgrade.map(|version| {
            UpgradeType(
                LedgerUpgrade::Version(version)
                    .to_xdr(Limits::none())
                    .unwrap_or_default()
                    .try_into()
                    .unwrap_or_default(),
            )
        });
        let (ext, tx_set_hash) = self.value(set, by);
        LedgerHeader {
            ledger_version: self.protocol,
            previous_ledger_hash: Hash(self.tip.hash.0),
            scp_value: StellarValue {
                tx_set_hash,
                close_time: TimePoint(self.milliseconds / 1_000),
                upgrades: upgrades.into_iter().collect::<Vec<_>>().try_into().unwrap_or_default(),
                ext,
            },
            tx_set_result_hash: results,
            bucket_list_hash: Hash([0xbb; 32]),
            ledger_seq: u32::try_from(self.tip.height.next().0).unwrap_or(u32::MAX),
            total_coins: 1_054_439_020_873_472_865,
            fee_pool: 1,
            inflation_seq: 0,
            id_pool: 1,
            base_fee: 100,
            base_reserve: 5_000_000,
            max_tx_set_size: 1_000,
            skip_list: [Hash([0; 32]), Hash([0; 32]), Hash([0; 32]), Hash([0; 32])],
            ext: LedgerHeaderExt::V0,
        }
    }

    fn value(&self, set: Hash, by: &Validator) -> (StellarValueExt, Hash) {
        let (seconds, with_ms) = (self.milliseconds / 1_000, self.protocol >= 30);
        let ms = with_ms.then_some(self.milliseconds);
        let proposed = if self.value == Value::Empty { Hash([0x5e; 32]) } else { set.clone() };
        let lc_value_signature = by.sign(&commitment::value(self.network_id, proposed.0, seconds, ms));
        let close_time_ms = TimePointMs(self.milliseconds);
        let (previous_ledger_hash, previous_ledger_version) = (Hash(self.tip.hash.0), self.protocol);
        match (self.value, with_ms) {
            (Value::Basic, _) => (StellarValueExt::Basic, set),
            (Value::Usual, false) => (StellarValueExt::Signed(lc_value_signature), set),
            (Value::Usual, true) => {
                (StellarValueExt::SignedMs(StellarValueSignedMsValue { close_time_ms, lc_value_signature }), set)
            }
            (Value::Empty, false) => {
                let value = StellarValueProposedValue {
                    tx_set_hash: proposed,
                    previous_ledger_hash,
                    previous_ledger_version,
                    lc_value_signature,
                };
                (StellarValueExt::EmptyTxSet(value), Hash([0; 32]))
            }
            (Value::Empty, true) => {
                let value = StellarValueProposedMsValue {
                    close_time_ms,
                    tx_set_hash: proposed,
                    previous_ledger_hash,
                    previous_ledger_version,
                    lc_value_signature,
                };
                (StellarValueExt::EmptyTxSetMs(value), Hash([0; 32]))
            }
        }
    }
}

/// A transaction of a ledger, with what a node shows of it.
struct Part {
    envelope: TransactionEnvelope,
    result: TransactionResultPair,
    meta: TransactionMeta,
}

/// # Panics
/// Never with what tests make: lists beyond four thousand million entries.
fn list<T>(items: Vec<T>) -> VecM<T> {
    items.try_into().unwrap_or_else(|_| panic!("a list of that length"))
}

fn result(tx: &Tx, inner: Option<Hash>) -> TransactionResult {
    let results = list(tx.steps.iter().map(|step| OperationResult::OpInner(committed(step))).collect());
    let result = match (inner, tx.succeeds) {
        (None, true) => TransactionResultResult::TxSuccess(results),
        (None, false) => TransactionResultResult::TxFailed(results),
        (Some(transaction_hash), succeeds) => {
            let result = if succeeds {
                InnerTransactionResultResult::TxSuccess(results)
            } else {
                InnerTransactionResultResult::TxFailed(results)
            };
            let result = InnerTransactionResult { fee_charged: 0, result, ext: InnerTransactionResultExt::V0 };
            let pair = InnerTransactionResultPair { transaction_hash, result };
            if succeeds {
                TransactionResultResult::TxFeeBumpInnerSuccess(pair)
            } else {
                TransactionResultResult::TxFeeBumpInnerFailed(pair)
            }
        }
    };
    TransactionResult { fee_charged: 100, result, ext: TransactionResultExt::V0 }
}

/// The result of a contract call commits to its events.
fn committed(step: &super::transaction::Step) -> OperationResultTr {
    match (&step.result, &step.returned) {
        (OperationResultTr::InvokeHostFunction(_), Some(returned)) => {
            let hash = commitment::events(Some(returned), &step.events, &mut Vec::new());
            OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(Hash(hash.0)))
        }
        (result, _) => result.clone(),
    }
}

/// What applying it changed, in the form of its protocol. A failed transaction shows nothing.
fn transaction_meta(tx: &Tx, protocol: u32) -> TransactionMeta {
    let none = || LedgerEntryChanges(VecM::default());
    let steps = if tx.succeeds { tx.steps.as_slice() } else { &[] };
    let returned = steps.iter().find_map(|step| step.returned.clone());
    if protocol < 23 {
        let operations =
            steps.iter().map(|step| OperationMeta { changes: LedgerEntryChanges(list(step.changes.clone())) });
        let events = steps.iter().filter(|step| step.returned.is_some()).flat_map(|step| step.events.clone());
        return TransactionMeta::V3(TransactionMetaV3 {
            ext: ExtensionPoint::V0,
            tx_changes_before: none(),
            operations: list(operations.collect()),
            tx_changes_after: none(),
            soroban_meta: returned.map(|return_value: ScVal| SorobanTransactionMeta {
                ext: SorobanTransactionMetaExt::V0,
                events: list(events.collect()),
                return_value,
                diagnostic_events: VecM::default(),
            }),
        });
    }
    let operations = steps.iter().map(|step| OperationMetaV2 {
        ext: ExtensionPoint::V0,
        changes: LedgerEntryChanges(list(step.changes.clone())),
        events: list(step.events.clone()),
    });
    TransactionMeta::V4(TransactionMetaV4 {
        ext: ExtensionPoint::V0,
        tx_changes_before: none(),
        operations: list(operations.collect()),
        tx_changes_after: none(),
        soroban_meta: returned
            .map(|value| SorobanTransactionMetaV2 { ext: SorobanTransactionMetaExt::V0, return_value: Some(value) }),
        events: VecM::default(),
        diagnostic_events: VecM::default(),
    })
}

/// The whole, in the form of its protocol: the oldest until 20, the middle one until 23.
fn meta(ledger_header: LedgerHeaderHistoryEntry, set: TxSet, parts: Vec<Part>) -> LedgerCloseMeta {
    let none = || LedgerEntryChanges(VecM::default());
    let protocol = ledger_header.header.ledger_version;
    let old = |part: Part| TransactionResultMeta {
        result: part.result,
        fee_processing: none(),
        tx_apply_processing: part.meta,
    };
    let tx_set = match set {
        TxSet::Plain(tx_set) => {
            return LedgerCloseMeta::V0(LedgerCloseMetaV0 {
                ledger_header,
                tx_set,
                tx_processing: list(parts.into_iter().map(old).collect()),
                upgrades_processing: VecM::default(),
                scp_info: VecM::default(),
            });
        }
        TxSet::Generalized(tx_set) => tx_set,
    };
    if protocol < 23 {
        return LedgerCloseMeta::V1(LedgerCloseMetaV1 {
            ext: LedgerCloseMetaExt::V0,
            ledger_header,
            tx_set,
            tx_processing: list(parts.into_iter().map(old).collect()),
            upgrades_processing: VecM::default(),
            scp_info: VecM::default(),
            total_byte_size_of_live_soroban_state: 0,
            evicted_keys: VecM::default(),
            unused: VecM::default(),
        });
    }
    let new = |part: Part| TransactionResultMetaV1 {
        ext: ExtensionPoint::V0,
        result: part.result,
        fee_processing: none(),
        tx_apply_processing: part.meta,
        post_tx_apply_fee_processing: none(),
    };
    LedgerCloseMeta::V2(LedgerCloseMetaV2 {
        ext: LedgerCloseMetaExt::V0,
        ledger_header,
        tx_set,
        tx_processing: list(parts.into_iter().map(new).collect()),
        upgrades_processing: VecM::default(),
        scp_info: VecM::default(),
        total_byte_size_of_live_soroban_state: 0,
        evicted_keys: VecM::default(),
    })
}
