//! Networks of the configuration that cannot be, each with its place; and Stellar's own keys.

mod ton;

use super::file::all_shipped;
use super::*;

const NODES: &str = r#"
[[networks.stellar-testnet.endpoints]]
name = "a"
url = "https://a.example/KEY-OF-A"
operator = "alpha"
[[networks.stellar-testnet.endpoints]]
name = "b"
url = "https://b.example/KEY-OF-B"
operator = "beta"
"#;

/// What EURC is on the test network is shipped; this is another issuer's, and the contract that follows from it.
const ASSET: &str = r#"
[[networks.stellar-testnet.assets]]
code = "SHOP"
issuer = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"
contract = "CONTRACT"
min_amount = "100"
"#;

const TOKEN: &str = r#"
[[networks.stellar-testnet.tokens]]
address = "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75"
symbol = "TKN"
decimals = 9
wasm_hash = "0707070707070707070707070707070707070707070707070707070707070707"
"#;

fn build(text: &str) -> Result<Networks, String> {
    let config = config::Config::parse("amn.toml", text, std::iter::empty()).map_err(|errors| errors.to_string())?;
    Networks::build(&config).map_err(|problems| problems.join("\n"))
}

fn built(text: &str) -> Served {
    build(text).unwrap().get(&NetworkId::new("stellar-testnet")).unwrap().clone()
}

fn of(network: &str) -> String {
    NODES.replace("stellar-testnet", network)
}

fn asset() -> String {
    let network = amn_soroban::networks::SorobanNetwork::shipped("stellar-testnet").unwrap().unwrap();
    let issuer = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
    let of = amn_soroban::asset::classic("SHOP", issuer).unwrap();
    let contract = amn_soroban::address::Place::Contract(amn_soroban::asset::contract_of(network.network_id, &of));
    ASSET.replace("CONTRACT", contract.spell().as_str())
}

#[test]
fn every_shipped_network_of_any_family_is_served_by_its_name_alone() {
    for (id, (family, _)) in all_shipped() {
        let nodes = if family == "ton" { ton::NODES.replace("ton-mainnet", id) } else { of(id) };
        let networks = build(&nodes).unwrap();
        let served = networks.get(&NetworkId::new(id)).unwrap();
        assert_eq!(served.family(), family);
        // Whoever runs a standalone network knows its validators; nobody else does.
        assert_eq!(served.attesters > 0, family == "soroban" && id != "stellar-standalone", "{id}");
    }
}

#[test]
fn assets_and_tokens_of_the_operator_are_listed_beside_those_shipped() {
    let served = built(&format!("{NODES}{}{TOKEN}", asset()));
    let symbols: Vec<_> = served.facts.assets.iter().map(|asset| asset.symbol.as_str()).collect();
    assert_eq!(symbols, ["XLM", "USDC", "EURC", "SHOP", "TKN"]);
    let ids: Vec<_> = served.facts.assets.iter().skip(3).map(|asset| asset.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "stellar:testnet/asset:SHOP-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN",
            "stellar:testnet/sep41:CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75",
        ]
    );
}

#[test]
fn a_lake_is_no_operator_and_no_node() {
    let lake = "[[networks.stellar-testnet.endpoints]]\nname = \"lake\"\nkind = \"data-lake\"\nurl = \
                \"https://lake.example/KEY-OF-LAKE/testnet\"\noperator = \"gamma\"\n";
    let served = built(&format!("{NODES}{lake}"));
    assert_eq!(served.config.operators().len(), 2);
    assert!(!served.family_facts().to_string().contains("KEY-OF"), "{}", served.family_facts());
    assert_eq!(served.family_facts()["lakes"][0]["shown_url"], "https://lake.example");
    let alone = NODES.replace("operator = \"beta\"", "operator = \"beta\"\nkind = \"data-lake\"");
    let error = build(&alone).unwrap_err();
    assert!(error.contains("run by 2 operators in production"), "{error}");
}

