//! Invented shards: split, merged, with several blocks between two of the masterchain and with none.

use amn_core::block::{BlockRef, Hash};
use amn_core::timestamp::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::address::Account;
use crate::source::ask::canned::Canned;
use crate::source::ask::v2::tests::{block_id, content as listed, enveloped, header, in_block, life, named as id};
use crate::source::ask::{Content, TONCENTER_V2};
use crate::testkit::Made;

const ALL: u64 = 1 << 63;
const LEFT: u64 = 1 << 62;
const RIGHT: u64 = 3 << 62;
/// In the left half, and in the right one.
const LEFTIST: Account = Account::new(0, [0x11; 32]);
const RIGHTIST: Account = Account::new(0, [0xee; 32]);
const SYSTEM: Account = Account::new(-1, [0x33; 32]);

/// A block: its name, what it stands on, its logical times in millions, its transactions.
type Block = (BlockId, Vec<BlockId>, (u64, u64), Vec<(Account, Made)>);

#[derive(Clone, Default)]
struct Shards {
    blocks: Vec<Block>,
    /// By masterchain number.
    tips: Vec<(u32, Vec<BlockId>)>,
}

impl Shards {
    fn answer(&self, target: &str) -> Value {
        let of = |name: &str| {
            let value = target.split(['?', '&']).find_map(|part| part.strip_prefix(&format!("{name}=")))?;
            value.parse::<i64>().ok()
        };
        let seqno = u32::try_from(of("seqno").unwrap_or_default()).unwrap();
        if target.starts_with("getMasterchainInfo") {
            return json!({ "last": block_id(&id(-1, ALL, 90, 90)) });
        }
        if target.starts_with("getShards") {
            let tips = &self.tips.iter().find(|(at, _)| *at == seqno).unwrap().1;
            return json!({ "shards": tips.iter().map(block_id).collect::<Vec<_>>() });
        }
        let (workchain, shard) = (of("workchain").unwrap(), of("shard").unwrap().cast_unsigned());
        let wanted = |block: &&Block| {
            let name = block.0.name;
            i64::from(name.workchain) == workchain && name.shard == shard && name.seqno == seqno
        };
        let (id, on, (start, end), made) = self.blocks.iter().find(wanted).unwrap_or_else(|| panic!("{target}"));
        if target.starts_with("getBlockHeader") {
            return header(id, on, (start * 1_000_000, end * 1_000_000));
        }
        listed(id, false, &made.iter().map(|(account, made)| in_block(account, made)).collect::<Vec<_>>())
    }

    async fn content(&self, before: &Tips) -> Result<(Vec<Account>, Tips, Vec<String>), Trouble> {
        let shards = self.clone();
        let node = Canned::of(TONCENTER_V2, move |target, _| (200, enveloped(&shards.answer(target)))).await;
        let row = Row {
            at: BlockRef { height: Height(50), hash: Hash([50; 32]) },
            time: Timestamp::from_seconds(0),
            global_id: None,
        };
        let (content, tips) = node.ask().content(&row, before).await?;
        let Content::Whole(found) = content else { panic!("it gives cells") };
        Ok((found.iter().map(|one| one.account).collect(), tips, node.asked()))
    }
}

/// The masterchain's block 50, with one transaction of the network's own.
fn fifty() -> Block {
    let made = life(SYSTEM, 1).remove(0);
    (id(-1, ALL, 50, 50), vec![id(-1, ALL, 49, 49)], (1, 9), vec![(SYSTEM, made)])
}

/// The nth payment to an account.
fn paid(account: Account, nth: u8) -> (Account, Made) {
    (account, life(account, nth).pop().unwrap())
}

