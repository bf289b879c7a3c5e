//! A bell at the door: says "look again" when a node announces a head, and nothing more.
//!
//! What it hears proves nothing and is not even read: a lost, invented or repeated head costs at most one look.
//! Polling goes on beside it, so a bell that is silent for ever loses nothing but milliseconds.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amn_core::block::NetworkId;
use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderMap;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::health::DoorbellHealth;
use crate::install_crypto;
use crate::secret::Secret;
use crate::shown::shown_url;
use crate::time::Time;

/// A header announcement has under 3 KB; whatever is larger than this is not one.
const FRAME_MAX: usize = 1 << 20;
/// TCP, TLS and upgrade together; a healthy node needs a second.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// So many blocks' time without a head is a dead connection: Ethereum misses a few 12 s slots in a row now and then.
const SILENT_BLOCKS: u32 = 10;
/// A pause that a gateway makes now and then is no reason to connect anew, however fast the blocks come.
const SILENCE_MIN: Duration = Duration::from_secs(15);
/// Nobody need hear of a slower network that it is silent: polling does the work meanwhile.
const SILENCE_MAX: Duration = Duration::from_mins(5);
/// Where the block time is not known: five slots of Ethereum.
const SILENCE: Duration = Duration::from_mins(1);
/// Messages that are no heads before the line is hung up: a subscription is confirmed by one, and some say hello.
const CHATTER_MAX: u32 = 100;
/// Heads that come closer than this ring once: no network makes blocks faster than every 200 ms for long.
const RING_GAP: Duration = Duration::from_millis(50);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Polling does the work meanwhile, so there is no hurry.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// How a kind of node is asked to announce heads, and what its announcements say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announcing {
    /// What is sent once on every connection.
    pub subscribe: &'static str,
    /// What every announcement holds, and nothing else that is said on the line.
    pub sign: &'static str,
}

impl Announcing {
    /// JSON-RPC nodes of Ethereum's kind.
    pub const HEADS: Self = Self {
        subscribe: r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#,
        sign: "eth_subscription",
    };
}

impl Default for Announcing {
    fn default() -> Self {
        Self::HEADS
    }
}

/// One WebSocket to one node.
#[derive(Clone)]
pub struct Doorbell {
    network: NetworkId,
    name: String,
    url: Secret,
    headers: HeaderMap,
    announcing: Announcing,
    silence: Duration,
    backoff_first: Duration,
    backoff_max: Duration,
    heard: Arc<Heard>,
    time: Time,
}

/// What a bell heard, for the health of its endpoint.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    connected: AtomicBool,
    heads: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Heard {
    fn head(&self, now: Instant) {
        self.heads.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(crate) fn health(&self, now: Instant) -> DoorbellHealth {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        DoorbellHealth {
            connected: self.connected.load(Ordering::Relaxed),
            heads: self.heads.load(Ordering::Relaxed),
            silent_seconds: last.map(|last| now.saturating_duration_since(last).as_secs()),
        }
    }
}

/// Says that the line is down when it goes, also where nobody waits for its end any more.
struct Connected<'a>(&'a Heard);

impl<'a> Connected<'a> {
    fn to(heard: &'a Heard) -> Self {
        heard.connected.store(true, Ordering::Relaxed);
        Self(heard)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected.store(false, Ordering::Relaxed);
    }
}

impl Doorbell {
    pub fn new(network: &NetworkId, name: impl Into<String>, url: Secret) -> Self {
        Self {
            network: network.clone(),
            name: name.into(),
            url,
            headers: HeaderMap::new(),
            announcing: Announcing::HEADS,
            silence: SILENCE,
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
            heard: Arc::default(),
            time: Time::real(),
        }
    }

    /// Tells `heard` what it hears, by this clock.
    #[must_use]
    pub(crate) fn heard_by(mut self, heard: Arc<Heard>, time: Time) -> Self {
        (self.heard, self.time) = (heard, time);
        self
    }

    /// Takes a line to be dead after some blocks' time without a head.
    #[must_use]
    pub fn of_blocks_every(self, block_time: Duration) -> Self {
        self.with_silence(block_time.saturating_mul(SILENT_BLOCKS).clamp(SILENCE_MIN, SILENCE_MAX))
    }

    #[must_use]
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// For a node that is asked to announce in other words.
    #[must_use]
    pub fn announcing(mut self, announcing: Announcing) -> Self {
        self.announcing = announcing;
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
            let (mut heads, began) = (0_u64, Instant::now());
            let end = self.listen(&bell, &mut heads).await;
            losses = losses_after(losses, heads, began.elapsed(), self.silence.min(self.backoff_max));
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
        let _connected = Connected::to(&self.heard);
        // Heads may have passed while nobody listened.
        bell.notify_one();
        loop {
            let heard = timeout(self.silence, head_heard(&mut socket, self.announcing.sign)).await;
            match heard {
                Ok(Ok(())) => {
                    *heads += 1;
                    self.heard.head(self.time.now());
                    bell.notify_one();
                    // Whoever invents heads by the thousand has us look that much more often, and no more.
                    sleep(RING_GAP).await;
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
        socket.send(Message::text(self.announcing.subscribe)).await.map_err(|_| "could not subscribe")?;
        Ok(socket)
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Waits for the next announcement. Everything else on the line is passed over, within reason: it is no sign of life
/// of the chain.
async fn head_heard(socket: &mut Socket, sign: &str) -> Result<(), &'static str> {
    let mut chatter = 0;
    while let Some(message) = socket.next().await {
        let payload: Bytes = match message.map_err(|_| "the connection broke")? {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Err("closed by the node"),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Bytes::new(),
        };
        if memchr::memmem::find(&payload, sign.as_bytes()).is_some() {
            return Ok(());
        }
        if memchr::memmem::find(&payload, br#""error""#).is_some() {
            return Err("the subscription was refused");
        }
        chatter += 1;
        if chatter > CHATTER_MAX {
            return Err("it talks without saying a head");
        }
    }
    Err("the connection ended")
}

/// A line that brought heads for a while was a good one: the next try is a first try. One that says a head and hangs up
/// is not, or it would have us connect without end.
fn losses_after(losses: u32, heads: u64, lasted: Duration, long_enough: Duration) -> u32 {
    if heads > 0 && lasted >= long_enough { 1 } else { losses.saturating_add(1) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_says_a_head_and_hangs_up_is_tried_ever_more_seldom() {
        let enough = Duration::from_secs(10);
        let mut losses = 0;
        let waits: Vec<_> = (0..20)
            .map(|_| {
                losses = losses_after(losses, 1, Duration::from_millis(5), enough);
                backoff(BACKOFF_FIRST, BACKOFF_MAX, losses, 0)
            })
            .collect();
        assert!(waits.is_sorted());
        assert_eq!((waits[0], waits[19]), (BACKOFF_FIRST / 2, BACKOFF_MAX / 2));
        assert_eq!(losses_after(losses, 0, enough * 9, enough), losses + 1, "it was silent all the while");
        assert_eq!(losses_after(losses, 1, enough, enough), 1);
    }

    #[test]
    fn silence_follows_the_block_time_within_reason() {
        let bell = |millis| {
            let url = Secret::new("ws://host");
            Doorbell::new(&NetworkId::new("x"), "a", url).of_blocks_every(Duration::from_millis(millis)).silence
        };
        assert_eq!(bell(12_000), Duration::from_mins(2));
        assert_eq!(bell(250), SILENCE_MIN);
        assert_eq!(bell(600_000), SILENCE_MAX);
    }
}
