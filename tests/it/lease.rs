//! Who follows a network when several daemons could: one at a time, whatever their clocks say.

use std::time::Duration;

use amn_core::timestamp::Timestamp;
use amn_scanner::clock::Clock as _;
use amn_scanner::follower::{LEASE, Outcome};
use amn_scanner::store::{self, network};
use amn_scanner::supervisor::Supervisor;
use uuid::Uuid;

use crate::support::scene::Scene;

fn lease_ms() -> i64 {
    i64::try_from(LEASE.as_millis()).unwrap()
}

async fn take(scene: &Scene, holder: u128, at: Timestamp) -> bool {
    let until = Timestamp::from_millis(at.millis() + lease_ms());
    network::lease(scene.pool(), &scene.network(), Uuid::from_u128(holder), at, until).await.unwrap()
}

#[tokio::test]
async fn a_lease_is_one_daemons_until_its_time_is_over() {
    let scene = Scene::new().await;
    let now = Timestamp::from_millis(scene.clock.now().millis() + 10 * lease_ms());
    assert!(take(&scene, 1, now).await, "nobody renewed the one before");
    assert!(!take(&scene, 2, now).await);
    assert!(take(&scene, 1, now).await, "renewed by its holder");
    let later = |millis| Timestamp::from_millis(now.millis() + millis);
    assert!(!take(&scene, 2, later(lease_ms())).await);
    assert!(take(&scene, 2, later(lease_ms() + 1)).await);
    assert!(!take(&scene, 1, later(lease_ms() + 1)).await);
}

#[tokio::test]
async fn a_lease_from_a_clock_that_ran_ahead_keeps_nobody_out() {
    let scene = Scene::new().await;
    let now = Timestamp::from_millis(scene.clock.now().millis() + 10 * lease_ms());
    let a_day_ahead = Timestamp::from_millis(now.millis() + 86_400_000);
    assert!(take(&scene, 1, a_day_ahead).await);
    assert!(take(&scene, 2, now).await, "a lease that ends tomorrow is not believed");
    // Clocks that differ by less than a lease are both believed: it only ends a little later.
    assert!(!take(&scene, 1, Timestamp::from_millis(now.millis() - lease_ms())).await);
    assert!(take(&scene, 1, Timestamp::from_millis(now.millis() - lease_ms() - 1)).await);
}

#[tokio::test]
async fn a_daemon_whose_clock_is_set_right_says_so_in_its_lease() {
    let mut scene = Scene::new().await;
    let now = scene.clock.now();
    scene.clock.advance(86_400_000);
    scene.follower.round().await.unwrap();
    scene.clock.set(now);
    scene.follower.round().await.unwrap();
    let mut other = scene.restarted();
    assert_eq!(other.round().await.unwrap(), Outcome::Standby, "the lease that ends tomorrow was replaced");
}

#[tokio::test]
async fn a_graceful_stop_gives_the_lease_up() {
    let scene = Scene::new().await;
    let leases = || sqlx::query_scalar::<_, i64>("select count(*) from amn.lease").fetch_one(scene.pool());
    let stopped = scene.restarted();
    // The scene's own follower holds the lease and is gone without a word; time passes.
    scene.clock.advance(2 * lease_ms());
    let supervisor = Supervisor::new();
    let stop = supervisor.tasks().stop();
    let running = tokio::spawn(stopped.run(stop.clone()));
    let now = store::moment(scene.clock.now());
    let taken = async {
        let question = "select exists (select from amn.lease where until > $1)";
        while !sqlx::query_scalar::<_, bool>(question).bind(now).fetch_one(scene.pool()).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken).await.expect("it takes the lease");
    assert_eq!(leases().await.unwrap(), 1);
    stop.request();
    running.await.unwrap().unwrap();
    assert_eq!(leases().await.unwrap(), 0, "another daemon need not wait");
}
