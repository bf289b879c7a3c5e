//! Stands before a receiver and hangs up now and then: before the answer, when the receiver has heard it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Every so many answers one is lost.
const LOST_EVERY: usize = 7;

/// The URL that leads to this one through the relay.
pub fn before(url: &str) -> String {
    let at = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let ours = listener.local_addr().unwrap().to_string();
    let through = url.replace(&at, &ours);
    tokio::spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        let answers = Arc::new(AtomicUsize::new(0));
        while let Ok((client, _)) = listener.accept().await {
            let (at, answers) = (at.clone(), Arc::clone(&answers));
            tokio::spawn(async move {
                let _ = relay(client, &at, &answers).await;
            });
        }
    });
    through
}

async fn relay(client: TcpStream, at: &str, answers: &AtomicUsize) -> std::io::Result<()> {
    let (mut asks, mut hears) = client.into_split();
    let (mut answered, mut told) = TcpStream::connect(at).await?.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut asks, &mut told).await;
    });
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = answered.read(&mut bytes).await?;
        if read == 0 || answers.fetch_add(1, Ordering::Relaxed) % LOST_EVERY == LOST_EVERY - 1 {
            asking.abort();
            return Ok(());
        }
        hears.write_all(&bytes[..read]).await?;
    }
}
