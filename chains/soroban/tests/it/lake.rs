//! A data lake gives what was put into it, says what it lacks, and is believed in nothing.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use amn_core::block::Operator;
use amn_rpc::{EndpointConfig, PoolSettings};
use amn_soroban::lake::{Lake, LakeError};
use amn_soroban::ledger::Ledger;
use amn_soroban::testkit::lake::{self as made, Ledgers, Said, Shape, Shelf};
use amn_soroban::testkit::{History, network};
use tempfile::TempDir;

const PASSPHRASE: &str = "A network of the tests ; November 2026";

/// One ledger a file, as the public lakes have it, and folders small enough to have several.
const ONE: Shape = Shape { ledgers_per_batch: 1, batches_per_partition: 10 };
const FOUR: Shape = Shape { ledgers_per_batch: 4, batches_per_partition: 3 };

fn history(ledgers: u32) -> History {
    let mut history = History::new(PASSPHRASE, 26);
    history.pass(ledgers);
    history
}

fn folder_of(ledgers: &Ledgers, shape: Shape) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    made::write(folder.path(), PASSPHRASE, ledgers, shape).unwrap();
    folder
}

pub fn at(url: &str) -> Lake {
    let config = EndpointConfig::new("lake", url, Operator::new("keeper"));
    Lake::open(config, PoolSettings::default(), &network("own", PASSPHRASE, &[])).unwrap()
}

pub fn in_folder(folder: &Path) -> Lake {
    at(&format!("file://{}", folder.display()))
}

fn sequences(ledgers: &[Ledger]) -> Vec<u32> {
    ledgers.iter().map(Ledger::sequence).collect()
}

async fn asked(lake: &Lake, from: u32, up_to: u32, at_most: u32) -> Result<Vec<u32>, LakeError> {
    lake.ledgers(from, up_to, at_most).await.map(|ledgers| sequences(&ledgers))
}

