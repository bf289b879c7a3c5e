//! One face of a node: the same chain, told with the faults of its rules.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::scene::{Memory, lock};
use super::upstream::{Upstream, UpstreamError};
use super::wire::{self, Request, Spoken};
use super::{BATCH, Dice, PUSH, Question, Reply, Rule, Scene, http};

/// Kinds of question that are counted apart; the rest is counted together, so that nobody fills our memory.
const METHODS_MAX: usize = 200;

/// A node as its rules make it look. Cloning shares it.
#[derive(Clone)]
pub struct Face {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Arc<Upstream>,
    seed: u64,
    rules: Mutex<Arc<Vec<Rule>>>,
    memory: Arc<Mutex<Memory>>,
    counts: Mutex<Counts>,
}

/// What was asked, and which faults struck how often.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// By method.
    pub asked: BTreeMap<String, u64>,
    /// By fault.
    pub struck: BTreeMap<String, u64>,
}

impl Face {
    /// A face of the node at this URL, honest until it has rules. `ws`: where it announces new heads.
    pub fn before(upstream: &str, ws: Option<&str>, seed: u64) -> Result<Self, UpstreamError> {
        let shared = Shared {
            upstream: Arc::new(Upstream::new(upstream, ws)?),
            seed,
            rules: Mutex::default(),
            memory: Arc::default(),
            counts: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// From now on these rules, each applied to what the one before it made of the answer.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *lock(&self.shared.rules) = Arc::new(rules);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.shared.counts).clone()
    }

    /// Answers one question as this face does.
    pub async fn answer(&self, asked: &Question) -> Reply {
        let key = key(asked);
        let nth = self.counted(asked, key);
        let honest = self.shared.upstream.ask(asked).await;
        self.spoil(asked, key, nth, honest).await
    }

    async fn answer_all(&self, asked: &[Question]) -> Reply {
        // Counted in their order, before anything is awaited: the same batch has the same faults every time.
        let counted: Vec<_> = asked.iter().map(|asked| (key(asked), self.counted(asked, key(asked)))).collect();
        let honest = self.shared.upstream.ask_all(asked).await;
        let spoiled = asked.iter().zip(counted).zip(honest);
        let replies = join_all(spoiled.map(|((asked, (key, nth)), honest)| self.spoil(asked, key, nth, honest))).await;
        let methods = asked.iter().map(|asked| Value::from(asked.method.as_str())).collect();
        let batch = Question { id: Value::Null, method: BATCH.to_owned(), params: methods };
        let together = wire::together(asked, replies);
        let nth = self.counted(&batch, self::key(&batch));
        self.spoil(&batch, self::key(&batch), nth, together).await
    }

    /// What becomes of a message that the node pushes.
    pub(super) async fn push(&self, message: Value) -> Reply {
        // Asked by nobody, so that its own content is not what it is counted by.
        let pushed = Question { id: Value::Null, method: PUSH.to_owned(), params: Value::Null };
        let nth = self.counted(&pushed, key(&pushed));
        self.spoil(&pushed, key(&pushed), nth, Reply::Result(message)).await
    }

    /// The bytes to say to a POST.
    pub(super) async fn posted(&self, path: &str, body: Bytes) -> Spoken {
        match wire::read(&body) {
            Some(Request::One(asked)) => wire::speak(self.answer(&asked).await, &asked.id, false),
            Some(Request::Many(asked)) => wire::speak(self.answer_all(&asked).await, &Value::Null, true),
            None => self.fetched("POST", path, Some(body)).await,
        }
    }

    /// The bytes to say to a request for a path.
    pub(super) async fn fetched(&self, verb: &str, path: &str, body: Option<Bytes>) -> Spoken {
        let asked = Question { id: Value::Null, method: format!("{verb} {path}"), params: Value::Null };
        let key = key(&asked);
        let nth = self.counted(&asked, key);
        let honest = self.shared.upstream.fetch(path, body).await;
        wire::speak(self.spoil(&asked, key, nth, honest).await, &asked.id, true)
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.shared.upstream
    }

    fn counted(&self, asked: &Question, key: u64) -> u64 {
        let mut counts = lock(&self.shared.counts);
        // Paths of REST may hold anything; their verb says enough.
        let name = asked.method.split(' ').next().unwrap_or_default();
        let known = counts.asked.contains_key(name) || counts.asked.len() < METHODS_MAX;
        *counts.asked.entry(if known { name } else { "other" }.to_owned()).or_default() += 1;
        drop(counts);
        lock(&self.shared.memory).count(key)
    }

    async fn spoil(&self, asked: &Question, key: u64, nth: u64, honest: Reply) -> Reply {
        let rules = lock(&self.shared.rules).clone();
        let before = match &honest {
            Reply::Result(value) if asked.method != PUSH => lock(&self.shared.memory).answered(key, value),
            _ => None,
        };
        let on = (self.shared.upstream.clone(), self.shared.memory.clone());
        let mut scene = Scene::new(Dice::new(0), nth, before, on);
        let mut reply = honest;
        for (place, rule) in rules.iter().enumerate() {
            let Some(dice) = rule.strikes(self.shared.seed, place, asked, &scene).await else { continue };
            scene.dice = dice;
            let before = reply.clone();
            reply = rule.fault.spoil(asked, reply, &mut scene).await;
            if reply != before {
                *lock(&self.shared.counts).struck.entry(rule.fault.name().to_owned()).or_default() += 1;
            }
        }
        reply
    }

    /// Serves whoever connects, until it is dropped.
    pub async fn serve(self, listener: TcpListener) -> Infallible {
        http::serve(self, listener).await
    }

    /// Opens on a free port of this machine.
    pub async fn open(self) -> io::Result<OpenFace> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        let face = self.clone();
        serving.spawn(async move { match face.serve(listener).await {} });
        Ok(OpenFace { face: self, address, _serving: serving })
    }
}

/// The same question has the same key.
fn key(asked: &Question) -> u64 {
    Dice::of(0, &[asked.method.as_bytes(), asked.params.to_string().as_bytes()]).throw()
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face").field("upstream", &self.shared.upstream).finish_non_exhaustive()
    }
}

/// A face that is being served. It closes when it is dropped.
#[derive(Debug)]
pub struct OpenFace {
    face: Face,
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl OpenFace {
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Deref for OpenFace {
    type Target = Face;

    fn deref(&self) -> &Face {
        &self.face
    }
}
