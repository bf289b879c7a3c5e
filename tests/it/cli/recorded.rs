//! `record`, `run --record` and `replay` as a developer has them: the real binary, a real anvil.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::process::Api;
use amn_scanner::stage::receiver::Receiver;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::amn;
use crate::support::database::Database;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "operator-key-of-the-recordings-0123456789-abcdef";

/// No step here takes as long, on a machine that does three other things.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evm").join(name)
}

fn config(dir: &Path, database: &str, more: &str) -> PathBuf {
    let path = dir.join("amn-scanner.toml");
    let text = format!("environment = \"development\"\n{more}\n[database]\nurl = \"{database}\"\n");
    std::fs::write(&path, text).unwrap();
    path
}

/// Looks until it is so.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

fn kinds(events: &[Value]) -> Vec<String> {
    let kind = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (of, settled) = (text(&event["intent"]["id"]), text(&event["intent"]["settled"]));
        format!("{} {of} {settled}", text(&event["event"]))
    };
    events.iter().map(kind).collect()
}

fn expected(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("expected-events.json")).unwrap();
    let read: Value = serde_json::from_str(&text).unwrap();
    read["feeds"].as_array().unwrap().iter().flat_map(|feed| feed["events"].as_array().unwrap().clone()).collect()
}

#[tokio::test]
async fn a_scenario_is_replayed_against_a_backend_that_verifies_and_ends_with_0() {
    let db = Database::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &db.url, "");
    let (receiver, serve) = Receiver::bind().await.unwrap();
    tokio::spawn(serve);
    receiver.trust(SECRET);
    // A backend that is just being started.
    receiver.answer([503]);
    let folder = fixture("partial");
    let (shown, url) = (folder.display().to_string(), receiver.url());
    let said = amn(&config, &["replay", &shown, "--webhook", &url, "--secret", SECRET, "--json"]).await;
    let report = said.json();
    assert_eq!(report["as_expected"], true, "{report}");
    let heard = receiver.delivered();
    assert!(heard.iter().all(|heard| heard.signed), "every webhook is signed as of now");
    let bodies: Vec<Value> = heard.iter().map(|heard| heard.json()).collect();
    for intent in ["A-1", "A-2"] {
        let of = |events: &[Value]| -> Vec<Value> {
            events.iter().filter(|event| event["intent"]["metadata"]["order"] == intent).cloned().collect()
        };
        assert_eq!(of(&bodies), of(&expected(&folder)), "{intent}: in its sequence, each once, to the byte");
    }
    assert_eq!(report["delivered"], json!({ "dead": 0, "delivered": bodies.len(), "retried": 1 }));
}

#[tokio::test]
async fn what_differs_ends_with_1_and_what_cannot_be_used_with_2() {
    let db = Database::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &db.url, "");
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(fixture("plain")).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let folder = copy.display().to_string();
    let expectation = copy.join("expected-events.json");
    let text = std::fs::read_to_string(&expectation).unwrap();
    std::fs::write(&expectation, text.replacen("\"payment.confirmed\"", "\"payment.confirmee\"", 1)).unwrap();
    let said = amn(&config, &["replay", &folder]).await;
    assert_eq!(said.code, 1, "{said:?}");
    let field = "event: expected \"payment.confirmee\", got \"payment.confirmed\"";
    assert!(said.out.contains(field) && said.out.ends_with("not as expected\n"), "{said:?}");
    let said = amn(&config, &["replay", &folder, "--bless"]).await;
    assert!(said.fine().contains("blessed"));
    assert!(amn(&config, &["replay", &folder]).await.fine().ends_with("as expected\n"));
    // A backend that takes nothing.
    let (receiver, serve) = Receiver::bind().await.unwrap();
    tokio::spawn(serve);
    receiver.answer([400; 100]);
    let said = amn(&config, &["replay", &folder, "--webhook", &receiver.url()]).await;
    assert!(said.err.contains("webhooks are signed with whsec_"), "{said:?}");
    assert!(said.code == 1 && said.out.contains("payment.detected was not taken: rejected: status 400"), "{said:?}");

    std::fs::write(copy.join("scenario.toml"), "format = 1\ntitel = \"x\"\n").unwrap();
    let said = amn(&config, &["replay", &folder]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("scenario.toml:2:1: titel: is not a known key; did you mean title?"), "{said:?}");
    for wrong in [&["replay", "/nowhere"][..], &["replay", &folder, "--speed", "0"], &["replay"]] {
        assert_eq!(amn(&config, wrong).await.code, 2, "{wrong:?}");
    }
}

/// A scenario of one order on this chain, whose endpoints take their addresses from the configuration.
const TEMPLATE: &str = r#"
format = 1
title = "An order is paid while we look"
begins = "2027-01-15T08:00:00Z"
[networks.devnet]
poll_ms = 50
require = { confirmations = 2, inclusion = "proven", operators = 2 }
[[networks.devnet.endpoints]]
name = "north"
operator = "north"
[[networks.devnet.endpoints]]
name = "south"
operator = "south"
[[intents]]
tenant = "seller"
asset = "ETH"
due = "1000"
address = "0x00000000000000000000000000000000A0000001"
"#;

