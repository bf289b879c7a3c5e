//! What wraps every request: time limits and the net under panics.

use std::time::Duration;

use serde_json::json;

use super::stand::{OPERATOR, Stand, new_intent};

#[tokio::test]
async fn a_panic_is_a_problem_of_ours_and_the_next_request_is_served() {
    let stand = Stand::with(|state| state.metrics = std::sync::Arc::new(|| panic!("the recorder fell"))).await;
    let answer = stand.get("/metrics").header("x-correlation-id", "panic-1").send().await;
    assert_eq!((answer.status, answer.code()), (500, "internal"));
    assert_eq!(answer.body["correlation_id"], "panic-1");
    assert!(!answer.text.contains("recorder"), "{}", answer.text);
    assert_eq!(stand.get("/health").send().await.status, 200);
}

#[tokio::test]
async fn a_request_that_waits_too_long_is_undone_and_said_so() {
    let stand = Stand::with(|state| state.request_timeout = Duration::from_millis(300)).await;
    // Somebody holds the network, as a long decision would.
    let mut holder = stand.pool().begin().await.unwrap();
    sqlx::query("select id from amn.network where id = 'base' for update").execute(&mut *holder).await.unwrap();
    let send = || stand.post("/v1/intents").key(OPERATOR).header("idempotency-key", "1").json(&new_intent(1)).send();
    let answer = send().await;
    assert_eq!((answer.status, answer.code(), &answer.body["retryable"]), (503, "timed_out", &json!(true)));
    holder.rollback().await.unwrap();
    // As the hint says: the same again, with the same key.
    let answer = send().await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let count: i64 = sqlx::query_scalar("select count(*) from amn.intent").fetch_one(stand.pool()).await.unwrap();
    assert_eq!(count, 1);
}
