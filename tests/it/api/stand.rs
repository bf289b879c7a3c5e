//! The stand: a served API with two networks, invented chains, and deciding by script.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amn_core::block::{Address, AssetId, NetworkId, Reference};
use amn_core::confirmation::{Policy, Require};
use amn_core::engine::Command;
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use amn_core::timestamp::Timestamp;
use amn_scanner::api::auth::{Scope, hash_key};
use amn_scanner::api::chains::{Chains, ToPay};
use amn_scanner::api::commands::{CommandError, Decide};
use amn_scanner::api::{AppState, router};
use amn_scanner::clock::{Clock, SeededIds, TestClock};
use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::support::database::Database;

pub const OPERATOR: &str = "the-operators-own-key-of-this-test";
pub const METRICS_TOKEN: &str = "the-metrics-token-of-this-test";
pub const USDC: &str = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
pub const ETH: &str = "eip155:8453/slip44:60";
/// 2026-11-21T09:30:00Z
pub const NOW: i64 = 1_795_253_400;
pub const TIP: i64 = 38_124_096;

/// One address of many.
pub fn address(n: u32) -> String {
    format!("0x{:040x}", 0xA11C_E000_u64 + u64::from(n))
}

pub struct Stand {
    pub database: Database,
    pub clock: Arc<TestClock>,
    pub decided: Arc<Script>,
    pub app: Router,
    base: String,
    http: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stand {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A stand with something else than usual.
    #[expect(clippy::disallowed_methods, reason = "a test's server is no task of the daemon")]
    pub async fn with(change: impl FnOnce(&mut AppState)) -> Self {
        let database = Database::fresh().await;
        seed(&database.pool).await;
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(NOW)));
        let decided = Arc::new(Script { pool: database.pool.clone(), heard: Mutex::default() });
        let mut state = AppState {
            pool: database.pool.clone(),
            clock: clock.clone(),
            ids: Arc::new(SeededIds::new(7, clock.now())),
            chains: Arc::new(Invented),
            decide: decided.clone(),
            metrics: Arc::new(|| "amn_up 1\n".to_owned()),
            daemon: Uuid::from_u128(1),
            report: Arc::new(|_| Some(report())),
            look: Arc::new(|_| ()),
            wake: Arc::new(Notify::new()),
            operator_key: Some(hash_key(OPERATOR)),
            metrics_token: Some(hash_key(METRICS_TOKEN)),
            request_timeout: Duration::from_secs(10),
        };
        change(&mut state);
        let app = router(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let service = app.clone().into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        // Whoever installed one first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { database, clock, decided, app, base, http, server }
    }

    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub fn call(&self, method: Method, path: &str) -> Call {
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        Call { request, method, path: path.to_owned() }
    }

    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A key as an operator makes it.
    pub async fn key(&self, tenant: Option<&str>, scopes: &[&str]) -> String {
        let body = json!({ "name": "test", "tenant": tenant, "scopes": scopes });
        let answer = self.post("/v1/keys").key(OPERATOR).json(&body).send().await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["key"].as_str().unwrap().to_owned()
    }

    /// A key for all that a tenant may do.
    pub async fn tenant(&self, name: &str) -> String {
        let scopes: Vec<&str> = Scope::ALL.iter().filter(|s| !s.is_operators_alone()).map(|s| s.as_str()).collect();
        self.key(Some(name), &scopes).await
    }

    /// The id of a new intent at an address of its own.
    pub async fn intent(&self, key: &str, n: u32) -> String {
        let answer = self.post("/v1/intents").key(key).json(&new_intent(n)).send().await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }
}

/// What a daemon says of one node, as the document shows it.
pub fn report() -> Value {
    let network = &amn_scanner::api::openapi::document()["paths"]["/v1/networks/{network}"]["get"]["responses"]["200"]
        ["content"]["application/json"]["example"];
    let of = |field: &str| network[field].clone();
    json!({
        "endpoints": of("endpoints"), "operators": of("operators"), "polling": of("polling"), "requests": of("requests"),
    })
}

/// The body of a plain intent of seller-7.
pub fn new_intent(n: u32) -> Value {
    json!({
        "tenant": "seller-7", "network": "base", "asset": USDC, "due": "25000000", "address": address(n),
        "expires_at": "2026-11-21T10:30:00Z", "metadata": { "order": format!("A-{n}") },
    })
}

/// A request in the making.
pub struct Call {
    request: reqwest::RequestBuilder,
    method: Method,
    path: String,
}

impl Call {
    pub fn key(self, key: &str) -> Self {
        Self { request: self.request.bearer_auth(key), ..self }
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    pub fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
    }

    pub fn text(self, body: impl Into<String>) -> Self {
        Self { request: self.request.header("content-type", "application/json").body(body.into()), ..self }
    }

    pub fn raw(self, body: impl Into<reqwest::Body>) -> Self {
        Self { request: self.request.body(body), ..self }
    }

