//! The node of the testkit says what stellar-rpc says, in its shapes and types.

use amn_soroban::address::Place;
use amn_soroban::ledger::Ledger;
use amn_soroban::testkit::{History, Node, Tx, plain};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stellar_xdr::{Asset, LedgerHeader, LedgerHeaderHistoryEntry, Limits, ReadXdr};

use crate::http::{ask, post, refused};
use crate::support::*;

pub const PASSPHRASE: &str = "A network of the tests ; November 2026";

/// A node with so many empty ledgers, from 1001 on.
pub async fn node(ledgers: u32) -> Node {
    let mut history = History::new(PASSPHRASE, 30);
    history.pass(ledgers);
    Node::serve(history).await.unwrap()
}

pub fn from(start: u32, limit: u32) -> Value {
    json!({ "startLedger": start, "pagination": { "limit": limit } })
}

/// Sequences of a page.
pub fn sequences(page: &Value) -> Vec<u64> {
    page["ledgers"].as_array().unwrap().iter().map(|one| one["sequence"].as_u64().unwrap()).collect()
}

/// Names of fields with the kinds of their values.
fn kinds(value: &Value) -> Vec<(String, &'static str)> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), kind(value))).collect()
}

fn xdr<T: ReadXdr>(field: &Value) -> T {
    T::from_xdr(STANDARD.decode(field.as_str().unwrap()).unwrap(), Limits { depth: 500, len: 1 << 24 }).unwrap()
}

#[tokio::test]
async fn a_history_is_served_page_by_page() {
    let node = node(5).await;
    let page = ask(&node, "getLedgers", &from(1_002, 2)).await;
    assert_eq!((sequences(&page), &page["cursor"]), (vec![1_002, 1_003], &json!("1003")));
    let page = ask(&node, "getLedgers", &json!({ "pagination": { "cursor": "1003" } })).await;
    assert_eq!((sequences(&page), &page["cursor"]), (vec![1_004, 1_005], &json!("1005")));
    let page = ask(&node, "getLedgers", &json!({ "startLedger": 1_001 })).await;
    assert_eq!(sequences(&page).len(), 5);
    for (at, one) in (1_001..).zip(page["ledgers"].as_array().unwrap()) {
        let ledger = Ledger::decode(&STANDARD.decode(one["metadataXdr"].as_str().unwrap()).unwrap()).unwrap();
        let entry: LedgerHeaderHistoryEntry = xdr(&one["headerXdr"]);
        assert_eq!((ledger.sequence(), ledger.at().hash.0), (at, entry.hash.0));
        assert_eq!(one["hash"].as_str().unwrap(), &ledger.at().hash.to_string()[2..]);
    }
}

#[tokio::test]
async fn pages_have_at_most_200_ledgers_and_50_where_nothing_is_asked() {
    let node = node(201).await;
    assert_eq!(sequences(&ask(&node, "getLedgers", &json!({ "startLedger": 1_001 })).await).len(), 50);
    assert_eq!(sequences(&ask(&node, "getLedgers", &from(1_001, 0)).await).len(), 50);
    assert_eq!(sequences(&ask(&node, "getLedgers", &from(1_001, 200)).await).len(), 200);
    let (code, message) = refused(&node, "getLedgers", &from(1_001, 201)).await;
    assert_eq!(code, -32_600, "{message}");
}

/// The real answer of a public node, and ours about the same two ledgers.
#[tokio::test]
async fn a_page_has_the_shape_of_a_real_one_and_its_very_ledgers() {
    let Some(bytes) = real("testnet-getLedgers-36233.json") else { return };
    let published: Value = serde_json::from_slice(&bytes).unwrap();
    let published = &published["GetLedgersResult"]["value"];
    let mut history: Option<History> = None;
    for one in published["ledgers"].as_array().unwrap() {
        let bytes = STANDARD.decode(one["metadataXdr"].as_str().unwrap()).unwrap();
        match &mut history {
            None => history = Some(History::of_real("Test SDF Network ; September 2015", &bytes).unwrap()),
            Some(history) => drop(history.push_bytes(&bytes).unwrap()),
        }
    }
    let node = Node::serve(history.unwrap()).await.unwrap();
    let page = ask(&node, "getLedgers", &from(36_233, 2)).await;
    assert_eq!((&page["ledgers"], &page["cursor"]), (&published["ledgers"], &published["cursor"]));
    assert_eq!(kinds(&page), kinds(published));
}

