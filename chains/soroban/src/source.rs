//! Follows a Stellar network by asking nodes for whole ledgers, and believes each of them no further than it must.
//!
//! Every ledger is proven from its own header and stands on the one before ([`page`]). That the header is the
//! network's is shown by a second operator that has it too, or by validators that built on it ([`backing`]): where
//! neither does, nothing moves, because a closed ledger is final and a false one could not be left again. Whoever
//! contradicts itself or a proven fact is distrusted, and said to be, with the reason.

mod ask;
mod attested;
mod backing;
mod history;
mod identity;
mod memory;
mod page;
mod token;
mod trouble;
mod wire;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use amn_core::block::{Address, Block, BlockRef, Evidence, Header, Height, Operator, TransferId};
use amn_core::money::Amount;
use amn_core::source::{ChainSource, Head, Identity, Position, Segment, SourceError, Voucher, Watch};
use amn_rpc::config::JSON_RPC;
use amn_rpc::{Endpoint, Pool};

use crate::evidence::Attestations;
use crate::lake::Lake;
use crate::networks::SorobanNetwork;
use ask::{Ask, number};
use memory::Memory;
use page::{Shown, Stock, Wanted};
use trouble::{Garbled, Trouble, Verdict};

/// Ledgers asked for at a time: providers time out above ten, and those of the public network fill 10 MB so.
const PAGE_MAX: u32 = 8;

/// Ledgers that nodes are asked about at a time for better evidence: each may be a page of megabytes.
const ASKED_AT_ONCE: usize = 4;

/// Bytes of one answer that suffice: the largest ledger that is read, in base64, with room for what stands beside it.
/// More are fewer ledgers to ask for at a time.
pub const BODY_MAX: usize = 24 << 20;

/// Reads one Stellar network through a pool of endpoints. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SorobanSource(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    network: Arc<SorobanNetwork>,
    /// Where history lies that nodes no longer have.
    lakes: OnceLock<Vec<Lake>>,
    memory: Memory,
    /// By the ledgers that were read last.
    attestations: Mutex<Attestations>,
    counted: attested::Counted,
    /// Which of many deposits nodes are asked about next.
    turn: AtomicUsize,
}

/// What an endpoint said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    pub endpoint: String,
    /// The protocol its network speaks.
    pub protocol: Option<u32>,
    pub oldest_ledger: Option<u32>,
    pub latest_ledger: Option<u32>,
    /// How many ledgers it keeps.
    pub retention: Option<u32>,
}

impl SorobanSource {
    #[must_use]
    pub fn new(pool: Pool, network: SorobanNetwork) -> Self {
        Self(Arc::new(Shared {
            pool,
            network: Arc::new(network),
            lakes: OnceLock::new(),
            memory: Memory::default(),
            attestations: Mutex::default(),
            counted: attested::Counted::default(),
            turn: AtomicUsize::new(0),
        }))
    }

    /// The same with data lakes to read from, in the order in which they are to be asked. They are given once.
    #[must_use]
    pub fn with_lakes(self, lakes: Vec<Lake>) -> Self {
        self.0.pool.show_beside(lakes.iter().map(|lake| lake.endpoint().clone()).collect());
        self.0.lakes.get_or_init(|| lakes);
        self
    }

    #[must_use]
    pub fn lakes(&self) -> &[Lake] {
        self.0.lakes()
    }

    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    #[must_use]
    pub fn network(&self) -> &SorobanNetwork {
        &self.0.network
    }

    /// What each endpoint last said of itself, in configured order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeFacts> {
        let facts = |endpoint: &Arc<Endpoint>| {
            let known = self.0.memory.known(endpoint);
            NodeFacts {
                endpoint: endpoint.name().to_owned(),
                protocol: known.protocol,
                oldest_ledger: known.range.map(|range| range.oldest),
                latest_ledger: known.range.map(|range| range.latest),
                retention: known.range.map(|range| range.window).filter(|window| *window > 0),
            }
        };
        self.0.nodes().map(facts).collect()
    }

    /// Which organisations built on a ledger, by name: one that was read lately, or that more evidence was asked for.
    #[must_use]
    pub fn attested_by(&self, ledger: BlockRef) -> BTreeSet<Arc<str>> {
        let mut who = self.0.attestations().who(ledger);
        who.extend(self.0.counted.who(ledger));
        who
    }
}

