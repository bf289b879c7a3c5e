//! What a fault may look at and remember when it strikes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::upstream::{Upstream, UpstreamError};
use super::{Dice, Question, Reply, shape};

/// Questions whose last honest answer is kept: an hour of following a chain of one-second blocks.
const REMEMBERED_MAX: usize = 4_096;
/// Answers larger than this are not kept, so that all of them stay below 256 MB.
const REMEMBERED_BYTES_MAX: usize = 64 << 10;
/// Questions that are counted apart. Beyond, counting begins again: no run of tests comes near.
const COUNTED_MAX: usize = 1 << 20;

/// The place of one strike.
#[derive(Debug)]
pub struct Scene {
    /// Thrown by nobody else: what it shows follows from seed, rule, question and `nth` alone.
    pub dice: Dice,
    /// How often this question was asked before.
    pub nth: u64,
    /// The honest answer to the same question the last time it was asked.
    pub before: Option<Value>,
    /// Asked for once: rules and faults of one question see one head.
    head: OnceCell<u64>,
    upstream: Arc<Upstream>,
    memory: Arc<Mutex<Memory>>,
}

impl Scene {
    pub(super) fn new(dice: Dice, nth: u64, before: Option<Value>, on: (Arc<Upstream>, Arc<Mutex<Memory>>)) -> Self {
        let (upstream, memory) = on;
        Self { dice, nth, before, head: OnceCell::new(), upstream, memory }
    }

    /// Asks the node behind; the honest answer, where it has the shape that the question calls for.
    pub async fn ask_upstream(&self, method: &str, params: Value) -> Result<Value, UpstreamError> {
        let asked = Question { id: json!(1), method: method.to_owned(), params };
        match self.upstream.ask(&asked).await {
            Reply::Result(value) if shape::fits(method, &value) => Ok(value),
            Reply::Result(_) => Err(UpstreamError(format!("{method}: an answer of another shape"))),
            other => Err(UpstreamError(format!("{method}: {other:?}"))),
        }
    }

    /// The height of the node behind.
    pub async fn head(&self) -> Result<u64, UpstreamError> {
        let ask = async || {
            let answer = self.ask_upstream("eth_blockNumber", json!([])).await?;
            number(&answer).ok_or_else(|| UpstreamError("eth_blockNumber: no number".to_owned()))
        };
        self.head.get_or_try_init(ask).await.copied()
    }

    /// The height of the block that a question is about, if it is about one that the node behind knows. For a range
    /// of logs: where it begins.
    pub async fn height_asked(&self, asked: &Question) -> Option<u64> {
        let block = match asked.method.as_str() {
            "eth_getBlockByNumber" | "eth_getBlockByHash" | "eth_getBlockReceipts" => &asked.params[0],
            "eth_getLogs" if asked.params[0]["blockHash"].is_string() => &asked.params[0],
            "eth_getLogs" => &asked.params[0]["fromBlock"],
            "eth_call" | "eth_getBalance" | "eth_getCode" => &asked.params[1],
            "eth_blockNumber" => return self.head().await.ok(),
            _ => return None,
        };
        self.height_of(block).await
    }

    /// The height that a number, a tag, a hash or `{blockHash}` names.
    pub async fn height_of(&self, block: &Value) -> Option<u64> {
        let hash = block["blockHash"].as_str().or_else(|| block.as_str().filter(|text| text.len() == 66));
        if let Some(hash) = hash {
            if let Some(height) = self.memory().heights.get(&hash.to_owned()) {
                return Some(*height);
            }
            let found = self.ask_upstream("eth_getBlockByHash", json!([hash, false])).await.ok()?;
            let height = number(&found["number"])?;
            self.memory().heights.keep(hash.to_owned(), height);
            return Some(height);
        }
        match block.as_str() {
            Some(text) if text.starts_with("0x") => number(block),
            Some("earliest") => Some(0),
            Some("latest" | "pending") => self.head().await.ok(),
            Some(tag) => {
                let found = self.ask_upstream("eth_getBlockByNumber", json!([tag, false])).await.ok()?;
                number(&found["number"])
            }
            None => None,
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

/// `0x…` as a number.
#[must_use]
pub fn number(value: &Value) -> Option<u64> {
    amn_evm::wire::quantity(value.as_str()?)
}

/// A number as nodes print it.
#[must_use]
pub fn printed(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

/// What a face remembers of its questions, bounded.
#[derive(Debug, Default)]
pub(super) struct Memory {
    counted: HashMap<u64, u64>,
    answers: Kept<u64, Value>,
    heights: Kept<String, u64>,
}

impl Memory {
    /// How often this question was asked before now, which is counted.
    pub(super) fn count(&mut self, key: u64) -> u64 {
        if self.counted.len() >= COUNTED_MAX {
            self.counted.clear();
        }
        let times = self.counted.entry(key).or_default();
        *times += 1;
        *times - 1
    }

    /// Keeps an honest answer; the one it replaces.
    pub(super) fn answered(&mut self, key: u64, answer: &Value) -> Option<Value> {
        let before = self.answers.get(&key).cloned();
        if size(answer) <= REMEMBERED_BYTES_MAX {
            self.answers.keep(key, answer.clone());
        }
        before
    }
}

/// About how much an answer holds.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 8,
    }
}

/// The newest so many; the oldest is forgotten first.
#[derive(Debug)]
struct Kept<K, V> {
    by_key: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Kept<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.by_key.get(key)
    }

    fn keep(&mut self, key: K, value: V) {
        if self.by_key.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answer_is_forgotten_first() {
        let mut memory = Memory::default();
        for key in 0..=REMEMBERED_MAX as u64 {
            assert_eq!(memory.answered(key, &json!(key)), None);
        }
        assert_eq!(memory.answered(0, &json!("again")), None, "forgotten");
        assert_eq!(memory.answered(5, &json!("next")), Some(json!(5)));
        let large = json!("x".repeat(REMEMBERED_BYTES_MAX + 1));
        memory.answered(5, &large);
        assert_eq!(memory.answered(5, &large), Some(json!("next")), "too large to keep");
    }

    #[test]
    fn every_question_is_counted_by_itself() {
        let mut memory = Memory::default();
        assert_eq!([memory.count(1), memory.count(2), memory.count(1)], [0, 0, 1]);
    }
}
