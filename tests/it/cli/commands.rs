//! What commands do, and what they leave in the ledger.

use serde_json::{Value, json};

use super::amn;
use crate::support::play::{Play, Setting};

/// Whether keys are sorted at every level of a JSON text.
fn sorted(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.keys().is_sorted() && fields.values().all(sorted),
        Value::Array(items) => items.iter().all(sorted),
        _ => true,
    }
}

#[tokio::test]
async fn a_command_does_what_a_request_does_and_the_audit_log_names_who_typed_it() {
    let play = Play::new().await;
    let config = play.dir.path().join("amn-scanner.toml");
    let to = play.fresh().to_string();
    let made = amn(
        &config,
        &[
            "intents",
            "create",
            "--tenant",
            "seller",
            "--network",
            "devnet",
            "--asset",
            "usdc",
            "--due",
            "1000000",
            "--address",
            &to,
            "--expires",
            "365d",
            "--metadata",
            "order=A-1",
            "--json",
        ],
    )
    .await
    .json();
    assert_eq!(play.now(&made).await["metadata"], json!({"order": "A-1"}), "the API sees it");
    assert!(sorted(&made));
    let id = made["id"].as_str().unwrap();

    // Money in another asset belongs to nobody, until a person gives it to an intent of that asset.
    let other = amn_scanner::stage::contracts::transfer(to.parse().unwrap(), 5);
    play.call(play.other_token, &other).await;
    play.mine(3).await;
    let found = amn(&config, &["deposits", "list", "--unmatched", "--json"]).await.json();
    let deposit = found["data"][0]["id"].as_str().unwrap();
    assert_eq!(found["data"][0]["unmatched"], "wrong_asset");
    let refused = amn(&config, &["deposits", "assign", deposit, id]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let euro = format!("eip155:31337/erc20:{}", play.other_token);
    let euro = play.intent(json!({"asset": euro, "due": "5"})).await;
    let assigned = amn(&config, &["deposits", "assign", deposit, euro["id"].as_str().unwrap(), "--json"]).await.json();
    assert_eq!(assigned["intent"], euro["id"]);

    let canceled = amn(&config, &["intents", "cancel", id]).await.fine();
    assert!(canceled.contains("status     canceled\n"), "{canceled}");
    let list = amn(&config, &["intents", "list", "--status", "canceled"]).await.fine();
    assert!(list.lines().nth(1).unwrap().starts_with(id), "{list}");

    let set = ["thresholds", "set", "devnet", "--confirmations", "5", "--drop", "inclusion", "--json"];
    let thresholds = amn(&config, &set).await.json();
    assert_eq!(thresholds["effective"]["require"]["confirmations"], 5);
    assert_eq!(thresholds["effective"]["require"]["inclusion"], Value::Null);
    assert_eq!(thresholds["effective"]["require"]["operators"], 2, "what is not named stays");
    let reset = amn(&config, &["thresholds", "reset", "devnet"]).await.fine();
    assert!(reset.contains("Nothing overrides the file."), "{reset}");

    let key = amn(&config, &["keys", "create", "--name", "backend", "--scope", "intents:read", "--json"]).await.json();
    assert!(key["key"].as_str().unwrap().starts_with("amn_"));
    amn(&config, &["keys", "revoke", key["id"].as_str().unwrap()]).await.fine();

    let actors: Vec<(String, String)> =
        sqlx::query_as("select action, actor from amn.audit where actor like 'cli:%' order by id")
            .fetch_all(&play.db.pool)
            .await
            .unwrap();
    let actions: Vec<&str> = actors.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["assign", "cancel", "thresholds.put", "thresholds.put", "key.create", "key.revoke"]);
    assert!(actors.iter().all(|(_, actor)| actor == "cli:tester"), "{actors:?}");
}