impl Shared {
    /// The endpoints that are RPC nodes, in configured order.
    fn nodes(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.pool.endpoints().iter().filter(|endpoint| endpoint.kind() == JSON_RPC)
    }

    fn lakes(&self) -> &[Lake] {
        self.lakes.get().map_or(&[], Vec::as_slice)
    }

    fn operators(&self) -> usize {
        self.nodes().map(|endpoint| endpoint.operator()).collect::<BTreeSet<_>>().len()
    }

    /// Whether one operator's word was accepted: where there is no other, or nothing asks for one.
    fn one_is_enough(&self) -> bool {
        let facts = &self.network.facts;
        self.operators() < 2 || facts.rewind_operators.max(facts.policy.require.operators.unwrap_or(1)) < 2
    }

    /// Whoever may be asked, best first.
    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        usable(self.pool.best())
    }

    /// The same without those that are known not to have got so far, as long as somebody has.
    fn endpoints_at(&self, height: Height) -> Vec<Arc<Endpoint>> {
        usable(self.pool.for_height(height.0))
    }

    fn ask<'a>(&'a self, endpoint: &'a Arc<Endpoint>) -> Ask<'a> {
        Ask { endpoint, memory: &self.memory }
    }

    fn attestations(&self) -> MutexGuard<'_, Attestations> {
        self.attestations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, verdict: Verdict, at: Height) -> SourceError {
        let garblers = verdict.garblers();
        let garbled = if garblers.is_empty() {
            Garbled::AmongOthers
        } else if self.operators() < 2 {
            Garbled::Alone(self.memory.garbled(at))
        } else {
            self.newer_beside(&garblers).map_or(Garbled::AmongOthers, Garbled::Announced)
        };
        verdict.error(self.nodes().count() + self.lakes().len(), garbled)
    }

    /// Ledgers on `on` as one endpoint has them, proven.
    async fn stretch(&self, ask: &Ask<'_>, on: BlockRef, up_to: Height, watch: &Watch) -> Result<Shown, Trouble> {
        let first = number(on.height.next())?;
        let page = self.memory.page(ask.endpoint);
        let last = number(up_to)?.min(first.saturating_add(page - 1));
        let latest = ask.range_to(last).await?.latest;
        if latest < first {
            return Err(Trouble::NotYet(format!("its newest ledger is {latest}")));
        }
        let mut last = last.min(latest);
        // The newest was given when it was asked for.
        let name = ask.endpoint.name();
        let head = self.memory.head().filter(|head| head.by == name && head.header.at.height.0 == u64::from(last));
        let mut pages = Vec::new();
        if let Some(answer) = head.and_then(|head| head.answer) {
            last -= 1;
            pages.push(answer);
        }
        if last >= first {
            let mut count = last - first + 1;
            let answer = loop {
                match ask.page(first, count).await {
                    Err(Trouble::TooMuch(why)) => {
                        self.memory.shrink(ask.endpoint, count);
                        if count == 1 {
                            return Err(Trouble::Failed(format!("one ledger is too much for it: {why}")));
                        }
                        count /= 2;
                    }
                    // Another may be quicker; it is asked for less the next time.
                    Err(Trouble::TimedOut(why)) => {
                        self.memory.shrink(ask.endpoint, count);
                        return Err(Trouble::TimedOut(why));
                    }
                    answer => break answer?,
                }
            };
            self.memory.grow(ask.endpoint, count);
            pages.insert(0, answer);
        }
        let wanted = Wanted {
            network: self.network.clone(),
            watch: watch.clone(),
            on: Some(on),
            first,
            at_most: PAGE_MAX as usize,
        };
        match page::read(wanted, Stock::Pages(pages)).await {
            Ok(shown) => {
                self.memory.says(ask.endpoint, shown.steps.iter().map(|(header, _)| *header));
                if let Some(tip) = shown.tip() {
                    ask.endpoint.report_block(tip.at.height.0);
                }
                Ok(shown)
            }
            // An empty page, or one that begins later, is no ledger; whether it has it, it says in numbers.
            Err(Trouble::Lacks(what)) => {
                self.memory.drop_head();
                Err(ask.why_not(first, what).await)
            }
            Err(trouble) => {
                self.memory.drop_head();
                Err(trouble)
            }
        }
    }

    /// What was read and is backed: remembered for attestations, and handed on.
    fn segment(
        &self,
        on: BlockRef,
        mut shown: Shown,
        backed: backing::Backed,
        by: &Operator,
        watch: &Watch,
    ) -> Option<Segment> {
        shown.blocks.truncate(backed.count);
        shown.steps.truncate(backed.count);
        let mut attestations = self.attestations();
        for (header, organisation) in shown.steps {
            attestations.add(&header, organisation);
        }
        drop(attestations);
        let mut operators = backed.operators;
        operators.insert(by.clone());
        let tip = shown.blocks.last()?.header;
        Some(Segment {
            parent: on,
            blocks: shown.blocks,
            tip,
            coverage: amn_core::source::Coverage::Linked,
            watched: watch.version,
            operators,
            read_by: Some(by.clone()),
            checkpoint: Vec::new(),
        })
    }

    async fn read_on(&self, on: BlockRef, up_to: Height, watch: &Watch) -> Result<Segment, SourceError> {
        self.memory.follow();
        let next = on.height.next();
        let mut verdict = Verdict::default();
        let lakes_first = self.prefers_lakes(on);
        if lakes_first && let Some(segment) = self.read_on_from_lakes(on, up_to, watch, &mut verdict).await {
            return Ok(segment);
        }
        // Whoever has the first of what is asked for can say whether it stands on ours.
        for endpoint in self.endpoints_at(up_to.min(next)) {
            let read = async {
                let shown = self.stretch(&self.ask(&endpoint), on, up_to, watch).await?;
                let backed = self.backed(&endpoint, on, &shown).await?;
                Ok((shown, backed))
            };
            match Box::pin(read).await {
                Ok((shown, backed)) => {
                    let alone = backed.alone;
                    if let Some(segment) = self.segment(on, shown, backed, endpoint.operator(), watch) {
                        if !alone {
                            settle_accounts(&verdict, &segment);
                        }
                        return Ok(segment);
                    }
                }
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        if !lakes_first
            && verdict.lacks_history()
            && let Some(segment) = self.read_on_from_lakes(on, up_to, watch, &mut verdict).await
        {
            return Ok(segment);
        }
        Err(self.error(verdict, next))
    }

    /// One ledger, whole and proven, as one endpoint has it, whatever it stands on.
    async fn whole(&self, ask: &Ask<'_>, height: Height, count: u32, watch: &Watch) -> Result<Shown, Trouble> {
        let first = number(height)?;
        let latest = ask.range_to(first.saturating_add(count - 1)).await?.latest;
        if latest < first {
            return Err(Trouble::NotYet(format!("its newest ledger is {latest}")));
        }
        let count = count.min(latest - first + 1);
        let answer = ask.page(first, count).await?;
        let wanted =
            Wanted { network: self.network.clone(), watch: watch.clone(), on: None, first, at_most: count as usize };
        match page::read(wanted, Stock::Pages(vec![answer])).await {
            Err(Trouble::Lacks(what)) => Err(ask.why_not(first, what).await),
            shown => {
                let shown = shown?;
                self.memory.says(ask.endpoint, shown.steps.iter().map(|(header, _)| *header));
                Ok(shown)
            }
        }
    }

    async fn read_once_more(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        let mut endpoints = self.endpoints();
        let first = usize::try_from(turn).unwrap_or_default().checked_rem(endpoints.len()).unwrap_or_default();
        endpoints.rotate_left(first);
        // Whoever it was read from comes last: better the same one again than nobody, the proof is its own.
        endpoints.sort_by_key(|endpoint| not_by == Some(endpoint.operator()));
        let mut verdict = Verdict::default();
        for endpoint in endpoints {
            match self.whole(&self.ask(&endpoint), height, 1, watch).await {
                Ok(shown) => {
                    let Some(mut block) = shown.blocks.into_iter().next() else { continue };
                    block.evidence.operators = BTreeSet::from([endpoint.operator().clone()]);
                    block.evidence.attestations = Some(self.attestations().of(block.header.at));
                    return Ok(block);
                }
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        if verdict.lacks_history()
            && let Some((shown, lake)) = self.one_from_lakes(height, watch, &mut verdict).await
            && let Some(mut block) = shown.blocks.into_iter().next()
        {
            block.evidence.operators = BTreeSet::from([lake.operator().clone()]);
            block.evidence.attestations = Some(self.attestations().of(block.header.at));
            return Ok(block);
        }
        Err(self.error(verdict, height))
    }
}

/// Somebody gave what stands behind more than one: whoever could not, or gave another chain, is named.
fn settle_accounts(verdict: &Verdict, by: &Segment) {
    let (first, on) = (by.parent.height.next(), by.parent.hash);
    let whose = || by.operators.iter().map(Operator::as_str).collect::<Vec<_>>().join(", ");
    for endpoint in &verdict.forkers {
        endpoint.distrust(format!("its ledger {first} does not stand on {on}, as that of {} does", whose()));
    }
    for (endpoint, why) in &verdict.unread {
        endpoint.distrust(format!("{why}; {} gave a ledger {first} that reads", whose()));
    }
}

/// Without those that are distrusted, and those that are no RPC nodes.
fn usable(mut endpoints: Vec<Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
    endpoints.retain(|endpoint| endpoint.distrusted().is_none() && endpoint.kind() == JSON_RPC);
    endpoints
}

impl ChainSource for SorobanSource {
    async fn probe(&self) -> Result<Identity, SourceError> {
        identity::probe(&self.0).await
    }

    async fn head(&self) -> Result<Head, SourceError> {
        identity::head(&self.0).await
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        let mut verdict = Verdict::default();
        for endpoint in self.0.endpoints_at(height) {
            match self.0.ask(&endpoint).header_once(height).await {
                Ok(header) => return Ok(header),
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        if verdict.lacks_history()
            && let Some(header) = self.0.header_from_lakes(height, &mut verdict).await
        {
            return Ok(header);
        }
        Err(self.0.error(verdict, height))
    }

    /// Always block by block: a ledger is read whole or not at all.
    async fn segment(
        &self,
        on: &Position,
        up_to: Height,
        _final_to: Option<Height>,
        watch: &Watch,
    ) -> Result<Segment, SourceError> {
        self.0.read_on(on.tip, up_to, watch).await
    }

    async fn vouch(&self, at: &Header) -> Result<Vec<Voucher>, SourceError> {
        Ok(identity::vouch(&self.0, at).await)
    }

    async fn arbitrate(&self, contested: BlockRef) -> bool {
        self.0.arbitrate(contested).await
    }

    async fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError> {
        let blocks: BTreeSet<BlockRef> = deposits.iter().map(|(_, block)| *block).collect();
        let blocks: Vec<BlockRef> = blocks.into_iter().collect();
        // What is remembered is told of all, and nodes are asked about some of them by turns.
        let turn =
            self.0.turn.fetch_add(ASKED_AT_ONCE, Ordering::Relaxed).checked_rem(blocks.len()).unwrap_or_default();
        let mut proven = Vec::new();
        for (place, block) in blocks.iter().enumerate() {
            let ask = (place + blocks.len() - turn) % blocks.len() < ASKED_AT_ONCE;
            let evidence = self.0.evidence_of(*block, ask).await;
            let of_block = deposits.iter().filter(|(_, at)| at == block);
            proven.extend(of_block.map(|(id, at)| (*id, *at, evidence.clone())));
        }
        Ok(proven)
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

    /// What an account held in a past ledger no node can show, and no ledger commits to it in a way we can check.
    async fn balances(&self, _addresses: &[Address], _at: BlockRef) -> Result<Vec<Amount>, SourceError> {
        Err(SourceError::Unsupported("no node shows balances of a past ledger".to_owned()))
    }

    /// There is no such thing: whatever moves inside a call is an event that its result commits to.
    async fn internal_transfers(&self, _addresses: &[Address], _at: BlockRef) -> Result<Block, SourceError> {
        Err(SourceError::Unsupported("whatever moves inside a call has an event of its own".to_owned()))
    }
}
