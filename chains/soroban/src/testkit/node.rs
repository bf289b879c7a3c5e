//! Serves a history over HTTP as stellar-rpc does, honestly unless a fault or a script says otherwise.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub use super::answer::Reply;
use super::answer::View;
use super::fault::{Active, Fault};
use super::history::History;

/// Bytes of a request: what stellar-rpc reads.
const REQUEST_MAX: usize = 512 << 10;

/// Bytes of a line of a request's head; ours are short.
const LINE_MAX: u64 = 16 << 10;

/// Connections at once; a test has a handful.
const CONNECTIONS_MAX: usize = 256;

/// May replace the answer to a call: method, parameters, the answer without it.
pub type Script = Arc<dyn Fn(&str, &Value, Reply) -> Reply + Send + Sync>;

/// What was asked of a node, and how much it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// HTTP requests; a batch is one.
    pub requests: u64,
    /// Questions, by method.
    pub questions: BTreeMap<String, u64>,
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
        let served = Served { history: history.clone(), ..Served::default() };
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

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The history, to extend or forget while it is served.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// From now on it does this wrong too.
    pub fn fault(&self, fault: Fault) {
        lock(&self.faults).push(Active { fault, method: None, left: None, asked: 0 });
    }

    /// From now on it does this wrong too, where it is asked by this method.
    pub fn fault_on(&self, method: &str, fault: Fault) {
        lock(&self.faults).push(Active { fault, method: Some(method.to_owned()), left: None, asked: 0 });
    }

    /// It does this wrong for so many questions, of one method or of any.
    pub fn fault_times(&self, times: u32, method: Option<&str>, fault: Fault) {
        lock(&self.faults).push(Active { fault, method: method.map(str::to_owned), left: Some(times), asked: 0 });
    }

    /// From now on it does nothing wrong. A script stays.
    pub fn heal(&self) {
        lock(&self.faults).clear();
    }

    /// From now on this script has the last word; `None`: nobody has.
    pub fn script(&self, script: Option<Script>) {
        *lock(&self.script) = script;
    }

    /// How often a method was called since the traffic was last taken.
    #[must_use]
    pub fn calls(&self, method: &str) -> u64 {
        lock(&self.traffic).questions.get(method).copied().unwrap_or_default()
    }

    /// What was asked since the last time this was called.
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut *lock(&self.traffic))
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Served {
    history: Arc<Mutex<History>>,
    faults: Arc<Mutex<Vec<Active>>>,
    script: Arc<Mutex<Option<Script>>>,
    traffic: Arc<Mutex<Traffic>>,
}

impl Default for Served {
    fn default() -> Self {
        let history = Arc::new(Mutex::new(History::new("", 1)));
        Self { history, faults: Arc::default(), script: Arc::default(), traffic: Arc::default() }
    }
}

/// An HTTP answer.
struct Http {
    status: u16,
    retry_after: Option<u32>,
    body: Vec<u8>,
    /// How long the body is said to be, where that is not its length: the connection ends after it.
    announced: Option<u64>,
    after: Duration,
}

impl Http {
    fn new(status: u16, body: String) -> Self {
        Self { status, retry_after: None, body: body.into_bytes(), announced: None, after: Duration::ZERO }
    }
}

/// Reads requests of one connection until it closes.
async fn connection(stream: TcpStream, served: Served) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(length) = head(&mut stream).await {
        let answer = if length > REQUEST_MAX {
            Some(Http::new(413, "http: request body too large".to_owned()))
        } else {
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            served.answer(&body)
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
        let over = answer.announced.is_some() || length > REQUEST_MAX;
        if write(&mut stream, &answer).await.is_err() || over {
            return;
        }
    }
}

/// The length of the body that follows; `None` where the connection is over.
async fn head(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut *stream).take(LINE_MAX).read_line(&mut line).await.ok()?;
        if read == 0 || !line.ends_with('\n') {
            return None;
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            return Some(length);
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
}

async fn write(stream: &mut BufReader<TcpStream>, answer: &Http) -> std::io::Result<()> {
    let length = answer.announced.unwrap_or(answer.body.len() as u64);
    let retry_after = answer.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} OK\r\ncontent-type: application/json\r\n{retry_after}content-length: {length}\r\n\r\n",
        answer.status
    );
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
    /// The answer to a request; `None`: silence.
    fn answer(&self, body: &[u8]) -> Option<Http> {
        let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let Some(batch) = request.as_array() else { return self.one(&request) };
        let (mut answers, mut longest) = (Vec::with_capacity(batch.len()), Duration::ZERO);
        for call in batch {
            let answer = self.one(call)?;
            if answer.status != 200 || answer.announced.is_some() {
                return Some(answer);
            }
            longest = longest.max(answer.after);
            answers.push(String::from_utf8_lossy(&answer.body).into_owned());
        }
        Some(Http { after: longest, ..Http::new(200, format!("[{}]", answers.join(","))) })
    }

    fn one(&self, call: &Value) -> Option<Http> {
        let (method, params) = (call["method"].as_str().unwrap_or_default(), &call["params"]);
        *lock(&self.traffic).questions.entry(method.to_owned()).or_default() += 1;
        let faults: Vec<Fault> = lock(&self.faults).iter_mut().filter_map(|active| active.meets(method)).collect();
        let honest = View { history: &lock(&self.history), faults: &faults }.answer(method, params);
        let script = lock(&self.script).clone();
        let reply = match script {
            Some(script) => script(method, params, honest),
            None => honest,
        };
        let id = &call["id"];
        let answer = match reply {
            Reply::Result(result) => Http::new(200, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")),
            Reply::Error(code, message) => {
                let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
                Http::new(200, error.to_string())
            }
            Reply::Status(status, body) => Http::new(status, body),
            Reply::Silence => return None,
        };
        faults.iter().try_fold(answer, |answer, fault| on_the_way(answer, fault, params))
    }
}

fn asked_for_more_than(most: u32, params: &Value) -> bool {
    params["pagination"]["limit"].as_u64().is_some_and(|limit| limit > u64::from(most))
}

/// What becomes of an answer between the node and whoever asked; `None`: nothing arrives.
fn on_the_way(mut answer: Http, fault: &Fault, params: &Value) -> Option<Http> {
    match fault {
        Fault::Silent => return None,
        Fault::Slow(after) => answer.after += *after,
        Fault::TooManyRequests { retry_after } => {
            let limited = Http::new(429, "too many requests".to_owned());
            return Some(Http { retry_after: Some(*retry_after), ..limited });
        }
        Fault::Queue => return Some(Http::new(503, "rpc queue surpassed queue limit of 5000 requests".to_owned())),
        Fault::GatewayTimeout => return Some(Http::new(504, String::new())),
        Fault::TimesOutAbove(most) if asked_for_more_than(*most, params) => {
            return Some(Http::new(504, String::new()));
        }
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
