//! Values of contracts: in JSON, as receivers see them, and in the one spelling that topic patterns name.
//!
//! JSON loses types that a contract's own interface tells: a symbol and a text are both a JSON string. Nothing else
//! is lost, nothing is rounded, and what cannot be shown within bounds is refused, never cut. See
//! `docs/decisions/0036-what-contracts-say.md`.

use std::collections::BTreeSet;

use amn_core::contract::{PatternError, Topic, TopicPattern};
use serde_json::{Map, Value};
use stellar_strkey::Strkey;
use stellar_xdr::{ScAddress, ScError, ScMap, ScVal, ScVec};

/// How deep lists and maps may nest. Contracts nest two or three; parsers of receivers give up at 64 or 128.
pub const DEPTH_MAX: usize = 32;

/// Bytes of one event's topics and data in JSON. The network lets a transaction emit 16 KiB, most of which doubles at
/// worst; a receiver takes bodies of 128 KiB.
pub const JSON_BYTES_MAX: usize = 64 << 10;

/// Letters, digits and `_`, as the network has it.
const SYMBOL_MAX: usize = 32;

/// A text or bytes in a pattern: what is longer is told apart by a part of it, and no pattern names parts.
const LITERAL_BYTES_MAX: usize = 256;

/// Why a value is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("it takes more than {JSON_BYTES_MAX} bytes in JSON")]
    TooLarge,
    /// A contract keeps such values and does not emit them.
    #[error("it holds a value that no event can hold")]
    NotOfEvents,
}

/// The topics of an event, as they are shown and matched.
pub fn topics(topics: &[ScVal]) -> Result<Vec<Topic>, Unreadable> {
    let mut room = JSON_BYTES_MAX;
    let mut read = |topic| Ok(Topic { spelled: spell(topic).map(Into::into), shown: show(topic, 0, &mut room)? });
    topics.iter().map(&mut read).collect()
}

/// The data of an event with these topics, as it is shown.
pub fn data(topics: &[Topic], data: &ScVal) -> Result<Value, Unreadable> {
    let data = show(data, 0, &mut { JSON_BYTES_MAX })?;
    // What a text takes once it is escaped is known only when it is written.
    let written = |value: &Value| value.to_string().len();
    let whole = topics.iter().map(|topic| written(&topic.shown)).sum::<usize>() + written(&data);
    if whole > JSON_BYTES_MAX { Err(Unreadable::TooLarge) } else { Ok(data) }
}

/// A value in JSON. `room`: bytes that are left, so that no list is built that could not be shown.
fn show(value: &ScVal, depth: usize, room: &mut usize) -> Result<Value, Unreadable> {
    if depth > DEPTH_MAX {
        return Err(Unreadable::TooDeep);
    }
    let shown = match value {
        ScVal::Bool(flag) => Value::Bool(*flag),
        ScVal::Void | ScVal::Vec(None) | ScVal::Map(None) => Value::Null,
        ScVal::U32(number) => Value::from(*number),
        ScVal::I32(number) => Value::from(*number),
        ScVal::Bytes(bytes) => Value::from(hex(bytes.0.as_slice())),
        ScVal::String(text) => text_of(text.0.as_slice()),
        ScVal::Symbol(name) => text_of(name.0.as_slice()),
        ScVal::Error(error) => error_of(error),
        ScVal::Vec(Some(ScVec(items))) => {
            let items = items.iter().map(|item| show(item, depth + 1, room)).collect::<Result<_, _>>()?;
            Value::Array(items)
        }
        ScVal::Map(Some(map)) => map_of(map, depth, room)?,
        number => match spell(number) {
            // 64 bits and more: as text, because a JSON number of a receiver may be a float.
            Some(spelled) => Value::from(spelled.split_once(':').map_or("", |(_, value)| value)),
            None => return Err(Unreadable::NotOfEvents),
        },
    };
    let takes = match &shown {
        Value::String(text) => text.len() + 3,
        _ => 5,
    };
    *room = room.checked_sub(takes).ok_or(Unreadable::TooLarge)?;
    Ok(shown)
}

