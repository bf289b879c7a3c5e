//! A network of the tests, and who appears on it.

use amn_core::block::Block;
use amn_soroban::address::Place;
use amn_soroban::asset;
use amn_soroban::decode;
use amn_soroban::evidence::{Verified, verify};
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::event::Token;
use amn_soroban::testkit::{Chain, Tx, Validator};
use stellar_xdr::{Asset, Memo};

use crate::support::*;

pub const SHOP: Place = Place::Account([0x51; 32]);
pub const ESCROW: Place = Place::Contract([0xe5; 32]);
pub const PAYER: Place = Place::Account([0xfa; 32]);
pub const OTHER: Place = Place::Account([0x07; 32]);
pub const ISSUER: Place = Place::Account([0x15; 32]);

pub const PASSPHRASE: &str = "A network of the tests ; November 2026";

/// A test's network: XLM and a USD of its own.
pub struct Scene {
    pub network: SorobanNetwork,
    pub usd: Asset,
    pub chain: Chain,
    pub validator: Validator,
}

pub fn scene(protocol: u32) -> Scene {
    let network = network(PASSPHRASE);
    let (usd, entry) = own_asset(&network, "USD", ISSUER);
    let network = network.with_assets("the test", &[entry], &[]).unwrap();
    let validator = Validator::new(1);
    let network = SorobanNetwork {
        organisations: with_organisations(&network, &[vec![validator.key()]]).organisations,
        ..network
    };
    Scene { network, usd, chain: Chain::new(PASSPHRASE, protocol), validator }
}

impl Scene {
    pub fn token(&self) -> Token {
        let contract = asset::contract_of(self.network.network_id, &self.usd);
        Token { contract, name: Some(asset::sep11(&self.usd)) }
    }

    pub fn verified(&mut self, transactions: &[Tx]) -> Verified {
        let on = self.chain.tip;
        let closed = self.chain.close(transactions, &self.validator);
        let ledger = Ledger::decode(&closed.bytes()).unwrap();
        assert_eq!(ledger.at(), closed.at);
        verify(&self.network, ledger, Some(on)).unwrap()
    }

    /// What the shop and the escrow contract see of a ledger with these transactions.
    pub fn block(&mut self, transactions: &[Tx]) -> Block {
        let verified = self.verified(transactions);
        decode::block(&self.network.registry, &watch([SHOP, ESCROW]), &verified)
    }

    /// Amounts with their references.
    pub fn paid(&mut self, transactions: &[Tx]) -> Vec<(u128, String)> {
        let block = self.block(transactions);
        let said = |t: &amn_core::block::Transfer| t.reference.as_ref().map(ToString::to_string).unwrap_or_default();
        block.transfers.iter().map(|transfer| (transfer.amount.units(), said(transfer))).collect()
    }
}

pub fn kinds(block: &Block) -> Vec<&str> {
    block.observations.iter().map(|seen| seen.kind.as_str()).collect()
}

pub fn text(memo: &str) -> Memo {
    Memo::Text(memo.as_bytes().to_vec().try_into().unwrap())
}
