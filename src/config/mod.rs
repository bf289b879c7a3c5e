//! The configuration: one commented TOML file and the environment become domain types here, at the door.
//!
//! Law: every wrong value is named with its file, line, column and key, with what is allowed and what was
//! found, all at once and before anything starts. `amn-scanner.toml` documents every key and is tested to.
//! Read on in `sections`, where each key is read.

mod endpoints;
mod jettons;
mod problem;
mod reader;
pub mod scenario;
mod secret;
mod sections;
mod tree;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use amn_core::block::{BlockRef, Hash, Height, NetworkId, Operator};
use amn_core::confirmation::{Require, Tier};
use amn_core::money::Amount;

/// The kind of an endpoint that holds a chain's past as files, and no head.
pub use amn_soroban::lake::DATA_LAKE;
pub use problem::ConfigErrors;
pub use secret::{Secret, SecretUrl};

use amn_ton::jetton::Layout;
use problem::{Place, Problem};
use reader::{Notes, Section};

/// Read where no path is given and this file is there.
pub const DEFAULT_FILE: &str = "amn-scanner.toml";

/// A few kilobytes are usual; a megabyte is another file by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything the operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    pub environment: Environment,
    /// Where what must last is kept, unless a key says otherwise. Relative to the working directory.
    pub state_dir: PathBuf,
    pub server: Server,
    pub database: Database,
    pub log: Log,
    pub webhooks: Webhooks,
    pub auth: Auth,
    pub networks: BTreeMap<NetworkId, Network>,
    /// Who listens to which contract.
    pub contracts: Vec<ContractWatch>,
}

/// How much is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Weak secrets, insecure webhooks and a lone operator are refused.
    Production,
    Development,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// Who shows it may read `/metrics` from elsewhere than this machine.
    pub metrics_token: Option<Secret>,
}

#[derive(Debug, Clone)]
pub struct Database {
    /// Absent: the daemon runs its own Postgres in `data_dir`.
    pub url: Option<Secret>,
    pub data_dir: PathBuf,
    pub max_connections: u32,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Whether `http://` receivers are allowed. Development only.
    pub allow_insecure_webhooks: bool,
    /// Private networks that receivers may live in.
    pub allow_cidrs: Vec<Cidr>,
    pub ports: Vec<u16>,
    pub timeout: Duration,
    pub concurrency: u32,
    pub per_endpoint_concurrency: u32,
}

#[derive(Debug, Clone)]
pub struct Auth {
    /// Bootstraps the first API keys: it has every scope.
    pub operator_key: Option<Secret>,
}

/// What the operator says of one network. Public facts come from the network's own file.
#[derive(Debug, Clone)]
pub struct Network {
    pub enabled: bool,
    /// The network's file, where it is not one we ship.
    pub file: Option<PathBuf>,
    pub single_operator_accepted: bool,
    pub poll: Option<Duration>,
    pub quiet_poll: QuietPoll,
    /// Without a head for so long a doorbell counts as dead; absent: from the network's block time.
    pub doorbell_silence: Option<Duration>,
    /// Where a new network begins; absent: at `finalized`.
    pub start: Option<BlockRef>,
    /// Takes the place of the file's terms.
    pub require: Option<Require>,
    /// Takes the place of the file's tiers.
    pub tiers: Option<Vec<Tier>>,
    pub assets: Vec<Asset>,
    pub tokens: Vec<Token>,
    pub jettons: Vec<Jetton>,
    pub proxies: Vec<Proxy>,
    pub endpoints: Vec<Endpoint>,
    /// Blocks between two looks at native balances.
    pub balance_check: Option<u64>,
    /// Covered blocks that are read once more in an hour; 0: none.
    pub audit_blocks_per_hour: u32,
    /// Where it stands, for problems that only the network's family can find.
    pub place: String,
}

impl Network {
    /// Who runs the endpoints that can say where the chain stands: two of one provider count once.
    #[must_use]
    pub fn operators(&self) -> BTreeSet<&Operator> {
        self.endpoints.iter().filter(|endpoint| !endpoint.is_lake()).map(|endpoint| &endpoint.operator).collect()
    }

    /// Whether `asked` operators can ever agree here, or the operator has accepted that one must do.
    #[must_use]
    pub fn has_operators(&self, asked: u32) -> bool {
        self.single_operator_accepted || self.operators().len() >= asked as usize
    }
}

/// How seldom a network is looked at where nothing is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuietPoll {
    /// As its block time suggests.
    Usual,
    /// No more seldom than otherwise.
    Off,
    Every(Duration),
}

/// A classic asset of Stellar beyond those of the network's file.
#[derive(Debug, Clone)]
pub struct Asset {
    pub code: String,
    /// As written, like the contract: only the network's family knows its addresses.
    pub issuer: String,
    /// The contract that speaks for it: follows from network, code and issuer, and must agree with them.
    pub contract: String,
    pub symbol: String,
    pub min_amount: Amount,
    pub place: String,
}

