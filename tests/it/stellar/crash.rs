//! Kill -9 at any moment while ledgers close: nothing is lost, nothing is told twice in other words, every move stays
//! legal, and the money is what the ledgers say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use amn_scanner::stage::process::Api;
use amn_soroban::address::Place;
use amn_soroban::reference;
use amn_soroban::testkit::{Tx, muxed, plain};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use stellar_xdr::{Asset, Memo};

use super::ground::{self, OTHER, PAYER, SHOP, WHOLE};
use super::play::{Setting, StellarPlay};
use crate::crash::{crash, moves_legally, nothing_waits, one_body_each, said_of_intents, soon};
use crate::support::hangs_up;
use crate::support::script::rfc3339;

/// A kill comes at most so long after a step: what a step sets off is over by then.
const KILL_WITHIN_MS: u64 = 150;

/// The pace of the chain where nobody waits for the daemon.
const CLOSES_EVERY: Duration = Duration::from_millis(150);

const INTENTS: usize = 16;

/// How a payment to an intent is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By the text of a memo, to the shop's account.
    Text,
    /// To the shop's muxed address, in USD.
    Muxed,
    /// To a contract of the intent's own, in USD.
    Contract,
    /// By the number of a memo, in a transaction whose fee another pays.
    Bumped,
}

impl Form {
    const ALL: [Self; 4] = [Self::Text, Self::Muxed, Self::Contract, Self::Bumped];

    fn of(intent: usize) -> Self {
        Self::ALL[intent % Self::ALL.len()]
    }
}

