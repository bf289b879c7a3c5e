//! A play on a live chain: anvil, a token, the daemon in a process of its own, and a receiver.

use std::path::PathBuf;

use alloy_primitives::Address;
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts;
use amn_scanner::stage::process::{Api, Daemon};
use amn_scanner::stage::receiver::Receiver;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::database::Database;

/// The key that the configuration of a play names.
const KEY: &str = "operator-key-of-the-plays-0123456789-abcdefghij";

pub struct Play {
    pub chain: Anvil,
    pub daemon: Daemon,
    pub receiver: Receiver,
    pub token: Address,
    pub payer: Address,
    /// Counts up, so that every intent has an address of its own.
    next: std::sync::atomic::AtomicU64,
    pub db: Database,
    pub dir: TempDir,
}

/// What a play may change of the usual configuration.
#[derive(Default)]
pub struct Setting {
    pub rules: Rules,
    /// More lines for `[networks.devnet]`.
    pub network: String,
    /// More lines at the end.
    pub rest: String,
}

impl Play {
    pub async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub async fn with(setting: Setting) -> Self {
        let db = Database::fresh().await;
        let chain = Anvil::start(setting.rules).await.unwrap();
        let payer = chain.account(0).await.unwrap();
        let token = chain.deploy(payer, &contracts::token("USD Coin", "USDC", 6).unwrap()).await.unwrap();
        chain.send(payer, token, &contracts::mint(payer, 1_000_000_000_000), 0).await.unwrap();
        chain.mine(1).await.unwrap();
        let (receiver, serve) = Receiver::bind().await.unwrap();
        tokio::spawn(serve);
        let dir = TempDir::new().unwrap();
        let port = free_port().await;
        let config = dir.path().join("amn-scanner.toml");
        let (url, ws) = (chain.url(), chain.ws_url());
        let text = format!(
            r#"
            environment = "development"
            [server]
            listen = "127.0.0.1:{port}"
            [database]
            url = "{}"
            [log]
            filter = "info,amn_scanner=debug"
            [webhooks]
            allow_insecure_webhooks = true
            [auth]
            operator_key = "{KEY}"
            [networks.devnet]
            single_operator = "accepted"
            poll_ms = 100
            {}
            [[networks.devnet.tokens]]
            address = "{token}"
            symbol = "USDC"
            decimals = 6
            min_amount = "1"
            [[networks.devnet.endpoints]]
            name = "anvil"
            url = "{url}"
            ws = "{ws}"
            operator = "anvil"
            {}
            "#,
            db.url, setting.network, setting.rest
        );
        std::fs::write(&config, text).unwrap();
        let api = Api::new(format!("http://127.0.0.1:{port}"), KEY).unwrap();
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_amn-scanner"));
        let daemon = Daemon::start(&binary, &config, &dir.path().join("daemon.log"), api).await.unwrap();
        let secret = daemon.api().endpoint(Some("seller"), &receiver.url()).await.unwrap();
        receiver.trust(&secret);
        let next = std::sync::atomic::AtomicU64::new(1);
        Self { chain, daemon, receiver, token, payer, next, db, dir }
    }

    /// The asset id of the play's token.
    pub fn asset(&self) -> String {
        format!("eip155:31337/erc20:{}", self.token)
    }

    /// An intent on an address of its own, for the play's token unless `more` says otherwise.
    pub async fn intent(&self, more: Value) -> Value {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let address = Address::left_padding_from(&(0xa000_0000 + number).to_be_bytes());
        let mut body = json!({
            "tenant": "seller", "network": "devnet", "asset": self.asset(), "due": "1000000", "address": address,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.daemon.api().post("/v1/intents", body).await.unwrap()
    }

    /// Sends the play's token to an intent's address; it waits in the pool until a block is mined.
    pub async fn pay(&self, intent: &Value, amount: u128) -> String {
        let to = address(intent);
        self.chain.send(self.payer, self.token, &contracts::transfer(to, amount), 0).await.unwrap()
    }

    /// The events of an intent as delivered, each once, in order of their sequence.
    pub fn told(&self, intent: &Value) -> Vec<String> {
        let mut events: Vec<(u64, String)> = self
            .receiver
            .delivered()
            .iter()
            .map(|heard| heard.json())
            .filter(|body| body["intent"]["id"] == intent["id"])
            .map(|body| (body["sequence"].as_u64().unwrap(), body["event"].as_str().unwrap().to_owned()))
            .collect();
        events.sort();
        events.into_iter().map(|(_, event)| event).collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }
}

pub fn address(intent: &Value) -> Address {
    intent["address"].as_str().unwrap().parse().unwrap()
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
