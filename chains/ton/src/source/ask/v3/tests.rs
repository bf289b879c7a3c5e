//! The index's answers as it writes them, and each of its traps.

use amn_core::block::{BlockRef, Hash, Height};
use serde_json::{Value, json};

use super::accounts::{of_account, read_by_hash, read_heads};
use super::*;
use crate::source::ask::canned::Canned;
use crate::source::ask::wire;
use crate::source::ask::{Content, TONCENTER_V3};

const SHOP: Account = Account::new(0, [0xa1; 32]);
const OTHER: Account = Account::new(0, [0xb2; 32]);

fn hash(seed: u8) -> Hash {
    Hash([seed; 32])
}

fn raw_uppercase(account: &Account) -> String {
    account.to_string().to_uppercase()
}

/// A block as it lists it; of the masterchain unless a test says otherwise.
fn block(seqno: u64, seed: u8, transactions: u64) -> Value {
    json!({
        "workchain": -1, "shard": "8000000000000000", "seqno": seqno, "root_hash": wire::base64_of(&hash(seed)),
        "file_hash": wire::base64_of(&hash(99)), "global_id": -239, "version": 0, "key_block": false,
        "gen_utime": (1_760_000_000 + seqno / 2).to_string(), "start_lt": (seqno * 1_000).to_string(),
        "end_lt": (seqno * 1_000 + 9).to_string(), "tx_count": transactions,
        "masterchain_block_ref": { "workchain": -1, "shard": "8000000000000000", "seqno": seqno },
        "prev_blocks": [{ "workchain": -1, "shard": "8000000000000000", "seqno": seqno - 1 }],
    })
}

fn shard_block(shard: &str, seqno: u64, transactions: u64) -> Value {
    let mut block = block(seqno, 77, transactions);
    block["workchain"] = json!(0);
    block["shard"] = json!(shard);
    block
}

fn blocks(blocks: &[Value]) -> String {
    json!({ "blocks": blocks }).to_string()
}

/// A transaction on the one before it, committed by the block of this number.
fn transaction(account: &Account, lt: u64, on: u64, at: u64) -> Value {
    let name = |lt: u64| Hash([u8::try_from(lt % 251).unwrap(); 32]);
    let before = if on == 0 { hash(0) } else { name(on) };
    json!({
        "account": raw_uppercase(account), "hash": wire::base64_of(&name(lt)), "lt": lt.to_string(), "now": 1_760_000_000,
        "mc_block_seqno": at, "trace_id": wire::base64_of(&hash(3)), "prev_trans_hash": wire::base64_of(&before),
        "prev_trans_lt": on.to_string(), "orig_status": "active", "end_status": "active", "total_fees": "230801",
        "description": { "type": "ord", "aborted": false }, "in_msg": null, "out_msgs": [],
        "block_ref": { "workchain": 0, "shard": "8000000000000000", "seqno": 67_132_559 },
        "emulated": false, "finality": "finalized",
    })
}

fn transactions(transactions: &[Value]) -> String {
    json!({ "transactions": transactions, "address_book": {} }).to_string()
}

fn heights(rows: &[Indexed]) -> Vec<u64> {
    rows.iter().map(|block| block.row.at.height.0).collect()
}

#[test]
fn a_block_is_read_with_its_texts_for_numbers() {
    let rows = contiguous(blocks(&[block(7, 1, 3)]).as_bytes(), Height(7), Height(7)).unwrap();
    let at = BlockRef { height: Height(7), hash: hash(1) };
    let row = Row { at, time: Timestamp::from_seconds(1_760_000_003), global_id: Some(-239) };
    assert_eq!(rows, [Indexed { row, end_lt: 7_009, transactions: 3 }]);
}

#[test]
fn blocks_end_at_the_first_hole_below_the_tip() {
    let listed = [block(9, 4, 3), block(6, 1, 3), block(7, 2, 3), block(5, 9, 3), block(7, 2, 3)];
    let rows = contiguous(blocks(&listed).as_bytes(), Height(6), Height(9)).unwrap();
    assert_eq!(heights(&rows), [6, 7], "8 is missing: 9 is not yet of any use");
    let rows = contiguous(blocks(&listed).as_bytes(), Height(6), Height(6)).unwrap();
    assert_eq!(heights(&rows), [6], "what was not asked for is dropped");
    assert!(contiguous(blocks(&listed).as_bytes(), Height(8), Height(9)).unwrap().is_empty());
    let empty = [block(6, 1, 3), block(7, 2, 0), block(8, 3, 3)];
    let rows = contiguous(blocks(&empty).as_bytes(), Height(6), Height(8)).unwrap();
    assert_eq!(heights(&rows), [6], "no masterchain block is without a transaction");
}

