//! What may happen, as small numbers that shrink well. A plan says nothing of the state it will meet:
//! an action that makes no sense there is skipped and counted.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A payment: where to, how much, in what, with which reference; and whether it follows the next one.
#[derive(Clone, Copy, Debug)]
pub struct Pay {
    pub to: usize,
    pub amount: usize,
    pub asset: usize,
    pub reference: usize,
    /// Takes the name of an undone payment, with other content.
    pub again: bool,
}

/// What becomes of a payment whose block is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Kept,
    Dropped,
    /// Mined again so many blocks later (or earlier, where it was late in its branch).
    Moved(usize),
    /// Its name comes back with another amount.
    Changed,
}

#[derive(Clone, Debug)]
pub enum Action {
    Grow {
        blocks: usize,
        after: i64,
        pays: Vec<Pay>,
    },
    /// An issuer takes money back from an address.
    Takeback {
        to: usize,
        amount: usize,
    },
    Fork {
        depth: usize,
        length: usize,
        after: i64,
        fates: Vec<Fate>,
        reversed: bool,
        deep: bool,
    },
    /// The chain goes back to the branch it left.
    Return {
        length: usize,
    },
    /// The scanner reads on: at most so many blocks, in groups, with these operators.
    Sync {
        blocks: usize,
        group: usize,
        operators: u8,
        proven: bool,
        listed: bool,
        stale: bool,
    },
    Finality {
        safe: u64,
        finalized: u64,
        vouchers: u8,
        dead: bool,
        liar: bool,
    },
    Prove {
        which: usize,
        proven: bool,
        operators: u8,
    },
    Policy(usize),
    Cancel(usize),
    Accept(usize),
    Assign {
        deposit: usize,
        intent: usize,
    },
    Unassign(usize),
    /// A backend makes an intent that the readers do not know of yet.
    Ask {
        which: usize,
        due: usize,
        expires: Option<i64>,
    },
    Backfill {
        part: u64,
    },
    /// Whoever is read next leaves the payments out of a stretch.
    LeaveOut,
    /// Covered heights are read once more, whoever is paid there.
    Rescan {
        back: u64,
        blocks: u64,
    },
    Resume {
        accept: bool,
    },
    /// The last input comes once more.
    Repeat,
    Halt,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub instant_finality: bool,
    pub policy: usize,
    pub actions: Vec<Action>,
}

fn pay() -> impl Strategy<Value = Pay> {
    (0..8_usize, 0..10_usize, prop_oneof![8 => Just(0_usize), 2 => Just(1), 1 => Just(2)], 0..4_usize, any::<bool>())
        .prop_map(|(to, amount, asset, reference, again)| Pay { to, amount, asset, reference, again })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Kept),
        2 => Just(Fate::Dropped),
        2 => (0..6_usize).prop_map(Fate::Moved),
        1 => Just(Fate::Changed),
    ]
}

pub fn grow() -> impl Strategy<Value = Action> {
    (1..5_usize, prop_oneof![4 => 1..60_i64, 1 => 100..500_i64], vec(pay(), 1..5))
        .prop_map(|(blocks, after, pays)| Action::Grow { blocks, after, pays })
}

pub fn fork() -> impl Strategy<Value = Action> {
    let depth = prop_oneof![3 => 1..5_usize, 1 => 5..21_usize];
    (depth, 1..24_usize, 1..90_i64, vec(fate(), 8), any::<bool>(), prop::bool::weighted(0.15)).prop_map(
        |(depth, length, after, fates, reversed, deep)| Action::Fork { depth, length, after, fates, reversed, deep },
    )
}

pub fn sync() -> impl Strategy<Value = Action> {
    let blocks = prop_oneof![3 => Just(40_usize), 1 => 1..6_usize];
    (blocks, 1..6_usize, 1..8_u8, any::<bool>(), prop::bool::weighted(0.4), prop::bool::weighted(0.25)).prop_map(
        |(blocks, group, operators, proven, listed, stale)| Action::Sync {
            blocks,
            group,
            operators,
            proven,
            listed,
            stale,
        },
    )
}

pub fn finality() -> impl Strategy<Value = Action> {
    let lie = || prop::bool::weighted(0.1);
    (0..8_u64, 0..14_u64, 0..8_u8, lie(), lie()).prop_map(|(safe, finalized, vouchers, dead, liar)| Action::Finality {
        safe,
        finalized,
        vouchers,
        dead,
        liar,
    })
}

fn chain() -> BoxedStrategy<Action> {
    prop_oneof![
        6 => grow(),
        2 => fork(),
        1 => (0..3_usize).prop_map(|length| Action::Return { length }),
        7 => sync(),
        4 => finality(),
        2 => (0..8_usize, any::<bool>(), 0..8_u8)
            .prop_map(|(which, proven, operators)| Action::Prove { which, proven, operators }),
        1 => Just(Action::Repeat),
        1 => rescan(),
    ]
    .boxed()
}

fn rescan() -> impl Strategy<Value = Action> {
    (0..12_u64, 1..40_u64).prop_map(|(back, blocks)| Action::Rescan { back, blocks })
}

fn anything() -> BoxedStrategy<Action> {
    prop_oneof![
        16 => chain(),
        // Half of them from the address that two intents share.
        2 => (prop_oneof![0..8_usize, Just(2)], 0..10_usize).prop_map(|(to, amount)| Action::Takeback { to, amount }),
        1 => (0..8_usize).prop_map(Action::Policy),
        1 => (0..8_usize).prop_map(Action::Cancel),
        1 => (0..8_usize).prop_map(Action::Accept),
        2 => (0..6_usize, 0..8_usize).prop_map(|(deposit, intent)| Action::Assign { deposit, intent }),
        1 => (0..6_usize).prop_map(Action::Unassign),
        1 => (0..2_usize, 0..10_usize, option::of(200..1_500_i64))
            .prop_map(|(which, due, expires)| Action::Ask { which, due, expires }),
        2 => (0..20_u64).prop_map(|part| Action::Backfill { part }),
        1 => Just(Action::LeaveOut),
        1 => rescan(),
        5 => any::<bool>().prop_map(|accept| Action::Resume { accept }),
        1 => prop::bool::weighted(0.15).prop_map(|halt| if halt { Action::Halt } else { Action::Repeat }),
    ]
    .boxed()
}

/// Everything that may happen.
pub fn histories() -> impl Strategy<Value = Plan> {
    (prop::bool::weighted(0.05), 0..8_usize, vec(anything(), 12..55))
        .prop_map(|(instant_finality, policy, actions)| Plan { instant_finality, policy, actions })
}

/// Only what the chain and its readers do: nobody asks for anything, and the policy stays.
pub fn chain_histories() -> impl Strategy<Value = Plan> {
    (0..8_usize, vec(chain(), 6..35)).prop_map(|(policy, actions)| Plan { instant_finality: false, policy, actions })
}

/// A chain that only grows.
pub fn growing() -> impl Strategy<Value = Plan> {
    (0..8_usize, vec(grow(), 2..20)).prop_map(|(policy, actions)| Plan { instant_finality: false, policy, actions })
}