fn nodes(chain: &Anvil) -> String {
    let node = |name: &str| {
        format!(
            "[[networks.devnet.endpoints]]\nname = \"{name}\"\noperator = \"{name}\"\nurl = \"{}/?apikey=0123456789abcdef\"\n",
            chain.url()
        )
    };
    let head =
        "[networks.devnet]\npoll_ms = 50\nrequire = { confirmations = 2, inclusion = \"proven\", operators = 2 }\n";
    format!("{head}{}{}", node("north"), node("south"))
}

async fn pay(chain: &Anvil) {
    let (payer, to) = (chain.account(0).await.unwrap(), "0x00000000000000000000000000000000A0000001".parse().unwrap());
    chain.send(payer, to, &[], 1_000).await.unwrap();
    chain.mine(1).await.unwrap();
}

#[tokio::test]
async fn a_recorded_run_replays_to_the_byte_and_tells_no_address_of_a_node() {
    let (db, chain) = (Database::fresh().await, Anvil::start(Rules::default()).await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &db.url, &nodes(&chain));
    let (scenario, into) = (dir.path().join("template.toml"), dir.path().join("recorded"));
    std::fs::write(&scenario, TEMPLATE).unwrap();
    chain.mine(3).await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_amn-scanner"));
    let path = into.display().to_string();
    command
        .args(["record", &scenario.display().to_string(), "--into", &path, "--blocks", "7", "--config"])
        .arg(&config);
    let recording = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let recording: Child = recording.spawn().unwrap();
    let tape = into.join("exchanges.jsonl");
    let looks = || std::fs::read_to_string(&tape).unwrap_or_default().matches("{\"look\":").count();
    until("the first looks", async || (looks() > 2).then_some(())).await;
    pay(&chain).await;
    chain.mine(3).await.unwrap();
    let done = recording.wait_with_output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
    let told = kinds(&expected(&into));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("payment.detected") && told[1].starts_with("payment.confirmed"), "{told:?}");
    let all = std::fs::read_to_string(&tape).unwrap() + &std::fs::read_to_string(into.join("scenario.toml")).unwrap();
    assert!(!all.contains("0123456789abcdef") && !all.contains(&chain.port().to_string()), "no address is written");
    drop(chain);
    assert!(amn(&config, &["replay", &path]).await.fine().ends_with("as expected\n"));
    let said = amn(&config, &["record", &scenario.display().to_string(), "--into", &path]).await;
    assert!(said.code == 2 && said.err.contains("a recording needs a new folder"), "{said:?}");
}

#[tokio::test]
async fn what_a_running_daemon_recorded_is_replayed_to_the_same_story() {
    let (db, chain) = (Database::fresh().await, Anvil::start(Rules::default()).await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server =
        format!("[server]\nlisten = \"127.0.0.1:{port}\"\n[auth]\noperator_key = \"{KEY}\"\n{}", nodes(&chain));
    let config = config(dir.path(), &db.url, &server);
    chain.mine(3).await.unwrap();
    let below = dir.path().join("recorded");
    let mut command = Command::new(env!("CARGO_BIN_EXE_amn-scanner"));
    command.arg("run").arg("--record").arg(&below).arg("--config").arg(&config);
    let log = std::fs::File::create(dir.path().join("daemon.log")).unwrap();
    let command = command.stdin(Stdio::null()).stdout(Stdio::from(log)).stderr(Stdio::null()).kill_on_drop(true);
    let mut daemon = command.spawn().unwrap();
    let api = Api::new(format!("http://127.0.0.1:{port}"), KEY).unwrap();
    let caught_up = async |height: u64| {
        until("the daemon", async || {
            let network = api.get("/v1/networks/devnet").await.ok()?;
            (network["tip"]["height"].as_str()?.parse() == Ok(height)).then_some(())
        })
        .await;
    };
    caught_up(3).await;
    let intent = json!({
        "tenant": "seller", "network": "devnet", "asset": "eip155:31337/slip44:60", "due": "1000",
        "address": "0x00000000000000000000000000000000A0000001",
    });
    api.post("/v1/intents", intent.clone()).await.unwrap();
    let mut other = intent;
    other["address"] = json!("0x00000000000000000000000000000000A0000002");
    let canceled = api.post("/v1/intents", other).await.unwrap();
    api.ask_for(&format!("/v1/intents/{}/cancel", canceled["id"].as_str().unwrap())).await.unwrap();
    pay(&chain).await;
    chain.mine(3).await.unwrap();
    caught_up(7).await;
    let live = until("the confirmation", async || {
        let page = api.get("/v1/events?tenant=seller").await.ok()?;
        page["data"].as_array().filter(|events| events.len() == 3).cloned()
    })
    .await;
    let pid = rustix::process::Pid::from_raw(daemon.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(daemon.wait().await.unwrap().success());
    let folder = below.join("devnet");
    let path = folder.display().to_string();
    let said = amn(&config, &["replay", &path]).await;
    assert!(said.code == 1 && said.out.contains("run with --bless"), "{said:?}");
    amn(&config, &["replay", &path, "--bless"]).await.fine();
    assert!(amn(&config, &["replay", &path]).await.fine().ends_with("as expected\n"));
    let (mut live, mut replayed) = (kinds(&live), kinds(&expected(&folder)));
    live.sort();
    replayed.sort();
    assert_eq!(replayed, live, "the ids and the sums are those that were told");
}
