//! An invented chain: blocks with true links, operators that lag or lie on request, and forks of any depth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amn_core::block::{
    Address, AssetId, Block, BlockRef, Evidence, Hash, Header, Height, Inclusion, Kind, NetworkId, Operator, Transfer,
    TransferId,
};
use amn_core::confirmation::{Policy, Require};
use amn_core::contract::{ContractEvent, Topic};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts, SharedFacts};
use amn_core::source::{ChainSource, Coverage, Head, Identity, Position, Segment, SourceError, Voucher, Watch};
use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub const COIN: &str = "fake:1/coin:usd";
pub const OTHER_COIN: &str = "fake:1/coin:eur";
const BLOCK_MS: i64 = 1_000;

/// The facts of an invented network.
pub fn facts(id: &str, require: Require) -> SharedFacts {
    let asset = |id: &str, symbol: &str| Asset {
        id: AssetId::new(id),
        symbol: symbol.into(),
        decimals: 2,
        min_amount: Amount::new(10),
        native: false,
    };
    Arc::new(Facts {
        id: NetworkId::new(id),
        chain: "fake:1".into(),
        assets: vec![asset(COIN, "USD"), asset(OTHER_COIN, "EUR")],
        policy: Policy { require, tiers: Vec::new() },
        block_time_ms: BLOCK_MS.unsigned_abs(),
        rewind_operators: 2,
        instant_finality: false,
        vouched_singly: false,
    })
}

/// The raw bytes an invented address is known by.
#[expect(clippy::unnecessary_wraps, reason = "the form that families have: some texts are no address")]
pub fn raw(address: &Address) -> Option<Vec<u8>> {
    Some(address.as_str().as_bytes().to_vec())
}

/// A payment: transaction name, address, amount.
pub fn pays(tx: &str, to: &str, amount: u128) -> Transfer {
    Transfer {
        id: TransferId { tx: Hash(Sha256::digest(tx.as_bytes()).into()), kind: Kind::Token, index: 0 },
        asset: AssetId::new(COIN),
        from: Some(Address::new("payer")),
        to: Address::new(to),
        reference: None,
        amount: Amount::new(amount),
    }
}

/// A contract says something: transaction name, contract, topic, data.
pub fn says(tx: &str, contract: &str, topic: &str, data: Value) -> ContractEvent {
    ContractEvent {
        tx: Hash(Sha256::digest(tx.as_bytes()).into()),
        operation: 0,
        index: 0,
        ordinal: 0,
        contract: Address::new(contract),
        topics: vec![Topic { spelled: Some(format!("symbol:{topic}").into()), shown: Value::from(topic) }],
        data,
    }
}

/// As a family does: what nobody waits for is left out.
fn only_watched(block: &mut Block, watch: &Watch) {
    block.transfers.retain(|t| watch.tokens(t.to.as_str().as_bytes()));
    let heard = |e: &ContractEvent| watch.contract(e.contract.as_str().as_bytes()).iter().any(|p| p.matches(&e.topics));
    block.contract_events.retain(heard);
}

#[derive(Debug)]
struct World {
    /// The canonical chain, from height 0.
    blocks: Vec<Block>,
    safe: u64,
    finalized: u64,
    operators: Vec<Operator>,
    /// Operators that see only so much of the chain.
    lagging: BTreeMap<Operator, u64>,
    /// Answered instead of anything else, as long as it is there.
    down: Option<SourceError>,
    salt: u64,
    heads_asked: u64,
}

/// A handle on the invented chain; clones see the same one.
#[derive(Debug, Clone)]
pub struct FakeChain(Arc<Mutex<World>>);

