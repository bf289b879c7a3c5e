//! The node's answers as it writes them: envelopes, whole names of blocks, cells in base64.

use amn_core::block::{BlockRef, Hash, Height};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::accounts::{read_has, read_head};
use super::*;
use crate::address::Realm;
use crate::source::ask::canned::Canned;
use crate::source::ask::{End, TONCENTER_V2};
use crate::testkit::{Letter, Life, Made, Outcome, text};

pub(in crate::source::ask) const PAYER: Account = Account::new(0, [0x2b; 32]);
pub(in crate::source::ask) const SHOP: Account = Account::new(0, [0x6a; 32]);

/// So many payments to an account, oldest first.
pub(in crate::source::ask) fn life(account: Account, payments: u8) -> Vec<Made> {
    let mut life = Life::of(account);
    (0..payments)
        .map(|nth| life.receive(&Letter::from(PAYER, 1_000).saying(text(&format!("order {nth}"))), Outcome::Accepted))
        .collect()
}

pub(in crate::source::ask) fn enveloped(result: &Value) -> String {
    json!({ "ok": true, "result": result, "@extra": "1700000000.1:0:0.5" }).to_string()
}

pub(in crate::source::ask) fn named(workchain: i8, shard: u64, seqno: u32, seed: u8) -> BlockId {
    let name = BlockName { workchain, shard, seqno, root: Hash([seed; 32]) };
    BlockId { name, file: Hash([seed ^ 0xff; 32]) }
}

pub(in crate::source::ask) fn block_id(id: &BlockId) -> Value {
    json!({
        "@type": "ton.blockIdExt", "workchain": id.name.workchain, "shard": id.name.shard.cast_signed().to_string(),
        "seqno": id.name.seqno, "root_hash": wire::base64_of(&id.name.root), "file_hash": wire::base64_of(&id.file),
    })
}

pub(in crate::source::ask) fn header(id: &BlockId, on: &[BlockId], lt: (u64, u64)) -> Value {
    json!({
        "@type": "blocks.header", "id": block_id(id), "global_id": -239, "version": 0, "after_merge": on.len() > 1,
        "after_split": false, "before_split": false, "want_merge": true, "want_split": false, "vert_seqno": 1,
        "gen_utime": 1_760_000_000, "start_lt": lt.0.to_string(), "end_lt": lt.1.to_string(), "is_key_block": false,
        "prev_blocks": on.iter().map(block_id).collect::<Vec<_>>(),
    })
}

/// As an account's list has it: without its account, in newer versions.
fn of_account(made: &Made) -> Value {
    json!({
        "@type": "raw.transaction", "address": { "@type": "accountAddress", "account_address": SHOP.bounceable(Realm::Mainnet) },
        "utime": 1_760_000_000, "data": STANDARD.encode(made.bytes()),
        "transaction_id": { "@type": "internal.transactionId", "lt": made.at.lt.to_string(), "hash": wire::base64_of(&made.at.hash) },
        "fee": "1000", "storage_fee": "0", "other_fee": "1000", "in_msg": { "value": "1000" }, "out_msgs": [],
    })
}

/// As a block's list has it.
pub(in crate::source::ask) fn in_block(account: &Account, made: &Made) -> Value {
    let mut listed = of_account(made);
    listed["account"] = json!(account.to_string().to_uppercase());
    listed["address"]["account_address"] = json!(account.bounceable(Realm::Mainnet));
    listed
}

pub(in crate::source::ask) fn content(id: &BlockId, incomplete: bool, listed: &[Value]) -> Value {
    json!({
        "@type": "blocks.transactionsExt", "id": block_id(id), "req_count": 256, "incomplete": incomplete,
        "transactions": listed,
    })
}

fn masterchain(seqno: u32, seed: u8) -> BlockId {
    named(-1, 1 << 63, seqno, seed)
}

fn info(id: &BlockId) -> Value {
    json!({
        "@type": "blocks.masterchainInfo", "last": block_id(id), "state_root_hash": wire::base64_of(&Hash([1; 32])),
        "init": block_id(&masterchain(0, 0)),
    })
}

