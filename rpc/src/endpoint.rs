//! One node: asks it, understands what it says, and remembers how it behaves.

mod known;
mod pass;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use serde::Serialize;

use crate::answer::Answer;
use crate::config::{EndpointConfig, JSON_RPC};
use crate::doorbell::{Announcing, Doorbell, Heard};
use crate::error::{ConfigError, RpcError};
use crate::heads::Heads;
use crate::limits::Limits;
use crate::secret::Secret;
use crate::shown::{Redactor, shown_url};
use crate::standing::Standing;
use crate::time::Time;
use crate::transport::{Road, Sent};
use crate::{folder, http, replies};
use pass::{Pass, blame, distinct};

/// Questions in one request: every provider that takes batches takes this many.
const BATCH_MAX: usize = 50;

/// Methods whose answers are as large as what was asked for.
const PAGED: [&str; 2] = ["eth_getLogs", "getLedgers"];

/// What all endpoints of a pool share.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) network: NetworkId,
    pub(crate) heads: Arc<Heads>,
    pub(crate) time: Time,
    pub(crate) block_time: Option<Duration>,
    pub(crate) road: Road,
}

/// One RPC node of a network.
pub struct Endpoint {
    around: Surroundings,
    name: String,
    operator: Operator,
    kind: String,
    order: u32,
    shown_url: String,
    url: Url,
    ws: Option<Secret>,
    announcing: Announcing,
    headers: HeaderMap,
    timeout: Duration,
    body_max: usize,
    client: Client,
    limits: Limits,
    redactor: Redactor,
    place: usize,
    standing: Mutex<Standing>,
    heard: Arc<Heard>,
    refuses_batches: AtomicBool,
}

