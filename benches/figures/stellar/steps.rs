//! One core, ledger by ledger, from the text in a node's answer to the payments in it; and each step alone.

use std::hint::black_box;
use std::time::Instant;

use amn_core::block::Block;
use amn_core::source::{Watch, WatchVersion};
use amn_soroban::address;
use amn_soroban::decode;
use amn_soroban::evidence::{Verified, verify};
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::{Step, Steps};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ledgers::{Sample, Samples};
use super::rate_figure;
use crate::meter::{percentile, thread_cpu};
use crate::{Size, figure};

/// Addresses that are watched: ten that the ledger pays, and strangers.
const WATCHED: u64 = 1_000;
const WATCHED_PAID: usize = 10;

/// The steps around those that prove, in the order they are taken.
const READ: [&str; 2] = ["base64", "XDR decoding"];
const REST: [&str; 3] = ["matching against 1,000 watches", "freeing memory", "joining and the rest"];

/// Of one ledger, in microseconds.
struct Times {
    /// CPU from text to payments, the mean of all rounds: a machine that others use shows the same.
    whole: f64,
    /// The same of a program that only reads: text to typed values, thrown away.
    bare: f64,
    /// The median of each step by its name, by the clock.
    parts: Vec<(&'static str, f64)>,
}

pub fn run(size: Size) {
    let samples = Samples::find();
    let rounds = size.pick(150, 10);
    let mut all = Vec::new();
    for sample in &samples.all {
        let watch = watch(&samples.network, sample);
        let times = measure(&samples.network, sample, &watch, rounds);
        println!(
            "{}: {} KiB, {:.2} ms of CPU, {:.2} to read and forget; {}",
            sample.name,
            sample.bytes.len() >> 10,
            times.whole / 1_000.0,
            times.bare / 1_000.0,
            shares(&times)
        );
        all.push(times);
    }
    let mean = mean(&all);
    let what = format!("{} of {} KiB, decoded, verified and matched on one core", samples.what, samples.mean_kib());
    rate_figure(&what, 1_000_000.0 / mean.whole);
    figure("the share of each step", &shares(&mean), None);
    let text = format!("{:.2} of {:.0} ledgers/s", mean.bare / mean.whole, 1_000_000.0 / mean.bare);
    figure("against a program that decodes base64 and XDR and proves nothing", &text, None);
}

/// Strangers, and ten of those whom this ledger pays.
fn watch(network: &SorobanNetwork, sample: &Sample) -> Watch {
    let mut watch = Watch::new(WatchVersion(1));
    for number in 0..WATCHED {
        let mut key = [0x77; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        watch.insert(&address::Place::Account(key).raw(), true);
    }
    let block = matched(network, &Watch::everything(true), &proven(network, sample));
    for transfer in block.transfers.iter().take(WATCHED_PAID) {
        let party = address::parse(transfer.to.as_str()).expect("an address of ours reads");
        watch.insert(&party.place.raw(), true);
    }
    watch
}

fn proven(network: &SorobanNetwork, sample: &Sample) -> Verified {
    verify(network, Ledger::decode(&sample.bytes).expect("a ledger"), None).expect("an honest ledger")
}

fn matched(network: &SorobanNetwork, watch: &Watch, verified: &Verified) -> Block {
    decode::block(&network.registry, watch, verified)
}

fn measure(network: &SorobanNetwork, sample: &Sample, watch: &Watch, rounds: u32) -> Times {
    let ledger = Ledger::decode(&sample.bytes).expect("a ledger");
    let steps = Steps::of(&ledger, &proven(network, sample));
    drop(ledger);
    let mut buffer = Vec::new();
    let mut bare =
        || drop(black_box(Ledger::decode(&STANDARD.decode(&sample.text).expect("base64")).expect("a ledger")));
    let mut way = || {
        let ledger = Ledger::decode(&STANDARD.decode(&sample.text).expect("base64")).expect("a ledger");
        let block = matched(network, watch, &verify(network, ledger, None).expect("an honest ledger"));
        assert!(block.transfers.len() >= WATCHED_PAID, "a fast answer that misses payments is no figure");
    };
    // By turns, each long enough for the kernel's count, which moves by the tick.
    let turns = 5;
    let (mut of_bare, mut of_way) = (0.0, 0.0);
    for _ in 0..turns {
        of_bare += cpu(rounds / turns, &mut bare);
        of_way += cpu(rounds / turns, &mut way);
    }
    let (whole, bare) = (of_way / f64::from(turns), of_bare / f64::from(turns));
    let mut parts: Vec<(&'static str, Vec<f64>)> = READ
        .into_iter()
        .chain(Step::ALL.map(Step::in_words))
        .chain(REST)
        .map(|name| (name, Vec::with_capacity(rounds as usize)))
        .collect();
    let (first, last) = (READ.len(), READ.len() + Step::ALL.len());
    for _ in 0..rounds {
        let began = Instant::now();
        let bytes = STANDARD.decode(&sample.text).expect("base64");
        let unpacked = Instant::now();
        let ledger = Ledger::decode(&bytes).expect("a ledger");
        let decoded = Instant::now();
        let verified = verify(network, ledger, None).expect("an honest ledger");
        let proven = Instant::now();
        let block = matched(network, watch, &verified);
        let searched = Instant::now();
        drop((verified, block, bytes));
        let freed = Instant::now();
        parts[0].1.push(micros(began, unpacked));
        parts[1].1.push(micros(unpacked, decoded));
        let mut accounted = 0.0;
        for (place, step) in Step::ALL.into_iter().enumerate() {
            let began = Instant::now();
            black_box(steps.take(step, network, &mut buffer));
            let took = micros(began, Instant::now());
            accounted += took;
            parts[first + place].1.push(took);
        }
        parts[last].1.push(micros(proven, searched));
        parts[last + 1].1.push(micros(searched, freed));
        // What verifying takes beyond its hashes: giving each result its transaction.
        parts[last + 2].1.push((micros(decoded, proven) - accounted).max(0.0));
    }
    let parts = parts.into_iter().map(|(name, mut took)| (name, percentile(&mut took, 50))).collect();
    Times { whole, bare, parts }
}

/// Microseconds of CPU that one of so many rounds takes.
fn cpu(rounds: u32, work: &mut impl FnMut()) -> f64 {
    let before = thread_cpu();
    for _ in 0..rounds {
        work();
    }
    (thread_cpu() - before) / f64::from(rounds)
}

fn micros(from: Instant, to: Instant) -> f64 {
    (to - from).as_secs_f64() * 1_000_000.0
}

fn mean(all: &[Times]) -> Times {
    #[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
    let of = |pick: &dyn Fn(&Times) -> f64| all.iter().map(pick).sum::<f64>() / all.len() as f64;
    let names = all.first().map(|times| times.parts.as_slice()).unwrap_or_default();
    let parts = names.iter().enumerate().map(|(at, (name, _))| (*name, of(&|times| times.parts[at].1))).collect();
    Times { whole: of(&|times| times.whole), bare: of(&|times| times.bare), parts }
}

fn shares(times: &Times) -> String {
    let sum: f64 = times.parts.iter().map(|(_, took)| took).sum();
    let shares: Vec<String> =
        times.parts.iter().map(|(name, took)| format!("{name} {:.1} %", took * 100.0 / sum)).collect();
    shares.join(", ")
}
