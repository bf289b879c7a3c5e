//! A shard block whole: who it is, what it stands on, and the transactions its root hash covers.
//!
//! Where a node gives whole blocks, this proves more than the chain of one account: which block holds what, and that
//! nothing of it was left out.

use amn_core::block::Hash;
#[cfg(feature = "testkit")]
use tycho_types::cell::Cell;
use tycho_types::models::{Block as Committed, BlockRef, ShardIdent};

use crate::address::Account;
use crate::cell::{self, CellError};
use crate::transaction::{Transaction, TransactionError};

/// Transactions that are read from one block: each takes several cells, so more than these are not there but said
/// again and again by cells that share their parts.
const TRANSACTIONS_MAX: usize = cell::CELLS_MAX / 4;

/// The name of a block of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlockName {
    pub workchain: i8,
    /// The accounts it is for, as a prefix that ends in a one.
    pub shard: u64,
    pub seqno: u32,
    /// The hash of its root cell.
    pub root: Hash,
}

/// A block and everything in it.
#[derive(Clone, Debug)]
pub struct ShardBlock {
    pub name: BlockName,
    /// The network's number: −239 the main one, −3 the test network.
    pub global_id: i32,
    /// One block before it, or the two it was merged of: seqno and root hash.
    pub on: Vec<(u32, Hash)>,
    pub vertical: u32,
    /// Unix seconds.
    pub time: u32,
    pub start_lt: u64,
    pub end_lt: u64,
    /// The masterchain block it looked at when it was made; `None` for a masterchain block.
    pub masterchain: Option<(u32, Hash)>,
    /// In the order of accounts, and of time for each.
    pub transactions: Vec<Transaction>,
}

/// Why bytes are no block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error(transparent)]
    Cell(#[from] CellError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error("the block shows a transaction of {given} as one of {account}")]
    Misplaced { account: Account, given: Account },
    #[error("more than {TRANSACTIONS_MAX} transactions")]
    TooMany,
}

impl From<tycho_types::error::Error> for BlockError {
    fn from(error: tycho_types::error::Error) -> Self {
        Self::Cell(error.into())
    }
}

impl ShardBlock {
    /// Reads a block from the bag that holds it.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let root = cell::decode(bytes)?;
        let committed: Committed = root.parse()?;
        let info = committed.load_info()?;
        let workchain = i8::try_from(info.shard.workchain())
            .map_err(|_| CellError::NotABag("a block of a workchain that does not exist"))?;
        let named = |block: &BlockRef| (block.seqno, Hash(block.root_hash.0));
        let mut block = Self {
            name: BlockName { workchain, shard: info.shard.prefix(), seqno: info.seqno, root: cell::hash(&root) },
            global_id: committed.global_id,
            on: match info.load_prev_ref()? {
                tycho_types::models::PrevBlockRef::Single(one) => vec![named(&one)],
                tycho_types::models::PrevBlockRef::AfterMerge { left, right } => vec![named(&left), named(&right)],
            },
            vertical: info.vert_seqno,
            time: info.gen_utime,
            start_lt: info.start_lt,
            end_lt: info.end_lt,
            masterchain: info.load_master_ref()?.as_ref().map(named),
            transactions: Vec::new(),
        };
        let accounts = committed.load_extra()?.account_blocks.load()?;
        for entry in accounts.iter() {
            let (key, _, of_account) = entry?;
            let account = Account::new(workchain, key.0);
            for entry in of_account.transactions.iter() {
                let (_, _, transaction) = entry?;
                if block.transactions.len() >= TRANSACTIONS_MAX {
                    return Err(BlockError::TooMany);
                }
                let transaction = Transaction::of_cell(workchain, transaction.inner())?;
                if transaction.account != account {
                    return Err(BlockError::Misplaced { account, given: transaction.account });
                }
                block.transactions.push(transaction);
            }
        }
        Ok(block)
    }

    /// Whether it is a block of the masterchain.
    #[must_use]
    pub const fn is_masterchain(&self) -> bool {
        self.name.workchain == -1
    }

    /// The raw cells of its transactions, in the same order: for who serves them one by one.
    #[cfg(feature = "testkit")]
    pub fn cells(bytes: &[u8]) -> Result<Vec<Cell>, BlockError> {
        let committed: Committed = cell::decode(bytes)?.parse()?;
        let mut cells = Vec::new();
        for entry in committed.load_extra()?.account_blocks.load()?.iter() {
            for entry in entry?.2.transactions.iter() {
                cells.push(entry?.2.into_inner());
            }
        }
        Ok(cells)
    }

    /// The same as bags, one for each transaction, as a node hands them over.
    #[cfg(feature = "testkit")]
    pub fn bags(bytes: &[u8]) -> Result<Vec<Vec<u8>>, BlockError> {
        Ok(Self::cells(bytes)?.iter().map(tycho_types::boc::Boc::encode).collect())
    }

    /// Whether an account belongs into this block's shard.
    #[must_use]
    pub fn holds(&self, account: &Account) -> bool {
        self.name.holds(account)
    }
}

impl BlockName {
    /// Whether an account belongs into this block's shard.
    #[must_use]
    pub fn holds(&self, account: &Account) -> bool {
        let shard = ShardIdent::new(i32::from(self.workchain), self.shard);
        shard.is_some_and(|shard| {
            account.workchain == self.workchain && shard.contains_account(&tycho_types::cell::HashBytes(account.id))
        })
    }
}
