//! Who is paid, and who is not: one story for each way that money, or something like it, arrives.

use amn_core::block::{Block, Hash, Kind};
use amn_core::money::Amount;
use amn_ton::address::Account;
use amn_ton::decode::{self, Wallets};
use amn_ton::jetton;
use amn_ton::testkit::{
    Letter, Life, Outcome, Payload, binary, comment, encrypted, for_contract, internal_transfer, notification, order,
    text,
};
use amn_ton::transaction::{Arrived, Transaction};
use tycho_types::cell::{Cell, CellBuilder};

use crate::support::*;

const TON: u128 = 1_000_000_000;

/// What one message to the shop comes to.
fn natively(letter: &Letter, outcome: Outcome) -> Block {
    let made = Life::of(SHOP).receive(letter, outcome);
    shop_reads(&mainnet().registry, &[(SHOP, &made)])
}

/// What one order to the shop's wallet comes to.
fn by_wallet(letter: &Letter, outcome: Outcome) -> Block {
    let registry = mainnet().registry;
    let account = wallet(&registry, SHOP);
    let made = Life::of(account).receive(letter, outcome);
    shop_reads(&registry, &[(account, &made)])
}

/// The payer's wallet pays so much with this payload.
fn paid(query: u64, amount: u128, payload: &Payload) -> Letter {
    let from = wallet(&mainnet().registry, PAYER);
    Letter::from(from, TON / 20).saying(internal_transfer(query, amount, Some(&PAYER), 1, payload))
}

/// Amount and reference of the one payment there is.
fn payment(block: &Block) -> (u128, String) {
    let [transfer] = block.transfers.as_slice() else { panic!("{:?} {:?}", block.transfers, block.observations) };
    let reference = transfer.reference.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    (transfer.amount.units(), reference)
}

/// Nobody is paid, and this is noted.
fn noted(block: &Block) -> &str {
    assert!(block.transfers.is_empty(), "{:?}", block.transfers);
    let [seen] = block.observations.as_slice() else { panic!("{:?}", block.observations) };
    &seen.kind
}

#[test]
fn native_money_is_paid_by_what_stays_on_the_balance_whether_aborted_or_not() {
    let letter = Letter::from(PAYER, 25 * TON).saying(text("order 17"));
    for outcome in [
        Outcome::Accepted,
        Outcome::Undeployed,
        Outcome::NoGas,
        Outcome::Failed(130),
        Outcome::ActionFailed,
        Outcome::TooLittleToSendBack,
    ] {
        let block = natively(&letter, outcome);
        assert_eq!(payment(&block), (25 * TON, "text:order 17".to_owned()), "{outcome:?}");
        let transfer = &block.transfers[0];
        assert_eq!((transfer.id.kind, transfer.id.index), (Kind::Native, 0));
        assert_eq!(transfer.from, Some(PAYER.spell(mainnet().realm)));
        assert_eq!(transfer.asset.as_str(), "tvm:-239/slip44:607");
    }
    assert_eq!(noted(&natively(&letter, Outcome::SentBack)), "sent_back");
}

#[test]
fn what_came_back_and_what_was_handed_on_pays_nobody() {
    let letter = Letter::from(PAYER, TON).saying(text("order 17"));
    assert_eq!(noted(&natively(&letter.clone().bounced(), Outcome::Accepted)), "bounced");
    let excesses = Letter::from(PAYER, TON).saying(for_contract(jetton::EXCESSES, &[0; 8]));
    assert_eq!(noted(&natively(&excesses, Outcome::Accepted)), "excesses");
    let made = Life::of(SHOP).receive_and_send(&letter, Outcome::Accepted, 1);
    assert_eq!(noted(&shop_reads(&mainnet().registry, &[(SHOP, &made)])), "handed_on");
    let own = natively(&Letter::from(SHOP, TON), Outcome::Accepted);
    assert!(own.transfers.is_empty() && own.observations.is_empty());
}

#[test]
fn a_comment_is_a_reference_in_every_form_it_is_written_in() {
    let long = "x".repeat(250);
    let far = "y".repeat(257);
    let said = |body: Cell| payment(&natively(&Letter::from(PAYER, TON).saying(body), Outcome::Accepted)).1;
    assert_eq!(said(Cell::default()), "none");
    assert_eq!(said(text("")), "none");
    assert_eq!(said(text("  \n")), "none");
    assert_eq!(said(text("  order 17 \n")), "text:order 17");
    assert_eq!(said(text("Cafe\u{301}")), "text:Caf\u{e9}", "as it looks, not as it was typed");
    assert_eq!(said(text("two\nlines")), "text-hex:74776f0a6c696e6573");
    assert_eq!(said(comment(&[0xfe, 0x01])), "text-hex:fe01");
    assert_eq!(said(text(&long)), format!("text:{long}"), "through three cells");
    assert!(said(text(&far)).starts_with("odd:"), "no intent can wait for it");
    assert_ne!(said(text(&far)), said(text(&format!("{far}y"))));
    assert_eq!(said(binary(&[0xab, 0xcd])), "bin:abcd");
    assert_eq!(said(binary(&[])), "none");
    // In a cell of its own, as many wallets write it.
    let apart = natively(&Letter::from(PAYER, TON).saying(text("order 17")).apart(), Outcome::Accepted);
    assert_eq!(payment(&apart).1, "text:order 17");
}

