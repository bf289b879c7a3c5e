//! `deposits`: list, show, assign, unassign.

use amn_core::block::{AssetId, Hash, NetworkId};
use amn_core::deposit::DepositStatus;
use amn_core::id::{DepositId, IntentId};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{self, Paging, path};
use super::office::Office;
use super::show::{Page, Screen, money, more, rows, text};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deposits, newest first.
    List(Wish),
    /// One deposit.
    Show { deposit: DepositId },
    /// Give unmatched money to an intent of its network and asset.
    Assign { deposit: DepositId, intent: IntentId },
    /// Take assigned money back.
    Unassign { deposit: DepositId },
}

#[derive(Debug, Args)]
pub struct Wish {
    #[arg(long, value_parser = arguments::tenant)]
    tenant: Option<String>,
    #[arg(long, value_parser = arguments::network)]
    network: Option<NetworkId>,
    /// seen, settled, retracted or reversed.
    #[arg(long, value_parser = status)]
    status: Option<DepositStatus>,
    #[arg(long)]
    intent: Option<IntentId>,
    /// Those of one transaction.
    #[arg(long)]
    tx: Option<Hash>,
    /// Only money that belongs to no intent.
    #[arg(long, conflicts_with = "intent")]
    unmatched: bool,
    #[command(flatten)]
    paging: Paging,
}

fn status(text: &str) -> Result<DepositStatus, String> {
    text.parse().map_err(|()| "one of seen, settled, retracted, reversed".to_owned())
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        let asset = |deposit: &Value| asset_of(office, deposit);
        let one = match self {
            Self::List(wish) => {
                let query = [
                    ("tenant", wish.tenant),
                    ("network", wish.network.map(|id| id.to_string())),
                    ("status", wish.status.map(|status| status.as_str().to_owned())),
                    ("intent", wish.intent.map(|id| id.to_string())),
                    ("tx", wish.tx.map(|tx| tx.to_string())),
                    ("matched", wish.unmatched.then(|| "false".to_owned())),
                ];
                let found = office.get(&path("/v1/deposits", Some(&wish.paging), &query)).await?;
                screen.show(&found, |page| {
                    table(page, rows(&found), asset);
                    more(page, &found);
                });
                return Ok(());
            }
            Self::Show { deposit } => office.get(&format!("/v1/deposits/{deposit}")).await?,
            Self::Assign { deposit, intent } => {
                office.post(&format!("/v1/deposits/{deposit}/assign"), json!({ "intent": intent })).await?
            }
            Self::Unassign { deposit } => office.post(&format!("/v1/deposits/{deposit}/unassign"), json!({})).await?,
        };
        screen.show(&one, |page| whole(page, &one, asset(&one)));
        Ok(())
    }
}

/// The decimals and the symbol of a deposit's asset, where the network is configured.
fn asset_of(office: &Office, deposit: &Value) -> Option<(u8, String)> {
    let served = office.networks.get(&NetworkId::new(deposit["network"].as_str()?))?;
    let asset = served.facts.asset(&AssetId::new(deposit["asset"].as_str()?))?;
    Some((asset.decimals, asset.symbol.clone()))
}

fn amount(deposit: &Value, asset: Option<(u8, String)>) -> String {
    match asset {
        Some((decimals, symbol)) => money(&deposit["amount"], decimals, &symbol),
        None => format!("{} of {}", text(&deposit["amount"]), text(&deposit["asset"])),
    }
}

/// Whose it is, or why nobody's.
fn owner(deposit: &Value) -> String {
    match deposit["intent"].as_str() {
        Some(intent) => intent.to_owned(),
        None => format!("nobody: {}", text(&deposit["unmatched"])),
    }
}

pub fn table(page: &mut Page, deposits: &[Value], asset: impl Fn(&Value) -> Option<(u8, String)>) {
    let table: Vec<_> = deposits
        .iter()
        .map(|deposit| {
            [
                text(&deposit["id"]),
                text(&deposit["status"]),
                amount(deposit, asset(deposit)),
                text(&deposit["network"]),
                text(&deposit["block"]["height"]),
                text(&deposit["confirmations"]),
                owner(deposit),
                text(&deposit["tx"]),
            ]
        })
        .collect();
    let heads = ["DEPOSIT", "STATUS", "AMOUNT", "NETWORK", "HEIGHT", "CONF", "INTENT", "TX"];
    page.table(heads, &table, "no deposits");
}

fn whole(page: &mut Page, deposit: &Value, asset: Option<(u8, String)>) {
    let evidence = &deposit["evidence"];
    let flag = |field: &str| if deposit[field] == true { "yes".to_owned() } else { String::new() };
    page.pairs(&[
        ("deposit", text(&deposit["id"])),
        ("status", text(&deposit["status"])),
        ("amount", amount(deposit, asset)),
        ("belongs to", owner(deposit)),
        ("assigned", flag("assigned")),
        ("late", flag("late")),
        ("tenant", text(&deposit["tenant"])),
        ("network", text(&deposit["network"])),
        ("to", text(&deposit["to"])),
        ("from", text(&deposit["from"])),
        ("reference", text(&deposit["reference"])),
        ("transaction", text(&deposit["tx"])),
        ("block", format!("{} {}", text(&deposit["block"]["height"]), text(&deposit["block"]["hash"]))),
        ("block time", text(&deposit["block"]["time"])),
        ("confirmations", text(&deposit["confirmations"])),
        ("evidence", format!("{}, {} operator(s)", text(&evidence["inclusion"]), text(&evidence["operators"]))),
        ("settled", text(&deposit["settled_at"])),
    ]);
}
