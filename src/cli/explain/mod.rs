//! `explain`: why a payment was, or was not, credited. Sentences first, then tables; `--json` has everything.
//!
//! What the ledger knows is told first ([`ledger`]); what it does not know, the chain is asked for
//! ([`transaction`]). Nothing here decides anything.

mod address;
mod contract;
mod ledger;
mod report;
mod transaction;

use amn_core::block::{Hash, NetworkId};
use amn_core::id::{DepositId, IntentId, SightingId};
use amn_core::money::Amount;
use amn_scanner::networks::Networks;
use amn_scanner::store::read;
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::office::Office;
use super::show::Screen;
use super::{Wrong, show};
use ledger::Ledger;
use report::Report;

#[derive(Debug, Args)]
pub struct Explain {
    /// A transaction's hash, an address, or the id of an intent, a deposit or a contract event.
    subject: Subject,
}

/// What is asked about, told apart by its shape.
#[derive(Debug, Clone)]
enum Subject {
    Transaction(Hash),
    Intent(IntentId),
    Deposit(DepositId),
    Said(SightingId),
    /// Only the networks know their addresses.
    Address(String),
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(intent) = text.parse() {
            return Ok(Self::Intent(intent));
        }
        if let Ok(deposit) = text.parse() {
            return Ok(Self::Deposit(deposit));
        }
        if let Ok(said) = text.parse() {
            return Ok(Self::Said(said));
        }
        if let Some(tx) = text.parse().ok().or_else(|| in_base64(text)) {
            return Ok(Self::Transaction(tx));
        }
        // Shorter or longer ones are addresses on no chain we serve.
        if (20..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:+/".contains(&b))
        {
            return Ok(Self::Address(text.to_owned()));
        }
        Err("a transaction's hash, an address, or an id that begins with pi_, dep_ or ce_".to_owned())
    }
}

/// TON's nodes write the hash of a transaction so.
fn in_base64(text: &str) -> Option<Hash> {
    let bytes = STANDARD.decode(text.replace('-', "+").replace('_', "/")).ok()?;
    Some(Hash(bytes.try_into().ok()?))
}

impl Explain {
    pub async fn run(self, office: &Office, screen: &Screen) -> Result<()> {
        let mut report = Report::default();
        let ledger = Ledger::read(office).await?;
        match &self.subject {
            Subject::Transaction(tx) => {
                report.about("transaction", tx);
                transaction::explain(&ledger, &mut report, *tx).await?;
            }
            Subject::Intent(intent) => {
                report.about("intent", intent);
                let found = read::intents::get(office.pool(), *intent).await?;
                let found = found.ok_or_else(|| anyhow::anyhow!("there is no intent {intent}"))?;
                ledger.intent(&mut report, &found).await?;
            }
            Subject::Deposit(deposit) => {
                report.about("deposit", deposit);
                let found = read::deposits::get(office.pool(), *deposit).await?;
                let found = found.ok_or_else(|| anyhow::anyhow!("there is no deposit {deposit}"))?;
                transaction::explain(&ledger, &mut report, found.tx).await?;
            }
            Subject::Said(said) => {
                report.about("contract_event", said);
                let found = read::contract_events::get(office.pool(), *said).await?;
                let found = found.ok_or_else(|| anyhow::anyhow!("there is no contract event {said}"))?;
                transaction::explain(&ledger, &mut report, found.tx).await?;
            }
            Subject::Address(text) => {
                let address = canonical(&office.networks, text)?;
                report.about("address", &address);
                address::explain(&ledger, &mut report, &address).await?;
            }
        }
        let answer = report.json();
        screen.show(&answer, |page| report.draw(page));
        Ok(())
    }
}

/// The address in its one spelling, by whichever network knows it.
fn canonical(networks: &Networks, text: &str) -> Result<String> {
    let mut why = "no network is enabled that could read it as an address".to_owned();
    for (_, served) in networks.iter() {
        match served.parse_address(text) {
            Ok((address, _)) => return Ok(address.to_string()),
            Err(error) => why = error,
        }
    }
    Err(Wrong(format!("{text:?} is neither a transaction's hash, nor an id, nor an address: {why}")).into())
}

/// An amount as people write it, where the network lists the asset.
fn shown(office: &Office, network: &str, asset: &str, amount: Amount) -> String {
    let served = office.networks.get(&NetworkId::new(network));
    match served.and_then(|served| served.facts.asset(&amn_core::block::AssetId::new(asset))) {
        Some(listed) => show::money(&amount.to_string().into(), listed.decimals, &listed.symbol),
        None => format!("{amount} of {asset}"),
    }
}
