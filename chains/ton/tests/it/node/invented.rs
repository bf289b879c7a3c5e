//! Whatever happens on a network, its history hangs together: blocks stand on blocks, every transaction is in one of
//! them, and every way down from the tips finds them all.

use std::collections::{BTreeSet, HashSet};

use amn_ton::address::Account;
use amn_ton::testkit::{History, Id, Letter, Life, MASTERCHAIN, Outcome};
use proptest::prelude::*;

use crate::support::*;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// This account is paid.
    Pay(u8),
    /// This account is paid for the last time.
    Go(u8),
    ShardBlocks,
    Commit,
    Close,
    Split(u8),
    Merge(u8),
    /// So many blocks are taken back.
    Rewind(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..8_u8).prop_map(Step::Pay),
        1 => (0..8_u8).prop_map(Step::Go),
        3 => Just(Step::ShardBlocks),
        2 => Just(Step::Commit),
        4 => Just(Step::Close),
        2 => any::<u8>().prop_map(Step::Split),
        2 => any::<u8>().prop_map(Step::Merge),
        1 => (1..4_u8).prop_map(Step::Rewind),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Eight accounts of shards, and one of the masterchain.
fn account(number: u8) -> Account {
    if number == 7 { Account::new(-1, [7; 32]) } else { Account::new(0, [number << 5 | 3; 32]) }
}

fn play(steps: &[Step]) -> History {
    let mut history = History::new(-239);
    let mut lives: Vec<Life> = (0..8).map(|number| Life::of(account(number))).collect();
    // Of a branch that was taken back nobody's life may go on.
    let mut at_heights = vec![(history.head(), lives.clone())];
    for step in steps {
        match *step {
            Step::Pay(number) => {
                history.receive(&mut lives[usize::from(number)], &Letter::from(PAYER, 5), Outcome::Accepted);
            }
            Step::Go(number) => {
                let letter = Letter::from(PAYER, 5);
                let life = &mut lives[usize::from(number)];
                history.happen(life, |life| life.receive_and_go(&letter, Outcome::Accepted));
            }
            Step::ShardBlocks => history.shard_blocks(),
            Step::Commit => drop(history.commit()),
            Step::Close => {
                let at = history.close();
                at_heights.push((at, lives.clone()));
            }
            Step::Split(which) => {
                let shards = history.shards();
                let shard = shards[usize::from(which) % shards.len()];
                if shards.len() < 6 {
                    history.shard_blocks();
                    history.split(shard);
                }
            }
            Step::Merge(which) => {
                let shards = history.shards();
                let shard = shards[usize::from(which) % shards.len()];
                let ending = shard & shard.wrapping_neg();
                if shards.len() > 1 && shards.contains(&(shard ^ (ending << 1))) {
                    history.shard_blocks();
                    history.merge((shard - ending) | (ending << 1));
                }
            }
            Step::Rewind(blocks) => {
                let keep = at_heights.len().saturating_sub(usize::from(blocks)).max(1);
                at_heights.truncate(keep);
                let (at, before) = at_heights.last().unwrap();
                history.rewind(u32::try_from(at.height.0).unwrap());
                lives.clone_from(before);
            }
        }
    }
    history.close();
    history
}

/// Every account belongs to exactly one of these shards.
fn covers(shards: &[u64]) -> bool {
    shards.iter().map(|shard| u128::from(shard & shard.wrapping_neg()) * 2).sum::<u128>() == 1 << 64
}

fn between(history: &History, from: &[Id], known: &HashSet<Id>) -> HashSet<Id> {
    let (mut wanted, mut found) = (from.to_vec(), HashSet::new());
    while let Some(next) = wanted.pop() {
        if !known.contains(&next) && found.insert(next) {
            let block = history.block(next.workchain, next.shard, next.seqno).unwrap();
            assert_eq!(block.id, next);
            assert!(!block.on.is_empty() && block.on.iter().all(|on| on.seqno < next.seqno));
            wanted.extend(&block.on);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_a_history_hangs_together(steps in steps()) {
        let history = play(&steps);
        let (mut seen, mut tips) = (BTreeSet::new(), HashSet::new());
        let mut before: Option<Id> = None;
        for (seqno, committed) in &history.blocks {
            prop_assert_eq!(committed.block.id.seqno, *seqno);
            if let Some(before) = before {
                prop_assert_eq!(&committed.block.on, &vec![before]);
                let committed_now: HashSet<Id> = committed.shards.iter().map(|block| block.id).collect();
                prop_assert_eq!(between(&history, &committed.tips, &tips), committed_now);
            }
            for block in committed.blocks() {
                prop_assert_eq!(block.height, *seqno);
                for kept in &block.transactions {
                    prop_assert_eq!((kept.height, kept.block), (*seqno, block.id));
                    prop_assert!((block.start_lt..=block.end_lt).contains(&kept.at.lt));
                    prop_assert!(kept.at.lt <= committed.block.end_lt, "none is after the block that commits it");
                    prop_assert!(seen.insert((kept.account, kept.at.lt)), "in one block alone");
                    prop_assert_eq!(history.by_hash(&kept.at.hash).unwrap().at, kept.at);
                }
            }
            before = Some(committed.block.id);
            tips = committed.tips.iter().copied().collect();
        }
        prop_assert!(covers(&history.shards()));
        let known: usize = history.accounts().map(|account| history.life(account).len()).sum();
        prop_assert_eq!(known, seen.len());
        for account in history.accounts() {
            let life = history.life(account);
            for (one, next) in life.iter().zip(&life[1..]) {
                let reborn = next.before.lt == 0 && one.ends == tycho_types::models::AccountStatus::NotExists;
                prop_assert!(next.before == one.at || reborn, "{:?} after {:?}", next, one);
            }
        }
        prop_assert!(history.shards().contains(&MASTERCHAIN) || history.shards().len() > 1);
    }
}
