//! The network's blocks as nodes keep them: masterchain blocks, what each commits of the shards, and the transactions in
//! them. Invented ones, real ones, and invented ones that stand on real ones.
//!
//! A history may be shared by several nodes and grow while they serve it.

mod real;
mod shards;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use amn_core::block::{BlockRef, Hash, Height};
use sha2::{Digest as _, Sha256};
use tycho_types::cell::Cell;
use tycho_types::models::{AccountStatus, TickTock, Transaction as InCell};

pub use shards::Id;
pub(super) use shards::holds;

use super::{Letter, Life, Made, Minter, Outcome};
use crate::address::Account;
use crate::transaction::Link;

/// The masterchain's one shard: everything.
pub const MASTERCHAIN: u64 = 1 << 63;

/// Where a history begins unless it is told otherwise.
const FIRST: u32 = 70_000_000;

/// Unix seconds of its first block, as the accounts of [`Life`] count them.
const BEGINNING: u32 = 1_760_000_000;

/// Milliseconds between masterchain blocks.
const INTERVAL: u64 = 400;

/// The accounts that the network's clock starts in every masterchain block: elections and configuration.
const CLOCKWORK: [Account; 2] = [Account::new(-1, [0x33; 32]), Account::new(-1, [0x55; 32])];

/// A transaction as nodes keep it, and where it was committed.
#[derive(Clone, Debug)]
pub struct Kept {
    pub account: Account,
    pub at: Link,
    /// The one before it; at logical time 0 where there is none.
    pub before: Link,
    /// Unix seconds.
    pub now: u32,
    pub was: AccountStatus,
    pub ends: AccountStatus,
    /// `None`: known by its name alone, because it happened before the history begins.
    pub cell: Option<Cell>,
    /// The masterchain block that commits it.
    pub height: u32,
    /// The block it is in.
    pub block: Id,
}

/// A block of a shard or of the masterchain.
#[derive(Clone, Debug)]
pub struct Block {
    pub id: Id,
    /// One block before it, or the two it was merged of.
    pub on: Vec<Id>,
    pub after_split: bool,
    /// Unix seconds.
    pub time: u32,
    pub start_lt: u64,
    pub end_lt: u64,
    /// The masterchain block it looked at when it was made: seqno and root hash.
    pub master: (u32, Hash),
    /// The masterchain block that commits it.
    pub height: u32,
    /// Oldest first.
    pub transactions: Vec<Arc<Kept>>,
}

/// A masterchain block, and what it commits.
#[derive(Clone, Debug)]
pub struct Committed {
    pub block: Arc<Block>,
    /// The newest block of each shard as it says them.
    pub tips: Vec<Id>,
    /// The blocks of shards that no masterchain block committed before it, oldest first.
    pub shards: Vec<Arc<Block>>,
}

impl Committed {
    #[must_use]
    pub fn at(&self) -> BlockRef {
        BlockRef { height: Height(u64::from(self.block.id.seqno)), hash: self.block.id.root }
    }

    /// Its own block and those it commits.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        std::iter::once(&self.block).chain(&self.shards)
    }
}

/// A shard as it goes on.
#[derive(Clone, Debug)]
struct Tip {
    shard: u64,
    on: Vec<Id>,
    after_split: bool,
}

/// The blocks of a network, and how the next one is made.
#[derive(Clone, Debug)]
pub struct History {
    /// What each block says: −239 the main network, −3 the test network.
    pub global_id: i32,
    /// Masters of jettons that answer questions.
    pub minters: Vec<Minter>,
    /// By seqno.
    pub blocks: BTreeMap<u32, Arc<Committed>>,
    /// Every block by workchain, shard and seqno.
    named: HashMap<(i8, u64, u32), Arc<Block>>,
    /// What happened to each account, oldest first.
    lives: BTreeMap<Account, Vec<Arc<Kept>>>,
    by_hash: HashMap<Hash, Arc<Kept>>,
    tips: Vec<Tip>,
    /// In no block yet.
    waiting: Vec<(Account, Cell)>,
    /// Blocks of shards that no masterchain block commits yet.
    made: Vec<Block>,
    clockwork: [Life; 2],
    /// Unix milliseconds of the next masterchain block.
    clock: u64,
    /// The latest logical time so far, and the latest that a block has covered.
    lt: u64,
    covered: u64,
    next: u32,
    /// Makes the blocks of two branches differ though nothing else does.
    branch: u64,
}

