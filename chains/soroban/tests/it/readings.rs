//! A network that lists whatever the second reader found. The tests of the daemon share this file with the reader.

use std::collections::BTreeSet;
use std::sync::Arc;

use amn_core::money::Amount;
use amn_soroban::asset;
use amn_soroban::decode::Listed;
use amn_soroban::networks::{ClassicEntry, ContractKey, HashKey, SorobanNetwork, TokenEntry};

use super::second_reader::Found;

/// The network with every asset that these credits name on its list, and no amount too small.
pub fn listing(network: SorobanNetwork, found: &Found) -> SorobanNetwork {
    let names: BTreeSet<&str> = found.credits.iter().map(|credit| credit.asset.as_str()).collect();
    let (mut classic, mut tokens) = (Vec::new(), Vec::new());
    for name in names {
        let one = one_stroop();
        if let Some((code, issuer)) = name.split_once(':') {
            let contract = asset::contract_of(network.network_id, &asset::classic(code, issuer).unwrap());
            classic.push(ClassicEntry {
                symbol: code.to_owned(),
                code: code.to_owned(),
                issuer: issuer.to_owned(),
                contract: ContractKey(contract),
                min_amount: one,
            });
        } else if name != "native" {
            let contract = ContractKey(stellar_strkey::Contract::from_string(name).unwrap().0);
            let (symbol, wasm_hash) = (name.to_owned(), HashKey([0; 32]));
            tokens.push(TokenEntry { symbol, contract, decimals: 7, wasm_hash, min_amount: one });
        }
    }
    let mut network = network.with_assets("the ledger", &classic, &tokens).unwrap();
    // Its own money without a least amount, too.
    let (native, listed) =
        network.registry.contracts.iter().find(|(_, listed)| listed.native).map(|(id, l)| (*id, l.clone())).unwrap();
    let listed = Arc::new(Listed { min_amount: one_stroop(), ..(*listed).clone() });
    network.registry.contracts.insert(native, listed.clone());
    network.registry.classic.insert(stellar_xdr::Asset::Native, listed);
    let facts = Arc::make_mut(&mut network.facts);
    facts.assets.iter_mut().for_each(|asset| asset.min_amount = one_stroop());
    network
}

pub fn one_stroop() -> Amount {
    Amount::new(1)
}
