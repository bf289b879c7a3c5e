//! `check`: whether everything the daemon needs is there and is what we take it for, before money depends on it.
//!
//! Every line says ok, info, warn or FAIL, and what warns or fails says what to do. Nothing is changed. Each endpoint
//! is asked by itself ([`endpoint`]), then all of a network are held against each other ([`together`]).

mod blocks;
mod endpoint;
mod head;
mod line;
mod stellar;
mod together;
mod ton;

use std::process::ExitCode;

use amn_core::timestamp::Timestamp;
use amn_scanner::clock::{Clock, SystemClock};
use amn_scanner::config::{Config, ConfigErrors};
use amn_scanner::daemon::OpenDatabase;
use amn_scanner::networks::{Networks, Served};
use amn_scanner::store::read::networks::{self, Network};
use amn_scanner::store::{self, thresholds};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::json;
use sqlx::PgPool;

use super::show::Screen;

/// The oldest Postgres whose statements we use.
const POSTGRES_OLDEST: i32 = 140_000;
/// Blocks that may be missing before a ledger lags, as the API counts it.
const LAG_BLOCKS: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    #[serde(rename = "ok")]
    Fine,
    /// Good to know; nothing is wrong.
    #[serde(rename = "info")]
    Info,
    #[serde(rename = "warn")]
    Warn,
    #[serde(rename = "FAIL")]
    Fail,
}

/// One thing that was looked at. Fields in the order of the alphabet.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    check: &'static str,
    said: String,
    status: Status,
    subject: String,
    todo: String,
}

/// What was looked at so far.
#[derive(Debug, Default)]
pub struct Lines(Vec<Line>);

impl Lines {
    pub fn fine(&mut self, check: &'static str, subject: impl Into<String>, said: impl Into<String>) {
        self.add(Status::Fine, check, subject.into(), &said.into(), "");
    }

    pub fn info(&mut self, check: &'static str, subject: impl Into<String>, said: impl Into<String>) {
        self.add(Status::Info, check, subject.into(), &said.into(), "");
    }

    pub fn warn(&mut self, check: &'static str, subject: impl Into<String>, said: impl Into<String>, todo: &str) {
        self.add(Status::Warn, check, subject.into(), &said.into(), todo);
    }

    pub fn fail(&mut self, check: &'static str, subject: impl Into<String>, said: impl Into<String>, todo: &str) {
        self.add(Status::Fail, check, subject.into(), &said.into(), todo);
    }

    fn add(&mut self, status: Status, check: &'static str, subject: String, said: &str, todo: &str) {
        // A table is read line by line, whatever an error says.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        self.0.push(Line { check, said, status, subject, todo: todo.to_owned() });
    }

    fn failed(&self) -> bool {
        self.0.iter().any(|line| line.status == Status::Fail)
    }

    fn show(&self, screen: &Screen) {
        let count = |status| self.0.iter().filter(|line| line.status == status).count();
        let (warnings, failures) = (count(Status::Warn), count(Status::Fail));
        screen.show(&json!({ "checks": self.0, "ok": failures == 0 }), |page| {
            let rows: Vec<_> = self
                .0
                .iter()
                .map(|line| {
                    let word = match line.status {
                        Status::Fine => "ok",
                        Status::Info => "info",
                        Status::Warn => "warn",
                        Status::Fail => "FAIL",
                    };
                    [line.check.to_owned(), line.subject.clone(), word.to_owned(), line.said.clone()]
                })
                .collect();
            page.table(["CHECK", "OF", "STATUS", "FOUND"], &rows, "");
            page.line("");
            for line in self.0.iter().filter(|line| !line.todo.is_empty()) {
                page.line(format!("{} of {}: {}", line.check, line.subject, line.todo));
            }
            page.line(match (failures, warnings) {
                (0, 0) => "All is well.".to_owned(),
                (0, warnings) => format!("It will run; {warnings} warning(s)."),
                (failures, _) => format!("{failures} failure(s): mend them before money depends on this."),
            });
        });
    }
}

/// The configuration does not parse: every wrong value is a line.
pub fn refused(errors: &ConfigErrors, screen: &Screen) -> ExitCode {
    let mut lines = Lines::default();
    for problem in errors.lines() {
        lines.fail("config", "file", problem, "correct the value; amn-scanner.toml documents every key");
    }
    lines.show(screen);
    ExitCode::from(2)
}

