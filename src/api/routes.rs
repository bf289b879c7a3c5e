//! The table of routes: path, who may call it, what the document says of it. What is not here is not served.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::AppState;
use super::auth::{Access, Scope};
use super::{
    contract_events, deliveries, deposits, endpoints, events, health, intents, keys, networks, nodes, openapi, rescans,
    tenants, thresholds,
};

type Make = Box<dyn Fn() -> MethodRouter<Arc<AppState>>>;

/// One route with its documentation.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    pub summary: &'static str,
    /// Names of documented query parameters and headers.
    pub parameters: &'static [&'static str],
    /// The schema of the body.
    pub body: Option<&'static str>,
    pub body_may_be_absent: bool,
    /// The status of success and the schema of its answer.
    pub answer: (u16, &'static str),
    pub(super) handler: Make,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    fn takes(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }

    fn reads(mut self, schema: &'static str) -> Self {
        self.body = Some(schema);
        self
    }

    fn may_read(mut self, schema: &'static str) -> Self {
        self.body_may_be_absent = true;
        self.reads(schema)
    }
}

fn route<H, T>(
    line: &'static str,
    access: Access,
    answer: (u16, &'static str),
    summary: &'static str,
    handler: H,
) -> Route
where
    H: Handler<T, Arc<AppState>>,
    T: 'static,
{
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let (method, filter) = match method {
        "POST" => (Method::POST, MethodFilter::POST),
        "PUT" => (Method::PUT, MethodFilter::PUT),
        "DELETE" => (Method::DELETE, MethodFilter::DELETE),
        _ => (Method::GET, MethodFilter::GET),
    };
    let handler = Box::new(move || on(filter, handler.clone()));
    Route { method, path, access, summary, parameters: &[], body: None, body_may_be_absent: false, answer, handler }
}

/// Every route there is.
#[must_use]
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    use Scope::{
        DeliveriesRead, DeliveriesWrite, DepositsRead, DepositsWrite, EndpointsRead, EndpointsWrite, EventsRead, IntentsRead, IntentsWrite, KeysRead, KeysWrite, NetworksRead, NetworksWrite,
        TenantsRead, TenantsWrite, ThresholdsWrite,
    };
    let key = Access::Key;
    vec![
        route("GET /health", Access::Open, (200, "Alive"), "Whether the process answers; asks nothing else.", health::alive),
        route("GET /healthz", Access::Open, (200, "Alive"), "The same as /health.", health::alive),
        route("GET /ready", Access::Open, (200, "Readiness"), "Whether the database answers and every network keeps up with its own block time.", health::ready),
        route("GET /readyz", Access::Open, (200, "Readiness"), "The same as /ready.", health::ready),
        route("GET /metrics", Access::Metrics, (200, "Metrics"), "Metrics for Prometheus, with the metrics token or from this machine.", health::metrics),

        route("GET /v1/openapi.json", Access::Open, (200, "OpenApi"), "This document.", openapi::serve),

        route("POST /v1/intents", key(IntentsWrite), (201, "Intent"), "Create an intent.", intents::create)
            .reads("NewIntent").takes(&["Idempotency-Key"]),
        route("GET /v1/intents", key(IntentsRead), (200, "IntentPage"), "List intents, newest first.", intents::list)
            .takes(&["tenant", "network", "intent_status", "address", "cursor", "limit"]),
        route("GET /v1/intents/{intent}", key(IntentsRead), (200, "Intent"), "One intent with its newest deposits.", intents::get),
        route("POST /v1/intents/{intent}/cancel", key(IntentsWrite), (200, "Intent"), "Cancel an intent that awaits money.", intents::cancel),
        route("POST /v1/intents/{intent}/accept", key(IntentsWrite), (200, "Intent"), "Accept what has settled, late or short, as enough.", intents::accept),

        route("GET /v1/deposits", key(DepositsRead), (200, "DepositPage"), "List deposits, newest first.", deposits::list)
            .takes(&["tenant", "network", "deposit_status", "intent", "matched", "tx", "cursor", "limit"]),
        route("GET /v1/deposits/{deposit}", key(DepositsRead), (200, "Deposit"), "One deposit.", deposits::get),
        route("POST /v1/deposits/{deposit}/assign", key(DepositsWrite), (200, "Deposit"), "Assign an unmatched deposit to an intent of its network and asset.", deposits::assign)
            .reads("Assignment"),
        route("POST /v1/deposits/{deposit}/unassign", key(DepositsWrite), (200, "Deposit"), "Take an assigned deposit back.", deposits::unassign),

        route("GET /v1/contract-events", key(EventsRead), (200, "ContractEventPage"), "List what watched contracts said, newest first, told or not yet.", contract_events::list)
            .takes(&["tenant", "network", "contract", "deposit_status", "tx", "cursor", "limit"]),
        route("GET /v1/contract-events/{contract_event}", key(EventsRead), (200, "ContractEvent"), "One thing a contract said.", contract_events::get),

        route("GET /v1/events", key(EventsRead), (200, "EventPage"), "The feed: every numbered event of a tenant, in one order, as it was sent.", events::feed)
            .takes(&["tenant", "after", "limit"]),
        route("GET /v1/events/{event}/deliveries", key(DeliveriesRead), (200, "EventDeliveries"), "What became of one event: what is pending, every try, what was given up.", deliveries::of_event),

        route("GET /v1/deliveries", key(DeliveriesRead), (200, "DeliveryPage"), "Deliveries under way, oldest first.", deliveries::list)
            .takes(&["tenant", "endpoint", "cursor", "limit"]),
        route("GET /v1/dead-letters", key(DeliveriesRead), (200, "DeadLetterPage"), "Deliveries that were given up and not sent again, newest first.", deliveries::dead_letters)
            .takes(&["tenant", "endpoint", "cursor", "limit"]),
        route("POST /v1/deliveries/redrive", key(DeliveriesWrite), (202, "Redriven"), "Send again: same id, same bytes. What is pending stays as it is.", deliveries::redrive)
            .reads("Redrive"),

        route("GET /v1/webhook-endpoints", key(EndpointsRead), (200, "EndpointPage"), "List webhook endpoints.", endpoints::list)
            .takes(&["cursor", "limit"]),
        route("POST /v1/webhook-endpoints", key(EndpointsWrite), (201, "EndpointWithSecret"), "Make a webhook endpoint; its secret is shown this once.", endpoints::create)
            .reads("NewEndpoint"),
        route("GET /v1/webhook-endpoints/{endpoint}", key(EndpointsRead), (200, "Endpoint"), "One webhook endpoint.", endpoints::get),
        route("DELETE /v1/webhook-endpoints/{endpoint}", key(EndpointsWrite), (200, "EndpointDeleted"), "Delete a webhook endpoint; what waits for it is dropped.", endpoints::delete),
        route("POST /v1/webhook-endpoints/{endpoint}/pause", key(EndpointsWrite), (200, "Endpoint"), "Stop sending; what comes waits and costs no attempt.", endpoints::pause),
        route("POST /v1/webhook-endpoints/{endpoint}/resume", key(EndpointsWrite), (200, "Endpoint"), "Go on sending, beginning with what waited.", endpoints::resume),
        route("POST /v1/webhook-endpoints/{endpoint}/rotate", key(EndpointsWrite), (200, "EndpointWithSecret"), "Sign with a new secret, and for a while with the old one too.", endpoints::rotate)
            .may_read("Rotation"),
        route("POST /v1/webhook-endpoints/{endpoint}/test", key(EndpointsWrite), (202, "EndpointTested"), "Send endpoint.test to it.", endpoints::test),

        route("GET /v1/networks", key(NetworksRead), (200, "NetworkList"), "Networks with their lag and health.", networks::list),
        route("GET /v1/networks/{network}", key(NetworksRead), (200, "Network"), "One network.", networks::get),
        route("POST /v1/networks/{network}/endpoints/{endpoint}/reset", key(NetworksWrite), (200, "NodeReset"), "Use a node again that is left alone, audited; with trust also one that is distrusted, once it has said who it is.", nodes::reset)
            .may_read("ResetWish"),
        route("GET /v1/networks/{network}/thresholds", key(NetworksRead), (200, "Thresholds"), "The confirmation policy in force.", thresholds::get),
        route("PUT /v1/networks/{network}/thresholds", key(ThresholdsWrite), (200, "Thresholds"), "Override the policy of the network's file, at once and audited.", thresholds::put)
            .reads("Policy"),
        route("DELETE /v1/networks/{network}/thresholds", key(ThresholdsWrite), (200, "Thresholds"), "Go back to the policy of the network's file.", thresholds::delete),

        route("GET /v1/networks/{network}/rescans", key(NetworksRead), (200, "RescanList"), "Heights that are or were read once more, what is under way first.", rescans::list),
        route("POST /v1/networks/{network}/rescans", key(NetworksWrite), (202, "Rescan"), "Have covered heights read once more; what was missed there is credited. Audited; asking again while it is under way changes nothing.", rescans::ask)
            .reads("NewRescan"),

        route("GET /v1/tenants", key(TenantsRead), (200, "TenantPage"), "List tenants by name.", tenants::list)
            .takes(&["cursor", "limit"]),
        route("GET /v1/tenants/{tenant}", key(TenantsRead), (200, "Tenant"), "One tenant.", tenants::get),
        route("PUT /v1/tenants/{tenant}", key(TenantsWrite), (200, "Tenant"), "Make a tenant, or set the watch-only key its addresses are derived from.", tenants::put)
            .reads("TenantTerms"),

        route("GET /v1/keys", key(KeysRead), (200, "KeyPage"), "List API keys, revoked ones too.", keys::list)
            .takes(&["cursor", "limit"]),
        route("POST /v1/keys", key(KeysWrite), (201, "NewKeyAnswer"), "Make an API key; its text is shown this once.", keys::create)
            .reads("NewKey"),
        route("DELETE /v1/keys/{key}", key(KeysWrite), (200, "Revoked"), "Revoke an API key, at once and for ever.", keys::revoke),
    ]
}
