//! Ledgers as a liar would hand them over: one change each, the rest as it was.

use sha2::{Digest, Sha256};
use stellar_xdr::{
    ContractEvent, ContractEventBody, GeneralizedTransactionSet, Hash, Int128Parts, LedgerCloseMeta,
    LedgerCloseValueSignature, LedgerHeader, LedgerHeaderHistoryEntry, Limits, ReadXdr, ScVal, StellarValueExt,
    TransactionEnvelope, TransactionMeta, TransactionMetaV4, TransactionPhase, TransactionResultMetaV1,
    TransactionResultPair, TransactionResultResult, TransactionResultSet, TxSetComponent, VecM, WriteXdr,
};

use super::chain::Validator;
use crate::evidence::commitment;
use crate::ledger::{BYTES_MAX, DEPTH_MAX, milliseconds};

/// The parts of a ledger that a liar can change, out of their bounded lists. What a ledger of an older form does
/// not have stays as it is.
#[derive(Clone, Debug)]
pub struct Forged {
    pub meta: LedgerCloseMeta,
}

impl Forged {
    /// `None` where the bytes are no ledger.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let limits = Limits { depth: DEPTH_MAX, len: bytes.len().min(BYTES_MAX) };
        LedgerCloseMeta::from_xdr(bytes, limits).ok().map(|meta| Self { meta })
    }

    /// # Panics
    /// Where the bytes are no ledger.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_else(|| panic!("the bytes of a ledger"))
    }

    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        xdr(&self.meta)
    }

    pub fn entry(&mut self) -> &mut LedgerHeaderHistoryEntry {
        match &mut self.meta {
            LedgerCloseMeta::V0(v0) => &mut v0.ledger_header,
            LedgerCloseMeta::V1(v1) => &mut v1.ledger_header,
            LedgerCloseMeta::V2(v2) => &mut v2.ledger_header,
        }
    }

    pub fn header(&mut self) -> &mut LedgerHeader {
        &mut self.entry().header
    }

    /// Makes the header hash to its name again.
    pub fn rehash(&mut self) {
        let hash = digest(&xdr(self.header()));
        self.entry().hash = hash;
    }

    /// Makes the header commit to the results as they are now, and hash to its name again.
    pub fn recommit_results(&mut self) {
        let mut results = Vec::new();
        self.processed(|list| results = list.iter().map(|one| one.result.clone()).collect());
        let set = TransactionResultSet { results: bounded(results) };
        self.header().tx_set_result_hash = digest(&xdr(&set));
        self.rehash();
    }

    /// Makes the header commit to the transactions as they are now, and hash to its name again.
    pub fn recommit_set(&mut self) {
        let mut bytes = Vec::new();
        self.set(|set| bytes = xdr(set));
        self.header().scp_value.tx_set_hash = digest(&bytes);
        self.rehash();
    }

    /// Has this validator sign the value as it is now, on this network, and the header hash to its name again.
    pub fn resign(&mut self, network_id: [u8; 32], by: &Validator) {
        let value = &mut self.header().scp_value;
        let (set, seconds, ms) = (value.tx_set_hash.0, value.close_time.0, milliseconds(value));
        if let Some(signature) = signature(&mut value.ext) {
            *signature = by.sign(&commitment::value(network_id, set, seconds, ms));
        }
        self.rehash();
    }

    /// The signature under the value, where it has one.
    pub fn signature(&mut self) -> Option<&mut LedgerCloseValueSignature> {
        signature(&mut self.header().scp_value.ext)
    }

    /// The results and metas, in the newest form.
    pub fn processed(&mut self, change: impl FnOnce(&mut Vec<TransactionResultMetaV1>)) {
        if let LedgerCloseMeta::V2(v2) = &mut self.meta {
            edit(&mut v2.tx_processing, change);
        }
    }

    /// The set of transactions.
    pub fn set(&mut self, change: impl FnOnce(&mut GeneralizedTransactionSet)) {
        match &mut self.meta {
            LedgerCloseMeta::V0(_) => {}
            LedgerCloseMeta::V1(v1) => change(&mut v1.tx_set),
            LedgerCloseMeta::V2(v2) => change(&mut v2.tx_set),
        }
    }

    /// The phases of the set.
    pub fn phases(&mut self, change: impl FnOnce(&mut Vec<TransactionPhase>)) {
        self.set(|GeneralizedTransactionSet::V1(set)| edit(&mut set.phases, change));
    }

    /// Each list of classic transactions, in the order of the set.
    pub fn classic(&mut self, mut change: impl FnMut(&mut Vec<TransactionEnvelope>)) {
        self.phases(|phases| {
            for phase in phases.iter_mut() {
                let TransactionPhase::V0(components) = phase else { continue };
                edit(components, |components| {
                    for TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) in components {
                        edit(&mut component.txs, &mut change);
                    }
                });
            }
        });
    }

    /// Every result, by the hash of its transaction.
    pub fn results(&mut self, mut change: impl FnMut(&mut TransactionResultPair)) {
        self.processed(|list| list.iter_mut().for_each(|one| change(&mut one.result)));
    }

    /// The metas of all transactions.
    pub fn metas(&mut self, mut change: impl FnMut(&TransactionResultPair, &mut TransactionMetaV4)) {
        self.processed(|list| {
            for one in list {
                if let TransactionMeta::V4(meta) = &mut one.tx_apply_processing {
                    change(&one.result, meta);
                }
            }
        });
    }

    /// The metas of contract calls that succeeded.
    pub fn call_metas(&mut self, mut change: impl FnMut(&mut TransactionMetaV4)) {
        self.metas(|result, meta| {
            if meta.soroban_meta.is_some() && succeeded(result) {
                change(meta);
            }
        });
    }

    /// The events of contract calls that succeeded.
    pub fn call_events(&mut self, mut change: impl FnMut(&mut Vec<ContractEvent>)) {
        self.call_metas(|meta| {
            edit(&mut meta.operations, |operations| {
                if let Some(operation) = operations.first_mut() {
                    edit(&mut operation.events, &mut change);
                }
            });
        });
    }

    /// The events shown beside classic operations.
    pub fn said_events(&mut self, mut change: impl FnMut(&mut Vec<ContractEvent>)) {
        self.metas(|_, meta| {
            if meta.soroban_meta.is_none() {
                edit(&mut meta.operations, |operations| {
                    for operation in operations {
                        edit(&mut operation.events, &mut change);
                    }
                });
            }
        });
    }
}

