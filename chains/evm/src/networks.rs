//! Networks as files: public facts only, checked when they are read. Endpoints with keys are the
//! operator's and never here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use alloy_primitives::Address as Raw;
use amn_core::block::{AssetId, Inclusion, NetworkId};
use amn_core::confirmation::{Policy, Require, Tier};
use amn_core::money::Amount;
use amn_core::network::{Asset, Facts, SharedFacts};
pub use amn_core::network_file::NetworkError;
use amn_core::network_file::{check_decimals, located};
use serde::Deserialize;

use crate::address;
use crate::bloom::Wanted;
use crate::decode::{Listed, NATIVE_PROXY, Registry, TOKEN_PROXY, TRANSFER};
use crate::receipts::Codec;

/// The networks this binary ships, each with the text of its file.
pub const SHIPPED: &[(&str, &str)] = &[
    ("ethereum", include_str!("../networks/ethereum.toml")),
    ("bsc", include_str!("../networks/bsc.toml")),
    ("base", include_str!("../networks/base.toml")),
    ("arbitrum-one", include_str!("../networks/arbitrum-one.toml")),
    ("optimism", include_str!("../networks/optimism.toml")),
    ("polygon", include_str!("../networks/polygon.toml")),
    ("sepolia", include_str!("../networks/sepolia.toml")),
    ("base-sepolia", include_str!("../networks/base-sepolia.toml")),
    ("devnet", include_str!("../networks/devnet.toml")),
];

/// A network of this family, as its file says.
#[derive(Clone, Debug)]
pub struct EvmNetwork {
    pub facts: SharedFacts,
    pub chain_id: u64,
    pub codec: Codec,
    /// The first guess at how many blocks one `eth_getLogs` may span; adapted as nodes answer.
    pub range_blocks: u64,
    pub registry: Registry,
}

impl EvmNetwork {
    /// Reads a network's file. `file` is what errors call it.
    pub fn parse(id: &NetworkId, file: &str, text: &str) -> Result<Self, NetworkError> {
        let wrong = |what: String| NetworkError { file: file.to_owned(), what };
        let read: NetworkFile =
            toml::from_str(text).map_err(|error| wrong(located(error.message(), error.span(), text)))?;
        read.build(id).map_err(wrong)
    }

    /// A network this binary ships; `None` where it ships none of that name.
    #[must_use]
    pub fn shipped(id: &str) -> Option<Result<Self, NetworkError>> {
        let (_, text) = SHIPPED.iter().find(|(name, _)| *name == id)?;
        Some(Self::parse(&NetworkId::new(id), &format!("chains/evm/networks/{id}.toml"), text))
    }

    /// The same network with more tokens; one that is listed already is replaced.
    pub fn with_tokens(mut self, file: &str, tokens: &[TokenEntry]) -> Result<Self, NetworkError> {
        let mut facts = Facts::clone(&self.facts);
        for token in tokens {
            let asset = token.asset(self.chain_id).map_err(|what| NetworkError { file: file.to_owned(), what })?;
            facts.assets.retain(|known| known.id != asset.id);
            let listed = Listed { asset: asset.id.clone(), min_amount: asset.min_amount };
            self.registry.tokens.insert(token.address.0, listed);
            facts.assets.push(asset);
        }
        self.facts = Arc::new(facts);
        Ok(self)
    }

    /// What to look for in the blooms of this network's headers.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for contract in self.registry.tokens.keys() {
            wanted.add_naming(contract.as_slice(), TRANSFER.as_slice());
        }
        for contract in &self.registry.token_proxies {
            wanted.add_silent(contract.as_slice(), TOKEN_PROXY.as_slice());
        }
        for contract in &self.registry.native_proxies {
            wanted.add_silent(contract.as_slice(), NATIVE_PROXY.as_slice());
        }
        wanted
    }
}

/// The file of a network. Unknown keys are refused: a mistyped threshold must not be silently absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    pub chain_id: NonZeroU64,
    pub block_time_ms: NonZeroU64,
    pub codec: Codec,
    pub range_blocks: NonZeroU64,
    #[serde(default = "amn_core::network_file::two")]
    pub rewind_operators: NonZeroU32,
    pub native: NativeEntry,
    #[serde(default)]
    pub token: Vec<TokenEntry>,
    #[serde(default)]
    pub proxies: ProxyEntries,
    pub require: Require,
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

/// The network's own money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeEntry {
    pub symbol: String,
    pub decimals: u8,
    /// The coin's number in SLIP-44, which names it in CAIP-19.
    pub slip44: u32,
    pub min_amount: Amount,
}

/// A token of the allow-list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    pub symbol: String,
    pub address: Contract,
    pub decimals: u8,
    pub min_amount: Amount,
}

impl TokenEntry {
    fn asset(&self, chain_id: u64) -> Result<Asset, String> {
        check_decimals(&self.symbol, self.decimals)?;
        Ok(Asset {
            id: address::token_id(chain_id, self.address.0.0.0),
            symbol: self.symbol.clone(),
            decimals: self.decimals,
            min_amount: self.min_amount,
            native: false,
        })
    }
}

/// Payment proxies whose events are believed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyEntries {
    /// Request Network's ERC20FeeProxy.
    #[serde(default)]
    pub erc20: Vec<Contract>,
    /// Request Network's EthereumFeeProxy.
    #[serde(default)]
    pub native: Vec<Contract>,
}

/// The address of a contract, its checksum verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Contract(pub Raw);

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Contract {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        address::parse(&text).map(|(_, raw)| Self(raw.into())).map_err(serde::de::Error::custom)
    }
}

