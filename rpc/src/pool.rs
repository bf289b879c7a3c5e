//! The endpoints of one network: which to ask first, and whom to ask next when it fails.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use amn_core::block::NetworkId;
use serde::Serialize;

use crate::answer::Answer;
use crate::config::EndpointConfig;
use crate::endpoint::Endpoint;
use crate::error::{ConfigError, RpcError};
use crate::standing::Usability;
use crate::transport::Road;
use crate::{http, install_crypto};

/// Blocks behind the best head from where an endpoint goes last. Honest nodes of one network differ by a second or
/// so: five blocks at 200 ms.
const LAG_BLOCKS: u64 = 5;

/// The endpoints of one network. Cloning shares it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    network: NetworkId,
    endpoints: Vec<Arc<Endpoint>>,
    heads: Arc<Heads>,
    /// The place of the endpoint in use: we stay with it while it serves, so that one branch is seen through one pair of eyes.
    current: AtomicUsize,
}

impl Pool {
    pub fn new(network: NetworkId, endpoints: Vec<EndpointConfig>) -> Result<Self, ConfigError> {
        Self::on(network, endpoints, &Road::Live)
    }

    /// A pool whose requests take this road.
    pub fn on(network: NetworkId, endpoints: Vec<EndpointConfig>, road: &Road) -> Result<Self, ConfigError> {
        install_crypto();
        let Some(first) = endpoints.first() else { return Err(ConfigError::NoEndpoints(network.to_string())) };
        let client = http::client().map_err(|what| ConfigError::Endpoint { name: first.name.clone(), what })?;
        let heads = Arc::new(Heads::new(endpoints.len()));
        let mut names = HashSet::new();
        let mut made = Vec::with_capacity(endpoints.len());
        for (place, config) in endpoints.into_iter().enumerate() {
            if !names.insert(config.name.clone()) {
                return Err(ConfigError::NameTaken(config.name));
            }
            made.push(Arc::new(Endpoint::new(network.clone(), config, client.clone(), road.clone(), heads.clone(), place)?));
        }
        let shared = Shared { network, endpoints: made, heads, current: AtomicUsize::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// All of them, in configured order.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.shared.endpoints
    }

    /// The usable ones, best first: the one in use, then the others as configured, laggards last. Where none is
    /// usable, the least bad one alone; a distrusted one refuses its calls by itself.
    pub fn best(&self) -> Vec<Arc<Endpoint>> {
        let current = self.shared.current.load(Ordering::Relaxed);
        let mut ready: Vec<_> = self
            .endpoints()
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| endpoint.usability() == Usability::Ready)
            .map(|(place, endpoint)| (endpoint.lag() > LAG_BLOCKS, place != current, place, endpoint))
            .collect();
        ready.sort_unstable_by_key(|&(lags, other, place, _)| (lags, other, place));
        if let Some(&(_, _, place, _)) = ready.first() {
            self.shared.current.store(place, Ordering::Relaxed);
            return ready.into_iter().map(|(.., endpoint)| endpoint.clone()).collect();
        }
        self.endpoints().iter().min_by_key(|endpoint| endpoint.usability()).cloned().into_iter().collect()
    }

    /// Asks one question of the best endpoint, and of the next where another may do better.
    pub async fn call(
        &self,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<(Arc<Endpoint>, Answer), RpcError> {
        let mut worth_telling = None;
        let best = self.best();
        for endpoint in &best {
            match endpoint.call(method, params).await {
                Ok(answer) => {
                    if worth_telling.as_ref().is_some_and(nodes_own_trouble) {
                        self.shared.current.store(endpoint.place(), Ordering::Relaxed);
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

    /// The highest head that any endpoint reported. It goes back only when the one who reported it is distrusted.
    pub fn head_seen(&self) -> u64 {
        self.shared.heads.best()
    }

    /// How many distinct operators run the endpoints.
    pub fn operators(&self) -> usize {
        self.endpoints().iter().map(|endpoint| endpoint.operator()).collect::<HashSet<_>>().len()
    }

    pub fn network(&self) -> &NetworkId {
        &self.shared.network
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

/// The highest head each endpoint claimed.
#[derive(Debug)]
pub(crate) struct Heads(Vec<AtomicU64>);

impl Heads {
    fn new(endpoints: usize) -> Self {
        Self((0..endpoints).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn claim(&self, place: usize, height: u64) {
        if let Some(claimed) = self.0.get(place) {
            claimed.fetch_max(height, Ordering::Relaxed);
        }
    }

    /// A liar's head would make laggards of all others for ever.
    pub(crate) fn forget(&self, place: usize) {
        if let Some(claimed) = self.0.get(place) {
            claimed.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn best(&self) -> u64 {
        self.0.iter().map(|claimed| claimed.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}
