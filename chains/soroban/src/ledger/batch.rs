//! Several ledgers in one file, as data lakes keep them (SEP-54): read one by one, each within the bounds of a ledger.

use stellar_xdr::{LedgerCloseMeta, Limited, Limits, ReadXdr};

use super::{BYTES_MAX, DEPTH_MAX, Ledger, LedgerError, undecodable};

/// The first ledger it names, the last, and how many follow: three words of XDR.
const HEAD_BYTES: usize = 12;

/// The ledgers of a file, already decompressed. It ends with the first that is not as it should be.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// The ledgers it names: from the first to the last, both included.
    pub first: u32,
    pub last: u32,
    next: u64,
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batch<'a> {
    /// Reads what the file says of itself. It names as many ledgers as it claims to hold, or it is none.
    pub fn open(bytes: &'a [u8]) -> Result<Self, LedgerError> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| too_short(bytes))?;
        let word =
            |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word));
        let (first, last, count) = (word(0), word(4), word(8));
        if u64::from(last) + 1 != u64::from(first) + u64::from(count) {
            let what = format!("the file names ledgers {first} to {last} and holds {count}");
            return Err(LedgerError::Undecodable(what));
        }
        Ok(Self { first, last, next: u64::from(first), rest, failed: false })
    }

    fn read(&mut self, sequence: u32) -> Result<Ledger, LedgerError> {
        let len = self.rest.len().min(BYTES_MAX);
        let mut from = Limited::new(&mut self.rest, Limits { depth: DEPTH_MAX, len });
        let meta = LedgerCloseMeta::read_xdr(&mut from).map_err(|error| match error {
            stellar_xdr::Error::LengthLimitExceeded if len == BYTES_MAX => LedgerError::TooLarge(self.rest.len()),
            error => undecodable(error),
        })?;
        let ledger = Ledger::of(meta)?;
        if ledger.sequence() != sequence {
            return Err(LedgerError::OutOfPlace { expected: sequence, found: ledger.sequence() });
        }
        if sequence == self.last && !self.rest.is_empty() {
            let what = format!("{} bytes follow the last ledger of the file", self.rest.len());
            return Err(LedgerError::Undecodable(what));
        }
        Ok(ledger)
    }
}

impl Iterator for Batch<'_> {
    type Item = Result<Ledger, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let sequence = u32::try_from(self.next).ok().filter(|next| !self.failed && *next <= self.last)?;
        self.next += 1;
        let ledger = self.read(sequence);
        self.failed = ledger.is_err();
        Some(ledger)
    }
}

fn too_short(bytes: &[u8]) -> LedgerError {
    LedgerError::Undecodable(format!("a file of ledgers in {} bytes", bytes.len()))
}
