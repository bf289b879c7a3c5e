//! The WebSocket of a face: every message of the node behind passes through the rules on its way.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, connect_async_with_config};

use super::face::Face;
use super::wire::{self, What};

/// A header has under 3 KB; a push of a full page of logs some megabytes.
const MESSAGE_MAX: usize = 16 << 20;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn serve(face: Face, mut stream: BufReader<TcpStream>, key: &str) -> io::Result<()> {
    let Some(url) = face.upstream().ws.clone() else {
        return stream.write_all(b"HTTP/1.1 404 No WebSocket\r\ncontent-length: 0\r\n\r\n").await;
    };
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let connect = connect_async_with_config(url.as_str(), Some(limits), true);
    let Ok(Ok((mut behind, _))) = tokio::time::timeout(HANDSHAKE_WITHIN, connect).await else {
        return stream.write_all(b"HTTP/1.1 502 Nobody there\r\ncontent-length: 0\r\n\r\n").await;
    };
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let read_ahead = stream.buffer().to_vec();
    let stream = stream.into_inner();
    let mut client = WebSocketStream::from_partially_read(stream, read_ahead, Role::Server, Some(limits)).await;
    loop {
        tokio::select! {
            asked = client.next() => match asked {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if behind.send(message).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                _ => return Ok(()),
            },
            said = behind.next() => match said {
                Some(Ok(Message::Text(text))) => {
                    if !pass_on(&face, &mut client, text.as_str()).await {
                        return Ok(());
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
                _ => return Ok(()),
            },
        }
    }
}

/// `false`: the connection ends here.
async fn pass_on(face: &Face, client: &mut WebSocketStream<TcpStream>, text: &str) -> bool {
    let message: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    // Replies to a subscription pass; what is pushed is what bells are made of.
    if message.get("method").is_none() {
        return client.send(Message::text(text)).await.is_ok();
    }
    let spoken = wire::speak(face.push(message).await, &Value::Null, true);
    tokio::time::sleep(spoken.late).await;
    match spoken.what {
        What::Close => false,
        What::Hang => true,
        What::Response { body, .. } if body == "null" => true,
        What::Response { body, cut, .. } => {
            let end = cut.map_or(body.len(), |cut| cut.min(body.len()));
            client.send(Message::text(String::from_utf8_lossy(&body[..end]).into_owned())).await.is_ok()
        }
    }
}
