//! Kill -9 at any moment while blocks come, on any chain whose newest block is final: what is played, and what must
//! hold of it. Nothing is lost, nothing is told twice in other words, every move stays legal, and the money is what
//! the blocks say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use amn_scanner::stage::process::Api;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::hangs_up;
use super::household::{Household, Ways};
use super::script::rfc3339;
use crate::crash::{crash, moves_legally, nothing_waits, one_body_each, said_of_intents, soon};

/// A kill comes at most so long after a step: what a step sets off is over by then.
const KILL_WITHIN_MS: u64 = 150;

/// The pace of the chain where nobody waits for the daemon.
const BLOCK_EVERY: Duration = Duration::from_millis(150);

pub const INTENTS: usize = 16;

#[derive(Debug, Clone, Copy)]
pub struct Payment {
    pub intent: usize,
    pub amount: i64,
    /// It fails on chain.
    pub fails: bool,
    /// It names nobody's reference.
    pub astray: bool,
}

#[derive(Debug, Clone)]
pub enum Step {
    Block(Vec<Payment>),
    /// A person cancels or accepts an intent.
    Ask(usize, &'static str),
}

/// A chain, and the daemon's house on it.
pub trait Town: Sized {
    /// Its name in what is printed.
    const NAME: &'static str;

    /// What an intent asks for.
    const DUE: i64;

    /// The daemon follows a chain whose clock shows this time, in milliseconds.
    async fn found(now: u64, ways: Ways) -> Self;

    fn house(&self) -> &Household;

    fn house_mut(&mut self) -> &mut Household;

    /// An intent with these terms beside its own: its asset, address and reference follow from its number.
    async fn intent(&self, number: usize, more: Value) -> Value;

    /// The next block holds these payments.
    fn land(&self, payments: &[Payment]);

    /// Whether a payment to this intent that names nobody's reference comes to an address that is watched.
    fn hears_of_strays(intent: usize) -> bool;

    /// What the chain's clock shows, and how far a block puts it on, in milliseconds.
    fn clock(&self) -> (i64, i64);

