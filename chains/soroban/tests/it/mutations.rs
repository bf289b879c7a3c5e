//! Broken and hostile ledgers by the thousand: an error or a named contradiction, never a panic, never money.

use amn_soroban::address::Place;
use amn_soroban::decode;
use amn_soroban::evidence::verify;
use amn_soroban::ledger::{BYTES_MAX, DEPTH_MAX, Ledger, LedgerError, MEMORY_PER_BYTE};
use amn_soroban::testkit::event;
use amn_soroban::testkit::{Chain, Token, Tx, Validator};
use proptest::prelude::*;
use stellar_xdr::*;

use crate::second_reader;
use crate::support::*;

const PAYER: Place = Place::Account([1; 32]);
const SHOP: Place = Place::Account([2; 32]);
const OTHER: Place = Place::Contract([3; 32]);

/// What a piece of work answers, and the most memory it held at once.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let mut answer = None;
    let counted = allocation_counter::measure(|| answer = Some(work()));
    (answer.unwrap(), usize::try_from(counted.bytes_max).unwrap())
}

/// How many, unless `AMN_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 10_000;

/// A small deterministic generator, so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

/// One to four small changes, most of them on the four-byte grid that XDR has.
fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(out.len()) & !3;
        let to = |length: usize| (at + length).min(out.len());
        match dice.roll(8) {
            0 => out.truncate(at),
            1 => {
                let end = to(4 * (1 + dice.roll(10)));
                drop(out.splice(at..end, []));
            }
            2 => {
                let doubled = out[at..to(4 * dice.roll(60))].to_vec();
                drop(out.splice(at..at, doubled));
            }
            // A length or a kind, claimed as it pleases.
            3 | 4 => {
                let word = [u32::MAX, 0x7fff_ffff, 0x0100_0000, 0xffff, 30, 5, 1, 0][dice.roll(8)];
                let end = to(4);
                drop(out.splice(at..end, word.to_be_bytes()));
            }
            _ => {
                if let Some(byte) = out.get_mut(at + dice.roll(4)) {
                    *byte = u8::try_from(dice.roll(256)).unwrap();
                }
            }
        }
    }
    out
}

/// Small real ledgers for most of the work, and last a large one for some: it takes a hundred times as long.
fn victims() -> Option<Vec<Vec<u8>>> {
    let mut victims = Vec::new();
    for file in ["core-sac-transfer-address-types.xdr", "core-stream-a.xdr"] {
        let bytes = real(file)?;
        let limits = Limits { depth: DEPTH_MAX, len: bytes.len() };
        for frame in Frame::<LedgerCloseMeta>::read_xdr_iter(&mut Limited::new(bytes.as_slice(), limits)) {
            victims.push(frame.unwrap().0.to_xdr(Limits::none()).unwrap());
        }
    }
    victims.push(real("pubnet-ledger-63092990.xdr.gz")?);
    Some(victims)
}

