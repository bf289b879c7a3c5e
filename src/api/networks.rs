//! Networks over HTTP: where each stands, how far it lags behind its own clock, and why it stopped.

use amn_core::block::NetworkId;
use amn_core::timestamp::Timestamp;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use super::{App, AppState, json_answer, nodes};
use crate::store::pools::Told;
use crate::store::read::networks::{self, Network};
use crate::store::recall;

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

/// Seconds from the tip's own time to now, and how many are still in order: more where it is left alone on purpose.
pub fn lag(network: &Network, told: Option<&Told>, now: Timestamp) -> (Option<u64>, u64) {
    let blocks = LAG_BLOCKS.saturating_mul(network.block_time_ms).div_ceil(1_000);
    let allowed = LAG_SECONDS.saturating_add(blocks).saturating_add(nodes::left_alone_seconds(told));
    (network.tip.map(|(_, _, time)| now.seconds_since(time)), allowed)
}

pub fn health(network: &Network, served: bool, told: Option<&Told>, now: Timestamp) -> Health {
    match lag(network, told, now) {
        _ if !served => Health::Unserved,
        _ if network.halt.is_some() => Health::Halted,
        (None, _) => Health::Starting,
        (Some(lag), allowed) if lag > allowed => Health::Lagging,
        _ => Health::Ok,
    }
}

/// What `/ready` and `/v1/networks` both say. `told`: what is said of its nodes.
pub fn brief(network: &Network, served: bool, told: Option<&Told>, now: Timestamp) -> Value {
    let (lag, allowed) = lag(network, told, now);
    json!({
        "halt": network.halt.as_ref().map(|h| json!({ "at": h.at, "detail": h.detail, "reason": h.reason })),
        "id": network.id,
        "lag_allowed_seconds": allowed,
        "lag_seconds": lag,
        "status": health(network, served, told, now).as_str(),
        "tip": network.tip.map(|(height, hash, time)| {
            json!({ "hash": hash, "height": height.to_string(), "time": time })
        }),
    })
}

async fn view(app: &AppState, network: &Network) -> Result<Value, Problem> {
    let (facts, now) = (app.chains.facts(&network.id), app.clock.now());
    let told = nodes::told(app, &network.id, now).await?;
    let mut view = brief(network, facts.is_some(), told.as_ref(), now);
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
    let said = |of: &str| told.as_ref().map(|told| told.report[of].clone());
    view["endpoints"] = said("endpoints").unwrap_or_else(|| json!([]));
    view["family"] = network.family.as_str().into();
    view["facts"] = app.chains.family_facts(&network.id);
    view["finalized"] = block(network.finalized).into();
    view["operators"] = said("operators").unwrap_or_else(|| json!([]));
    view["polling"] = said("polling").into();
    view["recall"] = recall::shown(&app.pool, &network.id).await?.into();
    view["reported_at"] = told.as_ref().map(|told| told.at).map_or(Value::Null, |at| json!(at));
    view["requests"] = said("requests").into();
    view["safe"] = block(network.safe).into();
    Ok(view)
}

pub async fn list(State(app): App) -> Result<Response, Problem> {
    let rows = networks::list(&app.pool).await?;
    let mut all = Vec::with_capacity(rows.len());
    for network in &rows {
        all.push(view(&app, network).await?);
    }
    Ok(json_answer(StatusCode::OK, &json!({ "data": all })).into_response())
}

pub async fn get(State(app): App, Path(id): Path<String>) -> Result<Response, Problem> {
    let rows = networks::list(&app.pool).await?;
    let one = rows.iter().find(|network| network.id == NetworkId::new(&id));
    let one = one.ok_or_else(|| Problem::new(Code::NotFound, "there is no such network"))?;
    Ok(json_answer(StatusCode::OK, &view(&app, one).await?).into_response())
}