    /// Sends, and holds the answer against the document.
    pub async fn send(self) -> Answer {
        let response = self.request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let media = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("");
        super::openapi::check_answer(&self.method, &self.path, status, media, &text);
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, body }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

async fn seed(pool: &PgPool) {
    let policy = json!({ "require": { "confirmations": 12, "tag": "safe" }, "tiers": [] });
    for (network, chain) in [("base", "eip155:8453"), ("bsc", "eip155:56")] {
        sqlx::query(
            "insert into amn.network (id, family, chain, start_height, tip_height, tip_hash, tip_parent, tip_time, policy, block_time_ms)
            values ($1, 'evm', $2, 1000, $3, $4, $4, to_timestamp($5), $6, 2000)",
        )
        .bind(network)
        .bind(chain)
        .bind(TIP)
        .bind(vec![0xBB_u8; 32])
        .bind(NOW - 2)
        .bind(&policy)
        .execute(pool)
        .await
        .unwrap();
        for asset in facts(network, chain).assets {
            sqlx::query("insert into amn.asset (network_id, id, symbol, decimals, native) values ($1, $2, $3, $4, $5)")
                .bind(network)
                .bind(asset.id.as_str())
                .bind(asset.symbol)
                .bind(i16::from(asset.decimals))
                .bind(asset.native)
                .execute(pool)
                .await
                .unwrap();
        }
    }
}

fn facts(id: &str, chain: &str) -> Facts {
    let asset = |id: String, symbol: &str, decimals, native| Asset {
        id: AssetId::new(id),
        symbol: symbol.to_owned(),
        decimals,
        min_amount: Amount::new(1),
        native,
    };
    Facts {
        id: NetworkId::new(id),
        chain: chain.to_owned(),
        assets: vec![
            asset(USDC.replace("eip155:8453", chain), "USDC", 6, false),
            asset(ETH.replace("eip155:8453", chain), "ETH", 18, true),
        ],
        policy: Policy { require: Require { confirmations: Some(12), ..Require::default() }, tiers: vec![] },
        block_time_ms: 2_000,
        rewind_operators: 2,
        instant_finality: false,
        vouched_singly: false,
    }
}

/// Organisations that attest on the invented chains: as many as the door lets anybody ask for.
const WITNESSES: u32 = 64;

/// Chains that know addresses by their look.
struct Invented;

impl Chains for Invented {
    fn networks(&self) -> Vec<NetworkId> {
        vec![NetworkId::new("base"), NetworkId::new("bsc")]
    }

    fn facts(&self, network: &NetworkId) -> Option<Arc<Facts>> {
        match network.as_str() {
            "base" => Some(Arc::new(facts("base", "eip155:8453"))),
            "bsc" => Some(Arc::new(facts("bsc", "eip155:56"))),
            _ => None,
        }
    }

    fn parse_address(&self, _: &NetworkId, text: &str) -> Result<(Address, Option<Reference>), String> {
        let digits = text.strip_prefix("0x").filter(|d| d.len() == 40 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        digits
            .map(|_| (Address::new(text), None))
            .ok_or_else(|| "an address is 0x and 40 hexadecimal digits".to_owned())
    }

    fn parse_reference(&self, _: &NetworkId, text: &str) -> Result<Reference, String> {
        if text.len() == 16 { Ok(Reference::new(text)) } else { Err("a reference is 16 hexadecimal digits".to_owned()) }
    }

    fn derive(&self, xpub: &str, index: u32) -> Result<Address, String> {
        if !xpub.starts_with("xpub") {
            return Err("not an xpub".to_owned());
        }
        Ok(Address::new(format!("0x{:032x}{index:08x}", xpub.len())))
    }

    fn unpayable(&self, _: &NetworkId, _: &Asset, _: &Address, _: &Reference) -> Option<String> {
        None
    }

    fn attesters(&self, _: &NetworkId) -> u32 {
        WITNESSES
    }

    fn family_facts(&self, _: &NetworkId) -> Value {
        json!({ "chain_id": 8453 })
    }

    fn to_pay(&self, _: &NetworkId, asset: &Asset, to: &Address, _: Option<&Reference>, amount: Amount) -> ToPay {
        let uri = format!("ethereum:{}/transfer?address={to}&uint256={amount}", asset.symbol);
        ToPay { uri: Some(uri), ..ToPay::default() }
    }

    fn vet_webhook_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move { if url.starts_with("https://") { Ok(()) } else { Err("https only".to_owned()) } }.boxed()
    }
}

/// Decides as told by the rows alone, and remembers what it heard.
pub struct Script {
    pool: PgPool,
    heard: Mutex<Vec<(String, Command, String)>>,
}

impl Script {
    pub fn heard(&self) -> Vec<(String, Command, String)> {
        self.heard.lock().unwrap().clone()
    }
}

impl Decide for Script {
    fn command<'a>(
        &'a self,
        network: &'a NetworkId,
        command: Command,
        actor: &'a str,
    ) -> BoxFuture<'a, Result<(), CommandError>> {
        self.heard.lock().unwrap().push((network.to_string(), command, actor.to_owned()));
        async move {
            let refused = |reason: &str| Err(CommandError::Refused { reason: reason.to_owned() });
            match command {
                Command::Cancel { intent } => {
                    let done = sqlx::query(
                        "update amn.intent set status = 'canceled', ended = 'canceled', ended_at = now()
                        where id = $1 and status = 'awaiting'",
                    )
                    .bind(Uuid::from_u128(intent.0))
                    .execute(&self.pool)
                    .await?;
                    if done.rows_affected() == 1 { Ok(()) } else { refused("something has arrived for it") }
                }
                Command::Accept { .. } => refused("nothing has settled"),
                Command::Assign { .. } => Err(CommandError::Stale),
                _ => Err(CommandError::NotFound("deposit".to_owned())),
            }
        }
        .boxed()
    }
}
