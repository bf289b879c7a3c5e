//! The command as a person has it: it stands before a node until it is told to go, and says what it did.

use std::process::Stdio;

use amn_evm::testkit::{History, Node};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{post, question};
use crate::cli::{Said, run};

fn torture(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amn-scanner"));
    command.arg("torture").args(arguments);
    command
}

/// Starts it, and reads where it listens.
async fn start(arguments: &[&str]) -> (Child, BufReader<tokio::process::ChildStdout>, String) {
    let mut child = torture(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).await.unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("{line}"));
    let url = url.to_owned();
    (child, out, url)
}

#[tokio::test]
async fn it_spoils_what_its_rules_say_and_tells_what_it_did_when_it_is_stopped() {
    let node = Node::serve(History::new(31_337)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nfault = \"other-chain\"\nid = 5\ncalls = \"1..\"\n").unwrap();
    let (mut child, mut out, url) =
        start(&["--upstream", &node.url(), "--rules", rules.to_str().unwrap(), "--rule", "ahead:blocks=7"]).await;
    let ask = async |method: &str| -> Value {
        let (_, body) = post(&url, &question(method, json!([]))).await.unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["result"].clone()
    };
    assert_eq!(ask("eth_blockNumber").await, "0x7");
    assert_eq!([ask("eth_chainId").await, ask("eth_chainId").await], [json!("0x7a69"), json!("0x5")]);
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let mut told = String::new();
    out.read_to_string(&mut told).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    for line in ["eth_chainId      2", "ahead        1", "other-chain  1"] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[tokio::test]
async fn the_list_names_every_fault_and_every_refusal() {
    let said = run(torture(&["--list", "--json"])).await.json();
    assert!(said["faults"].as_array().unwrap().len() > 40, "{said:#}");
    assert!(said["errors"].as_array().unwrap().len() > 45);
    let shown = run(torture(&["--list"])).await.fine();
    assert!(shown.contains("lagging") && shown.contains("error:alchemy-range"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.toml");
    std::fs::write(&file, "[[rule]]\nfault = \"lagging\"\n[[rule]]\nfault = \"lagging\"\nblocks = -1\n").unwrap();
    let up = ["--upstream", "http://127.0.0.1:9"];
    let cases: [(&[&str], &str); 7] = [
        (&[], "--upstream"),
        (&["--upstream", "ftp://127.0.0.1:9"], "not http://host…"),
        (&[up[0], up[1], "--ws", "http://127.0.0.1:9"], "not ws://host…"),
        (&[up[0], up[1], "--rule", "leggings", "--rule", "lagging:blocks=x"], "blocks: a number from"),
        (&[up[0], up[1], "--rules", file.to_str().unwrap()], "rules.toml:3: blocks: a number from"),
        (&[up[0], up[1], "--rules", "no-such-file.toml"], "no-such-file.toml"),
        (&[up[0], up[1], "--listen", "here"], "--listen"),
    ];
    for (arguments, words) in cases {
        let said: Said = run(torture(arguments)).await;
        assert_eq!(said.code, 2, "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
    }
}
