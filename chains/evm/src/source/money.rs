//! Native money that no log shows: balances at a block, and what moved inside contract calls.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use alloy_primitives::{Address as Raw, B256, U256};
use amn_core::block::{Address, Block, BlockRef, Evidence, Hash, Inclusion, Kind, Transfer, TransferId};
use amn_core::money::Amount;
use amn_core::source::SourceError;
use amn_rpc::Endpoint;
use serde::Deserialize;
use serde_json::json;

use super::EvmSource;
use super::ask::Ask;
use super::trouble::{Trouble, Verdict};
use crate::address::{self, spell};
use crate::decode::Registry;
use crate::evidence::Lie;
use crate::wire::{Quantity, WireTransaction, parse};

/// How deep calls may nest in a trace we read: the EVM itself stops at 1,024.
const DEPTH_MAX: usize = 1_025;

/// The balance of each address in the state after a block.
pub(super) async fn balances(ask: &Ask<'_>, addresses: &[Address], at: BlockRef) -> Result<Vec<Amount>, Trouble> {
    let block = json!({ "blockHash": B256::from(at.hash.0) });
    let calls: Vec<_> = addresses.iter().map(|address| ("eth_getBalance", json!([address, block]))).collect();
    let mut balances = Vec::with_capacity(calls.len());
    for answer in ask.batch(&calls).await? {
        let balance: U256 = match answer {
            Ok(answer) => parse("the balance", answer.raw())?,
            Err(amn_rpc::RpcError::Rejected { message, .. }) => return Err(Trouble::Unsupported(message)),
            Err(error) => return Err(error.into()),
        };
        // All the ether there is fits 90 bits; more is no balance.
        let units = u128::try_from(balance).map_err(|_| Trouble::Failed("a balance beyond 128 bits".to_owned()))?;
        balances.push(Amount::new(units));
    }
    Ok(balances)
}

