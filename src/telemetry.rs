//! What the daemon says of itself: log lines on standard error, and the metrics, all described in one place.
//!
//! Law: no secret in a line or a label, and every label has few values: networks, endpoints and routes are
//! counted by the configuration, the rest are words of ours. See `docs/LOGGING.md`.

use std::io;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Log, LogFormat};

/// Why telemetry did not start. Both name a mistake of ours or of the configuration: do not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.filter is not a filter: {0}")]
    Filter(String),
    #[error("logs or metrics were started twice in one process")]
    Twice,
}

/// Starts logs and metrics for the whole process. The answer renders the metrics; call its
/// `run_upkeep` every few seconds, or histograms grow.
pub fn start(log: &Log) -> Result<PrometheusHandle, TelemetryError> {
    logs(log)?;
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Twice)?;
    describe();
    Ok(handle)
}

fn logs(log: &Log) -> Result<(), TelemetryError> {
    let filter = parse_filter(&log.filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        // Standard output belongs to what a command prints.
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Pretty => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_ansi(false).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let words = panic.payload_as_str().unwrap_or("no words");
        tracing::error!(place, "panic at {place}: {words}");
    }));
    Ok(())
}

/// Reads a filter such as `info,amn_scanner=debug`.
pub fn parse_filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(text).map_err(|error| TelemetryError::Filter(error.to_string()))
}

/// Seconds, from a decision in memory to an endpoint that is timed out.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Blocks, from an ordinary reorg to the deepest we remember.
const BLOCKS: [f64; 9] = [1.0, 2.0, 3.0, 6.0, 12.0, 32.0, 64.0, 200.0, 20_000.0];

fn builder() -> PrometheusBuilder {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        let buckets = match metric.kind {
            Kind::Histogram(Unit::Seconds) => &SECONDS[..],
            Kind::Histogram(Unit::Blocks) => &BLOCKS[..],
            _ => continue,
        };
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
            .unwrap_or_else(|_| unreachable!("the bucket lists above are not empty"));
    }
    builder
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge(_) => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge(Unit),
    Histogram(Unit),
}

/// What a metric counts. The name ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
    Blocks,
    Height,
}

