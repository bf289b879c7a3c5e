//! Payments that come while nobody looks: by comment, in dollars, and to accounts that were never seen before.

use amn_core::id::IntentId;
use amn_rpc::EndpointConfig;
use amn_ton::address::Account;
use amn_ton::testkit::{Letter, Node, Outcome};

use super::ground::{self, Lives, PAYER, SHOP, WHOLE};
use super::scene::{TonScene, Way, all};

/// Two nodes of one history, a scene that has followed both to their beginning, and intents.
pub struct Missed {
    pub scene: TonScene,
    pub nodes: [Node; 2],
    intents: Vec<IntentId>,
    lives: Lives,
}

impl Missed {
    /// So many intents wait, and the two operators speak the usual dialects.
    pub async fn new(way: Way, intents: usize) -> Self {
        Self::asking(|nodes| all(way, &[&nodes[0], &nodes[1]]), intents).await
    }

    /// The same of these endpoints.
    pub async fn asking(endpoints: impl FnOnce(&[Node; 2]) -> Vec<EndpointConfig>, intents: usize) -> Self {
        let mut history = ground::history();
        let mut lives = Lives::default();
        lives.receive(&mut history, SHOP, &ground::letter(WHOLE, "long ago"), Outcome::Accepted);
        lives.receive(&mut history, ground::wallet(&SHOP), &ground::dollars(WHOLE, "long ago"), Outcome::Accepted);
        history.pass(3);
        let first = Node::serve(history).await.unwrap();
        let second = Node::share(first.history.clone()).await.unwrap();
        let nodes = [first, second];
        let mut scene = TonScene::reading(ground::network(ground::TWO), None, endpoints(&nodes)).await;
        let mut made = Vec::new();
        for number in 0..intents {
            let (symbol, to, reference) = match number % 3 {
                0 => ("TON", SHOP, Some(format!("text:order {number}"))),
                1 => ("USD", SHOP, Some(format!("text:order {number}"))),
                _ => ("TON", stall(number), None),
            };
            made.push(scene.intent(symbol, &to, reference.as_deref(), WHOLE).await);
        }
        scene.catch_up().await;
        Self { scene, nodes, intents: made, lives }
    }

    /// The network goes on for so many blocks, and every intent is paid in one of them, evenly.
    pub fn goes_on(&mut self, blocks: u32) {
        let mut history = self.nodes[0].history();
        let (mut paid, count) = (0, self.intents.len());
        for block in 0..blocks {
            let due = count * (block as usize + 1) / blocks as usize;
            while paid < due {
                let comment = format!("order {paid}");
                let (to, letter, outcome) = match paid % 3 {
                    0 => (SHOP, ground::letter(WHOLE, &comment), Outcome::Accepted),
                    1 => (ground::wallet(&SHOP), ground::dollars(WHOLE, &comment), Outcome::Accepted),
                    _ => (stall(paid), Letter::from(PAYER, u128::try_from(WHOLE).unwrap()), Outcome::Undeployed),
                };
                self.lives.receive(&mut history, to, &letter, outcome);
                paid += 1;
            }
            history.close();
        }
    }

    pub fn tip(&self) -> u64 {
        self.nodes[0].history().head().height.0
    }

    /// Two more blocks, so that there is something to look at.
    pub fn passes(&self) {
        self.nodes[0].history().pass(2);
    }

    pub async fn everything_is_confirmed(&mut self, what: &str) {
        let tip = self.tip();
        self.scene.reaches(tip).await;
        self.scene.catch_up().await;
        for (number, intent) in self.intents.iter().enumerate() {
            let events = self.scene.db.events(*intent).await;
            let log = || self.scene.log.text();
            assert_eq!(events, ["payment.detected", "payment.confirmed"], "{what}: payment {number}: {}", log());
        }
        assert_eq!(self.scene.db.deposits().await, i64::try_from(self.intents.len()).unwrap(), "{what}");
        assert_eq!(self.scene.db.halted().await, None, "{what}");
    }
}

/// The account of an intent that has one alone.
fn stall(number: usize) -> Account {
    let mut id = [0x80; 32];
    id[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
    Account::new(0, id)
}
