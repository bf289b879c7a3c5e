//! Makes one attempt: signs, posts, reads the answer within its bounds, and says in our words what happened.

use std::error::Error as _;
use std::time::Duration;

use amn_core::id::EventId;
use amn_core::timestamp::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, redirect, retry};
use tokio::time::Instant;
use url::Url;

use crate::outbox::guard::{Guard, Refused, vet_url};
use crate::outbox::retry_after::RetryAfter;
use crate::outbox::schedule::Answer;
use crate::outbox::signature::{Secret, Signed, sign};
use crate::store::outbox::deliveries::Claimed;

/// Of an answer's body we read at most this much, and keep less.
const BODY_READ_MAX: usize = 16 * 1_024;
const BODY_KEPT_MAX: usize = 1_024;

/// Our words about a failure are short.
const ERROR_CHARS_MAX: usize = 200;

/// Receivers close idle connections after a minute or so; we are a little faster.
const IDLE_MAX: Duration = Duration::from_secs(50);

const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub answer: Answer,
    pub status_code: Option<u16>,
    pub duration: Duration,
    pub error: Option<String>,
    /// The beginning of an answer that was no success, for whoever looks into it.
    pub response: Option<String>,
}

/// Posts to receivers, within the guard.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    guard: Guard,
    timeout: Duration,
}

impl Poster {
    /// `timeout` bounds a whole attempt: name, connection, answer and its body.
    pub fn new(guard: Guard, timeout: Duration, idle_per_host: usize) -> Result<Self, reqwest::Error> {
        // The first one in a process wins; a second is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("amn-scanner/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(guard.clone())
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A proxy from the environment would resolve names past the guard.
            .no_proxy()
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(idle_per_host)
            .pool_idle_timeout(IDLE_MAX)
            .build()?;
        Ok(Self { client, guard, timeout })
    }

    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a delivery once, signed as of `now`.
    pub async fn attempt(&self, delivery: &Claimed, now: Timestamp) -> Tried {
        let began = Instant::now();
        let mut tried = match self.prepare(delivery, now) {
            Ok((url, headers)) => self.post(url, headers, delivery.body.clone()).await,
            Err(why) => Tried::failed(Answer::Refused, why),
        };
        tried.duration = began.elapsed();
        tried
    }

    fn prepare(&self, delivery: &Claimed, now: Timestamp) -> Result<(Url, HeaderMap), String> {
        let url = vet_url(&delivery.url, self.guard.policy()).map_err(|refused| refused.to_string())?;
        let secrets = live_secrets(delivery, now)?;
        let id = EventId(delivery.event.as_u128()).to_string();
        let Signed { x_signature, timestamp, standard } = sign(&secrets, &id, now, &delivery.body);
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let values = [
            (X_SIGNATURE, x_signature),
            (WEBHOOK_ID, id),
            (WEBHOOK_TIMESTAMP, timestamp),
            (WEBHOOK_SIGNATURE, standard),
        ];
        for (name, value) in values {
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| "a header has a strange byte".to_owned())?);
        }
        Ok((url, headers))
    }

    async fn post(&self, url: Url, headers: HeaderMap, body: Vec<u8>) -> Tried {
        let mut response = match self.client.post(url).headers(headers).body(body).send().await {
            Ok(response) => response,
            Err(error) => return self.failed(&error),
        };
        // Without a peer we do not know whom we talked to, and do not believe the answer.
        let peer = response.remote_addr().ok_or(Refused::Unresolved);
        if let Err(refused) = peer.and_then(|peer| self.guard.vet_peer(peer)) {
            return Tried::failed(Answer::Refused, refused.to_string());
        }
        let code = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(RetryAfter::parse);
        let mut body = Vec::new();
        // Ends at the answer's end, at our bound, or at the time-out.
        while body.len() < BODY_READ_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(BODY_READ_MAX - body.len())]),
                Ok(None) => break,
                Err(error) => return Tried { status_code: Some(code), ..self.failed(&error) },
            }
        }
        let success = (200..300).contains(&code);
        Tried {
            answer: Answer::Status { code, retry_after },
            status_code: Some(code),
            duration: Duration::ZERO,
            error: (!success).then(|| format!("status {code}")),
            response: (!success && !body.is_empty()).then(|| kept(&body)),
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Tried {
        if let Some(refused) = refusal(error) {
            let answer = if refused == Refused::Unresolved { Answer::Unreachable } else { Answer::Refused };
            return Tried::failed(answer, refused.to_string());
        }
        if error.is_timeout() {
            return Tried::failed(Answer::TimedOut, format!("no whole answer within {} ms", self.timeout.as_millis()));
        }
        let what = if error.is_connect() { "no connection" } else { "the connection broke" };
        let mut root: &dyn std::error::Error = error;
        while let Some(source) = root.source() {
            root = source;
        }
        // Only the root: what stands above it may tell the URL.
        let why = if error.source().is_some() { format!("{what}: {root}") } else { what.to_owned() };
        Tried::failed(Answer::Unreachable, why)
    }
}

impl Tried {
    fn failed(answer: Answer, error: impl Into<String>) -> Self {
        let error = error.into().chars().filter(|c| *c != '\0').take(ERROR_CHARS_MAX).collect();
        Self { answer, status_code: None, duration: Duration::ZERO, error: Some(error), response: None }
    }
}

/// The newest first; the one before it while the rotation lasts.
fn live_secrets(delivery: &Claimed, now: Timestamp) -> Result<Vec<Secret>, String> {
    let previous = delivery.previous_until.filter(|until| *until > now).and(delivery.previous_secret.as_ref());
    std::iter::once(&delivery.secret)
        .chain(previous)
        .map(|text| text.parse().map_err(|wrong| format!("a secret of the endpoint does not parse: {wrong}")))
        .collect()
}

fn refusal(error: &reqwest::Error) -> Option<Refused> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        source = cause.source();
    }
    None
}

/// Text that Postgres takes: whatever the bytes were, without the zero it refuses.
fn kept(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT_MAX)]).replace('\0', "");
    // A strange byte becomes three.
    let mut end = text.len().min(BODY_KEPT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_an_answer_is_text_that_postgres_takes() {
        assert_eq!(kept(b"no\0pe"), "nope");
        assert!(kept(&[0xff; 16_384]).len() <= BODY_KEPT_MAX);
        assert_eq!(kept("é".repeat(600).as_bytes()).len(), BODY_KEPT_MAX);
    }
}
