//! What a network's file may say, and what of it cannot be.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use amn_core::block::NetworkId;
use amn_core::confirmation::{Policy, Require, Tier};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use amn_core::network_file::{Problem, check_decimals};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use stellar_strkey::{Contract, ed25519};
use stellar_xdr::Asset as Classic;

use super::{Organisations, SorobanNetwork};
use crate::asset::{self, DECIMALS};
use crate::decode::Registry;

/// The file of a network. Unknown keys are refused: a mistyped threshold must not be silently absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// CAIP-2, such as `stellar:pubnet`.
    pub chain: String,
    pub passphrase: String,
    pub block_time_ms: NonZeroU64,
    #[serde(default = "amn_core::network_file::two")]
    pub rewind_operators: NonZeroU32,
    pub native: NativeEntry,
    /// Classic assets.
    #[serde(default)]
    pub asset: Vec<ClassicEntry>,
    /// Tokens that are only a contract (SEP-41).
    #[serde(default)]
    pub token: Vec<TokenEntry>,
    #[serde(default)]
    pub organisation: Vec<OrganisationEntry>,
    pub require: Require,
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

/// The network's own money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeEntry {
    pub symbol: String,
    /// The contract that speaks for it; must be the one that follows from the passphrase.
    pub contract: ContractKey,
    pub min_amount: Amount,
}

/// A classic asset of the allow-list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassicEntry {
    pub symbol: String,
    pub code: String,
    pub issuer: String,
    /// The contract that speaks for it; must be the one that follows from network, code and issuer.
    pub contract: ContractKey,
    pub min_amount: Amount,
}

/// A token of the allow-list that is only a contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    pub symbol: String,
    pub contract: ContractKey,
    pub decimals: u8,
    /// The code that was looked at when the token was listed: a contract can change its code, and lie.
    pub wasm_hash: HashKey,
    pub min_amount: Amount,
}

/// Who runs validators, with their keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganisationEntry {
    pub name: String,
    pub validators: Vec<ValidatorKey>,
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $read:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub [u8; 32]);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let read: fn(&str) -> Option<[u8; 32]> = $read;
                read(&text).map(Self).ok_or_else(|| {
                    serde::de::Error::custom(format!(concat!($what, "; got {:?}"), text.chars().take(70).collect::<String>()))
                })
            }
        }
    )*};
}

keys! {
    /// The id of a contract, its checksum verified.
    ContractKey, "a contract is C and 55 letters and digits", |text| Contract::from_string(text).ok().map(|c| c.0);
    /// The key of a validator.
    ValidatorKey, "a validator's key is G and 55 letters and digits",
        |text| ed25519::PublicKey::from_string(text).ok().map(|key| key.0);
    /// A hash.
    HashKey, "a hash is 64 hexadecimal digits", |text| text.parse::<amn_core::block::Hash>().ok().map(|hash| hash.0);
}

/// An asset with all the names it goes by.
pub(super) struct Entry {
    pub(super) asset: Asset,
    pub(super) contract: [u8; 32],
    pub(super) classic: Option<Classic>,
}

/// A classic asset under the contract the file names, which must be the one that follows.
fn classic(
    chain: &str,
    network_id: [u8; 32],
    classic: Classic,
    symbol: &str,
    contract: ContractKey,
    min_amount: Amount,
) -> Result<Entry, Problem> {
    let follows = asset::contract_of(network_id, &classic);
    if follows != contract.0 {
        let (said, is) = (Contract(contract.0).to_string(), Contract(follows).to_string());
        return Err(Problem {
            what: format!("contract = \"{said}\" is not the contract of {symbol}: on this network that is {is}"),
            at: Some(said.as_str().to_owned()),
        });
    }
    let asset = Asset {
        id: asset::classic_id(chain, &classic),
        symbol: symbol.to_owned(),
        decimals: DECIMALS,
        min_amount,
        native: classic == Classic::Native,
    };
    Ok(Entry { asset, contract: contract.0, classic: Some(classic) })
}

impl ClassicEntry {
    pub(super) fn list(&self, chain: &str, network_id: [u8; 32]) -> Result<Entry, Problem> {
        let of = asset::classic(&self.code, &self.issuer).map_err(|error| {
            let at = match &error {
                asset::AssetError::Code(_) => format!("{:?}", self.code),
                asset::AssetError::Issuer(_) => self.issuer.clone(),
            };
            Problem { what: error.to_string(), at: Some(at) }
        })?;
        classic(chain, network_id, of, &self.symbol, self.contract, self.min_amount)
    }
}