/// What is added to, or changed of, a good configuration, and what is said of it.
fn wrong() -> Vec<(&'static str, String, &'static str)> {
    let with = |more: &str| format!("{NODES}{more}");
    let lake = |more: &str| {
        with(&format!(
            "[[networks.stellar-testnet.endpoints]]\nname = \"lake\"\nkind = \"data-lake\"\noperator = \"gamma\"\n{more}\n"
        ))
    };
    let base = NODES.replace("stellar-testnet", "base");
    vec![
        (
            "an asset's contract that is another's",
            with(&ASSET.replace("CONTRACT", "CDLZFC3SYJYDZT7K67VZ75HPJVIEUVNIXF47ZG2FB2RMQQVU2HHGCYSC")),
            "is not the contract of SHOP: on this network that is C",
        ),
        (
            "an issuer with a letter changed",
            with(&asset().replace("GA5ZS", "GA5ZZ")),
            "an issuer is an account, G and 55 letters and digits",
        ),
        (
            "an asset code of 13 letters",
            with(&asset().replace("\"SHOP\"", "\"SHOPSHOPSHOPS\"")),
            "assets[0].code: must be 1 to 12 letters and digits",
        ),
        (
            "an asset without its contract",
            with(&asset().replace("contract = ", "#")),
            "assets[0].contract: must be given; found nothing",
        ),
        ("a token without the hash of its code", with(&TOKEN.replace("wasm_hash = ", "#")), "wasm_hash must be given"),
        (
            "a token at an account",
            with(&TOKEN.replace(
                "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75",
                "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN",
            )),
            "a contract is C and 55 letters and digits",
        ),
        (
            "a token's hash of two digits",
            with(&TOKEN.replace("\"0707", "\"07\"#")),
            "tokens[0].wasm_hash: must be the hash of the contract's code: 64 hexadecimal digits",
        ),
        (
            "Stellar's assets on an EVM network",
            format!("{base}{}", asset().replace("stellar-testnet", "base")),
            "assets are Stellar's",
        ),
        (
            "wasm_hash on an EVM network",
            format!(
                "{base}{}",
                TOKEN.replace("stellar-testnet", "base").replace(
                    "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75",
                    "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2"
                )
            ),
            "wasm_hash is for tokens of Stellar networks",
        ),
        (
            "a data lake on an EVM network",
            format!(
                "{base}[[networks.base.endpoints]]\nname = \"l\"\nkind = \"data-lake\"\noperator = \"c\"\nurl = \"https://l.example\"\n"
            ),
            "must be \"json-rpc\" for a network of this family; found \"data-lake\"",
        ),
        (
            "an endpoint of a kind nobody knows",
            with(
                "[[networks.stellar-testnet.endpoints]]\nname = \"h\"\nkind = \"horizon\"\noperator = \"c\"\nurl = \"https://h.example\"\n",
            ),
            "must be \"json-rpc\" or \"data-lake\" for a network of this family; found \"horizon\"",
        ),
        (
            "a folder where nodes are",
            with("[[networks.stellar-testnet.endpoints]]\nname = \"h\"\noperator = \"c\"\nurl = \"file:///lake\"\n"),
            "must be a URL that begins with https:// or http://",
        ),
        (
            "a data lake in a bucket's own words",
            lake("url = \"s3://bucket/lake\""),
            "url: must be a URL that begins with https:// or http:// or file://",
        ),
        (
            "a data lake in a folder without its scheme",
            lake("url = \"/srv/lake\""),
            "url: must be a URL that begins with https:// or http:// or file://",
        ),
        (
            "a data lake in a folder of another machine",
            lake("url = \"file://host/srv/lake\""),
            "url is not http(s)://host…, nor file:///… on this machine",
        ),
        (
            "a data lake in a folder with a question",
            lake("url = \"file:///srv/lake?version=2\""),
            "url is not http(s)://host…, nor file:///… on this machine",
        ),
        ("a data lake without an address", lake(""), "url: must be given"),
        (
            "a data lake with a WebSocket",
            lake("url = \"https://l.example\"\nws = \"wss://l.example\""),
            "files announce nothing",
        ),
        (
            "data lakes alone",
            NODES.replace("operator =", "kind = \"data-lake\"\noperator ="),
            "must be beside data lakes at least one that knows the head",
        ),
        (
            "a WebSocket to a Stellar node",
            NODES.replace("operator = \"beta\"", "operator = \"beta\"\nws = \"wss://b.example\""),
            "Stellar nodes announce nothing",
        ),
        (
            "a payment proxy on Stellar",
            with(
                "[[networks.stellar-testnet.proxies]]\nkind = \"eth-fee\"\naddress = \"0x1892196E80C4c17ea5100Da765Ab48c1fE2Fb814\"\n",
            ),
            "payment proxies are for EVM networks",
        ),
        (
            "balances compared on Stellar",
            format!("[networks.stellar-testnet]\nbalance_check = 10\n{NODES}"),
            "balance_check is for EVM networks",
        ),
        (
            "more attestations than organisations",
            format!("[networks.stellar-testnet]\nrequire = {{ attestations = 2 }}\n{NODES}"),
            "attestations = 2 can never be met: 1 organisations of this network attest",
        ),
        (
            "attestations on an EVM network",
            format!("[networks.base]\nrequire = {{ attestations = 1 }}\n{base}"),
            "attestations = 1 can never be met: 0 organisations of this network attest",
        ),
        (
            "a network that nobody ships",
            NODES.replace("stellar-testnet", "stellar-mainnet"),
            "is no network this binary ships (ethereum",
        ),
        ("one operator in production", NODES.replace("\"beta\"", "\"alpha\""), "run by 2 operators in production"),
    ]
}