pub async fn run(config: &Config, screen: &Screen) -> ExitCode {
    let mut lines = Lines::default();
    let enabled = config.networks.values().filter(|network| network.enabled).count();
    lines.fine("config", "file", format!("{enabled} network(s) enabled"));
    let networks = Networks::build(config).unwrap_or_else(|problems| {
        for problem in problems {
            lines.fail("config", "networks", problem, "correct the network's table or file");
        }
        Networks::default()
    });
    if enabled == 0 {
        lines.warn("config", "networks", "no network is enabled", "enable one, or nothing is watched");
    }
    let database = database(config, &mut lines).await;
    let pool = database.as_ref().map(|database| &database.pool);
    let now = SystemClock.now();
    for (_, served) in networks.iter() {
        network(served, pool, now, &mut lines).await;
        let asked = served.pool.endpoints().iter().map(|endpoint| endpoint::check(served, endpoint, now));
        let mut served_well = Vec::new();
        for (endpoint, found) in served.pool.endpoints().iter().zip(join_all(asked).await) {
            if found.is_ours {
                served_well.push(endpoint);
            }
            lines.0.extend(found.lines.0);
        }
        together::check(served, &served_well, &mut lines).await;
        stellar::lakes(served, &mut lines).await;
        ton::network(served, &mut lines).await;
        stellar::listeners(served, &mut lines);
    }
    if let Some(database) = database {
        database.close().await;
    }
    lines.show(screen);
    ExitCode::from(u8::from(lines.failed()))
}

/// The database, where it answers with a schema that is ours.
async fn database(config: &Config, lines: &mut Lines) -> Option<OpenDatabase> {
    let which = if config.database.url.is_some() { "database.url" } else { "embedded" };
    let database = match OpenDatabase::open(config).await {
        Ok(database) => database,
        Err(error) => {
            let todo = "see that the server runs and takes the user, the password and the database of database.url";
            lines.fail("database", which, error.to_string(), todo);
            return None;
        }
    };
    match version(&database.pool).await {
        Ok((number, shown)) if number >= POSTGRES_OLDEST => {
            lines.fine("database", which, format!("reachable, Postgres {shown}"));
        }
        Ok((_, shown)) => lines.fail("database", which, format!("Postgres {shown}"), "upgrade to 14 or newer"),
        Err(error) => lines.fail("database", which, error.to_string(), "see that the server answers"),
    }
    match store::check_schema(&database.pool).await {
        Ok(()) => {
            lines.fine("schema", which, "up to date");
            Some(database)
        }
        Err(error) => {
            if database.is_embedded() {
                lines.warn("schema", which, error.to_string(), "the daemon migrates its own database when it starts");
            } else {
                lines.fail("schema", which, error.to_string(), "run amn-scanner migrate");
            }
            database.close().await;
            None
        }
    }
}

async fn version(pool: &PgPool) -> Result<(i32, String), sqlx::Error> {
    let number = sqlx::query_scalar("select current_setting('server_version_num')::integer").fetch_one(pool).await?;
    let shown: String = sqlx::query_scalar("show server_version").fetch_one(pool).await?;
    Ok((number, shown))
}

/// The policy against the operators there are, and the ledger's place.
async fn network(served: &Served, pool: Option<&PgPool>, now: Timestamp, lines: &mut Lines) {
    let id = served.facts.id.as_str();
    let have = served.config.operators().len();
    let mut asked = served.facts.policy.require.operators.unwrap_or(1);
    if let Some(pool) = pool {
        match (thresholds::get(pool, id).await, networks::list(pool).await) {
            (Ok(held), Ok(all)) => {
                asked = held.and_then(|held| held.effective().require.operators).unwrap_or(1).max(asked);
                place(id, all.iter().find(|network| network.id.as_str() == id), now, lines);
            }
            (Err(error), _) | (_, Err(error)) => {
                lines.fail("ledger", id, error.to_string(), "a person must look at the row");
            }
        }
    }
    let said = format!("{have} operator(s), the policy asks for {asked}");
    if have < asked as usize {
        let todo = "add an endpoint of another operator, or lower the term with amn-scanner thresholds set; until then \
                    nothing settles";
        lines.fail("operators", id, said, todo);
    } else if have < 2 {
        lines.warn(
            "operators",
            id,
            said,
            "one operator alone could invent a chain; add another, unless the node is yours",
        );
    } else {
        lines.fine("operators", id, said);
    }
}

fn place(id: &str, network: Option<&Network>, now: Timestamp, lines: &mut Lines) {
    let Some(network) = network else {
        return lines.warn("ledger", id, "the daemon has never served it", "start the daemon");
    };
    if let Some(halt) = &network.halt {
        let said = format!("halted since {}: {} {}", halt.at, halt.reason, halt.detail.as_deref().unwrap_or_default());
        return lines.fail("ledger", id, said, "understand the cause, then amn-scanner networks resume");
    }
    let Some((tip, _, time)) = network.tip else {
        return lines.warn("ledger", id, "no block is covered yet", "start the daemon, or wait");
    };
    let (lag, allowed) = (now.seconds_since(time), 30 + LAG_BLOCKS * network.block_time_ms / 1_000);
    let said = format!("tip {tip}, {lag} s old");
    if lag > allowed {
        lines.warn("ledger", id, said, "see that the daemon runs; while it catches up, this is as it must be");
    } else {
        lines.fine("ledger", id, said);
    }
}
