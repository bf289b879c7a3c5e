//! The endpoints of one network: which to ask first, and whom to ask next when it fails.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use amn_core::block::{BlockRef, NetworkId, Operator};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::Client;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::answer::Answer;
use crate::choice::{self, Candidate, STAY};
use crate::config::{EndpointConfig, PoolSettings};
use crate::endpoint::{Endpoint, Surroundings};
use crate::error::{ConfigError, RpcError};
use crate::heads::Heads;
use crate::health::{Health, Said};
use crate::http::Route;
use crate::probe::Probe;
use crate::standing::Usability;
use crate::time::Time;
use crate::{http, install_crypto};

/// How long a round waits for probes while others serve: a node that is well says its name sooner, and a slower one is
/// waited for by the rounds that follow.
const PROBES_BESIDE: Duration = Duration::from_millis(500);
/// The same where nobody serves: there is nothing else to do.
const PROBES_ALONE: Duration = Duration::from_secs(3);

/// The endpoints of one network. Cloning shares it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    network: NetworkId,
    endpoints: Vec<Arc<Endpoint>>,
    /// Of the same network, and asked by others than this pool.
    beside: OnceLock<Vec<Arc<Endpoint>>>,
    surroundings: Surroundings,
    current: Mutex<Current>,
    /// Probes that have not ended. They are polled by whoever comes by, so that no round waits for a dead node.
    probes: tokio::sync::Mutex<FuturesUnordered<BoxFuture<'static, ()>>>,
    said: Mutex<BTreeMap<Operator, Saying>>,
}

/// The endpoint in use: we stay with it while it serves, so that one branch is seen through one pair of eyes.
#[derive(Debug, Clone, Copy, Default)]
struct Current {
    place: usize,
    /// When it became that; `None` for the first.
    since: Option<Instant>,
}

struct Saying {
    endpoint: Arc<Endpoint>,
    there: BlockRef,
    ours: Option<BlockRef>,
    at: Instant,
}

impl Pool {
    /// Endpoints on the clock of this machine, of a network whose block time nobody told.
    pub fn new(network: NetworkId, endpoints: Vec<EndpointConfig>) -> Result<Self, ConfigError> {
        Self::new_with(network, endpoints, PoolSettings::default())
    }

