//! The questions we put to one endpoint. Never for a ledger beyond its newest: nodes answer that with errors that read
//! like those for a ledger they no longer have. Which of both it is, it is asked in numbers; its words decide nothing.

use std::sync::Arc;

use amn_core::block::{Hash, Header, Height};
use amn_rpc::{Answer, Endpoint, RpcError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stellar_xdr::{LedgerHeaderHistoryEntry, Limits, ReadXdr};

use super::BODY_MAX;
use super::memory::{Memory, Range};
use super::trouble::Trouble;
use super::wire::{WireHealth, WireLedger, WireLedgers, WireNetwork};
use crate::evidence::{Lie, commitment};
use crate::ledger::{DEPTH_MAX, LedgerError, close_time};

/// Bytes of a header: 400, and a signed value and upgrades beside it.
const HEADER_MAX: usize = 16 << 10;

/// One endpoint, and what is remembered of it.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub endpoint: &'a Arc<Endpoint>,
    pub memory: &'a Memory,
}

pub const NETWORK: &str = "getNetwork";

/// The parameters of a question without any: a list is refused.
pub fn nothing() -> Value {
    json!({})
}

/// Who a node says it is.
pub fn read_network(answer: Result<Answer, RpcError>) -> Result<WireNetwork, Trouble> {
    Ok(answer?.parse::<WireNetwork>()?)
}

impl Ask<'_> {
    /// Which ledgers it has now.
    pub async fn health(&self) -> Result<Range, Trouble> {
        let health: WireHealth = self.endpoint.call("getHealth", &nothing()).await?.parse()?;
        if health.status != "healthy" {
            return Err(Trouble::Failed("it says that it is not healthy".to_owned()));
        }
        let range = Range {
            oldest: health.oldest_ledger.0,
            latest: health.latest_ledger.0,
            window: health.ledger_retention_window.0,
        };
        if range.latest == 0 || range.oldest > range.latest {
            return Err(Trouble::Failed(format!("it says that it has ledgers {} to {}", range.oldest, range.latest)));
        }
        self.memory.reaches(self.endpoint, range);
        Ok(range)
    }

    /// Its range, asked for only where it is not known to reach so far.
    pub async fn range_to(&self, last: u32) -> Result<Range, Trouble> {
        match self.memory.range(self.endpoint).filter(|range| range.latest >= last) {
            Some(range) => Ok(range),
            None => self.health().await,
        }
    }

    /// So many ledgers from this one on, as they came.
    pub async fn page(&self, first: u32, count: u32) -> Result<Answer, Trouble> {
        let params = json!({ "startLedger": first, "pagination": { "limit": count } });
        let error = match self.endpoint.call("getLedgers", &params).await {
            Ok(answer) if answer.raw().len() > BODY_MAX => RpcError::Split { hint: None },
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match error {
            RpcError::Split { .. } => Err(Trouble::TooMuch(format!("{count} ledgers are too much for it"))),
            RpcError::TryOther { timed_out: true, detail } => Err(Trouble::TimedOut(detail)),
            RpcError::NotYet(_) | RpcError::Pruned(_) | RpcError::Rejected { .. } | RpcError::TryOther { .. } => {
                Err(self.why_not(first, error.to_string()).await)
            }
            other => Err(other.into()),
        }
    }

    /// Why it does not give a ledger: it asks for the limits anew.
    pub async fn why_not(&self, first: u32, what: String) -> Trouble {
        match self.health().await {
            Ok(range) if range.latest < first => Trouble::NotYet(format!("its newest ledger is {}", range.latest)),
            Ok(range) if range.oldest > first => {
                Trouble::Pruned(format!("its oldest ledger is {}, and {first} is next", range.oldest))
            }
            Ok(range) => {
                Trouble::Lacks(format!("it has ledgers {} to {}, and for {first}: {what}", range.oldest, range.latest))
            }
            Err(_) => Trouble::Failed(what),
        }
    }

    /// The header at a height as it gives it, and the whole of its answer. Only what its hash says is believed of it.
    pub async fn header(&self, at: Height) -> Result<(Header, Answer), Trouble> {
        let sequence = number(at)?;
        let range = self.range_to(sequence).await?;
        if range.latest < sequence {
            return Err(Trouble::NotYet(format!("its newest ledger is {}", range.latest)));
        }
        let answer = self.page(sequence, 1).await?;
        let Some(header) = read_header(&answer, sequence)? else {
            return Err(self.why_not(sequence, "a page without it".to_owned()).await);
        };
        self.memory.says(self.endpoint, [header]);
        self.endpoint.report_block(at.0);
        Ok((header, answer))
    }

    /// The same as it said it a moment ago, where it did.
    pub async fn header_once(&self, at: Height) -> Result<Header, Trouble> {
        match self.memory.said(self.endpoint, at) {
            Some(header) => Ok(header),
            None => Ok(self.header(at).await?.0),
        }
    }
}

/// The number that a ledger of this height is asked for by.
pub fn number(height: Height) -> Result<u32, Trouble> {
    u32::try_from(height.0).map_err(|_| Trouble::NotYet(format!("no ledger will ever have the number {height}")))
}

/// The header of the first ledger of a page; `None` where that is another ledger, or there is none.
fn read_header(answer: &Answer, sequence: u32) -> Result<Option<Header>, Trouble> {
    let page: WireLedgers<'_> = answer.parse_borrowed()?;
    let ledgers = page.ledgers.unwrap_or_default();
    let Some(first) = ledgers.first().filter(|ledger| ledger.sequence.0 == sequence) else { return Ok(None) };
    let Some(entry) = header_entry(first)? else {
        return Err(Trouble::Failed(format!("ledger {sequence} without its header")));
    };
    let computed = commitment::header(&entry.header, &mut Vec::new());
    let said = Hash(entry.hash.0);
    if computed != said {
        return Err(Lie::HeaderHash { sequence, said, computed }.into());
    }
    if entry.header.ledger_seq != sequence {
        return Err(Trouble::Lie(format!("the header of ledger {sequence} is that of {}", entry.header.ledger_seq)));
    }
    let at = amn_core::block::BlockRef { height: Height(u64::from(sequence)), hash: said };
    let parent = Hash(entry.header.previous_ledger_hash.0);
    Ok(Some(Header { at, parent, time: close_time(&entry.header.scp_value) }))
}

/// The header that stands beside a ledger; `None` where none does.
pub fn header_entry(ledger: &WireLedger<'_>) -> Result<Option<LedgerHeaderHistoryEntry>, Trouble> {
    let Some(text) = ledger.header_xdr.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    let bytes = base64_of(text, HEADER_MAX, ledger.sequence.0)?;
    let limits = Limits { depth: DEPTH_MAX, len: bytes.len() };
    let entry = LedgerHeaderHistoryEntry::from_xdr(&bytes, limits);
    entry.map(Some).map_err(|error| LedgerError::Undecodable(format!("header: {error}")).into())
}

/// The bytes that a text in base64 stands for, at most so many.
pub fn base64_of(text: &str, max: usize, sequence: u32) -> Result<Vec<u8>, Trouble> {
    if text.len() / 4 * 3 > max.saturating_add(3) {
        // Either it is nonsense, or ledgers have outgrown this binary: who else says the same tells which.
        return Err(Trouble::Undecodable(format!("a part of ledger {sequence} of over {max} bytes")));
    }
    STANDARD.decode(text).map_err(|_| Trouble::Lie(format!("a part of ledger {sequence} is no base64")))
}
