//! An intent's life over HTTP.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::stand::{ETH, OPERATOR, Stand, TIP, address, new_intent};

#[tokio::test]
async fn an_intent_is_created_and_read_back_with_all_a_payer_needs() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let made = stand.post("/v1/intents").key(&key).json(&new_intent(1)).send().await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.body["id"].as_str().unwrap();
    assert!(id.starts_with("pi_"));
    assert_eq!(made.header("location"), format!("/v1/intents/{id}"));
    let read = stand.get(&format!("/v1/intents/{id}")).key(&key).send().await;
    assert_eq!((read.status, &read.text), (200, &made.text));
    let shown: Value = serde_json::from_str(&made.text.replace(id, "pi_…")).unwrap();
    insta::assert_json_snapshot!(shown);
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_answer_and_one_intent() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let send =
        |body: Value| stand.post("/v1/intents").key(&key).header("idempotency-key", "order 1").json(&body).send();
    let first = send(new_intent(1)).await;
    let again = send(new_intent(1)).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text, again.text, "byte for byte");
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
    assert_eq!(again.header("location"), first.header("location"));

    let other = send(new_intent(2)).await;
    assert_eq!((other.status, other.code()), (409, "idempotency_conflict"));
    let list = stand.get("/v1/intents").key(&key).send().await;
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_idempotency_key_up() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let send = |body: Value| stand.post("/v1/intents").key(&key).header("idempotency-key", "1").json(&body).send();
    let mut body = new_intent(1);
    body["address"] = json!("nonsense");
    assert_eq!(send(body).await.status, 422);
    assert_eq!(send(new_intent(1)).await.status, 201);
}

#[tokio::test]
async fn of_many_requests_with_one_key_at_once_one_creates_and_all_hear_the_same() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let mut body = new_intent(1);
    body.as_object_mut().unwrap().remove("address");
    let xpub = json!({ "xpub": "xpub-of-seller-7" });
    let put = stand.call(reqwest::Method::PUT, "/v1/tenants/seller-7").key(OPERATOR).json(&xpub).send().await;
    assert_eq!(put.status, 200, "{}", put.text);
    let calls = (0..20).map(|_| stand.post("/v1/intents").key(&key).header("idempotency-key", "k").json(&body).send());
    let answers = join_all(calls).await;
    assert!(answers.iter().all(|a| a.status == 201), "{answers:?}");
    assert!(answers.iter().all(|a| a.text == answers[0].text));
    assert_eq!(answers.iter().filter(|a| a.header("idempotent-replayed").is_empty()).count(), 1);
    let count: i64 = sqlx::query_scalar("select count(*) from amn.intent").fetch_one(stand.pool()).await.unwrap();
    assert_eq!(count, 1);
    let tenant = stand.get("/v1/tenants/seller-7").key(OPERATOR).send().await;
    assert_eq!(tenant.body["next_index"], 1, "an answer given again derives no address");
}

#[tokio::test]
async fn two_tenants_may_use_the_same_idempotency_key() {
    let stand = Stand::new().await;
    for (n, tenant) in ["seller-7", "seller-8"].into_iter().enumerate() {
        let key = stand.tenant(tenant).await;
        let mut body = new_intent(u32::try_from(n).unwrap());
        body["tenant"] = json!(tenant);
        let made = stand.post("/v1/intents").key(&key).header("idempotency-key", "1").json(&body).send().await;
        assert_eq!((made.status, &made.body["tenant"]), (201, &json!(tenant)), "{}", made.text);
    }
}

#[tokio::test]
async fn addresses_are_derived_one_after_another_and_taken_ones_stepped_over() {
    let stand = Stand::new().await;
    let xpub = json!({ "xpub": "xpub-of-seller-7" });
    let put = stand.call(reqwest::Method::PUT, "/v1/tenants/seller-7").key(OPERATOR).json(&xpub).send().await;
    assert_eq!((put.status, &put.body["next_index"]), (200, &json!(0)));
    let derived = |n: u32| format!("0x{:032x}{n:08x}", "xpub-of-seller-7".len());
    // Somebody named the second one by hand, in capitals.
    let mut by_hand = new_intent(1);
    by_hand["address"] = json!(derived(1).to_uppercase().replace("0X", "0x"));
    assert_eq!(stand.post("/v1/intents").key(OPERATOR).json(&by_hand).send().await.status, 201);

    let key = stand.tenant("seller-7").await;
    let mut body = new_intent(1);
    body.as_object_mut().unwrap().remove("address");
    let calls = (0..8).map(|_| stand.post("/v1/intents").key(&key).json(&body).send());
    let mut given: Vec<(u64, String)> = join_all(calls)
        .await
        .into_iter()
        .map(|a| {
            assert_eq!(a.status, 201, "{}", a.text);
            (a.body["derivation_index"].as_u64().unwrap(), a.body["address"].as_str().unwrap().to_owned())
        })
        .collect();
    given.sort();
    let expected: Vec<(u64, String)> = [0, 2, 3, 4, 5, 6, 7, 8].map(|n| (u64::from(n), derived(n))).into();
    assert_eq!(given, expected);
}

#[tokio::test]
async fn an_address_belongs_to_one_intent() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    stand.intent(&key, 1).await;
    let mut body = new_intent(1);
    body["address"] = json!(address(1).to_uppercase().replace("0X", "0x"));
    let again = stand.post("/v1/intents").key(&key).json(&body).send().await;
    assert_eq!((again.status, again.code()), (409, "address_taken"));
    assert_eq!(again.body["errors"][0]["field"], "address");
}

