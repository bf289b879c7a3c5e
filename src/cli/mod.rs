//! The command line: what an operator may ask for, in words a person can read or in JSON.
//!
//! Law: a command goes through the same doors as the API, on the database the daemon uses, and the audit log
//! names who typed it. What is wrong with a command is said by argument; nothing a person types panics.

mod arguments;
mod check;
mod deliveries;
mod deposits;
mod endpoints;
mod explain;
mod intents;
mod keys;
mod networks;
mod nodes;
mod office;
mod record;
mod replay;
mod rescan;
mod show;
mod tenants;
mod thresholds;
mod torture;

use std::path::PathBuf;
use std::process::ExitCode;

use amn_scanner::config::{Config, ConfigErrors, Log, LogFormat, environment_variables};
use amn_scanner::daemon::OpenDatabase;
use amn_scanner::{daemon, store, telemetry};
use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use self::office::{Office, Refused};
use self::show::Screen;

/// Nothing was done: the arguments or the configuration are wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

/// Watches chains, matches transfers to payment intents, and tells an escrow backend with signed webhooks.
#[derive(Debug, Parser)]
#[command(name = "amn-scanner", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// The configuration file. Default: amn-scanner.toml, where it is there.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Print JSON, keys sorted, instead of words and tables.
    #[arg(long, global = true)]
    json: bool,
    /// Say on standard error what goes on.
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until it is told to stop.
    Run {
        /// Write every exchange with the nodes, and what is asked meanwhile, into a folder of each network below this.
        #[arg(long, value_name = "DIR")]
        record: Option<PathBuf>,
    },
    /// Bring the database's schema up to this binary.
    Migrate,
    /// Play the whole story on a chain of its own: payments, reorgs, a crash, and what the receiver hears.
    Demo {
        /// Stay up after the story, until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
    /// Run a scenario against its real nodes and write down every exchange, so that it can be played again.
    Record(record::Record),
    /// Play a recorded scenario on a virtual clock, and compare what is told with what is expected.
    Replay(replay::Replay),
    /// Check the configuration, the database and every endpoint, and say what to do about what is wrong.
    Check,
    /// Stand before a node and spoil its answers on purpose, by rule and seed: a test of clients, ours and others.
    Torture(torture::Torture),
    /// Payment intents: what is expected, and what came.
    #[command(subcommand)]
    Intents(intents::Command),
    /// Deposits: what arrived, and whose it is.
    #[command(subcommand)]
    Deposits(deposits::Command),
    /// Networks: where each stands, and going on after a halt.
    #[command(subcommand)]
    Networks(networks::Command),
    /// Read covered heights once more, and credit what was missed there.
    Rescan(rescan::Rescan),
    /// Confirmation policies: when money may be believed.
    #[command(subcommand)]
    Thresholds(thresholds::Command),
    /// Events on their way to webhook endpoints, and those given up.
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Webhook endpoints: where events are sent.
    #[command(subcommand)]
    Endpoints(endpoints::Command),
    /// Why a payment was, or was not, credited.
    Explain(explain::Explain),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Tenants, and the watch-only keys their addresses are derived from.
    #[command(subcommand)]
    Tenants(tenants::Command),
}

/// Reads the arguments, does what they say, and answers with the exit code.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are asked for; everything else is a wrong argument.
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let screen = Screen::new(cli.json);
    match cli.run(&screen).await {
        Ok(code) => code,
        Err(error) => {
            let (code, document) = verdict(&error);
            screen.fail(&error, &document);
            ExitCode::from(code)
        }
    }
}

/// The exit code of a failure, and what `--json` shows of it.
fn verdict(error: &anyhow::Error) -> (u8, Value) {
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return (refused.exit_code(), refused.document.clone());
    }
    let wrong = error.is::<Wrong>() || error.is::<ConfigErrors>();
    let code = if wrong { 2 } else { 1 };
    (code, json!({ "code": if wrong { "usage" } else { "failed" }, "detail": format!("{error:#}") }))
}

impl Cli {
    async fn run(self, screen: &Screen) -> Result<ExitCode> {
        if let Command::Demo { keep } = self.command {
            amn_scanner::demo::run(amn_scanner::demo::Wishes::usual(keep)?).await?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Command::Torture(torture) = self.command {
            return torture.run(screen).await;
        }
        let loaded = Config::load(self.config.as_deref(), environment_variables());
        let mut config = match loaded {
            Err(errors) if matches!(self.command, Command::Check) => return Ok(check::refused(&errors, screen)),
            loaded => loaded?,
        };
        if let Command::Run { record } = self.command {
            let metrics = telemetry::start(&config.log).map_err(|error| Wrong(error.to_string()))?;
            let exit = daemon::run(config, metrics, record.as_deref()).await.map_err(start_error)?;
            return Ok(ExitCode::from(exit as u8));
        }
        let filter = if self.verbose { "info,sqlx=warn" } else { "error" };
        telemetry::start(&Log { format: LogFormat::Pretty, filter: filter.to_owned() })?;
        amn_rpc::install_crypto();
        // One command needs few at a time, and the daemon needs the rest.
        config.database.max_connections = config.database.max_connections.min(4);
        match self.command {
            Command::Replay(replay) => return replay.run(&config, screen).await,
            Command::Record(record) => return record.run(&config, screen).await,
            Command::Migrate => return migrate(&config, screen).await,
            Command::Check => return Ok(check::run(&config, screen).await),
            _ => {}
        }
        let office = Office::open(&config).await?;
        let done = self.command.carry_out(&office, screen).await;
        office.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Command {
    async fn carry_out(self, office: &Office, screen: &Screen) -> Result<()> {
        match self {
            // They need no office.
            Self::Run { .. } | Self::Migrate | Self::Check | Self::Demo { .. } => Ok(()),
            Self::Record(_) | Self::Replay(_) | Self::Torture(_) => Ok(()),
            Self::Intents(command) => command.run(office, screen).await,
            Self::Deposits(command) => command.run(office, screen).await,
            Self::Networks(command) => command.run(office, screen).await,
            Self::Rescan(rescan) => rescan.run(office, screen).await,
            Self::Thresholds(command) => command.run(office, screen).await,
            Self::Deliveries(command) => command.run(office, screen).await,
            Self::Endpoints(command) => command.run(office, screen).await,
            Self::Explain(explain) => explain.run(office, screen).await,
            Self::Keys(command) => command.run(office, screen).await,
            Self::Tenants(command) => command.run(office, screen).await,
        }
    }
}

/// Why the daemon does not start; a network that cannot be built is the configuration's fault.
fn start_error(error: daemon::StartError) -> anyhow::Error {
    match error {
        daemon::StartError::Networks(problems) => Wrong(problems.join("\n")).into(),
        other => other.into(),
    }
}

async fn migrate(config: &Config, screen: &Screen) -> Result<ExitCode> {
    let database = OpenDatabase::open(config).await.map_err(start_error)?;
    let before = store::check_schema(&database.pool).await.is_ok();
    let done = store::migrate(&database.pool).await;
    database.close().await;
    done?;
    let newest = store::MIGRATOR.iter().map(|migration| migration.version).max();
    let words = if before { "the schema is up to date already" } else { "the schema is up to date now" };
    screen.show(&json!({ "changed": !before, "version": newest }), |page| page.line(words));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
