//! What one core makes of the bytes that nodes hand over: whole shard blocks, and transactions one by one. CPU of this
//! thread alone.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use amn_core::block::{BlockRef, Hash, Header, Height};
use amn_core::source::{Watch, WatchVersion};
use amn_core::timestamp::Timestamp;
use amn_ton::address::Account;
use amn_ton::block::ShardBlock;
use amn_ton::decode::{self, Wallets};
use amn_ton::networks::TonNetwork;
use amn_ton::testkit::{Letter, Life, Made, Outcome, Payload, internal_transfer, shard_block, text};
use amn_ton::transaction::Transaction;

use crate::meter::thread_cpu;
use crate::{Size, figure};

/// Owners that are watched, with their wallets.
const WATCHED: usize = 1_000;

/// Shard blocks that a shard makes in a second since April 2026.
const BLOCKS_A_SECOND: f64 = 2.5;

/// Transactions of an invented block: as many as the fullest real one that was seen.
const INVENTED: u32 = 270;

/// A block, and what it is called.
struct Sample {
    name: String,
    bytes: Vec<u8>,
}

pub fn run(size: Size) {
    let network = TonNetwork::shipped("ton-mainnet").expect("it is shipped").expect("its file reads");
    let real = real();
    let what = if real.is_empty() { "an invented shard block" } else { "real shard blocks" };
    let samples = if real.is_empty() { vec![invented(&network)] } else { real };
    let rounds = size.pick(200, 10);
    let (mut micros, mut bytes, mut transactions, mut alone) = (0.0, 0, 0, 0.0);
    for sample in &samples {
        let times = measure(&network, sample, rounds);
        println!(
            "{}: {} KiB, {} transactions: {:.2} ms of CPU whole; {:.1} µs for each transaction by itself",
            sample.name,
            sample.bytes.len() >> 10,
            times.transactions,
            times.whole / 1_000.0,
            times.alone / count(times.transactions)
        );
        micros += times.whole;
        alone += times.alone;
        bytes += sample.bytes.len();
        transactions += times.transactions;
    }
    let blocks = count(samples.len()) * 1_000_000.0 / micros;
    let text = format!(
        "{blocks:.0} blocks/s, {:.1} MB/s, {:.0} transactions/s; {:.0} times as fast as a shard makes them",
        count(bytes) / micros,
        count(transactions) * 1_000_000.0 / micros,
        blocks / BLOCKS_A_SECOND
    );
    figure(
        &format!("TON, {what} of {} KiB, hashed, decoded and searched on one core", (bytes / samples.len()) >> 10),
        &text,
        None,
    );
    let text = format!("{:.0} transactions/s", count(transactions) * 1_000_000.0 / alone);
    figure("TON, transactions handed over one by one, hashed, decoded and searched on one core", &text, None);
}

fn real() -> Vec<Sample> {
    let folder = std::env::var_os("AMN_REAL_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real"), PathBuf::from)
        .join("ton");
    let Ok(listed) = std::fs::read_dir(&folder) else {
        println!("no real blocks; name a folder of them with AMN_REAL_DATA. An invented one is measured");
        return Vec::new();
    };
    let mut names: Vec<String> = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| {
        name.starts_with("shardblock-") && Path::new(name).extension().is_some_and(|kind| kind == "hex")
    });
    names.sort();
    let samples = names.into_iter().map(|name| {
        let digits = std::fs::read_to_string(folder.join(&name)).expect("a file of digits");
        Sample { bytes: hex::decode(digits.trim()).expect("hexadecimal digits"), name }
    });
    samples.collect()
}

/// Half of it native payments with a comment, half jettons.
fn invented(network: &TonNetwork) -> Sample {
    let payer = Account::new(0, [0xfa; 32]);
    let said = || text("an order's comment");
    let made: Vec<(Account, Made)> = (0..INVENTED)
        .map(|number| {
            let mut id = [9; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let owner = Account::new(0, id);
            let jetton = network.registry.jettons.values().next().filter(|_| number % 2 == 0);
            let wallet = jetton.and_then(|jetton| jetton.form.wallet(&jetton.master, &owner));
            let letter = Letter::from(payer, 50_000_000);
            let (account, letter) = match wallet {
                Some(wallet) => {
                    let told = internal_transfer(7, 5_000_000, Some(&payer), 1, &Payload::Apart(said()));
                    (wallet, letter.saying(told))
                }
                None => (owner, letter.saying(said())),
            };
            (account, Life::of(account).receive(&letter, Outcome::Accepted))
        })
        .collect();
    let all: Vec<(Account, &Made)> = made.iter().map(|(account, made)| (*account, made)).collect();
    Sample { name: "invented".to_owned(), bytes: shard_block(70_000_000, &all).expect("a block") }
}

/// Microseconds of CPU of one block.
struct Times {
    whole: f64,
    /// Each of its transactions as a bag of its own.
    alone: f64,
    transactions: usize,
}

fn measure(network: &TonNetwork, sample: &Sample, rounds: u32) -> Times {
    let block = ShardBlock::decode(&sample.bytes).expect("a block");
    let bags: Vec<(i8, Vec<u8>)> = block
        .transactions
        .iter()
        .zip(ShardBlock::bags(&sample.bytes).expect("its transactions"))
        .map(|(transaction, bag)| (transaction.account.workchain, bag))
        .collect();
    let mut accounts: Vec<Account> = block.transactions.iter().map(|transaction| transaction.account).collect();
    accounts.truncate(10);
    let strangers = (0..WATCHED).map(|number| {
        let mut id = [0x77; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Account::new(0, id)
    });
    accounts.extend(strangers);
    accounts.truncate(WATCHED);
    let wallets = Wallets::of(&network.registry, accounts.iter().copied());
    let mut watch = Watch::new(WatchVersion(1));
    for account in &accounts {
        watch.insert(&account.raw(), true);
    }
    let at = BlockRef { height: Height(70_000_000), hash: Hash([9; 32]) };
    let header = Header { at, parent: Hash([8; 32]), time: Timestamp::from_seconds(1_760_000_000) };
    let whole = cpu(rounds, &mut || {
        let block = ShardBlock::decode(black_box(&sample.bytes)).expect("a block");
        black_box(decode::block(&network.registry, &wallets, &watch, header, &block.transactions));
    });
    let alone = cpu(rounds, &mut || {
        let read = bags.iter().map(|(workchain, bag)| Transaction::decode(*workchain, black_box(bag)));
        let read: Vec<_> = read.collect::<Result<_, _>>().expect("transactions");
        black_box(decode::block(&network.registry, &wallets, &watch, header, &read));
    });
    Times { whole, alone, transactions: bags.len() }
}

/// Microseconds of CPU that one of so many rounds takes.
fn cpu(rounds: u32, work: &mut impl FnMut()) -> f64 {
    work();
    let before = thread_cpu();
    for _ in 0..rounds {
        work();
    }
    (thread_cpu() - before) / f64::from(rounds)
}

#[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
fn count(of: usize) -> f64 {
    of as f64
}
