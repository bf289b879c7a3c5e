//! The daemon: opens the database, starts every task with its policy, and lives until it is told to stop.

mod budget;
mod chains;
pub mod nodes;

pub use chains::Door;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use amn_core::source::SourceError;
use amn_core::timestamp::Timestamp;
use amn_rpc::{Road, Time};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use self::nodes::Nodes;
use crate::api::{self, AppState, auth::hash_key};
use crate::auditor::{self, Auditor};
use crate::clock::{Clock, Ids, SystemClock, SystemIds};
use crate::config::Config;
use crate::embedded::Embedded;
use crate::follower::{Follower, Parts};
use crate::networks::{Networks, Served};
use crate::outbox::dispatcher::Dispatcher;
use crate::outbox::guard::{Guard, GuardPolicy, Range};
use crate::outbox::sequencer::Sequencer;
use crate::outbox::settings::HttpSettings;
use crate::replay::marked::Marked;
use crate::replay::record::Recording;
use crate::store::contracts::listeners::{self, ListenError};
use crate::store::decide::Desk;
use crate::store::{self, StoreError};
use crate::supervisor::{Backoff, Ended, Exit, Policy, Stop, Supervisor, Tasks, signals};
use crate::telemetry::metric;

/// A request to the API ends by then, whatever it waits for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A command waits for what it asks of nodes, so we look every second; and say what we know with every second look.
const OBEY_EVERY: Duration = Duration::from_secs(1);
const LOOKS_PER_WORD: u32 = 2;

/// A network whose endpoints do not say who they are is asked again this often.
const IDENTIFY_AGAIN: Duration = Duration::from_secs(10);

/// Histograms are folded this often, so that they do not grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// A killed daemon leaves a scenario that is at most so old.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// Old rows are removed this often, so many at once: a long delete would hold back the vacuum.
const TIDY_EVERY: Duration = Duration::from_mins(10);
const TIDY_AT_ONCE: i64 = 10_000;

/// A request is repeated within hours, not weeks.
const ANSWERS_KEPT: Duration = Duration::from_hours(7 * 24);

/// A daemon that is silent for so long is not coming back.
const REPORTS_KEPT: Duration = Duration::from_hours(24);

/// Attempts are looked into within a quarter.
const ATTEMPTS_KEPT: Duration = Duration::from_hours(90 * 24);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", .0.join("\n"))]
    Networks(Vec<String>),
    #[error("the embedded Postgres: {0}")]
    Embedded(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Contracts(#[from] ListenError),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("cannot hear signals: {0}")]
    Signals(std::io::Error),
    #[error("the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A database, and the server that was started for it.
#[derive(Debug)]
pub struct OpenDatabase {
    pub pool: PgPool,
    embedded: Option<Embedded>,
}

impl OpenDatabase {
    /// Opens the configured database, or the embedded one, without touching its schema.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let (options, embedded) = match &config.database.url {
            Some(url) => (store::options(url.reveal())?, None),
            None => {
                let embedded = Embedded::start(&config.database.data_dir)
                    .await
                    .map_err(|error| StartError::Embedded(error.to_string()))?;
                (embedded.options(), Some(embedded))
            }
        };
        let pool = store::connect(options, config.database.max_connections).await?;
        Ok(Self { pool, embedded })
    }

    /// Closes the pool, and stops the server where this process was its last user.
    pub async fn close(self) {
        self.pool.close().await;
        if let Some(embedded) = self.embedded
            && let Err(error) = embedded.stop().await
        {
            warn!(%error, "the embedded Postgres did not stop; it is found again at the next start");
        }
    }

    /// Whether the server is our own.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }
}