#[test]
fn what_nobody_can_read_is_kept_apart_and_never_dropped() {
    let odd_bits = CellBuilder::build_from(true).unwrap();
    let half = {
        let mut builder = CellBuilder::new();
        builder.store_u32(0).unwrap();
        builder.store_small_uint(5, 4).unwrap();
        builder.build().unwrap()
    };
    let library = CellBuilder::build_library(&tycho_types::cell::HashBytes([7; 32]));
    let mut endless = text("z");
    for _ in 0..70 {
        let mut builder = CellBuilder::new();
        builder.store_u32(0).unwrap();
        builder.store_reference(endless).unwrap();
        endless = builder.build().unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for (body, kind) in [
        (encrypted(b"secret"), "encrypted:"),
        (encrypted(b"secrets"), "encrypted:"),
        (for_contract(0x0513_8d91, b"nft"), "odd:"),
        (for_contract(0x1234_5678, b""), "odd:"),
        (odd_bits, "odd:"),
        (half, "odd:"),
        (library, "odd:"),
        (endless, "odd:"),
    ] {
        let (amount, reference) = payment(&natively(&Letter::from(PAYER, TON).saying(body), Outcome::Accepted));
        assert!(amount == TON && reference.starts_with(kind), "{reference}");
        assert!(amn_ton::reference::parse(&reference).is_err(), "no intent can wait for {reference}");
        assert!(seen.insert(reference), "each apart from all others");
    }
}

#[test]
fn a_message_that_cannot_be_read_stops_nobody_and_is_noted() {
    let mut life = Life::of(SHOP);
    let nonsense = life.receive_cell(CellBuilder::build_from(false).unwrap(), Outcome::Accepted);
    let after = life.receive(&Letter::from(PAYER, TON), Outcome::Accepted);
    let block = shop_reads(&mainnet().registry, &[(SHOP, &nonsense), (SHOP, &after)]);
    assert_eq!((block.transfers.len(), block.observations[0].kind.as_str()), (1, "unreadable_message"));
    // A course nobody can read: a person looks whether it paid.
    let letter = Letter::from(PAYER, TON).saying(text("order 17"));
    assert_eq!(noted(&natively(&letter, Outcome::Undescribed)), "unreadable_course");
    let told = paid(9, 25_000_000, &Payload::None);
    assert_eq!(noted(&by_wallet(&told, Outcome::Undescribed)), "unreadable_course");
    // A state nobody can read: the value before it is money all the same.
    let whole = Letter::from(PAYER, TON).with_state(Cell::default()).cell(&SHOP);
    let mut cut = CellBuilder::new();
    let rest = whole.as_slice().unwrap();
    cut.store_slice(rest.get_prefix(rest.size_bits() - 2, 0)).unwrap();
    let made = Life::of(SHOP).receive_cell(cut.build().unwrap(), Outcome::Undeployed);
    let Arrived::Message(message) = Transaction::decode(0, &made.bytes()).unwrap().arrived else { panic!() };
    assert!(message.body().is_none());
    let (amount, reference) = payment(&shop_reads(&mainnet().registry, &[(SHOP, &made)]));
    assert!(amount == TON && reference.starts_with("odd:"), "{reference}");
}

#[test]
fn a_jetton_is_paid_by_what_the_owners_wallet_accepted_told_or_not() {
    for (payload, query, reference) in [
        (Payload::Inline(text("order 17")), 9, "text:order 17"),
        (Payload::Apart(text("order 17")), 9, "text:order 17"),
        (Payload::Apart(binary(&[1, 2])), 9, "bin:0102"),
        (Payload::None, 9, "query:9"),
        (Payload::Missing, u64::MAX, "query:18446744073709551615"),
        (Payload::None, 0, "none"),
        (Payload::Missing, 0, "none"),
        (Payload::Apart(text(" ")), 7, "query:7"),
    ] {
        let block = by_wallet(&paid(query, 25_000_000, &payload), Outcome::Accepted);
        assert_eq!(payment(&block), (25_000_000, reference.to_owned()), "{payload:?}");
        let transfer = &block.transfers[0];
        assert_eq!(transfer.id.kind, Kind::Token);
        assert_eq!(transfer.to, SHOP.spell(mainnet().realm), "the owner is paid, not his wallet");
        assert_eq!(transfer.from, Some(PAYER.spell(mainnet().realm)), "by the payer, not by his wallet");
    }
    for payload in [Payload::Apart(encrypted(b"x")), Payload::Inline(for_contract(0x1234_5678, b"x"))] {
        let (amount, reference) = payment(&by_wallet(&paid(9, 25_000_000, &payload), Outcome::Accepted));
        assert!(amount == 25_000_000 && amn_ton::reference::parse(&reference).is_err(), "{reference}");
    }
}

#[test]
fn a_wallet_that_refused_was_paid_nothing() {
    let letter = paid(9, 25_000_000, &Payload::Apart(text("order 17")));
    for outcome in [
        Outcome::Undeployed,
        Outcome::NoGas,
        Outcome::Failed(48),
        Outcome::ActionFailed,
        Outcome::SentBack,
        Outcome::TooLittleToSendBack,
    ] {
        assert_eq!(noted(&by_wallet(&letter, outcome)), "jetton_refused", "{outcome:?}");
    }
    let came_back = by_wallet(&letter.bounced(), Outcome::Accepted);
    assert!(came_back.transfers.is_empty(), "the shop's own payment, returned");
}

#[test]
fn a_mint_and_a_batch_are_paid_and_the_owners_own_is_not() {
    let registry = mainnet().registry;
    let account = wallet(&registry, SHOP);
    let mint = Letter::from(usdt(&registry).master, TON).saying(internal_transfer(
        1,
        7_000_000,
        None,
        0,
        &Payload::Apart(text("minted")),
    ));
    let block = by_wallet(&mint, Outcome::Accepted);
    assert_eq!(payment(&block), (7_000_000, "text:minted".to_owned()));
    assert_eq!(block.transfers[0].from, None);
    let own = Letter::from(account, TON).saying(internal_transfer(1, 7_000_000, Some(&SHOP), 0, &Payload::None));
    assert!(by_wallet(&own, Outcome::Accepted).transfers.is_empty());
    // Many from one sender in one block, each under a name of its own.
    let mut life = Life::of(account);
    let made: Vec<_> = (1..=200_u32)
        .map(|index| {
            let said = Payload::Apart(text(&format!("salary {index}")));
            life.receive(&paid(u64::from(index), u128::from(index) * 1_000_000, &said), Outcome::Accepted)
        })
        .collect();
    let block = shop_reads(&registry, &made.iter().rev().map(|made| (account, made)).collect::<Vec<_>>());
    let names: std::collections::BTreeSet<_> = block.transfers.iter().map(|transfer| transfer.id).collect();
    assert_eq!((block.transfers.len(), names.len()), (200, 200));
    assert_eq!(Amount::total(block.transfers.iter().map(|t| t.amount)).units(), 1_000_000 * 200 * 201 / 2);
    assert_eq!(block.transfers[0].amount.units(), 1_000_000, "in the order of the chain");
}

#[test]
fn a_fake_jetton_and_a_forged_notification_are_no_money() {
    let registry = mainnet().registry;
    let form = usdt(&registry).form.clone();
    let fake_master = Account::new(0, [0x66; 32]);
    let fake_wallet = form.wallet(&fake_master, &SHOP).unwrap();
    let told = |from: Account| {
        let said = notification(9, 1_000_000_000_000, &PAYER, &Payload::Apart(text("order 17")));
        Letter::from(from, TON / 20).saying(said)
    };
    // The fake's own wallet accepts it; the shop is told, byte by byte as it would be of the true one.
    let body = internal_transfer(9, 1_000_000_000_000, Some(&PAYER), 1, &Payload::Apart(text("order 17")));
    let accepted = Life::of(fake_wallet).receive(&Letter::from(STRANGER, TON).saying(body), Outcome::Accepted);
    let heard = Life::of(SHOP).receive(&told(fake_wallet), Outcome::Accepted);
    let block = shop_reads(&registry, &[(fake_wallet, &accepted), (SHOP, &heard)]);
    assert_eq!(noted(&block), "unlisted_asset");
    assert!(block.observations[0].detail.contains("1000000000000"), "{}", block.observations[0].detail);
    // Somebody without any wallet says it.
    assert_eq!(noted(&natively(&told(STRANGER), Outcome::Accepted)), "unlisted_asset");
    // From the true wallet it is news of what was counted already.
    let own = natively(&told(wallet(&registry, SHOP)), Outcome::NoGas);
    assert!(own.transfers.is_empty() && own.observations.is_empty());
}

#[test]
fn a_wallet_nobody_worked_out_before_is_known_by_the_state_its_first_payment_brings() {
    let registry = mainnet().registry;
    let (jetton, account) = (usdt(&registry), wallet(&registry, SHOP));
    let state = |code: &Cell, owner: Account, master: Account| {
        let mut data = CellBuilder::new();
        data.store_u8(0).unwrap();
        for party in [owner, master] {
            data.store_small_uint(0b100, 3).unwrap();
            data.store_u8(party.workchain.cast_unsigned()).unwrap();
            data.store_u256(&tycho_types::cell::HashBytes(party.id)).unwrap();
        }
        let mut state = CellBuilder::new();
        state.store_small_uint(0b00110, 5).unwrap();
        state.store_reference(code.clone()).unwrap();
        state.store_reference(data.build().unwrap()).unwrap();
        state.build().unwrap()
    };
    let code = amn_ton::cell::decode(&jetton.form.code()).unwrap();
    let genuine = state(&code, SHOP, jetton.master);
    assert_eq!(genuine.repr_hash().0, account.id);
    let letter = paid(9, 25_000_000, &Payload::Apart(text("order 17")));
    let read = |account: Account, state: Cell| {
        let made = Life::of(account).receive(&letter.clone().with_state(state), Outcome::Accepted);
        let transaction = Transaction::decode(0, &made.bytes()).unwrap();
        decode::block(&registry, &Wallets::default(), &watch([SHOP]), header(), &[transaction]).transfers.len()
    };
    assert_eq!(read(account, genuine.clone()), 1);
    // Somebody else's account, whatever state it is shown with; another code; another master.
    assert_eq!(read(STRANGER, genuine), 0);
    let other = CellBuilder::build_library(&tycho_types::cell::HashBytes([7; 32]));
    for forged in [state(&other, SHOP, jetton.master), state(&code, SHOP, STRANGER)] {
        assert_eq!(read(Account::new(0, forged.repr_hash().0), forged), 0);
    }
}

#[test]
fn what_the_master_takes_back_is_told_and_what_the_owner_spends_is_not() {
    let registry = mainnet().registry;
    let master = usdt(&registry).master;
    for operation in [jetton::TRANSFER, jetton::BURN] {
        let ordered = |by: Account| Letter::from(by, TON).saying(order(operation, 1, 4_000_000));
        let block = by_wallet(&ordered(master), Outcome::Accepted);
        let [takeback] = block.takebacks.as_slice() else { panic!("{:?}", block.takebacks) };
        assert_eq!((takeback.amount.units(), &takeback.from), (4_000_000, &SHOP.spell(mainnet().realm)));
        assert!(by_wallet(&ordered(SHOP), Outcome::Accepted).takebacks.is_empty());
        assert!(by_wallet(&ordered(master), Outcome::Failed(47)).takebacks.is_empty());
    }
    let lock = |status: u8| {
        let mut body = CellBuilder::new();
        body.store_u32(jetton::SET_STATUS).unwrap();
        body.store_u64(1).unwrap();
        body.store_small_uint(status, 4).unwrap();
        Letter::from(master, TON).saying(body.build().unwrap())
    };
    assert_eq!(noted(&by_wallet(&lock(3), Outcome::Accepted)), "authorization_withdrawn");
    assert!(by_wallet(&lock(0), Outcome::Accepted).observations.is_empty());
}

#[test]
fn comment_spam_pays_nobody_and_crowds_out_nothing() {
    let mut life = Life::of(SHOP);
    let spam = Letter::from(STRANGER, 1).saying(text("TG: @somebody"));
    let mut made: Vec<_> = (0..200).map(|_| life.receive(&spam, Outcome::NoGas)).collect();
    made.push(life.receive(&Letter::from(PAYER, TON).saying(text("order 17")), Outcome::Accepted));
    made.push(life.receive(&Letter::from(PAYER, TON).bounced(), Outcome::Accepted));
    let block = shop_reads(&mainnet().registry, &made.iter().map(|made| (SHOP, made)).collect::<Vec<_>>());
    assert_eq!(payment(&block), (TON, "text:order 17".to_owned()));
    let dust = block.observations.iter().filter(|seen| seen.kind == "dust").count();
    assert_eq!((dust, block.observations.last().unwrap().kind.as_str()), (20, "bounced"));
}

#[test]
fn who_is_not_watched_is_not_read_about() {
    let made = Life::of(STRANGER).receive(&Letter::from(PAYER, TON), Outcome::Accepted);
    let block = shop_reads(&mainnet().registry, &[(STRANGER, &made)]);
    assert!(block.transfers.is_empty() && block.observations.is_empty());
    assert_ne!(made.at.hash, Hash([0; 32]));
}
