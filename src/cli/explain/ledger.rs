//! What the ledger knows: deposits with the terms they meet and miss, intents with what they lack, events told.

use std::time::Duration;

use amn_core::block::{BlockRef, Header, Height, Inclusion, NetworkId, Operator, TransferId};
use amn_core::confirmation::{Known, Policy, Require, Term, View, terms};
use amn_core::deposit::{DepositStatus, Unmatched};
use amn_core::intent::Status;
use amn_core::money::Amount;
use amn_scanner::store::read::deposits::Deposit;
use amn_scanner::store::read::explain::{self, LISTED_MAX, Told, Watch};
use amn_scanner::store::read::intents::Intent;
use amn_scanner::store::read::networks::{self, Network};
use amn_scanner::store::{read, thresholds};
use anyhow::Result;
use serde_json::{Value, json};

use super::report::Report;
use super::shown;
use crate::cli::office::Office;
use crate::cli::thresholds::terms as in_words;

/// Nodes are asked who attested a ledger, once; then the person hears the count alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The networks as they stand, and the way to everything else.
pub struct Ledger<'a> {
    pub office: &'a Office,
    networks: Vec<Network>,
}

impl<'a> Ledger<'a> {
    pub async fn read(office: &'a Office) -> Result<Self> {
        Ok(Self { office, networks: networks::list(office.pool()).await? })
    }

