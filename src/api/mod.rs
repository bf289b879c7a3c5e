//! The HTTP API: thin over the store. Every route, with who may call it, is one line of [`routes()`].
//!
//! Law: whatever is refused is refused with a [`problem`]; whatever changes a decision goes through [`commands`].

pub mod auth;
pub mod chains;
pub mod commands;
mod contract_events;
mod deliveries;
mod deposits;
mod endpoints;
mod events;
mod health;
pub mod input;
mod intents;
mod keys;
mod layers;
mod networks;
mod nodes;
pub mod openapi;
mod page;
pub mod problem;
mod rescans;
mod routes;
mod tenants;
mod thresholds;
mod view;

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use self::chains::Chains;
use self::commands::Decide;
use self::problem::{Code, Problem};
use crate::clock::{Clock, Ids};

pub use self::endpoints::EVENTS;
pub use self::routes::{Route, routes};

/// Says what is known of a network's nodes.
pub type Report = Arc<dyn Fn(&NetworkId) -> Option<Value> + Send + Sync>;

/// What requests are answered with.
pub struct AppState {
    pub pool: PgPool,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub chains: Arc<dyn Chains>,
    pub decide: Arc<dyn Decide>,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Who this process is, among those that report of their nodes.
    pub daemon: Uuid,
    /// What this process itself knows of a network's nodes; `None` where it asks none.
    pub report: Report,
    /// Asks for a look at a network, because something is awaited there.
    pub look: Arc<dyn Fn(&NetworkId) + Send + Sync>,
    /// Rung after every commit that may have made events.
    pub wake: Arc<Notify>,
    /// [`auth::hash_key`] of the operator's key from the configuration.
    pub operator_key: Option<[u8; 32]>,
    /// [`auth::hash_key`] of the token that `/metrics` takes.
    pub metrics_token: Option<[u8; 32]>,
    /// A request ends by then, whatever it waits for.
    pub request_timeout: Duration,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppState(***)")
    }
}

type App = axum::extract::State<Arc<AppState>>;

/// Everything that is served. Serve it with the peer's address
/// (`into_make_service_with_connect_info::<SocketAddr>()`): `/metrics` asks for it.
pub fn router(state: AppState) -> Router {
    let app = Arc::new(state);
    let mut router = Router::new();
    for route in routes() {
        let guard = axum::middleware::from_fn_with_state((app.clone(), route.access), auth::require);
        router = router.route(route.path, (route.handler)().layer(guard));
    }
    router
        .fallback(async || Problem::new(Code::NotFound, "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "the Allow header names the methods of this path")
        })
        .layer(axum::middleware::from_fn_with_state(app.clone(), layers::wrap))
        .with_state(app)
}

/// An answer in JSON. Keys are sorted, because `Value` sorts them.
fn json_answer(status: StatusCode, value: &Value) -> impl IntoResponse {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], value.to_string())
}