/// An object where every key is a text and none is there twice, which is what contracts write; else a list of pairs.
fn map_of(ScMap(entries): &ScMap, depth: usize, room: &mut usize) -> Result<Value, Unreadable> {
    let keys: Option<Vec<&str>> = entries.iter().map(|entry| key_of(&entry.key)).collect();
    let distinct = |keys: &Vec<&str>| keys.iter().collect::<BTreeSet<_>>().len() == keys.len();
    let Some(keys) = keys.filter(distinct) else { return pairs_of(entries, depth, room) };
    let mut object = Map::new();
    for (key, entry) in keys.into_iter().zip(entries.iter()) {
        *room = room.checked_sub(key.len() + 4).ok_or(Unreadable::TooLarge)?;
        object.insert(key.to_owned(), show(&entry.val, depth + 1, room)?);
    }
    Ok(Value::Object(object))
}

fn key_of(key: &ScVal) -> Option<&str> {
    match key {
        ScVal::Symbol(name) => std::str::from_utf8(name.0.as_slice()).ok(),
        ScVal::String(text) => std::str::from_utf8(text.0.as_slice()).ok(),
        _ => None,
    }
}

fn pairs_of(entries: &[stellar_xdr::ScMapEntry], depth: usize, room: &mut usize) -> Result<Value, Unreadable> {
    let mut pairs = Vec::new();
    for entry in entries {
        let key = show(&entry.key, depth + 1, room)?;
        let value = show(&entry.val, depth + 1, room)?;
        *room = room.checked_sub(18).ok_or(Unreadable::TooLarge)?;
        pairs.push(Value::Object([("key".to_owned(), key), ("value".to_owned(), value)].into_iter().collect()));
    }
    Ok(Value::Array(pairs))
}

/// Bytes that are no UTF-8 are not made into other ones: they are shown as what they are.
fn text_of(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => one("hex", Value::from(hex(bytes))),
    }
}

fn error_of(error: &ScError) -> Value {
    let (kind, code) = match error {
        ScError::Contract(code) => ("contract", *code),
        ScError::WasmVm(code) => ("wasm_vm", number(*code)),
        ScError::Context(code) => ("context", number(*code)),
        ScError::Storage(code) => ("storage", number(*code)),
        ScError::Object(code) => ("object", number(*code)),
        ScError::Crypto(code) => ("crypto", number(*code)),
        ScError::Events(code) => ("events", number(*code)),
        ScError::Budget(code) => ("budget", number(*code)),
        ScError::Value(code) => ("value", number(*code)),
        ScError::Auth(code) => ("auth", number(*code)),
    };
    one("error", one(kind, Value::from(code)))
}

fn number(code: stellar_xdr::ScErrorCode) -> u32 {
    u32::try_from(i32::from(code)).unwrap_or_default()
}

fn one(key: &str, value: Value) -> Value {
    Value::Object([(key.to_owned(), value)].into_iter().collect())
}

/// The one spelling of a value with its type; `None` for lists, maps and what no event holds.
#[must_use]
pub fn spell(value: &ScVal) -> Option<String> {
    Some(match value {
        ScVal::Bool(flag) => format!("bool:{flag}"),
        ScVal::Void => "void".to_owned(),
        ScVal::U32(number) => format!("u32:{number}"),
        ScVal::I32(number) => format!("i32:{number}"),
        ScVal::U64(number) => format!("u64:{number}"),
        ScVal::I64(number) => format!("i64:{number}"),
        ScVal::Timepoint(time) => format!("timepoint:{}", time.0),
        ScVal::Duration(span) => format!("duration:{}", span.0),
        ScVal::U128(number) => format!("u128:{number}"),
        ScVal::I128(number) => format!("i128:{number}"),
        ScVal::U256(number) => format!("u256:{number}"),
        ScVal::I256(number) => format!("i256:{number}"),
        ScVal::Bytes(bytes) => format!("bytes:{}", hex(bytes.0.as_slice())),
        ScVal::String(text) => spell_text("string", text.0.as_slice()),
        ScVal::Symbol(name) => spell_text("symbol", name.0.as_slice()),
        ScVal::Address(address) => format!("address:{}", address_of(address)),
        ScVal::Error(_)
        | ScVal::Vec(_)
        | ScVal::Map(_)
        | ScVal::ContractInstance(_)
        | ScVal::LedgerKeyContractInstance
        | ScVal::LedgerKeyNonce(_)
        | ScVal::ExecutableTag(_) => return None,
    })
}

