//! What nodes say, parsed at the door: JSON becomes fixed-size bytes and numbers here and nowhere else.
//!
//! Fields that no decision reads are not parsed. What a node leaves out and the chain allows to be
//! absent is an `Option`; anything else that is missing is an error of the parse.

use std::fmt;

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number below 2^64 in JSON-RPC's spelling: `0x` and hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Quantity(pub u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0x and at most sixteen hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                quantity(text).map(Quantity).ok_or_else(|| E::invalid_value(de::Unexpected::Str(&clip(text)), &self))
            }

            // Some nodes print small numbers plainly; a plain number has one meaning.
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

/// Reads `0x…` as a number; `None` where it is none or exceeds 64 bits.
#[must_use]
pub fn quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !plain {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() { Some(0) } else { u64::from_str_radix(significant, 16).ok() }
}

/// At most the first 80 characters, so that an error never carries a whole body.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A block's header as a node prints it: every field that the hash covers, and the hash it claims.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireHeader {
    pub hash: B256,
    pub parent_hash: B256,
    pub sha3_uncles: B256,
    pub miner: Address,
    pub state_root: B256,
    pub transactions_root: B256,
    pub receipts_root: B256,
    pub logs_bloom: Bloom,
    pub difficulty: U256,
    pub number: Quantity,
    pub gas_limit: Quantity,
    pub gas_used: Quantity,
    pub timestamp: Quantity,
    pub extra_data: Bytes,
    pub mix_hash: Option<B256>,
    pub nonce: Option<B64>,
    pub base_fee_per_gas: Option<Quantity>,
    pub withdrawals_root: Option<B256>,
    pub blob_gas_used: Option<Quantity>,
    pub excess_blob_gas: Option<Quantity>,
    pub parent_beacon_block_root: Option<B256>,
    pub requests_hash: Option<B256>,
    pub block_access_list_hash: Option<B256>,
    pub slot_number: Option<Quantity>,
}

/// The transactions of a block: names only, or whole, as the node was asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WireBody {
    #[serde(default)]
    pub transactions: Vec<WireTransaction>,
}

/// One entry of a block's list of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireTransaction {
    Name(B256),
    Whole(Box<WholeTransaction>),
}

impl WireTransaction {
    #[must_use]
    pub fn hash(&self) -> B256 {
        match self {
            Self::Name(hash) => *hash,
            Self::Whole(whole) => whole.hash,
        }
    }
}

