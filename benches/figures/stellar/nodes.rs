//! Nodes in a process of their own, two before one history of invented ledgers as full as the public network's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use amn_core::block::Hash;
use amn_soroban::address::Place;
use amn_soroban::testkit::{Asset, History, Memo, Node, Tx, busy, plain};
use serde_json::{Value, json};

use super::ledgers::{Asks, money, network, validators};

/// Every so-manieth ledger pays one intent of ours.
pub const PAID_EVERY: u32 = 5;

/// What each of them pays, in stroops.
pub const DUE: i64 = 25_000_000;

/// The receiving address of an intent.
pub fn receiver(index: u32) -> Place {
    let mut key = [0xa0; 32];
    key[..4].copy_from_slice(&index.to_be_bytes());
    Place::Account(key)
}

/// The process with the nodes. Killed when it is dropped.
#[derive(Debug)]
pub struct Nodes {
    child: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
    pub urls: [String; 2],
    pub tip: (u64, Hash),
}

impl Nodes {
    /// Starts the process, which invents so many ledgers first.
    pub fn start(ledgers: u32) -> Self {
        let binary = std::env::current_exe().expect("our own program");
        let mut child = Command::new(binary)
            .arg("stellar-nodes")
            .arg(ledgers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the nodes start");
        let asks = child.stdin.take().expect("its ear");
        let mut says = BufReader::new(child.stdout.take().expect("its words"));
        let said = line(&mut says);
        let url = |at: usize| said["urls"][at].as_str().expect("a URL").to_owned();
        let hash = said["hash"].as_str().and_then(|text| text.parse().ok()).expect("a hash");
        let tip = (said["tip"].as_u64().expect("a number"), hash);
        Self { child, asks, urls: [url(0), url(1)], tip, says }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Requests and bytes that both answered since this was last asked.
    pub fn take_traffic(&mut self) -> (u64, u64) {
        writeln!(self.asks, "traffic").expect("it hears");
        let said = line(&mut self.says);
        (said["requests"].as_u64().unwrap_or_default(), said["bytes"].as_u64().unwrap_or_default())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(says: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    says.read_line(&mut line).expect("the nodes speak");
    serde_json::from_str(&line).expect("JSON")
}

/// Invents the ledgers and serves them until nobody listens any more.
pub async fn serve(ledgers: u32) -> ExitCode {
    let network = network(Asks::TwoOperators);
    let money = money(&network);
    let mut history = History::new(&network.passphrase, 26).closed_by(validators());
    for number in 0..ledgers {
        let mut transactions = busy::strangers(busy::TRANSACTIONS, u64::from(number), &money);
        if number % PAID_EVERY == PAID_EVERY - 1 {
            let index = number / PAID_EVERY;
            let paid = Tx::of(Place::Account([0xfa; 32])).memo(Memo::Id(u64::from(index)));
            transactions.push(paid.pay(plain(receiver(index)), &Asset::Native, DUE));
        }
        let by = &validators()[number as usize % 3];
        let closed = busy::shown(history.chain.close(&transactions, by));
        history.push(&closed);
    }
    let tip = history.tip().expect("a ledger").at;
    let shared = Arc::new(Mutex::new(history));
    let one = Node::share(shared.clone()).await.expect("a node");
    let two = Node::share(shared).await.expect("a node");
    println!("{}", json!({"urls": [one.url(), two.url()], "tip": tip.height.0, "hash": tip.hash}));
    // Each question is a line, until the other side is gone.
    let said = tokio::task::spawn_blocking(move || {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            let (one, two) = (one.take_traffic(), two.take_traffic());
            println!("{}", json!({"requests": one.requests + two.requests, "bytes": one.bytes + two.bytes}));
        }
    });
    let _ = said.await;
    ExitCode::SUCCESS
}
