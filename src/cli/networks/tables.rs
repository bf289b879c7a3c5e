//! Networks and their nodes as tables.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::cli::show::{Page, text};

pub(super) fn list(page: &mut Page, networks: &[Value], silent: &[String]) {
    let row = |network: &Value| {
        let lag = network["lag_seconds"].as_u64();
        [
            text(&network["id"]),
            text(&network["status"]),
            text(&network["tip"]["height"]),
            text(&network["safe"]["height"]),
            text(&network["finalized"]["height"]),
            lag.map_or_else(String::new, |lag| format!("{lag} s of {} s", network["lag_allowed_seconds"])),
            polling(&network["polling"]),
            text(&network["requests"]["per_block"]),
            text(&network["requests"]["today"]),
            text(&network["chain"]),
        ]
    };
    let table: Vec<_> = networks.iter().map(row).collect();
    let heads = ["NETWORK", "STATUS", "TIP", "SAFE", "FINALIZED", "LAG", "LOOK", "ASKED/BLOCK", "TODAY", "CHAIN"];
    page.table(heads, &table, "no network is known yet; the daemon registers those that the configuration enables");
    for network in networks {
        halt(page, network);
        slow_mode(page, network);
    }
    let endpoints: Vec<_> = networks.iter().flat_map(node_rows).collect();
    if !endpoints.is_empty() {
        page.line("");
        page.table(NODES, &endpoints, "");
    }
    let words: Vec<_> = networks.iter().flat_map(operator_rows).collect();
    if !words.is_empty() {
        page.line("");
        page.table(OPERATORS, &words, "");
    }
    told_by_nobody(page, silent);
}

/// One network, its nodes, and what each was asked.
pub(super) fn one(page: &mut Page, network: &Value, silent: &[String]) {
    list(page, std::slice::from_ref(network), silent);
    family(page, &network["facts"]);
    recall(page, &network["recall"]);
    for node in array(&network["endpoints"]) {
        page.line("");
        page.line(format!("{} ({})", text(&node["name"]), text(&node["shown_url"])));
        let breaker = &node["breaker"];
        let bell = &node["doorbell"];
        let bell = match (bell["connected"].as_bool(), bell["silent_seconds"].as_u64()) {
            (None, _) => String::new(),
            (Some(false), _) => format!("not connected; {} heads so far", bell["heads"]),
            (Some(true), None) => "connected; no head yet".to_owned(),
            (Some(true), Some(silent)) => format!("connected; {} heads, the last {silent} s ago", bell["heads"]),
        };
        page.pairs(&[
            ("  kind", text(&node["kind"])),
            ("  order", text(&node["order"])),
            ("  ledgers", reach(&node["reach"])),
            ("  breaker", format!("{}, opened {} times", text(&breaker["state"]), breaker["opened"])),
            ("  left alone", words(&breaker["methods"])),
            ("  doorbell", bell),
            ("  asked", words(&node["requests"])),
            ("  today", words(&node["requests_today"])),
            ("  failed", words(&node["errors"])),
            ("  heads that went back", text(&node["heads_went_back"])),
            ("  last error", text(&node["last_error"])),
            ("  distrusted", text(&node["distrusted"])),
        ]);
    }
}

/// A network that is read block by block costs many times as much: said without being asked.
fn slow_mode(page: &mut Page, network: &Value) {
    if network["facts"]["mode"] == "by_block" {
        let (id, why) = (text(&network["id"]), text(&network["facts"]["mode_reason"]));
        page.line(format!("{id} is read block by block, not account by account: {why}"));
    }
}

/// What only the family knows of the network.
fn family(page: &mut Page, facts: &Value) {
    let names = |of: &Value| array(of).iter().map(text).collect::<Vec<_>>().join(", ");
    let lakes =
        array(&facts["lakes"]).iter().map(|lake| format!("{} ({})", text(&lake["name"]), text(&lake["shown_url"])));
    if facts["passphrase"].is_string() {
        page.line("");
        page.pairs(&[
            ("passphrase", text(&facts["passphrase"])),
            ("protocol", format!("read up to {}", facts["protocol_max"])),
            ("attested by", names(&facts["organisations"])),
            ("lakes", lakes.collect::<Vec<_>>().join(", ")),
        ]);
    }
    if facts["global_id"].is_i64() {
        let jettons =
            array(&facts["jettons"]).iter().map(|of| format!("{} ({})", text(&of["symbol"]), text(&of["master"])));
        let mode = if facts["mode"] == "by_account" { "account by account" } else { "block by block" };
        page.line("");
        page.pairs(&[
            ("global id", facts["global_id"].to_string()),
            ("addresses", format!("as on the {}", text(&facts["addresses"]))),
            ("read", mode.to_owned()),
            ("jettons", jettons.collect::<Vec<_>>().join(", ")),
        ]);
    }
}