#[tokio::test]
async fn what_closes_after_a_real_ledger_stands_on_it() {
    let Some(bytes) = real("pubnet-ledger-63092990.xdr.gz") else { return };
    let mut history = History::of_real(&pubnet().passphrase, &bytes).unwrap();
    let real = Ledger::decode(&bytes).unwrap();
    assert_eq!(history.checkpoint(), real.parent());
    history.pass(2);
    let node = Node::serve(history).await.unwrap();
    let page = ask(&node, "getLedgers", &from(63_092_990, 8)).await;
    let mut on = real.parent();
    for one in page["ledgers"].as_array().unwrap() {
        let ledger = Ledger::decode(&STANDARD.decode(one["metadataXdr"].as_str().unwrap()).unwrap()).unwrap();
        on = amn_soroban::evidence::verify(&pubnet(), ledger, Some(on)).unwrap().header.at;
    }
    assert_eq!(on.height.0, 63_092_992);
}

#[tokio::test]
async fn every_method_answers_in_the_types_that_stellar_rpc_has() {
    let node = node(3).await;
    let of = |names: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
        names.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    };
    let health = ask(&node, "getHealth", &Value::Null).await;
    let expected = [
        ("latestLedger", "number"),
        ("latestLedgerCloseTime", "string"),
        ("ledgerRetentionWindow", "number"),
        ("oldestLedger", "number"),
        ("oldestLedgerCloseTime", "string"),
        ("status", "string"),
    ];
    assert_eq!(kinds(&health), of(&expected));
    assert_eq!((&health["status"], &health["latestLedger"]), (&json!("healthy"), &json!(1_003)));
    assert_eq!((&health["oldestLedger"], &health["ledgerRetentionWindow"]), (&json!(1_001), &json!(120_960)));
    let network = ask(&node, "getNetwork", &json!({})).await;
    assert_eq!(network, json!({ "passphrase": PASSPHRASE, "protocolVersion": 30 }));
    let version = ask(&node, "getVersionInfo", &json!({})).await;
    let expected = [
        ("buildTimestamp", "string"),
        ("captiveCoreVersion", "string"),
        ("commitHash", "string"),
        ("protocolVersion", "number"),
        ("version", "string"),
    ];
    assert_eq!(kinds(&version), of(&expected));
    let latest = ask(&node, "getLatestLedger", &json!({})).await;
    let expected = [
        ("closeTime", "string"),
        ("headerXdr", "string"),
        ("id", "string"),
        ("metadataXdr", "string"),
        ("protocolVersion", "number"),
        ("sequence", "number"),
    ];
    assert_eq!(kinds(&latest), of(&expected));
    // The header alone here, the header with its hash in pages.
    assert_eq!(xdr::<LedgerHeader>(&latest["headerXdr"]).ledger_seq, 1_003);
    let page = ask(&node, "getLedgers", &from(1_003, 1)).await;
    let expected = [
        ("hash", "string"),
        ("headerXdr", "string"),
        ("ledgerCloseTime", "string"),
        ("metadataXdr", "string"),
        ("sequence", "number"),
    ];
    assert_eq!(kinds(&page["ledgers"][0]), of(&expected));
    assert_eq!(
        (&page["ledgers"][0]["hash"], &page["ledgers"][0]["metadataXdr"]),
        (&latest["id"], &latest["metadataXdr"])
    );
}

#[tokio::test]
async fn a_transaction_is_found_by_its_hash_and_one_that_is_not_there_is_not_found() {
    let mut history = History::new(PASSPHRASE, 30);
    let (payer, shop) = (Place::Account([1; 32]), Place::Account([2; 32]));
    let closed = history.close(&[
        Tx::of(payer).pay(plain(shop), &Asset::Native, 5),
        Tx::of(payer).pay(plain(shop), &Asset::Native, 6).bumped_by(shop).fails(),
    ]);
    history.pass(2);
    let node = Node::serve(history).await.unwrap();
    let hash = |place: usize| closed.names[place].to_string()[2..].to_owned();
    let first = ask(&node, "getTransaction", &json!({ "hash": hash(0) })).await;
    assert_eq!((&first["status"], &first["ledger"]), (&json!("SUCCESS"), &json!(1_001)));
    assert_eq!((&first["txHash"], &first["feeBump"]), (&json!(hash(0)), &json!(false)));
    for field in ["createdAt", "latestLedgerCloseTime", "oldestLedgerCloseTime", "envelopeXdr", "resultXdr"] {
        assert!(first[field].is_string(), "{field}: {first}");
    }
    let second = ask(&node, "getTransaction", &json!({ "hash": hash(1) })).await;
    assert_eq!((&second["status"], &second["feeBump"]), (&json!("FAILED"), &json!(true)));
    assert_eq!(second["applicationOrder"], 2);
    let none = ask(&node, "getTransaction", &json!({ "hash": "ab".repeat(32) })).await;
    assert_eq!((&none["status"], &none["latestLedger"]), (&json!("NOT_FOUND"), &json!(1_003)));
    assert!(none.get("envelopeXdr").is_none());
    for wrong in ["", "ab", &"zz".repeat(32)] {
        assert_eq!(refused(&node, "getTransaction", &json!({ "hash": wrong })).await.0, -32_602, "{wrong}");
    }
}