fn signature(ext: &mut StellarValueExt) -> Option<&mut LedgerCloseValueSignature> {
    match ext {
        StellarValueExt::Basic => None,
        StellarValueExt::Signed(signature) => Some(signature),
        StellarValueExt::SignedMs(signed) => Some(&mut signed.lc_value_signature),
        StellarValueExt::EmptyTxSet(empty) => Some(&mut empty.lc_value_signature),
        StellarValueExt::EmptyTxSetMs(empty) => Some(&mut empty.lc_value_signature),
    }
}

#[must_use]
pub fn succeeded(pair: &TransactionResultPair) -> bool {
    matches!(
        pair.result.result,
        TransactionResultResult::TxSuccess(_) | TransactionResultResult::TxFeeBumpInnerSuccess(_)
    )
}

/// Changes a bounded list as if it were a plain one.
pub fn edit<T: Clone, const N: u32>(list: &mut VecM<T, N>, change: impl FnOnce(&mut Vec<T>)) {
    let mut plain: Vec<T> = std::mem::take(list).into();
    change(&mut plain);
    *list = bounded(plain);
}

/// # Panics
/// Where the list is longer than it may be: a test that says nonsense.
fn bounded<T, const N: u32>(plain: Vec<T>) -> VecM<T, N> {
    plain.try_into().unwrap_or_else(|_| panic!("a list of that length"))
}

/// The amount of an event, changed.
pub fn set_amount(event: &mut ContractEvent, amount: i64) {
    let ContractEventBody::V0(body) = &mut event.body;
    let parts = ScVal::I128(Int128Parts { hi: 0, lo: amount.unsigned_abs() });
    match &mut body.data {
        ScVal::Map(Some(map)) => edit(&mut map.0, |entries| {
            if let Some(first) = entries.first_mut() {
                first.val = parts;
            }
        }),
        data => *data = parts,
    }
}

/// The ledger with another amount in the first event of its first contract call.
#[must_use]
pub fn first_event_amount(meta: &LedgerCloseMeta, amount: i64) -> Vec<u8> {
    let mut forged = Forged { meta: meta.clone() };
    match &mut forged.meta {
        LedgerCloseMeta::V1(v1) => edit(&mut v1.tx_processing, |list| {
            for one in list {
                let TransactionMeta::V3(meta) = &mut one.tx_apply_processing else { continue };
                let Some(soroban) = &mut meta.soroban_meta else { continue };
                edit(&mut soroban.events, |events| events.iter_mut().take(1).for_each(|one| set_amount(one, amount)));
                return;
            }
        }),
        _ => forged.call_events(|events| events.iter_mut().take(1).for_each(|event| set_amount(event, amount))),
    }
    forged.bytes()
}

fn xdr(value: &impl WriteXdr) -> Vec<u8> {
    value.to_xdr(Limits::none()).unwrap_or_default()
}

fn digest(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}
