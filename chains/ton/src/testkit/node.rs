//! Serves a history over HTTP as toncenter and tonapi do, honestly unless a fault or a script says otherwise.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub use super::answer::{Asked, Reply};
use super::fault::{Active, Fault};
use super::history::History;
use super::streaming;
use super::view::View;

/// Bytes of a request's body: a question to a contract is short.
const REQUEST_MAX: usize = 512 << 10;

/// Bytes of a line of a request's head: a thousand accounts in one question, as toncenter reads it.
const LINE_MAX: u64 = 1 << 20;

/// Connections at once; a test has a handful.
const CONNECTIONS_MAX: usize = 256;

/// May replace an answer: what was asked, the answer without it.
pub type Script = Arc<dyn Fn(&Asked, Reply) -> Reply + Send + Sync>;

/// What was asked of a node, and how much it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub requests: u64,
    /// By route.
    pub routes: BTreeMap<String, u64>,
    /// Bytes of the bodies it answered with.
    pub bytes: u64,
}

/// A node on 127.0.0.1. It stops when it is dropped.
pub struct Node {
    pub history: Arc<Mutex<History>>,
    address: SocketAddr,
    faults: Arc<Mutex<Vec<Active>>>,
    script: Arc<Mutex<Option<Script>>>,
    traffic: Arc<Mutex<Traffic>>,
    /// Aborted with the node.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node that serves this history, on a free port.
    pub async fn serve(history: History) -> std::io::Result<Self> {
        Self::share(Arc::new(Mutex::new(history))).await
    }

    /// Starts a node on a history that others serve too.
    pub async fn share(history: Arc<Mutex<History>>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let served = Served {
            history: history.clone(),
            faults: Arc::default(),
            script: Arc::default(),
            traffic: Arc::default(),
        };
        let (faults, script, traffic) = (served.faults.clone(), served.script.clone(), served.traffic.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Connections live in the set, so that they end with the node.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                        let Ok((stream, _)) = accepted else { continue };
                        connections.spawn(connection(stream, served.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { history, address, faults, script, traffic, _tasks: tasks })
    }

    /// Where it speaks as toncenter v2.
    #[must_use]
    pub fn v2(&self) -> String {
        format!("http://{}/api/v2", self.address)
    }

    /// Where it speaks as toncenter v3.
    #[must_use]
    pub fn v3(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    /// Where it speaks as tonapi.
    #[must_use]
    pub fn tonapi(&self) -> String {
        format!("http://{}/v2", self.address)
    }

    /// Where it announces what happens to accounts, as toncenter and tonapi do.
    #[must_use]
    pub fn streaming(&self) -> String {
        format!("ws://{}/api/streaming/v2/ws", self.address)
    }

    /// The history, to go on with while it is served.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// From now on it does this wrong too.
    pub fn fault(&self, fault: Fault) {
        lock(&self.faults).push(Active { fault, route: None, left: None, asked: 0 });
    }

    /// From now on it does this wrong too, on routes that begin so: `v3`, `v2/getShards`.
    pub fn fault_on(&self, route: &str, fault: Fault) {
        lock(&self.faults).push(Active { fault, route: Some(route.to_owned()), left: None, asked: 0 });
    }

    /// It does this wrong for so many questions, on routes that begin so or on any.
    pub fn fault_times(&self, times: u32, route: Option<&str>, fault: Fault) {
        lock(&self.faults).push(Active { fault, route: route.map(str::to_owned), left: Some(times), asked: 0 });
    }

    /// From now on it does nothing wrong. A script stays.
    pub fn heal(&self) {
        lock(&self.faults).clear();
    }

    /// From now on this script has the last word; `None`: nobody has.
    pub fn script(&self, script: Option<Script>) {
        *lock(&self.script) = script;
    }

    /// How often it was asked on routes that begin so, since the traffic was last taken.
    #[must_use]
    pub fn calls(&self, route: &str) -> u64 {
        lock(&self.traffic).routes.iter().filter(|(name, _)| name.starts_with(route)).map(|(_, calls)| calls).sum()
    }

    /// What was asked since the last time this was called.
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut *lock(&self.traffic))
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
pub(super) struct Served {
    pub history: Arc<Mutex<History>>,
    faults: Arc<Mutex<Vec<Active>>>,
    script: Arc<Mutex<Option<Script>>>,
    traffic: Arc<Mutex<Traffic>>,
}

/// An HTTP answer.
struct Http {
    status: u16,
    kind: &'static str,
    retry_after: Option<u32>,
    body: Vec<u8>,
    /// How long the body is said to be, where that is not its length: the connection ends after it.
    announced: Option<u64>,
    after: Duration,
}

impl Http {
    fn new(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, kind, retry_after: None, body: body.into_bytes(), announced: None, after: Duration::ZERO }
    }
}

/// The head of a request.
struct Request {
    target: String,
    length: usize,
    /// Where a stream is wished for.
    key: Option<String>,
}

/// Reads requests of one connection until it closes.
async fn connection(stream: TcpStream, served: Served) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(request) = head(&mut stream).await {
        if let Some(key) = request.key {
            return streaming::serve(stream, &key, &served).await;
        }
        let too_large = request.length > REQUEST_MAX;
        let answer = if too_large {
            Some(Http::new(413, "text/plain", "http: request body too large".to_owned()))
        } else {
            let mut body = vec![0; request.length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            served.answer(&request.target, &body)
        };
        let Some(answer) = answer else { return std::future::pending().await };
        if !answer.after.is_zero() {
            tokio::time::sleep(answer.after).await;
        }
        {
            let mut traffic = lock(&served.traffic);
            traffic.requests += 1;
            traffic.bytes += answer.body.len() as u64;
        }
        if write(&mut stream, &answer).await.is_err() || answer.announced.is_some() || too_large {
            return;
        }
    }
}

/// What is asked for, and the length of the body that follows; `None` where the connection is over.
async fn head(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut request: Option<Request> = None;
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut *stream).take(LINE_MAX).read_line(&mut line).await.ok()?;
        if read == 0 || !line.ends_with('\n') {
            return None;
        }
        let text = line.trim();
        match &mut request {
            None => request = Some(Request { target: text.split(' ').nth(1)?.to_owned(), length: 0, key: None }),
            Some(_) if text.is_empty() => return request,
            Some(request) => {
                let (name, value) = text.split_once(':')?;
                if name.eq_ignore_ascii_case("content-length") {
                    request.length = value.trim().parse().ok()?;
                } else if name.eq_ignore_ascii_case("sec-websocket-key") {
                    request.key = Some(value.trim().to_owned());
                }
            }
        }
    }
}

