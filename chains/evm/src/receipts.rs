//! Recomputes a receipts root straight from the JSON, as each kind of chain encodes its receipts.

use alloy_primitives::{B256, Bloom};
use alloy_rlp::{BufMut, Encodable, Header as Rlp};
use alloy_trie::root::ordered_trie_root_with_encoder;
use serde::Deserialize;

use crate::bloom;
use crate::wire::{WireLog, WireReceipt};

/// How a chain encodes receipts and transactions, as far as it is known to us.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// As geth does.
    Eth,
    /// As op-geth does: deposits (0x7e) hash two more fields.
    Op,
    /// As nitro does: types 0x64 to 0x6a are typed like any other, 0x78 is untyped.
    Arbitrum,
    /// Not known well enough to call a difference a lie: what is read stays reported.
    Observe,
}

impl Codec {
    /// Whether a block of this chain can be proven against its hash.
    #[must_use]
    pub const fn proves(self) -> bool {
        !matches!(self, Self::Observe)
    }
}

/// An OP-stack deposit.
pub(crate) const DEPOSIT: u64 = 0x7e;
/// Arbitrum's wrapped legacy transaction, encoded without a type.
const ARBITRUM_LEGACY: u64 = 0x78;

/// The root of the trie of receipts.
#[must_use]
pub fn root(codec: Codec, receipts: &[WireReceipt]) -> B256 {
    ordered_trie_root_with_encoder(receipts, |receipt, out| encode(codec, receipt, out))
}

/// `[type?] ‖ rlp([status | state root, cumulative gas, bloom, logs, …])`.
fn encode(codec: Codec, receipt: &WireReceipt, out: &mut dyn BufMut) {
    let kind = receipt.kind.map_or(0, |kind| kind.0);
    let untyped = kind == 0 || (codec == Codec::Arbitrum && kind == ARBITRUM_LEGACY);
    if !untyped {
        // A type above 255 exists nowhere; its low byte gives a wrong root, which is the right answer.
        out.put_u8(u8::try_from(kind & 0xff).unwrap_or_default());
    }
    let bloom = receipt.logs_bloom.unwrap_or_else(|| bloom::of(&receipt.logs));
    let deposit = (codec == Codec::Op && kind == DEPOSIT)
        .then(|| (receipt.deposit_nonce.map(|n| n.0), receipt.deposit_receipt_version.map(|v| v.0)));
    let (nonce, version) = deposit.unwrap_or_default();
    let logs_length: usize = receipt.logs.iter().map(log_length).sum();
    let payload = receipt.root.map_or(1, |root| root.length())
        + receipt.cumulative_gas_used.0.length()
        + bloom.length()
        + logs_length
        + alloy_rlp::length_of_length(logs_length)
        + nonce.map_or(0, |n| n.length())
        + version.map_or(0, |v| v.length());
    Rlp { list: true, payload_length: payload }.encode(out);
    match (receipt.root, receipt.succeeded()) {
        (Some(root), _) => root.encode(out),
        (None, Some(true)) => true.encode(out),
        (None, _) => false.encode(out),
    }
    receipt.cumulative_gas_used.0.encode(out);
    bloom.encode(out);
    Rlp { list: true, payload_length: logs_length }.encode(out);
    for log in &receipt.logs {
        encode_log(log, out);
    }
    if let Some(nonce) = nonce {
        nonce.encode(out);
    }
    if let Some(version) = version {
        version.encode(out);
    }
}

fn log_payload(log: &WireLog) -> usize {
    log.address.length() + log.topics.length() + log.data.0.length()
}

fn log_length(log: &WireLog) -> usize {
    let payload = log_payload(log);
    payload + alloy_rlp::length_of_length(payload)
}

fn encode_log(log: &WireLog, out: &mut dyn BufMut) {
    Rlp { list: true, payload_length: log_payload(log) }.encode(out);
    log.address.encode(out);
    log.topics.encode(out);
    log.data.0.encode(out);
}

/// The bloom of a whole block's receipts.
#[must_use]
pub fn block_bloom(receipts: &[WireReceipt]) -> Bloom {
    receipts
        .iter()
        .fold(Bloom::ZERO, |all, receipt| all | receipt.logs_bloom.unwrap_or_else(|| bloom::of(&receipt.logs)))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;
    use crate::wire::Quantity;

    /// A deposit without logs, as every OP-stack block begins with.
    fn deposit(nonce: Option<u64>, version: Option<u64>) -> WireReceipt {
        WireReceipt {
            transaction_hash: B256::ZERO,
            transaction_index: Quantity(0),
            block_hash: B256::ZERO,
            block_number: Quantity(1),
            kind: Some(Quantity(DEPOSIT)),
            status: Some(Quantity(1)),
            root: None,
            cumulative_gas_used: Quantity(0xb44c),
            logs_bloom: None,
            logs: Vec::new(),
            deposit_nonce: nonce.map(Quantity),
            deposit_receipt_version: version.map(Quantity),
        }
    }

    #[test]
    fn no_receipts_have_the_empty_root() {
        let empty = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
        assert_eq!(root(Codec::Eth, &[]), empty);
    }

    #[test]
    fn a_deposit_hashes_its_two_extra_fields_on_op_chains_only() {
        let (bare, whole) = (deposit(None, None), deposit(Some(7), Some(1)));
        let root_of = |codec, receipt: &WireReceipt| root(codec, std::slice::from_ref(receipt));
        assert_ne!(root_of(Codec::Op, &bare), root_of(Codec::Op, &whole));
        assert_eq!(root_of(Codec::Eth, &bare), root_of(Codec::Eth, &whole));
    }

    #[test]
    fn a_receipt_without_a_bloom_gets_that_of_its_logs() {
        let mut with = deposit(None, None);
        with.logs_bloom = Some(Bloom::ZERO);
        assert_eq!(root(Codec::Eth, &[with]), root(Codec::Eth, &[deposit(None, None)]));
    }
}