fn state(lt: u64, hash: Hash) -> Value {
    json!({
        "@type": "raw.fullAccountState", "balance": "10", "extra_currencies": [], "code": "", "data": "",
        "last_transaction_id": { "@type": "internal.transactionId", "lt": lt.to_string(), "hash": wire::base64_of(&hash) },
        "block_id": block_id(&masterchain(9, 9)), "frozen_hash": "", "sync_utime": 1_760_000_000, "state": "active",
    })
}

#[tokio::test]
async fn a_head_is_a_tip_and_its_header_and_a_tip_is_one_request() {
    let id = masterchain(70, 7);
    let node = Canned::of(TONCENTER_V2, move |target, _| {
        (
            200,
            if target == "getMasterchainInfo" {
                enveloped(&info(&id))
            } else {
                enveloped(&header(&id, &[masterchain(69, 6)], (9, 10)))
            },
        )
    })
    .await;
    let at = BlockRef { height: Height(70), hash: Hash([7; 32]) };
    assert_eq!(node.ask().tip().await, Ok(at));
    assert_eq!(node.asked().len(), 1);
    let row = Row { at, time: Timestamp::from_seconds(1_760_000_000), global_id: Some(-239) };
    assert_eq!(node.ask().head().await, Ok(row));
    assert_eq!(
        node.asked()[1..],
        ["getMasterchainInfo", "getBlockHeader?workchain=-1&shard=-9223372036854775808&seqno=70"]
    );
}

#[tokio::test]
async fn workers_that_disagree_about_the_tip_are_asked_again() {
    let bodies = vec![enveloped(&info(&masterchain(70, 7))), enveloped(&header(&masterchain(70, 8), &[], (9, 10)))];
    let node = Canned::in_turn(TONCENTER_V2, bodies).await;
    assert!(matches!(node.ask().head().await, Err(Trouble::Failed(_))));
}

#[tokio::test]
async fn rows_are_asked_for_one_by_one_and_end_where_the_next_is_not_there() {
    let node = Canned::of(TONCENTER_V2, |target, _| {
        if target == "getMasterchainInfo" {
            return (200, enveloped(&info(&masterchain(72, 2))));
        }
        let seqno: u32 = target.rsplit('=').next().unwrap().parse().unwrap();
        if seqno > 72 {
            let why = "LITE_SERVER_NOTREADY: block (-1,8000000000000000,73) is not in db (possibly out of sync: shard_client_seqno=72 ls_seqno=72)";
            return (500, json!({ "ok": false, "error": why, "code": 500 }).to_string());
        }
        (200, enveloped(&header(&masterchain(seqno, u8::try_from(seqno - 70).unwrap()), &[], (9, 10))))
    })
    .await;
    let rows = node.ask().rows(Height(71), Height(90), None).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.at.height.0).collect::<Vec<_>>(), [71, 72]);
    assert!(matches!(node.ask().rows(Height(80), Height(90), None).await, Err(Trouble::NotYet(_))));
}

#[tokio::test]
async fn another_block_than_asked_is_no_answer() {
    let other = Canned::of(TONCENTER_V2, |target, _| {
        let id = masterchain(70, 7);
        (
            200,
            if target == "getMasterchainInfo" { enveloped(&info(&id)) } else { enveloped(&header(&id, &[], (9, 10))) },
        )
    })
    .await;
    assert!(matches!(other.ask().row(Height(69)).await, Err(Trouble::Failed(_))));
    let shard = Canned::in_turn(TONCENTER_V2, vec![enveloped(&header(&named(0, 1 << 63, 69, 1), &[], (9, 10)))]).await;
    assert!(matches!(shard.ask().row(Height(69)).await, Err(Trouble::Failed(_))));
}

