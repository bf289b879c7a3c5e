//! Deposits over HTTP.

use std::collections::BTreeSet;

use amn_core::engine::Command;
use amn_core::id::{DepositId, IntentId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::stand::{NOW, OPERATOR, Stand, TIP, USDC, address};

/// Money as a decision would have written it.
struct Money<'a> {
    n: u8,
    tenant: &'a str,
    intent: Option<&'a str>,
    settled: bool,
    depth: i64,
}

async fn arrive(stand: &Stand, money: Money<'_>) -> String {
    let id = DepositId(u128::from(money.n) + 1);
    let intent = money.intent.map(|id| Uuid::from_u128(id.parse::<IntentId>().unwrap().0));
    sqlx::query(
        "insert into amn.deposit (id, network_id, tx_hash, kind, index_in_tx, occurrence, asset_id, from_address, to_address, amount,
          block_height, block_hash, block_time, ordinal, status, inclusion, linked, operators, tenant_id, intent_id, unmatched,
          settled_at, settled_tip_height, settled_tip_hash, settled_require, seen_at, changed_at)
        values ($1, 'base', $2, 'token', 3, 0, $3, $4, $5, 10000000, $6, $7, to_timestamp($8), $9, $10, 'proven', true, '{one}', $11, $12, $13,
          case when $14 then to_timestamp($8) end, case when $14 then $6 end, case when $14 then $7 end,
          case when $14 then '{}'::jsonb end, to_timestamp($8), now())",
    )
    .bind(Uuid::from_u128(id.0))
    .bind(vec![money.n; 32])
    .bind(USDC)
    .bind(address(500))
    .bind(address(u32::from(money.n)))
    .bind(TIP - money.depth)
    .bind(vec![0xCC_u8; 32])
    .bind(NOW - 60)
    .bind(i32::from(money.n))
    .bind(if money.settled { "settled" } else { "seen" })
    .bind(money.tenant)
    .bind(intent)
    .bind(if intent.is_none() { Some("unknown_reference") } else { None })
    .bind(money.settled)
    .execute(stand.pool())
    .await
    .unwrap();
    id.to_string()
}

#[tokio::test]
async fn an_intent_shows_its_deposits_newest_first_with_confirmations_and_who_vouches() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let id = stand.intent(&key, 1).await;
    sqlx::query("update amn.network set vouchers = $1 where id = 'base'")
        .bind(json!({
            "one": { "hash": "0x", "height": TIP }, "two": { "hash": "0x", "height": TIP }, "three": { "hash": "0x", "height": TIP },
            "behind": { "hash": "0x", "height": TIP - 50 },
        }))
        .execute(stand.pool())
        .await
        .unwrap();
    let old = arrive(&stand, Money { n: 1, tenant: "seller-7", intent: Some(&id), settled: true, depth: 11 }).await;
    let new = arrive(&stand, Money { n: 2, tenant: "seller-7", intent: Some(&id), settled: false, depth: 0 }).await;
    let intent = stand.get(&format!("/v1/intents/{id}")).key(&key).send().await;
    let deposits = intent.body["deposits"].as_array().unwrap();
    let shown: Vec<_> =
        deposits.iter().map(|d| (d["id"].as_str().unwrap(), d["confirmations"].as_u64().unwrap())).collect();
    assert_eq!(shown, [(new.as_str(), 1), (old.as_str(), 12)]);
    assert_eq!(intent.body["deposits_total"], 2);
    // Settled on one; the other has the operator it was read from and two that vouch for a block above it.
    assert_eq!(deposits[1]["evidence"]["operators"], 1);
    assert_eq!(deposits[0]["evidence"]["operators"], 3);
    let one = stand.get(&format!("/v1/deposits/{old}")).key(&key).send().await;
    assert_eq!(one.body, deposits[1]);
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(&one.text.replace(&id, "pi_…")).unwrap());
}

#[tokio::test]
async fn deposits_are_listed_page_by_page_though_many_were_seen_at_one_time() {
    let stand = Stand::new().await;
    let (seven, eight) = (stand.tenant("seller-7").await, stand.tenant("seller-8").await);
    let intent = stand.intent(&seven, 1).await;
    for n in 0..5 {
        let owner = (n % 2 == 0).then_some(intent.as_str());
        arrive(&stand, Money { n, tenant: "seller-7", intent: owner, settled: n > 2, depth: 1 }).await;
    }
    let mut seen = BTreeSet::new();
    let mut path = "/v1/deposits?limit=2".to_owned();
    for _ in 0..3 {
        let page = stand.get(&path).key(&seven).send().await;
        seen.extend(page.body["data"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()));
        path = format!("/v1/deposits?limit=2&cursor={}", page.body["next_cursor"].as_str().unwrap_or("-"));
    }
    assert_eq!(seen.len(), 5);
    let count = async |key: &str, query: &str| {
        let page = stand.get(&format!("/v1/deposits?{query}")).key(key).send().await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.body["data"].as_array().unwrap().len()
    };
    assert_eq!(count(&eight, "").await, 0, "another tenant's money");
    assert_eq!(count(OPERATOR, "tenant=seller-7").await, 5);
    assert_eq!(count(&seven, "matched=false").await, 2);
    assert_eq!(count(&seven, "status=settled").await, 2);
    assert_eq!(count(&seven, &format!("intent={intent}")).await, 3);
    assert_eq!(count(&seven, "network=bsc").await, 0);
    assert_eq!(count(&seven, &format!("tx=0x{}", "02".repeat(32))).await, 1);
}

#[tokio::test]
async fn assigning_goes_through_the_rules_by_operators_alone() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let intent = stand.intent(&key, 1).await;
    let deposit = arrive(&stand, Money { n: 9, tenant: "seller-7", intent: None, settled: true, depth: 1 }).await;
    let path = format!("/v1/deposits/{deposit}/assign");
    let tenant = stand.post(&path).key(&key).json(&json!({ "intent": intent })).send().await;
    assert_eq!((tenant.status, tenant.code()), (403, "forbidden"));
    let nobody =
        stand.post(&path).key(OPERATOR).json(&json!({ "intent": "pi_01JD0000000000000000000000" })).send().await;
    assert_eq!(nobody.status, 404);
    assert_eq!(stand.decided.heard().len(), 0);
    // The script says that other decisions came first.
    let assigned = stand.post(&path).key(OPERATOR).json(&json!({ "intent": intent })).send().await;
    assert_eq!((assigned.status, assigned.code(), &assigned.body["retryable"]), (409, "stale", &json!(true)));
    let unassigned = stand.post(&format!("/v1/deposits/{deposit}/unassign")).key(OPERATOR).send().await;
    assert_eq!(unassigned.status, 404, "as the script says");
    let (deposit, intent) = (deposit.parse().unwrap(), intent.parse().unwrap());
    let heard: Vec<_> = stand.decided.heard().into_iter().map(|(network, command, _)| (network, command)).collect();
    let expected = [Command::Assign { deposit, intent }, Command::Unassign { deposit }];
    assert_eq!(heard, expected.map(|command| ("base".to_owned(), command)));
}
