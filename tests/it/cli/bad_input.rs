//! What a person may type wrong: every case ends with its code and says what to do; none panics.

use std::path::Path;

use tokio::process::Command;

use super::{Said, amn, run};
use crate::support::database::Database;

/// A configuration without a network that runs, on this database.
fn config(dir: &Path, database: &str, more: &str) -> std::path::PathBuf {
    let path = dir.join("amn-scanner.toml");
    let text = format!("environment = \"development\"\n[database]\nurl = \"{database}\"\n{more}\n");
    std::fs::write(&path, text).unwrap();
    path
}

const DEVNET: &str = r#"
[networks.devnet]
single_operator = "accepted"
[[networks.devnet.endpoints]]
name = "nobody"
url = "http://127.0.0.1:9"
operator = "nobody"
"#;

fn assert_said(arguments: &[&str], said: &Said, code: i32, part: &str) {
    assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains(part), "{arguments:?} does not say {part:?}: {said:?}");
    assert!(!all.contains("panicked"), "{arguments:?}: {said:?}");
}

#[tokio::test]
async fn wrong_arguments_are_refused_by_name_with_2_and_what_the_ledger_refuses_with_1() {
    let db = Database::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &db.url, DEVNET);
    let intent = "pi_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let deposit = "dep_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let endpoint = "we_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let create = |more: &[&'static str]| -> Vec<&str> {
        let usual = ["intents", "create", "--tenant", "seller", "--network", "devnet", "--asset", "ETH"];
        usual.iter().chain(more).copied().collect()
    };
    let address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["nonsense"], 2, "unrecognized subcommand"),
        (vec!["intents"], 2, "Usage"),
        (vec!["intents", "show"], 2, "<INTENT>"),
        (vec!["intents", "show", "pi_short"], 2, "reads pi_ and 26"),
        (vec!["intents", "show", deposit], 2, "reads pi_ and 26"),
        (vec!["intents", "show", intent], 1, "there is no intent"),
        (vec!["intents", "cancel", intent], 1, "there is no intent"),
        (vec!["intents", "list", "--status", "paid"], 2, "awaiting, detected"),
        (vec!["intents", "list", "--limit", "0"], 2, "1..=200"),
        (vec!["intents", "list", "--address", address], 2, "--network"),
        (vec!["intents", "list", "--cursor", "zzz"], 2, "not a cursor of ours"),
        (create(&["--due", "1.5"]), 2, "digits only"),
        (create(&["--due", "-1"]), 2, "--due"),
        (create(&["--due", "340282366920938463463374607431768211456"]), 2, "fits 128 bits"),
        (create(&["--due", "5", "--address", "0xa0B86991c6218b36c1d19D4a2e9Eb0cE3606eB48"]), 2, "checksum"),
        (create(&["--due", "5", "--expires", "soon"]), 2, "30m, 12h or 7d"),
        (create(&["--due", "5", "--expires", "2001-01-01T00:00:00Z"]), 2, "lies in the past"),
        (create(&["--due", "5", "--tolerance", "5", "--address", address]), 2, "tolerance less than due"),
        (create(&["--due", "5", "--metadata", "novalue"]), 2, "key=value"),
        (create(&["--due", "5"]), 2, "set the tenant's xpub first"),
        (create(&["--due", "5", "--address", address]), 2, "start the daemon once"),
        (
            vec!["intents", "create", "--tenant", "a/b", "--network", "devnet", "--asset", "ETH", "--due", "5"],
            2,
            "beginning with a letter or digit",
        ),
        (
            vec!["intents", "create", "--tenant", "a", "--network", "base", "--asset", "ETH", "--due", "5"],
            2,
            "does not enable the network base; enabled: devnet",
        ),
        (
            vec!["intents", "create", "--tenant", "a", "--network", "devnet", "--asset", "DOGE", "--due", "5"],
            2,
            "devnet lists no DOGE; it lists ETH",
        ),
        (vec!["deposits", "assign", deposit], 2, "<INTENT>"),
        (vec!["deposits", "assign", deposit, intent], 1, "there is no intent"),
        (vec!["deposits", "list", "--tx", "0x12"], 2, "64 hexadecimal digits"),
        (vec!["networks", "resume", "Devnet!"], 2, "lowercase letters"),
        (vec!["networks", "resume", "base"], 2, "does not enable the network base"),
        (vec!["networks", "resume", "devnet", "--accept-fork", "0x1"], 2, "64 hexadecimal digits"),
        (vec!["rescan"], 2, "--network"),
        (vec!["rescan", "--network", "devnet", "--from", "5"], 2, "--to"),
        (vec!["rescan", "--network", "devnet", "--from", "-5", "--to", "6"], 2, "unexpected argument '-5'"),
        (vec!["rescan", "--network", "devnet", "--from", "9", "--to", "6"], 2, "is above to"),
        (vec!["rescan", "--network", "devnet", "--from", "5", "--to", "99999999999999999999"], 2, "--to"),
        (vec!["rescan", "--network", "devnet", "--from", "5", "--to", "6"], 1, "there is no such network"),
        (vec!["networks", "show", "devnet"], 1, "there is no such network"),
        (vec!["networks", "reset", "devnet"], 2, "<ENDPOINT>"),
        (vec!["networks", "reset", "devnet", "a/b"], 2, "lowercase letters"),
        (vec!["networks", "reset", "devnet", "nobody"], 1, "there is no such network"),
        (vec!["thresholds", "get", "devnet"], 1, "there is no such network"),
        (vec!["thresholds", "set", "devnet", "--tag", "latest"], 2, "safe, finalized"),
        (vec!["thresholds", "set", "devnet", "--policy", "/nowhere.json"], 2, "No such file"),
        (vec!["deliveries", "redrive"], 2, "--event, --endpoint or --from"),
        (vec!["deliveries", "test", endpoint], 1, "there is no webhook endpoint"),
        (vec!["endpoints", "create", "--url", "http://127.0.0.1/hook"], 2, "url"),
        (vec!["endpoints", "create", "--url", "https://a.example/", "--event", "payment.made"], 2, "events[0]"),
        (vec!["keys", "create", "--name", "x"], 2, "--scope"),
        (vec!["keys", "create", "--name", "x", "--scope", "money:take"], 2, "no such scope"),
        (vec!["keys", "create", "--name", "x", "--tenant", "t", "--scope", "keys:write"], 2, "scopes[0]"),
        (vec!["keys", "revoke", "7"], 2, "invalid value '7'"),
        (vec!["tenants", "set-xpub", "seller", "xprv9s21ZrQH143K3QTDL4LXw2F7"], 2, "PRIVATE key"),
        (vec!["tenants", "set-xpub", "seller", "hello"], 2, "extended public key"),
        (vec!["explain", "what"], 2, "begins with pi_, dep_ or ce_"),
        (vec!["explain", intent], 1, "there is no intent"),
        (vec!["explain", "0x0000000000000000000000000000000000000zzz"], 2, "nor an address"),
    ];
    assert!(cases.len() >= 40);
    for (arguments, code, part) in cases {
        let said = amn(&config, &arguments).await;
        assert_said(&arguments, &said, code, part);
        assert!(!said.err.contains("xprv9"), "a private key is never repeated");
    }
}

