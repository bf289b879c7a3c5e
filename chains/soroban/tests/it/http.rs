//! One question over real HTTP, byte by byte, so that what a client library would forgive is seen.

use amn_soroban::testkit::Node;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An HTTP answer as it arrived.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// What came back for these bytes, until the connection ended or the announced body was there.
pub async fn post(node: &Node, body: &[u8]) -> Answer {
    let address = node.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // A node that will not read it all may close before it is written.
    let _ = stream.write_all(body).await;
    let mut read = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
        if let Some(end) = end {
            let head = String::from_utf8(read[..end].to_vec()).unwrap().to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let length: usize = length.parse().unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut body = read.split_off(end);
            while body.len() < length {
                match stream.read(&mut part).await {
                    Ok(more) if more > 0 => body.extend_from_slice(&part[..more]),
                    _ => break,
                }
            }
            return Answer { status, head, body };
        }
        match stream.read(&mut part).await {
            Ok(more) if more > 0 => read.extend_from_slice(&part[..more]),
            other => panic!("the connection ended before an answer: {other:?}"),
        }
    }
}

/// The whole JSON-RPC answer.
pub async fn call(node: &Node, method: &str, params: &Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let answer = post(node, request.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
    answer
}

/// The result.
pub async fn ask(node: &Node, method: &str, params: &Value) -> Value {
    let answer = call(node, method, params).await;
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

/// The error.
pub async fn refused(node: &Node, method: &str, params: &Value) -> (i64, String) {
    let answer = call(node, method, params).await;
    let error = answer.get("error").unwrap_or_else(|| panic!("no error: {answer}"));
    (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
}