impl NetworkFile {
    /// Turns the file into a network, or says in words what cannot be.
    pub fn build(&self, id: &NetworkId) -> Result<EvmNetwork, String> {
        let chain_id = self.chain_id.get();
        let native = Asset {
            id: AssetId::new(format!("eip155:{chain_id}/slip44:{}", self.native.slip44)),
            symbol: self.native.symbol.clone(),
            decimals: self.native.decimals,
            min_amount: self.native.min_amount,
            native: true,
        };
        let mut assets = vec![native.clone()];
        let mut tokens = HashMap::new();
        for token in &self.token {
            let asset = token.asset(chain_id)?;
            let listed = Listed { asset: asset.id.clone(), min_amount: asset.min_amount };
            if tokens.insert(token.address.0, listed).is_some() {
                return Err(format!("the token {} is listed twice", token.address.0));
            }
            assets.push(asset);
        }
        let terms = || std::iter::once(&self.require).chain(self.tiers.iter().map(|tier| &tier.require));
        if !self.codec.proves() && terms().any(|require| require.inclusion == Some(Inclusion::Proven)) {
            return Err("inclusion = \"proven\" can never be met with codec = \"observe\"".to_owned());
        }
        for tier in &self.tiers {
            match &tier.asset {
                Some(asset) if !assets.iter().any(|known| known.id == *asset) => {
                    return Err(format!("a tier names {asset}, which is not an asset of this network"));
                }
                _ => {}
            }
        }
        let set = |list: &[Contract]| list.iter().map(|contract| contract.0).collect::<HashSet<_>>();
        Ok(EvmNetwork {
            registry: Registry {
                native: Listed { asset: native.id, min_amount: native.min_amount },
                tokens,
                token_proxies: set(&self.proxies.erc20),
                native_proxies: set(&self.proxies.native),
            },
            facts: Arc::new(Facts {
                id: id.clone(),
                chain: format!("eip155:{chain_id}"),
                assets,
                policy: Policy { require: self.require, tiers: self.tiers.clone() },
                block_time_ms: self.block_time_ms.get(),
                rewind_operators: self.rewind_operators.get(),
                instant_finality: false,
                vouched_singly: false,
            }),
            chain_id,
            codec: self.codec,
            range_blocks: self.range_blocks.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(id: &str) -> EvmNetwork {
        EvmNetwork::shipped(id).unwrap().unwrap()
    }

    #[test]
    fn every_shipped_network_reads_and_no_two_share_a_chain() {
        let networks: Vec<_> = SHIPPED.iter().map(|(id, _)| shipped(id)).collect();
        let chains: HashSet<_> = networks.iter().map(|network| network.chain_id).collect();
        assert_eq!(chains.len(), networks.len());
        for network in &networks {
            let facts = &network.facts;
            assert_eq!(facts.assets.iter().filter(|asset| asset.native).count(), 1, "{}", facts.id);
            let proven = facts.policy.require.inclusion == Some(Inclusion::Proven);
            assert!(proven == network.codec.proves() || network.chain_id == 31337, "{}", facts.id);
        }
    }

    #[test]
    fn money_on_bsc_has_eighteen_decimals_and_on_base_six() {
        let decimals = |id, symbol| {
            shipped(id).facts.assets.iter().find(|asset| asset.symbol == symbol).map(|asset| asset.decimals)
        };
        assert_eq!(decimals("bsc", "USDT"), Some(18));
        assert_eq!(decimals("base", "USDC"), Some(6));
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let text = SHIPPED[0]
            .1
            .replace("0xdAC17F958D2ee523a2206206994597C13D831ec7", "0xDac17F958D2ee523a2206206994597C13D831ec7");
        let line = text.lines().position(|line| line.contains("0xDac17F")).unwrap() + 1;
        let error = EvmNetwork::parse(&NetworkId::new("mine"), "networks/mine.toml", &text).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("networks/mine.toml: line {line}, column ")), "{shown}");
        assert!(shown.contains("checksum"), "{shown}");
    }

    #[test]
    fn a_mistyped_key_or_an_impossible_term_is_refused() {
        let parse =
            |text: &str| EvmNetwork::parse(&NetworkId::new("x"), "x.toml", text).map(|_| ()).map_err(|e| e.what);
        let devnet = SHIPPED.iter().find(|(id, _)| *id == "devnet").unwrap().1;
        assert_eq!(parse(devnet), Ok(()));
        assert!(parse(&devnet.replace("confirmations", "confirmatons")).unwrap_err().contains("confirmatons"));
        let observe = SHIPPED[0].1.replace("codec = \"eth\"", "codec = \"observe\"");
        assert!(parse(&observe).unwrap_err().contains("never be met"));
        let tier = format!("{devnet}\n[[tiers]]\nasset = \"eip155:1/slip44:60\"\nat_least = \"1\"\nrequire = {{}}\n");
        assert!(parse(&tier).unwrap_err().contains("not an asset of this network"));
        assert!(parse(&devnet.replace("chain_id = 31337", "chain_id = 0")).is_err());
    }

    #[test]
    fn a_token_of_the_operator_is_listed_beside_those_shipped() {
        let entry = TokenEntry {
            symbol: "TST".to_owned(),
            address: Contract(Raw::repeat_byte(7)),
            decimals: 6,
            min_amount: Amount::new(1),
        };
        let network = shipped("devnet").with_tokens("amn.toml", std::slice::from_ref(&entry)).unwrap();
        assert!(network.registry.tokens.contains_key(&Raw::repeat_byte(7)));
        assert_eq!(network.facts.assets.len(), 2);
        let absurd = TokenEntry { decimals: 77, ..entry };
        assert!(shipped("devnet").with_tokens("amn.toml", &[absurd]).is_err());
    }
}
