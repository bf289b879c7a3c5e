//! A chain's life as a script: the same seed tells the same story, block by block, to whoever watches.

use alloy_primitives::Address;
use amn_scanner::stage::anvil::Anvil;
use amn_scanner::stage::contracts;
use amn_scanner::stage::process::Api;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::gate::Gate;
use super::play::{Play, address};

pub const PAYERS: usize = 6;
pub const INTENTS: usize = 14;

#[derive(Debug, Clone, Copy)]
pub struct Payment {
    payer: usize,
    intent: usize,
    amount: u128,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// One block with these payments.
    Block(Vec<Payment>),
    /// The newest blocks are replaced, with payments at these offsets, and one more is mined.
    Reorg { depth: u64, branch: Vec<(Payment, u64)> },
    /// A person cancels or accepts an intent.
    Ask { intent: usize, what: &'static str },
}

/// What a script may contain.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub steps: usize,
    pub depth_max: u64,
    pub commands: bool,
}

/// The script of a seed.
pub fn script(seed: u64, kind: Kind) -> Vec<Step> {
    let mut dice = StdRng::seed_from_u64(seed);
    // What the newest blocks hold, oldest first; a reorg takes from its end.
    let mut blocks: Vec<Vec<Payment>> = Vec::new();
    let mut steps = Vec::new();
    for _ in 0..kind.steps {
        let step = match dice.random_range(0..10) {
            0 | 1 if !blocks.is_empty() => reorg(&mut dice, &mut blocks, kind.depth_max),
            2 if kind.commands && dice.random_bool(0.5) => {
                let what = if dice.random_bool(0.5) { "cancel" } else { "accept" };
                Step::Ask { intent: dice.random_range(0..INTENTS), what }
            }
            _ => {
                let count = dice.random_range(0..4);
                let payments: Vec<Payment> = (0..count).map(|_| payment(&mut dice)).collect();
                blocks.push(payments.clone());
                Step::Block(payments)
            }
        };
        steps.push(step);
    }
    steps
}

fn payment(dice: &mut StdRng) -> Payment {
    let amount = [400_000, 600_000, 1_000_000, 1_500_000][dice.random_range(0..4)];
    Payment { payer: dice.random_range(0..PAYERS), intent: dice.random_range(0..INTENTS), amount }
}

fn reorg(dice: &mut StdRng, blocks: &mut Vec<Vec<Payment>>, depth_max: u64) -> Step {
    let depth = dice.random_range(1..=depth_max.min(blocks.len() as u64));
    let old = blocks.split_off(blocks.len() - usize::try_from(depth).unwrap());
    let mut branch: Vec<(Payment, u64)> = Vec::new();
    for (offset, payments) in (0..).zip(old) {
        for payment in payments {
            match dice.random_range(0..4) {
                // Gone.
                0 => {}
                // Elsewhere, and before what was there.
                1 => branch.insert(0, (payment, dice.random_range(0..depth))),
                // Something else in its place.
                2 => branch.push((Payment { amount: payment.amount + 1, ..payment }, offset)),
                _ => branch.push((payment, offset)),
            }
        }
    }
    // A payer's transactions are mined in the order of their nonces.
    branch.sort_by_key(|(_, offset)| *offset);
    for offset in 0..depth {
        blocks.push(branch.iter().filter(|(_, at)| *at == offset).map(|(payment, _)| *payment).collect());
    }
    blocks.push(Vec::new());
    Step::Reorg { depth, branch }
}

/// Who acts in the script.
pub struct Cast {
    pub payers: Vec<Address>,
    pub intents: Vec<Value>,
}

impl Cast {
    /// Funds the payers and makes the intents; some end within the script, one is canceled before it begins.
    pub async fn of(play: &Play, lasting: i64) -> Self {
        let mut payers = Vec::new();
        for index in 1..=PAYERS {
            let payer = play.chain.account(index).await.unwrap();
            play.call(play.token, &contracts::mint(payer, 1_000_000_000_000)).await;
            payers.push(payer);
        }
        play.mine(1).await;
        let now = play.chain.time().await.unwrap();
        let mut intents = Vec::new();
        for number in 0..i64::try_from(INTENTS).unwrap() {
            let ends = (number % 3 == 0).then(|| rfc3339(now + 2 + lasting * number / 20));
            let terms = json!({"metadata": {"n": number}, "expires_at": ends, "tolerance": "10"});
            intents.push(play.intent(terms).await);
        }
        play.ask(&intents[1], "cancel").await;
        play.quiet().await;
        Self { payers, intents }
    }
}

/// What a step needs of a play, beside the daemon.
pub struct Hands<'a> {
    pub chain: &'a Anvil,
    pub gate: &'a Gate,
    pub token: Address,
    pub api: Api,
    pub cast: &'a Cast,
}

impl Hands<'_> {
    pub async fn act(&self, step: &Step) {
        match step {
            Step::Block(payments) => {
                let shut = self.gate.shut().await;
                for payment in payments {
                    let (from, data) = (self.cast.payers[payment.payer], self.call(payment));
                    self.chain.send(from, self.token, &data, 0).await.unwrap();
                }
                self.chain.mine(1).await.unwrap();
                drop(shut);
            }
            Step::Reorg { depth, branch } => {
                let request = |payment: &Payment| {
                    Anvil::request(self.cast.payers[payment.payer], self.token, &self.call(payment), 0)
                };
                let branch: Vec<(Value, u64)> = branch.iter().map(|(p, offset)| (request(p), *offset)).collect();
                let shut = self.gate.shut().await;
                self.chain.reorg(*depth, &branch).await.unwrap();
                self.chain.mine(1).await.unwrap();
                drop(shut);
            }
            Step::Ask { intent, what } => self.ask(&self.cast.intents[*intent], what).await,
        }
    }

    fn call(&self, payment: &Payment) -> Vec<u8> {
        contracts::transfer(address(&self.cast.intents[payment.intent]), payment.amount)
    }

    /// Asks until it is answered: who was killed may have done it, and then refuses to do it twice.
    async fn ask(&self, intent: &Value, what: &str) {
        let path = format!("/v1/intents/{}/{what}", intent["id"].as_str().unwrap());
        while let Err(error) = self.api.ask_for(&path).await {
            if error.0.contains("409") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

pub fn rfc3339(seconds: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}
