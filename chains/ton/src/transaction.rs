//! A transaction from its raw cell: whose it is, what it stands on, what came in, and how far it got.
//!
//! What names it and links it is always readable, or it is no transaction. The message in it was written by a stranger:
//! whatever of that cannot be read is said so and stops nobody from reading on.

use amn_core::block::{Hash, TxHash};
use tycho_types::cell::{Cell, CellSlice, CellSliceRange, Load};
use tycho_types::error::Error;
use tycho_types::models::{
    AccountStatus, BouncePhase, ComputePhase, OrdinaryTxInfo, StateInit, Transaction as Committed, TxInfo,
};
use tycho_types::num::Tokens;

use crate::address::Account;
use crate::cell::{self, CellError};

/// The place of a transaction in its account's chain, and its name there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link {
    /// Logical time: grows along the chain of one account.
    pub lt: u64,
    pub hash: Hash,
}

/// A transaction of one account, with the hash of everything in it.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub account: Account,
    /// Its logical time and the hash of its cell.
    pub at: Link,
    /// The transaction of the same account before it; `None` where it is the first of this account's life.
    pub on: Option<Link>,
    /// Unix seconds.
    pub now: u32,
    /// Whether the account is there after it. One that is not begins a new chain when it comes back.
    pub ends: Ending,
    /// Messages it sent.
    pub sent: u16,
    pub arrived: Arrived,
    pub course: Course,
}

/// What is left of an account after a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It exists, deployed or not.
    There,
    Frozen,
    /// Nothing is left; its chain ends here.
    Gone,
}

/// What a transaction was started by.
#[derive(Clone, Debug)]
pub enum Arrived {
    /// By the network itself, or by a message from outside.
    Nothing,
    Message(Box<Message>),
    /// By a message that cannot be read as far as its value.
    Unreadable,
}

/// A message from another account.
#[derive(Clone, Debug)]
pub struct Message {
    /// `None` where the sender is no account of the usual form.
    pub from: Option<Account>,
    /// Nanotons it carries.
    pub value: u128,
    /// Whether it is the network's: one of ours that came back.
    pub bounced: bool,
    /// The state it brings along for an account that is not deployed: its hash is that account's address.
    pub init: Option<Cell>,
    /// The hash of the message: what is told apart where its body cannot be.
    pub hash: Hash,
    body: Option<(CellSliceRange, Cell)>,
}

/// How far an account got with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    Ordinary(Phases),
    /// Made by the network itself, or of a kind that no payment has.
    Other,
    /// Its description cannot be read.
    Unreadable,
}

/// The phases of an ordinary transaction. That it was aborted does not mean that it was not paid.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that the transaction states on its own")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Phases {
    /// The value was put on the balance before anything ran.
    pub credited: bool,
    /// The account's code ran to its end.
    pub computed: bool,
    /// What the code asked for was done.
    pub acted: bool,
    /// The value was sent back.
    pub sent_back: bool,
    pub aborted: bool,
}

/// Why a cell is no transaction of that account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error(transparent)]
    Cell(#[from] CellError),
    #[error("a message to {to} started a transaction of {account}")]
    OfOther { account: Account, to: Account },
}

impl From<Error> for TransactionError {
    fn from(error: Error) -> Self {
        Self::Cell(error.into())
    }
}

impl Transaction {
    /// Reads a transaction from the bag that holds it. A transaction does not say its workchain: whoever asked for it
    /// does, and a message in it must say the same.
    pub fn decode(workchain: i8, bytes: &[u8]) -> Result<Self, TransactionError> {
        Self::of_cell(workchain, &cell::decode(bytes)?)
    }

    /// Reads a transaction from its cell, which must be whole.
    pub fn of_cell(workchain: i8, cell: &Cell) -> Result<Self, TransactionError> {
        if cell.level() > 0 {
            return Err(CellError::CutOut(cell.level()).into());
        }
        let committed: Committed = cell.parse()?;
        let account = Account::new(workchain, committed.account.0);
        let before = Link { lt: committed.prev_trans_lt, hash: Hash(committed.prev_trans_hash.0) };
        let (arrived, to) = match committed.in_msg.as_ref().map(message) {
            None => (Arrived::Nothing, None),
            Some(Ok((message, to))) => (message.map_or(Arrived::Nothing, |one| Arrived::Message(Box::new(one))), to),
            Some(Err(_)) => (Arrived::Unreadable, None),
        };
        if let Some(to) = to.filter(|to| *to != account) {
            return Err(TransactionError::OfOther { account, to });
        }
        Ok(Self {
            account,
            at: Link { lt: committed.lt, hash: cell::hash(cell) },
            on: (before.lt > 0).then_some(before),
            now: committed.now,
            ends: match committed.end_status {
                AccountStatus::NotExists => Ending::Gone,
                AccountStatus::Frozen => Ending::Frozen,
                AccountStatus::Active | AccountStatus::Uninit => Ending::There,
            },
            sent: committed.out_msg_count.into_inner(),
            arrived,
            course: course(&committed),
        })
    }

