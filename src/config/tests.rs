//! Wrong values by the table, and the documented file against the reader.

use super::*;

mod endpoints;
mod watching;

const FILE: &str = "amn.toml";
const NODES: &str = r#"
[[networks.base.endpoints]]
name = "a"
url = "https://a.example/KEY-OF-A"
operator = "alpha"
[[networks.base.endpoints]]
name = "b"
url = "https://b.example/KEY-OF-B"
operator = "beta"
"#;

fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
}

fn read(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::parse(FILE, text, env(pairs))
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> String {
    read(text, pairs).map_or_else(|errors| errors.to_string(), |config| format!("accepted: {config:?}"))
}

#[test]
fn nothing_said_means_the_strict_defaults() {
    let config = read("", &[]).unwrap();
    assert_eq!(config.environment, Environment::Production);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database.data_dir, Path::new(".amn/postgres"));
    assert!(config.database.url.is_none() && config.networks.is_empty());
    assert_eq!((config.webhooks.ports, config.webhooks.timeout), (vec![443], Duration::from_secs(5)));
}

/// Text, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    ("environment = \"prod\"", r#"amn.toml:1:15: environment: must be "production" or "development"; found "prod""#),
    (
        "[server]\nlisten = \"localhost\"",
        r#"amn.toml:2:10: server.listen: must be an address and port such as "127.0.0.1:8080"; found "localhost""#,
    ),
    (
        "[server]\n  listen = 8080",
        r#"amn.toml:2:12: server.listen: must be an address and port such as "127.0.0.1:8080"; found 8080"#,
    ),
    ("[server]\nlisen = \"127.0.0.1:1\"", "amn.toml:2:1: server.lisen: is not a known key; did you mean listen?"),
    ("[server]\nport = 1", "amn.toml:2:1: server.port: is not a known key; known here: listen, metrics_token"),
    ("[sevrer]\n", "amn.toml:1:2: sevrer: is not a known key; did you mean server?"),
    ("server = 3", "amn.toml:1:10: server: must be a table; found 3"),
    (
        "[server]\nmetrics_token = \"changeme\"",
        "amn.toml:2:17: server.metrics_token: must be a random secret of at least 32 characters outside development; found a placeholder",
    ),
    (
        "[auth]\noperator_key = \"hunter2\"",
        "amn.toml:2:16: auth.operator_key: must be a random secret of at least 32 characters outside development; found 7 characters",
    ),
    (
        "[auth]\noperator_key = \"ababababababababababababababababab\"",
        "amn.toml:2:16: auth.operator_key: must be a random secret of at least 32 characters outside development; found only 2 different characters",
    ),
    ("[auth]\noperator_key = 12345", "amn.toml:2:16: auth.operator_key: must be a text in quotes; found 12345"),
    (
        "[auth]\noperator_key = \"${NO_SUCH}\"",
        "amn.toml:2:16: auth.operator_key: must be set by the variable NO_SUCH; found it unset or empty",
    ),
    ("[auth]\noperator_key = \"${NO_SUCH\"", "amn.toml:2:16: auth.operator_key: must close ${ with }; found no }"),
    (
        "[database]\nurl = \"mysql://amn:hunter2@db/amn\"",
        "amn.toml:2:7: database.url: must be a URL that begins with postgres:// or postgresql://; found mysql://db",
    ),
    (
        "[database]\nurl = \"hunter2\"",
        "amn.toml:2:7: database.url: must be a URL that begins with postgres:// or postgresql://; found a text that is none",
    ),
    (
        "[database]\nurl = \"postgres://amn:changeme@db/amn\"",
        "amn.toml:2:7: database.url: must be a URL with a real password outside development; found a placeholder",
    ),
    (
        "[database]\nmax_connections = 0",
        "amn.toml:2:19: database.max_connections: must be a whole number from 2 to 200; found 0",
    ),
    (
        "[database]\nmax_connections = 2.5",
        "amn.toml:2:19: database.max_connections: must be a whole number from 2 to 200; found 2.5",
    ),
    ("[database]\ndata_dir = \"\"", r#"amn.toml:2:12: database.data_dir: must be a path; found """#),
    ("[log]\nformat = \"xml\"", r#"amn.toml:2:10: log.format: must be "pretty" or "json"; found "xml""#),
    (
        "[log]\nfilter = \"amn=loud\"",
        r#"amn.toml:2:10: log.filter: must be a filter such as "info,amn_scanner=debug"; found "amn=loud""#,
    ),
    (
        "[webhooks]\nallow_insecure_webhooks = \"yes\"",
        r#"amn.toml:2:27: webhooks.allow_insecure_webhooks: must be true or false; found "yes""#,
    ),
    (
        "[webhooks]\nallow_insecure_webhooks = true",
        "amn.toml:2:27: webhooks.allow_insecure_webhooks: must be false outside development; found true",
    ),
    (
        "[webhooks]\nallow_cidrs = [\"10.0.0.0/8\", \"10.1.2.3/8\"]",
        r#"amn.toml:2:30: webhooks.allow_cidrs: must be a list, each a range such as "10.0.0.0/8" without bits beyond its prefix; found "10.1.2.3/8""#,
    ),
    (
        "[webhooks]\nallow_cidrs = [\"0.0.0.0/0\"]",
        "amn.toml:2:15: webhooks.allow_cidrs: must be less than every address outside development; found 0.0.0.0/0",
    ),
    (
        "[webhooks]\nports = [443, 70000]",
        "amn.toml:2:15: webhooks.ports: must be a list, each a port from 1 to 65535; found 70000",
    ),
    (
        "[webhooks]\nports = []",
        "amn.toml:2:9: webhooks.ports: must be a list of at least one port; found an empty list",
    ),
    (
        "[webhooks]\ntimeout_ms = -5",
        "amn.toml:2:14: webhooks.timeout_ms: must be a whole number from 100 to 60000; found -5",
    ),
    (
        "[webhooks]\nconcurrency = 4\nper_endpoint_concurrency = 5",
        "amn.toml:3:28: webhooks.per_endpoint_concurrency: must be at most webhooks.concurrency, 4; found 5",
    ),
    (
        "[networks.Base]\nenabled = false",
        "amn.toml:1:11: networks.Base: must be named by lowercase letters, digits and hyphens, at most 40",
    ),
    (
        "[networks.base]",
        "amn.toml:1:11: networks.base.endpoints: must be at least one [[endpoints]], or enabled = false; found none",
    ),
    ("[networks]\nbase = true", "amn.toml:2:8: networks.base: must be a table; found true"),
    ("environment = \"production", "amn.toml:1:26: not TOML: invalid basic string, expected `\"`"),
];

#[test]
fn every_wrong_value_is_named_with_its_place_what_is_allowed_and_what_was_found() {
    for (text, said) in WRONG {
        assert_eq!(problems(text, &[]), *said, "of {text}");
    }
}

/// As above, on top of a network that is right.
const WRONG_IN_NETWORK: &[(&str, &str)] = &[
    ("poll_ms = 3", "poll_ms: must be a whole number from 50 to 600000; found 3"),
    ("quiet_poll_ms = 600001", "quiet_poll_ms: must be a whole number from 0 to 600000; found 600001"),
    ("quiet_poll_ms = \"off\"", r#"quiet_poll_ms: must be a whole number from 0 to 600000; found "off""#),
    ("poll_ms = 900\nquiet_poll_ms = 800", "quiet_poll_ms: must be 0, or at least poll_ms, 900; found 800"),
    ("doorbell_silence_seconds = 1", "doorbell_silence_seconds: must be a whole number from 3 to 3600; found 1"),
    ("single_operator = \"yes\"", r#"single_operator: must be "accepted"; found "yes""#),
    ("balance_check = \"often\"", r#"balance_check: must be a whole number from 1 to 1000000; found "often""#),
    ("audit_blocks_per_hour = -1", "audit_blocks_per_hour: must be a whole number from 0 to 3600; found -1"),
    ("audit_blocks_per_hour = 3601", "audit_blocks_per_hour: must be a whole number from 0 to 3600; found 3601"),
    ("start = { height = 5 }", "start.hash: must be given; found nothing"),
    (
        "start = { height = 5, hash = \"0x12\" }",
        r#"start.hash: must be a block hash: 64 hexadecimal digits; found "0x12""#,
    ),
    (
        "require = {}",
        "require: must name a term (confirmations, tag, seconds, inclusion, operators, attestations); found none",
    ),
    ("require = { confirmations = 0 }", "require.confirmations: must be a whole number from 1 to 20000; found 0"),
    ("require = { tag = \"latest\" }", r#"require.tag: must be "safe" or "finalized"; found "latest""#),
    ("require = { inclusion = \"sure\" }", r#"require.inclusion: must be "reported" or "proven"; found "sure""#),
    ("require = { confirmation = 2 }", "require.confirmation: is not a known key; did you mean confirmations?"),
    (
        "require = { operators = 3 }",
        r#"endpoints: must be run by 3 operators in production, or single_operator = "accepted"; found 2: alpha, beta"#,
    ),
    ("tiers = [{ require = { tag = \"safe\" } }]", "tiers[0].at_least: must be given; found nothing"),
    (
        "tiers = [{ at_least = 1.5, require = { tag = \"safe\" } }]",
        "tiers[0].at_least: must be a count of smallest units, as a whole number or as digits in quotes; found 1.5",
    ),
    (
        "tiers = [{ at_least = \"1e9\", require = { tag = \"safe\" } }]",
        r#"tiers[0].at_least: must be a count of smallest units, as a whole number or as digits in quotes; found "1e9""#,
    ),
    (
        "tokens = [{ address = \"0x12\", symbol = \"T\", decimals = 6 }]",
        r#"tokens[0].address: must be an address; one that begins with 0x has 40 hexadecimal digits; found "0x12""#,
    ),
    (
        "tokens = [{ address = \"0x0000000000000000000000000000000000000001\", symbol = \"\", decimals = 6 }]",
        r#"tokens[0].symbol: must be 1 to 20 printable characters; found """#,
    ),
    (
        "tokens = [{ address = \"0x0000000000000000000000000000000000000001\", symbol = \"T\", decimals = 77 }]",
        "tokens[0].decimals: must be a whole number from 0 to 38; found 77",
    ),
    (
        "proxies = [{ kind = \"erc20\", address = \"0x0000000000000000000000000000000000000001\" }]",
        r#"proxies[0].kind: must be "erc20-fee" or "eth-fee"; found "erc20""#,
    ),
    ("tokens = 5", "tokens: must be a list of tables ([[…]]); found 5"),
];

#[test]
fn every_wrong_value_of_a_network_is_named() {
    for (line, said) in WRONG_IN_NETWORK {
        let text = format!("[networks.base]\n{line}\n{NODES}");
        let found = problems(&text, &[]);
        assert_eq!(found.lines().count(), 1, "of {line}:\n{found}");
        assert!(
            found.starts_with("amn.toml:") && found.ends_with(&format!("networks.base.{said}")),
            "of {line}:\n{found}"
        );
    }
}

#[test]
fn one_operator_is_refused_in_production_until_it_is_accepted() {
    let one = "[[networks.base.endpoints]]\nname = \"a\"\nurl = \"https://a.example\"\noperator = \"alpha\"\n\
               [[networks.base.endpoints]]\nname = \"a2\"\nurl = \"https://a.example/2\"\noperator = \"alpha\"\n";
    let said = problems(one, &[]);
    assert!(
        said.ends_with(r#"must be run by 2 operators in production, or single_operator = "accepted"; found 1: alpha"#)
    );
    assert!(read(one, &[("AMN_ENVIRONMENT", "development")]).is_ok());
    let config = read(one, &[("AMN_NETWORKS__BASE__SINGLE_OPERATOR", "accepted")]).unwrap();
    assert!(config.networks[&NetworkId::new("base")].has_operators(2));
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "environment = \"x\"\n[server]\nlisten = 1\n[log]\nformat = 2\n[networks.base]\npoll_ms = 1\n";
    let said = problems(text, &[("AMN_WEBHOOKS__PORTS", "https"), ("AMN_SERVER__LISTN", "1")]);
    let places: Vec<_> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "amn.toml:1:15",
        "amn.toml:3:10",
        "amn.toml:5:10",
        "amn.toml:6:11",
        "amn.toml:7:11",
        "AMN_SERVER__LISTN",
        "AMN_WEBHOOKS__PORTS",
    ];
    assert_eq!(places, expected, "{said}");
}

#[test]
fn columns_count_characters_not_bytes() {
    assert!(problems("log = { format = \"ä\", filter = 1 }", &[]).contains("amn.toml:1:32: log.filter"));
}

#[test]
fn the_environment_overrides_the_file_and_is_named_when_it_is_wrong() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\n";
    let config = read(text, &[("AMN_SERVER__LISTEN", "0.0.0.0:9"), ("AMN_WEBHOOKS__PORTS", "443, 8443")]).unwrap();
    assert_eq!(config.server.listen.port(), 9);
    assert_eq!(config.webhooks.ports, [443, 8443]);
    assert_eq!(
        problems(text, &[("AMN_SERVER__LISTEN", "nine")]),
        r#"AMN_SERVER__LISTEN: server.listen: must be an address and port such as "127.0.0.1:8080"; found "nine""#
    );
    assert_eq!(
        problems("", &[("AMN_WEBHOOK__PORTS", "1")]),
        "AMN_WEBHOOK__PORTS: webhook: is not a known key; did you mean webhooks?"
    );
    assert_eq!(read("", &[("AMN_STATE_DIR", "/s")]).unwrap().database.data_dir, Path::new("/s/postgres"));
    // Variables of tests and scripts are not ours.
    assert!(read("", &[("AMN_SOAK", "full"), ("AMN_REAL_DATA", "/x"), ("HOME", "/root")]).is_ok());
}

#[test]
fn the_environment_reaches_networks_with_hyphens_and_endpoints_by_number() {
    let pairs = [
        ("AMN_NETWORKS__BASE_SEPOLIA__SINGLE_OPERATOR", "accepted"),
        ("AMN_NETWORKS__BASE_SEPOLIA__ENDPOINTS__0__NAME", "own"),
        ("AMN_NETWORKS__BASE_SEPOLIA__ENDPOINTS__0__OPERATOR", "us"),
        ("AMN_NETWORKS__BASE_SEPOLIA__ENDPOINTS__0__URL", "http://10.0.0.1:8545/${as-it-is}"),
        ("AMN_NETWORKS__BASE_SEPOLIA__ENDPOINTS__0__MAX_RPS", "50"),
        ("AMN_NETWORKS__BASE_SEPOLIA__ENDPOINTS__0__BREAKER__OPEN_SECONDS", "30"),
        ("AMN_NETWORKS__BASE_SEPOLIA__QUIET_POLL_MS", "0"),
    ];
    let config = read("", &pairs).unwrap();
    assert_eq!(config.networks[&NetworkId::new("base-sepolia")].quiet_poll, QuietPoll::Off);
    let endpoint = &config.networks[&NetworkId::new("base-sepolia")].endpoints[0];
    assert_eq!(endpoint.breaker, Breaker { open_for: Duration::from_secs(30), ..Breaker::default() });
    assert_eq!((endpoint.url.to_string(), endpoint.max_rps), ("http://10.0.0.1".to_owned(), Some(50)));
    let said = problems("", &[("AMN_NETWORKS__BASE__ENDPOINTS__7__URL", "http://x")]);
    assert!(said.contains("must name an item from 0 to 0; found \"7\""), "{said}");
}

#[test]
fn variables_fill_urls_secrets_and_headers() {
    let text = format!("{NODES}headers = {{ authorization = \"Bearer ${{KEY}}\" }}\n").replace("KEY-OF-A", "${KEY}");
    let config = read(&text, &[("KEY", "s3cr3t")]).unwrap();
    let endpoints = &config.networks[&NetworkId::new("base")].endpoints;
    assert_eq!(endpoints[0].url.reveal().as_str(), "https://a.example/s3cr3t");
    assert_eq!(endpoints[1].headers[0].1.reveal(), "Bearer s3cr3t");
    let seen = format!("{config:?}");
    assert!(!seen.contains("s3cr3t") && !seen.contains("KEY-OF-B"), "a secret is in Debug: {seen}");
}

#[test]
fn a_quiet_network_is_polled_as_told_or_never_more_seldom() {
    let of = |line: &str| {
        let config = read(&format!("[networks.base]\n{line}\n{NODES}"), &[]).unwrap();
        let network = &config.networks[&NetworkId::new("base")];
        (network.quiet_poll, network.doorbell_silence)
    };
    assert_eq!(of(""), (QuietPoll::Usual, None));
    assert_eq!(of("quiet_poll_ms = 0").0, QuietPoll::Off);
    assert_eq!(of("poll_ms = 700\nquiet_poll_ms = 700").0, QuietPoll::Every(Duration::from_millis(700)));
    assert_eq!(of("doorbell_silence_seconds = 90").1, Some(Duration::from_secs(90)));
}

#[test]
fn overrides_of_terms_and_tiers_are_read_as_the_rules_know_them() {
    let text = format!(
        "[networks.base]\nrequire = {{ confirmations = 12, tag = \"safe\" }}\n\
         tiers = [{{ asset = \"eip155:1/slip44:60\", at_least = \"340282366920938463463374607431768211455\", require = {{ tag = \"finalized\" }} }}]\n{NODES}"
    );
    let config = read(&text, &[]).unwrap();
    let network = &config.networks[&NetworkId::new("base")];
    assert_eq!(network.require.unwrap().confirmations, Some(12));
    assert_eq!(network.tiers.as_ref().unwrap()[0].at_least, Amount::MAX);
    assert_eq!(read(NODES, &[]).unwrap().networks[&NetworkId::new("base")].tiers, None);
}

#[test]
fn a_database_may_be_reached_by_its_socket() {
    for url in ["postgres:///amn?host=/run/postgresql", "postgresql://amn@localhost/amn?host=%2Frun"] {
        let config = read(&format!("[database]\nurl = \"{url}\""), &[]).unwrap();
        assert_eq!(config.database.url.unwrap().reveal(), url);
    }
}

#[test]
fn ranges_hold_what_is_in_them() {
    let holds = |cidr: &str, address: &str| cidr.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
    assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
    assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
    assert!(holds("192.168.1.7/32", "192.168.1.7") && !holds("192.168.1.7/32", "192.168.1.6"));
    assert!(holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1"));
    assert!(holds("::/0", "2001:db8::1") && holds("::1/128", "::1"));
    for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "x/8", "::1/129", "::1/64"] {
        assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
    }
}

const DOCUMENTED: &str = include_str!("../../amn-scanner.toml");

#[test]
fn the_documented_file_as_it_is_says_what_silence_says() {
    let (file, silence) = (read(DOCUMENTED, &[]).unwrap(), read("", &[]).unwrap());
    assert_eq!(format!("{file:?}"), format!("{silence:?}"));
}

#[test]
fn the_documented_file_names_every_key_and_each_of_its_examples_is_right() {
    let is_setting = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines = DOCUMENTED.lines().map(|line| line.strip_prefix('#').filter(is_setting).unwrap_or(line));
    let all = lines.collect::<Vec<_>>().join("\n");
    let key = "9f86d081884c7d659a2feaa0c55ad015";
    let variables: Vec<_> =
        ["METRICS_TOKEN", "AMN_DB_PASSWORD", "AMN_OPERATOR_KEY", "ALPHA_KEY", "BETA_KEY", "PROXY_PASSWORD"]
            .map(|name| (name, key))
            .into();
    let (config, asked) = Config::parse_noting(FILE, &all, env(&variables));
    let config = config.unwrap();
    assert_eq!(config.networks[&NetworkId::new("base")].endpoints.len(), 2);
    let text = all.parse::<toml::Table>().unwrap();
    let mut named = BTreeSet::new();
    collect("", &toml::Value::Table(text), &mut named);
    // Terms are the same wherever they stand: one place tells them all.
    let terms = |keys: BTreeSet<String>| -> BTreeSet<String> {
        keys.into_iter().map(|key| key.replace("tiers.*.require.", "require.")).collect()
    };
    let (asked, named) = (terms(asked), terms(named));
    let unnamed: Vec<_> = asked.difference(&named).collect();
    assert!(unnamed.is_empty(), "amn-scanner.toml does not mention {unnamed:?}");
}

/// Every key of a file, with `*` for what the operator names or counts.
fn collect(path: &str, value: &toml::Value, into: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) if path != "networks.*.endpoints.*.headers" => {
            for (key, value) in table {
                let key = if path == "networks" { "*" } else { key };
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                into.insert(path.clone());
                collect(&path, value, into);
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|item| collect(&format!("{path}.*"), item, into)),
        _ => {}
    }
}
