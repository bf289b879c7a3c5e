//! An outage on a TON network: masterchain blocks that passed while nobody looked, payments in them, and what it takes
//! to catch up under an allowance of requests.
//!
//! Its clock is virtual: it moves by what the requests of a look take under the allowance, and the network goes on by
//! it. So the figure is the same on every machine, and who is slower than the network never arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amn_core::block::{NetworkId, Operator};
use amn_core::source::ChainSource as _;
use amn_core::timestamp::Timestamp;
use amn_rpc::{EndpointConfig, Pool};
use amn_ton::address::{self, Account};
use amn_ton::networks::TonNetwork;
use amn_ton::source::TonSource;
use amn_ton::testkit::{History, Letter, Life, Minter, Node, Outcome as Ends, Payload, internal_transfer};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::Uuid;

use super::StageError;
use crate::clock::TestClock;
use crate::follower::{Follower, Outcome, Parts};
use crate::store;
use crate::store::decide::Desk;

/// Milliseconds between two masterchain blocks.
const BLOCK_MS: u64 = 400;

/// The main network's file: what it asks for is what the figure is about.
const NETWORK: &str = "ton-mainnet";

/// Each payment, and what each intent is due: above dust in TON and in USDT.
const DUE: u32 = 50_000_000;

/// Between two looks that brought nothing, in milliseconds.
const LOOK_AGAIN: u64 = 200;

/// Who is no further behind than this after a look has caught up: ten seconds of the network.
const NEAR_BLOCKS: u64 = 25;

/// Looks that wait before somebody is told that it does not go on.
const WAITS_MAX: u32 = 100;

const PAYER: Account = Account::new(0, [0xfa; 32]);

/// A network of so many shops, each with an address of its own.
#[derive(Debug)]
pub struct Outage {
    history: Arc<Mutex<History>>,
    nodes: [Node; 2],
    network: TonNetwork,
    /// Whether one of them has an indexer.
    indexed: bool,
    shops: Vec<Account>,
    lives: BTreeMap<Account, Life>,
    clock: Arc<TestClock>,
    paid: u64,
}

/// What it took to catch up.
#[derive(Debug, Default)]
pub struct CaughtUp {
    /// Of each operator.
    pub requests: [u64; 2],
    /// The same by question.
    pub routes: [BTreeMap<String, u64>; 2],
    /// By the virtual clock.
    pub took: Duration,
    /// Masterchain blocks that came meanwhile.
    pub came: u64,
    /// Whether the tip was reached, but for a few blocks; otherwise the network was faster.
    pub arrived: bool,
}

