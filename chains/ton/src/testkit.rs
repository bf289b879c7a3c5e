//! Invented lives of accounts: transactions with true hashes, each standing on the one before it.

mod answer;
mod block;
mod fault;
mod getter;
mod history;
mod letter;
mod node;
pub mod sandbox;
mod shape;
mod streaming;
mod view;

pub use block::shard_block;
pub use fault::Fault;
pub use getter::Minter;
pub use history::{Block, Committed, History, Id, Kept, MASTERCHAIN};
pub use letter::{
    Letter, Payload, binary, comment, encrypted, for_contract, internal_transfer, notification, order, text,
};
pub use node::{Asked, Node, Reply, Script, Traffic};

use amn_core::block::Hash;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, HashBytes, Lazy};
use tycho_types::dict::Dict;
use tycho_types::models::{
    AccountStatus, AccountStatusChange, ActionPhase, BouncePhase, ComputePhase, ComputePhaseSkipReason, CreditPhase,
    CurrencyCollection, ExecutedBouncePhase, ExecutedComputePhase, HashUpdate, NoFundsBouncePhase, OrdinaryTxInfo,
    SkippedComputePhase, StoragePhase, StorageUsedShort, TickTock, TickTockTxInfo, Transaction, TxInfo,
};
use tycho_types::num::{Tokens, Uint15, VarUint56};

use crate::address::Account;
use crate::transaction::Link;

/// How much later each message happens than the one before: a block's worth, as the network counts.
const LT_OF_A_MESSAGE: u64 = 1_000_000;
/// The network's own transactions of one block stand close together.
const LT_OF_A_STRIKE: u64 = 1;

/// How far an account gets with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Its code ran and did what it wanted.
    Accepted,
    /// Nothing is deployed: the value stays, and the transaction counts as aborted.
    Undeployed,
    /// Too little to run on: the value stays, and the transaction counts as aborted.
    NoGas,
    /// Its code gave up, and the message wanted no answer: the value stays.
    Failed(i32),
    /// Its code ran, and what it asked for could not be done.
    ActionFailed,
    /// Its code gave up, and the value went back.
    SentBack,
    /// It should have gone back, and was too little for it.
    TooLittleToSendBack,
    /// What happened is written in a way nobody knows yet.
    Undescribed,
}

/// A transaction as a node gives it, and as it is known.
#[derive(Clone, Debug)]
pub struct Made {
    pub at: Link,
    pub cell: Cell,
}

impl Made {
    /// The bag of cells that holds it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        Boc::encode(&self.cell)
    }
}

/// One account, and its chain so far.
#[derive(Clone, Debug)]
pub struct Life {
    pub account: Account,
    pub last: Option<Link>,
    lt: u64,
    now: u32,
}

impl Life {
    /// An account that nothing has happened to yet.
    #[must_use]
    pub const fn of(account: Account) -> Self {
        Self { account, last: None, lt: 1_000_000, now: 1_760_000_000 }
    }

    /// What happens next happens after this logical time, in this second.
    pub fn wait_until(&mut self, lt: u64, now: u32) {
        self.lt = self.lt.max(lt);
        self.now = now;
    }

    /// The network's own clock starts the account: a tick, or a tock.
    pub fn strike(&mut self, kind: TickTock) -> Made {
        let info = TxInfo::TickTock(TickTockTxInfo {
            kind,
            storage_phase: StoragePhase {
                storage_fees_collected: Tokens::ZERO,
                storage_fees_due: None,
                status_change: AccountStatusChange::Unchanged,
            },
            compute_phase: executed(0),
            action_phase: Some(acted(true)),
            aborted: false,
            destroyed: false,
        });
        self.commit(None, lazy(&info), 0, AccountStatus::Active, LT_OF_A_STRIKE)
    }

    /// The account receives a message and ends up so.
    pub fn receive(&mut self, letter: &Letter, outcome: Outcome) -> Made {
        self.happen(Some(letter.cell(&self.account)), outcome, 0, AccountStatus::Active)
    }

    /// As [`Self::receive`], and sends so many messages for it.
    pub fn receive_and_send(&mut self, letter: &Letter, outcome: Outcome, sent: u16) -> Made {
        self.happen(Some(letter.cell(&self.account)), outcome, sent, AccountStatus::Active)
    }

    /// As [`Self::receive`]; afterwards the account is gone, and its next chain begins anew.
    pub fn receive_and_go(&mut self, letter: &Letter, outcome: Outcome) -> Made {
        let made = self.happen(Some(letter.cell(&self.account)), outcome, 0, AccountStatus::NotExists);
        self.last = None;
        made
    }

    /// The account receives a message that is this cell, whatever it is.
    pub fn receive_cell(&mut self, message: Cell, outcome: Outcome) -> Made {
        self.happen(Some(message), outcome, 0, AccountStatus::Active)
    }

