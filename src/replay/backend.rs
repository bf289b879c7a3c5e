//! The backend that a replay tells: real webhooks, signed, in their order, by the dispatcher of the daemon.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use amn_core::id::EndpointId;
use sqlx::PgPool;
use tokio::sync::Notify;

use super::ReplayError;
use crate::clock::{Clock as _, Ids as _, SystemClock, SystemIds, TestClock};
use crate::outbox::dispatcher::Dispatcher;
use crate::outbox::guard::{Guard, GuardPolicy, Range};
use crate::outbox::settings::HttpSettings;
use crate::outbox::signature::{SECRET_BYTES, Secret};
use crate::store::StoreError;
use crate::store::outbox::deliveries;
use crate::store::outbox::endpoints::{self, NewEndpoint};

/// A backend under a debugger, or one that has just been started.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Between two attempts: virtual time passes at once, and a backend that has to come up needs real time.
const BREATH: Duration = Duration::from_millis(200);

/// Rounds in a row in which nothing was taken, after which the backend is said not to take it.
const FRUITLESS_MAX: u32 = 10;

/// Where events are told, and what they are signed with.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub url: String,
    pub secret: Secret,
}

impl Webhook {
    /// A webhook with a secret out of chance, for whoever has none yet.
    #[must_use]
    pub fn with_new_secret(url: impl Into<String>) -> Self {
        let mut chance = [0; SECRET_BYTES];
        SystemIds.fill(&mut chance);
        Self { url: url.into(), secret: Secret::from_chance(&chance) }
    }
}

/// What became of the deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivered {
    pub delivered: usize,
    pub retried: usize,
    pub dead: usize,
}

/// The backend's end of the outbox.
#[derive(Debug)]
pub(super) struct Backend {
    pool: PgPool,
    dispatcher: Dispatcher,
    /// The outbox's own time: never behind the replay's, and ahead of it while a delivery is tried again.
    clock: Arc<TestClock>,
    pub done: Delivered,
}

impl Backend {
    /// Registers the webhook for the operator and for every tenant of the scenario.
    pub async fn open(
        pool: &PgPool,
        webhook: &Webhook,
        tenants: &[String],
        clock: &TestClock,
    ) -> Result<Self, ReplayError> {
        let unusable = |what: String| ReplayError::Unusable(vec![format!("webhook: {what}")]);
        let clock = Arc::new(TestClock::at(clock.now()));
        // Whoever names a URL here means it: this machine, or a container beside it, over plain HTTP.
        let anywhere = [IpAddr::from([0; 4]), IpAddr::from([0; 16])].map(|base| Range { base, prefix: 0 });
        let guard = Guard::new(GuardPolicy { allow: anywhere.to_vec(), ..GuardPolicy::development() });
        guard.vet(&webhook.url).await.map_err(|refused| unusable(refused.to_string()))?;
        let settings = HttpSettings { timeout: TIMEOUT, ..HttpSettings::default() };
        let dispatcher =
            Dispatcher::new(pool.clone(), clock.clone(), Arc::new(SystemIds), settings, guard, Arc::new(Notify::new()));
        let dispatcher = dispatcher.map_err(|error| unusable(error.to_string()))?.signing_at(Arc::new(SystemClock));
        let mut db = pool.acquire().await.map_err(StoreError::from)?;
        for tenant in std::iter::once(None).chain(tenants.iter().map(|tenant| Some(tenant.as_str()))) {
            let id = EndpointId(SystemIds.next());
            let new = NewEndpoint { id, tenant, url: &webhook.url, events: None, secret: &webhook.secret };
            endpoints::create(&mut db, &new, clock.now()).await.map_err(StoreError::from)?;
        }
        Ok(Self { pool: pool.clone(), dispatcher, clock, done: Delivered::default() })
    }

    /// Delivers what is due, trying again what fails; what the backend does not take, if it does not.
    pub async fn tell(&mut self, now: &TestClock) -> Result<Option<String>, ReplayError> {
        if now.now() > self.clock.now() {
            self.clock.set(now.now());
        }
        let mut fruitless = 0;
        // Ends when nothing waits, or when nothing was taken for too long.
        loop {
            let outcome = self.dispatcher.run_once().await.map_err(StoreError::from)?;
            self.done.delivered += outcome.delivered;
            self.done.retried += outcome.retried;
            self.done.dead += outcome.dead;
            let Some(due) = deliveries::next_due(&self.pool, &[]).await.map_err(StoreError::from)? else {
                return Ok(None);
            };
            if outcome.delivered > 0 {
                fruitless = 0;
                continue;
            }
            fruitless += 1;
            if fruitless > FRUITLESS_MAX {
                let what = format!("webhook: the backend took nothing in {FRUITLESS_MAX} rounds of attempts");
                return Ok(Some(what));
            }
            if due > self.clock.now() {
                self.clock.set(due);
            }
            if outcome.retried > 0 {
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    /// The events that were given up, each with the reason.
    pub async fn given_up(&self) -> Result<Vec<String>, ReplayError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select e.event, coalesce(l.reason, '') from amn.dead_letter l join amn.event e on e.id = l.event_id
            order by e.created_at, e.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::from)?;
        Ok(rows.into_iter().map(|(event, reason)| format!("webhook: {event} was not taken: {reason}")).collect())
    }
}
