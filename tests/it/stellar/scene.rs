//! A scene on Stellar nodes that serve what a test makes: the real source, pool, follower and desk.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{Address, BlockRef};
use amn_core::engine::Command;
use amn_core::id::IntentId;
use amn_core::timestamp::Timestamp;
use amn_rpc::{EndpointConfig, Pool, PoolSettings, VirtualTime};
use amn_scanner::clock::{Clock as _, TestClock};
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::store;
use amn_scanner::store::decide::Desk;
use amn_soroban::address::{self, Place};
use amn_soroban::lake::Lake;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::source::SorobanSource;
use tokio::sync::Notify;
use tracing::subscriber::DefaultGuard;
use uuid::Uuid;

use crate::support::database::Database;
use crate::support::evm_scene::Lines;
pub use crate::support::evm_scene::endpoint;

/// Rounds in which every story here is over; one that is not goes round in circles.
const ROUNDS_MAX: usize = 500;

/// Past every interval of the follower, so that each round looks at everything.
const STEP: Duration = Duration::from_secs(6);

pub struct StellarScene {
    pub db: Database,
    pub clock: Arc<TestClock>,
    /// Of the pool. Under it every node is as quick as the others: who is asked first follows from the order alone.
    pub time: VirtualTime,
    pub network: SorobanNetwork,
    pub pool: Pool,
    pub follower: Follower<SorobanSource>,
    pub log: Lines,
    _listening: DefaultGuard,
}

impl StellarScene {
    /// A network whose ledger begins at this block, or where it is final, read from these endpoints.
    pub async fn reading(network: SorobanNetwork, start: Option<BlockRef>, endpoints: Vec<EndpointConfig>) -> Self {
        let mut scene = Self::waiting(network, start, endpoints, &[]).await;
        assert_eq!(scene.follower.round().await.unwrap(), Outcome::Advanced, "the ledger begins: {}", scene.log.text());
        scene
    }

    /// The same with data lakes beside, and its ledger has not begun.
    pub async fn waiting(
        network: SorobanNetwork,
        start: Option<BlockRef>,
        endpoints: Vec<EndpointConfig>,
        lakes: &[EndpointConfig],
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
        store::network::register(&db.pool, "soroban", &network.facts, None).await.unwrap();
        let time = VirtualTime::at(Duration::from_hours(500_000));
        let settings = || PoolSettings { time: time.time(), ..PoolSettings::default() };
        let pool = Pool::new_with(network.facts.id.clone(), endpoints, settings()).unwrap();
        let lakes = lakes.iter().map(|lake| Lake::open(lake.clone(), settings(), &network).unwrap());
        let source = SorobanSource::new(pool.clone(), network.clone()).with_lakes(lakes.collect());
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
        let follower = Follower::new(Parts {
            source,
            desk: Desk::new(db.pool.clone(), network.facts.clone()),
            pool: db.pool.clone(),
            clock: clock.clone(),
            bell: Arc::new(Notify::new()),
            told: Arc::new(Notify::new()),
            holder: Uuid::now_v7(),
            poll: Duration::from_millis(10),
            raw: |at| address::raw(at).map(|raw| raw.to_vec()),
            start,
            balance_check: None,
        });
        Self { db, clock, time, network, pool, follower, log, _listening: listening }
    }

    /// One look, past every interval since the last.
    pub async fn look(&mut self) -> Outcome {
        self.look_after(STEP).await
    }

    pub async fn look_after(&mut self, time: Duration) -> Outcome {
        self.clock.advance(i64::try_from(time.as_millis()).unwrap());
        self.time.advance(time);
        self.follower.round().await.unwrap()
    }

    /// Rounds until nothing moves; what the last one came to.
    pub async fn catch_up(&mut self) -> Outcome {
        for _ in 0..ROUNDS_MAX {
            match self.look().await {
                Outcome::Advanced => {}
                other => return other,
            }
        }
        panic!("the follower does not come to rest: {}", self.log.text());
    }

    /// Rounds until the follower stands at this height; what the rounds came to is told when it does not.
    pub async fn reaches(&mut self, height: u64) {
        let mut last = Outcome::Idle;
        for _ in 0..20 {
            last = self.catch_up().await;
            if self.db.tip().await == i64::try_from(height).unwrap() {
                return;
            }
        }
        panic!("stands at {}, not at {height}: {last:?}\n{}", self.db.tip().await, self.log.text());
    }

    /// A person understood why the network was halted.
    pub async fn resume(&mut self) {
        let resume = Command::Resume { accept_fork: None };
        let (pool, facts) = (&self.db.pool, self.network.facts.clone());
        store::decide::command(pool, facts, resume, "the test", self.clock.now()).await.unwrap();
    }

    /// Without a reference it has the address alone.
    pub async fn intent(&self, symbol: &str, to: Place, reference: Option<&str>, due: i64) -> IntentId {
        let asset = self.network.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap();
        self.intent_of(asset.id.as_str(), &to.spell(), reference, i128::from(due)).await
    }

    pub async fn intent_of(&self, asset: &str, to: &Address, reference: Option<&str>, due: i128) -> IntentId {
        let id: Uuid = sqlx::query_scalar("select amn.create_intent('seller', $1, $2, $3::text::numeric, $4, $5)")
            .bind(self.network.facts.id.as_str())
            .bind(asset)
            .bind(due.to_string())
            .bind(to.as_str())
            .bind(reference.unwrap_or("none"))
            .fetch_one(&self.db.pool)
            .await
            .unwrap();
        IntentId(id.as_u128())
    }

    /// Why each endpoint is distrusted, in configured order.
    pub fn distrusted(&self) -> Vec<Option<String>> {
        self.pool.endpoints().iter().map(|endpoint| endpoint.health().distrusted).collect()
    }
}