#[derive(Debug, Clone, Copy)]
struct Payment {
    intent: usize,
    amount: i64,
    /// It fails on chain.
    fails: bool,
    /// It names nobody's reference.
    astray: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Ledger(Vec<Payment>),
    /// A person cancels or accepts an intent.
    Ask(usize, &'static str),
}

/// The same seed tells the same story.
fn script(seed: u64, steps: usize, commands: bool) -> Vec<Step> {
    let mut dice = StdRng::seed_from_u64(seed);
    let step = |_| {
        if commands && dice.random_range(0..12) == 0 {
            let what = if dice.random_bool(0.5) { "cancel" } else { "accept" };
            return Step::Ask(dice.random_range(0..INTENTS), what);
        }
        let count = [0, 1, 1, 2, 3][dice.random_range(0..5)];
        Step::Ledger((0..count).map(|_| payment(&mut dice)).collect())
    };
    (0..steps).map(step).collect()
}

fn payment(dice: &mut StdRng) -> Payment {
    Payment {
        intent: dice.random_range(0..INTENTS),
        amount: [4, 6, 10, 15][dice.random_range(0..4)] * WHOLE / 10,
        fails: dice.random_range(0..5) == 0,
        astray: dice.random_range(0..10) == 0,
    }
}

/// The transaction of a payment.
fn transaction(payment: Payment) -> Tx {
    let Payment { intent, amount, fails, astray } = payment;
    let number = number(intent) + if astray { 1_000_000 } else { 0 };
    let tx = match Form::of(intent) {
        Form::Text => {
            let memo = if astray { "nobody".to_owned() } else { format!("order {intent}") };
            Tx::of(PAYER).memo(ground::text(&memo)).pay(plain(SHOP), &Asset::Native, amount)
        }
        Form::Muxed => Tx::of(PAYER).pay(muxed(SHOP, number), &ground::usd(), amount),
        Form::Contract => {
            let to = if astray { OTHER } else { escrow(intent) };
            Tx::of(PAYER).call(vec![ground::token().transfer(PAYER, to, i128::from(amount))])
        }
        Form::Bumped => Tx::of(PAYER).memo(Memo::Id(number)).pay(plain(SHOP), &Asset::Native, amount).bumped_by(OTHER),
    };
    if fails { tx.fails() } else { tx }
}

fn number(intent: usize) -> u64 {
    1_000 + u64::try_from(intent).unwrap()
}

/// The contract of an intent.
fn escrow(intent: usize) -> Place {
    Place::Contract([0x80 + u8::try_from(intent).unwrap(); 32])
}

/// A script that was played to its end.
struct Run {
    play: StellarPlay,
    intents: Vec<Value>,
    kills: usize,
    while_sending: usize,
}

/// Some intents end within the script; one is canceled before it begins.
async fn begin(steps: usize, now: u64) -> (StellarPlay, Vec<Value>) {
    let mut history = ground::history();
    history.chain.milliseconds = now;
    history.pass(3);
    let webhooks = "timeout_ms = 500";
    let setting = Setting { history, webhooks, receiver_url: Some(hangs_up::before), ..Setting::default() };
    let play = StellarPlay::with(setting).await;
    play.receiver.answer_at_first(|number| [200, 200, 500, 200, 503][number % 5]);
    let (began, every) = {
        let history = play.nodes[0].history();
        (history.chain.milliseconds / 1_000, history.chain.block_time_ms / 1_000)
    };
    let (began, every) = (i64::try_from(began).unwrap(), i64::try_from(every).unwrap());
    let lasting = i64::try_from(steps).unwrap() * every;
    let mut intents = Vec::new();
    for number in 0..INTENTS {
        let (asset, address, reference) = match Form::of(number) {
            Form::Text => ("XLM", SHOP, Some(format!("text:order {number}"))),
            Form::Muxed => ("USD", SHOP, Some(reference::of_id(self::number(number)).to_string())),
            Form::Contract => ("USD", escrow(number), None),
            Form::Bumped => ("XLM", SHOP, Some(reference::of_id(self::number(number)).to_string())),
        };
        let after = lasting * i64::try_from(number).unwrap() / 20;
        let terms = json!({
            "asset": ground::asset(asset), "address": address.spell().as_str(), "reference": reference,
            "metadata": {"n": number}, "tolerance": "10",
            // The machine's clock must not be past it either, when it is asked for.
            "expires_at": (number % 3 == 0).then(|| rfc3339(began + 60 + after)),
        });
        intents.push(play.intent(terms).await);
    }
    ask(play.daemon.api(), &intents[1], "cancel").await;
    play.quiet().await;
    (play, intents)
}

/// Asks until it is answered: who was killed may have done it, and then refuses to do it twice.
async fn ask(api: &Api, intent: &Value, what: &str) {
    let path = format!("/v1/intents/{}/{what}", intent["id"].as_str().unwrap());
    while let Err(error) = api.ask_for(&path).await {
        if error.0.contains("409") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Plays the script and kills the daemon now and then; `held`: the chain waits at every step until it was followed.
async fn run(script: &[Step], kills: usize, seed: u64, now: u64, held: bool) -> Run {
    let (mut play, intents) = begin(script.len(), now).await;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut while_sending = 0;
    for (number, step) in script.iter().enumerate() {
        let due = kills * (number + 1) / script.len() - kills * number / script.len();
        let api = play.daemon.api().clone();
        if let Step::Ledger(payments) = step {
            let transactions: Vec<Tx> = payments.iter().map(|payment| transaction(*payment)).collect();
            play.close(&transactions);
        }
        let asking = async {
            if let Step::Ask(intent, what) = step {
                ask(&api, &intents[*intent], what).await;
            }
        };
        let (daemon, db) = (&mut play.daemon, &play.db.pool);
        let killing = async {
            for _ in 0..due {
                while_sending += usize::from(crash(daemon, db, soon(&mut dice, KILL_WITHIN_MS)).await);
            }
        };
        tokio::join!(asking, killing);
        if held {
            play.caught_up().await;
        } else {
            tokio::time::sleep(CLOSES_EVERY).await;
        }
    }
    play.caught_up().await;
    play.wait("something is not delivered", async || nothing_waits(&play.db.pool).await).await;
    Run { play, intents, kills, while_sending }
}

/// Sums of what the ledgers paid each intent.
fn paid(script: &[Step]) -> BTreeMap<usize, i64> {
    let mut sums = BTreeMap::new();
    for step in script {
        let Step::Ledger(payments) = step else { continue };
        for payment in payments.iter().filter(|payment| !payment.fails && !payment.astray) {
            *sums.entry(payment.intent).or_default() += payment.amount;
        }
    }
    sums
}

/// What holds of every run, however often it was killed.
async fn lawful(run: &Run, script: &[Step]) {
    one_body_each(&run.play.receiver);
    let paid = paid(script);
    for (number, intent) in run.intents.iter().enumerate() {
        moves_legally(&run.play.bodies(intent));
        let now = run.play.now(intent).await;
        let sum = |field: &str| now[field].as_str().unwrap().parse::<i64>().unwrap();
        let due = paid.get(&number).copied().unwrap_or_default();
        assert_eq!(sum("received") + sum("late"), due, "intent {number} has what the ledgers paid it: {now}");
    }
    let payments = script.iter().filter_map(|step| if let Step::Ledger(all) = step { Some(all) } else { None });
    let astray = |p: &&Payment| !p.fails && (p.astray && Form::of(p.intent) != Form::Contract);
    let expected = payments.flatten().filter(astray).count();
    let unmatched = said_of_others(run);
    assert_eq!(unmatched.len(), expected, "what names nobody is told once each: {unmatched:?}");
    assert_eq!(run.play.db.count("select count(*) from amn.network where halt_reason is not null").await, 0);
}

/// Deposits that are nobody's, as the receiver heard of them.
fn said_of_others(run: &Run) -> BTreeSet<String> {
    let bodies = run.play.receiver.delivered().into_iter().map(|heard| heard.json());
    let others = bodies.filter(|body| body["intent"].is_null() && body["event"] == "deposit.unmatched");
    others
        .map(|body| {
            let deposit = &body["deposits"][0];
            json!([body["reason"], deposit["tx"], deposit["index"], deposit["amount"]]).to_string()
        })
        .collect()
}

/// How each intent ended, with its deposits.
async fn snapshots(run: &Run) -> Vec<Value> {
    let mut all = Vec::new();
    for intent in &run.intents {
        let now = run.play.now(intent).await;
        let deposits = now["deposits"].as_array().unwrap().iter();
        let mut live: Vec<String> = deposits
            .map(|d| format!("{} {} {} in {}", d["tx"], d["amount"], d["status"], d["block"]["hash"]))
            .collect();
        live.sort();
        all.push(json!([now["metadata"], now["status"], now["received"], now["settled"], now["late"], live]));
    }
    all
}

/// What was played, for whoever reads the test's output.
fn figures(seed: u64, run: &Run) {
    let (told, heard) = (run.play.receiver.delivered().len(), run.play.receiver.heard().len());
    println!(
        "figure: stellar, seed {seed}: {} kills, {} of them while sending; {told} events in {heard} requests; nothing \
         missing, nothing twice",
        run.kills, run.while_sending
    );
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs() * 1_000
}

async fn killed_while_the_chain_is_held(seed: u64, steps: usize, kills: usize) {
    let (script, now) = (script(seed, steps, true), now());
    let (calm, killed) = tokio::join!(run(&script, 0, seed, now, true), run(&script, kills, seed, now, true));
    lawful(&calm, &script).await;
    lawful(&killed, &script).await;
    let (expected, heard) = (said_of_intents(&calm.play.receiver), said_of_intents(&killed.play.receiver));
    let missing: Vec<_> = expected.difference(&heard).collect();
    let invented: Vec<_> = heard.difference(&expected).collect();
    assert!(missing.is_empty() && invented.is_empty(), "seed {seed}: missing {missing:?}, invented {invented:?}");
    assert_eq!(said_of_others(&killed), said_of_others(&calm), "seed {seed}");
    assert_eq!(snapshots(&killed).await, snapshots(&calm).await, "seed {seed}");
    figures(seed, &killed);
}

async fn killed_while_ledgers_close(seed: u64, steps: usize, kills: usize) {
    // Nobody asks for anything: when a command comes is all that the two runs could differ in.
    let (script, now) = (script(seed, steps, false), now());
    let (calm, killed) = tokio::join!(run(&script, 0, seed, now, true), run(&script, kills, seed, now, false));
    lawful(&calm, &script).await;
    lawful(&killed, &script).await;
    assert_eq!(said_of_others(&killed), said_of_others(&calm), "seed {seed}");
    assert_eq!(snapshots(&killed).await, snapshots(&calm).await, "seed {seed}");
    figures(seed, &killed);
}

#[tokio::test]
async fn five_kills_with_the_chain_held_change_nothing_that_is_told() {
    Box::pin(killed_while_the_chain_is_held(1, 20, 5)).await;
}

#[tokio::test]
async fn five_kills_while_ledgers_close_change_nothing_in_the_end() {
    Box::pin(killed_while_ledgers_close(2, 30, 5)).await;
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[tokio::test]
#[ignore = "minutes long: ./soak runs it"]
async fn soak_fifty_kills_on_stellar() {
    if std::env::var("AMN_SOAK").as_deref() != Ok("full") {
        println!("skipped: AMN_SOAK is not \"full\"");
        return;
    }
    Box::pin(killed_while_the_chain_is_held(10, 60, 25)).await;
    Box::pin(killed_while_ledgers_close(11, 60, 25)).await;
}
