//! Invented ledgers: what pays whom, in every form, and what pays nobody.

use amn_core::block::{Inclusion, Kind};
use amn_core::timestamp::Timestamp;
use amn_soroban::decode;
use amn_soroban::evidence::verify;
use amn_soroban::ledger::Ledger;
use amn_soroban::testkit::event::{self, Token};
use amn_soroban::testkit::{Tx, muxed, plain};
use stellar_xdr::{Asset, ContractEventType, Hash, Memo, ScVal};

use crate::scene::*;
use crate::support::*;

#[test]
fn a_payment_is_read_alike_from_the_ledgers_of_every_protocol() {
    for protocol in [19, 20, 22, 23, 26, 29, 30] {
        let mut scene = scene(protocol);
        let usd = scene.usd.clone();
        let before = Timestamp::from_millis(i64::try_from(scene.chain.milliseconds).unwrap());
        scene.chain.block_time_ms = 4_700;
        let mut transactions = vec![
            Tx::of(PAYER).memo(Memo::Id(42)).pay(plain(SHOP), &usd, 25_000_000),
            Tx::of(PAYER).pay(muxed(SHOP, 43), &Asset::Native, 10_000_000),
            Tx::of(PAYER).memo(text("order 17")).old_form().pay(plain(SHOP), &usd, 1_000_000),
        ];
        if protocol >= 20 {
            transactions.push(Tx::of(PAYER).call(vec![scene.token().transfer(PAYER, ESCROW, 7_000_000)]));
        }
        let verified = scene.verified(&transactions);
        let block = decode::block(&scene.network.registry, &watch([SHOP, ESCROW]), &verified);
        let paid: Vec<_> = block.transfers.iter().map(|t| (t.amount.units(), t.id.kind, t.id.index)).collect();
        let mut expected = vec![
            (25_000_000, Kind::Token, 0),
            (10_000_000, Kind::Native, 0),
            (1_000_000, Kind::Token, 0),
            (7_000_000, Kind::Token, 1),
        ];
        expected.truncate(transactions.len());
        assert_eq!(paid, expected, "protocol {protocol}");
        let said: Vec<_> =
            block.transfers.iter().filter_map(|t| t.reference.as_ref()).map(ToString::to_string).collect();
        assert_eq!(said, ["id:42", "id:43", "text:order 17"]);
        assert_eq!(block.evidence.inclusion, Inclusion::Proven);
        assert!(block.transfers.iter().all(|transfer| transfer.from.as_ref() == Some(&PAYER.spell())));
        assert!(block.observations.is_empty(), "{:?}", block.observations);
        let passed = verified.header.time.millis() - before.millis();
        assert_eq!(passed, if protocol >= 30 { 4_700 } else { 4_000 }, "seconds until 30, milliseconds from then on");
    }
}

#[test]
fn two_ledgers_of_protocol_30_may_close_within_one_second() {
    let mut scene = scene(30);
    scene.chain.block_time_ms = 400;
    let times: Vec<_> = (0..3).map(|_| scene.verified(&[]).header.time.millis()).collect();
    assert_eq!(times[2] - times[0], 800);
    assert_eq!(times[0] / 1_000, times[1] / 1_000);
}

#[test]
fn what_arrives_by_a_path_is_what_the_last_trade_gave() {
    let mut scene = scene(26);
    let usd = scene.usd.clone();
    let paid = scene.paid(&[
        Tx::of(PAYER).send_by_path(plain(SHOP), &usd, 99_000_000, 31_000_000),
        Tx::of(PAYER).deliver_by_path(muxed(SHOP, 5), &usd, 99_000_000, 32_000_000),
    ]);
    assert_eq!(paid, [(31_000_000, String::new()), (32_000_000, "id:5".to_owned())]);
}

#[test]
fn accounts_that_are_made_or_merged_pay_in_native_money() {
    let mut scene = scene(26);
    let paid = scene.paid(&[
        Tx::of(PAYER).create(SHOP, 20_000_000),
        Tx::of(PAYER).memo(text("all I have")).merge_into(plain(SHOP), 21_000_000),
        Tx::of(PAYER).create(OTHER, 22_000_000),
    ]);
    assert_eq!(paid, [(20_000_000, String::new()), (21_000_000, "text:all I have".to_owned())]);
}

