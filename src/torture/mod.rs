//! A node that fails on purpose: a proxy before a real node that drops, delays, cuts, repeats, invents and alters by
//! rule and seed, so that whoever asks it can be shown to survive.
//!
//! Its law: which fault strikes which question follows from the seed, the rule, the question and how often it was
//! asked before, never from the clock; so a run that went wrong goes wrong again. Read [`face`] next, then [`faults`].

pub mod face;
pub mod faults;
pub mod lies;
pub mod rule;
pub mod scene;

mod bell;
mod dice;
mod http;
mod shape;
mod upstream;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

pub use dice::Dice;
pub use face::{Counts, Face, OpenFace};
pub use faults::{Kind, Settings, Take};
pub use rule::{Ranges, Rule, RuleError, When};
pub use scene::Scene;

/// The method of a batch as a whole: its result is the list of the replies, each with its id.
pub const BATCH: &str = "batch";

/// The method of what a node pushes over a WebSocket: its result is the message, [`Value::Null`] for none.
pub const PUSH: &str = "push";

/// One question to a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub id: Value,
    /// As JSON-RPC names it; `GET /path` for REST; [`BATCH`] or [`PUSH`].
    pub method: String,
    pub params: Value,
}

/// What a node says to it, whole or broken.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Result(Value),
    Error {
        code: i64,
        message: String,
        data: Option<Value>,
    },
    /// A JSON-RPC reply as it is, whatever its id and members.
    Envelope(Value),
    /// No JSON-RPC reply, but this status and body.
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// So many bytes of that body, of which all were promised; then the connection ends.
    Cut {
        after: usize,
        of: Box<Reply>,
    },
    /// That body, one byte at a time.
    Drip {
        every: Duration,
        of: Box<Reply>,
    },
    /// That body two times over.
    Twice(Box<Reply>),
    Late {
        by: Duration,
        then: Box<Reply>,
    },
    /// Nothing, and the connection stays open.
    Hang,
    /// Nothing, and the connection ends.
    Close,
}

impl Reply {
    pub fn error(code: i64, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into(), data: None }
    }

    pub fn http(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Http { status, headers: Vec::new(), body: body.into() }
    }

    /// The result, where it is one.
    #[must_use]
    pub fn result(&self) -> Option<&Value> {
        match self {
            Self::Result(value) => Some(value),
            _ => None,
        }
    }

    /// The same reply with its result changed; what is no result stays as it is.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Value) -> Value) -> Self {
        match self {
            Self::Result(value) => Self::Result(change(value)),
            other => other,
        }
    }
}

/// One way to fail. It is handed what the node said, or what an earlier rule made of it, and says something else.
pub trait Fault: Send + Sync {
    fn name(&self) -> &str;

    /// Which questions it is about where its rule does not say; empty: all but [`BATCH`] and [`PUSH`].
    fn methods(&self) -> &[&'static str];

    fn spoil<'a>(&'a self, asked: &'a Question, honest: Reply, scene: &'a mut Scene) -> BoxFuture<'a, Reply>;
}

impl fmt::Debug for dyn Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({})", self.name())
    }
}

/// A fault that needs nothing but the question, the reply and its dice.
pub fn plain<F>(name: &'static str, methods: &'static [&'static str], spoil: F) -> Arc<dyn Fault>
where
    F: Fn(&Question, Reply, &mut Dice) -> Reply + Send + Sync + 'static,
{
    let spoil = Arc::new(spoil);
    asking(name, methods, move |asked, honest, scene| {
        let spoil = spoil.clone();
        Box::pin(async move { spoil(asked, honest, &mut scene.dice) })
    })
}

/// A fault that may ask the node behind it, or look at what was said before.
pub fn asking<F>(name: &'static str, methods: &'static [&'static str], spoil: F) -> Arc<dyn Fault>
where
    F: for<'a> Fn(&'a Question, Reply, &'a mut Scene) -> BoxFuture<'a, Reply> + Send + Sync + 'static,
{
    Arc::new(Made { name, methods, spoil })
}

struct Made<F> {
    name: &'static str,
    methods: &'static [&'static str],
    spoil: F,
}

impl<F> Fault for Made<F>
where
    F: for<'a> Fn(&'a Question, Reply, &'a mut Scene) -> BoxFuture<'a, Reply> + Send + Sync,
{
    fn name(&self) -> &str {
        self.name
    }

    fn methods(&self) -> &[&'static str] {
        self.methods
    }

    fn spoil<'a>(&'a self, asked: &'a Question, honest: Reply, scene: &'a mut Scene) -> BoxFuture<'a, Reply> {
        (self.spoil)(asked, honest, scene)
    }
}
