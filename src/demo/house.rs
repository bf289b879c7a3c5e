//! The house in which the story plays: a chain, the daemon, a backend, and the shop's orders.
//!
//! Law: nothing here sleeps in the hope that something has happened. It waits for the event, or fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use amn_core::money::Amount;
use serde_json::{Value, json};

use super::ground::Folder;
use super::timeline::{Actor, Mood, Timeline};
use super::words::{meaning, name, short, sums, text};
use crate::stage::StageError;
use crate::stage::anvil::Anvil;
use crate::stage::contracts;
use crate::stage::process::{Api, Daemon};
use crate::stage::receiver::{Heard, Receiver};
use crate::stage::stellar::{self, Ledgers, Money};
use crate::stage::ton::{self, Shards};

/// The EVM node's network.
const DEVNET: &str = "devnet";

/// Events come within milliseconds; after a crash the dead process's lease of 10 s has to run out first. A machine
/// under load gets six times that.
pub const TOLD_WITHIN: Duration = Duration::from_mins(1);

/// Where there is nothing to wait on (no event says "nothing happened"), we look again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(30);

/// What an order is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coin {
    Usdc,
    Eth,
    /// On Stellar.
    Stellar(Money),
    /// On TON.
    Ton(ton::Money),
}

impl Coin {
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Usdc | Self::Stellar(Money::Usdc) => "USDC",
            Self::Eth => "ETH",
            Self::Stellar(Money::Xlm) => "XLM",
            Self::Ton(ton::Money::Ton) => "TON",
            Self::Ton(ton::Money::Usdt) => "USDT",
        }
    }

    pub const fn decimals(self) -> u8 {
        match self {
            Self::Usdc | Self::Ton(ton::Money::Usdt) => 6,
            Self::Eth => 18,
            Self::Ton(ton::Money::Ton) => 9,
            Self::Stellar(_) => 7,
        }
    }

    /// As people write it: `12.5`.
    pub fn shown(self, units: u128) -> String {
        Amount::new(units).in_units_of(self.decimals())
    }

    /// With its symbol: `12.5 USDC`.
    pub fn named(self, units: u128) -> String {
        format!("{} {}", self.shown(units), self.symbol())
    }
}

/// An order of the shop, the intent that stands for it, and what the story says must be told of it.
#[derive(Debug)]
pub struct Order {
    pub name: &'static str,
    pub story: &'static str,
    pub id: String,
    pub address: String,
    /// What the API says a payer is to be told, where that is more than the address.
    pub pay_to: Value,
    pub coin: Coin,
    pub due: u128,
    /// What the backend must have been told, in order.
    pub expected: Vec<&'static str>,
    /// The status the story ends with, and what has settled by then.
    pub ends: (&'static str, u128),
}

impl Order {
    /// Its address on the EVM node.
    pub fn on_evm(&self) -> Result<Address, StageError> {
        self.address.parse().map_err(|error| StageError::because(&self.address, error))
    }
}

/// How the address is told apart from those of other orders.
fn whose(made: &Value) -> String {
    match made["reference"].as_str().map(|reference| reference.split_once(':').unwrap_or(("", reference))) {
        None => "at an address of this order alone".to_owned(),
        Some(("text", value)) => format!("at a shared account, by comment {value}"),
        Some((kind, value)) => format!("at a shared account, by {kind} {value}"),
    }
}

/// Which order is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct No(pub usize);

#[derive(Debug)]
pub struct House {
    pub chain: Anvil,
    /// The Stellar network, beside the EVM node.
    pub ledgers: Ledgers,
    /// And the TON network.
    pub shards: Shards,
    pub daemon: Daemon,
    pub receiver: Receiver,
    /// What the shop's backend calls: a key of its tenant.
    pub shop: Api,
    pub folder: Arc<Folder>,
    pub timeline: Timeline,
    pub payer: Address,
    pub usdc: Address,
    pub fake: Address,
    pub orders: Vec<Order>,
    /// What did not go as the story says.
    pub differences: Vec<String>,
    /// Between two blocks, so that a person can read.
    pub pace: Duration,
    /// How much of what the receiver heard has been shown.
    pub shown: usize,
}

impl House {
    pub fn tell(&mut self, actor: Actor, mood: Mood, what: &str, why: &str) {
        self.timeline.tell(actor, mood, what, why);
    }

