//! `networks`: where each stands, and going on after a halt.

use amn_core::block::{Hash, NetworkId};
use amn_core::engine;
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::office::Office;
use super::show::{Page, Screen, rows, text};
use super::{arguments, nodes};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every network with its lag, its halt, and its endpoints, which are asked for their heads.
    List,
    /// Go on after a halt.
    Resume {
        #[arg(value_parser = arguments::network)]
        network: NetworkId,
        /// After a fork below what was final: a block of the branch to follow. Everything that settled on the
        /// other branch is reversed, once the operators agree on this one.
        #[arg(long, value_name = "HASH")]
        accept_fork: Option<Hash>,
    },
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        match self {
            Self::List => {
                nodes::ask_heads(&office.networks).await;
                let found = office.get("/v1/networks").await?;
                screen.show(&found, |page| list(page, &found));
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
        }
        Ok(())
    }
}

fn list(page: &mut Page, answer: &Value) {
    let table: Vec<_> = rows(answer)
        .iter()
        .map(|network| {
            let lag = network["lag_seconds"].as_u64();
            [
                text(&network["id"]),
                text(&network["status"]),
                text(&network["tip"]["height"]),
                text(&network["safe"]["height"]),
                text(&network["finalized"]["height"]),
                lag.map_or_else(String::new, |lag| format!("{lag} s of {} s", network["lag_allowed_seconds"])),
                text(&network["chain"]),
            ]
        })
        .collect();
    let heads = ["NETWORK", "STATUS", "TIP", "SAFE", "FINALIZED", "LAG", "CHAIN"];
    page.table(heads, &table, "no network is known yet; the daemon registers those that the configuration enables");
    for network in rows(answer).iter().filter(|network| !network["halt"].is_null()) {
        let (id, halt) = (text(&network["id"]), &network["halt"]);
        page.line("");
        page.line(format!("{id} stands still since {}: {}", text(&halt["at"]), text(&halt["reason"])));
        page.line(format!("  {}", text(&halt["detail"])));
        let fork = text(&halt["reason"]).starts_with("fork");
        let flag = if fork { " --accept-fork HASH" } else { "" };
        page.line(format!("  when the cause is understood: amn-scanner networks resume {id}{flag}"));
    }
    let endpoints: Vec<_> = rows(answer).iter().flat_map(endpoints).collect();
    if !endpoints.is_empty() {
        page.line("");
        page.table(["ENDPOINT", "NETWORK", "OPERATOR", "STATUS", "HEAD", "BEHIND", "URL", "SAID"], &endpoints, "");
    }
}

fn endpoints(network: &Value) -> Vec<[String; 8]> {
    let all = network["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter()
        .map(|endpoint| {
            let status = match (&endpoint["distrusted"], endpoint["head"].is_null()) {
                (Value::String(_), _) => "distrusted",
                (_, true) => "FAIL",
                _ => "ok",
            };
            let said = [&endpoint["distrusted"], &endpoint["last_error"]].into_iter().find(|said| !said.is_null());
            [
                text(&endpoint["name"]),
                text(&network["id"]),
                text(&endpoint["operator"]),
                status.to_owned(),
                text(&endpoint["head"]),
                text(&endpoint["lag"]),
                text(&endpoint["shown_url"]),
                said.map(text).unwrap_or_default(),
            ]
        })
        .collect()
}