    /// A network's place; `None` where the daemon never started it.
    pub fn network(&self, id: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.id.as_str() == id)
    }

    pub fn amount(&self, network: &str, asset: &str, amount: Amount) -> String {
        shown(self.office, network, asset, amount)
    }

    /// The network's standing as a row, with the stretch that covers a height; says what stops or slows it.
    pub async fn standing(&self, report: &mut Report, network: &str, height: Option<u64>) -> Result<()> {
        if self.network(network).is_none() || report.stands(network, height) {
            return Ok(());
        }
        let mut row = self.office.get(&format!("/v1/networks/{network}")).await?;
        let place = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        match place("status").as_str() {
            "halted" => {
                let (why, at) = (&row["halt"]["reason"], &row["halt"]["at"]);
                let words = format!("{network} stands still since {}: {}; nothing settles there", word(at), word(why));
                report.say("halted", network, words);
            }
            "lagging" => {
                let words = format!("{network} lags: its tip is {} s old.", row["lag_seconds"]);
                report.say("lagging", network, words);
            }
            "unserved" => report.say("unserved", network, format!("{network} is not in this configuration.")),
            _ => {}
        }
        if let Some(height) = height {
            let covered = explain::covered(self.office.pool(), network, height).await?;
            row["height"] = height.to_string().into();
            row["covered"] = covered.map_or(Value::Null, |covered| {
                json!({
                    "coverage": covered.coverage, "from": covered.from.to_string(), "hash": covered.hash,
                    "read_at": covered.read_at, "to": covered.to.to_string(), "watch_version": covered.watch_version,
                })
            });
        }
        report.row("networks", row);
        Ok(())
    }

    /// A deposit: whose it is and why, what it waits for, and what was told of it.
    pub async fn deposit(&self, report: &mut Report, deposit: &Deposit) -> Result<()> {
        let id = deposit.id.to_string();
        if report.has("deposits", &id) {
            return Ok(());
        }
        let pool = self.office.pool();
        let network = deposit.network.as_str();
        let intent = match deposit.intent {
            Some(id) => read::intents::get(pool, id).await?,
            None => None,
        };
        let grounds = explain::grounds(pool, deposit.id).await?;
        let paid = self.amount(network, &deposit.asset, deposit.amount);
        let place = format!("block {} of {network}", deposit.height);
        let whose = match (&intent, deposit.assigned) {
            (Some(intent), false) => format!("It pays intent {}, which owns that address for this asset.", intent.id),
            (Some(intent), true) => format!("A person assigned it to intent {}.", intent.id),
            (None, _) => unmatched(deposit.unmatched.as_deref()).to_owned(),
        };
        let code = if intent.is_some() { "matched" } else { "unmatched" };
        report.say(code, network, format!("{paid} came to {} in {place}. {whose}", deposit.to));

        let require = match grounds.settled_under {
            Some(under) if deposit.status == DepositStatus::Settled => under,
            _ => self.require(network, deposit, intent.as_ref()).await?,
        };
        let list = self.terms(deposit, &require);
        status(report, deposit, &require, grounds.settled_tip, &list);
        self.chained(report, deposit, &grounds.operators);
        self.attested(report, deposit, &grounds.operators).await;
        if let Some(intent) = intent.as_ref().filter(|_| deposit.late) {
            let by = intent.expires_at.map_or(0, |expires| deposit.block_time.seconds_since(expires));
            let words = match (deposit.accepted, by) {
                (true, _) => "It came late and was accepted.".to_owned(),
                (false, 0) => "It came after the intent had ended, and waits to be accepted.".to_owned(),
                (false, by) => format!("It is late by {by} s, and counts only when the intent is accepted."),
            };
            report.say("late", network, words);
        }

        let mut row = self.office.get(&format!("/v1/deposits/{id}")).await?;
        row["operators"] = json!(grounds.operators);
        row["require"] = json!(require);
        row["terms"] = json!(list);
        report.row("deposits", row);
        match &intent {
            Some(intent) => self.sums(report, intent).await?,
            None => {
                let told = explain::told(pool, None, Some(deposit.id)).await?;
                events(report, network, &told, deposit.status == DepositStatus::Settled);
            }
        }
        self.standing(report, network, Some(deposit.height)).await
    }

    /// In words what stands behind a deposit, on networks where an account has a chain of its own.
    fn chained(&self, report: &mut Report, deposit: &Deposit, operators: &[Operator]) {
        let served = self.office.networks.get(&NetworkId::new(&deposit.network));
        let Some(shown) = served.and_then(|served| served.account_proof(deposit.inclusion)) else { return };
        let words = format!(
            "{shown}; that the network committed it, and in this masterchain block, is {}.",
            given_by(operators)
        );
        report.say("evidence", &deposit.network, words);
    }

    /// In words what stands behind a deposit, on networks whose blocks are attested.
    async fn attested(&self, report: &mut Report, deposit: &Deposit, operators: &[Operator]) {
        let Some(count) = deposit.attestations else { return };
        let shown = match deposit.inclusion {
            Inclusion::Proven => "is proven from the header of its own ledger",
            Inclusion::Reported => "is what a node reported: its ledger does not prove it",
        };
        let given = given_by(operators);
        let block = BlockRef { height: Height(deposit.height), hash: deposit.block_hash };
        let index = u32::try_from(deposit.index).unwrap_or(u32::MAX);
        let transfer = TransferId { tx: deposit.tx, kind: deposit.kind, index };
        let names = match self.office.networks.get(&NetworkId::new(&deposit.network)) {
            Some(served) => {
                let asked = served.attested_by(transfer, block);
                tokio::time::timeout(PATIENCE, asked).await.unwrap_or_default()
            }
            None => Vec::new(),
        };
        let by = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        let words = format!(
            "It {shown}; that the ledger is the network's is {given}, and validators of {count} organisation(s) built on \
             it{by}."
        );
        report.say("evidence", &deposit.network, words);
    }

    /// As `State::require_for` in the core: the tier by the larger of due and arrived, AND the intent's own terms.
    async fn require(&self, network: &str, deposit: &Deposit, intent: Option<&Intent>) -> Result<Require> {
        let held = thresholds::get(self.office.pool(), network).await?;
        let policy = held.as_ref().map_or_else(Policy::default, |held| held.effective().clone());
        let asset = amn_core::block::AssetId::new(&deposit.asset);
        Ok(match intent {
            Some(intent) => {
                let arrived = Amount::total([intent.received, intent.late]);
                policy.for_amount(&asset, intent.due.max(arrived)).and(intent.require)
            }
            None => {
                let require = policy.for_amount(&asset, deposit.amount);
                let internal = deposit.unmatched.as_deref() == Some(Unmatched::InternalTransfer.as_str());
                if internal { Require { inclusion: None, operators: None, ..require } } else { require }
            }
        })
    }

    fn terms(&self, deposit: &Deposit, require: &Require) -> Vec<Term> {
        let known = Known {
            height: Height(deposit.height),
            time: deposit.block_time,
            inclusion: deposit.inclusion,
            operators: u32::try_from(deposit.operators).unwrap_or(u32::MAX),
            attestations: deposit.attestations.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        };
        self.terms_of(&deposit.network, &known, require)
    }

    /// Which terms are met, as the network stands.
    pub fn terms_of(&self, network: &str, known: &Known, require: &Require) -> Vec<Term> {
        let Some(network) = self.network(network) else { return Vec::new() };
        let Some((height, hash, time)) = network.tip else { return Vec::new() };
        let at = BlockRef { height: Height(height), hash };
        let view = View {
            // Terms look at the height and the time of the tip alone.
            tip: Header { at, parent: hash, time },
            safe: network.safe.map(|(height, _)| Height(height)),
            finalized: network.finalized.map(|(height, _)| Height(height)),
        };
        terms(require, known, &view)
    }

    /// An intent with everything that arrived for it.
    pub async fn intent(&self, report: &mut Report, intent: &Intent) -> Result<()> {
        let pool = self.office.pool();
        self.sums(report, intent).await?;
        for watch in explain::watches(pool, None, Some(intent.id)).await? {
            watched(report, &watch);
        }
        let (deposits, _) = read::deposits::of_intent(pool, intent.id, LISTED_MAX).await?;
        for deposit in &deposits {
            self.deposit(report, deposit).await?;
        }
        self.standing(report, intent.network.as_str(), deposits.first().map(|deposit| deposit.height)).await
    }

    /// What an intent has and lacks, and what was told of it. Once, however many deposits point to it.
    async fn sums(&self, report: &mut Report, intent: &Intent) -> Result<()> {
        let id = intent.id.to_string();
        if report.has("intents", &id) {
            return Ok(());
        }
        let network = intent.network.as_str();
        let money = |amount| self.amount(network, intent.asset.as_str(), amount);
        let (due, enough) = (money(intent.due), intent.due.beyond(intent.tolerance));
        let (received, settled) = (money(intent.received), money(intent.settled));
        let (code, words) = match intent.status {
            Status::Confirmed => ("confirmed", format!("{id} is confirmed: {settled} of {due} has settled.")),
            Status::Canceled => ("canceled", format!("{id} was canceled; {due} was due.")),
            Status::Expired => ("expired", format!("{id} has expired with {received} of {due}.")),
            Status::Late => {
                ("late", format!("{id} ended; {} came late, and counts only when accepted.", money(intent.late)))
            }
            Status::Reversed => ("reversed", format!("{id} is reversed: {settled} of {due} remains settled.")),
            Status::Awaiting => ("awaiting", format!("{id} awaits {due}; nothing has arrived.")),
            Status::Detected if intent.received >= enough => {
                ("pending", format!("{id} has all of {due}; {settled} of it has settled."))
            }
            Status::Detected => ("detected", format!("{id} has {received} of {due}; {settled} of it has settled.")),
        };
        report.say(code, network, words);
        if intent.received < enough && !intent.received.is_zero() {
            report.say("underpaid", network, format!("Underpaid by {}.", money(enough.beyond(intent.received))));
        }
        let over = intent.settled.beyond(intent.due);
        if !over.is_zero() {
            report.say("overpaid", network, format!("Overpaid by {}.", money(over)));
        }
        let tip = self.network(network).and_then(|network| network.tip);
        let open = matches!(intent.status, Status::Awaiting | Status::Detected | Status::Reversed);
        if let (true, Some(expires), Some((_, _, time))) = (open, intent.expires_at, tip) {
            let left = expires.seconds_since(time);
            let words = if time > expires {
                format!("Its time ended at {expires}; it expires when a later block has settled.")
            } else {
                format!("It is open until {expires}, {left} s of chain time from the tip.")
            };
            report.say("expiry", network, words);
        }
        let told = explain::told(self.office.pool(), Some(intent.id), None).await?;
        events(report, network, &told, false);
        report.row("intents", self.office.get(&format!("/v1/intents/{id}")).await?);
        Ok(())
    }

    /// The networks that the configuration enables, by name.
    pub fn served(&self) -> Vec<NetworkId> {
        self.office.networks.iter().map(|(id, _)| id.clone()).collect()
    }
}

