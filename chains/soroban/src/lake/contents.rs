//! What is in a file of a lake. Pure: bytes in, its ledgers out one by one, or what is wrong with the file.

use bytes::Bytes;

use super::layout::Span;
use super::unpack::{Damage, UNPACKED_MAX, unpack};
use crate::ledger::{Batch, Ledger, LedgerError};

/// A file as the lake has it, and the place it was found at. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(super) place: Span,
    pub(super) packed: Bytes,
}

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is not what it was when it was written, or never was what its name says.
    #[error("the file of ledger {ledger}: {damage}")]
    Damaged { ledger: u32, damage: Damage },
    #[error("the file of ledger {ledger} holds ledgers {first} to {last}, as its name does not say")]
    OtherLedgers { ledger: u32, first: u32, last: u32 },
    #[error("the file of ledger {ledger}: {error}")]
    Ledger { ledger: u32, error: LedgerError },
}

impl File {
    /// Hands over its ledgers from `from` on, oldest first, until `take` wants no more. What follows then is not looked
    /// at. One of them is in memory at a time.
    pub(crate) fn ledgers<E: From<Fault>>(
        &self,
        from: u32,
        mut take: impl FnMut(Ledger) -> Result<bool, E>,
    ) -> Result<(), E> {
        let ledger = self.place.first.max(from);
        let unreadable = |error| E::from(Fault::Ledger { ledger, error });
        let unpacked =
            unpack(&self.packed, UNPACKED_MAX).map_err(|damage| E::from(Fault::Damaged { ledger, damage }))?;
        let batch = Batch::open(&unpacked).map_err(unreadable)?;
        let (first, last) = (batch.first, batch.last);
        if !self.place.holds(first, last) {
            return Err(Fault::OtherLedgers { ledger, first, last }.into());
        }
        for ledger in batch {
            let ledger = ledger.map_err(unreadable)?;
            if ledger.sequence() >= from && !take(ledger)? {
                break;
            }
        }
        Ok(())
    }
}
