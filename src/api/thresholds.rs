//! Confirmation policies over HTTP: what is in force, and an operator's override of it, at once and audited.

use amn_core::block::NetworkId;
use amn_core::confirmation::{Policy, Require};
use amn_core::network::Facts;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::auth::Caller;
use super::input::{Body, Findings, NoBody};
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer};
use crate::store::thresholds;

/// More tiers than anybody can reason about.
const TIERS_MAX: usize = 64;
/// A day of 200 ms blocks; more is a slip that would settle nothing.
const CONFIRMATIONS_MAX: u64 = 432_000;
/// A month of chain time.
const SECONDS_MAX: u64 = 30 * 86_400;
/// There are not so many operators of nodes, nor validator organisations.
const WITNESSES_MAX: u32 = 64;

pub async fn get(State(app): App, Path(network): Path<String>) -> Result<Response, Problem> {
    answer(&app, &network).await
}

async fn answer(app: &AppState, network: &str) -> Result<Response, Problem> {
    let found = thresholds::get(&app.pool, network).await?;
    let found = found.ok_or_else(|| Problem::new(Code::NotFound, "there is no such network"))?;
    let held =
        found.changed.as_ref().map(|change| json!({ "actor": change.actor, "at": change.at, "policy": change.policy }));
    let answer = json!({
        "effective": found.effective(), "file": found.file, "network": network,
        "override": held.filter(|held| !held["policy"].is_null()),
    });
    Ok(json_answer(StatusCode::OK, &answer).into_response())
}

pub async fn put(
    State(app): App,
    caller: Caller,
    Path(network): Path<String>,
    body: Body<Policy>,
) -> Result<Response, Problem> {
    let id = NetworkId::new(&network);
    let facts = app.chains.facts(&id).ok_or_else(|| Problem::new(Code::NotFound, "there is no such network"))?;
    check(&body.input, &facts, app.chains.attesters(&id))?;
    write(&app, &caller, &network, Some(&body.input)).await
}

pub async fn delete(
    State(app): App,
    caller: Caller,
    Path(network): Path<String>,
    _: NoBody,
) -> Result<Response, Problem> {
    write(&app, &caller, &network, None).await
}

async fn write(app: &AppState, caller: &Caller, network: &str, policy: Option<&Policy>) -> Result<Response, Problem> {
    if !thresholds::put(&app.pool, network, policy, &caller.actor, app.clock.now()).await? {
        return Err(Problem::new(Code::NotFound, "there is no such network"));
    }
    tracing::info!(network, actor = caller.actor, "changed the thresholds of {network}");
    app.wake.notify_one();
    answer(app, network).await
}

fn check(policy: &Policy, facts: &Facts, attesters: u32) -> Result<(), Problem> {
    let mut found = Findings::default();
    check_require(&policy.require, "require", attesters, &mut found);
    let Require { confirmations, seconds, tag, attestations, operators, .. } = policy.require;
    let deep = confirmations.is_some() || seconds.is_some() || tag.is_some() || attestations.is_some();
    // Where a block is final when it exists, depth shows nothing: that it is the network's is what others say.
    let agreed = facts.instant_finality && operators.is_some_and(|asked| asked > 1);
    found.check(
        deep || agreed,
        "require",
        "names confirmations, seconds, tag or attestations, else money settles unseen",
    );
    found.check(policy.tiers.len() <= TIERS_MAX, "tiers", format!("at most {TIERS_MAX}"));
    for (at, tier) in policy.tiers.iter().enumerate().take(TIERS_MAX) {
        check_require(&tier.require, &format!("tiers[{at}].require"), attesters, &mut found);
        let listed = tier.asset.as_ref().is_none_or(|asset| facts.asset(asset).is_some());
        found.check(listed, &format!("tiers[{at}].asset"), format!("{} does not list it", facts.id));
    }
    found.settle(Code::InvalidTerms)
}

/// Terms that can be met at all. `attesters`: how many organisations may attest a block of that network.
pub fn check_require(require: &Require, field: &str, attesters: u32, found: &mut Findings) {
    let mut within = |name: &str, value: Option<u64>, max: u64| {
        let fits = value.is_none_or(|v| (1..=max).contains(&v));
        found.check(fits, &format!("{field}.{name}"), format!("1 to {max}, or left out"));
    };
    within("confirmations", require.confirmations, CONFIRMATIONS_MAX);
    within("seconds", require.seconds, SECONDS_MAX);
    within("operators", require.operators.map(u64::from), WITNESSES_MAX.into());
    within("attestations", require.attestations.map(u64::from), WITNESSES_MAX.into());
    let asked = require.attestations.filter(|asked| (1..=WITNESSES_MAX).contains(asked)).unwrap_or(0);
    let never = format!("never met: {attesters} organisations of this network attest");
    found.check(asked <= attesters, &format!("{field}.attestations"), never);
}
