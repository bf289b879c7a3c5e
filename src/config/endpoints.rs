//! Reads how one node is to be used: where it is, who runs it, what it bears, and when it is left alone.

use std::time::Duration;

use amn_core::block::Operator;

use super::reader::Section;
use super::secret::Secret;
use super::sections::{is_name, missing};
use super::{Breaker, DATA_LAKE, Endpoint};

/// TCP and TLS. A node that cannot even take a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn endpoint(mut section: Section<'_>, file: &str) -> Option<Endpoint> {
    let label = "1 to 40 lowercase letters, digits and hyphens";
    let name = section.read("name", label, |text| is_name(text).then(|| text.to_owned()));
    // Which words there are is the family's to say.
    let kind = section.read("kind", "a word such as \"json-rpc\"", |text| is_name(text).then(|| text.to_owned()));
    // Nobody has a thousand nodes to put in order.
    let order = section.count("order", 0..=1_000).unwrap_or(0);
    let is_lake = kind.as_deref() == Some(DATA_LAKE);
    let url = section.url("url", if is_lake { &["https", "http", "file"] } else { &["https", "http"] });
    if is_lake && section.has("ws") {
        let place = section.place_of("ws");
        section.wrong(&place, "ws", "absent where kind is \"data-lake\": files announce nothing", "a URL");
    }
    let ws = section.url("ws", &["wss", "ws"]);
    let proxy = section.url("proxy", &["http", "https"]);
    let operator = section.read("operator", label, |text| is_name(text).then(|| Operator::new(text)));
    // Free plans begin at a few requests a second, own nodes end at some thousands.
    let max_rps = section.count("max_rps", 1..=10_000);
    let burst = section.count("burst", 1..=10_000);
    if burst.is_some() && !section.has("max_rps") {
        let place = section.place_of("burst");
        section.wrong(&place, "burst", "beside max_rps, of which it is the first moment", "no max_rps");
    }
    let concurrency = section.count("concurrency", 1..=256).unwrap_or(8);
    let timeout = Duration::from_millis(section.whole("timeout_ms", 100..=120_000).unwrap_or(10_000));
    let connect_timeout = connect_timeout(&mut section, timeout);
    // A gibibyte for one answer would be every answer's at once: eight of them fill a small machine.
    let body_max_mib = section.count("body_max_mib", 1..=1_024);
    let breaker = section.table_if_there("breaker").map(breaker).unwrap_or_default();
    let headers = headers(&mut section);
    let absent = [("name", name.is_none()), ("url", url.is_none()), ("operator", operator.is_none())];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    Some(Endpoint {
        name: name?,
        kind,
        order,
        url: url?,
        ws,
        proxy,
        operator: operator?,
        max_rps,
        burst,
        concurrency,
        timeout,
        connect_timeout,
        body_max: body_max_mib.map(|mib| mib as usize * 1_048_576),
        breaker,
        headers,
        place,
    })
}

fn connect_timeout(section: &mut Section<'_>, timeout: Duration) -> Duration {
    let Some(millis) = section.whole("connect_timeout_ms", 100..=60_000) else { return CONNECT_TIMEOUT.min(timeout) };
    let connect = Duration::from_millis(millis);
    if connect > timeout {
        let place = section.place_of("connect_timeout_ms");
        let allowed = format!("at most timeout_ms, {}, of which it is a part", timeout.as_millis());
        section.wrong(&place, "connect_timeout_ms", &allowed, &millis.to_string());
    }
    connect
}

fn breaker(mut section: Section<'_>) -> Breaker {
    let usual = Breaker::default();
    // A hundred failures in a row are no accident any more.
    let failures = section.count("failures", 1..=100).unwrap_or(usual.failures);
    // Nobody wants a node back later than within the hour.
    let open_for = section.whole("open_seconds", 1..=3_600).map_or(usual.open_for, Duration::from_secs);
    if section.has_table() && section.is_empty() {
        section.notes.add(&section.place, &section.path, "must name failures or open_seconds; found neither");
    }
    section.finish();
    Breaker { failures, open_for }
}

/// Headers that carry a key. Those that say how a request is sent are ours.
const OURS: [&str; 6] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"];

fn headers(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    let mut read = Vec::new();
    for (name, place, value) in section.secrets("headers") {
        let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || !name.bytes().all(token) {
            section.wrong(&place, "headers", "named by letters, digits, - and _", &format!("{name:?}"));
        } else if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            section.wrong(&place, "headers", "other than those that say how a request is sent", &format!("{name:?}"));
        } else if !value.reveal().bytes().all(|b| (b' '..=b'~').contains(&b)) {
            section.wrong(&place, "headers", "printable ASCII", "another character (the value is not shown)");
        } else {
            read.push((name, value));
        }
    }
    read
}
