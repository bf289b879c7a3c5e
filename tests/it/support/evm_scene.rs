//! A scene on EVM nodes that serve what a test makes: the real source, pool, follower and desk.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use amn_core::block::{BlockRef, Operator};
use amn_core::id::IntentId;
use amn_core::timestamp::Timestamp;
use amn_evm::networks::EvmNetwork;
use amn_evm::source::EvmSource;
use amn_evm::testkit::{Node, Reply, Script};
use amn_rpc::{EndpointConfig, Pool, PoolSettings, Time};
use amn_scanner::clock::TestClock;
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::store;
use amn_scanner::store::decide::Desk;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::subscriber::DefaultGuard;
use uuid::Uuid;

use super::database::Database;

/// Rounds in which every story here is over; one that is not goes round in circles.
const ROUNDS_MAX: usize = 500;

pub struct EvmScene {
    pub db: Database,
    pub clock: Arc<TestClock>,
    pub network: EvmNetwork,
    pub pool: Pool,
    pub follower: Follower<EvmSource>,
    /// The follower's name on its lease.
    pub holder: Uuid,
    pub log: Lines,
    _listening: DefaultGuard,
}

impl EvmScene {
    /// A network read from these nodes, each of an operator of its own: a, b, c … Its ledger has begun.
    pub async fn on(network: EvmNetwork, start: Option<BlockRef>, nodes: &[&Node]) -> Self {
        let endpoints =
            nodes.iter().zip('a'..).map(|(node, name)| endpoint(&name.to_string(), &node.url(), &name.to_string()));
        Self::reading(network, start, endpoints.collect(), None).await
    }

    /// The same of these endpoints, comparing balances every so many blocks.
    pub async fn reading(
        network: EvmNetwork,
        start: Option<BlockRef>,
        endpoints: Vec<EndpointConfig>,
        balance_check: Option<u64>,
    ) -> Self {
        let mut scene = Self::waiting(network, start, endpoints, balance_check, Time::real()).await;
        assert_eq!(scene.follower.round().await.unwrap(), Outcome::Advanced, "the ledger begins");
        scene
    }

    /// The same by a clock of its own, and its ledger has not begun.
    pub async fn waiting(
        network: EvmNetwork,
        start: Option<BlockRef>,
        endpoints: Vec<EndpointConfig>,
        balance_check: Option<u64>,
        time: Time,
    ) -> Self {
        let log = Lines::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("info,sqlx=warn")
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let listening = tracing::subscriber::set_default(subscriber);
        let db = Database::fresh().await;
        store::network::register(&db.pool, "evm", &network.facts, None).await.unwrap();
        let settings = PoolSettings { time, ..PoolSettings::default() };
        let pool = Pool::new_with(network.facts.id.clone(), endpoints, settings).unwrap();
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
        let holder = Uuid::now_v7();
        let follower = follower(&db, &pool, &network, &clock, (start, balance_check), holder);
        Self { db, clock, network, pool, follower, holder, log, _listening: listening }
    }

    /// The follower of another daemon on the same database and nodes.
    pub fn another(&self) -> Follower<EvmSource> {
        follower(&self.db, &self.pool, &self.network, &self.clock, (None, None), Uuid::now_v7())
    }

    /// Rounds until nothing moves; what the last one came to.
    pub async fn catch_up(&mut self) -> Outcome {
        for _ in 0..ROUNDS_MAX {
            // Past every interval, so that each round looks at everything.
            self.clock.advance(6_000);
            match self.follower.round().await.unwrap() {
                Outcome::Advanced => {}
                other => return other,
            }
        }
        panic!("the follower does not come to rest: {}", self.log.text());
    }

    /// Every node grows by one empty block, and the follower catches up; so often.
    pub async fn grow(&mut self, nodes: &[&Node], blocks: usize) -> Outcome {
        let mut last = Outcome::Idle;
        for _ in 0..blocks {
            for node in nodes {
                node.history().pass(1);
            }
            last = self.catch_up().await;
        }
        last
    }

    pub async fn intent(&self, symbol: &str, to: Address, due: u128) -> IntentId {
        let asset = self.network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap();
        let id: Uuid = sqlx::query_scalar("select amn.create_intent('seller', $1, $2, $3::text::numeric, $4)")
            .bind(self.network.facts.id.as_str())
            .bind(asset.id.as_str())
            .bind(due.to_string())
            .bind(amn_evm::address::spell(to.0.0).as_str())
            .fetch_one(&self.db.pool)
            .await
            .unwrap();
        IntentId(id.as_u128())
    }

    pub async fn bodies(&self, intent: IntentId) -> Vec<Value> {
        self.db.bodies(intent).await
    }

    pub async fn events(&self, intent: IntentId) -> Vec<String> {
        self.db.events(intent).await
    }

    pub async fn status(&self, intent: IntentId) -> String {
        self.db.status(intent).await
    }

    /// How many deposits were ever settled.
    pub async fn settled(&self) -> i64 {
        self.db.settled().await
    }

    /// How many deposits there are, whatever became of them.
    pub async fn deposits(&self) -> i64 {
        self.db.deposits().await
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        self.db.count(sql).await
    }

    /// The height we stand at.
    pub async fn tip(&self) -> i64 {
        self.db.tip().await
    }

    /// Why each endpoint is distrusted, in configured order.
    pub fn distrusted(&self) -> Vec<Option<String>> {
        self.pool.endpoints().iter().map(|endpoint| endpoint.health().distrusted).collect()
    }
}

/// An endpoint of an operator.
pub fn endpoint(name: &str, url: &str, operator: &str) -> EndpointConfig {
    let mut endpoint = EndpointConfig::new(name, url, Operator::new(operator));
    // Well above the largest real answer here, so that a larger one is quickly too large.
    endpoint.body_max = 8 << 20;
    endpoint
}

fn follower(
    db: &Database,
    pool: &Pool,
    network: &EvmNetwork,
    clock: &Arc<TestClock>,
    (start, balance_check): (Option<BlockRef>, Option<u64>),
    holder: Uuid,
) -> Follower<EvmSource> {
    Follower::new(Parts {
        source: EvmSource::new(pool.clone(), network.clone()),
        desk: Desk::new(db.pool.clone(), network.facts.clone()),
        pool: db.pool.clone(),
        clock: clock.clone(),
        bell: Arc::new(Notify::new()),
        told: Arc::new(Notify::new()),
        holder,
        poll: Duration::from_millis(10),
        raw: |address| amn_evm::address::parse(address.as_str()).ok().map(|(_, raw)| raw.to_vec()),
        start,
        balance_check,
    })
}

/// Lines of the log, as an operator reads them.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Whether one line holds all of these words.
    pub fn says(&self, words: &[&str]) -> bool {
        self.text().lines().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file of real chain data; `None`, and the reason is printed, where it is not on this machine.
pub fn real(file: &str) -> Option<Value> {
    let folder = std::env::var_os("AMN_REAL_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/real")), PathBuf::from);
    match std::fs::read(folder.join("evm").join(file)) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) => {
            println!("skipped: no real data, {file}: {error} (set AMN_REAL_DATA)");
            None
        }
    }
}

/// Lets a node change its answers to one method, parsed.
pub fn lying(method: &'static str, change: impl Fn(&Value, &mut Value) + Send + Sync + 'static) -> Script {
    Arc::new(move |called, params, honest| match honest {
        Reply::Result(text) if called == method => {
            let mut result: Value = serde_json::from_str(&text).unwrap();
            change(params, &mut result);
            Reply::Result(result.to_string())
        }
        honest => honest,
    })
}