#[test]
fn what_failed_pays_nobody_whatever_a_node_shows_beside_it() {
    for protocol in [22, 26] {
        let mut scene = scene(protocol);
        let usd = scene.usd.clone();
        let events = vec![scene.token().transfer(PAYER, SHOP, 5_000_000)];
        let failed = [
            Tx::of(PAYER).pay(plain(SHOP), &usd, 25_000_000).fails(),
            Tx::of(PAYER).bumped_by(OTHER).pay(plain(SHOP), &usd, 25_000_000).fails(),
            Tx::of(PAYER).call(events).fails(),
        ];
        let block = scene.block(&failed);
        assert!(block.transfers.is_empty() && block.observations.is_empty(), "{block:?}");
    }
}

#[test]
fn a_fee_bump_is_named_by_its_own_hash_and_carries_the_memo_that_the_payer_signed() {
    let mut scene = scene(26);
    let usd = scene.usd.clone();
    let bumped = Tx::of(PAYER).memo(Memo::Id(9)).pay(plain(SHOP), &usd, 25_000_000).bumped_by(OTHER);
    let on = scene.chain.tip;
    let closed = scene.chain.close(&[bumped], &scene.validator);
    let verified = verify(&scene.network, Ledger::decode(&closed.bytes()).unwrap(), Some(on)).unwrap();
    let block = decode::block(&scene.network.registry, &watch([SHOP]), &verified);
    let [transfer] = block.transfers.as_slice() else { panic!("{block:?}") };
    assert_eq!(transfer.id.tx, closed.names[0]);
    assert_eq!(transfer.from.as_ref(), Some(&PAYER.spell()), "who pays the fee pays nothing else");
    assert_eq!(transfer.reference.as_ref().unwrap().as_str(), "id:9");
}

#[test]
fn each_operation_of_a_transaction_has_its_own_name_and_its_own_payer() {
    let mut scene = scene(26);
    let usd = scene.usd.clone();
    let tx = Tx::of(PAYER)
        .pay(plain(SHOP), &usd, 1_000_000)
        .pay(plain(OTHER), &usd, 2_000_000)
        .pay(plain(SHOP), &usd, 1_000_000)
        .on_behalf_of(OTHER);
    let block = scene.block(&[tx]);
    let seen: Vec<_> = block.transfers.iter().map(|t| (t.id.index, t.from.clone().unwrap())).collect();
    assert_eq!(seen, [(0, PAYER.spell()), (2 << 16, OTHER.spell())]);
}

#[test]
fn money_that_goes_nowhere_or_is_nothing_is_no_payment() {
    let mut scene = scene(26);
    let (usd, token) = (scene.usd.clone(), scene.token());
    let block = scene.block(&[
        Tx::of(SHOP).pay(muxed(SHOP, 1), &usd, 25_000_000),
        Tx::of(SHOP).send_by_path(plain(SHOP), &usd, 2, 25_000_000),
        Tx::of(PAYER).call(vec![
            token.transfer(PAYER, ESCROW, 0),
            token.transfer(ESCROW, ESCROW, 25_000_000),
            token.transfer_with(ESCROW, ESCROW, 25_000_000, ScVal::U64(3)),
        ]),
    ]);
    assert!(block.transfers.is_empty() && block.observations.is_empty(), "{block:?}");
}

#[test]
fn the_same_code_from_another_issuer_is_no_money() {
    let mut scene = scene(26);
    let (fake, _) = own_asset(&scene.network, "USD", OTHER);
    // A contract of anybody, which names the real asset in its events.
    let forged = Token { contract: [0x66; 32], ..scene.token() };
    let block = scene.block(&[
        Tx::of(PAYER).pay(plain(SHOP), &fake, 25_000_000),
        Tx::of(PAYER).call(vec![forged.transfer(PAYER, ESCROW, 25_000_000)]),
    ]);
    assert!(block.transfers.is_empty());
    assert_eq!(kinds(&block), ["unlisted_asset", "unlisted_asset"]);
}

