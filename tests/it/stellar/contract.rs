//! An escrow contract that says it was funded: from the ledger, through the daemon, to the receiver and the API.

use amn_soroban::address::Place;
use amn_soroban::testkit::Tx;
use amn_soroban::testkit::event::{address, map, raw, symbol, whole};
use serde_json::{Value, json};
use stellar_xdr::{ContractEvent, ScBytes, ScVal, ScVec};

use crate::cli::amn;

use super::ground::{self, ESCROW, PAYER, WHOLE};
use super::play::{Setting, StellarPlay};

/// In the shape of a real escrow contract: the struct's name, its short name, the invoice and the investor.
fn funded(contract: Place, invoice: &str, amount: i128) -> ContractEvent {
    let (Place::Contract(id) | Place::Account(id)) = contract;
    let topics = vec![symbol("escrow_funded"), symbol("funded"), symbol(invoice), address(PAYER)];
    let data = map(vec![
        ("amount", whole(amount)),
        ("funded_amount", whole(amount)),
        ("investor_effective_yield_bps", ScVal::I64(-1)),
        ("status", ScVal::U32(1)),
        ("tier_lock_secs", ScVal::U64(u64::MAX)),
    ]);
    raw(Some(id), topics, data)
}

fn watching(topics: &str) -> String {
    format!(
        r#"
        [[watch.contract]]
        network = "{}"
        contract = "{}"
        tenant = "seller"
        {topics}
        "#,
        ground::NETWORK,
        ESCROW.spell(),
    )
}

/// Two validators' organisations must have built on what is told.
async fn play(topics: &str) -> StellarPlay {
    let require = r#"{ inclusion = "proven", operators = 2, attestations = 2 }"#;
    StellarPlay::with(Setting { require, rest: watching(topics), ..Setting::default() }).await
}

fn told(play: &StellarPlay) -> Vec<Value> {
    let mut bodies: Vec<Value> = play.receiver.delivered().into_iter().map(|heard| heard.json()).collect();
    bodies.retain(|body| body["event"] == "contract.event");
    bodies.sort_by_key(|body| {
        let said = &body["contract_event"];
        (said["block"]["height"].as_str().map(ToOwned::to_owned), said["ordinal"].as_u64())
    });
    bodies
}

async fn settle(play: &StellarPlay) {
    for _ in 0..3 {
        play.close(&[]);
        play.caught_up().await;
    }
    play.wait("a word is not settled", async || {
        play.db.count("select count(*) from amn.contract_event where status = 'seen'").await == 0
    })
    .await;
    play.quiet().await;
}

