//! What holds for all three APIs: forms of numbers and names, and that no answer whatever breaks its reader.

use std::path::PathBuf;
use std::sync::LazyLock;

use amn_core::block::{Hash, Height};
use proptest::prelude::*;

use super::wire::{HexShard, Number, WireAccount, WireHash, bag_of_base64, bag_of_hex, hex_of, read};
use super::*;

/// A file of real data; `None`, and the reason is printed, where it is not on this machine.
pub(super) fn real(file: &str) -> Option<String> {
    let folder = std::env::var_os("AMN_REAL_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/real")), PathBuf::from);
    match std::fs::read_to_string(folder.join("ton").join(file)) {
        Ok(text) => Some(text),
        Err(error) => {
            println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
            None
        }
    }
}

#[test]
fn a_number_may_be_a_text_and_a_hash_is_written_in_two_alphabets() {
    let numbers: Vec<Number> = read(br#"[7, "7", -1, "-9223372036854775808"]"#).unwrap();
    assert_eq!(numbers, [Number(7), Number(7), Number(-1), Number(i64::MIN)]);
    for wrong in ["9223372036854775808", r#""""#, r#""7x""#, "1.5", "null", "[]"] {
        assert!(matches!(read::<Number>(wrong.as_bytes()), Err(Trouble::Failed(_))), "{wrong}");
    }
    let hash = Hash([0xfb; 32]);
    let standard = wire::base64_of(&hash);
    for text in [
        standard.clone(),
        standard.replace('+', "-").replace('/', "_"),
        hex_of(&hash.0),
        hex_of(&hash.0).to_uppercase(),
    ] {
        assert_eq!(read::<WireHash>(format!("{text:?}").as_bytes()), Ok(WireHash(hash)), "{text}");
    }
    for wrong in ["", "AAAA", "zz", &hex_of(&hash.0)[1..], &"é".repeat(22)] {
        assert!(read::<WireHash>(format!("{wrong:?}").as_bytes()).is_err(), "{wrong}");
    }
    assert_eq!(read::<HexShard>(br#""8000000000000000""#), Ok(HexShard(1 << 63)));
    assert!(read::<HexShard>(br#""80000000000000000""#).is_err());
}

#[test]
fn an_account_is_read_in_every_form_and_refused_in_a_workchain_that_is_none() {
    let account = Account::new(0, [0x3c; 32]);
    let realm = crate::address::Realm::Testnet;
    for form in [
        account.to_string(),
        account.to_string().to_uppercase(),
        account.spell(realm).to_string(),
        account.bounceable(crate::address::Realm::Mainnet),
    ] {
        assert_eq!(read::<WireAccount>(format!("{form:?}").as_bytes()), Ok(WireAccount(account)), "{form}");
    }
    assert!(read::<WireAccount>(format!("\"7:{}\"", hex_of(&account.id)).as_bytes()).is_err());
}

#[test]
fn cells_are_bounded_before_they_are_read() {
    assert_eq!(bag_of_hex("00ff").unwrap().as_ref(), [0, 255]);
    assert_eq!(bag_of_base64("AP8=").unwrap().as_ref(), [0, 255]);
    for wrong in ["0", "0g", "é"] {
        assert!(matches!(bag_of_hex(wrong), Err(Trouble::Failed(_))), "{wrong}");
    }
    assert!(matches!(bag_of_base64("A"), Err(Trouble::Failed(_))));
    let much = "0".repeat(crate::cell::BYTES_MAX * 2 + 2);
    assert!(matches!(bag_of_hex(&much), Err(Trouble::Undecodable(_))));
    assert!(matches!(bag_of_base64(&much), Err(Trouble::Undecodable(_))));
}

#[test]
fn no_block_beyond_the_last_number_is_asked_for() {
    assert_eq!(seqno(Height(7)), Ok("7".to_owned()));
    assert!(matches!(seqno(Height(1 << 32)), Err(Trouble::NotYet(_))));
    for wrong in [-1, 1 << 32] {
        assert!(matches!(height(Number(wrong)), Err(Trouble::Failed(_))), "{wrong}");
    }
}

/// One whole answer of each shape.
static SHAPES: LazyLock<Vec<String>> =
    LazyLock::new(|| [v2::tests::shapes(), v3::tests::shapes(), tonapi::tests::shapes()].concat());

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever becomes of an answer on its way, reading it ends in facts or in a named trouble.
    #[test]
    fn a_mutated_answer_never_panics(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5_u8), 1..8),
    ) {
        let mut body = which.get(&SHAPES).clone().into_bytes();
        for (place, byte, edit) in edits {
            let at = place.index(body.len().max(1)).min(body.len());
            match edit {
                0 => body.truncate(at),
                1 => body.insert(at, byte),
                2 => body.splice(at..at, br#"[{"\\u"#.iter().copied()).for_each(drop),
                3 => body.splice(at..at, b"9223372036854775808".iter().copied()).for_each(drop),
                _ => if let Some(old) = body.get_mut(at) { *old = byte },
            }
        }
        v2::tests::read_all(&body);
        v3::tests::read_all(&body);
        tonapi::tests::read_all(&body);
    }
}