    #[must_use]
    pub const fn hash(&self) -> TxHash {
        self.at.hash
    }

    #[must_use]
    pub const fn message(&self) -> Option<&Message> {
        match &self.arrived {
            Arrived::Message(message) => Some(message),
            Arrived::Nothing | Arrived::Unreadable => None,
        }
    }
}

impl Message {
    /// What it says; `None` where that cannot be read.
    #[must_use]
    pub fn body(&self) -> Option<CellSlice<'_>> {
        self.body.as_ref().and_then(|(range, cell)| range.apply(cell).ok())
    }

    /// The operation it asks for; `None` where it asks for none.
    #[must_use]
    pub fn operation(&self) -> Option<u32> {
        self.body()?.load_u32().ok()
    }
}

/// What kind of transaction it is is looked at first: one that should be ordinary and cannot be read may have paid.
fn course(committed: &Committed) -> Course {
    let kind = committed.info.inner().as_slice().and_then(|description| description.get_small_uint(0, 4));
    match (kind, committed.load_info()) {
        (Ok(0b0000), Ok(TxInfo::Ordinary(info))) => Course::Ordinary(phases(&info)),
        (Ok(0b0000) | Err(_), _) => Course::Unreadable,
        // By the network's own clock, or a split or merge of an account, which is described and never in use.
        _ => Course::Other,
    }
}

fn phases(info: &OrdinaryTxInfo) -> Phases {
    Phases {
        credited: info.credit_phase.is_some(),
        computed: matches!(&info.compute_phase, ComputePhase::Executed(phase) if phase.success),
        acted: info.action_phase.as_ref().is_some_and(|phase| phase.success),
        // Without funds for it, what should have been sent back stays.
        sent_back: matches!(info.bounce_phase, Some(BouncePhase::Executed(_))),
        aborted: info.aborted,
    }
}

/// A message and whom it is for; nothing where it came from outside.
fn message(cell: &Cell) -> Result<(Option<Message>, Option<Account>), Error> {
    let mut rest = cell.as_slice()?;
    if rest.load_bit()? {
        return Ok((None, None));
    }
    let _instant_routing_disabled = rest.load_bit()?;
    let _may_bounce = rest.load_bit()?;
    let bounced = rest.load_bit()?;
    let (from, to) = (Account::load(&mut rest)?, Account::load(&mut rest)?);
    let value = Tokens::load_from(&mut rest)?.into_inner();
    if rest.load_bit()? {
        // Other currencies: nobody waits for them.
        rest.load_reference()?;
    }
    let (init, body) = carried(cell, rest).unwrap_or_default();
    Ok((Some(Message { from, value, bounced, init, hash: cell::hash(cell), body }), to))
}

type Carried = (Option<Cell>, Option<(CellSliceRange, Cell)>);

/// The state and the body that a message carries, after its value.
fn carried(cell: &Cell, mut rest: CellSlice<'_>) -> Result<Carried, Error> {
    let (_flags, _forwarding) = (Tokens::load_from(&mut rest)?, Tokens::load_from(&mut rest)?);
    // When it was made: logical time, seconds.
    rest.skip_first(64 + 32, 0)?;
    let init = match (rest.load_bit()?, rest) {
        (false, _) => None,
        (true, _) if rest.load_bit()? => Some(rest.load_reference_cloned()?),
        (true, _) => {
            let state = StateInit::load_from(&mut rest)?;
            tycho_types::cell::CellBuilder::build_from(&state).ok()
        }
    };
    let body = if rest.load_bit()? {
        let body = rest.load_reference_cloned()?;
        (CellSliceRange::full(body.as_ref()), body)
    } else {
        (rest.range(), cell.clone())
    };
    Ok((init, Some(body)))
}
