//! Which fault strikes which questions, and when: `lagging:blocks=3,methods=eth_blockNumber,chance=200`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use toml::{Spanned, Table, Value};

use super::faults::{self, Settings};
use super::{BATCH, Dice, Fault, PUSH, Question, Scene};

/// A rule that cannot be used: which, which of its settings, and what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {why}")]
pub struct RuleError {
    pub rule: String,
    pub why: String,
}

/// One fault, the questions it is about, and when it strikes.
#[derive(Debug, Clone)]
pub struct Rule {
    pub fault: Arc<dyn Fault>,
    /// Empty: those that the fault is about.
    pub methods: Vec<String>,
    pub when: When,
}

/// All of these must hold. By default a fault strikes always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// So many times in a thousand, thrown for each question and each time it is asked.
    pub chance: u32,
    /// With this, the chance is thrown once for every so many blocks of the chain, and holds that long.
    pub spell: Option<u64>,
    /// Every so many times that the same question is asked; where each begins is thrown.
    pub every: Option<u64>,
    /// The first time a question is asked is call 0.
    pub calls: Ranges,
    /// The height of the block that is asked about.
    pub at: Ranges,
    /// The height that the node behind has reached: the schedule of a play.
    pub heads: Ranges,
}

impl Default for When {
    fn default() -> Self {
        Self {
            chance: 1_000,
            spell: None,
            every: None,
            calls: Ranges::default(),
            at: Ranges::default(),
            heads: Ranges::default(),
        }
    }
}

impl Rule {
    /// Strikes always, at what the fault is about.
    #[must_use]
    pub fn always(fault: Arc<dyn Fault>) -> Self {
        Self::when(fault, When::default())
    }

    #[must_use]
    pub fn when(fault: Arc<dyn Fault>, when: When) -> Self {
        Self { fault, methods: Vec::new(), when }
    }

    /// Reads the rules of a TOML file, `[[rule]]` tables each with `fault` and its settings.
    pub fn from_toml(file: &str, text: &str) -> Result<Vec<Self>, Vec<RuleError>> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            rule: Vec<Spanned<Table>>,
        }
        let read: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            vec![RuleError { rule: format!("{file}:{line}"), why: error.message().to_owned() }]
        })?;
        let (mut rules, mut wrong) = (Vec::new(), Vec::new());
        for table in read.rule {
            let place = format!("{file}:{}", line_of(text, table.span().start));
            match from_table(table.into_inner()) {
                Ok(rule) => rules.push(rule),
                Err(why) => wrong.push(RuleError { rule: place, why }),
            }
        }
        if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
    }

    /// The dice of this strike, where it strikes.
    pub(super) async fn strikes(&self, seed: u64, place: usize, asked: &Question, scene: &Scene) -> Option<Dice> {
        if !self.is_about(&asked.method) || !self.when.calls.hold(scene.nth) {
            return None;
        }
        let params = asked.params.to_string();
        let (place, nth) = (place.to_le_bytes(), scene.nth.to_le_bytes());
        let key = [self.fault.name().as_bytes(), &place, asked.method.as_bytes(), params.as_bytes()];
        if let Some(every) = self.when.every {
            let phase = Dice::of(seed, &key).below(every);
            if !(scene.nth + phase).is_multiple_of(every) {
                return None;
            }
        }
        let mut dice = Dice::of(seed, &[key[0], key[1], key[2], key[3], &nth]);
        let head = if self.when.spell.is_some() || !self.when.heads.is_any() { scene.head().await.ok() } else { None };
        let struck = match (self.when.spell, head) {
            (Some(spell), head) => {
                let spell = (head? / spell.max(1)).to_le_bytes();
                Dice::of(seed, &[key[0], key[1], b"spell", &spell]).permille(self.when.chance)
            }
            (None, _) => dice.permille(self.when.chance),
        };
        if !struck || !self.when.heads.is_any() && !self.when.heads.hold(head?) {
            return None;
        }
        if !self.when.at.is_any() && !self.when.at.hold(scene.height_asked(asked).await?) {
            return None;
        }
        Some(dice)
    }

    fn is_about(&self, method: &str) -> bool {
        let own = self.fault.methods();
        match (self.methods.is_empty(), own.is_empty()) {
            (false, _) => self.methods.iter().any(|named| fits(named, method)),
            (true, false) => own.iter().any(|named| fits(named, method)),
            (true, true) => method != BATCH && method != PUSH,
        }
    }
}

