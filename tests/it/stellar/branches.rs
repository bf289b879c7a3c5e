//! An operator with a chain of its own, in which every hash holds: it pays a thief, and goes on. On a network whose
//! ledgers are final nothing of it may ever be stood on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amn_core::id::IntentId;
use amn_scanner::follower::Outcome;
use amn_soroban::address::Place;
use amn_soroban::networks::Organisations;
use amn_soroban::testkit::{History, Node, Tx, Validator, plain};
use stellar_xdr::{Asset, Memo};

use super::ground::{self, PAYER, SHOP, WHOLE};
use super::scene::{StellarScene, endpoint};

const THIEF: Place = Place::Account([0x66; 32]);

/// A step of the chain in the time of the machine.
const STEP: Duration = Duration::from_secs(5);

/// Ledgers on both branches.
const STEPS: usize = 8;

struct Branches {
    scene: StellarScene,
    honest: Arc<Mutex<History>>,
    liar: Node,
    _honest_ones: [Node; 2],
    paid: IntentId,
    stolen: IntentId,
    last: Outcome,
}

impl Branches {
    /// The liar stands at this place among so many operators. Its ledgers are signed by nobody we know.
    async fn begin(place: usize, operators: usize, organisations: bool) -> Self {
        let mut history = ground::history();
        history.pass(3);
        let honest = Arc::new(Mutex::new(history.clone()));
        let honest_ones = [Node::share(honest.clone()).await.unwrap(), Node::share(honest.clone()).await.unwrap()];
        let liar = Node::serve(history.closed_by([Validator::new(0x66)])).await.unwrap();
        let others = honest_ones.iter().zip(["b", "c"]).take(operators - 1);
        let mut endpoints: Vec<_> = others.map(|(node, name)| endpoint(name, &node.url(), name)).collect();
        endpoints.insert(place, endpoint("a", &liar.url(), "a"));
        let mut network = ground::network(ground::TWO);
        if !organisations {
            network.organisations = Organisations::default();
        }
        let mut scene = StellarScene::reading(network, None, endpoints).await;
        let last = scene.catch_up().await;
        let paid = scene.intent("XLM", SHOP, Some("id:1"), WHOLE).await;
        let stolen = scene.intent("XLM", THIEF, None, WHOLE).await;
        Self { scene, honest, liar, _honest_ones: honest_ones, paid, stolen, last }
    }

    /// From here on there are two branches: one pays the shop, the other one the thief.
    async fn part(&mut self) {
        let pay = Tx::of(PAYER).memo(Memo::Id(1)).pay(plain(SHOP), &Asset::Native, WHOLE);
        let steal = Tx::of(PAYER).pay(plain(THIEF), &Asset::Native, WHOLE);
        self.honest.lock().unwrap().close(&[pay]);
        self.liar.history().close(&[steal]);
        self.look().await;
        for _ in 0..STEPS {
            self.honest.lock().unwrap().pass(1);
            self.liar.history().pass(1);
            self.look().await;
        }
    }

    async fn look(&mut self) {
        self.scene.time.advance(STEP);
        for _ in 0..2 {
            self.last = self.scene.catch_up().await;
        }
    }

    async fn nothing_is_stolen(&self, what: &str) {
        assert_eq!(self.scene.db.events(self.stolen).await, Vec::<String>::new(), "{what}: {}", self.scene.log.text());
        assert_eq!(self.scene.db.halted().await, None, "{what}: one liar stops no network");
        let distrusted = self.scene.pool.endpoints().iter().filter(|of| of.health().distrusted.is_some());
        let honest: Vec<_> = distrusted.map(|of| of.name()).filter(|name| *name != "a").collect();
        assert!(honest.is_empty(), "{what}: {honest:?} are honest");
    }

    fn liar_is_distrusted(&self) -> bool {
        self.scene.pool.endpoints().iter().any(|of| of.name() == "a" && of.health().distrusted.is_some())
    }

    async fn is_confirmed(&self) -> bool {
        self.scene.db.events(self.paid).await == ["payment.detected", "payment.confirmed"]
    }

    /// The liar gives in, and its time of distrust passes.
    async fn gives_in(&mut self, what: &str) {
        *self.liar.history() = self.honest.lock().unwrap().clone();
        self.scene.time.advance(Duration::from_mins(11));
        for _ in 0..3 {
            self.honest.lock().unwrap().pass(1);
            self.liar.history().clone_from(&self.honest.lock().unwrap());
            self.look().await;
        }
        self.nothing_is_stolen(what).await;
        assert!(self.is_confirmed().await, "{what}: {:?}\n{}", self.last, self.scene.log.text());
    }
}

#[tokio::test]
async fn two_honest_operators_outweigh_a_liar_wherever_it_stands_and_true_money_is_credited() {
    for organisations in [true, false] {
        for place in 0..3 {
            let what = format!("at {place}, organisations: {organisations}");
            let mut branches = Branches::begin(place, 3, organisations).await;
            branches.part().await;
            branches.nothing_is_stolen(&what).await;
            assert!(branches.is_confirmed().await, "{what}: {:?}\n{}", branches.last, branches.scene.log.text());
            branches.gives_in(&what).await;
        }
    }
}

#[tokio::test]
async fn one_against_one_the_validators_tell_who_is_right() {
    for place in 0..2 {
        let what = format!("at {place}");
        let mut branches = Branches::begin(place, 2, true).await;
        branches.part().await;
        branches.nothing_is_stolen(&what).await;
        assert!(branches.liar_is_distrusted(), "{what}: {:?}\n{}", branches.last, branches.scene.log.text());
        let events = branches.scene.db.events(branches.paid).await;
        assert_eq!(events, ["payment.detected"], "{what}: the policy asks for a second operator");
        branches.gives_in(&what).await;
    }
}

#[tokio::test]
async fn one_against_one_without_validators_nobody_is_believed_until_one_gives_in() {
    for place in 0..2 {
        let what = format!("at {place}");
        let mut branches = Branches::begin(place, 2, false).await;
        let stood = branches.scene.db.tip().await;
        branches.part().await;
        branches.nothing_is_stolen(&what).await;
        assert_eq!(branches.scene.db.tip().await, stood, "{what}: neither branch is stood on");
        assert!(matches!(branches.last, Outcome::Waiting(_)), "{what}: and it is said: {:?}", branches.last);
        branches.gives_in(&what).await;
    }
}
