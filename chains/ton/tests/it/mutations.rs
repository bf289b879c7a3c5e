//! Broken and hostile bags by the thousand: an error or a named contradiction, never a panic, never money.

use std::time::Duration;

use amn_core::block::Block;
use amn_core::source::Watch;
use amn_ton::address::Account;
use amn_ton::block::ShardBlock;
use amn_ton::cell::{self, BYTES_MAX, CELLS_MAX, CellError, DEPTH_MAX, MEMORY_PER_CELL};
use amn_ton::decode::{self, Registry, Wallets};
use amn_ton::evidence::Descent;
use amn_ton::testkit::{Letter, Life, Outcome, Payload, binary, internal_transfer, notification, text};
use amn_ton::transaction::{Link, Transaction};
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder};

use crate::breaking::{affordable, dice, measured, mutate, peak};
use crate::support::*;

/// How many are broken in a usual run; `AMN_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 10_000;

/// How many in `./soak`.
const MUTATIONS_FULL: u64 = 200_000;

/// An honest bag to be broken.
struct Victim {
    bytes: Vec<u8>,
    account: Account,
    at: Link,
    honest: Block,
}

/// Who reads broken transactions: a shop, and whoever else one is of.
struct Reader {
    registry: Registry,
    wallets: Wallets,
}

impl Reader {
    fn new() -> Self {
        let registry = down_to_one();
        let wallets = Wallets::of(&registry, [SHOP]);
        Self { registry, wallets }
    }

    /// What a transaction holds for anybody.
    fn found(&self, transaction: Transaction) -> Block {
        decode::block(&self.registry, &self.wallets, &Watch::everything(true), header(), &[transaction])
    }

    fn victim(&self, account: Account, bytes: Vec<u8>) -> Victim {
        let transaction = Transaction::decode(account.workchain, &bytes).unwrap();
        let (at, honest) = (transaction.at, self.found(transaction));
        Victim { bytes, account, at, honest }
    }
}

fn victims(reader: &Reader) -> Vec<Victim> {
    let account = wallet(&mainnet().registry, SHOP);
    let letters = [
        (SHOP, Letter::from(PAYER, 25_000_000_000).saying(text(&"order 17 ".repeat(40))), Outcome::Undeployed),
        (SHOP, Letter::from(PAYER, 25_000_000_000).saying(binary(&[7; 30])).apart(), Outcome::Accepted),
        (SHOP, Letter::from(PAYER, 1).saying(notification(1, 2, &PAYER, &Payload::None)), Outcome::NoGas),
        (
            account,
            Letter::from(STRANGER, 5_000_000).saying(internal_transfer(
                9,
                25_000_000,
                Some(&PAYER),
                1,
                &Payload::Apart(text("order 17")),
            )),
            Outcome::Accepted,
        ),
    ];
    let mut victims: Vec<_> = letters
        .into_iter()
        .map(|(account, letter, outcome)| reader.victim(account, Life::of(account).receive(&letter, outcome).bytes()))
        .collect();
    for bytes in BLOCKS.into_iter().filter_map(real) {
        let shard = ShardBlock::decode(&bytes).unwrap();
        for (transaction, cell) in shard.transactions.iter().zip(ShardBlock::cells(&bytes).unwrap()) {
            victims.push(reader.victim(transaction.account, Boc::encode(&cell)));
        }
    }
    victims
}

/// What one run came to.
struct Run {
    rounds: u64,
    honest: usize,
    /// How many are still transactions, and how many still the ones they were.
    read: u64,
    linked: u64,
    /// Bytes of memory for one byte of a bag, at most.
    dearest: usize,
    /// Of one whole way, from bytes to what is found.
    slowest: Duration,
}

