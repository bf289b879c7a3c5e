//! The header, as it is and hashed anew; whose network it is; and bytes that are no ledger at all.

use sha2::{Digest, Sha256};
use stellar_xdr::{
    Hash, LedgerHeader, NodeId, PublicKey, Signature, StellarValueExt, StellarValueProposedMsValue,
    StellarValueProposedValue, StellarValueSignedMsValue, TimePointMs, Uint256,
};

use super::Tamper;
use crate::ledger::{BYTES_MAX, PROTOCOL_MAX};
use crate::testkit::chain::Validator;
use crate::testkit::forge::Forged;

const HASH: &str = "header_hash";
const SIGNATURE: &str = "value_signature";

pub const ALL: &[Tamper] = &[
    Tamper::refused("ledger_renamed", HASH, |f, _| f.entry().hash = Hash([1; 32])),
    Tamper::refused("sequence", HASH, |f, _| f.header().ledger_seq += 1),
    Tamper::refused("close_time", HASH, |f, _| f.header().scp_value.close_time.0 += 1),
    Tamper::refused("balances_of_the_ledger", HASH, |f, _| f.header().bucket_list_hash = Hash([1; 32])),
    Tamper::refused("previous_hash", HASH, |f, _| f.header().previous_ledger_hash = Hash([1; 32])),
    Tamper::refused("protocol", HASH, |f, _| f.header().ledger_version -= 1),
    Tamper::refused("previous_hash_hashed_anew", "unlinked", |f, _| {
        rehashed(f, |header| header.previous_ledger_hash = Hash([1; 32]));
    }),
    Tamper::refused("sequence_hashed_anew", "unlinked", |f, _| rehashed(f, |header| header.ledger_seq += 1)),
    Tamper::refused("sequence_before_hashed_anew", "unlinked", |f, _| rehashed(f, |header| header.ledger_seq -= 1)),
    Tamper::refused("close_time_hashed_anew", SIGNATURE, |f, _| {
        rehashed(f, |header| {
            header.scp_value.close_time.0 += 3_600;
            if let Some(ms) = milliseconds(&mut header.scp_value.ext) {
                ms.0 += 3_600_000;
            }
        });
    }),
    Tamper::refused("set_hash_hashed_anew", "transaction_set", |f, _| {
        rehashed(f, |header| header.scp_value.tx_set_hash = Hash([1; 32]));
    }),
    Tamper::refused("results_hash_hashed_anew", "results", |f, _| {
        rehashed(f, |header| header.tx_set_result_hash = Hash([1; 32]));
    }),
    Tamper::refused("signature_blanked_hashed_anew", SIGNATURE, |f, _| {
        if let Some(signed) = f.signature() {
            signed.signature = Signature(vec![0; 64].try_into().unwrap_or_default());
        }
        f.rehash();
    }),
    Tamper::refused("validator_renamed_hashed_anew", SIGNATURE, |f, _| {
        if let Some(signed) = f.signature() {
            signed.node_id = NodeId(PublicKey::PublicKeyTypeEd25519(Uint256([1; 32])));
        }
        f.rehash();
    }),
    Tamper::refused("signed_on_another_network", SIGNATURE, |f, _| {
        f.resign(Sha256::digest("Another network ; 2026").into(), &Validator::new(0xee));
    }),
    Tamper::refused("said_to_be_empty", "not_empty", |f, _| said_to_be_empty(f)),
    Tamper::refused("value_in_the_other_form", SIGNATURE, |f, _| other_form(f)),
    Tamper::refused("milliseconds_apart_from_seconds", "close_time", |f, _| {
        rehashed(f, |header| {
            other_form_of(header);
            if let Some(ms) = milliseconds(&mut header.scp_value.ext) {
                ms.0 += 5_000;
            } else {
                // It had milliseconds: put them back, apart.
                other_form_of(header);
                if let Some(ms) = milliseconds(&mut header.scp_value.ext) {
                    ms.0 += 5_000;
                }
            }
        });
    }),
    Tamper::refused("newer_protocol_hashed_anew", "protocol", |f, _| {
        rehashed(f, |header| header.ledger_version = PROTOCOL_MAX + 1);
    }),
    Tamper::disowned(
        "balances_of_the_ledger_hashed_anew",
        "no balance is read from it, and it has another hash",
        |f, _| rehashed(f, |header| header.bucket_list_hash = Hash([1; 32])),
    ),
    Tamper::disowned("signed_by_a_stranger", "it has another hash, and its validator is nobody's", |f, id| {
        f.resign(id, &Validator::new(0xee));
    }),
    Tamper::disowned("signature_removed_hashed_anew", "it has another hash, and attests nothing", |f, _| {
        rehashed(f, |header| header.scp_value.ext = StellarValueExt::Basic);
    }),
    Tamper::bytes("cut_short", "undecodable", |bytes| bytes.truncate(bytes.len().saturating_sub(4))),
    Tamper::bytes("longer_than_itself", "undecodable", |bytes| bytes.extend([0; 4])),
    Tamper::bytes("empty", "undecodable", Vec::clear),
    Tamper::bytes("unknown_form", "undecodable", |bytes| bytes[..4].copy_from_slice(&[0, 0, 0, 9])),
    Tamper::bytes("lengths_that_nobody_has", "undecodable", |bytes| {
        let from = bytes.len().min(400);
        bytes[from..].fill(0xff);
    }),
    Tamper::bytes("too_large", "too_large", |bytes| bytes.resize(BYTES_MAX + 1, 0)),
];

