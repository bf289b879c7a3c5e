//! A recorded scenario's own file, `scenario.toml`: which network was watched, what was expected of it and what was
//! asked meanwhile. Its `[networks.…]` table reads as the configuration's, with one difference: endpoints have no URL
//! once they are recorded.
//!
//! Read on in `replay`, where it is played.

mod written;

use std::collections::{BTreeMap, BTreeSet};

use amn_core::block::{BlockHash, Height, NetworkId};
use amn_core::confirmation::{Policy, Require};
use amn_core::id::{DepositId, IntentId};
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;

use super::problem::{Place, Problem};
use super::reader::{Notes, Section};
use super::sections::{self, missing};
use super::tree::{self, Entry, Node, Value};
use super::watching::watching;
use super::{ConfigErrors, ContractWatch, Environment, Network};

/// The version of this file. A reader refuses others.
pub const FORMAT: u64 = 1;

/// A scenario is a story; whoever needs more has recorded a day, and 10,000 are a busy one.
const ENTRIES_MAX: usize = 10_000;

/// A day of virtual time in milliseconds, ten times over.
const AT_MAX: u64 = 10 * 86_400_000;

/// The longest that a family has: 256 bytes of a comment on TON, as hexadecimal digits.
const REFERENCE_MAX: usize = 600;

/// Stands for the URL that a recorded endpoint does not tell. Nothing answers there, ever.
pub(crate) const NOWHERE: &str = "http://recorded.invalid";

/// A scenario as its file tells it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What happens in it, in one sentence.
    pub title: String,
    /// How it was recorded.
    pub recorded: String,
    /// What every id in it grows from.
    pub seed: u64,
    /// The time at its beginning; all `at_ms` count from here.
    pub begins: Timestamp,
    pub network: NetworkId,
    pub settings: Network,
    /// Who listens to which contracts of it.
    pub listening: Vec<ContractWatch>,
    pub intents: Vec<Asked>,
    pub timeline: Vec<Step>,
}

/// An intent that the backend creates.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at_ms: u64,
    /// What this file calls it.
    pub name: String,
    /// The id it had when it was recorded; absent: it grows from the seed.
    pub id: Option<IntentId>,
    pub tenant: String,
    /// An asset's id, or a symbol of the network.
    pub asset: String,
    pub due: Amount,
    pub tolerance: Amount,
    pub address: String,
    pub reference: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub require: Require,
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub since_height: Option<Height>,
    pub allow_reuse: bool,
    /// Where it stands, for problems found later.
    pub place: String,
}

/// Something a person or the backend does.
#[derive(Debug, Clone)]
pub struct Step {
    pub at_ms: u64,
    pub act: Act,
    pub place: String,
}

/// Intents are named as this file names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Cancel {
        intent: String,
    },
    Accept {
        intent: String,
    },
    Assign {
        deposit: DepositId,
        intent: String,
    },
    Unassign {
        deposit: DepositId,
    },
    Resume {
        accept_fork: Option<BlockHash>,
    },
    /// `None`: back to the network's own.
    Thresholds(Option<Policy>),
}

#[derive(Clone, Copy)]
enum Do {
    Cancel,
    Accept,
    Assign,
    Unassign,
    Resume,
    Thresholds,
}

const WORDS: [(&str, Do); 6] = [
    ("cancel", Do::Cancel),
    ("accept", Do::Accept),
    ("assign", Do::Assign),
    ("unassign", Do::Unassign),
    ("resume", Do::Resume),
    ("thresholds", Do::Thresholds),
];

impl Scenario {
    /// Reads a scenario from its text; `file` is what problems call it. `variables` are what `${NAME}` may name.
    pub fn parse(file: &str, text: &str, variables: BTreeMap<String, String>) -> Result<Self, ConfigErrors> {
        let mut problems = Vec::new();
        let mut table = tree::parse(text, &mut problems);
        without_urls(&mut table);
        let notes = Notes::new(variables, problems);
        let scenario = read(Section::root(&notes, &table), file);
        let (problems, _) = notes.into_parts();
        match scenario {
            Some(scenario) if problems.is_empty() => Ok(scenario),
            _ => Err(ConfigErrors::new(file, problems)),
        }
    }