#[tokio::test]
async fn a_test_event_reaches_the_receiver_of_an_endpoint() {
    let play = Play::new().await;
    let config = play.dir.path().join("amn-scanner.toml");
    let found = amn(&config, &["endpoints", "list", "--json"]).await.json();
    let endpoint = found["data"][0]["id"].as_str().unwrap();
    let sent = amn(&config, &["deliveries", "test", endpoint, "--json"]).await.json();
    let heard = |all: &[amn_scanner::stage::receiver::Heard]| all.iter().any(|h| h.event == "endpoint.test");
    assert!(play.receiver.until(std::time::Duration::from_secs(30), heard).await);
    play.quiet().await;
    let event = sent["event"].as_str().unwrap();
    let shown = amn(&config, &["deliveries", "show", event]).await.fine();
    assert!(shown.contains("delivered"), "{shown}");
    let again = amn(&config, &["deliveries", "redrive", "--event", event, "--delivered-too"]).await.fine();
    assert_eq!(again, "1 sent again\n");
}

#[tokio::test]
async fn check_finds_a_healthy_network_well_and_names_what_is_not() {
    let play = Play::new().await;
    let config = play.dir.path().join("amn-scanner.toml");
    let well = amn(&config, &["check", "--json"]).await;
    let checks = well.json();
    let of = |checks: &Value, check: &str, subject: &str| {
        let all = checks["checks"].as_array().unwrap().clone();
        all.into_iter().find(|line| line["check"] == check && line["subject"] == subject).unwrap_or_default()
    };
    for check in ["identity", "head", "tag", "getLogs", "receipts", "decimals"] {
        for endpoint in ["devnet/alpha", "devnet/beta"] {
            assert_eq!(of(&checks, check, endpoint)["status"], "ok", "{check} of {endpoint}: {checks:#}");
        }
    }
    assert_eq!(of(&checks, "websocket", "devnet/alpha")["status"], "ok");
    assert_eq!(of(&checks, "operators", "devnet")["said"], "2 operator(s), the policy asks for 2");
    assert_eq!(of(&checks, "schema", "database.url")["status"], "ok");
    assert!(of(&checks, "decimals", "devnet/beta")["said"].as_str().unwrap().starts_with("2 token(s)"));

    // A token that is none, an endpoint that is gone, a chain that is another.
    let text = std::fs::read_to_string(&config).unwrap();
    let broken = play.dir.path().join("broken.toml");
    let beta = play.gate.url("beta");
    std::fs::write(&broken, text.replace(&beta, "http://127.0.0.1:9").replace("decimals = 6", "decimals = 8")).unwrap();
    let ill = amn(&broken, &["check"]).await;
    assert_eq!(ill.code, 1, "{ill:?}");
    assert!(ill.out.contains("identity   devnet/beta"), "{}", ill.out);
    assert!(ill.out.contains("6 on chain, 8 in the registry"), "{}", ill.out);
    assert!(ill.out.contains("see that the URL is right and that the node runs"), "{}", ill.out);
}