fn spell_text(kind: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{kind}:{text}"),
        _ => format!("{kind}-hex:{}", hex(bytes)),
    }
}

/// As it is, a number added to it included.
fn address_of(address: &ScAddress) -> String {
    address.to_string()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Reads a topic pattern as the configuration writes it.
pub fn pattern(texts: &[impl AsRef<str>]) -> Result<TopicPattern, PatternError> {
    TopicPattern::parse(texts, literal)
}

/// Reads a value as somebody gives it; answers its one spelling.
pub fn literal(text: &str) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("{:?} is not {what}", text.chars().take(80).collect::<String>()));
    if text == "void" {
        return Ok(text.to_owned());
    }
    let Some((kind, value)) = text.split_once(':') else { return wrong(SPELLINGS) };
    let right = match kind {
        "symbol" => value.len() <= SYMBOL_MAX && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
        "string" => value.len() <= LITERAL_BYTES_MAX && !value.chars().any(char::is_control),
        "bytes" => is_hex(value),
        // Only bytes that have no other spelling.
        "string-hex" => is_hex(value) && spell_text("string", &unhex(value)) == text,
        "bool" => matches!(value, "true" | "false"),
        "u32" => is_one::<u32>(value),
        "i32" => is_one::<i32>(value),
        "u64" | "timepoint" | "duration" => is_one::<u64>(value),
        "i64" => is_one::<i64>(value),
        "u128" => is_one::<u128>(value),
        "i128" => is_one::<i128>(value),
        "u256" => is_one::<stellar_xdr::UInt256Parts>(value),
        "i256" => is_one::<stellar_xdr::Int256Parts>(value),
        "address" => is_address(value),
        _ => return wrong(SPELLINGS),
    };
    if right { Ok(text.to_owned()) } else { wrong(&format!("a {kind} in its one spelling ({})", example(kind))) }
}

/// What a segment may be, in words.
const SPELLINGS: &str = "\"*\", a \"**\" at the end, or a value with its type, such as \"symbol:funded\", \"string:A-1001\", \
                         \"u32:7\", \"i128:-5\", \"address:C…\", \"bytes:00ff\", \"bool:true\" or \"void\"";

fn example(kind: &str) -> &'static str {
    match kind {
        "symbol" => "at most 32 letters, digits and _",
        "string" => "at most 256 bytes of printable text; string-hex: for others",
        "bytes" | "string-hex" => {
            "at most 256 bytes in lowercase hexadecimal digits; string-hex: only for what is no printable text"
        }
        "bool" => "true or false",
        "address" => "G…, C…, M…, W…, B… or L…",
        _ => "a whole number within its range, without + or leading zeros",
    }
}

/// Whether a number is written as it would be written again: no sign too many, no leading zero.
fn is_one<T: std::str::FromStr + ToString>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|number| number.to_string() == text)
}

