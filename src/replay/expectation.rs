//! What a scenario is expected to tell, and how it differs from what was told.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Feed, ReplayError};

/// The file's name within a scenario's folder.
pub const EXPECTED: &str = "expected-events.json";

/// A body takes up to 64 KiB, and 1,000 of them are a long story.
const BYTES_MAX: u64 = 64 << 20;

/// Differing fields told of one event; the first ones tell enough.
const FIELDS_MAX: usize = 12;
/// Differing events told of one feed.
const EVENTS_MAX: usize = 20;

/// The expectation as its file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    feeds: Vec<ExpectedFeed>,
    /// SHA-256 of the files that this was blessed with.
    sealed: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedFeed {
    events: Vec<Value>,
    /// `null`: the operator's own.
    tenant: Option<String>,
}

/// One thing that is not as it was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// Nothing was expected yet.
    NotBlessed,
    /// A file of the scenario is not the one that was blessed.
    Altered { file: String, what: String },
    /// A field of an event.
    Field { feed: String, number: usize, event: String, field: String, expected: String, got: String },
    /// An event that was expected and not told.
    Missing { feed: String, number: usize, event: String },
    /// An event that was told and not expected.
    Unexpected { feed: String, number: usize, event: String },
    /// The same event in other bytes.
    Bytes { feed: String, number: usize, event: String },
    /// More of the same.
    More { feed: String, events: usize },
    /// A command of the timeline was refused.
    Refused { what: String },
    /// The receiver did not take an event.
    Undelivered { what: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBlessed => write!(f, "{EXPECTED}: is not there; look at the events and run with --bless"),
            Self::Altered { file, what } => write!(f, "{file}: {what}"),
            Self::Field { feed, number, event, field, expected, got } => {
                write!(f, "{feed}, event {number} ({event}): {field}: expected {expected}, got {got}")
            }
            Self::Missing { feed, number, event } => write!(f, "{feed}, event {number}: expected {event}, got none"),
            Self::Unexpected { feed, number, event } => {
                write!(f, "{feed}, event {number}: expected none, got {event}")
            }
            Self::Bytes { feed, number, event } => {
                write!(f, "{feed}, event {number} ({event}): says the same in other bytes")
            }
            Self::More { feed, events } => write!(f, "{feed}: {events} more events differ"),
            Self::Refused { what } | Self::Undelivered { what } => f.write_str(what),
        }
    }
}

impl Expectation {
    /// What was told, as the expectation of these files.
    pub fn of(feeds: &[Feed], files: &[PathBuf]) -> Result<Self, ReplayError> {
        let feeds = feeds.iter().map(|feed| {
            let events = feed.bodies.iter().map(|body| serde_json::from_slice(body).unwrap_or_default()).collect();
            ExpectedFeed { events, tenant: feed.tenant.clone() }
        });
        Ok(Self { feeds: feeds.collect(), sealed: seals(files)? })
    }

