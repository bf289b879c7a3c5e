//! Answers: what each kind of receiver brings about, and when we come back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use amn_scanner::outbox::guard::{Guard, GuardPolicy, Names};
use amn_scanner::outbox::signature::verify;
use amn_scanner::store::outbox::endpoints::{self, Scope};
use amn_scanner::store::outbox::redrive::{Redrive, redrive};
use sqlx::Row as _;
use uuid::Uuid;

use crate::support::outbox::World;
use crate::support::receiver::{Answer, Receiver};

#[tokio::test]
async fn an_event_arrives_as_its_stored_bytes_with_the_headers_of_the_contract() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let (_, secret) = world.endpoint_for(Some("t"), &receiver.url(), None).await;
    let event = world.event(Some("t"), None, None).await;
    let stored: Vec<u8> = sqlx::query_scalar("select body from amn.event").fetch_one(&world.db.pool).await.unwrap();

    assert_eq!(world.dispatcher().run_once().await.unwrap().delivered, 1);
    let request = &receiver.requests()[0];
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(request.body, stored);
    assert_eq!(request.id(), event.to_string());
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("user-agent"), concat!("amn-scanner/", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.header("webhook-timestamp"), world.now().seconds().to_string());
    verify(secret.reveal(), request.header("x-signature"), &request.body, world.now()).unwrap();
    assert_eq!((world.count("delivery").await, world.count("dead_letter").await), (0, 0));
    assert_eq!(world.outcomes().await[0].outcome, "delivered");
}

#[tokio::test]
async fn a_dead_backend_is_tried_twelve_times_over_three_days_and_then_redriven() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    receiver.otherwise(Answer::Status(503));
    let dispatcher = world.dispatcher();
    let mut waits = Vec::new();
    for _ in 0..11 {
        assert_eq!(dispatcher.run_once().await.unwrap().retried, 1);
        let before = world.now();
        world.wait_until_due().await;
        waits.push(world.now().millis() - before.millis());
    }
    assert_eq!(dispatcher.run_once().await.unwrap().dead, 1);
    assert!(waits[..3].iter().zip([500, 1_000, 2_000]).all(|(wait, most)| *wait <= most), "{waits:?}");
    let slow = [1, 5, 30, 120, 360, 720, 1_440, 1_440].map(|minutes| minutes * 60_000);
    assert!(waits[3..].iter().zip(slow).all(|(wait, at)| (at..=at + at / 10).contains(wait)), "{waits:?}");
    assert_eq!((world.count("delivery").await, world.count("dead_letter").await), (0, 1));
    let letter = sqlx::query("select reason, attempts from amn.dead_letter").fetch_one(&world.db.pool).await.unwrap();
    let told: (String, i32) = (letter.get(0), letter.get(1));
    assert_eq!(told, ("exhausted after 12 attempts: status 503".to_owned(), 12));

    let mut connection = world.db.pool.acquire().await.unwrap();
    assert_eq!(redrive(&mut connection, &Redrive::default(), world.now(), 10).await.unwrap(), 1);
    assert_eq!(redrive(&mut connection, &Redrive::default(), world.now(), 10).await.unwrap(), 0, "it is pending");
    receiver.otherwise(Answer::Status(200));
    // An endpoint that failed twelve times in a row rests.
    world.clock.advance(10_000);
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 13);
    assert!(requests.iter().all(|request| request.id() == requests[0].id() && request.body == requests[0].body));
    let signatures: std::collections::HashSet<_> = requests[3..].iter().map(|r| r.header("x-signature")).collect();
    assert_eq!(signatures.len(), 10, "every attempt is signed at its own time");
    let last = world.outcomes().await.pop().unwrap();
    assert_eq!((last.outcome.as_str(), last.generation, last.number), ("delivered", 2, 1));
}