/// Which ledgers a node holds, and what its network speaks.
fn reach(reach: &Value) -> String {
    let (Some(oldest), Some(latest)) = (reach["oldest"].as_u64(), reach["latest"].as_u64()) else {
        return String::new();
    };
    let mut said = format!("{oldest} to {latest}");
    if let Some(kept) = reach["retention"].as_u64() {
        let _ = write!(said, ", of {kept} that it keeps");
    }
    if let Some(protocol) = reach["protocol"].as_u64() {
        let _ = write!(said, "; protocol {protocol}");
    }
    said
}

/// What reading blocks once more has shown.
fn recall(page: &mut Page, recall: &Value) {
    if recall.is_null() {
        return;
    }
    page.line("");
    page.line(format!(
        "{} blocks were read once more, the last {} at {}: {} of {} watched transfers had been missed",
        recall["blocks"],
        text(&recall["last_height"]),
        text(&recall["last_at"]),
        recall["misses"],
        recall["transfers"]
    ));
    if let Some(rate) = recall["miss_rate_ppm"].as_u64().filter(|rate| *rate > 0) {
        page.line(format!("  {rate} in a million"));
    }
}

/// The nodes alone.
pub(super) fn nodes(page: &mut Page, network: &Value) {
    page.table(NODES, &node_rows(network), "");
}

fn halt(page: &mut Page, network: &Value) {
    let halt = &network["halt"];
    if halt.is_null() {
        return;
    }
    let id = text(&network["id"]);
    page.line("");
    page.line(format!("{id} stands still since {}: {}", text(&halt["at"]), text(&halt["reason"])));
    page.line(format!("  {}", text(&halt["detail"])));
    let fork = text(&halt["reason"]).starts_with("fork");
    let flag = if fork { " --accept-fork HASH" } else { "" };
    page.line(format!("  when the cause is understood: amn-scanner networks resume {id}{flag}"));
}

fn told_by_nobody(page: &mut Page, silent: &[String]) {
    if !silent.is_empty() {
        page.line("");
        let names = silent.join(", ");
        page.line(format!("No daemon has spoken of the nodes of {names} of late: they were asked by this command."));
    }
}

fn polling(polling: &Value) -> String {
    let Some(millis) = polling["interval_ms"].as_u64() else { return String::new() };
    format!("{}, {}.{} s", text(&polling["pace"]), millis / 1_000, millis % 1_000 / 100)
}

const NODES: [&str; 12] = [
    "NODE",
    "NETWORK",
    "OPERATOR",
    "STATUS",
    "HEAD",
    "BEHIND",
    "LATENCY",
    "FAILING",
    "ASKED/BLOCK",
    "TODAY",
    "URL",
    "SAID",
];

fn node_rows(network: &Value) -> Vec<[String; 12]> {
    let row = |node: &Value| {
        let today: u64 = node["requests_today"].as_object().map_or(0, total);
        let failing = node["error_rate_permille"].as_u64().unwrap_or(0);
        [
            text(&node["name"]),
            text(&network["id"]),
            text(&node["operator"]),
            status(node),
            text(&node["head"]),
            text(&node["lag"]),
            node["latency_us"].as_u64().map_or_else(String::new, |us| format!("{} ms", us.div_ceil(1_000))),
            if failing == 0 { String::new() } else { format!("{}.{} %", failing / 10, failing % 10) },
            text(&node["per_block"]),
            today.to_string(),
            text(&node["shown_url"]),
            said(node),
        ]
    };
    array(&network["endpoints"]).iter().filter(|node| node.is_object()).map(row).collect()
}

/// One word on whether it can be used.
fn status(node: &Value) -> String {
    let word = match text(&node["breaker"]["state"]).as_str() {
        _ if node["distrusted"].is_string() => "distrusted",
        "open" => "open",
        "half_open" => "half-open",
        _ if !node["cooling_seconds"].is_null() => "cooling",
        _ if !node["head"].is_null() => "ok",
        _ if node["last_error"].is_null() => "unasked",
        _ => "FAIL",
    };
    word.to_owned()
}

