//! tonapi's answers as it writes them: hexadecimal digits, numbers as numbers, an account as an object.

use std::fmt::Write as _;

use amn_core::block::{BlockRef, Hash, Height};
use amn_core::timestamp::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::source::ask::canned::Canned;
use crate::source::ask::v2::tests::{SHOP, life};
use crate::source::ask::{Content, TONAPI, Tips};
use crate::testkit::Made;

const SYSTEM: Account = Account::new(-1, [0x33; 32]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn block(workchain: i8, shard: &str, seqno: u64, seed: u8, transactions: u64) -> Value {
    json!({
        "tx_quantity": transactions, "workchain_id": workchain, "shard": shard, "seqno": seqno,
        "root_hash": hex(&[seed; 32]).to_uppercase(), "file_hash": hex(&[9; 32]), "global_id": -239, "version": 0,
        "value_flow": {}, "after_merge": false, "key_block": false, "gen_utime": 1_760_000_000_u64,
        "start_lt": 1_000_000_u64, "end_lt": 9_000_000_u64, "vert_seqno": 1, "prev_refs": [format!("(-1,8000000000000000,{})", seqno - 1)],
    })
}

fn transaction(account: &Account, made: &Made) -> Value {
    json!({
        "hash": hex(&made.at.hash.0), "lt": made.at.lt,
        "account": { "address": account.to_string(), "is_scam": false, "is_wallet": true },
        "success": true, "utime": 1_760_000_000_u64, "orig_status": "active", "end_status": "active", "total_fees": 1000,
        "transaction_type": "TransOrd", "out_msgs": [], "block": "(0,8000000000000000,700)", "aborted": false,
        "destroyed": false, "raw": hex(&made.bytes()),
    })
}

fn transactions(listed: &[Value]) -> String {
    json!({ "transactions": listed }).to_string()
}

#[tokio::test]
async fn a_block_is_asked_for_by_its_name() {
    let node = Canned::of(TONAPI, |_, _| (200, block(-1, "8000000000000000", 70, 7, 3).to_string())).await;
    let at = BlockRef { height: Height(70), hash: Hash([7; 32]) };
    let row = Row { at, time: Timestamp::from_seconds(1_760_000_000), global_id: Some(-239) };
    assert_eq!(node.ask().row(Height(70)).await, Ok(row));
    assert_eq!(node.ask().head().await, Ok(row));
    assert_eq!(node.asked(), ["blockchain/blocks/(-1,8000000000000000,70)", "blockchain/masterchain-head"]);
    assert!(matches!(node.ask().row(Height(71)).await, Err(Trouble::Failed(_))), "another block than asked");
}

#[tokio::test]
async fn an_account_that_never_was_is_not_found_and_stands_nowhere() {
    let node = Canned::of(TONAPI, |target, _| {
        if target.contains("6a6a") {
            return (404, r#"{"error":"entity not found"}"#.to_owned());
        }
        (200, json!({ "address": SYSTEM.to_string(), "balance": 1, "last_transaction_lt": 42, "last_transaction_hash": hex(&[4; 32]), "status": "active" }).to_string())
    })
    .await;
    let heads = node.ask().heads(&[SHOP, SYSTEM]).await.unwrap();
    assert_eq!(heads, [None, Some(Link { lt: 42, hash: Hash([4; 32]) })]);
}

#[tokio::test]
async fn cells_come_from_the_one_asked_down_whatever_its_bounds_mean() {
    let made = life(SHOP, 4);
    let listed: Vec<Value> = made.iter().map(|made| transaction(&SHOP, made)).collect();
    let body = transactions(&listed);
    let node = Canned::of(TONAPI, move |_, _| (200, body.clone())).await;
    let cells = node.ask().raw_down(&SHOP, made[2].at, Some(made[0].at.lt), 9).await.unwrap();
    assert_eq!(cells, [made[2].bytes(), made[1].bytes()], "one above and one at the lower bound are dropped");
    let unknown = Link { lt: made[2].at.lt + 1, hash: made[2].at.hash };
    assert!(matches!(node.ask().raw_down(&SHOP, unknown, None, 9).await, Err(Trouble::Lacks(_))));
    let other = Canned::in_turn(TONAPI, vec![transactions(&[transaction(&SYSTEM, &made[0])])]).await;
    assert!(matches!(other.ask().raw_down(&SHOP, made[0].at, None, 9).await, Err(Trouble::Lie(_))));
}

#[tokio::test]
async fn whether_it_has_a_transaction_is_asked_by_time_so_that_another_one_shows() {
    let made = life(SHOP, 2);
    let (body, at) = (transactions(&[transaction(&SHOP, &made[1])]), made[1].at);
    let node = Canned::of(TONAPI, move |_, _| (200, body.clone())).await;
    assert_eq!(node.ask().has(&SHOP, at).await, Ok(true));
    assert_eq!(node.ask().has(&SHOP, made[0].at).await, Ok(false));
    let asked = Hash([9; 32]);
    assert_eq!(
        node.ask().has(&SHOP, Link { lt: at.lt, hash: asked }).await,
        Err(Trouble::Contradicts { account: SHOP, lt: at.lt, asked, given: at.hash })
    );
    let mut forged = transaction(&SHOP, &made[1]);
    forged["raw"] = transaction(&SHOP, &made[0])["raw"].clone();
    let node = Canned::in_turn(TONAPI, vec![transactions(&[forged])]).await;
    assert!(matches!(node.ask().has(&SHOP, at).await, Err(Trouble::Lie(_))), "its cell is another's");
}

#[tokio::test]
async fn a_transaction_is_looked_up_by_its_hash_and_re_hashed() {
    let made = life(SHOP, 1).remove(0);
    let body = transaction(&SHOP, &made).to_string();
    let node = Canned::of(TONAPI, move |target, _| {
        let there = target.ends_with(&hex(&made.at.hash.0));
        if there { (200, body.clone()) } else { (404, r#"{"error":"not found"}"#.to_owned()) }
    })
    .await;
    let at = life(SHOP, 1)[0].at;
    assert_eq!(node.ask().by_hash(at.hash).await, Ok(Some(Named { account: SHOP, at, height: None })));
    assert_eq!(node.ask().by_hash(Hash([1; 32])).await, Ok(None));
    assert_eq!(node.ask().raw_one(&SHOP, at).await.unwrap(), life(SHOP, 1)[0].bytes());
    // It looks among messages too, and gives the transaction of one.
    let other = Canned::of(TONAPI, |_, _| (200, transaction(&SHOP, &life(SHOP, 1)[0]).to_string())).await;
    assert_eq!(other.ask().by_hash(Hash([1; 32])).await, Ok(None));
    let message = Link { lt: at.lt, hash: Hash([1; 32]) };
    assert!(matches!(other.ask().raw_one(&SHOP, message).await, Err(Trouble::Lacks(_))));
}

fn row() -> Row {
    let at = BlockRef { height: Height(50), hash: Hash([5; 32]) };
    Row { at, time: Timestamp::from_seconds(0), global_id: None }
}

/// Block 50 and its shard's, and what they hold.
fn fifty() -> (Vec<Value>, Vec<Value>) {
    let (system, shop) = (life(SYSTEM, 3), life(SHOP, 2));
    let mut listed: Vec<Value> = system.iter().map(|made| transaction(&SYSTEM, made)).collect();
    listed.extend(shop.iter().map(|made| transaction(&SHOP, made)));
    (vec![block(-1, "8000000000000000", 50, 5, 3), block(0, "8000000000000000", 700, 7, 2)], listed)
}

async fn content_of(blocks: Vec<Value>, listed: Vec<Value>) -> Result<usize, Trouble> {
    let node = Canned::of(TONAPI, move |target, _| match target {
        "blockchain/masterchain/50/blocks" => (200, json!({ "blocks": blocks }).to_string()),
        "blockchain/masterchain/50/transactions" => (200, transactions(&listed)),
        "blockchain/masterchain-head" => (200, block(-1, "8000000000000000", 90, 9, 3).to_string()),
        other => (404, json!({ "error": format!("no {other}") }).to_string()),
    })
    .await;
    match node.ask().content(&row(), &Tips::default()).await?.0 {
        Content::Whole(found) => Ok(found.len()),
        Content::Names(_) => panic!("it gives cells"),
    }
}

#[tokio::test]
async fn a_block_is_whole_when_as_many_cells_came_as_its_blocks_count() {
    let (blocks, listed) = fifty();
    assert_eq!(content_of(blocks.clone(), listed.clone()).await, Ok(5));
    let lacks = |result: Result<usize, Trouble>| matches!(result, Err(Trouble::Lacks(_)));
    assert!(lacks(content_of(blocks.clone(), listed[..4].to_vec()).await), "one is missing");
    assert!(lacks(content_of(blocks.clone(), Vec::new()).await), "an empty list");
    let mut twice = listed.clone();
    twice[4] = twice[3].clone();
    assert!(lacks(content_of(blocks.clone(), twice).await), "one twice");
    assert!(lacks(content_of(vec![blocks[1].clone()], listed[3..].to_vec()).await), "not the block itself");
    let mut none = blocks.clone();
    none[0]["tx_quantity"] = json!(0);
    assert!(lacks(content_of(none, listed[3..].to_vec()).await), "the block's own are never none");
    let mut forged = listed.clone();
    forged[3]["raw"] = listed[4]["raw"].clone();
    assert!(matches!(content_of(blocks.clone(), forged).await, Err(Trouble::Lie(_))), "a cell of another");
    let twice = |list: &[Value]| [list, &list[1..2]].concat();
    assert_eq!(content_of(twice(&blocks), twice(&listed)).await, Ok(5), "by both halves of a shard that became two");
    let mut other = twice(&blocks);
    other[2]["root_hash"] = json!(hex(&[8; 32]));
    assert!(matches!(content_of(other, listed.clone()).await, Err(Trouble::Lie(_))), "two of one name");
    let mut forked = blocks;
    forked[0]["root_hash"] = json!(hex(&[6; 32]));
    assert_eq!(content_of(forked, listed).await, Err(Trouble::Forked(row().at)));
}

/// One answer of each shape, for who breaks them.
pub(in crate::source::ask) fn shapes() -> Vec<String> {
    let (blocks, listed) = fifty();
    vec![
        blocks[0].to_string(),
        json!({ "blocks": blocks }).to_string(),
        transactions(&listed),
        listed[0].to_string(),
        json!({ "last_transaction_lt": 42, "last_transaction_hash": hex(&[4; 32]) }).to_string(),
        json!({ "success": true, "exit_code": 0, "stack": [{ "type": "num", "num": "0x1" }, { "type": "cell", "cell": "b5ee9c72010101010002000000" }] }).to_string(),
    ]
}

/// Every reader on one body.
pub(in crate::source::ask) fn read_all(body: &[u8]) {
    drop(read_row(body, Height(50)));
    drop(read_head(body));
    drop(read_down(body, &SHOP, u64::MAX, 0));
    drop(read_by_hash(body, Hash([1; 32])));
    drop(counted(body, &row()));
    drop(whole(body, 5, Height(50)));
    drop(stack::read_tonapi(body));
}