#[tokio::test]
async fn networks_are_listed_with_their_lag_and_what_their_endpoints_say() {
    let play = Play::new().await;
    let config = play.dir.path().join("amn-scanner.toml");
    let head = play.chain.height().await.unwrap();
    let list = async || amn(&config, &["networks", "list", "--json"]).await.json()["data"][0].clone();
    // The daemon says what it knows every two seconds.
    play.wait("the daemon does not speak of its nodes", async || {
        let network = list().await;
        let heads: Vec<_> = network["endpoints"].as_array().unwrap().iter().map(|e| e["head"].clone()).collect();
        let agree = network["operators"].as_array().unwrap().iter().all(|word| word["said"]["agrees"] == true);
        heads == [json!(head), json!(head)] && agree && !network["reported_at"].is_null()
    })
    .await;
    let network = list().await;
    assert_eq!(network["tip"]["height"], head.to_string());
    let nodes = network["endpoints"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["breaker"]["state"] == "closed" && node["distrusted"].is_null()), "{nodes:?}");
    assert_eq!(nodes[0]["doorbell"]["connected"], true);
    assert!(network["requests"]["today"].as_u64().unwrap() > 10, "{network}");
    assert_eq!(network["operators"][1]["operator"], "beta");
    assert_eq!(network["operators"][1]["endpoints"], json!(["beta"]));
    let shown = amn(&config, &["networks", "list"]).await.fine();
    assert!(shown.starts_with("NETWORK  STATUS"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colour where no terminal is");
}

#[tokio::test]
async fn a_node_that_is_left_alone_is_used_again_by_command_and_without_a_daemon_that_is_said() {
    let setting = Setting {
        rest: "breaker = { failures = 2, open_seconds = 3600 }".to_owned(), // The last endpoint is beta.
        ..Setting::default()
    };
    let mut play = Play::with(setting).await;
    let config = play.dir.path().join("amn-scanner.toml");
    let beta = async |config: &std::path::Path| {
        let shown = amn(config, &["networks", "show", "devnet", "--json"]).await.json();
        shown["endpoints"].as_array().unwrap().iter().find(|node| node["name"] == "beta").cloned().unwrap()
    };
    play.gate.gone("beta", true);
    play.chain.mine(1).await.unwrap();
    let is_left_alone = |node: &Value| node["usable"] == false && node["breaker"]["state"] != "closed";
    play.wait("beta is not left alone", async || {
        play.chain.mine(1).await.unwrap();
        is_left_alone(&beta(&config).await)
    })
    .await;
    let table = amn(&config, &["networks", "show", "devnet"]).await.fine();
    assert!(table.contains("HTTP 502"), "{table}");

    // It is mended; nobody waits an hour for that to be found out.
    play.gate.gone("beta", false);
    let reset = amn(&config, &["networks", "reset", "devnet", "beta"]).await.fine();
    assert!(reset.starts_with("beta of devnet is used again\n"), "{reset}");
    play.wait("beta is not used again", async || {
        let node = beta(&config).await;
        node["usable"] == true && node["breaker"]["state"] == "closed"
    })
    .await;
    play.caught_up().await;
    let nobody = amn(&config, &["networks", "reset", "devnet", "gamma"]).await;
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("there is no such endpoint"), "{nobody:?}");
    let audit: Vec<String> = sqlx::query_scalar("select actor from amn.audit where action = 'endpoint.reset'")
        .fetch_all(&play.db.pool)
        .await
        .unwrap();
    assert_eq!(audit, ["cli:tester"]);

    play.daemon.kill().await;
    let alone = amn(&config, &["networks", "reset", "devnet", "beta"]).await;
    assert_eq!(alone.code, 1, "{alone:?}");
    assert!(alone.err.contains("no daemon that serves devnet obeyed"), "{alone:?}");
}

#[tokio::test]
async fn a_rescan_is_carried_out_by_the_daemon_that_runs_and_what_it_came_to_is_shown() {
    let play = Play::new().await;
    let config = play.dir.path().join("amn-scanner.toml");
    let intent = play.intent(json!({})).await;
    play.pay(&intent, 1_000_000).await;
    play.mine(4).await;
    let (told, tip) = (play.told(&intent), play.chain.height().await.unwrap());
    let (from, to) = ((tip - 3).to_string(), tip.to_string());
    let heights = ["rescan", "--network", "devnet", "--from", &from, "--to", &to, "--wait", "--json"];
    let done = amn(&config, &heights).await.json();
    assert_eq!((&done["status"], &done["found"]), (&json!("done"), &json!(0)), "{done}");
    assert_eq!((&done["transfers"], &done["actor"]), (&json!(1), &json!("cli:tester")));
    let list = amn(&config, &["rescan", "--network", "devnet"]).await.fine();
    assert!(list.lines().nth(1).unwrap().contains("done"), "{list}");
    play.quiet().await;
    assert_eq!(play.told(&intent), told, "nothing was told again");
    let beyond = ["rescan", "--network", "devnet", "--from", "1", "--to", "999999"];
    let refused = amn(&config, &beyond).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("the ledger of devnet covers"), "{refused:?}");
}
