//! Webhook endpoints over HTTP. A secret is shown when it is made and never again.

use amn_core::id::{EndpointId, EventId};
use amn_core::timestamp::Timestamp;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::input::{Body, Findings, MaybeBody, NoBody, Params, path_id};
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer, page, tenants};
use crate::outbox::signature::{SECRET_BYTES, Secret};
use crate::store::outbox::endpoints::{self, Endpoint, NewEndpoint, OVERLAP_MS_DEFAULT, Scope};
use crate::store::read::{audit, webhooks};

/// Every event of a tenant is written once for each; more is a fan-out that belongs behind one of them.
const ENDPOINTS_MAX: i64 = 16;
/// Longer URLs are refused by many receivers anyway.
const URL_LENGTH_MAX: usize = 2_048;
/// A week: whoever has not changed over by then never will.
const OVERLAP_SECONDS_MAX: u32 = 7 * 86_400;

/// The contract's events that an endpoint may choose from.
pub const EVENTS: &[&str] = &[
    "contract.event",
    "contract.reversed",
    "deposit.reversed",
    "deposit.unmatched",
    "network.halted",
    "network.resumed",
    "payment.canceled",
    "payment.confirmed",
    "payment.detected",
    "payment.expired",
    "payment.late",
    "payment.overpaid",
    "payment.partial",
    "payment.retracted",
    "payment.reversed",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    tenant: Option<String>,
    url: String,
    events: Option<Vec<String>>,
}

pub async fn create(State(app): App, caller: Caller, body: Body<Asked>) -> Result<Response, Problem> {
    let Asked { tenant, url, events } = body.input;
    let tenant = caller.tenant_for(tenant)?;
    if let Some(tenant) = &tenant {
        tenants::check_name(tenant)?;
    }
    let mut found = Findings::default();
    found.check(url.len() <= URL_LENGTH_MAX, "url", format!("has at most {URL_LENGTH_MAX} bytes"));
    let chosen = events.as_deref().unwrap_or_default();
    found.check(events.is_none() || !chosen.is_empty(), "events", "name some, or leave it out for all");
    for (at, event) in chosen.iter().enumerate().take(EVENTS.len() + 1) {
        let once = !chosen[..at].contains(event);
        let known = EVENTS.contains(&event.as_str());
        found.check(known && once, &format!("events[{at}]"), format!("each once, of {}", EVENTS.join(", ")));
    }
    found.settle(Code::InvalidBody)?;
    // Asks the resolver, so before any transaction.
    app.chains.vet_webhook_url(&url).await.map_err(|why| Problem::field(Code::InvalidTerms, "url", why))?;

    let now = app.clock.now();
    let (id, secret) = (EndpointId(app.ids.next()), new_secret(&app));
    let new = NewEndpoint { id, tenant: tenant.as_deref(), url: &url, events: events.as_deref(), secret: &secret };
    let mut tx = app.pool.begin().await?;
    if webhooks::count_locked(&mut tx, tenant.as_deref()).await? >= ENDPOINTS_MAX {
        return Err(Problem::new(Code::Refused, format!("a tenant has at most {ENDPOINTS_MAX} endpoints")));
    }
    let made = endpoints::create(&mut tx, &new, now).await?;
    let detail = json!({ "events": events, "tenant": tenant });
    audit(&mut tx, now, &caller.actor, "endpoint.create", &id.to_string(), &detail).await?;
    tx.commit().await?;
    Ok(json_answer(StatusCode::CREATED, &with_secret(&made, &secret)).into_response())
}

fn new_secret(app: &AppState) -> Secret {
    let mut chance = [0; SECRET_BYTES];
    app.ids.fill(&mut chance);
    Secret::from_chance(&chance)
}

fn view(endpoint: &Endpoint) -> Value {
    json!({
        "created_at": endpoint.created_at,
        "events": endpoint.events,
        "id": endpoint.id,
        "paused_reason": endpoint.paused_reason,
        "previous_secret_until": endpoint.previous_until,
        "status": if endpoint.paused { "paused" } else { "active" },
        "tenant": endpoint.tenant,
        "url": endpoint.url,
    })
}

fn with_secret(endpoint: &Endpoint, secret: &Secret) -> Value {
    let mut shown = view(endpoint);
    shown["secret"] = secret.reveal().into();
    shown
}

