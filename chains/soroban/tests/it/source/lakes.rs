//! What nodes have thrown away comes from data lakes, through the same proof; whoever keeps a false lake is refused and
//! named, and others serve.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use amn_core::block::Operator;
use amn_core::source::{ChainSource as _, Segment, SourceError};
use amn_rpc::{EndpointConfig, PoolSettings};
use amn_soroban::lake::Lake;
use amn_soroban::testkit::lake::{self as made, Shape, Shelf};
use amn_soroban::testkit::tamper::{self, Must, Victim};
use amn_soroban::testkit::{Fault, Token, Tx, Validator, plain};
use stellar_xdr::{Asset, Memo};
use tempfile::TempDir;

use super::stand::*;
use crate::scene::{ESCROW, PASSPHRASE, PAYER, SHOP};

const ONE: Shape = Shape { ledgers_per_batch: 1, batches_per_partition: 100 };
const SIXTEEN: Shape = Shape { ledgers_per_batch: 16, batches_per_partition: 10 };

/// A folder with every ledger that there is.
fn filled(stand: &Stand, shape: Shape) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    made::write(folder.path(), PASSPHRASE, &made::ledgers_of(&stand.history()), shape).unwrap();
    folder
}

fn lake(stand: &Stand, name: &str, url: &str) -> Lake {
    let config = EndpointConfig::new(name, url, Operator::new(name));
    let settings = PoolSettings { time: stand.clock.time(), ..PoolSettings::default() };
    Lake::open(config, settings, &stand.network).unwrap()
}

fn folder(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// The stand's nodes, and these lakes, by name.
fn with(stand: &mut Stand, lakes: &[(&str, String)]) {
    let lakes = lakes.iter().map(|(name, url)| lake(stand, name, url)).collect();
    stand.source = source(&stand.nodes, &stand.network, &stand.clock, |_| {}).with_lakes(lakes);
}

fn forget_below(stand: &Stand, sequence: u32) {
    for node in &stand.nodes {
        node.fault(Fault::Forgot(sequence));
    }
}

fn why(stand: &Stand, lake: usize) -> String {
    stand.source.lakes()[lake].health().distrusted.unwrap_or_default()
}

/// Reads from a ledger to the head, stretch by stretch, each on the one before.
async fn read_on(stand: &Stand, from: u32) -> Result<Vec<Segment>, SourceError> {
    let head = stand.source.head().await?.tip.at;
    let (mut on, mut segments) = (stand.at(from), Vec::new());
    while on != head {
        let segment = stand.standing_on(on, head.height).await?;
        assert_eq!(segment.parent, on);
        on = segment.tip.at;
        segments.push(segment);
    }
    Ok(segments)
}

fn all_heights(segments: &[Segment]) -> Vec<u64> {
    segments.iter().flat_map(heights).collect()
}

#[tokio::test]
async fn two_thousand_ledgers_that_no_node_has_any_more_come_from_a_lake_and_every_payment_with_them() {
    let mut stand = stand(2, 3).await;
    let mut owed = Vec::new();
    for number in 0..2_000_u32 {
        if number % 10 == 3 {
            let stroops = 20_000 + i64::from(number);
            let memo = Memo::Id(number.into());
            stand.history().close(&[Tx::of(PAYER).memo(memo).pay(plain(SHOP), &Asset::Native, stroops)]);
            owed.push(u128::try_from(stroops).unwrap());
        } else {
            stand.pass(1);
        }
    }
    forget_below(&stand, 3_000);
    let (of_one, of_sixteen) = (filled(&stand, ONE), filled(&stand, SIXTEEN));
    let shelf = Shelf::serve(of_sixteen.path()).await.unwrap();
    for url in [folder(of_one.path()), shelf.url()] {
        with(&mut stand, &[("lake", url.clone())]);
        for node in &stand.nodes {
            node.take_traffic();
        }
        let begin = std::time::Instant::now();
        // The first ledgers of a lake of sixteen fill no file.
        let segments = read_on(&stand, 1_007).await.unwrap();
        let (took, files) = (begin.elapsed(), shelf.take_asked().len());
        assert_eq!(all_heights(&segments), (1_008..=3_010).collect::<Vec<_>>());
        let paid: Vec<u128> = segments.iter().flat_map(|segment| paid(&segment.blocks)).collect();
        assert_eq!(paid, owed);
        let from_lake = segments.iter().filter(|segment| segment.read_by == Some(Operator::new("lake"))).count();
        let asked: u64 = stand.nodes.iter().map(|node| node.take_traffic().requests).sum();
        println!("{}: {took:?}, {from_lake} stretches, {files} files, {asked} requests to nodes", &url[..5]);
        assert!(from_lake >= 60 && asked < 1_000, "{from_lake} stretches, {asked} requests to nodes");
        // A manifest, and each file once: the last one is kept where the next stretch begins in it.
        assert!(files < 140, "{files} files");
        assert!(stand.trusted() && why(&stand, 0).is_empty());
    }
}

#[tokio::test]
async fn what_validators_of_the_network_did_not_build_on_is_not_taken_from_a_lake_alone() {
    let mut stand = stand(2, 3).await;
    // A chain from where we stand that proves itself, closed by nobody the network knows.
    let mut branch = stand.history().clone().closed_by([Validator::new(99)]);
    branch.rewind(1_005);
    branch.close(&[Tx::of(PAYER).pay(plain(SHOP), &Asset::Native, 10_000_000_000)]);
    branch.pass(40);
    let own = tempfile::tempdir().unwrap();
    made::write(own.path(), PASSPHRASE, &made::ledgers_of(&branch), ONE).unwrap();
    stand.pass(60);
    forget_below(&stand, 1_050);
    with(&mut stand, &[("liar", folder(own.path()))]);
    let error = stand.on(1_005).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Malformed(why) if why.contains("stand behind its ledgers 1006 to")),
        "{error}"
    );
    let honest = filled(&stand, ONE);
    with(&mut stand, &[("liar", folder(own.path())), ("honest", folder(honest.path()))]);
    let segments = read_on(&stand, 1_005).await.unwrap();
    assert_eq!(all_heights(&segments), (1_006..=1_070).collect::<Vec<_>>());
    assert_eq!(segments[0].read_by, Some(Operator::new("honest")));
    assert_eq!(segments.iter().map(|segment| paid(&segment.blocks).len()).sum::<usize>(), 0, "nobody was paid");
}