/// Breaks transactions, and looks at each that nothing false is believed and that it costs no more than it may.
fn break_transactions(rounds: u64) -> Run {
    let reader = Reader::new();
    let victims = victims(&reader);
    let mut run = Run { rounds, honest: victims.len(), read: 0, linked: 0, dearest: 0, slowest: Duration::ZERO };
    for round in 0..rounds {
        let mut dice = dice(round);
        let victim = &victims[dice.roll(victims.len())];
        let bytes = mutate(&victim.bytes, &mut dice);
        let said = format!("round {round}, {} bytes", bytes.len());
        let (outcome, reading) = measured(|| Transaction::decode(victim.account.workchain, &bytes));
        // Whatever it says, it is worked through; and it is the honest one, or no node gets it believed.
        let (block, finding) = measured(|| outcome.ok().map(|transaction| reader.found(transaction)));
        for cost in [reading, finding] {
            assert!(affordable(cost, bytes.len()), "{said}: {} bytes of memory, {:?} of CPU", cost.memory, cost.time);
        }
        run.dearest = run.dearest.max(reading.memory / bytes.len().max(1));
        run.slowest = run.slowest.max(reading.time + finding.time);
        let Some(block) = block else { continue };
        run.read += 1;
        let mut descent = Descent::begin(victim.account, victim.at, None).unwrap().unwrap();
        if descent.take(&bytes).is_ok() {
            run.linked += 1;
            assert_eq!(block, victim.honest, "{said}");
        }
    }
    assert!(run.read > rounds / 20 && run.linked > 0, "{} read, {} linked: it shows little", run.read, run.linked);
    run
}

