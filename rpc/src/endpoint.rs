//! One node: asks it, understands what it says, and remembers how it behaves.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use serde::Serialize;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::config::EndpointConfig;
use crate::doorbell::Doorbell;
use crate::error::{ConfigError, RpcError};
use crate::http;
use crate::limits::Limits;
use crate::pool::Heads;
use crate::replies;
use crate::secret::Secret;
use crate::shown::{Redactor, shown_url};
use crate::standing::{Health, Identity, Standing, Usability};
use crate::transport::{Road, Sent};

/// Questions in one request: every provider that takes batches takes this many.
const BATCH_MAX: usize = 50;

/// One RPC node of a network.
pub struct Endpoint {
    network: NetworkId,
    name: String,
    operator: Operator,
    shown_url: String,
    url: Url,
    ws: Option<Secret>,
    headers: HeaderMap,
    timeout: Duration,
    body_max: usize,
    client: Client,
    road: Road,
    limits: Limits,
    redactor: Redactor,
    heads: Arc<Heads>,
    place: usize,
    standing: Mutex<Standing>,
    refuses_batches: AtomicBool,
}

impl Endpoint {
    pub(crate) fn new(
        network: NetworkId,
        config: EndpointConfig,
        client: Client,
        road: Road,
        heads: Arc<Heads>,
        place: usize,
    ) -> Result<Self, ConfigError> {
        let wrong = |what: &str| ConfigError::Endpoint { name: config.name.clone(), what: what.to_owned() };
        let url = parse_url(&config.url, ["http", "https"]).ok_or_else(|| wrong("url is not http(s)://host…"))?;
        let mut redactor = Redactor::default();
        redactor.learn_url(&url);
        if let Some(ws) = &config.ws {
            redactor.learn_url(&parse_url(ws, ["ws", "wss"]).ok_or_else(|| wrong("ws is not ws(s)://host…"))?);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("a header's name is not valid"))?;
            let mut header =
                HeaderValue::from_str(value.expose()).map_err(|_| wrong("a header's value is not valid"))?;
            header.set_sensitive(true);
            redactor.learn(value);
            headers.insert(name, header);
        }
        Ok(Self {
            network,
            shown_url: shown_url(&url),
            url,
            headers,
            client,
            road,
            limits: Limits::new(&config),
            redactor,
            heads,
            place,
            name: config.name,
            operator: config.operator,
            ws: config.ws,
            timeout: config.timeout,
            body_max: config.body_max,
            standing: Mutex::default(),
            refuses_batches: AtomicBool::new(false),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Scheme and host.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// The bell of this endpoint, where it has one configured.
    pub fn doorbell(&self) -> Option<Doorbell> {
        let ws = self.ws.clone()?;
        Some(Doorbell::new(&self.network, self.name.as_str(), ws).with_headers(self.headers.clone()))
    }

    /// Asks one question. Does not call a node that is distrusted or asked to be left alone.
    pub async fn call(
        &self,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Answer, RpcError> {
        let id = id_of(&encode(&(method, params))?);
        let question = encode(&Question { jsonrpc: "2.0", id, method, params })?;
        let reply = self.exchange(&[method], question).await?;
        let outcome = replies::one(method, id, &reply.http).map_err(|error| self.cleaned(error));
        self.count(outcome.as_ref().err(), reply.took);
        outcome
    }

    /// Asks several questions in as few requests as the node allows. The outer error says that the batch as a whole
    /// came to nothing; otherwise there is one outcome for each call, in the order of the calls.
    pub async fn batch(
        &self,
        calls: &[(&'static str, serde_json::Value)],
    ) -> Result<Vec<Result<Answer, RpcError>>, RpcError> {
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut size = BATCH_MAX.min(self.limits.batch_max());
        while let Some(rest) = calls.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            let part = &rest[..size.min(rest.len())];
            if part.len() == 1 || self.refuses_batches.load(Ordering::Relaxed) {
                outcomes.extend(join_all(part.iter().map(|(method, params)| self.call(method, params))).await);
                continue;
            }
            match self.batch_once(part).await {
                Ok(part) => outcomes.extend(part),
                Err(RpcError::Split { .. }) => size = part.len() / 2,
                Err(RpcError::Rejected { .. } | RpcError::Unsupported(_)) => {
                    self.refuses_batches.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }

    async fn batch_once(
        &self,
        calls: &[(&'static str, serde_json::Value)],
    ) -> Result<Vec<Result<Answer, RpcError>>, RpcError> {
        let first_id = id_of(&encode(&calls)?);
        let questions: Vec<_> = (first_id..)
            .zip(calls)
            .map(|(id, (method, params))| Question { jsonrpc: "2.0", id, method, params })
            .collect();
        let methods: Vec<_> = calls.iter().map(|(method, _)| *method).collect();
        let reply = self.exchange(&methods, encode(&questions)?).await?;
        let mut outcomes = replies::many(&methods, first_id, &reply.http).map_err(|error| self.cleaned(error));
        for outcome in outcomes.iter_mut().flatten() {
            *outcome = std::mem::replace(outcome, Err(RpcError::malformed(""))).map_err(|error| self.cleaned(error));
        }
        self.count(blame(&outcomes), reply.took);
        outcomes
    }

    /// One request and its reply; everything that goes wrong on the way is counted here.
    async fn exchange(&self, methods: &[&'static str], body: Vec<u8>) -> Result<Timed, RpcError> {
        self.may_be_asked()?;
        let questions = u32::try_from(methods.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        // A tape has no limits to be kept: the recording kept them.
        let seat = if self.road.is_played() { None } else { self.limits.enter(questions).await };
        if seat.is_none() && !self.road.is_played() {
            // Our own limit, not the node's fault: nothing is counted against it.
            return Err(RpcError::try_other(format!("{}: our own limit", self.name)));
        }
        {
            let mut standing = self.standing();
            for method in methods {
                standing.asked(method);
            }
        }
        let body = Bytes::from(body);
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).timeout(self.timeout);
        let live = http::exchange(request.body(body.clone()), self.body_max);
        let (outcome, took) = self.road.exchange(&self.name, Sent::Calls(&body), &self.redactor, live).await;
        outcome.map(|http| Timed { http, took }).map_err(|fault| {
            let error = match fault {
                http::Fault::Transport { timed_out, detail } => {
                    RpcError::TryOther { timed_out, detail: self.redactor.clean(&detail) }
                }
                http::Fault::Undecodable(detail) => RpcError::Malformed(self.redactor.clean(&detail)),
                // Log pages and batches can be had in smaller parts; nothing else can.
                http::Fault::TooLarge if methods.len() > 1 || methods == ["eth_getLogs"] => {
                    RpcError::Split { hint: None }
                }
                http::Fault::TooLarge => RpcError::malformed(format!("a body of over {} bytes", self.body_max)),
            };
            self.count(Some(&error), took);
            error
        })
    }

    fn may_be_asked(&self) -> Result<(), RpcError> {
        let standing = self.standing();
        match standing.usability(Instant::now()) {
            Usability::Ready | Usability::Resting(_) | Usability::AwaitsProbe => Ok(()),
            Usability::Cooling(wait) => {
                let detail = standing.last_error().unwrap_or("asked to be left alone").to_owned();
                Err(RpcError::CoolDown { wait, detail })
            }
            Usability::Distrusted(_) => {
                let reason = standing.distrusted().unwrap_or_default();
                Err(RpcError::try_other(format!("{} is distrusted: {reason}", self.name)))
            }
        }
    }

    fn count(&self, error: Option<&RpcError>, took: Duration) {
        if let Some(error) = error {
            tracing::debug!(network = %self.network, endpoint = %self.name, %error, "endpoint {} said: {error}", self.name);
        }
        let now = Instant::now();
        let mut standing = self.standing();
        let was_ready = standing.usability(now) == Usability::Ready;
        standing.answered(error, took, now);
        let (Usability::Resting(wait) | Usability::Cooling(wait)) = standing.usability(now) else { return };
        drop(standing);
        if let Some(error) = error
            && was_ready
        {
            tracing::info!(
                network = %self.network, endpoint = %self.name, %error, seconds = wait.as_secs(),
                "endpoint {} of {} is left alone for {} s: {error}", self.name, self.network, wait.as_secs(),
            );
        }
    }

    /// Nodes like to repeat our key to us.
    fn cleaned(&self, error: RpcError) -> RpcError {
        let clean = |text: String| self.redactor.clean(&text);
        match error {
            RpcError::TryOther { timed_out, detail } => RpcError::TryOther { timed_out, detail: clean(detail) },
            RpcError::CoolDown { wait, detail } => RpcError::CoolDown { wait, detail: clean(detail) },
            RpcError::NotYet(text) => RpcError::NotYet(clean(text)),
            RpcError::Pruned(text) => RpcError::Pruned(clean(text)),
            RpcError::Unsupported(text) => RpcError::Unsupported(clean(text)),
            RpcError::Credentials(text) => RpcError::Credentials(clean(text)),
            RpcError::Rejected { code, message } => RpcError::Rejected { code, message: clean(message) },
            RpcError::Malformed(text) => RpcError::Malformed(clean(text)),
            RpcError::Split { hint } => RpcError::Split { hint },
        }
    }

    /// It contradicted a proven fact: it is not called for ten minutes, and not used until [`Self::trust_again`].
    pub fn distrust(&self, reason: impl Into<String>) {
        let reason = self.redactor.clean(&reason.into());
        self.heads.forget(self.place);
        if self.standing().distrust(reason.clone(), Instant::now()) {
            tracing::warn!(
                network = %self.network, endpoint = %self.name, %reason,
                "endpoint {} of {} is distrusted: {reason}", self.name, self.network,
            );
        }
    }

    /// Why it is distrusted, if it is.
    pub fn distrusted(&self) -> Option<String> {
        self.standing().distrusted().map(str::to_owned)
    }

    /// Whether its time of distrust is over, so that it may be asked who it is and then be trusted again.
    pub fn awaits_probe(&self) -> bool {
        self.usability() == Usability::AwaitsProbe
    }

    /// Its identity was probed and is right.
    pub fn trust_again(&self) {
        if self.standing().trust_again() {
            tracing::info!(network = %self.network, endpoint = %self.name, "endpoint {} is trusted again", self.name);
        }
    }

    /// What head it claims. A distrusted endpoint's claims count for nothing.
    pub fn report_head(&self, height: u64) {
        let mut standing = self.standing();
        if standing.distrusted().is_some() {
            return;
        }
        if !standing.claimed(height) {
            tracing::debug!(network = %self.network, endpoint = %self.name, head = height, "endpoint {} went back to {height}", self.name);
        }
        self.heads.claim(self.place, height);
    }

    /// It gave a block of this height, so that its head is there or above. Reading history makes no laggard.
    pub fn report_block(&self, height: u64) {
        let mut standing = self.standing();
        if standing.distrusted().is_none() {
            standing.has(height);
            self.heads.claim(self.place, height);
        }
    }

    pub fn health(&self) -> Health {
        let identity = Identity {
            name: self.name.clone(),
            operator: self.operator.as_str().to_owned(),
            shown_url: self.shown_url.clone(),
        };
        self.standing().health(identity, self.heads.best(), Instant::now())
    }

    /// Where it stands in the configuration.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    pub(crate) fn usability(&self) -> Usability {
        self.standing().usability(Instant::now())
    }

    pub(crate) fn lag(&self) -> u64 {
        self.standing().lag(self.heads.best()).unwrap_or(0)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Counters are no worse for a panic elsewhere.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("network", &self.network)
            .field("name", &self.name)
            .field("operator", &self.operator)
            .field("url", &self.shown_url)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Question<'a, P: ?Sized> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a P,
}

struct Timed {
    http: http::Reply,
    took: Duration,
}

/// The id of a question follows from what is asked, so that a reply to another question is noticed and a recorded one
/// fits the same question again: FNV-1a, in as many bits as every reader of JSON numbers keeps.
fn id_of(question: &[u8]) -> u64 {
    let hash = question.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 16
}

fn encode(question: &impl Serialize) -> Result<Vec<u8>, RpcError> {
    serde_json::to_vec(question).map_err(|error| RpcError::Rejected { code: 0, message: error.to_string() })
}

/// What a batch says of the node's health: a wish to be left alone in any of its replies, or a trouble in all of them.
fn blame(outcomes: &Result<Vec<Result<Answer, RpcError>>, RpcError>) -> Option<&RpcError> {
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(error) => return Some(error),
    };
    let mut errors = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let cools = errors.clone().find(|error| matches!(error, RpcError::CoolDown { .. }));
    cools.or_else(|| if outcomes.iter().all(Result::is_err) { errors.next() } else { None })
}

fn parse_url(url: &Secret, schemes: [&str; 2]) -> Option<Url> {
    Url::parse(url.expose()).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host())
}
