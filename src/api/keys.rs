//! API keys over HTTP, for operators: made, listed, revoked. A key's text is shown once and never kept.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::{Caller, Scope, hash_key, new_key};
use super::input::{Body, Findings, NoBody, Params, path_id};
use super::problem::{Code, Problem};
use super::{App, json_answer, page, tenants};
use crate::store::keys::{self, KeyRow, NewKey};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    name: String,
    tenant: Option<String>,
    scopes: Vec<String>,
}

pub async fn create(State(app): App, caller: Caller, body: Body<Asked>) -> Result<Response, Problem> {
    let asked = body.input;
    if let Some(tenant) = &asked.tenant {
        tenants::check_name(tenant)?;
    }
    let mut found = Findings::default();
    let named = (1..=64).contains(&asked.name.len())
        && asked.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    found.check(named, "name", "1 to 64 of A-Z a-z 0-9 . _ -");
    found.check(!asked.scopes.is_empty(), "scopes", "a key without scopes opens nothing");
    let mut scopes = Vec::new();
    for (at, text) in asked.scopes.iter().enumerate().take(64) {
        match text.parse::<Scope>() {
            Err(why) => found.add(format!("scopes[{at}]"), why),
            Ok(scope) if !caller.scopes.contains(&scope) => {
                found.add(format!("scopes[{at}]"), "your own key does not hold it, so it cannot give it");
            }
            Ok(scope) if scope.is_operators_alone() && asked.tenant.is_some() => {
                found.add(format!("scopes[{at}]"), "only a key of no tenant may hold it");
            }
            Ok(scope) if scopes.contains(&scope) => found.add(format!("scopes[{at}]"), "named twice"),
            Ok(scope) => scopes.push(scope),
        }
    }
    found.settle(Code::InvalidBody)?;

    let now = app.clock.now();
    let id = Uuid::from_u128(app.ids.next());
    let mut chance = [0; 32];
    app.ids.fill(&mut chance);
    let key = new_key(chance);
    let scopes: Vec<String> = scopes.iter().map(|s| s.as_str().to_owned()).collect();
    let tenant = asked.tenant.as_deref();
    let new = NewKey { id, tenant, name: &asked.name, hash: hash_key(&key), scopes: &scopes };
    keys::create(&app.pool, &new, &caller.actor, now).await?;
    let answer = json!({
        "created_at": now, "id": id, "key": key, "name": asked.name, "revoked_at": null, "scopes": scopes,
        "tenant": asked.tenant,
    });
    Ok(json_answer(StatusCode::CREATED, &answer).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    cursor: Option<Uuid>,
    limit: Option<u32>,
}

pub async fn list(State(app): App, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let rows = keys::list(&app.pool, wish.cursor, page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, |key| key.id.to_string(), view);
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

fn view(key: &KeyRow) -> Value {
    json!({
        "created_at": key.created_at, "id": key.id, "name": key.name, "revoked_at": key.revoked_at,
        "scopes": key.scopes, "tenant": key.tenant,
    })
}

pub async fn revoke(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let id: Uuid = path_id("key", &id)?;
    if !keys::revoke(&app.pool, id, &caller.actor, app.clock.now()).await? {
        return Err(Problem::not_found("key", id));
    }
    Ok(json_answer(StatusCode::OK, &json!({ "id": id, "revoked": true })).into_response())
}
