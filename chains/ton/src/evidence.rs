//! What a chain of transactions proves. Pure: transactions in, a whole stretch of one account's chain or a named
//! contradiction out.
//!
//! Each transaction names the one before it on its account, by logical time and hash. From the account's head down to
//! where we stood, nobody can leave one out, put one in or change a bit. What a node can still do is to show an older
//! head: that is what a second operator is asked for. See `docs/decisions/0041-a-tale-of-one-account.md`.

use amn_core::block::Hash;

use crate::address::Account;
use crate::transaction::{Ending, Link, Transaction, TransactionError};

/// A contradiction inside what a node said, or with what is proven. Whoever said it is not believed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    #[error("the transaction of {account} at {lt} hashes to {computed}, not to {said}")]
    Hash { account: Account, lt: u64, said: Hash, computed: Hash },
    #[error("asked for the transaction of {account} at {asked}, it gave the one at {given}")]
    OfOtherTime { account: Account, asked: u64, given: u64 },
    #[error("asked for a transaction of {account}, it gave one of {given}")]
    OfOtherAccount { account: Account, given: Account },
    #[error("the transaction of {account} at {lt} stands on one at {on}, which is not before it")]
    Backwards { account: Account, lt: u64, on: u64 },
    /// The same place in the same chain, and another transaction: only one can be the network's.
    #[error("{account} has {theirs} at {lt}, where it has {ours}")]
    Contradicts { account: Account, lt: u64, ours: Hash, theirs: Hash },
    #[error("the chain of {account} passes by {lt} {hash}, which is on it")]
    PassesBy { account: Account, lt: u64, hash: Hash },
    #[error("the chain of {account} begins at {lt}, after {known}, where the account was there")]
    Forgets { account: Account, lt: u64, known: u64 },
    #[error("not a transaction: {0}")]
    NoTransaction(TransactionError),
}

impl Lie {
    /// Its name in one word: for a log's field, a metric's label, a table.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hash { .. } => "hash",
            Self::OfOtherTime { .. } => "of_other_time",
            Self::OfOtherAccount { .. } => "of_other_account",
            Self::Backwards { .. } => "backwards",
            Self::Contradicts { .. } => "contradicts",
            Self::PassesBy { .. } => "passes_by",
            Self::Forgets { .. } => "forgets",
            Self::NoTransaction(_) => "no_transaction",
        }
    }
}

/// Where we stand in an account's chain: the last transaction we have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    pub at: Link,
    /// Whether the account was gone after it: then its chain may begin anew.
    pub gone: bool,
}

impl Cursor {
    /// The last transaction of an account that we have.
    #[must_use]
    pub fn after(transaction: &Transaction) -> Self {
        Self { at: transaction.at, gone: transaction.ends == Ending::Gone }
    }

    /// As a checkpoint carries it: logical time, hash, and whether the account is gone.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 41] {
        let mut bytes = [0; 41];
        let parts = self.at.lt.to_be_bytes().into_iter().chain(self.at.hash.0).chain([u8::from(self.gone)]);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }

    /// Reads a checkpoint's bytes; `None` where they are none.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (lt, rest) = bytes.split_first_chunk::<8>()?;
        let (hash, gone) = rest.split_first_chunk::<32>()?;
        let gone = match gone {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        Some(Self { at: Link { lt: u64::from_be_bytes(*lt), hash: Hash(*hash) }, gone })
    }
}

/// The way down an account's chain, from its head to where we stand.
#[derive(Clone, Debug)]
pub struct Descent {
    account: Account,
    until: Option<Cursor>,
    next: Option<Link>,
    found: Vec<Transaction>,
    reborn: bool,
}

/// A stretch of one account's chain without a gap, oldest first.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub account: Account,
    pub transactions: Vec<Transaction>,
    /// The account was gone where we stood, and this is another life of it. Of lives that began and ended between the
    /// two no hash tells.
    pub reborn: bool,
}

impl Descent {
    /// Begins at a head somebody said. `until`: where we stand; `None` to go down to the account's first transaction.
    ///
    /// Nothing where the head is older than where we stand: a node that lags, to be asked again.
    pub fn begin(account: Account, head: Link, until: Option<Cursor>) -> Result<Option<Self>, Lie> {
        if until.is_some_and(|known| head.lt < known.at.lt) {
            return Ok(None);
        }
        let mut descent = Self { account, until, next: Some(head), found: Vec::new(), reborn: false };
        descent.settle(head)?;
        Ok(Some(descent))
    }

    /// The transaction that must come next; `None` when the way is done.
    #[must_use]
    pub const fn wanted(&self) -> Option<Link> {
        self.next
    }

    /// The account whose chain it is.
    #[must_use]
    pub const fn account(&self) -> Account {
        self.account
    }

    /// Takes the next transaction, as its bytes. What comes after the end of the way is not looked at.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Lie> {
        if self.next.is_none() {
            return Ok(());
        }
        let transaction = Transaction::decode(self.account.workchain, bytes).map_err(Lie::NoTransaction)?;
        self.take_read(transaction)
    }

    /// Takes the next transaction, read already.
    pub fn take_read(&mut self, transaction: Transaction) -> Result<(), Lie> {
        let Some(wanted) = self.next else { return Ok(()) };
        let (account, at) = (self.account, transaction.at);
        if transaction.account != account {
            return Err(Lie::OfOtherAccount { account, given: transaction.account });
        }
        if at.lt != wanted.lt {
            return Err(Lie::OfOtherTime { account, asked: wanted.lt, given: at.lt });
        }
        if at.hash != wanted.hash {
            return Err(Lie::Hash { account, lt: at.lt, said: wanted.hash, computed: at.hash });
        }
        let on = transaction.on;
        match on {
            Some(on) if on.lt >= at.lt => return Err(Lie::Backwards { account, lt: at.lt, on: on.lt }),
            Some(on) => self.settle(on)?,
            None => {
                match self.until {
                    Some(known) if !known.gone => {
                        return Err(Lie::Forgets { account, lt: at.lt, known: known.at.lt });
                    }
                    Some(_) => self.reborn = true,
                    None => {}
                }
                self.next = None;
            }
        }
        self.found.push(transaction);
        Ok(())
    }

    /// Goes on at `link`, or ends where that is where we stand.
    fn settle(&mut self, link: Link) -> Result<(), Lie> {
        let account = self.account;
        self.next = match self.until {
            Some(Cursor { at, .. }) if link == at => None,
            Some(Cursor { at, .. }) if link.lt == at.lt => {
                return Err(Lie::Contradicts { account, lt: at.lt, ours: at.hash, theirs: link.hash });
            }
            Some(Cursor { at, .. }) if link.lt < at.lt => {
                return Err(Lie::PassesBy { account, lt: at.lt, hash: at.hash });
            }
            _ => Some(link),
        };
        Ok(())
    }

    /// The whole stretch; `None` while the way is not done.
    #[must_use]
    pub fn finish(self) -> Option<Stretch> {
        if self.next.is_some() {
            return None;
        }
        let mut transactions = self.found;
        transactions.reverse();
        Some(Stretch { account: self.account, transactions, reborn: self.reborn })
    }
}

/// Whether two say another transaction for the same place in an account's chain: then one of them lies.
pub fn agree(account: Account, ours: Link, theirs: Link) -> Result<(), Lie> {
    if ours.lt == theirs.lt && ours.hash != theirs.hash {
        return Err(Lie::Contradicts { account, lt: ours.lt, ours: ours.hash, theirs: theirs.hash });
    }
    Ok(())
}
