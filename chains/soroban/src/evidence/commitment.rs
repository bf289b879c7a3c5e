//! What each part of a ledger hashes to, as validators computed it.
//!
//! Writing XDR to memory cannot fail for what was read from XDR. If it did, the hash would be of less than the
//! whole and would match nothing: a refusal, never a proof.

use amn_core::block::Hash;
use sha2::{Digest, Sha256};
use stellar_xdr::{
    ContractEvent, EnvelopeType, LedgerHeader, Limited, Limits, ScVal, TransactionEnvelope, TransactionResultPair,
    TransactionV1Envelope, WriteXdr,
};

use crate::ledger::TxSet;

pub fn header(header: &LedgerHeader, buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    write(buffer, header);
    digest(buffer)
}

/// The set of transactions. The old form hashes the parent and then each transaction, without a count.
pub fn set(set: &TxSet, buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    match set {
        TxSet::Plain(set) => {
            write(buffer, &set.previous_ledger_hash);
            for envelope in &set.txs {
                write(buffer, envelope);
            }
        }
        TxSet::Generalized(set) => write(buffer, set),
    }
    digest(buffer)
}

/// All results, in the order of application.
pub fn results(results: &[&TransactionResultPair], buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    count(buffer, results.len());
    for result in results {
        write(buffer, *result);
    }
    digest(buffer)
}

/// The name of a transaction on one network.
pub fn transaction(network_id: [u8; 32], envelope: &TransactionEnvelope, buffer: &mut Vec<u8>) -> Hash {
    match envelope {
        TransactionEnvelope::Tx(envelope) => inner(network_id, envelope, buffer),
        TransactionEnvelope::TxV0(envelope) => {
            tagged(network_id, EnvelopeType::Tx, buffer);
            // The old form leaves out the kind of its source's key; the name is that of the newer form.
            buffer.extend_from_slice(&0_i32.to_be_bytes());
            write(buffer, &envelope.tx);
            digest(buffer)
        }
        TransactionEnvelope::TxFeeBump(envelope) => {
            tagged(network_id, EnvelopeType::TxFeeBump, buffer);
            write(buffer, &envelope.tx);
            digest(buffer)
        }
    }
}

pub fn inner(network_id: [u8; 32], envelope: &TransactionV1Envelope, buffer: &mut Vec<u8>) -> Hash {
    tagged(network_id, EnvelopeType::Tx, buffer);
    write(buffer, &envelope.tx);
    digest(buffer)
}

/// What a successful contract call commits to: what it returned, and its events. A return value that is not
/// shown hashes like nothing at all, which no call commits to.
pub fn events(returned: Option<&ScVal>, events: &[ContractEvent], buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    if let Some(returned) = returned {
        write(buffer, returned);
    }
    count(buffer, events.len());
    for event in events {
        write(buffer, event);
    }
    digest(buffer)
}

/// What a validator signs when it proposes a value.
pub fn value(network_id: [u8; 32], set: [u8; 32], seconds: u64, milliseconds: Option<u64>) -> Vec<u8> {
    let mut signed = Vec::with_capacity(84);
    tagged(network_id, EnvelopeType::Scpvalue, &mut signed);
    signed.extend_from_slice(&set);
    signed.extend_from_slice(&seconds.to_be_bytes());
    signed.extend(milliseconds.into_iter().flat_map(u64::to_be_bytes));
    signed
}

fn tagged(network_id: [u8; 32], kind: EnvelopeType, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&network_id);
    write(buffer, &kind);
}

fn count(buffer: &mut Vec<u8>, items: usize) {
    buffer.extend_from_slice(&u32::try_from(items).unwrap_or(u32::MAX).to_be_bytes());
}

fn write(buffer: &mut Vec<u8>, value: &impl WriteXdr) {
    // Our own memory, and a value no deeper than what was read.
    let _ = value.write_xdr(&mut Limited::new(buffer, Limits::none()));
}

fn digest(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use stellar_xdr::{
        FeeBumpTransaction, FeeBumpTransactionEnvelope, FeeBumpTransactionExt, FeeBumpTransactionInnerTx, Memo,
        MuxedAccount, MuxedAccountMed25519, Preconditions, SequenceNumber, TimeBounds, TimePoint, Transaction,
        TransactionExt, TransactionV0, TransactionV0Envelope, TransactionV0Ext, Uint256, VecM,
    };

    use super::*;

    /// The names that the XDR crate gives, by another road.
    #[test]
    fn every_form_of_a_transaction_has_its_one_name() {
        let bounds = TimeBounds { min_time: TimePoint(1), max_time: TimePoint(2) };
        let old = TransactionEnvelope::TxV0(TransactionV0Envelope {
            tx: TransactionV0 {
                source_account_ed25519: Uint256([3; 32]),
                fee: 100,
                seq_num: SequenceNumber(7),
                time_bounds: Some(bounds.clone()),
                memo: Memo::Id(9),
                operations: VecM::default(),
                ext: TransactionV0Ext::V0,
            },
            signatures: VecM::default(),
        });
        let new = TransactionV1Envelope {
            tx: Transaction {
                source_account: MuxedAccount::MuxedEd25519(MuxedAccountMed25519 { id: 5, ed25519: Uint256([3; 32]) }),
                fee: 100,
                seq_num: SequenceNumber(7),
                cond: Preconditions::Time(bounds),
                memo: Memo::Id(9),
                operations: VecM::default(),
                ext: TransactionExt::V0,
            },
            signatures: VecM::default(),
        };
        let bump = TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope {
            tx: FeeBumpTransaction {
                fee_source: MuxedAccount::Ed25519(Uint256([4; 32])),
                fee: 200,
                inner_tx: FeeBumpTransactionInnerTx::Tx(new.clone()),
                ext: FeeBumpTransactionExt::V0,
            },
            signatures: VecM::default(),
        });
        let mut names = Vec::new();
        for envelope in [old, TransactionEnvelope::Tx(new), bump] {
            let name = transaction([1; 32], &envelope, &mut Vec::new());
            assert_eq!(name.0, envelope.hash([1; 32]).unwrap());
            assert_ne!(name, transaction([2; 32], &envelope, &mut Vec::new()), "another network, another name");
            names.push(name);
        }
        names.dedup();
        assert_eq!(names.len(), 3);
    }
}
