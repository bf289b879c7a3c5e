//! Ledgers as nodes keep them: invented ones, real ones, and invented ones that stand on real ones.
//!
//! A history may be shared by several nodes, grow and forget while they serve it.

use std::collections::BTreeMap;
use std::sync::Arc;

use amn_core::block::{BlockRef, Hash, Height};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stellar_xdr::{LedgerCloseMeta, LedgerHeaderHistoryEntry, Limits, ReadXdr, StellarValue, WriteXdr};

use super::chain::{Chain, Closed, Validator};
use super::transaction::Tx;
use crate::ledger::{BYTES_MAX, DEPTH_MAX, milliseconds};

/// Ledgers that a node keeps unless it is told otherwise, as the software nodes run does: a week of five seconds.
pub const RETENTION_WINDOW: u32 = 120_960;

/// A ledger as a node keeps it.
#[derive(Clone, Debug)]
pub struct Made {
    pub at: BlockRef,
    pub parent: BlockRef,
    pub protocol: u32,
    /// Seconds.
    pub close_time: u64,
    /// Base64 of its header with its hash.
    pub header: Arc<str>,
    /// Base64 of the whole.
    pub meta: Arc<str>,
}

impl Made {
    /// The ledger as bytes, nothing about it believed but that its header can be read.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        let limits = Limits { depth: DEPTH_MAX, len: bytes.len().min(BYTES_MAX) };
        let meta = LedgerCloseMeta::from_xdr(bytes, limits).map_err(|error| error.to_string())?;
        Ok(Self::new(entry(&meta), bytes))
    }

    fn new(entry: &LedgerHeaderHistoryEntry, bytes: &[u8]) -> Self {
        let height = Height(u64::from(entry.header.ledger_seq));
        Self {
            at: BlockRef { height, hash: Hash(entry.hash.0) },
            parent: BlockRef { height: height.back(1), hash: Hash(entry.header.previous_ledger_hash.0) },
            protocol: entry.header.ledger_version,
            close_time: entry.header.scp_value.close_time.0,
            header: STANDARD.encode(entry.to_xdr(Limits::none()).unwrap_or_default()).into(),
            meta: STANDARD.encode(bytes).into(),
        }
    }

    /// The ledger's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(self.meta.as_bytes()).unwrap_or_default()
    }
}

/// A chain of ledgers, and how the next one will be closed.
#[derive(Clone, Debug)]
pub struct History {
    pub passphrase: String,
    /// Closes the next ledger.
    pub chain: Chain,
    /// They close ledgers by turns.
    pub validators: Arc<[Validator]>,
    /// By sequence.
    pub ledgers: BTreeMap<u32, Made>,
    /// So many of the newest are kept.
    pub retention_window: u32,
}

impl History {
    /// A history of a network of one's own, without a ledger yet. Its one validator is `Validator::new(1)`.
    #[must_use]
    pub fn new(passphrase: &str, protocol: u32) -> Self {
        Self::on(passphrase, Chain::new(passphrase, protocol))
    }

    /// A history that goes on where this chain stands.
    #[must_use]
    pub fn on(passphrase: &str, chain: Chain) -> Self {
        Self {
            passphrase: passphrase.to_owned(),
            chain,
            validators: [Validator::new(1)].into(),
            ledgers: BTreeMap::new(),
            retention_window: RETENTION_WINDOW,
        }
    }

    /// A history that begins with a real ledger, read elsewhere. What closes next stands on it, in the form of its
    /// protocol and with true hashes, signed by our own validators: whom the network's file does not name.
    pub fn of_real(passphrase: &str, bytes: &[u8]) -> Result<Self, String> {
        let made = Made::of(bytes)?;
        let mut history = Self::on(passphrase, Chain::on(passphrase, made.protocol, made.parent, 0));
        history.push_bytes(bytes)?;
        Ok(history)
    }