#[test]
fn what_cannot_be_is_named_with_its_line_and_without_a_key() {
    all_are_told(wrong());
}

fn all_are_told(wrong: Vec<(&'static str, String, &'static str)>) {
    let table = include_str!("../../docs/BAD-INPUT.md");
    let mut missing = String::new();
    for (case, text, said) in wrong {
        let error = build(&text).unwrap_err();
        assert!(error.contains(said), "{case}: {error}");
        assert!(error.starts_with("amn.toml:"), "{case}: {error}");
        assert!(!error.contains("KEY-OF"), "{case}: {error}");
        if !table.contains(&format!("| {case} | {said}")) {
            missing = format!("{missing}| {case} | {said} |\n");
        }
    }
    assert!(missing.is_empty(), "docs/BAD-INPUT.md lacks these rows:\n{missing}");
}

const LISTENER: &str = r#"
[[watch.contract]]
network = "stellar-testnet"
contract = "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75"
tenant = "seller-7"
topics = [["symbol:escrow_funded", "**"]]
"#;

#[test]
fn a_listener_is_read_by_the_family_of_its_network() {
    let served = built(&format!("{NODES}{LISTENER}"));
    let [wish] = served.wishes() else { panic!("one wish") };
    assert_eq!(wish.contract.as_str(), "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75");
    assert_eq!(wish.patterns[0].texts(), ["symbol:escrow_funded", "**"]);
    let all = LISTENER.replace("topics = [[\"symbol:escrow_funded\", \"**\"]]", "");
    let served = built(&format!("{NODES}{all}"));
    assert_eq!(served.wishes()[0].patterns[0].texts(), ["**"], "nothing said is everything");
}

#[test]
fn a_listener_that_cannot_be_is_refused_with_its_line_and_what_is_wrong() {
    let nodes = |network: &str| NODES.replace("stellar-testnet", network);
    let place = NODES.lines().count() + 2;
    for (text, expected) in [
        (
            format!("{}{}", nodes("base"), LISTENER.replace("stellar-testnet", "base")),
            "network: contract events are watched on Stellar networks; base is none",
        ),
        (
            format!("{NODES}{}", LISTENER.replace("stellar-testnet", "stellar-pubnet")),
            "network: there is no [networks.stellar-pubnet]",
        ),
        (
            format!("{NODES}{}", LISTENER.replace("CCW67", "GCW67")),
            "contract: a contract is C and 55 letters and digits; got \"GCW67TSZV3",
        ),
        (
            format!("{NODES}{}", LISTENER.replace("symbol:escrow_funded", "escrow_funded")),
            "topics: pattern 1: \"escrow_funded\" is not \"*\", a \"**\" at the end, or a value with its type",
        ),
        (
            format!("{NODES}{}", LISTENER.replace("[\"symbol:escrow_funded\", \"**\"]", "[\"**\", \"*\"]")),
            "topics: pattern 1: has ** before its end",
        ),
    ] {
        let error = build(&text).unwrap_err();
        assert!(error.contains(&format!("amn.toml:{place}:1: [[watch.contract]] {expected}")), "{error}");
    }
}
