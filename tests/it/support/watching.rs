//! What a scene of any family is made of: a source over nodes that a test serves, the real pool, follower and desk.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::{Address, BlockRef};
use amn_core::engine::Command;
use amn_core::id::IntentId;
use amn_core::network::Facts;
use amn_core::source::ChainSource;
use amn_core::timestamp::Timestamp;
use amn_rpc::{EndpointConfig, Pool, PoolSettings, VirtualTime};
use amn_scanner::clock::{Clock as _, TestClock};
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::store;
use amn_scanner::store::decide::Desk;
use tokio::sync::Notify;
use tracing::subscriber::DefaultGuard;
use uuid::Uuid;

use super::database::Database;
use super::evm_scene::Lines;

/// Rounds in which every story here is over; one that is not goes round in circles.
const ROUNDS_MAX: usize = 500;

/// Past every interval of the follower, so that each round looks at everything.
pub const STEP: Duration = Duration::from_secs(6);

/// A network as its family knows it.
pub struct Kin {
    pub family: &'static str,
    pub facts: Arc<Facts>,
    pub raw: fn(&Address) -> Option<Vec<u8>>,
}

pub struct Watching<S> {
    pub db: Database,
    pub clock: Arc<TestClock>,
    /// Of the pool. Under it every node is as quick as the others: who is asked first follows from the order alone.
    pub time: VirtualTime,
    pub facts: Arc<Facts>,
    pub pool: Pool,
    pub follower: Follower<S>,
    pub log: Lines,
    _listening: DefaultGuard,
}

impl<S: ChainSource> Watching<S> {
    /// The network's ledger has not begun; it will at this block, or where it is final.
    pub async fn new(
        kin: Kin,
        start: Option<BlockRef>,
        endpoints: Vec<EndpointConfig>,
        source: impl FnOnce(&Pool, &dyn Fn() -> PoolSettings) -> S,
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
        let Kin { family, facts, raw } = kin;
        store::network::register(&db.pool, family, &facts, None).await.unwrap();
        let time = VirtualTime::at(Duration::from_hours(500_000));
        let settings = || PoolSettings { time: time.time(), ..PoolSettings::default() };
        let pool = Pool::new_with(facts.id.clone(), endpoints, settings()).unwrap();
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
        let follower = Follower::new(Parts {
            source: source(&pool, &settings),
            desk: Desk::new(db.pool.clone(), facts.clone()),
            pool: db.pool.clone(),
            clock: clock.clone(),
            bell: Arc::new(Notify::new()),
            told: Arc::new(Notify::new()),
            holder: Uuid::now_v7(),
            poll: Duration::from_millis(10),
            raw,
            start,
            balance_check: None,
        });
        Self { db, clock, time, facts, pool, follower, log, _listening: listening }
    }

    /// Its ledger begins.
    pub async fn begins(&mut self) {
        assert_eq!(self.follower.round().await.unwrap(), Outcome::Advanced, "the ledger begins: {}", self.log.text());
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
        let (pool, facts) = (&self.db.pool, self.facts.clone());
        store::decide::command(pool, facts, resume, "the test", self.clock.now()).await.unwrap();
    }

    /// An intent for an asset by its symbol; without a reference it has the address alone.
    pub async fn asks(&self, symbol: &str, to: &Address, reference: Option<&str>, due: i128) -> IntentId {
        let asset = self.facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap();
        self.intent_of(asset.id.as_str(), to, reference, due).await
    }

    pub async fn intent_of(&self, asset: &str, to: &Address, reference: Option<&str>, due: i128) -> IntentId {
        let id: Uuid = sqlx::query_scalar("select amn.create_intent('seller', $1, $2, $3::text::numeric, $4, $5)")
            .bind(self.facts.id.as_str())
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
