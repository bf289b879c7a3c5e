//! Keeps Dockerfile and docker-compose.yml in step with the configuration: its keys, its port, its paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use amn_scanner::config::Config;
use amn_scanner::supervisor::GRACE;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The instructions of a Dockerfile's word, as `ENV`, each as one line.
fn instructions(word: &str) -> Vec<String> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let prefix = format!("{word} ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(|rest| rest.trim().to_owned()).collect()
}

/// The values of a compose file's key, wherever it stands.
fn values(key: &str) -> Vec<String> {
    let prefix = format!("{key}: ");
    let compose = read("docker-compose.yml");
    compose.lines().filter_map(|line| line.trim().strip_prefix(&prefix).map(ToOwned::to_owned)).collect()
}

/// Our variables as the container sees them, with a strong secret for each that the operator must give.
fn variables() -> BTreeMap<String, String> {
    let compose = read("docker-compose.yml");
    let given = compose.lines().filter_map(|line| line.trim().split_once(": "));
    let built = instructions("ENV");
    let built = built.iter().filter_map(|line| line.split_once('='));
    built
        .chain(given)
        .filter(|(name, _)| name.starts_with("AMN_"))
        .map(|(name, value)| (name.to_owned(), with_secrets(value)))
        .collect()
}

fn with_secrets(value: &str) -> String {
    let mut text = value.to_owned();
    // Ends: each turn takes one ${…} away.
    while let Some((before, rest)) = text.clone().split_once("${") {
        let (_, after) = rest.split_once('}').expect("a variable is closed");
        text = format!("{before}9f86d081884c7d659a2feaa0c55ad015{after}");
    }
    text
}

fn config() -> Config {
    Config::parse("amn-scanner.toml", &read("amn-scanner.toml"), variables().into_iter()).unwrap()
}

#[test]
fn the_containers_variables_are_keys_of_the_configuration_and_pass_in_production() {
    let config = config();
    assert!(config.database.url.is_some() && config.auth.operator_key.is_some());
    assert!(variables().len() >= 5, "they were found");
}

#[test]
fn one_port_is_listened_on_exposed_published_and_looked_at() {
    let port = config().server.listen.port().to_string();
    assert!(config().server.listen.ip().is_unspecified(), "a container listens to its network");
    assert_eq!(instructions("EXPOSE"), [port.as_str()]);
    assert!(instructions("HEALTHCHECK")[0].contains(&format!("/dev/tcp/127.0.0.1/{port} ")));
    assert!(read("docker-compose.yml").contains(&format!("\"127.0.0.1:{port}:{port}\"")));
}

#[test]
fn the_configuration_file_and_the_state_lie_where_they_are_looked_for() {
    let state = config().state_dir.display().to_string();
    assert_eq!(instructions("VOLUME"), [state.as_str()]);
    let compose = read("docker-compose.yml");
    assert!(compose.contains(&format!("- state:{state}\n")));
    let path = "/etc/amn-scanner/amn-scanner.toml";
    assert!(instructions("COPY").contains(&format!("amn-scanner.toml {path}")));
    assert!(compose.contains(&format!("- ./amn-scanner.toml:{path}:ro\n")));
    let commands =
        values("command").into_iter().chain(instructions("CMD").into_iter().filter(|cmd| cmd.contains("run")));
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), 3);
    assert!(commands.iter().all(|command| command.ends_with(&format!("\"--config\", \"{path}\"]"))), "{commands:?}");
}

#[test]
fn the_daemon_runs_as_nobody_special_and_gets_the_time_it_needs_to_stop() {
    assert_eq!(instructions("USER"), ["10001"]);
    assert_eq!(values("read_only"), ["true"]);
    assert_eq!(values("cap_drop"), [r#"["ALL"]"#]);
    let grace = values("stop_grace_period")[0].trim_end_matches('s').parse::<u64>().unwrap();
    assert!(grace > GRACE.as_secs(), "{grace} s of {GRACE:?}");
}

#[test]
fn the_image_is_built_by_a_compiler_that_is_new_enough() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let needed = manifest["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    assert!(instructions("FROM")[0].starts_with(&format!("rust:{needed}-")), "{:?}", instructions("FROM"));
    assert!(instructions("ENV").contains(&format!("RUSTUP_TOOLCHAIN={needed}.0")));
}

#[test]
fn no_secret_stands_in_a_file_and_none_is_sent_to_the_build() {
    for key in ["POSTGRES_PASSWORD", "AMN_AUTH__OPERATOR_KEY"] {
        assert!(values(key)[0].starts_with("${") && values(key)[0].contains(":?"), "{key} has no default");
    }
    let ignored = read(".dockerignore");
    for path in [".env", ".amn", ".git", "target", "node_modules"] {
        assert!(ignored.lines().any(|line| line == path), "{path}");
    }
}