/// Runs until a signal, and says how it ended. `record`: below which folder every exchange is written down.
pub async fn run(config: Config, metrics: PrometheusHandle, record: Option<&Path>) -> Result<Exit, StartError> {
    amn_rpc::install_crypto();
    let (networks, mut recordings) = recorded(&config, record).map_err(StartError::Networks)?;
    let database = OpenDatabase::open(&config).await?;
    let pool = database.pool.clone();
    if database.is_embedded() {
        store::migrate(&pool).await?;
    }
    store::check_schema(&pool).await?;
    for (_, served) in networks.iter() {
        store::network::register(&pool, served.family(), &served.facts, served.config.balance_check).await?;
        let begins = served.config.start.map(|start| start.height);
        listeners::register(&pool, &served.facts.id, served.wishes(), begins, SystemClock.now()).await?;
    }
    for recording in &mut recordings {
        if let Some(served) = networks.get(recording.network()) {
            recording.stand(&pool, served).await?;
        }
    }
    let listener = TcpListener::bind(config.server.listen)
        .await
        .map_err(|error| StartError::Listen(config.server.listen, error))?;

    let supervisor = Supervisor::new();
    let ground = Ground {
        pool: pool.clone(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        told: Arc::new(Notify::new()),
    };
    let tasks = supervisor.tasks();
    outbox(&tasks, &ground, &config)?;
    let pools = networks.iter().map(|(_, served)| served.pool.clone());
    let daemon = store::uuid(ground.ids.next());
    let known = networks.clone();
    let reach = move |id: &NetworkId| known.get(id).map(Served::reach).unwrap_or_default();
    let nodes = Arc::new(Nodes::new(daemon, pool.clone(), ground.clock.clone(), pools).reaching(reach));
    speak_of_nodes(&tasks, &nodes);
    serve_api(&tasks, &ground, &config, &networks, &nodes, (listener, metrics));
    for (_, served) in networks.iter() {
        follow(&tasks, &ground, served, &nodes);
    }
    for recording in recordings {
        write_down(&tasks, &ground, Arc::new(recording));
    }
    if networks.is_empty() {
        warn!("no network is enabled: nothing is watched");
    }
    info!(listen = %config.server.listen, "amn-scanner {} is up", env!("CARGO_PKG_VERSION"));
    let exit = supervisor.run(signals().map_err(StartError::Signals)?).await;
    database.close().await;
    Ok(exit)
}

/// The networks, each on the road that records it where one is wished for.
fn recorded(config: &Config, below: Option<&Path>) -> Result<(Arc<Networks>, Vec<Recording>), Vec<String>> {
    let recordings = RefCell::new(Vec::new());
    let networks = Networks::build_on(config, &Time::real(), |id| {
        let (Some(below), Some(settings)) = (below, config.networks.get(id)) else { return Ok(Road::Live) };
        let recording = Recording::begin(below, id, settings, &config.contracts)?;
        let road = recording.road();
        recordings.borrow_mut().push(recording);
        Ok(road)
    })?;
    Ok((Arc::new(networks), recordings.into_inner()))
}

/// Writes down what is asked and done beside the exchanges, and ends the tape with the daemon.
fn write_down(tasks: &Tasks, ground: &Ground, recording: Arc<Recording>) {
    let pool = ground.pool.clone();
    let name = format!("recording {}", recording.network());
    tasks.start(name, Policy::Restart(Backoff::USUAL), move |stop| {
        let (pool, recording) = (pool.clone(), recording.clone());
        async move {
            while stop.sleep(NOTE_EVERY).await {
                recording.note(&pool).await?;
            }
            recording.finish();
            recording.note(&pool).await?;
            Ok(())
        }
    });
}

/// What every task stands on.
#[derive(Debug, Clone)]
struct Ground {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// Rung after a commit that told something.
    told: Arc<Notify>,
}

fn outbox(tasks: &Tasks, ground: &Ground, config: &Config) -> Result<(), StartError> {
    let (dispatch, number) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let settings = HttpSettings {
        timeout: config.webhooks.timeout,
        concurrency: config.webhooks.concurrency,
        per_endpoint_concurrency: config.webhooks.per_endpoint_concurrency,
        ..HttpSettings::default()
    };
    let guard = Guard::new(guard_policy(config));
    // Built once here, so that what is wrong with it is said before anything starts.
    Dispatcher::new(
        ground.pool.clone(),
        ground.clock.clone(),
        ground.ids.clone(),
        settings.clone(),
        guard.clone(),
        dispatch.clone(),
    )?;
    let relay = (ground.told.clone(), dispatch.clone(), number.clone());
    tasks.start("relay", Policy::StopProcess, move |stop| ring_both(relay.clone(), stop));
    let of = ground.clone();
    tasks.start("dispatcher", Policy::Restart(Backoff::USUAL), move |stop| {
        let made = Dispatcher::new(
            of.pool.clone(),
            of.clock.clone(),
            of.ids.clone(),
            settings.clone(),
            guard.clone(),
            dispatch.clone(),
        );
        async move {
            made?.run(stop.token().clone()).await;
            Ok(())
        }
    });
    let pool = ground.pool.clone();
    tasks.start("sequencer", Policy::Restart(Backoff::USUAL), move |stop| {
        let sequencer = Sequencer::new(pool.clone(), number.clone());
        async move {
            sequencer.run(stop.token().clone()).await;
            Ok(())
        }
    });
    Ok(())
}

/// One bell wakes one waiter: this one wakes both that must hear of events.
async fn ring_both((told, dispatch, number): (Arc<Notify>, Arc<Notify>, Arc<Notify>), stop: Stop) -> Ended {
    loop {
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = told.notified() => {
                dispatch.notify_one();
                number.notify_one();
            }
        }
    }
}

