//! What must hold of a house at the end of a story, whatever it was shown.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use amn_core::intent::Status;
use amn_core::timestamp::Timestamp;
use amn_scanner::outbox::signature;
use serde_json::Value;
use sqlx::Row as _;

use super::house::House;
use super::stage::Stage;

/// What a house came to know in the end, to be compared with what another did.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    /// By intent: how it stands, and its deposits.
    intents: Vec<(String, Vec<String>)>,
}

/// What a house held for a while that was never on the chain.
#[derive(Debug, Default)]
pub struct Rumours {
    pub deposits: usize,
}

/// Nothing missed, nothing credited that did not happen, no duplicate; every event delivered once and in order.
pub async fn judge(house: &House, stage: &Stage) -> (Ending, Rumours) {
    let rumours = deposits(house, stage).await;
    events(house).await;
    (ending(house, stage).await, rumours)
}

/// Every deposit that was ever recorded, against what was ever mined.
async fn deposits(house: &House, stage: &Stage) -> Rumours {
    let rows = sqlx::query(
        "select tx_hash::bytea as tx, kind, block_hash::bytea as block, to_address, amount::text as amount, status, inclusion,
           cardinality(operators) as operators, occurrence
         from amn.deposit",
    )
    .fetch_all(&house.db.pool)
    .await
    .unwrap();
    let mut rumours = Rumours::default();
    let mut live = BTreeSet::new();
    for row in rows {
        let (tx, block) = (B256::from_slice(row.get("tx")), B256::from_slice(row.get("block")));
        let (status, amount): (String, String) = (row.get("status"), row.get("amount"));
        let to: String = row.get("to_address");
        let mined = stage.ever.get(&tx);
        let happened = stage.blocks.contains(&block)
            && mined.is_some_and(|mined| {
                format!("{:#x}", mined.to) == to.to_lowercase() && mined.amount.to_string() == amount
            });
        assert_ne!(status, "reversed", "{}: {tx} was settled and undone", house.name);
        if !happened {
            // Seen and taken back is a rumour; settled is a loss.
            assert_eq!(status, "retracted", "{}: {amount} to {to} in {tx} never happened", house.name);
            rumours.deposits += 1;
        }
        if status != "retracted" {
            assert!(stage.holds(&tx), "{}: {tx} is not on the chain", house.name);
            assert!(live.insert(tx), "{}: {tx} counts twice", house.name);
            assert_eq!((status.as_str(), row.get("inclusion")), ("settled", "proven"), "{}: {tx}", house.name);
        }
    }
    rumours
}

/// What was told is a legal story, told once, signed, in order.
async fn events(house: &House) {
    let rows = sqlx::query("select id, intent_id, sequence, body from amn.event order by intent_id, sequence");
    let rows = rows.fetch_all(&house.db.pool).await.unwrap();
    let mut told: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut last, mut sequence, mut status) = (None, 0, Status::Awaiting);
    for row in rows {
        let body: Vec<u8> = row.get("body");
        let read: Value = serde_json::from_slice(&body).unwrap();
        told.insert(read["id"].as_str().unwrap().to_owned(), body);
        let Some(intent) = row.get::<Option<uuid::Uuid>, _>("intent_id") else { continue };
        if last != Some(intent) {
            (last, sequence, status) = (Some(intent), 0, Status::Awaiting);
        }
        sequence += 1;
        assert_eq!(row.get::<i64, _>("sequence"), sequence, "{}: intent {intent}", house.name);
        let next: Status = read["intent"]["status"].as_str().unwrap().parse().unwrap();
        assert!(next == status || status.may_become(next), "{}: {status:?} to {next:?} of {intent}", house.name);
        status = next;
    }
    let mut heard: BTreeMap<String, i64> = BTreeMap::new();
    let requests = house.receiver.requests();
    assert_eq!(requests.len(), told.len(), "{}: each event was delivered once", house.name);
    for request in requests {
        let body = told
            .remove(request.id())
            .unwrap_or_else(|| panic!("{}: twice or never told: {}", house.name, request.id()));
        assert_eq!(request.body, body, "{}: delivered as it was told", house.name);
        let header = request.header("x-signature");
        let at = header.split(['=', ',']).nth(1).unwrap().parse().unwrap();
        signature::verify(house.secret.reveal(), header, &request.body, Timestamp::from_seconds(at)).unwrap();
        let read: Value = serde_json::from_slice(&request.body).unwrap();
        let Some(intent) = read["intent"]["id"].as_str() else { continue };
        let before = heard.insert(intent.to_owned(), read["sequence"].as_i64().unwrap()).unwrap_or(0);
        assert_eq!(read["sequence"], before + 1, "{}: {intent} is told in order", house.name);
    }
}

async fn ending(house: &House, stage: &Stage) -> Ending {
    let mut intents = Vec::new();
    for (payee, intent) in stage.payees.iter().zip(&house.intents) {
        let status: String = sqlx::query_scalar("select status from amn.intent where id = $1")
            .bind(intent)
            .fetch_one(&house.db.pool)
            .await
            .unwrap();
        let deposits: Vec<(String, String)> = sqlx::query_as(
            "select encode(tx_hash, 'hex') || ' in ' || encode(block_hash, 'hex') || case when late then ' late' else '' end,
               amount::text
             from amn.deposit where intent_id = $1 and status = 'settled' order by 1",
        )
        .bind(intent)
        .fetch_all(&house.db.pool)
        .await
        .unwrap();
        let sum: u128 = deposits.iter().map(|(_, amount)| amount.parse::<u128>().unwrap()).sum();
        let there = stage.balance(*payee).await;
        assert_eq!(sum, there, "{}: what {:#x} holds on the chain is what was counted", house.name, payee.address);
        intents.push((status, deposits.into_iter().map(|(what, amount)| format!("{amount} by {what}")).collect()));
    }
    Ending { intents }
}