#[tokio::test]
async fn a_configuration_or_a_database_that_is_wrong_is_said_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let said = amn(&missing, &["intents", "list"]).await;
    assert_said(&["missing file"], &said, 2, "missing.toml");

    let gone = config(dir.path(), "postgres://nobody@127.0.0.1:9/none", "");
    assert_said(&["no server"], &amn(&gone, &["intents", "list"]).await, 1, "database");
    assert_said(&["no server"], &amn(&gone, &["check"]).await, 1, "see that the server runs");

    let wrong = config(dir.path(), "postgres://nobody@127.0.0.1:9/none", "[networks.moon]\n");
    assert_said(&["wrong"], &amn(&wrong, &["run"]).await, 2, "amn-scanner.toml:4");
    assert_said(&["wrong"], &amn(&wrong, &["check"]).await, 2, "amn-scanner.toml:4");
    let foreign = config(dir.path(), "postgres://nobody@127.0.0.1:9/none", &format!("{DEVNET}kind = \"rest\"\n"));
    let said = amn(&foreign, &["run"]).await;
    assert_said(
        &["foreign"],
        &said,
        2,
        "amn-scanner.toml:7:1: [networks.devnet] endpoint nobody: kind: must be \"json-rpc\"",
    );
    let wrong = config(dir.path(), "postgres://nobody@127.0.0.1:9/none", "[networks.moon]\n");
    let json = amn(&wrong, &["intents", "list", "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((json.code, &error["code"]), (2, &"usage".into()));

    let mut bare = Command::new(env!("CARGO_BIN_EXE_amn-scanner"));
    bare.arg("--version").current_dir(dir.path());
    let said = run(bare).await;
    assert_eq!((said.code, said.out.trim()), (0, concat!("amn-scanner ", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_named_and_made_by_migrate() {
    let db = Database::fresh().await;
    sqlx::query("drop schema amn cascade").execute(&db.pool).await.unwrap();
    sqlx::query("drop table _sqlx_migrations").execute(&db.pool).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &db.url, "");
    assert_said(&["before"], &amn(&config, &["keys", "list"]).await, 1, "run `amn-scanner migrate`");
    assert_said(&["migrate"], &amn(&config, &["migrate"]).await, 0, "the schema is up to date now");
    assert_said(&["again"], &amn(&config, &["migrate"]).await, 0, "up to date already");
    assert_said(&["after"], &amn(&config, &["keys", "list"]).await, 0, "no keys");
}
