//! One endpoint, asked everything the follower will ask of it.

use std::sync::Arc;
use std::time::Duration;

use amn_core::confirmation::Tag;
use amn_core::timestamp::Timestamp;
use amn_evm::address;
use amn_evm::header::{self, Checked};
use amn_evm::networks::EvmNetwork;
use amn_evm::wire::{WireBody, WireTransaction, parse, parse_receipts};
use amn_evm::{decode, evidence};
use amn_rpc::{Answer, Endpoint, RpcError};
use amn_scanner::networks::Served;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::Lines;
use crate::cli::nodes::quantity;

/// For one question. The endpoint's own limit may be shorter.
const PATIENCE: Duration = Duration::from_secs(15);
/// A handshake takes a second; a person waits no longer.
const BELL_WITHIN: Duration = Duration::from_secs(6);
/// Blocks back from the head in search of one with transactions: quiet test chains have few.
const BLOCKS_LOOKED_AT: u64 = 20;
/// Spans of eth_getLogs that are tried. Beyond the last, more brings nothing: answers grow too large.
const SPANS: [u64; 6] = [1, 10, 100, 1_000, 5_000, 10_000];
/// `decimals()`.
const DECIMALS: &str = "0x313ce567";

struct Asker<'a> {
    endpoint: &'a Endpoint,
    network: EvmNetwork,
    name: String,
    lines: Lines,
}

pub async fn check(served: &Served, endpoint: &Arc<Endpoint>, now: Timestamp) -> Lines {
    let network = served.source().network().clone();
    let name = format!("{}/{}", served.facts.id, endpoint.name());
    let mut asker = Asker { endpoint, network, name, lines: Lines::default() };
    // Who is not reached, or is another chain, is asked nothing else.
    if asker.identity().await
        && let Some(head) = asker.tags(served, now).await
    {
        asker.logs(head.height().0).await;
        asker.receipts(head).await;
        asker.decimals(served).await;
    }
    asker.bell().await;
    asker.lines
}

