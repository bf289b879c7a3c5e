//! By account and by block the same money is found, whatever happens.

use amn_core::block::TransferId;
use amn_core::source::{ChainSource as _, Position, Segment};
use amn_ton::address::Account;
use amn_ton::testkit::{History, Letter, Life, Outcome, text};
use proptest::prelude::*;

use super::stand::{Speaks, stand, watching};
use crate::support::{PAYER, STRANGER};

/// What happens next in an invented history.
#[derive(Clone, Debug)]
enum Step {
    /// One of three shops, or a stranger, is paid.
    Pay(u8, u32),
    /// A shop is paid and is gone with it.
    Go(u8),
    /// Shards make blocks that nobody commits yet.
    ShardBlocks,
    Close(u32),
    Split(usize),
    Merge(usize),
    /// Whoever follows looks now.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_u8, 1..1_000_u32).prop_map(|(who, amount)| Step::Pay(who, amount)),
        1 => (0..3_u8).prop_map(Step::Go),
        2 => Just(Step::ShardBlocks),
        6 => (1..4_u32).prop_map(Step::Close),
        1 => (0..8_usize).prop_map(Step::Split),
        1 => (0..8_usize).prop_map(Step::Merge),
        3 => Just(Step::Look),
    ]
}

fn shop(number: u8) -> Account {
    Account::new(0, [[0x11; 32], [0x77; 32], [0xdd; 32]][usize::from(number)])
}

type Told = Vec<(TransferId, u64, String)>;

fn told(segments: &[Segment]) -> Told {
    let blocks = segments.iter().flat_map(|segment| &segment.blocks);
    let told = blocks.flat_map(|block| {
        let height = block.header.at.height.0;
        block.transfers.iter().map(move |one| (one.id, height, one.amount.to_string()))
    });
    let mut told: Told = told.collect();
    told.sort();
    told
}

/// True where a shop is paid.
fn happens(history: &mut History, lives: &mut [Life], step: &Step) -> bool {
    match *step {
        Step::Pay(who, amount) => {
            let letter = Letter::from(PAYER, 1_000_000_000 + u128::from(amount)).saying(text("paid"));
            history.receive(&mut lives[usize::from(who)], &letter, Outcome::Accepted);
            return who < 3;
        }
        Step::Go(who) => {
            let letter = Letter::from(PAYER, 3_000_000_000).saying(text("last"));
            history.happen(&mut lives[usize::from(who)], |life| life.receive_and_go(&letter, Outcome::Accepted));
            return true;
        }
        Step::ShardBlocks => history.shard_blocks(),
        Step::Close(blocks) => history.pass(blocks),
        Step::Split(at) => {
            let shards = history.shards();
            if shards.len() < 6 {
                history.split(shards[at % shards.len()]);
            }
        }
        Step::Merge(at) => {
            // Each half has a block of its own before they are one.
            history.close();
            let shards = history.shards();
            let shard = shards[at % shards.len()];
            let lowest = shard & shard.wrapping_neg();
            if shards.len() > 1 && shards.contains(&(shard ^ (lowest << 1))) {
                history.merge((shard & !lowest) | (lowest << 1));
            }
        }
        Step::Look => {}
    }
    false
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let by_account = stand(&[Speaks::Both, Speaks::Tonapi]).await;
    let mut lives: Vec<Life> = (0..3).map(|number| Life::of(shop(number))).chain([Life::of(STRANGER)]).collect();
    let watch = watching((0..3).map(shop));
    let start = by_account.on.lock().unwrap().clone();
    let (mut on, mut expected, mut found) = (start.clone(), 0_usize, Vec::new());
    for step in steps.into_iter().chain([Step::Close(1), Step::Look]) {
        if !matches!(step, Step::Look) {
            expected += usize::from(happens(&mut by_account.history(), &mut lives, &step));
            continue;
        }
        let head = by_account.history().head();
        while on.tip.height < head.height {
            by_account.source.head().await.unwrap();
            let segment = by_account.source.segment(&on, head.height, None, &watch).await.unwrap();
            on = Position { tip: segment.tip.at, checkpoint: segment.checkpoint.clone() };
            found.push(segment);
        }
    }
    let found = told(&found);
    prop_assert_eq!(found.len(), expected, "each payment once");
    for speaks in [Speaks::Tonapi, Speaks::Node] {
        let nodes = vec![amn_ton::testkit::Node::share(by_account.history.clone()).await.unwrap()];
        let source = super::stand::source(&nodes, &[speaks], &by_account.network, &by_account.clock);
        let (mut on, mut all) = (start.clone(), Vec::new());
        let head = by_account.history().head();
        while on.tip.height < head.height {
            let segment = source.segment(&on, head.height, None, &watch).await.unwrap();
            on = Position { tip: segment.tip.at, checkpoint: segment.checkpoint.clone() };
            all.push(segment);
        }
        prop_assert_eq!(&told(&all), &found);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn by_account_and_by_block_the_same_is_found(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(steps))?;
    }
}
