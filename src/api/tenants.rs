//! Tenants over HTTP, for operators: who they are, and the watch-only key their addresses come from.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::input::{Body, Params};
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer, page};
use crate::store::tenants::{self, Tenant};

/// The last index of a non-hardened child.
const INDEX_MAX: u32 = (1 << 31) - 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    xpub: Option<String>,
    first_index: Option<u32>,
}

pub async fn put(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<Terms>,
) -> Result<Response, Problem> {
    check_name(&id)?;
    let terms = body.input;
    let first = terms.first_index.unwrap_or(0);
    if first > INDEX_MAX {
        return Err(Problem::field(Code::InvalidTerms, "first_index", format!("at most {INDEX_MAX}")));
    }
    if let Some(xpub) = &terms.xpub {
        let wrong = |message: &str| Err(Problem::field(Code::InvalidTerms, "xpub", message));
        if xpub.get(1..4).is_some_and(|kind| kind == "prv") {
            // Never echoed, never stored.
            return wrong("this is a PRIVATE key; treat it as lost, and send the xpub of a fresh account");
        }
        if !xpub.contains("pub") || xpub.len() > 128 || app.chains.derive(xpub, first).is_err() {
            return wrong("not an extended public key that addresses can be derived from");
        }
    }
    tenants::put(&app.pool, &id, terms.xpub.as_deref(), first, &caller.actor, app.clock.now()).await?;
    answer(&app, &id).await
}

pub async fn get(State(app): App, Path(id): Path<String>) -> Result<Response, Problem> {
    answer(&app, &id).await
}

async fn answer(app: &AppState, id: &str) -> Result<Response, Problem> {
    // No name with odd characters was ever taken.
    let tenant = if check_name(id).is_ok() { tenants::get(&app.pool, id).await? } else { None };
    let tenant = tenant.ok_or_else(|| Problem::new(Code::NotFound, "there is no such tenant"))?;
    Ok(json_answer(StatusCode::OK, &view(&tenant)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    cursor: Option<String>,
    limit: Option<u32>,
}

pub async fn list(State(app): App, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let rows = tenants::list(&app.pool, wish.cursor.as_deref(), page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, |tenant| tenant.id.clone(), view);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

fn view(tenant: &Tenant) -> Value {
    json!({
        "created_at": tenant.created_at, "id": tenant.id, "next_index": tenant.next_index, "xpub": tenant.xpub,
    })
}

/// A tenant's name, as the database takes it.
pub fn check_name(text: &str) -> Result<(), Problem> {
    let plain = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if plain {
        return Ok(());
    }
    let message = "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit";
    Err(Problem::field(Code::InvalidTerms, "tenant", message))
}
