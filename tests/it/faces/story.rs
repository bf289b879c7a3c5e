//! The life of a chain and of the faces it is seen through, told in advance: the same seed, the same story.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Whoever pays; anvil unlocks ten accounts, and the first one funds the others.
pub const PAYERS: usize = 9;

/// How much happens.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub blocks: u64,
    pub payments: usize,
    pub reorgs: usize,
    pub intents: usize,
}

/// What issue 3 asks for.
pub const FULL: Size = Size { blocks: 2_000, payments: 500, reorgs: 30, intents: 160 };

/// Deeper than a natural fork, and less deep than what is settled: else two watchers of one chain may rightly have
/// settled different money.
pub const DEPTH_MAX: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    pub payer: usize,
    pub intent: usize,
    pub amount: u128,
}

#[derive(Debug, Clone)]
pub enum Act {
    /// A block with these payments, then empty ones: so many in all.
    Blocks { payments: Vec<Payment>, count: u64 },
    /// The newest blocks are replaced, with payments at these offsets, and one more is mined.
    Reorg { depth: u64, branch: Vec<(Payment, u64)> },
}

/// What a face shows of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Healthy,
    Lagging(u64),
    /// The rules by which it lies or fails.
    Lying(Vec<String>),
}

/// One step: who shows what from now on, where that changes, and what the chain does.
#[derive(Debug, Clone)]
pub struct Step {
    pub roles: Option<[Role; 3]>,
    pub act: Act,
}

/// Every so many steps the faces change places by schedule.
const ROTATE_EVERY: usize = 30;
/// And by chance, once in so many steps on average.
const SHUFFLE_ONCE_IN: u32 = 15;

/// The story of a seed. `lies` are the rules a lying face may follow.
pub fn story(seed: u64, size: Size, lies: &[String]) -> Vec<Step> {
    let mut dice = StdRng::seed_from_u64(seed);
    let acts = acts(&mut dice, size);
    let mut steps = Vec::with_capacity(acts.len());
    for (number, act) in acts.into_iter().enumerate() {
        let by_schedule = number.is_multiple_of(ROTATE_EVERY);
        let roles = if by_schedule || dice.random_ratio(1, SHUFFLE_ONCE_IN) {
            let mut next = [Role::Healthy, Role::Lagging(dice.random_range(1..=6)), Role::Lying(some(&mut dice, lies))];
            if by_schedule {
                next.rotate_right(number / ROTATE_EVERY % 3);
            } else {
                next.shuffle(&mut dice);
            }
            Some(next)
        } else {
            None
        };
        steps.push(Step { roles, act });
    }
    steps
}

/// One to three of the lies, some of them told only now and then.
fn some(dice: &mut StdRng, lies: &[String]) -> Vec<String> {
    let count = dice.random_range(1..=3.min(lies.len()));
    (0..count)
        .map(|_| {
            let lie = &lies[dice.random_range(0..lies.len())];
            if dice.random_bool(0.5) {
                return lie.clone();
            }
            let join = if lie.contains(':') { ',' } else { ':' };
            format!("{lie}{join}chance={}", dice.random_range(100..=600))
        })
        .collect()
}

fn acts(dice: &mut StdRng, size: Size) -> Vec<Act> {
    // Many blocks come alone, the others in stretches, as after a pause of whoever looks.
    let plain = usize::try_from(size.blocks / 8).unwrap();
    let mut counts = vec![1_u64; plain];
    let mut left = size.blocks - plain as u64 - size.reorgs as u64;
    while left > 0 {
        let more = dice.random_range(1..=20.min(left));
        counts[dice.random_range(0..plain)] += more;
        left -= more;
    }
    let mut paid: Vec<Vec<Payment>> = vec![Vec::new(); plain];
    for _ in 0..size.payments {
        let amount = [400_000, 600_000, 1_000_000, 1_500_000][dice.random_range(0..4)];
        let payment =
            Payment { payer: dice.random_range(0..PAYERS), intent: dice.random_range(0..size.intents), amount };
        paid[dice.random_range(0..plain)].push(payment);
    }
    // Where the reorgs come: never first, nothing would be there to replace.
    let mut reorg_after: Vec<usize> = (0..size.reorgs).map(|_| dice.random_range(1..plain)).collect();
    reorg_after.sort_unstable();
    let mut reorg_after = reorg_after.into_iter().peekable();
    // What the newest blocks hold, oldest first; a reorg takes from its end.
    let mut blocks: Vec<Vec<Payment>> = Vec::new();
    let mut acts = Vec::with_capacity(plain + size.reorgs);
    for (number, (payments, count)) in paid.into_iter().zip(counts).enumerate() {
        blocks.push(payments.clone());
        blocks.extend((1..count).map(|_| Vec::new()));
        acts.push(Act::Blocks { payments, count });
        while reorg_after.next_if_eq(&number).is_some() {
            acts.push(reorg(dice, &mut blocks));
        }
    }
    acts
}

fn reorg(dice: &mut StdRng, blocks: &mut Vec<Vec<Payment>>) -> Act {
    let depth = dice.random_range(1..=DEPTH_MAX.min(blocks.len() as u64));
    let old = blocks.split_off(blocks.len() - usize::try_from(depth).unwrap());
    let mut branch: Vec<(Payment, u64)> = Vec::new();
    for (offset, payments) in (0..).zip(old) {
        for payment in payments {
            match dice.random_range(0..4) {
                // Gone.
                0 => {}
                // Elsewhere.
                1 => branch.push((payment, dice.random_range(0..depth))),
                // Something else in its place.
                2 => branch.push((Payment { amount: payment.amount + 1, ..payment }, offset)),
                _ => branch.push((payment, offset)),
            }
        }
    }
    // A payer's transactions are mined in the order of their nonces.
    branch.sort_by_key(|(_, offset)| *offset);
    for offset in 0..depth {
        blocks.push(branch.iter().filter(|(_, at)| *at == offset).map(|(payment, _)| *payment).collect());
    }
    blocks.push(Vec::new());
    Act::Reorg { depth, branch }
}

#[test]
fn a_story_is_as_long_as_it_should_be_and_the_same_for_the_same_seed() {
    let lies = ["one".to_owned(), "two:blocks=3".to_owned()];
    for seed in 0..20 {
        let told = story(seed, FULL, &lies);
        let (mut blocks, mut payments, mut reorgs) = (0, 0, 0);
        for step in &told {
            match &step.act {
                Act::Blocks { payments: paid, count } => {
                    blocks += count;
                    payments += paid.len();
                }
                Act::Reorg { depth, .. } => {
                    assert!((1..=DEPTH_MAX).contains(depth));
                    reorgs += 1;
                    blocks += 1;
                }
            }
        }
        assert_eq!((blocks, payments, reorgs), (FULL.blocks, FULL.payments, FULL.reorgs), "seed {seed}");
        let changes: Vec<_> = told.iter().filter_map(|step| step.roles.as_ref()).collect();
        assert!(changes.len() > 15, "the faces change: {}", changes.len());
        for roles in changes {
            assert_eq!(roles.iter().filter(|role| **role == Role::Healthy).count(), 1);
        }
        assert_eq!(format!("{told:?}"), format!("{:?}", story(seed, FULL, &lies)));
    }
}
