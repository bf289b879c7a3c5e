//! What is in a file of a lake. Pure: bytes in, its ledgers out one by one, or what is wrong with the file.

use bytes::Bytes;

use super::layout::Span;
use super::unpack::{Damage, UNPACKED_MAX, unpack};
use crate::ledger::{Batch, Ledger, LedgerError};

/// A file as the lake has it, and the place it was found at. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(super) place: Span,
    pub(super) packed: Bytes,
}

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is not what it was when it was written, or never was what its name says.
    #[error("the file of ledger {ledger}: {damage}")]
    Damaged { ledger: u32, damage: Damage },
    #[error("the file of ledger {ledger} holds ledgers {first} to {last}, as its name does not say")]
    OtherLedgers { ledger: u32, first: u32, last: u32 },
    #[error("the file of ledger {ledger}: {error}")]
    Ledger { ledger: u32, error: LedgerError },
}

impl File {
    /// Hands over its ledgers from `from` on, oldest first, until `take` wants no more. What follows then is not looked
    /// at. One of them is in memory at a time.
    pub(crate) fn ledgers<E: From<Fault>>(
        &self,
        from: u32,
        mut take: impl FnMut(Ledger) -> Result<bool, E>,
    ) -> Result<(), E> {
        let ledger = self.place.first.max(from);
        let unreadable = |error| E::from(Fault::Ledger { ledger, error });
        let unpacked =
            unpack(&self.packed, UNPACKED_MAX).map_err(|damage| E::from(Fault::Damaged { ledger, damage }))?;
        let batch = Batch::open(&unpacked).map_err(unreadable)?;
        let (first, last) = (batch.first, batch.last);
        if !self.place.holds(first, last) {
            return Err(Fault::OtherLedgers { ledger, first, last }.into());
        }
        for ledger in batch {
            let ledger = ledger.map_err(unreadable)?;
            if ledger.sequence() >= from && !take(ledger)? {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::*;
    use crate::testkit::History;
    use crate::testkit::lake::{self, Ledgers};

    const PLACE: Span = Span { first: 1_004, last: 1_007 };

    /// Rounds of each kind, unless `AMN_MUTATIONS` says otherwise.
    const ROUNDS: u64 = 2_500;

    /// What a file of a hundred bytes may make us hold: the largest window, twice while it grows, and what is little.
    const HELD_MAX: u64 = 100 << 20;

    /// A small deterministic generator, so that a failure is found again.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, below: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % below.max(1)
        }
    }

    fn four() -> Ledgers {
        let mut history = History::new("A network of the tests ; November 2026", 30);
        history.pass(7);
        lake::ledgers_of(&history).split_off(&PLACE.first)
    }

    fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(out.len());
            match dice.roll(6) {
                0 => out.truncate(at),
                1 => drop(out.splice(at..(at + 1 + dice.roll(8)).min(out.len()), [])),
                2 => {
                    let doubled = out[at..(at + dice.roll(80)).min(out.len())].to_vec();
                    drop(out.splice(at..at, doubled));
                }
                3 => drop(out.splice(at..(at + 4).min(out.len()), u32::MAX.to_be_bytes())),
                _ => {
                    if let Some(byte) = out.get_mut(at) {
                        *byte = u8::try_from(dice.roll(256)).unwrap();
                    }
                }
            }
        }
        out
    }

    /// The ledgers that came before it was seen to be false, and whether it was.
    fn read(packed: Vec<u8>) -> (Vec<u32>, bool) {
        let mut sequences = Vec::new();
        let file = File { place: PLACE, packed: packed.into() };
        let outcome = file.ledgers(1_005, |ledger| {
            sequences.push(ledger.sequence());
            Ok::<bool, Fault>(true)
        });
        (sequences, outcome.is_err())
    }

    #[test]
    fn broken_files_by_the_thousand_make_no_panic_no_ledger_out_of_place_and_no_great_demand_for_memory() {
        let rounds: u64 = std::env::var("AMN_MUTATIONS").map_or(ROUNDS, |text| text.parse().unwrap());
        let (packed, raw) = (lake::pack(&four()), lake::batch(&four()));
        assert_eq!(read(packed.clone()), (vec![1_005, 1_006, 1_007], false));
        let (mut refused, mut greatest) = (0, 0);
        for round in 0..rounds * 2 {
            let mut dice = Dice(round);
            // The compressed bytes, and what is compressed.
            let bytes =
                if round % 2 == 0 { mutate(&packed, &mut dice) } else { lake::compressed(&mutate(&raw, &mut dice)) };
            let held = allocation_counter::measure(|| {
                let (sequences, false_file) = read(bytes);
                assert!([1_005, 1_006, 1_007].starts_with(&sequences), "round {round}: {sequences:?}");
                assert!(false_file || sequences.len() == 3, "round {round}: it ends early and says nothing");
                refused += u64::from(false_file);
            });
            greatest = greatest.max(held.bytes_max);
        }
        println!("{refused} of {} files refused; at most {greatest} bytes held", rounds * 2);
        assert!(greatest < HELD_MAX, "{greatest} bytes held");
        assert!(refused > rounds, "{refused} of {}: the test shows little", rounds * 2);
    }
}