impl History {
    /// A history with one masterchain block, and one shard in which nothing has happened.
    #[must_use]
    pub fn new(global_id: i32) -> Self {
        Self::beginning(global_id, FIRST, BEGINNING)
    }

    /// The same, whose first block has this seqno and time.
    #[must_use]
    pub fn beginning(global_id: i32, seqno: u32, time: u32) -> Self {
        let mut history = Self::empty(global_id, seqno, time);
        history.tips = vec![Tip { shard: MASTERCHAIN, on: vec![history.genesis(MASTERCHAIN)], after_split: false }];
        history.commit();
        history
    }

    fn empty(global_id: i32, seqno: u32, time: u32) -> Self {
        Self {
            global_id,
            minters: Vec::new(),
            blocks: BTreeMap::new(),
            named: HashMap::new(),
            lives: BTreeMap::new(),
            by_hash: HashMap::new(),
            tips: Vec::new(),
            waiting: Vec::new(),
            made: Vec::new(),
            clockwork: CLOCKWORK.map(Life::of),
            clock: u64::from(time) * 1_000,
            lt: 0,
            covered: 0,
            next: seqno,
            branch: 0,
        }
    }

    /// The account receives a message. It is in no block until [`Self::close`].
    pub fn receive(&mut self, life: &mut Life, letter: &Letter, outcome: Outcome) -> Made {
        self.happen(life, |life| life.receive(letter, outcome))
    }

    /// Something happens to the account now. It is in no block until [`Self::close`].
    pub fn happen(&mut self, life: &mut Life, what: impl FnOnce(&mut Life) -> Made) -> Made {
        life.wait_until(self.lt, self.now());
        let made = what(life);
        self.put(life.account, made.cell.clone());
        made
    }

    /// A transaction made elsewhere. It is in no block until [`Self::close`].
    ///
    /// # Panics
    /// Where the cell is no transaction.
    pub fn put(&mut self, account: Account, cell: Cell) {
        self.lt = self.lt.max(in_cell(&cell).lt);
        self.waiting.push((account, cell));
    }

    /// The same of its bytes, as fixtures hold them.
    pub fn put_bytes(&mut self, account: Account, bytes: &[u8]) -> Result<(), String> {
        let cell = crate::cell::decode(bytes).map_err(|error| error.to_string())?;
        let read: InCell = cell.parse().map_err(|error| error.to_string())?;
        if read.account.0 != account.id {
            return Err(format!(
                "a transaction of {} as one of {account}",
                Account::new(account.workchain, read.account.0)
            ));
        }
        self.put(account, cell);
        Ok(())
    }

    /// A block of each shard with everything that waits for one, and the masterchain block that commits them.
    pub fn close(&mut self) -> BlockRef {
        self.shard_blocks();
        self.commit()
    }

    /// Closes so many blocks.
    pub fn pass(&mut self, blocks: u32) {
        for _ in 0..blocks {
            self.close();
        }
    }

    /// A block of each shard with everything that waits for one, committed by the next masterchain block. Twice before
    /// it, and it commits two of each; never, and it commits none.
    pub fn shard_blocks(&mut self) {
        self.lt = (self.lt / 1_000 + 1) * 1_000;
        let time = self.now();
        let master = self.tip().map_or((0, Hash([0; 32])), |tip| (tip.block.id.seqno, tip.block.id.root));
        // What happens on the masterchain is in its own next block.
        let (own, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(account, _)| account.workchain != -1);
        self.waiting = rest;
        let own: Vec<_> = own.iter().map(|(account, cell)| kept(*account, cell)).collect();
        // Transactions made elsewhere may be older than the blocks before.
        let start_lt = own.iter().map(|kept| kept.at.lt).fold(self.covered + 1, u64::min);
        let end_lt = self.lt;
        self.covered = end_lt;
        for index in 0..self.tips.len() {
            let tip = self.tips[index].clone();
            let transactions = own.iter().filter(|kept| holds(tip.shard, &kept.account));
            let block = Block {
                id: Id { workchain: 0, shard: tip.shard, seqno: shards::next(&tip.on), ..Id::default() },
                on: tip.on,
                after_split: tip.after_split,
                time,
                start_lt,
                end_lt,
                master,
                height: self.next,
                transactions: transactions.cloned().collect(),
            };
            let block = self.seal(block);
            self.tips[index] = Tip { shard: tip.shard, on: vec![block.id], after_split: false };
            self.made.push(block);
        }
    }

