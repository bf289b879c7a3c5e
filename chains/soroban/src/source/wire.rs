//! What a Stellar RPC node writes, as far as we read it. Nothing of it is believed: a ledger is its own proof.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number that some versions write as a number and others as a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count(pub u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number below 2^32")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                u32::try_from(number).map(Count).map_err(|_| E::custom("a number of 2^32 or more"))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                u32::try_from(number).map(Count).map_err(|_| E::custom("a number below zero, or of 2^32 or more"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
                text.parse().map(Count).map_err(|_| E::custom("a text that is no number below 2^32"))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(serde::Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct WireHealth {
    pub status: String,
    pub latest_ledger: Count,
    pub oldest_ledger: Count,
    #[serde(default)]
    pub ledger_retention_window: Count,
}

#[derive(serde::Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct WireNetwork {
    pub passphrase: String,
    #[serde(default)]
    pub protocol_version: Count,
}

#[derive(serde::Deserialize, Debug)]
pub struct WireLedgers<'a> {
    /// `null` where there are none: an empty list of the language most nodes are written in.
    #[serde(borrow)]
    pub ledgers: Option<Vec<WireLedger<'a>>>,
}

#[derive(serde::Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct WireLedger<'a> {
    pub sequence: Count,
    #[serde(borrow, default)]
    pub hash: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub header_xdr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub metadata_xdr: Cow<'a, str>,
}

#[derive(serde::Deserialize, Debug)]
pub struct WireEntries<'a> {
    #[serde(borrow)]
    pub entries: Option<Vec<WireEntry<'a>>>,
}

#[derive(serde::Deserialize, Debug)]
pub struct WireEntry<'a> {
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    #[serde(borrow)]
    pub xdr: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_a_text_and_a_list_may_be_null() {
        let health: WireHealth = sonic_rs::from_str(
            r#"{"status":"healthy","latestLedger":"9","oldestLedger":2,"ledgerRetentionWindow":8,"more":[1]}"#,
        )
        .unwrap();
        assert_eq!((health.latest_ledger, health.oldest_ledger), (Count(9), Count(2)));
        let none: WireLedgers<'_> = sonic_rs::from_str(r#"{"ledgers":null,"latestLedger":7,"cursor":"6"}"#).unwrap();
        assert!(none.ledgers.is_none());
        let page: WireLedgers<'_> = sonic_rs::from_str(
            r#"{"ledgers":[{"hash":"ab","sequence":7,"ledgerCloseTime":"1","headerXdr":"A\/A=","metadataXdr":"AAAA"}]}"#,
        )
        .unwrap();
        let ledger = &page.ledgers.unwrap()[0];
        assert_eq!((ledger.header_xdr.as_deref(), &*ledger.metadata_xdr), (Some("A/A="), "AAAA"));
        for wrong in [r#"{"sequence":-1,"metadataXdr":""}"#, r#"{"sequence":4294967296,"metadataXdr":""}"#] {
            assert!(sonic_rs::from_str::<WireLedger<'_>>(wrong).is_err(), "{wrong}");
        }
    }
}