#[test]
fn thousands_of_broken_ledgers_make_no_panic_no_proof_of_what_is_false_and_no_great_demand_for_memory() {
    let Some(victims) = victims() else { return };
    let rounds: u64 = std::env::var("AMN_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    let network = network("(V) (;,,;) (V)");
    let public = pubnet();
    let (mut parsed, mut proven, mut greatest) = (0_u64, 0_u64, 0_usize);
    let everybody = everybody(&second_reader::read(
        &LedgerCloseMeta::from_xdr(victims.last().unwrap(), Limits { depth: DEPTH_MAX, len: BYTES_MAX }).unwrap(),
        public.network_id,
    ));
    let honest: Vec<_> = victims
        .iter()
        .map(|bytes| {
            let network = if bytes.len() > 500_000 { &public } else { &network };
            let verified = verify(network, Ledger::decode(bytes).unwrap(), None).unwrap();
            decode::block(&network.registry, &everybody, &verified)
        })
        .collect();
    for round in 0..rounds {
        let mut dice = Dice(round);
        // One in a hundred of a whole ledger of the public network.
        let place = if round % 100 == 0 { victims.len() - 1 } else { dice.roll(victims.len() - 1) };
        let bytes = mutate(&victims[place], &mut dice);
        let network = if place == victims.len() - 1 { &public } else { &network };
        let (read, held) = peak(|| Ledger::decode(&bytes));
        greatest = greatest.max(held / bytes.len().max(1));
        assert!(held <= MEMORY_PER_BYTE * bytes.len() + 4_096, "round {round}: {held} bytes for {}", bytes.len());
        let Ok(ledger) = read else { continue };
        parsed += 1;
        let Ok(verified) = verify(network, ledger, None) else { continue };
        proven += 1;
        let block = decode::block(&network.registry, &everybody, &verified);
        // Whatever still proves itself says what the honest ledger says, or is another ledger.
        if block.header.at == honest[place].header.at {
            assert_eq!(block.transfers, honest[place].transfers, "round {round}");
            assert_eq!(block.takebacks, honest[place].takebacks, "round {round}");
        }
    }
    println!(
        "{rounds} ledgers: {parsed} still decode, {proven} still prove themselves; at most {greatest} bytes for one"
    );
    assert!(
        parsed > rounds / 20 && proven > 0,
        "{parsed} of {rounds} decode, {proven} are proven: the test shows little"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a contract's event holds, a credit is exactly a listed contract's transfer or mint, naming its asset,
    /// to a watched address, of more than nothing, that does not come back to its sender.
    #[test]
    fn only_the_exact_shape_from_a_listed_contract_to_a_watched_address_is_credited(
        listed in any::<bool>(),
        name in prop_oneof![Just("transfer"), Just("mint"), Just("burn"), Just("Transfer")],
        addresses in proptest::collection::vec(prop_oneof![Just(SHOP), Just(OTHER)], 0..4),
        named in prop_oneof![Just(Some("native")), Just(Some("USD")), Just(None)],
        amount in prop_oneof![-3_i128..30_000, any::<i128>()],
        shape in 0_u8..4,
    ) {
        let network = network("x");
        let own = *network.registry.contracts.keys().next().unwrap();
        let contract = if listed { own } else { [9; 32] };
        let token = Token { contract, name: named.map(ToOwned::to_owned) };
        let data = match shape {
            0 => event::whole(amount),
            1 => event::map(vec![("amount", event::whole(amount)), ("to_muxed_id", ScVal::U64(7))]),
            2 => event::map(vec![("sum", event::whole(amount))]),
            _ => ScVal::Void,
        };
        let one = token.event(name, addresses.iter().map(|place| event::address(*place)).collect(), data);
        let closed = Chain::new("x", 26).close(&[Tx::of(PAYER).call(vec![one])], &Validator::new(1));
        let verified = verify(&network, Ledger::decode(&closed.bytes()).unwrap(), None).unwrap();
        let block = decode::block(&network.registry, &watch([SHOP]), &verified);

        let to_shop = match (name, addresses.as_slice()) {
            ("transfer", [from, to]) => *to == SHOP && from != to,
            ("mint", [to] | [_, to]) => *to == SHOP,
            _ => false,
        };
        // The least amount of native money in that file.
        let credited = listed && to_shop && named == Some("native") && shape < 2 && amount >= 10_000;
        prop_assert_eq!(block.transfers.len(), usize::from(credited));
        if let Some(transfer) = block.transfers.first() {
            prop_assert_eq!(transfer.amount.units(), amount.cast_unsigned());
            prop_assert_eq!(transfer.reference.is_some(), shape == 1);
        }
    }

    #[test]
    fn a_spelled_address_reads_back(key in any::<[u8; 32]>(), id in any::<u64>(), account in any::<bool>()) {
        let place = if account { Place::Account(key) } else { Place::Contract(key) };
        let party = |id| amn_soroban::address::Party { place, id };
        prop_assert_eq!(amn_soroban::address::parse(place.spell().as_str()), Ok(party(None)));
        prop_assert_eq!(amn_soroban::address::parse(&amn_soroban::address::muxed(place, id)), Ok(party(Some(id))));
    }

    #[test]
    fn every_memo_has_one_spelling_that_reads_back_as_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 1..29)) {
        let memo = Memo::Text(bytes.clone().try_into().unwrap());
        let spelled = amn_soroban::reference::of_payment(&memo, None).unwrap();
        prop_assert!(!spelled.as_str().chars().any(char::is_control), "{:?}", spelled);
        prop_assert_eq!(amn_soroban::reference::parse(spelled.as_str()), Ok(amn_soroban::reference::Parsed::Text(bytes)));
    }
}

/// A ledger whose one list is as long as it claims, of the smallest thing there is.
fn bomb(items: u32) -> Vec<u8> {
    let closed = Chain::new("x", 26).close(&[Tx::of(PAYER).old_form()], &Validator::new(1));
    let LedgerCloseMeta::V2(mut v2) = closed.meta else { panic!("the newest form") };
    let results = vec![OperationResult::OpBadAuth; items as usize];
    amn_soroban::testkit::forge::edit(&mut v2.tx_processing, |list| {
        list[0].result.result.result = TransactionResultResult::TxFailed(results.try_into().unwrap());
    });
    LedgerCloseMeta::V2(v2).to_xdr(Limits::none()).unwrap()
}

#[test]
fn the_worst_list_there_is_stays_within_the_stated_bound() {
    // One more than a power of two: the list has just moved to twice its place. The count takes the move for growth;
    // while it lasts, the old place is there too, and the bound is half as much again.
    let bytes = bomb((1 << 18) + 1);
    let (read, held) = peak(|| Ledger::decode(&bytes).is_ok());
    println!("{} bytes read, {held} bytes of memory: {} for one", bytes.len(), held / bytes.len());
    assert!(read);
    assert!(held + held / 2 <= MEMORY_PER_BYTE * bytes.len(), "{held} bytes for {}", bytes.len());
    assert!(held > 80 * bytes.len(), "the worst case is no longer the worst: {held} bytes for {}", bytes.len());
}

#[test]
fn a_length_that_is_only_claimed_costs_nothing() {
    let honest = bomb(1);
    let mut claimed = 0;
    for at in (0..honest.len()).step_by(4) {
        let mut bytes = honest.clone();
        bytes[at..at + 4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let (read, held) = peak(|| Ledger::decode(&bytes));
        assert!(held <= MEMORY_PER_BYTE * bytes.len() + 4_096, "{held} bytes for a claim at {at}");
        claimed += usize::from(read.is_err());
    }
    assert!(claimed > 10);
}

#[test]
fn values_that_nest_deeper_than_any_contract_writes_are_refused() {
    let nested = |depth: usize| {
        let mut value = ScVal::Void;
        for _ in 0..depth {
            value = ScVal::Vec(Some(ScVec(vec![value].try_into().unwrap())));
        }
        let token = Token { contract: [1; 32], name: None };
        let call = Tx::of(PAYER).call(vec![token.event("transfer", vec![], value)]);
        let closed = Chain::new("x", 26).close(&[call], &Validator::new(1));
        Ledger::decode(&closed.bytes())
    };
    assert!(nested(90).is_ok());
    assert!(matches!(nested(130), Err(LedgerError::Undecodable(_))));
}