impl EvmSource {
    /// The balances as two operators say them: nothing we read commits to a balance.
    pub(super) async fn agreed_balances(
        &self,
        addresses: &[Address],
        at: BlockRef,
    ) -> Result<Vec<Amount>, SourceError> {
        let mut verdict = Verdict::default();
        let mut said: Vec<(Arc<Endpoint>, Vec<Amount>)> = Vec::new();
        for endpoint in self.endpoints() {
            if said.iter().any(|(other, _)| other.operator() == endpoint.operator()) {
                continue;
            }
            match balances(&self.ask(&endpoint), addresses, at).await {
                Ok(balances) if self.one_is_enough() => return Ok(balances),
                Ok(balances) if said.iter().any(|(_, other)| *other == balances) => {
                    for (alone, _) in said.iter().filter(|(_, other)| *other != balances) {
                        alone.distrust(format!("alone against two operators: balances at block {}", at.height));
                    }
                    return Ok(balances);
                }
                Ok(balances) => said.push((endpoint, balances)),
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        let names: Vec<_> = said.iter().map(|(endpoint, _)| endpoint.operator().as_str()).collect();
        Err(match names.as_slice() {
            [] => verdict.error(),
            // Whoever cannot say it now may say it later, or never: an alarm, and no money.
            [one] => SourceError::Malformed(format!("no second operator confirms what {one} says of a balance")),
            several => SourceError::Malformed(format!("{} differ about a balance", several.join(", "))),
        })
    }
}

/// Native money that contracts moved to these addresses in one block.
pub(super) async fn internal_transfers(
    ask: &Ask<'_>,
    registry: &Registry,
    addresses: &[Address],
    at: BlockRef,
) -> Result<Block, Trouble> {
    let wanted: HashSet<Raw> = addresses
        .iter()
        .filter_map(|address| address::parse(address.as_str()).ok())
        .map(|(_, raw)| raw.into())
        .collect();
    let Some(read) = ask.header_of(at).await? else {
        return Err(Trouble::NotYet(format!("it does not know block {}", at.hash)));
    };
    let names: Vec<B256> = read.transactions.iter().map(WireTransaction::hash).collect();
    let moves = match call_traces(ask, at, &names).await {
        Err(Trouble::Unsupported(_)) => flat_traces(ask, at).await?,
        moves => moves?,
    };
    let paid = |moved: &&Moved| {
        // A listed proxy's own payout is credited by its event.
        wanted.contains(&moved.to) && !registry.native_proxies.contains(&moved.from) && !moved.value.is_zero()
    };
    let transfers = moves.iter().filter(paid).filter_map(|moved| {
        Some(Transfer {
            id: TransferId { tx: Hash(moved.tx.0), kind: Kind::Internal, index: u32::try_from(moved.frame).ok()? },
            asset: registry.native.asset.clone(),
            from: Some(spell(moved.from.0.0)),
            to: spell(moved.to.0.0),
            reference: None,
            amount: Amount::new(u128::try_from(moved.value).ok()?),
        })
    });
    Ok(Block {
        header: read.header.header(),
        transfers: transfers.collect(),
        takebacks: Vec::new(),
        contract_events: Vec::new(),
        observations: Vec::new(),
        evidence: Evidence {
            inclusion: Inclusion::Reported,
            operators: BTreeSet::from([ask.endpoint.operator().clone()]),
            attestations: None,
        },
    })
}

/// Value moved inside a transaction. `frame` counts calls in the order they were made, the
/// transaction's own being 0.
#[derive(Debug, PartialEq, Eq)]
struct Moved {
    tx: B256,
    frame: usize,
    from: Raw,
    to: Raw,
    value: U256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TracedTransaction {
    tx_hash: Option<B256>,
    result: Option<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    from: Raw,
    #[serde(default)]
    to: Option<Raw>,
    #[serde(default)]
    value: Option<U256>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    calls: Vec<Frame>,
}

async fn call_traces(ask: &Ask<'_>, at: BlockRef, names: &[B256]) -> Result<Vec<Moved>, Trouble> {
    let params = json!([B256::from(at.hash.0), { "tracer": "callTracer" }]);
    let answer = ask.endpoint.call("debug_traceBlockByHash", &params).await?;
    let traced: Vec<TracedTransaction> = parse("the traces", answer.raw())?;
    if traced.len() != names.len() {
        return Err(Lie::ReceiptCount { transactions: names.len(), receipts: traced.len() }.into());
    }
    let mut moves = Vec::new();
    for (transaction, name) in traced.iter().zip(names) {
        if transaction.tx_hash.is_some_and(|hash| hash != *name) {
            return Err(Trouble::Failed("the traces are not those of the block".to_owned()));
        }
        let frame = transaction.result.as_ref().ok_or_else(|| Trouble::Failed("a trace is missing".to_owned()))?;
        walk(frame, *name, &mut moves)?;
    }
    Ok(moves)
}

/// Visits the frames of a transaction in the order of the calls, without recursion: a node's answer
/// must not decide how deep our stack is.
fn walk(root: &Frame, tx: B256, moves: &mut Vec<Moved>) -> Result<(), Trouble> {
    let (mut count, mut todo) = (0, vec![(root, 0_usize, false)]);
    while let Some((frame, depth, failed_above)) = todo.pop() {
        if depth > DEPTH_MAX {
            return Err(Trouble::Failed("calls nest deeper than the EVM allows".to_owned()));
        }
        let failed = failed_above || frame.error.is_some();
        let pays = matches!(frame.kind.as_str(), "CALL" | "SELFDESTRUCT");
        if let (true, false, 1.., Some(to), Some(value)) = (pays, failed, depth, frame.to, frame.value) {
            moves.push(Moved { tx, frame: count, from: frame.from, to, value });
        }
        count += 1;
        todo.extend(frame.calls.iter().rev().map(|call| (call, depth + 1, failed)));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatTrace {
    #[serde(rename = "type")]
    kind: String,
    action: Action,
    block_hash: Option<B256>,
    transaction_hash: Option<B256>,
    trace_address: Vec<usize>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    call_type: Option<String>,
    from: Option<Raw>,
    to: Option<Raw>,
    value: Option<U256>,
    // Of a self-destruction.
    address: Option<Raw>,
    refund_address: Option<Raw>,
    balance: Option<U256>,
}

async fn flat_traces(ask: &Ask<'_>, at: BlockRef) -> Result<Vec<Moved>, Trouble> {
    let answer = ask.endpoint.call("trace_block", &json!([Quantity(at.height.0)])).await?;
    if answer.is_null() {
        return Err(Trouble::NotYet(format!("no traces of block {}", at.height)));
    }
    let traces: Vec<FlatTrace> = parse("the traces", answer.raw())?;
    if traces.iter().any(|trace| trace.block_hash.is_some_and(|hash| hash.0 != at.hash.0)) {
        return Err(Trouble::NotYet(format!("the traces are not of block {}", at.hash)));
    }
    Ok(flat_moves(&traces))
}

fn flat_moves(traces: &[FlatTrace]) -> Vec<Moved> {
    let (mut moves, mut frame) = (Vec::new(), 0);
    let (mut current, mut failed): (Option<B256>, Vec<&[usize]>) = (None, Vec::new());
    for trace in traces {
        // Block rewards belong to no transaction.
        let Some(tx) = trace.transaction_hash else { continue };
        if current != Some(tx) {
            (current, frame) = (Some(tx), 0);
            failed.clear();
        }
        let ordinal = frame;
        frame += 1;
        if trace.error.is_some() {
            failed.push(&trace.trace_address);
        }
        let in_failed = failed.iter().any(|above| trace.trace_address.starts_with(above));
        if in_failed || trace.trace_address.is_empty() {
            continue;
        }
        let action = &trace.action;
        let moved = match (trace.kind.as_str(), action.call_type.as_deref()) {
            ("call", Some("call")) => (action.from, action.to, action.value),
            ("suicide" | "selfdestruct", _) => (action.address, action.refund_address, action.balance),
            _ => continue,
        };
        if let (Some(from), Some(to), Some(value)) = moved {
            moves.push(Moved { tx, frame: ordinal, from, to, value });
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn a(byte: u8) -> String {
        Raw::repeat_byte(byte).to_string()
    }

    fn frame(kind: &str, to: u8, value: &str, calls: &[Value]) -> Value {
        json!({ "type": kind, "from": a(1), "to": a(to), "value": value, "calls": calls })
    }

    fn walked(root: Value) -> Vec<(usize, u8)> {
        let mut moves = Vec::new();
        walk(&serde_json::from_value(root).unwrap(), B256::ZERO, &mut moves).unwrap();
        moves.iter().map(|moved| (moved.frame, moved.to.0[0])).collect()
    }

    #[test]
    fn only_calls_that_hold_move_money_and_each_keeps_its_place() {
        let mut failed = frame("CALL", 5, "0x7", &[frame("CALL", 6, "0x7", &[])]);
        failed["error"] = json!("execution reverted");
        let root = frame(
            "CALL",
            2,
            "0x9",
            &[
                frame("DELEGATECALL", 3, "0x9", &[frame("CALL", 4, "0x1", &[])]),
                failed,
                frame("STATICCALL", 7, "0x0", &[]),
                frame("SELFDESTRUCT", 8, "0x3", &[]),
            ],
        );
        assert_eq!(walked(root), [(2, 4), (6, 8)], "the transaction's own value is a native transfer, not this");
        let mut all_failed = frame("CALL", 2, "0x0", &[frame("CALL", 4, "0x1", &[])]);
        all_failed["error"] = json!("out of gas");
        assert_eq!(walked(all_failed), []);
    }

    #[test]
    fn flat_traces_say_the_same_as_nested_ones() {
        let call = |address: &[usize], kind: &str, to: u8, error: bool| {
            let mut trace = json!({
                "type": "call", "transactionHash": B256::repeat_byte(9), "traceAddress": address,
                "action": { "callType": kind, "from": a(1), "to": a(to), "value": "0x1" },
            });
            if error {
                trace["error"] = json!("Reverted");
            }
            trace
        };
        let traces = json!([
            call(&[], "call", 2, false),
            call(&[0], "delegatecall", 3, false),
            call(&[0, 0], "call", 4, false),
            call(&[1], "call", 5, true),
            call(&[1, 0], "call", 6, false),
            { "type": "suicide", "transactionHash": B256::repeat_byte(9), "traceAddress": [2],
              "action": { "address": a(1), "refundAddress": a(8), "balance": "0x3" } },
            { "type": "reward", "transactionHash": null, "traceAddress": [], "action": { "value": "0x1" } },
        ]);
        let traces: Vec<FlatTrace> = serde_json::from_value(traces).unwrap();
        let moves: Vec<_> = flat_moves(&traces).iter().map(|moved| (moved.frame, moved.to.0[0])).collect();
        assert_eq!(moves, [(2, 4), (5, 8)]);
    }
}
