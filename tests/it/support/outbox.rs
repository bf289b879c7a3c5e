//! A world for stories about the outbox: tenants, intents, events, endpoints, a clock that is moved by hand.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use amn_core::id::{EndpointId, EventId, IntentId};
use amn_core::timestamp::Timestamp;
use amn_scanner::clock::{Clock, Ids, SeededIds, SystemClock, TestClock};
use amn_scanner::outbox::dispatcher::{Dispatcher, Outcome};
use amn_scanner::outbox::guard::{Guard, GuardPolicy};
use amn_scanner::outbox::settings::HttpSettings;
use amn_scanner::outbox::signature::{SECRET_BYTES, Secret};
use amn_scanner::store::outbox::endpoints::{self, NewEndpoint};
use amn_scanner::store::outbox::enqueue;
use amn_scanner::store::row::moment;
use sqlx::Row as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::database::Database;

pub const START: Timestamp = Timestamp::from_seconds(1_795_253_352);
pub const HOUR: i64 = 3_600_000;

/// Short, so that stories about time-outs are; long enough for a machine that is busy.
pub const TIMEOUT: Duration = Duration::from_millis(700);

pub struct World {
    pub db: Database,
    pub clock: Arc<TestClock>,
    pub ids: Arc<SeededIds>,
    pub wake: Arc<Notify>,
}

