//! Follows TON by asking public APIs for masterchain blocks and for the transactions of the accounts we look at, and
//! believes each of them no further than it must.
//!
//! Every transaction is fetched as the cell it was committed as, and linked into its account's chain: nobody can alter
//! one, leave one out in the middle or put one in. What is left to a liar is the end of a chain, and which masterchain
//! block committed what; a second operator is asked for both. Nothing leads by hashes from a masterchain block to an
//! account here, so every stretch is only listed, and a payment has the operators that said so of it alone. See
//! `docs/decisions/0043-two-words-for-the-end-of-a-chain.md`.

mod accounts;
mod ask;
mod backing;
mod by_account;
mod by_block;
mod chain;
mod identity;
mod memory;
mod people;
mod proof;
mod segment;
mod trouble;
mod turn;
mod verdict;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amn_core::block::{Address, Block, BlockRef, Evidence, Header, Height, Operator, TransferId, TxHash};
use amn_core::explained::Explained;
use amn_core::money::Amount;
use amn_core::source::{ChainSource, Head, Identity, Position, Segment, SourceError, Voucher, Watch, WatchVersion};
use amn_rpc::{Endpoint, Pool};

use crate::networks::TonNetwork;
use accounts::{Followed, Owners};
use ask::{Ask, Dialect};
pub use ask::{KINDS, TONAPI, TONCENTER_V2, TONCENTER_V3};
use memory::Memory;
pub use people::Newest;
use trouble::Trouble;
use verdict::Verdict;

/// Reads one TON network through a pool of endpoints. Cloning shares it.
#[derive(Debug, Clone)]
pub struct TonSource(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    network: Arc<TonNetwork>,
    memory: Memory,
    owners: Mutex<Owners>,
    /// Which of many accounts, or deposits, others are asked about next.
    turn: AtomicUsize,
    proving: AtomicUsize,
}

/// How the chain is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Each account's chain by itself, however many blocks there are.
    ByAccount,
    /// Every block whole, because of this.
    ByBlock(String),
}

/// What an endpoint said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    pub endpoint: String,
    /// The API it speaks, as its kind in the configuration.
    pub kind: String,
    /// Its newest masterchain block.
    pub head: Option<Height>,
}

impl TonSource {
    #[must_use]
    pub fn new(pool: Pool, network: TonNetwork) -> Self {
        Self(Arc::new(Shared {
            pool,
            network: Arc::new(network),
            memory: Memory::default(),
            owners: Mutex::default(),
            turn: AtomicUsize::new(0),
            proving: AtomicUsize::new(0),
        }))
    }

    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    #[must_use]
    pub fn network(&self) -> &TonNetwork {
        &self.0.network
    }

    /// How the chain was read last; before, how it will be while few are watched.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.memory.mode().unwrap_or_else(|| {
            if self.0.speaks(Dialect::ToncenterV3) { Mode::ByAccount } else { Mode::ByBlock(NO_INDEX.to_owned()) }
        })
    }

    /// What each endpoint last said of itself, in configured order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeFacts> {
        let facts = |endpoint: &Arc<Endpoint>| NodeFacts {
            endpoint: endpoint.name().to_owned(),
            kind: endpoint.kind().to_owned(),
            head: self.0.memory.known(endpoint).head.map(|row| row.at.height),
        };
        self.0.pool.endpoints().iter().map(facts).collect()
    }

    /// A transaction of any account by its hash, as whoever has it tells it; `None` where nobody does.
    pub async fn find(&self, tx: TxHash) -> Result<Option<Explained>, SourceError> {
        self.0.find(tx).await
    }
}

/// Why blocks are read whole, for people.
const NO_INDEX: &str = "no toncenter-v3 endpoint says where many accounts stand at once";

impl Shared {
    fn operators(&self) -> usize {
        self.pool.operators()
    }

    /// As many operators as anything may ask for.
    fn voices_asked(&self) -> usize {
        let policy = &self.network.facts.policy;
        let tiers = policy.tiers.iter().filter_map(|tier| tier.require.operators);
        let most = tiers.chain(policy.require.operators).max().unwrap_or(1).max(self.network.facts.rewind_operators);
        usize::try_from(most).unwrap_or(usize::MAX).min(self.operators())
    }

    /// Whether one operator's word was accepted: where there is no other, or nothing asks for one.
    fn one_is_enough(&self) -> bool {
        self.voices_asked() < 2
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        self.pool.endpoints().iter().any(|endpoint| Dialect::of(endpoint) == Some(dialect))
    }