/// `GET` means every path.
fn fits(named: &str, method: &str) -> bool {
    named == method || named == "*" && method != BATCH && method != PUSH || {
        method.split_once(' ').is_some_and(|(verb, _)| verb == named)
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |why: String| RuleError { rule: format!("`{text}`"), why };
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut given = BTreeMap::new();
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            // The one setting that needs no name: which of several.
            let (key, value) = part.split_once('=').unwrap_or(("which", part));
            if given.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
                return Err(wrong(format!("`{key}` is given twice")));
            }
        }
        build(name.trim(), given).map_err(wrong)
    }
}

fn from_table(table: Table) -> Result<Rule, String> {
    let (mut name, mut given) = (None, BTreeMap::new());
    for (key, value) in table {
        let text = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(yes) => yes.to_string(),
            Value::Array(items) => {
                let texts = items.into_iter().map(|item| match item {
                    Value::String(text) => Ok(text),
                    Value::Integer(number) => Ok(number.to_string()),
                    other => Err(format!("{key}: a list of texts, found {}", other.type_str())),
                });
                texts.collect::<Result<Vec<_>, _>>()?.join("+")
            }
            other => return Err(format!("{key}: a text, a number or a list of texts, found {}", other.type_str())),
        };
        if key == "fault" {
            name = Some(text);
        } else {
            given.insert(key, text);
        }
    }
    build(&name.ok_or("fault must be given: the name of one (--list shows them)")?, given)
}

fn build(name: &str, mut given: BTreeMap<String, String>) -> Result<Rule, String> {
    let kind =
        faults::named(name).ok_or_else(|| format!("no fault is named `{name}`; --list shows those there are"))?;
    let mut take = |key: &str| given.remove(key);
    let number = |key: &str, text: Option<String>, range: RangeInclusive<u64>| {
        let wrong = |text: &str| format!("{key}: a number from {} to {}, found `{text}`", range.start(), range.end());
        text.map(|text| text.parse().ok().filter(|n| range.contains(n)).ok_or_else(|| wrong(&text))).transpose()
    };
    let ranges = |key: &str, text: Option<String>| {
        text.map_or(Ok(Ranges::default()), |text| text.parse().map_err(|why| format!("{key}: {why}")))
    };
    let methods = take("methods").map(|text| text.split('+').map(|m| m.trim().to_owned()).collect());
    let when = When {
        chance: number("chance", take("chance"), 0..=1_000)?
            .map_or(1_000, |chance| u32::try_from(chance).unwrap_or(1_000)),
        spell: number("spell", take("spell"), 1..=1_000_000)?,
        every: number("every", take("every"), 1..=1_000_000)?,
        calls: ranges("calls", take("calls"))?,
        at: ranges("at", take("at"))?,
        heads: ranges("heads", take("heads"))?,
    };
    let fault = (kind.make)(&Settings::read(kind, given)?)?;
    Ok(Rule { fault, methods: methods.unwrap_or_default(), when })
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Ranges of numbers; none given: all numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<RangeInclusive<u64>>);

impl Ranges {
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = RangeInclusive<u64>>) -> Self {
        Self(ranges.into_iter().collect())
    }

    fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    fn hold(&self, number: u64) -> bool {
        self.is_any() || self.0.iter().any(|range| range.contains(&number))
    }
}

impl FromStr for Ranges {
    type Err = String;

