//! Lies about content: answers that look whole and say what did not happen.
//!
//! A lie is a change of an honest answer, so that whatever it leaves alone is true. Who tells it, and when, is for the
//! rules to say. `docs/LIES.md` says of each what came of it.

/// A table of lies: name, sentence, questions, and how it is told.
macro_rules! lies {
    ($($name:literal, $says:literal, $methods:expr, $tell:expr;)*) => {
        &[$($crate::torture::lies::Lie {
            kind: $crate::torture::faults::Kind {
                name: $name,
                says: $says,
                takes: $crate::torture::lies::TAKES,
                make: |settings| $crate::torture::lies::make($name, settings),
            },
            methods: $methods,
            tell: $tell,
        },)*]
    };
}

mod batches;
mod blocks;
mod forge;
mod heads;
mod identity;
mod native;
mod ranges;
mod receipts;
mod state;

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::faults::{Kind, Settings, Take, text};
use super::{Fault, Question, Reply, Scene, shape};

/// Whom the lies are about.
#[derive(Debug, Clone)]
pub struct Aim {
    /// The contract whose transfers are changed; `None`: any.
    pub token: Option<Address>,
    /// Whose payments are changed, moved or hidden; `None`: the first one of a block, whoever gets it.
    pub payee: Option<Address>,
    /// Who is said to have been paid.
    pub thief: Address,
    /// What the thief is said to have got.
    pub amount: U256,
}

impl Default for Aim {
    fn default() -> Self {
        Self { token: None, payee: None, thief: Address::repeat_byte(0x66), amount: U256::from(1_000_000_000_u64) }
    }
}

/// What a rule may say of a lie.
const TAKES: &[Take] = &[text("token", ""), text("payee", ""), text("thief", ""), text("amount", "")];

impl Aim {
    /// As a rule gives it; what it leaves out is as usual.
    fn read(settings: &Settings) -> Result<Self, String> {
        let address = |name: &str| {
            let text = settings.text(name);
            let wrong = |_| format!("{name}: an address, found `{text}`");
            if text.is_empty() { Ok(None) } else { text.parse::<Address>().map(Some).map_err(wrong) }
        };
        let (usual, amount) = (Self::default(), settings.text("amount"));
        let parsed =
            amount.parse::<U256>().map_err(|_| format!("amount: a number of smallest units, found `{amount}`"));
        Ok(Self {
            token: address("token")?,
            payee: address("payee")?,
            thief: address("thief")?.unwrap_or(usual.thief),
            amount: if amount.is_empty() { usual.amount } else { parsed? },
        })
    }
}

fn make(name: &str, settings: &Settings) -> Result<Arc<dyn Fault>, String> {
    let lie = named(name).ok_or_else(|| format!("there is no lie `{name}`"))?;
    Ok(lie.about(Aim::read(settings)?))
}

/// One way to lie.
#[derive(Debug)]
pub struct Lie {
    /// Its name, its sentence, and what a rule may say of it.
    pub kind: Kind,
    /// The questions it answers falsely.
    pub methods: &'static [&'static str],
    tell: Tell,
}

/// How a false answer is made of an honest one.
#[derive(Debug)]
enum Tell {
    /// From the answer alone.
    Alone(fn(&Aim, &Question, Value) -> Value),
    /// By asking the node behind for more.
    Asking(for<'a> fn(&'a Aim, &'a Question, Value, &'a Scene) -> BoxFuture<'a, Value>),
}

/// Every lie there is, in the order of the catalogue.
pub fn all() -> impl Iterator<Item = &'static Lie> {
    let tables: [&[Lie]; 8] = [
        receipts::LIES,
        blocks::LIES,
        heads::LIES,
        native::LIES,
        ranges::LIES,
        identity::LIES,
        state::LIES,
        batches::LIES,
    ];
    tables.into_iter().flatten()
}

/// The lie of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Lie> {
    all().find(|lie| lie.kind.name == name)
}

impl Lie {
    /// The fault that tells this lie about them.
    #[must_use]
    pub fn about(&'static self, aim: Aim) -> Arc<dyn Fault> {
        Arc::new(Told { lie: self, aim })
    }
}

struct Told {
    lie: &'static Lie,
    aim: Aim,
}

impl Told {
    /// A rule may name other methods; a lie knows only its own.
    fn is_about(&self, asked: &Question) -> bool {
        self.lie.methods.contains(&asked.method.as_str())
    }
}

impl Fault for Told {
    fn name(&self) -> &str {
        self.lie.kind.name
    }

    fn methods(&self) -> &[&'static str] {
        self.lie.methods
    }

    fn spoil<'a>(&'a self, asked: &'a Question, honest: Reply, scene: &'a mut Scene) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let answer = match honest {
                Reply::Result(answer) if self.is_about(asked) && shape::fits(&asked.method, &answer) => answer,
                // What is no honest answer to one of its questions cannot be made a lie of.
                other => return other,
            };
            Reply::Result(match &self.lie.tell {
                Tell::Alone(tell) => tell(&self.aim, asked, answer),
                Tell::Asking(tell) => tell(&self.aim, asked, answer, scene).await,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::torture::Dice;
    use crate::torture::upstream::Upstream;

    #[test]
    fn a_rule_says_whom_a_lie_is_about_or_which_of_its_settings_is_wrong() {
        use crate::torture::Rule;
        let payee = Address::repeat_byte(0x22);
        assert!(format!("altered-amount:payee={payee},amount=7").parse::<Rule>().is_ok());
        for (said, wrong) in [("thief=me", "thief: an address"), ("amount=-1", "amount: a number")] {
            let error = format!("invented-log:{said}").parse::<Rule>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[tokio::test]
    async fn any_lie_may_be_told_about_what_another_left() {
        // Nobody listens there: a lie that asks for more is refused it.
        let upstream = Arc::new(Upstream::new("http://127.0.0.1:9", None).unwrap());
        let left = [Value::Null, serde_json::json!([]), serde_json::json!([null, {}]), serde_json::json!("0x1")];
        for lie in all() {
            for (method, answer) in lie.methods.iter().flat_map(|method| left.iter().map(move |left| (method, left))) {
                let asked = Question { id: 1.into(), method: (*method).to_owned(), params: serde_json::json!(["0x1"]) };
                let mut scene = Scene::new(Dice::new(1), 0, None, (upstream.clone(), Arc::default()));
                lie.about(Aim::default()).spoil(&asked, Reply::Result(answer.clone()), &mut scene).await;
            }
        }
    }

    #[test]
    fn every_lie_has_a_name_of_its_own_a_sentence_and_a_question() {
        let names: BTreeSet<_> = all().map(|lie| lie.kind.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.len() >= 48, "{}", names.len());
        for lie in all() {
            let name = lie.kind.name;
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
            assert!(lie.kind.says.ends_with('.') && !lie.methods.is_empty(), "{name}");
            assert!(named(name).is_some());
        }
    }
}
