//! The lasting things of an invented network: assets, policies, addresses and the intents that wait there.

use std::collections::BTreeMap;
use std::sync::Arc;

use amn_core::block::{Address, AssetId, Height, Inclusion, NetworkId, Operator, Reference};
use amn_core::confirmation::{Policy, Require, Tag, Tier};
use amn_core::contract::{ContractWatch, Listener, TopicPattern};
use amn_core::id::IntentId;
use amn_core::intent::{Intent, Progress, Terms};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use amn_core::source::WatchVersion;
use amn_core::timestamp::Timestamp;

/// Chain time of the first block, in seconds.
pub const GENESIS: i64 = 1_790_000_000;

pub const USDC: &str = "eip155:31337/erc20:0xUSDC";
pub const OTHER: &str = "eip155:31337/erc20:0xOTHER";
pub const FAKE: &str = "eip155:31337/erc20:0xFAKE";

pub fn seconds(after_genesis: i64) -> Timestamp {
    Timestamp::from_seconds(GENESIS + after_genesis)
}

pub fn operators(mask: u8) -> std::collections::BTreeSet<Operator> {
    ["ann", "bob", "cem"]
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask & (1 << bit) != 0)
        .map(|(_, name)| Operator::new(name))
        .collect()
}

pub fn network(name: &str, instant_finality: bool) -> Arc<Facts> {
    let asset = |id: &str, min: u128| Asset {
        id: AssetId::new(id),
        symbol: id.rsplit("0x").next().unwrap_or_default().to_owned(),
        decimals: 6,
        min_amount: Amount::new(min),
        native: false,
    };
    Arc::new(Facts {
        id: NetworkId::new(name),
        chain: "eip155:31337".into(),
        assets: vec![asset(USDC, 2), asset(OTHER, 0)],
        policy: Policy::default(),
        block_time_ms: 12_000,
        rewind_operators: 2,
        instant_finality,
        vouched_singly: false,
    })
}

/// The policies a history may be decided under.
pub fn policy(which: usize) -> Policy {
    let plain = |require| Policy { require, tiers: Vec::new() };
    let none = Require::default();
    match which % 8 {
        0 => plain(none),
        1 => plain(Require { confirmations: Some(3), ..none }),
        2 => plain(Require { confirmations: Some(6), operators: Some(2), ..none }),
        3 => plain(Require { tag: Some(Tag::Safe), ..none }),
        4 => plain(Require { tag: Some(Tag::Finalized), operators: Some(2), ..none }),
        5 => plain(Require { seconds: Some(120), inclusion: Some(Inclusion::Proven), ..none }),
        6 => Policy {
            require: Require { confirmations: Some(2), ..none },
            tiers: vec![Tier {
                asset: Some(AssetId::new(USDC)),
                at_least: Amount::new(150),
                require: Require { confirmations: Some(10), ..none },
            }],
        },
        _ => plain(Require { operators: Some(2), inclusion: Some(Inclusion::Proven), ..none }),
    }
}

/// What a test says of an intent; the rest is plain.
#[derive(Clone)]
pub struct Ask {
    pub address: &'static str,
    pub reference: Option<&'static str>,
    pub asset: &'static str,
    pub due: u128,
    pub tolerance: u128,
    pub expires: Option<i64>,
    pub require: Require,
}

pub const PLAIN: Ask = Ask {
    address: "A0",
    reference: None,
    asset: USDC,
    due: 100,
    tolerance: 0,
    expires: None,
    require: Require {
        attestations: None,
        confirmations: None,
        inclusion: None,
        operators: None,
        seconds: None,
        tag: None,
    },
};

/// The intents every history begins with.
pub fn asks() -> Vec<Ask> {
    vec![
        PLAIN,
        Ask { address: "A1", tolerance: 5, expires: Some(600), ..PLAIN },
        Ask { address: "S", reference: Some("a"), due: 60, expires: Some(900), ..PLAIN },
        Ask { address: "S", reference: Some("b"), due: 60, ..PLAIN },
        Ask { address: "A4", due: 1_000, expires: Some(1_500), ..PLAIN },
        Ask {
            address: "A5",
            asset: OTHER,
            expires: Some(1_200),
            require: Require { confirmations: Some(8), ..PLAIN.require },
            ..PLAIN
        },
    ]
}

/// Who listens to which contract: one hears all that one says, two hear one thing of the other, one of them only from
/// the height `late` on. Nobody listens to the third.
pub fn listeners(late: u64) -> BTreeMap<Address, Vec<Listener>> {
    let pattern = |texts: &[&str]| TopicPattern::parse(texts, |text| Ok(text.to_owned())).expect("a pattern");
    let listener = |watch, tenant: &str, patterns, since| Listener {
        watch: ContractWatch(watch),
        tenant: tenant.to_owned(),
        patterns,
        since: Height(since),
    };
    let funded = || vec![pattern(&["symbol:funded"])];
    let twice = vec![pattern(&["*"]), pattern(&["symbol:funded"])];
    BTreeMap::from([
        (Address::new("K0"), vec![listener(1, "seller-0", vec![TopicPattern::everything()], 0)]),
        (
            Address::new("K1"),
            vec![
                listener(2, "seller-0", funded(), 0),
                listener(3, "seller-1", twice, late),
                // A second wish of one tenant makes no second telling.
                listener(4, "seller-0", vec![pattern(&["symbol:funded", "**"])], 0),
            ],
        ),
    ])
}

/// Where payments may go: the intents' addresses, two that come to be watched later, and one of nobody's.
pub const ADDRESSES: [&str; 8] = ["A0", "A1", "S", "A4", "A5", "N6", "N7", "nobody"];

pub fn intent(network: &str, number: u128, ask: &Ask, watch: WatchVersion) -> Intent {
    let salt = network.bytes().fold(0_u128, |sum, byte| sum << 8 | u128::from(byte));
    Intent {
        id: IntentId(salt << 32 | number),
        terms: Terms {
            tenant: format!("seller-{}", number % 2),
            asset: AssetId::new(ask.asset),
            address: Address::new(ask.address),
            reference: ask.reference.map(Reference::new),
            due: Amount::new(ask.due),
            tolerance: Amount::new(ask.tolerance),
            expires_at: ask.expires.map(seconds),
            require: ask.require,
            metadata: BTreeMap::new(),
        },
        progress: Progress::default(),
        watch,
        backfill: None,
    }
}
