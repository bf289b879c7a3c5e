//! What the escrow backend expects, and the few ways in which that may go on.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::block::{Address, AssetId, Height, Reference};
use crate::confirmation::Require;
use crate::deposit::{Deposit, DepositStatus};
use crate::id::IntentId;
use crate::money::Amount;
use crate::source::WatchVersion;
use crate::timestamp::Timestamp;

/// Where an intent is. The only legal moves are in [`Status::may_become`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing has arrived. Next: detected, expired, canceled.
    Awaiting,
    /// Money is there and not enough of it has settled. Next: confirmed, awaiting, expired.
    Detected,
    /// Enough has settled. Next: reversed.
    Confirmed,
    /// The time is over and in-time money does not suffice. Next: late, confirmed (accepted).
    Expired,
    /// The backend gave it up. Next: late.
    Canceled,
    /// Money came after the end. Next: expired, canceled (retracted), confirmed (accepted).
    Late,
    /// Settled money was undone and what remains does not suffice. Next: awaiting, detected, confirmed, expired.
    Reversed,
}

impl Status {
    pub const ALL: [Self; 7] =
        [Self::Awaiting, Self::Detected, Self::Confirmed, Self::Expired, Self::Canceled, Self::Late, Self::Reversed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Detected => "detected",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Late => "late",
            Self::Reversed => "reversed",
        }
    }

    /// The allow-list. The database holds the same one; a repeated move is a no-op.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use Status::{Awaiting, Canceled, Confirmed, Detected, Expired, Late, Reversed};
        matches!(
            (self, next),
            (Awaiting, Detected | Expired | Canceled)
                | (Detected, Confirmed | Awaiting | Expired)
                | (Expired | Canceled, Late)
                | (Late, Expired | Canceled | Confirmed)
                | (Expired, Confirmed)
                | (Confirmed, Reversed)
                | (Reversed, Awaiting | Detected | Confirmed | Expired)
        )
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// How an intent ended before enough had come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Expired,
    Canceled,
}

impl End {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }
}

/// What an intent asks for. Never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    pub tenant: String,
    pub asset: AssetId,
    pub address: Address,
    /// As matched on chain. `None`: the address is this intent's alone.
    pub reference: Option<Reference>,
    pub due: Amount,
    /// How much less than `due` is still enough.
    pub tolerance: Amount,
    /// Money in a block of a later time is late. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// AND-ed to the network's policy.
    pub require: Require,
    pub metadata: BTreeMap<String, serde_json::Value>,
}

impl Terms {
    /// The least that is enough; never nothing, however generous the tolerance.
    #[must_use]
    pub fn enough(&self) -> Amount {
        self.due.beyond(self.tolerance).max(Amount::new(1))
    }

    /// Whether money in a block of that time comes too late.
    #[must_use]
    pub fn is_past(&self, block_time: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires| block_time > expires)
    }
}

/// What is recorded of an intent beside its terms and deposits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    pub status: Status,
    pub ended: Option<End>,
    /// What had settled when a person accepted it as enough.
    pub accepted: Option<Amount>,
    /// Settled money was undone, and nothing has arrived since.
    pub was_reversed: bool,
    pub sums: Sums,
    /// The number of the last event; events are 1..sequence without gaps.
    pub sequence: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            status: Status::Awaiting,
            ended: None,
            accepted: None,
            was_reversed: false,
            sums: Sums::default(),
            sequence: 0,
        }
    }
}

/// An intent: its terms, what has been recorded, and how far the chain has been read for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    pub id: IntentId,
    pub terms: Terms,
    pub progress: Progress,
    /// When its watch became visible, among all watches of the network.
    pub watch: WatchVersion,
    /// Heights that were covered without it and must be read again before it may expire.
    pub backfill: Option<(Height, Height)>,
}

/// What has arrived for an intent. Each is a sum over its live deposits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// In time (or accepted), settled or not.
    pub received: Amount,
    /// In time (or accepted) and settled.
    pub settled: Amount,
    /// After the end, and not accepted.
    pub late: Amount,
}

impl Sums {
    /// The sums of these deposits.
    #[must_use]
    pub fn of<'a>(deposits: &(impl Iterator<Item = &'a Deposit> + Clone)) -> Self {
        let sum = |keep: fn(&&Deposit) -> bool| {
            Amount::total(deposits.clone().filter(|d| d.is_live()).filter(keep).map(|d| d.transfer.amount))
        };
        Self {
            received: sum(|d| d.counts()),
            settled: sum(|d| d.counts() && d.status == DepositStatus::Settled),
            late: sum(|d| !d.counts()),
        }
    }

    /// All that is there: what a tier is chosen by, together with what is due.
    #[must_use]
    pub fn arrived(&self) -> Amount {
        Amount::total([self.received, self.late])
    }
}

impl Intent {
    /// The least that must have settled for `confirmed`: what was accepted, or the terms.
    #[must_use]
    pub fn threshold(&self) -> Amount {
        self.progress.accepted.map_or(self.terms.enough(), |accepted| accepted.min(self.terms.enough()))
    }

    /// The status that the terms, the recorded facts and the sums make. Pure: nothing else has a say.
    #[must_use]
    pub fn status_of(&self, sums: &Sums) -> Status {
        let late = !sums.late.is_zero();
        match self.progress.ended {
            Some(_) if late => Status::Late,
            Some(End::Expired) => Status::Expired,
            Some(End::Canceled) => Status::Canceled,
            None if sums.settled >= self.threshold() => Status::Confirmed,
            None if self.progress.status == Status::Confirmed || self.progress.was_reversed => Status::Reversed,
            None if !sums.received.is_zero() => Status::Detected,
            None => Status::Awaiting,
        }
    }

    /// Whether a settled block of that time ends it: in-time money, pending included, does not suffice.
    #[must_use]
    pub fn expires_by(&self, settled_time: Timestamp) -> bool {
        self.progress.ended.is_none()
            && matches!(self.progress.status, Status::Awaiting | Status::Detected | Status::Reversed)
            && self.backfill.is_none()
            && self.terms.expires_at.is_some_and(|expires| expires < settled_time)
            && self.progress.sums.received < self.threshold()
    }

    /// Whether money that arrives now in a block of that time is late.
    #[must_use]
    pub fn is_late(&self, block_time: Timestamp) -> bool {
        self.progress.ended.is_some() || self.terms.is_past(block_time)
    }
}
