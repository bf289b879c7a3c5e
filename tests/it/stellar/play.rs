//! A play on Stellar: two operators that serve one chain, the daemon in a process of its own, and a receiver.

use std::sync::{Arc, Mutex};

use amn_scanner::stage::process::Daemon;
use amn_scanner::stage::receiver::Receiver;
use amn_soroban::address::Place;
use amn_soroban::testkit::{History, Node, Tx};
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;

use super::ground;
use crate::support::database::Database;
use crate::support::play::{KEY, free_port, start, told_of, wait_until};

pub struct StellarPlay {
    /// Of the operators alpha and beta.
    pub nodes: [Node; 2],
    pub daemon: Daemon,
    pub receiver: Receiver,
    pub db: Database,
    pub dir: TempDir,
}

/// What a play may change of the usual configuration.
pub struct Setting {
    pub history: History,
    pub require: &'static str,
    /// More lines for `[webhooks]`.
    pub webhooks: &'static str,
    /// More lines at the end.
    pub rest: String,
    /// What stands between the daemon and the receiver: given the receiver's address, the URL to send to.
    pub receiver_url: Option<fn(&str) -> String>,
}

impl Default for Setting {
    fn default() -> Self {
        let mut history = ground::history();
        history.pass(3);
        Self { history, require: ground::TWO, webhooks: "", rest: String::new(), receiver_url: None }
    }
}

impl StellarPlay {
    pub async fn with(setting: Setting) -> Self {
        let db = Database::fresh().await;
        let history = Arc::new(Mutex::new(setting.history));
        let share = || Node::share(history.clone());
        let nodes = [share().await.unwrap(), share().await.unwrap()];
        let (receiver, serve) = Receiver::bind().await.unwrap();
        tokio::spawn(serve);
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("stories.toml");
        std::fs::write(&file, ground::file(setting.require)).unwrap();
        let config = dir.path().join("amn-scanner.toml");
        let port = free_port().await;
        let text = format!(
            r#"
            environment = "development"
            [server]
            listen = "127.0.0.1:{port}"
            [database]
            url = "{db}"
            max_connections = 8
            [log]
            filter = "info,amn_scanner=debug"
            [webhooks]
            allow_insecure_webhooks = true
            {webhooks}
            [auth]
            operator_key = "{KEY}"
            [networks.{network}]
            file = "{file}"
            poll_ms = 50
            quiet_poll_ms = 0
            [[networks.{network}.endpoints]]
            name = "alpha"
            url = "{alpha}"
            operator = "alpha"
            [[networks.{network}.endpoints]]
            name = "beta"
            url = "{beta}"
            operator = "beta"
            {rest}
            "#,
            db = db.url,
            webhooks = setting.webhooks,
            rest = setting.rest,
            network = ground::NETWORK,
            file = file.display(),
            alpha = nodes[0].url(),
            beta = nodes[1].url(),
        );
        std::fs::write(&config, text).unwrap();
        let daemon = start(&config, &dir.path().join("daemon.log"), port).await;
        let url = receiver.url();
        let url = setting.receiver_url.map_or(url.clone(), |through| through(&url));
        let secret = daemon.api().endpoint(Some("seller"), &url).await.unwrap();
        receiver.trust(&secret);
        let play = Self { nodes, daemon, receiver, db, dir };
        play.caught_up().await;
        play
    }

    /// Closes one ledger with these transactions.
    pub fn close(&self, transactions: &[Tx]) {
        self.nodes[0].history().close(transactions);
    }

    /// An intent with these terms, for XLM unless they say otherwise.
    pub async fn intent(&self, more: Value) -> Value {
        let mut body = json!({
            "tenant": "seller", "network": ground::NETWORK, "asset": ground::asset("XLM"), "due": "10000000",
            "address": ground::SHOP.spell().as_str(),
        });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        body.as_object_mut().unwrap().extend(more);
        self.daemon.api().post("/v1/intents", body).await.unwrap()
    }

    /// An intent that has its account alone.
    pub async fn exclusive(&self, symbol: &str, to: Place) -> Value {
        let terms = json!({"asset": ground::asset(symbol), "address": to.spell().as_str(), "reference": "none"});
        self.intent(terms).await
    }

    /// The intent as it stands.
    pub async fn now(&self, intent: &Value) -> Value {
        self.daemon.api().get(&format!("/v1/intents/{}", intent["id"].as_str().unwrap())).await.unwrap()
    }

    pub fn bodies(&self, intent: &Value) -> Vec<Value> {
        told_of(&self.receiver, intent)
    }

    pub fn told(&self, intent: &Value) -> Vec<String> {
        self.bodies(intent).iter().map(|body| body["event"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until everything that the newest ledger means has been decided, with both operators behind it.
    pub async fn caught_up(&self) {
        self.wait("the daemon does not catch up", async || self.is_caught_up().await).await;
    }

    /// The same, and until nothing waits to be delivered.
    pub async fn quiet(&self) {
        self.caught_up().await;
        self.wait("something is not delivered", async || self.db.count("select count(*) from amn.delivery").await == 0)
            .await;
    }

    async fn is_caught_up(&self) -> bool {
        let head = self.nodes[0].history().tip().unwrap().at.hash.to_string();
        let row = sqlx::query(
            r"
            select '0x' || encode(tip_hash, 'hex') as tip, '0x' || encode(finalized_hash, 'hex') as finalized,
              (select count(*) from jsonb_each(vouchers) v where (v.value ->> 'height')::bigint = tip_height) as operators,
              exists (select from amn.watch w where w.network_id = n.id and w.backfill_from is not null) as owed
            from amn.network n
            ",
        )
        .fetch_optional(&self.db.pool)
        .await
        .unwrap();
        row.is_some_and(|row| {
            let same = |column: &str| row.get::<Option<String>, _>(column).as_ref() == Some(&head);
            same("tip") && same("finalized") && row.get::<i64, _>("operators") >= 2 && !row.get::<bool, _>("owed")
        })
    }

    pub async fn wait(&self, trouble: &str, holds: impl AsyncFn() -> bool) {
        wait_until(trouble, holds, || self.log()).await;
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }
}
