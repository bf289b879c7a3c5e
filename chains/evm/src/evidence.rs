//! Proves a block against its own hash, or names the contradiction. Pure.
//!
//! A proof shows that receipts and transactions are those the hash commits to. Whether the hash is
//! the network's is for operators to agree on. The receipts root does not commit to the *names* of
//! transactions: those are proven only where whole transactions were read.

use alloy_primitives::B256;
use amn_core::block::Inclusion;

use crate::header::Checked;
use crate::receipts::{self, Codec};
use crate::transactions::{self, Listed};
use crate::wire::{WireReceipt, WireTransaction};

/// A contradiction in what one endpoint said. Whoever said it is not believed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    #[error("the header hashes to {computed}, not to {said} as it claims")]
    HeaderHash { said: B256, computed: B256 },
    #[error("asked for block {asked}, got block {got}")]
    OtherHeight { asked: u64, got: u64 },
    #[error("asked for block {asked}, got block {got}")]
    OtherBlock { asked: B256, got: B256 },
    #[error("block {height} does not stand on the block before it that the same endpoint gave")]
    Unlinked { height: u64 },
    #[error("the block names {transactions} transactions and has {receipts} receipts")]
    ReceiptCount { transactions: usize, receipts: usize },
    #[error("receipt {index} belongs to block {said}, not to {block}")]
    ReceiptOfOtherBlock { index: usize, said: B256, block: B256 },
    #[error("receipt {index} is named {said}, the block's transaction there is {transaction}")]
    ReceiptOfOtherTransaction { index: usize, said: B256, transaction: B256 },
    #[error("receipt {index} says it is receipt {said}")]
    ReceiptOutOfOrder { index: usize, said: u64 },
    #[error("log {log} of receipt {receipt} names another place than its receipt")]
    LogOutOfPlace { receipt: usize, log: usize },
    #[error("the receipts hash to {computed}, the header commits to {header}")]
    ReceiptsRoot { header: B256, computed: B256 },
    #[error("transaction {index} hashes to {computed}, not to {said} as it is named")]
    TransactionHash { index: usize, said: B256, computed: B256 },
    #[error("the transactions hash to {computed}, the header commits to {header}")]
    TransactionsRoot { header: B256, computed: B256 },
    #[error("log {index} of the range {from}..={to} {what}")]
    RangeLog { index: usize, from: u64, to: u64, what: &'static str },
    #[error("the range named a payment in block {height} that the block's receipts do not hold")]
    RangeAgainstReceipts { height: u64 },
    #[error("an earlier answer named block {height} {earlier}, now it is {now}, though it is final")]
    FinalBlockChanged { height: u64, earlier: B256, now: B256 },
}

/// What a block's own commitments show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Receipts, and with them every log.
    pub receipts: Inclusion,
    /// Transactions: native payments, and the names of all transactions.
    pub transactions: Inclusion,
    /// On a chain we only observe: the receipts do not hash to the header's root.
    pub receipts_differ: bool,
}

impl Shown {
    /// The evidence of one kind of money: native needs both.
    #[must_use]
    pub fn inclusion(self, native: bool) -> Inclusion {
        if native { self.receipts.min(self.transactions) } else { self.receipts }
    }
}

/// Checks every place and root of a block that was read with its receipts.
pub fn prove(
    codec: Codec,
    header: &Checked,
    transactions: &[WireTransaction],
    receipts: &[WireReceipt],
) -> Result<Shown, Lie> {
    let receipts = without_state_sync(codec, transactions, receipts);
    places(header, transactions, receipts)?;
    if !header.recomputed || !codec.proves() {
        let computed = receipts::root(codec, receipts);
        let receipts_differ = computed != header.wire.receipts_root;
        return Ok(Shown { receipts: Inclusion::Reported, transactions: Inclusion::Reported, receipts_differ });
    }
    let computed = receipts::root(codec, receipts);
    if computed != header.wire.receipts_root {
        return Err(Lie::ReceiptsRoot { header: header.wire.receipts_root, computed });
    }
    let transactions = prove_transactions(codec, header, transactions)?;
    Ok(Shown { receipts: Inclusion::Proven, transactions, receipts_differ: false })
}

/// Checks the list of transactions against the header.
pub fn prove_transactions(codec: Codec, header: &Checked, transactions: &[WireTransaction]) -> Result<Inclusion, Lie> {
    if !header.recomputed || !codec.proves() {
        return Ok(Inclusion::Reported);
    }
    match transactions::root(transactions)? {
        Listed::Unknown => Ok(Inclusion::Reported),
        Listed::Root(computed) if computed == header.wire.transactions_root => Ok(Inclusion::Proven),
        Listed::Root(computed) => Err(Lie::TransactionsRoot { header: header.wire.transactions_root, computed }),
    }
}

/// Whether a list of whole transactions is the one that the header's hash commits to, whatever the chain.
#[must_use]
pub fn lists_all(header: &Checked, transactions: &[WireTransaction]) -> bool {
    header.recomputed && transactions::root(transactions) == Ok(Listed::Root(header.wire.transactions_root))
}

/// Polygon's nodes append one receipt that no root covers and no transaction of the block has.
fn without_state_sync<'a>(
    codec: Codec,
    transactions: &[WireTransaction],
    receipts: &'a [WireReceipt],
) -> &'a [WireReceipt] {
    match receipts.split_last() {
        Some((_, rest)) if codec == Codec::Observe && rest.len() == transactions.len() => rest,
        _ => receipts,
    }
}

/// Count, order, and that every receipt and log says it is where it is.
fn places(header: &Checked, transactions: &[WireTransaction], receipts: &[WireReceipt]) -> Result<(), Lie> {
    let block = header.wire.hash;
    if transactions.len() != receipts.len() {
        return Err(Lie::ReceiptCount { transactions: transactions.len(), receipts: receipts.len() });
    }
    let mut next_log = 0;
    for (index, (receipt, transaction)) in receipts.iter().zip(transactions).enumerate() {
        if receipt.block_hash != block || receipt.block_number != header.wire.number {
            return Err(Lie::ReceiptOfOtherBlock { index, said: receipt.block_hash, block });
        }
        if receipt.transaction_index.0 != index as u64 {
            return Err(Lie::ReceiptOutOfOrder { index, said: receipt.transaction_index.0 });
        }
        if receipt.transaction_hash != transaction.hash() {
            let (said, transaction) = (receipt.transaction_hash, transaction.hash());
            return Err(Lie::ReceiptOfOtherTransaction { index, said, transaction });
        }
        for (place, log) in receipt.logs.iter().enumerate() {
            let here = log.block_hash.is_none_or(|hash| hash == block)
                && log.block_number.is_none_or(|number| number == header.wire.number)
                && log.transaction_hash.is_none_or(|hash| hash == receipt.transaction_hash)
                && log.transaction_index.is_none_or(|at| at == receipt.transaction_index)
                // Numbers rise through the block; whether they start at 0 per block is not our business.
                && log.log_index.is_none_or(|at| at.0 >= next_log)
                && !log.removed;
            if !here {
                return Err(Lie::LogOutOfPlace { receipt: index, log: place });
            }
            next_log = log.log_index.map_or(next_log, |at| at.0.saturating_add(1));
        }
    }
    Ok(())
}
