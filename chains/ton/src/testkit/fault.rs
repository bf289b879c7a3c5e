//! What a node may do wrong, each by its name.

use std::sync::Arc;
use std::time::Duration;

use amn_core::block::Hash;

use super::Made;
use crate::address::Account;

/// What a node does wrong until it is healed.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Its newest masterchain block is so many behind the network's.
    Behind(u32),
    /// It has not seen a masterchain block after this one.
    Stalled(u32),
    /// It says that its newest masterchain block is so many further than it is.
    Ahead(u32),
    /// Every second time it is asked, its newest block is so many behind: two machines behind one name.
    Backward(u32),
    /// What it says of accounts is so many blocks older than what it says of blocks.
    StatesBehind(u32),

    /// Of this masterchain block it has nothing, though it has those above.
    Hole(u32),
    /// Its lists of blocks and transactions are empty, and it says that all is well.
    SilentEmpty,
    /// A masterchain block that it does not have is an error, as newer versions say it, and no empty list.
    UnknownIsAnError,
    /// Blocks have so many more transactions by their count than there are.
    CountsMore(i64),
    /// This transaction is in no list of a block.
    Omitted(Hash),
    /// This transaction is nowhere, and the count of its block is short by it.
    Lost(Hash),
    /// A row was put in before the second page: the page begins with what was the last of the first.
    PageShifted,
    /// There is always more to come, and nothing comes.
    NeverComplete,
    /// Lists hold at most so many, whatever is asked for.
    PagesOf(usize),
    /// Lists are shuffled.
    OutOfOrder,
    /// The first row of a list is there twice.
    Doubled,
    /// The newest transaction of this account has not happened.
    Withheld(Account),

    /// One bit of this transaction's cells is another.
    Flipped(Hash),
    /// Another transaction's cells in place of this one's.
    CellsOfOther(Hash),
    /// A part of this transaction's cells is cut out, its hash alone left.
    CutOut(Hash),
    /// This transaction's cells are no bag of cells.
    Undecodable(Hash),
    /// In place of this transaction it tells of another at its logical time, everywhere and with its true hash.
    Instead(Hash, Arc<Made>),
    /// It tells of a newest transaction of this account, in this masterchain block, that never happened.
    Forged { account: Account, height: u32, made: Arc<Made> },
    /// Raw transactions it has only where it is asked for its archive.
    OnlyInArchive,
    /// Its index says that this transaction was committed by that masterchain block; `None`: it does not say by which.
    Height(Hash, Option<u32>),
    /// Its index shows a transaction of this account that the network has not committed, and says so of it.
    Expected { account: Account, made: Arc<Made> },
    /// It has no raw transactions any more.
    NotInDatabase,

    /// The masterchain block of this height is another.
    Fork(u32),
    /// Its blocks are of another network.
    GlobalId(i32),
    /// Masters say so many decimals.
    Decimals(u8),
    /// Masters say no decimals: what they say of themselves lies elsewhere.
    NoDecimals,
    /// Everybody's wallet is this one.
    WalletIs(Account),
    /// It answers with the wallet under this master.
    WalletUnder(Account),
    /// Questions to contracts end with this code.
    Exits(i32),

    /// HTTP 429, in the words of the provider.
    TooManyRequests { retry_after: Option<u32> },
    /// HTTP 500, in the words of the provider.
    Internal(&'static str),
    /// HTTP 504.
    GatewayTimeout,
    /// HTTP 542: its own node did not answer.
    NodeTimeout,
    /// HTTP 200 and a page for people.
    Html,
    /// Of a stream: many words that say nothing, before each that says something.
    Noise,
    /// It takes so long.
    Slow(Duration),
    /// It never answers.
    Silent,
    /// Its answer ends in the middle, and pretends to be whole.
    Truncated,
    /// The connection ends in the middle of its answer.
    CutOff,
    /// Its answer is so many bytes long, of nothing.
    Padded(u64),
}

/// A fault, and how far it goes.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub fault: Fault,
    /// Only of routes that begin so.
    pub route: Option<String>,
    /// Only so many times more.
    pub left: Option<u32>,
    pub asked: u64,
}

impl Active {
    /// What it does to this question; counts it.
    pub fn meets(&mut self, route: &str) -> Option<Fault> {
        if self.route.as_deref().is_some_and(|only| !route.starts_with(only)) {
            return None;
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        self.asked += 1;
        match &self.fault {
            Fault::Backward(by) => (self.asked.is_multiple_of(2)).then_some(Fault::Behind(*by)),
            fault => Some(fault.clone()),
        }
    }
}
