//! How nodes are to be used: wrong values by the table, and right ones with their units.

use super::*;

/// Lines of an endpoint that takes the place of the first, and what is said of it.
const WRONG_IN_ENDPOINT: &[(&str, &str)] = &[
    ("kind = \"JSON RPC\"", r#"kind: must be a word such as "json-rpc"; found "JSON RPC""#),
    ("order = -1", "order: must be a whole number from 0 to 1000; found -1"),
    ("order = \"first\"", r#"order: must be a whole number from 0 to 1000; found "first""#),
    ("burst = 5", "burst: must be beside max_rps, of which it is the first moment; found no max_rps"),
    ("max_rps = 5\nburst = 0", "burst: must be a whole number from 1 to 10000; found 0"),
    ("concurrency = 257", "concurrency: must be a whole number from 1 to 256; found 257"),
    ("timeout_ms = 99", "timeout_ms: must be a whole number from 100 to 120000; found 99"),
    ("connect_timeout_ms = 60001", "connect_timeout_ms: must be a whole number from 100 to 60000; found 60001"),
    (
        "timeout_ms = 900\nconnect_timeout_ms = 1000",
        "connect_timeout_ms: must be at most timeout_ms, 900, of which it is a part; found 1000",
    ),
    ("body_max_mib = 0", "body_max_mib: must be a whole number from 1 to 1024; found 0"),
    (
        "proxy = \"socks5://me:KEY-OF-P@proxy.example:1080\"",
        "proxy: must be a URL that begins with http:// or https://; found socks5://proxy.example",
    ),
    ("proxy = \"${NO_SUCH_PROXY}\"", "proxy: must be set by the variable NO_SUCH_PROXY; found it unset or empty"),
    ("breaker = 5", "breaker: must be a table; found 5"),
    ("breaker = {}", "breaker: must name failures or open_seconds; found neither"),
    ("breaker = { failures = 0 }", "breaker.failures: must be a whole number from 1 to 100; found 0"),
    ("breaker = { open_seconds = 3601 }", "breaker.open_seconds: must be a whole number from 1 to 3600; found 3601"),
    ("breaker = { failure = 3 }", "breaker.failure: is not a known key; did you mean failures?"),
    (
        "headers = { Content-Length = \"KEY-OF-A\" }",
        r#"headers: must be other than those that say how a request is sent; found "Content-Length""#,
    ),
    ("name = \"a\"\noperator = \"alpha\"", "url: must be given; found nothing"),
    ("name = \"a\"\nurl = \"https://a.example\"", "operator: must be given; found nothing"),
    (
        "name = \"A one\"\nurl = \"https://a.example\"\noperator = \"alpha\"",
        r#"name: must be 1 to 40 lowercase letters, digits and hyphens; found "A one""#,
    ),
    (
        "name = \"a\"\nurl = \"ftp://a.example/KEY-OF-A\"\noperator = \"alpha\"",
        "url: must be a URL that begins with https:// or http://; found ftp://a.example",
    ),
    (
        "name = \"a\"\nurl = \"https://a.example\"\noperator = \"alpha\"\nws = \"https://a.example/KEY-OF-A\"",
        "ws: must be a URL that begins with wss:// or ws://; found https://a.example",
    ),
    (
        "name = \"a\"\nurl = \"https://a.example\"\noperator = \"alpha\"\nmax_rps = 0",
        "max_rps: must be a whole number from 1 to 10000; found 0",
    ),
    (
        "name = \"a\"\nurl = \"https://a.example\"\noperator = \"alpha\"\nheaders = { \"x y\" = \"KEY-OF-A\" }",
        r#"headers: must be named by letters, digits, - and _; found "x y""#,
    ),
    (
        "name = \"a\"\nurl = \"https://a.example\"\noperator = \"alpha\"\nheaders = { x = \"KEY-OF-A\\n\" }",
        "headers: must be printable ASCII; found another character (the value is not shown)",
    ),
];

#[test]
fn every_wrong_value_of_an_endpoint_is_named_and_no_key_is_shown() {
    for (lines, said) in WRONG_IN_ENDPOINT {
        // What says nothing of who it is, is right in that.
        let whole = lines.contains("operator = ") || lines.contains("name = ");
        let who = if whole { "" } else { "name = \"a\"\nurl = \"https://a.example\"\noperator = \"alpha\"\n" };
        let found = problems(&format!("[[networks.base.endpoints]]\n{who}{lines}\n"), &[]);
        assert!(found.contains(&format!("networks.base.endpoints[0].{said}")), "of {lines}:\n{found}");
        assert!(!found.contains("KEY-OF"), "a key is shown: {found}");
    }
}

#[test]
fn how_a_node_is_used_is_read_with_its_units() {
    let lines = "kind = \"json-rpc\"\norder = 2\nmax_rps = 9\nburst = 3\ntimeout_ms = 4000\nconnect_timeout_ms = 1500\n\
                 body_max_mib = 2\nproxy = \"http://me:${PROXY_KEY}@proxy.example:3128\"\n\
                 breaker = { failures = 2, open_seconds = 30 }\n";
    let config = read(&format!("{NODES}{lines}"), &[("PROXY_KEY", "s3cr3t")]).unwrap();
    let [first, second] = &config.networks[&NetworkId::new("base")].endpoints[..] else { panic!() };
    let millis = Duration::from_millis;
    assert_eq!((second.kind.as_deref(), second.order), (Some("json-rpc"), 2));
    assert_eq!((second.timeout, second.connect_timeout), (millis(4_000), millis(1_500)));
    assert_eq!(second.body_max, Some(2 << 20));
    assert_eq!(second.breaker, Breaker { failures: 2, open_for: millis(30_000) });
    let proxy = second.proxy.as_ref().unwrap();
    assert_eq!(proxy.reveal().as_str(), "http://me:s3cr3t@proxy.example:3128/");
    assert!(!format!("{config:?}").contains("s3cr3t"), "the proxy's password is in Debug");
    assert_eq!((first.kind.as_deref(), first.order, first.proxy.is_none(), first.body_max), (None, 0, true, None));
    assert_eq!((first.connect_timeout, first.breaker), (millis(5_000), Breaker::default()));
}

#[test]
fn nobody_waits_longer_for_a_connection_than_for_the_answer() {
    let config = read(&format!("{NODES}timeout_ms = 800\n"), &[]).unwrap();
    let second = &config.networks[&NetworkId::new("base")].endpoints[1];
    assert_eq!(second.connect_timeout, second.timeout);
}

#[test]
fn two_endpoints_of_one_name_are_refused() {
    let said = problems(&NODES.replace("\"b\"", "\"a\""), &[]);
    assert!(said.ends_with(r#"networks.base.endpoints: must be named differently; found "a" twice"#), "{said}");
}

#[test]
fn one_node_does_not_agree_with_itself_under_another_name() {
    let said = problems(&NODES.replace("https://b.example/KEY-OF-B", "https://a.example/KEY-OF-A"), &[]);
    assert!(said.ends_with(
        "networks.base.endpoints: must be run by one operator in production where they are one URL; found a and b"
    ));
    assert!(!said.contains("KEY-OF"), "a key is shown: {said}");
}
