//! Leases: whoever dies with a delivery in hand loses it to another, and comes back too late to matter.

use amn_core::timestamp::Timestamp;
use amn_scanner::store::outbox::deliveries::{self, Claim, End, Finished};
use uuid::Uuid;

use crate::support::outbox::World;
use crate::support::receiver::{Answer, Receiver};

#[tokio::test]
async fn a_daemon_killed_in_flight_is_followed_by_another_with_the_same_id_and_bytes() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    receiver.next([Answer::Hang]);
    {
        let killed = world.dispatcher();
        tokio::select! {
            _ = killed.run_once() => panic!("the receiver does not answer"),
            _ = receiver.wait_for(1) => {}
        }
    }
    let heir = world.dispatcher();
    assert_eq!(heir.run_once().await.unwrap().claimed, 0, "the lease still holds");
    world.wait_until_due().await;
    assert_eq!(heir.run_once().await.unwrap().delivered, 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].id(), &requests[0].body), (requests[1].id(), &requests[1].body));
}

#[tokio::test]
async fn what_a_zombie_records_changes_nothing() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    let stale = Uuid::from_u128(1);
    let lease_until = Timestamp::from_millis(world.now().millis() + 1_000);
    let claim = Claim { id: stale, now: world.now(), lease_until, most: 10, per_endpoint: 10, rooms: &[] };
    let held = deliveries::claim(&world.db.pool, &claim).await.unwrap();
    assert_eq!(held.len(), 1);
    let record = |end| Finished {
        id: held[0].id,
        endpoint: held[0].endpoint,
        claim: stale,
        end,
        at: world.now(),
        duration_ms: 1,
        status_code: Some(200),
        error: None,
        response: None,
    };
    let dead = || End::Dead { reason: "rejected: status 410".to_owned(), pause: true };

    world.clock.advance(1_000);
    receiver.next([Answer::Status(500)]);
    assert_eq!(world.dispatcher().run_once().await.unwrap().retried, 1);
    for end in [End::Delivered, End::Retry { at: world.now() }, dead(), End::Released] {
        assert_eq!(deliveries::record(&world.db.pool, &[record(end)]).await.unwrap(), 0);
    }
    assert_eq!(
        (world.count("delivery").await, world.count("attempt").await, world.count("dead_letter").await),
        (1, 1, 0)
    );
    let active: bool =
        sqlx::query_scalar("select status = 'active' from amn.endpoint").fetch_one(&world.db.pool).await.unwrap();
    assert!(active);

    world.wait_until_due().await;
    assert_eq!(world.dispatcher().run_once().await.unwrap().delivered, 1);
    assert_eq!(deliveries::record(&world.db.pool, &[record(dead())]).await.unwrap(), 0);
    assert_eq!(world.count("dead_letter").await, 0);
}

#[tokio::test]
async fn two_daemons_share_the_work_and_send_nothing_twice() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    let intents = [world.intent("t").await, world.intent("t").await, world.intent("t").await];
    for sequence in 1..=10 {
        for intent in intents {
            world.event(Some("t"), Some(intent), Some(sequence)).await;
        }
    }
    let (one, two) = (world.dispatcher(), world.dispatcher());
    while world.count("delivery").await > 0 {
        let (one, two) = tokio::join!(one.run_once(), two.run_once());
        one.unwrap();
        two.unwrap();
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 30);
    for (intent, seen) in crate::support::outbox::sequences(&requests) {
        assert!(seen.iter().copied().eq(1..=10), "{intent}: {seen:?}");
    }
}
