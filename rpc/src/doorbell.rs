//! A bell at the door: says "look again" when a node announces a head, and nothing more.
//!
//! What it hears proves nothing and is not even read: a lost, invented or repeated head costs at most one look.
//! Polling goes on beside it, so a bell that is silent for ever loses nothing but milliseconds.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::NetworkId;
use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderMap;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::install_crypto;
use crate::secret::Secret;
use crate::shown::shown_url;

/// A header announcement has under 3 KB; whatever is larger than this is not one.
const FRAME_MAX: usize = 1 << 20;
/// TCP, TLS and upgrade together; a healthy node needs a second.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Ethereum misses a few 12 s slots in a row now and then; beyond this, silence is a dead connection.
const SILENCE: Duration = Duration::from_mins(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Polling does the work meanwhile, so there is no hurry.
const BACKOFF_MAX: Duration = Duration::from_mins(1);
const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;

/// One WebSocket to one node.
#[derive(Clone)]
pub struct Doorbell {
    network: NetworkId,
    name: String,
    url: Secret,
    headers: HeaderMap,
    silence: Duration,
    backoff_first: Duration,
    backoff_max: Duration,
}

impl Doorbell {
    pub fn new(network: &NetworkId, name: impl Into<String>, url: Secret) -> Self {
        Self {
            network: network.clone(),
            name: name.into(),
            url,
            headers: HeaderMap::new(),
            silence: SILENCE,
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
        }
    }

    #[must_use]
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// How long no head may come before the connection counts as dead: many block times.
    #[must_use]
    pub fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// The first and the longest wait between two connections.
    #[must_use]
    pub fn with_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff_first = first;
        self.backoff_max = max;
        self
    }

    /// Rings on every connection made and every head heard, until it is dropped.
    pub async fn ring(self, bell: Arc<Notify>) -> Infallible {
        install_crypto();
        let mut losses = 0;
        loop {
            let mut heads = 0_u64;
            let end = self.listen(&bell, &mut heads).await;
            // A connection that brought heads was a good one: the next try is a first try.
            losses = if heads > 0 { 1 } else { losses + 1 };
            tracing::debug!(
                network = %self.network, endpoint = %self.name, heads,
                "doorbell of {} fell silent after {heads} heads: {end}", self.name,
            );
            let roll = RandomState::new().hash_one(losses);
            sleep(backoff(self.backoff_first, self.backoff_max, losses, roll)).await;
        }
    }

    /// Serves one connection until it ends; says why it did.
    async fn listen(&self, bell: &Notify, heads: &mut u64) -> &'static str {
        let mut socket = match timeout(HANDSHAKE_TIMEOUT, self.connect()).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(why)) => return why,
            Err(_) => return "the handshake took too long",
        };
        // Heads may have passed while nobody listened.
        bell.notify_one();
        loop {
            let heard = timeout(self.silence, head_heard(&mut socket)).await;
            match heard {
                Ok(Ok(())) => {
                    *heads += 1;
                    bell.notify_one();
                }
                Ok(Err(why)) => return why,
                Err(_) => return "no head for too long",
            }
        }
    }

    async fn connect(&self) -> Result<Socket, &'static str> {
        let mut request = self.url.expose().into_client_request().map_err(|_| "the address is not one")?;
        request.headers_mut().extend(self.headers.clone());
        let limits = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
        // The error of a failed connection may hold the address, so it is not passed on.
        let (mut socket, _) =
            connect_async_with_config(request, Some(limits), true).await.map_err(|_| "could not connect")?;
        socket.send(Message::text(SUBSCRIBE)).await.map_err(|_| "could not subscribe")?;
        Ok(socket)
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Waits for the next announcement. Everything else on the line is passed over: it is no sign of life of the chain.
async fn head_heard(socket: &mut Socket) -> Result<(), &'static str> {
    while let Some(message) = socket.next().await {
        let payload: Bytes = match message.map_err(|_| "the connection broke")? {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Err("closed by the node"),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if memchr::memmem::find(&payload, b"eth_subscription").is_some() {
            return Ok(());
        }
        if memchr::memmem::find(&payload, br#""error""#).is_some() {
            return Err("the subscription was refused");
        }
    }
    Err("the connection ended")
}

/// Doubles from `first` up to `max`, then takes between half and all of it, so that many clients do not return at once.
fn backoff(first: Duration, max: Duration, losses: u32, roll: u64) -> Duration {
    let doubled = first.saturating_mul(1 << losses.saturating_sub(1).min(16)).min(max);
    let half = doubled / 2;
    let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    half + Duration::from_millis(roll % spread)
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = url::Url::parse(self.url.expose()).map_or_else(|_| "?".to_owned(), |url| shown_url(&url));
        f.debug_struct("Doorbell").field("name", &self.name).field("url", &url).finish_non_exhaustive()
    }
}
