//! Holds the laws of the engine over invented histories: each law is one test, each test plays thousands.
//!
//! `AMN_HISTORIES` sets how many each law plays, `AMN_SEED` which; failures leave their seed in
//! `proptest-regressions`, where every law plays it again for ever. Read on in `histories/plan.rs`.

mod histories;
mod laws;
mod stories;

use amn_core::block::{BlockRef, Hash, Height, Operator};
use amn_core::engine::{Effect, Input, State, step};
use amn_core::source::{Coverage, Voucher};
use amn_core::timestamp::Timestamp;
use histories::plan::{self, Plan};
use histories::world::{Step, World};
use histories::{count, counts, facts};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner};

type Verdict = Result<(), TestCaseError>;

/// Histories per law. Three and twenty laws make over ten thousand in a run of `cargo test`.
const HISTORIES: u32 = 550;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn cases() -> u32 {
    number("AMN_HISTORIES").and_then(|n| u32::try_from(n).ok()).unwrap_or(HISTORIES)
}

/// Plays many plans. The same ones each time, unless the environment says otherwise: a suite that fails
/// by luck is one that people stop reading.
fn play<P: std::fmt::Debug>(plans: impl Strategy<Value = P>, law: impl Fn(P) -> Verdict) {
    let cases = cases();
    let seed = histories::truth::digest(&format!("{}", number("AMN_SEED").unwrap_or(0)));
    let config = Config {
        cases,
        max_global_rejects: cases.saturating_mul(20),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/forks.txt"))),
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed.0);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(&plans, law) {
        panic!("{failure}");
    }
}

/// Plays histories and judges each step.
fn at_every_step(judge: impl Fn(&World, &Step) -> Verdict) {
    play(plan::histories(), |plan| world(&plan).play(&plan, &mut |world, step| judge(world, step)));
}

fn world(plan: &Plan) -> World {
    World::new("devnet", plan.instant_finality, plan.policy, now())
}

fn after(state: &State, effects: &[Effect]) -> State {
    let mut state = state.clone();
    for effect in effects {
        state.apply(effect);
    }
    state
}

#[test]
fn a_transfer_is_counted_at_most_once() {
    at_every_step(|world, _| laws::counted_once(world));
}

#[test]
fn every_payment_on_our_chain_is_a_deposit() {
    at_every_step(|world, _| laws::nothing_is_missed(world));
}

#[test]
fn what_a_contract_says_is_heard_once_by_each_who_listens() {
    at_every_step(|world, _| {
        laws::heard_once(world)?;
        laws::nothing_is_unheard(world)
    });
}

#[test]
fn what_a_contract_says_is_told_once_in_order_and_never_before_it_settled() {
    at_every_step(laws::told_in_order);
}

#[test]
fn what_a_contract_said_is_undone_only_by_leaving_the_chain() {
    at_every_step(laws::unheard_for_a_reason);
}

#[test]
fn a_repeated_segment_changes_nothing() {
    at_every_step(|world, told| {
        if matches!(told.input, Input::Command(_)) {
            return Ok(());
        }
        let again = step(&world.state, &told.input).unwrap_or_default();
        prop_assert!(!again.iter().any(|e| matches!(e, Effect::Announce(_))), "told twice: {again:?}");
        prop_assert!(after(&world.state, &again) == world.state, "changed twice: {:?} {again:?}", told.input);
        Ok(())
    });
}

#[test]
fn a_decision_is_the_same_whoever_takes_it_from_the_same_state() {
    // A restart at every point: what is in memory is what the effects made of the rows.
    at_every_step(|world, told| {
        let again = step(&told.before, &told.input).unwrap_or_default();
        prop_assert_eq!(&again, &told.effects);
        let mut rebuilt = after(&told.before, &again);
        rebuilt.standing.revision = world.state.standing.revision;
        prop_assert!(rebuilt == world.state);
        Ok(())
    });
}

