//! A TON network in a box: invented masterchain blocks with true account chains in them, and two operators' APIs that
//! serve them as toncenter and tonapi do. Nothing in it is worth anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use amn_core::block::NetworkId;
use amn_ton::address::{self, Account};
use amn_ton::decode::Jetton;
use amn_ton::networks::TonNetwork;
use amn_ton::testkit::{History, Letter, Life, Minter, Node, Outcome, Payload, internal_transfer, notification, text};

use super::StageError;

/// The network's id, and the stem of its file.
pub const NAME: &str = "ton-demo";

/// The number that each of its blocks says: nobody else's.
const GLOBAL_ID: i32 = -217;

/// Its first masterchain block: a short number, for a narrow column.
const FIRST: u32 = 5_000;

/// Who pays, who makes the network's dollar, and who makes one that only has the name.
const PAYER: Account = Account::new(0, [0xfa; 32]);
const MASTER: Account = Account::new(0, [0xd5; 32]);
const PRETENDER: Account = Account::new(0, [0xfe; 32]);

/// What a wallet is given to work with, in nanotons.
const FOR_THE_WORK: u128 = 50_000_000;

/// What is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Money {
    Ton,
    Usdt,
}

/// An API that the daemon is told of.
#[derive(Debug)]
pub struct Face {
    pub name: &'static str,
    pub kind: &'static str,
    pub operator: &'static str,
    pub url: String,
}

/// The network.
#[derive(Debug)]
pub struct Shards {
    history: Arc<Mutex<History>>,
    nodes: [Node; 2],
    network: TonNetwork,
    file: String,
    lives: HashMap<Account, Life>,
    transfers: u64,
}

impl Shards {
    /// Starts it with a few empty blocks, the first of this time in milliseconds.
    pub async fn start(milliseconds: u64) -> Result<Self, StageError> {
        let failed = |what: &dyn std::fmt::Display| StageError::because("the TON network", what);
        let file = file();
        let network = TonNetwork::parse(&NetworkId::new(NAME), &format!("{NAME}.toml"), &file);
        let network = network.map_err(|error| failed(&error))?;
        let seconds = u32::try_from(milliseconds / 1_000).map_err(|error| failed(&error))?;
        let mut history = History::beginning(GLOBAL_ID, FIRST, seconds);
        for jetton in network.registry.jettons.values() {
            let decimals = network.facts.asset(&jetton.listed.asset).map_or(0, |asset| asset.decimals);
            history.minters.push(Minter::of(jetton, decimals));
        }
        history.pass(3);
        let history = Arc::new(Mutex::new(history));
        let nodes = [
            Node::share(history.clone()).await.map_err(|error| failed(&error))?,
            Node::share(history.clone()).await.map_err(|error| failed(&error))?,
        ];
        Ok(Self { history, nodes, network, file, lives: HashMap::new(), transfers: 0 })
    }

    /// The network's file, as the daemon reads it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where its two operators answer: one has an indexer and nodes, the other an API of its own.
    #[must_use]
    pub fn faces(&self) -> [Face; 3] {
        let [up, down] = &self.nodes;
        [
            Face { name: "up-index", kind: "toncenter-v3", operator: "up", url: up.v3() },
            Face { name: "up-nodes", kind: "toncenter-v2", operator: "up", url: up.v2() },
            Face { name: "down", kind: "tonapi", operator: "down", url: down.tonapi() },
        ]
    }

    /// An asset by its CAIP-19 name.
    #[must_use]
    pub fn asset(&self, money: Money) -> String {
        let assets = &self.network.facts.assets;
        let asset = assets.iter().find(|asset| asset.native == (money == Money::Ton));
        asset.map(|asset| asset.id.to_string()).unwrap_or_default()
    }