#[tokio::test]
async fn an_account_that_never_was_stands_nowhere() {
    let node = Canned::of(TONCENTER_V2, |target, _| {
        let never = target.contains("6a6a");
        (200, enveloped(&if never { state(0, Hash([0; 32])) } else { state(42, Hash([4; 32])) }))
    })
    .await;
    let heads = node.ask().heads(&[PAYER, SHOP]).await.unwrap();
    assert_eq!(heads, [Some(Link { lt: 42, hash: Hash([4; 32]) }), None]);
}

#[tokio::test]
async fn cells_come_newest_first_and_an_empty_list_is_none() {
    let made = life(SHOP, 3);
    let listed: Vec<Value> = made.iter().rev().map(of_account).collect();
    let node = Canned::in_turn(TONCENTER_V2, vec![enveloped(&json!(listed)), enveloped(&json!([]))]).await;
    let cells = node.ask().raw_down(&SHOP, made[2].at, Some(made[0].at.lt), 2).await.unwrap();
    assert_eq!(cells, [made[2].bytes(), made[1].bytes()], "no more than asked");
    let asked = &node.asked()[0];
    for part in [
        format!("lt={}", made[2].at.lt),
        format!("to_lt={}", made[0].at.lt),
        "limit=2".to_owned(),
        "archival=false".to_owned(),
    ] {
        assert!(asked.contains(&part), "{part}: {asked}");
    }
    assert!(matches!(node.ask().raw_one(&SHOP, made[2].at).await, Err(Trouble::Lacks(_))));
}

#[tokio::test]
async fn who_keeps_all_of_history_is_asked_where_the_others_no_longer_have_it() {
    let made = life(SHOP, 1);
    let body = enveloped(&json!([of_account(&made[0])]));
    let node = Canned::of(TONCENTER_V2, move |target, _| {
        if target.contains("archival=true") {
            return (200, body.clone());
        }
        let why = "LITE_SERVER_UNKNOWN: cannot compute block with specified transaction: cannot find block (0,6a6a6a6a6a6a6a6a) lt=2000000: lt not in db";
        (500, json!({ "ok": false, "error": why, "code": 500 }).to_string())
    })
    .await;
    assert_eq!(node.ask().raw_one(&SHOP, made[0].at).await.unwrap(), made[0].bytes());
    assert_eq!(node.asked().len(), 2);
}

#[tokio::test]
async fn whether_it_has_a_transaction_is_its_word_and_its_cell() {
    let made = life(SHOP, 2);
    let (body, at) = (enveloped(&json!([of_account(&made[1])])), made[1].at);
    let node = Canned::of(TONCENTER_V2, move |_, _| (200, body.clone())).await;
    assert_eq!(node.ask().has(&SHOP, at).await, Ok(true));
    assert_eq!(node.ask().has(&SHOP, Link { lt: at.lt + 5, hash: at.hash }).await, Ok(false));
    let other = Link { lt: at.lt, hash: Hash([9; 32]) };
    assert_eq!(
        node.ask().has(&SHOP, other).await,
        Err(Trouble::Contradicts { account: SHOP, lt: at.lt, asked: other.hash, given: at.hash })
    );
    // It says the name that was asked, and gives the cell of another.
    let mut forged = of_account(&made[0]);
    forged["transaction_id"] = of_account(&made[1])["transaction_id"].clone();
    let node = Canned::in_turn(TONCENTER_V2, vec![enveloped(&json!([forged]))]).await;
    assert!(matches!(node.ask().has(&SHOP, at).await, Err(Trouble::Lie(_))));
    // It has none at that time, or another one.
    for why in ["cannot locate transaction in block with specified logical time", "transaction hash mismatch"] {
        let refuses = Canned::of(TONCENTER_V2, move |_, _| {
            (500, json!({ "ok": false, "error": format!("LITE_SERVER_UNKNOWN: {why}"), "code": 500 }).to_string())
        })
        .await;
        assert_eq!(refuses.ask().has(&SHOP, at).await, Ok(false), "{why}");
        assert!(matches!(refuses.ask().raw_one(&SHOP, at).await, Err(Trouble::Pruned(_))), "{why}");
    }
}

