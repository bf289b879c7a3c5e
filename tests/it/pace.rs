//! How often a network is looked at: seldom where nothing is awaited or a bell rings, and never too seldom to matter.

use std::sync::Arc;
use std::time::Duration;

use amn_core::engine::Command;
use amn_scanner::follower::pace::{Pace, Rest, Rhythm};
use amn_scanner::follower::{Follower, Pulse, Woken};
use amn_scanner::store::{self, network};
use amn_scanner::supervisor::Supervisor;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::support::fake_chain::{FakeChain, pays};
use crate::support::scene::Scene;

/// For blocks of a second.
const RHYTHM: Rhythm =
    Rhythm { usual: Duration::from_millis(250), belled: Duration::from_secs(2), quiet: Some(Duration::from_secs(10)) };

/// A scene whose chain makes a block a second, by the scene's own clock.
struct Living {
    scene: Scene,
    follower: Follower<FakeChain>,
    woken: Woken,
    /// Milliseconds since the beginning.
    passed: i64,
    bell: bool,
}

impl Living {
    async fn new() -> Self {
        let scene = Scene::new().await;
        scene.chain.finalize(0, 0);
        // The scene's own follower is gone without a word: its lease ends.
        scene.clock.advance(30_000);
        let follower = scene.restarted().at_pace(RHYTHM, Arc::default(), Pulse::default());
        Self { scene, follower, woken: Woken::Going, passed: 0, bell: false }
    }

    /// Lives so many seconds; how often it looked at the chain meanwhile.
    async fn live(&mut self, seconds: i64) -> u64 {
        let (asked, end) = (self.scene.chain.heads_asked(), self.passed + seconds * 1_000);
        while self.passed < end {
            let Some(rest) = self.follower.step(self.woken).await.unwrap() else {
                self.woken = Woken::Going;
                continue;
            };
            self.rest(rest, end);
        }
        self.scene.chain.heads_asked() - asked
    }

    /// Rests as long as it was told, or until the bell rings at the next block.
    fn rest(&mut self, rest: Rest, end: i64) {
        let length = i64::try_from(rest.length.as_millis()).unwrap();
        let next_block = 1_000 - self.passed % 1_000;
        let rung = self.bell && rest.pace != Pace::Quiet && next_block <= length;
        self.woken = if rung { Woken::Bell } else { Woken::Timer };
        let slept = if rung { next_block } else { length }.min(end - self.passed);
        for _ in 0..(self.passed + slept) / 1_000 - self.passed / 1_000 {
            self.scene.chain.mine(Vec::new());
        }
        self.passed += slept;
        self.scene.clock.advance(slept);
    }

    async fn tip(&self) -> i64 {
        sqlx::query_scalar("select tip_height from amn.network").fetch_one(self.scene.pool()).await.unwrap()
    }
}

#[tokio::test]
async fn a_network_where_nothing_is_awaited_is_looked_at_seldom_and_followed_all_the_same() {
    let mut living = Living::new().await;
    let quiet = living.live(120).await;
    // Each look that finds something new looks again until there is nothing more.
    assert!((12..=26).contains(&quiet), "{quiet} looks in two minutes");
    assert!(living.tip().await >= 110, "nothing is left out");
    let intent = living.scene.intent("shop", 100).await;
    let awaited = living.live(120).await;
    assert!(awaited >= 480, "{awaited} looks in two minutes");
    living.scene.command(Command::Cancel { intent }).await.unwrap();
    let quiet = living.live(120).await;
    assert!((12..=26).contains(&quiet), "{quiet} looks in two minutes");
}

#[tokio::test]
async fn under_a_bell_that_rings_looks_are_rare_and_when_it_falls_silent_they_are_not() {
    let mut living = Living::new().await;
    living.scene.intent("shop", 100).await;
    living.bell = true;
    living.live(10).await;
    let belled = living.live(100).await;
    assert!((100..=105).contains(&belled), "{belled} looks for a hundred blocks");
    living.bell = false;
    let before = living.tip().await;
    // Two waits of two seconds show that the bell is silent; then it is as if there were none.
    let silent = living.live(100).await;
    assert!(silent >= 380, "{silent} looks in a hundred seconds");
    assert!(living.tip().await >= before + 99);
    living.bell = true;
    living.live(10).await;
    let belled = living.live(100).await;
    assert!((100..=105).contains(&belled), "{belled} looks: the bell is believed again");
}

