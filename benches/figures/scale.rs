//! Scale: one block of 200 transfers, ten of them ours, with a thousand and with a million open intents.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use amn_core::block::{Block, BlockRef, Evidence, Hash, Header, Height, Inclusion, Operator};
use amn_core::engine::Input;
use amn_core::network::SharedFacts;
use amn_core::source::{Coverage, Segment, Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use amn_evm::testkit::{Call, History};
use amn_evm::wire::{WireReceipt, parse_receipts};
use amn_scanner::clock::{Clock as _, SystemClock};
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts;
use amn_scanner::stage::process::{Api, Daemon};
use amn_scanner::store::decide::Desk;
use sqlx::PgPool;

use crate::ground::{DUE, Ground, TOKENS, folder, network, open_intents, open_intents_of, receiver};
use crate::meter::{memory_mb, percentile};
use crate::{Size, figure};

const FEW: u64 = 1_000;
/// Logs of a block, and how many of them are ours.
const LOGS: u64 = 200;
const OURS: u64 = 10;

pub async fn run(size: Size) {
    let many = size.pick(1_000_000, 20_000);
    let ground = Ground::open().await;
    blocks(&ground, size, many).await;
    memory(&ground, many).await;
    ground.close().await;
}

/// The same blocks for a daemon with few open intents and for one with many, in turns.
async fn blocks(ground: &Ground, size: Size, many: u64) {
    let blocks = size.pick(90, 10);
    let network = network();
    let mut sides = Vec::new();
    for (name, intents) in [("amn_few", FEW), ("amn_many", many)] {
        let (pool, _) = ground.database(name).await;
        let began = Instant::now();
        open_intents(&pool, &network.facts, intents).await;
        println!("{intents} intents opened in {:.1} s", began.elapsed().as_secs_f64());
        sides.push(Side::new(pool, network.facts.clone(), intents).await);
    }
    let mut history = History::new(7_777);
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..blocks {
        // Which of the many is paid is scattered over all of them; the few have every index to themselves.
        // In turns, so that neither always meets what the other left in the caches.
        for turn in 0..2 {
            let at = usize::from(number % 2 == 1) ^ turn;
            let (side, times) = (&mut sides[at], &mut times[at]);
            let calls: Vec<Call> = (0..LOGS).map(|at| side.call(number, at)).collect();
            let mut branch = history.clone();
            branch.extend(&calls);
            let made = branch.tip().expect("the block");
            let receipts = parse_receipts(made.receipts.as_bytes()).expect("receipts");
            let header = Header {
                at: BlockRef { height: Height(number + 1), hash: made.at.hash },
                parent: Hash([0; 32]),
                time: Timestamp::from_seconds(1_700_000_001 + i64::try_from(number).unwrap_or(0)),
            };
            let milliseconds = side.apply(&network.registry, header, &receipts).await;
            // The first blocks warm caches and prepare statements.
            if number >= blocks / 10 {
                times.push(milliseconds);
            }
        }
        history.pass(1);
        history.blocks.clear();
        history.known.clear();
    }
    for side in sides {
        side.check(blocks).await;
        side.pool.close().await;
    }
    let [few, most] = &mut times;
    // On a machine that others disturb, the quickest tenth tells more than the median.
    let quick = percentile(most, 10) / percentile(few, 10);
    let (few, most) = (percentile(few, 50), percentile(most, 50));
    let (ratio, counted) = (most / few, blocks - blocks / 10);
    let text =
        format!("{ratio:.2} times ({few:.2} and {most:.2} ms, median of {counted} blocks; quickest tenth {quick:.2})");
    figure(&format!("a block with {many} open intents against {FEW}"), &text, Some(("≤ 1.3", ratio <= 1.3)));
}

/// One database, its desk and the watches it looks with.
struct Side {
    pool: PgPool,
    desk: Desk,
    watch: Watch,
    intents: u64,
    tip: Header,
}

impl Side {
    async fn new(pool: PgPool, facts: SharedFacts, intents: u64) -> Self {
        let mut desk = Desk::new(pool.clone(), facts);
        let tip = Header {
            at: BlockRef { height: Height(0), hash: Hash([0xff; 32]) },
            parent: Hash([0; 32]),
            time: Timestamp::from_seconds(1_700_000_000),
        };
        desk.decide(&Input::Start(tip), SystemClock.now()).await.expect("the ledger begins");
        let mut watch = Watch::new(WatchVersion(intents));
        for index in 0..intents {
            watch.insert(receiver(index).as_slice(), false);
        }
        Self { pool, desk, watch, intents, tip }
    }

    /// The call at a place of a block: every twentieth pays an intent that was not paid before.
    fn call(&self, number: u64, at: u64) -> Call {
        let to = if at.is_multiple_of(LOGS / OURS) {
            let paid = number * OURS + at / (LOGS / OURS);
            // Coprime to both sizes: every index comes once before any comes again.
            receiver(paid * 7_919 % self.intents)
        } else {
            receiver(1 << 40 | (number * LOGS + at))
        };
        Call::token(TOKENS[0], to, u128::from(DUE))
    }

    /// Decodes and decides; milliseconds until it is committed.
    async fn apply(&mut self, registry: &amn_evm::decode::Registry, header: Header, receipts: &[WireReceipt]) -> f64 {
        let header = Header { parent: self.tip.at.hash, ..header };
        let began = Instant::now();
        let reading = amn_evm::decode::block(registry, &self.watch, &[], receipts);
        assert_eq!(reading.transfers.len() as u64, OURS, "ten are ours");
        let operators: BTreeSet<Operator> = ["alpha", "beta"].map(Operator::new).into();
        let block = Block {
            header,
            transfers: reading.transfers,
            takebacks: Vec::new(),
            contract_events: Vec::new(),
            observations: reading.observations,
            evidence: Evidence { inclusion: Inclusion::Proven, operators: operators.clone(), attestations: None },
        };
        let segment = Segment {
            parent: self.tip.at,
            blocks: vec![block],
            tip: header,
            coverage: Coverage::Linked,
            watched: self.watch.version,
            operators,
            read_by: None,
            checkpoint: Vec::new(),
        };
        let decision = self.desk.decide(&Input::Extend(segment), SystemClock.now()).await.expect("a decision");
        let took = began.elapsed();
        assert_eq!(decision.events() as u64, OURS, "ten are told");
        self.tip = header;
        // What the network calls final settles them, outside of the time, as it comes with later blocks.
        let finalized = Some(header.at);
        let input = Input::Finality { safe: finalized, finalized, vouchers: Vec::new() };
        self.desk.decide(&input, SystemClock.now()).await.expect("finality");
        took.as_secs_f64() * 1_000.0
    }

    async fn check(&self, blocks: u64) {
        let confirmed: i64 = sqlx::query_scalar("select count(*) from amn.intent where status = 'confirmed'")
            .fetch_one(&self.pool)
            .await
            .expect("the intents");
        assert_eq!(u64::try_from(confirmed), Ok(blocks * OURS), "every payment is confirmed");
    }
}

/// The daemon's own process with so many open intents.
async fn memory(ground: &Ground, many: u64) {
    let chain = Anvil::start(Rules::default()).await.expect("anvil");
    let payer = chain.account(0).await.expect("an account");
    let token =
        chain.deploy(payer, &contracts::token("USD Coin", "USDC", 6).expect("a token")).await.expect("deployed");
    let (pool, options) = ground.database("amn_memory").await;
    let config = folder().join("memory.toml");
    let network = crate::latency::network_table(&chain, token, "poll_ms = 100", false);
    let (api, text) = crate::latency::config(sqlx::ConnectOptions::to_url_lossy(&options).as_ref(), &network).await;
    std::fs::write(&config, text).expect("the configuration");
    let mut daemon = start(&config, api.clone()).await;
    let empty = settled_memory(&daemon).await;
    daemon.stop().await.expect("it stops");
    open_intents_of(&pool, "devnet", &format!("eip155:31337/erc20:{token}"), many).await;
    let mut daemon = start(&config, api).await;
    until_watched(&pool, &daemon, many).await;
    let full = settled_memory(&daemon).await;
    daemon.stop().await.expect("it stops");
    chain.stop().await;
    pool.close().await;
    figure(
        &format!("memory of the daemon with {many} open intents"),
        &format!("{full} MB ({empty} MB with none)"),
        None,
    );
}

async fn start(config: &std::path::Path, api: Api) -> Daemon {
    let binary = env!("CARGO_BIN_EXE_amn-scanner").as_ref();
    Daemon::start(binary, config, &folder().join("memory.log"), api).await.expect("the daemon")
}

/// Memory once the first seconds of work are over.
async fn settled_memory(daemon: &Daemon) -> u64 {
    tokio::time::sleep(Duration::from_secs(3)).await;
    memory_mb(daemon.id().expect("it runs"))
}

/// Waits until the daemon says that it watches all of them.
async fn until_watched(_pool: &PgPool, daemon: &Daemon, many: u64) {
    for _ in 0..600 {
        let metrics = daemon.api().get("/metrics").await.map(|text| text.to_string()).unwrap_or_default();
        let watched = metrics
            .split("amn_watched_addresses{")
            .nth(1)
            .and_then(|rest| rest.split("} ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok());
        if watched == Some(many) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the daemon does not come to watch {many} addresses");
}
