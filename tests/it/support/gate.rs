//! A gate before a node: two operators' endpoints that lead to one anvil, shut while the chain is changed.
//!
//! A reorg of anvil is many steps, and who asks in between sees a branch that nobody meant. Behind a shut gate
//! it is one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{RwLock, RwLockWriteGuard};

#[derive(Debug, Clone)]
pub struct Gate {
    base: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: String,
    client: reqwest::Client,
    open: RwLock<()>,
    /// Calls of methods with this in their name are refused as ones that the node does not have.
    refused: OnceLock<&'static str>,
    /// Operators whose node is gone: a proxy answers in its place.
    gone: Mutex<BTreeSet<String>>,
}

impl Gate {
    /// Opens a gate before the node at this URL.
    pub async fn before(node: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let shared =
            Arc::new(Shared { node, client, open: RwLock::new(()), refused: OnceLock::new(), gone: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/{operator}", post(pass)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, shared }
    }

    /// The URL of an operator's endpoint.
    pub fn url(&self, operator: &str) -> String {
        format!("{}/{operator}", self.base)
    }

    /// From now on the node has no methods with this in their name.
    pub fn refuse(&self, part: &'static str) {
        self.shared.refused.set(part).unwrap();
    }

    /// The node of an operator goes, or comes back.
    pub fn gone(&self, operator: &str, gone: bool) {
        let mut all = self.shared.gone.lock().unwrap();
        if gone {
            all.insert(operator.to_owned())
        } else {
            all.remove(operator)
        };
    }

    /// Nothing passes until the guard is dropped; what is under way is waited for.
    pub async fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.open.write().await
    }
}

async fn pass(State(gate): State<Arc<Shared>>, Path(operator): Path<String>, body: Bytes) -> Response {
    let _open = gate.open.read().await;
    if gate.gone.lock().unwrap().contains(&operator) {
        return (StatusCode::BAD_GATEWAY, "bad gateway").into_response();
    }
    if let Some(answer) = gate.refused.get().and_then(|part| refusal(part, &body)) {
        return (StatusCode::OK, [("content-type", "application/json")], answer).into_response();
    }
    let send = gate.client.post(&gate.node).header("content-type", "application/json").body(body);
    let answer = async {
        let answer = send.send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
    };
    match answer.await {
        Ok((status, body)) => (status, [("content-type", "application/json")], body).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn refusal(part: &str, body: &[u8]) -> Option<String> {
    let call: Value = serde_json::from_slice(body).ok()?;
    let no = |call: &Value| {
        let error = json!({"code": -32601, "message": "the method does not exist/is not available"});
        json!({"jsonrpc": "2.0", "id": call["id"], "error": error})
    };
    let meant = |call: &Value| call["method"].as_str().is_some_and(|method| method.contains(part));
    match &call {
        Value::Array(calls) if calls.iter().any(meant) => {
            Some(Value::Array(calls.iter().map(no).collect()).to_string())
        }
        one if meant(one) => Some(no(one).to_string()),
        _ => None,
    }
}
