//! A receiver that does as it is told: answers, fails, hangs, drips, redirects; and remembers what it was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// Longer than any story: whoever waits for more has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    /// Status, one header, body.
    With(u16, (&'static str, String), Vec<u8>),
    /// Keeps the connection and never answers.
    Hang,
    /// Waits for `Receiver::release`, then 200.
    Hold,
    /// 200, and then a byte every 20 ms without end.
    Drip,
    /// 200, and then bytes as fast as they are taken, without end.
    Flood,
    /// Closes the connection without a word.
    Close,
}

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or_else(|| panic!("no header {name} in {:?}", self.headers), |(_, value)| value)
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Debug)]
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    requests: Mutex<Vec<Request>>,
    arrived: Notify,
    held: Semaphore,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    later: Mutex<JoinSet<()>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(VecDeque::new()),
            otherwise: Mutex::new(Answer::Status(200)),
            requests: Mutex::new(Vec::new()),
            arrived: Notify::new(),
            held: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, later: Mutex::new(JoinSet::new()), _tasks: tasks }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it does with the next requests, one after the other.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    /// What it does when nothing else was said.
    pub fn otherwise(&self, answer: Answer) {
        *self.shared.otherwise.lock().unwrap() = answer;
    }

    /// Lets so many held requests go.
    pub fn release(&self, count: usize) {
        self.shared.held.add_permits(count);
    }

    /// The same, when whoever is told now has had time to act on it.
    pub fn release_soon(&self, count: usize) {
        let shared = Arc::clone(&self.shared);
        self.later.lock().unwrap().spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            shared.held.add_permits(count);
        });
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// Waits until it was sent so many requests in all.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        let waiting = async {
            loop {
                let arrived = self.shared.arrived.notified();
                if self.count() >= count {
                    return self.requests();
                }
                arrived.await;
            }
        };
        let seen = || format!("waited for {count} requests, saw {}", self.count());
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{}", seen()))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut unread = Vec::new();
    while let Some(request) = read(&mut stream, &mut unread).await {
        let answer = {
            // Remembered and answered in one order.
            let mut requests = shared.requests.lock().unwrap();
            requests.push(request);
            shared.script.lock().unwrap().pop_front().unwrap_or_else(|| shared.otherwise.lock().unwrap().clone())
        };
        shared.arrived.notify_waiters();
        if answer_with(&mut stream, answer, &shared).await.is_err() {
            return;
        }
    }
}

async fn answer_with(stream: &mut TcpStream, answer: Answer, shared: &Shared) -> std::io::Result<()> {
    let plain = |code: u16| format!("HTTP/1.1 {code} Said\r\ncontent-length: 0\r\n\r\n").into_bytes();
    let endless = b"HTTP/1.1 200 Said\r\ncontent-length: 1000000000\r\n\r\n";
    match answer {
        Answer::Status(code) => stream.write_all(&plain(code)).await,
        Answer::With(code, (name, value), body) => {
            let head = format!("HTTP/1.1 {code} Said\r\n{name}: {value}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.into_bytes(), body].concat()).await
        }
        Answer::Hang => std::future::pending().await,
        Answer::Hold => {
            shared.held.acquire().await.unwrap().forget();
            stream.write_all(&plain(200)).await
        }
        Answer::Drip => {
            stream.write_all(endless).await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Answer::Flood => {
            stream.write_all(endless).await?;
            loop {
                stream.write_all(&[b'.'; 4_096]).await?;
            }
        }
        Answer::Close => Err(std::io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        more(stream, unread).await?;
    };
    let head = String::from_utf8(unread[..head_end].to_vec()).ok()?;
    let mut lines = head.lines().map(str::to_owned);
    let line = lines.next()?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ").map(|(n, v)| (n.into(), v.into()))).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let whole = head_end + 4 + length.1.parse::<usize>().ok()?;
    while unread.len() < whole {
        more(stream, unread).await?;
    }
    let body = unread[head_end + 4..whole].to_vec();
    unread.drain(..whole);
    Some(Request { line, headers, body })
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 8_192];
    let read = stream.read(&mut chunk).await.ok()?;
    unread.extend_from_slice(&chunk[..read]);
    (read > 0).then_some(())
}