/// Where it is, and what it waits for.
/// Whose word it is.
fn given_by(operators: &[Operator]) -> String {
    match operators {
        [] => "no operator's".to_owned(),
        [one] => format!("the word of {one}"),
        all => format!("the word of {}", all.iter().map(Operator::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn status(report: &mut Report, deposit: &Deposit, require: &Require, tip: Option<u64>, list: &[Term]) {
    let network = deposit.network.as_str();
    let under = in_words(&json!(require));
    match deposit.status {
        DepositStatus::Settled => {
            let at = deposit.settled_at.map(|at| format!(" at {at}")).unwrap_or_default();
            let tip = tip.map(|tip| format!(", seen from tip {tip}")).unwrap_or_default();
            report.say("settled", network, format!("It settled{at}{tip}, under {under}."));
        }
        DepositStatus::Seen => {
            let missing: Vec<_> = list.iter().filter(|term| !term.met).map(waiting).collect();
            let words = if missing.is_empty() {
                "All its terms are met: it settles with the next decision.".to_owned()
            } else {
                format!("It has not settled: waiting for {}.", missing.join(" and "))
            };
            report.say("waiting", network, words);
        }
        DepositStatus::Retracted => {
            let words = "Its block left the canonical chain before it settled; mined again, it counts again.";
            report.say("retracted", network, words);
        }
        DepositStatus::Reversed => {
            let words = "It had settled, and was undone: its block left the chain, or the issuer took it back.";
            report.say("reversed", network, words);
        }
    }
}

/// A watch as a row; says what is still being read for it.
pub fn watched(report: &mut Report, watch: &Watch) {
    if let Some((from, to)) = watch.backfill {
        let words =
            format!("Blocks {from} to {to} were covered before it was watched, and are being read again for it.");
        report.say("backfill", &watch.network, words);
    }
    report.row(
        "watches",
        json!({
            "address": watch.address, "backfill": watch.backfill.map(|(from, to)| [from.to_string(), to.to_string()]),
            "intent": watch.intent, "native": watch.native, "network": watch.network, "reference": watch.reference,
            "since": watch.since.to_string(), "tenant": watch.tenant, "version": watch.version,
        }),
    );
}

/// A term that is not met, in words.
pub fn waiting(term: &Term) -> String {
    match term.term {
        "tag" => format!("the network's word ({}; it says {})", term.required, term.actual),
        "inclusion" => format!("its inclusion to be {} (it is {})", term.required, term.actual),
        name => format!("{name}: {} of {}", term.actual, term.required),
    }
}

fn unmatched(reason: Option<&str>) -> &'static str {
    match reason.and_then(|reason| reason.parse().ok()) {
        Some(Unmatched::WrongAsset) => "It belongs to nobody: the intent of that address asks for another asset.",
        Some(Unmatched::MissingReference) => "It belongs to nobody: the address is shared, and it bears no reference.",
        Some(Unmatched::UnknownReference) => "It belongs to nobody: no intent has its reference.",
        Some(Unmatched::ContradictoryReference) => {
            "It belongs to nobody: it bears a number in its address and another memo beside it; assign it by hand."
        }
        Some(Unmatched::InternalTransfer) => {
            "It belongs to nobody: it moved inside a contract call and was found by balance; assign it by hand."
        }
        Some(Unmatched::Unassigned) => "It belongs to nobody: a person took it from the intent it was assigned to.",
        None => "It belongs to nobody.",
    }
}

/// The events told, and whether they arrived. `expected`: by now there must be one.
fn events(report: &mut Report, network: &str, told: &[Told], expected: bool) {
    if told.is_empty() && expected {
        report.say("untold", network, "No event tells of it yet.");
    }
    let count = |of: fn(&Told) -> bool| told.iter().filter(|told| of(told)).count();
    let (waits, dead) = (count(|told| told.pending > 0), count(|told| told.dead > 0));
    let unheard = count(|told| told.delivered + told.pending + told.dead == 0);
    if waits > 0 {
        let error = told.iter().rev().find_map(|told| told.last_error.as_deref()).unwrap_or("no attempt yet");
        report.say("undelivered", network, format!("{waits} event(s) are on their way; last: {error}."));
    }
    if dead > 0 {
        let words = format!("{dead} event(s) were given up; see amn-scanner deliveries dead-letters, then redrive.");
        report.say("dead_letters", network, words);
    }
    if unheard > 0 {
        let words = format!("{unheard} event(s) went to nobody: no webhook endpoint listened when they were made.");
        report.say("no_endpoint", network, words);
    }
    for told in told {
        report.row(
            "events",
            json!({
                "at": told.at, "dead": told.dead, "delivered": told.delivered, "event": told.kind, "id": told.id,
                "last_error": told.last_error, "pending": told.pending, "sequence": told.sequence,
            }),
        );
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