    pub fn order(&self, no: No) -> &Order {
        &self.orders[no.0]
    }

    /// The shop asks for money: an intent over HTTP, with an address derived from the shop's own public key.
    pub async fn ask(
        &mut self,
        name: &'static str,
        story: &'static str,
        coin: Coin,
        due: u128,
        more: Value,
    ) -> Result<No, StageError> {
        let (network, asset) = match coin {
            Coin::Usdc => (DEVNET, format!("eip155:31337/erc20:{}", self.usdc)),
            Coin::Eth => (DEVNET, "eip155:31337/slip44:60".to_owned()),
            Coin::Stellar(money) => (stellar::NAME, self.ledgers.asset(money)),
            Coin::Ton(money) => (ton::NAME, self.shards.asset(money)),
        };
        let mut body = json!({"network": network, "asset": asset, "due": due.to_string(), "metadata": {"order": name}});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let made = self.shop.post("/v1/intents", body).await?;
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        let address = made["address"].as_str().map(str::to_owned);
        let address = address.ok_or_else(|| StageError(format!("an intent without an address: {made}")))?;
        let what = format!("asks {} for {name}, to {}", coin.named(due), short(&address));
        self.tell(Actor::Backend, Mood::Note, &what, &whose(&made));
        let (pay_to, expected, ends) = (made["pay_to"].clone(), Vec::new(), ("awaiting", 0));
        self.orders.push(Order { name, story, id, address, pay_to, coin, due, expected, ends });
        Ok(No(self.orders.len() - 1))
    }

    /// Money sets out for an order; it lands with the next block. The transaction's hash.
    pub async fn pay(&mut self, no: No, amount: u128, why: &str) -> Result<String, StageError> {
        let (coin, to, name) = (self.order(no).coin, self.order(no).on_evm()?, self.order(no).name);
        let tx = match coin {
            Coin::Stellar(_) | Coin::Ton(_) => return Err(StageError("a wallet of another chain".into())),
            Coin::Usdc => self.chain.send(self.payer, self.usdc, &contracts::transfer(to, amount), 0).await?,
            Coin::Eth => self.chain.send(self.payer, to, &[], amount).await?,
        };
        let what = format!("sends {} for {name} in {}", coin.named(amount), short(&tx));
        self.tell(Actor::Payer, Mood::Pays, &what, why);
        Ok(tx)
    }

    /// A block is made.
    pub async fn block(&mut self, why: &str) -> Result<(), StageError> {
        self.blocks(1, why).await
    }

    /// Blocks are made, one after the other.
    pub async fn blocks(&mut self, count: u64, why: &str) -> Result<(), StageError> {
        for made in 1..=count {
            self.chain_makes_a_block(if made == 1 { why } else { "" }).await?;
            self.pause().await;
        }
        Ok(())
    }

    /// A block is made, and nobody waits for it.
    pub async fn chain_makes_a_block(&mut self, why: &str) -> Result<(), StageError> {
        self.chain.mine(1).await?;
        let (height, hash) = self.tip().await?;
        self.timeline.height = height;
        self.tell(Actor::Chain, Mood::Block, &format!("block {height} {}", short(&hash)), why);
        Ok(())
    }

    /// Height and hash of the newest block.
    pub async fn tip(&self) -> Result<(u64, String), StageError> {
        let block = self.chain.rpc("eth_getBlockByNumber", json!(["latest", false])).await?;
        let number = block["number"].as_str().unwrap_or_default().trim_start_matches("0x").to_owned();
        let number = u64::from_str_radix(&number, 16).map_err(|e| StageError::because("a block's number", e))?;
        Ok((number, block["hash"].as_str().unwrap_or_default().to_owned()))
    }

    /// Lets a person read, and shows what comes meanwhile.
    pub async fn pause(&mut self) {
        let until = Instant::now() + self.pace;
        loop {
            self.show_heard();
            let left = until.saturating_duration_since(Instant::now());
            let shown = self.shown;
            if left.is_zero() || !self.receiver.until(left, |heard| heard.len() > shown).await {
                return;
            }
        }
    }

