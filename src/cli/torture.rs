//! `torture`: a node that fails on purpose, in front of a real one, for whoever wants to know what their client does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use amn_scanner::torture::faults::{self, Take};
use amn_scanner::torture::{Counts, Face, Rule};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use super::Wrong;
use super::show::Screen;

/// A fault-injecting node: passes every question to a real node and spoils the answers by rule and seed.
#[derive(Debug, Args)]
pub struct Torture {
    /// The real node, http(s)://… What is asked of us is asked of it.
    #[arg(long, env = "AMN_TORTURE_UPSTREAM", hide_env_values = true, required_unless_present = "list")]
    upstream: Option<String>,
    /// Where the real node announces new heads, ws(s)://…; without it there is no WebSocket here.
    #[arg(long, env = "AMN_TORTURE_WS", hide_env_values = true)]
    ws: Option<String>,
    /// Where to listen. Other than on this machine, everyone who reaches it uses the node behind.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The same seed, rules and questions bring the same faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What to spoil, as lagging:blocks=3,methods=eth_blockNumber,chance=200; may be given many times.
    #[arg(long = "rule", value_name = "RULE")]
    rule: Vec<String>,
    /// A TOML file of [[rule]] tables, each with fault and its settings.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Show every fault and every refusal that rules may name.
    #[arg(long)]
    list: bool,
}

impl Torture {
    pub async fn run(self, screen: &Screen) -> Result<ExitCode> {
        if self.list {
            list(screen);
            return Ok(ExitCode::SUCCESS);
        }
        let rules = self.read_rules()?;
        let upstream = self.upstream.as_deref().unwrap_or_default();
        let face = Face::before(upstream, self.ws.as_deref(), self.seed).map_err(|error| Wrong(error.to_string()))?;
        let shown: Vec<_> = rules.iter().map(|rule| rule.fault.name().to_owned()).collect();
        face.set_rules(rules);
        let listener = TcpListener::bind(self.listen).await.with_context(|| format!("listening on {}", self.listen))?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            eprintln!("warning: everyone who reaches {address} uses the node behind");
        }
        // Ctrl-C before we stand would be lost otherwise.
        let stop = stop()?;
        screen.show(&json!({ "faults": shown, "listening": address.to_string(), "seed": self.seed }), |page| {
            page.line(format!("listening on http://{address} with seed {}: {}", self.seed, words(&shown)));
        });
        tokio::select! {
            never = face.clone().serve(listener) => match never {},
            () = stop => {}
        }
        tell(&face.counts(), screen);
        Ok(ExitCode::SUCCESS)
    }

    fn read_rules(&self) -> Result<Vec<Rule>> {
        let (mut rules, mut wrong) = (Vec::new(), Vec::new());
        if let Some(path) = &self.rules {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| Wrong(format!("--rules {shown}: {error}")))?;
            match Rule::from_toml(&shown, &text) {
                Ok(read) => rules.extend(read),
                Err(errors) => wrong.extend(errors),
            }
        }
        for text in &self.rule {
            match text.parse() {
                Ok(rule) => rules.push(rule),
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() {
            return Ok(rules);
        }
        Err(Wrong(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")).into())
    }
}

fn words(faults: &[String]) -> String {
    if faults.is_empty() { "no rules, every answer honest".to_owned() } else { faults.join(", ") }
}

/// Ends when a person or a supervisor of processes says so.
fn stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn tell(counts: &Counts, screen: &Screen) {
    screen.show(&json!(counts), |page| {
        let row = |(name, times): (&String, &u64)| [name.clone(), times.to_string()];
        page.table(["ASKED", "TIMES"], &counts.asked.iter().map(row).collect::<Vec<_>>(), "nothing was asked");
        page.line("");
        page.table(["FAULT", "TIMES"], &counts.struck.iter().map(row).collect::<Vec<_>>(), "no fault struck");
    });
}

fn list(screen: &Screen) {
    let settings = |takes: &[Take]| takes.iter().map(Take::shown).collect::<Vec<_>>();
    let kinds: Vec<_> = faults::kinds()
        .map(|kind| json!({ "fault": kind.name, "says": kind.says, "takes": settings(kind.takes) }))
        .collect();
    let refusals: Vec<_> = faults::refusals()
        .map(|refusal| {
            json!({
                "calls_for": refusal.calls_for.word(), "code": refusal.code, "error": refusal.name,
                "message": refusal.message, "status": refusal.status,
            })
        })
        .collect();
    screen.show(&json!({ "errors": refusals, "faults": kinds }), |page| {
        let rows: Vec<_> = faults::kinds()
            .map(|kind| [kind.name.to_owned(), settings(kind.takes).join(","), kind.says.to_owned()])
            .collect();
        page.table(["FAULT", "SETTINGS", "WHAT A CLIENT SEES"], &rows, "");
        page.line("");
        let rows: Vec<_> = faults::refusals()
            .map(|refusal| {
                let (status, code) = (refusal.status.to_string(), refusal.code.to_string());
                let name = format!("error:{}", refusal.name);
                [name, refusal.calls_for.word().to_owned(), status, code, refusal.message.to_owned()]
            })
            .collect();
        page.table(["ERROR", "CALLS FOR", "HTTP", "CODE", "WORDS"], &rows, "");
        page.line("");
        page.line("A rule is FAULT or FAULT:SETTING=VALUE,… Every rule takes these settings too:");
        page.line("  methods=A+B    the questions it is about, instead of those the fault is about; * for all");
        page.line("  chance=N       so many times in a thousand; with spell=N, thrown once for every N blocks");
        page.line("  every=N        every N times that the same question is asked");
        page.line("  calls=..2      the first two times that a question is asked");
        page.line("  at=100..200    questions about these blocks");
        page.line("  heads=100..    while the node behind stands at these heights");
    });
}
