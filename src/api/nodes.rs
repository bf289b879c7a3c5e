//! A network's nodes over HTTP: what the daemon that follows it says of them, and using one again by hand.

use std::time::Duration;

use amn_core::block::NetworkId;
use amn_core::timestamp::Timestamp;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::input::MaybeBody;
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer};
use crate::store::pools::{self, Told};
use crate::store::read::networks;

/// What another daemon said longer ago is news no more: it says it every two seconds.
const FRESH_MS: i64 = 15_000;

/// A daemon looks for resets every second; whoever has not obeyed by then is not there.
const OBEYED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is said of a network's nodes by whoever follows it: this process where nobody else does.
pub async fn told(app: &AppState, network: &NetworkId, now: Timestamp) -> Result<Option<Told>, Problem> {
    let theirs = pools::told(&app.pool, network).await?;
    let fresh = |told: &Told| now.millis().saturating_sub(told.at.millis()) <= FRESH_MS;
    let ours = || (app.report)(network).map(|report| Told { daemon: app.daemon, at: now, report });
    Ok(match theirs {
        Some(told) if told.daemon != app.daemon && fresh(&told) => Some(told),
        theirs => ours().or(theirs),
    })
}

/// How long a network may be left alone on purpose, in seconds: longer than that it lags.
pub fn left_alone_seconds(told: Option<&Told>) -> u64 {
    let polling = told.map(|told| &told.report["polling"]).filter(|polling| polling["pace"] == "quiet");
    polling.and_then(|polling| polling["interval_ms"].as_u64()).unwrap_or(0).div_ceil(1_000)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    trust: bool,
}

pub async fn reset(
    State(app): App,
    caller: Caller,
    Path((network, endpoint)): Path<(String, String)>,
    MaybeBody(Wish { trust }): MaybeBody<Wish>,
) -> Result<Response, Problem> {
    let id = NetworkId::new(&network);
    let no = |what: &str| Problem::new(Code::NotFound, format!("there is no such {what}"));
    if !networks::list(&app.pool).await?.iter().any(|known| known.id == id) {
        return Err(no("network"));
    }
    let said = told(&app, &id, app.clock.now()).await?;
    if said.as_ref().is_some_and(|told| find(&told.report, &endpoint).is_none()) {
        return Err(no("endpoint"));
    }
    let asked = pools::ask_reset(&app.pool, &id, &endpoint, trust, &caller.actor, app.clock.now()).await?;
    let Some(daemons) = obeyed(&app, asked, &caller.actor).await? else {
        return Err(Problem::new(
            Code::NotReady,
            format!("no daemon that serves {network} obeyed within {OBEYED_WITHIN:?}; nothing was reset"),
        ));
    };
    let now = told(&app, &id, app.clock.now()).await?;
    let shown = now.and_then(|told| find(&told.report, &endpoint).cloned());
    let answer = json!({ "daemons": daemons, "endpoint": shown, "name": endpoint, "network": network, "trust": trust });
    Ok(json_answer(StatusCode::OK, &answer).into_response())
}

/// Waits until a daemon has obeyed; `None`: none did, and none will any more.
async fn obeyed(app: &AppState, reset: i64, actor: &str) -> Result<Option<usize>, Problem> {
    let waited = tokio::time::timeout(OBEYED_WITHIN, async {
        loop {
            match pools::obeyed_by(&app.pool, reset).await {
                Ok(0) => tokio::time::sleep(LOOK_EVERY).await,
                other => return other,
            }
        }
    });
    match waited.await {
        Ok(daemons) => Ok(Some(daemons?)),
        // One may have come in the last moment.
        Err(_) if pools::take_back(&app.pool, reset, actor, app.clock.now()).await? => Ok(None),
        Err(_) => Ok(Some(pools::obeyed_by(&app.pool, reset).await?)),
    }
}

fn find<'a>(report: &'a Value, endpoint: &str) -> Option<&'a Value> {
    report["endpoints"].as_array()?.iter().find(|one| one["name"] == endpoint)
}
