//! A play on TON: two operators that serve one chain, the daemon in a process of its own, and a receiver.

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use amn_ton::address::Account;
use amn_ton::testkit::{History, Letter, Node, Outcome};
use serde_json::{Value, json};

use super::ground::{self, Lives};
use super::scene::{Way, url};
use crate::support::household::{Household, Ways};

pub struct TonPlay {
    /// Of the operators alpha and beta.
    pub nodes: [Node; 2],
    lives: Mutex<Lives>,
    pub house: Household,
}

impl Deref for TonPlay {
    type Target = Household;

    fn deref(&self) -> &Household {
        &self.house
    }
}

impl DerefMut for TonPlay {
    fn deref_mut(&mut self) -> &mut Household {
        &mut self.house
    }
}

/// What a play may change of the usual configuration.
pub struct Setting {
    pub history: History,
    pub way: Way,
    pub require: &'static str,
    pub ways: Ways,
}

impl Default for Setting {
    fn default() -> Self {
        let mut history = ground::history();
        history.pass(3);
        Self { history, way: Way::ByAccount, require: ground::TWO, ways: Ways::default() }
    }
}

impl TonPlay {
    pub async fn with(setting: Setting) -> Self {
        let Setting { history, way, require, ways } = setting;
        let history = Arc::new(Mutex::new(history));
        let share = || Node::share(history.clone());
        let nodes = [share().await.unwrap(), share().await.unwrap()];
        let house = Household::with(ways, |folder| {
            let file = folder.join("stories.toml");
            std::fs::write(&file, ground::file(require)).unwrap();
            let network = ground::NETWORK;
            let mut lines =
                format!("[networks.{network}]\nfile = \"{}\"\npoll_ms = 50\nquiet_poll_ms = 0\n", file.display());
            for (number, (node, operator)) in nodes.iter().zip(["alpha", "beta"]).enumerate() {
                for kind in way.dialects(number) {
                    write!(
                        lines,
                        "[[networks.{network}.endpoints]]\nname = \"{operator}-{kind}\"\nkind = \"{kind}\"\n\
                         url = \"{}\"\noperator = \"{operator}\"\n",
                        url(node, kind)
                    )
                    .unwrap();
                }
            }
            lines
        });
        let play = Self { house: house.await, nodes, lives: Mutex::default() };
        play.caught_up().await;
        play
    }

    /// The account receives a message; it is in the next block.
    pub fn receive(&self, to: Account, letter: &Letter, outcome: Outcome) {
        self.lives.lock().unwrap().receive(&mut self.nodes[0].history(), to, letter, outcome);
    }

    /// Closes so many masterchain blocks.
    pub fn pass(&self, blocks: u32) {
        self.nodes[0].history().pass(blocks);
    }

    /// An intent with these terms, for a TON to the shop unless they say otherwise.
    pub async fn intent(&self, more: Value) -> Value {
        let mut terms = json!({ "asset": ground::asset("TON"), "address": ground::spell(&ground::SHOP).as_str(), "due": "1000000000" });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        terms.as_object_mut().unwrap().extend(more);
        self.create(ground::NETWORK, terms).await
    }

    /// Waits until everything that the newest block means has been decided, with both operators behind it.
    pub async fn caught_up(&self) {
        self.wait("the daemon does not catch up", async || self.stands_at(&self.head()).await).await;
    }

    fn head(&self) -> String {
        self.nodes[0].history().head().hash.to_string()
    }
}