fn rehashed(forged: &mut Forged, change: impl Fn(&mut LedgerHeader)) {
    change(forged.header());
    forged.rehash();
}

fn milliseconds(ext: &mut StellarValueExt) -> Option<&mut TimePointMs> {
    match ext {
        StellarValueExt::SignedMs(signed) => Some(&mut signed.close_time_ms),
        StellarValueExt::EmptyTxSetMs(empty) => Some(&mut empty.close_time_ms),
        _ => None,
    }
}

/// With milliseconds where it had none, and the other way round: the signature is of the other form.
fn other_form_of(header: &mut LedgerHeader) {
    let seconds = header.scp_value.close_time.0;
    header.scp_value.ext = match header.scp_value.ext.clone() {
        StellarValueExt::Signed(lc_value_signature) => {
            let close_time_ms = TimePointMs(seconds * 1_000);
            StellarValueExt::SignedMs(StellarValueSignedMsValue { close_time_ms, lc_value_signature })
        }
        StellarValueExt::SignedMs(signed) => StellarValueExt::Signed(signed.lc_value_signature),
        other => other,
    };
}

fn other_form(forged: &mut Forged) {
    rehashed(forged, other_form_of);
}

/// A ledger said to be empty, whose transactions are shown all the same.
fn said_to_be_empty(forged: &mut Forged) {
    rehashed(forged, |header| {
        let (previous_ledger_hash, previous_ledger_version) =
            (header.previous_ledger_hash.clone(), header.ledger_version);
        let tx_set_hash = header.scp_value.tx_set_hash.clone();
        header.scp_value.ext = match header.scp_value.ext.clone() {
            StellarValueExt::Signed(lc_value_signature) => StellarValueExt::EmptyTxSet(StellarValueProposedValue {
                tx_set_hash,
                previous_ledger_hash,
                previous_ledger_version,
                lc_value_signature,
            }),
            StellarValueExt::SignedMs(signed) => StellarValueExt::EmptyTxSetMs(StellarValueProposedMsValue {
                close_time_ms: signed.close_time_ms,
                tx_set_hash,
                previous_ledger_hash,
                previous_ledger_version,
                lc_value_signature: signed.lc_value_signature,
            }),
            other => other,
        };
        header.scp_value.tx_set_hash = Hash([0; 32]);
    });
}
