//! An endpoint that answers what a test wrote down, over real HTTP, and remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{Endpoint, EndpointConfig, Pool, PoolSettings, VirtualTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Ask;

/// What is answered to a target (path and query as sent) and a body: status and body.
type Answers = dyn Fn(&str, &str) -> (u16, String) + Send + Sync;

pub(super) struct Canned {
    endpoint: Arc<Endpoint>,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Canned {
    pub(super) async fn of(kind: &str, answers: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, heard): (Arc<Answers>, _) = (Arc::new(answers), asked.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                connections.spawn(serve(stream, answers.clone(), heard.clone()));
            }
        });
        let mut config = EndpointConfig::new("canned", url.as_str(), Operator::new("a"));
        kind.clone_into(&mut config.kind);
        let settings = PoolSettings { time: VirtualTime::at(Duration::ZERO).time(), ..PoolSettings::default() };
        let pool = Pool::new_with(NetworkId::new("own"), vec![config], settings).unwrap();
        Self { endpoint: pool.endpoints()[0].clone(), asked, _tasks: tasks }
    }

    /// It gives the bodies in this order, whatever is asked.
    pub(super) async fn in_turn(kind: &str, bodies: Vec<String>) -> Self {
        let left = Mutex::new(bodies.into_iter());
        Self::of(kind, move |_, _| match left.lock().unwrap_or_else(PoisonError::into_inner).next() {
            Some(body) => (200, body),
            None => (500, r#"{"error":"asked once too often"}"#.to_owned()),
        })
        .await
    }

    pub(super) const fn ask(&self) -> Ask<'_> {
        Ask { endpoint: &self.endpoint }
    }

    /// The targets it was asked for, without what its address begins with.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>, heard: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4) else {
            match stream.read(&mut part).await {
                Ok(more) if more > 0 => read.extend_from_slice(&part[..more]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().and_then(|length| length.parse().ok()).unwrap_or(0));
        while read.len() < end + length {
            match stream.read(&mut part).await {
                Ok(more) if more > 0 => read.extend_from_slice(&part[..more]),
                _ => return,
            }
        }
        let target = head.split(' ').nth(1).unwrap_or_default().trim_start_matches("/api/").to_owned();
        let body = String::from_utf8_lossy(&read[end..end + length]).into_owned();
        let (status, answer) = answers(&target, &body);
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(target);
        let answer = format!("HTTP/1.1 {status} ok\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        read.drain(..end + length);
    }
}
