//! Broken and hostile ledgers by the thousand: an error or a named contradiction, never a panic, never money.

use amn_core::block::{Block, Kind};
use amn_core::source::Watch;
use amn_soroban::address::Place;
use amn_soroban::decode;
use amn_soroban::evidence::{Verified, verify};
use amn_soroban::ledger::{BYTES_MAX, DEPTH_MAX, Ledger, LedgerError, MEMORY_PER_BYTE};
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::{Chain, Token, Tx, Validator, busy, event, muxed, plain};
use proptest::prelude::*;
use stellar_xdr::*;

use crate::scene::{ESCROW, ISSUER, PAYER, SHOP, scene};
use crate::second_reader;
use crate::support::*;

const OTHER_PAYER: Place = Place::Account([3; 32]);
const OTHER: Place = Place::Contract([3; 32]);

/// What a piece of work answers, and the most memory it held at once.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let mut answer = None;
    let counted = allocation_counter::measure(|| answer = Some(work()));
    (answer.unwrap(), usize::try_from(counted.bytes_max).unwrap())
}

/// How many are broken in a usual run; `AMN_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 10_000;

/// How many in `./soak`.
const MUTATIONS_FULL: u64 = 200_000;

/// Memory that the whole way from bytes to payments may take at most, in bytes for each byte of the ledger: reading it
/// ([`MEMORY_PER_BYTE`]), and beside that a copy of one commitment in bytes, the transactions by name, and what is found.
const WHOLE_WAY_PER_BYTE: usize = MEMORY_PER_BYTE + 16;

/// What the smallest ledger needs whatever its size.
const LEAST: usize = 16 << 10;

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

/// An honest ledger to be broken, and what it holds for everybody it names.
struct Victim {
    bytes: Vec<u8>,
    network: SorobanNetwork,
    watch: Watch,
    honest: Block,
}

impl Victim {
    fn of(bytes: Vec<u8>, network: &SorobanNetwork) -> Self {
        let limits = Limits { depth: DEPTH_MAX, len: BYTES_MAX };
        let found = second_reader::read(&LedgerCloseMeta::from_xdr(&bytes, limits).unwrap(), network.network_id);
        let watch = everybody(&found);
        let verified = verify(network, Ledger::decode(&bytes).unwrap(), None).unwrap();
        let honest = decode::block(&network.registry, &watch, &verified);
        Self { bytes, network: network.clone(), watch, honest }
    }
}

/// One ledger of each protocol that changed the form, with a transaction of every kind.
fn invented() -> Vec<Victim> {
    let one = |protocol| {
        let mut scene = scene(protocol);
        let (usd, token) = (scene.usd.clone(), scene.token());
        let mut transactions = vec![
            Tx::of(PAYER).memo(Memo::Id(42)).pay(plain(SHOP), &usd, 25_000_000),
            Tx::of(PAYER).pay(muxed(SHOP, 43), &Asset::Native, 10_000_000).bumped_by(OTHER_PAYER),
            Tx::of(PAYER).memo(Memo::Hash(Hash([7; 32]))).send_by_path(plain(SHOP), &usd, 99_000_000, 31_000_000),
            Tx::of(PAYER).create(SHOP, 20_000_000).merge_into(plain(SHOP), 21_000_000),
            Tx::of(PAYER).pay(plain(SHOP), &usd, 3_000_000).fails(),
            Tx::of(PAYER).old_form().pay(plain(SHOP), &usd, 1_000_000),
            Tx::of(PAYER).make_balance(1, &usd, 5_000_000),
            Tx::of(SHOP).claim_balance(1, Some((&usd, 5_000_000))),
            Tx::of(SHOP).claim_balance(2, Some((&usd, 6_000_000))),
            Tx::of(ISSUER).claw_back(plain(SHOP), &usd, 2_000_000).withdraw_authorization(SHOP, &usd),
        ];
        if protocol >= 20 {
            let id = ScVal::U64(7);
            transactions.push(Tx::of(PAYER).call(vec![
                token.transfer(PAYER, ESCROW, 7_000_000),
                token.transfer_with(PAYER, ESCROW, 8_000_000, id),
                token.mint(SHOP, 9_000_000),
            ]));
        }
        let closed = scene.chain.close(&transactions, &scene.validator);
        Victim::of(closed.bytes(), &scene.network)
    };
    [19, 20, 22, 23, 26, 30].into_iter().map(one).collect()
}

/// Small ledgers for most of the work, and last a large one for some: it takes a hundred times as long. Real ones too,
/// where they are present.
fn victims() -> Vec<Victim> {
    let mut victims = invented();
    let core = network("(V) (;,,;) (V)");
    for bytes in ["core-sac-transfer-address-types.xdr", "core-stream-a.xdr"].into_iter().filter_map(real) {
        let limits = Limits { depth: DEPTH_MAX, len: bytes.len() };
        for frame in Frame::<LedgerCloseMeta>::read_xdr_iter(&mut Limited::new(bytes.as_slice(), limits)) {
            victims.push(Victim::of(frame.unwrap().0.to_xdr(Limits::none()).unwrap(), &core));
        }
    }
    victims.push(
        real("pubnet-ledger-63092990.xdr.gz")
            .map_or_else(as_full_as_the_public_networks, |bytes| Victim::of(bytes, &pubnet())),
    );
    victims
}

