//! Recomputes a block's root of transactions from the JSON, so that a native payment is proven.
//!
//! Every encoding is checked against the hash the transaction goes by. Where a type we know only from
//! papers does not hash to its own name, the list counts as unknown and proves nothing; it is no lie.

use alloy_primitives::{B256, TxKind, U256, keccak256};
use alloy_rlp::{Encodable, Header as Rlp};
use alloy_trie::root::ordered_trie_root_encoded;

use crate::evidence::Lie;
use crate::receipts::DEPOSIT;
use crate::wire::{AccessListItem, Authorization, WholeTransaction, WireTransaction};

/// What the list of transactions of a block shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Every transaction hashes to its name; this is the root.
    Root(B256),
    /// Names only, or a type of transaction whose encoding is not known.
    Unknown,
}

/// Encodes and names every transaction of a block, and computes their root.
pub fn root(transactions: &[WireTransaction]) -> Result<Listed, Lie> {
    let mut encoded = Vec::with_capacity(transactions.len());
    for (index, transaction) in transactions.iter().enumerate() {
        let WireTransaction::Whole(whole) = transaction else { return Ok(Listed::Unknown) };
        let Some(bytes) = encode(whole) else { return Ok(Listed::Unknown) };
        let computed = keccak256(&bytes);
        if computed != whole.hash {
            // The standard types are the same everywhere; the others only look as if we knew them.
            if whole.kind.is_none_or(|kind| kind.0 <= 4) {
                return Err(Lie::TransactionHash { index, said: whole.hash, computed });
            }
            return Ok(Listed::Unknown);
        }
        encoded.push(bytes);
    }
    Ok(Listed::Root(ordered_trie_root_encoded(&encoded)))
}

/// The bytes whose keccak is the transaction's hash; `None` for a type or a field we do not know.
pub(crate) fn encode(tx: &WholeTransaction) -> Option<Vec<u8>> {
    let kind = u8::try_from(tx.kind.map_or(0, |kind| kind.0)).ok()?;
    let mut list = List::default();
    match kind {
        0 => {
            list.put(&tx.nonce?).put(&tx.gas_price?).put(&tx.gas?).to(tx).put(&tx.value).put(&tx.input.0);
            list.put(&tx.v?).put(&tx.r?).put(&tx.s?);
            return Some(list.finish(None));
        }
        1 => {
            list.put(&tx.chain_id?).put(&tx.nonce?).put(&tx.gas_price?).put(&tx.gas?).to(tx);
            list.put(&tx.value).put(&tx.input.0).access(tx.access_list.as_deref()?);
            list.signature(tx)?;
        }
        2 => {
            list.fees(tx)?.to(tx).put(&tx.value).put(&tx.input.0).access(tx.access_list.as_deref()?);
            list.signature(tx)?;
        }
        3 => {
            list.fees(tx)?.to(tx).put(&tx.value).put(&tx.input.0).access(tx.access_list.as_deref()?);
            list.put(&tx.max_fee_per_blob_gas?).put(tx.blob_versioned_hashes.as_ref()?);
            list.signature(tx)?;
        }
        4 => {
            list.fees(tx)?.to(tx).put(&tx.value).put(&tx.input.0).access(tx.access_list.as_deref()?);
            list.authorizations(tx.authorization_list.as_deref()?);
            list.signature(tx)?;
        }
        _ if u64::from(kind) == DEPOSIT => {
            list.put(&tx.source_hash?).put(&tx.from).to(tx).put(&tx.mint.unwrap_or_default()).put(&tx.value);
            list.put(&tx.gas?).put(&tx.is_system_tx.unwrap_or(false)).put(&tx.input.0);
        }
        0x64 => {
            list.put(&tx.chain_id?).put(&tx.request_id?).put(&tx.from).to(tx).put(&tx.value);
        }
        0x65 => {
            list.put(&tx.chain_id?).put(&tx.from).put(&tx.nonce?).put(&fee_cap(tx)?).put(&tx.gas?).to(tx);
            list.put(&tx.value).put(&tx.input.0);
        }
        0x66 => {
            list.put(&tx.chain_id?).put(&tx.request_id?).put(&tx.from).put(&fee_cap(tx)?).put(&tx.gas?).to(tx);
            list.put(&tx.value).put(&tx.input.0);
        }
        0x68 => {
            list.put(&tx.chain_id?).put(&tx.nonce?).put(&tx.from).put(&fee_cap(tx)?).put(&tx.gas?).to(tx);
            list.put(&tx.value).put(&tx.input.0).put(&tx.ticket_id?).put(&tx.refund_to?).put(&tx.max_refund?);
            list.put(&tx.submission_fee_refund?);
        }
        0x69 => {
            list.put(&tx.chain_id?).put(&tx.request_id?).put(&tx.from).put(&tx.l1_base_fee?);
            list.put(&tx.deposit_value?).put(&fee_cap(tx)?).put(&tx.gas?).optional(tx.retry_to);
            list.put(&tx.retry_value?).put(&tx.beneficiary?).put(&tx.max_submission_fee?).put(&tx.refund_to?);
            list.put(&tx.retry_data.clone().unwrap_or_default().0);
        }
        0x6a => {
            list.put(&tx.chain_id?).put(&tx.input.0);
        }
        _ => return None,
    }
    Some(list.finish(Some(kind)))
}

fn fee_cap(tx: &WholeTransaction) -> Option<U256> {
    tx.max_fee_per_gas.or(tx.gas_price)
}

/// An RLP list in the making.
#[derive(Default)]
struct List {
    payload: Vec<u8>,
}

impl List {
    fn put(&mut self, item: &impl Encodable) -> &mut Self {
        item.encode(&mut self.payload);
        self
    }