fn scope(caller: &Caller) -> Scope<'_> {
    caller.tenant.as_deref().map_or(Scope::All, Scope::Tenant)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    cursor: Option<EndpointId>,
    limit: Option<u32>,
}

pub async fn list(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let rows = endpoints::list(&app.pool, scope(&caller), wish.cursor, limit + 1).await?;
    let page = page::page(rows, limit, |endpoint| endpoint.id.to_string(), view);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

pub async fn get(State(app): App, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let endpoint = one(&app, &caller, path_id("endpoint", &id)?).await?;
    Ok(json_answer(StatusCode::OK, &view(&endpoint)).into_response())
}

/// The endpoint, if it is there and the caller's to touch.
async fn one(app: &AppState, caller: &Caller, id: EndpointId) -> Result<Endpoint, Problem> {
    // The list in the order of ids, from just before it.
    let before = EndpointId(id.0.saturating_sub(1));
    let found = endpoints::list(&app.pool, scope(caller), Some(before), 1).await?;
    found.into_iter().find(|endpoint| endpoint.id == id).ok_or_else(|| Problem::not_found("webhook endpoint", id))
}

/// Does something to an endpoint and says so in the audit log; one transaction.
macro_rules! change {
    ($app:ident, $caller:ident, $id:ident, $action:literal, $detail:expr, |$tx:ident, $scope:ident| $done:expr) => {{
        let mut $tx = $app.pool.begin().await?;
        let $scope = scope(&$caller);
        if !$done {
            return Err(Problem::not_found("webhook endpoint", $id));
        }
        audit(&mut $tx, $app.clock.now(), &$caller.actor, $action, &$id.to_string(), &$detail).await?;
        $tx.commit().await?;
        $app.wake.notify_one();
    }};
}

pub async fn pause(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let id: EndpointId = path_id("endpoint", &id)?;
    change!(app, caller, id, "endpoint.pause", json!({}), |tx, scope| {
        endpoints::pause(&mut *tx, scope, id, "paused by request").await?
    });
    Ok(json_answer(StatusCode::OK, &view(&one(&app, &caller, id).await?)).into_response())
}

pub async fn resume(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let id: EndpointId = path_id("endpoint", &id)?;
    change!(app, caller, id, "endpoint.resume", json!({}), |tx, scope| {
        endpoints::resume(&mut *tx, scope, id).await?
    });
    Ok(json_answer(StatusCode::OK, &view(&one(&app, &caller, id).await?)).into_response())
}

pub async fn delete(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let id: EndpointId = path_id("endpoint", &id)?;
    change!(app, caller, id, "endpoint.delete", json!({}), |tx, scope| {
        endpoints::delete(&mut tx, scope, id, app.clock.now()).await?
    });
    Ok(json_answer(StatusCode::OK, &json!({ "deleted": true, "id": id })).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    overlap_seconds: Option<u32>,
}

pub async fn rotate(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    MaybeBody(wish): MaybeBody<Rotation>,
) -> Result<Response, Problem> {
    let id: EndpointId = path_id("endpoint", &id)?;
    let overlap = wish.overlap_seconds.map_or(OVERLAP_MS_DEFAULT, |seconds| i64::from(seconds) * 1_000);
    if overlap > i64::from(OVERLAP_SECONDS_MAX) * 1_000 {
        let message = format!("at most {OVERLAP_SECONDS_MAX}");
        return Err(Problem::field(Code::InvalidTerms, "overlap_seconds", message));
    }
    let until = Timestamp::from_millis(app.clock.now().millis() + overlap);
    let secret = new_secret(&app);
    change!(app, caller, id, "endpoint.rotate", json!({ "previous_until": until }), |tx, scope| {
        endpoints::rotate_secret(&mut *tx, scope, id, &secret, until).await?
    });
    Ok(json_answer(StatusCode::OK, &with_secret(&one(&app, &caller, id).await?, &secret)).into_response())
}

pub async fn test(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let id: EndpointId = path_id("endpoint", &id)?;
    let event = EventId(app.ids.next());
    change!(app, caller, id, "endpoint.test", json!({ "event": event }), |tx, scope| {
        endpoints::test(&mut tx, scope, id, event, app.clock.now()).await?
    });
    Ok(json_answer(StatusCode::ACCEPTED, &json!({ "endpoint": id, "event": event })).into_response())
}