    /// The masterchain block that commits what the shards made since the last one, be it nothing.
    pub fn commit(&mut self) -> BlockRef {
        let now = self.now();
        // What happens in shards waits for blocks of theirs.
        let (mut own, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(account, cell)| kept(account, &cell))
            .partition(|kept| kept.account.workchain == -1);
        self.waiting = rest.iter().filter_map(|kept| Some((kept.account, kept.cell.clone()?))).collect();
        // After everything that it commits.
        let clockwork = self.covered.max(self.lt) + 1;
        let start_lt = own.iter().map(|kept| kept.at.lt).fold(clockwork, u64::min);
        for (life, kind) in [(0, TickTock::Tick), (1, TickTock::Tick), (0, TickTock::Tock)] {
            let life = &mut self.clockwork[life];
            life.wait_until(clockwork, now);
            let made = life.strike(kind);
            self.lt = self.lt.max(made.at.lt);
            own.push(kept(life.account, &made.cell));
        }
        let shards = std::mem::take(&mut self.made);
        let mut tips: Vec<Id> = self.tips.iter().flat_map(|tip| tip.on.clone()).collect();
        // Until a half has a block of its own, both stand for the whole.
        tips.dedup();
        let before = self.tip().map_or_else(
            || Id { workchain: -1, shard: MASTERCHAIN, seqno: self.next.saturating_sub(1), ..Id::default() },
            |tip| tip.block.id,
        );
        self.covered = self.lt + 1;
        let block = Block {
            id: Id { workchain: -1, shard: MASTERCHAIN, seqno: self.next, ..Id::default() },
            on: vec![before],
            after_split: false,
            time: now,
            start_lt,
            end_lt: self.covered,
            master: (before.seqno, before.root),
            height: self.next,
            transactions: own,
        };
        let mut block = self.seal(block);
        // What it commits is part of its hash.
        let committed = tips.iter().fold(Sha256::new(), |hasher, tip| hasher.chain_update(tip.root.0));
        block.id = block.id.hashed(&[&block.id.root.0, &committed.finalize()]);
        self.keep(block, tips, shards)
    }

    fn keep(&mut self, block: Block, tips: Vec<Id>, shards: Vec<Block>) -> BlockRef {
        let shards = shards.into_iter().map(|block| self.file(block)).collect();
        let committed = Committed { block: self.file(block), tips, shards };
        let at = committed.at();
        self.next = committed.block.id.seqno + 1;
        self.clock += INTERVAL;
        self.blocks.insert(committed.block.id.seqno, Arc::new(committed));
        at
    }

    /// Enters a block and its transactions where they are looked up.
    fn file(&mut self, mut block: Block) -> Arc<Block> {
        let (id, height) = (block.id, block.height);
        for kept in &mut block.transactions {
            let filed = Arc::new(Kept { height, block: id, ..Kept::clone(kept) });
            *kept = filed.clone();
            self.enter(filed);
        }
        let block = Arc::new(block);
        self.named.insert((id.workchain, id.shard, id.seqno), block.clone());
        block
    }

    fn enter(&mut self, kept: Arc<Kept>) {
        self.by_hash.insert(kept.at.hash, kept.clone());
        let life = self.lives.entry(kept.account).or_default();
        let place = life.partition_point(|known| known.at.lt < kept.at.lt);
        life.insert(place, kept);
    }

