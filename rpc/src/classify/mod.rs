//! What a refusal means: the words of providers, as a table, and the meaning of HTTP statuses.
//!
//! Codes alone say little: Infura uses -32005 for "too fast" and for "too much", others -32000 for everything. So the
//! words are read first, and a code decides only where the words are unknown.

mod hints;
mod table;

use std::time::Duration;

use bytes::Bytes;
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::error::RpcError;
use crate::http;
use crate::shown::shorten;
use crate::standing::COOL_DOWN_MAX;
use table::{Means, ROWS, Row};

/// Rate windows of providers are one to ten seconds wide.
const RATE_WAIT: Duration = Duration::from_secs(5);
/// "Try again in 0 s" would have us knock without end.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Messages are read up to here: the longest that we know has 400 bytes.
const MESSAGE_MAX: usize = 2_000;

/// Everything that came with a refusal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Refusal<'a> {
    /// What was asked; empty for a batch.
    pub(crate) method: &'a str,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) code: Option<i64>,
    pub(crate) message: &'a str,
    pub(crate) range: Option<(u64, u64)>,
}

/// The meaning of a JSON-RPC `error` member.
pub(crate) fn error_object(method: &str, status: u16, retry_after: Option<Duration>, error: &Bytes) -> RpcError {
    let parts = Parts::read(error);
    let retry_after = retry_after.or(parts.backoff);
    meaning(&Refusal { method, status, retry_after, code: parts.code, message: &parts.message, range: parts.range })
}

/// The meaning of a reply that is no JSON-RPC; `None` where its status says that all is well.
pub(crate) fn http_status(method: &str, status: u16, retry_after: Option<Duration>, body: &Bytes) -> Option<RpcError> {
    if (200..300).contains(&status) {
        return None;
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(MESSAGE_MAX)]);
    let message = format!("HTTP {status} {text}");
    Some(meaning(&Refusal { method, status, retry_after, message: &message, ..Refusal::default() }))
}

/// The meaning of a reply by REST that is no answer: its status says so, or its own `"ok": false`; `None` where it is
/// one. `object`: the body is an object of bounded depth, so that it may be looked into.
pub(crate) fn rest(route: &str, http: &http::Reply, object: bool) -> Option<RpcError> {
    let (status, retry_after) = (http.status, http.retry_after);
    let fine = (200..300).contains(&status);
    let said = if object { Said::read(&http.body) } else { Said::default() };
    if fine && said.ok != Some(false) {
        return None;
    }
    let text = String::from_utf8_lossy(&http.body[..http.body.len().min(MESSAGE_MAX)]);
    let message = said.why.unwrap_or_else(|| if fine { text.into_owned() } else { format!("HTTP {status} {text}") });
    // A refusal with "all is well" above it says in its code what its status should have been.
    let status = said.code.filter(|_| fine).unwrap_or(status);
    let refusal = Refusal { method: route, status, retry_after, message: &message, ..Refusal::default() };
    let known = ROWS.iter().any(|row| row.fits(&refusal, &message.to_lowercase()));
    Some(match status {
        // By REST a status speaks of what was asked for, not of the road to it.
        404 if !known => RpcError::NotYet(shorten(&message)),
        405 | 501 if !known => RpcError::Unsupported(shorten(&message)),
        400 | 422 if !known => RpcError::Rejected { code: i64::from(status), message: shorten(&message) },
        _ => meaning(&refusal),
    })
}

/// What a body says of itself, in the words of those APIs that we know.
#[derive(Default)]
struct Said {
    ok: Option<bool>,
    code: Option<u16>,
    why: Option<String>,
}

impl Said {
    fn read(body: &Bytes) -> Self {
        let text = String::from_utf8_lossy(body);
        let Ok(object) = sonic_rs::from_str::<LazyValue<'_>>(&text) else { return Self::default() };
        let words = |name: &str| {
            let text = object.get(name)?.as_str()?.chars().take(MESSAGE_MAX).collect::<String>();
            Some(text).filter(|text| !text.is_empty())
        };
        Self {
            ok: object.get("ok").and_then(|ok| ok.as_bool()),
            code: object.get("code").and_then(|code| u16::try_from(code.as_u64()?).ok()),
            // toncenter writes `error` or `result`, Horizon and others `detail` or `message`.
            why: ["error", "result", "detail", "message"].into_iter().find_map(words),
        }
    }
}