/// A token beyond those of the network's file.
#[derive(Debug, Clone)]
pub struct Token {
    /// As written: only the network's family knows its addresses.
    pub address: String,
    pub symbol: String,
    pub decimals: u8,
    pub min_amount: Amount,
    /// The code that a token of Stellar must run.
    pub wasm_hash: Option<Hash>,
    pub place: String,
}

/// A jetton of TON beyond those of the network's file.
#[derive(Debug, Clone)]
pub struct Jetton {
    pub symbol: String,
    /// As written, like the example: only the network's family knows its addresses.
    pub master: String,
    pub decimals: u8,
    pub layout: Layout,
    /// The hash of the wallets' code in the masterchain's library,
    pub wallet_library: Option<String>,
    /// or the code itself.
    pub wallet_code: Option<String>,
    pub example_owner: Option<String>,
    pub example_wallet: Option<String>,
    pub min_amount: Amount,
    pub place: String,
}

/// A payment proxy beyond those of the network's file.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub kind: ProxyKind,
    pub address: String,
    pub place: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// Counts only together with the token's own transfer.
    Erc20Fee,
    /// Its event is itself the credit.
    EthFee,
}

/// Somebody listens to a contract.
#[derive(Debug, Clone)]
pub struct ContractWatch {
    pub network: NetworkId,
    /// As written: only the network's family knows its addresses, and how topics are spelled.
    pub contract: String,
    pub tenant: String,
    /// Patterns, each a list of segments; absent: everything it says.
    pub topics: Option<Vec<Vec<String>>>,
    /// The first height that counts; absent: from when a daemon first reads this.
    pub since: Option<Height>,
    pub place: String,
}

/// A node of a network.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub name: String,
    /// How it is spoken to; absent: as the family speaks usually.
    pub kind: Option<String>,
    /// Lower is asked first where all are well.
    pub order: u32,
    pub url: SecretUrl,
    /// A WebSocket that says "there is a new block": a hint, never a fact.
    pub ws: Option<SecretUrl>,
    /// Absent: straight to the node, whatever the environment says.
    pub proxy: Option<SecretUrl>,
    pub operator: Operator,
    pub max_rps: Option<u32>,
    pub burst: Option<u32>,
    pub concurrency: u32,
    /// For one request, from connecting to the last byte.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// In bytes; absent: what the fullest blocks need, several times.
    pub body_max: Option<usize>,
    pub breaker: Breaker,
    pub headers: Vec<(String, Secret)>,
    /// Where it stands, for problems that only the network's family can find.
    pub place: String,
}

impl Endpoint {
    /// Whether it holds the past as files, and is not asked for the head.
    #[must_use]
    pub fn is_lake(&self) -> bool {
        self.kind.as_deref() == Some(DATA_LAKE)
    }
}

/// When a node is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So long it stays open before one question may find out whether it can be closed.
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(10) }
    }
}

/// A range of addresses, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub base: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let apart = base.to_bits() ^ address.to_bits();
                apart.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let apart = base.to_bits() ^ address.to_bits();
                apart.checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = ();

    /// Refuses a base with bits beyond its prefix: `10.1.2.3/8` says one thing and means another.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (base, prefix) = text.split_once('/').ok_or(())?;
        let (base, prefix) = (base.parse::<IpAddr>().map_err(|_| ())?, prefix.parse::<u8>().map_err(|_| ())?);
        let beyond = match base {
            IpAddr::V4(base) if prefix <= 32 => base.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
            IpAddr::V6(base) if prefix <= 128 => base.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
            _ => true,
        };
        if beyond { Err(()) } else { Ok(Self { base, prefix }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The variables of this process, without those that are not text.
pub fn environment_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Config {
    /// Reads the file at `path`, or [`DEFAULT_FILE`] where it is there, or nothing; then the variables over it.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let (path, must_exist) = path.map_or((Path::new(DEFAULT_FILE), false), |path| (path, true));
        let name = path.display().to_string();
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => String::new(),
            Err(error) => {
                let text = format!("must be a file of UTF-8 text, at most {FILE_BYTES_MAX} bytes; found: {error}");
                return Err(ConfigErrors::new(&name, vec![Problem { place: Place::Absent, key: String::new(), text }]));
            }
        };
        Self::parse(&name, &text, env)
    }

    /// Reads a configuration from its text; `file` is what problems call it.
    pub fn parse(file: &str, text: &str, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        Self::parse_noting(file, text, env).0
    }

    /// As [`Self::parse`], with every key that was asked for.
    fn parse_noting(
        file: &str,
        text: &str,
        env: impl Iterator<Item = (String, String)>,
    ) -> (Result<Self, ConfigErrors>, BTreeSet<String>) {
        let variables: BTreeMap<_, _> = env.collect();
        let mut problems = Vec::new();
        let mut table = tree::parse(text, &mut problems);
        tree::override_by(&mut table, &variables, &mut problems);
        let notes = Notes::new(variables, problems);
        let config = sections::config(Section::root(&notes, &table), file);
        let (problems, asked) = notes.into_parts();
        match config {
            Some(config) if problems.is_empty() => (Ok(config), asked),
            _ => (Err(ConfigErrors::new(file, problems)), asked),
        }
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is larger"));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests;
