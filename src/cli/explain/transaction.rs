//! A transaction: what the ledger has of it, and what the chains say, for money that is not in the ledger.
//!
//! The chain's word is taken from one endpoint and nothing of it is proven: it explains, it never credits.

use std::time::Duration;

use amn_core::block::{Kind, NetworkId, TxHash};
use amn_core::explained::{Explained, Move};
use amn_core::money::Amount;
use amn_core::source::SourceError;
use amn_scanner::networks::Served;
use amn_scanner::store::read;
use amn_scanner::store::read::deposits::{Deposit, Filter};
use amn_scanner::store::read::explain::{self, LISTED_MAX};
use anyhow::Result;
use futures_util::future::join_all;
use serde_json::json;

use super::contract;
use super::ledger::{Ledger, watched};
use super::report::Report;

/// Two questions to a node that is behind its limit; then the person hears that nobody answered.
const PATIENCE: Duration = Duration::from_secs(10);
/// A batch pays hundreds; a person reads some.
const MOVES_SAID_MAX: usize = 10;

/// What a network's nodes say of a transaction.
enum Said {
    Mined(Explained),
    Waits,
    Unknown,
    Silent(String),
}

pub async fn explain(ledger: &Ledger<'_>, report: &mut Report, tx: TxHash) -> Result<()> {
    let pool = ledger.office.pool();
    let filter = Filter { tx: Some(tx), ..Filter::default() };
    let deposits = read::deposits::list(pool, &filter, None, LISTED_MAX).await?;
    for deposit in &deposits {
        ledger.deposit(report, deposit).await?;
    }
    let said = contract::of_transaction(ledger, report, tx).await?;
    for seen in explain::observed(pool, tx).await? {
        report.row(
            "observations",
            json!({
                "at": seen.at, "detail": seen.detail, "height": seen.height.map(|height| height.to_string()),
                "kind": seen.kind, "network": seen.network, "to": seen.to,
            }),
        );
    }
    let asked = ledger.office.networks.iter().map(async |(id, served)| (id, ask(served, tx).await));
    let (mut found, mut unknown) = (!deposits.is_empty() || said > 0, Vec::new());
    for (id, said) in join_all(asked).await {
        match said {
            Said::Mined(explained) => {
                found = true;
                let known: Vec<_> = deposits.iter().filter(|deposit| deposit.network == id.as_str()).collect();
                mined(ledger, report, id, &explained, &known).await?;
            }
            Said::Waits => {
                found = true;
                let words = format!("It waits in the mempool of {id}: no block holds it yet.");
                report.say("mempool", id.as_str(), words);
            }
            Said::Unknown => unknown.push(id.to_string()),
            Said::Silent(why) => report.say("silent", id.as_str(), format!("Nobody of {id} can say: {why}.")),
        }
    }
    if !found && !unknown.is_empty() {
        let words = format!(
            "No endpoint of {} knows this transaction: it was mistyped, was dropped, or lies on a network that is not \
             configured.",
            unknown.join(", ")
        );
        report.say("unknown", "", words);
    }
    Ok(())
}

async fn ask(served: &Served, tx: TxHash) -> Said {
    let asked = tokio::time::timeout(PATIENCE, async {
        match served.explain(tx).await {
            Ok(Some(explained)) => Said::Mined(explained),
            Ok(None) => match served.waits(tx).await {
                Ok(true) => Said::Waits,
                Ok(false) => Said::Unknown,
                Err(error) => Said::Silent(error.to_string()),
            },
            Err(SourceError::NotYet(_)) => Said::Unknown,
            Err(error) => Said::Silent(error.to_string()),
        }
    });
    asked.await.unwrap_or_else(|_| Said::Silent(format!("no answer within {} s", PATIENCE.as_secs())))
}

/// A transaction that is in a block: whether we have read that block, and why what it moves is not ours.
async fn mined(
    ledger: &Ledger<'_>,
    report: &mut Report,
    id: &NetworkId,
    explained: &Explained,
    known: &[&Deposit],
) -> Result<()> {
    let (network, height) = (id.as_str(), explained.block.height.0);
    let read = coverage(ledger, report, network, explained).await?;
    ledger.standing(report, network, Some(height)).await?;
    if explained.succeeded == Some(false) {
        let words = format!("The transaction failed in block {height} of {network}: it moved nothing.");
        report.say("failed", network, words);
        return Ok(());
    }
    if explained.moves.is_empty() {
        let words = "It moved no money that logs or its own value show. What a contract sends onward is found by \
                     balance, where an address is watched for native money.";
        report.say("no_money", network, words);
    }
    let is_known = |moved: &Move| {
        known.iter().any(|deposit| deposit.kind == moved.kind && deposit.index == u64::from(moved.index))
    };
    for (place, moved) in explained.moves.iter().enumerate() {
        let shown = shown(ledger, network, moved);
        report.row(
            "moves",
            json!({
                "amount": moved.amount, "asset": moved.asset, "contract": moved.contract, "index": moved.index,
                "kind": moved.kind, "network": id, "note": moved.note, "shown": shown, "to": moved.to,
            }),
        );
        if !is_known(moved) && place < MOVES_SAID_MAX {
            why_not(ledger, report, id, height, read, moved).await?;
        }
    }
    Ok(())
}

