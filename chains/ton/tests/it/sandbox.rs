//! What the network's own executor made of payments, read again by ours: the same hashes, the same courses, the same
//! money, and what it holds in the end is what we credited.

use std::collections::BTreeMap;

use amn_core::block::{Block, Kind};
use amn_ton::address::Account;
use amn_ton::decode::{self, Wallets};
use amn_ton::jetton::{self, WalletForm};
use amn_ton::testkit::sandbox::{self, Play, Played};
use amn_ton::transaction::{Course, Ending, Link, Transaction};

use crate::support::*;

fn plays() -> Vec<(String, Play)> {
    let names = sandbox::names().unwrap();
    assert!(names.len() >= 13, "{names:?}");
    names.into_iter().map(|name| (name.clone(), Play::load(&name).unwrap())).collect()
}

fn read(played: &Played) -> Transaction {
    Transaction::decode(played.account.workchain, &played.bytes).unwrap()
}

/// What a play holds for whoever takes part, all of it at once.
fn credited(play: &Play) -> Block {
    let owners: Vec<_> = play.people.iter().map(|person| person.account).collect();
    let registry = play.network().registry;
    let transactions: Vec<_> = play.transactions.iter().map(read).collect();
    decode::block(&registry, &Wallets::of(&registry, owners.iter().copied()), &watch(owners), header(), &transactions)
}

#[test]
fn every_transaction_has_the_hash_the_executor_gave_it_and_stands_on_the_one_before() {
    for (name, play) in plays() {
        let mut last: BTreeMap<Account, Option<Link>> = BTreeMap::new();
        for played in &play.transactions {
            let read = read(played);
            assert_eq!((read.account, read.at, read.now), (played.account, played.at, played.now), "{name}");
            let before = last.get(&played.account).copied().flatten();
            assert_eq!(read.on, before, "{name}: {} of {}", played.at.lt, played.account);
            last.insert(played.account, (read.ends != Ending::Gone).then_some(read.at));
        }
    }
}

#[test]
fn how_far_each_account_got_is_read_as_the_executor_says_it() {
    for (name, play) in plays() {
        for played in &play.transactions {
            let Course::Ordinary(phases) = read(played).course else { panic!("{name}: {}", played.course) };
            let said = &played.course;
            let place = format!("{name}, {}: {said}: {phases:?}", played.step);
            assert_eq!(phases.computed, said.starts_with("exit 0"), "{place}");
            assert_eq!(phases.aborted, said.contains("aborted"), "{place}");
            assert_eq!(phases.sent_back, said.contains("bounce ok"), "{place}");
            assert_eq!(phases.acted, phases.computed && !said.contains("action"), "{place}");
        }
    }
}

#[test]
fn the_wallets_that_masters_name_are_those_we_work_out() {
    for (name, play) in plays() {
        for master in &play.masters {
            let form = match master.wallet_library {
                Some(hash) => WalletForm::of_library(hash.0, master.layout),
                None => WalletForm::of_code(&master.wallet_code, master.layout).unwrap(),
            };
            let code = amn_ton::cell::decode(&master.wallet_code).unwrap();
            assert_eq!(amn_ton::cell::hash(&code), master.wallet_code_hash);
            assert_eq!(amn_ton::cell::hash(&amn_ton::cell::decode(&form.code()).unwrap()), master.wallet_code_hash);
            for person in &play.people {
                let said = person.wallets[&master.symbol].0;
                assert_eq!(form.wallet(&master.account, &person.account), Some(said), "{name}: {}", person.name);
            }
        }
    }
}

