//! What every play has, whatever its chain: the daemon in a process of its own, its database, and a receiver.

use std::path::Path;

use amn_scanner::stage::process::Daemon;
use amn_scanner::stage::receiver::Receiver;
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;

use super::database::Database;
use super::play::{KEY, free_port, start, told_of, wait_until};

pub struct Household {
    pub daemon: Daemon,
    pub receiver: Receiver,
    pub db: Database,
    pub dir: TempDir,
}

/// What a play may change of the usual configuration.
#[derive(Default)]
pub struct Ways {
    /// More lines for `[webhooks]`.
    pub webhooks: String,
    /// More lines at the end.
    pub rest: String,
    /// What stands between the daemon and the receiver: given the receiver's address, the URL to send to.
    pub receiver_url: Option<fn(&str) -> String>,
}

impl Household {
    /// The daemon runs, and the receiver hears of what concerns `seller`. `networks`: the configuration's lines about
    /// networks, given the folder of the play.
    pub async fn with(ways: Ways, networks: impl FnOnce(&Path) -> String) -> Self {
        let db = Database::fresh().await;
        let (receiver, serve) = Receiver::bind().await.unwrap();
        tokio::spawn(serve);
        let dir = TempDir::new().unwrap();
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
            {networks}
            {rest}
            "#,
            db = db.url,
            webhooks = ways.webhooks,
            networks = networks(dir.path()),
            rest = ways.rest,
        );
        std::fs::write(&config, text).unwrap();
        let daemon = start(&config, &dir.path().join("daemon.log"), port).await;
        let url = receiver.url();
        let url = ways.receiver_url.map_or(url.clone(), |through| through(&url));
        let secret = daemon.api().endpoint(Some("seller"), &url).await.unwrap();
        receiver.trust(&secret);
        Self { daemon, receiver, db, dir }
    }

    /// An intent of the seller with these terms, for 1 of an asset of 7 decimals unless they say otherwise.
    pub async fn create(&self, network: &str, more: Value) -> Value {
        let mut body = json!({ "tenant": "seller", "network": network, "due": "10000000" });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        body.as_object_mut().unwrap().extend(more);
        self.daemon.api().post("/v1/intents", body).await.unwrap()
    }

    /// The intent as it stands.
    pub async fn now(&self, intent: &Value) -> Value {
        self.daemon.api().get(&format!("/v1/intents/{}", intent["id"].as_str().unwrap())).await.unwrap()
    }

    /// The bodies of an intent's events as delivered, each once, in order of their sequence.
    pub fn bodies(&self, intent: &Value) -> Vec<Value> {
        told_of(&self.receiver, intent)
    }

    /// The events of an intent as delivered, each once, in order of their sequence.
    pub fn told(&self, intent: &Value) -> Vec<String> {
        self.bodies(intent).iter().map(|body| body["event"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether everything that a chain's newest block means has been decided, with two operators behind it, where what
    /// is newest is final. `head`: its hash, as `0x…`.
    pub async fn stands_at(&self, head: &str) -> bool {
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
            let same = |column: &str| row.get::<Option<String>, _>(column).as_deref() == Some(head);
            same("tip") && same("finalized") && row.get::<i64, _>("operators") >= 2 && !row.get::<bool, _>("owed")
        })
    }

    /// Waits until nothing waits to be delivered.
    pub async fn delivered(&self) {
        self.wait("something is not delivered", async || self.db.count("select count(*) from amn.delivery").await == 0)
            .await;
    }

    /// Polls until it holds; what is wrong is told with the daemon's last words.
    pub async fn wait(&self, trouble: &str, holds: impl AsyncFn() -> bool) {
        wait_until(trouble, holds, || self.log()).await;
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }
}
