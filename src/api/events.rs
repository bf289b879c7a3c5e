//! The feed: what receivers were told, as they were told it, for whoever was down or would rather ask.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::App;
use super::auth::Caller;
use super::input::Params;
use super::page;
use super::problem::{Code, Problem};
use crate::store::outbox::feed;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    tenant: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

/// Only numbered events are shown, so that a cursor never steps over a late commit. `next_cursor` is always there:
/// a receiver that has read everything asks on from it.
pub async fn feed(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let after = i64::try_from(wish.after.unwrap_or(0))
        .map_err(|_| Problem::field(Code::InvalidParameter, "after", "not a cursor of ours"))?;
    let tenant = caller.tenant_for(wish.tenant)?;
    let mut events = feed::page(&app.pool, tenant.as_deref(), after, limit + 1).await?;
    let more = events.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = events.last().map_or(after, |event| event.number);

    // Stored bytes go out as they are; parsing and printing them again could only change them.
    let mut text = br#"{"data":["#.to_vec();
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(&event.body);
    }
    text.extend_from_slice(format!(r#"],"has_more":{more},"next_cursor":"{next}"}}"#).as_bytes());
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text).into_response())
}
