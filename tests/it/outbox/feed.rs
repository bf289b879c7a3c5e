//! The feed: a cursor that is followed misses nothing.

use std::sync::Arc;

use amn_scanner::outbox::sequencer::Sequencer;
use amn_scanner::store::outbox::feed;
use tokio::sync::Notify;

use crate::support::outbox::World;

fn sequencer(world: &World) -> Sequencer {
    Sequencer::new(world.db.pool.clone(), Arc::new(Notify::new()))
}

async fn numbers(world: &World, tenant: Option<&str>, after: i64) -> Vec<(i64, String)> {
    let page = feed::page(&world.db.pool, tenant, after, 1_000).await.unwrap();
    page.iter().map(|event| (event.number, event.event.clone())).collect()
}

#[tokio::test]
async fn every_tenant_has_a_feed_of_its_own_numbered_without_gaps() {
    let world = World::new().await;
    for round in 0..3 {
        for tenant in [Some("a"), Some("b"), None] {
            world.clock.advance(1);
            world.event_named(&format!("e{round}"), tenant, None, None).await;
        }
        assert_eq!(sequencer(&world).run_once().await.unwrap(), 3);
    }
    let expected: Vec<_> = (0..3_i64).map(|round| (round + 1, format!("e{round}"))).collect();
    for tenant in [Some("a"), Some("b"), None] {
        assert_eq!(numbers(&world, tenant, 0).await, expected);
        assert_eq!(numbers(&world, tenant, 2).await, expected[2..]);
    }
    assert_eq!(numbers(&world, Some("c"), 0).await, []);
}

#[tokio::test]
async fn an_event_that_commits_late_is_numbered_late_and_found_by_the_cursor() {
    let world = World::new().await;
    let mut late = world.db.pool.begin().await.unwrap();
    world.insert_event(&mut late, "late", Some("a"), None, None).await;
    world.clock.advance(1);
    world.event_named("early", Some("b"), None, None).await;
    assert_eq!(sequencer(&world).run_once().await.unwrap(), 1);
    assert_eq!(numbers(&world, Some("a"), 0).await, []);
    late.commit().await.unwrap();
    world.event_named("later", Some("a"), None, None).await;
    sequencer(&world).run_once().await.unwrap();
    assert_eq!(numbers(&world, Some("a"), 0).await, [(1, "late".to_owned()), (2, "later".to_owned())]);
}

#[tokio::test]
async fn events_that_one_decision_told_of_an_intent_are_numbered_in_their_sequence() {
    let world = World::new().await;
    let intent = world.intent("a").await;
    let mut decision = world.db.pool.begin().await.unwrap();
    // Ids follow from content: their order says nothing.
    for sequence in [3, 1, 2] {
        let name = format!("e{sequence}");
        world.insert_event(&mut decision, &name, Some("a"), Some(intent), Some(sequence)).await;
    }
    decision.commit().await.unwrap();
    sequencer(&world).run_once().await.unwrap();
    let expected: Vec<_> = (1..=3_i64).map(|place| (place, format!("e{place}"))).collect();
    assert_eq!(numbers(&world, Some("a"), 0).await, expected);
}

#[tokio::test]
async fn daemons_that_number_at_once_leave_no_gap_and_no_number_twice() {
    let world = World::new().await;
    let mut transaction = world.db.pool.begin().await.unwrap();
    for _ in 0..1_200 {
        world.insert_event(&mut transaction, "e", None, None, None).await;
    }
    transaction.commit().await.unwrap();
    let unnumbered = "select count(*) from amn.event where feed_number is null";
    while sqlx::query_scalar::<_, i64>(unnumbered).fetch_one(&world.db.pool).await.unwrap() > 0 {
        let all = (sequencer(&world), sequencer(&world), sequencer(&world));
        let (one, two, three) = tokio::join!(all.0.run_once(), all.1.run_once(), all.2.run_once());
        one.and(two).and(three).unwrap();
    }
    let told: (i64, i64, i64) =
        sqlx::query_as("select min(feed_number), max(feed_number), count(distinct feed_number) from amn.event")
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
    assert_eq!(told, (1, 1_200, 1_200));
}