#[tokio::test]
async fn a_lake_that_stands_on_another_chain_is_distrusted_and_never_called_a_fork() {
    let mut stand = stand(2, 3).await;
    let mut branch = stand.history().clone();
    branch.rewind(1_003);
    branch.pass(40);
    let own = tempfile::tempdir().unwrap();
    made::write(own.path(), PASSPHRASE, &made::ledgers_of(&branch), ONE).unwrap();
    stand.pass(60);
    forget_below(&stand, 1_050);
    with(&mut stand, &[("liar", folder(own.path()))]);
    let error = stand.on(1_005).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Malformed(why) if why.contains("ledger 1006 does not stand on 1005")),
        "{error}"
    );
    assert!(why(&stand, 0).contains("does not stand on"), "{}", why(&stand, 0));
}

/// A ledger in which every way to tamper finds something to change.
fn victim(stand: &Stand) -> Vec<Tx> {
    let contract =
        stand.network.registry.contracts.iter().find(|(_, listed)| listed.native).map(|(id, _)| *id).unwrap();
    let token = Token { contract, name: Some("native".to_owned()) };
    tamper::victim(&Victim { payer: PAYER, shop: SHOP, escrow: ESCROW, asset: Asset::Native, token, amount: 50_000 })
}

#[tokio::test]
async fn every_way_to_tamper_with_a_file_is_refused_or_shown_to_change_no_payment() {
    let mut stand = stand(2, 3).await;
    let transactions = victim(&stand);
    stand.history().close(&transactions);
    stand.pass(14);
    forget_below(&stand, 1_020);
    let honest = filled(&stand, ONE);
    with(&mut stand, &[("honest", folder(honest.path()))]);
    let owed: Vec<u128> = read_on(&stand, 1_008).await.unwrap().iter().flat_map(|one| paid(&one.blocks)).collect();
    assert!(owed.len() >= 7, "{owed:?}");
    let victim = made::ledgers_of(&stand.history())[&1_011].clone();
    let (mut refused, mut harmless) = (0, 0);
    let own = filled(&stand, ONE);
    let liar = [("liar", folder(own.path()))];
    with(&mut stand, &liar);
    let alone = stand.source.clone();
    with(&mut stand, &[liar[0].clone(), ("honest", folder(honest.path()))]);
    let both = stand.source.clone();
    for tamper in tamper::ALL.iter() {
        let Some(bytes) = tamper.apply(&victim, stand.network.network_id) else { continue };
        made::put(own.path(), ONE, 1_011, &made::pack(&[(1_011, bytes)].into())).unwrap();
        // The time of distrust is over, and it says rightly of what network it is.
        stand.clock.advance(Duration::from_secs(601));
        for source in [&alone, &both] {
            source.lakes()[0].check().await.unwrap();
        }
        stand.source = both.clone();
        let read: Vec<u128> = read_on(&stand, 1_008).await.unwrap().iter().flat_map(|one| paid(&one.blocks)).collect();
        assert_eq!(read, owed, "{}", tamper.name);
        // Alone, it credits nothing that is not owed, and leads nowhere it should not.
        stand.source = alone.clone();
        let read = read_on(&stand, 1_008).await;
        match tamper.must {
            Must::Harmless(_) => {
                let read: Vec<u128> = read.unwrap().iter().flat_map(|one| paid(&one.blocks)).collect();
                assert_eq!((read, why(&stand, 0)), (owed.clone(), String::new()), "{}", tamper.name);
                harmless += 1;
            }
            Must::Refused(_) | Must::Disowned(_) => {
                let error = read.unwrap_err();
                assert!(error.to_string().contains("liar: "), "{}: {error}", tamper.name);
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused >= 25 && harmless >= 5, "{refused} refused, {harmless} harmless");
}

#[tokio::test]
async fn damaged_and_misplaced_files_are_named_credit_nothing_and_keep_nobody_from_the_rest() {
    let mut stand = stand(2, 3).await;
    stand.pass(20);
    stand.pay(50_000);
    stand.pass(40);
    forget_below(&stand, 1_060);
    let ledgers = made::ledgers_of(&stand.history());
    let file = |sequence: u32| made::pack(&[(sequence, ledgers[&sequence].clone())].into());
    let whole = file(1_031);
    let other_network = {
        let mut other = amn_soroban::testkit::History::new("Another network ; November 2026", 30);
        other.pass(40);
        made::pack(&[(1_031, made::ledgers_of(&other)[&1_031].clone())].into())
    };
    let bomb = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38][..], &[0x02, 0x00, 0x10, 0x00].repeat(2_100)].concat();
    let cases = [
        ("cut", whole[..whole.len() / 2].to_vec(), "damaged"),
        ("a bomb", bomb, "unpacks to more than"),
        ("its neighbour's", file(1_032), "holds ledgers 1032 to 1032"),
        (
            "its neighbour's, under its number",
            {
                let mut raw = made::batch(&[(1_032, ledgers[&1_032].clone())].into());
                raw[..8].copy_from_slice(&[1_031_u32.to_be_bytes(), 1_031_u32.to_be_bytes()].concat());
                made::compressed(&raw)
            },
            "stands where ledger 1031 belongs",
        ),
        ("of another network", other_network, "not on 1030"),
        ("missing", Vec::new(), "where it ends"),
    ];
    let honest = filled(&stand, ONE);
    for (name, bytes, words) in cases {
        let own = filled(&stand, ONE);
        if bytes.is_empty() {
            fs::remove_file(own.path().join(ONE.path(1_031))).unwrap();
        } else {
            made::put(own.path(), ONE, 1_031, &bytes).unwrap();
        }
        with(&mut stand, &[("bad", folder(own.path()))]);
        let mut on = stand.at(1_008);
        let error = loop {
            match stand.standing_on(on, stand.at(1_071).height).await {
                Ok(segment) => on = segment.tip.at,
                Err(error) => break error,
            }
        };
        assert!(on.height.0 < 1_031, "{name}: nothing is leapt over: {}", on.height);
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(matches!(error, SourceError::Pruned(_)), name == "missing", "{name}: {error}");
        with(&mut stand, &[("bad", folder(own.path())), ("honest", folder(honest.path()))]);
        let segments = read_on(&stand, 1_008).await.unwrap();
        assert_eq!(all_heights(&segments), (1_009..=1_071).collect::<Vec<_>>(), "{name}");
        let paid: Vec<u128> = segments.iter().flat_map(|segment| paid(&segment.blocks)).collect();
        assert_eq!(paid, [50_000], "{name}");
    }
}

