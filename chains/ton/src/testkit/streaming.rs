//! A stream of what happens to accounts, as toncenter and tonapi have one: it tells from now on, and of what was before
//! it says nothing.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::fault::Fault;
use super::node::{Served, lock};
use super::shape;
use super::view::View;
use crate::address::{self, Account, Realm};

/// How often a history is looked at: it tells nobody that it goes on.
const LOOK: Duration = Duration::from_millis(5);

/// What it is counted under.
const ROUTE: &str = "streaming/ws";

/// Words that say nothing.
const NOISE: [&str; 3] = [r#"{"status":"pong"}"#, "\u{feff}", r#"{"id":"7","status":"ok"}"#];

type Socket = WebSocketStream<BufReader<TcpStream>>;

/// Serves one line until it is over.
pub(super) async fn serve(mut stream: BufReader<TcpStream>, key: &str, served: &Served) {
    let faults = served.faults(ROUTE);
    let is = |wanted: fn(&Fault) -> bool| faults.iter().any(wanted);
    if is(|fault| matches!(fault, Fault::TooManyRequests { .. })) {
        // Two lines are as many as any plan has.
        let _ = stream.write_all(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    if is(|fault| matches!(fault, Fault::Silent)) {
        return std::future::pending().await;
    }
    // Whoever hangs up ends it.
    let _ = tell(socket, served, &faults).await;
}

async fn tell(mut socket: Socket, served: &Served, faults: &[Fault]) -> Option<()> {
    let mut watched: Vec<Account> = Vec::new();
    let mut told = reach(served, faults);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            said = socket.next() => match said?.ok()? {
                Message::Text(text) => {
                    let wish: Value = serde_json::from_str(text.as_str()).ok()?;
                    let addresses = wish["addresses"].as_array().into_iter().flatten();
                    watched.extend(addresses.filter_map(|one| address::parse(one.as_str()?, Realm::Testnet).ok()));
                    socket.send(Message::text(json!({ "id": wish["id"], "status": "subscribed" }).to_string())).await.ok()?;
                }
                Message::Close(_) => return None,
                _ => {}
            },
            _ = look.tick() => {
                for message in news(served, faults, &watched, &mut told) {
                    if faults.iter().any(|fault| matches!(fault, Fault::Noise)) {
                        for noise in NOISE {
                            socket.send(Message::text(noise)).await.ok()?;
                        }
                        socket.send(Message::Ping("noise".into())).await.ok()?;
                    }
                    socket.send(Message::text(message)).await.ok()?;
                    if faults.iter().any(|fault| matches!(fault, Fault::CutOff)) {
                        return None;
                    }
                }
            }
        }
    }
}

fn reach(served: &Served, faults: &[Fault]) -> u32 {
    View::new(&lock(&served.history), faults).reach
}

/// What happened to these accounts since.
fn news(served: &Served, faults: &[Fault], watched: &[Account], told: &mut u32) -> Vec<String> {
    let history = lock(&served.history);
    let view = View::new(&history, faults);
    let (from, to) = (*told, view.reach);
    *told = to;
    let lives = watched.iter().flat_map(|account| view.life(account));
    let new = lives.filter(|kept| kept.height > from && kept.height <= to);
    new.map(|kept| {
        json!({
            "type": "account_state_change",
            "finality": "finalized",
            "account": shape::upper(&kept.account),
            "state": {
                "hash": shape::hash64(&kept.at.hash),
                "balance": "0",
                "account_status": shape::status(kept.ends),
                "last_transaction_lt": kept.at.lt.to_string(),
            },
        })
        .to_string()
    })
    .collect()
}
