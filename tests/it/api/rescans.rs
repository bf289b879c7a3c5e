//! Rescans over HTTP: who may ask, what is answered, and that asking is audited.

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{OPERATOR, Stand, TIP};

const PATH: &str = "/v1/networks/base/rescans";

#[tokio::test]
async fn a_rescan_is_asked_for_once_audited_and_shown_with_what_it_waits_for() {
    let stand = Stand::new().await;
    let wish = json!({ "from": "1001", "to": TIP.to_string() });
    let made = stand.post(PATH).key(OPERATOR).json(&wish).send().await;
    assert_eq!((made.status, &made.body["status"]), (202, &json!("waiting")), "{}", made.body);
    assert_eq!(made.body["waits_for"], "no daemon follows the network");
    let again = stand.post(PATH).key(OPERATOR).json(&wish).send().await;
    assert_eq!(again.body["id"], made.body["id"]);
    let list = stand.get(PATH).key(OPERATOR).send().await;
    assert_eq!(list.body["data"], json!([made.body]));
    let bsc = stand.get("/v1/networks/bsc/rescans").key(OPERATOR).send().await;
    assert_eq!(bsc.body["data"], json!([]), "of another network there is none");
    let audit: Vec<(String, String, String)> =
        sqlx::query_as("select actor, action, subject from amn.audit").fetch_all(stand.pool()).await.unwrap();
    assert_eq!(audit, vec![("operator".to_owned(), "rescan".to_owned(), "base".to_owned()); 2]);

    let halt = "update amn.network set halt_reason = 'pruned', halted_at = now() where id = 'base'";
    sqlx::query(halt).execute(stand.pool()).await.unwrap();
    let list = stand.get(PATH).key(OPERATOR).send().await;
    assert_eq!(list.body["data"][0]["waits_for"], "the network is halted: pruned");
    let fail = "update amn.rescan set finished_at = now(), failed = true, trouble = 'nobody has it'";
    sqlx::query(fail).execute(stand.pool()).await.unwrap();
    let list = stand.get(PATH).key(OPERATOR).send().await;
    let failed = &list.body["data"][0];
    assert_eq!((&failed["status"], &failed["trouble"]), (&json!("failed"), &json!("nobody has it")));
    assert_eq!((&failed["waits_for"], &failed["next"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn only_an_operator_asks_for_a_rescan() {
    let stand = Stand::new().await;
    let key = stand.tenant("seller-7").await;
    let wish = json!({ "from": "1001", "to": "1002" });
    let asked = stand.call(Method::POST, PATH).key(&key).json(&wish).send().await;
    assert_eq!((asked.status, asked.code()), (403, "forbidden"));
    assert_eq!(stand.get(PATH).key(&key).send().await.status, 200);
    let operators = stand.key(None, &["networks:write"]).await;
    assert_eq!(stand.post(PATH).key(&operators).json(&wish).send().await.status, 202);
}

#[tokio::test]
async fn what_was_measured_is_shown_with_the_network() {
    let stand = Stand::new().await;
    let network = stand.get("/v1/networks/base").key(OPERATOR).send().await;
    assert_eq!(network.body["recall"], Value::Null, "nothing yet");
    sqlx::query(
        "insert into amn.recall (network_id, coverage, blocks, transfers, misses, last_at, last_height)
        values ('base', 'linked', 10, 300, 0, now(), 7), ('base', 'listed', 20, 100, 1, now() + interval '1 s', 9)",
    )
    .execute(stand.pool())
    .await
    .unwrap();
    let network = stand.get("/v1/networks/base").key(OPERATOR).send().await;
    let recall = &network.body["recall"];
    assert_eq!((&recall["blocks"], &recall["miss_rate_ppm"]), (&json!(30), &json!(2_500)));
    assert_eq!(recall["by_coverage"]["listed"]["miss_rate_ppm"], 10_000);
    assert_eq!(recall["by_coverage"]["linked"]["miss_rate_ppm"], 0);
    assert_eq!(recall["last_height"], "9");
}