    /// Reads the file; `None` where there is none.
    pub fn load(folder: &Path) -> Result<Option<Self>, ReplayError> {
        let path = folder.join(EXPECTED);
        let shown = path.display().to_string();
        let unusable = |what: String| ReplayError::Unusable(vec![format!("{shown}{what}")]);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| unusable(format!(": {error}")))?,
        };
        if !metadata.is_file() || metadata.len() > BYTES_MAX {
            return Err(unusable(format!(": must be a plain file of at most {BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(&path).map_err(|error| unusable(format!(": {error}")))?;
        let read = serde_json::from_str(&text).map_err(|error| unusable(format!(":{}: {error}", error.line())))?;
        Ok(Some(read))
    }

    /// Writes the file.
    pub fn write(&self, folder: &Path) -> Result<(), ReplayError> {
        let path = folder.join(EXPECTED);
        let text = format!("{:#}\n", serde_json::to_value(self).unwrap_or_default());
        fs::write(&path, text).map_err(|error| ReplayError::Unusable(vec![format!("{}: {error}", path.display())]))
    }

    /// What differs. `files` are those that would be sealed now.
    pub fn differences(&self, feeds: &[Feed], files: &[PathBuf]) -> Result<Vec<Difference>, ReplayError> {
        let mut found = Vec::new();
        let now = seals(files)?;
        for (file, sum) in &now {
            if self.sealed.get(file) != Some(sum) {
                let what = "is not the one that the expected events were blessed with".to_owned();
                found.push(Difference::Altered { file: file.clone(), what });
            }
        }
        for file in self.sealed.keys().filter(|file| !now.contains_key(*file)) {
            found.push(Difference::Altered { file: file.clone(), what: "is no part of the scenario any more".into() });
        }
        for feed in &self.feeds {
            let told = feeds.iter().find(|told| told.tenant == feed.tenant);
            compare(feed, told.map_or(&[], |told| &told.bodies), &mut found);
        }
        for told in feeds.iter().filter(|told| self.feeds.iter().all(|feed| feed.tenant != told.tenant)) {
            compare(&ExpectedFeed { events: Vec::new(), tenant: told.tenant.clone() }, &told.bodies, &mut found);
        }
        Ok(found)
    }
}

fn seals(files: &[PathBuf]) -> Result<BTreeMap<String, String>, ReplayError> {
    let seal = |path: &PathBuf| {
        let shown = path.display();
        let bytes = fs::read(path).map_err(|error| ReplayError::Unusable(vec![format!("{shown}: {error}")]))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((name, hex::encode(Sha256::digest(&bytes))))
    };
    files.iter().map(seal).collect()
}

fn compare(expected: &ExpectedFeed, told: &[Vec<u8>], found: &mut Vec<Difference>) {
    let feed = expected.tenant.as_ref().map_or("the operator's feed".to_owned(), |tenant| format!("feed of {tenant}"));
    let mut differing = 0;
    for index in 0..expected.events.len().max(told.len()) {
        let one = difference(&feed, index + 1, expected.events.get(index), told.get(index).map(Vec::as_slice));
        if !one.is_empty() {
            differing += 1;
            if differing <= EVENTS_MAX {
                found.extend(one);
            }
        }
    }
    if differing > EVENTS_MAX {
        found.push(Difference::More { feed, events: differing - EVENTS_MAX });
    }
}

fn difference(feed: &str, number: usize, expected: Option<&Value>, told: Option<&[u8]>) -> Vec<Difference> {
    let feed = feed.to_owned();
    match (expected, told) {
        (Some(expected), None) => vec![Difference::Missing { feed, number, event: named(expected) }],
        (None, Some(told)) => {
            let told = serde_json::from_slice(told).unwrap_or_default();
            vec![Difference::Unexpected { feed, number, event: named(&told) }]
        }
        (Some(expected), Some(told)) if expected.to_string().as_bytes() == told => Vec::new(),
        (Some(expected), Some(told)) => {
            let told: Value = serde_json::from_slice(told).unwrap_or_default();
            let (mut fields, event) = (Vec::new(), named(expected));
            differing(expected, &told, String::new(), &mut fields);
            if fields.is_empty() {
                return vec![Difference::Bytes { feed, number, event }];
            }
            let field = |(field, expected, got): (String, Value, Value)| Difference::Field {
                feed: feed.clone(),
                number,
                event: event.clone(),
                field,
                expected: shown(&expected),
                got: shown(&got),
            };
            fields.into_iter().map(field).collect()
        }
        (None, None) => Vec::new(),
    }
}

/// `payment.confirmed of pi_…`, as far as it says so.
fn named(event: &Value) -> String {
    let kind = event["event"].as_str().unwrap_or("an event without a name");
    event["intent"]["id"].as_str().map_or_else(|| kind.to_owned(), |intent| format!("{kind} of {intent}"))
}

fn differing(expected: &Value, got: &Value, path: String, found: &mut Vec<(String, Value, Value)>) {
    if expected == got || found.len() >= FIELDS_MAX {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let absent = json!(null);
                let (one, other) = (left.get(name).unwrap_or(&absent), right.get(name).unwrap_or(&absent));
                differing(one, other, below(name), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (one, other)) in left.iter().zip(right).enumerate() {
                differing(one, other, format!("{path}[{index}]"), found);
            }
        }
        _ => found.push((path, expected.clone(), got.clone())),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 120 { text } else { text.chars().take(119).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(events: &[Value]) -> Vec<Feed> {
        let bodies = events.iter().map(|event| event.to_string().into_bytes()).collect();
        vec![Feed { tenant: Some("seller".into()), bodies }]
    }

    fn said(expected: &[Value], told: &[Value]) -> Vec<String> {
        let expectation = Expectation::of(&feed(expected), &[]).unwrap();
        expectation.differences(&feed(told), &[]).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_differing_field_is_named_with_what_was_expected_and_what_came() {
        let event = |amount: &str| json!({ "event": "payment.confirmed", "intent": { "id": "pi_1", "due": amount } });
        assert_eq!(said(&[event("1")], &[event("1")]), Vec::<String>::new());
        let all = said(&[event("1")], &[event("2")]);
        let named = "feed of seller, event 1 (payment.confirmed of pi_1): intent.due: expected \"1\", got \"2\"";
        assert_eq!(all, [named]);
        assert_eq!(said(&[event("1")], &[]), ["feed of seller, event 1: expected payment.confirmed of pi_1, got none"]);
        let told = [event("1"), json!({"event": "network.halted"})];
        assert_eq!(said(&[event("1")], &told), ["feed of seller, event 2: expected none, got network.halted"]);
    }

    #[test]
    fn the_same_words_in_other_bytes_are_a_difference() {
        let expectation = Expectation::of(&feed(&[json!({ "event": "x", "a": 1 })]), &[]).unwrap();
        let told = [Feed { tenant: Some("seller".into()), bodies: vec![br#"{"event":"x","a":1}"#.to_vec()] }];
        let found = expectation.differences(&told, &[]).unwrap();
        assert!(matches!(found.as_slice(), [Difference::Bytes { .. }]), "{found:?}");
    }

    #[test]
    fn a_flood_of_differences_is_counted_and_not_printed() {
        let told: Vec<Value> = (0..500).map(|n| json!({ "event": "x", "n": n })).collect();
        let all = said(&[], &told);
        assert_eq!(all.len(), EVENTS_MAX + 1);
        assert_eq!(all[EVENTS_MAX], "feed of seller: 480 more events differ");
    }
}
