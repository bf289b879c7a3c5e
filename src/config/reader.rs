//! Reads typed values out of the tree. Every getter answers `None` and notes a problem where the value
//! is wrong, so that reading goes on and all problems are told at once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use url::Url;

use super::problem::{Place, Problem, did_you_mean};
use super::secret::{Secret, SecretUrl};
use super::tree::{Node, Table, Value};

/// What all sections share.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, as `networks.*.endpoints.*.url`: what the documented file must mention.
    asked: RefCell<BTreeSet<String>>,
    pub variables: BTreeMap<String, String>,
}

impl Notes {
    pub fn new(variables: BTreeMap<String, String>, problems: Vec<Problem>) -> Self {
        Self { problems: RefCell::new(problems), variables, ..Self::default() }
    }

    pub fn add(&self, place: &Place, key: &str, text: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { place: place.clone(), key: key.to_owned(), text: text.into() });
    }

    pub fn into_parts(self) -> (Vec<Problem>, BTreeSet<String>) {
        (self.problems.into_inner(), self.asked.into_inner())
    }
}

/// One table of the tree, with its path.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub notes: &'a Notes,
    pub path: String,
    pub place: Place,
    /// The path with `*` where a name or number stands.
    pattern: String,
    table: Option<&'a Table>,
    known: BTreeSet<&'static str>,
    /// A wrong value was read here: a missing one need not be told twice.
    pub spoiled: Cell<bool>,
}

impl<'a> Section<'a> {
    pub fn root(notes: &'a Notes, table: &'a Table) -> Self {
        Self::at(notes, String::new(), String::new(), Place::Absent, Some(table))
    }

    fn at(notes: &'a Notes, path: String, pattern: String, place: Place, table: Option<&'a Table>) -> Self {
        Self { notes, path, place, pattern, table, known: BTreeSet::new(), spoiled: Cell::new(false) }
    }

    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Notes that a key's value is wrong.
    pub fn wrong(&self, place: &Place, key: &str, allowed: &str, found: &str) {
        self.spoiled.set(true);
        self.notes.add(place, &self.path_of(key), format!("must be {allowed}; found {found}"));
    }

    /// The place of a key's value, or of the section where the key is absent.
    pub fn place_of(&self, key: &str) -> Place {
        self.table.and_then(|table| table.get(key)).map_or(self.place.clone(), |entry| entry.node.place.clone())
    }