/// A metric as dashboards know it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics_list {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        /// The names, to be used wherever a metric is counted.
        pub mod metric {
            $(#[doc = $help] pub const $constant: &str = $name;)*
        }

        /// Every metric of the daemon.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

metrics_list! {
    NETWORK_TIP = "amn_network_tip_height", Kind::Gauge(Unit::Height), ["network"], "Height up to which the network is covered.";
    NETWORK_HEAD = "amn_network_head_height", Kind::Gauge(Unit::Height), ["network"], "Height of the newest block any node has told us of.";
    NETWORK_FINALIZED = "amn_network_finalized_height", Kind::Gauge(Unit::Height), ["network"], "Height the network itself calls finalized.";
    NETWORK_TIP_TIME = "amn_network_tip_time_seconds", Kind::Gauge(Unit::Seconds), ["network"], "Chain time of the covered tip, in seconds since 1970.";
    NETWORK_LAG = "amn_network_lag_seconds", Kind::Gauge(Unit::Seconds), ["network"], "Age of the covered tip beyond the network's own block time.";
    NETWORK_HALTED = "amn_network_halted", Kind::Gauge(Unit::Count), ["network"], "1 while the network stands still for a person.";
    HALTS = "amn_halts_total", Kind::Counter, ["network", "reason"], "Times a network stopped for a person.";
    ALARMS = "amn_alarms_total", Kind::Counter, ["network", "kind"], "Times something was seen that a person should know of.";
    WATCHED = "amn_watched_addresses", Kind::Gauge(Unit::Count), ["network"], "Addresses that are looked for.";
    BLOCKS_COVERED = "amn_blocks_covered_total", Kind::Counter, ["network"], "Blocks read, decided and committed.";
    OBSERVATIONS = "amn_observations_total", Kind::Counter, ["network", "kind"], "Things seen that credit nobody: dust, malformed or unrepresentable transfers.";
    DEPOSITS = "amn_deposits_total", Kind::Counter, ["network", "status"], "Deposits by the status they came to.";
    CONTRACT_EVENTS = "amn_contract_events_total", Kind::Counter, ["network", "status"], "Watched contract events by the status they came to.";
    REORGS = "amn_reorgs_total", Kind::Counter, ["network"], "Branches left for another.";
    REORG_DEPTH = "amn_reorg_depth_blocks", Kind::Histogram(Unit::Blocks), ["network"], "Blocks undone by a reorg.";
    DECISION_TIME = "amn_decision_seconds", Kind::Histogram(Unit::Seconds), ["network", "input"], "From loading the state to the commit of one decision.";
    AUDITED_BLOCKS = "amn_audited_blocks_total", Kind::Counter, ["network", "coverage", "result"], "Covered blocks chosen to be read once more, by how they were read first and what that showed.";
    AUDITED_TRANSFERS = "amn_audited_transfers_total", Kind::Counter, ["network", "coverage"], "Watched transfers in blocks that were read once more, missed ones among them.";
    AUDIT_MISSES = "amn_audit_misses_total", Kind::Counter, ["network", "coverage"], "Watched transfers that the first reading missed and the audit found.";
    RESCANNED_BLOCKS = "amn_rescanned_blocks_total", Kind::Counter, ["network"], "Covered blocks read once more by a rescan.";
    RESCAN_FOUND = "amn_rescan_found_total", Kind::Counter, ["network"], "Deposits that a rescan found and nobody knew of.";
    EVENTS = "amn_events_total", Kind::Counter, ["network", "event"], "Events committed.";
    EVENTS_UNNUMBERED = "amn_events_unnumbered", Kind::Gauge(Unit::Count), [], "Committed events that the sequencer has not numbered yet.";
    ATTEMPTS = "amn_webhook_attempts_total", Kind::Counter, ["outcome"], "Tries to deliver, by outcome.";
    ATTEMPT_TIME = "amn_webhook_attempt_seconds", Kind::Histogram(Unit::Seconds), [], "Duration of one try, body included.";
    DELIVERY_TIME = "amn_webhook_delivery_seconds", Kind::Histogram(Unit::Seconds), [], "From the commit of an event to its delivery.";
    DELIVERIES_PENDING = "amn_webhook_deliveries_pending", Kind::Gauge(Unit::Count), ["lane"], "Deliveries on their way, by lane.";
    DELIVERIES_OLDEST = "amn_webhook_oldest_undelivered_seconds", Kind::Gauge(Unit::Seconds), [], "Age of the oldest event that somebody still waits for.";
    DEAD_LETTERS = "amn_webhook_dead_letters_total", Kind::Counter, ["reason"], "Deliveries given up until somebody redrives them.";
    RPC_REQUESTS = "amn_rpc_requests_total", Kind::Counter, ["network", "endpoint", "method"], "Requests to nodes.";
    RPC_DISTRUSTED = "amn_rpc_distrusted", Kind::Gauge(Unit::Count), ["network", "endpoint"], "1 while the endpoint is distrusted for what it said.";
    RPC_USABLE = "amn_rpc_usable", Kind::Gauge(Unit::Count), ["network", "endpoint"], "1 while the endpoint may be asked.";
    RPC_BREAKER = "amn_rpc_breaker", Kind::Gauge(Unit::Count), ["network", "endpoint", "state"], "1 for the state that the endpoint's breaker is in: closed, open or half_open.";
    RPC_BREAKER_TRANSITIONS = "amn_rpc_breaker_transitions_total", Kind::Counter, ["network", "endpoint", "from", "to"], "Changes of state of the endpoint's breaker.";
    RPC_METHODS_BROKEN = "amn_rpc_broken_methods", Kind::Gauge(Unit::Count), ["network", "endpoint"], "Methods of the endpoint that are left alone while others serve.";
    RPC_ERRORS = "amn_rpc_errors_total", Kind::Counter, ["network", "endpoint", "class"], "Answers that were none, by what had to be done.";
    RPC_ERROR_RATE = "amn_rpc_error_rate", Kind::Gauge(Unit::Count), ["network", "endpoint"], "Share of failures among the requests of the last minutes, 0 to 1.";
    RPC_LAG = "amn_rpc_lag_blocks", Kind::Gauge(Unit::Blocks), ["network", "endpoint"], "Blocks that the endpoint is behind the best head.";
    RPC_LATENCY = "amn_rpc_latency_seconds", Kind::Gauge(Unit::Seconds), ["network", "endpoint"], "Moving average of the time an answer takes.";
    RPC_HEADS_BACK = "amn_rpc_heads_back_total", Kind::Counter, ["network", "endpoint"], "Times the endpoint claimed a lower head than before.";
    RPC_DOORBELL = "amn_rpc_doorbell_connected", Kind::Gauge(Unit::Count), ["network", "endpoint"], "1 while the endpoint's doorbell is connected.";
    RPC_DOORBELL_HEADS = "amn_rpc_doorbell_heads_total", Kind::Counter, ["network", "endpoint"], "Heads that the endpoint's doorbell announced.";
    RPC_OPERATORS = "amn_rpc_operators", Kind::Gauge(Unit::Count), ["network", "state"], "Operators whose last word agrees with our chain or contradicts it.";
    HTTP_REQUESTS = "amn_http_requests_total", Kind::Counter, ["route", "status"], "Requests to our API, by route as written and status.";
    HTTP_TIME = "amn_http_request_seconds", Kind::Histogram(Unit::Seconds), ["route"], "Duration of a request to our API.";
    DATABASE_CONNECTIONS = "amn_database_connections", Kind::Gauge(Unit::Count), ["state"], "Connections of the pool, idle and in use.";
    TASK_RESTARTS = "amn_task_restarts_total", Kind::Counter, ["task"], "Restarts of tasks that must not end.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Labels with few values; whoever adds one has thought about how many it has.
    const LABELS: [&str; 18] = [
        "class", "coverage", "endpoint", "event", "from", "input", "kind", "lane", "method", "network", "outcome",
        "reason", "result", "route", "state", "status", "task", "to",
    ];

    #[test]
    fn every_metric_is_named_once_ends_with_its_unit_and_has_bounded_labels() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len(), "a name stands twice");
        for Metric { name, kind, labels, help } in METRICS {
            assert!(name.starts_with("amn_") && help.ends_with('.'), "{name}");
            let ends = match kind {
                Kind::Counter => "_total",
                Kind::Gauge(unit) | Kind::Histogram(unit) => match unit {
                    Unit::Seconds => "_seconds",
                    Unit::Blocks => "_blocks",
                    Unit::Height => "_height",
                    Unit::Count => "",
                },
            };
            assert!(name.ends_with(ends), "{name} does not end with {ends}");
            assert!(labels.iter().all(|label| LABELS.contains(label)), "{name}: {labels:?}");
        }
    }

    #[test]
    fn metrics_render_with_their_help_and_their_buckets() {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(metric::EVENTS, "event" => "payment.confirmed").increment(2);
            metrics::histogram!(metric::ATTEMPT_TIME).record(0.02);
        });
        let text = handle.render();
        assert!(text.contains("# HELP amn_events_total Events committed."), "{text}");
        assert!(text.contains(r#"amn_events_total{event="payment.confirmed"} 2"#), "{text}");
        assert!(text.contains(r#"amn_webhook_attempt_seconds_bucket{le="0.025"} 1"#), "{text}");
    }

    #[test]
    fn a_wrong_filter_is_named() {
        assert!(parse_filter("info,amn_scanner=debug").is_ok());
        assert!(parse_filter("amn_scanner=loud").is_err());
    }

    /// The library crates cannot name our constants: what they count by name must be in the list.
    #[test]
    fn every_metric_that_is_counted_is_described() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Vec::new();
        for dir in ["src", "core/src", "rpc/src", "chains"] {
            rust_files(&root.join(dir), &mut sources);
        }
        assert!(sources.len() > 10, "the sources were found");
        let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        for path in sources.into_iter().filter(|path| !path.ends_with(file!())) {
            let text = fs::read_to_string(&path).unwrap();
            for call in ["counter!(", "gauge!(", "histogram!("] {
                for counted in text.split(call).skip(1) {
                    let Some(name) = counted.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
                    else {
                        continue;
                    };
                    assert!(known.contains(name), "{name} in {} is not described in telemetry.rs", path.display());
                }
            }
        }
    }

    fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
}
