//! What tells payments to one address apart, in one spelling each: a comment, a binary comment, or the number of a
//! jetton transfer.
//!
//! People type comments, so two that look alike are one: composed (NFC), without blanks around. Everything else is
//! compared as it is. A payload that no intent can ask for (encrypted, of a contract's own) is kept apart by its hash,
//! never shortened into another's reference. See `docs/decisions/0040-a-comment-before-a-number.md`.

use std::fmt::Write as _;

use amn_core::block::{Hash, Reference};
use sha2::{Digest, Sha256};
use tycho_types::cell::CellSlice;
use unicode_normalization::UnicodeNormalization as _;

use crate::cell;

/// Longer comments are no references; kept apart by their hash.
pub const TEXT_MAX: usize = 256;

/// The first bits of a payload that is a comment.
const COMMENT: u32 = 0;
/// Of one that only its receiver can read.
const ENCRYPTED: u32 = 0x2167_da4b;
/// The first byte of a comment that is no text but a number of the payer's, made by a program.
const BINARY: u8 = 0xff;

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reference is text:<up to {TEXT_MAX} bytes>, text-hex:<their hexadecimal digits>, bin:<hexadecimal digits> or \
     query:<number above zero>; got {0:?}"
)]
pub struct ReferenceError(String);

/// A reference that a payment can carry and an intent wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes of a comment, composed and without blanks around; they need not be UTF-8.
    Text(Vec<u8>),
    /// The bytes of a binary comment.
    Binary(Vec<u8>),
    /// The number of a jetton transfer.
    Query(u64),
}

impl Parsed {
    /// The one spelling.
    #[must_use]
    pub fn spell(&self) -> Reference {
        Reference::new(match self {
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.chars().any(char::is_control) => format!("text:{text}"),
                _ => format!("text-hex:{}", hex(bytes)),
            },
            Self::Binary(bytes) => format!("bin:{}", hex(bytes)),
            Self::Query(number) => format!("query:{number}"),
        })
    }
}

/// Reads a reference as somebody gives it; what it spells is the one spelling.
pub fn parse(text: &str) -> Result<Parsed, ReferenceError> {
    let wrong = || ReferenceError(text.chars().take(100).collect());
    let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
    let fits = |bytes: &Vec<u8>| (1..=TEXT_MAX).contains(&bytes.len());
    match kind {
        "text" => Some(composed(value.as_bytes())).filter(fits).map(Parsed::Text).ok_or_else(wrong),
        "text-hex" => {
            // A comment that begins with this byte is a binary one: this text could never come.
            let bytes = unhex(value).map(|bytes| composed(&bytes)).filter(|bytes| bytes.first() != Some(&BINARY));
            bytes.filter(fits).map(Parsed::Text).ok_or_else(wrong)
        }
        "bin" => unhex(value).filter(fits).map(Parsed::Binary).ok_or_else(wrong),
        // One number, one spelling: no sign, no leading zero.
        "query" => {
            let number = value.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == value);
            number.map(Parsed::Query).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

/// A comment as it is compared: what is typed as two characters is the one they compose, blanks around are nothing.
fn composed(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.nfc().collect::<String>().trim().as_bytes().to_vec(),
        Err(_) => bytes.to_vec(),
    }
}

/// What a message or a jetton transfer says beside its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Nothing,
    Reference(Reference),
    /// Something for a contract, by its operation; and the reference that keeps it apart.
    Operation(u32, Reference),
}

/// Reads a payload: the body of a message, or what a jetton transfer carries on.
#[must_use]
pub fn of_payload(payload: CellSlice<'_>) -> Said {
    if payload.is_empty() {
        return Said::Nothing;
    }
    let mut rest = payload;
    match rest.load_u32() {
        Ok(COMMENT) => match cell::snake(rest) {
            Ok(bytes) => of_comment(&bytes),
            Err(cell::Odd) => Said::Reference(apart("odd", &payload)),
        },
        Ok(ENCRYPTED) => Said::Reference(apart("encrypted", &payload)),
        Ok(operation) => Said::Operation(operation, apart("odd", &payload)),
        Err(_) => Said::Reference(apart("odd", &payload)),
    }
}

fn of_comment(bytes: &[u8]) -> Said {
    let parsed = match bytes.split_first() {
        Some((&BINARY, [])) => return Said::Nothing,
        Some((&BINARY, number)) => Parsed::Binary(number.to_vec()),
        _ => Parsed::Text(composed(bytes)),
    };
    let (Parsed::Text(said) | Parsed::Binary(said)) = &parsed else { return Said::Nothing };
    match said.len() {
        // Some wallets send it where their user wrote nothing.
        0 => Said::Nothing,
        1..=TEXT_MAX => Said::Reference(parsed.spell()),
        _ => Said::Reference(Reference::new(format!("odd:{}", hex(&Sha256::digest(bytes))))),
    }
}

/// The reference of a jetton transfer: what it carries, and where that is nothing, its number.
#[must_use]
pub fn of_jetton(payload: Said, query: u64) -> Option<Reference> {
    match payload {
        Said::Reference(reference) | Said::Operation(_, reference) => Some(reference),
        Said::Nothing => (query > 0).then(|| Parsed::Query(query).spell()),
    }
}

/// A payload that cannot even be told apart by its bits, because they are not there: by what holds it.
#[must_use]
pub fn unreadable(holder: Hash) -> Reference {
    Reference::new(format!("odd:{}", hex(&holder.0)))
}

fn apart(kind: &str, payload: &CellSlice<'_>) -> Reference {
    let hash = cell::hash_of_rest(payload).unwrap_or_else(|| Hash(payload.cell().repr_hash().0));
    Reference::new(format!("{kind}:{}", hex(&hash.0)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_given_it_becomes_its_one_spelling() {
        for (given, spelled) in [
            ("text:order 17", "text:order 17"),
            ("text:  order 17 ", "text:order 17"),
            ("text:a:b", "text:a:b"),
            ("text:Cafe\u{301}", "text:Caf\u{e9}"),
            ("text:two\nlines", "text-hex:74776f0a6c696e6573"),
            ("text-hex:6f6b", "text:ok"),
            ("text-hex:FE", "text-hex:fe"),
            ("bin:ABcd", "bin:abcd"),
            ("query:1", "query:1"),
            ("query:18446744073709551615", "query:18446744073709551615"),
        ] {
            let reference = parse(given).unwrap().spell();
            assert_eq!(reference.as_str(), spelled);
            assert_eq!(parse(reference.as_str()).unwrap().spell(), reference);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let (fits, long) = (format!("text:{}", "x".repeat(TEXT_MAX)), format!("text:{}", "x".repeat(TEXT_MAX + 1)));
        assert!(parse(&fits).is_ok());
        for given in [
            "",
            "17",
            "text:",
            "text: \n",
            &long,
            "text-hex:abc",
            "text-hex:",
            "text-hex:ff01",
            "bin:",
            "bin:xy",
            "query:",
            "query:0",
            "query:07",
            "query:+7",
            "query:18446744073709551616",
            "odd:00",
            "encrypted:00",
            "id:7",
        ] {
            assert!(parse(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn a_number_counts_only_where_nothing_is_said() {
        let said = Reference::new("text:a");
        assert_eq!(of_jetton(Said::Reference(said.clone()), 7), Some(said.clone()));
        assert_eq!(of_jetton(Said::Operation(1, said.clone()), 7), Some(said));
        assert_eq!(of_jetton(Said::Nothing, 7), Some(Reference::new("query:7")));
        assert_eq!(of_jetton(Said::Nothing, 0), None);
    }
}
