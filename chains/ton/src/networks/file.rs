//! What a network's file may say, and what of it cannot be.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use amn_core::block::{AssetId, Hash, NetworkId};
use amn_core::confirmation::{Policy, Require, Tier};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts};
use amn_core::network_file::{Problem, check_decimals};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{DECIMALS, SLIP44, TonNetwork};
use crate::address::{self, Realm};
use crate::decode::{Jetton, Listed, Registry};
use crate::jetton::{Layout, WalletForm};

/// The main network's number, which its addresses are written for.
const MAINNET: i32 = -239;

/// The file of a network. Unknown keys are refused: a mistyped threshold must not be silently absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// CAIP-2: `tvm:` and the network's number, which each of its blocks says.
    pub chain: String,
    /// Whether addresses are written for the main network or for test networks.
    pub addresses: Addresses,
    pub block_time_ms: NonZeroU64,
    #[serde(default = "amn_core::network_file::two")]
    pub rewind_operators: NonZeroU32,
    pub native: NativeEntry,
    #[serde(default)]
    pub jetton: Vec<JettonEntry>,
    pub require: Require,
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

/// How a file says for which kind of network addresses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    Mainnet,
    Testnet,
}

/// The network's own money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeEntry {
    pub symbol: String,
    pub min_amount: Amount,
}

/// A jetton of the allow-list: its master, and what its wallets are made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JettonEntry {
    pub symbol: String,
    pub master: String,
    pub decimals: u8,
    pub layout: Layout,
    /// The hash of the wallets' code in the masterchain's library,
    #[serde(default)]
    pub wallet_library: Option<String>,
    /// or the code itself, a bag of cells in base64.
    #[serde(default)]
    pub wallet_code: Option<String>,
    /// An owner and the wallet that must follow for him: known from the network, so that a mistyped code is found here
    /// and not by payments that nobody sees.
    #[serde(default)]
    pub example_owner: Option<String>,
    #[serde(default)]
    pub example_wallet: Option<String>,
    pub min_amount: Amount,
}

impl JettonEntry {
    pub(super) fn list(&self, chain: &str, realm: Realm) -> Result<(Asset, Jetton), Problem> {
        check_decimals(&self.symbol, self.decimals)?;
        let account = |text: &str| {
            address::parse(text, realm).map_err(|error| Problem::at(text, format!("{}: {error}", self.symbol)))
        };
        let (master, form) = (account(&self.master)?, self.form()?);
        match (&self.example_owner, &self.example_wallet) {
            (Some(owner), Some(said)) => {
                let follows = form.wallet(&master, &account(owner)?);
                if follows != Some(account(said)?) {
                    let follows = follows.map_or_else(|| "none".to_owned(), |wallet| wallet.to_string());
                    let what = format!("{said} is not the {} wallet of {owner}: that is {follows}", self.symbol);
                    return Err(Problem::at(said, what));
                }
            }
            (None, None) => {}
            _ => return Err(format!("{}: an example is an owner and his wallet, both or neither", self.symbol).into()),
        }
        let asset = Asset {
            id: AssetId::new(format!("{chain}/jetton:{master}")),
            symbol: self.symbol.clone(),
            decimals: self.decimals,
            min_amount: self.min_amount,
            native: false,
        };
        let listed = Listed::of(&asset);
        // Any owner will do, and the master is one.
        let example = self.example_owner.as_deref().map(account).transpose()?.unwrap_or(master);
        Ok((asset, Jetton { master, form, listed, example }))
    }

    fn form(&self) -> Result<WalletForm, Problem> {
        match (&self.wallet_library, &self.wallet_code) {
            (Some(hash), None) => {
                let hash: Hash = hash.parse().map_err(|error| Problem::at(hash, format!("wallet_library: {error}")))?;
                Ok(WalletForm::of_library(hash.0, self.layout))
            }
            (None, Some(code)) => {
                let wrong = |why: String| Problem::at(code, format!("wallet_code of {}: {why}", self.symbol));
                let bag = STANDARD.decode(code).map_err(|error| wrong(error.to_string()))?;
                WalletForm::of_code(&bag, self.layout).map_err(|error| wrong(error.to_string()))
            }
            _ => Err(Problem::at(
                &self.master,
                format!("{} needs wallet_library or wallet_code, one of them", self.symbol),
            )),
        }
    }
}

impl NetworkFile {
    /// Turns the file into a network, or says in words what cannot be.
    pub(super) fn build(&self, id: &NetworkId) -> Result<TonNetwork, Problem> {
        let number = self.chain.strip_prefix("tvm:").and_then(|number| number.parse::<i32>().ok());
        let Some(global_id) = number.filter(|number| format!("tvm:{number}") == self.chain) else {
            let what = format!("chain = {:?} is no CAIP-2 id such as \"tvm:-239\"", self.chain);
            return Err(Problem::at("chain", what));
        };
        let realm = match self.addresses {
            Addresses::Mainnet if global_id == MAINNET => Realm::Mainnet,
            Addresses::Testnet if global_id != MAINNET => Realm::Testnet,
            Addresses::Mainnet | Addresses::Testnet => {
                let what = format!("addresses are written for the mainnet on tvm:{MAINNET} and nowhere else");
                return Err(Problem::at("addresses", what));
            }
        };
        let native = Asset {
            id: AssetId::new(format!("{}/slip44:{SLIP44}", self.chain)),
            symbol: self.native.symbol.clone(),
            decimals: DECIMALS,
            min_amount: self.native.min_amount,
            native: true,
        };
        let mut registry = Registry { realm, native: Listed::of(&native), jettons: BTreeMap::new() };
        let mut assets = vec![native];
        for entry in &self.jetton {
            let (asset, jetton) = entry.list(&self.chain, realm)?;
            let what = format!("{} is listed twice", asset.id);
            assets.push(asset);
            if registry.jettons.insert(jetton.master, Arc::new(jetton)).is_some() {
                return Err(Problem::at(&entry.master, what));
            }
        }
        self.terms(&assets)?;
        Ok(TonNetwork {
            facts: Arc::new(Facts {
                id: id.clone(),
                chain: self.chain.clone(),
                assets,
                policy: Policy { require: self.require, tiers: self.tiers.clone() },
                block_time_ms: self.block_time_ms.get(),
                rewind_operators: self.rewind_operators.get(),
                instant_finality: true,
                vouched_singly: true,
            }),
            global_id,
            realm,
            registry,
        })
    }

    /// Terms that could never be met are refused here, not waited for.
    fn terms(&self, assets: &[Asset]) -> Result<(), Problem> {
        let mut terms = std::iter::once(&self.require).chain(self.tiers.iter().map(|tier| &tier.require));
        if terms.any(|require| require.attestations.is_some_and(|count| count > 0)) {
            return Err(Problem::at(
                "attestations",
                "attestations can never be met: nobody reads them on TON yet".to_owned(),
            ));
        }
        for asset in self.tiers.iter().filter_map(|tier| tier.asset.as_ref()) {
            if !assets.iter().any(|known| known.id == *asset) {
                let what = format!("a tier names {asset}, which is not an asset of this network");
                return Err(Problem::at(asset.as_str(), what));
            }
        }
        Ok(())
    }
}
