//! Better evidence for what was told before: which other operators have the very transaction, and the very block.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use amn_core::block::{BlockRef, Evidence, Inclusion, Operator, TransferId, TxHash};
use amn_core::explained::{Explained, Move};
use amn_core::source::{SourceError, Watch};
use amn_core::timestamp::Timestamp;
use futures_util::stream::{self, StreamExt as _};

use super::ask::{Ask, Named, Row};
use super::chain::Known;
use super::trouble::Trouble;
use super::verdict::Verdict;
use super::{Shared, memory};
use crate::address::Account;
use crate::decode;
use crate::transaction::Link;

/// Deposits that operators are asked about at a time: two requests to each of them.
const ASKED_AT_ONCE: usize = 16;

impl Shared {
    /// Who else has what was told. That the cell is the transaction's was found when it was read.
    pub(crate) async fn prove(&self, deposits: &[(TransferId, BlockRef)]) -> Vec<(TransferId, BlockRef, Evidence)> {
        let turn = self.proving.fetch_add(ASKED_AT_ONCE, Ordering::Relaxed);
        let count = ASKED_AT_ONCE.min(deposits.len());
        let first = turn.checked_rem(deposits.len()).unwrap_or_default();
        let asked: Vec<_> = deposits.iter().cycle().skip(first).take(count).copied().collect();
        let proven = stream::iter(asked).map(async |(id, block)| {
            let operators = self.who_has(id.tx, block).await;
            (id, block, Evidence { inclusion: Inclusion::Reported, operators, attestations: None })
        });
        proven.buffered(4).filter(|(_, _, evidence)| std::future::ready(!evidence.operators.is_empty())).collect().await
    }

    async fn who_has(&self, tx: TxHash, block: BlockRef) -> BTreeSet<Operator> {
        let mut operators = BTreeSet::new();
        let (account, at) = match self.memory.placed(tx) {
            Some(placed) => placed,
            None => match self.look_up(tx, &mut Verdict::default()).await {
                Some((named, _)) => (named.account, named.at),
                None => return operators,
            },
        };
        let row = Row { at: block, time: Timestamp::from_millis(0), global_id: None };
        for endpoint in self.voices() {
            match (Ask { endpoint: &endpoint }).has(&account, at).await {
                Ok(true) if self.operator_has_block(endpoint.operator(), &row).await => {
                    operators.insert(endpoint.operator().clone());
                }
                Err(Trouble::Lie(why)) => endpoint.distrust(why),
                Ok(_) | Err(_) => {}
            }
        }
        operators
    }

    /// A transaction by its hash, from the first that knows it; with its height, where anybody says it.
    async fn look_up(&self, tx: TxHash, verdict: &mut Verdict) -> Option<(Named, Arc<amn_rpc::Endpoint>)> {
        let mut found: Option<(Named, Arc<amn_rpc::Endpoint>)> = None;
        for endpoint in self.endpoints() {
            match (Ask { endpoint: &endpoint }).by_hash(tx).await {
                Ok(Some(named)) if named.at.hash == tx => {
                    let better = named.height.is_some();
                    if better || found.is_none() {
                        found = Some((named, endpoint));
                    }
                    if better {
                        break;
                    }
                }
                Ok(_) => {}
                Err(trouble) => verdict.add(&endpoint, trouble),
            }
        }
        found
    }

    /// A transaction of any account, for people.
    pub(crate) async fn find(&self, tx: TxHash) -> Result<Option<Explained>, SourceError> {
        let mut verdict = Verdict::default();
        let Some((named, endpoint)) = self.look_up(tx, &mut verdict).await else {
            // Somebody must have answered that there is none such.
            let silent = verdict.asked() >= self.endpoints().len();
            return if silent { Err(self.error(verdict)) } else { Ok(None) };
        };
        let Named { account, at, height } = named;
        let failed = |trouble: Trouble| {
            let mut verdict = Verdict::default();
            verdict.add(&endpoint, trouble);
            self.error(verdict)
        };
        let Some(height) = height else {
            let why = format!("{} has it, and nobody says in which block", endpoint.name());
            return Err(SourceError::Unavailable(why));
        };
        let row = self.row(&endpoint, height).await.map_err(failed)?;
        let read = self.one(endpoint.operator(), account, at, &mut Known::new()).await.map_err(failed)?;
        Ok(Some(self.explained(account, at, &row, read)))
    }

    fn explained(&self, account: Account, at: Link, row: &Row, read: crate::transaction::Transaction) -> Explained {
        let watch = Watch::everything(true);
        let wallets = self.followed(&watch).wallets;
        let header = memory::name_only(row.at);
        let block = decode::block(&self.network.registry, &wallets, &watch, header, &[read]);
        let moves = block.transfers.iter().map(|transfer| Move {
            kind: transfer.id.kind,
            index: transfer.id.index,
            contract: None,
            asset: Some(transfer.asset.clone()),
            to: transfer.to.clone(),
            amount: transfer.amount.to_string(),
            note: None,
        });
        // What pays nobody is no more than a word.
        let aside = block.observations.iter().filter(|seen| seen.tx == Some(at.hash)).map(|seen| Move {
            kind: amn_core::block::Kind::Native,
            index: 0,
            contract: None,
            asset: None,
            to: seen.to.clone().unwrap_or_else(|| account.spell(self.network.realm)),
            amount: String::new(),
            note: Some(match seen.kind.as_str() {
                "dust" => "less than the asset's min_amount",
                "unlisted_asset" => "of a jetton that is not listed",
                "sent_back" => "sent back to whoever sent it",
                "handed_on" => "the account sent messages on for it",
                "jetton_refused" => "the wallet did not accept it",
                "bounced" => "a message of the account's own that came back",
                "excesses" => "what was left of fees",
                _ => "not of a known shape",
            }),
        });
        let moves = moves.chain(aside).collect();
        // That it was aborted says nothing of whether its money stayed: what follows of it does.
        Explained { block: row.at, succeeded: None, moves }
    }
}
