//! `replay`: plays a recorded scenario and says how what was told differs from what was expected.

use std::path::PathBuf;
use std::process::ExitCode;

use amn_scanner::config::Config;
use amn_scanner::outbox::signature::Secret;
use amn_scanner::replay::{self, ReplayError, Report, Server, Webhook};
use anyhow::Result;
use clap::Args;

use super::Wrong;
use super::show::{Page, Screen};

#[derive(Debug, Args)]
pub struct Replay {
    /// The scenario's folder: scenario.toml, exchanges.jsonl and expected-events.json.
    #[arg(value_name = "FOLDER")]
    scenario: PathBuf,
    /// Post every event here as it happens, signed, in order, and again where it fails.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// What the webhooks are signed with (whsec_…); default: a new one, which is printed.
    #[arg(long, value_name = "SECRET", requires = "webhook", env = "AMN_REPLAY_SECRET", hide_env_values = true)]
    secret: Option<Secret>,
    /// Play so many times as fast as it happened; default: as fast as it goes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    speed: Option<u32>,
    /// Write what is told to expected-events.json, and the tape's sums anew.
    #[arg(long)]
    bless: bool,
}

impl Replay {
    pub async fn run(self, config: &Config, screen: &Screen) -> Result<ExitCode> {
        let server = match &config.database.url {
            Some(url) => Server::At(url.clone()),
            None => Server::Embedded(config.database.data_dir.clone()),
        };
        let mut replay = replay::Replay::scenario(&self.scenario).server(server);
        let mut shown_secret = None;
        if let Some(url) = self.webhook {
            let webhook = match self.secret {
                Some(secret) => Webhook { url, secret },
                None => {
                    let webhook = Webhook::with_new_secret(url);
                    shown_secret = Some(webhook.secret.reveal().to_owned());
                    webhook
                }
            };
            replay = replay.webhook(webhook);
        }
        if let Some(secret) = &shown_secret {
            // Before the first webhook comes: whoever listens must know it by then.
            screen.note(&format!("webhooks are signed with {secret}"));
        }
        if let Some(times) = self.speed {
            replay = replay.speed(times);
        }
        if self.bless {
            replay = replay.bless();
        }
        let report = replay.run().await.map_err(|error| match error {
            ReplayError::Unusable(problems) => Wrong(problems.join("\n")).into(),
            other => anyhow::Error::from(other),
        })?;
        screen.show(&report.json(), |page| draw(&report, page));
        Ok(if report.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn draw(report: &Report, page: &mut Page) {
    let events: usize = report.feeds.iter().map(|feed| feed.bodies.len()).sum();
    page.line(format!("{}: {events} events in {} looks", report.title, report.looks));
    for difference in &report.differences {
        page.line(format!("  differs: {difference}"));
    }
    for (question, times) in &report.played.missing {
        page.line(format!("  not on the tape, asked {times} times: {question}"));
    }
    if report.played.again > 0 {
        page.line(format!("  {} questions got the last recorded answer again", report.played.again));
    }
    if report.played.unasked > 0 && !report.differences.is_empty() {
        page.line(format!("  {} recorded answers were not asked for", report.played.unasked));
    }
    if report.ended.starts_with("waiting") && !report.differences.is_empty() {
        page.line(format!("  the follower ended {}", report.ended));
    }
    if let Some(delivered) = report.delivered {
        let (taken, retried, dead) = (delivered.delivered, delivered.retried, delivered.dead);
        page.line(format!("  webhooks: {taken} taken, {retried} attempts failed, {dead} given up"));
    }
    page.line(if report.blessed {
        "blessed: these events are what is expected from now on"
    } else if report.is_as_expected() {
        "as expected"
    } else {
        "not as expected"
    });
}