impl TokenEntry {
    pub(super) fn list(&self, chain: &str) -> Result<Entry, Problem> {
        check_decimals(&self.symbol, self.decimals)?;
        let asset = Asset {
            id: asset::token_id(chain, self.contract.0),
            symbol: self.symbol.clone(),
            decimals: self.decimals,
            min_amount: self.min_amount,
            native: false,
        };
        Ok(Entry { asset, contract: self.contract.0, classic: None })
    }
}

impl NetworkFile {
    /// Turns the file into a network, or says in words what cannot be.
    pub(super) fn build(&self, id: &NetworkId) -> Result<SorobanNetwork, Problem> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
        let caip = self.chain.strip_prefix("stellar:").filter(|name| (1..=32).contains(&name.len()));
        if !caip.is_some_and(|name| name.bytes().all(plain)) {
            let what = format!("chain = {:?} is no CAIP-2 id such as \"stellar:pubnet\"", self.chain);
            return Err(Problem { what, at: Some("chain".to_owned()) });
        }
        let network_id: [u8; 32] = Sha256::digest(&self.passphrase).into();
        let native = &self.native;
        let mut entries = vec![classic(
            &self.chain,
            network_id,
            Classic::Native,
            &native.symbol,
            native.contract,
            native.min_amount,
        )?];
        for entry in &self.asset {
            entries.push(entry.list(&self.chain, network_id)?);
        }
        for entry in &self.token {
            entries.push(entry.list(&self.chain)?);
        }
        let organisations = self.organisations()?;
        let (mut registry, mut assets) = (Registry::new(&self.chain), Vec::new());
        for entry in entries {
            if !registry.list(entry.contract, entry.classic, &entry.asset) {
                let at = Contract(entry.contract).to_string();
                let what = format!("{} is listed twice", entry.asset.id);
                return Err(Problem { what, at: Some(at.as_str().to_owned()) });
            }
            assets.push(entry.asset);
        }
        self.terms(&assets, &organisations)?;
        Ok(SorobanNetwork {
            facts: Arc::new(Facts {
                id: id.clone(),
                chain: self.chain.clone(),
                assets,
                policy: Policy { require: self.require, tiers: self.tiers.clone() },
                block_time_ms: self.block_time_ms.get(),
                rewind_operators: self.rewind_operators.get(),
                instant_finality: true,
                vouched_singly: false,
            }),
            passphrase: self.passphrase.clone(),
            network_id,
            registry,
            organisations,
            wasm: self.token.iter().map(|token| (token.contract.0, token.wasm_hash.0)).collect(),
        })
    }

    fn organisations(&self) -> Result<Organisations, Problem> {
        let mut validators = HashMap::new();
        for organisation in &self.organisation {
            let name: Arc<str> = Arc::from(organisation.name.as_str());
            for key in &organisation.validators {
                if let Some(other) = validators.insert(key.0, name.clone()) {
                    let spelled = ed25519::PublicKey(key.0).to_string();
                    let what = format!("the validator {spelled} is of {other} and of {name}: one key has one owner");
                    return Err(Problem { what, at: Some(spelled.as_str().to_owned()) });
                }
            }
        }
        Ok(Organisations(validators))
    }

    /// Terms that could never be met are refused here, not waited for.
    fn terms(&self, assets: &[Asset], organisations: &Organisations) -> Result<(), Problem> {
        let terms = std::iter::once(&self.require).chain(self.tiers.iter().map(|tier| &tier.require));
        let asked = terms.filter_map(|require| require.attestations).max().unwrap_or(0);
        if asked as usize > organisations.count() {
            let (count, at) = (organisations.count(), Some("attestations".to_owned()));
            let what = format!("attestations = {asked} can never be met: {count} organisations are listed");
            return Err(Problem { what, at });
        }
        for asset in self.tiers.iter().filter_map(|tier| tier.asset.as_ref()) {
            if !assets.iter().any(|known| known.id == *asset) {
                let what = format!("a tier names {asset}, which is not an asset of this network");
                return Err(Problem { what, at: Some(asset.to_string()) });
            }
        }
        Ok(())
    }
}
