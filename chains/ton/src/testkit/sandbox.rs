//! What the network's own executor made of payments, as it was written down in `fixtures/ton/sandbox`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amn_core::block::{Hash, NetworkId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::address::{self, Account, Realm};
use crate::jetton::Layout;
use crate::networks::TonNetwork;
use crate::transaction::Link;

/// The number of the invented network that the plays are of.
pub const GLOBAL_ID: i32 = -5;

/// When the first of them happens: unix seconds.
pub const BEGINS: u32 = 1_795_000_000;

/// What happens before a play's first step.
pub const BEFORE: &str = "before";

/// A story as the executor played it, and what it says of the accounts in the end.
#[derive(Clone, Debug)]
pub struct Play {
    pub title: String,
    pub steps: Vec<String>,
    pub people: Vec<Person>,
    pub masters: Vec<Master>,
    /// In the order of the chain.
    pub transactions: Vec<Played>,
}

/// Somebody who takes part.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub account: Account,
    /// `active`, `uninit` or `nonexist`.
    pub state: String,
    pub balance: u128,
    /// By the jetton's symbol: what the master says is his wallet, and what that holds.
    pub wallets: BTreeMap<String, (Account, u128)>,
}

/// What a master says of its jetton.
#[derive(Clone, Debug)]
pub struct Master {
    pub symbol: String,
    pub decimals: u8,
    pub layout: Layout,
    pub account: Account,
    pub supply: u128,
    pub admin: Account,
    /// Where the wallets' code lies in the network's library: its hash there.
    pub wallet_library: Option<Hash>,
    /// A bag of cells, as it answers.
    pub wallet_code: Vec<u8>,
    pub wallet_code_hash: Hash,
    pub content: Vec<u8>,
}

/// A transaction as the executor made it.
#[derive(Clone, Debug)]
pub struct Played {
    pub step: String,
    pub account: Account,
    pub at: Link,
    pub now: u32,
    /// How far the account got, in the executor's words.
    pub course: String,
    pub fees: u128,
    /// What the account holds after it.
    pub balance: u128,
    /// The raw transaction, a bag of cells.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct File {
    title: String,
    steps: Vec<String>,
    accounts: Vec<PersonEntry>,
    masters: Vec<MasterEntry>,
    transactions: Vec<Entry>,
}

#[derive(Deserialize)]
struct PersonEntry {
    name: String,
    account: String,
    state: String,
    balance: String,
    wallets: BTreeMap<String, WalletEntry>,
}

#[derive(Deserialize)]
struct WalletEntry {
    address: String,
    balance: String,
}

#[derive(Deserialize)]
struct MasterEntry {
    symbol: String,
    decimals: u8,
    layout: Layout,
    master: String,
    supply: String,
    admin: String,
    wallet_library: Option<String>,
    wallet_code: String,
    wallet_code_hash: String,
    content: String,
}

#[derive(Deserialize)]
struct Entry {
    step: String,
    account: String,
    lt: String,
    hash: String,
    now: u32,
    course: String,
    fees: String,
    balance: String,
    boc: String,
}

impl Play {
    /// The play of that name.
    pub fn load(name: &str) -> Result<Self, String> {
        let path = folder().join(format!("{name}.json"));
        let wrong = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let file: File = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Self::of(file).map_err(wrong)
    }

    fn of(file: File) -> Result<Self, String> {
        Ok(Self {
            title: file.title,
            steps: file.steps,
            people: file.accounts.into_iter().map(PersonEntry::read).collect::<Result<_, _>>()?,
            masters: file.masters.into_iter().map(MasterEntry::read).collect::<Result<_, _>>()?,
            transactions: file.transactions.into_iter().map(Entry::read).collect::<Result<_, _>>()?,
        })
    }

    /// What happens in a step.
    ///
    /// # Panics
    /// Where nothing does.
    #[must_use]
    pub fn step(&self, name: &str) -> Vec<&Played> {
        let played: Vec<_> = self.transactions.iter().filter(|played| played.step == name).collect();
        assert!(!played.is_empty(), "nothing happens in {name:?} of {:?}", self.title);
        played
    }

    /// # Panics
    /// Where nobody is called so.
    #[must_use]
    pub fn person(&self, name: &str) -> &Person {
        let known = self.people.iter().find(|person| person.name == name);
        known.unwrap_or_else(|| panic!("nobody is called {name:?} in {:?}", self.title))
    }

