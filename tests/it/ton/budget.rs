//! What catching up costs: requests, and the time they take under an allowance, on a clock that they move.

use std::time::Duration;

use amn_scanner::stage::outage::{CaughtUp, Outage};

use crate::support::database::Database;

/// An hour of masterchain blocks.
const HOUR: u32 = 8_800;

/// Addresses that wait for money, each with a wallet of USDT beside it.
const SHOPS: u32 = 100;

/// What a free key allows.
const PER_SECOND: u64 = 10;

/// What an hour may cost beside one request for each account that changed: nine thousand blocks at a thousand in one
/// question, the heads of accounts, where each stood, and the looks around it.
const WHATEVER_HAPPENED: u64 = 150;

fn seed() -> u64 {
    std::env::var("AMN_SEED").map_or(20_261_121, |text| text.parse().unwrap())
}

/// So many blocks and payments while nobody looked, and what it takes to catch up; and how many accounts changed.
async fn outage(indexed: bool, blocks: u32, payments: u32, patience: Duration) -> (CaughtUp, u64) {
    let database = Database::fresh().await;
    let mut outage = Outage::before(SHOPS, indexed).await.unwrap();
    let mut follower = outage.follower(&database.pool).await.unwrap();
    let changed = outage.pass(blocks, payments, seed());
    let caught_up = outage.catch_up(&mut follower, PER_SECOND, patience).await.unwrap();
    outage.check(&database.pool).await.unwrap();
    println!("{blocks} blocks, {payments} payments to {changed} accounts: {caught_up:?}");
    (caught_up, changed as u64)
}

#[tokio::test]
async fn an_hour_costs_by_account_seconds_of_the_allowance_however_many_blocks_there_were() {
    let (caught_up, changed) = outage(true, HOUR, 60, Duration::from_mins(10)).await;
    let most = WHATEVER_HAPPENED + changed;
    assert!(caught_up.arrived, "{caught_up:?}");
    assert!(caught_up.requests.iter().all(|requests| *requests <= most), "at most {most}: {caught_up:?}");
    assert!(caught_up.took <= Duration::from_millis(most * 1_000 / PER_SECOND), "{caught_up:?}");
}

#[tokio::test]
async fn an_hour_in_which_nothing_was_paid_costs_no_question_about_any_account_alone() {
    let (caught_up, _) = outage(true, HOUR, 0, Duration::from_mins(10)).await;
    assert!(caught_up.arrived, "{caught_up:?}");
    assert!(caught_up.requests.iter().all(|requests| *requests <= 60), "{caught_up:?}");
}

#[tokio::test]
async fn by_block_each_block_costs_a_few_requests_whoever_is_watched() {
    // Without an indexer a block costs more than the network's pace leaves time for, so that it is not waited for.
    let (caught_up, _) = outage(false, 100, 20, Duration::from_mins(1)).await;
    let blocks = 100 + caught_up.came;
    assert!(caught_up.requests.iter().all(|requests| *requests <= 6 * blocks), "{caught_up:?}");
}