/// Whether the block is covered; says why not.
async fn coverage(ledger: &Ledger<'_>, report: &mut Report, network: &str, explained: &Explained) -> Result<bool> {
    let height = explained.block.height.0;
    let Some((tip, ..)) = ledger.network(network).and_then(|network| network.tip) else {
        let words = format!("It is in block {height} of {network}, whose ledger has not begun: start the daemon.");
        report.say("not_covered", network, words);
        return Ok(false);
    };
    if height > tip {
        let behind = height.saturating_sub(tip);
        let words = format!("Not covered yet: it is in block {height} of {network}, {behind} above our tip {tip}.");
        report.say("not_covered", network, words);
        return Ok(false);
    }
    let pool = ledger.office.pool();
    if let Some(start) = explain::start(pool, network).await?.filter(|start| height <= *start) {
        let words = format!("It is in block {height} of {network}, and the ledger begins above block {start}.");
        report.say("before_ledger", network, words);
        return Ok(false);
    }
    let covered = explain::covered(pool, network, height).await?;
    if let Some(ours) = covered.and_then(|covered| covered.hash).filter(|hash| *hash != explained.block.hash) {
        let theirs = explained.block.hash;
        let words = format!("It is in block {height} {theirs} of {network}; we stand on {ours}: a fork is under way.");
        report.say("other_branch", network, words);
        return Ok(false);
    }
    Ok(true)
}

/// Why one movement is no deposit.
async fn why_not(
    ledger: &Ledger<'_>,
    report: &mut Report,
    id: &NetworkId,
    height: u64,
    read: bool,
    moved: &Move,
) -> Result<()> {
    let (network, to) = (id.as_str(), &moved.to);
    let what = shown(ledger, network, moved);
    let watches = explain::watches(ledger.office.pool(), Some(to.as_str()), None).await?;
    let here: Vec<_> = watches.iter().filter(|watch| watch.network == network).collect();
    let Some(watch) = here.first() else {
        let others: Vec<_> = watches.iter().map(|watch| watch.network.as_str()).collect();
        if let Some(other) = others.first() {
            let words = format!(
                "It pays {what} to {to} on another network: that address is watched on {other}, not on {network}."
            );
            report.say("another_network", network, words);
        } else {
            report.say("not_watched", network, format!("It pays {what} to {to}, which nobody watches."));
        }
        return Ok(());
    };
    watched(report, watch);
    let Some(asset) = moved.asset.as_ref().and_then(|asset| ledger.office.networks.get(id)?.facts.asset(asset)) else {
        let listed = ledger.office.networks.get(id).map(|served| &served.facts.assets);
        let listed: Vec<_> =
            listed.into_iter().flatten().map(|asset| format!("{} ({})", asset.symbol, asset.id)).collect();
        let words = format!("It pays {what} to {to}: not a listed token. Listed on {network}: {}.", listed.join(", "));
        report.say("not_listed", network, words);
        return Ok(());
    };
    let amount = moved.amount.parse::<Amount>().ok();
    if let Some(note) = moved.note {
        report.say("odd_shape", network, format!("Its log at {to} is {note}, and is not counted."));
    } else if amount.is_none() {
        report.say("unrepresentable", network, format!("{what} exceeds 128 bits; it is observed, never credited."));
    } else if amount.is_some_and(|amount| amount.is_zero() || amount < asset.min_amount) {
        let least = ledger.amount(network, asset.id.as_str(), asset.min_amount);
        report.say("dust", network, format!("{what} to {to} is dust: below the min_amount of {least}."));
    } else if moved.kind == Kind::Native && !here.iter().any(|watch| watch.native) {
        let words = format!("{what} came to {to}, which is watched for tokens, not for native money.");
        report.say("native_not_watched", network, words);
    } else if here.iter().all(|watch| watch.since > height) {
        let words = format!("{to} is watched from block {} on; this is block {height}.", watch.since);
        report.say("before_watch", network, words);
    } else if read && here.iter().all(|watch| watch.backfill.is_none()) {
        let words = format!(
            "{what} to {to} lies in a covered block, is watched for and is no deposit. This must not be: report it, with \
             the output of this command with --json."
        );
        report.say("unexplained", network, words);
    }
    Ok(())
}

/// What is moved, as people write it where the asset is listed.
fn shown(ledger: &Ledger<'_>, network: &str, moved: &Move) -> String {
    match (&moved.asset, moved.amount.parse::<Amount>(), &moved.contract) {
        (Some(asset), Ok(amount), _) => ledger.amount(network, asset.as_str(), amount),
        (_, _, Some(contract)) if moved.amount.is_empty() => format!("something of the contract {contract}"),
        (_, _, Some(contract)) => format!("{} units of the contract {contract}", moved.amount),
        _ => format!("{} units", moved.amount),
    }
}
