//! Endpoints: who hears what, and what a caller may do with them.

use amn_core::id::{EndpointId, EventId};
use amn_scanner::clock::Ids as _;
use amn_scanner::store::outbox::endpoints::{self, Scope};
use amn_scanner::store::outbox::enqueue;
use uuid::Uuid;

use crate::support::outbox::World;
use crate::support::receiver::Receiver;

const URL: &str = "https://hooks.example.com/";

/// Which endpoints have a delivery of the event.
async fn hearers(world: &World, event: EventId) -> Vec<EndpointId> {
    let sql = "select endpoint_id from amn.delivery where event_id = $1 order by endpoint_id";
    let ids: Vec<Uuid> =
        sqlx::query_scalar(sql).bind(Uuid::from_u128(event.0)).fetch_all(&world.db.pool).await.unwrap();
    ids.iter().map(|id| EndpointId(id.as_u128())).collect()
}

#[tokio::test]
async fn an_event_is_heard_by_the_endpoints_of_its_tenant_that_want_it() {
    let world = World::new().await;
    let all = world.endpoint(Some("t"), URL).await;
    let (some, _) = world.endpoint_for(Some("t"), URL, Some(&["payment.confirmed"])).await;
    let paused = world.endpoint(Some("t"), URL).await;
    let deleted = world.endpoint(Some("t"), URL).await;
    let other = world.endpoint(Some("other"), URL).await;
    let operator = world.endpoint(None, URL).await;
    assert!(endpoints::pause(&world.db.pool, Scope::All, paused, "holidays").await.unwrap());
    let mut connection = world.db.pool.acquire().await.unwrap();
    assert!(endpoints::delete(&mut connection, Scope::All, deleted, world.now()).await.unwrap());

    let event = async |name, tenant| world.event_named(name, tenant, None, None).await;
    let (confirmed, detected) =
        (event("payment.confirmed", Some("t")).await, event("payment.detected", Some("t")).await);
    assert_eq!(hearers(&world, confirmed).await, [all, some, paused]);
    assert_eq!(hearers(&world, detected).await, [all, paused]);
    assert_eq!(hearers(&world, event("network.halted", None).await).await, [operator]);
    assert_eq!(hearers(&world, event("payment.detected", Some("other")).await).await, [other]);
    assert_eq!(hearers(&world, event("payment.detected", Some("mute")).await).await, []);
    assert_eq!(enqueue(&mut connection, &[Uuid::from_u128(confirmed.0)], world.now()).await.unwrap(), 0, "a repeat");
}

#[tokio::test]
async fn unmatched_money_of_a_tenant_that_does_not_listen_is_told_to_the_operator() {
    let world = World::new().await;
    let operator = world.endpoint(None, URL).await;
    world.endpoint_for(Some("half"), URL, Some(&["payment.confirmed"])).await;
    let listening = world.endpoint(Some("t"), URL).await;
    let event = async |name, tenant| world.event_named(name, Some(tenant), None, None).await;
    for name in ["deposit.unmatched", "deposit.reversed"] {
        assert_eq!(hearers(&world, event(name, "mute").await).await, [operator]);
        assert_eq!(hearers(&world, event(name, "half").await).await, [operator]);
        assert_eq!(hearers(&world, event(name, "t").await).await, [listening]);
    }
}

#[tokio::test]
async fn a_decision_that_rolls_back_tells_nobody() {
    let world = World::new().await;
    world.endpoint(Some("t"), URL).await;
    let mut transaction = world.db.pool.begin().await.unwrap();
    let event = world.insert_event(&mut transaction, "payment.detected", Some("t"), None, None).await;
    assert_eq!(enqueue(&mut transaction, &[Uuid::from_u128(event.0)], world.now()).await.unwrap(), 1);
    transaction.rollback().await.unwrap();
    assert_eq!((world.count("delivery").await, world.count("event").await), (0, 0));
}

#[tokio::test]
async fn a_test_event_goes_to_its_endpoint_alone_whatever_it_listens_to() {
    let (world, receiver, other) = (World::new().await, Receiver::start().await, Receiver::start().await);
    let (endpoint, _) = world.endpoint_for(Some("t"), &receiver.url(), Some(&["payment.confirmed"])).await;
    world.endpoint(Some("t"), &other.url()).await;
    let mut connection = world.db.pool.acquire().await.unwrap();
    let id = EventId(world.ids.next());
    let stranger = endpoints::test(&mut connection, Scope::Tenant("x"), endpoint, id, world.now()).await.unwrap();
    assert!(!stranger);
    assert!(endpoints::test(&mut connection, Scope::Tenant("t"), endpoint, id, world.now()).await.unwrap());
    assert_eq!(world.dispatcher().run_once().await.unwrap().delivered, 1);
    assert_eq!((receiver.count(), other.count()), (1, 0));
    assert!(receiver.requests()[0].text().contains(r#""event":"endpoint.test""#));
}

#[tokio::test]
async fn a_tenant_sees_and_moves_only_its_own_endpoints() {
    let world = World::new().await;
    let (ours, theirs) = (world.endpoint(Some("t"), URL).await, world.endpoint(Some("other"), URL).await);
    let operators = world.endpoint(None, URL).await;
    let listed = async |scope, after| {
        let page = endpoints::list(&world.db.pool, scope, after, 2).await.unwrap();
        page.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(Scope::Tenant("t"), None).await, [ours]);
    assert_eq!(listed(Scope::All, None).await, [ours, theirs]);
    assert_eq!(listed(Scope::All, Some(theirs)).await, [operators]);

    let (us, secret, pool) = (Scope::Tenant("t"), world.secret(), &world.db.pool);
    for foreign in [theirs, operators] {
        assert!(!endpoints::pause(pool, us, foreign, "").await.unwrap());
        assert!(!endpoints::resume(pool, us, foreign).await.unwrap());
        assert!(!endpoints::rotate_secret(pool, us, foreign, &secret, world.now()).await.unwrap());
        assert!(!endpoints::delete(&mut pool.acquire().await.unwrap(), us, foreign, world.now()).await.unwrap());
    }
}

#[tokio::test]
async fn a_deleted_endpoint_leaves_no_deliveries_and_no_secret() {
    let world = World::new().await;
    let endpoint = world.endpoint(Some("t"), URL).await;
    world.event(Some("t"), None, None).await;
    let mut connection = world.db.pool.acquire().await.unwrap();
    assert!(endpoints::delete(&mut connection, Scope::All, endpoint, world.now()).await.unwrap());
    assert!(!endpoints::delete(&mut connection, Scope::All, endpoint, world.now()).await.unwrap());
    assert_eq!(world.count("delivery").await, 0);
    let secret: String = sqlx::query_scalar("select secret from amn.endpoint").fetch_one(&world.db.pool).await.unwrap();
    assert_eq!(secret, "");
}
