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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amn_core::block::Operator;
use amn_rpc::{Endpoint, EndpointConfig, Health, Pool, PoolSettings, Probe, RpcError};
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::task::spawn_blocking;

use crate::ledger::{Ledger, LedgerError};
use crate::networks::SorobanNetwork;
pub(crate) use contents::{Fault, File};
pub(crate) use layout::{Ending, Layout, MANIFEST, Span};
use layout::{FIRST_LEDGER, Manifest};

/// The word for a lake among the kinds of endpoints.
pub const DATA_LAKE: &str = "data-lake";

/// Bytes of one file: 64 ledgers, packed, take 10 MB on the public network.
const FILE_BYTES_MAX: usize = 24 << 20;

/// Files on their way at once: a store answers in a tenth of a second, and one after another would be ten ledgers a
/// second.
const AHEAD: usize = 8;

/// The words that requests are counted under.
const MANIFEST_ROUTE: &str = "lake_manifest";
const FILE_ROUTE: &str = "lake_file";

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
    /// Whether nothing came of the last question.
    lacked: AtomicBool,
    /// The last file, where files hold several ledgers: the next ones are mostly in the same.
    last: Mutex<Option<File>>,
}

/// Why a lake gives no ledgers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LakeError {
    /// Ask another: it has a hole there, or ends before.
    #[error("{0}")]
    NotThere(String),
    /// Leave it alone for a while: nothing came of the question.
    #[error("{0}")]
    Failed(String),
    /// Correct the configuration: it is of another network, or of a kind that this binary does not read.
    #[error("{0}")]
    Foreign(String),
    /// Believe it no more: a file is not what its name says.
    #[error("{0}")]
    Untrue(String),
    /// Garbage, or newer than this binary: who else has the same tells which.
    #[error("{0}")]
    Unreadable(String),
}

impl Fault {
    /// Whether the bytes are what they should be, as far as this binary can tell.
    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Ledger { error: LedgerError::Undecodable(_) | LedgerError::Protocol { .. }, .. })
    }
}

