//! Heights that a person names are read once more: to the end, whatever comes between, and changing nothing twice.

use amn_core::block::Height;
use amn_core::engine::Command;
use amn_core::timestamp::Timestamp;
use amn_evm::testkit::{Reply, Script};
use amn_scanner::auditor::Outcome;
use amn_scanner::follower::Outcome as Followed;
use amn_scanner::store::rescans::{self, Asked, Rescan};
use amn_scanner::store::{self};
use serde_json::{Value, json};
use std::sync::Arc;

use super::scene::{Audit, BLOCKS, PAID};

async fn ask(audit: &Audit, from: u64, to: u64) -> Asked {
    let network = &audit.scene.network.facts.id;
    let now = Timestamp::from_seconds(1_800_000_000);
    rescans::ask(&audit.scene.db.pool, network, Height(from), Height(to), "key:ops:1", now).await.unwrap()
}

async fn now(audit: &Audit, id: u64) -> Rescan {
    rescans::get(&audit.scene.db.pool, &audit.scene.network.facts.id, id).await.unwrap().unwrap()
}

async fn listed(audit: &Audit, from: u64, to: u64) -> Rescan {
    match ask(audit, from, to).await {
        Asked::Listed(rescan) => rescan,
        other => panic!("{other:?}"),
    }
}

