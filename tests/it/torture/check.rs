//! `check` in front of every kind of failing node: the line that names what is wrong with it, and an honest exit code.

use std::fmt::Write as _;

use alloy_primitives::Address;
use amn_evm::testkit::{Call, History, Node};
use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::torture::{Face, OpenFace};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tempfile::TempDir;

use super::read;
use crate::cli::{Said, amn};
use crate::support::database::Database;

const TOKEN: Address = Address::repeat_byte(0xAA);
/// Checks at once: each is a process with a database connection.
const AT_ONCE: usize = 4;

/// Two operators, a and b, and a configuration that names their endpoints.
struct Ground {
    db: Database,
    dir: TempDir,
}

impl Ground {
    async fn new() -> Self {
        Self { db: Database::fresh().await, dir: TempDir::new().unwrap() }
    }

    /// Runs `check` on endpoints of these URLs; the name tells configurations apart.
    async fn check(&self, name: &str, endpoints: &[(&str, String, Option<String>)], more: &str, how: &[&str]) -> Said {
        let mut text = format!(
            r#"
            environment = "development"
            [server]
            listen = "127.0.0.1:0"
            [database]
            url = "{}"
            [auth]
            operator_key = "operator-key-of-the-checks-0123456789-abcdef"
            [networks.devnet]
            {more}
            "#,
            self.db.url,
        );
        for (name, url, ws) in endpoints {
            let ws = ws.as_ref().map_or(String::new(), |ws| format!("ws = \"{ws}\"\n"));
            let _ = write!(
                text,
                "[[networks.devnet.endpoints]]\nname = \"{name}\"\nurl = \"{url}\"\noperator = \"{name}\"\n\
                 timeout_ms = 2500\n{ws}"
            );
        }
        let config = self.dir.path().join(format!("{name}.toml"));
        std::fs::write(&config, text).unwrap();
        amn(&config, &[&["check"], how].concat()).await
    }

    async fn lines(&self, name: &str, endpoints: &[(&str, String, Option<String>)], more: &str) -> (i32, Vec<Value>) {
        let said = self.check(name, endpoints, more, &["--json"]).await;
        let document: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        (said.code, document["checks"].as_array().unwrap().clone())
    }
}

const WITH_TOKEN: &str = "[[networks.devnet.tokens]]\naddress = \"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n\
                          symbol = \"USDC\"\ndecimals = 6\nmin_amount = \"1\"\n";

/// Thirty blocks of two payments each, said to be as fresh as can be.
fn history(branch: u64) -> History {
    let mut history = History::new(31_337);
    for height in 1..=30_u64 {
        if height == 20 {
            history.branch = branch;
        }
        let pay = |to: u8| Call::token(TOKEN, Address::repeat_byte(to), u128::from(height));
        history.extend(&[pay(1), pay(2)]);
    }
    (history.safe, history.finalized) = (Some(28), Some(26));
    history.decimals.insert(TOKEN, 6);
    history
}

async fn face(node: &Node, rules: &[&str]) -> OpenFace {
    let face = Face::before(&node.url(), None, 3).unwrap().open().await.unwrap();
    face.set_rules(read(rules));
    face
}

