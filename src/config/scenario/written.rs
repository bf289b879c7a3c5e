//! Writes a scenario's file: what its reader reads, without URLs, headers or anything else that only the recorder needed.

use std::fmt;

use amn_core::block::NetworkId;
use amn_core::confirmation::{Require, Tier};

use super::{Act, Asked, FORMAT, Scenario, Step};
use crate::config::{Breaker, ContractWatch, Network, ProxyKind};

impl fmt::Display for Scenario {
    /// The file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format = {FORMAT}")?;
        writeln!(f, "title = {}", quoted(&self.title))?;
        if !self.recorded.is_empty() {
            writeln!(f, "recorded = {}", quoted(&self.recorded))?;
        }
        writeln!(f, "seed = {}\nbegins = \"{}\"", self.seed, self.begins)?;
        write_network(f, &self.network, &self.settings)?;
        self.listening.iter().try_for_each(|watch| write_listening(f, watch))?;
        self.intents.iter().try_for_each(|intent| write_intent(f, intent))?;
        self.timeline.iter().try_for_each(|step| write_step(f, step))
    }
}

fn write_listening(f: &mut fmt::Formatter<'_>, watch: &ContractWatch) -> fmt::Result {
    writeln!(f, "\n[[watch.contract]]\nnetwork = {}", quoted(watch.network.as_str()))?;
    writeln!(f, "contract = {}\ntenant = {}", quoted(&watch.contract), quoted(&watch.tenant))?;
    if let Some(patterns) = &watch.topics {
        let segments = |pattern: &Vec<String>| pattern.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
        let patterns: Vec<_> = patterns.iter().map(|pattern| format!("[{}]", segments(pattern))).collect();
        writeln!(f, "topics = [{}]", patterns.join(", "))?;
    }
    if let Some(since) = watch.since {
        writeln!(f, "since = {since}")?;
    }
    Ok(())
}

fn write_network(f: &mut fmt::Formatter<'_>, id: &NetworkId, network: &Network) -> fmt::Result {
    writeln!(f, "\n[networks.{id}]")?;
    if let Some(file) = &network.file {
        writeln!(f, "file = {}", quoted(&file.display().to_string()))?;
    }
    if network.single_operator_accepted {
        writeln!(f, "single_operator = \"accepted\"")?;
    }
    if let Some(poll) = network.poll {
        writeln!(f, "poll_ms = {}", poll.as_millis())?;
    }
    if let Some(blocks) = network.balance_check {
        writeln!(f, "balance_check = {blocks}")?;
    }
    if let Some(start) = network.start {
        writeln!(f, "start = {{ height = {}, hash = \"{}\" }}", start.height, start.hash)?;
    }
    if let Some(require) = &network.require {
        writeln!(f, "require = {}", inline(require))?;
    }
    for tier in network.tiers.iter().flatten() {
        writeln!(f, "\n[[networks.{id}.tiers]]")?;
        write_tier(f, tier)?;
    }
    for asset in &network.assets {
        writeln!(f, "\n[[networks.{id}.assets]]\ncode = {}", quoted(&asset.code))?;
        writeln!(f, "issuer = {}\ncontract = {}", quoted(&asset.issuer), quoted(&asset.contract))?;
        writeln!(f, "symbol = {}\nmin_amount = \"{}\"", quoted(&asset.symbol), asset.min_amount)?;
    }
    for token in &network.tokens {
        writeln!(f, "\n[[networks.{id}.tokens]]\naddress = {}", quoted(&token.address))?;
        writeln!(f, "symbol = {}\ndecimals = {}", quoted(&token.symbol), token.decimals)?;
        writeln!(f, "min_amount = \"{}\"", token.min_amount)?;
        if let Some(hash) = token.wasm_hash {
            writeln!(f, "wasm_hash = \"{hash}\"")?;
        }
    }
    for proxy in &network.proxies {
        let kind = match proxy.kind {
            ProxyKind::Erc20Fee => "erc20-fee",
            ProxyKind::EthFee => "eth-fee",
        };
        writeln!(f, "\n[[networks.{id}.proxies]]\nkind = \"{kind}\"\naddress = {}", quoted(&proxy.address))?;
    }
    for endpoint in &network.endpoints {
        writeln!(f, "\n[[networks.{id}.endpoints]]\nname = {}", quoted(&endpoint.name))?;
        writeln!(f, "operator = {}", quoted(endpoint.operator.as_str()))?;
        if let Some(kind) = &endpoint.kind {
            writeln!(f, "kind = {}", quoted(kind))?;
        }
        if endpoint.order > 0 {
            writeln!(f, "order = {}", endpoint.order)?;
        }
        // What bounds our requests decides how many questions go into one.
        if let Some(rps) = endpoint.max_rps {
            writeln!(f, "max_rps = {rps}")?;
        }
        if let Some(burst) = endpoint.burst {
            writeln!(f, "burst = {burst}")?;
        }
        if endpoint.breaker != Breaker::default() {
            let (failures, seconds) = (endpoint.breaker.failures, endpoint.breaker.open_for.as_secs());
            writeln!(f, "breaker = {{ failures = {failures}, open_seconds = {seconds} }}")?;
        }
    }
    Ok(())
}