    pub fn new_with(
        network: NetworkId,
        endpoints: Vec<EndpointConfig>,
        settings: PoolSettings,
    ) -> Result<Self, ConfigError> {
        install_crypto();
        if endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints(network.to_string()));
        }
        let heads = Arc::new(Heads::new(endpoints.len(), settings.block_time));
        let surroundings = Surroundings {
            network: network.clone(),
            heads,
            time: settings.time,
            block_time: settings.block_time,
            road: settings.road,
        };
        let mut clients: Vec<(Route, Client)> = Vec::new();
        let mut names = HashSet::new();
        let mut made = Vec::with_capacity(endpoints.len());
        for (place, config) in endpoints.into_iter().enumerate() {
            if !names.insert(config.name.clone()) {
                return Err(ConfigError::NameTaken(config.name));
            }
            let client = client_for(&config, &mut clients)?;
            made.push(Arc::new(Endpoint::new(config, client, surroundings.clone(), place)?));
        }
        let shared = Shared {
            network,
            endpoints: made,
            beside: OnceLock::new(),
            surroundings,
            current: Mutex::default(),
            probes: tokio::sync::Mutex::default(),
            said: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// All of them, in configured order.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.shared.endpoints
    }

    /// Shows these beside its own, which alone it asks. They are given once.
    pub fn show_beside(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.shared.beside.get_or_init(|| endpoints);
    }

    /// All of them, and those that are shown beside them.
    pub fn shown(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints().iter().chain(self.beside())
    }

    fn beside(&self) -> &[Arc<Endpoint>] {
        self.shared.beside.get().map_or(&[], Vec::as_slice)
    }

    /// The clock that the pool goes by.
    pub fn time(&self) -> &Time {
        &self.shared.surroundings.time
    }

    /// The usable ones, best first (see [`crate::choice`]). Where none is usable, the least bad one alone, which
    /// refuses its calls by itself and says why.
    pub fn best(&self) -> Vec<Arc<Endpoint>> {
        let now = self.time().now();
        let mut candidates: Vec<Candidate> =
            self.endpoints().iter().filter_map(|endpoint| endpoint.candidate(now)).collect();
        let mut current = self.current();
        let settled = current.since.is_none_or(|since| now.saturating_duration_since(since) >= STAY);
        choice::sort(&mut candidates, Some(current.place), settled);
        if let Some(first) = candidates.first() {
            current.moves_to(first.place, now);
            return candidates.iter().filter_map(|one| self.endpoints().get(one.place).cloned()).collect();
        }
        self.endpoints().iter().min_by_key(|endpoint| endpoint.usability()).cloned().into_iter().collect()
    }

    /// The usable ones that may have a block of this height, best first: whoever is known to be below it is not
    /// asked. Where all of them are, all are asked, because what we know of their heads may be old.
    pub fn for_height(&self, height: u64) -> Vec<Arc<Endpoint>> {
        let best = self.best();
        let able: Vec<_> = best.iter().filter(|endpoint| endpoint.may_have(height)).cloned().collect();
        if able.is_empty() { best } else { able }
    }

    /// Asks one question of the best endpoint, and of the next where another may do better.
    pub async fn call(
        &self,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<(Arc<Endpoint>, Answer), RpcError> {
        self.ask(async |endpoint| endpoint.call(method, params).await).await
    }

    /// Asks the best endpoint, and the next where another may do better. For questions of another kind than
    /// [`Self::call`]'s.
    pub async fn ask<T>(
        &self,
        question: impl AsyncFn(&Endpoint) -> Result<T, RpcError>,
    ) -> Result<(Arc<Endpoint>, T), RpcError> {
        let mut worth_telling = None;
        let best = self.best();
        for endpoint in &best {
            match question(endpoint).await {
                Ok(answer) => {
                    if worth_telling.as_ref().is_some_and(nodes_own_trouble) {
                        self.current().moves_to(endpoint.place(), self.time().now());
                    }
                    return Ok((endpoint.clone(), answer));
                }
                Err(error) if error.another_may_do_better() => {
                    worth_telling = Some(match worth_telling.take() {
                        Some(before) if rank(&before) <= rank(&error) => before,
                        _ => error,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Err(match worth_telling {
            // The caller may give up for good on these, so they need the word of every endpoint.
            Some(error @ (RpcError::Unsupported(_) | RpcError::Pruned(_))) if best.len() < self.endpoints().len() => {
                RpcError::try_other(format!("{error}; the others cannot be asked now"))
            }
            Some(error) => error,
            None => RpcError::try_other("there is no endpoint"),
        })
    }

    /// Lets those say who they are that are not used until they have: once per round, before anything is asked.
    ///
    /// `identify` asks the probe for what tells one chain from another and ends it with [`Probe::right`] or
    /// [`Probe::wrong`]. Rounds wait for it only so long that a healthy node is back at once: a dead one is waited
    /// for beside the work of the rounds that follow.
    pub async fn welcome_back(&self, identify: impl Fn(Probe) -> BoxFuture<'static, ()>) {
        // Somebody else is at it.
        let Ok(mut under_way) = self.shared.probes.try_lock() else { return };
        under_way.extend(self.endpoints().iter().filter_map(Probe::begin).map(identify));
        if under_way.is_empty() {
            return;
        }
        let anybody = self.endpoints().iter().any(|endpoint| endpoint.usability() == Usability::Ready);
        let patience = if anybody { PROBES_BESIDE } else { PROBES_ALONE };
        // Whoever is not done by then goes on with the next round.
        drop(timeout(patience, async { while under_way.next().await.is_some() {} }).await);
    }

    /// The highest head that any endpoint reported. It goes back only when the one who reported it is distrusted.
    pub fn head_seen(&self) -> u64 {
        self.shared.surroundings.heads.best()
    }

    /// How many distinct operators run the endpoints.
    pub fn operators(&self) -> usize {
        self.endpoints().iter().map(|endpoint| endpoint.operator()).collect::<HashSet<_>>().len()
    }

    /// An endpoint said that this block stands at its height; ours there is the other, where we have one.
    pub fn note_said(&self, endpoint: &Arc<Endpoint>, there: BlockRef, ours: Option<BlockRef>) {
        let saying = Saying { endpoint: endpoint.clone(), there, ours, at: self.time().now() };
        self.said().insert(endpoint.operator().clone(), saying);
    }

    /// What each operator last said, in the order of their names.
    pub fn who_said_what(&self) -> Vec<Said> {
        let now = self.time().now();
        let said = |(operator, saying): (&Operator, &Saying)| {
            let ours = saying.ours.filter(|ours| ours.height == saying.there.height);
            Said {
                operator: operator.as_str().to_owned(),
                endpoint: saying.endpoint.name().to_owned(),
                height: saying.there.height.0,
                hash: saying.there.hash.to_string(),
                ours: ours.map(|ours| ours.hash.to_string()),
                agrees: ours.map(|ours| ours == saying.there),
                seconds_ago: now.saturating_duration_since(saying.at).as_secs(),
            }
        };
        self.said().iter().map(said).collect()
    }

    /// How each endpoint stands, in configured order; then those that are shown beside them.
    pub fn health(&self) -> Vec<Health> {
        let current = self.current().place;
        let health = |endpoint: &Arc<Endpoint>| Health { current: endpoint.place() == current, ..endpoint.health() };
        let beside = self.beside().iter().map(|endpoint| endpoint.health());
        self.endpoints().iter().map(health).chain(beside).collect()
    }

    pub fn network(&self) -> &NetworkId {
        &self.shared.network
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<Operator, Saying>> {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn moves_to(&mut self, place: usize, now: Instant) {
        if self.place != place {
            *self = Self { place, since: Some(now) };
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("network", &self.shared.network)
            .field("endpoints", &self.shared.endpoints)
            .finish_non_exhaustive()
    }
}

/// The client of those endpoints before it that are reached in the same way, or a new one.
fn client_for(config: &EndpointConfig, clients: &mut Vec<(Route, Client)>) -> Result<Client, ConfigError> {
    let route = Route { connect_timeout: config.connect_timeout, proxy: config.proxy.clone() };
    if let Some((_, client)) = clients.iter().find(|(known, _)| *known == route) {
        return Ok(client.clone());
    }
    let client = http::client(&route).map_err(|what| ConfigError::Endpoint { name: config.name.clone(), what })?;
    clients.push((route, client.clone()));
    Ok(client)
}

/// Whether we should stay with whoever answered instead: not when the first merely lacked something.
fn nodes_own_trouble(error: &RpcError) -> bool {
    matches!(
        error,
        RpcError::TryOther { .. } | RpcError::CoolDown { .. } | RpcError::Malformed(_) | RpcError::Credentials(_)
    )
}

/// Which of several failures the caller should hear of: what can be waited for before what must be mended, and
/// "nobody has this" only where every one of them said so.
fn rank(error: &RpcError) -> u8 {
    match error {
        RpcError::NotYet(_) => 0,
        RpcError::TryOther { .. } => 1,
        RpcError::CoolDown { .. } => 2,
        RpcError::Malformed(_) => 3,
        RpcError::Credentials(_) => 4,
        RpcError::Pruned(_) => 5,
        RpcError::Unsupported(_) | RpcError::Rejected { .. } | RpcError::Split { .. } => 6,
    }
}