impl Outage {
    /// A network before the outage. Without an indexer it is followed by block.
    pub async fn before(shops: u32, indexed: bool) -> Result<Self, StageError> {
        let failed = |what: &dyn std::fmt::Display| StageError::because("the TON network", what);
        let network = TonNetwork::shipped(NETWORK).ok_or_else(|| failed(&"it is not shipped"))?;
        let network = network.map_err(|error| failed(&error))?;
        let mut history = History::new(network.global_id);
        for jetton in network.registry.jettons.values() {
            let decimals = network.facts.asset(&jetton.listed.asset).map_or(0, |asset| asset.decimals);
            history.minters.push(Minter::of(jetton, decimals));
        }
        history.pass(3);
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(i64::from(history.now()))));
        let history = Arc::new(Mutex::new(history));
        let nodes = [
            Node::share(history.clone()).await.map_err(|error| failed(&error))?,
            Node::share(history.clone()).await.map_err(|error| failed(&error))?,
        ];
        let shops = (1..=shops).map(|number| {
            let mut id = [0x5a; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            Account::new(0, id)
        });
        let (shops, lives) = (shops.collect(), BTreeMap::new());
        Ok(Self { history, nodes, network, indexed, shops, lives, clock, paid: 0 })
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon's parts, with an intent for each shop: every other in USDT. It has caught up.
    pub async fn follower(&self, pool: &PgPool) -> Result<Follower<TonSource>, StageError> {
        let facts = self.network.facts.clone();
        let registered = store::network::register(pool, "ton", &facts, None).await;
        registered.map_err(|error| StageError::because("the network", error))?;
        self.open_intents(pool).await.map_err(|error| StageError::because("the intents", error))?;
        let nodes = self.endpoints();
        let nodes =
            Pool::new(NetworkId::new(NETWORK), nodes).map_err(|error| StageError::because("the nodes", error))?;
        let source = TonSource::new(nodes, self.network.clone());
        source.probe().await.map_err(|error| StageError::because("who the nodes are", error))?;
        let mut follower = Follower::new(Parts {
            source,
            desk: Desk::new(pool.clone(), facts),
            pool: pool.clone(),
            clock: self.clock.clone(),
            bell: Arc::new(Notify::new()),
            told: Arc::new(Notify::new()),
            holder: Uuid::from_u128(1),
            poll: Duration::from_millis(LOOK_AGAIN),
            raw: |address| address::raw(address).map(|raw| raw.to_vec()),
            start: None,
            balance_check: None,
        });
        let mut waits = 0;
        while self.look(&mut follower, &mut waits).await? != Outcome::Idle {}
        self.take();
        Ok(follower)
    }

    fn endpoints(&self) -> Vec<EndpointConfig> {
        let [up, down] = &self.nodes;
        let of = |name: &str, kind: &str, url: String, operator: &str| {
            let mut endpoint = EndpointConfig::new(name, url, Operator::new(operator));
            kind.clone_into(&mut endpoint.kind);
            endpoint
        };
        let mut all = vec![of("up-nodes", "toncenter-v2", up.v2(), "up"), of("down", "tonapi", down.tonapi(), "down")];
        if self.indexed {
            all.insert(0, of("up-index", "toncenter-v3", up.v3(), "up"));
        }
        all
    }

    async fn open_intents(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        for asset in &self.network.facts.assets {
            let shops = self.shops.iter().enumerate().filter(|(place, _)| pays_native(*place) == asset.native);
            let addresses: Vec<String> = shops.map(|(_, shop)| shop.spell(self.network.realm).to_string()).collect();
            let statement =
                "select amn.create_intent('seller', $1, $2, $3::bigint, a, 'none') from unnest($4::text[]) a";
            sqlx::query(statement)
                .bind(self.network.facts.id.as_str())
                .bind(asset.id.to_string())
                .bind(i64::from(DUE))
                .bind(addresses)
                .execute(pool)
                .await?;
        }
        Ok(())
    }

    /// The outage: so many blocks pass, and so many payments come in them, to whichever shop chance says. How many
    /// accounts they changed.
    pub fn pass(&mut self, blocks: u32, payments: u32, seed: u64) -> usize {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut due: Vec<(u32, usize)> =
            (0..payments).map(|_| (dice.random_range(0..blocks), dice.random_range(0..self.shops.len()))).collect();
        due.sort_unstable();
        let mut due = due.into_iter().peekable();
        let changed: std::collections::BTreeSet<usize> = due.clone().map(|(_, shop)| shop).collect();
        for block in 0..blocks {
            while let Some((_, shop)) = due.next_if(|(at, _)| *at == block) {
                self.pay(shop);
            }
            self.history().close();
        }
        self.clock.advance(i64::from(blocks) * i64::try_from(BLOCK_MS).unwrap_or_default());
        changed.len()
    }

    fn pay(&mut self, place: usize) {
        let shop = self.shops[place];
        self.paid += 1;
        let (account, letter, ends) = if pays_native(place) {
            (shop, Letter::from(PAYER, u128::from(DUE)), Ends::Accepted)
        } else {
            let jetton = self.network.registry.jettons.values().next();
            let wallet = jetton.and_then(|jetton| jetton.form.wallet(&jetton.master, &shop)).unwrap_or(shop);
            let told = internal_transfer(self.paid, u128::from(DUE), Some(&PAYER), 1, &Payload::None);
            (wallet, Letter::from(PAYER, u128::from(DUE)).saying(told), Ends::Accepted)
        };
        let life = self.lives.entry(account).or_insert_with(|| Life::of(account));
        self.history.lock().unwrap_or_else(PoisonError::into_inner).receive(life, &letter, ends);
    }

    /// Catches up at so many requests a second from each operator, while the network goes on; until a look ends near the
    /// tip, or so much time has passed by the clock.
    pub async fn catch_up(
        &mut self,
        follower: &mut Follower<TonSource>,
        per_second: u64,
        patience: Duration,
    ) -> Result<CaughtUp, StageError> {
        let mut sum = CaughtUp::default();
        let (mut millis, mut waits) = (0, 0);
        self.take();
        while millis < u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) {
            let outcome = self.look(follower, &mut waits).await?;
            let mut busiest = 0;
            for (at, traffic) in self.take().into_iter().enumerate() {
                busiest = busiest.max(traffic.requests);
                sum.requests[at] += traffic.requests;
                for (route, asked) in traffic.routes {
                    *sum.routes[at].entry(route).or_default() += asked;
                }
            }
            let took = busiest * 1_000 / per_second.max(1) + if waits > 0 { LOOK_AGAIN } else { 0 };
            millis += took;
            self.clock.advance(i64::try_from(took).unwrap_or_default());
            let due = millis / BLOCK_MS;
            let meanwhile = due - sum.came;
            for _ in 0..meanwhile {
                self.history().close();
            }
            sum.came = due;
            if outcome == Outcome::Idle && meanwhile <= NEAR_BLOCKS {
                sum.arrived = true;
                break;
            }
        }
        sum.took = Duration::from_millis(millis);
        Ok(sum)
    }

    async fn look(&self, follower: &mut Follower<TonSource>, waits: &mut u32) -> Result<Outcome, StageError> {
        let outcome = follower.round().await.map_err(|error| StageError::because("a look", error))?;
        match &outcome {
            Outcome::Advanced | Outcome::Idle => *waits = 0,
            Outcome::Waiting(_) if *waits < WAITS_MAX => *waits += 1,
            other => return Err(StageError(format!("the follower does not go on: {other:?}"))),
        }
        Ok(outcome)
    }

    fn take(&self) -> [amn_ton::testkit::Traffic; 2] {
        self.nodes.each_ref().map(Node::take_traffic)
    }

    /// That everything that was paid is known, proven and shown by both operators: a fast answer that is wrong is none.
    pub async fn check(&self, pool: &PgPool) -> Result<(), StageError> {
        let statement = "select count(*), count(*) filter (where inclusion = 'proven' and cardinality(operators) >= 2)
            from amn.deposit";
        let counted: Result<(i64, i64), _> = sqlx::query_as(statement).fetch_one(pool).await;
        let (all, proven) = counted.map_err(|error| StageError::because("the deposits", error))?;
        if (u64::try_from(all), u64::try_from(proven)) == (Ok(self.paid), Ok(self.paid)) {
            return Ok(());
        }
        Err(StageError(format!("{} payments came; {all} are known, {proven} with all the evidence", self.paid)))
    }
}

/// Every other shop takes TON, the others USDT.
const fn pays_native(place: usize) -> bool {
    place.is_multiple_of(2)
}