#[test]
fn a_contract_pays_by_transfer_and_by_mint_in_every_shape() {
    let mut scene = scene(26);
    let token = scene.token();
    let void = event::map(vec![("amount", event::whole(6_000_000)), ("to_muxed_id", ScVal::Void)]);
    let more = event::map(vec![("amount", event::whole(7_000_000)), ("note", ScVal::Bool(true))]);
    let paid = scene.paid(&[Tx::of(PAYER).call(vec![
        token.transfer(PAYER, ESCROW, 1_000_000),
        token.transfer_with(PAYER, ESCROW, 2_000_000, ScVal::U64(4242)),
        token.transfer_with(PAYER, ESCROW, 3_000_000, event::string("inv42")),
        token.mint(ESCROW, 4_000_000),
        token.old_mint(OTHER, ESCROW, 5_000_000),
        token.event("transfer", vec![event::address(PAYER), event::address(SHOP)], void),
        token.event("mint", vec![event::address(ESCROW)], more),
        token.transfer(PAYER, OTHER, 9_000_000),
        token.event("burn", vec![event::address(ESCROW)], event::whole(9_000_000)),
        token.event("approve", vec![event::address(PAYER), event::address(ESCROW)], event::whole(9_000_000)),
    ])]);
    let expected = [
        (1_000_000, ""),
        (2_000_000, "id:4242"),
        (3_000_000, "text:inv42"),
        (4_000_000, ""),
        (5_000_000, ""),
        (6_000_000, ""),
        (7_000_000, ""),
    ];
    assert_eq!(paid, expected.map(|(amount, reference)| (amount, reference.to_owned())));
}

#[test]
fn an_amount_beyond_64_bits_is_counted_whole() {
    let mut scene = scene(30);
    let token = scene.token();
    let paid = scene.paid(&[Tx::of(PAYER).call(vec![token.transfer(PAYER, ESCROW, i128::MAX)])]);
    assert_eq!(paid, [(i128::MAX.cast_unsigned(), String::new())]);
}

#[test]
fn a_poisonous_event_is_put_aside_by_itself() {
    let mut scene = scene(26);
    let token = scene.token();
    let (from, to) = (event::address(PAYER), event::address(ESCROW));
    let mut diagnostic = token.transfer(PAYER, ESCROW, 8_000_000);
    diagnostic.type_ = ContractEventType::Diagnostic;
    let mut nameless = token.transfer(PAYER, ESCROW, 8_000_000);
    nameless.contract_id = None;
    let twice = event::map(vec![("amount", event::whole(1)), ("amount", event::whole(8_000_000))]);
    let block = scene.block(&[Tx::of(PAYER).call(vec![
        event::raw(Some(token.contract), vec![], ScVal::Void),
        event::raw(Some(token.contract), vec![ScVal::Void; 5], ScVal::Map(None)),
        token.event("transfer", vec![from.clone(), to.clone()], event::map(vec![])),
        token.event("transfer", vec![from.clone(), to.clone()], ScVal::Map(None)),
        token.event("transfer", vec![from.clone(), to.clone()], ScVal::I64(8_000_000)),
        token.event("transfer", vec![from.clone(), to.clone()], twice),
        token.event("transfer", vec![from.clone()], event::whole(8_000_000)),
        token.event("transfer", vec![from.clone(), to.clone()], event::whole(-8_000_000)),
        event::raw(Some(token.contract), vec![event::symbol("transfer"), from, to], event::whole(8_000_000)),
        diagnostic,
        nameless,
        token.transfer(PAYER, ESCROW, 1_000_000),
    ])]);
    let [transfer] = block.transfers.as_slice() else { panic!("{block:?}") };
    assert_eq!((transfer.amount.units(), transfer.id.index), (1_000_000, 12), "its name counts the others");
    assert_eq!(kinds(&block), ["malformed_transfer"; 7]);
}