impl FakeChain {
    /// A chain of one block, with two operators.
    pub fn new() -> Self {
        let world = World {
            blocks: Vec::new(),
            safe: 0,
            finalized: 0,
            operators: vec![Operator::new("alpha"), Operator::new("beta")],
            lagging: BTreeMap::new(),
            down: None,
            salt: 0,
            heads_asked: 0,
        };
        let chain = Self(Arc::new(Mutex::new(world)));
        chain.mine(Vec::new());
        chain
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more block with these transfers; its height.
    pub fn mine(&self, transfers: Vec<Transfer>) -> u64 {
        self.mine_saying(transfers, Vec::new())
    }

    /// The same, in which contracts say these things.
    pub fn mine_saying(&self, transfers: Vec<Transfer>, contract_events: Vec<ContractEvent>) -> u64 {
        let mut world = self.world();
        let height = world.blocks.len() as u64;
        let parent = world.blocks.last().map_or(Hash([0; 32]), |block| block.header.at.hash);
        let mut digest = Sha256::new();
        digest.update(parent.0);
        digest.update(world.salt.to_be_bytes());
        digest.update(format!("{transfers:?}{contract_events:?}"));
        let hash = Hash(digest.finalize().into());
        let time = Timestamp::from_millis(1_700_000_000_000 + BLOCK_MS * i64::try_from(height).unwrap());
        let header = Header { at: BlockRef { height: Height(height), hash }, parent, time };
        world.blocks.push(Block {
            header,
            transfers,
            takebacks: Vec::new(),
            contract_events,
            observations: Vec::new(),
            evidence: Evidence::default(),
        });
        height
    }

    pub fn mine_empty(&self, blocks: u64) {
        for _ in 0..blocks {
            self.mine(Vec::new());
        }
    }

    /// Drops the newest blocks; what is mined next is another branch.
    pub fn drop_blocks(&self, depth: u64) {
        let mut world = self.world();
        let kept = world.blocks.len() - usize::try_from(depth).unwrap();
        world.blocks.truncate(kept);
        world.salt += 1;
    }

    pub fn tip(&self) -> Header {
        self.world().blocks.last().unwrap().header
    }

    pub fn header(&self, height: u64) -> Header {
        self.world().blocks[usize::try_from(height).unwrap()].header
    }

    pub fn finalize(&self, safe: u64, finalized: u64) {
        let mut world = self.world();
        (world.safe, world.finalized) = (safe, finalized);
    }

    /// The operator sees nothing above the height, until it is told otherwise.
    pub fn lag(&self, operator: &str, up_to: Option<u64>) {
        let mut world = self.world();
        match up_to {
            Some(height) => world.lagging.insert(Operator::new(operator), height),
            None => world.lagging.remove(&Operator::new(operator)),
        };
    }

    /// How often somebody looked for the head.
    pub fn heads_asked(&self) -> u64 {
        self.world().heads_asked
    }

    pub fn down(&self, error: Option<SourceError>) {
        self.world().down = error;
    }
}

impl World {
    fn up(&self) -> Result<(), SourceError> {
        self.down.clone().map_or(Ok(()), Err)
    }

    fn at(&self, height: Height) -> Result<&Block, SourceError> {
        let index = usize::try_from(height.0).unwrap_or(usize::MAX);
        self.blocks.get(index).ok_or_else(|| SourceError::NotYet(format!("no block {height}")))
    }

    fn reader(&self) -> BTreeSet<Operator> {
        self.operators.first().cloned().into_iter().collect()
    }
}

impl ChainSource for FakeChain {
    async fn probe(&self) -> Result<Identity, SourceError> {
        self.world().up()?;
        Ok(Identity { chain: "fake:1".into(), decimals: BTreeMap::new() })
    }

    async fn head(&self) -> Result<Head, SourceError> {
        let mut world = self.world();
        world.heads_asked += 1;
        world.up()?;
        let at = |height| world.at(Height(height)).ok().map(|block| block.header.at);
        let tip = world.blocks.last().ok_or_else(|| SourceError::NotYet("no block".into()))?.header;
        Ok(Head { tip, safe: at(world.safe), finalized: at(world.finalized) })
    }

