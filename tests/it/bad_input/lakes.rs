//! What a data lake says of itself that leads nowhere: each is named, and `docs/BAD-INPUT-LAKES.md` has the words.

use std::fmt::Write as _;
use std::fs;

use amn_core::block::Operator;
use amn_rpc::{EndpointConfig, PoolSettings};
use amn_soroban::lake::Lake;
use amn_soroban::testkit::network;

const PASSPHRASE: &str = "A network of the tests ; November 2026";
const TABLE: &str = include_str!("../../../docs/BAD-INPUT-LAKES.md");

/// What stands in the manifest; `None`: there is none.
fn manifests() -> Vec<(&'static str, Option<String>)> {
    let with = |passphrase: &str, compression: &str, per_batch: &str, per_partition: &str| {
        Some(format!(
            r#"{{"networkPassphrase":"{passphrase}","version":"1.0","compression":"{compression}","ledgersPerBatch":{per_batch},"batchesPerPartition":{per_partition}}}"#
        ))
    };
    vec![
        ("no manifest", None),
        ("an empty manifest", Some(String::new())),
        ("a page for a manifest", Some("<html>not here</html>".to_owned())),
        ("a list for a manifest", Some("[1]".to_owned())),
        ("a manifest that is cut off", Some(r#"{"networkPassphrase":"A netw"#.to_owned())),
        ("a manifest that says nothing", Some("{}".to_owned())),
        ("the manifest of another network", with("Test SDF Network ; September 2015", "zstd", "1", "64000")),
        ("files that are packed otherwise", with(PASSPHRASE, "gzip", "1", "64000")),
        ("no ledger in a file", with(PASSPHRASE, "zstd", "0", "64000")),
        ("a million ledgers in a file", with(PASSPHRASE, "zstd", "1000000", "1")),
        ("less than no ledger in a file", with(PASSPHRASE, "zstd", "-1", "64000")),
        ("half a ledger in a file", with(PASSPHRASE, "zstd", "0.5", "64000")),
        ("no file in a folder", with(PASSPHRASE, "zstd", "1", "0")),
        ("more ledgers in a folder than there can be", with(PASSPHRASE, "zstd", "1024", "4294967295")),
    ]
}

#[tokio::test]
async fn a_manifest_that_leads_nowhere_is_named_as_the_page_says() {
    amn_rpc::install_crypto();
    let mut missing = String::new();
    for (case, manifest) in manifests() {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = &manifest {
            fs::write(folder.path().join(".config.json"), text).unwrap();
        }
        let url = format!("file://{}", folder.path().display());
        let config = EndpointConfig::new("lake", url.as_str(), Operator::new("keeper"));
        let lake = Lake::open(config, PoolSettings::default(), &network("own", PASSPHRASE, &[])).unwrap();
        let error = lake.check().await.unwrap_err();
        let distrusted = if lake.health().distrusted.is_some() { "distrusted" } else { "asked again" };
        let error = error.to_string().replace('|', "/");
        let row = format!("| {case} | {error} | {distrusted} |");
        if !TABLE.contains(&row) {
            let _ = writeln!(missing, "{row}");
        }
    }
    assert!(missing.is_empty(), "docs/BAD-INPUT-LAKES.md lacks these rows:\n{missing}");
}
