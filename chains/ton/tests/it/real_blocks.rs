//! Real shard blocks: every payment in them, each transaction by its own hash, and what is no payment.

use std::collections::BTreeMap;

use amn_core::block::{Block, Inclusion, Kind, Reference, Transfer};
use amn_ton::address::{self, Account, Realm};
use amn_ton::block::ShardBlock;
use amn_ton::cell;
use amn_ton::decode::{self, Registry, Wallets};
use amn_ton::evidence::{Cursor, Descent};
use amn_ton::jetton;
use amn_ton::reference::{self, Said};
use amn_ton::transaction::Link;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::second_reader::{self, Credit, Found, Says};
use crate::support::*;

fn account(raw: &str) -> Account {
    address::parse(raw, Realm::Mainnet).unwrap()
}

/// The block as we read it, everybody watched.
fn read(registry: &Registry, bytes: &[u8], found: &Found, wallets: &Wallets) -> Block {
    let block = ShardBlock::decode(bytes).unwrap();
    let everybody = found.accounts.iter().map(|raw| account(raw));
    decode::block(registry, wallets, &watch(everybody), header(), &block.transactions)
}

/// A transfer in the second reader's words.
fn in_words(transfer: &Transfer) -> Credit {
    let raw = |text: &amn_core::block::Address| address::parse(text.as_str(), Realm::Mainnet).unwrap().to_string();
    let said = match transfer.reference.as_ref().map(|reference| (reference, reference::parse(reference.as_str()))) {
        None => Says::Nothing,
        Some((_, Ok(reference::Parsed::Text(bytes)))) => Says::Comment(bytes),
        Some((_, Ok(reference::Parsed::Query(number)))) => Says::Query(number),
        Some((other, Ok(reference::Parsed::Binary(_)))) => panic!("{other}"),
        Some((_, Err(_))) => Says::Other,
    };
    Credit {
        tx: transfer.id.tx.to_string()[2..].to_owned(),
        to: raw(&transfer.to),
        usdt: transfer.id.kind == Kind::Token,
        amount: transfer.amount.units(),
        from: transfer.from.as_ref().map(raw).unwrap_or_default(),
        said,
    }
}

#[test]
fn a_usdt_payment_of_a_real_block_is_a_transfer_with_amount_asset_sender_and_proof() {
    let Some(bytes) = real(BLOCKS[0]) else { return };
    let registry = mainnet().registry;
    let shard = ShardBlock::decode(&bytes).unwrap();
    let found = second_reader::read(&bytes);
    let credit = found.credits.iter().find(|credit| credit.usdt && credit.amount == 358_059_412).unwrap();
    let owner = account(&credit.to);
    // Nobody but its receiver is watched, and his wallet is worked out from the allow-list alone.
    let wallets = Wallets::of(&registry, [owner]);
    let block = decode::block(&registry, &wallets, &watch([owner]), header(), &shard.transactions);
    let [transfer] = block.transfers.as_slice() else { panic!("{:?}", block.transfers) };
    assert_eq!(in_words(transfer), *credit);
    assert_eq!(transfer.asset.as_str(), format!("tvm:-239/jetton:{}", usdt(&registry).master));
    assert!(transfer.to.as_str().starts_with("UQ"), "{}", transfer.to);
    assert_eq!((transfer.id.kind, transfer.id.index), (Kind::Token, 0));
    assert_eq!(block.evidence_of(transfer).inclusion, Inclusion::Proven);
    // Its transaction is the end of the wallet's chain, by its own hash.
    let wallet = wallet(&registry, owner);
    let transaction = shard.transactions.iter().find(|one| one.hash() == transfer.id.tx).unwrap();
    assert_eq!(transaction.account, wallet);
    let cursor = transaction.on.map(|at| Cursor { at, gone: false });
    let mut descent = Descent::begin(wallet, transaction.at, cursor).unwrap().unwrap();
    assert_eq!(descent.wanted(), Some(transaction.at));
    descent.take_read(transaction.clone()).unwrap();
    assert_eq!(descent.finish().unwrap().transactions.len(), 1);
}

