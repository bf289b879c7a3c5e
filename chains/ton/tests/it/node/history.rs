//! What a history is: blocks that stand on each other, in shards that become more and fewer.

use std::collections::HashSet;

use amn_core::block::Hash;
use amn_ton::address::Account;
use amn_ton::testkit::{History, Id, Letter, Life, MASTERCHAIN, Outcome};
use amn_ton::transaction::Transaction;

use crate::support::*;

const LEFT: u64 = MASTERCHAIN / 2;
const RIGHT: u64 = MASTERCHAIN + LEFT;

/// Walks from a block's tips down to those of the one before it, and says what is between.
fn between(history: &History, seqno: u32) -> Vec<Id> {
    let known: HashSet<Id> = history.blocks[&(seqno - 1)].tips.iter().copied().collect();
    let (mut wanted, mut found) = (history.blocks[&seqno].tips.clone(), Vec::new());
    while let Some(next) = wanted.pop() {
        if known.contains(&next) || found.contains(&next) {
            continue;
        }
        let block = history.block(next.workchain, next.shard, next.seqno).unwrap();
        assert_eq!(block.id, next, "a tip names the block that is there");
        assert!(block.on.iter().all(|on| on.seqno < next.seqno));
        wanted.extend(&block.on);
        found.push(next);
    }
    found
}

fn seqno(at: amn_core::block::BlockRef) -> u32 {
    u32::try_from(at.height.0).unwrap()
}

#[test]
fn every_block_stands_on_the_one_before_and_holds_what_the_network_itself_does() {
    let mut history = History::new(-239);
    history.pass(5);
    let blocks: Vec<_> = history.blocks.values().cloned().collect();
    for (below, above) in blocks.iter().zip(&blocks[1..]) {
        assert_eq!(above.block.on, [below.block.id]);
        assert!(above.block.start_lt > below.block.end_lt);
        assert!(above.shards.iter().all(|shard| shard.end_lt < above.block.start_lt), "after all it commits");
        assert_eq!(above.block.transactions.len(), 3, "two ticks and a tock");
    }
    for account in history.accounts() {
        let life = history.life(account);
        for (before, after) in life.iter().zip(&life[1..]) {
            assert_eq!(after.before, before.at);
        }
        for kept in life {
            let read = Transaction::of_cell(account.workchain, kept.cell.as_ref().unwrap()).unwrap();
            assert_eq!((read.account, read.at), (*account, kept.at));
        }
    }
}

#[test]
fn two_histories_of_the_same_content_are_one_and_part_where_they_are_told_to() {
    let one = History::new(-239);
    assert_eq!(one.head(), History::new(-239).head());
    assert_ne!(one.head(), History::new(-3).head());
    let (mut one, mut other) = (one.clone(), one);
    assert_eq!(one.close(), other.close());
    other.part();
    assert_ne!(one.close(), other.close());
}

#[test]
fn what_waits_is_in_the_shard_it_belongs_to_and_in_the_block_that_commits_it() {
    let mut history = History::new(-239);
    history.split(MASTERCHAIN);
    let (left, right) = (Account::new(0, [0x10; 32]), Account::new(0, [0xf0; 32]));
    let letter = Letter::from(PAYER, 5);
    for account in [left, right, Account::new(-1, [7; 32])] {
        history.receive(&mut Life::of(account), &letter, Outcome::Accepted);
    }
    let at = seqno(history.close());
    let committed = history.blocks[&at].clone();
    let place = |account: &Account| {
        let kept = &history.life(account)[0];
        assert_eq!(kept.height, at);
        (kept.block.workchain, kept.block.shard)
    };
    assert_eq!(place(&left), (0, LEFT));
    assert_eq!(place(&right), (0, RIGHT));
    assert_eq!(place(&Account::new(-1, [7; 32])), (-1, MASTERCHAIN));
    for block in committed.blocks() {
        for kept in &block.transactions {
            assert!((block.start_lt..=block.end_lt).contains(&kept.at.lt), "{kept:?} in {block:?}");
        }
    }
}