#[tokio::test]
async fn a_lake_of_any_shape_gives_what_was_put_into_it() {
    let history = history(40);
    let put = made::ledgers_of(&history);
    let shapes = [(1, 64_000), (1, 1), (1, 10), (2, 8), (3, 5), (4, 1), (7, 2), (64, 1_000)];
    for (ledgers_per_batch, batches_per_partition) in shapes {
        let shape = Shape { ledgers_per_batch, batches_per_partition };
        let folder = folder_of(&put, shape);
        let lake = in_folder(folder.path());
        let whole: Vec<u32> = put.keys().copied().filter(|one| folder.path().join(shape.path(*one)).exists()).collect();
        assert!(ledgers_per_batch == 64 || whole.len() >= 28, "{shape:?}");
        let (Some(first), Some(last)) = (whole.first().copied(), whole.last().copied()) else { continue };
        let mut next = first;
        while next <= last {
            let ledgers = lake.ledgers(next, last, 5).await.unwrap();
            assert!(ledgers.len() <= 5 && !ledgers.is_empty());
            for ledger in ledgers {
                assert_eq!(Some(&ledger), Ledger::decode(&put[&next]).ok().as_ref(), "{shape:?}, ledger {next}");
                next += 1;
            }
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_is_the_most_that_is_given() {
    let folder = folder_of(&made::ledgers_of(&history(20)), FOUR);
    let lake = in_folder(folder.path());
    // The files hold 1004 to 1007, 1008 to 1011, 1012 to 1015 and 1016 to 1019.
    assert_eq!(asked(&lake, 1_006, 1_009, 100).await, Ok(vec![1_006, 1_007, 1_008, 1_009]));
    assert_eq!(asked(&lake, 1_006, 2_000, 3).await, Ok(vec![1_006, 1_007, 1_008]));
    assert_eq!(asked(&lake, 1_018, 2_000, 100).await, Ok(vec![1_018, 1_019]), "as far as it goes");
    assert_eq!(asked(&lake, 1_010, 1_010, 1).await, Ok(vec![1_010]));
}

#[tokio::test]
async fn over_http_each_file_is_asked_for_once_and_the_manifest_once() {
    let folder = folder_of(&made::ledgers_of(&history(40)), ONE);
    let shelf = Shelf::serve(folder.path()).await.unwrap();
    let lake = at(&shelf.url());
    assert_eq!(asked(&lake, 1_001, 1_040, 16).await.unwrap().len(), 16);
    assert_eq!(asked(&lake, 1_017, 1_040, 16).await.unwrap().len(), 16);
    let mut paths = shelf.take_asked();
    assert_eq!((paths.len(), paths[0].as_str()), (33, "/.config.json"));
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 33);
    // Several ledgers in a file: the file is kept for the next question.
    let folder = folder_of(&made::ledgers_of(&history(40)), FOUR);
    let shelf = Shelf::serve(folder.path()).await.unwrap();
    let lake = at(&shelf.url());
    for sequence in 1_004..1_012 {
        assert_eq!(asked(&lake, sequence, 1_040, 1).await, Ok(vec![sequence]));
    }
    assert_eq!(shelf.take_asked().len(), 3);
}

#[tokio::test]
async fn a_lake_below_a_path_and_one_of_the_older_names_are_read() {
    let folder = folder_of(&made::ledgers_of(&history(30)), ONE);
    let deep = tempfile::tempdir().unwrap();
    let below = deep.path().join("v1/ledgers/own");
    fs::create_dir_all(below.parent().unwrap()).unwrap();
    fs::rename(folder.path(), &below).unwrap();
    for sequence in 1_001..=1_030 {
        let path = below.join(ONE.path(sequence));
        fs::rename(&path, path.with_extension("zstd")).unwrap();
    }
    let shelf = Shelf::serve(deep.path()).await.unwrap();
    let lake = at(&format!("{}/v1/ledgers/own/", shelf.url()));
    assert_eq!(asked(&lake, 1_001, 1_030, 30).await.unwrap().len(), 30);
    let of_today = shelf.take_asked().iter().filter(|path| path.split('.').next_back() == Some("zst")).count();
    assert!(of_today <= 1, "the first file shows how they are called: {of_today}");
}

#[tokio::test]
async fn what_it_lacks_is_told_and_never_an_empty_answer() {
    let history = history(40);
    let folder = folder_of(&made::ledgers_of(&history), ONE);
    let lake = in_folder(folder.path());
    fs::remove_file(folder.path().join(ONE.path(1_015))).unwrap();
    assert_eq!(asked(&lake, 1_013, 1_040, 8).await, Ok(vec![1_013, 1_014]), "up to the hole");
    let hole = asked(&lake, 1_015, 1_040, 8).await.unwrap_err().to_string();
    assert_eq!(
        hole,
        "it has a hole: no ledger 1015 (FFFFFC0D--1010-1019/FFFFFC08--1015.xdr.zst), and ledger 1016 is there"
    );
    // A whole folder that is gone is a hole as well.
    for sequence in 1_015..1_020 {
        let _ = fs::remove_file(folder.path().join(ONE.path(sequence)));
    }
    let hole = asked(&lake, 1_015, 1_040, 8).await.unwrap_err();
    assert!(matches!(&hole, LakeError::NotThere(why) if why.contains("ledger 1020 is there")), "{hole}");
    let end = asked(&lake, 1_041, 1_060, 8).await.unwrap_err();
    assert!(matches!(&end, LakeError::NotThere(why) if why.contains("it ends before, or stands still")), "{end}");
    assert!(lake.health().usable, "a lake that lacks something is well");
}

#[tokio::test]
async fn a_lake_that_grows_or_is_laid_out_anew_is_read_on() {
    let history = history(40);
    let all = made::ledgers_of(&history);
    let (old, new) = (all.clone(), all.clone());
    let folder = folder_of(&old.into_iter().filter(|(sequence, _)| *sequence < 1_020).collect(), ONE);
    let lake = in_folder(folder.path());
    assert_eq!(asked(&lake, 1_018, 1_040, 8).await, Ok(vec![1_018, 1_019]));
    assert!(asked(&lake, 1_020, 1_040, 8).await.is_err());
    made::write(folder.path(), PASSPHRASE, &new, ONE).unwrap();
    assert_eq!(asked(&lake, 1_020, 1_040, 2).await, Ok(vec![1_020, 1_021]));
    for entry in fs::read_dir(folder.path()).unwrap().filter_map(Result::ok).filter(|one| one.path().is_dir()) {
        fs::remove_dir_all(entry.path()).unwrap();
    }
    made::write(folder.path(), PASSPHRASE, &new, FOUR).unwrap();
    assert_eq!(asked(&lake, 1_022, 1_040, 3).await, Ok(vec![1_022, 1_023, 1_024]));
}

#[tokio::test]
async fn the_oldest_file_of_all_begins_with_ledger_2() {
    let mut chain = amn_soroban::testkit::Chain::new(PASSPHRASE, 20);
    chain.tip.height = amn_core::block::Height(1);
    let mut history = History::on(PASSPHRASE, chain);
    history.pass(14);
    let folder = folder_of(&made::ledgers_of(&history), FOUR);
    let lake = in_folder(folder.path());
    assert_eq!(asked(&lake, 2, 15, 3).await, Ok(vec![2, 3, 4]));
    let file = folder.path().join(FOUR.path(2));
    assert!(file.ends_with("FFFFFFFF--0-11/FFFFFFFF--0-3.xdr.zst"), "{}", file.display());
    fs::rename(&file, file.with_file_name("FFFFFFFD--2-3.xdr.zst")).unwrap();
    assert_eq!(asked(&in_folder(folder.path()), 0, 15, 3).await, Ok(vec![2, 3, 4]));
}

#[tokio::test]
async fn a_lake_of_another_network_is_distrusted_and_one_without_a_manifest_is_no_lake() {
    let folder = folder_of(&made::ledgers_of(&history(10)), ONE);
    let lake = in_folder(folder.path());
    lake.check().await.unwrap();
    made::write_manifest(folder.path(), "Public Global Stellar Network ; September 2015", ONE).unwrap();
    let error = lake.check().await.unwrap_err();
    assert!(matches!(&error, LakeError::Foreign(why) if why.contains("\"Public Global")), "{error}");
    assert!(lake.health().distrusted.unwrap().contains("is of the network"));
    let error = asked(&lake, 1_001, 1_010, 1).await.unwrap_err();
    assert!(matches!(&error, LakeError::Failed(why) if why.contains("is distrusted: .config.json is of")), "{error}");
    for (manifest, why) in [
        ("", ".config.json: malformed"),
        ("{}", ".config.json: malformed"),
        ("[1]", ".config.json: malformed"),
        (
            r#"{"networkPassphrase":"A network of the tests ; November 2026","ledgersPerBatch":0,"batchesPerPartition":1}"#,
            "ledgersPerBatch: must be",
        ),
    ] {
        fs::write(folder.path().join(".config.json"), manifest).unwrap();
        let error = in_folder(folder.path()).check().await.unwrap_err().to_string();
        assert!(error.contains(why) || error.contains("malformed"), "{manifest}: {error}");
    }
    fs::remove_file(folder.path().join(".config.json")).unwrap();
    let error = in_folder(folder.path()).check().await.unwrap_err().to_string();
    assert_eq!(error, "it has no .config.json, which says what it holds: is its address right?");
}

/// Bytes of a file that is not what its name says, and what is said of it.
fn false_files(all: &Ledgers) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let of = |range: std::ops::RangeInclusive<u32>| -> Ledgers {
        range.map(|sequence| (sequence, all[&sequence].clone())).collect()
    };
    let honest = made::pack(&of(1_008..=1_011));
    let raw = made::batch(&of(1_008..=1_011));
    let swapped: Ledgers = [(1_008, 1_008), (1_009, 1_010), (1_010, 1_009), (1_011, 1_011)]
        .into_iter()
        .map(|(place, sequence)| (place, all[&sequence].clone()))
        .collect();
    let mut gap = of(1_008..=1_011);
    gap.remove(&1_009);
    let mut claims_more = raw.clone();
    claims_more[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut bad_sum = honest.clone();
    if let Some(byte) = bad_sum.last_mut() {
        *byte ^= 1;
    }
    let bomb = {
        // Blocks of 128 KiB of zeros: four bytes each, 512 MiB in all.
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
        for _ in 0..4_096 {
            bytes.extend([0x02, 0x00, 0x10, 0x00]);
        }
        bytes
    };
    vec![
        ("cut in the middle", honest[..honest.len() / 2].to_vec(), "damaged"),
        ("without its last byte", honest[..honest.len() - 1].to_vec(), "damaged"),
        ("with another sum", bad_sum, "sum"),
        ("empty", Vec::new(), "damaged"),
        ("an error page", b"<html>404</html>".to_vec(), "damaged"),
        ("not compressed", raw.clone(), "damaged"),
        ("a bomb", bomb, "unpacks to more than"),
        ("with another behind it", [honest.clone(), honest.clone()].concat(), "follow its end"),
        ("its neighbour's", made::pack(&of(1_012..=1_015)), "holds ledgers 1012 to 1015"),
        ("half of it", made::pack(&of(1_008..=1_009)), "holds ledgers 1008 to 1009"),
        ("two ledgers in each other's place", made::pack(&swapped), "stands where ledger 1009 belongs"),
        ("with a gap", made::pack(&gap), "names ledgers 1008 to 1011 and holds 3"),
        ("claiming more than it has", made::compressed(&claims_more), "holds 4294967295"),
        ("cut before it was compressed", made::compressed(&raw[..raw.len() - 4]), "does not decode"),
        ("with more in it than it says", made::compressed(&[raw.as_slice(), &[0; 4]].concat()), "4 bytes follow"),
        ("no ledgers at all", made::compressed(&[0; 100]), "names ledgers 0 to 0"),
    ]
}

#[tokio::test]
async fn a_file_that_is_not_what_its_name_says_is_refused_and_says_why() {
    let all = made::ledgers_of(&history(40));
    for (name, bytes, why) in false_files(&all) {
        let folder = folder_of(&all, FOUR);
        made::put(folder.path(), FOUR, 1_008, &bytes).unwrap();
        let lake = in_folder(folder.path());
        let error = lake.ledgers(1_008, 1_011, 8).await.unwrap_err();
        assert!(matches!(error, LakeError::Untrue(_) | LakeError::Unreadable(_)), "{name}: {error:?}");
        assert!(error.to_string().contains(why), "{name}: {error}");
        assert!(error.to_string().starts_with("the file of ledger 1008"), "{name}: {error}");
        // What stands before it is as good as ever.
        assert_eq!(asked(&lake, 1_004, 1_007, 8).await, Ok(vec![1_004, 1_005, 1_006, 1_007]), "{name}");
    }
}

#[tokio::test]
async fn a_ledger_of_a_protocol_beyond_this_binary_is_no_lie() {
    let mut history = history(10);
    history.chain.protocol = 31;
    history.pass(10);
    let folder = folder_of(&made::ledgers_of(&history), ONE);
    let lake = in_folder(folder.path());
    let error = lake.ledgers(1_011, 1_020, 8).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unreadable(why) if why.contains("protocol 31")), "{error}");
    assert_eq!(lake.health().distrusted, None);
}

