//! The effects of a decision, applied in memory and applied by Postgres, come to the same over invented histories.
//!
//! The database loads only the rows that a decision names; in memory everything is known. That both decide alike and
//! stand alike after every input is what makes the partial loading right. `AMN_SEED` says which histories,
//! `AMN_HISTORIES` how many (as many per law of the core; here three of ten).

#[path = "../../core/tests/histories/mod.rs"]
#[expect(dead_code, reason = "what only the laws of the core look at")]
mod histories;

use amn_core::timestamp::Timestamp;
use histories::plan::{self, Plan};
use histories::world::World;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::runtime::{Builder, Runtime};

use crate::support::database::Database;
use crate::support::held::Held;

/// Histories in a run of the suite, over both tests; a run in full says more by `AMN_HISTORIES`.
const HISTORIES: u32 = 160;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Plays plans in memory and on Postgres, each on a network of its own.
fn hold(plans: impl Strategy<Value = Plan>, salt: &str, share: u32) {
    let all = number("AMN_HISTORIES").and_then(|n| u32::try_from(n * 3 / 10).ok()).unwrap_or(HISTORIES);
    let cases = (all / share).max(1);
    let config = Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let seed = histories::truth::digest(&format!("{salt} {}", number("AMN_SEED").unwrap_or(0)));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed.0);
    let runtime = runtime();
    let database = runtime.block_on(Database::fresh());
    let played = std::cell::Cell::new(0_u64);
    let decided = std::cell::Cell::new(0_u64);
    let outcome = TestRunner::new_with_rng(config, rng).run(&plans, |plan| {
        played.set(played.get() + 1);
        let name: &'static str = Box::leak(format!("{salt}{}", played.get()).into_boxed_str());
        let mut world = World::new(name, plan.instant_finality, plan.policy, now());
        let held = Held::new(&database.pool, &world.state, played.get());
        let mut held = runtime.block_on(held).map_err(TestCaseError::fail)?;
        world.play(&plan, &mut |world, step| {
            decided.set(decided.get() + 1);
            let told = async {
                for (input, why) in &world.refused {
                    held.refuse(&step.before, input, why).await?;
                }
                held.decide(&step.before, &step.input).await
            };
            runtime.block_on(told).map_err(TestCaseError::fail)
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    println!("{} histories, {} decisions, {:?}", played.get(), decided.get(), histories::counts());
}

#[test]
fn memory_and_postgres_make_the_same_of_everything_that_may_happen() {
    hold(plan::histories(), "h", 2);
}

#[test]
fn memory_and_postgres_make_the_same_of_what_chains_and_readers_do() {
    hold(plan::chain_histories(), "c", 2);
}