fn as_full_as_the_public_networks() -> Victim {
    let mut scene = scene(26);
    let own = scene.network.registry.contracts.values().find(|listed| listed.native).unwrap();
    let money = Token { contract: own.contract, name: own.sep11.clone() };
    let closed = scene.chain.close(&busy::strangers(busy::TRANSACTIONS, 1, &money), &scene.validator);
    Victim::of(busy::shown(closed).bytes(), &scene.network)
}

/// What one run came to.
#[derive(Default)]
struct Run {
    rounds: u64,
    decoded: u64,
    proven: u64,
    /// Bytes of memory for one byte of a ledger, at most: for reading it, and for the whole way.
    reading: usize,
    whole_way: usize,
}

/// Breaks ledgers, and looks at each that nothing false is proven and that it costs no more than it may.
fn break_ledgers(rounds: u64) -> Run {
    let seed: u64 = std::env::var("AMN_SEED").map_or(0, |text| text.parse().unwrap());
    let victims = victims();
    let mut run = Run { rounds, ..Run::default() };
    for round in 0..rounds {
        let mut dice = Dice(round ^ (seed << 32));
        // One in a hundred of a ledger as large as the public network's.
        let place = if round % 100 == 0 { victims.len() - 1 } else { dice.roll(victims.len() - 1) };
        let victim = &victims[place];
        let bytes = mutate(&victim.bytes, &mut dice);
        let said = format!("seed {seed}, round {round}, {} bytes", bytes.len());
        let (read, held) = peak(|| Ledger::decode(&bytes));
        run.reading = run.reading.max(held / bytes.len().max(1));
        assert!(held <= MEMORY_PER_BYTE * bytes.len() + LEAST, "{said}: {held} bytes to read it");
        let Ok(ledger) = read else { continue };
        run.decoded += 1;
        drop(ledger);
        let (verified, held) = peak(|| {
            let verified = verify(&victim.network, Ledger::decode(&bytes).unwrap(), None).ok()?;
            let block = decode::block(&victim.network.registry, &victim.watch, &verified);
            Some((verified, block))
        });
        run.whole_way = run.whole_way.max(held / bytes.len().max(1));
        assert!(held <= WHOLE_WAY_PER_BYTE * bytes.len() + LEAST, "{said}: {held} bytes for the whole way");
        let Some((verified, block)) = verified else { continue };
        run.proven += 1;
        nothing_false(victim, &verified, &block, &said);
    }
    run
}

/// Whatever still proves itself credits what the honest ledger credits, or is another ledger.
fn nothing_false(victim: &Victim, verified: &Verified, block: &Block, said: &str) {
    if block.header.at != victim.honest.header.at {
        return;
    }
    // What entries say of a claimed balance is hearsay, recorded for a person and credited to nobody.
    let proven = |block: &Block| -> Vec<_> {
        block.transfers.iter().filter(|transfer| transfer.id.kind != Kind::Internal).cloned().collect()
    };
    let (ours, theirs) = (proven(block), proven(&victim.honest));
    if verified.protocol >= 23 {
        assert_eq!((ours, &block.takebacks), (theirs, &victim.honest.takebacks), "{said}");
    } else {
        // A call whose events a node rewrote credits nobody; nothing else may be missing, and nothing new be there.
        let rewritten: Vec<_> =
            verified.applied.iter().filter(|tx| tx.rewritten().is_some()).map(|tx| tx.hash).collect();
        let stands = |tx: &amn_core::block::TxHash| !rewritten.contains(tx);
        let theirs: Vec<_> = theirs.into_iter().filter(|transfer| stands(&transfer.id.tx)).collect();
        assert_eq!(ours, theirs, "{said}");
    }
}

fn enough(run: &Run) {
    println!(
        "{} ledgers: {} still decode, {} still prove themselves; at most {} bytes of memory for each byte to read one, {} \
         for the whole way to payments",
        run.rounds, run.decoded, run.proven, run.reading, run.whole_way
    );
    let few = "the test shows little";
    assert!(run.decoded > run.rounds / 20 && run.proven > 0, "{} decode, {} proven: {few}", run.decoded, run.proven);
}

#[test]
fn thousands_of_broken_ledgers_make_no_panic_no_proof_of_what_is_false_and_no_great_demand_for_memory() {
    let rounds = std::env::var("AMN_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    enough(&break_ledgers(rounds));
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[test]
#[ignore = "long: ./soak"]
fn soak_stellar_ledgers_broken_two_hundred_thousand_times() {
    if std::env::var("AMN_SOAK").as_deref() != Ok("full") {
        println!("skipped: AMN_SOAK is not \"full\"");
        return;
    }
    let run = break_ledgers(MUTATIONS_FULL);
    println!(
        "figure: broken Stellar ledgers: {} tried, {} still decode, {} still prove themselves, 0 panics, 0 false credits; \
         memory at most {} bytes for each byte read (bound {MEMORY_PER_BYTE}), {} for the whole way (bound \
         {WHOLE_WAY_PER_BYTE})",
        run.rounds, run.decoded, run.proven, run.reading, run.whole_way
    );
    enough(&run);
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
