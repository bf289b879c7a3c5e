//! HTTP/1.1 by hand, because no library lets us break it: requests are read within bounds, replies are written as
//! the rules want them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::face::Face;
use super::wire::{Spoken, What};
use super::{Reply, bell};

/// Clients of tests come in dozens.
const CONNECTIONS_MAX: usize = 1_024;
/// A batch of a thousand questions has a few hundred kilobytes.
const REQUEST_MAX: usize = 16 << 20;
/// What common servers take.
const HEAD_MAX: usize = 32 << 10;
/// After an accept failed for want of files: until some connection has ended.
const BREATH: Duration = Duration::from_millis(50);

pub(super) async fn serve(face: Face, listener: TcpListener) -> Infallible {
    // Connections live in the set, so that they end with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let face = face.clone();
                    // A client that hangs up ends its connection and nothing else.
                    connections.spawn(async move { drop(connection(face, stream).await) });
                }
                Err(_) => sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The head of a request, as far as we need it.
#[derive(Debug, Default)]
pub(super) struct Head {
    verb: String,
    path: String,
    length: usize,
    chunked: bool,
    /// The key of a WebSocket handshake.
    pub(super) websocket: Option<String>,
}

async fn connection(face: Face, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream).await? {
        if let Some(key) = &head.websocket {
            return bell::serve(face, stream, key).await;
        }
        if head.chunked || head.length > REQUEST_MAX || !head.path.starts_with('/') {
            let refused = Reply::http(400, "a body with its length, of at most 16 MiB, to a path");
            write(&mut stream, super::wire::speak(refused, &serde_json::Value::Null, true)).await?;
            return Ok(());
        }
        let mut body = vec![0; head.length];
        stream.read_exact(&mut body).await?;
        let spoken = match head.verb.as_str() {
            "POST" => face.posted(&head.path, Bytes::from(body)).await,
            "GET" => face.fetched("GET", &head.path, None).await,
            _ => super::wire::speak(Reply::http(405, "GET or POST"), &serde_json::Value::Null, true),
        };
        if !write(&mut stream, spoken).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// `None`: the client has nothing more to ask.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut limited = stream.take(HEAD_MAX as u64);
    let mut line = String::new();
    if limited.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let mut head =
        Head { verb: words.next().unwrap_or_default(), path: words.next().unwrap_or_default(), ..Head::default() };
    loop {
        line.clear();
        if limited.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            // The empty line.
            return Ok(Some(head));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?,
            "transfer-encoding" => head.chunked = true,
            "sec-websocket-key" => head.websocket = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// `false`: the connection has ended.
async fn write(stream: &mut BufReader<TcpStream>, spoken: Spoken) -> io::Result<bool> {
    if !spoken.late.is_zero() {
        sleep(spoken.late).await;
    }
    let (status, headers, body, cut, drip) = match spoken.what {
        What::Response { status, headers, body, cut, drip } => (status, headers, body, cut, drip),
        What::Close => return Ok(false),
        What::Hang => {
            // Until the client has had enough.
            let _gone = stream.read_u8().await;
            return Ok(false);
        }
    };
    let mut text = format!("HTTP/1.1 {status} Spoken\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &headers {
        // Headers of rules come from people: no line break of theirs makes a header of its own.
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let _ = write!(text, "{}: {}\r\n", plain(name), plain(value));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    let end = cut.map_or(body.len(), |cut| cut.min(body.len()));
    let sent = &body[..end];
    match drip {
        None => stream.write_all(sent).await?,
        Some(every) => {
            for byte in sent {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                sleep(every).await;
            }
        }
    }
    stream.flush().await?;
    Ok(cut.is_none())
}