    /// Whoever may be asked, best first.
    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        usable(self.pool.best())
    }

    /// The same without those that are known not to have got so far, as long as somebody has.
    fn endpoints_at(&self, height: Height) -> Vec<Arc<Endpoint>> {
        usable(self.pool.for_height(height.0))
    }

    /// One endpoint of each operator, best first: of one operator's, the one that says most in one request.
    fn voices(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.endpoints();
        let order: Vec<Operator> = endpoints.iter().map(|endpoint| endpoint.operator().clone()).collect();
        let place = |endpoint: &Arc<Endpoint>| order.iter().position(|of| of == endpoint.operator());
        endpoints.sort_by_key(|endpoint| (place(endpoint), eloquence(endpoint)));
        let mut seen = BTreeSet::new();
        endpoints.retain(|endpoint| seen.insert(endpoint.operator().clone()));
        endpoints
    }

    /// The same without one operator.
    fn others(&self, than: &Operator) -> Vec<Arc<Endpoint>> {
        let mut voices = self.voices();
        voices.retain(|endpoint| endpoint.operator() != than);
        voices
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followed(&self, watch: &Watch) -> Followed {
        self.owners().of(&self.network.registry, watch)
    }

    fn error(&self, verdict: Verdict) -> SourceError {
        verdict.error(self.pool.endpoints().len())
    }

    /// So many masterchain blocks' time.
    fn blocks_time(&self, blocks: u64) -> Duration {
        Duration::from_millis(self.network.facts.block_time_ms.saturating_mul(blocks))
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        let mut verdict = Verdict::default();
        for endpoint in self.endpoints_at(height) {
            // Not what it said before: whoever asks wants to know what stands there now.
            let rows = Ask { endpoint: &endpoint }.rows(height.back(1), height, None).await;
            match rows.as_deref() {
                Ok([below, row]) if row.at.height == height => {
                    self.memory.says(&endpoint, &[*below, *row]);
                    return Ok(memory::header(below, row));
                }
                Ok(_) => {
                    let what = format!("not both of the blocks {} and {height}", height.back(1));
                    verdict.add(&endpoint, Trouble::NotYet(what));
                }
                Err(trouble) => verdict.add(&endpoint, trouble.clone()),
            }
        }
        Err(self.error(verdict))
    }
}

/// Of one operator's endpoints, the one that says most comes first.
fn eloquence(endpoint: &Arc<Endpoint>) -> u8 {
    match Dialect::of(endpoint) {
        Some(Dialect::ToncenterV3) => 0,
        Some(Dialect::Tonapi) => 1,
        Some(Dialect::ToncenterV2) => 2,
        None => 3,
    }
}

/// Without those that are distrusted.
fn usable(mut endpoints: Vec<Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
    endpoints.retain(|endpoint| endpoint.distrusted().is_none());
    endpoints
}

impl ChainSource for TonSource {
    /// From the owners alone their wallets can be worked out.
    fn new_watch(&self, version: WatchVersion) -> Watch {
        Watch::with_addresses(version)
    }

    async fn probe(&self) -> Result<Identity, SourceError> {
        identity::probe(&self.0).await
    }

    async fn head(&self) -> Result<Head, SourceError> {
        identity::head(&self.0).await
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        self.0.header_at(height).await
    }

    /// Always listed: no block commits to what we read of it in a way that we check.
    async fn segment(
        &self,
        on: &Position,
        up_to: Height,
        _final_to: Option<Height>,
        watch: &Watch,
    ) -> Result<Segment, SourceError> {
        self.0.read_on(on, up_to, watch).await
    }

    async fn vouch(&self, at: &Header) -> Result<Vec<Voucher>, SourceError> {
        Ok(self.0.vouch(at).await)
    }

    async fn arbitrate(&self, contested: BlockRef) -> bool {
        self.0.arbitrate(contested).await
    }

    async fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError> {
        Ok(self.0.prove(deposits).await)
    }

    async fn reread(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        self.0.read_once_more(height, not_by, turn, watch).await
    }

    /// What an account held in a past block no public API shows.
    async fn balances(&self, _addresses: &[Address], _at: BlockRef) -> Result<Vec<Amount>, SourceError> {
        Err(SourceError::Unsupported("no node shows balances of a past block".to_owned()))
    }

    /// There is no such thing: whatever arrives is a transaction of the account it arrives at.
    async fn internal_transfers(&self, _addresses: &[Address], _at: BlockRef) -> Result<Block, SourceError> {
        Err(SourceError::Unsupported("whatever arrives is a transaction of its own".to_owned()))
    }
}
