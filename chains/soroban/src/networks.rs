//! Networks as files: public facts only, checked when they are read. Endpoints with keys are the
//! operator's and never here.

mod file;

pub use file::{
    ClassicEntry, ContractKey, HashKey, NativeEntry, NetworkFile, OrganisationEntry, TokenEntry, ValidatorKey,
};

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use amn_core::block::NetworkId;
use amn_core::network::{Asset, Facts, SharedFacts};
pub use amn_core::network_file::NetworkError;
use amn_core::network_file::{Problem, located};
use stellar_xdr::Asset as Classic;

use crate::asset;
use crate::decode::{Listed, Registry};

/// The passphrase of the public network.
pub const PUBLIC_PASSPHRASE: &str = "Public Global Stellar Network ; September 2015";

/// The networks this binary ships, each with the text of its file.
pub const SHIPPED: &[(&str, &str)] = &[
    ("stellar-pubnet", include_str!("../networks/stellar-pubnet.toml")),
    ("stellar-testnet", include_str!("../networks/stellar-testnet.toml")),
    ("stellar-futurenet", include_str!("../networks/stellar-futurenet.toml")),
    ("stellar-standalone", include_str!("../networks/stellar-standalone.toml")),
];

/// A network of this family, as its file says.
#[derive(Clone, Debug)]
pub struct SorobanNetwork {
    pub facts: SharedFacts,
    pub passphrase: String,
    /// The hash of the passphrase: part of everything that is signed on the network.
    pub network_id: [u8; 32],
    pub registry: Registry,
    pub organisations: Organisations,
    /// The code each token that is only a contract must still run; asked for at start.
    pub wasm: HashMap<[u8; 32], [u8; 32]>,
}

/// Whose validators attest, by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organisations(HashMap<[u8; 32], Arc<str>>);

impl Organisations {
    /// Who runs the validator with this key.
    #[must_use]
    pub fn of(&self, validator: &[u8; 32]) -> Option<&Arc<str>> {
        self.0.get(validator)
    }

    /// Their names, each once, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.values().map(AsRef::as_ref).collect::<BTreeSet<&str>>().into_iter().collect()
    }

    /// How many different ones there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().collect::<HashSet<_>>().len()
    }
}

impl SorobanNetwork {
    /// Reads a network's file. `file` is what errors call it.
    pub fn parse(id: &NetworkId, file: &str, text: &str) -> Result<Self, NetworkError> {
        let wrong = |what: String| NetworkError { file: file.to_owned(), what };
        let read: NetworkFile =
            toml::from_str(text).map_err(|error| wrong(located(error.message(), error.span(), text)))?;
        read.build(id).map_err(|problem| wrong(problem.located(text)))
    }

    /// A network this binary ships; `None` where it ships none of that name.
    #[must_use]
    pub fn shipped(id: &str) -> Option<Result<Self, NetworkError>> {
        let (_, text) = SHIPPED.iter().find(|(name, _)| *name == id)?;
        Some(Self::parse(&NetworkId::new(id), &format!("chains/soroban/networks/{id}.toml"), text))
    }

    /// The same network with more assets; one that is listed already is replaced.
    pub fn with_assets(
        mut self,
        file: &str,
        assets: &[ClassicEntry],
        tokens: &[TokenEntry],
    ) -> Result<Self, NetworkError> {
        let wrong = |problem: Problem| NetworkError { file: file.to_owned(), what: problem.what };
        let mut facts = Facts::clone(&self.facts);
        let mut listed = Vec::new();
        for entry in assets {
            listed.push(entry.list(&facts.chain, self.network_id).map_err(wrong)?);
        }
        for entry in tokens {
            listed.push(entry.list(&facts.chain).map_err(wrong)?);
            self.wasm.insert(entry.contract.0, entry.wasm_hash.0);
        }
        for one in listed {
            facts.assets.retain(|known| known.id != one.asset.id);
            self.registry.list(one.contract, one.classic.clone(), &one.asset);
            facts.assets.push(one.asset);
        }
        self.facts = Arc::new(facts);
        Ok(self)
    }
}

impl Registry {
    /// Puts an asset under all its names; false where one of them is taken.
    fn list(&mut self, contract: [u8; 32], classic: Option<Classic>, asset: &Asset) -> bool {
        let sep11 = classic.as_ref().map(asset::sep11);
        let listed =
            Listed { asset: asset.id.clone(), min_amount: asset.min_amount, native: asset.native, contract, sep11 };
        let listed = Arc::new(listed);
        let new = self.contracts.insert(contract, listed.clone()).is_none();
        classic.is_none_or(|classic| self.classic.insert(classic, listed).is_none()) && new
    }
}

#[cfg(test)]
mod tests {
    use amn_core::block::Inclusion;
    use amn_core::money::Amount;

    use super::*;

    fn shipped(id: &str) -> SorobanNetwork {
        SorobanNetwork::shipped(id).unwrap().unwrap()
    }

    fn parse(text: &str) -> Result<SorobanNetwork, String> {
        SorobanNetwork::parse(&NetworkId::new("mine"), "networks/mine.toml", text).map_err(|error| error.to_string())
    }