#[tokio::test]
async fn a_redrive_sends_delivered_events_again_when_asked_and_keeps_to_its_restrictions() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let endpoint = world.endpoint(Some("t"), &receiver.url()).await;
    let first = world.event(Some("t"), None, None).await;
    let dispatcher = world.dispatcher();
    dispatcher.run_once().await.unwrap();
    world.clock.advance(60_000);
    let between = world.now();
    world.clock.advance(60_000);
    for _ in 0..3 {
        world.event(Some("t"), None, None).await;
    }
    dispatcher.run_once().await.unwrap();

    let mut connection = world.db.pool.acquire().await.unwrap();
    let mut asked =
        async |what: Redrive<'static>, most| redrive(&mut connection, &what, world.now(), most).await.unwrap();
    let all = Redrive { delivered_too: true, ..Redrive::default() };
    assert_eq!(asked(Redrive::default(), 10).await, 0, "there are no dead letters");
    assert_eq!(asked(Redrive { tenant: Some("other"), ..all }, 10).await, 0);
    assert_eq!(asked(Redrive { endpoint: Some(Uuid::from_u128(1)), ..all }, 10).await, 0);
    assert_eq!(asked(Redrive { until: Some(between), ..all }, 10).await, 1);
    assert_eq!(asked(Redrive { event: Some(Uuid::from_u128(first.0)), ..all }, 10).await, 0, "it is pending");
    assert_eq!(asked(Redrive { from: Some(between), ..all }, 2).await, 2, "no more than asked for");
    let ours = Redrive { tenant: Some("t"), endpoint: Some(Uuid::from_u128(endpoint.0)), ..all };
    assert_eq!(asked(ours, 10).await, 1);
    assert_eq!(world.drain(&dispatcher).await, 4);
    let mut ids: Vec<_> = receiver.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 8);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_paused_keeps_what_waits_and_goes_on_when_resumed() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let endpoint = world.endpoint(Some("t"), &receiver.url()).await;
    let intent = world.intent("t").await;
    let dispatcher = world.dispatcher();
    for sequence in 1..=2 {
        world.event(Some("t"), Some(intent), Some(sequence)).await;
    }
    receiver.next([Answer::Status(410)]);
    let outcome = dispatcher.run_once().await.unwrap();
    assert_eq!((outcome.dead, outcome.released), (1, 1));
    world.event(Some("t"), None, None).await;
    world.clock.advance(86_400_000);
    assert_eq!(dispatcher.run_once().await.unwrap().claimed, 0);
    assert_eq!((world.count("delivery").await, world.count("attempt").await), (2, 1), "waiting costs no attempt");
    let listed = endpoints::list(&world.db.pool, Scope::Tenant("t"), None, 10).await.unwrap();
    assert_eq!(listed[0].paused_reason.as_deref(), Some("the receiver answered 410 Gone"));

    assert!(endpoints::resume(&world.db.pool, Scope::Tenant("t"), endpoint).await.unwrap());
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 2);
}