    /// Its ledgers are closed by these validators, by turns.
    #[must_use]
    pub fn closed_by(mut self, validators: impl IntoIterator<Item = Validator>) -> Self {
        self.validators = validators.into_iter().collect();
        self
    }

    /// Closes a ledger with these transactions, applied in this order.
    ///
    /// # Panics
    /// Where nobody closes ledgers.
    pub fn close(&mut self, transactions: &[Tx]) -> Closed {
        let turn = usize::try_from(self.chain.tip.height.0).unwrap_or(0) % self.validators.len();
        let closed = self.chain.close(transactions, &self.validators[turn]);
        self.keep(Made::new(entry(&closed.meta), &closed.bytes()));
        closed
    }

    /// Closes so many empty ledgers.
    pub fn pass(&mut self, ledgers: u32) {
        for _ in 0..ledgers {
            self.close(&[]);
        }
    }

    /// Appends a ledger that was closed elsewhere, as it is, whatever it stands on.
    pub fn push(&mut self, closed: &Closed) -> BlockRef {
        self.go_on_from(entry(&closed.meta));
        self.keep(Made::new(entry(&closed.meta), &closed.bytes()));
        closed.at
    }

    /// The same of its bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<BlockRef, String> {
        let limits = Limits { depth: DEPTH_MAX, len: bytes.len().min(BYTES_MAX) };
        let meta = LedgerCloseMeta::from_xdr(bytes, limits).map_err(|error| error.to_string())?;
        self.go_on_from(entry(&meta));
        let made = Made::new(entry(&meta), bytes);
        let at = made.at;
        self.keep(made);
        Ok(at)
    }

    /// Forgets every ledger below this one.
    pub fn forget_below(&mut self, sequence: u32) {
        self.ledgers = self.ledgers.split_off(&sequence);
    }

    /// Drops every ledger above this one. What closes next is another branch: Stellar has none, liars do.
    pub fn rewind(&mut self, to: u32) {
        drop(self.ledgers.split_off(&to.saturating_add(1)));
        if let Some(made) = self.ledgers.get(&to) {
            self.chain.tip = made.at;
            self.chain.protocol = made.protocol;
            // Closed at another time than what was dropped, and so another ledger though nothing else differs.
            self.chain.milliseconds = made.close_time * 1_000 + 1_000;
        }
    }

    #[must_use]
    pub fn oldest(&self) -> Option<&Made> {
        self.ledgers.first_key_value().map(|(_, made)| made)
    }

    #[must_use]
    pub fn tip(&self) -> Option<&Made> {
        self.ledgers.last_key_value().map(|(_, made)| made)
    }

    /// The ledger that the oldest stands on, which is not served: what a follower may begin at.
    #[must_use]
    pub fn checkpoint(&self) -> BlockRef {
        self.oldest().map_or(self.chain.tip, |made| made.parent)
    }

    fn go_on_from(&mut self, entry: &LedgerHeaderHistoryEntry) {
        let header = &entry.header;
        self.chain.tip = BlockRef { height: Height(u64::from(header.ledger_seq)), hash: Hash(entry.hash.0) };
        self.chain.protocol = header.ledger_version;
        self.chain.milliseconds = time(&header.scp_value);
    }

    fn keep(&mut self, made: Made) {
        let sequence = u32::try_from(made.at.height.0).unwrap_or(u32::MAX);
        self.ledgers.insert(sequence, made);
        while self.ledgers.len() > self.retention_window as usize {
            self.ledgers.pop_first();
        }
    }
}

fn time(value: &StellarValue) -> u64 {
    milliseconds(value).unwrap_or(value.close_time.0 * 1_000)
}

/// The header of a ledger of any form, with the hash it claims.
#[must_use]
pub fn entry(meta: &LedgerCloseMeta) -> &LedgerHeaderHistoryEntry {
    match meta {
        LedgerCloseMeta::V0(v0) => &v0.ledger_header,
        LedgerCloseMeta::V1(v1) => &v1.ledger_header,
        LedgerCloseMeta::V2(v2) => &v2.ledger_header,
    }
}
