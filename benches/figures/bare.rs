//! A bare program that only downloads the same pages of logs and decodes them: the most that can be asked for.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, hex};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;

use crate::chain::{LOGS, Shape};
use crate::ground::TOKENS;

/// Pages under way at once, and the span of one: as the daemon comes to ask.
const AT_A_TIME: usize = 4;
const SPAN: u64 = 100;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Vec<Log<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    address: &'a str,
    #[serde(borrow)]
    topics: Vec<&'a str>,
    data: &'a str,
    block_number: &'a str,
    block_hash: &'a str,
    transaction_hash: &'a str,
    #[serde(rename = "logIndex")]
    index: &'a str,
}

/// A transfer, as anybody would want it.
#[derive(Debug)]
#[expect(dead_code, reason = "decoding is what is measured; nobody reads it")]
struct Transfer {
    token: Address,
    from: B256,
    to: B256,
    value: U256,
    block: u64,
    block_hash: B256,
    tx: B256,
    index: u64,
}

/// Seconds to download and decode every page.
pub async fn run(url: &str, shape: Shape) -> f64 {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().expect("a client");
    let began = Instant::now();
    let spans = (0..shape.blocks.div_ceil(SPAN)).map(|at| (at * SPAN + 1, ((at + 1) * SPAN).min(shape.blocks)));
    let counts: Vec<usize> = stream::iter(spans)
        .map(|(from, to)| {
            let (client, tokens) = (client.clone(), TOKENS);
            async move {
                let question = serde_json::json!({
                    "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs",
                    "params": [{"fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"), "address": tokens}],
                });
                let send = client.post(url).body(question.to_string()).send().await.expect("an answer");
                let body = send.bytes().await.expect("a body");
                tokio::task::spawn_blocking(move || decode(&body).len()).await.expect("decoded")
            }
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let took = began.elapsed().as_secs_f64();
    assert_eq!(counts.iter().sum::<usize>() as u64, shape.blocks * LOGS, "every log was there");
    took
}

fn decode(body: &[u8]) -> Vec<Transfer> {
    let answer: Answer<'_> = sonic_rs::from_slice(body).expect("logs");
    let word = |text: &str| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).expect("a word");
        B256::from(bytes)
    };
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a number");
    let transfer = |log: Log<'_>| {
        let mut token = [0; 20];
        hex::decode_to_slice(log.address, &mut token).expect("an address");
        Transfer {
            token: token.into(),
            from: word(log.topics[1]),
            to: word(log.topics[2]),
            value: word(log.data).into(),
            block: number(log.block_number),
            block_hash: word(log.block_hash),
            tx: word(log.transaction_hash),
            index: number(log.index),
        }
    };
    answer.result.into_iter().map(transfer).collect()
}