    fn optional(&mut self, to: Option<alloy_primitives::Address>) -> &mut Self {
        to.map_or(TxKind::Create, TxKind::Call).encode(&mut self.payload);
        self
    }

    fn to(&mut self, tx: &WholeTransaction) -> &mut Self {
        self.optional(tx.to)
    }

    fn fees(&mut self, tx: &WholeTransaction) -> Option<&mut Self> {
        self.put(&tx.chain_id?).put(&tx.nonce?).put(&tx.max_priority_fee_per_gas?);
        Some(self.put(&tx.max_fee_per_gas?).put(&tx.gas?))
    }

    fn access(&mut self, items: &[AccessListItem]) -> &mut Self {
        let mut all = Self::default();
        for item in items {
            let mut one = Self::default();
            one.put(&item.address).put(&item.storage_keys);
            all.payload.extend(one.finish(None));
        }
        self.payload.extend(all.finish(None));
        self
    }

    fn authorizations(&mut self, items: &[Authorization]) -> &mut Self {
        let mut all = Self::default();
        for item in items {
            let mut one = Self::default();
            one.put(&item.chain_id).put(&item.address).put(&item.nonce).put(&item.y_parity).put(&item.r).put(&item.s);
            all.payload.extend(one.finish(None));
        }
        self.payload.extend(all.finish(None));
        self
    }

    fn signature(&mut self, tx: &WholeTransaction) -> Option<&mut Self> {
        self.put(&tx.y_parity.or(tx.v)?);
        Some(self.put(&tx.r?).put(&tx.s?))
    }

    fn finish(self, kind: Option<u8>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 10);
        out.extend(kind);
        Rlp { list: true, payload_length: self.payload.len() }.encode(&mut out);
        out.extend(self.payload);
        out
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy};
    use alloy_eips::eip2718::Encodable2718;
    use alloy_eips::eip2930::{AccessList, AccessListItem};
    use alloy_eips::eip7702::{Authorization, SignedAuthorization};
    use alloy_primitives::{Address, Bytes, Signature};
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::WireTransaction;

    /// One transaction of every standard type, as a library that is not ours encodes and prints it.
    fn every_standard_type() -> Vec<TxEnvelope> {
        let signature = Signature::new(U256::from(7), U256::from(9), true);
        let (to, input, value) =
            (Address::repeat_byte(5), Bytes::from(vec![1, 2, 3]), U256::from(10).pow(U256::from(18)));
        let item = AccessListItem { address: to, storage_keys: vec![B256::repeat_byte(1), B256::ZERO] };
        let access_list = AccessList(vec![item]);
        let authorization = Authorization { chain_id: U256::from(1), address: to, nonce: 3 };
        let (chain_id, nonce, gas_limit, max_fee_per_gas) = (1, 300, 21_000, 1_000_000_000);
        let legacy =
            TxLegacy { chain_id: Some(1), nonce, gas_price: 5, gas_limit, to: to.into(), value, input: input.clone() };
        let listed = TxEip2930 {
            chain_id,
            nonce,
            gas_price: 5,
            gas_limit,
            to: TxKind::Create,
            value,
            access_list: access_list.clone(),
            input: input.clone(),
        };
        let dynamic = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: 2,
            to: to.into(),
            value,
            access_list: access_list.clone(),
            input: input.clone(),
        };
        let blobs = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: 2,
            to,
            value,
            access_list: access_list.clone(),
            blob_versioned_hashes: vec![B256::repeat_byte(1)],
            max_fee_per_blob_gas: 4,
            input: input.clone(),
        };
        let delegating = TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: 2,
            to,
            value,
            access_list,
            input,
            authorization_list: vec![SignedAuthorization::new_unchecked(
                authorization,
                1,
                U256::from(4),
                U256::from(6),
            )],
        };
        vec![
            legacy.into_signed(signature).into(),
            listed.into_signed(signature).into(),
            dynamic.into_signed(signature).into(),
            blobs.into_signed(signature).into(),
            delegating.into_signed(signature).into(),
        ]
    }

    fn whole(envelope: &TxEnvelope) -> Value {
        let mut json = serde_json::to_value(envelope).unwrap();
        json["from"] = json!(Address::repeat_byte(1));
        json
    }

    #[test]
    fn every_standard_type_encodes_as_others_encode_it() {
        for envelope in every_standard_type() {
            let tx: WholeTransaction = serde_json::from_value(whole(&envelope)).unwrap();
            assert_eq!(encode(&tx).unwrap(), envelope.encoded_2718(), "{:?}", envelope.tx_type());
            assert_eq!(tx.hash, *envelope.tx_hash());
        }
    }

    #[test]
    fn a_type_nobody_told_us_of_proves_nothing_and_is_no_lie() {
        let mut list: Vec<WireTransaction> =
            every_standard_type().iter().map(|tx| serde_json::from_value(whole(tx)).unwrap()).collect();
        assert!(matches!(root(&list), Ok(Listed::Root(_))));
        for (kind, source) in [(0x7d, None), (DEPOSIT, Some(B256::ZERO))] {
            let strange = WholeTransaction {
                kind: Some(crate::wire::Quantity(kind)),
                source_hash: source,
                gas: Some(U256::ZERO),
                ..WholeTransaction::default()
            };
            list.push(WireTransaction::Whole(Box::new(strange)));
            assert_eq!(root(&list), Ok(Listed::Unknown), "{kind:#x}");
            list.pop();
        }
        let WireTransaction::Whole(first) = &mut list[0] else { panic!() };
        first.value = U256::from(1);
        assert!(matches!(root(&list), Err(Lie::TransactionHash { index: 0, .. })));
    }
}
