//! `record`: runs a scenario against its real nodes and writes its folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use amn_scanner::config::scenario::{self, Scenario};
use amn_scanner::config::{Config, environment_variables};
use amn_scanner::replay::record::{self, Until};
use amn_scanner::replay::{ReplayError, Server};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Wrong;
use super::show::Screen;

#[derive(Debug, Args)]
pub struct Record {
    /// A scenario: its network, intents and timeline. Endpoints without a url take the configuration's of that name.
    #[arg(value_name = "SCENARIO.TOML")]
    scenario: PathBuf,
    /// The folder to write: it must not hold a recording.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// End after this time, such as 90s, 30m or 12h; default: at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    time: Option<Duration>,
    /// End when the ledger has grown by so many blocks.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    blocks: Option<u64>,
}

impl Record {
    pub async fn run(self, config: &Config, screen: &Screen) -> Result<ExitCode> {
        let server = match &config.database.url {
            Some(url) => Server::At(url.clone()),
            None => Server::Embedded(config.database.data_dir.clone()),
        };
        let mut scenario = Scenario::load(&self.scenario, environment_variables().collect())?;
        scenario::fill_urls(&mut scenario, config).map_err(|problems| Wrong(problems.join("\n")))?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let stop = async {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        };
        let beside = self.scenario.parent().unwrap_or(Path::new("."));
        let until = Until { time: self.time, blocks: self.blocks };
        let done = record::run(scenario, beside, &self.into, &server, until, stop).await;
        let done = done.map_err(|error| match error {
            ReplayError::Unusable(problems) => Wrong(problems.join("\n")).into(),
            other => anyhow::Error::from(other),
        })?;
        let events: usize = done.feeds.iter().map(|feed| feed.bodies.len()).sum();
        let (folder, recorded) = (self.into.display().to_string(), done.recorded);
        let shown = json!({
            "bytes": recorded.bytes, "cut": recorded.cut, "events": events, "exchanges": recorded.exchanges,
            "folder": folder, "looks": recorded.looks, "refused": done.refused, "tip": done.tip,
        });
        screen.show(&shown, |page| {
            let (exchanges, looks) = (recorded.exchanges, recorded.looks);
            page.line(format!("recorded {exchanges} exchanges in {looks} looks, {events} events, in {folder}"));
            for refused in &done.refused {
                page.line(format!("  {refused}"));
            }
            if recorded.cut {
                page.line("  the recording was cut short: see the log");
            }
            page.line(format!("look at the events, then: amn-scanner replay {folder}"));
        });
        Ok(if recorded.cut { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn length(text: &str) -> Result<Duration, String> {
    let wrong = || "a time such as 90s, 30m or 12h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(length("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(length("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "s", "1", "-1s", "1d", "1.5h", "é"] {
            assert!(length(wrong).is_err(), "{wrong:?}");
        }
    }
}
