//! Whether an endpoint's recent blocks hold together: links, receipts, and logs against receipts.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use amn_evm::header::{self, Checked};
use amn_evm::wire::{WireBody, WireLog, WireReceipt, WireTransaction, parse, parse_receipts};
use amn_evm::{decode, evidence};
use amn_rpc::RpcError;
use serde_json::json;

use super::endpoint::Asker;

/// Blocks back from the head in search of some with transactions: quiet test chains have few.
const BLOCKS_LOOKED_AT: u64 = 20;
/// Blocks whose receipts are read: a cache that is wrong is seldom wrong for one block alone.
const BLOCKS_PROVEN: usize = 3;
/// Contracts whose logs are compared: a filter of ours has few addresses, and some nodes take no more.
const CONTRACTS_MAX: usize = 5;
/// Spans of eth_getLogs that are tried. Beyond the last, more brings nothing: answers grow too large.
const SPANS: [u64; 6] = [1, 10, 100, 1_000, 5_000, 10_000];

/// A block that was read, and what its transactions are called.
struct Read {
    header: Checked,
    transactions: Vec<WireTransaction>,
}

/// A log's place and what it says.
type Told = (u64, u64, B256, Address, Vec<B256>);

impl Asker<'_> {
    pub async fn blocks(&mut self, head: &Checked) {
        let read = self.recent(head).await;
        if self.is_limited() {
            return;
        }
        let full: Vec<&Read> = read.iter().filter(|block| !block.transactions.is_empty()).take(BLOCKS_PROVEN).collect();
        let Some(newest) = full.first().copied().or(read.first()) else {
            return self.fail("receipts", "no recent block reads", "see the head's line");
        };
        let mut receipts = Vec::new();
        for block in if full.is_empty() { vec![newest] } else { full } {
            match self.receipts(block).await {
                Some(own) => receipts.extend(own),
                None => return,
            }
        }
        self.logs(&receipts).await;
    }

    /// The newest blocks, newest first, until enough hold transactions.
    async fn recent(&mut self, head: &Checked) -> Vec<Read> {
        let (mut read, mut full) = (Vec::<Read>::new(), 0);
        for height in (head.height().0.saturating_sub(BLOCKS_LOOKED_AT)..=head.height().0).rev() {
            let asked = self.ask("eth_getBlockByNumber", json!([format!("{height:#x}"), false])).await;
            let Ok(answer) = asked else { break };
            let header = header::check(answer.raw(), self.network.codec.proves());
            let (Ok(header), Ok(body)) = (header, parse::<WireBody>("the block", answer.raw())) else { continue };
            if let Some(above) = read.last()
                && above.header.height().above(header.height()) == 1
                && above.header.wire.parent_hash != header.wire.hash
            {
                let said = format!("block {} does not stand on the {height} it gives", above.header.height());
                self.fail("link", said, "a reorg this very moment, or nodes that do not agree: check again");
            }
            full += usize::from(!body.transactions.is_empty());
            read.push(Read { header, transactions: body.transactions });
            if full == BLOCKS_PROVEN && read.len() > BLOCKS_PROVEN {
                break;
            }
        }
        read
    }

    /// The receipts of a block, where it has them as its header says.
    async fn receipts(&mut self, block: &Read) -> Option<Vec<WireReceipt>> {
        let at = format!("block {} with {} transaction(s)", block.header.height(), block.transactions.len());
        match self.ask("eth_getBlockReceipts", json!([block.header.wire.hash])).await {
            Err(RpcError::Unsupported(_)) => {
                let todo = "receipts are read one by one: more requests are used";
                self.warn("receipts", "no eth_getBlockReceipts", todo);
                None
            }
            Err(RpcError::CoolDown { .. }) => None,
            Err(error) => {
                self.fail("receipts", format!("{at}: {error}"), "no payment can be seen without receipts");
                None
            }
            Ok(answer) if answer.is_null() => {
                let todo = "it forgets blocks it just gave: payments come late, or not at all";
                self.fail("receipts", format!("{at}: none for a block that it gave"), todo);
                None
            }
            Ok(answer) => match parse_receipts(answer.raw()) {
                Ok(receipts) => self.proven(&at, block, receipts),
                Err(error) => {
                    self.fail("receipts", format!("{at}: {error}"), "the node or something before it is broken");
                    None
                }
            },
        }
    }

    fn proven(&mut self, at: &str, block: &Read, receipts: Vec<WireReceipt>) -> Option<Vec<WireReceipt>> {
        let codec = self.network.codec;
        match evidence::prove(codec, &block.header, &block.transactions, &receipts) {
            Err(lie) => {
                let todo = "the codec is wrong for this chain, or the node lies or has a broken cache";
                self.fail("receipts", format!("{at}: {lie}"), todo);
                return None;
            }
            Ok(shown) if shown.receipts_differ => {
                self.warn("receipts", format!("{at}: the root does not recompute"), "inclusion stays reported here");
            }
            Ok(_) if !codec.proves() => {
                let todo = "this chain is observed only: the policy must not ask for inclusion = \"proven\"";
                self.warn("receipts", format!("{at}: the root recomputes"), todo);
            }
            Ok(_) => self.fine("receipts", format!("{at}: the root recomputes")),
        }
        let first = receipts.iter().flat_map(|receipt| &receipt.logs).next().and_then(|log| log.log_index);
        if let Some(index) = first.filter(|index| index.0 != 0) {
            let said = format!("{at}: its first log is said to be number {}", index.0);
            self.warn(
                "receipts",
                said,
                "indices that are off for a while make two logs look like one to some programs",
            );
        }
        Some(receipts)
    }

    /// What eth_getLogs says of the blocks whose receipts were proven: the same, or it leaves out payments.
    async fn logs(&mut self, receipts: &[WireReceipt]) {
        let logs = || receipts.iter().flat_map(|receipt| receipt.logs.iter().map(move |log| (receipt, log)));
        let transfers = || logs().filter(|(_, log)| log.topics.first() == Some(&decode::TRANSFER));
        let mut contracts: Vec<Address> = Vec::new();
        for (_, log) in transfers() {
            if !contracts.contains(&log.address) && contracts.len() < CONTRACTS_MAX {
                contracts.push(log.address);
            }
        }
        let heights: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.block_number.0).collect();
        let (Some(first), Some(last)) = (heights.first(), heights.last()) else {
            return self.info("logs", "no transfer in the newest blocks: nothing to hold eth_getLogs against");
        };
        if contracts.is_empty() {
            return self.info("logs", "no transfer in the newest blocks: nothing to hold eth_getLogs against");
        }
        let held: Vec<Told> = transfers()
            .filter(|(_, log)| contracts.contains(&log.address))
            .filter_map(|(receipt, log)| told(log, receipt.block_number.0))
            .collect();
        let filter = json!([{
            "address": contracts, "fromBlock": format!("{first:#x}"), "toBlock": format!("{last:#x}"),
            "topics": [decode::TRANSFER],
        }]);
        // The spans have their own line for what is refused.
        let Ok(answer) = self.ask("eth_getLogs", filter).await else { return };
        let said: Vec<WireLog> = match parse("the logs", answer.raw()) {
            Ok(logs) => logs,
            Err(error) => return self.fail("logs", error.to_string(), "the node or something before it is broken"),
        };
        let said: Vec<Told> = said
            .iter()
            .filter_map(|log| told(log, log.block_number?.0))
            .filter(|(height, ..)| heights.contains(height))
            .collect();
        self.compare(&held, &said, (*first, *last));
    }

    fn compare(&mut self, held: &[Told], said: &[Told], (first, last): (u64, u64)) {
        let range = format!("blocks {first} to {last}");
        let missing: Vec<_> = held.iter().filter(|log| !said.contains(log)).collect();
        let strange = said.iter().filter(|log| !held.contains(log)).count();
        let todo = "catching up from it misses payments until the auditor finds them: use another node";
        if let Some((height, index, ..)) = missing.first() {
            let (missing, all) = (missing.len(), held.len());
            let said = format!(
                "{range}: {missing} of {all} transfers of the receipts are not in eth_getLogs, first log {index} of \
                 block {height}; {strange} there are not in the receipts"
            );
            self.fail("logs", said, todo);
        } else if strange > 0 {
            self.fail("logs", format!("{range}: eth_getLogs has {strange} transfers that no receipt has"), todo);
        } else if said.len() != held.len() {
            let (said, held) = (said.len(), held.len());
            self.fail("logs", format!("{range}: eth_getLogs has {said} transfers, the receipts {held}"), todo);
        } else {
            self.fine("logs", format!("{range}: {} transfers, as the receipts have them", held.len()));
        }
    }

    /// The widest span of eth_getLogs that the node answers.
    pub async fn spans(&mut self, head: u64) {
        let tokens: Vec<_> = self.network.registry.tokens.keys().copied().collect();
        let contracts = if tokens.is_empty() { vec![Address::ZERO] } else { tokens };
        let mut widest = 0;
        let mut refused = None;
        for span in SPANS.into_iter().filter(|span| *span <= head.saturating_add(1)) {
            let (from, to) = (format!("{:#x}", head.saturating_sub(span - 1)), format!("{head:#x}"));
            let filter =
                json!([{ "address": contracts, "fromBlock": from, "toBlock": to, "topics": [decode::TRANSFER] }]);
            match self.ask("eth_getLogs", filter).await {
                Ok(answer) if answer.is_null() => {
                    refused = Some(RpcError::Malformed("null where a list was asked for".to_owned()));
                    break;
                }
                Ok(_) => widest = span,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        match (widest, refused) {
            (_, Some(RpcError::CoolDown { .. })) => {}
            (0, Some(RpcError::Unsupported(why))) => {
                let todo = "history is read block by block: catching up is slow";
                self.warn("getLogs", format!("unsupported: {why}"), todo);
            }
            (0, Some(error)) => {
                self.fail("getLogs", error.to_string(), "history cannot be read from it: use another node");
            }
            (_, Some(error)) => self.fine("getLogs", format!("up to {widest} blocks; beyond: {error}")),
            (_, None) => self.fine("getLogs", format!("{widest} blocks, the most that was tried")),
        }
    }
}

fn told(log: &WireLog, height: u64) -> Option<Told> {
    Some((height, log.log_index?.0, log.transaction_hash?, log.address, log.topics.clone()))
}
