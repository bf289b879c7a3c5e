//! A house that watches: the real follower, source, pool, desk and dispatcher on a Postgres of their own, driven
//! round by round on clocks that are moved by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use amn_core::block::{BlockRef, NetworkId, Operator};
use amn_core::id::EndpointId;
use amn_core::timestamp::Timestamp;
use amn_evm::networks::EvmNetwork;
use amn_evm::source::EvmSource;
use amn_rpc::time::VirtualTime;
use amn_rpc::{EndpointConfig, Pool, PoolSettings};
use amn_scanner::clock::{Ids as _, SeededIds, TestClock};
use amn_scanner::follower::{Follower, Outcome, Parts};
use amn_scanner::outbox::dispatcher::{self, Dispatcher};
use amn_scanner::outbox::guard::{Guard, GuardPolicy};
use amn_scanner::outbox::settings::HttpSettings;
use amn_scanner::outbox::signature::{SECRET_BYTES, Secret};
use amn_scanner::store::decide::Desk;
use amn_scanner::store::outbox::endpoints::{self, NewEndpoint};
use amn_scanner::store::{self, row::moment};
use serde_json::json;
use tokio::sync::Notify;
use uuid::Uuid;

use super::stage::{BEGINNING, BLOCK_SECONDS, Payee, Stage};
use crate::support::database::Database;
use crate::support::receiver::Receiver;

/// Between two looks without a bell: a quarter of a block.
const POLL: Duration = Duration::from_secs(3);
/// Looks at one state of the chain, at the most: then it goes on, whether we have followed or not.
const LOOKS_MAX: usize = 8;

/// The terms: deeper than any reorg of these stories, proven, two operators of three.
const NETWORK: &str = r#"
chain_id = 31337
block_time_ms = 12000
codec = "eth"
range_blocks = 100
rewind_operators = 2
[native]
symbol = "ETH"
decimals = 18
slip44 = 60
min_amount = "1"
[require]
confirmations = 12
inclusion = "proven"
operators = 2
"#;

pub struct House {
    pub name: &'static str,
    pub db: Database,
    pub pool: Pool,
    pub receiver: Receiver,
    pub secret: Secret,
    pub intents: Vec<Uuid>,
    clock: Arc<TestClock>,
    /// The clock of the road: breakers, cool-downs and distrust.
    road: VirtualTime,
    follower: Follower<EvmSource>,
    dispatcher: Dispatcher,
    /// Payments that are on the chain and not known here.
    waits: BTreeMap<B256, Wait>,
    pub found: Vec<Found>,
    pub looks: u64,
    pub spent: Duration,
    /// Looks that came to nothing because the source could not go on.
    pub waited: u64,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    head: u64,
    pub looks: u64,
    pub spent: Duration,
}

/// How long a payment was on the chain before it was known.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Blocks by which the chain had grown meanwhile.
    pub blocks: u64,
    /// Looks at it, the one that found it among them.
    pub looks: u64,
    /// Time in those looks.
    pub spent: Duration,
}

impl House {
    /// A house that looks through these URLs, each of an operator of its own.
    pub async fn new(name: &'static str, stage: &Stage, urls: [String; 3]) -> Self {
        let db = Database::fresh().await;
        let token =
            format!("[[token]]\nsymbol = \"USDC\"\naddress = \"{}\"\ndecimals = 6\nmin_amount = \"1\"\n", stage.token);
        let network = NetworkId::new("faces");
        let network = EvmNetwork::parse(&network, "faces.toml", &format!("{NETWORK}{token}")).unwrap();
        store::network::register(&db.pool, "evm", &network.facts, None).await.unwrap();
        let endpoints = urls.iter().zip(["alpha", "beta", "gamma"]);
        let endpoints = endpoints.map(|(url, name)| EndpointConfig::new(name, url.as_str(), Operator::new(name)));
        let road = VirtualTime::at(Duration::from_secs(BEGINNING.unsigned_abs()));
        let block_time = Some(Duration::from_secs(BLOCK_SECONDS.unsigned_abs()));
        let settings = PoolSettings { time: road.time(), block_time, ..PoolSettings::default() };
        let pool = Pool::new_with(network.facts.id.clone(), endpoints.collect(), settings).unwrap();
        let now = Timestamp::from_seconds(BEGINNING);
        let clock = Arc::new(TestClock::at(now));
        let ids = Arc::new(SeededIds::new(7, now));
        let told = Arc::new(Notify::new());
        let follower = follower(&db, &pool, &network, &clock, &told, stage.tip().await);
        let settings = HttpSettings { timeout: Duration::from_secs(30), ..HttpSettings::default() };
        let guard = Guard::new(GuardPolicy::development());
        let dispatcher = Dispatcher::new(db.pool.clone(), clock.clone(), ids.clone(), settings, guard, told).unwrap();
        let receiver = Receiver::start().await;
        let mut chance = [0; SECRET_BYTES];
        ids.fill(&mut chance);
        let secret = Secret::from_chance(&chance);
        let url = receiver.url();
        let new = NewEndpoint {
            id: EndpointId(ids.next()),
            tenant: Some("seller"),
            url: &url,
            events: None,
            secret: &secret,
        };
        sqlx::query("insert into amn.tenant (id) values ('seller')").execute(&db.pool).await.unwrap();
        endpoints::create(&mut db.pool.acquire().await.unwrap(), &new, now).await.unwrap();
        let mut house = Self {
            name,
            db,
            pool,
            receiver,
            secret,
            intents: Vec::new(),
            clock,
            road,
            follower,
            dispatcher,
            waits: BTreeMap::new(),
            found: Vec::new(),
            looks: 0,
            spent: Duration::ZERO,
            waited: 0,
        };
        assert_eq!(house.follower.round().await.unwrap(), Outcome::Advanced, "the ledger begins");
        for (number, payee) in stage.payees.iter().enumerate() {
            house.intent(&network, number, *payee).await;
        }
        house
    }