#[tokio::test]
async fn of_two_intents_for_one_address_at_once_one_is_made() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let calls = (0..10).map(|_| stand.post("/v1/intents").key(&key).json(&new_intent(1)).send());
    let mut statuses: Vec<u16> = join_all(calls).await.iter().map(|a| a.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201], vec![409; 9]].concat());
}

#[tokio::test]
async fn pages_hold_every_intent_once_newest_first_though_new_ones_arrive() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let mut made = Vec::new();
    for n in 0..7 {
        // Two share each instant: the name decides between them.
        if n % 2 == 0 {
            stand.clock.advance(1);
        }
        made.push(stand.intent(&key, n).await);
    }
    made.reverse();
    for key in [key.as_str(), OPERATOR] {
        let mut seen = Vec::new();
        let mut path = "/v1/intents?limit=3".to_owned();
        for round in 0..3 {
            let page = stand.get(&path).key(key).send().await;
            assert_eq!(page.status, 200, "{}", page.text);
            seen.extend(page.body["data"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()));
            match page.body["next_cursor"].as_str() {
                Some(next) => path = format!("/v1/intents?limit=3&cursor={next}"),
                None => assert_eq!(round, 2),
            }
            if key == OPERATOR && round == 0 {
                stand.clock.advance(1);
                stand.intent(OPERATOR, 99).await;
            }
        }
        assert_eq!(seen, made);
    }
}

#[tokio::test]
async fn lists_are_filtered_by_status_network_and_address() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let first = stand.intent(&key, 1).await;
    let second = stand.intent(&key, 2).await;
    stand.post(&format!("/v1/intents/{first}/cancel")).key(&key).send().await;
    let ids = async |query: &str| {
        let page = stand.get(&format!("/v1/intents?{query}")).key(&key).send().await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.body["data"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("status=canceled").await, std::slice::from_ref(&first));
    assert_eq!(ids("status=awaiting&network=base").await, std::slice::from_ref(&second));
    assert_eq!(ids("network=bsc").await, [""; 0]);
    let upper = address(2).to_uppercase().replace("0X", "0x");
    assert_eq!(ids(&format!("network=base&address={upper}")).await, [second]);
}

#[tokio::test]
async fn canceling_goes_through_the_rules_and_says_who_did_it() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let id = stand.intent(&key, 1).await;
    let canceled = stand.post(&format!("/v1/intents/{id}/cancel")).key(&key).send().await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("canceled")), "{}", canceled.text);
    assert_eq!(canceled.body["payment_uri"], Value::Null, "nobody is invited to pay what will not count");
    let again = stand.post(&format!("/v1/intents/{id}/cancel")).key(&key).json(&json!({})).send().await;
    assert_eq!((again.status, again.code()), (409, "refused"));
    let accepted = stand.post(&format!("/v1/intents/{id}/accept")).key(&key).send().await;
    assert_eq!((accepted.status, &accepted.body["detail"]), (409, &json!("nothing has settled")));
    let heard = stand.decided.heard();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|(network, _, actor)| network == "base" && actor.starts_with("key:test:")), "{heard:?}");
}

#[tokio::test]
async fn an_intent_may_ask_for_blocks_that_were_read_before_it() {
    let stand = Stand::new().await;
    let mut body = new_intent(1);
    body["since_height"] = json!((TIP - 10).to_string());
    body["asset"] = json!(ETH.to_uppercase());
    body["require"] = json!({ "tag": "finalized", "confirmations": 3 });
    let made = stand.post("/v1/intents").key(OPERATOR).json(&body).send().await;
    assert_eq!((made.status, &made.body["asset"]["id"]), (201, &json!(ETH)), "{}", made.text);
    assert_eq!(made.body["require"]["tag"], "finalized");
    let row: (i64, Option<i64>, Option<i64>, bool) =
        sqlx::query_as("select since_height, backfill_from, backfill_to, native from amn.watch")
            .fetch_one(stand.pool())
            .await
            .unwrap();
    assert_eq!(row, (TIP - 10, Some(TIP - 10), Some(TIP), true));
}

#[tokio::test]
async fn metadata_comes_back_as_it_was_sent() {
    let stand = Stand::new().await;
    let mut body = new_intent(1);
    body["metadata"] = json!({ "z": [1, -2, u64::MAX, true, null, "é\u{1F9FE}"], "a": { "d": {}, "c": "" } });
    let made = stand.post("/v1/intents").key(OPERATOR).json(&body).send().await;
    assert_eq!(made.body["metadata"], body["metadata"]);
    let id = made.body["id"].as_str().unwrap();
    let read = stand.get(&format!("/v1/intents/{id}")).key(OPERATOR).send().await;
    assert_eq!(read.body["metadata"], body["metadata"]);
}

#[tokio::test]
async fn derived_and_given_addresses_at_once_never_wait_for_one_another_in_a_ring() {
    let stand = Stand::new().await;
    let xpub = json!({ "xpub": "xpub-of-seller-7" });
    stand.call(reqwest::Method::PUT, "/v1/tenants/seller-7").key(OPERATOR).json(&xpub).send().await;
    let calls = (0..60).map(|n| {
        let mut body = new_intent(n);
        if n % 2 == 0 {
            body.as_object_mut().unwrap().remove("address");
        }
        stand.post("/v1/intents").key(OPERATOR).json(&body).send()
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
}