#[tokio::test]
async fn without_a_lake_that_has_it_history_is_pruned_and_all_are_named() {
    let mut stand = stand(2, 3).await;
    stand.pass(60);
    forget_below(&stand, 1_050);
    let short = tempfile::tempdir().unwrap();
    let some = made::ledgers_of(&stand.history()).into_iter().filter(|(sequence, _)| *sequence <= 1_020).collect();
    made::write(short.path(), PASSPHRASE, &some, ONE).unwrap();
    with(&mut stand, &[("short", folder(short.path()))]);
    let error = read_on(&stand, 1_008).await.unwrap_err();
    let SourceError::Pruned(why) = error else { panic!("{error}") };
    for words in [
        "a: its oldest ledger is 1050",
        "b: its oldest ledger is 1050",
        "short: no operator and no 2 organisations",
        "where it ends",
    ] {
        assert!(why.contains(words), "{why}");
    }
    let error = stand.standing_on(stand.at(1_020), stand.at(1_070).height).await.unwrap_err();
    assert!(matches!(&error, SourceError::Pruned(why) if why.contains("short: it has no ledger 1021")), "{error}");
    // A lake that cannot be asked may have it: nobody halts.
    let shelf = Shelf::serve(short.path()).await.unwrap();
    shelf.script(Some(Arc::new(|_, honest| made::Said { status: 500, ..honest })));
    with(&mut stand, &[("short", folder(short.path())), ("down", shelf.url())]);
    let error = read_on(&stand, 1_020).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    // When its files come, it goes on.
    made::write(short.path(), PASSPHRASE, &made::ledgers_of(&stand.history()), ONE).unwrap();
    assert_eq!(all_heights(&read_on(&stand, 1_020).await.unwrap()).len(), 50);
}