/// A rule for the endpoint b, and the line that must name it: check, subject, status, words.
const NAMED: &[(&str, &str, &str, &str, &str)] = &[
    ("other-chain:id=5", "identity", "devnet/b", "FAIL", "chain 5, expected 31337"),
    ("other-chain:id=5,calls=1..", "identity", "devnet/b", "FAIL", "chain 5 now, 31337 a moment ago"),
    ("drop", "identity", "devnet/b", "FAIL", "no answer"),
    ("hang", "identity", "devnet/b", "FAIL", "no answer"),
    ("truncate", "identity", "devnet/b", "FAIL", "no answer"),
    ("garbage", "identity", "devnet/b", "FAIL", "malformed"),
    ("html", "identity", "devnet/b", "FAIL", "malformed"),
    ("duplicate", "identity", "devnet/b", "FAIL", "malformed"),
    ("redirect", "identity", "devnet/b", "FAIL", "307"),
    ("flood:bytes=50000000", "identity", "devnet/b", "FAIL", "a body of over"),
    ("error:no-key", "identity", "devnet/b", "FAIL", "credentials"),
    ("rate-limit", "identity", "devnet/b", "FAIL", "leave alone"),
    ("error-in-200", "identity", "devnet/b", "FAIL", "no answer"),
    ("rate-limit:methods=eth_getBlockReceipts", "limits", "devnet/b", "FAIL", "questions: leave alone"),
    ("error:json-in-402,methods=eth_getLogs", "limits", "devnet/b", "FAIL", "leave alone"),
    ("delay:ms=1200,methods=eth_blockNumber,calls=..1", "latency", "devnet/b", "warn", "at most"),
    ("head-goes-back:blocks=5", "head", "devnet/b", "FAIL", "went back from"),
    ("altered-header", "head", "devnet/b", "FAIL", "the header hashes to"),
    ("null-at-head", "head", "devnet/b", "FAIL", "is its latest, and by number: it has none"),
    ("header-not-found", "head", "devnet/b", "FAIL", "header not found"),
    ("unknown-block", "head", "devnet/b", "FAIL", "unknown block"),
    ("null:methods=eth_getBlockByHash", "head", "devnet/b", "FAIL", "by hash it has none"),
    ("lagging:blocks=9", "lag", "devnet/b", "FAIL", "9 blocks behind the others"),
    ("frozen:height=12", "lag", "devnet/b", "FAIL", "18 blocks behind the others"),
    ("no-tag", "tag", "devnet/b", "FAIL", "finalized: unsupported"),
    ("finalized-not-found", "tag", "devnet/b", "FAIL", "finalized block not found"),
    ("safe-not-found", "tag", "devnet/b", "warn", "safe block not found"),
    ("null-receipts", "receipts", "devnet/b", "FAIL", "none for a block that it gave"),
    ("empty-receipts", "receipts", "devnet/b", "FAIL", "names 2 transactions and has 0 receipts"),
    ("short-receipts", "receipts", "devnet/b", "FAIL", "names 2 transactions and has 1 receipts"),
    ("altered-receipts", "receipts", "devnet/b", "FAIL", "the header commits to"),
    ("receipts-of-other-block", "receipts", "devnet/b", "FAIL", "belongs to block"),
    ("receipts-of-other-block:relabelled=1", "receipts", "devnet/b", "FAIL", "the header commits to"),
    ("wrong-tx-hash", "receipts", "devnet/b", "FAIL", "names another place than its receipt"),
    ("no-method", "receipts", "devnet/b", "warn", "no eth_getBlockReceipts"),
    ("shifted-log-indices", "receipts", "devnet/b", "warn", "its first log is said to be number 1"),
    ("shifted-log-indices:methods=eth_getLogs", "logs", "devnet/b", "FAIL", "are not in eth_getLogs"),
    ("omitted-logs:share=600", "logs", "devnet/b", "FAIL", "transfers of the receipts are not in eth_getLogs"),
    ("partial-range", "logs", "devnet/b", "FAIL", "6 of 6 transfers of the receipts are not in eth_getLogs"),
    ("head-logs-empty", "logs", "devnet/b", "FAIL", "2 of 6 transfers"),
    ("repeated-logs", "logs", "devnet/b", "FAIL", "7 transfers, the receipts 6"),
    ("empty:methods=eth_getLogs", "logs", "devnet/b", "FAIL", "6 of 6"),
    ("range-limit:blocks=5", "getLogs", "devnet/b", "ok", "up to 1 blocks; beyond: ask for less"),
    ("error:base-no-backend,methods=eth_getLogs", "getLogs", "devnet/b", "FAIL", "no backend"),
    ("null:methods=eth_getLogs", "getLogs", "devnet/b", "FAIL", "null where a list was asked for"),
    ("no-batch", "batch", "devnet/b", "warn", "refused"),
    ("short-batch", "batch", "devnet/b", "FAIL", ""),
    ("null:methods=eth_getBlockByNumber,at=20..29", "agreement", "devnet", "warn", "the same for 1 of 2 endpoints"),
    ("other-decimals", "decimals", "devnet/b", "FAIL", "8 on chain, 6 in the registry"),
    ("no-method:methods=debug_traceBlockByNumber", "trace", "devnet/b", "info", "not available"),
    ("finalized-above-head", "tag", "devnet/b", "FAIL", "is above"),
    ("invented-log", "receipts", "devnet/b", "FAIL", "the header commits to"),
    ("null:chance=0", "gzip", "devnet/b", "info", "not compressed"),
    ("null:chance=0", "agreement", "devnet", "ok", "the same for 2 of 2 endpoints"),
    ("null:chance=0", "logs", "devnet/b", "ok", "6 transfers, as the receipts have them"),
    ("null:chance=0", "receipts", "devnet/b", "ok", "the root recomputes"),
    ("null:chance=0", "batch", "devnet/b", "ok", "two questions in one request"),
];

