//! Every way to fail that rules may name, with what it does in a sentence and the settings it takes.
//!
//! [`transport`] breaks the line, [`heads`], [`logs`] and [`receipts`] answer as real nodes were seen to answer,
//! [`mod@refusals`] says no in the words of every provider we know, [`bells`] spoils what is pushed.

mod bells;
mod heads;
mod logs;
mod receipts;
mod refusals;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Fault, lies};

pub use refusals::{CallsFor, Refusal};

/// A fault that rules may name.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// One sentence: what a client sees.
    pub says: &'static str,
    pub takes: &'static [Take],
    pub make: fn(&Settings) -> Result<Arc<dyn Fault>, String>,
}

/// A setting of a fault.
#[derive(Debug, Clone, Copy)]
pub enum Take {
    Number { name: &'static str, usual: u64, most: u64 },
    Text { name: &'static str, usual: &'static str },
}

impl Take {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Number { name, .. } | Self::Text { name, .. } => name,
        }
    }

    /// As a rule would say it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Number { name, usual, .. } => format!("{name}={usual}"),
            Self::Text { name, usual } => format!("{name}={usual}"),
        }
    }
}

pub(crate) const fn number(name: &'static str, usual: u64, most: u64) -> Take {
    Take::Number { name, usual, most }
}

pub(crate) const fn text(name: &'static str, usual: &'static str) -> Take {
    Take::Text { name, usual }
}

/// All of them, in the order of `--list`.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let broken = [transport::KINDS, heads::KINDS, logs::KINDS, receipts::KINDS, refusals::KINDS, bells::KINDS];
    broken.into_iter().flatten().chain(lies::all().map(|lie| &lie.kind))
}

#[must_use]
pub fn named(name: &str) -> Option<&'static Kind> {
    kinds().find(|kind| kind.name == name)
}

/// What may follow `error:`, one for each wording of a provider.
pub fn refusals() -> impl Iterator<Item = &'static Refusal> {
    refusals::TABLE.iter()
}

/// What a rule says of its fault: every setting the fault takes, given or usual.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    numbers: BTreeMap<&'static str, u64>,
    texts: BTreeMap<&'static str, String>,
}

impl Settings {
    pub(super) fn read(kind: &Kind, mut given: BTreeMap<String, String>) -> Result<Self, String> {
        let mut settings = Self::default();
        for take in kind.takes {
            let text = given.remove(take.name());
            match *take {
                Take::Number { name, usual, most } => {
                    let wrong = |text: &str| format!("{name}: a number from 0 to {most}, found `{text}`");
                    let read = text.map(|text| text.parse().ok().filter(|n| *n <= most).ok_or_else(|| wrong(&text)));
                    settings.numbers.insert(name, read.transpose()?.unwrap_or(usual));
                }
                Take::Text { name, usual } => {
                    settings.texts.insert(name, text.unwrap_or_else(|| usual.to_owned()));
                }
            }
        }
        let Some(stranger) = given.into_keys().next() else { return Ok(settings) };
        let own: Vec<_> = kind.takes.iter().map(Take::name).collect();
        let own = if own.is_empty() { "nothing of its own".to_owned() } else { own.join(", ") };
        Err(format!(
            "{} takes no `{stranger}`; it takes {own}; every rule takes methods, chance, spell, every, calls, at, heads",
            kind.name
        ))
    }

    /// A setting that the kind lists; one that it does not list is 0.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or_default()
    }

    /// The same, as a count of things in memory.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.texts.get(name).cloned().unwrap_or_default()
    }
}

/// Sets a member of an object; what is no object stays as it is. (To write `value["name"] =` panics there.)
pub(super) fn put(value: &mut Value, name: &str, to: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(name.to_owned(), to);
    }
}

/// The logs of an answer, wherever they stand: the entries of `eth_getLogs`, or those inside of receipts.
pub(super) fn each_log(result: &mut Value, mut change: impl FnMut(&mut Value)) {
    let Some(list) = result.as_array_mut() else { return };
    for entry in list {
        if entry.get("topics").is_some() {
            change(entry);
        } else if let Some(logs) = entry.get_mut("logs").and_then(Value::as_array_mut) {
            logs.iter_mut().for_each(&mut change);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::torture::Rule;

    #[test]
    fn every_fault_has_a_name_of_its_own_that_a_rule_may_say() {
        let mut names = BTreeSet::new();
        for kind in kinds() {
            assert!(names.insert(kind.name), "{} twice", kind.name);
            assert!(kind.says.ends_with('.'), "{}: one sentence", kind.name);
            let rule: Rule = kind.name.parse().unwrap();
            assert_eq!(rule.fault.name().split(':').next(), Some(kind.name));
            let takes: Vec<_> = kind.takes.iter().map(Take::shown).collect();
            let said = format!("{}:{}", kind.name, takes.join(","));
            said.parse::<Rule>().unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
