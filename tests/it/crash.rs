//! Kill -9 at any moment: nothing is lost, nothing is told twice in other words, every move stays legal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use amn_core::intent::Status;
use amn_scanner::stage::process::Daemon;
use amn_scanner::stage::receiver::Receiver;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::hangs_up;
use crate::support::play::{Play, Setting};
use crate::support::script::{Cast, Hands, Kind, Step, script};

/// A kill comes at most so long after a step, and mostly sooner: what a step sets off is over by then.
const KILL_WITHIN_MS: u64 = 120;

/// When the next kill comes.
pub fn soon(dice: &mut StdRng, at_most_ms: u64) -> Duration {
    let at_most = dice.random_range(1..=at_most_ms);
    Duration::from_millis(dice.random_range(0..at_most))
}

async fn play(require: &'static str) -> Play {
    let webhooks = "timeout_ms = 500".to_owned();
    let play = Play::with(Setting { require, webhooks, receiver_url: Some(hangs_up::before), ..Setting::default() });
    let play = play.await;
    play.receiver.answer_at_first(|number| [200, 200, 500, 200, 503][number % 5]);
    play
}

/// Crashes the daemon and starts it again. The leases it leaves behind only cost time: we let it pass.
/// Whether it was in the middle of a delivery.
pub async fn crash(daemon: &mut Daemon, db: &PgPool, after: Duration) -> bool {
    tokio::time::sleep(after).await;
    daemon.kill().await;
    let sending: bool = sqlx::query_scalar("select exists (select from amn.delivery)").fetch_one(db).await.unwrap();
    time_passes(db).await;
    daemon.restart().await.unwrap();
    sending
}

async fn time_passes(db: &PgPool) {
    for what in [
        "delete from amn.lease",
        "update amn.delivery set next_at = least(next_at, now()), lease_until = least(lease_until, now())",
    ] {
        sqlx::query(what).execute(db).await.unwrap();
    }
}

/// Waits until all is told, however patient the retries are.
async fn all_told(play: &Play) {
    play.caught_up().await;
    play.wait("something is not delivered", async || nothing_waits(&play.db.pool).await).await;
}

/// Whether everything is delivered; whatever waits for its next attempt is hurried.
pub async fn nothing_waits(db: &PgPool) -> bool {
    let waits: i64 = sqlx::query_scalar(
        r"
        with hurried as (
          update amn.delivery set next_at = now() where lease_until is null and next_at > now() returning 1
        )
        select count(*) from amn.delivery
        ",
    )
    .fetch_one(db)
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    waits == 0
}

/// A script that was played to its end.
struct Run {
    play: Play,
    cast: Cast,
    kills: usize,
    /// Kills that came while something was on its way to the receiver.
    while_sending: usize,
}

