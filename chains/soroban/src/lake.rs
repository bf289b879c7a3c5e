//! A data lake: every ledger of a network as files, on a server or in a folder (SEP-54). For history that the nodes
//! have thrown away.
//!
//! Law: a lake is believed no more than a node is. Its ledgers go through the same [`crate::evidence::verify`]; a
//! file that is not there is never an empty one; and a file that is not what its name says is refused, by name. A lake
//! has no head: it is asked for ledgers that are known to exist, and nobody waits at its newest file.

mod contents;
mod layout;
mod unpack;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amn_core::block::Operator;
use amn_core::source::SourceError;
use amn_rpc::{Endpoint, EndpointConfig, Health, Pool, PoolSettings, Probe, RpcError};
use bytes::Bytes;
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::ledger::{BYTES_MAX, Ledger, LedgerError};
use crate::networks::SorobanNetwork;
use contents::{Fault, Found};
pub(crate) use layout::{Ending, Layout, MANIFEST, Span};
use layout::{FIRST_LEDGER, Manifest};

/// The word for a lake among the kinds of endpoints.
pub const DATA_LAKE: &str = "data-lake";

/// Bytes of one file: 64 ledgers, packed, take 10 MB on the public network.
const FILE_BYTES_MAX: usize = 24 << 20;

/// Bytes of ledgers, unpacked, after which a read ends: a dozen ledgers of the public network, or a single one of the
/// largest that there may be.
const ENOUGH_BYTES: usize = BYTES_MAX;

/// Files on their way at once: a store answers in a tenth of a second, and one after another would be ten ledgers a
/// second.
const AHEAD: usize = 8;

/// The words that requests are counted under.
const MANIFEST_ROUTE: &str = "lake_manifest";
const FILE_ROUTE: &str = "lake_file";

/// Files unpacked and read at once, in this process: reading one may take more than a gigabyte where it is hostile.
static READING: Semaphore = Semaphore::const_new(1);

/// A data lake. Cloning shares it.
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

struct Shared {
    /// Of this one endpoint: limits, breaker, distrust and tape are those of every endpoint.
    pool: Pool,
    passphrase: String,
    layout: Mutex<Option<Layout>>,
    ending: Mutex<Ending>,
    /// Whether it had what it was asked for last: only then more than one file is asked for at once.
    serves: AtomicBool,
    /// The last file, where files hold several ledgers: the next ones are mostly in the same.
    last: Mutex<Option<(Span, Bytes)>>,
}

/// Why there is nothing to read.
enum Trouble {
    /// The lake does not have this file.
    Missing(String),
    Source(SourceError),
}

