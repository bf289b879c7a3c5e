//! A play on Stellar: two operators that serve one chain, the daemon in a process of its own, and a receiver.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use amn_soroban::address::Place;
use amn_soroban::testkit::{History, Node, Tx};
use serde_json::{Value, json};

use super::ground;
use crate::support::household::{Household, Ways};

pub struct StellarPlay {
    /// Of the operators alpha and beta.
    pub nodes: [Node; 2],
    pub house: Household,
}

impl Deref for StellarPlay {
    type Target = Household;

    fn deref(&self) -> &Household {
        &self.house
    }
}

impl DerefMut for StellarPlay {
    fn deref_mut(&mut self) -> &mut Household {
        &mut self.house
    }
}

/// What a play may change of the usual configuration.
pub struct Setting {
    pub history: History,
    pub require: &'static str,
    /// More lines for `[webhooks]`.
    pub webhooks: String,
    /// More lines at the end.
    pub rest: String,
    /// What stands between the daemon and the receiver: given the receiver's address, the URL to send to.
    pub receiver_url: Option<fn(&str) -> String>,
}

impl Default for Setting {
    fn default() -> Self {
        let mut history = ground::history();
        history.pass(3);
        Self { history, require: ground::TWO, webhooks: String::new(), rest: String::new(), receiver_url: None }
    }
}

impl StellarPlay {
    pub async fn with(setting: Setting) -> Self {
        let history = Arc::new(Mutex::new(setting.history));
        let share = || Node::share(history.clone());
        let nodes = [share().await.unwrap(), share().await.unwrap()];
        let Setting { require, webhooks, rest, receiver_url, .. } = setting;
        let house = Household::with(Ways { webhooks, rest, receiver_url }, |folder| {
            let file = folder.join("stories.toml");
            std::fs::write(&file, ground::file(require)).unwrap();
            format!(
                r#"
                [networks.{network}]
                file = "{file}"
                poll_ms = 50
                quiet_poll_ms = 0
                [[networks.{network}.endpoints]]
                name = "alpha"
                url = "{alpha}"
                operator = "alpha"
                [[networks.{network}.endpoints]]
                name = "beta"
                url = "{beta}"
                operator = "beta"
                "#,
                network = ground::NETWORK,
                file = file.display(),
                alpha = nodes[0].url(),
                beta = nodes[1].url(),
            )
        });
        let house = house.await;
        let play = Self { nodes, house };
        play.caught_up().await;
        play
    }

    /// Closes one ledger with these transactions.
    pub fn close(&self, transactions: &[Tx]) {
        self.nodes[0].history().close(transactions);
    }

    /// An intent with these terms, for XLM unless they say otherwise.
    pub async fn intent(&self, more: Value) -> Value {
        let mut terms = json!({ "asset": ground::asset("XLM"), "address": ground::SHOP.spell().as_str() });
        let Value::Object(more) = more else { panic!("terms are an object: {more}") };
        terms.as_object_mut().unwrap().extend(more);
        self.create(ground::NETWORK, terms).await
    }

    /// An intent that has its account alone.
    pub async fn exclusive(&self, symbol: &str, to: Place) -> Value {
        let terms = json!({"asset": ground::asset(symbol), "address": to.spell().as_str(), "reference": "none"});
        self.intent(terms).await
    }

    /// Waits until everything that the newest ledger means has been decided, with both operators behind it.
    pub async fn caught_up(&self) {
        self.wait("the daemon does not catch up", async || self.stands_at(&self.head()).await).await;
    }

    /// The same, and until nothing waits to be delivered.
    pub async fn quiet(&self) {
        self.caught_up().await;
        self.delivered().await;
    }

    fn head(&self) -> String {
        self.nodes[0].history().tip().unwrap().at.hash.to_string()
    }
}
