//! Networks as files: public facts only, checked when they are read. Endpoints with keys are the
//! operator's and never here.

mod file;

pub use file::{JettonEntry, NativeEntry, NetworkFile};

use std::sync::Arc;

use amn_core::block::NetworkId;
use amn_core::network::{Asset, Facts, SharedFacts};
pub use amn_core::network_file::NetworkError;
use amn_core::network_file::{Problem, located};

use crate::address::Realm;
use crate::decode::{Jetton, Listed, Registry};

/// The coin's number in SLIP-44.
pub const SLIP44: u32 = 607;

/// A nanoton is 10^-9 TON.
pub const DECIMALS: u8 = 9;

/// The networks this binary ships, each with the text of its file.
pub const SHIPPED: &[(&str, &str)] = &[
    ("ton-mainnet", include_str!("../networks/ton-mainnet.toml")),
    ("ton-testnet", include_str!("../networks/ton-testnet.toml")),
];

/// A network of this family, as its file says.
#[derive(Clone, Debug)]
pub struct TonNetwork {
    pub facts: SharedFacts,
    /// The number that is part of each of its blocks.
    pub global_id: i32,
    pub realm: Realm,
    pub registry: Registry,
}

impl TonNetwork {
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
        Some(Self::parse(&NetworkId::new(id), &format!("chains/ton/networks/{id}.toml"), text))
    }

    /// The same network with more jettons; one that is listed already is replaced.
    pub fn with_jettons(mut self, file: &str, jettons: &[JettonEntry]) -> Result<Self, NetworkError> {
        let wrong = |problem: Problem| NetworkError { file: file.to_owned(), what: problem.what };
        let mut facts = Facts::clone(&self.facts);
        for entry in jettons {
            let (asset, jetton) = entry.list(&facts.chain, self.realm).map_err(wrong)?;
            facts.assets.retain(|known| known.id != asset.id);
            self.registry.jettons.insert(jetton.master, Arc::new(jetton));
            facts.assets.push(asset);
        }
        self.facts = Arc::new(facts);
        Ok(self)
    }

    /// The jetton of an asset; `None` for the network's own money.
    #[must_use]
    pub fn jetton(&self, asset: &Asset) -> Option<&Arc<Jetton>> {
        self.registry.jettons.values().find(|jetton| jetton.listed.asset == asset.id)
    }
}

impl Listed {
    fn of(asset: &Asset) -> Self {
        Self { asset: asset.id.clone(), min_amount: asset.min_amount }
    }
}

#[cfg(test)]
mod tests {
    use amn_core::block::Inclusion;

    use super::*;
    use crate::address;

    fn shipped(id: &str) -> TonNetwork {
        TonNetwork::shipped(id).unwrap().unwrap()
    }

    fn parse(text: &str) -> Result<TonNetwork, String> {
        TonNetwork::parse(&NetworkId::new("mine"), "networks/mine.toml", text).map_err(|error| error.to_string())
    }

