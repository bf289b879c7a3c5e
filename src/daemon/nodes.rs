//! What this daemon knows of its nodes: told to the metrics, and to the database for commands and other daemons; and
//! the resets it obeys.
//!
//! An endpoint's standing lives in the memory of the daemon that asks it. The row it writes is what `networks` shows;
//! nothing decides by it. See `docs/decisions/0021-what-daemons-say-of-nodes.md`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use amn_core::block::NetworkId;
use amn_rpc::{Health, Pool};
use metrics::{counter, gauge};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use super::budget::Budget;
use crate::clock::Clock;
use crate::follower::Pulse;
use crate::store::{StoreError, pools};
use crate::telemetry::metric;

/// The states of a breaker, each a series of its own: one of them is 1.
const STATES: [&str; 3] = ["closed", "open", "half_open"];

/// All that this daemon asks.
pub struct Nodes {
    /// Who we are, among daemons on one database: the holder of our leases.
    pub daemon: Uuid,
    db: PgPool,
    clock: Arc<dyn Clock>,
    networks: BTreeMap<NetworkId, Asked>,
    reach: Reach,
}

/// What each endpoint of a network said of itself beside its head, by name.
type Reach = Arc<dyn Fn(&NetworkId) -> BTreeMap<String, Value> + Send + Sync>;

/// The nodes of one network, and how it is looked at.
#[derive(Debug)]
struct Asked {
    pool: Pool,
    pulse: Pulse,
    /// Rung when somebody here waits for a look.
    wake: Arc<Notify>,
    budget: Mutex<Budget>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("daemon", &self.daemon).field("networks", &self.networks).finish_non_exhaustive()
    }
}

impl Nodes {
    #[must_use]
    pub fn new(daemon: Uuid, db: PgPool, clock: Arc<dyn Clock>, pools: impl IntoIterator<Item = Pool>) -> Self {
        let asked = |pool: Pool| {
            let network = pool.network().clone();
            (network, Asked { pool, pulse: Pulse::default(), wake: Arc::default(), budget: Mutex::default() })
        };
        Self {
            daemon,
            db,
            clock,
            networks: pools.into_iter().map(asked).collect(),
            reach: Arc::new(|_| BTreeMap::new()),
        }
    }

    /// The same, telling what families know of their endpoints besides.
    #[must_use]
    pub fn reaching(self, reach: impl Fn(&NetworkId) -> BTreeMap<String, Value> + Send + Sync + 'static) -> Self {
        Self { reach: Arc::new(reach), ..self }
    }

    /// Where the follower of a network says how it looks at it.
    #[must_use]
    pub fn pulse(&self, network: &NetworkId) -> Pulse {
        self.networks.get(network).map(|asked| asked.pulse.clone()).unwrap_or_default()
    }

    /// What wakes the follower of a network.
    #[must_use]
    pub fn wake(&self, network: &NetworkId) -> Arc<Notify> {
        self.networks.get(network).map(|asked| asked.wake.clone()).unwrap_or_default()
    }

    /// Asks for a look at a network, because something is awaited there.
    pub fn look(&self, network: &NetworkId) {
        if let Some(asked) = self.networks.get(network) {
            asked.wake.notify_one();
        }
    }

    /// What is known of a network's nodes now; `None` where it is not served here.
    #[must_use]
    pub fn report(&self, network: &NetworkId) -> Option<Value> {
        self.networks.get(network).map(|asked| asked.report(&(self.reach)(network)))
    }

    /// Brings the metrics up to date.
    pub fn measure(&self) {
        for (network, asked) in &self.networks {
            let health = asked.pool.health();
            let total = |health: &Health| (health.name.clone(), health.requests.values().sum());
            let asked_each = health.iter().map(total).collect();
            asked.budget().note(self.clock.now(), asked.pool.head_seen(), asked_each);
            for health in &health {
                measure(network.as_str(), health);
            }
            asked.measure_operators(network.as_str());
        }
    }

    /// Says in the database what is known now.
    pub async fn tell(&self) -> Result<(), StoreError> {
        let reports: Vec<_> =
            self.networks.iter().map(|(id, asked)| (id.clone(), asked.report(&(self.reach)(id)))).collect();
        pools::tell(&self.db, self.daemon, self.clock.now(), &reports).await
    }

    /// Does what is asked in the database; how many resets there were.
    pub async fn obey(&self) -> Result<usize, StoreError> {
        let networks: Vec<String> = self.networks.keys().map(ToString::to_string).collect();
        let resets = pools::resets(&self.db, self.daemon, &networks).await?;
        let mut done = 0;
        for reset in resets {
            let Some(asked) = self.networks.get(&reset.network) else { continue };
            let Some(endpoint) = asked.pool.shown().find(|endpoint| endpoint.name() == reset.endpoint) else {
                continue; // Another daemon may know it; where none does, whoever asked is told.
            };
            endpoint.reset();
            if reset.trust {
                endpoint.reconsider();
            }
            // It may be waited for by a follower that rests.
            asked.wake.notify_one();
            pools::obeyed(&self.db, self.daemon, reset.id).await?;
            done += 1;
        }
        if done > 0 {
            self.tell().await?; // Whoever asked looks at once.
        }
        Ok(done)
    }
}

