//! The line to an endpoint: batches, compression, the WebSocket; and what else the node offers.

use std::sync::Arc;
use std::time::Duration;

use amn_evm::header::Checked;
use amn_rpc::{Endpoint, RpcError};
use amn_scanner::networks::Served;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Lines;
use super::endpoint::Asker;
use crate::cli::nodes;

/// A handshake takes a second; a person waits no longer.
const BELL_WITHIN: Duration = Duration::from_secs(6);
/// Blocks that may pass without a word: the first may have come before we listened.
const BLOCKS_UNHEARD: u64 = 2;
/// The longest that a person waits to learn that a bell is dumb.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often the head is asked for while we listen.
const LOOK: Duration = Duration::from_millis(250);

impl Asker<'_> {
    /// Whether several questions may go in one request.
    pub async fn batch(&mut self) {
        let calls = [("eth_chainId", json!([])), ("eth_blockNumber", json!([]))];
        match self.endpoint.batch(&calls).await {
            _ if self.endpoint.refuses_batches() => {
                self.warn("batch", "refused", "every question is a request of its own: plans are used up sooner");
            }
            Ok(answers) => match answers.into_iter().find_map(Result::err) {
                None => self.fine("batch", "two questions in one request"),
                Some(error) => self.fail("batch", error.to_string(), "its replies to batches cannot be used"),
            },
            Err(RpcError::CoolDown { .. }) => {}
            Err(error) => self.fail("batch", error.to_string(), "its replies to batches cannot be used"),
        }
    }

    /// Whether money inside of calls could be found here. We do without: it is good to know, no more.
    pub async fn trace(&mut self, head: &Checked) {
        let call = json!([format!("{:#x}", head.height().0), { "tracer": "callTracer" }]);
        let said = match self.ask("debug_traceBlockByNumber", call).await {
            Ok(_) => "debug_traceBlockByNumber answers".to_owned(),
            Err(error) => format!("not available: {error}"),
        };
        self.info("trace", said);
    }

    /// Whether answers are compressed. Asked past the pool, which inflates them and forgets.
    pub async fn compression(&mut self, served: &Served) {
        let name = self.endpoint.name();
        let Some(config) = served.config.endpoints.iter().find(|endpoint| endpoint.name == name) else { return };
        let client = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(config.timeout)
            .build();
        let Ok(client) = client else { return };
        // Large enough that it is worth compressing.
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", true] });
        let mut request = client.post(config.url.reveal().clone()).header("content-type", "application/json");
        for (name, value) in &config.headers {
            request = request.header(name, value.reveal().to_string());
        }
        let Ok(answer) = request.header(ACCEPT_ENCODING, "gzip").body(asked.to_string()).send().await else { return };
        let gzip = answer.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        self.info("gzip", if gzip { "answers are compressed" } else { "answers are not compressed" });
    }
}

/// Whether the WebSocket opens and announces what the chain does; a hint only, so its absence is no failure.
pub async fn bell(served: &Served, endpoint: &Endpoint, name: &str) -> Lines {
    let mut lines = Lines::default();
    let Some(doorbell) = endpoint.doorbell() else { return lines };
    let bell = Arc::new(Notify::new());
    let todo = "correct ws, or leave it out: new blocks are found by polling";
    let listening = async {
        let connected = tokio::time::timeout(BELL_WITHIN, bell.notified()).await.is_ok();
        if !connected {
            return lines.warn("websocket", name, "does not connect", todo);
        }
        let block = Duration::from_millis(served.facts.block_time_ms);
        let patience = Instant::now() + (block * 2 * u32::try_from(BLOCKS_UNHEARD).unwrap_or(2)).min(SILENCE_MAX);
        let Ok(before) = nodes::head(served, endpoint).await else {
            return lines.fine("websocket", name, "connected and subscribed");
        };
        loop {
            tokio::select! {
                () = bell.notified() => return lines.fine("websocket", name, "connected, and announces blocks"),
                () = tokio::time::sleep(LOOK) => {}
                () = sleep_until(patience) => {
                    return lines.fine("websocket", name, "connected and subscribed; no block came meanwhile");
                }
            }
            // Who does not say where it stands cannot be held to it.
            let Ok(now) = nodes::head(served, endpoint).await else {
                return lines.fine("websocket", name, "connected and subscribed");
            };
            let passed = now.saturating_sub(before);
            if passed > BLOCKS_UNHEARD {
                let said = format!("connected and silent, while {passed} blocks came");
                return lines.warn("websocket", name, said, todo);
            }
        }
    };
    tokio::select! {
        () = listening => {}
        never = doorbell.ring(bell.clone()) => match never {},
    }
    lines
}
