//! One endpoint of a Stellar network, asked everything the follower will ask of it: who it is, how far back it goes,
//! and whether its newest ledger proves itself.

use std::time::Duration;

use amn_core::block::Height;
use amn_core::timestamp::Timestamp;
use amn_rpc::RpcError;
use amn_scanner::networks::soroban::{self, Health};
use amn_scanner::networks::{Kind, Served};
use amn_soroban::evidence;
use amn_soroban::lake::LakeError;
use amn_soroban::ledger::{Ledger, LedgerError, PROTOCOL_MAX};
use amn_soroban::networks::SorobanNetwork;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Lines;
use super::endpoint::Asker;

/// For the first file of a lake.
const PATIENCE: Duration = Duration::from_secs(15);

/// So many ledgers back a node must reach for a weekend without us to end well: at five to six seconds, three days.
const RETENTION_LEDGERS: u64 = 45_000;

/// Whether each data lake is of this network and of a kind that is read. What it holds is asked for when it is needed.
pub async fn lakes(served: &Served, lines: &mut Lines) {
    let Kind::Soroban(source) = served.kind() else { return };
    for lake in source.lakes() {
        let name = format!("{}/{}", served.facts.id, lake.name());
        let health = lake.health();
        let shown = format!("{} of {}", health.shown_url, health.operator);
        let asked = tokio::time::timeout(PATIENCE, lake.check()).await;
        match asked.unwrap_or_else(|_| Err(LakeError::Failed(format!("nothing in {} s", PATIENCE.as_secs())))) {
            Ok(()) => lines.fine("lake", name, format!("{shown}: files of this network")),
            Err(error @ LakeError::Foreign(_)) => {
                lines.fail(
                    "lake",
                    name,
                    format!("{shown}: {error}"),
                    "the URL is of another network or no lake: correct it",
                );
            }
            Err(error) => {
                let todo = "history that the nodes have forgotten is not to be had from it: see that the URL is right";
                lines.fail("lake", name, format!("{shown}: {error}"), todo);
            }
        }
    }
}

/// Who listens to which contract, as the configuration has it: what nobody listens for is never told, however well it
/// is proven.
pub fn listeners(served: &Served, lines: &mut Lines) {
    for wish in served.wishes() {
        let topics: Vec<String> =
            wish.patterns.iter().map(|pattern| format!("[{}]", pattern.texts().join(", "))).collect();
        let since = wish.since.map_or_else(|| "its first start".to_owned(), |since| format!("ledger {since}"));
        let subject = format!("{}/{}", served.facts.id, wish.contract);
        let said = format!("{} hears {} since {since}; {}", wish.tenant, topics.join(" and "), wish.place);
        lines.fine("listener", subject, said);
    }
}

/// Who a node says it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    passphrase: String,
    protocol_version: u32,
}