#[test]
fn two_blocks_of_one_number_are_a_lie() {
    let listed = blocks(&[block(6, 1, 3), block(6, 2, 3)]);
    assert!(matches!(contiguous(listed.as_bytes(), Height(6), Height(6)), Err(Trouble::Lie(_))));
    let mut foreign = block(6, 1, 3);
    foreign["workchain"] = json!(0);
    let foreign = blocks(&[foreign]);
    assert!(matches!(contiguous(foreign.as_bytes(), Height(6), Height(6)), Err(Trouble::Failed(_))));
}

#[tokio::test]
async fn a_thousand_blocks_are_one_request_where_it_is_known_when_the_first_was_made() {
    let node =
        Canned::of(TONCENTER_V3, |_, _| (200, blocks(&(499..=1_520).map(|at| block(at, 1, 3)).collect::<Vec<_>>())))
            .await;
    let since = Some(Timestamp::from_seconds(1_760_000_250));
    let rows = node.ask().rows(Height(500), Height(1_499), since).await.unwrap();
    assert_eq!((rows.len(), rows[0].at.height, rows[999].at.height), (1_000, Height(500), Height(1_499)));
    assert_eq!(node.asked(), ["blocks?workchain=-1&start_utime=1760000250&sort=asc&limit=1000"]);
    // Without it, one more: when was the first made?
    node.ask().rows(Height(500), Height(510), None).await.unwrap();
    assert_eq!(
        node.asked()[1..],
        ["blocks?workchain=-1&seqno=500&limit=10", "blocks?workchain=-1&start_utime=1760000250&sort=asc&limit=35"]
    );
}

#[tokio::test]
async fn an_empty_list_of_blocks_is_asked_for_its_reason() {
    let reach = json!({ "first": block(100, 1, 3), "last": block(200, 2, 3) }).to_string();
    for (asked, what) in [(250, "not yet"), (50, "pruned"), (150, "lacks")] {
        let reach = reach.clone();
        let node = Canned::of(TONCENTER_V3, move |target, _| {
            (200, if target.starts_with("masterchainInfo") { reach.clone() } else { blocks(&[]) })
        })
        .await;
        let got = match node.ask().rows(Height(asked), Height(asked + 9), None).await.unwrap_err() {
            Trouble::NotYet(_) => "not yet",
            Trouble::Pruned(_) => "pruned",
            Trouble::Lacks(_) => "lacks",
            other => panic!("{other:?}"),
        };
        assert_eq!(got, what, "{asked}");
    }
}

fn states(states: &[Value]) -> String {
    json!({ "accounts": states, "address_book": {}, "metadata": {} }).to_string()
}

fn state(account: &Account, lt: &Value, hash: &Value) -> Value {
    json!({
        "address": raw_uppercase(account), "account_state_hash": wire::base64_of(&Hash([5; 32])), "balance": "1",
        "status": "active", "last_transaction_hash": hash, "last_transaction_lt": lt, "interfaces": [],
    })
}

#[test]
fn heads_come_in_the_order_asked_and_an_account_it_does_not_list_has_none() {
    let link = wire::base64_of(&hash(7));
    let body = states(&[state(&OTHER, &Value::Null, &Value::Null), state(&SHOP, &json!("42"), &json!(link))]);
    let third = Account::new(-1, [3; 32]);
    let heads = read_heads(body.as_bytes(), &[SHOP, third, OTHER]).unwrap();
    assert_eq!(heads, [Some(Link { lt: 42, hash: hash(7) }), None, None]);
    let twice = states(&[
        state(&SHOP, &json!("42"), &json!(link)),
        state(&SHOP, &json!("43"), &json!(wire::base64_of(&hash(8)))),
    ]);
    assert!(matches!(read_heads(twice.as_bytes(), &[SHOP]), Err(Trouble::Lie(_))));
    let half = states(&[state(&SHOP, &json!("42"), &Value::Null)]);
    assert!(matches!(read_heads(half.as_bytes(), &[SHOP]), Err(Trouble::Failed(_))));
}

