//! The questions we put to one endpoint, with answers parsed and checked for being answers to them.

use std::ops::RangeInclusive;

use alloy_primitives::B256;
use amn_core::block::{BlockRef, Height};
use amn_rpc::{Answer, Endpoint, RpcError};
use serde_json::{Value, json};

use super::trouble::Trouble;
use crate::evidence::Lie;
use crate::header::{self, Checked};
use crate::receipts::Codec;
use crate::wire::{WholeTransaction, WireBody, WireReceipt, WireTransaction, parse, parse_receipts};

/// Calls in one batch: the smallest limit among public providers is ten, and answers stay small.
const BATCH_MAX: usize = 10;

/// One endpoint, and what may be expected of its headers.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub endpoint: &'a Endpoint,
    pub codec: Codec,
}

/// A block as it was read: header checked, transactions named or whole.
#[derive(Debug)]
pub(crate) struct Read {
    pub header: Checked,
    pub transactions: Vec<WireTransaction>,
}

impl Read {
    pub(crate) fn whole(&self) -> impl Iterator<Item = &WholeTransaction> {
        self.transactions.iter().filter_map(|transaction| match transaction {
            WireTransaction::Whole(whole) => Some(&**whole),
            WireTransaction::Name(_) => None,
        })
    }
}

impl Ask<'_> {
    /// Calls in batches, in order. A refusal of one call is that call's.
    pub(crate) async fn batch(
        &self,
        calls: &[(&'static str, Value)],
    ) -> Result<Vec<Result<Answer, RpcError>>, Trouble> {
        let mut answers = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(BATCH_MAX) {
            if let [(method, params)] = chunk {
                answers.push(self.endpoint.call(method, params).await);
            } else {
                answers.extend(self.endpoint.batch(chunk).await?);
            }
        }
        Ok(answers)
    }

    /// The header at a height; `None` where there is none yet.
    pub(crate) async fn header(&self, height: Height) -> Result<Option<Checked>, Trouble> {
        self.tagged(&format!("{:#x}", height.0)).await?.map(|checked| at_height(checked, height)).transpose()
    }

    /// The header that a tag or a number names; `None` where the node cannot say.
    pub(crate) async fn tagged(&self, tag: &str) -> Result<Option<Checked>, Trouble> {
        let answer = self.endpoint.call("eth_getBlockByNumber", &json!([tag, false])).await;
        self.read_header(answer)
    }

    /// The endpoint's head; `None` where it has none.
    pub(crate) async fn latest(&self) -> Result<Option<Checked>, Trouble> {
        let answer = self.endpoint.call("eth_getBlockByNumber", &json!(["latest", false])).await;
        self.read_latest(answer)
    }

    /// Reads an answer that should be the endpoint's head.
    pub(crate) fn read_latest(&self, answer: Result<Answer, RpcError>) -> Result<Option<Checked>, Trouble> {
        let checked = self.read_header(answer)?;
        if let Some(checked) = &checked {
            self.endpoint.report_head(checked.wire.number.0);
        }
        Ok(checked)
    }

    /// Reads an answer that should be a header.
    pub(crate) fn read_header(&self, answer: Result<Answer, RpcError>) -> Result<Option<Checked>, Trouble> {
        let Some(answer) = some(answer)? else { return Ok(None) };
        let checked = header::check(answer.raw(), self.codec.proves())?;
        self.endpoint.report_block(checked.wire.number.0);
        Ok(Some(checked))
    }

    /// One block, with whole transactions or their names.
    pub(crate) async fn block(&self, height: Height, whole: bool) -> Result<Option<Read>, Trouble> {
        Ok(self.blocks(height.0..=height.0, whole).await?.pop())
    }

    /// Consecutive blocks, as many as the node has, oldest first.
    pub(crate) async fn blocks(&self, heights: RangeInclusive<u64>, whole: bool) -> Result<Vec<Read>, Trouble> {
        let heights: Vec<_> = heights.map(Height).collect();
        let mut blocks = Vec::with_capacity(heights.len());
        for (answer, height) in self.by_number(&heights, whole).await?.into_iter().zip(heights) {
            match self.read(answer, height) {
                Ok(Some(read)) => blocks.push(read),
                Ok(None) => break,
                Err(lie @ Trouble::Lie(_)) => return Err(lie),
                // What was read before the trouble is good; the rest is asked for again.
                Err(_) if !blocks.is_empty() => break,
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(blocks)
    }

    /// The blocks at these heights, with the names of their transactions.
    pub(crate) async fn blocks_at(&self, heights: &[Height]) -> Result<Vec<Option<Read>>, Trouble> {
        let answers = self.by_number(heights, false).await?;
        answers.into_iter().zip(heights).map(|(answer, height)| self.read(answer, *height)).collect()
    }

    async fn by_number(&self, heights: &[Height], whole: bool) -> Result<Vec<Result<Answer, RpcError>>, Trouble> {
        let call = |height: &Height| ("eth_getBlockByNumber", json!([format!("{:#x}", height.0), whole]));
        self.batch(&heights.iter().map(call).collect::<Vec<_>>()).await
    }

    /// Reads an answer that should be the block at a height.
    pub(crate) fn read(&self, answer: Result<Answer, RpcError>, height: Height) -> Result<Option<Read>, Trouble> {
        let Some(answer) = some(answer)? else { return Ok(None) };
        let header = at_height(header::check(answer.raw(), self.codec.proves())?, height)?;
        let body: WireBody = parse("the block", answer.raw())?;
        self.endpoint.report_block(height.0);
        Ok(Some(Read { header, transactions: body.transactions }))
    }

    /// Every receipt of a block, in order; `None` where the node does not know the block any more.
    pub(crate) async fn receipts(&self, read: &Read) -> Result<Option<Vec<WireReceipt>>, Trouble> {
        let block = read.header.wire.hash;
        let answer = match self.endpoint.call("eth_getBlockReceipts", &json!([block])).await {
            // Some nodes take a number only. That it is the same block is checked on every receipt.
            Err(RpcError::Rejected { .. }) => {
                self.endpoint.call("eth_getBlockReceipts", &json!([read.header.wire.number])).await
            }
            Err(RpcError::Unsupported(_)) => return self.receipts_one_by_one(&read.transactions).await,
            answer => answer,
        };
        let Some(answer) = some(answer)? else { return Ok(None) };
        let receipts = parse_receipts(answer.raw())?;
        if receipts.is_empty() && !read.transactions.is_empty() {
            // Seen in the wild right after a block appears: empty now, whole a moment later.
            return Err(Trouble::Failed(format!("no receipts for block {block}, which has transactions")));
        }
        Ok(Some(receipts))
    }

    /// For nodes that have no `eth_getBlockReceipts`: the same receipts, at the price of a call each.
    async fn receipts_one_by_one(&self, transactions: &[WireTransaction]) -> Result<Option<Vec<WireReceipt>>, Trouble> {
        let calls: Vec<_> = transactions.iter().map(|tx| ("eth_getTransactionReceipt", json!([tx.hash()]))).collect();
        let mut receipts = Vec::with_capacity(calls.len());
        for answer in self.batch(&calls).await? {
            let Some(answer) = some(answer)? else { return Ok(None) };
            receipts.push(parse("the receipt", answer.raw())?);
        }
        Ok(Some(receipts))
    }

    /// The header of that hash, wherever it stands.
    pub(crate) async fn header_of(&self, block: BlockRef) -> Result<Option<Read>, Trouble> {
        let params = json!([B256::from(block.hash.0), false]);
        let Some(answer) = some(self.endpoint.call("eth_getBlockByHash", &params).await)? else { return Ok(None) };
        let header = at_height(header::check(answer.raw(), self.codec.proves())?, block.height)?;
        if header.wire.hash.0 != block.hash.0 {
            return Err(Lie::OtherBlock { asked: B256::from(block.hash.0), got: header.wire.hash }.into());
        }
        let body: WireBody = parse("the block", answer.raw())?;
        Ok(Some(Read { header, transactions: body.transactions }))
    }
}

/// An answer that says something; `None` for `null` and for "not yet".
fn some(answer: Result<Answer, RpcError>) -> Result<Option<Answer>, Trouble> {
    match answer {
        Ok(answer) if answer.is_null() => Ok(None),
        Ok(answer) => Ok(Some(answer)),
        Err(RpcError::NotYet(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn at_height(checked: Checked, asked: Height) -> Result<Checked, Trouble> {
    let got = checked.wire.number.0;
    if got == asked.0 { Ok(checked) } else { Err(Lie::OtherHeight { asked: asked.0, got }.into()) }
}
