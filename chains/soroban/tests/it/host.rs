//! What the network's real token contract does, call by call, in ledgers of ours: who is credited with what.

use std::collections::BTreeMap;

use amn_core::block::{Address, Block};
use amn_soroban::address::Place;
use amn_soroban::asset;
use amn_soroban::decode;
use amn_soroban::evidence::verify;
use amn_soroban::ledger::Ledger;
use amn_soroban::networks::{ClassicEntry, ContractKey, HashKey, SorobanNetwork, TokenEntry};
use amn_soroban::testkit::event::Token;
use amn_soroban::testkit::host::{self, Cast, HostCall};
use amn_soroban::testkit::{Chain, Validator};
use stellar_xdr::{Asset, ScVal};

use crate::scene::kinds;
use crate::support::watch;

/// Call, who is credited with what (the shop and the contracts till and coin are watched), what is taken back, and
/// what is put aside.
type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const PAID: &[&str] = &["payer > till 250000000 USDC"];

const ROWS: &[Row] = &[
    ("account-to-account", &["payer > shop 250000000 USDC"], &[], &[]),
    ("account-to-contract", PAID, &[], &[]),
    ("approve", &[], &[], &[]),
    ("authorization-withdrawn", &[], &[], &["authorization_withdrawn"]),
    ("burn", &[], &[], &[]),
    ("clawback-from-account", &[], &["shop 250000000 USDC"], &[]),
    ("clawback-from-contract", &[], &["till 250000000 USDC"], &[]),
    ("coin-empty-map", &[], &[], &["malformed_transfer"]),
    ("coin-map", &["payer > till 250000000 COIN id:4242"], &[], &[]),
    ("coin-muxed-topic", &["payer > till 250000000 COIN id:4242"], &[], &[]),
    ("coin-negative", &[], &[], &["malformed_transfer"]),
    ("coin-one-topic", &[], &[], &["malformed_transfer"]),
    ("coin-text", &[], &[], &["malformed_transfer"]),
    ("coin-transfer", &["payer > till 250000000 COIN"], &[], &[]),
    ("contract-to-account", &["wallet > shop 250000000 USDC"], &[], &[]),
    ("contract-to-contract", &["wallet > till 250000000 USDC"], &[], &[]),
    ("contract-to-muxed-contract", &["wallet > till 250000000 USDC id:4242"], &[], &[]),
    ("escrow-funded", PAID, &[], &[]),
    ("escrow-refunded", &[], &[], &[]),
    ("escrow-said-only", &[], &[], &[]),
    ("escrow-settled", &[], &[], &[]),
    ("failed-after-payment", &[], &[], &[]),
    ("failed-mint-to-number", &[], &[], &[]),
    ("failed-too-poor", &[], &[], &[]),
    ("failed-within", &[], &[], &[]),
    ("fake-mint", &[], &[], &["unlisted_asset"]),
    ("fake-token", &[], &[], &["unlisted_asset"]),
    ("huge", &["- > coin 170141183460469231731687303715884105727 USDC"], &[], &[]),
    ("issuer-pays", &["- > till 250000000 USDC"], &[], &[]),
    ("mint-to-account", &["- > shop 250000000 USDC"], &[], &[]),
    ("mint-to-contract", &["- > till 250000000 USDC"], &[], &[]),
    ("native-to-account", &["payer > shop 250000000 XLM"], &[], &[]),
    ("native-to-contract", &["payer > till 250000000 XLM"], &[], &[]),
    ("native-to-muxed-contract", &["payer > till 250000000 XLM id:4242"], &[], &[]),
    ("no-topics", PAID, &[], &[]),
    ("on-an-allowance", PAID, &[], &[]),
    ("paid-to-issuer", &[], &[], &[]),
    ("poison-deep", PAID, &[], &[]),
    ("poison-empty-map", PAID, &[], &[]),
    ("through-a-router", PAID, &[], &[]),
    ("to-itself", &[], &[], &[]),
    ("to-muxed-account", &["payer > shop 250000000 USDC id:4242"], &[], &[]),
    ("to-muxed-contract", &["payer > till 250000000 USDC id:4242"], &[], &[]),
    ("zero", &[], &[], &[]),
];

fn usdc(cast: &Cast) -> Asset {
    asset::classic("USDC", cast.address("issuer").as_str()).unwrap()
}

/// The network that the calls were made on, with their assets on its list.
fn network(cast: &Cast) -> SorobanNetwork {
    let standalone = SorobanNetwork::shipped("stellar-standalone").unwrap().unwrap();
    assert_eq!(standalone.passphrase, cast.passphrase);
    let one = amn_core::money::Amount::new(1);
    let key = |name: &str| {
        let (Place::Contract(id) | Place::Account(id)) = cast.place(name);
        ContractKey(id)
    };
    let usdc = ClassicEntry {
        symbol: "USDC".to_owned(),
        code: "USDC".to_owned(),
        issuer: cast.address("issuer").to_string(),
        contract: key("usdc"),
        min_amount: one,
    };
    let coin = TokenEntry {
        symbol: "COIN".to_owned(),
        contract: key("coin"),
        decimals: 7,
        wasm_hash: HashKey([0; 32]),
        min_amount: one,
    };
    standalone.with_assets("the test", &[usdc], &[coin]).unwrap()
}

