//! Follows a chain by asking nodes, and believes each of them no further than it must.
//!
//! Every question goes to the best endpoint and on to the next within the same call. Whoever
//! contradicts itself or a proven fact is distrusted, and said to be, with the reason. Near the tip
//! every header is read and linked ([`near`]); at or below `finalized`, ranges are ([`history`]).

mod ask;
mod explain;
mod history;
mod identity;
mod in_turn;
mod marks;
mod memory;
mod money;
mod names;
mod near;
mod quarrel;
mod range;
mod reread;
mod trouble;
mod witness;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use amn_core::block::{
    Address, Block, BlockRef, Evidence, Header, Height, Inclusion, Kind, Observation, Operator, TransferId,
};
use amn_core::money::Amount;
use amn_core::source::{ChainSource, Head, Identity, Position, Segment, SourceError, Voucher, Watch};
use amn_rpc::{Endpoint, Pool};

use crate::bloom::Wanted;
use crate::decode;
use crate::evidence;
use crate::networks::EvmNetwork;
use ask::{Ask, Read};
use marks::Marks;
use memory::{Progress, Recent};
use quarrel::Quarrel;
use range::Contracts;
use trouble::{Trouble, Verdict};
use witness::Told;

/// Below this distance from the finalized block a range costs more requests than single blocks.
const RANGE_WORTH_IT: u64 = 64;

/// Reads one EVM network through a pool of endpoints.
#[derive(Debug)]
pub struct EvmSource {
    pool: Pool,
    network: EvmNetwork,
    wanted: Wanted,
    contracts: Arc<Contracts>,
    /// How many blocks one question for logs spans at present.
    range_blocks: AtomicU64,
    /// The name of the endpoint that last told of a fork nobody else contradicted.
    leader: Mutex<Option<String>>,
    progress: Progress,
    recent: Recent,
    quarrel: Quarrel,
    marks: Marks,
}

impl EvmSource {
    #[must_use]
    pub fn new(pool: Pool, network: EvmNetwork) -> Self {
        Self {
            wanted: network.wanted(),
            contracts: Arc::new(Contracts::of(&network.registry)),
            range_blocks: AtomicU64::new(network.range_blocks.max(1)),
            leader: Mutex::default(),
            progress: Progress::default(),
            recent: Recent::default(),
            quarrel: Quarrel::default(),
            marks: Marks::default(),
            pool,
            network,
        }
    }

    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    #[must_use]
    pub const fn network(&self) -> &EvmNetwork {
        &self.network
    }

    /// Whoever may have a say: the usable endpoints, best first, without those that are distrusted.
    fn everybody(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.pool.best();
        endpoints.retain(|endpoint| endpoint.distrusted().is_none());
        endpoints
    }

