//! A scene on an invented chain: a network, its follower driven by hand, intents, and what was told.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use amn_core::confirmation::Require;
use amn_core::engine::Command;
use amn_core::id::IntentId;
use amn_core::network::SharedFacts;
use amn_core::timestamp::Timestamp;
use amn_scanner::clock::TestClock;
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::store;
use amn_scanner::store::decide::{CommandError, Desk};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use super::database::Database;
use super::fake_chain::{COIN, FakeChain, facts, raw};

pub struct Scene {
    pub db: Database,
    pub chain: FakeChain,
    pub clock: Arc<TestClock>,
    pub facts: SharedFacts,
    pub follower: Follower<FakeChain>,
}

/// Three confirmations, proven, by two operators.
pub fn usual() -> Require {
    Require {
        confirmations: Some(3),
        inclusion: Some(amn_core::block::Inclusion::Proven),
        operators: Some(2),
        ..Require::default()
    }
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(usual()).await
    }

    pub async fn with(require: Require) -> Self {
        let (db, chain) = (Database::fresh().await, FakeChain::new());
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
        let facts = facts("fake", require);
        store::network::register(&db.pool, "fake", &facts, None).await.unwrap();
        let follower = follower(&db.pool, &chain, &clock, &facts);
        let mut scene = Self { db, chain, clock, facts, follower };
        scene.catch_up().await;
        scene
    }

    /// Another follower on the same database and chain, as after a restart.
    pub fn restarted(&self) -> Follower<FakeChain> {
        follower(&self.db.pool, &self.chain, &self.clock, &self.facts)
    }

    pub fn network(&self) -> NetworkId {
        self.facts.id.clone()
    }

    pub fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// Rounds until nothing moves.
    pub async fn catch_up(&mut self) -> Outcome {
        catch_up(&mut self.follower, &self.clock).await
    }

    pub async fn intent(&self, address: &str, due: u64) -> IntentId {
        self.intent_until(address, due, None).await
    }

    /// `expires`: seconds of chain time after the first block.
    pub async fn intent_until(&self, address: &str, due: u64, expires: Option<i64>) -> IntentId {
        let expires_at = expires.map(|s| Timestamp::from_millis(1_700_000_000_000 + s * 1_000)).map(store::moment);
        let id: Uuid =
            sqlx::query_scalar("select amn.create_intent('seller', $1, $2, $3::bigint::numeric, $4, expires_at => $5)")
                .bind(self.facts.id.as_str())
                .bind(COIN)
                .bind(i64::try_from(due).unwrap())
                .bind(address)
                .bind(expires_at)
                .fetch_one(self.pool())
                .await
                .unwrap();
        IntentId(id.as_u128())
    }

    pub async fn command(&self, command: Command) -> Result<(), CommandError> {
        let now = Timestamp::from_seconds(1_800_000_000);
        store::decide::command(self.pool(), self.facts.clone(), command, "test", now).await.map(|_| ())
    }

    /// The events of an intent, in order: event and status.
    pub async fn told(&self, intent: IntentId) -> Vec<(String, String)> {
        self.bodies(intent).await.iter().map(|b| (word(&b["event"]), word(&b["intent"]["status"]))).collect()
    }

    pub async fn events(&self, intent: IntentId) -> Vec<String> {
        self.told(intent).await.into_iter().map(|(event, _)| event).collect()
    }

    pub async fn bodies(&self, intent: IntentId) -> Vec<Value> {
        let bodies: Vec<Vec<u8>> =
            sqlx::query_scalar("select body from amn.event where intent_id = $1 order by sequence")
                .bind(store::uuid(intent.0))
                .fetch_all(self.pool())
                .await
                .unwrap();
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    /// Events that belong to no intent.
    pub async fn others(&self) -> Vec<Value> {
        let bodies: Vec<Vec<u8>> =
            sqlx::query_scalar("select body from amn.event where intent_id is null order by created_at, id")
                .fetch_all(self.pool())
                .await
                .unwrap();
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    pub async fn status(&self, intent: IntentId) -> String {
        sqlx::query_scalar("select status from amn.intent where id = $1")
            .bind(store::uuid(intent.0))
            .fetch_one(self.pool())
            .await
            .unwrap()
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn follower(pool: &PgPool, chain: &FakeChain, clock: &Arc<TestClock>, facts: &SharedFacts) -> Follower<FakeChain> {
    Follower::new(Parts {
        source: chain.clone(),
        desk: Desk::new(pool.clone(), facts.clone()),
        pool: pool.clone(),
        clock: clock.clone(),
        bell: Arc::new(Notify::new()),
        told: Arc::new(Notify::new()),
        holder: Uuid::now_v7(),
        poll: Duration::from_millis(10),
        raw,
        start: None,
        balance_check: None,
    })
}

pub async fn catch_up(follower: &mut Follower<FakeChain>, clock: &TestClock) -> Outcome {
    // Every story is over within a few hundred rounds; one that is not goes round in circles.
    for _ in 0..500 {
        // Past every interval, so that each round looks at everything.
        clock.advance(6_000);
        match follower.round().await.unwrap() {
            Outcome::Advanced => {}
            other => return other,
        }
    }
    panic!("the follower does not come to rest");
}