#[tokio::test]
async fn a_ledger_that_is_not_there_is_an_error_and_no_empty_page() {
    let node = node(3).await;
    for start in [1_000, 1_004, 0] {
        let (code, message) = refused(&node, "getLedgers", &from(start, 1)).await;
        assert_eq!(code, -32_600);
        assert_eq!(
            message,
            format!(
                "start ledger ({start}) must be between the oldest ledger: 1001 and the latest ledger: 1003 for this \
                 rpc instance"
            )
        );
    }
    // At the tip a cursor that the node gave itself is one of them.
    let (code, message) = refused(&node, "getLedgers", &json!({ "pagination": { "cursor": "1003" } })).await;
    assert_eq!(code, -32_602, "{message}");
    let both = json!({ "startLedger": 1_001, "pagination": { "cursor": "1002" } });
    assert_eq!(refused(&node, "getLedgers", &both).await.0, -32_600);
}

#[tokio::test]
async fn parameters_are_an_object_of_the_right_types_and_methods_those_there_are() {
    let node = node(3).await;
    for wrong in [
        json!([1_001]),
        json!({ "startLedger": "1001" }),
        json!({ "startLedger": -1 }),
        json!({ "startLedger": 1_u64 << 32 }),
        json!({ "startLedger": 1_001, "pagination": 5 }),
        json!({ "startLedger": 1_001, "pagination": { "limit": "5" } }),
        json!({ "startLedger": 1_001, "xdrFormat": "yaml" }),
        json!({ "pagination": { "cursor": "x" } }),
        json!({ "pagination": { "cursor": 1_001 } }),
    ] {
        assert_eq!(refused(&node, "getLedgers", &wrong).await.0, -32_602, "{wrong}");
    }
    for method in ["eth_blockNumber", "rpc.discover", ""] {
        assert_eq!(refused(&node, method, &json!({})).await.0, -32_601, "{method}");
    }
}

#[tokio::test]
async fn a_request_beyond_its_bound_is_refused_and_a_batch_is_answered_together() {
    let node = node(3).await;
    let answer = post(&node, &vec![b' '; (512 << 10) + 1]).await;
    assert_eq!(answer.status, 413);
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "getHealth" },
        { "jsonrpc": "2.0", "id": 2, "method": "getLedgers", "params": from(9, 1) },
    ]);
    let answer: Value = serde_json::from_slice(&post(&node, batch.to_string().as_bytes()).await.body).unwrap();
    assert_eq!((&answer[0]["id"], &answer[0]["result"]["latestLedger"]), (&json!(1), &json!(1_003)));
    assert_eq!((&answer[1]["id"], &answer[1]["error"]["code"]), (&json!(2), &json!(-32_600)));
    let traffic = node.take_traffic();
    assert_eq!((traffic.requests, traffic.questions["getHealth"], traffic.questions["getLedgers"]), (2, 1, 1));
    assert_eq!(node.calls("getHealth"), 0, "taken");
}

#[tokio::test]
async fn a_history_grows_and_forgets_while_several_nodes_serve_it() {
    let first = node(3).await;
    let second = Node::share(first.history.clone()).await.unwrap();
    first.history().pass(1);
    assert_eq!(ask(&second, "getHealth", &Value::Null).await["latestLedger"], 1_004);
    second.history().forget_below(1_003);
    assert_eq!(ask(&first, "getHealth", &Value::Null).await["oldestLedger"], 1_003);
    assert_eq!(refused(&first, "getLedgers", &from(1_002, 1)).await.0, -32_600);
    first.history().retention_window = 1;
    first.history().pass(1);
    let health = ask(&second, "getHealth", &Value::Null).await;
    assert_eq!((&health["oldestLedger"], &health["latestLedger"]), (&json!(1_005), &json!(1_005)));
}

#[tokio::test]
async fn a_history_that_is_rewound_goes_on_as_another_branch() {
    let node = node(3).await;
    let told = ask(&node, "getLedgers", &from(1_002, 2)).await;
    node.history().rewind(1_002);
    node.history().pass(1);
    let now = ask(&node, "getLedgers", &from(1_002, 2)).await;
    assert_eq!(told["ledgers"][0], now["ledgers"][0]);
    assert_ne!(told["ledgers"][1]["hash"], now["ledgers"][1]["hash"]);
}

#[tokio::test]
async fn a_node_without_ledgers_says_so() {
    let node = Node::serve(History::new(PASSPHRASE, 30)).await.unwrap();
    for (method, params) in [("getHealth", json!({})), ("getLedgers", from(1_001, 1)), ("getLatestLedger", json!({}))] {
        let (code, message) = refused(&node, method, &params).await;
        assert_eq!(code, -32_603);
        assert!(message.contains("data stores are not initialized"), "{message}");
    }
}