    /// Whether a key is there, rightly or wrongly.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_none_or(Table::is_empty)
    }

    /// Whether the section itself is a table; where it is not, that was told already.
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.insert(key);
        self.notes.asked.borrow_mut().insert(join(&self.pattern, key));
        self.table?.get(key).map(|entry| &entry.node)
    }

    /// A value that `parse` understands. `allowed` completes "must be …".
    pub fn read<T>(&mut self, key: &'static str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let node = self.get(key)?;
        let value = match &node.value {
            Value::Text(text) | Value::Raw(text) => parse(text),
            _ => None,
        };
        if value.is_none() {
            self.wrong(&node.place, key, allowed, &shown(node));
        }
        value
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let allowed = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        self.read(key, &allowed, |text| words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning))
    }

    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        let flag = match &node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Raw(text) => text.parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            self.wrong(&node.place, key, "true or false", &shown(node));
        }
        flag
    }

    pub fn whole(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.get(key)?;
        let number = whole_of(node).filter(|number| range.contains(number));
        if number.is_none() {
            let allowed = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong(&node.place, key, &allowed, &shown(node));
        }
        number
    }

    /// As [`Self::whole`], for counts that are small.
    pub fn count(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.whole(key, range).and_then(|number| u32::try_from(number).ok())
    }

    /// A whole number that may exceed what TOML can hold, so that a text is as good.
    pub fn amount(&mut self, key: &'static str) -> Option<amn_core::money::Amount> {
        let node = self.get(key)?;
        let amount = match &node.value {
            Value::Text(text) | Value::Raw(text) => text.parse().ok(),
            Value::Whole(number) => u128::try_from(*number).ok().map(amn_core::money::Amount::new),
            _ => None,
        };
        if amount.is_none() {
            let allowed = "a count of smallest units, as a whole number or as digits in quotes";
            self.wrong(&node.place, key, allowed, &shown(node));
        }
        amount
    }

    /// A text in which `${VAR}` stands for the variable. Never shown.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let node = self.get(key)?;
        self.expanded(node, key).map(Secret::new)
    }

    /// A URL of one of these schemes; shown without what may be a key.
    pub fn url(&mut self, key: &'static str, schemes: &[&str]) -> Option<SecretUrl> {
        let node = self.get(key)?;
        let text = self.expanded(node, key)?;
        let begins: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        let allowed = format!("a URL that begins with {}", begins.join(" or "));
        match Url::parse(&text) {
            // A database may be reached by its socket's folder, in a parameter: then no host is named.
            Ok(url) if schemes.contains(&url.scheme()) && (url.has_host() || is_database(&url) || is_folder(&url)) => {
                Some(SecretUrl::new(url))
            }
            Ok(url) if url.has_host() => {
                self.wrong(&node.place, key, &allowed, &SecretUrl::new(url).to_string());
                None
            }
            _ => {
                self.wrong(&node.place, key, &allowed, "a text that is none");
                None
            }
        }
    }

    fn expanded(&self, node: &Node, key: &str) -> Option<String> {
        match &node.value {
            // A variable's value is taken as it is: a secret may hold any character.
            Value::Raw(text) => Some(text.clone()),
            Value::Text(text) => match expand(text, &self.notes.variables) {
                Ok(text) => Some(text),
                Err(why) => {
                    self.spoiled.set(true);
                    self.notes.add(&node.place, &self.path_of(key), why);
                    None
                }
            },
            _ => {
                self.wrong(&node.place, key, "a text in quotes", &shown(node));
                None
            }
        }
    }

    /// A list, each item read by `parse`. From the environment: separated by commas.
    pub fn list<T>(&mut self, key: &'static str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let node = self.get(key)?;
        let items: Vec<(Place, Option<String>, String)> = match &node.value {
            Value::Raw(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| (node.place.clone(), Some(item.to_owned()), format!("{item:?}")))
                .collect(),
            Value::List(items) => items
                .iter()
                .map(|item| {
                    let text = match &item.value {
                        Value::Text(text) | Value::Raw(text) => Some(text.clone()),
                        Value::Whole(number) => Some(number.to_string()),
                        _ => None,
                    };
                    (item.place.clone(), text, shown(item))
                })
                .collect(),
            _ => {
                self.wrong(&node.place, key, &format!("a list, each {allowed}"), &shown(node));
                return None;
            }
        };
        let mut read = Vec::new();
        for (place, text, found) in items {
            match text.and_then(|text| parse(&text)) {
                Some(item) => read.push(item),
                None => self.wrong(&place, key, &format!("a list, each {allowed}"), &found),
            }
        }
        Some(read)
    }

    /// A list of lists, each item of those read by `parse`. Not from the environment: one comma cannot say both.
    pub fn lists<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<Vec<T>>> {
        let node = self.get(key)?;
        let allowed = format!("a list of lists, each of them of texts, each {allowed}");
        let Value::List(lists) = &node.value else {
            self.wrong(&node.place, key, &allowed, &shown(node));
            return None;
        };
        let mut read = Vec::new();
        for list in lists {
            let Value::List(items) = &list.value else {
                self.wrong(&list.place, key, &allowed, &shown(list));
                continue;
            };
            let mut inner = Vec::new();
            for item in items {
                let text = if let Value::Text(text) = &item.value { parse(text) } else { None };
                match text {
                    Some(text) => inner.push(text),
                    None => self.wrong(&item.place, key, &allowed, &shown(item)),
                }
            }
            read.push(inner);
        }
        Some(read)
    }

    /// A table that may be absent: then it is read as an empty one.
    pub fn table(&mut self, key: &'static str) -> Section<'a> {
        let (path, pattern) = (self.path_of(key), join(&self.pattern, key));
        match self.get(key) {
            Some(node) => self.inner(node, path, pattern),
            None => Self::at(self.notes, path, pattern, self.place.clone(), None),
        }
    }

    /// A table that is there, or nothing.
    pub fn table_if_there(&mut self, key: &'static str) -> Option<Section<'a>> {
        self.get(key).map(|node| self.inner(node, self.path_of(key), join(&self.pattern, key)))
    }

    /// A list of tables, as `[[…]]` writes them.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.wrong(&node.place, key, "a list of tables ([[…]])", &shown(node));
            return Vec::new();
        };
        let pattern = join(&join(&self.pattern, key), "*");
        let inner = |(index, item)| self.inner(item, format!("{}[{index}]", self.path_of(key)), pattern.clone());
        items.iter().enumerate().map(inner).collect()
    }

    /// The tables under names that the operator chose.
    pub fn named(&mut self, key: &'static str) -> Vec<(&'a str, Section<'a>)> {
        let pattern = join(&join(&self.pattern, key), "*");
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::Table(table) = &node.value else {
            self.wrong(&node.place, key, "a table", &shown(node));
            return Vec::new();
        };
        let path = self.path_of(key);
        let inner = |(name, entry): (&'a String, &'a super::tree::Entry)| {
            let mut section = self.inner(&entry.node, join(&path, name), pattern.clone());
            section.place = entry.key_at.clone();
            (name.as_str(), section)
        };
        table.iter().map(inner).collect()
    }

    /// A table of whatever JSON knows; numbers are whole.
    pub fn json_table(&mut self, key: &'static str) -> serde_json::Map<String, serde_json::Value> {
        let Some(node) = self.get(key) else { return serde_json::Map::new() };
        match json_of(node) {
            Some(serde_json::Value::Object(fields)) => fields,
            _ => {
                self.wrong(
                    &node.place,
                    key,
                    "a table of texts, whole numbers, true, false, lists and tables",
                    &shown(node),
                );
                serde_json::Map::new()
            }
        }
    }

    /// Every key and value of a table of secrets (headers).
    pub fn secrets(&mut self, key: &'static str) -> Vec<(String, Place, Secret)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::Table(table) = &node.value else {
            self.wrong(&node.place, key, "a table of texts", &shown(node));
            return Vec::new();
        };
        let mut read = Vec::new();
        for (name, entry) in table {
            if let Some(text) = self.expanded(&entry.node, &join(key, name)) {
                read.push((name.clone(), entry.key_at.clone(), Secret::new(text)));
            }
        }
        read
    }

    fn inner(&self, node: &'a Node, path: String, pattern: String) -> Section<'a> {
        let table = if let Value::Table(table) = &node.value {
            Some(table)
        } else {
            self.notes.add(&node.place, &path, format!("must be a table; found {}", shown(node)));
            None
        };
        let section = Self::at(self.notes, path, pattern, node.place.clone(), table);
        section.spoiled.set(table.is_none());
        section
    }

    /// Refuses every key that nobody asked for.
    pub fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, entry) in table.iter().filter(|(key, _)| !self.known.contains(key.as_str())) {
            let hint = match did_you_mean(key, self.known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", self.known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.notes.add(&entry.key_at, &join(&self.path, key), format!("is not a known key; {hint}"));
        }
    }
}