/// What came of the search for a file.
type Fetched = Result<Option<File>, LakeError>;

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
            lacked: AtomicBool::new(false),
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

    /// Asks the lake what it holds. [`LakeError::Foreign`]: it is of another network, or of a kind that this binary
    /// does not read; it is distrusted then.
    pub async fn check(&self) -> Result<(), LakeError> {
        self.welcome_back().await;
        self.read_manifest().await.map(drop)
    }

    /// Something that it said was shown to be untrue: it is left alone for a while.
    pub fn distrust(&self, reason: impl Into<String>) {
        self.endpoint().distrust(reason);
    }

    /// The ledgers from `from` on, one after another without a gap: at most so many, none after `up_to`, and at least
    /// one. Fewer where the lake ends; the next question says why.
    ///
    /// They are what the files say, and not proven. A file that is not what its name says is told to nobody else
    /// here: see [`Self::distrust`].
    pub async fn ledgers(&self, from: u32, up_to: u32, at_most: u32) -> Result<Vec<Ledger>, LakeError> {
        let files = self.files(from, up_to, at_most).await?;
        let read = spawn_blocking(move || {
            let mut all = Vec::new();
            for file in files {
                file.ledgers(from, |ledger| {
                    let wanted = ledger.sequence() <= up_to && all.len() < at_most as usize;
                    if wanted {
                        all.push(ledger);
                    }
                    Ok::<bool, Fault>(wanted)
                })?;
            }
            Ok(all)
        });
        let read = read.await.map_err(|stopped| LakeError::Failed(stopped.to_string()))?;
        read.map_err(|fault: Fault| {
            let what = fault.to_string();
            if fault.is_unreadable() { LakeError::Unreadable(what) } else { LakeError::Untrue(what) }
        })
    }

    /// The files that hold these ledgers, as far as the lake has them: the first at least.
    pub(crate) async fn files(&self, from: u32, up_to: u32, at_most: u32) -> Result<Vec<File>, LakeError> {
        let from = from.max(FIRST_LEDGER);
        let up_to = up_to.max(from).min(from.saturating_add(at_most.saturating_sub(1)));
        self.welcome_back().await;
        if self.endpoint().distrusted().is_some() {
            *lock(&self.shared.last) = None;
        }
        let known = *lock(&self.shared.layout);
        let layout = match known {
            Some(layout) => layout,
            None => self.read_manifest().await?,
        };
        let mut files = self.fetch_all(layout, from, up_to).await?;
        if files.is_empty() {
            // It may have been laid out anew since we last looked.
            let now = self.read_manifest().await?;
            if now != layout {
                files = self.fetch_all(now, from, up_to).await?;
            }
            if files.is_empty() {
                return Err(self.why_missing(now, from).await);
            }
        }
        Ok(files)
    }

    /// What it gave was good.
    pub(crate) fn served(&self) {
        self.shared.lacked.store(false, Ordering::Relaxed);
    }

    /// What it gave led nowhere: it is not asked for what others have too until it has served again.
    pub(crate) fn disappointed(&self) {
        self.shared.lacked.store(true, Ordering::Relaxed);
    }

    /// Whether it is worth asking for what others have too: it did not lack what it was asked for last.
    pub(crate) fn is_promising(&self) -> bool {
        self.endpoint().distrusted().is_none() && !self.shared.lacked.load(Ordering::Relaxed)
    }

    /// The files of these ledgers, until one is missing.
    async fn fetch_all(&self, layout: Layout, from: u32, up_to: u32) -> Result<Vec<File>, LakeError> {
        let mut spans = layout.spans(from, up_to);
        let ahead = if self.shared.serves.load(Ordering::Relaxed) { AHEAD } else { 1 };
        let mut coming = FuturesOrdered::new();
        let (mut files, mut bytes) = (Vec::new(), 0_usize);
        while bytes < FILE_BYTES_MAX {
            while coming.len() < ahead {
                let Some(span) = spans.next() else { break };
                coming.push_back(self.fetch(layout, span));
            }
            let Some(fetched) = coming.next().await else { break };
            match fetched {
                Ok(Some(file)) => {
                    bytes = bytes.saturating_add(file.packed.len());
                    files.push(file);
                }
                Err(error) if files.is_empty() => {
                    self.shared.serves.store(false, Ordering::Relaxed);
                    return Err(error);
                }
                // The next question begins here, and hears of it.
                Ok(None) | Err(_) => break,
            }
        }
        self.shared.serves.store(!files.is_empty(), Ordering::Relaxed);
        Ok(files)
    }

    async fn fetch(&self, layout: Layout, place: Span) -> Fetched {
        let kept = lock(&self.shared.last).clone();
        if let Some(file) = kept.filter(|file| file.place == place) {
            return Ok(Some(file));
        }
        let ending = *lock(&self.shared.ending);
        for name in layout.names(place, ending) {
            let path: Vec<&str> = name.iter().map(String::as_str).collect();
            match self.endpoint().file(FILE_ROUTE, &path).await {
                Ok(packed) => {
                    *lock(&self.shared.ending) = name.last().map_or(ending, |name| Ending::of(name));
                    let file = File { place, packed };
                    if layout.per_batch().get() > 1 {
                        *lock(&self.shared.last) = Some(file.clone());
                    }
                    return Ok(Some(file));
                }
                Err(RpcError::NotYet(_)) => {}
                Err(error) => return Err(Self::failed(&error)),
            }
        }
        Ok(None)
    }

    /// Tells a hole from an end: what is missing, and whether there is anything after it.
    async fn why_missing(&self, layout: Layout, from: u32) -> LakeError {
        let place = layout.span(from);
        let file = layout.names(place, Ending::Zst).first().map(|name| name.join("/")).unwrap_or_default();
        let beside = place.last.checked_add(1).map(|next| layout.span(next));
        for after in beside.into_iter().chain(layout.next_folder(from)) {
            match self.fetch(layout, after).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let next = after.first;
                    return LakeError::NotThere(format!(
                        "it has a hole: no ledger {from} ({file}), and ledger {next} is there"
                    ));
                }
                Err(error) => return error,
            }
        }
        LakeError::NotThere(format!("it has no ledger {from} ({file}): it ends before, or stands still"))
    }

    /// Lets it say who it is after it failed or was distrusted.
    async fn welcome_back(&self) {
        self.shared.pool.welcome_back(|probe| identify(self.shared.clone(), probe).boxed()).await;
    }

    async fn read_manifest(&self) -> Result<Layout, LakeError> {
        let answer = match self.endpoint().get(MANIFEST_ROUTE, &[MANIFEST], &[]).await {
            Ok(answer) => answer,
            Err(RpcError::NotYet(_)) => {
                let what = format!("it has no {MANIFEST}, which says what it holds: is its address right?");
                return Err(LakeError::Failed(what));
            }
            Err(error) => return Err(LakeError::Failed(format!("{MANIFEST}: {}", Self::failed(&error)))),
        };
        let manifest: Manifest = answer.parse().map_err(|error| LakeError::Failed(format!("{MANIFEST}: {error}")))?;
        let layout = manifest.layout(&self.shared.passphrase).map_err(|error| {
            self.distrust(error.to_string());
            LakeError::Foreign(error.to_string())
        })?;
        self.shared.laid_out(layout);
        Ok(layout)
    }

    fn failed(error: &RpcError) -> LakeError {
        LakeError::Failed(match error {
            // Stores that show nobody what they have say this of what they do not have.
            RpcError::Credentials(_) => {
                format!("{error} (or it is not there: some stores do not tell the one from the other)")
            }
            _ => error.to_string(),
        })
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
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
