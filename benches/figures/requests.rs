//! What following a busy network asks of its nodes: requests, questions and bytes a block, against a plain follower.
//!
//! No clock is read: the counts are the same on every machine. The chain is invented, its hashes are true, and its
//! blooms are as full as those of Ethereum's busiest blocks, so that a bloom says "maybe" as often as it does there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, keccak256};
use amn_core::block::BlockRef;
use amn_evm::source::EvmSource;
use amn_evm::testkit::{Call, History, Node, Traffic};
use amn_scanner::follower::{Follower, Outcome};
use serde_json::{Value, json};

use crate::ground::{DUE, Ground, TOKENS, follower, network, open_intents, receiver};
use crate::{Size, figure};

/// The chain's id, as the network's file says.
const CHAIN_ID: u64 = 7_777;
/// Logs of a block: a busy network's.
const LOGS: u64 = 200;
/// Every so-manieth block pays an intent of ours, where there is one.
const PAID_EVERY: u64 = 25;
/// `finalized` stands so far below the tip and moves in such steps, as on Ethereum.
const FINAL_BELOW: u64 = 64;
const EPOCH: u64 = 32;

/// The numbers of open intents that are compared.
const INTENTS: [u64; 4] = [0, 1, 30, 1_000];

pub async fn run(size: Size) {
    let ground = Ground::open().await;
    let blocks = size.pick(200, 25);
    println!("{}", fill());
    let plain = plain(blocks, 1).await;
    println!("| near the tip, by the block | requests | questions | kB | by method |");
    println!("|---|---|---|---|---|");
    println!("{}", plain.row("plain: getBlock and getLogs"));
    for intents in INTENTS {
        let (near, idle) = near(&ground, intents, blocks).await;
        println!("{}", near.row(&format!("{intents} open intents")));
        figure(&format!("a block near the tip, {intents} open intents"), &near.against(&plain), None);
        if intents == 1 {
            figure("a look at a chain that stands still", &idle.text(), None);
        }
    }
    let blocks = size.pick(400, 150);
    println!("| catching up, by the block | requests | questions | kB | by method |");
    println!("|---|---|---|---|---|");
    for intents in INTENTS {
        let caught_up = catching_up(&ground, intents, blocks).await;
        println!("{}", caught_up.row(&format!("{intents} open intents")));
        figure(&format!("a block of history, {intents} open intents"), &caught_up.against(&plain), None);
    }
    ground.close().await;
}

/// What one block, or one look, came to.
struct Cost {
    requests: f64,
    questions: f64,
    kilobytes: f64,
    methods: BTreeMap<String, f64>,
}

impl Cost {
    /// The traffic of all nodes, by so many blocks.
    fn of(traffic: impl IntoIterator<Item = Traffic>, blocks: u64) -> Self {
        let by = count(blocks);
        let (mut requests, mut bytes, mut methods) = (0, 0, BTreeMap::<String, u64>::new());
        for node in traffic {
            requests += node.requests;
            bytes += node.bytes;
            for (method, asked) in node.questions {
                *methods.entry(method).or_default() += asked;
            }
        }
        let questions = count(methods.values().sum()) / by;
        let methods = methods.into_iter().map(|(method, asked)| (method, count(asked) / by)).collect();
        Self { requests: count(requests) / by, questions, kilobytes: count(bytes) / 1_000.0 / by, methods }
    }

    fn text(&self) -> String {
        format!("{:.2} requests, {:.2} questions, {:.1} kB", self.requests, self.questions, self.kilobytes)
    }

    fn against(&self, plain: &Self) -> String {
        let ratio = |ours: f64, theirs: f64| ours / theirs;
        format!(
            "{}; {:.2}, {:.2} and {:.2} of a plain follower's",
            self.text(),
            ratio(self.requests, plain.requests),
            ratio(self.questions, plain.questions),
            ratio(self.kilobytes, plain.kilobytes),
        )
    }

    fn row(&self, name: &str) -> String {
        let methods: Vec<String> = self.methods.iter().map(|(method, asked)| format!("{method} {asked:.2}")).collect();
        let (requests, questions) = (self.requests, self.questions);
        format!("| {name} | {requests:.2} | {questions:.2} | {:.1} | {} |", self.kilobytes, methods.join(", "))
    }
}

/// A chain whose block 0 is there, and two nodes that serve it.
struct Stage {
    nodes: [Node; 2],
    paid: u64,
}

impl Stage {
    async fn new() -> Self {
        let mut history = History::new(CHAIN_ID);
        history.decimals = TOKENS.map(|token| (token, 6)).into();
        let history = Arc::new(Mutex::new(history));
        let one = Node::share(history.clone()).await.expect("a node");
        Self { nodes: [one, Node::share(history).await.expect("a node")], paid: 0 }
    }

    /// One more block; every so-manieth pays the next of so many intents.
    fn grow(&mut self, intents: u64) {
        let mut history = self.nodes[0].history();
        let height = history.tip().map_or(0, |tip| tip.at.height.0) + 1;
        let mut calls = busy(height);
        if intents > 0 && height.is_multiple_of(PAID_EVERY) {
            calls[7] = Call::token(TOKENS[0], receiver(self.paid % intents), u128::from(DUE));
            self.paid += 1;
        }
        history.extend(&calls);
        let end = |below: u64| height.saturating_sub(below) / EPOCH * EPOCH;
        history.finalized = Some(end(FINAL_BELOW));
        history.safe = Some(end(FINAL_BELOW / 2));
    }

    async fn follower(&self, pool: &sqlx::PgPool) -> Follower<EvmSource> {
        let urls = self.nodes.each_ref().map(Node::url);
        follower(pool, urls.each_ref().map(String::as_str)).await
    }

