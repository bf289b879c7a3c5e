//! One question over real HTTP, byte by byte, so that what a client library would forgive is seen.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An HTTP answer as it arrived.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// What came back, until the connection ended or the announced body was there.
pub async fn exchange(url: &str, body: Option<&Value>) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let verb = if body.is_some() { "POST" } else { "GET" };
    let body = body.map(ToString::to_string).unwrap_or_default();
    let length = body.len();
    let request = format!("{verb} /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
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

/// The JSON of an answer that went well.
pub async fn get(url: String) -> Value {
    let answer = exchange(&url, None).await;
    assert_eq!(answer.status, 200, "{url}: {answer:?}");
    answer.json()
}

/// The status and the JSON of one that did not.
pub async fn refused(url: String) -> (u16, Value) {
    let answer = exchange(&url, None).await;
    assert_ne!(answer.status, 200, "{url}: {answer:?}");
    (answer.status, answer.json())
}

/// What v2 says inside its envelope.
pub async fn result(url: String) -> Value {
    let answer = get(url).await;
    assert_eq!(answer["ok"], true, "{answer}");
    answer["result"].clone()
}

/// Bytes as hexadecimal digits.
pub fn digits(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// `&name=value`, for each of them.
pub fn repeated(name: &str, values: impl Iterator<Item = String>) -> String {
    values.fold(String::new(), |query, value| format!("{query}&{name}={value}"))
}
