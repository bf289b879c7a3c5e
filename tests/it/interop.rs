//! Receivers nobody here wrote verify what the dispatcher really sent.

use std::path::Path;
use std::process::Command;

use amn_scanner::clock::{Clock as _, SystemClock};
use amn_scanner::store::outbox::endpoints::{self, Scope};
use serde_json::json;

use crate::support::outbox::World;
use crate::support::receiver::{Answer, Receiver, Request};

/// A delivery as captured, after a retry and within a rotation, with both its secrets.
async fn captured() -> (Request, [String; 2]) {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.clock.set(SystemClock.now());
    let (endpoint, old) = world.endpoint_for(Some("t"), &receiver.url(), None).await;
    let new = world.secret();
    let until = amn_core::timestamp::Timestamp::from_millis(world.now().millis() + 60_000);
    endpoints::rotate_secret(&world.db.pool, Scope::All, endpoint, &new, until).await.unwrap();
    world.event(Some("t"), None, None).await;
    receiver.next([Answer::Status(503)]);
    let dispatcher = world.dispatcher();
    dispatcher.run_once().await.unwrap();
    world.wait_until_due().await;
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 1);
    (receiver.requests().pop().unwrap(), [new.reveal().to_owned(), old.reveal().to_owned()])
}

#[tokio::test]
async fn the_crate_of_standard_webhooks_verifies_a_captured_delivery() {
    let (request, secrets) = captured().await;
    let headers: axum::http::HeaderMap = request
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    for secret in &secrets {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        webhook.verify(&request.body, &headers).unwrap();
        assert!(webhook.verify(b"{}", &headers).is_err());
    }
}

#[tokio::test]
async fn the_libraries_of_stripe_and_standard_webhooks_for_node_verify_a_captured_delivery() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("node_modules/stripe").exists() || !root.join("node_modules/standardwebhooks").exists() {
        println!("skipped: node_modules has no stripe and standardwebhooks; run npm ci");
        return;
    }
    let (request, secrets) = captured().await;
    let case = json!({
        "body": request.text(),
        "headers": {
            "webhook-id": request.header("webhook-id"),
            "webhook-timestamp": request.header("webhook-timestamp"),
            "webhook-signature": request.header("webhook-signature"),
            "x-signature": request.header("x-signature"),
        },
        "secrets": secrets,
    });
    let node = Command::new("node").arg(root.join("tests/interop/verify.mjs")).arg(case.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&node.stdout).into_owned() + &String::from_utf8_lossy(&node.stderr);
    assert!(node.status.success(), "{said}");
    assert_eq!(said.trim(), "verified 4, refused 6");
}