/// Everything that is known of money and was told of it.
async fn everything(audit: &Audit) -> Value {
    sqlx::query_scalar(
        "select jsonb_build_array(
          (select jsonb_agg(d order by d.id) from amn.deposit d), (select jsonb_agg(i order by i.id) from amn.intent i),
          (select jsonb_agg(e order by e.id) from amn.event e), (select jsonb_agg(o order by o.id) from amn.observation o),
          (select jsonb_agg(s order by s.from_height) from amn.segment s), (select revision from amn.network))",
    )
    .fetch_one(&audit.scene.db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_rescan_credits_what_was_missed_and_a_second_one_changes_nothing() {
    let mut audit = Audit::of_a_missed_payment().await;
    let first = listed(&audit, 1, BLOCKS).await;
    assert_eq!(listed(&audit, 1, BLOCKS).await.id, first.id, "asked twice while it waits is asked once");
    audit.rescan_all().await;
    let done = now(&audit, first.id).await;
    assert_eq!((done.next, done.transfers, done.found, done.failed), (Height(BLOCKS + 1), 1, 1, false));
    assert!(done.finished_at.is_some() && done.trouble.is_none());
    assert_eq!(audit.scene.events(audit.intent).await, ["payment.detected", "payment.confirmed"]);
    assert!(audit.scene.log.says(&["payment_missed", "height=40"]), "{}", audit.scene.log.text());

    let before = everything(&audit).await;
    let second = listed(&audit, 1, BLOCKS).await;
    assert_ne!(second.id, first.id);
    audit.rescan_all().await;
    let done = now(&audit, second.id).await;
    assert_eq!((done.transfers, done.found), (1, 0));
    assert_eq!(everything(&audit).await, before, "not even the revision");
    let audited: Vec<Value> = sqlx::query_scalar("select detail from amn.audit where action = 'rescan' order by id")
        .fetch_all(&audit.scene.db.pool)
        .await
        .unwrap();
    assert_eq!(audited.len(), 3);
    assert_eq!(audited[0], json!({"from": 1, "rescan": first.id, "to": BLOCKS}));
}

#[tokio::test]
async fn a_rescan_goes_on_where_it_was_after_a_restart() {
    let mut audit = Audit::of_a_missed_payment().await;
    let rescan = listed(&audit, 2, BLOCKS).await;
    audit.restart(1, 0);
    assert!(matches!(audit.look().await, Outcome::Rescanned { found: 1, .. }));
    let half = now(&audit, rescan.id).await;
    assert!(half.next > Height(2) && half.next < Height(BLOCKS) && half.finished_at.is_none(), "{half:?}");
    let asked = (audit.a.calls("eth_getBlockByNumber"), audit.b.calls("eth_getBlockByNumber"));
    let steps = audit.rescan_all().await;
    assert_eq!(steps.last(), Some(&Outcome::Rescanned { next: Height(BLOCKS + 1), found: 0 }), "{steps:?}");
    let more = audit.a.calls("eth_getBlockByNumber") + audit.b.calls("eth_getBlockByNumber") - asked.0 - asked.1;
    assert!(more < BLOCKS, "not from the beginning: {more}");
    assert_eq!(now(&audit, rescan.id).await.found, 1);
}

#[tokio::test]
async fn what_the_ledger_does_not_cover_is_refused_and_what_it_covers_is_named() {
    let audit = Audit::of(None).await;
    let covered = Asked::NotCovered { from: Height(1), to: Height(BLOCKS) };
    for (from, to) in [(0, 5), (5, BLOCKS + 1), (BLOCKS + 1, BLOCKS + 2), (u64::MAX, u64::MAX)] {
        assert_eq!(ask(&audit, from, to).await, covered, "{from} {to}");
    }
    sqlx::query("update amn.rescan set finished_at = now()").execute(&audit.scene.db.pool).await.unwrap();
    for from in 1..=100 {
        assert!(matches!(ask(&audit, from.min(BLOCKS), BLOCKS).await, Asked::Listed(_)));
    }
    sqlx::query("update amn.rescan set to_height = to_height + 1000").execute(&audit.scene.db.pool).await.unwrap();
    assert_eq!(ask(&audit, 1, BLOCKS).await, Asked::Full, "a bound on the list");
}

#[tokio::test]
async fn a_rescan_of_a_halted_network_waits_until_it_goes_on() {
    let mut audit = Audit::of_a_missed_payment().await;
    let pool = audit.scene.db.pool.clone();
    sqlx::query("update amn.network set halt_reason = 'unsupported', halt_detail = 'x', halted_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    let rescan = listed(&audit, PAID, PAID).await;
    audit.restart(1, 0);
    audit.scene.clock.advance(60_000);
    assert_eq!(audit.scene.follower.round().await.unwrap(), Followed::Halted);
    assert_eq!(audit.auditor.look().await.unwrap(), Outcome::Halted);
    assert_eq!(now(&audit, rescan.id).await.next, Height(PAID));
    let facts = audit.scene.network.facts.clone();
    let at = Timestamp::from_seconds(1_800_000_000);
    store::decide::command(&pool, facts, Command::Resume { accept_fork: None }, "test", at).await.unwrap();
    audit.rescan_all().await;
    assert_eq!(now(&audit, rescan.id).await.found, 1);
}

/// No blocks below a height any more.
fn pruned(below: u64) -> Script {
    Arc::new(move |method: &str, params: &Value, honest| {
        let at =
            params[0].as_str().and_then(|at| at.strip_prefix("0x")).and_then(|at| u64::from_str_radix(at, 16).ok());
        match at {
            Some(at) if method == "eth_getBlockByNumber" && at < below => Reply::Result("null".into()),
            _ => honest,
        }
    })
}

#[tokio::test]
async fn a_rescan_of_history_that_no_node_has_any_more_fails_and_says_what_to_do() {
    let mut audit = Audit::of_a_missed_payment().await;
    let rescan = listed(&audit, 10, 60).await;
    audit.a.script(Some(pruned(70)));
    audit.b.script(Some(pruned(70)));
    let steps = audit.rescan_all().await;
    assert_eq!(steps.last(), Some(&Outcome::Failed), "{steps:?}");
    let failed = now(&audit, rescan.id).await;
    assert!(failed.failed && failed.finished_at.is_some() && failed.next == Height(10), "{failed:?}");
    let words = failed.trouble.unwrap();
    assert!(words.starts_with("no endpoint has the history from 10 on") && words.contains("ask again"), "{words}");
    assert!(audit.scene.log.says(&["rescan_failed", "10 to 60"]), "{}", audit.scene.log.text());
    assert_eq!(audit.scene.deposits().await, 0);
    // One that has it will do.
    audit.b.script(None);
    let again = listed(&audit, 10, 60).await;
    audit.a.script(None);
    audit.rescan_all().await;
    assert_eq!(now(&audit, again.id).await.found, 1);
}

#[tokio::test]
async fn nothing_is_credited_in_a_block_of_the_past_that_nobody_else_stands_behind() {
    let mut audit = Audit::of_a_missed_payment().await;
    let rescan = listed(&audit, 1, 60).await;
    let silent: Script = Arc::new(|_: &str, _: &Value, _| Reply::Status(503, "busy".into()));
    audit.b.script(Some(silent));
    audit.restart(1, 0);
    for _ in 0..5 {
        let outcome = audit.look().await;
        assert!(matches!(outcome, Outcome::Waiting(_)), "{outcome:?}");
    }
    let waiting = now(&audit, rescan.id).await;
    assert!(waiting.trouble.as_ref().is_some_and(|why| why.contains("no second operator")), "{waiting:?}");
    assert_eq!((waiting.finished_at, audit.scene.deposits().await), (None, 0));
    audit.b.script(None);
    // Its breaker would let it try again in ten seconds of real time.
    audit.scene.pool.endpoints().iter().for_each(|endpoint| endpoint.reset());
    audit.rescan_all().await;
    let done = now(&audit, rescan.id).await;
    assert_eq!((done.found, done.trouble), (1, None));
}

#[tokio::test]
async fn money_that_was_in_time_and_is_found_after_the_end_is_late_until_a_person_accepts_it() {
    let mut audit = Audit::of_a_missed_payment().await;
    let pool = audit.scene.db.pool.clone();
    // Block n has the time of the first plus n seconds.
    let until = store::moment(Timestamp::from_seconds(1_700_000_000 + i64::try_from(PAID).unwrap() + 5));
    sqlx::query("update amn.intent set expires_at = $1").bind(until).execute(&pool).await.unwrap();
    audit.a.history().pass(1);
    audit.b.history().pass(1);
    audit.scene.catch_up().await;
    assert_eq!(audit.scene.events(audit.intent).await, ["payment.expired"]);
    listed(&audit, 1, BLOCKS).await;
    audit.rescan_all().await;
    let bodies = audit.scene.bodies(audit.intent).await;
    let told: Vec<_> = bodies.iter().map(|body| (&body["event"], &body["reason"])).collect();
    let late = json!("payment.late");
    assert_eq!(told[1..], [(&late, &json!("found")), (&late, &json!("settled"))]);
    assert_eq!(audit.scene.status(audit.intent).await, "late");
    let (facts, at) = (audit.scene.network.facts.clone(), Timestamp::from_seconds(1_800_000_000));
    store::decide::command(&pool, facts, Command::Accept { intent: audit.intent }, "test", at).await.unwrap();
    assert_eq!(audit.scene.status(audit.intent).await, "confirmed");
}