async fn write(stream: &mut BufReader<TcpStream>, answer: &Http) -> std::io::Result<()> {
    let length = answer.announced.unwrap_or(answer.body.len() as u64);
    let retry_after = answer.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let (status, kind) = (answer.status, answer.kind);
    let head = format!("HTTP/1.1 {status} OK\r\ncontent-type: {kind}\r\n{retry_after}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&answer.body).await?;
    // What is announced and not there is blanks, but for an answer that is cut off.
    let mut missing = if answer.body.is_empty() { length } else { 0 };
    let blanks = vec![b' '; 8 << 10];
    while missing > 0 {
        let part = usize::try_from(missing).unwrap_or(usize::MAX).min(blanks.len());
        stream.write_all(&blanks[..part]).await?;
        missing -= part as u64;
    }
    Ok(())
}

impl Served {
    /// What it does wrong with this question; counts it.
    pub fn faults(&self, route: &str) -> Vec<Fault> {
        *lock(&self.traffic).routes.entry(route.to_owned()).or_default() += 1;
        lock(&self.faults).iter_mut().filter_map(|active| active.meets(route)).collect()
    }

    /// The answer to a request; `None`: silence.
    fn answer(&self, target: &str, body: &[u8]) -> Option<Http> {
        let asked = asked(target, body);
        let faults = self.faults(&asked.route);
        let honest = View::new(&lock(&self.history), &faults).answer(&asked);
        let script = lock(&self.script).clone();
        let answer = match script.map_or_else(|| honest.clone(), |script| script(&asked, honest.clone())) {
            Reply::Json(status, body) => Http::new(status, "application/json", body.to_string()),
            Reply::Text(status, body) => Http::new(status, "text/html", body),
            Reply::Silence => return None,
        };
        faults.iter().try_fold(answer, on_the_way)
    }
}

/// What is asked, taken apart. Numbers, accounts and hashes in a path are no part of what it is counted under.
fn asked(target: &str, body: &[u8]) -> Asked {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
    let (dialect, path) = match parts.split_first() {
        Some((api, [version, rest @ ..])) if api == "api" => (version.clone(), rest.to_vec()),
        Some((_, rest)) => ("tonapi".to_owned(), rest.to_vec()),
        None => (String::new(), Vec::new()),
    };
    let mut route = dialect;
    for (index, part) in path.iter().enumerate() {
        let varies = matches!(
            path.get(index.wrapping_sub(1)).map(String::as_str),
            Some("masterchain" | "blocks" | "accounts" | "transactions" | "methods")
        ) && index > 1;
        route.push('/');
        route.push_str(if varies { "{}" } else { part });
    }
    Asked { route, path, query, body: serde_json::from_slice(body).unwrap_or(Value::Null) }
}

/// What a part of an address says.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.split_at_checked(2).filter(|_| *first == b'%');
        let byte = escaped.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, escaped) {
            (Some(byte), Some((_, after))) => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What becomes of an answer between the node and whoever asked; `None`: nothing arrives.
fn on_the_way(mut answer: Http, fault: &Fault) -> Option<Http> {
    match fault {
        Fault::Silent => return None,
        Fault::Slow(after) => answer.after += *after,
        Fault::TooManyRequests { retry_after } => answer.retry_after = *retry_after,
        Fault::Truncated => answer.body.truncate(answer.body.len() / 2),
        Fault::CutOff => {
            answer.announced = Some(answer.body.len() as u64);
            answer.body.truncate(answer.body.len() / 2);
        }
        Fault::Padded(length) => {
            answer.body.clear();
            answer.announced = Some(*length);
        }
        _ => {}
    }
    Some(answer)
}
