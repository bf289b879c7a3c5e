//! `rescan`: covered heights read once more by the daemon that follows the network, and how far that came.

use std::time::Duration;

use amn_core::block::NetworkId;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::arguments;
use super::office::Office;
use super::show::{Page, Screen, rows, text};

/// How often a command that waits looks how far it came.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Have covered heights read once more, and what was missed there credited; without heights, show how far that came.
/// What is known already changes nothing.
#[derive(Debug, Args)]
pub struct Rescan {
    #[arg(long, value_parser = arguments::network)]
    network: NetworkId,
    /// The first height.
    #[arg(long, value_name = "HEIGHT", requires = "to")]
    from: Option<u64>,
    /// The last height.
    #[arg(long, value_name = "HEIGHT", requires = "from")]
    to: Option<u64>,
    /// Stay until it is done; ends with 1 where it fails.
    #[arg(long, requires = "from")]
    wait: bool,
}

impl Rescan {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        let path = format!("/v1/networks/{}/rescans", self.network);
        let Some((from, to)) = self.from.zip(self.to) else {
            let found = office.get(&path).await?;
            screen.show(&found, |page| table(page, rows(&found)));
            return Ok(());
        };
        let body = json!({ "from": from.to_string(), "to": to.to_string() });
        let mut rescan = office.post(&path, body).await?;
        while self.wait && rescan["finished_at"].is_null() {
            // Nobody would ever carry it out: to wait for that is to wait for ever.
            if let Some(why) = rescan["waits_for"].as_str() {
                bail!("rescan {} waits, because {why}; it is carried out as soon as that is over", rescan["id"]);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let all = office.get(&path).await?;
            let Some(now) = rows(&all).iter().find(|row| row["id"] == rescan["id"]) else { break };
            rescan = now.clone();
        }
        screen.show(&rescan, |page| table(page, std::slice::from_ref(&rescan)));
        if rescan["status"] == "failed" {
            bail!("rescan {} failed: {}", rescan["id"], text(&rescan["trouble"]));
        }
        Ok(())
    }
}

fn table(page: &mut Page, rescans: &[Value]) {
    let lines: Vec<_> = rescans
        .iter()
        .map(|rescan| {
            [
                text(&rescan["id"]),
                text(&rescan["status"]),
                text(&rescan["from"]),
                text(&rescan["to"]),
                text(&rescan["next"]),
                text(&rescan["transfers"]),
                text(&rescan["found"]),
                text(&rescan["why"]),
                text(&rescan["actor"]),
            ]
        })
        .collect();
    let heads = ["RESCAN", "STATUS", "FROM", "TO", "NEXT", "TRANSFERS", "FOUND", "WHY", "ASKED BY"];
    page.table(heads, &lines, "no heights of this network were read once more");
    for rescan in rescans {
        for why in [&rescan["waits_for"], &rescan["trouble"]] {
            if let Some(why) = why.as_str() {
                page.line(format!("rescan {}: {why}", rescan["id"]));
            }
        }
    }
}