    fn mainnet() -> &'static str {
        SHIPPED[0].1
    }

    fn line(text: &str, holds: &str) -> usize {
        text.lines().position(|line| line.contains(holds)).unwrap() + 1
    }

    #[test]
    fn every_shipped_network_reads_and_asks_for_proof_and_two_operators() {
        for (id, _) in SHIPPED {
            let facts = shipped(id).facts;
            assert!(facts.instant_finality);
            let native: Vec<_> = facts.assets.iter().filter(|asset| asset.native).collect();
            assert_eq!((native.len(), native[0].decimals), (1, 9), "{id}");
            assert_eq!(facts.policy.require.inclusion, Some(Inclusion::Proven), "{id}");
            assert_eq!(facts.policy.require.operators, Some(2), "{id}");
        }
        let (main, test) = (shipped("ton-mainnet"), shipped("ton-testnet"));
        assert_eq!((main.global_id, main.realm), (-239, Realm::Mainnet));
        assert_eq!((test.global_id, test.realm), (-3, Realm::Testnet));
        assert_eq!((main.facts.chain.as_str(), test.facts.chain.as_str()), ("tvm:-239", "tvm:-3"));
    }

    #[test]
    fn the_main_network_lists_usdt_with_six_decimals_and_its_wallets() {
        let network = shipped("ton-mainnet");
        let asset = &network.facts.assets[1];
        assert_eq!((asset.symbol.as_str(), asset.decimals, asset.native), ("USDT", 6, false));
        assert_eq!(
            asset.id.as_str(),
            "tvm:-239/jetton:0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe"
        );
        let jetton = network.jetton(asset).unwrap();
        assert_eq!(jetton.master.to_string(), asset.id.as_str().rsplit_once("jetton:").unwrap().1);
        assert!(network.jetton(&network.facts.assets[0]).is_none());
    }

    #[test]
    fn a_wallet_that_does_not_follow_from_the_code_is_refused_with_its_line() {
        let library = "8f452d7a4dfd74066b682365177259ed05734435be76b5fd4bd5d8af2b7c3d68";
        let other = library.replacen('8', "9", 1);
        let error = parse(&mainnet().replace(library, &other)).unwrap_err();
        let start = format!("networks/mine.toml: line {}: ", line(mainnet(), "example_wallet"));
        assert!(error.starts_with(&start) && error.contains("USDT"), "{error}");
        let error = parse(&mainnet().replace("\"governed\"", "\"standard\"")).unwrap_err();
        assert!(error.starts_with(&start), "{error}");
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let master = "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs";
        let mistyped = master.replacen('x', "y", 1);
        let error = parse(&mainnet().replace(master, &mistyped)).unwrap_err();
        assert!(error.starts_with(&format!("networks/mine.toml: line {}: ", line(mainnet(), master))), "{error}");
        assert!(error.contains("checksum"), "{error}");
        let error = parse(&mainnet().replace("block_time_ms", "block_time")).unwrap_err();
        assert!(error.contains("line ") && error.contains("block_time"), "{error}");
        let both = mainnet().replace("layout =", "wallet_code = \"te6ccg==\"\nlayout =");
        assert!(parse(&both).unwrap_err().contains("wallet_library or wallet_code"), "{both}");
        let code = mainnet().replace("wallet_library = \"8f", "wallet_code = \"8f");
        let error = parse(&code).unwrap_err();
        assert!(error.contains("wallet_code") && error.contains("line "), "{error}");
    }

    #[test]
    fn what_says_two_things_or_could_never_be_met_is_refused() {
        let twice = mainnet().split("[[jetton]]").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
        let error = parse(&mainnet().replacen("[require]", &format!("[[jetton]]{twice}\n\n[require]"), 1)).unwrap_err();
        assert!(error.contains("listed twice"), "{error}");
        let error = parse(&mainnet().replace("operators = 2", "operators = 2\nattestations = 1")).unwrap_err();
        assert!(error.contains("attestations"), "{error}");
        let tier =
            format!("{}\n[[tiers]]\nasset = \"tvm:-239/slip44:1\"\nat_least = \"1\"\nrequire = {{}}\n", mainnet());
        assert!(parse(&tier).unwrap_err().contains("not an asset of this network"));
        let error = parse(&mainnet().replace("tvm:-239", "tvm:-3")).unwrap_err();
        assert!(error.contains("mainnet"), "{error}");
        let error = parse(&mainnet().replace("\"tvm:-239\"", "\"ton\"")).unwrap_err();
        assert!(error.contains("CAIP-2"), "{error}");
    }

    #[test]
    fn a_jetton_of_the_operator_is_listed_beside_those_shipped() {
        let read: NetworkFile = toml::from_str(mainnet()).unwrap();
        let mut entry = read.jetton[0].clone();
        entry.symbol = "TST".to_owned();
        entry.example_owner = None;
        entry.example_wallet = None;
        entry.master = address::Account::new(0, [7; 32]).to_string();
        let network = shipped("ton-mainnet").with_jettons("amn.toml", std::slice::from_ref(&entry)).unwrap();
        assert_eq!((network.registry.jettons.len(), network.facts.assets.len()), (2, 3));
        entry.decimals = 77;
        assert!(shipped("ton-mainnet").with_jettons("amn.toml", &[entry]).is_err());
    }
}