impl Asked {
    fn budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, reach: &BTreeMap<String, Value>) -> Value {
        let health = self.pool.health();
        let per_block = self.budget().per_block();
        let sum = |of: fn(&Health) -> &BTreeMap<&'static str, u64>| -> u64 {
            health.iter().flat_map(|health| of(health).values()).sum()
        };
        let polling = self.pulse.rest().map(|rest| {
            json!({ "interval_ms": u64::try_from(rest.length.as_millis()).unwrap_or(u64::MAX), "pace": rest.pace.as_str() })
        });
        let hundredths = |name: &str| per_block.as_ref().and_then(|each| each.get(name).copied());
        let mut endpoints = Vec::with_capacity(health.len());
        for one in &health {
            let mut shown = serde_json::to_value(one).unwrap_or_default();
            shown["per_block"] = hundredths(&one.name).map(decimal).into();
            shown["reach"] = reach.get(&one.name).cloned().unwrap_or_default();
            endpoints.push(shown);
        }
        json!({
            "endpoints": endpoints,
            "operators": self.operators(),
            "polling": polling,
            "requests": {
                "per_block": per_block.as_ref().map(|each| decimal(each.values().sum())),
                "today": sum(|health| &health.requests_today),
                "total": sum(|health| &health.requests),
            },
        })
    }

    /// Who said what, each operator once, by name: also those that have said nothing yet.
    fn operators(&self) -> Vec<Value> {
        let said = self.pool.who_said_what();
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for endpoint in self.pool.endpoints() {
            names.entry(endpoint.operator().as_str()).or_default().push(endpoint.name());
        }
        let one = |(operator, endpoints): (&str, Vec<&str>)| {
            let said = said.iter().find(|said| said.operator == operator);
            json!({ "endpoints": endpoints, "operator": operator, "said": said })
        };
        names.into_iter().map(one).collect()
    }

    fn measure_operators(&self, network: &str) {
        let said = self.pool.who_said_what();
        for (word, agrees) in [("agree", true), ("contradict", false)] {
            let count = said.iter().filter(|said| said.agrees == Some(agrees)).count();
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            gauge!(metric::RPC_OPERATORS, "network" => network.to_owned(), "state" => word).set(count);
        }
    }
}

/// A number of hundredths as people write it: `2.5` would be a float, and `"2.50"` is exact.
fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn measure(network: &str, health: &Health) {
    let labels = || [("network", network.to_owned()), ("endpoint", health.name.clone())];
    let flag = |holds: bool| f64::from(u8::from(holds));
    gauge!(metric::RPC_DISTRUSTED, &labels()).set(flag(health.distrusted.is_some()));
    gauge!(metric::RPC_USABLE, &labels()).set(flag(health.usable));
    for state in STATES {
        let [network, endpoint] = labels();
        gauge!(metric::RPC_BREAKER, &[network, endpoint, ("state", state.to_owned())])
            .set(flag(health.breaker.state == state));
    }
    for transition in health.breaker.transitions {
        let [network, endpoint] = labels();
        let (from, to) = (("from", transition.from.to_owned()), ("to", transition.to.to_owned()));
        counter!(metric::RPC_BREAKER_TRANSITIONS, &[network, endpoint, from, to]).absolute(transition.times);
    }
    let broken = u32::try_from(health.breaker.methods.len()).unwrap_or(u32::MAX);
    gauge!(metric::RPC_METHODS_BROKEN, &labels()).set(f64::from(broken));
    gauge!(metric::RPC_ERROR_RATE, &labels()).set(f64::from(health.error_rate_permille) / 1_000.0);
    // Nothing known is neither zero nor what was known before.
    let lag = health.lag.map_or(f64::NAN, |lag| f64::from(u32::try_from(lag).unwrap_or(u32::MAX)));
    gauge!(metric::RPC_LAG, &labels()).set(lag);
    if let Some(latency) = health.latency_us {
        let micros = u32::try_from(latency).unwrap_or(u32::MAX);
        gauge!(metric::RPC_LATENCY, &labels()).set(f64::from(micros) / 1_000_000.0);
    }
    if let Some(bell) = &health.doorbell {
        gauge!(metric::RPC_DOORBELL, &labels()).set(flag(bell.connected));
        counter!(metric::RPC_DOORBELL_HEADS, &labels()).absolute(bell.heads);
    }
    counter!(metric::RPC_HEADS_BACK, &labels()).absolute(health.heads_went_back);
    for (method, asked) in &health.requests {
        let [network, endpoint] = labels();
        counter!(metric::RPC_REQUESTS, &[network, endpoint, ("method", (*method).to_owned())]).absolute(*asked);
    }
    for (class, times) in &health.errors {
        let [network, endpoint] = labels();
        counter!(metric::RPC_ERRORS, &[network, endpoint, ("class", (*class).to_owned())]).absolute(*times);
    }
}
