//! `networks`: where each stands, what its nodes are worth, going on after a halt, using a node again.

mod tables;

use amn_core::block::{Hash, NetworkId};
use amn_core::engine;
use amn_core::timestamp::Timestamp;
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::office::Office;
use super::show::{Screen, rows};
use super::{arguments, nodes};

/// A daemon says what it knows of its nodes every two seconds; what is older is history.
const SAID_LATELY_MS: i64 = 15_000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every network with its lag, its halt, its nodes and what their operators say. Where no daemon has said so of
    /// late, the nodes are asked for their heads.
    List,
    /// One network, with what each of its nodes was asked and how it failed.
    Show {
        #[arg(value_parser = arguments::network)]
        network: NetworkId,
    },
    /// Go on after a halt.
    Resume {
        #[arg(value_parser = arguments::network)]
        network: NetworkId,
        /// After a fork below what was final: a block of the branch to follow. Everything that settled on the
        /// other branch is reversed, once the operators agree on this one.
        #[arg(long, value_name = "HASH")]
        accept_fork: Option<Hash>,
    },
    /// Use a node again at once: its breakers close, and what it asked for in rest is over. A daemon does it within
    /// two seconds; where none runs, that is said.
    Reset {
        #[arg(value_parser = arguments::network)]
        network: NetworkId,
        /// The name of the node, as configured.
        #[arg(value_parser = arguments::node)]
        endpoint: String,
        /// Where it is distrusted: let it prove at once that it is on the right chain, and believe it again.
        #[arg(long)]
        trust: bool,
    },
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        match self {
            Self::List => {
                let mut found = office.get("/v1/networks").await?;
                let silent = ask_of_the_silent(office, found["data"].as_array_mut()).await;
                screen.show(&found, |page| tables::list(page, rows(&found), &silent));
            }
            Self::Show { network } => {
                let mut found = office.get(&format!("/v1/networks/{network}")).await?;
                let mut all = vec![found];
                let silent = ask_of_the_silent(office, Some(&mut all)).await;
                found = all.remove(0);
                screen.show(&found, |page| tables::one(page, &found, &silent));
            }
            Self::Resume { network, accept_fork } => {
                office.decide(&network, engine::Command::Resume { accept_fork }).await?;
                let now = office.get(&format!("/v1/networks/{network}")).await?;
                screen.show(&now, |page| {
                    page.line(match accept_fork {
                        Some(hash) => format!("{network} follows the branch of {hash} once its operators agree on it"),
                        None => format!("{network} goes on"),
                    });
                });
            }
            Self::Reset { network, endpoint, trust } => {
                let path = format!("/v1/networks/{network}/endpoints/{endpoint}/reset");
                let done = office.post(&path, json!({ "trust": trust })).await?;
                screen.show(&done, |page| {
                    page.line(format!("{endpoint} of {network} is used again"));
                    tables::nodes(page, &json!({ "id": network, "endpoints": [done["endpoint"]] }));
                });
            }
        }
        Ok(())
    }
}

/// Where no daemon has said of late what it knows of a network's nodes, asks them ourselves; the names of those networks.
async fn ask_of_the_silent(office: &Office, found: Option<&mut Vec<Value>>) -> Vec<String> {
    let Some(found) = found else { return Vec::new() };
    let lately = |network: &Value| {
        let at = network["reported_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        at.is_some_and(|at| office.now().millis().saturating_sub(at.millis()) <= SAID_LATELY_MS)
    };
    let name = |network: &Value| network["id"].as_str().unwrap_or_default().to_owned();
    let silent: Vec<String> = found.iter().filter(|network| !lately(network)).map(name).collect();
    nodes::ask_heads(&office.networks, |id| silent.iter().any(|name| name == id.as_str())).await;
    for network in found.iter_mut().filter(|network| silent.contains(&name(network))) {
        let Some(served) = office.networks.get(&NetworkId::new(name(network))) else { continue };
        let mut shown = Vec::new();
        for health in served.pool.health() {
            let mut one = serde_json::to_value(health).unwrap_or_default();
            one["per_block"] = Value::Null;
            one["reach"] = Value::Null;
            shown.push(one);
        }
        network["endpoints"] = shown.into();
        network["operators"] = json!([]);
        for unknown in ["polling", "reported_at", "requests"] {
            network[unknown] = Value::Null;
        }
    }
    silent
}
