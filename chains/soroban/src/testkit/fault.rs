//! What a node may do wrong, each by its name. What it says of ledgers themselves is the tamperers' business.

use std::sync::Arc;
use std::time::Duration;

use super::tamper::Tamper;

/// What a node does wrong until it is healed.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Its newest ledger is so many behind the chain's.
    Behind(u32),
    /// It has not seen a ledger after this one.
    Stalled(u32),
    /// It says it is so many ledgers further than it is.
    Ahead(u32),
    /// Every second time it is asked, its newest ledger is so many behind: two machines behind one name.
    Backward(u32),
    /// It says it is not healthy: its newest ledger is too old.
    Unhealthy,
    /// It has just been started and knows nothing yet.
    Starting,
    /// It has forgotten what is below this ledger, and says so.
    Forgot(u32),
    /// It says that this is its oldest ledger, whatever it has.
    OldestSaid(u32),
    /// How it says that a ledger is out of its range.
    OutOfRange(Dialect),

    /// This ledger is missing in its pages.
    Missing(u32),
    /// Its pages hold at most so many ledgers, whatever is asked for.
    PagesOf(usize),
    /// Its pages are empty.
    EmptyPages,
    /// Another ledger at this height: these bytes.
    Instead(u32, Arc<[u8]>),
    /// A ledger changed by this hand.
    Tampered(u32, &'static Tamper),
    /// In pages, the ledger below stands in the place of this one.
    Stale(u32),
    /// The fields beside this ledger name the hash of the one below.
    HashOfOther(u32),
    /// The fields beside this ledger name another sequence.
    SequenceOfOther(u32),
    /// The header beside this ledger is that of the one below.
    HeaderOfOther(u32),
    /// The fields beside this ledger name another time.
    OtherTime(u32),
    /// The ledger at this height is no XDR.
    Undecodable(u32),
    /// The ledger at this height is no base64.
    NotBase64(u32),
    /// The ledger at this height claims to be longer than any memory.
    Endless(u32),
    /// The ledger at this height is of a protocol beyond this binary.
    Newer(u32),

    /// It is of another network.
    Passphrase(String),
    /// It says it speaks this protocol.
    Protocol(u32),

    /// HTTP 429; whoever asks may come back after so many seconds.
    TooManyRequests { retry_after: u32 },
    /// HTTP 503: too many are waiting already.
    Queue,
    /// A JSON-RPC error that says the same.
    MethodQueue,
    /// HTTP 504.
    GatewayTimeout,
    /// HTTP 504 for pages of more than so many ledgers.
    TimesOutAbove(u32),
    /// Any other JSON-RPC error.
    Error(i64, &'static str),
    /// It takes so long.
    Slow(Duration),
    /// It never answers.
    Silent,
    /// Its answer ends in the middle, and pretends to be whole.
    Truncated,
    /// The connection ends in the middle of its answer.
    CutOff,
    /// Its answer is so many bytes long, of nothing.
    Padded(u64),
}

/// How versions and providers say that a ledger is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// -32600, as today's version says of a first ledger.
    InvalidRequest,
    /// -32602, as it says of a cursor.
    InvalidParams,
    /// -32602, and that its database has no such ledger.
    NoMetadata,
    /// -32003, as older versions said of everything.
    Internal,
    /// No error at all: a page without ledgers.
    EmptyPage,
}

/// A fault, and how far it goes.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub fault: Fault,
    /// Only of this method.
    pub method: Option<String>,
    /// Only so many times more.
    pub left: Option<u32>,
    pub asked: u64,
}

impl Active {
    /// What it does to this question; counts it.
    pub fn meets(&mut self, method: &str) -> Option<Fault> {
        if self.method.as_deref().is_some_and(|only| only != method) {
            return None;
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        self.asked += 1;
        match &self.fault {
            Fault::Backward(by) => (self.asked.is_multiple_of(2)).then_some(Fault::Behind(*by)),
            fault => Some(fault.clone()),
        }
    }
}