fn write_tier(f: &mut fmt::Formatter<'_>, tier: &Tier) -> fmt::Result {
    if let Some(asset) = &tier.asset {
        writeln!(f, "asset = {}", quoted(asset.as_str()))?;
    }
    writeln!(f, "at_least = \"{}\"\nrequire = {}", tier.at_least, inline(&tier.require))
}

fn write_intent(f: &mut fmt::Formatter<'_>, intent: &Asked) -> fmt::Result {
    writeln!(f, "\n[[intents]]\nat_ms = {}\nname = {}", intent.at_ms, quoted(&intent.name))?;
    if let Some(id) = intent.id {
        writeln!(f, "id = \"{id}\"")?;
    }
    writeln!(f, "tenant = {}\nasset = {}", quoted(&intent.tenant), quoted(&intent.asset))?;
    writeln!(f, "due = \"{}\"", intent.due)?;
    if !intent.tolerance.is_zero() {
        writeln!(f, "tolerance = \"{}\"", intent.tolerance)?;
    }
    writeln!(f, "address = {}", quoted(&intent.address))?;
    if let Some(reference) = &intent.reference {
        writeln!(f, "reference = {}", quoted(reference))?;
    }
    if let Some(expires) = intent.expires_at {
        writeln!(f, "expires_at = \"{expires}\"")?;
    }
    if intent.require != Require::default() {
        writeln!(f, "require = {}", inline(&intent.require))?;
    }
    if let Some(height) = intent.since_height {
        writeln!(f, "since_height = {height}")?;
    }
    if intent.allow_reuse {
        writeln!(f, "allow_reuse = true")?;
    }
    if !intent.metadata.is_empty() {
        writeln!(f, "metadata = {}", inline(&intent.metadata))?;
    }
    Ok(())
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    writeln!(f, "\n[[timeline]]\nat_ms = {}", step.at_ms)?;
    match &step.act {
        Act::Cancel { intent } => writeln!(f, "do = \"cancel\"\nintent = {}", quoted(intent)),
        Act::Accept { intent } => writeln!(f, "do = \"accept\"\nintent = {}", quoted(intent)),
        Act::Assign { deposit, intent } => {
            writeln!(f, "do = \"assign\"\ndeposit = \"{deposit}\"\nintent = {}", quoted(intent))
        }
        Act::Unassign { deposit } => writeln!(f, "do = \"unassign\"\ndeposit = \"{deposit}\""),
        Act::Resume { accept_fork: None } => writeln!(f, "do = \"resume\""),
        Act::Resume { accept_fork: Some(hash) } => writeln!(f, "do = \"resume\"\naccept_fork = \"{hash}\""),
        Act::Thresholds(None) => writeln!(f, "do = \"thresholds\""),
        Act::Thresholds(Some(policy)) => {
            writeln!(f, "do = \"thresholds\"\npolicy.require = {}", inline(&policy.require))?;
            for tier in &policy.tiers {
                writeln!(f, "[[timeline.policy.tiers]]")?;
                write_tier(f, tier)?;
            }
            Ok(())
        }
    }
}

/// A text as TOML writes it: JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value as an inline table; what is absent is left out.
fn inline(value: &impl serde::Serialize) -> String {
    fn write(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Object(fields) => {
                let fields = fields.iter().filter(|(_, value)| !value.is_null());
                let fields: Vec<_> = fields.map(|(key, value)| format!("{} = {}", quoted(key), write(value))).collect();
                if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
            }
            serde_json::Value::Array(items) => format!("[{}]", items.iter().map(write).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }
    write(&serde_json::to_value(value).unwrap_or_default())
}
