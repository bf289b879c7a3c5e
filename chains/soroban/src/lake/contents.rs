//! What is in a file of a lake. Pure: bytes in, the ledgers that were asked for out, or what is wrong with the file.

use std::ops::RangeInclusive;

use super::layout::Span;
use super::unpack::{Damage, UNPACKED_MAX, unpack};
use crate::ledger::{Batch, Ledger, LedgerError};

/// Why a file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error("it holds ledgers {first} to {last}, as its name does not say")]
    OtherLedgers { first: u32, last: u32 },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Ledgers of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) ledgers: Vec<Ledger>,
    /// Bytes that they were read from.
    pub(super) bytes: usize,
}

/// Those of a file's ledgers that are wanted, oldest first: at least one, and no more once they were read from
/// `enough` bytes. What comes after them in the file is not looked at.
pub(super) fn ledgers(packed: &[u8], place: Span, wanted: &RangeInclusive<u32>, enough: usize) -> Result<Found, Fault> {
    let unpacked = unpack(packed, UNPACKED_MAX)?;
    let mut batch = Batch::open(&unpacked)?;
    let (first, last) = (batch.first, batch.last);
    if !place.holds(first, last) {
        return Err(Fault::OtherLedgers { first, last });
    }
    let mut found = Found { ledgers: Vec::new(), bytes: 0 };
    let mut before = batch.left();
    while let Some(ledger) = batch.next() {
        let ledger = ledger?;
        let bytes = before.saturating_sub(batch.left());
        before = batch.left();
        let sequence = ledger.sequence();
        if wanted.contains(&sequence) {
            found.ledgers.push(ledger);
            found.bytes = found.bytes.saturating_add(bytes);
        }
        if sequence >= *wanted.end() || found.bytes >= enough {
            break;
        }
    }
    Ok(found)
}