#[tokio::test]
async fn a_store_that_refuses_or_fails_is_not_a_lake_without_the_file() {
    let folder = folder_of(&made::ledgers_of(&history(10)), ONE);
    let shelf = Shelf::serve(folder.path()).await.unwrap();
    let says = |status: u16, body: &'static [u8]| -> made::Script {
        Arc::new(move |path, honest| {
            if path.split('.').next_back() == Some("json") {
                honest
            } else {
                Said { status, head: "", body: body.to_vec() }
            }
        })
    };
    for (status, words) in [(403, "some stores do not tell"), (500, "HTTP 500"), (302, "HTTP 302"), (206, "HTTP 206")] {
        shelf.script(Some(says(status, b"<Error/>")));
        let error = asked(&at(&shelf.url()), 1_001, 1_010, 1).await.unwrap_err();
        assert!(matches!(&error, LakeError::Failed(why) if why.contains(words)), "{status}: {error:?}");
    }
    shelf.script(Some(Arc::new(|_, honest| Said { head: "content-encoding: gzip\r\n", ..honest })));
    assert!(matches!(asked(&at(&shelf.url()), 1_001, 1_010, 1).await, Err(LakeError::Failed(_))));
}

#[test]
fn what_is_no_place_for_a_lake_is_refused_at_once() {
    let open = |url: &str, ws: Option<&str>| {
        let mut config = EndpointConfig::new("lake", url, Operator::new("keeper"));
        config.ws = ws.map(Into::into);
        Lake::open(config, PoolSettings::default(), &network("own", PASSPHRASE, &[])).map(|_| ()).unwrap_err()
    };
    for url in ["", "ftp://a.example/", "file://host/lake", "lake", "s3://bucket/lake"] {
        assert!(open(url, None).starts_with("endpoint lake: url is not"), "{url}: {}", open(url, None));
    }
    assert!(open("https://a.example/lake", Some("wss://a.example")).contains("ws: a data lake has none"));
}