    /// A block with the hashes that its content has.
    fn seal(&self, mut block: Block) -> Block {
        block.transactions.sort_by_key(|kept| (kept.at.lt, kept.account));
        let on: Vec<u8> = block.on.iter().flat_map(|id| id.root.0).collect();
        let inside: Vec<u8> = block.transactions.iter().flat_map(|kept| kept.at.hash.0).collect();
        let times = [u64::from(block.time), block.start_lt, block.end_lt, self.branch, u64::from(block.id.seqno)];
        let times: Vec<u8> = times.iter().flat_map(|number| number.to_be_bytes()).collect();
        let global = self.global_id.to_be_bytes();
        block.id = block.id.hashed(&[&global, &block.id.shard.to_be_bytes(), &on, &times, &inside]);
        block
    }

    /// Drops every masterchain block above this one and all it committed. What closes next is another branch: the
    /// network has none, liars do. A [`Life`] that went on since has to be the one from before.
    pub fn rewind(&mut self, to: u32) {
        let dropped = self.blocks.split_off(&to.saturating_add(1));
        for block in dropped.values().flat_map(|committed| committed.blocks()) {
            let id = block.id;
            self.named.remove(&(id.workchain, id.shard, id.seqno));
            for kept in &block.transactions {
                self.by_hash.remove(&kept.at.hash);
                if let Some(life) = self.lives.get_mut(&kept.account) {
                    life.retain(|known| known.at.hash != kept.at.hash);
                }
            }
        }
        self.lives.retain(|_, life| !life.is_empty());
        self.waiting.clear();
        self.made.clear();
        if let Some(tip) = self.tip().cloned() {
            self.tips = tip.tips.iter().map(|id| Tip { shard: id.shard, on: vec![*id], after_split: false }).collect();
            self.next = tip.block.id.seqno + 1;
        }
        for life in &mut self.clockwork {
            life.last = self.lives.get(&life.account).and_then(|life| life.last()).map(|kept| kept.at);
        }
        self.branch += 1;
    }

    /// From now on its blocks differ from those of the history it was cloned from.
    pub const fn part(&mut self) {
        self.branch += 1;
    }

    /// Unix seconds of the next block.
    #[must_use]
    pub fn now(&self) -> u32 {
        u32::try_from(self.clock / 1_000).unwrap_or(u32::MAX)
    }

    /// The next block is so many milliseconds later than it would be.
    pub const fn wait(&mut self, milliseconds: u64) {
        self.clock += milliseconds;
    }

    #[must_use]
    pub fn tip(&self) -> Option<&Arc<Committed>> {
        self.blocks.last_key_value().map(|(_, committed)| committed)
    }

    /// The newest masterchain block; where there is none, the one before the first.
    #[must_use]
    pub fn head(&self) -> BlockRef {
        self.tip().map_or(BlockRef { height: Height(0), hash: Hash([0; 32]) }, |tip| tip.at())
    }

    /// The masterchain block of this height.
    #[must_use]
    pub fn at(&self, seqno: u32) -> Option<BlockRef> {
        self.blocks.get(&seqno).map(|committed| committed.at())
    }

    #[must_use]
    pub fn block(&self, workchain: i8, shard: u64, seqno: u32) -> Option<&Arc<Block>> {
        self.named.get(&(workchain, shard, seqno))
    }

    /// Everything that happened to an account, oldest first.
    #[must_use]
    pub fn life(&self, account: &Account) -> &[Arc<Kept>] {
        self.lives.get(account).map_or(&[], Vec::as_slice)
    }

    /// Every account that something happened to.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.lives.keys()
    }

    #[must_use]
    pub fn by_hash(&self, hash: &Hash) -> Option<&Arc<Kept>> {
        self.by_hash.get(hash)
    }
}

fn in_cell(cell: &Cell) -> InCell {
    cell.parse().unwrap_or_else(|error| panic!("no transaction: {error}"))
}

/// A transaction that is in no block yet.
pub(super) fn kept(account: Account, cell: &Cell) -> Arc<Kept> {
    let read = in_cell(cell);
    Arc::new(Kept {
        account,
        at: Link { lt: read.lt, hash: crate::cell::hash(cell) },
        before: Link { lt: read.prev_trans_lt, hash: Hash(read.prev_trans_hash.0) },
        now: read.now,
        was: read.orig_status,
        ends: read.end_status,
        cell: Some(cell.clone()),
        height: 0,
        block: Id::default(),
    })
}