#[test]
fn from_the_tips_of_a_block_every_way_down_ends_at_those_of_the_one_before() {
    let mut history = History::new(-239);
    history.pass(1);
    let one_each = seqno(history.close());
    assert_eq!(between(&history, one_each).len(), 1);
    let none = seqno(history.commit());
    assert_eq!(between(&history, none), [], "a masterchain block that commits no shard's");
    for _ in 0..3 {
        history.shard_blocks();
    }
    let three = seqno(history.commit());
    assert_eq!(between(&history, three).len(), 3);
    history.split(MASTERCHAIN);
    let promised = seqno(history.commit());
    assert_eq!(between(&history, promised), []);
    let split = seqno(history.close());
    assert_eq!(between(&history, split).len(), 2);
    history.split(RIGHT);
    let thirds = seqno(history.close());
    assert_eq!(between(&history, thirds).len(), 3, "three shards, which is no power of two");
    assert_eq!(history.blocks[&thirds].tips.len(), 3);
    history.shard_blocks();
    history.merge(RIGHT);
    let merged = seqno(history.close());
    assert_eq!(between(&history, merged).len(), 5, "three, and then the merged one and its neighbour");
    let block = history.blocks[&merged].shards.iter().find(|block| block.on.len() == 2).unwrap();
    assert_eq!(block.id.shard, RIGHT);
    history.merge(MASTERCHAIN);
    history.split(MASTERCHAIN);
    assert_eq!(history.shards(), [LEFT, RIGHT]);
}

#[test]
fn a_block_made_late_is_committed_late_though_its_time_is_earlier() {
    let mut history = History::new(-239);
    let mut shop = Life::of(SHOP);
    let made = history.receive(&mut shop, &Letter::from(PAYER, 5), Outcome::Accepted);
    let without = history.commit();
    let with = history.close();
    let kept = history.by_hash(&made.at.hash).unwrap();
    assert_eq!(u64::from(kept.height), with.height.0);
    assert!(kept.at.lt < history.blocks[&seqno(without)].block.end_lt);
}

#[test]
fn after_a_rewind_the_next_block_is_another_and_what_was_above_is_nowhere() {
    let mut history = History::new(-239);
    let mut shop = Life::of(SHOP);
    let kept = history.close();
    let before = shop.clone();
    let made = history.receive(&mut shop, &Letter::from(PAYER, 5), Outcome::Accepted);
    let dropped = history.close();
    history.rewind(seqno(kept));
    assert_eq!((history.head(), history.by_hash(&made.at.hash).is_some()), (kept, false));
    assert_eq!(history.life(&SHOP).len(), 0);
    let mut shop = before;
    history.receive(&mut shop, &Letter::from(PAYER, 5), Outcome::Accepted);
    let other = history.close();
    assert_eq!(other.height, dropped.height);
    assert_ne!(other.hash, dropped.hash);
    assert_eq!(between(&history, seqno(other)).len(), 1);
}

#[test]
fn a_real_block_is_a_history_whose_next_blocks_are_invented() {
    for file in BLOCKS {
        let Some(bytes) = real(file) else { return };
        let read = amn_ton::block::ShardBlock::decode(&bytes).unwrap();
        let mut history = History::of_real(&bytes).unwrap();
        let at = seqno(history.head());
        assert_eq!(at, read.masterchain.unwrap().0 + 5);
        let found = between(&history, at);
        assert_eq!(found.iter().map(|id| id.root).collect::<Vec<_>>(), [read.name.root]);
        let block = history.block(0, read.name.shard, read.name.seqno).unwrap();
        assert_eq!(block.transactions.len(), read.transactions.len());
        for transaction in &read.transactions {
            let kept = history.by_hash(&transaction.at.hash).unwrap();
            assert_eq!((kept.account, kept.height), (transaction.account, at));
            let life = history.life(&transaction.account);
            let on = transaction.on.map(|on| life.iter().find(|kept| kept.at == on).unwrap());
            assert!(on.is_none_or(|on| on.cell.is_none() || on.height == at), "what it stands on is known by name");
        }
        history.pass(3);
        assert_eq!(between(&history, at + 1).len(), history.shards().len());
        assert_ne!(history.head().hash, Hash([0; 32]));
    }
}