#[test]
fn a_token_that_is_only_a_contract_is_money_once_it_is_listed() {
    let mut scene = scene(30);
    let token = Token { contract: [0x70; 32], name: None };
    let muxed = event::muxed_address(amn_soroban::address::Party { place: ESCROW, id: Some(7) });
    let event = token.event("transfer", vec![event::address(PAYER), muxed], event::whole(5));
    let transactions = [Tx::of(PAYER).call(vec![event, token.transfer(PAYER, ESCROW, 6)])];
    let unlisted = scene.block(&transactions);
    assert_eq!((unlisted.transfers.len(), kinds(&unlisted).len()), (0, 2));
    let entry = token_entry(token.contract);
    scene.network = scene.network.with_assets("the test", &[], &[entry]).unwrap();
    assert_eq!(scene.paid(&transactions), [(5, "id:7".to_owned()), (6, String::new())]);
}

#[test]
fn dust_is_counted_and_never_crowds_out_what_matters() {
    let mut scene = scene(26);
    let (usd, token) = (scene.usd.clone(), scene.token());
    let mut dust = Tx::of(PAYER);
    for _ in 0..100 {
        dust = dust.pay(plain(SHOP), &usd, 1);
    }
    let odd = token.event("transfer", vec![event::address(PAYER), event::address(ESCROW)], ScVal::Void);
    let block = scene.block(&[dust, Tx::of(PAYER).call(vec![odd])]);
    let mut expected = vec!["dust"; 20];
    expected.push("malformed_transfer");
    assert_eq!(kinds(&block), expected);
}

#[test]
fn events_beside_a_classic_payment_are_compared_and_never_credited() {
    let mut scene = scene(26);
    let (usd, token) = (scene.usd.clone(), scene.token());
    let pay = || Tx::of(PAYER).memo(Memo::Id(42)).pay(plain(SHOP), &usd, 25_000_000);
    let honest = token.transfer_with(PAYER, SHOP, 25_000_000, ScVal::U64(42));
    let block = scene.block(&[
        pay().shows(vec![honest.clone()]),
        pay().shows(vec![]),
        pay().shows(vec![token.transfer_with(PAYER, SHOP, 26_000_000, ScVal::U64(42))]),
        pay().shows(vec![honest.clone(), token.transfer(PAYER, SHOP, 99_000_000)]),
        Tx::of(PAYER).pay(plain(OTHER), &usd, 25_000_000).shows(vec![token.transfer(PAYER, SHOP, 25_000_000)]),
    ]);
    let amounts: Vec<_> = block.transfers.iter().map(|transfer| transfer.amount.units()).collect();
    assert_eq!(amounts, [25_000_000; 4], "each payment once, with what its result says");
    assert_eq!(kinds(&block), ["event_disagrees", "event_disagrees"]);
}

#[test]
fn money_from_and_to_the_issuer_is_compared_with_mint_and_burn() {
    let mut scene = scene(26);
    let (usd, token) = (scene.usd.clone(), scene.token());
    let memo = Memo::Hash(Hash([9; 32]));
    let said = ScVal::Bytes(stellar_xdr::ScBytes(vec![9; 32].try_into().unwrap()));
    let minted = token.event(
        "mint",
        vec![event::address(SHOP)],
        event::map(vec![("amount", event::whole(25_000_000)), ("to_muxed_id", said)]),
    );
    let burned = token.event("burn", vec![event::address(PAYER)], event::whole(24_000_000));
    let transactions = [
        Tx::of(ISSUER).memo(memo).pay(plain(SHOP), &usd, 25_000_000).shows(vec![minted]),
        Tx::of(PAYER).memo(Memo::Id(1)).pay(plain(ISSUER), &usd, 24_000_000).shows(vec![burned]),
    ];
    let verified = scene.verified(&transactions);
    let block = decode::block(&scene.network.registry, &watch([SHOP, ISSUER]), &verified);
    assert!(block.observations.is_empty(), "{:?}", block.observations);
    assert_eq!(block.transfers[0].reference.as_ref().unwrap().as_str(), format!("hash:{}", "09".repeat(32)));
}

