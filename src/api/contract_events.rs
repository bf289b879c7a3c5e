//! What watched contracts said, over HTTP: read by the tenants that listen.

use amn_core::block::Hash;
use amn_core::deposit::DepositStatus;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::auth::Caller;
use super::input::{Params, path_id};
use super::page::{self, after, cursor};
use super::problem::Problem;
use super::{App, json_answer, view};
use crate::store::read;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    tenant: Option<String>,
    network: Option<String>,
    contract: Option<String>,
    status: Option<DepositStatus>,
    tx: Option<Hash>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub async fn list(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let after = after(wish.cursor.as_deref())?;
    let filter = read::contract_events::Filter {
        tenant: caller.tenant_for(wish.tenant)?,
        network: wish.network,
        contract: wish.contract,
        status: wish.status,
        tx: wish.tx,
    };
    let rows = read::contract_events::list(&app.pool, &filter, after, page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, |said| cursor(said.seen_at, said.id.0), view::contract_event);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

pub async fn get(State(app): App, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = path_id("contract event", &id)?;
    let said = read::contract_events::get(&app.pool, id).await?;
    let said = said.filter(|said| caller.sees(Some(&said.tenant)));
    let said = said.ok_or_else(|| Problem::not_found("contract event", id))?;
    Ok(json_answer(StatusCode::OK, &view::contract_event(&said)).into_response())
}
