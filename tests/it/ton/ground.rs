//! A network of the stories: what its file says, who appears on it, and the money that they send.

use amn_core::block::{Address, NetworkId};
use amn_ton::address::{Account, Realm};
use amn_ton::networks::TonNetwork;
use amn_ton::testkit::{History, Letter, Life, Made, Minter, Outcome, Payload, internal_transfer, text};

pub const NETWORK: &str = "stories";

/// The main network's number: so that addresses and nodes of test networks can be told apart from it.
pub const GLOBAL_ID: i32 = -239;

pub const SHOP: Account = Account::new(0, [0x51; 32]);
/// Never deployed: the first payment finds nothing there, and stays.
pub const STALL: Account = Account::new(0, [0x52; 32]);
pub const PAYER: Account = Account::new(0, [0xfa; 32]);
pub const OTHER: Account = Account::new(0, [0x07; 32]);
/// Of the jetton that is listed, a dollar.
pub const MASTER: Account = Account::new(0, [0x3a; 32]);
/// Of one that is not.
pub const FAKE_MASTER: Account = Account::new(0, [0x3b; 32]);

/// A nanoton is the least; a TON is so many, and a dollar of the stories too.
pub const WHOLE: i64 = 1_000_000_000;

/// What two operators say is believed, as on the main network.
pub const TWO: &str = r#"{ inclusion = "proven", operators = 2 }"#;

/// The code of the dollar's wallets, by its name in the library.
const WALLET_CODE: &str = "57011e5d0f7a11e557011e5d0f7a11e557011e5d0f7a11e557011e5d0f7a11e5";

/// The network's file, asking for so much.
pub fn file(require: &str) -> String {
    format!(
        r#"
        chain = "tvm:{GLOBAL_ID}"
        addresses = "mainnet"
        block_time_ms = 400
        rewind_operators = 2
        require = {require}

        [native]
        symbol = "TON"
        min_amount = "1000000"

        [[jetton]]
        symbol = "USD"
        master = "{MASTER}"
        decimals = 9
        layout = "standard"
        wallet_library = "{WALLET_CODE}"
        min_amount = "10000"
        "#
    )
}

pub fn network(require: &str) -> TonNetwork {
    TonNetwork::parse(&NetworkId::new(NETWORK), "stories.toml", &file(require)).unwrap()
}

/// The id of an asset of the network, by its symbol.
pub fn asset(symbol: &str) -> String {
    let facts = network(TWO).facts;
    facts.assets.iter().find(|asset| asset.symbol == symbol).unwrap().id.to_string()
}

/// An account's wallet of the dollar, or of the jetton of another master with the same code.
pub fn wallet_of(master: &Account, owner: &Account) -> Account {
    network(TWO).registry.jettons[&MASTER].form.wallet(master, owner).unwrap()
}

pub fn wallet(owner: &Account) -> Account {
    wallet_of(&MASTER, owner)
}

pub fn spell(account: &Account) -> Address {
    account.spell(Realm::Mainnet)
}

/// The bytes that a row knows an address by.
pub fn raw(at: &Address) -> Option<Vec<u8>> {
    amn_ton::address::parse(at.as_str(), Realm::Mainnet).ok().map(|account| account.raw().to_vec())
}

/// A message with TON and a comment.
pub fn letter(amount: i64, comment: &str) -> Letter {
    Letter::from(PAYER, u128::try_from(amount).unwrap()).saying(text(comment))
}

/// What a wallet is told when so many dollars come in, with a comment inline as exchanges write it.
pub fn dollars(amount: i64, comment: &str) -> Letter {
    let payload = Payload::Inline(text(comment));
    let amount = u128::try_from(amount).unwrap();
    Letter::from(wallet(&PAYER), 50_000_000).saying(internal_transfer(0, amount, Some(&PAYER), 1, &payload))
}

/// Payments happen to accounts one after another; this remembers each one's chain.
#[derive(Debug, Clone, Default)]
pub struct Lives(std::collections::BTreeMap<Account, Life>);

impl Lives {
    /// The account receives a message now; it is in the next block.
    pub fn receive(&mut self, history: &mut History, to: Account, letter: &Letter, outcome: Outcome) {
        let life = self.0.entry(to).or_insert_with(|| Life::of(to));
        history.receive(life, letter, outcome);
    }

    /// An account's life so far.
    pub fn of(&self, account: &Account) -> Life {
        self.0.get(account).cloned().unwrap_or_else(|| Life::of(*account))
    }

    /// What would come next in an account's chain if it received this; it is in no history.
    pub fn would_receive(&self, history: &History, to: Account, letter: &Letter, outcome: Outcome) -> Made {
        let mut life = self.of(&to);
        if let Some(tip) = history.tip() {
            life.wait_until(tip.block.end_lt, history.now());
        }
        life.receive(letter, outcome)
    }
}

/// The chain with its first block, whose masters answer questions.
pub fn history() -> History {
    listing(History::new(GLOBAL_ID))
}

/// The same, begun in this second.
pub fn history_from(time: u32) -> History {
    listing(History::beginning(GLOBAL_ID, 70_000_000, time))
}

fn listing(mut history: History) -> History {
    let dollar = &network(TWO).registry.jettons[&MASTER];
    history.minters.push(Minter::of(dollar, 9));
    history
}