/// What the configuration allows receivers to be.
#[must_use]
pub fn guard_policy(config: &Config) -> GuardPolicy {
    GuardPolicy {
        allow_insecure: config.webhooks.allow_insecure_webhooks,
        ports: config.webhooks.ports.clone(),
        allow: config.webhooks.allow_cidrs.iter().map(|c| Range { base: c.base, prefix: c.prefix }).collect(),
    }
}

fn serve_api(
    tasks: &Tasks,
    ground: &Ground,
    config: &Config,
    networks: &Arc<Networks>,
    nodes: &Arc<Nodes>,
    (listener, metrics): (TcpListener, PrometheusHandle),
) {
    let (upkeep, pool, of) = (metrics.clone(), ground.pool.clone(), nodes.clone());
    tasks.start("metrics", Policy::Restart(Backoff::USUAL), move |stop| {
        let (upkeep, pool, of) = (upkeep.clone(), pool.clone(), of.clone());
        async move {
            while stop.sleep(UPKEEP_EVERY).await {
                measure(&pool);
                of.measure();
                upkeep.run_upkeep();
            }
            Ok(())
        }
    });
    housekeeping(tasks, ground);
    let door = chains::Door::new(
        ground.pool.clone(),
        networks.clone(),
        Guard::new(guard_policy(config)),
        ground.clock.clone(),
    );
    let (door, of, eyes) = (Arc::new(door), nodes.clone(), nodes.clone());
    let state = AppState {
        pool: ground.pool.clone(),
        clock: ground.clock.clone(),
        ids: ground.ids.clone(),
        chains: door.clone(),
        decide: door,
        metrics: Arc::new(move || metrics.render()),
        daemon: nodes.daemon,
        report: Arc::new(move |network| of.report(network)),
        look: Arc::new(move |network| eyes.look(network)),
        wake: ground.told.clone(),
        operator_key: config.auth.operator_key.as_ref().map(|key| hash_key(key.reveal())),
        metrics_token: config.server.metrics_token.as_ref().map(|token| hash_key(token.reveal())),
        request_timeout: REQUEST_TIMEOUT,
    };
    let app = api::router(state).into_make_service_with_connect_info::<SocketAddr>();
    let listener = Arc::new(std::sync::Mutex::new(Some(listener)));
    tasks.start("api", Policy::StopProcess, move |stop| {
        let (app, taken) = (app.clone(), listener.lock().ok().and_then(|mut held| held.take()));
        async move {
            let listener = taken.ok_or("the listener is gone")?;
            axum::serve(listener, app).with_graceful_shutdown(async move { stop.requested().await }).await?;
            Ok(())
        }
    });
}

/// What is known of connections, as of now.
fn measure(pool: &PgPool) {
    let (size, idle) = (pool.size(), u32::try_from(pool.num_idle()).unwrap_or(u32::MAX));
    metrics::gauge!(metric::DATABASE_CONNECTIONS, "state" => "idle").set(f64::from(idle));
    metrics::gauge!(metric::DATABASE_CONNECTIONS, "state" => "used").set(f64::from(size.saturating_sub(idle)));
}

/// Says in the database what is known of nodes, and does what is asked about them there.
fn speak_of_nodes(tasks: &Tasks, nodes: &Arc<Nodes>) {
    let nodes = nodes.clone();
    tasks.start("nodes", Policy::Restart(Backoff::USUAL), move |stop| {
        let nodes = nodes.clone();
        async move {
            let mut looks: u32 = 0;
            while stop.sleep(OBEY_EVERY).await {
                looks = looks.wrapping_add(1);
                let said = match nodes.obey().await {
                    Ok(0) if looks.is_multiple_of(LOOKS_PER_WORD) => nodes.tell().await,
                    other => other.map(drop),
                };
                if let Err(error) = said {
                    // The followers say so too, and louder.
                    debug!(%error, "what is known of nodes was not written");
                }
            }
            Ok(())
        }
    });
}