    /// Reads a scenario's file.
    pub fn load(path: &std::path::Path, variables: BTreeMap<String, String>) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        match super::read_bounded(path) {
            Ok(text) => Self::parse(&name, &text, variables),
            Err(error) => {
                let text = format!("must be a scenario's file of UTF-8 text; found: {error}");
                Err(ConfigErrors::new(&name, vec![Problem { place: Place::Absent, key: String::new(), text }]))
            }
        }
    }
}

/// Gives the endpoints without a URL those of the configuration's endpoints of the same name, with all that belongs to
/// them. Answers what is missing.
pub fn fill_urls(scenario: &mut Scenario, config: &super::Config) -> Result<(), Vec<String>> {
    let known = config.networks.get(&scenario.network);
    let mut missing = Vec::new();
    for endpoint in &mut scenario.settings.endpoints {
        if endpoint.url.reveal().as_str().trim_end_matches('/') != NOWHERE {
            continue;
        }
        match known.and_then(|network| network.endpoints.iter().find(|known| known.name == endpoint.name)) {
            Some(known) => *endpoint = known.clone(),
            None => missing.push(format!(
                "{}: endpoint {}: url: must be given here or in [networks.{}] of the configuration; found neither",
                endpoint.place, endpoint.name, scenario.network
            )),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

/// Gives every endpoint without a URL one that leads nowhere, so that it reads as any other.
fn without_urls(table: &mut tree::Table) {
    let Some(Entry { node: Node { value: Value::Table(networks), .. }, .. }) = table.get_mut("networks") else {
        return;
    };
    for network in networks.values_mut() {
        let Value::Table(network) = &mut network.node.value else { continue };
        let Some(Entry { node: Node { value: Value::List(endpoints), .. }, .. }) = network.get_mut("endpoints") else {
            continue;
        };
        for endpoint in endpoints {
            let place = endpoint.place.clone();
            let Value::Table(endpoint) = &mut endpoint.value else { continue };
            endpoint.entry("url".to_owned()).or_insert_with(|| Entry {
                key_at: place.clone(),
                node: Node { place, value: Value::Text(NOWHERE.to_owned()) },
            });
        }
    }
}

fn read(mut root: Section<'_>, file: &str) -> Option<Scenario> {
    let format = root.whole("format", FORMAT..=FORMAT);
    let title = words(&mut root, "title", 200);
    let recorded = words(&mut root, "recorded", 2_000);
    let seed = root.whole("seed", 0..=u64::MAX).unwrap_or(0);
    let begins = moment(&mut root, "begins");
    missing(&root, &[("format", format.is_none()), ("title", title.is_none()), ("begins", begins.is_none())]);
    let place = root.place_of("networks");
    let mut networks = root.named("networks");
    let found = networks.len();
    let network = networks.pop().filter(|_| found == 1);
    if network.is_none() {
        root.wrong(&place, "networks", "one table [networks.NAME]", &found.to_string());
    }
    let network = network.and_then(|(name, section)| {
        let settings = sections::network(section, Environment::Development, file)?;
        Some((NetworkId::new(name), settings))
    });
    let listening = watching(root.table("watch"), file);
    let mut names = BTreeSet::new();
    let intents: Vec<_> = list(&mut root, "intents")
        .into_iter()
        .enumerate()
        .filter_map(|(index, section)| intent(section, file, index, &mut names))
        .collect();
    let timeline: Vec<Step> = list(&mut root, "timeline").into_iter().filter_map(|s| step(s, file, &names)).collect();
    root.finish();
    // In the order of time; what is of one time stays in the order of the file.
    let (mut intents, mut timeline) = (intents, timeline);
    intents.sort_by_key(|intent| intent.at_ms);
    timeline.sort_by_key(|step| step.at_ms);
    let (network, settings) = network?;
    format?;
    Some(Scenario {
        title: title?,
        recorded: recorded.unwrap_or_default(),
        seed,
        begins: begins?,
        network,
        settings,
        listening,
        intents,
        timeline,
    })
}

fn list<'a>(root: &mut Section<'a>, key: &'static str) -> Vec<Section<'a>> {
    let mut sections = root.tables(key);
    if sections.len() > ENTRIES_MAX {
        let place = root.place_of(key);
        root.wrong(&place, key, &format!("at most {ENTRIES_MAX} entries"), &sections.len().to_string());
        sections.clear();
    }
    sections
}

fn words(section: &mut Section<'_>, key: &'static str, most: usize) -> Option<String> {
    section.read(key, &format!("1 to {most} characters of text"), |text| {
        (1..=most).contains(&text.chars().count()).then(|| text.to_owned())
    })
}

fn moment(section: &mut Section<'_>, key: &'static str) -> Option<Timestamp> {
    section.read(key, "a time such as \"2026-11-21T09:30:00Z\"", |text| text.parse().ok())
}

fn intent(mut section: Section<'_>, file: &str, index: usize, names: &mut BTreeSet<String>) -> Option<Asked> {
    let at_ms = section.whole("at_ms", 0..=AT_MAX).unwrap_or(0);
    let id = section.read("id", "an intent's id: pi_ and 26 letters and digits", |text| text.parse().ok());
    let name = words(&mut section, "name", 100).unwrap_or_else(|| format!("intent {}", index + 1));
    if !names.insert(name.clone()) {
        let place = section.place_of("name");
        section.wrong(&place, "name", "a name that no other intent has", &format!("{name:?} twice"));
    }
    let tenant = section.read("tenant", "1 to 64 of A-Z a-z 0-9 . _ -", |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        (plain && (1..=64).contains(&text.len())).then(|| text.to_owned())
    });
    let asset = words(&mut section, "asset", 200);
    let due = section.amount("due");
    let tolerance = section.amount("tolerance").unwrap_or(Amount::ZERO);
    let address = words(&mut section, "address", 100);
    let reference = words(&mut section, "reference", REFERENCE_MAX);
    let expires_at = moment(&mut section, "expires_at");
    let require = section.table_if_there("require").map(sections::require).unwrap_or_default();
    let metadata = section.json_table("metadata");
    let since_height = section.whole("since_height", 0..=u64::MAX).map(Height);
    let allow_reuse = section.flag("allow_reuse").unwrap_or(false);
    let absent = [
        ("tenant", tenant.is_none()),
        ("asset", asset.is_none()),
        ("due", due.is_none()),
        ("address", address.is_none()),
    ];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    Some(Asked {
        at_ms,
        name,
        id,
        tenant: tenant?,
        asset: asset?,
        due: due?,
        tolerance,
        address: address?,
        reference,
        expires_at,
        require,
        metadata,
        since_height,
        allow_reuse,
        place,
    })
}

fn step(mut section: Section<'_>, file: &str, names: &BTreeSet<String>) -> Option<Step> {
    let at_ms = section.whole("at_ms", 0..=AT_MAX);
    let act = section.word("do", &WORDS);
    let intent = section
        .read("intent", "the name of an intent of this file", |text| names.contains(text).then(|| text.to_owned()));
    let deposit = section.read("deposit", "a deposit's id: dep_ and 26 letters and digits", |text| text.parse().ok());
    let accept_fork = section.read("accept_fork", "a block hash: 64 hexadecimal digits", |text| text.parse().ok());
    let policy = section.table_if_there("policy").map(policy);
    let (wants_intent, wants_deposit) = match act {
        Some(Do::Cancel | Do::Accept) => (true, false),
        Some(Do::Assign) => (true, true),
        Some(Do::Unassign) => (false, true),
        Some(Do::Resume | Do::Thresholds) | None => (false, false),
    };
    let absent = [
        ("at_ms", at_ms.is_none()),
        ("do", act.is_none()),
        ("intent", wants_intent && intent.is_none()),
        ("deposit", wants_deposit && deposit.is_none()),
    ];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    let act = match act? {
        Do::Cancel => Act::Cancel { intent: intent? },
        Do::Accept => Act::Accept { intent: intent? },
        Do::Assign => Act::Assign { deposit: deposit?, intent: intent? },
        Do::Unassign => Act::Unassign { deposit: deposit? },
        Do::Resume => Act::Resume { accept_fork },
        Do::Thresholds => Act::Thresholds(policy),
    };
    Some(Step { at_ms: at_ms?, act, place })
}

fn policy(mut section: Section<'_>) -> Policy {
    let require = section.table_if_there("require").map(sections::require).unwrap_or_default();
    let tiers = section.tables("tiers").into_iter().filter_map(sections::tier).collect();
    section.finish();
    Policy { require, tiers }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
format = 1
title = "a payment"
recorded = "by hand"
seed = 7
begins = "2027-01-15T08:00:00Z"

[networks.devnet]
poll_ms = 200
start = { height = 3, hash = "0x0303030303030303030303030303030303030303030303030303030303030303" }
require = { confirmations = 3, operators = 2, inclusion = "proven" }

[[networks.devnet.tokens]]
address = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
symbol = "USDC"
decimals = 6
min_amount = "1"

[[networks.devnet.endpoints]]
name = "north"
operator = "north"

[[watch.contract]]
network = "devnet"
contract = "CONTRACT"
tenant = "seller"
topics = [["symbol:funded", "*"], ["**"]]
since = 7

[[intents]]
name = "order \"1\""
tenant = "seller"
asset = "USDC"
due = "340282366920938463463374607431768211455"
address = "0x00000000000000000000000000000000A0000001"
expires_at = "2027-01-15T09:00:00Z"
metadata = { order = "A-1", lines = [1, { sku = "x" }], paid = false }

[[timeline]]
at_ms = 1500
do = "cancel"
intent = "order \"1\""

[[timeline]]
at_ms = 1600
do = "resume"
accept_fork = "0x0404040404040404040404040404040404040404040404040404040404040404"

[[timeline]]
at_ms = 1700
do = "thresholds"
policy.require = { confirmations = 5 }
[[timeline.policy.tiers]]
at_least = "1000"
require = { confirmations = 9 }
"#;

    #[test]
    fn a_scenario_reads_back_from_what_it_writes() {
        let read = Scenario::parse("s.toml", WHOLE, BTreeMap::new()).unwrap();
        let written = read.to_string();
        let again = Scenario::parse("s.toml", &written, BTreeMap::new()).unwrap();
        assert_eq!(written, again.to_string());
        assert_eq!(again.intents[0].metadata["lines"][1]["sku"], "x");
        assert_eq!(again.intents[0].due, Amount::new(u128::MAX));
        assert_eq!(again.timeline.len(), 3);
        assert_eq!((again.listening.len(), again.listening[0].since), (1, Some(Height(7))));
        assert_eq!(again.listening[0].topics, read.listening[0].topics);
        assert_eq!(again.settings.require, read.settings.require);
        assert!(!written.contains("url"), "{written}");
    }

    #[test]
    fn what_is_wrong_is_named_by_file_line_and_key() {
        let cases = [
            ("format = 1", "format = 2", "s.toml:2:10: format: must be a whole number from 1 to 1; found 2"),
            ("seed = 7", "sead = 7", "s.toml:5:1: sead: is not a known key; did you mean seed?"),
            ("begins = \"2027", "begins = \"soon", "s.toml:6:10: begins: must be a time"),
            ("do = \"cancel\"", "do = \"cancle\"", "timeline[0].do: must be"),
            ("do = \"cancel\"\nintent = \"order \\\"1\\\"\"", "do = \"cancel\"", "timeline[0].intent: must be given"),
            (
                "do = \"cancel\"\nintent = \"order \\\"1\\\"\"",
                "do = \"cancel\"\nintent = \"x\"",
                "must be the name of an",
            ),
            ("tenant = \"seller\"\nasset", "tenant = \"\"\nasset", "intents[0].tenant: must be"),
            ("tenant = \"seller\"\ntopics", "tenant = \"\"\ntopics", "watch.contract[0].tenant: must be"),
            ("due = \"34", "due = \"-34", "intents[0].due: must be"),
            ("paid = false", "paid = 1.5", "intents[0].metadata: must be"),
            ("[networks.devnet]\n", "[networks.other]\nx = 1\n[networks.devnet]\n", "networks: must be one table"),
            ("poll_ms = 200", "poll_ms = 1", "networks.devnet.poll_ms: must be"),
        ];
        for (right, wrong, said) in cases {
            assert!(WHOLE.contains(right), "{right}");
            let error = Scenario::parse("s.toml", &WHOLE.replacen(right, wrong, 1), BTreeMap::new()).unwrap_err();
            assert!(error.lines().iter().any(|line| line.contains(said)), "{wrong}: {error}");
        }
    }
}