    /// A wallet pays what it was shown: an address, and a comment if one is asked for. It lands with the next block.
    pub fn pay(&mut self, to: &str, comment: Option<&str>, money: Money, amount: u128) -> Result<(), StageError> {
        let shop = self.read(to)?;
        match money {
            Money::Ton => {
                let letter = Letter::from(PAYER, amount);
                let letter = if let Some(comment) = comment { letter.saying(text(comment)) } else { letter };
                // A wallet that nobody has deployed yet keeps what comes.
                self.receive(shop, &letter, Outcome::Undeployed);
            }
            Money::Usdt => {
                let master = self.jetton()?.master;
                let (payers, shops) = (self.wallet(&master, &PAYER)?, self.wallet(&master, &shop)?);
                // Nobody pays for a notification: many wallets do not.
                let letter = self.transfer(payers, amount, comment, 0);
                self.receive(shops, &letter, Outcome::Accepted);
            }
        }
        Ok(())
    }

    /// Somebody pays in a jetton that calls itself the dollar, and tells the shop of it in the dollar's words. The hash of
    /// the transaction by which the shop is told.
    pub fn pay_in_a_fake(&mut self, to: &str, comment: &str, amount: u128) -> Result<String, StageError> {
        let shop = self.read(to)?;
        let (payers, shops) = (self.wallet(&PRETENDER, &PAYER)?, self.wallet(&PRETENDER, &shop)?);
        let letter = self.transfer(payers, amount, Some(comment), 1);
        self.receive(shops, &letter, Outcome::Accepted);
        let told = notification(self.transfers, amount, &PAYER, &Payload::Apart(text(comment)));
        Ok(self.receive(shop, &Letter::from(shops, 1).saying(told), Outcome::NoGas))
    }

    fn transfer(&mut self, from: Account, amount: u128, comment: Option<&str>, told: u128) -> Letter {
        self.transfers += 1;
        let payload = comment.map_or(Payload::None, |comment| Payload::Apart(text(comment)));
        Letter::from(from, FOR_THE_WORK).saying(internal_transfer(self.transfers, amount, Some(&PAYER), told, &payload))
    }

    fn receive(&mut self, account: Account, letter: &Letter, outcome: Outcome) -> String {
        let life = self.lives.entry(account).or_insert_with(|| Life::of(account));
        let mut history = self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        history.receive(life, letter, outcome).at.hash.to_string()
    }

    fn read(&self, to: &str) -> Result<Account, StageError> {
        address::parse(to, self.network.realm).map_err(|error| StageError::because("the payer's wallet", error))
    }

    fn jetton(&self) -> Result<&Jetton, StageError> {
        let jetton = self.network.registry.jettons.get(&MASTER);
        jetton.map(AsRef::as_ref).ok_or_else(|| StageError("the jetton is not listed".to_owned()))
    }

    /// The wallet of an owner under a master; the pretender's wallets are made of the same code.
    fn wallet(&self, master: &Account, owner: &Account) -> Result<Account, StageError> {
        let wallet = self.jetton()?.form.wallet(master, owner);
        wallet.ok_or_else(|| StageError("an owner without a wallet".to_owned()))
    }

    /// The masterchain commits a block; its number and hash.
    pub fn close(&mut self) -> (u64, String) {
        let mut history = self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = history.close();
        (at.height.0, at.hash.to_string())
    }

    /// Number and hash of the newest block.
    #[must_use]
    pub fn tip(&self) -> (u64, String) {
        let history = self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = history.head();
        (at.height.0, at.hash.to_string())
    }
}

/// The network's own money, and a dollar whose wallets' code lies in the masterchain's library.
fn file() -> String {
    format!(
        r#"chain = "tvm:{GLOBAL_ID}"
addresses = "testnet"
block_time_ms = 400

[native]
symbol = "TON"
min_amount = "1000000"

[[jetton]]
symbol = "USDT"
master = "{MASTER}"
decimals = 6
layout = "governed"
wallet_library = "{library}"
min_amount = "10000"

[require]
confirmations = 2
inclusion = "proven"
operators = 2
"#,
        library = "5b".repeat(32),
    )
}