#[test]
fn finality_of_a_block_we_do_not_stand_on_settles_nothing() {
    at_every_step(|world, _| {
        let Some(tip) = world.state.standing.tip else { return Ok(()) };
        for height in [tip.at.height, tip.at.height.back(3), Height(tip.at.height.0 + 5), Height(u64::MAX)] {
            let block = BlockRef { height, hash: Hash([9; 32]) };
            let vouchers = ["ann", "bob", "cem"].map(|name| Voucher { operator: Operator::new(name), block }).to_vec();
            let input = Input::Finality { safe: Some(block), finalized: Some(block), vouchers };
            let mut effects = step(&world.state, &input).unwrap_or_default();
            effects.retain(|e| !matches!(e, Effect::Alarm(_)));
            // After a halt something may be due that no word of a node is needed for.
            let silent = Input::Finality { safe: None, finalized: None, vouchers: Vec::new() };
            prop_assert_eq!(effects, step(&world.state, &silent).unwrap_or_default());
        }
        Ok(())
    });
}

#[test]
fn settled_sums_equal_the_deposits_that_are_settled() {
    at_every_step(|world, _| laws::sums_are_of_deposits(&world.state));
}

#[test]
fn every_change_is_announced_once_and_in_order() {
    at_every_step(laws::announced);
}

#[test]
fn every_move_is_legal() {
    at_every_step(|_, told| laws::legal(told));
}

#[test]
fn nothing_settles_without_its_terms() {
    at_every_step(laws::settled_by_terms);
}

#[test]
fn a_settled_deposit_is_undone_only_by_leaving_the_chain_or_by_its_issuer() {
    at_every_step(laws::undone_for_a_reason);
}

#[test]
fn of_an_address_no_more_is_undone_than_its_issuer_took() {
    at_every_step(|_, told| laws::taken_no_more_than_was_taken(told));
}

#[test]
fn a_shorter_branch_moves_nothing_without_agreement() {
    at_every_step(|_, told| {
        let Input::Replace { by, .. } = &told.input else { return Ok(()) };
        let rewound = told.effects.iter().any(|e| matches!(e, Effect::Rewind { .. }));
        let shorter = told.before.standing.tip.is_some_and(|tip| by.tip.at.height < tip.at.height);
        let reversed = told.effects.iter().any(laws::is_reversal);
        let agreed = by.operators.len() >= 2;
        count(if shorter { "shorter branch" } else { "longer branch" });
        prop_assert!(!rewound || agreed || !shorter, "followed a shorter branch on one operator's word");
        prop_assert!(agreed || !reversed || !by.blocks.iter().all(|b| b.takebacks.is_empty()), "undid settled money");
        Ok(())
    });
}

#[test]
fn a_fork_below_finalized_halts_and_resumes_only_by_acceptance() {
    at_every_step(laws::halts);
}

#[test]
fn an_intent_expires_only_behind_a_settled_block() {
    at_every_step(laws::expired_behind_settled);
}

#[test]
fn no_wall_clock_decides() {
    play(plan::histories(), |plan| {
        let mut stories = Vec::new();
        for clock in [Timestamp::from_millis(0), now(), Timestamp::from_millis(i64::MAX)] {
            let mut told: Vec<Vec<Effect>> = Vec::new();
            let mut world = World::new("devnet", plan.instant_finality, plan.policy, clock);
            world.play(&plan, &mut |_, step| {
                told.push(step.effects.iter().map(laws::without_clock).collect());
                Ok(())
            })?;
            stories.push(told);
        }
        prop_assert_eq!(&stories[0], &stories[1]);
        prop_assert_eq!(&stories[0], &stories[2]);
        Ok(())
    });
}

#[test]
fn one_network_never_changes_anothers_rows() {
    play(plan::histories(), |plan| {
        let mut names = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
        for (network, names) in ["left", "right"].into_iter().zip(&mut names) {
            World::new(network, plan.instant_finality, plan.policy, now()).play(&plan, &mut |world, step| {
                for effect in &step.effects {
                    let (rows, event) = laws::rows_of(effect);
                    for row in rows {
                        prop_assert!(laws::knows(&world.state, &row), "{network} changes {row}");
                        names.insert(row);
                    }
                    names.extend(event);
                }
                Ok(())
            })?;
        }
        prop_assert!(names[0].is_disjoint(&names[1]));
        Ok(())
    });
}