    fn take(&self) -> [Traffic; 2] {
        self.nodes.each_ref().map(Node::take_traffic)
    }
}

/// Transfers between strangers, each with a sender of its own.
fn busy(height: u64) -> Vec<Call> {
    let call = |at: u64| {
        let token = TOKENS[usize::try_from(at % 3).unwrap_or(0)];
        let mut call = Call::token(token, stranger(height * LOGS + at), u128::from(DUE));
        for log in &mut call.logs {
            log.topics[1] = stranger(u64::MAX - height * LOGS - at).into_word();
        }
        call
    };
    (0..LOGS).map(call).collect()
}

/// An address that nobody watches.
fn stranger(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[..20])
}

/// How full the blooms of these blocks are, and how often one recipient seems to be in them.
fn fill() -> String {
    let blooms: Vec<_> = (1..=20)
        .map(|height| {
            let logs: Vec<_> = busy(height).into_iter().flat_map(|call| call.logs).collect();
            amn_evm::bloom::of(&logs)
        })
        .collect();
    let bits: u32 = blooms.iter().map(|bloom| bloom.0.iter().map(|byte| byte.count_ones()).sum::<u32>()).sum();
    let filled = f64::from(bits) / 20.0 / 2_048.0;
    format!(
        "blooms of {LOGS} logs: {filled:.2} of their bits, so that one recipient seems to be in {:.1} %",
        filled.powi(3) * 100.0
    )
}

/// Follows a growing chain block by block, as the doorbell makes it; then looks at it standing still.
async fn near(ground: &Ground, intents: u64, blocks: u64) -> (Cost, Cost) {
    let mut stage = Stage::new().await;
    let (pool, _) = ground.database("amn_requests").await;
    open_intents(&pool, &network().facts, intents).await;
    let mut follower = stage.follower(&pool).await;
    stage.grow(intents);
    settle(&mut follower).await;
    stage.take();
    for _ in 0..blocks {
        stage.grow(intents);
        assert_eq!(follower.round().await.expect("a round"), Outcome::Idle, "one look is enough for a block");
    }
    let near = Cost::of(stage.take(), blocks);
    check(&pool, &stage).await;
    let looks = 10;
    for _ in 0..looks {
        assert_eq!(follower.round().await.expect("a round"), Outcome::Idle);
    }
    let idle = Cost::of(stage.take(), looks);
    pool.close().await;
    (near, idle)
}

/// Reads a chain that was there before, most of it final.
async fn catching_up(ground: &Ground, intents: u64, blocks: u64) -> Cost {
    let mut stage = Stage::new().await;
    let (pool, _) = ground.database("amn_requests").await;
    open_intents(&pool, &network().facts, intents).await;
    let mut follower = stage.follower(&pool).await;
    for _ in 0..blocks {
        stage.grow(intents);
    }
    // All of it: what is near the tip has figures of its own.
    let end = stage.nodes[0].history().tip().map(|tip| tip.at.height.0);
    stage.nodes[0].history().finalized = end;
    stage.take();
    settle(&mut follower).await;
    let cost = Cost::of(stage.take(), blocks);
    check(&pool, &stage).await;
    pool.close().await;
    cost
}

async fn settle(follower: &mut Follower<EvmSource>) {
    while follower.round().await.expect("a round") == Outcome::Advanced {}
}

/// What was paid is known, with proof: a thrifty follower that misses money is no figure.
async fn check(pool: &sqlx::PgPool, stage: &Stage) {
    let tip: (i64, Vec<u8>) =
        sqlx::query_as("select tip_height, tip_hash from amn.network").fetch_one(pool).await.expect("the tip");
    let end: Option<BlockRef> = stage.nodes[0].history().tip().map(|tip| tip.at);
    let hash: [u8; 32] = tip.1.try_into().expect("a hash");
    assert_eq!(end.map(|end| (i64::try_from(end.height.0), end.hash.0)), Some((Ok(tip.0), hash)));
    let proven: i64 = sqlx::query_scalar("select count(*) from amn.deposit where inclusion = 'proven'")
        .fetch_one(pool)
        .await
        .expect("the deposits");
    assert_eq!(u64::try_from(proven), Ok(stage.paid), "every payment is there, proven");
}

/// A follower as most are written: at each head the block, then the logs of the tokens in it. It proves nothing.
async fn plain(blocks: u64, intents: u64) -> Cost {
    let mut stage = Stage::new().await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = stage.nodes[0].url();
    let ask = async |method: &str, params: Value| {
        let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = client.post(&url).body(question.to_string()).send().await.expect("an answer");
        serde_json::from_slice::<Value>(&answer.bytes().await.expect("a body")).expect("JSON")["result"].take()
    };
    let mut found = 0;
    for _ in 0..blocks {
        stage.grow(intents);
        let block = ask("eth_getBlockByNumber", json!(["latest", false])).await;
        let filter = json!([{
            "fromBlock": block["number"], "toBlock": block["number"], "address": TOKENS,
            "topics": [amn_evm::decode::TRANSFER],
        }]);
        let logs = ask("eth_getLogs", filter).await;
        let ours = |log: &&Value| (0..intents).any(|intent| log["topics"][2] == json!(receiver(intent).into_word()));
        found += logs.as_array().map_or(0, |logs| logs.iter().filter(ours).count());
    }
    assert_eq!(found as u64, stage.paid, "it finds the same");
    Cost::of(stage.take(), blocks)
}

#[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
fn count(of: u64) -> f64 {
    of as f64
}