#[test]
fn every_payment_of_the_real_blocks_is_found_with_amount_sender_and_comment_and_nothing_else_is() {
    for (file, transactions, tokens) in [(BLOCKS[0], 90, 2), (BLOCKS[1], 30, 1)] {
        let Some(bytes) = real(file) else { return };
        let registry = down_to_one();
        let found = second_reader::read(&bytes);
        assert_eq!(found.links.len(), transactions, "{file}");
        // Whether wallets were worked out before, or are known by the states that messages bring along.
        let known = Wallets::of(&registry, found.accounts.iter().map(|raw| account(raw)));
        for wallets in [known, Wallets::default()] {
            let block = read(&registry, &bytes, &found, &wallets);
            let mut credited: Vec<_> = block.transfers.iter().map(in_words).collect();
            credited.sort();
            let beyond: Vec<_> = credited.iter().filter(|credit| !found.credits.contains(credit)).collect();
            let missed: Vec<_> = found.credits.iter().filter(|credit| !credited.contains(credit)).collect();
            assert!(beyond.is_empty() && missed.is_empty(), "{file}: {beyond:?} {missed:?}");
            assert_eq!(credited.len(), found.credits.len(), "{file}");
            for (ours, theirs) in credited.iter().zip(&found.credits) {
                assert_eq!(ours, theirs, "{file}");
            }
            assert_eq!(credited.iter().filter(|credit| credit.usdt).count(), tokens, "{file}");
        }
        let comments = found.credits.iter().filter(|credit| matches!(credit.said, Says::Comment(_))).count();
        println!(
            "{file}: {} payments ({tokens} USDT, {} aborted and paid, {comments} with a comment); {} of any jetton, {} \
             notifications aborted",
            found.credits.len(),
            found.aborted_and_paid,
            found.any_jetton,
            found.aborted_notices
        );
        assert!(found.aborted_and_paid > 0 && found.aborted_notices > 0 && comments > 0, "{file}");
    }
}

#[test]
fn the_boss_is_paid_a_thousand_ton_in_a_transaction_that_is_aborted() {
    let Some(bytes) = real(BLOCKS[1]) else { return };
    let found = second_reader::read(&bytes);
    let block = read(&mainnet().registry, &bytes, &found, &Wallets::default());
    let is_boss = |transfer: &&Transfer| transfer.reference.as_ref().is_some_and(|said| said.as_str() == "text:boss");
    let boss = block.transfers.iter().find(is_boss).unwrap();
    assert_eq!((boss.amount.units(), boss.id.kind), (1_001_990_000_000, Kind::Native));
    let shard = ShardBlock::decode(&bytes).unwrap();
    let transaction = shard.transactions.iter().find(|one| one.hash() == boss.id.tx).unwrap();
    let amn_ton::transaction::Course::Ordinary(phases) = transaction.course else { panic!() };
    assert!(phases.aborted && phases.credited && !phases.computed && !phases.sent_back);
}

#[test]
fn each_transaction_of_a_real_block_has_the_hash_a_second_reader_computes_and_stands_on_the_one_before() {
    for file in BLOCKS {
        let Some(bytes) = real(file) else { return };
        let (shard, found) = (ShardBlock::decode(&bytes).unwrap(), second_reader::read(&bytes));
        let digits = |link: Option<Link>| {
            link.map_or_else(|| (0, "0".repeat(64)), |link| (link.lt, link.hash.to_string()[2..].to_owned()))
        };
        let mut of_account: BTreeMap<Account, Vec<_>> = BTreeMap::new();
        let (mut ours, mut theirs) = (Vec::new(), found.links.clone());
        for transaction in &shard.transactions {
            let ((lt, hash), (before_lt, before)) = (digits(Some(transaction.at)), digits(transaction.on));
            ours.push((transaction.account.to_string(), lt, hash, before_lt, before));
            assert!(shard.holds(&transaction.account), "{}", transaction.account);
            assert!((shard.start_lt..=shard.end_lt).contains(&lt));
            of_account.entry(transaction.account).or_default().push(transaction.clone());
        }
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{file}");
        // Each account's own transactions link down to the block before.
        let mut longest = 0;
        for (account, mut chain) in of_account {
            chain.sort_by_key(|transaction| transaction.at);
            let (oldest, head) = (chain.first().unwrap().on, chain.last().unwrap().at);
            let cursor = oldest.map(|at| Cursor { at, gone: false });
            let mut descent = Descent::begin(account, head, cursor).unwrap().unwrap();
            for transaction in chain.iter().rev() {
                descent.take_read(transaction.clone()).unwrap();
            }
            let stretch = descent.finish().unwrap();
            assert_eq!(stretch.transactions.len(), chain.len());
            longest = longest.max(chain.len());
        }
        println!("{file}: up to {longest} transactions of one account");
    }
}

