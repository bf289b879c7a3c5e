//! The dice choose a block, another operator shows it, and what the first one left out is credited.

use amn_core::source::SourceError;
use amn_evm::testkit::{Call, History};
use amn_scanner::auditor::{Audited, Outcome};
use serde_json::json;

use super::scene::{Audit, BLOCKS, PAID, omitting};
use crate::bad_input::answers::{CHAIN, PAYER, SHOP, TOKEN};
use crate::support::evm_scene::lying;

const MISSED: fn(&Outcome) -> bool = |outcome| matches!(outcome, Outcome::Audited(Audited::Missed { .. }));

#[tokio::test]
async fn a_payment_left_out_of_a_range_is_found_at_another_operator_told_once_and_looked_for_around() {
    let mut audit = Audit::of_a_missed_payment().await;
    audit.listen().await;
    let found = audit.until(MISSED).await;
    let height = amn_core::block::Height(PAID);
    assert_eq!(found, Outcome::Audited(Audited::Missed { height, misses: 1 }));
    assert!(
        audit.scene.log.says(&["ERROR", "payment_missed", "height=40", "read_by=\"a\""]),
        "{}",
        audit.scene.log.text()
    );
    let told = ["payment.detected", "payment.confirmed"];
    assert_eq!(audit.scene.events(audit.intent).await, told, "through the rules, as any money that is read late");
    let body = audit.scene.bodies(audit.intent).await.pop().unwrap();
    assert_eq!(body["deposits"][0]["evidence"], json!({"attestations": null, "inclusion": "proven", "operators": 2}));
    assert_eq!((audit.counted("misses").await, audit.counted("disagreements").await), (1, 0));
    assert!(audit.counted("transfers").await >= 1 && audit.counted("blocks").await >= 1);

    // The liar goes on lying; the range around is read without asking for ranges.
    let around = "select count(*) from amn.rescan where why = 'missed' and from_height = 1 and to_height = 100";
    assert_eq!(audit.scene.count(around).await, 1);
    audit.rescan_all().await;
    assert_eq!(audit.scene.count("select found from amn.rescan where finished_at is not null").await, 0);
    assert_eq!(audit.scene.events(audit.intent).await, told, "once");
    assert_eq!(audit.scene.deposits().await, 1);
    assert_eq!(audit.scene.count("select count(*) from amn.delivery").await, 2, "one on its way for each event");
    // From now on the block is as it should be.
    audit.restart(7, 3_600);
    audit.until(|outcome| *outcome == Outcome::Audited(Audited::Same { height, transfers: 1 })).await;
    assert_eq!(audit.counted("misses").await, 1);
}

#[tokio::test]
async fn where_nothing_was_left_out_nothing_is_missed_and_the_rate_says_so() {
    let mut audit = Audit::of(None).await;
    // Blocks that were read one by one as well, and are final by now.
    for node in [&audit.a, &audit.b] {
        let mut history = node.history();
        history.pass(20);
        history.finalized = Some(BLOCKS + 10);
    }
    audit.scene.catch_up().await;
    // Watched from the tip on: what came to it before is nobody's, and no miss.
    let newer = audit.scene.intent("TST", PAYER, 5).await;
    let ours = Outcome::Audited(Audited::Same { height: amn_core::block::Height(PAID), transfers: 1 });
    let mut drawn = false;
    let before = (audit.a.calls("eth_getBlockReceipts"), audit.b.calls("eth_getBlockReceipts"));
    while !drawn || audit.counted("blocks").await < 60 {
        let outcome = audit.look().await;
        drawn |= outcome == ours;
        assert!(matches!(outcome, Outcome::Idle | Outcome::Audited(Audited::Same { .. })), "{outcome:?}");
    }
    assert_eq!((audit.counted("misses").await, audit.counted("unfounded").await), (0, 0));
    assert_eq!(audit.scene.events(newer).await, Vec::<String>::new());
    let both = "select count(distinct coverage) from amn.recall";
    assert_eq!(audit.scene.count(both).await, 2, "stretches of both kinds were drawn");
    let asked = (audit.a.calls("eth_getBlockReceipts") - before.0, audit.b.calls("eth_getBlockReceipts") - before.1);
    assert!(asked.0 == 0 && asked.1 > 0, "another operator than the one it was read from: {asked:?}");
    let shown = amn_scanner::store::recall::shown(&audit.scene.db.pool, &audit.scene.network.facts.id).await.unwrap();
    assert_eq!(shown.unwrap()["miss_rate_ppm"], 0);
}

