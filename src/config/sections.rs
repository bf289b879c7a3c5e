//! Reads each section: its keys, their bounds and why, and what is refused in production.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use amn_core::block::{AssetId, BlockRef, Height, Inclusion, NetworkId};
use amn_core::confirmation::{Require, Tag, Tier};
use amn_core::money::Amount;

use super::endpoints::endpoint;
use super::jettons::jetton;
use super::problem::Place;
use super::reader::Section;
use super::secret::{SECRET_CHARACTERS_MIN, Secret, is_placeholder, weakness};
use super::watching::watching;
use super::{
    Asset, Auth, Cidr, Config, Database, Endpoint, Environment, Log, LogFormat, Network, Proxy, ProxyKind, QuietPoll,
    Server, Token, Webhooks,
};

/// Shipped networks ask for two operators; a network's own file may ask for more, and is asked again there.
const OPERATORS_USUAL: u32 = 2;

/// The whole configuration; `None` where something that has no default is wrong or missing.
pub(super) fn config(mut root: Section<'_>, file: &str) -> Option<Config> {
    let words = [("production", Environment::Production), ("development", Environment::Development)];
    // Nothing said means the stricter.
    let environment = root.word("environment", &words).unwrap_or(Environment::Production);
    let state_dir = path(&mut root, "state_dir").unwrap_or_else(|| PathBuf::from(".amn"));
    let server = server(root.table("server"), environment);
    let database = database(root.table("database"), environment, state_dir.join("postgres"));
    let log = log(root.table("log"));
    let webhooks = webhooks(root.table("webhooks"), environment);
    let auth = auth(root.table("auth"), environment);
    let mut networks = std::collections::BTreeMap::new();
    let mut all_read = true;
    for (name, section) in root.named("networks") {
        if !is_name(name) {
            let (place, key) = (section.place.clone(), section.path.clone());
            section.notes.add(&place, &key, "must be named by lowercase letters, digits and hyphens, at most 40");
        }
        match network(section, environment, file) {
            Some(network) => drop(networks.insert(NetworkId::new(name), network)),
            None => all_read = false,
        }
    }
    let contracts = watching(root.table("watch"), file);
    root.finish();
    all_read.then_some(Config { environment, state_dir, server, database, log, webhooks, auth, networks, contracts })
}

fn server(mut section: Section<'_>, environment: Environment) -> Server {
    let listen = section.read("listen", "an address and port such as \"127.0.0.1:8080\"", |text| text.parse().ok());
    let metrics_token = strong(&mut section, "metrics_token", environment);
    section.finish();
    // This machine only: whoever opens the door names it.
    Server { listen: listen.unwrap_or_else(|| ([127, 0, 0, 1], 8080).into()), metrics_token }
}

fn database(mut section: Section<'_>, environment: Environment, default_dir: PathBuf) -> Database {
    let url = section.url("url", &["postgres", "postgresql"]);
    let password_is_placeholder =
        url.as_ref().and_then(|url| url.reveal().password()).is_some_and(|pw| pw == "postgres" || is_placeholder(pw));
    if environment == Environment::Production && password_is_placeholder {
        let place = section.place_of("url");
        section.wrong(&place, "url", "a URL with a real password outside development", "a placeholder");
    }
    let data_dir = path(&mut section, "data_dir").unwrap_or(default_dir);
    // Two networks and the outbox need about eight; two daemons of 20 fit in the 50 of our own Postgres.
    let max_connections = section.count("max_connections", 2..=200).unwrap_or(20);
    section.finish();
    Database { url: url.map(|url| Secret::new(url.reveal())), data_dir, max_connections }
}

fn log(mut section: Section<'_>) -> Log {
    let words = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
    let format = section.word("format", &words).unwrap_or(LogFormat::Pretty);
    let filter = section.read("filter", "a filter such as \"info,amn_scanner=debug\"", |text| {
        crate::telemetry::parse_filter(text).is_ok().then(|| text.to_owned())
    });
    section.finish();
    // sqlx tells every statement at info.
    Log { format, filter: filter.unwrap_or_else(|| "info,sqlx=warn".to_owned()) }
}

