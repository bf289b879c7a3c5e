//! Deliveries over HTTP: what is pending, what was given up, and sending again.

use amn_core::id::{EndpointId, EventId};
use amn_core::timestamp::Timestamp;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::Caller;
use super::input::{Body, Params, path_id};
use super::problem::{Code, Problem};
use super::{App, json_answer, page};
use crate::store::outbox::redrive::{self, REDRIVE_MAX};
use crate::store::read::{
    audit,
    webhooks::{self, AfterLetter, Attempt, DeadLetter, Delivery, Filter},
};

/// Tries shown of one event: eleven to a generation and an endpoint, so several of each.
const ATTEMPTS_LISTED_MAX: i64 = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    tenant: Option<String>,
    endpoint: Option<EndpointId>,
    cursor: Option<String>,
    limit: Option<u32>,
}

fn filter(caller: &Caller, wish: &Wish) -> Result<Filter, Problem> {
    Ok(Filter { tenant: caller.tenant_for(wish.tenant.clone())?, endpoint: wish.endpoint, event: None })
}

fn no_cursor() -> Problem {
    Problem::field(Code::InvalidParameter, "cursor", "not a cursor of ours; take next_cursor of the page before")
}

pub async fn list(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let after = wish.cursor.as_deref().map_or(Ok(0), str::parse).map_err(|_| no_cursor())?;
    let rows = webhooks::deliveries(&app.pool, &filter(&caller, &wish)?, after, page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, |d| d.number.to_string(), pending);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

fn pending(delivery: &Delivery) -> Value {
    json!({
        "attempts": delivery.attempts,
        "endpoint": delivery.endpoint,
        "endpoint_status": if delivery.endpoint_paused { "paused" } else { "active" },
        "event": delivery.event,
        "first_attempt_at": delivery.first_attempt_at,
        "generation": delivery.generation,
        "intent": delivery.intent,
        "kind": delivery.kind,
        "next_at": delivery.next_at,
        "sequence": delivery.sequence,
    })
}

pub async fn dead_letters(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let after = wish.cursor.as_deref().map(|text| after_letter(text).ok_or_else(no_cursor)).transpose()?;
    let filter = filter(&caller, &wish)?;
    let rows = webhooks::dead_letters(&app.pool, &filter, true, after, page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, letter_cursor, letter);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

fn letter(letter: &DeadLetter) -> Value {
    json!({
        "at": letter.at,
        "attempts": letter.attempts,
        "endpoint": letter.endpoint,
        "event": letter.event,
        "generation": letter.generation,
        "intent": letter.intent,
        "kind": letter.kind,
        "reason": letter.reason,
        "redriven_at": letter.redriven_at,
    })
}

fn letter_cursor(letter: &DeadLetter) -> String {
    let mut bytes = letter.at.millis().to_be_bytes().to_vec();
    bytes.extend_from_slice(&letter.event.0.to_be_bytes());
    bytes.extend_from_slice(&letter.endpoint.0.to_be_bytes());
    bytes.extend_from_slice(&letter.generation.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn after_letter(text: &str) -> Option<AfterLetter> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (at, rest) = bytes.split_first_chunk::<8>()?;
    let (event, rest) = rest.split_first_chunk::<16>()?;
    let (endpoint, rest) = rest.split_first_chunk::<16>()?;
    Some(AfterLetter {
        at: Timestamp::from_millis(i64::from_be_bytes(*at)),
        event: EventId(u128::from_be_bytes(*event)),
        endpoint: EndpointId(u128::from_be_bytes(*endpoint)),
        generation: i32::from_be_bytes(rest.try_into().ok()?),
    })
}

pub async fn of_event(State(app): App, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let event: EventId = path_id("event", &id)?;
    let tenant = webhooks::event_tenant(&app.pool, event).await?;
    if !tenant.is_some_and(|tenant| caller.sees(tenant.as_deref())) {
        return Err(Problem::not_found("event", event));
    }
    let filter = Filter { tenant: caller.tenant.clone(), endpoint: None, event: Some(event) };
    let all = i64::from(page::LIMIT_MAX);
    let deliveries = webhooks::deliveries(&app.pool, &filter, 0, all).await?;
    let attempts = webhooks::attempts(&app.pool, &filter, ATTEMPTS_LISTED_MAX).await?;
    let letters = webhooks::dead_letters(&app.pool, &filter, false, None, all).await?;
    let answer = json!({
        "attempts": attempts.iter().map(attempt).collect::<Vec<_>>(),
        "dead_letters": letters.iter().map(letter).collect::<Vec<_>>(),
        "event": event,
        "pending": deliveries.iter().map(pending).collect::<Vec<_>>(),
    });
    Ok(json_answer(StatusCode::OK, &answer).into_response())
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "at": attempt.at,
        "attempt": attempt.attempt,
        "duration_ms": attempt.duration_ms,
        "endpoint": attempt.endpoint,
        "error": attempt.error,
        "generation": attempt.generation,
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    event: Option<EventId>,
    endpoint: Option<EndpointId>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    delivered_too: Option<bool>,
}

pub async fn redrive(State(app): App, caller: Caller, body: Body<Asked>) -> Result<Response, Problem> {
    let Asked { event, endpoint, from, until, delivered_too } = body.input;
    if event.is_none() && endpoint.is_none() && from.is_none() {
        return Err(Problem::new(Code::InvalidBody, "name an event, an endpoint, or a time to begin from"));
    }
    let now = app.clock.now();
    let delivered_too = delivered_too.unwrap_or(false);
    let what = redrive::Redrive {
        tenant: caller.tenant.as_deref(),
        event: event.map(|id| Uuid::from_u128(id.0)),
        endpoint: endpoint.map(|id| Uuid::from_u128(id.0)),
        from,
        until,
        delivered_too,
    };
    let mut tx = app.pool.begin().await?;
    let made = redrive::redrive(&mut tx, &what, now, REDRIVE_MAX).await?;
    let detail = json!({
        "delivered_too": delivered_too, "endpoint": endpoint, "event": event, "from": from, "redriven": made,
        "until": until,
    });
    audit(&mut tx, now, &caller.actor, "deliveries.redrive", "deliveries", &detail).await?;
    tx.commit().await?;
    app.wake.notify_one();
    let answer = json!({ "has_more": made >= u64::from(REDRIVE_MAX), "redriven": made });
    Ok(json_answer(StatusCode::ACCEPTED, &answer).into_response())
}
