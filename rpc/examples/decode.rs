//! How fast a page of logs becomes typed values: `cargo run --release -p amn-rpc --example decode`.
//!
//! Serves one page of 10,000 logs over loopback and reads it as often as it takes, so that the figures hold transport,
//! finding the result, and decoding with borrowed strings, each apart.

#![expect(clippy::disallowed_methods, reason = "an example has no supervisor")]

use std::time::{Duration, Instant};

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{EndpointConfig, Pool};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LOGS: usize = 10_000;
const ROUNDS: u32 = 30;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    address: &'a str,
    topics: Vec<&'a str>,
    data: &'a str,
    block_hash: &'a str,
    transaction_hash: &'a str,
    log_index: &'a str,
}

fn page() -> String {
    let log = |n: usize| {
        format!(
            r#"{{"address":"0xdac17f958d2ee523a2206206994597c13d831ec7","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x{n:064x}","0x{n:064x}"],"data":"0x{n:064x}","blockHash":"0x{n:064x}","blockNumber":"0x{n:x}","blockTimestamp":"0x65f0a0b7","transactionHash":"0x{n:064x}","transactionIndex":"0x{n:x}","logIndex":"0x{n:x}","removed":false}}"#
        )
    };
    format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":[{}]}}"#, (0..LOGS).map(log).collect::<Vec<_>>().join(","))
}

/// Reads one request (they are small) and answers with the page, for ever.
async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let page = page();
    let (mut stream, _) = listener.accept().await?;
    let mut request = vec![0; 4096];
    for id in 1.. {
        loop {
            let read = stream.read(&mut request).await?;
            if request[..read].ends_with(b"}") {
                break;
            }
        }
        let body = page.replacen("$ID", &id.to_string(), 1);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(serve(listener));
    let pool = Pool::new(NetworkId::new("devnet"), vec![EndpointConfig::new("local", url, Operator::new("us"))])?;
    let (mut fetching, mut decoding, mut bytes, mut check) = (Duration::ZERO, Duration::ZERO, 0, 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let (_, answer) = pool.call("eth_getLogs", &[()]).await?;
        fetching += start.elapsed();
        let start = Instant::now();
        let logs: Vec<Entry<'_>> = answer.parse_borrowed()?;
        decoding += start.elapsed();
        bytes += answer.raw().len();
        check += logs.iter().map(|log| log.topics.len() + log.address.len() + log.data.len()).sum::<usize>();
        check += logs.iter().map(|l| l.block_hash.len() + l.transaction_hash.len() + l.log_index.len()).sum::<usize>();
    }
    let rate = |time: Duration| bytes as u128 / time.as_micros().max(1);
    println!("{ROUNDS} pages, {bytes} bytes (sum {check})");
    println!("fetch and find: {} MB/s; decode: {} MB/s", rate(fetching), rate(decoding));
    Ok(())
}