#[tokio::test]
async fn whoever_shows_money_that_the_block_does_not_hold_is_distrusted_and_nothing_is_credited() {
    let mut audit = Audit::of(None).await;
    audit.b.script(Some(lying("eth_getBlockReceipts", |_, receipts| {
        let mut invented = receipts[0]["logs"][0].clone();
        invented["topics"][2] = json!(SHOP.into_word());
        invented["logIndex"] = json!("0x7");
        receipts[0]["logs"].as_array_mut().unwrap().push(invented);
    })));
    for _ in 0..20 {
        let outcome = audit.look().await;
        // Of two operators one is left: where the ledger has no hash of its own, that is too few.
        let alone =
            matches!(&outcome, Outcome::Waiting(SourceError::Unavailable(why)) if why.contains("second operator"));
        let same = matches!(outcome, Outcome::Idle | Outcome::Audited(Audited::Same { .. }));
        assert!(alone || same, "{outcome:?}");
    }
    let distrusted = audit.scene.distrusted();
    assert!(distrusted[0].is_none() && distrusted[1].is_some(), "{distrusted:?}");
    assert_eq!((audit.scene.deposits().await, audit.counted("misses").await), (1, 0));
}

#[tokio::test]
async fn another_block_at_a_height_of_ours_is_a_disagreement_and_no_miss() {
    let mut audit = Audit::of(None).await;
    // All of b is another chain by now, consistent in itself, that pays us in every block.
    let mut other = History::new(CHAIN);
    other.decimals.insert(TOKEN, 6);
    (1..=BLOCKS).for_each(|_| {
        other.extend(&[Call::token(TOKEN, SHOP, 1_000)]);
    });
    *audit.b.history() = other;
    audit.until(|outcome| matches!(outcome, Outcome::Audited(Audited::Disagreement { .. }))).await;
    assert!(audit.scene.log.says(&["audit_disagreement"]), "{}", audit.scene.log.text());
    for _ in 0..20 {
        assert!(!MISSED(&audit.look().await));
    }
    assert_eq!((audit.scene.deposits().await, audit.counted("misses").await), (1, 0));
    assert!(audit.counted("disagreements").await >= 1);
}

#[tokio::test]
async fn a_token_that_was_listed_later_and_dust_that_is_none_any_more_were_not_missed() {
    let mut audit = Audit::of(Some(omitting(SHOP))).await;
    let pool = audit.scene.db.pool.clone();
    let facts = &audit.scene.network.facts.clone();
    // As it was before: this token was not listed while the history was read.
    sqlx::query("update amn.asset set listed = false where native = false").execute(&pool).await.unwrap();
    amn_scanner::store::network::register(&pool, "evm", facts, None).await.unwrap();
    audit.until(|outcome| matches!(outcome, Outcome::Audited(Audited::Same { height, .. }) if height.0 == PAID)).await;
    assert_eq!((audit.counted("misses").await, audit.counted("transfers").await), (0, 0));
    // Listed all the time, and its least amount was more than what came.
    sqlx::query("update amn.asset set since_height = 0, min_amount = 100").execute(&pool).await.unwrap();
    amn_scanner::store::network::register(&pool, "evm", facts, None).await.unwrap();
    audit.until(|outcome| matches!(outcome, Outcome::Audited(Audited::Same { height, .. }) if height.0 == PAID)).await;
    // Since ever, as it is: a miss.
    sqlx::query("update amn.asset set since_height = 0").execute(&pool).await.unwrap();
    amn_scanner::store::network::register(&pool, "evm", facts, None).await.unwrap();
    audit.until(MISSED).await;
}

#[tokio::test]
async fn a_deposit_that_its_block_does_not_hold_is_an_alarm_and_undoes_nothing() {
    let mut audit = Audit::of(None).await;
    sqlx::query("update amn.deposit set amount = 26").execute(&audit.scene.db.pool).await.unwrap();
    audit.until(|outcome| matches!(outcome, Outcome::Audited(Audited::Same { height, .. }) if height.0 == PAID)).await;
    assert!(audit.scene.log.says(&["deposit_not_in_block"]), "{}", audit.scene.log.text());
    assert_eq!((audit.counted("unfounded").await, audit.counted("misses").await), (1, 0));
    assert_eq!(audit.scene.events(audit.intent).await, ["payment.detected", "payment.confirmed"]);
}

#[tokio::test]
async fn who_does_not_follow_a_network_does_not_audit_it_nor_while_it_is_halted_nor_at_a_rate_of_nothing() {
    let mut audit = Audit::of_a_missed_payment().await;
    audit.restart(7, 0);
    assert_eq!(audit.look().await, Outcome::Idle);
    assert_eq!(audit.look().await, Outcome::Idle);
    let pool = audit.scene.db.pool.clone();
    sqlx::query("update amn.network set halt_reason = 'pruned', halted_at = now()").execute(&pool).await.unwrap();
    audit.restart(7, 3_600);
    assert_eq!(audit.look().await, Outcome::Halted);
    sqlx::query("update amn.network set halt_reason = null, halted_at = null").execute(&pool).await.unwrap();
    sqlx::query("update amn.lease set holder = gen_random_uuid(), until = until + interval '1 day'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(audit.auditor.look().await.unwrap(), Outcome::Standby);
    assert_eq!(audit.counted("blocks").await, 0);
}
