//! `intents`: make, list, show, cancel, accept.

use amn_core::block::NetworkId;
use amn_core::id::IntentId;
use amn_core::intent::Status;
use amn_core::money::Amount;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Wrong;
use super::arguments::{self, Paging, When, body, path};
use super::deposits;
use super::office::Office;
use super::show::{Page, Screen, money, more, rows, text};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an intent: so much of an asset is expected at an address.
    Create(Box<New>),
    /// List intents, newest first.
    List(Wish),
    /// One intent with its deposits.
    Show { intent: IntentId },
    /// Give an intent up that nothing has arrived for.
    Cancel { intent: IntentId },
    /// Take what has settled, late or short, as enough.
    Accept { intent: IntentId },
}

#[derive(Debug, Args)]
pub struct New {
    #[arg(long, value_parser = arguments::tenant)]
    tenant: String,
    #[arg(long, value_parser = arguments::network)]
    network: NetworkId,
    /// The asset's id, as eip155:8453/erc20:0x8335…, or its symbol where the network lists only one of it.
    #[arg(long)]
    asset: String,
    /// In smallest units: 25000000 is 25 USDC.
    #[arg(long)]
    due: Amount,
    /// How much less is still enough, in smallest units.
    #[arg(long)]
    tolerance: Option<Amount>,
    /// Where it is to be paid. Default: the next address under the tenant's xpub.
    #[arg(long)]
    address: Option<String>,
    /// What tells payments to a shared address apart: on Stellar id:NUMBER, text:MEMO, hash:HEX or return:HEX; on TON
    /// text:COMMENT, bin:HEX or query:NUMBER (jettons). "fresh": one of its own (the default on a Stellar account and
    /// on TON). "none": the address is the intent's alone.
    #[arg(long)]
    reference: Option<String>,
    /// After that, money is late: 2026-11-21T09:30:00Z, or 30m, 12h, 7d from now.
    #[arg(long)]
    expires: Option<When>,
    /// Text of yours that comes back with every event, as key=value; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The first height to look at. Default: the next block.
    #[arg(long)]
    since_height: Option<u64>,
    /// Take an address again whose intent ended more than 30 days ago.
    #[arg(long)]
    allow_reuse: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub struct Wish {
    #[arg(long, value_parser = arguments::tenant)]
    tenant: Option<String>,
    #[arg(long, value_parser = arguments::network)]
    network: Option<NetworkId>,
    /// awaiting, detected, confirmed, expired, canceled, late or reversed.
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// Intents that watch this address now.
    #[arg(long, requires = "network")]
    address: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

fn status(text: &str) -> Result<Status, String> {
    text.parse().map_err(|()| format!("one of {}", Status::ALL.map(Status::as_str).join(", ")))
}

impl Command {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        match self {
            Self::Create(new) => {
                let made = office.post("/v1/intents", new.body(office)?).await?;
                screen.show(&made, |page| whole(page, &made));
            }
            Self::List(wish) => {
                let query = [
                    ("tenant", wish.tenant),
                    ("network", wish.network.map(|id| id.to_string())),
                    ("status", wish.status.map(|status| status.as_str().to_owned())),
                    ("address", wish.address),
                ];
                let found = office.get(&path("/v1/intents", Some(&wish.paging), &query)).await?;
                screen.show(&found, |page| list(page, &found));
            }
            Self::Show { intent } => {
                let found = office.get(&format!("/v1/intents/{intent}")).await?;
                screen.show(&found, |page| whole(page, &found));
            }
            Self::Cancel { intent } => {
                let done = office.post(&format!("/v1/intents/{intent}/cancel"), json!({})).await?;
                screen.show(&done, |page| whole(page, &done));
            }
            Self::Accept { intent } => {
                let done = office.post(&format!("/v1/intents/{intent}/accept"), json!({})).await?;
                screen.show(&done, |page| whole(page, &done));
            }
        }
        Ok(())
    }
}

impl New {
    fn body(self, office: &Office) -> Result<Value> {
        let asset = asset(office, &self.network, &self.asset)?;
        let mut metadata = serde_json::Map::new();
        for (key, value) in self.metadata {
            if metadata.insert(key.clone(), value.into()).is_some() {
                return Err(Wrong(format!("--metadata names {key:?} twice")).into());
            }
        }
        Ok(body([
            ("tenant", self.tenant.into()),
            ("network", json!(self.network)),
            ("asset", asset.into()),
            ("due", json!(self.due)),
            ("tolerance", json!(self.tolerance)),
            ("address", json!(self.address)),
            ("reference", json!(self.reference)),
            ("expires_at", json!(self.expires.map(|when| when.from(office.now())))),
            ("metadata", Value::Object(metadata)),
            ("since_height", json!(self.since_height.map(|height| height.to_string()))),
            ("allow_reuse", self.allow_reuse.into()),
        ]))
    }
}

/// The asset of that id; or of that symbol, which is for people and may name one asset only.
fn asset(office: &Office, network: &NetworkId, text: &str) -> Result<String> {
    let facts = &office.served(network)?.facts;
    if text.contains('/') {
        return Ok(text.to_owned());
    }
    let named: Vec<_> = facts.assets.iter().filter(|asset| asset.symbol.eq_ignore_ascii_case(text)).collect();
    let listed = || {
        let all: Vec<_> = facts.assets.iter().map(|asset| format!("{} ({})", asset.symbol, asset.id)).collect();
        all.join(", ")
    };
    match named.as_slice() {
        [one] => Ok(one.id.to_string()),
        [] => Err(Wrong(format!("{network} lists no {text}; it lists {}", listed())).into()),
        _ => Err(Wrong(format!("{network} lists more than one {text}; name it by id: {}", listed())).into()),
    }
}

fn decimals(intent: &Value) -> u8 {
    intent["asset"]["decimals"].as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
}

fn symbol(intent: &Value) -> &str {
    intent["asset"]["symbol"].as_str().unwrap_or_default()
}

fn list(page: &mut Page, answer: &Value) {
    let table: Vec<_> = rows(answer)
        .iter()
        .map(|intent| {
            let amount = |field: &str| money(&intent[field], decimals(intent), "").trim_end().to_owned();
            [
                text(&intent["id"]),
                text(&intent["status"]),
                text(&intent["tenant"]),
                text(&intent["network"]),
                format!("{} {}", amount("due"), symbol(intent)),
                amount("received"),
                amount("settled"),
                text(&intent["expires_at"]),
            ]
        })
        .collect();
    let heads = ["INTENT", "STATUS", "TENANT", "NETWORK", "DUE", "RECEIVED", "SETTLED", "EXPIRES"];
    page.table(heads, &table, "no intents");
    more(page, answer);
}

/// What the payment must carry, as wallets name it.
fn memo(memo: &Value) -> String {
    if memo.is_null() { String::new() } else { format!("{} {}", text(&memo["type"]), text(&memo["value"])) }
}

/// An intent and its deposits.
fn whole(page: &mut Page, intent: &Value) {
    let amount = |field: &str| money(&intent[field], decimals(intent), symbol(intent));
    let if_any = |field: &str| if intent[field] == "0" { String::new() } else { amount(field) };
    let metadata = intent["metadata"].as_object().filter(|map| !map.is_empty());
    page.pairs(&[
        ("intent", text(&intent["id"])),
        ("status", text(&intent["status"])),
        ("tenant", text(&intent["tenant"])),
        ("network", text(&intent["network"])),
        ("asset", format!("{} ({})", symbol(intent), text(&intent["asset"]["id"]))),
        ("address", text(&intent["address"])),
        ("reference", text(&intent["reference"])),
        ("due", amount("due")),
        ("tolerance", if_any("tolerance")),
        ("received", amount("received")),
        ("settled", amount("settled")),
        ("short by", if_any("shortfall")),
        ("over by", if_any("excess")),
        ("late", if_any("late")),
        ("expires", text(&intent["expires_at"])),
        ("memo", memo(&intent["pay_to"]["memo"])),
        ("or pay to", text(&intent["pay_to"]["muxed_address"])),
        ("pay with", text(&intent["payment_uri"])),
        ("metadata", metadata.map_or_else(String::new, |map| json!(map).to_string())),
        ("created", text(&intent["created_at"])),
    ]);
    let deposits = intent["deposits"].as_array().map_or(&[][..], Vec::as_slice);
    if !deposits.is_empty() {
        page.line("");
        deposits::table(page, deposits, |_| Some((decimals(intent), symbol(intent).to_owned())));
    }
}