#[tokio::test]
async fn every_failing_node_has_a_line_that_names_what_is_wrong_with_it() {
    let ground = Ground::new().await;
    let node = Node::serve(history(0)).await.unwrap();
    let more = format!("require = {{ confirmations = 2, tag = \"finalized\" }}\n{WITH_TOKEN}");
    let cases = stream::iter(NAMED.iter().enumerate()).map(async |(place, case)| {
        let (rule, check, subject, status, words) = *case;
        let face = face(&node, &[rule]).await;
        let endpoints = [("a", node.url(), None), ("b", face.url(), None)];
        let (code, lines) = ground.lines(&format!("case-{place}"), &endpoints, &more).await;
        let found = lines.iter().any(|line| {
            line["check"] == check
                && line["subject"] == subject
                && line["status"] == status
                && line["said"].as_str().is_some_and(|said| said.contains(words))
        });
        let failed = lines.iter().any(|line| line["status"] == "FAIL");
        let honest = lines.iter().all(|line| line["subject"] != "devnet/a" || line["status"] != "FAIL");
        let shown: Vec<String> =
            lines.iter().filter(|line| line["subject"] != "devnet/a").map(Value::to_string).collect();
        let shown = shown.join("\n  ");
        let mut wrong = Vec::new();
        if !found {
            wrong.push(format!("{rule}: no line {check} of {subject} with {status} and {words:?}:\n  {shown}"));
        }
        if !honest {
            wrong.push(format!("{rule}: the honest node fails:\n  {shown}"));
        }
        if code != i32::from(failed) || (status == "FAIL") && code == 0 {
            wrong.push(format!("{rule}: exit code {code}:\n  {shown}"));
        }
        wrong
    });
    let wrong: Vec<String> = cases.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nodes_of_two_branches_disagree_by_name_and_in_words_for_a_person() {
    let ground = Ground::new().await;
    let (left, right) = (Node::serve(history(0)).await.unwrap(), Node::serve(history(9)).await.unwrap());
    let endpoints = [("a", left.url(), None), ("b", right.url(), None)];
    let said = ground.check("branches", &endpoints, WITH_TOKEN, &[]).await;
    assert_eq!(said.code, 1, "{said:?}");
    let line = said.out.lines().find(|line| line.starts_with("agreement")).unwrap();
    assert!(line.contains("FAIL") && line.contains("say a of a") && line.contains("say b of b"), "{line}");
    assert!(said.out.contains("failure(s): mend them before money depends on this."), "{}", said.out);
    assert!(said.out.contains("agreement of devnet: they are not of one chain"), "{}", said.out);
}

#[tokio::test]
async fn a_websocket_that_is_silent_while_blocks_come_is_named_and_one_that_speaks_is_well() {
    let chain = Anvil::start(Rules { block_time: Some(1), ..Rules::default() }).await.unwrap();
    let ground = Ground::new().await;
    let faced = async |rules: &[&str]| {
        let face = Face::before(&chain.url(), Some(&chain.ws_url()), 1).unwrap().open().await.unwrap();
        face.set_rules(read(rules));
        face
    };
    let (silent, well) = (faced(&["silent-websocket"]).await, faced(&[]).await);
    let endpoints = [("a", silent.url(), Some(silent.ws_url())), ("b", well.url(), Some(well.ws_url()))];
    let (_, lines) = ground.lines("bells", &endpoints, "").await;
    let of =
        |subject: &str| lines.iter().find(|line| line["check"] == "websocket" && line["subject"] == subject).unwrap();
    assert_eq!(of("devnet/a")["status"], "warn", "{lines:#?}");
    assert!(of("devnet/a")["said"].as_str().unwrap().contains("silent, while"), "{lines:#?}");
    assert_eq!(of("devnet/b")["said"], "connected, and announces blocks");
    assert!(silent.counts().struck["silent-websocket"] > 0);
}