fn one_shard() -> Shards {
    let (first, second, third) = (id(0, ALL, 700, 1), id(0, ALL, 701, 2), id(0, ALL, 702, 3));
    Shards {
        blocks: vec![
            fifty(),
            (second, vec![first], (2, 3), vec![paid(LEFTIST, 1)]),
            (third, vec![second], (3, 4), vec![paid(LEFTIST, 2), paid(RIGHTIST, 2)]),
        ],
        tips: vec![(49, vec![first]), (50, vec![third])],
    }
}

#[tokio::test]
async fn all_blocks_between_two_tips_are_read_and_the_masterchains_own() {
    let (found, tips, asked) = one_shard().content(&Tips::default()).await.unwrap();
    assert_eq!(found, [SYSTEM, LEFTIST, LEFTIST, RIGHTIST].map(|account| account), "by time, then by account");
    assert_eq!(tips.blocks, [id(0, ALL, 702, 3)]);
    assert_eq!(asked.len(), 2 + 2 + 3, "both tips, two headers, three lists");
    // The next walk is told where to stop.
    let (_, _, asked) = one_shard().content(&Tips { blocks: vec![id(0, ALL, 700, 1)] }).await.unwrap();
    assert_eq!(asked.len(), 6);
}

#[tokio::test]
async fn a_tip_as_before_holds_nothing_new() {
    let tip = id(0, ALL, 700, 1);
    let shards = Shards { blocks: vec![fifty()], tips: vec![(49, vec![tip]), (50, vec![tip])] };
    assert_eq!(shards.content(&Tips::default()).await.unwrap().0, [SYSTEM]);
}

#[tokio::test]
async fn a_shard_that_became_two_is_walked_to_the_one_it_was_and_once() {
    let (before, last) = (id(0, ALL, 700, 1), id(0, ALL, 701, 2));
    let (left, right) = (id(0, LEFT, 702, 3), id(0, RIGHT, 702, 4));
    let shards = Shards {
        blocks: vec![
            fifty(),
            (last, vec![before], (2, 2), vec![paid(LEFTIST, 1)]),
            (left, vec![last], (3, 3), vec![paid(LEFTIST, 2)]),
            (right, vec![last], (3, 3), vec![paid(RIGHTIST, 2)]),
        ],
        tips: vec![(49, vec![before]), (50, vec![left, right])],
    };
    let (found, tips, _) = shards.content(&Tips::default()).await.unwrap();
    assert_eq!(found, [SYSTEM, LEFTIST, LEFTIST, RIGHTIST]);
    assert_eq!(tips.blocks.len(), 2);
}

#[tokio::test]
async fn two_shards_that_became_one_are_walked_down_both() {
    let (left, right) = (id(0, LEFT, 700, 1), id(0, RIGHT, 705, 2));
    let (left_last, right_last) = (id(0, LEFT, 701, 3), id(0, RIGHT, 706, 4));
    let merged = id(0, ALL, 707, 5);
    let shards = Shards {
        blocks: vec![
            fifty(),
            (left_last, vec![left], (2, 2), vec![paid(LEFTIST, 1)]),
            (right_last, vec![right], (2, 2), vec![paid(RIGHTIST, 1)]),
            (merged, vec![left_last, right_last], (3, 4), vec![paid(RIGHTIST, 2)]),
        ],
        tips: vec![(49, vec![left, right]), (50, vec![merged])],
    };
    assert_eq!(shards.content(&Tips::default()).await.unwrap().0, [SYSTEM, LEFTIST, RIGHTIST, RIGHTIST]);
}

#[tokio::test]
async fn three_shards_are_no_power_of_two_and_walked_all_the_same() {
    let quarter = |nth: u64| (nth << 62) | (1 << 61);
    let (a, b, c) = (id(0, LEFT, 700, 1), id(0, quarter(2), 700, 2), id(0, quarter(3), 700, 3));
    let (a1, c1) = (id(0, LEFT, 701, 4), id(0, quarter(3), 701, 5));
    let shards = Shards {
        blocks: vec![
            fifty(),
            (a1, vec![a], (2, 2), vec![paid(LEFTIST, 1)]),
            (c1, vec![c], (2, 2), vec![paid(RIGHTIST, 1)]),
        ],
        tips: vec![(49, vec![a, b, c]), (50, vec![a1, b, c1])],
    };
    assert_eq!(shards.content(&Tips::default()).await.unwrap().0, [SYSTEM, LEFTIST, RIGHTIST]);
}