#[tokio::test]
async fn what_a_node_cannot_look_up_is_unsupported() {
    let node = Canned::of(TONCENTER_V2, |_, _| (200, "{}".to_owned())).await;
    assert!(matches!(node.ask().by_hash(Hash([1; 32])).await, Err(Trouble::Unsupported(_))));
    assert!(matches!(node.ask().named(&SHOP, 0).await, Err(Trouble::Unsupported(_))));
    assert!(matches!(node.ask().end(Height(9)).await, Err(Trouble::Unsupported(_))));
    let end = End { height: Height(9), lt: 9_000 };
    assert!(matches!(node.ask().last_at_or_below(&SHOP, end).await, Err(Trouble::Unsupported(_))));
    assert!(node.asked().is_empty());
}

#[test]
fn shards_hold_every_account_once_or_one_was_left_out() {
    let quarter = |nth: u64| (nth << 62) | (1 << 61);
    let whole = |shards: &[u64]| are_whole(shards.iter().map(|shard| named(0, *shard, 7, 1).name));
    let (all, left, right) = (1 << 63, 1 << 62, 3 << 62);
    for shards in
        [&[all][..], &[left, right], &[right, left], &[left, quarter(2), quarter(3)], &[0, 1, 2, 3].map(quarter)]
    {
        assert!(whole(shards), "{shards:x?}");
    }
    for shards in
        [&[][..], &[left], &[right], &[left, quarter(2)], &[left, right, right], &[all, left], &[0], &[1], &[u64::MAX]]
    {
        assert!(!whole(shards), "{shards:x?}");
    }
    // Of another workchain, they are none of it.
    assert!(!are_whole([named(-1, all, 7, 1).name].into_iter()));
    assert!(are_whole([named(-1, all, 7, 1).name, named(0, all, 7, 1).name].into_iter()));
}

fn a_block() -> BlockHead {
    let id = named(0, 1 << 63, 700, 1);
    BlockHead {
        id,
        on: Vec::new(),
        start_lt: 1_000_000,
        end_lt: 9_000_000,
        row: Row {
            at: BlockRef { height: Height(700), hash: id.name.root },
            time: Timestamp::from_seconds(0),
            global_id: None,
        },
    }
}

async fn listed(bodies: Vec<Value>) -> (Result<usize, Trouble>, Vec<String>) {
    let node = Canned::in_turn(TONCENTER_V2, bodies.iter().map(enveloped).collect()).await;
    let found = transactions(&node.ask().endpoint.clone(), &Listed::of_head(&a_block())).await.map(|found| found.len());
    (found, node.asked())
}

#[tokio::test]
async fn a_block_is_listed_on_until_it_says_that_it_is_complete_and_after_the_account() {
    let id = a_block().id;
    let (payer, shop) = (life(PAYER, 2), life(SHOP, 2));
    let page = |incomplete, listed: &[Value]| content(&id, incomplete, listed);
    let first = [in_block(&PAYER, &payer[0]), in_block(&PAYER, &payer[1]), in_block(&SHOP, &shop[0])];
    let (found, asked) = listed(vec![page(true, &first), page(false, &[in_block(&SHOP, &shop[1])])]).await;
    assert_eq!(found, Ok(4));
    assert!(!asked[0].contains("after_"), "{}", asked[0]);
    let after = format!("after_lt={}&after_hash={}", shop[0].at.lt, hex_account());
    assert!(asked[1].ends_with(&after), "the account's hash, not the transaction's: {}", asked[1]);
    let lacks = |found: &Result<usize, Trouble>| matches!(found, Err(Trouble::Lacks(_)));
    assert!(lacks(&listed(vec![page(true, &first), page(true, &[])]).await.0), "never complete");
    assert!(lacks(&listed(vec![page(true, &first), page(false, &first[1..])]).await.0), "from the beginning again");
    assert_eq!(listed(vec![page(false, &[])]).await.0, Ok(0), "a shard's block may hold nothing");
}