/// Plays the script with the chain held at every step until the daemon has followed it; kills it now and then.
async fn held(script: &[Step], kills: usize, seed: u64) -> Run {
    let mut play = play(r#"{ confirmations = 4, inclusion = "proven", operators = 2 }"#).await;
    let cast = Cast::of(&play, i64::try_from(script.len()).unwrap()).await;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut while_sending = 0;
    for (number, step) in script.iter().enumerate() {
        let due = kills * (number + 1) / script.len() - kills * number / script.len();
        let hands = Hands {
            chain: &play.chain,
            gate: &play.gate,
            token: play.token,
            api: play.house.daemon.api().clone(),
            cast: &cast,
        };
        let killing = async {
            for _ in 0..due {
                let after = soon(&mut dice, KILL_WITHIN_MS);
                while_sending += usize::from(crash(&mut play.house.daemon, &play.house.db.pool, after).await);
            }
        };
        tokio::join!(hands.act(step), killing);
        play.caught_up().await;
    }
    all_told(&play).await;
    Run { play, cast, kills, while_sending }
}

/// Plays the script without waiting for anybody; kills the daemon now and then.
async fn going_on(script: &[Step], kills: usize, seed: u64) -> Run {
    let mut play = play(r#"{ confirmations = 4, inclusion = "proven", operators = 2 }"#).await;
    let cast = Cast::of(&play, i64::try_from(script.len()).unwrap()).await;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut while_sending = 0;
    let hands = Hands {
        chain: &play.chain,
        gate: &play.gate,
        token: play.token,
        api: play.house.daemon.api().clone(),
        cast: &cast,
    };
    let killing = async {
        for _ in 0..kills {
            let after = soon(&mut dice, KILL_WITHIN_MS * 3);
            while_sending += usize::from(crash(&mut play.house.daemon, &play.house.db.pool, after).await);
        }
    };
    let acting = async {
        for step in script {
            hands.act(step).await;
            // The pace of a fast chain; nobody waits for it.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::join!(acting, killing);
    all_told(&play).await;
    Run { play, cast, kills, while_sending }
}

/// What was received: for each intent and sequence, the event and what it says of the money.
fn received(play: &Play) -> BTreeSet<String> {
    said_of_intents(&play.receiver)
}

/// The same of any receiver; intents are known by their number in the metadata.
pub fn said_of_intents(receiver: &Receiver) -> BTreeSet<String> {
    let bodies = receiver.delivered().into_iter().map(|heard| heard.json());
    bodies
        .filter(|body| !body["intent"].is_null())
        .map(|body| {
            let intent = &body["intent"];
            json!([
                intent["metadata"]["n"],
                body["sequence"],
                body["event"],
                body["reason"],
                intent["status"],
                intent["received"],
                intent["settled"],
                intent["late"],
            ])
            .to_string()
        })
        .collect()
}

/// What holds of every run, however often it was killed.
fn lawful(Run { play, cast, .. }: &Run) {
    one_body_each(&play.receiver);
    for intent in &cast.intents {
        moves_legally(&play.bodies(intent));
    }
}

/// Whatever was sent was signed, and an event has the same bytes at every attempt.
pub fn one_body_each(receiver: &Receiver) {
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for heard in receiver.heard() {
        assert!(heard.signed, "{} of {}", heard.event, heard.id);
        let first = bodies.entry(heard.id.clone()).or_insert_with(|| heard.body.clone());
        assert_eq!(*first, heard.body, "two bodies under {}", heard.id);
    }
}

/// What was told of one intent is numbered without a gap, and its status went only where it may.
pub fn moves_legally(told: &[Value]) {
    let mut status = Status::Awaiting;
    let events: Vec<_> = told.iter().map(|body| &body["event"]).collect();
    for (number, body) in (1..).zip(told) {
        assert_eq!(body["sequence"], number, "{events:?}");
        let next: Status = body["intent"]["status"].as_str().unwrap().parse().unwrap();
        assert!(next == status || status.may_become(next), "{status:?} to {next:?}: {events:?}");
        status = next;
    }
}

/// How each intent ended, with the deposits that are on the chain.
async fn snapshots(Run { play, cast, .. }: &Run) -> Vec<Value> {
    let mut all = Vec::new();
    for intent in &cast.intents {
        let now = play.now(intent).await;
        play.balances(intent).await;
        let deposits = now["deposits"].as_array().unwrap().iter();
        let mut live: Vec<String> = deposits
            .filter(|d| d["status"] == "seen" || d["status"] == "settled")
            .map(|d| format!("{} {} {} in {}", d["tx"], d["amount"], d["status"], d["block"]["hash"]))
            .collect();
        live.sort();
        all.push(json!([now["metadata"], now["status"], now["received"], now["settled"], now["late"], live]));
    }
    all
}

/// What was played, for whoever reads the test's output.
fn figures(seed: u64, Run { play, kills, while_sending, .. }: &Run) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for heard in play.receiver.delivered() {
        *kinds.entry(heard.event).or_default() += 1;
    }
    let (told, heard) = (play.receiver.delivered().len(), play.receiver.heard().len());
    println!(
        "seed {seed}: {kills} kills, {while_sending} of them while sending; {told} events in {heard} requests: {kinds:?}"
    );
}

async fn killed_while_the_chain_is_held(seed: u64, steps: usize, kills: usize) {
    let script = script(seed, Kind { steps, depth_max: 6, commands: true });
    let (calm, killed) = tokio::join!(held(&script, 0, seed), held(&script, kills, seed));
    lawful(&calm);
    lawful(&killed);
    let (expected, heard) = (received(&calm.play), received(&killed.play));
    let missing: Vec<_> = expected.difference(&heard).collect();
    let invented: Vec<_> = heard.difference(&expected).collect();
    assert!(missing.is_empty() && invented.is_empty(), "seed {seed}: missing {missing:?}, invented {invented:?}");
    assert_eq!(snapshots(&killed).await, snapshots(&calm).await, "seed {seed}");
    figures(seed, &killed);
}

async fn killed_while_the_chain_goes_on(seed: u64, steps: usize, kills: usize) {
    // No deeper than what is settled: else two watchers of one chain may rightly have settled different money.
    let script = script(seed, Kind { steps, depth_max: 3, commands: false });
    let (calm, killed) = tokio::join!(held(&script, 0, seed), going_on(&script, kills, seed));
    lawful(&calm);
    lawful(&killed);
    assert_eq!(snapshots(&killed).await, snapshots(&calm).await, "seed {seed}");
    figures(seed, &killed);
}

#[tokio::test]
async fn twenty_kills_with_the_chain_held_change_nothing_that_is_told() {
    Box::pin(killed_while_the_chain_is_held(1, 40, 20)).await;
}

#[tokio::test]
async fn twenty_kills_with_the_chain_going_on_change_nothing_in_the_end() {
    Box::pin(killed_while_the_chain_goes_on(2, 60, 20)).await;
}

/// The full figures; `AMN_SOAK=full` says that they are meant.
#[tokio::test]
#[ignore = "minutes long: ./soak runs it"]
async fn soak_two_hundred_kills() {
    if std::env::var("AMN_SOAK").as_deref() != Ok("full") {
        println!("skipped: AMN_SOAK is not \"full\"");
        return;
    }
    for seed in 10..15 {
        Box::pin(killed_while_the_chain_is_held(seed, 60, 20)).await;
        Box::pin(killed_while_the_chain_goes_on(seed + 100, 60, 20)).await;
    }
}