#[tokio::test]
async fn where_nodes_have_what_is_missing_a_lake_is_asked_only_over_a_long_way() {
    let mut stand = stand(2, 3).await;
    stand.pass(1_200);
    let folder_of_all = filled(&stand, ONE);
    let shelf = Shelf::serve(folder_of_all.path()).await.unwrap();
    with(&mut stand, &[("lake", shelf.url())]);
    stand.source.head().await.unwrap();
    let near = stand.standing_on(stand.at(1_300), stand.at(2_210).height).await.unwrap();
    assert_ne!(near.read_by, Some(Operator::new("lake")));
    assert_eq!(shelf.take_asked().len(), 0);
    let far = stand.standing_on(stand.at(1_100), stand.at(2_210).height).await.unwrap();
    assert_eq!(far.read_by, Some(Operator::new("lake")));
    assert!(far.operators.len() == 2, "a node has its last ledger too: {:?}", far.operators);
    assert_eq!(heights(&far).len(), 32);
    // A lake that lacks it is not asked over and over.
    fs::remove_dir_all(folder_of_all.path().join(ONE.path(1_150)).parent().unwrap()).unwrap();
    for on in [1_099, 1_107, 1_115] {
        let segment = stand.standing_on(stand.at(on), stand.at(2_210).height).await.unwrap();
        assert_ne!(segment.read_by, Some(Operator::new("lake")), "{on}");
    }
    let asked = shelf.take_asked();
    let missing = asked.iter().filter(|path| path.contains("--1100.")).count();
    assert!(missing <= 4, "{asked:?}");
}

#[tokio::test]
async fn old_headers_and_single_ledgers_come_from_lakes_too() {
    let mut stand = stand(2, 3).await;
    stand.pass(20);
    let paid_at = stand.pay(70_000).at;
    stand.pass(40);
    forget_below(&stand, 1_060);
    let own = filled(&stand, ONE);
    with(&mut stand, &[("lake", folder(own.path()))]);
    let header = stand.source.header_at(stand.at(1_020).height).await.unwrap();
    assert_eq!(header.at, stand.at(1_020));
    let block = stand.source.reread(paid_at.height, None, 0, &shop()).await.unwrap();
    assert_eq!((block.header.at, paid(std::slice::from_ref(&block))), (paid_at, vec![70_000]));
    assert_eq!(block.evidence.operators, operators(&["lake"]));
    // After a restart nothing is remembered of who built on it: that is read again, from the lake.
    let id = block.transfers[0].id;
    let mut attested = 0;
    for _ in 0..4 {
        let proven = stand.source.prove(&[(id, paid_at)]).await.unwrap();
        attested = proven[0].2.attestations.unwrap();
    }
    assert_eq!(attested, 3, "every organisation there is");
}

#[tokio::test]
async fn a_lake_of_another_network_stops_no_network_and_is_shown() {
    let mut stand = stand(2, 3).await;
    let own = filled(&stand, ONE);
    made::write_manifest(own.path(), "Another network ; November 2026", ONE).unwrap();
    with(&mut stand, &[("foreign", folder(own.path()))]);
    stand.source.probe().await.unwrap();
    assert!(why(&stand, 0).contains("is of the network \"Another network"), "{}", why(&stand, 0));
    let shown = stand.source.pool().health();
    let lake = shown.iter().find(|health| health.name == "foreign").unwrap();
    assert_eq!((lake.kind.as_str(), lake.usable, lake.current), ("data-lake", false, false));
    forget_below(&stand, 1_009);
    let error = stand.on(1_003).await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    // Corrected, it is trusted when its time is over.
    made::write_manifest(own.path(), PASSPHRASE, ONE).unwrap();
    stand.clock.advance(Duration::from_secs(601));
    assert_eq!(heights(&stand.on(1_003).await.unwrap())[0], 1_004);
}
