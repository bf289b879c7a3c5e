//! What a story stands on: the liar, the endpoints, a node that traces, and intents.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use amn_core::id::IntentId;
use amn_core::timestamp::Timestamp;
use amn_evm::testkit::{Made, Node, Reply, Script};
use amn_rpc::EndpointConfig;
use amn_scanner::store;
use amn_scanner::torture::{OpenFace, Rule, lies};
use serde_json::{Value, json};

use super::ground::{self, INNER, THIEF};
use super::story::{Case, Liar, Stand};
use crate::support::evm_scene::{EvmScene, endpoint};

pub fn begin_to_lie(case: Case, face: &OpenFace, own: Option<&Node>) {
    match (case.liar, own) {
        (Liar::Answers(name), _) => {
            let lie = lies::named(name).unwrap_or_else(|| panic!("no lie {name}"));
            face.set_rules(vec![Rule::always(lie.about(ground::aim(name)))]);
        }
        (Liar::Chain(make) | Liar::Twins(make), Some(own)) => make(&mut own.history()),
        _ => {}
    }
}

/// The liar is operator `a`; `b` and `c` are honest.
pub fn endpoints(case: Case, stand: Stand, liar: &OpenFace, honest: [&Node; 2]) -> Vec<EndpointConfig> {
    let mut liars = vec![endpoint("a", &liar.url(), "a")];
    if matches!(case.liar, Liar::Twins(_)) {
        liars.push(endpoint("a2", &liar.url(), "a"));
    }
    let [b, c] = [("b", honest[0]), ("c", honest[1])].map(|(name, node)| endpoint(name, &node.url(), name));
    match stand {
        Stand::FirstOfThree => liars.into_iter().chain([b, c]).collect(),
        Stand::LastOfThree => [b, c].into_iter().chain(liars).collect(),
        Stand::OneOfTwo => liars.into_iter().chain([b]).collect(),
    }
}

/// A node that keeps old balances and traces: in the block of the payments, the first transaction paid one unit inside
/// of its call.
pub fn tracing(node: &Node) -> Script {
    let history = node.history.clone();
    Arc::new(move |method, params, honest| {
        let at = match method {
            "debug_traceBlockByHash" => &params[0],
            "eth_getBalance" => &params[1]["blockHash"],
            _ => return honest,
        };
        let history = history.lock().unwrap();
        let hash = at.as_str().unwrap_or_default().parse::<B256>().unwrap_or_default();
        let Some(made) = history.known.get(&hash) else { return Reply::Result("null".to_owned()) };
        let names = |made: &Made| -> Vec<Value> {
            let block: Value = serde_json::from_str(&made.named).unwrap();
            block["transactions"].as_array().unwrap().clone()
        };
        let paid = history.blocks.values().find(|made| names(made).len() > 2).map(|made| made.at.height);
        if method == "eth_getBalance" {
            let paid_by_then = paid.is_some_and(|paid| made.at.height >= paid);
            return if paid_by_then { honest } else { Reply::Result("\"0x0\"".to_owned()) };
        }
        let call = |to, value, calls: Value| json!({ "type": "CALL", "from": THIEF, "to": to, "value": value, "calls": calls });
        let inner = json!([call(INNER, "0x1", json!([]))]);
        let traces = names(made).into_iter().enumerate().map(|(at, name)| {
            let calls = if at == 0 && paid == Some(made.at.height) { inner.clone() } else { json!([]) };
            json!({ "txHash": name, "result": call(THIEF, "0x0", calls) })
        });
        Reply::Result(traces.collect::<Value>().to_string())
    })
}

pub async fn intent(
    scene: &EvmScene,
    symbol: &str,
    to: Address,
    due: u128,
    require: &serde_json::Value,
    seconds: Option<i64>,
) -> IntentId {
    let asset = scene.network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap();
    // The chain's clock began at 1,700,000,000.
    let expires = seconds.map(|s| store::moment(Timestamp::from_seconds(1_700_000_000 + s)));
    let id: uuid::Uuid = sqlx::query_scalar(
        "select amn.create_intent('seller', $1, $2, $3::text::numeric, $4, require => $5, expires_at => $6)",
    )
    .bind(scene.network.facts.id.as_str())
    .bind(asset.id.as_str())
    .bind(due.to_string())
    .bind(amn_evm::address::spell(to.0.0).as_str())
    .bind(require)
    .bind(expires)
    .fetch_one(&scene.db.pool)
    .await
    .unwrap();
    IntentId(id.as_u128())
}