impl Asker<'_> {
    async fn ask(&self, method: &'static str, params: Value) -> Result<Answer, RpcError> {
        let late = || RpcError::TryOther { timed_out: true, detail: format!("nothing in {} s", PATIENCE.as_secs()) };
        tokio::time::timeout(PATIENCE, self.endpoint.call(method, &params)).await.unwrap_or_else(|_| Err(late()))
    }

    fn fail(&mut self, check: &'static str, said: impl Into<String>, todo: &str) {
        self.lines.fail(check, self.name.clone(), said, todo);
    }

    fn warn(&mut self, check: &'static str, said: impl Into<String>, todo: &str) {
        self.lines.warn(check, self.name.clone(), said, todo);
    }

    fn fine(&mut self, check: &'static str, said: impl Into<String>) {
        self.lines.fine(check, self.name.clone(), said);
    }

    async fn identity(&mut self) -> bool {
        let answer = self.ask("eth_chainId", json!([])).await;
        let id = answer.and_then(|answer| answer.parse::<String>()).and_then(|text| quantity(&text));
        let expected = self.network.chain_id;
        let latency = self.endpoint.health().latency_us.unwrap_or(0) / 1_000;
        let shown = format!("{} of {}", self.endpoint.shown_url(), self.endpoint.operator());
        match id {
            Ok(id) if id == expected => self.fine("identity", format!("{shown}: chain {id}, {latency} ms")),
            Ok(id) => {
                let said = format!("{shown}: chain {id}, expected {expected}");
                self.fail("identity", said, "the URL is of another network: correct it");
                return false;
            }
            Err(error) => {
                let todo = match error {
                    RpcError::Credentials(_) => "correct the key in the URL or the headers",
                    RpcError::CoolDown { .. } => "it limits us: wait, or set max_rps to what the plan allows",
                    _ => "see that the URL is right and that the node runs",
                };
                self.fail("identity", format!("{shown}: {error}"), todo);
                return false;
            }
        }
        true
    }

    async fn header(&self, tag: &str) -> Result<Checked, String> {
        let answer = self.ask("eth_getBlockByNumber", json!([tag, false])).await.map_err(|error| error.to_string())?;
        if answer.is_null() {
            return Err("it has none".to_owned());
        }
        header::check(answer.raw(), self.network.codec.proves()).map_err(|error| error.to_string())
    }

    /// The head, and whether the node says what is safe and what is final.
    async fn tags(&mut self, served: &Served, now: Timestamp) -> Option<Checked> {
        let head = match self.header("latest").await {
            Ok(head) => head,
            Err(why) => {
                self.fail(
                    "head",
                    why,
                    "a header that does not recompute is a lie or a codec that is wrong for this chain",
                );
                return None;
            }
        };
        let age = now.seconds_since(head.header().time);
        let proof = if head.recomputed { "hash recomputed" } else { "hash not recomputed" };
        let said = format!("{} ({age} s old, {proof})", head.height());
        if age > 60 + 20 * served.facts.block_time_ms / 1_000 {
            self.warn("head", said, "the node lags, or the chain makes no blocks");
        } else if self.network.codec.proves() && !head.recomputed {
            let fields = head.unknown_fields.join(", ");
            self.warn(
                "head",
                format!("{said}: unknown fields {fields}"),
                "upgrade this binary; evidence stays reported",
            );
        } else {
            self.fine("head", said);
        }
        let asked = served.facts.policy.require.tag;
        for (tag, word) in [(Tag::Safe, "safe"), (Tag::Finalized, "finalized")] {
            match self.header(word).await {
                Ok(block) => {
                    let behind = head.height().above(block.height());
                    self.fine("tag", format!("{word} {} ({behind} behind)", block.height()));
                }
                Err(why) if asked == Some(tag) || asked == Some(Tag::Safe) && tag == Tag::Finalized => {
                    self.fail(
                        "tag",
                        format!("{word}: {why}"),
                        "the policy asks for it: use another node, or another term",
                    );
                }
                Err(why) => self.warn("tag", format!("{word}: {why}"), "terms that name this tag are never met here"),
            }
        }
        Some(head)
    }

    /// The widest span of eth_getLogs that the node answers.
    async fn logs(&mut self, head: u64) {
        let tokens: Vec<_> = self.network.registry.tokens.keys().copied().collect();
        let contracts = if tokens.is_empty() { vec![alloy_primitives::Address::ZERO] } else { tokens };
        let mut widest = 0;
        let mut refused = None;
        for span in SPANS.into_iter().filter(|span| *span <= head.saturating_add(1)) {
            let (from, to) = (format!("{:#x}", head.saturating_sub(span - 1)), format!("{head:#x}"));
            let filter =
                json!([{ "address": contracts, "fromBlock": from, "toBlock": to, "topics": [decode::TRANSFER] }]);
            match self.ask("eth_getLogs", filter).await {
                Ok(_) => widest = span,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        match (widest, refused) {
            (0, Some(RpcError::Unsupported(why))) => {
                self.warn(
                    "getLogs",
                    format!("unsupported: {why}"),
                    "history is read block by block: catching up is slow",
                );
            }
            (0, Some(error)) => {
                self.fail("getLogs", error.to_string(), "history cannot be read from it: use another node");
            }
            (_, Some(error)) => self.fine("getLogs", format!("up to {widest} blocks; beyond: {error}")),
            (_, None) => self.fine("getLogs", format!("{widest} blocks, the most that was tried")),
        }
    }

    /// The receipts of a recent block, and whether they hash to its header's root.
    async fn receipts(&mut self, head: Checked) {
        let newest = head.height().0;
        let mut block = None;
        for height in (newest.saturating_sub(BLOCKS_LOOKED_AT)..=newest).rev() {
            let number = format!("{height:#x}");
            let Ok(answer) = self.ask("eth_getBlockByNumber", json!([number, false])).await else { continue };
            let Ok(body) = parse::<WireBody>("the block", answer.raw()) else { continue };
            let Ok(checked) = header::check(answer.raw(), self.network.codec.proves()) else { continue };
            let full = !body.transactions.is_empty();
            block = Some((checked, body.transactions));
            if full {
                break;
            }
        }
        let Some((checked, transactions)) = block else {
            return self.fail("receipts", "no recent block reads", "see the head's line");
        };
        match self.ask("eth_getBlockReceipts", json!([checked.wire.hash])).await {
            Err(RpcError::Unsupported(_)) => {
                self.warn(
                    "receipts",
                    "no eth_getBlockReceipts",
                    "receipts are read one by one: more requests are used",
                );
            }
            Err(error) => {
                self.fail("receipts", error.to_string(), "payments cannot be proven with it: use another node");
            }
            Ok(answer) => self.proof(&checked, &transactions, &answer),
        }
    }

    fn proof(&mut self, checked: &Checked, transactions: &[WireTransaction], answer: &Answer) {
        let at = format!("block {} with {} transaction(s)", checked.height(), transactions.len());
        let codec = self.network.codec;
        let proven = parse_receipts(answer.raw()).map_err(|error| error.to_string()).and_then(|receipts| {
            evidence::prove(codec, checked, transactions, &receipts).map_err(|lie| lie.to_string())
        });
        match proven {
            Err(why) => {
                self.fail("receipts", format!("{at}: {why}"), "the codec is wrong for this chain, or the node lies");
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
    }

    async fn decimals(&mut self, served: &Served) {
        let mut read = 0;
        for asset in served.facts.assets.iter().filter(|asset| !asset.native) {
            let Some(contract) = address::contract_of(&asset.id) else { continue };
            let call = json!([{ "to": address::spell(contract), "data": DECIMALS }, "latest"]);
            let answer = self.ask("eth_call", call).await.and_then(|answer| answer.parse::<String>());
            let named = format!("{} ({})", asset.symbol, asset.id);
            // A word of 32 bytes, its number at the end.
            match answer.map(|word| if word.len() == 66 { amn_evm::wire::quantity(&word) } else { None }) {
                Ok(Some(decimals)) if decimals == u64::from(asset.decimals) => read += 1,
                Ok(Some(decimals)) => {
                    let said = format!("{named}: {decimals} on chain, {} in the registry", asset.decimals);
                    self.fail("decimals", said, "correct the registry: the network does not start like this");
                }
                Ok(None) => self.fail("decimals", format!("{named}: no token there"), "correct the address"),
                Err(error) => self.fail("decimals", format!("{named}: {error}"), "the node must answer eth_call"),
            }
        }
        if read > 0 {
            self.fine("decimals", format!("{read} token(s) agree with the registry"));
        }
    }

    /// Whether the WebSocket opens; a hint only, so its absence is no failure.
    async fn bell(&mut self) {
        let Some(doorbell) = self.endpoint.doorbell() else { return };
        let bell = Arc::new(Notify::new());
        let rang = tokio::select! {
            () = bell.notified() => true,
            never = doorbell.ring(bell.clone()) => match never {},
            () = tokio::time::sleep(BELL_WITHIN) => false,
        };
        if rang {
            self.fine("websocket", "connected and subscribed");
        } else {
            self.warn("websocket", "does not connect", "correct ws, or leave it out: new blocks are found by polling");
        }
    }
}