fn webhooks(mut section: Section<'_>, environment: Environment) -> Webhooks {
    let allow_insecure_webhooks = section.flag("allow_insecure_webhooks").unwrap_or(false);
    if allow_insecure_webhooks && environment == Environment::Production {
        let place = section.place_of("allow_insecure_webhooks");
        section.wrong(&place, "allow_insecure_webhooks", "false outside development", "true");
    }
    let range = "a range such as \"10.0.0.0/8\" without bits beyond its prefix";
    let allow_cidrs: Vec<Cidr> = section.list("allow_cidrs", range, |text| text.parse().ok()).unwrap_or_default();
    if let Some(whole) = allow_cidrs.iter().find(|cidr| cidr.prefix == 0 && environment == Environment::Production) {
        let place = section.place_of("allow_cidrs");
        section.wrong(&place, "allow_cidrs", "less than every address outside development", &whole.to_string());
    }
    let ports =
        section.list("ports", "a port from 1 to 65535", |text| text.parse().ok().filter(|port: &u16| *port > 0));
    let ports = ports.unwrap_or_else(|| vec![443]);
    if ports.is_empty() && !section.spoiled.get() {
        let place = section.place_of("ports");
        section.wrong(&place, "ports", "a list of at least one port", "an empty list");
    }
    // Below 100 ms not even a handshake fits; beyond a minute a slow receiver holds its place for nothing.
    let timeout = Duration::from_millis(section.whole("timeout_ms", 100..=60_000).unwrap_or(5_000));
    // 1,000 deliveries a second at 243 ms each need 243 at once; 4,096 is what a usual open-file limit bears.
    let concurrency = section.count("concurrency", 1..=4_096).unwrap_or(256);
    let per_endpoint_concurrency = section.count("per_endpoint_concurrency", 1..=4_096).unwrap_or(16.min(concurrency));
    if per_endpoint_concurrency > concurrency {
        let place = section.place_of("per_endpoint_concurrency");
        let (allowed, found) = (format!("at most webhooks.concurrency, {concurrency}"), per_endpoint_concurrency);
        section.wrong(&place, "per_endpoint_concurrency", &allowed, &found.to_string());
    }
    section.finish();
    Webhooks { allow_insecure_webhooks, allow_cidrs, ports, timeout, concurrency, per_endpoint_concurrency }
}

fn auth(mut section: Section<'_>, environment: Environment) -> Auth {
    let operator_key = strong(&mut section, "operator_key", environment);
    section.finish();
    Auth { operator_key }
}

pub(super) fn network(mut section: Section<'_>, environment: Environment, file: &str) -> Option<Network> {
    let enabled = section.flag("enabled").unwrap_or(true);
    let network_file = path(&mut section, "file");
    let single_operator_accepted = section.word("single_operator", &[("accepted", ())]).is_some();
    // Faster than 50 ms outruns every chain we know; slower than ten minutes is off.
    let poll = section.whole("poll_ms", 50..=600_000).map(Duration::from_millis);
    let quiet_poll = quiet_poll(&mut section, poll);
    // Shorter than a few seconds, an ordinary pause looks like a loss; longer than an hour, a loss goes unseen.
    let doorbell_silence = section.whole("doorbell_silence_seconds", 3..=3_600).map(Duration::from_secs);
    let start = section.table_if_there("start").and_then(start);
    let require = section.table_if_there("require").map(require);
    let has_tiers = section.has("tiers");
    let tiers: Vec<_> = section.tables("tiers").into_iter().filter_map(tier).collect();
    let assets = section.tables("assets").into_iter().filter_map(|section| asset(section, file)).collect();
    let tokens = section.tables("tokens").into_iter().filter_map(|section| token(section, file)).collect();
    let jettons = section.tables("jettons").into_iter().filter_map(|section| jetton(section, file)).collect();
    let proxies = section.tables("proxies").into_iter().filter_map(|section| proxy(section, file)).collect();
    let nodes = section.tables("endpoints");
    let given = nodes.len();
    let endpoints: Vec<_> = nodes.into_iter().filter_map(|section| endpoint(section, file)).collect();
    // A million blocks is a month of the slowest chain; beyond it the look never comes.
    let balance_check = section.whole("balance_check", 1..=1_000_000);
    // One a minute finds a fault within days and costs a few requests; one a second is a second follower.
    let audit_blocks_per_hour = section.count("audit_blocks_per_hour", 0..=3_600).unwrap_or(60);
    let network = Network {
        enabled,
        file: network_file,
        single_operator_accepted,
        poll,
        quiet_poll,
        doorbell_silence,
        start,
        require,
        tiers: has_tiers.then_some(tiers),
        assets,
        tokens,
        jettons,
        proxies,
        endpoints,
        balance_check,
        audit_blocks_per_hour,
        place: section.place.shown(file),
    };
    if network.endpoints.len() == given {
        refuse_lone_endpoints(&section, &network, environment);
    }
    refuse_twins(&section, &network, environment);
    let complete = network.endpoints.len() == given;
    section.finish();
    complete.then_some(network)
}

