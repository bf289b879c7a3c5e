//! How a backend is tested with recorded payments: a handler of thirty lines, driven by scenarios. This is an example to
//! copy; what it uses is `amn_scanner::testkit` alone.

#![expect(clippy::disallowed_methods, reason = "a backend starts its server as it likes")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use amn_scanner::testkit::{self, DatabaseUrl, Replay, Secret, Server, Webhook};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

/// What the backend believes of an order: the highest sequence it has heard, and the status that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    sequence: u64,
    status: String,
    settled: String,
}

#[derive(Debug)]
struct Shop {
    secret: Secret,
    orders: Mutex<BTreeMap<String, Order>>,
}

/// The handler: verifies, ignores what is older than what it knows, remembers the rest.
async fn hook(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("x-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if testkit::verify(&shop.secret, signature, &body).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let intent = &event["intent"];
    // Events of no order, such as network.halted, are somebody else's.
    if let (Some(order), Some(sequence)) = (intent["metadata"]["order"].as_str(), event["sequence"].as_u64()) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let heard = Order { sequence, status: text(&intent["status"]), settled: text(&intent["settled"]) };
        let mut orders = shop.orders.lock().unwrap();
        if orders.get(order).is_none_or(|known| known.sequence < sequence) {
            orders.insert(order.to_owned(), heard);
        }
    }
    StatusCode::OK
}

/// Plays a scenario against a fresh shop; what the shop believes at the end.
async fn played(scenario: &str) -> BTreeMap<String, Order> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = Webhook::with_new_secret(format!("http://{}/hooks", listener.local_addr().unwrap()));
    let shop = Arc::new(Shop { secret: webhook.secret.clone(), orders: Mutex::default() });
    let app = Router::new().route("/hooks", post(hook)).with_state(shop.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let server = match std::env::var("AMN_TEST_DATABASE_URL") {
        Ok(url) => Server::At(DatabaseUrl::new(url)),
        Err(_) => Server::Embedded(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.amn/test-postgres"))),
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/evm").join(scenario);
    let report = Replay::scenario(folder).server(server).webhook(webhook).run().await.unwrap();
    assert!(report.is_as_expected(), "{:?}", report.differences);
    assert_eq!(report.delivered.unwrap().delivered, report.events().len(), "every event was taken once");
    let orders = shop.orders.lock().unwrap().clone();
    orders
}

fn order(sequence: u64, status: &str, settled: &str) -> Order {
    Order { sequence, status: status.to_owned(), settled: settled.to_owned() }
}

#[tokio::test]
async fn an_order_that_is_paid_exactly_is_confirmed() {
    let orders = played("plain").await;
    assert_eq!(orders["A-1"], order(2, "confirmed", "25000000"));
}

#[tokio::test]
async fn an_order_whose_confirmed_payment_is_taken_back_is_not_paid() {
    let orders = played("reorg-reverses").await;
    assert_eq!(orders["A-1"], order(3, "reversed", "0"));
}
