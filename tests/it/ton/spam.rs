//! Advertising: a nanoton each, with a comment. It pays nobody, and it is counted.

use amn_ton::testkit::{Letter, Node, Outcome, text};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::ground::{self, Lives, PAYER, SHOP, WHOLE};
use super::scene::{TonScene, Way, all};

/// So much advertising of one block is put aside; the rest of it is passed over.
pub const KEPT_OF_A_BLOCK: u64 = 20;

/// What this thread has counted since it was made.
pub struct Counted {
    handle: PrometheusHandle,
    _guard: metrics::LocalRecorderGuard<'static>,
}

impl Counted {
    pub fn here() -> Self {
        // Of this thread alone, as is the runtime of a test.
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        Self { handle: recorder.handle(), _guard: metrics::set_default_local_recorder(recorder) }
    }

    /// What was seen and credits nobody, of this kind.
    pub fn seen(&self, kind: &str) -> u64 {
        let text = self.handle.render();
        let of_kind =
            |line: &&str| line.starts_with("amn_observations_total{") && line.contains(&format!("\"{kind}\""));
        text.lines().filter(of_kind).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

#[tokio::test]
async fn two_hundred_nanotons_with_a_comment_pay_nobody_and_are_counted() {
    for way in Way::BOTH {
        let counted = Counted::here();
        let mut history = ground::history();
        history.pass(3);
        let first = Node::serve(history).await.unwrap();
        let second = Node::share(first.history.clone()).await.unwrap();
        let mut scene = TonScene::reading(ground::network(ground::TWO), None, all(way, &[&first, &second])).await;
        let intent = scene.intent("TON", &SHOP, Some("text:order 1"), WHOLE).await;
        let mut lives = Lives::default();
        // Four blocks of fifty, each with what the shop waits for or advertises itself by.
        for block in 0..4 {
            let mut history = first.history();
            for number in 0..50 {
                let says = if number % 2 == 0 { "TG: @LiveFeed".to_owned() } else { "order 1".to_owned() };
                let letter = Letter::from(PAYER, 1).saying(text(&says));
                lives.receive(&mut history, SHOP, &letter, Outcome::NoGas);
            }
            if block == 2 {
                lives.receive(&mut history, SHOP, &ground::letter(WHOLE, "order 1"), Outcome::Accepted);
            }
            history.close();
        }
        let tip = first.history().head().height.0;
        scene.reaches(tip).await;
        scene.catch_up().await;
        assert_eq!(scene.db.events(intent).await, ["payment.detected", "payment.confirmed"], "{way:?}");
        assert_eq!(scene.db.deposits().await, 1, "{way:?}: nobody else is paid");
        assert_eq!(counted.seen("dust"), 4 * KEPT_OF_A_BLOCK, "{way:?}");
        assert_eq!(scene.db.count("select count(*) from amn.observation").await, 0, "{way:?}: it fills no table");
    }
}
