//! TON's own keys, and TON networks that cannot be.

use super::*;

pub(super) const NODES: &str = r#"
[[networks.ton-mainnet.endpoints]]
name = "a2"
kind = "toncenter-v2"
url = "https://a.example/api/v2/KEY-OF-A"
operator = "alpha"
[[networks.ton-mainnet.endpoints]]
name = "a3"
kind = "toncenter-v3"
url = "https://a.example/api/v3/KEY-OF-A"
operator = "alpha"
[[networks.ton-mainnet.endpoints]]
name = "b"
kind = "tonapi"
url = "https://b.example/v2/KEY-OF-B"
ws = "wss://b.example/streaming/v2/ws?token=KEY-OF-B"
operator = "beta"
"#;

const JETTON: &str = r#"
[[networks.ton-mainnet.jettons]]
symbol = "SHOP"
master = "0:0707070707070707070707070707070707070707070707070707070707070707"
decimals = 9
layout = "governed"
wallet_library = "8f452d7a4dfd74066b682365177259ed05734435be76b5fd4bd5d8af2b7c3d68"
min_amount = "1000"
"#;

fn served(text: &str) -> Served {
    build(text).unwrap().get(&NetworkId::new("ton-mainnet")).unwrap().clone()
}

#[test]
fn a_jetton_of_the_operator_is_listed_beside_those_shipped() {
    let served = served(&format!("{NODES}{JETTON}"));
    let symbols: Vec<_> = served.facts.assets.iter().map(|asset| asset.symbol.as_str()).collect();
    assert_eq!(symbols, ["TON", "USDT", "SHOP"]);
    assert_eq!(
        served.facts.assets[2].id.as_str(),
        "tvm:-239/jetton:0:0707070707070707070707070707070707070707070707070707070707070707"
    );
    assert_eq!(served.config.operators().len(), 2, "two faces of one provider are one operator");
    assert!(!format!("{} {served:?}", served.family_facts()).contains("KEY-OF"), "{}", served.family_facts());
}

#[test]
fn an_address_is_taken_in_every_form_and_has_one_spelling() {
    let served = served(NODES);
    let raw = "0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe";
    let shown = "UQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_p0p";
    let bounceable = "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs";
    for form in [raw, &raw.to_uppercase(), shown, bounceable, &bounceable.replace('_', "/"), &format!(" {raw}\n")] {
        assert_eq!(served.parse_address(form).unwrap(), (Address::new(shown), None), "{form}");
    }
    let for_tests = amn_ton::address::parse(raw, amn_ton::address::Realm::Testnet).unwrap();
    let for_tests = for_tests.spell(amn_ton::address::Realm::Testnet);
    assert!(served.parse_address(for_tests.as_str()).unwrap_err().contains("for test networks alone"));
    assert!(served.parse_address(&shown.replace("UQCx", "UQCy")).unwrap_err().contains("checksum"));
    assert!(served.parse_address("1:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe").is_err());
}

#[test]
fn native_money_carries_no_number() {
    let served = served(NODES);
    let (ton, usdt) = (&served.facts.assets[0], &served.facts.assets[1]);
    let to = Address::new("UQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_p0p");
    let number = Reference::new("query:7");
    assert!(served.unpayable(ton, &to, &number).unwrap().contains("text:"));
    assert_eq!(served.unpayable(usdt, &to, &number), None);
    assert_eq!(served.unpayable(ton, &to, &Reference::new("text:7")), None);
    assert!(served.gives_references(&to), "any address may be shared");
}

#[test]
fn the_family_of_a_file_is_told_by_its_chain_even_where_it_does_not_read() {
    for (_, (family, text)) in all_shipped() {
        let ours = family == "ton";
        assert_eq!(
            (super::super::ton::speaks_of(text), super::super::ton::speaks_of(&format!("{text}\n[[[b"))),
            (ours, ours)
        );
    }
}

#[test]
fn a_network_whose_questions_are_sold_by_the_second_is_looked_at_once_a_second() {
    assert_eq!(served(NODES).poll(), Duration::from_secs(1));
    assert_eq!(served(&format!("[networks.ton-mainnet]\npoll_ms = 100\n{NODES}")).poll(), Duration::from_millis(100));
}