/// How seldom a network is looked at where nothing is awaited; 0 is never seldom.
fn quiet_poll(section: &mut Section<'_>, poll: Option<Duration>) -> QuietPoll {
    // Beyond ten minutes a late payment is told so late that nobody connects it with its cause.
    let Some(millis) = section.whole("quiet_poll_ms", 0..=600_000) else { return QuietPoll::Usual };
    if millis == 0 {
        return QuietPoll::Off;
    }
    let quiet = Duration::from_millis(millis);
    if let Some(poll) = poll.filter(|poll| quiet < *poll) {
        let place = section.place_of("quiet_poll_ms");
        let allowed = format!("0, or at least poll_ms, {}", poll.as_millis());
        section.wrong(&place, "quiet_poll_ms", &allowed, &millis.to_string());
    }
    QuietPoll::Every(quiet)
}

/// A network that runs needs somebody to ask; in production, as many operators as its terms will count.
fn refuse_lone_endpoints(section: &Section<'_>, network: &Network, environment: Environment) {
    if !network.enabled || !section.has_table() {
        return;
    }
    if network.endpoints.is_empty() {
        section.wrong(&section.place, "endpoints", "at least one [[endpoints]], or enabled = false", "none");
        return;
    }
    if network.endpoints.iter().all(Endpoint::is_lake) {
        let allowed = "beside data lakes at least one that knows the head";
        section.wrong(&section.place, "endpoints", allowed, "data lakes alone");
        return;
    }
    let asked = network.require.and_then(|require| require.operators).unwrap_or(OPERATORS_USUAL);
    if environment == Environment::Production && !network.has_operators(asked) {
        let names: Vec<_> = network.operators().into_iter().map(ToString::to_string).collect();
        let allowed = format!("run by {asked} operators in production, or single_operator = \"accepted\"");
        section.wrong(&section.place, "endpoints", &allowed, &format!("{}: {}", names.len(), names.join(", ")));
    }
}

fn refuse_twins(section: &Section<'_>, network: &Network, environment: Environment) {
    let mut names = BTreeSet::new();
    for (at, endpoint) in network.endpoints.iter().enumerate() {
        // One node under two operators would agree with itself.
        let twin = network.endpoints[..at].iter().find(|other| other.url == endpoint.url);
        let twin = twin.filter(|twin| twin.operator != endpoint.operator && environment == Environment::Production);
        if let Some(twin) = twin {
            let (place, allowed) =
                (section.place_of("endpoints"), "run by one operator in production where they are one URL");
            section.wrong(&place, "endpoints", allowed, &format!("{} and {}", twin.name, endpoint.name));
        }
        if !names.insert(&endpoint.name) {
            let place = section.place_of("endpoints");
            section.wrong(&place, "endpoints", "named differently", &format!("{:?} twice", endpoint.name));
        }
    }
}

fn start(mut section: Section<'_>) -> Option<BlockRef> {
    let height = section.whole("height", 0..=u64::MAX);
    let hash = section.read("hash", "a block hash: 64 hexadecimal digits", |text| text.parse().ok());
    missing(&section, &[("height", height.is_none()), ("hash", hash.is_none())]);
    section.finish();
    Some(BlockRef { height: Height(height?), hash: hash? })
}

pub(super) fn require(mut section: Section<'_>) -> Require {
    let require = Require {
        // 20,000 headers are remembered: a count beyond them could never be told from a fork.
        confirmations: section.whole("confirmations", 1..=20_000),
        tag: section.word("tag", &[("safe", Tag::Safe), ("finalized", Tag::Finalized)]),
        // A day of chain time; longer is a time lock, not a confirmation.
        seconds: section.whole("seconds", 1..=86_400),
        inclusion: section.word("inclusion", &[("reported", Inclusion::Reported), ("proven", Inclusion::Proven)]),
        // Nobody runs more than a handful of providers, and each costs every block again.
        operators: section.count("operators", 1..=10),
        attestations: section.count("attestations", 1..=100),
    };
    if section.has_table() && section.is_empty() {
        let terms = "confirmations, tag, seconds, inclusion, operators, attestations";
        section.notes.add(&section.place, &section.path, format!("must name a term ({terms}); found none"));
    }
    section.finish();
    require
}