#[test]
fn a_claim_is_credited_where_the_ledger_shows_what_was_put_in_and_a_persons_to_assign_elsewhere() {
    let mut scene = scene(26);
    let usd = scene.usd.clone();
    let (fake, _) = own_asset(&scene.network, "USD", OTHER);
    let block = scene.block(&[
        Tx::of(PAYER).make_balance(1, &usd, 25_000_000).make_balance(2, &usd, 26_000_000).fails(),
        Tx::of(PAYER).make_balance(1, &usd, 25_000_000),
        // What the node says beside a balance that was made here does not matter.
        Tx::of(SHOP).claim_balance(1, Some((&usd, 99_000_000))),
        Tx::of(SHOP).memo(text("mine")).claim_balance(2, Some((&usd, 30_000_000))),
        Tx::of(SHOP).claim_balance(3, None),
        Tx::of(SHOP).claim_balance(4, Some((&fake, 30_000_000))),
        Tx::of(OTHER).claim_balance(5, Some((&usd, 30_000_000))),
    ]);
    let [proven, unproven] = block.transfers.as_slice() else { panic!("{block:?}") };
    assert_eq!(
        (proven.amount.units(), proven.id.kind, proven.from.as_ref()),
        (25_000_000, Kind::Token, Some(&PAYER.spell()))
    );
    assert_eq!(block.evidence_of(proven).inclusion, Inclusion::Proven);
    assert_eq!((unproven.amount.units(), unproven.id.kind, &unproven.from), (30_000_000, Kind::Internal, &None));
    assert_eq!(block.evidence_of(unproven).inclusion, Inclusion::Reported, "nothing commits to it");
    assert_eq!(kinds(&block), ["claim_unreadable", "unlisted_asset"]);
}

#[test]
fn what_comes_after_a_clawback_in_one_ledger_was_not_there_to_be_taken() {
    let mut scene = scene(26);
    let (usd, token) = (scene.usd.clone(), scene.token());
    let block = scene.block(&[
        // Operations of one transaction follow one another, and so do the events of one call.
        Tx::of(ISSUER)
            .pay(plain(SHOP), &usd, 1_000_000)
            .claw_back(plain(SHOP), &usd, 1_000_000)
            .pay(muxed(SHOP, 7), &usd, 2_000_000)
            .pay(plain(SHOP), &Asset::Native, 3_000_000),
        Tx::of(ISSUER).call(vec![token.clawback(ESCROW, 2_000_000), token.transfer(PAYER, ESCROW, 4_000_000)]),
    ]);
    let amount_of = |id| block.transfers.iter().find(|t| t.id == id).unwrap().amount.units();
    let later: Vec<Vec<u128>> =
        block.takebacks.iter().map(|t| t.later.iter().map(|id| amount_of(*id)).collect()).collect();
    assert_eq!(block.transfers.len(), 4);
    assert!(later.contains(&vec![2_000_000]) && later.contains(&vec![4_000_000]), "{later:?}");
}

#[test]
fn what_an_issuer_takes_back_is_told() {
    for protocol in [22, 26] {
        let mut scene = scene(protocol);
        let (usd, token) = (scene.usd.clone(), scene.token());
        let old = token.event("clawback", vec![event::address(ISSUER), event::address(ESCROW)], event::whole(3));
        let block = scene.block(&[
            Tx::of(ISSUER).claw_back(muxed(SHOP, 1), &usd, 1_000_000),
            Tx::of(ISSUER).claw_back(plain(OTHER), &usd, 1_000_000),
            Tx::of(ISSUER).call(vec![token.clawback(ESCROW, 2_000_000), old]),
            Tx::of(ISSUER).withdraw_authorization(SHOP, &usd),
            Tx::of(ISSUER).call(vec![token.event("set_authorized", vec![event::address(ESCROW)], ScVal::Bool(false))]),
            Tx::of(ISSUER).call(vec![token.event("set_authorized", vec![event::address(ESCROW)], ScVal::Bool(true))]),
        ]);
        let taken: Vec<_> = block.takebacks.iter().map(|t| (t.from.clone(), t.amount.units(), t.id.index)).collect();
        assert_eq!(taken, [(SHOP.spell(), 1_000_000, 0), (ESCROW.spell(), 2_000_000, 1), (ESCROW.spell(), 3, 2)]);
        assert!(block.transfers.is_empty());
        assert_eq!(kinds(&block), ["authorization_withdrawn"; 2]);
    }
}