fn is_database(url: &Url) -> bool {
    url.scheme().starts_with("postgres")
}

/// A folder of this machine has no host, and a path.
fn is_folder(url: &Url) -> bool {
    url.scheme() == "file" && url.path().len() > 1
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The value as JSON; `None` where JSON has no such value, or we none without rounding.
fn json_of(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Text(text) | Value::Raw(text) => text.as_str().into(),
        Value::Whole(number) => i64::try_from(*number).ok()?.into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Other(_) => return None,
        Value::List(items) => serde_json::Value::Array(items.iter().map(json_of).collect::<Option<_>>()?),
        Value::Table(table) => {
            let field = |(name, entry): (&String, &super::tree::Entry)| Some((name.clone(), json_of(&entry.node)?));
            serde_json::Value::Object(table.iter().map(field).collect::<Option<_>>()?)
        }
    })
}

fn whole_of(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Whole(number) => u64::try_from(*number).ok(),
        Value::Raw(text) => text.parse().ok(),
        _ => None,
    }
}

/// A value as a problem shows it; never called for a secret's text.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) | Value::Raw(text) => {
            let clipped: String = text.chars().take(60).collect();
            format!("{clipped:?}")
        }
        Value::Whole(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Other(text) => text.clone(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// Puts variables in the place of `${NAME}`. `$${` stands for the characters `${`.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let Some((name, after)) = rest[at + 2..].split_once('}') else {
            return Err("must close ${ with }; found no }".to_owned());
        };
        let value = variables.get(name).filter(|value| !value.is_empty());
        out.push_str(value.ok_or_else(|| {
            let shown: String = name.chars().take(60).collect();
            format!("must be set by the variable {shown}; found it unset or empty")
        })?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_a_double_dollar_is_left() {
        let variables = BTreeMap::from([("KEY".to_owned(), "abc".to_owned())]);
        assert_eq!(expand("https://n/${KEY}/x", &variables).unwrap(), "https://n/abc/x");
        assert_eq!(expand("$${KEY} $5 ${KEY}", &variables).unwrap(), "${KEY} $5 abc");
        assert!(expand("${OTHER}", &variables).unwrap_err().contains("OTHER"));
        assert!(expand("${KEY", &variables).is_err());
    }
}