fn hex_account() -> String {
    wire::hex_of(&SHOP.id)
}

#[tokio::test]
async fn what_a_block_cannot_hold_is_a_lie() {
    let id = a_block().id;
    let made = life(SHOP, 2);
    let lies = |listed_: Value| async move {
        matches!(listed(vec![content(&id, false, &[listed_])]).await.0, Err(Trouble::Lie(_)))
    };
    let mut claimed = in_block(&SHOP, &made[0]);
    claimed["transaction_id"]["hash"] = json!(wire::base64_of(&Hash([9; 32])));
    assert!(lies(claimed).await, "another hash than its cell has");
    let mut claimed = in_block(&SHOP, &made[0]);
    claimed["transaction_id"]["lt"] = json!("2000001");
    assert!(lies(claimed).await, "another time");
    assert!(lies(in_block(&PAYER, &made[0])).await, "of another account");
    assert!(lies(in_block(&Account::new(-1, SHOP.id), &made[0])).await, "of another workchain");
    let mut claimed = in_block(&SHOP, &made[0]);
    claimed["transaction_id"]["lt"] = json!("99000000");
    assert!(lies(claimed).await, "after the block's end");
    let mut without = in_block(&SHOP, &made[0]);
    without.as_object_mut().unwrap().remove("account");
    assert_eq!(listed(vec![content(&id, false, &[without.clone()])]).await.0, Ok(1), "its address says it too");
    without.as_object_mut().unwrap().remove("address");
    assert!(matches!(listed(vec![content(&id, false, &[without])]).await.0, Err(Trouble::Failed(_))));
    let other = content(&named(0, 1 << 63, 701, 1), false, &[]);
    assert!(matches!(listed(vec![other]).await.0, Err(Trouble::Lie(_))), "another block's list");
    let mut broken = in_block(&SHOP, &made[0]);
    broken["data"] = json!("dGhpcyBpcyBubyBjZWxs");
    assert!(matches!(listed(vec![content(&id, false, &[broken])]).await.0, Err(Trouble::Undecodable(_))));
}

/// One answer of each shape, for who breaks them.
pub(in crate::source::ask) fn shapes() -> Vec<String> {
    let made = life(SHOP, 1);
    let id = a_block().id;
    vec![
        enveloped(&info(&masterchain(70, 7))),
        enveloped(&header(&id, &[named(0, 1 << 63, 699, 2)], (1, 2))),
        enveloped(&json!({ "@type": "blocks.shards", "shards": [block_id(&id)] })),
        enveloped(&json!([of_account(&made[0])])),
        enveloped(&content(&id, false, &[in_block(&SHOP, &made[0])])),
        enveloped(&state(42, Hash([4; 32]))),
        enveloped(
            &json!({ "@type": "smc.runResult", "gas_used": 5, "exit_code": 0, "stack": [["num", "0x1"], ["cell", { "bytes": "te6ccgEBAQEAAgAAAA==" }]] }),
        ),
    ]
}

/// Every reader on one body.
pub(in crate::source::ask) fn read_all(body: &[u8]) {
    drop(opened::<WireInfo>(body).and_then(|info| info.last.of_masterchain()));
    drop(opened::<WireHeader>(body).and_then(|header| header.head()));
    drop(opened::<WireShards>(body).map(|shards| shards.shards.len()));
    drop(read_head(body));
    drop(read_has(body, &SHOP, Link { lt: 2_000_000, hash: Hash([1; 32]) }));
    drop(of_block(body, &Listed::of_head(&a_block())).map(|(found, _)| found.len()));
    drop(opened::<stack::WireRun<'_>>(body).and_then(|run| stack::read_toncenter_v2(&run)));
}

/// A header as it is read.
pub(in crate::source::ask) fn head_of(header: &Value) -> BlockHead {
    let body = enveloped(header);
    opened::<WireHeader>(body.as_bytes()).and_then(|header| header.head()).unwrap()
}
