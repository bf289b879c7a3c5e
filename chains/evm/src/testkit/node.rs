//! Serves a history over HTTP, honestly unless a script says otherwise.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::history::{History, Made};
use crate::wire::quantity;

/// What a node says to one call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The JSON of `result`.
    Result(String),
    Error(i64, String),
    /// No JSON-RPC at all: an HTTP status and a body.
    Status(u16, String),
    /// Nothing, ever.
    Silence,
}

/// May replace the honest answer to a call: method, parameters, honest answer.
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
        let script = Arc::new(Mutex::new(None));
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let served = Served { history: history.clone(), script: script.clone(), traffic: traffic.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Connections live in the set, so that they end with the node.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        connections.spawn(connection(stream, served.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { history, address, script, traffic, _tasks: tasks })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The history, to extend or rewind while it is served.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// From now on this script has the last word; `None`: honest again.
    pub fn script(&self, script: Option<Script>) {
        *lock(&self.script) = script;
    }

    /// How often a method was called.
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
    script: Arc<Mutex<Option<Script>>>,
    traffic: Arc<Mutex<Traffic>>,
}

/// Reads requests of one connection until it closes.
async fn connection(stream: TcpStream, served: Served) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            match stream.read_line(&mut line).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            let lower = line.trim().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let Some((status, answer)) = served.answer(&body) else {
            return std::future::pending().await;
        };
        {
            let mut traffic = lock(&served.traffic);
            traffic.requests += 1;
            traffic.bytes += answer.len() as u64;
        }
        let head = format!(
            "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Served {
    /// The HTTP status and body for a request; `None`: silence.
    fn answer(&self, body: &[u8]) -> Option<(u16, String)> {
        let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let Some(batch) = request.as_array() else { return self.one(&request) };
        let mut answers = Vec::with_capacity(batch.len());
        for call in batch {
            match self.one(call)? {
                (200, answer) => answers.push(answer),
                refused => return Some(refused),
            }
        }
        Some((200, format!("[{}]", answers.join(","))))
    }

    fn one(&self, call: &Value) -> Option<(u16, String)> {
        let method = call["method"].as_str().unwrap_or_default();
        *lock(&self.traffic).questions.entry(method.to_owned()).or_default() += 1;
        let honest = honest(&lock(&self.history), method, &call["params"]);
        let script = lock(&self.script).clone();
        let reply = match script {
            Some(script) => script(method, &call["params"], honest),
            None => honest,
        };
        let id = &call["id"];
        match reply {
            Reply::Result(result) => Some((200, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"))),
            Reply::Error(code, message) => {
                let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
                Some((200, error.to_string()))
            }
            Reply::Status(status, body) => Some((status, body)),
            Reply::Silence => None,
        }
    }
}

fn honest(history: &History, method: &str, params: &Value) -> Reply {
    let null = || Reply::Result("null".to_owned());
    match method {
        "eth_chainId" => Reply::Result(format!("\"{:#x}\"", history.chain_id)),
        "eth_blockNumber" => Reply::Result(format!("\"{:#x}\"", history.tip().map_or(0, |tip| tip.at.height.0))),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => find(history, &params[0]).map_or_else(null, |made| {
            Reply::Result(if params[1] == true { made.whole.clone() } else { made.named.clone() })
        }),
        "eth_getBlockReceipts" => {
            find(history, &params[0]).map_or_else(null, |made| Reply::Result(made.receipts.clone()))
        }
        "eth_getTransactionReceipt" => {
            let list = || {
                history
                    .blocks
                    .values()
                    .flat_map(|made| serde_json::from_str::<Vec<Value>>(&made.receipts).unwrap_or_default())
            };
            list().find(|r| r["transactionHash"] == params[0]).map_or_else(null, |r| Reply::Result(r.to_string()))
        }
        "eth_getTransactionByHash" => {
            let list = history.blocks.values().flat_map(|made| {
                let block = serde_json::from_str::<Value>(&made.whole).unwrap_or_default();
                block["transactions"].as_array().cloned().unwrap_or_default()
            });
            list.into_iter().find(|tx| tx["hash"] == params[0]).map_or_else(null, |tx| Reply::Result(tx.to_string()))
        }
        "eth_getLogs" => logs(history, &params[0]),
        "eth_call" => {
            let token = params[0]["to"].as_str().and_then(|to| to.parse::<Address>().ok());
            let decimals = token.and_then(|token| history.decimals.get(&token));
            Reply::Result(decimals.map_or_else(|| "\"0x\"".to_owned(), |d| format!("\"0x{d:064x}\"")))
        }
        "eth_getBalance" => {
            let of = params[0].as_str().and_then(|of| of.parse::<Address>().ok());
            let balance = of.and_then(|of| history.balances.get(&of)).copied().unwrap_or_default();
            Reply::Result(format!("\"{balance:#x}\""))
        }
        _ => Reply::Error(-32601, format!("the method {method} does not exist/is not available")),
    }
}

/// The block that a number, a tag, a hash or `{blockHash}` names.
fn find<'a>(history: &'a History, block: &Value) -> Option<&'a Made> {
    let hash = block["blockHash"].as_str().or_else(|| block.as_str().filter(|text| text.len() == 66));
    if let Some(hash) = hash.and_then(|hash| hash.parse::<B256>().ok()) {
        return history.known.get(&hash);
    }
    let number = match block.as_str()? {
        "latest" | "pending" => return history.tip(),
        "safe" => history.safe?,
        "finalized" => history.finalized?,
        "earliest" => *history.blocks.first_key_value()?.0,
        number => quantity(number)?,
    };
    history.blocks.get(&number)
}

fn logs(history: &History, filter: &Value) -> Reply {
    let head = history.tip().map_or(0, |tip| tip.at.height.0);
    let end = |name: &str| filter[name].as_str().and_then(quantity).unwrap_or(head);
    let (from, to) = (end("fromBlock"), end("toBlock"));
    if from > head {
        let message = format!("BlockOutOfRangeError: block height is {head} but requested was {from}");
        return Reply::Error(-32602, message);
    }
    let list = |value: &Value| -> Vec<String> {
        let texts = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        texts.iter().filter_map(|text| text.as_str().map(str::to_ascii_lowercase)).collect()
    };
    let addresses: Vec<Address> = list(&filter["address"]).iter().filter_map(|a| a.parse().ok()).collect();
    let topics: Vec<B256> = list(&filter["topics"][0]).iter().filter_map(|t| t.parse().ok()).collect();
    let found: Vec<&str> = history
        .blocks
        .range(from..=to.max(from))
        .flat_map(|(_, made)| &made.logs)
        .filter(|(address, topic, _)| {
            (addresses.is_empty() || addresses.contains(address)) && (topics.is_empty() || topics.contains(topic))
        })
        .map(|(_, _, json)| json.as_str())
        .collect();
    Reply::Result(format!("[{}]", found.join(",")))
}
