//! Latency on a live chain at one block a second: from the head being there to the event at the receiver, and the CPU
//! of a webhook, Postgres included.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts;
use amn_scanner::stage::process::{Api, Daemon};
use amn_scanner::stage::receiver::{Heard, Receiver};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use sqlx::ConnectOptions as _;
use tokio_tungstenite::tungstenite::Message;

use crate::ground::{DUE, Ground, folder, open_intents_of, receiver};
use crate::meter::{cpu, percentile, postgres_cpu};
use crate::{Size, figure};

const KEY: &str = "operator-key-of-the-figures-0123456789-abcdefgh";

/// Payments in every block, as in the other figures.
const PER_BLOCK: u64 = 10;

/// How the daemon hears of a new head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    WebSocket,
    /// Asking every so many milliseconds.
    Polling(u64),
}

pub async fn run(size: Size) {
    let blocks = size.pick(200, 15);
    let ground = Ground::open().await;
    play(&ground, blocks, PER_BLOCK, Hint::WebSocket).await;
    play(&ground, blocks / 4, 1, Hint::WebSocket).await;
    play(&ground, blocks / 2, PER_BLOCK, Hint::Polling(100)).await;
    ground.close().await;
}

async fn play(ground: &Ground, blocks: u64, per_block: u64, hint: Hint) {
    let chain = Anvil::start(Rules::default()).await.expect("anvil");
    let payer = chain.account(0).await.expect("an account");
    let token =
        chain.deploy(payer, &contracts::token("USD Coin", "USDC", 6).expect("a token")).await.expect("deployed");
    chain.send(payer, token, &contracts::mint(payer, u128::from(u64::MAX)), 0).await.expect("minted");
    chain.mine(1).await.expect("a block");
    let (hearing, serve) = Receiver::bind().await.expect("the receiver");
    #[expect(clippy::disallowed_methods, reason = "a figure has no supervisor")]
    let serving = tokio::spawn(serve);

    let (pool, options) = ground.database("amn_latency").await;
    let how = match hint {
        Hint::WebSocket => "poll_ms = 1000".to_owned(),
        Hint::Polling(every) => format!("poll_ms = {every}"),
    };
    let network = network_table(&chain, token, &how, hint == Hint::WebSocket);
    let (api, text) = config(options.to_url_lossy().as_ref(), &network).await;
    let file = folder().join("latency.toml");
    std::fs::write(&file, text).expect("the configuration");
    let binary: &Path = env!("CARGO_BIN_EXE_amn-scanner").as_ref();
    let mut daemon = Daemon::start(binary, &file, &folder().join("latency.log"), api).await.expect("the daemon");
    let secret = daemon.api().endpoint(Some("seller"), &hearing.url()).await.expect("an endpoint");
    hearing.trust(&secret);
    let warm = 5;
    open_intents_of(&pool, "devnet", &format!("eip155:31337/erc20:{token}"), (blocks + warm) * per_block).await;
    let heads = Heads::follow(&chain).await;

    let (daemon_id, postmaster) = (daemon.id().expect("it runs"), ground.postmaster());
    let mut next = tokio::time::interval(Duration::from_secs(1));
    let (mut used, mut heard_before, mut began) = ((0, 0), 0, Instant::now());
    let mut available: BTreeMap<u64, Instant> = BTreeMap::new();
    for number in 0..blocks + warm {
        next.tick().await;
        if number == warm {
            used = (cpu(daemon_id), postgres_cpu(postmaster));
            (heard_before, began) = (hearing.heard().len(), Instant::now());
        }
        for at in 0..per_block {
            let to: Address = receiver(number * per_block + at);
            chain.send(payer, token, &contracts::transfer(to, u128::from(DUE)), 0).await.expect("a payment");
        }
        chain.mine(1).await.expect("a block");
        available.insert(chain.height().await.expect("its height"), Instant::now());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let all = heads.all();
    for (height, at) in &mut available {
        // Whichever came first: the notification, or the end of the call that made the block.
        *at = all.get(height).map_or(*at, |seen| *seen.min(at));
    }
    let spent = (cpu(daemon_id) - used.0, postgres_cpu(postmaster) - used.1);
    let heard = hearing.heard();
    let seconds = began.elapsed().as_secs_f64();
    daemon.stop().await.expect("it stops");
    chain.stop().await;
    pool.close().await;
    serving.abort();

    assert!(heard.iter().all(|heard| heard.signed), "every signature holds");
    let mut waits = waits(&heard, &available, u64::try_from(available.len()).unwrap_or(0) - blocks);
    assert_eq!(waits.len() as u64, blocks * per_block, "every payment was told");
    let webhooks = heard.len() - heard_before;
    report(hint, per_block, &mut waits, webhooks, spent, seconds);
}

/// Milliseconds from head to receiver of every first telling, without those of the first blocks.
fn waits(heard: &[Heard], available: &BTreeMap<u64, Instant>, warm: u64) -> Vec<f64> {
    let first = available.keys().nth(usize::try_from(warm).unwrap_or(0)).copied().unwrap_or(0);
    heard
        .iter()
        .filter(|heard| heard.event == "payment.detected")
        .filter_map(|heard| {
            let body = heard.json();
            let height: u64 = body["deposits"][0]["block"]["height"].as_str()?.parse().ok()?;
            let at = available.get(&height).filter(|_| height >= first)?;
            Some(heard.at.saturating_duration_since(*at).as_secs_f64() * 1_000.0)
        })
        .collect()
}

fn report(hint: Hint, per_block: u64, waits: &mut [f64], webhooks: usize, spent: (u64, u64), seconds: f64) {
    let (half, most) = (percentile(waits, 50), percentile(waits, 99));
    #[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
    let each = |milliseconds: u64| milliseconds as f64 / webhooks.max(1) as f64;
    let how = match hint {
        Hint::WebSocket => "by WebSocket".to_owned(),
        Hint::Polling(every) => format!("polling every {every} ms"),
    };
    let text = format!("p50 {half:.1} ms, p99 {most:.1} ms, of {} payments", waits.len());
    #[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
    let (goal, met) = match hint {
        Hint::WebSocket => ("p50 ≤ 15 ms, p99 ≤ 50 ms".to_owned(), half <= 15.0 && most <= 50.0),
        Hint::Polling(every) => (format!("p50 ≤ {} ms", 15 + every / 2), half <= 15.0 + every as f64 / 2.0),
    };
    figure(&format!("head to receiver, {how}, {per_block} payments a block"), &text, Some((&goal, met)));
    let both = each(spent.0 + spent.1);
    let text = format!(
        "{both:.2} ms (daemon {:.2}, Postgres {:.2}; {webhooks} webhooks in {seconds:.0} s)",
        each(spent.0),
        each(spent.1)
    );
    let goal = (per_block > 1 && hint == Hint::WebSocket).then_some(("≤ 1.5 ms", both <= 1.5));
    figure(&format!("CPU per webhook, {how}, {per_block} payments a block"), &text, goal);
}

/// The table of the network in the daemon's configuration.
pub fn network_table(chain: &Anvil, token: Address, how: &str, ws: bool) -> String {
    let ws = if ws { format!("ws = \"{}\"", chain.ws_url()) } else { String::new() };
    format!(
        r#"
        [networks.devnet]
        single_operator = "accepted"
        {how}
        [[networks.devnet.tokens]]
        address = "{token}"
        symbol = "USDC"
        decimals = 6
        min_amount = "1"
        [[networks.devnet.endpoints]]
        name = "anvil"
        url = "{}"
        {ws}
        operator = "anvil"
        "#,
        chain.url()
    )
}

/// A client of the daemon that this configuration describes.
pub async fn config(database: &str, network: &str) -> (Api, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let text = format!(
        r#"
        environment = "development"
        [server]
        listen = "127.0.0.1:{port}"
        [database]
        url = "{database}"
        [webhooks]
        allow_insecure_webhooks = true
        [auth]
        operator_key = "{KEY}"
        {network}
        "#
    );
    (Api::new(format!("http://127.0.0.1:{port}"), KEY).expect("a client"), text)
}

/// Hears of new heads by itself, as the daemon's doorbell does.
struct Heads(Arc<Mutex<BTreeMap<u64, Instant>>>);

impl Heads {
    async fn follow(chain: &Anvil) -> Self {
        let (mut socket, _) = tokio_tungstenite::connect_async(chain.ws_url()).await.expect("a WebSocket");
        let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
        socket.send(Message::text(ask.to_string())).await.expect("a subscription");
        let heads = Self(Arc::default());
        let seen = heads.0.clone();
        #[expect(clippy::disallowed_methods, reason = "a figure has no supervisor")]
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                let at = Instant::now();
                let Ok(text) = message.to_text() else { continue };
                let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
                let number = said["params"]["result"]["number"].as_str().unwrap_or_default();
                if let Ok(height) = u64::from_str_radix(number.trim_start_matches("0x"), 16) {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).entry(height).or_insert(at);
                }
            }
        });
        heads
    }

    fn all(&self) -> BTreeMap<u64, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