impl<'de> Deserialize<'de> for WireTransaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WireTransaction;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a transaction hash or a whole transaction")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WireTransaction, E> {
                text.parse().map(WireTransaction::Name).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WireTransaction, A::Error> {
                WholeTransaction::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|whole| WireTransaction::Whole(Box::new(whole)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A transaction with every field that its hash covers, whatever its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WholeTransaction {
    pub hash: B256,
    #[serde(rename = "type")]
    pub kind: Option<Quantity>,
    pub block_hash: Option<B256>,
    pub transaction_index: Option<Quantity>,
    pub chain_id: Option<U256>,
    pub nonce: Option<U256>,
    pub from: Address,
    pub to: Option<Address>,
    pub value: U256,
    pub gas: Option<U256>,
    pub gas_price: Option<U256>,
    pub max_fee_per_gas: Option<U256>,
    pub max_priority_fee_per_gas: Option<U256>,
    pub max_fee_per_blob_gas: Option<U256>,
    pub input: Bytes,
    pub access_list: Option<Vec<AccessListItem>>,
    pub blob_versioned_hashes: Option<Vec<B256>>,
    pub authorization_list: Option<Vec<Authorization>>,
    pub v: Option<U256>,
    pub y_parity: Option<U256>,
    pub r: Option<U256>,
    pub s: Option<U256>,
    // OP-stack deposits (0x7e).
    pub source_hash: Option<B256>,
    pub mint: Option<U256>,
    pub is_system_tx: Option<bool>,
    // Arbitrum's own types (0x64 to 0x6a).
    pub request_id: Option<B256>,
    pub ticket_id: Option<B256>,
    pub refund_to: Option<Address>,
    pub max_refund: Option<U256>,
    pub submission_fee_refund: Option<U256>,
    pub l1_base_fee: Option<U256>,
    pub deposit_value: Option<U256>,
    pub retry_to: Option<Address>,
    pub retry_value: Option<U256>,
    pub retry_data: Option<Bytes>,
    pub beneficiary: Option<Address>,
    pub max_submission_fee: Option<U256>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessListItem {
    pub address: Address,
    pub storage_keys: Vec<B256>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    pub chain_id: U256,
    pub address: Address,
    pub nonce: U256,
    #[serde(alias = "v")]
    pub y_parity: U256,
    pub r: U256,
    pub s: U256,
}

/// A receipt with every field that the receipts root covers, and what it says of its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireReceipt {
    pub transaction_hash: B256,
    pub transaction_index: Quantity,
    pub block_hash: B256,
    pub block_number: Quantity,
    #[serde(default, rename = "type")]
    pub kind: Option<Quantity>,
    /// Since Byzantium.
    #[serde(default)]
    pub status: Option<Quantity>,
    /// Before Byzantium: the state root after the transaction.
    #[serde(default)]
    pub root: Option<B256>,
    pub cumulative_gas_used: Quantity,
    #[serde(default)]
    pub logs_bloom: Option<Bloom>,
    pub logs: Vec<WireLog>,
    // OP-stack deposits since Canyon hash two more fields.
    #[serde(default)]
    pub deposit_nonce: Option<Quantity>,
    #[serde(default)]
    pub deposit_receipt_version: Option<Quantity>,
}

impl WireReceipt {
    /// Whether the transaction did what it says; `None` before Byzantium, where receipts do not say.
    #[must_use]
    pub fn succeeded(&self) -> Option<bool> {
        self.status.map(|status| status.0 == 1)
    }
}

/// A log inside a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireLog {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    #[serde(default)]
    pub block_hash: Option<B256>,
    #[serde(default)]
    pub block_number: Option<Quantity>,
    #[serde(default)]
    pub transaction_hash: Option<B256>,
    #[serde(default)]
    pub transaction_index: Option<Quantity>,
    #[serde(default)]
    pub log_index: Option<Quantity>,
    #[serde(default)]
    pub removed: bool,
}

/// A JSON text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} does not parse: {why}")]
pub struct WireError {
    pub what: &'static str,
    pub why: String,
}

/// Parses one answer; the error is short, whatever the body.
pub fn parse<'de, T: Deserialize<'de>>(what: &'static str, json: &'de [u8]) -> Result<T, WireError> {
    sonic_rs::from_slice(json).map_err(|error| {
        // The first line says what and where; the rest quotes the body.
        WireError { what, why: clip(error.to_string().lines().next().unwrap_or_default()) }
    })
}

/// Parses a list of receipts, leaving out the `null` that some nodes put between them.
pub fn parse_receipts(json: &[u8]) -> Result<Vec<WireReceipt>, WireError> {
    let list: Vec<Option<WireReceipt>> = parse("the list of receipts", json)?;
    Ok(list.into_iter().flatten().collect())
}

/// The names of the fields of a JSON object.
pub(crate) fn field_names(json: &[u8]) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Keys;
            impl<'de> Visitor<'de> for Keys {
                type Value = Names;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                    let mut names = Vec::new();
                    while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                        names.push(name);
                    }
                    Ok(Names(names))
                }
            }
            deserializer.deserialize_map(Keys)
        }
    }
    parse::<Names>("an object", json).map(|names| names.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_in_every_spelling_nodes_use_and_in_no_other() {
        for (text, number) in [("0x0", 0), ("0x10", 16), ("0x00ff", 255), ("0xffffffffffffffff", u64::MAX)] {
            assert_eq!(quantity(text), Some(number), "{text}");
        }
        for text in ["", "0x", "10", "0x10000000000000000", "0x+1", "0x 1", "-0x1"] {
            assert_eq!(quantity(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_error_never_quotes_a_whole_body() {
        let body = format!("[\"{}\"]", "x".repeat(10_000));
        let error = parse::<Vec<Quantity>>("numbers", body.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }
}