/// Forgets answers to repeated requests and attempts of long ago, a little at a time.
fn housekeeping(tasks: &Tasks, ground: &Ground) {
    let ground = ground.clone();
    tasks.start("housekeeping", Policy::Restart(Backoff::USUAL), move |stop| {
        let ground = ground.clone();
        async move {
            while stop.sleep(TIDY_EVERY).await {
                let before = |age: Duration| {
                    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                    Timestamp::from_millis(ground.clock.now().millis().saturating_sub(age))
                };
                store::idempotency::forget(&ground.pool, before(ANSWERS_KEPT), TIDY_AT_ONCE).await?;
                store::pools::forget(&ground.pool, before(REPORTS_KEPT)).await?;
                store::outbox::deliveries::forget_attempts(&ground.pool, before(ATTEMPTS_KEPT), TIDY_AT_ONCE).await?;
            }
            Ok(())
        }
    });
}

/// Starts what follows one network: its doorbells, and its follower once the chain has said who it is.
fn follow(tasks: &Tasks, ground: &Ground, served: &Served, nodes: &Arc<Nodes>) {
    let (id, bell) = (served.facts.id.clone(), Arc::new(Notify::new()));
    for endpoint in served.pool.endpoints() {
        let Some(doorbell) = endpoint.doorbell() else { continue };
        let doorbell = match served.config.doorbell_silence {
            Some(silence) => doorbell.with_silence(silence),
            None => doorbell,
        };
        let bell = bell.clone();
        tasks.start(format!("doorbell {id} {}", endpoint.name()), Policy::Restart(Backoff::USUAL), move |stop| {
            let (doorbell, bell) = (doorbell.clone(), bell.clone());
            async move {
                tokio::select! {
                    never = doorbell.ring(bell) => match never {},
                    () = stop.requested() => Ok(()),
                }
            }
        });
    }
    audit(tasks, ground, served, nodes);
    let (ground, served, nodes) = (ground.clone(), served.clone(), nodes.clone());
    tasks.start(format!("follower {id}"), Policy::Restart(Backoff::USUAL), move |stop| {
        let (ground, served, bell, nodes) = (ground.clone(), served.clone(), bell.clone(), nodes.clone());
        async move {
            if !identified(&served, &stop).await {
                return Ok(());
            }
            let parts = Parts {
                source: Marked::new(served.source(), served.tape.clone()),
                desk: Desk::new(ground.pool.clone(), served.facts.clone()),
                pool: ground.pool,
                clock: ground.clock,
                bell,
                told: ground.told,
                holder: nodes.daemon,
                poll: served.poll(),
                raw: served.raw(),
                start: served.config.start,
                balance_check: served.config.balance_check,
            };
            let (wake, pulse) = (nodes.wake(&served.facts.id), nodes.pulse(&served.facts.id));
            // A follower holds all that a round may need: its place is the heap.
            Box::pin(Follower::new(parts).at_pace(served.rhythm(), wake, pulse).run(stop)).await?;
            Ok(())
        }
    });
}

/// Starts what reads covered blocks of one network once more.
fn audit(tasks: &Tasks, ground: &Ground, served: &Served, nodes: &Nodes) {
    let (ground, served, holder) = (ground.clone(), served.clone(), nodes.daemon);
    tasks.start(format!("auditor {}", served.facts.id), Policy::Restart(Backoff::USUAL), move |stop| {
        let (ground, served) = (ground.clone(), served.clone());
        async move {
            let parts = auditor::Parts {
                source: served.source(),
                desk: Desk::new(ground.pool.clone(), served.facts.clone()),
                pool: ground.pool,
                clock: ground.clock,
                ids: ground.ids,
                told: ground.told,
                holder,
                raw: served.raw(),
                blocks_per_hour: served.config.audit_blocks_per_hour,
            };
            Auditor::new(parts).run(stop).await?;
            Ok(())
        }
    });
}

/// Waits until the chain says that it is the one we mean, with the decimals we mean. `false`: told to stop.
async fn identified(served: &Served, stop: &Stop) -> bool {
    loop {
        let network = &served.facts.id;
        let asked = tokio::select! {
            () = stop.requested() => return false,
            asked = served.identify() => asked,
        };
        match asked {
            Ok(_) => return true,
            Err(SourceError::Unsupported(why)) => error!(%network, why, "this network does not start: {why}"),
            Err(why) => warn!(%network, %why, "nobody says who this network is; asking again"),
        }
        if !stop.sleep(IDENTIFY_AGAIN).await {
            return false;
        }
    }
}
