//! The effects of a decision, applied in memory and applied by Postgres, come to the same over invented histories.
//!
//! The database loads only the rows that a decision names; in memory everything is known. That both decide alike and
//! stand alike after every input is what makes the partial loading right. `AMN_SEED` says which histories,
//! `AMN_HISTORIES` how many (as many per law of the core; here three of ten).

#[path = "../../core/tests/histories/mod.rs"]
#[expect(dead_code, reason = "what only the laws of the core look at")]
mod histories;

use std::cell::Cell;

use amn_core::block::{Hash, Height};
use amn_core::deposit::DepositStatus;
use amn_core::engine::{Command, Halt, HaltReason, Input};
use amn_core::intent::Status;
use amn_core::timestamp::Timestamp;
use histories::plan::{self, Action, Fate, Pay, Plan};
use histories::world::{Judge, Step, World};
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
    let (played, decided) = (Cell::new(0_u64), Cell::new(0_u64));
    let outcome = TestRunner::new_with_rng(config, rng).run(&plans, |plan| {
        played.set(played.get() + 1);
        // One database, a network for each: they must not touch each other either.
        let mut world = world(format!("{salt}{}", played.get()), &plan);
        let mut held = runtime.block_on(Held::new(&database.pool, &world.state, played.get()));
        world.play(&plan, &mut |world, step| {
            decided.set(decided.get() + 1);
            judge(&runtime, &mut held, world, step)
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    println!("{} histories, {} decisions, {:?}", played.get(), decided.get(), histories::counts());
}

fn world(name: String, plan: &Plan) -> World {
    World::new(Box::leak(name.into_boxed_str()), plan.instant_finality, plan.policy, now())
}

fn judge(runtime: &Runtime, held: &mut Held, world: &World, step: &Step) -> Result<(), TestCaseError> {
    let told = async {
        for (input, why) in &world.refused {
            held.refuse(&step.before, input, why).await?;
        }
        held.decide(&step.before, &step.input).await
    };
    runtime.block_on(told).map_err(TestCaseError::fail)
}

/// Plays one plan in memory and on Postgres, and lets the world's last state be looked at; then plays on by hand.
fn tell(policy: usize, actions: Vec<Action>, more: impl FnOnce(&mut World, Judge<'_>)) -> World {
    let plan = Plan { instant_finality: false, policy, actions };
    let runtime = runtime();
    let database = runtime.block_on(Database::fresh());
    let mut world = world("told".into(), &plan);
    let mut held = runtime.block_on(Held::new(&database.pool, &world.state, 1));
    let mut judge = |world: &World, step: &Step| judge(&runtime, &mut held, world, step);
    world.play(&plan, &mut judge).unwrap();
    more(&mut world, &mut judge);
    world
}

#[test]
fn memory_and_postgres_make_the_same_of_everything_that_may_happen() {
    hold(plan::histories(), "h", 2);
}

#[test]
fn memory_and_postgres_make_the_same_of_what_chains_and_readers_do() {
    hold(plan::chain_histories(), "c", 2);
}

/// `to` and `amount` by their places in the histories' lists.
const fn pay(to: usize, amount: usize, reference: usize) -> Pay {
    Pay { to, amount, asset: 0, reference, again: false }
}

const SHARED: usize = 2;
const SIXTY: usize = 4;
const HUNDRED: usize = 6;

const fn grow(blocks: usize, after: i64, pays: Vec<Pay>) -> Action {
    Action::Grow { blocks, after, pays }
}

const fn read(group: usize) -> Action {
    Action::Sync { blocks: 1_000, group, operators: 3, proven: false, listed: false, stale: false }
}

fn leave(depth: usize, length: usize, deep: bool) -> Action {
    Action::Fork { depth, length, after: 5, fates: vec![Fate::Dropped], reversed: false, deep }
}

fn no_more(_: &mut World, _: Judge<'_>) {}

#[test]
fn money_that_names_nobody_is_told_to_the_same_tenant_however_blocks_are_grouped() {
    let pays = vec![pay(SHARED, SIXTY, 2), pay(SHARED, SIXTY, 3)];
    let tenant = |group| {
        let world = tell(0, vec![grow(2, 5, pays.clone()), read(group)], no_more);
        world.state.deposits.values().find(|d| d.intent().is_none()).unwrap().tenant.clone()
    };
    assert_eq!(tenant(1), tenant(2));
}

#[test]
fn a_watch_made_above_a_fork_is_read_again_from_the_fork_on() {
    let ask = Action::Ask { which: 0, due: HUNDRED, expires: None };
    let stale = Action::Sync { blocks: 40, group: 40, operators: 3, proven: false, listed: false, stale: true };
    let world = tell(0, vec![grow(3, 5, Vec::new()), read(9), ask, leave(2, 3, false), stale], no_more);
    let owed: Vec<_> = world.state.intents.values().filter_map(|i| i.backfill).collect();
    assert_eq!(owed, [(Height(1_002), Height(1_004))], "its first height was 1004, before the chain went back");
}

#[test]
fn a_command_ends_an_intent_that_it_leaves_without_its_money() {
    // Reported money stays pending under this policy, and what is paid and pending does not expire.
    let paid = vec![grow(1, 5, vec![pay(SHARED, SIXTY, 3)]), read(9), Action::Assign { deposit: 0, intent: 2 }];
    let past = vec![grow(4, 400, Vec::new()), read(9), Action::Unassign(0)];
    let world = tell(5, [paid, past].concat(), no_more);
    let ended = world.state.intents.values().filter(|i| i.progress.status == Status::Expired);
    assert_eq!(ended.filter(|i| i.terms.address.as_str() == "S").count(), 1);
}

#[test]
fn headers_that_are_forgotten_as_soon_as_they_are_read_stay_forgotten() {
    let finality = Action::Finality { safe: 0, finalized: 0, vouchers: 3, dead: false, liar: false };
    let crossed = vec![grow(10, 5, Vec::new()), read(40), finality, leave(3, 5, true), read(40)];
    // Without a word on finality, two hours are remembered; this is one stretch of five and a half.
    let long = vec![Action::Resume { accept: true }, grow(100, 200, Vec::new()), read(200)];
    let world = tell(0, [crossed, long].concat(), no_more);
    assert_eq!(world.state.standing.finalized, None);
    assert!(world.state.headers.len() < 40, "{}", world.state.headers.len());
}

#[test]
fn a_listed_branch_parts_everything_pending_from_the_tip() {
    let paid = vec![grow(1, 5, vec![pay(0, HUNDRED, 0)]), grow(3, 5, Vec::new()), read(9)];
    let world = tell(2, paid, |world, judge| {
        world.truth.fork(2);
        (0..3).for_each(|_| world.truth.grow(5, Vec::new(), Vec::new()));
        let (fork, head) = (world.truth.at(Height(1_002)).unwrap().header.at, world.truth.head().header.at.height);
        let by = world.segment(fork.height.next(), head, 3, false, true, false);
        world.tell(Input::Replace { fork, by }, judge).unwrap();
    });
    let paid = world.state.deposits.values().next().unwrap();
    assert_eq!((paid.status, paid.linked), (DepositStatus::Seen, false));
}

#[test]
fn what_a_person_accepted_stands_until_a_branch_that_holds_it_is_followed() {
    tell(0, vec![grow(5, 5, Vec::new()), read(9)], |world, judge| {
        let halt = Halt { reason: HaltReason::ForkTooDeep, detail: String::new() };
        world.tell(Input::Halt(halt), judge).unwrap();
        let unknown = Hash([7; 32]);
        world.tell(Input::Command(Command::Resume { accept_fork: Some(unknown) }), judge).unwrap();
        follow(world, 1, judge);
        assert_eq!(world.state.standing.accept_fork, Some(unknown), "a shallow fork has nothing to do with it");

        let halt = Halt { reason: HaltReason::ForkBelowFinalized, detail: String::new() };
        world.tell(Input::Halt(halt), judge).unwrap();
        world.truth.fork(2);
        (0..3).for_each(|_| world.truth.grow(5, Vec::new(), Vec::new()));
        let accept_fork = Some(world.truth.head().header.at.hash);
        world.tell(Input::Command(Command::Resume { accept_fork }), judge).unwrap();
        let by_one = replace(world, 1);
        world.tell(by_one, judge).unwrap();
        assert_eq!(world.state.standing.accept_fork, accept_fork, "operators must agree on what a person accepted");
        let by_two = replace(world, 3);
        world.tell(by_two, judge).unwrap();
        assert_eq!(world.state.standing.tip.map(|tip| tip.at.hash), accept_fork);
        assert_eq!(world.state.standing.accept_fork, None);
    });
}

/// The chain leaves so many blocks for one more, and the scanner follows.
fn follow(world: &mut World, depth: usize, judge: Judge<'_>) {
    world.truth.fork(depth);
    (0..=depth).for_each(|_| world.truth.grow(5, Vec::new(), Vec::new()));
    let input = replace(world, 3);
    world.tell(input, judge).unwrap();
    assert_eq!(world.state.standing.tip.unwrap().at, world.truth.head().header.at);
}

/// The branch from the newest block we share to its head, as these operators gave it.
fn replace(world: &mut World, operators: u8) -> Input {
    let fork = world.ours().next().map_or(Height(0), |tip| tip.header.at.height);
    let held =
        |height: &u64| world.truth.at(Height(*height)).is_some_and(|b| world.ours().any(|o| o.header == b.header));
    let fork = (0..=fork.0).rev().find(held).map(|h| world.truth.at(Height(h)).unwrap().header.at).unwrap();
    let head = world.truth.head().header.at.height;
    let by = world.segment(fork.height.next(), head, operators, true, false, false);
    Input::Replace { fork, by }
}