    fn pubnet() -> &'static str {
        SHIPPED[0].1
    }

    fn line(text: &str, holds: &str) -> usize {
        text.lines().position(|line| line.contains(holds)).unwrap() + 1
    }

    #[test]
    fn every_shipped_network_reads_and_no_two_share_a_passphrase() {
        let networks: Vec<_> = SHIPPED.iter().map(|(id, _)| shipped(id)).collect();
        let ids: HashSet<_> = networks.iter().map(|network| network.network_id).collect();
        let chains: HashSet<_> = networks.iter().map(|network| network.facts.chain.clone()).collect();
        assert_eq!((ids.len(), chains.len()), (networks.len(), networks.len()));
        for network in &networks {
            let facts = &network.facts;
            assert!(facts.instant_finality);
            assert_eq!(facts.assets.iter().filter(|asset| asset.native).count(), 1, "{}", facts.id);
            assert_eq!(facts.policy.require.inclusion, Some(Inclusion::Proven), "{}", facts.id);
            assert!(facts.assets.iter().all(|asset| asset.decimals == 7));
        }
        assert_eq!(networks[0].passphrase, PUBLIC_PASSPHRASE);
    }

    #[test]
    fn the_public_network_lists_three_assets_and_seven_organisations() {
        let network = shipped("stellar-pubnet");
        let symbols: Vec<_> = network.facts.assets.iter().map(|asset| asset.symbol.as_str()).collect();
        assert_eq!(symbols, ["XLM", "USDC", "EURC"]);
        assert_eq!(network.organisations.count(), 7);
        assert_eq!(network.organisations.0.len(), 21);
        assert_eq!(shipped("stellar-testnet").organisations.count(), 1);
    }

    #[test]
    fn a_contract_that_is_not_the_assets_own_is_refused_with_its_line() {
        let usdc = "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75";
        let native = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA";
        let text = pubnet().replace(usdc, native);
        // The first line that says so is that of the native asset; the asset itself is named in the words.
        let error = parse(&text).unwrap_err();
        assert!(error.contains("is not the contract of USDC") && error.contains(usdc), "{error}");
        // A file copied from another network is found by its very first contract.
        let error = parse(&pubnet().replace(PUBLIC_PASSPHRASE, "Test SDF Network ; September 2015")).unwrap_err();
        assert!(error.starts_with(&format!("networks/mine.toml: line {}: ", line(pubnet(), native))), "{error}");
        assert!(error.contains("CDLZFC3SYJYDZT7K67VZ75HPJVIEUVNIXF47ZG2FB2RMQQVU2HHGCYSC"), "{error}");
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let key = "GCVJ4Z6TI6Z2SOGENSPXDQ2U4RKH3CNQKYUHNSSPYFPNWTLGS6EBH7I2";
        let mistyped = "GCVJ4Z6TI6Z2SOGENSPXDQ2U4RKH3CNQKYUHNSSPYFPNWTLGS6EBH7I3";
        let error = parse(&pubnet().replace(key, mistyped)).unwrap_err();
        // The line on which the list begins; the words tell which of its keys.
        let start = format!("networks/mine.toml: line {}, column ", line(pubnet(), key) - 1);
        assert!(error.starts_with(&start) && error.contains(mistyped), "{error}");
        let issuer = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
        let error = parse(&pubnet().replace(issuer, "GA5Z")).unwrap_err();
        assert!(error.starts_with(&format!("networks/mine.toml: line {}: ", line(pubnet(), issuer))), "{error}");
        let error = parse(&pubnet().replace("block_time_ms", "block_time")).unwrap_err();
        assert!(error.contains("line ") && error.contains("block_time"), "{error}");
    }

    #[test]
    fn what_could_never_be_met_or_says_two_things_is_refused() {
        let extended = |more: &str| parse(&format!("{}\n{more}\n", pubnet())).unwrap_err();
        let asked = parse(&pubnet().replace("operators = 2", "operators = 2\nattestations = 8")).unwrap_err();
        assert!(asked.contains("attestations = 8 can never be met: 7 organisations"), "{asked}");
        let tier = extended("[[tiers]]\nasset = \"stellar:pubnet/slip44:60\"\nat_least = \"1\"\nrequire = {}");
        assert!(tier.contains("not an asset of this network"), "{tier}");
        let twice = extended(
            "[[organisation]]\nname = \"other\"\nvalidators = \
             [\"GCVJ4Z6TI6Z2SOGENSPXDQ2U4RKH3CNQKYUHNSSPYFPNWTLGS6EBH7I2\"]",
        );
        assert!(twice.contains("one key has one owner"), "{twice}");
        let usdc = "[[asset]]\nsymbol = \"USDC\"\ncode = \"USDC\"\nmin_amount = \"1\"\nissuer = \
                    \"GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN\"\ncontract = \
                    \"CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75\"";
        assert!(extended(usdc).contains("listed twice"));
        let chain = parse(&pubnet().replace("stellar:pubnet\"", "pubnet\"")).unwrap_err();
        assert!(chain.contains("CAIP-2"), "{chain}");
    }

    #[test]
    fn a_token_of_the_operator_is_listed_beside_those_shipped() {
        let entry = TokenEntry {
            symbol: "TST".to_owned(),
            contract: ContractKey([7; 32]),
            decimals: 9,
            wasm_hash: HashKey([8; 32]),
            min_amount: Amount::new(1),
        };
        let network = shipped("stellar-testnet").with_assets("amn.toml", &[], std::slice::from_ref(&entry)).unwrap();
        assert!(network.registry.contracts.contains_key(&[7; 32]));
        assert_eq!(network.facts.assets.len(), 4);
        assert_eq!(network.wasm.get(&[7; 32]), Some(&[8; 32]));
        let absurd = TokenEntry { decimals: 77, ..entry };
        assert!(shipped("stellar-testnet").with_assets("amn.toml", &[], &[absurd]).is_err());
    }
}
