//! For those who watch the watcher: alive, ready, and the metrics.

use std::net::SocketAddr;
use std::time::Duration;

use amn_core::timestamp::Timestamp;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::auth::{bearer, hash_key};
use super::networks::{self, Health};
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer, nodes};
use crate::store::read;

/// An orchestrator asks often and waits for little.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub async fn alive() -> Response {
    json_answer(StatusCode::OK, &json!({ "status": "ok" })).into_response()
}

/// Ready: the database answers, and no network lags behind its own block time or stands halted.
pub async fn ready(State(app): App) -> Response {
    let now = app.clock.now();
    let Ok(Ok((all, ready))) = tokio::time::timeout(READY_WITHIN, briefs(&app, now)).await else {
        let answer = json!({ "database": "unavailable", "networks": [], "status": "not_ready" });
        return json_answer(StatusCode::SERVICE_UNAVAILABLE, &answer).into_response();
    };
    let (status, word) = if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    json_answer(status, &json!({ "database": "ok", "networks": all, "status": word })).into_response()
}

/// What is said of every network that is served here, and whether all of them are well.
async fn briefs(app: &AppState, now: Timestamp) -> Result<(Vec<Value>, bool), Problem> {
    let rows = read::networks::list(&app.pool).await?;
    let (mut all, mut ready) = (Vec::new(), true);
    for id in app.chains.networks() {
        if let Some(network) = rows.iter().find(|network| network.id == id) {
            let told = nodes::told(app, &id, now).await?;
            ready &= networks::health(network, true, told.as_ref(), now) == Health::Ok;
            all.push(networks::brief(network, true, told.as_ref(), now));
        } else {
            ready = false;
            all.push(json!({
                "halt": null, "id": id, "lag_allowed_seconds": null, "lag_seconds": null,
                "status": Health::Starting.as_str(), "tip": null,
            }));
        }
    }
    Ok((all, ready))
}

pub async fn metrics(State(app): App) -> Response {
    let text = (app.metrics)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The token, or a peer on this machine. What a header says of where a request comes from is never believed;
/// a forwarding header only takes the trust in loopback away, because then a proxy is the peer.
pub fn may_see_metrics(app: &AppState, request: &Request) -> Result<(), Problem> {
    if let (Some(wanted), Some(token)) = (app.metrics_token, bearer(request.headers()))
        && bool::from(wanted.ct_eq(&hash_key(token)))
    {
        return Ok(());
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
    let forwarded = ["x-forwarded-for", "forwarded", "via", "x-real-ip"];
    let forwarded = forwarded.iter().any(|name| request.headers().contains_key(*name));
    if peer.is_some_and(|ip| ip.is_loopback()) && !forwarded {
        return Ok(());
    }
    Err(Problem::new(Code::Unauthenticated, "metrics are for the metrics token, or for a peer on this machine"))
}
