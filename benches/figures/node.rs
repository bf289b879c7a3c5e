//! A node in a process of its own that answers from precomputed bytes, so that it is never the bottleneck.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use serde_json::Value;

use crate::chain::Chain;

/// The node of a chain. Killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    pub url: String,
}

impl Node {
    /// Starts it; `delay` milliseconds pass before each answer.
    pub fn start(folder: &Path, delay: u64) -> Self {
        let binary = std::env::current_exe().expect("our own program");
        let mut command = Command::new(binary);
        command.arg("node").arg(folder).arg(delay.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the node starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its words")).read_line(&mut line).expect("the node speaks");
        Self { child, url: format!("http://{}", line.trim()) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves a chain until killed: a thread for each connection, no copies.
pub fn serve(folder: &Path, delay: u64) -> ExitCode {
    let chain = Arc::new(Chain::load(folder).expect("the chain reads"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming().flatten() {
        let chain = chain.clone();
        std::thread::spawn(move || converse(&chain, &stream, Duration::from_millis(delay)));
    }
    ExitCode::SUCCESS
}

fn converse(chain: &Chain, stream: &TcpStream, delay: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let words = line.trim_end();
            if words.is_empty() {
                break;
            }
            if let Some((name, value)) = words.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let question: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut parts: Vec<Cow<'_, [u8]>> = Vec::new();
        match &question {
            Value::Array(many) => {
                for (at, one) in many.iter().enumerate() {
                    parts.push(Cow::Borrowed(if at == 0 { b"[" } else { b"," }));
                    answer(chain, one, &mut parts);
                }
                parts.push(Cow::Borrowed(b"]"));
            }
            one => answer(chain, one, &mut parts),
        }
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n");
        let mut slices = vec![IoSlice::new(head.as_bytes())];
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        let mut rest = slices.as_mut_slice();
        let mut out = stream;
        while !rest.is_empty() {
            let written = out.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
    }
}

fn answer<'a>(chain: &'a Chain, question: &Value, parts: &mut Vec<Cow<'a, [u8]>>) {
    let params = &question["params"];
    parts.push(Cow::Owned(format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":", question["id"]).into_bytes()));
    let owned = |text: &str| vec![Cow::Owned(text.as_bytes().to_vec())];
    let found = |bytes: Option<&'a [u8]>| vec![Cow::Borrowed(bytes.filter(|b| !b.is_empty()).unwrap_or(b"null"))];
    parts.extend(match question["method"].as_str().unwrap_or_default() {
        "eth_chainId" => owned("\"0x1e61\""),
        "eth_call" => owned(&format!("\"0x{:064x}\"", 6)),
        "eth_getBlockByNumber" => found(height(chain, &params[0]).and_then(|height| chain.header(height))),
        "eth_getBlockByHash" => found(of_hash(chain, &params[0]).and_then(|height| chain.header(height))),
        "eth_getBlockReceipts" => found(of_hash(chain, &params[0]).and_then(|height| chain.receipts(height))),
        "eth_getLogs" => {
            let end = |name: &str| height(chain, &params[0][name]).unwrap_or_default();
            let logs = chain.logs(end("fromBlock"), end("toBlock"));
            vec![Cow::Borrowed(&b"["[..]), Cow::Borrowed(logs), Cow::Borrowed(&b"]"[..])]
        }
        _ => owned("null"),
    });
    parts.push(Cow::Borrowed(b"}"));
}

fn height(chain: &Chain, named: &Value) -> Option<u64> {
    match named.as_str()? {
        "latest" | "safe" | "finalized" => Some(chain.tip()),
        number => u64::from_str_radix(number.trim_start_matches("0x"), 16).ok(),
    }
}

fn of_hash(chain: &Chain, hash: &Value) -> Option<u64> {
    chain.height_of(&hash.as_str()?.parse::<B256>().ok()?)
}
