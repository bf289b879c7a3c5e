//! Names of our own rows: a prefix that says what it names, and 128 bits as a ULID.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id of this kind reads {prefix}_ and 26 letters and digits; got {got:?}")]
pub struct IdError {
    prefix: &'static str,
    got: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, Ulid::from(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(|ulid| Self(ulid.into()))
                    .ok_or_else(|| IdError { prefix: $prefix, got: text.chars().take(60).collect() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A payment intent.
    IntentId = "pi";
    /// A deposit: a transfer to a watched address.
    DepositId = "dep";
    /// An event that receivers are told.
    EventId = "evt";
    /// A webhook endpoint.
    EndpointId = "we";
    /// A contract event that a tenant hears of.
    SightingId = "ce";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_names_its_kind() {
        let id = IntentId(0x0193_4a5b_6c7d_7e8f_9012_3456_789a_bcde);
        assert_eq!(id.to_string().parse::<IntentId>().unwrap(), id);
        assert!(id.to_string().starts_with("pi_01"));
        assert!(id.to_string().parse::<DepositId>().is_err());
        assert!("pi_".parse::<IntentId>().is_err());
    }
}
