//! What no hash shows needs a second operator: a lone liar must not decide what a block holds.
//!
//! A header with fields we do not know keeps its hash whatever it says; receipts of a chain we only observe
//! are under no root we trust. Hashes agree in such cases while contents differ, so contents are compared.
//! Who differs from what is proven has lied; who differs from what is only said may be right.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use alloy_primitives::{B256, Bloom};
use amn_core::block::{Address, Block, Hash, Inclusion, Kind, Observation, Operator, Transfer};
use amn_core::source::Watch;
use amn_rpc::Endpoint;

use super::EvmSource;
use super::ask::{Ask, Read};
use super::trouble::Trouble;
use crate::address::spell;
use crate::header::Checked;
use crate::wire::WireHeader;

/// A block as far as it concerns us, and whether all of it follows from its hash: what it holds and what it does not.
pub(super) struct Told {
    pub block: Block,
    pub certain: bool,
}

impl Told {
    /// Whether another operator must say the same.
    fn needs_witness(&self) -> bool {
        let reported = !self.block.transfers.is_empty() && self.block.evidence.inclusion == Inclusion::Reported;
        !self.certain || reported
    }
}

/// What a header says that decisions read. Nodes differ in how they print the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Essence {
    parent: B256,
    time: u64,
    receipts: B256,
    transactions: B256,
    bloom: Bloom,
}

impl From<&WireHeader> for Essence {
    fn from(wire: &WireHeader) -> Self {
        Self {
            parent: wire.parent_hash,
            time: wire.timestamp.0,
            receipts: wire.receipts_root,
            transactions: wire.transactions_root,
            bloom: wire.logs_bloom,
        }
    }
}

/// What others said of one block, as they are asked.
#[derive(Default)]
struct Words {
    against: Vec<(Arc<Endpoint>, String)>,
    silent: Option<String>,
}

impl Words {
    /// Somebody says the same: who differs from two operators is not believed again.
    fn confirmed(self) {
        for (endpoint, what) in self.against {
            endpoint.distrust(format!("alone against two operators: {what}"));
        }
    }

    /// Nobody says the same.
    fn denied(self, asked: &Ask<'_>, height: u64, one_is_enough: bool) -> Result<(), Trouble> {
        let own = asked.endpoint.operator();
        let operators: BTreeSet<&Operator> = self.against.iter().map(|(endpoint, _)| endpoint.operator()).collect();
        match self.against.first() {
            Some((_, what)) if operators.len() > 1 => {
                Err(Trouble::Lie(format!("alone against {} operators: {what}", operators.len())))
            }
            Some((endpoint, what)) => {
                Err(Trouble::Disagree(format!("{} and {own} differ: {what}", endpoint.operator())))
            }
            None if one_is_enough => Ok(()),
            None => {
                let why = self.silent.unwrap_or_else(|| "all others are distrusted".to_owned());
                Err(Trouble::Failed(format!("no second operator shows what is in block {height}: {why}")))
            }
        }
    }
}

impl EvmSource {
    /// Whether one operator's word was accepted: where there is no other, or the policy asks for none.
    pub(super) fn one_is_enough(&self) -> bool {
        self.pool.operators() < 2 || self.network.facts.policy.require.operators.unwrap_or(1) < 2
    }

    /// Those that can witness what this one said, best first.
    pub(super) fn witnesses(&self, ask: &Ask<'_>) -> Vec<Arc<Endpoint>> {
        let own = ask.endpoint.operator();
        self.endpoints().into_iter().filter(|endpoint| endpoint.operator() != own).collect()
    }

    /// Headers whose hashes do not follow from their fields, as another operator has them too.
    pub(super) async fn headers_hold(&self, ask: &Ask<'_>, headers: &[&Checked]) -> Result<(), Trouble> {
        let open: Vec<&Checked> = headers.iter().filter(|checked| !checked.recomputed).copied().collect();
        let Some(first) = open.first() else { return Ok(()) };
        if self.pool.operators() < 2 {
            return Ok(());
        }
        let (mut words, heights) = (Words::default(), open.iter().map(|checked| checked.height()).collect::<Vec<_>>());
        for endpoint in self.witnesses(ask) {
            let theirs = match self.ask(&endpoint).blocks_at(&heights).await {
                Ok(theirs) => theirs,
                Err(trouble) => {
                    words.silent = Some(fault(&endpoint, trouble));
                    continue;
                }
            };
            let mut same = true;
            for (read, mine) in theirs.iter().zip(&open) {
                match read.as_ref().filter(|read| read.header.wire.hash == mine.wire.hash) {
                    Some(read) if Essence::from(&read.header.wire) == Essence::from(&mine.wire) => {}
                    Some(read) if read.header.recomputed => {
                        let fields = mine.unknown_fields.join(", ");
                        let height = mine.height();
                        return Err(Trouble::Lie(format!(
                            "block {height} has the hash of what {} gives, and says something else beside {fields}",
                            endpoint.operator()
                        )));
                    }
                    Some(_) => {
                        words.against.push((endpoint.clone(), format!("the header of block {}", mine.height())));
                        same = false;
                        break;
                    }
                    // Another block there, or none: a fork is for others to judge.
                    None => {
                        words.silent = Some(format!("{} has not the block", endpoint.name()));
                        same = false;
                        break;
                    }
                }
            }
            if same {
                words.confirmed();
                return Ok(());
            }
        }
        words.denied(ask, first.height().0, self.one_is_enough())
    }

