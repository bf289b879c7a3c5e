//! Decides. Given what is known and what has just happened, lists what must now be true. Touches nothing.
//!
//! [`step`] is pure and total. It folds block by block and announces per block in a fixed order, so
//! that a stretch of n blocks tells exactly what n stretches of one would. Read on in `fold`.

mod arrivals;
mod commands;
mod fold;
mod forks;
mod sightings;
mod state;
mod tell;

use std::collections::BTreeSet;

use crate::block::{Block, BlockHash, BlockRef, Evidence, Header, Height, Observation, Operator, TransferId};
use crate::confirmation::Policy;
use crate::contract::{ContractWatch, Sighting};
use crate::deposit::{Deposit, DepositStatus, Owner, Settlement};
use crate::event::Event;
use crate::id::{DepositId, IntentId};
use crate::intent::Progress;
use crate::source::{Coverage, Segment, Voucher, WatchVersion};

pub use state::{
    Headers, KEPT_BELOW_FINALIZED, REMEMBERED_HEADERS_MAX, REMEMBERED_WITHOUT_FINALITY_SECONDS, Standing, State,
};

/// What has just happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The ledger of a network begins at this block.
    Start(Header),
    /// The chain grew.
    Extend(Segment),
    /// The chain left us at `fork` and went on as `by`.
    Replace { fork: BlockRef, by: Segment },
    /// What the network says of its own blocks, and which operators stand behind them.
    Finality { safe: Option<BlockRef>, finalized: Option<BlockRef>, vouchers: Vec<Voucher> },
    /// More is known of how a transfer got into its block.
    Evidence { of: TransferId, block: BlockRef, is: Evidence },
    /// Covered heights were read again, for watches that are newer than their coverage (`intents`, `contracts`) or
    /// because something may have been missed, up to a block of the chain that was read: where we no longer stand on
    /// it, nothing of it counts.
    Found { blocks: Vec<Block>, intents: Vec<IntentId>, contracts: Vec<ContractWatch>, through: BlockRef },
    /// A person or a backend asks for something.
    Command(Command),
    /// The policy of the network changed.
    Policy(Policy),
    /// The network must stop for a person.
    Halt(Halt),
}

/// What a person or a backend may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Give an intent up that nothing has arrived for.
    Cancel { intent: IntentId },
    /// Take what has arrived as enough.
    Accept { intent: IntentId },
    /// Give unmatched money to an intent.
    Assign { deposit: DepositId, intent: IntentId },
    /// Take back what was assigned.
    Unassign { deposit: DepositId },
    /// Go on after a halt; after a fork halt only by accepting a block of the new branch.
    Resume { accept_fork: Option<BlockHash> },
}

/// Why a command was refused; the words are for whoever asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
}

/// Why a network stands still until a person looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HaltReason {
    /// The chain left us below what it had called final.
    ForkBelowFinalized,
    /// The chain left us deeper than we remember.
    ForkTooDeep,
    /// The history we need is gone from every node.
    Pruned,
    /// This binary is behind the chain.
    Unsupported,
    /// A block of an instantly final network has another hash.
    LyingOperator,
}

impl HaltReason {
    pub const ALL: [Self; 5] =
        [Self::ForkBelowFinalized, Self::ForkTooDeep, Self::Pruned, Self::Unsupported, Self::LyingOperator];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForkBelowFinalized => "fork_below_finalized",
            Self::ForkTooDeep => "fork_too_deep",
            Self::Pruned => "pruned",
            Self::Unsupported => "unsupported",
            Self::LyingOperator => "lying_operator",
        }
    }

    /// Whether going on means that settled history is replaced.
    #[must_use]
    pub const fn is_fork(self) -> bool {
        matches!(self, Self::ForkBelowFinalized | Self::ForkTooDeep)
    }
}

/// A halt with the words for the person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Halt {
    pub reason: HaltReason,
    pub detail: String,
}

/// Something ops should hear of that halts nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// A bounded word, also a metric label.
    pub kind: &'static str,
    pub detail: String,
}

/// What must now be true, in this order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Start {
        at: Header,
    },
    /// The tip moves up one listed block; these operators gave it.
    Advance {
        header: Header,
        operators: BTreeSet<Operator>,
    },
    /// A stretch was read, decided and is now covered.
    Cover {
        parent: BlockRef,
        tip: Header,
        coverage: Coverage,
        watched: WatchVersion,
        read_by: Option<Operator>,
        checkpoint: Vec<(String, Vec<u8>)>,
    },
    Backfilled {
        intents: Vec<IntentId>,
        contracts: Vec<ContractWatch>,
        through: Height,
    },
    /// Everything above `to` left the chain. `accepted`: for a branch that a person named.
    Rewind {
        to: Header,
        from: Header,
        onto: BlockRef,
        accepted: bool,
    },
    /// Headers below are no longer needed.
    Forget {
        below: Height,
    },
    Mark {
        safe: Option<BlockRef>,
        finalized: Option<BlockRef>,
    },
    Vouch {
        operator: Operator,
        at: BlockRef,
    },
    /// A deposit is seen for the first time.
    Record(Box<Deposit>),
    /// A known deposit is now in this block: it moved with its branch, or it came back.
    Place(Box<Deposit>),
    Prove {
        deposit: DepositId,
        evidence: Evidence,
    },
    Settle {
        deposit: DepositId,
        settlement: Settlement,
        evidence: Evidence,
    },
    /// It left the chain: retracted where it had not settled, else reversed.
    Undo {
        deposit: DepositId,
        status: DepositStatus,
    },
    Own {
        deposit: DepositId,
        owner: Owner,
        assigned: bool,
        late: bool,
        accepted: bool,
        tenant: String,
    },
    SetIntent {
        intent: IntentId,
        progress: Box<Progress>,
    },
    /// What a contract said is known so from now on: for the first time, or otherwise than before.
    Sight(Box<Sighting>),
    SetPolicy(Policy),
    Announce(Event),
    Halt(Halt),
    Resume {
        accept_fork: Option<BlockHash>,
    },
    Observe {
        at: BlockRef,
        observation: Observation,
    },
    Alarm(Alarm),
}

/// Decides. A halted network decides nothing but commands.
///
/// # Errors
/// Only a [`Input::Command`] is ever refused.
pub fn step(state: &State, input: &Input) -> Result<Vec<Effect>, Refusal> {
    let mut fold = fold::Fold::new(state);
    match input {
        Input::Command(command) => fold.command(*command)?,
        _ if state.standing.halted.is_some() => {}
        Input::Start(header) => fold.start(*header),
        Input::Extend(segment) => fold.extend(segment),
        Input::Replace { fork, by } => fold.replace(*fork, by),
        Input::Finality { safe, finalized, vouchers } => fold.finality(*safe, *finalized, vouchers),
        Input::Evidence { of, block, is } => fold.evidence(of, *block, is),
        Input::Found { blocks, intents, contracts, through } => fold.found(blocks, intents, contracts, *through),
        Input::Policy(policy) => fold.policy(policy),
        Input::Halt(halt) => fold.halt(halt.clone()),
    }
    Ok(fold.effects)
}