#[tokio::test]
async fn a_thousand_accounts_are_one_request_and_a_gateway_with_shorter_addresses_gets_more() {
    let accounts: Vec<Account> = (0..1_000_u32)
        .map(|index| {
            let mut id = [7; 32];
            id[..4].copy_from_slice(&index.to_be_bytes());
            Account::new(0, id)
        })
        .collect();
    let node = Canned::of(TONCENTER_V3, |_, _| (200, states(&[]))).await;
    assert_eq!(node.ask().heads(&accounts).await.unwrap(), vec![None; 1_000]);
    assert_eq!(node.asked().len(), 1);
    let narrow = Canned::of(TONCENTER_V3, |target, _| {
        if target.len() > 16_000 { (414, "<html>URI Too Long".to_owned()) } else { (200, states(&[])) }
    })
    .await;
    assert_eq!(narrow.ask().heads(&accounts).await.unwrap().len(), 1_000);
    assert_eq!(narrow.asked().iter().filter(|target| target.len() <= 16_000).count(), 4);
    assert!(node.ask().heads(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_names_of_an_account_go_on_by_logical_time_until_a_page_is_not_full() {
    let all: Vec<Value> = (1..=1_500).map(|nth| transaction(&SHOP, nth * 10, (nth - 1) * 10, 5)).collect();
    let node = Canned::of(TONCENTER_V3, move |target, _| {
        let after = target.split("start_lt=").nth(1).unwrap().split('&').next().unwrap().parse::<u64>().unwrap();
        let page: Vec<Value> = all
            .iter()
            .filter(|one| one["lt"].as_str().unwrap().parse::<u64>().unwrap() >= after)
            .take(1_000)
            .cloned()
            .collect();
        (200, transactions(&page))
    })
    .await;
    let named = node.ask().named(&SHOP, 95).await.unwrap();
    assert_eq!((named.len(), named[0].at.lt, named[1_490].at.lt), (1_491, 100, 15_000));
    assert_eq!(named[0].height, Some(Height(5)));
    assert_eq!(node.asked().len(), 2);
    assert!(node.asked()[1].contains("start_lt=10091&"), "no offset, which would shift: {}", node.asked()[1]);
    assert_eq!(node.ask().named(&SHOP, 15_000).await.unwrap(), []);
}

#[test]
fn names_of_one_account_stand_on_each_other() {
    let read =
        |listed: &[Value]| of_account(transactions(listed).as_bytes(), &SHOP, 0, u64::MAX).map(|page| page.named.len());
    let (one, two, three) =
        (transaction(&SHOP, 10, 0, 4), transaction(&SHOP, 20, 10, 5), transaction(&SHOP, 30, 20, 5));
    assert_eq!(read(&[three.clone(), one.clone(), two.clone()]), Ok(3), "in whatever order");
    assert!(matches!(read(&[one.clone(), three.clone()]), Err(Trouble::Lacks(_))), "one in between is left out");
    assert!(matches!(read(&[one.clone(), one.clone()]), Err(Trouble::Lie(_))), "twice");
    assert!(matches!(read(&[transaction(&OTHER, 10, 0, 4)]), Err(Trouble::Lie(_))), "of another account");
    let mut expected = transaction(&SHOP, 40, 30, 0);
    expected["finality"] = json!("pending");
    expected["mc_block_seqno"] = Value::Null;
    let mut emulated = transaction(&SHOP, 40, 30, 6);
    emulated["emulated"] = json!(true);
    assert_eq!(read(&[two.clone(), three.clone(), expected]), Ok(2), "what is only expected is no transaction");
    assert_eq!(read(&[two.clone(), three, emulated]), Ok(2));
    assert_eq!(read(&[two, transaction(&SHOP, 50, 0, 7)]), Ok(2), "an account that was gone begins anew");
    let early = transactions(&[transaction(&SHOP, 10, 0, 4)]);
    assert!(matches!(of_account(early.as_bytes(), &SHOP, 10, 99), Err(Trouble::Failed(_))), "below what was asked");
}

#[tokio::test]
async fn a_cursor_begins_at_the_last_transaction_that_the_block_or_one_below_it_committed() {
    let node = Canned::of(TONCENTER_V3, |target, _| {
        (
            200,
            if target.starts_with("blocks") {
                blocks(&[block(50, 1, 3)])
            } else {
                // Made before block 50 was, and committed after it: the last two.
                let listed = [(49_000, 48_000, 49), (49_900, 49_000, 50), (49_950, 49_900, 51), (50_001, 49_950, 51)];
                transactions(&listed.map(|(lt, on, at)| transaction(&SHOP, lt, on, at)))
            },
        )
    })
    .await;
    let end = node.ask().end(Height(50)).await.unwrap();
    let found = node.ask().last_at_or_below(&SHOP, end).await.unwrap().unwrap();
    assert_eq!((found.at.lt, found.height), (49_900, Some(Height(50))));
    assert!(node.asked()[1].contains("end_lt=50009&sort=desc"), "{}", node.asked()[1]);
    let never = Canned::of(TONCENTER_V3, |target, _| {
        (200, if target.starts_with("blocks") { blocks(&[block(50, 1, 3)]) } else { transactions(&[]) })
    })
    .await;
    assert_eq!(never.ask().last_at_or_below(&SHOP, end).await, Ok(None));
}

#[tokio::test]
async fn another_transaction_in_the_same_place_is_told_apart_from_none() {
    let node = Canned::of(TONCENTER_V3, |target, _| {
        let there = target.contains("start_lt=20&end_lt=20");
        (200, if there { transactions(&[transaction(&SHOP, 20, 10, 5)]) } else { transactions(&[]) })
    })
    .await;
    let link = |lt: u64, seed: u8| Link { lt, hash: hash(seed) };
    assert_eq!(node.ask().has(&SHOP, link(20, 20)).await, Ok(true));
    assert_eq!(node.ask().has(&SHOP, link(30, 30)).await, Ok(false));
    assert_eq!(
        node.ask().has(&SHOP, link(20, 21)).await,
        Err(Trouble::Contradicts { account: SHOP, lt: 20, asked: hash(21), given: hash(20) })
    );
}

#[test]
fn a_hash_is_looked_up_and_another_than_asked_is_a_lie() {
    let body = transactions(&[transaction(&SHOP, 20, 10, 5)]);
    let named = read_by_hash(body.as_bytes(), hash(20)).unwrap().unwrap();
    assert_eq!((named.account, named.at.lt, named.height), (SHOP, 20, Some(Height(5))));
    assert!(matches!(read_by_hash(body.as_bytes(), hash(21)), Err(Trouble::Lie(_))));
    assert_eq!(read_by_hash(transactions(&[]).as_bytes(), hash(21)), Ok(None));
}

fn row(at: u64, seed: u8) -> Row {
    let at = BlockRef { height: Height(at), hash: hash(seed) };
    Row { at, time: Timestamp::from_seconds(1_760_000_000), global_id: None }
}

/// Block 50 with three transactions of its own, and a shard block with two.
fn fifty() -> Vec<Value> {
    vec![block(50, 1, 3), shard_block("8000000000000000", 700, 2)]
}

fn of_fifty() -> Vec<Value> {
    let system = Account::new(-1, [0x33; 32]);
    let mut all: Vec<Value> = (1..=3).map(|nth| transaction(&system, 50_000 + nth, 49_000 + nth, 50)).collect();
    all.push(transaction(&SHOP, 49_500, 100, 50));
    all.push(transaction(&OTHER, 49_500, 100, 50));
    all
}

async fn content_of(listed: Vec<Value>, given: Vec<Value>) -> Result<usize, Trouble> {
    let node = Canned::of(TONCENTER_V3, move |target, _| {
        (
            200,
            if target.starts_with("blocks") {
                blocks(&listed)
            } else if target.starts_with("masterchainInfo") {
                json!({ "first": block(1, 1, 3), "last": block(90, 2, 3) }).to_string()
            } else {
                let offset =
                    target.split("offset=").nth(1).unwrap().split('&').next().unwrap().parse::<usize>().unwrap();
                transactions(given.get(offset..).unwrap_or_default())
            },
        )
    })
    .await;
    let (content, _) = node.ask().content(&row(50, 1), &crate::source::ask::Tips::default()).await?;
    match content {
        Content::Names(names) => Ok(names.len()),
        Content::Whole(_) => panic!("it has no cells"),
    }
}

#[tokio::test]
async fn a_block_is_whole_when_as_many_transactions_came_as_its_rows_count() {
    assert_eq!(content_of(fifty(), of_fifty()).await, Ok(5));
    let lacks = |result: Result<usize, Trouble>| matches!(result, Err(Trouble::Lacks(_)));
    assert!(lacks(content_of(fifty(), Vec::new()).await), "an empty list with 200 OK");
    assert!(lacks(content_of(fifty(), of_fifty()[..4].to_vec()).await), "one is missing");
    let mut twice = of_fifty();
    twice[4] = twice[3].clone();
    assert!(lacks(content_of(fifty(), twice).await), "as many as there should be, one of them twice");
    assert!(lacks(content_of(Vec::new(), of_fifty()).await), "no row for the block");
    assert!(lacks(content_of(vec![fifty()[1].clone()], of_fifty()[3..].to_vec()).await), "not the block's own row");
    let empty = vec![block(50, 1, 0), fifty()[1].clone()];
    assert!(lacks(content_of(empty, of_fifty()[3..].to_vec()).await), "the block's own are never none");
}

#[tokio::test]
async fn a_block_that_contradicts_its_own_rows_is_a_lie_and_another_block_a_fork() {
    let mut elsewhere = of_fifty();
    elsewhere[3]["mc_block_seqno"] = json!(51);
    assert!(matches!(content_of(fifty(), elsewhere).await, Err(Trouble::Lie(_))));
    let forked = vec![block(50, 2, 3), fifty()[1].clone()];
    assert_eq!(content_of(forked, of_fifty()).await, Err(Trouble::Forked(row(50, 1).at)));
    let doubled = vec![fifty()[0].clone(), fifty()[1].clone(), fifty()[1].clone()];
    assert!(matches!(content_of(doubled, of_fifty()).await, Err(Trouble::Lie(_))));
}

#[tokio::test]
async fn a_block_of_many_pages_is_read_by_offset_and_counted() {
    let system = Account::new(-1, [0x33; 32]);
    let all: Vec<Value> = (1..=2_345).map(|nth| transaction(&system, nth, nth - 1, 50)).collect();
    let given = all.clone();
    let node = Canned::of(TONCENTER_V3, move |target, _| {
        (
            200,
            if target.starts_with("blocks") {
                blocks(&[block(50, 1, 2_345)])
            } else {
                let offset =
                    target.split("offset=").nth(1).unwrap().split('&').next().unwrap().parse::<usize>().unwrap();
                transactions(&given[offset..(offset + 1_000).min(given.len())])
            },
        )
    })
    .await;
    let (content, _) = node.ask().content(&row(50, 1), &crate::source::ask::Tips::default()).await.unwrap();
    assert!(matches!(content, Content::Names(names) if names.len() == 2_345));
    assert_eq!(node.asked().len(), 4);
}

#[tokio::test]
async fn what_an_index_cannot_say_is_unsupported_and_never_empty() {
    let node = Canned::of(TONCENTER_V3, |_, _| (200, "{}".to_owned())).await;
    let at = Link { lt: 1, hash: hash(1) };
    assert!(matches!(node.ask().raw_down(&SHOP, at, None, 9).await, Err(Trouble::Unsupported(_))));
    assert!(matches!(node.ask().raw_one(&SHOP, at).await, Err(Trouble::Unsupported(_))));
    assert!(node.asked().is_empty());
    let unknown = Canned::of("json-rpc", |_, _| (200, "{}".to_owned())).await;
    assert!(matches!(unknown.ask().head().await, Err(Trouble::Unsupported(_))));
}

#[test]
fn a_real_answer_of_the_test_network_reads() {
    let Some(text) = crate::source::ask::tests::real("toncenter-v3-traces-testnet.json") else { return };
    let traces: Value = serde_json::from_str(&text).unwrap();
    let all: Vec<Value> = traces["traces"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|trace| trace["transactions"].as_object().unwrap().values().cloned().collect::<Vec<_>>())
        .collect();
    let body = transactions(&all);
    let read = read::<WireTransactions<'_>>(body.as_bytes()).unwrap().transactions;
    assert_eq!(read.len(), all.len());
    for (read, given) in read.iter().zip(&all) {
        let named = read.named().unwrap();
        assert!(read.is_committed());
        assert_eq!(raw_uppercase(&named.account), given["account"].as_str().unwrap());
        assert_eq!(named.height, given["mc_block_seqno"].as_u64().map(Height));
        assert_eq!(wire::base64_of(&named.at.hash), given["hash"].as_str().unwrap());
    }
}

/// One answer of each shape, for who breaks them.
pub(in crate::source::ask) fn shapes() -> Vec<String> {
    vec![
        blocks(&fifty()),
        transactions(&of_fifty()),
        states(&[state(&SHOP, &json!("42"), &json!(wire::base64_of(&hash(7))))]),
        json!({ "first": block(1, 1, 3), "last": block(90, 2, 3) }).to_string(),
        json!({ "gas_used": 5, "exit_code": 0, "stack": [{ "type": "num", "value": "0x1" }] }).to_string(),
    ]
}

/// Every reader on one body.
pub(in crate::source::ask) fn read_all(body: &[u8]) {
    drop(contiguous(body, Height(50), Height(60)));
    drop(counted(body, &row(50, 1)));
    drop(of_block(body, Height(50)).and_then(|names| complete(names, 5, Height(50))));
    drop(of_account(body, &SHOP, 0, u64::MAX).map(|page| page.rows));
    drop(read_heads(body, &[SHOP, OTHER]));
    drop(read_by_hash(body, hash(20)));
    drop(read::<WireReach>(body).and_then(|reach| reach.last.indexed()));
    drop(stack::read_toncenter_v3(body));
}
