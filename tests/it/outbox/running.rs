//! The dispatcher by itself, on the machine's clock: quick, fair, and graceful.

use std::time::{Duration, Instant};

use amn_scanner::clock::{Clock as _, SystemClock};
use amn_scanner::outbox::schedule::Schedule;

use crate::support::outbox::World;
use crate::support::receiver::{Answer, Receiver};

/// Longer than any machine takes for what must happen meanwhile: only a fault of ours lets it pass.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_event_leaves_within_milliseconds_of_its_commit() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.clock.set(SystemClock.now());
    world.endpoint(Some("t"), &receiver.url()).await;
    let mut took = world
        .running(World::settings(), async {
            let mut took = Vec::new();
            for sent in 1..=60 {
                world.event(Some("t"), None, None).await;
                let committed = Instant::now();
                world.wake.notify_one();
                receiver.wait_for(sent).await;
                took.push(committed.elapsed());
            }
            took
        })
        .await;
    took.sort();
    let (p50, p95) = (took[30], took[57]);
    println!("commit to first byte: p50 {p50:?}, p95 {p95:?}");
    // Far above what we see, far below the poll that would carry it if nobody woke us.
    assert!(p50 < Duration::from_millis(100), "p50 {p50:?}");
}

#[tokio::test]
async fn a_hanging_endpoint_delays_nobody_else() {
    let (world, slow, quick) = (World::new().await, Receiver::start().await, Receiver::start().await);
    world.clock.set(SystemClock.now());
    slow.otherwise(Answer::Hold);
    world.endpoint(Some("slow"), &slow.url()).await;
    world.endpoint(Some("quick"), &quick.url()).await;
    for _ in 0..40 {
        world.event(Some("slow"), None, None).await;
    }
    let mut settings = World::settings();
    (settings.timeout, settings.concurrency, settings.per_endpoint_concurrency) = (LONG, 12, 8);
    world
        .running(settings, async {
            slow.wait_for(8).await;
            for _ in 0..40 {
                world.event(Some("quick"), None, None).await;
                world.wake.notify_one();
            }
            quick.wait_for(40).await;
            assert_eq!(slow.count(), 8, "no more than its share");
            slow.release(40);
            slow.wait_for(40).await;
        })
        .await;
    assert_eq!(world.count("delivery").await, 0);
}

#[tokio::test]
async fn a_retry_and_its_successor_follow_without_being_woken() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.clock.set(SystemClock.now());
    world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    receiver.next([Answer::Status(503), Answer::Status(503)]);
    let mut settings = World::settings();
    settings.schedule = Schedule { fast_base_ms: 20, ..Schedule::default() };
    world
        .running(settings, async {
            world.event(Some("t"), Some(intent), Some(1)).await;
            world.wake.notify_one();
            receiver.wait_for(1).await;
            world.event(Some("t"), Some(intent), Some(2)).await;
            receiver.wait_for(4).await;
        })
        .await;
    assert_eq!(crate::support::outbox::sequences(&receiver.requests())[&intent.to_string()], [1, 1, 1, 2]);
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_is_in_flight_and_gives_back_the_rest() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.clock.set(SystemClock.now());
    world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    receiver.otherwise(Answer::Hold);
    for sequence in 1..=3 {
        world.event(Some("t"), Some(intent), Some(sequence)).await;
    }
    let mut settings = World::settings();
    settings.timeout = LONG;
    // The stop is given while the first is held; then its receiver answers.
    world
        .running(settings, async {
            receiver.wait_for(1).await;
            receiver.release_soon(1);
        })
        .await;
    assert_eq!(receiver.count(), 1, "nothing new begins");
    let attempts = world.outcomes().await;
    assert_eq!((attempts.len(), attempts[0].outcome.as_str()), (1, "delivered"));
    let free: i64 = sqlx::query_scalar("select count(*) from amn.delivery where lease_until is null and attempts = 0")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(free, 2);
}

#[tokio::test]
async fn a_backlog_is_sent_whole_in_order_and_once() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.clock.set(SystemClock.now());
    world.endpoint(Some("t"), &receiver.url()).await;
    let mut intents = Vec::new();
    for _ in 0..40 {
        intents.push(world.intent("t").await);
    }
    for sequence in 1..=5 {
        for intent in &intents {
            world.event(Some("t"), Some(*intent), Some(sequence)).await;
        }
    }
    let requests = world.running(World::settings(), async { receiver.wait_for(200).await }).await;
    assert_eq!(requests.len(), 200);
    for (intent, seen) in crate::support::outbox::sequences(&requests) {
        assert_eq!(seen, [1, 2, 3, 4, 5], "{intent}");
    }
}

#[tokio::test]
async fn a_dead_endpoint_rests_spends_few_attempts_and_goes_on_when_it_is_back() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    for _ in 0..100 {
        world.event(Some("t"), None, None).await;
    }
    let dispatcher = world.dispatcher();
    receiver.otherwise(Answer::Status(503));
    assert_eq!(dispatcher.run_once().await.unwrap().retried, 16, "a width of deliveries found out");
    assert_eq!(dispatcher.run_once().await.unwrap().claimed, 0, "then it rests");
    for _ in 0..10 {
        world.clock.advance(10_000);
        assert_eq!(dispatcher.run_once().await.unwrap().retried, 1, "one at a time");
        assert_eq!(dispatcher.run_once().await.unwrap().claimed, 0);
    }
    receiver.otherwise(Answer::Status(200));
    world.clock.advance(10_000);
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 1);
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 16, "back at full width");
}
