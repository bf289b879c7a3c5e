//! What tells payments to one address apart, in one spelling each.
//!
//! A wallet writes the number it was given as a memo or into a muxed address, and does not tell which; so
//! both are `id:4242`. Every other memo keeps its kind. Bytes are compared, never trimmed or lowercased. A
//! payment with a number in its address and another memo beside it says two things: it gets a spelling no
//! intent can have, so that a person looks at it. See `docs/decisions/0031-one-number-two-places.md`.

use std::fmt::Write as _;

use amn_core::block::{Hash as CoreHash, Reference};
use sha2::{Digest, Sha256};
use stellar_xdr::{Hash, Memo, ScVal};

/// A memo's text is at most this long on chain.
const TEXT_MAX: usize = 28;

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reference is id:<number>, text:<up to 28 bytes>, text-hex:<their hexadecimal digits>, hash:<64 hexadecimal \
     digits> or return:<64 hexadecimal digits>; got {0:?}"
)]
pub struct ReferenceError(String);

/// A reference that a payer can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A memo of kind id, or the number of a muxed address.
    Id(u64),
    /// The bytes of a memo of kind text; they need not be UTF-8.
    Text(Vec<u8>),
    Hash([u8; 32]),
    Return([u8; 32]),
}

impl Parsed {
    /// The one spelling.
    #[must_use]
    pub fn spell(&self) -> Reference {
        Reference::new(match self {
            Self::Id(id) => format!("id:{id}"),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.chars().any(char::is_control) => format!("text:{text}"),
                _ => format!("text-hex:{}", hex(bytes)),
            },
            Self::Hash(bytes) => format!("hash:{}", hex(bytes)),
            Self::Return(bytes) => format!("return:{}", hex(bytes)),
        })
    }
}

/// Reads a reference as somebody gives it; what it spells is the one spelling.
pub fn parse(text: &str) -> Result<Parsed, ReferenceError> {
    let wrong = || ReferenceError(text.chars().take(100).collect());
    let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
    let hash = || value.parse::<CoreHash>().map(|hash| hash.0).map_err(|_| wrong());
    match kind {
        // One number, one spelling: no sign, no leading zero.
        "id" => value.parse().ok().filter(|id: &u64| id.to_string() == value).map(Parsed::Id).ok_or_else(wrong),
        "text" if value.len() <= TEXT_MAX && !value.is_empty() => Ok(Parsed::Text(value.as_bytes().to_vec())),
        "text-hex" => {
            bytes(value).filter(|bytes| (1..=TEXT_MAX).contains(&bytes.len())).map(Parsed::Text).ok_or_else(wrong)
        }
        "hash" => Ok(Parsed::Hash(hash()?)),
        "return" => Ok(Parsed::Return(hash()?)),
        _ => Err(wrong()),
    }
}

/// The number as a reference.
#[must_use]
pub fn of_id(id: u64) -> Reference {
    Parsed::Id(id).spell()
}

/// What a classic payment says: the memo of the transaction its payer signed, and the number of the
/// destination.
#[must_use]
pub fn of_payment(memo: &Memo, muxed: Option<u64>) -> Option<Reference> {
    let memo = match memo {
        Memo::None => None,
        // An empty text says nothing: some wallets send it where their user wrote no memo.
        Memo::Text(text) if text.as_slice().is_empty() => None,
        Memo::Text(text) => Some(Parsed::Text(text.as_slice().to_vec())),
        Memo::Id(id) => Some(Parsed::Id(*id)),
        Memo::Hash(Hash(hash)) => Some(Parsed::Hash(*hash)),
        Memo::Return(Hash(hash)) => Some(Parsed::Return(*hash)),
    };
    both(muxed, memo)
}

/// What a token's event says beside the amount, and the number of an address in its topics.
#[must_use]
pub fn of_event(said: Option<&ScVal>, muxed: Option<u64>) -> Option<Reference> {
    let said = match said {
        None | Some(ScVal::Void) => None,
        Some(ScVal::String(text)) if text.0.is_empty() => None,
        Some(ScVal::U64(id)) => Some(Parsed::Id(*id)),
        Some(ScVal::String(text)) if text.0.len() <= TEXT_MAX => Some(Parsed::Text(text.0.as_slice().to_vec())),
        Some(ScVal::Bytes(bytes)) if bytes.0.len() == 32 => {
            let mut hash = [0; 32];
            hash.copy_from_slice(bytes.0.as_slice());
            Some(Parsed::Hash(hash))
        }
        Some(odd) => return Some(unheard_of(odd)),
    };
    both(muxed, said)
}

