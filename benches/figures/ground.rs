//! What every figure stands on: the daemon's own Postgres with its real settings, and a network of one chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use amn_core::block::{Height, NetworkId, Operator};
use amn_core::network::Facts;
use amn_core::source::ChainSource as _;
use amn_evm::networks::EvmNetwork;
use amn_evm::source::EvmSource;
use amn_rpc::{EndpointConfig, Pool};
use amn_scanner::clock::SystemClock;
use amn_scanner::embedded::Embedded;
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::store;
use amn_scanner::store::decide::Desk;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Notify;

/// Where the figures keep their data.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".amn/bench")
}

/// The network's file: proven, final, two operators, as the shipped networks ask.
const NETWORK: &str = r#"
chain_id = 7777
block_time_ms = 1000
codec = "eth"
range_blocks = 100
[native]
symbol = "ETH"
decimals = 18
slip44 = 60
min_amount = "1"
[require]
tag = "finalized"
inclusion = "proven"
operators = 2
"#;

/// The three tokens of the workload.
pub const TOKENS: [Address; 3] = [Address::repeat_byte(0x71), Address::repeat_byte(0x72), Address::repeat_byte(0x73)];

/// What every intent is due, and every payment of ours pays.
pub const DUE: u64 = 1_000_000;

/// The receiving address of an intent.
pub fn receiver(index: u64) -> Address {
    Address::left_padding_from(&(0xa000_0000_0000 + index).to_be_bytes())
}

/// The network of the workload.
pub fn network() -> EvmNetwork {
    let tokens = TOKENS
        .map(|token| format!("[[token]]\nsymbol = \"T\"\naddress = \"{token}\"\ndecimals = 6\nmin_amount = \"1\"\n"));
    let network = EvmNetwork::parse(&NetworkId::new("bench"), "bench.toml", &format!("{NETWORK}{}", tokens.concat()));
    network.expect("the network's file reads")
}

/// The daemon's parts in this process, its ledger begun at block 0 of two nodes, each of an operator of its own.
pub async fn follower(pool: &PgPool, nodes: [&str; 2]) -> Follower<EvmSource> {
    let network = network();
    let facts = network.facts.clone();
    let endpoints =
        nodes.into_iter().zip(["alpha", "beta"]).map(|(url, name)| EndpointConfig::new(name, url, Operator::new(name)));
    let source =
        EvmSource::new(Pool::new(NetworkId::new("bench"), endpoints.collect()).expect("two endpoints"), network);
    let start = source.header_at(Height(0)).await.expect("block 0").at;
    let mut follower = Follower::new(Parts {
        source,
        desk: Desk::new(pool.clone(), facts),
        pool: pool.clone(),
        clock: Arc::new(SystemClock),
        bell: Arc::new(Notify::new()),
        told: Arc::new(Notify::new()),
        holder: uuid::Uuid::from_u128(1),
        poll: Duration::from_millis(50),
        raw: |address| {
            amn_evm::address::parse(&address.as_str().to_ascii_lowercase()).ok().map(|(_, raw)| raw.to_vec())
        },
        start: Some(start),
        balance_check: None,
    });
    assert_eq!(follower.round().await.expect("a first round"), Outcome::Advanced, "the ledger begins");
    follower
}

/// A private Postgres.
pub struct Ground {
    pub embedded: Embedded,
}

impl Ground {
    pub async fn open() -> Self {
        let embedded = Embedded::start(&folder().join("postgres")).await.expect("the embedded Postgres starts");
        Self { embedded }
    }

    /// The number of the server's first process.
    pub fn postmaster(&self) -> u32 {
        let file = std::fs::read_to_string(self.embedded.data().join("postmaster.pid")).unwrap_or_default();
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("the server says who it is")
    }

    /// An empty database of that name with every migration, and how to connect to it.
    pub async fn database(&self, name: &str) -> (PgPool, PgConnectOptions) {
        let admin = PgPool::connect_with(self.embedded.options()).await.expect("a connection");
        for statement in [format!("drop database if exists {name} with (force)"), format!("create database {name}")] {
            sqlx::query(AssertSqlSafe(statement)).execute(&admin).await.expect("a database");
        }
        admin.close().await;
        let options = self.embedded.options().database(name);
        let pool = store::connect(options.clone(), 8).await.expect("a pool");
        store::migrate(&pool).await.expect("the migrations");
        (pool, options)
    }

    pub async fn close(self) {
        self.embedded.stop().await.expect("the embedded Postgres stops");
    }
}

/// Registers the network and opens so many intents, the first for `receiver(0)`; as `amn.create_intent` does, in bulk.
pub async fn open_intents(pool: &PgPool, facts: &Arc<Facts>, count: u64) {
    store::network::register(pool, "evm", facts, None).await.expect("the network");
    let asset = facts.assets.iter().find(|asset| !asset.native).expect("a token").id.to_string();
    open_intents_of(pool, facts.id.as_str(), &asset, count).await;
}

/// The same for a network that is registered.
pub async fn open_intents_of(pool: &PgPool, network: &str, asset: &str, count: u64) {
    sqlx::query("insert into amn.tenant (id) values ('seller') on conflict do nothing")
        .execute(pool)
        .await
        .expect("a tenant");
    let address = "'0x' || lpad(to_hex(x'a00000000000'::bigint + g), 40, '0')";
    let statement = format!(
        "with made as (
           insert into amn.intent (id, tenant_id, network_id, asset_id, address, due, expires_at)
           select gen_random_uuid(), 'seller', '{network}', '{asset}', {address}, {DUE}, '2100-01-01'
           from generate_series(0, $1 - 1) g
           returning id, address, network_id
         )
         insert into amn.watch (network_id, address, tenant_id, intent_id, version, since_height, native)
         select network_id, address, 'seller', id, row_number() over (order by address), 1, false
         from made"
    );
    let count = i64::try_from(count).expect("a count");
    sqlx::query(AssertSqlSafe(statement)).bind(count).execute(pool).await.expect("intents");
    sqlx::query("update amn.network set watch_version = $1 where id = $2")
        .bind(count)
        .bind(network)
        .execute(pool)
        .await
        .expect("the version of the watches");
    // Autovacuum would do it within moments of real life.
    sqlx::query("vacuum (analyze)").execute(pool).await.expect("a vacuum");
    // Nor is the flushing of a bulk load part of anybody's day. Every page is logged whole after it: nothing is made easier.
    sqlx::query("checkpoint").execute(pool).await.expect("a checkpoint");
}
