//! A Stellar network in a box: invented ledgers with true hashes, validators of three organisations that sign them by
//! turns, and two nodes that serve them as stellar-rpc does. Nothing in it is worth anything.

use amn_core::block::NetworkId;
use amn_soroban::address::{self, Party, Place};
use amn_soroban::asset;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::{Asset, History, Memo, Node, Token, Tx, Validator, muxed, network_file, plain};
use std::sync::{Arc, Mutex};

use super::StageError;

/// The network's id, and the stem of its file.
pub const NAME: &str = "stellar-demo";

/// Its passphrase is part of everything that is signed on it.
const PASSPHRASE: &str = "amn-scanner demo network ; November 2026";

/// The newest protocol: milliseconds in close times, and numbers in the addresses of contracts.
const PROTOCOL: u32 = 30;

/// Between two ledgers, by their own clocks.
const LEDGER_MS: u64 = 1_000;

/// Who pays, and who issues the network's own dollar.
const PAYER: Place = Place::Account([0xfa; 32]);
const ISSUER: Place = Place::Account([0x15; 32]);

/// What is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Money {
    Xlm,
    Usdc,
}

/// The network.
#[derive(Debug)]
pub struct Ledgers {
    nodes: [Node; 2],
    network: SorobanNetwork,
    file: String,
    /// What the next ledger will apply.
    pending: Vec<Tx>,
}

impl Ledgers {
    /// Starts it with a few empty ledgers, the first closed at this time, in milliseconds.
    pub async fn start(milliseconds: u64) -> Result<Self, StageError> {
        let failed = |what: &dyn std::fmt::Display| StageError::because("the Stellar network", what);
        let validators = [Validator::new(1), Validator::new(2), Validator::new(3)];
        let keys = validators.each_ref().map(|validator| vec![validator.key()]);
        let file = file(&keys).map_err(|error| failed(&error))?;
        let network = SorobanNetwork::parse(&NetworkId::new(NAME), &format!("{NAME}.toml"), &file);
        let network = network.map_err(|error| failed(&error))?;
        let mut history = History::new(PASSPHRASE, PROTOCOL).closed_by(validators);
        history.chain.milliseconds = milliseconds;
        history.chain.block_time_ms = LEDGER_MS;
        history.pass(3);
        let history = Arc::new(Mutex::new(history));
        let nodes = [
            Node::share(history.clone()).await.map_err(|error| failed(&error))?,
            Node::share(history).await.map_err(|error| failed(&error))?,
        ];
        Ok(Self { nodes, network, file, pending: Vec::new() })
    }

    /// The network's file, as the daemon reads it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where its two nodes answer.
    #[must_use]
    pub fn urls(&self) -> [String; 2] {
        self.nodes.each_ref().map(Node::url)
    }

    /// An asset by its CAIP-19 name.
    #[must_use]
    pub fn asset(&self, money: Money) -> String {
        asset::classic_id(&self.network.facts.chain, &of(money)).to_string()
    }

    /// A wallet pays what it was shown: an address of any of the four kinds, and a memo of kind id if one is asked for.
    /// It lands with the next ledger.
    pub fn pay(&mut self, to: &str, memo: Option<u64>, money: Money, amount: u128) -> Result<(), StageError> {
        let wrong = |what: &dyn std::fmt::Display| StageError::because("the payer's wallet", what);
        let party = address::parse(to).map_err(|error| wrong(&error))?;
        let units = i64::try_from(amount).map_err(|error| wrong(&error))?;
        let tx = match (party, memo) {
            (Party { place: Place::Contract(_), .. }, Some(_)) => {
                return Err(wrong(&"a payment to a contract carries no memo"));
            }
            (Party { place: Place::Contract(_), id }, None) => self.call(party.place, id, money, units)?,
            (Party { place, id: Some(id) }, _) => Tx::of(PAYER).pay(muxed(place, id), &of(money), units),
            (Party { place, id: None }, _) => Tx::of(PAYER).pay(plain(place), &of(money), units),
        };
        self.pending.push(if let Some(memo) = memo { tx.memo(Memo::Id(memo)) } else { tx });
        Ok(())
    }

    /// A call of the asset's contract, which moves the money and says so in an event.
    fn call(&self, to: Place, id: Option<u64>, money: Money, amount: i64) -> Result<Tx, StageError> {
        let listed = self.network.registry.classic.get(&of(money));
        let listed = listed.ok_or_else(|| StageError("the asset is not listed".to_owned()))?;
        let token = Token { contract: listed.contract, name: listed.sep11.clone() };
        let event = match id {
            Some(id) => token.transfer_to_number(PAYER, to, amount.into(), id),
            None => token.transfer(PAYER, to, amount.into()),
        };
        Ok(Tx::of(PAYER).call(vec![event]))
    }

    /// Validators agree on a ledger; its number and hash.
    pub fn close(&mut self) -> (u64, String) {
        let closed = self.nodes[0].history().close(&std::mem::take(&mut self.pending));
        (closed.at.height.0, closed.at.hash.to_string())
    }

    /// Number and hash of the newest ledger.
    #[must_use]
    pub fn tip(&self) -> (u64, String) {
        let tip = self.nodes[0].history().chain.tip;
        (tip.height.0, tip.hash.to_string())
    }
}

fn of(money: Money) -> Asset {
    match money {
        Money::Xlm => Asset::Native,
        Money::Usdc => asset::classic("USDC", ISSUER.spell().as_str()).unwrap_or(Asset::Native),
    }
}

/// The network's own money, and a dollar.
fn file(keys: &[Vec<[u8; 32]>]) -> Result<String, StageError> {
    let text = network_file(PASSPHRASE, keys);
    let parsed = SorobanNetwork::parse(&NetworkId::new(NAME), NAME, &text);
    let id = parsed.map_err(|error| StageError::because("the network's file", error))?.network_id;
    let contract = Place::Contract(asset::contract_of(id, &of(Money::Usdc))).spell();
    let issuer = ISSUER.spell();
    Ok(format!(
        "{text}\n[[asset]]\nsymbol = \"USDC\"\ncode = \"USDC\"\nissuer = \"{issuer}\"\ncontract = \"{contract}\"\n\
         min_amount = \"1\"\n"
    ))
}
