//! Networks over HTTP: where each stands, how far it lags behind its own clock, and why it stopped.

use amn_core::block::NetworkId;
use amn_core::timestamp::Timestamp;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use super::{App, AppState, json_answer};
use crate::store::read::networks::{self, Network};

/// Blocks that may be missing before a network lags: a few slots stay empty on every chain.
const LAG_BLOCKS: u64 = 10;
/// Seconds on top, for networks that make a block in less time than one takes to travel and be proven.
const LAG_SECONDS: u64 = 30;

/// How a network is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// It has no tip yet.
    Starting,
    Lagging,
    /// It stopped for a person.
    Halted,
    /// In the ledger, and not in this daemon's configuration.
    Unserved,
}

impl Health {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Starting => "starting",
            Self::Lagging => "lagging",
            Self::Halted => "halted",
            Self::Unserved => "unserved",
        }
    }
}

/// Seconds from the tip's own time to now, and how many are still in order.
pub fn lag(network: &Network, now: Timestamp) -> (Option<u64>, u64) {
    let allowed = LAG_SECONDS + (LAG_BLOCKS * network.block_time_ms).div_ceil(1_000);
    (network.tip.map(|(_, _, time)| now.seconds_since(time)), allowed)
}

pub fn health(network: &Network, served: bool, now: Timestamp) -> Health {
    match lag(network, now) {
        _ if !served => Health::Unserved,
        _ if network.halt.is_some() => Health::Halted,
        (None, _) => Health::Starting,
        (Some(lag), allowed) if lag > allowed => Health::Lagging,
        _ => Health::Ok,
    }
}

/// What `/ready` and `/v1/networks` both say.
pub fn brief(network: &Network, served: bool, now: Timestamp) -> Value {
    let (lag, allowed) = lag(network, now);
    json!({
        "halt": network.halt.as_ref().map(|h| json!({ "at": h.at, "detail": h.detail, "reason": h.reason })),
        "id": network.id,
        "lag_allowed_seconds": allowed,
        "lag_seconds": lag,
        "status": health(network, served, now).as_str(),
        "tip": network.tip.map(|(height, hash, time)| {
            json!({ "hash": hash, "height": height.to_string(), "time": time })
        }),
    })
}

fn view(app: &AppState, network: &Network) -> Value {
    let facts = app.chains.facts(&network.id);
    let mut view = brief(network, facts.is_some(), app.clock.now());
    let block = |of: Option<(u64, amn_core::block::Hash)>| {
        of.map(|(height, hash)| json!({ "hash": hash, "height": height.to_string() }))
    };
    view["assets"] = facts
        .iter()
        .flat_map(|f| &f.assets)
        .map(|asset| {
            json!({
                "decimals": asset.decimals, "id": asset.id, "min_amount": asset.min_amount, "native": asset.native,
                "symbol": asset.symbol,
            })
        })
        .collect();
    view["block_time_ms"] = network.block_time_ms.into();
    view["chain"] = network.chain.as_str().into();
    view["endpoints"] = (app.endpoints)(&network.id);
    view["family"] = network.family.as_str().into();
    view["finalized"] = block(network.finalized).into();
    view["safe"] = block(network.safe).into();
    view
}

pub async fn list(State(app): App) -> Result<Response, Problem> {
    let rows = networks::list(&app.pool).await?;
    let all: Vec<Value> = rows.iter().map(|network| view(&app, network)).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": all })).into_response())
}

pub async fn get(State(app): App, Path(id): Path<String>) -> Result<Response, Problem> {
    let rows = networks::list(&app.pool).await?;
    let one = rows.iter().find(|network| network.id == NetworkId::new(&id));
    let one = one.ok_or_else(|| Problem::new(Code::NotFound, "there is no such network"))?;
    Ok(json_answer(StatusCode::OK, &view(&app, one)).into_response())
}