    async fn header_at(&self, height: Height) -> Result<Header, SourceError> {
        let world = self.world();
        world.up()?;
        world.at(height).map(|block| block.header)
    }

    async fn segment(
        &self,
        on: &Position,
        up_to: Height,
        final_to: Option<Height>,
        watch: &Watch,
    ) -> Result<Segment, SourceError> {
        let world = self.world();
        world.up()?;
        if world.at(on.tip.height)?.header.at != on.tip {
            return Err(SourceError::Forked(on.tip));
        }
        let listed = final_to.is_some_and(|f| f.0 > on.tip.height.0 + 8);
        let end = match final_to {
            Some(final_to) if listed => up_to.min(final_to),
            _ => up_to.min(Height(on.tip.height.0 + 16)),
        };
        let operators = if listed { world.operators.iter().cloned().collect() } else { world.reader() };
        let mut blocks = Vec::new();
        for height in on.tip.height.0 + 1..=end.0 {
            let mut block = world.at(Height(height))?.clone();
            only_watched(&mut block, watch);
            block.evidence =
                Evidence { inclusion: Inclusion::Proven, operators: operators.clone(), attestations: None };
            if !listed || !block.transfers.is_empty() || !block.contract_events.is_empty() {
                blocks.push(block);
            }
        }
        Ok(Segment {
            parent: on.tip,
            blocks,
            tip: world.at(end)?.header,
            coverage: if listed { Coverage::Listed } else { Coverage::Linked },
            watched: watch.version,
            operators,
            read_by: world.operators.first().cloned(),
            checkpoint: vec![("seen".into(), end.0.to_be_bytes().to_vec())],
        })
    }

    async fn vouch(&self, at: &Header) -> Result<Vec<Voucher>, SourceError> {
        let world = self.world();
        let vouchers = world.operators.iter().filter_map(|operator| {
            let up_to = world.lagging.get(operator).copied().unwrap_or(u64::MAX).min(at.at.height.0);
            let block = world.at(Height(up_to)).ok()?.header.at;
            Some(Voucher { operator: operator.clone(), block })
        });
        Ok(vouchers.collect())
    }

    async fn arbitrate(&self, contested: BlockRef) -> bool {
        // Its operators lag, and never lie.
        self.world().at(contested.height).is_ok_and(|block| block.header.at == contested)
    }

    async fn prove(
        &self,
        deposits: &[(TransferId, BlockRef)],
    ) -> Result<Vec<(TransferId, BlockRef, Evidence)>, SourceError> {
        let world = self.world();
        let proven = Evidence {
            inclusion: Inclusion::Proven,
            operators: world.operators.iter().cloned().collect(),
            attestations: None,
        };
        let held = deposits.iter().filter(|(_, at)| world.at(at.height).is_ok_and(|b| b.header.at == *at));
        Ok(held.map(|(id, at)| (*id, *at, proven.clone())).collect())
    }

    async fn reread(
        &self,
        height: Height,
        not_by: Option<&Operator>,
        _turn: u64,
        watch: &Watch,
    ) -> Result<Block, SourceError> {
        let world = self.world();
        world.up()?;
        let mut block = world.at(height)?.clone();
        only_watched(&mut block, watch);
        let by = world.operators.iter().find(|operator| not_by != Some(operator)).or(not_by);
        block.evidence =
            Evidence { inclusion: Inclusion::Proven, operators: by.into_iter().cloned().collect(), attestations: None };
        Ok(block)
    }

    async fn balances(&self, _: &[Address], _: BlockRef) -> Result<Vec<Amount>, SourceError> {
        Err(SourceError::Unsupported("an invented chain has no native money".into()))
    }

    async fn internal_transfers(&self, _: &[Address], _: BlockRef) -> Result<Block, SourceError> {
        Err(SourceError::Unsupported("an invented chain has no traces".into()))
    }
}