#[tokio::test]
async fn a_block_that_is_not_the_one_its_child_stands_on_is_a_lie() {
    let mut shards = one_shard();
    shards.blocks[1].0.name.root = Hash([77; 32]);
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Lie(_))));
    let mut shards = one_shard();
    shards.blocks[2].1 = vec![id(0, ALL, 703, 9)];
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Lie(_))), "it stands on one after it");
    let mut shards = one_shard();
    shards.blocks[2].1 = vec![id(-1, ALL, 49, 49)];
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Lie(_))), "or on one of another workchain");
}

#[tokio::test]
async fn a_way_that_passes_by_what_was_committed_ends() {
    let mut shards = one_shard();
    shards.tips[0].1 = vec![id(0, ALL, 700, 66)];
    let below = (id(0, ALL, 700, 1), vec![id(0, ALL, 699, 8)], (1, 1), Vec::new());
    shards.blocks.push(below);
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Failed(_))));
    let mut shards = one_shard();
    shards.blocks[1].1 = Vec::new();
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Failed(_))), "it stands on nothing");
}

#[tokio::test]
async fn no_shards_and_no_transactions_of_the_masterchain_are_no_answer() {
    let mut shards = one_shard();
    shards.tips[1].1.clear();
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Lacks(_))));
    let mut shards = one_shard();
    shards.blocks[0].3.clear();
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Lacks(_))));
    let mut shards = one_shard();
    shards.blocks[0].0.name.root = Hash([51; 32]);
    assert!(matches!(shards.content(&Tips::default()).await, Err(Trouble::Forked(_))));
}

#[test]
fn shards_are_of_one_line_where_one_holds_what_the_other_does() {
    let quarter = |nth: u64| (nth << 62) | (1 << 61);
    let line = |one: u64, other: u64| of_one_line(&id(0, one, 1, 1).name, &id(0, other, 2, 2).name);
    for (one, other) in [(ALL, ALL), (ALL, LEFT), (RIGHT, ALL), (LEFT, quarter(1)), (quarter(2), RIGHT), (LEFT, LEFT)] {
        assert!(line(one, other), "{one:x} {other:x}");
    }
    for (one, other) in [(LEFT, RIGHT), (quarter(0), quarter(1)), (LEFT, quarter(2)), (quarter(3), LEFT)] {
        assert!(!line(one, other), "{one:x} {other:x}");
    }
    assert!(!of_one_line(&id(0, ALL, 1, 1).name, &id(-1, ALL, 1, 1).name));
}

#[tokio::test]
async fn a_shard_far_ahead_of_another_is_not_walked_down_to_the_others_number() {
    let (left, right, next) = (id(0, LEFT, 100, 1), id(0, RIGHT, 900, 2), id(0, RIGHT, 902, 4));
    let mut shards = Shards { blocks: vec![fifty()], tips: vec![(49, vec![left, right]), (50, vec![left, next])] };
    // It does not stand on what was committed: of 901 there is another.
    for seqno in 500..=902 {
        let on = id(0, RIGHT, seqno - 1, 66);
        let own = if seqno == 902 { next } else { id(0, RIGHT, seqno, 66) };
        shards.blocks.push((own, vec![on], (2, 2), Vec::new()));
    }
    let node = Canned::of(TONCENTER_V2, move |target, _| (200, enveloped(&shards.answer(target)))).await;
    let tips = |blocks: &[BlockId]| Tips { blocks: blocks.to_vec() };
    let endpoint = node.ask().endpoint.clone();
    let walked = walked(&endpoint, &tips(&[left, right]), &tips(&[left, next])).await;
    assert!(matches!(walked, Err(Trouble::Failed(_))));
    assert_eq!(node.asked().len(), 2, "902 and 901, and no further");
}

