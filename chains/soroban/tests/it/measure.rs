//! How fast a real ledger is read, proven and searched, and which step takes how long. It judges nothing.

use std::time::{Duration, Instant};

use amn_soroban::decode;
use amn_soroban::evidence::verify;
use amn_soroban::ledger::Ledger;

use crate::second_reader;
use crate::support::*;
use amn_soroban::testkit::forge::Forged;

/// Passes over each ledger.
const ROUNDS: u32 = 100;

#[test]
#[ignore = "it measures: cargo test --release -p amn-soroban -- --ignored --nocapture measure"]
fn measure_the_steps_from_bytes_to_payments() {
    for name in ["57500008", "63092988", "63092990"] {
        let Some(bytes) = real(&format!("pubnet-ledger-{name}.xdr.gz")) else { return };
        let found = second_reader::read(&Forged::of(&bytes).meta, pubnet().network_id);
        let (network, watch) = (listing(pubnet(), &found), everybody(&found));
        let (mut read, mut prove, mut search) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let ledger = Ledger::decode(&bytes).unwrap();
            let decoded = Instant::now();
            let verified = verify(&network, ledger, None).unwrap();
            let proven = Instant::now();
            let block = decode::block(&network.registry, &watch, &verified);
            let searched = Instant::now();
            assert!(block.transfers.len() > 80);
            read += decoded - start;
            prove += proven - decoded;
            search += searched - proven;
        }
        // With what it costs to give the memory back.
        let all = begin.elapsed();
        let per_second = u128::from(ROUNDS) * 1_000_000_000 / all.as_nanos().max(1);
        println!(
            "{name}: {} KiB, {per_second} ledgers a second on one core; decode {:?}, verify {:?}, match {:?}, free {:?}",
            bytes.len() >> 10,
            read / ROUNDS,
            prove / ROUNDS,
            search / ROUNDS,
            all.saturating_sub(read + prove + search) / ROUNDS
        );
    }
}
