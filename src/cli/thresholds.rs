//! `thresholds`: when money may be believed, per network; what is in force, changed at once and audited.

use std::io::Read;

use amn_core::block::{Inclusion, NetworkId};
use amn_core::confirmation::{Policy, Require, Tag};
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::office::Office;
use super::show::{Page, Screen, text};
use super::{Wrong, arguments};

/// A policy of 64 tiers has a few kilobytes.
const POLICY_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The policy in force, and where it comes from.
    Get {
        #[arg(value_parser = arguments::network)]
        network: NetworkId,
    },
    /// Change the terms that are named; all others stay as they are. At once, without a restart.
    Set(Box<Change>),
    /// Go back to the policy of the network's file.
    Reset {
        #[arg(value_parser = arguments::network)]
        network: NetworkId,
    },
}

#[derive(Debug, Args)]
pub struct Change {
    #[arg(value_parser = arguments::network)]
    network: NetworkId,
    /// Blocks, the deposit's own included: 1 is in the tip block.
    #[arg(long)]
    confirmations: Option<u64>,
    /// What the network itself must say of the block.
    #[arg(long)]
    tag: Option<TagWord>,
    /// Chain time between the block and the tip.
    #[arg(long)]
    seconds: Option<u64>,
    #[arg(long)]
    inclusion: Option<InclusionWord>,
    /// Distinct operators that gave the block's hash.
    #[arg(long)]
    operators: Option<u32>,
    /// Organisations whose validators signed the block.
    #[arg(long)]
    attestations: Option<u32>,
    /// Ask for this term no more; may be repeated or separated by commas.
    #[arg(long, value_delimiter = ',')]
    drop: Vec<TermWord>,
    /// A whole policy in JSON, tiers included, instead of single terms; - reads it from standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["confirmations", "tag", "seconds", "inclusion", "operators", "attestations", "drop"])]
    policy: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TagWord {
    Safe,
    Finalized,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InclusionWord {
    Reported,
    Proven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TermWord {
    Confirmations,
    Tag,
    Seconds,
    Inclusion,
    Operators,
    Attestations,
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        let of = |network: &NetworkId| format!("/v1/networks/{network}/thresholds");
        let answer = match self {
            Self::Get { network } => office.get(&of(&network)).await?,
            Self::Reset { network } => office.delete(&of(&network)).await?,
            Self::Set(change) => {
                let path = of(&change.network);
                let policy = match &change.policy {
                    Some(file) => read_policy(file)?,
                    None => json!(change.of(&office.get(&path).await?)?),
                };
                office.put(&path, policy).await?
            }
        };
        screen.show(&answer, |page| show(page, &answer));
        Ok(())
    }
}

impl Change {
    /// The policy in force, changed.
    fn of(&self, answer: &Value) -> Result<Policy> {
        let mut policy: Policy = serde_json::from_value(answer["effective"].clone()).context("the policy in force")?;
        let named = Require {
            attestations: self.attestations,
            confirmations: self.confirmations,
            inclusion: self.inclusion.map(|word| match word {
                InclusionWord::Reported => Inclusion::Reported,
                InclusionWord::Proven => Inclusion::Proven,
            }),
            operators: self.operators,
            seconds: self.seconds,
            tag: self.tag.map(|word| match word {
                TagWord::Safe => Tag::Safe,
                TagWord::Finalized => Tag::Finalized,
            }),
        };
        if named == Require::default() && self.drop.is_empty() {
            return Err(Wrong("name a term to change, as --confirmations 12, or a --policy file".to_owned()).into());
        }
        let (now, gone) = (policy.require, |term| self.drop.contains(&term));
        policy.require = Require {
            attestations: named.attestations.or(now.attestations).filter(|_| !gone(TermWord::Attestations)),
            confirmations: named.confirmations.or(now.confirmations).filter(|_| !gone(TermWord::Confirmations)),
            inclusion: named.inclusion.or(now.inclusion).filter(|_| !gone(TermWord::Inclusion)),
            operators: named.operators.or(now.operators).filter(|_| !gone(TermWord::Operators)),
            seconds: named.seconds.or(now.seconds).filter(|_| !gone(TermWord::Seconds)),
            tag: named.tag.or(now.tag).filter(|_| !gone(TermWord::Tag)),
        };
        Ok(policy)
    }
}

fn read_policy(file: &std::path::Path) -> Result<Value> {
    let shown = file.display();
    let mut content = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(POLICY_BYTES_MAX).read_to_string(&mut content)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(POLICY_BYTES_MAX).read_to_string(&mut content))
    };
    read.map_err(|error| Wrong(format!("--policy {shown}: {error}")))?;
    serde_json::from_str(&content).map_err(|error| Wrong(format!("--policy {shown}: {error}")).into())
}

/// The terms of a policy, in one line.
pub fn terms(require: &Value) -> String {
    let named = require.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let all: Vec<_> = named.map(|(term, value)| format!("{term} {}", text(value))).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn show(page: &mut Page, answer: &Value) {
    page.pairs(&[
        ("network", text(&answer["network"])),
        ("in force", terms(&answer["effective"]["require"])),
        ("the file says", terms(&answer["file"]["require"])),
    ]);
    match &answer["override"] {
        Value::Null => page.line("Nothing overrides the file."),
        held => page.line(format!("Overridden by {} at {}.", text(&held["actor"]), text(&held["at"]))),
    }
    let tiers = answer["effective"]["tiers"].as_array().map_or(&[][..], Vec::as_slice);
    if !tiers.is_empty() {
        let table: Vec<_> = tiers
            .iter()
            .map(|tier| {
                let asset = tier["asset"].as_str().unwrap_or("every asset");
                [text(&tier["at_least"]), asset.to_owned(), terms(&tier["require"])]
            })
            .collect();
        page.line("");
        page.table(["FROM (SMALLEST UNITS)", "ASSET", "ALSO ASKS FOR"], &table, "");
    }
}