#[test]
fn a_lake_shows_no_more_of_its_address_than_scheme_and_host() {
    let shown = format!("{:?}", at("https://user:sekret0123456789@lake.example/sekret0123456789/ledgers"));
    assert!(shown.contains("https://lake.example") && !shown.contains("sekret"), "{shown}");
    assert_eq!(at("file:///srv/lake").health().shown_url, "file://");
}

/// Files as others write them: by zstd 1.5.4, from a stream at its usual level with a sum, and at level 19 with the
/// length of its content instead.
#[tokio::test]
async fn files_that_others_compressed_are_read() {
    let shape = Shape { ledgers_per_batch: 3, batches_per_partition: 10 };
    for bytes in [&include_bytes!("lake/1002-1004.level-3.zst")[..], include_bytes!("lake/1002-1004.level-19.zst")] {
        let folder = tempfile::tempdir().unwrap();
        made::write_manifest(folder.path(), PASSPHRASE, shape).unwrap();
        made::put(folder.path(), shape, 1_002, bytes).unwrap();
        let ledgers = in_folder(folder.path()).ledgers(1_002, 1_004, 8).await.unwrap();
        assert_eq!(sequences(&ledgers), [1_002, 1_003, 1_004]);
        assert!(ledgers.windows(2).all(|two| two[1].parent() == two[0].at()));
    }
}

