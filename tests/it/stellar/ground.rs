//! A network of the stories: what its file says, who appears on it, and the validators that close its ledgers.

use amn_core::block::NetworkId;
use amn_soroban::address::Place;
use amn_soroban::asset;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::event::Token;
use amn_soroban::testkit::{History, Validator};
use sha2::{Digest as _, Sha256};
use stellar_strkey::{Contract, ed25519};
use stellar_xdr::{Asset, Memo};

pub const PASSPHRASE: &str = "A network of the stories ; November 2026";
pub const NETWORK: &str = "stories";

pub const SHOP: Place = Place::Account([0x51; 32]);
pub const ESCROW: Place = Place::Contract([0xe5; 32]);
pub const PAYER: Place = Place::Account([0xfa; 32]);
pub const OTHER: Place = Place::Account([0x07; 32]);
pub const ISSUER: Place = Place::Account([0x15; 32]);

/// One stroop is the least; a whole unit of a classic asset is so many.
pub const WHOLE: i64 = 10_000_000;

/// The organisations whose validators close the ledgers, by turns.
const ORGANISATIONS: u8 = 3;

/// A USD that anybody can tell from its issuer.
pub fn usd() -> Asset {
    asset::classic("USD", ISSUER.spell().as_str()).unwrap()
}

/// The id of an asset of the network, by its symbol.
pub fn asset(symbol: &str) -> String {
    let of = if symbol == "XLM" { Asset::Native } else { usd() };
    asset::classic_id("stellar:stories", &of).to_string()
}

/// The contract that speaks for an asset on this network.
pub fn contract_of(asset: &Asset) -> [u8; 32] {
    asset::contract_of(Sha256::digest(PASSPHRASE).into(), asset)
}

/// The token that the USD is to contracts.
pub fn token() -> Token {
    Token { contract: contract_of(&usd()), name: Some(asset::sep11(&usd())) }
}

pub fn text(memo: &str) -> Memo {
    Memo::Text(memo.as_bytes().to_vec().try_into().unwrap())
}

/// The network's file, asking for so much.
pub fn file(require: &str) -> String {
    let contract = |asset: &Asset| Contract(contract_of(asset)).to_string().as_str().to_owned();
    let validators = (1..=ORGANISATIONS).map(|seed| {
        let key = ed25519::PublicKey(Validator::new(seed).key()).to_string();
        format!("[[organisation]]\nname = \"org-{seed}\"\nvalidators = [\"{}\"]\n", key.as_str())
    });
    format!(
        r#"
        chain = "stellar:stories"
        passphrase = "{PASSPHRASE}"
        block_time_ms = 5000
        rewind_operators = 2
        require = {require}

        [native]
        symbol = "XLM"
        contract = "{native}"
        min_amount = "10000"

        [[asset]]
        symbol = "USD"
        code = "USD"
        issuer = "{issuer}"
        contract = "{usd}"
        min_amount = "2"

        {validators}
        "#,
        native = contract(&Asset::Native),
        issuer = ISSUER.spell(),
        usd = contract(&usd()),
        validators = validators.collect::<String>(),
    )
}

/// What two operators say is believed, as on the public network.
pub const TWO: &str = r#"{ inclusion = "proven", operators = 2 }"#;

pub fn network(require: &str) -> SorobanNetwork {
    SorobanNetwork::parse(&NetworkId::new(NETWORK), "stories.toml", &file(require)).unwrap()
}

/// The chain before its first ledger; the organisations close its ledgers by turns.
pub fn history() -> History {
    History::new(PASSPHRASE, 26).closed_by((1..=ORGANISATIONS).map(Validator::new))
}
