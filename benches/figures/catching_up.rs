//! Catching up: the real follower, source and desk read a chain from a node that answers from precomputed bytes.

use std::time::Instant;

use amn_scanner::follower::Outcome;
use sqlx::PgPool;

use crate::chain::Shape;
use crate::ground::{Ground, follower, network, open_intents};
use crate::meter::{Watcher, cpu, percentile, postgres_cpu};
use crate::node::Node;
use crate::{Size, bare, figure};

/// Open intents besides those that are paid.
const OTHERS: u64 = 1_000;

/// What a run came to.
struct Run {
    seconds: f64,
    text: String,
}

pub async fn run(size: Size) {
    let ground = Ground::open().await;
    sparse(&ground, size).await;
    dense(&ground, size).await;
    far(&ground, size).await;
    ground.close().await;
}

/// Two of every 1,000 blocks hold ours. Bare program and daemon take turns, so that both meet the same noise.
async fn sparse(ground: &Ground, size: Size) {
    let shape = Shape { blocks: size.pick(10_000, 1_000), every: 500 };
    let (mut bare_rates, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let folder = shape.folder();
    let (one, two) = (Node::start(&folder, 0), Node::start(&folder, 0));
    for _ in 0..size.pick(5, 2) {
        let bare = rate(shape, bare::run(&one.url, shape).await);
        let run = catch_up(ground, shape, [&one, &two]).await;
        let ours = rate(shape, run.seconds);
        println!("bare {bare:.0}/s, daemon {ours:.0}/s, ratio {:.2}; {}", ours / bare, run.text);
        bare_rates.push(bare);
        rates.push(ours);
        ratios.push(ours / bare);
    }
    let (ours, bare) = (percentile(&mut rates, 50), percentile(&mut bare_rates, 50));
    let ratio = percentile(&mut ratios, 50);
    let what = format!("catch-up, {} blocks of 200 logs", shape.blocks);
    figure(&what, &format!("{ours:.0} transfers/s"), Some(("≥ 280000", ours >= 280_000.0)));
    let text = format!("{ratio:.2} of {bare:.0} transfers/s");
    figure("catch-up against a bare program that downloads and decodes", &text, Some(("≥ 0.5", ratio >= 0.5)));
}

/// Every block holds ten of ours.
async fn dense(ground: &Ground, size: Size) {
    let shape = Shape { blocks: size.pick(2_000, 200), every: 1 };
    let folder = shape.folder();
    let (one, two) = (Node::start(&folder, 0), Node::start(&folder, 0));
    let run = catch_up(ground, shape, [&one, &two]).await;
    println!("every block holds ours: {}", run.text);
    let payments = count(shape.payments()) / run.seconds;
    let text = format!("{:.0} transfers/s, {payments:.0} payments/s", rate(shape, run.seconds));
    figure(&format!("catch-up, 10 of 200 ours in every one of {} blocks", shape.blocks), &text, None);
}

/// The node is 20 ms away.
async fn far(ground: &Ground, size: Size) {
    let shape = Shape { blocks: size.pick(10_000, 1_000), every: 500 };
    let folder = shape.folder();
    let (one, two) = (Node::start(&folder, 20), Node::start(&folder, 20));
    let bare = rate(shape, bare::run(&one.url, shape).await);
    let run = catch_up(ground, shape, [&one, &two]).await;
    let ours = rate(shape, run.seconds);
    println!("20 ms to the node: {}", run.text);
    let text = format!("{ours:.0} transfers/s, {:.2} of the bare program's {bare:.0}", ours / bare);
    figure("catch-up with 20 ms of delay to the node", &text, None);
}

/// Follows a chain from its first block to its last; the daemon's parts, in this process.
async fn catch_up(ground: &Ground, shape: Shape, nodes: [&Node; 2]) -> Run {
    let (pool, _) = ground.database("amn_catch_up").await;
    open_intents(&pool, &network().facts, shape.payments() + OTHERS).await;
    let mut follower = follower(&pool, [&nodes[0].url, &nodes[1].url]).await;

    let postmaster = ground.postmaster();
    let used = || [cpu(std::process::id()), postgres_cpu(postmaster), nodes.iter().map(|node| cpu(node.id())).sum()];
    let before = used();
    let watcher = Watcher::start(postmaster);
    let began = Instant::now();
    loop {
        match follower.round().await.expect("a round") {
            Outcome::Advanced => {}
            Outcome::Idle => break,
            other => panic!("the follower stopped: {other:?}"),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let shares = watcher.end();
    let after = used();
    check(&pool, shape).await;
    pool.close().await;
    let spent = |at: usize| (count(after[at]) - count(before[at])) / 1_000.0;
    let text = format!(
        "{seconds:.2} s; on a CPU: {}; CPU s: ours {:.2}, Postgres {:.2}, nodes {:.2}",
        shares.text(),
        spent(0),
        spent(1),
        spent(2)
    );
    Run { seconds, text }
}

/// Everything that was paid is confirmed, with proof: a fast answer that is wrong is no figure.
async fn check(pool: &PgPool, shape: Shape) {
    let tip: i64 = sqlx::query_scalar("select tip_height from amn.network").fetch_one(pool).await.expect("the tip");
    assert_eq!(u64::try_from(tip), Ok(shape.blocks), "the whole chain is covered");
    let proven = "select count(*) from amn.deposit
        where inclusion = 'proven' and cardinality(operators) = 2 and status = 'settled'";
    let proven: i64 = sqlx::query_scalar(proven).fetch_one(pool).await.expect("the deposits");
    let confirmed: i64 = sqlx::query_scalar("select count(*) from amn.intent where status = 'confirmed'")
        .fetch_one(pool)
        .await
        .expect("the intents");
    let paid = i64::try_from(shape.payments()).expect("a count");
    assert_eq!((proven, confirmed), (paid, paid), "every payment is settled with proof");
}

fn rate(shape: Shape, seconds: f64) -> f64 {
    count(shape.transfers()) / seconds
}

#[expect(clippy::cast_precision_loss, reason = "a figure is a picture")]
fn count(of: u64) -> f64 {
    of as f64
}