impl Lake {
    /// A lake at `https://…` or in a folder, `file:///…`. Nothing is asked of it yet.
    pub fn open(mut config: EndpointConfig, settings: PoolSettings, network: &SorobanNetwork) -> Result<Self, String> {
        if config.ws.is_some() {
            return Err(format!("endpoint {}: ws: a data lake has none", config.name));
        }
        DATA_LAKE.clone_into(&mut config.kind);
        config.body_max = config.body_max.min(FILE_BYTES_MAX);
        let pool = Pool::new_with(network.facts.id.clone(), vec![config], settings);
        let shared = Shared {
            pool: pool.map_err(|error| error.to_string())?,
            passphrase: network.passphrase.clone(),
            layout: Mutex::new(None),
            ending: Mutex::new(Ending::Zst),
            serves: AtomicBool::new(false),
            last: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn name(&self) -> &str {
        self.endpoint().name()
    }

    pub fn operator(&self) -> &Operator {
        self.endpoint().operator()
    }

    /// How it stands, as any endpoint does.
    pub fn health(&self) -> Health {
        self.endpoint().health()
    }

    /// Asks the lake what it holds. [`SourceError::Unsupported`]: it is of another network, or of a kind that this
    /// binary does not read.
    pub async fn check(&self) -> Result<(), SourceError> {
        self.welcome_back().await;
        self.read_manifest().await.map(drop)
    }

    /// Something that it said was shown to be untrue: it is left alone for a while.
    pub fn distrust(&self, reason: impl Into<String>) {
        self.endpoint().distrust(reason);
    }

    /// The ledgers from `from` on, one after another without a gap: at most so many, none after `up_to`, and at least
    /// one. Fewer where the lake or the bound on memory ends them; the next question says why, where it was the lake.
    ///
    /// [`SourceError::NotYet`]: it does not have the first of them (a hole, or it ends before).
    pub async fn ledgers(&self, from: u32, up_to: u32, at_most: u32) -> Result<Vec<Ledger>, SourceError> {
        let from = from.max(FIRST_LEDGER);
        let wanted = from..=up_to.max(from).min(from.saturating_add(at_most.saturating_sub(1)));
        self.welcome_back().await;
        let known = *lock(&self.shared.layout);
        let layout = match known {
            Some(layout) => layout,
            None => self.read_manifest().await?,
        };
        let missing = match self.read(layout, &wanted).await {
            Ok(ledgers) => return Ok(ledgers),
            Err(Trouble::Source(error)) => return Err(error),
            Err(Trouble::Missing(file)) => file,
        };
        // It may have been laid out anew since we last looked.
        let now = self.read_manifest().await?;
        if now != layout {
            match self.read(now, &wanted).await {
                Ok(ledgers) => return Ok(ledgers),
                Err(Trouble::Source(error)) => return Err(error),
                Err(Trouble::Missing(_)) => {}
            }
        }
        Err(self.why_missing(now, from, &missing).await)
    }

    /// The ledgers wanted, as far as files follow one another.
    async fn read(&self, layout: Layout, wanted: &RangeInclusive<u32>) -> Result<Vec<Ledger>, Trouble> {
        let mut spans = layout.spans(*wanted.start(), *wanted.end());
        let ahead = if self.shared.serves.load(Ordering::Relaxed) { AHEAD } else { 1 };
        let mut coming = FuturesOrdered::new();
        let (mut all, mut bytes) = (Vec::new(), 0_usize);
        loop {
            while coming.len() < ahead {
                let Some(span) = spans.next() else { break };
                coming.push_back(self.fetch(layout, span));
            }
            let Some((span, fetched)) = coming.next().await else { break };
            let enough = ENOUGH_BYTES.saturating_sub(bytes);
            let found = match fetched {
                Ok(packed) => self.unpack(packed, span, wanted.clone(), enough).await,
                Err(trouble) => Err(trouble),
            };
            let found = match found {
                Ok(found) => found,
                Err(trouble) if all.is_empty() => {
                    self.shared.serves.store(false, Ordering::Relaxed);
                    return Err(trouble);
                }
                // The next question begins here, and hears of it.
                Err(_) => break,
            };
            self.shared.serves.store(true, Ordering::Relaxed);
            all.extend(found.ledgers);
            bytes = bytes.saturating_add(found.bytes);
            if bytes >= ENOUGH_BYTES {
                break;
            }
        }
        Ok(all)
    }

    async fn fetch(&self, layout: Layout, span: Span) -> (Span, Result<Bytes, Trouble>) {
        let kept = lock(&self.shared.last).clone();
        if let Some((_, bytes)) = kept.filter(|(last, _)| *last == span) {
            return (span, Ok(bytes));
        }
        let ending = *lock(&self.shared.ending);
        let names = layout.names(span, ending);
        for name in &names {
            let path: Vec<&str> = name.iter().map(String::as_str).collect();
            match self.endpoint().file(FILE_ROUTE, &path).await {
                Ok(bytes) => {
                    *lock(&self.shared.ending) = name.last().map_or(ending, |name| Ending::of(name));
                    if layout.per_batch().get() > 1 {
                        *lock(&self.shared.last) = Some((span, bytes.clone()));
                    }
                    return (span, Ok(bytes));
                }
                Err(RpcError::NotYet(_)) => {}
                Err(error) => return (span, Err(Trouble::Source(self.meaning(&error)))),
            }
        }
        let first = names.first().map(|name| name.join("/")).unwrap_or_default();
        (span, Err(Trouble::Missing(first)))
    }

    /// Reads a file beside the tasks that must answer soon.
    async fn unpack(
        &self,
        packed: Bytes,
        span: Span,
        wanted: RangeInclusive<u32>,
        enough: usize,
    ) -> Result<Found, Trouble> {
        // A closed semaphore would be an error; this one is never closed.
        let _seat = READING.acquire().await;
        let read = spawn_blocking(move || contents::ledgers(&packed, span, &wanted, enough)).await;
        let fault = match read {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(fault)) => fault,
            Err(stopped) => return Err(Trouble::Source(self.untrue(span, &stopped.to_string()))),
        };
        *lock(&self.shared.last) = None;
        let Span { first, .. } = span;
        Err(Trouble::Source(match fault {
            Fault::Ledger(error @ LedgerError::Protocol { .. }) => {
                SourceError::Unsupported(format!("data lake {}: {error}", self.name()))
            }
            // Garbage, or newer than this binary: that the lake has the file does not tell which.
            Fault::Ledger(error @ LedgerError::Undecodable(_)) => {
                let what = format!("data lake {}, the file of ledger {first}: {error}", self.name());
                SourceError::Malformed(what)
            }
            fault => self.untrue(span, &fault.to_string()),
        }))
    }

    /// A file that is not what it should be. Whoever keeps it is not believed for a while.
    fn untrue(&self, span: Span, what: &str) -> SourceError {
        let what = format!("the file of ledger {}: {what}", span.first);
        self.distrust(what.clone());
        SourceError::Malformed(format!("data lake {}, {what}", self.name()))
    }

    /// Tells a hole from an end: what is missing, and whether there is anything after it.
    async fn why_missing(&self, layout: Layout, from: u32, file: &str) -> SourceError {
        let name = self.name();
        let beside = layout.span(from).last.checked_add(1).map(|next| layout.span(next));
        for span in beside.into_iter().chain(layout.next_folder(from)) {
            match self.fetch(layout, span).await.1 {
                Ok(_) => {
                    return SourceError::NotYet(format!(
                        "data lake {name} has a hole: no ledger {from} ({file}), and ledger {} is there",
                        span.first
                    ));
                }
                Err(Trouble::Missing(_)) => {}
                Err(Trouble::Source(error)) => return error,
            }
        }
        SourceError::NotYet(format!("data lake {name} has no ledger {from} ({file}): it ends before, or stands still"))
    }

    /// Lets it say who it is after it failed or was distrusted.
    async fn welcome_back(&self) {
        self.shared.pool.welcome_back(|probe| identify(self.shared.clone(), probe).boxed()).await;
    }

    async fn read_manifest(&self) -> Result<Layout, SourceError> {
        let name = self.name();
        let answer = match self.endpoint().get(MANIFEST_ROUTE, &[MANIFEST], &[]).await {
            Ok(answer) => answer,
            Err(RpcError::NotYet(_)) => {
                let what =
                    format!("data lake {name} has no {MANIFEST}, which says what it holds: is its address right?");
                return Err(SourceError::Unavailable(what));
            }
            Err(error) => return Err(self.meaning(&error)),
        };
        let manifest: Manifest =
            answer.parse().map_err(|error| SourceError::Malformed(format!("data lake {name}, {MANIFEST}: {error}")))?;
        let layout = manifest.layout(&self.shared.passphrase).map_err(|error| {
            self.distrust(error.to_string());
            SourceError::Unsupported(format!("data lake {name}: {error}"))
        })?;
        self.shared.laid_out(layout);
        Ok(layout)
    }

    fn meaning(&self, error: &RpcError) -> SourceError {
        let name = self.name();
        match error {
            RpcError::Malformed(_) => SourceError::Malformed(format!("data lake {name}: {error}")),
            // Stores that show nobody what they have say this of what they do not have.
            RpcError::Credentials(_) => SourceError::Unavailable(format!(
                "data lake {name}: {error} (or it is not there: some stores do not tell the one from the other)"
            )),
            _ => SourceError::Unavailable(format!("data lake {name}: {error}")),
        }
    }

    fn endpoint(&self) -> &Arc<Endpoint> {
        // The pool was made of exactly one.
        &self.shared.pool.endpoints()[0]
    }
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lake").field(self.endpoint()).finish()
    }
}

impl Shared {
    fn laid_out(&self, layout: Layout) {
        let before = lock(&self.layout).replace(layout);
        if before != Some(layout) {
            *lock(&self.last) = None;
        }
    }
}

async fn identify(shared: Arc<Shared>, mut probe: Probe) {
    let Ok(answer) = probe.get(MANIFEST_ROUTE, &[MANIFEST], &[]).await else { return };
    let Ok(manifest) = answer.parse::<Manifest>() else { return };
    match manifest.layout(&shared.passphrase) {
        Ok(layout) => {
            shared.laid_out(layout);
            probe.right();
        }
        Err(error) => probe.wrong(error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