#[test]
fn native_money_that_is_credited_is_what_the_balance_grew_by_and_the_fees() {
    let mut seen = 0;
    for (name, play) in plays() {
        let mut balances: BTreeMap<Account, u128> = BTreeMap::new();
        let credited = credited(&play);
        for played in &play.transactions {
            let before = balances.insert(played.account, played.balance).unwrap_or_default();
            let paid = credited.transfers.iter().find(|one| one.id.tx == played.at.hash && one.id.kind == Kind::Native);
            if let Some(paid) = paid {
                assert_eq!(before + paid.amount.units(), played.balance + played.fees, "{name}, {}", played.step);
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

/// What left a person's wallet by his own orders, as the executor played them.
fn spent(play: &Play, owner: &Account, wallet: &Account) -> u128 {
    let own = play.transactions.iter().filter(|played| played.account == *wallet && played.course == "exit 0");
    own.map(read)
        .filter(|one| one.message().is_some_and(|message| message.from == Some(*owner)))
        .filter_map(|one| jetton::ordered(one.message()?.body()?))
        .sum()
}

/// What went from a wallet to itself, which pays nobody, or came back to it from one that refused it.
fn returned(play: &Play, owner: &Account, wallet: &Account) -> u128 {
    let own = play.transactions.iter().filter(|played| played.account == *wallet && played.course == "exit 0");
    own.map(read)
        .filter_map(|one| {
            let message = one.message()?;
            let mut body = message.body()?;
            if message.bounced {
                body.skip_first(32 + 32 + 64, 0).ok()?;
                let bytes = body.load_small_uint(4).ok()?;
                return body.load_uint(u16::from(bytes) * 8).ok().map(u128::from);
            }
            jetton::incoming(body).filter(|one| one.from == Some(*owner)).map(|one| one.amount)
        })
        .sum()
}

#[test]
fn jettons_in_each_wallet_in_the_end_are_what_was_credited_less_what_was_taken_and_spent() {
    let mut wallets = 0;
    for (name, play) in plays() {
        let (network, block) = (play.network(), credited(&play));
        for person in &play.people {
            let spelled = person.account.spell(network.realm);
            for (symbol, (wallet, balance)) in &person.wallets {
                let asset = &network.facts.assets.iter().find(|asset| asset.symbol == *symbol).unwrap().id;
                let mine = |to: &amn_core::block::Address, of: &amn_core::block::AssetId| *to == spelled && of == asset;
                let came: u128 =
                    block.transfers.iter().filter(|one| mine(&one.to, &one.asset)).map(|one| one.amount.units()).sum();
                let taken: u128 = block
                    .takebacks
                    .iter()
                    .filter(|one| mine(&one.from, &one.asset))
                    .map(|one| one.amount.units())
                    .sum();
                let back = returned(&play, &person.account, wallet);
                let spent = spent(&play, &person.account, wallet);
                assert_eq!(came + back, balance + taken + spent, "{name}: {symbol} of {}", person.name);
                wallets += usize::from(came > 0);
            }
        }
    }
    assert!(wallets > 20, "{wallets}");
}

/// What pays the shop in each step of a play: amounts and references.
fn paid(name: &str) -> Vec<String> {
    let play = Play::load(name).unwrap();
    let (network, block) = (play.network(), credited(&play));
    let of_step = |tx| play.transactions.iter().find(|played| played.at.hash == tx).unwrap().step.clone();
    let mine = ["shop", "stall"].map(|name| {
        play.people.iter().find(|person| person.name == name).map(|person| person.account.spell(network.realm))
    });
    let transfers = block.transfers.iter().filter(|one| mine.contains(&Some(one.to.clone())));
    let lines = transfers.filter(|one| of_step(one.id.tx) != sandbox::BEFORE).map(|one| {
        let said = one.reference.as_ref().map_or("-", |reference| reference.as_str());
        let shown: String = said.chars().take(24).collect();
        format!("{}: {} {shown}", of_step(one.id.tx), one.amount)
    });
    lines.collect()
}

#[test]
fn each_step_pays_what_it_says_and_nothing_else() {
    for (name, expected) in [
        (
            "undeployed",
            &["kept: 2000000000 text:A-1", "kept-again: 2000000000 text:A-2", "paid: 2000000000 text:A-3"][..],
        ),
        ("out-of-gas", &["too-little-to-run-on: 30000 text:A-1", "too-little-to-send-back: 35000 text:A-2"]),
        ("spam", &["paid: 2500000000 text:order 17"]),
        ("sweep", &["paid: 2000000000 text:A-1", "paid-again: 3000000000 text:A-2"]),
        ("owner-moves", &["paid: 1000000000 text:order 17"]),
        ("jetton-refused", &["paid: 10000000 text:order 17"]),
        ("forged", &["ordered-by-a-stranger: 10000 -", "paid: 25000000 text:order 17"]),
        ("governed", &["paid: 99000000 text:order 17", "paid-again: 49500000 text:order 18"]),
        (
            "jetton-untold",
            &[
                "untold: 1000000 -",
                "untold-comment: 2000000 text:order 17",
                "untold-inline: 3000000 text:order 18",
                "told-with-money: 4000000 text:order 19",
                "custom: 5000000 text:order 20",
                "undeployed-owner: 6000000 text:order 21",
                "minted: 7000000 text:order 22",
                "minted-silently: 8000000 -",
            ],
        ),
    ] {
        assert_eq!(paid(name), expected, "{name}");
    }
}
