//! Makes data lakes of invented ledgers, and keeps them on a shelf that is reached over HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::history::History;
use crate::lake::{Ending, Layout, MANIFEST, Span};

/// How many ledgers a file has, and how many files a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub ledgers_per_batch: u32,
    pub batches_per_partition: u32,
}

impl Shape {
    /// That of the public lakes.
    pub const PUBLIC: Self = Self { ledgers_per_batch: 1, batches_per_partition: 64_000 };

    /// The file that holds this ledger, below the lake's folder.
    ///
    /// # Panics
    /// Where no lake has this shape.
    #[must_use]
    pub fn path(self, sequence: u32) -> PathBuf {
        let layout = self.layout();
        let names = layout.names(layout.span(sequence), Ending::Zst);
        names.first().into_iter().flatten().collect()
    }

    fn layout(self) -> Layout {
        Layout::new(self.ledgers_per_batch, self.batches_per_partition).expect("a shape that a lake can have")
    }
}

/// Ledgers as files hold them, by sequence.
pub type Ledgers = BTreeMap<u32, Vec<u8>>;

/// Every ledger of a history.
#[must_use]
pub fn ledgers_of(history: &History) -> Ledgers {
    history.ledgers.iter().map(|(sequence, made)| (*sequence, made.bytes())).collect()
}

/// Writes a lake into a folder: its manifest, and every file that these ledgers fill. Ledgers at either end that fill
/// none are left out, as the writers of lakes do.
pub fn write(folder: &Path, passphrase: &str, ledgers: &Ledgers, shape: Shape) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    write_manifest(folder, passphrase, shape)?;
    let layout = shape.layout();
    let mut files: BTreeMap<u32, (Span, Ledgers)> = BTreeMap::new();
    for (sequence, bytes) in ledgers {
        let span = layout.span(*sequence);
        files.entry(span.first).or_insert_with(|| (span, Ledgers::new())).1.insert(*sequence, bytes.clone());
    }
    for (span, ledgers) in files.into_values() {
        let ends = ledgers.keys().next().zip(ledgers.keys().next_back());
        if ends.is_some_and(|(first, last)| span.holds(*first, *last)) {
            put(folder, shape, span.last, &pack(&ledgers))?;
        }
    }
    Ok(())
}

/// Writes what a lake says of itself.
pub fn write_manifest(folder: &Path, passphrase: &str, shape: Shape) -> io::Result<()> {
    let Shape { ledgers_per_batch, batches_per_partition } = shape;
    let manifest = format!(
        "{{\"networkPassphrase\":\"{passphrase}\",\"version\":\"1.0\",\"compression\":\"zstd\",\
         \"ledgersPerBatch\":{ledgers_per_batch},\"batchesPerPartition\":{batches_per_partition}}}"
    );
    std::fs::write(folder.join(MANIFEST), manifest)
}

/// Puts these bytes where the file of a ledger belongs.
pub fn put(folder: &Path, shape: Shape, sequence: u32, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(shape.path(sequence));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes)
}

/// A file of these ledgers, which says of itself what they say.
#[must_use]
pub fn pack(ledgers: &Ledgers) -> Vec<u8> {
    compressed(&batch(ledgers))
}

/// The same, not yet compressed.
#[must_use]
pub fn batch(ledgers: &Ledgers) -> Vec<u8> {
    let end = |sequence: Option<&u32>| sequence.copied().unwrap_or_default();
    let count = u32::try_from(ledgers.len()).unwrap_or(u32::MAX);
    let head = [end(ledgers.keys().next()), end(ledgers.keys().next_back()), count];
    let head: Vec<u8> = head.into_iter().flat_map(u32::to_be_bytes).collect();
    ledgers.values().fold(head, |mut bytes, ledger| {
        bytes.extend(ledger);
        bytes
    })
}

/// Bytes as a lake compresses them.
#[must_use]
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// What a shelf says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub status: u16,
    /// Further lines of the head, each with its end.
    pub head: &'static str,
    pub body: Vec<u8>,
}

/// May replace an answer: the path, the answer without it.
pub type Script = Arc<dyn Fn(&str, Said) -> Said + Send + Sync>;

/// A folder of files behind an address on 127.0.0.1. It stops when it is dropped.
pub struct Shelf {
    address: SocketAddr,
    served: Served,
    /// Aborted with the shelf.
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Served {
    folder: PathBuf,
    script: Arc<Mutex<Option<Script>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Shelf {
    /// Serves the files of a folder, as they are at the moment of each request.
    pub async fn serve(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let served = Served { folder: folder.into(), script: Arc::default(), asked: Arc::default() };
        let mut tasks = JoinSet::new();
        let serving = served.clone();
        tasks.spawn(async move {
            // Connections live in the set, so that they end with the shelf.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        connections.spawn(connection(stream, serving.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, served, _tasks: tasks })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this script has the last word; `None`: nobody has.
    pub fn script(&self, script: Option<Script>) {
        *lock(&self.served.script) = script;
    }

    /// The paths that were asked for since this was last called.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.served.asked))
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Served {
    fn answer(&self, path: &str) -> Said {
        lock(&self.asked).push(path.to_owned());
        // Tests ask for nothing else; the lake's own folder is guarded where it is read.
        let honest = match std::fs::read(self.folder.join(path.trim_start_matches('/'))) {
            Ok(body) => Said { status: 200, head: "", body },
            Err(_) => Said { status: 404, head: "", body: b"<Error><Code>NoSuchKey</Code></Error>".to_vec() },
        };
        let script = lock(&self.script).clone();
        script.map_or(honest.clone(), |script| script(path, honest))
    }
}

/// Bytes of a line of a request's head; ours are short.
const LINE_MAX: u64 = 16 << 10;

/// Answers the requests of one connection until it closes.
async fn connection(stream: TcpStream, served: Served) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        let mut path = None;
        loop {
            let mut line = String::new();
            match (&mut stream).take(LINE_MAX).read_line(&mut line).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            if line.trim().is_empty() {
                break;
            }
            path = path.or_else(|| line.split(' ').nth(1).map(ToOwned::to_owned));
        }
        let said = served.answer(&path.unwrap_or_default());
        let (status, length) = (said.status, said.body.len());
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{}\r\n", said.head);
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&said.body).await.is_err() {
            return;
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