    /// An intent on an address of its own; every fourth ends somewhere in the story.
    async fn intent(&mut self, network: &EvmNetwork, number: usize, payee: Payee) {
        let asset = network.facts.assets.iter().find(|asset| asset.native == payee.native).unwrap();
        let blocks = i64::try_from(number).unwrap() * 10 + 40;
        let ends = number.is_multiple_of(4).then(|| Timestamp::from_seconds(BEGINNING + blocks * BLOCK_SECONDS));
        let sql = "select amn.create_intent('seller', $1, $2, 1000000, $3, expires_at => $4, metadata => $5)";
        let id: Uuid = sqlx::query_scalar(sql)
            .bind(network.facts.id.as_str())
            .bind(asset.id.as_str())
            .bind(amn_evm::address::spell(payee.address.0.0).as_str())
            .bind(ends.map(moment))
            .bind(json!({"n": number}))
            .fetch_one(&self.db.pool)
            .await
            .unwrap();
        self.intents.push(id);
    }

    /// These payments are on the chain from now on; those that are not any more are not waited for.
    pub fn expect(&mut self, new: &[B256], stage: &Stage, head: u64) {
        self.waits.retain(|tx, _| stage.holds(tx));
        let wait = Wait { head, looks: self.looks, spent: self.spent };
        self.waits.extend(new.iter().map(|tx| (*tx, wait)));
    }

    /// Looks until there is nothing new, or the chain goes on.
    pub async fn look(&mut self, head: u64) {
        for _ in 0..LOOKS_MAX {
            let began = Instant::now();
            let outcome = self.follower.round().await.unwrap();
            self.spent += began.elapsed();
            self.looks += 1;
            self.note_found(head).await;
            match outcome {
                Outcome::Advanced => {}
                Outcome::Idle => return,
                Outcome::Waiting(_) => {
                    self.waited += 1;
                    self.pass(POLL);
                }
                Outcome::Halted | Outcome::Standby => panic!("{}: {outcome:?}: {}", self.name, self.standing().await),
            }
        }
    }

    /// Time goes on, on every clock of the house.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(i64::try_from(time.as_millis()).unwrap());
        self.road.advance(time);
    }

    async fn note_found(&mut self, head: u64) {
        if self.waits.is_empty() {
            return;
        }
        let names: Vec<Vec<u8>> = self.waits.keys().map(|tx| tx.to_vec()).collect();
        let sql = "select distinct tx_hash::bytea from amn.deposit
            where tx_hash = any($1::bytea[]) and status in ('seen', 'settled')";
        let known: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind(names).fetch_all(&self.db.pool).await.unwrap();
        for tx in known {
            let wait = self.waits.remove(&B256::from_slice(&tx)).unwrap();
            self.found.push(Found {
                blocks: head - wait.head,
                looks: self.looks - wait.looks,
                spent: self.spent.saturating_sub(wait.spent),
            });
        }
    }

    /// Delivers all that is due.
    pub async fn deliver(&self) {
        while self.dispatcher.run_once().await.unwrap() != dispatcher::Outcome::default() {}
    }

    /// The block we stand on, and how many operators stand behind it.
    pub async fn stands_on(&self) -> (i64, Vec<u8>, i64) {
        let sql = "select tip_height, tip_hash::bytea,
              (select count(*) from jsonb_each(vouchers) v where (v.value ->> 'height')::bigint = tip_height)
            from amn.network";
        sqlx::query_as(sql).fetch_one(&self.db.pool).await.unwrap()
    }

    /// For whoever reads why a story went wrong.
    pub async fn standing(&self) -> String {
        let network: String =
            sqlx::query_scalar("select to_jsonb(n)::text from amn.network n").fetch_one(&self.db.pool).await.unwrap();
        let health: Vec<_> = self.pool.endpoints().iter().map(|endpoint| endpoint.health()).collect();
        format!("{network}\n{health:#?}")
    }
}

fn follower(
    db: &Database,
    pool: &Pool,
    network: &EvmNetwork,
    clock: &Arc<TestClock>,
    told: &Arc<Notify>,
    start: BlockRef,
) -> Follower<EvmSource> {
    Follower::new(Parts {
        source: EvmSource::new(pool.clone(), network.clone()),
        desk: Desk::new(db.pool.clone(), network.facts.clone()),
        pool: db.pool.clone(),
        clock: clock.clone(),
        bell: Arc::new(Notify::new()),
        told: told.clone(),
        holder: Uuid::from_u128(1),
        poll: POLL,
        raw: |address| amn_evm::address::parse(address.as_str()).ok().map(|(_, raw)| raw.to_vec()),
        start: Some(start),
        balance_check: None,
    })
}
