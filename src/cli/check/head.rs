//! Where an endpoint stands: how quick it is, whether its head keeps its place, and whether its tags make sense.

use std::time::{Duration, Instant};

use amn_core::confirmation::Tag;
use amn_core::timestamp::Timestamp;
use amn_evm::header::Checked;
use amn_rpc::RpcError;
use amn_scanner::networks::Served;
use amn_scanner::networks::evm::quantity;
use serde_json::json;

use super::endpoint::Asker;

/// So often the head is asked for: a URL with two nodes behind it shows both.
const HEADS_ASKED: usize = 8;
/// A slow node has shown that it is slow by then.
const HEADS_WITHIN: Duration = Duration::from_secs(4);
/// A node that takes longer shows a payment later than the payer expects.
const SLOW: Duration = Duration::from_secs(1);

impl Asker<'_> {
    /// The newest block, where the endpoint gives one that is what it says.
    pub async fn head(&mut self, served: &Served, now: Timestamp) -> Option<Checked> {
        let highest = self.heads().await?;
        let head = match self.header("latest").await {
            Ok(head) => head,
            Err(why) => {
                let todo = "a header that does not recompute is a lie or a codec that is wrong for this chain";
                self.fail("head", format!("latest: {why}"), todo);
                return None;
            }
        };
        self.age(served, now, &head);
        if head.height().0 < highest {
            let said = format!("went back: {highest} was its head, now it gives {} as the latest", head.height());
            self.fail("head", said, "one URL leads to nodes that do not agree: use another, or one node");
        }
        self.by_number(&head).await;
        self.tags(served, &head).await;
        Some(head)
    }

    /// How quickly it says where it stands, and whether it goes back; the highest it said.
    async fn heads(&mut self) -> Option<u64> {
        let (began, mut took, mut heads) = (Instant::now(), Vec::new(), Vec::new());
        while heads.len() < HEADS_ASKED && (began.elapsed() < HEADS_WITHIN || heads.len() < 2) {
            let asked = Instant::now();
            let head = self.ask("eth_blockNumber", json!([])).await;
            match head.and_then(|answer| quantity(&answer.parse::<String>()?)) {
                Ok(head) => heads.push(head),
                Err(RpcError::CoolDown { .. }) => return None,
                Err(error) => {
                    self.fail("head", format!("eth_blockNumber: {error}"), "the node must answer it every time");
                    return None;
                }
            }
            took.push(asked.elapsed());
        }
        took.sort_unstable();
        let (middle, most) = (took[took.len() / 2], took[took.len() - 1]);
        let said = format!("{} ms, at most {} ms of {}", middle.as_millis(), most.as_millis(), took.len());
        if most > SLOW {
            self.warn("latency", said, "payments are seen as late as its answers: prefer another node");
        } else {
            self.fine("latency", said);
        }
        if let Some(back) = heads.iter().zip(heads.iter().skip(1)).find(|(before, after)| after < before) {
            let said = format!("went back from {} to {} between two questions", back.0, back.1);
            self.fail("head", said, "one URL leads to nodes that do not agree: use another, or one node");
        }
        heads.into_iter().max()
    }

    fn age(&mut self, served: &Served, now: Timestamp, head: &Checked) {
        let age = now.seconds_since(head.header().time);
        let proof = if head.recomputed { "hash recomputed" } else { "hash not recomputed" };
        let said = format!("{} ({age} s old, {proof})", head.height());
        if age > 60 + 20 * served.facts.block_time_ms / 1_000 {
            self.warn("head", said, "the node lags, or the chain makes no blocks");
        } else if self.network.codec.proves() && !head.recomputed {
            let fields = head.unknown_fields.join(", ");
            let todo = "upgrade this binary; evidence stays reported";
            self.warn("head", format!("{said}: unknown fields {fields}"), todo);
        } else {
            self.fine("head", said);
        }
    }

    /// The newest block must be there by its number and its hash, not by its tag alone.
    async fn by_number(&mut self, head: &Checked) {
        let todo = "it announces blocks before it has them: payments in them come late, or not at all";
        match self.header(&format!("{:#x}", head.height().0)).await {
            Ok(_) => {}
            Err(why) => self.fail("head", format!("{} is its latest, and by number: {why}", head.height()), todo),
        }
        let named = self.ask("eth_getBlockByHash", json!([head.wire.hash, false])).await;
        match named {
            Ok(answer) if answer.is_null() => {
                self.fail("head", format!("{} is its latest, and by hash it has none", head.height()), todo);
            }
            Ok(_) | Err(RpcError::CoolDown { .. }) => {}
            Err(error) => self.fail("head", format!("{} by its hash: {error}", head.height()), todo),
        }
    }

    /// Whether the node says what is safe and what is final, and in the order they must have.
    async fn tags(&mut self, served: &Served, head: &Checked) {
        let asked = served.facts.policy.require.tag;
        let mut above = head.height();
        for (tag, word) in [(Tag::Safe, "safe"), (Tag::Finalized, "finalized")] {
            match self.header(word).await {
                // The head may have moved since it was asked for.
                Ok(block) if block.height() > above && tag == Tag::Finalized => {
                    let said = format!("{word} {} is above {above}", block.height());
                    self.fail("tag", said, "its word on finality is worth nothing: use another node");
                }
                Ok(block) => {
                    let behind = head.height().above(block.height());
                    self.fine("tag", format!("{word} {} ({behind} behind)", block.height()));
                    above = block.height();
                }
                Err(why) if asked == Some(tag) || asked == Some(Tag::Safe) && tag == Tag::Finalized => {
                    let todo = "the policy asks for it: use another node, or another term";
                    self.fail("tag", format!("{word}: {why}"), todo);
                }
                Err(why) => self.warn("tag", format!("{word}: {why}"), "terms that name this tag are never met here"),
            }
        }
    }
}
