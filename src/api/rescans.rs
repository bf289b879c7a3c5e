//! Rescans over HTTP: asking for covered heights to be read once more, and how far that came.

use amn_core::block::{Height, NetworkId};
use amn_core::money::Amount;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::input::{Body, Findings};
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer};
use crate::store::read::networks;
use crate::store::rescans::{self, Asked, OPEN_MAX, Rescan};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    from: Amount,
    to: Amount,
}

pub async fn ask(
    State(app): App,
    caller: Caller,
    Path(network): Path<String>,
    body: Body<Wish>,
) -> Result<Response, Problem> {
    let id = NetworkId::new(&network);
    let (from, to) = heights(&body.input)?;
    let asked = rescans::ask(&app.pool, &id, from, to, &caller.actor, app.clock.now()).await?;
    let rescan = match asked {
        Asked::Listed(rescan) => rescan,
        Asked::NoNetwork => return Err(Problem::new(Code::NotFound, "there is no such network")),
        Asked::NotBegun => {
            return Err(Problem::new(Code::Refused, format!("nothing of {network} is covered yet")));
        }
        Asked::Full => {
            let detail = format!("{OPEN_MAX} rescans of {network} are under way already");
            return Err(Problem::new(Code::Refused, detail));
        }
        Asked::NotCovered { from: first, to: last } => {
            let field = if from < first { "from" } else { "to" };
            let detail = format!("the ledger of {network} covers {first} to {last}");
            return Err(Problem::field(Code::SinceOutOfRange, field, detail));
        }
    };
    tracing::info!(%network, actor = caller.actor, from = from.0, to = to.0, "asked for a rescan of {network}");
    let waits_for = waits_for(&app, &id).await?;
    Ok(json_answer(StatusCode::ACCEPTED, &view(&rescan, waits_for.as_deref())).into_response())
}

pub async fn list(State(app): App, Path(network): Path<String>) -> Result<Response, Problem> {
    let id = NetworkId::new(&network);
    let waits_for = waits_for(&app, &id).await?;
    let all: Vec<Value> =
        rescans::list(&app.pool, &id).await?.iter().map(|rescan| view(rescan, waits_for.as_deref())).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": all })).into_response())
}

fn heights(wish: &Wish) -> Result<(Height, Height), Problem> {
    let height = |of: Amount| u64::try_from(of.units()).ok().filter(|height| i64::try_from(*height).is_ok());
    let mut found = Findings::default();
    found.check(height(wish.from).is_some(), "from", "no chain is that high");
    found.check(height(wish.to).is_some(), "to", "no chain is that high");
    found.check(wish.from <= wish.to, "from", format!("is above to: {} and {}", wish.from, wish.to));
    found.settle(Code::InvalidTerms)?;
    let at = |of: Amount| Height(height(of).unwrap_or(u64::MAX));
    Ok((at(wish.from), at(wish.to)))
}

/// What keeps every rescan of a network from going on, if anything does.
async fn waits_for(app: &AppState, network: &NetworkId) -> Result<Option<String>, Problem> {
    let rows = networks::list(&app.pool).await?;
    let known = rows.iter().find(|known| known.id == *network);
    let known = known.ok_or_else(|| Problem::new(Code::NotFound, "there is no such network"))?;
    if let Some(halt) = &known.halt {
        return Ok(Some(format!("the network is halted: {}", halt.reason)));
    }
    let followed = rescans::is_followed(&app.pool, network, app.clock.now()).await?;
    Ok((!followed).then(|| "no daemon follows the network".to_owned()))
}

fn view(rescan: &Rescan, waits_for: Option<&str>) -> Value {
    let open = rescan.finished_at.is_none();
    let status = match (open, rescan.failed) {
        (false, true) => "failed",
        (false, false) => "done",
        (true, _) if rescan.next > rescan.from => "running",
        (true, _) => "waiting",
    };
    json!({
        "actor": rescan.actor,
        "finished_at": rescan.finished_at,
        "found": rescan.found,
        "from": rescan.from.to_string(),
        "id": rescan.id,
        "network": rescan.network,
        "next": open.then(|| rescan.next.to_string()),
        "requested_at": rescan.requested_at,
        "status": status,
        "to": rescan.to.to_string(),
        "transfers": rescan.transfers,
        "trouble": rescan.trouble,
        "waits_for": waits_for.filter(|_| open),
        "why": rescan.why,
    })
}