    #[must_use]
    pub fn account(&self, name: &str) -> Account {
        self.person(name).account
    }

    /// # Panics
    /// Where there is no such jetton.
    #[must_use]
    pub fn master(&self, symbol: &str) -> &Master {
        let known = self.masters.iter().find(|master| master.symbol == symbol);
        known.unwrap_or_else(|| panic!("no {symbol:?} in {:?}", self.title))
    }

    /// The file of the network that this is of: its jettons are listed, the forged ones are not.
    #[must_use]
    pub fn network_file(&self) -> String {
        let jettons: Vec<_> = self.masters.iter().map(|master| self.jetton(master)).collect();
        format!(
            "# An invented network: what happens on it was played by fixtures/ton/generator.\n\
             chain = \"tvm:{GLOBAL_ID}\"\naddresses = \"testnet\"\nblock_time_ms = 400\nrewind_operators = 2\n\n\
             [native]\nsymbol = \"TON\"\nmin_amount = \"10\"\n{}\n\
             [require]\ninclusion = \"proven\"\noperators = 2\n",
            jettons.concat()
        )
    }

    fn jetton(&self, master: &Master) -> String {
        let code = match &master.wallet_library {
            Some(hash) => format!("wallet_library = \"{hash}\""),
            None => format!("wallet_code = \"{}\"", STANDARD.encode(&master.wallet_code)),
        };
        let layout = match master.layout {
            Layout::Standard => "standard",
            Layout::Governed => "governed",
        };
        let (symbol, shop) = (&master.symbol, self.person("shop"));
        let example = shop.wallets.get(symbol).map_or_else(String::new, |(wallet, _)| {
            format!("example_owner = \"{}\"\nexample_wallet = \"{wallet}\"\n", shop.account)
        });
        format!(
            "\n[[jetton]]\nsymbol = \"{symbol}\"\nmaster = \"{}\"\ndecimals = {}\nlayout = \"{layout}\"\n{code}\n\
             {example}min_amount = \"1\"\n",
            master.account, master.decimals
        )
    }

    /// The network of that file.
    ///
    /// # Panics
    /// Where it is refused: the masters and our own code do not agree on whose wallet is where.
    #[must_use]
    pub fn network(&self) -> TonNetwork {
        let id = NetworkId::new("plays");
        TonNetwork::parse(&id, "network.toml", &self.network_file()).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl PersonEntry {
    fn read(self) -> Result<Person, String> {
        let wallet = |(symbol, entry): (String, WalletEntry)| {
            Ok((symbol, (account(&entry.address)?, number("balance", &entry.balance)?)))
        };
        Ok(Person {
            account: account(&self.account)?,
            balance: number("balance", &self.balance)?,
            wallets: self.wallets.into_iter().map(wallet).collect::<Result<_, String>>()?,
            name: self.name,
            state: self.state,
        })
    }
}

impl MasterEntry {
    fn read(self) -> Result<Master, String> {
        Ok(Master {
            account: account(&self.master)?,
            supply: number("supply", &self.supply)?,
            admin: account(&self.admin)?,
            wallet_library: self.wallet_library.as_deref().map(hash).transpose()?,
            wallet_code: bag(&self.wallet_code)?,
            wallet_code_hash: hash(&self.wallet_code_hash)?,
            content: bag(&self.content)?,
            symbol: self.symbol,
            decimals: self.decimals,
            layout: self.layout,
        })
    }
}

impl Entry {
    fn read(self) -> Result<Played, String> {
        Ok(Played {
            account: account(&self.account)?,
            at: Link { lt: number("lt", &self.lt)?, hash: hash(&self.hash)? },
            now: self.now,
            fees: number("fees", &self.fees)?,
            balance: number("balance", &self.balance)?,
            bytes: bag(&self.boc)?,
            step: self.step,
            course: self.course,
        })
    }
}

/// The names of all plays, in order.
pub fn names() -> Result<Vec<String>, String> {
    let folder = folder();
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        names.extend(name.filter(|_| path.extension().is_some_and(|kind| kind == "json")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ton/sandbox")
}

fn account(text: &str) -> Result<Account, String> {
    address::parse(text, Realm::Testnet).map_err(|error| error.to_string())
}

fn number<T: std::str::FromStr>(member: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{member}: {text:?} is no number"))
}

fn hash(text: &str) -> Result<Hash, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn bag(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("a bag of cells: {error}"))
}