    /// The block, where it follows from its hash or another operator reads the same in it.
    pub(super) async fn witnessed(
        &self,
        ask: &Ask<'_>,
        read: &Read,
        watch: &Watch,
        mut told: Told,
    ) -> Result<Block, Trouble> {
        if self.pool.operators() < 2 || watch.is_empty() {
            return Ok(told.block);
        }
        self.confirm_senders(ask, read, &mut told.block).await;
        if !told.needs_witness() {
            return Ok(told.block);
        }
        let (height, hash) = (read.header.height(), read.header.wire.hash);
        let mut words = Words::default();
        for endpoint in self.witnesses(ask) {
            let other = self.ask(&endpoint);
            let theirs = async {
                let read = other.block(height, watch.any_native()).await?;
                let Some(read) = read.filter(|read| read.header.wire.hash == hash) else { return Ok(None) };
                self.block(&other, &read, watch).await
            };
            match theirs.await {
                Ok(Some(theirs)) if same_payments(&theirs.block.transfers, &told.block.transfers) => {
                    told.block.evidence.operators.insert(endpoint.operator().clone());
                    words.confirmed();
                    return Ok(told.block);
                }
                Ok(Some(theirs)) => {
                    let what = format!("the money in block {height}");
                    // Amounts that follow from the hash leave no room for others; names may still be false.
                    if theirs.certain && !same_money(&theirs.block.transfers, &told.block.transfers) {
                        return Err(Trouble::Lie(format!("{what} is not what its hash commits to")));
                    }
                    words.against.push((endpoint, what));
                }
                Ok(None) => words.silent = Some(format!("{} has not the block", endpoint.name())),
                Err(trouble) => words.silent = Some(fault(&endpoint, trouble)),
            }
        }
        words.denied(ask, height.0, self.one_is_enough())?;
        Ok(told.block)
    }

    /// A transaction's hash commits to its sender only through the signature, which we do not recover: a sender that
    /// nobody else gives is not told, because somebody may send money back to it.
    async fn confirm_senders(&self, ask: &Ask<'_>, read: &Read, block: &mut Block) {
        if block.transfers.iter().all(|transfer| transfer.id.kind != Kind::Native) {
            return;
        }
        let mut confirmed: Option<HashMap<Hash, Address>> = None;
        for endpoint in self.witnesses(ask) {
            match self.ask(&endpoint).block(read.header.height(), true).await {
                Ok(Some(theirs)) if theirs.header.wire.hash == read.header.wire.hash => {
                    confirmed = Some(theirs.whole().map(|tx| (Hash(tx.hash.0), spell(tx.from.0.0))).collect());
                    break;
                }
                Ok(_) => {}
                Err(trouble) => drop(fault(&endpoint, trouble)),
            }
        }
        for transfer in block.transfers.iter_mut().filter(|transfer| transfer.id.kind == Kind::Native) {
            let theirs = confirmed.as_ref().and_then(|senders| senders.get(&transfer.id.tx));
            if theirs != transfer.from.as_ref() {
                if let (Some(ours), Some(theirs)) = (&transfer.from, theirs) {
                    let what = format!("the sender of {} is {ours} here and {theirs} elsewhere", transfer.id.tx);
                    ask.endpoint.remark(&what);
                    block.observations.push(Observation {
                        kind: "sender_contested".to_owned(),
                        tx: Some(transfer.id.tx),
                        to: Some(transfer.to.clone()),
                        detail: what,
                    });
                }
                transfer.from = None;
            }
        }
    }
}

/// Notes why somebody could not witness; a lie told meanwhile counts as one.
pub(super) fn fault(endpoint: &Endpoint, trouble: Trouble) -> String {
    match trouble {
        Trouble::Lie(why) => {
            endpoint.distrust(why.clone());
            format!("{}: {why}", endpoint.name())
        }
        other => format!("{}: {other:?}", endpoint.name()),
    }
}

/// Whether two readings hold the same payments under the same names; who sent them is another matter.
fn same_payments(left: &[Transfer], right: &[Transfer]) -> bool {
    same_money(left, right) && left.iter().zip(right).all(|(left, right)| left.id == right.id)
}

/// Whether two readings differ in nothing but the names of transactions.
fn same_money(left: &[Transfer], right: &[Transfer]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.same_content(right))
}