pub(super) fn tier(mut section: Section<'_>) -> Option<Tier> {
    let asset = section.read("asset", "an asset id such as \"eip155:1/slip44:60\"", |text| {
        (text.contains(':') && text.contains('/') && text.len() <= 200).then(|| AssetId::new(text))
    });
    let at_least = section.amount("at_least");
    let require = section.table_if_there("require").map(require);
    missing(&section, &[("at_least", at_least.is_none()), ("require", require.is_none())]);
    section.finish();
    Some(Tier { asset, at_least: at_least?, require: require? })
}

fn asset(mut section: Section<'_>, file: &str) -> Option<Asset> {
    let code = section.read("code", "1 to 12 letters and digits", |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        (plain && (1..=12).contains(&text.len())).then(|| text.to_owned())
    });
    let issuer = address(&mut section, "issuer");
    let contract = address(&mut section, "contract");
    let symbol = symbol(&mut section).or_else(|| code.clone());
    let min_amount = section.amount("min_amount").unwrap_or(Amount::ZERO);
    let absent = [("code", code.is_none()), ("issuer", issuer.is_none()), ("contract", contract.is_none())];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    Some(Asset { code: code?, issuer: issuer?, contract: contract?, symbol: symbol?, min_amount, place })
}

pub(super) fn symbol(section: &mut Section<'_>) -> Option<String> {
    section.read("symbol", "1 to 20 printable characters", |text| {
        let printable = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        (printable && (1..=20).contains(&text.chars().count())).then(|| text.to_owned())
    })
}

fn token(mut section: Section<'_>, file: &str) -> Option<Token> {
    let address = address(&mut section, "address");
    let symbol = symbol(&mut section);
    // The ERC-20 count is one byte, and 10^38 is all that 128 bits hold.
    let decimals = section.whole("decimals", 0..=38).and_then(|decimals| u8::try_from(decimals).ok());
    let min_amount = section.amount("min_amount").unwrap_or(Amount::ZERO);
    let wasm_hash =
        section.read("wasm_hash", "the hash of the contract's code: 64 hexadecimal digits", |text| text.parse().ok());
    let absent = [("address", address.is_none()), ("symbol", symbol.is_none()), ("decimals", decimals.is_none())];
    missing(&section, &absent);
    let place = section.place.shown(file);
    section.finish();
    Some(Token { address: address?, symbol: symbol?, decimals: decimals?, min_amount, wasm_hash, place })
}

fn proxy(mut section: Section<'_>, file: &str) -> Option<Proxy> {
    let kind = section.word("kind", &[("erc20-fee", ProxyKind::Erc20Fee), ("eth-fee", ProxyKind::EthFee)]);
    let address = address(&mut section, "address");
    missing(&section, &[("kind", kind.is_none()), ("address", address.is_none())]);
    let place = section.place.shown(file);
    section.finish();
    Some(Proxy { kind: kind?, address: address?, place })
}

/// Only the shape: whether the family accepts it is asked when the network is put together.
pub(super) fn address(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    section.read(key, "an address; one that begins with 0x has 40 hexadecimal digits", |text| {
        let plain = (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let whole =
            text.strip_prefix("0x").is_none_or(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        (plain && whole).then(|| text.to_owned())
    })
}

/// Tells which keys a table must have and has not. What is there and wrong was told already.
pub(super) fn missing(section: &Section<'_>, keys: &[(&str, bool)]) {
    for (key, absent) in keys {
        if *absent && !section.has(key) && section.has_table() {
            section.notes.add(&section.place, &section.path_of(key), "must be given; found nothing");
        }
    }
}

fn path(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    let allowed = "a path";
    section.read(key, allowed, |text| (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text)))
}

/// A secret that guards something: outside development it must be worth the name.
fn strong(section: &mut Section<'_>, key: &'static str, environment: Environment) -> Option<Secret> {
    let secret = section.secret(key)?;
    if environment == Environment::Production {
        if let Some(weak) = weakness(secret.reveal()) {
            let place = section.place_of(key);
            let allowed = format!("a random secret of at least {SECRET_CHARACTERS_MIN} characters outside development");
            section.wrong(&place, key, &allowed, &weak);
        }
    } else if secret.reveal().is_empty() {
        let place: Place = section.place_of(key);
        section.wrong(&place, key, "a secret, or absent", "an empty text");
    }
    Some(secret)
}

pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}