    /// The endpoints to read from, best first, without those that others outvote. Whoever last told us
    /// of a fork leads, so that one walks back along the branch that was announced.
    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.in_order(self.everybody())
    }

    /// The same without those that are known not to have got so far, as long as somebody has.
    fn endpoints_at(&self, height: Height) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.pool.for_height(height.0);
        endpoints.retain(|endpoint| endpoint.distrusted().is_none());
        self.in_order(endpoints)
    }

    fn in_order(&self, mut endpoints: Vec<Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
        endpoints.retain(|endpoint| !self.quarrel.outvoted(endpoint.name()));
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        endpoints.sort_by_key(|endpoint| leader.as_deref() != Some(endpoint.name()));
        endpoints
    }

    fn lead(&self, endpoint: Option<&Endpoint>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) =
            endpoint.map(|endpoint| endpoint.name().to_owned());
    }

    fn ask<'a>(&self, endpoint: &'a Endpoint) -> Ask<'a> {
        Ask { endpoint, codec: self.network.codec }
    }

    /// The block as far as it concerns us; `None` where the endpoint no longer has its receipts. Its
    /// transactions are named as the endpoint names them, which no root of receipts commits to.
    async fn block(&self, ask: &Ask<'_>, read: &Read, watch: &Watch) -> Result<Option<Told>, Trouble> {
        let (codec, checked) = (self.network.codec, &read.header);
        let provable = codec.proves() && checked.recomputed;
        let mut block = Block {
            header: checked.header(),
            transfers: Vec::new(),
            takebacks: Vec::new(),
            contract_events: Vec::new(),
            observations: Vec::new(),
            evidence: Evidence {
                inclusion: if provable { Inclusion::Proven } else { Inclusion::Reported },
                operators: BTreeSet::from([ask.endpoint.operator().clone()]),
                attestations: None,
            },
        };
        if codec.proves() && !checked.recomputed {
            let detail = format!("header fields this binary does not know: {}", checked.unknown_fields.join(", "));
            block.observations.push(observation("header_unproven", detail));
        }
        let mut certain = checked.recomputed;
        if watch.any_native() {
            evidence::prove_transactions(codec, checked, &read.transactions)?;
            certain &= evidence::lists_all(checked, &read.transactions);
        }
        // Only a bloom under a recomputed hash shows that something is absent.
        let logs = !checked.recomputed || self.wanted.may_be_in(&checked.wire.logs_bloom, watch);
        let native = read.whole().any(|tx| decode::may_pay_native(watch, tx));
        if watch.is_empty() || !(logs || native) {
            return Ok(Some(Told { block, certain }));
        }
        let Some(receipts) = ask.receipts(read).await? else { return Ok(None) };
        let shown = evidence::prove(codec, checked, &read.transactions, &receipts)?;
        let reading = decode::block(&self.network.registry, watch, &read.transactions, &receipts);
        // Where the list of transactions cannot be proven, native money is reported, and with it the block.
        let native = reading.transfers.iter().any(|transfer| transfer.id.kind == Kind::Native);
        block.evidence.inclusion = shown.inclusion(native);
        if shown.receipts_differ {
            certain = false;
            let detail = "the receipts do not hash to the header's root; this chain is only observed".to_owned();
            block.observations.push(observation("receipts_unproven", detail));
        }
        block.transfers = reading.transfers;
        block.observations.extend(reading.observations);
        Ok(Some(Told { block, certain }))
    }
}

fn observation(kind: &str, detail: String) -> Observation {
    Observation { kind: kind.to_owned(), tx: None, to: None, detail }
}

impl ChainSource for EvmSource {
    async fn probe(&self) -> Result<Identity, SourceError> {
        identity::probe(self).await
    }