#[tokio::test]
async fn check_says_who_listens_to_what() {
    let play = play(r#"topics = [["symbol:escrow_funded", "**"], ["symbol:released"]]"#).await;
    let checked = amn(&play.dir.path().join("amn-scanner.toml"), &["check", "--json"]).await.out;
    let checked: Value = serde_json::from_str(&checked).unwrap();
    let lines = checked["checks"].as_array().unwrap();
    let [line] = lines.iter().filter(|line| line["check"] == "listener").collect::<Vec<_>>()[..] else {
        panic!("{checked:#}")
    };
    assert_eq!(line["subject"], format!("{}/{}", ground::NETWORK, ESCROW.spell()));
    let said = line["said"].as_str().unwrap();
    let hears = "seller hears [symbol:escrow_funded, **] and [symbol:released] since its first start; ";
    assert!(said.starts_with(hears) && said.contains("amn-scanner.toml:"), "{said}");
}

#[tokio::test]
async fn an_escrow_that_was_funded_is_told_with_its_topics_and_its_data() {
    let play = play(r#"topics = [["symbol:escrow_funded", "symbol:funded", "**"]]"#).await;
    let (token, amount) = (ground::token(), i128::from(WHOLE));
    let other = Place::Contract([0xe6; 32]);
    // As fund() does: the token moves and the contract says so, in one call; beside it, what is none of ours.
    let call = Tx::of(PAYER).call(vec![
        token.transfer(PAYER, ESCROW, amount),
        funded(ESCROW, "INV1001", amount),
        funded(other, "INV1001", amount),
        raw(Some([0xe5; 32]), vec![symbol("escrow_closed")], ScVal::Void),
        raw(Some([0xe5; 32]), Vec::new(), ScVal::Void),
    ]);
    let failed = Tx::of(PAYER).call(vec![funded(ESCROW, "INV9999", amount)]).fails();
    play.close(&[call, failed]);
    play.caught_up().await;
    assert_eq!(told(&play), Vec::<Value>::new(), "nobody has built on it yet");
    settle(&play).await;
    let bodies = told(&play);
    assert_eq!(bodies.len(), 1, "{}", play.log());
    let said = &bodies[0]["contract_event"];
    assert_eq!(said["contract"], ESCROW.spell().as_str());
    assert_eq!(said["topics"], json!(["escrow_funded", "funded", "INV1001", PAYER.spell().as_str()]));
    assert_eq!(
        said["data"],
        json!({
            "amount": "10000000", "funded_amount": "10000000", "investor_effective_yield_bps": "-1", "status": 1,
            "tier_lock_secs": "18446744073709551615",
        })
    );
    // Two organisations are asked for; a third may have built on it before anybody looked.
    let evidence = &said["evidence"];
    assert!(evidence["attestations"].as_u64() >= Some(2), "{evidence}");
    assert_eq!((&evidence["inclusion"], &evidence["operators"]), (&json!("proven"), &json!(2)));
    assert_eq!((&said["operation"], &said["index"], &said["ordinal"]), (&json!(0), &json!(1), &json!(1)));
    assert_eq!(bodies[0]["policy"]["attestations"], 2);
    assert_eq!(bodies[0]["network"]["chain"], "stellar:stories");
    let read = play.daemon.api().get("/v1/contract-events?tenant=seller&status=settled").await.unwrap();
    assert_eq!((&read["data"][0]["id"], read["data"].as_array().unwrap().len()), (&said["id"], 1));
}

#[tokio::test]
async fn a_word_that_cannot_be_shown_is_put_aside_by_itself_and_all_around_it_is_told() {
    let play = play("").await;
    let deep = (0..40).fold(ScVal::Void, |inner, _| ScVal::Vec(Some(ScVec(vec![inner].try_into().unwrap()))));
    let say = |topic: &str, data: ScVal| raw(Some([0xe5; 32]), vec![symbol(topic)], data);
    let bytes = ScVal::Bytes(ScBytes(vec![0, 255].try_into().unwrap()));
    let call = Tx::of(PAYER).call(vec![
        say("before", ScVal::U32(1)),
        say("deep", deep),
        say("key", ScVal::LedgerKeyContractInstance),
        raw(Some([0xe5; 32]), Vec::new(), bytes),
    ]);
    play.close(&[call]);
    settle(&play).await;
    let said: Vec<_> = told(&play)
        .iter()
        .map(|body| (body["contract_event"]["topics"].clone(), body["contract_event"]["data"].clone()))
        .collect();
    assert_eq!(said, [(json!(["before"]), json!(1)), (json!([]), json!("00ff"))], "{}", play.log());
    let aside: Vec<String> = sqlx::query_scalar(
        "select detail from amn.observation where kind = 'contract_event_unreadable' order by detail",
    )
    .fetch_all(&play.db.pool)
    .await
    .unwrap();
    assert_eq!(aside.len(), 2, "{aside:?}");
    assert!(
        aside[0].starts_with("event 1 of operation 0") && aside[1].starts_with("event 2 of operation 0"),
        "{aside:?}"
    );
}

#[tokio::test]
async fn a_killed_daemon_tells_nothing_twice_and_forgets_nothing() {
    let mut play = play(r#"topics = [["symbol:escrow_funded", "**"]]"#).await;
    for round in 0..3 {
        let call = |invoice: &str| Tx::of(PAYER).call(vec![funded(ESCROW, invoice, 1)]);
        play.close(&[call(&format!("A{round}")), call(&format!("B{round}"))]);
        play.daemon.kill().await;
        play.close(&[call(&format!("C{round}"))]);
        play.daemon.restart().await.unwrap();
    }
    settle(&play).await;
    let mut invoices: Vec<String> =
        told(&play).iter().map(|body| body["contract_event"]["topics"][2].as_str().unwrap().to_owned()).collect();
    invoices.dedup();
    assert_eq!(invoices.len(), 9, "{invoices:?}");
    let events: i64 = play.db.count("select count(*) from amn.event where event = 'contract.event'").await;
    assert_eq!(events, 9, "each was told once");
}