impl World {
    pub async fn new() -> Self {
        let db = Database::fresh().await;
        let (clock, ids) = (Arc::new(TestClock::at(START)), Arc::new(SeededIds::new(7, START)));
        Self { db, clock, ids, wake: Arc::new(Notify::new()) }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn settings() -> HttpSettings {
        HttpSettings { timeout: TIMEOUT, ..HttpSettings::default() }
    }

    /// One that is driven by hand.
    pub fn dispatcher(&self) -> Dispatcher {
        self.dispatcher_with(Self::settings(), Guard::new(GuardPolicy::development()))
    }

    pub fn dispatcher_with(&self, settings: HttpSettings, guard: Guard) -> Dispatcher {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        self.dispatcher_at(clock, settings, guard)
    }

    fn dispatcher_at(&self, clock: Arc<dyn Clock>, settings: HttpSettings, guard: Guard) -> Dispatcher {
        let ids = Arc::clone(&self.ids) as Arc<dyn Ids>;
        Dispatcher::new(self.db.pool.clone(), clock, ids, settings, guard, Arc::clone(&self.wake)).unwrap()
    }

    /// One that runs by itself on the machine's clock while `story` is told, and is stopped after it.
    pub fn running<'a, T: 'a>(
        &'a self,
        settings: HttpSettings,
        story: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        let guard = Guard::new(GuardPolicy::development());
        let dispatcher = self.dispatcher_at(Arc::new(SystemClock), settings, guard);
        let stop = CancellationToken::new();
        Box::pin(async move {
            let told = async {
                let told = story.await;
                stop.cancel();
                told
            };
            tokio::join!(told, dispatcher.run(stop.clone())).0
        })
    }

    pub fn secret(&self) -> Secret {
        let mut chance = [0; SECRET_BYTES];
        self.ids.fill(&mut chance);
        Secret::from_chance(&chance)
    }

    pub async fn endpoint(&self, tenant: Option<&str>, url: &str) -> EndpointId {
        self.endpoint_for(tenant, url, None).await.0
    }

    pub async fn endpoint_for(&self, tenant: Option<&str>, url: &str, events: Option<&[&str]>) -> (EndpointId, Secret) {
        let secret = self.secret();
        let events = events.map(|events| events.iter().map(ToString::to_string).collect::<Vec<_>>());
        let id = EndpointId(self.ids.next());
        let new = NewEndpoint { id, tenant, url, events: events.as_deref(), secret: &secret };
        endpoints::create(&mut self.db.pool.acquire().await.unwrap(), &new, self.now()).await.unwrap();
        (id, secret)
    }

    /// An intent of a tenant; its events are made with `event`.
    pub async fn intent(&self, tenant: &str) -> IntentId {
        let id = IntentId(self.ids.next());
        let sql = "
            with t as (insert into amn.tenant (id) values ($1) on conflict do nothing),
              n as (insert into amn.network (id, family, chain) values ('fake', 'fake', 'fake:1') on conflict do nothing),
              a as (
                insert into amn.asset (network_id, id, symbol, decimals) values ('fake', 'usd', 'USD', 6) on conflict do nothing
              )
            insert into amn.intent (id, tenant_id, network_id, asset_id, address, due) values ($2, $1, 'fake', 'usd', $3, 1)";
        let address = id.to_string();
        sqlx::query(sql).bind(tenant).bind(Uuid::from_u128(id.0)).bind(address).execute(&self.db.pool).await.unwrap();
        id
    }

    /// Commits an event and its deliveries, as a decision does.
    pub async fn event(&self, tenant: Option<&str>, intent: Option<IntentId>, sequence: Option<i64>) -> EventId {
        self.event_named("payment.detected", tenant, intent, sequence).await
    }

    pub async fn event_named(
        &self,
        name: &str,
        tenant: Option<&str>,
        intent: Option<IntentId>,
        sequence: Option<i64>,
    ) -> EventId {
        let mut transaction = self.db.pool.begin().await.unwrap();
        let id = self.insert_event(&mut transaction, name, tenant, intent, sequence).await;
        enqueue(&mut transaction, &[Uuid::from_u128(id.0)], self.now()).await.unwrap();
        transaction.commit().await.unwrap();
        id
    }

    pub async fn insert_event(
        &self,
        connection: &mut sqlx::PgConnection,
        name: &str,
        tenant: Option<&str>,
        intent: Option<IntentId>,
        sequence: Option<i64>,
    ) -> EventId {
        let id = EventId(self.ids.next());
        if let Some(tenant) = tenant {
            let sql = "insert into amn.tenant (id) values ($1) on conflict do nothing";
            sqlx::query(sql).bind(tenant).execute(&mut *connection).await.unwrap();
        }
        let sql = "insert into amn.event (id, tenant_id, intent_id, sequence, event, body, created_at)
            values ($1, $2, $3, $4, $5, $6, $7)";
        let about = intent.map_or_else(String::new, |intent| intent.to_string());
        let sequence_told = sequence.unwrap_or(0);
        let body =
            format!(r#"{{"amount":"1","event":"{name}","id":"{id}","intent":"{about}","sequence":{sequence_told}}}"#);
        sqlx::query(sql)
            .bind(Uuid::from_u128(id.0))
            .bind(tenant)
            .bind(intent.map(|intent| Uuid::from_u128(intent.0)))
            .bind(sequence)
            .bind(name)
            .bind(body.into_bytes())
            .bind(moment(self.now()))
            .execute(connection)
            .await
            .unwrap();
        id
    }

    /// Moves the clock to when the next delivery is due.
    pub async fn wait_until_due(&self) {
        let due = amn_scanner::store::outbox::deliveries::next_due(&self.db.pool, &[]).await.unwrap();
        self.clock.set(due.expect("something waits").max(self.now()));
    }

    pub async fn count(&self, table: &'static str) -> i64 {
        let sql = format!("select count(*) from amn.{table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.db.pool).await.unwrap()
    }

    pub async fn outcomes(&self) -> Vec<Attempt> {
        let sql = "select outcome, generation, attempt, status_code, error, response from amn.attempt order by id";
        let rows = sqlx::query(sql).fetch_all(&self.db.pool).await.unwrap();
        rows.iter()
            .map(|row| Attempt {
                outcome: row.get(0),
                generation: row.get(1),
                number: row.get(2),
                status_code: row.get(3),
                error: row.get(4),
                response: row.get(5),
            })
            .collect()
    }

    /// Rounds until one has nothing to do; answers what was delivered.
    pub async fn drain(&self, dispatcher: &Dispatcher) -> usize {
        let mut delivered = 0;
        loop {
            let outcome = dispatcher.run_once().await.unwrap();
            delivered += outcome.delivered;
            if outcome == Outcome::default() {
                return delivered;
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: String,
    pub generation: i32,
    pub number: i32,
    pub status_code: Option<i16>,
    pub error: Option<String>,
    pub response: Option<String>,
}

/// Events by intent, in the order in which a receiver saw them.
pub fn sequences(requests: &[crate::support::receiver::Request]) -> HashMap<String, Vec<i64>> {
    let mut seen: HashMap<String, Vec<i64>> = HashMap::new();
    for request in requests {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let key = body["intent"].as_str().unwrap_or_default().to_owned();
        seen.entry(key).or_default().push(body["sequence"].as_i64().unwrap());
    }
    seen
}
