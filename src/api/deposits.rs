//! Deposits over HTTP: read by tenants, assigned and taken back by operators.

use amn_core::block::{Hash, NetworkId};
use amn_core::deposit::DepositStatus;
use amn_core::engine::Command;
use amn_core::id::{DepositId, IntentId};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::auth::Caller;
use super::input::{Body, NoBody, Params, path_id};
use super::page::{self, after, cursor};
use super::problem::Problem;
use super::{App, AppState, intents, json_answer, view};
use crate::store::read::{self, deposits::Deposit};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    tenant: Option<String>,
    network: Option<String>,
    status: Option<DepositStatus>,
    intent: Option<IntentId>,
    matched: Option<bool>,
    tx: Option<Hash>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub async fn list(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let after = after(wish.cursor.as_deref())?;
    let filter = read::deposits::Filter {
        tenant: caller.tenant_for(wish.tenant)?,
        network: wish.network,
        status: wish.status,
        intent: wish.intent,
        matched: wish.matched,
        tx: wish.tx,
    };
    let rows = read::deposits::list(&app.pool, &filter, after, page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, |d| cursor(d.seen_at, d.id.0), view::deposit);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

pub async fn get(State(app): App, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    answer(&app, &caller, path_id("deposit", &id)?).await
}

async fn visible(app: &AppState, caller: &Caller, id: DepositId) -> Result<Deposit, Problem> {
    let deposit = read::deposits::get(&app.pool, id).await?;
    deposit.filter(|d| caller.sees(Some(&d.tenant))).ok_or_else(|| Problem::not_found("deposit", id))
}

async fn answer(app: &AppState, caller: &Caller, id: DepositId) -> Result<Response, Problem> {
    let deposit = visible(app, caller, id).await?;
    Ok(json_answer(StatusCode::OK, &view::deposit(&deposit)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    intent: IntentId,
}

pub async fn assign(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<Assignment>,
) -> Result<Response, Problem> {
    let deposit = path_id("deposit", &id)?;
    let intent = body.input.intent;
    // Told apart here, so that the caller learns which of the two is missing.
    intents::visible(&app, &caller, intent).await?;
    decide(&app, &caller, deposit, Command::Assign { deposit, intent }).await
}

pub async fn unassign(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let deposit = path_id("deposit", &id)?;
    decide(&app, &caller, deposit, Command::Unassign { deposit }).await
}

async fn decide(app: &AppState, caller: &Caller, id: DepositId, command: Command) -> Result<Response, Problem> {
    let deposit = visible(app, caller, id).await?;
    app.decide.command(&NetworkId::new(&deposit.network), command, &caller.actor).await?;
    app.wake.notify_one();
    answer(app, caller, id).await
}
