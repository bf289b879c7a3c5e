//! One POST and its reply, with every dimension bounded: time, bytes on the way in, no redirect, and no proxy but the one configured.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, RequestBuilder, Response, redirect};

use crate::secret::Secret;

/// Shorter than the idle limits of common load balancers (60 s), so that we close first and no question is lost to a race.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// What came back, whatever it means.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    TooLarge,
    /// The bytes are not what their encoding says.
    Undecodable(String),
    Transport {
        timed_out: bool,
        detail: String,
    },
}

/// What clients differ in: endpoints that are alike in it share one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) connect_timeout: Duration,
    pub(crate) proxy: Option<Secret>,
}

/// A client for endpoints that are reached in one way.
pub(crate) fn client(route: &Route) -> Result<Client, String> {
    let builder = Client::builder().no_proxy();
    let builder = match &route.proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy.expose()).map_err(|_| "proxy is not http(s)://host…")?),
        None => builder,
    };
    builder
        .redirect(redirect::Policy::none())
        .referer(false)
        .http1_only()
        .gzip(true)
        .deflate(true)
        .tcp_nodelay(true)
        .connect_timeout(route.connect_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("amn-scanner/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]))
        .build()
        .map_err(|error| chain(&error))
}

/// Sends, and reads at most `body_max` bytes. The request carries its own time-out, which covers the body.
pub(crate) async fn exchange(request: RequestBuilder, body_max: usize) -> Result<Reply, Fault> {
    let response = request.send().await.map_err(fault)?;
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    Ok(Reply { status, retry_after, body: read(response, body_max).await? })
}

async fn read(mut response: Response, body_max: usize) -> Result<Bytes, Fault> {
    // Absent where the body is compressed: then only the counting below knows.
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).ok().filter(|&size| size <= body_max).ok_or(Fault::TooLarge)?;
    // Of one allocation where the length is known, so that each byte is copied once. Where it is not, a growing
    // buffer of this size is moved by remapping its pages.
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if body.len() + chunk.len() > body_max {
            return Err(Fault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Bytes::from(body))
}

fn fault(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let detail = chain(&error);
    // The client calls everything that ends a body early a decoding error; only these are about what the bytes say.
    let undecodable = causes(&error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::InvalidData);
    if undecodable { Fault::Undecodable(detail) } else { Fault::Transport { timed_out: error.is_timeout(), detail } }
}

/// An error and its causes on one line; the outermost alone says only "error sending request".
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