impl Endpoint {
    pub(crate) fn new(
        config: EndpointConfig,
        client: Client,
        around: Surroundings,
        place: usize,
    ) -> Result<Self, ConfigError> {
        let wrong = |what: &str| ConfigError::Endpoint { name: config.name.clone(), what: what.to_owned() };
        let url = match folder_of(&config.url) {
            Some(folder) if config.kind != JSON_RPC => folder,
            Some(_) => return Err(wrong("url is a folder, which answers no calls")),
            None => parse_url(&config.url, ["http", "https"]).ok_or_else(|| {
                wrong(if config.kind == JSON_RPC {
                    "url is not http(s)://host…"
                } else {
                    "url is not http(s)://host…, nor file:///… on this machine"
                })
            })?,
        };
        let mut redactor = Redactor::default();
        redactor.learn_url(&url);
        if let Some(ws) = &config.ws {
            redactor.learn_url(&parse_url(ws, ["ws", "wss"]).ok_or_else(|| wrong("ws is not ws(s)://host…"))?);
        }
        if let Some(proxy) = &config.proxy {
            let proxy = parse_url(proxy, ["http", "https"]).ok_or_else(|| wrong("proxy is not http(s)://host…"))?;
            redactor.learn_url(&proxy);
            if config.ws.is_some() {
                // It would go to the node directly, which is what a proxy is there to prevent.
                return Err(wrong("ws cannot go through a proxy: leave one of them out"));
            }
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
            shown_url: shown_url(&url),
            url,
            headers,
            client,
            limits: Limits::new(&config),
            redactor,
            place,
            standing: Mutex::new(Standing::new(config.breaker, around.time.now())),
            heard: Arc::default(),
            around,
            name: config.name,
            operator: config.operator,
            kind: config.kind,
            order: config.order,
            ws: config.ws,
            announcing: config.announcing,
            timeout: config.timeout,
            body_max: config.body_max,
            refuses_batches: AtomicBool::new(false),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// How it is spoken to.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Scheme and host.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// The bell of this endpoint, where it has one configured.
    pub fn doorbell(&self) -> Option<Doorbell> {
        let ws = self.ws.clone()?;
        let bell = Doorbell::new(&self.around.network, self.name.as_str(), ws)
            .with_headers(self.headers.clone())
            .announcing(self.announcing)
            .heard_by(self.heard.clone(), self.around.time.clone());
        Some(match self.around.block_time {
            Some(block_time) => bell.of_blocks_every(block_time),
            None => bell,
        })
    }

    /// Asks one question. Does not call a node that is distrusted, open, or asked to be left alone.
    pub async fn call(
        &self,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Answer, RpcError> {
        self.call_by(self.pass(&[method])?, method, params).await
    }

    /// The same as part of a probe, when nothing else may be asked.
    pub(crate) async fn call_probing(
        &self,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Answer, RpcError> {
        self.call_by(Pass::of_probe(self), method, params).await
    }

    async fn call_by(
        &self,
        pass: Pass<'_>,
        method: &'static str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Answer, RpcError> {
        let id = id_of(&encode(&(method, params))?);
        let question = encode(&Question { jsonrpc: "2.0", id, method, params })?;
        let reply = self.exchange(pass, &[method], Outgoing::Post(self.url.clone(), question.into())).await?;
        let outcome = replies::one(method, id, &reply.http).map_err(|error| self.cleaned(error));
        reply.pass.settle(&[(method, outcome.as_ref().err())], reply.took);
        outcome
    }

    /// Asks by REST: the path and the query are added to the endpoint's address. `route` is the word that the question
    /// is counted under, so it holds nothing that varies.
    pub async fn get(&self, route: &'static str, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, RpcError> {
        self.rest(self.pass(&[route])?, route, Outgoing::Get(self.address(path, query))).await
    }

    pub(crate) async fn get_probing(
        &self,
        route: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, RpcError> {
        self.rest(Pass::of_probe(self), route, Outgoing::Get(self.address(path, query))).await
    }

    /// Asks by REST with a body; see [`Self::get`].
    pub async fn post(
        &self,
        route: &'static str,
        path: &[&str],
        body: &(impl Serialize + Sync + ?Sized),
    ) -> Result<Answer, RpcError> {
        self.rest(self.pass(&[route])?, route, Outgoing::Post(self.address(path, &[]), encode(body)?.into())).await
    }

    async fn rest(&self, pass: Pass<'_>, route: &'static str, sent: Outgoing) -> Result<Answer, RpcError> {
        let reply = self.exchange(pass, &[route], sent).await?;
        let outcome = replies::rest(route, &reply.http).map_err(|error| self.cleaned(error));
        reply.pass.settle(&[(route, outcome.as_ref().err())], reply.took);
        outcome
    }

    /// Takes a file as it is, of whatever bytes: from a server that keeps files, or from a folder (`file:///…`). One
    /// that is not there is [`RpcError::NotYet`]. See [`Self::get`].
    pub async fn file(&self, route: &'static str, path: &[&str]) -> Result<Bytes, RpcError> {
        let sent = Outgoing::File(self.address(path, &[]));
        let reply = self.exchange(self.pass(&[route])?, &[route], sent).await?;
        let outcome = replies::file(route, &reply.http).map_err(|error| self.cleaned(error));
        reply.pass.settle(&[(route, outcome.as_ref().err())], reply.took);
        outcome
    }

    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        // An address without a path to add to is no http(s) address, and those were refused.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
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

    /// Whether it has refused a batch: then every question is a request of its own.
    pub fn refuses_batches(&self) -> bool {
        self.refuses_batches.load(Ordering::Relaxed)
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
        let sent = Outgoing::Post(self.url.clone(), encode(&questions)?.into());
        let reply = self.exchange(self.pass(&methods)?, &methods, sent).await?;
        let mut outcomes = replies::many(&methods, first_id, &reply.http).map_err(|error| self.cleaned(error));
        for outcome in outcomes.iter_mut().flatten() {
            *outcome = std::mem::replace(outcome, Err(RpcError::malformed(""))).map_err(|error| self.cleaned(error));
        }
        reply.pass.settle(&blame(&methods, &outcomes), reply.took);
        outcomes
    }

    /// One request and its reply; everything that goes wrong on the way is counted here.
    async fn exchange<'a>(
        &'a self,
        pass: Pass<'a>,
        methods: &[&'static str],
        sent: Outgoing,
    ) -> Result<Timed<'a>, RpcError> {
        let questions = u32::try_from(methods.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        // A tape has no limits to be kept: the recording kept them.
        let seat = if self.around.road.is_played() { None } else { self.limits.enter(questions).await };
        if seat.is_none() && !self.around.road.is_played() {
            // Our own limit, not the node's fault: nothing is counted against it.
            return Err(RpcError::try_other(format!("{}: our own limit", self.name)));
        }
        self.standing().asked(methods, self.around.time.day());
        let asked_at = self.around.time.now();
        let (request, written) = match &sent {
            Outgoing::Post(url, body) => {
                (self.client.post(url.clone()).body(body.clone()), self.written("POST", url, body))
            }
            Outgoing::Get(url) => (self.client.get(url.clone()), self.written("GET", url, &[])),
            Outgoing::File(url) => (self.client.get(url.clone()).header(ACCEPT, "*/*"), self.written("GET", url, &[])),
        };
        let request = request.headers(self.headers.clone()).timeout(self.timeout);
        let live = async {
            match &sent {
                _ if self.url.scheme() != folder::SCHEME => http::exchange(request, self.body_max).await,
                Outgoing::Get(file) | Outgoing::File(file) => {
                    folder::read(&self.url, file, self.body_max, self.timeout).await
                }
                Outgoing::Post(..) => {
                    let detail = "a folder answers no calls".to_owned();
                    Err(http::Fault::Transport { timed_out: false, detail })
                }
            }
        };
        let (outcome, took) = self.around.road.exchange(&self.name, written, &self.redactor, live).await;
        // A tape tells how long it took; a clock that is moved by hand knows of no time in between.
        let took = took.unwrap_or_else(|| self.around.time.now().saturating_duration_since(asked_at));
        let took = Some(took);
        match outcome {
            Ok(http) => Ok(Timed { http, took, pass }),
            Err(fault) => {
                let error = self.meaning(fault, methods);
                let outcomes: Vec<_> = distinct(methods).into_iter().map(|method| (method, Some(&error))).collect();
                pass.settle(&outcomes, took);
                Err(error)
            }
        }
    }

    /// The request as a tape tells it: without the part of the address that is ours alone.
    fn written<'a>(&self, verb: &'static str, url: &Url, body: &'a [u8]) -> Sent<'a> {
        if *url == self.url {
            return Sent::Calls(body);
        }
        let base = self.url.path().trim_end_matches('/');
        let path = url.path().strip_prefix(base).unwrap_or(url.path());
        let own = self.url.query().unwrap_or_default();
        let query = url.query().unwrap_or_default();
        let query = query.strip_prefix(own).unwrap_or(query).trim_start_matches('&');
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Sent::Rest { verb, path, body }
    }

    fn meaning(&self, fault: http::Fault, methods: &[&'static str]) -> RpcError {
        match fault {
            http::Fault::Transport { timed_out, detail } => {
                RpcError::TryOther { timed_out, detail: self.redactor.clean(&detail) }
            }
            http::Fault::Undecodable(detail) => RpcError::Malformed(self.redactor.clean(&detail)),
            // Batches and pages can be had in smaller parts; nothing else can.
            http::Fault::TooLarge if methods.len() > 1 || methods.iter().all(|method| PAGED.contains(method)) => {
                RpcError::Split { hint: None }
            }
            http::Fault::TooLarge => RpcError::malformed(format!("a body of over {} bytes", self.body_max)),
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

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Counters are no worse for a panic elsewhere.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("network", &self.around.network)
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

/// What is sent and where to.
enum Outgoing {
    Post(Url, Bytes),
    Get(Url),
    /// The same where whatever comes is the answer.
    File(Url),
}

/// The id of a question follows from what is asked, so that a reply to another question is noticed and a recorded one
/// fits the same question again: FNV-1a, in as many bits as every reader of JSON numbers keeps.
fn id_of(question: &[u8]) -> u64 {
    let hash = question
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash >> 16
}

struct Timed<'a> {
    http: http::Reply,
    took: Option<Duration>,
    pass: Pass<'a>,
}

fn encode(question: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, RpcError> {
    serde_json::to_vec(question).map_err(|error| RpcError::Rejected { code: 0, message: error.to_string() })
}

/// A folder of this machine, named as such.
fn folder_of(url: &Secret) -> Option<Url> {
    Url::parse(url.expose()).ok().filter(|url| url.scheme() == folder::SCHEME && folder::path_of(url).is_some())
}

fn parse_url(url: &Secret, schemes: [&str; 2]) -> Option<Url> {
    Url::parse(url.expose()).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host())
}