/// The one decision: words, then code, then status.
fn meaning(refusal: &Refusal<'_>) -> RpcError {
    let words = refusal.message.to_lowercase();
    let row = ROWS.iter().find(|row| row.fits(refusal, &words));
    let means = match (row.map(|row| row.means), refusal.status) {
        (Some(Means::Split), _) => Means::Split,
        (Some(Means::Bill), _) | (_, 402) => Means::Bill,
        (_, 429) => Means::Rate,
        (Some(means), 200..300) => means,
        // The words of a refusal weigh more than its status, its bare code weighs less.
        (Some(means), _) if row.is_some_and(|row| !row.says.is_empty()) => means,
        (_, 401 | 403) => Means::Credentials,
        // Too long a body, or an address: of REST, where the question is in it.
        (_, 413 | 414 | 431) => Means::Split,
        (_, 503) if refusal.retry_after.is_some() => Means::Rate,
        (Some(means), _) => means,
        (None, _) => Means::TryOther,
    };
    let text = || match refusal.code {
        Some(code) => shorten(&format!("{code} {}", refusal.message)),
        None => shorten(refusal.message),
    };
    match means {
        Means::Split => RpcError::Split { hint: refusal.range.or_else(|| hints::range(&words)) },
        Means::Rate | Means::Bill => {
            let usual = if means == Means::Bill { COOL_DOWN_MAX } else { RATE_WAIT };
            let asked = refusal.retry_after.or_else(|| hints::wait(&words));
            RpcError::CoolDown { wait: asked.unwrap_or(usual).clamp(WAIT_MIN, COOL_DOWN_MAX), detail: text() }
        }
        Means::NotYet => RpcError::NotYet(text()),
        Means::Pruned => RpcError::Pruned(text()),
        Means::Unsupported => RpcError::Unsupported(text()),
        Means::Credentials => RpcError::Credentials(text()),
        Means::Rejected => {
            RpcError::Rejected { code: refusal.code.unwrap_or_default(), message: shorten(refusal.message) }
        }
        Means::TryOther => {
            let slow = ["timeout", "timed out", "deadline exceeded", "exceeded processing limit"]
                .iter()
                .any(|said| words.contains(said));
            let timed_out = slow || refusal.status == 504;
            RpcError::TryOther { timed_out, detail: text() }
        }
    }
}

impl Row {
    fn fits(&self, refusal: &Refusal<'_>, words: &str) -> bool {
        self.code.is_none_or(|code| refusal.code == Some(code))
            && self.asked.is_none_or(|method| refusal.method == method)
            && self.says.iter().all(|part| words.contains(part))
    }
}

/// An error member, read as leniently as providers write it.
struct Parts {
    code: Option<i64>,
    message: String,
    range: Option<(u64, u64)>,
    backoff: Option<Duration>,
}

impl Parts {
    fn read(error: &Bytes) -> Self {
        // Checked here: the reader hands out strings of broken UTF-8 before it complains.
        let error = String::from_utf8_lossy(error);
        let plain =
            || Self { code: None, message: error.chars().take(MESSAGE_MAX).collect(), range: None, backoff: None };
        let Ok(object) = sonic_rs::from_str::<LazyValue<'_>>(&error) else { return plain() };
        if !object.is_object() {
            return plain();
        }
        let member = |name: &str| object.get(name);
        let code = member("code").and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()));
        let words =
            |value: &LazyValue<'_>| value.as_str().map(|text| text.chars().take(MESSAGE_MAX).collect::<String>());
        let data = member("data");
        // Some put the reason into `data`, as a text or as its `message`.
        let more = data.as_ref().and_then(|data| words(data).or_else(|| words(&data.get("message")?)));
        let message = [member("message").as_ref().and_then(words), more].into_iter().flatten().collect::<Vec<_>>();
        let height = |name: &str| hints::number(data.as_ref()?.get(name)?.as_str()?).map(|(height, _)| height);
        let seconds = |name: &str| data.as_ref()?.get("rate")?.get(name)?.as_f64();
        Self {
            code,
            message: message.join(": "),
            range: height("from").zip(height("to")).filter(|(from, to)| from <= to),
            backoff: seconds("backoff_seconds").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }
}

#[cfg(test)]
mod tests;
