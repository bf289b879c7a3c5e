//! Where commands are carried out: the API's own routes, called within this process on the daemon's database.
//!
//! So a command is checked, decided, audited and answered exactly as a request is, and both print one JSON.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use amn_core::engine::Command;
use amn_scanner::api::auth::Insider;
use amn_scanner::api::commands::{CommandError, Decide};
use amn_scanner::api::{self, AppState};
use amn_scanner::clock::{Clock, SystemClock, SystemIds};
use amn_scanner::config::Config;
use amn_scanner::daemon::{Door, OpenDatabase, guard_policy};
use amn_scanner::networks::{Networks, Served};
use amn_scanner::outbox::guard::Guard;
use amn_scanner::store;
use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::Notify;
use tower::ServiceExt;
use uuid::Uuid;

use super::{Wrong, start_error};

/// A redrive of a thousand events takes seconds; a person who waits longer wants to know why.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer is a page of 200 events of 64 KiB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The API said no.
#[derive(Debug, thiserror::Error)]
#[error("{}", .words)]
pub struct Refused {
    words: String,
    pub document: Value,
}

impl Refused {
    fn new(document: Value) -> Self {
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let mut words = text("detail");
        let hint = match document["code"].as_str() {
            Some("unknown_network") => "add it to the configuration and start the daemon once, which registers it",
            Some("address_taken") => "every intent needs an address of its own, or a reference of its own",
            Some("stale") => "run the command again",
            Some("database_unavailable") => "see `amn-scanner check`",
            _ => "",
        };
        if !hint.is_empty() {
            words = format!("{words}; {hint}");
        }
        Self { words, document }
    }

    /// 2: an argument is wrong. 1: the ledger says no.
    pub fn exit_code(&self) -> u8 {
        match self.document["status"].as_u64() {
            Some(400 | 413 | 422) => 2,
            _ => 1,
        }
    }
}

/// The database, the networks, and the routes over both.
pub struct Office {
    database: OpenDatabase,
    pub networks: Arc<Networks>,
    door: Arc<Door>,
    clock: Arc<dyn Clock>,
    router: Router,
    actor: String,
}

impl Office {
    pub async fn open(config: &Config) -> Result<Self> {
        let networks = Arc::new(Networks::build(config).map_err(|problems| Wrong(problems.join("\n")))?);
        let database = OpenDatabase::open(config).await.map_err(start_error)?;
        if let Err(error) = store::check_schema(&database.pool).await {
            database.close().await;
            return Err(error.into());
        }
        let guard = Guard::new(guard_policy(config));
        let pool = database.pool.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let door = Arc::new(Door::new(pool.clone(), networks.clone(), guard, clock.clone()));
        let router = api::router(AppState {
            pool,
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
            chains: door.clone(),
            decide: door.clone(),
            metrics: Arc::new(String::new),
            daemon: Uuid::nil(),
            // A command asks no nodes by itself; what is known of them is in the database.
            report: Arc::new(|_| None),
            // A follower looks every second whether something is awaited.
            look: Arc::new(|_| ()),
            // The daemon's own bells are in its own process; its sequencer and dispatcher look by themselves.
            wake: Arc::new(Notify::new()),
            operator_key: None,
            metrics_token: None,
            request_timeout: TIMEOUT,
        });
        Ok(Self { database, networks, door, clock, router, actor: actor() })
    }

    pub async fn close(self) {
        drop((self.router, self.door));
        self.database.close().await;
    }

    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub fn now(&self) -> amn_core::timestamp::Timestamp {
        self.clock.now()
    }

    pub fn served(&self, network: &NetworkId) -> Result<&Served> {
        self.networks.get(network).ok_or_else(|| {
            let known: Vec<&str> = self.networks.iter().map(|(id, _)| id.as_str()).collect();
            let known = if known.is_empty() { "no network is".to_owned() } else { known.join(", ") };
            Wrong(format!("the configuration does not enable the network {network}; enabled: {known}")).into()
        })
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Method::DELETE, path, None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .with_context(|| format!("cannot ask {path}"))?;
        request.extensions_mut().insert(Insider(self.actor.clone()));
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.context("reading the answer")?;
        let answer =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).context("the answer")? };
        if status.is_success() { Ok(answer) } else { Err(Refused::new(answer).into()) }
    }

    /// Takes a decision that has no route of its own.
    pub async fn decide(&self, network: &NetworkId, command: Command) -> Result<()> {
        self.served(network)?;
        self.door.command(network, command, &self.actor).await.map_err(|error| match error {
            CommandError::NotFound(what) => anyhow!("there is no {what}"),
            CommandError::Refused { reason } => anyhow!(reason),
            CommandError::Stale => anyhow!("other decisions came first; run the command again"),
            CommandError::Database(error) => anyhow!(error).context("the database; see `amn-scanner check`"),
        })
    }
}

/// Who the audit log says it was.
fn actor() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let plain: String = named
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._-@".contains(*c))
        .take(64) // As long as other names in the log.
        .collect();
    if plain.is_empty() { format!("cli:uid-{}", rustix::process::getuid().as_raw()) } else { format!("cli:{plain}") }
}
