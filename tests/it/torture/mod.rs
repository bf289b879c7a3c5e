//! The node that fails on purpose: the engine itself, its command, and what `check` says of it.

mod bells;
mod check;
mod command;
mod engine;
mod page;
mod ways;

use amn_evm::testkit::{Call, History, Node};
use amn_scanner::torture::{Face, OpenFace, Rule};
use serde_json::{Value, json};

/// A chain of so many blocks above the first, each with two payments, before a face with these rules.
pub async fn faced(blocks: u64, seed: u64, rules: &[&str]) -> (Node, OpenFace) {
    let mut history = History::new(31_337);
    for height in 1..=blocks {
        let pay = |to: u8| Call::token([0xAA; 20].into(), [to; 20].into(), u128::from(height));
        history.extend(&[pay(1), pay(2)]);
    }
    (history.safe, history.finalized) = (Some(blocks.saturating_sub(2)), Some(blocks.saturating_sub(4)));
    history.decimals.insert([0xAA; 20].into(), 6);
    let node = Node::serve(history).await.unwrap();
    let face = Face::before(&node.url(), None, seed).unwrap().open().await.unwrap();
    face.set_rules(read(rules));
    (node, face)
}

pub fn read(rules: &[&str]) -> Vec<Rule> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

/// The body that one question, or several, gets, with its status; the error where there is none.
pub async fn post(url: &str, body: &Value) -> Result<(u16, String), reqwest::Error> {
    thread_local! {
        // One for each test, which has its thread: building one takes longer than a hundred questions.
        static CLIENT: reqwest::Client = client();
    }
    let client = CLIENT.with(Clone::clone);
    let response = client.post(url).header("content-type", "application/json").body(body.to_string()).send().await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}

fn client() -> reqwest::Client {
    amn_rpc::install_crypto();
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(std::time::Duration::from_millis(1_500)).build().unwrap()
}

pub fn question(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

/// The reply to one question, which must be JSON.
pub async fn ask(face: &OpenFace, method: &str, params: Value) -> Value {
    let (_, body) = post(&face.url(), &question(method, params)).await.unwrap();
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{method}: {error}: {body}"))
}
