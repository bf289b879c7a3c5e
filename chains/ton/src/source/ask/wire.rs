//! What the three kinds of API write, in the ways they have of writing one thing: numbers as texts, hashes in two
//! alphabets, accounts in five forms. Nothing of it is believed yet.

use std::borrow::Cow;
use std::fmt;

use amn_core::block::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::address::{self, Account, Realm};
use crate::cell;
use crate::source::trouble::Trouble;

/// Reads a body. Its nesting is bounded already; nothing else of it is checked.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Trouble> {
    // Not left to the reader, which checks only after it has handed out the strings.
    let text = std::str::from_utf8(body).map_err(|_| Trouble::Failed("its answer is not UTF-8".to_owned()))?;
    sonic_rs::from_str(text).map_err(|error| {
        let why: String = error.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
        Trouble::Failed(format!("its answer does not read: {why}"))
    })
}

/// A number that some write as a number and others as a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, std::hash::Hash, Debug, Default)]
pub(super) struct Number(pub i64);

impl Number {
    /// The number where none below zero makes sense.
    pub(super) fn count(self, of: &str) -> Result<u64, Trouble> {
        u64::try_from(self.0).map_err(|_| Trouble::Failed(format!("{of} below zero: {}", self.0)))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number within 64 bits")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                i64::try_from(number).map(Number).map_err(|_| E::custom("a number of 2^63 or more"))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::custom("a text that is no number"))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Declares a type that is read from a text.
macro_rules! from_text {
    ($name:ident, $what:literal, $read:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $read(text).ok_or_else(|| E::custom(concat!("a text that is not ", $what)))
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

/// 32 bytes, in base64 or as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WireHash(pub Hash);

from_text!(WireHash, "a hash of 32 bytes", |text: &str| hash(text).map(WireHash));

fn hash(text: &str) -> Option<Hash> {
    match text.len() {
        64 => text.parse().ok(),
        44 => {
            let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
            engine.decode(text).ok()?.try_into().ok().map(Hash)
        }
        _ => None,
    }
}

/// An account, in whatever form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WireAccount(pub Account);

// For whatever network it is written: who a node is was asked before.
from_text!(WireAccount, "an account", |text: &str| address::parse(text, Realm::Testnet).ok().map(WireAccount));

/// A shard as its 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HexShard(pub u64);

from_text!(HexShard, "16 hexadecimal digits", |text: &str| {
    (text.len() <= 16).then(|| u64::from_str_radix(text, 16).ok().map(HexShard)).flatten()
});

/// The bytes of a bag of cells, written in base64.
pub(super) fn bag_of_base64(text: &str) -> Result<Bytes, Trouble> {
    if text.len() / 4 * 3 > cell::BYTES_MAX.saturating_add(3) {
        return Err(Trouble::Undecodable(format!("cells of over {} bytes", cell::BYTES_MAX)));
    }
    STANDARD.decode(text).map(Bytes::from).map_err(|_| Trouble::Failed("cells that are no base64".to_owned()))
}

/// The bytes of a bag of cells, written as hexadecimal digits.
pub(super) fn bag_of_hex(text: &str) -> Result<Bytes, Trouble> {
    if text.len() / 2 > cell::BYTES_MAX {
        return Err(Trouble::Undecodable(format!("cells of over {} bytes", cell::BYTES_MAX)));
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect();
    bytes.map(Bytes::from).ok_or_else(|| Trouble::Failed("cells that are no hexadecimal digits".to_owned()))
}

/// A hash in base64, as toncenter takes it.
pub(super) fn base64_of(hash: &Hash) -> String {
    STANDARD.encode(hash.0)
}

/// A hash as hexadecimal digits alone.
pub(super) fn hex_of(hash: &[u8; 32]) -> String {
    use fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut out, byte| {
        // Written to memory, it cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// A text that may have escapes in it.
pub(super) type Text<'a> = Cow<'a, str>;
