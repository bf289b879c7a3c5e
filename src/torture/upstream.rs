//! The real node behind a face: asked honestly, its answers taken as they are.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde_json::{Value, json};

use super::{Question, Reply};

/// The longest that a healthy node takes for its heaviest page of logs.
const TIMEOUT: Duration = Duration::from_secs(30);
/// As much as a client of ours would take: the receipts of the fullest blocks, four times over.
const BODY_MAX: usize = 40 << 20;

/// Why the node behind did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node behind: {0}")]
pub struct UpstreamError(pub String);

pub struct Upstream {
    client: Client,
    url: Url,
    pub(super) ws: Option<Url>,
}

impl Upstream {
    pub(super) fn new(url: &str, ws: Option<&str>) -> Result<Self, UpstreamError> {
        let parse = |text: &str, schemes: [&str; 2]| {
            Url::parse(text)
                .ok()
                .filter(|url| schemes.contains(&url.scheme()) && url.has_host())
                .ok_or_else(|| UpstreamError(format!("not {}://host…", schemes[0])))
        };
        amn_rpc::install_crypto();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| UpstreamError(error.to_string()))?;
        let ws = ws.map(|ws| parse(ws, ["ws", "wss"])).transpose()?;
        Ok(Self { client, url: parse(url, ["http", "https"])?, ws })
    }

    pub(super) async fn ask(&self, asked: &Question) -> Reply {
        match self.post(json!(envelope(asked))).await {
            Ok((200, _, body)) => match serde_json::from_slice(&body) {
                Ok(reply) => read(reply),
                Err(_) => Reply::http(200, body),
            },
            Ok((status, headers, body)) => Reply::Http { status, headers, body },
            Err(error) => Reply::http(502, error.to_string()),
        }
    }

    /// All questions in one request, as they were asked; one reply for each, in their order.
    pub(super) async fn ask_all(&self, asked: &[Question]) -> Vec<Reply> {
        let all = |reply: Reply| vec![reply; asked.len()];
        // Ids of our own, so that two questions of one id get two answers.
        let list: Vec<Value> = asked
            .iter()
            .enumerate()
            .map(|(place, asked)| envelope(&Question { id: json!(place), ..asked.clone() }))
            .collect();
        let (status, headers, body) = match self.post(Value::Array(list)).await {
            Ok(response) => response,
            Err(error) => return all(Reply::http(502, error.to_string())),
        };
        let Ok(Value::Array(replies)) = serde_json::from_slice::<Value>(&body) else {
            return all(Reply::Http { status, headers, body });
        };
        let mut ordered = vec![None; asked.len()];
        for reply in replies {
            let place = reply["id"].as_u64().and_then(|id| usize::try_from(id).ok());
            if let Some(slot) = place.and_then(|place| ordered.get_mut(place)) {
                *slot = Some(read(reply));
            }
        }
        ordered.into_iter().map(|reply| reply.unwrap_or_else(|| Reply::http(502, "no reply in the batch"))).collect()
    }

    /// A request that is no JSON-RPC, to a path below the node's own.
    pub(super) async fn fetch(&self, path: &str, post: Option<Bytes>) -> Reply {
        let joined = format!("{}{path}", self.url.as_str().trim_end_matches('/'));
        // The path must not lead to another host.
        let Some(url) = Url::parse(&joined).ok().filter(|url| url.origin() == self.url.origin()) else {
            return Reply::http(400, "no such path");
        };
        let request = match post {
            Some(body) => self.client.post(url).header("content-type", "application/json").body(body),
            None => self.client.get(url),
        };
        match send(request).await {
            Ok((status, headers, body)) => Reply::Http { status, headers, body },
            Err(error) => Reply::http(502, error.to_string()),
        }
    }

    async fn post(&self, body: Value) -> Result<(u16, Vec<(String, String)>, Bytes), UpstreamError> {
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        send(request.body(body.to_string())).await
    }
}

async fn send(request: RequestBuilder) -> Result<(u16, Vec<(String, String)>, Bytes), UpstreamError> {
    let failed = |error: reqwest::Error| UpstreamError(error.without_url().to_string());
    let mut response: Response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let kept = ["retry-after", "content-type"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), response.headers().get(name)?.to_str().ok()?.to_owned())));
    let headers = kept.collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(UpstreamError(format!("a body of over {BODY_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, headers, Bytes::from(body)))
}

fn envelope(asked: &Question) -> Value {
    json!({ "jsonrpc": "2.0", "id": asked.id, "method": asked.method, "params": asked.params })
}

/// A JSON-RPC reply, taken apart.
fn read(mut reply: Value) -> Reply {
    if let Some(result) = reply.get_mut("result") {
        return Reply::Result(result.take());
    }
    match (reply["error"]["code"].as_i64(), reply["error"]["message"].as_str()) {
        (Some(code), Some(message)) => {
            Reply::Error { code, message: message.to_owned(), data: reply["error"].get("data").cloned() }
        }
        _ => Reply::Envelope(reply),
    }
}

impl fmt::Debug for Upstream {
    /// Its URL may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({}://{})", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}
