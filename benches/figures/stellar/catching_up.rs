//! The whole daemon on a node's history: the real source, follower and desk, from its first ledger to its last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amn_core::block::{Height, NetworkId, Operator};
use amn_core::source::ChainSource as _;
use amn_rpc::{EndpointConfig, Pool};
use amn_scanner::clock::SystemClock;
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::store;
use amn_scanner::store::decide::Desk;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::source::SorobanSource;
use sqlx::PgPool;
use tokio::sync::Notify;

use super::ledgers::{Asks, network};
use super::nodes::{DUE, Nodes, PAID_EVERY, receiver};
use super::{count, rate_figure};
use crate::ground::Ground;
use crate::meter::{Watcher, cpu, postgres_cpu};
use crate::{Size, figure};

/// Open intents: those that are paid, and others.
const INTENTS: u32 = 1_000;

pub async fn run(size: Size) {
    let ground = Ground::open().await;
    let ledgers = size.pick(300, 40);
    let mut nodes = Nodes::start(ledgers);
    for (asks, how) in
        [(Asks::TwoOperators, "two operators"), (Asks::TwoAttestations, "one operator and two attestations")]
    {
        catch_up(&ground, &mut nodes, ledgers, asks, how).await;
    }
    drop(nodes);
    ground.close().await;
}

async fn catch_up(ground: &Ground, nodes: &mut Nodes, ledgers: u32, asks: Asks, how: &str) {
    let network = network(asks);
    let (pool, _) = ground.database("amn_stellar").await;
    open_intents(&pool, &network).await;
    let mut follower = follower(&pool, network, nodes, asks).await;
    let postmaster = ground.postmaster();
    let used = || [cpu(std::process::id()), postgres_cpu(postmaster), cpu(nodes.id())];
    let before = used();
    let watcher = Watcher::start(postmaster);
    let began = Instant::now();
    loop {
        match follower.round().await.expect("a round") {
            Outcome::Advanced => {}
            Outcome::Idle => break,
            other => panic!("the follower stopped: {other:?}"),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let (shares, after) = (watcher.end(), used());
    let (requests, bytes) = nodes.take_traffic();
    check(&pool, nodes, ledgers, asks).await;
    pool.close().await;
    let spent = |at: usize| count(after[at] - before[at]) / count(u64::from(ledgers));
    println!(
        "{how}: {ledgers} ledgers in {seconds:.2} s; on a CPU: {}; ms of CPU a ledger: ours {:.1}, Postgres {:.1}, nodes {:.1}",
        shares.text(),
        spent(0),
        spent(1),
        spent(2)
    );
    let rate = f64::from(ledgers) / seconds;
    rate_figure(&format!("Stellar through the whole daemon with Postgres, {how}, {INTENTS} open intents"), rate);
    let of = |all: u64| count(all) / count(u64::from(ledgers));
    let text =
        format!("{:.2} requests, {:.0} kB a ledger, {:.1} ms of CPU", of(requests), of(bytes) / 1_000.0, spent(0));
    figure(&format!("what that asks of the nodes and of us, {how}"), &text, None);
}

async fn follower(pool: &PgPool, network: SorobanNetwork, nodes: &Nodes, asks: Asks) -> Follower<SorobanSource> {
    let facts = network.facts.clone();
    let endpoints = nodes.urls.iter().zip(["alpha", "beta"]).take(match asks {
        Asks::TwoOperators => 2,
        Asks::TwoAttestations => 1,
    });
    let endpoints = endpoints.map(|(url, name)| EndpointConfig::new(name, url.as_str(), Operator::new(name)));
    let pool_of_nodes = Pool::new(NetworkId::new("bench"), endpoints.collect()).expect("endpoints");
    let source = SorobanSource::new(pool_of_nodes, network);
    // Histories of the kit begin here: their checkpoint is ledger 1,000.
    let start = source.header_at(Height(1_001)).await.expect("the first ledger").at;
    let mut follower = Follower::new(Parts {
        source,
        desk: Desk::new(pool.clone(), facts),
        pool: pool.clone(),
        clock: Arc::new(SystemClock),
        bell: Arc::new(Notify::new()),
        told: Arc::new(Notify::new()),
        holder: uuid::Uuid::from_u128(1),
        poll: Duration::from_millis(50),
        raw: |address| amn_soroban::address::raw(address).map(|raw| raw.to_vec()),
        start: Some(start),
        balance_check: None,
    });
    assert_eq!(follower.round().await.expect("a first round"), Outcome::Advanced, "the ledger begins");
    follower
}

/// Through the door that backends use.
async fn open_intents(pool: &PgPool, network: &SorobanNetwork) {
    let facts = &network.facts;
    store::network::register(pool, "soroban", facts, None).await.expect("the network");
    let asset = facts.assets.iter().find(|asset| asset.native).expect("its own money").id.to_string();
    let addresses: Vec<String> = (0..INTENTS).map(|index| receiver(index).spell().to_string()).collect();
    let statement = "select amn.create_intent('seller', $1, $2, $3::bigint, a, 'none') from unnest($4::text[]) a";
    sqlx::query(statement)
        .bind(facts.id.as_str())
        .bind(asset)
        .bind(DUE)
        .bind(addresses)
        .execute(pool)
        .await
        .expect("intents");
}

/// Everything that was paid is settled: a fast answer that is wrong is no figure.
async fn check(pool: &PgPool, nodes: &Nodes, ledgers: u32, asks: Asks) {
    let tip: (i64, Vec<u8>) =
        sqlx::query_as("select tip_height, tip_hash from amn.network").fetch_one(pool).await.expect("the tip");
    match asks {
        Asks::TwoOperators => {
            let ours = (u64::try_from(tip.0), tip.1.as_slice());
            assert_eq!(ours, (Ok(nodes.tip.0), &nodes.tip.1.0[..]), "it stands on the tip");
        }
        // One operator alone is believed as far as validators have built.
        Asks::TwoAttestations => assert!(nodes.tip.0 - u64::try_from(tip.0).expect("a height") <= 3, "{tip:?}"),
    }
    let statement = match asks {
        Asks::TwoOperators => {
            "select count(*) from amn.deposit where inclusion = 'proven' and status = 'settled'
            and cardinality(operators) >= 2"
        }
        Asks::TwoAttestations => {
            "select count(*) from amn.deposit where inclusion = 'proven' and status = 'settled'
            and attestations >= 2"
        }
    };
    let settled: i64 = sqlx::query_scalar(statement).fetch_one(pool).await.expect("the deposits");
    // Nobody has built on the newest ledgers yet: what they pay waits.
    let paid = i64::from(ledgers / PAID_EVERY);
    let all: i64 = sqlx::query_scalar("select count(*) from amn.deposit").fetch_one(pool).await.expect("the deposits");
    assert!((paid - i64::from(matches!(asks, Asks::TwoAttestations))..=paid).contains(&all), "every payment, once");
    let least = paid - i64::from(matches!(asks, Asks::TwoAttestations));
    assert!((least..=paid).contains(&settled), "{settled} of {paid} payments are settled with the evidence asked for");
}
