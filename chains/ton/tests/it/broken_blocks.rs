//! Whole blocks, broken: refused, or read as another block than the one somebody vouched for.

use amn_core::source::Watch;
use amn_ton::block::ShardBlock;
use amn_ton::decode::{self, Wallets};
use amn_ton::testkit::{Letter, Life, Outcome, Payload, internal_transfer, shard_block, text};

use crate::breaking::{Cost, affordable, dice, measured, mutate};
use crate::support::*;

/// How many are broken in a usual run, for each hundred broken transactions: a block is a hundred times as large.
const SHARE: u64 = 100;

/// How many in `./soak`.
const BLOCKS_FULL: u64 = 10_000;

/// A block as a node of an empty shard would make it: payments of both kinds, and a stranger who advertises.
fn invented() -> Vec<u8> {
    let wallet = wallet(&mainnet().registry, SHOP);
    let transfer = internal_transfer(9, 25_000_000, Some(&PAYER), 1, &Payload::Apart(text("order 17")));
    let (mut shop, mut purse) = (Life::of(SHOP), Life::of(wallet));
    let native = shop.receive(&Letter::from(PAYER, 25_000_000_000).saying(text("order 17")), Outcome::Undeployed);
    let spam = shop.receive(&Letter::from(STRANGER, 1).saying(text(&"cheap! ".repeat(30))), Outcome::NoGas);
    let jetton = purse.receive(&Letter::from(STRANGER, 5_000_000).saying(transfer), Outcome::Accepted);
    let mut lives: Vec<_> = (10..60_u8).map(|id| Life::of(amn_ton::address::Account::new(0, [id; 32]))).collect();
    let strangers: Vec<_> = lives
        .iter_mut()
        .map(|life| (life.account, life.receive(&Letter::from(PAYER, 7_000_000), Outcome::Accepted)))
        .collect();
    let ours = [(SHOP, &native), (SHOP, &spam), (wallet, &jetton)];
    let all: Vec<_> = ours.into_iter().chain(strangers.iter().map(|(account, made)| (*account, made))).collect();
    shard_block(57_314_442, &all).unwrap()
}

/// Blocks to be broken, and how each reads when it is whole.
fn victims() -> Vec<(Vec<u8>, ShardBlock)> {
    let all = BLOCKS.into_iter().filter_map(real).chain([invented()]);
    all.map(|bytes| (ShardBlock::decode(&bytes).map(|block| (bytes, block))).unwrap()).collect()
}

#[test]
fn an_invented_block_reads_as_the_transactions_it_was_made_of() {
    let block = ShardBlock::decode(&invented()).unwrap();
    assert_eq!((block.global_id, block.name.workchain, block.name.seqno), (-239, 0, 57_314_442));
    assert_eq!((block.transactions.len(), block.on.len(), block.masterchain.is_some()), (53, 1, true));
    assert!(block.transactions.iter().all(|one| block.holds(&one.account)));
    let registry = down_to_one();
    let wallets = Wallets::of(&registry, [SHOP]);
    let found = decode::block(&registry, &wallets, &watch([SHOP]), header(), &block.transactions);
    let amounts: Vec<_> = found.transfers.iter().map(|transfer| transfer.amount.units()).collect();
    assert_eq!(amounts, [25_000_000_000, 25_000_000, 1]);
}

/// What one run came to.
struct Run {
    rounds: u64,
    honest: usize,
    /// How many are still blocks, and how many still the ones they were.
    read: u64,
    same: u64,
    dearest: Cost,
}

/// Breaks blocks, and looks at each that it is told from the honest one by its name, and costs no more than it may.
fn break_blocks(rounds: u64) -> Run {
    let (registry, everybody) = (down_to_one(), Watch::everything(true));
    let wallets = Wallets::of(&registry, [SHOP]);
    let victims = victims();
    let mut run = Run { rounds, honest: victims.len(), read: 0, same: 0, dearest: Cost::default() };
    for round in 0..rounds {
        let mut dice = dice(round);
        let (honest, whole) = &victims[dice.roll(victims.len())];
        let bytes = mutate(honest, &mut dice);
        let (block, cost) = measured(|| {
            let block = ShardBlock::decode(&bytes).ok()?;
            Some((decode::block(&registry, &wallets, &everybody, header(), &block.transactions), block))
        });
        assert!(
            affordable(cost, bytes.len()),
            "round {round}: {} bytes, {} B, {:?}",
            bytes.len(),
            cost.memory,
            cost.time
        );
        run.dearest = run.dearest.max(cost);
        let Some((_, block)) = block else { continue };
        run.read += 1;
        if block.name.root == whole.name.root {
            run.same += 1;
            // What the hash covers is what it was: a block that keeps its name keeps everything.
            let cells = ShardBlock::cells(&bytes).unwrap();
            let before = ShardBlock::cells(honest).unwrap();
            assert!(
                cells.iter().map(|cell| cell.repr_hash()).eq(before.iter().map(|cell| cell.repr_hash())),
                "{round}"
            );
            assert_eq!(block.on, whole.on, "round {round}");
        }
    }
    run
}

#[test]
fn broken_blocks_are_refused_or_told_from_the_honest_one_and_never_panic() {
    let transactions: u64 = std::env::var("AMN_MUTATIONS").map_or(10_000, |text| text.parse().unwrap());
    let run = break_blocks(transactions / SHARE);
    println!(
        "{} broken blocks of {} honest ones: {} still read, {} still the same; at most {} bytes of memory, {:?}",
        run.rounds, run.honest, run.read, run.same, run.dearest.memory, run.dearest.time
    );
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[test]
#[ignore = "long: ./soak"]
fn soak_ton_blocks_broken_ten_thousand_times() {
    if std::env::var("AMN_SOAK").as_deref() != Ok("full") {
        println!("skipped: AMN_SOAK is not \"full\"");
        return;
    }
    let run = break_blocks(BLOCKS_FULL);
    assert!(run.read > 0 && run.same > 0, "{} read, {} the same: it shows little", run.read, run.same);
    println!(
        "figure: broken TON blocks: {} tried of {} honest ones, {} still read, {} still the same, 0 panics; at most {} kB of \
         memory and {:.1} ms of CPU for one",
        run.rounds,
        run.honest,
        run.read,
        run.same,
        run.dearest.memory / 1_000,
        run.dearest.time.as_secs_f64() * 1_000.0
    );
}