#[test]
fn n_segments_of_one_tell_what_one_segment_of_n_tells() {
    play((plan::growing(), 1..6_usize, any::<bool>(), 1..8_u8), |(plan, group, asked, operators)| {
        let mut told: Vec<(Vec<_>, State)> = Vec::new();
        for group in [usize::MAX, 1, group] {
            let mut world = world(&plan);
            world.play(&plan, &mut |_, _| Ok(()))?;
            let _ = asked.then(|| {
                // Newer than the watch set that the stretch is read with.
                world.watch.0 += 1;
                world.ask(&facts::Ask { address: "N6", expires: Some(60), ..facts::PLAIN })
            });
            let (first, last) = (histories::truth::FIRST + 1, world.truth.head().header.at.height);
            let all = world.segment(Height(first), last, operators, true, false, asked);
            let mut events = Vec::new();
            let mut parent = all.parent;
            for blocks in all.blocks.chunks(group.min(all.blocks.len())) {
                let tip = blocks.last().map_or(all.tip, |b| b.header);
                let part = amn_core::source::Segment {
                    parent,
                    blocks: blocks.to_vec(),
                    tip,
                    coverage: Coverage::Linked,
                    ..all.clone()
                };
                parent = tip.at;
                world.tell(Input::Extend(part), &mut |_, step| {
                    events.extend(step.effects.iter().filter_map(laws::event_without_free_id));
                    Ok(())
                })?;
            }
            world.state.standing.revision = 0;
            told.push((events, world.state));
        }
        count("grouped segments");
        prop_assert_eq!(&told[0].0, &told[1].0);
        prop_assert_eq!(&told[0].0, &told[2].0);
        prop_assert!(told.iter().all(|(_, state)| laws::same_but_headers(state, &told[0].1)));
        Ok(())
    });
}

#[test]
fn two_histories_with_the_same_last_chain_end_alike() {
    play(plan::chain_histories(), |plan| {
        let mut forked = world(&plan);
        // What moves below the height from which it is listened for stays heard: how it came there would tell.
        forked.state.listeners = facts::listeners(0);
        let mut settled_on_a_dead_branch = false;
        forked.play(&plan, &mut |_, step| {
            settled_on_a_dead_branch |= laws::leaves_what_settled(step);
            Ok(())
        })?;
        laws::calm_down(&mut forked);
        laws::read_to_the_end(&mut forked, 3, &mut |_, step| {
            settled_on_a_dead_branch |= laws::leaves_what_settled(step);
            Ok(())
        })?;
        if settled_on_a_dead_branch || forked.state.standing.halted.is_some() || !forked.taken.is_empty() {
            count("skipped: settled on a dead branch");
            return Ok(());
        }
        let mut straight = world(&plan);
        straight.state.listeners = facts::listeners(0);
        straight.play(&Plan { actions: Vec::new(), ..plan }, &mut |_, _| Ok(()))?;
        std::mem::swap(&mut straight.truth, &mut forked.truth);
        laws::read_to_the_end(&mut straight, 3, &mut |_, _| Ok(()))?;
        count("ended alike");
        prop_assert_eq!(laws::end(&forked.state), laws::end(&straight.state));
        Ok(())
    });
}

#[test]
fn step_never_panics() {
    // Each step of each history, and then inputs that no source would send.
    play((plan::histories(), laws::absurd()), |(plan, absurd)| {
        let mut world = world(&plan);
        world.play(&plan, &mut |_, _| Ok(()))?;
        let mut state = world.state;
        for input in absurd.iter().flat_map(|a| a.inputs(&state)).collect::<Vec<_>>() {
            let effects = step(&state, &input).unwrap_or_default();
            state = after(&state, &effects);
            count("absurd input");
        }
        Ok(())
    });
}

#[test]
fn the_histories_exercise_every_kind() {
    at_every_step(|world, told| {
        laws::legal(told)?;
        laws::settled_by_terms(world, told)?;
        laws::halts(world, told)?;
        laws::told_in_order(world, told)?;
        laws::expired_behind_settled(world, told)
    });
    let counts = counts();
    for (what, times) in &counts {
        println!("{times:>9} {what}");
    }
    let missing: Vec<&str> =
        laws::EVERY_KIND.into_iter().filter(|kind| counts.get(kind).is_none_or(|n| *n < 3)).collect();
    if cases() < HISTORIES {
        return println!("too few histories were asked for to say what they never come to");
    }
    assert!(missing.is_empty(), "the histories never come to {missing:?}");
}
