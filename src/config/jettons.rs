//! Reads which jettons of TON are credited beyond those of a network's file: a master, and what its wallets are made of.

use amn_core::money::Amount;
use amn_ton::jetton::Layout;

use super::Jetton;
use super::reader::Section;
use super::sections::{address, missing, symbol};

/// The standard wallet's code is 1.5 KB as base64; ten times that is a file by mistake.
const CODE_CHARACTERS_MAX: usize = 16_384;

pub(super) fn jetton(mut section: Section<'_>, file: &str) -> Option<Jetton> {
    let symbol = symbol(&mut section);
    let master = address(&mut section, "master");
    // 10^38 is all that 128 bits hold.
    let decimals = section.whole("decimals", 0..=38).and_then(|decimals| u8::try_from(decimals).ok());
    let layout = section.word("layout", &[("standard", Layout::Standard), ("governed", Layout::Governed)]);
    let wallet_library = section.read(
        "wallet_library",
        "the hash of the wallets' code in the masterchain's library: 64 hexadecimal digits",
        |text| {
            let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| text.to_owned())
        },
    );
    let wallet_code = section.read("wallet_code", "the wallets' code: a bag of cells in base64", |text| {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
        ((1..=CODE_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(base64)).then(|| text.to_owned())
    });
    let example_owner = address(&mut section, "example_owner");
    let example_wallet = address(&mut section, "example_wallet");
    let min_amount = section.amount("min_amount").unwrap_or(Amount::ZERO);
    let absent = [
        ("symbol", symbol.is_none()),
        ("master", master.is_none()),
        ("decimals", decimals.is_none()),
        ("layout", layout.is_none()),
    ];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    Some(Jetton {
        symbol: symbol?,
        master: master?,
        decimals: decimals?,
        layout: layout?,
        wallet_library,
        wallet_code,
        example_owner,
        example_wallet,
        min_amount,
        place,
    })
}