#[tokio::test]
async fn real_ledgers_of_the_public_network_come_out_of_a_file_as_they_went_in() {
    for name in ["57500008", "63092988", "63092990"] {
        let Some(bytes) = crate::support::real(&format!("pubnet-ledger-{name}.xdr.gz")) else { return };
        let sequence: u32 = name.parse().unwrap();
        let folder = folder_of(&[(sequence, bytes.clone())].into(), Shape::PUBLIC);
        let ledgers = in_folder(folder.path()).ledgers(sequence, sequence, 1).await.unwrap();
        assert_eq!(ledgers, [Ledger::decode(&bytes).unwrap()]);
    }
}

#[tokio::test]
#[ignore = "it measures: cargo test --release -p amn-soroban -- --ignored --nocapture measure"]
async fn measure_what_it_costs_to_take_a_ledger_out_of_its_file() {
    let Some(bytes) = crate::support::real("pubnet-ledger-63092990.xdr.gz") else { return };
    let folder = folder_of(&[(63_092_990, bytes.clone())].into(), Shape::PUBLIC);
    let packed = fs::metadata(folder.path().join(Shape::PUBLIC.path(63_092_990))).unwrap().len();
    let lake = in_folder(folder.path());
    let begin = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(lake.ledgers(63_092_990, 63_092_990, 1).await.unwrap().len(), 1);
    }
    println!("{} KiB packed, {} KiB unpacked: {:?} a ledger", packed >> 10, bytes.len() >> 10, begin.elapsed() / 100);
}
