//! Ledgers as a liar would hand them over: one change each, the rest as it was.

use stellar_xdr::*;

/// The parts of a ledger that a liar can change, out of their bounded lists.
#[derive(Clone)]
pub struct Forged {
    pub meta: LedgerCloseMeta,
}

impl Forged {
    pub fn of(bytes: &[u8]) -> Self {
        Self { meta: LedgerCloseMeta::from_xdr(bytes, Limits { depth: 500, len: bytes.len() }).unwrap() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.meta.to_xdr(Limits::none()).unwrap()
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
        let header = self.header().to_xdr(Limits::none()).unwrap();
        self.entry().hash = Hash(<sha2::Sha256 as sha2::Digest>::digest(header).into());
    }

    /// Makes the header commit to the results as they are now, and hash to its name again.
    pub fn recommit_results(&mut self) {
        let mut results = Vec::new();
        self.processed(|list| results = list.iter().map(|one| one.result.clone()).collect());
        let set = TransactionResultSet { results: results.try_into().unwrap() };
        let hash = <sha2::Sha256 as sha2::Digest>::digest(set.to_xdr(Limits::none()).unwrap());
        self.header().tx_set_result_hash = Hash(hash.into());
        self.rehash();
    }

    /// Makes the header commit to the transactions as they are now, and hash to its name again.
    pub fn recommit_set(&mut self) {
        let mut bytes = Vec::new();
        self.set(|set| bytes = set.to_xdr(Limits::none()).unwrap());
        self.header().scp_value.tx_set_hash = Hash(<sha2::Sha256 as sha2::Digest>::digest(bytes).into());
        self.rehash();
    }

    /// The results and metas, in the newest form.
    pub fn processed(&mut self, change: impl FnOnce(&mut Vec<TransactionResultMetaV1>)) {
        let LedgerCloseMeta::V2(v2) = &mut self.meta else { panic!("a ledger of protocol 23 or later") };
        edit(&mut v2.tx_processing, change);
    }

    /// The set of transactions.
    pub fn set(&mut self, change: impl FnOnce(&mut GeneralizedTransactionSet)) {
        match &mut self.meta {
            LedgerCloseMeta::V0(_) => panic!("a ledger of protocol 20 or later"),
            LedgerCloseMeta::V1(v1) => change(&mut v1.tx_set),
            LedgerCloseMeta::V2(v2) => change(&mut v2.tx_set),
        }
    }

    /// The phases of the set.
    pub fn phases(&mut self, change: impl FnOnce(&mut Vec<TransactionPhase>)) {
        self.set(|GeneralizedTransactionSet::V1(set)| edit(&mut set.phases, change));
    }

    /// Each classic transaction, in the order of the set.
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

    /// The events of contract calls that succeeded.
    pub fn call_events(&mut self, mut change: impl FnMut(&mut Vec<ContractEvent>)) {
        self.metas(|result, meta| {
            if meta.soroban_meta.is_some() && succeeded(result) {
                edit(&mut meta.operations, |operations| edit(&mut operations[0].events, &mut change));
            }
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
    *list = plain.try_into().unwrap_or_else(|_| panic!("a list of that length"));
}

/// The amount of an event, changed.
pub fn set_amount(event: &mut ContractEvent, amount: i64) {
    let ContractEventBody::V0(body) = &mut event.body;
    let parts = ScVal::I128(Int128Parts { hi: 0, lo: amount.unsigned_abs() });
    match &mut body.data {
        ScVal::Map(Some(map)) => {
            edit(&mut map.0, |entries| entries[0].val = parts);
        }
        data => *data = parts,
    }
}

/// The ledger with another amount in the first event of its first contract call.
pub fn first_event_amount(meta: &LedgerCloseMeta, amount: i64) -> Vec<u8> {
    let mut meta = meta.clone();
    match &mut meta {
        LedgerCloseMeta::V1(v1) => edit(&mut v1.tx_processing, |list| {
            let TransactionMeta::V3(meta) = &mut list[0].tx_apply_processing else { panic!("the form of protocol 22") };
            let soroban = meta.soroban_meta.as_mut().unwrap();
            edit(&mut soroban.events, |events| set_amount(&mut events[0], amount));
        }),
        meta => {
            let mut forged = Forged { meta: meta.clone() };
            forged.call_events(|events| set_amount(&mut events[0], amount));
            *meta = forged.meta;
        }
    }
    meta.to_xdr(Limits::none()).unwrap()
}