    async fn head(&self) -> Result<Head, SourceError> {
        identity::head(self).await
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        let mut verdict = Verdict::default();
        for endpoint in self.endpoints_at(height) {
            match self.ask(&endpoint).header(height).await {
                Ok(Some(checked)) => {
                    let header = checked.header();
                    if let Some(other) = self.recent.other_head(&endpoint, header.at) {
                        let (height, head, there) = (other.height, other.hash, header.at.hash);
                        endpoint.remark(&format!("its head {height} is {head}, and its block {height} is {there}"));
                    }
                    return Ok(header);
                }
                Ok(None) => verdict.add(&endpoint, Trouble::NotYet(format!("no block {height} yet"))),
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        Err(verdict.error())
    }

    async fn segment(
        &self,
        on: &Position,
        up_to: Height,
        final_to: Option<Height>,
        watch: &Watch,
    ) -> Result<Segment, SourceError> {
        let end_of_history = final_to
            .map(|height| height.min(up_to))
            .filter(|height| !watch.any_native() && height.above(on.tip.height) > RANGE_WORTH_IT);
        let (mut verdict, mut fork) = (Verdict::default(), None);
        // Whoever has the first of what is asked for can say whether it stands on ours.
        for endpoint in self.endpoints_at(up_to.min(on.tip.height.next())) {
            let ask = self.ask(&endpoint);
            let read = match end_of_history {
                Some(end) => match self.history(&ask, on.tip, end, watch).await {
                    // A node without eth_getLogs still has blocks.
                    Err(Trouble::Unsupported(_)) => self.near(&ask, on.tip, up_to, watch).await,
                    read => read,
                },
                None => self.near(&ask, on.tip, up_to, watch).await,
            };
            match read {
                Ok(segment) => return Ok(segment),
                Err(trouble @ Trouble::Forked(_)) => {
                    fork = fork.or_else(|| Some(endpoint.clone()));
                    verdict.add(&endpoint, trouble);
                }
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        self.lead(fork.as_deref());
        Err(verdict.error())
    }

    async fn vouch(&self, at: &Header) -> Result<Vec<Voucher>, SourceError> {
        Ok(identity::vouch(self, at).await)
    }

    async fn arbitrate(&self, contested: BlockRef) -> bool {
        quarrel::arbitrate(self, contested).await
    }

    async fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError> {
        let mut proven = Vec::new();
        let blocks: BTreeSet<BlockRef> = deposits.iter().map(|(_, block)| *block).collect();
        for block in blocks {
            let of_block: Vec<_> = deposits.iter().filter(|(_, at)| *at == block).map(|(id, _)| *id).collect();
            for (id, evidence) in self.prove_block(block, &of_block).await? {
                proven.push((id, block, evidence));
            }
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
        self.read_once_more(height, not_by, turn, watch).await
    }

    async fn balances(&self, addresses: &[Address], at: BlockRef) -> Result<Vec<Amount>, SourceError> {
        self.agreed_balances(addresses, at).await
    }

    async fn internal_transfers(&self, addresses: &[Address], at: BlockRef) -> Result<Block, SourceError> {
        let mut verdict = Verdict::default();
        for endpoint in self.endpoints() {
            match money::internal_transfers(&self.ask(&endpoint), &self.network.registry, addresses, at).await {
                Ok(block) => return Ok(block),
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        Err(verdict.error())
    }
}

impl EvmSource {
    /// Reads one block again, whole, and says of each transfer what its block shows of it. Transfers
    /// that the block does not hold, and blocks that no endpoint has any more, are left out.
    async fn prove_block(
        &self,
        block: BlockRef,
        ids: &[TransferId],
    ) -> Result<Vec<(TransferId, Evidence)>, SourceError> {
        let native = ids.iter().any(|id| id.kind == Kind::Native);
        let (mut verdict, mut said) = (Verdict::default(), None);
        for endpoint in self.endpoints() {
            match self.prove_at(&self.ask(&endpoint), block, ids, native).await {
                Ok(Some(mut proven)) => {
                    let header = Header { at: block, ..proven.1 };
                    let vouchers = identity::vouch(self, &header).await;
                    let agreeing: BTreeSet<Operator> =
                        vouchers.into_iter().filter(|v| v.block == block).map(|v| v.operator).collect();
                    for (_, evidence) in &mut proven.0 {
                        evidence.operators.extend(agreeing.iter().cloned());
                    }
                    // What one cannot prove, another may.
                    if proven.0.iter().all(|(id, is)| is.inclusion == Inclusion::Proven || id.kind == Kind::Internal) {
                        return Ok(proven.0);
                    }
                    said = said.or(Some(proven.0));
                }
                Ok(None) => {}
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        said.map_or_else(|| verdict.empty_or_error(), Ok)
    }

    async fn prove_at(
        &self,
        ask: &Ask<'_>,
        block: BlockRef,
        ids: &[TransferId],
        native: bool,
    ) -> Result<Option<(Vec<(TransferId, Evidence)>, Header)>, Trouble> {
        let Some(read) = ask.block(block.height, native).await? else { return Ok(None) };
        let header = read.header.header();
        if header.at != block {
            return Ok(None);
        }
        let Some(receipts) = ask.receipts(&read).await? else { return Ok(None) };
        let mut shown = evidence::prove(self.network.codec, &read.header, &read.transactions, &receipts)?;
        if !self.names_hold(ask, &read).await? {
            shown.receipts = Inclusion::Reported;
        }
        let held = |id: &TransferId| {
            receipts.iter().any(|receipt| {
                receipt.transaction_hash.0 == id.tx.0
                    && match id.kind {
                        Kind::Token | Kind::Proxy => (id.index as usize) < receipt.logs.len(),
                        Kind::Native | Kind::Internal => receipt.succeeded() == Some(true),
                    }
            })
        };
        let evidence = |id: &TransferId| Evidence {
            // What a trace says is under no root.
            inclusion: match id.kind {
                Kind::Internal => Inclusion::Reported,
                kind => shown.inclusion(kind == Kind::Native),
            },
            operators: BTreeSet::from([ask.endpoint.operator().clone()]),
            attestations: None,
        };
        let proven = ids.iter().filter(|id| held(id)).map(|id| (*id, evidence(id))).collect();
        Ok(Some((proven, header)))
    }
}