fn said(node: &Value) -> String {
    let wait = node["cooling_seconds"].as_u64().map(|seconds| format!("for {seconds} s: ")).unwrap_or_default();
    let broken = words(&node["breaker"]["methods"]);
    let broken = if broken.is_empty() { broken } else { format!("left alone: {broken}; ") };
    let error = [&node["distrusted"], &node["last_error"]].into_iter().find(|said| !said.is_null());
    format!("{wait}{broken}{}", error.map(text).unwrap_or_default())
}

const OPERATORS: [&str; 7] = ["OPERATOR", "NETWORK", "NODES", "SAYS", "BLOCK", "HASH", "AGO"];

fn operator_rows(network: &Value) -> Vec<[String; 7]> {
    let row = |word: &Value| {
        let said = &word["said"];
        let says = match said["agrees"].as_bool() {
            Some(true) => "agrees",
            Some(false) => "contradicts",
            None if said.is_null() => "nothing yet",
            None => "of another height",
        };
        let names: Vec<String> = array(&word["endpoints"]).iter().map(text).collect();
        [
            text(&word["operator"]),
            text(&network["id"]),
            names.join(", "),
            says.to_owned(),
            text(&said["height"]),
            text(&said["hash"]),
            said["seconds_ago"].as_u64().map_or_else(String::new, |seconds| format!("{seconds} s")),
        ]
    };
    array(&network["operators"]).iter().map(row).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn total(counts: &Map<String, Value>) -> u64 {
    counts.values().filter_map(Value::as_u64).sum()
}

/// Names and their values, those that are nothing left out.
fn words(of: &Value) -> String {
    let mut line = String::new();
    for (name, value) in of.as_object().into_iter().flatten().filter(|(_, value)| value.as_u64() != Some(0)) {
        let comma = if line.is_empty() { "" } else { ", " };
        let _ = write!(line, "{comma}{name} {}", text(value));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_has_the_word_that_matters_most() {
        let node = |more: Value| {
            let mut node = json!({
                "breaker": { "state": "closed", "methods": {} }, "distrusted": null, "cooling_seconds": null,
                "head": 7, "last_error": null,
            });
            for (name, value) in more.as_object().unwrap() {
                node[name] = value.clone();
            }
            node
        };
        let open = json!({ "state": "open", "methods": {} });
        for (more, word) in [
            (json!({}), "ok"),
            (json!({ "head": null }), "unasked"),
            (json!({ "head": null, "last_error": "refused" }), "FAIL"),
            (json!({ "cooling_seconds": 3 }), "cooling"),
            (json!({ "breaker": { "state": "half_open", "methods": {} }, "cooling_seconds": 3 }), "half-open"),
            (json!({ "breaker": open, "cooling_seconds": 3 }), "open"),
            (json!({ "breaker": open, "distrusted": "it lied" }), "distrusted"),
        ] {
            assert_eq!(status(&node(more.clone())), word, "{more}");
        }
        let broken = json!({ "state": "closed", "methods": { "eth_getLogs": "open" } });
        let said = said(&node(json!({ "breaker": broken, "cooling_seconds": 9, "last_error": "HTTP 502" })));
        assert_eq!(said, "for 9 s: left alone: eth_getLogs open; HTTP 502");
    }

    #[test]
    fn an_operator_that_contradicts_is_seen_at_a_glance() {
        let network = json!({ "id": "base", "operators": [
            { "operator": "alpha", "endpoints": ["a1", "a2"], "said": { "agrees": true, "height": 5, "hash": "0x05", "seconds_ago": 2 } },
            { "operator": "beta", "endpoints": ["b"], "said": { "agrees": false, "height": 5, "hash": "0x99", "seconds_ago": 3 } },
            { "operator": "gamma", "endpoints": ["c"], "said": null },
        ] });
        let rows = operator_rows(&network);
        assert_eq!(rows[0].join("|"), "alpha|base|a1, a2|agrees|5|0x05|2 s");
        assert_eq!(rows[1].join("|"), "beta|base|b|contradicts|5|0x99|3 s");
        assert_eq!(rows[2].join("|"), "gamma|base|c|nothing yet|||");
    }
}