impl Asker<'_, SorobanNetwork> {
    /// Who is not reached, is another network, or wants to be left alone is asked nothing else.
    pub async fn all(&mut self, now: Timestamp) -> bool {
        if !self.identity().await {
            return false;
        }
        let Some(health) = self.reach().await else { return true };
        if !self.is_limited() {
            self.newest(Height(health.latest_ledger), now).await;
        }
        true
    }

    async fn identity(&mut self) -> bool {
        let shown = format!("{} of {}", self.endpoint.shown_url(), self.endpoint.operator());
        let asked = self.ask("getNetwork", json!({})).await.and_then(|answer| answer.parse::<Network>());
        match asked {
            Ok(said) if said.passphrase == self.network.passphrase => {
                self.fine("identity", format!("{shown}: {}", said.passphrase));
                self.protocol(said.protocol_version);
                true
            }
            Ok(said) => {
                let told: String = said.passphrase.chars().take(80).collect();
                let said = format!("{shown}: {told:?}, expected {:?}", self.network.passphrase);
                self.fail("identity", said, "the URL is of another network: correct it");
                false
            }
            Err(error) => {
                let todo = match error {
                    RpcError::Credentials(_) => "correct the key in the URL or the headers",
                    RpcError::CoolDown { .. } => "it limits us: wait, or set max_rps to what the plan allows",
                    RpcError::Malformed(_) => "what answers there is no stellar-rpc (Horizon is none)",
                    _ => "see that the URL is right and that the node runs",
                };
                self.fail("identity", format!("{shown}: {error}"), todo);
                false
            }
        }
    }

    fn protocol(&mut self, version: u32) {
        let said = format!("{version}; this binary reads up to {PROTOCOL_MAX}");
        if version > PROTOCOL_MAX {
            let todo = "upgrade this binary: where all nodes say so, the network does not start, and loses nothing";
            self.fail("protocol", said, todo);
        } else {
            self.fine("protocol", said);
        }
    }

    /// How far its ledgers reach, at the head and back.
    async fn reach(&mut self) -> Option<Health> {
        let asked = self.ask("getHealth", json!({})).await.and_then(|answer| answer.parse::<Health>());
        let health = match asked {
            Ok(health) => health,
            Err(error) => {
                let todo = "it says itself that it is behind or not ready: use another node meanwhile";
                self.fail("head", format!("getHealth: {error}"), todo);
                return None;
            }
        };
        let (oldest, latest) = (health.oldest_ledger, health.latest_ledger);
        let held = latest.saturating_sub(oldest);
        let said = format!("ledgers {oldest} to {latest}: {held}");
        if oldest > latest {
            self.fail("retention", said, "it contradicts itself: use another node");
            return None;
        }
        if held < RETENTION_LEDGERS {
            let todo =
                "after a longer outage of ours the network would halt: add a data lake, or a node that keeps more";
            self.warn("retention", said, todo);
        } else {
            self.fine("retention", said);
        }
        Some(health)
    }

    /// Its newest ledger, read as the follower reads it.
    async fn newest(&mut self, at: Height, now: Timestamp) {
        let handed = match soroban::ledger(self.endpoint, at).await {
            Ok(Some(handed)) => handed,
            Ok(None) => {
                let todo = "it announces ledgers before it has them: payments in them come late";
                return self.fail("newest", format!("{at} is its latest, and getLedgers has none of it"), todo);
            }
            Err(error) => {
                let todo = "the node must answer getLedgers: without it nothing is seen";
                return self.fail("newest", format!("{at}: {error}"), todo);
            }
        };
        let Ok(bytes) = STANDARD.decode(&handed.metadata_xdr) else {
            return self.fail("newest", format!("{at}: its XDR is no base64"), "what answers there is no stellar-rpc");
        };
        let size = bytes.len();
        let ledger = match Ledger::decode(&bytes) {
            Ok(ledger) => ledger,
            Err(error) => {
                let todo = match error {
                    LedgerError::TooLarge(_) => "no honest ledger is so large: use another node",
                    LedgerError::OutOfPlace { .. } => "the node lies or is broken: use another",
                    LedgerError::Undecodable(_) | LedgerError::Protocol { .. } => {
                        "if all nodes give such ledgers, upgrade this binary; else use another node"
                    }
                };
                return self.fail("newest", format!("{at}: {error}"), todo);
            }
        };
        let age = now.seconds_since(ledger.time());
        match evidence::verify(&self.network, ledger, None) {
            Err(lie) => self.fail("newest", lie.to_string(), "the node lies or is broken: use another"),
            Ok(verified) if verified.header.at.height != at || verified.header.at.hash != handed.hash => {
                let is = verified.header.at;
                let said =
                    format!("{at} {} was asked for and named; what came is {} {}", handed.hash, is.height, is.hash);
                self.fail("newest", said, "the node lies or is broken: use another");
            }
            Ok(verified) => {
                let by = verified.attester.and_then(|attester| attester.organisation);
                let by = by.map_or_else(|| "by a validator we do not list".to_owned(), |by| format!("by {by}"));
                let said = format!(
                    "{at} ({age} s old, {size} bytes, {} transactions) proves itself; its value is signed {by}",
                    verified.applied.len()
                );
                if age > 60 {
                    self.warn("newest", said, "the node lags, or the network closes no ledgers");
                } else {
                    self.fine("newest", said);
                }
            }
        }
    }
}