/// What a ledger with this call alone holds for those who are watched.
fn block(cast: &Cast, network: &SorobanNetwork, call: &HostCall) -> Block {
    let mut chain = Chain::new(&network.passphrase, call.protocol);
    let on = chain.tip;
    let closed = chain.close(&[call.tx()], &Validator::new(1));
    let verified = verify(network, Ledger::decode(&closed.bytes()).unwrap(), Some(on)).unwrap();
    let watched = ["shop", "till", "coin"].map(|name| cast.place(name));
    decode::block(&network.registry, &watch(watched), &verified)
}

struct Names {
    people: BTreeMap<Address, &'static str>,
    assets: BTreeMap<String, String>,
}

impl Names {
    fn new(cast: &Cast, network: &SorobanNetwork) -> Self {
        let people = ["issuer", "payer", "shop", "wallet", "till", "router", "coin", "stranger"];
        let assets = network.facts.assets.iter().map(|asset| (asset.id.to_string(), asset.symbol.clone()));
        Self { people: people.map(|name| (cast.address(name), name)).into(), assets: assets.collect() }
    }

    fn credits(&self, block: &Block) -> Vec<String> {
        let credits = block.transfers.iter().map(|transfer| {
            let from = transfer.from.as_ref().map_or("-", |from| self.people[from]);
            let (to, asset) = (self.people[&transfer.to], &self.assets[transfer.asset.as_str()]);
            let reference = transfer.reference.as_ref().map(|reference| format!(" {reference}")).unwrap_or_default();
            format!("{from} > {to} {} {asset}{reference}", transfer.amount.units())
        });
        credits.collect()
    }

    fn takebacks(&self, block: &Block) -> Vec<String> {
        let said = block.takebacks.iter().map(|taken| {
            let asset = &self.assets[taken.asset.as_str()];
            format!("{} {} {asset}", self.people[&taken.from], taken.amount.units())
        });
        said.collect()
    }
}

#[test]
fn what_the_real_token_contract_emits_is_credited_to_whom_it_paid_and_to_nobody_else() {
    let cast = Cast::load().unwrap();
    let network = network(&cast);
    let names = Names::new(&cast, &network);
    let known: Vec<_> = ROWS.iter().map(|row| row.0).collect();
    assert_eq!(host::names().unwrap(), known, "each call is judged");
    for (name, credits, takebacks, aside) in ROWS {
        let call = HostCall::load(name).unwrap();
        let block = block(&cast, &network, &call);
        assert_eq!(names.credits(&block), *credits, "{name}");
        assert_eq!(names.takebacks(&block), *takebacks, "{name}");
        assert_eq!(kinds(&block), *aside, "{name}: {:?}", block.observations);
    }
}

#[test]
fn the_contracts_that_the_host_deployed_are_those_that_we_compute() {
    let cast = Cast::load().unwrap();
    let network = network(&cast);
    for (name, asset) in [("usdc", usdc(&cast)), ("xlm", Asset::Native)] {
        assert_eq!(cast.place(name), Place::Contract(asset::contract_of(network.network_id, &asset)), "{name}");
    }
}

#[test]
fn invented_events_are_those_of_the_real_contract() {
    let cast = Cast::load().unwrap();
    let network = network(&cast);
    let [payer, shop, till] = ["payer", "shop", "till"].map(|name| cast.place(name));
    let sum = 250_000_000;
    let token = |asset: &Asset| Token {
        contract: asset::contract_of(network.network_id, asset),
        name: Some(asset::sep11(asset)),
    };
    let (usdc, xlm) = (token(&usdc(&cast)), token(&Asset::Native));
    let id = || ScVal::U64(4242);
    let invented = [
        ("account-to-contract", usdc.transfer(payer, till, sum)),
        ("native-to-contract", xlm.transfer(payer, till, sum)),
        ("to-muxed-account", usdc.transfer_with(payer, shop, sum, id())),
        ("to-muxed-contract", usdc.transfer_with(payer, till, sum, id())),
        ("mint-to-contract", usdc.mint(till, sum)),
        ("issuer-pays", usdc.mint(till, sum)),
        ("clawback-from-contract", usdc.clawback(till, sum)),
    ];
    for (name, event) in invented {
        assert_eq!(HostCall::load(name).unwrap().events, [event], "{name}");
    }
}

#[test]
fn a_call_that_failed_shows_no_event_even_where_money_had_moved_within_it() {
    for name in ["failed-after-payment", "failed-mint-to-number", "failed-too-poor"] {
        let call = HostCall::load(name).unwrap();
        assert!(call.returned.is_none() && call.events.is_empty(), "{name}");
    }
    let within = HostCall::load("failed-within").unwrap();
    assert!(within.returned.is_some() && within.events.is_empty());
}
