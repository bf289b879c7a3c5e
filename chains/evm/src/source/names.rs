//! Makes sure that transactions bear their own names.
//!
//! Receipts are proven by their root, but the name of each transaction is not in it: a liar could serve
//! true receipts under false names, and the same payment read again elsewhere would count as another.
//! Whole transactions hash to their names and to the header's root; where a node gives only names,
//! another operator must give the same.

use alloy_primitives::{B256, keccak256};
use amn_core::block::{Block, Inclusion};
use amn_core::source::Watch;

use super::EvmSource;
use super::ask::{Ask, Read};
use super::trouble::Trouble;
use crate::evidence;
use crate::wire::WireTransaction;

impl EvmSource {
    /// The block as far as it concerns us, its transactions' names confirmed where anything in it is ours.
    pub(super) async fn named_block(
        &self,
        ask: &Ask<'_>,
        read: &Read,
        watch: &Watch,
    ) -> Result<Option<Block>, Trouble> {
        let Some(mut told) = self.block(ask, read, watch).await? else { return Ok(None) };
        let credits = !told.block.transfers.is_empty() && told.block.evidence.inclusion == Inclusion::Proven;
        if credits && !self.names_hold(ask, read).await? {
            // Not refused: it may be true, and `prove` asks again.
            told.block.evidence.inclusion = Inclusion::Reported;
        }
        self.witnessed(ask, read, watch, told).await.map(Some)
    }

    /// Whether the names of a block's transactions are shown to be theirs.
    pub(super) async fn names_hold(&self, ask: &Ask<'_>, read: &Read) -> Result<bool, Trouble> {
        let (codec, header) = (self.network.codec, &read.header);
        if !codec.proves() || !header.recomputed {
            return Ok(false);
        }
        if evidence::prove_transactions(codec, header, &read.transactions)? == Inclusion::Proven {
            return Ok(true);
        }
        let named = names(&read.transactions);
        if read.whole().next().is_none()
            && let Some(proven) = proven_names(ask, read).await?
        {
            return if proven == named {
                Ok(true)
            } else {
                Err(Trouble::Lie(format!("it names the transactions of block {} in two ways", header.height())))
            };
        }
        // One operator is believed in this where there is no other: that is what accepting a single
        // operator means.
        if self.pool.operators() < 2 {
            return Ok(true);
        }
        for endpoint in self.witnesses(ask) {
            let other = self.ask(&endpoint);
            // Whole transactions prove their names, whoever gives them.
            match proven_names(&other, read).await {
                Ok(Some(proven)) if proven == named => return Ok(true),
                Ok(Some(_)) => {
                    let height = header.height();
                    return Err(Trouble::Lie(format!(
                        "the transactions of block {height} do not have the names it gives"
                    )));
                }
                Ok(None) => {}
                Err(Trouble::Lie(why)) => {
                    endpoint.distrust(why);
                    continue;
                }
                Err(_) => continue,
            }
            match other.block(header.height(), false).await {
                Ok(Some(theirs)) if theirs.header.wire.hash == header.wire.hash => {
                    return Ok(names(&theirs.transactions) == named);
                }
                Err(Trouble::Lie(why)) => endpoint.distrust(why),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(false)
    }
}

/// The names of a block's transactions as its hash commits to them; `None` where this endpoint cannot show them.
async fn proven_names(ask: &Ask<'_>, read: &Read) -> Result<Option<B256>, Trouble> {
    let Some(whole) = ask.block(read.header.height(), true).await? else { return Ok(None) };
    let same = whole.header.wire.hash == read.header.wire.hash;
    let proven =
        same && evidence::prove_transactions(ask.codec, &whole.header, &whole.transactions)? == Inclusion::Proven;
    Ok(proven.then(|| names(&whole.transactions)))
}

/// One hash for the names of all transactions of a block, in order.
pub(super) fn names(transactions: &[WireTransaction]) -> B256 {
    let joined: Vec<u8> = transactions.iter().flat_map(|transaction| transaction.hash().0).collect();
    keccak256(joined)
}
