//! An hour in which nobody looked, 8,800 masterchain blocks: the real source, follower and desk before two operators
//! that count what they are asked. No clock of the machine is read.

use std::collections::BTreeMap;
use std::time::Duration;

use amn_scanner::stage::outage::{CaughtUp, Outage};

use crate::ground::Ground;
use crate::{Size, figure};

/// An hour of masterchain blocks.
const HOUR: u32 = 8_800;

/// What a free key of toncenter allows.
const PER_SECOND: u64 = 10;

/// Whoever has not arrived by then is slower than the network.
const PATIENCE: Duration = Duration::from_hours(2);

const SEED: u64 = 20_261_121;

/// How the network is followed.
struct Way {
    what: &'static str,
    shops: u32,
    indexed: bool,
}

/// Accounts are addresses, and their wallets of USDT.
const WAYS: [Way; 4] = [
    Way { what: "by account, 100 addresses", shops: 100, indexed: true },
    Way { what: "by account, 500 addresses, the most", shops: 500, indexed: true },
    Way { what: "by block, 501 addresses with an indexer", shops: 501, indexed: true },
    Way { what: "by block, 100 addresses without an indexer", shops: 100, indexed: false },
];

pub async fn run(size: Size) {
    let ground = Ground::open().await;
    let blocks = size.pick(HOUR, 200);
    println!(
        "| catching up with {blocks} masterchain blocks | requests of the first operator | of the second | virtual time |"
    );
    println!("|---|---|---|---|");
    for way in WAYS {
        let payments = if way.shops < 500 { 60 } else { 300 };
        let (pool, _) = ground.database("amn_ton").await;
        let mut outage = Outage::before(way.shops, way.indexed).await.expect("a network");
        let mut follower = outage.follower(&pool).await.expect("a follower");
        let changed = outage.pass(blocks, payments, SEED);
        let caught_up = outage.catch_up(&mut follower, PER_SECOND, PATIENCE).await.expect("it catches up");
        // They came before: known even where the network is faster than we are.
        outage.check(&pool).await.expect("every payment, proven");
        pool.close().await;
        show(&way, blocks, changed, payments, &caught_up);
    }
    ground.close().await;
}

fn show(way: &Way, blocks: u32, changed: usize, payments: u32, of: &CaughtUp) {
    let [first, second] = of.requests;
    let time = if of.arrived {
        format!("{:.1} s", of.took.as_secs_f64())
    } else {
        format!("not within {} s: the network is faster", of.took.as_secs())
    };
    println!("| {} | {first} | {second} | {time} |", way.what);
    for (operator, routes) in of.routes.iter().enumerate() {
        println!("  operator {}: {}", operator + 1, shares(routes));
    }
    let what = format!("TON, an outage of {blocks} blocks, {}, {payments} payments to {changed}", way.what);
    let value =
        format!("{first} and {second} requests; at {PER_SECOND} a second {time}, {} blocks came meanwhile", of.came);
    figure(&what, &value, None);
}

fn shares(routes: &BTreeMap<String, u64>) -> String {
    let all: Vec<String> = routes.iter().map(|(route, asked)| format!("{route} {asked}")).collect();
    all.join(", ")
}
