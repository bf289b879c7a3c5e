//! What a contract said, to whom, whether it was told, and what it waits for.

use amn_core::block::Height;
use amn_core::confirmation::{Known, Require};
use amn_core::deposit::DepositStatus;
use amn_scanner::store::read::contract_events::{self, Filter, Said};
use amn_scanner::store::read::explain::LISTED_MAX;
use amn_scanner::store::thresholds;
use anyhow::Result;
use serde_json::json;

use super::ledger::{Ledger, waiting};
use super::report::Report;

/// All that contracts said in a transaction to somebody who listens.
pub async fn of_transaction(ledger: &Ledger<'_>, report: &mut Report, tx: amn_core::block::TxHash) -> Result<usize> {
    let filter = Filter { tx: Some(tx), ..Filter::default() };
    let all = contract_events::list(ledger.office.pool(), &filter, None, LISTED_MAX).await?;
    for said in &all {
        one(ledger, report, said).await?;
    }
    Ok(all.len())
}

async fn one(ledger: &Ledger<'_>, report: &mut Report, said: &Said) -> Result<()> {
    let network = said.network.as_str();
    let (contract, topics, tenant) = (&said.contract, &said.topics, &said.tenant);
    let words = format!("{contract} said {topics} in block {} of {network}; {tenant} listens.", said.height);
    report.say("contract_event", network, words);
    let held = thresholds::get(ledger.office.pool(), network).await?;
    let require = held.as_ref().map_or_else(Require::default, |held| held.effective().require);
    let known = Known {
        height: Height(said.height),
        time: said.block_time,
        inclusion: said.inclusion,
        operators: u32::try_from(said.operators).unwrap_or(u32::MAX),
        attestations: said.attestations.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
    };
    let terms = ledger.terms_of(network, &known, &require);
    let words = match said.status {
        DepositStatus::Settled => {
            let at = said.settled_at.map(|at| format!(" at {at}")).unwrap_or_default();
            format!("It settled{at}, and {tenant} was told so as contract.event.")
        }
        DepositStatus::Seen => {
            let missing: Vec<_> = terms.iter().filter(|term| !term.met).map(waiting).collect();
            if missing.is_empty() {
                "All its terms are met: it is told with the next decision.".to_owned()
            } else {
                format!("It was not told yet: waiting for {}.", missing.join(" and "))
            }
        }
        DepositStatus::Retracted => "Its block left the chain before it settled: nobody was told.".to_owned(),
        DepositStatus::Reversed => {
            format!("Its block left the chain: {tenant} was told of it, and that it was undone.")
        }
    };
    report.say(said.status.as_str(), network, words);
    let mut row = ledger.office.get(&format!("/v1/contract-events/{}", said.id)).await?;
    row["terms"] = json!(terms);
    report.row("contract_events", row);
    ledger.standing(report, network, Some(said.height)).await
}