    /// The story says that this is told of the order next. Waits for it, showing everything that comes.
    pub async fn hears(&mut self, no: No, events: &[&'static str]) -> Result<(), StageError> {
        self.orders[no.0].expected.extend(events);
        let enough = self.order(no).expected.len();
        let until = Instant::now() + TOLD_WITHIN;
        while self.told(no).len() < enough {
            let (left, shown) = (until.saturating_duration_since(Instant::now()), self.shown);
            if !self.receiver.until(left, |heard| heard.len() > shown).await {
                let (name, expected) = (self.order(no).name, &self.order(no).expected);
                let told = self.told(no);
                return Err(StageError(format!(
                    "waited {} s: the story says that the backend hears {expected:?} of {name}, and it heard {told:?}",
                    TOLD_WITHIN.as_secs()
                )));
            }
            self.show_heard();
        }
        self.show_heard();
        Ok(())
    }

    /// Waits until the daemon has told the backend something, was refused, and has that on record.
    pub async fn failed_attempt(&mut self, before: usize) -> Result<(), StageError> {
        let until = Instant::now() + TOLD_WITHIN;
        if !self.receiver.until(TOLD_WITHIN, |heard| heard.len() > before).await {
            return Err(StageError("the backend was told nothing".into()));
        }
        self.show_heard();
        let id = self.receiver.heard().get(before).map(|heard| heard.id.clone()).unwrap_or_default();
        loop {
            let deliveries = self.shop.get(&format!("/v1/events/{id}/deliveries")).await?;
            if deliveries["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty()) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(StageError(format!("the refused attempt is not on record: {deliveries}")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// How an order must end.
    pub fn ends(&mut self, no: No, status: &'static str, settled: u128) {
        self.orders[no.0].ends = (status, settled);
    }

    /// What the backend took of an order, each event once, by its sequence.
    pub fn told(&self, no: No) -> Vec<String> {
        let id = &self.order(no).id;
        let bodies = self.receiver.delivered().into_iter().map(|heard| heard.json());
        let mut told: Vec<(u64, String)> = bodies
            .filter(|body| body["intent"]["id"] == **id)
            .map(|body| (body["sequence"].as_u64().unwrap_or(0), text(&body["event"])))
            .collect();
        told.sort();
        told.into_iter().map(|(_, event)| event).collect()
    }

    /// Waits until the daemon stands on the chain's newest block, by its hash.
    pub async fn caught_up(&mut self) -> Result<(), StageError> {
        let (height, hash) = self.tip().await?;
        self.reached(DEVNET, height, &hash).await
    }

    /// Waits until the daemon stands on this block of a network.
    pub async fn reached(&mut self, network: &str, height: u64, hash: &str) -> Result<(), StageError> {
        let until = Instant::now() + TOLD_WITHIN;
        loop {
            let network = self.shop.get(&format!("/v1/networks/{network}")).await?;
            if network["tip"]["hash"] == *hash {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(StageError(format!("the daemon does not reach block {height} {hash}: {}", network["tip"])));
            }
            let shown = self.shown;
            let _ = self.receiver.until(LOOK_AGAIN, |heard| heard.len() > shown).await;
            self.show_heard();
        }
    }

    /// Shows what the receiver heard since the last look.
    pub fn show_heard(&mut self) {
        let heard = self.receiver.heard();
        let mut taken: BTreeSet<String> =
            heard.iter().take(self.shown).filter(|h| h.status == 200).map(|h| h.id.clone()).collect();
        for one in heard.iter().skip(self.shown) {
            let first = one.status != 200 || taken.insert(one.id.clone());
            self.show(one, first);
        }
        self.shown = heard.len();
    }

    fn show(&mut self, heard: &Heard, first: bool) {
        let body = heard.json();
        let (mood, why) = meaning(&body);
        let order = name(&body["intent"]);
        let what = format!("{:<17}  {order:<6}  {}", heard.event, sums(&body));
        let what = what.trim_end();
        let at = heard.at;
        if !heard.signed {
            let why = "the signature does not hold: not believed";
            self.timeline.tell_at(at, Actor::Backend, Mood::Bad, what, why);
        } else if heard.status != 200 {
            let what = format!("{:<17}  {order:<6}  answers {}", heard.event, heard.status);
            let why = "a redeploy: it will be sent again";
            self.timeline.tell_at(at, Actor::Backend, Mood::Bad, &what, why);
        } else if first {
            self.timeline.tell_at(at, Actor::Backend, mood, what, &why);
        } else {
            self.timeline.tell_at(at, Actor::Backend, Mood::Note, what, "a webhook-id it knows: ignored");
        }
    }
}
