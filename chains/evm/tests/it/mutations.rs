//! Broken and hostile answers: an error or a named contradiction, never a panic, never money.

use alloy_primitives::{B256, U256};
use amn_core::block::Inclusion;
use amn_evm::decode;
use amn_evm::evidence;
use amn_evm::header;
use amn_evm::receipts::Codec;
use amn_evm::wire::{self, WireBody};
use proptest::prelude::*;

use crate::support::*;

/// A small deterministic generator, so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

/// One small change: a byte, a cut, a doubled or a lost stretch.
fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(out.len());
        match dice.roll(6) {
            0 => out.truncate(at),
            1 => drop(out.splice(at..(at + dice.roll(40)).min(out.len()), [])),
            2 => {
                let doubled = out[at..(at + dice.roll(200)).min(out.len())].to_vec();
                drop(out.splice(at..at, doubled));
            }
            3 => {
                if let Some(byte) = out.get_mut(at) {
                    *byte = u8::try_from(dice.roll(256)).unwrap();
                }
            }
            _ => {
                if let Some(byte) = out.get_mut(at) {
                    *byte = b"0123456789abcdef\"{}[]:,nx"[dice.roll(25)];
                }
            }
        }
    }
    out
}

#[test]
fn ten_thousand_broken_answers_make_no_panic_and_no_proof() {
    let mut parsed = 0;
    for (name, codec, rounds) in
        [("ethereum-1000000", Codec::Eth, 9_000), ("arbitrum-150000000", Codec::Arbitrum, 1_000)]
    {
        let (Some(block), Some(receipts)) =
            (real(&format!("{name}.block.json")), real(&format!("{name}.receipts.json")))
        else {
            return;
        };
        parsed += break_it(codec, rounds, &block.to_string().into_bytes(), &receipts.to_string().into_bytes());
    }
    assert!(parsed > 500, "only {parsed} of the changed answers still parse: the test shows little");
}

/// How many of the broken answers were still answers.
fn break_it(codec: Codec, rounds: u32, block: &[u8], receipts: &[u8]) -> u32 {
    let content = |list: &[wire::WireReceipt]| -> Vec<_> {
        let logs = |receipt: &wire::WireReceipt| -> Vec<_> {
            receipt.logs.iter().map(|log| (log.address, log.topics.clone(), log.data.clone())).collect()
        };
        list.iter().map(|receipt| (receipt.status, logs(receipt))).collect()
    };
    let genuine = content(&wire::parse_receipts(receipts).unwrap());
    let honest = header::check(block, true).unwrap();
    let (mut dice, mut parsed) = (Dice(2026), 0);
    for round in 0..rounds {
        let (block, receipts) = if round % 2 == 0 {
            (mutate(block, &mut dice), receipts.to_vec())
        } else {
            (block.to_vec(), mutate(receipts, &mut dice))
        };
        let Ok(checked) = header::check(&block, round % 4 == 0) else { continue };
        let Ok(body) = wire::parse::<WireBody>("the block", &block) else { continue };
        let Ok(list) = wire::parse_receipts(&receipts) else { continue };
        parsed += 1;
        let _ = decode::block(&registry(), &watch(&[SHOP]), &body.transactions, &list);
        let Ok(shown) = evidence::prove(codec, &checked, &body.transactions, &list) else { continue };
        if shown.receipts == Inclusion::Proven {
            assert_eq!(checked.wire.receipts_root, honest.wire.receipts_root, "round {round}");
            assert_eq!(content(&list), genuine, "round {round}: other content under the same proof");
        }
    }
    parsed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a log holds, a credit is exactly a listed token's transfer to a watched address.
    #[test]
    fn only_the_exact_shape_from_a_listed_token_to_a_watched_address_is_credited(
        listed in any::<bool>(),
        topics in proptest::collection::vec(prop_oneof![
            Just(amn_evm::decode::TRANSFER), Just(topic(SHOP)), Just(topic(PAYER)), any::<[u8; 32]>().prop_map(B256::from),
        ], 0..5),
        data in prop_oneof![
            any::<u64>().prop_map(|n| U256::from(n).to_be_bytes_vec()),
            proptest::collection::vec(any::<u8>(), 0..70),
        ],
    ) {
        let at = if listed { TOKEN } else { PAYER };
        let exact = listed
            && topics.len() == 3
            && topics[0] == amn_evm::decode::TRANSFER
            && topics[1][..12] == [0; 12]
            && topics[2] == topic(SHOP)
            && data.len() == 32;
        let value = if exact { U256::from_be_slice(&data) } else { U256::ZERO };
        let reading = decode::block(&registry(), &watch(&[SHOP]), &[], &[receipt(vec![log(at, topics, data)])]);
        let credited = exact && value >= U256::from(10) && value <= U256::from(u128::MAX);
        prop_assert_eq!(reading.transfers.len(), usize::from(credited));
        if let Some(paid) = reading.transfers.first() {
            prop_assert_eq!(U256::from(paid.amount.units()), value);
        }
    }

    #[test]
    fn a_spelled_address_reads_back(raw in any::<[u8; 20]>()) {
        let spelled = amn_evm::address::spell(raw);
        prop_assert_eq!(amn_evm::address::parse(spelled.as_str()), Ok((spelled, raw)));
    }
}