#[test]
fn a_walk_has_an_end() {
    let head = |seqno: u32| {
        let header: Value = header(&id(0, ALL, seqno, 1), &[id(0, ALL, seqno - 1, 1)], (1, 2));
        v2::tests::head_of(&header)
    };
    let mut walk = Walk::down_to(&[]);
    walk.want(&[id(0, ALL, 100_000, 1)]);
    let mut steps = 0;
    let stopped = loop {
        match walk.next() {
            Ok(Some(next)) => walk.take(head(next.name.seqno)).unwrap(),
            Ok(None) => panic!("there is always one below"),
            Err(trouble) => break trouble,
        }
        steps += 1;
    };
    assert!(matches!(stopped, Trouble::TooMuch(_)) && steps == BLOCKS_MAX);
}

/// Shards that grow, become two and become one, in rounds.
#[derive(Default)]
struct Invented {
    heads: Vec<BlockHead>,
    tips: Vec<BlockId>,
    made: u64,
}

impl Invented {
    /// A block of this shard on these; its name in the round's list.
    fn make(&mut self, shard: u64, on: &[BlockId]) -> BlockId {
        self.made += 1;
        let seqno = on.iter().map(|on| on.name.seqno).max().unwrap_or(100) + 1;
        let mut made = id(0, shard, seqno, 0);
        made.name.root.0[..8].copy_from_slice(&self.made.to_be_bytes());
        self.heads.push(v2::tests::head_of(&header(&made, on, (self.made, self.made))));
        self.tips.retain(|tip| !on.contains(tip));
        self.tips.push(made);
        made
    }

    /// What becomes of one of its shards; the blocks it made.
    fn step(&mut self, which: usize, what: u8) -> Vec<BlockId> {
        let tip = self.tips[which % self.tips.len()];
        let shard = tip.name.shard;
        let last = shard & shard.wrapping_neg();
        let sibling = shard ^ (last << 1);
        let beside = self.tips.iter().copied().find(|tip| tip.name.shard == sibling);
        match (what, beside) {
            // As deep as eight halves of halves.
            (0, _) if last > 1 << 60 => {
                let halves = [shard - (last >> 1), shard + (last >> 1)];
                let made = halves.map(|half| self.make(half, &[tip]));
                made.to_vec()
            }
            (1, Some(beside)) if shard != ALL => {
                let whole = (shard & !last & !(last << 1)) | (last << 1);
                let (left, right) = if shard < sibling { (tip, beside) } else { (beside, tip) };
                vec![self.make(whole, &[left, right])]
            }
            _ => vec![self.make(shard, &[tip])],
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    /// However shards change between two masterchain blocks, the walk finds what was made there and nothing else.
    #[test]
    fn a_walk_finds_each_block_once_and_none_of_those_before(
        rounds in proptest::collection::vec(proptest::collection::vec((0..16_usize, 0..5_u8), 0..12), 1..8),
    ) {
        let mut shards = Invented::default();
        shards.make(ALL, &[]);
        let mut before = shards.tips.clone();
        for round in rounds {
            let made: HashSet<BlockName> =
                round.into_iter().flat_map(|(which, what)| shards.step(which, what)).map(|id| id.name).collect();
            let mut walk = Walk::down_to(&before);
            walk.want(&shards.tips);
            while let Some(next) = walk.next().unwrap() {
                let head = shards.heads.iter().find(|head| head.id == next).unwrap();
                walk.take(head.clone()).unwrap();
            }
            proptest::prop_assert_eq!(walk.found.len(), made.len());
            let found: HashSet<BlockName> = walk.found.iter().map(|head| head.id.name).collect();
            proptest::prop_assert_eq!(found, made);
            before.clone_from(&shards.tips);
        }
    }
}
