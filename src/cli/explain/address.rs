//! An address: who watches it, where, and what came to it.

use amn_scanner::store::read;
use amn_scanner::store::read::explain;
use anyhow::Result;

use super::ledger::{Ledger, watched};
use super::report::Report;

pub async fn explain(ledger: &Ledger<'_>, report: &mut Report, address: &str) -> Result<()> {
    let pool = ledger.office.pool();
    let watches = explain::watches(pool, Some(address), None).await?;
    let deposits = explain::deposits_to(pool, address).await?;
    if watches.is_empty() {
        let served: Vec<_> = ledger.served().iter().map(ToString::to_string).collect();
        let on = if served.is_empty() { "any network".to_owned() } else { served.join(", ") };
        let words =
            format!("Nobody watches {address}: no intent on {on} has ever had it, so money there is not looked for.");
        report.say("not_watched", "", words);
    }
    for watch in &watches {
        let (network, since) = (&watch.network, watch.since);
        let reference = watch.reference.as_ref().map(|text| format!(" with reference {text}")).unwrap_or_default();
        let money = if watch.native { "tokens and native money" } else { "tokens, not for native money" };
        let words = format!(
            "{address}{reference} is watched on {network} for {money}, from block {since} on, for intent {}.",
            watch.intent
        );
        report.say("watched", network, words);
        watched(report, watch);
        if let Some(intent) = read::intents::get(pool, watch.intent).await? {
            ledger.intent(report, &intent).await?;
        }
    }
    for id in deposits {
        if let Some(deposit) = read::deposits::get(pool, id).await? {
            ledger.deposit(report, &deposit).await?;
        }
    }
    Ok(())
}