#[test]
fn a_real_block_says_its_name_its_network_and_what_it_stands_on() {
    let cases = [
        (BLOCKS[0], 57_314_442, 0x8000_0000_0000_0000, Some(52_304_284)),
        (BLOCKS[1], 52_111_590, 0x6000_0000_0000_0000, None),
        ("masterblock-46991999.hex", 46_991_999, 0x8000_0000_0000_0000, None),
    ];
    for (file, seqno, shard, masterchain) in cases {
        let Some(bytes) = real(file) else { return };
        let block = ShardBlock::decode(&bytes).unwrap();
        assert_eq!((block.name.seqno, block.name.shard, block.global_id), (seqno, shard, -239), "{file}");
        assert_eq!((block.on.len(), block.on[0].0), (1, seqno - 1), "{file}");
        if let Some(masterchain) = masterchain {
            assert_eq!(block.masterchain.map(|(seqno, _)| seqno), Some(masterchain));
        }
        assert_eq!(
            (block.is_masterchain(), block.masterchain.is_none()),
            (file.starts_with('m'), file.starts_with('m'))
        );
        assert!(!block.transactions.is_empty(), "{file}: a masterchain block has those of the network itself");
        assert_eq!(block.vertical, 1);
    }
}

#[test]
fn a_real_answer_of_an_indexer_holds_a_jetton_transfer_that_is_read_from_its_cells_alone() {
    let Some(text) = real_text("toncenter-v3-traces-testnet.json") else { return };
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let transactions = answer["traces"][0]["transactions"].as_object().unwrap();
    let is_transfer = |one: &&serde_json::Value| one["in_msg"]["opcode"] == "0x178d4519";
    let received = transactions.values().find(is_transfer).unwrap();
    let cell = |value: &serde_json::Value| cell::decode(&STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
    let message = &received["in_msg"];
    let (body, state) = (cell(&message["message_content"]["body"]), cell(&message["init_state"]["body"]));
    let incoming = jetton::incoming(body.as_slice().unwrap()).unwrap();
    let said = Said::Reference(Reference::new("text:55F3401104D6C4DA34E9"));
    assert_eq!((incoming.query, incoming.amount, incoming.said), (0, 2_000_000_000, said));
    let from = "0:C87D39C53910B89B11870D28720C50410AEE4978B6639BE6FAF644EEB677F291";
    assert_eq!(incoming.from, Some(account(from)));
    // The wallet, by the state it was made with: code and master are those we list.
    let mut data = state.as_slice().unwrap().get_reference_as_slice(1).unwrap();
    data.skip_first(8, 0).unwrap();
    let (owner, master) = (Account::load(&mut data).unwrap().unwrap(), Account::load(&mut data).unwrap().unwrap());
    let wallet = account(received["account"].as_str().unwrap());
    let form = &usdt(&mainnet().registry).form.clone();
    assert_eq!(master, usdt(&mainnet().registry).master);
    assert_eq!(form.wallet(&master, &owner), Some(wallet));
    assert_eq!(form.owner_by_state(&master, &wallet, &state), Some(owner));
    assert_eq!(form.owner_by_state(&owner, &wallet, &state), None, "not of another master");
    // Its owner is told, and the telling is aborted: the payment stands.
    let told = transactions.values().find(|one| one["in_msg"]["opcode"] == "0x7362d09c").unwrap();
    assert_eq!(
        (told["description"]["aborted"].as_bool(), account(told["account"].as_str().unwrap())),
        (Some(true), owner)
    );
}
