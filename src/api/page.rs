//! Lists in pages: a bounded number of rows, and an opaque cursor to the next.

use amn_core::timestamp::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::store::read::After;

/// A page of whole intents is about 200 KiB then; more only delays the first row.
pub const LIMIT_MAX: u32 = 200;
const LIMIT_DEFAULT: u32 = 50;

/// How many rows a caller gets.
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::field(Code::InvalidParameter, "limit", format!("a page has 1 to {LIMIT_MAX} rows")))
}

/// The limit as SQL takes it, and one row more, which tells whether there is another page.
pub fn with_one_more(limit: u32) -> i64 {
    i64::from(limit) + 1
}

/// The place a cursor stands for.
pub fn after(cursor: Option<&str>) -> Result<Option<After>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let parse = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (at, id) = bytes.split_first_chunk::<8>()?;
        Some(After { at: Timestamp::from_millis(i64::from_be_bytes(*at)), id: Uuid::from_slice(id).ok()? })
    };
    parse().map(Some).ok_or_else(|| {
        Problem::field(Code::InvalidParameter, "cursor", "not a cursor of ours; take next_cursor of the page before")
    })
}

/// One page of rows that were asked for with one more than `limit`.
pub fn page<T>(mut rows: Vec<T>, limit: u32, place: impl Fn(&T) -> String, view: impl Fn(&T) -> Value) -> Value {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(place);
    json!({ "data": rows.iter().map(view).collect::<Vec<_>>(), "next_cursor": next })
}

/// A cursor for rows in the order of time and name.
pub fn cursor(at: Timestamp, id: u128) -> String {
    let mut bytes = at.millis().to_be_bytes().to_vec();
    bytes.extend_from_slice(&id.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}