    /// `3`, `3..9` (without 9), `3..=9`, `3..`, `..9`; several with `+` between.
    fn from_str(text: &str) -> Result<Self, String> {
        let one = |part: &str| -> Option<RangeInclusive<u64>> {
            let Some((from, to)) = part.split_once("..") else {
                let only = part.parse().ok()?;
                return Some(only..=only);
            };
            let from = if from.is_empty() { 0 } else { from.parse().ok()? };
            let to = match (to.strip_prefix('='), to) {
                (Some(to), _) => to.parse().ok()?,
                (None, "") => u64::MAX,
                (None, to) => to.parse::<u64>().ok()?.checked_sub(1)?,
            };
            (from <= to).then_some(from..=to)
        };
        let parts = text.split('+').map(|part| one(part.trim()));
        let list: Option<Vec<_>> = parts.collect();
        list.map(Self).ok_or_else(|| format!("ranges such as 3, 3..9, 3..=9 or 3.., with + between; found `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        text.parse::<Rule>().unwrap_err().to_string()
    }

    #[test]
    fn a_rule_is_read_with_everything_it_says() {
        let rule: Rule =
            "lagging:blocks=3,methods=eth_blockNumber+eth_getLogs,chance=200,every=2,calls=1..,heads=5..=9"
                .parse()
                .unwrap();
        assert_eq!(rule.fault.name(), "lagging");
        assert_eq!(rule.methods, ["eth_blockNumber", "eth_getLogs"]);
        let when = When {
            chance: 200,
            every: Some(2),
            calls: Ranges::of([1..=u64::MAX]),
            heads: Ranges::of([5..=9]),
            ..When::default()
        };
        assert_eq!(rule.when, when);
        assert!("hang".parse::<Rule>().is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_by_name() {
        assert!(why("leggings").contains("no fault is named `leggings`"));
        assert_eq!(
            why("lagging:chance=2000"),
            "rule `lagging:chance=2000`: chance: a number from 0 to 1000, found `2000`"
        );
        assert!(why("lagging:blocks=none").contains("blocks: a number from"));
        assert!(why("lagging:blocs=3").contains("takes no `blocs`; it takes blocks"));
        assert!(why("lagging:blocks=3,blocks=4").contains("given twice"));
        assert!(why("lagging:calls=9..3").contains("calls: ranges such as"));
        assert!(why("error:no-such-provider").contains("no-such-provider"));
    }

    #[test]
    fn a_file_of_rules_is_read_and_its_errors_name_the_line() {
        let text = "\n[[rule]]\nfault = \"lagging\"\nblocks = 3\nmethods = [\"eth_blockNumber\", \"eth_getLogs\"]\n\n[[rule]]\nfault = \"hang\"\n";
        let rules = Rule::from_toml("rules.toml", text).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[0].methods.len(), 2);
        let wrong = "[[rule]]\nfault = \"lagging\"\nblocks = 3.5\n[[rule]]\nblocks = 3\n";
        let shown: Vec<_> = Rule::from_toml("r.toml", wrong).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(shown[0].starts_with("rule r.toml:1: blocks: "), "{shown:?}");
        assert!(shown[1].starts_with("rule r.toml:4: fault must be given"), "{shown:?}");
        assert!(Rule::from_toml("r.toml", "rule = 3").unwrap_err()[0].to_string().starts_with("rule r.toml:1: "));
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let hold = |text: &str, number| text.parse::<Ranges>().unwrap().hold(number);
        assert!(hold("3", 3) && !hold("3", 4));
        assert!(hold("3..9", 8) && !hold("3..9", 9) && hold("3..=9", 9));
        assert!(hold("..2+7..", 0) && !hold("..2+7..", 5) && hold("..2+7..", u64::MAX));
        for wrong in ["", "a", "..0", "9..3", "1..2..3", "-1"] {
            assert!(wrong.parse::<Ranges>().is_err(), "{wrong:?}");
        }
    }
}