#[test]
fn thousands_of_broken_transactions_make_no_panic_no_money_that_is_false_and_no_great_demand_for_memory() {
    let run = break_transactions(std::env::var("AMN_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap()));
    println!(
        "{} broken transactions of {} honest ones: {} still read, {} still the same; at most {} bytes of memory for each \
         byte, {:?} of CPU",
        run.rounds, run.honest, run.read, run.linked, run.dearest, run.slowest
    );
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[test]
#[ignore = "long: ./soak"]
fn soak_ton_transactions_broken_two_hundred_thousand_times() {
    if std::env::var("AMN_SOAK").as_deref() != Ok("full") {
        println!("skipped: AMN_SOAK is not \"full\"");
        return;
    }
    let run = break_transactions(MUTATIONS_FULL);
    println!(
        "figure: broken TON transactions: {} tried, {} still read, {} still the same, 0 panics, 0 false credits; at most \
         {} bytes of memory for each byte read, and {:.1} ms of CPU for one",
        run.rounds,
        run.read,
        run.linked,
        run.dearest,
        run.slowest.as_secs_f64() * 1_000.0
    );
}

/// A bag by hand: so many cells, each with this in it and these references.
fn filled(count: usize, data: &[u8], refs: impl Fn(usize) -> Vec<usize>) -> Vec<u8> {
    let mut cells = Vec::new();
    for index in 0..count {
        let refs = refs(index);
        cells.extend([u8::try_from(refs.len()).unwrap(), u8::try_from(data.len() * 2).unwrap()]);
        cells.extend(data);
        for to in refs {
            cells.extend(u32::try_from(to).unwrap().to_be_bytes());
        }
    }
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let head = [&[0xb5, 0xee, 0x9c, 0x72, 4, 4][..], &number(count), &number(1), &number(0), &number(cells.len())];
    [head.concat(), number(0).to_vec(), cells].concat()
}

/// A bag of empty cells.
fn bag(count: usize, refs: impl Fn(usize) -> Vec<usize>) -> Vec<u8> {
    filled(count, &[], refs)
}

#[test]
fn a_bag_beyond_its_bounds_is_refused_before_anything_is_built_of_it() {
    let ((), held) = peak(|| {
        assert_eq!(cell::decode(&vec![0; BYTES_MAX + 1]).unwrap_err(), CellError::TooLarge(BYTES_MAX + 1));
    });
    assert!(held <= BYTES_MAX + 1_024, "{held}");
    // A head that claims four thousand million cells, and one that claims more than it holds.
    let mut claims = bag(1, |_| Vec::new());
    claims[6..10].copy_from_slice(&[0xff; 4]);
    let (outcome, held) = peak(|| cell::decode(&claims));
    assert!(matches!(outcome, Err(CellError::TooMany(_))) && held < 1_024, "{held}");
    claims[6..10].copy_from_slice(&60_000_u32.to_be_bytes());
    let (outcome, held) = peak(|| cell::decode(&claims));
    assert!(matches!(outcome, Err(CellError::NotABag(_))) && held < 1_024, "{held}");
    let chain = |count: usize| bag(count, move |index| if index + 1 < count { vec![index + 1] } else { Vec::new() });
    assert!(cell::decode(&chain(usize::from(DEPTH_MAX) + 1)).is_ok());
    let deep = chain(60_000);
    let (outcome, held) = peak(|| cell::decode(&deep).unwrap_err());
    assert!(outcome == CellError::TooDeep && held <= 2 * 60_000 + 1_024, "{held}");
    assert_eq!(cell::decode(&chain(usize::from(DEPTH_MAX) + 2)).unwrap_err(), CellError::TooDeep);
    assert!(matches!(cell::decode(&bag(CELLS_MAX + 1, |_| Vec::new())), Err(CellError::TooMany(_))));
    // Round in a circle.
    assert!(matches!(cell::decode(&bag(2, |index| vec![1 - index])), Err(CellError::NotABag(_))));
}

#[test]
fn the_worst_bag_there_is_takes_no_more_memory_than_is_stated() {
    // A tree, because a reader refuses cells that nothing refers to.
    let tree = |count: usize| move |index: usize| (4 * index + 1..4 * index + 5).filter(|to| *to < count).collect();
    let empty = filled(CELLS_MAX, &[], tree(CELLS_MAX));
    let full = filled(28_000, &[7; 127], tree(28_000));
    let mut dearest = 0;
    for (bytes, count) in [(empty, CELLS_MAX), (full, 28_000)] {
        let (read, held) = peak(|| cell::decode(&bytes).is_ok());
        println!("{count} cells in {} bytes: {held} bytes of memory, {} for each", bytes.len(), held / count);
        assert!(read && held <= MEMORY_PER_CELL * count, "{held}");
        dearest = dearest.max(held / count);
    }
    assert!(dearest > MEMORY_PER_CELL * 2 / 3, "the worst case is no longer the worst: {dearest}");
}

#[test]
fn cells_that_share_their_parts_do_not_cost_what_they_would_apart() {
    // Each of five hundred refers four times to the next: written out, 4^500 of them.
    let shared = bag(500, |index| if index < 499 { vec![index + 1; 4] } else { Vec::new() });
    let cell = cell::decode(&shared).unwrap();
    assert!(Transaction::of_cell(0, &cell).is_err());
    // As the body of a message, too.
    let letter = Letter::from(PAYER, 1_000_000_000).saying(cell);
    let made = Life::of(SHOP).receive(&letter, Outcome::Accepted);
    let block = shop_reads(&mainnet().registry, &[(SHOP, &made)]);
    assert!(block.transfers[0].reference.as_ref().unwrap().as_str().starts_with("odd:"));
}

#[test]
fn a_cell_with_parts_cut_out_is_no_transaction() {
    let made = Life::of(SHOP).receive(&Letter::from(PAYER, 1), Outcome::Accepted);
    // The message replaced by its hash: the cell still has what is needed for its own.
    let mut pruned = CellBuilder::new();
    pruned.set_exotic(true);
    pruned.store_u16(0x0101).unwrap();
    pruned.store_u256(made.cell.repr_hash()).unwrap();
    pruned.store_u16(3).unwrap();
    let mut holder = CellBuilder::new();
    holder.store_reference(pruned.build().unwrap()).unwrap();
    let holder: Cell = holder.build().unwrap();
    assert_eq!(cell::decode(&Boc::encode(&holder)).unwrap_err(), CellError::CutOut(1));
}
