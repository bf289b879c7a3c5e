//! A node on 127.0.0.1 that says what the test tells it to, byte by byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{EndpointConfig, Pool, PoolSettings, Probe, VirtualTime};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a node does with a question.
#[derive(Clone)]
pub enum Says {
    /// A whole response with this status, further header lines and body. `$ID` becomes the id asked, in batches the first one.
    Http(u16, &'static str, String),
    /// Whatever the function makes of the question's body.
    With(fn(&serde_json::Value) -> String),
    /// These bytes, then silence with the connection open.
    Raw(Vec<u8>),
    /// These bytes, then the end of the connection.
    Breaks(&'static str),
    /// Headers, then one byte every few milliseconds, for ever.
    Drips,
    /// An endless body without a length, as fast as it is taken; counts what it could send.
    Floods,
}

pub struct Node {
    pub port: u16,
    pub asked: Arc<AtomicUsize>,
    pub connected: Arc<AtomicUsize>,
    pub flooded: Arc<AtomicUsize>,
    /// The head of the last request.
    pub heard: Arc<Mutex<String>>,
    says: Arc<Mutex<Says>>,
    task: JoinHandle<()>,
}

impl Node {
    pub async fn that(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let says = Arc::new(Mutex::new(says));
        let (asked, flooded, heard) = (Arc::default(), Arc::default(), Arc::default());
        let connected = Arc::<AtomicUsize>::default();
        let connections = Arc::clone(&connected);
        let serve = (Arc::clone(&says), Arc::clone(&asked), Arc::clone(&flooded), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (says, asked, flooded, heard) = serve.clone();
                tokio::spawn(async move {
                    // The client hangs up when it has had enough; that is the end of a connection, not of the test.
                    drop(serve_connection(stream, &says, &asked, &flooded, &heard).await);
                });
            }
        });
        Self { port, asked, connected, flooded, heard, says, task }
    }

    pub async fn that_answers(result: &str) -> Self {
        Self::that(Says::Http(200, "", format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#))).await
    }

    pub async fn that_fails(code: i64, message: &str) -> Self {
        let error = serde_json::json!({ "code": code, "message": message });
        Self::that(Says::Http(200, "", format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{error}}}"#))).await
    }

    pub fn now_says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn config(&self, name: &str) -> EndpointConfig {
        let url = format!("http://127.0.0.1:{}/v2/sekret0123456789", self.port);
        let mut config = EndpointConfig::new(name, url, Operator::new(name));
        config.timeout = Duration::from_secs(10);
        config
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A pool whose clock is moved by hand.
pub fn pool_by_hand(endpoints: Vec<EndpointConfig>) -> (Pool, VirtualTime) {
    let clock = VirtualTime::at(Duration::from_hours(500_000));
    let settings = PoolSettings { time: clock.time(), ..PoolSettings::default() };
    (Pool::new_with(NetworkId::new("devnet"), endpoints, settings).unwrap(), clock)
}

/// Every chain is the right one but that of the number 666.
pub fn says_its_chain(mut probe: Probe) -> BoxFuture<'static, ()> {
    let asked = async move {
        let Ok(answer) = probe.call("eth_chainId", &serde_json::json!([])).await else { return };
        match answer.parse::<u64>() {
            Ok(666) => probe.wrong("it speaks of chain 666"),
            Ok(_) => probe.right(),
            Err(_) => {}
        }
    };
    asked.boxed()
}

pub fn pool(endpoints: Vec<EndpointConfig>) -> Pool {
    Pool::new(NetworkId::new("devnet"), endpoints).unwrap()
}

async fn serve_connection(
    stream: TcpStream,
    says: &Mutex<Says>,
    asked: &AtomicUsize,
    flooded: &AtomicUsize,
    heard: &Mutex<String>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        *heard.lock().unwrap() = head;
        asked.fetch_add(1, Ordering::SeqCst);
        // No question: somebody wants a WebSocket, which we have not, or asks by REST.
        let question = match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(question) => question,
            Err(_) if heard.lock().unwrap().to_lowercase().contains("upgrade: websocket") => return Ok(()),
            Err(_) => serde_json::Value::Null,
        };
        let now = says.lock().unwrap().clone();
        match now {
            Says::Http(status, headers, body) => {
                let id = question.get("id").or_else(|| question.get(0)?.get("id")).cloned().unwrap_or_default();
                respond(&mut stream, status, headers, &body.replace("$ID", &id.to_string())).await?;
            }
            Says::With(answer) => respond(&mut stream, 200, "", &answer(&question)).await?,
            Says::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                std::future::pending::<()>().await;
            }
            Says::Breaks(text) => {
                stream.write_all(text.as_bytes()).await?;
                return stream.flush().await;
            }
            Says::Drips => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Says::Floods => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(format!("400\r\n{}\r\n", " ".repeat(1024)).as_bytes()).await?;
                    flooded.fetch_add(1024, Ordering::SeqCst);
                }
            }
        }
    }
}

async fn respond(stream: &mut BufReader<TcpStream>, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}