#[tokio::test]
async fn money_that_comes_late_to_a_quiet_network_is_found_only_later() {
    let mut living = Living::new().await;
    let intent = living.scene.intent("shop", 100).await;
    living.live(2).await;
    living.scene.command(Command::Cancel { intent }).await.unwrap();
    living.live(30).await;
    living.scene.chain.mine(vec![pays("late", "shop", 100)]);
    living.live(11).await;
    assert_eq!(living.scene.events(intent).await.last().unwrap(), "payment.late");
    // While that is not settled the network is not quiet.
    let pace = living.follower.step(Woken::Timer).await.unwrap().unwrap().pace;
    assert_eq!(pace, Pace::Usual);
}

#[tokio::test]
async fn what_may_still_change_is_awaited() {
    let mut scene = Scene::new().await;
    let awaits = async |scene: &Scene| network::awaits(scene.pool(), &scene.network()).await.unwrap();
    assert!(!awaits(&scene).await, "nothing was ever asked for");
    let intent = scene.intent("shop", 100).await;
    assert!(awaits(&scene).await, "an open intent");
    scene.chain.mine(vec![pays("pays", "shop", 100)]);
    scene.chain.mine_empty(3);
    scene.catch_up().await;
    assert_eq!(scene.status(intent).await, "confirmed");
    assert!(awaits(&scene).await, "its block is not final and may still leave the chain");
    let tip = scene.chain.tip().at.height.0;
    scene.chain.finalize(tip, tip - 1);
    scene.catch_up().await;
    assert!(!awaits(&scene).await, "all is final");
    scene.chain.mine(vec![pays("more", "shop", 50)]);
    scene.catch_up().await;
    assert!(awaits(&scene).await, "a deposit that is not settled");
}

/// A network that is looked at once in an hour where nothing is awaited, and runs.
struct Asleep {
    scene: Scene,
    wake: Arc<Notify>,
    supervisor: Supervisor,
    running: tokio::task::JoinHandle<Result<(), store::StoreError>>,
}

impl Asleep {
    async fn new() -> Self {
        let scene = Scene::new().await;
        scene.chain.mine_empty(5);
        scene.clock.advance(30_000);
        let (wake, pulse) = (Arc::<Notify>::default(), Pulse::default());
        let rhythm = Rhythm { quiet: Some(Duration::from_hours(1)), ..RHYTHM };
        let follower = scene.restarted().at_pace(rhythm, wake.clone(), pulse.clone());
        let supervisor = Supervisor::new();
        let running = tokio::spawn(follower.run(supervisor.tasks().stop()));
        until(async || pulse.rest().is_some_and(|rest| rest.pace == Pace::Quiet)).await;
        Self { scene, wake, supervisor, running }
    }

    async fn stop(self) {
        self.supervisor.tasks().stop().request();
        self.running.await.unwrap().unwrap();
    }
}

/// Waits until it holds; the bound is for a test that fails.
async fn until(holds: impl AsyncFn() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it comes true");
}

async fn detected(pool: &PgPool) -> bool {
    sqlx::query_scalar("select exists (select from amn.intent where status = 'detected')")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_new_intent_wakes_a_quiet_network_at_once() {
    let asleep = Asleep::new().await;
    asleep.scene.intent("shop", 100).await;
    asleep.scene.chain.mine(vec![pays("pays", "shop", 100)]);
    asleep.wake.notify_one();
    until(async || detected(asleep.scene.pool()).await).await;
    asleep.stop().await;
}

#[tokio::test]
async fn an_intent_that_another_process_made_wakes_it_within_a_second() {
    let asleep = Asleep::new().await;
    asleep.scene.intent("shop", 100).await;
    asleep.scene.chain.mine(vec![pays("pays", "shop", 100)]);
    until(async || detected(asleep.scene.pool()).await).await;
    asleep.stop().await;
}

#[tokio::test]
async fn a_quiet_network_keeps_its_lease() {
    let asleep = Asleep::new().await;
    let lease = async || -> time::OffsetDateTime {
        sqlx::query_scalar("select until from amn.lease").fetch_one(asleep.scene.pool()).await.unwrap()
    };
    let before = lease().await;
    let asked = asleep.scene.chain.heads_asked();
    asleep.scene.clock.advance(8_000);
    until(async || lease().await > before).await;
    assert_eq!(asleep.scene.chain.heads_asked(), asked, "without a look at the chain");
    asleep.stop().await;
}