fn is_hex(text: &str) -> bool {
    text.len() <= 2 * LITERAL_BYTES_MAX
        && text.len().is_multiple_of(2)
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn is_address(text: &str) -> bool {
    let known = matches!(
        Strkey::from_string(text),
        Ok(Strkey::PublicKeyEd25519(_)
            | Strkey::MuxedAccountEd25519(_)
            | Strkey::Contract(_)
            | Strkey::MuxedContract(_)
            | Strkey::ClaimableBalance(_)
            | Strkey::LiquidityPool(_))
    );
    known && text.parse::<ScAddress>().is_ok_and(|address| address_of(&address) == text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stellar_xdr::{Int128Parts, Int256Parts, ScBytes, ScMapEntry, ScString, ScSymbol, UInt128Parts, UInt256Parts};

    use super::*;
    use crate::address::{Party, Place, muxed};

    fn symbol(name: &str) -> ScVal {
        ScVal::Symbol(ScSymbol(name.try_into().unwrap()))
    }

    fn text(bytes: &[u8]) -> ScVal {
        ScVal::String(ScString(bytes.to_vec().try_into().unwrap()))
    }

    fn map(entries: Vec<(ScVal, ScVal)>) -> ScVal {
        let entries: Vec<_> = entries.into_iter().map(|(key, val)| ScMapEntry { key, val }).collect();
        ScVal::Map(Some(ScMap(entries.try_into().unwrap())))
    }

    fn list(items: Vec<ScVal>) -> ScVal {
        ScVal::Vec(Some(ScVec(items.try_into().unwrap())))
    }

    fn shown(value: &ScVal) -> Result<Value, Unreadable> {
        data(&[], value)
    }

    #[test]
    fn numbers_of_64_bits_and_more_are_texts_at_their_edges_too() {
        for (value, expected) in [
            (ScVal::U32(u32::MAX), json!(4_294_967_295_u32)),
            (ScVal::I32(i32::MIN), json!(-2_147_483_648_i32)),
            (ScVal::U64(u64::MAX), json!("18446744073709551615")),
            (ScVal::I64(i64::MIN), json!("-9223372036854775808")),
            (
                ScVal::U128(UInt128Parts { hi: u64::MAX, lo: u64::MAX }),
                json!("340282366920938463463374607431768211455"),
            ),
            (ScVal::I128(Int128Parts { hi: i64::MIN, lo: 0 }), json!("-170141183460469231731687303715884105728")),
            (ScVal::I128(Int128Parts { hi: -1, lo: u64::MAX }), json!("-1")),
            (
                ScVal::U256(UInt256Parts { hi_hi: u64::MAX, hi_lo: u64::MAX, lo_hi: u64::MAX, lo_lo: u64::MAX }),
                json!("115792089237316195423570985008687907853269984665640564039457584007913129639935"),
            ),
            (
                ScVal::I256(Int256Parts { hi_hi: -1, hi_lo: u64::MAX, lo_hi: u64::MAX, lo_lo: 0 }),
                json!("-18446744073709551616"),
            ),
            (ScVal::Timepoint(stellar_xdr::TimePoint(1_763_712_000)), json!("1763712000")),
            (ScVal::Duration(stellar_xdr::Duration(90)), json!("90")),
        ] {
            assert_eq!(shown(&value), Ok(expected), "{value:?}");
        }
    }

    #[test]
    fn texts_bytes_and_addresses_are_shown_as_people_write_them() {
        let place = Place::Contract([7; 32]);
        let with_number = Party { place, id: Some(4242) };
        for (value, expected) in [
            (ScVal::Bool(true), json!(true)),
            (ScVal::Void, json!(null)),
            (symbol("escrow_funded"), json!("escrow_funded")),
            (text("über\u{0}".as_bytes()), json!("über\u{0}")),
            (text(&[0xff, 0x00]), json!({"hex": "ff00"})),
            (ScVal::Bytes(ScBytes(vec![0xde, 0xad].try_into().unwrap())), json!("dead")),
            (crate::testkit::event::address(place), json!(place.spell())),
            (crate::testkit::event::muxed_address(with_number), json!(muxed(place, 4242))),
            (ScVal::Error(ScError::Contract(7)), json!({"error": {"contract": 7}})),
            (list(vec![ScVal::U32(1), list(vec![])]), json!([1, []])),
        ] {
            assert_eq!(shown(&value), Ok(expected), "{value:?}");
        }
    }

    #[test]
    fn a_map_is_an_object_with_sorted_keys_unless_that_would_lose_something() {
        let funded = map(vec![
            (symbol("funded_amount"), ScVal::U32(2)),
            (symbol("amount"), ScVal::I128(Int128Parts { hi: 0, lo: 5 })),
        ]);
        assert_eq!(shown(&funded).unwrap().to_string(), r#"{"amount":"5","funded_amount":2}"#);
        let numbered = map(vec![(ScVal::U32(1), symbol("a")), (ScVal::U32(2), symbol("b"))]);
        assert_eq!(shown(&numbered), Ok(json!([{"key": 1, "value": "a"}, {"key": 2, "value": "b"}])));
        let twice = map(vec![(symbol("a"), ScVal::U32(1)), (text(b"a"), ScVal::U32(2))]);
        assert_eq!(shown(&twice), Ok(json!([{"key": "a", "value": 1}, {"key": "a", "value": 2}])));
    }

    #[test]
    fn what_is_too_deep_too_large_or_of_no_event_is_refused_and_never_cut() {
        let nested = |levels: usize| (0..levels).fold(ScVal::Void, |inner, _| list(vec![inner]));
        assert!(shown(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(shown(&nested(DEPTH_MAX + 1)), Err(Unreadable::TooDeep));
        let odd = |levels: usize| (0..levels).fold(ScVal::Void, |inner, _| map(vec![(ScVal::Void, inner)]));
        assert!(shown(&odd(DEPTH_MAX)).is_ok(), "pairs are built once, however deep");
        // 12 KiB of a character that JSON writes with six.
        assert_eq!(shown(&text(&[1; 12 << 10])), Err(Unreadable::TooLarge));
        assert!(shown(&text(&[b'a'; 12 << 10])).is_ok());
        assert_eq!(shown(&list(vec![ScVal::Void; 14_000])), Err(Unreadable::TooLarge));
        assert_eq!(shown(&list(vec![ScVal::LedgerKeyContractInstance])), Err(Unreadable::NotOfEvents));
        let long = topics(&[text(&vec![b'a'; 60 << 10])]).unwrap();
        assert_eq!(data(&long, &text(&[b'a'; 6 << 10])), Err(Unreadable::TooLarge), "together");
    }

    #[test]
    fn whatever_has_a_spelling_is_named_by_it_in_a_pattern() {
        let place = Place::Account([7; 32]);
        for value in [
            symbol("escrow_funded"),
            symbol(""),
            text(b"A-1001: paid"),
            text(b"*"),
            text(&[0xff, 0x00]),
            text(b"two\nlines"),
            ScVal::Bytes(ScBytes(vec![0, 255].try_into().unwrap())),
            ScVal::Bool(false),
            ScVal::Void,
            ScVal::U32(0),
            ScVal::I32(-5),
            ScVal::U64(u64::MAX),
            ScVal::I64(-1),
            ScVal::U128(UInt128Parts { hi: 1, lo: 0 }),
            ScVal::I128(Int128Parts { hi: -1, lo: 0 }),
            ScVal::U256(UInt256Parts { hi_hi: 1, hi_lo: 0, lo_hi: 0, lo_lo: 0 }),
            ScVal::I256(Int256Parts { hi_hi: -1, hi_lo: 0, lo_hi: 0, lo_lo: 0 }),
            ScVal::Timepoint(stellar_xdr::TimePoint(5)),
            ScVal::Duration(stellar_xdr::Duration(5)),
            crate::testkit::event::address(place),
            crate::testkit::event::muxed_address(Party { place, id: Some(1) }),
        ] {
            let spelled = spell(&value).unwrap();
            assert_eq!(literal(&spelled), Ok(spelled.clone()));
            let read = topics(std::slice::from_ref(&value)).unwrap();
            assert!(pattern(&[&spelled]).unwrap().matches(&read), "{spelled}");
            let other = topics(&[symbol("other")]).unwrap();
            assert!(!pattern(&[&spelled]).unwrap().matches(&other), "{spelled}");
        }
        assert_eq!(spell(&list(vec![])), None);
    }

    #[test]
    fn a_value_in_another_spelling_than_its_one_is_refused() {
        let account = Place::Account([7; 32]).spell();
        for wrong in [
            "escrow_funded".to_owned(),
            String::new(),
            "Symbol:a".to_owned(),
            "symbol:not a symbol".to_owned(),
            format!("symbol:{}", "a".repeat(33)),
            "string:two\nlines".to_owned(),
            "string-hex:6162".to_owned(),
            "bytes:0xff".to_owned(),
            "bytes:FF".to_owned(),
            "bytes:f".to_owned(),
            "u32:-1".to_owned(),
            "u32:4294967296".to_owned(),
            "u64:007".to_owned(),
            "i128:+5".to_owned(),
            "bool:yes".to_owned(),
            "address:nobody".to_owned(),
            format!("address:{}", account.as_str().to_lowercase()),
            "void:".to_owned(),
        ] {
            assert!(literal(&wrong).is_err(), "{wrong:?}");
        }
        assert!(literal("escrow_funded").unwrap_err().contains("symbol:funded"), "an error shows the way");
    }
}