#[tokio::test]
async fn a_receiver_that_says_never_is_believed_and_its_words_are_kept() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    receiver.next([Answer::With(404, ("x-secret", "s3cret".to_owned()), b"no \0such \xff hook".to_vec())]);
    assert_eq!(world.dispatcher().run_once().await.unwrap().dead, 1);
    let attempt = world.outcomes().await.pop().unwrap();
    assert_eq!((attempt.outcome.as_str(), attempt.status_code), ("dead", Some(404)));
    assert_eq!(attempt.response.as_deref(), Some("no such \u{fffd} hook"));
    assert!(!format!("{attempt:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_gets_it() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    receiver.next([Answer::With(429, ("retry-after", "120".to_owned()), Vec::new())]);
    let dispatcher = world.dispatcher();
    dispatcher.run_once().await.unwrap();
    world.clock.advance(119_999);
    assert_eq!(dispatcher.run_once().await.unwrap().claimed, 0);
    world.clock.advance(1);
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 1);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_never_followed() {
    let (world, receiver, elsewhere) = (World::new().await, Receiver::start().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    receiver.otherwise(Answer::With(307, ("location", elsewhere.url()), Vec::new()));
    assert_eq!(world.dispatcher().run_once().await.unwrap().retried, 1);
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
}

#[tokio::test]
async fn receivers_that_hang_drip_flood_or_close_end_within_the_bounds() {
    let world = World::new().await;
    let dispatcher = world.dispatcher();
    let cases = [
        (Answer::Hang, "retry", Some("no whole answer within 700 ms")),
        (Answer::Drip, "retry", Some("no whole answer within 700 ms")),
        (Answer::Flood, "delivered", None),
        (Answer::Close, "retry", Some("the connection broke: ")),
    ];
    let mut receivers = Vec::new();
    for (index, (answer, ..)) in cases.iter().enumerate() {
        let receiver = Receiver::start().await;
        receiver.otherwise(answer.clone());
        let tenant = format!("t{index}");
        world.endpoint(Some(&tenant), &receiver.url()).await;
        world.event(Some(&tenant), None, None).await;
        receivers.push(receiver);
    }
    let round = tokio::time::timeout(Duration::from_secs(10), dispatcher.run_once()).await;
    assert_eq!(round.expect("all end").unwrap().claimed, cases.len());
    let sql = "select a.outcome, a.error from amn.attempt a join amn.event e on e.id = a.event_id order by e.tenant_id";
    let told = sqlx::query(sql).fetch_all(&world.db.pool).await.unwrap();
    for (row, (answer, outcome, error)) in told.iter().zip(cases) {
        let (got, words): (String, Option<String>) = (row.get(0), row.get(1));
        assert_eq!(got, outcome, "{answer:?}");
        assert_eq!(words.is_some(), error.is_some(), "{answer:?}");
        assert!(words.unwrap_or_default().starts_with(error.unwrap_or_default()), "{answer:?}");
    }
    assert!(receivers.iter().all(|receiver| receiver.count() == 1), "nothing is sent twice behind our back");
}

#[tokio::test]
async fn nobody_at_the_other_end_is_a_retry_and_the_words_tell_no_url() {
    let world = World::new().await;
    let nobody = Receiver::start().await.url();
    world.endpoint(Some("t"), &format!("{nobody}?key=s3cret")).await;
    world.event(Some("t"), None, None).await;
    assert_eq!(world.dispatcher().run_once().await.unwrap().retried, 1);
    let error = world.outcomes().await.pop().unwrap().error.unwrap();
    assert!(error.starts_with("no connection: ") && !error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_receiver_that_does_not_speak_tls_is_a_retry() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url().replace("http:", "https:")).await;
    world.event(Some("t"), None, None).await;
    assert_eq!(world.dispatcher().run_once().await.unwrap().retried, 1);
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn plain_http_is_not_sent_to_unless_allowed() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.endpoint(Some("t"), &receiver.url()).await;
    world.event(Some("t"), None, None).await;
    let dispatcher = world.dispatcher_with(World::settings(), Guard::new(GuardPolicy::default()));
    assert_eq!(dispatcher.run_once().await.unwrap().retried, 1);
    assert_eq!(receiver.count(), 0);
    assert_eq!(world.outcomes().await[0].error.as_deref(), Some("the URL must be https"));
}

/// Every name has these addresses.
struct Everywhere(Vec<IpAddr>);

impl Names for Everywhere {
    fn lookup(&self, _: String) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let found = self.0.clone();
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test]
async fn a_name_that_points_inside_is_refused_at_the_attempt_even_beside_a_public_address() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let port = receiver.address.port();
    world.endpoint(Some("t"), &format!("http://hooks.example.com:{port}/hook")).await;
    world.event(Some("t"), None, None).await;
    let inside = |addresses: &[&str]| {
        let names = Everywhere(addresses.iter().map(|address| address.parse().unwrap()).collect());
        Guard::with_names(GuardPolicy { allow_insecure: true, ..GuardPolicy::default() }, Arc::new(names))
    };
    let dispatcher = world.dispatcher_with(World::settings(), inside(&["93.184.215.14", "10.0.0.1"]));
    assert_eq!(dispatcher.run_once().await.unwrap().retried, 1);
    assert_eq!(world.outcomes().await[0].error.as_deref(), Some("10.0.0.1 is not a public address"));

    // The same name, allowed, is dialled at just the address that was vetted.
    world.wait_until_due().await;
    let dispatcher = world.dispatcher_with(World::settings(), inside(&["127.0.0.1"]));
    assert_eq!(dispatcher.run_once().await.unwrap().delivered, 1);
    assert_eq!(receiver.requests()[0].header("host"), format!("hooks.example.com:{port}"));
}

#[tokio::test]
async fn during_a_rotation_both_secrets_sign_and_after_it_only_the_new_one() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let (endpoint, old) = world.endpoint_for(Some("t"), &receiver.url(), None).await;
    let new = world.secret();
    let until = amn_core::timestamp::Timestamp::from_millis(world.now().millis() + 60_000);
    assert!(endpoints::rotate_secret(&world.db.pool, Scope::All, endpoint, &new, until).await.unwrap());
    let dispatcher = world.dispatcher();
    let verdicts = async || {
        world.event(Some("t"), None, None).await;
        dispatcher.run_once().await.unwrap();
        let request = receiver.requests().pop().unwrap();
        let verdict = |secret: &str| verify(secret, request.header("x-signature"), &request.body, world.now()).is_ok();
        let standard = request.header("webhook-signature").split(' ').count();
        (verdict(new.reveal()), verdict(old.reveal()), standard)
    };
    assert_eq!(verdicts().await, (true, true, 2));
    world.clock.advance(60_000);
    assert_eq!(verdicts().await, (true, false, 1));
}