/// What is added to, or changed of, a good configuration, and what is said of it.
fn wrong() -> Vec<(&'static str, String, &'static str)> {
    let with = |more: &str| format!("{NODES}{more}");
    let token = TOKEN.replace("stellar-testnet", "ton-mainnet");
    vec![
        (
            "a TON endpoint without its kind",
            NODES.replacen("kind =", "#", 1),
            "endpoint a2: kind: must be \"toncenter-v2\" or \"toncenter-v3\" or \"tonapi\" for a network of this family; found nothing",
        ),
        (
            "a TON endpoint that speaks JSON-RPC",
            NODES.replace("\"tonapi\"", "\"json-rpc\""),
            "endpoint b: kind: must be \"toncenter-v2\" or \"toncenter-v3\" or \"tonapi\" for a network of this family; found \"json-rpc\"",
        ),
        (
            "a TON endpoint on an EVM network",
            of("base").replacen("operator", "kind = \"tonapi\"\noperator", 1),
            "kind: must be \"json-rpc\" for a network of this family; found \"tonapi\"",
        ),
        (
            "TON indexers that show no transaction",
            NODES.replace("toncenter-v2", "toncenter-v3").replace("tonapi", "toncenter-v3"),
            "toncenter-v3 shows no transaction as it was committed, so nothing could be proven: name a toncenter-v2 or tonapi beside it",
        ),
        (
            "two faces of one host under two operators",
            NODES.replacen("\"alpha\"", "\"gamma\"", 1),
            "endpoint a3: operator: a2 is on the same host, so its operator is the same: gamma; found alpha",
        ),
        (
            "a jetton without its master",
            with(&JETTON.replace("master =", "#")),
            "jettons[0].master: must be given; found nothing",
        ),
        (
            "a jetton without the layout of its wallets",
            with(&JETTON.replace("layout =", "#")),
            "jettons[0].layout: must be given; found nothing",
        ),
        (
            "a jetton of an unknown layout",
            with(&JETTON.replace("governed", "odd")),
            "jettons[0].layout: must be \"standard\" or \"governed\"; found \"odd\"",
        ),
        (
            "a jetton without its wallets' code",
            with(&JETTON.replace("wallet_library =", "#")),
            "SHOP needs wallet_library or wallet_code, one of them",
        ),
        (
            "a jetton with its wallets' code twice",
            with(&format!("{JETTON}wallet_code = \"te6ccg==\"\n")),
            "SHOP needs wallet_library or wallet_code, one of them",
        ),
        (
            "a jetton's code that is no bag of cells",
            with(&JETTON.replace("wallet_library = \"8f", "wallet_code = \"8f")),
            "wallet_code of SHOP: ",
        ),
        (
            "a jetton's library hash of two digits",
            with(&JETTON.replace("\"8f45", "\"8f\"#")),
            "jettons[0].wallet_library: must be the hash of the wallets' code in the masterchain's library: 64 hexadecimal digits",
        ),
        (
            "a jetton's example that does not follow",
            with(&format!("{JETTON}example_owner = \"0:{a}\"\nexample_wallet = \"0:{a}\"\n", a = "11".repeat(32))),
            "is not the SHOP wallet of 0:",
        ),
        (
            "half an example of a jetton",
            with(&format!("{JETTON}example_owner = \"0:{}\"\n", "11".repeat(32))),
            "SHOP: an example is an owner and his wallet, both or neither",
        ),
        (
            "a jetton's master mistyped",
            with(&JETTON.replace("0:0707", "0:07")),
            "an address is 48 letters and digits (UQ…, EQ…) or raw, 0:<64 hexadecimal digits>",
        ),
        (
            "jettons on an EVM network",
            format!("{}{}", of("base"), JETTON.replace("ton-mainnet", "base")),
            "jettons are TON's; an EVM network's are its tokens",
        ),
        (
            "jettons on a Stellar network",
            format!("{}{}", super::NODES, JETTON.replace("ton-mainnet", "stellar-testnet")),
            "jettons are TON's; a Stellar network's are its assets and tokens",
        ),
        (
            "tokens on a TON network",
            with(&token),
            "tokens of a TON network are jettons: [[jettons]], with their master",
        ),
        (
            "Stellar's assets on a TON network",
            with(&asset().replace("stellar-testnet", "ton-mainnet")),
            "assets are Stellar's; a TON network's are its jettons",
        ),
        (
            "a payment proxy on TON",
            with(
                "[[networks.ton-mainnet.proxies]]\nkind = \"eth-fee\"\naddress = \"0x1892196E80C4c17ea5100Da765Ab48c1fE2Fb814\"\n",
            ),
            "payment proxies are for EVM networks",
        ),
        (
            "balances compared on TON",
            format!("[networks.ton-mainnet]\nbalance_check = 10\n{NODES}"),
            "balance_check is for EVM networks: on TON",
        ),
        (
            "a data lake on a TON network",
            with(
                "[[networks.ton-mainnet.endpoints]]\nname = \"l\"\nkind = \"data-lake\"\noperator = \"c\"\nurl = \"https://l.example\"\n",
            ),
            "found \"data-lake\"",
        ),
        (
            "attestations on a TON network",
            format!("[networks.ton-mainnet]\nrequire = {{ attestations = 1 }}\n{NODES}"),
            "attestations = 1 can never be met: 0 organisations of this network attest",
        ),
        ("one TON operator in production", NODES.replace("\"beta\"", "\"alpha\""), "run by 2 operators in production"),
    ]
}

#[test]
fn what_cannot_be_of_ton_is_named_with_its_line_and_without_a_key() {
    all_are_told(wrong());
}