    fn happen(&mut self, message: Option<Cell>, outcome: Outcome, sent: u16, ends: AccountStatus) -> Made {
        let info = match outcome {
            Outcome::Undescribed => undescribed(),
            outcome => lazy(&TxInfo::Ordinary(described(outcome))),
        };
        self.commit(message, info, sent, ends, LT_OF_A_MESSAGE)
    }

    fn commit(&mut self, message: Option<Cell>, info: Lazy<TxInfo>, sent: u16, ends: AccountStatus, lt: u64) -> Made {
        self.lt += lt;
        let before = self.last.unwrap_or(Link { lt: 0, hash: Hash([0; 32]) });
        let mut made = Transaction {
            account: HashBytes(self.account.id),
            lt: self.lt,
            prev_trans_hash: HashBytes(before.hash.0),
            prev_trans_lt: before.lt,
            now: self.now,
            out_msg_count: Uint15::new(sent),
            orig_status: AccountStatus::Active,
            end_status: ends,
            in_msg: message,
            out_msgs: Dict::new(),
            total_fees: CurrencyCollection::new(1_000),
            state_update: lazy(&HashUpdate { old: HashBytes([1; 32]), new: HashBytes([2; 32]) }),
            info,
        };
        for index in 0..sent {
            let key = Uint15::new(index);
            let message = CellBuilder::build_from(u64::from(index)).unwrap_or_default();
            // Written to memory, a small dictionary cannot fail.
            let _ = made.out_msgs.set(key, message);
        }
        let cell = CellBuilder::build_from(&made).unwrap_or_default();
        let at = Link { lt: self.lt, hash: crate::cell::hash(&cell) };
        self.last = Some(at);
        Made { at, cell }
    }
}

fn lazy<T: tycho_types::cell::Store + tycho_types::cell::EquivalentRepr<T>>(value: &T) -> Lazy<T> {
    Lazy::new(value).unwrap_or_else(|_| unreachable!("what is built here fits into a cell"))
}

/// An ordinary transaction whose code was not run for a reason that does not exist.
fn undescribed() -> Lazy<TxInfo> {
    let mut builder = CellBuilder::new();
    // Ordinary, value first, no storage phase, no credit phase, not run: 111.
    let _ = builder.store_uint(0b000_0100_0111, 11);
    Lazy::from_raw(builder.build().unwrap_or_default()).unwrap_or_else(|_| unreachable!("an ordinary cell"))
}

fn described(outcome: Outcome) -> OrdinaryTxInfo {
    let skipped = |reason| ComputePhase::Skipped(SkippedComputePhase { reason });
    let compute_phase = match outcome {
        Outcome::Undeployed => skipped(ComputePhaseSkipReason::NoState),
        Outcome::NoGas | Outcome::TooLittleToSendBack => skipped(ComputePhaseSkipReason::NoGas),
        Outcome::Accepted | Outcome::ActionFailed | Outcome::Undescribed => executed(0),
        Outcome::Failed(code) => executed(code),
        Outcome::SentBack => executed(74),
    };
    let ran = matches!(outcome, Outcome::Accepted | Outcome::ActionFailed);
    let size = StorageUsedShort::default();
    OrdinaryTxInfo {
        credit_first: true,
        storage_phase: None,
        credit_phase: Some(CreditPhase { due_fees_collected: None, credit: CurrencyCollection::new(1) }),
        compute_phase,
        action_phase: ran.then(|| acted(outcome == Outcome::Accepted)),
        aborted: outcome != Outcome::Accepted,
        bounce_phase: match outcome {
            Outcome::SentBack => Some(BouncePhase::Executed(ExecutedBouncePhase {
                msg_size: size,
                msg_fees: Tokens::new(1),
                fwd_fees: Tokens::new(2),
            })),
            Outcome::TooLittleToSendBack => {
                Some(BouncePhase::NoFunds(NoFundsBouncePhase { msg_size: size, req_fwd_fees: Tokens::new(400_000) }))
            }
            _ => None,
        },
        destroyed: false,
    }
}

fn executed(exit_code: i32) -> ComputePhase {
    ComputePhase::Executed(ExecutedComputePhase {
        success: exit_code == 0,
        msg_state_used: false,
        account_activated: false,
        gas_fees: Tokens::new(100),
        gas_used: VarUint56::new(1_000),
        gas_limit: VarUint56::new(10_000),
        gas_credit: None,
        mode: 0,
        exit_code,
        exit_arg: None,
        vm_steps: 60,
        vm_init_state_hash: HashBytes([3; 32]),
        vm_final_state_hash: HashBytes([4; 32]),
    })
}

fn acted(success: bool) -> ActionPhase {
    ActionPhase {
        success,
        valid: true,
        no_funds: !success,
        status_change: AccountStatusChange::Unchanged,
        total_fwd_fees: None,
        total_action_fees: None,
        result_code: if success { 0 } else { 37 },
        result_arg: None,
        total_actions: 1,
        special_actions: 0,
        skipped_actions: 0,
        messages_created: 0,
        action_list_hash: HashBytes([5; 32]),
        total_message_size: StorageUsedShort::default(),
    }
}
