//! Reads which contracts are listened to, for whom. Whether a network has such contracts is its family's to say.

use amn_core::block::{Height, NetworkId};
use amn_core::contract::SEGMENTS_MAX;

use super::ContractWatch;
use super::reader::Section;
use super::sections::{is_name, missing};

/// A person writes each of them; more come from a program that should ask its own database.
const WATCHES_MAX: usize = 100;

/// Kinds of events of one contract: the largest escrow we know has 36, and one pattern takes in many.
const PATTERNS_MAX: usize = 50;

/// The longest value a pattern may name is 256 bytes in hexadecimal digits, with its type before it.
const SEGMENT_BYTES_MAX: usize = 560;

pub(super) fn watching(mut section: Section<'_>, file: &str) -> Vec<ContractWatch> {
    let contracts = section.tables("contract");
    if contracts.len() > WATCHES_MAX {
        let place = section.place_of("contract");
        let allowed = format!("at most {WATCHES_MAX} [[watch.contract]]");
        section.wrong(&place, "contract", &allowed, &contracts.len().to_string());
    }
    let watches = contracts.into_iter().filter_map(|section| contract(section, file)).collect();
    section.finish();
    watches
}

fn contract(mut section: Section<'_>, file: &str) -> Option<ContractWatch> {
    let network = section.read("network", "a network of this file", |text| is_name(text).then(|| NetworkId::new(text)));
    let contract = section.read("contract", "a contract's address such as \"C…\"", |text| {
        ((1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())).then(|| text.to_owned())
    });
    let tenant = section.read("tenant", "1 to 64 letters, digits, dots, hyphens and underscores", |text| {
        is_tenant(text).then(|| text.to_owned())
    });
    let topics = section.lists("topics", "a segment of 1 to 560 bytes", |text| {
        (1..=SEGMENT_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
    });
    if let Some(topics) = &topics {
        let place = section.place_of("topics");
        if topics.is_empty() || topics.len() > PATTERNS_MAX {
            let allowed = format!("1 to {PATTERNS_MAX} patterns, each a list of segments");
            section.wrong(&place, "topics", &allowed, &topics.len().to_string());
        } else if let Some(long) = topics.iter().find(|segments| segments.len() > SEGMENTS_MAX) {
            let allowed = format!("patterns of at most {SEGMENTS_MAX} segments");
            section.wrong(&place, "topics", &allowed, &long.len().to_string());
        }
    }
    // A ledger or block number; one of u64::MAX would never come.
    let since = section.whole("since", 1..=u64::from(u32::MAX)).map(Height);
    let absent = [("network", network.is_none()), ("contract", contract.is_none()), ("tenant", tenant.is_none())];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    Some(ContractWatch { network: network?, contract: contract?, tenant: tenant?, topics, since, place })
}

/// As the database has it.
fn is_tenant(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
