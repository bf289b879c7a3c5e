//! The configuration before it means anything: a tree of values that know where they stand, made of
//! one TOML file and the environment variables that override it.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// From the environment: a text that becomes what its reader asks for.
    Raw(String),
    Whole(i128),
    Flag(bool),
    /// A float or a date: nothing in this configuration is one.
    Other(String),
    List(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Entry>;

/// A key with its own place, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key_at: Place,
    pub node: Node,
}

/// Reads a file's text. What does not parse becomes a problem; the rest is still read, so that all is told at once.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Table {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.iter().map(|error| Problem {
        place: error.span().map_or(Place::Absent, |span| lines.place(&span)),
        key: String::new(),
        // The message alone: the parser's own print repeats the line, and a line may hold a secret.
        text: format!("not TOML: {}", error.message().lines().next().unwrap_or("unreadable")),
    }));
    lines.table(table.get_ref())
}

/// Knows where each line begins.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// Lines and columns count from 1; columns count characters, as editors do.
    fn place(&self, span: &Range<usize>) -> Place {
        let at = span.start.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts[line - 1];
        let column = self.text.get(start..at).map_or(at - start, |before| before.chars().count()) + 1;
        Place::File { line, column }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        table
            .iter()
            .map(|(key, value)| {
                let entry = Entry { key_at: self.place(&key.span()), node: self.node(value) };
                (key.get_ref().to_string(), entry)
            })
            .collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let meaning = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(whole) => i128::from_str_radix(whole.as_str(), whole.radix())
                .map_or_else(|_| Value::Other(whole.to_string()), Value::Whole),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Float(float) => Value::Other(float.to_string()),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(list) => Value::List(list.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { place: self.place(&value.span()), value: meaning }
    }
}

/// Keys that stand in no table.
const TOP_LEVEL: [&str; 2] = ["ENVIRONMENT", "STATE_DIR"];

/// Overrides `key`s by variables: `AMN_SERVER__LISTEN` is `server.listen`, `AMN_NETWORKS__BASE__ENDPOINTS__0__URL` is the
/// `url` of the first endpoint. A name without `__` is not ours (tests and scripts have their own), the two of the top level excepted.
pub(super) fn override_by(table: &mut Table, variables: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    for (name, value) in variables {
        let Some(key) = name.strip_prefix("AMN_") else { continue };
        if !key.contains("__") && !TOP_LEVEL.contains(&key) {
            continue;
        }
        let steps: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        let place = Place::Environment(name.clone());
        if let Err(text) = set(table, &steps, &steps, &place, value) {
            problems.push(Problem { place, key: steps.join("."), text });
        }
    }
}

fn set(table: &mut Table, whole: &[String], steps: &[String], place: &Place, value: &str) -> Result<(), String> {
    let Some((first, rest)) = steps.split_first().filter(|(first, _)| !first.is_empty()) else {
        return Err("must name a key between the double underscores; found none".to_owned());
    };
    // A variable cannot hold the hyphen of `base-sepolia`: an underscore stands for it.
    let is_network = whole.len() == steps.len() + 1 && whole[0] == "networks";
    let known = table.keys().find(|key| key.replace('-', "_") == *first).cloned();
    let key = known.unwrap_or_else(|| if is_network { first.replace('_', "-") } else { first.clone() });
    if rest.is_empty() {
        let node = Node { place: place.clone(), value: Value::Raw(value.to_owned()) };
        table.insert(key, Entry { key_at: place.clone(), node });
        return Ok(());
    }
    let is_index = rest[0].bytes().all(|b| b.is_ascii_digit()) && !rest[0].is_empty() && !is_network;
    let entry = table.entry(key).or_insert_with(|| {
        let value = if is_index { Value::List(Vec::new()) } else { Value::Table(Table::new()) };
        Entry { key_at: place.clone(), node: Node { place: place.clone(), value } }
    });
    match &mut entry.node.value {
        Value::Table(inner) => set(inner, whole, rest, place, value),
        Value::List(items) => set_item(items, whole, rest, place, value),
        _ => Err(format!("must name a key of a table; found that {first} is a value")),
    }
}

/// Sets a key of an item of a list, or of the item after the last.
fn set_item(
    items: &mut Vec<Node>,
    whole: &[String],
    steps: &[String],
    place: &Place,
    value: &str,
) -> Result<(), String> {
    let count = items.len();
    let index = steps[0].parse::<usize>().ok().filter(|index| *index <= count);
    let Some(index) = index else {
        return Err(format!("must name an item from 0 to {count}; found {:?}", steps[0]));
    };
    if index == count {
        items.push(Node { place: place.clone(), value: Value::Table(Table::new()) });
    }
    match (&mut items[index], &steps[1..]) {
        (item, []) => {
            *item = Node { place: place.clone(), value: Value::Raw(value.to_owned()) };
            Ok(())
        }
        (Node { value: Value::Table(inner), .. }, rest) => set(inner, whole, rest, place, value),
        _ => Err(format!("must name an item that is a table; found that item {index} is a value")),
    }
}