    /// Waits until everything that the newest block means has been decided, with both operators behind it.
    async fn caught_up(&self);
}

/// The same seed tells the same story.
fn script(seed: u64, steps: usize, due: i64, commands: bool) -> Vec<Step> {
    let mut dice = StdRng::seed_from_u64(seed);
    let step = |_| {
        if commands && dice.random_range(0..12) == 0 {
            let what = if dice.random_bool(0.5) { "cancel" } else { "accept" };
            return Step::Ask(dice.random_range(0..INTENTS), what);
        }
        let count = [0, 1, 1, 2, 3][dice.random_range(0..5)];
        Step::Block((0..count).map(|_| payment(&mut dice, due)).collect())
    };
    (0..steps).map(step).collect()
}

fn payment(dice: &mut StdRng, due: i64) -> Payment {
    Payment {
        intent: dice.random_range(0..INTENTS),
        amount: [4, 6, 10, 15][dice.random_range(0..4)] * due / 10,
        fails: dice.random_range(0..5) == 0,
        astray: dice.random_range(0..10) == 0,
    }
}

/// A script that was played to its end.
struct Run<T> {
    town: T,
    intents: Vec<Value>,
    kills: usize,
    while_sending: usize,
}

/// Some intents end within the script; one is canceled before it begins.
async fn begin<T: Town>(steps: usize, now: u64) -> (T, Vec<Value>) {
    let ways =
        Ways { webhooks: "timeout_ms = 500".to_owned(), receiver_url: Some(hangs_up::before), ..Ways::default() };
    let town = T::found(now, ways).await;
    town.house().receiver.answer_at_first(|number| [200, 200, 500, 200, 503][number % 5]);
    let (began, every) = town.clock();
    let lasting = i64::try_from(steps).unwrap() * every;
    let mut intents = Vec::new();
    for number in 0..INTENTS {
        let after = lasting * i64::try_from(number).unwrap() / 20;
        let terms = json!({
            "metadata": {"n": number}, "tolerance": "10",
            // The machine's clock must not be past it either, when it is asked for.
            "expires_at": (number % 3 == 0).then(|| rfc3339((began + 60_000 + after) / 1_000)),
        });
        intents.push(town.intent(number, terms).await);
    }
    ask(town.house().daemon.api(), &intents[1], "cancel").await;
    town.caught_up().await;
    town.house().delivered().await;
    (town, intents)
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
async fn run<T: Town>(script: &[Step], kills: usize, seed: u64, now: u64, held: bool) -> Run<T> {
    let (mut town, intents) = begin::<T>(script.len(), now).await;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut while_sending = 0;
    for (number, step) in script.iter().enumerate() {
        let due = kills * (number + 1) / script.len() - kills * number / script.len();
        let api = town.house().daemon.api().clone();
        if let Step::Block(payments) = step {
            town.land(payments);
        }
        let asking = async {
            if let Step::Ask(intent, what) = step {
                ask(&api, &intents[*intent], what).await;
            }
        };
        let Household { daemon, db, .. } = town.house_mut();
        let killing = async {
            for _ in 0..due {
                while_sending += usize::from(crash(daemon, &db.pool, soon(&mut dice, KILL_WITHIN_MS)).await);
            }
        };
        tokio::join!(asking, killing);
        if held {
            town.caught_up().await;
        } else {
            tokio::time::sleep(BLOCK_EVERY).await;
        }
    }
    town.caught_up().await;
    let house = town.house();
    house.wait("something is not delivered", async || nothing_waits(&house.db.pool).await).await;
    Run { town, intents, kills, while_sending }
}

/// Sums of what the blocks paid each intent.
fn paid(script: &[Step]) -> BTreeMap<usize, i64> {
    let mut sums = BTreeMap::new();
    for step in script {
        let Step::Block(payments) = step else { continue };
        for payment in payments.iter().filter(|payment| !payment.fails && !payment.astray) {
            *sums.entry(payment.intent).or_default() += payment.amount;
        }
    }
    sums
}

/// What holds of every run, however often it was killed.
async fn lawful<T: Town>(run: &Run<T>, script: &[Step]) {
    let house = run.town.house();
    one_body_each(&house.receiver);
    let paid = paid(script);
    for (number, intent) in run.intents.iter().enumerate() {
        moves_legally(&house.bodies(intent));
        let now = house.now(intent).await;
        let sum = |field: &str| now[field].as_str().unwrap().parse::<i64>().unwrap();
        let due = paid.get(&number).copied().unwrap_or_default();
        assert_eq!(sum("received") + sum("late"), due, "intent {number} has what the blocks paid it: {now}");
    }
    let payments = script.iter().filter_map(|step| if let Step::Block(all) = step { Some(all) } else { None });
    let astray = |payment: &&Payment| !payment.fails && payment.astray && T::hears_of_strays(payment.intent);
    let expected = payments.flatten().filter(astray).count();
    let unmatched = said_of_others(run);
    assert_eq!(unmatched.len(), expected, "what names nobody is told once each: {unmatched:?}");
    assert_eq!(house.db.count("select count(*) from amn.network where halt_reason is not null").await, 0);
}

/// Deposits that are nobody's, as the receiver heard of them.
fn said_of_others<T: Town>(run: &Run<T>) -> BTreeSet<String> {
    let bodies = run.town.house().receiver.delivered().into_iter().map(|heard| heard.json());
    let others = bodies.filter(|body| body["intent"].is_null() && body["event"] == "deposit.unmatched");
    others
        .map(|body| {
            let deposit = &body["deposits"][0];
            json!([body["reason"], deposit["tx"], deposit["index"], deposit["amount"]]).to_string()
        })
        .collect()
}

/// How each intent ended, with its deposits.
async fn snapshots<T: Town>(run: &Run<T>) -> Vec<Value> {
    let mut all = Vec::new();
    for intent in &run.intents {
        let now = run.town.house().now(intent).await;
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
fn figures<T: Town>(seed: u64, run: &Run<T>) {
    let receiver = &run.town.house().receiver;
    let (told, heard) = (receiver.delivered().len(), receiver.heard().len());
    println!(
        "figure: {}, seed {seed}: {} kills, {} of them while sending; {told} events in {heard} requests; nothing \
         missing, nothing twice",
        T::NAME,
        run.kills,
        run.while_sending
    );
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs() * 1_000
}

/// Whatever is told is the same, word by word, with and without the kills.
pub async fn while_the_chain_is_held<T: Town>(seed: u64, steps: usize, kills: usize) {
    let (script, now) = (script(seed, steps, T::DUE, true), now());
    let (calm, killed) = tokio::join!(run::<T>(&script, 0, seed, now, true), run::<T>(&script, kills, seed, now, true));
    lawful(&calm, &script).await;
    lawful(&killed, &script).await;
    let said = |run: &Run<T>| said_of_intents(&run.town.house().receiver);
    let (expected, heard) = (said(&calm), said(&killed));
    let missing: Vec<_> = expected.difference(&heard).collect();
    let invented: Vec<_> = heard.difference(&expected).collect();
    assert!(missing.is_empty() && invented.is_empty(), "seed {seed}: missing {missing:?}, invented {invented:?}");
    assert_eq!(said_of_others(&killed), said_of_others(&calm), "seed {seed}");
    assert_eq!(snapshots(&killed).await, snapshots(&calm).await, "seed {seed}");
    figures(seed, &killed);
}

/// What there is in the end is the same with and without the kills.
pub async fn while_blocks_come<T: Town>(seed: u64, steps: usize, kills: usize) {
    // Nobody asks for anything: when a command comes is all that the two runs could differ in.
    let (script, now) = (script(seed, steps, T::DUE, false), now());
    let (calm, killed) =
        tokio::join!(run::<T>(&script, 0, seed, now, true), run::<T>(&script, kills, seed, now, false));
    lawful(&calm, &script).await;
    lawful(&killed, &script).await;
    assert_eq!(said_of_others(&killed), said_of_others(&calm), "seed {seed}");
    assert_eq!(snapshots(&killed).await, snapshots(&calm).await, "seed {seed}");
    figures(seed, &killed);
}

/// Whether the full figures are meant: `AMN_SOAK=full` says so.
pub fn soaks() -> bool {
    let soaks = std::env::var("AMN_SOAK").as_deref() == Ok("full");
    if !soaks {
        println!("skipped: AMN_SOAK is not \"full\"");
    }
    soaks
}
