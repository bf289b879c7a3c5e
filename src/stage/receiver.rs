//! A receiver as an escrow backend would write it: checks the signature, remembers the id, answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::StageError;
use crate::clock::{Clock, SystemClock};
use crate::outbox::signature;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    pub at: Instant,
    pub id: String,
    pub event: String,
    pub body: Vec<u8>,
    /// Whether `X-Signature` held, within 300 seconds on both sides.
    pub signed: bool,
    /// What we answered.
    pub status: u16,
}

impl Heard {
    /// The body, as the backend reads it.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Inner {
    heard: Vec<Heard>,
    secret: Option<String>,
    /// Answers given before 200 becomes usual again.
    script: VecDeque<u16>,
    /// The first answer to an event that was not heard before; `None`: 200.
    at_first: Option<fn(usize) -> u16>,
}

/// An HTTP server on this machine that listens to events.
#[derive(Debug, Clone)]
pub struct Receiver {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<usize>,
    held: watch::Sender<bool>,
    address: SocketAddr,
}

impl Receiver {
    /// Listens on a free port. The future serves; whoever starts tasks runs it.
    pub async fn bind() -> Result<(Self, impl Future<Output = ()> + Send + 'static), StageError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| StageError::because("the receiver", e))?;
        let address = listener.local_addr().map_err(|e| StageError::because("the receiver", e))?;
        let receiver =
            Self { inner: Arc::default(), changed: watch::Sender::new(0), held: watch::Sender::new(false), address };
        let app = Router::new().route("/hook", post(hear)).with_state(receiver.clone());
        let serve = async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the receiver ended");
            }
        };
        Ok((receiver, serve))
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The secret to check signatures with.
    pub fn trust(&self, secret: &str) {
        self.lock().secret = Some(secret.to_owned());
    }

    /// The next answers, before 200 is usual again.
    pub fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.lock().script.extend(statuses);
    }

    /// 200 is usual again, whatever was still to be answered.
    pub fn recover(&self) {
        self.lock().script.clear();
    }

    /// How an event is answered the first time it comes, by its number among those heard.
    pub fn answer_at_first(&self, answer: fn(usize) -> u16) {
        self.lock().at_first = Some(answer);
    }

    /// Hears what comes and answers nothing until it is released.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Everything heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().heard.clone()
    }

    /// What was answered with 200, each event once, in the order it came first.
    #[must_use]
    pub fn delivered(&self) -> Vec<Heard> {
        let mut seen = std::collections::BTreeSet::new();
        self.heard().into_iter().filter(|h| h.status == 200 && seen.insert(h.id.clone())).collect()
    }

    /// Waits until `enough` holds of what was heard; `false` when the time is over first.
    pub async fn until(&self, within: Duration, enough: impl Fn(&[Heard]) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !enough(&self.lock().heard) {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(within, wait).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hear(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let status = {
        let mut inner = receiver.lock();
        let signed = inner
            .secret
            .as_ref()
            .is_some_and(|secret| signature::verify(secret, &header("x-signature"), &body, SystemClock.now()).is_ok());
        let event =
            serde_json::from_slice::<Value>(&body).unwrap_or_default()["event"].as_str().unwrap_or("?").to_owned();
        let id = header("webhook-id");
        let first = inner.at_first.filter(|_| inner.heard.iter().all(|heard| heard.id != id));
        let status = inner.script.pop_front().or_else(|| Some(first?(inner.heard.len()))).unwrap_or(200);
        inner.heard.push(Heard { at, id, event, body: body.to_vec(), signed, status });
        status
    };
    receiver.changed.send_modify(|count| *count += 1);
    let _ = receiver.held.subscribe().wait_for(|held| !held).await;
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}
