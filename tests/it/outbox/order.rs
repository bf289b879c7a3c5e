//! Order: events of one intent reach one endpoint in their order, and delay nobody else.

use crate::support::outbox::{HOUR, World, sequences};
use crate::support::receiver::{Answer, Receiver};

#[tokio::test]
async fn events_of_an_intent_that_wait_together_arrive_in_their_order() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    let (one, other) = (world.intent("t").await, world.intent("t").await);
    for sequence in 1..=5 {
        world.event(Some("t"), Some(one), Some(sequence)).await;
        world.event(Some("t"), Some(other), Some(sequence)).await;
    }
    let outcome = world.dispatcher().run_once().await.unwrap();
    assert_eq!((outcome.claimed, outcome.delivered, outcome.recorded), (10, 10, 10));
    let seen = sequences(&receiver.requests());
    assert_eq!(seen[&one.to_string()], [1, 2, 3, 4, 5]);
    assert_eq!(seen[&other.to_string()], [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_failing_event_holds_its_successors_and_nobody_else() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    let (failing, other) = (world.intent("t").await, world.intent("t").await);
    let dispatcher = world.dispatcher();
    world.event(Some("t"), Some(failing), Some(1)).await;
    receiver.next([Answer::Status(503)]);
    assert_eq!(dispatcher.run_once().await.unwrap().retried, 1);

    world.event(Some("t"), Some(failing), Some(2)).await;
    world.event(Some("t"), Some(other), Some(1)).await;
    // Until the retry is due, only the other intent's event goes.
    let held = sqlx::query("update amn.delivery set next_at = next_at + interval '1 minute' where attempts = 1");
    held.execute(&world.db.pool).await.unwrap();
    assert_eq!(world.drain(&dispatcher).await, 1);

    world.clock.advance(62_000);
    assert_eq!(world.drain(&dispatcher).await, 2);
    let seen = sequences(&receiver.requests());
    assert_eq!(seen[&failing.to_string()], [1, 1, 2]);
    assert_eq!(seen[&other.to_string()], [1]);
}

#[tokio::test]
async fn when_the_first_of_several_fails_the_rest_go_back_untried() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    for sequence in 1..=3 {
        world.event(Some("t"), Some(intent), Some(sequence)).await;
    }
    receiver.next([Answer::Status(200), Answer::Status(500)]);
    let outcome = world.dispatcher().run_once().await.unwrap();
    assert_eq!((outcome.delivered, outcome.retried, outcome.released), (1, 1, 1));
    let untried: i64 =
        sqlx::query_scalar("select count(*) from amn.delivery where attempts = 0 and lease_until is null")
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
    assert_eq!(untried, 1, "what was given back costs no attempt and is free to take");
}

#[tokio::test]
async fn a_predecessor_that_is_a_dead_letter_holds_nobody() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    world.event(Some("t"), Some(intent), Some(1)).await;
    world.event(Some("t"), Some(intent), Some(2)).await;
    receiver.next([Answer::Status(400)]);
    let outcome = world.dispatcher().run_once().await.unwrap();
    assert_eq!((outcome.dead, outcome.delivered), (1, 1));
}

#[tokio::test]
async fn a_predecessor_holds_for_one_hour_since_its_first_attempt() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    let dispatcher = world.dispatcher();
    let first = world.event(Some("t"), Some(intent), Some(1)).await;
    receiver.next([Answer::Status(503)]);
    dispatcher.run_once().await.unwrap();
    let second = world.event(Some("t"), Some(intent), Some(2)).await;
    let later = "update amn.delivery set next_at = next_at + interval '1 day' where attempts = 1";
    sqlx::query(later).execute(&world.db.pool).await.unwrap();

    world.clock.advance(HOUR - 1);
    assert_eq!(dispatcher.run_once().await.unwrap().claimed, 0);
    world.clock.advance(1);
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 1);
    let ids: Vec<_> = receiver.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids, [first.to_string(), second.to_string()]);
}

#[tokio::test]
async fn a_redriven_event_goes_before_its_successors_that_still_wait() {
    // Its delivery is younger than theirs: with room for one at a time, theirs must not be in the way.
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let endpoint = world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    let mut settings = World::settings();
    settings.per_endpoint_concurrency = 1;
    let guard = amn_scanner::outbox::guard::Guard::new(amn_scanner::outbox::guard::GuardPolicy::development());
    let dispatcher = world.dispatcher_with(settings, guard);
    world.event(Some("t"), Some(intent), Some(1)).await;
    receiver.next([Answer::Status(400)]);
    dispatcher.run_once().await.unwrap();
    world.event(Some("t"), Some(intent), Some(2)).await;
    let what = amn_scanner::store::outbox::redrive::Redrive {
        endpoint: Some(uuid::Uuid::from_u128(endpoint.0)),
        ..Default::default()
    };
    let mut connection = world.db.pool.acquire().await.unwrap();
    let made = amn_scanner::store::outbox::redrive::redrive(&mut connection, &what, world.now(), 10).await.unwrap();
    assert_eq!(made, 1);
    assert_eq!(world.drain(&dispatcher).await, 2);
    assert_eq!(sequences(&receiver.requests())[&intent.to_string()], [1, 1, 2]);
}