fn both(muxed: Option<u64>, said: Option<Parsed>) -> Option<Reference> {
    match (muxed.map(Parsed::Id), said) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.spell()),
        (Some(number), Some(said)) if number == said => Some(number.spell()),
        (Some(number), Some(said)) => {
            Some(Reference::new(format!("{}{},{}", Reference::CONTRADICTION, number.spell(), said.spell())))
        }
    }
}

/// Something no intent can ask for: kept apart by its hash, never shortened into another's reference.
fn unheard_of(value: &ScVal) -> Reference {
    let bytes = stellar_xdr::WriteXdr::to_xdr(value, stellar_xdr::Limits::none()).unwrap_or_default();
    Reference::new(format!("odd:{}", hex(&Sha256::digest(bytes))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use stellar_xdr::{ScBytes, ScString};

    use super::*;

    fn text(bytes: &[u8]) -> Memo {
        Memo::Text(bytes.to_vec().try_into().unwrap())
    }

    fn spelled(memo: &Memo, muxed: Option<u64>) -> String {
        of_payment(memo, muxed).map_or_else(|| "none".to_owned(), |reference| reference.to_string())
    }

    #[test]
    fn a_number_is_one_reference_wherever_the_wallet_wrote_it() {
        assert_eq!(spelled(&Memo::None, None), "none");
        for (memo, muxed) in [(Memo::Id(42), None), (Memo::None, Some(42)), (Memo::Id(42), Some(42))] {
            assert_eq!(spelled(&memo, muxed), "id:42");
        }
        assert_eq!(spelled(&text(b"42"), None), "text:42", "a text is no number");
    }

    #[test]
    fn a_payment_that_says_two_things_has_a_reference_no_intent_can_have() {
        for memo in [Memo::Id(43), text(b"42"), Memo::Hash(Hash([1; 32])), text(b"thanks")] {
            let reference = spelled(&memo, Some(42));
            assert!(reference.starts_with("both:id:42,"), "{reference}");
            assert!(parse(&reference).is_err());
        }
    }

    #[test]
    fn bytes_are_kept_as_they_are() {
        assert_eq!(spelled(&text(b" Inv 17 "), None), "text: Inv 17 ");
        assert_eq!(spelled(&text(b""), None), "none");
        assert_eq!(spelled(&text(b"a\0b"), None), "text-hex:610062");
        assert_eq!(spelled(&text(&[0xff, 0xfe]), None), "text-hex:fffe");
        assert_eq!(spelled(&Memo::Hash(Hash([0xab; 32])), None), format!("hash:{}", "ab".repeat(32)));
        assert_eq!(spelled(&Memo::Return(Hash([0xab; 32])), None), format!("return:{}", "ab".repeat(32)));
    }

    #[test]
    fn however_it_is_given_it_becomes_its_one_spelling() {
        let upper = format!("hash:{}", "AB".repeat(32));
        for (given, spelled) in [
            ("id:0", "id:0"),
            ("id:18446744073709551615", "id:18446744073709551615"),
            ("text:order:17", "text:order:17"),
            ("text-hex:6f6b", "text:ok"),
            ("text-hex:FF", "text-hex:ff"),
            (upper.as_str(), &format!("hash:{}", "ab".repeat(32))),
        ] {
            let reference = parse(given).unwrap().spell();
            assert_eq!(reference.as_str(), spelled);
            assert_eq!(parse(reference.as_str()).unwrap().spell(), reference);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("text:{}", "x".repeat(29));
        for given in [
            "",
            "42",
            "id:",
            "id:042",
            "id:+1",
            "id:18446744073709551616",
            "text:",
            &long,
            "hash:ab",
            "odd:00",
            "text-hex:abc",
        ] {
            assert!(parse(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn an_event_says_a_number_a_text_or_a_hash() {
        let say = |value: ScVal| of_event(Some(&value), None).map(|reference| reference.to_string());
        assert_eq!(say(ScVal::U64(7)).unwrap(), "id:7");
        assert_eq!(say(ScVal::Void), None);
        let string = |bytes: &[u8]| ScVal::String(ScString(bytes.to_vec().try_into().unwrap()));
        assert_eq!(say(string(b"inv42")).unwrap(), "text:inv42");
        assert_eq!(
            say(ScVal::Bytes(ScBytes(vec![1; 32].try_into().unwrap()))).unwrap(),
            format!("hash:{}", "01".repeat(32))
        );
        let long = say(string(&[b'x'; 29])).unwrap();
        assert!(long.starts_with("odd:") && parse(&long).is_err());
        assert_ne!(long, say(string(&[b'y'; 29])).unwrap());
        assert_eq!(of_event(Some(&ScVal::U64(7)), Some(8)).unwrap().as_str(), "both:id:8,id:7");
    }
}
